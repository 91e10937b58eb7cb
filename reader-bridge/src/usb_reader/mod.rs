//! The card's side of readers on a USB made of software: QEMU's `ccid-card-passthru`, and USB/IP for hosts that plug the reader in over
//! the network. The messages are those of the crate `usb`; here they are connected, timed and sent.
//!
//! Nobody is authenticated. One host has the card at a time; what is no such host, stops within a message or does not take its
//! answers is sent away, and the card loses its power. A [`Hand`] pulls, inserts and resets the card meanwhile.

mod hand;
mod host;
mod qemu;
mod usbip;

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use apdu::Icc;

pub use ::usb::ccid::Identity;
pub use hand::{Hand, Move, Moves, NotMoved};

use crate::socket::{Address, Listener};

/// How long a card stays out that is to be missed: drivers look for it several times a second.
const ABSENCE: Duration = Duration::from_millis(1500);

/// Where a host gets its reader from.
#[derive(Debug)]
pub enum Via {
    /// QEMU connects to this, as `-chardev socket` without `server`.
    ForQemu(Listener),
    /// QEMU listens there: `-chardev socket,server=on`.
    ToQemu(Address),
    /// USB/IP clients connect to this, and find this reader.
    ForUsbip(Listener, Identity),
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForQemu(listener) | Self::ForUsbip(listener, _) => listener.address().fmt(f),
            Self::ToQemu(address) => address.fmt(f),
        }
    }
}

/// Why a card was taken out for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Somebody wanted that.
    ByHand,
    /// The enabled profile has changed, and the host cannot reset the card itself.
    Refresh,
    /// The card did not answer a command, and its host would wait without end.
    Mute,
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByHand => "as asked",
            Self::Refresh => "the enabled profile has changed, and no reset of the guest reaches the card",
            Self::Mute => "the card did not answer a command",
        })
    }
}

/// What happens between a card and the host of its reader.
#[derive(Debug)]
pub enum Link<'a> {
    /// The host is not there yet, or any more; the card tries again.
    Waiting(&'a io::Error),
    /// A host has the reader.
    Attached,
    /// The card is in the reader: the host can use it.
    Inserted,
    /// The card was pulled.
    Pulled,
    /// The card was taken out, and is put in again in a moment, after which it begins anew.
    Resetting(Reset),
    /// The host is gone, or was sent away.
    Gone(&'a io::Error),
    /// None can be accepted at the moment.
    Unaccepted(&'a io::Error),
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(cause) => write!(f, "no QEMU ({cause}); the card tries again"),
            Self::Attached => f.write_str("a host has the reader"),
            Self::Inserted => f.write_str("card inserted"),
            Self::Pulled => f.write_str("card pulled"),
            Self::Resetting(why) => write!(f, "{why}; the card is taken out, reset and inserted again"),
            Self::Gone(cause) => write!(f, "host gone: {cause}"),
            Self::Unaccepted(cause) => write!(f, "no host can be accepted: {cause}"),
        }
    }
}

/// A reader that hosts can have.
#[derive(Debug)]
pub struct UsbReader {
    /// Where from.
    pub via: Via,
    /// What is done to the card by hand.
    pub moves: Moves,
    /// Whether the card stays in when the enabled profile has changed and the host's resets do not reach it.
    pub keeps_card: bool,
}

impl UsbReader {
    /// Serves `card` to hosts, one at a time, until `shutdown` completes.
    pub async fn serve<C, S>(self, card: &mut C, shutdown: S, on_link: impl FnMut(Link<'_>))
    where
        C: Icc + ?Sized,
        S: Future<Output = ()>,
    {
        self.serve_within(host::LIMITS, card, shutdown, on_link).await;
    }

    async fn serve_within<C, S>(
        self,
        limits: host::Limits,
        card: &mut C,
        shutdown: S,
        mut on_link: impl FnMut(Link<'_>),
    ) where
        C: Icc + ?Sized,
        S: Future<Output = ()>,
    {
        let Self { via, mut moves, keeps_card } = self;
        let serving = async {
            match &via {
                Via::ForQemu(listener) => {
                    let way = qemu::Way::Accepting(listener);
                    qemu::serve(limits, card, way, &mut moves, keeps_card, &mut on_link).await;
                }
                Via::ToQemu(address) => {
                    let way = qemu::Way::Connecting(address);
                    qemu::serve(limits, card, way, &mut moves, keeps_card, &mut on_link).await;
                }
                Via::ForUsbip(listener, identity) => {
                    usbip::serve(limits, card, listener, identity.clone(), &mut moves, &mut on_link).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = serving => {}
        }
        card.power_off();
    }
}

#[cfg(test)]
mod tests;
