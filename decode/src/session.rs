//! A session: exchanges in order, each explained with what the ones before it did to the card.

use std::collections::BTreeMap;

use apdu::{Class, Command, Ins, SecureMessaging, StatusWord};
use crypto::key_log::KeyLog;

use crate::answer::{self, Answer};
use crate::channel::{Channel, Effect, Pending};
use crate::command;
use crate::field::{Base, Field, Hidden, Source, Value};
use crate::names;
use crate::schema::Walk;
use crate::secret::{self, Veil};

/// What an event is about; filters go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Reset and power.
    Power,
    /// Channels, capabilities, identity of the card.
    Card,
    /// Selection, files, records.
    File,
    /// PINs.
    Pin,
    /// Authentication towards a network.
    Authentication,
    /// The card application toolkit, short messages.
    Toolkit,
    /// ES10: the eUICC's functions.
    Es10,
    /// GlobalPlatform: contents of the card, keys, secure channels.
    GlobalPlatform,
    /// Anything else.
    Other,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Power,
        Self::Card,
        Self::File,
        Self::Pin,
        Self::Authentication,
        Self::Toolkit,
        Self::Es10,
        Self::GlobalPlatform,
        Self::Other,
    ];

    /// For programs and command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Card => "card",
            Self::File => "file",
            Self::Pin => "pin",
            Self::Authentication => "authentication",
            Self::Toolkit => "toolkit",
            Self::Es10 => "es10",
            Self::GlobalPlatform => "globalplatform",
            Self::Other => "other",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The card was reset.
    Reset {
        /// Without taking the power away.
        warm: bool,
    },
    /// The power was taken away.
    PowerOff,
    /// A command was answered.
    Exchange,
    /// A command or a reset failed before there could be an answer.
    Failed,
}

/// One event, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Which event of the session, from 1.
    pub number: u64,
    /// What happened.
    pub kind: Kind,
    /// What it is about.
    pub topic: Topic,
    /// What was asked, in a line: `SELECT ADF.USIM`.
    pub summary: String,
    /// How it went, in a line: `9000`, `enableResult: ok`.
    pub outcome: String,
    /// The card refused, or reported a failure.
    pub failed: bool,
    /// The command, up to the first octet of a PIN or key.
    pub command: Vec<u8>,
    /// How many octets of the command were left out from there on.
    pub hidden: usize,
    /// The response or the ATR; between the first octet of a key and the status word nothing is shown.
    pub response: Vec<u8>,
    /// What was left out before the status word.
    pub response_hidden: Hidden,
    /// Everything found in it.
    pub fields: Vec<Field>,
}

impl Decoded {
    /// The first field with this name.
    pub fn find(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find_map(|field| field.find(name))
    }

    /// Every field, depth first.
    pub fn all(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().flat_map(Field::all)
    }
}

/// Explains one session, event by event.
#[derive(Debug, Default)]
pub struct Decoder {
    secrets: bool,
    keys: KeyLog,
    number: u64,
    channels: BTreeMap<u8, Channel>,
}

impl Decoder {
    /// At the start of a session: nothing is selected, secrets stay hidden, nothing encrypted is opened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows keys and codes where they stand in the clear.
    #[must_use]
    pub const fn with_secrets(mut self, secrets: bool) -> Self {
        self.secrets = secrets;
        self
    }

