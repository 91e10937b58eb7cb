//! The probes that a dialect is learned from: each form of each reading command once, in the situations where cards differ.
//!
//! Nothing here writes, tries a PIN, or uses up anything. Every probe brings the card into its situation itself.

use crate::description::{Learned, LearnedFile, Path};
use crate::exchange::{Probe, SIM};
use crate::scan::{Content, Shape, select};

/// Files of the card that stand for their kind.
struct Samples<'a> {
    transparent: Option<&'a LearnedFile>,
    linear: Option<&'a LearnedFile>,
    cyclic: Option<&'a LearnedFile>,
    refused: Option<&'a LearnedFile>,
    refused_records: Option<&'a LearnedFile>,
    directory: Option<&'a LearnedFile>,
    /// A second one beside it.
    beside: Option<&'a LearnedFile>,
    /// An EF below the directory.
    deep: Option<&'a LearnedFile>,
    adf: Option<&'a LearnedFile>,
    in_adf: Option<&'a LearnedFile>,
}

fn samples(learned: &Learned) -> Samples<'_> {
    let shapes: Vec<(&LearnedFile, Shape)> =
        learned.files.iter().filter_map(|file| Some((file, Shape::of(&file.fcp.0)?))).collect();
    let find = |wanted: &dyn Fn(&LearnedFile, &Shape) -> bool| {
        shapes.iter().find(|(file, shape)| wanted(file, shape)).map(|(file, _)| *file)
    };
    let is_read = |file: &LearnedFile| file.unread.is_none();
    let in_reach = |file: &LearnedFile| file.path.application.is_none();
    let short = |shape: &Shape| matches!(shape.content, Content::Transparent(2..=200));
    let transparent = find(&|file, shape| is_read(file) && in_reach(file) && short(shape) && shape.sfi.is_some())
        .or_else(|| find(&|file, shape| is_read(file) && in_reach(file) && short(shape)))
        .or_else(|| find(&|file, shape| is_read(file) && short(shape)));
    let records = |cyclic: bool| {
        let wanted = move |shape: &Shape| matches!(shape.content, Content::Records { cyclic: c, .. } if c == cyclic);
        find(&|file, shape| is_read(file) && wanted(shape) && in_reach(file) && shape.sfi.is_some())
            .or_else(|| find(&|file, shape| is_read(file) && wanted(shape)))
    };
    let is_df = |file: &LearnedFile, shape: &Shape| shape.is_directory && !file.path.below.is_empty();
    let directory = find(&|file, shape| is_df(file, shape) && in_reach(file)).or_else(|| find(&is_df));
    let beside = directory.and_then(|directory| {
        let parent = directory.path.parent();
        find(&|file, shape| is_df(file, shape) && file.path != directory.path && file.path.parent() == parent)
    });
    let deep = directory.and_then(|directory| {
        find(&|file, shape| !shape.is_directory && file.path.parent().as_ref() == Some(&directory.path))
    });
    let adf = find(&|file, _| file.path.fid().is_none());
    let in_adf =
        find(&|file, shape| file.path.application.is_some() && file.path.below.len() == 1 && !shape.is_directory);
    Samples {
        transparent,
        linear: records(false),
        cyclic: records(true),
        refused: find(&|file, shape| file.unread.is_some() && matches!(shape.content, Content::Transparent(_))),
        refused_records: find(&|file, shape| file.unread.is_some() && matches!(shape.content, Content::Records { .. })),
        directory,
        beside,
        deep,
        adf,
        in_adf,
    }
}

/// Makes probes.
struct Maker {
    probes: Vec<Probe>,
}

impl Maker {
    fn add(&mut self, kind: &'static str, setup: &[Vec<u8>], command: &[u8]) -> &mut Probe {
        self.probes.push(Probe::new(kind, setup.to_vec(), command.to_vec()));
        let last = self.probes.len() - 1;
        // The one that was just put there.
        #[expect(clippy::indexing_slicing, reason = "it was pushed above")]
        &mut self.probes[last]
    }

    /// The same from a reset on.
    fn afresh(&mut self, kind: &'static str, setup: &[Vec<u8>], command: &[u8]) {
        self.add(kind, setup, command).reset = true;
    }
}

