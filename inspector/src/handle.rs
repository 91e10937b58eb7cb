//! A card that runs, seen by its owner.

use std::path::Path;

/// Why something was not done: cause and way out, one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    /// A refusal in these words.
    pub fn because(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Who has sent a command, or reset the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The host of the card: what is at its reader or socket.
    Host,
    /// The page, or another order of its owner.
    Owner,
}

impl By {
    /// For programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Owner => "page",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Host, Self::Owner].into_iter().find(|by| by.name() == name)
    }
}

/// Something that happened to a card that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose doing it was.
    pub by: By,
    /// What it was.
    pub event: capture::Event,
}

/// How a card is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Where it is: a reader, a socket; `None` if no host can reach it.
    pub place: Option<String>,
    /// Whether it is there. One that was pulled is not.
    pub is_in: bool,
    /// Whether it has power.
    pub is_powered: bool,
}

/// A card that runs, in this process or another one. A call waits until the command under way is done.
pub trait Handle: Send + Sync {
    /// Its image.
    fn image(&self) -> &Path;

    /// How it is.
    ///
    /// # Errors
    /// It does not run.
    fn state(&self) -> Result<State, Refusal>;

    /// Sends a command beside the host, which does not notice. A card without power gets it first.
    ///
    /// # Errors
    /// It does not run, or is out.
    fn transmit(&self, command: &[u8]) -> Result<Vec<u8>, Refusal>;

    /// Takes the power away, between two commands. Until its reader gives it power again the card is silent.
    ///
    /// # Errors
    /// It does not run, or is out.
    fn cut(&self) -> Result<(), Refusal>;

    /// Resets it; its host is not told.
    ///
    /// # Errors
    /// It does not run, or is out.
    fn reset(&self) -> Result<(), Refusal>;

    /// Pulls it out of its place, or puts it back.
    ///
    /// # Errors
    /// It does not run.
    fn put(&self, is_in: bool) -> Result<(), Refusal>;

    /// Writes into a file of a domain, whatever its access rules say.
    ///
    /// # Errors
    /// It does not run, or the octets do not fit.
    fn overwrite(&self, domain: u16, file: u16, offset: usize, octets: &[u8]) -> Result<(), Refusal>;

    /// Orders a fault, as it is written. Returns its number.
    ///
    /// # Errors
    /// It does not run, or the fault is none.
    fn order(&self, fault: &str) -> Result<Vec<u16>, Refusal>;

    /// Clears faults of these numbers; without any, all.
    ///
    /// # Errors
    /// It does not run, or there is no such fault.
    fn clear(&self, numbers: &[u16]) -> Result<Vec<u16>, Refusal>;
}
