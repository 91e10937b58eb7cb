//! The few types of BER that the messages have.

use apdu::tlv::{Reader, Tag, Tlv, Writer};

use crate::message::PduError;

pub(crate) const BOOLEAN: Tag = Tag(0x01);
pub(crate) const INTEGER: Tag = Tag(0x02);
pub(crate) const OCTET_STRING: Tag = Tag(0x04);
pub(crate) const ENUMERATED: Tag = Tag(0x0A);
pub(crate) const TEXT: Tag = Tag(0x16);
pub(crate) const SEQUENCE: Tag = Tag(0x30);

/// Octets of the longest text.
const LONGEST_TEXT: usize = 255;

/// The next element, which has to be this one.
pub(crate) fn expect<'a>(reader: &mut Reader<'a>, tag: Tag, what: &'static str) -> Result<Tlv<'a>, PduError> {
    optional(reader, tag)?.ok_or(PduError::Missing(what))
}

/// The next element, if it is this one.
pub(crate) fn optional<'a>(reader: &mut Reader<'a>, tag: Tag) -> Result<Option<Tlv<'a>>, PduError> {
    reader.optional(tag).map_err(|_| PduError::Malformed)
}

/// A number from 0 to `largest`.
pub(crate) fn number(tlv: &Tlv<'_>, largest: u32, what: &'static str) -> Result<u32, PduError> {
    // One octet more than a u32 has, for its sign.
    let is_number = matches!(tlv.value, [first, ..] if first & 0x80 == 0 && tlv.value.len() <= 5);
    let value = tlv.value.iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
    let value = u32::try_from(value).ok().filter(|value| is_number && *value <= largest);
    value.ok_or(PduError::OutOfRange(what))
}

/// The next element, a number from 0 to `largest`, of at most 16 bits.
pub(crate) fn small(reader: &mut Reader<'_>, tag: Tag, largest: u16, what: &'static str) -> Result<u16, PduError> {
    let number = number(&expect(reader, tag, what)?, u32::from(largest), what)?;
    u16::try_from(number).map_err(|_| PduError::OutOfRange(what))
}

pub(crate) fn boolean(tlv: &Tlv<'_>) -> Result<bool, PduError> {
    match tlv.value {
        [octet] => Ok(*octet != 0),
        _ => Err(PduError::Malformed),
    }
}

/// A text of ASCII characters, of which none is a control character: it may be shown.
pub(crate) fn text(tlv: &Tlv<'_>, what: &'static str) -> Result<String, PduError> {
    let is_text = (1..=LONGEST_TEXT).contains(&tlv.value.len())
        && tlv.value.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ');
    if is_text { Ok(String::from_utf8_lossy(tlv.value).into_owned()) } else { Err(PduError::OutOfRange(what)) }
}

/// The same, of which control characters become spaces: an `IA5String` may have them, in sentences.
pub(crate) fn words(tlv: &Tlv<'_>, what: &'static str) -> Result<String, PduError> {
    if tlv.value.len() > LONGEST_TEXT || !tlv.value.is_ascii() {
        return Err(PduError::OutOfRange(what));
    }
    Ok(tlv.value.iter().map(|octet| if octet.is_ascii_control() { ' ' } else { char::from(*octet) }).collect())
}

pub(crate) fn write_number(out: &mut Writer, tag: Tag, value: u32) {
    let octets = value.to_be_bytes();
    let significant = octets.iter().skip_while(|octet| **octet == 0).copied().collect::<Vec<_>>();
    let value = match significant.first() {
        None => vec![0],
        Some(first) if first & 0x80 != 0 => [&[0][..], &significant].concat(),
        Some(_) => significant,
    };
    out.primitive(tag, &value);
}

pub(crate) fn write_boolean(out: &mut Writer, tag: Tag, value: bool) {
    out.primitive(tag, &[if value { 0xFF } else { 0 }]);
}
