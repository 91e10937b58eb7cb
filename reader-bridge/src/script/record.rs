//! From a dialogue that was watched to a script that expects the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use capture::{LeftOut, SOME_SECRET, one_line};

use super::variables::{Places, named};
use super::{Mode, Variables};
use crate::trace::{Event, Observer, describe_command, describe_response, hex};

/// An [`Observer`] that writes a script of what it sees.
///
/// The script expects the very bytes that were seen. PINs and PUKs are left out: `${secret}` stands in their place. So is what
/// was left out of a recording that is shown to it, under its name.
#[derive(Debug)]
pub struct Recorder {
    mode: Mode,
    script: String,
    secrets: Variables,
    /// Those that were left out.
    used: BTreeSet<String>,
    shown: Shown,
    /// In [`Mode::Auto`]: a command whose response is still coming.
    open: Option<Open>,
}

/// What becomes of the responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Expected,
    Commented,
}

/// A command as it is written, and what came of its response.
#[derive(Debug)]
struct Open {
    command: Vec<u8>,
    line: Line,
    data: Vec<u8>,
    places: Places,
}

/// A command as a script has it, and what it is. Secrets may have other values when it is written down.
#[derive(Debug)]
struct Line {
    text: String,
    what: String,
}

impl Recorder {
    /// Records as it was ([`Mode::Raw`]), or with GET RESPONSE and corrected Le folded into the command they belong to
    /// ([`Mode::Auto`]): then it can be played on a card, or through a reader, that cuts its responses differently.
    pub fn new(mode: Mode) -> Self {
        let script = match mode {
            Mode::Raw => "raw\n".into(),
            Mode::Auto => String::new(),
        };
        Self { mode, script, secrets: Variables::new(), used: BTreeSet::new(), shown: Shown::Expected, open: None }
    }

    /// Leaves these secrets out too: `${name}` stands in their place.
    #[must_use]
    pub fn hiding(mut self, secrets: Variables) -> Self {
        self.secrets = secrets;
        self
    }

    /// Expects nothing: what was seen stands in comments.
    #[must_use]
    pub fn showing(mut self) -> Self {
        self.shown = Shown::Commented;
        self
    }

    /// The script.
    pub fn into_script(mut self) -> String {
        self.close(&[], Places::new());
        let declared = self.used.iter().filter(|name| *name != SOME_SECRET || self.secrets.is_secret(name));
        let declarations: String = declared.flat_map(|name| ["secret ", name, "\n"]).collect();
        declarations + &self.script
    }

    fn command(&mut self, command: &[u8], left_out: &[LeftOut]) -> Line {
        let places = self.secrets.of_command(command, left_out);
        let text = named(command, &places);
        self.used.extend(places.into_iter().map(|(_, name)| name));
        Line { text, what: describe_command(command) }
    }

    fn write(&mut self, line: &str, comment: &str) {
        if comment.is_empty() {
            let _ = writeln!(self.script, "{line}");
        } else {
            let _ = writeln!(self.script, "{line:<44}  # {comment}");
        }
    }

    fn write_exchange(&mut self, line: &Line, response: &[u8], places: Places) {
        if line.text.is_empty() {
            // No script can send it.
            self.write("# > nothing", &line.what);
            return self.write(&format!("# < {}", hex(response)), &describe_response(response));
        }
        self.write(&format!("> {}", line.text), &line.what);
        if response.len() < 2 {
            let _ = writeln!(self.script, "# no answer");
            return;
        }
        let mark = if self.shown == Shown::Expected { "<" } else { "# <" };
        self.write(&format!("{mark} {}", named(response, &places)), &describe_response(response));
        self.used.extend(places.into_iter().map(|(_, name)| name));
    }

    /// Writes the command still open, its last response being `response`.
    fn close(&mut self, response: &[u8], places: Places) {
        if let Some(Open { line, mut data, places: mut all, .. }) = self.open.take() {
            extend(&mut data, &mut all, response, places);
            self.write_exchange(&line, &data, all);
        }
    }

    fn fold(&mut self, command: &[u8], line: Line, response: &[u8], places: Places) {
        let continues = match &self.open {
            Some(Open { command: first, data, .. }) => {
                matches!(command, [_, 0xC0, 0, 0, _])
                    || data.is_empty() && command.get(..4) == first.get(..4) && command != first
            }
            None => false,
        };
        if !continues {
            self.close(&[], Places::new());
        }
        match response {
            [data @ .., 0x61, _] => {
                let begun = || Open { command: command.to_vec(), line, data: Vec::new(), places: Places::new() };
                let open = self.open.get_or_insert_with(begun);
                extend(&mut open.data, &mut open.places, data, places);
            }
            [0x6C, _] if !continues => {
                self.open = Some(Open { command: command.to_vec(), line, data: Vec::new(), places: Places::new() });
            }
            _ if continues => self.close(response, places),
            _ => self.write_exchange(&line, response, places),
        }
    }
}

