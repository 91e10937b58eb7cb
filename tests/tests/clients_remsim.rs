//! osmo-remsim's server, client and bank, unmodified, with our bank and our client between them, in a network of their own.
//!
//! `REMSIM` names the folder of its programs. The first test needs none of them: both ends are ours.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vuicc_tests::peer;
use vuicc_tests::process::{Process, run, run_within};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::vuicc::{Card, command, program};

const SELECT_MF: &str = "00A40004023F00";

/// The folder of osmo-remsim's programs; `None`, said aloud, if there is none.
fn remsim() -> Option<PathBuf> {
    peer::named_by("REMSIM", "osmo-remsim")
}

/// A file that is not there yet.
fn unused(folder: &Path, name: &str) -> PathBuf {
    (0..1000).map(|number| folder.join(format!("{number}-{name}"))).find(|path| !path.exists()).unwrap()
}

/// A process of ours whose cards can be used once it has written its ready file.
fn started(folder: &Path, arguments: &[&str]) -> (Process, Value) {
    let ready_file = unused(folder, "ready.json");
    let mut ours = command(&folder.join("state"), ["remsim"]);
    let mut process = Process::start(ours.args(arguments).arg("--ready-file").arg(&ready_file), folder);
    process.wait_until("cards that can be used", |_| ready_file.exists());
    let ready = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
    (process, ready)
}

fn socket(ready: &Value) -> String {
    ready["cards"][0]["socket"].as_str().unwrap().to_owned()
}

/// What the eUICC at this socket says its EID is.
fn eid_at(folder: &Path, socket: &str) -> Value {
    let asked =
        run(command(&folder.join("state"), ["--json", "lpa", "chip", "info", "--reader", socket]).env("LANG", "C"));
    let line: Value = serde_json::from_str(asked.success().stdout.lines().next().unwrap()).unwrap();
    line["eid"].clone()
}

#[test]
fn a_card_of_our_bank_is_used_by_our_client() {
    let folder = tempfile::tempdir().unwrap();
    let cards = [Card::new(folder.path(), &[]), Card::new(folder.path(), &[])];
    let images = cards.each_ref().map(|card| card.image().to_str().unwrap());
    let (mut bank, ready) = started(folder.path(), &["bankd", images[0], images[1], "--listen", "127.0.0.1:0"]);
    assert_eq!(ready["cards"][1]["eid"], cards[1].eid());
    let bank_at = socket(&ready);
    let bank_at = bank_at.strip_prefix("tcp:").unwrap();
    let client = |slot: &str, options: &[&str]| {
        let own =
            [&["client", "--bankd", bank_at, "--bank-slot", slot, "--client", &format!("7:{}", &slot[2..])], options];
        own.concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let start =
        |arguments: &[String]| started(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let (second, ready) = start(&client("1:1", &["--listen", "127.0.0.1:0"]));
    assert_eq!(eid_at(folder.path(), &socket(&ready)), cards[1].eid());
    // A card has one client.
    let taken = client("1:1", &["--listen", "127.0.0.1:0"]);
    let refused = run(command(&folder.path().join("state"), ["remsim"]).args(&taken));
    assert_eq!(refused.code(), Some(4), "{refused:#?}");
    assert!(refused.stderr.contains("identityInUse") && refused.stderr.lines().count() == 1, "{refused:#?}");
    // Faults are ordered while the bank has the card.
    let order = ["card", "fault", "add", images[1], "mute@SELECT"];
    let ordered = run(&mut command(&folder.path().join("state"), order));
    assert_eq!(ordered.code(), Some(0), "{ordered:#?}");
    drop(second);
    let (mut again, _) = start(&client("1:1", &["--listen", "127.0.0.1:0"]));
    bank.wait_until("a client that came, went and came", |bank| {
        bank.log().matches("has the card of slot 1").count() == 2
    });
    assert!(bank.stop().success());
    let ended = again.wait_for_end();
    assert_eq!(ended.code(), Some(4), "{}", again.log());
    assert!(again.log().contains("is gone: "), "{}", again.log());
}

/// Each refusal is one line with the way out, and nothing is left.
#[test]
fn what_cannot_be_is_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let image = card.image().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:1";
    for (arguments, code, told) in [
        (vec!["card", "run", image, "--listen", "0.0.0.0:0"], 2, "APDUs have no authentication"),
        (vec!["apdu", "proxy", "--card", image, "--out", "x.apdu", "--listen", "0.0.0.0:0"], 2, "--expose allows that"),
        (vec!["remsim", "bankd", image, "--listen", &taken], 1, "take another port"),
        (vec!["remsim", "bankd", image, "--listen", "0.0.0.0:0"], 2, "--expose allows that"),
        (vec!["remsim", "bankd", image, "--listen", "127.0.0.1:0", "--map", "7:0=3"], 2, "there is no card in slot 3"),
        (vec!["remsim", "bankd", image, "--map", "7:0=0", "--map", "7:0=1"], 2, "client 7:0 is mapped twice"),
        (vec!["remsim", "bankd", image, "--bank", "1024", "--listen", "127.0.0.1:0"], 2, "0 to 1023, not 1024"),
        (vec!["remsim", "bankd", image, "--timeout", "3"], 2, "leave --timeout out"),
        (vec!["remsim", "client", "--bankd", free], 4, "no bank at 127.0.0.1:1"),
        (vec!["remsim", "client", "--server", free], 4, "no server at 127.0.0.1:1"),
        (vec!["remsim", "client", "--bankd", free, "--listen", "0.0.0.0:0"], 2, "--expose allows that"),
    ] {
        let refused = run(command(&folder.path().join("state"), []).args(&arguments).current_dir(folder.path()));
        assert_eq!(refused.code(), Some(code), "{arguments:?}: {refused:#?}");
        assert!(refused.stderr.contains(told) && refused.stderr.lines().count() == 1, "{arguments:?}: {refused:#?}");
    }
    assert!(!folder.path().join("x.apdu").exists(), "nothing is written");
}

/// A program of osmo-remsim.
fn theirs(remsim: &Path, name: &str, arguments: &[&str], folder: &Path) -> Process {
    Process::start(Command::new(remsim.join(name)).args(arguments).current_dir(folder), folder)
}

/// Its client, into which commands are typed.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    said: PathBuf,
}

