//! `pySim-shell` reads every file of a UICC and of a profile made from one description, and find the same; services
//! and files agree by pySim's own check.
//!
//! pySim is no Debian package: `PYSIM` names a checkout of it and `PYSIM_PYTHON` an interpreter that has what it needs;
//! without them these tests are skipped.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use vuicc_tests::process::run;
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::vuicc::{Card, command};

/// What every description here has.
const NUMBERS: &str = r#"
iccid = "8988211000000000011"
imsi = "001010000000001"
key = "465b5ce8b199b49faa5f0a2ee238a6bc"
opc = "cd63cb71954a9f4e48a5994e37a02baf"
msisdn = "+15551234567"
smsc = "+15550000000"
languages = ["en", "de"]
"#;

/// As much as a description can say.
const MUCH: &str = r#"
spn = "МТС Связь"
ehplmns = ["00102"]
user_plmns = ["00103", "310410"]
operator_plmns = ["00104"]
emergency_numbers = ["112", { number = "913", name = "Police", services = ["police"] }]
phonebook_entries = 5

[[phonebook]]
name = "Anna"
number = "+15557654321123456789012345"
other_number = "*21#"
second_name = "Анна"
email = "anna@example.org"
group = "Family"

[[phonebook]]
name = { text = "Берта", coding = "82" }
number = "15551112222"
group = "Family"

[usim]
spn_coding = "81"
spdi = ["00105"]
gid1 = "A1"
gid2 = "B2C3"
fdn = [{ name = "Office", number = "+15557654321" }, { name = "Far", number = "123456789012345678901234" }]
sdn = [{ name = "Help", number = "611" }]
cell_broadcast = { messages = [50], ranges = [[4352, 4359]], download = [4096] }
charge = { maximum = 1000, currency = "EUR", unit_price = "0.05" }
warnings_ignored = ["visited"]
access_identities = ["mps", "mcs"]
access_classes = [12]
search_period = 30
forbidden_plmns = ["00199"]
home_first = true
hidden_key = "1234"
ecall = { test = "123", reconfiguration = "345" }
services = [6, 7, 8, 9, 14, 24, 25, 36, 37, 59, 60, 61, 62, 63, 66, 73, 81, 82, 83, 84, 88, 127]

[[usim.pnn]]
full = "Example Telecom"
short = { text = "Пример", coding = "80" }
country_initials = true

[[usim.opl]]
plmn = "0010d"
name = 1

[usim.mailbox]
voice = { name = "Mailbox", number = "+15550001000" }

[usim.files]
"EF.GBABP" = true
"DF.MCS" = true
"EF.NASCONFIG" = "800101"
"EF.FromPreferred" = true

[ims]
pcscfs = ["pcscf.example.org"]
"#;

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
    fn card(&self, kind: &str, name: &str, description: &str) -> Card {
        let path = self.folder.join(format!("{name}.toml"));
        fs::write(&path, [NUMBERS, description].concat()).unwrap();
        let image = self.folder.join(format!("{name}-{kind}.img"));
        let mut new = command(self.folder, ["card", "new", "--type", kind]);
        let _ = run(new.arg("--subscriber").arg(&path).arg(&image)).success();
        Card::of_image(self.folder, &image)
    }

    fn pysim(&self, script: &str, arguments: &[&str]) -> String {
        let mut pysim = self.pysim.program_at_reader(script, self.folder);
        pysim.args(arguments);
        let finished = run(&mut pysim).success();
        let said = finished.stdout + &finished.stderr;
        assert!(!said.contains("Traceback") && !said.contains("EXCEPTION"), "{arguments:?}: {said}");
        said
    }

    /// Every file that is there, with what it holds, decoded.
    fn dump(&self) -> Value {
        let said = self.pysim(
            "pySim-shell.py",
            &["--noprompt", "-e", "verify_adm 88888888", "-e", "select MF", "-e", "fsdump --json"],
        );
        assert!(!said.contains("Stopping early"), "{said}");
        let begin = said.find("{\n    \"name\"").unwrap();
        let mut dump: Value = serde_json::Deserializer::from_str(&said[begin..]).into_iter().next().unwrap().unwrap();
        let files = dump["files"].as_object_mut().unwrap();
        for (path, file) in &mut *files {
            let sw = file["error"]["sw_actual"].as_str();
            assert!(matches!(sw, None | Some("6a82")), "{path}: {file}");
        }
        files.retain(|path, file| file["error"].is_null() && !is_of_an_euicc(path) && !is_of_a_sim(path));
        for file in files.values_mut() {
            // The identifier of an ADF is the profile's own affair, and a card's memory its own.
            let fcp = file["fcp"].as_object_mut().unwrap();
            fcp.remove("proprietary_information");
            file.as_object_mut().unwrap().remove("fcp_raw");
        }
        dump["files"].take()
    }
}

