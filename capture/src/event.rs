//! What a recording holds.

use std::fmt;
use std::time::Duration;

use crate::left_out::LeftOut;

/// A recorded session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The format it was recorded in.
    pub origin: Origin,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// Something that happened to a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, since 1970-01-01 UTC, where it was recorded.
    pub at: Option<Duration>,
    /// Time from the command to its response, where it was recorded.
    pub took: Option<Duration>,
    /// Line of the recording, or number of the packet as Wireshark counts, from 1; where a command and its response are
    /// apart, that of the command.
    pub line: Option<usize>,
    /// What happened.
    pub what: What,
    /// The octets of it that are not told, each [`MASK`](crate::MASK), in order.
    pub left_out: Vec<LeftOut>,
}

impl Event {
    /// An event of which nothing else is known.
    pub const fn new(what: What) -> Self {
        Self { at: None, took: None, line: None, what, left_out: Vec::new() }
    }

    /// A command and its response.
    pub fn exchange(command: impl Into<Vec<u8>>, response: impl Into<Vec<u8>>) -> Self {
        Self::new(What::Exchange { command: command.into(), response: response.into() })
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The card was reset, cold or warm.
    Reset {
        /// Answer to reset; empty where it was not recorded.
        atr: Vec<u8>,
        /// Whether the card kept its power.
        warm: bool,
    },
    /// The power was taken away.
    PowerOff,
    /// A command was sent.
    Exchange {
        /// Command APDU. PINs and PUKs may be masked, see [`is_masked`](crate::is_masked).
        command: Vec<u8>,
        /// Response APDU: data, then SW1 and SW2. Empty if the card stayed mute.
        response: Vec<u8>,
    },
    /// A command or a reset failed before there could be a response.
    Failed {
        /// Command APDU; empty for a reset.
        command: Vec<u8>,
        /// What went wrong, one line without control characters.
        cause: String,
    },
}

/// Formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// vuicc's trace for people, which is an APDU script as well.
    Text,
    /// vuicc's trace for programs: one JSON object per line.
    JsonLines,
    /// What lpac writes to its standard error if `LPAC_APDU_DEBUG` is set.
    LpacLog,
    /// What lpac and a program on its APDU driver `stdio` say to each other: one JSON object per line.
    LpacStdio,
    /// What pySim-shell and other programs of pySim print with `apdu_trace` set.
    PySim,
    /// pcap with GSMTAP or with bare APDUs.
    Pcap,
    /// pcapng with GSMTAP or with bare APDUs.
    PcapNg,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "APDU trace",
            Self::JsonLines => "APDU trace in JSON lines",
            Self::LpacLog => "lpac's APDU log",
            Self::LpacStdio => "lpac's stdio transcript",
            Self::PySim => "pySim's APDU log",
            Self::Pcap => "pcap",
            Self::PcapNg => "pcapng",
        })
    }
}
