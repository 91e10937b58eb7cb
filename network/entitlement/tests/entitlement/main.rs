//! The authorization server on the wire: every method of authentication, every flow, and what it refuses.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod flows;
mod hostile;
#[path = "../../../aaa/tests/aaa/peer.rs"]
mod peer;
mod requests;
mod world;
