//! A recorded session as a list of what was asked, each with all it took: blocks of STORE DATA, chained commands, GET RESPONSE.

use std::collections::BTreeMap;
use std::ops::Range;

use apdu::{Command, Ins, SecureMessaging};
use capture::{Event, LeftOut, Part, What, is_masked};

use super::tolerance;

/// What a command asks for, on whatever channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Whether the class is proprietary; the rest of it is the channel, and what follows.
    is_proprietary: bool,
    pub(super) protection: SecureMessaging,
    pub(super) ins: Ins,
    pub(super) p1: u8,
    pub(super) p2: u8,
    pub(super) data: Vec<u8>,
    pub(super) ne: usize,
    /// Octets of the data that were left out when it was recorded: a PIN, a secret.
    pub(super) left_out: Vec<Range<usize>>,
    /// More blocks follow.
    has_more: bool,
}

/// P1 of STORE DATA: this is the last block. GlobalPlatform §11.11.2.1.
const LAST_BLOCK: u8 = 0x80;

impl Key {
    /// Of a single command, with its channel; `None` if it is none.
    pub(super) fn of(command: &[u8]) -> Option<(u8, Self)> {
        let parsed = Command::parse(command).ok()?;
        let is_block = parsed.ins == Ins::STORE_DATA;
        let has_more = if is_block { parsed.p1 & LAST_BLOCK == 0 } else { parsed.class.is_chained() };
        let key = Self {
            is_proprietary: parsed.class.is_proprietary(),
            protection: parsed.class.secure_messaging(),
            ins: parsed.ins,
            // Which block it is says nothing of what is asked.
            p1: if is_block { parsed.p1 | LAST_BLOCK } else { parsed.p1 },
            p2: if is_block { 0 } else { parsed.p2 },
            data: parsed.data.to_vec(),
            ne: parsed.ne,
            left_out: is_masked(command).then_some(0..parsed.data.len()).into_iter().collect(),
            has_more,
        };
        Some((parsed.class.channel(), key))
    }

    /// Whether more blocks follow this one.
    pub(super) const fn has_more(&self) -> bool {
        self.has_more
    }

    /// Class without channel, instruction, P1, P2.
    pub(super) const fn header(&self) -> [u8; 4] {
        let class = (self.is_proprietary as u8) << 7 | self.protection as u8;
        [class, self.ins.0, self.p1, self.p2]
    }

    /// The same, of a command of which this was left out.
    fn without(mut self, command: &[u8], left_out: &[LeftOut]) -> Self {
        let before = Command::parse(command).map_or(0, |parsed| 5 + 2 * usize::from(parsed.extended));
        let of_data = left_out.iter().filter(|left_out| left_out.part == Part::Command).map(|left_out| &left_out.range);
        self.left_out.extend(of_data.map(|range| range.start.saturating_sub(before)..range.end.saturating_sub(before)));
        self
    }

    /// Whether other data is the same, but for what was left out of this.
    pub(super) fn is_alike_but_for_secrets(&self, data: &[u8]) -> bool {
        let is_left_out = |at: usize| self.left_out.iter().any(|range| range.contains(&at));
        let mut octets = self.data.iter().zip(data).enumerate();
        self.data.len() == data.len() && octets.all(|(at, (here, there))| here == there || is_left_out(at))
    }

    /// The next block of what this begins.
    pub(super) fn joined(mut self, next: Self) -> Self {
        let before = self.data.len();
        self.left_out.extend(next.left_out.iter().map(|range| range.start + before..range.end + before));
        self.data.extend(next.data);
        Self { ne: next.ne, has_more: next.has_more, p1: next.p1, ..self }
    }

    /// Whether `next` continues this.
    pub(super) fn is_continued_by(&self, next: &Self) -> bool {
        self.has_more && (self.is_proprietary, self.ins) == (next.is_proprietary, next.ins)
    }
}

/// What is selected on a channel, as the data of the SELECT commands that led there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected(Vec<Vec<u8>>);

impl Default for Selected {
    fn default() -> Self {
        Self(vec![MF.to_vec()])
    }
}

