//! GSMTAP version 2, packets of type SIM: what carries APDUs over UDP and in captures.
//!
//! A packet has sixteen octets of header: version, length in words of four octets, type, timeslot, two each of ARFCN and of
//! signal and noise, four of frame number, sub type, antenna, sub slot, one reserved. Behind it, by sub type: a command,
//! its response data and SW in one; an answer to reset; PPS; or a part of a TPDU.
//!
//! vuicc uses fields that mean nothing for a SIM. Antenna is the number of the card, if there are several. The frame
//! number is `VU` and a number: of a command in one with its response the length in octets, since where one ends and the
//! other begins is nowhere said; of an answer to reset 1 if the reset was warm. Behind such a mark, ARFCN and the two octets of
//! signal and noise say from which octet on the command was left out, and how many: a PIN, a key. Others have 0 there, and
//! ignore it.
//!
//! That the power went, a command failed or a card stayed mute has no sub type: in files these are packets of GSMTAP's type
//! log, from process `vuicc`, which Wireshark shows as text. The names of secrets that were left out stand in one before the
//! command.

use std::ops::Range;
use std::time::Duration;

use crate::event::{Event, What};
use crate::hexadecimal::{hex, unhex};
use crate::left_out::{LeftOut, Part, Shown, is_name};
use crate::line::one_line;
use crate::secret::{MASK, is_masked, secret_part};
use crate::shape;

/// UDP port.
pub const PORT: u16 = 4729;
/// The largest payload of a packet that has room in IPv4, with its header and UDP's.
const LARGEST: usize = 0xFFFF - 20 - 8 - HEADER;

const VERSION: u8 = 2;
/// Octets of header.
const HEADER: usize = 16;
const SIM: u8 = 4;
const LOG: u8 = 0x10;
/// Marks a frame number that is vuicc's.
const MARK: [u8; 2] = *b"VU";

/// What the payload is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SubType {
    Apdu,
    Atr,
    Pps,
    TpduHeader,
    TpduCommand,
    TpduResponse,
    TpduSw,
}

impl SubType {
    const NUMBERS: &[(u8, Self)] = &[
        (0, Self::Apdu),
        (1, Self::Atr),
        (2, Self::Pps), // request
        (3, Self::Pps), // response
        (4, Self::TpduHeader),
        (5, Self::TpduCommand),
        (6, Self::TpduResponse),
        (7, Self::TpduSw),
    ];

    fn parse(number: u8) -> Option<Self> {
        Self::NUMBERS.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
    }

    fn number(self) -> u8 {
        Self::NUMBERS.iter().find(|(_, kind)| *kind == self).map_or(0, |(number, _)| *number)
    }
}

/// The packets of type SIM for an event: one, or several if it is large; none for what has no sub type.
///
/// `card` is the number of the card, if there are several. What is left out is masked.
pub fn datagrams(event: &Event, card: u8) -> Vec<Vec<u8>> {
    match &event.what {
        What::Reset { atr, warm } if !atr.is_empty() => {
            vec![Header { kind: SubType::Atr, marked: warm.then_some(1), card, left_out: None }.packet(&[atr])]
        }
        What::Exchange { .. } => exchange(&Shown::of(event), card),
        _ => Vec::new(),
    }
}

fn exchange(shown: &Shown, card: u8) -> Vec<Vec<u8>> {
    let (command, response) = (shown.command.as_slice(), shown.response.as_slice());
    // All from the first such octet to the last: the header has no room for more.
    let left_out = shown.of_command.first().zip(shown.of_command.last());
    let left_out = left_out.map(|((first, _), (last, _))| first.start..last.end);
    let header = |kind| Header { kind, marked: None, card, left_out: None };
    let length = u16::try_from(command.len()).ok();
    if command.len() + response.len() <= LARGEST {
        return vec![Header { marked: length, left_out, ..header(SubType::Apdu) }.packet(&[command, response])];
    }
    let (start, sent) = command.split_at_checked(5).unwrap_or((command, &[]));
    let (received, sw) = response.split_at_checked(response.len().saturating_sub(2)).unwrap_or((&[], response));
    // Here the mark says nothing but that this is vuicc's.
    let mut packets = vec![Header { marked: Some(0), left_out, ..header(SubType::TpduHeader) }.packet(&[start])];
    packets.extend(sent.chunks(LARGEST).map(|part| header(SubType::TpduCommand).packet(&[part])));
    packets.extend(received.chunks(LARGEST).map(|part| header(SubType::TpduResponse).packet(&[part])));
    packets.push(header(SubType::TpduSw).packet(&[sw]));
    packets
}

