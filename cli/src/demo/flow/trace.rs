//! What happened in a run, in order, and its sequence chart.
//!
//! Two threads tell: the primary's, and the secondary's. Between them the order is that of the messages that passed, not
//! that in which threads happened to run, so that two runs of a flow have one chart.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use device::entitlement::ServiceStatus;
use device::event::{Event, Party, What};

use super::super::narrator::ensure;
use crate::failure::Failure;

/// How long it may take until something that was to happen is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    Primary,
    Secondary,
}

/// One thing that happened.
#[derive(Clone, Debug)]
enum Entry {
    /// Between devices, people and the operator's doors, as a device tells it.
    Device(Teller, Event),
    /// Inside the network.
    Network { from: &'static str, to: &'static str, what: String },
    /// How things stand, as was checked.
    Standing(String),
}

/// What happened so far. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<Entry>>>);

impl Trace {
    /// Whoever tells what a device does.
    pub(super) fn teller(&self, teller: Teller) -> impl FnMut(Event) + Send + use<> {
        let trace = self.clone();
        move |event| trace.add(Entry::Device(teller, event))
    }

    /// Something one device did.
    pub(super) fn device(&self, from: Party, to: Party, what: What) {
        self.add(Entry::Device(Teller::Primary, Event::new(from, to, what)));
    }

    /// Something inside the network.
    pub(super) fn network(&self, from: &'static str, to: &'static str, what: impl Into<String>) {
        self.add(Entry::Network { from, to, what: what.into() });
    }

    /// How things stand.
    pub(super) fn standing(&self, text: impl Into<String>) {
        self.add(Entry::Standing(text.into()));
    }

