//! Lines of information, and how a line's answer is written. V.250 §5.7.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::port::{Errors, Settings};
use crate::quirks::{ErrorForm, Prefix, Quirks};
use crate::result_code::Fault;

/// A value in a line of information.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Number(usize),
    /// In quotes.
    Text(&'a str),
    /// Without.
    Plain(&'a str),
    /// Hexadecimal digits, in quotes.
    Octets(&'a [u8]),
    /// Hexadecimal digits, without.
    PlainOctets(&'a [u8]),
}

/// The information that a command gives.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    quirks: Arc<Quirks>,
    lines: Vec<String>,
}

impl Reply {
    pub(crate) const fn new(quirks: Arc<Quirks>) -> Self {
        Self { quirks, lines: Vec::new() }
    }

    /// A line with the name of its command.
    pub(crate) fn add(&mut self, command: &str, values: &[Value<'_>]) {
        let shape = self.quirks.shape(command);
        let mut line = match shape.prefix {
            Prefix::Spaced => format!("{command}: "),
            Prefix::Tight => format!("{command}:"),
            Prefix::None => String::new(),
        };
        let quote = if shape.unquoted { "" } else { "\"" };
        let digits = |octets: &[u8]| if shape.lowercase { hex::encode(octets) } else { hex::encode_upper(octets) };
        for (number, value) in values.iter().enumerate() {
            if number > 0 {
                line.push(',');
            }
            // Writing to a String does not fail.
            let _ = match value {
                Value::Number(value) => write!(line, "{value}"),
                Value::Text(text) => write!(line, "{quote}{text}{quote}"),
                Value::Plain(text) => write!(line, "{text}"),
                Value::Octets(octets) => write!(line, "{quote}{}{quote}", digits(octets)),
                Value::PlainOctets(octets) => write!(line, "{}", digits(octets)),
            };
        }
        self.lines.push(line);
    }

    /// A line as it is.
    pub(crate) fn bare(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Adds what belongs beneath the last line.
    pub(crate) fn beneath(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            line.push_str("\r\n");
            line.push_str(text);
        }
    }

    /// Adds what quirks have a command say besides.
    pub(crate) fn besides(&mut self, command: &str) {
        self.lines.extend(self.quirks.shape(command).also);
    }

    /// Writes the lines.
    pub(crate) fn write(&self, settings: &Settings, out: &mut Vec<u8>) {
        for line in &self.lines {
            write_line(line, settings, out);
        }
    }
}

/// Writes a line of information. V.250 §5.7.1.
pub(crate) fn write_line(line: &str, settings: &Settings, out: &mut Vec<u8>) {
    let ends = settings.ends();
    if settings.verbose {
        out.extend(ends);
    }
    out.extend(line.as_bytes());
    out.extend(ends);
}

/// Writes what asks for a message. TS 27.005 §3.5.1.
pub(crate) fn write_prompt(settings: &Settings, out: &mut Vec<u8>) {
    out.extend(settings.ends());
    out.extend(b"> ");
}

/// Writes how a line of commands ended.
pub(crate) fn write_result(outcome: Result<(), Fault>, settings: &Settings, quirks: &Quirks, out: &mut Vec<u8>) {
    if settings.quiet {
        return;
    }
    let [terminator, line_feed] = settings.ends();
    match (words(outcome, settings, quirks), settings.verbose) {
        (Words::Code(text, _) | Words::Text(text), true) => {
            out.extend([terminator, line_feed]);
            out.extend(text.as_bytes());
            out.extend([terminator, line_feed]);
        }
        (Words::Code(_, number), false) => {
            out.extend([b'0' + number, terminator]);
        }
        (Words::Text(text), false) => {
            out.extend(text.as_bytes());
            out.extend([terminator, line_feed]);
        }
    }
}

enum Words {
    /// A result code of V.250, and its number.
    Code(String, u8),
    Text(String),
}

fn words(outcome: Result<(), Fault>, settings: &Settings, quirks: &Quirks) -> Words {
    let code = |text: &str, number| Words::Code(text.to_owned(), number);
    let (kind, number, text) = match outcome {
        Ok(()) => return code("OK", 0),
        Err(Fault::NoCarrier) => return code("NO CARRIER", 3),
        Err(Fault::Error) => {
            return quirks.unknown_command.clone().map_or_else(|| code("ERROR", 4), Words::Text);
        }
        Err(Fault::Cme(error)) => ("+CME ERROR", error.0, error.text()),
        Err(Fault::Cms(error)) => ("+CMS ERROR", error.0, error.text()),
    };
    let form = match quirks.errors {
        Some(ErrorForm::Plain) => Errors::Hidden,
        Some(ErrorForm::Number) => Errors::Number,
        Some(ErrorForm::Words) => Errors::Words,
        None => settings.errors,
    };
    let own = quirks.words.get(&number.to_string()).map(String::as_str);
    match (form, own.or(text)) {
        (Errors::Hidden, _) => code("ERROR", 4),
        (Errors::Words, Some(text)) => Words::Text(format!("{kind}: {text}")),
        (Errors::Number | Errors::Words, _) => Words::Text(format!("{kind}: {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result_code::{Cme, Cms};

    fn written(outcome: Result<(), Fault>, change: impl Fn(&mut Settings), quirks: &str) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        let quirks = Arc::new(Quirks::parse(quirks).unwrap());
        let mut reply = Reply::new(Arc::clone(&quirks));
        reply.add("+X", &[Value::Number(7), Value::Text("a"), Value::Octets(&[0xAB]), Value::Plain("b")]);
        let mut out = Vec::new();
        reply.write(&settings, &mut out);
        write_result(outcome, &settings, &quirks, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_in_both_forms() {
        let line = "+X: 7,\"a\",\"AB\",b";
        assert_eq!(written(Ok(()), |_| {}, ""), format!("\r\n{line}\r\n\r\nOK\r\n"));
        assert_eq!(written(Ok(()), |s| s.verbose = false, ""), format!("{line}\r\n0\r"));
        assert_eq!(written(Ok(()), |s| s.quiet = true, ""), format!("\r\n{line}\r\n"));
        assert!(written(Err(Fault::NoCarrier), |s| s.verbose = false, "").ends_with("\r\n3\r"));
    }

    #[test]
    fn errors_are_told_as_asked_for() {
        let ends = |error: Fault, form: Errors, quirks: &str, end: &str| {
            let written = written(Err(error), |s| s.errors = form, quirks);
            assert!(written.ends_with(&format!("\r\n\r\n{end}\r\n")), "{written:?}");
        };
        let sim = Fault::Cme(Cme::SIM_NOT_INSERTED);
        ends(sim, Errors::Hidden, "", "ERROR");
        ends(sim, Errors::Number, "", "+CME ERROR: 10");
        ends(sim, Errors::Words, "", "+CME ERROR: SIM not inserted");
        ends(Cme(515).into(), Errors::Words, "", "+CME ERROR: 515");
        ends(Cms::INVALID_INDEX.into(), Errors::Number, "", "+CMS ERROR: 321");
        ends(Fault::Error, Errors::Words, "", "ERROR");
        ends(Fault::Error, Errors::Words, "unknown_command = 'NO'", "NO");
        ends(sim, Errors::Words, "errors = 'plain'", "ERROR");
        ends(sim, Errors::Hidden, "errors = 'words'\nwords.10 = 'no card'", "+CME ERROR: no card");
    }

    #[test]
    fn quirks_change_lines() {
        for (quirk, line) in [
            ("prefix = 'tight'", "+X:7,\"a\",\"AB\",b"),
            ("prefix = 'none'\nunquoted = true", "7,a,AB,b"),
            ("lowercase = true", "+X: 7,\"a\",\"ab\",b"),
        ] {
            let written = written(Ok(()), |_| {}, &format!("[answers.'+X']\n{quirk}"));
            assert!(written.starts_with(&format!("\r\n{line}\r\n")), "{written:?}");
        }
    }
}
