//! Values of a description, each checked where it is read, so that errors name line and field.

use super::{RSP_CAPABILITY, atr};
use crate::fault;
use apdu::{Aid, StatusWord};
use applets::isd_r::Takes;
use applets::profile::{CLAIMABLE, uicc_capability};
use card_os::fault::Fault;
use core::str::FromStr;
use printable::steers;
use rsp::VersionType;
use rsp::activation_code::is_server_address;
use rsp::euicc_info::{EuiccCategory, RspCapability, UiccCapability};
use saip::header::Service;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A value that is written as text and read by one function.
macro_rules! read_by {
    ($($(#[$meta:meta])* $type:ident($inner:ty) = $read:path;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $type(pub $inner);

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $read(&text).map(Self).map_err(D::Error::custom)
            }
        }
    )+};
}

read_by! {
    /// An answer to reset.
    Atr(Vec<u8>) = read_atr;
    /// An application identifier.
    AidOf(Aid) = read_aid;
    /// File control information.
    Fci(Vec<u8>) = read_fci;
    /// A status word that ends a request: the whole answer.
    Sw(StatusWord) = read_sw;
    /// A version of three numbers.
    Version(VersionType) = read_version;
    /// Release of SGP.22.
    Sgp22(VersionType) = read_sgp22;
    /// Release of the profile package specification.
    ProfilePackage(VersionType) = read_profile_package;
    /// A way to name a profile that is to be enabled or disabled.
    Way(Takes) = read_way;
    /// A bit of `uiccCapability`.
    Uicc(UiccCapability) = read_uicc;
    /// A bit of `rspCapability`.
    Rsp(RspCapability) = read_rsp;
    /// `euiccCategory`.
    Category(EuiccCategory) = read_category;
    /// A service that is claimed.
    Claim(Service) = read_claim;
    /// The address of a server.
    Address(String) = read_address;
    /// A fault.
    FaultOf(Fault) = read_fault;
    /// A string of at most 64 octets.
    Accreditation(String) = read_accreditation;
    /// A text for users.
    Text(String) = read_text;
    /// What a card is called.
    Name(String) = read_name;
}

/// Bytes, as a number or with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Size;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a size: a number of bytes, or text such as \"512k\"")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
                usize::try_from(number).map(Size).map_err(|_| E::custom("a size is no negative number"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                size(text).map(Size).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A size in bytes, KiB or MiB.
///
/// # Errors
/// It is none; the text says how one is written.
pub fn size(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let unit: usize = match lower.get(digits.len()..).unwrap_or_default().trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        _ => {
            return Err(
                "a size is a number of bytes, or one followed by k (1,024) or M (1,048,576): 65536, 64k, 1M".into()
            );
        }
    };
    let bytes: Option<usize> = digits.parse().ok().and_then(|count: usize| count.checked_mul(unit));
    bytes.ok_or_else(|| "a size is a whole number of bytes, kibibytes (k) or mebibytes (M): 65536, 64k, 1M".into())
}

fn octets(text: &str) -> Result<Vec<u8>, String> {
    let plain: Vec<u8> = text.bytes().filter(|character| *character != b' ').collect();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = plain.chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?));
    pairs.collect::<Option<_>>().ok_or_else(|| "wants hexadecimal digits, two for each octet".to_owned())
}

fn read_atr(text: &str) -> Result<Vec<u8>, String> {
    let octets = octets(text)?;
    atr::check(&octets)?;
    Ok(octets)
}

fn read_aid(text: &str) -> Result<Aid, String> {
    Aid::new(&octets(text)?).map_err(|_| "an AID has 5 to 16 octets".to_owned())
}

fn read_fci(text: &str) -> Result<Vec<u8>, String> {
    const FCI_TEMPLATE: u32 = 0x6F;
    let octets = octets(text)?;
    let is_one = apdu::tlv::Tlv::parse(&octets).is_ok_and(|fci| fci.tag.0 == FCI_TEMPLATE);
    if is_one && octets.len() <= 256 {
        Ok(octets)
    } else {
        Err("wants one data object 6F, of 256 octets at most".into())
    }
}

