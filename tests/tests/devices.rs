//! `vuicc device` as its two users meet it: a phone and a watch, each a process with a card, a folder and a user of
//! its own, on the local network and by Bluetooth.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use identities::{Eid, Iccid};
use pairing::{Bonds, Channel, Identity, IsWanted, Message, Question, lan};
use serde_json::Value;
use vuicc_tests::controllers::Controllers;
use vuicc_tests::hearing::{Heard, Reply, Told};
use vuicc_tests::network::Network;
use vuicc_tests::process::{Finished, Process, run};
use vuicc_tests::subscriber::{iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, command, json_lines};

/// How a phone and a watch reach each other.
#[derive(Clone)]
struct Way {
    phone: Vec<String>,
    watch: Vec<String>,
}

impl Way {
    /// On the local network; the phone will be told where the watch is.
    fn lan() -> Self {
        Self { phone: vec![], watch: words(&["--listen", "127.0.0.1:0", "--loopback"]) }
    }

    /// On the air; the phone finds the watch.
    fn bluetooth(controllers: &Controllers) -> Self {
        let [phone, watch] = controllers.hci().map(|hci| vec!["--bluetooth".to_owned(), hci]);
        Self { phone, watch }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A watch at its primary's service.
struct Watch {
    process: Process,
    /// How a phone reaches it.
    to: Vec<String>,
}

impl Watch {
    fn serve(folder: &Path, card: &Path, way: &Way, options: &[&str]) -> Self {
        let mut serve = command(
            &folder.join("state"),
            ["--json", "device", "secondary", "--yes", "--digits-are-the-same", "--card"],
        );
        serve.arg(card).arg("--memory").arg(folder.join("watch")).args(["serve", "--pair"]);
        let mut process = Process::start(serve.args(&way.watch).args(options), folder);
        let mut to = way.phone.clone();
        process.wait_until("where it waits", |process| {
            let lines = process.log();
            let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let Some(waiting) = lines.find(|line| line["event"] == "waiting") else { return false };
            if to.is_empty() {
                to = words(&["--to", waiting["address"].as_str().unwrap()]);
            }
            true
        });
        Self { process, to }
    }
}

/// A phone: its card, and its folder, by which the watch knows it.
#[derive(Clone)]
struct Phone<'a> {
    folder: &'a Path,
    card: PathBuf,
    memory: &'a str,
    entitlement: String,
}

impl Phone<'_> {
    fn run(&self, watch: &Watch, arguments: &[&str]) -> Finished {
        let to = watch.to.iter().map(String::as_str);
        self.run_alone(&arguments.iter().copied().chain(to).collect::<Vec<_>>())
    }

    fn run_alone(&self, arguments: &[&str]) -> Finished {
        let mut device = command(
            &self.folder.join("state"),
            ["--json", "device", "primary", "--yes", "--digits-are-the-same", "--card"],
        );
        device.arg(&self.card).arg("--memory").arg(self.folder.join(self.memory));
        run(device.args(["--entitlement", &self.entitlement]).args(arguments))
    }

    fn pair(&self, watch: &Watch) {
        let paired = self.run(watch, &["pair"]).success();
        let lines = json_lines(&paired);
        let digits = lines.iter().find(|line| line["event"] == "digits").unwrap()["digits"].as_str().unwrap();
        // The watch has shown them too.
        assert!(watch.process.log().contains(&format!("\"digits\":\"{digits}\"")), "{}", watch.process.log());
        assert!(lines.iter().any(|line| line["event"] == "paired" && line["name"] == "Watch"), "{paired:#?}");
    }
}