/// The packets for an event in a file, where those of type log disturb nobody; and which of them stands for it.
pub(crate) fn recorded(event: &Event, shown: &Shown, card: u8) -> (Vec<Vec<u8>>, usize) {
    let at = event.at.unwrap_or_default();
    let mut texts = Vec::new();
    if !shown.is_plain() {
        texts.push(format!("{LEFT_OUT}{}", names(shown)));
    }
    let command = |texts: &mut Vec<String>| {
        let mut digits = hex(&shown.command);
        // A packet has room for half of the longest command.
        while digits.len() > LOGGED {
            let rest = digits.split_off(LOGGED);
            texts.push(format!("{BEGUN}{digits}"));
            digits = rest;
        }
        digits
    };
    let mut packets = Vec::new();
    match &event.what {
        What::Exchange { response, .. } if response.len() < 2 => {
            let text = format!("> {}: {NO_ANSWER}{}", command(&mut texts), hex(response));
            texts.push(text);
        }
        What::Failed { cause, .. } => {
            let cause = one_line(cause);
            let is_plain = ![NO_ANSWER, FAILED].iter().any(|other| cause.starts_with(other));
            let text = format!("> {}: {}{cause}", command(&mut texts), if is_plain { "" } else { FAILED });
            texts.push(text);
        }
        What::Reset { atr, warm } if atr.is_empty() => {
            texts.push(if *warm { WARM_RESET } else { COLD_RESET }.to_owned());
        }
        What::PowerOff => texts.push(POWER_OFF.to_owned()),
        What::Reset { .. } | What::Exchange { .. } => packets = datagrams(event, card),
    }
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| log(at, card, text)).collect();
    let stands = if packets.is_empty() { all.len().saturating_sub(1) } else { all.len() };
    all.append(&mut packets);
    (all, stands)
}

/// What is left out: `command 5+4 k, response 0+16 adm`.
fn names(shown: &Shown) -> String {
    let of = |part: &str, places: &[(Range<usize>, String)]| {
        let place = |(range, name): &(Range<usize>, String)| format!("{part} {}+{} {name}", range.start, range.len());
        places.iter().map(place).collect::<Vec<_>>()
    };
    [of(COMMAND, &shown.of_command), of(RESPONSE, &shown.of_response)].concat().join(", ")
}

/// Reads that.
fn read_names(text: &str) -> Vec<LeftOut> {
    let one = |text: &str| {
        let mut words = text.split(' ');
        let part = match words.next()? {
            COMMAND => Part::Command,
            RESPONSE => Part::Response,
            _ => return None,
        };
        let (start, length) = words.next()?.split_once('+')?;
        let start: usize = start.parse().ok()?;
        let end = start.checked_add(length.parse().ok()?)?;
        let name = words.next().filter(|name| is_name(name))?.to_owned();
        Some(LeftOut { part, range: start..end, name })
    };
    text.split(", ").filter_map(one).collect()
}

/// Texts of log packets.
const COLD_RESET: &str = "cold reset";
const WARM_RESET: &str = "warm reset";
const POWER_OFF: &str = "power off";
const NO_ANSWER: &str = "no answer";
/// Before a cause that begins as another text does.
const FAILED: &str = "failed: ";
/// Before the first digits of a long command, whose others follow.
const BEGUN: &str = "+ ";
const LEFT_OUT: &str = "left out of the next: ";
const COMMAND: &str = "command";
const RESPONSE: &str = "response";
/// The most digits of a command in one text, which leaves room for the words.
const LOGGED: usize = 0xF000;
/// Who logs.
const PROCESS: &[u8; 16] = b"vuicc\0\0\0\0\0\0\0\0\0\0\0";
/// Octets between the header and the text: time, process and its number, level, subsystem, source file and line.
const BEFORE_TEXT: usize = 8 + 16 + 4 + 4 + 16 + 32 + 4;

