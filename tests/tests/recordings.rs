//! Recorded sessions: played to a card and to an LPA, laid side by side, and who ends what plays them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use capture::{Event, Format, What};
use serde_json::Value;
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::schema::conforms;
use vuicc_tests::subscriber::{self, iccid, subscriber};
use vuicc_tests::vuicc::{SmDp, command, json_lines};

const SEED: &str = "a recorded download";
const CLOCK: [&str; 2] = ["--clock", "2027-03-01T12:00:00Z"];
/// The SM-DP+ address, wherever its port is this time.
const ADDRESS: &str = "smdp.example.com";

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).current_dir(folder).args(arguments))
}

fn start(folder: &Path, arguments: &[&str]) -> Process {
    Process::start(command(&folder.join("state"), []).current_dir(folder).args(arguments), folder)
}

/// A new SM-DP+ that draws what all others here draw.
fn serve(folder: &Path) -> SmDp {
    let smdp = SmDp::serve_with(folder, &["--address", ADDRESS, "--seed", SEED, CLOCK[0], CLOCK[1]]);
    smdp.offer(&subscriber::package(folder, &subscriber(1)), &["--matching-id", "AGAIN"]);
    smdp
}

fn download(folder: &Path, smdp: &SmDp, card: &[&str]) -> Finished {
    let there = format!("{ADDRESS}={}", smdp.listening_at());
    let code = format!("LPA:1${ADDRESS}$AGAIN");
    let order = ["--connect", &there, "profile", "download", "--yes", &code];
    vuicc(folder, &[&["lpa"], card, &CLOCK, &order].concat())
}

/// The step of that name.
fn step<'a>(steps: &'a [Value], name: &str) -> &'a Value {
    steps.iter().find(|step| step["name"].as_str().is_some_and(|named| named.starts_with(name))).unwrap()
}

/// A whole download with seed and clock, sent to a card that is as the recorded one was, and played to an LPA whose server draws
/// the same; and what becomes of it on a card that draws something else.
#[test]
fn a_seeded_download_is_played_to_a_card_and_to_an_lpa() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _ = vuicc(folder, &["card", "new", "card.img", "--seed", SEED, CLOCK[0], CLOCK[1]]).success();
    for copy in ["fresh.img", "other.img"] {
        fs::copy(folder.join("card.img"), folder.join(copy)).unwrap();
    }
    let smdp = serve(folder);
    let _ = download(folder, &smdp, &["--card", "card.img", "--seed", SEED, "--trace", "session.json"]).success();
    drop(smdp);

    let to_card = ["--json", "apdu", "replay", "session.json", "--card"];
    let steps = json_lines(&vuicc(folder, &[&to_card[..], &["fresh.img", "--seed", SEED]].concat()).success());
    assert!(steps.len() > 15 && steps.iter().all(|step| step["outcome"] == "same"), "{steps:#?}");
    let installed = vuicc(folder, &["--json", "lpa", "--card", "fresh.img", "profile", "list"]).success();
    assert!(installed.stdout.contains(&iccid(1)), "{installed:#?}");

    let other = vuicc(folder, &[&to_card[..], &["other.img", "--seed", "another card"]].concat());
    assert_eq!(other.code(), Some(3), "{other:#?}");
    let steps = json_lines(&other);
    assert_eq!(step(&steps, "GetEUICCChallenge")["outcome"], "varies");
    let authenticate = step(&steps, "AuthenticateServer");
    assert_eq!(authenticate["outcome"], "differs");
    assert!(authenticate["cannot_be_repeated"].as_str().is_some_and(|why| why.contains("the server signed it")));
    assert!(authenticate["differences"].to_string().contains("euiccChallengeMismatch"), "{authenticate:#}");

    let smdp = serve(folder);
    let played =
        ["--json", "apdu", "replay", "session.json", "--listen", "unix:card.sock", "--until-asked", "--complete"];
    let mut replay = start(folder, &[&played[..], &["--ready-file", "ready.json"]].concat());
    replay.wait_until("the recorded card", |_| folder.join("ready.json").exists());
    let installed = download(folder, &smdp, &["--reader", "unix:card.sock"]).success();
    assert!(installed.stdout.contains(&iccid(1)), "{installed:#?}");
    let ended = replay.wait_for_end();
    assert!(ended.success(), "{}", replay.log());
    for line in replay.log().lines().filter(|line| line.starts_with('{')) {
        conforms("apdu-replay", &serde_json::from_str(line).unwrap()).unwrap_or_else(|why| panic!("{line}: {why}"));
    }
}

