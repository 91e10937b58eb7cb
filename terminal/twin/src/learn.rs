//! Learning a card, from its answer to reset to its dialect.

use crate::calibration::calibration;
use crate::description::{Application, Learned, LearnedFile, LearnedPin, Missing, Octets, Path, Timing};
use crate::exchange::{Answer, Probe, SIM, TO_BE_FETCHED, ask, status_word};
use crate::fit::{self, BuildTwin};
use crate::scan::{self, Content, Read, Shape};
use apdu::transport::exchange;
use apdu::{StatusWord, Transport, TransportError};
use core::time::Duration;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// How a card is learned.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Try every file identifier in every directory, not only those that cards use.
    pub thorough: bool,
}

/// What learning is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Looking through a directory: how many identifiers of how many were tried.
    Searching(Path, usize, usize),
    /// Reading files: how many of how many.
    Reading(usize, usize),
    /// Asking for PIN states and channels.
    States,
    /// Sending the probes that the dialect is learned from: how many of how many.
    Calibrating(usize, usize),
    /// Fitting the dialect: how many answers differ still.
    Fitting(usize),
}

/// Learning stopped: the card has gone, or the emulated card cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The card.
    #[error(transparent)]
    Card(#[from] TransportError),
    /// The emulated card, in its own words.
    #[error("{0}")]
    Twin(String),
    /// The card shows more files than any card has: it answers whatever it is asked for.
    #[error("the card shows more than {0} files; it seems to find whatever it is asked for")]
    Endless(usize),
}

/// A PIN that was given.
pub struct Unlocking {
    /// Key reference.
    pub reference: u8,
    /// Eight octets, or as many as the card wants.
    pub value: Zeroizing<Vec<u8>>,
}

/// What a card tells before any file is looked at, and how many channels it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Answer to reset.
    pub atr: Vec<u8>,
    /// Logical channels beside the basic one.
    pub channels: u8,
}

/// A card whose commands are timed.
struct Timed<'a> {
    card: &'a mut dyn Transport,
    clock: &'a mut (dyn FnMut() -> Duration + Send),
    /// By instruction, in microseconds.
    took: BTreeMap<u8, Vec<u32>>,
}

impl Transport for Timed<'_> {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.card.reset()
    }
    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.card.warm_reset()
    }
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let begun = (self.clock)();
        let response = self.card.transmit(command)?;
        let took = (self.clock)().saturating_sub(begun).as_micros();
        let of_ins = self.took.entry(command.get(1).copied().unwrap_or_default()).or_default();
        of_ins.push(u32::try_from(took).unwrap_or(u32::MAX));
        Ok(response)
    }
    fn atr(&self) -> &[u8] {
        self.card.atr()
    }
    fn hold(&mut self) -> Result<(), TransportError> {
        self.card.hold()
    }
    fn release(&mut self) {
        self.card.release();
    }
    fn is_emulated(&self) -> bool {
        self.card.is_emulated()
    }
}

impl Timed<'_> {
    fn timing(&mut self) -> Vec<Timing> {
        let of_ins = |(ins, took): (u8, Vec<u32>)| {
            let mut took = took;
            took.sort_unstable();
            let at = |part: usize| took.get((took.len() * part / 100).min(took.len().saturating_sub(1))).copied();
            Timing {
                ins: Octets(vec![ins]),
                commands: u32::try_from(took.len()).unwrap_or(u32::MAX),
                median: at(50).unwrap_or_default(),
                p95: at(95).unwrap_or_default(),
            }
        };
        core::mem::take(&mut self.took).into_iter().map(of_ins).collect()
    }
}

struct Learner<'a, 'c> {
    card: Timed<'c>,
    learned: &'a mut Learned,
    settings: &'a Settings,
    told: &'a mut dyn FnMut(Progress),
}

/// Learns a card. What was learned so far stands in `learned` also where it stops; given that again, it goes on from there.
///
/// # Errors
/// The card has gone, or the emulated card cannot be made.
pub fn learn(
    card: &mut dyn Transport,
    learned: &mut Learned,
    settings: &Settings,
    clock: &mut (dyn FnMut() -> Duration + Send),
    twin: &mut BuildTwin<'_>,
    told: &mut dyn FnMut(Progress),
) -> Result<Outside, Stopped> {
    learned.complete = false;
    let card = Timed { card, clock, took: BTreeMap::new() };
    let mut learning = Learner { card, learned, settings, told };
    let atr = learning.card.reset()?;
    learning.applications()?;
    learning.files()?;
    learning.pins()?;
    let channels = learning.channels()?;
    let outside = Outside { atr, channels };
    let timing = learning.card.timing();
    learning.learned.timing = timing;
    let has_proactive = learning.dialect(&outside, twin)?;
    learning.learned.missing = missing(learning.learned);
    learning.learned.missing.extend(has_proactive.then(toolkit));
    learning.learned.complete = true;
    Ok(outside)
}

