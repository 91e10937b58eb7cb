//! Two SM-DP+ processes that are one: a database between them, and whichever is called.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use database::place::Place;
use serde_json::Value;
use tempfile::TempDir;
use vuicc_tests::process::{Process, run};
use vuicc_tests::vuicc::{command, json_lines};

/// Where both processes and the card keep everything, the database aside.
struct Desk {
    folder: TempDir,
    place: Place,
}

impl Desk {
    fn vuicc(&self, arguments: &[&str]) -> Vec<Value> {
        json_lines(&run(command(&self.folder.path().join("state"), ["--json"]).args(arguments)).success())
    }

    fn profile(&self, arguments: &[&str]) -> Vec<Value> {
        self.vuicc(&[&["smdp", "profile"], arguments, &["--db", &self.place.url]].concat())
    }

    /// A server, and where it is.
    fn serve(&self, address: &[&str]) -> (Process, String) {
        let mut serve = command(&self.folder.path().join("state"), ["--json", "smdp", "serve"]);
        serve.args(["--listen", "127.0.0.1:0", "--db", &self.place.url]).args(address);
        let mut process = Process::start(&mut serve, self.folder.path());
        let mut at = None;
        process.wait_until("where it listens", |process| {
            let log = process.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            at = lines.find_map(|line| Some(line.get("listening")?.as_str()?.to_owned()));
            at.is_some()
        });
        (process, at.unwrap_or_default())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Ordered beside both, downloaded from the second, reported to the first.
fn two_servers_are_one(place: Place) {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place };
    let path = |name: &str| desk.folder.path().join(name);
    let (card, subscriber) = (path("card"), path("subscriber.toml"));
    let eid = desk.vuicc(&["card", "new", text(&card)]).remove(0)["eid"].clone();
    desk.vuicc(&["subscriber", "new", text(&subscriber)]);
    let (_first, address) = desk.serve(&[]);
    let (_second, other) = desk.serve(&["--address", &address]);

    let added = desk.profile(&["add", text(&subscriber)]).remove(0);
    let iccid = added["iccid"].as_str().expect("an ICCID");
    assert_eq!(desk.profile(&["list", "--only", "Available"]), std::slice::from_ref(&added));
    let ordered = desk.profile(&["order", iccid, "--confirmation-code", "4711"]).remove(0);
    assert_eq!(ordered["activation_code"].as_str().and_then(|code| code.split('$').nth(1)), Some(address.as_str()));
    let matching_id = ordered["matching_id"].as_str().expect("a matching ID");

    let lpa = |arguments: &[&str]| desk.vuicc(&[&["lpa", "--card", text(&card)][..], arguments].concat());
    let download = ["profile", "download", "--yes", "--smdp", &other, "--matching-id", matching_id];
    lpa(&[&download[..], &["--confirmation-code", "4711"]].concat());
    lpa(&["profile", "enable", iccid]);
    lpa(&["notification", "process"]);

    let shown = desk.profile(&["show", iccid]).remove(0);
    assert_eq!((&shown["state"], &shown["eid"], &shown["downloads"]), (&"Enabled".into(), &eid, &1.into()), "{shown}");
    let reported = shown["reported"].as_array().expect("notifications");
    assert_eq!(reported.len(), 2, "{shown}");
    assert!(reported.iter().all(|one| one["verified"] == true), "{shown}");
    // People read times as times.
    let mut show =
        command(&desk.folder.path().join("state"), ["smdp", "profile", "show", iccid, "--db", &desk.place.url]);
    let told = run(&mut show).success().stdout;
    assert!(told.contains("since            20") && !told.contains(&shown["changed_at"].to_string()), "{told}");
    assert_eq!(desk.profile(&["list", "--only", "Enabled"]).len(), 1);
    assert!(desk.profile(&["list", "--only", "Available"]).is_empty());
}

#[test]
fn several_profiles_are_put_in_together_or_not_at_all() {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place: Place::sqlite() };
    let [one, other] = ["one.toml", "other.toml"].map(|name| desk.folder.path().join(name));
    for subscriber in [&one, &other] {
        desk.vuicc(&["subscriber", "new", text(subscriber)]);
    }
    desk.profile(&["add", text(&one)]);
    for (last, cause) in [(&one, "is there already"), (&other, "other.toml too; name one of them")] {
        let mut add = command(&desk.folder.path().join("state"), ["smdp", "profile", "add", "--db", &desk.place.url]);
        let refused = run(add.args([&other, last]));
        let told = &refused.stderr;
        assert!(!refused.status.success() && told.contains(text(last)) && told.contains(cause), "{refused:#?}");
        assert_eq!(desk.profile(&["list"]).len(), 1);
    }
    desk.profile(&["add", text(&other)]);
    assert_eq!(desk.profile(&["list"]).len(), 2);
}

