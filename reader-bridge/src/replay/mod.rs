//! Recorded sessions, played again: the card's side to a host, the host's side to a card ([`RecordedHost`]), and two of them
//! [side by side](side_by_side()).
//!
//! A [`RecordedCard`] answers each command as the recording does. Commands are found in the order they were recorded. A host need
//! not send the same bytes: the channel may be another, blocks of STORE DATA may be cut otherwise, GET RESPONSE may fetch in other
//! portions, and what a host draws anew each time (challenges, transaction identifiers, signatures, one-time keys) may differ. A
//! command that only reads is answered again and again, as at that point of the session. One that was never recorded gets a
//! status word of its own.

mod host;
mod once;
mod recording;
mod side_by_side;
mod taken;
mod tolerance;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;

use apdu::{Icc, Ins, StatusWord};

pub use host::{Lost, NotSent, Outcome, RecordedHost, Step};
pub use recording::Recording;
use recording::{Asked, Key, Selected};
pub use side_by_side::{Alike as RowAlike, Row, Side, side_by_side};
pub use taken::Taken;
use tolerance::{Alike, alike, is_meant, nearness};
pub use turn::{Exchange, Turn};

/// How a command of a host stands to the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is the next one, or one of those that follow without anything between them that changes the card.
    InOrder,
    /// It is further on: what changes the card in between was not asked for.
    Ahead,
    /// It was asked before.
    Again,
    /// It is not recorded.
    Nowhere,
}

/// What a host asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The command, the first of several blocks.
    pub command: Vec<u8>,
    /// Where it was found.
    pub found: Found,
    /// Number of the recorded command, from 0: see [`Recording::command`]. Of one that is not recorded, the nearest there is.
    pub recorded: Option<usize>,
    /// Whether it differs from the recorded one, where it may.
    pub differs: bool,
    /// The response.
    pub response: Vec<u8>,
}

/// How a recorded card behaves where the recording does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Answer to reset, if the recording has none or another one is wanted.
    pub atr: Option<Vec<u8>>,
    /// Status word for commands that are not recorded.
    pub unknown: StatusWord,
}

impl Default for Options {
    fn default() -> Self {
        Self { atr: None, unknown: StatusWord::TECHNICAL_PROBLEM }
    }
}

/// Of a card whose answer to reset was not recorded: direct convention, T=0, nothing else. ISO/IEC 7816-3 §8.2.
const PLAIN_ATR: [u8; 2] = [0x3B, 0x00];
/// The longest command that is put together of blocks.
const LONGEST: usize = 0x2_0000;

/// The card's side of a recorded session.
#[derive(Debug)]
pub struct RecordedCard<L> {
    recording: Arc<Recording>,
    options: Options,
    listener: L,
    /// The first recorded command that has not been reached.
    next: usize,
    cold: usize,
    warm: usize,
    channels: BTreeMap<u8, Channel>,
}

/// A channel of the host.
#[derive(Debug, Default)]
struct Channel {
    selected: Selected,
    /// Blocks that wait for the last one.
    begun: Option<(Key, Vec<u8>)>,
    /// What GET RESPONSE fetches: data and status word.
    waiting: Option<Vec<u8>>,
}

impl<L: FnMut(Heard)> RecordedCard<L> {
    /// The card of a recording; `listener` hears every command but GET RESPONSE.
    pub fn new(recording: Arc<Recording>, options: Options, listener: L) -> Self {
        Self { recording, options, listener, next: 0, cold: 0, warm: 0, channels: BTreeMap::new() }
    }

    /// To reset number `count` of those that were `recorded`.
    fn answer_to_reset(&self, recorded: &[Vec<u8>], count: usize) -> Vec<u8> {
        if let Some(atr) = &self.options.atr {
            return atr.clone();
        }
        let at = count.saturating_sub(1).min(recorded.len().saturating_sub(1));
        let known = |list: &[Vec<u8>]| list.iter().find(|atr| !atr.is_empty()).cloned();
        let here = recorded.get(at).filter(|atr| !atr.is_empty()).cloned();
        here.or_else(|| known(recorded)).or_else(|| known(&self.recording.cold)).unwrap_or_else(|| PLAIN_ATR.to_vec())
    }

