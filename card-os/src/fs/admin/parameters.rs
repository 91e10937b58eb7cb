//! The file control parameters in the data of CREATE FILE and RESIZE FILE. TS 102 222 §6.3.2.2, §6.10.2.

use crate::fs::{FileId, LifeCycle, Security, Structure, fcp, with_reserve};
use apdu::StatusWord;
use apdu::tlv::{Reader, Tag, Tlv, Writer};

const COMPACT: Tag = Tag(0x8C);
const REFERENCED: Tag = Tag(0x8B);
const EXPANDED: Tag = Tag(0xAB);
const FILLING_PATTERN: Tag = Tag(0xC1);
const REPEAT_PATTERN: Tag = Tag(0xC2);

/// Most records that a file can have. TS 102 221 §8.2.2.2.
const MOST_RECORDS: u32 = 254;

/// What a template says; each object at most once.
#[derive(Default)]
pub(super) struct Parameters<'a> {
    pub(super) descriptor: Option<Descriptor>,
    pub(super) fid: Option<FileId>,
    pub(super) name: Option<&'a [u8]>,
    pub(super) life_cycle: Option<LifeCycle>,
    pub(super) security: Option<Security>,
    pub(super) size: Option<u32>,
    pub(super) total_size: Option<u32>,
    pub(super) short_id: Option<ShortId>,
    pub(super) pins: Option<Vec<u8>>,
    pub(super) proprietary: Option<Proprietary<'a>>,
}

/// The file descriptor, tag `82`.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) shareable: bool,
    pub(super) form: Form,
}

/// What kind of file a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Directory,
    Transparent,
    Records { cyclic: bool, length: u8, count: Option<u8> },
    BerTlv,
}

/// The short file identifier, tag `88`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ShortId {
    None,
    Given(u8),
}

/// The proprietary information, tag `A5`.
#[derive(Default)]
pub(super) struct Proprietary<'a> {
    pub(super) special: Option<u8>,
    pub(super) filling: Filling<'a>,
    pub(super) reserved: Option<u32>,
    pub(super) maximum: Option<u32>,
    /// Objects that the card keeps and answers as they are.
    pub(super) other: Vec<u8>,
}

/// What a new file holds, tags `C1` and `C2`. TS 102 222 table 4a.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Filling<'a> {
    /// `FF`.
    #[default]
    Usual,
    /// A pattern, then its last byte, in the file or in each of its records.
    Pattern(&'a [u8]),
    /// A pattern again and again, likewise.
    Repeated(&'a [u8]),
}

impl Filling<'_> {
    /// The content of a file that has just been created.
    pub(super) fn content(self, structure: Structure) -> Vec<u8> {
        const USUAL: u8 = 0xFF;
        let part = match structure {
            Structure::BerTlv { reserved, .. } => return with_reserve(Vec::new(), reserved as usize),
            Structure::Transparent { size } => size as usize,
            Structure::LinearFixed { record_length, .. } | Structure::Cyclic { record_length, .. } => {
                usize::from(record_length)
            }
        };
        let mut content = vec![USUAL; structure.size() as usize];
        for part in content.chunks_mut(part.max(1)) {
            match self {
                Self::Usual => {}
                Self::Pattern(pattern) => {
                    let last = pattern.last().into_iter().cycle();
                    part.iter_mut().zip(pattern.iter().chain(last)).for_each(|(byte, value)| *byte = *value);
                }
                Self::Repeated(pattern) => {
                    part.iter_mut().zip(pattern.iter().cycle()).for_each(|(byte, value)| *byte = *value);
                }
            }
        }
        content
    }
}

/// Takes an object that may come once.
fn once<T>(slot: &mut Option<T>, value: Result<T, StatusWord>) -> Result<(), StatusWord> {
    if slot.replace(value?).is_some() { Err(StatusWord::WRONG_DATA) } else { Ok(()) }
}

impl<'a> Parameters<'a> {
    /// Reads the template `62`, which is all of the data.
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, StatusWord> {
        if data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let template = Tlv::parse(data).map_err(|_| StatusWord::WRONG_DATA)?;
        if template.tag != fcp::FCP_TEMPLATE {
            return Err(StatusWord::WRONG_DATA);
        }
        let (mut parameters, mut objects) = (Self::default(), template.children());
        while let Some(object) = objects.next().map_err(|_| StatusWord::WRONG_DATA)? {
            parameters.take(&object)?;
        }
        Ok(parameters)
    }