/// Puts a part of a response behind those before it.
fn extend(data: &mut Vec<u8>, all: &mut Places, part: &[u8], places: Places) {
    let before = data.len();
    data.extend(part);
    all.extend(places.into_iter().map(|(range, name)| (range.start + before..range.end + before, name)));
}

impl Observer for Recorder {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Exchange { command, response, left_out, .. } => {
                let line = self.command(command, left_out);
                let places = self.secrets.of_response(response, left_out);
                match self.mode {
                    Mode::Auto => self.fold(command, line, response, places),
                    Mode::Raw => self.write_exchange(&line, response, places),
                }
            }
            Event::PowerOn { atr } => self.reset("reset", atr),
            Event::WarmReset { atr } => self.reset("reset warm", atr),
            Event::PowerOff => {}
            Event::Failed { command, cause, left_out } => {
                self.close(&[], Places::new());
                let Line { text, .. } = self.command(command, left_out);
                let _ = writeln!(self.script, "# {text}: {}", one_line(cause));
            }
        }
    }
}

impl Recorder {
    fn reset(&mut self, statement: &str, atr: &[u8]) {
        self.close(&[], Places::new());
        let comment = if atr.is_empty() { String::new() } else { format!("ATR {}", hex(atr)) };
        self.write(statement, &comment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Outcome, Run, Script, Variables};
    use crate::testing::dialogue;
    use crate::trace::Tracer;
    use apdu::transport::{Transport, exchange};

    const DIALOGUE: &[(&str, &str)] = &[
        ("00A40004023F00", "6102"),
        ("00C0000002", "62009000"),
        ("00B0000000", "6C01"),
        ("00B0000001", "AA9000"),
        ("00A40004022F00", "6A82"),
        ("002000010831323334FFFFFFFF", "9000"),
    ];

    fn record(mode: Mode) -> String {
        let mut card = Tracer::new(dialogue(DIALOGUE), Recorder::new(mode));
        card.reset().unwrap();
        for command in ["00A40004023F00", "00B0000000", "00A40004022F00", "002000010831323334FFFFFFFF"] {
            exchange(&mut card, &hex::decode(command).unwrap()).unwrap();
        }
        card.into_parts().1.into_script()
    }

    #[test]
    fn a_recorded_script_replays() {
        for mode in [Mode::Raw, Mode::Auto] {
            let text = record(mode);
            assert!(!text.contains("31323334"), "{text}");
            let script = Script::parse("recorded", &text, &mut |_, _| Err(String::new())).unwrap();
            let secret = Variables::from([("secret".to_owned(), hex::decode("31323334FFFFFFFF").unwrap())]);
            let done = Run::new(&script, secret).finish(&mut dialogue(DIALOGUE)).unwrap();
            assert!(done[1..].iter().all(|done| done.outcome == Outcome::AsExpected), "{text}\n{done:#?}");
        }
    }

    #[test]
    fn secrets_are_named_and_responses_may_be_left_open() {
        let mut secrets = Variables::new();
        secrets.set_secret("adm", hex::decode("00112233").unwrap());
        secrets.set_secret("other", hex::decode("44556677").unwrap());
        let dialogue: &[(&str, &str)] =
            &[("00DA00000400112233", "9000"), ("00CA000000", "01001122339000"), ("002000010831323334FFFFFFFF", "9000")];
        let record = |recorder: Recorder| {
            let mut card = Tracer::new(crate::testing::dialogue(dialogue), recorder.hiding(secrets.clone()));
            for (command, _) in dialogue {
                card.transmit(&hex::decode(command).unwrap()).unwrap();
            }
            card.into_parts().1.into_script()
        };
        let whole = record(Recorder::new(Mode::Raw));
        let lines: Vec<_> = whole.lines().map(|line| line.split("  #").next().unwrap().trim()).collect();
        let expected = [
            "secret adm",
            "raw",
            "> 00DA000004 ${adm}",
            "< 9000",
            "> 00CA000000",
            "< 01 ${adm} 9000",
            "> 0020000108 ${secret}",
            "< 9000",
        ];
        assert_eq!(lines, expected);
        let open = record(Recorder::new(Mode::Auto).showing());
        assert!(open.lines().all(|line| !line.starts_with('<')) && open.contains("# < 9000"), "{open}");
    }

    #[test]
    fn folded_responses_are_whole() {
        let text = record(Mode::Auto);
        let lines: Vec<_> = text.lines().map(|line| line.split("  #").next().unwrap().trim()).collect();
        let expected = ["reset", "> 00A40004023F00", "< 62009000", "> 00B0000000", "< AA9000"];
        assert_eq!(lines[..5], expected);
    }
}
