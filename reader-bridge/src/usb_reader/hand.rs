//! Who pulls a card out of its reader, and puts it in.

use tokio::sync::{mpsc, oneshot};

/// What is done to a card by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Taken out.
    Pull,
    /// Put in.
    Insert,
    /// Taken out, reset, and put in again.
    Reset,
}

/// Why a card was not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMoved {
    /// It is out.
    #[error("the card is out of its reader already")]
    AlreadyOut,
    /// It is in.
    #[error("the card is in its reader already")]
    AlreadyIn,
    /// It is on its way: a reset is not over.
    #[error("the card is being reset; try again in a moment")]
    Resetting,
    /// It is in, and its reader has no use for it.
    #[error("the card's reader does not take it: it gives no answer to reset of 1 to 40 octets")]
    NotTaken,
    /// Its reader is served no more.
    #[error("the card's reader has ended")]
    Ended,
}

/// The answer to a [`Move`].
pub(super) type Answer = oneshot::Sender<Result<(), NotMoved>>;

/// Moves a card whose reader is served elsewhere.
#[derive(Clone, Debug)]
pub struct Hand(mpsc::UnboundedSender<(Move, Answer)>);

/// What a [`Hand`] wants, at the reader.
#[derive(Debug)]
pub struct Moves(mpsc::UnboundedReceiver<(Move, Answer)>);

impl Hand {
    /// A hand, and its end at the reader.
    pub fn new() -> (Self, Moves) {
        let (hand, moves) = mpsc::unbounded_channel();
        (Self(hand), Moves(moves))
    }

    /// Moves the card, and waits until that is done.
    ///
    /// # Errors
    /// If it is where it is wanted already, or its reader has ended.
    pub async fn ask(&self, wanted: Move) -> Result<(), NotMoved> {
        let (answer, answered) = oneshot::channel();
        self.0.send((wanted, answer)).map_err(|_| NotMoved::Ended)?;
        answered.await.unwrap_or(Err(NotMoved::Ended))
    }
}

impl Moves {
    /// The next one. Never completes when there can be none any more.
    pub(super) async fn next(&mut self) -> (Move, Answer) {
        match self.0.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}
