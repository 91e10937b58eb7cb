//! What a recording does not tell: PINs, PUKs and the values of secret variables.
//!
//! Their octets are [`MASK`] in an [`Event`], and a name stands in their place wherever a script or a person could take the
//! mask for a value and send it.

use std::cell::Cell;
use std::fmt::Write as _;
use std::ops::Range;

use crate::event::{Event, What};
use crate::hexadecimal::{hex, unhex};
use crate::secret::{MASK, is_masked, secret_part};

/// The name of what has no other: a PIN or PUK that was sent.
pub const SOME_SECRET: &str = "secret";

/// Octets of a command or a response that were left out when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where they were.
    pub part: Part,
    /// Which octets of that, counted from 0.
    pub range: Range<usize>,
    /// The name of the secret: letters, digits, `_` and `-`.
    pub name: String,
}

/// One of the two halves of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The command.
    Command,
    /// Its response.
    Response,
}

impl LeftOut {
    /// A PIN or PUK in a command.
    pub(crate) fn pin(range: Range<usize>) -> Self {
        Self { part: Part::Command, range, name: SOME_SECRET.into() }
    }
}

/// Places in octets, and the names that stand there.
pub(crate) type Places = Vec<(Range<usize>, String)>;

/// The octets of an event as they are written, and what is left out of them: from the left, none over another.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) command: Vec<u8>,
    pub(crate) response: Vec<u8>,
    pub(crate) of_command: Places,
    pub(crate) of_response: Places,
}

impl Shown {
    pub(crate) fn of(event: &Event) -> Self {
        let (command, response) = match &event.what {
            What::Exchange { command, response } => (command.clone(), response.clone()),
            What::Failed { command, .. } => (command.clone(), Vec::new()),
            What::Reset { .. } | What::PowerOff => return Self::default(),
        };
        // A status word is no secret, whatever value it happens to have.
        let data = response.len().saturating_sub(2);
        let mut of_command = places(&event.left_out, Part::Command, command.len());
        if let Some(pin) = secret_part(&command) {
            let named: usize = of_command.iter().map(|(range, _)| overlap(range, &pin)).sum();
            if named < pin.len() {
                of_command.retain(|(range, _)| overlap(range, &pin) == 0);
                of_command.push((pin, SOME_SECRET.into()));
                of_command.sort_by_key(|(range, _)| range.start);
            }
        }
        let of_response = places(&event.left_out, Part::Response, data);
        Self {
            command: masked(command, &of_command),
            response: masked(response, &of_response),
            of_command,
            of_response,
        }
    }

    /// Whether no more is left out than what a reader finds by itself: a PIN behind the Lc that counts it.
    pub(crate) fn is_plain(&self) -> bool {
        let is_pin = match self.of_command.as_slice() {
            [] => true,
            [(range, name)] => {
                name == SOME_SECRET && is_masked(&self.command) && Some(range) == secret_part(&self.command).as_ref()
            }
            _ => false,
        };
        is_pin && self.of_response.is_empty()
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> usize {
    one.end.min(other.end).saturating_sub(one.start.max(other.start))
}

/// Those of one half that lie within its octets, from the left, each with a name that a script can have.
fn places(left_out: &[LeftOut], part: Part, length: usize) -> Places {
    let mut places: Places = Vec::new();
    let mut found: Vec<&LeftOut> = left_out.iter().filter(|left_out| left_out.part == part).collect();
    found.sort_by_key(|left_out| left_out.range.start);
    for LeftOut { range, name, .. } in found {
        let start = range.start.max(places.last().map_or(0, |(before, _)| before.end));
        let end = range.end.min(length);
        if start < end {
            let name = if is_name(name) { name } else { SOME_SECRET };
            places.push((start..end, name.to_owned()));
        }
    }
    places
}

/// Whether scripts can have a variable of this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn masked(mut octets: Vec<u8>, places: &Places) -> Vec<u8> {
    for (range, _) in places {
        if let Some(secret) = octets.get_mut(range.clone()) {
            secret.fill(MASK);
        }
    }
    octets
}

/// Octets in hexadecimal, with `${name}` in the place of some: as a script has them. The places are in order.
pub fn named<'a>(octets: &[u8], places: impl IntoIterator<Item = (Range<usize>, &'a str)>) -> String {
    let (mut text, mut at) = (String::new(), 0);
    for (range, name) in places {
        let before = hex(octets.get(at..range.start).unwrap_or_default());
        for part in [before, format!("${{{name}}}")] {
            let blank = if text.is_empty() || part.is_empty() { "" } else { " " };
            let _ = write!(text, "{blank}{part}");
        }
        at = range.end;
    }
    let rest = hex(octets.get(at..).unwrap_or_default());
    if !text.is_empty() && !rest.is_empty() {
        text.push(' ');
    }
    text + &rest
}

