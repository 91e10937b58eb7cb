//! What the server refuses: what is stolen, replayed, guessed or nonsense. It changes nothing.

use crate::peer::{IMSI, Peer};
use crate::requests::{
    CONFIGURATION, ELIGIBILITY, ITS_EID, OFF, ON, SUBSCRIBE, THE_WATCH, TRANSFER, companion, primary,
};
use crate::world::{
    EID, MSISDN, NEW_PHONE, OTHER_EID, OTHER_ICCID, OTHER_IMSI, OTHER_MSISDN, PHONE, Phone, WATCH, World, exchange,
};
use database::place::Place;
use eap::message::Method;
use serde_json::Value;

#[tokio::test]
async fn a_token_for_another_device() {
    let place = Place::sqlite();
    let world = World::with(&place, |settings| settings.contract = false).await;
    let mut old = primary();
    let pass =
        [("operation", "AcquireTemporaryToken"), ("operation_targets", "ManageSubscription,AcquireConfiguration")];
    let section = old.ask(&world, &pass).await;
    assert_eq!(section["OperationTargets"], "ManageSubscription,AcquireConfiguration");
    assert_eq!(section["TemporaryTokenExpiry"], "2026-09-21T14:23:20Z");
    let token = section["TemporaryToken"].as_str().unwrap().to_owned();
    let mut new = Phone { terminal_id: NEW_PHONE.into(), ..primary() };
    let proof = [("temporary_token", token.as_str())];
    let transfer = [TRANSFER, &[("terminal_eid", EID)]].concat();
    assert_eq!(new.request(&world, &proof, ELIGIBILITY).await.status, 403, "not a target");
    let reply = new.request(&world, &proof, &transfer).await;
    let document = reply.json();
    assert_eq!((&document["ap2009"]["SubscriptionResult"], &document["Token"]), (&"2".into(), &Value::Null));
    assert_eq!(old.request(&world, &proof, &transfer).await.status, 403, "a third device's");
    let mine = [CONFIGURATION, &[("terminal_eid", EID)]].concat();
    let section = new.request(&world, &proof, &mine).await.json()["ap2009"].take();
    assert_eq!(section["PrimaryConfiguration"]["ServiceStatus"], "2", "{section}");
    world.pass(601);
    assert_eq!(new.request(&world, &proof, CONFIGURATION).await.status, 401);
    let everything = [("operation", "AcquireTemporaryToken"), ("operation_targets", "AcquireTemporaryToken")];
    assert_eq!(old.ask(&world, &everything).await["OperationResult"], "102");
}

/// Beginnings that are refused cost the card nothing.
#[tokio::test]
async fn a_place_full_of_beginnings() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    let identity = String::from_utf8(phone.peer.begin()).unwrap();
    let reply = phone.request(&world, &[("EAP_ID", &identity)], ELIGIBILITY).await;
    assert_eq!(reply.status, 200);
    let sql = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
               INSERT INTO entitlement_session (id, state, step, expires_at, source) \
               SELECT id || i, '', step, expires_at, source FROM entitlement_session, n";
    sqlx::query(sql).execute(world.database.pool()).await.unwrap();
    let before = world.rows("subscription", "imsi || sqn").await;
    let refused = companion().request(&world, &[("EAP_ID", &identity)], ELIGIBILITY).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("30")));
    assert_eq!(world.rows("subscription", "imsi || sqn").await, before);
    let answer = phone.peer.respond(&reply.packet());
    assert_eq!(phone.relay(&world, &answer).await.status, 200, "who is under way goes on");
}

