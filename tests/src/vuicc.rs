//! Our own program, as a user starts it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Finished, Process, run, run_within, unused};
use crate::reader::Reader;
use crate::repository;

/// Names the program to be tested. Without it, it is built.
pub const PROGRAM: &str = "VUICC";
/// A slow machine, and everything from scratch.
const BUILD: Duration = Duration::from_mins(30);

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
    // What Cargo tells a test about its package would make build scripts run anew, and much be built again.
    let about_the_test = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_the_test)) {
        cargo.env_remove(name);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = run_within(&mut cargo, BUILD).success();
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
    eid: String,
}

impl Card {
    /// Personalises an eUICC in `folder`, with profiles installed from package files, the first one enabled.
    ///
    /// # Panics
    /// If that fails.
    pub fn new(folder: &Path, profiles: &[&Path]) -> Self {
        let (state, image) = (folder.join("state"), unused(folder, "card"));
        let mut new = command(&state, ["--json", "card", "new"]);
        new.arg(&image);
        for profile in profiles {
            new.arg("--profile").arg(profile);
        }
        let made = json_lines(&run(&mut new).success());
        let eid = made.first().and_then(|line| line["eid"].as_str()).expect("an eUICC has an EID").to_owned();
        Self { state, image, eid }
    }

    /// A card that is there already.
    ///
    /// # Panics
    /// If it cannot be looked into.
    pub fn of_image(folder: &Path, image: &Path) -> Self {
        let inspection = card::inspect::image(image).expect("a card image");
        let eid = inspection.euicc.map(|euicc| euicc.eid).unwrap_or_default();
        Self { state: folder.join("state"), image: image.to_owned(), eid }
    }

    /// Its EID, 32 digits.
    pub fn eid(&self) -> &str {
        &self.eid
    }

    /// Where its image is.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Puts two cards into the two slots of the reader, from one process, and waits until a host can see both.
    ///
    /// # Panics
    /// If they do not appear.
    pub fn insert_both(cards: [&Self; 2], reader: &Reader) -> Process {
        let [first, second] = cards;
        for slot in [0, 1] {
            reader.wait_until_empty(slot);
        }
        let mut run = command(&first.state, ["card", "run"]);
        run.args([&first.image, &second.image]).args(["--reader", &reader.slot(0), "--reader", &reader.slot(1)]);
        let mut process = Process::start(&mut run, first.image.parent().unwrap_or(Path::new(".")));
        process.wait_until("both cards in the reader", |_| reader.holds_card(0) && reader.holds_card(1));
        process
    }

    /// Puts it into a slot of the reader, and waits until a host can see it there.
    ///
    /// # Panics
    /// If it does not appear.
    pub fn insert(&self, reader: &Reader, slot: u16) -> Process {
        self.insert_with(reader, slot, &[])
    }

    /// [`insert`](Self::insert) with further options of `vuicc card run`.
    ///
    /// # Panics
    /// If it does not appear.
    pub fn insert_with(&self, reader: &Reader, slot: u16, options: &[&str]) -> Process {
        // A card that was there before is seen until the service has looked again, and would be taken for this one.
        reader.wait_until_empty(slot);
        let mut run = command(&self.state, ["card", "run"]);
        run.arg(&self.image).args(["--reader", &reader.slot(slot)]).args(options);
        let mut process = Process::start(&mut run, self.image.parent().unwrap_or(Path::new(".")));
        process.wait_until("the card in the reader", |_| reader.holds_card(slot));
        process
    }
}

/// An SM-DP+ that runs beside the test.
#[derive(Debug)]
pub struct SmDp {
    state: PathBuf,
    database: PathBuf,
    folder: PathBuf,
    address: String,
    listening_at: String,
    process: Process,
}

