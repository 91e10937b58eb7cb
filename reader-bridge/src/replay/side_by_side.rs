//! Two recorded sessions side by side: what only one of them has, and what was answered otherwise.

use std::collections::BTreeMap;

use apdu::Ins;
use capture::Event;
use decode::{Decoded, Decoder, Differing, Varies, compare};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::recording::Key;
use super::tolerance::first_tag;
use super::turn::{Act, Done, acts};

/// What one session has at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Number of its first event in the recording, from 1, as a decoder counts.
    pub number: usize,
    /// Line or packet of that.
    pub line: Option<usize>,
    /// What it is; the whole answer as one response.
    pub decoded: Decoded,
}

/// A step of two sessions. At least one of them has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// In the first session.
    pub left: Option<Side>,
    /// In the second one.
    pub right: Option<Side>,
    /// Fields of the command that differ.
    pub asked: Vec<Differing>,
    /// Fields of the answer that differ.
    pub answered: Vec<Differing>,
    /// How they compare.
    pub alike: Alike,
}

/// How the two sides of a row compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// They are the same, on whatever channel.
    Same,
    /// They differ in what differs each time: random values, numbers that a card assigns, and what follows from those.
    Varies,
    /// They differ, or only one session has it.
    Differs,
}

/// Fields of a command that say how it was cut, not what was asked.
const CUT: &[&str] = &["lc", "le", "p1", "p2", "store_data.block", "store_data.last", "store_data.octets"];

/// What a step is about: steps with the same are laid side by side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum About {
    Reset,
    Command { header: [u8; 4], what: Vec<u8> },
}

fn about(act: &Act) -> About {
    let Done::Asked(turn) = &act.what else { return About::Reset };
    let request = turn.request();
    match Key::of(turn.command()) {
        Some((_, key)) => {
            let what = match key.ins {
                Ins::SELECT => request,
                Ins::STORE_DATA => first_tag(&request).unwrap_or_default().to_be_bytes().to_vec(),
                _ => Vec::new(),
            };
            About::Command { header: key.header(), what }
        }
        None => About::Command { header: [0; 4], what: turn.command().to_vec() },
    }
}

/// Lays two sessions side by side.
pub fn side_by_side(left: &[Event], right: &[Event]) -> Vec<Row> {
    let (left, right) = (acts(left), acts(right));
    let mut numbers = BTreeMap::new();
    let mut keys = |acts: &[Act]| -> Vec<usize> {
        let numbered = acts.iter().map(|act| {
            let next = numbers.len();
            *numbers.entry(about(act)).or_insert(next)
        });
        numbered.collect()
    };
    let (lefts, rights) = (keys(&left), keys(&right));
    let (mut left, mut right) = (Reader::new(left), Reader::new(right));
    let mut rows = Vec::new();
    for operation in operations(&lefts, &rights) {
        let (lefts, rights) = (operation.old_range().len(), operation.new_range().len());
        if let DiffOp::Equal { len, .. } = operation {
            rows.extend((0..len).filter_map(|_| Some(both(left.next()?, right.next()?))));
            continue;
        }
        rows.extend((0..lefts).filter_map(|_| Some(one(Some(left.next()?.0), None))));
        rows.extend((0..rights).filter_map(|_| Some(one(None, Some(right.next()?.0)))));
    }
    rows
}

/// Steps of two sessions that are the same, and those between. Laid side by side in pieces: time grows with the square of what differs
/// within one, and a recording may be as long as it likes.
fn operations<'a>(left: &'a [usize], right: &'a [usize]) -> impl Iterator<Item = DiffOp> + 'a {
    const PIECE: usize = 4096;
    let (mut left, mut right) = (left.chunks(PIECE), right.chunks(PIECE));
    let pieces = std::iter::from_fn(move || match (left.next(), right.next()) {
        (None, None) => None,
        (left, right) => Some((left.unwrap_or_default(), right.unwrap_or_default())),
    });
    pieces.flat_map(|(left, right)| capture_diff_slices(Algorithm::Myers, left, right))
}

/// Explains a session, step by step.
struct Reader {
    acts: std::vec::IntoIter<Act>,
    decoder: Decoder,
}

