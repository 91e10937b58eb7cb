//! `vuicc fleet`: each card is its own, what it has answered it keeps, and what is in the way is said; load with its report.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use apdu::Transport as _;
use lpa::{Euicc, Options};
use reader_bridge::socket::SocketCard;
use rsp::es10c::ProfileIdentifier;
use rustix::process::{Pid, Signal, kill_process};
use saip::ProfileElement;
use saip::aka::AlgoConfiguration;
use serde_json::Value;
use vuicc_tests::fleet::Fleet;
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::subscriber::{TS48_AS_PUBLISHED, package, subscriber, ts48};
use vuicc_tests::vuicc::{SmDp, command, json_lines};

const COUNT: usize = 50;

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).args(arguments).current_dir(folder))
}

/// The same by a process that may have so many files open: both limits, or with `-S` one it may raise.
fn limited(folder: &Path, limit: &str, arguments: &[&str]) -> Finished {
    let whole = command(&folder.join("state"), []);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]).arg(whole.get_program()).args(whole.get_args());
    run(shell.args(arguments).current_dir(folder))
}

fn report(finished: &Finished) -> Value {
    json_lines(finished).into_iter().find(|line| line["event"] == "report").unwrap()
}

/// Every card has numbers and keys that no other has, and answers with its own; enabled and written to, and taken away in the
/// middle of that, each has what it has answered.
#[test]
fn each_card_is_its_own_and_keeps_what_it_has_answered() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(folder.path(), COUNT, &["--disabled"]);
    for name in ["eid", "iccid", "imsi", "key", "opc"] {
        let all: HashSet<_> = fleet.cards.iter().map(|card| card[name].as_str().unwrap()).collect();
        assert_eq!(all.len(), COUNT, "{name}");
    }
    let running = fleet.run(&[]);
    let (next, answered) = (std::sync::Mutex::new(0..COUNT), std::sync::Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(number) = next.lock().unwrap().next() else { return };
                    let (eid, iccid) = (fleet.eid(number), fleet.cards[number]["iccid"].as_str().unwrap());
                    let mut euicc = Euicc::open(running.connect(eid), Options::default()).unwrap();
                    assert_eq!(euicc.eid().unwrap().to_string(), eid);
                    let iccid: identities::Iccid = iccid.parse().unwrap();
                    euicc.enable_profile(ProfileIdentifier::Iccid(iccid.clone()), true).unwrap();
                    euicc.set_nickname(iccid, &format!("number {number}")).unwrap();
                    answered.lock().unwrap().push(number);
                }
            });
        }
    });
    running.process.kill();
    let answered = answered.into_inner().unwrap();
    assert_eq!(answered.len(), COUNT);
    let again = fleet.run(&[]);
    for number in answered {
        let mut euicc = Euicc::open(again.connect(fleet.eid(number)), Options::default()).unwrap();
        let profiles = euicc.profiles().unwrap();
        assert_eq!(profiles.len(), 1);
        assert_eq!(profiles[0].profile_nickname.as_deref(), Some(format!("number {number}").as_str()));
        assert_eq!(profiles[0].profile_state, Some(rsp::metadata::ProfileState::ENABLED));
    }
    // Each with its own K, which the network's side has as well.
    assert!(again.process.stop().success());
    let fleet_folder = fleet.folder().to_str().unwrap();
    let load = vuicc(folder.path(), &["fleet", "load", "--json", fleet_folder, "--authenticate", "--rounds", "3"]);
    let report = report(&load.success());
    assert_eq!((&report["succeeded"], &report["failed"]), (&(3 * COUNT).into(), &0.into()));
}

/// What a file has in it, below an application: of a linear fixed one the first record.
fn file(card: &mut SocketCard, application: &str, file: &str, read: &str) -> Vec<u8> {
    let mut ask = |command: &str| card.transmit(&hex::decode(command.replace(' ', "")).unwrap()).unwrap();
    let selected = ask(&format!("00A4040C 07 {application}"));
    assert_eq!(hex::encode(&selected), "9000", "{application}");
    assert_eq!(hex::encode(ask(&format!("00A4000C 02 {file}"))), "9000", "{file}");
    let mut answer = ask(&format!("{read} 00"));
    if let [0x6C, length] = answer[..] {
        answer = ask(&format!("{read} {length:02X}"));
    }
    assert!(answer.ends_with(&[0x90, 0x00]), "{file}: {answer:02X?}");
    answer.truncate(answer.len() - 2);
    answer
}

