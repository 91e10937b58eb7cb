//! The implementation without randomness.

use core::fmt;
use std::sync::Arc;

use super::{KeyAgreement, Signer, Signing, Verification};
use crate::ec::{Curve, PrivateKey, PublicKey};
use crate::ecdsa::{self, InvalidSignature, Signature};
use crate::ecka::{self, OneTimeKeyPair, SharedSecret};

/// [`ecdsa`] and [`ecka`] as they stand in this crate: the same input gives the same octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deterministic;

/// A private key, wiped when dropped.
struct DeterministicSigner(PrivateKey);

impl Signer for DeterministicSigner {
    fn sign(&self, message: &[u8]) -> Signature {
        ecdsa::sign(&self.0, message)
    }
}

impl fmt::Debug for DeterministicSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeterministicSigner(secret)")
    }
}

impl Signing for Deterministic {
    fn signer(&self, key: &PrivateKey, _: &PublicKey) -> Arc<dyn Signer> {
        Arc::new(DeterministicSigner(key.clone()))
    }
}

impl Verification for Deterministic {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        ecdsa::verify(key, message, signature)
    }

    fn verify_der(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        ecdsa::verify_der(key, message, signature)
    }
}

impl KeyAgreement for Deterministic {
    fn agree(&self, private: &PrivateKey, theirs: &PublicKey) -> SharedSecret {
        ecka::agree(private, theirs)
    }

    fn generate(&self, curve: Curve, fill_random: &mut dyn FnMut(&mut [u8])) -> OneTimeKeyPair {
        OneTimeKeyPair::generate(curve, fill_random)
    }

    fn agree_once(&self, theirs: &PublicKey, fill_random: &mut dyn FnMut(&mut [u8])) -> (PublicKey, SharedSecret) {
        let pair = OneTimeKeyPair::generate(theirs.curve(), fill_random);
        (*pair.public_key(), pair.agree(theirs))
    }
}
