//! The modem: runs what programs write, line by line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use apdu::Transport;

use crate::call::{Call, Form, calls};
use crate::card::{Asked, Card, Programs};
use crate::commands::{ROWS, Test, sending};
use crate::incoming::Incoming;
use crate::line::Input;
use crate::network::{Coverage, Event, Request, What};
use crate::port::{Port, Settings, Waiting};
use crate::prompt;
use crate::quirks::Quirks;
use crate::registration::Registration;
use crate::reply::{Reply, Value, write_prompt, write_result};
use crate::result_code::{Cme, Cms, Fault};
use crate::unsolicited::{Log, Unsolicited};

/// Octets of the longest command line, unless a quirk says otherwise: a command APDU of 261 octets takes 522 digits.
const LINE_LIMIT: usize = 4096;
/// Octets that a program may write while its message is at the network.
const AHEAD: usize = 16 * 1024;
/// How long a network may take with a message.
const SUBMISSION: Duration = Duration::from_mins(3);
/// How long a message that is being written may stand still: the program may be gone.
const PROMPT: Duration = Duration::from_mins(1);
/// How long the network waits for a program that has not fetched its response from the card.
const FETCH: Duration = Duration::from_secs(5);

/// What a modem says of itself. TS 27.007 §5.1 to §5.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Revision of its software.
    pub revision: String,
    /// IMEI, fifteen digits.
    pub imei: String,
}

/// How much of the modem works: `+CFUN`. TS 27.007 §8.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// Neither radio nor card.
    Minimum = 0,
    /// All.
    Full = 1,
    /// The card, no radio.
    NoRadio = 4,
}

/// A modem with its card.
pub struct Modem {
    pub(crate) card: Card,
    pub(crate) identity: Identity,
    pub(crate) quirks: Arc<Quirks>,
    pub(crate) function: Function,
    /// Counts its starts: settings of an earlier one are void.
    starts: u64,
    /// When it was started last.
    started: Duration,
    pub(crate) now: Duration,
    pub(crate) coverage: Coverage,
    pub(crate) registration: Registration,
    pub(crate) incoming: Incoming,
    /// What came from the network while a program was about to fetch a response from the card, and since when.
    heard: VecDeque<Event>,
    heard_since: Duration,
    pub(crate) unsolicited: Log,
    /// What the network is asked, and has not been yet.
    pub(crate) requests: Vec<Request>,
    /// Messages that the network has; and what became of others, by RP-Cause.
    pub(crate) submitted: BTreeSet<u64>,
    pub(crate) outcomes: BTreeMap<u64, Option<u8>>,
    /// Counts messages that were sent, and ports.
    submissions: u64,
    ports: u64,
    /// TP-Message-Reference of the last one, for a card that does not count.
    pub(crate) reference: u8,
}

impl Modem {
    /// A modem that is started now, at time zero, with a card that has power.
    pub fn new(card: Box<dyn Transport>, identity: Identity, quirks: Quirks) -> Self {
        let programs = Programs {
            is_active: !quirks.toolkit.profile.is_empty(),
            profile: quirks.toolkit.profile.clone(),
            halts: false,
        };
        Self {
            card: Card::new(card, programs),
            identity,
            quirks: Arc::new(quirks),
            function: Function::Full,
            starts: 0,
            started: Duration::ZERO,
            now: Duration::ZERO,
            coverage: Coverage::None,
            registration: Registration::default(),
            incoming: Incoming::default(),
            heard: VecDeque::new(),
            heard_since: Duration::ZERO,
            unsolicited: Log::default(),
            requests: Vec::new(),
            submitted: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            submissions: 0,
            ports: 0,
            reference: 0,
        }
    }

    /// The same with a network, or what stands for one.
    #[must_use]
    pub fn with_coverage(mut self, coverage: Coverage) -> Self {
        self.coverage = coverage;
        self.register();
        self
    }

    /// Whether its card is in the reader, as far as was seen.
    pub fn has_card(&self) -> bool {
        self.card.is_there()
    }