/// Beginnings of AIDs that SELECT is tried with, beside those in EF.DIR.
const BEGINNINGS: [&[u8]; 8] = [
    &[0xA0, 0, 0, 0x05, 0x59],
    &[0xA0, 0, 0, 0, 0x87],
    &[0xA0, 0, 0, 0x03, 0x43],
    &[0xA0, 0, 0, 0, 0x63],
    &[0xA0, 0, 0, 0x05, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 0x01, 0],
    &[0xA0, 0, 0, 0x05, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 0x02, 0],
    &[0xA0, 0, 0, 0x01, 0x51],
    &[0xA0, 0, 0, 0, 0x03],
];
/// Applications that one beginning may lead to.
const MOST: usize = 16;
/// Files of a card, at most.
const MOST_FILES: usize = 4_000;
const SELECT_FIRST: u8 = 0x04;
const SELECT_NEXT: u8 = 0x06;

impl Learner<'_, '_> {
    /// Applications: by the beginnings of their names, and those in EF.DIR.
    fn applications(&mut self) -> Result<(), Stopped> {
        let mut known: Vec<Vec<u8>> = Vec::new();
        for beginning in BEGINNINGS {
            for p2 in core::iter::once(SELECT_FIRST).chain(core::iter::repeat_n(SELECT_NEXT, MOST)) {
                let Some(aid) = self.application(beginning, p2)? else { break };
                if known.contains(&aid) {
                    break;
                }
                known.push(aid);
            }
        }
        for aid in self.directory()? {
            if !known.contains(&aid) && self.application(&aid, SELECT_FIRST)?.is_some() {
                known.push(aid);
            }
        }
        self.card.reset()?;
        Ok(())
    }

    /// Selects an application, and notes it. Its whole name, if there is one.
    fn application(&mut self, name: &[u8], p2: u8) -> Result<Option<Vec<u8>>, Stopped> {
        let lc = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let answer = exchange(&mut self.card, &[&[0x00, 0xA4, 0x04, p2, lc], name].concat())?;
        if !answer.sw.is_ok() && !answer.sw.is_warning() {
            return Ok(None);
        }
        let shape = Shape::of(&answer.data);
        let told = apdu::tlv::Tlv::parse(&answer.data)
            .ok()
            .and_then(|fci| fci.children().find(apdu::tlv::Tag(0x84)).ok().flatten().map(|name| name.value.to_vec()));
        let aid = told.filter(|aid| aid.starts_with(name)).unwrap_or_else(|| name.to_vec());
        if !(5..=16).contains(&aid.len()) || self.learned.applications.iter().any(|one| one.aid.0 == aid) {
            return Ok(Some(aid));
        }
        let is_adf = shape.is_some_and(|shape| shape.is_directory);
        let fci = (!is_adf).then(|| Octets(answer.data.clone()));
        self.learned.applications.push(Application { aid: Octets(aid.clone()), fci });
        if is_adf {
            let file = LearnedFile { path: Path::adf(&aid), fcp: Octets(answer.data), ..LearnedFile::default() };
            self.learned.files.push(file);
        }
        Ok(Some(aid))
    }

    /// The AIDs in EF.DIR. TS 102 221 §13.1.
    fn directory(&mut self) -> Result<Vec<Vec<u8>>, Stopped> {
        const DIR: u16 = 0x2F00;
        let found = scan::selected(&mut self.card, &scan::select(&Path::mf().child(DIR), true))?;
        let Some(content) = found.and_then(|fcp| Shape::of(&fcp)).map(|shape| shape.content) else {
            return Ok(Vec::new());
        };
        let Read::Records(records) = scan::read(&mut self.card, content)? else { return Ok(Vec::new()) };
        let aid = |record: &Octets| {
            let entry = apdu::tlv::Reader::new(&record.0).next().ok()??;
            let aid = entry.children().find(apdu::tlv::Tag(0x4F)).ok()??;
            Some(aid.value.to_vec())
        };
        Ok(records.iter().filter_map(aid).collect())
    }

