//! `lpac`, an LPA of other people, over PC/SC: our eUICC on one side of it, our SM-DP+ on the other.
//!
//! Debian has no package of it: the environment variable `LPAC` names the binary, and without it these tests are
//! skipped. Every `lpac` command is a power cycle of the card, so whatever one sees that another did was remembered.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

use apdu::Transport;
use reader_bridge::PcscReader;
use serde_json::{Value, json};
use tempfile::TempDir;
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::server_faults::{LPAC, Seen};
use vuicc_tests::subscriber::{iccid, package, subscriber, ts48, ts48_iccid};
use vuicc_tests::vuicc::{Card, SmDp};
use vuicc_tests::{peer, vuicc};

#[test]
fn the_chip_says_what_it_is_and_keeps_its_default_smdp() {
    with_lpac(|desk| {
        let info = desk.done(&["chip", "info"]);
        assert_eq!(info["eidValue"], desk.eid());
        assert_eq!(info["EuiccConfiguredAddresses"]["defaultDpAddress"], Value::Null);
        let details = &info["EUICCInfo2"];
        assert_eq!(details["profileVersion"], "2.3.1");
        assert!(details["svn"].as_str().is_some_and(|svn| svn.starts_with("2.")), "{details}");
        for list in ["euiccCiPKIdListForVerification", "euiccCiPKIdListForSigning"] {
            let ids = details[list].as_array().unwrap();
            assert!(!ids.is_empty() && ids.iter().all(|id| id.as_str().unwrap().len() == 40), "{details}");
        }
        assert!(details["extCardResource"]["freeNonVolatileMemory"].as_u64().unwrap() > 100_000, "{details}");
        assert!(!info["rulesAuthorisationTable"].is_null(), "{info}");

        desk.done(&["chip", "defaultsmdp", "smdp.example.com"]);
        assert_eq!(desk.done(&["chip", "info"])["EuiccConfiguredAddresses"]["defaultDpAddress"], "smdp.example.com");
    });
}

#[test]
fn a_profile_lives_from_download_to_deletion() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        let first = smdp.offer(&desk.package(1), &[]);
        let second = smdp.offer(&desk.package(2), &[]);
        let (one, two) = (iccid(1), iccid(2));
        let free = desk.free_memory();
        assert_eq!(desk.done(&["profile", "list"]), json!([]));

        let result = desk.done(&["profile", "download", "-a", &format!("LPA:1${}${first}", smdp.address())]);
        assert_eq!((&result["iccid"], &result["seqNumber"]), (&json!(one), &desk.notifications()[0]["seqNumber"]));
        desk.done(&["profile", "download", "-s", smdp.address(), "-m", &second, "-i", "356938035643809"]);
        assert_eq!([smdp.state_of(&one), smdp.state_of(&two)].map(|state| state == "Released"), [false; 2]);
        assert!(desk.free_memory() < free, "profiles take room");

        let profiles = desk.done(&["profile", "list"]);
        assert_eq!(profiles.as_array().unwrap().len(), 2, "{profiles}");
        assert_eq!((&profiles[0]["iccid"], &profiles[0]["profileState"]), (&json!(one), &json!("disabled")));
        assert_eq!(
            (&profiles[0]["profileClass"], &profiles[0]["profileNickname"]),
            (&json!("operational"), &Value::Null)
        );
        let aid = profiles[1]["isdpAid"].as_str().unwrap().to_owned();
        assert!(aid.starts_with("a0000005591010ffffffff89"), "{aid}");
        assert_ne!(profiles[0]["isdpAid"], profiles[1]["isdpAid"]);

        desk.done(&["profile", "nickname", &one, "Zuhause"]);
        assert_eq!(desk.done(&["profile", "list"])[0]["profileNickname"], "Zuhause");
        desk.done(&["profile", "nickname", &one]);
        assert_eq!(desk.done(&["profile", "list"])[0]["profileNickname"], Value::Null);
        assert_eq!(desk.refused(&["profile", "nickname", &iccid(9), "x"]).1, "iccid not found");

        // By ICCID with REFRESH, by AID without; the other one is disabled on the way.
        desk.done(&["profile", "enable", &one, "1"]);
        assert_eq!(desk.states(), ["enabled", "disabled"]);
        assert_eq!(Desk::ef_iccid(), one);
        assert_eq!(desk.refused(&["profile", "enable", &one]).1, "profile not in disabled state");
        assert_eq!(desk.refused(&["profile", "enable", &iccid(9)]).1, "iccid or aid not found");
        desk.done(&["profile", "enable", &aid, "0"]);
        assert_eq!(desk.states(), ["disabled", "enabled"]);
        assert_eq!(Desk::ef_iccid(), two);
        assert_eq!(desk.refused(&["profile", "delete", &two]).1, "profile not in disabled state");

        desk.cut_power();
        assert_eq!(desk.states(), ["disabled", "enabled"], "committed is committed");

        desk.done(&["profile", "disable", &two, "1"]);
        assert_eq!(desk.refused(&["profile", "disable", &two]).1, "profile not in enabled state");
        desk.done(&["profile", "delete", &one]);
        desk.done(&["profile", "delete", &aid]);
        assert_eq!(desk.refused(&["profile", "delete", &one]).1, "iccid or aid not found");
        assert_eq!(desk.done(&["profile", "list"]), json!([]));
        assert!(desk.done(&["notification", "list"]).as_array().is_some_and(|list| list.len() >= 8));
        desk.done(&["notification", "remove", "-a"]);
        // A few bytes go to counters that never go back.
        assert!(free - desk.free_memory() < 256, "and the room comes back");
    });
}