pub(crate) fn select_by(p1: u8, p2: u8, data: &[u8]) -> Vec<u8> {
    let lc = u8::try_from(data.len()).unwrap_or(u8::MAX);
    if data.is_empty() { vec![0x00, 0xA4, p1, p2, 0x00] } else { [&[0x00, 0xA4, p1, p2, lc], data].concat() }
}

fn mf() -> Vec<Vec<u8>> {
    select(&Path::mf(), false)
}

fn at(file: &LearnedFile) -> Vec<Vec<u8>> {
    select(&file.path, false)
}

/// All of them.
pub(crate) fn calibration(learned: &Learned, has_channels: bool) -> Vec<Probe> {
    let samples = samples(learned);
    let mut maker = Maker { probes: Vec::new() };
    selections(&mut maker, &samples);
    applications(&mut maker, learned, &samples);
    statuses(&mut maker, &samples);
    binary(&mut maker, &samples);
    records(&mut maker, &samples);
    searches(&mut maker, &samples);
    responses(&mut maker, &samples);
    pins(&mut maker, learned);
    channels(&mut maker, has_channels);
    // Last, when what the instructions do under their own class is known.
    instructions(&mut maker, &samples);
    sim(&mut maker, &samples);
    maker.probes
}

/// Instructions and classes, known and unknown.
fn instructions(maker: &mut Maker, samples: &Samples<'_>) {
    for command in [
        [0x00, 0x4A, 0x00, 0x00, 0x00],
        [0x80, 0x4A, 0x00, 0x00, 0x00],
        [0x00, 0x06, 0x00, 0x00, 0x00],
        [0x80, 0xEC, 0x00, 0x00, 0x00],
        [0x00, 0x62, 0x00, 0x00, 0x00],
        [0x00, 0x94, 0x00, 0x00, 0x00],
    ] {
        maker.add("an unknown instruction", &mf(), &command);
    }
    for class in [0xFF, 0xB0, 0x90, 0xF0, 0xD0, 0x20, 0x30] {
        maker.add("an unknown class", &mf(), &[class, 0xB0, 0x00, 0x00, 0x01]);
        maker.add("an unknown class", &mf(), &[class, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00]);
        maker.add("an unknown class", &mf(), &[class, 0xA4, 0x00, 0x00, 0x00]);
        maker.add("an unknown class", &mf(), &[class, 0xB2, 0x00, 0x00, 0x00]);
    }
    for class in [0x04, 0x08, 0x0C, 0x84, 0x60] {
        maker.add("a class with secure messaging", &mf(), &[class, 0xB0, 0x00, 0x00, 0x01]);
    }
    maker.add("a class with chaining", &mf(), &[0x10, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00]);
    for class in [0x01, 0x02, 0x03, 0x40, 0x4F] {
        maker.add("a channel that is not open", &mf(), &[class, 0xB0, 0x00, 0x00, 0x01]);
        maker.add("a channel that is not open", &mf(), &[class, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00]);
    }
    // What is said of the class or the instruction, and what of a file, shows where there is one.
    let files = [samples.transparent, samples.linear];
    let places: Vec<Vec<Vec<u8>>> = core::iter::once(mf()).chain(files.into_iter().flatten().map(at)).collect();
    for place in &places {
        for (class, ins) in [(0x80, 0xA4), (0x80, 0xB0), (0x80, 0xB2), (0x80, 0xA2), (0x80, 0x84), (0x00, 0xCB)] {
            maker.add("an instruction under the other class", place, &[class, ins, 0x00, 0x00, 0x00]);
        }
        maker.add("an instruction under the other class", place, &[0x80, 0xB0, 0x00, 0x00, 0x01]);
        maker.add("an instruction under the other class", place, &[0x80, 0xB2, 0x01, 0x04, 0x01]);
        maker.add("an instruction under the other class", place, &[0x00, 0xAA, 0x00, 0x00, 0x00]);
    }
    maker.add("an instruction under the other class", &mf(), &[0x80, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]);
    maker.add("an instruction under the other class", &mf(), &[0x80, 0x20, 0x00, 0x01, 0x00]);
    maker.add("an instruction under the other class", &mf(), &[0x80, 0x70, 0x00, 0x00, 0x01]);
    for (class, ins) in
        [(0x80, 0xCB), (0x80, 0xCA), (0x00, 0xCA), (0x80, 0x78), (0x00, 0x78), (0x80, 0xAA), (0x00, 0x88), (0x00, 0x89)]
    {
        maker.afresh("an instruction that not all cards have", &mf(), &[class, ins, 0x00, 0x00, 0x00]);
    }
    for (p1, le) in [(0x00, 0x08), (0x00, 0x10), (0x00, 0x00), (0x01, 0x08)] {
        maker.add("GET CHALLENGE", &mf(), &[0x00, 0x84, p1, 0x00, le]).is_random = true;
    }
}