const MF: [u8; 2] = [0x3F, 0x00];
/// P1 of SELECT. TS 102 221 table 11.1.
const BY_NAME: u8 = 0x04;
const FROM_MF: u8 = 0x08;

impl Selected {
    /// After a SELECT that succeeded.
    pub(super) fn select(&mut self, key: &Key) {
        match (key.p1, key.data.as_slice()) {
            (BY_NAME | FROM_MF, _) | (_, [0x3F, 0x00]) => self.0.clear(),
            (_, [0x7F, 0xFF]) => self.0.truncate(1),
            (_, [0x7F, _]) => *self = Self::default(),
            _ => self.leave_file(),
        }
        self.0.push(key.data.clone());
    }

    /// The directory alone.
    pub(super) fn directory(&self) -> Self {
        let mut directory = self.clone();
        directory.leave_file();
        directory
    }

    /// An elementary file is told by its identifier. TS 102 221 §8.3.
    fn leave_file(&mut self) {
        self.0.pop_if(|last| matches!(last.as_slice(), [0x2F | 0x4F | 0x6F, _]));
    }
}

/// Something that was asked, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) key: Key,
    /// Line or packet of the recording, where it begins.
    pub(super) line: Option<usize>,
    /// Its first command, as recorded.
    pub(super) command: Vec<u8>,
    /// The response to its last command.
    pub(super) response: Vec<u8>,
    /// What GET RESPONSE fetched afterwards: data, SW1, SW2.
    pub(super) fetched: Option<Vec<u8>>,
    /// What was selected before.
    pub(super) selected: Selected,
    /// Whether later answers depend on it.
    pub(super) changes: bool,
}

impl Asked {
    /// Whether the card has carried it out.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.response.last_chunk(), Some([0x90 | 0x91 | 0x61 | 0x9F | 0x62 | 0x63, _]))
    }

    /// Takes what GET RESPONSE brought; whether more is to follow.
    fn fetch(&mut self, response: &[u8]) -> bool {
        if matches!(response, [.., 0x6C, _]) {
            return true;
        }
        let mut fetched = self.fetched.take().unwrap_or_default();
        // The status word of the part before says only that there is more.
        fetched.truncate(fetched.len().saturating_sub(2));
        fetched.extend(response);
        self.fetched = Some(fetched);
        announces(response)
    }

    /// Of a MANAGE CHANNEL that opens one: its number, in the command, in the response or fetched. TS 102 221 §11.1.17
    pub(super) fn opened(&self) -> Option<u8> {
        if self.key.p1 != 0 {
            return None;
        }
        let told = || match (self.response.as_slice(), self.fetched.as_deref()) {
            ([number, _, _], _) | (_, Some([number, _, _])) => Some(*number),
            _ => None,
        };
        let number = if self.key.p2 == 0 { told() } else { Some(self.key.p2) };
        number.filter(|number| (1..=19).contains(number))
    }
}

/// A recorded session, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    pub(super) asked: Vec<Asked>,
    /// Answers to cold resets and to warm ones, in order; empty ones were not recorded.
    pub(super) cold: Vec<Vec<u8>>,
    pub(super) warm: Vec<Vec<u8>>,
}

/// What a channel was left with while a session is put together.
#[derive(Default)]
struct Open {
    selected: Selected,
    /// Blocks that wait for the last one.
    begun: Option<(Key, Vec<u8>, Option<usize>)>,
    /// What GET RESPONSE would fetch more of.
    announcing: Option<usize>,
}

impl Recording {
    /// Puts a session together.
    pub fn of(events: &[Event]) -> Self {
        let mut recording = Self::default();
        let mut channels: BTreeMap<u8, Open> = BTreeMap::new();
        for event in events {
            match &event.what {
                What::Reset { atr, warm } => {
                    channels.clear();
                    if *warm { &mut recording.warm } else { &mut recording.cold }.push(atr.clone());
                }
                What::PowerOff => channels.clear(),
                What::Exchange { command, response } => {
                    recording.take(&mut channels, command, response, event);
                }
                What::Failed { .. } => {}
            }
        }
        recording
    }

