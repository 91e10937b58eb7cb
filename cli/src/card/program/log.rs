//! What has become of the rows of a batch: a line of JSON each, appended; what a later run goes by.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use console::Exit;
use serde::{Deserialize, Serialize};

use crate::failure::{AtPath, Failure};
use crate::file::{Readers, append};

/// What has become of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It is being written to.
    Begun,
    /// It has its subscriber.
    Done,
    /// It was not finished; the same again may.
    Failed,
    /// It refused the ADM.
    AdmRefused,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) row: u64,
    /// The subscriber's.
    pub(super) iccid: String,
    pub(super) imsi: String,
    pub(super) outcome: Outcome,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) written: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

pub(super) struct Log {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

impl Log {
    /// Reads what there is, and stays open.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.at("read the log", path)?,
        };
        let mut entries = Vec::new();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in (1..).zip(&lines) {
            match serde_json::from_str(line) {
                Ok(entry) => entries.push(entry),
                // Cut off by whatever ended the last run.
                Err(_) if number == lines.len() && !text.ends_with('\n') => {}
                Err(_) => {
                    let told = format!("{}: line {number} is none of this log; name another file", path.display());
                    return Err(Failure::because(told).with(Exit::Input));
                }
            }
        }
        let mut file = append(path, Readers::Owner, "the log")?;
        if !text.is_empty() && !text.ends_with('\n') {
            writeln!(file).at("write the log", path)?;
        }
        Ok(Self { path: path.to_owned(), file, entries })
    }

    /// What has become of a subscriber last.
    pub(super) fn of(&self, iccid: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.iccid == iccid)
    }

    /// Whether a card has ever refused the ADM of a subscriber.
    pub(super) fn has_refused(&self, iccid: &str) -> bool {
        self.entries.iter().any(|entry| entry.iccid == iccid && entry.outcome == Outcome::AdmRefused)
    }

    /// Writes a line, before anything else is done.
    pub(super) fn put(&mut self, entry: Entry) -> Result<(), Failure> {
        let line = serde_json::to_string(&entry)?;
        writeln!(self.file, "{line}").and_then(|()| self.file.sync_data()).at("write the log", &self.path)?;
        self.entries.push(entry);
        Ok(())
    }
}
