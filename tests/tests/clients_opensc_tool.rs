//! `opensc-tool` of Debian's `opensc`: sees the card, its answer to reset, and reads EF.ICCID APDU by APDU.

use std::process::Command;

use vuicc_tests::process::run;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::{peer, vuicc};

#[test]
fn the_card_is_seen_and_its_iccid_read() {
    let Some(opensc_tool) = peer::debian("opensc-tool", "opensc") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = vuicc::Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
        let _inserted = card.insert(reader, 0);
        let opensc_tool = |arguments: &[&str]| run(Command::new(&opensc_tool).args(arguments)).success().stdout;

        let readers = opensc_tool(&["--list-readers"]);
        let mut slots = readers.lines().filter(|line| line.contains("Virtual PCD"));
        assert!(slots.next().is_some_and(|line| line.contains("Yes") && line.contains(Reader::FIRST)), "{readers}");
        assert!(slots.next().is_some_and(|line| line.contains("No") && line.contains(Reader::SECOND)), "{readers}");

        let atr = opensc_tool(&["--reader", "0", "--atr"]);
        let atr = hex::decode(atr.trim().replace(':', "")).unwrap_or_else(|_| panic!("{atr}"));
        assert_eq!(atr.first(), Some(&0x3B));
        assert_eq!(atr.iter().skip(1).fold(0, |sum, byte| sum ^ byte), 0, "check byte of {atr:02X?}");

        let dialogue = opensc_tool(&[
            "--reader",
            "0",
            "--send-apdu",
            "00A40004023F00",
            "--send-apdu",
            "00A40004022FE2",
            "--send-apdu",
            "00B000000A",
        ]);
        assert_eq!(dialogue.matches("SW1=0x90, SW2=0x00").count(), 3, "{dialogue}");
        let iccid = dialogue.lines().last().unwrap_or_default();
        assert!(iccid.starts_with("98 "), "EF.ICCID begins with 89, nibbles swapped: {dialogue}");
    });
}
