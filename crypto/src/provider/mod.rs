//! Who computes on curves: traits that an implementation is handed in by, and the one that knows no randomness.
//!
//! ```text
//! Signing ─► Signer      r ‖ s with one private key
//! Verification           of r ‖ s, and of the DER form in certificates
//! KeyAgreement           the shared secret, and a key pair used once
//!        └── Provider    all three, handed to a card or a server by its constructor
//! ```
//!
//! [`Deterministic`] signs as RFC 6979 says, so that golden signatures stay and every run can be replayed. A faster one,
//! which draws random numbers, is for callers that need no replay; it must accept and refuse exactly what this one does.
//! [`Remembering`] stands before either, and spares what was verified before; [`KeyLogging`] writes down session keys.

mod deterministic;
mod key_logging;
mod remembering;

use core::fmt;
use std::sync::Arc;

pub use deterministic::Deterministic;
pub use key_logging::KeyLogging;
pub use remembering::Remembering;

use crate::bsp::SessionKeys;
use crate::ec::{Curve, PrivateKey, PublicKey};
use crate::ecdsa::{InvalidSignature, Signature};
use crate::ecka::{OneTimeKeyPair, SharedSecret};
use crate::key_log::KeySet;

/// Signs with one private key.
pub trait Signer: Send + Sync + fmt::Debug {
    /// Signs `message`, ECDSA with the hash of the curve's size: `r ‖ s`.
    fn sign(&self, message: &[u8]) -> Signature;
}

/// Prepares private keys for signing.
pub trait Signing: Send + Sync {
    /// A signer with `key`, whose public half is `public_key`. Neither the key nor what is derived from it is ever shown.
    fn signer(&self, key: &PrivateKey, public_key: &PublicKey) -> Arc<dyn Signer>;
}

/// Verifies ECDSA signatures.
pub trait Verification: Send + Sync {
    /// Verifies `r ‖ s` of 64 octets, as in SGP.22.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature>;

    /// Verifies `SEQUENCE { r, s }` in DER, as in certificates.
    fn verify_der(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature>;
}

/// Agrees on secrets: ECKA-EG, TR-03111 §4.3.2.
pub trait KeyAgreement: Send + Sync {
    /// The secret that `private` shares with the owner of `theirs`.
    fn agree(&self, private: &PrivateKey, theirs: &PublicKey) -> SharedSecret;

    /// A fresh key pair for one agreement, its private half to be kept until then. An implementation with randomness of its
    /// own may leave `fill_random` alone.
    fn generate(&self, curve: Curve, fill_random: &mut dyn FnMut(&mut [u8])) -> OneTimeKeyPair;

    /// A fresh key pair that is used for this one agreement and forgotten: its public half, and the secret shared with
    /// the owner of `theirs`. `fill_random` as for [`generate`](Self::generate).
    fn agree_once(&self, theirs: &PublicKey, fill_random: &mut dyn FnMut(&mut [u8])) -> (PublicKey, SharedSecret);

    /// Is told the keys that protect a bound profile package, once they are agreed on or received. Nothing is done with
    /// them, unless a [key log](KeyLogging) was requested.
    fn protecting(&self, _transaction_id: &[u8], _set: KeySet, _keys: &SessionKeys) {}
}

/// All that cards and servers compute on curves.
pub trait Provider: Signing + Verification + KeyAgreement + fmt::Debug {}

impl<T: Signing + Verification + KeyAgreement + fmt::Debug> Provider for T {}
