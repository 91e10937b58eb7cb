//! The modem: runs what programs write, line by line.

use std::sync::Arc;
use std::time::Duration;

use apdu::Transport;

use crate::call::{Call, Form, calls};
use crate::card::Card;
use crate::commands::{ROWS, Test};
use crate::line::Input;
use crate::port::{Port, Settings};
use crate::quirks::Quirks;
use crate::reply::{Reply, write_result};
use crate::result_code::{Cme, Fault};

/// Octets of the longest command line, unless a quirk says otherwise: a command APDU of 261 octets takes 522 digits.
const LINE_LIMIT: usize = 4096;

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
    now: Duration,
}

impl Modem {
    /// A modem that is started now, at time zero, with a card that has power.
    pub fn new(card: Box<dyn Transport>, identity: Identity, quirks: Quirks) -> Self {
        Self {
            card: Card::new(card),
            identity,
            quirks: Arc::new(quirks),
            function: Function::Full,
            starts: 0,
            started: Duration::ZERO,
            now: Duration::ZERO,
        }
    }

    /// Whether its card is in the reader, as far as was seen.
    pub fn has_card(&self) -> bool {
        self.card.is_there()
    }

    /// Takes octets of a program, `now` since the modem was made. Returns what the program gets, each answer in one piece.
    pub fn receive(&mut self, port: &mut Port, octets: &[u8], now: Duration) -> Vec<Vec<u8>> {
        self.now = now;
        let mut answers = Vec::new();
        let mut answer = Vec::new();
        for octet in octets {
            if port.is_foreign {
                return answers;
            }
            self.settle(port);
            let limit = self.quirks.line_limit.unwrap_or(LINE_LIMIT);
            let (is_echoed, input) = port.line.take(*octet, limit, port.settings.line());
            if input == Some(Input::Foreign) {
                port.is_foreign = true;
                // Not even an echo.
                answer.clear();
            }
            if self.is_silent() || port.is_foreign {
                continue;
            }
            if is_echoed && port.settings.echo {
                answer.push(*octet);
            }
            let Some(input) = input else { continue };
            self.answer(port, input, &mut answer);
            // The answer stands before the card gets what it asked for: a reset, perhaps.
            self.card.attend_to_requests();
            if !answer.is_empty() {
                answers.push(std::mem::take(&mut answer));
            }
        }
        if !answer.is_empty() {
            answers.push(answer);
        }
        answers
    }

    /// After a restart of the modem a port's settings are those of the start.
    fn settle(&self, port: &mut Port) {
        if port.start != self.starts {
            port.start = self.starts;
            port.settings = Settings::default();
        }
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
        for call in calls(&line) {
            let mut reply = Reply::new(Arc::clone(&self.quirks));
            let outcome = call.map_or(Err(Fault::Error), |call| self.run(port, &call, &mut reply));
            reply.write(&port.settings, out);
            if outcome.is_err() {
                return write_result(outcome, &port.settings, &self.quirks, out);
            }
        }
        write_result(Ok(()), &port.settings, &self.quirks, out);
    }

    fn run(&mut self, port: &mut Port, call: &Call, reply: &mut Reply) -> Result<(), Fault> {
        let name = call.name.as_str();
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
        // Without a card the next command says so.
        let _ = self.card.reset();
    }
}

impl std::fmt::Debug for Modem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modem").field("function", &self.function).field("quirks", &self.quirks).finish_non_exhaustive()
    }
}
