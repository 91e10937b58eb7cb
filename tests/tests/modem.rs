//! `vuicc modem run`: where programs reach it, what keeps it from running, what they cannot do to it, and its card.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use saip::builder::Subscriber;
use serde_json::Value;
use tempfile::TempDir;
use vuicc_tests::modem::Modem;
use vuicc_tests::process::{Finished, run};
use vuicc_tests::repository;
use vuicc_tests::subscriber::{IMSI, iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, command, json_lines};

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).args(arguments).current_dir(folder))
}

/// A card with this subscriber's profile, enabled.
fn card(subscriber: &Subscriber) -> (TempDir, Card) {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[&package(folder.path(), subscriber)]);
    (folder, card)
}

fn ok(line: &str) -> [String; 2] {
    [line.to_owned(), "OK".to_owned()]
}

#[test]
fn the_card_of_a_modem_is_a_real_one() {
    let (folder, card) = card(&subscriber(1));
    let modem = Modem::start(folder.path(), &card, &["--imei", "490154203237518"]);
    let mut program = modem.at_terminal();
    assert_eq!(program.ask("AT"), ["OK"]);
    assert_eq!(program.ask("ATE0"), ["OK"]);
    assert_eq!(program.ask("AT+CMEE=1"), ["OK"]);
    // What comes before a command on a serial line is noise.
    program.write(&[&[0xFF, 0, 0x7E, 0x1B][..], &b"x".repeat(100_000), b"\r"].concat());
    program.until("ERROR\r\n");
    program.write(b"~noise ");
    assert_eq!(program.ask("AT+CIMI"), ok(IMSI));
    assert_eq!(program.ask("AT+CCID"), ok(&format!("+CCID: {}", iccid(1))));
    assert_eq!(program.ask("AT+CGSN"), ok("490154203237518"));
    assert_eq!(program.ask("AT+CEID"), ok(&format!("+CEID: {}", card.eid())));
    assert_eq!(program.ask("AT+CPIN?"), ok("+CPIN: READY"));
    // EF.ICCID by its identifier, EF.IMSI by its path, a file that is not there.
    let read = program.ask("AT+CRSM=176,12258,0,0,10");
    assert!(read[0].starts_with("+CRSM: 144,0,\"") && read[0].len() == 35, "{read:?}");
    let read = program.ask("AT+CRSM=176,28423,0,0,9,,\"7FFF\"");
    assert!(read[0].starts_with("+CRSM: 144,0,\"08"), "{read:?}");
    assert_eq!(program.ask("AT+CRSM=176,28671,0,0,9"), ok("+CRSM: 106,130"));
    let fcp = program.ask("AT+CRSM=192,28423");
    assert!(fcp[0].starts_with("+CRSM: 144,0,\"62"), "{fcp:?}");
    // Its applications.
    assert!(program.ask("AT+CUAD")[0].contains("A0000000871002"));
    assert_eq!(program.ask("AT+CCHO=\"A0000000871002\""), ok("+CCHO: 1"));
    let read = program.ask("AT+CRLA=1,176,28423,0,0,9,,");
    assert!(read[0].starts_with("+CRLA: 144,0,\"08"), "{read:?}");
    assert_eq!(program.ask("AT+CCHC=1"), ["OK"]);
    assert_eq!(program.ask("AT+CCHO=\"A0000000FFFF\""), ["+CME ERROR: 22"]);
    // The channels are all free again.
    for _ in 0..40 {
        assert_eq!(program.ask("AT+CCHO=\"A0000005591010FFFFFFFF8900000100\""), ok("+CCHO: 1"));
        assert_eq!(program.ask("AT+CCHC=1"), ["OK"]);
    }
}

