//! How two devices of one person find each other, make sure that nobody sits between them, and talk.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | what paired devices say to each other, and its octets |
//! | [`link`] | one end of a connection as two queues, whatever carries it |
//! | [`protocol`] | numeric comparison with commitment, without input or output |
//! | [`bond`] | who a device is, and whom it knows |
//! | [`carrier`] | what carries a conversation, whichever it is |
//! | [`lan`] | carrier: TLS on the local network, found by mDNS |
//! | [`bluetooth`] | carrier: Bluetooth LE |
//! | [`proxy`] | on top of a channel: the secondary downloads through the primary's connection |
//!
//! A carrier does the pairing and gives a [`Channel`]: nobody but the paired device is at the other end of it.

pub mod bluetooth;
pub mod bond;
pub mod carrier;
pub mod lan;
pub mod link;
pub mod message;
pub mod protocol;
pub mod proxy;

use core::fmt;
use std::path::Path;
use std::time::Duration;

pub use bond::{Bonds, Fingerprint, Identity};
pub use carrier::{Carrier, Found, Place, meet};
pub use link::{Link, Sender, in_process};
pub use message::{Message, Role};
pub use protocol::{Digits, Question};
pub use proxy::{Gateway, ProxyUrl, Tunnel};

/// Asks the person whether the other device shows the same digits. They may take their time, as long as the answer is
/// wanted; what is said later does not matter.
pub type Compare<'a> = &'a mut dyn FnMut(&Question, IsWanted<'_>) -> bool;

/// Whether an answer is still wanted: no more, once the other person has said no or the other device is gone.
pub type IsWanted<'a> = &'a mut dyn FnMut() -> bool;

/// A channel, and who is at the other end.
#[derive(Debug)]
pub struct Paired {
    /// The channel.
    pub channel: Link,
    /// The other device.
    pub device: Fingerprint,
    /// What it says it is called.
    pub name: String,
    /// Whether the persons have just compared digits. The bond is kept already.
    pub fresh: bool,
}

/// A conversation with the paired device: authenticated, confirmed by both users, encrypted where it can be overheard.
pub trait Channel: Send {
    /// Sends one message. It may still be under way when this returns.
    fn send(&mut self, message: &Message) -> Result<(), PairingError>;

    /// The next message, waiting no longer than `patience`.
    fn receive(&mut self, patience: Duration) -> Result<Message, PairingError>;

    /// Another way to send, for another thread.
    fn sender(&self) -> Sender;
}

impl<C: Channel + ?Sized> Channel for Box<C> {
    fn send(&mut self, message: &Message) -> Result<(), PairingError> {
        (**self).send(message)
    }

    fn receive(&mut self, patience: Duration) -> Result<Message, PairingError> {
        (**self).receive(patience)
    }

    fn sender(&self) -> Sender {
        (**self).sender()
    }
}

impl<C: Channel + ?Sized> Channel for &mut C {
    fn send(&mut self, message: &Message) -> Result<(), PairingError> {
        (**self).send(message)
    }

    fn receive(&mut self, patience: Duration) -> Result<Message, PairingError> {
        (**self).receive(patience)
    }

    fn sender(&self) -> Sender {
        (**self).sender()
    }
}

/// Why there is no pairing, or no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// Nothing came in time. The conversation goes on.
    #[error("the other device did not answer within {} s", .0.as_secs())]
    Patience(Duration),
    /// The other device is gone.
    #[error("the connection to the other device has ended; bring it near and connect again")]
    Closed,
    /// What came is no message. The conversation is over.
    #[error("the other device does not speak this protocol: {0}")]
    Malformed(String),
    /// A message too long for this protocol, in or out.
    #[error("a message of {0} octets; the longest has {max}", max = message::LIMIT)]
    TooLong(usize),
    /// The other device speaks another release of the protocol.
    #[error("the other device pairs by release {0} of the protocol, this one by {own}; update the older", own = protocol::VERSION)]
    Version(u32),
    /// The other device, or this one, does not know the bond that would make numbers needless.
    #[error("these devices are not paired; pair them with both persons looking")]
    UnknownBond,
    /// Nobody waits for numbers to compare.
    #[error("this device does not pair now; open its pairing first")]
    NotOpen,
    /// The nonce is not the one that was promised: somebody sits between the devices.
    #[error("somebody between the devices has tried to choose the digits; nothing was paired")]
    Commitment,
    /// The person at this device says that the digits differ, or wants no pairing.
    #[error("not paired: the digits were not confirmed here")]
    Rejected,
    /// The person at the other device says so.
    #[error("not paired: the digits were not confirmed on the other device")]
    RejectedByOther,
    /// The other device refuses.
    #[error("the other device refuses: {0}")]
    Refused(String),
    /// Nobody lets himself be found.
    #[error("no secondary was found; is it waiting? (`vuicc device secondary … serve`; to pair, with --pair)")]
    NotFound,
    /// Some do, but none of them is paired.
    #[error("no secondary was found that is paired, only {0}; pair first, or say which with --to ADDRESS")]
    Strangers(String),
    /// More than one could be meant.
    #[error("several secondaries were found: {0}; say which with --to ADDRESS")]
    Several(String),
    /// A file with what must be remembered.
    #[error("{0}")]
    Storage(String),
    /// The connection is not encrypted as it must be.
    #[error("no encrypted connection to the other device: {0}")]
    Tls(String),
    /// The network, or the way to the controller.
    #[error("{0}")]
    Network(String),
    /// What the radio, or whoever is at its other end, does not do as it must be.
    #[error("Bluetooth: {0}")]
    Bluetooth(String),
}

impl PairingError {
    /// Whether somebody only failed to speak: nothing a person could do anything about.
    const fn is_noise(&self) -> bool {
        matches!(self, Self::Closed | Self::Malformed(_) | Self::Patience(_) | Self::Tls(_) | Self::TooLong(_))
    }

    pub(crate) fn storage(path: &Path, error: impl fmt::Display) -> Self {
        Self::Storage(format!("{}: {error}", path.display()))
    }
}
