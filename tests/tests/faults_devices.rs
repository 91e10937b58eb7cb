//! Phones and watches that are taken away as by a power cut, at every step of a flow, and cards torn out of their reader
//! in the middle of a command. A restarted process comes back with what is on its disk, and its user repeats the same
//! command. In the end card, SM-DP+ and register agree: one order, one charge, a number on a card that works.
//!
//! Devices are processes here, `vuicc device …`; what they tell on stdout is what they are killed at.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use apdu::InProcess;
use device::usim::Usim;
use serde_json::Value;
use vuicc_tests::dice::Dice;
use vuicc_tests::hearing::{Heard, Reply, Told};
use vuicc_tests::network::{Invented, Network, free_port};
use vuicc_tests::postgresql::Cluster;
use vuicc_tests::process::{Finished, run};
use vuicc_tests::reader::{Reader, beside_private_reader};

/// How often a user asks again without getting any further, before giving up.
const TRIES: usize = 4;
/// Most kills at random in one flow.
const KILLS: usize = 16;
/// Most cards torn out in one flow: it takes a service a second each time to take notice.
const TEARS: usize = 8;
/// Most commands a card has until it is torn out.
const COMMANDS: u64 = 60;
/// Longer than pcscd's time between two looks at a reader.
const BETWEEN_LOOKS: Duration = Duration::from_millis(600);
/// Time between two looks here.
const GLANCE: Duration = Duration::from_millis(10);
/// Longest silence between the two devices, in seconds.
const TIMEOUT: &str = "20";
/// How long the servers may take to agree once nobody disturbs them.
const SETTLING: Duration = Duration::from_mins(1);

// ── What goes wrong ────────────────────────────────────────────────────────────────────────────────────────────────

/// What is taken away when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The devices, each at every step it tells of, the first time it gets there.
    EveryStep,
    /// The old phone alone, at every step.
    OldPhone,
    /// The devices, whenever a die says so.
    AnyMoment,
    /// The devices and all servers, whenever a die says so.
    Anything,
    /// The cards, out of their reader, after as many commands as a die says.
    AnyCommand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Victim {
    Phone,
    Watch,
    /// The phone that a number leaves.
    OldPhone,
}

struct Stage {
    network: Network,
    trouble: Trouble,
    on: AtomicBool,
    /// Steps at which somebody was killed.
    troubled: Mutex<HashSet<(Victim, String)>>,
    dice: Dice,
    kills: AtomicUsize,
    /// What people were told when it did not work.
    told: Mutex<Vec<String>>,
}

impl Stage {
    fn new(trouble: Trouble) -> Arc<Self> {
        Self::on(Network::start(), trouble)
    }

    fn on(network: Network, trouble: Trouble) -> Arc<Self> {
        Arc::new(Self {
            network,
            trouble,
            on: AtomicBool::new(false),
            troubled: Mutex::default(),
            dice: Dice::new(&format!("{trouble:?}")),
            kills: AtomicUsize::new(0),
            told: Mutex::default(),
        })
    }

