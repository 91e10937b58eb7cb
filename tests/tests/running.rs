//! `vuicc card run` in the background, behind sockets, with a ready file: when others may use the card, how it ends, and what
//! keeps it from running.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use apdu::Transport;
use reader_bridge::PcscReader;
use reader_bridge::pcsc_reader::list_readers;
use reader_bridge::socket::SocketCard;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vuicc_tests::peer;
use vuicc_tests::process::{Finished, Process, run, wait_until};
use vuicc_tests::reader::{Reader, beside_private_reader, beside_private_readers};
use vuicc_tests::vuicc::{Card, command, json_lines};

const SELECT_MF: &[u8] = &[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00];

/// `vuicc` with its state in `folder`.
fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).args(arguments).current_dir(folder))
}

fn path(card: &Card) -> &str {
    card.image().to_str().unwrap()
}

/// The object `ready` of `card run --detach --json`.
fn detached(folder: &Path, arguments: &[&str]) -> Value {
    let finished = vuicc(folder, &[&["--json", "card", "run", "--detach"], arguments].concat()).success();
    json_lines(&finished).pop().unwrap()["ready"].take()
}

fn error(finished: &Finished) -> Value {
    json_lines(finished).pop().unwrap()["error"].take()
}

/// When the command returns, the card is there for any client; when eject returns, it is gone. Again and again.
#[test]
fn a_card_in_the_background_is_ready_at_once_and_gone_at_once() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        let ready_file = folder.path().join("ready.json");
        // One that a killed process left is no sign of anything.
        fs::write(&ready_file, r#"{"pid":1,"version":"0.1.0","cards":[]}"#).unwrap();
        // What is no ready file stays.
        let other = folder.path().join("notes");
        fs::write(&other, "mine").unwrap();
        let over_it = ["card", "run", path(&card), "--listen", "0", "--ready-file", other.to_str().unwrap()];
        let refused = run(&mut command(&folder.path().join("state"), over_it));
        assert!(refused.code() == Some(2) && refused.stderr.contains("is there and no ready file"), "{refused:#?}");
        assert_eq!(fs::read(&other).unwrap(), b"mine");
        let lpac = peer::named_by("LPAC", "lpac");
        let opensc_tool = peer::debian("opensc-tool", "opensc");
        for round in 0..20 {
            let ready = detached(folder.path(), &[path(&card), "--ready-file", ready_file.to_str().unwrap()]);
            let written: Value = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
            assert_eq!(ready, written);
            let entry = &ready["cards"][0];
            assert_eq!((entry["reader"].as_str(), entry["eid"].as_str()), (Some(Reader::FIRST), Some(card.eid())));
            assert_eq!(entry["slot"].as_str(), Some(reader.slot(0).as_str()));
            if let Some(lpac) = &lpac {
                let told =
                    run(Command::new(lpac).args(["chip", "info"]).env("LPAC_APDU", "pcsc").env("LPAC_HTTP", "curl"));
                assert!(told.stdout.contains(card.eid()), "round {round}: {told:#?}");
            } else if let Some(opensc_tool) = &opensc_tool {
                let _ = run(Command::new(opensc_tool).args(["--reader", "0", "--atr"])).success();
            } else {
                let mut host = PcscReader::connect(Reader::FIRST).unwrap();
                assert_eq!(host.transmit(SELECT_MF).unwrap(), [0x90, 0x00], "round {round}");
            }
            let gone = vuicc(folder.path(), &["--json", "card", "eject", path(&card)]).success();
            assert_eq!(json_lines(&gone)[0]["reader"].as_str(), Some(Reader::FIRST));
            assert!(!ready_file.exists() && list_readers().unwrap().iter().all(|reader| reader.card.is_none()));
        }
        assert_eq!(error(&vuicc(folder.path(), &["--json", "card", "eject", path(&card)]))["exit_code"], 4);
    });
}

