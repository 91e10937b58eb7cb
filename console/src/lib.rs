//! What every command has in common: results on stdout, as text or JSON; failures in one line, with cause and way out;
//! files that are written completely or not at all; randomness and the time.
//!
//! | module | what |
//! |---|---|
//! | [`output`] | results, and what of them may reach a terminal |
//! | [`failure`] | why a command failed |
//! | [`exit`] | what its exit code says |
//! | [`file`](mod@file) | files and folders that commands write |
//! | [`random`] | random bytes, and the time, from the operating system |
//! | [`hexadecimal`] | bytes as text |

// All output goes through `output`, which keeps control characters from outside off the terminal.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod exit;
pub mod failure;
pub mod file;
pub mod hexadecimal;
pub mod output;
pub mod random;

pub use exit::Exit;
pub use failure::{AtPath, Failure};
pub use output::Output;
