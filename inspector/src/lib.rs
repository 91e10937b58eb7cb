//! A card laid open in a browser of the same machine: its files decoded, its APDUs as they pass, its profiles, its memory, what
//! has changed; and what can be done to it.
//!
//! * [`handle`] – a card that runs, seen by its owner: what the command line implements.
//! * [`model`] – a card's memory as trees, fields and changes; no sockets, no files, no clock.
//! * `dialogue` – what is done to a card by commands, under its access rules.
//! * [`Emulated`] and [`RealCard`] – what can be inspected: a [`Subject`].
//! * [`stream`] – exchanges explained while they happen, for as many pages as there are places.
//! * [`server`] – the page and what it asks: a token, this machine, no other site.

mod dialogue;
mod emulated;
pub mod handle;
pub mod model;
mod reader;
pub mod server;
pub mod stream;
mod subject;

pub use emulated::Emulated;
pub use handle::{By, Handle, Refusal, Seen};
pub use reader::RealCard;
pub use subject::{Act, Key, ProfileChange, Subject};
