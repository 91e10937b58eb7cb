//! What is in memory: files, PINs, applications of each domain.

use super::{hexadecimal, names};
use apdu::{Class, Ins};
use applets::AuthenticationCounters;
use card_os::fs::{
    AccessRules, Condition, FileId, FileKind, FileNumber, KeyReference, Operation, PinConfiguration, Structure,
};
use card_os::{ApplicationView, DomainId, DomainView};
use serde::Serialize;

/// A domain: the platform, or a profile.
#[derive(Clone, Debug, Serialize)]
pub struct Domain {
    /// Its number; 0 is the platform.
    pub number: u16,
    /// ICCID in its files, for a profile; digits as printed.
    pub iccid: Option<String>,
    /// Whether the channels see its files.
    pub active: bool,
    /// Bytes of memory it takes.
    pub used: usize,
    /// Its applications.
    pub applications: Vec<Application>,
    /// Its PINs and PUKs.
    pub pins: Vec<Pin>,
    /// Its files: MF, then each ADF.
    pub files: Vec<Directory>,
}

/// One application.
#[derive(Clone, Debug, Serialize)]
pub struct Application {
    /// The name it is selected by.
    pub aid: String,
    /// What it is.
    pub name: Option<&'static str>,
    /// GlobalPlatform life cycle state.
    pub life_cycle: u8,
    /// Whether it has files of its own.
    pub has_files: bool,
    /// The highest sequence number it has accepted in authentication, 48 bits.
    pub sqn_ms: Option<u64>,
    /// Authentications so far, where they are counted.
    pub authentications: Option<u32>,
}

/// One PIN or PUK.
#[derive(Clone, Debug, Serialize)]
pub struct Pin {
    /// What it is called: `PIN1`, `PUK1`, `ADM1` …
    pub name: String,
    /// The directory that defines it.
    pub directory: String,
    /// Whether it is asked for; a PUK always is.
    pub enabled: bool,
    /// Tries left.
    pub tries: u8,
    /// Tries after a success.
    pub maximum_tries: u8,
}

/// One file; for a directory with what is below it.
#[derive(Clone, Debug, Serialize)]
pub struct Directory {
    /// File identifier, or the AID of an ADF.
    pub identifier: String,
    /// Its name in the specifications.
    pub name: Option<&'static str>,
    /// `MF`, `DF`, `ADF`, `transparent`, `linear fixed`, `cyclic` or `BER-TLV`.
    pub kind: &'static str,
    /// Short file identifier.
    pub sfi: Option<u8>,
    /// Bytes; the most it may have for BER-TLV.
    pub size: Option<u32>,
    /// Records, for a file that has them.
    pub records: Option<u8>,
    /// Whether it is deactivated or terminated.
    pub life_cycle: Option<&'static str>,
    /// Condition for reading it.
    pub read: Option<String>,
    /// Condition for updating it.
    pub update: Option<String>,
    /// The file whose content it shows.
    pub link: Option<String>,
    /// What is below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Directory>,
}

impl Domain {
    pub(super) fn of(view: &DomainView) -> Self {
        let tree = &view.tree;
        let iccid = tree.child(FileNumber::MF, FileId::ICCID).and_then(|file| view.content(file));
        let mut files = Vec::new();
        if tree.get(FileNumber::MF).is_some() {
            files.push(Directory::of(view, FileNumber::MF));
            files.extend(tree.adfs().map(|(_, adf)| Directory::of(view, adf)));
        }
        Self {
            number: view.id.0,
            iccid: iccid
                .filter(|_| view.id != DomainId::PLATFORM)
                .map(|iccid| identities::Iccid::from(iccid).to_string()),
            active: view.active,
            used: view.used,
            applications: view.applications.iter().map(Application::of).collect(),
            pins: view.pins.iter().filter_map(|(df, pin)| Pin::of(view, *df, pin)).collect(),
            files,
        }
    }
}

impl Application {
    fn of(view: &ApplicationView) -> Self {
        let record = &view.record;
        let is_naa = matches!(record.kind, applets::kind::USIM | applets::kind::ISIM);
        let counters = is_naa.then(|| AuthenticationCounters::read(|item| view.data.get(&item).map(Vec::as_slice)));
        let counters = counters.flatten();
        Self {
            aid: hexadecimal(&record.aid),
            name: applets::kind::name(record.kind),
            life_cycle: record.life_cycle,
            has_files: record.adf.is_some(),
            sqn_ms: counters.map(|counters| counters.sqn_ms.into()),
            authentications: counters.and_then(|counters| counters.authentications),
        }
    }
}

impl Pin {
    fn of(view: &DomainView, df: FileNumber, entry: &PinConfiguration) -> Option<Self> {
        let (name, enabled, tries, maximum_tries) = match entry {
            PinConfiguration::Pin(reference, pin) => (key_name(*reference), pin.enabled, pin.tries, pin.maximum_tries),
            PinConfiguration::Puk(reference, puk) => {
                (key_name(*reference).replacen("PIN", "PUK", 1), true, puk.tries, puk.maximum_tries)
            }
            PinConfiguration::SharedWith(_) => return None,
        };
        let directory = names::of(&view.tree, df).map_or_else(|| identifier(view, df), ToOwned::to_owned);
        Some(Self { name, directory, enabled, tries, maximum_tries })
    }
}