/// What a packet of type SIM begins with.
struct Header {
    kind: SubType,
    marked: Option<u16>,
    card: u8,
    /// The octets of the command that are left out.
    left_out: Option<Range<usize>>,
}

impl Header {
    fn packet(&self, payload: &[&[u8]]) -> Vec<u8> {
        let mut packet = header(SIM, self.kind.number(), self.marked, self.card);
        if let Some(range) = &self.left_out {
            let word = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
            packet.splice(4..8, [word(range.start), word(range.len())].concat());
        }
        for part in payload {
            packet.extend_from_slice(part);
        }
        packet
    }
}

fn header(kind: u8, sub_type: u8, marked: Option<u16>, card: u8) -> Vec<u8> {
    let mut header = vec![VERSION, 4, kind, 0, 0, 0, 0, 0];
    match marked {
        Some(number) => {
            header.extend(MARK);
            header.extend(number.to_be_bytes());
        }
        None => header.extend([0; 4]),
    }
    header.extend([sub_type, card, 0, 0]);
    header
}

fn log(at: Duration, card: u8, text: &str) -> Vec<u8> {
    const NOTICE: u8 = 5;
    let mut packet = header(LOG, 0, None, card);
    packet.extend(u32::try_from(at.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    packet.extend(at.subsec_micros().to_be_bytes());
    packet.extend(PROCESS);
    packet.extend([0, 0, 0, 0, NOTICE, 0, 0, 0]);
    packet.extend(b"card\0\0\0\0\0\0\0\0\0\0\0\0");
    packet.resize(HEADER + BEFORE_TEXT, 0);
    // What a command of so many octets failed for is worth no second packet.
    let kept = text.floor_char_boundary(LARGEST - BEFORE_TEXT);
    packet.extend(text.get(..kept).unwrap_or_default().as_bytes());
    packet
}

/// Whether a UDP payload begins as GSMTAP of any type does.
pub fn is_gsmtap(datagram: &[u8]) -> bool {
    matches!(datagram, [VERSION, words, ..] if *words >= 4 && datagram.len() >= HEADER)
}

/// Whether a UDP payload looks like a packet of type SIM.
pub fn is_sim(datagram: &[u8]) -> bool {
    matches!(datagram, [VERSION, words, SIM, ..] if *words >= 4)
        && datagram.get(12).is_some_and(|kind| SubType::parse(*kind).is_some())
}

/// Packets that become events.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    events: Vec<Event>,
    open: Option<Event>,
    /// What a packet of type log says of the next command.
    left_out: Vec<LeftOut>,
    /// The first octets of a command that a packet of type log ends.
    begun: Vec<u8>,
    card: Option<u8>,
    /// Packets of type SIM so far.
    pub(crate) packets: usize,
}

impl Assembly {
    /// The events, when all packets are there.
    pub(crate) fn finish(mut self) -> Vec<Event> {
        self.close();
        self.events
    }

    /// Takes a packet, whatever its type; `line` is its number.
    pub(crate) fn datagram(&mut self, datagram: &[u8], mut event: Event) -> Result<(), String> {
        let [VERSION, words, kind, ..] = *datagram else { return Ok(()) };
        let length = 4 * usize::from(words);
        let (Some(header), Some(payload)) = (datagram.get(..HEADER), datagram.get(length.max(HEADER)..)) else {
            return Err("its GSMTAP header is cut short".into());
        };
        match kind {
            LOG => self.log(payload, event),
            SIM => {
                self.packets += 1;
                self.one_card(header)?;
                let Some(kind) = header.get(12).and_then(|kind| SubType::parse(*kind)) else { return Ok(()) };
                let marked = match header.get(8..12) {
                    Some([m0, m1, high, low]) if [*m0, *m1] == MARK => Some(u16::from_be_bytes([*high, *low])),
                    _ => None,
                };
                if marked.is_some() {
                    event.left_out = marked_out(header);
                }
                match kind {
                    SubType::Apdu => {
                        event.what = combined(payload, marked);
                        self.push(event);
                    }
                    SubType::Atr => {
                        event.what = What::Reset { atr: payload.into(), warm: marked == Some(1) };
                        self.push(event);
                    }
                    SubType::Pps => {}
                    part => self.part(part, payload, event)?,
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes a command and its response in one, from a link without GSMTAP, or an answer to reset.
    pub(crate) fn bare(&mut self, octets: &[u8], mut event: Event) {
        /// How an answer to reset begins, and no command. ISO/IEC 7816-3 §8.1.
        const TS: [u8; 2] = [0x3B, 0x3F];
        self.packets += 1;
        event.what = match octets.first() {
            Some(first) if TS.contains(first) => What::Reset { atr: octets.into(), warm: false },
            _ => combined(octets, None),
        };
        self.push(event);
    }

    fn one_card(&mut self, header: &[u8]) -> Result<(), String> {
        let card = header.get(13).copied().unwrap_or(0);
        match *self.card.get_or_insert(card) {
            first if first == card => Ok(()),
            first => Err(format!(
                "two cards in one capture: keep one of them, in Wireshark by `gsmtap.antenna == {first}` or `== {card}`"
            )),
        }
    }

    fn push(&mut self, mut event: Event) {
        self.close();
        self.name(&mut event);
        self.events.push(event);
    }

    fn close(&mut self) {
        if let Some(mut event) = self.open.take() {
            self.name(&mut event);
            self.events.push(event);
        }
    }

    /// Says what was left out, as well as it is known, and that of a PIN which is masked.
    fn name(&mut self, event: &mut Event) {
        let named = std::mem::take(&mut self.left_out);
        if !named.is_empty() {
            event.left_out = named;
        }
        let (command, response) = match &event.what {
            What::Exchange { command, response } => (command.as_slice(), response.as_slice()),
            What::Failed { command, .. } => (command.as_slice(), &[][..]),
            What::Reset { .. } | What::PowerOff => (&[][..], &[][..]),
        };
        let octets = |left_out: &LeftOut| {
            let octets = if left_out.part == Part::Command { command } else { response };
            octets.get(left_out.range.clone()).unwrap_or_default()
        };
        event.left_out = event.left_out.iter().flat_map(|left_out| runs(left_out, octets(left_out))).collect();
        if event.left_out.is_empty() && is_masked(command) {
            event.left_out.extend(secret_part(command).map(LeftOut::pin));
        }
    }

    fn part(&mut self, kind: SubType, payload: &[u8], mut event: Event) -> Result<(), String> {
        if kind == SubType::TpduHeader {
            self.close();
            event.what = What::Exchange { command: payload.into(), response: Vec::new() };
            self.open = Some(event);
            return Ok(());
        }
        let Some(Event { what: What::Exchange { command, response }, .. }) = &mut self.open else {
            // A capture may begin in the middle of an exchange.
            return if self.events.is_empty() { Ok(()) } else { Err("a part of a TPDU without its header".into()) };
        };
        match kind {
            SubType::TpduCommand => command.extend(payload),
            _ => response.extend(payload),
        }
        if kind == SubType::TpduSw {
            self.close();
        }
        Ok(())
    }

    fn log(&mut self, payload: &[u8], mut event: Event) -> Result<(), String> {
        if payload.get(8..24) != Some(PROCESS) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(payload.get(BEFORE_TEXT..).unwrap_or_default());
        event.what = match text.as_ref() {
            POWER_OFF => What::PowerOff,
            COLD_RESET | WARM_RESET => What::Reset { atr: Vec::new(), warm: text == WARM_RESET },
            text => {
                if let Some(names) = text.strip_prefix(LEFT_OUT) {
                    self.close();
                    self.left_out = read_names(names);
                    return Ok(());
                }
                if let Some(digits) = text.strip_prefix(BEGUN) {
                    self.begun.extend(unhex(digits)?);
                    return Ok(());
                }
                let failed = text.strip_prefix("> ").and_then(|text| text.split_once(": "));
                let Some((digits, cause)) = failed else { return Ok(()) };
                let mut command = std::mem::take(&mut self.begun);
                command.extend(unhex(digits)?);
                match cause.strip_prefix(NO_ANSWER).map(unhex) {
                    Some(Ok(response)) => What::Exchange { command, response },
                    _ => What::Failed { command, cause: one_line(cause.strip_prefix(FAILED).unwrap_or(cause)) },
                }
            }
        };
        self.packets += 1;
        self.push(event);
        Ok(())
    }
}

/// The masked octets of what was left out: a header names all from the first to the last, and others may be between.
fn runs(left_out: &LeftOut, octets: &[u8]) -> Vec<LeftOut> {
    let mut at = left_out.range.start;
    let mut runs = Vec::new();
    for run in octets.chunk_by(|one, next| (*one == MASK) == (*next == MASK)) {
        if run.first() == Some(&MASK) {
            runs.push(LeftOut { range: at..at + run.len(), ..left_out.clone() });
        }
        at += run.len();
    }
    runs
}

/// What a marked header says was left out of its command.
fn marked_out(header: &[u8]) -> Vec<LeftOut> {
    let Some([start, more, length, fewer]) = header.get(4..8) else { return Vec::new() };
    let [start, length] = [[*start, *more], [*length, *fewer]].map(|word| usize::from(u16::from_be_bytes(word)));
    if length == 0 { Vec::new() } else { vec![LeftOut::pin(start..start + length)] }
}

/// Command, response data and SW in one. What is too short to be both is taken apart before its last two octets.
fn combined(octets: &[u8], command: Option<u16>) -> What {
    let known = command.and_then(|length| octets.split_at_checked(length.into()));
    let (command, response) = known.unwrap_or_else(|| {
        shape::split(octets).map_or_else(
            || octets.split_at_checked(octets.len().saturating_sub(2)).unwrap_or((octets, &[])),
            |exchanged| (exchanged.command, exchanged.response),
        )
    });
    What::Exchange { command: command.into(), response: response.into() }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn assembled(packets: &[&[u8]]) -> Vec<What> {
        let mut assembly = Assembly::default();
        for packet in packets {
            assembly.datagram(packet, Event::new(What::PowerOff)).unwrap();
        }
        assembly.finish().into_iter().map(|event| event.what).collect()
    }

    #[test]
    fn an_exchange_is_one_packet() {
        let event = Event::exchange(hex!("00A40004023F0000"), hex!("62028200 9000"));
        let packets = datagrams(&event, 2);
        let golden = hex!("02040400 00000000 5655 0008 00 02 00 00  00A40004023F0000 62028200 9000");
        assert_eq!(packets, [golden]);
        assert!(is_sim(&golden));
        assert_eq!(assembled(&[&golden]), [event.what]);
    }

    #[test]
    fn a_reset_is_the_answer() {
        let warm = What::Reset { atr: vec![0x3B, 0], warm: true };
        let packets = datagrams(&Event::new(warm.clone()), 0);
        assert_eq!(packets, [hex!("02040400 00000000 5655 0001 01 00 00 00  3B00")]);
        assert_eq!(assembled(&[&packets[0]]), [warm]);
    }

    #[test]
    fn others_say_not_where_the_command_ends() {
        let simtrace = hex!("02040400 00000000 00000000 00 00 00 00  A0A40000027F20 9F22");
        assert_eq!(assembled(&[&simtrace]), [Event::exchange(hex!("A0A40000027F20"), hex!("9F22")).what]);
    }

    #[test]
    fn parts_are_put_together() {
        let part = |kind: u8, payload: &[u8]| {
            let mut packet = hex!("02040400 00000000 00000000 00 00 00 00").to_vec();
            packet[12] = kind;
            packet.extend(payload);
            packet
        };
        let packets = [
            part(7, &hex!("9000")), // of an exchange before the capture
            part(1, &hex!("3B00")),
            part(2, &hex!("FF0000")),
            part(3, &hex!("FF0000")),
            part(4, &hex!("00A4000402")),
            part(5, &hex!("3F00")),
            part(7, &hex!("6104")),
            part(4, &hex!("00C0000004")),
            part(6, &hex!("6202")),
            part(6, &hex!("8200")),
            part(7, &hex!("9000")),
            part(4, &hex!("00B0000000")),
        ];
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        let expected = [
            What::Reset { atr: vec![0x3B, 0], warm: false },
            Event::exchange(hex!("00A40004023F00"), hex!("6104")).what,
            Event::exchange(hex!("00C0000004"), hex!("620282009000")).what,
            Event::exchange(hex!("00B0000000"), []).what,
        ];
        assert_eq!(assembled(&packets), expected);
        let mut assembly = Assembly::default();
        assembly.datagram(packets[1], Event::new(What::PowerOff)).unwrap();
        let lost = assembly.datagram(packets[5], Event::new(What::PowerOff)).unwrap_err();
        assert_eq!(lost, "a part of a TPDU without its header");
    }

    #[test]
    fn what_is_larger_than_a_packet_goes_in_parts() {
        let event = Event::exchange([&hex!("00D6000000FFF0")[..], &vec![1; 0xFFF0]].concat(), hex!("9000"));
        let packets = datagrams(&event, 0);
        assert_eq!(packets.len(), 4);
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        assert_eq!(assembled(&packets), [event.what]);
    }

    #[test]
    fn the_rest_is_log() {
        let events = [
            What::PowerOff,
            What::Reset { atr: vec![], warm: false },
            Event::exchange(hex!("00FE0000"), []).what,
            Event::exchange([], [0x90]).what,
            What::Failed { command: hex!("00FE0000").into(), cause: "the card: gone".into() },
            What::Failed { command: hex!("00").into(), cause: "no answer".into() },
            What::Failed { command: vec![], cause: "no card".into() },
        ];
        for what in events {
            let event = Event::new(what.clone());
            assert_eq!(assembled(&[&recorded(&event, &Shown::of(&event), 0).0[0]]), [what]);
        }
    }

    #[test]
    fn a_packet_that_goes_out_carries_any_octets() {
        let short = Event::exchange([0xA4], []);
        assert_eq!(datagrams(&short, 0), [hex!("02040400 00000000 5655 0001 00 00 00 00  A4")]);
        for (command, response) in
            [(&[][..], &[][..]), (&[], &[0x67, 0]), (&[0xA4], &[0x90]), (&[0, 0xA4, 0], &[0x67, 0])]
        {
            let event = Event::exchange(command, response);
            assert_eq!(assembled(&[&datagrams(&event, 0)[0]]), [event.what]);
        }
        let foreign = hex!("02040400 00000000 00000000 00 00 00 00  00A4 6700");
        assert_eq!(assembled(&[&foreign]), [Event::exchange(hex!("00A4"), hex!("6700")).what]);
    }

    #[test]
    fn a_packet_says_what_is_left_out_of_it() {
        let left_out = LeftOut { part: Part::Command, range: 5..9, name: "k".into() };
        let event =
            Event { left_out: vec![left_out.clone()], ..Event::exchange(hex!("00DA000005 01020304 05"), hex!("9000")) };
        let packet = &datagrams(&event, 0)[0];
        assert_eq!(packet[..], hex!("02040400 0005 0004 5655 000A 00 00 00 00  00DA000005 2A2A2A2A 05 9000"));
        let read = |packets: &[&Vec<u8>]| {
            let mut assembly = Assembly::default();
            for packet in packets {
                assembly.datagram(packet, Event::new(What::PowerOff)).unwrap();
            }
            assembly.finish().pop().unwrap().left_out
        };
        assert_eq!(read(&[packet]), [LeftOut { name: "secret".into(), ..left_out.clone() }]);
        let two = Event {
            left_out: [5..6, 7..8].map(|range| LeftOut { part: Part::Command, range, name: "secret".into() }).into(),
            ..Event::exchange(hex!("00DA000003 010203"), hex!("9000"))
        };
        assert_eq!(read(&[&datagrams(&two, 0)[0]]), two.left_out, "what is between them is sent");
        let recorded = recorded(&event, &Shown::of(&event), 0).0;
        assert_eq!(read(&recorded.iter().collect::<Vec<_>>()), [left_out]);
    }
}
