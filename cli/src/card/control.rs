//! The control channel of a process that runs cards: what is to go wrong with one is ordered and cleared while a reader has it, it is
//! pulled, inserted and reset, and its owner uses it beside its host.
//!
//! A socket beside the record of the run, under the number of the process. A connection has one question and one answer, each
//! a line of JSON; an order is answered when the card's image holds it. One that watches is told what happens, a line each. The socket is its owner's alone from its first moment,
//! and others who get hold of it are sent away unheard.

use std::fmt;
use std::path::Path;

use capture::{Encoder, Format};
use card::fault::{Fault, OrderError, text, why_not};
use console::Exit;
use inspector::{By, Seen};
use reader_bridge::usb_reader::{Hand, Move};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::shared::Shared;
use crate::failure::Failure;

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
    #[cfg(unix)]
    const fn card(&self) -> Option<&Shared> {
        self.card.as_ref()
    }

    /// One in a USB reader.
    pub(crate) const fn by_hand(card: Option<Shared>, hand: Hand) -> Self {
        Self { card, hand: Some(hand) }
    }

    #[cfg(unix)]
    async fn obey(&self, demand: Demand) -> std::io::Result<Answer> {
        let failure = match (demand, self) {
            (Demand::Place { moved }, Self { hand: Some(hand), card }) => match hand.ask(moved.into()).await {
                Ok(()) => {
                    if let Some(card) = card {
                        card.is_moved(moved != Moved::Pulled);
                    }
                    return Ok(Answer::Done(Vec::new()));
                }
                Err(refusal) => Failure::because(refusal.to_string()).with(Exit::Card),
            },
            (demand, Self { card: Some(card), .. }) => {
                let card = card.clone();
                // The card may have a command under way, and its image may wait for the disk.
                let obeyed = tokio::task::spawn_blocking(move || card.obey(&demand)).await;
                return obeyed.map_err(std::io::Error::other);
            }
            (Demand::Place { .. }, Self { card: None, hand: None }) => not_in_a_usb_reader(),
            (Demand::Faults(_) | Demand::Beside(_), Self { card: None, .. }) => {
                Failure::because("the card is in no image, in which faults are kept").with(Exit::Usage)
            }
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
    /// Of its place.
    Place {
        /// What is to have been done.
        moved: Moved,
    },
    /// Of itself, beside its host.
    Beside(Beside),
}

/// What the owner of a card wants of it, beside its host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Beside {
    /// How is it?
    State,
    /// It is to answer a command.
    Transmit(Digits),
    /// Its power is to go.
    Cut,
    /// It is to be reset, and its host not told.
    Reset,
    /// A file is to be written, whatever its access rules say.
    Overwrite(Overwrite),
    /// What happens to it is to be told, line by line, from now on.
    Watch,
}

/// Octets in hexadecimal. A PIN may be among them: how many they are is all that is shown.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(crate) struct Digits(pub(crate) String);

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} digits", self.0.len())
    }
}

/// Octets for a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Overwrite {
    /// Its domain.
    pub(crate) domain: u16,
    /// Its number there.
    pub(crate) file: u16,
    /// From which octet on.
    pub(crate) offset: usize,
    /// What is to stand there, in hexadecimal.
    pub(crate) octets: String,
}

impl From<Beside> for Demand {
    fn from(wanted: Beside) -> Self {
        Self::Beside(wanted)
    }
}

impl From<Order> for Demand {
    fn from(order: Order) -> Self {
        Self::Faults(order)
    }
}

/// What is done to a card in its place.
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
pub(crate) enum Answer {
    /// It is done, and the image holds it: the numbers that were ordered or cleared.
    Done(Vec<u16>),
    /// What the card has answered, in hexadecimal; nothing if it is silent.
    Response(String),
    /// How it is.
    State {
        /// Whether it is in its place.
        is_in: bool,
        /// Whether it has power.
        is_powered: bool,
    },
    /// It is not.
    Refused {
        /// The exit code that says why.
        exit_code: u8,
        /// Cause and way out.
        line: String,
    },
}

impl Answer {
    pub(super) fn refusal(failure: &Failure) -> Self {
        let line = if let Failure::Because(cause) = failure { cause.to_string() } else { "it was refused".to_owned() };
        Self::Refused { exit_code: failure.exit().row().code, line }
    }
}