    fn answer(&mut self, command: &[u8]) -> Vec<u8> {
        let Some((number, key)) = Key::of(command) else {
            return self.unknown(command, None);
        };
        let channel = self.channels.entry(number).or_default();
        if key.ins == Ins::GET_RESPONSE
            && let Some(waiting) = channel.waiting.take()
        {
            return fetch(channel, waiting, key.ne);
        }
        channel.waiting = None;
        let (key, first) = match channel.begun.take() {
            Some((begun, first)) if begun.is_continued_by(&key) => (begun.joined(key), first),
            _ => (key, command.to_vec()),
        };
        let selected = channel.selected.clone();
        if key.has_more() && key.data.len() <= LONGEST && !self.is_refused_here(&key) {
            self.channels.entry(number).or_default().begun = Some((key, first));
            return StatusWord::OK.0.to_be_bytes().to_vec();
        }
        match self.find(&key, &selected) {
            Some((at, found, how)) => self.found(number, &key, first, at, found, how),
            None => self.unknown(&first, Some(&key)),
        }
    }

    /// Whether the recorded card refused a chain of blocks at this one.
    fn is_refused_here(&self, key: &Key) -> bool {
        let rest = self.recording.asked.get(self.next..).unwrap_or_default();
        let mut here = rest.iter().take_while(|asked| !asked.changes);
        here.any(|asked| {
            asked.key.has_more() && asked.key.data.len() == key.data.len() && alike(&asked.key, key).is_some()
        })
    }

    /// Where a command is in the recording.
    fn find(&self, key: &Key, selected: &Selected) -> Option<(usize, Found, Alike)> {
        let asked = &self.recording.asked;
        let fits = |at: usize| {
            let candidate = asked.get(at)?;
            let is_there = is_meant(key, &candidate.selected, selected);
            Some((at, alike(&candidate.key, key).filter(|_| is_there)?))
        };
        let has_changed = |at: &usize| asked.get(*at).is_some_and(|asked| asked.changes);
        // From the next one on: up to the first that changes the card, and beyond it.
        let change = (self.next..asked.len()).find(has_changed).unwrap_or(asked.len());
        let in_order: Vec<_> = (self.next..=change).filter_map(fits).collect();
        let ahead: Vec<_> = (change.saturating_add(1)..asked.len()).filter_map(fits).collect();
        // And backwards: down to the last that has changed it, and before that.
        let changed = (0..self.next).rev().find(has_changed).map_or(0, |at| at + 1);
        let since: Vec<_> = (changed..self.next).rev().filter_map(fits).collect();
        let before: Vec<_> = (0..changed).rev().filter_map(fits).collect();
        let again = if tolerance::changes(key) { (&[][..], since.as_slice()) } else { (since.as_slice(), &[][..]) };
        let places = [
            (Found::InOrder, in_order.as_slice()),
            (Found::Again, again.0),
            (Found::Ahead, ahead.as_slice()),
            (Found::Again, again.1),
            (Found::Again, before.as_slice()),
        ];
        let of = |wanted: &[Alike], places: &[(Found, &[(usize, Alike)])]| {
            places.iter().find_map(|(found, here)| {
                let (at, how) = here.iter().find(|(_, how)| wanted.contains(how))?;
                Some((*at, *found, *how))
            })
        };
        let (near, far) = places.split_at(2);
        let same: &[Alike] = &[Alike::Same];
        let any: &[Alike] = &[Alike::Same, Alike::OtherLe, Alike::Tolerated];
        of(same, near).or_else(|| of(any, near)).or_else(|| of(same, far)).or_else(|| of(any, far))
    }

    /// Answers as recorded.
    fn found(&mut self, number: u8, key: &Key, first: Vec<u8>, at: usize, found: Found, how: Alike) -> Vec<u8> {
        let recording = Arc::clone(&self.recording);
        let Some(asked) = recording.asked.get(at) else { return self.unknown(&first, Some(key)) };
        if found != Found::Again {
            self.next = at + 1;
        }
        let (mut response, mut fetched) = (asked.response.clone(), asked.fetched.clone());
        if asked.is_done() && key.ins == Ins::MANAGE_CHANNEL {
            // The number is in the response, or is fetched.
            let answer = if response.len() > 2 { Some(&mut response) } else { fetched.as_mut() };
            self.manage_channel(key, asked, answer.and_then(|answer| answer.first_mut()));
        }
        let channel = self.channels.entry(number).or_default();
        if asked.is_done() && key.ins == Ins::SELECT {
            channel.selected.select(key);
        }
        channel.waiting = fetched;
        // What the host asks for is what it takes.
        let data = response.len().saturating_sub(2);
        if how == Alike::OtherLe && (1..data).contains(&key.ne) {
            response = StatusWord::exact_length(data).0.to_be_bytes().to_vec();
        }
        (self.listener)(Heard {
            command: first,
            found,
            recorded: Some(at),
            differs: how == Alike::Tolerated,
            response: response.clone(),
        });
        response
    }

