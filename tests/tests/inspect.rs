//! `vuicc inspect`: a card laid open, over HTTP as a program asks, and in Chromium as a person does.
//!
//! The pictures it takes stay where `VUICC_SCREENSHOTS` says, if it says so.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apdu::Transport;
use reader_bridge::socket::{CardAddress, SocketCard};
use serde_json::{Value, json};
use tempfile::TempDir;
use vuicc_tests::process::{Finished, Process, run, unused, wait_until};
use vuicc_tests::schema::conforms;
use vuicc_tests::subscriber::{IMSI, iccid, package, subscriber};
use vuicc_tests::vuicc::{Card, command, json_lines};
use vuicc_tests::webdriver::{Driver, Window};
use vuicc_tests::{page, peer};

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).args(arguments).current_dir(folder))
}

/// An eUICC with two profiles, the first one enabled.
fn card() -> (TempDir, Card) {
    let folder = tempfile::tempdir().unwrap();
    let packages = [1, 2].map(|number| package(folder.path(), &subscriber(number)));
    let card = Card::new(folder.path(), &[&packages[0], &packages[1]]);
    (folder, card)
}

/// The page of a card.
struct Page {
    process: Process,
    address: String,
    token: String,
    /// With the token.
    url: String,
}

impl Page {
    fn open(folder: &Path, arguments: &[&str]) -> Self {
        let ready_file = unused(folder, "page.json");
        let mut inspect = command(&folder.join("state"), ["--json", "inspect"]);
        inspect.args(arguments).arg("--ready-file").arg(&ready_file);
        let mut process = Process::start(&mut inspect, folder);
        process.wait_until("the page", |_| ready_file.exists());
        let mode = fs::metadata(&ready_file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the token is in it");
        let ready: Value = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
        let url = ready["cards"][0]["page"].as_str().unwrap().to_owned();
        let (address, token) = url.strip_prefix("http://").unwrap().split_once("/#").unwrap();
        // The file is there before the line.
        process.wait_until("the line about it", |process| process.log().contains('\n'));
        let line: Value = serde_json::from_str(process.log().lines().next().unwrap()).unwrap();
        conforms("inspect", &line).unwrap();
        Self { process, address: address.to_owned(), token: token.to_owned(), url: url.clone() }
    }

    fn ask_with(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn head(&self, method: &str, path: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}", self.address, self.token)
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask_with(&self.head("GET", path), "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What has become of an act: what was done, or why it was not.
    fn act(&self, act: &Value) -> Result<String, String> {
        let head = format!("{}\r\nContent-Type: application/json", self.head("POST", "/api/act"));
        let (status, body) = self.ask_with(&head, &act.to_string());
        let told: Value = serde_json::from_str(&body).unwrap();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        if status == 200 { Ok(text("done")) } else { Err(text("error")) }
    }

    /// The number of the file of this name in a domain.
    fn file(&self, domain: u16, name: &str) -> u64 {
        fn find(files: &Value, name: &str) -> Option<u64> {
            files.as_array()?.iter().find_map(|file| {
                if file["name"] == name { file["number"].as_u64() } else { find(&file["files"], name) }
            })
        }
        let card = self.get("/api/card");
        let domains = card["domains"].as_array().unwrap();
        let domain = domains.iter().find(|one| one["number"] == domain).unwrap();
        find(&domain["files"], name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn content(&self, domain: u16, name: &str) -> Value {
        self.get(&format!("/api/file?domain={domain}&file={}", self.file(domain, name)))["chunks"].clone()
    }

    /// All that was told so far, until each of these texts has come: what several processes tell comes in any order.
    fn told_until(&self, wanted: &[&str]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        write!(stream, "{}\r\n\r\n", self.head("GET", "/api/events?after=0")).unwrap();
        let stream = RefCell::new((stream, String::new()));
        wait_until(&wanted.join(", "), || {
            let (stream, told) = &mut *stream.borrow_mut();
            let mut octets = [0; 4096];
            let read = stream.read(&mut octets).unwrap();
            assert!(read > 0, "no {wanted:?} in {told}");
            told.push_str(&String::from_utf8_lossy(&octets[..read]));
            wanted.iter().all(|wanted| told.contains(wanted))
        });
        stream.into_inner().1
    }
}

#[test]
fn a_card_is_laid_open_and_changed() {
    let (folder, card) = card();
    let image = card.image().to_str().unwrap();
    let page = Page::open(folder.path(), &[image]);
    let seen = page.get("/api/card");
    assert_eq!((&seen["kind"], &seen["euicc"]["eid"]), (&json!("emulated"), &json!(card.eid())));
    assert_eq!(seen["euicc"]["profiles"][0]["enabled"], true);
    assert!(
        seen["facts"].as_array().unwrap().iter().all(|fact| !fact["fields"].as_array().unwrap().is_empty()),
        "{seen:#}"
    );
    assert!(seen["memory"]["parts"].as_array().unwrap().iter().any(|part| part["name"] == "EF.IMSI"));
    // A file, decoded, and its rules.
    let imsi = page.file(1, "EF.IMSI");
    let file = page.get(&format!("/api/file?domain=1&file={imsi}"));
    assert_eq!(file["chunks"][0]["fields"][0]["value"], IMSI, "{file:#}");
    assert_eq!(file["access"][1], json!({ "operation": "Update", "condition": "ADM1" }));
    // Its access rules count, and what is refused changes nothing.
    let octets = "0809101099999999F9";
    let update = |keys: Value| json!({ "act": "update", "domain": 1, "file": imsi, "octets": octets, "keys": keys });
    assert!(page.act(&update(json!([]))).unwrap_err().contains("6982"));
    let wrong = page.act(&update(json!([{ "reference": 0x0A, "value": "87654321" }]))).unwrap_err();
    assert!(wrong.contains("ADM1 is wrong") && wrong.contains("left"), "{wrong}");
    assert_eq!(page.content(1, "EF.IMSI")[0]["fields"][0]["value"], IMSI);
    // Not so for its owner, who may write into a profile that is disabled, too.
    let mut owner = update(json!([]));
    owner["owner"] = true.into();
    page.act(&owner).unwrap();
    assert_eq!(page.content(1, "EF.IMSI")[0]["octets"], octets);
    let other = json!({ "act": "update", "domain": 2, "file": page.file(2, "EF.IMSI"), "octets": octets });
    assert!(page.act(&other).unwrap_err().contains("not enabled"));
    let mut other = other;
    other["owner"] = true.into();
    page.act(&other).unwrap();
    for wrong in ["", "08", "0809101099999999F900", "xx09101099999999F9"] {
        other["octets"] = wrong.into();
        assert!(page.act(&other).is_err(), "{wrong}");
    }
    // Keys stay inside.
    let keys = page.content(1, "EF.Keys");
    assert!(keys[0]["octets"].is_null() && keys[0]["secret_bytes"].as_u64() > Some(0), "{keys}");
    // Profiles.
    page.act(&json!({ "act": "profile", "iccid": iccid(2), "change": "enable" })).unwrap();
    let enabled: Vec<_> = page.get("/api/card")["euicc"]["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["enabled"].clone())
        .collect();
    assert_eq!(enabled, [false, true]);
    page.act(&json!({ "act": "profile", "iccid": iccid(1), "change": "delete" })).unwrap();
    assert_eq!(page.get("/api/card")["domains"].as_array().unwrap().len(), 2);
    assert!(
        page.act(&json!({ "act": "profile", "iccid": iccid(1), "change": "delete" }))
            .unwrap_err()
            .contains("iccidOrAidNotFound")
    );
    // Power and place.
    page.act(&json!({ "act": "cut" })).unwrap();
    assert_eq!(page.get("/api/card")["state"]["powered"], false);
    let select = json!({ "act": "update", "domain": 2, "file": page.file(2, "EF.IMSI"), "octets": octets });
    assert!(page.act(&select).unwrap_err().contains("no power"));
    page.act(&json!({ "act": "reset" })).unwrap();
    page.act(&json!({ "act": "pull" })).unwrap();
    assert!(page.act(&json!({ "act": "reset" })).unwrap_err().contains("out of its place"));
    page.act(&json!({ "act": "insert" })).unwrap();
    page.act(&json!({ "act": "reset" })).unwrap();
    // Faults: of the page, and of the command line.
    page.act(&json!({ "act": "fault", "fault": "status=6F00@SELECT" })).unwrap();
    assert!(page.act(&json!({ "act": "fault", "fault": "explode" })).unwrap_err().contains("explode"));
    let listed = json_lines(&vuicc(folder.path(), &["--json", "card", "fault", "list", image]).success());
    assert_eq!(listed[0]["fault"], "status=6F00@SELECT");
    assert!(page.act(&select).unwrap_err().contains("6F00"));
    page.act(&json!({ "act": "clear_faults" })).unwrap();
    assert_eq!(page.get("/api/card")["faults"], json!([]));
    // All of it was told, but no key.
    let told = page.told_until(&[
        "VERIFY",
        "EF.IMSI",
        "DeleteProfile",
        "\"by\":\"page\"",
        "enabled",
        octets,
        "\"event\":\"power_off\"",
        "armed or cleared",
    ]);
    let all = told + &page.process.log();
    assert!(!all.contains("87654321") && !all.contains("3837363534333231"), "a key was told");
    page.process.stop();
}

/// A card that another process runs stays where it is.
#[test]
fn a_card_that_runs_is_watched_and_stays_where_it_is() {
    let (folder, card) = card();
    let image = card.image().to_str().unwrap();
    let run = |folder: &Path| {
        let ready_file = unused(folder, "card.json");
        let mut run = command(&folder.join("state"), ["card", "run"]);
        run.args([image, "--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready_file);
        let mut process = Process::start(&mut run, folder);
        process.wait_until("the card", |_| ready_file.exists());
        let ready: Value = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
        (process, ready["cards"][0]["socket"].as_str().unwrap().parse::<CardAddress>().unwrap())
    };
    let (process, address) = run(folder.path());
    let page = Page::open(folder.path(), &[image]);
    let place = page.get("/api/card")["state"]["place"].clone();
    assert_eq!(place, json!(address.to_string()));
    // The host is seen, and keeps its own channel.
    let mut host = SocketCard::connect(&address).unwrap();
    let select = [0x00, 0xA4, 0x00, 0x04, 0x02, 0x2F, 0xE2];
    let waiting = host.transmit(&select).unwrap();
    assert_eq!(waiting[0], 0x61);
    let file = page.file(1, "EF.PL");
    let update = json!({ "act": "update", "domain": 1, "file": file, "octets": "6465" });
    for disturbs in [&update, &json!({ "act": "reset" }), &json!({ "act": "cut" })] {
        assert!(page.act(disturbs).unwrap_err().contains("has not fetched"), "{disturbs}");
    }
    let fetched = host.transmit(&[0x00, 0xC0, 0x00, 0x00, waiting[1]]).unwrap();
    assert!(fetched.starts_with(&[0x62]) && fetched.ends_with(&[0x90, 0x00]), "{fetched:02X?}");
    page.act(&update).unwrap();
    let read = host.transmit(&[0x00, 0xB0, 0x00, 0x00, 0x0A]).unwrap();
    assert!(read.len() == 12 && read.ends_with(&[0x90, 0x00]), "{read:02X?}");
    page.told_until(&["\"kind\":\"changes\"", "\"by\":\"host\"", "SELECT EF.ICCID", "EF.PL"]);
    // Without power it is silent, until it gets some.
    page.act(&json!({ "act": "cut" })).unwrap();
    assert!(host.transmit(&select).is_err());
    // Out of its place there is no card.
    page.act(&json!({ "act": "pull" })).unwrap();
    assert_eq!(page.get("/api/card")["state"]["in"], false);
    page.act(&json!({ "act": "insert" })).unwrap();
    drop(host);
    let mut host = SocketCard::connect(&address).unwrap();
    assert_eq!(host.transmit(&select).unwrap()[0], 0x61);
    // However soon it is back, its host has missed it.
    page.act(&json!({ "act": "pull" })).unwrap();
    page.act(&json!({ "act": "insert" })).unwrap();
    assert!(host.transmit(&[0x00, 0xC0, 0x00, 0x00, 0x00]).is_err());
    let mut host = SocketCard::connect(&address).unwrap();
    assert_eq!(host.transmit(&select).unwrap()[0], 0x61);
    // Its process ends, and another one runs it: the page goes on.
    drop(host);
    process.stop();
    assert!(page.act(&json!({ "act": "reset" })).unwrap_err().contains("does not run any more"));
    assert_eq!(page.content(1, "EF.PL")[0]["octets"], "6465", "what is in its image is seen all the same");
    let (process, _) = run(folder.path());
    wait_until("the page to reach the card", || page.act(&json!({ "act": "reset" })).is_ok());
    process.stop();
    page.process.stop();
}

/// Of a card that is none of ours only commands are known.
#[test]
fn a_card_in_a_reader_is_only_read() {
    let (folder, card) = card();
    let ready_file = unused(folder.path(), "card.json");
    let mut run = command(&folder.path().join("state"), ["card", "run"]);
    run.arg(card.image()).args(["--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready_file);
    let mut process = Process::start(&mut run, folder.path());
    process.wait_until("the card", |_| ready_file.exists());
    let ready: Value = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
    let socket = ready["cards"][0]["socket"].as_str().unwrap();
    let page = Page::open(folder.path(), &["--reader", socket]);
    let seen = page.get("/api/card");
    assert_eq!(
        (&seen["kind"], &seen["euicc"]["profiles"][0]["iccid"]),
        (&json!("reader"), &json!(iccid(1))),
        "{seen:#}"
    );
    assert_eq!(page.content(0, "EF.IMSI")[0]["fields"][0]["value"], IMSI);
    let file = page.file(0, "EF.PL");
    let rules = page.get(&format!("/api/file?domain=0&file={file}"))["access"].clone();
    assert_eq!(
        rules,
        json!([{ "operation": "Read", "condition": "always" }, { "operation": "Update", "condition": "PIN1" }])
    );
    let update = json!({ "act": "update", "domain": 0, "file": file, "octets": "6465" });
    assert!(page.act(&update).unwrap_err().contains("only read"));
    for needs in ["cut", "pull", "insert"] {
        assert!(page.act(&json!({ "act": needs })).unwrap_err().contains("emulated"), "{needs}");
    }
    page.process.stop();
    let page = Page::open(folder.path(), &["--reader", socket, "--write"]);
    // What cannot be written costs no key a try.
    let keys = json!([{ "reference": 0x01, "value": "9876" }]);
    for octets in ["64", "646566"] {
        let wrong = json!({ "act": "update", "domain": 0, "file": file, "octets": octets, "keys": keys });
        assert!(page.act(&wrong).unwrap_err().contains("were given"), "{octets}");
    }
    let keys = json!([{ "reference": 0x01, "value": "987" }]);
    let wrong = json!({ "act": "update", "domain": 0, "file": file, "octets": "6465", "keys": keys });
    assert!(page.act(&wrong).unwrap_err().contains("four to eight digits"));
    page.act(&update).unwrap();
    let told = page.told_until(&["UPDATE BINARY"]);
    assert!(!told.contains("VERIFY"), "{told}");
    assert_eq!(page.content(0, "EF.PL")[0]["octets"], "6465");
    page.process.stop();
    process.stop();
}

#[test]
fn what_cannot_be_inspected_is_told() {
    let (folder, card) = card();
    let image = card.image().to_str().unwrap();
    for (arguments, told) in [
        (&["inspect", image, "--listen", "0.0.0.0:0"][..], "this one alone"),
        (&["inspect", "none.img"][..], "none.img"),
        (&["inspect"][..], "CARD"),
        (&["inspect", image, "--write"][..], "--reader"),
    ] {
        let refused = vuicc(folder.path(), arguments);
        assert!(refused.code() != Some(0) && refused.stderr.contains(told), "{arguments:?}: {}", refused.stderr);
    }
    let page = Page::open(folder.path(), &[image]);
    let taken = vuicc(folder.path(), &["inspect", image, "--listen", &page.address]);
    assert!(taken.code() != Some(0) && taken.stderr.contains("another port"), "{}", taken.stderr);
    // Strangers get nothing, whatever they send.
    let host = format!("Host: {}", page.address);
    for (head, status) in [
        (format!("GET /api/card HTTP/1.1\r\n{host}"), 401),
        (format!("GET /api/card HTTP/1.1\r\n{host}\r\nAuthorization: Bearer {}", "0".repeat(64)), 401),
        (format!("GET / HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer {}", page.token), 421),
        (format!("{}\r\nOrigin: http://evil.example", page.head("GET", "/api/card")), 403),
        (page.head("GET", "/api/../../etc/passwd"), 404),
    ] {
        assert_eq!(page.ask_with(&head, "").0, status, "{head}");
    }
    page.process.stop();
}

/// In a browser: through the page by mouse and keyboard, as it looks on what people have.
struct Browser<'a> {
    window: Window<'a>,
    pictures: PathBuf,
    axe: Option<String>,
}

impl Browser<'_> {
    /// Waits until what a function body returns is true.
    fn wait(&self, what: &str, body: &str) {
        wait_until(what, || self.window.evaluate(body) == json!(true));
    }

    fn has(&self, selector: &str, text: &str) {
        let body = format!(
            "return [...document.querySelectorAll({selector:?})].some(one => one.textContent.includes({text:?}))"
        );
        self.wait(text, &body);
    }

    /// Clicks on it as soon as it is there: what is drawn anew meanwhile is found anew.
    fn click(&self, selector: &str) {
        let body =
            format!("const one = document.querySelector({selector:?}); if (one) one.click(); return Boolean(one)");
        self.wait(selector, &body);
    }

    /// Has this text in a field.
    fn enter(&self, selector: &str, text: &str) {
        let body = format!(
            "const one = document.querySelector({selector:?}); if (!one) return false; one.value = {text:?}; \
             one.dispatchEvent(new Event('input')); return true"
        );
        self.wait(selector, &body);
    }

    /// No violation and nothing wider than the window, at the sizes and in the colours of people's machines.
    fn examine(&self, name: &str) {
        for (width, height, colours) in
            [(1440, 900, "light"), (1440, 900, "dark"), (900, 800, "light"), (390, 780, "dark")]
        {
            self.window.resize(width, height);
            page::colours(&self.window, colours);
            self.window.screenshot(&self.pictures.join(format!("inspect-{name}-{width}-{colours}.png")));
            let wide = self.window.evaluate("return document.documentElement.scrollWidth > innerWidth");
            assert_eq!(wide, json!(false), "{name} at {width} is wider than its window");
            if let Some(axe) = &self.axe {
                assert_eq!(page::violations(&self.window, axe), json!([]), "axe-core, {name} at {width}, {colours}");
            }
        }
        self.window.resize(1440, 900);
    }
}

#[test]
fn in_chromium() {
    let (folder, card) = card();
    let Some(driver) = Driver::start(folder.path()) else { return peer::say("in_chromium ... skipped with it") };
    let page = Page::open(folder.path(), &[card.image().to_str().unwrap()]);
    let pictures = std::env::var_os("VUICC_SCREENSHOTS").map_or_else(|| folder.path().join("pictures"), PathBuf::from);
    fs::create_dir_all(&pictures).unwrap();
    let axe = peer::named_by("AXE", "axe-core").map(|file| fs::read_to_string(file).unwrap());
    let profile = folder.path().join("chromium");
    let browser = Browser { window: driver.open(&profile, "en", true), pictures, axe };
    let window = &browser.window;
    window.resize(1440, 900);
    window.go(&page.url);
    browser.has("#detail", card.eid());
    assert!(!window.url().contains(&page.token), "the token does not stay in the address");
    browser.examine("card");
    // The tree by keyboard: filter, down to the file, its content decoded.
    window.press("/");
    browser.wait("the filter to have the focus", "return document.activeElement.id === 'filter'");
    window.fill("#filter", "EF.IMSI");
    browser.wait(
        "the tree to be filtered",
        "return !document.querySelector('#tree [data-id=memory]') && Boolean(document.querySelector('#tree [data-label=\"EF.IMSI\"]'))",
    );
    window.press("\u{E015}");
    browser.wait("the tree to have the focus", "return Boolean(document.activeElement.closest('#tree'))");
    let focused = |what: &str| window.evaluate(&format!("return document.activeElement.dataset.{what} ?? ''"));
    while focused("label") != json!("EF.IMSI") {
        let before = focused("id");
        window.press("\u{E015}");
        let moved = format!("const at = document.activeElement.dataset.id; return Boolean(at) && at !== {before}");
        browser.wait(&format!("the focus to leave {before}"), &moved);
    }
    browser.has(".chunk", IMSI);
    browser.examine("file");
    // A file is edited: the card takes it, its APDUs appear, and what has changed.
    let apdus = || window.evaluate("return document.querySelectorAll('#stream .apdu').length").as_u64().unwrap();
    let before = apdus();
    browser.enter("#filter", "EF.PL");
    browser.click("[data-label='EF.PL'] .line");
    browser.has("h2", "EF.PL");
    browser.has(".chunk", "FF");
    browser.click(".chunk button");
    browser.examine("edit");
    browser.enter("#octets", "64 65");
    browser.click("dialog button.main");
    browser.has(".chunk", "de");
    browser.has("#stream", "UPDATE BINARY EF.PL");
    assert!(apdus() > before, "the page's own APDUs pass too");
    browser.click("#stream .apdu:last-child summary");
    browser.has("#stream details[open]", "Command");
    browser.examine("apdu");
    browser.enter("#filter", "");
    browser.click("[data-id=history] .line");
    browser.has(".changes", "EF.PL");
    browser.examine("changes");
    browser.click("[data-id=memory] .line");
    browser.has("#detail", "free");
    browser.examine("memory");
    // The power goes, and comes back.
    browser.click("#act-cut");
    browser.has("#subtitle", "without power");
    browser.click("#act-reset");
    browser.has("#subtitle", "runs for this page");
    // A fault is armed, and seen by others.
    browser.click("[data-id=faults] .line");
    browser.enter("#fault", "status=6F00@SELECT");
    browser.click("#arm");
    browser.has(".faults", "status=6F00@SELECT");
    browser.examine("faults");
    assert_eq!(page.get("/api/card")["faults"][0]["fault"], "status=6F00@SELECT");
    // A text that looks like a page is a text.
    browser.enter("#fault", "<img src=x onerror=alert(1)>");
    browser.click("#arm");
    browser.has("#told", "<img src");
    // Without the token nothing is shown.
    window.evaluate("sessionStorage.clear()");
    window.go(&format!("http://{}/", page.address));
    browser.has("#banner", "no token");
    page.process.stop();
}