/// The same of places with their own names.
pub(crate) fn written(octets: &[u8], places: &Places) -> String {
    named(octets, places.iter().map(|(range, name)| (range.clone(), name.as_str())))
}

/// Octets in which names stand, not yet known how many octets each stands for.
#[derive(Debug, Default)]
pub(crate) struct Unnamed(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Octets(Vec<u8>),
    Name(String),
}

impl Unnamed {
    /// Reads what [`named`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            let (name, behind) = behind.split_once('}').ok_or("`}` is missing")?;
            if !is_name(name) {
                return Err("`${name}` has a name of letters, digits, `_` and `-`".into());
            }
            pieces.extend([Piece::Octets(unhex(before)?), Piece::Name(name.into())]);
            rest = behind;
        }
        pieces.push(Piece::Octets(unhex(rest)?));
        Ok(Self(pieces))
    }

    /// Its octets, with [`MASK`] in the places of names. `lengths` tells how many octets each name stands for; a single name
    /// without a length stands for what Lc counts and is not there.
    pub(crate) fn filled(&self, lengths: &[usize], allowance: &Allowance) -> Result<(Vec<u8>, Places), String> {
        let names = self.0.iter().filter(|piece| matches!(piece, Piece::Name(_))).count();
        let counted;
        let lengths = match (names, lengths.len()) {
            (names, lengths_given) if names == lengths_given => lengths,
            (1, 0) => {
                counted = [self.missing()];
                &counted
            }
            _ => return Err("how many octets were left out is not told of each `${name}`".into()),
        };
        let (mut octets, mut places, mut lengths) = (Vec::new(), Vec::new(), lengths.iter());
        for piece in &self.0 {
            match piece {
                Piece::Octets(known) => octets.extend(known),
                Piece::Name(name) => {
                    let length = lengths.next().copied().unwrap_or_default();
                    let place = allowance.fill(&mut octets, length)?;
                    if !place.is_empty() {
                        places.push((place, name.clone()));
                    }
                }
            }
        }
        Ok((octets, places))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Octets(octets) if octets.is_empty()))
    }

    /// Puts the rest of it behind.
    pub(crate) fn append(&mut self, mut rest: Self) {
        match (self.0.last_mut(), rest.0.as_mut_slice()) {
            (Some(Piece::Octets(octets)), [Piece::Octets(more)]) => octets.append(more),
            _ => self.0.append(&mut rest.0),
        }
    }

    /// The octets that Lc counts and that are not there.
    fn missing(&self) -> usize {
        let known: Vec<u8> = self
            .0
            .iter()
            .filter_map(|piece| if let Piece::Octets(known) = piece { Some(known) } else { None })
            .flatten()
            .copied()
            .collect();
        usize::from(known.get(4).copied().unwrap_or(0)).saturating_sub(known.len().saturating_sub(5))
    }
}

/// The longest command, and more than any response has. ISO/IEC 7816-4 §5.1.
const LONGEST: usize = 4 + 3 + 65_535 + 2;
/// What names may stand for in a recording that is much shorter than that.
const MOST: usize = 16 << 20;

/// How many octets the names in a recording may still stand for: a few characters tell of many.
#[derive(Debug)]
pub(crate) struct Allowance(Cell<usize>);

impl Allowance {
    /// Of a recording of so many octets.
    pub(crate) const fn of(recording: usize) -> Self {
        Self(Cell::new(MOST.saturating_add(recording)))
    }

    /// Puts so many of [`MASK`] behind the octets of a command or response; where they are.
    pub(crate) fn fill(&self, octets: &mut Vec<u8>, length: usize) -> Result<Range<usize>, String> {
        let (start, end) = (octets.len(), octets.len().saturating_add(length));
        if length > 0 && end > LONGEST {
            return Err(format!(
                "with the {length} octets that were left out it is longer than any command or response"
            ));
        }
        let rest = self.0.get().checked_sub(length);
        self.0.set(rest.ok_or("more octets were left out of this recording than any has")?);
        octets.resize(end, MASK);
        Ok(start..end)
    }
}

/// How many octets each name stands for, as comments say it: ` (k: 4 octets)`.
pub(crate) fn lengths(places: &Places) -> String {
    places.iter().fold(String::new(), |mut text, (range, name)| {
        let noun = if range.len() == 1 { "octet" } else { "octets" };
        let blank = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{blank}({name}: {} {noun})", range.len());
        text
    })
}

