//! The TCA (formerly SIMalliance) eUICC profile package: what an operator's profile looks like before a card has it.
//!
//! A package is a row of [`ProfileElement`]s in DER, nothing around them: a header, files, PINs, keys, security domains, an end.
//! It arrives in segments of any size; [`Splitter`] cuts it into elements, [`ProfileElement::decode`] reads one, and
//! [`FileResolver`] turns the files in it, with the [`templates`] of Annex A, into files with every size, identifier,
//! access rule and content byte decided. [`EuiccResponse`] is what the card answers.
//!
//! The other way round, [`builder`] makes a whole package from a few lines about a [`Subscriber`](builder::Subscriber).
//!
//! Names are those of the interoperable format specification, version 2.3.1 to 3.4. Nothing here reads files, clocks or
//! random numbers: the same input gives the same octets.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read vectors from files"))]

mod codec;
mod secret;

pub mod access_control;
pub mod access_rules;
pub mod aka;
pub mod application;
pub mod ber_tlv;
pub mod builder;
pub mod cdma;
mod element;
mod end;
pub mod file_management;
pub mod files;
pub mod header;
pub mod non_standard;
mod oid;
pub mod pin;
mod resolve;
mod response;
pub mod rfm;
pub mod security_domain;
mod splitter;
pub mod templates;
pub mod ust;

pub use codec::Error;
pub use element::{PeHeader, ProfileElement, decode_package, encode_package};
pub use end::End;
pub use resolve::{
    AccessRuleReference, FileChange, FileKind, FilePath, FileResolver, MAX_FILE_SIZE, Mark, ResolvedFile,
};
pub use response::{EuiccResponse, PeStatus, Status};
pub use secret::Secret;
pub use splitter::Splitter;