#[test]
fn two_sessions_and_two_cards_are_laid_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (card, trace) in [("one.img", "one.apdu"), ("two.img", "two.pcapng")] {
        let _ = vuicc(folder, &["card", "new", card]).success();
        let _ = vuicc(folder, &["lpa", "--card", card, "--trace", trace, "chip", "info"]).success();
    }
    let same = vuicc(folder, &["--json", "apdu", "diff", "one.apdu", "one.apdu"]).success();
    assert!(json_lines(&same).iter().all(|row| row["alike"] == "same"), "{same:#?}");

    // The cards differ in their EIDs, and in the room that their certificates leave.
    let differing = vuicc(folder, &["--json", "apdu", "diff", "one.apdu", "two.pcapng"]);
    assert_eq!(differing.code(), Some(3), "{differing:#?}");
    let rows = json_lines(&differing);
    let names: Vec<_> = rows
        .iter()
        .filter(|row| row["alike"] == "differs")
        .flat_map(|row| row["answered"].as_array().unwrap())
        .map(|field| field["name"].as_str().unwrap().to_owned())
        .collect();
    let expected = ["es10.eid", "es10.free_non_volatile_memory"];
    assert!(names.contains(&"es10.eid".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| expected.contains(&name.as_str())), "{names:?}");
    let text = vuicc(folder, &["apdu", "diff", "one.apdu", "two.pcapng"]);
    assert!(text.stdout.contains("one.apdu 8904") && text.stdout.contains("two.pcapng 8904"), "{text:#?}");

    fs::write(
        folder.join("eid.apdu"),
        "reset\n> 00A40400 #(A0000005591010FFFFFFFF8900000100) 00\n> 80E2910006BF3E035C015A\n",
    )
    .unwrap();
    let cards = ["--json", "apdu", "diff", "eid.apdu", "--card", "one.img", "--card", "two.img"];
    let rows = json_lines(&vuicc(folder, &cards));
    let fields = rows.last().unwrap()["differences"].as_array().unwrap();
    assert_eq!(fields.iter().map(|field| field["name"].as_str()).collect::<Vec<_>>(), [Some("es10.eid")]);
}

/// Bad input: one line, with the way out.
#[test]
fn what_cannot_be_played() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _ = vuicc(folder, &["card", "new", "card.img"]).success();
    let _ = vuicc(folder, &["lpa", "--card", "card.img", "--trace", "session.apdu", "chip", "info"]).success();
    fs::write(folder.join("mine.apdu"), "reset\n> 00A40004023F00\n").unwrap();
    let pins = "> 00200001082A2A2A2A2A2A2A2A\n< 9000\n> 0020000A082A2A2A2A2A2A2A2A\n< 9000\n";
    fs::write(folder.join("pins.apdu"), format!("reset\n{pins}")).unwrap();
    let named = pins.replace(&"2A".repeat(8), " ${secret}");
    fs::write(folder.join("named.apdu"), format!("reset\n{named}")).unwrap();
    let card = ["--card", "card.img"];
    let pin = ["--set", "secret=31323334FFFFFFFF"];
    for (arguments, code, cause) in [
        (&["replay", "mine.apdu", card[0], card[1]][..], 5, "holds no answer of a card"),
        (&["replay", "card.img", card[0], card[1]], 5, "is a card image"),
        (&["replay", "nothing.apdu", card[0], card[1]], 5, "nothing.apdu"),
        (&["replay", "session.apdu", card[0], card[1], "--from", "99999"], 2, "as `vuicc apdu decode` shows them"),
        (&["replay", "session.apdu", card[0], card[1], "--listen", "unix:x"], 2, "--listen is for a session"),
        (&["replay", "session.apdu", card[0], card[1], "--unknown", "6D00"], 2, "--unknown is for a session"),
        (&["replay", "session.apdu", "--from", "1"], 2, "name that by --reader or --card"),
        (&["replay", "session.apdu", card[0], card[1], "--set", "pin"], 2, "NAME=HEX"),
        (&["replay", "pins.apdu", card[0], card[1], pin[0], pin[1]], 2, "PINs of 2 key references (01, 0A)"),
        (&["run", "pins.apdu", card[0], card[1], pin[0], pin[1]], 5, "pins.apdu:2: its PIN was left out"),
        (&["run", "named.apdu", card[0], card[1], pin[0], pin[1]], 5, "named.apdu:4: `${secret}` stands for what"),
        (&["replay", "session.apdu", "--card", "nobody.img"], 4, "nobody.img"),
        (&["replay", "session.apdu", "--reader", "unix:nobody"], 4, "no card at unix:nobody"),
        (&["diff", "session.apdu", "mine.apdu", "mine.apdu"], 2, "two recorded sessions and no card"),
        (&["diff", "session.apdu", "card.img"], 5, "is a card image"),
    ] {
        let refused = vuicc(folder, &[&["--json", "apdu"], arguments].concat());
        assert_eq!(refused.code(), Some(code), "{arguments:?}: {refused:#?}");
        assert!(refused.stderr.contains(cause), "{arguments:?}: {refused:#?}");
    }
}