    fn take(&mut self, object: &Tlv<'a>) -> Result<(), StatusWord> {
        let value = object.value;
        match object.tag {
            fcp::FILE_SIZE => once(&mut self.size, size(value)),
            fcp::TOTAL_FILE_SIZE => once(&mut self.total_size, size(value)),
            fcp::FILE_DESCRIPTOR => once(&mut self.descriptor, descriptor(value)),
            fcp::FILE_IDENTIFIER => once(&mut self.fid, file_id(value)),
            fcp::DF_NAME => once(&mut self.name, Ok(value)),
            fcp::SHORT_FILE_IDENTIFIER => once(&mut self.short_id, short_id(value)),
            fcp::LIFE_CYCLE_STATUS => once(&mut self.life_cycle, life_cycle(value)),
            REFERENCED | COMPACT | EXPANDED => once(&mut self.security, security(object)),
            fcp::PIN_STATUS => once(&mut self.pins, pins(object)),
            fcp::PROPRIETARY => once(&mut self.proprietary, Proprietary::parse(object)),
            _ => Err(StatusWord::WRONG_DATA),
        }
    }

    /// The structure of the EF that this describes.
    pub(super) fn structure(&self, form: Form) -> Result<Structure, StatusWord> {
        let proprietary = self.proprietary.as_ref();
        let reserved = proprietary.and_then(|info| info.reserved);
        let maximum = proprietary.and_then(|info| info.maximum);
        if form != Form::BerTlv && (reserved.is_some() || maximum.is_some()) {
            return Err(StatusWord::WRONG_DATA);
        }
        let size = self.size.filter(|size| *size > 0).ok_or(StatusWord::WRONG_DATA);
        match form {
            Form::Transparent => Ok(Structure::Transparent { size: size? }),
            Form::Records { cyclic, length, count } => {
                let records = records_in(size?, length)?;
                if count.is_some_and(|count| count != records) {
                    return Err(StatusWord::WRONG_DATA);
                }
                let record_length = length;
                Ok(if cyclic {
                    Structure::Cyclic { record_length, records }
                } else {
                    Structure::LinearFixed { record_length, records }
                })
            }
            Form::BerTlv => {
                let most = maximum.or(self.size).or(reserved).filter(|most| *most > 0).ok_or(StatusWord::WRONG_DATA)?;
                let reserved = reserved.unwrap_or(if maximum.is_some() { 0 } else { most });
                if reserved > most {
                    return Err(StatusWord::WRONG_DATA);
                }
                Ok(Structure::BerTlv { reserved, maximum: most })
            }
            Form::Directory => Err(StatusWord::WRONG_DATA),
        }
    }
}

impl<'a> Proprietary<'a> {
    fn parse(template: &Tlv<'a>) -> Result<Self, StatusWord> {
        let (mut info, mut objects, mut other) = (Self::default(), template.children(), Writer::new());
        let mut filling = None;
        while let Some(object) = objects.next().map_err(|_| StatusWord::WRONG_DATA)? {
            let pattern = || if object.value.is_empty() { Err(StatusWord::WRONG_DATA) } else { Ok(object.value) };
            match object.tag {
                fcp::SPECIAL_FILE_INFORMATION => once(&mut info.special, one(object.value))?,
                FILLING_PATTERN => once(&mut filling, pattern().map(Filling::Pattern))?,
                REPEAT_PATTERN => once(&mut filling, pattern().map(Filling::Repeated))?,
                fcp::RESERVED_FILE_SIZE => once(&mut info.reserved, size(object.value))?,
                fcp::MAXIMUM_FILE_SIZE => once(&mut info.maximum, size(object.value))?,
                // What the card says of itself and of how it stores objects is not for the terminal to choose.
                fcp::UICC_CHARACTERISTICS
                | fcp::AVAILABLE_MEMORY
                | fcp::FILE_DETAILS
                | fcp::SUPPORTED_SYSTEM_COMMANDS => {}
                _ => drop(other.raw(object.raw)),
            }
        }
        Ok(Self { filling: filling.unwrap_or_default(), other: other.into_bytes(), ..info })
    }

    /// Whether it says what only an EF has.
    pub(super) const fn is_of_ef(&self) -> bool {
        self.special.is_some()
            || self.reserved.is_some()
            || self.maximum.is_some()
            || !matches!(self.filling, Filling::Usual)
    }
}

/// How many records of a length a size makes; no part of one may be left.
pub(super) fn records_in(size: u32, record_length: u8) -> Result<u8, StatusWord> {
    let length = u32::from(record_length);
    let whole = size.checked_div(length).filter(|count| count * length == size && (1..=MOST_RECORDS).contains(count));
    whole.and_then(|count| u8::try_from(count).ok()).ok_or(StatusWord::WRONG_DATA)
}

