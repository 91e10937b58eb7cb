//! Two SM-DP+ processes that are one: a database between them, and whichever is called.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use database::place::Place;
use serde_json::Value;
use smdp::{MasterKey, SqlStore};
use sqlx::Connection;
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
    for (last, cause) in [(&one, "already exists"), (&other, "other.toml too; name one of them")] {
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
    refuses(&["profile", "list"], &["smdp-master.key does not exist", "--master-key"]);
    refuses(&["serve", "--listen", "127.0.0.1:0"], &["smdp-master.key does not exist"]);
    assert!(!key.exists(), "none is made");
    fs::write(&key, "5A".repeat(32)).expect("another key");
    refuses(&["profile", "list"], &["smdp-master.key is not the master key", "--master-key"]);
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
    refuses(&["profile", "list", "--master-key", old], &["is not the master key"]);

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

/// Does something to a database behind everybody's back.
fn tamper(path: &str, sql: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut file = sqlx::SqliteConnection::connect(&format!("sqlite:{path}")).await.expect("a database");
        let done = sqlx::query(sql).execute(&mut file).await.expect("done");
        assert_eq!(done.rows_affected(), 1, "{sql}");
        file.close().await.expect("closed");
    });
}

/// A profile that cannot be read and may be on an eUICC goes into a file, and then only gives its place to another.
/// The activation code leads to the server that will be there, or is.
#[test]
fn an_order_names_the_server_that_it_is_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let vuicc = |arguments: &[&str]| run(command(&state, ["--json"]).args(arguments).current_dir(&folder));
    for name in ["one.toml", "two.toml"] {
        drop(vuicc(&["subscriber", "new", name]).success());
    }
    let added = json_lines(&vuicc(&["smdp", "profile", "add", "one.toml", "--address", "127.0.0.1:8471"]).success());
    let iccid = added[0]["iccid"].as_str().expect("an ICCID").to_owned();
    let code = |arguments: &[&str]| {
        let told = json_lines(&vuicc(&[&["smdp", "profile"], arguments].concat()).success());
        told[0]["activation_code"].as_str().expect("an activation code").to_owned()
    };
    assert!(code(&["order", &iccid]).starts_with("LPA:1$127.0.0.1:8471$"));
    assert!(code(&["list", "--address", "smdp.example.com"]).starts_with("LPA:1$smdp.example.com$"));
    // A server that is started later is the one that is reached.
    let mut serve = command(&state, ["--json", "smdp", "serve", "--listen", "127.0.0.1:0"]);
    let mut server = Process::start(&mut serve, folder.path());
    server.wait_until("where it listens", |server| server.log().contains("\"listening\""));
    assert!(!code(&["list"]).contains(":8471$"), "{}", code(&["list"]));
    drop(server);
    // Nobody can enter a code without a character.
    for arguments in [
        &["smdp", "profile", "order", &iccid, "--confirmation-code", ""][..],
        &["smdp", "profile", "confirm", &iccid, "--confirmation-code", ""],
        &["lpa", "profile", "download", "LPA:1$127.0.0.1:1$X", "--confirmation-code="],
    ] {
        let refused = vuicc(arguments);
        assert!(refused.code() == Some(2) && refused.stderr.contains("at least one character"), "{refused:#?}");
    }
}

/// Where time is the cause, it is named, and the way out too.
#[test]
fn what_is_of_another_time_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let vuicc = |arguments: &[&str]| run(command(&state, []).args(arguments).current_dir(&folder));
    drop(vuicc(&["card", "new", "now.img"]).success());
    let early = vuicc(&["card", "new", "early.img", "--clock", "2026-03-01T12:00:00Z"]);
    assert!(early.code() == Some(1) && early.stderr.contains("not valid yet by the clock"), "{early:#?}");
    assert!(early.stderr.contains("--clock") && early.stderr.contains("--state NEW"), "{early:#?}");
    let mut serve = command(&state, ["smdp", "serve", "--listen", "127.0.0.1:0", "--clock", "2026-03-01T12:00:00Z"]);
    let mut server = Process::start(&mut serve, folder.path());
    server
        .wait_until("that it is early", |server| server.log().contains("by the server's clock it is 2026-03-01T12:00"));
    drop(server);
    // A PKI of its own goes with any clock that certificates can name.
    let other = folder.path().join("other");
    drop(
        run(command(&other, ["card", "new", "late.img", "--clock", "9990-01-01T00:00:00Z"]).current_dir(&folder))
            .success(),
    );
}

