//! Looking into a response or a variable: paths of tags, conditions, lists.

use std::fmt;
use std::ops::Range;

use apdu::tlv::{Reader, Tag};

use super::pattern::{Expectation, Instead, Looked, Mismatch};
use super::template::{Filled, Template, Unfilled};
use super::variables::Variables;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The last response.
    Response,
    /// The value of a variable.
    Variable(String),
}

/// A way down through TLVs: `BF2D/A0/E3/5A`, the second entry's as `BF2D/A0/E3[2]/5A`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub(super) segments: Vec<Segment>,
}

/// One step down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) tag: Tag,
    /// Which of those with this tag, counted from 1; `None` for all of them.
    pub(super) nth: Option<usize>,
}

impl Path {
    /// Where in `data` the values at the end of the way are, in order. Where `data` stops being TLVs the search ends without
    /// an error: records are padded.
    fn places(&self, data: &[u8]) -> Vec<Range<usize>> {
        let whole: Vec<_> = std::iter::once(0..data.len()).collect();
        self.segments
            .iter()
            .fold(whole, |level, segment| level.into_iter().flat_map(|range| children(data, range, *segment)).collect())
    }

    /// The values at the end of the way, in order.
    pub fn values<'a>(&self, data: &'a [u8]) -> Vec<&'a [u8]> {
        self.places(data).into_iter().filter_map(|range| data.get(range)).collect()
    }

    /// How much of the way there is, as a path; for messages.
    fn reached(&self, data: &[u8]) -> Self {
        let part = |length: usize| Self { segments: self.segments.get(..length).unwrap_or_default().to_vec() };
        let length = (1..=self.segments.len()).take_while(|length| !part(*length).places(data).is_empty()).last();
        part(length.unwrap_or_default())
    }
}

/// Where the values are that `segment` leads to within `range`.
fn children(data: &[u8], range: Range<usize>, segment: Segment) -> Vec<Range<usize>> {
    let end = range.end;
    let mut reader = Reader::new(data.get(range).unwrap_or_default());
    let mut found = Vec::new();
    while let Ok(Some(tlv)) = reader.next() {
        if tlv.tag == segment.tag {
            let end = end - reader.rest().len();
            found.push(end - tlv.value.len()..end);
        }
    }
    match segment.nth {
        Some(nth) => found.get(nth.saturating_sub(1)).cloned().into_iter().collect(),
        None => found,
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Segment { tag, nth }) in self.segments.iter().enumerate() {
            let slash = if index > 0 { "/" } else { "" };
            write!(f, "{slash}{:0width$X}", tag.0, width = 2 * tag.octets())?;
            if let Some(nth) = nth {
                write!(f, "[{nth}]")?;
            }
        }
        Ok(())
    }
}

/// Something that is so or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub(super) negated: bool,
    pub(super) subject: Subject,
    pub(super) test: Test,
    /// As it is written.
    pub(super) source: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// `is PATTERN`: all of it. Of a response that includes the status word.
    Is(Expectation),
    /// `has PATH`, `has PATH = PATTERN`: a TLV in it.
    Has(Path, Option<Expectation>),
}

/// What a script looks into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// The last response, with its status word; `None` if there was none since the last reset.
    pub(super) response: Option<&'a [u8]>,
}

impl Subject {
    /// Its bytes: of a response with the status word.
    fn looked(&self, seen: Seen<'_>, variables: &Variables) -> Result<Looked, Unfilled> {
        match self {
            Self::Response => Ok(Looked::response(seen.response.ok_or(Unfilled::NoResponse)?, variables)),
            Self::Variable(name) => {
                let bytes = variables.get(name).ok_or_else(|| Unfilled::missing(name))?.to_vec();
                let mut places = variables.places_of(name);
                if places.is_empty() {
                    places = variables.of_value(&bytes);
                }
                Ok(Looked { bytes, places, is_response: false })
            }
        }
    }

    /// The variable, if it is one.
    pub(super) fn variable(&self) -> Option<&str> {
        if let Self::Variable(name) = self { Some(name) } else { None }
    }
}

/// Where its TLVs are: all of it but a status word.
fn data(looked: &Looked) -> &[u8] {
    let sw = if looked.is_response { 2 } else { 0 };
    looked.bytes.get(..looked.bytes.len().saturating_sub(sw)).unwrap_or_default()
}

