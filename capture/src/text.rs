//! A trace for people, which is an APDU script as well: `>` commands, `<` responses, everything else behind `#`.

use std::time::Duration;

use crate::encoder::Describe;
use crate::error::CaptureError;
use crate::event::{Event, Origin, Session, What};
use crate::hexadecimal::{hex, unhex};
use crate::secret::{secret_part, unfolded};

/// Stands for a PIN or a PUK.
const SECRET: &str = "${secret}";

/// Whether a line can be of such a trace only.
pub(crate) fn is_trace(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with("> ") || line == "raw" || matches!(comment(line), Some(Comment::PowerOn | Comment::PowerOff))
}

/// What stands before the first event: a script with such responses has to take each as it comes.
pub(crate) fn header(label: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    line(&mut octets, label, "raw");
    octets
}

/// Writes an event as lines.
pub(crate) fn write(event: &Event, label: &str, brief: bool, describe: &Describe, out: &mut Vec<u8>) {
    match &event.what {
        What::Reset { atr, warm } => {
            let statement = if *warm { "reset warm" } else { "reset" };
            let comment = if atr.is_empty() { String::new() } else { format!("ATR {}", hex(atr)) };
            commented(out, label, statement, &comment);
        }
        What::PowerOff => line(out, label, "# power off"),
        What::Exchange { command, response } => {
            commented(out, label, &format!("> {}", shown_command(command)), &(describe.command)(command));
            let took = event.took.map_or_else(String::new, duration);
            let meaning = (describe.response)(response);
            let comment = [meaning.as_str(), took.as_str()].into_iter().filter(|part| !part.is_empty());
            let comment = comment.collect::<Vec<_>>().join(" ");
            let Some(data) = response.len().checked_sub(2) else {
                let comment = if meaning.is_empty() { format!("no answer {comment}") } else { comment };
                return line(out, label, format!("# {comment} {}", hex(response)).trim_end());
            };
            commented(out, label, &format!("< {}", hex(response)), &comment);
            let tree = (describe.tree)(response.get(..data).unwrap_or_default()).filter(|_| !brief);
            for object in tree.into_iter().flatten() {
                line(out, label, &format!("#   {object}"));
            }
        }
        What::Failed { command, cause } => {
            if !command.is_empty() {
                commented(out, label, &format!("# > {}", shown_command(command)), &(describe.command)(command));
            }
            line(out, label, &format!("# {cause}"));
        }
    }
}

fn line(out: &mut Vec<u8>, label: &str, line: &str) {
    if !label.is_empty() {
        out.extend(label.as_bytes());
        out.push(b' ');
    }
    out.extend(line.as_bytes());
    out.push(b'\n');
}

fn commented(out: &mut Vec<u8>, label: &str, statement: &str, comment: &str) {
    match comment {
        "" => line(out, label, statement),
        _ => line(out, label, &format!("{statement:<44}  # {comment}")),
    }
}

/// A command in hexadecimal; `${secret}` stands for a PIN or PUK.
pub fn shown_command(command: &[u8]) -> String {
    match secret_part(command) {
        Some(secret) => format!("{} {SECRET}", hex(command.get(..secret.start).unwrap_or_default())),
        None => hex(command),
    }
}

/// Time as comments have it.
pub(crate) fn duration(took: Duration) -> String {
    format!("({} µs)", took.as_micros())
}

/// The time at the end of a comment.
pub(crate) fn read_duration(comment: &str) -> Option<Duration> {
    let (_, rest) = comment.rsplit_once('(')?;
    let (micros, _) = rest.split_once(" µs)")?;
    micros.parse().ok().map(Duration::from_micros)
}

/// Reads a trace.
pub(crate) fn read(text: &str) -> Result<Session, CaptureError> {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line).map_err(|cause| CaptureError::line(Origin::Text, index + 1, cause))?;
    }
    reader.end();
    Ok(Session { origin: Origin::Text, events: reader.events })
}

#[derive(Default)]
struct Reader {
    events: Vec<Event>,
    last: Last,
}

/// What the line before was.
#[derive(Default)]
enum Last {
    /// Nothing that continues.
    #[default]
    Other,
    /// A command that has no response yet, and its line.
    Command(Vec<u8>, usize),
    /// A response, which the next line may continue.
    Response,
    /// A command that failed, and its line; the cause follows.
    Failed(Vec<u8>, usize),
}