    /// Takes octets of a program, `now` since the modem was made; none, to see what there is for it. Returns what the program
    /// gets, each answer in one piece.
    pub fn receive(&mut self, port: &mut Port, octets: &[u8], now: Duration) -> Vec<Vec<u8>> {
        self.now = now;
        if port.number == 0 {
            self.ports += 1;
            (port.number, port.told) = (self.ports, self.unsolicited.end());
        }
        let mut answers = Vec::new();
        if port.prompt.is_some() && now.saturating_sub(port.wrote) >= PROMPT {
            port.hang_up();
        }
        if !octets.is_empty() {
            port.wrote = now;
        }
        self.hear_outcome(port, &mut answers);
        self.take(port, octets, &mut answers);
        self.tend();
        // Perhaps there is an answer at once: without a network.
        self.hear_outcome(port, &mut answers);
        self.tell_events(port, &mut answers);
        answers
    }

    /// What came from the network, `now` since the modem was made.
    pub fn hear(&mut self, event: Event, now: Duration) {
        self.now = now;
        if self.heard.is_empty() {
            self.heard_since = now;
        }
        self.heard.push_back(event);
        self.tend();
    }

    /// Takes what came from the network, unless that would take a response away from a program.
    fn attend_to_network(&mut self) {
        while !self.card.is_response_waiting() || self.now.saturating_sub(self.heard_since) >= FETCH {
            let Some(event) = self.heard.pop_front() else { return };
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: Event) {
        let Event { attempt, what } = event;
        if !self.registration.is_of(attempt) {
            return;
        }
        match what {
            What::Challenge { rand, autn } => {
                let answer =
                    self.card.usim().ok().and_then(|mut usim| usim::Authenticator::umts(&mut usim, &rand, &autn).ok());
                self.requests.push(Request::Answer(answer));
            }
            What::Attached => self.attached(),
            What::Refused => self.refused(),
            What::Lost => self.lost(),
            What::Submitted { number, refusal } => {
                if self.submitted.remove(&number) {
                    self.outcomes.insert(number, refusal);
                }
            }
            What::Message { id, centre, tpdu } => self.arrives(id, &centre, tpdu),
        }
    }

    /// Time passes: `now` since the modem was made.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        self.tend();
    }

    /// What the network is asked since this was asked last.
    pub fn requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// Differs from what it was if a port may have something to be told: [`Modem::receive`] without octets gets it.
    pub fn events(&self) -> (u64, usize) {
        (self.unsolicited.end(), self.outcomes.len())
    }

    /// A port is gone, and what it was told of is told to nobody.
    pub fn release(&mut self, port: &Port) {
        self.incoming.release(port.number);
        self.unsolicited.release(port.number);
        if let Some(Waiting { number, .. }) = &port.waiting {
            self.submitted.remove(number);
            self.outcomes.remove(number);
        }
    }

    /// What is to be done besides what programs ask for.
    fn tend(&mut self) {
        self.attend_to_network();
        self.attend_to_card();
        self.register();
        self.attend_to_acknowledgement();
    }

    fn attend_to_card(&mut self) {
        for asked in self.card.attend_to_requests(self.now) {
            self.tell_toolkit(&asked);
        }
    }

    pub(crate) fn tell_toolkit(&mut self, asked: &Asked) {
        let line = match asked {
            Asked::Command(command) => self.quirks.toolkit.command_line(command),
            Asked::End => self.quirks.toolkit.end_line(),
        };
        self.unsolicited.put(None, Unsolicited::Toolkit(line));
    }

    fn take(&mut self, port: &mut Port, octets: &[u8], answers: &mut Vec<Vec<u8>>) {
        let mut answer = Vec::new();
        for octet in octets {
            if port.is_foreign {
                return;
            }
            if port.waiting.is_some() {
                if port.ahead.len() < AHEAD {
                    port.ahead.push(*octet);
                }
                continue;
            }
            self.settle(port);
            if port.prompt.is_some() {
                self.take_message(port, *octet, &mut answer);
            } else if !self.take_command(port, *octet, &mut answer) {
                continue;
            }
            // The answer stands before the card gets what it asked for: a reset, perhaps.
            self.attend_to_card();
            if !answer.is_empty() {
                answers.push(std::mem::take(&mut answer));
            }
        }
        if !answer.is_empty() {
            answers.push(answer);
        }
    }

