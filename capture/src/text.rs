//! A trace for people, which is an APDU script as well: `>` commands, `<` responses, everything else behind `#`.
//!
//! What a script cannot have is a comment: a command without octets (`# > nothing`), a response without a status word
//! (`# no answer`), a command or a reset that failed (`# > COMMAND`, `# > reset`, and the cause in the next line). `${name}` stands
//! for what was left out, and `(name: 4 octets)` at the end of its comment says how much where Lc does not.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::encoder::Describe;
use crate::error::CaptureError;
use crate::event::{Event, Origin, Session, What};
use crate::hexadecimal::{hex, unhex};
use crate::left_out::{
    Allowance, LeftOut, Places, SOME_SECRET, Shown, Unnamed, joined, lengths, named, read_lengths, written,
};
use crate::line::one_line;
use crate::secret::secret_part;

/// Stands for a command without octets.
const NOTHING: &str = "nothing";
/// Stands for a reset that failed.
const RESET: &str = "reset";
/// Begins the cause of a failure that would be taken for something else.
const FAILED: &str = "failed: ";
/// Begins what is said of a response without a status word.
const NO_ANSWER: &str = "no answer";
/// The same in other recorders' words.
const NO_RESPONSE: &str = "no response";

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

/// Names the secrets that a script needs from here on.
pub(crate) fn declare(shown: &Shown, label: &str, declared: &mut BTreeSet<String>, out: &mut Vec<u8>) {
    for (_, name) in shown.of_command.iter().chain(&shown.of_response) {
        if name != SOME_SECRET && declared.insert(name.clone()) {
            line(out, label, &format!("secret {name}"));
        }
    }
}

/// Writes an event as lines.
pub(crate) fn write(event: &Event, shown: &Shown, label: &str, brief: bool, describe: &Describe, out: &mut Vec<u8>) {
    match &event.what {
        What::Reset { atr, warm } => {
            let statement = if *warm { "reset warm" } else { "reset" };
            let comment = if atr.is_empty() { String::new() } else { format!("ATR {}", hex(atr)) };
            commented(out, label, statement, &comment);
        }
        What::PowerOff => line(out, label, "# power off"),
        What::Exchange { .. } => {
            let is_empty = shown.command.is_empty();
            let statement = if is_empty { format!("# > {NOTHING}") } else { format!("> {}", command_of(shown)) };
            commented(out, label, &statement, &words_of(shown, describe));
            let took = event.took.map_or_else(String::new, duration);
            let Some(data) = shown.response.len().checked_sub(2) else {
                let octets =
                    if shown.response.is_empty() { String::new() } else { format!(": {}", hex(&shown.response)) };
                return line(out, label, format!("# {NO_ANSWER}{octets} {took}").trim_end());
            };
            let mark = if is_empty { "# <" } else { "<" };
            let response = format!("{mark} {}", written(&shown.response, &shown.of_response));
            let comment = sentence([(describe.response)(&shown.response), lengths(&shown.of_response), took]);
            commented(out, label, &response, &comment);
            let tree = (describe.tree)(shown.response.get(..data).unwrap_or_default()).filter(|_| !brief);
            for object in tree.into_iter().flatten() {
                line(out, label, &format!("#   {object}"));
            }
        }
        What::Failed { command, cause } => {
            let (statement, words) = match command.as_slice() {
                [] => (RESET.to_owned(), String::new()),
                _ => (command_of(shown), words_of(shown, describe)),
            };
            commented(out, label, &format!("# > {statement}"), &words);
            line(out, label, &format!("# {}", told(cause)));
        }
    }
}

fn command_of(shown: &Shown) -> String {
    written(&shown.command, &shown.of_command)
}

/// What is said of a command.
fn words_of(shown: &Shown, describe: &Describe) -> String {
    // What a reader finds by itself.
    let counts = if let [(range, _)] = shown.of_command.as_slice() {
        let lc = usize::from(shown.command.get(4).copied().unwrap_or(0));
        range.start < 5 || shown.command.len() - 5 != lc
    } else {
        true
    };
    let counts = if counts { lengths(&shown.of_command) } else { String::new() };
    sentence([(describe.command)(&shown.command), counts])
}

fn sentence<const N: usize>(parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A cause as the line that it is read from.
fn told(cause: &str) -> String {
    let cause = one_line(cause);
    let words = matches!(comment(&format!("# {cause}")), Some(Comment::Words(_)));
    let is_plain = words
        && !cause.is_empty()
        && ![FAILED.trim_end(), NO_ANSWER, NO_RESPONSE, "<", ">"].iter().any(|other| cause.starts_with(other));
    if is_plain { cause } else { format!("{FAILED}{cause}") }
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
    named(command, secret_part(command).map(|secret| (secret, SOME_SECRET)))
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
    let mut reader = Reader { events: Vec::new(), last: Last::Other, allowance: Allowance::of(text.len()) };
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line).map_err(|cause| CaptureError::line(Origin::Text, index + 1, cause))?;
    }
    let line = text.lines().count();
    reader.end().map_err(|cause| CaptureError::line(Origin::Text, line, cause))?;
    Ok(Session { origin: Origin::Text, events: reader.events })
}