/// ISD-R and what else is not part of a profile.
fn is_of_an_euicc(path: &str) -> bool {
    ["ADF.ISD-R", "ADF.ECASD", "ADF.ISD", "ADF.ARA-M"].iter().any(|application| path.contains(application))
}

/// Files that a profile shows to terminals of class A0 alone.
fn is_of_a_sim(path: &str) -> bool {
    path.starts_with("MF/DF.GSM") || path.starts_with("MF/DF.TELECOM")
}

#[test]
fn uicc_and_profile_read_the_same_and_agree_with_their_service_tables() {
    with_pysim(|desk| {
        for (name, description) in [("little", "spn = \"vuicc\"\n"), ("much", MUCH)] {
            let dumps = ["uicc", "euicc"].map(|kind| {
                let card = desk.card(kind, name, description);
                let inserted = card.insert(desk.reader, 0);
                let checked = desk.pysim(
                    "pySim-shell.py",
                    &["--noprompt", "-e", "select ADF.USIM/EF.UST", "-e", "ust_service_check"],
                );
                // It takes services of EF.5G_PROSE_ST for those of EF.UST that have the same number.
                let errors: Vec<_> = checked.lines().filter(|line| line.contains("ERROR")).collect();
                assert!(errors.iter().all(|line| line.contains("EF.5G_PROSE_")), "{name} {kind}: {errors:#?}");
                assert!(checked.contains("service / file inconsistencies detected"), "{name} {kind}: {checked}");
                let dump = desk.dump();
                inserted.stop();
                dump
            });
            let [uicc, profile] = dumps;
            let (of_uicc, of_profile) = (uicc.as_object().unwrap(), profile.as_object().unwrap());
            for (path, file) in of_uicc {
                assert_eq!(Some(file), of_profile.get(path), "{name}: {path}");
            }
            assert_eq!(of_uicc.len(), of_profile.len(), "{name}");
            assert!(of_uicc.len() >= if name == "much" { 100 } else { 65 }, "{name}: {} files", of_uicc.len());
            if name == "much" {
                check_names(&uicc);
            }
        }
    });
}

/// What was asked for, as pySim decodes it.
fn check_names(files: &Value) {
    let body = |path: &str| &files[format!("MF/{path}")]["body"];
    assert_eq!(body("ADF.USIM/EF.SPN")["spn"], json!("МТС Связь"));
    assert_eq!(body("ADF.USIM/EF.GID1")["raw"].as_str().and_then(|raw| raw.get(..2)), Some("a1"));
    let fdn = body("ADF.USIM/EF.FDN");
    assert_eq!(fdn[0]["alpha_id"], json!("Office"));
    assert_eq!(fdn[1]["dialing_nr"], json!("12345678901234567890"));
    assert_eq!(fdn[1]["ext2_record_id"], json!(1));
    let sdn = body("ADF.USIM/EF.SDN").as_array().unwrap();
    assert_eq!(
        sdn.iter().map(|entry| entry["dialing_nr"].as_str().unwrap()).collect::<Vec<_>>(),
        ["611", "123", "345"]
    );
    assert_eq!(body("ADF.USIM/EF.UAC_AIC"), &Value::Null, "it is in DF.5GS");
    assert_eq!(body("ADF.USIM/DF.5GS/EF.UAC_AIC")["uac_access_id_config"]["mission_critical_service"], json!(true));
    assert_eq!(body("ADF.USIM/EF.CBMIR")[0][0], json!({ "lower": 4352, "upper": 4359 }));
    assert_eq!(body("ADF.USIM/EF.ECC")[1]["call_code"], json!("913"));
    assert_eq!(body("ADF.USIM/EF.MBI")[0]["mbi_voicemail"], json!(1));
    assert_eq!(body("ADF.USIM/EF.OPL")[0]["pnn_record_id"], json!(1));
}