/// An event as a line; PINs are left out of it.
fn line(seen: &Seen) -> Vec<u8> {
    let mut line = format!("{{\"by\":\"{}\",\"event\":", seen.by.name()).into_bytes();
    line.extend(Encoder::new(Format::JsonLines).event(&seen.event).trim_ascii_end());
    line.extend(b"}\n");
    line
}

/// The event in a line.
fn event(line: &[u8]) -> Option<Seen> {
    let line: serde_json::Value = serde_json::from_slice(line).ok()?;
    let by = By::of(line["by"].as_str()?)?;
    let session = capture::read(line["event"].to_string().as_bytes()).ok()?;
    Some(Seen { by, event: session.events.into_iter().next()? })
}

/// Octets of the longest line: more faults than a card has numbers for do not fit in.
const LONGEST: u64 = 256 * 1024;

#[cfg(unix)]
pub(crate) use on_unix::{Control, ask, path_of, watch};

/// Has a process carry out an order about the faults of one of its cards. Returns their numbers.
pub(super) fn ask_about_faults(folder: &Path, pid: u32, card: usize, order: Order) -> Result<Vec<u16>, Failure> {
    match ask(folder, pid, card, order.into())? {
        Answer::Done(numbers) => Ok(numbers),
        _ => Err(Failure::because(format!(
            "process {pid}, which runs the card, is of another version; end it, and run it again"
        ))
        .with(Exit::Card)),
    }
}

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
    use inspector::Seen;
    use reader_bridge::socket::at_short_path;
    use rustix::process::geteuid;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::Semaphore;
    use tokio::time::{sleep, timeout};
    use zeroize::Zeroizing;

    use super::{Answer, Beside, Demand, Failure, LONGEST, Question, Seated, Shared};
    use crate::state::{State, create_private};

    /// How long a connection may take for its question, and again for the answer.
    const LIMIT: Duration = Duration::from_secs(5);
    /// Octets of a question that has a command in it: twice 261, and what is around it.
    const COMMAND: usize = 1024;
    /// How many connections are heard at a time; further ones wait.
    const CONNECTIONS: usize = 8;

    /// Where a process listens.
    pub(crate) fn path_of(folder: &Path, pid: u32) -> PathBuf {
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
        // A PIN may be in it. Commands fit in, so that no copy stays behind.
        let mut line = Zeroizing::new(Vec::with_capacity(COMMAND));
        let mut reading = tokio::io::BufReader::new(reading.take(LONGEST));
        timeout(LIMIT, reading.read_until(b'\n', &mut line)).await??;
        if line.last() != Some(&b'\n') {
            return Err(ErrorKind::InvalidData.into());
        }
        let question: Question = serde_json::from_slice(&line)?;
        let seated = cards.get(question.card);
        if let (Demand::Beside(Beside::Watch), Some(card)) = (&question.order, seated.and_then(Seated::card)) {
            return tell(card, &mut writing).await;
        }
        let answer = match seated {
            Some(seated) => seated.obey(question.order).await?,
            None => Answer::refusal(&Failure::because("this process runs no such card").with(Exit::Card)),
        };
        let mut answer = serde_json::to_vec(&answer)?;
        answer.push(b'\n');
        timeout(LIMIT, writing.write_all(&answer)).await??;
        writing.shutdown().await
    }

    /// Tells what happens to a card, until the other end is gone, or too slow.
    async fn tell(card: &Shared, writing: &mut tokio::net::unix::WriteHalf<'_>) -> io::Result<()> {
        /// Events that may wait.
        const WAITING: usize = 4096;
        /// Whether the other end is there is found out by writing.
        const HEARTBEAT: Duration = Duration::from_secs(5);
        let (give, mut take) = tokio::sync::mpsc::channel(WAITING);
        card.tap(Box::new(move |seen| give.try_send(seen).is_ok()));
        writing.write_all(b"\n").await?;
        loop {
            let line = match timeout(HEARTBEAT, take.recv()).await {
                Ok(Some(seen)) => super::line(&seen),
                Ok(None) => return Ok(()),
                Err(_) => vec![b'\n'],
            };
            timeout(LIMIT, writing.write_all(&line)).await??;
        }
    }

    /// Asks a process that runs a card to tell what happens to it, and calls `seen` with each event until the process ends.
    /// `begun` is called when nothing is missed any more.
    pub(crate) fn watch(
        folder: &Path,
        pid: u32,
        card: usize,
        begun: impl FnOnce(),
        mut seen: impl FnMut(Seen),
    ) -> io::Result<()> {
        let mut stream = connect(folder, pid)?;
        let mut question = serde_json::to_vec(&Question { card, order: Demand::Beside(Beside::Watch) })?;
        question.push(b'\n');
        stream.write_all(&question)?;
        let mut lines = BufReader::new(stream);
        let (mut line, mut begun) = (Vec::new(), Some(begun));
        loop {
            line.clear();
            if (&mut lines).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if let Some(begun) = begun.take() {
                begun();
            }
            if let Some(event) = super::event(&line) {
                seen(event);
            }
        }
    }

    fn connect(folder: &Path, pid: u32) -> io::Result<Blocking> {
        at_short_path(folder, &format!("{pid}.sock"), |path| Blocking::connect(path))
    }

    /// Has a process carry out an order for one of its cards.
    pub(crate) fn ask(folder: &Path, pid: u32, card: usize, order: Demand) -> Result<Answer, Failure> {
        /// For the card's command under way, and the disk.
        const LIMIT: Duration = Duration::from_secs(30);
        let path = path_of(folder, pid);
        let is_about_faults = matches!(order, Demand::Faults(_));
        let lost = |error: &io::Error| {
            let way_out = if is_about_faults { "; `vuicc card fault list` shows what has become of it" } else { "" };
            Failure::because(format!("process {pid}, which runs the card, gives no answer: {error}{way_out}"))
                .with(Exit::Card)
        };
        let owner = fs::metadata(&path).map(|socket| socket.uid());
        if owner.as_ref().is_ok_and(|owner| *owner != geteuid().as_raw() && *owner != 0) {
            return Err(Failure::because(format!("{} is another user's", path.display())).with(Exit::Card));
        }
        let mut stream = connect(folder, pid).map_err(|error| {
            let way_out = if is_about_faults {
                "eject the card (`vuicc card eject`), order or clear its faults, and run it again"
            } else {
                "eject the card (`vuicc card eject`), and run it again"
            };
            Failure::because(format!("process {pid}, which runs the card, takes no orders ({error}); {way_out}"))
                .with(Exit::Card)
        })?;
        let mut question = Zeroizing::new(Vec::with_capacity(COMMAND));
        serde_json::to_writer(&mut *question, &Question { card, order })?;
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
            Ok(Answer::Refused { exit_code, line }) => {
                let row = TABLE.into_iter().find(|row| row.code == exit_code);
                Err(Failure::because(line).with(row.map_or(Exit::Failed, |row| row.exit)))
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(lost(&error.into())),
        }
    }
}