#[test]
fn the_server_hears_of_everything_that_happened() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        let matching_id = smdp.offer(&desk.package(1), &[]);
        let one = iccid(1);
        desk.done(&download(&smdp, &matching_id));
        desk.done(&["profile", "enable", &one]);
        desk.done(&["profile", "disable", &one]);
        desk.done(&["profile", "delete", &one]);

        let pending = desk.notifications();
        let events: Vec<_> =
            pending.iter().map(|entry| entry["profileManagementOperation"].as_str().unwrap()).collect();
        assert_eq!(events, ["install", "enable", "disable", "delete"]);
        let numbers: Vec<_> = pending.iter().map(|entry| entry["seqNumber"].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|earlier, later| earlier < later), "{numbers:?}");
        assert!(pending.iter().all(|entry| entry["notificationAddress"] == smdp.address() && entry["iccid"] == one));

        desk.done(&["notification", "process", &numbers[0].to_string()]);
        assert_eq!(smdp.state_of(&one), "Installed");
        assert_eq!(desk.notifications().len(), 4, "processed is not removed");
        desk.done(&["notification", "remove", &numbers[0].to_string()]);
        assert_eq!(desk.refused(&["notification", "remove", &numbers[0].to_string()]).1, "seqNumber not found");
        desk.done(&["notification", "process", "-a", "-r"]);
        assert_eq!(desk.notifications(), Vec::<Value>::new());

        let heard = smdp.notifications();
        assert!(heard.iter().all(|entry| entry["verified"] == true && entry["iccid"] == one), "{heard:#?}");
        assert!(heard.iter().all(|entry| entry["eid"] == desk.eid()), "{heard:#?}");
        let heard: Vec<_> = heard.iter().map(|entry| entry["seq_number"].as_u64().unwrap()).collect();
        assert_eq!(heard, numbers);
    });
}

#[test]
fn the_default_smdp_knows_the_card_by_its_eid() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        smdp.offer(&desk.package(1), &["--eid", desk.eid(), "--by-eid"]);
        let another_card = Card::new(desk.folder.path(), &[]);
        smdp.offer(&desk.package(2), &["--eid", another_card.eid(), "--by-eid"]);
        assert_eq!(desk.refused(&["profile", "download"]).0, "smdp", "the card knows none");
        desk.done(&["chip", "defaultsmdp", smdp.address()]);
        assert_eq!(desk.done(&["profile", "download"])["iccid"], iccid(1));
        // Until the server knows how it went, the card may ask again.
        desk.done(&["notification", "process", "-a", "-r"]);
        assert_eq!(
            desk.refused(&["profile", "download"]).0,
            "es9p_authenticate_client",
            "nothing else is for this card"
        );
        assert_eq!(smdp.state_of(&iccid(2)), "Released");
    });
}

