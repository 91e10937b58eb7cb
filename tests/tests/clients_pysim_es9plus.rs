//! A foreign LPA with a foreign eUICC: pySim's ES9+ client downloads from our SM-DP+ and notifies it, with the eUICC that
//! SGP.26 publishes.
//!
//! `PYSIM` names a checkout of pySim and `PYSIM_PYTHON` an interpreter that has what it needs; without them, and without
//! the test vectors, these tests are skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;
use vuicc_tests::process::run;
use vuicc_tests::pysim::PySim;
use vuicc_tests::sgp26;
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::SmDp;

#[test]
fn a_download_and_what_follows_it() {
    let Some(desk) = Desk::new() else { return };
    let (package, iccid) = (package(desk.folder.path(), &subscriber(1)), iccid(1));
    let matching_id = desk.smdp.offer(&package, &[]);

    drop(run(desk.client().args(["download", "--matchingId", &matching_id])).success());
    // What it has decrypted is the package, octet for octet.
    let unprotected = desk.folder.path().join(format!("{iccid}.upp.der"));
    assert_eq!(fs::read(unprotected).unwrap(), fs::read(package).unwrap());
    assert_eq!(desk.smdp.state_of(&iccid), "Downloaded");

    for (number, event) in ["enable", "disable", "delete"].iter().enumerate() {
        let sequence = (number + 2).to_string();
        drop(run(desk.client().args(["notification", event, "--sequence-nr", &sequence, "--iccid", &iccid])).success());
    }
    let notifications = desk.smdp.notifications();
    let told: Vec<_> = notifications.iter().map(|entry| (&entry["event"], &entry["verified"])).collect();
    let verified = json!(true);
    let events = [json!("notificationEnable"), json!("notificationDisable"), json!("notificationDelete")];
    assert_eq!(told, events.iter().map(|event| (event, &verified)).collect::<Vec<_>>(), "{notifications:#?}");
}

/// A confirmation code is asked for, hashed and accepted; a wrong one is not.
#[test]
fn a_confirmation_code() {
    let Some(desk) = Desk::new() else { return };
    let package = package(desk.folder.path(), &subscriber(1));
    let matching_id = desk.smdp.offer(&package, &["--confirmation-code", "1234"]);
    let download =
        |code: &str| run(desk.client().args(["download", "--matchingId", &matching_id, "--confirmation-code", code]));
    let refused = download("4321");
    assert!(refused.stderr.contains("8.2.7") && refused.stderr.contains("3.8"), "{refused:#?}");
    drop(download("1234").success());
}

#[test]
fn an_order_nobody_made() {
    let Some(desk) = Desk::new() else { return };
    let refused = run(desk.client().args(["download", "--matchingId", "NOBODY-ORDERED-THIS"]));
    assert!(refused.stderr.contains("8.2.6") && refused.stderr.contains("3.8"), "{refused:#?}");
}

/// Our server, and pySim's client of it.
struct Desk {
    folder: TempDir,
    pki: PathBuf,
    smdp: SmDp,
    pysim: PySim,
}

impl Desk {
    fn new() -> Option<Self> {
        let pysim = PySim::find()?;
        let folder = tempfile::tempdir().unwrap();
        let (pki, _) = sgp26::install(folder.path())?;
        let smdp = SmDp::serve(folder.path());
        Some(Self { folder, pki, smdp, pysim })
    }

    fn client(&self) -> Command {
        let pki = |path: &str| self.pki.join(path);
        let mut client = self.pysim.program("contrib/es9p_client.py");
        client.current_dir(self.folder.path()).args(["--url", &format!("https://{}", self.smdp.address())]);
        client.arg("--server-ca-cert").arg(pki("CertificateIssuer/CERT_CI_ECDSA_NIST.pem"));
        client.arg("--ci-certificate").arg(pki("CertificateIssuer/CERT_CI_ECDSA_NIST.der"));
        client.arg("--eum-certificate").arg(pki("EUM/CERT_EUM_ECDSA_NIST.der"));
        client.arg("--euicc-certificate").arg(pki("eUICC/CERT_EUICC_ECDSA_NIST.der"));
        client.arg("--euicc-private-key").arg(pki("eUICC/SK_EUICC_ECDSA_NIST.pem"));
        client
    }
}