/// Several processes insert cards at the same moment, and each knows its own reader.
#[test]
fn cards_inserted_at_once_know_their_readers() {
    beside_private_readers(2, |reader| {
        let folder = tempfile::tempdir().unwrap();
        let cards: Vec<_> = (0..4).map(|_| Card::new(folder.path(), &[])).collect();
        let named = thread::scope(|scope| {
            let start = |(slot, card)| {
                let (slot, folder) = (reader.slot(slot), folder.path());
                scope.spawn(move || detached(folder, &[path(card), "--reader", &slot])["cards"][0]["reader"].take())
            };
            let started: Vec<_> = (0..).zip(&cards).map(start).collect();
            started.into_iter().map(|started| started.join().unwrap()).collect::<Vec<_>>()
        });
        let expected: Vec<_> = (0..4).map(Reader::name).collect();
        assert_eq!(named, expected);
        let several = vuicc(folder.path(), &["card", "eject"]);
        assert!(several.code() == Some(2) && several.stderr.contains("--all"), "{several:#?}");
        let _ = vuicc(folder.path(), &["card", "eject", "--all"]).success();
        let _ = vuicc(folder.path(), &["reader", "wait", "--gone", "--timeout", "0"]).success();
        let none = vuicc(folder.path(), &["--json", "reader", "wait", "--timeout", "0"]);
        assert_eq!((none.code(), error(&none)["code"].as_str()), (Some(7), Some("timeout")), "{none:#?}");
    });
}

/// Without PC/SC: any command, one client after the other; what is no client is sent away.
#[test]
fn a_card_behind_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (tcp, unix) = (Card::new(folder.path(), &[]), Card::new(folder.path(), &[]));
    let ready = detached(folder.path(), &[path(&tcp), path(&unix), "--listen", "0", "--listen", "unix:card.sock"]);
    let address = |card: usize| ready["cards"][card]["socket"].as_str().unwrap().to_owned();
    assert!(address(0).starts_with("tcp:127.0.0.1:") && !address(0).ends_with(":0"), "{ready}");
    for (number, card) in [&tcp, &unix].into_iter().enumerate() {
        let info = vuicc(folder.path(), &["--json", "lpa", "chip", "info", "--reader", &address(number)]).success();
        assert_eq!(json_lines(&info)[0]["eid"].as_str(), Some(card.eid()));
    }
    let socket = address(0);
    let at = socket.strip_prefix("tcp:").unwrap();
    let long = vec![0xFF; 70_000];
    for hostile in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0, 0], &[0, 5, 0, 0xA4, 0, 4, 0], &long] {
        let mut stream = TcpStream::connect(at).unwrap();
        // The other end may be closed before all is sent.
        let _ = stream.write_all(hostile);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert_eq!(stream.read(&mut [0]).unwrap_or_default(), 0, "{hostile:02X?}");
    }
    let waited = vuicc(folder.path(), &["--json", "reader", "wait", "--reader", &address(1)]).success();
    assert_eq!(json_lines(&waited)[0]["atr"], ready["cards"][1]["atr"]);
    let mut first = SocketCard::connect(&socket.parse().unwrap()).unwrap();
    assert_eq!(first.transmit(SELECT_MF).unwrap(), [0x90, 0x00]);
    let second = {
        let socket = socket.clone();
        thread::spawn(move || SocketCard::connect(&socket.parse().unwrap()).unwrap().transmit(SELECT_MF))
    };
    assert_eq!(first.transmit(SELECT_MF).unwrap(), [0x90, 0x00], "its turn lasts as long as it likes");
    assert!(!first.reset().unwrap().is_empty() && !first.warm_reset().unwrap().is_empty());
    drop(first);
    assert_eq!(second.join().unwrap().unwrap(), [0x90, 0x00]);
    let _ = vuicc(folder.path(), &["card", "eject", path(&unix)]).success();
    assert!(!folder.path().join("card.sock").exists());
    for socket in [&address(0), &address(1)] {
        let gone = vuicc(folder.path(), &["--json", "reader", "wait", "--gone", "--reader", socket]).success();
        assert_eq!(json_lines(&gone)[0]["card"], false);
    }
    let gone = vuicc(folder.path(), &["--json", "lpa", "chip", "info", "--reader", &socket]);
    let told = error(&gone);
    assert_eq!((gone.code(), told["code"].as_str()), (Some(4), Some("card")), "{gone:#?}");
    assert!(told["help"].as_str().unwrap().contains("--listen"), "{told}");
}

