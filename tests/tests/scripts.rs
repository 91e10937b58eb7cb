//! The scripts of `scripts/apdu`, played as a user plays them: through the PC/SC service, and on an image without one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use saip::builder::{Algorithm, Key};
use vuicc_tests::process::run;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::repository;
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::vuicc::{Card, command};

/// All scripts that are shipped.
fn scripts() -> Vec<PathBuf> {
    let folder = repository().join("scripts/apdu");
    let mut scripts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "apdu"));
    scripts.sort();
    assert!(scripts.len() >= 8, "{scripts:?}");
    scripts
}

/// An eUICC whose enabled profile has the key and algorithm of public test profiles, so that no script is passed over.
fn card(folder: &Path) -> Card {
    let mut subscriber = subscriber(1);
    subscriber.algorithm = Algorithm::Xor;
    subscriber.key = Key::new(&core::array::from_fn::<u8, 16, _>(|at| u8::try_from(at).unwrap()));
    subscriber.opc = None;
    subscriber.res_length = Some(16);
    Card::new(folder, &[&package(folder, &subscriber)])
}

#[test]
fn every_script_plays_through_the_reader() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = card(folder.path());
        let _inserted = card.insert(reader, 0);
        let played = run(command(folder.path(), ["apdu", "run", "--reader", Reader::FIRST]).args(scripts()));
        let _ = played.success();
    });
}

#[test]
fn every_script_plays_on_an_image_and_a_mismatch_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let card = card(folder.path());
    let play =
        |script: &[PathBuf]| run(command(folder.path(), ["apdu", "run", "--card"]).arg(card.image()).args(script));
    let played = play(&scripts()).success();
    assert!(!played.stdout.contains("left out"), "nothing is skipped on this card: {}", played.stdout);

    let wrong = folder.path().join("wrong.apdu");
    fs::write(&wrong, "reset\n> 00A4000C 023F00\n< 9000\n> 00A40004 02FFFF\n< 6A83\n").unwrap();
    let played = play(&[wrong]);
    assert_eq!(played.code(), Some(3));
    let shown = format!("{}{}", played.stdout, played.stderr);
    assert!(shown.contains("6A82") && shown.contains("6A83") && shown.contains('4'), "{shown}");
}

/// What a card does not have is left out, with the reason; nothing fails on the cards that README makes.
#[test]
fn examples_leave_out_what_a_card_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let within = |arguments: &[&str]| run(command(&state, []).args(arguments).current_dir(folder.path())).success();
    within(&["subscriber", "new", "--pin", "anna.toml"]);
    within(&["card", "new", "empty.img"]);
    within(&["card", "new", "phone.img", "--type", "uicc", "--subscriber", "anna.toml"]);
    for image in ["empty.img", "phone.img"] {
        let scripts = scripts();
        let mut arguments = vec!["apdu", "run", "--card", image];
        arguments.extend(scripts.iter().map(|path| path.to_str().unwrap()));
        let played = within(&arguments);
        assert!(played.stdout.contains("steps skipped: "), "{}", played.stdout);
    }
}

#[test]
fn two_cards_of_one_process_are_in_two_slots() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let cards = [card(folder.path()), Card::new(folder.path(), &[])];
        let _inserted = Card::insert_both([&cards[0], &cards[1]], reader);
        for (slot, card) in [(0, &cards[0]), (1, &cards[1])] {
            let info =
                run(&mut command(folder.path(), ["--json", "lpa", "chip", "info", "--reader", Reader::name(slot)]));
            let info = info.success().stdout;
            assert!(info.contains(card.eid()), "{info}");
        }
    });
}
