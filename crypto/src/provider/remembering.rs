//! What was verified before is not computed again.

use core::fmt;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{KeyAgreement, Provider, Signer, Signing, Verification};
use crate::bsp::SessionKeys;
use crate::ec::{Curve, PrivateKey, PublicKey};
use crate::ecdsa::InvalidSignature;
use crate::ecka::{OneTimeKeyPair, SharedSecret};
use crate::key_log::KeySet;

/// Certificates remembered in each of the two generations.
const ROOM: usize = 1024;

/// A provider that remembers which certificates' signatures were right.
///
/// Remembered is the digest of key, what is signed and signature, of those that verified and of nothing else, so that
/// nobody without an issuer's key can fill it. What changes with time or place (validity, role, key usage, name
/// constraints) is not part of a signature, and is for the caller to check each time. Messages of a session, which never
/// come twice, are not remembered.
pub struct Remembering {
    provider: Arc<dyn Provider>,
    known: Mutex<Generations>,
    room: usize,
}

type Digest = [u8; 32];

/// What is asked for again moves to the younger generation; when that is full, the older one is forgotten.
#[derive(Default)]
struct Generations {
    younger: HashSet<Digest>,
    older: HashSet<Digest>,
}

impl Generations {
    fn contains(&mut self, digest: &Digest, room: usize) -> bool {
        if self.younger.contains(digest) {
            return true;
        }
        let known = self.older.remove(digest);
        if known {
            self.insert(*digest, room);
        }
        known
    }

    fn insert(&mut self, digest: Digest, room: usize) {
        if self.younger.len() >= room {
            self.older = core::mem::take(&mut self.younger);
        }
        self.younger.insert(digest);
    }
}

impl Remembering {
    /// Stands before `provider`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, known: Mutex::default(), room: ROOM }
    }

    fn known<R>(&self, look: impl FnOnce(&mut Generations) -> R) -> R {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Each part with its length in front, so that no two triples give the same octets.
fn digest(key: &PublicKey, message: &[u8], signature: &[u8]) -> Digest {
    let mut digest = Sha256::new();
    for part in [&key.to_uncompressed()[..], message, signature] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

impl Verification for Remembering {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.provider.verify(key, message, signature)
    }

    fn verify_der(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = digest(key, message, signature);
        if self.known(|known| known.contains(&digest, self.room)) {
            return Ok(());
        }
        self.provider.verify_der(key, message, signature)?;
        self.known(|known| known.insert(digest, self.room));
        Ok(())
    }
}

impl Signing for Remembering {
    fn signer(&self, key: &PrivateKey, public_key: &PublicKey) -> Arc<dyn Signer> {
        self.provider.signer(key, public_key)
    }
}

impl KeyAgreement for Remembering {
    fn agree(&self, private: &PrivateKey, theirs: &PublicKey) -> SharedSecret {
        self.provider.agree(private, theirs)
    }

    fn generate(&self, curve: Curve, fill_random: &mut dyn FnMut(&mut [u8])) -> OneTimeKeyPair {
        self.provider.generate(curve, fill_random)
    }

    fn agree_once(&self, theirs: &PublicKey, fill_random: &mut dyn FnMut(&mut [u8])) -> (PublicKey, SharedSecret) {
        self.provider.agree_once(theirs, fill_random)
    }

    fn protecting(&self, transaction_id: &[u8], set: KeySet, keys: &SessionKeys) {
        self.provider.protecting(transaction_id, set, keys);
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembering")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecdsa::sign_der;
    use crate::provider::Deterministic;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts what is really verified.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Verification for Counting {
        fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Deterministic.verify(key, message, signature)
        }

        fn verify_der(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Deterministic.verify_der(key, message, signature)
        }
    }

    impl Signing for Counting {
        fn signer(&self, key: &PrivateKey, public_key: &PublicKey) -> Arc<dyn Signer> {
            Deterministic.signer(key, public_key)
        }
    }

    impl KeyAgreement for Counting {
        fn agree(&self, private: &PrivateKey, theirs: &PublicKey) -> SharedSecret {
            Deterministic.agree(private, theirs)
        }

        fn generate(&self, curve: Curve, fill_random: &mut dyn FnMut(&mut [u8])) -> OneTimeKeyPair {
            Deterministic.generate(curve, fill_random)
        }

        fn agree_once(&self, theirs: &PublicKey, fill_random: &mut dyn FnMut(&mut [u8])) -> (PublicKey, SharedSecret) {
            Deterministic.agree_once(theirs, fill_random)
        }
    }

    fn key(number: u8) -> PrivateKey {
        PrivateKey::from_bytes(Curve::P256, &[number; 32]).unwrap()
    }

    #[test]
    fn what_verified_is_not_verified_again() {
        let counting = Arc::new(Counting::default());
        let provider = Remembering::new(Arc::clone(&counting) as Arc<dyn Provider>);
        let public = key(5).public_key();
        let signature = sign_der(&key(5), b"certificate");
        for _ in 0..3 {
            assert_eq!(provider.verify_der(&public, b"certificate", &signature), Ok(()));
        }
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    }

    /// Neither key, message nor signature of another triple, and nothing that was refused before.
    #[test]
    fn only_the_very_same_is_known() {
        let counting = Arc::new(Counting::default());
        let provider = Remembering::new(Arc::clone(&counting) as Arc<dyn Provider>);
        let (public, signature) = (key(5).public_key(), sign_der(&key(5), b"certificate"));
        provider.verify_der(&public, b"certificate", &signature).unwrap();
        for _ in 0..2 {
            assert!(provider.verify_der(&key(6).public_key(), b"certificate", &signature).is_err());
            assert!(provider.verify_der(&public, b"Certificate", &signature).is_err());
            assert!(provider.verify_der(&public, b"certificate", &sign_der(&key(6), b"certificate")).is_err());
        }
        assert_eq!(counting.0.load(Ordering::Relaxed), 7);
        assert_ne!(digest(&public, b"ab", b"c"), digest(&public, b"a", b"bc"));
    }

    #[test]
    fn room_is_bounded_and_what_is_used_stays() {
        let counting = Arc::new(Counting::default());
        let provider = Remembering { room: 3, ..Remembering::new(Arc::clone(&counting) as Arc<dyn Provider>) };
        let public = key(5).public_key();
        let signed: Vec<_> = (0..12_u8).map(|number| ([number], sign_der(&key(5), &[number]))).collect();
        for (message, signature) in &signed {
            provider.verify_der(&public, message, signature).unwrap();
            provider.verify_der(&public, &signed[0].0, &signed[0].1).unwrap();
            let held = provider.known(|known| known.younger.len() + known.older.len());
            assert!(held <= 6, "{held}");
        }
        assert_eq!(counting.0.load(Ordering::Relaxed), signed.len(), "the first was asked for all the time");
        provider.verify_der(&public, &signed[1].0, &signed[1].1).unwrap();
        assert_eq!(counting.0.load(Ordering::Relaxed), signed.len() + 1, "forgotten long ago");
    }
}
