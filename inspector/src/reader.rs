//! A card in a reader, of plastic or not, of which only commands are known: what is on it is found by asking for every file that the
//! specifications name.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apdu::tlv::Reader;
use apdu::{Ins, StatusWord, Transport};
use card::inspect::{Profile, key_name, words};
use card_os::fs::{AccessRules, Condition, KeyReference, Operation, Structure};
use es10::{Euicc, Options};
use rsp::es10c::ProfileInfoListRequest;
use saip::templates::{NamedFile, named, named_adf, named_files};
use serde_json::{Value, json};

use crate::dialogue::{CYCLIC, Dialogue, REACH, change_profile, meaning, octets_of};
use crate::handle::Refusal;
use crate::model::{self, Place, explain, explain_fcp, hexadecimal};
use crate::subject::{Act, Subject};

/// Directories below the MF or an ADF.
const DEEPEST: usize = 3;
/// Files that are looked at; a card that answers to every name has no more.
const MOST: usize = 1_000;
/// What an act on an emulated card needs.
const NOT_EMULATED: &str = "this needs an emulated card, in an image";

/// A card behind a transport.
pub struct RealCard {
    line: Mutex<Box<dyn Transport>>,
    seen: Mutex<Option<Seen>>,
    name: String,
    may_write: bool,
    told: Mutex<Vec<Value>>,
}

/// What was found on it.
struct Seen {
    card: Value,
    files: Vec<Found>,
}

/// A file, and what SELECT said of it.
struct Found {
    place: Place,
    title: String,
    fcp: Vec<u8>,
    structure: Option<Structure>,
    rules: AccessRules,
}

impl RealCard {
    /// The card behind a transport, called so; nothing is written to it unless `may_write`.
    pub fn new(line: Box<dyn Transport>, name: impl Into<String>, may_write: bool) -> Self {
        let (line, name) = (Mutex::new(line), name.into());
        Self { line, seen: Mutex::new(None), name, may_write, told: Mutex::default() }
    }

    fn line(&self) -> MutexGuard<'_, Box<dyn Transport>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found; the card is asked the first time.
    fn seen(&self) -> Result<MutexGuard<'_, Option<Seen>>, Refusal> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() {
            *seen = Some(self.read()?);
        }
        Ok(seen)
    }

    fn read(&self) -> Result<Seen, Refusal> {
        let mut line = self.line();
        let atr = hexadecimal(line.atr());
        let facts = model::facts(&mut **line, Options::default());
        let is_euicc = !facts.is_empty();
        let profiles = if is_euicc { profiles(&mut **line)? } else { Vec::new() };
        let mut files = Vec::new();
        let tree = Dialogue::with(&mut **line, |dialogue| {
            let mf = Place::default();
            let mut roots = vec![walk(dialogue, &mf, "MF", &[], &mut files)?];
            for aid in applications(dialogue)? {
                let name = named_adf(&aid).map_or_else(|| hexadecimal(&aid), |named| named.name.to_owned());
                let place = Place { application: Some(aid), below: Vec::new() };
                // EF.DIR may name what cannot be selected.
                roots.extend(walk(dialogue, &place, &name, &[], &mut files).ok());
            }
            Ok(roots)
        })?;
        drop(line);
        let euicc = is_euicc.then(|| {
            let eid = facts.first().and_then(|fact| find(&fact.fields, "value"));
            json!({ "eid": eid, "profiles": profiles, "notifications": [] })
        });
        let write = (!self.may_write).then_some("the card is only read, as this page was opened for reading");
        let card = json!({
            "kind": "reader",
            "name": self.name,
            "card_type": if is_euicc { "eUICC" } else { "UICC" },
            "atr": atr,
            "euicc": euicc,
            "facts": is_euicc.then_some(facts),
            "domains": [{ "number": 0, "active": true, "title": "Card", "files": tree, "applications": [], "pins": [] }],
            "cannot": {
                "write": write, "profile": write, "reset": write, "owner": NOT_EMULATED, "power": NOT_EMULATED,
                "place": NOT_EMULATED, "fault": NOT_EMULATED, "memory": NOT_EMULATED,
            },
        });
        Ok(Seen { card, files })
    }

    fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn tell(&self, what: &str) {
        let change = json!({ "domain": 0, "of": "Card", "what": what });
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    fn may_write(&self) -> Result<(), Refusal> {
        if self.may_write {
            return Ok(());
        }
        Err(Refusal::because("the card is only read, as this page was opened for reading"))
    }
}

