//! The emulated card, put together: operating system, applications, memory on disk, personalisation.
//!
//! * [`image`]: a card's memory in a file, safe against a power cut at any point.

pub mod image;
