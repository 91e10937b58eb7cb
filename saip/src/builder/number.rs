//! Numbers that a phone dials, and where what does not fit a record goes.

use serde::{Deserialize, Serialize};

use super::name::{Name, filled_alpha};

/// A number to dial, with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialled {
    /// The name, if any.
    #[serde(default)]
    pub name: Option<Name>,
    /// `+` and digits, or digits; also `*`, `#`, `p` for a pause, `?` for any digit.
    pub number: String,
}

/// Octets of a record behind the name. TS 31.102 §4.4.2.3.
pub(super) const FOOTER: usize = 14;
/// Digits that a record has room for; the others are in records of the extension file.
const DIGITS: usize = 20;
/// More digits nobody dials.
const MOST_DIGITS: usize = 80;
/// No extension, no capabilities.
const NONE: u8 = 0xFF;

/// Records of an extension file: EF.EXT1 to EF.EXT8. TS 31.102 §4.4.2.4.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    records: Vec<Vec<u8>>,
}

impl Extensions {
    /// Octets of a record.
    pub(super) const RECORD: usize = 13;

    /// The records so far.
    pub(super) fn records(&self) -> &[Vec<u8>] {
        &self.records
    }

    /// Writes digits into a chain of records, and gives the number of the first; FF without digits.
    fn add(&mut self, digits: &[u8]) -> Result<u8, String> {
        /// Additional data: digits that did not fit.
        const ADDITIONAL: u8 = 0x02;
        const MOST_RECORDS: usize = 254;
        let chunks: Vec<&[u8]> = digits.chunks(DIGITS).collect();
        let first = self.records.len() + 1;
        if self.records.len() + chunks.len() > MOST_RECORDS {
            return Err(format!("an extension file has at most {MOST_RECORDS} records"));
        }
        for (at, chunk) in chunks.iter().enumerate() {
            let packed = pack(chunk);
            let mut record = vec![ADDITIONAL, u8::try_from(packed.len()).unwrap_or(NONE)];
            record.extend(packed);
            record.resize(Self::RECORD - 1, 0xFF);
            let next = if at + 1 == chunks.len() { NONE } else { u8::try_from(first + at + 1).unwrap_or(NONE) };
            record.push(next);
            self.records.push(record);
        }
        Ok(if chunks.is_empty() { NONE } else { u8::try_from(first).unwrap_or(NONE) })
    }
}

/// Half octets, the first one low; F fills the last octet.
fn pack(digits: &[u8]) -> Vec<u8> {
    digits
        .chunks(2)
        .map(|pair| pair.get(1).copied().unwrap_or(0xF) << 4 | pair.first().copied().unwrap_or(0xF))
        .collect()
}

/// Type of number with numbering plan, and the digits as half octets. TS 24.008 §10.5.4.7, TS 31.102 §4.4.2.3.
pub(super) fn dialled(text: &str) -> Result<(u8, Vec<u8>), String> {
    const INTERNATIONAL: u8 = 0x91;
    const UNKNOWN: u8 = 0x81;
    let (kind, number) = text.strip_prefix('+').map_or((UNKNOWN, text), |number| (INTERNATIONAL, number));
    let digits = number.chars().map(|character| match character {
        '0'..='9' => u8::try_from(character).ok().map(|digit| digit - b'0'),
        '*' => Some(0xA),
        '#' => Some(0xB),
        'p' => Some(0xC),
        '?' => Some(0xD),
        _ => None,
    });
    let digits: Vec<u8> = digits
        .collect::<Option<_>>()
        .ok_or_else(|| "wants digits, behind + or without it; * # p and ? may be among them".to_owned())?;
    match digits.len() {
        0 => Err("has no digits".to_owned()),
        count if count > MOST_DIGITS => Err(format!("has {count} digits, and may have {MOST_DIGITS}")),
        _ if kind == INTERNATIONAL && digits.first() == Some(&0) => {
            Err("behind + comes a country code, and none begins with 0".to_owned())
        }
        _ => Ok((kind, digits)),
    }
}

