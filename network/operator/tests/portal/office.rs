//! The operator's page.

use axum::http::StatusCode;
use operator::boss::{Decision, State};
use operator::portal::{OfficeKey, qr::QrCode};

use crate::browser::{Browser, Page};
use crate::world::{OFFICE_KEY, OWNER, World};

async fn signed_in(world: &World) -> (Browser, Page) {
    let mut browser = Browser::new(world.portal());
    let page = browser.open("/office/").await;
    let page = browser.submit(&page, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert!(page.body.contains("<h1>Orders</h1>"), "{}", page.body);
    (browser, page)
}

#[tokio::test]
async fn only_with_the_key() {
    let world = World::new().await;
    let order = world.order("Watch", 1).await;
    let mut browser = Browser::new(world.portal());
    for path in ["/office/", "/office/lines", &format!("/office/orders/{}", order.id)] {
        assert_eq!(browser.get(path).await.header("location"), "/office/sign-in", "{path}");
    }
    let qr = browser.get(&format!("/office/orders/{}/qr.png", order.id)).await;
    assert_eq!(qr.header("location"), "/office/sign-in");
    let page = browser.open("/office/").await;
    assert!(page.body.contains("type=\"password\"") && page.body.contains("autocomplete=\"current-password\""));
    for key in ["", "wrong", &format!("{OFFICE_KEY}x")] {
        let page = browser.submit(&page, "/office/sign-in", &[("key", key)]).await;
        assert!(page.status == StatusCode::FORBIDDEN && page.body.contains("That is not the key."), "{key}");
    }
    // A subscriber's session opens nothing here.
    let (mut browser, page) = signed_in(&world).await;
    let token = browser.cookies.remove("__Host-office").unwrap();
    browser.cookies.insert("__Host-care".to_owned(), token.clone());
    assert_eq!(browser.get("/care/").await.header("location"), "/care/sign-in");
    browser.cookies.insert("__Host-office".to_owned(), token);
    browser.submit(&page, "/office/sign-out", &[]).await;
    assert_eq!(browser.get("/office/").await.header("location"), "/office/sign-in");
}

#[test]
fn keys() {
    assert!(OfficeKey::new("short").is_err());
    let (_, one) = OfficeKey::generate().unwrap();
    let (_, other) = OfficeKey::generate().unwrap();
    assert!(one.len() >= OfficeKey::LEAST && one != other);
}

#[tokio::test]
async fn orders_and_their_progress() {
    let world = World::new().await;
    let order = world.order("Aki's <watch>", 1).await;
    let eid = order.target.eid.unwrap().to_string();
    let (mut browser, page) = signed_in(&world).await;
    assert!(page.body.contains("Orders: 1") && page.body.contains("Aki&#39;s &#60;watch&#62;"));
    assert!(page.body.contains("Contract pending") && !page.body.contains(OWNER), "masked");
    // Filters.
    assert!(browser.open("/office/?state=contract_pending&kind=companion").await.body.contains("Orders: 1"));
    assert!(browser.open("/office/?state=failed").await.body.contains("Nothing matches."));
    assert!(browser.open("/office/?state=%22%3E%3Cscript%3E").await.body.contains("Orders: 1"));
    for number in [OWNER, &eid] {
        assert!(browser.submit(&page, "/office/find", &[("number", number)]).await.body.contains("Orders: 1"));
    }
    let other = browser.submit(&page, "/office/find", &[("number", "001019999999999")]).await;
    assert!(other.body.contains("Nothing matches."));
    let wrong = browser.submit(&page, "/office/find", &[("number", "12")]).await;
    assert_eq!(wrong.status, StatusCode::CONFLICT);
    // One order.
    world.boss.decide(order.contract.as_ref().unwrap(), Decision::Accept, world.now()).await.unwrap();
    let path = format!("/office/orders/{}", order.id);
    let page = browser.open(&path).await;
    let order = world.boss.order(&order.id).await.unwrap().unwrap();
    let code = order.activation_code.clone().unwrap().to_string();
    assert!(page.body.contains(&format!("<code>{code}</code>")) && page.body.contains("<svg class=\"qr\""));
    for text in ["Asked for", "Terms shown", "Profile reserved", "Released for download"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let (iccid, imsi) = (order.iccid.clone().unwrap().to_string(), order.imsi.clone().unwrap().to_string());
    for identity in [&eid, &iccid, &imsi, OWNER] {
        assert!(!page.body.contains(identity), "masked: {identity}");
    }
    let shown = browser.submit(&page, &path, &[]).await;
    for identity in [&eid, &iccid, &imsi, OWNER] {
        assert!(shown.body.contains(identity), "shown: {identity}");
    }
    assert!(shown.body.contains("Hide identities"));
    // The picture is the page's.
    let picture = browser.get(&format!("{path}/qr.png")).await;
    assert_eq!(picture.header("content-type"), "image/png");
    assert_eq!(picture.octets, QrCode::of(&code).unwrap().png(10));
    // Used up.
    world.enable(&order).await;
    let page = browser.open(&path).await;
    assert!(page.body.contains("Line in service") && !page.body.contains(&code) && !page.body.contains("Cancel order"));
    assert_eq!(browser.get(&format!("{path}/qr.png")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(&format!("{path}/cancel")).await.status, StatusCode::CONFLICT);
    for unknown in ["0".repeat(32), "x".to_owned(), "..%2f".to_owned()] {
        assert_eq!(browser.get(&format!("/office/orders/{unknown}")).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn cancelling() {
    let world = World::new().await;
    let order = world.order("Watch", 1).await;
    world.boss.decide(order.contract.as_ref().unwrap(), Decision::Accept, world.now()).await.unwrap();
    let (mut browser, _) = signed_in(&world).await;
    let path = format!("/office/orders/{}/cancel", order.id);
    let asked = browser.open(&path).await;
    assert!(asked.body.contains("the activation code stops working"));
    let forged = browser.post_from(&path, &[("form", "")], Some("https://evil.example")).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert_eq!(world.boss.order(&order.id).await.unwrap().unwrap().state, State::Released);
    let page = browser.submit(&asked, &path, &[]).await;
    assert!(page.body.contains("Cancelled"), "{}", page.body);
    assert_eq!(world.boss.order(&order.id).await.unwrap().unwrap().state, State::Cancelled);
}

#[tokio::test]
async fn a_profile_that_is_not_given_back() {
    let world = World::new().await;
    let order = world.order("Watch", 1).await;
    world.boss.decide(order.contract.as_ref().unwrap(), Decision::Accept, world.now()).await.unwrap();
    let (mut browser, _) = signed_in(&world).await;
    let path = format!("/office/orders/{}/cancel", order.id);
    world.shop.forgetful.store(true, std::sync::atomic::Ordering::SeqCst);
    let asked = browser.open(&path).await;
    let page = browser.submit(&asked, &path, &[]).await;
    assert!(page.body.contains("Not given back by the SM-DP+") && page.body.contains("8.2.1/3.9"), "{}", page.body);
    // Once more.
    world.shop.forgetful.store(false, std::sync::atomic::Ordering::SeqCst);
    let asked = browser.open(&path).await;
    assert!(asked.body.contains("once more to withdraw"), "{}", asked.body);
    let page = browser.submit(&asked, &path, &[]).await;
    assert!(page.body.contains("Profile given back") && !page.body.contains("Not given back by"), "{}", page.body);
    assert_eq!(browser.get(&path).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn lines() {
    let world = World::new().await;
    let (mut browser, _) = signed_in(&world).await;
    let page = browser.open("/office/lines").await;
    assert!(page.body.contains("Lines: 5") && !page.body.contains(OWNER) && page.body.contains("•••• 5678"));
    assert!(page.body.contains("delivered") && page.body.contains("<dd>12</dd>"));
    let page = browser.submit(&page, "/office/lines", &[]).await;
    assert!(page.body.contains(OWNER) && page.body.contains("+819012345678"));
    assert!(page.body.contains("href=\"/office/lines?lang=ja\""));
}

/// `zbarimg` of Debian's zbar-tools reads the picture.
#[tokio::test]
async fn read_by_zbarimg() {
    let program =
        ["/usr/bin/zbarimg", "/usr/local/bin/zbarimg"].into_iter().find(|path| std::path::Path::new(path).exists());
    let Some(program) = program else {
        assert_ne!(std::env::var("VUICC_PEERS").as_deref(), Ok("required"), "zbarimg must be there");
        eprintln!("read_by_zbarimg ... skipped: not installed; apt install zbar-tools");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for code in [
        "LPA:1$SMDP.GSMA.COM$04386-AGYFT-A74Y8-3F815",
        "LPA:1$SMDP.GSMA.COM$04386-AGYFT-A74Y8-3F815$1.3.6.1.4.1.31746$1",
        "LPA:1$smdp.example.com:8443$MATCH-00002",
        &format!("LPA:1$smdp.example.com${}", "A1-".repeat(70)),
    ] {
        let file = folder.path().join("qr.png");
        std::fs::write(&file, QrCode::of(code).unwrap().png(6)).unwrap();
        let read = std::process::Command::new(program).args(["--quiet", "--raw"]).arg(&file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout).trim_end(), code, "{}", String::from_utf8_lossy(&read.stderr));
    }
}
