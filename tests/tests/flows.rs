//! What phone, watch and operator do together: `vuicc demo FLOW` in all its variants in one process, each flow through
//! the PC/SC service, and the charts of the documentation against those of a run.
//!
//! The program checks every outcome itself and fails at the first that is not as it should be; what is looked at here is
//! that it can, that all flows are played, and that they look as documented.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use vuicc_tests::controllers::Controllers;
use vuicc_tests::process::{Finished, run};
use vuicc_tests::reader::{beside_private_reader, beside_private_readers};
use vuicc_tests::repository;
use vuicc_tests::vuicc::{command, json_lines};

/// All flows, each with the fewest steps it can have.
const FLOWS: [(&str, usize); 8] = [
    ("companion-download", 10),
    ("companion-combined", 9),
    ("companion-contract", 8),
    ("bind-two-uicc", 9),
    ("unbind", 9),
    ("one-device", 9),
    ("upgrade-to-euicc", 11),
    ("euicc-migration", 16),
];

/// Writes the charts and transcripts of this run into the documentation, instead of comparing them.
const WRITE: &str = "VUICC_WRITE_CHARTS";

fn play(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), ["--json", "demo"]).args(arguments))
}

/// Plays a flow to its end: each step says that it succeeded, and the last line sums up.
fn succeed(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let lines = json_lines(&play(folder, arguments).success());
    let (summary, steps) = lines.split_last().unwrap();
    assert_eq!(summary["steps"], steps.len(), "{arguments:?}");
    assert!(steps.iter().all(|step| step["ok"] == true), "{arguments:?}: {steps:#?}");
    let flow = FLOWS.iter().find(|(flow, _)| arguments.contains(flow)).unwrap();
    assert!(steps.len() >= flow.1, "{arguments:?}: {steps:#?}");
    lines
}

fn variants(flow: &str, variants: &[&[&str]]) {
    let folder = tempfile::tempdir().unwrap();
    for variant in variants {
        succeed(folder.path(), &[&["--in-process", flow], *variant].concat());
    }
}

