//! lpac with its driver `stdio`, unmodified, with a card behind its standard input and output: `vuicc apdu stdio`.
//!
//! `LPAC` names lpac.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value, json};
use vuicc_tests::peer;
use vuicc_tests::process::{Finished, run};
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, SmDp, command};

fn beside(folder: &Path, card: &Card, program: &[&str]) -> Finished {
    let mut ours = command(&folder.join("state"), ["apdu", "stdio", "--card"]);
    run(ours.arg(card.image()).arg("--").args(program))
}

#[test]
fn a_profiles_life_over_standard_input_and_output() {
    let Some(lpac) = peer::named_by("LPAC", "lpac over stdio") else { return };
    let lpac = lpac.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let done = |arguments: &[&str]| {
        let finished = beside(folder.path(), &card, &[&[lpac], arguments].concat()).success();
        let mut lines = finished.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let last = lines.rfind(|line| line["type"] == "lpa").unwrap_or_default();
        assert_eq!(last["payload"]["code"], 0, "lpac {arguments:?}: {finished:#?}");
        last["payload"]["data"].clone()
    };
    assert_eq!(done(&["chip", "info"])["eidValue"], card.eid());
    let smdp = SmDp::serve(folder.path());
    let matching_id = smdp.offer(&package(folder.path(), &subscriber(1)), &[]);
    done(&["profile", "download", "-s", smdp.address(), "-m", &matching_id]);
    done(&["profile", "enable", &iccid(1), "0"]);
    let listed = done(&["profile", "list"]);
    assert_eq!((&listed[0]["iccid"], &listed[0]["profileState"]), (&json!(iccid(1)), &json!("enabled")));
    done(&["profile", "disable", &iccid(1), "0"]);
    done(&["profile", "delete", &iccid(1)]);
    done(&["notification", "process", "-a", "-r"]);
    assert_eq!(done(&["profile", "list"]), json!([]));
    assert_eq!(smdp.notifications().len(), 4);
}

/// Requests without the program being started, and what is no request.
#[test]
fn any_program_may_ask() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let asking = r#"
        echo '{"type":"apdu","payload":{"func":"connect","param":null}}'; read -r connected
        echo '{"type":"apdu","payload":{"func":"transmit","param":"00a40004023f00"}}'; read -r selected
        echo hello
        echo "{\"type\":\"lpa\",\"payload\":{\"said\":[$connected,$selected]}}"
        exit "$1"
    "#;
    let finished = beside(folder.path(), &card, &["sh", "-c", asking, "sh", "0"]).success();
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(lines[0], "hello");
    let said: Value = serde_json::from_str(lines[1]).unwrap();
    let said = &said["payload"]["said"];
    assert_eq!(said[0]["payload"]["ecode"], 0);
    assert!(said[1]["payload"]["data"].as_str().unwrap().starts_with("61"), "{said}");

    let failed = beside(folder.path(), &card, &["sh", "-c", asking, "sh", "7"]);
    assert_eq!(failed.code(), Some(1));
    assert!(failed.stderr.contains("sh has failed: exit status: 7"), "{failed:#?}");
    let absent = beside(folder.path(), &card, &["/nowhere/lpac"]);
    assert_eq!(absent.code(), Some(2));
    assert!(absent.stderr.contains("cannot start /nowhere/lpac") && absent.stderr.lines().count() == 1, "{absent:#?}");
    let endless = beside(folder.path(), &card, &["sh", "-c", "yes | tr -d '\\n'"]);
    assert_eq!(endless.code(), Some(5), "{endless:#?}");
    assert!(endless.stderr.contains("is no request for an APDU"), "{endless:#?}");
}
