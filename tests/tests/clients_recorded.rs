//! Foreign programs on recorded sessions: recorded by `apdu proxy` between them and a card, and played to them again, they print
//! the same to the byte; and what they sent is sent to the card again.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use vuicc_tests::peer;
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::schema::conforms;
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, SmDp, command, json_lines};

/// `vuicc` with its state in `folder`.
fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).args(arguments).current_dir(folder))
}

/// The card in the first slot as it is shown in the second one, while `client` is at work; its APDUs are in `session`.
fn recorded<T>(folder: &Path, reader: &Reader, session: &str, client: impl FnOnce() -> T) -> T {
    reader.wait_until_empty(1);
    let slot = reader.slot(1);
    let proxy = ["--json", "apdu", "proxy", "--reader", Reader::FIRST, "--slot", &slot, "--out", session, "--detach"];
    let _ = vuicc(folder, &proxy).success();
    let told = client();
    let _ = vuicc(folder, &["card", "eject", Reader::FIRST]).success();
    told
}

/// The recorded card in the second slot, while `client` is at work; every line that is printed of it is checked.
fn replayed<T>(folder: &Path, reader: &Reader, session: &str, client: impl FnOnce() -> T) -> T {
    reader.wait_until_empty(1);
    let slot = reader.slot(1);
    let replay = ["--json", "apdu", "replay", session, "--slot", &slot, "--complete"];
    let mut replay = Process::start(command(&folder.join("state"), []).args(replay).current_dir(folder), folder);
    replay.wait_until("the recorded card", |_| reader.holds_card(1));
    let told = client();
    let _ = vuicc(folder, &["card", "eject", session]).success();
    let ended = replay.wait_for_end();
    assert!(ended.success(), "{}", replay.log());
    let mut asked = 0;
    for line in replay.log().lines().filter(|line| line.starts_with('{')) {
        let object: Value = serde_json::from_str(line).unwrap();
        conforms("apdu-replay", &object).unwrap_or_else(|why| panic!("{line}: {why}"));
        asked += usize::from(object["found"] == "in order");
    }
    assert!(asked > 1, "{}", replay.log());
    told
}

#[test]
fn opensc_tool_prints_the_same() {
    let Some(opensc_tool) = peer::debian("opensc-tool", "opensc") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let card = Card::new(folder, &[&package(folder, &subscriber(1))]);
        let _inserted = card.insert(reader, 0);
        let read = || {
            let apdus = ["00A40004023F00", "00A40004022FE2", "00B000000A", "00A40004022FFF"];
            let mut tool = Command::new(&opensc_tool);
            tool.args(["--reader", "1", "--atr"]).args(apdus.iter().flat_map(|apdu| ["--send-apdu", apdu]));
            run(&mut tool).success().stdout
        };
        let before = recorded(folder, reader, "session.apdu", read);
        assert!(before.contains("98 88 12") && before.contains("SW1=0x6A, SW2=0x82"), "{before}");
        assert_eq!(replayed(folder, reader, "session.apdu", read), before);
        let again = vuicc(folder, &["--json", "apdu", "replay", "session.apdu", "--reader", Reader::FIRST]).success();
        assert!(json_lines(&again).iter().all(|step| step["outcome"] == "same"), "{again:#?}");
    });
}

/// lpac on the card in the second slot.
fn lpac(program: &Path, arguments: &[&str]) -> String {
    let mut lpac = Command::new(program);
    lpac.args(arguments).env("LPAC_APDU", "pcsc").env("LPAC_HTTP", "curl").env("LPAC_APDU_PCSC_DRV_IFID", "1");
    run(&mut lpac).success().stdout
}

#[test]
fn lpac_prints_the_same() {
    let Some(program) = peer::named_by("LPAC", "lpac") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let card = Card::new(folder, &[&package(folder, &subscriber(1))]);
        let _inserted = card.insert(reader, 0);
        let ask =
            || [["chip", "info"], ["profile", "list"], ["notification", "list"]].map(|words| lpac(&program, &words));
        let before = recorded(folder, reader, "session.json", ask);
        assert!(before[0].contains(card.eid()) && before[1].contains(&iccid(1)), "{before:#?}");
        assert_eq!(replayed(folder, reader, "session.json", ask), before);
        let again = vuicc(folder, &["--json", "apdu", "replay", "session.json", "--reader", Reader::FIRST]).success();
        assert!(json_lines(&again).iter().all(|step| step["outcome"] == "same"), "{again:#?}");
    });
}

/// A whole download: lpac has it from the recording, with a server that draws what the first one has drawn; and so has a card.
#[test]
fn lpac_downloads_from_a_recording() {
    const SEED: &str = "lpac, again";
    const AT: &str = "127.0.0.1:18443";
    let Some(program) = peer::named_by("LPAC", "lpac") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let card = Card::new(folder, &[]);
        let fresh = folder.join("fresh.img");
        std::fs::copy(card.image(), &fresh).unwrap();
        // lpac knows no other time, and libcurl looks at the server's certificate.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = calendar::Timestamp(now).to_string();
        let serve = || {
            // What the server signs has its address in it.
            let smdp = SmDp::serve_with(folder, &["--seed", SEED, "--clock", &clock, "--listen", AT]);
            smdp.offer(&package(folder, &subscriber(1)), &["--matching-id", "AGAIN"]);
            smdp
        };
        let download = || lpac(&program, &["profile", "download", "-s", AT, "-m", "AGAIN"]);
        let inserted = card.insert_with(reader, 0, &["--seed", SEED]);
        let smdp = serve();
        let before = recorded(folder, reader, "session.pcapng", download);
        assert!(before.contains(&iccid(1)), "{before}");
        drop((smdp, inserted));

        let _smdp = serve();
        assert_eq!(replayed(folder, reader, "session.pcapng", download), before);
        let to_card = ["--json", "apdu", "replay", "session.pcapng", "--card", "fresh.img", "--seed", SEED];
        let again = vuicc(folder, &to_card).success();
        let steps = json_lines(&again);
        assert!(steps.len() > 15 && steps.iter().all(|step| step["outcome"] == "same"), "{again:#?}");
    });
}
