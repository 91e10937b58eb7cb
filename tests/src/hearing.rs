//! Programs that tell in JSON lines what they do, heard line by line while they do it, and taken away at any of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::process::{Finished, start};
use crate::schema::Expected;

/// Longest silence of a program that is not stuck.
const SILENCE: Duration = Duration::from_mins(2);

/// What is done about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing; the next one is waited for.
    Listen,
    /// The program gets a line on its stdin.
    Say(String),
    /// The program is taken away as by a power cut.
    Kill,
}

/// What came of listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A line.
    Line(Value),
    /// Nothing so far.
    Nothing,
    /// It has ended.
    End,
}

/// A program that is listened to. It is killed when this is dropped.
///
/// What one of ours prints is checked against the schema when it has ended.
#[derive(Debug)]
pub struct Heard {
    child: Child,
    expected: Option<Expected>,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: NamedTempFile,
    so_far: String,
}

impl Heard {
    /// Starts a program.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let stderr = NamedTempFile::new().expect("a temporary file");
        let also_stderr = File::options().append(true).open(stderr.path()).expect("a temporary file");
        let mut child = start(command, Stdio::piped(), Stdio::piped(), also_stderr.into());
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("stdout is a pipe"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        Self { child, expected: Expected::of(command), stdin, lines, stderr, so_far: String::new() }
    }

    /// Listens until it ends, by itself, by a [`Reply::Kill`], or by being taken away after `lifetime`; how it ended.
    ///
    /// # Panics
    /// If it falls silent.
    pub fn to_the_end(mut self, lifetime: Option<Duration>, mut each: impl FnMut(&Value) -> Reply) -> Finished {
        let end = lifetime.map(|lifetime| Instant::now() + lifetime);
        loop {
            match self.listen(end.map_or(SILENCE, |end| end.saturating_duration_since(Instant::now()))) {
                Told::Line(line) => match each(&line) {
                    Reply::Listen => {}
                    Reply::Say(text) => self.say(&text),
                    Reply::Kill => return self.kill(),
                },
                Told::End => return self.end(),
                Told::Nothing if end.is_some() => return self.kill(),
                Told::Nothing => panic!("it has fallen silent:\n{}{}", self.so_far, self.stderr()),
            }
        }
    }

    /// What it tells next, within `timeout`.
    ///
    /// # Panics
    /// If that is no JSON.
    pub fn listen(&mut self, timeout: Duration) -> Told {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => {
                self.so_far.push_str(&line);
                self.so_far.push('\n');
                Told::Line(serde_json::from_str(&line).unwrap_or_else(|cause| panic!("{line}: {cause}")))
            }
            Err(RecvTimeoutError::Disconnected) => Told::End,
            Err(RecvTimeoutError::Timeout) => Told::Nothing,
        }
    }

    /// Takes it away as by a power cut.
    pub fn kill(mut self) -> Finished {
        let _ = self.child.kill();
        self.end()
    }

    /// How it ended, and what it told until then, as far as that was listened to.
    ///
    /// # Panics
    /// If that cannot be known, or what it told is not in the schema.
    pub fn end(mut self) -> Finished {
        let status = self.child.wait().expect("a child can be waited for");
        self.check(status.code());
        Finished { status, stdout: std::mem::take(&mut self.so_far), stderr: self.stderr() }
    }

    fn check(&self, code: Option<i32>) {
        let Some(expected) = &self.expected else { return };
        let mut all = self.so_far.clone();
        while let Ok(line) = self.lines.recv_timeout(SILENCE) {
            all.push_str(&line);
            all.push('\n');
        }
        if code.is_none() && serde_json::from_str::<Value>(all.lines().last().unwrap_or_default()).is_err() {
            // It was reading a line that is without an end here, too.
            all.truncate(all.trim_end().rfind('\n').map_or(0, |end| end + 1));
        }
        expected.check(&all, code);
    }

    /// What a user types.
    pub fn say(&mut self, text: &str) {
        if let Some(stdin) = &mut self.stdin {
            // One that is gone needs no answer.
            let _ = writeln!(stdin, "{text}").and_then(|()| stdin.flush());
        }
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.stderr.path()).unwrap_or_default()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_answered_and_the_program_killed() {
        let script = r#"echo '{"a":1}'; read -r word; echo "{\"heard\":\"$word\"}"; echo why >&2; exec sleep 1000"#;
        let heard = Heard::start(Command::new("sh").args(["-c", script]));
        let mut lines = Vec::new();
        let finished = heard.to_the_end(None, |line| {
            lines.push(line.clone());
            if line["a"] == 1 { Reply::Say("you".into()) } else { Reply::Kill }
        });
        assert_eq!(lines[1]["heard"], "you");
        assert_eq!((finished.code(), finished.stdout.lines().count()), (None, 2));
    }
}
