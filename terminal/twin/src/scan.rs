//! Looking through a card: which files are there, and what is in them.

use crate::description::{DEEPEST, LearnedFile, MF, Octets, Path};
use crate::exchange::status_word;
use apdu::tlv::{Tag, Tlv};
use apdu::transport::{exchange, response};
use apdu::{StatusWord, Transport, TransportError};

/// Records that a file has at most. TS 102 221 §8.2.2.2.
const MOST_RECORDS: u8 = 254;
/// Octets that a transparent EF is taken to have at most, whatever its file size, tag `80`, says.
const MOST_OCTETS: usize = 0xFFFF;
/// Octets that READ BINARY reaches: bit 8 of P1 would make it a short file identifier. TS 102 221 §11.1.3.2.
pub(crate) const REACH: usize = 0x8000;

/// What an answer to SELECT says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Whether it is an MF, DF or ADF.
    pub is_directory: bool,
    /// Whether several channels may have it current.
    pub shareable: bool,
    /// File identifier.
    pub fid: Option<u16>,
    /// DF name: the AID of an ADF.
    pub name: Option<Vec<u8>>,
    /// Short file identifier.
    pub sfi: Option<u8>,
    /// How its content is organised.
    pub content: Content,
    /// Life cycle status.
    pub life_cycle: Option<u8>,
    /// Tag and value of its security attributes.
    pub security: Option<(u8, Vec<u8>)>,
    /// Keys of the PIN status template, and whether each is enabled.
    pub keys: Vec<(u8, bool)>,
}

/// How a file's content is organised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// None, or none that is known.
    #[default]
    None,
    /// So many octets, 65,535 at most.
    Transparent(usize),
    /// Records of a length, and how many.
    Records {
        /// Octets of a record, at least one.
        length: u8,
        /// Number of records.
        count: u8,
        /// Whether they are a ring.
        cyclic: bool,
    },
    /// Data objects: octets reserved, and at most.
    BerTlv {
        /// Octets set aside.
        reserved: u32,
        /// Octets it may take.
        maximum: u32,
    },
}

impl Shape {
    /// Of file control parameters; `None` of what is none.
    pub fn of(fcp: &[u8]) -> Option<Self> {
        let template = Tlv::parse(fcp).ok().filter(|fcp| matches!(fcp.tag, Tag(0x62 | 0x6F)))?;
        let mut inside = template.children();
        let mut objects = Vec::new();
        while let Ok(Some(object)) = inside.next() {
            objects.push(object);
        }
        // FCP within FCI.
        if let [fcp] | [fcp, _] = objects.as_slice()
            && fcp.tag == Tag(0x62)
        {
            return Self::of_template(fcp);
        }
        Self::of_template(&template)
    }

    fn of_template(template: &Tlv<'_>) -> Option<Self> {
        let value = |tag: u32| template.children().find(Tag(tag)).ok().flatten().map(|object| object.value);
        let descriptor = value(0x82)?;
        let number = |octets: &[u8]| {
            octets.iter().fold(0_usize, |number, octet| number.saturating_mul(0x100).saturating_add((*octet).into()))
        };
        let kind = *descriptor.first()? & 0x3F;
        let is_directory = kind == 0x38;
        let content = match (kind, descriptor) {
            (0x01 | 0x09 | 0x11, _) => Content::Transparent(value(0x80).map_or(0, number).min(MOST_OCTETS)),
            (0x02 | 0x0A | 0x12 | 0x06 | 0x0E | 0x16, [_, _, 0, length @ 1..=0xFF, rest @ ..]) => {
                let count = match (rest, value(0x80).map(number)) {
                    ([count, ..], _) => (*count).min(MOST_RECORDS),
                    (_, Some(size)) => {
                        let count = size.checked_div(usize::from(*length)).unwrap_or_default();
                        u8::try_from(count).unwrap_or(u8::MAX).min(MOST_RECORDS)
                    }
                    _ => 0,
                };
                Content::Records { length: *length, count, cyclic: kind & 0x07 == 0x06 }
            }
            (0x39, _) => {
                let information = value(0xA5).unwrap_or_default();
                let size = |tag: u32| {
                    let size = apdu::tlv::Reader::new(information).find(Tag(tag)).ok().flatten();
                    size.map(|size| u32::try_from(number(size.value)).unwrap_or(u32::MAX))
                };
                let file_size = value(0x80).map_or(0, |size| u32::try_from(number(size)).unwrap_or(u32::MAX));
                Content::BerTlv { reserved: size(0x85).unwrap_or_default(), maximum: size(0x86).unwrap_or(file_size) }
            }
            _ => Content::None,
        };
        let sfi = match value(0x88) {
            Some([sfi]) => Some(sfi >> 3),
            // What has none answers an empty object; without the object it is the end of the file identifier.
            Some(_) => None,
            None => value(0x83).and_then(<[u8]>::last).map(|low| low & 0x1F),
        };
        Some(Self {
            is_directory,
            shareable: descriptor.first().is_some_and(|descriptor| descriptor & 0x40 != 0),
            life_cycle: value(0x8A).and_then(<[u8]>::first).copied(),
            security: [0x8B_u8, 0x8C, 0xAB].into_iter().find_map(|tag| Some((tag, value(tag.into())?.to_vec()))),
            fid: value(0x83).and_then(|fid| fid.try_into().ok()).map(u16::from_be_bytes),
            name: value(0x84).map(<[u8]>::to_vec),
            sfi: sfi.filter(|sfi| !is_directory && (1..=30).contains(sfi)),
            content,
            keys: value(0xC6).map(keys).unwrap_or_default(),
        })
    }
}