    /// A channel is opened or closed; a number that the host uses already is not given again.
    fn manage_channel(&mut self, key: &Key, asked: &Asked, told: Option<&mut u8>) {
        if key.p1 != 0 {
            self.channels.remove(&key.p2);
            return;
        }
        let Some(mut number) = asked.opened() else { return };
        if let Some(told) = told.filter(|_| asked.key.p2 == 0 && self.channels.contains_key(&number)) {
            number = (1..=19).find(|free| !self.channels.contains_key(free)).unwrap_or(number);
            *told = number;
        }
        self.channels.insert(number, Channel::default());
    }

    /// Nothing like it was recorded.
    fn unknown(&mut self, command: &[u8], key: Option<&Key>) -> Vec<u8> {
        let response = self.options.unknown.0.to_be_bytes().to_vec();
        let asked = self.recording.asked.iter().enumerate();
        let nearest = key.and_then(|key| asked.max_by_key(|(at, asked)| (nearness(&asked.key, key), *at >= self.next)));
        let recorded = nearest.map(|(at, _)| at);
        (self.listener)(Heard {
            command: command.to_vec(),
            found: Found::Nowhere,
            recorded,
            differs: true,
            response: response.clone(),
        });
        response
    }
}

/// So many octets of what waits, and `61XX` if there is more.
fn fetch(channel: &mut Channel, mut waiting: Vec<u8>, ne: usize) -> Vec<u8> {
    let data = waiting.len().saturating_sub(2);
    if ne >= data {
        return waiting;
    }
    let rest = waiting.split_off(ne);
    let more = rest.len().saturating_sub(2);
    channel.waiting = Some(rest);
    waiting.extend(StatusWord::bytes_available(more).0.to_be_bytes());
    waiting
}

impl<L: FnMut(Heard)> Icc for RecordedCard<L> {
    fn power_on(&mut self) -> Vec<u8> {
        self.channels.clear();
        self.cold += 1;
        self.answer_to_reset(&self.recording.cold, self.cold)
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.channels.clear();
        self.warm += 1;
        self.answer_to_reset(&self.recording.warm, self.warm)
    }

    fn power_off(&mut self) {
        self.channels.clear();
    }