impl Shell {
    fn start(remsim: &Path, folder: &Path) -> Self {
        let said = unused(folder, "shell.log");
        let mut shell = Command::new(remsim.join("osmo-remsim-client-shell"));
        shell.args(["-i", "127.0.0.1", "-c", "7", "-n", "0"]).stdin(Stdio::piped());
        let mut child = shell.stdout(File::create(&said).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin, said }
    }

    fn type_in(&mut self, line: &str) {
        // In one piece: it takes the end of a line that comes later for a line of its own.
        self.stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn wait_for(&self, what: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_mins(10);
        loop {
            let said = fs::read_to_string(&self.said).unwrap();
            if said.matches(what).count() >= times {
                return;
            }
            assert!(Instant::now() < deadline, "no sign of {what}: {said}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our client, as long as its server may take on a machine that does other things.
fn by_server(folder: &Path, client: &str) -> (Process, Value) {
    let options = ["--client", client, "--wait", "600", "--listen", "127.0.0.1:0"];
    started(folder, &[&["client", "--server", "127.0.0.1"], &options[..]].concat())
}

/// Asks the server by REST, as long as it is not up yet.
fn rest(method: &str, path: &str, body: Option<&Value>) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--retry", "300", "--retry-connrefused", "--retry-delay", "1", "-X", method]);
    if let Some(body) = body {
        curl.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
    }
    run(curl.arg(format!("http://127.0.0.1:9997/api/backend/v1/{path}"))).success().stdout
}

fn map(client: u16) {
    let slots = json!({ "bank": { "bankId": 1, "slotNr": 0 }, "client": { "clientId": client, "slotNr": 0 } });
    rest("POST", "slotmaps", Some(&slots));
}

#[test]
fn osmo_remsim_uses_our_bank_and_our_client_its_server() {
    let Some(remsim) = remsim() else { return };
    beside_private_reader(|_| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        let _server = theirs(&remsim, "osmo-remsim-server", &[], folder.path());
        rest("GET", "banks", None);
        let image = card.image().to_str().unwrap();
        let trace = folder.path().join("bank.trace");
        let options = ["bankd", image, "--server", "127.0.0.1", "--trace", trace.to_str().unwrap()];
        let (mut bank, _) = started(folder.path(), &options);
        bank.wait_until("its server", |bank| bank.log().contains("the server knows the bank"));
        map(7);
        bank.wait_until("a mapping", |bank| bank.log().contains("slot 1:0 is for client 7:0"));
        let mut shell = Shell::start(&remsim, folder.path());
        shell.wait_for("SET_ATR: 3b 9e 96 80", 1);
        shell.type_in(SELECT_MF);
        shell.wait_for("R-APDU: 61 ", 1);
        shell.type_in("00B0000001");
        shell.wait_for("R-APDU: 69 86", 1);
        // It loses the second of two lines that it reads at once.
        shell.type_in("RESET");
        let resets = || fs::read_to_string(&trace).unwrap().lines().filter(|line| line.starts_with("reset")).count();
        bank.wait_until("a reset", |_| resets() == 2);
        shell.type_in("01A40004023F00");
        shell.wait_for("R-APDU: 68 81", 1);
        drop(shell);
        bank.wait_until("a client that is gone", |bank| bank.log().contains("client 7:0 is gone"));
        // Our client in its place; the server tells it where the card is.
        let (mut client, ready) = by_server(folder.path(), "7:0");
        assert_eq!(eid_at(folder.path(), &socket(&ready)), card.eid());
        // The server takes the card away.
        // Its number is that of the bank and the slot.
        rest("DELETE", &format!("slotmaps/{}", 1 << 16), None);
        let ended = client.wait_for_end();
        assert_eq!(ended.code(), Some(4), "{}", client.log());
        bank.wait_until("a mapping that is gone", |bank| bank.log().contains("is not for client 7:0 any more"));
    });
}

#[test]
fn our_client_uses_a_card_of_osmo_remsims_bank() {
    let Some(remsim) = remsim() else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[]);
        let _inserted = card.insert(reader, 0);
        let _server = theirs(&remsim, "osmo-remsim-server", &[], folder.path());
        rest("GET", "banks", None);
        fs::write(folder.path().join("bankd_pcsc_slots.csv"), format!("\"1\",\"0\",\"{}\"\n", Reader::FIRST)).unwrap();
        let options = ["-i", "127.0.0.1", "-b", "1", "-n", "1"];
        let _bank = theirs(&remsim, "osmo-remsim-bankd", &options, folder.path());
        let deadline = Instant::now() + Duration::from_mins(10);
        while !rest("GET", "banks", None).contains("\"bankId\"") {
            assert!(Instant::now() < deadline, "no bank: {}", rest("GET", "banks", None));
            thread::sleep(Duration::from_millis(100));
        }
        map(8);
        let (_client, ready) = by_server(folder.path(), "8:0");
        assert_eq!(eid_at(folder.path(), &socket(&ready)), card.eid());
    });
}

