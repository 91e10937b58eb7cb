//! The libraries' log goes to stderr, without whole identities, keys or codes.
//!
//! Log statements leave those out themselves; [`Redacting`] catches those that forgot.

use core::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use identities::discreet::{IDENTITY, SHOWN};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{FormatFields, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::output::{harmless_json, steers};

/// The log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Plain text
    Text,
    /// One JSON object per line, with the time
    Json,
}

/// Starts the log: warnings always, more on request or by `RUST_LOG`; servers log their requests.
pub(crate) fn start(verbose: u8, format: Format, server: bool) {
    let more = usize::from(verbose) + usize::from(server);
    let levels = [LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG];
    let level = levels.get(more).copied().unwrap_or(LevelFilter::TRACE);
    // The database driver logs every statement at a level of its choice.
    let quiet = ["sqlx", "hyper", "h2", "rustls"].map(|library| (library, LevelFilter::WARN));
    let default = || Targets::new().with_default(level).with_targets(quiet);
    let wanted = std::env::var("RUST_LOG").ok().and_then(|wanted| wanted.parse().ok());
    let filter: Targets = wanted.unwrap_or_else(default);
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(colours).with_writer(Redacting);
    match format {
        Format::Json => log.json().flatten_event(true).finish().with(filter).init(),
        Format::Text if server => log.fmt_fields(fields()).finish().with(filter).init(),
        Format::Text => log.fmt_fields(fields()).without_time().finish().with(filter).init(),
    }
}

/// Fields as the library formats them, but each stays within its line: much of their content comes from peers.
fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(|writer, field, value| {
        let mut writer = Within(writer);
        match field.name() {
            "message" => write!(writer, "{value:?}"),
            name => {
                let name = name.strip_prefix("r#").unwrap_or(name);
                let (italic, plain, dim) =
                    if writer.0.has_ansi_escapes() { ("\x1b[3m", "\x1b[0m", "\x1b[2m") } else { ("", "", "") };
                // Text written past `Within` is our own.
                write!(writer.0, "{italic}{name}{plain}{dim}={plain}")?;
                write!(writer, "{value:?}")
            }
        }
    })
    .delimited(" ")
}

/// Escapes characters that could end a line or control the terminal.
struct Within<W>(W);

impl<W: fmt::Write> fmt::Write for Within<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if steers(character) {
                write!(self.0, "{}", character.escape_default())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// A line of JSON as it is written: characters that JSON itself allows are escaped too.
fn within_json(line: &str) -> String {
    let (object, end) = line.strip_suffix('\n').map_or((line, ""), |object| (object, "\n"));
    harmless_json(object) + end
}

/// Writes what is left of each line to stderr.
#[derive(Clone, Copy)]
struct Redacting;

/// A line while it is being written.
struct Line(Vec<u8>);

impl<'a> MakeWriter<'a> for Redacting {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = core::mem::take(&mut self.0);
        let line = String::from_utf8_lossy(&line);
        let line = if line.starts_with('{') { within_json(&line) } else { line.into_owned() };
        io::stderr().lock().write_all(redacted(&line).as_bytes())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // There is nowhere to report a failed log write.
        let _ = self.flush();
    }
}

/// This many hexadecimal digits in a row are a key, a token or a ticket.
const KEY: usize = 32;

/// After these words, hexadecimal digits are an order's name, which is not secret and makes it traceable in the log.
const ORDER: [&str; 2] = ["order=", "\"order\":\""];