#[tokio::test]
async fn stolen_tokens_and_replayed_packets() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    // An answer is good once.
    let identity = String::from_utf8(phone.peer.begin()).unwrap();
    let reply = phone.request(&world, &[("EAP_ID", &identity)], ELIGIBILITY).await;
    let answer = phone.peer.respond(&reply.packet());
    let mut thief = companion();
    assert_eq!(thief.relay(&world, &answer).await.status, 511, "without the cookie");
    assert_eq!(phone.relay(&world, &reply.packet()).await.status, 400, "a request is no answer");
    assert_eq!(phone.relay(&world, &answer).await.status, 200);
    let replayed = phone.relay(&world, &answer).await;
    assert_eq!(replayed.status, 511, "{replayed:?}");
    // Nor in another dialogue.
    let identity = String::from_utf8(phone.peer.begin()).unwrap();
    let reply = phone.request(&world, &[("EAP_ID", &identity)], ELIGIBILITY).await;
    let mut old = answer.clone();
    old[1] = reply.packet()[1];
    let rejected = phone.relay(&world, &old).await;
    assert_eq!((rejected.status, rejected.packet()[0]), (403, 4), "EAP-Failure");
    let right = phone.peer.respond(&reply.packet());
    assert_eq!(phone.relay(&world, &right).await.status, 511, "that dialogue has ended");
    // A token is one device's.
    let token = phone.token.clone().unwrap();
    for (terminal_id, app) in [(NEW_PHONE, "ap2006"), (PHONE, "ap2009")] {
        let mut thief = Phone { terminal_id: terminal_id.into(), ..Phone::new(Method::Aka, app) };
        let reply = thief.request(&world, &[("token", &token)], ELIGIBILITY).await;
        assert_eq!(reply.status, 511);
        // The card itself can authenticate instead.
        let identity = String::from_utf8(thief.peer.begin()).unwrap();
        let reply = thief.request(&world, &[("token", &token), ("EAP_ID", &identity)], ELIGIBILITY).await;
        assert!(reply.body.contains("eap-relay-packet"));
    }
    let other = [("token", token.as_str()), ("IMSI", OTHER_IMSI)];
    assert_eq!(phone.request(&world, &other, ELIGIBILITY).await.status, 403);
    // Nor is it valid beside the identity of any other card.
    for (identity, status) in [(format!("0{OTHER_IMSI}@nai.epc"), 403), ("alice@example.com".to_owned(), 400)] {
        let mixed = [("token", token.as_str()), ("EAP_ID", &identity)];
        let reply = phone.request(&world, &mixed, ELIGIBILITY).await;
        assert_eq!((reply.status, reply.body.contains("oken")), (status, false), "{reply:?}");
    }
    // With token and EAP_ID, the card is not asked.
    let both = [("token", token.as_str()), ("EAP_ID", identity.as_str()), ("IMSI", IMSI)];
    assert_eq!(phone.request(&world, &both, ELIGIBILITY).await.json()["ap2006"]["OperationResult"], "1");
    // It ends.
    world.pass(31 * 24 * 3600);
    assert_eq!(phone.by_token(&world, ELIGIBILITY).await.status, 511);
}

#[tokio::test]
async fn cards_refused() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    phone.peer = Peer::with_key(Method::Aka, &[1; 16]);
    let reply = phone.by_card(&world, ELIGIBILITY).await;
    assert_eq!(reply.status, 403, "another K");
    let mut phone = companion();
    phone.peer.wrong_res = Some(vec![0; 8]);
    assert_eq!(phone.by_card(&world, ELIGIBILITY).await.status, 403);
    let mut phone = companion();
    for (identity, status) in [("2pseudonym@nai.epc", 400), ("alice@example.com", 400), ("0@nai.epc", 400)] {
        let reply = phone.request(&world, &[("EAP_ID", identity)], ELIGIBILITY).await;
        assert_eq!(reply.status, status, "{identity}");
    }
    // Whether there is such a subscriber is told by no answer: somebody else's, nobody's, one out of service.
    world.bar(OTHER_IMSI).await;
    for imsi in [IMSI, OTHER_IMSI, "001019999999999"] {
        let identity = format!("0{imsi}@nai.epc.mnc001.mcc001.3gppnetwork.org");
        let reply = phone.request(&world, &[("EAP_ID", &identity)], ELIGIBILITY).await;
        assert_eq!(
            (reply.status, reply.packet().len(), &reply.packet()[38..40]),
            (200, 0x44, &[0x80, 0][..]),
            "{imsi}"
        );
        let mut stranger = Peer::with_key(Method::Aka, &[1; 16]);
        stranger.begin();
        let answer = stranger.respond(&reply.packet());
        let reply = phone.relay(&world, &answer).await;
        assert_eq!((reply.status, reply.packet()), (403, vec![4, answer[1], 0, 4]), "{imsi}");
    }
    let identity = format!("0{IMSI}@nai.epc");
    let two = [("EAP_ID", identity.as_str()), ("IMSI", OTHER_IMSI)];
    assert_eq!(phone.request(&world, &two, ELIGIBILITY).await.status, 403);
    phone.ask(&world, ELIGIBILITY).await;
    world.bar(IMSI).await;
    assert_eq!(phone.by_token(&world, ELIGIBILITY).await.status, 403);
    assert_eq!(phone.by_card(&world, ELIGIBILITY).await.status, 403);
    assert_eq!(phone.ask(&world, CONFIGURATION).await["OperationResult"], "1", "one may still ask");
}

