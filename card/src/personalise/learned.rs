//! A UICC made from what was learned of another card.
//!
//! Its files have the control parameters and contents of that card, its access rules are those that stand there, and its dialect
//! is the learned one. What a card tells nobody is supplied: network keys and codes by a subscriber, else codes are random.

use super::{NewCard, PersonalisationError, finish};
use crate::image::CardType;
use apdu::Aid;
use applets::kind;
use card_os::dialect::{Dialect, Habits, Rule};
use card_os::fs::{
    File, FileId, FileKind, FileNumber, KeyReference, LifeCycle, PathError, Pin, PinAttributes, PinConfiguration, Puk,
    Security, Structure,
};
use card_os::{CardProfile, DomainImage, Entropy};
use saip::ProfileElement;
use saip::aka::AkaParameter;
use saip::builder::{Code, Subscriber, build};
use std::collections::BTreeMap;
use twin::{Content, Learned, LearnedFile, Path, ReadAccess, Shape};
use zeroize::Zeroizing;

/// A card to be made from what was learned.
#[derive(Debug)]
pub struct Twin<'a> {
    /// What was learned.
    pub learned: &'a Learned,
    /// Answer to reset, memory sizes, channels.
    pub card: CardProfile,
    /// Network keys and codes, where somebody knows them.
    pub subscriber: Option<&'a Subscriber>,
    /// What it is called.
    pub name: Option<String>,
    /// Seconds since 1970.
    pub now: u64,
}

/// What of a description no card can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlearnable {
    /// The MF is not the first file, or is not there.
    #[error("the first file is the MF, 3F00")]
    NoMf,
    /// Control parameters without a file descriptor.
    #[error("{0}: its fcp has no file descriptor, tag 82")]
    Shape(Path),
    /// More than any card has.
    #[error("{0}: with it the files have more than 16 MiB")]
    Large(Path),
    /// The same file twice, or a file in no directory.
    #[error("{0}: it is there twice, or lies in no directory")]
    Place(Path),
    /// An application without a proper name.
    #[error("an AID has 5 to 16 octets, not {0}")]
    Aid(usize),
    /// A row of the dialect.
    #[error("the dialect: {0}")]
    Dialect(String),
    /// What a subscriber file says contradicts itself.
    #[error("the subscriber: {0}")]
    Subscriber(String),
}

/// The dialect in a description.
///
/// # Errors
/// A habit or a rule is none.
pub fn dialect(learned: &Learned) -> Result<Dialect, Unlearnable> {
    let habit = |name: &String| {
        Habits::named(name).ok_or_else(|| {
            let names: Vec<_> = Habits::NAMES.iter().map(|(_, name)| *name).collect();
            Unlearnable::Dialect(format!("there is no habit {name:?}; there are {}", names.join(", ")))
        })
    };
    let habits = learned.dialect.habits.iter().map(habit).collect::<Result<Vec<_>, _>>()?;
    let rules = learned.dialect.rules.iter().map(|rule| rule.parse::<Rule>());
    Ok(Dialect {
        habits: habits.into_iter().fold(Habits::NONE, Habits::and),
        rules: rules.collect::<Result<_, _>>().map_err(|error| Unlearnable::Dialect(error.to_string()))?,
    })
}

/// Makes the card.
///
/// # Errors
/// What was learned makes no card, or one that is larger than its memory.
pub fn twin(description: &Twin<'_>, entropy: &mut dyn Entropy) -> Result<NewCard, PersonalisationError> {
    let learned = description.learned;
    let mut card = description.card.clone();
    card.dialect = dialect(learned)?;
    card.gsm = learned.class_a0;
    let mut making = Making { image: DomainImage::new(), octets: 0, numbers: BTreeMap::new() };
    for file in &learned.files {
        making.file(file)?;
    }
    if making.numbers.is_empty() {
        return Err(Unlearnable::NoMf.into());
    }
    making.pins(learned, description.subscriber, entropy);
    making.applications(learned, description.subscriber)?;
    // What a card holds it has room for, and some is left.
    let needed = making.image.size();
    card.non_volatile_memory = card.non_volatile_memory.max(needed + needed / 2);
    let mut made = finish(CardType::Uicc, &card, description.now, None, (making.image, Vec::new(), None))?;
    made.manufacture.like.clone_from(&description.name);
    Ok(made)
}

/// Of an ADF that tells none: reserved, so that nothing finds it.
const NO_FID: u16 = 0xFFFF;

/// Octets of all contents together, at most: many times what cards have.
const MOST_OCTETS: usize = 16 << 20;

struct Making {
    image: DomainImage,
    /// Octets of the contents so far.
    octets: usize,
    numbers: BTreeMap<Path, FileNumber>,
}

/// What may be read, and nothing else may be done: access rules in expanded format. TS 102 221 §9.2.4.
const READ_ALWAYS: [u8; 5] = [0x80, 0x01, 0x01, 0x90, 0x00];
const READ_NEVER: [u8; 5] = [0x80, 0x01, 0x01, 0x97, 0x00];

