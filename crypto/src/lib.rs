//! The cryptography of UICC and eUICC, without input or output: randomness and keys come in as arguments.
//!
//! One module per specification:
//!
//! | module | what | specification |
//! |---|---|---|
//! | [`aka`] | the face all authentication algorithms share; SQN, AUTN, AUTS, authentication vectors | TS 33.102 |
//! | [`milenage`], [`tuak`], [`xor`] | the three algorithm sets behind it | TS 35.206, TS 35.231, TS 34.108 |
//! | [`suci`] | concealment of the subscriber's permanent identity | TS 33.501 annex C |
//! | [`ec`] | curves, private and public keys | SEC 1 |
//! | [`ecka`] | key agreement and key derivation | TR-03111, X9.63 |
//! | [`ecdsa`] | signatures, raw as in SGP.22 and DER as in X.509 | FIPS 186-5, RFC 6979 |
//! | [`provider`] | who computes on curves: what is handed to cards and servers | – |
//! | [`bsp`] | protection of a bound profile package | SGP.22 §2.5 |
//! | [`confirmation`] | hash of the confirmation code | SGP.22 §4.7 |
//! | [`scp`] | secure channels of GlobalPlatform: SCP02, SCP03, key check values | GlobalPlatform Card Specification annex E, Amendment D |
//!
//! Published known answers stand at the foot of each file.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read vectors from files"))]

pub mod aka;
pub mod algorithm;
pub mod bsp;
pub mod confirmation;
pub mod ec;
pub mod ecdsa;
pub mod ecka;
pub mod key_log;
pub mod milenage;
pub mod provider;
pub mod scp;
pub mod suci;
pub mod tuak;
pub mod xor;

mod octets;

pub use octets::Octets;
