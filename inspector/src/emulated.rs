//! An emulated card: its memory is read from its image, while it runs; what is done to it, is done to the card that runs.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use apdu::{InProcess, Transport, TransportError};
use card::image::{self, Manufacture};
use card::inspect;
use card_os::DomainView;
use card_os::fs::{FileKind, FileNumber, Structure};
use card_os::nvm::MemoryNvm;
use es10::Options;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::dialogue::{CYCLIC, Dialogue, change_profile, octets_of};
use crate::handle::{Handle, Refusal};
use crate::model::{self, Place};
use crate::subject::{Act, Key, Subject};

/// An emulated card that runs.
pub struct Emulated {
    handle: Arc<dyn Handle>,
    last: Mutex<Option<Look>>,
}

/// What was seen at the last look.
struct Look {
    mark: Option<u64>,
    memory: MemoryNvm,
    names: BTreeMap<u16, String>,
}

impl Emulated {
    /// The card behind a handle.
    pub fn new(handle: Arc<dyn Handle>) -> Self {
        let card = Self { handle, last: Mutex::new(None) };
        // What was there before is no change.
        let _ = card.changes();
        card
    }

    fn read(&self) -> Result<(Manufacture, MemoryNvm), Refusal> {
        image::read(self.handle.image()).map_err(|error| Refusal(error.to_string()))
    }

    /// A hash of the image: two writes within one tick of the file system's clock differ in nothing else.
    fn mark(&self) -> Option<u64> {
        let octets = Zeroizing::new(fs::read(self.handle.image()).ok()?);
        let mut hasher = DefaultHasher::new();
        hasher.write(&octets);
        Some(hasher.finish())
    }

    fn update(&self, wanted: &Wanted<'_>) -> Result<String, Refusal> {
        let (_, memory) = self.read()?;
        let view = view(&memory, wanted.domain)?;
        let number = FileNumber(wanted.file);
        let structure = structure(&view, number)?;
        let name = model::title(&view.tree, number);
        let content = view.content(number).unwrap_or_default();
        let span = span(structure, wanted.record, content.len())?;
        if wanted.octets.len() != span.len() {
            let (have, want) = (wanted.octets.len(), span.len());
            let what = if wanted.record.is_some() { "a record" } else { "the file" };
            return Err(Refusal(format!("{name}: {what} has {want} octets, and {have} were given")));
        }
        if wanted.owner {
            self.handle.overwrite(wanted.domain, wanted.file, span.start, &wanted.octets)?;
            return Ok(format!("{name} is written, as owner"));
        }
        if !view.active && wanted.domain != 0 {
            return Err(not_active());
        }
        if matches!(structure, Structure::Cyclic { .. }) {
            return Err(Refusal::because(format!("{CYCLIC}; or write as owner")));
        }
        wanted.keys.iter().try_for_each(|key| octets_of(key).map(drop))?;
        let before = content.get(span).map(<[u8]>::to_vec);
        let place = Place::of(&view.tree, number);
        Dialogue::with(&mut Line(&*self.handle), |dialogue| {
            dialogue.select(&place)?;
            wanted.keys.iter().try_for_each(|key| dialogue.verify(key))?;
            match wanted.record {
                Some(record) => dialogue.update_record(record, &wanted.octets),
                None => dialogue.update_binary(before.as_deref(), &wanted.octets),
            }
        })?;
        Ok(format!("{name} is written"))
    }
}

/// What is to be written where.
struct Wanted<'a> {
    domain: u16,
    file: u16,
    record: Option<u8>,
    octets: Vec<u8>,
    owner: bool,
    keys: &'a [Key],
}

fn not_active() -> Refusal {
    Refusal::because("its profile is not enabled, so that the card does not see the file; enable it, or write as owner")
}

fn view(memory: &MemoryNvm, domain: u16) -> Result<DomainView, Refusal> {
    let found = DomainView::all(memory).into_iter().find(|view| view.id.0 == domain);
    found.ok_or_else(|| Refusal::because("there is no such profile any more; read the card again"))
}

fn structure(view: &DomainView, number: FileNumber) -> Result<Structure, Refusal> {
    match view.tree.get(view.tree.body(number)).map(|file| file.kind) {
        Some(FileKind::Ef(structure)) => Ok(structure),
        _ => Err(Refusal::because("there is no such file any more; read the card again")),
    }
}

