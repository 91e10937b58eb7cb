//! The catalogue of card faults in `docs/faults.md`, row by row: each fault is ordered for a card, an LPA does what the row
//! says, and shows what the row says; the fault is spent afterwards, and a card that was cut off is whole. Some of them with
//! lpac too.
//!
//! `UPDATE=1` writes the table's part of the page anew, and `SHOW=1` prints what was shown.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use apdu::{Icc, Transport};
use card::fault::Effect;
use reader_bridge::PcscReader;
use reader_bridge::socket::SocketCard;
use tempfile::TempDir;
use vuicc_tests::card_faults::{Act, CATALOGUE, Row};
use vuicc_tests::process::{Finished, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, SmDp, command, json_lines};
use vuicc_tests::{peer, repository};

/// A card, a server, and the folder of both.
struct Desk {
    folder: TempDir,
    smdp: SmDp,
    /// A card with a profile that is enabled, and the same with it disabled.
    enabled: PathBuf,
    disabled: PathBuf,
    /// The second with another profile, and a notification of that.
    notified: PathBuf,
    order: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let smdp = SmDp::serve_with(folder.path(), &[]);
        let own = package(folder.path(), &subscriber(1));
        let enabled = Card::new(folder.path(), &[&own]).image().to_owned();
        let disabled = folder.path().join("disabled.img");
        std::fs::copy(&enabled, &disabled).unwrap();
        let notified = folder.path().join("notified.img");
        let desk = Self { order: String::new(), folder, smdp, enabled, disabled, notified };
        drop(desk.vuicc(&desk.disabled, &["profile", "disable", &iccid(1)]).success());
        let order = desk.smdp.offer(&package(desk.folder.path(), &subscriber(2)), &["--reusable"]);
        let desk = Self { order, ..desk };
        // What is delivered stays on the list, where it cannot be removed.
        std::fs::copy(&desk.disabled, &desk.notified).unwrap();
        let fault = |words: &[&str]| {
            drop(run(command(&desk.state(), ["card", "fault"]).args(words)).success());
        };
        let notified = desk.notified.to_str().unwrap();
        fault(&["add", notified, "RemoveNotificationFromList=undefinedError,always"]);
        desk.vuicc(&desk.notified, &["profile", "download", "--yes", &desk.code()]);
        fault(&["clear", notified]);
        desk
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// `vuicc lpa` on a card in its image.
    fn vuicc(&self, image: &Path, arguments: &[&str]) -> Finished {
        let mut lpa = command(&self.state(), ["lpa", "--card"]);
        run(lpa.arg(image).args(arguments))
    }

    /// The card that an act begins with, with the fault ordered.
    fn card(&self, row: &Row) -> PathBuf {
        let from = match row.act {
            Act::Disable => &self.enabled,
            Act::Deliver | Act::ListNotifications => &self.notified,
            _ => &self.disabled,
        };
        let image = self.folder.path().join("played.img");
        std::fs::copy(from, &image).unwrap();
        let mut add = command(&self.state(), ["card", "fault", "add"]);
        drop(run(add.arg(&image).arg(row.fault)).success());
        image
    }

    fn code(&self) -> String {
        format!("LPA:1${}${}", self.smdp.address(), self.order)
    }

