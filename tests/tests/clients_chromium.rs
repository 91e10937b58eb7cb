//! Chromium in front of the operator's web server, over HTTPS: as a phone's web view, as a subscriber's browser, as the
//! operator's; with JavaScript and without; in both languages; wide and narrow, light and dark.
//!
//! The pictures it takes stay where `VUICC_SCREENSHOTS` says, if it says so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../network/portal/tests/portal/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use boss::{Decision, Order, State};
use https::{serve, tls};
use rsp_server::tls_identity;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_pki::{Parameters, Pki, ServerName};
use tokio::net::TcpListener;
use vuicc_tests::webdriver::{Driver, Window};
use vuicc_tests::{page, peer, process};
use world::{OFFICE_KEY, OWNER, OWNER_NUMBER, World};

/// The object a phone puts into its web view, which notes what it is told. TS.43 §6.7.
const PHONE: &str = "
    const note = name => (...values) => {
        const notes = JSON.parse(sessionStorage.notes || '[]');
        sessionStorage.notes = JSON.stringify([...notes, [name, ...values]]);
    };
    window.ODSAServiceFlow = Object.fromEntries(
        ['profileReadyWithActivationCode', 'finishFlow', 'dismissFlow', 'deleteToken'].map(name => [name, note(name)]));
";
const TAB: &str = "\u{E004}";