impl Making {
    fn file(&mut self, learned: &LearnedFile) -> Result<(), Unlearnable> {
        let path = &learned.path;
        let is_mf = *path == Path::mf();
        if is_mf != self.numbers.is_empty() {
            return Err(if is_mf { Unlearnable::Place(path.clone()) } else { Unlearnable::NoMf });
        }
        let shape = match Shape::of(&learned.fcp.0) {
            Some(shape) => shape,
            // Cards have been met that do not tell of their MF.
            None if is_mf => Shape { is_directory: true, shareable: true, ..Shape::default() },
            None => return Err(Unlearnable::Shape(path.clone())),
        };
        let parent = match path.parent() {
            Some(parent) => *self.numbers.get(&parent).ok_or_else(|| Unlearnable::Place(path.clone()))?,
            None => FileNumber::MF,
        };
        let (kind, content) = kind_and_content(learned, &shape)?;
        self.octets = self.octets.saturating_add(content.len());
        if self.octets > MOST_OCTETS {
            return Err(Unlearnable::Large(path.clone()));
        }
        let security = shape.security.as_ref().and_then(|(tag, value)| Security::from_object(*tag, value));
        let access = match learned.read {
            Some(ReadAccess::Always) => Security::Expanded(READ_ALWAYS.to_vec()),
            Some(ReadAccess::Never) => Security::Expanded(READ_NEVER.to_vec()),
            None => security.unwrap_or_else(|| Security::Expanded(READ_ALWAYS.to_vec())),
        };
        let fid = FileId(path.below.last().copied().or(shape.fid).unwrap_or(if is_mf { FileId::MF.0 } else { NO_FID }));
        let file = File {
            sfi: shape.sfi,
            life_cycle: shape.life_cycle.map_or(LifeCycle::ACTIVATED, LifeCycle),
            shareable: shape.shareable,
            pin_status: shape.keys.iter().map(|(key, _)| *key).collect(),
            template: learned.fcp.0.clone(),
            ..File::new(fid, parent, kind, access)
        };
        let added = self.image.add_file(file, content).map_err(|_: PathError| Unlearnable::Place(path.clone()))?;
        self.numbers.insert(path.clone(), added);
        Ok(())
    }

    /// PINs and keys in the states that the card told. Their values are the subscriber's, or random.
    fn pins(&mut self, learned: &Learned, subscriber: Option<&Subscriber>, entropy: &mut dyn Entropy) {
        const USUAL_TRIES: u8 = 3;
        const USUAL_PUK_TRIES: u8 = 10;
        let mut random = || {
            let mut value = Zeroizing::new([0; 8]);
            entropy.fill(value.as_mut_slice());
            value
        };
        for learned in &learned.pins {
            let Some(at) = self.numbers.get(&learned.at).copied() else { continue };
            let Some(reference) = learned.reference.0.first().copied().map(KeyReference) else { continue };
            let codes = subscriber.map(|subscriber| &subscriber.codes);
            let (code, puk) = match (reference, codes) {
                (KeyReference::PIN_APPL_1, Some(codes)) => (Some(&codes.pin1), Some(&codes.puk1)),
                (KeyReference::SECOND_PIN_APPL_1, Some(codes)) => (Some(&codes.pin2), Some(&codes.puk2)),
                (KeyReference::ADM1, Some(codes)) => (Some(&codes.adm1), None),
                _ => (None, None),
            };
            let known = |code: Option<&twin::KnownCode>| {
                code.and_then(|code| code.0.0.as_slice().try_into().ok()).map(Zeroizing::new)
            };
            let puk = learned.puk_tries.map(|tries| Puk {
                value: known(learned.puk_code.as_ref()).or_else(|| puk.and_then(padded)).unwrap_or_else(&mut random),
                tries,
                maximum_tries: tries.max(USUAL_PUK_TRIES),
            });
            let pin = Pin {
                value: known(learned.code.as_ref()).or_else(|| code.and_then(padded)).unwrap_or_else(&mut random),
                enabled: learned.enabled,
                replaced: false,
                attributes: PinAttributes(
                    PinAttributes::ENABLED | PinAttributes::CHANGEABLE | PinAttributes::DISABLEABLE,
                ),
                tries: learned.tries,
                maximum_tries: learned.tries.max(USUAL_TRIES),
                unblocking: puk.is_some().then_some(reference),
            };
            self.image.add_pin(at, PinConfiguration::Pin(reference, pin));
            if let Some(puk) = puk {
                self.image.add_pin(at, PinConfiguration::Puk(reference, puk));
            }
        }
    }

