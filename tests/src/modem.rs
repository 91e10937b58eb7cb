//! `vuicc modem run` beside a test, and a program that writes AT commands to it.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::process::{Process, unused};
use crate::vuicc::{Card, command};

/// No answer takes longer, unless it never comes.
const ANSWER: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// A modem that runs.
#[derive(Debug)]
pub struct Modem {
    /// Its process.
    pub process: Process,
    ready: Value,
}

impl Modem {
    /// Starts it with a card and further options of `vuicc modem run`, and waits until programs can use it.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(folder: &Path, card: &Card, options: &[&str]) -> Self {
        let mut run = command(&folder.join("state"), ["modem", "run"]);
        run.arg(card.image()).args(options);
        Self::start_by(run, folder)
    }

    /// The same by this command.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_by(mut run: Command, folder: &Path) -> Self {
        let ready_file = unused(folder, "modem.json");
        run.arg("--ready-file").arg(&ready_file);
        let mut process = Process::start(&mut run, folder);
        process.wait_until("the modem", |_| ready_file.exists());
        let ready = std::fs::read(&ready_file).expect("a ready file");
        Self { process, ready: serde_json::from_slice(&ready).expect("JSON") }
    }

    fn said(&self, name: &str) -> Option<&str> {
        self.ready["cards"][0][name].as_str()
    }

    /// What programs open.
    ///
    /// # Panics
    /// If it has no pseudo-terminal.
    pub fn terminal(&self) -> PathBuf {
        self.said("terminal").expect("a pseudo-terminal").into()
    }

    /// Where programs connect, `HOST:PORT`.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn address(&self) -> &str {
        let socket = self.said("socket").expect("a socket");
        socket.strip_prefix("tcp:").unwrap_or(socket)
    }

    /// A program at its pseudo-terminal.
    ///
    /// # Panics
    /// If that cannot be opened.
    pub fn at_terminal(&self) -> Program {
        let line = OpenOptions::new().read(true).write(true).open(self.terminal()).expect("the terminal");
        Program { line: Box::new(line), rest: String::new() }
    }

    /// A program at its socket.
    ///
    /// # Panics
    /// If it cannot connect.
    pub fn at_socket(&self) -> Program {
        let line = TcpStream::connect(self.address()).expect("a connection");
        Program { line: Box::new(line), rest: String::new() }
    }
}

trait Line: Read + Write + AsFd + Send {}

impl<L: Read + Write + AsFd + Send> Line for L {}

/// A program that writes AT commands.
pub struct Program {
    line: Box<dyn Line>,
    rest: String,
}

impl Program {
    /// Waits for more from the modem: how many octets, none if the connection has ended; `None` if nothing comes.
    fn read(&mut self) -> Option<usize> {
        let mut waiting = [PollFd::from_borrowed_fd(self.line.as_fd(), PollFlags::IN)];
        let came = poll(&mut waiting, Some(&ANSWER)).expect("a line can be waited for");
        let mut buffer = [0; 4096];
        let read = (came > 0).then(|| self.line.read(&mut buffer).unwrap_or(0))?;
        self.rest.push_str(&String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()));
        Some(read)
    }

    /// Writes octets as they are.
    pub fn write(&mut self, octets: &[u8]) {
        // The modem may have closed the connection.
        let _ = self.line.write_all(octets);
    }

    /// Writes this again and again, and reads nothing, until the other end is gone.
    pub fn write_until_gone(&mut self, octets: &[u8]) {
        while self.line.write_all(octets).is_ok() {}
    }

    /// All that comes up to this text and with it.
    ///
    /// # Panics
    /// If it does not come.
    pub fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.rest.find(end) {
                let behind = self.rest.split_off(at + end.len());
                return std::mem::replace(&mut self.rest, behind);
            }
            let read = self.read();
            assert!(read.is_some_and(|read| read > 0), "no {end:?} comes, but {:?}", self.rest);
        }
    }

    /// Whether the other end is gone; what came before that is lost.
    pub fn is_gone(&mut self) -> bool {
        while let Some(read) = self.read() {
            if read == 0 {
                return true;
            }
        }
        false
    }

    /// Sends a command line, and returns the lines of its answer, the result code among them.
    ///
    /// # Panics
    /// If there is none.
    pub fn ask(&mut self, line: &str) -> Vec<String> {
        self.write(format!("{line}\r").as_bytes());
        let mut lines = Vec::new();
        loop {
            let got = self.until("\r\n");
            let got = got.trim();
            if got.is_empty() || got == line {
                continue;
            }
            lines.push(got.to_owned());
            let ends = ["OK", "ERROR", "NO CARRIER", "BUSY"];
            if ends.contains(&got) || got.starts_with("+CME ERROR") || got.starts_with("+CMS ERROR") {
                return lines;
            }
        }
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("rest", &self.rest).finish_non_exhaustive()
    }
}
