//! `pySim-prog` and `pySim-shell` write to our cards that are like programmable ones, unmodified; so does our own command; and each
//! finds what the other has written.
//!
//! pySim is no Debian package: `PYSIM` names a checkout of it and `PYSIM_PYTHON` an interpreter that has what it needs;
//! without them these tests are skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use card::programmable::TYPES;
use vuicc_tests::process::run;
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::vuicc::{Card, command, json_lines};

/// The ADM that pySim knows for one of the types, and gives all.
const ADM: &str = "84796153";
const OLD: &str = "8988211000000000011";
const NEW: &str = "8988211000000000029";
const K: &str = "00112233445566778899aabbccddeeff";
const OPC: &str = "ffeeddccbbaa99887766554433221100";

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
    fn card(&self, name: &str) -> Card {
        let old = self.subscriber("old", OLD, "001010000000001", &"01".repeat(16), &"02".repeat(16));
        let image = self.folder.join(format!("{name}.img"));
        let new = ["card", "new", "--type", "uicc", "--like", name, "--subscriber", &old];
        let _ = run(command(self.folder, new).arg(&image)).success();
        Card::of_image(self.folder, &image)
    }

    fn subscriber(&self, name: &str, iccid: &str, imsi: &str, key: &str, opc: &str) -> String {
        let path = self.folder.join(format!("{name}.toml"));
        let text = format!(
            "iccid = \"{iccid}\"\nimsi = \"{imsi}\"\nkey = \"{key}\"\nopc = \"{opc}\"\n[codes]\nadm1 = \"{ADM}\"\n[ims]\n"
        );
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn pysim(&self, script: &str, arguments: &[&str]) -> String {
        let mut pysim = self.pysim.program_at_reader(script, self.folder);
        pysim.args(arguments);
        let finished = run(&mut pysim).success();
        finished.stdout + &finished.stderr
    }

    /// Our command, at the reader.
    fn program(&self, subscriber: &str, more: &[&str]) -> serde_json::Value {
        let mut program =
            command(self.folder, ["--json", "card", "program", "--reader", "0", "--subscriber", subscriber]);
        program.args(more).env("VUICC_ADM", ADM);
        json_lines(&run(&mut program).success()).pop().unwrap()
    }
}

#[test]
fn each_writes_to_the_same_card_what_the_other_finds() {
    with_pysim(|desk| {
        for kind in TYPES {
            let card = desk.card(kind.name);
            let inserted = card.insert(desk.reader, 0);
            let said = desk.pysim(
                "pySim-prog.py",
                &[
                    "-t",
                    "auto",
                    "-a",
                    ADM,
                    "-n",
                    "Example",
                    "-x",
                    "001",
                    "-y",
                    "01",
                    "-i",
                    "001010000000077",
                    "-s",
                    NEW,
                    "-k",
                    K,
                    "-o",
                    OPC,
                    "--acc",
                    "0080",
                ],
            );
            assert!(said.contains(&format!("Autodetected card type: {}", kind.name)), "{said}");
            assert!(said.contains("Programming successful"), "{said}");
            // What it has written is what our command would: the proof is the card's own.
            let fixed = !programmer::named(kind.name).unwrap().iccid;
            let same = desk.subscriber("same", if fixed { OLD } else { NEW }, "001010000000077", K, OPC);
            let plan = desk.program(&same, &[]);
            let steps = plan["plan"].as_array().unwrap();
            let imsi = steps.iter().find(|step| step["what"] == "IMSI").unwrap();
            assert_eq!(imsi["state"], "same", "{}: {plan}", kind.name);
            // And the other way round.
            let ours = desk.subscriber("ours", if fixed { OLD } else { NEW }, "001010000000088", OPC, K);
            let written = desk.program(&ours, &["--yes"]);
            assert_eq!(written["proven"], kind.name != "Wavemobile-SIM", "{}: {written}", kind.name);
            let shell = ["--noprompt", "-e", "select ADF.USIM/EF.IMSI", "-e", "read_binary_decoded"];
            let read = desk.pysim("pySim-shell.py", &shell);
            assert!(read.contains("001010000000088"), "{}: {read}", kind.name);
            inserted.stop();
        }
    });
}

/// pySim-shell knows these files by name; what it has written is proven by the card before anything else is written.
#[test]
fn the_shell_writes_a_key_that_the_card_then_has() {
    with_pysim(|desk| {
        let card = desk.card("sysmoISIM-SJA5");
        let _inserted = card.insert(desk.reader, 0);
        let key = format!(
            "update_binary_decoded '{{\"cfg\": {{\"only_4bytes_res_in_3g\": false, \"sres_deriv_func_in_2g\": 1, \
             \"use_opc_instead_of_op\": true, \"algorithm\": \"milenage\"}}, \"key\": \"{K}\", \"op_opc\": \"{OPC}\"}}'"
        );
        let adm = format!("verify_adm {ADM}");
        let challenge = {
            use crypto::aka::{Aka, Sqn};
            let octets = |text: &str| <[u8; 16]>::try_from(hex::decode(text).unwrap()).unwrap();
            let rand = [0x23; 16];
            let vector = crypto::milenage::Milenage::new(&octets(K), &octets(OPC));
            let vector = vector.generate_vector(&rand, Sqn::new(1, 1), [0x80, 0]);
            (format!("authenticate {} {}", hex::encode(rand), hex::encode(&vector.autn)), hex::encode(&*vector.xres))
        };
        let shell = [
            "--noprompt",
            "-e",
            &adm,
            "-e",
            "select ADF.USIM/EF.USIM_AUTH_KEY",
            "-e",
            &key,
            "-e",
            "select ADF.USIM",
            "-e",
            &challenge.0,
        ];
        let said = desk.pysim("pySim-shell.py", &shell);
        assert!(said.contains(&challenge.1), "{said}");
    });
}
