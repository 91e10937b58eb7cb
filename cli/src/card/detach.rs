//! `vuicc card run --detach`: the cards in a process of their own, which outlives the terminal.
//!
//! The process is this program again, with `--detached` in place of `--detach`. Its stdin is a socket by which it tells once
//! that all cards are ready, or why they are not; what it prints goes to a log.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ready::Ready;
use crate::Context;
use crate::failure::Failure;

/// What a detached process tells the one that has started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// All cards are ready.
    Ready(Ready),
    /// It has failed.
    Failed {
        /// Its exit code.
        exit_code: u8,
        /// Cause and way out.
        line: String,
    },
}

/// Where a detached process writes what it prints, unless it is told.
fn log_of(chosen: Option<&Path>, name: &OsStr, context: &Context) -> Result<PathBuf, Failure> {
    if let Some(chosen) = chosen {
        return Ok(chosen.to_owned());
    }
    let folder = context.state.directory()?.join("run");
    crate::state::create_private(&folder)?;
    Ok(folder.join(name).with_added_extension("log"))
}

#[cfg(unix)]
pub(crate) use on_unix::{Parent, start};

#[cfg(unix)]
mod on_unix {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command};

    use console::Exit;
    use console::exit::TABLE;
    use serde_json::json;

    use super::{Context, Failure, OsStr, Path, Word, log_of};
    use crate::failure::AtPath;
    use crate::file::{Readers, append};

    /// Starts the process, and returns when all its cards are ready.
    pub(crate) fn start(chosen: Option<&Path>, name: &OsStr, context: &Context) -> Result<(), Failure> {
        let log = log_of(chosen, name, context)?;
        let mut file = append(&log, Readers::Owner, "the log")?;
        let begin = file.seek(SeekFrom::End(0)).at("write the log to", &log)?;
        let (here, there) = UnixStream::pair()?;
        let mut is_replaced = false;
        let words = std::env::args_os().skip(1).map(|word| {
            let is_first = !is_replaced && word == "--detach";
            is_replaced |= is_first;
            if is_first { "--detached".into() } else { word }
        });
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).stdin(OwnedFd::from(there)).stdout(file.try_clone()?).stderr(file.try_clone()?);
        let child = command.spawn()?;
        // The other end is the child's alone now, so its death ends the wait.
        drop(command);
        let mut line = String::new();
        BufReader::new(here).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Word::Ready(ready)) => {
                context.output.json(&json!({ "ready": ready, "log": log }))?;
                Ok(context.output.text(ready)?)
            }
            Ok(Word::Failed { exit_code, line }) => {
                let row = TABLE.into_iter().find(|row| row.code == exit_code);
                Err(Failure::because(line).with(row.map_or(Exit::Failed, |row| row.exit)))
            }
            Err(_) => Err(died(child, file, begin)),
        }
    }

    /// It ended without a word: what it printed last.
    fn died(mut child: Child, mut log: File, begin: u64) -> Failure {
        let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let mut printed = String::new();
        let _ = log.seek(SeekFrom::Start(begin)).and_then(|_| log.read_to_string(&mut printed));
        let last = printed.lines().last().unwrap_or("it printed nothing");
        Failure::because(format!("the process of the cards has ended ({status}): {last}"))
    }

    /// The process that has started this one.
    #[derive(Debug)]
    pub(crate) struct Parent(UnixStream);

    impl Parent {
        /// Leaves the terminal, and takes stdin for what it is.
        pub(crate) fn take() -> Result<Self, Failure> {
            let no_socket =
                |error| Failure::because(format!("--detached is for the program itself: {error}; use --detach"));
            let stdin = rustix::io::dup(rustix::stdio::stdin()).map_err(no_socket)?;
            // Where this is a session's leader already there is nothing to leave.
            let _ = rustix::process::setsid();
            let nothing = File::open("/dev/null")?;
            rustix::stdio::dup2_stdin(&nothing).map_err(no_socket)?;
            Ok(Self(UnixStream::from(stdin)))
        }

        /// Tells it, which may be gone.
        pub(crate) fn tell(&mut self, word: &Word) {
            if let Ok(mut line) = serde_json::to_string(word) {
                line.push('\n');
                let _ = self.0.write_all(line.as_bytes());
            }
        }

        /// Waits until it is gone.
        pub(crate) fn gone(&self) -> std::io::Result<impl Future<Output = ()> + use<>> {
            let stream = self.0.try_clone()?;
            stream.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(stream)?;
            Ok(async move {
                // It never sends anything.
                let _ = stream.readable().await;
            })
        }
    }
}

#[cfg(not(unix))]
pub(crate) use elsewhere::{Parent, start};

#[cfg(not(unix))]
mod elsewhere {
    use super::{Context, Failure, OsStr, Path, Word};

    pub(crate) fn start(_: Option<&Path>, _: &OsStr, _: &Context) -> Result<(), Failure> {
        Err(Failure::because("--detach is for Unix systems; use --ready-file, and start the command in the background"))
    }

    /// There is none.
    #[derive(Debug)]
    pub(crate) enum Parent {}

    impl Parent {
        pub(crate) fn take() -> Result<Self, Failure> {
            Err(Failure::because("--detached is for Unix systems"))
        }

        pub(crate) fn tell(&mut self, _: &Word) {
            match *self {}
        }

        pub(crate) fn gone(&self) -> std::io::Result<std::future::Pending<()>> {
            match *self {}
        }
    }
}
