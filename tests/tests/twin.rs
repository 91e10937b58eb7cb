//! `vuicc card learn` and `card twin-check`: an emulated card that says and does as another one, ours and foreign.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use vuicc_tests::peer;
use vuicc_tests::process::{Finished, Process, run, run_within};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{package, subscriber, ts48};
use vuicc_tests::vuicc::{self, command, json_lines};

fn learn(folder: &Path, from: [&str; 2], description: &Path) -> Finished {
    let mut learn = command(folder, ["card", "learn", "--json"]);
    // Behind the virtual reader a foreign card takes 44 ms for a command, and there are thousands.
    run_within(learn.args(from).arg("--out").arg(description), Duration::from_mins(20))
}

/// Percent of 500 probes that are answered alike, and how many were not sent in learning. Both are the same card.
fn check(folder: &Path, description: &Path, targets: &[&str]) -> (f64, u32) {
    let mut check = command(folder, ["card", "twin-check", "--json", "--at-least", "0"]);
    let checked = run_within(check.arg(description).args(targets), Duration::from_mins(20)).success();
    let lines = json_lines(&checked);
    let count = |name: &str, value: bool| {
        let counted = lines.iter().filter(|line| line.get(name).and_then(Value::as_bool) == Some(value));
        u32::try_from(counted.count()).expect("a few hundred")
    };
    assert_eq!(lines.len(), 500, "{}", checked.stdout);
    for line in lines.iter().filter(|line| line.get("equal") == Some(&Value::Bool(false))) {
        peer::say(&format!("differs: {} {}: {} {}", line["kind"], line["command"], line["left"], line["right"]));
    }
    (f64::from(count("equal", true)) / 5.0, count("is_learned", false))
}

/// Runs what has to succeed.
fn done(mut command: Command) {
    let _said = run(&mut command).success();
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A card of ours is learned whole, and its twin answers every probe alike.
#[test]
fn our_own_card_has_an_equal_twin() {
    let folder = tempfile::tempdir().unwrap();
    let (state, image) = (folder.path(), folder.path().join("own.img"));
    let profile = package(state, &subscriber(1));
    done(command(state, ["card", "new", text(&image), "--type", "uicc", "--profile", text(&profile)]));
    let (description, twin) = (state.join("own.toml"), state.join("twin.img"));
    let learned = json_lines(&learn(state, ["--card", text(&image)], &description).success());
    assert_eq!(learned[0]["differences"], Value::Array(Vec::new()), "{}", learned[0]);
    assert_eq!((&learned[0]["dialect"], &learned[0]["logical_channels"]), (&0.into(), &19.into()));
    let missing = learned[0]["missing"].to_string();
    assert!(missing.contains("network keys") && missing.contains("values of PINs"), "{missing}");
    done(command(state, ["card", "new", text(&twin), "--like", text(&description)]));
    let (percent, unlearned) = check(state, &description, &["--card", text(&image), "--card", text(&twin)]);
    assert!(percent >= 100.0 && unlearned >= 250, "{percent} %, {unlearned} not sent in learning");

    // A card is not compared with itself.
    let itself = ["card", "twin-check", text(&description), "--card", text(&image), "--card", text(&image)];
    let itself = run(&mut command(state, itself));
    assert!(itself.code() == Some(2) && itself.stderr.contains("is named twice"), "{}", itself.stderr);

    // The file is kept, and a description is no card.
    let again = learn(state, ["--card", text(&image)], &description);
    assert!(again.stderr.contains("name another file") && again.code() == Some(2), "{}", again.stderr);
    let refused = run(&mut command(
        state,
        ["card", "new", "x.img", "--like", text(&description), "--eid", "89049032123451234512345678901235"],
    ));
    assert!(refused.stderr.contains("--eid is for eUICCs"), "{}", refused.stderr);
}

/// An eUICC with TS.48 is learned through a real pcscd, as the UICC that its enabled profile makes it.
#[test]
fn an_euicc_with_a_test_profile_has_a_twin() {
    let folder = tempfile::tempdir().unwrap();
    let Some(profile) = ts48(folder.path(), 1) else {
        peer::say("an_euicc_with_a_test_profile_has_a_twin ... skipped: no TS.48 profile beside the repository");
        return;
    };
    beside_private_reader(|reader| {
        let card = vuicc::Card::new(folder.path(), &[&profile]);
        let _inserted = card.insert(reader, 0);
        let (description, slot) = (folder.path().join("euicc.toml"), Reader::name(0));
        let _told = learn(folder.path(), ["--reader", slot], &description).success();
        let (percent, unlearned) = check(folder.path(), &description, &["--reader", slot]);
        assert!(percent >= 99.0 && unlearned >= 250, "{percent} %, {unlearned}");
    });
}

/// A card of a subscriber, and its description.
fn card_and_description(folder: &Path, number: u32) -> (PathBuf, PathBuf) {
    let profile = package(folder, &subscriber(number));
    let (image, description) = (folder.join(format!("{number}.img")), folder.join(format!("{number}.toml")));
    done(command(folder, ["card", "new", text(&image), "--type", "uicc", "--profile", text(&profile)]));
    let _learned = learn(folder, ["--card", text(&image)], &description).success();
    (image, description)
}

/// Equal answers are not enough: both cards have to be the card of the description, and be the same one.
#[test]
fn cards_that_are_other_cards_are_not_alike() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let (_, description) = card_and_description(state, 3);
    let (other, _) = card_and_description(state, 4);
    let differ = |targets: &[&str], says: &str| {
        let mut check = command(state, ["card", "twin-check", "--at-least", "0"]);
        let checked = run(check.arg(&description).args(targets));
        assert!(checked.code() == Some(3) && checked.stdout.contains(says), "{targets:?}: {}", checked.stdout);
    };
    // Two cards that have nothing of what the description says answer alike: that it is not there.
    let (one, two) = (state.join("one.img"), state.join("two.img"));
    done(command(state, ["card", "new", text(&one)]));
    std::fs::copy(&one, &two).expect("a copy");
    differ(&["--card", text(&one), "--card", text(&two)], "is not the card of the description: less than 50 %");
    // Another answer to reset.
    let written = std::fs::read_to_string(&description).expect("a description");
    let at = written.find("atr = \"").expect("an answer to reset");
    let end = written[at..].find('\n').expect("a line") + at;
    let changed = state.join("atr.toml");
    std::fs::write(&changed, [&written[..at], "atr = \"3B00\"", &written[end..]].concat()).expect("a copy");
    let twin = state.join("atr.img");
    done(command(state, ["card", "new", text(&twin), "--like", text(&changed)]));
    differ(&["--card", text(&twin)], "DIFFERS answer to reset");
    // Another subscriber's.
    differ(&["--card", text(&other)], "DIFFERS file 3F00/2FE2");
}

