//! What has changed between two states of a card's memory.

use card_os::DomainView;
use card_os::fs::{FileNumber, PinConfiguration};
use card_os::nvm::{Key, MemoryNvm, Nvm, Partition};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

use super::{Chunk, Place, explain, title};
use card::inspect::key_name;
use card_os::fs::FileKind;

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The domain: 0 is the platform.
    pub domain: u16,
    /// What has changed, in a line.
    pub what: String,
    /// The file, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<u16>,
    /// The record of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u8>,
    /// What was there; nothing if that is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Change {
    fn new(domain: u16, what: impl Into<String>) -> Self {
        Self { domain, what: what.into(), file: None, record: None, before: None, after: None }
    }
}

/// What of a memory has changed, in the order of what matters.
pub fn changes(before: &MemoryNvm, after: &MemoryNvm) -> Vec<Change> {
    let of = |memory: &MemoryNvm| -> BTreeMap<u16, DomainView> {
        DomainView::all(memory).into_iter().map(|view| (view.id.0, view)).collect()
    };
    let (old, new) = (of(before), of(after));
    let mut found = Vec::new();
    for number in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (old.get(number), new.get(number)) {
            (None, Some(view)) => found.push(Change::new(*number, format!("added, {} octets", view.used))),
            (Some(_), None) => found.push(Change::new(*number, "deleted")),
            (Some(old), Some(new)) => {
                if old.active != new.active {
                    found.push(Change::new(*number, if new.active { "enabled" } else { "disabled" }));
                }
                within(*number, (before, old), (after, new), &mut found);
            }
            (None, None) => {}
        }
    }
    found
}

/// What has changed within a domain that was there before.
fn within(domain: u16, old: (&MemoryNvm, &DomainView), new: (&MemoryNvm, &DomainView), found: &mut Vec<Change>) {
    let mut applications = BTreeSet::new();
    for key in differing(domain, old.0, new.0) {
        let number = || u16::try_from(key.index()).ok().map(FileNumber);
        match key.partition() {
            Some(Partition::Content) => {
                found.extend(number().into_iter().flat_map(|file| contents(old.1, new.1, file)));
            }
            Some(Partition::File) => found.extend(number().map(|file| descriptor(old, new, key, file))),
            Some(Partition::Application | Partition::ApplicationData) => {
                let index =
                    if key.partition() == Some(Partition::Application) { key.index() } else { key.index() >> 16 };
                applications.insert(index);
            }
            _ => {}
        }
    }
    for (df, entry) in &new.1.pins {
        let was = old.1.pins.iter().find(|(other, was)| other == df && is_same(was, entry)).map(|(_, was)| was);
        if let Some(told) = was.and_then(|was| pin(was, entry)) {
            found.push(Change::new(domain, told));
        }
    }
    for number in applications {
        let views = new.1.applications.iter().chain(&old.1.applications);
        let known = views.into_iter().find(|view| u32::from(view.number) == number);
        let name = known.and_then(|view| applets::kind::name(view.record.kind)).unwrap_or("an application");
        found.push(Change::new(domain, format!("{name}: what it keeps for itself")));
    }
}

fn differing(domain: u16, before: &MemoryNvm, after: &MemoryNvm) -> BTreeSet<Key> {
    let keys = before.iter().chain(after.iter()).map(|(key, _)| key).filter(|key| key.domain() == domain);
    keys.filter(|key| before.get(*key) != after.get(*key)).collect()
}

fn descriptor(old: (&MemoryNvm, &DomainView), new: (&MemoryNvm, &DomainView), key: Key, file: FileNumber) -> Change {
    let (what, view) = match (old.0.get(key), new.0.get(key)) {
        (None, _) => ("created", new.1),
        (_, None) => ("deleted", old.1),
        _ => ("its parameters", new.1),
    };
    Change { file: Some(file.0), ..Change::new(new.1.id.0, format!("{}: {what}", title(&view.tree, file))) }
}

/// The records that differ.
fn contents(old: &DomainView, new: &DomainView, file: FileNumber) -> Vec<Change> {
    let Some(FileKind::Ef(structure)) = new.tree.get(file).map(|file| file.kind) else { return Vec::new() };
    let place = Place::of(&new.tree, file);
    let chunks = |view: &DomainView| -> Vec<Chunk> {
        view.content(file).map(|content| explain(&place, structure, content)).unwrap_or_default()
    };
    let (before, after) = (chunks(old), chunks(new));
    let raw = |view: &DomainView| view.content(file).map(<[u8]>::to_vec).unwrap_or_default();
    let (was, is) = (raw(old), raw(new));
    let length =
        after.first().filter(|chunk| chunk.record.is_some()).map_or(is.len().max(1), |_| is.len() / after.len().max(1));
    let span = |content: &[u8], at: usize| content.chunks(length.max(1)).nth(at).map(<[u8]>::to_vec);
    let name = title(&new.tree, file);
    let differing = after.into_iter().enumerate().filter(|(at, _)| span(&was, *at) != span(&is, *at));
    differing
        .map(|(at, chunk)| {
            let what = chunk.record.map_or_else(|| name.clone(), |record| format!("{name}, record {record}"));
            Change {
                file: Some(file.0),
                record: chunk.record,
                before: before.get(at).and_then(|chunk| chunk.octets.clone()),
                after: chunk.octets,
                ..Change::new(new.id.0, what)
            }
        })
        .collect()
}

fn is_same(one: &PinConfiguration, other: &PinConfiguration) -> bool {
    match (one, other) {
        (PinConfiguration::Pin(one, _), PinConfiguration::Pin(other, _))
        | (PinConfiguration::Puk(one, _), PinConfiguration::Puk(other, _)) => one == other,
        _ => false,
    }
}

/// What has changed of a PIN or PUK; never its value.
fn pin(was: &PinConfiguration, is: &PinConfiguration) -> Option<String> {
    let (name, tries, rest) = match (was, is) {
        (PinConfiguration::Pin(reference, was), PinConfiguration::Pin(_, is)) => {
            let rest = match (was.enabled, is.enabled) {
                (false, true) => Some("asked for from now on"),
                (true, false) => Some("not asked for any more"),
                _ => (was.value != is.value).then_some("changed"),
            };
            (key_name(*reference), (was.tries, is.tries), rest)
        }
        (PinConfiguration::Puk(reference, was), PinConfiguration::Puk(_, is)) => {
            (key_name(*reference).replacen("PIN", "PUK", 1), (was.tries, is.tries), None)
        }
        _ => return None,
    };
    let tries = (tries.0 != tries.1).then(|| format!("{} of tries left, before {}", tries.1, tries.0));
    let told: Vec<String> = rest.map(ToOwned::to_owned).into_iter().chain(tries).collect();
    (!told.is_empty()).then(|| format!("{name}: {}", told.join("; ")))
}