impl Reader {
    fn new(acts: Vec<Act>) -> Self {
        Self { acts: acts.into_iter(), decoder: Decoder::new() }
    }

    /// The next step, and the octets that were sent, without the channel.
    fn next(&mut self) -> Option<(Side, Vec<u8>)> {
        let act = self.acts.next()?;
        let (decoded, sent) = match &act.what {
            Done::Reset { atr, warm } => (self.decoder.reset(atr, *warm), vec![u8::from(*warm)]),
            Done::Asked(turn) => {
                let header = Key::of(turn.command()).map_or([0; 4], |(_, key)| key.header());
                (turn.explain(&mut self.decoder), [&header[..], &turn.request()].concat())
            }
        };
        Some((Side { number: act.number, line: act.line, decoded }, sent))
    }
}

const fn one(left: Option<Side>, right: Option<Side>) -> Row {
    Row { left, right, asked: Vec::new(), answered: Vec::new(), alike: Alike::Differs }
}

fn both((left, sent): (Side, Vec<u8>), (right, also): (Side, Vec<u8>)) -> Row {
    let mut asked = Vec::new();
    if sent != also {
        asked = compare(left.decoded.request(), right.decoded.request());
        asked.retain(|one| !CUT.contains(&one.name.name));
    }
    let mut answered = Vec::new();
    // What is secret is left out of the response, and counts all the same.
    let said = |side: &Side| (side.decoded.response.clone(), side.decoded.response_hidden.clone());
    let is_answered_alike = said(&left) == said(&right);
    if !is_answered_alike {
        answered = compare(left.decoded.answer(), right.decoded.answer());
    }
    let is_same = sent == also && is_answered_alike;
    let is_explained = (sent == also || !asked.is_empty()) && (asked.len() + answered.len() > 0);
    let varies = |one: &Differing| match one.varies() {
        Some(Varies::Computed) => sent != also,
        Some(Varies::Random | Varies::Assigned) => true,
        None => false,
    };
    let alike = if is_same {
        Alike::Same
    } else if is_explained && asked.iter().chain(&answered).all(varies) {
        Alike::Varies
    } else {
        Alike::Differs
    };
    Row { left: Some(left), right: Some(right), asked, answered, alike }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::octets;

    fn session(exchanges: &[(&str, &str)]) -> Vec<Event> {
        exchanges.iter().map(|(command, response)| Event::exchange(octets(command), octets(response))).collect()
    }

    #[test]
    fn steps_of_two_sessions_are_laid_side_by_side() {
        let left = session(&[
            ("00A40004023F00", "9000"),
            ("00B0000001", "989000"),
            ("0084000004", "010203049000"),
            ("00A40004022FE2", "9000"),
        ]);
        let right = session(&[
            ("01A40004023F00", "9000"),
            ("01A40004022F05", "9000"),
            ("01B0000001", "899000"),
            ("0184000004", "040302019000"),
        ]);
        let rows = side_by_side(&left, &right);
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                let number = |side: &Option<Side>| side.as_ref().map_or(0, |side| side.number);
                let fields =
                    row.asked.iter().chain(&row.answered).map(|one| one.name.name).collect::<Vec<_>>().join(" ");
                (number(&row.left), number(&row.right), row.alike, fields)
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, 1, Alike::Same, String::new()),
                (0, 2, Alike::Differs, String::new()),
                (2, 3, Alike::Differs, "data".to_owned()),
                (3, 4, Alike::Varies, "challenge".to_owned()),
                (4, 0, Alike::Differs, String::new()),
            ]
        );
        let long: Vec<usize> = (0..9000).collect();
        assert!(operations(&long, &long).all(|part| matches!(part, DiffOp::Equal { .. })));
        let other: Vec<usize> = (10_000..10_100).collect();
        let lengths = operations(&long, &other).map(|part| (part.old_range().len(), part.new_range().len()));
        assert_eq!(lengths.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1)), (9000, 100));
        assert!(side_by_side(&left, &left).iter().all(|row| row.alike == Alike::Same));
    }
}
