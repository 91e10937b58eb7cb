//! osmo-smdpp, an SM-DP+ nobody here wrote: our LPA and our card download from it, over TLS and with the PKI of SGP.26.
//!
//! It comes with pySim, which is no Debian package: `PYSIM` names a checkout of it and `PYSIM_PYTHON` an interpreter
//! that has what it needs; without them these tests are skipped.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use saip::builder::{Key, OtaKeys, Subscriber};
use serde_json::{Value, json};
use tempfile::TempDir;
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::pysim::PySim;
use vuicc_tests::reader::beside_private_reader;
use vuicc_tests::sgp26;
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, command, json_lines};

/// What it calls itself, whatever it is told.
const NAME: &str = "testsmdpplus1.example.com";
/// In the test's own network every port is free; it knows addresses without a port alone.
const ADDRESS: &str = "127.0.0.1:443";
/// A profile of ours in its stock.
const OURS: &str = "OURS-1";
/// One of its own.
const THEIRS: &str = "TS48V2-SAIP2-3-BERTLV-UNIQUE";

/// Install, enable, disable, delete; each is told to the server.
#[test]
fn a_profile_lives() {
    with_osmo_smdpp(|desk| {
        let installed = desk.download(OURS);
        assert_eq!(installed.code(), Some(0), "{installed:#?}\n{}", desk.server.log());
        let ours = iccid(1);
        assert!(installed.stdout.contains(&ours), "{installed:#?}");
        for step in ["enable", "disable", "delete"] {
            drop(run(desk.lpa(&["profile", step]).arg(&ours)).success());
        }
        let processed = run(&mut desk.lpa(&["notification", "process"])).success();
        let told = json_lines(&processed);
        let told: Vec<_> = told.iter().filter(|line| line["outcome"] == "delivered").collect();
        assert!(!told.is_empty(), "it takes notifications of enabling, disabling and deletion: {processed:#?}");
        assert_eq!(json_lines(&run(&mut desk.lpa(&["notification", "list"])).success()), Vec::<Value>::new());
        // The installation's was delivered with the download.
        let log = desk.server.log();
        assert_eq!(log.matches("handleNotification HTTP/1.1\" 204").count(), 4, "{log}");
    });
}

/// Its own packages, made by other people's tools.
#[test]
fn its_own_profile_installs() {
    with_osmo_smdpp(|desk| {
        drop(desk.download(THEIRS).success());
        let profiles = json_lines(&run(&mut desk.lpa(&["profile", "list"])).success());
        assert_eq!(profiles[0]["provider"], json!("OsmocomSPN"), "{profiles:#?}");
    });
}

/// What it refuses is said with its own codes, and nothing stays on the card.
#[test]
fn an_unknown_order_is_refused_in_words() {
    with_osmo_smdpp(|desk| {
        let refused = desk.download("NOBODY-ORDERED-THIS");
        assert_ne!(refused.code(), Some(0));
        assert!(refused.stderr.contains("8.2.6") && refused.stderr.contains("3.8"), "{refused:#?}");
        assert_eq!(json_lines(&run(&mut desk.lpa(&["profile", "list"])).success()), Vec::<Value>::new());
    });
}

/// A card in the reader, and osmo-smdpp.
struct Desk {
    folder: TempDir,
    server: Process,
    _card: Process,
}

impl Desk {
    fn lpa(&self, arguments: &[&str]) -> Command {
        let mut lpa = command(&self.folder.path().join("state"), ["--json", "lpa"]);
        lpa.args(arguments).args(["--connect", &format!("{NAME}={ADDRESS}")]);
        lpa
    }

    fn download(&self, matching_id: &str) -> Finished {
        run(&mut self.lpa(&["profile", "download", "--yes", &format!("LPA:1${NAME}${matching_id}")]))
    }
}

fn with_osmo_smdpp(test: impl FnOnce(&Desk)) {
    let Some(pysim) = PySim::find() else { return };
    let Some(folder) = Some(tempfile::tempdir().unwrap()).filter(|folder| sgp26::install(folder.path()).is_some())
    else {
        return;
    };
    beside_private_reader(|reader| {
        let card = Card::new(folder.path(), &[]);
        let inserted = card.insert(reader, 0);
        let server = serve(&pysim, folder.path());
        test(&Desk { folder, server, _card: inserted });
    });
}

/// A subscriber whose package it can read: pySim looks for keys in every security domain.
fn readable() -> Subscriber {
    let key = || Key::new(&[0x11; 16]);
    Subscriber { ota: Some(OtaKeys { version: 1, kic: key(), kid: key(), kik: key() }), ..subscriber(1) }
}

/// Starts it in a folder of its own: it keeps sessions there, and its TLS certificate has expired.
fn serve(pysim: &PySim, folder: &Path) -> Process {
    let (place, theirs) = (folder.join("osmo-smdpp"), pysim.sources().join("smdpp-data"));
    let data = place.join("smdpp-data");
    for part in ["certs/CertificateIssuer", "certs/DPauth", "certs/DPpb", "certs/DPtls", "upp"] {
        fs::create_dir_all(data.join(part)).unwrap();
        for file in fs::read_dir(theirs.join(part)).unwrap().flatten().filter(|file| file.path().is_file()) {
            fs::copy(file.path(), data.join(part).join(file.file_name())).unwrap();
        }
    }
    fs::copy(package(folder, &readable()), data.join("upp").join(OURS).with_extension("der")).unwrap();
    // Else it makes some itself, for a minute.
    let parameters = data.join("certs/dhparam2048.pem");
    let known = ["genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out"];
    drop(run(Command::new("openssl").args(known).arg(parameters)).success());
    let (_, pki) = sgp26::install(folder).unwrap();
    let tls = sgp26::tls_certificate(&pki, NAME);
    let at = data.join("certs/DPtls");
    fs::write(at.join("CERT_S_SM_DP_TLS_NIST.der"), tls.der()).unwrap();
    fs::write(at.join("CERT_S_SM_DP_TLS_NIST.pem"), tls.pem()).unwrap();
    fs::write(at.join("SK_S_SM_DP_TLS_NIST.pem"), tls.key_pem().unwrap().as_bytes()).unwrap();
    let mut program = pysim.program("osmo-smdpp.py");
    program.current_dir(&place).args(["--verbose", "--port", "443:interface=127.0.0.1"]);
    let mut server = Process::start(&mut program, folder);
    server.wait_until("osmo-smdpp to listen", |_| TcpStream::connect(ADDRESS).is_ok());
    server
}
