//! The emulated card, put together: operating system, applications, memory on disk, personalisation.
//!
//! * [`personalise`]: a new card, from a description of it.
//! * [`image`]: a card's memory in a file, safe against a power cut at any point.
//! * [`assemble`]: [`open`] takes the card out of its image, ready for `power_on`.
//! * [`fault`]: what is to go wrong with a card, as it is written.
//! * [`inspect`]: what is on a card, to be shown.
//! * [`personality`]: cards as they are met in the field, described in a file.
//! * [`programmable`]: programmable cards as they are sold.
//! * [`entropy`]: where its random bytes come from.

pub mod assemble;
pub mod entropy;
pub mod fault;
pub mod image;
pub mod inspect;
pub mod personalise;
pub mod personality;
pub mod programmable;

pub use card_os::{Card, Entropy};

pub use assemble::{OpenError, open, open_from, open_repeatably, open_with};
