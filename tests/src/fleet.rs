//! A fleet in a folder, and `vuicc fleet run` beside a test.

use std::path::{Path, PathBuf};

use reader_bridge::socket::{CardAddress, SocketCard};
use serde_json::Value;

use crate::process::{Process, run, unused};
use crate::vuicc::{command, json_lines};

/// A fleet that lies in its folder.
#[derive(Debug)]
pub struct Fleet {
    folder: PathBuf,
    /// What `vuicc fleet list --secrets` tells of each card.
    pub cards: Vec<Value>,
}

impl Fleet {
    /// Makes one in `folder`, with further options of `vuicc fleet new`.
    ///
    /// # Panics
    /// If that fails.
    pub fn new(folder: &Path, count: usize, options: &[&str]) -> Self {
        let fleet = unused(folder, "fleet");
        let mut new = command(&folder.join("state"), ["fleet", "new", "--json", "--count", &count.to_string()]);
        let _ = run(new.arg(&fleet).args(options)).success();
        let list = run(command(&folder.join("state"), ["fleet", "list", "--secrets", "--json"]).arg(&fleet)).success();
        Self { folder: fleet, cards: json_lines(&list) }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The EID of a card.
    ///
    /// # Panics
    /// If there is none of this number.
    pub fn eid(&self, number: usize) -> &str {
        self.cards.get(number).and_then(|card| card["eid"].as_str()).expect("a card of this number")
    }

    /// Runs it, and waits until clients can come.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn run(&self, options: &[&str]) -> Running {
        let beside = self.folder.parent().expect("it is in a folder");
        let ready_file = unused(beside, "fleet.json");
        let mut run = command(&beside.join("state"), ["fleet", "run", "--json", "--listen", "127.0.0.1:0"]);
        run.arg(&self.folder).arg("--ready-file").arg(&ready_file).args(options);
        let mut process = Process::start(&mut run, beside);
        process.wait_until("the fleet", |_| ready_file.exists());
        let ready: Value = serde_json::from_slice(&std::fs::read(&ready_file).expect("a ready file")).expect("JSON");
        let socket = ready["cards"][0]["socket"].as_str().expect("a socket").to_owned();
        Running { process, socket }
    }
}

/// A fleet that runs.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub process: Process,
    /// Where it listens: `tcp:HOST:PORT`.
    pub socket: String,
}

impl Running {
    /// What names one of its cards.
    pub fn reader(&self, eid: &str) -> String {
        format!("{}/{eid}", self.socket)
    }

    /// Connects to one of its cards.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn connect(&self, eid: &str) -> SocketCard {
        let address: CardAddress = self.reader(eid).parse().expect("an address");
        SocketCard::connect(&address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }
}