    /// Opens the bound profile packages that these keys belong to.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyLog) -> Self {
        self.keys = keys;
        self
    }

    /// A reset, and what the card answered to it.
    pub fn reset(&mut self, atr: &[u8], warm: bool) -> Decoded {
        self.channels = BTreeMap::from([(0, Channel::basic())]);
        let summary = if warm { "warm reset" } else { "reset" };
        // Some recorders do not keep it.
        let fields = if atr.is_empty() { Vec::new() } else { crate::atr::fields(atr) };
        let mut decoded = self.event(Kind::Reset { warm }, Topic::Power, summary.into(), fields);
        if !atr.is_empty() {
            decoded.outcome = format!("ATR {}", crate::hex(atr));
        }
        decoded.response = atr.to_vec();
        decoded
    }

    /// The power was taken away.
    pub fn power_off(&mut self) -> Decoded {
        self.channels.clear();
        self.event(Kind::PowerOff, Topic::Power, "power off".into(), Vec::new())
    }

    /// A command, or a reset if it is empty, failed before there could be an answer.
    pub fn failed(&mut self, command: &[u8], cause: &str) -> Decoded {
        let (fields, summary) = match command {
            [] => (Vec::new(), "reset".to_owned()),
            _ => (header(command).0, crate::line::describe_command(command)),
        };
        let topic = if command.is_empty() { Topic::Power } else { Topic::Other };
        let veil = self.veil_of_unread(command);
        let mut decoded = self.event(Kind::Failed, topic, summary, fields);
        veil.draw(&mut decoded.fields);
        cause.clone_into(&mut decoded.outcome);
        decoded.failed = true;
        (decoded.command, decoded.hidden) = veil.command(command);
        decoded
    }

    /// An event of a recording.
    pub fn recorded(&mut self, what: &capture::What) -> Decoded {
        match what {
            capture::What::Reset { atr, warm } => self.reset(atr, *warm),
            capture::What::PowerOff => self.power_off(),
            capture::What::Exchange { command, response } => self.exchange(command, response),
            capture::What::Failed { command, cause } => self.failed(command, cause),
        }
    }

    /// What is left out of a command that cannot be read, or that nobody answered.
    fn veil_of_unread(&self, command: &[u8]) -> Veil {
        let unknown = Channel::default();
        let mut channels = self.channels.values().chain([&unknown]);
        let secret = match command.first().copied().map(Class::parse) {
            _ if self.secrets => false,
            Some(Some(class)) => {
                secret::may_hold_secret(command, Some(self.channels.get(&class.channel()).unwrap_or(&unknown)))
            }
            // Without a channel it may be meant for any.
            _ => channels.any(|channel| secret::may_hold_secret(command, Some(channel))),
        };
        if secret { Veil::of_body(command) } else { Veil::default() }
    }

    fn event(&mut self, kind: Kind, topic: Topic, summary: String, fields: Vec<Field>) -> Decoded {
        self.number += 1;
        Decoded {
            number: self.number,
            kind,
            topic,
            summary,
            outcome: String::new(),
            failed: false,
            command: Vec::new(),
            hidden: 0,
            response: Vec::new(),
            response_hidden: Hidden::default(),
            fields,
        }
    }

    /// A command and its response: data, SW1, SW2; empty if the card stayed mute.
    pub fn exchange(&mut self, command: &[u8], response: &[u8]) -> Decoded {
        let (mut fields, parsed) = header(command);
        let status = response.last_chunk().map(|sw: &[u8; 2]| StatusWord::from(*sw));
        let data = response.get(..response.len().saturating_sub(2)).unwrap_or_default();
        let walk = Walk::new(self.secrets);
        let mut veil = Veil::default();
        let (summary, topic, answer) = if let Some(parsed) = parsed {
            if !self.secrets {
                veil = Veil::of_pin(command);
            }
            self.command(&parsed, command, status, data, walk, &mut fields)
        } else {
            veil = self.veil_of_unread(command);
            let (shown, _) = veil.command(command);
            fields.push(Field::malformed(&shown, Base::new(Source::Command, 0), malformed(command)));
            ("no command".to_owned(), Topic::Other, Answer::Data)
        };
        if !self.secrets {
            veil.learn(&fields, 4..command.len(), 0..data.len());
            veil.draw(&mut fields);
        }
        let mut outcome = Vec::new();
        if let Some(status) = status {
            let ins = command.get(1).copied().map(Ins);
            fields.push(answer::status_field(ins, &answer, status).at(Base::new(Source::Response, data.len()), 2));
            outcome.push(format!("{status}"));
            outcome.extend(answer::in_words(ins, &answer, status));
        } else if response.is_empty() {
            outcome.push("no answer".to_owned());
        } else {
            fields.push(Field::malformed(response, Base::new(Source::Response, 0), "a response of a single octet"));
        }
        outcome.extend(answer::result(&fields));
        let refused = status.is_none_or(|status| answer::is_failure(&answer, status));
        let failed = refused || fields.iter().any(answer::reports_failure);
        let mut decoded = self.event(Kind::Exchange, topic, summary, fields);
        decoded.outcome = outcome.join(", ");
        decoded.failed = failed;
        (decoded.command, decoded.hidden) = veil.command(command);
        (decoded.response, decoded.response_hidden) = veil.response(response);
        decoded
    }

    /// A command that could be parsed: appends its fields and those of the answer; what it is called, and how its status is read.
    fn command(
        &mut self,
        parsed: &Command<'_>,
        whole: &[u8],
        status: Option<StatusWord>,
        data: &[u8],
        walk: Walk,
        fields: &mut Vec<Field>,
    ) -> (String, Topic, Answer) {
        let number = self.number + 1;
        let id = parsed.class.channel();
        let channel = self.channels.entry(id).or_default();
        let header = 5 + 2 * usize::from(parsed.extended && !parsed.data.is_empty());
        let base = Base::new(Source::Command, header.min(whole.len()));
        if parsed.ins == Ins::GET_RESPONSE {
            let (summary, topic, answer) = get_response(channel, fields, status, data, walk);
            if answer == Answer::Channel && status.is_some_and(answer::is_done) {
                self.others(id, &Effect::Open { number: None }, data);
            }
            return (on_channel(summary, id), topic, answer);
        }
        let repeats = channel.repeated(whole);
        channel.pending = None;
        let blocks = (channel.chain.len(), channel.blocks);
        let context = command::Context { walk, keys: &self.keys };
        let mut read = command::read(&context, channel, parsed, base);
        channel.chained = parsed.class.is_chained().then_some(parsed.ins);
        if let Some(earlier) = repeats {
            fields.push(Field::number(names::REPEATS, earlier));
        }
        fields.append(&mut read.fields);
        if status.is_some_and(|status| status.sw1() == 0x6C) {
            channel.remember(whole, number);
        }
        if status.is_some_and(answer::is_done) {
            channel.apply(&read.effect);
            self.others(id, &read.effect, data);
        } else if parsed.ins == Ins::STORE_DATA && parsed.p2 != 0 && channel.chain.len() > blocks.0 {
            // A block that was refused comes again, or the request is given up.
            channel.chain.truncate(blocks.0);
            channel.blocks = blocks.1;
        }
        let channel = self.channels.entry(id).or_default();
        if status.is_some_and(|status| matches!(status.sw1(), 0x61 | 0x9E | 0x9F)) {
            fields.extend(part(&read.answer, data, walk));
            channel.pending = Some(Pending {
                number,
                summary: read.summary.clone(),
                topic: read.topic,
                answer: read.answer.clone(),
                data: data.to_vec(),
            });
        } else if !data.is_empty() {
            fields.append(&mut answer::fields(&read.answer, channel, data, Base::new(Source::Response, 0), walk));
        }
        (on_channel(read.summary, id), read.topic, read.answer)
    }

    /// What a command on the channel `from` does to other channels.
    fn others(&mut self, from: u8, effect: &Effect, data: &[u8]) {
        match effect {
            Effect::Open { number } => {
                let opened = self.channels.get(&from).map(|channel| channel.opened(from)).unwrap_or_default();
                let number = number.or_else(|| data.first().copied()).filter(|number| *number != from);
                number.map(|number| self.channels.insert(number, opened));
            }
            Effect::Close { number } => {
                self.channels.remove(number);
            }
            _ => {}
        }
    }
}

