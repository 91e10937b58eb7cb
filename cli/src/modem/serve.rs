//! A modem at work: a task for each program that is connected.

use std::cell::Cell;
use std::future;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use console::Exit;
use modem::Port;
use reader_bridge::socket::Connection;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::listener::Socket;
use super::thread::{Answered, Ended, ModemThread};
use crate::Context;
use crate::asynchronous::Signals;
use crate::card::detach::{Parent, Word};
use crate::card::ready::{Ready, ReadyFile, Recorded};
use crate::failure::Failure;
use crate::output::{Output, beside};

/// How many programs may be connected to the socket.
const CONNECTIONS: usize = 8;
/// How long a program on a socket may take until its first command, and between two of them.
const GREETING: Duration = Duration::from_mins(1);
const IDLE: Duration = Duration::from_hours(1);
/// How long a program may take to read an answer.
const TAKE: Duration = Duration::from_secs(10);
/// How often the modem looks whether something is due: another try to register, a program that does not answer.
const TICK: Duration = Duration::from_secs(1);
/// What a program gets that is one too many.
const TOO_MANY: &[u8] = b"\r\nBUSY\r\n";

#[cfg(unix)]
pub(super) type Terminal = super::pty::Pty;

/// Opens a pseudo-terminal.
#[cfg(unix)]
pub(super) fn terminal(link: Option<&Path>) -> Result<Terminal, Failure> {
    Terminal::open(link)
}

/// There is none.
#[cfg(not(unix))]
pub(super) enum Terminal {}

#[cfg(not(unix))]
impl Terminal {
    pub(super) fn path(&self) -> &Path {
        match *self {}
    }

    async fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    async fn write_all(&mut self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }
}

#[cfg(not(unix))]
pub(super) fn terminal(_: Option<&Path>) -> Result<Terminal, Failure> {
    Err(Failure::because("pseudo-terminals are for Unix systems; use --listen").with(Exit::Usage))
}

/// Where programs reach the modem.
pub(super) struct Places {
    pub(super) terminal: Option<Terminal>,
    pub(super) socket: Option<Socket>,
}

/// What others are told of it.
pub(super) struct Told {
    pub(super) ready: Ready,
    pub(super) ready_file: ReadyFile,
    /// How many seconds the card may be gone.
    pub(super) limit: Option<u64>,
}

/// What the tasks share.
struct Shared {
    modem: ModemThread,
    connected: Cell<usize>,
    /// Whether the card was in its reader when that was told last.
    had_card: Cell<bool>,
    changed: Notify,
    name: String,
    output: Output,
}

impl Shared {
    /// Has the modem answer.
    async fn receive(&self, port: Port, octets: &[u8]) -> io::Result<(Port, Vec<Vec<u8>>)> {
        let Answered { port, answers, has_card } = self.modem.receive(port, octets).await?;
        if self.had_card.replace(has_card) != has_card {
            self.tell_of_card(has_card);
            self.changed.notify_one();
        }
        Ok((port, answers))
    }

    fn tell_of_card(&self, is_there: bool) {
        let event = if is_there { "back" } else { "lost" };
        beside(self.output.json(&json!({ "card": self.name, "event": event })));
        beside(self.output.text(if is_there {
            format!("{}: the card is back", self.name)
        } else {
            format!("{}: the card was taken away; programs get `SIM not inserted` until it is back", self.name)
        }));
    }

    fn tell_of_client(&self, socket: &str, event: &str, cause: Option<&io::Error>) {
        let told = cause.map(ToString::to_string);
        beside(self.output.json(&json!({ "card": self.name, "socket": socket, "event": event, "cause": told })));
        let cause = told.map_or_else(String::new, |cause| format!(": {cause}"));
        beside(self.output.text(format_args!("{} at {socket}: program {event}{cause}", self.name)));
    }
}

/// Serves programs until the user or the system interrupts, or the card is gone for too long.
pub(super) async fn serve(
    (modem, mut ended): (ModemThread, Ended),
    places: Places,
    told: Told,
    context: &Context,
    parent: Option<&mut Parent>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let Told { ready, mut ready_file, limit } = told;
    let _recorded = Recorded::needed(&ready, ready_file.path(), &context.state, parent.is_some())?;
    let name = ready.cards.first().map(|card| card.image.display().to_string()).unwrap_or_default();
    let shared = Rc::new(Shared {
        modem,
        connected: Cell::new(0),
        had_card: Cell::new(true),
        changed: Notify::new(),
        name,
        output: context.output,
    });
    let tasks = LocalSet::new();
    if let Some(terminal) = places.terminal {
        tasks.spawn_local(attend_terminal(Rc::clone(&shared), terminal));
    }
    if let Some(socket) = places.socket {
        tasks.spawn_local(attend_socket(Rc::clone(&shared), socket));
    }
    tasks.spawn_local(pass_time(Rc::clone(&shared)));
    ready_file.write(&ready)?;
    beside(context.output.json(&json!({ "event": "ready", "ready": ready })));
    beside(context.output.text(&ready));
    if let Some(parent) = parent {
        parent.tell(&Word::Ready(ready));
    }
    let limit = limit.map(Duration::from_secs);
    let outcome = tasks
        .run_until(async {
            tokio::select! {
                () = signals.received() => Ok(()),
                failure = gone_for(&shared, limit) => Err(failure),
                () = ended.has() => Err(Failure::because("the modem's thread has ended, which is a fault of this program")),
            }
        })
        .await;
    ready_file.remove();
    // Tasks hold the terminal with its link, and what gives the modem its work.
    drop(tasks);
    drop(shared);
    ended.soon().await;
    outcome
}