/// What keeps a card from running is told by the command that was typed, with its exit code.
#[test]
fn what_keeps_a_card_from_running() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let image = path(&card);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    fs::write(folder.path().join("a-file"), "").unwrap();
    for (arguments, code, words) in [
        (&["nothing.img"][..], 4, "no card image here"),
        (&["a-file"], 5, "not a card image"),
        (&[image, "--listen", &taken], 1, "take another port"),
        (&[image, "--listen", "unix:a-file"], 1, "take another path"),
        (&[image, "--listen", "0", "--listen", "0"], 2, "once for each image"),
        (&[image, image], 2, "named twice"),
        (&[image, "other.img", "--reader", "127.0.0.1:1", "--slot", "127.0.0.1:1"], 2, "named twice"),
        (&[image, "--reader", "127.0.0.1:1", "--timeout", "0"], 7, "found no reader at 127.0.0.1:1"),
        (&[image, "--listen", "0", "--ready-file", "no/folder"], 2, "no folder"),
        (&[image, "--listen", "0", "--ready-file", "."], 2, "is a folder"),
    ] {
        for detach in [&[][..], &["--detach"]] {
            let refused = vuicc(folder.path(), &[&["--json", "card", "run"], arguments, detach].concat());
            let told = error(&refused);
            assert_eq!(refused.code(), Some(code), "{refused:#?}");
            assert!(told["message"].as_str().unwrap().contains(words), "{arguments:?} {detach:?}: {told}");
            assert_eq!(refused.stderr.lines().filter(|line| line.starts_with("vuicc: ")).count(), 1, "{refused:#?}");
        }
    }
    assert_eq!(vuicc(folder.path(), &["card", "eject", "--all"]).success().stdout, "no card is running\n");
    // Others tell the same with the same code.
    for (arguments, code) in [
        (&["card", "show", "nothing.img"][..], 4),
        (&["card", "show", "a-file"], 5),
        (&["card", "fault", "list", "nothing.img"], 4),
        (&["lpa", "chip", "info", "--card", "nothing.img"], 4),
        (&["lpa", "chip", "info", "--reader", "tcp:nonsense"], 2),
        (&["reader", "wait", "--reader", "tcp:nonsense"], 2),
        (&["reader", "wait", "--reader", "tcp:127.0.0.1:1", "--timeout", "0"], 7),
        (&["smdp", "wait", "--at", "nonsense"], 2),
        (&["smdp", "profile", "order", "8988211000000000011", "--matching-id", "a b"], 2),
    ] {
        let refused = vuicc(folder.path(), &[&["--json"], arguments].concat());
        assert_eq!(
            (refused.code(), error(&refused)["exit_code"].as_i64()),
            (Some(code), Some(code.into())),
            "{refused:#?}"
        );
    }
}

