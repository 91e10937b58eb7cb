//! File administration by pySim: its own test directory `file_admin`, unmodified, and the commands of its shell, through a real
//! pcscd; on a removable UICC and in a profile of an eUICC. What counts is what is in the card's memory afterwards.
//!
//! pySim is no Debian package: `PYSIM` names a checkout of it and `PYSIM_PYTHON` an interpreter that has what it needs;
//! without them these tests are skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use card_os::DomainView;
use card_os::fs::{FileId, FileKind, LifeCycle, Structure};
use vuicc_tests::process::run;
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, command};

const ADM: &str = "88888888";

struct Desk<'a> {
    folder: &'a Path,
    reader: &'a Reader,
    pysim: PySim,
}

fn with_pysim(test: impl FnOnce(&Desk<'_>)) {
    let Some(pysim) = PySim::find() else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        test(&Desk { folder: folder.path(), reader, pysim });
    });
}

/// A card, and how pySim's tests find it.
struct Subject {
    card: Card,
    key: &'static str,
    id: String,
}

impl Desk<'_> {
    /// A UICC and an eUICC with a profile.
    fn subjects(&self) -> [Subject; 2] {
        let profile = package(self.folder, &subscriber(1));
        let image = self.folder.join("uicc.img");
        // Its tests find a UICC by class A0.
        let new = ["card", "new", "--type", "uicc", "--like", "sysmoISIM-SJA5"];
        let _ = run(command(self.folder, new).arg("--profile").arg(&profile).arg(&image)).success();
        let euicc = Card::new(self.folder, &[&profile]);
        let eid = euicc.eid().to_owned();
        [
            Subject { card: Card::of_image(self.folder, &image), key: "iccid", id: iccid(1) },
            Subject { card: euicc, key: "eid", id: eid },
        ]
    }

    /// A copy of pySim that knows this card.
    fn suite(&self, subject: &Subject) -> PathBuf {
        let copy = self.folder.join(format!("pysim-{}", subject.key));
        let _ = run(Command::new("cp").arg("-r").arg(self.pysim.sources()).arg(&copy)).success();
        let atr = card::inspect::image(subject.card.image()).unwrap().atr;
        let Subject { key, id, .. } = subject;
        let tests = copy.join("tests/pySim-shell_test");
        let config = format!(
            "regenerate: False\nkeepfiles: False\nprint_content: True\ncards:\n - name: sysmoISIM-SJA5-S17\n   \
             atr: \"{atr}\"\n   {key}: \"{id}\"\n"
        );
        fs::write(tests.join("config.yaml"), config).unwrap();
        fs::write(tests.join("card_data.csv"), format!("{key},adm1\n{id},{ADM}\n")).unwrap();
        copy
    }

    /// Lets the shell carry out commands as the administrator, and returns what it said.
    fn shell(&self, commands: &[&str]) -> String {
        let mut shell = self.pysim.program_at_reader("pySim-shell.py", self.folder);
        shell.args(["--noprompt", "--pin-adm", ADM]);
        for command in commands {
            shell.args(["-e", command]);
        }
        let finished = run(&mut shell).success();
        finished.stdout + &finished.stderr
    }
}

/// The files that the channels of a card see, as they are in its memory.
fn files(card: &Card) -> DomainView {
    let (_, memory) = card::image::read(card.image()).unwrap();
    // Those of a UICC are the platform's, which is the first domain.
    let mut domains = DomainView::all(&memory);
    domains.swap_remove(domains.iter().position(|domain| domain.active).unwrap_or_default())
}

#[test]
fn the_test_directory_passes() {
    with_pysim(|desk| {
        for subject in desk.subjects() {
            let suite = desk.suite(&subject);
            let before = files(&subject.card);
            let inserted = subject.card.insert(desk.reader, 0);
            let mut tests = Command::new(desk.pysim.python());
            tests.current_dir(&suite).args(["-m", "unittest", "-v", "tests/pySim-shell_test/file_admin/test.py"]);
            let paths = format!("{}:{}", suite.display(), suite.join("tests/pySim-shell_test").display());
            // It starts the shell as a program that finds its interpreter itself.
            let interpreter = desk.pysim.python().parent().unwrap().display().to_string();
            let path = format!("{interpreter}:{}", std::env::var("PATH").unwrap_or_default());
            tests.env("PYTHONPATH", paths).env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
            tests.env("HOME", desk.folder);
            let finished = run(&mut tests).success();
            assert!(finished.stderr.contains("Ran 4 tests") && finished.stderr.contains("\nOK"), "{}", finished.stderr);
            drop(inserted);
            let after = files(&subject.card);
            assert_eq!(after.tree.numbers(), before.tree.numbers(), "all that was created was deleted");
            let contents = |domain: &DomainView| -> Vec<Option<Vec<u8>>> {
                domain.tree.numbers().into_iter().map(|number| domain.content(number).map(<[u8]>::to_vec)).collect()
            };
            assert_eq!(contents(&after), contents(&before), "EF.ARR is as before");
        }
    });
}