#[test]
fn a_confirmation_code_must_be_the_right_one() {
    with_lpac(|desk| {
        let smdp = desk.serve_with(&["--keep-rejected"]);
        let code = ["--confirmation-code", "2468"];
        let first = smdp.offer(&desk.package(1), &code);
        let (at, why) = desk.refused(&[&download(&smdp, &first)[..], &["-c", "1357"]].concat());
        assert_eq!(at, "es9p_get_bound_profile_package", "{why}");
        // After any failure lpac cancels, as if the user had rejected the profile, which ends an order unless it is kept.
        assert_eq!(smdp.state_of(&iccid(1)), "Released");
        // Asked for and not given.
        assert_eq!(desk.refused(&download(&smdp, &first)).0, "es10b_prepare_download");
        assert_eq!(desk.done(&["profile", "list"]), json!([]));
        assert_eq!(desk.done(&[&download(&smdp, &first)[..], &["-c", "2468"]].concat())["iccid"], iccid(1));
    });
}

/// lpac's way out of a mistyped code is a rejection, and that ends an order.
#[test]
fn a_rejected_order_ends_and_is_reset() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        let first = smdp.offer(&desk.package(1), &["--confirmation-code", "2468", "--reusable"]);
        desk.refused(&[&download(&smdp, &first)[..], &["-c", "1357"]].concat());
        assert_eq!(smdp.state_of(&iccid(1)), "Released", "a reusable order stays");
        smdp.reset(&iccid(1));
        let second = smdp.order(&iccid(1), &["--confirmation-code", "2468"]);
        desk.refused(&[&download(&smdp, &second)[..], &["-c", "1357"]].concat());
        assert_eq!(smdp.state_of(&iccid(1)), "Error");
        smdp.reset(&iccid(1));
        let third = smdp.order(&iccid(1), &[]);
        assert_eq!(desk.done(&download(&smdp, &third))["iccid"], iccid(1));
    });
}

/// What lpac makes of a server that fails: where it ends, and what it says. It looks at no time and no metadata, and leaves all else
/// to the eUICC.
#[test]
fn a_server_that_fails_is_seen() {
    with_lpac(|desk| {
        let package = desk.package(1);
        for Seen { fault, at, what } in LPAC {
            let smdp = desk.serve_with(&["--fault", fault]);
            let code = smdp.offer(&package, &[]);
            let finished = run(&mut desk.lpac(&download(&smdp, &code)));
            let (code, message, data) = last_word(&finished);
            let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
            let is_installed = code == 0;
            assert_eq!((message.as_str(), is_installed), (*at, *at == "success"), "{fault}: {data}");
            assert!(is_installed || data == *what, "{fault}: {data}");
            if is_installed {
                desk.done(&["profile", "delete", &iccid(1)]);
            }
        }
    });
}

/// The card is thrown away, and another one gets the profile.
#[test]
fn a_profile_of_a_lost_card_is_reset() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        let first = smdp.offer(&desk.package(1), &[]);
        desk.done(&download(&smdp, &first));
        desk.done(&["notification", "process", "-a", "-r"]);
        assert_eq!(smdp.state_of(&iccid(1)), "Installed");
        smdp.reset(&iccid(1));
        desk.done(&["profile", "delete", &iccid(1)]);
        let second = smdp.order(&iccid(1), &[]);
        assert_eq!(desk.done(&download(&smdp, &second))["iccid"], iccid(1));
        desk.done(&["notification", "process", "-a", "-r"]);
        assert_eq!(smdp.state_of(&iccid(1)), "Installed");
    });
}

#[test]
fn an_order_can_be_cancelled_and_the_profile_ordered_again() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        let first = smdp.offer(&desk.package(1), &[]);
        smdp.cancel(&iccid(1));
        assert_eq!(desk.refused(&download(&smdp, &first)).0, "es9p_authenticate_client");
        let second = smdp.order(&iccid(1), &[]);
        assert_eq!(desk.done(&download(&smdp, &second))["iccid"], iccid(1));
    });
}

