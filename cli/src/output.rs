//! What a command prints: text for people, or JSON for programs, one object per line.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// JSON or text, on stdout.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program is reading.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: its JSON or its text.
    pub(crate) fn put(self, result: &(impl Serialize + Display)) -> io::Result<()> {
        if self.json { self.json(result) } else { self.text(result) }
    }

    /// Prints a line for people; programs do not see it.
    pub(crate) fn text(self, line: impl Display) -> io::Result<()> {
        if self.json { Ok(()) } else { print(&printable(&line.to_string())) }
    }

    /// Prints what people are to see in any case, and what may steer the terminal: a drawing of our own. Where a program
    /// is reading they see it beside.
    pub(crate) fn drawing(self, drawing: &str) -> io::Result<()> {
        if self.json { writeln!(io::stderr().lock(), "{drawing}") } else { print(drawing) }
    }

    /// Whether a drawing is seen on a screen.
    pub(crate) fn is_on_a_screen(self) -> bool {
        if self.json { io::stderr().is_terminal() } else { io::stdout().is_terminal() }
    }

    /// Prints an object for programs; people do not see it.
    pub(crate) fn json(self, object: &impl Serialize) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        serde_json::to_writer(&mut stdout, object)?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// A text as it may be shown: names, messages and causes come from outside, and could move the cursor, hide what stands
/// before them, or turn the direction of writing.
pub(crate) fn printable(text: &str) -> String {
    let steers = |character: char| {
        character.is_control() && !matches!(character, '\n' | '\t')
            || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|character| !steers(*character)).collect()
}

/// The same, within one line.
pub(crate) fn within_a_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_does_not_steer_the_terminal() {
        let text = "caf\u{e9}\r\x1b[2K\u{9b}1A\u{202E}x\u{2069}\ny\tz";
        assert_eq!(printable(text), "caf\u{e9}[2K1Ax\ny\tz");
        assert_eq!(within_a_line(text), "caf\u{e9}[2K1Ax y z");
    }
}