/// Tells the modem that time passes.
async fn pass_time(shared: Rc<Shared>) {
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        shared.modem.tick();
    }
}

/// Completes when the card has been gone for so long.
async fn gone_for(shared: &Shared, limit: Option<Duration>) -> Failure {
    let Some(limit) = limit else { return future::pending().await };
    loop {
        if shared.had_card.get() {
            shared.changed.notified().await;
        } else if timeout(limit, shared.changed.notified()).await.is_err() {
            let (name, seconds) = (&shared.name, limit.as_secs());
            return Failure::because(format!("{name} was taken away and not put back within {seconds} s"))
                .with(Exit::Card);
        }
    }
}

async fn attend_terminal(shared: Rc<Shared>, mut terminal: Terminal) {
    let mut port = Port::new();
    let mut buffer = [0; 1024];
    let mut events = shared.modem.events();
    loop {
        let read = tokio::select! {
            read = terminal.read(&mut buffer) => Some(read),
            _ = events.changed() => None,
        };
        let read = match read {
            None => 0,
            Some(Ok(0)) => {
                // The last program has closed the line.
                shared.modem.release(port.clone());
                port.hang_up();
                continue;
            }
            Some(Ok(read)) => read,
            Some(Err(_)) => {
                // It cannot be opened again: too many files are open, perhaps.
                sleep(TAKE).await;
                continue;
            }
        };
        let Ok((same, answers)) = shared.receive(port, buffer.get(..read).unwrap_or_default()).await else { return };
        port = same;
        for answer in answers {
            // What nobody reads is lost, as on any serial line.
            let _ = timeout(TAKE, terminal.write_all(&answer)).await;
        }
    }
}

async fn attend_socket(shared: Rc<Shared>, socket: Socket) {
    /// Before the next try, where no connection can be accepted: too many files are open.
    const PAUSE: Duration = Duration::from_millis(200);
    let address: Rc<str> = socket.address().to_string().into();
    loop {
        match socket.accept().await {
            Ok(mut program) if shared.connected.get() >= CONNECTIONS => {
                let _ = timeout(TAKE, program.write_all(TOO_MANY)).await;
            }
            Ok(program) => {
                shared.connected.set(shared.connected.get() + 1);
                let (shared, address) = (Rc::clone(&shared), Rc::clone(&address));
                tokio::task::spawn_local(async move {
                    shared.tell_of_client(&address, "connected", None);
                    let cause = attend(&shared, program).await;
                    shared.connected.set(shared.connected.get() - 1);
                    shared.tell_of_client(&address, "disconnected", Some(&cause));
                });
            }
            Err(error) => {
                shared.tell_of_client(&address, "unaccepted", Some(&error));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one program until it is gone, and returns why.
async fn attend(shared: &Shared, mut program: Box<dyn Connection>) -> io::Error {
    let late = |what: &str| io::Error::new(io::ErrorKind::TimedOut, what.to_owned());
    let mut port = Port::of_socket();
    let mut buffer = [0; 1024];
    let mut events = shared.modem.events();
    let mut end = Instant::now() + GREETING;
    let cause = 'gone: loop {
        let read = tokio::select! {
            read = timeout_at(end, program.read(&mut buffer)) => match read {
                Err(_) => break late("it sent no command"),
                Ok(Err(error)) => break error,
                Ok(Ok(0)) => break io::ErrorKind::UnexpectedEof.into(),
                Ok(Ok(read)) => read,
            },
            _ = events.changed() => 0,
        };
        let answers = match shared.receive(port, buffer.get(..read).unwrap_or_default()).await {
            Err(error) => return error,
            Ok((same, answers)) => {
                port = same;
                answers
            }
        };
        for answer in answers {
            if read > 0 {
                end = Instant::now() + IDLE;
            }
            match timeout(TAKE, program.write_all(&answer)).await {
                Err(_) => break 'gone late("it does not take its answers"),
                Ok(Err(error)) => break 'gone error,
                Ok(Ok(())) => {}
            }
        }
        if port.is_foreign() {
            break io::Error::new(io::ErrorKind::InvalidData, "it is a web browser, or speaks like one");
        }
    };
    shared.modem.release(port);
    cause
}
