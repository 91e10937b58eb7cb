//! The host's side of a recorded session: sent to a card, and where that answers otherwise.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use capture::{Event, SOME_SECRET, Session, What, is_masked};
use console::Exit;
use reader_bridge::replay::{Lost, NotSent, Outcome, RecordedHost, Step};
use reader_bridge::script::Variables;
use serde_json::{Value, json};

use super::differing;
use super::replay::Arguments;
use super::sources::channel_of_lpac;
use crate::failure::Failure;
use crate::{Context, hexadecimal};

/// How the two answers are called.
const SIDES: [&str; 2] = ["expected", "received"];
/// The ISD-R. SGP.22 §2.2.3.
const ISD_R: &[u8] = &[0xA0, 0, 0, 5, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0, 0, 1, 0];

/// The key references (P2) of PINs that were left out without a name of their own.
fn references(events: &[Event]) -> BTreeSet<u8> {
    let unnamed = |event: &&Event| event.left_out.iter().all(|left_out| left_out.name == SOME_SECRET);
    let reference = |event: &Event| match &event.what {
        What::Exchange { command, .. } if is_masked(command) => command.get(3).copied(),
        _ => None,
    };
    events.iter().filter(unnamed).filter_map(reference).collect()
}

pub(super) fn run(arguments: &Arguments, session: &Session, context: &Context) -> Result<(), Failure> {
    let references = references(&session.events);
    if references.len() > 1 && arguments.secrets.iter().any(|(name, _)| name == SOME_SECRET) {
        let listed: Vec<_> = references.iter().map(|reference| format!("{reference:02X}")).collect();
        return Err(Failure::because(format!(
            "{}: PINs of {} key references ({}) were left out, and one value for all would use up tries; \
             `vuicc apdu convert` makes a script of it, where each can have a name",
            arguments.session.display(),
            references.len(),
            listed.join(", ")
        ))
        .with(Exit::Usage));
    }
    let mut host = RecordedHost::new(&session.events).with_secrets(arguments.secrets.iter().cloned());
    if let Some(from) = arguments.from.filter(|from| !host.start_at(*from)) {
        return Err(Failure::because(format!(
            "--from {from}: {} has {} events; they are numbered as `vuicc apdu decode` shows them",
            arguments.session.display(),
            session.events.len()
        ))
        .with(Exit::Usage));
    }
    host = host.after(&before_log(session));
    let mut secrets = Variables::new();
    secrets.extend(arguments.secrets.iter().cloned());
    for (name, _) in &arguments.secrets {
        secrets.keep_secret(name);
    }
    let mut card = arguments.target.connect_hiding(&secrets)?;
    let mut counts = Counts::default();
    let lost = loop {
        match host.step(&mut card) {
            None => break None,
            Some(Err(lost)) => break Some(lost),
            Some(Ok(step)) => {
                counts.take(&step);
                context.output.json(&object(&step))?;
                if arguments.show || !matches!(step.outcome, Outcome::Same | Outcome::Varies | Outcome::Unknown) {
                    context.output.block(Told(&step))?;
                }
            }
        }
    };
    context.output.summary(counts.summary())?;
    context.output.text(&counts)?;
    if let Some(Lost { number, resume, cause }) = lost {
        return Err(Failure::because(format!(
            "{}: event {number}: {cause}; {} steps were sent, go on with --from {resume}",
            arguments.session.display(),
            counts.steps
        ))
        .with(Exit::Card));
    }
    if counts.differing + counts.not_sent > 0 { Err(Failure::Told(Exit::Difference)) } else { Ok(()) }
}

/// What lpac sends before its log begins: it opens a channel and selects the ISD-R there.
fn before_log(session: &Session) -> Vec<Event> {
    let Some(channel) = channel_of_lpac(session) else { return Vec::new() };
    let mut events: Vec<_> =
        (1..=channel).map(|number| Event::exchange([0, 0x70, 0, 0, 1], [number, 0x90, 0x00])).collect();
    let length = u8::try_from(ISD_R.len()).unwrap_or(u8::MAX);
    let select = [&[channel, 0xA4, 0x04, 0x00, length][..], ISD_R, &[0]].concat();
    events.push(Event::new(What::Exchange { command: select, response: Vec::new() }));
    events
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Same => "same",
        Outcome::Varies => "varies",
        Outcome::Differs => "differs",
        Outcome::Unknown => "unknown",
        Outcome::NotSent(_) => "not_sent",
    }
}

/// Why a command was not sent, with the way out where there is one.
fn why(not_sent: &NotSent) -> String {
    match not_sent {
        NotSent::Secret(name) => {
            format!("a secret was left out when it was recorded; give it, as long as it was: --set {name}=HEX")
        }
        NotSent::Selection(number) => format!("what it is about was not selected, see {number}"),
        NotSent::Channel(number) => format!("its channel was not opened, see {number}"),
    }
}

