//! GET DATA, and which data objects STORE DATA writes. GlobalPlatform §11.3, §11.11.

use super::secure_channel::{self, DIVERSIFICATION_DATA, SecureChannels};
use super::{keys, offers, parameters};
use crate::kind;
use apdu::tlv::{Reader, Tag, Writer};
use apdu::{Command, StatusWord};
use card_os::Context;
use card_os::fs::FileId;
use crypto::scp::Kind;
use saip::security_domain::KeyObject;

/// Tags of data objects.
mod tag {
    pub(crate) const ISSUER_IDENTIFICATION_NUMBER: u16 = 0x0042;
    pub(crate) const CARD_IMAGE_NUMBER: u16 = 0x0045;
    pub(crate) const CARD_DATA: u16 = 0x0066;
    pub(crate) const CARD_CAPABILITY: u16 = 0x0067;
    pub(crate) const SEQUENCE_COUNTER: u16 = 0x00C1;
    pub(crate) const CONFIRMATION_COUNTER: u16 = 0x00C2;
    pub(crate) const DIVERSIFICATION_DATA: u16 = 0x00CF;
    pub(crate) const SECURITY_LEVEL: u16 = 0x00D3;
    pub(crate) const KEY_INFORMATION: u16 = 0x00E0;
    pub(crate) const APPLICATIONS: u16 = 0x2F00;
    pub(crate) const MANAGER_URL: u16 = 0x5F50;
    pub(crate) const PRODUCTION_LIFE_CYCLE: u16 = 0x9F7F;
    pub(crate) const CARD_RESOURCES: u16 = 0xFF21;
}

/// The data objects that STORE DATA writes, each with its number among those that the security domain keeps. §11.11.2.3.
const STORED: [(u16, u16); 7] = [
    (tag::ISSUER_IDENTIFICATION_NUMBER, keys::item::DATA),
    (tag::CARD_IMAGE_NUMBER, keys::item::DATA + 1),
    (tag::CARD_DATA, keys::item::DATA + 2),
    (tag::CARD_CAPABILITY, keys::item::DATA + 3),
    (tag::DIVERSIFICATION_DATA, keys::item::DATA + 4),
    (tag::MANAGER_URL, keys::item::DATA + 5),
    (tag::PRODUCTION_LIFE_CYCLE, keys::item::DATA + 6),
];

/// The number of a data object that is kept.
pub(crate) fn item_of(tag: u16) -> Option<u16> {
    STORED.iter().find(|(known, _)| *known == tag).map(|(_, item)| *item)
}

/// A data object of a tag with two octets, or with one behind a zero.
fn object(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut object = Writer::new();
    object.primitive(Tag(tag.into()), value);
    object.into_bytes()
}