    fn add(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much there is.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What happened after the first `mark` entries, for people.
    pub(super) fn lines_after(&self, mark: usize, parties: [&str; 2]) -> Vec<String> {
        let new = self.entries().split_off(mark);
        let told = in_order(new).into_iter().filter_map(|entry| match entry {
            Entry::Device(_, event) if is_detail(&event) => None,
            Entry::Device(_, Event { from, to, what }) => {
                Some(format!("{} → {}: {what}", name(from, parties), name(to, parties)))
            }
            Entry::Network { from, to, what } => Some(format!("{from} → {to}: {what}")),
            Entry::Standing(_) => None,
        });
        told.collect()
    }

    /// How often something happened.
    pub(super) fn count(&self, from: Party, to: Party, what: &What) -> usize {
        let wanted = Event::new(from, to, what.clone());
        self.entries().iter().filter(|entry| matches!(entry, Entry::Device(_, event) if *event == wanted)).count()
    }

    /// Checks that something happened; what one thread does may take a moment to be told by another.
    pub(super) fn expect(&self, from: Party, to: Party, what: &What) -> Result<(), Failure> {
        self.expect_more(0, from, to, what)
    }

    /// Checks that something happened more often than `before`.
    pub(super) fn expect_more(&self, before: usize, from: Party, to: Party, what: &What) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while self.count(from, to, what) <= before {
            ensure(Instant::now() < end, || format!("it did not happen: {}", Event::new(from, to, what.clone())))?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The sequence chart, in Mermaid's language. `names` stand in place of what is different in each run; `parties` are
    /// what primary and secondary are in this flow.
    pub(super) fn chart(&self, parties: [&str; 2], names: &[(String, String)]) -> String {
        let mut arrows: Vec<Arrow> = Vec::new();
        let mut actors: Vec<String> = Vec::new();
        let mut lines: Vec<Line> = Vec::new();
        for entry in without_vain_questions(in_order(self.entries())) {
            match entry {
                Entry::Device(_, event) if is_detail(&event) => {}
                Entry::Device(_, Event { from, to, what }) => {
                    arrows.push((name(from, parties), name(to, parties), what.to_string()));
                }
                Entry::Network { from, to, what } => arrows.push((from.into(), to.into(), what)),
                Entry::Standing(text) => {
                    lines.extend(arrows.drain(..).map(Line::Arrow));
                    lines.push(Line::Note(text));
                }
            }
        }
        lines.extend(arrows.into_iter().map(Line::Arrow));
        for line in &lines {
            if let Line::Arrow((from, to, _)) = line {
                for actor in [from, to] {
                    if !actors.contains(actor) {
                        actors.push(actor.clone());
                    }
                }
            }
        }
        let key = |actor: &str| format!("P{}", actors.iter().position(|other| other == actor).unwrap_or_default());
        let mut chart = "sequenceDiagram\n".to_owned();
        for actor in &actors {
            let kind = if actor == "Person" { "actor" } else { "participant" };
            let _ = writeln!(chart, "    {kind} {} as {actor}", key(actor));
        }
        let (first, last) = (key(""), format!("P{}", actors.len().saturating_sub(1)));
        for line in &lines {
            let _ = match line {
                Line::Arrow((from, to, what)) => {
                    writeln!(chart, "    {}->>{}: {}", key(from), key(to), text(what, names))
                }
                Line::Note(note) => writeln!(chart, "    Note over {first},{last}: {}", text(note, names)),
            };
        }
        chart
    }
}

/// From whom, to whom, what.
type Arrow = (String, String, String);

enum Line {
    Arrow(Arrow),
    Note(String),
}

fn name(party: Party, [primary, secondary]: [&str; 2]) -> String {
    match party {
        Party::Primary => primary.to_owned(),
        Party::Secondary => secondary.to_owned(),
        other => other.to_string(),
    }
}

/// With names for numbers, and without what Mermaid reads as its own.
fn text(words: &str, names: &[(String, String)]) -> String {
    let words = names.iter().fold(words.to_owned(), |words, (volatile, name)| words.replace(volatile, name));
    words.replace(';', ",").replace('#', "")
}

/// The steps of a download are told in full by `vuicc lpa -v`.
fn is_detail(event: &Event) -> bool {
    matches!(event.what, What::Progress { .. })
}

/// Questions that got no other answer than “not yet” say how fast a machine is, not what happens.
fn without_vain_questions(entries: Vec<Entry>) -> Vec<Entry> {
    let mut left: Vec<Entry> = Vec::new();
    for entry in entries {
        let in_vain = match &entry {
            Entry::Device(_, Event { what: What::Service { status: ServiceStatus::Activating }, .. }) => true,
            Entry::Device(_, Event { what: What::Answered { result }, .. }) => result.ends_with(" configurations"),
            _ => false,
        };
        let asked = |entry: &Entry| {
            matches!(
                entry,
                Entry::Device(
                    _,
                    Event { what: What::Asked { operation: "AcquireConfiguration", credential: "token", .. }, .. }
                )
            )
        };
        if in_vain && left.last().is_some_and(asked) {
            left.pop();
        } else {
            left.push(entry);
        }
    }
    left
}

/// The secondary's events where their causes and effects are among the primary's.
fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let is_secondary = |entry: &Entry| matches!(entry, Entry::Device(Teller::Secondary, _));
    let (secondary, primary): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_secondary);
    let mut waiting: std::collections::VecDeque<_> = secondary.into();
    let mut ordered = Vec::new();
    // Up to and with the next one like this; nothing if there is none.
    let mut flush = |ordered: &mut Vec<Entry>, last: &dyn Fn(&What) -> bool| {
        let found = waiting.iter().position(|entry| matches!(entry, Entry::Device(_, event) if last(&event.what)));
        ordered.extend(waiting.drain(..found.map_or(0, |found| found + 1)));
    };
    for entry in primary {
        let heard = match &entry {
            Entry::Device(_, Event { from: Party::Secondary, to: Party::Primary, what }) => Some(what.clone()),
            _ => None,
        };
        match heard {
            Some(What::Installed { .. }) => flush(&mut ordered, &|what| matches!(what, What::Installed { .. })),
            Some(What::Enabled { .. } | What::Removed { .. }) => {
                flush(&mut ordered, &|what| matches!(what, What::Notified { .. }));
            }
            _ => {}
        }
        let announced = matches!(
            &entry,
            Entry::Device(_, Event { from: Party::Primary, to: Party::Secondary, what: What::ServiceResult { .. } })
        );
        let entered =
            matches!(&entry, Entry::Device(_, Event { what: What::CodeEntered | What::MessageAnswered { .. }, .. }));
        if entered {
            flush(&mut ordered, &|what| matches!(what, What::Sms { .. }));
        }
        ordered.push(entry);
        if announced {
            flush(&mut ordered, &|what| matches!(what, What::ServiceResult { .. }));
        }
    }
    ordered.extend(waiting);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_the_same_however_threads_ran() {
        let installed = |from, to| Event::new(from, to, What::Installed { iccid: None });
        let told = [
            (Teller::Secondary, installed(Party::Secondary, Party::ProfileServer)),
            (Teller::Secondary, Event::new(Party::Secondary, Party::ProfileServer, What::Notified { count: 1 })),
            (Teller::Primary, installed(Party::Secondary, Party::Primary)),
        ];
        let chart = |order: [usize; 3]| {
            let trace = Trace::default();
            for index in order {
                let (teller, event) = told[index].clone();
                trace.teller(teller)(event);
            }
            trace.chart(["Phone", "Watch"], &[("installed".into(), "there".into())])
        };
        let text = chart([0, 1, 2]);
        assert_eq!(text, chart([0, 2, 1]));
        assert_eq!(text, chart([2, 0, 1]));
        assert!(
            text.contains("P0 as Watch") && text.contains("P0->>P2: there\n    P0->>P1: 1 notifications"),
            "{text}"
        );
    }
}