impl SmDp {
    /// Serves on loopback, under the same PKI as the cards in `folder`.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn serve(folder: &Path) -> Self {
        Self::serve_with(folder, &[])
    }

    /// The same with more `options` of `vuicc smdp serve`.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn serve_with(folder: &Path, options: &[&str]) -> Self {
        Self::start(folder, unused(folder, "smdp.db"), options)
    }

    fn start(folder: &Path, database: PathBuf, options: &[&str]) -> Self {
        let state = folder.join("state");
        let mut serve = command(&state, ["smdp", "serve", "--json", "--db"]);
        serve.arg(&database).args(options);
        if !options.contains(&"--listen") {
            serve.args(["--listen", "127.0.0.1:0"]);
        }
        let mut process = Process::start(&mut serve, folder);
        let mut said = None;
        process.wait_until("its address", |process| {
            let line = process.log().lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
            let text = |line: &Value, name| Some(line.get(name)?.as_str()?.to_owned());
            said = line.and_then(|line| Some((text(&line, "address")?, text(&line, "listening")?)));
            said.is_some()
        });
        let (address, listening_at) = said.unwrap_or_default();
        Self { folder: folder.to_owned(), state, database, address, listening_at, process }
    }

    /// Ends it, and starts another on its database.
    ///
    /// # Panics
    /// If that does not come up.
    #[must_use]
    pub fn restart(self, options: &[&str]) -> Self {
        let Self { folder, database, process, .. } = self;
        drop(process);
        Self::start(&folder, database, options)
    }

    /// The address of its listener, `HOST:PORT`.
    pub fn listening_at(&self) -> &str {
        &self.listening_at
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where an LPA finds it: `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts a profile package in and orders it; the order's matching ID, empty if there is none.
    ///
    /// `options` are those of `vuicc smdp profile order`.
    ///
    /// # Panics
    /// If either fails.
    pub fn offer(&self, package: &Path, options: &[&str]) -> String {
        let package = package.to_str().expect("a plain path");
        let added = self.profile(&["add", package]);
        let iccid = added.first().and_then(|line| line["iccid"].as_str()).expect("an ICCID");
        self.order(iccid, options)
    }

    /// Orders a profile that is there already; see [`offer`](Self::offer).
    ///
    /// # Panics
    /// If that fails.
    pub fn order(&self, iccid: &str, options: &[&str]) -> String {
        let ordered = self.profile(&[&["order", iccid][..], options].concat());
        ordered.first().and_then(|line| line["matching_id"].as_str()).unwrap_or_default().to_owned()
    }

    /// Ends an order; the profile may be ordered again.
    ///
    /// # Panics
    /// If that fails.
    pub fn cancel(&self, iccid: &str) {
        self.profile(&["cancel", iccid]);
    }

    /// Ends an order by decree, whatever the state of the profile.
    ///
    /// # Panics
    /// If that fails.
    pub fn reset(&self, iccid: &str) {
        self.ask(&["profile", "reset", iccid, "--yes"]);
    }

    /// The state of a profile, by its specification name.
    ///
    /// # Panics
    /// If there is no such profile.
    pub fn state_of(&self, iccid: &str) -> String {
        let profiles = self.profile(&["list"]);
        let profile = profiles.iter().find(|profile| profile["iccid"] == iccid);
        profile.and_then(|profile| profile["state"].as_str()).expect("the profile is known").to_owned()
    }

    /// The notifications it has received, the first one first.
    ///
    /// # Panics
    /// If they cannot be had.
    pub fn notifications(&self) -> Vec<Value> {
        self.ask(&["notification", "list"])
    }

    fn profile(&self, arguments: &[&str]) -> Vec<Value> {
        let with_address = [&["profile"][..], arguments, &["--address", &self.address]].concat();
        self.ask(&with_address)
    }

    fn ask(&self, arguments: &[&str]) -> Vec<Value> {
        let mut ask = command(&self.state, ["--json", "smdp"]);
        json_lines(&run(ask.args(arguments).arg("--db").arg(&self.database)).success())
    }
}

/// The JSON objects a program printed, one per line, without the one that counts them.
///
/// # Panics
/// If a line is no JSON.
pub fn json_lines(finished: &Finished) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|cause| panic!("{line}: {cause}"));
    let objects = finished.stdout.lines().filter(|line| !line.trim().is_empty()).map(parse);
    objects.filter(|object: &Value| !is_count(object)).collect()
}

/// Whether an object is a summary of nothing but counts.
fn is_count(object: &Value) -> bool {
    let counts = object.get("summary").and_then(Value::as_object);
    counts.is_some_and(|counts| counts.values().all(Value::is_u64))
}