fn object(step: &Step) -> Value {
    let sent: Vec<_> = step.sent.exchanges.iter().map(|exchange| without_secret(&exchange.command)).collect();
    let taken: Vec<_> = step
        .taken
        .iter()
        .map(|taken| {
            json!({
                "name": taken.name.name, "from": taken.from,
                "recorded": decode::hex(&taken.recorded), "sent": decode::hex(&taken.sent),
            })
        })
        .collect();
    let not_sent = if let Outcome::NotSent(reason) = &step.outcome { Some(why(reason)) } else { None };
    json!({
        "number": step.number, "line": step.line, "name": step.recorded.summary, "outcome": word(&step.outcome),
        "command": hexadecimal::whole(&step.recorded.command), "sent": sent,
        "expected": hexadecimal::whole(&step.recorded.response),
        "received": step.live.as_ref().map(|live| hexadecimal::whole(&live.response)),
        "taken": taken,
        "differences": step.differing.iter().map(|one| differing::object(one, SIDES)).collect::<Vec<_>>(),
        "cannot_be_repeated": step.unrepeatable, "not_sent": not_sent,
    })
}

/// A command in hexadecimal, without its PINs, which stand at its end.
fn without_secret(command: &[u8]) -> String {
    let secret = capture::secret_part(command).map_or(0, |secret| secret.len());
    hexadecimal::whole(command.get(..command.len() - secret).unwrap_or_default())
}

/// A step, as text.
struct Told<'a>(&'a Step);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.0;
        let mark = match step.outcome {
            Outcome::Same => "same    ",
            Outcome::Varies => "varies  ",
            Outcome::Differs => "DIFFERS ",
            Outcome::Unknown => "-       ",
            Outcome::NotSent(_) => "NOT SENT",
        };
        write!(f, "{mark} {}", step.number)?;
        if let Some(line) = step.line {
            write!(f, " (line or packet {line})")?;
        }
        write!(f, "  {}", step.recorded.summary)?;
        if let Outcome::NotSent(reason) = &step.outcome {
            return write!(f, ": {}", why(reason));
        }
        if let Some(live) = &step.live {
            write!(f, ": {}", live.outcome)?;
        }
        for taken in &step.taken {
            let (recorded, sent) = (hexadecimal::short(&taken.recorded), hexadecimal::short(&taken.sent));
            write!(
                f,
                "\n          taken from this card's answer to {}: {} {sent}, recorded {recorded}",
                taken.from, taken.name.label
            )?;
        }
        for one in &step.differing {
            write!(f, "\n          {}", differing::line(one, SIDES))?;
        }
        if step.outcome == Outcome::Differs && step.differing.is_empty() {
            let received = step.live.as_ref().map(|live| hexadecimal::short(&live.response)).unwrap_or_default();
            let expected = hexadecimal::short(&step.recorded.response);
            write!(f, "\n          the octets differ: expected {expected}, received {received}")?;
        }
        if let Some(why) = step.unrepeatable {
            write!(f, "\n          cannot be repeated: {why}")?;
        }
        Ok(())
    }
}

/// What came of a session.
#[derive(Debug, Default)]
struct Counts {
    steps: usize,
    same: usize,
    varying: usize,
    differing: usize,
    unrepeatable: usize,
    unknown: usize,
    not_sent: usize,
    taken: usize,
}

impl Counts {
    fn take(&mut self, step: &Step) {
        self.steps += 1;
        let count = match step.outcome {
            Outcome::Same => &mut self.same,
            Outcome::Varies => &mut self.varying,
            Outcome::Differs => &mut self.differing,
            Outcome::Unknown => &mut self.unknown,
            Outcome::NotSent(_) => &mut self.not_sent,
        };
        *count += 1;
        self.unrepeatable += usize::from(step.unrepeatable.is_some());
        self.taken += step.taken.len();
    }

    const fn summary(&self) -> [(&'static str, usize); 8] {
        [
            ("steps", self.steps),
            ("same", self.same),
            ("varying", self.varying),
            ("differing", self.differing),
            ("cannot_be_repeated", self.unrepeatable),
            ("unknown", self.unknown),
            ("not_sent", self.not_sent),
            ("taken", self.taken),
        ]
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = if self.steps == 1 { "step" } else { "steps" };
        let mut text = format!("{} of {} {steps} answered as recorded", self.same, self.steps);
        for (count, what) in [
            (self.varying, "with other random or assigned values"),
            (self.unknown, "not to be compared: the recording has no answer"),
            (self.differing, "otherwise"),
        ] {
            if count > 0 {
                // Writing to a string does not fail.
                let _ = write!(text, ", {count} {what}");
            }
        }
        if self.unrepeatable > 0 {
            let _ = write!(text, " (of these {} cannot be repeated by any recording)", self.unrepeatable);
        }
        if self.not_sent > 0 {
            let _ = write!(text, "; {} not sent", self.not_sent);
        }
        if self.taken > 0 {
            let values = if self.taken == 1 { "value" } else { "values" };
            let _ = write!(text, "; {} {values} taken from this card's answers", self.taken);
        }
        f.write_str(&text)
    }
}