    /// Does something while there is trouble.
    fn during_trouble<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.network.kills();
        self.kills.store(0, Ordering::SeqCst);
        self.troubled.lock().unwrap().clear();
        self.on.store(true, Ordering::SeqCst);
        let done = thread::scope(|scope| {
            if self.trouble == Trouble::Anything {
                scope.spawn(|| self.sabotage());
            }
            let over = Over(&self.on);
            let done = act();
            drop(over);
            done
        });
        let kills = self.kills.load(Ordering::SeqCst);
        println!("{kills} kills of devices and cards, {} of servers", self.network.kills() - before);
        assert!(kills > 0, "trouble was announced, and nothing happened");
        done
    }

    /// Takes servers away.
    fn sabotage(&self) {
        let servers: Vec<_> = self.network.servers().collect();
        for _ in 0..KILLS {
            thread::sleep(Duration::from_millis(self.dice.below(200)));
            if !self.on.load(Ordering::SeqCst) {
                return;
            }
            let drawn = usize::try_from(self.dice.below(60)).unwrap() % servers.len();
            self.network.kill(servers[drawn]);
        }
    }

    /// Whether a device that has told this is killed at it.
    fn is_fatal(&self, victim: Victim, line: &Value) -> bool {
        println!("  {victim:?}: {line}");
        let fatal = self.on.load(Ordering::SeqCst)
            && (self.trouble == Trouble::EveryStep || (self.trouble, victim) == (Trouble::OldPhone, Victim::OldPhone))
            && self.troubled.lock().unwrap().insert((victim, step(line)));
        self.kills.fetch_add(usize::from(fatal), Ordering::SeqCst);
        fatal
    }

    /// How many more of `limit` units something that starts now has until it is taken away; `None` if it is left alone.
    fn lifetime(&self, trouble: Trouble, limit: u64) -> Option<u64> {
        let most = if trouble == Trouble::AnyCommand { TEARS } else { KILLS };
        let meant = self.trouble == trouble || (self.trouble, trouble) == (Trouble::Anything, Trouble::AnyMoment);
        let kills = self.kills.load(Ordering::SeqCst);
        // The first comes early: a quick flow must not be over before it.
        let limit = if kills == 0 { limit.div_ceil(10) } else { limit };
        (meant && kills < most && self.on.load(Ordering::SeqCst)).then(|| self.dice.below(limit))
    }

    /// Notes that something was taken away that was given a [`Self::lifetime`].
    fn killed(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
    }

    /// Does something as a user does: if it fails, once more with the same words.
    fn persist(&self, what: &str, mut act: impl FnMut() -> Finished) -> Finished {
        let mut in_vain = 0;
        while in_vain < TRIES {
            let kills = || self.kills.load(Ordering::SeqCst) + self.network.kills();
            let before = kills();
            let finished = act();
            if finished.status.success() {
                return finished;
            }
            in_vain = if kills() > before { 0 } else { in_vain + 1 };
            self.note(what, &finished);
        }
        panic!("{what}: in vain, {:#?}", self.told.lock());
    }

    /// A user reads why it did not work.
    fn note(&self, what: &str, finished: &Finished) {
        if finished.code().is_some() {
            let said = finished.stderr.trim().to_owned();
            println!("! {what}: {said}");
            assert!(said.contains("vuicc: "), "{what} failed without a word: {finished:#?}");
            self.told.lock().unwrap().push(format!("{what}: {said}"));
        }
    }

    /// Waits until something is as it should be.
    fn eventually<T: PartialEq + core::fmt::Debug>(&self, what: &str, wanted: &T, mut look: impl FnMut() -> T) {
        let end = Instant::now() + SETTLING;
        loop {
            let found = look();
            if found == *wanted {
                return;
            }
            assert!(Instant::now() < end, "{what}: {found:#?}, not {wanted:#?}; {:#?}", self.told.lock());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Ends the trouble, also where the test fails in it.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// What tells one step from another.
fn step(line: &Value) -> String {
    let word = |name: &str| line[name].as_str().unwrap_or_default();
    ["from", "event", "operation", "operation_type", "credential", "step", "result"].map(word).join("/")
}

// ── Devices ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Where a card is.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// In the device itself.
    Image(&'a Path),
    /// In a slot of the reader.
    Slot(u16),
}

/// What a device is started with: its card, what it remembers, and the operator it trusts.
struct Device {
    stage: Arc<Stage>,
    card: [OsString; 2],
    memory: PathBuf,
}

impl Device {
    fn new(stage: &Arc<Stage>, name: &str, card: Place<'_>) -> Self {
        let card = match card {
            Place::Image(image) => ["--card".into(), image.into()],
            Place::Slot(slot) => ["--reader".into(), Reader::name(slot).into()],
        };
        Self { stage: Arc::clone(stage), card, memory: stage.network.path(&format!("{name}-memory")) }
    }

    fn command(&self, role: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = self.stage.network.command(&[
            "device",
            role,
            "--yes",
            "--digits-are-the-same",
            "--loopback",
            "--patience",
            TIMEOUT,
        ]);
        command.args(&self.card).arg("--memory").arg(&self.memory);
        if role == "primary" {
            let network = &self.stage.network;
            let is_mt = arguments.first() == Some(&"messages");
            command.args(["--entitlement", &if is_mt { network.mt_url() } else { network.base_url() }]);
        }
        command.args(arguments);
        command
    }

    /// Asks for something; `code` knows the codes that came by SMS. Where none can come, who is asked for one asks anew.
    fn ask(&self, arguments: &[&str], code: impl Fn() -> Option<String>) -> Finished {
        // A user who is asked for a code again and again has to wait for an hour in the end.
        let asks_for_code = arguments.first() == Some(&"upgrade") && !self.is_known();
        let lifetime = if asks_for_code { None } else { self.stage.lifetime(Trouble::AnyMoment, 100) };
        let lifetime = lifetime.map(Duration::from_millis);
        let finished = Heard::start(&mut self.command("primary", arguments)).to_the_end(lifetime, |line| {
            if self.stage.is_fatal(Victim::Phone, line) {
                return Reply::Kill;
            }
            if asks_for_code && self.is_known() && self.stage.lifetime(Trouble::AnyMoment, 1).is_some() {
                self.stage.killed();
                return Reply::Kill;
            }
            if line["event"] == "code" { code().map_or(Reply::Kill, Reply::Say) } else { Reply::Listen }
        });
        if lifetime.is_some() && finished.code().is_none() {
            self.stage.killed();
        }
        finished
    }

    /// Whether it remembers that the operator has authenticated it.
    fn is_known(&self) -> bool {
        std::fs::read_to_string(self.memory.join("device.json")).is_ok_and(|memory| memory.contains("\"endpoint\""))
    }

    /// Takes messages as an old phone does, once, and may be taken away at it. What it has shown, and how it ended.
    fn take_messages(&self) -> (Vec<Value>, Finished) {
        let lifetime = self.stage.lifetime(Trouble::AnyMoment, 1000).map(Duration::from_millis);
        let mut lines = Vec::new();
        let messages = Heard::start(&mut self.command("primary", &["messages", "--wait", "2"]));
        let finished = messages.to_the_end(lifetime, |line| {
            lines.push(line.clone());
            if self.stage.is_fatal(Victim::OldPhone, line) { Reply::Kill } else { Reply::Listen }
        });
        if lifetime.is_some() && finished.code().is_none() {
            self.stage.killed();
        }
        if !finished.status.success() {
            self.stage.note("the old phone", &finished);
        }
        (lines, finished)
    }

    /// The code that comes by SMS, sooner or later. `ready` waits until the card is there.
    fn code(&self, ready: impl Fn()) -> String {
        let end = Instant::now() + SETTLING;
        while Instant::now() < end {
            ready();
            let (lines, _) = self.take_messages();
            if let Some(code) = lines.iter().rev().find_map(|line| code_in(line["text"].as_str()?)) {
                return code;
            }
        }
        panic!("no code came: {:#?}", self.stage.told.lock());
    }

    /// Takes messages until it has heard that its number has moved, and has taken its card out of use.
    fn hear_of_the_move(&self, ready: impl Fn()) {
        let end = Instant::now() + SETTLING;
        while Instant::now() < end {
            ready();
            let (_, finished) = self.take_messages();
            // A profile that has been deleted is no card any more.
            let over = ["was taken out of use by its operator", "the card has no USIM"];
            if finished.code().is_some() && over.iter().any(|over| finished.stderr.contains(over)) {
                return;
            }
        }
        panic!("it hears of nothing: {:#?}", self.stage.told.lock());
    }

    /// Whether the network authenticates the card.
    fn is_let_in(&self) -> bool {
        let finished = run(&mut self.command("primary", &["messages"]));
        let attached = finished.stdout.contains("\"attached\"");
        // One that was refused learns why, or that its number has moved.
        assert!(
            attached || finished.stdout.contains("card_disabled") || finished.stderr.contains("not"),
            "{finished:#?}"
        );
        attached
    }
}

/// A watch that waits for its phone, and is started again whenever it has gone.
struct Watch {
    at: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    waits: Mutex<bool>,
    changed: Condvar,
}

impl Shared {
    fn set(&self, waits: bool) {
        *self.waits.lock().unwrap() = waits;
        self.changed.notify_all();
    }
}

impl Watch {
    fn start(device: Device) -> Self {
        let at = format!("127.0.0.1:{}", free_port());
        let shared = Arc::new(Shared::default());
        let (here, beside) = (at.clone(), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            while !beside.over.load(Ordering::SeqCst) {
                live(&device, &here, &beside);
                beside.set(false);
            }
        });
        Self { at, shared, thread: Some(thread) }
    }

    /// Where it is, once it waits there.
    fn at(&self) -> &str {
        let waits = self.shared.waits.lock().unwrap();
        let (_waits, late) = self.shared.changed.wait_timeout_while(waits, SETTLING, |waits| !*waits).unwrap();
        assert!(!late.timed_out(), "the watch does not come up");
        &self.at
    }
}

/// Switches it off, also where the test fails: what it runs must not outlive it.
impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        join(&mut self.thread);
    }
}

