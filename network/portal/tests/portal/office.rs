//! The operator's page.

use axum::http::StatusCode;
use boss::{Decision, State};
use portal::OfficeKey;
use portal::qr::QrCode;

use crate::browser::{Browser, Page};
use crate::world::{OFFICE_KEY, OWNER, World};

async fn signed_in(world: &World) -> (Browser, Page) {
    let mut browser = Browser::at_office(world.portal());
    let page = browser.open("/office/").await;
    let page = browser.submit(&page, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert!(page.body.contains("<h1>Orders</h1>"), "{}", page.body);
    (browser, page)
}

#[tokio::test]
async fn only_with_the_key() {
    let world = World::new().await;
    let order = world.order("Watch", 1).await;
    let mut browser = Browser::at_office(world.portal());
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
    assert_eq!(browser.get("/office/").await.header("location"), "/office/sign-in");
    assert_eq!(browser.get("/care/").await.status, StatusCode::NOT_FOUND);
    let mut outside = Browser::new(world.portal());
    outside.cookies.clone_from(&browser.cookies);
    assert_eq!(outside.get("/care/").await.header("location"), "/care/sign-in");
    browser.cookies.insert("__Host-office".to_owned(), token.clone());
    outside.cookies.insert("__Host-office".to_owned(), token);
    for path in ["/office/", "/office/lines", "/office/sign-in"] {
        assert_eq!(outside.get(path).await.status, StatusCode::NOT_FOUND, "not at the subscribers' listener");
    }
    browser.submit(&page, "/office/sign-out", &[]).await;
    assert_eq!(browser.get("/office/").await.header("location"), "/office/sign-in");
}

/// A session ends with its key, and at the end of a working day however much it is used.
#[tokio::test]
async fn no_session_outlives_its_key() {
    let mut world = World::new().await;
    let (browser, _) = signed_in(&world).await;
    world.keys.push(("bert", "another key of twenty-four characters"));
    let mut browser = browser.going_on_at_office(world.portal());
    assert_eq!(browser.get("/office/").await.status, StatusCode::OK, "others have keys too");
    world.keys = vec![("anna", "a new key of twenty-four characters")];
    let mut changed = browser.going_on_at_office(world.portal());
    assert_eq!(changed.get("/office/").await.header("location"), "/office/sign-in");
    world.keys = vec![("anna", OFFICE_KEY)];
    browser = browser.going_on_at_office(world.portal());
    assert_eq!(browser.get("/office/").await.header("location"), "/office/sign-in", "it has ended");
    let (mut browser, _) = signed_in(&world).await;
    let mut minutes = 0;
    while browser.get("/office/").await.status == StatusCode::OK {
        world.pass(600);
        minutes += 10;
    }
    assert_eq!(minutes, 600);
}

/// Five wrong keys at any pace, then one in ten seconds, the right one among them: who has a key takes a turn among those who
/// share the address.
#[tokio::test]
async fn keys_are_not_tried_again_and_again() {
    let world = World::new().await;
    let mut browser = Browser::at_office(world.portal()).from("192.0.2.1");
    let page = browser.open("/office/").await;
    for _ in 0..5 {
        let refused = browser.submit(&page, "/office/sign-in", &[("key", "wrong")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    world.pass(4);
    let refused = browser.submit(&page, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "6"));
    assert!(refused.body.contains("Too many wrong keys came from your network."));
    world.pass(6);
    let mut colleague = Browser::at_office(world.portal()).from("192.0.2.1");
    let asked = colleague.open("/office/").await;
    let opened = colleague.submit(&asked, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert!(opened.body.contains("<h1>Orders</h1>"), "{}", opened.body);
    // Guessing gets no further.
    let mut tried = 0;
    for _ in 0..100 {
        let refused = browser.submit(&page, "/office/sign-in", &[("key", "wrong")]).await;
        tried += u32::from(refused.status == StatusCode::FORBIDDEN);
        world.pass(1);
    }
    assert_eq!(tried, 10);
    // Who comes from elsewhere is not kept out.
    let mut other = Browser::at_office(world.portal()).from("192.0.2.2");
    let page = other.open("/office/").await;
    let page = other.submit(&page, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert!(page.body.contains("<h1>Orders</h1>"));
    world.pass(900);
    let page = browser.open("/office/").await;
    let page = browser.submit(&page, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert!(page.body.contains("<h1>Orders</h1>"));
}

/// So many wrong keys from everywhere: who signed in from somewhere before still does from there. A clock that goes back keeps
/// nobody waiting, and the audit log counts wrong keys.
#[tokio::test]
async fn strangers_from_everywhere_fill_no_more_than_their_quota() {
    let world = World::new().await;
    let portal = world.portal();
    let at = |address: &'static str| Browser::at_office(portal.clone()).from(address);
    let mut known = at("192.0.2.1");
    let asked = known.open("/office/").await;
    known.submit(&asked, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    let sql = "INSERT INTO office_attempt (id, source, expires_at) \
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT i, i, $1 FROM n";
    let until = i64::try_from(world.now() + 900).unwrap();
    sqlx::query(sql).bind(until).execute(world.database.pool()).await.unwrap();
    world.pass(1);
    let mut stranger = at("192.0.2.2");
    let page = stranger.open("/office/").await;
    for key in ["wrong", OFFICE_KEY] {
        let refused = stranger.submit(&page, "/office/sign-in", &[("key", key)]).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(
            refused.body.contains("came from everywhere") && !refused.body.contains("your network"),
            "{}",
            refused.body
        );
    }
    let mut colleague = at("192.0.2.1");
    let asked = colleague.open("/office/").await;
    let opened = colleague.submit(&asked, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert!(opened.body.contains("<h1>Orders</h1>"), "{}", opened.body);
    let kept = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM office_attempt");
    assert_eq!(kept.fetch_one(world.database.pool()).await.unwrap(), 10_000);
    world.pass(900);
    for _ in 0..5 {
        let refused = stranger.submit(&page, "/office/sign-in", &[("key", "wrong")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    let audit = world.hlr.audit(0, 1000).await.unwrap();
    let wrong: Vec<_> = audit.iter().filter(|entry| entry.action == "wrong key").map(|entry| &*entry.detail).collect();
    assert_eq!(wrong, ["from 192.0.2.2, session none, 5 times within a minute"]);
    // Back by a day.
    world.clock.fetch_sub(86_400, std::sync::atomic::Ordering::SeqCst);
    let refused = stranger.submit(&page, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "10"));
    world.pass(10);
    let opened = stranger.submit(&page, "/office/sign-in", &[("key", OFFICE_KEY)]).await;
    assert!(opened.body.contains("<h1>Orders</h1>"), "{}", opened.body);
}

/// Who looked at what, and who changed what, from where.
#[tokio::test]
async fn every_view_and_change_is_in_the_audit_log() {
    let mut world = World::new().await;
    let order = world.order("Watch", 1).await;
    world.keys.push(("bert", "another key of twenty-four characters"));
    let before = world.hlr.audit(0, 100).await.unwrap().len() as u64;
    let mut browser = Browser::at_office(world.portal()).from("192.0.2.7");
    let page = browser.open("/office/").await;
    browser.submit(&page, "/office/sign-in", &[("key", "wrong")]).await;
    let page = browser.submit(&page, "/office/sign-in", &[("key", "another key of twenty-four characters")]).await;
    browser.submit(&page, "/office/find", &[("number", OWNER)]).await;
    let path = format!("/office/orders/{}", order.id);
    let page = browser.open(&path).await;
    browser.submit(&page, &path, &[]).await;
    let page = browser.open("/office/lines").await;
    browser.submit(&page, "/office/lines", &[]).await;
    let page = browser.open(&format!("{path}/cancel")).await;
    browser.submit(&page, &format!("{path}/cancel"), &[]).await;
    let entries = world.hlr.audit(before, 100).await.unwrap();
    let office: Vec<_> = entries.iter().filter(|entry| entry.actor.starts_with("office/")).collect();
    let told: Vec<_> = office.iter().map(|entry| (&*entry.actor, &*entry.action, &*entry.subject)).collect();
    let id = order.id.as_str();
    assert_eq!(
        told,
        [
            ("office/nobody", "wrong key", ""),
            ("office/bert", "sign in", ""),
            ("office/bert", "look at orders", ""),
            ("office/bert", "find orders", OWNER),
            ("office/bert", "look at order", id),
            ("office/bert", "see identities of order", id),
            ("office/bert", "look at lines", ""),
            ("office/bert", "see identities of lines", ""),
            ("office/bert", "look at order", id),
            ("office/bert", "cancel order", id),
            ("office/bert", "look at order", id),
        ]
    );
    let sessions: std::collections::BTreeSet<_> = office[1..].iter().map(|entry| &entry.detail).collect();
    assert!(sessions.len() == 1 && office[1].detail.starts_with("from 192.0.2.7, session "), "{sessions:?}");
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
        assert!(std::env::var_os("VUICC_PEERS").is_none_or(|peers| peers.is_empty()), "zbarimg must be there");
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
