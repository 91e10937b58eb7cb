//! pcap and pcapng: files of packets.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapParseError, PcapParser, PcapTsResolution};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgParseError, PcapNgParser, PcapNgWriter};
use pcap_file::{DataLink, Endianness};

use crate::error::CaptureError;
use crate::event::{Event, Origin, Session, What};
use crate::frame::{self, Held};
use crate::gsmtap::Assembly;
use crate::text::read_duration;

/// The largest frame that is written.
const SNAP_LENGTH: u32 = 0x4_0000;

/// The format, if the first octets are those of a file of packets.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Origin> {
    /// Micro- and nanoseconds, in both byte orders.
    const PCAP: [[u8; 4]; 4] =
        [[0xA1, 0xB2, 0xC3, 0xD4], [0xA1, 0xB2, 0x3C, 0x4D], [0xD4, 0xC3, 0xB2, 0xA1], [0x4D, 0x3C, 0xB2, 0xA1]];
    const PCAPNG: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];
    let first: [u8; 4] = bytes.first_chunk().copied()?;
    if first == PCAPNG { Some(Origin::PcapNg) } else { PCAP.contains(&first).then_some(Origin::Pcap) }
}

/// Reads a file of packets.
pub(crate) fn read(origin: Origin, bytes: &[u8]) -> Result<Session, CaptureError> {
    let mut reader = Reader { origin, number: 0, unknown: None, assembly: Assembly::default() };
    match origin {
        Origin::PcapNg => reader.pcapng(bytes)?,
        _ => reader.pcap(bytes)?,
    }
    reader.finish()
}

struct Reader {
    origin: Origin,
    /// Packets so far.
    number: usize,
    /// A link type that no card is behind.
    unknown: Option<u32>,
    assembly: Assembly,
}

/// A packet of either format.
struct Packet<'a> {
    link: u32,
    at: Option<Duration>,
    data: &'a [u8],
    /// Octets it had on its link.
    length: usize,
    took: Option<Duration>,
}

impl Reader {
    fn refused(&self, cause: impl Into<String>) -> CaptureError {
        CaptureError::packet(self.origin, self.number, cause)
    }

    /// About the packet that would be next.
    fn cut_short(&self) -> CaptureError {
        let cause = "the file ends in the middle of it: it is cut short; the packets before are whole";
        CaptureError::packet(self.origin, self.number + 1, cause)
    }

    fn damaged(&self, error: &dyn fmt::Display) -> CaptureError {
        CaptureError::packet(self.origin, self.number + 1, format!("the file is damaged here: {error}"))
    }

    fn pcap(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let (mut rest, parser) = PcapParser::new(bytes)
            .map_err(|_| CaptureError::whole(self.origin, "the file ends before its first packet"))?;
        let header = parser.header();
        // The upper bits tell about checksums.
        let link = u32::from(header.datalink) & 0xFFFF;
        let nanoseconds = if header.ts_resolution == PcapTsResolution::NanoSecond { 1 } else { 1000 };
        while !rest.is_empty() {
            let (behind, packet) = match parser.next_raw_packet(rest) {
                Ok(next) => next,
                Err(PcapParseError::IncompleteBuffer(..)) => return Err(self.cut_short()),
                Err(error) => return Err(self.damaged(&error)),
            };
            rest = behind;
            let at = Duration::from_secs(packet.ts_sec.into())
                + Duration::from_nanos(u64::from(packet.ts_frac) * nanoseconds);
            let length = usize::try_from(packet.orig_len).unwrap_or(usize::MAX);
            self.packet(&Packet { link, at: Some(at), data: &packet.data, length, took: None })?;
        }
        Ok(())
    }

