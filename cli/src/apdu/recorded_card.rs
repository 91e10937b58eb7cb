//! The card's side of a recorded session: until it is interrupted, and what was asked.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apdu::{StatusWord, counted};
use capture::Event;
use console::Exit;
use decode::describe_command;
use reader_bridge::replay::{Found, Heard, RecordedCard, Recording};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::replay::Arguments;
use crate::card::detach::Parent;
use crate::failure::{AtPath, Failure};
use crate::file::is_stdout;
use crate::output::{Output, beside};
use crate::{Context, hexadecimal};

/// So long no command follows the last one that is recorded.
const QUIET: Duration = Duration::from_secs(1);

pub(super) fn run(
    arguments: &Arguments,
    path: &Path,
    events: &[Event],
    context: &Context,
    parent: Option<&mut Parent>,
) -> Result<(), Failure> {
    let recording = Arc::new(Recording::of(events));
    if recording.is_empty() {
        return Err(Failure::because(format!("{} holds no command that a card could be asked", path.display()))
            .with(Exit::Input));
    }
    let taken = arguments.place.take(context)?;
    let tracer = arguments.target.trace().observers(&[""])?.pop();
    let log = Arc::new(Mutex::new(Log::default()));
    let (tell, told) = watch::channel(0_usize);
    let listener = {
        let (log, recording, output, show) = (Arc::clone(&log), Arc::clone(&recording), context.output, arguments.show);
        move |heard: Heard| {
            report(&recording, &heard, output, show);
            let missing = log.lock().unwrap_or_else(PoisonError::into_inner).hear(&recording, &heard);
            // Nobody may be waiting for it.
            tell.send_modify(|asked| *asked = if missing == 0 { asked.wrapping_add(1).max(1) } else { 0 });
        }
    };
    let card = RecordedCard::new(Arc::clone(&recording), arguments.options(), listener);
    let until = arguments.until_asked;
    let ended = async move {
        if until {
            all_asked(told).await;
            return Ok(());
        }
        std::future::pending().await
    };
    // `card eject` finds it by its file, from any folder.
    let name = if is_stdout(path) { path.to_owned() } else { std::path::absolute(path).at("look into", path)? };
    let outcome = taken.serve(card, &name, tracer, context, parent, ended);
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    beside(context.output.json(&log.object(&recording)));
    beside(context.output.block(log.summary(&recording).trim_end()));
    outcome?;
    let differs = log.unknown > 0 || arguments.complete && log.missing(&recording).next().is_some();
    if differs { Err(Failure::Told(Exit::Difference)) } else { Ok(()) }
}

/// Completes when each recorded command was asked, and none has come for a while.
async fn all_asked(mut told: watch::Receiver<usize>) {
    loop {
        if told.wait_for(|asked| *asked > 0).await.is_err() {
            // The card is gone with its thread, which says why.
            return std::future::pending().await;
        }
        told.mark_unchanged();
        if tokio::time::timeout(QUIET, told.changed()).await.is_err() {
            return;
        }
    }
}

/// What was asked.
#[derive(Debug, Default)]
struct Log {
    /// Numbers of the recorded commands, in the order in which they were asked.
    order: Vec<usize>,
    asked: BTreeSet<usize>,
    again: usize,
    ahead: usize,
    tolerated: usize,
    unknown: usize,
}

impl Log {
    /// Takes notice, and counts what is missing.
    fn hear(&mut self, recording: &Recording, heard: &Heard) -> usize {
        match (heard.found, heard.recorded) {
            (Found::Nowhere, _) | (_, None) => self.unknown += 1,
            (found, Some(at)) => {
                self.again += usize::from(found == Found::Again);
                self.ahead += usize::from(found == Found::Ahead);
                self.tolerated += usize::from(heard.differs);
                self.order.push(at);
                self.asked.insert(at);
            }
        }
        recording.len() - self.asked.len()
    }

    fn missing(&self, recording: &Recording) -> impl Iterator<Item = usize> {
        (0..recording.len()).filter(|at| !self.asked.contains(at))
    }