/// GSMA's test profile, individualised.
#[test]
fn a_fleet_of_ts48() {
    let folder = tempfile::tempdir().unwrap();
    let Some(package) = ts48(folder.path(), TS48_AS_PUBLISHED) else { return };
    let fleet = Fleet::new(folder.path(), 3, &["--profile", package.to_str().unwrap(), "--network", "310410"]);
    assert!(fleet.cards.iter().all(|card| card["algorithm"] == "xor" && card["opc"] == Value::Null));
    assert!(fleet.cards.iter().all(|card| card["imsi"].as_str().unwrap().starts_with("310410")));
    let at = fleet.folder().to_str().unwrap();
    let load =
        vuicc(folder.path(), &["fleet", "load", "--json", at, "--authenticate", "--rounds", "2", "--each"]).success();
    assert_eq!(report(&load)["succeeded"], 6);
    assert_eq!(json_lines(&load).iter().filter(|line| line["event"] == "done").count(), 6);
    // Each card's own files are of its IMSI and network.
    let running = fleet.run(&[]);
    for number in 0..3 {
        let mut card = running.connect(fleet.eid(number));
        let (usim, isim) = ("A0000000871002", "A0000000871004");
        let imsi = fleet.cards[number]["imsi"].as_str().unwrap();
        assert_eq!(file(&mut card, usim, "6FAD", "00B00000")[3], 3);
        let packed = hex::encode(file(&mut card, usim, "6F07", "00B00000"));
        let swapped: String =
            packed.as_bytes()[2..].chunks(2).flat_map(|pair| [pair[1], pair[0]].map(char::from)).collect();
        assert_eq!(&swapped[1..], imsi);
        let domain = "ims.mnc410.mcc310.3gppnetwork.org";
        let text = |octets: Vec<u8>| String::from_utf8(octets[2..2 + usize::from(octets[1])].to_vec()).unwrap();
        assert_eq!(text(file(&mut card, isim, "6F02", "00B00000")), format!("{imsi}@{domain}"));
        assert_eq!(text(file(&mut card, isim, "6F03", "00B00000")), domain);
        assert_eq!(text(file(&mut card, isim, "6F04", "00B20104")), format!("sip:{imsi}@{domain}"));
    }
    assert!(running.process.stop().success());
    // A card laid open, the fleet as a whole, and a copy of a card.
    let shown = json_lines(&vuicc(folder.path(), &["fleet", "show", at, fleet.eid(1), "--json"]).success());
    assert_eq!(shown[0]["euicc"]["eid"], fleet.eid(1));
    let whole = json_lines(&vuicc(folder.path(), &["fleet", "show", at, "--json"]).success());
    assert_eq!((&whole[0]["cards"], &whole[0]["with_a_profile"]), (&3.into(), &3.into()));
    let _ = vuicc(folder.path(), &["fleet", "export", at, fleet.eid(1), "one.img", "--json"]).success();
    let copy = json_lines(&vuicc(folder.path(), &["card", "show", "one.img", "--json"]).success());
    assert_eq!(copy[0]["domains"], shown[0]["domains"]);
    let refused = vuicc(folder.path(), &["fleet", "export", at, fleet.eid(1), "one.img"]);
    assert!(refused.stderr.contains("exists already"), "{}", refused.stderr);
}

/// By its EID a card goes into a modem, while others have other cards.
#[test]
fn a_card_in_a_modem() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(folder.path(), 3, &[]);
    let running = fleet.run(&[]);
    let ready_file = folder.path().join("modem.json");
    let mut modem = command(&folder.path().join("state"), ["modem", "run", "--listen", "127.0.0.1:0"]);
    modem.args(["--reader", &running.reader(fleet.eid(2))]).arg("--ready-file").arg(&ready_file);
    let mut modem = Process::start(&mut modem, folder.path());
    modem.wait_until("the modem", |_| ready_file.exists());
    let ready: Value = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
    let socket = ready["cards"][0]["socket"].as_str().unwrap();
    let mut line = TcpStream::connect(socket.strip_prefix("tcp:").unwrap()).unwrap();
    line.write_all(b"AT+CIMI\r").unwrap();
    let mut answer = String::new();
    while !answer.ends_with("OK\r\n") {
        let mut octets = [0; 256];
        let read = line.read(&mut octets).unwrap();
        answer.push_str(std::str::from_utf8(&octets[..read]).unwrap());
    }
    assert!(answer.contains(fleet.cards[2]["imsi"].as_str().unwrap()), "{answer}");
    let other = vuicc(folder.path(), &["lpa", "--reader", &running.reader(fleet.eid(0)), "chip", "info", "--json"]);
    assert_eq!(json_lines(&other.success())[0]["eid"], fleet.eid(0));
    // Of a fleet a card has to be named.
    let nameless = running.reader(fleet.eid(0));
    let nameless = nameless.rsplit_once('/').unwrap().0;
    let refused = vuicc(folder.path(), &["lpa", "--reader", nameless, "chip", "info"]);
    let wanted =
        format!("many cards are behind {nameless}; name one by its EID: {nameless}/EID: `vuicc fleet list DIR`");
    assert!(refused.code() == Some(4) && refused.stderr.contains(&wanted), "{refused:#?}");
    // It is ended by the name it was started by.
    let (mut fleets, at) = (running.process, fleet.folder().to_str().unwrap());
    let refused = vuicc(folder.path(), &["card", "eject", "nothing.img"]);
    assert!(refused.stderr.contains("no card of this name is running"), "{refused:#?}");
    let _ = vuicc(folder.path(), &["card", "eject", at]).success();
    assert!(fleets.wait_for_end().success());
}