/// docs/modem.md lists all commands.
#[test]
fn every_command_is_documented() {
    let (folder, card) = card(&subscriber(1));
    let page = fs::read_to_string(repository().join("docs/modem.md")).unwrap();
    let modem = Modem::start(folder.path(), &card, &[]);
    let commands = modem.at_terminal().ask("AT+CLAC");
    for command in commands.iter().filter_map(|line| line.strip_prefix("AT")) {
        let is_parameter = command.strip_prefix('S').is_some_and(|number| number.parse::<u8>().is_ok());
        let is_there = page.split('`').any(|words| words.split(' ').any(|word| word == command));
        assert!(is_there || is_parameter, "{command} is not in docs/modem.md");
    }
    assert!(commands.len() > 60);
}

/// What begins a record of EF.SMS with a message that was not read.
const UNREAD: &str = "0307915155000000F0040B917238880900F100009930925161958004E8329B0D";

#[test]
fn messages_of_the_card_are_read_and_deleted() {
    let (folder, card) = card(&subscriber(1));
    let modem = Modem::start(folder.path(), &card, &[]);
    let mut program = modem.at_terminal();
    program.ask("ATE0");
    program.ask("AT+CMEE=1");
    assert_eq!(program.ask("AT+CPMS=\"SM\""), ok("+CPMS: 0,10,0,10,0,10"));
    // EF.SMS, record 3.
    let written = program.ask(&format!("AT+CRSM=220,28476,3,4,176,\"{UNREAD:F<352}\""));
    assert_eq!(written, ok("+CRSM: 144,0"));
    assert_eq!(program.ask("AT+CMGL=1"), ["OK"]);
    let listed = program.ask("AT+CMGL=0");
    assert_eq!(listed, ["+CMGL: 3,0,,23", &UNREAD[2..], "OK"]);
    assert_eq!(program.ask("AT+CMGL=0"), ["OK"], "it was read");
    program.ask("AT+CMGF=1");
    let read = program.ask("AT+CMGR=3");
    assert_eq!(read, ["+CMGR: \"REC READ\",\"+27838890001\",,\"99/03/29,15:16:59+08\"", "hell", "OK"]);
    assert_eq!(program.ask("AT+CMGD=3"), ["OK"]);
    assert_eq!(program.ask("AT+CMGR=3"), ["OK"]);
    assert_eq!(program.ask("AT+CMGR=11"), ["+CMS ERROR: 321"]);
    assert_eq!(program.ask("AT+CSCA=\"+15550000000\""), ["OK"]);
    assert_eq!(program.ask("AT+CSCA?"), ok("+CSCA: \"+15550000000\",145"));
}

#[test]
fn a_pin_is_asked_for_changed_blocked_and_unblocked() {
    let mut subscriber = subscriber(1);
    subscriber.codes.pin1_enabled = true;
    let (folder, card) = card(&subscriber);
    let modem = Modem::start(folder.path(), &card, &["--listen", "127.0.0.1:0"]);
    let mut program = modem.at_socket();
    program.ask("ATE0");
    program.ask("AT+CMEE=1");
    assert_eq!(program.ask("AT+CPIN?"), ok("+CPIN: SIM PIN"));
    assert_eq!(program.ask("AT+CLCK=\"SC\",2"), ok("+CLCK: 1"));
    assert_eq!(program.ask("AT+CIMI"), ["+CME ERROR: 11"]);
    assert_eq!(program.ask("AT+CPIN=\"9999\""), ["+CME ERROR: 16"]);
    assert_eq!(program.ask("AT+CPINR=\"SIM PIN\"")[0], "+CPINR: SIM PIN,2");
    assert_eq!(program.ask("AT+CPIN=0000"), ["OK"]);
    assert_eq!(program.ask("AT+CPIN?"), ok("+CPIN: READY"));
    assert_eq!(program.ask("AT+CIMI"), ok(IMSI));
    assert_eq!(program.ask("AT+CPWD=\"SC\",\"0000\",\"4321\""), ["OK"]);
    // The power is gone, and with it that the PIN was verified.
    assert_eq!(program.ask("AT+CFUN=0"), ["OK"]);
    assert_eq!(program.ask("AT+CPIN?"), ["+CME ERROR: 10"]);
    assert_eq!(program.ask("AT+CFUN=1"), ["OK"]);
    assert_eq!(program.ask("AT+CPIN?"), ok("+CPIN: SIM PIN"));
    for expected in ["+CME ERROR: 16", "+CME ERROR: 16", "+CME ERROR: 12"] {
        assert_eq!(program.ask("AT+CPIN=\"1111\""), [expected]);
    }
    assert_eq!(program.ask("AT+CPIN?"), ok("+CPIN: SIM PUK"));
    let puk = String::from_utf8(subscriber.codes.puk1.expose().to_vec()).unwrap();
    assert_eq!(program.ask(&format!("AT+CPIN=\"{puk}\",\"1234\"")), ["OK"]);
    assert_eq!(program.ask("AT+CPIN?"), ok("+CPIN: READY"));
    assert_eq!(program.ask("AT+CLCK=\"SC\",0,\"1234\""), ["OK"]);
    assert_eq!(program.ask("AT+CLCK=\"SC\",2"), ok("+CLCK: 0"));
}

