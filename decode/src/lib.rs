//! APDUs explained: a session between a host and a card as trees of named fields.
//!
//! ```
//! use decode::Decoder;
//!
//! let mut session = Decoder::new();
//! session.exchange(&[0x00, 0xA4, 0x00, 0x04, 0x02, 0x2F, 0xE2], &[0x61, 0x20]);
//! let read = session.exchange(
//!     &[0x00, 0xB0, 0x00, 0x00, 0x0A],
//!     &[0x98, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0x10, 0x32, 0x14, 0x90, 0x00],
//! );
//! assert_eq!(read.summary, "READ BINARY EF.ICCID");
//! assert_eq!(read.find("ef.iccid").unwrap().shown().unwrap(), "89000123456789012341");
//! ```
//!
//! A [`Decoder`] follows the channels, what is selected on each, chained STORE DATA, responses that GET RESPONSE fetches, commands
//! that are repeated with another Le, and bound profile packages, which it opens with a key log. Each [`Field`] has a [`Name`] that does
//! not change between releases, a typed [`Value`], and the octets it was found in. [`names()`] lists them all.
//!
//! What cannot be decoded is there as octets, in fields `unknown` and `malformed` with the reason. PINs and keys, and what may be
//! one, are left out of everything unless they are asked for.

mod answer;
pub mod application;
mod atr;
mod certificate;
mod channel;
mod command;
mod compare;
mod digits;
mod field;
mod file;
mod gsm;
pub mod json;
mod line;
mod names;
mod profile;
mod schema;
mod secret;
mod services;
mod session;
mod sms;
mod tables;
mod text;
mod toolkit;
mod usim_file;

pub use answer::{status_meaning, status_words_in_context};
pub use compare::{Differing, VARYING, Varies, compare};
pub use field::{Field, Hidden, Kind as ValueKind, Name, Place, Source, Value, hex};
pub use line::{describe_command, describe_response, instruction, pretty_tlv};
pub use names::all as names;
pub use schema::{Form, Node, Reading};
pub use secret::{key_files, key_folders, programming, secret_names, short_key_files};
pub use session::{Decoded, Decoder, Kind, Topic};
pub use tables::es10::{MESSAGES, Message};
pub use tables::places;
pub use text::Text;

pub(crate) use command::duration as command_duration;
