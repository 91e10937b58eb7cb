//! A step that was played, as JSON, as text, and as what reports make of it.

use std::fmt;
use std::time::Duration;

use apdu::counted;
use reader_bridge::script::{Done, Outcome};
use reader_bridge::trace::{describe_command, describe_response, pretty_tlv};
use serde_json::{Value, json};

use crate::hexadecimal;

/// A step, as JSON.
pub(super) fn object(done: &Done) -> Value {
    let mut object = json!({ "script": &*done.location.file, "line": done.location.line, "note": done.note });
    let Some(fields) = object.as_object_mut() else { return object };
    let mut insert = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if !done.turns.is_empty() {
        insert("turns", done.turns.clone().into());
    }
    if let Some(condition) = &done.condition {
        insert("condition", condition.as_str().into());
    }
    if !done.command.is_empty() {
        insert("command", done.shown_command().into());
        insert("name", describe_command(&done.command).into());
    }
    if !done.response.is_empty() {
        insert("response", done.shown_response().into());
    }
    insert("outcome", word(&done.outcome).into());
    match &done.outcome {
        Outcome::Reset { atr } => {
            insert("atr", hexadecimal::whole(atr).into());
        }
        Outcome::Skipped(count) | Outcome::NoValues(count) | Outcome::NotTaken(count) => {
            insert("skipped", (*count).into());
        }
        Outcome::Differs(mismatch) => {
            insert("expected", mismatch.expected.as_str().into());
            insert("received", mismatch.shown().into());
            insert("nibble", mismatch.nibble.into());
            insert("wanted", mismatch.wanted.as_str().into());
        }
        Outcome::AsExpected | Outcome::Unchecked => {}
    }
    if let Some(took) = done.took {
        insert("micros", u64::try_from(took.as_micros()).unwrap_or(u64::MAX).into());
    }
    if let Some(within) = done.within {
        insert("within_micros", u64::try_from(within.as_micros()).unwrap_or(u64::MAX).into());
        insert("late", done.is_late().into());
    }
    object
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Reset { .. } => "reset",
        Outcome::AsExpected => "as_expected",
        Outcome::Unchecked => "unchecked",
        Outcome::Differs(_) => "differs",
        Outcome::Skipped(_) | Outcome::NoValues(_) | Outcome::NotTaken(_) => "skipped",
    }
}

/// What a step did, in words.
pub(super) fn what(done: &Done) -> String {
    match &done.outcome {
        Outcome::Reset { .. } => "reset".into(),
        _ if !done.command.is_empty() => describe_command(&done.command),
        _ => done.condition.as_ref().map_or_else(|| "condition".to_owned(), |condition| format!("expect {condition}")),
    }
}

/// How many steps were left out and why; `None` for a step that was played.
pub(super) fn skipped(done: &Done) -> Option<String> {
    match &done.outcome {
        Outcome::Skipped(count) => {
            Some(format!("{} skipped: {}", counted(*count, "step"), describe_response(&done.response)))
        }
        Outcome::NoValues(count) => Some(format!("{} skipped: this loop has no values", counted(*count, "step"))),
        Outcome::NotTaken(count) => {
            let condition = done.condition.as_deref().unwrap_or_default();
            Some(format!("{} skipped: not so: {condition}", counted(*count, "step")))
        }
        _ => None,
    }
}

/// The remark about a response that came late; `None` if it did not.
pub(super) fn late(done: &Done) -> Option<String> {
    let (took, within) = done.took.zip(done.within).filter(|_| done.is_late())?;
    Some(format!("late: {}, to come within {}", time(took), time(within)))
}

/// A time, short.
pub(super) fn time(time: Duration) -> String {
    match time.as_millis() {
        0 => format!("{} µs", time.as_micros()),
        1..10 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        10..10_000 => format!("{} ms", time.as_millis()),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// Whether a comment has only the words that a recording puts there, which are shown anyway.
fn says_the_same(done: &Done, note: &str) -> bool {
    match &done.outcome {
        Outcome::Reset { atr } => note == format!("ATR {}", hexadecimal::whole(atr)),
        _ => !done.command.is_empty() && note == describe_command(&done.command),
    }
}

/// A step, as text.
pub(super) struct Told<'a> {
    pub(super) done: &'a Done,
    /// Whether commands and responses are shown in full, TLVs as trees.
    pub(super) whole: bool,
}

impl Told<'_> {
    fn response(&self) -> String {
        if self.done.hides_response() { self.done.shown_response() } else { hexadecimal::short(&self.done.response) }
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { location, note, turns, command, response, outcome, .. } = self.done;
        let note = note.as_ref().filter(|note| !says_the_same(self.done, note));
        let note = note.map(|note| format!("  # {note}")).unwrap_or_default();
        let turns = if turns.is_empty() { String::new() } else { format!(" [{}]", turns.join(" ")) };
        match outcome {
            Outcome::Reset { atr } => {
                return write!(f, "ok      {location}{turns}  reset, ATR {}{note}", hexadecimal::whole(atr));
            }
            Outcome::Skipped(_) | Outcome::NoValues(_) | Outcome::NotTaken(_) => {
                let skipped = skipped(self.done).unwrap_or_default();
                return write!(f, "skip    {location}{turns}  {skipped}{note}");
            }
            Outcome::Differs(mismatch) => {
                writeln!(f, "DIFFERS {location}{turns}  {}{note}", what(self.done))?;
                if !command.is_empty() {
                    writeln!(f, "          sent      {}", self.done.shown_command())?;
                }
                let lines: Vec<_> = mismatch.to_string().lines().map(|line| format!("          {line}")).collect();
                return f.write_str(&lines.join("\n"));
            }
            Outcome::AsExpected => write!(f, "ok      ")?,
            Outcome::Unchecked => write!(f, "-       ")?,
        }
        let late = late(self.done).map(|late| format!("  ({late})")).unwrap_or_default();
        write!(f, "{location}{turns}  {}", what(self.done))?;
        if command.is_empty() {
            return write!(f, "{note}");
        }
        if !self.whole {
            return write!(f, ": {}{late}{note}", self.response());
        }
        write!(f, "{late}{note}\n          > {}", self.done.shown_command())?;
        write!(f, "\n          < {}  {}", self.done.shown_response(), describe_response(response))?;
        if self.done.hides_response() {
            return Ok(());
        }
        for line in
            pretty_tlv(response.get(..response.len().saturating_sub(2)).unwrap_or_default()).into_iter().flatten()
        {
            write!(f, "\n              {line}")?;
        }
        Ok(())
    }
}
