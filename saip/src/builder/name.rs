//! Names as a person writes them, and as files have them.

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sms::AlphaCoding;
use sms::alpha::{Unwritable, encode};

/// A name; with how it is written, where that is asked for.
///
/// In a description `"Télécom"`, or `{ text = "Télécom", coding = "81" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The characters.
    pub text: String,
    /// How they are written; none: as suits them.
    pub coding: Option<NameCoding>,
}

/// How a name is written. TS 102 221 annex A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameCoding {
    /// The GSM default alphabet, TS 23.038 §6.2.1.
    #[serde(rename = "gsm")]
    Gsm,
    /// UCS2, two octets a character.
    #[serde(rename = "80")]
    Ucs2,
    /// UCS2, an octet a character of one page.
    #[serde(rename = "81")]
    Page,
    /// UCS2, an octet a character of 128 from some character on.
    #[serde(rename = "82")]
    Base,
}

impl NameCoding {
    const fn alpha(self) -> AlphaCoding {
        match self {
            Self::Gsm => AlphaCoding::Gsm,
            Self::Ucs2 => AlphaCoding::Ucs2,
            Self::Page => AlphaCoding::Page,
            Self::Base => AlphaCoding::Base,
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), coding: None }
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(coding) = self.coding else { return serializer.serialize_str(&self.text) };
        let mut name = serializer.serialize_struct("Name", 2)?;
        name.serialize_field("text", &self.text)?;
        name.serialize_field("coding", &coding)?;
        name.end()
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            text: String,
            #[serde(default)]
            coding: Option<NameCoding>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Name;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name in quotes, or a table with text and coding")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                Ok(Name::from(text))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Name, A::Error> {
                let Written { text, coding } = Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Name { text, coding })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Reasons why a name is none, whatever its coding.
fn check(name: &Name) -> Result<(), String> {
    if name.text.is_empty() {
        return Err("is empty".to_owned());
    }
    match name.text.chars().find(|character| character.is_control()) {
        Some(control) => Err(format!("has a control character in it, U+{:04X}", u32::from(control))),
        None => Ok(()),
    }
}

/// A name in a field of `room` octets, without what fills it up.
///
/// Where no coding is asked for, it is the GSM alphabet if that has all the characters and needs no escapes, then the first of
/// 80, 81 and 82 that fits.
pub(super) fn alpha(name: &Name, room: usize) -> Result<Vec<u8>, String> {
    check(name)?;
    let too_long = |octets: usize| format!("takes {octets} octets, and there is room for {room}");
    if let Some(coding) = name.coding {
        let octets = encode(&name.text, coding.alpha()).map_err(|error| error.to_string())?;
        return if octets.len() <= room { Ok(octets) } else { Err(too_long(octets.len())) };
    }
    let in_gsm = encode(&name.text, AlphaCoding::Gsm);
    let is_plain = in_gsm.as_ref().is_ok_and(|octets| octets.len() == name.text.chars().count());
    let others = [AlphaCoding::Ucs2, AlphaCoding::Page, AlphaCoding::Base].map(|coding| encode(&name.text, coding));
    let beyond = others.iter().find_map(|other| other.as_ref().err()).copied();
    let mut possible: Vec<_> = others.into_iter().flatten().collect();
    if let Ok(octets) = in_gsm {
        possible.insert(if is_plain { 0 } else { possible.len() }, octets);
    }
    match (possible.iter().find(|octets| octets.len() <= room), possible.iter().map(Vec::len).min()) {
        (Some(octets), _) => Ok(octets.clone()),
        (None, Some(least)) => Err(too_long(least)),
        (None, None) => Err(beyond.unwrap_or(Unwritable::TooLong).to_string()),
    }
}

/// The same, filled up with FF.
pub(super) fn filled_alpha(name: &Name, room: usize) -> Result<Vec<u8>, String> {
    let mut field = alpha(name, room)?;
    field.resize(room, 0xFF);
    Ok(field)
}

