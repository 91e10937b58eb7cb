//! Values that a recorded host took from answers: found in later commands, and replaced by what this card has answered.
//!
//! A value is followed if the card gave it first: what a command had before any answer did is the host's own. Of a field with
//! four octets or more every command may have it, as a field of its own or, from eight octets on, within one; shorter ones are
//! followed by name ([`SHORT`]).

use std::ops::Range;

use apdu::tlv::{Reader, Tlv, Writer};
use apdu::{Class, Command, Ins};
use decode::{Decoded, Differing, Field, Name, Source, Value, compare};

use super::turn::Turn;

/// Short fields that a host takes from an answer.
const SHORT: &[&str] = &["es10.seq_number", "cat.command_number"];
/// A field of a command that has so many octets of an answer's field has them from there.
const FIELD: usize = 4;
/// So many octets of an answer are found anywhere in a command.
const ANYWHERE: usize = 8;

/// So many values of one answer are followed, and so many in all, the newest; each is sought in what the host sent before.
const OF_ANSWER: usize = 256;
const MOST_VALUES: usize = 2048;
/// Behind so many octets of the host no new value is followed: nothing says any more whose it was.
const MOST_SENT: usize = 4 << 20;

/// A value that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The field of the answer.
    pub name: Name,
    /// Number of the event that this was the answer to.
    pub from: usize,
    /// What the command has in the recording.
    pub recorded: Vec<u8>,
    /// What it has now.
    pub sent: Vec<u8>,
}

/// What is known of answers so far.
#[derive(Debug, Default)]
pub(super) struct Values {
    known: Vec<Taken>,
    /// What the host has sent in the recording.
    hosts: Vec<Vec<u8>>,
    /// How many octets that is.
    sent: usize,
}

impl Values {
    /// Takes notice of a command as it is recorded, and of both answers.
    pub(super) fn learn(&mut self, number: usize, turn: &Turn, recorded: (&Decoded, &[u8]), live: (&Decoded, &[u8])) {
        let request = turn.request();
        self.sent += request.len();
        if self.sent <= MOST_SENT {
            self.hosts.push(request);
        }
        for Differing { name, left, right, .. } in
            compare(recorded.0.answer(), live.0.answer()).into_iter().take(OF_ANSWER)
        {
            let octets =
                |field: Option<Field>, data: &[u8]| found(&field?, Source::Response, data).map(|at| data[at].to_vec());
            let values = octets(left, recorded.1).zip(octets(right, live.1));
            let Some((recorded, sent)) = values.filter(|(recorded, sent)| recorded != sent && !sent.is_empty()) else {
                continue;
            };
            if self.is_cards(name, &recorded) {
                self.known.retain(|known| known.recorded != recorded);
                let surplus = (self.known.len() + 1).saturating_sub(MOST_VALUES);
                self.known.drain(..surplus);
                self.known.push(Taken { name, from: number, recorded, sent });
            }
        }
    }

    /// Whether a value is worth following, and the host did not have it before.
    fn is_cards(&self, name: Name, value: &[u8]) -> bool {
        if value.len() < FIELD {
            return SHORT.contains(&name.name);
        }
        // Padding and empty counters are everywhere.
        let is_plain = value.iter().all(|octet| Some(octet) == value.first());
        !is_plain && self.sent <= MOST_SENT && !self.hosts.iter().any(|sent| occurs(value, sent).next().is_some())
    }