    /// The tree, directory by directory, and what can be read.
    fn files(&mut self) -> Result<(), Stopped> {
        let mf = Path::mf();
        if self.learned.file(&mf).is_none() {
            let fcp = scan::selected(&mut self.card, &scan::select(&mf, true))?.unwrap_or_default();
            self.learned.files.insert(0, LearnedFile { path: mf.clone(), fcp: Octets(fcp), ..LearnedFile::default() });
        }
        let is_directory = |file: &&LearnedFile| Shape::of(&file.fcp.0).is_none_or(|shape| shape.is_directory);
        while let Some(directory) = {
            let searched = &self.learned.searched;
            let mut open = self.learned.files.iter().filter(is_directory).map(|file| &file.path);
            open.find(|path| !searched.contains(path)).cloned()
        } {
            let told = &mut *self.told;
            let at = directory.clone();
            let mut found =
                scan::children(&mut self.card, &directory, &self.learned.files, self.settings.thorough, |done, of| {
                    told(Progress::Searching(at.clone(), done, of));
                })?;
            self.read(&mut found)?;
            self.learned.files.retain(|file| !found.iter().any(|new| new.path == file.path));
            self.learned.files.extend(found);
            if self.learned.files.len() > MOST_FILES {
                return Err(Stopped::Endless(MOST_FILES));
            }
            self.learned.searched.push(directory);
        }
        self.learned.files.sort_by(|one, other| {
            let key = |file: &LearnedFile| (file.path.application.is_some(), file.path.application.clone());
            key(one).cmp(&key(other)).then(one.path.below.len().cmp(&other.path.below.len()))
        });
        Ok(())
    }

    /// Reads what was found.
    fn read(&mut self, found: &mut [LearnedFile]) -> Result<(), Stopped> {
        let count = found.len();
        for (number, file) in found.iter_mut().enumerate() {
            (self.told)(Progress::Reading(number, count));
            read_into(&mut self.card, file)?;
        }
        Ok(())
    }

    /// PINs and keys: whether there are any, tries left. Only empty commands are sent, which cost no try.
    fn pins(&mut self) -> Result<(), Stopped> {
        const GLOBAL: [u8; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x11];
        const LOCAL: [u8; 13] = [0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x8A, 0x8B, 0x8C, 0x8D, 0x8E];
        (self.told)(Progress::States);
        self.learned.pins.clear();
        let mut directories: Vec<(Path, Vec<(u8, bool)>)> = Vec::new();
        for file in &self.learned.files {
            let keys = Shape::of(&file.fcp.0).filter(|shape| shape.is_directory).map(|shape| shape.keys);
            let is_root = file.path.below.is_empty();
            directories.extend(keys.filter(|keys| is_root || !keys.is_empty()).map(|keys| (file.path.clone(), keys)));
        }
        for (directory, keys) in directories {
            scan::selected(&mut self.card, &scan::select(&directory, false))?;
            let is_mf = directory == Path::mf();
            let is_root = directory.below.is_empty();
            // Elsewhere only what the directory shows may be its own.
            let shown = |reference: &u8| keys.iter().any(|(key, _)| key == reference);
            let references = GLOBAL.iter().filter(|_| is_mf).chain(LOCAL.iter().filter(|key| is_root || shown(key)));
            for reference in references {
                let Some(tries) = self.tries(0x20, *reference)? else { continue };
                let puk_tries = self.tries(0x2C, *reference)?;
                let state = keys.iter().find(|(key, _)| key == reference).map(|(_, enabled)| *enabled);
                let above = self.pin_above(&directory, *reference);
                // What is not shown is as it is above.
                let enabled = state.or(above.map(|pin| pin.enabled)).unwrap_or(true);
                let pin = LearnedPin {
                    reference: Octets(vec![*reference]),
                    at: directory.clone(),
                    enabled,
                    tries,
                    puk_tries,
                    code: None,
                    puk_code: None,
                };
                let is_same = above.is_some_and(|above| LearnedPin { at: directory.clone(), ..above.clone() } == pin);
                if !is_same {
                    self.learned.pins.push(pin);
                }
            }
        }
        Ok(())
    }

    /// The PIN of a reference that a directory would share with the nearest one around it.
    fn pin_above(&self, directory: &Path, reference: u8) -> Option<&LearnedPin> {
        let around = core::iter::successors(directory.parent(), Path::parent);
        let at = |path: Path| self.learned.pins.iter().find(|pin| pin.at == path && pin.reference.0 == [reference]);
        around.into_iter().find_map(at)
    }

