//! What a script expects: patterns of bytes, how they match, and where they do not.

use std::fmt;
use std::ops::Range;

use apdu::StatusWord;

use super::template::Filled;
use super::variables::{Places, Variables, masked, ranges};

/// What a response must be like: one of several patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    pub(super) patterns: Vec<Pattern>,
}

/// One pattern, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) source: String,
    pub(super) elements: Vec<Element>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// `62 ?? 05/FD`: bytes that must equal where the mask has ones.
    Bytes(Vec<Masked>),
    /// `${name}`: the value of a variable.
    Variable(String),
    /// `..`: any bytes, also none.
    Any,
    /// `{name}`: any bytes, kept.
    Capture(String),
    /// `{name:10}`: so many bytes, kept.
    CaptureExactly(String, usize),
    /// `#..` or `#{name}`: a BER length and as many bytes as it says, kept under the name.
    Counted(Option<String>),
}

/// A byte, and which of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Masked {
    pub(super) value: u8,
    pub(super) mask: u8,
}

impl Masked {
    /// Nibbles that fit, from the left: 2 if the whole byte does.
    const fn fitting(self, byte: u8) -> usize {
        let wrong = (self.value ^ byte) & self.mask;
        if wrong & 0xF0 != 0 {
            0
        } else if wrong & 0x0F != 0 {
            1
        } else {
            2
        }
    }
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            0xFF => write!(f, "{:02X}", self.value),
            0xF0 => write!(f, "{:X}?", self.value >> 4),
            0x0F => write!(f, "?{:X}", self.value & 0x0F),
            0x00 => f.write_str("??"),
            mask => write!(f, "{:02X}/{mask:02X}", self.value),
        }
    }
}

/// Where and how a response, or the value of a variable, differs from what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What was expected, as written.
    pub expected: String,
    /// What came: data, SW1, SW2; or the value of the variable.
    pub received: Vec<u8>,
    /// The first nibble of `received` that no pattern allows; its length in nibbles if something is missing at the end. 0 where
    /// no nibble is to blame more than another.
    pub nibble: usize,
    /// What was expected there.
    pub wanted: String,
    instead: Instead,
    /// Whether it is a response, so that a status word is at its end.
    is_response: bool,
    /// The parts of `received` that are not to be shown.
    secret: Vec<Range<usize>>,
}

/// What came in place of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// The byte of the nibble, or the end.
    Byte,
    /// No such thing.
    Nothing,
    /// Just what was not to come.
    This,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    pub(super) bytes: Vec<u8>,
    /// The parts that are not to be shown.
    pub(super) places: Places,
    pub(super) is_response: bool,
}

impl Looked {
    /// A response.
    pub(super) fn response(bytes: &[u8], variables: &Variables) -> Self {
        Self { bytes: bytes.to_vec(), places: variables.of_response(bytes, &[]), is_response: true }
    }

    /// A part of it.
    pub(super) fn part(&self, range: Range<usize>) -> Filled {
        let within = |(place, name): &(Range<usize>, String)| {
            let (start, end) = (place.start.max(range.start), place.end.min(range.end));
            // The name stands for all of it, and not for a piece.
            let name = if (start, end) == (place.start, place.end) { name.clone() } else { String::new() };
            (start < end).then(|| (start - range.start..end - range.start, name))
        };
        let places = self.places.iter().filter_map(within).collect();
        Filled { bytes: self.bytes.get(range).unwrap_or_default().to_vec().into(), places }
    }
}

impl Mismatch {
    /// No nibble is to blame more than another: something else than `wanted` came.
    pub(super) fn whole(expected: &str, looked: Looked, wanted: String, instead: Instead) -> Self {
        let Looked { bytes: received, places, is_response } = looked;
        let (expected, secret) = (expected.to_owned(), ranges(&places));
        Self { expected, received, nibble: 0, wanted, instead, is_response, secret }
    }

