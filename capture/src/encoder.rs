//! Writes a session, whole or event by event.

use std::collections::BTreeSet;

use crate::event::{Event, What};
use crate::left_out::Shown;
use crate::line::one_line;
use crate::{gsmtap, json, pcap, text};

/// Formats that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lines for people, which are an APDU script as well.
    Text,
    /// One JSON object per line.
    JsonLines,
    /// GSMTAP in Ethernet, IPv4 and UDP, for old programs.
    Pcap,
    /// The same with comments.
    PcapNg,
}

impl Format {
    /// The format that the end of a file's name asks for, without its dot and in either case.
    pub fn of_extension(extension: &str) -> Self {
        const EXTENSIONS: &[(&str, Format)] = &[
            ("json", Format::JsonLines),
            ("jsonl", Format::JsonLines),
            ("pcap", Format::Pcap),
            ("pcapng", Format::PcapNg),
        ];
        let known = EXTENSIONS.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known));
        known.map_or(Self::Text, |(_, format)| *format)
    }
}

/// What APDUs mean, in words, for the comments that a recording has for its reader.
#[derive(Clone, Copy, Debug)]
pub struct Describe {
    /// One line about a command.
    pub command: fn(&[u8]) -> String,
    /// One line about a response.
    pub response: fn(&[u8]) -> String,
    /// Response data as a tree, one line per object.
    pub tree: fn(&[u8]) -> Option<Vec<String>>,
}

impl Describe {
    /// No words.
    pub const NOTHING: Self = Self { command: |_| String::new(), response: |_| String::new(), tree: |_| None };
}

/// Writes events in one of the formats.
///
/// What is returned for an event is whole: a file that ends behind it can be read.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    label: String,
    card: u8,
    brief: bool,
    begun: bool,
    /// In text: the secrets that were declared.
    declared: BTreeSet<String>,
    describe: Describe,
    pcap: pcap::Encoder,
}

impl Encoder {
    /// Writes in `format`.
    pub const fn new(format: Format) -> Self {
        Self {
            format,
            label: String::new(),
            card: 0,
            brief: false,
            begun: false,
            declared: BTreeSet::new(),
            describe: Describe::NOTHING,
            pcap: pcap::Encoder::new(),
        }
    }

    /// Puts `describe`'s words into comments.
    #[must_use]
    pub const fn described(mut self, describe: Describe) -> Self {
        self.describe = describe;
        self
    }

    /// Leaves out the trees of TLVs.
    #[must_use]
    pub const fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    /// Tells several cards in one file apart: by `label` before every line of text, as `card` in JSON and in comments of
    /// pcapng; in GSMTAP by `card`, the antenna number. Text is no script any more. An empty label says nothing.
    #[must_use]
    pub fn labelled(mut self, label: &str, card: u8) -> Self {
        self.label = one_line(label);
        self.card = card;
        self
    }

    /// Continues a file that has its header already.
    #[must_use]
    pub fn continued(mut self) -> Self {
        // The packets of pcapng refer to what its header says.
        let _ = self.header();
        self
    }

    /// What stands before the first event; nothing if that has been written.
    pub fn header(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.begun, true) {
            return Vec::new();
        }
        match self.format {
            Format::Text => text::header(&self.label),
            Format::JsonLines => Vec::new(),
            Format::Pcap => self.pcap.header(false),
            Format::PcapNg => self.pcap.header(true),
        }
    }

    /// One event, with the header if it is the first.
    pub fn event(&mut self, event: &Event) -> Vec<u8> {
        let mut octets = self.header();
        let shown = Shown::of(event);
        match self.format {
            Format::Text => {
                text::declare(&shown, &self.label, &mut self.declared, &mut octets);
                text::write(event, &shown, &self.label, self.brief, &self.describe, &mut octets);
            }
            Format::JsonLines => json::write(event, &shown, &self.label, &self.describe, &mut octets),
            Format::Pcap | Format::PcapNg => {
                let comment = self.comment(event, &shown).filter(|_| self.format == Format::PcapNg);
                let (datagrams, stands) = gsmtap::recorded(event, &shown, self.card);
                for (index, datagram) in datagrams.iter().enumerate() {
                    let comment = comment.as_deref().filter(|_| index == stands);
                    self.pcap.datagram(event.at, datagram, comment, &mut octets);
                }
            }
        }
        octets
    }

    /// A UDP payload, for pcap and pcapng; nothing otherwise.
    pub fn datagram(&mut self, at: std::time::Duration, datagram: &[u8]) -> Vec<u8> {
        let mut octets = self.header();
        if matches!(self.format, Format::Pcap | Format::PcapNg) {
            self.pcap.datagram(Some(at), datagram, None, &mut octets);
        }
        octets
    }

    /// What GSMTAP has no place for, in words that [`crate::read`] understands.
    fn comment(&self, event: &Event, shown: &Shown) -> Option<String> {
        let mut parts = Vec::new();
        match &event.what {
            What::Exchange { .. } => {
                parts.extend([(self.describe.command)(&shown.command), (self.describe.response)(&shown.response)]);
                let mut left_out: Vec<&str> =
                    shown.of_command.iter().chain(&shown.of_response).map(|(_, name)| name.as_str()).collect();
                left_out.dedup();
                if shown.is_plain() && !left_out.is_empty() {
                    parts.push("PIN left out".into());
                } else if !left_out.is_empty() {
                    parts.push(format!("left out: {}", left_out.join(", ")));
                }
            }
            What::Reset { warm, .. } => parts.push(if *warm { "warm reset" } else { "cold reset" }.into()),
            What::PowerOff | What::Failed { .. } => {}
        }
        parts.retain(|part| !part.is_empty());
        let mut comment = parts.join("; ");
        let card = (!self.label.is_empty()).then(|| format!("card {}", self.label));
        for more in event.took.map(text::duration).into_iter().chain(card) {
            let blank = if comment.is_empty() { "" } else { " " };
            comment = format!("{comment}{blank}{more}");
        }
        (!comment.is_empty()).then_some(comment)
    }
}

/// A whole session in one of the formats.
pub fn write(format: Format, events: &[Event]) -> Vec<u8> {
    let mut encoder = Encoder::new(format);
    let mut octets = encoder.header();
    for event in events {
        octets.extend(encoder.event(event));
    }
    octets
}
