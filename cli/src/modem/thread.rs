//! The modem's own thread. A command takes as long as its card likes; the process hears its user meanwhile.

use std::io;
use std::thread;
use std::time::Duration;

use modem::{Modem, Port};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// How long the card may take with its last command when the modem is to end.
const GRACE: Duration = Duration::from_secs(2);

/// What a program wrote, and who waits for the answers.
struct Written {
    port: Port,
    /// PINs, perhaps.
    octets: Zeroizing<Vec<u8>>,
    waiting: oneshot::Sender<Answered>,
}

/// What came of it.
pub(super) struct Answered {
    /// The one that it was written to.
    pub(super) port: Port,
    /// What the program gets, each answer in one piece.
    pub(super) answers: Vec<Vec<u8>>,
    /// Whether the card is in its reader, as far as was seen.
    pub(super) has_card: bool,
}

/// Gives the modem what programs write, one after the other.
pub(super) struct ModemThread(mpsc::UnboundedSender<Written>);

/// Completes when the modem has ended: when nobody has its [`ModemThread`] any more.
pub(super) struct Ended(oneshot::Receiver<()>);

impl ModemThread {
    /// Starts it.
    pub(super) fn start(mut modem: Modem) -> io::Result<(Self, Ended)> {
        let (to_modem, mut written) = mpsc::unbounded_channel::<Written>();
        let (lives, ended) = oneshot::channel::<()>();
        let begun = Instant::now();
        thread::Builder::new().name("modem".to_owned()).spawn(move || {
            while let Some(Written { mut port, octets, waiting }) = written.blocking_recv() {
                let answers = modem.receive(&mut port, &octets, begun.elapsed());
                // The program may be gone.
                let _ = waiting.send(Answered { port, answers, has_card: modem.has_card() });
            }
            drop(modem);
            drop(lives);
        })?;
        Ok((Self(to_modem), Ended(ended)))
    }

    /// Has the modem answer; others wait until it is their turn.
    ///
    /// # Errors
    /// If the modem has ended.
    pub(super) async fn receive(&self, port: Port, octets: &[u8]) -> io::Result<Answered> {
        let (waiting, answered) = oneshot::channel();
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the modem has ended");
        self.0.send(Written { port, octets: octets.to_vec().into(), waiting }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

impl Ended {
    /// Completes when it has.
    pub(super) async fn has(&mut self) {
        // Nothing is sent: the other half goes with the thread.
        let _ = (&mut self.0).await;
    }

    /// Waits until it has, and not for a card that does not answer: what that was asked last is as if its power had been cut.
    pub(super) async fn soon(mut self) {
        let _ = timeout(GRACE, self.has()).await;
    }
}
