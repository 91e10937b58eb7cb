//! The control channel of a process that runs cards: what is to go wrong with one is ordered and cleared while a reader has it, and
//! one in a USB reader is pulled, inserted and reset.
//!
//! A socket beside the record of the run, under the number of the process. A connection has one question and one answer, each
//! a line of JSON; an order is answered when the card's image holds it. The socket is its owner's alone from its first moment,
//! and others who get hold of it are sent away unheard.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apdu::Icc;
use card::Card;
use card::fault::{Fault, OrderError, text, why_not};
use console::Exit;
use reader_bridge::usb_reader::{Hand, Move};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A card that its place and the control channel have in turn: each for one command, or one order.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Card>>);

impl Shared {
    pub(crate) fn new(card: Card) -> Self {
        Self(Arc::new(Mutex::new(card)))
    }

    fn card(&self) -> MutexGuard<'_, Card> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries an order out.
    fn obey(&self, order: &Order) -> Answer {
        let mut card = self.card();
        match order {
            Order::Add(texts) => {
                let faults = texts.iter().map(|text| card::fault::parse(text)).collect::<Result<Vec<_>, _>>();
                let numbers = match faults {
                    Ok(faults) => card.order_faults(&faults).map_err(|error| not_ordered(&error)),
                    Err(error) => Err(Failure::because(error.to_string()).with(Exit::Usage)),
                };
                numbers.map_or_else(|failure| Answer::refusal(&failure), Answer::Done)
            }
            Order::Clear(numbers) => {
                let there: Vec<u16> = card.faults().iter().map(|fault| fault.number).collect();
                if let Some(missing) = numbers.iter().find(|number| !there.contains(number)) {
                    return Answer::refusal(&no_such_fault(*missing));
                }
                let wanted = (!numbers.is_empty()).then_some(numbers.as_slice());
                let cleared = card.clear_faults(wanted).map_err(|_| not_written());
                cleared.map_or_else(|failure| Answer::refusal(&failure), Answer::Done)
            }
        }
    }
}

impl Icc for Shared {
    fn power_on(&mut self) -> Vec<u8> {
        self.card().power_on()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.card().warm_reset()
    }

    fn power_off(&mut self) {
        Icc::power_off(&mut *self.card());
    }

    fn atr(&self) -> Vec<u8> {
        self.card().atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        self.card().transmit_into(command, response);
    }

    fn delay(&mut self) -> Duration {
        Icc::delay(&mut *self.card())
    }
}

/// A card that the control channel reaches: what can be ordered of it.
#[derive(Clone, Debug)]
pub(crate) struct Seated {
    /// The card, if it is one of this process.
    card: Option<Shared>,
    /// What moves it, if it is in a USB reader.
    hand: Option<Hand>,
}

impl From<Shared> for Seated {
    fn from(card: Shared) -> Self {
        Self { card: Some(card), hand: None }
    }
}

impl Seated {
    /// One in a USB reader.
    pub(crate) const fn by_hand(card: Option<Shared>, hand: Hand) -> Self {
        Self { card, hand: Some(hand) }
    }

    #[cfg(unix)]
    async fn obey(&self, demand: Demand) -> std::io::Result<Answer> {
        let failure = match (demand, self) {
            (Demand::Faults(order), Self { card: Some(card), .. }) => {
                let card = card.clone();
                // The card may have a command under way, and its image may wait for the disk.
                let obeyed = tokio::task::spawn_blocking(move || card.obey(&order)).await;
                return obeyed.map_err(std::io::Error::other);
            }
            (Demand::Faults(_), Self { card: None, .. }) => {
                Failure::because("the card is in no image, in which faults are kept").with(Exit::Usage)
            }
            (Demand::Place { moved }, Self { hand: Some(hand), .. }) => match hand.ask(moved.into()).await {
                Ok(()) => return Ok(Answer::Done(Vec::new())),
                Err(refusal) => Failure::because(refusal.to_string()).with(Exit::Card),
            },
            (Demand::Place { .. }, Self { hand: None, .. }) => not_in_a_usb_reader(),
        };
        Ok(Answer::refusal(&failure))
    }
}

