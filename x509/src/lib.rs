//! Writes X.509 certificates and the files that hold them. `rsp::certificate` reads them.
//!
//! A certificate is what its issuer decides on, [`ToBeSigned`], and a signature. Randomness and time are arguments, so the
//! same arguments give the same octets:
//!
//! ```
//! use crypto::ec::{Curve, PrivateKey};
//! use x509::{Attribute, COMMON_NAME, ToBeSigned, Validity, name};
//!
//! let key = PrivateKey::from_bytes(Curve::P256, &[1; 32])?;
//! let subject = name(&[Attribute::utf8(COMMON_NAME, "example")]);
//! let certificate = ToBeSigned {
//!     serial: x509::serial(|octets| octets.fill(7)),
//!     issuer: subject.clone(),
//!     validity: Validity::starting(1_767_225_600, 86_400),
//!     subject,
//!     key: &key.public_key(),
//!     extensions: &[],
//! };
//! let pem = x509::pem("CERTIFICATE", &certificate.sign(&key));
//! assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\nMII"));
//! # Ok::<(), crypto::ec::InvalidKey>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod extension;
mod text;

pub use extension::{
    AlternativeName, alternative_names, authority_key_identifier, basic_constraints, certificate_policy,
    crl_distribution_points, extended_key_usage, extension, key_usage, permitted_subject, subject_key_identifier,
};
pub use text::{pem, pkcs8, unarmoured};

use apdu::tlv::{Tag, Writer};
use asn1_rs::oid;
use calendar::{Asn1Time, Timestamp};
use crypto::ec::{PrivateKey, PublicKey};
use crypto::ecdsa;

/// The part of a certificate the issuer decides on. RFC 5280 §4.1
pub struct ToBeSigned<'a> {
    /// Contents of an INTEGER, as [`serial`] draws them.
    pub serial: Vec<u8>,
    /// The issuer's name in DER: [`name`], or the subject of its certificate.
    pub issuer: Vec<u8>,
    /// From when until when it is valid.
    pub validity: Validity,
    /// The subject's name in DER.
    pub subject: Vec<u8>,
    /// The subject's key.
    pub key: &'a PublicKey,
    /// Each `Extension` in DER; without any, the element is left out.
    pub extensions: &'a [Vec<u8>],
}

impl ToBeSigned<'_> {
    /// The certificate in DER, signed with ECDSA and SHA-256.
    pub fn sign(&self, issuer: &PrivateKey) -> Vec<u8> {
        let algorithm = sequence(|algorithm| {
            algorithm.primitive(OBJECT_IDENTIFIER, ECDSA_WITH_SHA256);
        });
        let to_be_signed = sequence(|tbs| {
            tbs.constructed(Tag(0xA0), |version| {
                version.primitive(INTEGER, &[2]);
            });
            tbs.primitive(INTEGER, &self.serial).raw(&algorithm).raw(&self.issuer);
            tbs.constructed(SEQUENCE, |validity| {
                for time in [self.validity.not_before, self.validity.not_after] {
                    write_time(validity, time);
                }
            });
            tbs.raw(&self.subject);
            tbs.constructed(SEQUENCE, |key| {
                key.constructed(SEQUENCE, |algorithm| {
                    algorithm.primitive(OBJECT_IDENTIFIER, EC_PUBLIC_KEY);
                    algorithm.primitive(OBJECT_IDENTIFIER, self.key.curve().oid());
                });
                key.primitive(BIT_STRING, &without_unused_bits(&self.key.to_uncompressed()));
            });
            if !self.extensions.is_empty() {
                tbs.constructed(Tag(0xA3), |outer| {
                    outer.constructed(SEQUENCE, |extensions| {
                        for extension in self.extensions {
                            extensions.raw(extension);
                        }
                    });
                });
            }
        });
        let signature = ecdsa::sign_der(issuer, &to_be_signed);
        sequence(|certificate| {
            certificate.raw(&to_be_signed).raw(&algorithm).primitive(BIT_STRING, &without_unused_bits(&signature));
        })
    }
}

/// 9999-12-31T23:59:59Z.
const LAST_MOMENT: u64 = 253_402_300_799;

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: u64,
    not_after: u64,
}

impl Validity {
    /// From `now`, in seconds of Unix time, for `lifetime` seconds, or to the end of the year 9999, the last that can be
    /// written. RFC 5280 §4.1.2.5
    pub fn starting(now: u64, lifetime: u64) -> Self {
        let last = |time: u64| time.min(LAST_MOMENT);
        Self { not_before: last(now), not_after: last(now.saturating_add(lifetime)) }
    }
}

const SEQUENCE: Tag = Tag(0x30);
const SET: Tag = Tag(0x31);
const BOOLEAN: Tag = Tag(0x01);
const INTEGER: Tag = Tag(0x02);
const BIT_STRING: Tag = Tag(0x03);
const OCTET_STRING: Tag = Tag(0x04);
const OBJECT_IDENTIFIER: Tag = Tag(0x06);
const UTF8_STRING: Tag = Tag(0x0C);
const PRINTABLE_STRING: Tag = Tag(0x13);
const UTC_TIME: Tag = Tag(0x17);
const GENERALIZED_TIME: Tag = Tag(0x18);

