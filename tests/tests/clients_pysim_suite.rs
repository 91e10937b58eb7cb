//! pySim's own tests of `pySim-shell`, written for sysmocom's cards, against ours: each directory of `tests/pySim-shell_test`.
//!
//! The suite looks for exceptions and compares some outputs; a command that was refused it may overlook. Here what its logs
//! show refused counts too. Which tests pass, and why others do not, is a table here, and a page of the documentation is
//! made from it: a test that passes where the table says otherwise fails as well.
//!
//! pySim is no Debian package: `PYSIM` names a checkout of it and `PYSIM_PYTHON` an interpreter that has what it needs;
//! without them the suite is skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vuicc_tests::process::{Process, run, run_within};
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::{Reader, beside_private_readers};
use vuicc_tests::repository;
use vuicc_tests::vuicc::{command, json_lines};

/// What comes of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It passes, and so many commands were refused, as the test wants, or without its noticing.
    Passes(usize),
    /// It passes, and commands were refused that it takes for granted: why.
    Overlooks(usize, &'static str),
    /// It does not: why.
    Fails(&'static str),
}
use Outcome::{Fails, Overlooks, Passes};

const CONTENT: &str = "compares with all files of sysmocom's card";
const PROFILES: &str = "names the profiles of sysmocom's card";

/// What the suite asks of a card that a subscriber's description can give.
const CONTENTS: &str = "[ims.files]
\"EF.IMSConfigData\" = true
[usim]
services = [150]
[usim.files]
\"DF.MCS\" = true
[[suci.keys]]
id = 1
profile = \"A\"
key = \"5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650\"
[[suci.keys]]
id = 2
profile = \"B\"
key = \"0272da71976234ce833a6907425867b82e074d44ef907dfb4b3e21c1c2256ebcd1\"
[[suci.keys]]
id = 3
profile = \"B\"
key = \"0272da71976234ce833a6907425867b82e074d44ef907dfb4b3e21c1c2256ebcd1\"
";

/// Directory, test, what comes of it.
const TABLE: &[(&str, &str, Outcome)] = &[
    ("apdu", "test_apdu", Passes(0)),
    ("apdu", "test_apdu_legacy", Passes(0)),
    ("apdu", "test_apdu_legacy_scp02", Passes(0)),
    ("apdu", "test_apdu_legacy_scp03", Passes(0)),
    ("ara_m", "test", Passes(0)),
    ("authenticate", "test", Overlooks(2, "does not restore keys and counters, which nobody can read here")),
    ("card_init", "test_card_init", Overlooks(2, "looks for an application that is not there")),
    ("cardinfo", "test", Fails("wants the answer to reset of another batch of the card")),
    ("chv", "test_manage", Passes(0)),
    ("chv", "test_unblock", Passes(8)),
    ("euicc", "test_enable_disable_profile", Fails(PROFILES)),
    ("euicc", "test_get_eid", Passes(0)),
    ("euicc", "test_get_euicc_info", Fails("wants the fields of EUICCInfo2 of sysmocom's card")),
    ("euicc", "test_get_profiles_info", Fails(PROFILES)),
    ("euicc", "test_list_and_rm_notif", Fails(PROFILES)),
    ("euicc", "test_set_nickname", Fails(PROFILES)),
    ("export", "test_export", Fails(CONTENT)),
    ("file_admin", "test_activate_deactivate", Passes(0)),
    ("file_admin", "test_create_delete_df", Passes(0)),
    ("file_admin", "test_create_resize_delete_linear_fixed_ef", Passes(0)),
    ("file_admin", "test_create_resize_delete_transparent_ef", Passes(0)),
    ("file_content", "test_ber_tlv_uicc", Passes(0)),
    ("file_content", "test_binary_sim", Passes(0)),
    ("file_content", "test_binary_uicc", Passes(0)),
    ("file_content", "test_record_sim", Fails("there is no EF.CCP in DF.TELECOM")),
    ("file_content", "test_record_uicc", Fails("there is no EF.BDN of ten records, which ADM updates")),
    ("file_specific", "test_ef_ist", Fails("its EF.IST has 3 octets, ours as many as there are services")),
    ("file_specific", "test_ef_ust", Fails("its EF.UST has 20 octets, ours as many as there are services")),
    ("file_specific", "test_update_imsi_plmn", Passes(0)),
    ("fsdump", "test", Fails(CONTENT)),
    ("get_identity", "test", Passes(0)),
    ("gp", "test_est_scp02_csv", Passes(0)),
    ("gp", "test_est_scp02_direct", Passes(0)),
    ("gp", "test_est_scp03_csv", Passes(0)),
    ("gp", "test_est_scp03_direct", Passes(0)),
    ("gp", "test_get_status", Passes(0)),
    ("gp", "test_put_delete_key", Passes(0)),
    ("lchan", "test", Passes(0)),
    ("navigate_fs", "test_sim", Passes(0)),
    ("navigate_fs", "test_uicc", Passes(0)),
    ("verify_adm", "test", Overlooks(3, "does not read the key of the SIM, which nobody can read here")),
];

/// A card of the suite: its name there, the type ours is like, ICCID, last digit of the IMSI.
const CARDS: [(&str, &str, &str, u8); 3] = [
    ("sysmoISIM-SJA5-S17", "sysmoISIM-SJA5", "8988211000000000011", 1),
    ("sysmoISIM-SJA2", "sysmoISIM-SJA2", "8988211000000000029", 2),
    // Of the suite it asks for a card that is read in class A0 only.
    ("sysmoSIM-GR1", "Fairwaves-SIM", "8988211000000000037", 3),
];
const ADM: &str = "34173960";
/// DEK, ENC and MAC, in the order of the suite's table.
const SCP02: [&str; 3] =
    ["2d2d2d2d2d2d2d2da4a4a4a4a4a4a4a4", "2e2e2e2e2e2e2e2ea5a5a5a5a5a5a5a5", "2f2f2f2f2f2f2f2fa6a6a6a6a6a6a6a6"];
const SCP03: [&str; 3] =
    ["3d3d3d3d3d3d3d3db4b4b4b4b4b4b4b4", "3e3e3e3e3e3e3e3eb5b5b5b5b5b5b5b5", "3f3f3f3f3f3f3f3fb6b6b6b6b6b6b6b6"];

#[test]
fn the_suite_passes_as_the_table_says() {
    let Some(pysim) = PySim::find() else { return };
    beside_private_readers(2, |reader| {
        let folder = tempfile::tempdir().unwrap();
        let suite = copy(pysim.sources(), folder.path());
        let cards = insert(folder.path(), &suite, reader);
        let tests = suite.join("tests/pySim-shell_test");
        let play = |only: &[String]| {
            let mut unittest = Command::new(pysim.python());
            unittest.current_dir(&suite).args(["-m", "unittest", "discover", "-v", "-s", "tests/pySim-shell_test"]);
            for test in only {
                unittest.args(["-k", test]);
            }
            // It starts pySim-shell by its first line.
            let path = std::env::var("PATH").unwrap_or_default();
            unittest.env("PATH", format!("{}:{path}", pysim.python().parent().unwrap().display()));
            unittest.env("PYTHONPATH", ".").env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", folder.path());
            run_within(&mut unittest, Duration::from_mins(15))
        };
        let mut finished = play(&[]);
        let mut found = outcomes(&finished.stderr, &tests);
        // A test that finds a reader in use, by the one before, has not begun: it takes the card for missing.
        for _ in 0..20 {
            let missed = missed(&finished.stderr);
            if missed.is_empty() {
                break;
            }
            finished = play(&missed);
            found.extend(outcomes(&finished.stderr, &tests));
        }
        cards.stop();
        let told: BTreeMap<String, Option<usize>> = TABLE
            .iter()
            .map(|(directory, test, outcome)| {
                let refused = match outcome {
                    Passes(refused) | Overlooks(refused, _) => Some(*refused),
                    Fails(_) => None,
                };
                (format!("{directory}.{test}"), refused)
            })
            .collect();
        let differing: Vec<_> = found.iter().filter(|(test, outcome)| told.get(*test) != Some(outcome)).collect();
        let missing: Vec<_> = told.keys().filter(|test| !found.contains_key(*test)).collect();
        assert!(
            differing.is_empty() && missing.is_empty(),
            "not as the table says, with the number of refused commands where they pass: {differing:#?}; not run: \
             {missing:?}\n{}{}",
            finished.stdout,
            finished.stderr
        );
    });
}

/// The page is the table.
#[test]
fn the_page_says_what_the_table_says() {
    let page = fs::read_to_string(repository().join("docs/pysim.md")).unwrap();
    let table = page.split_once("<!-- table: made from tests/tests/clients_pysim_suite.rs -->\n");
    let table = table.and_then(|(_, rest)| rest.split_once("<!-- end of table -->")).unwrap().0;
    assert_eq!(table, written(), "docs/pysim.md has another table than this one:\n{}", written());
}

fn written() -> String {
    let mut text = "| directory | test | result |\n|---|---|---|\n".to_owned();
    for (directory, test, outcome) in TABLE {
        let result = match outcome {
            Passes(0) => "passes".to_owned(),
            Passes(refused) => format!("passes; {refused} commands are refused, as it wants"),
            Overlooks(_, why) => format!("passes, but {why}"),
            Fails(why) => format!("does not pass: {why}"),
        };
        writeln!(text, "| `{directory}` | `{test}` | {result} |").unwrap();
    }
    text
}

/// The suite writes beside itself: it gets a copy.
fn copy(pysim: &Path, folder: &Path) -> PathBuf {
    let suite = folder.join("pysim");
    fs::create_dir(&suite).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["-r", "pySim", "tests", "pySim-shell.py"]).current_dir(pysim).arg(&suite);
    let _ = run(&mut copy).success();
    suite
}