/// The class of a SIM. TS 51.011.
fn sim(maker: &mut Maker, samples: &Samples<'_>) {
    const KIND: &str = "the class of a SIM";
    for fid in [[0x3F, 0x00], [0x7F, 0x20], [0x7F, 0x10], [0x2F, 0xE2], [0x6E, 0xE7]] {
        maker.add(KIND, &mf(), &[&[SIM, 0xA4, 0x00, 0x00, 0x02], &fid[..]].concat());
    }
    for (ins, p1, p2, p3) in
        [(0xB0, 0x00, 0x00, 0x01), (0xB2, 0x01, 0x04, 0x01), (0xF2, 0x00, 0x00, 0x16), (0xC0, 0x00, 0x00, 0x10)]
    {
        maker.add(KIND, &mf(), &[SIM, ins, p1, p2, p3]);
    }
    for place in [samples.transparent, samples.linear].into_iter().flatten() {
        maker.add(KIND, &at(place), &[SIM, 0xB0, 0x00, 0x00, 0x01]);
        maker.add(KIND, &at(place), &[SIM, 0xB2, 0x01, 0x04, 0x01]);
    }
}

/// SELECT by file identifier and path.
fn selections(maker: &mut Maker, samples: &Samples<'_>) {
    const MF: [u8; 2] = [0x3F, 0x00];
    const NONE: [u8; 2] = [0x6E, 0xE7];
    for p1 in [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0A, 0x10, 0xFF] {
        maker.add("SELECT with another P1", &mf(), &select_by(p1, 0x04, &MF));
        maker.add("SELECT with another P1 and no data", &mf(), &select_by(p1, 0x04, &[]));
        maker.add("SELECT with another P1 and no data", &mf(), &select_by(p1, 0x0C, &[]));
    }
    for p2 in [0x00, 0x04, 0x08, 0x0C, 0x01, 0x02, 0x03, 0x05, 0x06, 0x10, 0x20, 0x40, 0x44, 0x80, 0xFF] {
        maker.add("SELECT with another P2", &mf(), &select_by(0x00, p2, &MF));
        if let Some(file) = samples.transparent {
            let fid = file.path.fid().unwrap_or_default().to_be_bytes();
            let parent = file.path.parent().unwrap_or_default();
            maker.add("SELECT with another P2", &select(&parent, false), &select_by(0x00, p2, &fid));
        }
    }
    for data in [&[0x3F][..], &[0x3F, 0x00, 0x2F], &[0x3F, 0x00, 0x3F, 0x00]] {
        for p1 in [0x00, 0x01, 0x03, 0x08, 0x09] {
            maker.add("SELECT with data of another length", &mf(), &select_by(p1, 0x04, data));
        }
    }
    for p1 in [0x00, 0x01, 0x08, 0x09] {
        maker.add("SELECT of what is not there", &mf(), &select_by(p1, 0x04, &NONE));
        maker.add("SELECT of what is not there", &mf(), &select_by(p1, 0x0C, &NONE));
        maker.add("SELECT of what is not there", &mf(), &select_by(p1, 0x04, &[NONE, NONE].concat()));
    }
    maker.afresh("SELECT of the current application", &mf(), &select_by(0x00, 0x04, &[0x7F, 0xFF]));
    maker.afresh("SELECT of the current application", &mf(), &select_by(0x08, 0x04, &[0x7F, 0xFF]));
    maker.afresh("SELECT of the current application", &mf(), &select_by(0x08, 0x04, &[0x7F, 0xFF, 0x6F, 0x07]));
    for p1 in [0x03] {
        for place in [samples.directory, samples.deep, samples.in_adf, samples.adf].into_iter().flatten() {
            maker.add("SELECT of the parent", &at(place), &select_by(p1, 0x04, &[]));
            maker.add("SELECT of the parent", &at(place), &select_by(p1, 0x0C, &[]));
        }
    }
    reach(maker, samples);
    if let Some(file) = samples.transparent.or(samples.linear).filter(|file| file.path.application.is_none()) {
        let below: Vec<u8> = file.path.below.iter().flat_map(|fid| fid.to_be_bytes()).collect();
        maker.add("SELECT by path with the MF", &mf(), &select_by(0x08, 0x04, &[&MF, below.as_slice()].concat()));
        maker.add("SELECT below an EF", &mf(), &select_by(0x08, 0x04, &[below.as_slice(), &MF].concat()));
        maker.add("SELECT below an EF", &at(file), &select_by(0x09, 0x04, &NONE));
        let fid = file.path.fid().unwrap_or_default().to_be_bytes();
        maker.add("SELECT by path from where it is", &mf(), &select_by(0x09, 0x04, &fid));
        maker.add("SELECT by path from where it is", &at(file), &select_by(0x09, 0x04, &fid));
        maker.add("SELECT of an EF as a DF", &mf(), &select_by(0x01, 0x04, &fid));
    }
}

