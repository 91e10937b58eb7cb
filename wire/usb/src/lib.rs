//! Smart card readers on a USB made of software, around a card seen from its contacts ([`apdu::Icc`]). Sans-IO: octets come
//! in and go out as arguments, and who drives a session waits, connects and sends.
//!
//! [`vscard`] is what QEMU's `ccid-card-passthru` takes a card by: QEMU is the reader, and shows it to its guest. [`usbip`] is the
//! server's side of USB/IP: there [`ccid`] is the reader, whole, with its descriptors. Both carry T=0 as a reader at TPDU
//! level does ([`tpdu`]): `61XX` and `6CXX` are for the host.

pub mod ccid;
mod inbox;
pub mod refresh;
pub mod tpdu;
pub mod usbip;
pub mod vscard;

#[cfg(test)]
mod testing;

/// What ends a connection: the other end does not keep to the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// What it sent begins no message of this protocol.
    #[error("what it sent is no {0}")]
    Foreign(&'static str),
    /// A message is longer than any of its kind.
    #[error("it announces {length} octets, and {most} is the most")]
    TooLong {
        /// The length that a message gives.
        length: u32,
        /// The longest that is taken.
        most: u32,
    },
    /// A message that has a meaning, but not here.
    #[error("it sent {0}")]
    OutOfTurn(&'static str),
    /// It does not take the reader or the card.
    #[error("{0}")]
    Refused(&'static str),
    /// It asks for more at a time than there is room for.
    #[error("it has {0} transfers open, which is too many")]
    TooManyTransfers(usize),
}