/// From two strangers to a profile that both share a number on, and back: every command that talks to a watch.
fn a_life_of_phone_and_watch(network: &Network, way: &Way) {
    let folder = network.path("");
    let (_, card) = network.subscriber("anna");
    network.stock(2);
    let (image, eid) = network.euicc("watch");
    let entitlement = format!("{}/", network.base_url());
    let phone = Phone { folder: &folder, card, memory: "phone", entitlement };
    let watch = Watch::serve(&folder, &image, way, &[]);

    let stranger = phone.run(&watch, &["acquire"]);
    assert!(!stranger.status.success() && stranger.stderr.contains("paired"), "{stranger:#?}");
    phone.pair(&watch);
    let acquired = json_lines(&phone.run(&watch, &["acquire", "--through-primary"]).success());
    let enabled = acquired.iter().find(|line| line["event"] == "enabled").unwrap()["iccid"].as_str().unwrap();
    assert!(network.profiles().contains(&(enabled.to_owned(), "Enabled".to_owned())), "{:?}", network.profiles());
    assert_eq!(network.orders()[0]["eid"], eid.as_str());
    let shared = phone.run(&watch, &["activate"]).success();
    assert!(shared.stdout.contains("\"active\":true"), "{shared:#?}");

    // Somebody else's phone has no business with a profile that did not come from it, whatever --yes says.
    let other =
        Phone { folder: &folder, card: phone.card.clone(), memory: "other", entitlement: phone.entitlement.clone() };
    other.pair(&watch);
    let kept = other.run(&watch, &["unbind", "--remove-profile"]);
    assert!(!kept.status.success() && kept.stderr.contains("keeps it"), "{kept:#?}");
    let removed = phone.run(&watch, &["unbind", "--remove-profile"]).success();
    assert!(removed.stdout.contains("\"event\":\"removed\""), "{removed:#?}");
    assert!(watch.process.log().contains("\"came_from_primary\":true"), "{}", watch.process.log());
    drop(watch);
    let left = network.vuicc(&["lpa", "--card", image.to_str().unwrap(), "profile", "list"]);
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_life_of_phone_and_watch_on_the_local_network() {
    a_life_of_phone_and_watch(&Network::start(), &Way::lan());
}

#[test]
fn a_life_of_phone_and_watch_by_bluetooth() {
    let folder = tempfile::tempdir().unwrap();
    let Some(controllers) = Controllers::start(folder.path()) else { return };
    a_life_of_phone_and_watch(&Network::start(), &Way::bluetooth(&controllers));
}

/// A phone that was off when its number moved learns it when it comes on again: not by the message it missed, but by the
/// answer to its next question.
#[test]
fn an_old_phone_that_was_off_takes_its_card_out_of_use() {
    let network = Network::start();
    let folder = network.path("");
    network.stock(2);
    for euicc in [false, true] {
        let (name, memory) = if euicc { ("berta", "old-euicc") } else { ("anna", "old-uicc") };
        let (who, mut card) = network.subscriber(name);
        if euicc {
            card = folder.join("old.img");
            let file = who.file.to_str().unwrap();
            network.vuicc(&["card", "new", card.to_str().unwrap(), "--subscriber", file]);
        }
        let (new_card, eid) = network.euicc(&format!("{name}-new"));
        let entitlement = format!("{}/", network.base_url());
        let old = Phone { folder: &folder, card, memory, entitlement: entitlement.clone() };
        let alone = |phone: &Phone<'_>, command: &[&str]| phone.run_alone(command);
        let said = alone(&old, &["status"]).success().stdout;
        assert!(said.contains("activated") && said.contains(r#""in_service":true"#), "{said}");

        // The new phone asks for a code, which comes to the old one; its last act for a while.
        let mut upgrade = command(&folder.join("state"), ["--json", "device", "primary", "--card"]);
        upgrade.arg(&new_card).arg("--memory").arg(folder.join(format!("new-{name}")));
        upgrade.args(["--yes", "--entitlement", &entitlement, "upgrade", "--old-number", who.msisdn.as_ref().unwrap()]);
        let mut upgrade = Heard::start(&mut upgrade);
        let code = loop {
            let received = json_lines(&alone(&old, &["messages", "--wait", "1"]).success());
            let texts: Vec<_> = received.iter().filter_map(|line| line["text"].as_str()).collect();
            let words = texts.iter().flat_map(|text| text.split(|character: char| !character.is_ascii_digit()));
            if let Some(code) = words.clone().find(|word| word.len() == 6) {
                break code.to_owned();
            }
        };
        upgrade.say(&code);
        let _ = upgrade.to_the_end(None, |_| Reply::Listen).success();
        assert_eq!(network.orders()[0]["eid"], eid.as_str());
        let memory_of_new = format!("new-{name}");
        let new =
            Phone { folder: &folder, card: new_card.clone(), memory: &memory_of_new, entitlement: entitlement.clone() };
        let again = alone(&new, &["upgrade", "--old-number", who.msisdn.as_ref().unwrap()]).success();
        assert!(again.stdout.contains("installed_before"), "{again:#?}");

        // It learns it whether it is asked how it stands or takes messages, which is tried with a copy of its memory.
        let copy = Phone { memory: &format!("{memory}-copy"), card: old.card.clone(), ..old.clone() };
        fs::create_dir(folder.join(copy.memory)).unwrap();
        for file in fs::read_dir(folder.join(memory)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.join(copy.memory).join(file.file_name())).unwrap();
        }
        // One that has lost its memory has its card still, which proves itself and is told as much.
        let lost = Phone { memory: &format!("{memory}-lost"), card: old.card.clone(), ..old.clone() };
        for (phone, command) in [(&lost, "status"), (&old, "status"), (&copy, "messages")] {
            if euicc && phone.memory == lost.memory {
                continue;
            }
            if euicc && command == "messages" {
                // The first has disabled the profile, and --yes agreed to its deletion: there is nothing to ask with any more.
                let listed = network.vuicc(&["lpa", "--card", old.card.to_str().unwrap(), "profile", "list"]);
                assert!(listed.is_empty(), "{listed:#?}");
                continue;
            }
            let told = alone(phone, &[command]).success();
            assert!(told.stdout.contains("\"event\":\"card_disabled\""), "{command}: {told:#?}");
            let refused = alone(phone, &["status"]);
            assert!(!refused.status.success(), "{refused:#?}");
        }
    }
}

/// A device whose user answers by hand, or does not.
struct Attended {
    device: Heard,
    /// What it has told so far.
    told: Vec<Value>,
}

impl Attended {
    fn start(command: &mut Command) -> Self {
        Self { device: Heard::start(command), told: Vec::new() }
    }

    /// Waits for a line of JSON with this event.
    fn event(&mut self, name: &str) -> Value {
        // Less than a user has for an answer.
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(event) = self.told.iter().find(|told| told["event"] == name) {
                return event.clone();
            }
            match self.device.listen(deadline.saturating_duration_since(Instant::now())) {
                Told::Line(line) => self.told.push(line),
                Told::Nothing | Told::End => panic!("no sign of {name}: {:?}", self.told),
            }
        }
    }

    /// Lets it come to its end; what it has said to its user.
    fn end(self) -> String {
        let ended = self.device.to_the_end(None, |_| Reply::Listen);
        assert!(!ended.status.success(), "{ended:#?}");
        ended.stderr
    }
}

/// One user says that the digits differ: the other, who has not answered, is not asked any longer, and hears why.
fn a_rejection_withdraws_the_question(way: &Way, phone_says_no: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (state, card) = (folder.path().join("state"), Card::new(folder.path(), &[]));
    let device = |role: &str| {
        let mut command = command(&state, ["--json", "device", role]);
        command.arg("--memory").arg(folder.path().join(role));
        command
    };
    let mut serve = device("secondary");
    serve.arg("--card").arg(card.image()).args(["serve", "--pair", "--once"]).args(&way.watch);
    let mut watch = Attended::start(&mut serve);
    let address = watch.event("waiting")["address"].as_str().unwrap().to_owned();
    let mut pair = device("primary");
    let mut phone = Attended::start(pair.args(["pair", "--to", &address]).args(&way.phone));
    assert_eq!(phone.event("digits")["digits"], watch.event("digits")["digits"]);
    let (mut one, mut other) = if phone_says_no { (phone, watch) } else { (watch, phone) };
    one.device.say("n");
    assert!(one.end().contains("not paired: the digits were not confirmed here"));
    other.event("digits_withdrawn");
    let said = other.end();
    assert!(said.contains("not paired: the digits were not confirmed on the other device"), "{said}");
}

#[test]
fn a_rejection_withdraws_the_question_on_the_local_network() {
    for phone_says_no in [true, false] {
        a_rejection_withdraws_the_question(&Way::lan(), phone_says_no);
    }
}

#[test]
fn a_rejection_withdraws_the_question_by_bluetooth() {
    for phone_says_no in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let Some(controllers) = Controllers::start(folder.path()) else { return };
        a_rejection_withdraws_the_question(&Way::bluetooth(&controllers), phone_says_no);
    }
}