/// The card that has a slot is named at once, and a slot that is free; so it is where its process is not known.
#[test]
fn a_slot_that_another_card_has() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Card::new(folder.path(), &[]), Card::new(folder.path(), &[]));
        let _ = detached(folder.path(), &[path(&first)]);
        let refused = vuicc(folder.path(), &["--json", "card", "run", path(&second), "--detach"]);
        let told = error(&refused)["message"].as_str().unwrap().to_owned();
        assert_eq!(refused.code(), Some(4), "{refused:#?}");
        for word in [path(&first), &reader.slot(0), &format!("free is --reader {}", reader.slot(1)), "vuicc card eject"]
        {
            assert!(told.contains(word), "{word}: {told}");
        }
        let late = vuicc(folder.path(), &["card", "run", path(&second), "--timeout", "2"]);
        assert!(late.code() == Some(7) && late.stderr.contains(path(&first)), "{late:#?}");
        // One that ends makes way before anybody complains, and the next one is not taken for it.
        let mut next = command(&folder.path().join("state"), ["card", "run", path(&second)]);
        let mut next = Process::start(&mut next, folder.path());
        let _ = vuicc(folder.path(), &["card", "eject", path(&first)]).success();
        next.wait_until("the next card", |next| next.log().contains("ready: "));
        assert!(!next.log().contains("did not notice"), "{}", next.log());
        let _ = next.stop();
        let _ = detached(folder.path(), &[path(&first)]);
        let stranger = Card::new(&folder.path().join("elsewhere"), &[]);
        let unknown = vuicc(&folder.path().join("elsewhere"), &["card", "run", path(&stranger), "--detach"]);
        assert!(unknown.code() == Some(4) && unknown.stderr.contains("another card"), "{unknown:#?}");
        // The way out is one, and each command finds what the one before has left.
        let _ = detached(folder.path(), &[path(&second), "--reader", &reader.slot(1)]);
        let _ = vuicc(folder.path(), &["card", "eject", path(&first)]).success();
        let _ = detached(folder.path(), &[path(&stranger)]);
        let _ = vuicc(folder.path(), &["card", "eject", "--all"]).success();
    });
}

/// A slot of this machine that the PC/SC service here knows nothing of, though it has a virtual reader: no host sees the card.
#[test]
fn a_card_that_no_host_sees_is_not_ready() {
    beside_private_reader(|_| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        let slot = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = slot.local_addr().unwrap().to_string();
        let (ready_file, state) = (folder.path().join("ready.json"), folder.path().join("state"));
        let mut run = command(&state, ["--json", "card", "run", "--timeout", "15", "--reader", &address]);
        let mut run = Process::start(run.arg(card.image()).arg("--ready-file").arg(&ready_file), folder.path());
        let (mut host, _) = slot.accept().unwrap();
        host.write_all(&[0, 1, 1, 0, 1, 4]).unwrap();
        host.read_exact(&mut [0; 3]).unwrap();
        let ended = run.wait_for_end();
        assert!(ended.code() == Some(7) && run.log().contains("does not show the card"), "{ended}: {}", run.log());
        assert!(!ready_file.exists() && !run.log().contains("\"ready\""), "{}", run.log());
    });
}

/// When the process has ended the reader is empty: whatever looks next sees no card that is gone.
#[test]
fn a_card_that_is_taken_out_is_missed() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        for _ in 0..5 {
            let run = card.insert(reader, 0);
            // Its name has to be known to it.
            let ready = |run: &Process| run.log().contains("ready: ");
            let mut run = run;
            run.wait_until("the card is ready", ready);
            let _ = run.stop();
            assert!(list_readers().unwrap().iter().all(|reader| reader.card.is_none()));
        }
    });
}

