//! How a card meets the world, and how a host meets a card.
//!
//! Host side: [`pcsc_reader`] is an [`apdu::Transport`] to any card in a reader, as [`apdu::InProcess`] is one to an emulated
//! card in this process. Card side: [`vpcd`] puts an emulated card into a virtual reader,
//! [`socket`] behind a socket, [`usb_reader`] into a reader on a USB made of software, [`remsim`] into a bank of cards, [`proxy`] a
//! card that another reader holds, and [`replay`] one that is only recorded. On either side [`trace`] watches what passes, by
//! wrapping; [`script`] plays written dialogues on any card.

mod held_back;
pub mod pcsc_reader;
pub mod proxy;
mod reader_error;
pub mod remsim;
pub mod replay;
pub mod script;
pub mod socket;
pub mod trace;
pub mod usb_reader;
pub mod vpcd;

#[cfg(test)]
mod testing;

pub use held_back::HeldBack;
pub use pcsc_reader::PcscReader;
pub use reader_error::ReaderError;
