//! Alpha identifiers: names in records and files of a card. TS 102 221 annex A, TS 31.102 §4.2.12 and elsewhere.
//!
//! A name is in the GSM default alphabet, an octet a character with bit 8 zero, or in one of three codings of UCS2, which its
//! first octet tells.

use crate::{alphabet, coding};

/// How a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlphaCoding {
    /// The GSM default alphabet.
    Gsm,
    /// `80`: two octets a character.
    Ucs2,
    /// `81`: an octet a character, of the GSM alphabet or relative to a page that one octet names (below U+8000).
    Page,
    /// `82`: the same, relative to a character that two octets name.
    Base,
}

/// A name that a coding has no octets for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// UCS2 ends at U+FFFF.
    #[error("U+{code:05X} is beyond UCS2, which ends at U+FFFF", code = u32::from(*.0))]
    BeyondUcs2(char),
    /// The GSM alphabet has no such character.
    #[error("the GSM alphabet has no U+{code:04X}", code = u32::from(*.0))]
    NotGsm(char),
    /// One page, or one base, does not reach all characters.
    #[error("its characters are too far from each other for coding {0:02X}, which reaches 128")]
    TooFar(u8),
    /// The number of characters is an octet.
    #[error("it has more than 255 characters")]
    TooLong,
}

/// The first octets of the codings of UCS2.
const UCS2: u8 = 0x80;
const PAGE: u8 = 0x81;
const BASE: u8 = 0x82;
/// Characters of a page.
const REACH: u16 = 0x80;

/// A name in one coding, without what fills up its field.
///
/// # Errors
/// A character that the coding does not have.
pub fn encode(name: &str, coding: AlphaCoding) -> Result<Vec<u8>, Unwritable> {
    match coding {
        AlphaCoding::Gsm => {
            let lacking = name.chars().find(|character| alphabet::encode(character.encode_utf8(&mut [0; 4])).is_none());
            alphabet::encode(name).ok_or(Unwritable::NotGsm(lacking.unwrap_or(char::REPLACEMENT_CHARACTER)))
        }
        AlphaCoding::Ucs2 => {
            units(name)?;
            Ok([&[UCS2][..], &coding::encode_ucs2(name)].concat())
        }
        AlphaCoding::Page | AlphaCoding::Base => relative(name, coding == AlphaCoding::Base),
    }
}

/// The characters, each with two octets in UCS2.
fn units(name: &str) -> Result<Vec<u16>, Unwritable> {
    name.chars()
        .map(|character| u16::try_from(u32::from(character)).map_err(|_| Unwritable::BeyondUcs2(character)))
        .collect()
}

/// Coding 81, or 82 with a base of two octets.
fn relative(name: &str, is_base: bool) -> Result<Vec<u8>, Unwritable> {
    let length = u8::try_from(name.chars().count()).map_err(|_| Unwritable::TooLong)?;
    // What takes two septets is no single octet.
    let plain: Vec<Option<u8>> = name
        .chars()
        .map(|character| match alphabet::encode(character.encode_utf8(&mut [0; 4])).as_deref() {
            Some(&[septet]) => Some(septet),
            _ => None,
        })
        .collect();
    let all = units(name)?;
    let others = || all.iter().zip(&plain).filter(|(_, plain)| plain.is_none()).map(|(unit, _)| *unit);
    let lowest = others().min().unwrap_or_default();
    let (start, mut octets) = if is_base {
        (lowest, [&[BASE, length][..], &lowest.to_be_bytes()].concat())
    } else {
        let page = u8::try_from(lowest / REACH).map_err(|_| Unwritable::TooFar(PAGE))?;
        (u16::from(page) * REACH, vec![PAGE, length, page])
    };
    for (unit, plain) in all.iter().zip(&plain) {
        octets.push(match plain {
            Some(septet) => *septet,
            None => match u8::try_from(unit - start).ok().filter(|offset| u16::from(*offset) < REACH) {
                Some(offset) => 0x80 | offset,
                None => return Err(Unwritable::TooFar(if is_base { BASE } else { PAGE })),
            },
        });
    }
    Ok(octets)
}

