//! The work itself: cards in threads, each with one thing to do at a time.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use apdu::{Icc as _, InProcess};
use card::Card;
use card::image::fleet::Subscription;
use identities::Eid;
use lpa::{Checks, Euicc, HttpsClient, LpaError, Options, Order, ServerError, Settings, Unattended, download};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use usim::Usim;

use super::super::shelf::FleetCard;
use super::centre::Centre;
use crate::failure::line;
use crate::random;

/// What a card is to do.
pub(super) enum Task {
    /// A download.
    Download(Order),
    /// So many authentications.
    Authenticate(u32),
}

/// A task, and the number of the card that has it.
pub(super) struct Job {
    pub(super) card: usize,
    pub(super) task: Task,
}

impl Job {
    /// How many operations it is.
    pub(super) fn operations(&self) -> usize {
        match self.task {
            Task::Download(_) => 1,
            Task::Authenticate(rounds) => usize::try_from(rounds).unwrap_or(usize::MAX),
        }
    }
}

/// Which servers are trusted, and how they are judged.
pub(super) struct Servers {
    pub(super) settings: Settings,
    pub(super) checks: Checks,
}

/// One operation that is done.
pub(super) struct Done {
    pub(super) eid: Eid,
    /// When it began.
    pub(super) at: Instant,
    pub(super) took: Duration,
    pub(super) error: Option<Fault>,
}

/// Why one failed.
pub(super) struct Fault {
    /// What others that failed for the same reason have as well.
    pub(super) kind: String,
    /// Cause and way out.
    pub(super) line: String,
}

/// All that is to be done, and who does it.
pub(super) struct Force {
    pub(super) cards: Vec<FleetCard>,
    pub(super) jobs: Vec<Job>,
    pub(super) servers: Option<Servers>,
    /// How many may begin in a second.
    pub(super) rate: Option<f64>,
}

/// Work that has begun.
pub(super) struct Started {
    pub(super) work: Work,
    /// Nothing more comes once all is done.
    pub(super) done: UnboundedReceiver<Done>,
    /// How many do it.
    pub(super) threads: usize,
}

/// Work that goes on.
pub(super) struct Work(Arc<Shared>);

struct Shared {
    cards: Vec<Mutex<FleetCard>>,
    jobs: Mutex<VecDeque<Job>>,
    servers: Option<Servers>,
    pace: Option<Pace>,
    is_stopped: AtomicBool,
}

impl Force {
    /// Starts it, so much at a time, or as much as the system has threads for.
    ///
    /// # Errors
    /// If it has none.
    pub(super) fn start(self, at_once: usize) -> io::Result<Started> {
        self.start_by(at_once, |work| thread::Builder::new().name("load".to_owned()).spawn(work).map(drop))
    }

    fn start_by(
        self,
        at_once: usize,
        mut spawn: impl FnMut(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> io::Result<Started> {
        let shared = Arc::new(Shared {
            cards: self.cards.into_iter().map(Mutex::new).collect(),
            jobs: Mutex::new(self.jobs.into()),
            servers: self.servers,
            pace: self.rate.map(Pace::of),
            is_stopped: AtomicBool::new(false),
        });
        let (told, done) = unbounded_channel();
        let mut threads = 0;
        while threads < at_once {
            let (of_thread, told) = (Arc::clone(&shared), told.clone());
            match spawn(Box::new(move || of_thread.work(&told))) {
                Ok(()) => threads += 1,
                Err(cause) if threads == 0 => return Err(cause),
                Err(_) => break,
            }
        }
        Ok(Started { work: Work(shared), done, threads })
    }
}

impl Work {
    /// Begins nothing more.
    pub(super) fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }
}

/// When the next operation may begin.
struct Pace {
    between: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn of(rate: f64) -> Self {
        Self { between: Duration::from_secs_f64(rate.recip()), next: Mutex::new(Instant::now()) }
    }

    /// The moment for one of them.
    fn moment(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // What was too slow is not made up for: that would be a burst.
        let moment = (*next).max(Instant::now());
        *next = moment + self.between;
        moment
    }
}

impl Shared {
    fn work(&self, told: &UnboundedSender<Done>) {
        while let Some(job) = self.next() {
            let Some(card) = self.cards.get(job.card) else { return };
            let mut card = card.lock().unwrap_or_else(PoisonError::into_inner);
            let eid = card.member.eid;
            Self::or_told(eid, told, || self.carry_out(&job.task, &mut card, told));
            card.card.power_off();
        }
    }

    /// Does what may panic, and tells of it if it does: the others go on.
    fn or_told(eid: Eid, told: &UnboundedSender<Done>, code: impl FnOnce()) {
        let at = Instant::now();
        if catch_unwind(AssertUnwindSafe(code)).is_err() {
            let error = Some(Fault::plain("it stopped unexpectedly; run it with RUST_BACKTRACE=1"));
            let _ = told.send(Done { eid, at, took: at.elapsed(), error });
        }
    }