    /// The arguments of `vuicc lpa` for an act.
    fn arguments(&self, act: Act) -> Vec<String> {
        let own = iccid(1);
        let code = self.code();
        let words: &[&str] = match act {
            Act::ReadChip => &["chip", "info"],
            Act::SetDefaultSmdp => &["chip", "default-smdp", "smdp.example.com"],
            Act::ResetMemory => &["chip", "memory-reset", "--operational", "--yes"],
            Act::ListProfiles => &["profile", "list"],
            Act::Download => &["profile", "download", "--yes", &code],
            Act::Decline => &["profile", "download", &code],
            Act::Enable => &["profile", "enable", &own],
            Act::Disable => &["profile", "disable", &own],
            Act::Delete => &["profile", "delete", &own, "--yes"],
            Act::Rename => &["profile", "nickname", &own, "Travel"],
            Act::ListNotifications => &["notification", "list"],
            Act::Deliver => &["notification", "process"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// What our LPA shows: of an error the line, else nothing but that it went well.
    fn shown(&self, row: &Row) -> String {
        let image = self.card(row);
        let arguments = self.arguments(row.act);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut lpa = command(&self.state(), ["lpa", "--card"]);
        let finished = run(lpa.arg(&image).args(&arguments));
        let shown = match finished.code() {
            Some(0) => "success".to_owned(),
            _ => self.constant(finished.stderr.lines().last().unwrap_or_default()),
        };
        self.is_whole(&image, row);
        shown
    }

    /// The words, without what is another in each run.
    fn constant(&self, line: &str) -> String {
        let line = line.replace(self.smdp.address(), "SMDP").replace(&iccid(1), "ICCID").replace(&iccid(2), "ICCID");
        line.strip_prefix("vuicc: ").map(str::to_owned).unwrap_or(line)
    }

    /// The fault has struck as often as it was to, and without it the card does everything.
    fn is_whole(&self, image: &Path, row: &Row) {
        let inspection = card::inspect::image(image).unwrap();
        let [fault] = &inspection.faults[..] else { panic!("{}: {:?}", row.fault, inspection.faults) };
        assert!(fault.struck > 0, "{} has not struck: {}", row.fault, fault.state);
        assert!(fault.left.is_none_or(|left| left == 0), "{}: {}", row.fault, fault.state);
        drop(run(command(&self.state(), ["card", "fault", "clear"]).arg(image)).success());
        drop(self.vuicc(image, &["chip", "info"]).success());
        drop(self.vuicc(image, &["profile", "list"]).success());
    }
}

#[test]
fn every_row_is_shown_by_our_lpa_as_it_says() {
    let desk = Desk::new();
    let mut others = Vec::new();
    for row in CATALOGUE {
        let shown = desk.shown(row);
        if std::env::var_os("SHOW").is_some() {
            println!("SHOWN\t{}\t{shown}", row.fault);
        }
        if shown != row.shows {
            others.push(format!("{}: {:?}, not {:?}", row.fault, shown, row.shows));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// lpac, with the card in a reader.
#[test]
fn some_rows_are_shown_by_lpac_as_they_say() {
    let Some(lpac) = peer::named_by("LPAC", "lpac") else { return };
    beside_private_reader(|reader| {
        let desk = Desk::new();
        let mut others = Vec::new();
        for row in CATALOGUE {
            let Some(says) = row.lpac else { continue };
            let shown = by_lpac(&desk, &lpac, reader, row);
            if std::env::var_os("SHOW").is_some() {
                println!("LPAC\t{}\t{shown}", row.fault);
            }
            if shown != says {
                others.push(format!("{}: {shown:?}, not {says:?}", row.fault));
            }
        }
        assert!(others.is_empty(), "{}", others.join("\n"));
    });
}

fn by_lpac(desk: &Desk, lpac: &Path, reader: &Reader, row: &Row) -> String {
    let own = iccid(1);
    let code = desk.code();
    let arguments: &[&str] = match row.act {
        Act::ReadChip => &["chip", "info"],
        Act::ListProfiles => &["profile", "list"],
        Act::Download => &["profile", "download", "-a", &code],
        Act::Enable => &["profile", "enable", &own],
        Act::Delete => &["profile", "delete", &own],
        Act::Rename => &["profile", "nickname", &own, "Travel"],
        other => panic!("{other:?} is not played with lpac"),
    };
    let card = Card::of_image(desk.folder.path(), &desk.card(row));
    let running = card.insert(reader, 0);
    let mut lpac = Command::new(lpac);
    lpac.args(arguments).env("LPAC_APDU", "pcsc").env("LPAC_HTTP", "curl").env("LPAC_APDU_PCSC_DRV_IFID", "0");
    let finished = run(&mut lpac);
    drop(running);
    reader.wait_until_empty(0);
    let mut lines = finished.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let Some(last) = lines.rfind(|line| line["type"] == "lpa") else { return "no answer".to_owned() };
    let payload = &last["payload"];
    let words = [payload["message"].as_str(), payload["data"].as_str()];
    let words: Vec<&str> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    words.join(": ")
}

/// What is slow in the catalogue is: how much later its answer comes, the card tells those who hold it back.
#[test]
fn a_slow_card_asks_to_be_held_back() {
    let folder = tempfile::tempdir().unwrap();
    let made = Card::new(folder.path(), &[]);
    let slow: Vec<&Row> = CATALOGUE.iter().filter(|row| row.fault.starts_with("slow=")).collect();
    assert!(!slow.is_empty());
    for row in slow {
        let fault = card::fault::parse(row.fault).unwrap();
        let Effect::Delay(asked) = fault.effect else { panic!("{}", row.fault) };
        let mut card = card::open(made.image()).unwrap();
        Icc::power_on(&mut card);
        card.order_faults(&[fault]).unwrap();
        // SELECT ISD-R, then GetEUICCData.
        let isd_r = [&[0x00, 0xA4, 0x04, 0x0C, 0x10][..], &applets::isd_r::AID[..]].concat();
        let mut delays = Vec::new();
        for command in [&isd_r[..], &[0x80, 0xE2, 0x91, 0x00, 0x06, 0xBF, 0x3E, 0x03, 0x5C, 0x01, 0x5A]] {
            assert!(matches!(card.transmit(command)[..], [0x90, 0x00] | [0x61, _]), "{command:02X?}");
            delays.push(Icc::delay(&mut card));
        }
        assert_eq!(delays, [Duration::ZERO, asked], "{}", row.fault);
        card.clear_faults(None).unwrap();
    }
}

/// What is found out when the card is made is told with its place in the description.
#[test]
fn a_description_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (text, told) in [
        (
            "[card]\nmemory = \"0\"",
            "odd.toml: line 2, column 10: card.memory: the card's memory of 0 bytes is too small",
        ),
        ("[card]\nmemory = 1000\n", "line 2, column 10: card.memory: "),
        ("about = \"x\"\npkis = [\n  \"nope\"]", "line 3, column 3: pkis[0]: "),
        ("[isd_r]\naids = []", "line 2, column 8: isd_r.aids: wants one AID at least"),
        ("[isd_r]\nunknown_tag = \"9100\"", "line 2, column 15: isd_r.unknown_tag: 9100 announces"),
        ("faults = [\"cut,times=2,always\"]", "line 1, column 10: faults[0]: "),
    ] {
        std::fs::write(folder.path().join("odd.toml"), text).unwrap();
        let mut new = command(&folder.path().join("state"), ["card", "new", "odd.img", "--like", "odd.toml"]);
        let refused = run(new.current_dir(&folder));
        assert!(refused.code() == Some(5) && refused.stderr.contains(told), "{text}: {refused:#?}");
        assert_eq!(refused.stderr.lines().filter(|line| line.contains("odd.toml")).count(), 1, "{refused:#?}");
        assert!(!folder.path().join("odd.img").exists());
    }
    let small =
        run(command(&folder.path().join("state"), ["card", "new", "odd.img", "--memory", "1k"]).current_dir(&folder));
    assert!(small.code() == Some(2) && small.stderr.contains("--memory SIZE"), "{small:#?}");
}

const SELECT_MF: &[u8] = &[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00];
const OK: [u8; 2] = [0x90, 0x00];

/// The faults in an image: each with how often it has struck.
fn struck(image: &Path) -> Vec<(String, u32)> {
    card::inspect::image(image).unwrap().faults.into_iter().map(|fault| (fault.fault, fault.struck)).collect()
}

/// Orders reach a card while a client has it, by the image or by where the card is; what is answered is in the image.
#[test]
fn a_card_that_runs_takes_orders() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than the address of a socket may be.
    let state = folder.path().join("a-state-directory-with-a-long-name".repeat(4));
    let image = folder.path().join("one.img");
    let (one, vuicc) =
        (image.to_str().unwrap(), |arguments: &[&str]| run(command(&state, []).args(arguments).current_dir(&folder)));
    drop(vuicc(&["card", "new", one]).success());
    let started = vuicc(&["--json", "card", "run", one, "--listen", "0", "--detach"]).success();
    let ready = json_lines(&started).pop().unwrap()["ready"].take();
    let socket = ready["cards"][0]["socket"].as_str().unwrap();
    let mut host = SocketCard::connect(&socket.parse().unwrap()).unwrap();
    assert_eq!(host.transmit(SELECT_MF).unwrap(), OK);

    let ordered = vuicc(&["--json", "card", "fault", "add", "--reader", socket, "status=6F00@SELECT", "mute@SELECT"]);
    let ordered = json_lines(&ordered.success());
    let told: Vec<_> = ordered.iter().map(|line| (line["number"].as_u64(), line["reader"].as_str())).collect();
    assert_eq!(told, [(Some(1), Some(socket)), (Some(2), Some(socket))]);
    assert_eq!(struck(&image), [("status=6F00@SELECT".to_owned(), 0), ("mute@SELECT".to_owned(), 0)]);
    assert_eq!(host.transmit(SELECT_MF).unwrap(), [0x6F, 0x00]);
    assert_eq!(struck(&image)[0].1, 1);
    // By the image, as others name it.
    drop(vuicc(&["card", "fault", "clear", "./one.img", "2"]).success());
    assert_eq!(host.transmit(SELECT_MF).unwrap(), OK);
    drop(vuicc(&["card", "fault", "add", one, "status=6985@SELECT,after,times=2"]).success());
    assert_eq!(host.transmit(SELECT_MF).unwrap(), [0x69, 0x85]);
    let listed = json_lines(&vuicc(&["--json", "card", "fault", "list", "--reader", socket]).success());
    assert_eq!((listed.len(), listed[1]["struck"].as_u64(), listed[1]["left"].as_u64()), (2, Some(1), Some(1)));
    for (words, told) in [
        (&["clear", one, "9"][..], "there is no fault 9"),
        (&["clear", one, "+1"], "`+1` is no number of a fault"),
        (&["add", one, "EnableProfile=catBuzzy"], "it has ok(0)"),
        (&["add", "--reader", socket], "what is to go wrong?"),
        (&["add", one, "drop,after"], "leave `after` out"),
    ] {
        let refused = vuicc(&[&["card", "fault"], words].concat());
        assert!(refused.code() == Some(2) && refused.stderr.contains(told), "{refused:#?}");
    }
    let elsewhere = vuicc(&["card", "fault", "list", "--reader", "tcp:127.0.0.1:1"]);
    assert!(
        elsewhere.code() == Some(4) && elsewhere.stderr.contains("no card runs at tcp:127.0.0.1:1"),
        "{elsewhere:#?}"
    );
    let cleared = json_lines(&vuicc(&["--json", "card", "fault", "clear", "--reader", socket]).success());
    assert_eq!(cleared[0]["cleared"].as_array().unwrap().len(), 2);
    assert_eq!(host.transmit(SELECT_MF).unwrap(), OK);
    drop(host);
    drop(vuicc(&["card", "eject", one]).success());
    let left: Vec<_> = std::fs::read_dir(state.join("run")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().unwrap() == "log"), "{left:?}");
    // The image itself, now that nobody has it.
    drop(vuicc(&["card", "fault", "add", one, "mute"]).success());
    assert_eq!(struck(&image), [("mute".to_owned(), 0)]);
}

/// What others send to the control channel harms neither the card nor who comes after them.
#[test]
fn the_control_channel_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let image = folder.path().join("one.img");
    let (one, vuicc) = (image.to_str().unwrap(), |arguments: &[&str]| run(command(&state, []).args(arguments)));
    drop(vuicc(&["card", "new", one]).success());
    let started = vuicc(&["--json", "card", "run", one, "--listen", "0", "--detach"]).success();
    let ready = json_lines(&started).pop().unwrap()["ready"].take();
    let control = state.join("run").join(format!("{}.sock", ready["pid"]));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&control), mode(&state.join("run"))), (0o600, 0o700));
    // More than are heard at a time, and none of them says anything.
    let idle: Vec<_> = (0..10).map(|_| UnixStream::connect(&control).unwrap()).collect();
    let endless = vec![b'x'; 1 << 20];
    for sent in [
        &b"\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"card\":0,\"order\":{\"clear\":[]}",
        b"{\"card\":0,\"order\":{\"clear\":[]},\"more\":1}\n",
        b"{\"card\":-1,\"order\":{\"clear\":[]}}\n",
        &[0xFF, 0x00, b'\n'],
        &endless,
    ] {
        let mut hostile = UnixStream::connect(&control).unwrap();
        // The process may have closed the connection before all is sent.
        let _ = hostile.write_all(sent);
        let _ = hostile.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = hostile.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    for (sent, told) in [
        (&b"{\"card\":1,\"order\":{\"clear\":[]}}\n"[..], "runs no such card"),
        (b"{\"card\":0,\"order\":{\"add\":[\"explode\"]}}\n", "there is no such fault"),
        (b"{\"card\":0,\"order\":{\"clear\":[7]}}\n", "there is no fault 7"),
    ] {
        let mut asking = UnixStream::connect(&control).unwrap();
        asking.write_all(sent).unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("refused") && answer.contains(told), "{answer}");
    }
    drop(vuicc(&["card", "fault", "add", one, "mute@FF"]).success());
    drop(idle);
    assert_eq!(struck(&image), [("mute@FF".to_owned(), 0)]);
    drop(vuicc(&["card", "eject", one]).success());
}