/// The first value below these fields.
fn find(fields: &[Value], name: &str) -> Option<Value> {
    fields.iter().find_map(|field| {
        let below = field["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        field.get(name).cloned().or_else(|| find(below, name))
    })
}

fn profiles(card: &mut dyn Transport) -> Result<Vec<Profile>, Refusal> {
    let mut euicc = Euicc::open(card, Options::default())?;
    let everything = ProfileInfoListRequest {
        tag_list: Some(ProfileInfoListRequest::ALL_TAGS.to_vec().into()),
        ..ProfileInfoListRequest::default()
    };
    let profiles = euicc.profiles_info(&everything)?;
    euicc.close();
    Ok(profiles.into_iter().map(Profile::from).collect())
}

/// The applications that EF.DIR names. TS 102 221 §13.1
fn applications(dialogue: &mut Dialogue<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
    const DIR: Place = Place { application: None, below: Vec::new() };
    const AID: apdu::tlv::Tag = apdu::tlv::Tag(0x4F);
    dialogue.select(&DIR)?;
    let Some(fcp) = dialogue.look(0x2F00)? else { return Ok(Vec::new()) };
    let Some(Structure::LinearFixed { records, record_length }) = structure(&fcp) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for record in 1..=records {
        let Ok(content) = dialogue.read_record(record, record_length)? else { break };
        let template = Reader::new(&content).next().ok().flatten();
        let aid =
            template.and_then(|template| template.children().find(AID).ok().flatten().map(|aid| aid.value.to_vec()));
        found.extend(aid.filter(|aid| (5..=16).contains(&aid.len())));
    }
    Ok(found)
}

/// The structure of a file, from its control parameters. TS 102 221 §11.1.1.4.3
fn structure(fcp: &[u8]) -> Option<Structure> {
    let descriptor = parameter(fcp, 0x82)?;
    let size =
        parameter(fcp, 0x80).map_or(0, |size| size.iter().fold(0, |sum: u32, octet| sum << 8 | u32::from(*octet)));
    match (*descriptor.first()? & 0x3F, descriptor.as_slice()) {
        (0x01, _) => Some(Structure::Transparent { size }),
        (0x02, [.., record_length, records]) => {
            Some(Structure::LinearFixed { record_length: *record_length, records: *records })
        }
        (0x06, [.., record_length, records]) => {
            Some(Structure::Cyclic { record_length: *record_length, records: *records })
        }
        (0x39, _) => Some(Structure::BerTlv { reserved: 0, maximum: size }),
        _ => None,
    }
}

fn is_directory(fcp: &[u8]) -> bool {
    parameter(fcp, 0x82).and_then(|descriptor| descriptor.first().copied()).is_some_and(|first| first & 0x3F == 0x38)
}

fn parameter(fcp: &[u8], tag: u32) -> Option<Vec<u8>> {
    let template = Reader::new(fcp).next().ok().flatten()?;
    Some(template.children().find(apdu::tlv::Tag(tag)).ok().flatten()?.value.to_vec())
}

/// The rules of the file that has these control parameters, in a directory that is selected, or in the MF. TS 102 221 §11.1.1.4.7
fn rules(dialogue: &mut Dialogue<'_>, fcp: &[u8], directory: &Place) -> Result<AccessRules, Refusal> {
    if let Some(compact) = parameter(fcp, 0x8C) {
        return Ok(AccessRules::parse_compact(&compact));
    }
    let (arr, record) = match parameter(fcp, 0x8B).as_deref() {
        Some([high, low, record] | [high, low, _, record, ..]) => (u16::from_be_bytes([*high, *low]), *record),
        _ => return Ok(AccessRules::none()),
    };
    for place in
        [directory.clone(), Place { application: directory.application.clone(), below: Vec::new() }, Place::default()]
    {
        dialogue.select(&place)?;
        let Some(found) = dialogue.look(arr)? else { continue };
        let Some(Structure::LinearFixed { record_length, .. }) = structure(&found) else { continue };
        if let Ok(content) = dialogue.read_record(record, record_length)? {
            return Ok(AccessRules::parse(&content));
        }
    }
    Ok(AccessRules::none())
}

/// A directory with what is found in it.
fn walk(
    dialogue: &mut Dialogue<'_>,
    place: &Place,
    title: &str,
    way: &[String],
    files: &mut Vec<Found>,
) -> Result<Value, Refusal> {
    let fcp = dialogue.select(place)?;
    let own = [way, &[title.to_owned()]].concat();
    let within = place.below.last().copied();
    let application = place.application.as_deref();
    let fits = |file: &&NamedFile| file.file_id != 0 && named(application, within, file.file_id) == Some(*file);
    let candidates: BTreeSet<u16> = named_files().iter().filter(fits).map(|file| file.file_id).collect();
    let mut node = note(place, title, &own, fcp, None, AccessRules::none(), files);
    let mut below = Vec::new();
    for fid in candidates.into_iter().filter(|fid| *fid != 0x3F00) {
        if files.len() >= MOST {
            break;
        }
        dialogue.select(place)?;
        let Some(fcp) = dialogue.look(fid)? else { continue };
        let inside = Place { application: place.application.clone(), below: [&place.below[..], &[fid]].concat() };
        let name = named(application, within, fid).map_or_else(|| format!("{fid:04X}"), |file| file.name.to_owned());
        if is_directory(&fcp) {
            if inside.below.len() <= DEEPEST {
                below.push(walk(dialogue, &inside, &name, &own, files)?);
            }
        } else {
            let rules = rules(dialogue, &fcp, place)?;
            let (structure, way) = (structure(&fcp), [&own[..], std::slice::from_ref(&name)].concat());
            below.push(note(&inside, &name, &way, fcp, structure, rules, files));
        }
    }
    node["files"] = below.into();
    Ok(node)
}

fn note(
    place: &Place,
    title: &str,
    way: &[String],
    fcp: Vec<u8>,
    structure: Option<Structure>,
    rules: AccessRules,
    files: &mut Vec<Found>,
) -> Value {
    let kind = match (structure, place.below.is_empty(), &place.application) {
        (Some(structure), ..) => model::file_kind(card_os::fs::FileKind::Ef(structure)),
        (None, true, None) => ("MF", None, None),
        (None, true, Some(_)) => ("ADF", None, None),
        (None, false, _) => ("DF", None, None),
    };
    let identifier = match (place.below.last(), &place.application) {
        (Some(fid), _) => format!("{fid:04X}"),
        (None, Some(aid)) => hexadecimal(aid),
        (None, None) => "3F00".to_owned(),
    };
    let sfi = parameter(&fcp, 0x88).and_then(|sfi| sfi.first().map(|sfi| sfi >> 3));
    let node = json!({
        "number": files.len(), "identifier": identifier, "name": title, "kind": kind.0, "size": kind.1,
        "records": kind.2.map(|(records, _)| records), "record_length": kind.2.map(|(_, length)| length),
        "sfi": sfi, "way": way, "files": [],
    });
    files.push(Found { place: place.clone(), title: title.to_owned(), fcp, structure, rules });
    node
}

/// The operations of a file, and what each asks for.
const OPERATIONS: [(Operation, &str, Ins, Ins); 2] = [
    (Operation::Read, "Read", Ins::READ_BINARY, Ins::READ_RECORD),
    (Operation::Update, "Update", Ins::UPDATE_BINARY, Ins::UPDATE_RECORD),
];

impl Found {
    fn condition(&self, operation: Operation, (binary, record): (Ins, Ins)) -> &Condition {
        let ins = if matches!(self.structure, Some(Structure::Transparent { .. })) { binary } else { record };
        self.rules.condition(operation, [0x00, ins.0, 0x00, 0x00])
    }

    /// Whether it goes on where READ and UPDATE BINARY do not reach.
    fn is_longer(&self) -> bool {
        matches!(self.structure, Some(Structure::Transparent { size }) if usize::try_from(size).is_ok_and(|size| size > REACH))
    }

    /// Whether so many octets can be written there.
    fn takes(&self, record: Option<u8>, octets: usize) -> Result<(), Refusal> {
        let (what, size) = match (self.structure, record) {
            (Some(Structure::Transparent { .. }), None) if self.is_longer() => {
                return Err(Refusal::because("the file is longer than UPDATE BINARY reaches"));
            }
            (Some(Structure::Transparent { size }), None) => ("the file", usize::try_from(size).unwrap_or(usize::MAX)),
            (Some(Structure::LinearFixed { records, record_length }), Some(record @ 1..)) if record <= records => {
                ("a record", usize::from(record_length))
            }
            (Some(Structure::Cyclic { .. }), _) => return Err(Refusal::because(CYCLIC)),
            _ => return Err(Refusal::because("the file has no such record")),
        };
        if octets == size {
            return Ok(());
        }
        Err(Refusal(format!("{}: {what} has {size} octets, and {octets} were given", self.title)))
    }

    /// Reads it, whole or by records.
    fn read(&self, dialogue: &mut Dialogue<'_>) -> Result<Result<Vec<u8>, StatusWord>, Refusal> {
        dialogue.select(&self.place)?;
        match self.structure {
            Some(Structure::Transparent { size }) => dialogue.read_binary(usize::try_from(size).unwrap_or(0)),
            Some(Structure::LinearFixed { records, record_length } | Structure::Cyclic { records, record_length }) => {
                let mut content = Vec::new();
                for record in 1..=records {
                    match dialogue.read_record(record, record_length)? {
                        Ok(octets) => content.extend(octets),
                        Err(sw) => return Ok(Err(sw)),
                    }
                }
                Ok(Ok(content))
            }
            _ => Ok(Ok(Vec::new())),
        }
    }
}

impl Subject for RealCard {
    fn card(&self) -> Result<Value, Refusal> {
        let seen = self.seen()?;
        Ok(seen.as_ref().map(|seen| seen.card.clone()).unwrap_or_default())
    }

    fn file(&self, domain: u16, file: u16) -> Result<Value, Refusal> {
        let seen = self.seen()?;
        let found = seen.as_ref().and_then(|seen| seen.files.get(usize::from(file)));
        let found = found.ok_or_else(|| Refusal::because("there is no such file"))?;
        let content = match found.structure {
            Some(_) => Dialogue::with(&mut **self.line(), |dialogue| found.read(dialogue))?,
            None => Ok(Vec::new()),
        };
        let (chunks, refusal) = match (content, found.structure) {
            (Ok(content), Some(structure)) => (explain(&found.place, structure, &content), None),
            (Err(sw), _) => (Vec::new(), Some(meaning(Ins::READ_BINARY, sw))),
            (Ok(_), None) => (Vec::new(), None),
        };
        let access = OPERATIONS.map(|(operation, word, binary, record)| {
            json!({ "operation": word, "condition": words(found.condition(operation, (binary, record))) })
        });
        let mut keys = Vec::new();
        let (operation, _, binary, record) = OPERATIONS[1];
        let condition = found.condition(operation, (binary, record));
        for reference in (0x01..=0x11).chain(0x81..=0x8E).map(KeyReference) {
            // What holds with this key alone asks for it.
            if condition.holds(&|key| key == reference) && !condition.holds(&|_| false) {
                keys.push(json!({ "reference": reference.0, "name": key_name(reference) }));
            }
        }
        let cannot = match found.structure {
            _ if !self.may_write => Some("the card is only read, as this page was opened for reading"),
            Some(Structure::BerTlv { .. }) => Some("a BER-TLV file holds data objects; a script writes them"),
            Some(Structure::Cyclic { .. }) => Some(CYCLIC),
            _ if found.is_longer() => Some("the file is longer than UPDATE BINARY reaches"),
            _ => None,
        };
        let note = found.is_longer().then(|| format!("Only its first {REACH} octets: READ BINARY reaches no further."));
        Ok(json!({
            "domain": domain, "number": file, "title": found.title, "fcp": hexadecimal(&found.fcp),
            "fcp_fields": explain_fcp(&found.place, &found.fcp), "access": if found.structure.is_some() { json!(access) } else { json!([]) },
            "keys": keys, "chunks": chunks, "refusal": refusal, "note": note,
            "cannot": { "card": cannot, "owner": NOT_EMULATED },
        }))
    }

    fn act(&self, act: &Act) -> Result<String, Refusal> {
        match act {
            Act::Read => {
                self.forget();
                Ok("the card is read anew".to_owned())
            }
            Act::Reset => {
                self.may_write()?;
                self.line().reset()?;
                self.forget();
                Ok("the card is reset".to_owned())
            }
            Act::Profile { iccid, change } => {
                self.may_write()?;
                change_profile(&mut **self.line(), iccid, *change, false)?;
                self.forget();
                let what = format!("{iccid}: {}", format!("{change:?}").to_ascii_lowercase());
                self.tell(&what);
                Ok(what)
            }
            Act::Update { file, record, octets, owner: false, keys, .. } => {
                self.may_write()?;
                let octets = console::hexadecimal::parse(octets)
                    .map_err(|_| Refusal::because("no hexadecimal: two digits for each octet"))?;
                let seen = self.seen()?;
                let found = seen.as_ref().and_then(|seen| seen.files.get(usize::from(*file)));
                let found = found.ok_or_else(|| Refusal::because("there is no such file"))?;
                // What cannot be written costs no key a try.
                found.takes(*record, octets.len())?;
                keys.iter().try_for_each(|key| octets_of(key).map(drop))?;
                Dialogue::with(&mut **self.line(), |dialogue| {
                    let before = found.read(dialogue)?.ok();
                    dialogue.select(&found.place)?;
                    keys.iter().try_for_each(|key| dialogue.verify(key))?;
                    match record {
                        Some(record) => dialogue.update_record(*record, &octets),
                        None => dialogue.update_binary(before.as_deref(), &octets),
                    }
                })?;
                self.tell(&format!("{} is written", found.title));
                Ok(format!("{} is written", found.title))
            }
            _ => Err(Refusal::because(NOT_EMULATED)),
        }
    }

    fn state(&self) -> Value {
        Value::Null
    }

    fn changes(&self) -> Vec<Value> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_refused_before_a_key_is_presented() {
        let found = |structure| Found {
            place: Place::default(),
            title: "EF".to_owned(),
            fcp: Vec::new(),
            structure: Some(structure),
            rules: AccessRules::none(),
        };
        let refused = |structure, record, octets| found(structure).takes(record, octets).unwrap_err().to_string();
        let linear = Structure::LinearFixed { records: 2, record_length: 5 };
        found(linear).takes(Some(2), 5).unwrap();
        assert!(refused(linear, Some(2), 4).contains("a record has 5 octets, and 4 were given"));
        for record in [None, Some(0), Some(3)] {
            assert!(refused(linear, record, 5).contains("no such record"), "{record:?}");
        }
        // It would be written over the oldest record, and be the first.
        assert_eq!(refused(Structure::Cyclic { records: 2, record_length: 5 }, Some(2), 5), CYCLIC);
        found(Structure::Transparent { size: 0x8000 }).takes(None, 0x8000).unwrap();
        assert!(refused(Structure::Transparent { size: 0x8001 }, None, 0x8001).contains("longer"));
        assert!(refused(Structure::Transparent { size: 9 }, None, 1).contains("the file has 9 octets"));
    }
}