/// Where the octets to be written lie in the content.
fn span(structure: Structure, record: Option<u8>, size: usize) -> Result<core::ops::Range<usize>, Refusal> {
    match (structure, record) {
        (Structure::BerTlv { .. }, _) => {
            Err(Refusal::because("a BER-TLV file holds data objects; a script writes them: SET DATA, `vuicc apdu run`"))
        }
        (Structure::Transparent { .. }, None) => Ok(0..size),
        (
            Structure::LinearFixed { records, record_length } | Structure::Cyclic { records, record_length },
            Some(record @ 1..),
        ) if record <= records => {
            let length = usize::from(record_length);
            let start = usize::from(record - 1) * length;
            Ok(start..start + length)
        }
        _ => Err(Refusal::because("the file has no such record")),
    }
}

impl Subject for Emulated {
    fn card(&self) -> Result<Value, Refusal> {
        let (manufacture, memory) = self.read()?;
        let inspection = inspect::card(&manufacture, &memory).map_err(|error| Refusal(error.to_string()))?;
        let facts = inspection.euicc.is_some().then(|| {
            let mut copy = InProcess::connect(inspect::copy(&manufacture, &memory));
            model::facts(&mut copy, Options { aid: aid(&inspection), ..Options::default() })
        });
        let names = names(&inspection);
        let views = DomainView::all(&memory);
        let domains = views.iter().zip(&inspection.domains).map(|(view, told)| {
            let mut domain = model::domain(view);
            if let Some(object) = domain.as_object_mut() {
                object.insert("title".into(), names.get(&view.id.0).cloned().into());
                object.insert("iccid".into(), told.iccid.clone().into());
                object.insert("pins".into(), json!(told.pins));
            }
            domain
        });
        let domains: Vec<Value> = domains.collect();
        let image = self.handle.image();
        Ok(json!({
            "kind": "emulated",
            "name": image.file_name().map(|name| name.to_string_lossy()),
            "image": image,
            "card_type": inspection.card_type,
            "atr": inspection.atr,
            "like": inspection.like,
            "made_by": inspection.made_by,
            "made_at": inspection.made_at,
            "memory": { "total": inspection.memory.total, "used": inspection.memory.used, "free": inspection.memory.free,
                "parts": model::parts(&memory) },
            "euicc": inspection.euicc,
            "facts": facts,
            "faults": inspection.faults,
            "kinds": card::fault::KINDS.iter().map(|kind| json!({ "form": kind.form(), "meaning": kind.meaning }))
                .collect::<Vec<_>>(),
            "domains": domains,
            "state": self.state(),
            "cannot": {},
        }))
    }

    fn file(&self, domain: u16, file: u16) -> Result<Value, Refusal> {
        let (manufacture, memory) = self.read()?;
        let view = view(&memory, domain)?;
        let number = FileNumber(file);
        let kind = view.tree.get(number).map(|_| view.tree.get(view.tree.body(number)).map(|file| file.kind));
        let Some(Some(kind)) = kind else {
            return Err(Refusal::because("there is no such file any more; read the card again"));
        };
        let place = Place::of(&view.tree, number);
        let free = manufacture.profile.non_volatile_memory.saturating_sub(card_os::nvm::Nvm::used(&memory));
        let fcp = view.fcp(number, free);
        let content = view.content(number).unwrap_or_default();
        let (chunks, objects) = match kind {
            FileKind::Ef(structure) => {
                (model::explain(&place, structure, content), matches!(structure, Structure::BerTlv { .. }))
            }
            _ => (Vec::new(), false),
        };
        let cannot = if objects {
            Some("a BER-TLV file holds data objects; a script writes them: SET DATA, vuicc apdu run".to_owned())
        } else if matches!(kind, FileKind::Ef(Structure::Cyclic { .. })) {
            Some(CYCLIC.to_owned())
        } else {
            (!view.active && domain != 0).then(|| not_active().to_string())
        };
        Ok(json!({
            "domain": domain,
            "number": file,
            "title": model::title(&view.tree, number),
            "fcp": model::hexadecimal(&fcp),
            "fcp_fields": model::explain_fcp(&place, &fcp),
            "access": model::access(&view.tree, number),
            "keys": model::keys_of(&view.tree, number),
            "chunks": chunks,
            "cannot": { "card": cannot, "owner": objects.then_some("data objects are written by SET DATA") },
        }))
    }

