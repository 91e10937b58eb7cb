//! Programs that reach a card by AT commands: lpac, pySim, gammu, each unmodified, at the modem's pseudo-terminal.
//!
//! `LPAC` names lpac, whose drivers `at` and `at_csim` have to be built in (`-DLPAC_WITH_APDU_AT=ON`); `PYSIM` and `PYSIM_PYTHON`
//! name pySim. Without them the tests are skipped. gammu is Debian's.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use vuicc_tests::modem::Modem;
use vuicc_tests::peer;
use vuicc_tests::process::run;
use vuicc_tests::pysim::PySim;
use vuicc_tests::subscriber::{IMSI, iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, SmDp};

/// lpac with AT drivers; `None`, said aloud, if there is none.
fn lpac() -> Option<PathBuf> {
    let lpac = peer::named_by("LPAC", "lpac")?;
    let tried =
        run(Command::new(&lpac).args(["chip", "info"]).env("LPAC_APDU", "at").env("LPAC_APDU_AT_DEVICE", "/dev/null"));
    if format!("{}{}", tried.stdout, tried.stderr).contains("No APDU driver found") {
        peer::say("lpac over AT ... skipped: it was built without -DLPAC_WITH_APDU_AT=ON");
        return None;
    }
    Some(lpac)
}

/// A modem with a card that holds `profiles` profiles, and lpac.
struct Desk {
    folder: TempDir,
    card: Card,
    modem: Modem,
    lpac: PathBuf,
    driver: &'static str,
}

impl Desk {
    fn new(lpac: PathBuf, driver: &'static str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        let modem = Modem::start(folder.path(), &card, options);
        Self { folder, card, modem, lpac, driver }
    }

    /// The last word of lpac: code and data.
    fn lpac(&self, arguments: &[&str]) -> (i64, Value) {
        let mut lpac = Command::new(&self.lpac);
        lpac.args(arguments).env("LPAC_APDU", self.driver).env("LPAC_HTTP", "curl");
        let finished = run(lpac.env("LPAC_APDU_AT_DEVICE", self.modem.terminal()));
        let mut lines = finished.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let last = lines.rfind(|line| line["type"] == "lpa");
        let payload = last.unwrap_or_else(|| panic!("lpac says nothing: {finished:#?}"))["payload"].clone();
        (payload["code"].as_i64().unwrap(), payload["data"].clone())
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let (code, data) = self.lpac(arguments);
        assert_eq!(code, 0, "lpac {arguments:?}: {data}");
        data
    }

    fn states(&self) -> Vec<String> {
        let profiles = self.done(&["profile", "list"]);
        let state = |profile: &Value| profile["profileState"].as_str().unwrap().to_owned();
        profiles.as_array().unwrap().iter().map(state).collect()
    }
}

/// A profile's life, from the server's offer to its deletion, over AT commands.
fn life_of_a_profile(driver: &'static str) {
    let Some(lpac) = lpac() else { return };
    let desk = Desk::new(lpac, driver, &[]);
    assert_eq!(desk.done(&["chip", "info"])["eidValue"], desk.card.eid());
    let smdp = SmDp::serve(desk.folder.path());
    for number in [1, 2] {
        let matching_id = smdp.offer(&package(desk.folder.path(), &subscriber(number)), &[]);
        let data = desk.done(&["profile", "download", "-s", smdp.address(), "-m", &matching_id]);
        assert_eq!(data["iccid"], iccid(number));
    }
    assert_eq!(desk.states(), ["disabled", "disabled"]);
    let (one, two) = (iccid(1), iccid(2));
    for (enabled, refresh, states) in [(&one, "1", ["enabled", "disabled"]), (&two, "0", ["disabled", "enabled"])] {
        desk.done(&["profile", "enable", enabled, refresh]);
        assert_eq!(desk.states(), states);
        // The modem finds the subscription of the profile that is enabled now.
        assert_eq!(desk.modem.at_terminal().ask("AT+CCID")[0], format!("+CCID: {enabled}"));
        assert_eq!(desk.modem.at_terminal().ask("AT+CIMI")[0], IMSI);
    }
    desk.done(&["profile", "nickname", &one, "Zuhause"]);
    assert_eq!(desk.done(&["profile", "list"])[0]["profileNickname"], "Zuhause");
    desk.done(&["profile", "disable", &two, "1"]);
    desk.done(&["profile", "delete", &one]);
    desk.done(&["profile", "delete", &two]);
    assert_eq!(desk.done(&["profile", "list"]), json!([]));
    desk.done(&["notification", "process", "-a", "-r"]);
    assert!(smdp.notifications().iter().all(|heard| heard["verified"] == true));
    assert_eq!(desk.done(&["notification", "list"]), json!([]));
}