/// The name in a field, whatever its coding, without the FF that fills it up.
pub fn decode(field: &[u8]) -> String {
    let end = field.iter().rposition(|octet| *octet != 0xFF).map_or(0, |last| last + 1);
    match field {
        // A character may end in FF.
        [UCS2, ..] => coding::decode_ucs2(pairs(field.get(1..).unwrap_or_default(), end.saturating_sub(1))),
        [PAGE, length, page, octets @ ..] => characters(octets, *length, u32::from(*page) * u32::from(REACH)),
        [BASE, length, high, low, octets @ ..] => characters(octets, *length, u16::from_be_bytes([*high, *low]).into()),
        text => alphabet::decode(text.get(..end).unwrap_or(text)),
    }
}

/// As many octets of UCS2 as are used, to the end of a character.
fn pairs(text: &[u8], used: usize) -> &[u8] {
    text.get(..used.next_multiple_of(2)).or_else(|| text.get(..used)).unwrap_or(text)
}

/// Octets that are septets, or relative to `start`.
fn characters(octets: &[u8], length: u8, start: u32) -> String {
    let characters = octets.iter().take(length.into()).map(|octet| match octet {
        0x80.. => char::from_u32(start + u32::from(octet & 0x7F)).unwrap_or(char::REPLACEMENT_CHARACTER).to_string(),
        _ => alphabet::decode(&[*octet]),
    });
    characters.collect()
}

#[cfg(test)]
mod tests {
    use super::AlphaCoding::{Base, Gsm, Page, Ucs2};
    use super::*;
    use hex_literal::hex;

    #[test]
    fn golden() {
        assert_eq!(encode("vuicc", Gsm).unwrap(), hex!("7675696363"));
        assert_eq!(encode("@£[", Gsm).unwrap(), hex!("00 01 1B3C"));
        assert_eq!(encode("Связь", Ucs2).unwrap(), hex!("80 0421 0432 044F 0437 044C"));
        assert_eq!(encode("Связь", Page).unwrap(), hex!("81 05 08 A1 B2 CF B7 CC"));
        assert_eq!(encode("Связь", Base).unwrap(), hex!("82 05 0421 80 91 AE 96 AB"));
        // Characters of the GSM alphabet stand between the others.
        assert_eq!(encode("МТС 5G", Page).unwrap(), hex!("81 06 08 9C A2 A1 20 35 47"));
        assert_eq!(encode("日本", Ucs2).unwrap(), hex!("80 65E5 672C"));
        // A base reaches over the border of a page, and beyond U+8000.
        assert_eq!(encode("\u{4FFE}\u{5001}", Base).unwrap(), hex!("82 02 4FFE 80 83"));
        assert_eq!(encode("\u{9000}\u{9001}", Base).unwrap(), hex!("82 02 9000 80 81"));
        assert_eq!(encode("abc", Page).unwrap(), hex!("81 03 00 616263"));
    }

    #[test]
    fn what_has_no_octets_is_refused() {
        assert_eq!(encode("日", Gsm), Err(Unwritable::NotGsm('日')));
        for coding in [Ucs2, Page, Base] {
            assert_eq!(encode("a😀", coding), Err(Unwritable::BeyondUcs2('😀')));
        }
        assert_eq!(encode("日本", Page), Err(Unwritable::TooFar(0x81)));
        assert_eq!(encode("日本", Base), Err(Unwritable::TooFar(0x82)));
        assert_eq!(encode("\u{9000}", Page), Err(Unwritable::TooFar(0x81)), "the page has eight bits");
        assert_eq!(encode(&"Я".repeat(256), Page), Err(Unwritable::TooLong));
        assert!(encode("😀", Gsm).is_err());
    }

    #[test]
    fn each_coding_comes_back() {
        for name in ["vuicc", "Связь", "МТС 5G", "日本", "Ελλάδα", "Žluť [€]", "\u{FFFD}", "ÿ\u{01FF}", "@@", ""]
        {
            for coding in [Gsm, Ucs2, Page, Base] {
                let Ok(mut field) = encode(name, coding) else { continue };
                assert_eq!(decode(&field), name, "{name} {coding:?}");
                field.resize(field.len() + 5, 0xFF);
                assert_eq!(decode(&field), name, "{name} {coding:?}, filled");
            }
        }
    }

    /// What no card should have does no harm.
    #[test]
    fn anything_decodes() {
        for start in [0x80, 0x81, 0x82, 0x83, 0xFE] {
            for rest in [&hex!("")[..], &hex!("FF"), &hex!("00"), &hex!("05FF"), &hex!("FFFFFF41"), &hex!("01D80041")] {
                let _ = decode(&[&[start][..], rest].concat());
            }
        }
        assert_eq!(decode(&hex!("8101 FF FF")), "\u{7FFF}", "the last character may be FF");
    }
}
