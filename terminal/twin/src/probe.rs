//! Probes from a seed, to compare two cards by: most are such that learning did not send.

use crate::calibration::{calibration, select_by};
use crate::description::{Learned, LearnedFile, Path};
use crate::exchange::{Probe, Weight};
use crate::scan::{Content, REACH, Shape, select};
use std::collections::BTreeSet;

/// A kind of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Whether a card carries such commands out, where what they ask for may be read.
    pub succeeds: bool,
    /// How many of a hundred probes are of this kind.
    pub share: usize,
}

macro_rules! kinds {
    ($($name:ident = $text:literal, $succeeds:literal, $share:literal;)+) => {
        mod kind {
            $(pub(super) const $name: &str = $text;)+
        }
        /// The kinds, and whether they are meant to succeed.
        pub const KINDS: &[Kind] = &[$(Kind { name: $text, succeeds: $succeeds, share: $share },)+];
    };
}

kinds! {
    SELECT_PATH = "SELECT of a file by its path", true, 8;
    SELECT_MISSING = "SELECT of what is not there", false, 4;
    SELECT_NAME = "SELECT by a whole name", true, 2;
    READ_START = "READ BINARY from the start", true, 5;
    READ_ABSOLUTE = "READ RECORD by its number", true, 5;
    PIN_TRIES = "tries left of a PIN or PUK", false, 3;
    UNKNOWN = "an unknown instruction or class", false, 4;
    WALK = "SELECT by identifiers, from file to file", false, 10;
    PATH_BELOW = "SELECT by a path from the current DF", false, 5;
    CUT_NAME = "SELECT by a name cut anywhere", false, 4;
    READ_WITHIN = "READ BINARY within a file", true, 8;
    READ_ACROSS = "READ BINARY across the end of a file", false, 5;
    READ_SFI_WITHIN = "READ BINARY by SFI within a file", true, 5;
    READ_RUN = "READ RECORD, next after next or previous after previous", false, 7;
    READ_SFI_RECORD = "READ RECORD by SFI, any record", true, 5;
    SEARCH = "SEARCH RECORD for what stands in a record", false, 5;
    STATUS_BEHIND = "STATUS behind a walk", false, 5;
    PIECES = "GET RESPONSE in pieces", false, 4;
    REREAD = "READ behind a SELECT that failed", false, 3;
    CHANNEL = "SELECT and READ on another channel", false, 3;
}

/// Numbers from a seed. SplitMix64.
struct Dice(u64);

