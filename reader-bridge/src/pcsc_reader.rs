//! A card in a real or virtual reader, reached through the PC/SC service.
//!
//! Alone, or shared with other programs: then each command, with what belongs to it, is a transaction of its own, and the
//! card is left as it is. What the service does is done in a thread of its own, as it may take as long as another program
//! likes to hold the card.
//!
//! Without the feature `pcsc` nothing is linked, and each attempt ends with [`ReaderError::WithoutPcsc`].
//!
//! [`ReaderError::WithoutPcsc`]: crate::ReaderError::WithoutPcsc

#[cfg(not(feature = "pcsc"))]
mod absent;
#[cfg(feature = "pcsc")]
mod service;

use std::fmt;

#[cfg(not(feature = "pcsc"))]
pub use absent::{PcscReader, find_reader, list_readers, touch, wait_for_card, wait_until_empty};
#[cfg(feature = "pcsc")]
pub use service::{PcscReader, find_reader, list_readers, touch, wait_for_card, wait_until_empty};

/// One reader of the PC/SC service and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Number by which [`PcscReader::connect`] finds it.
    pub index: usize,
    /// The service's name for it.
    pub name: String,
    /// Answer to reset of the card in it; `None` when it is empty, empty when the card is mute.
    pub card: Option<Vec<u8>>,
    /// Whether a program uses the card.
    pub in_use: bool,
    /// Whether it holds the card for itself alone.
    pub exclusive: bool,
    /// How many cards have come and gone since the service has this reader, modulo 65,536.
    pub events: u32,
}

impl Reader {
    /// Whether a card is in it that a host can use.
    pub fn has_answered(&self) -> bool {
        self.card.as_ref().is_some_and(|atr| !atr.is_empty())
    }

    /// Whether it is made of software: such a reader notices a card that is gone at its next look only.
    pub fn is_virtual(&self) -> bool {
        self.name.starts_with("Virtual PCD")
    }

    /// Whether, since `before` was listed, a card has been put in that gives this answer to reset.
    fn has_new(&self, atr: &[u8], before: &[Self]) -> bool {
        let was = before.iter().find(|reader| reader.name == self.name);
        let is_new = was.is_none_or(|was| was.card.is_none() || was.events != self.events);
        is_new && self.card.as_deref() == Some(atr)
    }
}

/// The readers that hold a card with this answer to reset which was put in since `before` was listed. It is waited for until
/// `limit`; then, or where there is no PC/SC service or none that this process may use, there are none.
pub fn wait_for_new_card(before: &[Reader], atr: &[u8], limit: std::time::Duration) -> Vec<Reader> {
    /// Between two looks.
    const GLANCE: std::time::Duration = std::time::Duration::from_millis(10);
    let deadline = std::time::Instant::now() + limit;
    loop {
        let Ok(readers) = list_readers() else { return Vec::new() };
        let new: Vec<_> = readers.into_iter().filter(|reader| reader.has_new(atr, before)).collect();
        if !new.is_empty() || std::time::Instant::now() >= deadline {
            return new;
        }
        std::thread::sleep(GLANCE);
    }
}

/// Whom a card is for while it is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// This program alone. Other programs are refused, and where there is one this one is. At the end the power is taken
    /// from the card, so the next program finds a fresh one.
    #[default]
    Exclusive,
    /// Other programs as well, between two commands. At the end the logical channels opened here are closed, and the card is
    /// left as it is.
    Shared,
}

/// How a card is connected.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whom it is for.
    pub sharing: Sharing,
    /// Hears, once for each time, that it takes long because another program holds the card.
    pub waiting: fn(&Waiting),
}

impl Default for Options {
    fn default() -> Self {
        Self { sharing: Sharing::Exclusive, waiting: |_| {} }
    }
}

/// Another program lets this one wait for the card: the cause and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Name of the reader.
    pub reader: String,
    /// Whether the service says that a program uses the card.
    pub in_use: bool,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reader, in_use } = self;
        if *in_use {
            write!(
                f,
                "waiting for the card in `{reader}`: another program holds it (in a PC/SC transaction, or while it resets)"
            )?;
            f.write_str("; it goes on when that program lets go or is ended, Ctrl-C gives up")
        } else {
            write!(f, "waiting for the card in `{reader}`, which the PC/SC service does not give; Ctrl-C gives up")
        }
    }
}