/// GET DATA: what was stored, else what the card knows of itself.
pub(crate) fn get(
    command: &Command<'_>,
    channels: &SecureChannels,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<u8>, StatusWord> {
    get_of(identity(cx).as_deref(), command, channels, cx)
}

/// GET DATA on a card that these digits identify.
pub(crate) fn get_of(
    identity: Option<&[u8]>,
    command: &Command<'_>,
    channels: &SecureChannels,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<u8>, StatusWord> {
    let tag = command.p1_p2();
    if let Some(stored) = item_of(tag).and_then(|item| cx.get(item)) {
        return Ok(object(tag, stored));
    }
    // What a package says of secure channels may be less than the keys that it has, or that came later.
    let is_outdated = tag == tag::CARD_DATA && keys::has_set(cx);
    if let Some(stored) = personalised_with(tag, cx)?.filter(|_| !is_outdated) {
        return Ok(stored);
    }
    match tag {
        tag::ISSUER_IDENTIFICATION_NUMBER | tag::CARD_IMAGE_NUMBER => {
            let identity = identity.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
            let own = if tag == tag::CARD_IMAGE_NUMBER { identity.len() } else { IIN_LENGTH.min(identity.len()) };
            Ok(object(tag, identity.get(..own).unwrap_or_default()))
        }
        tag::CARD_DATA if is_outdated => card_data(cx),
        tag::SEQUENCE_COUNTER => sequence_counter(cx),
        tag::CONFIRMATION_COUNTER => Ok(object(tag, &[0, 0])),
        tag::DIVERSIFICATION_DATA => Ok(object(tag, &DIVERSIFICATION_DATA)),
        tag::SECURITY_LEVEL => {
            let session = channels.session(command.class.channel());
            // Authenticated, and what protects. §10.6.
            Ok(object(tag, &[session.map_or(0, |session| 0x80 | session.level().0)]))
        }
        tag::KEY_INFORMATION => Ok(key_information(&keys::all(cx)?)),
        tag::APPLICATIONS => Ok(list_of_applications(cx)),
        tag::PRODUCTION_LIFE_CYCLE => Ok(object(tag, &[0; PRODUCTION_LIFE_CYCLE_LENGTH])),
        tag::CARD_RESOURCES => Ok(card_resources(cx)),
        _ => Err(StatusWord::REFERENCED_DATA_NOT_FOUND),
    }
}

/// Octets of the issuer identification number.
const IIN_LENGTH: usize = 4;
/// Octets of the card production life cycle data: fabricator, type, system, dates and serial numbers.
const PRODUCTION_LIFE_CYCLE_LENGTH: usize = 42;

/// The digits by which the card is known: its ICCID, in their order.
fn identity(cx: &Context<'_, '_>) -> Option<Vec<u8>> {
    const EF_ICCID: FileId = FileId(0x2FE2);
    let iccid = cx.file(&[FileId::MF, EF_ICCID])?;
    Some(iccid.iter().map(|octet| octet.rotate_left(4)).collect())
}

/// What the install parameters personalise the security domain with.
fn personalised_with(tag: u16, cx: &Context<'_, '_>) -> Result<Option<Vec<u8>>, StatusWord> {
    if cx.record().kind != kind::SECURITY_DOMAIN {
        return Ok(None);
    }
    let mut personalisation = parameters(cx)?.sd_perso_data.into_iter().flatten();
    Ok(personalisation.find_map(|body| personalised(&body, Tag(tag.into())).map(<[u8]>::to_vec)))
}

/// The data object with this tag in a STORE DATA body of data grouping identifiers, tag and length included.
fn personalised(mut body: &[u8], tag: Tag) -> Option<&[u8]> {
    while let Some((_, value, rest)) = group(body) {
        if let Ok(Some(object)) = Reader::new(value).find(tag) {
            return Some(object.raw);
        }
        body = rest;
    }
    None
}

/// The first data group: its identifier, its value, and what is behind. §11.1.12.
pub(crate) fn group(body: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (identifier, rest) = body.split_first_chunk::<2>()?;
    let (length, rest) = match rest.split_first()? {
        (0xFF, rest) => rest.split_first_chunk().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?,
        (length, rest) => (usize::from(*length), rest),
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((u16::from_be_bytes(*identifier), value, rest))
}

/// Card recognition data. §H.2: GlobalPlatform 2.2, how the card is identified, and the protocols it has keys for.
fn card_data(cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
    /// `{globalPlatform ...}`, of which all identifiers here are branches.
    const GLOBAL_PLATFORM: [u8; 6] = [0x2A, 0x86, 0x48, 0x86, 0xFC, 0x6B];
    let offers = offers(cx)?;
    let identifier = |branch: &[u8]| [&GLOBAL_PLATFORM[..], branch].concat();
    let mut protocols = Vec::new();
    for key in keys::all(cx)? {
        let version = key.key_version_number[0];
        let protocol = match keys::set(cx, version).filter(|set| set.version == version).map(|set| set.kind) {
            Some(Kind::Des) => [0x04, 0x02, offers.scp02.0],
            Some(Kind::Aes) => [0x04, 0x03, offers.scp03.0],
            None if version <= 0x0F => [0x04, 0x80, 0x00],
            None => continue,
        };
        if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    let mut data = Writer::new();
    data.constructed(Tag(0x66), |data| {
        data.constructed(Tag(0x73), |data| {
            data.primitive(Tag(0x06), &identifier(&[0x01]));
            data.constructed(Tag(0x60), |data| {
                data.primitive(Tag(0x06), &identifier(&[0x02, 0x02, 0x02]));
            });
            data.constructed(Tag(0x63), |data| {
                data.primitive(Tag(0x06), &identifier(&[0x03]));
            });
            for protocol in &protocols {
                data.constructed(Tag(0x64), |data| {
                    data.primitive(Tag(0x06), &identifier(protocol));
                });
            }
        });
    });
    Ok(data.into_bytes())
}

/// The sequence counter of the key set that is used without a version.
fn sequence_counter(cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
    let set = keys::set(cx, 0).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
    Ok(match set.kind {
        Kind::Des => object(tag::SEQUENCE_COUNTER, &secure_channel::sequence_scp02(&set, cx).to_be_bytes()),
        Kind::Aes => object(tag::SEQUENCE_COUNTER, &secure_channel::sequence_scp03(&set, cx)),
    })
}

/// E0 with a C0 for each key: identifier, version, then type and length of each part.
fn key_information(keys: &[KeyObject]) -> Vec<u8> {
    const TEMPLATE: Tag = Tag(0xE0);
    const KEY: Tag = Tag(0xC0);
    let mut information = Writer::new();
    information.constructed(TEMPLATE, |template| {
        for key in keys {
            let mut entry = [key.key_identifier, key.key_version_number].concat();
            for component in &key.key_components {
                entry.extend_from_slice(&component.key_type);
                entry.push(u8::try_from(component.key_data.expose().len()).unwrap_or(u8::MAX));
            }
            template.primitive(KEY, &entry);
        }
    });
    information.into_bytes()
}

fn list_of_applications(cx: &Context<'_, '_>) -> Vec<u8> {
    let mut list = Writer::new();
    list.constructed(Tag(tag::APPLICATIONS.into()), |list| {
        for application in cx.applications() {
            list.constructed(Tag(0x61), |entry| {
                entry.primitive(Tag(0x4F), &application.aid);
            });
        }
    });
    list.into_bytes()
}

/// Extended card resources: applications, free non-volatile and volatile memory. TS 102 226 §8.2.1.7.2.
fn card_resources(cx: &Context<'_, '_>) -> Vec<u8> {
    let memory = cx.memory();
    let octets = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    let applications = u16::try_from(memory.applications).unwrap_or(u16::MAX);
    let mut resources = Writer::new();
    resources.constructed(Tag(tag::CARD_RESOURCES.into()), |resources| {
        resources
            .primitive(Tag(0x81), &applications.to_be_bytes())
            .primitive(Tag(0x82), &octets(memory.free_non_volatile))
            .primitive(Tag(0x83), &octets(memory.free_volatile));
    });
    resources.into_bytes()
}
