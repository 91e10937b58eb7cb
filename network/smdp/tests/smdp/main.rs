//! An SM-DP+ and its database, as LPAs and operators find it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is how a test fails")]

mod bench;
mod client;
mod database;
mod es2plus;
mod es9plus;
mod euicc;
mod log;
mod reset;
mod sessions;
