//! Profile packages from the interpreter to the terminal: installed on a card, seen through APDUs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test wants to hear of it")]
#![allow(clippy::disallowed_methods, reason = "tests read vectors from files")]

mod card;
mod files;
#[path = "../../../saip/tests/normative/mod.rs"]
mod normative;
mod subscriber;
mod ts48;
