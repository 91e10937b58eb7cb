//! Values by name, some of them secret.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Index, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capture::{LeftOut, Part, SOME_SECRET};
use zeroize::Zeroizing;

use super::template::Filled;
use crate::trace::{hex, secret_part};

/// A secret has at least so many bytes: shorter ones are found in every other command, and hide nothing.
pub const SHORTEST_SECRET: usize = 4;
/// So many values are searched for; the oldest that a script found gives way to the next, unless its variable still has it. More than
/// a script has, unless each turn of a loop finds a new one.
const MOST_SECRETS: usize = 4096;

/// Places in bytes that are not to be shown, and the names that stand there: from the left, none over another. A piece of a
/// secret has no name.
pub(super) type Places = Vec<(Range<usize>, String)>;

/// Values by name: set by the script, captured from responses, given by the caller. They are zeroized when dropped.
///
/// A *secret* value is sent, and never shown: wherever a command contains it, its name stands in its place, and where a
/// response does, asterisks. What is taken from a secret is one, and a value that was secret stays so when its variable gets
/// another. Clones know of each other's secrets: a trace that hides those of a script hides what the script finds on its way.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, Value>,
    secrets: Arc<Mutex<Secrets>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Value {
    bytes: Zeroizing<Vec<u8>>,
    is_secret: bool,
    /// The parts that are secret, if it is not as a whole.
    places: Places,
}

/// What is not to be shown, now and before.
#[derive(Default)]
struct Secrets {
    /// The oldest first; of a name, the last that is not given is the value of its variable.
    values: Vec<Known>,
    /// The command that a script sends, and the secrets that it was made with: also those too short to be found.
    sent: (Zeroizing<Vec<u8>>, Places),
}

struct Known {
    name: String,
    value: Zeroizing<Vec<u8>>,
    /// Somebody said that it is secret, a file or a user: it is never forgotten.
    is_given: bool,
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
        self.set_filled(name, Filled { bytes: bytes.into(), places: Places::new() });
    }

    /// The same with bytes of which some may be secret. One with a piece of a secret in it is secret as a whole.
    pub(super) fn set_filled(&mut self, name: impl Into<String>, filled: Filled) {
        let name = name.into();
        let Filled { bytes, places } = filled;
        let is_secret = self.is_secret(&name) || places.iter().any(|(_, name)| name.is_empty());
        self.insert(name, Value { bytes, is_secret, places }, false);
    }

    /// Gives a variable a value that is not to be shown; one shorter than [`SHORTEST_SECRET`] is in what is sent only.
    pub fn set_secret(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        let value = Value { bytes: bytes.into(), is_secret: true, places: Places::new() };
        self.insert(name.into(), value, true);
    }

    fn insert(&mut self, name: String, value: Value, is_given: bool) {
        if value.is_secret {
            self.secrets().keep(&name, &value.bytes, is_given);
        }
        self.values.insert(name, value);
    }

    /// Makes a value secret from here on. `false` if there is none.
    pub fn keep_secret(&mut self, name: &str) -> bool {
        let Some(value) = self.values.get_mut(name) else { return false };
        value.is_secret = true;
        let bytes = value.bytes.clone();
        self.secrets().keep(name, &bytes, true);
        true
    }

    /// Whether a variable has a value that is not to be shown.
    pub fn is_secret(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.is_secret)
    }

    /// The parts of a variable's value that are not to be shown.
    pub(super) fn places_of(&self, name: &str) -> Places {
        match self.values.get(name) {
            Some(value) if value.is_secret && !value.bytes.is_empty() => vec![(0..value.bytes.len(), name.to_owned())],
            Some(value) => value.places.clone(),
            None => Places::new(),
        }
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

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a command is about to be sent, and which parts of it are secret.
    pub(super) fn sends(&self, command: &[u8], places: &Places) {
        self.secrets().sent = (command.to_vec().into(), places.clone());
    }

    /// The parts of a command that are not to be shown, and the names that stand in their place: what is known to be left out,
    /// secret values, and PINs and PUKs wherever they come from.
    pub(super) fn of_command(&self, command: &[u8], known: &[LeftOut]) -> Places {
        let mut found = known_places(known, Part::Command, command.len());
        let secrets = self.secrets();
        secrets.add_sent(command, &mut found);
        secrets.add_found(command, &mut found);
        if let Some(pin) = secret_part(command) {
            let inside = |range: &Range<usize>| range.start < pin.end && pin.start < range.end;
            let named: usize =
                found.iter().map(|(range, _)| range.end.min(pin.end).saturating_sub(range.start.max(pin.start))).sum();
            if named < pin.len() {
                found.retain(|(range, _)| !inside(range));
                found.push((pin, SOME_SECRET.to_owned()));
                found.sort_by_key(|(range, _)| range.start);
            }
        }
        found
    }

    /// The parts of a response that are not to be shown. A status word is none.
    pub(super) fn of_response(&self, response: &[u8], known: &[LeftOut]) -> Places {
        let data = response.get(..response.len().saturating_sub(2)).unwrap_or_default();
        let mut found = known_places(known, Part::Response, data.len());
        self.secrets().add_found(data, &mut found);
        found
    }

    /// The parts of any bytes that are not to be shown.
    pub(super) fn of_value(&self, bytes: &[u8]) -> Places {
        let mut found = Places::new();
        self.secrets().add_found(bytes, &mut found);
        found
    }

    /// A command in hexadecimal, with `${name}` in place of what is secret: as a script has it.
    pub fn shown_command(&self, command: &[u8]) -> String {
        named(command, &self.of_command(command, &[]))
    }

    /// A response in hexadecimal, with asterisks in place of what is secret.
    pub fn shown_response(&self, response: &[u8]) -> String {
        masked(response, &ranges(&self.of_response(response, &[])))
    }

    /// A value in hexadecimal, with asterisks in place of what is secret.
    pub(super) fn shown_value(&self, filled: &Filled) -> String {
        let places = ranges(&filled.places).into_iter().chain(ranges(&self.of_value(&filled.bytes)));
        masked(&filled.bytes, &places.collect::<Vec<_>>())
    }
}

