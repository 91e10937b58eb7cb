//! The operator as its administrator meets it: two servers as processes, subscribers from one file each, an order carried
//! out, health, metrics, an end in order, a restart that forgets nothing, and logs that give nobody away.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use saip::builder::Subscriber;
use serde_json::Value;
use tempfile::TempDir;
use vuicc_tests::postgresql::Cluster;
use vuicc_tests::process::{Process, run};
use vuicc_tests::vuicc::{command, json_lines};

/// An operator with its SM-DP+, and the folder where both keep everything.
struct World {
    folder: TempDir,
    /// Where the operator gets progress notifications, which the SM-DP+ has to know first.
    progress: String,
}

/// The running operator.
struct Operator {
    process: Process,
    listeners: Value,
}

impl World {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        Self { folder: tempfile::tempdir().expect("a folder"), progress: free.to_string() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn vuicc(&self, arguments: &[&str]) -> Vec<Value> {
        json_lines(&run(command(&self.path("state"), ["--json"]).args(arguments)).success())
    }

    /// Invents subscribers and reads what was invented.
    fn subscribers(&self, options: &[&str], file: &str) -> Vec<(PathBuf, Subscriber)> {
        let path = self.path(file);
        let made = self.vuicc(&[&["subscriber", "new", text(&path)], options].concat());
        let read = |line: &Value| {
            let path = PathBuf::from(line["file"].as_str().expect("a file"));
            let subscriber = toml::from_str(&fs::read_to_string(&path).expect("a description")).expect("a subscriber");
            (path, subscriber)
        };
        made.iter().map(read).collect()
    }

    /// The SM-DP+, and the URL of its ES2+ listener.
    fn smdp(&self) -> (Process, String) {
        let mut serve = command(&self.path("state"), ["--json", "-v", "--log", "json", "smdp", "serve"]);
        serve.args(["--listen", "127.0.0.1:0", "--es2-listen", "127.0.0.1:0"]);
        serve.args(["--operator", &format!("operator.test=https://{}", self.progress)]);
        let (process, line) = start(&mut serve, self.folder.path());
        let url = format!("https://{}", line["es2plus"].as_str().expect("an ES2+ listener"));
        (process, url)
    }

    fn operator(&self, smdp: &str) -> Operator {
        let mut serve = command(&self.path("state"), ["--json", "-v", "--log", "json", "operator", "serve"]);
        serve.args(["--smdp", smdp, "--progress-listen", &self.progress]);
        for option in ["--https-listen", "--internal-listen", "--smpp-listen", "--radius-listen"] {
            serve.args([option, "127.0.0.1:0"]);
        }
        let (process, listeners) = start(&mut serve, self.folder.path());
        Operator { process, listeners }
    }
}

impl Operator {
    fn at(&self, name: &str) -> &str {
        let listeners = self.listeners["listening"].as_array().expect("listeners");
        let found = listeners.iter().find(|listening| listening["listener"] == name);
        found.and_then(|listening| listening["at"].as_str()).unwrap_or_else(|| panic!("no listener for {name}"))
    }

    fn base_url(&self) -> &str {
        self.listeners["base_url"].as_str().expect("a URL")
    }