impl Dice {
    fn new(seed: &str) -> Self {
        // FNV-1a.
        Self(
            seed.bytes()
                .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// Where probes come from.
struct Source<'a> {
    learned: &'a Learned,
    dice: Dice,
    transparent: Vec<(&'a LearnedFile, usize, Option<u8>)>,
    records: Vec<(&'a LearnedFile, u8, u8, Option<u8>)>,
    directories: Vec<&'a LearnedFile>,
    /// Whether the file that was taken last may be read.
    is_open: bool,
    /// What learning sends.
    sent: BTreeSet<Situation>,
}

/// Whether the card is reset before, commands that lead there, and the command itself.
type Situation = (bool, Vec<Vec<u8>>, Vec<u8>);

/// What learning sends: the calibration, SELECT and the reads of each file, and the questions for PINs.
fn sent(learned: &Learned, channels: u8) -> BTreeSet<Situation> {
    const PIECE: usize = 0xFF;
    let calibration = calibration(learned, channels > 0);
    let mut sent: BTreeSet<Situation> =
        calibration.into_iter().map(|probe| (probe.reset, probe.setup, probe.command)).collect();
    for file in &learned.files {
        let mut found = select(&file.path, true);
        let last = found.pop().unwrap_or_default();
        sent.insert((false, found, last));
        let at = select(&file.path, false);
        let mut add = |command: [u8; 5]| sent.insert((false, at.clone(), command.to_vec()));
        match Shape::of(&file.fcp.0).map(|shape| shape.content) {
            Some(Content::Transparent(size)) => {
                for offset in (0..size.min(REACH)).step_by(PIECE) {
                    let [high, low] = u16::try_from(offset).unwrap_or(u16::MAX).to_be_bytes();
                    let le = u8::try_from((size - offset).min(PIECE)).unwrap_or(u8::MAX);
                    add([0x00, 0xB0, high, low, le]);
                }
            }
            Some(Content::Records { length, count, .. }) => {
                for record in 1..=count {
                    add([0x00, 0xB2, record, 0x04, length]);
                }
            }
            _ => {}
        }
    }
    for application in &learned.applications {
        sent.insert((false, Vec::new(), select_by(0x04, 0x04, &application.aid.0)));
    }
    for pin in &learned.pins {
        let reference = pin.reference.0.first().copied().unwrap_or_default();
        for ins in [0x20, 0x2C] {
            sent.insert((false, select(&pin.at, false), vec![0x00, ins, 0x00, reference, 0x00]));
        }
    }
    sent
}

/// Probes for a card that was learned, so many, from a seed; the same for the same.
pub fn probes(learned: &Learned, channels: u8, seed: &str, count: usize) -> Vec<Probe> {
    let (mut transparent, mut records, mut directories) = (Vec::new(), Vec::new(), Vec::new());
    for file in &learned.files {
        let Some(shape) = Shape::of(&file.fcp.0) else { continue };
        match shape.content {
            _ if shape.is_directory => directories.push(file),
            Content::Transparent(size) if size > 0 => transparent.push((file, size, shape.sfi)),
            Content::Records { length, count, .. } if count > 0 => records.push((file, length, count, shape.sfi)),
            _ => {}
        }
    }
    let (dice, sent) = (Dice::new(seed), sent(learned, channels));
    let mut source = Source { learned, dice, transparent, records, directories, is_open: true, sent };
    let mut made: Vec<Probe> = Vec::new();
    let mut used = 0;
    let shares: Vec<&Kind> = KINDS.iter().flat_map(|kind| core::iter::repeat_n(kind, kind.share)).collect();
    // A card without a thing has no probes of it; the others take their place.
    let mut idle = 0;
    while made.len() < count && idle < 1000 {
        let Some(kind) = source.dice.one(&shares).copied() else { break };
        // Of what learning sent there are fewer than of the rest, as long as there is a rest.
        let is_too_much = |probe: &Probe| probe.weight.is_learned && (used + 1) * 2 > made.len() + 1;
        source.is_open = true;
        let probe = source.probe(kind.name, channels).map(|probe| {
            let situation = (probe.reset, probe.setup, probe.command);
            let is_learned = source.sent.contains(&situation);
            let (reset, setup, command) = situation;
            let weight = Weight { is_learned, succeeds: kind.succeeds && source.is_open };
            Probe { reset, setup, command, weight, ..probe }
        });
        match probe.filter(|probe| !is_too_much(probe)) {
            Some(probe) => {
                used += usize::from(probe.weight.is_learned);
                made.push(probe);
                idle = 0;
            }
            None => idle += 1,
        }
    }
    made
}

impl Source<'_> {
    fn probe(&mut self, name: &'static str, channels: u8) -> Option<Probe> {
        let (setup, command) = match name {
            kind::SELECT_PATH
            | kind::SELECT_MISSING
            | kind::SELECT_NAME
            | kind::WALK
            | kind::PATH_BELOW
            | kind::CUT_NAME => self.selection(name)?,
            kind::READ_START | kind::READ_WITHIN | kind::READ_ACROSS | kind::READ_SFI_WITHIN | kind::REREAD => {
                self.binary(name)?
            }
            kind::READ_ABSOLUTE | kind::READ_RUN | kind::READ_SFI_RECORD | kind::SEARCH => self.record(name)?,
            kind::PIN_TRIES => {
                let pin = self.dice.one(&self.learned.pins)?;
                let ins = if self.dice.below(2) == 0 { 0x20 } else { 0x2C };
                (select(&pin.at, false), vec![0x00, ins, 0x00, *pin.reference.0.first()?, 0x00])
            }
            kind::UNKNOWN => (select(&Path::mf(), false), self.unknown()?),
            kind::STATUS_BEHIND => {
                let walk = self.walk()?;
                let p2 = *self.dice.one(&[0x00, 0x00, 0x01, 0x0C])?;
                (walk, vec![0x80, 0xF2, 0x00, p2, 0x00])
            }
            kind::PIECES => {
                let file = self.dice.one(&self.learned.files)?;
                let length = 1 + self.dice.below(file.fcp.0.len().saturating_sub(1));
                (select(&file.path, true), vec![0x00, 0xC0, 0x00, 0x00, u8::try_from(length).ok()?])
            }
            kind::CHANNEL if channels > 0 => return self.on_channel(name),
            _ => return None,
        };
        Some(Probe::new(name, setup, command))
    }

    /// From the MF through up to four files, each named by its identifier.
    fn walk(&mut self) -> Option<Vec<Vec<u8>>> {
        let start = self.dice.one(&self.directories)?;
        let mut walk = select(&start.path, false);
        for _ in 0..self.dice.below(4) {
            let fid = self.dice.one(&self.learned.files)?.path.fid().unwrap_or(0x7FFF);
            walk.push(select_by(0x00, 0x0C, &fid.to_be_bytes()));
        }
        Some(walk)
    }

    fn selection(&mut self, name: &'static str) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let p2 = if self.dice.below(4) == 0 { 0x0C } else { 0x04 };
        Some(match name {
            kind::SELECT_PATH => {
                let mut commands = select(&self.dice.one(&self.learned.files)?.path, true);
                let last = commands.pop()?;
                (commands, last)
            }
            kind::SELECT_MISSING => {
                let directory = self.dice.one(&self.directories)?;
                let fid = u16::try_from(0x6000 + self.dice.below(0x1000)).ok()?;
                let is_there = self.learned.files.iter().any(|file| file.path.fid() == Some(fid));
                (!is_there).then_some(())?;
                (select(&directory.path, false), select_by(0x00, p2, &fid.to_be_bytes()))
            }
            kind::SELECT_NAME => (self.walk()?, select_by(0x04, p2, &self.dice.one(&self.learned.applications)?.aid.0)),
            kind::CUT_NAME => {
                let aid = &self.dice.one(&self.learned.applications)?.aid.0;
                let length = 5 + self.dice.below(aid.len().saturating_sub(4));
                (self.walk()?, select_by(0x04, p2, aid.get(..length)?))
            }
            kind::WALK => {
                let fid = self.dice.one(&self.learned.files)?.path.fid().unwrap_or(0x7FFF);
                (self.walk()?, select_by(0x00, p2, &fid.to_be_bytes()))
            }
            _ => {
                let directory = self.dice.one(&self.directories)?;
                let below: Vec<&LearnedFile> =
                    self.learned.files.iter().filter(|file| is_below(file, &directory.path)).collect();
                let file = self.dice.one(&below)?;
                let rest = file.path.below.get(directory.path.below.len()..)?;
                let path: Vec<u8> = rest.iter().flat_map(|fid| fid.to_be_bytes()).collect();
                (select(&directory.path, false), select_by(0x09, p2, &path))
            }
        })
    }

    fn binary(&mut self, name: &'static str) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let (file, size, sfi) = *self.dice.one(&self.transparent)?;
        self.is_open = file.unread.is_none();
        let mut setup = select(&file.path, false);
        let within = self.dice.below(size.min(0x7FFF));
        let rest = size - within;
        let (offset, le) = match name {
            kind::READ_START => (0, size.min(0xFF)),
            kind::READ_WITHIN => (within, 1 + self.dice.below(rest.min(0xFF))),
            kind::READ_ACROSS => (within, (rest + 1 + self.dice.below(8)).min(0xFF)),
            kind::REREAD => {
                setup.push(select_by(0x00, 0x0C, &[0x6E, 0xE7]));
                (within.min(0x7F), 1)
            }
            _ => {
                let setup = select(&file.path.parent()?, false);
                let offset = u8::try_from(within.min(0xFF)).ok()?;
                let le = 1 + self.dice.below((size - usize::from(offset)).min(0xFF));
                return Some((setup, vec![0x00, 0xB0, 0x80 | sfi?, offset, u8::try_from(le).ok()?]));
            }
        };
        let [high, low] = u16::try_from(offset).ok()?.to_be_bytes();
        Some((setup, vec![0x00, 0xB0, high, low, u8::try_from(le).ok()?]))
    }

    fn record(&mut self, name: &'static str) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let (file, length, count, sfi) = *self.dice.one(&self.records)?;
        self.is_open = file.unread.is_none();
        let mut setup = select(&file.path, false);
        let record = u8::try_from(1 + self.dice.below(usize::from(count))).ok()?;
        Some(match name {
            kind::READ_ABSOLUTE => (setup, vec![0x00, 0xB2, record, 0x04, length]),
            kind::READ_RUN => {
                let mode = if self.dice.below(2) == 0 { 0x02 } else { 0x03 };
                let read = vec![0x00, 0xB2, 0x00, mode, length];
                setup.extend(core::iter::repeat_n(read.clone(), 1 + self.dice.below(usize::from(count).min(6))));
                (setup, read)
            }
            kind::READ_SFI_RECORD => {
                let setup = select(&file.path.parent()?, false);
                (setup, vec![0x00, 0xB2, record, sfi? << 3 | 0x04, length])
            }
            _ => {
                let content = &file.records.as_ref()?.get(usize::from(record) - 1)?.0;
                let from = if self.dice.below(2) == 0 { 0 } else { self.dice.below(content.len()) };
                let some = content.get(from..content.len().min(from + 2 + self.dice.below(4)))?;
                (!some.is_empty()).then_some(())?;
                let mode = if self.dice.below(3) == 0 { 0x05 } else { 0x04 };
                let from = u8::try_from(1 + self.dice.below(usize::from(count))).ok()?;
                (setup, [&[0x00, 0xA2, from, mode, u8::try_from(some.len()).ok()?], some].concat())
            }
        })
    }

    /// An instruction that no card has, or a class that none has.
    fn unknown(&mut self) -> Option<Vec<u8>> {
        let ins = *self.dice.one(&[0x06, 0x4A, 0x0A, 0x1C, 0x5E, 0xEE])?;
        let class = *self.dice.one(&[0x00, 0x80, 0xFF, 0xF0, 0xB0, 0xD0])?;
        let known = *self.dice.one(&[0xB0, 0xA4, 0xB2])?;
        let ins = if matches!(class, 0x00 | 0x80) { ins } else { known };
        Some(vec![class, ins, 0x00, 0x00, 0x00])
    }

    fn on_channel(&mut self, name: &'static str) -> Option<Probe> {
        const OPEN: [u8; 5] = [0x00, 0x70, 0x00, 0x00, 0x01];
        const CLOSE: [u8; 5] = [0x00, 0x70, 0x80, 0x01, 0x00];
        let (file, size, _) = *self.dice.one(&self.transparent)?;
        let on_one = |command: &Vec<u8>| {
            let mut command = command.clone();
            if let Some(class) = command.first_mut() {
                *class |= 0x01;
            }
            command
        };
        let mut setup = select(&Path::mf(), false);
        setup.push(OPEN.to_vec());
        setup.extend(select(&file.path, false).iter().map(on_one));
        let le = u8::try_from(1 + self.dice.below(size.min(0xFF))).ok()?;
        let mut probe = Probe::new(name, setup, vec![0x01, 0xB0, 0x00, 0x00, le]);
        probe.cleanup.push(CLOSE.to_vec());
        Some(probe)
    }
}

fn is_below(file: &LearnedFile, directory: &Path) -> bool {
    file.path.application == directory.application
        && file.path.below.len() > directory.below.len()
        && file.path.below.starts_with(&directory.below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_a_card() -> Learned {
        let fcp = |hex: &str| crate::Octets(hex::decode(hex).unwrap());
        let file = |path: Path, hex: &str| LearnedFile { path, fcp: fcp(hex), ..LearnedFile::default() };
        Learned {
            files: vec![
                file(Path::mf(), "62088202782183023F00"),
                file(Path::mf().child(0x2FE2), "62178202412183022FE28A01058B032F06028002000A880110"),
                file(Path::mf().child(0x2F05), "620C8202012183022F0580020400"),
            ],
            pins: vec![crate::LearnedPin {
                reference: fcp("01"),
                at: Path::mf(),
                enabled: true,
                tries: 3,
                puk_tries: Some(10),
                code: None,
                puk_code: None,
            }],
            ..Learned::default()
        }
    }

    #[test]
    fn shares_make_a_hundred() {
        assert_eq!(KINDS.iter().map(|kind| kind.share).sum::<usize>(), 100);
    }

    /// What counts as sent is what learning sends, probe by probe.
    #[test]
    fn more_than_half_was_not_sent_in_learning() {
        let learned = of_a_card();
        let sent = sent(&learned, 1);
        for probe in calibration(&learned, true) {
            assert!(sent.contains(&(probe.reset, probe.setup, probe.command)));
        }
        let mf = || select(&Path::mf(), false);
        let at = |fid| select(&Path::mf().child(fid), false);
        for (setup, command) in [
            (at(0x2FE2), "00B000000A"),
            (at(0x2F05), "00B000FFFF"),
            (Vec::new(), "00A40804022FE2"),
            (mf(), "0020000100"),
        ] {
            assert!(sent.contains(&(false, setup, hex::decode(command).unwrap())), "{command}");
        }
        assert!(!sent.contains(&(false, at(0x2F05), hex::decode("00B0000307").unwrap())));
        for seed in ["one", "another", "a third"] {
            let probes = probes(&learned, 1, seed, 500);
            let used = probes.iter().filter(|probe| probe.weight.is_learned).count();
            assert!(probes.len() == 500 && used * 2 <= 500, "{seed}: {used}");
            assert!(used > 0 && probes.iter().filter(|probe| probe.weight.succeeds).count() > 50, "{seed}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_probes() {
        let learned = of_a_card();
        let one = probes(&learned, 0, "a seed", 100);
        assert_eq!((one.len(), &one), (100, &probes(&learned, 0, "a seed", 100)));
        assert_ne!(one, probes(&learned, 0, "another", 100));
        assert!(one.iter().all(|probe| !matches!(probe.ins(), Some(0xD6 | 0xDC | 0x32 | 0xE2))), "nothing writes");
        assert!(probes(&Learned::default(), 0, "a seed", 10).len() <= 10);
    }
}