#[test]
fn an_activation_code_works_once() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        let matching_id = smdp.offer(&desk.package(1), &[]);
        desk.done(&download(&smdp, &matching_id));
        desk.done(&["notification", "process", "-a", "-r"]);
        desk.done(&["profile", "delete", &iccid(1)]);
        for matching_id in [&matching_id, "NO-SUCH-ID"] {
            assert_eq!(desk.refused(&download(&smdp, matching_id)).0, "es9p_authenticate_client");
        }
        assert_eq!(desk.done(&["profile", "list"]), json!([]));
    });
}

/// The GSMA's test profile from two servers: the second one fails on the card, both servers know how it went, and
/// the second goes on offering it.
#[test]
fn a_profile_that_is_there_already_is_refused() {
    with_lpac(|desk| {
        let Some(ts48) = ts48(desk.folder.path(), 1) else { return };
        let number = ts48_iccid(1);
        let servers = [desk.serve(), desk.serve()];
        let [first, second] = servers.each_ref().map(|smdp| smdp.offer(&ts48, &[]));
        desk.done(&download(&servers[0], &first));
        let free = desk.free_memory();
        let (at, why) = desk.refused(&download(&servers[1], &second));
        assert_eq!(at, "es10b_load_bound_profile_package");
        assert!(why.ends_with(",install_failed_due_to_iccid_already_exists_on_euicc"), "{why}");
        assert_eq!(desk.done(&["profile", "list"]).as_array().unwrap().len(), 1);
        assert!(free - desk.free_memory() < 1024, "nothing is left of it but the notification");

        let pending = desk.notifications();
        assert_eq!(
            pending.iter().map(|entry| &entry["notificationAddress"]).collect::<Vec<_>>(),
            servers.each_ref().map(SmDp::address)
        );
        desk.done(&["notification", "process", "-a", "-r"]);
        // The order stays open: once the user has deleted the other one, this one can be had.
        assert_eq!(servers.each_ref().map(|smdp| smdp.state_of(&number)), ["Installed", "Released"]);
        assert!(servers.iter().flat_map(SmDp::notifications).all(|entry| entry["verified"] == true));
    });
}

#[test]
fn a_purge_leaves_an_empty_chip() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        assert_eq!(desk.refused(&["chip", "purge", "yes"]).1, "nothing to delete");
        for number in [1, 2] {
            let matching_id = smdp.offer(&desk.package(number), &[]);
            desk.done(&download(&smdp, &matching_id));
        }
        desk.done(&["profile", "enable", &iccid(1), "1"]);
        desk.done(&["chip", "defaultsmdp", smdp.address()]);
        desk.done(&["chip", "purge", "yes"]);
        assert_eq!(desk.done(&["profile", "list"]), json!([]));
        assert_eq!(desk.done(&["chip", "info"])["EuiccConfiguredAddresses"]["defaultDpAddress"], Value::Null);
        desk.done(&["notification", "process", "-a", "-r"]);
        assert!(smdp.notifications().iter().all(|entry| entry["verified"] == true));
    });
}

/// STORE DATA blocks from 6 bytes, the smallest lpac makes, to 250, the largest it makes without a fault of its own.
#[test]
fn blocks_may_have_any_size() {
    with_lpac(|desk| {
        let smdp = desk.serve();
        for (number, size) in [(1, "6"), (2, "64"), (3, "250")] {
            let matching_id = smdp.offer(&desk.package(number), &[]);
            let mut lpac = desk.lpac(&download(&smdp, &matching_id));
            let (code, _, data) = last_word(&run(lpac.env("LPAC_CUSTOM_ES10X_MSS", size)));
            assert_eq!((code, &data["iccid"]), (0, &json!(iccid(number))), "{size}");
        }
        assert_eq!(desk.states(), ["disabled"; 3]);
    });
}

/// The arguments of a download by matching ID.
fn download<'a>(smdp: &'a SmDp, matching_id: &'a str) -> [&'a str; 6] {
    ["profile", "download", "-s", smdp.address(), "-m", matching_id]
}