#[tokio::test]
async fn codes_guessed() {
    let place = Place::sqlite();
    let mut world = World::new(&place).await;
    let mut phone = primary();
    let eid = [("terminal_eid", EID)];
    let replies = [
        phone.request(&world, &[("msisdn", MSISDN)], &eid).await,
        phone.request(&world, &[("msisdn", "81900000000")], &eid).await,
    ];
    // Nothing but cookie and date tells them apart.
    let [known, unknown] = replies.map(|reply| {
        let head: Vec<_> = reply.head.iter().map(|(name, value)| (name.clone(), value.len())).collect();
        (reply.status, head, reply.body)
    });
    assert_eq!(known, unknown);
    world.code(IMSI).await;
    // Nor do wrong codes.
    for number in [MSISDN, "81900000000"] {
        let reply = phone.request(&world, &[("msisdn", number)], &eid).await;
        assert_eq!(reply.status, 200);
        for _ in 0..4 {
            let reply = phone.get(&world, &[("OTP", "00000x")]).await;
            assert_eq!((reply.status, reply.header("set-cookie")), (511, None));
        }
    }
    // After three tries not even the right one is.
    let code = world.code(IMSI).await;
    assert_eq!(phone.get(&world, &[("OTP", &code)]).await.status, 511);
    // A code is good with its own cookie only, and once.
    phone.request(&world, &[("msisdn", MSISDN)], &eid).await;
    let (code, cookie) = (world.code(IMSI).await, phone.cookie.clone());
    let mut thief = primary();
    thief.request(&world, &[("msisdn", OTHER_MSISDN)], &eid).await;
    world.code(OTHER_IMSI).await;
    assert_eq!(thief.get(&world, &[("OTP", &code)]).await.status, 511);
    phone.cookie = cookie;
    let reply = phone.post(&world, "application/json", &format!("{{\"OTP\":\"{code}\"}}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["ap2009"]["OperationResult"], "1", "nothing else was asked for");
    assert_eq!(phone.get(&world, &[("OTP", &code)]).await.status, 511);
    // Five messages an hour, then a time to wait: for numbers nobody has, too.
    for number in [MSISDN, "81900000000"] {
        let mut last = None;
        for _ in 0..6 {
            last = Some(phone.request(&world, &[("msisdn", number)], &eid).await);
        }
        let last = last.unwrap();
        assert_eq!(last.status, 503, "{number}");
        assert!(last.header("retry-after").unwrap().parse::<u64>().unwrap() <= 3600);
        assert!(last.body.starts_with("Too many codes were asked for."), "{}", last.body);
    }
    assert_eq!(phone.request(&world, &[("msisdn", "1")], &eid).await.status, 400);
    assert_eq!(phone.request(&world, &[("msisdn", MSISDN)], &[("terminal_eid", "1")]).await.status, 400);
}

#[tokio::test]
async fn nonsense() {
    let place = Place::sqlite();
    let world = World::with(&place, |settings| settings.networks = vec!["00101".into()]).await;
    let mut phone = companion();
    phone.ask(&world, ELIGIBILITY).await;
    // Within the document.
    let wrong_eid = [SUBSCRIBE, THE_WATCH, &[("companion_terminal_eid", "89049032000001000000000012345653")]].concat();
    let nobody = [
        ON,
        &[("companion_terminal_id", WATCH), ("x_secondary_id_type", "imsi"), ("x_secondary_id", "440100000000001")],
    ]
    .concat();
    let contradicting =
        [ON, &[("companion_terminal_iccid", OTHER_ICCID), ("x_secondary_id_type", "imsi"), ("x_secondary_id", IMSI)]]
            .concat();
    let not_mine =
        [ON, &[("companion_terminal_iccid", OTHER_ICCID), ("x_primary_id_type", "imsi"), ("x_primary_id", OTHER_IMSI)]]
            .concat();
    let no_eid = [SUBSCRIBE, THE_WATCH].concat();
    for (parameters, result) in [
        (&[("operation", "Bogus")][..], "101"),
        (&[("operation", "ManageService"), ("operation_type", "3")], "101"),
        (&[("operation", "AcquirePlan")], "103"),
        (&[("operation_type", "0")], "102"),
        (&wrong_eid, "102"),
        (&no_eid, "102"),
        (&nobody, "102"),
        (&contradicting, "102"),
        (&not_mine, "102"),
        (&[("operation", "ManageSubscription"), ("operation_type", "1"), ("companion_terminal_id", "none")], "102"),
        (&[("operation", "ManageSubscription")], "102"),
    ] {
        let section = phone.ask(&world, parameters).await;
        assert_eq!(section["OperationResult"], result, "{parameters:?}: {section}");
        assert!(!section["GeneralErrorText"].as_str().unwrap().is_empty());
    }
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
    phone.language = "ja-JP, en;q=0.5".into();
    let section = phone.ask(&world, &wrong_eid).await;
    assert!(section["GeneralErrorText"].as_str().unwrap().contains("EID（eSIMチップの番号）"), "{section}");
    // Instead of a document.
    let old = [TRANSFER, THE_WATCH, &[("old_companion_terminal_id", PHONE)]].concat();
    assert_eq!(phone.by_token(&world, &old).await.status, 406);
    assert_eq!(phone.by_token(&world, &[("operation", "GetPhoneNumber")]).await.status, 405);
    assert_eq!(phone.request(&world, &[], ELIGIBILITY).await.status, 511);
    let version = phone.get(&world, &[("app", "ap2006"), ("terminal_id", "x"), ("entitlement_version", "1.0")]).await;
    assert_eq!(version.status, 406);
    assert!(!version.body.is_empty() && version.header("content-language") == Some("ja"), "{version:?}");
    assert_eq!(phone.get(&world, &[]).await.status, 400);
    for (kind, body, status) in [
        ("application/json", "{", 400),
        ("application/json", "", 400),
        ("application/json", "[1]", 400),
        ("application/json", "{\"app\":{\"a\":1}}", 400),
        ("application/vnd.gsma.eap-relay.v1.0+json", "{\"eap-relay-packet\":\"*\"}", 400),
        ("application/vnd.gsma.eap-relay.v1.0+json", "{\"eap-relay-packet\":\"\"}", 400),
        ("application/xml", "<a/>", 415),
        ("application/json", &"x".repeat(70_000), 413),
    ] {
        let reply = phone.post(&world, kind, body).await;
        assert_eq!(reply.status, status, "{kind} {}", body.get(..40).unwrap_or(body));
    }
    let reply =
        exchange(world.listeners[0], b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD,POST")));
}

/// What is in the database but for who may ask, and what is asked of whom.
async fn business(world: &World) -> Vec<Vec<String>> {
    let mut business = Vec::new();
    for (table, columns) in [
        ("subscription", "imsi || status || COALESCE(msisdn, '') || COALESCE(eid, '')"),
        ("group_member", "imsi || msisdn"),
        ("boss_order", "id || state || COALESCE(share, '')"),
        ("boss_order_entry", "order_id || event"),
        ("boss_contract", "ticket"),
        ("boss_service", "primary_imsi || secondary_imsi || state"),
        ("boss_charge", "order_id"),
        ("one_time_code", "id"),
    ] {
        let mut rows = world.rows(table, columns).await;
        rows.sort_unstable();
        business.push(rows);
    }
    business
}

/// Everything the parts write, in all tests of this process.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What was written since the last look, on the thread of this test, where its server runs too.
    fn look(&self) -> String {
        let written = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let thread = std::thread::current();
        let mine = thread.name().unwrap_or_default();
        written.lines().filter(|line| line.contains(mine)).flat_map(|line| [line, "\n"]).collect()
    }
}

/// Whatever cannot be right gets its code, a sentence in the user's language and a line in the log, and changes
/// nothing.
#[tokio::test]
async fn what_cannot_be_right_is_said_logged_and_left_undone() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_thread_names(true).with_writer(move || writer.clone()).init();
    let place = Place::sqlite();
    let world = World::with(&place, |settings| settings.networks = vec!["00101".into()]).await;
    let mut phone = companion();
    phone.ask(&world, &[SUBSCRIBE, THE_WATCH, ITS_EID].concat()).await;
    let secondary = |kind, value| [("x_secondary_id_type", kind), ("x_secondary_id", value)];
    let wrong_eid = "89049032000001000000000012345653";
    let share = [ON, &[("companion_terminal_id", WATCH)]].concat();
    let other = [("companion_terminal_iccid", OTHER_ICCID)];
    let primary = [("x_primary_id_type", "imsi"), ("x_primary_id", OTHER_IMSI)];
    let within = [
        ("unknown operation", vec![("operation", "Bogus")], "101"),
        ("unknown type", vec![("operation", "ManageService"), ("operation_type", "99")], "101"),
        ("not offered", vec![("operation", "AcquirePlan")], "103"),
        ("no EID", [SUBSCRIBE, THE_WATCH].concat(), "102"),
        ("check digits", [SUBSCRIBE, THE_WATCH, &[("companion_terminal_eid", wrong_eid)]].concat(), "102"),
        (
            "check digits of a target",
            [SUBSCRIBE, THE_WATCH, ITS_EID, &[("target_terminal_eid", wrong_eid)]].concat(),
            "102",
        ),
        ("another operator's", [&share[..], &secondary("imsi", "440101234567890")].concat(), "102"),
        ("contradicting", [&share[..], &other, &secondary("imsi", IMSI)].concat(), "102"),
        ("not one's own", [&share[..], &other, &primary].concat(), "102"),
        ("unknown EID", [OFF, &[("companion_terminal_eid", OTHER_EID)]].concat(), "102"),
        ("no such kind of number", [&share[..], &secondary("name", "alice")].concat(), "102"),
    ];
    let instead = [
        ("another version", vec![("app", "ap2006"), ("terminal_id", "x"), ("entitlement_version", "1.0")], 406),
        ("nothing", vec![], 400),
        ("no such code", vec![("OTP", "000000")], 511),
        ("no packet", vec![("eap-relay-packet", "AgEABA==")], 511),
        ("no Base64", vec![("eap-relay-packet", "*")], 400),
    ];
    let before = business(&world).await;
    for (language, is_it) in [("en", true), ("ja", false)] {
        phone.language = language.into();
        for (what, parameters, result) in &within {
            log.look();
            let section = phone.ask(&world, parameters).await;
            assert_eq!(section["OperationResult"], *result, "{what}: {section}");
            let text = section["GeneralErrorText"].as_str().unwrap();
            assert_eq!(text.is_ascii(), is_it, "{what}: {text}");
            let logged = log.look();
            assert!(logged.contains("refused") && logged.contains(&format!("result=\"{result}\"")), "{what}: {logged}");
            assert!(business(&world).await == before, "{what}");
        }
        for (what, parameters, status) in &instead {
            phone.cookie = None;
            log.look();
            let reply = phone.get(&world, parameters).await;
            assert_eq!(
                (reply.status, reply.header("content-language")),
                (*status, Some(language)),
                "{what}: {reply:?}"
            );
            assert!(!reply.body.is_empty() && reply.body.is_ascii() == is_it, "{what}: {reply:?}");
            let logged = log.look();
            assert!(logged.contains("refused") && logged.contains(&format!("status={status}")), "{what}: {logged}");
            assert!(business(&world).await == before, "{what}");
        }
        for (kind, body, status) in [
            ("application/json", "{", 400),
            ("application/json", "{\"app\":{\"a\":1}}", 400),
            ("application/vnd.gsma.eap-relay.v1.0+json", "{\"eap-relay-packet\":\"\"}", 400),
            ("application/xml", "<a", 415),
            ("application/json", &"x".repeat(70_000), 413),
        ] {
            let reply = phone.post(&world, kind, body).await;
            assert_eq!(reply.status, status, "{kind}");
            assert!(business(&world).await == before, "{kind}");
        }
    }
}