/// Profiles are sealed with a key that is beside the database, changed while nobody is at it, and never lost.
#[test]
fn a_database_has_one_master_key() {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place: Place::sqlite() };
    let state = desk.folder.path().join("state");
    let (subscriber, key) = (desk.folder.path().join("one.toml"), state.join("smdp-master.key"));
    desk.vuicc(&["subscriber", "new", text(&subscriber)]);
    desk.profile(&["add", text(&subscriber)]);
    let of_before = fs::read(&key).expect("a key");
    let refuses = |arguments: &[&str], causes: &[&str]| {
        let refused = run(command(&state, ["smdp"]).args(arguments).args(["--db", &desk.place.url]));
        let is_told = causes.iter().all(|cause| refused.stderr.contains(cause));
        assert!(!refused.status.success() && is_told, "{causes:?}: {refused:#?}");
    };

    let away = desk.folder.path().join("away.key");
    fs::rename(&key, &away).expect("the key moved away");
    refuses(&["profile", "list"], &["smdp-master.key is not there", "--master-key"]);
    refuses(&["serve", "--listen", "127.0.0.1:0"], &["smdp-master.key is not there"]);
    assert!(!key.exists(), "none is made");
    fs::write(&key, "5A".repeat(32)).expect("another key");
    refuses(&["profile", "list"], &["smdp-master.key is another master key", "--master-key"]);
    assert_eq!(desk.profile(&["list", "--master-key", text(&away)]).len(), 1);
    fs::rename(&away, &key).expect("the key moved back");

    let (server, _) = desk.serve(&[]);
    refuses(&["rotate-key"], &["has this database open"]);
    drop(server);
    let rotated = desk.vuicc(&["smdp", "rotate-key", "--db", &desk.place.url]).remove(0);
    assert_eq!(rotated["profiles"], 1, "{rotated}");
    let next = fs::read(&key).expect("a key");
    assert_ne!(next, of_before);
    assert_eq!(desk.profile(&["list"]).len(), 1);
    let old = rotated["old_key"].as_str().expect("where the old key is");
    assert_eq!(fs::read(old).expect("the old key"), of_before);
    refuses(&["profile", "list", "--master-key", old], &["is another master key"]);

    // As it is where the last step did not come: the database is sealed with the key that was to follow.
    fs::write(&key, &of_before).expect("the key of before");
    fs::write(state.join("smdp-master.key.next"), &next).expect("the key to follow");
    assert_eq!(desk.profile(&["list"]).len(), 1);
    assert_eq!(fs::read(&key).expect("a key"), next);
    // And where not even the database had been sealed with it.
    fs::write(state.join("smdp-master.key.next"), &of_before).expect("a key nobody needs");
    assert_eq!(desk.profile(&["list"]).len(), 1);
    assert_eq!(fs::read(&key).expect("a key"), next);
}

#[test]
fn two_servers_are_one_on_sqlite() {
    two_servers_are_one(Place::sqlite());
}

#[test]
fn two_servers_are_one_on_postgresql() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let Some(place) = runtime.block_on(Place::postgresql()) {
        two_servers_are_one(place);
    }
}
