//! A command's output: text for people, or JSON for programs, one object per line.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

pub use printable::steers;
use serde::Serialize;

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON or text, on stdout.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program is reading.
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: its JSON or its text, which is one line.
    pub fn put(self, result: &(impl Serialize + Display)) -> io::Result<()> {
        if self.json { self.json(result) } else { self.text(result) }
    }

    /// Prints a result: its JSON or its text of several lines, in which strings from outside are [`Plain`].
    pub fn put_block(self, result: &(impl Serialize + Display)) -> io::Result<()> {
        if self.json { self.json(result) } else { self.block(result) }
    }

    /// Prints a line of text; not part of the JSON. It stays one line, whatever it contains.
    pub fn text(self, line: impl Display) -> io::Result<()> {
        if self.json { Ok(()) } else { print(&within_a_line(&line.to_string())) }
    }

    /// Prints lines of text; not part of the JSON. Strings from outside in them are [`Plain`].
    pub fn block(self, lines: impl Display) -> io::Result<()> {
        if self.json { Ok(()) } else { print(&printable(&lines.to_string())) }
    }

    /// Prints text that may contain control sequences of our own, such as a drawing; with JSON it goes to stderr.
    pub fn drawing(self, drawing: &str) -> io::Result<()> {
        if self.json { writeln!(io::stderr().lock(), "{drawing}") } else { print(drawing) }
    }

    /// Whether a drawing appears on a terminal.
    pub fn is_on_a_screen(self) -> bool {
        if self.json { io::stderr().is_terminal() } else { io::stdout().is_terminal() }
    }

    /// Prints what a command that does several things has done in all, for programs: its last object before an error.
    pub fn summary<const N: usize>(self, counts: [(&str, usize); N]) -> io::Result<()> {
        let counts: serde_json::Map<_, _> =
            counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
        self.json(&serde_json::json!({ "summary": counts }))
    }

    /// Prints a JSON object; not part of the text.
    pub fn json(self, object: &impl Serialize) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        print(&harmless_json(&serde_json::to_string(object)?))
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    // The kind is kept: a closed pipe is not an error for callers that expect it.
    printed.map_err(|error| io::Error::new(error.kind(), format!("cannot write to stdout: {error}")))
}

/// Set if an output was lost although the command continued.
static LOST: OnceLock<String> = OnceLock::new();

/// Reports an output that failed without stopping the command: it is reported at once, and the command fails at the
/// end.
pub fn lose(cause: &str) {
    let _ = LOST.set(cause.to_owned());
    tell(&format!("vuicc: {cause}"));
}

/// What [`lose`] was first called with, if it was.
pub fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// Output next to something that continues whether it can be printed or not; the first failure is reported. A closed
/// pipe is none.
pub fn beside(printed: io::Result<()>) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if let Err(error) = printed
        && error.kind() != io::ErrorKind::BrokenPipe
        && !TOLD.swap(true, Ordering::Relaxed)
    {
        lose(&error.to_string());
    }
}

/// Prints a message to the user, on stderr, in one line. There is nowhere to report that this failed.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", within_a_line(line));
}

/// The same, replacing the counting line.
pub fn tell_over(line: &str) {
    let _ = writeln!(io::stderr().lock(), "\r{}", within_a_line(line));
}

/// Shows progress on a terminal, replacing what was shown before.
pub fn count(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r{}", within_a_line(line)).and_then(|()| stderr.flush());
}

/// A string from outside inside another text: it stays within its line.
pub struct Plain<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&within_a_line(&self.0.to_string()))
    }
}

/// A string as it may be shown: names, messages and causes come from outside. Its line breaks and tabs stay.
pub fn printable(text: &str) -> String {
    text.chars().filter(|character| !steers(*character) || matches!(character, '\n' | '\t')).collect()
}

/// The same, within one line.
pub fn within_a_line(text: &str) -> String {
    let separated =
        |character: char| if matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}') { '\n' } else { character };
    printable(&text.chars().map(separated).collect::<String>()).replace(['\n', '\t'], " ")
}

/// Equivalent JSON without control characters: they can occur only in its strings, where they can be escaped.
pub fn harmless_json(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        if steers(character) {
            let mut units = [0; 2];
            harmless.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            harmless.push(character);
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_does_not_steer_the_terminal() {
        let text = "caf\u{e9}\r\x1b[2K\u{9b}1A\u{202E}x\u{2069}\ny\tz";
        assert_eq!(printable(text), "caf\u{e9}[2K1Ax\ny\tz");
        assert_eq!(within_a_line(text), "caf\u{e9}[2K1Ax y z");
        // Every control character, the separators, and what reorders or hides text; what scripts need, and wide
        // letters, stay.
        let all: String = ('\0'..='\u{10FFFF}').filter(|character| steers(*character)).collect();
        assert_eq!(within_a_line(&all).trim(), "");
        for stays in ["日本語 テスト", "👩\u{200D}👩\u{200D}👧", "می\u{200C}خواهم", "Ünïcødé ﷽"]
        {
            assert_eq!(within_a_line(stays), stays);
        }
        assert_eq!(within_a_line("a\u{2028}b\u{2029}c\u{85}d"), "a b c d");
    }

    #[test]
    fn a_part_of_a_block_stays_in_its_line() {
        let name = "Travel\n8988211000000000029  enabled";
        assert_eq!(format!("{:<6}|", Plain("a\nb")), "a b   |");
        assert_eq!(format!("{}\nsecond", Plain(name)), "Travel 8988211000000000029  enabled\nsecond");
    }

    #[test]
    fn json_says_the_same_without_steering() {
        let value = serde_json::json!({ "name": "a\nb\u{9b}1A\u{202E}c\u{7f}\u{2028}\u{E0041}é" });
        let shown = harmless_json(&value.to_string());
        assert_eq!(shown, r#"{"name":"a\nb\u009b1A\u202ec\u007f\u2028\udb40\udc41é"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
