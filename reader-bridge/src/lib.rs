//! How a card meets the world, and how a host meets a card.
//!
//! Host side: [`transport`] is the one trait; [`in_process`] reaches an emulated card directly, [`pcsc_reader`] any
//! card in a reader. Card side: [`vpcd`] puts an emulated card into a virtual reader. On either side [`trace`] watches
//! and [`faults`] spoils what passes, by wrapping; [`script`] plays written dialogues on any card.

pub mod faults;
pub mod in_process;
pub mod pcsc_reader;
pub mod script;
pub mod trace;
pub mod transport;
pub mod vpcd;

#[cfg(test)]
mod testing;

pub use in_process::InProcess;
pub use pcsc_reader::PcscReader;
pub use transport::{Transport, TransportError};
