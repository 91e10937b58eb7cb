//! Old phones and new ones as programs, `vuicc device primary`, beside an operator that runs: a number moves from a UICC to
//! an eUICC and on to two more, the code is scanned from the QR code that the old phone shows, and each old phone takes
//! itself out of use, on being told or on asking.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vuicc_tests::process::{Finished, Process, run, run_with_stdin};
use vuicc_tests::vuicc::{Card, SmDp, command, json_lines};
use vuicc_tests::{peer, subscriber};

/// Tells its environment, and waits until it may go on, or until the test's folder is no more.
const LOOK_AROUND: &str = "env > env.new && mv env.new env && while [ -e env ] && [ ! -e go ]; do sleep 0.1; done";

/// An operator with its SM-DP+, as a flow leaves them running, and people of our own.
struct World {
    folder: tempfile::TempDir,
    demo: Process,
    state: PathBuf,
    entitlement: String,
    smdp: String,
}

impl World {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = command(&folder.path().join("state"), ["--json", "demo", "--in-process", "one-device"]);
        let mut demo = Process::start(demo.args(["--then", LOOK_AROUND]).current_dir(folder.path()), folder.path());
        let environment = folder.path().join("env");
        demo.wait_until("the end of the flow", |_| environment.exists());
        let environment = fs::read_to_string(environment).unwrap();
        let variables: BTreeMap<_, _> = environment.lines().filter_map(|line| line.split_once('=')).collect();
        let [state, entitlement, smdp] =
            ["VUICC_STATE", "VUICC_ENTITLEMENT", "VUICC_SMDP"].map(|name| variables[name].to_owned());
        Self { folder, demo, state: state.into(), entitlement, smdp }
    }

    fn end(mut self) {
        fs::write(self.path("go"), "").unwrap();
        assert!(self.demo.wait_for_end().success(), "{}", self.demo.log());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn vuicc(&self, arguments: &[&str]) -> Vec<Value> {
        json_lines(&run(command(&self.state, ["--json"]).args(arguments)).success())
    }

    /// Somebody with a UICC; image and number.
    fn customer(&self) -> (PathBuf, String) {
        let (file, image) = (self.path("anna.toml"), self.path("anna.img"));
        let made = self.vuicc(&["subscriber", "new", text(&file)]).remove(0);
        self.vuicc(&["card", "new", text(&image), "--type", "uicc", "--subscriber", text(&file)]);
        self.vuicc(&["operator", "subscriber", "add", text(&file), "--contract"]);
        (image, made["msisdn"].as_str().unwrap().trim_start_matches('+').to_owned())
    }

    /// Profiles at the SM-DP+, whose contracts are signed.
    fn stock(&self, count: usize) {
        let options = ["--count", &count.to_string(), "--no-msisdn", "--profile-name", "Companion"];
        let made = self.vuicc(&[&["subscriber", "new", text(&self.path("stock.toml"))], &options[..]].concat());
        for line in made {
            let file = line["file"].as_str().unwrap();
            self.vuicc(&["operator", "subscriber", "add", file, "--status", "provisioned", "--contract"]);
            self.vuicc(&["smdp", "profile", "add", file, "--address", &self.smdp]);
        }
    }

    fn empty_euicc(&self, name: &str) -> PathBuf {
        let image = self.path(name);
        self.vuicc(&["card", "new", text(&image)]);
        image
    }

    /// A phone with this card, and a memory that goes with it.
    fn phone(&self, card: &Path) -> Command {
        let mut phone = command(&self.state, ["--json", "device", "primary", "--card"]);
        let memory = card.with_extension("memory");
        phone.arg(card).args(["--memory", text(&memory), "--entitlement", &self.entitlement]);
        phone
    }

    /// An old phone, which waits for messages.
    fn waits(&self, card: &Path, options: &[&str]) -> Process {
        let mut old = self.phone(card);
        let mut old = Process::start(old.args(["messages", "--wait", "90"]).args(options), self.folder.path());
        old.wait_until("its attachment", |old| old.log().contains("\"event\":\"attached\""));
        old
    }

    /// A new phone, which takes the number over.
    fn takes_over(&self, card: &Path, number: &str, options: &[&str]) -> Finished {
        run(self.phone(card).args(["upgrade", "--yes", "--old-number", number]).args(options))
    }

    /// The profiles on a card: their states.
    fn profiles(&self, card: &Path) -> Vec<String> {
        let profiles = self.vuicc(&["lpa", "--card", text(card), "profile", "list"]);
        profiles.iter().map(|profile| profile["state"].as_str().unwrap().to_owned()).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The events in what a program printed.
fn events(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn has(log: &str, event: &str) -> bool {
    events(log).iter().any(|line| line["event"] == event)
}

#[test]
fn a_number_moves_on_and_old_phones_take_themselves_out_of_use() {
    let world = World::start();
    world.stock(3);
    let (uicc, number) = world.customer();
    let cards = ["first.img", "second.img", "third.img"].map(|name| world.empty_euicc(name));
    let [first, second, third] = &cards;

    // From the UICC. Somebody holds the wrong QR codes before the camera first.
    let (code, activation, other) = (world.path("code.png"), world.path("lpa.png"), world.path("other.png"));
    fs::write(&activation, qr("LPA:1$smdp.example.com$ABCD-EFGH")).unwrap();
    fs::write(&other, qr("VUICC-CODE:1$15550000001$123456")).unwrap();
    let mut old = world.waits(&uicc, &["--qr", "--qr-file", text(&code)]);
    let pictures = [&activation, &other, &code].map(|picture| ["--scan", text(picture)]).concat();
    let told = world.takes_over(first, &number, &pictures).success();
    assert!(told.stderr.contains("is an activation code for a profile"), "{told:#?}");
    assert!(told.stderr.contains(&format!("has the code of +15550000001; the one for +{number} is")), "{told:#?}");
    assert!(has(&told.stdout, "code_entered") && has(&told.stdout, "enabled"), "{told:#?}");
    assert!(old.wait_for_end().success(), "{}", old.log());
    assert!(has(&old.log(), "code_shown") && has(&old.log(), "card_disabled"), "{}", old.log());
    assert!(old.log().contains("████ ▄▄▄▄▄ █"), "drawn beside what a program reads: {}", old.log());
    let again = run(world.phone(&uicc).arg("status"));
    assert!(again.code() == Some(1) && again.stderr.contains("taken out of use"), "{again:#?}");
    reads_the_same(&code, &format!("VUICC-CODE:1${number}$"));

    // From eUICC to eUICC; the user has the profile deleted.
    fs::remove_file(&code).unwrap();
    let mut old = world.waits(first, &["--qr-file", text(&code), "--yes", "--msisdn", &number]);
    let _ = world.takes_over(second, &number, &["--scan", text(&code)]).success();
    assert!(old.wait_for_end().success(), "{}", old.log());
    let log = old.log();
    let told = ["profile_disabled", "deletion_offered", "deletion_answered", "removed"];
    assert!(told.iter().all(|event| has(&log, event)), "{log}");
    assert!(world.profiles(first).is_empty());

    // Once more. The old phone is switched off when the number moves, and learns it by asking; nobody is there to say
    // that the profile is to be deleted.
    fs::remove_file(&code).unwrap();
    let mut new = world.phone(third);
    let new = new.args(["upgrade", "--yes", "--old-number", &number, "--scan", text(&code)]);
    let mut new = Process::start(new, world.folder.path());
    new.wait_until("its wish for a code", |new| has(&new.log(), "code"));
    // The card does not know that it has the number now.
    let unnumbered = run(world.phone(second).args(["messages", "--qr"]));
    assert!(unnumbered.code() == Some(1) && unnumbered.stderr.contains("--msisdn"), "{unnumbered:#?}");
    while !code.exists() {
        let messages = ["messages", "--qr-file", text(&code), "--msisdn", &number];
        let _ = run(world.phone(second).args(messages)).success();
    }
    assert!(new.wait_for_end().success(), "{}", new.log());
    assert_eq!(world.profiles(second), ["enabled"]);
    let told = run(world.phone(second).arg("status")).success();
    assert!(has(&told.stdout, "profile_disabled") && !has(&told.stdout, "removed"), "{told:#?}");
    assert_eq!((world.profiles(second), world.profiles(third)), (vec!["disabled".into()], vec!["enabled".into()]));

    // A picture on standard input is looked at once, and of the wrong number is as good as none.
    let mut new = world.phone(first);
    new.args(["upgrade", "--old-number", "15550000009", "--scan", "-"]);
    let refused = run_with_stdin(&mut new, fs::File::open(&other).unwrap());
    let words = &refused.stderr;
    assert!(!refused.status.success() && words.contains("has the code of +15550000001"), "{words}");
    world.end();
}

#[test]
fn an_activation_code_is_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path(), &[]);
    let smdp = SmDp::serve(folder.path());
    let matching_id = smdp.offer(&subscriber::package(folder.path(), &subscriber::subscriber(1)), &[]);
    let picture = folder.path().join("letter.png");
    let download = |scan: &str| {
        let mut download = command(&folder.path().join("state"), ["--json", "lpa", "--card", text(card.image())]);
        download.args(["profile", "download", "--yes", "--scan", scan]);
        run_with_stdin(&mut download, fs::File::open(&picture).unwrap())
    };
    fs::write(&picture, qr("VUICC-CODE:1$15550000001$123456")).unwrap();
    let refused = download(text(&picture));
    let words = &refused.stderr;
    assert!(!refused.status.success() && words.contains("not an activation code"), "{words}");
    // From standard input, as from a camera that is a program.
    fs::write(&picture, qr(&format!("LPA:1${}${matching_id}", smdp.address()))).unwrap();
    let installed = download("-");
    assert!(has(&installed.success().stdout, "installed"));
}

/// `zbarimg` reads in the picture what this text begins with.
fn reads_the_same(picture: &Path, text: &str) {
    let Some(zbarimg) = peer::debian("zbarimg", "zbar-tools") else { return };
    let read = run(Command::new(zbarimg).args(["--quiet", "--raw"]).arg(picture)).success();
    assert!(read.stdout.starts_with(text) && read.stdout.trim().len() == text.len() + 6, "{read:#?}");
}

/// A QR code as PNG.
fn qr(text: &str) -> Vec<u8> {
    portal::qr::QrCode::of(text).unwrap().png(4)
}