#[cfg(not(unix))]
pub(crate) use elsewhere::{Control, ask, path_of, watch};

#[cfg(not(unix))]
mod elsewhere {
    use std::convert::Infallible;
    use std::io;
    use std::path::{Path, PathBuf};

    use console::Exit;
    use inspector::Seen;

    use super::{Answer, Demand, Failure, Seated};
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

    pub(crate) fn path_of(folder: &Path, pid: u32) -> PathBuf {
        folder.join(format!("{pid}.sock"))
    }

    pub(crate) fn ask(_: &Path, _: u32, _: usize, _: Demand) -> Result<Answer, Failure> {
        Err(Failure::because("a card that runs takes no orders on this system; end it, and run it again")
            .with(Exit::Card))
    }

    pub(crate) fn watch(_: &Path, _: u32, _: usize, _: impl FnOnce(), _: impl FnMut(Seen)) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which kind of demand it is shows in what it says.
    #[test]
    fn demands_are_told_apart() {
        for (demand, line) in [
            (Demand::Faults(Order::Clear(vec![3])), r#"{"clear":[3]}"#),
            (Demand::Place { moved: Moved::Pulled }, r#"{"moved":"pulled"}"#),
            (Demand::Beside(Beside::Watch), r#""watch""#),
            (Demand::Beside(Beside::Transmit(Digits("00A4".into()))), r#"{"transmit":"00A4"}"#),
        ] {
            assert_eq!(serde_json::to_string(&demand).unwrap(), line);
            let read: Demand = serde_json::from_str(line).unwrap();
            assert_eq!(format!("{read:?}"), format!("{demand:?}"));
        }
        assert!(serde_json::from_str::<Demand>(r#""explode""#).is_err());
        let verify = Question { card: 0, order: Beside::Transmit(Digits("00200001083132333435363738".into())).into() };
        assert!(!format!("{verify:?}").contains("31323334"), "{verify:?}");
    }
}