/// Waits for a thread; if the test does not fail yet, what it has failed of is the test's failure.
fn join(thread: &mut Option<JoinHandle<()>>) {
    let outcome = thread.take().map(JoinHandle::join);
    assert!(thread::panicking() || !matches!(outcome, Some(Err(_))), "a thread has failed, as said above");
}

/// One life of the watch.
fn live(device: &Device, at: &str, shared: &Shared) {
    let lifetime = device.stage.lifetime(Trouble::AnyMoment, 300).map(Duration::from_millis);
    let begun = Instant::now();
    let mut watch = Heard::start(&mut device.command("secondary", &["serve", "--pair", "--listen", at]));
    while !shared.over.load(Ordering::SeqCst) {
        if lifetime.is_some_and(|lifetime| begun.elapsed() > lifetime) {
            device.stage.killed();
            return;
        }
        match watch.listen(GLANCE) {
            // It listens from then on.
            Told::Line(line) if line["event"] == "waiting" => shared.set(true),
            Told::Line(line) => {
                if device.stage.is_fatal(Victim::Watch, &line) {
                    return;
                }
            }
            Told::Nothing => {}
            Told::End => {
                shared.set(false);
                device.stage.note("the watch", &watch.end());
                // Without a card it cannot be started; its user looks for one.
                return thread::sleep(BETWEEN_LOOKS);
            }
        }
    }
}