    fn object(&self, recording: &Recording) -> Value {
        let place = |at: usize| recording.command(at).and_then(|(_, line)| line);
        let not_asked: Vec<_> = self
            .missing(recording)
            .map(|at| {
                json!({
                    "number": at + 1, "line": place(at),
                    "command": recording.command(at).map(|(command, _)| hexadecimal::whole(without_secret(command))),
                })
            })
            .collect();
        json!({ "replayed": {
            "asked": self.order.len() + self.unknown, "again": self.again, "ahead": self.ahead, "tolerated": self.tolerated,
            "not_recorded": self.unknown, "recorded": recording.len(), "not_asked": not_asked,
            "order": self.order.iter().map(|at| at + 1).collect::<Vec<_>>(),
        } })
    }

    fn summary(&self, recording: &Recording) -> String {
        let mut text = format!("asked: {}", counted(self.order.len() + self.unknown, "command"));
        for (count, what) in [
            (self.again, "again"),
            (self.ahead, "ahead of their turn"),
            (self.tolerated, "with other random values"),
            (self.unknown, "not recorded"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        let _ = writeln!(text, "; {} of {} recorded ones", self.asked.len(), recording.len());
        if !self.order.is_empty() {
            let _ = writeln!(text, "asked, in this order: {}", ranges(self.order.iter().copied()));
        }
        let missing: Vec<_> = self.missing(recording).collect();
        if !missing.is_empty() {
            let _ = writeln!(text, "not asked: {}", ranges(missing.iter().copied()));
            for at in missing {
                let _ = writeln!(text, "  {}", place(recording, at));
            }
        }
        text
    }
}

/// Numbers, from 1, as `1-5, 3, 6-9`.
fn ranges(numbers: impl Iterator<Item = usize>) -> String {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match found.last_mut() {
            Some((_, last)) if number == *last + 1 => *last = number,
            _ => found.push((number, number)),
        }
    }
    let shown = |(first, last): &(usize, usize)| {
        if first == last { format!("{}", first + 1) } else { format!("{}-{}", first + 1, last + 1) }
    };
    found.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A recorded command: its number, where it is in the recording, what it is.
fn place(recording: &Recording, at: usize) -> String {
    let Some((command, line)) = recording.command(at) else { return String::new() };
    let line = line.map(|line| format!(" (line or packet {line})")).unwrap_or_default();
    format!("{}{line}: {}", at + 1, describe_command(command))
}

/// A command without its PINs, which stand at its end.
fn without_secret(command: &[u8]) -> &[u8] {
    let secret = capture::secret_part(command).map_or(0, |secret| secret.len());
    command.get(..command.len() - secret).unwrap_or_default()
}

/// Tells of one command.
fn report(recording: &Recording, heard: &Heard, output: Output, show: bool) {
    let found = match heard.found {
        Found::InOrder => "in order",
        Found::Ahead => "ahead",
        Found::Again => "again",
        Found::Nowhere => "not recorded",
    };
    let is_unknown = heard.found == Found::Nowhere;
    let number = heard.recorded.map(|at| at + 1);
    let command = without_secret(&heard.command);
    beside(output.json(&json!({
        "command": hexadecimal::whole(command), "response": hexadecimal::whole(&heard.response), "found": found,
        if is_unknown { "nearest" } else { "recorded" }: number, "differs": heard.differs,
    })));
    if !show && !is_unknown {
        return;
    }
    let what = describe_command(&heard.command);
    let status =
        heard.response.last_chunk().map_or(StatusWord::TECHNICAL_PROBLEM, |sw: &[u8; 2]| StatusWord::from(*sw));
    let line = match heard.recorded {
        Some(at) if is_unknown => {
            format!(
                "not recorded: {what} ({}), answered {status}; nearest is {}",
                hexadecimal::short(command),
                place(recording, at)
            )
        }
        None => format!("not recorded: {what} ({}), answered {status}", hexadecimal::short(command)),
        Some(at) => {
            let differs = if heard.differs { ", with other random values" } else { "" };
            format!("{what}: {found}{differs}, {}", place(recording, at))
        }
    };
    beside(output.text(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_short() {
        assert_eq!(ranges([0, 1, 2, 1, 4, 5].into_iter()), "1-3, 2, 5-6");
        assert_eq!(ranges(std::iter::empty()), "");
    }
}