    /// The same difference, seen in the bytes that the compared ones are a part of.
    #[must_use]
    pub(super) fn within(self, expected: &str, whole: Looked, offset: usize) -> Self {
        let inner = self.secret.into_iter().map(|range| range.start + offset..range.end + offset);
        Self {
            expected: expected.to_owned(),
            received: whole.bytes,
            nibble: self.nibble + 2 * offset,
            is_response: whole.is_response,
            secret: ranges(&whole.places).into_iter().chain(inner).collect(),
            ..self
        }
    }

    /// The parts of what came that are not to be shown.
    pub(super) fn secret(&self) -> &[Range<usize>] {
        &self.secret
    }

    /// What came, in hexadecimal, with asterisks in place of what is secret.
    pub fn shown(&self) -> String {
        masked(&self.received, &self.secret)
    }

    /// What came there, in words.
    pub fn found(&self) -> String {
        match self.instead {
            Instead::Byte => {}
            Instead::Nothing => return "none".into(),
            Instead::This => return "this".into(),
        }
        let at = self.nibble / 2;
        if self.secret.iter().any(|range| range.contains(&at)) {
            return "another".into();
        }
        match self.received.get(at) {
            Some(byte) => format!("{byte:02X}"),
            None => "the end".into(),
        }
    }

    /// The difference in one line.
    pub fn line(&self) -> String {
        let difference = format!("{} expected, {} received", self.wanted, self.found());
        if self.instead == Instead::Byte { format!("byte {}: {difference}", self.nibble / 2) } else { difference }
    }

    /// What the status word that came means; `None` if it is no response.
    pub fn meaning(&self) -> Option<&'static str> {
        let sw = self.received.last_chunk::<2>();
        self.is_response.then(|| sw.map_or("no status word", |sw| StatusWord::from(*sw).description()))
    }
}

impl fmt::Display for Mismatch {
    /// Three lines: expected, received, and a mark under the nibble.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "expected  {}", self.expected)?;
        let shown = if self.received.is_empty() { "nothing".to_owned() } else { self.shown() };
        match self.meaning() {
            Some(meaning) => writeln!(f, "received  {shown}  ({meaning})")?,
            None => writeln!(f, "received  {shown}")?,
        }
        let mark = if self.instead == Instead::Byte { format!("{:1$}^ ", "", self.nibble) } else { String::new() };
        write!(f, "          {mark}{}", self.line())
    }
}

impl Expectation {
    /// Compares a response with each pattern in turn. The first that fits sets the variables it captures.
    ///
    /// # Errors
    /// [`Mismatch`] if none fits: where the one that got furthest did not.
    pub fn check(&self, received: &[u8], variables: &mut Variables) -> Result<(), Mismatch> {
        self.look(&Looked::response(received, variables), variables)
    }

    /// The same for whatever is looked at. What is captured from a secret is one.
    pub(super) fn look(&self, looked: &Looked, variables: &mut Variables) -> Result<(), Mismatch> {
        let mut nearest: Option<Miss> = None;
        for pattern in &self.patterns {
            let mut search = Search::new(&looked.bytes, pattern, variables);
            if search.matches(0, 0) {
                let captures: Vec<_> =
                    search.captures.into_iter().map(|(name, range)| (name.to_owned(), looked.part(range))).collect();
                for (name, filled) in captures {
                    variables.set_filled(name, filled);
                }
                return Ok(());
            }
            let miss = search.miss.unwrap_or_default();
            if nearest.as_ref().is_none_or(|nearest| miss.nibble > nearest.nibble) {
                nearest = Some(miss);
            }
        }
        let Miss { nibble, wanted, hidden, .. } = nearest.unwrap_or_default();
        let mut secret = ranges(&looked.places);
        secret.extend(hidden);
        let (expected, received, is_response) = (self.to_string(), looked.bytes.clone(), looked.is_response);
        Err(Mismatch { expected, received, nibble, wanted, instead: Instead::Byte, is_response, secret })
    }