#[test]
fn lpac_in_sessions() {
    life_of_a_profile("at");
}

#[test]
fn lpac_by_generic_access() {
    life_of_a_profile("at_csim");
}

/// What is known of modems in the field is seen by lpac as its users saw it.
#[test]
fn lpac_meets_modems_of_the_field() {
    let Some(lpac) = lpac() else { return };
    for (quirks, works) in [
        ("sierra-em7590", true),
        ("fibocom-fg132", true),
        ("cchc-echo", true),
        ("modem-gets-response", true),
        ("sierra-mc7455", true),
        ("fibocom-fm350", false),
        ("simcom-a7908", false),
        ("dell-dw5821e", false),
    ] {
        let desk = Desk::new(lpac.clone(), "at", &["--quirks", quirks]);
        let (code, data) = desk.lpac(&["chip", "info"]);
        assert_eq!(code == 0, works, "{quirks}: {data}");
    }
}

#[test]
fn pysim_shell_through_a_modem() {
    peer::up_to_three_times(pysim_shell);
}

fn pysim_shell() {
    let Some(pysim) = PySim::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
    let modem = Modem::start(folder.path(), &card, &[]);
    let script = folder.path().join("script");
    fs::write(&script, "select MF\nselect EF.ICCID\nread_binary_decoded --oneline\nselect ADF.USIM\nselect EF.IMSI\nread_binary_decoded --oneline\nquit\n").unwrap();
    let mut shell = pysim.program_at_modem("pySim-shell.py");
    shell.arg("--modem-device").arg(modem.terminal()).args(["--noprompt", "--script"]).arg(&script);
    let said = run(shell.current_dir(folder.path()));
    for expected in [iccid(1).as_str(), IMSI] {
        assert!(said.stdout.contains(expected), "no {expected} in {said:#?}");
    }
}

#[test]
fn gammu_identifies_modem_and_card() {
    peer::up_to_three_times(gammu);
}

fn gammu() {
    let Some(gammu) = peer::debian("gammu", "gammu") else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
    let modem = Modem::start(folder.path(), &card, &["--imei", "490154203237518"]);
    let settings = folder.path().join("gammurc");
    fs::write(&settings, format!("[gammu]\ndevice = {}\nconnection = at\n", modem.terminal().display())).unwrap();
    let gammu =
        |arguments: &[&str]| run(Command::new(&gammu).arg("-c").arg(&settings).args(arguments)).success().stdout;
    let identity = gammu(&["identify"]);
    for expected in ["vuicc", "490154203237518", IMSI] {
        assert!(identity.contains(expected), "no {expected} in {identity}");
    }
    assert!(gammu(&["getsecuritystatus"]).contains("Nothing to enter"));
    // A message in record 3 of EF.SMS.
    let message = "0307915155000000F0040B917238880900F100009930925161958004E8329B0D";
    let written = modem.at_terminal().ask(&format!("AT+CRSM=220,28476,3,4,176,\"{message:F<352}\""));
    assert!(written.contains(&"+CRSM: 144,0".to_owned()), "{written:?}");
    let messages = gammu(&["getallsms"]);
    assert!(messages.contains("hell") && messages.contains("+27838890001"), "{messages}");
    gammu(&["deletesms", "1", "3"]);
    assert!(!gammu(&["getallsms"]).contains("hell"));
}
