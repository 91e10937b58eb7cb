//! Values by name, some of them secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::ops::{Index, Range};

use zeroize::Zeroizing;

use crate::trace::{hex, secret_part};

/// A secret has at least so many bytes: shorter ones are found in every other command, and hide nothing.
pub const SHORTEST_SECRET: usize = 4;

/// The name that stands for a PIN or PUK that no variable holds.
const SOME_SECRET: &str = "secret";

/// Values by name: set by the script, captured from responses, given by the caller. They are zeroized when dropped.
///
/// A *secret* value is sent, and never shown: wherever a command contains it, its name stands in its place, and where a
/// response does, asterisks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, Eq)]
struct Value {
    bytes: Zeroizing<Vec<u8>>,
    is_secret: bool,
}

impl Variables {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).map(|value| value.bytes.as_slice())
    }

    /// Gives a variable a value. One that was secret stays so.
    pub fn set(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        let name = name.into();
        let is_secret = self.is_secret(&name);
        self.values.insert(name, Value { bytes: bytes.into(), is_secret });
    }

    /// Gives a variable a value that is not to be shown; one shorter than [`SHORTEST_SECRET`] is in what is sent only.
    pub fn set_secret(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.values.insert(name.into(), Value { bytes: bytes.into(), is_secret: true });
    }

    /// Makes a value secret from here on. `false` if there is none.
    pub fn keep_secret(&mut self, name: &str) -> bool {
        self.values.get_mut(name).map(|value| value.is_secret = true).is_some()
    }

    /// Whether a variable has a value that is not to be shown.
    pub fn is_secret(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.is_secret)
    }

    /// Names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Where `bytes` contain secret values, and which, from the left.
    fn found_in(&self, bytes: &[u8]) -> Vec<(Range<usize>, &str)> {
        let mut secrets: Vec<(&str, &[u8])> = self
            .values
            .iter()
            .filter(|(_, value)| value.is_secret && value.bytes.len() >= SHORTEST_SECRET)
            .map(|(name, value)| (name.as_str(), value.bytes.as_slice()))
            .collect();
        // The longest first: a PIN may be part of a longer secret.
        secrets.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let mut found: Vec<(Range<usize>, &str)> = Vec::new();
        for (name, value) in secrets {
            for start in 0..=bytes.len().saturating_sub(value.len()) {
                let here = start..start + value.len();
                let is_free = found.iter().all(|(other, _)| other.end <= here.start || here.end <= other.start);
                if is_free && bytes.get(here.clone()) == Some(value) {
                    found.push((here, name));
                }
            }
        }
        found.sort_by_key(|(range, _)| range.start);
        found
    }

    /// The parts of a command that are not to be shown, and the names that stand in their place: secret values, and PINs and
    /// PUKs wherever they come from.
    pub(super) fn secrets_of_command(&self, command: &[u8]) -> Vec<(Range<usize>, String)> {
        let mut found = self.found_in(command);
        if let Some(pin) = secret_part(command) {
            let (inside, outside): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|(range, _)| range.start >= pin.start && range.end <= pin.end);
            let named: usize = inside.iter().map(|(range, _)| range.len()).sum();
            found = outside.into_iter().filter(|(range, _)| range.end <= pin.start).collect();
            if named == pin.len() {
                found.extend(inside);
            } else {
                found.push((pin, SOME_SECRET));
            }
        }
        found.into_iter().map(|(range, name)| (range, name.to_owned())).collect()
    }

    /// The parts of a response that are not to be shown.
    pub(super) fn secrets_of_response(&self, response: &[u8]) -> Vec<Range<usize>> {
        self.found_in(response).into_iter().map(|(range, _)| range).collect()
    }

    /// A command in hexadecimal, with `${name}` in place of what is secret: as a script has it.
    pub fn shown_command(&self, command: &[u8]) -> String {
        named(command, &self.secrets_of_command(command))
    }

    /// A response in hexadecimal, with `${name}` in place of what is secret, as a script expects it; the names are added to
    /// `used`.
    pub(super) fn expected(&self, response: &[u8], used: &mut BTreeSet<String>) -> String {
        let secrets: Vec<_> =
            self.found_in(response).into_iter().map(|(range, name)| (range, name.to_owned())).collect();
        used.extend(secrets.iter().map(|(_, name)| name.clone()));
        named(response, &secrets)
    }

    /// A response in hexadecimal, with asterisks in place of what is secret.
    pub fn shown_response(&self, response: &[u8]) -> String {
        masked(response, &self.secrets_of_response(response))
    }
}

