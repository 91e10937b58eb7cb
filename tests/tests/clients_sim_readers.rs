//! Programs of Debian that know class `A0` alone read our cards, and pySim's own test of access rules writes to one, all unmodified.
//!
//! `gnokii` (package gnokii-cli) has a phone whose memory is a SIM in a reader; `cardpeek` walks the files of one. pySim is no
//! Debian package: `PYSIM` and `PYSIM_PYTHON` name it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use saip::builder::{Code, Subscriber};
use vuicc_tests::peer;
use vuicc_tests::process::run;
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::vuicc::{Card, command};

/// A subscriber with something to be read.
fn anna() -> Subscriber {
    let mut anna = subscriber(1);
    anna.spn = Some("Blue".into());
    anna.msisdn = Some("+15551234567".into());
    anna.smsc = Some("+15550000000".into());
    (anna.codes.pin1, anna.codes.pin1_enabled) = (Code::new("0000"), true);
    anna
}

/// A UICC and an eUICC, of the same subscriber.
fn both_cards(folder: &Path) -> [Card; 2] {
    let package = package(folder, &anna());
    let image = folder.join("uicc.img");
    let mut new = command(folder, ["card", "new", "--type", "uicc", "--profile"]);
    let _ = run(new.arg(&package).arg(&image)).success();
    [Card::of_image(folder, &image), Card::new(folder, &[&package])]
}

/// gnokii, with its configuration and what it remembers in a folder.
struct Gnokii {
    program: PathBuf,
    folder: PathBuf,
}

impl Gnokii {
    fn new(program: PathBuf, folder: &Path) -> Self {
        let configuration = format!("[global]\nmodel = APDU\nconnection = libpcsclite\nport = {}\n", Reader::FIRST);
        fs::write(folder.join("gnokiirc"), configuration).unwrap();
        Self { program, folder: folder.to_owned() }
    }

    /// What it prints with these options, and `input` where it asks.
    fn says(&self, options: &[&str], input: &str) -> String {
        let asked = self.folder.join("input");
        fs::write(&asked, input).unwrap();
        let mut gnokii = Command::new("sh");
        // It reads from its standard input.
        gnokii.args(["-c", "file=$1; shift; exec \"$@\" < \"$file\"", "sh"]).arg(&asked);
        gnokii.arg(&self.program).arg("--config").arg(self.folder.join("gnokiirc")).args(options);
        gnokii.env("HOME", &self.folder).env("XDG_CONFIG_HOME", &self.folder).env("LC_ALL", "C");
        let finished = run(&mut gnokii);
        finished.stdout + &finished.stderr
    }
}

#[test]
fn gnokii_reads() {
    let Some(gnokii) = peer::debian("gnokii", "gnokii-cli") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let gnokii = Gnokii::new(gnokii.clone(), folder.path());
        for card in both_cards(folder.path()) {
            let _inserted = card.insert(reader, 0);
            let says = |options: &[&str], input: &str, wanted: &str| {
                let said = gnokii.says(options, input);
                assert!(said.contains(wanted), "{options:?}: {said}");
            };
            says(&["--getphonebook", "ON", "1"], "", "PIN or PUK code required");
            says(&["--entersecuritycode", "PIN"], "0000\n", "Code ok");
            says(&["--identify"], "", "Phase 2+ SIM");
            says(&["--identify"], "", "Blue");
            says(&["--getphonebook", "ON", "1"], "", "Number: +15551234567");
            says(&["--getsmsc", "1"], "", "SMS center number is +15550000000");
            says(&["--showsmsfolderstatus"], "", "SIM card");
            let phonebook = gnokii.says(&["--getphonebook", "SM", "1"], "");
            assert!(!phonebook.contains("Invalid type of memory"), "the phonebook is there: {phonebook}");
        }
    });
}