    /// Whether there is an answer.
    fn take_command(&mut self, port: &mut Port, octet: u8, answer: &mut Vec<u8>) -> bool {
        let limit = self.quirks.line_limit.unwrap_or(LINE_LIMIT);
        let (is_echoed, input) = port.line.take(octet, limit, port.settings.line());
        if input == Some(Input::Foreign) {
            port.is_foreign = true;
            // Not even an echo.
            answer.clear();
        }
        if self.is_silent() || port.is_foreign {
            return false;
        }
        if is_echoed && port.settings.echo {
            answer.push(octet);
        }
        let Some(input) = input else { return false };
        self.answer(port, input, answer);
        true
    }

    /// An octet of a message.
    fn take_message(&mut self, port: &mut Port, octet: u8, answer: &mut Vec<u8>) {
        let editing = port.settings.line().editing;
        // Without an echo: what would not end with a line's end is taken for a part of the answer by oFono.
        let Some(input) = port.prompt.as_mut().map(|prompt| prompt.take(octet, editing)) else { return };
        let mut reply = Reply::new(Arc::clone(&self.quirks));
        let outcome = match input {
            None => return,
            Some(prompt::Input::Line) => return write_prompt(&port.settings, answer),
            Some(prompt::Input::Cancelled) => Ok(()),
            Some(prompt::Input::TooLong(_)) => Err(Cms::INVALID_PDU_PARAMETER.into()),
            Some(prompt::Input::Done(purpose, message)) => sending::written(self, port, &purpose, &message, &mut reply),
        };
        port.prompt = None;
        reply.write(&port.settings, answer);
        if outcome.is_err() || port.waiting.is_none() {
            self.go_on(port, outcome, answer);
        }
    }

    /// What became of the message of this port.
    fn hear_outcome(&mut self, port: &mut Port, answers: &mut Vec<Vec<u8>>) {
        let Some(waiting) = &port.waiting else { return };
        let is_late = self.now.saturating_sub(waiting.since) > SUBMISSION;
        let refusal = match self.outcomes.remove(&waiting.number) {
            Some(refusal) => refusal.map(|cause| Cms(cause.into())),
            None if is_late => {
                self.submitted.remove(&waiting.number);
                Some(Cms::NETWORK_TIMEOUT)
            }
            None => return,
        };
        let Some(waiting) = port.waiting.take() else { return };
        let (mut answer, mut reply) = (Vec::new(), Reply::new(Arc::clone(&self.quirks)));
        let outcome = match refusal {
            None => {
                sending::sent(self, &waiting);
                reply.add(waiting.command, &[Value::Number(waiting.reference.into())]);
                Ok(())
            }
            Some(error) => Err(error.into()),
        };
        reply.write(&port.settings, &mut answer);
        self.go_on(port, outcome, &mut answer);
        answers.push(answer);
        let ahead = std::mem::take(&mut port.ahead);
        self.take(port, &ahead, answers);
    }

    /// What the port has not been told, unless it is amid something.
    fn tell_events(&mut self, port: &mut Port, answers: &mut Vec<Vec<u8>>) {
        self.settle(port);
        let is_busy = port.waiting.is_some() || port.prompt.is_some() || port.line.has_begun();
        if is_busy || port.is_foreign || self.is_silent() {
            return;
        }
        for what in self.unsolicited.events(port) {
            let mut reply = Reply::new(Arc::clone(&self.quirks));
            self.word(port, &what, &mut reply);
            let mut line = Vec::new();
            reply.write(&port.settings, &mut line);
            if !line.is_empty() {
                answers.push(line);
            }
        }
    }

