//! How a card meets the world, and how a host meets a card.
//!
//! Host side: [`transport`] is the one trait; [`in_process`] reaches an emulated card directly.

pub mod in_process;
pub mod transport;

#[cfg(test)]
mod testing;

pub use in_process::InProcess;
pub use transport::{Transport, TransportError};