    /// Tries left of a PIN, or of its PUK, asked for without a value.
    fn tries(&mut self, ins: u8, reference: u8) -> Result<Option<u8>, Stopped> {
        let response = self.card.transmit(&[0x00, ins, 0x00, reference, 0x00])?;
        Ok(match status_word(&response) {
            Some(sw) if sw.sw1() == 0x63 && sw.sw2() & 0xF0 == 0xC0 => Some(sw.sw2() & 0x0F),
            Some(StatusWord::AUTHENTICATION_METHOD_BLOCKED) => Some(0),
            _ => None,
        })
    }

    /// How many logical channels can be open beside the basic one. All are closed again.
    fn channels(&mut self) -> Result<u8, Stopped> {
        let mut open = Vec::new();
        while open.len() < 19 {
            let answer = exchange(&mut self.card, &[0x00, 0x70, 0x00, 0x00, 0x01])?;
            match answer.data.as_slice() {
                [channel] if answer.sw.is_ok() && !open.contains(channel) => open.push(*channel),
                _ => break,
            }
        }
        for channel in &open {
            self.card.transmit(&[0x00, 0x70, 0x80, *channel, 0x00])?;
        }
        self.card.reset()?;
        Ok(u8::try_from(open.len()).unwrap_or(u8::MAX))
    }

    /// The dialect: the same probes to the card and to the emulated one, until that answers alike. Whether the card said that
    /// a proactive command waits.
    fn dialect(&mut self, outside: &Outside, twin: &mut BuildTwin<'_>) -> Result<bool, Stopped> {
        let answer = ask(&mut self.card, &Probe::new("the class of a SIM", Vec::new(), SELECT_IN_CLASS_A0.to_vec()))?;
        self.learned.class_a0 = answer.first().is_some_and(|sw| sw.is_ok() || sw.sw1() == TO_BE_FETCHED);
        let probes = calibration(self.learned, outside.channels > 0);
        let mut answers: Vec<(Probe, Answer)> = Vec::new();
        let count = probes.len();
        for (number, probe) in probes.into_iter().enumerate() {
            (self.told)(Progress::Calibrating(number, count));
            let answer = ask(&mut self.card, &probe)?;
            answers.push((probe, answer));
        }
        self.card.reset()?;
        let told = &mut *self.told;
        fit::fit(self.learned, outside, &answers, twin, &mut |left| told(Progress::Fitting(left)))
            .map_err(Stopped::Twin)?;
        Ok(answers.iter().any(|(_, answer)| answer.has_proactive))
    }
}

/// The MF, as a SIM selects it. TS 51.011 §9.2.1.
const SELECT_IN_CLASS_A0: [u8; 7] = [SIM, 0xA4, 0x00, 0x00, 0x02, 0x3F, 0x00];

fn toolkit() -> Missing {
    Missing {
        what: "what the card's toolkit does: a proactive command waits (91XX)".to_owned(),
        supply: "nothing does yet; the emulated card answers 9000".to_owned(),
    }
}

/// Why a card is not the one that was learned so far: its answer to reset (an empty one is not known) or its ICCID.
///
/// # Errors
/// The card has gone.
pub fn another_card(card: &mut dyn Transport, learned: &Learned, atr: &[u8]) -> Result<Option<String>, TransportError> {
    let own = card.reset()?;
    if !atr.is_empty() && own != atr {
        return Ok(Some(format!("its answer to reset is {}, not {}", hex::encode_upper(own), hex::encode_upper(atr))));
    }
    let Some(iccid) = learned.file(&Path::mf().child(ICCID)).filter(|file| file.content.is_some()) else {
        return Ok(None);
    };
    let mut own = LearnedFile { content: None, records: None, unread: None, ..iccid.clone() };
    read_into(card, &mut own)?;
    card.reset()?;
    let shown =
        |file: &LearnedFile| file.content.as_ref().map_or_else(|| "none".to_owned(), |iccid| format!("{iccid:?}"));
    Ok((own.content != iccid.content).then(|| format!("EF.ICCID has {} in it, not {}", shown(&own), shown(iccid))))
}

/// EF.ICCID. TS 102 221 §13.2.
const ICCID: u16 = 0x2FE2;

