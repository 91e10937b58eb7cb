//! How long a process that runs cards stays, where, and who is told.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;

use crate::Context;
use crate::card::detach::{self, Parent, Word};
use crate::failure::Failure;
use crate::file::not_stdout;

/// The options of every command that runs cards for other programs.
#[derive(Debug, Default, Args)]
pub(crate) struct StayArguments {
    /// Write FILE as soon as the cards can be used, as JSON: process, readers, sockets, EID, ATR. It is there as long as they
    /// can
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    pub(crate) ready_file: Option<PathBuf>,
    /// Run in the background, and return when the cards can be used; `vuicc card eject` ends that
    #[arg(long)]
    detach: bool,
    /// This is the process in the background
    #[arg(long, hide = true, conflicts_with = "detach")]
    detached: bool,
    /// Append what the process in the background prints to FILE [default: run/NAME.log in the state directory,
    /// after the image or the recording]
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    log_file: Option<PathBuf>,
    /// Give up when a card has been without a reader for so long [default: never; with --detach 30]
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
}

impl StayArguments {
    /// The first option that is given, if one is.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let options = [
            (self.ready_file.is_some(), "--ready-file"),
            (self.detach || self.detached, "--detach"),
            (self.log_file.is_some(), "--log-file"),
            (self.timeout.is_some(), "--timeout"),
        ];
        options.into_iter().find_map(|(is_given, name)| is_given.then_some(name))
    }

    /// Whether it goes into the background.
    pub(crate) const fn detaches(&self) -> bool {
        self.detach
    }

    /// How many seconds a card may be without a reader.
    pub(crate) const fn limit(&self) -> Option<u64> {
        self.timeout
    }

    /// Runs `task` here or, if that is wanted, in a process of its own, which is told which one has started it. `name` is that
    /// of its log.
    pub(crate) fn run(
        &self,
        name: &OsStr,
        context: &Context,
        task: impl FnOnce(Option<&mut Parent>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.detach {
            return detach::start(self.log_file.as_deref(), name, context);
        }
        let mut parent = if self.detached { Some(Parent::take()?) } else { None };
        let outcome = task(parent.as_mut());
        if let (Some(parent), Err(failure)) = (&mut parent, &outcome) {
            let row = failure.exit().row();
            let line = if let Failure::Because(cause) = failure {
                cause.to_string()
            } else {
                format!("the command {}", row.meaning)
            };
            parent.tell(&Word::Failed { exit_code: row.code, line });
        }
        outcome
    }
}