/// A card in a slot of the reader, which comes back whenever it was torn out.
struct Inserted<'a> {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    reader: &'a Reader,
    slot: u16,
}

impl<'a> Inserted<'a> {
    fn new(stage: &Arc<Stage>, reader: &'a Reader, slot: u16, image: &Path) -> Self {
        let trace = stage.network.path(&format!("slot-{slot}.json"));
        let mut run = stage.network.command(&["card", "run"]);
        run.arg(image).args(["--reader", &reader.slot(slot)]).arg("--trace").arg(&trace);
        let over = Arc::new(AtomicBool::new(false));
        let (stage, taken_out, service) = (Arc::clone(stage), Arc::clone(&over), reader.clone());
        let thread = thread::spawn(move || {
            while !taken_out.load(Ordering::SeqCst) {
                plug(&stage, &mut run, &trace, &taken_out);
                // No hand is quicker than the service's looks at its reader; were it, the service would lose the card.
                thread::sleep(BETWEEN_LOOKS);
                service.wait_until_empty(slot);
            }
        });
        let inserted = Self { over, thread: Some(thread), reader, slot };
        inserted.wait();
        inserted
    }

    /// Waits until a host can see it.
    fn wait(&self) {
        let end = Instant::now() + SETTLING;
        while !self.reader.holds_card(self.slot) {
            assert!(Instant::now() < end, "no card in slot {}", self.slot);
            thread::sleep(GLANCE);
        }
    }
}