    fn applications(&mut self, learned: &Learned, subscriber: Option<&Subscriber>) -> Result<(), Unlearnable> {
        let keys = subscriber.map(network_keys).transpose()?.flatten();
        for application in &learned.applications {
            let octets = &application.aid.0;
            let aid = Aid::new(octets).map_err(|_| Unlearnable::Aid(octets.len()))?;
            let adf = self.numbers.get(&Path::adf(octets)).copied();
            self.image.add_application(match (adf, &application.fci) {
                (Some(adf), _) => applets::with_files(aid, kind::of_files(&aid), adf, keys.as_ref()),
                (None, fci) => applets::opaque::new_application(aid, fci.as_ref().map_or(&[], |fci| &fci.0)),
            });
        }
        Ok(())
    }
}

/// The content of a file as its structure wants it; what is not known is `FF`.
fn kind_and_content(learned: &LearnedFile, shape: &Shape) -> Result<(FileKind, Vec<u8>), Unlearnable> {
    const UNKNOWN: u8 = 0xFF;
    let wrong = || Unlearnable::Shape(learned.path.clone());
    if shape.is_directory {
        return Ok(match (learned.path.below.is_empty(), &learned.path.application) {
            (true, Some(aid)) => (FileKind::Adf(Aid::new(aid).map_err(|_| Unlearnable::Aid(aid.len()))?), Vec::new()),
            (true, None) => (FileKind::Mf, Vec::new()),
            _ => (FileKind::Df, Vec::new()),
        });
    }
    let known = learned.content.as_ref().map(|content| content.0.clone()).unwrap_or_default();
    Ok(match shape.content {
        Content::Transparent(size) => {
            let octets = u32::try_from(size).map_err(|_| wrong())?;
            let mut content = known;
            content.resize(size, UNKNOWN);
            let size = octets;
            (FileKind::Ef(Structure::Transparent { size }), content)
        }
        Content::Records { length, count, cyclic } => {
            let records = learned.records.as_deref().unwrap_or_default();
            let mut content = Vec::new();
            for number in 0..usize::from(count) {
                let mut record = records.get(number).map(|record| record.0.clone()).unwrap_or_default();
                record.resize(length.into(), UNKNOWN);
                content.extend(record);
            }
            let structure = if cyclic {
                Structure::Cyclic { record_length: length, records: count }
            } else {
                Structure::LinearFixed { record_length: length, records: count }
            };
            (FileKind::Ef(structure), content)
        }
        Content::BerTlv { reserved, maximum } => (FileKind::Ef(Structure::BerTlv { reserved, maximum }), Vec::new()),
        // How it is organised is not known: SELECT answers as it did, and there is nothing to read.
        Content::None => (FileKind::Ef(Structure::Transparent { size: 0 }), Vec::new()),
    })
}

/// A code as a terminal sends it: eight octets, filled with `FF`; sixteen hexadecimal digits are the octets.
fn padded(code: &Code) -> Option<Zeroizing<[u8; 8]>> {
    let digits = code.expose();
    let mut octets = Zeroizing::new([0xFF; 8]);
    if digits.len() == 16 {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
            *octet = digit(pair.first()?)? << 4 | digit(pair.get(1)?)?;
        }
        return Some(octets);
    }
    octets.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(octets)
}

/// Algorithm, key and sequence numbers, as a profile of this subscriber has them.
fn network_keys(subscriber: &Subscriber) -> Result<Option<AkaParameter>, Unlearnable> {
    let elements = build(subscriber).map_err(|error| Unlearnable::Subscriber(error.to_string()))?;
    Ok(elements.into_iter().find_map(|element| match element {
        ProfileElement::AkaParameter(parameters) => Some(*parameters),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::ChaCha;

    fn made(fcp: &str) -> Result<NewCard, PersonalisationError> {
        let file = |path, fcp| LearnedFile { path, fcp, ..LearnedFile::default() };
        let mf = file(Path::mf(), octets("6208 82027821 83023F00"));
        let learned = Learned { files: vec![mf, file(Path::mf().child(0x2FE2), octets(fcp))], ..Learned::default() };
        let card = CardProfile::default();
        let description = Twin { learned: &learned, card, subscriber: None, name: None, now: 0 };
        super::twin(&description, &mut ChaCha::from_number(1))
    }

    fn octets(hex: &str) -> twin::Octets {
        twin::Octets(hex::decode(hex.replace(' ', "")).unwrap())
    }

    #[test]
    fn a_size_that_no_file_has_takes_no_memory() {
        assert!(made("6212 82020121 83022FE2 8008FFFFFFFFFFFFFFFF").is_ok());
        assert!(made("620E 82020121 83022FE2 8004FFFFFFFF").is_ok());
    }

    #[test]
    fn a_file_of_unknown_structure_is_there_and_empty() {
        for descriptor in ["82020421", "82020021", "82054221010001", "82054221000001"] {
            let rest = format!("{descriptor}83022FE280020010");
            let fcp = format!("62{:02X}{rest}", rest.len() / 2);
            assert!(made(&fcp).is_ok(), "{fcp}");
        }
    }
}