    /// The data of a turn's commands, put together, with this card's values in it; and which those are.
    pub(super) fn fill(&self, turn: &Turn, decoded: &Decoded) -> (Vec<u8>, Vec<Taken>) {
        let data = turn.request();
        let mut changes: Vec<(Range<usize>, &Taken)> = Vec::new();
        let leaves = leaves(turn, decoded, &data);
        for known in self.known.iter().rev() {
            let as_field = leaves.iter().filter(|(name, at)| {
                let is_it = data.get(at.clone()) == Some(&known.recorded);
                is_it && (known.recorded.len() >= FIELD || *name == known.name)
            });
            let within = occurs(&known.recorded, &data).filter(|_| known.recorded.len() >= ANYWHERE);
            for at in as_field.map(|(_, at)| at.clone()).chain(within) {
                if !changes.iter().any(|(other, _)| other.start < at.end && at.start < other.end) {
                    changes.push((at, known));
                }
            }
        }
        changes.sort_by_key(|(at, _)| at.start);
        let mut taken: Vec<Taken> = Vec::new();
        for (_, known) in &changes {
            if !taken.contains(known) {
                taken.push((*known).clone());
            }
        }
        let changes: Vec<_> = changes.into_iter().map(|(at, known)| (at, known.sent.as_slice())).collect();
        match replaced(&data, 0, &changes) {
            Some(filled) => (filled, taken),
            // A value of another length where nothing says how long it is.
            None => (data, Vec::new()),
        }
    }
}

/// Where `value` is in `data`.
fn occurs<'a>(value: &'a [u8], data: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
    let length = value.len().max(1);
    data.windows(length).enumerate().filter(move |(_, window)| *window == value).map(move |(at, _)| at..at + length)
}

/// Fields of the command that have a value, and where that is in the data put together.
fn leaves(turn: &Turn, decoded: &Decoded, data: &[u8]) -> Vec<(Name, Range<usize>)> {
    let last = turn.last_of_chain();
    let before = Command::parse(last).map_or(0, |command| 5 + 2 * usize::from(command.extended));
    let place = |field: &Field| {
        if let Some(at) = found(field, Source::Request, data) {
            return Some(at);
        }
        let at = found(field, Source::Command, last)?;
        let at = at.start.checked_sub(before)?..at.end.checked_sub(before)?;
        (turn.blocks == 1 && at.end <= data.len()).then_some(at)
    };
    decoded.all().filter_map(|field| Some((field.name, place(field)?))).collect()
}

/// Where the value of a field is in what it was found in: a field of a TLV has tag and length in front.
fn found(field: &Field, source: Source, whole: &[u8]) -> Option<Range<usize>> {
    let place = field.place.as_ref().filter(|place| place.source == source)?;
    let raw = whole.get(place.octets.clone())?;
    let length = match &field.value {
        Value::None | Value::Hidden(_) => return None,
        Value::Octets(octets) => octets.len(),
        Value::Number(number)
            if raw.len() <= 8 && raw.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)) == *number =>
        {
            raw.len()
        }
        _ => Tlv::parse(raw).map_or(raw.len(), |tlv| tlv.value.len()),
    };
    let end = place.octets.end;
    (length > 0 && length <= raw.len()).then(|| end - length..end)
}

/// `data`, which begins at `offset`, with `changes` made. Where lengths change, those of the TLVs around change too; `None` if
/// there are none.
fn replaced(data: &[u8], offset: usize, changes: &[(Range<usize>, &[u8])]) -> Option<Vec<u8>> {
    let here = |at: &Range<usize>| at.start >= offset && at.end <= offset + data.len();
    let changes: Vec<_> = changes.iter().filter(|(at, _)| here(at)).cloned().collect();
    if changes.iter().all(|(at, value)| at.len() == value.len()) {
        let mut octets = data.to_vec();
        for (at, value) in changes {
            octets.get_mut(at.start - offset..at.end - offset)?.copy_from_slice(value);
        }
        return Some(octets);
    }
    if let [(at, value)] = changes.as_slice()
        && (at.start, at.len()) == (offset, data.len())
    {
        return Some(value.to_vec());
    }
    let (mut reader, mut writer) = (Reader::new(data), Writer::new());
    while let Some(tlv) = reader.next().ok()? {
        let end = offset + data.len() - reader.rest().len();
        let value = replaced(tlv.value, end - tlv.value.len(), &changes)?;
        if value == tlv.value {
            writer.raw(tlv.raw)
        } else {
            writer.primitive(tlv.tag, &value)
        };
    }
    let is_inside = |at: &Range<usize>| within_value(data, offset, at);
    changes.iter().all(|(at, _)| is_inside(at)).then(|| writer.into_bytes())
}