/// Selects a file and reads it, as far as it can be read.
fn read_into(card: &mut (impl Transport + ?Sized), file: &mut LearnedFile) -> Result<(), TransportError> {
    let Some(shape) = Shape::of(&file.fcp.0).filter(|shape| !shape.is_directory) else { return Ok(()) };
    if scan::selected(card, &scan::select(&file.path, false))?.is_none() {
        return Ok(());
    }
    match scan::read(card, shape.content)? {
        Read::Content(content) => file.content = Some(Octets(content)),
        Read::Records(records) => file.records = Some(records),
        Read::Refused(sw) => file.unread = Some(Octets(sw.0.to_be_bytes().to_vec())),
        Read::Nothing => {}
    }
    Ok(())
}

/// Tries that have to be left for a PIN to be sent: a wrong one leaves its owner another.
const LEAST_TRIES: u8 = 2;

/// Verifies PINs that were given, each once, and reads what was refused without them. Says of each that did not open why.
///
/// What was sent and not accepted is noted before the answer is there, so that a card that is lost is not sent it again.
///
/// # Errors
/// The card has gone.
pub fn unlock(
    card: &mut dyn Transport,
    learned: &mut Learned,
    pins: &[Unlocking],
) -> Result<Vec<String>, TransportError> {
    learned.complete = false;
    card.reset()?;
    let mut refused = Vec::new();
    let mut given: Vec<&Unlocking> = Vec::new();
    for pin in pins {
        if learned.sent.iter().any(|sent| sent.0 == [pin.reference]) {
            refused.push(format!("PIN {:02X} was not sent: it was before, and was not accepted", pin.reference));
        } else if given.iter().any(|other| other.reference == pin.reference) {
            refused.push(format!("PIN {:02X} is given twice; the second was not sent", pin.reference));
        } else {
            given.push(pin);
        }
    }
    let mut roots = vec![Path::mf()];
    roots.extend(learned.files.iter().map(|file| file.path.clone()).filter(|path| path.fid().is_none()));
    let has_usim = roots.iter().any(is_usim);
    for root in roots {
        scan::selected(card, &scan::select(&root, false))?;
        let mut open = Vec::new();
        for pin in core::mem::take(&mut given) {
            // A local PIN of another application is another PIN.
            let is_elsewhere = pin.reference & LOCAL != 0 && has_usim && !is_usim(&root);
            match if is_elsewhere { Verified::NotHere } else { verify(card, learned, pin)? } {
                // It may be one of an application's.
                Verified::NotHere => open.push(pin),
                Verified::Opened => {}
                Verified::Refused(why) => refused.push(why),
            }
        }
        given = open;
        let files = learned.files.iter_mut().filter(|file| file.path.application == root.application);
        for file in files.filter(|file| file.unread.is_some() && file.content.is_none() && file.records.is_none()) {
            let unread = file.unread.clone();
            let read = read_into(card, file);
            file.unread = unread;
            read?;
        }
    }
    refused.extend(given.iter().map(|pin| format!("PIN {:02X}: the card has none", pin.reference)));
    card.reset()?;
    let toolkit = learned.missing.contains(&toolkit()).then(toolkit);
    learned.missing = missing(learned).into_iter().chain(toolkit).collect();
    learned.complete = true;
    Ok(refused)
}

/// Bit of the key references of local PINs. TS 102 221 §9.5.1.
const LOCAL: u8 = 0x80;
const USIM: &[u8] = &[0xA0, 0, 0, 0, 0x87, 0x10, 0x02];
const ISIM: &[u8] = &[0xA0, 0, 0, 0, 0x87, 0x10, 0x04];

fn is_usim(root: &Path) -> bool {
    root.application.as_ref().is_some_and(|aid| aid.starts_with(USIM))
}

enum Verified {
    Opened,
    NotHere,
    Refused(String),
}