const EC_PUBLIC_KEY: &[u8] = &oid!(raw 1.2.840.10045.2.1);
const ECDSA_WITH_SHA256: &[u8] = &oid!(raw 1.2.840.10045.4.3.2);

/// commonName, 2.5.4.n.
pub const COMMON_NAME: u8 = 3;
/// serialNumber, 2.5.4.n.
pub const SERIAL_NUMBER: u8 = 5;
/// countryName, 2.5.4.n.
pub const COUNTRY: u8 = 6;
/// organizationName, 2.5.4.n.
pub const ORGANIZATION: u8 = 10;
/// organizationalUnitName, 2.5.4.n.
pub const ORGANIZATIONAL_UNIT: u8 = 11;

/// One attribute of a name, 2.5.4.n.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    kind: u8,
    string: Tag,
    value: String,
}

impl Attribute {
    /// As UTF8String.
    pub fn utf8(kind: u8, value: &str) -> Self {
        Self { kind, string: UTF8_STRING, value: value.into() }
    }

    /// As PrintableString: the caller keeps to its characters.
    pub fn printable(kind: u8, value: &str) -> Self {
        Self { kind, string: PRINTABLE_STRING, value: value.into() }
    }
}

/// A name in DER, one attribute in each set.
pub fn name(attributes: &[Attribute]) -> Vec<u8> {
    sequence(|name| {
        for Attribute { kind, string, value } in attributes {
            name.constructed(SET, |relative| {
                relative.constructed(SEQUENCE, |attribute| {
                    attribute.primitive(OBJECT_IDENTIFIER, &[0x55, 0x04, *kind]).primitive(*string, value.as_bytes());
                });
            });
        }
    })
}

/// A SEQUENCE in DER.
pub fn sequence(inside: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.constructed(SEQUENCE, inside);
    writer.into_bytes()
}

/// The contents of a BIT STRING of whole octets.
fn without_unused_bits(octets: &[u8]) -> Vec<u8> {
    core::iter::once(0).chain(octets.iter().copied()).collect()
}

/// Eight octets, positive and without leading zeros.
pub fn serial(mut fill_random: impl FnMut(&mut [u8])) -> Vec<u8> {
    let mut octets = [0; 8];
    fill_random(&mut octets);
    octets[0] = octets[0] & 0x3F | 0x40;
    octets.to_vec()
}

/// UTCTime up to 2049, GeneralizedTime after. RFC 5280 §4.1.2.5
fn write_time(writer: &mut Writer, seconds: u64) {
    let (tag, text) = match Timestamp(seconds).asn1() {
        Asn1Time::Utc(text) => (UTC_TIME, text),
        Asn1Time::Generalized(text) => (GENERALIZED_TIME, text),
    };
    writer.primitive(tag, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::ec::Curve;
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    fn certificate(validity: Validity, extensions: &[Vec<u8>]) -> Vec<u8> {
        let key = PrivateKey::from_bytes(Curve::P256, &[1; 32]).unwrap();
        let subject = name(&[Attribute::printable(COUNTRY, "DE"), Attribute::utf8(COMMON_NAME, "example")]);
        let serial = serial(|octets| octets.fill(0xFF));
        ToBeSigned { serial, issuer: subject.clone(), validity, subject, key: &key.public_key(), extensions }.sign(&key)
    }

    #[test]
    fn another_reader_finds_what_was_written() {
        let address = "192.0.2.1".parse().unwrap();
        let names = [AlternativeName::Dns("example.com"), AlternativeName::Ip(address)];
        let der = certificate(
            Validity::starting(1_767_225_600, 86_400),
            &[
                basic_constraints(Some(1)),
                alternative_names(&names),
                crl_distribution_points(&["http://example.com/a.crl"]),
            ],
        );
        let (rest, read) = X509Certificate::from_der(&der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(read.raw_serial(), [0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(read.subject().to_string(), "C=DE, CN=example");
        assert_eq!(read.validity().not_after.timestamp(), 1_767_312_000);
        assert_eq!(read.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(1));
        let names = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(*names, [GeneralName::DNSName("example.com"), GeneralName::IPAddress(&[192, 0, 2, 1])]);
    }

    /// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; §4.1: no empty list of extensions.
    #[test]
    fn times_and_missing_extensions_are_written_as_der_wants_them() {
        let der = certificate(Validity::starting(0, 4_000_000_000), &[]);
        let has = |octets: &[u8]| der.windows(octets.len()).any(|window| window == octets);
        assert!(has(b"\x17\x0D700101000000Z\x18\x0F20961002070640Z"));
        assert!(X509Certificate::from_der(&der).unwrap().1.extensions().is_empty());
    }
}