/// The terminal is closed: nothing stays behind. What nohup(1) starts outlives that.
#[test]
fn a_terminal_that_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let state = folder.path().join("state");
    let (ready_file, socket) = (folder.path().join("ready.json"), folder.path().join("card.sock"));
    let start = |program: Command| {
        let mut run = program;
        run.arg("--state").arg(&state).args(["card", "run", path(&card), "--listen"]);
        run.arg(format!("unix:{}", socket.display())).arg("--ready-file").arg(&ready_file);
        let mut run = Process::start(&mut run, folder.path());
        run.wait_until("the ready file", |_| ready_file.exists());
        run
    };
    let signal = |run: &Process, signal| {
        kill_process(Pid::from_raw(i32::try_from(run.id()).unwrap()).unwrap(), signal).unwrap();
    };
    let nothing_is_left = || {
        assert!(!ready_file.exists() && !socket.exists());
        assert!(fs::read_dir(state.join("run")).unwrap().next().is_none());
    };
    // Tests that nohup started have the signal ignored.
    let mut attended = Command::new("env");
    attended.arg("--default-signal=HUP").arg(vuicc_tests::vuicc::program());
    let mut run = start(attended);
    signal(&run, Signal::HUP);
    assert_eq!(run.wait_for_end().code(), Some(0), "{}", run.log());
    nothing_is_left();
    let mut nohup = Command::new("nohup");
    nohup.arg(vuicc_tests::vuicc::program());
    let mut run = start(nohup);
    signal(&run, Signal::HUP);
    let mut client = SocketCard::connect(&format!("unix:{}", socket.display()).parse().unwrap()).unwrap();
    assert_eq!(client.transmit(SELECT_MF).unwrap(), [0x90, 0x00]);
    signal(&run, Signal::TERM);
    assert_eq!(run.wait_for_end().code(), Some(0), "{}", run.log());
    nothing_is_left();
}

/// Killed, and nobody has asked for its exit code: it does not run, and what it left is removed.
#[test]
fn a_process_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let ready_file = folder.path().join("ready.json");
    let mut run = command(&folder.path().join("state"), ["card", "run", path(&card), "--listen", "0", "--ready-file"]);
    let mut run = Process::start(run.arg(&ready_file), folder.path());
    run.wait_until("the ready file", |_| ready_file.exists());
    run.kill_unnoticed();
    let stat = fs::read_to_string(format!("/proc/{}/stat", run.id())).unwrap();
    assert!(stat.contains(") Z "), "{stat}");
    let refused = vuicc(folder.path(), &["card", "eject", path(&card)]);
    assert!(refused.code() == Some(4) && refused.stderr.contains("is not running"), "{refused:#?}");
    assert!(!ready_file.exists(), "it says that the card can be used");
    run.kill();
}

/// The reader goes away: the ready file goes too, and comes back with the reader; without one the card gives up.
#[test]
fn a_reader_that_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let ready_file = folder.path().join("ready.json");
    let slot = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = slot.local_addr().unwrap().to_string();
    let mut run =
        command(&folder.path().join("state"), ["--json", "card", "run", "--timeout", "2", "--reader", &address]);
    // A service that runs here would have to show the card.
    run.env("PCSCLITE_CSOCK_NAME", folder.path().join("no-service"));
    let mut run = Process::start(run.arg(card.image()).arg("--ready-file").arg(&ready_file), folder.path());
    let power = || {
        let (mut reader, _) = slot.accept().unwrap();
        reader.write_all(&[0, 1, 1, 0, 1, 4]).unwrap();
        let mut atr = [0; 3];
        reader.read_exact(&mut atr).unwrap();
        assert_eq!(atr[2], 0x3B);
        reader
    };
    for _ in 0..2 {
        let reader = power();
        run.wait_until("the ready file", |_| ready_file.exists());
        drop(reader);
        run.wait_until("the ready file is gone", |_| !ready_file.exists());
    }
    drop(slot);
    let ended = run.wait_for_end();
    assert!(ended.code() == Some(4) && run.log().contains("lost its reader at"), "{ended}: {}", run.log());
}