/// A test's place of work: a card in the reader, and lpac.
struct Desk<'a> {
    folder: TempDir,
    lpac: PathBuf,
    reader: &'a Reader,
    card: Card,
    inserted: Option<Process>,
}

fn with_lpac(test: impl FnOnce(&mut Desk<'_>)) {
    let Some(lpac) = peer::named_by("LPAC", "lpac") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = vuicc::Card::new(folder.path(), &[]);
        let inserted = Some(card.insert(reader, 0));
        test(&mut Desk { folder, lpac, reader, card, inserted });
    });
}

impl Desk<'_> {
    fn serve(&self) -> SmDp {
        self.serve_with(&[])
    }

    fn serve_with(&self, options: &[&str]) -> SmDp {
        SmDp::serve_with(self.folder.path(), options)
    }

    fn package(&self, number: u32) -> PathBuf {
        package(self.folder.path(), &subscriber(number))
    }

    fn lpac(&self, arguments: &[&str]) -> Command {
        let mut lpac = Command::new(&self.lpac);
        lpac.args(arguments).env("LPAC_APDU", "pcsc").env("LPAC_HTTP", "curl").env("LPAC_APDU_PCSC_DRV_IFID", "0");
        lpac
    }

    /// What lpac returns when it is successful.
    fn done(&self, arguments: &[&str]) -> Value {
        let finished = run(&mut self.lpac(arguments));
        let (code, message, data) = last_word(&finished);
        assert_eq!(
            (code, message.as_str(), finished.code()),
            (0, "success", Some(0)),
            "lpac {arguments:?}: {finished:#?}"
        );
        data
    }

    /// Where and why lpac failed.
    fn refused(&self, arguments: &[&str]) -> (String, String) {
        // Its exit status counts for nothing here: after a failure it may free what it has freed.
        let finished = run(&mut self.lpac(arguments));
        let (code, message, data) = last_word(&finished);
        assert_eq!(code, -1, "lpac {arguments:?} should have failed: {finished:#?}");
        (message, data.as_str().unwrap_or_default().to_owned())
    }

    fn eid(&self) -> &str {
        self.card.eid()
    }

    fn states(&self) -> Vec<String> {
        let profiles = self.done(&["profile", "list"]);
        profiles
            .as_array()
            .unwrap()
            .iter()
            .map(|profile| profile["profileState"].as_str().unwrap().to_owned())
            .collect()
    }

    fn notifications(&self) -> Vec<Value> {
        self.done(&["notification", "list"]).as_array().unwrap().clone()
    }

    fn free_memory(&self) -> u64 {
        self.done(&["chip", "info"])["EUICCInfo2"]["extCardResource"]["freeNonVolatileMemory"].as_u64().unwrap()
    }

    /// What a phone would read as ICCID.
    fn ef_iccid() -> String {
        let mut host = PcscReader::connect(Reader::FIRST).unwrap();
        host.transmit(&[0x00, 0xA4, 0x00, 0x04, 0x02, 0x2F, 0xE2]).unwrap();
        let read = host.transmit(&[0x00, 0xB0, 0x00, 0x00, 0x0A]).unwrap();
        let (digits, status) = read.split_at(10);
        assert_eq!(status, [0x90, 0x00]);
        digits
            .iter()
            .flat_map(|byte| [byte & 0x0F, byte >> 4])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }

    /// Kills the card without a word, and inserts it again.
    fn cut_power(&mut self) {
        self.inserted.take().expect("a card in the reader").kill();
        self.reader.wait_until_empty(0);
        self.inserted = Some(self.card.insert(self.reader, 0));
    }
}

/// The last line of type `lpa`: code, message, data.
fn last_word(finished: &Finished) -> (i64, String, Value) {
    let mut lines = finished.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.rfind(|line| line["type"] == "lpa");
    assert!(last.is_some(), "lpac says nothing: {finished:#?}");
    let payload = last.unwrap()["payload"].clone();
    let message = payload["message"].as_str().unwrap_or_default().to_owned();
    (payload["code"].as_i64().unwrap_or(i64::MIN), message, payload["data"].clone())
}
