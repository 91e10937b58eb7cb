//! Bytes to commands and responses, and back.
//!
//! The wire as TS 102 221 §10 and ISO/IEC 7816-4 §5 define it: [`Command`] (cases 1 to 4, short and
//! extended), [`Class`] (logical channels 0 to 19), [`Ins`], [`Response`] with its [`StatusWord`],
//! [`Aid`], [`Oid`], and [`tlv`] (BER and COMPREHENSION-TLV, borrowing and depth-limited). [`Icc`] is a card seen from its contacts,
//! [`Transport`] one seen from its host.
//!
//! No I/O, no allocation on the way in, and nothing that knows what a USIM or an eUICC is.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read vectors from files"))]

mod aid;
mod atr;
pub mod bcd;
mod class;
mod command;
mod icc;
mod ins;
mod oid;
mod response;
mod status_word;
pub mod tlv;
pub mod transport;
mod words;

pub use aid::{Aid, InvalidAid};
pub use atr::Announced;
pub use class::{Class, SecureMessaging};
pub use command::{Command, CommandBuf, MalformedCommand};
pub use icc::Icc;
pub use ins::Ins;
pub use oid::{InvalidOid, Oid};
pub use response::Response;
pub use status_word::StatusWord;
pub use transport::{InProcess, Transport, TransportError};
pub use words::counted;
