//! A card image: one file that holds everything a card remembers, and what it was made as.
//!
//! ```text
//! create ──► a file appears, whole or not at all        FileNvm::open ──► the card's memory, locked to one process
//!                                                       read ───────────► a copy to look at, also of a card at work
//! ```
//!
//! The file is a [redb](https://docs.rs/redb) database of two tables: `vuicc card` says what the card is
//! ([`Manufacture`]) under names, `memory` maps each `Key` of the operating system's memory to its bytes. Its layout has
//! a number, [`FORMAT`]; the rule is: a change to what any part of the program stores raises it, teaches
//! [`FileNvm::open`] to read the older one, and keeps an image of each release under `tests/nvm-images`.
//!
//! An image holds the card's keys in clear. It is made readable for its owner only.

mod error;
mod file;
pub mod fleet;
pub mod holder;
mod locked;
mod manufacture;
#[cfg(test)]
mod power_cut;

pub use error::ImageError;
pub use file::{FileNvm, create, read};
pub use manufacture::{CardType, Manufacture};

/// How a card image begins, as every redb database does.
pub const BEGINNING: &[u8; 4] = b"redb";

/// Number of the layout this release writes: 2, in which file descriptors have access rules of every format, and a BER-TLV
/// structure EF what is set aside for it. Version 0.1.0 wrote 1, and takes such files for none.
pub const FORMAT: u32 = 2;