/// Whether a place is within the value of one of the TLVs in `data`.
fn within_value(data: &[u8], offset: usize, at: &Range<usize>) -> bool {
    let mut reader = Reader::new(data);
    while let Ok(Some(tlv)) = reader.next() {
        let end = offset + data.len() - reader.rest().len();
        if at.start >= end - tlv.value.len() && at.end <= end {
            return true;
        }
    }
    false
}

/// The commands of a turn with other data, cut as they were. Data of another length is cut into blocks as long as the first.
pub(super) fn cut(turn: &Turn, data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let chain: Vec<_> = turn.chain().collect();
    let parsed = chain.iter().map(|command| Command::parse(command).ok()).collect::<Option<Vec<_>>>()?;
    let lengths: Vec<_> = parsed.iter().map(|command| command.data.len()).collect();
    if lengths.iter().sum::<usize>() == data.len() {
        let mut rest = data;
        let mut commands = Vec::new();
        for (command, length) in chain.iter().zip(lengths) {
            let (part, after) = rest.split_at_checked(length)?;
            commands.push(with_data(command, part)?);
            rest = after;
        }
        return Some(commands);
    }
    let (first, last) = (parsed.first()?, parsed.last()?);
    if first.ins != Ins::STORE_DATA || chain.len() == 1 {
        let [command] = chain.as_slice() else { return None };
        return Some(vec![with_data(command, data)?]);
    }
    let size = first.data.len().max(1);
    let count = data.len().div_ceil(size);
    let parts = data.chunks(size).enumerate().map(|(at, part)| {
        let like = if at + 1 == count { last } else { first };
        let mut command = with_data(chain.get(if at + 1 == count { chain.len() - 1 } else { 0 })?, part)?;
        *command.get_mut(2)? = like.p1;
        *command.get_mut(3)? = u8::try_from(at).ok()?;
        Some(command)
    });
    parts.collect()
}

/// A command with other data; `None` if it does not fit.
fn with_data(command: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let parsed = Command::parse(command).ok()?;
    if parsed.data.len() == data.len() {
        let mut same = command.to_vec();
        let from = 5 + 2 * usize::from(parsed.extended);
        if !data.is_empty() {
            same.get_mut(from..from + data.len())?.copy_from_slice(data);
        }
        return Some(same);
    }
    let mut other = command.get(..4)?.to_vec();
    let le = parsed.ne > 0;
    if parsed.extended || data.len() > 255 {
        other.push(0);
        other.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        other.extend(data);
        other.extend(le.then_some([0, 0]).into_iter().flatten());
    } else {
        other.push(u8::try_from(data.len()).ok()?);
        other.extend(data);
        other.extend(le.then(|| u8::try_from(parsed.ne).unwrap_or(0)));
    }
    Some(other)
}

/// The channels of a card, by what they are called in the recording.
#[derive(Debug, Default)]
pub(super) struct Channels(std::collections::BTreeMap<u8, u8>);