/// What every page has to be: no wider than its window, each text in enough contrast, each field with a name.
const FLAWS: &str = "
    const flaws = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) flaws.push('wider than the window: ' + root.scrollWidth);
    const channels = colour => {
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = colour => {
        const [r, g, b] = colour.map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = channels(getComputedStyle(element).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [255, 255, 255];
    };
    for (const element of document.body.querySelectorAll('*')) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        const style = getComputedStyle(element);
        if (!own || element.matches(':disabled, script') || !element.offsetParent) continue;
        const [one, other] = [channels(style.color), behind(element)].map(luminance).sort((a, b) => b - a);
        const contrast = (one + .05) / (other + .05);
        if (contrast < 4.5) flaws.push('contrast ' + contrast.toFixed(2) + ': ' + element.textContent.trim());
        const size = parseFloat(style.fontSize);
        if (size < 12) flaws.push('small: ' + element.textContent.trim());
    }
    for (const field of document.querySelectorAll('input:not([type=hidden]), select')) {
        if (!field.labels.length) flaws.push('no label: ' + field.name);
        if (field.getBoundingClientRect().height < 20) flaws.push('hard to hit: ' + field.name);
    }
    for (const button of document.querySelectorAll('main button, main .button')) {
        const box = button.getBoundingClientRect();
        if (box.width && (box.height < 40 || box.width < 40)) flaws.push('hard to hit: ' + button.textContent);
    }
    return flaws;
";

/// A world, its web server, and a driver.
struct Stage {
    world: World,
    driver: Driver,
    base: String,
    folder: TempDir,
    pictures: PathBuf,
    /// axe-core, if it is here.
    axe: Option<String>,
}

impl Stage {
    /// At the listener for subscribers.
    async fn set(name: &str) -> Option<Self> {
        Self::at(name, false).await
    }

    /// The same, or at the operator's page.
    async fn at(name: &str, office: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let Some(driver) = Driver::start(folder.path()) else {
            peer::say(&format!("{name} ... skipped with it"));
            return None;
        };
        let world = World::new().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let random = &mut |octets: &mut [u8]| getrandom::fill(octets).unwrap();
        let pki = Pki::mint(&Parameters::new(now - 60, world::eid(1)), random).unwrap();
        let names: Vec<ServerName> = ServerName::loopback().into_iter().collect();
        let identity = tls_identity(&pki.issue_operator(&names, now - 60, random).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let portal = world.portal();
        let router = if office { portal::office_router(portal) } else { portal::router(portal) };
        tokio::spawn(serve(listener, Some(tls::server(&identity).unwrap()), router, std::future::pending()));
        let pictures =
            std::env::var_os("VUICC_SCREENSHOTS").map_or_else(|| folder.path().join("pictures"), PathBuf::from);
        std::fs::create_dir_all(&pictures).unwrap();
        let axe = peer::named_by("AXE", "axe-core").map(|file| std::fs::read_to_string(file).unwrap());
        Some(Self { world, driver, base, folder, pictures, axe })
    }

    fn window(&self, language: &str, script: bool) -> Window<'_> {
        let profile = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let window = self.driver.open(&profile, language, script);
        window.resize(390, 780);
        window
    }

    fn go(&self, window: &Window<'_>, path: &str) {
        window.go(&format!("{}{path}", self.base));
    }

    /// The page at the widths and in the colours of people's devices: a picture of each, and no flaw in any.
    fn examine(&self, window: &Window<'_>, name: &str) {
        for (width, height, colours) in [(320, 640, "light"), (390, 780, "dark"), (1280, 800, "light")] {
            window.resize(width, height);
            page::colours(window, colours);
            window.screenshot(&self.pictures.join(format!("{name}-{width}-{colours}.png")));
            assert_eq!(window.evaluate(FLAWS), json!([]), "{name} at {width}, {colours}");
            if let Some(axe) = &self.axe {
                let found = page::violations(window, axe);
                assert_eq!(found, json!([]), "axe-core, {name} at {width}, {colours}");
            }
        }
        window.chrome("Emulation.setEmulatedMedia", &json!({ "features": [] }));
        window.resize(390, 780);
    }

    async fn state(&self, order: &Order) -> State {
        self.world.boss.order(&order.id).await.unwrap().unwrap().state
    }
}

fn address(order: &Order) -> String {
    format!("/portal/contract?ticket={}", order.contract.as_ref().unwrap())
}

fn told(window: &Window<'_>) -> Value {
    let notes = window.evaluate("return sessionStorage.notes || '[]'");
    serde_json::from_str(notes.as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_phones_web_view() {
    let Some(stage) = Stage::set("in_a_phones_web_view").await else { return };
    let accepted = stage.world.order("Aki's watch", 1).await;
    let declined = stage.world.order("Tablet", 2).await;
    let window = stage.window("en", true);
    window.chrome("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": PHONE }));
    stage.go(&window, &address(&accepted));
    assert_eq!(window.text("h1"), "A profile for Aki's watch");
    stage.examine(&window, "contract-en");
    // By keyboard one reaches the contents first.
    window.press(TAB);
    assert_eq!(window.evaluate("return document.activeElement.className"), "skip");
    window.follow("button[value=accept]");
    let order = stage.world.boss.order(&accepted.id).await.unwrap().unwrap();
    assert_eq!(order.state, State::Released);
    let code = order.activation_code.unwrap().to_string();
    assert_eq!(told(&window), json!([["profileReadyWithActivationCode", code], ["finishFlow"]]));
    assert_eq!(window.text("h1"), "Your profile is ready");
    stage.examine(&window, "ready-en");

    window.evaluate("sessionStorage.clear()");
    stage.go(&window, &address(&declined));
    window.follow("button[value=decline]");
    assert_eq!(told(&window), json!([["dismissFlow"]]));
    assert_eq!(stage.state(&declined).await, State::Declined);
    stage.examine(&window, "declined-en");

    // A refused order's page is closed by its reader.
    window.evaluate("sessionStorage.clear()");
    stage.world.pass(3600);
    let expired = format!("/portal/contract?ticket={}", "0".repeat(64));
    stage.go(&window, &expired);
    assert_eq!(told(&window), json!([]));
    stage.examine(&window, "unknown-en");
    window.click("#odsa button");
    assert_eq!(told(&window), json!([["dismissFlow"]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_javascript() {
    let Some(stage) = Stage::set("without_javascript").await else { return };
    let accepted = stage.world.order("腕時計", 1).await;
    let declined = stage.world.order("タブレット", 2).await;
    let window = stage.window("ja", false);
    window.chrome("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": PHONE }));
    stage.go(&window, &address(&accepted));
    assert_eq!(window.text("h1"), "腕時計用のプロファイル");
    window.screenshot(&stage.pictures.join("contract-ja-390-noscript.png"));
    window.follow("button[value=accept]");
    assert_eq!(window.text("h1"), "プロファイルの準備ができました");
    let order = stage.world.boss.order(&accepted.id).await.unwrap().unwrap();
    let code = order.activation_code.unwrap().to_string();
    assert_eq!(window.text("figure code"), code);
    assert!(window.source().contains("<meta name=\"odsa-result\" content=\"profile-ready\">"));
    let picture = stage.pictures.join("ready-ja-390-noscript.png");
    window.screenshot(&picture);
    reads(&picture, &code);
    stage.go(&window, &address(&declined));
    window.follow("button[value=decline]");
    assert_eq!(window.text("h1"), "お申し込みは行われませんでした");
    // The language is a link away.
    window.follow("nav.language a[lang=en]");
    assert_eq!(window.text("h1"), "Nothing was ordered");

    // Self-care does without, too.
    stage.go(&window, "/care/");
    let mut window = window;
    sign_in(&stage, &mut window).await;
    assert_eq!(window.text("h1"), "My devices");
}

async fn sign_in(stage: &Stage, window: &mut Window<'_>) {
    window.fill("#field", &format!("+{OWNER_NUMBER}"));
    window.follow("button.main");
    let code = stage.world.code(OWNER).await;
    window.fill("#field", &code);
    window.follow("button.main");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_care() {
    let Some(stage) = Stage::set("self_care").await else { return };
    for (name, number) in [("Aki's watch", 1), ("Tablet", 2)] {
        let order = stage.world.order(name, number).await;
        if let Some(ticket) = &order.contract {
            stage.world.boss.decide(ticket, Decision::Accept, stage.world.now()).await.unwrap();
        }
        stage.world.enable(&order).await;
    }
    let mut window = stage.window("ja,en", true);
    stage.go(&window, "/care/");
    stage.examine(&window, "sign-in-ja");
    window.fill("#field", "12");
    window.follow("button.main");
    assert_eq!(window.text("[role=alert]"), "国番号から始まる携帯電話番号を入力してください。");
    stage.examine(&window, "sign-in-wrong-ja");
    sign_in(&stage, &mut window).await;
    assert_eq!(window.text("h1"), "マイデバイス");
    for _ in 0..2 {
        window.follow("a[href^='/care/bind?order=']");
        stage.examine(&window, "bind-ja");
        window.follow("button.main");
    }
    let names = || window.texts("ol.devices h3");
    let before = names();
    assert_eq!(before.len(), 3);
    stage.examine(&window, "care-ja");
    // The last one moves up twice.
    for _ in 0..2 {
        let place = names().iter().position(|name| *name == before[2]).unwrap() + 1;
        window.follow(&format!("ol.devices li:nth-child({place}) button[value=up]"));
    }
    assert_eq!(names(), [before[2].clone(), before[0].clone(), before[1].clone()]);
    window.click("input[value=MAH]");
    window.follow("form[action='/care/mode'] button");
    window.fill("#seconds-1", "15");
    window.follow("ol.devices li:nth-child(1) form.seconds button");
    let group = stage.world.hlr.group(&OWNER_NUMBER.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(group.mode, hlr::Mode::MobileAccessHunting);
    assert_eq!(group.members[0].ring_seconds, 15);
    window.follow("nav.language a[lang=en]");
    assert_eq!(window.text("h1"), "My devices");
    stage.examine(&window, "care-en");
    window.follow("ol.devices li:nth-child(1) a.remove");
    stage.examine(&window, "unbind-en");
    window.follow("button.grave");
    assert_eq!(window.text("[role=status]"), "The device does not share your number any more.");
    assert_eq!(names().len(), 2);
    stage.examine(&window, "removed-en");
    window.follow("form[action='/care/sign-out'] button");
    assert!(window.url().ends_with("/care/sign-in"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_page() {
    let Some(stage) = Stage::at("the_operators_page", true).await else { return };
    let order = stage.world.order("Aki's watch", 1).await;
    stage.world.boss.decide(order.contract.as_ref().unwrap(), Decision::Accept, stage.world.now()).await.unwrap();
    let used = stage.world.order("Tablet <b>", 2).await;
    if let Some(ticket) = &used.contract {
        stage.world.boss.decide(ticket, Decision::Accept, stage.world.now()).await.unwrap();
    }
    stage.world.enable(&used).await;
    let code = stage.world.boss.order(&order.id).await.unwrap().unwrap().activation_code.unwrap().to_string();
    let window = stage.window("en", true);
    stage.go(&window, "/office/");
    stage.examine(&window, "office-sign-in-en");
    window.fill("#field", OFFICE_KEY);
    window.follow("button.main");
    assert_eq!(window.text("h1"), "Orders");
    stage.examine(&window, "orders-en");
    stage.go(&window, &format!("/office/orders/{}", order.id));
    stage.examine(&window, "order-en");
    window.resize(1280, 800);
    let picture = stage.pictures.join("order-qr.png");
    window.screenshot(&picture);
    reads(&picture, &code);
    stage.go(&window, &format!("/office/orders/{}", used.id));
    stage.examine(&window, "order-used-en");
    stage.go(&window, "/office/lines");
    stage.examine(&window, "lines-en");
    window.follow("nav.language a[lang=ja]");
    assert_eq!(window.text("h1"), "回線");
    stage.go(&window, &format!("/office/orders/{}", order.id));
    stage.examine(&window, "order-ja");
    window.follow("a.danger");
    stage.examine(&window, "cancel-ja");
    window.follow("button.grave");
    assert_eq!(stage.state(&order).await, State::Cancelled);
}

/// `zbarimg` reads this in the picture of a page.
fn reads(picture: &Path, code: &str) {
    let Some(zbarimg) = peer::debian("zbarimg", "zbar-tools") else { return };
    let read = process::run(Command::new(zbarimg).args(["--quiet", "--raw"]).arg(picture)).success();
    assert_eq!(read.stdout.trim_end(), code);
}
