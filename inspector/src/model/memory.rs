//! What takes how much of a card's memory.

use card_os::DomainView;
use card_os::fs::FileNumber;
use card_os::nvm::{MemoryNvm, Partition};
use serde::Serialize;
use std::collections::BTreeMap;

use super::title;

/// What takes memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The domain: 0 is the platform.
    pub domain: u16,
    /// What it is: `files`, `applications`, `PINs`, `code`, `system`.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
    /// Octets, keys of the memory included.
    pub octets: usize,
    /// The file, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<u16>,
}

/// All parts, the largest of each domain first.
pub fn parts(memory: &MemoryNvm) -> Vec<Part> {
    let views: BTreeMap<u16, DomainView> = DomainView::all(memory).into_iter().map(|view| (view.id.0, view)).collect();
    let mut sums: BTreeMap<(u16, &'static str, String), (usize, Option<u16>)> = BTreeMap::new();
    for (key, value) in memory.iter() {
        let octets = key.cost(value.len());
        let Some(view) = views.get(&key.domain()) else { continue };
        if octets == 0 {
            continue;
        }
        let file = |number: u32| u16::try_from(number).ok().map(FileNumber);
        let (kind, name, file) = match key.partition() {
            Some(Partition::File | Partition::Content) => match file(key.index()) {
                Some(file) => ("files", title(&view.tree, file), Some(file.0)),
                None => ("files", format!("file {}", key.index()), None),
            },
            Some(Partition::Pin) => ("PINs", "PINs and PUKs".to_owned(), None),
            Some(Partition::Application) => ("applications", application(view, key.index()), None),
            Some(Partition::ApplicationData) => ("applications", application(view, key.index() >> 16), None),
            Some(Partition::Registry) => ("code", "Registry".to_owned(), None),
            Some(Partition::LoadFile) => ("code", format!("Load file {}", key.index()), None),
            Some(Partition::Heap) => ("code", "Heap".to_owned(), None),
            Some(Partition::System | Partition::Fault) | None => ("system", "System".to_owned(), None),
        };
        // Two files may have one name.
        let label = (key.domain(), kind, file.map_or_else(|| name.clone(), |number| format!("{name}\0{number}")));
        let sum = sums.entry(label).or_insert((0, file));
        sum.0 += octets;
    }
    let mut parts: Vec<Part> = sums
        .into_iter()
        .map(|((domain, kind, name), (octets, file))| {
            let name = name.split('\0').next().unwrap_or_default().to_owned();
            Part { domain, kind, name, octets, file }
        })
        .collect();
    parts.sort_by(|one, other| (one.domain, other.octets).cmp(&(other.domain, one.octets)));
    parts
}

fn application(view: &DomainView, number: u32) -> String {
    let found = view.applications.iter().find(|application| u32::from(application.number) == number);
    let name = found.and_then(|application| applets::kind::name(application.record.kind));
    name.map_or_else(|| format!("Application {number}"), ToOwned::to_owned)
}
