//! SGP.22 data objects: what card, LPA and SM-DP+ say to each other, and the certificates they show.
//!
//! One module per interface (`es2plus`, `es8`, `es9`, `es10a`, `es10b`, `es10c`), beside them the objects several interfaces
//! share, and beside each type its golden octets. [`es10`] is the table of all functions of ES10. Every message is read with [`decode`] and written with [`encode`]:
//!
//! ```
//! use rsp::es10c::{EnableProfileRequest, ProfileIdentifier};
//!
//! let wire = [0xBF, 0x31, 0x11, 0xA0, 0x0C, 0x5A, 0x0A, 0x98, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0x10, 0x32, 0x14,
//!             0x81, 0x01, 0xFF];
//! let request: EnableProfileRequest = rsp::decode(&wire)?;
//! assert!(request.refresh_flag);
//! assert!(matches!(&request.profile_identifier, ProfileIdentifier::Iccid(iccid) if iccid.to_string() == "89000123456789012341"));
//! assert_eq!(rsp::encode(&request)?, wire);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Three rules hold everywhere:
//!
//! * **Lenient in, strict out.** Elements of a newer release are skipped, not refused (the ASN.1 module is
//!   `EXTENSIBILITY IMPLIED`); a BOOLEAN may be 01, a length longer than needed. What is written is DER.
//! * **What is signed is kept as received.** Those parts are [`Raw`]: octets first, decoded on request.
//! * **Unknown codes survive.** A result code or bit without a name is carried and printed, not refused.
//!
//! Nothing here reads a clock, a file or a random source: time, octets and randomness are arguments.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read vectors from files"))]
#![expect(clippy::no_effect_underscore_binding, reason = "rasn's derive binds fields it then ignores")]
#![expect(elided_lifetimes_in_paths, reason = "rasn's derive writes them for a CHOICE with a tag of its own")]

mod code;

pub mod activation_code;
pub mod certificate;
pub mod chain;
pub mod elements;
pub mod es10;
pub mod es10a;
pub mod es10b;
pub mod es10c;
pub mod es2plus;
pub mod es8;
pub mod es9;
pub mod euicc_info;
pub mod ids;
pub mod lenient;
pub mod metadata;
pub mod notification;
pub mod rat;
pub mod raw;
mod status;
pub mod text;

pub use ids::{IsdpAid, Oid, OneTimePublicKey, Signature, SubjectKeyIdentifier, TransactionId, VersionType};
pub use lenient::{DecodeError, decode, decode_with_own_tags};
pub use raw::{CertificateDer, Raw};
pub use text::Text;

/// A value breaks a size limit of its own type, so it cannot be put on the wire: the caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not encodable: {0}")]
pub struct EncodeError(String);

/// Encodes one value as DER.
pub fn encode<T: rasn::Encode>(value: &T) -> Result<Vec<u8>, EncodeError> {
    rasn::der::encode(value).map_err(|error| EncodeError(lenient::in_own_words(&error.kind)))
}

#[cfg(test)]
pub(crate) mod golden {
    //! Comparison of a type with published octets.

    /// Decodes `hex`, expects the encoding of the result to be the same octets, and returns the value.
    #[track_caller]
    pub(crate) fn round_trip<T: rasn::Decode + rasn::Encode>(hex: &str) -> T {
        let octets = hex::decode(hex).expect("hexadecimal");
        let value: T = crate::decode(&octets).unwrap_or_else(|error| panic!("{hex}: {error}"));
        let again = crate::encode(&value).unwrap_or_else(|error| panic!("{hex}: {error}"));
        assert_eq!(hex::encode_upper(again), hex.to_uppercase());
        value
    }

    /// As [`round_trip`], and expects `value`; also encodes `value` from scratch.
    #[track_caller]
    pub(crate) fn both_ways<T: rasn::Decode + rasn::Encode + PartialEq + core::fmt::Debug>(hex: &str, value: &T) {
        assert_eq!(&round_trip::<T>(hex), value);
        assert_eq!(hex::encode_upper(crate::encode(value).expect("encodable")), hex.to_uppercase());
    }
}