impl Condition {
    /// Whether it is so; if not, where it is not. Sets the variables that its pattern captures.
    pub(super) fn check(&self, seen: Seen<'_>, variables: &mut Variables) -> Result<Result<(), Mismatch>, Unfilled> {
        let looked = self.subject.looked(seen, variables)?;
        let outcome = self.look(&looked, variables);
        if !self.negated {
            return Ok(outcome);
        }
        let against = || Mismatch::whole(&self.source, looked, "something else".into(), Instead::This);
        Ok(if outcome.is_ok() { Err(against()) } else { Ok(()) })
    }

    fn look(&self, looked: &Looked, variables: &mut Variables) -> Result<(), Mismatch> {
        let (path, expected) = match &self.test {
            Test::Is(expected) => return expected.look(looked, variables),
            Test::Has(path, expected) => (path, expected),
        };
        let places = path.places(data(looked));
        if places.is_empty() {
            return Err(missing(&self.source, looked, path));
        }
        let Some(expected) = expected else { return Ok(()) };
        let mut nearest = None;
        for place in places {
            let Filled { bytes, places } = looked.part(place.clone());
            let part = Looked { bytes: bytes.to_vec(), places, is_response: false };
            match expected.look(&part, variables) {
                Ok(()) => return Ok(()),
                Err(mismatch) => nearest = nearest.or(Some((place.start, mismatch))),
            }
        }
        // The mark belongs into the whole, where the first value is.
        let Some((offset, mismatch)) = nearest else { return Ok(()) };
        Err(mismatch.within(&self.source, looked.clone(), offset))
    }

    /// The patterns in it.
    pub(super) const fn expectation(&self) -> Option<&Expectation> {
        match &self.test {
            Test::Is(expected) => Some(expected),
            Test::Has(_, expected) => expected.as_ref(),
        }
    }
}

/// The way down that is not there.
fn missing(source: &str, looked: &Looked, path: &Path) -> Mismatch {
    let reached = path.reached(data(looked));
    let next = path.segments.get(reached.segments.len()..).unwrap_or_default();
    let tag = Path { segments: next.iter().take(1).copied().collect() };
    let wanted = if reached.segments.is_empty() { format!("tag {tag}") } else { format!("tag {tag} within {reached}") };
    Mismatch::whole(source, looked.clone(), wanted, Instead::Nothing)
}

/// The value that a path leads to, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub(super) subject: Subject,
    pub(super) path: Path,
}

impl Source {
    /// The first value at the end of the way; if there is none, where the way ends.
    pub(super) fn first(&self, seen: Seen<'_>, variables: &Variables) -> Result<Result<Filled, Mismatch>, Unfilled> {
        let looked = self.subject.looked(seen, variables)?;
        let first = self.path.places(data(&looked)).into_iter().next();
        Ok(first.map(|place| looked.part(place)).ok_or_else(|| missing(&self.path.to_string(), &looked, &self.path)))
    }
}

/// What a loop goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// `in 2F00, 2FE2, 01..0A`.
    Items(Vec<Item>),
    /// `from response BF2D/A0/E3`: every value at the end of the way.
    Found(Source),
}

/// One or several values of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Bytes.
    One(Template),
    /// All numbers of so many bytes from the first to the last, both included.
    Range {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
        /// Bytes of each, at most four.
        width: usize,
    },
}