fn on_channel(summary: String, channel: u8) -> String {
    if channel == 0 { summary } else { format!("{summary}, channel {channel}") }
}

/// Data of a response that is not complete.
fn part(answer: &Answer, data: &[u8], walk: Walk) -> Option<Field> {
    let field = if answer.is_secret() { walk.secret(names::DATA, data) } else { Field::octets(names::DATA, data) };
    (!data.is_empty()).then(|| field.at(Base::new(Source::Response, 0), data.len()))
}

/// GET RESPONSE brings what an earlier command asked for.
fn get_response(
    channel: &mut Channel,
    fields: &mut Vec<Field>,
    status: Option<StatusWord>,
    data: &[u8],
    walk: Walk,
) -> (String, Topic, Answer) {
    let Some(mut pending) = channel.pending.take() else {
        let answer = if secret::looks_like_keys(data) { Answer::Secret } else { Answer::Data };
        fields.extend(part(&answer, data, walk));
        return ("GET RESPONSE".into(), Topic::Other, answer);
    };
    fields.push(Field::number(names::CONTINUES, pending.number).meaning(pending.summary.clone()));
    let summary = format!("GET RESPONSE to {}", pending.summary);
    let (topic, answer) = (pending.topic, pending.answer.clone());
    let alone = pending.data.is_empty();
    pending.data.extend_from_slice(data);
    if status.is_some_and(|status| matches!(status.sw1(), 0x61 | 0x6C)) {
        fields.extend(part(&answer, data, walk));
        channel.pending = Some(pending);
    } else if !pending.data.is_empty() {
        let source = if alone { Source::Response } else { Source::Answer };
        fields.append(&mut answer::fields(&answer, channel, &pending.data, Base::new(source, 0), walk));
    }
    (summary, topic, answer)
}

