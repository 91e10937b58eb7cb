//! Orders and shared numbers, and ES2+ as an SM-DP+ sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod es2plus;
mod notices;
mod orders;
mod server;
mod troubles;
mod world;