/// Sends a PIN, if the card has it here and a wrong one would leave another try.
fn verify(card: &mut dyn Transport, learned: &mut Learned, pin: &Unlocking) -> Result<Verified, TransportError> {
    let name = format!("PIN {:02X}", pin.reference);
    let asked = status_word(&card.transmit(&[0x00, 0x20, 0x00, pin.reference, 0x00])?);
    let tries = match asked {
        Some(StatusWord::AUTHENTICATION_METHOD_BLOCKED) => Some(0),
        // It needs none: it is disabled, or verified already.
        Some(sw) if sw.is_ok() => return Ok(Verified::Opened),
        Some(sw) if sw.sw1() == 0x63 => Some(sw.sw2() & 0x0F),
        _ => None,
    };
    let Some(tries) = tries else { return Ok(Verified::NotHere) };
    if tries == 0 {
        return Ok(Verified::Refused(format!("{name} was not sent: it is blocked")));
    }
    if tries < LEAST_TRIES {
        return Ok(Verified::Refused(format!("{name} was not sent: the card has {tries} left of its tries")));
    }
    learned.sent.push(Octets(vec![pin.reference]));
    let lc = u8::try_from(pin.value.len()).unwrap_or(u8::MAX);
    let command = Zeroizing::new([&[0x00, 0x20, 0x00, pin.reference, lc], pin.value.as_slice()].concat());
    match status_word(&card.transmit(&command)?) {
        Some(sw) if sw.is_ok() => {
            learned.sent.retain(|sent| sent.0 != [pin.reference]);
            Ok(Verified::Opened)
        }
        Some(sw) => Ok(Verified::Refused(format!("{name} was refused with {sw}; it was not tried again"))),
        None => Ok(Verified::Refused(format!("{name} was not answered; it was not tried again"))),
    }
}