/// Length, type and ten octets of digits, and the number of the extension record: the number in EF.ADN, EF.ANR and their like.
pub(super) fn number(text: &str, extensions: &mut Extensions) -> Result<([u8; 12], u8), String> {
    let (kind, digits) = dialled(text)?;
    let (here, there) = digits.split_at(digits.len().min(DIGITS));
    let packed = pack(here);
    let mut field = [0xFF; 12];
    let head = [u8::try_from(packed.len() + 1).unwrap_or(NONE), kind];
    field.iter_mut().zip(head.into_iter().chain(packed)).for_each(|(octet, value)| *octet = value);
    Ok((field, extensions.add(there)?))
}

/// Which part of an entry is wrong, and why.
pub(super) type Wrong = (&'static str, String);

/// A record of EF.ADN, EF.FDN, EF.SDN, EF.MBDN: TS 31.102 §4.4.2.3.
pub(super) fn record(entry: &Dialled, length: usize, extensions: &mut Extensions) -> Result<Vec<u8>, Wrong> {
    let room = length.saturating_sub(FOOTER);
    let mut record = match &entry.name {
        Some(name) => filled_alpha(name, room).map_err(|reason| ("name", reason))?,
        None => vec![0xFF; room],
    };
    let (number, extension) = number(&entry.number, extensions).map_err(|reason| ("number", reason))?;
    record.extend(number);
    record.extend([NONE, extension]);
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    fn entry(name: &str, number: &str) -> Dialled {
        Dialled { name: Some(name.into()), number: number.to_owned() }
    }

    #[test]
    fn golden() {
        let mut extensions = Extensions::default();
        assert_eq!(
            record(&entry("Bel", "+15551234567"), 18, &mut extensions).unwrap(),
            hex!("42656CFF 07 91 5155214365F7 FFFFFFFF FF FF")
        );
        assert_eq!(
            record(&entry("a", "*21#p?"), 15, &mut extensions).unwrap(),
            hex!("61 04 81 2AB1DC FFFFFFFFFFFFFF FF FF")
        );
        assert!(extensions.records().is_empty());
    }

    #[test]
    fn what_does_not_fit_goes_into_a_chain() {
        let mut extensions = Extensions::default();
        let number: String = "1234567890".repeat(5);
        let first = record(&entry("x", &number), 15, &mut extensions).unwrap();
        assert_eq!(first[1..], hex!("0B 81 21436587092143658709 FF 01"));
        assert_eq!(
            extensions.records(),
            [&hex!("02 0A 21436587092143658709 02")[..], &hex!("02 05 2143658709 FFFFFFFFFF FF")]
        );
        // The next one begins behind it; an odd digit has F beside it.
        let next = record(&entry("x", &"1".repeat(21)), 15, &mut extensions).unwrap();
        assert_eq!(next[14], 3);
        assert_eq!(extensions.records()[2], hex!("02 01 F1 FFFFFFFFFFFFFFFFFF FF"));
    }

    #[test]
    fn wrong_numbers_are_refused() {
        let told = |number: &str| record(&entry("a", number), 20, &mut Extensions::default()).unwrap_err();
        for wrong in ["12a", "1 2", "++1", "1+2", "-1", "１２"] {
            assert!(told(wrong).1.starts_with("wants digits"), "{wrong}");
        }
        assert_eq!(told(""), ("number", "has no digits".to_owned()));
        assert_eq!(told("+"), ("number", "has no digits".to_owned()));
        assert!(told("+012").1.contains("country code"));
        assert!(told(&"1".repeat(81)).1.contains("81 digits"));
        assert_eq!(record(&entry("", "1"), 20, &mut Extensions::default()).unwrap_err().0, "name");
        let mut full = Extensions::default();
        for _ in 0..254 {
            assert!(full.add(&[1]).is_ok());
        }
        assert!(full.add(&[1]).unwrap_err().contains("254"));
        assert_eq!(full.add(&[]), Ok(0xFF));
    }
}
