//! All rooms together: what they log, and a database of 0.1.0.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod carried_over;
mod log;
#[path = "../../../aaa/tests/aaa/peer.rs"]
mod peer;
#[path = "../../../entitlement/tests/entitlement/world.rs"]
mod world;