struct Reader {
    events: Vec<Event>,
    last: Last,
    allowance: Allowance,
}

/// What the line before was.
#[derive(Default)]
enum Last {
    /// Nothing that continues.
    #[default]
    Other,
    /// A command that has no response yet.
    Command(Sent),
    /// A response, which the next line may continue.
    Response,
    /// A command or a reset that failed, the cause follows; or a command without octets, and its response follows.
    Commented(Sent),
}

/// A command as it is written, the octets that are left out of it, and its line.
#[derive(Default)]
struct Sent {
    octets: Unnamed,
    left_out: Vec<usize>,
    line: usize,
}

/// What a comment says of the session.
enum Comment<'a> {
    PowerOn,
    PowerOff,
    Command(&'a str),
    Words(&'a str),
}

fn comment(line: &str) -> Option<Comment<'_>> {
    let words = line.strip_prefix('#')?.trim();
    Some(match words.to_ascii_lowercase().replace('_', " ").as_str() {
        "power on" => Comment::PowerOn,
        "power off" => Comment::PowerOff,
        _ => words.strip_prefix("> ").map_or(Comment::Words(words), Comment::Command),
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
            // The secrets that the script needs are known from where their names stand.
            ("" | "secret", _) => {}
            ("raw" | "auto", "") => self.end()?,
            ("reset", "") => self.reset(number, false, comment)?,
            ("reset", "warm") => self.reset(number, true, comment)?,
            (">", digits) => {
                self.end()?;
                self.last = Last::Command(read_command(digits, comment, number)?);
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

    fn push(&mut self, number: usize, took: Option<Duration>, what: What, left_out: Vec<LeftOut>) {
        self.events.push(Event { took, line: Some(number), left_out, ..Event::new(what) });
    }

    fn exchange(&mut self, sent: &Sent, took: Option<Duration>, response: Vec<u8>, of: Places) -> Result<(), String> {
        let (command, left_out) = sent.filled(&self.allowance)?;
        self.push(sent.line, took, What::Exchange { command, response }, joined(left_out, of));
        Ok(())
    }

    /// Ends what was left open.
    fn end(&mut self) -> Result<(), String> {
        match std::mem::take(&mut self.last) {
            Last::Command(sent) => self.exchange(&sent, None, Vec::new(), Places::new()),
            Last::Commented(sent) => self.failed(&sent, "it failed"),
            Last::Other | Last::Response => Ok(()),
        }
    }

    fn failed(&mut self, sent: &Sent, cause: &str) -> Result<(), String> {
        let cause = cause.strip_prefix(FAILED).unwrap_or(cause);
        let cause = if cause == FAILED.trim_end() { String::new() } else { one_line(cause) };
        let (command, left_out) = sent.filled(&self.allowance)?;
        self.push(sent.line, None, What::Failed { command, cause }, joined(left_out, Places::new()));
        Ok(())
    }

    fn reset(&mut self, number: usize, warm: bool, comment: &str) -> Result<(), String> {
        self.end()?;
        let atr = comment.strip_prefix("ATR ").map_or(Ok(Vec::new()), unhex)?;
        self.push(number, None, What::Reset { atr, warm }, Vec::new());
        Ok(())
    }

    fn response(&mut self, digits: &str, comment: &str) -> Result<(), String> {
        let Last::Command(sent) = std::mem::take(&mut self.last) else {
            return Err("a response without a command before it".into());
        };
        let (response, left_out) = read_octets(digits, comment, &self.allowance)?;
        self.exchange(&sent, read_duration(comment), response, left_out)?;
        self.last = Last::Response;
        Ok(())
    }

    fn comment(&mut self, number: usize, comment: &Comment<'_>) -> Result<(), String> {
        match comment {
            Comment::PowerOn => {
                self.end()?;
                self.push(number, None, What::Reset { atr: Vec::new(), warm: false }, Vec::new());
            }
            Comment::PowerOff => {
                self.end()?;
                self.push(number, None, What::PowerOff, Vec::new());
            }
            Comment::Command(command) => {
                self.end()?;
                let (digits, comment) = split_comment(command)?;
                let sent = match digits {
                    NOTHING | RESET => Sent { line: number, ..Sent::default() },
                    // Words that somebody wrote, in which the sign means something else.
                    digits if Unnamed::parse(digits).is_err() => return Ok(()),
                    digits => read_command(digits, comment, number)?,
                };
                self.last = Last::Commented(sent);
            }
            Comment::Words(words) => {
                let no_answer = words.strip_prefix(NO_ANSWER).or_else(|| words.strip_prefix(NO_RESPONSE));
                match (std::mem::take(&mut self.last), no_answer, words.strip_prefix("< ")) {
                    (Last::Command(sent), Some(rest), _) => self.no_answer(&sent, words, rest)?,
                    (Last::Commented(sent), Some(rest), _) if sent.octets.is_empty() => {
                        self.no_answer(&sent, words, rest)?;
                    }
                    (Last::Commented(sent), _, Some(response)) if sent.octets.is_empty() => {
                        let (digits, comment) = split_comment(response)?;
                        let (response, left_out) = read_octets(digits, comment, &self.allowance)?;
                        self.exchange(&sent, read_duration(comment), response, left_out)?;
                    }
                    (Last::Commented(sent), ..) => self.failed(&sent, words)?,
                    (other, ..) => self.last = other,
                }
            }
        }
        Ok(())
    }

    /// `no answer`, `no answer: 90`, each with a time behind it.
    fn no_answer(&mut self, sent: &Sent, words: &str, rest: &str) -> Result<(), String> {
        let digits = rest.strip_prefix(": ").map_or("", |rest| rest.split(' ').next().unwrap_or_default());
        self.exchange(sent, read_duration(words), unhex(digits).unwrap_or_default(), Places::new())
    }

    /// An indented line belongs to the one above it.
    fn continuation(&mut self, line: &str) -> Result<(), String> {
        // A reassembled request, which some recorders add.
        if line.trim_start().starts_with("ES10 ") {
            return Ok(());
        }
        let (digits, comment) = split_comment(line.trim())?;
        match (&mut self.last, self.events.last_mut()) {
            (Last::Command(sent), _) => {
                let Sent { octets, left_out, .. } = read_command(digits, comment, sent.line)?;
                sent.octets.append(octets);
                if !left_out.is_empty() {
                    sent.left_out = left_out;
                }
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

impl Sent {
    fn filled(&self, allowance: &Allowance) -> Result<(Vec<u8>, Places), String> {
        self.octets.filled(&self.left_out, allowance).map_err(no_pattern)
    }
}

fn read_command(digits: &str, comment: &str, line: usize) -> Result<Sent, String> {
    let octets = Unnamed::parse(digits).map_err(no_pattern)?;
    Ok(Sent { octets, left_out: read_lengths(comment), line })
}

fn read_octets(digits: &str, comment: &str, allowance: &Allowance) -> Result<(Vec<u8>, Places), String> {
    Unnamed::parse(digits).and_then(|unnamed| unnamed.filled(&read_lengths(comment), allowance)).map_err(no_pattern)
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
            Event::exchange(hex!("00FE0000"), [0x90]),
            Event { took, ..Event::exchange(hex!("00A4"), hex!("6700")) },
            Event { took, ..Event::exchange([], hex!("6700")) },
            Event::new(What::Failed { command: hex!("00B0000000").into(), cause: "the card was removed".into() }),
            Event::new(What::Failed { command: vec![], cause: "power off".into() }),
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
> 00FE0000
# no answer: 90
> 00A4
< 6700                                        # (7 µs)
# > nothing
# < 6700                                      # (7 µs)
# > 00B0000000
# the card was removed
# > reset
# failed: power off
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
        expected[1].left_out = vec![LeftOut::pin(5..13)];
        let lines = [2, 3, 5, 7, 9, 11, 13, 15, 17, 19, 20];
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
        let session = crate::read(text.replace("< 6\n  116", "< 61\n  16").as_bytes()).unwrap();
        assert_eq!(session.events[1], Event { line: Some(2), ..Event::exchange(hex!("00A40004023F00"), hex!("6116")) });
        let session = crate::read(text.replace("< 6\n  116", "< 0161\n  16").as_bytes()).unwrap();
        let what: Vec<&What> = session.events.iter().map(|event| &event.what).collect();
        assert_eq!(*what[0], What::Reset { atr: vec![], warm: false });
        assert_eq!(
            *what[1],
            What::Exchange { command: hex!("00A40004023F00").into(), response: hex!("016116").into() }
        );
        assert_eq!(*what[2], What::Exchange { command: hex!("00C0000016").into(), response: vec![] });
    }

    /// Each line used to be put behind all lines before it again.
    #[test]
    fn a_command_may_go_on_over_many_lines() {
        let text = "> 00D6000000FFFF\n".to_owned() + &"  00\n".repeat(60_000) + "< 9000\n";
        let session = crate::read(text.as_bytes()).unwrap();
        let What::Exchange { command, .. } = &session.events[0].what else { panic!() };
        assert_eq!(command.len(), 7 + 60_000);
    }

    #[test]
    fn mistakes_have_lines() {
        let refused = |text: &str| crate::read(text.as_bytes()).unwrap_err().to_string();
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
