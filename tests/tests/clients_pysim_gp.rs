//! pySim's shell as the issuer of a card: it opens secure channels, puts and deletes keys, lists the registry and stores data, on a
//! UICC, in a profile, and with an ISD-R that has keys; and its own tests of that, unmodified.
//!
//! pySim is no Debian package: `PYSIM` names a checkout of it and `PYSIM_PYTHON` an interpreter that has what it needs;
//! without them these tests are skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use vuicc_tests::process::run;
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::vuicc::{Card, command};

const SUBSCRIBER: &str = "iccid = \"8988211000000000011\"\nimsi = \"001010000000001\"\n\
    key = \"000102030405060708090a0b0c0d0e0f\"\nopc = \"101112131415161718191a1b1c1d1e1f\"\n";
/// The key of test cards, three times.
const TEST_KEY: &str = "404142434445464748494a4b4c4d4e4f";

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

impl Desk<'_> {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A card made with these arguments.
    fn card(&self, name: &str, arguments: &[&str]) -> Card {
        let image = self.folder.join(format!("{name}.img"));
        let _ = run(command(self.folder, ["card", "new"]).args(arguments).arg(&image)).success();
        Card::of_image(self.folder, &image)
    }

    /// What the shell says to commands, from a cold card; none of them fails.
    fn shell(&self, commands: &[&str]) -> String {
        let mut shell = self.pysim.program_at_reader("pySim-shell.py", self.folder);
        shell.args(["--noprompt"]);
        for command in commands {
            shell.args(["-e", command]);
        }
        let finished = run(&mut shell).success();
        let text = finished.stdout + &finished.stderr;
        assert!(
            ["Traceback", "EXCEPTION", "SwMatchError", "ValueError"].iter().all(|word| !text.contains(word)),
            "{commands:?}: {text}"
        );
        text
    }
}

/// `establish_scp02` or `establish_scp03` with the same key three times.
fn establish(protocol: &str, version: u8, key: &str, level: u8) -> String {
    format!(
        "establish_{protocol} --key-ver {version} --key-enc {key} --key-mac {key} --key-dek {key} --security-level {level}"
    )
}

fn put_key(old: u8, version: u8, key_type: &str, key: &str) -> String {
    let one = format!(" --key-type {key_type} --key-data {key}");
    format!("put_key --old-key-version-nr {old} --key-version-nr {version} --key-id 1{}", one.repeat(3))
}

#[test]
fn a_uicc_is_administered_with_both_protocols() {
    with_pysim(|desk| {
        let subscriber = desk.file("one.toml", SUBSCRIBER);
        let card = desk.card("uicc", &["--type", "uicc", "--subscriber", subscriber.to_str().unwrap()]);
        let _card = card.insert(desk.reader, 0);
        let long = "11".repeat(32);
        let (replaced, des) = ("22".repeat(16), "0123456789abcdeffedcba9876543210".to_owned());
        for (protocol, version, level) in
            [("scp02", 32, 1), ("scp02", 32, 3), ("scp03", 48, 1), ("scp03", 48, 3), ("scp03", 48, 0x33)]
        {
            let said = desk.shell(&[
                "select ADF.ISD",
                &establish(protocol, version, TEST_KEY, level),
                "get_data issuer_identification_number",
                "get_data key_information",
                "get_status isd",
                "get_status applications",
                "get_status files_and_modules",
                "store_data --data-structure ber_tlv 4204cafebabe",
                "release_scp",
            ]);
            assert!(said.contains("Successfully established"), "{said}");
            assert!(
                said.contains("a0000000871002ffffffff8907010000") && said.contains("\"card_lock\": true"),
                "{said}"
            );
        }
        // Keys of all lengths come, are used, replaced and go.
        let said = desk.shell(&[
            "select ADF.ISD",
            &establish("scp03", 48, TEST_KEY, 0x33),
            &put_key(0, 0x31, "aes", &long),
            &put_key(0, 0x32, "aes", "333333333333333333333333333333333333333333333333"),
            &put_key(0, 0x21, "des", &des),
            "release_scp",
            &establish("scp03", 0x31, &long, 0x13),
            &put_key(0x30, 0x30, "aes", &replaced),
            "release_scp",
            &establish("scp02", 0x21, &des, 3),
            "delete_key --key-ver 49",
            "release_scp",
            &establish("scp03", 48, &replaced, 3),
            "delete_key --key-ver 33",
            "get_data key_information",
        ]);
        assert_eq!(said.matches("Successfully established").count(), 4, "{said}");
        let said = desk.shell(&["select ADF.ISD", "get_data key_information", "get_data issuer_identification_number"]);
        assert!(said.contains("\"key_version_number\": 50") && said.contains("cafebabe"), "{said}");
        assert!(!said.contains("\"key_version_number\": 49") && !said.contains("\"key_version_number\": 33"), "{said}");
        // A supplementary security domain comes, is locked, and goes.
        let said = desk.shell(&[
            "select ADF.ISD",
            // Without an R-MAC: pySim does not fetch one after a command from which it expects no data.
            &establish("scp03", 48, &replaced, 3),
            "install_for_install --load-file-aid a0000001515350 --module-aid a000000151535041 \
             --application-aid a00000015153504101 --privilege security_domain --make-selectable",
            "get_status applications --aid a00000015153504101",
            "set_status app_or_ssd locked --aid a00000015153504101",
            "get_status applications --aid a00000015153504101",
            "delete_card_content a00000015153504101",
        ]);
        assert!(said.contains("\"selectable\"") && said.contains("a00000015153504101"), "{said}");
    });
}