/// The keys of a PIN status template. TS 102 221 §9.5.2.
fn keys(template: &[u8]) -> Vec<(u8, bool)> {
    let (mut bitmap, mut references) = (Vec::new(), Vec::new());
    let mut objects = apdu::tlv::Reader::new(template);
    while let Ok(Some(object)) = objects.next() {
        match (object.tag, object.value) {
            (Tag(0x90), bits) => bitmap = bits.to_vec(),
            (Tag(0x83), [reference]) => references.push(*reference),
            _ => {}
        }
    }
    let is_set = |at: usize| bitmap.get(at / 8).is_some_and(|byte| byte & 0x80 >> (at % 8) != 0);
    references.into_iter().enumerate().map(|(at, reference)| (reference, is_set(at))).collect()
}

/// Commands that select a file, wherever the card is; the last one answers its control parameters.
pub(crate) fn select(path: &Path, answers: bool) -> Vec<Vec<u8>> {
    let p2 = if answers { 0x04 } else { 0x0C };
    let named = |p1: u8, p2: u8, data: &[u8]| {
        let lc = u8::try_from(data.len()).unwrap_or(u8::MAX);
        [&[0x00, 0xA4, p1, p2, lc], data].concat()
    };
    let below: Vec<u8> = path.below.iter().flat_map(|fid| fid.to_be_bytes()).collect();
    match (&path.application, path.below.as_slice()) {
        (None, []) => vec![named(0x00, p2, &MF.to_be_bytes())],
        (None, _) => vec![named(0x08, p2, &below)],
        (Some(aid), []) => vec![named(0x04, p2, aid)],
        (Some(aid), _) => vec![named(0x04, 0x0C, aid), named(0x08, p2, &[&[0x7F, 0xFF], below.as_slice()].concat())],
    }
}

/// The same where the application is selected already.
pub(crate) fn select_within(path: &Path) -> Vec<u8> {
    select(path, true).pop().unwrap_or_default()
}

/// File identifiers to try in a directory.
pub(crate) fn candidates(directory: &Path, thorough: bool) -> Vec<u16> {
    const AT_MF: [(u16, u16); 6] =
        [(0x2F00, 0x2FFF), (0x7F00, 0x7FFF), (0x6F00, 0x6FFF), (0x5F00, 0x5FFF), (0xA000, 0xA1FF), (0xA500, 0xA5FF)];
    const BELOW: [(u16, u16); 4] = [(0x6F00, 0x6FFF), (0x4F00, 0x4FFF), (0x5F00, 0x5FFF), (0xAF00, 0xAFFF)];
    const ALL: [(u16, u16); 1] = [(0x0000, 0xFFFF)];
    let ranges: &[(u16, u16)] = match directory {
        _ if thorough => &ALL,
        Path { application: None, below } if below.is_empty() => &AT_MF,
        _ => &BELOW,
    };
    let reserved = |fid: &u16| matches!(*fid, MF | 0x3FFF | 0x7FFF | 0xFFFF);
    ranges.iter().flat_map(|(from, to)| *from..=*to).filter(|fid| !reserved(fid)).collect()
}

/// Selects a file by commands; the last one's answer, if it found it.
pub(crate) fn selected(
    card: &mut (impl Transport + ?Sized),
    commands: &[Vec<u8>],
) -> Result<Option<Vec<u8>>, TransportError> {
    let Some((last, before)) = commands.split_last() else { return Ok(None) };
    for command in before {
        card.transmit(command)?;
    }
    let answer = exchange(card, last)?;
    let found = answer.sw.is_ok() || answer.sw.is_warning();
    Ok(found.then_some(answer.data))
}

/// The files directly below a directory, with their control parameters.
pub(crate) fn children(
    card: &mut (impl Transport + ?Sized),
    directory: &Path,
    known: &[LearnedFile],
    thorough: bool,
    mut told: impl FnMut(usize, usize),
) -> Result<Vec<LearnedFile>, TransportError> {
    let mut found = Vec::new();
    selected(card, &select(directory, false))?;
    let candidates = candidates(directory, thorough);
    for (number, fid) in candidates.iter().enumerate() {
        if number % 256 == 0 {
            told(number, candidates.len());
        }
        let path = directory.child(*fid);
        let mut command = select_within(&path);
        let mut first = card.transmit(&command)?;
        // Behind what was found the application may have to be selected again.
        if status_word(&first).is_some_and(|sw| sw.sw1() == 0x61) {
            command = vec![0x00, 0xC0, 0x00, 0x00, first.last().copied().unwrap_or_default()];
            first = card.transmit(&command)?;
        }
        let answer = response(&first)?;
        let answer = if answer.sw.is_warning() && answer.data.is_empty() {
            // A warning comes first, and the data are fetched.
            exchange(card, &select_within(&path))?
        } else {
            answer
        };
        if !answer.sw.is_ok() && !answer.sw.is_warning() || answer.data.is_empty() {
            continue;
        }
        let Some(shape) = Shape::of(&answer.data) else { continue };
        // What led elsewhere is no child; an ADF that has an identifier is known by its name.
        let is_child =
            shape.fid == Some(*fid) && shape.name.as_ref().is_none_or(|name| name.len() < 5 || !is_adf(known, name));
        if is_child && directory.below.len() < DEEPEST {
            found.push(LearnedFile { path, fcp: Octets(answer.data), ..LearnedFile::default() });
        }
    }
    told(candidates.len(), candidates.len());
    Ok(found)
}