impl Channels {
    /// As after a reset.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn open(&mut self, recorded: u8, live: u8) {
        self.0.insert(recorded, live);
    }

    /// What a channel is called now; itself, if nothing is known.
    pub(super) fn of(&self, recorded: u8) -> u8 {
        self.0.get(&recorded).copied().unwrap_or(recorded)
    }

    /// A command as it is sent now: on its channel, and MANAGE CHANNEL about the right one.
    pub(super) fn moved(&self, command: &[u8]) -> Vec<u8> {
        let Some(class) = command.first().and_then(|class| Class::parse(*class)) else { return command.to_vec() };
        let mut moved = super::turn::on_channel(command, self.of(class.channel()));
        if let [_, ins, p1, p2, ..] = moved.as_mut_slice()
            && *ins == Ins::MANAGE_CHANNEL.0
            && *p1 != 0
        {
            *p2 = self.of(*p2);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn lengths_follow_what_is_put_in() {
        let data = hex!("BF31 08 A0 04 5A 02 1122 81 00");
        let longer = [(7..9, &hex!("AABBCC")[..])];
        assert_eq!(replaced(&data, 0, &longer).unwrap(), hex!("BF31 09 A0 05 5A 03 AABBCC 81 00"));
        let same = [(7..9, &hex!("AABB")[..])];
        assert_eq!(replaced(&data, 0, &same).unwrap(), hex!("BF31 08 A0 04 5A 02 AABB 81 00"));
        assert_eq!(replaced(&hex!("A0000001"), 0, &[(0..4, &hex!("A000000002")[..])]).unwrap(), hex!("A000000002"));
        assert_eq!(replaced(&hex!("A0000001"), 0, &[(1..3, &hex!("02")[..])]), None);
        let wide = [0x55; 200];
        assert_eq!(replaced(&hex!("A0 03 80 01 05"), 0, &[(4..5, &wide[..])]).unwrap()[..6], hex!("A0 81CB 80 81C8"));
    }

    #[test]
    fn data_is_cut_as_it_was() {
        let turn = Turn {
            exchanges: [&hex!("81E2110002BF31")[..], &hex!("81E291010103")]
                .map(|command| super::super::turn::Exchange {
                    command: command.into(),
                    response: hex!("9000").into(),
                    left_out: Vec::new(),
                })
                .into(),
            blocks: 2,
        };
        assert_eq!(cut(&turn, &hex!("BF3204")).unwrap(), [&hex!("81E2110002BF32")[..], &hex!("81E291010104")]);
        assert_eq!(
            cut(&turn, &hex!("BF32020405")).unwrap(),
            [&hex!("81E2110002BF32")[..], &hex!("81E2110102 0204"), &hex!("81E2910201 05")]
        );
        assert_eq!(with_data(&hex!("00A4040002A00000"), &hex!("A0000001")).unwrap(), hex!("00A4040004A000000100"));
    }

    #[test]
    fn a_long_recording_is_followed_within_bounds() {
        let turn = |challenge: &[u8; 4]| Turn {
            exchanges: vec![super::super::turn::Exchange {
                command: hex!("0084000004").into(),
                response: [&challenge[..], &hex!("9000")].concat(),
                left_out: Vec::new(),
            }],
            blocks: 1,
        };
        let mut values = Values::default();
        let mut learn = |number: u32| {
            let (recorded, live) = (number.to_be_bytes(), (number + 0x1000_0000).to_be_bytes());
            let explained = |response: [u8; 4]| {
                let response = [&response[..], &hex!("9000")].concat();
                decode::Decoder::new().exchange(&hex!("0084000004"), &response)
            };
            values.learn(0, &turn(&recorded), (&explained(recorded), &recorded), (&explained(live), &live));
            values.known.len()
        };
        let most = u32::try_from(MOST_VALUES).unwrap();
        assert_eq!((0x0102_0304..0x0102_0304 + most + 9).map(&mut learn).last(), Some(MOST_VALUES));
        values.sent = MOST_SENT + 1;
        assert!(!values.is_cards(values.known[0].name, &hex!("A1B2C3D4")));
    }

    #[test]
    fn channels_are_those_of_this_card() {
        let mut channels = Channels::default();
        channels.open(1, 3);
        assert_eq!(channels.moved(&hex!("81E2910003BF2D00")), hex!("83E2910003BF2D00"));
        assert_eq!(channels.moved(&hex!("0070800100")), hex!("0070800300"));
        assert_eq!(channels.moved(&hex!("0070000001")), hex!("0070000001"));
    }
}