/// A card that closes the connection at a command.
fn leaves_at(socket: &UnixListener, last: usize) {
    let (mut client, _) = socket.accept().unwrap();
    let receive = |client: &mut UnixStream| {
        let mut length = [0; 2];
        client.read_exact(&mut length).ok()?;
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        client.read_exact(&mut message).ok().map(|()| message)
    };
    let mut commands = 0;
    while let Some(message) = receive(&mut client) {
        match message.as_slice() {
            [4] => client.write_all(&[0, 2, 0x3B, 0x00]).unwrap(),
            [_] => {}
            _ if commands == last => return,
            _ => {
                commands += 1;
                client.write_all(&[0, 2, 0x90, 0x00]).unwrap();
            }
        }
    }
}

/// A card that is lost in the middle: what was sent is told, and where to go on.
#[test]
fn a_card_is_lost_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let reset = || Event::new(What::Reset { atr: vec![0x3B, 0x00], warm: false });
    let select = || Event::exchange([0, 0xA4, 0, 4, 2, 0x3F, 0], [0x90, 0x00]);
    let events = [reset(), select(), reset(), select(), select(), select()];
    fs::write(folder.join("session.json"), capture::write(Format::JsonLines, &events)).unwrap();
    let socket = UnixListener::bind(folder.join("card.sock")).unwrap();
    let card = thread::spawn(move || leaves_at(&socket, 2));
    let to_card = ["--json", "apdu", "replay", "session.json", "--reader", "unix:card.sock"];
    let lost = vuicc(folder, &to_card);
    card.join().unwrap();
    assert_eq!(lost.code(), Some(4), "{lost:#?}");
    assert!(lost.stderr.contains("event 5: ") && lost.stderr.contains("go on with --from 3"), "{lost:#?}");
    let steps: Vec<_> = json_lines(&lost).iter().filter_map(|line| line["number"].as_u64()).collect();
    assert_eq!(steps, [1, 2, 3, 4]);

    fs::remove_file(folder.join("card.sock")).unwrap();
    let socket = UnixListener::bind(folder.join("card.sock")).unwrap();
    let card = thread::spawn(move || leaves_at(&socket, 3));
    let resumed = vuicc(folder, &[&to_card[..], &["--from", "3"]].concat()).success();
    card.join().unwrap();
    let steps: Vec<_> = json_lines(&resumed).iter().filter_map(|line| line["number"].as_u64()).collect();
    assert_eq!(steps, [3, 4, 5, 6]);
}

/// What runs in the background is ended by the name it has in the command that started it; a proxy notices that its card is gone
/// before any program asks.
#[test]
fn proxies_and_recordings_are_ejected_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _ = vuicc(folder, &["card", "new", "card.img"]).success();
    let card = ["card", "run", "card.img", "--listen", "unix:card.sock", "--detach"];
    let _ = vuicc(folder, &card).success();
    let proxy = ["apdu", "proxy", "--reader", "unix:card.sock", "--listen", "unix:proxy.sock", "--out", "session.apdu"];
    let _ = vuicc(folder, &[&["--json"], &proxy[..], &["--detach"]].concat()).success();
    let _ = vuicc(folder, &["lpa", "--reader", "unix:proxy.sock", "chip", "info"]).success();
    let replay = ["--json", "apdu", "replay", "session.apdu", "--listen", "unix:replay.sock", "--detach"];
    let _ = vuicc(folder, &replay).success();
    let info = vuicc(folder, &["lpa", "--reader", "unix:replay.sock", "chip", "info"]).success();
    assert!(info.stdout.contains("8904"), "{info:#?}");

    let elsewhere = folder.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let eject = ["--json", "card", "eject", "../session.apdu", "unix:card.sock"];
    let gone = run(command(&folder.join("state"), eject).current_dir(&elsewhere)).success();
    let ejected: Vec<_> = json_lines(&gone).iter().map(|line| line["ejected"].as_str().unwrap().to_owned()).collect();
    assert!(
        ejected.len() == 2 && ejected[0].ends_with("session.apdu") && ejected[1] == "unix:card.sock",
        "{ejected:?}"
    );
    let unknown = vuicc(folder, &["card", "eject", "unix:card.sock"]);
    assert!(unknown.code() == Some(4) && unknown.stderr.contains("no card of this name is running"), "{unknown:#?}");

    let mut proxy = start(folder, &[&proxy[..], &["--ready-file", "ready.json"]].concat());
    proxy.wait_until("the proxy", |_| folder.join("ready.json").exists());
    let _ = vuicc(folder, &["card", "eject", "card.img"]).success();
    assert_eq!(proxy.wait_for_end().code(), Some(4), "{}", proxy.log());
    let told =
        "unix:card.sock is gone: the card was removed. The card that stood for it is gone too; 0 commands recorded";
    assert!(proxy.log().contains(told), "{}", proxy.log());
}