/// What could not be learned, and how it can be supplied.
fn missing(learned: &Learned) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut say = |what: String, supply: &str| missing.push(Missing { what, supply: supply.to_owned() });
    let aids = || learned.applications.iter().map(|application| &application.aid.0);
    if aids().any(|aid| aid.starts_with(USIM) || aid.starts_with(ISIM)) {
        say("network keys: K, OPc, sequence numbers".to_owned(), "a subscriber file, when the card is made");
    }
    if !learned.pins.is_empty() {
        let names: Vec<String> = learned.pins.iter().map(|pin| hex::encode_upper(&pin.reference.0)).collect();
        let mut names = names;
        names.dedup();
        say(
            format!("values of PINs and keys {}", names.join(", ")),
            "the codes of a subscriber file; without them they are random",
        );
    }
    for file in &learned.files {
        let Some(shape) = Shape::of(&file.fcp.0) else { continue };
        let is_empty = file.content.is_none() && file.records.is_none();
        match (&file.unread, shape.content) {
            (Some(sw), _) if is_empty => {
                say(
                    format!("content of {}, refused with {}", file.path, hex::encode_upper(&sw.0)),
                    "its PIN, while learning",
                );
            }
            (_, Content::None) if !shape.is_directory => say(
                format!("content of {}: no structure of a file is known of its descriptor, tag 82", file.path),
                "nothing does yet; it is empty",
            ),
            (_, Content::Transparent(size)) if size > scan::REACH => say(
                format!("content of {} behind the first {} octets", file.path, scan::REACH),
                "nothing does yet; it is FF",
            ),
            (_, Content::BerTlv { .. }) => {
                say(format!("data objects of {}", file.path), "nothing does yet; it is empty");
            }
            _ => {}
        }
    }
    if learned.class_a0 {
        say(
            "what it does in class A0 beyond SELECT, STATUS and reading".to_owned(),
            "nothing: the emulated card does what TS 51.011 says",
        );
    }
    for application in learned.applications.iter().filter(|application| application.fci.is_some()) {
        say(
            format!("functions of application {}", hex::encode_upper(&application.aid.0)),
            "nothing: it is selected and answers what it answers to SELECT, and no command of its own",
        );
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A card with these files in its MF, and a log of what it was sent.
    #[derive(Clone, Default)]
    struct Card {
        files: Vec<(u16, Vec<u8>)>,
        finds_everything: bool,
        proactive: bool,
        current: Vec<u8>,
        tries: BTreeMap<u8, u8>,
        mute_at_pin: bool,
        answer_of_a_sim: Option<[u8; 2]>,
        log: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Transport for Card {
        fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
            Ok(vec![0x3B, 0x00])
        }
        fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
            self.reset()
        }
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
            self.log.lock().unwrap().push(command.to_vec());
            let ok = if self.proactive { [0x91, 0x10] } else { [0x90, 0x00] };
            match *command {
                [0x00, 0xA4, 0x00 | 0x08, _, _, .., high, low] => {
                    let fid = u16::from_be_bytes([high, low]);
                    let known = self.files.iter().find(|(known, _)| *known == fid).map(|(_, fcp)| fcp.clone());
                    let any = || self.finds_everything.then(|| directory(fid));
                    match known.or_else(any) {
                        Some(fcp) => {
                            self.current.clone_from(&fcp);
                            Ok([fcp.as_slice(), &ok].concat())
                        }
                        None => Ok(vec![0x6A, 0x82]),
                    }
                }
                [0xA0, 0xA4, 0x00, 0x00, 0x02, 0x3F, 0x00] if self.answer_of_a_sim.is_some() => {
                    Ok(self.answer_of_a_sim.unwrap_or_default().to_vec())
                }
                [0x00, 0x20, 0x00, reference, 0x00] if self.tries.get(&reference) == Some(&0) => Ok(vec![0x69, 0x83]),
                [0x00, 0x20, 0x00, reference, 0x00] => {
                    Ok(self.tries.get(&reference).map_or(vec![0x6A, 0x88], |tries| vec![0x63, 0xC0 | tries]))
                }
                [0x00, 0x20, 0x00, ..] if self.mute_at_pin => Err(TransportError::Mute),
                [0x00, 0x20, 0x00, reference, ..] => {
                    let tries = self.tries.entry(reference).or_insert(1);
                    *tries -= 1;
                    Ok(vec![0x63, 0xC0 | *tries])
                }
                [0x00, 0xB0 | 0xB2, ..] => Ok(vec![0x5A, 0x90, 0x00]),
                _ => Ok(vec![0x6D, 0x00]),
            }
        }
        fn atr(&self) -> &[u8] {
            &[0x3B, 0x00]
        }
    }

    fn directory(fid: u16) -> Vec<u8> {
        let [high, low] = fid.to_be_bytes();
        vec![0x62, 0x08, 0x82, 0x02, 0x78, 0x21, 0x83, 0x02, high, low]
    }

    fn fcp(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    fn learned(card: &Card) -> (Result<Outside, Stopped>, Learned) {
        let mut learned = Learned::default();
        let twin_of = card.clone();
        let mut build = move |_: &Learned, _: &Outside| {
            let twin = Card { log: Arc::default(), ..twin_of.clone() };
            Ok::<Box<dyn Transport>, String>(Box::new(twin))
        };
        let mut twin = BuildTwin { habits: &[], build: &mut build, weight: &|_| Ok(0) };
        let mut clock = || Duration::ZERO;
        let mut card = card.clone();
        let outcome = learn(&mut card, &mut learned, &Settings::default(), &mut clock, &mut twin, &mut |_| {});
        (outcome, learned)
    }

    fn usual() -> Card {
        let files = vec![
            (0x3F00, directory(0x3F00)),
            (0x2FE2, fcp("620C 82020121 83022FE2 80020001")),
            // Records without octets, and a structure that is none.
            (0x2F10, fcp("620B 82054221000001 83022F10")),
            (0x2F11, fcp("620C 82020421 83022F11 80020010")),
            (0x2F12, fcp("620B 82054221000101 83022F12")),
        ];
        Card { files, tries: [(1, 3), (0x81, 3)].into(), ..Card::default() }
    }

    /// READ, SELECT, STATUS and the like; VERIFY and UNBLOCK PIN only without a value.
    fn only_reads(command: &[u8]) -> bool {
        const READING: [u8; 17] =
            [0xA4, 0xB0, 0xB2, 0xA2, 0xC0, 0xF2, 0xCA, 0xCB, 0x84, 0x70, 0x78, 0xAA, 0x88, 0x89, 0x4A, 0x06, 0xEC];
        /// Which no card has.
        const UNKNOWN: [u8; 6] = [0x62, 0x94, 0x0A, 0x1C, 0x5E, 0xEE];
        match command {
            [_, 0x20 | 0x2C, _, _, p3] => *p3 == 0,
            // Without data, where they would be carried out with some.
            [_, 0xAA | 0x88 | 0x89, rest @ ..] => rest == [0, 0, 0],
            [_, ins, ..] => READING.contains(ins) || UNKNOWN.contains(ins),
            _ => false,
        }
    }

    #[test]
    fn no_command_writes() {
        assert!(!only_reads(&[0x00, 0x32, 0, 0, 0]) && !only_reads(&[0x80, 0x12, 0, 0, 0]));
        let card = usual();
        let (outcome, learned) = learned(&card);
        outcome.unwrap();
        let log = card.log.lock().unwrap();
        assert!(log.len() > 1_000, "{}", log.len());
        let probes = calibration(&learned, true).into_iter().chain(crate::probes(&learned, 3, "a seed", 10_000));
        let commands = probes.flat_map(|probe| probe.setup.into_iter().chain([probe.command]).chain(probe.cleanup));
        for command in log.iter().cloned().chain(commands) {
            assert!(only_reads(&command), "{}", hex::encode_upper(&command));
        }
    }

    #[test]
    fn a_file_that_is_odd_is_named_and_the_rest_is_learned() {
        let (outcome, learned) = learned(&Card { proactive: true, ..usual() });
        outcome.unwrap();
        assert!(learned.complete && learned.files.len() == 5);
        let missing: Vec<&str> = learned.missing.iter().map(|missing| missing.what.as_str()).collect();
        for what in ["content of 3F00/2F10: no structure", "content of 3F00/2F11: no structure", "toolkit"] {
            assert!(missing.iter().any(|missing| missing.contains(what)), "{what}: {missing:?}");
        }
    }

    #[test]
    fn a_card_that_finds_everything_has_an_end() {
        let (outcome, learned) = learned(&Card { finds_everything: true, ..usual() });
        assert!(matches!(outcome, Err(Stopped::Endless(MOST_FILES))), "{outcome:?}");
        assert!(learned.files.len() > MOST_FILES && !learned.complete);
    }

    fn pin(reference: u8) -> Unlocking {
        Unlocking { reference, value: Zeroizing::new(b"9998\xFF\xFF\xFF\xFF".to_vec()) }
    }

    #[test]
    fn a_pin_is_sent_once() {
        let mut card = usual();
        let mut learned = Learned::default();
        let refused = unlock(&mut card, &mut learned, &[pin(0x81), pin(0x81)]).unwrap();
        assert_eq!((refused.len(), card.tries[&0x81]), (2, 2), "{refused:?}");
        // Nor is what was refused sent again where learning goes on.
        let refused = unlock(&mut card, &mut learned, &[pin(0x81)]).unwrap();
        assert_eq!((refused.len(), card.tries[&0x81]), (1, 2), "{refused:?}");
        // The PIN2 of a USIM is not tried on the MF.
        let adf = Path::adf(&[USIM, &[0xFF; 9]].concat());
        let files = vec![LearnedFile { path: adf, ..LearnedFile::default() }];
        let mut card = usual();
        let _refused = unlock(&mut card, &mut Learned { files, ..Learned::default() }, &[pin(0x81)]).unwrap();
        let log = card.log.lock().unwrap();
        let at = |wanted: &dyn Fn(&[u8]) -> bool| log.iter().position(|command| wanted(command)).unwrap();
        assert!(at(&|command| command.get(1) == Some(&0x20)) > at(&|command| command.starts_with(&[0x00, 0xA4, 0x04])));
    }

    #[test]
    fn a_blocked_pin_is_told() {
        let mut card = Card { tries: [(1, 0)].into(), ..usual() };
        let refused = unlock(&mut card, &mut Learned::default(), &[pin(1), pin(2)]).unwrap();
        assert_eq!(refused, ["PIN 01 was not sent: it is blocked", "PIN 02: the card has none"]);
    }

    #[test]
    fn whether_a_card_is_a_sim_too_is_learned() {
        for is_sim in [false, true] {
            let (outcome, learned) = learned(&Card { answer_of_a_sim: is_sim.then_some([0x9F, 0x17]), ..usual() });
            outcome.unwrap();
            assert_eq!(learned.class_a0, is_sim);
            assert_eq!(learned.missing.iter().any(|missing| missing.what.contains("class A0")), is_sim);
        }
    }

    #[test]
    fn a_card_lost_at_a_pin_is_not_sent_it_again() {
        let mut card = Card { mute_at_pin: true, ..usual() };
        let mut learned = Learned { complete: true, ..Learned::default() };
        assert!(unlock(&mut card, &mut learned, &[pin(1)]).is_err());
        assert!(!learned.complete && learned.sent == [Octets(vec![1])]);
    }

    #[test]
    fn another_card_is_told() {
        let (_, learned) = learned(&usual());
        assert_eq!(another_card(&mut usual(), &learned, &[0x3B, 0x00]).unwrap(), None);
        assert!(another_card(&mut usual(), &learned, &[0x3B, 0x01]).unwrap().is_some());
        let mut other = learned.clone();
        for file in other.files.iter_mut().filter(|file| file.path.fid() == Some(ICCID)) {
            file.content = Some(Octets(vec![0x98]));
        }
        assert!(another_card(&mut usual(), &other, &[]).unwrap().is_some_and(|why| why.contains("ICCID")));
    }
}