#[test]
fn a_profile_has_the_keys_that_its_description_names() {
    with_pysim(|desk| {
        let keys = "[gp]\n[[gp.keys]]\nversion = 0x70\nprotocol = \"scp02\"\nenc = \"00112233445566778899aabbccddeeff\"\n\
            mac = \"00112233445566778899aabbccddeeff\"\ndek = \"00112233445566778899aabbccddeeff\"\n";
        let subscriber = desk.file("two.toml", &format!("{SUBSCRIBER}{keys}"));
        let card = desk.card("profile", &["--subscriber", subscriber.to_str().unwrap()]);
        let _card = card.insert(desk.reader, 0);
        let said = desk.shell(&[
            "select ADF.ISD",
            &establish("scp02", 0x70, "00112233445566778899aabbccddeeff", 3),
            "get_data issuer_identification_number",
            "get_status isd",
        ]);
        assert!(said.contains("Successfully established") && said.contains("89882110"), "{said}");
    });
}

/// The tests of secure channels and GlobalPlatform that pySim has for its own cards, as they are, on cards of ours with the
/// keys that they know.
#[test]
fn its_own_scripts_run_unmodified() {
    with_pysim(|desk| {
        let of = |name: &str| {
            let table = fs::read_to_string(desk.pysim.sources().join("tests/pySim-shell_test/card_data.csv")).unwrap();
            let mut lines = table.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
            let head = lines.next().unwrap();
            let row = lines.find(|row| row.contains(&name.to_owned())).unwrap();
            move |column: &str| row.get(head.iter().position(|known| known == column).unwrap()).unwrap().clone()
        };
        let sets = |version: u8, protocol: &str, own: &dyn Fn(&str) -> String, place: &str| {
            let name = protocol.to_uppercase();
            let key = |part: &str| own(&format!("{name}_{part}_1"));
            format!(
                "[[{place}]]\nversion = {version}\nprotocol = \"{protocol}\"\nenc = \"{}\"\nmac = \"{}\"\ndek = \"{}\"\n",
                key("ENC"),
                key("MAC"),
                key("DEK")
            )
        };
        let scripts = |card: &Card, names: &[&str], own: &dyn Fn(&str) -> String, protocol: &str| {
            let _card = card.insert(desk.reader, 0);
            let tests = desk.pysim.sources().join("tests/pySim-shell_test");
            for name in names {
                let mut script = fs::read_to_string(tests.join(name)).unwrap();
                for part in ["ENC", "MAC", "DEK"] {
                    let key = own(&format!("{}_{part}_1", protocol.to_uppercase()));
                    script = script.replace(&format!("$KEY_{part}"), &key);
                }
                // What a template has where a level stands, and for a dollar.
                for level in ["1", "3"] {
                    let script = script.replace("$SEC_LEVEL", level).replace("$$", "$");
                    let script = desk.file("test.script", &script);
                    let mut shell = desk.pysim.program_at_reader("pySim-shell.py", desk.folder);
                    shell.current_dir(desk.folder).args(["--noprompt", "--csv"]).arg(tests.join("card_data.csv"));
                    shell.arg("--script").arg(script);
                    let finished = run(&mut shell).success();
                    let text = finished.stdout + &finished.stderr;
                    assert!(
                        ["Traceback", "EXCEPTION", "SwMatchError", "ValueError"]
                            .iter()
                            .all(|word| !text.contains(word)),
                        "{name}: {text}"
                    );
                    assert!(text.contains("Successfully established"), "{name}: {text}");
                }
            }
        };
        let iccid = "8988211000000467343";
        let own = of(iccid);
        let keys = format!("[gp]\nscp02_option = 0x55\n{}", sets(112, "scp02", &own, "gp.keys"));
        let subscriber = desk.file("uicc.toml", &format!("{}{keys}", SUBSCRIBER.replace("8988211000000000011", iccid)));
        let card = desk.card("like", &["--type", "uicc", "--subscriber", subscriber.to_str().unwrap()]);
        let names =
            ["gp/test_est_scp02_csv.script", "gp/test_est_scp02_direct.template", "apdu/test_apdu_scp02.template"];
        scripts(&card, &names, &own, "scp02");
        let own = of("89049044900000000000000000102355");
        let description = desk.file("isd_r.toml", &sets(50, "scp03", &own, "isd_r.keys"));
        let card = desk.card("isd_r", &["--like", description.to_str().unwrap()]);
        let names = ["gp/test_est_scp03_direct.template"];
        scripts(&card, &names, &own, "scp03");
    });
}