/// What a file identifier leads to from where.
fn reach(maker: &mut Maker, samples: &Samples<'_>) {
    let places = [
        samples.directory,
        samples.beside,
        samples.deep,
        samples.adf,
        samples.in_adf,
        samples.transparent,
        samples.linear,
    ];
    for from in places.into_iter().flatten() {
        for to in places.into_iter().flatten() {
            if let Some(fid) = to.path.fid() {
                maker.add("SELECT from elsewhere", &at(from), &select_by(0x00, 0x04, &fid.to_be_bytes()));
            }
        }
        maker.add("SELECT from elsewhere", &at(from), &select_by(0x00, 0x04, &[0x3F, 0x00]));
        maker.add("SELECT from elsewhere", &at(from), &select_by(0x00, 0x04, &[0x7F, 0xFF]));
    }
    let fid = samples.adf.and_then(|adf| Shape::of(&adf.fcp.0)?.fid);
    if let Some(fid) = fid {
        let own = fid.to_be_bytes();
        maker.afresh("SELECT of an ADF by identifier", &mf(), &select_by(0x00, 0x04, &own));
        maker.afresh("SELECT of an ADF by identifier", &mf(), &select_by(0x08, 0x04, &own));
        let mut entered = mf();
        entered.push(select_by(0x00, 0x0C, &own));
        maker.afresh("after SELECT of an ADF by identifier", &entered, &[0x80, 0xF2, 0x00, 0x01, 0x00]);
        maker.afresh("after SELECT of an ADF by identifier", &entered, &select_by(0x00, 0x04, &[0x7F, 0xFF]));
    }
}

/// SELECT by name.
fn applications(maker: &mut Maker, learned: &Learned, samples: &Samples<'_>) {
    for data in [&[0xA0, 0x00, 0x00, 0x77, 0x77][..], &[0xA0, 0x00, 0x00], &[0xA0; 17], &[0xD2, 0x76, 0x00, 0x01, 0x18]]
    {
        maker.add("SELECT of an unknown name", &mf(), &select_by(0x04, 0x04, data));
    }
    for application in &learned.applications {
        let aid = &application.aid.0;
        for p2 in [0x00, 0x04, 0x0C, 0x08, 0x01, 0x02, 0x03, 0x44] {
            maker.afresh("SELECT by name with another P2", &mf(), &select_by(0x04, p2, aid));
        }
        for length in [5, 7, aid.len().saturating_sub(1)] {
            let part = aid.get(..length).unwrap_or(aid);
            maker.add("SELECT by a part of the name", &mf(), &select_by(0x04, 0x04, part));
        }
        let longer = [aid.as_slice(), &[0x00]].concat();
        maker.add("SELECT by more than the name", &mf(), &select_by(0x04, 0x04, &longer));
    }
    for place in [samples.in_adf, samples.deep].into_iter().flatten() {
        for application in learned.applications.iter().take(2) {
            maker.add("SELECT by name from elsewhere", &at(place), &select_by(0x04, 0x04, &application.aid.0));
        }
    }
}

