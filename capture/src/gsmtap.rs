//! GSMTAP version 2, packets of type SIM: what carries APDUs over UDP and in captures.
//!
//! A packet has sixteen octets of header: version, length in words of four octets, type, timeslot, two each of ARFCN and of
//! signal and noise, four of frame number, sub type, antenna, sub slot, one reserved. Behind it, by sub type: a command,
//! its response data and SW in one; an answer to reset; PPS; or a part of a TPDU.
//!
//! vuicc uses two fields that mean nothing for a SIM. Antenna is the number of the card, if there are several. The frame
//! number is `VU` and a number: of a command in one with its response the length in octets, since where one ends and the
//! other begins is nowhere said; of an answer to reset 1 if the reset was warm. Others have 0 there, and ignore it.
//!
//! That the power went or a command failed has no sub type: in files these are packets of GSMTAP's type log, from process
//! `vuicc`, which Wireshark shows as text.

use std::time::Duration;

use crate::event::{Event, What};
use crate::hexadecimal::{hex, unhex};
use crate::secret::masked;
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
/// `card` is the number of the card, if there are several. PINs and PUKs are masked.
pub fn datagrams(event: &Event, card: u8) -> Vec<Vec<u8>> {
    match &event.what {
        What::Reset { atr, warm } if !atr.is_empty() => {
            vec![packet(SubType::Atr, warm.then_some(1), card, &[atr])]
        }
        What::Exchange { command, response } if response.len() >= 2 => exchange(&masked(command), response, card),
        _ => Vec::new(),
    }
}

fn exchange(command: &[u8], response: &[u8], card: u8) -> Vec<Vec<u8>> {
    if command.len() + response.len() <= LARGEST {
        let length = u16::try_from(command.len()).ok();
        return vec![packet(SubType::Apdu, length, card, &[command, response])];
    }
    let (header, sent) = command.split_at_checked(5).unwrap_or((command, &[]));
    let (received, sw) = response.split_at_checked(response.len().saturating_sub(2)).unwrap_or((&[], response));
    let mut packets = vec![packet(SubType::TpduHeader, None, card, &[header])];
    packets.extend(sent.chunks(LARGEST).map(|part| packet(SubType::TpduCommand, None, card, &[part])));
    packets.extend(received.chunks(LARGEST).map(|part| packet(SubType::TpduResponse, None, card, &[part])));
    packets.push(packet(SubType::TpduSw, None, card, &[sw]));
    packets
}

/// The packets for an event in a file, where those of type log disturb nobody.
pub(crate) fn recorded(event: &Event, card: u8) -> Vec<Vec<u8>> {
    let packets = datagrams(event, card);
    if !packets.is_empty() {
        return packets;
    }
    let text = match &event.what {
        What::Reset { warm, .. } => if *warm { WARM_RESET } else { COLD_RESET }.to_owned(),
        What::PowerOff => POWER_OFF.to_owned(),
        What::Exchange { command, response } => format!("> {}: {NO_ANSWER}{}", hex(&masked(command)), hex(response)),
        What::Failed { command, cause } => format!("> {}: {cause}", hex(&masked(command))),
    };
    vec![log(event.at.unwrap_or_default(), card, &text)]
}

/// Texts of log packets.
const COLD_RESET: &str = "cold reset";
const WARM_RESET: &str = "warm reset";
const POWER_OFF: &str = "power off";
const NO_ANSWER: &str = "no answer";
/// Who logs.
const PROCESS: &[u8; 16] = b"vuicc\0\0\0\0\0\0\0\0\0\0\0";
/// Octets between the header and the text: time, process and its number, level, subsystem, source file and line.
const BEFORE_TEXT: usize = 8 + 16 + 4 + 4 + 16 + 32 + 4;

fn packet(kind: SubType, marked: Option<u16>, card: u8, payload: &[&[u8]]) -> Vec<u8> {
    let mut packet = header(SIM, kind.number(), marked, card);
    for part in payload {
        packet.extend_from_slice(part);
    }
    packet
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
                match kind {
                    SubType::Apdu => {
                        event.what = combined(payload, marked)?;
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
    pub(crate) fn bare(&mut self, octets: &[u8], mut event: Event) -> Result<(), String> {
        /// How an answer to reset begins, and no command. ISO/IEC 7816-3 §8.1.
        const TS: [u8; 2] = [0x3B, 0x3F];
        self.packets += 1;
        event.what = match octets.first() {
            Some(first) if TS.contains(first) => What::Reset { atr: octets.into(), warm: false },
            _ => combined(octets, None)?,
        };
        self.push(event);
        Ok(())
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

    fn push(&mut self, event: Event) {
        self.close();
        self.events.push(event);
    }

    fn close(&mut self) {
        self.events.extend(self.open.take());
    }

    fn part(&mut self, kind: SubType, payload: &[u8], mut event: Event) -> Result<(), String> {
        if kind == SubType::TpduHeader {
            if payload.len() < 4 {
                return Err("a TPDU header of fewer than four octets".into());
            }
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
                let failed = text.strip_prefix("> ").and_then(|text| text.split_once(": "));
                let Some((command, cause)) = failed else { return Ok(()) };
                let command = unhex(command)?;
                match cause.strip_prefix(NO_ANSWER) {
                    Some("") if command.len() >= 4 => What::Exchange { command, response: Vec::new() },
                    _ => What::Failed { command, cause: cause.into() },
                }
            }
        };
        self.packets += 1;
        self.push(event);
        Ok(())
    }
}

/// Command, response data and SW in one.
fn combined(octets: &[u8], command: Option<u16>) -> Result<What, String> {
    let known = command.map(usize::from).filter(|length| *length >= 4 && length + 2 <= octets.len());
    let parts = match known.and_then(|length| octets.split_at_checked(length)) {
        Some(parts) => parts,
        None => match shape::split(octets) {
            Some(exchanged) => (exchanged.command, exchanged.response),
            None => return Err(format!("{} octets are no command with its status word", octets.len())),
        },
    };
    Ok(What::Exchange { command: parts.0.into(), response: parts.1.into() })
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
            What::Failed { command: hex!("00FE0000").into(), cause: "the card: gone".into() },
            What::Failed { command: vec![], cause: "no card".into() },
        ];
        for what in events {
            let event = Event::new(what.clone());
            assert!(datagrams(&event, 0).is_empty());
            assert_eq!(assembled(&[&recorded(&event, 0)[0]]), [what]);
        }
    }
}