/// Reads that from the end of a comment, behind which only a time may stand.
pub(crate) fn read_lengths(comment: &str) -> Vec<usize> {
    let mut lengths = Vec::new();
    for part in comment.rsplit('(').take_while(|part| part.trim_end().ends_with(')')) {
        let inside = part.trim_end().trim_end_matches(')');
        let counted = inside.strip_suffix(" octets").or_else(|| inside.strip_suffix(" octet"));
        let named = counted.and_then(|inside| inside.rsplit_once(": ")).filter(|(name, _)| is_name(name));
        match named.and_then(|(_, count)| count.parse().ok()) {
            Some(count) => lengths.push(count),
            None if inside.ends_with(" µs") => {}
            None => break,
        }
    }
    lengths.reverse();
    lengths
}

/// What was left out, as events have it.
pub(crate) fn joined(of_command: Places, of_response: Places) -> Vec<LeftOut> {
    let of = |part: Part, places: Places| places.into_iter().map(move |(range, name)| LeftOut { part, range, name });
    of(Part::Command, of_command).chain(of(Part::Response, of_response)).collect()
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn names_stand_for_octets() {
        let octets = hex!("00DA000006 01 2A2A2A2A 02");
        let places: Places = vec![(6..10, "k".into())];
        assert_eq!(written(&octets, &places), "00DA00000601 ${k} 02");
        let read = Unnamed::parse("00DA00000601 ${k} 02").unwrap();
        let allowance = Allowance::of(0);
        assert_eq!(read.filled(&[4], &allowance).unwrap(), (octets.to_vec(), places.clone()));
        assert_eq!(read.filled(&[], &allowance).unwrap(), (octets.to_vec(), places));
        assert!(Unnamed::parse("00 ${a} ${b}").unwrap().filled(&[], &allowance).is_err());
        assert!(Unnamed::parse("00 ${a b}").is_err() && Unnamed::parse("00 ${a").is_err());
    }

    #[test]
    fn a_few_characters_fill_no_memory() {
        let two = Unnamed::parse("00 ${a} ${b}").unwrap();
        let filled = |lengths: &[usize], allowance: &Allowance| {
            two.filled(lengths, allowance).map(|(octets, _)| octets.len()).unwrap_or_default()
        };
        let allowance = Allowance::of(0);
        assert_eq!(filled(&[60_000, 5_000], &allowance), 65_001);
        assert_eq!((filled(&[60_000, 60_000], &allowance), filled(&[usize::MAX, 1], &allowance)), (0, 0));
        let more = (0..1000).filter(|_| filled(&[60_000, 5_000], &allowance) > 0).count();
        assert!((200..300).contains(&more), "{more}");
        assert_eq!(filled(&[0, 0], &allowance), 1);
    }

    #[test]
    fn comments_count_what_is_left_out() {
        let places: Places = vec![(5..13, "puk1".into()), (13..14, "x".into())];
        assert_eq!(lengths(&places), "(puk1: 8 octets) (x: 1 octet)");
        assert_eq!(read_lengths("UNBLOCK PIN (no) (puk1: 8 octets) (x: 1 octet)"), [8, 1]);
        assert_eq!(read_lengths("fine (k: 4 octets) (17 µs)"), [4]);
        assert_eq!(read_lengths("fine (17 µs)"), [0; 0]);
        assert_eq!(read_lengths("(k: 4 octets) fine"), [0; 0]);
    }

    #[test]
    fn a_pin_is_left_out_and_a_status_word_is_not() {
        let pin = Shown::of(&Event::exchange(hex!("0020000108 31323334FFFFFFFF"), hex!("63C2")));
        assert_eq!((pin.command.as_slice(), pin.is_plain()), (&b"\x00\x20\x00\x01\x08********"[..], true));
        let left_out = |part, range, name: &str| LeftOut { part, range, name: name.into() };
        let event = Event {
            left_out: vec![left_out(Part::Response, 1..9, "a b"), left_out(Part::Command, 4..99, "k")],
            ..Event::exchange(hex!("00DA0000 01020304"), hex!("0102 9000"))
        };
        let shown = Shown::of(&event);
        assert_eq!(
            (shown.command.as_slice(), shown.response.as_slice()),
            (&b"\x00\xDA\0\0****"[..], &b"\x01*\x90\0"[..])
        );
        assert_eq!(shown.of_response, [(1..2, SOME_SECRET.to_owned())]);
        assert!(!shown.is_plain());
    }
}