/// STATUS.
fn statuses(maker: &mut Maker, samples: &Samples<'_>) {
    for p1 in [0x00, 0x01, 0x02, 0x03, 0x80] {
        for p2 in [0x00, 0x01, 0x0C, 0x02, 0x04] {
            maker.afresh("STATUS", &mf(), &[0x80, 0xF2, p1, p2, 0x00]);
        }
    }
    for place in [samples.directory, samples.deep, samples.adf, samples.in_adf].into_iter().flatten() {
        for (p2, le) in [(0x00, 0x00), (0x00, 0x05), (0x00, 0xFF), (0x01, 0x00), (0x01, 0x05), (0x0C, 0x00)] {
            maker.add("STATUS elsewhere", &at(place), &[0x80, 0xF2, 0x00, p2, le]);
        }
    }
    if let Some(adf) = samples.adf {
        let back: Vec<Vec<u8>> = at(adf).into_iter().chain(mf()).collect();
        for p2 in [0x00, 0x01] {
            maker.add("STATUS of the MF behind an application", &back, &[0x80, 0xF2, 0x00, p2, 0x00]);
        }
        maker.add("SELECT of the application behind the MF", &back, &select_by(0x00, 0x04, &[0x7F, 0xFF]));
    }
    maker.add("STATUS under the other class", &mf(), &[0x00, 0xF2, 0x00, 0x00, 0x00]);
    for p2 in [0x0C, 0x01] {
        maker.add("STATUS under the other class", &mf(), &[0x00, 0xF2, 0x00, p2, 0x00]);
    }
    maker.add("STATUS under the other class", &mf(), &[0x00, 0xF2, 0x00, 0x0C]);
    maker.add("STATUS without an answer", &mf(), &[0x80, 0xF2, 0x00, 0x0C]);
}

/// READ BINARY.
fn binary(maker: &mut Maker, samples: &Samples<'_>) {
    const KIND: &str = "READ BINARY";
    let read = |p1: u8, p2: u8, le: u8| [0x00, 0xB0, p1, p2, le];
    for (p1, p2, le) in [(0, 0, 1), (0, 0, 0), (0x80, 0, 1), (0x9F, 0, 1), (0xA0, 0, 1), (0xC1, 0, 1), (0x9D, 0, 1)] {
        maker.add("READ BINARY without a file", &mf(), &read(p1, p2, le));
    }
    for place in [samples.linear, samples.refused, samples.directory, samples.adf].into_iter().flatten() {
        for (p1, p2, le) in [(0, 0, 1), (0, 0, 0), (0x7F, 0xFF, 1), (0x9D, 0, 1), (0xA0, 0, 1)] {
            maker.add("READ BINARY elsewhere", &at(place), &read(p1, p2, le));
        }
    }
    let Some((file, shape)) = samples.transparent.and_then(|file| Some((file, Shape::of(&file.fcp.0)?))) else {
        return;
    };
    let Content::Transparent(size) = shape.content else { return };
    let size = u8::try_from(size).unwrap_or(u8::MAX);
    for (p1, p2, le) in [
        (0, 0, size),
        (0, 0, 0),
        (0, 0, size.saturating_add(1)),
        (0, 0, 0xFF),
        (0, size, 1),
        (0, size, 0),
        (0, size.saturating_add(1), 1),
        (0, size.saturating_add(1), 0),
        (0x7F, 0xFF, 1),
        (0x9F, 0, 1),
        (0x80, 0, 1),
        (0xA0, 0, 1),
        (0xC0, 0, 1),
        (0x9D, 0, 1),
        (0x9D, 0xFF, 0),
    ] {
        maker.add(KIND, &at(file), &read(p1, p2, le));
    }
    let home = select(&file.path.parent().unwrap_or_default(), false);
    if let Some(sfi) = shape.sfi {
        for (p2, le) in [(0, 1), (0, 0), (size, 1), (0xFF, 1), (0, 0xFF)] {
            maker.add("READ BINARY by SFI", &home, &read(0x80 | sfi, p2, le));
        }
        // What a short identifier selects stays so.
        let mut behind = home.clone();
        behind.push(read(0x80 | sfi, 0, 1).to_vec());
        maker.add("READ BINARY behind an SFI", &behind, &read(0, 0, 1));
        for place in [samples.directory, samples.deep, samples.adf].into_iter().flatten() {
            maker.add("READ BINARY by SFI elsewhere", &at(place), &read(0x80 | sfi, 0, 1));
        }
    }
    if let Some(sfi) = samples.linear.and_then(|file| Shape::of(&file.fcp.0)?.sfi) {
        let home =
            samples.linear.map(|file| select(&file.path.parent().unwrap_or_default(), false)).unwrap_or_default();
        maker.add("READ BINARY of records by SFI", &home, &read(0x80 | sfi, 0, 1));
    }
}