#[test]
fn every_flow_is_listed_and_documented() {
    let folder = tempfile::tempdir().unwrap();
    let listed = json_lines(&play(folder.path(), &["--list"]).success());
    let listed: Vec<_> = listed.iter().map(|line| line["flow"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, FLOWS.map(|(flow, _)| flow));
    let index = fs::read_to_string(repository().join("docs/flows/README.md")).unwrap();
    assert!(listed.iter().all(|flow| index.contains(&format!("({flow}.md)"))));
}

#[test]
fn companion_download() {
    variants(
        "companion-download",
        &[
            &[],
            &["--authenticate", "before"],
            &["--proof", "aka-prime", "--authenticate", "before"],
            &["--proof", "sim", "--primary-id", "iccid", "--secondary-id", "msisdn"],
            &["--proof", "code", "--primary-id", "msisdn", "--secondary-id", "eid", "--delivery", "mah"],
            &["--proof", "sim", "--authenticate", "before", "--primary-id", "imsi", "--secondary-id", "imsi"],
            &["--proof", "code", "--authenticate", "before", "--pairing", "in-process"],
            &["--primary-id", "imsi", "--secondary-id", "iccid"],
            &["--through-primary"],
            &["--through-primary", "--pairing", "in-process", "--proof", "sim"],
            &["--second-watch"],
            &["--second-watch", "--delivery", "mah", "--secondary-id", "eid"],
        ],
    );
}

/// A flow with each identifier of the phone and each of the watch, each pair with one authentication method and one
/// manner of ringing.
fn by_any_identifiers(flow: &str, secondary: [&str; 3]) {
    for (at, primary) in ["iccid", "msisdn", "imsi"].into_iter().enumerate() {
        for (also_at, secondary) in secondary.into_iter().enumerate() {
            let proof = ["aka", "sim", "code"][(at + also_at) % 3];
            let delivery = ["fa", "mah"][(at + 2 * also_at) % 2];
            let named = ["--primary-id", primary, "--secondary-id", secondary];
            let others = ["--proof", proof, "--delivery", delivery, "--pairing", "in-process"];
            variants(flow, &[&[named.as_slice(), &others].concat()]);
        }
    }
}

#[test]
fn companion_download_by_any_identifiers() {
    by_any_identifiers("companion-download", ["eid", "msisdn", "imsi"]);
}

#[test]
fn bind_two_uicc_by_any_identifiers() {
    by_any_identifiers("bind-two-uicc", ["iccid", "msisdn", "imsi"]);
}

#[test]
fn companion_combined() {
    variants(
        "companion-combined",
        &[
            &[],
            &["--proof", "code", "--delivery", "mah"],
            &["--proof", "sim", "--authenticate", "before", "--primary-id", "iccid"],
            &["--proof", "aka-prime", "--pairing", "in-process", "--primary-id", "msisdn"],
            &["--primary-id", "imsi", "--through-primary"],
            &["--second-watch", "--delivery", "mah"],
        ],
    );
}

#[test]
fn companion_contract() {
    variants(
        "companion-contract",
        &[
            &[],
            &["--decide", "decline"],
            &["--second-contract"],
            &["--second-contract", "--decide", "decline-sharing"],
            &["--sms-check"],
            &["--second-contract", "--sms-check", "--proof", "code"],
            &["--decide", "decline", "--proof", "code"],
            &["--proof", "sim", "--authenticate", "before", "--second-contract", "--delivery", "mah"],
            &["--sms-check", "--primary-id", "msisdn", "--through-primary"],
        ],
    );
}

#[test]
fn bind_two_uicc() {
    variants(
        "bind-two-uicc",
        &[
            &[],
            &["--primary-id", "msisdn", "--secondary-id", "msisdn", "--delivery", "mah"],
            &["--primary-id", "iccid", "--secondary-id", "iccid", "--proof", "sim"],
            &["--primary-id", "imsi", "--secondary-id", "imsi", "--proof", "code"],
            &["--proof", "aka-prime"],
            &["--second-watch"],
            &["--second-watch", "--delivery", "mah", "--secondary-id", "msisdn"],
        ],
    );
}

#[test]
fn unbind() {
    variants(
        "unbind",
        &[
            &[],
            &["--remove-profile"],
            &["--remove-profile", "--primary-id", "msisdn", "--secondary-id", "eid"],
            &["--primary-id", "iccid", "--secondary-id", "imsi", "--proof", "code"],
            &["--primary-id", "imsi", "--secondary-id", "msisdn", "--proof", "sim", "--delivery", "mah"],
            &["--remove-profile", "--secondary-id", "iccid", "--proof", "aka-prime", "--pairing", "in-process"],
            &["--second-watch"],
            &["--second-watch", "--remove-profile", "--delivery", "mah"],
        ],
    );
}

#[test]
fn one_device() {
    variants(
        "one-device",
        &[
            &[],
            &["--share"],
            &["--share", "--delivery", "mah", "--proof", "sim", "--primary-id", "iccid"],
            &["--share", "--primary-id", "msisdn"],
            &["--share", "--primary-id", "imsi", "--proof", "aka-prime"],
            &["--proof", "code"],
        ],
    );
}

#[test]
fn upgrade_to_euicc() {
    variants("upgrade-to-euicc", &[&[], &["--scan"]]);
}

#[test]
fn euicc_migration() {
    variants("euicc-migration", &[&[], &["--scan"], &["--remove-profile"], &["--remove-profile", "--scan"]]);
}

#[test]
fn by_bluetooth() {
    let folder = tempfile::tempdir().unwrap();
    let Some(controllers) = Controllers::start(folder.path()) else { return };
    let [phone, watch] = controllers.hci();
    let hci = ["--pairing", "bluetooth", "--hci", &phone, "--hci", &watch];
    for (flow, variant) in [
        ("companion-download", &["--second-watch", "--through-primary"][..]),
        ("companion-combined", &[]),
        ("companion-contract", &["--sms-check"]),
        ("bind-two-uicc", &[]),
        ("unbind", &["--remove-profile"]),
    ] {
        variants(flow, &[&[&hci[..], variant].concat()]);
    }
}

#[test]
fn what_a_flow_does_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, named) in [
        (&["--in-process", "bind-two-uicc", "--secondary-id", "eid"][..], "--secondary-id"),
        (&["--in-process", "companion-download", "--share"], "--share is only for one-device"),
        (&["--in-process", "companion-download", "--primary-id", "eid"], "no EID"),
        (&["--in-process", "companion-contract", "--decide", "decline-sharing"], "--second-contract"),
        (&["--in-process", "unbind", "--pairing", "bluetooth"], "--hci"),
        (&["--in-process", "unbind", "--hci", "127.0.0.1:1"], "--pairing bluetooth"),
        (&["--in-process", "--proof", "aka"], "FLOW"),
        (&["--in-process", "--then", "true"], "FLOW"),
        (&["--in-process", "moon"], "moon"),
    ] {
        let refused = play(folder.path(), arguments);
        assert!(refused.code() != Some(0) && refused.stderr.contains(named), "{arguments:?}: {refused:#?}");
        let told = json_lines(&refused);
        assert!(told.iter().all(|object| object["error"]["code"] == "usage"), "{arguments:?}: {refused:#?}");
    }
}