/// What a comment says of the session.
enum Comment<'a> {
    PowerOn,
    PowerOff,
    Failed(&'a str),
    Words(&'a str),
}

fn comment(line: &str) -> Option<Comment<'_>> {
    let words = line.strip_prefix('#')?.trim();
    Some(match words.to_ascii_lowercase().replace('_', " ").as_str() {
        "power on" => Comment::PowerOn,
        "power off" => Comment::PowerOff,
        _ => words.strip_prefix("> ").map_or(Comment::Words(words), Comment::Failed),
    })
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if let Some(comment) = comment(line.trim()) {
            return self.comment(number, &comment);
        }
        if line.starts_with(char::is_whitespace) && !line.trim().is_empty() {
            return self.continuation(line);
        }
        let (statement, comment) = split_comment(line.trim())?;
        let (word, rest) = statement.split_once(' ').unwrap_or((statement, ""));
        match (word, rest.trim()) {
            ("", _) => {}
            ("raw" | "auto", "") => self.end(),
            ("reset", "") => self.reset(number, false, comment)?,
            ("reset", "warm") => self.reset(number, true, comment)?,
            (">", digits) => {
                self.end();
                self.last = Last::Command(read_command(digits)?, number);
            }
            ("<", digits) => self.response(digits, comment)?,
            _ => {
                return Err(format!(
                    "`{}` is no line of a recorded session: those are `>` command, `<` response, `reset`, `# comment`",
                    statement.chars().take(40).collect::<String>().escape_default()
                ));
            }
        }
        Ok(())
    }

    fn push(&mut self, number: usize, took: Option<Duration>, what: What) {
        self.events.push(Event { at: None, took, line: Some(number), what });
    }

    /// Ends what was left open.
    fn end(&mut self) {
        match std::mem::take(&mut self.last) {
            Last::Command(command, line) => self.push(line, None, What::Exchange { command, response: Vec::new() }),
            Last::Failed(command, line) => {
                self.push(line, None, What::Failed { command, cause: "it failed".into() });
            }
            Last::Other | Last::Response => {}
        }
    }

    fn reset(&mut self, number: usize, warm: bool, comment: &str) -> Result<(), String> {
        self.end();
        let atr = comment.strip_prefix("ATR ").map_or(Ok(Vec::new()), unhex)?;
        self.push(number, None, What::Reset { atr, warm });
        Ok(())
    }

    fn response(&mut self, digits: &str, comment: &str) -> Result<(), String> {
        let Last::Command(command, line) = std::mem::take(&mut self.last) else {
            return Err("a response without a command before it".into());
        };
        let response = unhex(digits).map_err(no_pattern)?;
        if response.len() < 2 {
            return Err("a response has two octets of status word at least".into());
        }
        self.push(line, read_duration(comment), What::Exchange { command, response });
        self.last = Last::Response;
        Ok(())
    }

    fn comment(&mut self, number: usize, comment: &Comment<'_>) -> Result<(), String> {
        match comment {
            Comment::PowerOn => {
                self.end();
                self.push(number, None, What::Reset { atr: Vec::new(), warm: false });
            }
            Comment::PowerOff => {
                self.end();
                self.push(number, None, What::PowerOff);
            }
            Comment::Failed(command) => {
                self.end();
                let (digits, _) = split_comment(command)?;
                self.last = Last::Failed(read_command(digits)?, number);
            }
            Comment::Words(words) => match std::mem::take(&mut self.last) {
                Last::Failed(command, line) => {
                    self.push(line, None, What::Failed { command, cause: (*words).into() });
                }
                Last::Command(command, line) if words.starts_with("no answer") || words.starts_with("no response") => {
                    self.push(line, read_duration(words), What::Exchange { command, response: Vec::new() });
                }
                other => self.last = other,
            },
        }
        Ok(())
    }

    /// An indented line belongs to the one above it.
    fn continuation(&mut self, line: &str) -> Result<(), String> {
        // A reassembled request, which some recorders add.
        if line.trim_start().starts_with("ES10 ") {
            return Ok(());
        }
        let (digits, _) = split_comment(line.trim())?;
        match (&mut self.last, self.events.last_mut()) {
            (Last::Command(command, _), _) => {
                let all = format!("{} {digits}", hex(command));
                *command = read_command(&all)?;
            }
            (Last::Response, Some(Event { what: What::Exchange { response, .. }, .. })) => {
                response.extend(unhex(digits).map_err(no_pattern)?);
            }
            _ => return Err("an indented line continues a command or a response, and there is none".into()),
        }
        Ok(())
    }
}

/// A statement and the comment behind it.
fn split_comment(line: &str) -> Result<(&str, &str), String> {
    match line.split_once('#') {
        Some((_, rest)) if rest.starts_with(['(', '{', '.']) => Err(no_pattern(String::new())),
        Some((statement, comment)) => Ok((statement.trim_end(), comment.trim())),
        None => Ok((line, "")),
    }
}

fn read_command(digits: &str) -> Result<Vec<u8>, String> {
    let command = match digits.split_once(SECRET) {
        Some((open, rest)) if rest.trim().is_empty() => unfolded(&unhex(open)?, None),
        Some(_) => return Err(format!("`{SECRET}` stands at the end of a command")),
        None => unhex(digits).map_err(no_pattern)?,
    };
    if command.len() < 4 {
        return Err("a command has four octets at least".into());
    }
    Ok(command)
}