/// A card that comes from elsewhere has no image that is locked: its process is known all the same.
#[test]
fn the_ready_file_of_a_card_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    fs::write(folder.path().join("s.apdu"), "reset\n> 00A40004023F00\n").unwrap();
    let _ = vuicc(folder.path(), &["apdu", "run", "s.apdu", "--card", path(&card), "--trace", "t.apdu"]).success();
    let ready_file = folder.path().join("ready.json");
    let replay = ["apdu", "replay", "t.apdu", "--listen", "0", "--ready-file", "ready.json"];
    let start = |before: &[u8]| {
        let mut run = command(&folder.path().join("state"), replay);
        let mut run = Process::start(run.current_dir(folder.path()), folder.path());
        run.wait_until("the ready file", |_| fs::read(&ready_file).is_ok_and(|now| now != before));
        run
    };
    let first = start(b"");
    let written = fs::read(&ready_file).unwrap();
    let refused = vuicc(folder.path(), &["card", "run", path(&card), "--listen", "0", "--ready-file", "ready.json"]);
    assert!(refused.code() == Some(2) && refused.stderr.contains("which runs; name another file"), "{refused:#?}");
    assert_eq!(fs::read(&ready_file).unwrap(), written);
    // Of one that was killed it is none.
    first.kill();
    assert_eq!(fs::read(&ready_file).unwrap(), written);
    let second = start(&written);
    let _ = second.stop();
    assert!(!ready_file.exists());
}

/// A process that got the number of one that ran a card is left alone, whatever a record says.
#[test]
fn a_recycled_process_number_is_not_signalled() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let mut other = Process::start(Command::new("sleep").arg("1000"), folder.path());
    let records = folder.path().join("state/run");
    fs::create_dir_all(&records).unwrap();
    let record = records.join(format!("{}.json", other.id()));
    let text = format!(
        r#"{{"began":1,"pid":{},"version":"0","cards":[{{"image":"{}","eid":null,"atr":"3B00","reader":null,"slot":null,"socket":null}}]}}"#,
        other.id(),
        path(&card)
    );
    fs::write(&record, text).unwrap();
    let refused = vuicc(folder.path(), &["card", "eject", path(&card)]);
    assert!(refused.code() == Some(4) && refused.stderr.contains("is not running"), "{refused:#?}");
    assert!(!record.exists());
    other.wait_until("nothing", |_| true);
}

/// Ctrl-C while the command waits for the reader: nothing stays behind.
#[test]
fn a_process_whose_command_is_gone_ends() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    // It accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut start = command(&folder.path().join("state"), ["card", "run", "--detach", "--reader", &address]);
    let start = Process::start(start.arg(card.image()), folder.path());
    let (_reader, _) = silent.accept().unwrap();
    let records = || fs::read_dir(folder.path().join("state/run")).unwrap().filter_map(Result::ok);
    let record =
        records().map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    kill_process(Pid::from_raw(i32::try_from(start.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    wait_until("the end of the process whose command is gone", || !record.exists());
    // The image is free again.
    let _ = vuicc(folder.path(), &["--json", "card", "run", path(&card), "--listen", "0", "--detach"]).success();
    let _ = vuicc(folder.path(), &["card", "eject"]).success();
}

/// A disk without room for the ready file: the card does not stay there with nobody knowing, and nothing is left half.
#[test]
fn a_full_disk_for_the_ready_file() {
    let Some(mut full) = peer::own_mounts("a full disk") else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    full.args(["sh", "-c"]).arg(
        "mount -t tmpfs -o size=64k tmpfs \"$0\" || exit 99
         dd if=/dev/zero of=\"$0/ballast\" bs=4k 2>/dev/null
         \"$@\"; code=$?
         ls -A \"$0\" >&2; exit $code",
    );
    full.arg(&disk).arg(vuicc_tests::vuicc::program()).arg("--state").arg(folder.path().join("state"));
    full.args(["card", "run", path(&card), "--listen", "0", "--ready-file"]).arg(disk.join("ready.json"));
    let told = run(&mut full);
    assert!(told.code() == Some(1) && told.stderr.contains("cannot write the ready file to"), "{told:#?}");
    assert!(told.stderr.contains("free some space") && told.stderr.ends_with("\nballast\n"), "{told:#?}");
    assert_eq!(fs::read_dir(folder.path().join("state/run")).unwrap().count(), 0);
}