/// The line with identities shortened to their first digits, and without keys and matching IDs of activation codes.
fn redacted(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    // The text before, without colours.
    let mut before = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if let Some(code) = rest.strip_prefix("LPA:1$") {
            let end = code.find(|c: char| c.is_whitespace() || "\"'`,;)}".contains(c)).unwrap_or(code.len());
            let (code, after) = code.split_at(end);
            out.push_str("LPA:1$");
            out.push_str(code.split('$').next().unwrap_or_default());
            out.push_str("$…");
            rest = after;
        } else if let Some((colour, after)) = rest.split_once('m').filter(|(colour, _)| colour.starts_with('\x1b')) {
            out.push_str(colour);
            out.push('m');
            rest = after;
        } else if first.is_ascii_alphanumeric() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.len() == KEY && ORDER.iter().any(|order| before.ends_with(order)) {
                out.push_str(word);
            } else {
                push_word(&mut out, word);
            }
            before.push_str(word);
            rest = after;
        } else {
            out.push(first);
            before.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// A run of letters and digits.
fn push_word(out: &mut String, word: &str) {
    let hexadecimal = word.bytes().all(|c| c.is_ascii_hexdigit());
    if hexadecimal && word.len() >= KEY && !word.bytes().all(|c| c.is_ascii_digit()) {
        out.push('…');
        return;
    }
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let others = rest.bytes().skip(digits).take_while(|c| !c.is_ascii_digit()).count();
        let (run, after) = rest.split_at(digits);
        let (letters, after) = after.split_at(others);
        if digits >= IDENTITY {
            out.push_str(run.get(..SHOWN).unwrap_or(run));
            out.push('…');
        } else {
            out.push_str(run);
        }
        out.push_str(letters);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// Captured output, in memory.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Whatever a peer sends: a log line stays one line, and the terminal only displays it.
    #[test]
    fn nobody_forges_a_line() {
        let said = "x\n2026-01-01T00:00:00Z  INFO smdp: all is well\r\x1b[2K\u{9b}1A\u{202E}y\u{2028}\t\u{7f}é";
        for colours in [false, true] {
            let memory = Memory::default();
            let writer = memory.clone();
            let log = tracing_subscriber::fmt().with_ansi(colours).with_writer(move || writer.clone());
            tracing::subscriber::with_default(log.fmt_fields(fields()).finish(), || {
                let span = tracing::info_span!("call", of = %said);
                let _entered = span.enter();
                tracing::info!(requester = %said, call = ?said, plain = said, "{said}");
                tracing::warn!(error = &io::Error::other(said) as &dyn core::error::Error, "failed");
            });
            let written = memory.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let written = String::from_utf8(written).unwrap();
            assert_eq!(written.lines().count(), 2, "{written}");
            assert!(written.contains("\\n2026-01-01T"), "{written}");
            let ours = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[3m", "\x1b[32m", "\x1b[33m"];
            let rest = ours.iter().fold(written.clone(), |rest, colour| rest.replace(colour, ""));
            assert!(!rest.chars().any(|character| steers(character) && character != '\n'), "{written:?}");
            assert!(rest.contains('é'));
        }
    }

    #[test]
    fn nor_in_json() {
        let line = "{\"requester\":\"a\\nb\u{9b}1A\u{202E}\u{7f}é\"}\n";
        let told = within_json(line);
        assert_eq!(told, "{\"requester\":\"a\\nb\\u009b1A\\u202e\\u007fé\"}\n");
        assert!(serde_json::from_str::<serde_json::Value>(&told).is_ok());
    }

    #[test]
    fn identities_keys_and_codes_are_not_told() {
        for (line, told) in [
            ("imsi=001010000000001 ok", "imsi=00101… ok"),
            ("0001010000000001@nai.epc.mnc001", "00010…@nai.epc.mnc001"),
            ("to +15551234567", "to +15551…"),
            (r#"{"eid":"89049032123451234512345678901235"}"#, r#"{"eid":"89049…"}"#),
            ("\x1b[2mk\x1b[0m465b5ce8b199b49faa5f0a2ee238a6bc", "\x1b[2mk\x1b[0m…"),
            ("order=465b5ce8b199b49faa5f0a2ee238a6bc", "order=465b5ce8b199b49faa5f0a2ee238a6bc"),
            ("k=465b5ce8b199b49faa5f0a2ee238a6bc", "k=…"),
            ("code LPA:1$smdp.example:8443$AB-12$1.2.3$1 given", "code LPA:1$smdp.example:8443$… given"),
            (r#""LPA:1$rsp.example$TOKEN","#, r#""LPA:1$rsp.example$…","#),
            (
                "2026-11-23T18:24:40.123456Z  INFO 127.0.0.1:65535 ms=12",
                "2026-11-23T18:24:40.123456Z  INFO 127.0.0.1:65535 ms=12",
            ),
            ("Anna's phone, übergroß", "Anna's phone, übergroß"),
            ("Imsi(00101…)", "Imsi(00101…)"),
        ] {
            assert_eq!(redacted(line), told);
        }
    }
}
