//! The conformance scoreboard: its rows on cards made for them, on an image and behind a socket, and the page made from them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use vuicc_tests::process::run;
use vuicc_tests::vuicc::{command, json_lines};

const BEGIN: &str = "<!-- conformance: made by vuicc card conformance -->\n";
const END: &str = "<!-- end of conformance -->";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// Every row passes or fails as its sheet says, and `docs/conformance.md` says the same; with `UPDATE` it is written.
#[test]
fn every_row_does_what_its_sheet_says_and_the_page_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let played = run(&mut command(folder.path(), ["card", "conformance", "--markdown"]));
    let made = if played.status.success() {
        played.stdout
    } else {
        let told = run(&mut command(folder.path(), ["card", "conformance"]));
        panic!("{}", told.stdout);
    };
    let path = repository().join("docs/conformance.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where it begins");
    let (inside, after) = rest.split_once(END).expect("where it ends");
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&path, [before, BEGIN, &made, END, after].concat()).expect("the page written");
    }
    assert!(inside == made, "docs/conformance.md is not that of this run: UPDATE=1 cargo test --test conformance");
}

#[test]
fn as_json_each_row_is_an_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let played = run(&mut command(folder.path(), ["--json", "card", "conformance", "--only", "status"]));
    let rows = json_lines(&played.success());
    assert!(rows.len() > 20, "{}", rows.len());
    let is_right = |row: &Value| row["sheet"] == "status" && row["outcome"] == "passed" && row["clause"].is_string();
    assert!(rows.iter().all(is_right));
    assert!(rows.iter().any(|row| row["negative"] == true) && rows.iter().any(|row| row["negative"] == false));
}

/// A failure is told with its line and is exit code 3; a known one is none; one that passes is told.
#[test]
fn failures_are_told_known_ones_are_none_and_none_pass_unnoticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let play = |rows: &str| {
        let sheet = format!("sheet Mine\ncard uicc\nclause TS 102 221 §8.4.1\n{rows}");
        std::fs::write(folder.path().join("mine.apdu"), sheet).expect("a sheet");
        let mut play = command(folder.path(), ["card", "conformance"]);
        run(play.arg(folder.path().join("mine.apdu")))
    };
    let failed = play("row one: It\n> 00A4000C023F00\n< 6A82\n");
    assert_eq!(failed.code(), Some(3), "{failed:#?}");
    assert!(failed.stdout.contains("failed    mine/one") && failed.stdout.contains("mine.apdu:5"), "{}", failed.stdout);
    let known = play("row one: It\nfails nobody knows\n> 00A4000C023F00\n< 6A82\n");
    assert!(known.success().stdout.contains("1 fail as known"));
    let unnoticed = play("row one: It\nfails nobody knows\n> 00A4000C023F00\n< 9000\n");
    assert_eq!(unnoticed.code(), Some(3));
    assert!(unnoticed.stdout.contains("it passes now, remove `fails nobody knows`"), "{}", unnoticed.stdout);
    let wrong = play("row one It\n");
    assert_eq!(wrong.code(), Some(5), "{wrong:#?}");
    assert!(wrong.stderr.contains("mine.apdu:4: a row is `row NAME: TITLE`"), "{}", wrong.stderr);
    let nothing = run(&mut command(folder.path(), ["card", "conformance", "--only", "selekt"]));
    assert!(nothing.code() == Some(2) && nothing.stderr.contains("sheets are select, status"), "{nothing:#?}");
}

/// The rows play on any card: one in an image, which is not changed by them unless that is asked for.
#[test]
fn rows_play_on_a_card_in_an_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("sim.img");
    let mut new = command(folder.path(), ["card", "new", "--type", "uicc", "--subscriber"]);
    new.arg(repository().join("conformance/cards/subscriber.toml")).arg(&image);
    drop(run(&mut new).success());
    let play = |only: &str| {
        let mut play = command(folder.path(), ["--json", "card", "conformance", "--only", only]);
        let rows = json_lines(&run(play.arg("--card").arg(&image)).success());
        let count = |outcome: &str| rows.iter().filter(|row| row["outcome"] == outcome).count();
        [count("passed"), count("failed"), count("skipped")]
    };
    let ([passed, failed, _], [pins, wrong, changing]) = (play("select"), play("verify-pin"));
    assert!(passed > 80 && pins > 20 && changing > 5 && failed + wrong == 0);
    // Rows for another card are left out.
    let [passed, failed, skipped] = play("increase");
    assert!(passed + failed == 0 && skipped > 20);
}
