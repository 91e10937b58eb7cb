//! What other programs are told of cards that run: the ready file, and the record of a run in the state directory.

use std::fmt;
use std::path::{Path, PathBuf};

use card::image::holder;
use card::inspect;
use console::Exit;
use serde::{Deserialize, Serialize};

use super::control::path_of;
use super::eject::is_same;
use crate::failure::{AtPath, Failure};
use crate::file::{Readers, replace};
use crate::state::{State, create_private};

/// One card that runs, for programs that use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadyCard {
    /// Its image; or, of a card that comes from elsewhere, what it is called.
    pub(crate) image: PathBuf,
    /// EID of an eUICC.
    pub(crate) eid: Option<String>,
    /// Answer to reset.
    pub(crate) atr: String,
    /// The name that the PC/SC service has for the reader it is in, if it is in one of this machine.
    pub(crate) reader: Option<String>,
    /// The address of its slot of the virtual reader.
    pub(crate) slot: Option<String>,
    /// The socket it listens on.
    pub(crate) socket: Option<String>,
    /// The pseudo-terminal of the modem it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) terminal: Option<String>,
    /// Where the USB reader that it is in meets its hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usb: Option<String>,
    /// The address of the page that shows it, with its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<String>,
}

impl ReadyCard {
    /// The card in an image, which has no place yet.
    pub(crate) fn of(image: &Path) -> Result<Self, Failure> {
        let seen = inspect::image(image)?;
        let eid = seen.euicc.map(|euicc| euicc.eid);
        let image = std::path::absolute(image).at("look into", image)?;
        Ok(Self {
            image,
            eid,
            atr: seen.atr,
            reader: None,
            slot: None,
            socket: None,
            terminal: None,
            usb: None,
            page: None,
        })
    }

    /// A card that is no image, and has no place yet.
    pub(crate) fn named(name: impl Into<PathBuf>, atr: &[u8]) -> Self {
        let (image, atr) = (name.into(), crate::hexadecimal::whole(atr));
        Self { image, eid: None, atr, reader: None, slot: None, socket: None, terminal: None, usb: None, page: None }
    }

    /// Where it is, as users name it.
    pub(crate) fn place(&self) -> &str {
        let known = self.page.as_deref().or(self.terminal.as_deref()).or(self.reader.as_deref());
        let known = known.or(self.usb.as_deref()).or(self.socket.as_deref()).or(self.slot.as_deref());
        known.unwrap_or("no reader")
    }

    /// Where hosts are to find it, whether they do or not.
    pub(crate) fn wanted_place(&self) -> &str {
        self.slot.as_deref().or(self.usb.as_deref()).unwrap_or_default()
    }

    /// The place after a word that fits.
    pub(super) fn at_place(&self) -> String {
        if self.usb.is_some() {
            return format!("in a USB reader at {}", self.place());
        }
        let is_at = [&self.page, &self.socket, &self.terminal].iter().any(|at| at.is_some());
        format!("{} {}", if is_at { "at" } else { "in" }, self.place())
    }
}

/// The cards of a process that runs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// The process.
    pub(crate) pid: u32,
    /// The version of the program.
    pub(crate) version: String,
    /// Its cards, in the order of the command line.
    pub(crate) cards: Vec<ReadyCard>,
}

impl Ready {
    pub(crate) fn new(cards: Vec<ReadyCard>) -> Self {
        Self { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned(), cards }
    }
}

impl Ready {
    /// Whether its process runs, which has written it to `path`: it has locked one of its images; or, as a card that comes from
    /// elsewhere has none, its record says so.
    fn is_of_a_process(&self, path: &Path, state: &State) -> bool {
        let is_here = |record: &Record| record.ready_file.as_deref().is_some_and(|theirs| is_same(theirs, path));
        let is_it = |record: &Record| record.ready.pid == self.pid && is_here(record) && record.is_running();
        self.cards.iter().any(|card| holder::process(&card.image) == Some(self.pid))
            || folder(state).is_ok_and(|folder| records(&folder).iter().any(|(_, record)| is_it(record)))
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, card) in self.cards.iter().enumerate() {
            let before = if number == 0 { "ready: " } else { ", " };
            write!(f, "{before}{} {}", card.image.display(), card.at_place())?;
        }
        write!(f, " (process {})", self.pid)
    }
}

