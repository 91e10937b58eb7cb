//! The modem's own thread. A command takes as long as its card likes; the process hears its user meanwhile.

use std::io;
use std::thread;
use std::time::Duration;

#[cfg(feature = "operator")]
use modem::network::Event;
use modem::network::Request;
use modem::{Modem, Port};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// How long the card may take with its last command when the modem is to end.
const GRACE: Duration = Duration::from_secs(2);

/// What the modem is given.
enum Job {
    /// A program wrote something, or asks what there is for it.
    Written {
        port: Port,
        /// PINs, perhaps.
        octets: Zeroizing<Vec<u8>>,
        /// Who waits for the answers.
        waiting: oneshot::Sender<Answered>,
    },
    /// A program is gone.
    Gone(Port),
    /// Something came from the network.
    #[cfg(feature = "operator")]
    Heard(Event),
    /// Time passes.
    Tick,
}

/// What came of what a program wrote.
pub(super) struct Answered {
    /// The one that it was written to.
    pub(super) port: Port,
    /// What the program gets, each answer in one piece.
    pub(super) answers: Vec<Vec<u8>>,
    /// Whether the card is in its reader, as far as was seen.
    pub(super) has_card: bool,
}

/// Gives the modem what programs write, one after the other.
pub(super) struct ModemThread {
    jobs: mpsc::UnboundedSender<Job>,
    events: watch::Receiver<u64>,
}

/// Completes when the modem has ended: when nobody has its [`ModemThread`] any more.
pub(super) struct Ended(oneshot::Receiver<()>);

/// A modem that is about to start: its network can be told already where to bring what it has for it.
pub(super) struct Start {
    jobs: mpsc::UnboundedSender<Job>,
    waiting: mpsc::UnboundedReceiver<Job>,
}

impl Start {
    pub(super) fn new() -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        Self { jobs, waiting }
    }

    /// Where events of the network go. It does not keep the modem from ending.
    #[cfg(feature = "operator")]
    pub(super) fn ear(&self) -> impl Fn(Event) + Send + Sync + use<> {
        let jobs = self.jobs.downgrade();
        move |event| {
            if let Some(jobs) = jobs.upgrade() {
                // The modem has ended: nobody hears it.
                let _ = jobs.send(Job::Heard(event));
            }
        }
    }

    /// Starts it. `ask` takes what it asks of its network.
    pub(super) fn start(
        self,
        modem: Modem,
        ask: impl Fn(Request) + Send + 'static,
    ) -> io::Result<(ModemThread, Ended)> {
        let Self { jobs, waiting } = self;
        let (lives, ended) = oneshot::channel::<()>();
        let (tell, events) = watch::channel(0);
        thread::Builder::new().name("modem".to_owned()).spawn(move || {
            run(modem, waiting, &ask, &tell);
            drop(lives);
        })?;
        Ok((ModemThread { jobs, events }, Ended(ended)))
    }
}

fn run(mut modem: Modem, mut waiting: mpsc::UnboundedReceiver<Job>, ask: &impl Fn(Request), tell: &watch::Sender<u64>) {
    let begun = Instant::now();
    let mut told = modem.events();
    loop {
        for request in modem.requests() {
            ask(request);
        }
        let events = modem.events();
        if events != told {
            told = events;
            tell.send_modify(|count| *count += 1);
        }
        let Some(job) = waiting.blocking_recv() else { return };
        match job {
            Job::Written { mut port, octets, waiting } => {
                let answers = modem.receive(&mut port, &octets, begun.elapsed());
                // The program may be gone.
                let _ = waiting.send(Answered { port, answers, has_card: modem.has_card() });
            }
            Job::Gone(port) => modem.release(&port),
            #[cfg(feature = "operator")]
            Job::Heard(event) => modem.hear(event, begun.elapsed()),
            Job::Tick => modem.tick(begun.elapsed()),
        }
    }
}

impl ModemThread {
    /// Has the modem answer; others wait until it is their turn.
    ///
    /// # Errors
    /// If the modem has ended.
    pub(super) async fn receive(&self, port: Port, octets: &[u8]) -> io::Result<Answered> {
        let (waiting, answered) = oneshot::channel();
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the modem has ended");
        let octets = octets.to_vec().into();
        self.jobs.send(Job::Written { port, octets, waiting }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }

    /// A program is gone.
    pub(super) fn release(&self, port: Port) {
        let _ = self.jobs.send(Job::Gone(port));
    }

    /// Time passes.
    pub(super) fn tick(&self) {
        let _ = self.jobs.send(Job::Tick);
    }

    /// Completes when there may be something for programs that they did not ask for.
    pub(super) fn events(&self) -> watch::Receiver<u64> {
        self.events.clone()
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