/// A primary is trusted about a profile only if it installed it, not because it names one.
#[test]
fn a_primary_that_only_names_a_profile_did_not_install_it() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
    let own = iccid(1).parse().unwrap();
    let watch = Watch::serve(folder.path(), card.image(), &Way::lan(), &[]);
    let (identity, mut bonds) = (Identity::generate().unwrap(), Bonds::default());
    let address = watch.to[1].parse().unwrap();
    let mut yes = |_: &Question, _: IsWanted<'_>| true;
    let mut primary = lan::connect(address, &identity, "Phone", &mut bonds, Some(&mut yes)).unwrap().channel;
    let mut answer = |question: Message| {
        primary.send(&question).unwrap();
        loop {
            match primary.receive(Duration::from_mins(1)).unwrap() {
                Message::InstallResult { error, .. } | Message::Removed { error, .. } => break error,
                _ => {}
            }
        }
    };
    let [eid, other]: [Eid; 2] = [card.eid(), "89049032123451234512345678901235"].map(|eid| eid.parse().unwrap());
    let named = |eid: Eid, iccid: &Iccid| Message::ActivationCode {
        code: "1$127.0.0.1:9$X".into(),
        eid,
        through_primary: false,
        iccid: Some(iccid.clone()),
    };
    // One that is there, with a code for another eUICC; one that is not, with a code that leads nowhere.
    assert!(answer(named(other, &own)).is_some());
    assert!(answer(named(eid, &own)).is_some());
    assert!(answer(named(eid, &iccid(2).parse().unwrap())).is_some());
    let memory = fs::read_to_string(folder.path().join("watch/device.json")).unwrap();
    let memory: Value = serde_json::from_str(&memory).unwrap();
    assert_eq!(memory["received"], serde_json::json!([]));
    let kept = answer(Message::Remove { iccid: own }).unwrap();
    assert!(kept.contains("keeps it"), "{kept}");
}