/// Starts a PC/SC service with osmo-remsim's reader in it, and asks the card there. `$1` is the driver, `$2` our program.
const READER: &str = r#"
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/pcscd readers
printf 'FRIENDLYNAME "remsim"\nDEVICENAME 7:0:127.0.0.1:9998\nLIBPATH %s\nCHANNELID 0\n' "$1" >readers/remsim
"$3/osmo-remsim-server" >server.log 2>&1 &
server=$!
"$2" --state state remsim bankd card.img --server 127.0.0.1 --ready-file ready.json >bank.log 2>&1 &
bank=$!
trap 'kill $server $bank $pcscd' EXIT
rest=http://127.0.0.1:9997/api/backend/v1
slots='{"bank":{"bankId":1,"slotNr":0},"client":{"clientId":7,"slotNr":0}}'
curl -sS --fail --retry 300 --retry-connrefused --retry-delay 1 -X POST -H 'content-type: application/json' -d "$slots" $rest/slotmaps
until grep -q 'slot 1:0 is for client 7:0' bank.log; do sleep 0.1; done
/usr/sbin/pcscd --foreground --config "$PWD/readers" >pcscd.log 2>&1 &
pcscd=$!
until opensc-tool --list-readers 2>&1 | grep -q 'Yes .*remsim'; do sleep 0.1; done
opensc-tool --reader 0 --atr --send-apdu 00A40004023F00
"#;

#[test]
fn a_reader_of_osmo_remsim_has_a_card_of_our_bank() {
    let Some(remsim) = remsim() else { return };
    let Some(_) = peer::debian("opensc-tool", "opensc") else { return };
    let driver = remsim.join("../drivers/libifd-osmo-remsim-client.bundle/Contents/Linux/libifd_remsim_client.so");
    if !driver.exists() {
        return peer::skip_fetched("osmo-remsim's reader", &format!("{} is not there", driver.display()));
    }
    let Some(mut unshare) = peer::own_mounts("osmo-remsim's reader") else { return };
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    fs::rename(card.image(), folder.path().join("card.img")).unwrap();
    unshare.args(["--net", "--", "timeout", "900", "bash", "-c", READER, "bash"]);
    unshare.arg(driver).arg(program()).arg(remsim).current_dir(folder.path());
    let asked = run_within(&mut unshare, Duration::from_mins(16));
    assert_eq!(asked.code(), Some(0), "{asked:#?}");
    assert!(asked.stdout.contains("3b:9e:96:80:3f:c7:82:80:31:e0:73:fe:21:1f:56:56:55:49:43:43:31:3d"), "{asked:#?}");
    assert!(asked.stdout.contains("SW1=0x61") || asked.stdout.contains("SW1=0x90"), "{asked:#?}");
}
