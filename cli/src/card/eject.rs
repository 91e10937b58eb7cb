//! `vuicc card eject`: ends processes that run cards, and waits until the readers are empty.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use card::image::holder;
use clap::Args;
use console::Exit;
use reader_bridge::pcsc_reader::{Reader, list_readers};
use serde_json::json;

use super::ready::{ReadyCard, Record, folder, running};
use crate::Context;
use crate::failure::{AtPath, Failure};
use crate::file::image;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Cards that run: their images, the recordings that are played, or the readers that proxies stand for [default: the only
    /// one]
    #[arg(value_name = "CARD", value_parser = image, conflicts_with = "all")]
    cards: Vec<PathBuf>,
    /// All cards that were started with this state directory
    #[arg(long)]
    all: bool,
    /// How long to wait until a card is gone
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    timeout: u64,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let mut running = running(&folder(&context.state)?);
    let chosen = if arguments.all {
        running
    } else if arguments.cards.is_empty() {
        vec![only(running)?]
    } else {
        let mut chosen = Vec::new();
        for named in &arguments.cards {
            let image = std::path::absolute(named).at("look into", named)?;
            // A fleet is named by its folder.
            let fleet = image.join(crate::fleet::FILE);
            let is_it =
                |card: &ReadyCard| card.image == *named || is_same(&card.image, &image) || is_same(&card.image, &fleet);
            let is_of = |record: &Record| record.ready.cards.iter().any(is_it);
            if let Some(position) = running.iter().position(|(_, record)| is_of(record)) {
                chosen.push(running.swap_remove(position));
            } else if !chosen.iter().any(|(_, record)| is_of(record)) {
                return Err(not_running(named, &image, &running));
            }
        }
        chosen
    };
    let mut failed = None;
    for (file, record) in &chosen {
        if let Err(failure) = eject(record, Duration::from_secs(arguments.timeout)) {
            // The others are ejected all the same.
            if let Some(before) = failed.replace(failure) {
                before.tell();
            }
            continue;
        }
        // A process that was killed meanwhile leaves them.
        record.clean_up();
        let _ = std::fs::remove_file(file);
        for card in &record.ready.cards {
            context.output.json(
                &json!({ "ejected": card.image, "reader": card.reader, "slot": card.slot, "socket": card.socket }),
            )?;
            context.output.text(format_args!("{} ejected from {}", card.image.display(), card.place()))?;
        }
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    if chosen.iter().map(|(_, record)| record.ready.cards.len()).sum::<usize>() > 1 {
        context.output.summary([
            ("processes", chosen.len()),
            ("ejected", chosen.iter().map(|(_, record)| record.ready.cards.len()).sum()),
        ])?;
    }
    if chosen.is_empty() {
        context.output.text("no card is running")?;
    }
    Ok(())
}

pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

fn only(mut running: Vec<(PathBuf, Record)>) -> Result<(PathBuf, Record), Failure> {
    let names: Vec<_> = running
        .iter()
        .flat_map(|(_, record)| &record.ready.cards)
        .map(|card| card.image.display().to_string())
        .collect();
    match (running.pop(), running.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Failure::because(
            "no card is running that was started with this state directory (--state); `vuicc card run` starts one",
        )
        .with(Exit::Card)),
        _ => Err(Failure::because(format!(
            "several cards are running: {}; name one, or all with --all",
            names.join(", ")
        ))
        .with(Exit::Usage)),
    }
}

fn not_running(named: &Path, image: &Path, running: &[(PathBuf, Record)]) -> Failure {
    let path = named.display();
    let text = match holder::process(image) {
        Some(pid) => format!(
            "{path} is in use by process {pid}, of which there is no record in this state directory; if that is \
             `vuicc card run`, name its own with --state, or end it there"
        ),
        None if !image.exists() => format!("no card of this name is running, and there is no card image {path}"),
        None => format!("{path} is not running; {}", those(running)),
    };
    Failure::because(text).with(Exit::Card)
}

/// Those that run, as a user names them.
fn those(running: &[(PathBuf, Record)]) -> String {
    let cards = running.iter().flat_map(|(_, record)| &record.ready.cards);
    let names: Vec<_> = cards.map(|card| card.image.display().to_string()).collect();
    match names.as_slice() {
        [] => "no card is that was started with this state directory".to_owned(),
        [one] => format!("{one} is"),
        several => format!("these are: {}", several.join(", ")),
    }
}