/// What stands alone behind a request: others announce data, a length or a command that do not follow.
fn read_sw(text: &str) -> Result<StatusWord, String> {
    let sw = octets(text)?.try_into().map(u16::from_be_bytes).map(StatusWord);
    match sw {
        Ok(sw) if sw == StatusWord::OK || matches!(sw.sw1(), 0x62..=0x6B | 0x6D..=0x6F) => Ok(sw),
        Ok(sw) if matches!(sw.0 >> 12, 6 | 9) && sw.sw1() != 0x60 => {
            Err(format!("{text} announces what does not follow; wants 9000, or a refusal: 6200 to 6BFF, 6D00 to 6FFF"))
        }
        _ => Err("wants a status word of four digits: 9000, or a refusal, 6200 to 6BFF or 6D00 to 6FFF".into()),
    }
}

fn read_version(text: &str) -> Result<VersionType, String> {
    VersionType::from_str(text).map_err(|error| error.to_string())
}

/// Only what is like this card's: an LPA that sees a 3 here would ask for functions that are not there.
fn read_sgp22(text: &str) -> Result<VersionType, String> {
    match read_version(text)? {
        version if version.octets().first() == Some(&2) => Ok(version),
        _ => Err("the card is one of SGP.22 version 2; write 2.0.0 to 2.255.255".into()),
    }
}

fn read_profile_package(text: &str) -> Result<VersionType, String> {
    match read_version(text)? {
        version if version.octets().first().is_some_and(|major| (1..=3).contains(major)) => Ok(version),
        _ => Err("the card takes profile packages of versions 1 to 3; write 1.0.0 to 3.255.255".into()),
    }
}

/// The ways to name a profile.
pub(super) const WAYS: [(&str, Takes); 4] = [
    ("iccid", Takes::ICCID),
    ("iccid+refresh", Takes::ICCID_WITH_REFRESH),
    ("aid", Takes::AID),
    ("aid+refresh", Takes::AID_WITH_REFRESH),
];

fn read_way(text: &str) -> Result<Takes, String> {
    let way = WAYS.iter().find(|(name, _)| *name == text).map(|(_, takes)| *takes);
    way.ok_or_else(|| "wants iccid, iccid+refresh, aid or aid+refresh".to_owned())
}

fn wish<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> String {
    fault::nearest(text, names).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}

fn read_uicc(text: &str) -> Result<UiccCapability, String> {
    let bit = UiccCapability::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(bit, _)| *bit);
    let own = uicc_capability();
    match bit.map(UiccCapability::bit) {
        Some(bit) if own.contains(bit) => Ok(bit),
        Some(bit) => {
            let claim = CLAIMABLE
                .iter()
                .find(|service| service.uicc_capability_bit().is_some_and(|number| UiccCapability::bit(number) == bit));
            let way_out = claim.and_then(|claim| claim.name()).map_or_else(
                || "leave it out".to_owned(),
                |name| format!("leave it out, or claim it without having it: claims = [\"{name}\"]"),
            );
            Err(format!("the card has no {text}; {way_out}"))
        }
        None => {
            let names = own.names().flatten();
            Err(format!("there is no capability {text}{}", wish(text, names)))
        }
    }
}

fn read_rsp(text: &str) -> Result<RspCapability, String> {
    let bit = RspCapability::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(bit, _)| *bit);
    let has = || RSP_CAPABILITY.names().flatten().collect::<Vec<_>>().join(", ");
    match bit.map(RspCapability::bit) {
        Some(bit) if RSP_CAPABILITY.contains(bit) => Ok(bit),
        Some(_) => Err(format!("the card has no {text}; leave it out. It has {}", has())),
        None => Err(format!("there is no capability {text}{}", wish(text, RSP_CAPABILITY.names().flatten()))),
    }
}

fn read_category(text: &str) -> Result<EuiccCategory, String> {
    let named = EuiccCategory::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
    let all = || EuiccCategory::NAMES.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    named.map(|(value, _)| EuiccCategory(*value)).ok_or_else(|| format!("wants one of {}", all()))
}

