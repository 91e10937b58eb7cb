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
    /// It is looked at, and given its ADM.
    Begun,
    /// It took the ADM, and is being written to.
    Opened,
    /// It has its subscriber.
    Done,
    /// It was not finished; the same again may.
    Failed,
    /// It refused the ADM.
    AdmRefused,
    /// It did not answer when it was given the ADM, which may have cost a try.
    AdmUnanswered,
}

/// Which card it is, whatever its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    /// The number that it has.
    pub(super) iccid: String,
    /// Its answer to reset.
    pub(super) atr: String,
}

impl Card {
    /// Whether others of the type have the same number: none.
    fn is_blank(&self) -> bool {
        !self.iccid.bytes().any(|digit| digit.is_ascii_digit())
    }
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) row: u64,
    /// The subscriber's.
    pub(super) iccid: String,
    pub(super) imsi: String,
    /// Missing in a log of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) card: Option<Card>,
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
            match serde_json::from_str::<Entry>(line) {
                // Earlier versions wrote a number as it stood in the row.
                Ok(entry) => {
                    entries.push(Entry { iccid: entry.iccid.trim_end_matches(['F', 'f']).to_owned(), ..entry });
                }
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

    /// What has become of a card last.
    pub(super) fn last_of_card(&self, card: &Card) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.card.as_ref() == Some(card))
    }

    /// The subscriber with which a card was begun and not finished. Cards without a number cannot be told apart.
    pub(super) fn unfinished(&self, card: &Card) -> Option<&Entry> {
        self.last_of_card(card).filter(|last| last.outcome != Outcome::Done && !card.is_blank())
    }

    /// How often a card may have refused an ADM since it took one. A run that ended amid it counts as well.
    pub(super) fn refusals(&self, card: &Card) -> u8 {
        let (mut refusals, mut is_amid) = (0_u8, false);
        for entry in self.entries.iter().filter(|entry| entry.card.as_ref() == Some(card)) {
            let was_amid = std::mem::replace(&mut is_amid, entry.outcome == Outcome::Begun);
            match entry.outcome {
                Outcome::Opened | Outcome::Done => refusals = 0,
                Outcome::AdmRefused | Outcome::AdmUnanswered => refusals = refusals.saturating_add(1),
                Outcome::Begun => refusals = refusals.saturating_add(was_amid.into()),
                Outcome::Failed => {}
            }
        }
        refusals.saturating_add(is_amid.into())
    }

    /// Whether a card has ever refused the ADM that stands in the row of a subscriber; `is_own`: the row has one. Of a log that does
    /// not know cards it is taken to be so.
    pub(super) fn has_refused(&self, iccid: &str, is_own: bool) -> bool {
        let is_it = |entry: &Entry| entry.iccid == iccid && entry.outcome == Outcome::AdmRefused;
        self.entries.iter().any(|entry| is_it(entry) && (is_own || entry.card.is_none()))
    }

    /// Whether some of a subscriber may be on a card, whichever: no other may have it.
    pub(super) fn may_be_on_a_card(&self, iccid: &str) -> bool {
        self.entries.iter().filter(|entry| entry.iccid == iccid).any(|entry| match entry.outcome {
            Outcome::Opened | Outcome::Done => true,
            Outcome::Failed => !entry.written.is_empty(),
            // It was all that was known before the card was done.
            Outcome::Begun => entry.card.is_none() && self.of(iccid).is_some_and(|last| std::ptr::eq(last, entry)),
            Outcome::AdmRefused | Outcome::AdmUnanswered => false,
        })
    }

    /// Writes a line, before anything else is done.
    pub(super) fn put(&mut self, entry: Entry) -> Result<(), Failure> {
        let line = serde_json::to_string(&entry)?;
        writeln!(self.file, "{line}").and_then(|()| self.file.sync_data()).at("write the log", &self.path)?;
        self.entries.push(entry);
        Ok(())
    }
}