    fn atr(&self) -> Vec<u8> {
        self.answer_to_reset(&self.recording.cold, self.cold)
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        response.extend(self.answer(command));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use capture::{Event, LeftOut, Part, What};

    use super::*;
    use crate::testing::octets;

    fn recording(exchanges: &[(&str, &str)]) -> Arc<Recording> {
        let mut events = vec![Event::new(What::Reset { atr: vec![0x3B, 0x02, 0x14, 0x50], warm: false })];
        events.extend(exchanges.iter().map(|(command, response)| Event::exchange(octets(command), octets(response))));
        Arc::new(Recording::of(&events))
    }

    /// Plays a dialogue; what was found where.
    fn play(recording: &Arc<Recording>, dialogue: &[(&str, &str)]) -> Vec<(Found, Option<usize>)> {
        let heard = Mutex::new(Vec::new());
        let listener = |what: Heard| heard.lock().unwrap().push((what.found, what.recorded));
        let mut card = RecordedCard::new(Arc::clone(recording), Options::default(), listener);
        assert_eq!(card.power_on(), [0x3B, 0x02, 0x14, 0x50]);
        for (command, expected) in dialogue {
            let mut response = Vec::new();
            card.transmit(&octets(command), &mut response);
            assert_eq!(hex::encode_upper(response), expected.replace(' ', ""), "{command}");
        }
        drop(card);
        heard.into_inner().unwrap()
    }

    const LIST: (&str, &str) = ("81E2910003BF2D00", "6103");
    const ENABLE: (&str, &str) = ("81E2910005BF31028000", "6104");

    /// A list, a change, and the list after it.
    fn enabling() -> Arc<Recording> {
        recording(&[
            ("0070000001", "019000"),
            ("01A4040002A000", "9000"),
            LIST,
            ("81C0000003", "AAAAAA9000"),
            ENABLE,
            ("81C0000004", "BBBBBBBB9000"),
            LIST,
            ("81C0000003", "CCCCCC9000"),
        ])
    }

    #[test]
    fn what_is_read_depends_on_what_was_changed() {
        use Found::{Again, InOrder, Nowhere};
        let heard = play(
            &enabling(),
            &[
                ("0070000001", "019000"),
                ("01A4040002A000", "9000"),
                ("81E2910003BF2D00", "6103"),
                ("81C0000001", "AA6102"),
                ("81C0000000", "AAAA9000"),
                // Another channel, the same blocks cut otherwise, and the same list.
                ("0070000001", "029000"),
                ("02A4040002A000", "9000"),
                ("82E2110001BF", "9000"),
                ("82E29101022D00", "6103"),
                ("82C0000003", "AAAAAA9000"),
                ("82E2910005BF31028001", "6F00"),
                ("82E2910005BF31028000", "6104"),
                ("82C0000004", "BBBBBBBB9000"),
                ("81E2910003BF2D00", "6103"),
                ("81C0000003", "CCCCCC9000"),
                ("81E2910003BF2D00", "6103"),
                ("81C0000003", "CCCCCC9000"),
            ],
        );
        let expected = [
            (InOrder, 0),
            (InOrder, 1),
            (InOrder, 2),
            (Again, 0),
            (Again, 1),
            (Again, 2),
            (Nowhere, 3),
            (InOrder, 3),
            (InOrder, 4),
            (Again, 4),
        ];
        assert_eq!(heard, expected.map(|(found, at)| (found, Some(at))));
    }

    #[test]
    fn what_is_read_comes_from_the_file_that_is_selected() {
        let two = recording(&[
            ("00A40004023F00", "9000"),
            ("00A40004022FE2", "9000"),
            ("00B0000002", "98009000"),
            ("00A40004022F00", "9000"),
            ("00B0000002", "61119000"),
        ]);
        let heard = play(
            &two,
            &[
                ("00A40004022F00", "9000"),
                ("00B0000002", "61119000"),
                ("00A40004023F00", "9000"),
                ("00A40004022FE2", "9000"),
                ("00B0000002", "98009000"),
                ("00B0000001", "6C02"),
                ("00A40004022F05", "6F00"),
            ],
        );
        let last: Vec<_> = heard.iter().rev().take(2).map(|(found, _)| *found).collect();
        assert_eq!(last, [Found::Nowhere, Found::Again]);
    }

    /// The number of a channel that GET RESPONSE brings, and warm resets of their own.
    #[test]
    fn a_channel_is_opened_whose_number_is_fetched() {
        let mut events = vec![Event::new(What::Reset { atr: vec![0x3B, 0x00], warm: false })];
        events.extend([[0x3B, 0x01], [0x3B, 0x02]].map(|atr| Event::new(What::Reset { atr: atr.into(), warm: true })));
        let exchanges = [("0070000001", "6101"), ("00C0000001", "029000"), ("02A4040002A000", "9000")];
        events.extend(exchanges.map(|(command, response)| Event::exchange(octets(command), octets(response))));
        let recording = Arc::new(Recording::of(&events));
        let mut card = RecordedCard::new(recording, Options::default(), |_: Heard| {});
        assert_eq!(card.power_on(), [0x3B, 0x00]);
        assert_eq!((card.warm_reset(), card.warm_reset()), (vec![0x3B, 0x01], vec![0x3B, 0x02]));
        let mut answered = |command: &str| {
            let mut response = Vec::new();
            card.transmit(&octets(command), &mut response);
            hex::encode_upper(response)
        };
        for number in ["029000", "019000"] {
            assert_eq!((answered("0070000001"), answered("00C0000001")), ("6101".to_owned(), number.to_owned()));
        }
        assert_eq!((answered("02A4040002A000"), answered("01A4040002A000")), ("9000".to_owned(), "9000".to_owned()));
    }

    /// A key that was left out of the recording is whatever the host sends; what is around it is not.
    #[test]
    fn a_secret_that_was_left_out_may_be_any() {
        let left_out = vec![LeftOut { part: Part::Command, range: 6..8, name: "adm".into() }];
        let event = Event { left_out, ..Event::exchange(octets("80DA0000042A2A2A2A"), octets("9000")) };
        let recording = Arc::new(Recording::of(&[event]));
        for (command, expected) in [("80DA0000042A11222A", "9000"), ("80DA00000433112233", "6F00")] {
            let mut card = RecordedCard::new(Arc::clone(&recording), Options::default(), |_: Heard| {});
            let mut response = Vec::new();
            card.transmit(&octets(command), &mut response);
            assert_eq!(hex::encode_upper(response), expected, "{command}");
        }
    }

    #[test]
    fn what_is_drawn_anew_is_tolerated_in_order() {
        let session = recording(&[
            ("80E2910003BF2E00", "9000"),
            ("80E2910007BF380480021122", "6A80"),
            ("80E2910007BF380480021133", "9000"),
            ("80E29100028600", "9000"),
            ("80E29100028600", "6985"),
        ]);
        let heard = play(
            &session,
            &[
                ("80E2910003BF2E00", "9000"),
                ("80E2910007BF38048002AAAA", "6A80"),
                ("80E2910007BF38048002BBBB", "9000"),
                ("80E2910003860177", "9000"),
                ("80E2910003860178", "6985"),
                ("00", "6F00"),
            ],
        );
        assert_eq!(
            heard.iter().map(|(_, at)| *at).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2), Some(3), Some(4), None]
        );
    }
}