/// A wrong PIN is said, and costs one try however often the watch is asked.
#[test]
fn a_wrong_pin_is_told_and_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut locked = subscriber(1);
    locked.codes.pin1_enabled = true;
    let card = Card::new(folder.path(), &[&package(folder.path(), &locked)]);
    let (description, image) = (folder.path().join("phone.toml"), folder.path().join("phone.img"));
    let _ = run(command(&state, ["subscriber", "new"]).arg(&description)).success();
    let new =
        run(command(&state, ["card", "new"]).arg(&image).args(["--type", "uicc", "--subscriber"]).arg(&description));
    let _ = new.success();
    let entitlement = "https://127.0.0.1:9/".to_owned();
    let phone = Phone { folder: folder.path(), card: image, memory: "phone", entitlement };
    let watch = Watch::serve(folder.path(), card.image(), &Way::lan(), &["--pin", "9999"]);
    phone.pair(&watch);
    let wrong = "the PIN is wrong; tries left before the card is blocked: 2";
    let kept_back = "requires its PIN (tries left: 2)";
    for said in [wrong, kept_back, kept_back] {
        let refused = phone.run(&watch, &["acquire"]);
        assert!(!refused.status.success() && refused.stderr.contains(said), "{said}: {refused:#?}");
    }
    assert!(watch.process.log().contains(wrong), "{}", watch.process.log());
    drop(watch);
    let watch = Watch::serve(folder.path(), card.image(), &Way::lan(), &["--pin", "0000"]);
    let refused = phone.run(&watch, &["acquire"]);
    assert!(refused.stdout.contains("\"event\":\"identifiers\""), "the right one is taken: {refused:#?}");
}