/// READ RECORD.
fn records(maker: &mut Maker, samples: &Samples<'_>) {
    let read = |p1: u8, p2: u8, le: u8| [0x00, 0xB2, p1, p2, le];
    let forms = [
        (1, 0x04, 1),
        (0, 0x02, 1),
        (0, 0x03, 0),
        (1, 0x04, 0),
        (1, 0x00, 1),
        (1, 0xEC, 1),
        (1, 0xFC, 1),
        (0, 0x04, 1),
    ];
    for (p1, p2, le) in forms {
        maker.add("READ RECORD without a file", &mf(), &read(p1, p2, le));
    }
    for place in [samples.transparent, samples.refused_records, samples.directory].into_iter().flatten() {
        for (p1, p2, le) in forms {
            maker.add("READ RECORD elsewhere", &at(place), &read(p1, p2, le));
        }
    }
    for file in [samples.linear, samples.cyclic].into_iter().flatten() {
        let Some(shape) = Shape::of(&file.fcp.0) else { continue };
        let Content::Records { length, count, .. } = shape.content else { continue };
        let other = if length <= 1 { 2 } else { length - 1 };
        for (p1, p2, le) in [
            (1, 0x04, length),
            (1, 0x04, 0),
            (1, 0x04, other),
            (1, 0x04, 0xFF),
            (count, 0x04, length),
            (count.saturating_add(1), 0x04, length),
            (count.saturating_add(1), 0x04, 0),
            (count.saturating_add(2), 0x04, length),
            (0xFF, 0x04, length),
            (0, 0x04, length),
            (0, 0x02, length),
            (0, 0x03, length),
            (1, 0x02, length),
            (0, 0x02, 0),
            (1, 0x00, length),
            (1, 0x01, length),
            (1, 0x05, length),
            (1, 0x06, length),
            (1, 0x07, length),
            (1, 0xFC, length),
            (1, 0xEC, length),
        ] {
            maker.add("READ RECORD", &at(file), &read(p1, p2, le));
        }
        let behind = |before: &[[u8; 5]]| -> Vec<Vec<u8>> {
            at(file).into_iter().chain(before.iter().map(|command| command.to_vec())).collect()
        };
        maker.add("READ RECORD behind the last", &behind(&[read(0, 0x03, length)]), &read(0, 0x02, length));
        maker.add("READ RECORD before the first", &behind(&[read(0, 0x02, length)]), &read(0, 0x03, length));
        maker.add("the current record behind NEXT", &behind(&[read(0, 0x02, length)]), &read(0, 0x04, length));
        maker.add("NEXT behind an absolute record", &behind(&[read(count, 0x04, length)]), &read(0, 0x02, length));
        maker.add(
            "the current record behind an absolute one",
            &behind(&[read(1, 0x04, length)]),
            &read(0, 0x04, length),
        );
        if let Some(sfi) = shape.sfi {
            let home = select(&file.path.parent().unwrap_or_default(), false);
            for (p1, mode, le) in
                [(1, 0x04, length), (1, 0x04, 0), (count.saturating_add(1), 0x04, length), (0, 0x02, length)]
            {
                maker.add("READ RECORD by SFI", &home, &read(p1, sfi << 3 | mode, le));
            }
        }
    }
    if let Some(sfi) = samples.transparent.and_then(|file| Shape::of(&file.fcp.0)?.sfi) {
        let home =
            samples.transparent.map(|file| select(&file.path.parent().unwrap_or_default(), false)).unwrap_or_default();
        maker.add("READ RECORD of a transparent file by SFI", &home, &read(1, sfi << 3 | 0x04, 1));
    }
}