/// `bytes` with names in place of some ranges.
pub(super) fn named(bytes: &[u8], ranges: &[(Range<usize>, String)]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    for (range, name) in ranges {
        let before = hex(bytes.get(at..range.start).unwrap_or_default());
        text.push_str(&before);
        if !text.is_empty() {
            text.push(' ');
        }
        let _ = write!(text, "${{{name}}}");
        at = range.end;
    }
    let rest = hex(bytes.get(at..).unwrap_or_default());
    if !ranges.is_empty() && !rest.is_empty() {
        text.push(' ');
    }
    text + &rest
}

/// `bytes` with asterisks in place of some ranges, as long as without.
pub(super) fn masked(bytes: &[u8], ranges: &[Range<usize>]) -> String {
    let byte = |(index, byte): (usize, &u8)| {
        if ranges.iter().any(|range| range.contains(&index)) { "**".to_owned() } else { hex(&[*byte]) }
    };
    if ranges.is_empty() { hex(bytes) } else { bytes.iter().enumerate().map(byte).collect() }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Value| if value.is_secret { "secret".to_owned() } else { hex(&value.bytes) };
        f.debug_map().entries(self.values.iter().map(|(name, value)| (name, shown(value)))).finish()
    }
}

impl Extend<(String, Vec<u8>)> for Variables {
    fn extend<I: IntoIterator<Item = (String, Vec<u8>)>>(&mut self, values: I) {
        for (name, bytes) in values {
            self.set(name, bytes);
        }
    }
}

impl FromIterator<(String, Vec<u8>)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, Vec<u8>)>>(values: I) -> Self {
        let mut variables = Self::new();
        variables.extend(values);
        variables
    }
}

impl<const N: usize> From<[(String, Vec<u8>); N]> for Variables {
    fn from(values: [(String, Vec<u8>); N]) -> Self {
        values.into_iter().collect()
    }
}

impl Index<&str> for Variables {
    type Output = [u8];

    /// The value of a variable; empty if it has none.
    fn index(&self, name: &str) -> &[u8] {
        self.get(name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn variables() -> Variables {
        let mut variables = Variables::from([("iccid".to_owned(), hex!("98001032").to_vec())]);
        variables.set_secret("pin1", hex!("31323334FFFFFFFF").to_vec());
        variables.set_secret("puk1", hex!("3132333435363738").to_vec());
        variables.set_secret("key", hex!("00112233").to_vec());
        variables
    }

    #[test]
    fn secrets_are_named_in_commands_and_masked_in_responses() {
        let variables = variables();
        let shown = |command: &[u8]| variables.shown_command(command);
        assert_eq!(shown(&hex!("0020000108 31323334FFFFFFFF")), "0020000108 ${pin1}");
        assert_eq!(shown(&hex!("002C000110 3132333435363738 31323334FFFFFFFF")), "002C000110 ${puk1} ${pin1}");
        assert_eq!(shown(&hex!("0020000108 39393939FFFFFFFF")), "0020000108 ${secret}", "a PIN of somebody else");
        assert_eq!(shown(&hex!("00D6000005 00112233 01")), "00D6000005 ${key} 01");
        assert_eq!(shown(&hex!("00A4000C 023F00")), "00A4000C023F00");
        assert_eq!(variables.shown_response(&hex!("5A 00112233 9000")), "5A********9000");
        assert_eq!(variables.shown_response(&hex!("98001032 9000")), "980010329000");
    }

    #[test]
    fn what_is_secret_stays_so() {
        let mut variables = variables();
        variables.set("key", hex!("AABBCCDD").to_vec());
        assert!(variables.is_secret("key") && !variables.is_secret("iccid"));
        assert!(variables.keep_secret("iccid") && !variables.keep_secret("other"));
        let shown = format!("{variables:?}");
        assert!(!shown.contains("AABB") && !shown.contains("9800") && shown.contains("iccid"), "{shown}");
        assert_eq!(&variables["key"], hex!("AABBCCDD"));
    }
}