/// Learning goes on with the card that it was begun with, and with no other.
#[test]
fn learning_goes_on_with_the_same_card_only() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let (_, description) = card_and_description(state, 5);
    let (other, _) = card_and_description(state, 6);
    let mixed = state.join("mixed.toml");
    let mut resume = command(state, ["card", "learn", "--card", text(&other), "--resume", text(&description)]);
    let refused = run(resume.arg("--out").arg(&mixed));
    assert!(refused.code() == Some(5) && refused.stderr.contains("EF.ICCID"), "{}", refused.stderr);
    assert!(!mixed.exists());
}

/// A PIN that is given by two names is sent not at all.
#[test]
fn a_pin_has_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let (state, secrets) = (folder.path(), folder.path().join("codes.toml"));
    std::fs::write(&secrets, "[pins]\npin2 = \"9998\"\nref_81 = \"9997\"\n").expect("a file of secrets");
    let mut learn = command(state, ["card", "learn", "--card", "no.img", "--out", "twice.toml"]);
    let twice = run(learn.arg("--secrets").arg(&secrets));
    assert!(twice.code() == Some(5) && twice.stderr.contains("are one PIN"), "{}", twice.stderr);
}

/// A card that is lost keeps what was learned, and learning goes on.
#[test]
fn a_lost_card_is_learned_on() {
    let folder = tempfile::tempdir().unwrap();
    let (state, image) = (folder.path(), folder.path().join("own.img"));
    let profile = package(state, &subscriber(2));
    done(command(state, ["card", "new", text(&image), "--type", "uicc", "--profile", text(&profile)]));
    done(command(state, ["card", "fault", "add", text(&image), "mute@SELECT,from=2500"]));
    let description = state.join("own.toml");
    let mut lost = learn(state, ["--card", text(&image)], &description);
    assert_eq!(lost.code(), Some(4), "{}", lost.stderr);
    assert!(lost.stderr.contains("goes on from there"), "{}", lost.stderr);
    let mut resume =
        command(state, ["card", "learn", "--json", "--card", text(&image), "--resume", text(&description)]);
    lost = run(resume.arg("--out").arg(state.join("whole.toml"))).success();
    assert_eq!(json_lines(&lost)[0]["differences"], Value::Array(Vec::new()));
}

/// onomondo-uicc, a soft SIM in C, behind the virtual reader.
#[test]
fn onomondo_uicc_has_a_twin() {
    let Some(source) = peer::named_by("ONOMONDO_UICC", "onomondo-uicc") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        // It keeps its files where it runs.
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(source.join("files")).arg(folder.path());
        done(copy);
        let mut softsim = Command::new(source.join("build/src/softsim/softsim"));
        let _softsim = Process::start(softsim.current_dir(folder.path()), folder.path());
        vuicc_tests::process::wait_until("the card is in the reader", || reader.holds_card(0));
        let (description, slot) = (folder.path().join("onomondo.toml"), Reader::name(0));
        let _told = learn(folder.path(), ["--reader", slot], &description).success();
        let (percent, unlearned) = check(folder.path(), &description, &["--reader", slot]);
        assert!(percent >= 99.0 && unlearned >= 250, "{percent} %, {unlearned}");
    });
}