#[test]
fn what_may_be_on_an_euicc_is_set_aside() {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place: Place::sqlite() };
    let [subscriber, aside] = ["one.toml", "aside.json"].map(|name| desk.folder.path().join(name));
    desk.vuicc(&["subscriber", "new", text(&subscriber)]);
    let iccid = desk.profile(&["add", text(&subscriber)]).remove(0)["iccid"].as_str().expect("an ICCID").to_owned();
    let refuses = |arguments: &[&str], cause: &str| {
        let state = desk.folder.path().join("state");
        let refused = run(command(&state, ["smdp", "profile"]).args(arguments).args(["--db", &desk.place.url]));
        assert!(!refused.status.success() && refused.stderr.contains(cause), "{cause}: {refused:#?}");
    };
    refuses(&["set-aside", &iccid], "can be read, and is kept");
    desk.profile(&["order", &iccid, "--confirmation-code", "4711"]);
    tamper(&desk.place.url, "UPDATE profile SET confirmation_code_hash = x'5A', state = 'Installed'");
    refuses(&["add", text(&subscriber)], &format!("`vuicc smdp profile set-aside {iccid}`"));
    let told = desk.profile(&["set-aside", &iccid, "--out", text(&aside)]).remove(0);
    assert_eq!((&told["set_aside"], &told["may_be_on_euicc"]), (&iccid.clone().into(), &true.into()), "{told}");
    let kept: Value = serde_json::from_slice(&fs::read(&aside).expect("a file")).expect("JSON");
    assert_eq!(kept["columns"]["state"], "Installed");
    assert_eq!(kept["columns"]["confirmation_code_hash"]["octets"], "5a");
    assert!(kept["columns"]["package"]["octets"].as_str().is_some_and(|sealed| sealed.len() > 1000));
    assert!(desk.profile(&["list"]).is_empty());
    desk.profile(&["add", text(&subscriber)]);
    assert_eq!(desk.profile(&["list", "--only", "Available"]).len(), 1);
}

/// A profile whose card is gone is reset or removed, if that is confirmed; what cannot be done names the state.
#[test]
fn a_profile_is_reset_and_removed() {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place: Place::sqlite() };
    let subscriber = desk.folder.path().join("one.toml");
    desk.vuicc(&["subscriber", "new", text(&subscriber)]);
    let iccid = desk.profile(&["add", text(&subscriber)]).remove(0)["iccid"].as_str().expect("an ICCID").to_owned();
    let refuses = |arguments: &[&str], causes: &[&str]| {
        let state = desk.folder.path().join("state");
        let refused = run(command(&state, ["smdp", "profile"]).args(arguments).args(["--db", &desk.place.url]));
        assert!(!refused.status.success(), "{refused:#?}");
        for cause in causes {
            assert!(refused.stderr.contains(cause), "{cause}: {refused:#?}");
        }
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
    };
    refuses(&["reset", &iccid, "--yes"], &["is Available", "nothing to reset", "profile order"]);
    let ordered = desk.profile(&["order", &iccid, "--reusable", "--matching-id", "AGAIN"]).remove(0);
    assert_eq!((&ordered["reusable"], &ordered["state"]), (&true.into(), &"Released".into()), "{ordered}");
    tamper(&desk.place.url, "UPDATE profile SET state = 'Installed', reusable = 0");
    refuses(&["order", &iccid], &["is Installed", &format!("`vuicc smdp profile reset {iccid}`")]);
    refuses(&["reset", &iccid], &["is Installed", "nobody is there to confirm", "the same subscription", "--yes"]);
    let reset = desk.profile(&["reset", &iccid, "--yes"]).remove(0);
    assert_eq!((&reset["was"], &reset["state"]), (&"Installed".into(), &"Available".into()), "{reset}");
    desk.profile(&["order", &iccid]);
    refuses(&["remove", &iccid], &["is Released", "nobody is there to confirm"]);
    let removed = desk.profile(&["remove", &iccid, "--yes"]).remove(0);
    assert_eq!((&removed["removed"], &removed["was"]), (&iccid.clone().into(), &"Released".into()), "{removed}");
    refuses(&["remove", &iccid, "--yes"], &["there is no profile", "profile list"]);
    desk.profile(&["add", text(&subscriber)]);
}

/// What a server refuses is in its log without being asked for.
#[test]
fn refused_downloads_are_in_the_log() {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place: Place::sqlite() };
    let state = desk.folder.path().join("state");
    let card = desk.folder.path().join("card");
    desk.vuicc(&["card", "new", text(&card)]);
    let (mut server, address) = desk.serve(&[]);
    let download = ["lpa", "--card", text(&card), "profile", "download", "--yes", "--smdp", &address];
    let refused = run(command(&state, []).args(download));
    assert!(refused.stderr.contains("has no profile for this eUICC (8.2.6/3.8)"), "{refused:#?}");
    let refused = run(command(&state, []).args(download).args(["--matching-id", "NO-SUCH-ORDER"]));
    assert!(refused.stderr.contains("check the activation code"), "{refused:#?}");
    server.wait_until("both refusals in the log", |server| {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("INFO") && line.contains("authenticateClient"));
        lines.filter(|line| line.contains("127.0.0.1") && line.contains("8.2.6/3.8")).count() == 2
    });
    assert!(!server.log().contains("NO-SUCH-ORDER"));
}

