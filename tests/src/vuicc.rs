//! Our own program, as a user starts it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use reader_bridge::pcsc_reader::wait_for_card;
use serde_json::Value;

use crate::process::{Finished, Process, run, unused};
use crate::reader::Reader;
use crate::repository;

/// Names the program to be tested. Without it, it is built.
pub(crate) const PROGRAM: &str = "VUICC";

/// The program `vuicc`: what the environment variable `VUICC` names, else built from this repository.
///
/// # Panics
/// If it cannot be built.
pub fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| env::var_os(PROGRAM).map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).args(["build", "--package", "vuicc", "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = run(&mut cargo).success();
    let messages = built.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    executables.next_back().expect("cargo says where it put the program")
}

/// `vuicc` with these arguments and its state in `state`.
pub fn command<const N: usize>(state: &Path, arguments: [&str; N]) -> Command {
    let mut command = Command::new(program());
    command.arg("--state").arg(state).args(arguments);
    command
}

/// A card image on disk.
#[derive(Debug)]
pub struct Card {
    state: PathBuf,
    image: PathBuf,
}

impl Card {
    /// Personalises a card in `folder`, with profiles installed from package files.
    ///
    /// # Panics
    /// If that fails.
    pub fn new(folder: &Path, profiles: &[&Path]) -> Self {
        let state = folder.join("state");
        let card = Self { state, image: unused(folder, "card") };
        let mut new = card.command(["card", "new"]);
        new.arg(&card.image);
        for profile in profiles {
            new.arg("--profile").arg(profile);
        }
        let _ = run(&mut new).success();
        card
    }

    /// What `vuicc card show --json` says of it.
    ///
    /// # Panics
    /// If that fails.
    pub fn show(&self) -> Vec<Value> {
        let shown = run(self.command(["card", "show", "--json"]).arg(&self.image)).success();
        json_lines(&shown)
    }

    /// Puts it into a slot of the reader, and waits until a host can see it there.
    ///
    /// # Panics
    /// If it does not appear.
    pub fn insert(&self, reader: &Reader, slot: u16) -> Process {
        let mut run = self.command(["card", "run"]);
        run.arg(&self.image).args(["--reader", &reader.slot(slot)]);
        let mut process = Process::start(&mut run, self.image.parent().unwrap_or(Path::new(".")));
        let name = if slot == 0 { Reader::FIRST } else { Reader::SECOND };
        process.wait_until("the card in the reader", |_| wait_for_card(name, Duration::from_millis(50)).is_ok());
        process
    }

    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        command(&self.state, arguments)
    }
}

/// The JSON objects a program printed, one per line.
///
/// # Panics
/// If a line is no JSON.
pub fn json_lines(finished: &Finished) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|cause| panic!("{line}: {cause}"));
    finished.stdout.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}
