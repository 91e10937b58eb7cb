//! `sim_reader test`, a suite in Go for UICCs in a PC/SC reader: USIM, ISIM, AUTHENTICATE, APDUs, refusals.
//!
//! It is no Debian package: `SIM_READER` names the program; without it this is skipped.

use std::fs;
use std::process::Command;

use serde_json::Value;
use vuicc_tests::peer;
use vuicc_tests::process::run;
use vuicc_tests::reader::beside_private_reader;
use vuicc_tests::vuicc::{Card, command};

const SUBSCRIBER: &str = "iccid = \"8988211000000000011\"\nimsi = \"001010000000001\"\n\
    key = \"000102030405060708090a0b0c0d0e0f\"\nopc = \"101112131415161718191a1b1c1d1e1f\"\n[codes]\nadm1 = \"34173960\"\n[ims]\n";
/// As many as it has.
const TESTS: u64 = 53;

#[test]
fn a_uicc_and_a_profile_pass_all_of_it() {
    let Some(sim_reader) = peer::named_by("SIM_READER", "sim_reader") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let subscriber = folder.path().join("subscriber.toml");
        fs::write(&subscriber, SUBSCRIBER).unwrap();
        for (name, option) in [("uicc", &["--type", "uicc", "--subscriber"][..]), ("profile", &["--profile"])] {
            let image = folder.path().join(format!("{name}.img"));
            let mut new = command(folder.path(), ["card", "new"]);
            let _ = run(new.args(option).arg(&subscriber).arg(&image)).success();
            let inserted = Card::of_image(folder.path(), &image).insert(reader, 0);
            let report = folder.path().join(name);
            let mut suite = Command::new(&sim_reader);
            suite.args(["test", "-r", "0", "-a", "34173960", "-k", "000102030405060708090a0b0c0d0e0f"]);
            suite.args(["--opc", "101112131415161718191a1b1c1d1e1f", "-o"]).arg(&report);
            let said = run(&mut suite).success();
            let report: Value = serde_json::from_slice(&fs::read(report.with_extension("json")).unwrap()).unwrap();
            let count = |what: &str| report["summary"][what].as_u64();
            assert_eq!((count("total"), count("failed")), (Some(TESTS), Some(0)), "{name}: {}", said.stdout);
            inserted.stop();
        }
    });
}