/// A script for many cards is no recording of one.
fn no_pattern(cause: String) -> String {
    const SCRIPT: &str = "a recorded session has octets only; a script with patterns has to be run to become one";
    if cause.is_empty() || cause.contains(['$', '?', '{', '|', '.']) { SCRIPT.into() } else { cause }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::{Encoder, Format};

    fn written(encoder: Encoder, events: &[Event]) -> String {
        let mut encoder = encoder;
        let octets: Vec<u8> = events.iter().flat_map(|event| encoder.event(event)).collect();
        String::from_utf8(octets).unwrap()
    }

    fn dialogue() -> Vec<Event> {
        let took = Some(Duration::from_micros(7));
        vec![
            Event::new(What::Reset { atr: vec![0x3B, 0], warm: false }),
            Event { took, ..Event::exchange(hex!("0020000108 31323334FFFFFFFF"), hex!("63C2")) },
            Event { took, ..Event::exchange(hex!("00CA005A00"), hex!("5A0101 9000")) },
            Event::exchange(hex!("00FE0000"), []),
            Event::new(What::Failed { command: hex!("00B0000000").into(), cause: "the card was removed".into() }),
            Event::new(What::Reset { atr: vec![], warm: true }),
            Event::new(What::PowerOff),
        ]
    }

    const TEXT: &str = "\
raw
reset                                         # ATR 3B00
> 0020000108 ${secret}
< 63C2                                        # (7 µs)
> 00CA005A00
< 5A01019000                                  # (7 µs)
> 00FE0000
# no answer
# > 00B0000000
# the card was removed
reset warm
# power off
";

    #[test]
    fn a_dialogue_is_written_and_read() {
        assert_eq!(written(Encoder::new(Format::Text), &dialogue()), TEXT);
        let session = crate::read(TEXT.as_bytes()).unwrap();
        assert_eq!(session.origin, Origin::Text);
        let mut expected = dialogue();
        expected[1].what =
            What::Exchange { command: b"\x00\x20\x00\x01\x08********".into(), response: hex!("63C2").into() };
        let lines = [2, 3, 5, 7, 9, 11, 12];
        for (event, line) in expected.iter_mut().zip(lines) {
            event.line = Some(line);
        }
        assert_eq!(session.events, expected);
    }

    #[test]
    fn words_are_written_and_skipped() {
        let describe = Describe {
            command: |_| "GET DATA".into(),
            response: |_| "fine".into(),
            tree: |_| Some(vec!["5A 01".into()]),
        };
        let events = [Event { took: Some(Duration::ZERO), ..Event::exchange(hex!("00CA005A00"), hex!("5A0101 9000")) }];
        let text = written(Encoder::new(Format::Text).described(describe), &events);
        let expected = "\
raw
> 00CA005A00                                  # GET DATA
< 5A01019000                                  # fine (0 µs)
#   5A 01
";
        assert_eq!(text, expected);
        assert_eq!(read(&text).unwrap().events[0].what, events[0].what);
        let brief = written(Encoder::new(Format::Text).described(describe).brief(), &events);
        assert!(!brief.contains("5A 01"), "{brief}");
    }

    #[test]
    fn labels_tell_cards_apart() {
        let off = [Event::new(What::PowerOff)];
        assert_eq!(written(Encoder::new(Format::Text).labelled("[1]", 0), &off), "[1] raw\n[1] # power off\n");
    }

    #[test]
    fn other_recorders_write_more() {
        let text = "# POWER_ON\n> 00a4 0004\n   023f00\n< 6\n  116\n  ES10 BF3E\n> 00C0000016\n";
        let error = crate::read(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "APDU trace, line 4: an odd number of hexadecimal digits");
        let session = crate::read(text.replace("< 6\n  116", "< 61\n  16").as_bytes()).unwrap_err();
        assert_eq!(session.to_string(), "APDU trace, line 4: a response has two octets of status word at least");
        let session = crate::read(text.replace("< 6\n  116", "< 0161\n  16").as_bytes()).unwrap();
        let what: Vec<&What> = session.events.iter().map(|event| &event.what).collect();
        assert_eq!(*what[0], What::Reset { atr: vec![], warm: false });
        assert_eq!(
            *what[1],
            What::Exchange { command: hex!("00A40004023F00").into(), response: hex!("016116").into() }
        );
        assert_eq!(*what[2], What::Exchange { command: hex!("00C0000016").into(), response: vec![] });
    }

    #[test]
    fn mistakes_have_lines() {
        let refused = |text: &str| crate::read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused("> 00A4\n"), "APDU trace, line 1: a command has four octets at least");
        assert_eq!(refused("> 00A40G04\n"), "APDU trace, line 1: `G` is not a hexadecimal digit");
        assert_eq!(refused("raw\n< 9000\n"), "APDU trace, line 2: a response without a command before it");
        assert!(refused("> 00A40004\n< 62 .. 9000\n").contains("line 2: a recorded session has octets only"));
        assert!(refused("> 00A40004 #(2FE2)\n").contains("line 1: a recorded session has octets only"));
        assert!(refused("raw\nhello\n").contains("line 2: `hello` is no line"));
        assert_eq!(refused("raw\n"), "APDU trace: it holds no event of a card");
        assert_eq!(refused(""), "the recording is empty");
        assert!(refused("hello\n").starts_with("no recording of APDUs"));
    }
}
