//! The files of a domain as a tree.

use card::inspect::{key_name, names, words};
use card_os::fs::{Condition, FileKind, FileNumber, FileTree, KeyReference, Operation, Structure};
use card_os::{ApplicationView, DomainView};
use serde_json::{Value, json};

use super::hexadecimal;

/// What a file is called: its name, else its identifier.
pub fn title(tree: &FileTree, number: FileNumber) -> String {
    names::of(tree, number).map_or_else(|| identifier(tree, number), ToOwned::to_owned)
}

/// Its identifier; of an ADF its AID.
fn identifier(tree: &FileTree, number: FileNumber) -> String {
    tree.get(number).map_or_else(String::new, |file| match file.kind {
        FileKind::Adf(aid) => hexadecimal(&aid),
        _ => file.fid.to_string(),
    })
}

/// The names of what lies above it, from the top, and its own.
fn way(tree: &FileTree, number: FileNumber) -> Vec<String> {
    let (mut way, mut at) = (Vec::new(), number);
    while let Some(file) = tree.get(at) {
        way.insert(0, title(tree, at));
        if file.parent == at || matches!(file.kind, FileKind::Adf(_) | FileKind::Mf) {
            break;
        }
        at = file.parent;
    }
    way
}

/// What kind of file it is, its size, and how many records of which length.
pub fn file_kind(kind: FileKind) -> (&'static str, Option<u32>, Option<(u8, u8)>) {
    match kind {
        FileKind::Mf => ("MF", None, None),
        FileKind::Adf(_) => ("ADF", None, None),
        FileKind::Df => ("DF", None, None),
        FileKind::Ef(structure) => match structure {
            Structure::Transparent { size } => ("transparent", Some(size), None),
            Structure::LinearFixed { records, record_length } => {
                ("linear fixed", Some(structure.size()), Some((records, record_length)))
            }
            Structure::Cyclic { records, record_length } => {
                ("cyclic", Some(structure.size()), Some((records, record_length)))
            }
            Structure::BerTlv { maximum, .. } => ("BER-TLV", Some(maximum), None),
        },
    }
}

/// A file, and what is below it.
fn node(view: &DomainView, number: FileNumber) -> Value {
    let tree = &view.tree;
    let Some(file) = tree.get(number) else { return Value::Null };
    let body = tree.get(tree.body(number)).unwrap_or(file);
    let (kind, size, records) = file_kind(body.kind);
    let children: Vec<Value> = tree.children(number).map(|child| node(view, child)).collect();
    json!({
        "number": number.0,
        "identifier": identifier(tree, number),
        "name": names::of(tree, number),
        "kind": kind,
        "size": size,
        "records": records.map(|(records, _)| records),
        "record_length": records.map(|(_, length)| length),
        "sfi": file.sfi,
        "state": state(file.life_cycle),
        "way": way(tree, number),
        "link": file.link.map(|link| way(tree, link).join(" / ")),
        "files": children,
    })
}

fn state(life_cycle: card_os::fs::LifeCycle) -> Option<&'static str> {
    match life_cycle {
        state if state.is_terminated() => Some("terminated"),
        state if state.is_activated() => None,
        _ => Some("deactivated"),
    }
}

/// A domain: its applications, each with its files, and its MF.
pub fn domain(view: &DomainView) -> Value {
    let tree = &view.tree;
    let mut files = Vec::new();
    if tree.get(FileNumber::MF).is_some() {
        files.push(node(view, FileNumber::MF));
        files.extend(tree.adfs().map(|(_, adf)| node(view, adf)));
    }
    json!({
        "number": view.id.0,
        "active": view.active,
        "used": view.used,
        "files": files,
        "applications": view.applications.iter().map(application).collect::<Vec<_>>(),
    })
}

fn application(view: &ApplicationView) -> Value {
    let record = &view.record;
    json!({
        "aid": hexadecimal(&record.aid),
        "name": applets::kind::name(record.kind),
        "life_cycle": record.life_cycle,
        "has_files": record.adf.is_some(),
    })
}

/// The operations a file has rules for, in the words of a list.
const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::Read, "Read"),
    (Operation::Update, "Update"),
    (Operation::Activate, "Activate"),
    (Operation::Deactivate, "Deactivate"),
    (Operation::Terminate, "Terminate"),
];

/// The header of the command that does it to a file of this structure.
fn header(operation: Operation, structure: Structure) -> [u8; 4] {
    let class = if matches!(structure, Structure::BerTlv { .. }) { 0x80 } else { 0x00 };
    let ins = match (operation, structure) {
        (Operation::Update, Structure::Transparent { .. }) => 0xD6,
        (Operation::Update, Structure::BerTlv { .. }) => 0xDB,
        (Operation::Update, _) => 0xDC,
        (Operation::Activate, _) => 0x44,
        (Operation::Deactivate, _) => 0x04,
        (Operation::Terminate, _) => 0xE8,
        (_, Structure::Transparent { .. }) => 0xB0,
        (_, Structure::BerTlv { .. }) => 0xCB,
        _ => 0xB2,
    };
    [class, ins, 0x00, 0x00]
}

/// The access rules of a file: what each operation asks for.
pub fn access(tree: &FileTree, number: FileNumber) -> Vec<Value> {
    let Some(FileKind::Ef(structure)) = tree.get(tree.body(number)).map(|file| file.kind) else { return Vec::new() };
    let rules = tree.rules(number);
    let rule = |(operation, word): (Operation, &str)| {
        let condition = rules.condition(operation, header(operation, structure));
        json!({ "operation": word, "condition": words(condition) })
    };
    OPERATIONS.map(rule).into()
}

/// The keys that could open the file for UPDATE.
pub fn keys_of(tree: &FileTree, number: FileNumber) -> Vec<Value> {
    fn collect(condition: &Condition, keys: &mut Vec<KeyReference>) {
        match condition {
            Condition::Key(reference) if !keys.contains(reference) => keys.push(*reference),
            Condition::Any(conditions) | Condition::All(conditions) => {
                for condition in conditions {
                    collect(condition, keys);
                }
            }
            _ => {}
        }
    }
    let Some(FileKind::Ef(structure)) = tree.get(tree.body(number)).map(|file| file.kind) else { return Vec::new() };
    let mut keys = Vec::new();
    collect(tree.rules(number).condition(Operation::Update, header(Operation::Update, structure)), &mut keys);
    keys.into_iter().map(|key| json!({ "reference": key.0, "name": key_name(key) })).collect()
}