fn is_adf(known: &[LearnedFile], name: &[u8]) -> bool {
    known.iter().any(|file| file.path.below.is_empty() && file.path.application.as_deref() == Some(name))
}

/// What reading a file came to.
pub(crate) enum Read {
    Content(Vec<u8>),
    Records(Vec<Octets>),
    /// Refused from the first command on.
    Refused(StatusWord),
    Nothing,
}

/// Reads the file that is selected.
pub(crate) fn read(card: &mut (impl Transport + ?Sized), content: Content) -> Result<Read, TransportError> {
    match content {
        Content::Transparent(size) => read_binary(card, size),
        Content::Records { length, count, .. } => read_records(card, length, count),
        Content::BerTlv { .. } | Content::None => Ok(Read::Nothing),
    }
}

/// Octets that one READ BINARY asks for.
const PIECE: usize = 0xFF;

fn read_binary(card: &mut (impl Transport + ?Sized), size: usize) -> Result<Read, TransportError> {
    let mut content = Vec::new();
    while content.len() < size.min(REACH) {
        let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
        let le = u8::try_from((size - content.len()).min(PIECE)).unwrap_or(u8::MAX);
        let answer = exchange(card, &[0x00, 0xB0, high, low, le])?;
        if !answer.sw.is_ok() && !answer.sw.is_warning() && content.is_empty() {
            return Ok(Read::Refused(answer.sw));
        }
        if answer.data.is_empty() {
            break;
        }
        content.extend(answer.data);
    }
    Ok(if size == 0 { Read::Nothing } else { Read::Content(content) })
}

fn read_records(card: &mut (impl Transport + ?Sized), length: u8, count: u8) -> Result<Read, TransportError> {
    let mut records = Vec::new();
    for record in 1..=count {
        let answer = exchange(card, &[0x00, 0xB2, record, 0x04, length])?;
        if !answer.sw.is_ok() && !answer.sw.is_warning() {
            if records.is_empty() {
                return Ok(Read::Refused(answer.sw));
            }
            records.push(Octets::default());
            continue;
        }
        records.push(Octets(answer.data));
    }
    Ok(if records.is_empty() { Read::Nothing } else { Read::Records(records) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_parameters_tell_the_shape() {
        let fcp = hex::decode("62178202412183022FE28A01058B032F06028002000A880110").unwrap();
        let shape = Shape::of(&fcp).unwrap();
        assert_eq!((shape.fid, shape.sfi, shape.content), (Some(0x2FE2), Some(2), Content::Transparent(10)));
        let fcp = hex::decode("621982054221002104 83022F00 8A0105 8B032F0602 80020084 8800".replace(' ', "")).unwrap();
        let shape = Shape::of(&fcp).unwrap();
        assert_eq!(shape.content, Content::Records { length: 0x21, count: 4, cyclic: false });
        assert_eq!((shape.sfi, shape.is_directory), (None, false));
        let mf = "62298202782183023F00A50C800171830400040B988701018A01058B032F0606C60990014083010183010A";
        let shape = Shape::of(&hex::decode(mf).unwrap()).unwrap();
        assert_eq!((shape.is_directory, shape.keys), (true, vec![(1, false), (0x0A, true)]));
        assert_eq!(Shape::of(&[0x6F, 0x00]), None);
        assert_eq!(Shape::of(&[0x62, 0x05, 0x82]), None);
    }

    #[test]
    fn no_size_is_taken_that_no_file_has() {
        let content = |fcp: &str| Shape::of(&hex::decode(fcp.replace(' ', "")).unwrap()).unwrap().content;
        assert_eq!(content("6212 82020121 83022FE2 8008FFFFFFFFFFFFFFFF"), Content::Transparent(0xFFFF));
        assert_eq!(content("620E 82020121 83022FE2 8004FFFFFFFF"), Content::Transparent(0xFFFF));
        assert_eq!(content("620B 82054221000001 83022FE2"), Content::None, "no records without octets");
        assert_eq!(content("620B 82054221010001 83022FE2"), Content::None, "nor of more than 255");
        let most = Content::Records { length: 1, count: MOST_RECORDS, cyclic: false };
        assert_eq!(content("620B 820542210001FF 83022FE2"), most);
    }
}