impl List {
    /// Its values, as they are before the first turn.
    pub(super) fn values(&self, seen: Seen<'_>, variables: &Variables) -> Result<Vec<Filled>, Unfilled> {
        match self {
            Self::Found(Source { subject, path }) => {
                let looked = subject.looked(seen, variables)?;
                Ok(path.places(data(&looked)).into_iter().map(|place| looked.part(place)).collect())
            }
            Self::Items(items) => {
                let mut values = Vec::new();
                for item in items {
                    match item {
                        Item::One(template) => values.push(template.filled(variables)?),
                        Item::Range { first, last, width } => values.extend((*first..=*last).map(|number| {
                            let bytes = number.to_be_bytes();
                            let bytes = bytes.get(bytes.len().saturating_sub(*width)..).unwrap_or_default().to_vec();
                            Filled { bytes: bytes.into(), ..Filled::default() }
                        })),
                    }
                }
                Ok(values)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::super::parse;
    use super::*;

    /// Two profiles, the second enabled.
    const LIST: &[u8] = &hex!("BF2D 1A A0 18 E3 0A 5A 04 98000001 9F70 01 00 E3 0A 5A 04 98000002 9F70 01 01 9000");

    fn check(condition: &str, response: &[u8]) -> Result<(), Mismatch> {
        let mut variables = Variables::from([("entry".to_owned(), hex!("5A0198 9F700101").to_vec())]);
        parse::condition_alone(condition).unwrap().check(Seen { response: Some(response) }, &mut variables).unwrap()
    }

    fn holds(condition: &str) -> bool {
        check(condition, LIST).is_ok()
    }

    #[test]
    fn conditions_look_into_tlvs() {
        assert!(holds("response has BF2D") && holds("response has BF2D/A0/E3/9F70"));
        assert!(holds("response has BF2D/A0/E3/9F70 = 01"), "one of them is enabled");
        assert!(holds("response has BF2D/A0/E3[2]/9F70 = 01") && !holds("response has BF2D/A0/E3[1]/9F70 = 01"));
        assert!(!holds("response has BF2D/A0/E3[3]") && holds("not response has BF2D/A0/E3[3]"));
        assert!(!holds("response has BF2D/A0/E3/92") && !holds("response has E3"));
        assert!(holds("response has BF2D/A0/E3/5A = 98 .. 0? | AA"));
        assert!(holds("response is BF2D .. 9000") && !holds("not response is .. 9000"));
        assert!(holds("entry has 9F70 = 01") && holds("entry is 5A01 98 ..") && !holds("entry has 90"));
    }

    #[test]
    fn the_end_of_the_way_is_named() {
        let mismatch = |condition: &str| check(condition, LIST).unwrap_err();
        let missing = mismatch("response has BF2D/A0/E3/92");
        assert_eq!(missing.wanted, "tag 92 within BF2D/A0/E3");
        assert_eq!(mismatch("response has 6F/84").wanted, "tag 6F");
        let told = mismatch("entry has 82[2]").to_string();
        let expected =
            "expected  entry has 82[2]\nreceived  5A01989F700101\n          tag 82[2] expected, none received";
        assert_eq!(told, expected, "a value has no status word, and no byte is to blame");
        let other = mismatch("response has BF2D/A0/E3/5A = 98000003");
        assert_eq!((other.nibble, other.wanted.as_str()), (2 * 12 + 1, "03"), "{other}");
        assert!(other.to_string().contains("expected  response has BF2D/A0/E3/5A = 98000003"), "{other}");
    }

    #[test]
    fn without_a_response_nothing_is_so_or_not_so() {
        for condition in ["response is 9000", "not response is 9000", "response has 6F"] {
            let condition = parse::condition_alone(condition).unwrap();
            let unfilled = condition.check(Seen { response: None }, &mut Variables::new()).unwrap_err();
            assert_eq!(unfilled, Unfilled::NoResponse);
        }
    }

    #[test]
    fn padding_ends_a_search() {
        assert!(check("response has 61/4F", &hex!("61 04 4F02A000 FFFFFF 9000")).is_ok());
        assert!(check("response has 61/50", &hex!("61 04 4F02A000 FFFFFF 9000")).is_err());
        assert!(check("response has 61", &hex!("90")).is_err());
    }

    #[test]
    fn lists_are_values_ranges_and_what_is_found() {
        let variables = Variables::from([("fid".to_owned(), hex!("2FE2").to_vec())]);
        let values = |list: &str| {
            parse::list_alone(list)
                .unwrap()
                .values(Seen { response: Some(LIST) }, &variables)
                .unwrap()
                .iter()
                .map(|value| crate::trace::hex(&value.bytes))
                .collect::<Vec<_>>()
        };
        assert_eq!(values("in 3F00, ${fid}, #( 3F 00 )"), ["3F00", "2FE2", "023F00"]);
        assert_eq!(values("in 01..03, 0A"), ["01", "02", "03", "0A"]);
        assert_eq!(values("in 00FF .. 0101"), ["00FF", "0100", "0101"]);
        assert_eq!(values("from response BF2D/A0/E3/5A"), ["98000001", "98000002"]);
        assert_eq!(values("from response BF2D/A0/E3[2]/5A"), ["98000002"]);
        assert_eq!(values("from response 61"), Vec::<String>::new());
    }
}
