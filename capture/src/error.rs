//! What is wrong with a recording, and where.

use std::fmt;

use crate::event::Origin;

/// A recording that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CaptureError {
    /// The format, as far as it was recognised.
    pub origin: Option<Origin>,
    /// Where in the recording.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub cause: String,
}

/// A place in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it.
    Whole,
    /// A line, counted from 1.
    Line(usize),
    /// A packet, counted from 1 as Wireshark does.
    Packet(usize),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = self.origin {
            write!(f, "{origin}")?;
            match self.place {
                Place::Whole => {}
                Place::Line(line) => write!(f, ", line {line}")?,
                Place::Packet(packet) => write!(f, ", packet {packet}")?,
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.cause)
    }
}

impl CaptureError {
    /// About a whole file.
    pub(crate) fn whole(origin: Origin, cause: impl Into<String>) -> Self {
        Self { origin: Some(origin), place: Place::Whole, cause: cause.into() }
    }

    /// About a line.
    pub(crate) fn line(origin: Origin, line: usize, cause: impl Into<String>) -> Self {
        Self { origin: Some(origin), place: Place::Line(line), cause: cause.into() }
    }

    /// About a packet.
    pub(crate) fn packet(origin: Origin, packet: usize, cause: impl Into<String>) -> Self {
        Self { origin: Some(origin), place: Place::Packet(packet), cause: cause.into() }
    }

    /// About a file that is none of the formats.
    pub(crate) fn unknown(bytes: &[u8]) -> Self {
        let cause = match bytes {
            [] => "the recording is empty",
            [0x1F, 0x8B, ..] | [0x28, 0xB5, 0x2F, 0xFD, ..] | [0xFD, b'7', b'z', b'X', b'Z', ..] => {
                "it is compressed: unpack it first"
            }
            _ => {
                "no recording of APDUs: neither vuicc's trace (text or JSON lines), lpac's or pySim's APDU log, pcap nor \
                 pcapng"
            }
        };
        Self { origin: None, place: Place::Whole, cause: cause.into() }
    }
}
