//! openpilot's `lpa.py`, unmodified, at the modem's pseudo-terminal and at our SM-DP+: an LPA with two slips, which cards and servers
//! in the field do not mind. Lenient ones take them; strict ones, the default, refuse.
//!
//! `OPENPILOT_LPA` names the file (`common/esim/lpa.py`, before that `system/hardware/tici/lpa.py`). It needs Debian's `python3-serial`
//! and `python3-requests`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vuicc_tests::modem::Modem;
use vuicc_tests::peer;
use vuicc_tests::process::{run, run_within};
use vuicc_tests::repository;
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, SmDp, command};

/// The LPA, and a Python for it.
struct Lpa {
    file: PathBuf,
    python: &'static str,
}

/// The LPA; `None`, said aloud, if it or what it needs is missing.
fn lpa() -> Option<Lpa> {
    let file = peer::named_by("OPENPILOT_LPA", "openpilot's LPA")?;
    let has_both = |python: &&str| run(Command::new(python).args(["-c", "import serial, requests"])).code() == Some(0);
    // Debian's has Debian's packages, whichever comes first in PATH.
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has_both) else {
        peer::skip("openpilot's LPA", "not installed; apt install python3-serial python3-requests");
        return None;
    };
    Some(Lpa { file, python })
}

/// The CI's certificate of the PKI in `folder`, as openpilot's bundle.
fn bundle(folder: &Path) -> PathBuf {
    folder.join("state/pki/CertificateIssuer/CERT_CI_ECDSA_NIST.pem")
}

/// What comes of each step.
fn done(lpa: &Lpa, folder: &TempDir, modem: &Modem, steps: &[Value]) -> Vec<Value> {
    let mut python = Command::new(lpa.python);
    python.arg(repository().join("tests/tests/clients_openpilot.py")).arg(&lpa.file).arg(modem.terminal());
    python.arg(folder.path().join("lock")).arg(bundle(folder.path())).args(steps.iter().map(Value::to_string));
    let said = run_within(&mut python, Duration::from_mins(10)).success();
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), steps.len(), "{said:#?}");
    lines
}

/// An eUICC made with this personality.
fn card(folder: &TempDir, like: &str) -> Card {
    let image = folder.path().join("card.img");
    let _ = run(command(&folder.path().join("state"), ["card", "new", "--like", like]).arg(&image)).success();
    Card::of_image(folder.path(), &image)
}

fn activation_code(folder: &TempDir, smdp: &SmDp, number: u32) -> String {
    let matching_id = smdp.offer(&package(folder.path(), &subscriber(number)), &[]);
    format!("LPA:1${}${matching_id}", smdp.address())
}

#[test]
fn openpilot_leads_a_lenient_card_through_the_life_of_a_profile() {
    let Some(lpa) = lpa() else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = card(&folder, "lenient");
    let modem = Modem::start(folder.path(), &card, &[]);
    let smdp = SmDp::serve_with(folder.path(), &["--lenient"]);
    let codes = [1, 2].map(|number| activation_code(&folder, &smdp, number));
    let (one, two) = (iccid(1), iccid(2));
    let ok = json!({ "ok": null });
    let list = |states: &[(&String, &str, bool)]| json!({ "ok": states });
    let steps = [
        (json!(["is_euicc"]), json!({ "ok": true })),
        (json!(["list_profiles"]), list(&[])),
        (json!(["download_profile", codes[0], "Ann"]), ok.clone()),
        (json!(["download_profile", codes[1]]), ok.clone()),
        (json!(["list_profiles"]), list(&[(&one, "Ann", false), (&two, "", false)])),
        (json!(["switch_profile", one]), ok.clone()),
        (json!(["switch_profile", two]), ok.clone()),
        (json!(["nickname_profile", two, "Ben"]), ok.clone()),
        (json!(["list_profiles"]), list(&[(&one, "Ann", false), (&two, "Ben", true)])),
        (json!(["delete_profile", one]), ok.clone()),
        (json!(["list_profiles"]), list(&[(&two, "Ben", true)])),
        (json!(["process_notifications"]), ok),
    ];
    let asked: Vec<_> = steps.iter().map(|(step, _)| step.clone()).collect();
    for ((step, expected), came) in steps.iter().zip(done(&lpa, &folder, &modem, &asked)) {
        assert_eq!(&came, expected, "{step}");
    }
    let heard = smdp.notifications();
    assert_eq!(heard.len(), 6, "installed two times, enabled two times, disabled, deleted: {heard:#?}");
    assert!(heard.iter().all(|heard| heard["verified"] == true), "{heard:#?}");
    let taken = smdp.log().matches("notification without its outermost tag").count();
    assert_eq!(taken, 6, "{}", smdp.log());
}

/// As SGP.22 has it: the card finds no refreshFlag, and the server no notification. Nothing is changed and nothing lost.
#[test]
fn openpilot_is_refused_by_a_strict_card_and_a_strict_server() {
    let Some(lpa) = lpa() else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = card(&folder, "standard");
    let modem = Modem::start(folder.path(), &card, &[]);
    let smdp = SmDp::serve(folder.path());
    let code = activation_code(&folder, &smdp, 1);
    let steps = [
        json!(["download_profile", code]),
        json!(["switch_profile", iccid(1)]),
        json!(["process_notifications"]),
        json!(["list_profiles"]),
    ];
    let came = done(&lpa, &folder, &modem, &steps);
    assert_eq!(came[0], json!({ "ok": null }));
    assert!(came[1]["error"].as_str().unwrap().contains("SW=6A80"), "{}", came[1]);
    assert_eq!(came[3], json!({ "ok": [[iccid(1), "", false]] }));
    assert_eq!(smdp.notifications().len(), 0);
    drop(modem);
    let inspection = card::inspect::image(card.image()).unwrap();
    assert_eq!(inspection.euicc.unwrap().notifications.len(), 1, "still to be sent");
}