pub(crate) fn not_in_a_usb_reader() -> Failure {
    Failure::because(
        "the card is in no USB reader, out of which it could be taken: `vuicc reader qemu` and `vuicc reader usbip` have such",
    )
    .with(Exit::Usage)
}

/// Why faults were not ordered.
pub(super) fn not_ordered(error: &OrderError) -> Failure {
    match error {
        OrderError::Memory(_) => not_written(),
        never @ OrderError::Never(_) => Failure::because(why_not(never)).with(Exit::Usage),
    }
}

pub(super) fn not_written() -> Failure {
    Failure::because("the card's image could not be written; nothing has changed in it")
}

pub(super) fn no_such_fault(number: u16) -> Failure {
    Failure::because(format!("there is no fault {number}; `vuicc card fault list` lists them")).with(Exit::Usage)
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Number of the card among those of the process.
    card: usize,
    order: Demand,
}

/// What is to become of a card's faults.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// These, as they are written, are to strike.
    Add(Vec<String>),
    /// These numbers, or without any all, are not to strike any more.
    Clear(Vec<u16>),
}

/// What can be asked of a card.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Demand {
    /// Of its faults.
    Faults(Order),
    /// Of its place, a USB reader.
    Place {
        /// What is to have been done.
        moved: Moved,
    },
}

impl From<Order> for Demand {
    fn from(order: Order) -> Self {
        Self::Faults(order)
    }
}

/// What is done to a card in a USB reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Moved {
    Pulled,
    Inserted,
    Reset,
}

impl From<Moved> for Move {
    fn from(moved: Moved) -> Self {
        match moved {
            Moved::Pulled => Self::Pull,
            Moved::Inserted => Self::Insert,
            Moved::Reset => Self::Reset,
        }
    }
}

impl Order {
    pub(super) fn add(faults: &[Fault]) -> Self {
        Self::Add(faults.iter().map(text).collect())
    }
}

/// What has become of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// It is done, and the image holds it: the numbers that were ordered or cleared.
    Done(Vec<u16>),
    /// It is not.
    Refused {
        /// The exit code that says why.
        exit_code: u8,
        /// Cause and way out.
        line: String,
    },
}