    /// Head and body of what is answered inside the operator's network.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.at("health and metrics")).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// A line of the metrics.
    fn metric(&self, name: &str) -> Option<String> {
        let page = self.get("/metrics");
        page.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Starts a server and waits for the line in which it says where it is.
fn start(serve: &mut std::process::Command, folder: &Path) -> (Process, Value) {
    let mut process = Process::start(serve, folder);
    let mut listeners = None;
    process.wait_until("where it listens", |process| {
        let lines = process.log();
        listeners = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line.get("listening").is_some());
        listeners.is_some()
    });
    (process, listeners.unwrap_or_default())
}

#[test]
fn an_order_is_carried_out_and_a_restart_forgets_nothing() {
    let world = World::new();
    let anna = world.subscribers(&[], "anna.toml").remove(0);
    let stock = world.subscribers(&["--count", "2", "--no-msisdn", "--profile-name", "Companion"], "stock.toml");
    // One description, three uses: register, card, profile.
    world.vuicc(&["operator", "subscriber", "add", text(&anna.0), "--contract"]);
    let phone = world.path("phone.img");
    world.vuicc(&["card", "new", text(&phone), "--type", "uicc", "--subscriber", text(&anna.0)]);
    for (file, _) in &stock {
        world.vuicc(&["operator", "subscriber", "add", text(file), "--status", "provisioned"]);
    }
    let chip = world.path("chip.img");
    let eid = world.vuicc(&["card", "new", text(&chip)]).remove(0)["eid"].as_str().expect("an EID").to_owned();

    let (smdp, url) = world.smdp();
    // Only now is it known where the eUICC's notifications have to go.
    for (file, _) in &stock {
        world.vuicc(&["smdp", "profile", "add", text(file)]);
    }
    let operator = world.operator(&url);
    let health = operator.get("/healthz");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    for part in ["boss", "database", "eap-sim-db", "entitlement", "hlr", "portal", "progress", "radius", "smsc"] {
        assert!(health.contains(&format!("\"{part}\":\"ok\"")), "{part}: {health}");
    }

    let one_device = |more: &[&str]| {
        let mut device = command(&world.path("state"), ["device", "primary", "--yes", "--card"]);
        device.arg(&phone).args(["--entitlement", &format!("{}/", operator.base_url()), "one-device"]);
        run(device.args(more))
    };
    let nowhere = one_device(&[]);
    let either = nowhere.stderr.contains("--euicc-reader") && nowhere.stderr.contains("--euicc-card");
    assert!(!nowhere.status.success() && either, "{nowhere:#?}");
    let told = one_device(&["--euicc-card", text(&chip)]).success();
    assert!(told.stdout.contains("service activated"), "{told:#?}");
    // Asking again gives the same result.
    let again = one_device(&["--euicc-card", text(&chip)]).success();
    assert!(
        again.stdout.contains("has its profile already") && again.stdout.contains("service activated"),
        "{again:#?}"
    );

    let orders = world.vuicc(&["operator", "order", "list"]);
    let [order] = &orders[..] else { panic!("one order: {orders:#?}") };
    assert_eq!(order["state"], "enabled");
    assert_eq!(order["eid"], eid.as_str());
    let iccid = order["iccid"].as_str().expect("an ICCID");
    let profile = &stock.iter().find(|(_, profile)| profile.iccid == iccid).expect("one of the stock").1;
    assert_eq!(order["imsi"], profile.imsi.as_str());
    let shown = world.vuicc(&["operator", "order", "show", order["order"].as_str().expect("a name")]);
    assert!(shown[0]["history"].as_array().is_some_and(|history| history.len() > 3), "{shown:#?}");
    let subscription = world.vuicc(&["operator", "subscriber", "show", &profile.imsi]).remove(0);
    assert_eq!((&subscription["status"], &subscription["eid"]), (&"active".into(), &eid.as_str().into()));

    assert_eq!(operator.metric("vuicc_orders{state=\"enabled\"}").as_deref(), Some("1"));
    assert_eq!(operator.metric("vuicc_subscriptions{status=\"active\"}").as_deref(), Some("2"));
    let full = operator.metric("vuicc_eap_authentications_total{listener=\"ts43\",method=\"aka\",outcome=\"full\"}");
    assert_eq!(full.as_deref(), Some("1"));

    // Told to stop, it ends in order.
    let at = operator.at("HTTPS").to_owned();
    let log = operator.process.log();
    assert!(operator.process.stop().success());
    assert!(TcpStream::connect(at).is_err());
    gives_nobody_away(&log, &[&anna.1, &stock[0].1, &stock[1].1], &eid, order, &world.path("state"));
    gives_nobody_away(&smdp.log(), &[], &eid, order, &world.path("state"));

    // What was, is.
    let operator = world.operator(&url);
    assert!(operator.get("/healthz").starts_with("HTTP/1.1 200"));
    assert_eq!(world.vuicc(&["operator", "order", "list"]), orders);
    assert_eq!(operator.metric("vuicc_orders{state=\"enabled\"}").as_deref(), Some("1"));
    let mut status = command(&world.path("state"), ["device", "primary", "--yes", "--card"]);
    let entitlement = format!("{}/", operator.base_url());
    let _ = run(status.arg(&phone).args(["--entitlement", &entitlement, "status"])).success();
    assert!(operator.process.stop().success());
}

/// Neither keys nor codes nor whole identities are in a log.
fn gives_nobody_away(log: &str, subscribers: &[&Subscriber], eid: &str, order: &Value, state: &Path) {
    assert!(log.lines().count() > 1, "there is a log");
    let mut never = vec![("EID", eid.to_owned())];
    let code = order["activation_code"].as_str().expect("an activation code");
    never.push(("matching ID", code.split('$').nth(2).expect("a matching ID").to_owned()));
    for subscriber in subscribers {
        let codes = &subscriber.codes;
        let digits = |code: &saip::builder::Code| String::from_utf8_lossy(code.expose()).into_owned();
        never.extend([
            ("IMSI", subscriber.imsi.clone()),
            ("ICCID", subscriber.iccid.clone()),
            ("K", hex::encode(subscriber.key.expose())),
            ("OPc", hex::encode(subscriber.operator_variant().expect("OPc").expose())),
            ("PUK", digits(&codes.puk1)),
        ]);
        never.extend(subscriber.msisdn.iter().map(|number| ("MSISDN", number.trim_start_matches('+').to_owned())));
    }
    for file in ["operator-master.key", "radius-secret", "smpp-password", "office-key", "hlr-secret"] {
        never.push((file, fs::read_to_string(state.join(file)).expect("a secret").trim().to_owned()));
    }
    for (what, text) in never {
        assert!(text.len() >= 8, "{what} is something to look for");
        assert!(!log.to_ascii_lowercase().contains(&text.to_ascii_lowercase()), "the log has the {what}:\n{log}");
    }
}

#[test]
fn a_part_runs_alone() {
    let world = World::new();
    let serve = |options: &[&str]| {
        let mut serve =
            command(&world.path("state"), ["--json", "operator", "serve", "--internal-listen", "127.0.0.1:0"]);
        serve.args(options);
        serve
    };
    let (process, listeners) =
        start(&mut serve(&["--only", "radius", "--radius-listen", "127.0.0.1:0"]), world.folder.path());
    let operator = Operator { process, listeners };
    assert_eq!(operator.listeners["listening"].as_array().map(Vec::len), Some(2));
    assert!(operator.get("/healthz/radius").starts_with("HTTP/1.1 200"));
    assert!(operator.get("/healthz/portal").starts_with("HTTP/1.1 404"));

    // Another one cannot use the same address, and says so.
    let at = operator.at("RADIUS").to_owned();
    let refused = run(&mut serve(&["--only", "radius", "--radius-listen", &at]));
    assert!(!refused.status.success() && refused.stderr.contains(&format!("RADIUS at {at}")), "{refused:#?}");
    let unknown = run(&mut serve(&["--only", "moon"]));
    assert!(unknown.stderr.contains("unknown part moon"), "{unknown:#?}");
    let nowhere =
        run(&mut serve(&["--database", "postgres://operator:hush@127.0.0.1:9/operator", "--database-wait", "0"]));
    assert!(!nowhere.status.success() && nowhere.stderr.contains("postgres://operator@127.0.0.1:9"), "{nowhere:#?}");
    assert!(!nowhere.stderr.contains("hush"), "{nowhere:#?}");
    assert!(operator.process.stop().success());
}

#[test]
fn a_database_that_comes_later_is_waited_for() {
    let Some(cluster) = Cluster::new("a database that comes later") else { return };
    let world = World::new();
    let operator = |database: &str| {
        let mut serve = command(&world.path("state"), ["--json", "operator", "serve", "--only", "hlr"]);
        serve.args(["--internal-listen", "127.0.0.1:0", "--database", database]);
        serve
    };
    let mut smdp = command(&world.path("state"), ["--json", "smdp", "serve", "--listen", "127.0.0.1:0"]);
    let mut servers = [&mut operator(&cluster.url()), smdp.args(["--db", &cluster.other_url("template1")])]
        .map(|serve| Process::start(serve.env("NO_COLOR", "1"), world.folder.path()));
    for server in &mut servers {
        server.wait_until("that it waits", |server| server.log().contains("waiting for the database"));
        assert!(!server.log().contains("listening"), "{}", server.log());
    }
    let _database = cluster.serve(world.folder.path());
    for server in &mut servers {
        server.wait_until("where it listens", |server| server.log().contains("\"listening\""));
        assert_eq!(server.log().matches("waiting for the database").count(), 1, "{}", server.log());
    }
    // What will not come is not waited for.
    let missing = run(&mut operator(&cluster.other_url("moon")));
    assert!(!missing.status.success() && missing.stderr.contains("\"moon\" does not exist"), "{missing:#?}");
    assert!(!missing.stderr.contains("waiting"), "{missing:#?}");
}

#[test]
fn a_database_has_one_master_key() {
    let world = World::new();
    let state = world.path("state");
    let one = world.subscribers(&[], "one.toml").remove(0);
    let two = world.subscribers(&[], "two.toml").remove(0);
    world.vuicc(&["operator", "subscriber", "add", text(&one.0)]);
    let (key, away) = (state.join("operator-master.key"), world.path("away.key"));
    fs::rename(&key, &away).expect("the key moved away");
    let other = world.path("other.key");
    fs::write(&other, "5A".repeat(32)).expect("another key");
    let refuses = |options: &[&str], cause: &str| {
        let serve = ["operator", "serve", "--only", "hlr", "--internal-listen", "127.0.0.1:0"];
        for arguments in [&serve[..], &["operator", "subscriber", "add", text(&two.0)]] {
            let refused = run(command(&state, []).args(arguments).args(options));
            assert!(!refused.status.success() && refused.stderr.contains(cause), "{refused:#?}");
            assert!(refused.stderr.contains("--master-key"), "a way out: {refused:#?}");
        }
    };
    refuses(&[], "operator-master.key does not exist");
    assert!(!key.exists(), "none is made");
    refuses(&["--master-key", text(&other)], "other.key is not the master key");
    world.vuicc(&["operator", "subscriber", "add", text(&two.0), "--master-key", text(&away)]);
}

/// Where a listener cannot be opened, the option that opens it elsewhere is said.
#[test]
fn a_port_that_is_taken_is_named_with_its_option() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let at = taken.local_addr().expect("an address").to_string();
    let free = "127.0.0.1:0";
    let refuses = |arguments: &[&str], causes: &[&str]| {
        let refused = run(command(&world.path("state"), []).args(arguments));
        let told = causes.iter().all(|cause| refused.stderr.contains(cause));
        assert!(!refused.status.success() && told && refused.stderr.contains(&at), "{causes:?}: {refused:#?}");
    };
    let operator = ["operator", "serve", "--radius-listen", free];
    for option in ["--internal-listen", "--https-listen", "--office-listen", "--progress-listen", "--smpp-listen"] {
        let mut arguments = operator.to_vec();
        for listener in ["--internal-listen", "--https-listen", "--office-listen", "--progress-listen", "--smpp-listen"]
        {
            arguments.extend([listener, if listener == option { &at } else { free }]);
        }
        refuses(&arguments, &[option, "listen."]);
    }
    refuses(&["smdp", "serve", "--listen", &at], &["phones (ES9+)", "--listen HOST:PORT"]);
    refuses(&["smdp", "serve", "--listen", free, "--es2-listen", &at], &["operators (ES2+)", "--es2-listen HOST:PORT"]);
}

#[test]
fn subscribers_are_added_all_or_none() {
    let world = World::new();
    let one = world.subscribers(&[], "one.toml").remove(0);
    let foreign = world.subscribers(&["--mcc", "310", "--mnc", "410"], "foreign.toml").remove(0);
    let state = world.path("state");
    let refused = run(command(&state, ["operator", "subscriber", "add"]).args([&one.0, &foreign.0]));
    assert!(!refused.status.success() && refused.stderr.contains("foreign.toml: imsi: "), "{refused:#?}");
    let none = run(&mut command(&state, ["operator", "subscriber", "list"]));
    assert!(!none.status.success() && none.stderr.contains("there is no operator's database at"), "{none:#?}");
    let nowhere = world.path("nowhere");
    for reading in [["operator", "order", "list"], ["smdp", "profile", "list"], ["smdp", "notification", "list"]] {
        let none = run(&mut command(&nowhere, reading));
        assert!(!none.status.success() && none.stderr.contains("yet; `vuicc "), "{none:#?}");
    }
    assert!(!nowhere.exists(), "reading makes nothing");

    world.vuicc(&["operator", "subscriber", "add", text(&one.0)]);
    // Who is there stays as they are; with other numbers they are somebody else, and nobody comes with them.
    let again = run(command(&state, ["operator", "subscriber", "add", "--contract"]).arg(&one.0)).success();
    assert!(again.stderr.contains("already in the register, unchanged"), "{again:#?}");
    let posing = world.path("posing.toml");
    let taken = fs::read_to_string(&one.0).expect("a description");
    let key = taken.lines().find(|line| line.starts_with("opc")).expect("OPc");
    fs::write(&posing, taken.replace(key, "opc = '00000000000000000000000000000001'")).expect("another description");
    let again = run(command(&state, ["operator", "subscriber", "add"]).arg(&posing));
    assert!(!again.status.success() && again.stderr.contains("is in the register already; `vuicc"), "{again:#?}");
    let accepted = world.vuicc(&["operator", "subscriber", "contract", &one.1.iccid]).remove(0);
    assert_eq!(accepted["accepted"], "1");
    let status =
        |command: &str| world.vuicc(&["operator", "subscriber", command, &one.1.iccid]).remove(0)["status"].clone();
    assert_eq!(status("show"), "active");
    assert_eq!(status("bar"), "barred");
    assert_eq!(status("activate"), "active");

    // A second device shares the number.
    let two = world.subscribers(&["--no-msisdn"], "two.toml").remove(0);
    world.vuicc(&["operator", "subscriber", "add", text(&two.0)]);
    let number = one.1.msisdn.as_deref().expect("a number");
    for options in [&["bind", number, &two.1.imsi][..], &["unbind", number, &two.1.imsi], &["mode", number, "mah"]] {
        let refused = run(command(&state, ["operator", "line"]).args(options));
        assert!(!refused.status.success(), "{refused:#?}");
        let cause = if options.contains(&"bind") { "--proven" } else { "not share" };
        assert!(refused.stderr.contains(cause), "{refused:#?}");
    }
    let bound = world.vuicc(&["operator", "line", "bind", number, &two.1.imsi, "--proven"]).remove(0);
    assert_eq!(bound["state"], "active", "{bound}");
    world.vuicc(&["operator", "line", "mode", number, "mah"]);
    let [first, second] = [format!("{}=10", two.1.imsi), one.1.imsi.clone()];
    let line = world.vuicc(&["operator", "line", "order", number, &first, &second]).remove(0);
    assert_eq!(line["mode"], "MAH");
    assert_eq!(line["devices"][0]["imsi"], two.1.imsi.as_str());
    assert_eq!(line["devices"][0]["ring_seconds"], 10);
    world.vuicc(&["operator", "line", "unbind", number, &two.1.imsi]);
    let shown = world.vuicc(&["operator", "subscriber", "show", &two.1.imsi]).remove(0);
    assert!(shown["shared"].is_null(), "{shown}");
    world.vuicc(&["operator", "subscriber", "remove", &two.1.imsi]);
    assert_eq!(world.vuicc(&["operator", "subscriber", "list"]).len(), 1);
}