/// Who is forgotten is a stranger, though the watch is waiting meanwhile; pairing again mends it.
fn a_forgotten_phone_is_a_stranger(way: &Way, carrier: &str) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let card = Card::new(folder.path(), &[]);
    let (description, image) = (folder.path().join("phone.toml"), folder.path().join("phone.img"));
    let _ = run(command(&state, ["subscriber", "new"]).arg(&description)).success();
    let new =
        run(command(&state, ["card", "new"]).arg(&image).args(["--type", "uicc", "--subscriber"]).arg(&description));
    let _ = new.success();
    // Neither has a card in this.
    let bonds = |role: &str, memory: &str, options: &[&str]| {
        let mut bonds = command(&state, ["device", role, "bonds", "--memory"]);
        run(bonds.arg(folder.path().join(memory)).args(options))
    };
    let entitlement = "https://127.0.0.1:9/".to_owned();
    let phone = Phone { folder: folder.path(), card: image, memory: "phone", entitlement };
    assert_eq!(bonds("secondary", "watch", &[]).success().stdout, "no paired devices\n");
    let watch = Watch::serve(folder.path(), card.image(), way, &[]);
    phone.pair(&watch);
    let let_in = || phone.run(&watch, &["acquire"]).stdout.contains("\"event\":\"identifiers\"");
    assert!(let_in());

    let listed = json_lines(&bonds("secondary", "watch", &["--json"]).success());
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let bond = &listed[0];
    assert_eq!((&bond["event"], &bond["carrier"]), (&"bond".into(), &carrier.into()), "{bond}");
    let device = bond["device"].as_str().unwrap();
    let watch_of_phone = bonds("primary", "phone", &[]).success().stdout;
    assert!(watch_of_phone.starts_with("“Watch” "), "{watch_of_phone}");
    let unknown = bonds("secondary", "watch", &["--forget", "Nobody"]);
    assert!(!unknown.status.success() && unknown.stderr.contains(&device[..16]), "{unknown:#?}");
    let forgotten = json_lines(&bonds("secondary", "watch", &["--json", "--forget", &device[..8]]).success());
    assert_eq!((&forgotten[0]["event"], &forgotten[0]["device"]), (&"forgotten".into(), &bond["device"]));
    assert_eq!(bonds("secondary", "watch", &[]).success().stdout, "no paired devices\n");

    let refused = phone.run(&watch, &["acquire"]);
    assert!(!refused.status.success() && refused.stderr.contains("these devices are not paired"), "{refused:#?}");
    assert!(!refused.stdout.contains("identifiers"), "{refused:#?}");
    phone.pair(&watch);
    assert!(let_in());
    // The other way round, by name.
    let _ = bonds("primary", "phone", &["--forget", "Watch"]).success();
    let refused = phone.run(&watch, &["acquire"]);
    assert!(!refused.status.success() && refused.stderr.contains("paired"), "{refused:#?}");
    phone.pair(&watch);
    assert!(let_in());
}

#[test]
fn a_forgotten_phone_is_unknown_on_the_local_network() {
    a_forgotten_phone_is_a_stranger(&Way::lan(), "lan");
}

#[test]
fn a_forgotten_phone_is_unknown_by_bluetooth() {
    let folder = tempfile::tempdir().unwrap();
    let Some(controllers) = Controllers::start(folder.path()) else { return };
    a_forgotten_phone_is_a_stranger(&Way::bluetooth(&controllers), "bluetooth");
}