/// Settings are each program's own, the card is one; one program too many is told so.
#[test]
fn programs_share_the_card_and_not_their_settings() {
    let (folder, card) = card(&subscriber(1));
    let mut modem = Modem::start(folder.path(), &card, &["--listen", "127.0.0.1:0"]);
    let mut programs: Vec<_> = (0..8).map(|_| modem.at_socket()).collect();
    for program in &mut programs {
        assert_eq!(program.ask("AT"), ["OK"]);
    }
    let mut late = modem.at_socket();
    assert_eq!(late.until("BUSY\r\n").trim(), "BUSY");
    assert!(late.is_gone());
    let [first, second, ..] = programs.as_mut_slice() else { panic!() };
    first.ask("ATE0");
    first.ask("AT+CMEE=2");
    assert_eq!(first.ask("AT+CSIM=1"), ["+CME ERROR: incorrect parameters"]);
    assert_eq!(second.ask("AT+CSIM=1"), ["ERROR"]);
    assert_eq!(first.ask("AT+CCHO=\"A0000005591010FFFFFFFF8900000100\""), ok("+CCHO: 1"));
    assert_eq!(second.ask("AT+CCHC=1"), ["OK"]);
    // What is no command, too long, or only half, keeps nobody from anything.
    second.write(&[&[0x1B, 0, b'\r'][..], b"AT", &b"x".repeat(100_000), b"\r"].concat());
    second.write(format!("AT+CSIM=9999,\"{}\"\r", "0".repeat(100_000)).as_bytes());
    second.until("ERROR\r\n");
    second.until("ERROR\r\n");
    assert_eq!(second.ask("AT"), ["OK"]);
    first.write(b"AT+CG");
    assert_eq!(second.ask("AT+CIMI"), ok(IMSI));
    first.write(b"MI\r");
    assert_eq!(first.until("OK\r\n"), "\r\nvuicc\r\n\r\nOK\r\n");
    // One that never reads loses its connection, and no other one notices.
    drop(programs.remove(7));
    modem.process.wait_until("the end of a program", |process| process.log().contains("program disconnected"));
    let mut greedy = modem.at_socket();
    assert_eq!(greedy.ask("AT"), ["OK"]);
    let greedy = thread::spawn(move || greedy.write_until_gone(&b"AT+CLAC\r".repeat(1_000)));
    modem.process.wait_until("the end of the greedy one", |process| {
        assert_eq!(programs[0].ask("AT+CIMI"), ok(IMSI));
        process.log().contains("it does not take its answers")
    });
    greedy.join().unwrap();
    assert_eq!(programs[0].ask("AT+CIMI"), ok(IMSI));
}