    fn carry_out(&self, task: &Task, card: &mut FleetCard, told: &UnboundedSender<Done>) {
        match task {
            Task::Download(order) => {
                if self.may_begin() {
                    Self::note(card, told, |one| self.download(&mut one.card, order));
                }
            }
            Task::Authenticate(rounds) => self.authenticate(card, *rounds, told),
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped.load(Ordering::Relaxed) { None } else { jobs.pop_front() }
    }

    /// Waits for the moment of the next operation; `false` if there is to be none any more.
    fn may_begin(&self) -> bool {
        const GLANCE: Duration = Duration::from_millis(100);
        let moment = self.pace.as_ref().map(Pace::moment);
        loop {
            if self.is_stopped.load(Ordering::Relaxed) {
                return false;
            }
            let left = moment.map_or(Duration::ZERO, |moment| moment.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(GLANCE));
        }
    }

    /// Does one operation, and tells of it.
    fn note(
        card: &mut FleetCard,
        told: &UnboundedSender<Done>,
        operation: impl FnOnce(&mut FleetCard) -> Result<(), Fault>,
    ) {
        let at = Instant::now();
        let error = operation(card).err();
        // Who listened may have stopped.
        let _ = told.send(Done { eid: card.member.eid, at, took: at.elapsed(), error });
    }

    fn download(&self, card: &mut Card, order: &Order) -> Result<(), Fault> {
        let Some(Servers { settings, checks }) = &self.servers else { return Ok(()) };
        // Each has a connection of its own, as devices have.
        let mut client = HttpsClient::with(settings).map_err(|error| Fault::of(&error))?;
        let mut euicc = Euicc::open(InProcess::connect(card), Options::default()).map_err(|error| Fault::of(&error))?;
        let checks = Checks { now: checks.now.map(|_| random::now()), ..checks.clone() };
        let installed = download(&mut euicc, &mut client, order, &checks, &mut Unattended);
        let installed = installed.map_err(|error| Fault::of_lpa(&error))?;
        if installed.is_reported {
            return Ok(());
        }
        let kind = "installed, and not reported to the server".to_owned();
        Err(Fault { line: kind.clone(), kind })
    }

    /// The network's side has the card's K, and so has to be answered like this.
    fn authenticate(&self, card: &mut FleetCard, rounds: u32, told: &UnboundedSender<Done>) {
        let FleetCard { member, card: icc } = card;
        let tell = |at: Instant, error| {
            let _ = told.send(Done { eid: member.eid, at, took: at.elapsed(), error });
        };
        let begun = Instant::now();
        let Some(algorithm) = member.subscription.as_ref().and_then(Subscription::algorithm) else {
            return tell(begun, Some(Fault::plain("its authentication parameters fit no algorithm")));
        };
        let mut usim = match Usim::open(InProcess::connect(&mut **icc), None) {
            Ok(usim) => usim,
            Err(error) => return tell(begun, Some(Fault::of(&error))),
        };
        let mut centre = Centre::new(algorithm);
        for _ in 0..rounds {
            if !self.may_begin() {
                return;
            }
            let at = Instant::now();
            tell(at, centre.authenticate(&mut usim).err());
        }
    }
}

impl Fault {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let line = line(error);
        Self { kind: kind_of(&line), line }
    }

    pub(super) fn plain(text: &str) -> Self {
        Self { kind: text.to_owned(), line: text.to_owned() }
    }

    fn of_lpa(error: &LpaError) -> Self {
        let line = line(error);
        let kind = match error {
            LpaError::Server(ServerError::Refused(status)) => {
                format!("refused by the server: {}/{}", status.subject_code, status.reason_code)
            }
            LpaError::Server(ServerError::Unreachable { cause, .. }) => format!("server not reached: {cause}"),
            LpaError::Server(ServerError::TooSlow { .. }) | LpaError::TooLong(_) | LpaError::TimedOut => {
                "too slow".to_owned()
            }
            LpaError::Installation { command, reason, .. } => format!("not installed: {command}, {reason}"),
            _ => kind_of(&line),
        };
        Self { kind, line }
    }
}

/// What errors of one kind have in common: the words of a line up to its way out, without numbers that name a card.
fn kind_of(line: &str) -> String {
    /// Digits that may be an EID, an ICCID or a matchingId.
    const NAME: usize = 6;
    let cause = line.split(';').next().unwrap_or(line);
    let word = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if digits >= NAME { "…".to_owned() } else { word.to_owned() }
    };
    cause.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_different_cards_are_of_one_kind() {
        let one = kind_of("card 89049032123451234512345678901235 is mute; take it out and insert it again");
        let other = kind_of("card 89049032123451234512345678901236 is mute; take it out and insert it again");
        assert_eq!((one.as_str(), one == other), ("card … is mute", true));
        assert_eq!(kind_of("status 6F00"), "status 6F00");
    }

    fn force(jobs: usize) -> Force {
        let jobs = (0..jobs).map(|card| Job { card, task: Task::Authenticate(1) }).collect();
        Force { cards: Vec::new(), jobs, servers: None, rate: None }
    }

    #[test]
    fn fewer_threads_than_wanted_are_used_and_none_is_an_error() {
        let no_more = || io::Error::from(io::ErrorKind::WouldBlock);
        let mut left = 2;
        let started = force(5).start_by(5, |_| {
            left = usize::checked_sub(left, 1).ok_or_else(no_more)?;
            Ok(())
        });
        assert_eq!(started.unwrap().threads, 2);
        assert!(force(5).start_by(5, |_| Err(no_more())).is_err());
    }

    #[test]
    fn what_stops_unexpectedly_has_failed() {
        let (told, mut done) = unbounded_channel();
        Shared::or_told(Eid::from_octets([0x89; 16]), &told, || std::panic::resume_unwind(Box::new("unexpected")));
        assert!(done.try_recv().unwrap().error.unwrap().line.contains("unexpectedly"));
    }

    #[test]
    fn a_pace_is_kept_and_not_caught_up() {
        let pace = Pace::of(0.1);
        let (first, second) = (pace.moment(), pace.moment());
        assert!(second - first >= Duration::from_secs(10));
        let late = Pace { between: Duration::from_secs(1), next: Mutex::new(Instant::now()) };
        thread::sleep(Duration::from_millis(5));
        let first = late.moment();
        assert!(first <= Instant::now() && late.moment() >= first + Duration::from_secs(1));
    }
}