/// SEARCH RECORD.
fn searches(maker: &mut Maker, samples: &Samples<'_>) {
    let search = |p1: u8, p2: u8, data: &[u8]| {
        let lc = u8::try_from(data.len()).unwrap_or(u8::MAX);
        if data.is_empty() { vec![0x00, 0xA2, p1, p2, 0x00] } else { [&[0x00, 0xA2, p1, p2, lc], data].concat() }
    };
    maker.add("SEARCH RECORD without a file", &mf(), &search(1, 0x04, &[0xA5]));
    for place in [samples.transparent, samples.refused_records, samples.directory].into_iter().flatten() {
        maker.add("SEARCH RECORD elsewhere", &at(place), &search(1, 0x04, &[0xA5]));
    }
    let Some((file, shape)) = samples.linear.and_then(|file| Some((file, Shape::of(&file.fcp.0)?))) else { return };
    let Content::Records { length, count, .. } = shape.content else { return };
    let record = file.records.iter().flatten().next().map(|record| record.0.clone()).unwrap_or_default();
    let start = record.get(..2).unwrap_or_default();
    let inside = record.get(1..4).unwrap_or_default();
    for (p1, p2, data) in [
        (1, 0x04, start),
        (1, 0x04, inside),
        (1, 0x05, start),
        (0, 0x04, start),
        (count.saturating_add(1), 0x04, start),
        (1, 0x00, start),
        (1, 0x07, start),
        (1, 0x04, &[0x5A, 0xC3, 0x3C, 0xA5]),
        (1, 0x04, &[]),
        (1, 0x06, &[0x04, 0x00, 0xA5]),
        (0, 0x06, &[0x06, 0x00, 0xFF]),
        (0, 0x06, &[0x00, 0x00, 0xFF]),
        (0, 0x06, &[0x06]),
    ] {
        maker.add("SEARCH RECORD", &at(file), &search(p1, p2, data));
    }
    let longer = vec![0xA5; usize::from(length).saturating_add(1).min(0xFE)];
    maker.add("SEARCH RECORD", &at(file), &search(1, 0x04, &longer));
    let mut behind = at(file);
    behind.push(search(1, 0x04, start));
    maker.add("NEXT behind a search", &behind, &[0x00, 0xB2, 0x00, 0x02, length]);
}

/// GET RESPONSE.
fn responses(maker: &mut Maker, samples: &Samples<'_>) {
    let get = |p1: u8, le: u8| [0x00, 0xC0, p1, 0x00, le];
    for le in [0x00, 0x01, 0x10] {
        maker.add("GET RESPONSE of nothing", &mf(), &get(0, le));
    }
    if let Some(file) = samples.transparent {
        let select = select(&file.path, true);
        for (p1, le) in [(0, 0), (0, 0xFF), (0, 0x05), (1, 0x05)] {
            maker.add("GET RESPONSE of another length", &select, &get(p1, le));
        }
        let mut forgotten = select.clone();
        forgotten.push(vec![0x80, 0xF2, 0x00, 0x0C, 0x00]);
        maker.add("GET RESPONSE behind another command", &forgotten, &get(0, 0x10));
    }
    maker.add("GET RESPONSE under the other class", &mf(), &[0x80, 0xC0, 0x00, 0x00, 0x10]);
}

/// Empty VERIFY and UNBLOCK.
fn pins(maker: &mut Maker, learned: &Learned) {
    let references: Vec<u8> = learned.pins.iter().filter_map(|pin| pin.reference.0.first().copied()).collect();
    for (p1, reference) in references.iter().map(|reference| (0x00, *reference)).chain([
        (0x00, 0x00),
        (0x00, 0x1F),
        (0x00, 0x7E),
        (0x01, 0x01),
        (0x00, 0x89),
    ]) {
        maker.add("tries left of a PIN", &mf(), &[0x00, 0x20, p1, reference, 0x00]);
        maker.add("tries left of a PUK", &mf(), &[0x00, 0x2C, p1, reference, 0x00]);
    }
}

/// MANAGE CHANNEL.
fn channels(maker: &mut Maker, has_channels: bool) {
    const KIND: &str = "MANAGE CHANNEL";
    for (p1, p2, le) in [
        (0x00, 0x00, 0x01),
        (0x00, 0x00, 0x00),
        (0x00, 0x00, 0x02),
        (0x00, 0x01, 0x00),
        (0x00, 0x14, 0x00),
        (0x80, 0x00, 0x00),
        (0x80, 0x01, 0x00),
        (0x80, 0x15, 0x00),
        (0x01, 0x00, 0x01),
        (0x40, 0x00, 0x01),
    ] {
        let probe = maker.add(KIND, &mf(), &[0x00, 0x70, p1, p2, le]);
        if has_channels {
            probe.cleanup.push(vec![0x00, 0x70, 0x80, 0x01, 0x00]);
        }
    }
}