    fn act(&self, act: &Act) -> Result<String, Refusal> {
        match act {
            Act::Update { domain, file, record, octets, owner, keys } => {
                let octets = console::hexadecimal::parse(octets)
                    .map_err(|_| Refusal::because("no hexadecimal: two digits for each octet"))?;
                let (domain, file, record, owner) = (*domain, *file, *record, *owner);
                self.update(&Wanted { domain, file, record, octets, owner, keys })
            }
            Act::Profile { iccid, change } => {
                let is_shared = self.handle.state()?.place.is_some();
                change_profile(&mut Line(&*self.handle), iccid, *change, is_shared)?;
                Ok(match change {
                    crate::ProfileChange::Enable => format!("{iccid} is enabled"),
                    crate::ProfileChange::Disable => format!("{iccid} is disabled"),
                    crate::ProfileChange::Delete => format!("{iccid} is deleted"),
                })
            }
            Act::Cut => self.handle.cut().map(|()| "the power is gone".to_owned()),
            Act::Reset => self.handle.reset().map(|()| "the card is reset".to_owned()),
            Act::Pull => self.handle.put(false).map(|()| "the card is out".to_owned()),
            Act::Insert => self.handle.put(true).map(|()| "the card is in".to_owned()),
            Act::Fault { fault } => {
                self.handle.order(fault.trim())?;
                Ok(format!("{} is armed", fault.trim()))
            }
            Act::ClearFaults { numbers } => {
                let cleared = self.handle.clear(numbers)?;
                Ok(format!("{} cleared", apdu::counted(cleared.len() as u64, "fault")))
            }
            Act::Read => Ok("read anew".to_owned()),
        }
    }

    fn state(&self) -> Value {
        match self.handle.state() {
            Ok(state) => json!({ "place": state.place, "in": state.is_in, "powered": state.is_powered }),
            Err(refusal) => json!({ "refusal": refusal.to_string() }),
        }
    }

    fn changes(&self) -> Vec<Value> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is read: what is written meanwhile differs at the next look.
        let mark = self.mark();
        if mark.is_some() && last.as_ref().is_some_and(|look| look.mark == mark) {
            return Vec::new();
        }
        let Ok((manufacture, memory)) = self.read() else { return Vec::new() };
        let changes = last.as_ref().map(|look| model::changes(&look.memory, &memory)).unwrap_or_default();
        let faults =
            last.as_ref().is_some_and(|look| inspect::faults(&look.memory).len() != inspect::faults(&memory).len());
        let mut names = last.take().map(|look| look.names).unwrap_or_default();
        if names.is_empty() || !changes.is_empty() {
            let read = inspect::card(&manufacture, &memory);
            names.extend(read.map(|inspection| self::names(&inspection)).unwrap_or_default());
        }
        let told = changes.into_iter().map(|change| {
            let name = names.get(&change.domain).cloned();
            let mut value = json!(change);
            value["of"] = name.into();
            value
        });
        let mut told: Vec<Value> = told.collect();
        if faults {
            told.push(json!({ "domain": 0, "of": "Faults", "what": "armed or cleared" }));
        }
        *last = Some(Look { mark, memory, names });
        told
    }
}

/// What users call the domains: a profile's nickname, name or ICCID.
fn names(inspection: &inspect::Inspection) -> BTreeMap<u16, String> {
    let profiles = inspection.euicc.as_ref().map(|euicc| euicc.profiles.as_slice()).unwrap_or_default();
    let name = |domain: &inspect::Domain| match (&domain.iccid, domain.number) {
        (_, 0) if inspection.euicc.is_some() => "eUICC".to_owned(),
        (Some(iccid), _) => {
            let profile = profiles.iter().find(|profile| profile.iccid == *iccid);
            let named = profile.and_then(|profile| profile.nickname.clone().or_else(|| Some(profile.name.clone())));
            named.filter(|name| !name.is_empty()).unwrap_or_else(|| iccid.clone())
        }
        (None, 0) => "Platform".to_owned(),
        (None, number) => format!("Domain {number}"),
    };
    inspection.domains.iter().map(|domain| (domain.number, name(domain))).collect()
}

/// The name ISD-R is selected by.
fn aid(inspection: &inspect::Inspection) -> Vec<u8> {
    let name = inspection.euicc.as_ref().and_then(|euicc| euicc.isd_r.first());
    name.and_then(|name| console::hexadecimal::parse(name).ok()).unwrap_or_else(|| rsp::ids::AID_ISD_R.to_vec())
}

/// A card that runs, as a host sees one.
struct Line<'a>(&'a dyn Handle);

impl Transport for Line<'_> {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.0.reset().map_err(|refusal| TransportError::Connection(refusal.0))?;
        Ok(Vec::new())
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.reset()
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let response = self.0.transmit(command).map_err(|refusal| TransportError::Connection(refusal.0))?;
        match response.len() {
            0 => Err(TransportError::Mute),
            1 => Err(TransportError::ShortResponse(1)),
            _ => Ok(response),
        }
    }

    fn atr(&self) -> &[u8] {
        &[]
    }
}
