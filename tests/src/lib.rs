//! What the tests that need more than one crate have in common.
//!
//! `tests/clients_*.rs` put foreign programs in front of our card and our servers, one file per program:
//!
//! ```text
//! cargo test ── scripts/private-pcscd -n ── the same test again, now beside a PC/SC service and a network of its own
//!                                             ├─ vuicc card run, vuicc smdp serve     vuicc.rs
//!                                             └─ the foreign program                  peer.rs
//! ```
//!
//! A program that is absent is skipped aloud; with `VUICC_PEERS` in the environment its absence is a failure ([`peer`]).
//! Whatever a test starts ends with it ([`process`]), and nothing leaves the loopback of its own network ([`reader`]).

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod card_faults;
pub mod controllers;
pub mod dialogues;
pub mod dice;
pub mod fleet;
pub mod guest;
pub mod hearing;
pub mod host;
pub mod images;
pub mod modem;
pub mod mutation;
pub mod network;
pub mod page;
pub mod peer;
pub mod postgresql;
pub mod process;
pub mod pysim;
pub mod radius;
pub mod reader;
pub mod replaying;
pub mod schema;
pub mod server_faults;
pub mod sgp26;
pub mod specimen;
pub mod subscriber;
pub mod telephony;
pub mod usb;
pub mod vuicc;
pub mod webdriver;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A file of the shelf of test vectors beside the repository; `None`, said aloud, where there is no such shelf.
pub fn vector(name: &str) -> Option<PathBuf> {
    let path = repository().join("../shared/vectors").join(name);
    if path.exists() {
        return path.canonicalize().ok();
    }
    peer::say(&format!("{}: not there, what needs it is skipped", path.display()));
    None
}