/// What every command begins with, and the command if it is one.
fn header(command: &[u8]) -> (Vec<Field>, Option<Command<'_>>) {
    let &[cla, ins, p1, p2, ref body @ ..] = command else { return (Vec::new(), None) };
    let at = |octet| Base::new(Source::Command, octet);
    let mut class = Field::number(names::CLASS, cla).at(at(0), 1);
    if let Some(parsed) = Class::parse(cla) {
        class.fields.push(Field::number(names::CHANNEL, parsed.channel()));
        let protection = match parsed.secure_messaging() {
            SecureMessaging::None => None,
            SecureMessaging::Proprietary => Some("proprietary (GlobalPlatform)"),
            SecureMessaging::Iso => Some("ISO/IEC 7816-4, header not authenticated"),
            SecureMessaging::IsoHeaderAuthenticated => Some("ISO/IEC 7816-4, header authenticated"),
        };
        class.fields.extend(protection.map(|protection| Field::text(names::SECURE_MESSAGING, protection)));
        if parsed.is_chained() {
            class.fields.push(Field::new(names::CHAINED, Value::Flag(true)));
        }
        class = class.meaning(if parsed.is_gsm() {
            "TS 51.011"
        } else if parsed.is_proprietary() {
            "proprietary"
        } else {
            "interindustry"
        });
    } else {
        class = class.meaning("reserved coding");
    }
    let parsed = Command::parse(command).ok();
    let name = crate::line::instruction(cla, Ins(ins));
    let mut fields = vec![
        class,
        Field::number(names::INSTRUCTION, ins).meaning(name).at(at(1), 1),
        Field::number(names::P1, p1).at(at(2), 1),
        Field::number(names::P2, p2).at(at(3), 1),
    ];
    if let Some(parsed) = &parsed {
        if !parsed.data.is_empty() {
            let octets = if parsed.extended { 3 } else { 1 };
            fields.push(Field::number(names::LC, parsed.data.len() as u64).at(at(4), octets));
        }
        if parsed.ne > 0 {
            let octets = match (parsed.extended, parsed.data.is_empty()) {
                (false, _) => 1,
                (true, true) => 3,
                (true, false) => 2,
            };
            fields.push(Field::number(names::LE, parsed.ne as u64).at(at(4 + body.len() - octets), octets));
        }
    }
    (fields, parsed)
}

/// Why octets are no command.
fn malformed(command: &[u8]) -> &'static str {
    match Command::parse(command) {
        Err(apdu::MalformedCommand::Class) => "the class byte has a reserved coding",
        Err(apdu::MalformedCommand::Ins) => "the instruction byte has a reserved coding",
        _ if command.len() < 4 => "fewer than the four bytes of a header",
        _ => "Lc and the length of the command disagree",
    }
}