/// Takes it out.
impl Drop for Inserted<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        join(&mut self.thread);
    }
}

/// From a card's insertion to its being torn out.
fn plug(stage: &Stage, run: &mut std::process::Command, trace: &Path, over: &AtomicBool) {
    let _ = std::fs::remove_file(trace);
    let mut card = Heard::start(run);
    let mut lifetime = None;
    while !over.load(Ordering::SeqCst) {
        let commands = std::fs::read_to_string(trace).map_or(0, |text| text.lines().count());
        let commands = u64::try_from(commands).unwrap();
        // How long it has is known once the trouble begins.
        lifetime = lifetime.or_else(|| Some(commands + stage.lifetime(Trouble::AnyCommand, COMMANDS)?));
        if lifetime.is_some_and(|lifetime| commands > lifetime) {
            stage.killed();
            break;
        }
        match card.listen(Duration::from_millis(1)) {
            Told::Line(line) => println!("  Card: {line}"),
            Told::Nothing => {}
            Told::End => return stage.note("the card", &card.end()),
        }
    }
}

// ── The flows ──────────────────────────────────────────────────────────────────────────────────────────────────────

/// What the card says of the only profile on it.
fn on_card(stage: &Stage, card: &Path) -> Vec<(String, String)> {
    let lines = stage.network.vuicc(&["lpa", "--card", card.to_str().unwrap(), "profile", "list"]);
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines.iter().map(|line| (word(line, "iccid"), word(line, "state"))).collect()
}

/// Everybody says the same of the one profile that was ordered, and nobody of another one.
fn agreed(stage: &Stage, subscriber: &Invented, stock: &[Invented], card: &Path, states: [&str; 2]) -> String {
    let [at_smdp, order] = states;
    let orders = stage.network.orders_of(&subscriber.imsi);
    assert_eq!(orders.len(), 1, "{orders:#?}");
    let iccid = orders[0]["iccid"].as_str().unwrap().to_owned();
    stage.eventually("the SM-DP+", &(at_smdp.to_owned(), stock.len() - 1), || {
        stage.network.vuicc(&["lpa", "--card", card.to_str().unwrap(), "notification", "process"]);
        let profiles = stage.network.profiles();
        let available = profiles.iter().filter(|(_, state)| state == "Available").count();
        let profile = profiles.into_iter().find(|(other, _)| *other == iccid);
        (profile.unwrap().1, available)
    });
    stage.eventually("orders and charges", &vec![(order.to_owned(), iccid.clone(), true)], || {
        let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let orders = stage.network.orders_of(&subscriber.imsi);
        orders.iter().map(|line| (text(line, "state"), text(line, "iccid"), line["charged_at"].is_u64())).collect()
    });
    iccid
}

fn imsi_of(stock: &[Invented], iccid: &str) -> String {
    stock.iter().find(|one| one.iccid == iccid).unwrap().imsi.clone()
}

/// Lets a user ask until it works: what it is about, and the words.
type Ask<'a> = &'a dyn Fn(&str, &[&str]);