/// A page in a browser has the browser send AT commands to a port of this machine.
#[test]
fn a_browser_is_sent_away() {
    let (folder, card) = card(&subscriber(1));
    let mut modem = Modem::start(folder.path(), &card, &["--listen", "127.0.0.1:0"]);
    let body = "AT+CFUN=0\rAT+CPIN=\"9999\"\r";
    let posted = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", modem.address(), body.len());
    let hello = "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n";
    for (number, begin) in [posted.as_str(), "GET / HTTP/1.1\r\n\r\n", hello].iter().enumerate() {
        let mut browser = modem.at_socket();
        browser.write(format!("{begin}{body}").as_bytes());
        assert!(browser.is_gone(), "{begin}");
        let cause = "program disconnected: it is a web browser, or speaks like one";
        modem.process.wait_until("the cause", |process| process.log().matches(cause).count() == number + 1);
        assert_eq!(modem.at_socket().ask("AT+CFUN?"), ok("+CFUN: 1"), "{begin}");
    }
    let mut program = modem.at_socket();
    assert_eq!(program.ask("ATE0"), ["OK"]);
    program.write(b"helo\r~\xff\rx");
    assert_eq!(program.ask("AT+CFUN?"), ok("+CFUN: 1"), "noise is none");
}

/// A program that ends amid a message or a line, or without reading its answers, leaves nothing to the next one.
#[cfg(target_os = "linux")]
#[test]
fn a_program_at_the_terminal_is_missed() {
    let (folder, card) = card(&subscriber(1));
    let mut modem = Modem::start(folder.path(), &card, &[]);
    let terminal = modem.terminal();
    for (left, answered) in [("AT+CMGS=5\r", "> "), ("AT+CIM", "AT+CIM"), ("AT+CGMI\r", "")] {
        let mut program = modem.at_terminal();
        assert_eq!(program.ask("ATE1"), ["OK"]);
        assert_eq!(program.ask("AT+CNMI=2,2"), ["OK"]);
        program.write(left.as_bytes());
        if !answered.is_empty() {
            program.until(answered);
        }
        drop(program);
        // The modem keeps the line open itself as long as no program does.
        modem.process.wait_until("the line to be missed", |process| {
            let mut open = fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().filter_map(Result::ok);
            open.any(|one| fs::read_link(one.path()).is_ok_and(|path| path == terminal))
        });
        let mut next = modem.at_terminal();
        assert_eq!(next.ask("AT+CIMI"), ok(IMSI), "{left}");
        assert_eq!(next.ask("AT+CNMI?"), ok("+CNMI: 0,0,0,0,0"), "nobody is told of messages");
    }
}

#[test]
fn what_listens_for_others_has_to_be_asked_for() {
    let (folder, card) = card(&subscriber(1));
    let image = card.image().to_str().unwrap();
    let refused = vuicc(folder.path(), &["modem", "run", image, "--listen", "0.0.0.0:0"]);
    assert!(refused.code() == Some(2) && refused.stderr.contains("--expose"), "{refused:#?}");
    let modem = Modem::start(folder.path(), &card, &["--listen", "0.0.0.0:0", "--expose"]);
    assert!(modem.address().starts_with("0.0.0.0:"));
    drop(modem);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let taken = vuicc(folder.path(), &["modem", "run", image, "--listen", &address]);
    assert!(taken.stderr.contains("take another port") && taken.stderr.lines().count() == 1, "{taken:#?}");
}

#[test]
fn a_link_is_there_as_long_as_the_modem() {
    let (folder, card) = card(&subscriber(1));
    let link = folder.path().join("modem");
    let (text, image) = (link.to_str().unwrap(), card.image().to_str().unwrap());
    fs::write(&link, "mine").unwrap();
    let refused = vuicc(folder.path(), &["modem", "run", image, "--link", text]);
    assert!(refused.code() == Some(2) && refused.stderr.contains("name another path"), "{refused:#?}");
    assert_eq!(fs::read(&link).unwrap(), b"mine");
    fs::remove_file(&link).unwrap();
    // One that a modem left behind when it was killed.
    symlink("/dev/pts/999999", &link).unwrap();
    let modem = Modem::start(folder.path(), &card, &["--link", text]);
    assert_eq!(modem.terminal(), link);
    assert_eq!(modem.at_terminal().ask("AT+CIMI"), ok(IMSI));
    let refused = vuicc(folder.path(), &["modem", "run", image, "--link", text]);
    assert!(refused.code() == Some(1) && refused.stderr.contains("vuicc card eject"), "{refused:#?}");
    // Another program finds the modem as the first one left it.
    assert_eq!(modem.at_terminal().ask("AT+CGMM"), ok("AT modem"));
    modem.process.stop();
    assert!(!link.exists() && fs::symlink_metadata(&link).is_err());
}