/// The file that is there as long as all cards can be used.
#[derive(Debug)]
pub(crate) struct ReadyFile {
    path: Option<PathBuf>,
    readers: Readers,
    written: Option<Vec<u8>>,
}

impl ReadyFile {
    /// The file at `path`, if one is wanted. One that an earlier run left there is removed: no card is ready yet. What is
    /// no ready file stays.
    pub(crate) fn at(path: Option<&Path>, state: &State) -> Result<Self, Failure> {
        if let Some(path) = path {
            Self::make_room(path, state)?;
        }
        Ok(Self { path: path.map(Path::to_owned), readers: Readers::Everybody, written: None })
    }

    /// The same for its owner alone: what is in it opens something.
    pub(crate) fn private(mut self) -> Self {
        self.readers = Readers::Owner;
        self
    }

    fn make_room(path: &Path, state: &State) -> Result<(), Failure> {
        let there = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            there => there.at("replace the ready file", path)?,
        };
        let Ok(earlier) = serde_json::from_slice::<Ready>(&there) else {
            let told = format!("{} is there and no ready file; name another file, or remove it", path.display());
            return Err(Failure::because(told).with(Exit::Usage));
        };
        if earlier.pid != std::process::id() && earlier.is_of_a_process(path, state) {
            let (path, pid) = (path.display(), earlier.pid);
            let told = format!("{path} is the ready file of process {pid}, which runs; name another file");
            return Err(Failure::because(told).with(Exit::Usage));
        }
        std::fs::remove_file(path).at("replace the ready file", path)
    }

    /// Where it is to be.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// All cards can be used.
    pub(crate) fn write(&mut self, ready: &Ready) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut text = serde_json::to_vec(ready)?;
        text.push(b'\n');
        replace(path, &text, self.readers).at("write the ready file to", path)?;
        self.written = Some(text);
        Ok(())
    }

    /// Not all cards can be used any more. What another process has put there since stays.
    pub(crate) fn remove(&mut self) {
        if let (Some(path), Some(written)) = (&self.path, self.written.take())
            && std::fs::read(path).is_ok_and(|there| there == written)
        {
            // Where it cannot be removed, the record that is gone tells that it is old.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What is recorded of a process that runs cards, so that it can be found and ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When the process began, in the kernel's count: its number may be given to another one after its end.
    pub(crate) began: Option<u64>,
    /// Its ready file, which it leaves behind if it is killed.
    #[serde(default)]
    pub(crate) ready_file: Option<PathBuf>,
    #[serde(flatten)]
    pub(crate) ready: Ready,
}

/// Where records are.
pub(crate) fn folder(state: &State) -> Result<PathBuf, Failure> {
    Ok(state.path()?.join("run"))
}

impl Record {
    /// Whether the process of a record is the one that has made it: one that got its number since began at another time, and has
    /// none of its images. One that has ended and that nobody has asked for its exit code is none.
    pub(crate) fn is_running(&self) -> bool {
        let pid = self.ready.pid;
        let is_it = match (self.began, ProcessState::of(pid)) {
            (_, Some(ProcessState { is_over: true, .. })) => false,
            (Some(then), now) => now.is_some_and(|now| now.began == then),
            (None, _) => true,
        };
        is_it
            && process_exists(pid)
            && self.ready.cards.iter().all(|card| holder::process(&card.image).is_none_or(|holder| holder == pid))
    }

    /// Removes what its process, which was killed, has left behind.
    pub(crate) fn clean_up(&self) {
        if let Some(path) = &self.ready_file
            && std::fs::read(path)
                .is_ok_and(|there| serde_json::from_slice(&there).is_ok_and(|there: Ready| there.pid == self.ready.pid))
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether there is a process of this number.
#[cfg(unix)]
pub(crate) fn process_exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
pub(crate) const fn process_exists(_: u32) -> bool {
    false
}

/// The record of this process, which is removed at its end.
#[derive(Debug)]
pub(crate) struct Recorded {
    path: PathBuf,
    ready_file: Option<PathBuf>,
}

impl Recorded {
    /// Makes it.
    fn of(ready: &Ready, ready_file: Option<&Path>, state: &State) -> Result<Self, Failure> {
        let folder = state.directory()?.join("run");
        create_private(&folder)?;
        let path = folder.join(format!("{}.json", ready.pid));
        let ready_file = ready_file.and_then(|path| std::path::absolute(path).ok());
        let recorded = Self { path, ready_file };
        recorded.update(ready)?;
        Ok(recorded)
    }

    /// Makes it. In the foreground it is no condition of running: there a failure is told.
    pub(crate) fn needed(
        ready: &Ready,
        ready_file: Option<&Path>,
        state: &State,
        is_needed: bool,
    ) -> Result<Option<Self>, Failure> {
        match Self::of(ready, ready_file, state) {
            Ok(recorded) => Ok(Some(recorded)),
            Err(failure) if is_needed => Err(failure),
            Err(failure) => {
                failure.while_doing("`vuicc card eject` will not find this process").tell();
                Ok(None)
            }
        }
    }

    /// Writes it anew.
    pub(crate) fn update(&self, ready: &Ready) -> Result<(), Failure> {
        let began = ProcessState::of(ready.pid).map(|state| state.began);
        let record = Record { began, ready_file: self.ready_file.clone(), ready: ready.clone() };
        let text = serde_json::to_vec(&record)?;
        replace(&self.path, &text, Readers::Owner).at("write the record of this run to", &self.path)
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // One that stays is recognised as old.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What the system tells of a process: proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessState {
    /// It has ended, and its parent has not taken notice: field 3.
    is_over: bool,
    /// When it began, in clock ticks since the machine did: field 22.
    began: u64,
}

impl ProcessState {
    /// `None` if there is no such process, or the system does not tell.
    fn of(pid: u32) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn read(line: &str) -> Option<Self> {
        // The second field is a name in parentheses, which may contain anything.
        let (_, after_name) = line.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace();
        let is_over = matches!(fields.next()?, "Z" | "X");
        Some(Self { is_over, began: fields.nth(18)?.parse().ok()? })
    }
}

/// All records in a state directory, each with its file; what cannot be read is none.
pub(crate) fn records(folder: &Path) -> Vec<(PathBuf, Record)> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            let record = is_record.then(|| std::fs::read(&path).ok())??;
            Some((path, serde_json::from_slice(&record).ok()?))
        })
        .collect();
    found.sort_by_key(|(_, record): &(PathBuf, Record)| record.ready.pid);
    found
}

/// The processes that run; records of those that do not are removed, with what these have left behind.
pub(crate) fn running(folder: &Path) -> Vec<(PathBuf, Record)> {
    let (running, gone): (Vec<_>, Vec<_>) = records(folder).into_iter().partition(|(_, record)| record.is_running());
    for (file, record) in gone {
        record.clean_up();
        let _ = std::fs::remove_file(path_of(folder, record.ready.pid));
        let _ = std::fs::remove_file(file);
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_over_is_told_from_one_that_runs() {
        let stat =
            |state: char| format!("7 (a) b) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 {} 20 21\n", 4_711);
        assert_eq!(ProcessState::read(&stat('S')), Some(ProcessState { is_over: false, began: 4_711 }));
        assert_eq!(ProcessState::read(&stat('Z')), Some(ProcessState { is_over: true, began: 4_711 }));
        assert_eq!(ProcessState::read("7 (a"), None);
    }
}