/// Each command of the shell, and what is in memory then.
#[test]
fn commands_of_the_shell_leave_what_they_say() {
    const RULE: &str = "update_record 1 800101a40683010a9501088001069000800178a40683010a9501088401d4a40683010a950108";
    with_pysim(|desk| {
        for Subject { card, key, .. } in desk.subjects() {
            let inserted = card.insert(desk.reader, 0);
            let said = desk.shell(&[
                "select EF.ARR",
                RULE,
                "select MF",
                "create_df --ef-arr-file-id 2f06 --ef-arr-record-nr 14 --total-file-size 300 --shareable 5f30",
                "select 5f30",
                "create_ef --ef-arr-file-id 2f06 --ef-arr-record-nr 1 --file-size 23 --structure transparent 4f01",
                "create_ef --ef-arr-file-id 2f06 --ef-arr-record-nr 1 --file-size 40 --structure linear_fixed \
                 --record-length 10 --short-file-id 02 --shareable 4f02",
                "create_ef --ef-arr-file-id 2f06 --ef-arr-record-nr 1 --file-size 23 --structure transparent 4f03",
                // The shell knows a file once it has selected it.
                "select 4f01",
                "select 5f30",
                "resize_ef --file-size 42 4f01",
                "select 4f02",
                "select 5f30",
                "resize_ef --file-size 20 4f02",
                "create_ef --ef-arr-file-id 2f06 --ef-arr-record-nr 1 --file-size 300 --structure transparent 4f04",
                "select 4f03",
                "select 5f30",
                "terminate_ef --force 4f03",
                "select MF",
                "create_df --ef-arr-file-id 2f06 --ef-arr-record-nr 14 --aid a0000000990102 7fd9",
                // Its suspend_uicc asks for no answer, and fetches none under T=0.
                "apdu 8076000004000a02010a",
            ]);
            assert!(said.contains("got 6a84"), "300 bytes are more than is left of 300: {said}");
            assert_eq!(said.matches("SwMatchError").count(), 1, "{said}");
            assert!(said.contains("SW: 9000, RESP: 0201"), "an hour, and a token: {said}");
            drop(inserted);
            let domain = files(&card);
            let file = |path: &[u16]| {
                let path: Vec<FileId> = path.iter().copied().map(FileId).collect();
                domain.tree.by_path(&path).map(|number| (number, domain.tree.get(number).unwrap()))
            };
            let (_, df) = file(&[0x5F30]).unwrap();
            assert_eq!((df.kind, df.total_size, df.shareable), (FileKind::Df, Some(300), true), "{key}");
            let (number, transparent) = file(&[0x5F30, 0x4F01]).unwrap();
            assert_eq!(transparent.kind, FileKind::Ef(Structure::Transparent { size: 42 }));
            assert_eq!(domain.content(number), Some(&[0xFF; 42][..]));
            let (_, records) = file(&[0x5F30, 0x4F02]).unwrap();
            assert_eq!(records.kind, FileKind::Ef(Structure::LinearFixed { record_length: 10, records: 2 }));
            assert_eq!((records.sfi, records.shareable), (Some(2), true));
            let (_, terminated) = file(&[0x5F30, 0x4F03]).unwrap();
            assert_eq!(terminated.life_cycle, LifeCycle::TERMINATED);
            assert!(file(&[0x5F30, 0x4F04]).is_none(), "there was no memory for it");
            assert!(file(&[0x7FD9]).is_some());
            assert!(
                domain.applications.iter().any(|application| *application.record.aid == [0xA0, 0, 0, 0, 0x99, 1, 2])
            );
            let inserted = card.insert(desk.reader, 0);
            let said = desk.shell(&[
                "select 5f30",
                "select MF",
                "delete_file --force-delete 5f30",
                "apdu --expect-sw 9000 00e40000027fd9",
            ]);
            assert!(!said.contains("SwMatchError"), "{said}");
            drop(inserted);
            let domain = files(&card);
            assert!([0x5F30, 0x7FD9].iter().all(|fid| domain.tree.by_path(&[FileId(*fid)]).is_none()));
            assert!(
                domain.applications.iter().all(|application| *application.record.aid != [0xA0, 0, 0, 0, 0x99, 1, 2])
            );
        }
    });
}
