//! What a command prints: text for people, or JSON for programs, one object per line.

use std::fmt::Display;
use std::io::{self, Write};

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
        if self.json {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
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
