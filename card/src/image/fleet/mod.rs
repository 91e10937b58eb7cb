//! A fleet: many cards of one make in one file.
//!
//! ```text
//! Maker::begin, add …, finish ──► a file appears, whole or not at all
//! Fleet::open ──► a memory for each card, on a file that is locked to one process
//! read ─────────► a copy to look at, also of a fleet at work
//! ```
//!
//! Cards of one make differ in little: their number, keys and certificate, what distinguishes one subscription from
//! another, and what has happened to them. The file holds what the first card was made with once, and of each card what it has
//! for itself ([`LayeredNvm`]). In working memory it is the same.
//!
//! The file is a [redb](https://docs.rs/redb) database, as a [card image](super) is, of four tables: `vuicc fleet` says what
//! the cards are, `members` who they are, `common memory` and `own memory` what they remember. What several cards write at a
//! time becomes one transaction on the disk; each write has reached it when it returns.

mod gate;
mod member;
#[cfg(test)]
mod power_cut;
mod store;
mod writer;

pub use card_os::nvm::{LayeredNvm, Nvm};
pub use member::{Member, Subscription};
pub use store::{Fleet, Maker, MemberNvm, read};

use std::path::PathBuf;

use super::ImageError;

/// Number of the layout that this release writes.
pub const FORMAT: u32 = 1;

/// How many cards a fleet may have.
pub const MOST: u32 = 100_000;

/// A fleet cannot be made, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Nothing is there.
    #[error("{0}: there is no fleet here")]
    NotFound(PathBuf),
    /// The file is something else.
    #[error("{0} is not a fleet's file")]
    NotAFleet(PathBuf),
    /// A later release made it.
    #[error("{path} has layout {found}, this release knows layouts up to {FORMAT}; use the release that made it")]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// No whole copy could be made of a file that a process writes to.
    #[error("{path} is being written to by {holder}, and no whole copy could be made; try again, or end it first")]
    BeingWritten {
        /// The file.
        path: PathBuf,
        /// The process, in words.
        holder: String,
    },
    /// As with card images.
    #[error(transparent)]
    Image(ImageError),
}

impl From<ImageError> for FleetError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::NotFound(path) => Self::NotFound(path),
            ImageError::NotACardImage(path) => Self::NotAFleet(path),
            other => Self::Image(other),
        }
    }
}