/// The name of a network behind its length: TS 24.008 §10.5.3.5a. Seven bits a character, packed, if the GSM alphabet has them
/// all; else UCS2.
pub(super) fn network_name(name: &Name, country_initials: bool) -> Result<Vec<u8>, String> {
    const NO_EXTENSION: u8 = 0x80;
    const UCS2: u8 = 0x10;
    const COUNTRY_INITIALS: u8 = 0x08;
    /// A record is no longer, and there may be two names and their tags in it.
    const MOST: usize = 110;
    check(name)?;
    let septets = sms::alphabet::encode(&name.text);
    let (coding, text) = match (name.coding, septets) {
        (None | Some(NameCoding::Gsm), Some(septets)) => {
            let spare = (8 - septets.len() * 7 % 8) % 8;
            (u8::try_from(spare).unwrap_or_default(), sms::alphabet::pack(&septets, 0))
        }
        (Some(NameCoding::Gsm), None) => {
            return match encode(&name.text, AlphaCoding::Gsm) {
                Err(error) => Err(error.to_string()),
                Ok(octets) => Ok(octets),
            };
        }
        (None | Some(NameCoding::Ucs2), _) => {
            // The same check of what UCS2 has.
            encode(&name.text, AlphaCoding::Ucs2).map_err(|error| error.to_string())?;
            (UCS2, sms::coding::encode_ucs2(&name.text))
        }
        (Some(NameCoding::Page | NameCoding::Base), _) => {
            return Err("the name of a network is in coding gsm or 80".to_owned());
        }
    };
    if text.len() > MOST {
        return Err(format!("takes {} octets, and there is room for {MOST}", text.len()));
    }
    let initials = if country_initials { COUNTRY_INITIALS } else { 0 };
    Ok([&[NO_EXTENSION | coding | initials][..], &text].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    fn in_coding(text: &str, coding: NameCoding) -> Name {
        Name { text: text.to_owned(), coding: Some(coding) }
    }

    #[test]
    fn the_coding_suits_the_name_and_its_room() {
        assert_eq!(alpha(&"GSMA_TEST".into(), 16).unwrap(), hex!("47534D411154455354"));
        assert_eq!(alpha(&"Связь".into(), 16).unwrap()[..3], hex!("800421"));
        assert_eq!(alpha(&"Связьинвест".into(), 16).unwrap()[..3], hex!("810B08"), "80 does not fit");
        assert_eq!(alpha(&"\u{9000}\u{9001}\u{9002}\u{9003}".into(), 8).unwrap()[..4], hex!("82049000"));
        assert_eq!(alpha(&"[]".into(), 16).unwrap(), hex!("80005B005D"), "no escapes where there is room");
        assert_eq!(alpha(&"[]".into(), 4).unwrap(), hex!("1B3C1B3E"));
        assert_eq!(alpha(&in_coding("Связь", NameCoding::Page), 16).unwrap()[0], 0x81);
        assert_eq!(alpha(&in_coding("vuicc", NameCoding::Ucs2), 16).unwrap()[..3], hex!("800076"));
        assert_eq!(filled_alpha(&"a".into(), 3).unwrap(), hex!("61FFFF"));
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let told = |name: &Name, room| alpha(name, room).unwrap_err();
        assert_eq!(told(&"Seventeen letters".into(), 16), "takes 17 octets, and there is room for 16");
        assert_eq!(told(&"Я".repeat(14).as_str().into(), 16), "takes 17 octets, and there is room for 16");
        assert_eq!(told(&"".into(), 16), "is empty");
        assert_eq!(told(&"a\u{1B}[31m".into(), 16), "has a control character in it, U+001B");
        assert_eq!(told(&"a\0".into(), 16), "has a control character in it, U+0000");
        assert_eq!(told(&"😀".into(), 16), "U+1F600 is beyond UCS2, which ends at U+FFFF");
        assert_eq!(told(&in_coding("日", NameCoding::Gsm), 16), "the GSM alphabet has no U+65E5");
        assert_eq!(
            told(&in_coding("日本", NameCoding::Page), 16),
            "its characters are too far from each other for coding 81, which reaches 128"
        );
        assert_eq!(told(&in_coding("日本", NameCoding::Ucs2), 4), "takes 5 octets, and there is room for 4");
    }

    #[test]
    fn names_of_networks_are_packed() {
        // TS 24.008: eight septets take seven octets and leave no bit; one septet leaves one.
        assert_eq!(network_name(&"a".into(), false).unwrap(), hex!("81 61"));
        assert_eq!(network_name(&"abcdefgh".into(), false).unwrap().len(), 8);
        assert_eq!(network_name(&"abcdefgh".into(), false).unwrap()[0], 0x80);
        assert_eq!(network_name(&"abcdefg".into(), true).unwrap()[0], 0x8F, "seven spare bits, and the initials");
        assert_eq!(network_name(&"Test".into(), false).unwrap(), hex!("84 D4F29C0E"));
        assert_eq!(network_name(&"日本".into(), true).unwrap(), hex!("98 65E5672C"));
        assert_eq!(network_name(&in_coding("a", NameCoding::Ucs2), false).unwrap(), hex!("90 0061"));
        assert!(network_name(&in_coding("a", NameCoding::Page), false).is_err());
        assert!(network_name(&in_coding("日", NameCoding::Gsm), false).unwrap_err().contains("U+65E5"));
        assert!(network_name(&"a".repeat(126).as_str().into(), false).unwrap_err().contains("room for 110"));
        for length in 1..40 {
            let name = "x".repeat(length);
            let octets = network_name(&name.as_str().into(), false).unwrap();
            let count = ((octets.len() - 1) * 8 - usize::from(octets[0] & 7)) / 7;
            assert_eq!(sms::alphabet::decode(&sms::alphabet::unpack(&octets[1..], 0, count)), name);
        }
    }
}