/// Its console, and its script for SIMs: it verifies CHV1, and reads what it knows of each directory.
#[test]
fn cardpeek_walks_the_files() {
    let Some(cardpeek) = peer::debian("cardpeek", "cardpeek") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        // The first start only makes its files, and asks for ever when there is nobody to answer.
        let walk = |script: &str, directory: &str, input: &str| {
            let line =
                "cd \"$1\" && printf \"$5\" | timeout 60 \"$2\" -c -r \"pcsc://$3\" -e \"$4\" 2>&1 | head -c 200000";
            let mut cardpeek_run = Command::new("sh");
            cardpeek_run.args(["-c", line, "sh"]).arg(folder.path().join(directory)).arg(&cardpeek);
            run(cardpeek_run.args([Reader::FIRST, script, input]).env("HOME", folder.path())).stdout
        };
        fs::create_dir(folder.path().join(".cardpeek")).unwrap();
        walk("os.exit(0)", "", "1\\n1\\n");
        for card in both_cards(folder.path()) {
            let _inserted = card.insert(reader, 0);
            let said = walk("dofile('gsm (beta).lua') os.exit(0)", ".cardpeek/scripts", "\\n\\n");
            let answers: Vec<&str> = said
                .lines()
                .filter_map(|line| Some(line.split_once("Recv: ")?.1))
                .filter_map(|line| line.get(..4))
                .collect();
            let count = |wanted: &str| answers.iter().filter(|sw| sw.starts_with(wanted)).count();
            assert!(said.contains("080910100000000010"), "the IMSI: {said}");
            assert!(count("9000") > 100 && count("9F") > 25, "{said}");
            // What is not there is not found, and nothing else goes wrong.
            assert_eq!(count("9000") + count("9F") + count("9404"), answers.len(), "{said}");
        }
    });
}

/// The test in pySim's sources: its script, its harness and its expectations; the card that it wants, found by answer to reset and
/// ICCID in class A0.
#[test]
fn access_rules_as_pysim_tests_them() {
    let Some(pysim) = PySim::find() else { return };
    let sources = pysim.sources().to_owned();
    let suite = sources.join("tests/pySim-shell_test");
    if !suite.join("ara_m/test.py").exists() {
        return peer::skip_fetched("access_rules_as_pysim_tests_them", "this pySim has no test of ARA-M");
    }
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let rig = folder.path().join("rig");
        let tests = rig.join("tests/pySim-shell_test");
        fs::create_dir_all(tests.join("ara_m")).unwrap();
        for name in ["pySim-shell.py", "pySim"] {
            symlink(sources.join(name), rig.join(name)).unwrap();
        }
        for entry in fs::read_dir(suite.join("ara_m")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), tests.join("ara_m").join(entry.file_name())).unwrap();
            }
        }
        for name in ["utils.py", "card_data.csv", "__init__.py"] {
            fs::copy(suite.join(name), tests.join(name)).unwrap();
        }
        // One of the four cards of their rig is enough for this test; ours has another answer to reset of that type.
        let card = "cards:\n - name : \"sysmoISIM-SJA5-S17\"\n   atr : \"3B9F96801F878031E073FE211B674A357530350251CC\"\n   iccid : \"8949440000001155314\"\n";
        fs::write(
            tests.join("config.yaml"),
            format!("regenerate: False\nkeepfiles: False\nprint_content: True\n{card}"),
        )
        .unwrap();
        let mut like = anna();
        (like.iccid, like.codes.pin1_enabled) = ("8949440000001155314".into(), false);
        let image = folder.path().join("sja5.img");
        let mut new =
            command(folder.path(), ["card", "new", "--type", "uicc", "--like", "sysmoISIM-SJA5", "--profile"]);
        let _ = run(new.arg(package(folder.path(), &like)).arg(&image)).success();
        let _inserted = Card::of_image(folder.path(), &image).insert(reader, 0);
        let mut unittest = pysim.program("");
        let python = PathBuf::from(unittest.get_program());
        unittest = Command::new(&python);
        let path = std::env::var("PATH").unwrap_or_default();
        // pySim-shell is started by its name, and finds its interpreter so.
        unittest.env("PATH", format!("{}:{path}", python.parent().unwrap().display()));
        unittest.current_dir(&tests).args(["-m", "unittest", "-v", "ara_m.test"]);
        let search = format!("{}:{}", tests.display(), sources.display());
        unittest.env("PYTHONPATH", search).env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", folder.path());
        let finished = run(&mut unittest).success();
        assert!(finished.stderr.contains("OK"), "{}{}", finished.stdout, finished.stderr);
    });
}