/// In a reader, with our LPA and lpac on it.
#[test]
fn orders_are_seen_by_lpas_in_a_reader() {
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let vuicc = |arguments: &[&str]| run(command(&state, []).args(arguments));
        let fault = |words: &[&str]| vuicc(&[&["card", "fault"], words].concat());
        let empty = fault(&["list", "--reader", Reader::FIRST]);
        assert!(empty.code() == Some(4) && empty.stderr.contains("is empty; `vuicc card run IMAGE`"), "{empty:#?}");
        let card = Card::new(folder.path(), &[]);
        let image = card.image().to_str().unwrap();
        drop(vuicc(&["card", "run", image, "--detach"]).success());
        drop(vuicc(&["lpa", "--reader", Reader::FIRST, "chip", "info"]).success());
        drop(fault(&["add", "--reader", "00 00", "status=6985@GetEID"]).success());
        let seen = vuicc(&["lpa", "--reader", Reader::FIRST, "chip", "info"]);
        assert!(seen.stderr.contains("1 item refused or faulty"), "{seen:#?}");
        drop(vuicc(&["lpa", "--reader", Reader::FIRST, "chip", "info"]).success());
        // While a host has the card for itself.
        let mut host = PcscReader::connect(Reader::FIRST).unwrap();
        drop(fault(&["add", "--reader", &reader.slot(0), "status=6F00@SELECT"]).success());
        assert_eq!(host.transmit(SELECT_MF).unwrap(), [0x6F, 0x00]);
        assert_eq!(host.transmit(SELECT_MF).unwrap(), OK);
        drop(host);
        if let Some(lpac) = peer::named_by("LPAC", "lpac") {
            let mut lpac = Command::new(lpac);
            lpac.args(["profile", "list"]).env("LPAC_APDU", "pcsc").env("LPAC_HTTP", "curl");
            drop(fault(&["add", "--reader", "0", "GetProfilesInfo=undefinedError"]).success());
            let failed = run(&mut lpac);
            assert!(failed.stdout.contains("es10c_get_profiles_info"), "{failed:#?}");
            let listed = run(&mut lpac);
            assert!(listed.stdout.contains("\"success\""), "{listed:#?}");
        }
        // Of another state directory it is a card like any other.
        let other = folder.path().join("other");
        let foreign = run(&mut command(&other, ["card", "fault", "add", "--reader", Reader::FIRST, "mute"]));
        let told = "none that `vuicc card run` runs with this state directory (--state)";
        assert!(foreign.code() == Some(4) && foreign.stderr.contains(told), "{foreign:#?}");
        let foreign = run(&mut command(&other, ["card", "fault", "add", image, "mute"]));
        assert!(foreign.code() == Some(4) && foreign.stderr.contains("is in use by process"), "{foreign:#?}");
        drop(vuicc(&["card", "eject", image]).success());
    });
}

