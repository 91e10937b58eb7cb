//! What other programs are told of cards that run: the ready file, and the record of a run in the state directory.

use std::fmt;
use std::path::{Path, PathBuf};

use card::inspect;
use console::Exit;
use serde::{Deserialize, Serialize};

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
}

impl ReadyCard {
    /// The card in an image, which has no place yet.
    pub(crate) fn of(image: &Path) -> Result<Self, Failure> {
        let seen = inspect::image(image)?;
        let eid = seen.euicc.map(|euicc| euicc.eid);
        let image = std::path::absolute(image).at("look into", image)?;
        Ok(Self { image, eid, atr: seen.atr, reader: None, slot: None, socket: None })
    }

    /// A card that is no image, and has no place yet.
    pub(crate) fn named(name: impl Into<PathBuf>, atr: &[u8]) -> Self {
        let (image, atr) = (name.into(), crate::hexadecimal::whole(atr));
        Self { image, eid: None, atr, reader: None, slot: None, socket: None }
    }

    /// Where it is, as users name it.
    pub(crate) fn place(&self) -> &str {
        let known = self.reader.as_deref().or(self.socket.as_deref()).or(self.slot.as_deref());
        known.unwrap_or("no reader")
    }

    /// The same after a word that fits.
    pub(super) fn at_place(&self) -> String {
        format!("{} {}", if self.socket.is_some() { "at" } else { "in" }, self.place())
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
    written: Option<Vec<u8>>,
}

impl ReadyFile {
    /// The file at `path`, if one is wanted. One that an earlier run left there is removed: no card is ready yet. What is
    /// no ready file stays.
    pub(crate) fn at(path: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = path {
            Self::make_room(path)?;
        }
        Ok(Self { path: path.map(Path::to_owned), written: None })
    }

    fn make_room(path: &Path) -> Result<(), Failure> {
        let there = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            there => there.at("replace the ready file", path)?,
        };
        if serde_json::from_slice::<Ready>(&there).is_err() {
            let told = format!("{} is there and no ready file; name another file, or remove it", path.display());
            return Err(Failure::because(told).with(Exit::Usage));
        }
        std::fs::remove_file(path).at("replace the ready file", path)
    }

    /// All cards can be used.
    pub(crate) fn write(&mut self, ready: &Ready) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut text = serde_json::to_vec(ready)?;
        text.push(b'\n');
        replace(path, &text, Readers::Everybody).at("write the ready file to", path)?;
        self.written = Some(text);
        Ok(())
    }

    /// Not all cards can be used any more. What another process has put there since stays.
    pub(crate) fn remove(&mut self) {
        if let (Some(path), Some(written)) = (&self.path, self.written.take())
            && std::fs::read(path).is_ok_and(|there| there == written)
        {
            // Where it cannot be removed, its process number tells that it is old.
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
    #[serde(flatten)]
    pub(crate) ready: Ready,
}

/// Where records are.
pub(crate) fn folder(state: &State) -> Result<PathBuf, Failure> {
    Ok(state.path()?.join("run"))
}

/// The record of this process, which is removed at its end.
#[derive(Debug)]
pub(crate) struct Recorded(PathBuf);

impl Recorded {
    /// Makes it.
    pub(crate) fn of(ready: &Ready, state: &State) -> Result<Self, Failure> {
        let folder = state.directory()?.join("run");
        create_private(&folder)?;
        let recorded = Self(folder.join(format!("{}.json", ready.pid)));
        recorded.update(ready)?;
        Ok(recorded)
    }

    /// Writes it anew.
    pub(crate) fn update(&self, ready: &Ready) -> Result<(), Failure> {
        let record = Record { began: began(ready.pid), ready: ready.clone() };
        replace(&self.0, &serde_json::to_vec(&record)?, Readers::Owner).at("write the record of this run to", &self.0)
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // One that stays is recognised as old.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// When a process began, in clock ticks since the machine did: field 22 of proc_pid_stat(5). `None` if there is no such
/// process, or the system does not tell.
pub(crate) fn began(pid: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may contain anything.
    let (_, after_name) = line.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
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