/// What is damaged is named, and keeps nothing else from being sealed with another key; the exit code tells of it.
#[test]
fn a_key_is_changed_whatever_is_damaged() {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place: Place::sqlite() };
    let state = desk.folder.path().join("state");
    let operator = desk.folder.path().join("operator.db");
    let mut iccids = Vec::new();
    for name in ["one", "other"] {
        let subscriber = desk.folder.path().join(name).with_extension("toml");
        desk.vuicc(&["subscriber", "new", text(&subscriber)]);
        iccids.push(desk.profile(&["add", text(&subscriber)]).remove(0)["iccid"].clone());
        desk.vuicc(&["operator", "subscriber", "add", text(&subscriber), "--database", text(&operator)]);
    }
    let rotate = |of: &str, url: &str| {
        let rotated = run(&mut command(&state, ["--json", of, "rotate-key", "--database", url]));
        (json_lines(&rotated).remove(0), rotated)
    };
    tamper(&desk.place.url, "UPDATE profile SET package = x'5A' WHERE iccid = (SELECT MIN(iccid) FROM profile)");
    tamper(text(&operator), "UPDATE subscription SET k = 'x' WHERE imsi = (SELECT MIN(imsi) FROM subscription)");

    let (told, rotated) = rotate("smdp", &desk.place.url);
    let damaged = told["damaged"][0]["name"].as_str().expect("an ICCID").to_owned();
    assert!(!rotated.status.success() && told["profiles"] == 1 && told["damaged"][0]["what"] == "package", "{told}");
    assert!(
        rotated.stderr.contains(&damaged) && rotated.stderr.contains("adds a profile's package again"),
        "{rotated:#?}"
    );
    for arguments in [&["list"][..], &["show", &damaged]] {
        let mut command = command(&state, ["smdp", "profile"]);
        let listed = run(command.args(arguments).args(["--db", &desk.place.url])).success();
        assert!(
            listed.stderr.contains(&format!("profile {damaged} exists but cannot be read: package")),
            "{listed:#?}"
        );
    }
    let which = if iccids[0] == *damaged { "one.toml" } else { "other.toml" };
    desk.profile(&["add", text(&desk.folder.path().join(which))]);
    let (told, rotated) = rotate("smdp", &desk.place.url);
    assert!(rotated.status.success() && told["profiles"] == 2 && told["damaged"] == serde_json::json!([]), "{told}");

    let (told, rotated) = rotate("operator", text(&operator));
    let imsi = told["damaged"][0]["name"].as_str().expect("an IMSI");
    assert!(!rotated.status.success() && told["secrets"] == 3, "{told}");
    assert!(rotated.stderr.contains(&format!("subscription.k of {imsi}")), "{rotated:#?}");
    let listed = run(command(&state, ["operator", "subscriber", "list", "--database"]).arg(&operator)).success();
    assert!(listed.stderr.contains(&format!("subscription.k of {imsi} cannot be read")), "{listed:#?}");
    desk.vuicc(&["operator", "subscriber", "remove", imsi, "--database", text(&operator)]);
    let (told, rotated) = rotate("operator", text(&operator));
    assert!(rotated.status.success() && told["secrets"] == 2, "{told}");
}

/// A server that comes while the key is changed is refused, and told why.
#[test]
fn the_database_is_exclusive_during_a_key_change() {
    let desk = Desk { folder: tempfile::tempdir().expect("a folder"), place: Place::sqlite() };
    let state = desk.folder.path().join("state");
    let subscriber = desk.folder.path().join("one.toml");
    desk.vuicc(&["subscriber", "new", text(&subscriber)]);
    desk.profile(&["add", text(&subscriber)]);
    let mut key = [0; 32];
    let file = fs::read_to_string(state.join("smdp-master.key")).expect("a key");
    hex::decode_to_slice(file.trim(), &mut key).expect("a key");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let alone = runtime.block_on(SqlStore::open_alone(&desk.place.url, MasterKey::new(key))).expect("a database");
    let mut serve = command(&state, ["smdp", "serve", "--listen", "127.0.0.1:0", "--db", &desk.place.url]);
    let refused = run(serve.args(["--database-wait", "0"]));
    assert!(!refused.status.success() && refused.stderr.contains("has exclusive use of the database"), "{refused:#?}");
    runtime.block_on(alone.close());
    let (_server, _) = desk.serve(&[]);
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
