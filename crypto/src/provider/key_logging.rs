//! A provider that tells the session keys it is told, for a key log.

use core::fmt;
use std::sync::Arc;

use super::{KeyAgreement, Provider, Signer, Signing, Verification};
use crate::bsp::SessionKeys;
use crate::ec::{Curve, PrivateKey, PublicKey};
use crate::ecdsa::InvalidSignature;
use crate::ecka::{OneTimeKeyPair, SharedSecret};
use crate::key_log::{self, KeySet};

/// Computes by another provider, and hands the keys of bound profile packages to a key log, in its [lines](key_log).
pub struct KeyLogging {
    provider: Arc<dyn Provider>,
    sink: Box<dyn Fn(&str) + Send + Sync>,
}

impl KeyLogging {
    /// Stands before `provider`; `sink` gets whole lines.
    pub fn new(provider: Arc<dyn Provider>, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { provider, sink: Box::new(sink) }
    }
}

impl Verification for KeyLogging {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.provider.verify(key, message, signature)
    }

    fn verify_der(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.provider.verify_der(key, message, signature)
    }
}

impl Signing for KeyLogging {
    fn signer(&self, key: &PrivateKey, public_key: &PublicKey) -> Arc<dyn Signer> {
        self.provider.signer(key, public_key)
    }
}

impl KeyAgreement for KeyLogging {
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
        (self.sink)(&key_log::lines(transaction_id, set, keys));
        self.provider.protecting(transaction_id, set, keys);
    }
}

impl fmt::Debug for KeyLogging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogging")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::{Deterministic, Remembering};
    use super::*;
    use crate::key_log::KeyLog;

    #[test]
    fn keys_reach_the_log_through_other_providers() {
        let written = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&written);
        let logging = KeyLogging::new(Arc::new(Deterministic), move |lines| log.lock().unwrap().push_str(lines));
        let provider = Remembering::new(Arc::new(logging));
        let keys = SessionKeys::new([1; 16], [2; 16], [3; 16]);
        provider.protecting(&[0xAB], KeySet::ProfileProtection, &keys);
        let log = KeyLog::parse(&written.lock().unwrap()).unwrap();
        assert_eq!(log.keys(&[0xAB], KeySet::ProfileProtection).unwrap().enc(), &[2; 16]);
        Deterministic.protecting(&[0xAB], KeySet::Session, &keys);
    }
}
