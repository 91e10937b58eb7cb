//! `pySim-shell`, which knows every file of a UICC: it meets our eUICC, its profiles and their file systems over PC/SC.
//!
//! pySim is no Debian package: `PYSIM` names a checkout of it and `PYSIM_PYTHON` an interpreter that has what it needs;
//! without them these tests are skipped.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use vuicc_tests::process::{Process, run};
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{
    AuthenticationCentre, IMSI, K, OPC, TS48_AS_PUBLISHED, iccid, package, subscriber, ts48,
};
use vuicc_tests::vector;
use vuicc_tests::vuicc::Card;

#[test]
fn the_shell_finds_the_applications() {
    with_pysim(|desk| {
        let _card = desk.insert(&[package(desk.folder.path(), &subscriber(1))]);
        let said = desk.shell(&["select MF", "cardinfo"]).text;
        assert!(said.contains("Card is of type: Consumer eUICC (SGP.22)"), "{said}");
        for application in ["ADF.ECASD: a0000005591010", "ADF.ISD-R: a0000005591010", "USIM: a0000000871002"] {
            assert!(said.contains(application), "no {application} in {said}");
        }
        assert!(said.contains(&iccid(1)), "{said}");
    });
}

#[test]
fn profiles_are_listed_enabled_and_disabled() {
    with_pysim(|desk| {
        let (one, two) = (iccid(1), iccid(2));
        let _card = desk.insert(&[1, 2].map(|number| package(desk.folder.path(), &subscriber(number))));
        let answers = desk.shell(&["select ADF.ISD-R", "get_eid", "get_profiles_info"]).json;
        assert_eq!(answers[1], json!({ "eid_value": desk.card.get().unwrap().eid() }));
        let profiles: Vec<_> = answers[2]["profile_info_seq"].as_array().unwrap().iter().collect();
        assert_eq!(profiles.iter().map(|profile| &profile["profile_info"]["iccid"]).collect::<Vec<_>>(), [&one, &two]);
        let states = || {
            let answers = desk.shell(&["select ADF.ISD-R", "get_profiles_info"]).json;
            let profiles = answers[1]["profile_info_seq"].as_array().unwrap().iter();
            profiles
                .map(|profile| profile["profile_info"]["profile_state"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(states(), ["enabled", "disabled"], "a card is made with its first profile enabled");
        let aid = profiles[1]["profile_info"]["isdp_aid"].as_str().unwrap();
        let answers = desk
            .shell(&[
                "select ADF.ISD-R",
                &format!("enable_profile --isdp-aid {aid}"),
                &format!("enable_profile --isdp-aid {aid}"),
            ])
            .json;
        assert_eq!(
            answers[1..],
            [json!({ "enable_result": "ok" }), json!({ "enable_result": "profileNotInDisabledState" })]
        );
        assert_eq!(states(), ["disabled", "enabled"]);
        let answers =
            desk.shell(&["select ADF.ISD-R", &format!("disable_profile --iccid {two} --refresh-required")]).json;
        assert_eq!(answers[1], json!({ "disable_result": "ok" }));
        assert_eq!(states(), ["disabled", "disabled"]);
    });
}

/// Every file pySim knows of is found or missing as the GSMA's test profile has it.
///
/// What is expected was recorded from a responder that knows no access rules. With ADM1 verified a card that does gives
/// the same, but for one file.
#[test]
fn the_test_profile_is_exported_file_by_file() {
    with_pysim(|desk| {
        let (Some(profile), Some(expected)) = (
            ts48(desk.folder.path(), TS48_AS_PUBLISHED),
            vector("apdu-traces/pysim/shell-export-ts48v7.expected.json"),
        ) else {
            return;
        };
        let _card = desk.insert(&[profile]);
        let export = desk.shell(&["verify_adm 55555555", "export"]).text;
        let mut expected: Value = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
        // Its rule is record 4 of the ISIM's EF.ARR, which the profile leaves empty: nobody may do anything.
        let locked = expected["files"].as_array_mut().unwrap();
        let locked = locked.iter_mut().find(|file| file["path"] == "MF/ADF.ISIM/EF.MuDMiDConfigData");
        locked.unwrap()["outcome"] = "6982".into();

        let mut files: Vec<Value> = Vec::new();
        for line in export.lines() {
            if let Some(directory) = line.strip_prefix("# directory: ") {
                let (path, fids) = directory.split_once(" (").unwrap();
                files.push(json!({ "path": path, "fids": fids.trim_end_matches(')'), "outcome": "ok" }));
            } else if let Some(structure) = line.strip_prefix("# structure: ") {
                files.last_mut().unwrap()["structure"] = structure.into();
            } else if let Some(reason) = line.strip_prefix("# bad file: ") {
                files.last_mut().unwrap()["outcome"] = match reason {
                    reason if reason.contains("got 6a82") => "6A82".into(),
                    reason if reason.contains("got 6982") => "6982".into(),
                    // pySim takes EF.URSP for a transparent file.
                    reason if reason.contains("'ber_tlv', expecting") => {
                        "structure mismatch in pySim (file is BER-TLV)".into()
                    }
                    reason => reason.into(),
                };
            }
        }
        // The recorded cards did not answer to the names that the issuer's security domain has on every card.
        files.retain(|file| file["path"] != "MF/ADF.ISD");
        let wanted = expected["files"].as_array().unwrap();
        let differences: Vec<_> = wanted
            .iter()
            .map(|wanted| (wanted, files.iter().find(|file| file["path"] == wanted["path"])))
            .filter(|(wanted, file)| *file != Some(wanted))
            .collect();
        assert!(differences.is_empty(), "wanted and found: {differences:#?}");
        assert_eq!(files.len(), wanted.len());
        let skipped = export.split_once("# skipped dedicated files(s)").unwrap().1.lines().skip(1);
        let skipped = skipped.filter_map(|line| line.strip_prefix("#  ")?.split(',').next());
        assert_eq!(json!(skipped.collect::<Vec<_>>()), expected["skipped_dfs"]);
    });
}

#[test]
fn the_usim_answers_the_network_and_its_files_decode() {
    with_pysim(|desk| {
        let _card = desk.insert(&[package(desk.folder.path(), &subscriber(1))]);
        let mut centre = AuthenticationCentre::default();
        centre.add(IMSI, &K, &OPC, 40);
        let [rand, autn, ik, ck, res] = centre.quintet(IMSI).unwrap().map(hex::encode);
        let challenge = format!("authenticate {rand} {autn}");
        let answers =
            desk.shell(&["select ADF.USIM", &challenge, &challenge, "select EF.IMSI", "read_binary_decoded"]).json;
        let tags = &answers[1]["successful_3g_authentication"];
        assert_eq!((&tags["res"], &tags["ck"], &tags["ik"]), (&json!(res), &json!(ck), &json!(ik)), "{answers:#?}");
        assert!(answers[2]["synchronisation_failure"]["auts"].is_string(), "the same challenge again: {answers:#?}");
        assert_eq!(answers[4], json!({ "imsi": IMSI }));
    });
}

/// A warning that comes with data takes a way of its own under T=0.
#[test]
fn a_deactivated_file_is_seen_as_such() {
    with_pysim(|desk| {
        let _card = desk.insert(&[package(desk.folder.path(), &subscriber(1))]);
        let select = "select /ADF.USIM/EF.LOCI";
        let answers =
            desk.shell(&["verify_adm 88888888", select, "deactivate_file", select, "activate_file EF.LOCI", select]);
        let states: Vec<_> = answers.json.iter().map(|fcp| &fcp["life_cycle_status_integer"]).collect();
        assert_eq!(states, ["operational_activated", "operational_deactivated", "operational_activated"]);
    });
}

/// A test's place of work.
struct Desk<'a> {
    folder: TempDir,
    reader: &'a Reader,
    pysim: PySim,
    card: std::cell::OnceCell<Card>,
}

fn with_pysim(test: impl FnOnce(&Desk<'_>)) {
    let Some(pysim) = PySim::find() else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        test(&Desk { folder, reader, pysim, card: std::cell::OnceCell::new() });
    });
}

/// What the shell said: all of it, and the JSON in it.
struct Said {
    text: String,
    json: Vec<Value>,
}

impl Desk<'_> {
    /// Puts a card with these profiles into the reader.
    fn insert(&self, packages: &[PathBuf]) -> Process {
        let packages: Vec<_> = packages.iter().map(PathBuf::as_path).collect();
        self.card.get_or_init(|| Card::new(self.folder.path(), &packages)).insert(self.reader, 0)
    }

    /// Lets the shell carry out commands, from a cold card.
    fn shell(&self, commands: &[&str]) -> Said {
        let mut shell = self.pysim.program_at_reader("pySim-shell.py", self.folder.path());
        shell.arg("--noprompt");
        for command in commands {
            shell.args(["-e", command]);
        }
        let finished = run(&mut shell).success();
        let text = finished.stdout + &finished.stderr;
        assert!(!text.contains("Traceback") && !text.contains("EXCEPTION"), "{commands:?}: {text}");
        let json = json_in(&text);
        Said { text, json }
    }
}

/// The JSON objects that stand on lines of their own.
fn json_in(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut object = String::new();
    for line in text.lines() {
        if line == "{" || !object.is_empty() {
            object += line;
            object.push('\n');
        }
        if line == "}" {
            found.push(serde_json::from_str(&object).unwrap());
            object.clear();
        }
    }
    found
}