    /// How many commands it has, blocks and GET RESPONSE put together.
    pub const fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The first command of number `at`, and its line or packet in the recording.
    pub fn command(&self, at: usize) -> Option<(&[u8], Option<usize>)> {
        self.asked.get(at).map(|asked| (asked.command.as_slice(), asked.line))
    }

    fn take(&mut self, channels: &mut BTreeMap<u8, Open>, command: &[u8], response: &[u8], event: &Event) {
        let Some((channel, key)) = Key::of(command) else { return };
        let (key, line) = (key.without(command, &event.left_out), event.line);
        let open = channels.entry(channel).or_default();
        if key.ins == Ins::GET_RESPONSE
            && let Some(asked) = open.announcing.and_then(|at| self.asked.get_mut(at))
        {
            open.announcing = open.announcing.filter(|_| asked.fetch(response));
            if let Some(number) = asked.opened().filter(|_| asked.key.ins == Ins::MANAGE_CHANNEL) {
                channels.remove(&number);
            }
            return;
        }
        open.announcing = None;
        let (key, first, line) = match open.begun.take() {
            Some((begun, first, line)) if begun.is_continued_by(&key) => (begun.joined(key), first, line),
            _ => (key, command.to_vec(), line),
        };
        if key.has_more() && response == [0x90, 0x00] {
            open.begun = Some((key, first, line));
            return;
        }
        let mut asked = Asked {
            key,
            line,
            command: first,
            response: response.to_vec(),
            fetched: None,
            selected: open.selected.clone(),
            changes: false,
        };
        if asked.is_done() {
            asked.changes = tolerance::changes(&asked.key);
            if asked.key.ins == Ins::SELECT {
                open.selected.select(&asked.key);
            }
            if asked.key.ins == Ins::MANAGE_CHANNEL {
                // It is another one from now on, or none.
                let number = if asked.key.p1 == 0 { asked.opened() } else { Some(asked.key.p2) };
                number.map(|number| channels.remove(&number));
            }
        }
        if announces(response) {
            channels.entry(channel).or_default().announcing = Some(self.asked.len());
        }
        self.asked.push(asked);
    }
}

/// Whether GET RESPONSE is to follow.
const fn announces(response: &[u8]) -> bool {
    matches!(response, [.., 0x61 | 0x9F, _] | [0x62 | 0x63, _])
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn blocks_and_what_is_fetched_belong_together() {
        let events = [
            Event::new(What::Reset { atr: hex!("3B00").into(), warm: false }),
            Event::exchange(hex!("0070000001"), hex!("019000")),
            Event::exchange(hex!("01A4040002A000"), hex!("6102")),
            Event::exchange(hex!("01C0000002"), hex!("6F009000")),
            Event::exchange(hex!("81E2110002BF31"), hex!("9000")),
            Event::exchange(hex!("81E291010103"), hex!("6105")),
            Event::exchange(hex!("81C0000003"), hex!("BF31016102")),
            Event::exchange(hex!("81C0000005"), hex!("6C02")),
            Event::exchange(hex!("81C0000002"), hex!("80009000")),
            Event::exchange(hex!("80E2110002BF2D"), hex!("6A88")),
        ];
        let recording = Recording::of(&events);
        assert_eq!(recording.cold, [hex!("3B00")]);
        let told: Vec<_> = recording
            .asked
            .iter()
            .map(|asked| {
                (asked.key.data.as_slice(), asked.response.as_slice(), asked.fetched.as_deref(), asked.changes)
            })
            .collect();
        assert_eq!(
            told,
            [
                (&[][..], &hex!("019000")[..], None, false),
                (&hex!("A000"), &hex!("6102"), Some(&hex!("6F009000")[..]), false),
                (&hex!("BF3103"), &hex!("6105"), Some(&hex!("BF310180009000")), true),
                (&hex!("BF2D"), &hex!("6A88"), None, false),
            ]
        );
        assert_eq!(recording.asked[2].selected, Selected(vec![hex!("A000").to_vec()]));
    }
}