    fn pcapng(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let (mut rest, mut parser) = match PcapNgParser::new(bytes) {
            Ok(begun) => begun,
            Err(PcapNgParseError::IncompleteBuffer(..)) => {
                return Err(CaptureError::whole(
                    self.origin,
                    "the file ends in the middle of its header: it is cut short",
                ));
            }
            Err(error) => return Err(CaptureError::whole(self.origin, format!("the file is damaged: {error}"))),
        };
        while !rest.is_empty() {
            let (behind, block) = match parser.next_block(rest) {
                Ok(next) => next,
                Err(PcapNgParseError::IncompleteBuffer(..)) => return Err(self.cut_short()),
                Err(error) => return Err(self.damaged(&error)),
            };
            rest = behind;
            let link = |interface: u32| {
                let interface = usize::try_from(interface).ok().and_then(|index| parser.interfaces().get(index));
                interface.map_or(u32::MAX, |interface| interface.linktype.into())
            };
            match &block {
                Block::EnhancedPacket(packet) => {
                    let took = packet.options.iter().find_map(|option| match option {
                        EnhancedPacketOption::Common(CommonOption::Comment(comment)) => read_duration(comment),
                        _ => None,
                    });
                    let length = usize::try_from(packet.original_len).unwrap_or(usize::MAX);
                    let at = Some(packet.timestamp);
                    self.packet(&Packet { link: link(packet.interface_id), at, data: &packet.data, length, took })?;
                }
                Block::SimplePacket(packet) => {
                    let length = usize::try_from(packet.original_len).unwrap_or(usize::MAX);
                    self.packet(&Packet { link: link(0), at: None, data: &packet.data, length, took: None })?;
                }
                Block::Packet(packet) => {
                    let length = usize::try_from(packet.original_len).unwrap_or(usize::MAX);
                    let link = link(packet.interface_id.into());
                    self.packet(&Packet { link, at: None, data: &packet.data, length, took: None })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn packet(&mut self, packet: &Packet<'_>) -> Result<(), CaptureError> {
        self.number += 1;
        if !frame::is_known(packet.link) {
            self.unknown = Some(packet.link);
            return Ok(());
        }
        let event = Event {
            // A recorder that knew no time writes 1970.
            at: packet.at.filter(|at| !at.is_zero()),
            took: packet.took,
            line: Some(self.number),
            ..Event::new(What::PowerOff)
        };
        let held = frame::held(packet.link, packet.data);
        if packet.data.len() < packet.length && held != Held::Other {
            let (kept, length) = (packet.data.len(), packet.length);
            return Err(self.refused(format!(
                "{kept} of its {length} octets were captured: record whole packets, with a larger snapshot length"
            )));
        }
        let taken = match held {
            Held::Other => Ok(()),
            Held::Cut => Err("its GSMTAP is cut short, or in several IP fragments".into()),
            Held::Gsmtap(datagram) => self.assembly.datagram(datagram, event),
            Held::Bare(octets) => {
                self.assembly.bare(octets, event);
                Ok(())
            }
        };
        taken.map_err(|cause| self.refused(cause))
    }

    fn finish(self) -> Result<Session, CaptureError> {
        let (origin, number) = (self.origin, self.number);
        let packets = self.assembly.packets;
        let events = self.assembly.finish();
        if !events.is_empty() {
            return Ok(Session { origin, events });
        }
        let cause = match (number, packets, self.unknown) {
            (0, ..) => "it holds no packet".into(),
            (_, 0, Some(link)) => format!(
                "none of its packets ({number}) is of a SIM: APDUs are read from Ethernet, Linux cooked, raw IP, loopback \
                 and USER links, and this one has link type {link}"
            ),
            (_, 0, None) => format!(
                "none of its packets ({number}) is of a SIM: APDUs are in GSMTAP packets of type SIM, UDP port 4729, or bare \
                 on a USER link"
            ),
            _ => "its packets of a SIM hold no whole exchange".into(),
        };
        Err(CaptureError::whole(origin, cause))
    }
}

/// Writes packets.
pub(crate) struct Encoder {
    writer: Option<Writer>,
    last: Duration,
}

enum Writer {
    Pcap,
    PcapNg(PcapNgWriter<Vec<u8>>),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Encoder {
    pub(crate) const fn new() -> Self {
        Self { writer: None, last: Duration::ZERO }
    }

    /// What stands before the packets. Memory takes whatever is written, so there is no error.
    pub(crate) fn header(&mut self, pcapng: bool) -> Vec<u8> {
        let mut header = Vec::new();
        if !pcapng {
            self.writer = Some(Writer::Pcap);
            let endianness = Endianness::Little;
            let _ = PcapHeader { snaplen: SNAP_LENGTH, endianness, ..PcapHeader::default() }.write_to(&mut header);
        } else if let Ok(mut writer) = PcapNgWriter::with_endianness(Vec::new(), Endianness::Little) {
            let _ = writer.write_pcapng_block(InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: SNAP_LENGTH,
                options: vec![InterfaceDescriptionOption::IfName("vuicc".into())],
            });
            header = std::mem::take(writer.get_mut());
            self.writer = Some(Writer::PcapNg(writer));
        }
        header
    }

    /// A UDP payload in a packet; without a time it is that of the packet before.
    pub(crate) fn datagram(&mut self, at: Option<Duration>, payload: &[u8], comment: Option<&str>, out: &mut Vec<u8>) {
        self.last = at.unwrap_or(self.last);
        let data = frame::ethernet(payload);
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        match &mut self.writer {
            None => {}
            Some(Writer::Pcap) => {
                let seconds = u32::try_from(self.last.as_secs()).unwrap_or(u32::MAX);
                for word in [seconds, self.last.subsec_micros(), length, length] {
                    out.extend(word.to_le_bytes());
                }
                out.extend(data);
            }
            Some(Writer::PcapNg(writer)) => {
                let comment = comment.map(|comment| comment.chars().take(1000).collect::<String>());
                let comment = comment.map(|comment| CommonOption::Comment(Cow::Owned(comment)));
                let _ = writer.write_pcapng_block(EnhancedPacketBlock {
                    interface_id: 0,
                    timestamp: self.last,
                    original_len: length,
                    data: data.into(),
                    options: comment.into_iter().map(EnhancedPacketOption::Common).collect(),
                });
                out.append(writer.get_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::{Format, write};

    fn events() -> Vec<Event> {
        let at = |micros: u64| Some(Duration::from_micros(1_764_513_978_000_000 + micros));
        let took = Some(Duration::from_micros(7));
        [
            Event { at: at(0), ..Event::new(What::Reset { atr: vec![0x3B, 0], warm: true }) },
            Event { at: at(1), took, ..Event::exchange(b"\x00\x20\x00\x01\x08********", hex!("63C2")) },
            Event { at: at(2), took, ..Event::exchange(hex!("00CA005A00"), hex!("5A0101 9000")) },
            Event { at: at(3), ..Event::new(What::PowerOff) },
        ]
        .map(|mut event| {
            if let What::Exchange { command, .. } = &event.what {
                event.left_out =
                    if crate::is_masked(command) { vec![crate::left_out::LeftOut::pin(5..13)] } else { vec![] };
            }
            event
        })
        .into()
    }

    fn numbered(mut events: Vec<Event>) -> Vec<Event> {
        for (index, event) in events.iter_mut().enumerate() {
            event.line = Some(index + 1);
        }
        events
    }

    fn refused(bytes: &[u8]) -> String {
        crate::read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn both_are_read_as_written() {
        let session = crate::read(&write(Format::PcapNg, &events())).unwrap();
        assert_eq!((session.origin, session.events), (Origin::PcapNg, numbered(events())));
        let session = crate::read(&write(Format::Pcap, &events())).unwrap();
        let untimed = events().into_iter().map(|event| Event { took: None, ..event }).collect();
        assert_eq!((session.origin, session.events), (Origin::Pcap, numbered(untimed)));
    }

    #[test]
    fn pins_are_not_written() {
        let pin = [Event::exchange(hex!("0020000108 31323334FFFFFFFF"), hex!("9000"))];
        for format in [Format::Text, Format::JsonLines, Format::Pcap, Format::PcapNg] {
            let written = write(format, &pin);
            assert!(!written.windows(4).any(|octets| octets == b"1234"), "{format:?}");
            assert!(!written.windows(8).any(|octets| octets == b"31323334"), "{format:?}");
            let What::Exchange { command, .. } = &crate::read(&written).unwrap().events[0].what else { panic!() };
            assert!(crate::is_masked(command));
        }
    }

    #[test]
    fn a_file_may_end_behind_any_event() {
        for format in [Format::Pcap, Format::PcapNg] {
            let mut encoder = crate::Encoder::new(format);
            let (mut written, mut events) = (encoder.header(), events());
            events.truncate(3);
            for count in 1..=events.len() {
                written.extend(encoder.event(&events[count - 1]));
                assert_eq!(crate::read(&written).unwrap().events.len(), count);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for format in [Format::Pcap, Format::PcapNg] {
            let whole = write(format, &events());
            let name = if format == Format::Pcap { "pcap" } else { "pcapng" };
            let cut = refused(&whole[..whole.len() - 1]);
            assert!(cut.starts_with(&format!("{name}, packet 4: the file ends in the middle")), "{cut}");
            let none = refused(&write(format, &[]));
            assert_eq!(none, format!("{name}: it holds no packet"));
            for length in 4..whole.len() {
                if let Err(error) = crate::read(&whole[..length]) {
                    assert!(
                        ["it is cut short", "ends before its first packet", "holds no packet"]
                            .iter()
                            .any(|cause| error.cause.contains(cause)),
                        "{error}"
                    );
                }
            }
        }
        // The destination's port and the header's type, so that nothing says GSMTAP.
        let mut dns = write(Format::Pcap, &events()[..1]);
        dns[24 + 16 + 14 + 20..][..4].copy_from_slice(&[0, 53, 0, 53]);
        dns[24 + 16 + 14 + 28] = 0;
        let other = refused(&dns);
        assert!(other.starts_with("pcap: none of its packets (1) is of a SIM: APDUs are in GSMTAP"), "{other}");
        let mut usb = write(Format::Pcap, &events()[..1]);
        usb[20] = 220;
        assert!(refused(&usb).ends_with("this one has link type 220"), "{}", refused(&usb));
        let mut short = write(Format::Pcap, &events()[..1]);
        short[24 + 12] += 1;
        assert!(refused(&short).contains("packet 1: 60 of its 61 octets were captured"), "{}", refused(&short));
    }

    #[test]
    fn two_cards_are_not_mixed() {
        let mut one = crate::Encoder::new(Format::PcapNg).labelled("[1]", 0);
        let mut other = crate::Encoder::new(Format::PcapNg).labelled("[2]", 1).continued();
        let mut written = one.event(&events()[2]);
        written.extend(other.event(&events()[2]));
        assert!(refused(&written).contains("packet 2: two cards in one capture"), "{}", refused(&written));
    }
}