/// Flow 1: pairing, a profile for the watch, the phone's number for both. Then flow 5: all of it undone. With a reader the
/// cards are in it, and are torn out of it.
fn there_and_back(stage: &Arc<Stage>, reader: Option<&Reader>) {
    let (subscriber, image) = stage.network.subscriber("phone");
    let stock = stage.network.stock(2);
    let (chip, eid) = stage.network.euicc("watch");
    let insert =
        || reader.map(|reader| [(0, &image), (1, &chip)].map(|(slot, card)| Inserted::new(stage, reader, slot, card)));
    let place = |slot, image| if reader.is_some() { Place::Slot(slot) } else { Place::Image(image) };
    let during_trouble = |act: &dyn Fn(Ask<'_>)| {
        let inserted = insert();
        let phone = Device::new(stage, "phone", place(0, &image));
        let watch = Watch::start(Device::new(stage, "watch", place(1, &chip)));
        stage.during_trouble(|| {
            act(&|what, arguments| {
                stage.persist(what, || {
                    inserted.iter().flatten().for_each(Inserted::wait);
                    // A server that was killed amid EAP offers a code instead; the card it comes to is in use.
                    phone.ask(&[arguments, &["--to", watch.at()]].concat(), || None)
                });
            });
        });
    };

    during_trouble(&|ask| {
        ask("pairing", &["pair"]);
        // Through the phone's connection, which has to be there again as well, or by the watch's own.
        let through = matches!(stage.trouble, Trouble::AnyMoment | Trouble::Anything);
        ask("a profile", if through { &["acquire", "--through-primary"] } else { &["acquire"] });
        ask("the number", &["activate", "--secondary-id", &format!("eid:{eid}")]);
    });
    let iccid = agreed(stage, &subscriber, &stock, &chip, ["Enabled", "bound"]);
    assert_eq!(on_card(stage, &chip), [(iccid.clone(), "enabled".to_owned())]);
    let imsi = imsi_of(&stock, &iccid);
    let subscription = stage.network.subscription(&imsi);
    assert_eq!(subscription["status"], "active");
    assert!(subscription["shared"].is_string(), "{subscription}");
    let is_let_in = |image: &Path| Device::new(stage, "checked", Place::Image(image)).is_let_in();
    assert!(is_let_in(&image) && is_let_in(&chip), "both devices are let in");

    during_trouble(&|ask| ask("unbinding", &["unbind", "--remove-profile"]));
    agreed(stage, &subscriber, &stock, &chip, ["Deleted", "deleted"]);
    assert_eq!(on_card(stage, &chip), []);
    let subscription = stage.network.subscription(&imsi);
    assert_eq!(subscription["status"], "barred");
    assert!(subscription["shared"].is_null(), "{subscription}");
    assert!(is_let_in(&image), "the phone is let in");
}

/// What the old phone of flow 7 has its number on.
#[derive(Clone, Copy)]
enum Old<'a> {
    Uicc,
    /// A UICC in the reader, torn out of it.
    TornOut(&'a Reader),
    /// A profile, which is disabled and deleted in the end.
    Euicc,
}

/// Flow 7: from the card of the old phone to the eUICC of the new one.
fn upgrade(stage: &Arc<Stage>, kind: Old<'_>) {
    let (subscriber, mut image) = stage.network.subscriber("old");
    if matches!(kind, Old::Euicc) {
        image = stage.network.path("old-euicc.img");
        let [image, file] = [&image, &subscriber.file].map(|path| path.to_str().unwrap());
        stage.network.vuicc(&["card", "new", image, "--subscriber", file]);
    }
    let stock = stage.network.stock(2);
    let (chip, _) = stage.network.euicc("new");
    let (inserted, place) = match kind {
        Old::TornOut(reader) => (Some(Inserted::new(stage, reader, 0, &image)), Place::Slot(0)),
        Old::Uicc | Old::Euicc => (None, Place::Image(&image)),
    };
    let old = Device::new(stage, "old", place);
    let new = Device::new(stage, "new", Place::Image(&chip));
    let number = subscriber.msisdn.clone().unwrap();
    let codes = Mutex::new(Vec::new());
    let ready = || inserted.iter().for_each(Inserted::wait);
    let code = || {
        let code = old.code(ready);
        codes.lock().unwrap().push(code.clone());
        Some(code)
    };
    stage.during_trouble(|| {
        stage.persist("upgrade", || new.ask(&["upgrade", "--old-number", &number], code));
        old.hear_of_the_move(ready);
    });
    drop(inserted);
    let iccid = agreed(stage, &subscriber, &stock, &chip, ["Enabled", "enabled"]);
    assert_eq!(on_card(stage, &chip), [(iccid.clone(), "enabled".to_owned())]);
    let line = |imsi: &str| {
        let found = stage.network.subscription(imsi);
        (found["status"].as_str().unwrap_or_default().to_owned(), found["msisdn"].as_str().map(str::to_owned))
    };
    assert_eq!(line(&imsi_of(&stock, &iccid)), ("active".to_owned(), Some(number)));
    assert_eq!(line(&subscriber.imsi), ("barred".to_owned(), None));
    assert!(new.is_let_in(), "the new card has the number");
    if matches!(kind, Old::Euicc) {
        return assert_eq!(on_card(stage, &image), [], "the old profile is gone");
    }
    assert!(!Device::new(stage, "checked", Place::Image(&image)).is_let_in(), "the old card is out of use");
    let (messages, codes) = (messages_on(&image), codes.into_inner().unwrap());
    let distinct: HashSet<_> = messages.iter().collect();
    assert_eq!(distinct.len(), messages.len(), "{messages:?}: each once");
    assert!(codes.iter().all(|code| distinct.contains(code)), "{codes:?} of {messages:?}");
    // A new phone that is cut off asks for another one.
    if matches!(stage.trouble, Trouble::OldPhone | Trouble::AnyCommand) {
        assert_eq!((messages.len(), codes.len()), (1, 1), "one was asked for, and did not get lost");
    }
}

