//! What a program that is connected has of its own: its settings, and the line it writes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::call::{Call, Unreadable};
use crate::line::{Characters, LineReader};
use crate::prompt::Prompt;

/// One program's connection to a modem.
///
/// Settings are those of TS 27.007 and V.250 after power on; a restart of the modem (`AT+CFUN=1,1`) brings them back.
#[derive(Clone, Debug, Default)]
pub struct Port {
    pub(crate) settings: Settings,
    pub(crate) line: LineReader,
    pub(crate) last: Zeroizing<String>,
    /// The start of the modem that the settings are of.
    pub(crate) start: u64,
    pub(crate) is_foreign: bool,
    /// Its name among the ports; 0 until it was used.
    pub(crate) number: u64,
    /// Up to which unsolicited result code it has been told.
    pub(crate) told: u64,
    /// What is left of the line that is being answered.
    pub(crate) calls: VecDeque<Result<Call, Unreadable>>,
    /// A message is being written.
    pub(crate) prompt: Option<Prompt>,
    /// When the program wrote last.
    pub(crate) wrote: Duration,
    /// The network has a message, and has not said what becomes of it.
    pub(crate) waiting: Option<Waiting>,
    /// What was written meanwhile.
    pub(crate) ahead: Zeroizing<Vec<u8>>,
}

/// A message that the network has been given.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// Its number at the network.
    pub(crate) number: u64,
    /// The command that is answered with the reference.
    pub(crate) command: &'static str,
    /// TP-Message-Reference.
    pub(crate) reference: u8,
    /// The record that it was sent from.
    pub(crate) record: Option<u8>,
    /// Since when.
    pub(crate) since: Duration,
}

impl Port {
    /// A connection that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// One of a socket, which a web browser reaches too: what begins as HTTP or TLS shuts the port.
    pub fn of_socket() -> Self {
        Self { line: LineReader::guarded(), ..Self::default() }
    }

    /// The program has gone, and the next one finds the settings it left: half a line and half a message are forgotten.
    pub fn hang_up(&mut self) {
        self.forget();
        self.waiting = None;
        self.calls.clear();
        self.ahead = Zeroizing::default();
    }

    /// Half a line and half a message are forgotten.
    pub(crate) fn forget(&mut self) {
        self.line.forget();
        self.prompt = None;
    }

    /// Whether what came is no program's: nothing of it was run, and nothing is read any more.
    pub const fn is_foreign(&self) -> bool {
        self.is_foreign
    }
}

/// How many S-parameters are kept.
pub(crate) const PARAMETERS: usize = 13;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// E1.
    pub(crate) echo: bool,
    /// V1.
    pub(crate) verbose: bool,
    /// Q1.
    pub(crate) quiet: bool,
    /// `+CMEE`.
    pub(crate) errors: Errors,
    /// S0 to S12. V.250 §6.
    pub(crate) parameters: [u8; PARAMETERS],
    /// `+CSCS`.
    pub(crate) characters: CharacterSet,
    /// `+CMGF`.
    pub(crate) messages: Messages,
    /// `+CSMP`, `+CSDH`.
    pub(crate) text: TextParameters,
    /// `+CREG`, `+CGREG`, `+CEREG`.
    pub(crate) registration: [u8; 3],
    /// Format of `+COPS?`.
    pub(crate) operator: u8,
    /// Settings without an effect here, by command.
    pub(crate) others: BTreeMap<String, String>,
}

/// What a text is sent and shown with. TS 27.005 §3.3.2, §3.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextParameters {
    /// The first octet of SMS-SUBMIT.
    pub(crate) first: u8,
    /// TP-Validity-Period in relative format.
    pub(crate) validity: u8,
    /// TP-Protocol-Identifier.
    pub(crate) protocol: u8,
    /// TP-Data-Coding-Scheme.
    pub(crate) coding: u8,
    /// `+CSDH`.
    pub(crate) shows_headers: bool,
}

impl Default for TextParameters {
    fn default() -> Self {
        // SMS-SUBMIT with a relative period: a day.
        Self { first: 17, validity: 167, protocol: 0, coding: 0, shows_headers: false }
    }
}

/// How the reason of an error is told. TS 27.007 §9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errors {
    Hidden,
    Number,
    Words,
}

/// How messages are written. TS 27.005 §3.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    Octets,
    Text,
}

/// How texts are written. TS 27.007 §5.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CharacterSet {
    Ira,
    Gsm,
    Ucs2,
}

impl CharacterSet {
    pub(crate) const ALL: [Self; 3] = [Self::Ira, Self::Gsm, Self::Ucs2];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ira => "IRA",
            Self::Gsm => "GSM",
            Self::Ucs2 => "UCS2",
        }
    }

    /// The text of a message as the program reads it: not in quotation marks, so with those and with lines of its own.
    /// TS 27.005 §3.1, `<data>`.
    pub(crate) fn write_data(self, text: &str) -> String {
        match self {
            Self::Ira | Self::Gsm => text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n"),
            Self::Ucs2 => self.write(text),
        }
    }

    /// A text as the program reads it in quotation marks.
    pub(crate) fn write(self, text: &str) -> String {
        match self {
            Self::Ira | Self::Gsm => {
                text.chars().filter(|character| *character != '"' && !character.is_control()).collect()
            }
            Self::Ucs2 => hex::encode_upper(sms::coding::encode_ucs2(text)),
        }
    }

    /// A text as the program writes it; `None` if it is not written in this set.
    pub(crate) fn read(self, octets: &[u8]) -> Option<String> {
        match self {
            // Where both differ, programs write what they would write to a terminal.
            Self::Ira | Self::Gsm => String::from_utf8(octets.to_vec()).ok(),
            Self::Ucs2 => {
                let octets = hex::decode(octets.trim_ascii()).ok()?;
                octets.len().is_multiple_of(2).then(|| sms::coding::decode_ucs2(&octets))
            }
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let mut parameters = [0; PARAMETERS];
        // S3, S4, S5: terminator, line feed, editing; S7: seconds a call may take to be set up.
        for (number, value) in [(3, b'\r'), (4, b'\n'), (5, 8), (6, 2), (7, 50), (8, 2), (10, 2)] {
            if let Some(parameter) = parameters.get_mut(number) {
                *parameter = value;
            }
        }
        Self {
            echo: true,
            verbose: true,
            quiet: false,
            errors: Errors::Hidden,
            parameters,
            characters: CharacterSet::Ira,
            messages: Messages::Octets,
            text: TextParameters::default(),
            registration: [0; 3],
            operator: 0,
            others: BTreeMap::new(),
        }
    }
}

impl Settings {
    pub(crate) fn line(&self) -> Characters {
        let [_, _, _, terminator, _, editing, ..] = self.parameters;
        Characters { terminator, editing }
    }

    /// The two characters around information and result codes: S3 and S4.
    pub(crate) fn ends(&self) -> [u8; 2] {
        let [_, _, _, terminator, line_feed, ..] = self.parameters;
        [terminator, line_feed]
    }
}
