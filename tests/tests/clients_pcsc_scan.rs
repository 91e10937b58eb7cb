//! `pcsc_scan` of Debian's `pcsc-tools`: watches the reader and takes the answer to reset apart.

use std::process::Command;

use vuicc_tests::process::{Process, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::{peer, vuicc};

#[test]
fn the_answer_to_reset_is_understood() {
    let Some(pcsc_scan) = peer::debian("pcsc_scan", "pcsc-tools") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = vuicc::Card::new(folder.path(), &[]);
        let _inserted = card.insert(reader, 0);
        // It looks for a list of known cards in the home folder, and fetches one where it can.
        let scan = |arguments: &[&str]| run(Command::new(&pcsc_scan).env("HOME", folder.path()).args(arguments)).stdout;

        let readers = scan(&["-r"]);
        assert!(readers.contains(Reader::FIRST) && readers.contains(Reader::SECOND), "{readers}");

        let found = scan(&["-t", "1"]);
        for said in ["Card inserted", "TS = 3B", "Protocol T = 0", "Protocol T = 15", "(correct checksum)"] {
            assert!(found.contains(said), "no `{said}` in:\n{found}");
        }
    });
}

#[test]
fn insertion_and_removal_are_noticed() {
    let Some(pcsc_scan) = peer::debian("pcsc_scan", "pcsc-tools") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = vuicc::Card::new(folder.path(), &[]);
        let mut scan = Command::new(pcsc_scan);
        let mut scan = Process::start(scan.arg("-n").env("HOME", folder.path()), folder.path());
        scan.wait_until("two empty slots", |scan| scan.log().matches("Card removed").count() == 2);
        let inserted = card.insert(reader, 1);
        scan.wait_until("a card in the second slot", |scan| {
            scan.log().split(Reader::SECOND).any(|part| part.contains("Card inserted"))
        });
        assert!(inserted.stop().success());
        scan.wait_until("an empty slot again", |scan| scan.log().matches("Card removed").count() > 2);
        let again = card.insert(reader, 1);
        scan.wait_until("the card again", |scan| scan.log().matches("Card inserted").count() == 2);
        assert!(again.stop().success());
    });
}