impl Secrets {
    fn keep(&mut self, name: &str, value: &[u8], is_given: bool) {
        if value.len() < SHORTEST_SECRET {
            return;
        }
        let known = self.values.iter().position(|known| known.name == name && known.value.as_slice() == value);
        // It is the last again.
        let before = known.is_some_and(|at| self.values.remove(at).is_given);
        if self.values.len() >= MOST_SECRETS
            && let Some(oldest) = self.forgettable()
        {
            self.values.remove(oldest);
        }
        self.values.push(Known { name: name.to_owned(), value: value.to_vec().into(), is_given: is_given || before });
    }

    /// The oldest value that was found on the way, and that is no longer its variable's.
    fn forgettable(&self) -> Option<usize> {
        let mut newest = BTreeMap::new();
        for (at, known) in self.values.iter().enumerate() {
            newest.insert(known.name.as_str(), at);
        }
        self.values
            .iter()
            .enumerate()
            .position(|(at, known)| !known.is_given && newest.get(known.name.as_str()) != Some(&at))
    }

    /// The secrets that a script has put into this command, whose end a reader may have changed.
    fn add_sent(&self, command: &[u8], found: &mut Places) {
        let (sent, places) = &self.sent;
        let Some(end) = places.last().map(|(range, _)| range.end) else { return };
        if command.get(..end).is_some_and(|begun| sent.get(..end) == Some(begun)) {
            for (range, name) in places {
                add(found, range.clone(), name);
            }
        }
    }

    /// Where `bytes` contain secret values.
    fn add_found(&self, bytes: &[u8], found: &mut Places) {
        let mut secrets: Vec<_> = self.values.iter().map(|known| (&known.name, &known.value)).collect();
        // The longest first: a PIN may be part of a longer secret. Of equal ones the first name, and the value it has now.
        secrets.sort_by(|(name, value), (other, others)| others.len().cmp(&value.len()).then_with(|| name.cmp(other)));
        for (name, value) in secrets {
            for (start, here) in bytes.windows(value.len()).enumerate() {
                if here == value.as_slice() {
                    add(found, start..start + value.len(), name);
                }
            }
        }
    }
}

/// Adds a place, unless one is over it.
fn add(found: &mut Places, range: Range<usize>, name: &str) {
    let at = found.partition_point(|(other, _)| other.end <= range.start);
    if !range.is_empty() && found.get(at).is_none_or(|(other, _)| range.end <= other.start) {
        found.insert(at, (range, name.to_owned()));
    }
}

fn known_places(known: &[LeftOut], part: Part, length: usize) -> Places {
    let mut found = Places::new();
    for left_out in known.iter().filter(|left_out| left_out.part == part && left_out.range.end <= length) {
        add(&mut found, left_out.range.clone(), &left_out.name);
    }
    found
}

/// Places without their names.
pub(super) fn ranges(places: &Places) -> Vec<Range<usize>> {
    places.iter().map(|(range, _)| range.clone()).collect()
}

/// `bytes` with names in place of some ranges.
pub(super) fn named(bytes: &[u8], places: &Places) -> String {
    capture::named(bytes, places.iter().map(|(range, name)| (range.clone(), name.as_str())))
}

/// `bytes` with asterisks in place of some ranges, as long as without.
pub(super) fn masked(bytes: &[u8], ranges: &[Range<usize>]) -> String {
    let byte = |(index, byte): (usize, &u8)| {
        if ranges.iter().any(|range| range.contains(&index)) { "**".to_owned() } else { hex(&[*byte]) }
    };
    if ranges.is_empty() { hex(bytes) } else { bytes.iter().enumerate().map(byte).collect() }
}

impl PartialEq for Variables {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for Variables {}

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
        assert_eq!(variables.shown_response(&hex!("0011 2233")), "00112233", "a status word is no secret");
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
        let command = hex!("00DA000008 00112233 AABBCCDD");
        assert_eq!(variables.shown_command(&command), "00DA000008 ${key} ${key}", "the value before, too");
        let mut clone = variables.clone();
        clone.set_secret("new", hex!("55667788").to_vec());
        assert_eq!(variables.shown_command(&hex!("00DA000004 55667788")), "00DA000004 ${new}", "found on the way");
    }

    #[test]
    fn what_a_loop_finds_displaces_neither_what_was_given_nor_what_is_current() {
        let mut variables = variables();
        let found = |bytes: Vec<u8>| {
            let places = vec![(0..bytes.len(), String::new())];
            Filled { bytes: bytes.into(), places }
        };
        variables.set_filled("once", found(hex!("A1A2A3A4").to_vec()));
        let most = u32::try_from(MOST_SECRETS).unwrap();
        for turn in 0..most + 100 {
            variables.set_filled("turn", found(turn.to_be_bytes().to_vec()));
        }
        let shown = |bytes: &[u8]| variables.shown_response(&[bytes, &hex!("9000")].concat());
        for secret in [&hex!("31323334FFFFFFFF")[..], &hex!("3132333435363738"), &hex!("00112233"), &hex!("A1A2A3A4")] {
            assert_eq!(shown(secret), format!("{}9000", "**".repeat(secret.len())));
        }
        assert_eq!(shown(&(most + 99).to_be_bytes()), "********9000");
        assert_eq!(variables.secrets().values.len(), MOST_SECRETS, "older ones gave way");
    }
}