/// The codes in the messages on a card; all of them were read.
fn messages_on(image: &Path) -> Vec<String> {
    let mut card = InProcess::connect(card::open(image).unwrap());
    let messages = Usim::open(&mut card, None).unwrap().messages().unwrap();
    let read = |(_, record): (u8, sms::Record)| {
        assert_eq!(record.status, sms::Status::Read);
        let text = sms::Deliver::decode(&record.tpdu).unwrap().data.as_text().unwrap();
        code_in(&text).unwrap()
    };
    messages.into_iter().map(read).collect()
}

/// The only six digits in a row.
fn code_in(text: &str) -> Option<String> {
    text.split(|character: char| !character.is_ascii_digit()).find(|run| run.len() == 6).map(str::to_owned)
}

// ── The tests ──────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_watch_comes_and_goes_while_phone_and_watch_are_killed_at_every_step() {
    there_and_back(&Stage::new(Trouble::EveryStep), None);
}

#[test]
fn a_watch_comes_and_goes_while_phone_and_watch_are_killed_at_any_moment() {
    there_and_back(&Stage::new(Trouble::AnyMoment), None);
}

#[test]
fn a_watch_comes_and_goes_while_anything_is_killed_at_any_moment() {
    let Some(database) = Cluster::new("anything at any moment") else { return };
    there_and_back(&Stage::on(Network::in_parts(database), Trouble::Anything), None);
}

#[test]
fn a_watch_comes_and_goes_while_its_card_and_the_phones_are_torn_out() {
    beside_private_reader(|reader| there_and_back(&Stage::new(Trouble::AnyCommand), Some(reader)));
}

#[test]
fn a_number_moves_while_the_old_and_the_new_phone_are_killed_at_every_step() {
    upgrade(&Stage::new(Trouble::EveryStep), Old::Uicc);
}

#[test]
fn a_number_moves_while_the_old_phone_is_killed_at_every_step() {
    upgrade(&Stage::new(Trouble::OldPhone), Old::Uicc);
}

#[test]
fn a_number_moves_while_the_old_phone_with_its_euicc_is_killed_at_every_step() {
    upgrade(&Stage::new(Trouble::OldPhone), Old::Euicc);
}

#[test]
fn a_number_moves_while_the_old_and_the_new_phone_are_killed_at_any_moment() {
    upgrade(&Stage::new(Trouble::AnyMoment), Old::Uicc);
}

#[test]
fn a_number_moves_while_its_old_card_is_torn_out() {
    beside_private_reader(|reader| upgrade(&Stage::new(Trouble::AnyCommand), Old::TornOut(reader)));
}