impl Answer {
    fn refusal(failure: &Failure) -> Self {
        let line = if let Failure::Because(cause) = failure { cause.to_string() } else { "it was refused".to_owned() };
        Self::Refused { exit_code: failure.exit().row().code, line }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// Octets of the longest line: more faults than a card has numbers for do not fit in.
const LONGEST: u64 = 256 * 1024;

#[cfg(unix)]
pub(super) use on_unix::path_of;
#[cfg(unix)]
pub(crate) use on_unix::{Control, ask};

#[cfg(unix)]
mod on_unix {
    use std::fs::{self, DirBuilder, Permissions};
    use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixStream as Blocking;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use console::Exit;
    use console::exit::TABLE;
    use reader_bridge::socket::at_short_path;
    use rustix::process::geteuid;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::Semaphore;
    use tokio::time::{sleep, timeout};

    use super::{Answer, Demand, Failure, LONGEST, Question, Seated};
    use crate::state::{State, create_private};

    /// How long a connection may take for its question, and again for the answer.
    const LIMIT: Duration = Duration::from_secs(5);
    /// How many connections are heard at a time; further ones wait.
    const CONNECTIONS: usize = 8;

    /// Where a process listens.
    pub(in crate::card) fn path_of(folder: &Path, pid: u32) -> PathBuf {
        folder.join(format!("{pid}.sock"))
    }

    /// The control channel of this process, which is removed at its end.
    #[derive(Debug)]
    pub(crate) struct Control {
        cards: Vec<Seated>,
        listener: std::os::unix::net::UnixListener,
        path: PathBuf,
    }

    impl Control {
        /// Listens for orders for these cards.
        pub(crate) fn of(cards: Vec<Seated>, state: &State) -> Result<Self, Failure> {
            let folder = state.directory()?.join("run");
            create_private(&folder)?;
            let path = path_of(&folder, std::process::id());
            let listener = bind(&folder, &path).map_err(|error| {
                Failure::because(format!("nothing can be ordered while these cards run: {}: {error}", path.display()))
            })?;
            Ok(Self { cards, listener, path })
        }

        /// Answers, for as long as it is polled.
        pub(crate) async fn serve(self) -> Result<(), Failure> {
            /// Before the next try, where no connection can be accepted: too many files are open.
            const PAUSE: Duration = Duration::from_millis(200);
            let listener = UnixListener::from_std(self.listener.try_clone()?)?;
            let (cards, free) = (Arc::new(self.cards.clone()), Arc::new(Semaphore::new(CONNECTIONS)));
            loop {
                let Ok(seat) = Arc::clone(&free).acquire_owned().await else { return Ok(()) };
                let Ok((stream, _)) = listener.accept().await else {
                    sleep(PAUSE).await;
                    continue;
                };
                let cards = Arc::clone(&cards);
                tokio::spawn(async move {
                    // What is no question, comes too late or is not taken gets no answer.
                    let _ = answer(stream, &cards).await;
                    drop(seat);
                });
            }
        }
    }

    impl Drop for Control {
        fn drop(&mut self) {
            // One that stays is recognised as old.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Listens there. The socket gets its name when it is its owner's alone; what a process of the same number has left
    /// there is replaced.
    fn bind(folder: &Path, path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
        let room = folder.join(format!(".{}.new", std::process::id()));
        let _ = fs::remove_dir_all(&room);
        DirBuilder::new().mode(0o700).create(&room)?;
        let outcome = (|| {
            let made = room.join("s");
            let listener = at_short_path(&room, "s", |path| std::os::unix::net::UnixListener::bind(path))?;
            fs::set_permissions(&made, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            fs::rename(&made, path)?;
            Ok(listener)
        })();
        let _ = fs::remove_dir_all(&room);
        outcome
    }

    /// Answers one connection.
    async fn answer(mut stream: UnixStream, cards: &Arc<Vec<Seated>>) -> io::Result<()> {
        let peer = stream.peer_cred()?.uid();
        if peer != geteuid().as_raw() && peer != 0 {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let (reading, mut writing) = stream.split();
        let mut line = Vec::new();
        let mut reading = tokio::io::BufReader::new(reading.take(LONGEST));
        timeout(LIMIT, reading.read_until(b'\n', &mut line)).await??;
        if line.last() != Some(&b'\n') {
            return Err(ErrorKind::InvalidData.into());
        }
        let question: Question = serde_json::from_slice(&line)?;
        let answer = match cards.get(question.card) {
            Some(seated) => seated.obey(question.order).await?,
            None => Answer::refusal(&Failure::because("this process runs no such card").with(Exit::Card)),
        };
        let mut answer = serde_json::to_vec(&answer)?;
        answer.push(b'\n');
        timeout(LIMIT, writing.write_all(&answer)).await??;
        writing.shutdown().await
    }

    /// Has a process carry out an order for one of its cards. Returns the numbers of the faults.
    pub(crate) fn ask(folder: &Path, pid: u32, card: usize, order: Demand) -> Result<Vec<u16>, Failure> {
        /// For the card's command under way, and the disk.
        const LIMIT: Duration = Duration::from_secs(30);
        let path = path_of(folder, pid);
        let is_move = matches!(order, Demand::Place { .. });
        let lost = |error: &io::Error| {
            let way_out = if is_move { "" } else { "; `vuicc card fault list` shows what has become of it" };
            Failure::because(format!("process {pid}, which runs the card, gives no answer: {error}{way_out}"))
                .with(Exit::Card)
        };
        let owner = fs::metadata(&path).map(|socket| socket.uid());
        if owner.as_ref().is_ok_and(|owner| *owner != geteuid().as_raw() && *owner != 0) {
            return Err(Failure::because(format!("{} is another user's", path.display())).with(Exit::Card));
        }
        let name = format!("{pid}.sock");
        let mut stream = at_short_path(folder, &name, |path| Blocking::connect(path)).map_err(|error| {
            let way_out = if is_move {
                "eject the card (`vuicc card eject`), and run it again"
            } else {
                "eject the card (`vuicc card eject`), order or clear its faults, and run it again"
            };
            Failure::because(format!("process {pid}, which runs the card, takes no orders ({error}); {way_out}"))
                .with(Exit::Card)
        })?;
        let mut question = serde_json::to_vec(&Question { card, order })?;
        question.push(b'\n');
        let mut line = Vec::new();
        let exchanged = (|| {
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            stream.write_all(&question)?;
            BufReader::new((&stream).take(LONGEST)).read_until(b'\n', &mut line)
        })();
        exchanged.map_err(|error| lost(&error))?;
        match serde_json::from_slice(&line) {
            Ok(Answer::Done(numbers)) => Ok(numbers),
            Ok(Answer::Refused { exit_code, line }) => {
                let row = TABLE.into_iter().find(|row| row.code == exit_code);
                Err(Failure::because(line).with(row.map_or(Exit::Failed, |row| row.exit)))
            }
            Err(error) => Err(lost(&error.into())),
        }
    }
}

#[cfg(not(unix))]
pub(super) use elsewhere::path_of;
#[cfg(not(unix))]
pub(crate) use elsewhere::{Control, ask};

#[cfg(not(unix))]
mod elsewhere {
    use std::convert::Infallible;
    use std::path::{Path, PathBuf};

    use console::Exit;

    use super::{Demand, Failure, Seated};
    use crate::state::State;

    /// There is none.
    #[derive(Debug)]
    pub(crate) struct Control(Infallible);

    impl Control {
        pub(crate) fn of(_: Vec<Seated>, _: &State) -> Result<Self, Failure> {
            Err(Failure::because("nothing can be ordered while these cards run: this system has no such sockets"))
        }

        pub(crate) async fn serve(self) -> Result<(), Failure> {
            match self.0 {}
        }
    }

    pub(in crate::card) fn path_of(folder: &Path, pid: u32) -> PathBuf {
        folder.join(format!("{pid}.sock"))
    }

    pub(crate) fn ask(_: &Path, _: u32, _: usize, _: Demand) -> Result<Vec<u16>, Failure> {
        Err(Failure::because("a card that runs takes no orders on this system; end it, and run it again")
            .with(Exit::Card))
    }
}

#[cfg(test)]
mod tests {
    use card::entropy::ChaCha;
    use card::personalise::{Euicc, euicc, mint_pki};

    use super::*;

    /// In a reader as behind a socket: what holds the response back asks the card itself.
    #[test]
    fn a_shared_card_is_the_card() {
        const NOW: u64 = 1_767_225_600;
        let mut entropy = ChaCha::from_number(1);
        let pki = mint_pki(None, NOW, &mut entropy).unwrap();
        let new = euicc(&Euicc::new(pki, NOW), &mut entropy).unwrap();
        let mut shared = Shared::new(new.insert(Box::new(ChaCha::from_number(2))));
        assert_eq!(shared.power_on(), shared.atr());
        let done = |answer| if let Answer::Done(numbers) = answer { numbers } else { panic!("{answer:?}") };
        let order = Order::Add(vec!["slow=2500ms@SELECT".to_owned(), "mute@SELECT,from=2".to_owned()]);
        assert_eq!(done(shared.clone().obey(&order)), [1, 2]);
        let mut answer = Vec::new();
        shared.transmit(&[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00], &mut answer);
        assert_eq!((answer, shared.delay().as_millis()), (vec![0x90, 0x00], 2500));
        assert_eq!(done(shared.obey(&Order::Clear(vec![]))), [1, 2]);
        assert!(matches!(shared.obey(&Order::Clear(vec![1])), Answer::Refused { exit_code: 2, .. }));
    }
}