fn one(value: &[u8]) -> Result<u8, StatusWord> {
    match value {
        [byte] => Ok(*byte),
        _ => Err(StatusWord::WRONG_DATA),
    }
}

/// A number of one to four bytes.
fn size(value: &[u8]) -> Result<u32, StatusWord> {
    if !(1..=4).contains(&value.len()) {
        return Err(StatusWord::WRONG_DATA);
    }
    Ok(value.iter().fold(0, |size, byte| size << 8 | u32::from(*byte)))
}

/// Identifiers that ISO/IEC 7816-4 §8.2.1.1 and TS 102 221 §8.6 keep for something else are no names of new files; RESIZE FILE
/// looks them up.
fn file_id(value: &[u8]) -> Result<FileId, StatusWord> {
    match value {
        [high, low] => Ok(FileId(u16::from_be_bytes([*high, *low]))),
        _ => Err(StatusWord::WRONG_DATA),
    }
}

fn life_cycle(value: &[u8]) -> Result<LifeCycle, StatusWord> {
    match one(value)? {
        // Creation, initialisation, operational; nothing is created terminated.
        state @ (0x01 | 0x03..=0x07) => Ok(LifeCycle(state)),
        _ => Err(StatusWord::WRONG_DATA),
    }
}

fn short_id(value: &[u8]) -> Result<ShortId, StatusWord> {
    match value {
        [] => Ok(ShortId::None),
        [byte] if byte % 8 == 0 && (1..=30).contains(&(byte >> 3)) => Ok(ShortId::Given(byte >> 3)),
        _ => Err(StatusWord::WRONG_DATA),
    }
}

/// TS 102 221 table 11.5.
fn descriptor(value: &[u8]) -> Result<Descriptor, StatusWord> {
    const SHAREABLE: u8 = 0x40;
    let records = |cyclic, length: &[u8; 2], count: Option<u8>| match length {
        [0, length @ 1..=0xFF] => Ok(Form::Records { cyclic, length: *length, count }),
        _ => Err(StatusWord::WRONG_DATA),
    };
    let (kind, form) = match value {
        [kind, _coding] => (kind, None),
        [kind, _coding, high, low] => (kind, Some(([*high, *low], None))),
        [kind, _coding, high, low, count] => (kind, Some(([*high, *low], Some(*count)))),
        _ => return Err(StatusWord::WRONG_DATA),
    };
    let form = match (kind & !SHAREABLE, form) {
        (fcp::DIRECTORY, None) => Form::Directory,
        (0x01, None) => Form::Transparent,
        (0x02, Some((length, count))) => records(false, &length, count)?,
        (0x06, Some((length, count))) => records(true, &length, count)?,
        (0x39, None) => Form::BerTlv,
        _ => return Err(StatusWord::WRONG_DATA),
    };
    Ok(Descriptor { shareable: kind & SHAREABLE != 0, form })
}

/// TS 102 221 §11.1.1.4.7.
fn security(object: &Tlv<'_>) -> Result<Security, StatusWord> {
    let is_whole = match object.tag {
        EXPANDED => {
            let mut rules = Reader::new(object.value);
            while rules.next().map_err(|_| StatusWord::WRONG_DATA)?.is_some() {}
            !object.value.is_empty()
        }
        COMPACT => !object.value.is_empty(),
        _ => true,
    };
    let security = u8::try_from(object.tag.0).ok().and_then(|tag| Security::from_object(tag, object.value));
    security.filter(|_| is_whole).ok_or(StatusWord::WRONG_DATA)
}

/// The key references of a PIN status template. Which of them are enabled is as it is, whatever the bits say. TS 102 221 §9.5.2.
fn pins(template: &Tlv<'_>) -> Result<Vec<u8>, StatusWord> {
    let (mut keys, mut bits, mut objects) = (Vec::new(), None, template.children());
    while let Some(object) = objects.next().map_err(|_| StatusWord::WRONG_DATA)? {
        match (object.tag, object.value) {
            (fcp::PS_DO, [_, ..]) => once(&mut bits, Ok(object.value.len() * 8))?,
            (fcp::USAGE_QUALIFIER, [_]) => {}
            (fcp::KEY_REFERENCE, [reference]) if !keys.contains(reference) => keys.push(*reference),
            _ => return Err(StatusWord::WRONG_DATA),
        }
    }
    if bits.is_none_or(|bits| bits < keys.len()) { Err(StatusWord::WRONG_DATA) } else { Ok(keys) }
}