    /// The variables whose values it needs.
    pub(super) fn needed(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().flat_map(|pattern| &pattern.elements).filter_map(|element| match element {
            Element::Variable(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The variables that it gives a value, if it fits.
    pub(super) fn captured(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().flat_map(|pattern| &pattern.elements).filter_map(|element| match element {
            Element::Capture(name) | Element::CaptureExactly(name, _) | Element::Counted(Some(name)) => {
                Some(name.as_str())
            }
            _ => None,
        })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.patterns.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { " | " } else { "" }, pattern.source)?;
        }
        Ok(())
    }
}

/// The attempt to lay one pattern over one response.
struct Search<'a> {
    received: &'a [u8],
    elements: &'a [Element],
    variables: &'a Variables,
    /// For each element, the length of it and all behind it, if that does not depend on the response.
    fixed: Vec<Option<usize>>,
    captures: Vec<(&'a str, Range<usize>)>,
    /// For each element: no byte from this one on is a good start for it.
    hopeless_from: Vec<usize>,
    miss: Option<Miss>,
}

/// The best failure so far: the one that got furthest through the pattern.
#[derive(Default)]
struct Miss {
    element: usize,
    fitting: usize,
    nibble: usize,
    wanted: String,
    /// Where a secret was expected: how much of it came is not told.
    hidden: Option<Range<usize>>,
}

impl<'a> Search<'a> {
    fn new(received: &'a [u8], pattern: &'a Pattern, variables: &'a Variables) -> Self {
        let mut fixed = vec![Some(0)];
        for element in pattern.elements.iter().rev() {
            let own = match element {
                Element::Bytes(bytes) => Some(bytes.len()),
                Element::Variable(name) => variables.get(name).map(<[u8]>::len),
                Element::CaptureExactly(_, length) => Some(*length),
                Element::Any | Element::Capture(_) | Element::Counted(_) => None,
            };
            let behind = fixed.last().copied().flatten();
            fixed.push(own.zip(behind).map(|(own, behind)| own + behind));
        }
        fixed.reverse();
        Self {
            received,
            elements: &pattern.elements,
            variables,
            fixed,
            captures: Vec::new(),
            hopeless_from: vec![usize::MAX; pattern.elements.len() + 1],
            miss: None,
        }
    }

    /// Whether the elements from `index` on fit the bytes from `at` on.
    fn matches(&mut self, index: usize, at: usize) -> bool {
        let elements = self.elements;
        let Some(element) = elements.get(index) else {
            let over = at < self.received.len();
            if over {
                self.missed(index, 0, 2 * at, || "the end".into());
            }
            return !over;
        };
        let rest = self.received.get(at..).unwrap_or_default();
        match element {
            Element::Bytes(bytes) => {
                for (offset, masked) in bytes.iter().enumerate() {
                    let fitting = rest.get(offset).map_or(0, |byte| masked.fitting(*byte));
                    if fitting < 2 {
                        let nibbles = 2 * offset + fitting;
                        self.missed(index, nibbles, 2 * at + nibbles, || masked.to_string());
                        return false;
                    }
                }
                self.matches(index + 1, at + bytes.len())
            }
            Element::Variable(name) => {
                let Some(value) = self.variables.get(name) else {
                    self.missed(index, 0, 2 * at, || format!("${{{name}}}, which has no value,"));
                    return false;
                };
                if let Some(offset) = (0..value.len()).find(|offset| rest.get(*offset) != value.get(*offset)) {
                    if self.variables.is_secret(name) {
                        self.missed(index, 2 * offset, 2 * at, || format!("${{{name}}}"));
                        let end = (at + value.len()).min(self.received.len());
                        if let Some(miss) = self.miss.as_mut().filter(|miss| miss.element == index) {
                            miss.hidden = (at < end).then_some(at..end);
                        }
                    } else {
                        let wanted = || {
                            value.get(offset).map_or_else(String::new, |byte| format!("{byte:02X} (of ${{{name}}})"))
                        };
                        self.missed(index, 2 * offset, 2 * (at + offset), wanted);
                    }
                    return false;
                }
                self.matches(index + 1, at + value.len())
            }
            Element::CaptureExactly(name, length) => {
                if rest.len() >= *length {
                    return self.matches_keeping(name, at, index + 1, at + length);
                }
                self.missed(index, 2 * rest.len(), 2 * self.received.len(), || format!("{length} bytes for {name}"));
                false
            }
            Element::Counted(name) => {
                let Some((header, value)) = counted(rest) else {
                    self.missed(index, 0, 2 * at, || "a length with as many bytes".into());
                    return false;
                };
                let begin = at + header;
                let next = begin + value.len();
                match name {
                    Some(name) => self.matches_keeping(name, begin, index + 1, next),
                    None => self.matches(index + 1, next),
                }
            }
            Element::Any => self.matches_somewhere(None, index, at),
            Element::Capture(name) => self.matches_somewhere(Some(name), index, at),
        }
    }

    /// Keeps what is from `begin` to `at`, where the elements from `index` on have to fit.
    fn matches_keeping(&mut self, name: &'a str, begin: usize, index: usize, at: usize) -> bool {
        self.captures.push((name, begin..at));
        let fits = self.matches(index, at);
        if !fits {
            self.captures.pop();
        }
        fits
    }

    /// Tries every length for the gap at `index`, the shortest first; just one if what is behind has a known length.
    fn matches_somewhere(&mut self, name: Option<&'a str>, index: usize, at: usize) -> bool {
        let end = self.received.len();
        let starts = match self.fixed.get(index + 1).copied().flatten() {
            Some(behind) if behind > end - at.min(end) => {
                // Too short for what must follow: lay it on as it is, to find the nibble that is wrong.
                at..=at
            }
            Some(behind) => end - behind..=end - behind,
            None => at..=end,
        };
        for start in starts.clone() {
            // An earlier try of this gap went on to the very end, so it has seen all that follows.
            if self.hopeless_from.get(index).is_some_and(|from| start >= *from) {
                break;
            }
            let fits = match name {
                Some(name) => self.matches_keeping(name, at, index + 1, start),
                None => self.matches(index + 1, start),
            };
            if fits {
                return true;
            }
        }
        if let Some(from) = self.hopeless_from.get_mut(index) {
            *from = (*from).min(*starts.start());
        }
        false
    }

    fn missed(&mut self, element: usize, fitting: usize, nibble: usize, wanted: impl FnOnce() -> String) {
        if self.miss.as_ref().is_none_or(|best| (element, fitting) > (best.element, best.fitting)) {
            let nibble = nibble.min(2 * self.received.len());
            self.miss = Some(Miss { element, fitting, nibble, wanted: wanted(), hidden: None });
        }
    }
}

/// A BER length at the start of `bytes` and the bytes it counts.
fn counted(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (header, length, rest) = match (first, rest) {
        (0x00..=0x7F, _) => (1, usize::from(*first), rest),
        (0x81, [length, rest @ ..]) => (2, usize::from(*length), rest),
        (0x82, [high, low, rest @ ..]) => (3, usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    Some((header, rest.get(..length)?))
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::parse;
    use super::*;

    fn check(pattern: &str, received: &[u8]) -> Result<Variables, Mismatch> {
        let expectation = parse::expectation(pattern).unwrap();
        let mut variables = Variables::from([("iccid".to_owned(), vec![0x98, 0x01])]);
        expectation.check(received, &mut variables).map(|()| variables)
    }

    fn fits(pattern: &str, received: &[u8]) -> bool {
        check(pattern, received).is_ok()
    }

    fn nibble(pattern: &str, received: &[u8]) -> usize {
        check(pattern, received).unwrap_err().nibble
    }

    #[test]
    fn nibbles_masks_gaps_and_alternatives() {
        assert!(fits("9000", &hex!("9000")) && !fits("9000", &hex!("9001")));
        assert!(fits("61??", &hex!("6121")) && fits("63C?", &hex!("63C3")) && !fits("63C?", &hex!("63D3")));
        assert!(fits("8A 01 05/FD 9000", &hex!("8A01079000")) && !fits("8A 01 05/FD 9000", &hex!("8A01019000")));
        assert!(fits("62 .. 9000", &hex!("62009000")) && fits("..", &[]) && !fits("62 .. 9000", &hex!("9000")));
        assert!(fits("62 .. 83022FE2 .. 9000", &hex!("62 0A 83022FE1 83022FE2 00 9000")));
        assert!(fits("6A82 | 6283 | 9000", &hex!("6283")) && !fits("6A82 | 6283", &hex!("6285")));
        assert!(fits("5A #.. 9000", &hex!("5A020102 9000")) && !fits("5A #.. 9000", &hex!("5A030102 9000")));
        assert!(fits("98 ${iccid} 9000", &hex!("989801 9000")) && !fits("${iccid} 9000", &hex!("9802 9000")));
    }

    #[test]
    fn captures_are_kept_when_the_whole_fits() {
        assert_eq!(check("5A 0A {id:10} 9000", &hex!("5A0A 98001032547698103214 9000")).unwrap()["id"].len(), 10);
        assert_eq!(check("62 {rest} 9000", &hex!("62 0102 9000")).unwrap()["rest"], [1, 2]);
        assert_eq!(check("{all} 9000", &hex!("9000 9000")).unwrap()["all"], [0x90, 0]);
        assert_eq!(check("BF3E #.. 9000 | BF3E 12 5A #{eid} 9000", &hex!("BF3E 04 5A020102 9000")).unwrap().len(), 1);
        assert_eq!(check("E3 #{entry} .. 9000", &hex!("E3 8102 AABB E300 9000")).unwrap()["entry"], [0xAA, 0xBB]);
        let mut variables = Variables::new();
        let failing = parse::expectation("{a:1} {b} 9000").unwrap();
        assert!(failing.check(&hex!("01026A82"), &mut variables).is_err());
        assert!(variables.is_empty());
    }

    #[test]
    fn the_difference_is_found_to_the_nibble() {
        assert_eq!(nibble("9000", &hex!("9010")), 2);
        assert_eq!(nibble("9000", &hex!("9001")), 3);
        assert_eq!(nibble("62 .. 9000", &hex!("6217 8202 6A82")), 8, "the status word is found from the end");
        assert_eq!(nibble("62 .. 9000", &hex!("6A82")), 1);
        assert_eq!(nibble("62 .. 9000 | 6A82", &hex!("6A83")), 3, "the alternative that fits best");
        assert_eq!(nibble("6217 {rest:9} 9000", &hex!("6217 0102 9000")), 12, "the end comes too early");
        assert_eq!(nibble("9000", &hex!("9000 00")), 4, "more than expected");
        assert_eq!(nibble("8A 01 05/FD 9000", &hex!("8A 01 01 9000")), 5);
        assert_eq!(nibble("62 .. 83022FE2 .. 9000", &hex!("62 83022FE1 00 9000")), 9);
        assert_eq!(nibble("${iccid} 9000", &hex!("9802 9000")), 2);
        assert_eq!(nibble("${none} 9000", &hex!("9802 9000")), 0);
    }

    #[test]
    fn the_report_points_at_it() {
        let mismatch = check("5A #.. 9000", &hex!("5A0101 6282")).unwrap_err();
        let expected = "\
expected  5A #.. 9000
received  5A01016282  (end of file or record reached before reading Le bytes, or unsuccessful search)
                ^ byte 3: 90 expected, 62 received";
        assert_eq!(mismatch.to_string(), expected);
    }

    #[test]
    fn many_gaps_do_not_explode() {
        let long = vec![0xAA; 4_000];
        assert!(!fits(".. AA .. AA .. AA .. AA .. AA .. AA .. BB .. 9000", &long));
    }
}