/// A command blocks neither other programs' connections nor the end of the modem.
#[test]
fn a_card_that_does_not_answer_keeps_no_modem() {
    let (folder, card) = card(&subscriber(1));
    let image = card.image().to_str().unwrap();
    let _ = vuicc(folder.path(), &["card", "fault", "add", image, "slow=3600s@STATUS"]).success();
    let link = folder.path().join("modem");
    let options = ["--link", link.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let mut modem = Modem::start(folder.path(), &card, &options);
    let mut program = modem.at_terminal();
    assert_eq!(program.ask("AT+CIMI"), ok(IMSI));
    program.write(b"AT+CSIM=10,\"80F2000000\"\r");
    let _other = modem.at_socket();
    modem.process.wait_until("another program", |process| process.log().contains("program connected"));
    assert!(modem.process.stop().success());
    assert!(fs::symlink_metadata(&link).is_err(), "the link is gone");
}

#[test]
fn a_modem_in_the_background_is_ended_like_a_card() {
    let (folder, card) = card(&subscriber(1));
    let image = card.image().to_str().unwrap();
    let started = vuicc(folder.path(), &["--json", "modem", "run", image, "--link", "modem", "--detach"]).success();
    let ready = json_lines(&started).pop().unwrap()["ready"].take();
    assert_eq!(ready["cards"][0]["terminal"], folder.path().join("modem").to_str().unwrap());
    assert_eq!(ready["cards"][0]["eid"], card.eid());
    let in_use = vuicc(folder.path(), &["card", "eject", "--json"]).success();
    assert_eq!(json_lines(&in_use)[0]["ejected"], image);
    assert!(fs::symlink_metadata(folder.path().join("modem")).is_err(), "the link is gone");
}

#[test]
fn quirks_are_listed_shown_and_read_from_files() {
    let (folder, card) = card(&subscriber(1));
    let listed = json_lines(&vuicc(folder.path(), &["--json", "modem", "quirks"]).success());
    assert!(listed.len() >= 8 && listed.iter().all(|one| !one["sources"].as_array().unwrap().is_empty()));
    let shown = vuicc(folder.path(), &["modem", "quirks", "sierra-mc7455"]).success();
    fs::write(folder.path().join("mine.toml"), &shown.stdout).unwrap();
    let path = folder.path().join("mine.toml");
    let modem = Modem::start(folder.path(), &card, &["--quirks", path.to_str().unwrap()]);
    let opened = modem.at_terminal().ask("AT+CCHO=\"A0000005591010FFFFFFFF8900000100\"");
    assert_eq!(opened, ok("+CCHO: 00000000038aa32f"));
    drop(modem);
    let image = card.image().to_str().unwrap();
    let refused = vuicc(folder.path(), &["modem", "run", image, "--quirks", "nobody"]);
    assert!(refused.code() == Some(2) && refused.stderr.contains("vuicc modem quirks"), "{refused:#?}");
    fs::write(&path, "sesions = 'handle'\n").unwrap();
    let refused = vuicc(folder.path(), &["modem", "run", image, "--quirks", "mine.toml"]);
    assert!(refused.code() == Some(5) && refused.stderr.contains("sesions"), "{refused:#?}");
    let shown: Value =
        json_lines(&vuicc(folder.path(), &["--json", "modem", "quirks", "cchc-echo"]).success()).remove(0);
    assert!(shown["text"].as_str().unwrap().contains("[answers.\"+CCHC\"]"));
}