    /// The number of a message that the network is given now.
    pub(crate) fn next_submission(&mut self) -> u64 {
        self.submissions += 1;
        self.submissions
    }

    /// After a restart of the modem a port's settings are those of the start, and what had begun before is forgotten.
    fn settle(&self, port: &mut Port) {
        if port.start != self.starts {
            port.start = self.starts;
            port.settings = Settings::default();
            port.forget();
        }
    }

    /// Whether it has not come up, as its quirks say.
    pub(crate) fn is_starting(&self) -> bool {
        self.is_silent() || self.since_start() < Duration::from_secs(self.quirks.busy_seconds)
    }

    fn is_silent(&self) -> bool {
        self.since_start() < Duration::from_secs(self.quirks.silent_seconds)
    }

    fn since_start(&self) -> Duration {
        self.now.saturating_sub(self.started)
    }

    fn answer(&mut self, port: &mut Port, input: Input, out: &mut Vec<u8>) {
        let line = match input {
            Input::Line(line) => {
                port.last.clone_from(&line);
                line
            }
            Input::Again => port.last.clone(),
            Input::TooLong | Input::Foreign => {
                return write_result(Err(Fault::Error), &port.settings, &self.quirks, out);
            }
        };
        port.calls = calls(&line).into();
        self.go_on(port, Ok(()), out);
    }

    /// Runs what is left of a line, if all before it went well.
    fn go_on(&mut self, port: &mut Port, before: Result<(), Fault>, out: &mut Vec<u8>) {
        let mut outcome = before;
        while outcome.is_ok() {
            let Some(call) = port.calls.pop_front() else { break };
            let mut reply = Reply::new(Arc::clone(&self.quirks));
            outcome = call.map_or(Err(Fault::Error), |call| self.run(port, &call, &mut reply));
            reply.write(&port.settings, out);
            if outcome.is_ok() && port.prompt.is_some() {
                return write_prompt(&port.settings, out);
            }
            if outcome.is_ok() && port.waiting.is_some() {
                return;
            }
        }
        port.calls.clear();
        write_result(outcome, &port.settings, &self.quirks, out);
    }

    fn run(&mut self, port: &mut Port, call: &Call, reply: &mut Reply) -> Result<(), Fault> {
        let name = self.quirks.toolkit.usual_name(call.name.as_str());
        let row = ROWS.iter().find(|row| row.name == name).ok_or(Fault::Error)?;
        if self.quirks.unknown.iter().any(|unknown| unknown == name) {
            return Err(Fault::Error);
        }
        if call.form == Form::Test {
            if self.quirks.no_test.iter().any(|refusing| refusing == name) {
                return Err(Fault::Error);
            }
            match row.test {
                Test::Done => return Ok(()),
                Test::Values(values) => {
                    reply.add(name, &[crate::reply::Value::Plain(values)]);
                    return Ok(());
                }
                Test::Unknown => return Err(Fault::Error),
                Test::Asks => {}
            }
        }
        if let Some(number) = self.quirks.fails.get(name) {
            return Err(Cme(*number).into());
        }
        (row.run)(self, port, call, reply)?;
        reply.besides(name);
        Ok(())
    }

    /// The card, for a command: not while it is busy.
    pub(crate) fn card(&mut self) -> Result<&mut Card, Cme> {
        if self.since_start() < Duration::from_secs(self.quirks.busy_seconds) && self.function != Function::Minimum {
            return Err(Cme::SIM_BUSY);
        }
        Ok(&mut self.card)
    }

    /// Starts again, as after power on.
    pub(crate) fn restart(&mut self) {
        self.starts += 1;
        self.started = self.now;
        self.function = Function::Full;
        self.incoming = Incoming::default();
        self.registration.mode = 0;
        // Without a card the next command says so.
        let _ = self.card.reset();
    }
}

impl std::fmt::Debug for Modem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modem").field("function", &self.function).field("quirks", &self.quirks).finish_non_exhaustive()
    }
}