/// Given up in the middle, nothing with keys in it is left.
#[test]
fn an_interrupted_fleet_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = folder.path().join("fleet");
    let mut new = command(&folder.path().join("state"), ["fleet", "new", "--count", "100000"]);
    let mut new = Process::start(new.arg(&fleet), folder.path());
    new.wait_until("the file", |_| fs::read_dir(&fleet).is_ok_and(|mut files| files.next().is_some()));
    kill_process(Pid::from_raw(new.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(new.wait_for_end().code(), Some(1), "{}", new.log());
    assert!(new.log().contains("nothing was made"), "{}", new.log());
    assert!(!fleet.exists());
}

#[test]
fn what_is_in_the_way_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(folder.path(), 2, &[]);
    let at = fleet.folder().to_str().unwrap();
    let said = |arguments: &[&str], code: i32, parts: &[&str]| {
        let finished = vuicc(folder.path(), arguments);
        assert_eq!(finished.code(), Some(code), "{arguments:?}: {}", finished.stderr);
        for part in parts {
            assert!(finished.stderr.contains(part), "{arguments:?}: {}", finished.stderr);
        }
        assert_eq!(finished.stderr.lines().count(), 1, "{arguments:?}: {}", finished.stderr);
    };
    said(&["fleet", "new", at, "--count", "2"], 2, &["has a fleet already"]);
    said(&["fleet", "run", "nowhere"], 4, &["there is no fleet here", "vuicc fleet new"]);
    said(&["fleet", "run", at, "--listen", "0.0.0.0:0"], 2, &["--expose", "127.0.0.1"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_at = taken.local_addr().unwrap().to_string();
    said(&["fleet", "run", at, "--listen", &taken_at], 1, &[&taken_at, "take another port, or 0"]);
    let nobody = "89049032123451234512345678901235";
    said(&["fleet", "show", at, nobody], 4, &[nobody, "vuicc fleet list"]);
    fs::write(folder.path().join("no.der"), [0x30, 0]).unwrap();
    said(&["fleet", "new", "other", "--count", "2", "--profile", "no.der"], 5, &["no.der"]);
    assert!(!folder.path().join("other").exists(), "nothing is half made");
    for (codes, place) in
        [("LPA:1$a.test$X\nnonsense\n", "line 2, column 1"), (&format!("{nobody},LPA:1$a.test$X"), "line 1, column 1")]
    {
        fs::write(folder.path().join("codes.csv"), codes).unwrap();
        said(&["fleet", "load", at, "--codes", "codes.csv"], 5, &["codes.csv", place]);
    }
    // Nothing to check answers with: neither card nor network has an algorithm for it.
    let mut elements = saip::builder::build(&subscriber(9)).unwrap();
    for element in &mut elements {
        if let ProfileElement::AkaParameter(aka) = element
            && let AlgoConfiguration::Algo(algo) = &mut aka.algo_configuration
        {
            algo.rotation_constants = [200; 5];
        }
    }
    fs::write(folder.path().join("odd.der"), saip::encode_package(&elements)).unwrap();
    said(&["fleet", "new", "odd", "--count", "2", "--profile", "odd.der"], 1, &["bad-values", "akaParameter"]);
    assert!(!folder.path().join("odd").exists(), "nothing is half made");
    // Two processes, and a client of a card that is not there, or that another one has.
    let running = fleet.run(&["--connections", "2"]);
    said(&["fleet", "load", at, "--authenticate"], 4, &["is in use by"]);
    said(&["lpa", "--reader", &running.reader(nobody), "chip", "info"], 4, &["none of this EID", "vuicc fleet list"]);
    let first = running.connect(fleet.eid(0));
    let second = running.connect(fleet.eid(1));
    said(&["lpa", "--reader", &running.reader(fleet.eid(0)), "chip", "info"], 4, &["as many clients", "--connections"]);
    drop((first, second));
    assert!(running.process.stop().success());
}

/// Downloads by one order, by codes, and what fails among them.
#[test]
fn load_on_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(folder.path(), COUNT, &["--no-profile"]);
    let at = fleet.folder().to_str().unwrap();
    let smdp = SmDp::serve(folder.path());
    let many = smdp.offer(&package(folder.path(), &subscriber(1)), &["--reusable"]);
    let arguments =
        ["fleet", "load", at, "--json", "--smdp", smdp.address(), "--matching-id", &many, "--chart", "load.html"];
    let at_once = [&arguments[..], &["--at-once", "50"]].concat();
    let refused = limited(folder.path(), "-n 100", &at_once);
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
    for part in ["264 open files", "may have 100", "--at-once 9 fits", "ulimit -n"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let done = report(&limited(folder.path(), "-S -n 64", &at_once).success());
    assert_eq!((&done["succeeded"], &done["failed"], &done["of"]), (&COUNT.into(), &0.into(), &COUNT.into()), "{done}");
    assert_eq!(done["interrupted"], false);
    let percentiles = &done["milliseconds"];
    let times = ["min", "p50", "p90", "p95", "p99", "max"].map(|name| percentiles[name].as_f64().unwrap());
    assert!(times.is_sorted() && times[0] > 0.0, "{percentiles}");
    let page = fs::read_to_string(folder.path().join("load.html")).unwrap();
    assert!(page.contains(&format!("{COUNT} of {COUNT}")) && page.contains("<svg"), "{page}");
    // Each card has it, on the disk.
    let shown = json_lines(&vuicc(folder.path(), &["fleet", "show", at, fleet.eid(COUNT - 1), "--json"]).success());
    assert_eq!(shown[0]["euicc"]["profiles"].as_array().unwrap().len(), 1);
    // By codes: one for one card, one in turn, one that no server has.
    let one = smdp.offer(&package(folder.path(), &subscriber(2)), &["--eid", fleet.eid(7)]);
    let two = smdp.offer(&package(folder.path(), &subscriber(3)), &[]);
    let address = smdp.address();
    let codes = format!("{},LPA:1${address}${one}\nLPA:1${address}${two}\nLPA:1${address}$NONE\n", fleet.eid(7));
    fs::write(folder.path().join("codes.csv"), codes).unwrap();
    let some = vuicc(folder.path(), &["fleet", "load", at, "--json", "--codes", "codes.csv", "--at-once", "1"]);
    assert_eq!(some.code(), Some(6));
    let done = report(&some);
    assert_eq!((&done["succeeded"], &done["failed"]), (&2.into(), &1.into()), "{done}");
    assert_eq!(done["errors"][0]["kind"], "refused by the server: 8.2.6/3.8");
    // A server that is not there.
    drop(smdp);
    let none = vuicc(folder.path(), &["fleet", "load", at, "--json", "--smdp", "127.0.0.1:1", "--cards", "3"]);
    let done = report(&none);
    assert_eq!((&done["failed"], &done["errors"][0]["count"]), (&3.into(), &3.into()), "{done}");
}

#[test]
fn an_interrupted_load_reports_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(folder.path(), 4, &[]);
    let mut load =
        command(&folder.path().join("state"), ["fleet", "load", "--json", "--authenticate", "--rate", "20", "--each"]);
    // It would take years.
    load.arg(fleet.folder()).args(["--rounds", "1000000000", "--chart"]).arg(folder.path().join("load.html"));
    let mut load = Process::start(&mut load, folder.path());
    load.wait_until("the first ones", |load| load.log().contains("\"done\""));
    kill_process(Pid::from_raw(load.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    assert!(load.wait_for_end().success(), "{}", load.log());
    let log = load.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let done = lines.into_iter().find(|line| line["event"] == "report").unwrap();
    assert_eq!(
        (&done["interrupted"], &done["failed"], &done["of"]),
        (&true.into(), &0.into(), &4_000_000_000_u64.into())
    );
    assert!(done["succeeded"].as_u64().unwrap() > 0 && folder.path().join("load.html").exists());
    // The fleet is free, and whole.
    let at = fleet.folder().to_str().unwrap();
    let again = vuicc(folder.path(), &["fleet", "load", at, "--json", "--authenticate"]).success();
    assert_eq!(report(&again)["succeeded"], 4);
}