/// Ends a process, and waits until it is gone and its readers are empty.
fn eject(record: &Record, limit: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let departing = Departing::of(&record.ready.cards);
    let pid = record.ready.pid;
    let late = |what: &str| {
        Failure::because(format!("process {pid} {what} within {} s; --timeout allows more", limit.as_secs()))
            .with(Exit::TimedOut)
    };
    match process::end(pid, || record.is_running(), deadline)? {
        process::End::Gone => {}
        process::End::Late => return Err(late("has not ended")),
    }
    match departing.still_there(deadline) {
        Some(name) => Err(late(&format!("has ended, but the PC/SC service has not noticed that {name} is empty"))),
        None => Ok(()),
    }
}

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(10);

/// Cards that are about to be taken out of their readers.
pub(crate) struct Departing {
    /// The name of each reader, and how many cards had come and gone before.
    readers: Vec<(String, Option<u32>)>,
}

impl Departing {
    /// To be called before they are.
    pub(crate) fn of(cards: &[ReadyCard]) -> Self {
        let names: Vec<_> = cards.iter().filter_map(|card| card.reader.clone()).collect();
        let before = if names.is_empty() { Vec::new() } else { list_readers().unwrap_or_default() };
        let events = |name: &str| before.iter().find(|reader| reader.name == name).map(|reader| reader.events);
        Self {
            readers: names.into_iter().map(|name| (events(&name), name)).map(|(events, name)| (name, events)).collect(),
        }
    }

    /// Waits until the PC/SC service has noticed that all are gone; returns the reader of one that it sees still.
    pub(crate) fn still_there(&self, deadline: Instant) -> Option<&str> {
        for (name, events) in &self.readers {
            while !is_empty(name, *events) {
                if Instant::now() >= deadline {
                    return Some(name);
                }
                std::thread::sleep(GLANCE);
            }
        }
        None
    }
}

/// Whether the card that was in a reader is gone; another one may be in it.
fn is_empty(name: &str, events: Option<u32>) -> bool {
    // Without a service there are no readers.
    let readers = list_readers().unwrap_or_default();
    let reader: Option<&Reader> = readers.iter().find(|reader| reader.name == name);
    reader.is_none_or(|reader| reader.card.is_none() || events.is_some_and(|events| events != reader.events))
}

/// Processes: by handles where the system has them, so that a number which is given to another process meanwhile does not
/// matter.
mod process {
    use std::time::Instant;

    use console::Exit;

    use crate::failure::Failure;

    /// What came of ending one.
    pub(super) enum End {
        Gone,
        Late,
    }

    #[cfg(unix)]
    fn number(pid: u32) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)
    }

    /// Asks a process to end, and waits for that until `deadline`. `is_it` is asked once the process cannot be confused with
    /// another one.
    #[cfg(target_os = "linux")]
    pub(super) fn end(pid: u32, is_it: impl Fn() -> bool, deadline: Instant) -> Result<End, Failure> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
        let refused = |error| Failure::because(format!("process {pid} cannot be ended: {error}"));
        let Some(number) = number(pid) else { return Ok(End::Gone) };
        let process = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => return Ok(End::Gone),
            Err(error) => return Err(refused(error)),
        };
        if !is_it() {
            return Ok(End::Gone);
        }
        match pidfd_send_signal(&process, Signal::TERM) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(End::Gone),
            Err(error) => return Err(refused(error)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Failure::because("--timeout is too long").with(Exit::Usage))?;
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        Ok(if poll(&mut ended, Some(&left)).map_err(refused)? == 0 { End::Late } else { End::Gone })
    }

    /// Asks a process to end, and waits for that until `deadline`. `is_it` is asked before.
    #[cfg(all(unix, not(target_os = "linux")))]
    pub(super) fn end(pid: u32, is_it: impl Fn() -> bool, deadline: Instant) -> Result<End, Failure> {
        let refused = |error| Failure::because(format!("process {pid} cannot be ended: {error}"));
        let Some(number) = number(pid) else { return Ok(End::Gone) };
        if !is_it() {
            return Ok(End::Gone);
        }
        match rustix::process::kill_process(number, rustix::process::Signal::TERM) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(End::Gone),
            Err(error) => return Err(refused(error)),
        }
        while crate::card::ready::process_exists(pid) {
            if Instant::now() >= deadline {
                return Ok(End::Late);
            }
            std::thread::sleep(super::GLANCE);
        }
        Ok(End::Gone)
    }

    #[cfg(not(unix))]
    pub(super) fn end(_: u32, _: impl Fn() -> bool, _: Instant) -> Result<End, Failure> {
        Err(Failure::because("this system cannot be asked to end a process; press Ctrl-C where it runs"))
    }
}