fn read_claim(text: &str) -> Result<Service, String> {
    let names = || CLAIMABLE.iter().filter_map(|service| service.name());
    let all = || names().collect::<Vec<_>>().join(", ");
    let claim = Service::named(text).filter(|service| CLAIMABLE.contains(service));
    claim.ok_or_else(|| format!("{text} cannot be claimed{}; these can: {}", wish(text, names()), all()))
}

fn read_address(text: &str) -> Result<String, String> {
    if is_server_address(text) { Ok(text.to_owned()) } else { Err("wants a host name, also with a port".into()) }
}

fn read_fault(text: &str) -> Result<Fault, String> {
    fault::parse(text).map_err(|error| error.to_string())
}

fn read_accreditation(text: &str) -> Result<String, String> {
    if text.len() <= 64 { read_text(text) } else { Err("has 64 octets at most".into()) }
}

/// A line ends within a text, and nothing else that steers is in it.
fn read_text(text: &str) -> Result<String, String> {
    match text.chars().find(|character| steers(*character) && *character != '\n') {
        None => Ok(text.to_owned()),
        Some(odd) => Err(format!(
            "has the character {}, which is not seen or steers the terminal; leave it out",
            odd.escape_unicode()
        )),
    }
}

/// It is shown within lines.
fn read_name(text: &str) -> Result<String, String> {
    /// A line has room for it.
    const LONGEST: usize = 64;
    match text.chars().count() {
        0 => Err("is empty; leave it out, or give the card a name".into()),
        1..=LONGEST if text.contains('\n') => Err("has several lines; one is right".into()),
        1..=LONGEST => read_text(text),
        _ => Err(format!("has {LONGEST} characters at most")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_the_card_has_not_is_refused_with_the_way_out() {
        let told = read_uicc("javacard").unwrap_err();
        assert!(told.contains("claims = [\"javacard\"]"), "{told}");
        assert!(read_uicc("usimSuport").unwrap_err().contains("did you mean usimSupport?"));
        assert!(read_rsp("crlSupport").unwrap_err().contains("the card has no crlSupport; leave it out"));
        assert!(read_claim("java").unwrap_err().contains("these can: "));
        assert!(read_claim("usim").unwrap_err().contains("cannot be claimed"));
        assert!(read_sgp22("3.1.0").unwrap_err().contains("version 2"));
        assert_eq!(read_sgp22("2.2.2"), Ok(VersionType::new(2, 2, 2)));
        assert!(read_profile_package("4.0.0").is_err());
        for wrong in ["9A", "1234", "6000"] {
            assert!(read_sw(wrong).unwrap_err().contains("6200 to 6BFF"), "{wrong}");
        }
        for wrong in ["9100", "6120", "6C10", "9F10", "9001", "9A00"] {
            assert!(read_sw(wrong).unwrap_err().contains("announces what does not follow"), "{wrong}");
        }
        assert!(["9000", "6A88", "6F00", "6D00", "6283"].iter().all(|right| read_sw(right).is_ok()));
        for (wrong, told) in
            [("", "is empty"), ("a\u{7}b", "\\u{7}"), ("a\nb", "several lines"), ("a\u{202E}b", "202e")]
        {
            assert!(read_name(wrong).unwrap_err().contains(told), "{wrong:?}");
        }
        assert!(read_name(&"x".repeat(65)).is_err() && read_name("Ü 1").is_ok());
        assert!(read_text("two\nlines").is_ok() && read_accreditation("\u{1B}[2J").is_err());
        assert!(read_way("iccid-refresh").is_err() && read_way("aid+refresh").is_ok());
        assert!(read_fci("6F00").is_ok() && read_fci("6F").is_err() && read_fci("8400").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!((size("64k"), size("1 MiB"), size("65536")), (Ok(65536), Ok(1 << 20), Ok(65536)));
        assert!(
            size("many").is_err()
                && size("1G").is_err()
                && size("-1").is_err()
                && size("99999999999999999999").is_err()
        );
    }
}