/// A set of keys as a description has it.
fn keys(place: &str, version: u8, protocol: &str, [dek, enc, mac]: [&str; 3]) -> String {
    format!(
        "[[{place}.keys]]\nversion = {version}\nprotocol = \"{protocol}\"\nenc = \"{enc}\"\nmac = \"{mac}\"\ndek = \"{dek}\"\n"
    )
}

/// Makes the cards, tells the suite of them, and puts them into the reader.
fn insert(folder: &Path, suite: &Path, reader: &Reader) -> Process {
    const KEYS: &str = "adm1,pin1,puk1,SCP02_DEK_1,SCP02_ENC_1,SCP02_MAC_1,SCP03_DEK_1,SCP03_ENC_1,SCP03_MAC_1";
    let mut config = "regenerate: False\nkeepfiles: True\nprint_content: False\ncards:\n".to_owned();
    let mut data = format!("eid,iccid,{KEYS}\n");
    let mut images = Vec::new();
    for (name, like, iccid, number) in CARDS {
        let subscriber = folder.join(format!("{name}.toml"));
        let text = format!(
            "iccid = \"{iccid}\"\nimsi = \"00101000000000{number}\"\nkey = \"{}\"\nopc = \"{}\"\n[codes]\nadm1 = \
             \"{ADM}\"\npin1 = \"1234\"\npuk1 = \"15091909\"\n{CONTENTS}[gp]\nscp02_option = 0x55\n{}",
            "01".repeat(16),
            "02".repeat(16),
            keys("gp", 112, "scp02", SCP02)
        );
        fs::write(&subscriber, text).unwrap();
        let image = folder.join(format!("{name}.img"));
        let mut new = command(folder, ["card", "new", "--type", "uicc", "--like", like]);
        let _ = run(new.arg("--subscriber").arg(&subscriber).arg(&image)).success();
        let atr = card::inspect::image(&image).unwrap().atr.replace(' ', "");
        writeln!(config, " - {{name: \"{name}\", atr: \"{atr}\", iccid: \"{iccid}\"}}").unwrap();
        writeln!(data, "0,{iccid},{ADM},1234,15091909,{},0,0,0", SCP02.join(",")).unwrap();
        images.push(image);
    }
    let (image, like) = (folder.join("euicc.img"), folder.join("isd_r.toml"));
    fs::write(&like, keys("isd_r", 50, "scp03", SCP03)).unwrap();
    let mut new = command(folder, ["--json", "card", "new"]);
    let subscriber = folder.join("sysmoISIM-SJA2.toml");
    let made = json_lines(&run(new.arg("--like").arg(like).arg("--profile").arg(subscriber).arg(&image)).success());
    let eid = made.first().and_then(|line| line["eid"].as_str()).unwrap().to_owned();
    let atr = card::inspect::image(&image).unwrap().atr.replace(' ', "");
    writeln!(config, " - {{name: \"sysmoEUICC1-C2T\", atr: \"{atr}\", eid: \"{eid}\"}}").unwrap();
    writeln!(data, "{eid},0,0,0,0,0,0,0,{}", SCP03.join(",")).unwrap();
    images.push(image);

    let tests = suite.join("tests/pySim-shell_test");
    fs::write(tests.join("config.yaml"), config).unwrap();
    fs::write(tests.join("card_data.csv"), data).unwrap();
    let mut run = command(folder, ["card", "run"]);
    run.args(&images);
    for slot in 0..4 {
        run.args(["--reader", &reader.slot(slot)]);
    }
    let mut process = Process::start(&mut run, folder);
    process.wait_until("all cards in the readers", |_| (0..4).all(|slot| reader.holds_card(slot)));
    process
}