/// The personalities that are shipped, in `docs/personalities.md`.
#[test]
fn the_page_of_personalities_lists_what_is_shipped() {
    let mut made = "| name | what is special | known from |\n|---|---|---|\n".to_owned();
    for one in card::personality::SHIPPED {
        let description: card::personality::Description = toml::from_str(one.text).unwrap();
        let sources = description.sources.iter().map(|source| linked(&source.0)).collect::<Vec<_>>().join(", ");
        made.push_str(
            &[
                "| `",
                one.name,
                "` | ",
                &description.about.map(|about| about.0).unwrap_or_default(),
                " | ",
                &sources,
                " |\n",
            ]
            .concat(),
        );
    }
    is_made("docs/personalities.md", SHIPPED_BEGIN, SHIPPED_END, &made);
}

/// A thread as a link, where a source begins with one.
fn linked(source: &str) -> String {
    let (thread, more) = source.split_once(',').unwrap_or((source, ""));
    match thread.split_once('#') {
        Some((repository, number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => {
            let more = if more.is_empty() { String::new() } else { format!(",{more}") };
            format!("[{thread}](https://github.com/{repository}/issues/{number}){more}")
        }
        _ => source.to_owned(),
    }
}

const SHIPPED_BEGIN: &str = "<!-- personalities: made from card/src/personality -->\n";
const SHIPPED_END: &str = "<!-- end of personalities -->";
const BEGIN: &str = "<!-- faults of cards: made from tests/src/card_faults.rs -->\n";
const END: &str = "<!-- end of faults of cards -->";

#[test]
fn the_page_is_made_from_the_table() {
    let mut made =
        "| fault | what the LPA does | tests | what this project's LPA shows | lpac |\n|---|---|---|---|---|\n"
            .to_owned();
    for row in CATALOGUE {
        let cell = |text: &str| text.replace('|', "\\|");
        let lpac = row.lpac.map(cell).unwrap_or_default();
        let cells = [row.act.words(), row.tests, &cell(row.shows), &lpac].join(" | ");
        made.push_str(
            &[
                "| `", row.fault, "` | ", &cells, " |
",
            ]
            .concat(),
        );
    }
    is_made("docs/faults.md", BEGIN, END, &made);
}

/// The part of a page between these lines is what a table makes; with `UPDATE` it becomes so.
fn is_made(page: &str, begin: &str, end: &str, made: &str) {
    let path = repository().join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (inside, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&path, [before, begin, made, end, after].concat()).unwrap();
    }
    assert!(inside == made, "{page} is not made from its table: UPDATE=1 cargo test --test card_faults");
}