/// What a key reference is called. TS 102 221 table 9.3.
pub fn key_name(KeyReference(reference): KeyReference) -> String {
    match reference {
        0x01..=0x08 => format!(
            "PIN{}",
            if reference == 0x01 { String::from("1") } else { format!("1 of application {reference}") }
        ),
        0x0A..=0x0E => format!("ADM{}", reference - 0x09),
        0x11 => "universal PIN".into(),
        0x81..=0x88 => format!(
            "PIN{}",
            if reference == 0x81 { String::from("2") } else { format!("2 of application {}", reference - 0x80) }
        ),
        0x8A..=0x8E => format!("ADM{}", reference - 0x8A + 6),
        other => format!("key {other:02X}"),
    }
}

impl Directory {
    fn of(view: &DomainView, number: FileNumber) -> Self {
        let tree = &view.tree;
        let file = tree.get(number);
        let kind = file.map(|file| file.kind);
        let (kind, size, records) = match kind {
            Some(FileKind::Mf) => ("MF", None, None),
            Some(FileKind::Adf(_)) => ("ADF", None, None),
            Some(FileKind::Ef(structure)) => match structure {
                Structure::Transparent { size } => ("transparent", Some(size), None),
                Structure::LinearFixed { records, .. } => ("linear fixed", Some(structure.size()), Some(records)),
                Structure::Cyclic { records, .. } => ("cyclic", Some(structure.size()), Some(records)),
                Structure::BerTlv { maximum, .. } => ("BER-TLV", Some(maximum), None),
            },
            Some(FileKind::Df) | None => ("DF", None, None),
        };
        let structure = match file.map(|file| file.kind) {
            Some(FileKind::Ef(structure)) => Some(structure),
            _ => None,
        };
        let rule = |operation| structure.map(|structure| condition(tree.rules(number), operation, structure));
        Self {
            identifier: identifier(view, number),
            name: names::of(tree, number),
            kind,
            sfi: file.and_then(|file| file.sfi),
            size,
            records,
            life_cycle: file.and_then(|file| match file.life_cycle {
                state if state.is_terminated() => Some("terminated"),
                state if state.is_activated() => None,
                _ => Some("deactivated"),
            }),
            read: rule(Operation::Read),
            update: rule(Operation::Update),
            link: file.and_then(|file| file.link).map(|link| path(view, link)),
            files: tree.children(number).map(|child| Self::of(view, child)).collect(),
        }
    }
}

fn identifier(view: &DomainView, number: FileNumber) -> String {
    match view.tree.get(number) {
        Some(file) => match file.kind {
            FileKind::Adf(aid) => hexadecimal(&aid),
            _ => file.fid.to_string(),
        },
        None => String::new(),
    }
}

fn path(view: &DomainView, number: FileNumber) -> String {
    let mut path = identifier(view, number);
    let mut at = number;
    while let Some(file) = view.tree.get(at).filter(|file| file.parent != at && !matches!(file.kind, FileKind::Adf(_)))
    {
        at = file.parent;
        path = format!("{}/{path}", identifier(view, at));
    }
    path
}

/// The condition for an operation by the usual command.
fn condition(rules: &AccessRules, operation: Operation, structure: Structure) -> String {
    let instruction = match (operation, structure) {
        (Operation::Update, Structure::Transparent { .. }) => Ins::UPDATE_BINARY,
        (Operation::Update, Structure::BerTlv { .. }) => Ins::SET_DATA,
        (Operation::Update, _) => Ins::UPDATE_RECORD,
        (_, Structure::Transparent { .. }) => Ins::READ_BINARY,
        (_, Structure::BerTlv { .. }) => Ins::RETRIEVE_DATA,
        (_, Structure::LinearFixed { .. } | Structure::Cyclic { .. }) => Ins::READ_RECORD,
    };
    let class = if matches!(structure, Structure::BerTlv { .. }) { Class::BASIC_PROPRIETARY } else { Class::BASIC };
    let header = [class.to_byte(), instruction.0, 0, 0];
    words(rules.condition(operation, header))
}

/// A condition in words.
pub fn words(condition: &Condition) -> String {
    let list = |conditions: &[Condition], word: &str| {
        let parts: Vec<String> = conditions.iter().map(words).collect();
        parts.join(word)
    };
    match condition {
        Condition::Always => "always".into(),
        Condition::Never => "never".into(),
        Condition::Unknown => "never, the rule is not understood".into(),
        Condition::Key(reference) => key_name(*reference),
        Condition::Any(conditions) => list(conditions, " or "),
        Condition::All(conditions) => list(conditions, " and "),
        Condition::Not(condition) => format!("not {}", words(condition)),
    }
}