/// What the suite says of each test, and for those that pass how many commands their logs show refused.
fn outcomes(said: &str, tests: &Path) -> BTreeMap<String, Option<usize>> {
    let mut found = BTreeMap::new();
    for line in said.lines() {
        // test_apdu (apdu.test.test_case.test_apdu) ... ok
        let Some((head, result)) = line.split_once(" ... ") else { continue };
        let Some((test, path)) = head.split_once(" (") else { continue };
        let Some((directory, _)) = path.split_once('.') else { continue };
        let passes = result.trim() == "ok";
        found.insert(format!("{directory}.{test}"), passes.then(|| refused(&tests.join(directory), test)));
    }
    found
}

/// The tests that did not find their cards, as `-k` takes them.
fn missed(said: &str) -> Vec<String> {
    let errors = said.split("\nERROR: ").skip(1);
    let errors = errors.filter(|error| error.split("\n====").next().is_some_and(|one| one.contains(": missing card ")));
    errors.filter_map(|error| Some(error.split_once('(')?.1.split_once(')')?.0.to_owned())).collect()
}

/// Errors in the logs of a test. pySim-shell goes on after them.
fn refused(directory: &Path, test: &str) -> usize {
    let begin = format!("pySim-shell_{test}_");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let logs = files.filter(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(".log"));
        number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
    });
    let is_error = |line: &&str| {
        let word = line.split_once(": ").map_or("", |(word, _)| word);
        word.ends_with("Error") && word.bytes().all(|letter| letter.is_ascii_alphanumeric())
            || line.contains("EXCEPTION")
            || line.contains("is not a recognized command")
    };
    logs.map(|log| String::from_utf8_lossy(&fs::read(log.path()).unwrap()).lines().filter(is_error).count()).sum()
}