#[test]
fn a_command_finds_the_world_of_a_flow_and_has_to_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let then = |command: &str| play(folder.path(), &["--in-process", "upgrade-to-euicc", "--then", command]);
    let vuicc = vuicc_tests::vuicc::program().display();
    let looked = then(&format!("'{vuicc}' --state $VUICC_STATE operator subscriber show $VUICC_RINGS")).success();
    // A reader of our JSON does not find the command's words in it.
    assert!(looked.stderr.contains("active"), "{looked:#?}");
    assert!(json_lines(&looked).iter().all(Value::is_object), "{looked:#?}");

    let failed = then("exit 7");
    assert!(failed.code() == Some(1) && failed.stderr.contains("`exit 7`"), "{failed:#?}");
}

#[test]
fn every_flow_plays_through_the_reader() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        for (flow, _) in FLOWS {
            succeed(folder.path(), &[flow]);
            reader.wait_until_empty(0);
            reader.wait_until_empty(1);
        }
        let Some(controllers) = Controllers::start(folder.path()) else { return };
        let [phone, watch] = controllers.hci();
        let bluetooth = ["companion-download", "--pairing", "bluetooth", "--hci", &phone, "--hci", &watch];
        succeed(folder.path(), &bluetooth);
    });
}

#[test]
fn several_watches_play_through_the_reader() {
    beside_private_readers(2, |reader| {
        let folder = tempfile::tempdir().unwrap();
        for flow in ["companion-download", "bind-two-uicc"] {
            succeed(folder.path(), &[flow, "--second-watch"]);
            (0..3).for_each(|slot| reader.wait_until_empty(slot));
        }
    });
}

#[test]
fn the_charts_and_transcripts_of_the_documentation_are_those_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    for (flow, _) in FLOWS {
        let path = repository().join(format!("docs/flows/{flow}.md"));
        let mut text = fs::read_to_string(&path).unwrap();
        let shown = between(&text, "scripts/demo ", "\n").to_owned();
        assert!(shown.starts_with(flow), "{flow}: {shown}");
        let [chart, transcript] = ["chart", "transcript"].map(|kind| folder.path().join(format!("{flow}.{kind}")));
        let written = ["--chart", chart.to_str().unwrap(), "--transcript", transcript.to_str().unwrap()];
        let run = [&["--in-process"], &written[..], &shown.split(' ').collect::<Vec<_>>()[..]];
        succeed(folder.path(), &run.concat());
        for (begin, file) in [("```mermaid\n", chart), ("```text\n", transcript)] {
            let now = fs::read_to_string(file).unwrap();
            let documented = between(&text, begin, "```");
            if std::env::var_os(WRITE).is_some() {
                text = text.replace(&format!("{begin}{documented}```"), &format!("{begin}{now}```"));
            } else {
                assert!(documented == now, "{flow}: {WRITE}=1 writes it anew; it is now\n{now}");
            }
        }
        if std::env::var_os(WRITE).is_some() {
            fs::write(&path, text).unwrap();
        }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0
}
