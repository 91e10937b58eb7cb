//! Every method of authentication and every flow, as a device goes through it.

use crate::peer::{IMSI, Peer};
use crate::requests::{
    CONFIGURATION, ELIGIBILITY, ITS_EID, OFF, ON, SUBSCRIBE, THE_WATCH, TRANSFER, UPDATE, activation_code, borrowed,
    companion, ordered, primary,
};
use crate::world::{
    EID, ICCID, MSISDN, NEW_PHONE, OTHER_EID, OTHER_ICCID, OTHER_IMSI, OTHER_MSISDN, PHONE, Phone, SMDP, WATCH, World,
};
use boss::{Decision, Proof};
use database::place::{Place, on_each_database};
use eap::message::{Method, Subtype};
use hlr::{Change, Status};
use serde_json::Value;

on_each_database!(aka_in_the_relay, two_replicas_share_each_dialogue, a_companion_from_beginning_to_end);

async fn aka_in_the_relay(place: &Place) {
    let world = World::new(place).await;
    let mut phone = companion();
    let identity = String::from_utf8(phone.peer.begin()).unwrap();
    let reply = phone.request(&world, &[("EAP_ID", &identity)], ELIGIBILITY).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.gsma.eap-relay.v1.0+json"));
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.starts_with("session=") && cookie.contains("HttpOnly") && cookie.contains("Secure"), "{cookie}");
    // Nothing but a challenge: 17 AKA, 01 AKA-Challenge, AT_RAND and AT_AUTN first.
    let packet = reply.packet();
    assert_eq!((packet[0], packet.len(), &packet[4..8], &packet[8..10]), (1, 0x44, &[0x17, 1, 0, 0][..], &[1, 5][..]));
    assert_eq!(packet[28..30], [2, 5]);
    let answer = phone.peer.respond(&packet);
    let reply = phone.relay(&world, &answer).await;
    assert_eq!((reply.status, reply.header("set-cookie")), (200, None));
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    let document = reply.json();
    assert_eq!(document["Vers"]["version"], "1");
    assert_eq!(document["Token"]["token"].as_str().unwrap().len(), 43);
    assert_eq!(document["ap2006"]["CompanionAppEligibility"], "1");
    assert_eq!(document["ap2006"]["CompanionDeviceServices"], "SharedNumber,DiffNumber");
    // What is kept names no one and opens nothing.
    for row in world.rows("entitlement_token", "id").await {
        assert!(row.len() == 64 && !row.contains(phone.token.as_ref().unwrap()));
    }
    assert!(world.rows("entitlement_session", "state").await.is_empty());
    // With the token, by GET in XML and by POST.
    phone.accept = "text/vnd.wap.connectivity-xml".into();
    let reply = phone.by_token(&world, ELIGIBILITY).await;
    assert_eq!(reply.header("content-type"), Some("text/vnd.wap.connectivity-xml; charset=utf-8"));
    assert!(reply.body.contains("<parm name=\"CompanionAppEligibility\" value=\"1\"/>"), "{}", reply.body);
    phone.accept = "application/json".into();
    let token = phone.token.clone().unwrap();
    let body = format!(
        r#"{{"app":"[ap2006,ap2009]","terminal_id":"{PHONE}","entitlement_version":"12.0","IMSI":"{IMSI}","token":"{token}",
            "operation":"checkeligibility"}}"#
    );
    let reply = phone.post(&world, "application/json", &body).await;
    assert_eq!(reply.status, 511, "the token is for one application: {reply:?}");
    let reply = phone.post(&world, "application/json", &body.replace("[ap2006,ap2009]", "ap2006")).await;
    assert_eq!(reply.json()["ap2006"]["CompanionAppEligibility"], "1");
}

/// Each packet of a dialogue meets another process.
async fn two_replicas_share_each_dialogue(place: &Place) {
    let world = World::new(place).await;
    for method in [Method::Aka, Method::Sim] {
        let mut phone = Phone { alternates: true, ..Phone::new(method, "ap2006") };
        phone.peer.has_seen(1000);
        let reply = phone.by_card(&world, ELIGIBILITY).await;
        assert_eq!(reply.status, 200, "{method:?}: {reply:?}");
        assert_eq!(reply.json()["ap2006"]["OperationResult"], "1");
        for _ in 0..4 {
            assert_eq!(phone.ask(&world, ELIGIBILITY).await["OperationResult"], "1");
        }
    }
}

#[tokio::test]
async fn every_method_of_the_card() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = Phone::new(Method::Sim, "ap2009");
    let reply = phone.by_card(&world, ELIGIBILITY).await;
    assert_eq!(reply.json()["ap2009"]["PrimaryAppEligibility"], "1");
    assert_eq!(phone.peer.heard, [Subtype::SIM_START, Subtype::SIM_CHALLENGE]);
    // A card that is ahead of the centre.
    let mut phone = primary();
    phone.peer.has_seen(1_000_000);
    let reply = phone.by_card(&world, ELIGIBILITY).await;
    assert_eq!(reply.json()["ap2009"]["PrimaryAppEligibility"], "1");
    assert_eq!(phone.peer.heard, [Subtype::AKA_CHALLENGE, Subtype::AKA_CHALLENGE]);
    // Both applications at once, in the language of the first call; what changes something is asked of one.
    let mut phone = Phone { language: "ja".into(), ..companion() };
    phone.peer.has_seen(1_000_000);
    let identity = String::from_utf8(phone.peer.begin()).unwrap();
    let both = [("app", "ap2009"), ("EAP_ID", identity.as_str())];
    let reply = phone.request(&world, &both, &[SUBSCRIBE, THE_WATCH, ITS_EID].concat()).await;
    phone.language = String::new();
    let answer = phone.peer.respond(&reply.packet());
    let reply = phone.relay(&world, &answer).await;
    assert_eq!(reply.header("content-language"), Some("ja"));
    let document = reply.json();
    assert_eq!([&document["ap2006"]["OperationResult"], &document["ap2009"]["OperationResult"]], ["102", "102"]);
    let token = phone.token.clone().unwrap();
    let reply = phone.request(&world, &[("app", "ap2009"), ("token", &token)], ELIGIBILITY).await.json();
    assert_eq!([&reply["ap2006"]["CompanionAppEligibility"], &reply["ap2009"]["PrimaryAppEligibility"]], ["1", "1"]);
    // A realm of another kind, and a document that is asked for in the first request only.
    let mut phone = primary();
    phone.peer.has_seen(1_000_000);
    phone.peer.permanent = format!("0{IMSI}@wlan.mnc000.mcc000.3gppnetwork.org").into_bytes();
    let identity = String::from_utf8(phone.peer.begin()).unwrap();
    let reply = phone.request(&world, &[("EAP_ID", &identity)], ELIGIBILITY).await;
    phone.accept = "*/*".into();
    let answer = phone.peer.respond(&reply.packet());
    assert_eq!(phone.relay(&world, &answer).await.json()["ap2009"]["OperationResult"], "1");
}

async fn a_companion_from_beginning_to_end(place: &Place) {
    let world = World::new(place).await;
    let mut phone = companion();
    let nothing = phone.ask(&world, &[CONFIGURATION, THE_WATCH].concat()).await;
    assert_eq!(nothing["CompanionConfigurations"], serde_json::json!([]));
    let iccid = ordered(&world, &mut phone, &[]).await;
    // The configuration brings the download too, until it begins: an answer may get lost.
    let of_watch = [CONFIGURATION, THE_WATCH].concat();
    let first = phone.ask(&world, &of_watch).await["CompanionConfigurations"][0]["CompanionConfiguration"].take();
    assert_eq!((&first["ICCID"], &first["ServiceStatus"]), (&iccid.as_str().into(), &"2".into()));
    assert_eq!((&first["CompanionDeviceService"], &first["PollingInterval"]), (&"DiffNumber".into(), &"1".into()));
    assert_eq!(activation_code(&first), format!("LPA:1${SMDP}$MID-{iccid}"));
    let second = phone.ask(&world, &of_watch).await["CompanionConfigurations"][0]["CompanionConfiguration"].take();
    assert_eq!(second, first);
    // Another companion's configuration is another's.
    let other = phone.ask(&world, &[CONFIGURATION, &[("companion_terminal_id", PHONE)]].concat()).await;
    assert_eq!(other["CompanionConfigurations"], serde_json::json!([]));
    // The device says that it is installed, the SM-DP+ that it is enabled.
    let done = phone.ask(&world, &[UPDATE, THE_WATCH, ITS_EID].concat()).await;
    assert_eq!(done["SubscriptionResult"], "3");
    world.installed_and_enabled(&iccid, EID).await;
    let watch = world.subscription(&iccid).await;
    assert_eq!(watch.status, Status::Active);
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
    // One number for both.
    let its_iccid = [("companion_terminal_iccid", iccid.as_str()), ("x_call_delivery", "MAH")];
    let service = phone.ask(&world, &[ON, THE_WATCH, &its_iccid].concat()).await;
    assert_eq!(service["ServiceStatus"], "1", "{service}");
    assert_eq!(world.rings(MSISDN).await, [IMSI.to_owned(), watch.imsi.to_string()]);
    let shared = phone.ask(&world, &of_watch).await["CompanionConfigurations"][0]["CompanionConfiguration"].take();
    assert_eq!((&shared["CompanionDeviceService"], &shared["ServiceStatus"]), (&"SharedNumber".into(), &"1".into()));
    assert_eq!(shared["PollingInterval"], Value::Null);
    // And no more.
    let off = phone.ask(&world, &[OFF, THE_WATCH, &its_iccid, &[("x_remove_profile", "1")]].concat()).await;
    assert_eq!(off["ServiceStatus"], "4");
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
    let gone = phone.ask(&world, &of_watch).await["CompanionConfigurations"][0]["CompanionConfiguration"].take();
    assert_eq!(gone["ServiceStatus"], "4");
}

#[tokio::test]
async fn a_companion_that_shares_from_the_beginning() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    let shared = [("companion_terminal_service", "SharedNumber"), ("x_call_delivery", "FA")];
    let iccid = ordered(&world, &mut phone, &shared).await;
    let of_watch = [CONFIGURATION, THE_WATCH].concat();
    let waiting = phone.ask(&world, &of_watch).await["CompanionConfigurations"][0]["CompanionConfiguration"].take();
    assert_eq!((&waiting["CompanionDeviceService"], &waiting["ServiceStatus"]), (&"SharedNumber".into(), &"2".into()));
    world.installed_and_enabled(&iccid, EID).await;
    assert_eq!(world.rings(MSISDN).await.len(), 2);
    let done = phone.ask(&world, &of_watch).await["CompanionConfigurations"][0]["CompanionConfiguration"].take();
    assert_eq!(done["ServiceStatus"], "1");
    // The end of the subscription is the end of it all.
    let end = [("operation", "ManageSubscription"), ("operation_type", "1")];
    assert_eq!(phone.ask(&world, &[&end[..], THE_WATCH, ITS_EID].concat()).await["SubscriptionResult"], "3");
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
}

#[tokio::test]
async fn a_contract_nobody_wants() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    let request = [SUBSCRIBE, THE_WATCH, ITS_EID].concat();
    let section = phone.ask(&world, &request).await;
    let ticket = section["SubscriptionServiceUserData"].as_str().unwrap();
    assert!(!ticket.contains(IMSI) && !ticket.contains(EID));
    world.decide(ticket, Decision::Decline).await;
    let nothing = phone.ask(&world, &[CONFIGURATION, THE_WATCH].concat()).await;
    assert_eq!(nothing["CompanionConfigurations"], serde_json::json!([]));
    // AuthenticatedRequest again is possible.
    assert_eq!(phone.ask(&world, &request).await["SubscriptionResult"], "1");
    // And can call it off.
    let end = [("operation", "ManageSubscription"), ("operation_type", "1")];
    assert_eq!(phone.ask(&world, &[&end[..], THE_WATCH, ITS_EID].concat()).await["SubscriptionResult"], "3");
}

#[tokio::test]
async fn two_uiccs_share_a_number() {
    let place = Place::sqlite();
    let mut world = World::with(&place, |settings| settings.second_contract = true).await;
    let mut phone = companion();
    let order = format!("{OTHER_ICCID},{IMSI}");
    let request = [
        SUBSCRIBE,
        THE_WATCH,
        &[("x_secondary_id_type", "msisdn"), ("x_secondary_id", OTHER_MSISDN)],
        &[("x_primary_id_type", "iccid"), ("x_primary_id", ICCID)],
        &[("x_call_delivery", "MAH")],
        &[("x_hunt_order", &order)],
    ]
    .concat();
    // The contract, then the code, then done.
    let section = phone.ask(&world, &request).await;
    assert_eq!(section["SubscriptionResult"], "1", "{section}");
    world.decide(section["SubscriptionServiceUserData"].as_str().unwrap(), Decision::Accept).await;
    phone.language = "ja".into();
    let section = phone.ask(&world, &request).await;
    assert_eq!(section["SubscriptionResult"], "8", "{section}");
    assert_eq!(
        (&section["MSG"]["Accept_freetext"], &section["MSG"]["Accept_btn_label"]),
        (&"1".into(), &"次へ".into())
    );
    let code = world.code(OTHER_IMSI).await;
    let with = |code: String| {
        let mut request: Vec<(String, String)> =
            request.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        request.extend([("MSG_btn".into(), "1".into()), ("MSG_response".into(), code)]);
        request
    };
    let wrong = with(if code == "000000" { "000001".into() } else { "000000".into() });
    let section = phone.ask(&world, &borrowed(&wrong)).await;
    assert_eq!(section["OperationResult"], "104");
    assert!(section["GeneralErrorText"].as_str().unwrap().contains("認証コード"), "{section}");
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
    let section = phone.ask(&world, &borrowed(&with(code))).await;
    assert_eq!(section["SubscriptionResult"], "3", "{section}");
    assert_eq!(world.rings(MSISDN).await, [OTHER_IMSI, IMSI], "in the order asked for");
    let all = phone.ask(&world, CONFIGURATION).await["CompanionConfigurations"][0]["CompanionConfiguration"].take();
    assert_eq!((&all["ICCID"], &all["ServiceStatus"]), (&OTHER_ICCID.into(), &"1".into()));
    // Unbound by any identifier.
    let by_imsi = [("companion_terminal_id", WATCH), ("x_secondary_id_type", "imsi"), ("x_secondary_id", OTHER_IMSI)];
    assert_eq!(phone.ask(&world, &[OFF, &by_imsi].concat()).await["ServiceStatus"], "3");
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
    assert_eq!(world.rings(OTHER_MSISDN).await, [OTHER_IMSI]);
}

/// A secondary that has not agreed yet is not disclosed: neither whether it exists, nor its other identifiers.
#[tokio::test]
async fn strangers_are_all_alike() {
    const CHANGE: &[(&str, &str)] =
        &[("operation", "ManageSubscription"), ("operation_type", "2"), ("companion_terminal_id", WATCH)];
    for second_contract in [false, true] {
        let place = Place::sqlite();
        let mut world = World::with(&place, |settings| settings.second_contract = second_contract).await;
        let mut phone = companion();
        // A card in stock, one that shares another number already, two that contradict each other: all no different.
        let stranger = |kind, value| vec![("x_secondary_id_type", kind), ("x_secondary_id", value)];
        let strangers = [
            stranger("iccid", OTHER_ICCID),
            stranger("iccid", "8981100000000009995"),
            stranger("imsi", OTHER_IMSI),
            stranger("imsi", "001010000000100"),
            stranger("imsi", "001010000009999"),
            stranger("msisdn", OTHER_MSISDN),
            stranger("msisdn", "81900000000"),
            stranger("eid", EID),
            vec![
                ("companion_terminal_iccid", OTHER_ICCID),
                ("x_secondary_id_type", "imsi"),
                ("x_secondary_id", "001010000000100"),
            ],
        ];
        let blank = |mut section: Value| {
            section["SubscriptionServiceUserData"].take();
            section
        };
        let mut told = Vec::new();
        for identifiers in &strangers {
            let mut of_one = Vec::new();
            for operation in [ON, OFF, CHANGE, &[SUBSCRIBE, THE_WATCH].concat()] {
                of_one.push(blank(phone.ask(&world, &[operation, identifiers].concat()).await));
            }
            told.push(of_one);
        }
        assert_eq!(told[0][0]["ServiceStatus"], "2");
        assert_eq!(told[0][1]["OperationResult"], "102");
        assert_eq!(told[0][2]["SubscriptionResult"], if second_contract { "1" } else { "8" });
        assert!(told.iter().all(|other| *other == told[0]), "{told:#?}");
        let nothing = phone.ask(&world, CONFIGURATION).await;
        assert_eq!(nothing["CompanionConfigurations"], serde_json::json!([]));
        assert_eq!(world.rings(MSISDN).await, [IMSI]);
        if second_contract {
            // The terms are the subscriber's own affair; the code comes next, for all alike.
            let section = phone.ask(&world, &[CHANGE, &strangers[1]].concat()).await;
            world.decide(section["SubscriptionServiceUserData"].as_str().unwrap(), Decision::Accept).await;
            for identifiers in &strangers[..2] {
                let section = phone.ask(&world, &[CHANGE, identifiers].concat()).await;
                assert_eq!(section["SubscriptionResult"], "8");
            }
        } else {
            // Codes went to the one card that is in service; and wrong ones are wrong for all alike.
            while let Ok((to, _)) = world.outbox.try_recv() {
                assert_eq!(to, OTHER_IMSI);
            }
            for identifiers in [&strangers[0], &strangers[1]] {
                let guess = [("MSG_btn", "1"), ("MSG_response", "00000x")];
                let section = phone.ask(&world, &[CHANGE, identifiers, &guess].concat()).await;
                assert_eq!(section["OperationResult"], "104");
            }
        }
    }
}

/// A shared number reaches several cards. What lets somebody in goes to the card of whose number it is.
#[tokio::test]
async fn codes_go_to_whose_number_it_is() {
    let place = Place::sqlite();
    let mut world = World::with(&place, |settings| settings.proof = Proof::Never).await;
    let mut phone = companion();
    let order = format!("{OTHER_IMSI},{IMSI}");
    let first = [("companion_terminal_iccid", OTHER_ICCID), ("x_call_delivery", "MAH"), ("x_hunt_order", &order)];
    assert_eq!(phone.ask(&world, &[ON, &first].concat()).await["ServiceStatus"], "1");
    assert_eq!(world.rings(MSISDN).await, [OTHER_IMSI, IMSI], "the other one rings first");
    let mut new = Phone { terminal_id: NEW_PHONE.into(), ..primary() };
    let transfer = [TRANSFER, &[("terminal_eid", EID)]].concat();
    assert_eq!(new.request(&world, &[("msisdn", MSISDN)], &transfer).await.status, 200);
    world.code(IMSI).await;
    // Nor does it go there when the right card is out of service.
    world.bar(IMSI).await;
    assert_eq!(new.request(&world, &[("msisdn", MSISDN)], &transfer).await.status, 200);
    assert_eq!(new.request(&world, &[("msisdn", OTHER_MSISDN)], &transfer).await.status, 200);
    assert_eq!(world.outbox.recv().await.unwrap().0, OTHER_IMSI, "with its own number");
    assert!(world.outbox.try_recv().is_err());
    // A secondary does not see the other ones.
    let mut other = companion();
    other.peer.permanent = format!("0{OTHER_IMSI}@nai.epc.mnc001.mcc001.3gppnetwork.org").into_bytes();
    assert_eq!(other.ask(&world, CONFIGURATION).await["CompanionConfigurations"], serde_json::json!([]));
}

#[tokio::test]
async fn someone_who_rejects_the_code_is_left_alone() {
    let place = Place::sqlite();
    let mut world = World::with(&place, |settings| settings.proof = Proof::Always).await;
    let mut phone = companion();
    let change = [
        &[("operation", "ManageSubscription"), ("operation_type", "2")][..],
        &[("companion_terminal_id", WATCH), ("companion_terminal_iccid", OTHER_ICCID)],
    ]
    .concat();
    assert_eq!(phone.ask(&world, &change).await["SubscriptionResult"], "8");
    world.code(OTHER_IMSI).await;
    let no = phone.ask(&world, &[&change[..], &[("MSG_btn", "0")]].concat()).await;
    assert_eq!(no["SubscriptionResult"], "5");
    // ManageService has no way to ask.
    let service = phone.ask(&world, &[ON, &[("companion_terminal_iccid", OTHER_ICCID)]].concat()).await;
    assert_eq!(service["ServiceStatus"], "2");
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
    // Messages to one number have a limit, for all requesters.
    let mut results = Vec::new();
    for _ in 0..5 {
        results.push(phone.ask(&world, &change).await["OperationResult"].clone());
    }
    assert_eq!(results, ["1", "1", "1", "1", "100"]);
}

#[tokio::test]
async fn one_device_with_two_cards() {
    let place = Place::sqlite();
    let world = World::with(&place, |settings| settings.contract = false).await;
    let mut phone = primary();
    let esim = [("target_terminal_id", NEW_PHONE), ("target_terminal_eid", EID)];
    let section =
        phone.ask(&world, &[SUBSCRIBE, &esim, &[("companion_terminal_service", "SharedNumber")]].concat()).await;
    assert_eq!(section["SubscriptionResult"], "2", "{section}");
    let iccid = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
    let configuration = phone.ask(&world, &[CONFIGURATION, &esim].concat()).await;
    assert_eq!(configuration["PrimaryConfiguration"]["ICCID"], iccid.as_str());
    assert_eq!(activation_code(&configuration["PrimaryConfiguration"]), format!("LPA:1${SMDP}$MID-{iccid}"));
    assert_eq!(phone.ask(&world, &[UPDATE, &esim].concat()).await["SubscriptionResult"], "3");
    world.installed_and_enabled(&iccid, EID).await;
    let configuration = phone.ask(&world, &[CONFIGURATION, &esim].concat()).await;
    assert_eq!(configuration["PrimaryConfiguration"]["ServiceStatus"], "1");
    assert_eq!(world.rings(MSISDN).await.len(), 2);
    // Without a target, both cards.
    let both = phone.ask(&world, CONFIGURATION).await;
    let iccids: Vec<&str> = both["PrimaryConfigurations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["PrimaryConfiguration"]["ICCID"].as_str().unwrap())
        .collect();
    assert_eq!(iccids, [ICCID, &iccid]);
}

/// What the request names decides which configuration it gets, and one by itself is in no list; the download is there
/// until it has begun.
#[tokio::test]
async fn a_configuration_is_chosen_by_what_is_named() {
    let place = Place::sqlite();
    let world = World::with(&place, |settings| settings.contract = false).await;
    let mut phone = primary();
    // The eUICC of the phone itself, beside the card that proves who asks.
    let section = phone.ask(&world, &[SUBSCRIBE, &[("terminal_eid", EID)]].concat()).await;
    let iccid = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
    let named: &[&[(&str, &str)]] = &[
        &[("terminal_eid", EID)],
        &[("terminal_iccid", &iccid)],
        &[("terminal_eid", EID), ("terminal_iccid", &iccid)],
        &[("target_terminal_eid", EID)],
        &[("target_terminal_iccid", &iccid)],
        &[("target_terminal_iccid", &iccid), ("terminal_iccid", ICCID)],
    ];
    for _ in 0..2 {
        for named in named {
            let section = phone.ask(&world, &[CONFIGURATION, named].concat()).await;
            let one = &section["PrimaryConfiguration"];
            assert_eq!((&one["ICCID"], &one["ServiceStatus"]), (&iccid.as_str().into(), &"2".into()), "{named:?}");
            assert_eq!(activation_code(one), format!("LPA:1${SMDP}$MID-{iccid}"), "{named:?}");
        }
    }
    // The card, by its own number, or by an eUICC nothing was ordered for.
    for own in [[("terminal_iccid", ICCID)], [("target_terminal_iccid", ICCID)], [("terminal_eid", OTHER_EID)]] {
        let section = phone.ask(&world, &[CONFIGURATION, &own].concat()).await;
        let one = &section["PrimaryConfiguration"];
        assert_eq!((&one["ICCID"], &one["ServiceStatus"]), (&ICCID.into(), &"1".into()), "{own:?}");
    }
    for none in [("terminal_iccid", OTHER_ICCID), ("target_terminal_eid", OTHER_EID), ("target_terminal_id", WATCH)] {
        let section = phone.ask(&world, &[CONFIGURATION, &[none]].concat()).await;
        assert_eq!(section["PrimaryConfigurations"], serde_json::json!([]), "{none:?}");
    }
    assert_eq!(phone.ask(&world, CONFIGURATION).await["PrimaryConfigurations"].as_array().unwrap().len(), 2);
    world.installed_and_enabled(&iccid, EID).await;
    let section = phone.ask(&world, &[CONFIGURATION, &[("terminal_eid", EID)]].concat()).await;
    let one = &section["PrimaryConfiguration"];
    assert_eq!((&one["ServiceStatus"], &one["DownloadInfo"]), (&"1".into(), &Value::Null), "it has begun");
    // Of a second one on the same eUICC that is on its way, nothing else is told.
    let section = phone.ask(&world, &[SUBSCRIBE, &[("terminal_eid", OTHER_EID)]].concat()).await;
    let second = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
    let section = phone.ask(&world, &[CONFIGURATION, &[("terminal_eid", OTHER_EID)]].concat()).await;
    assert_eq!(section["PrimaryConfiguration"]["ICCID"], second.as_str());
}

/// A library that names JSON first and reads XML only, as Android's does: first the token, then operation by operation.
#[tokio::test]
async fn a_client_that_reads_xml_only() {
    let place = Place::sqlite();
    let world = World::with(&place, |settings| settings.contract = false).await;
    let mut phone = primary();
    phone.accept = "application/json, text/vnd.wap.connectivity-xml".into();
    let reply = phone.by_card(&world, &[]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/vnd.wap.connectivity-xml; charset=utf-8"));
    assert!(reply.body.contains("<characteristic type=\"TOKEN\">"), "{}", reply.body);
    // Nothing has failed: the proof was all that was asked for.
    assert!(reply.body.contains("<parm name=\"OperationResult\" value=\"1\"/>"), "{}", reply.body);
    assert!(!reply.body.contains("GeneralErrorText"), "{}", reply.body);
    phone.accept = "application/json".into();
    phone.ask(&world, &[SUBSCRIBE, &[("terminal_eid", EID)]].concat()).await;
    phone.accept = "application/json, text/vnd.wap.connectivity-xml".into();
    let reply = phone.by_token(&world, &[CONFIGURATION, &[("terminal_eid", EID)]].concat()).await;
    let wanted = "    <characteristic type=\"APPLICATION\">\n        <parm name=\"AppID\" value=\"ap2009\"/>\n        \
                  <parm name=\"OperationResult\" value=\"1\"/>\n        <characteristic type=\"PrimaryConfiguration\">";
    assert!(reply.body.contains(wanted), "{}", reply.body);
    // Out of service it is told so, by its card and by its token.
    world.bar(IMSI).await;
    assert_eq!(phone.by_token(&world, &[]).await.status, 403);
    assert_eq!(phone.by_card(&world, &[]).await.status, 403);
}

/// Whatever a card asks that is not in service, and however wrong it asks: 403, unless it is how its own card stands.
#[tokio::test]
async fn out_of_service_nothing_is_looked_at() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut by_card = Phone::new(Method::Aka, "ap2003");
    let mut by_token = companion();
    by_token.ask(&world, ELIGIBILITY).await;
    let change = Change::by("test");
    for status in [Status::Barred, Status::Provisioned] {
        world.hlr.set_status(&IMSI.parse().unwrap(), status, &change).await.unwrap();
        for parameters in [
            &[][..],
            ELIGIBILITY,
            CONFIGURATION,
            UPDATE,
            &[("operation", "Bogus")],
            &[("operation", "ManageSubscription")],
            &[("operation", "ManageSubscription"), ("operation_type", "99")],
            &[("operation", "AcquireConfiguration"), ("operation_type", "0")],
            &[("operation", "AcquireConfiguration"), ("terminal_eid", "1")],
            &[("operation", "AcquireTemporaryToken")],
            &[("operation", "AcquirePlan")],
            &[("operation_type", "0")],
        ] {
            for list in [&[][..], &[("app", "ap2006")], &[("app", "ap2004"), ("app", "ap2006"), ("app", "ap2009")]] {
                let asked = [list, parameters].concat();
                let status = by_card.by_card(&world, &asked).await.status;
                assert_eq!(status, 403, "{asked:?}");
            }
        }
        // How it stands, also among what is not served.
        let asked = [CONFIGURATION, &[("app", "ap2009")]].concat();
        let told = by_card.by_card(&world, &asked).await.json();
        assert!(told["ap2009"]["PrimaryConfiguration"].is_object(), "{told}");
        assert_eq!((&told["ap2003"]["OperationResult"], &told["Token"]), (&"103".into(), &Value::Null));
        // Sessions end with the service, and tokens with them.
        assert!(matches!(by_token.by_token(&world, ELIGIBILITY).await.status, 403 | 511));
    }
}

/// Forty proofs of one card, one after the other: each of the tokens is good.
#[tokio::test]
async fn every_token_is_good() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    let mut tokens = Vec::new();
    for round in 0..40 {
        let reply = phone.by_card(&world, ELIGIBILITY).await.json();
        tokens.push(reply["Token"]["token"].as_str().unwrap().to_owned());
        if round % 8 == 0 {
            world.pass(4 * 24 * 3600);
        }
    }
    for token in &tokens[1..] {
        assert_eq!(phone.request(&world, &[("token", token)], ELIGIBILITY).await.status, 200);
    }
}

/// An app that could save only the first token goes on with it for as long as it was told.
#[tokio::test]
async fn the_first_token_is_good_to_its_end() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    let reply = phone.by_card(&world, ELIGIBILITY).await.json();
    let first = reply["Token"]["token"].as_str().unwrap().to_owned();
    assert_eq!(reply["Token"]["validity"], "2592000");
    for _ in 0..29 {
        world.pass(24 * 3600);
        phone.ask(&world, ELIGIBILITY).await;
        world.pass(61);
        let reply = phone.request(&world, &[("token", &first)], ELIGIBILITY).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_ne!(phone.token.as_ref(), Some(&first));
    world.pass(24 * 3600);
    assert_eq!(phone.request(&world, &[("token", &first)], ELIGIBILITY).await.status, 511);
    assert_eq!(phone.ask(&world, ELIGIBILITY).await["OperationResult"], "1", "the newest");
}

/// What is served is answered, and what is not is named.
#[tokio::test]
async fn applications_that_are_not_served() {
    let place = Place::sqlite();
    let world = World::new(&place).await;
    let mut phone = companion();
    phone.ask(&world, ELIGIBILITY).await;
    let token = phone.token.clone().unwrap();
    let list = [("app", "ap2004"), ("app", "ap9999,"), ("app", "Token,<b>"), ("token", &token)];
    let document = phone.request(&world, &list, ELIGIBILITY).await.json();
    assert_eq!(document["ap2006"]["CompanionAppEligibility"], "1");
    assert_eq!(document["Token"]["token"], token.as_str());
    for other in ["ap2004", "ap9999", "token"] {
        assert_eq!(document[other]["OperationResult"], "103", "{document}");
        assert_eq!(document[other]["GeneralErrorText"], "This is not offered here.");
    }
    // Nothing of it served: that is said to who may ask, and a token would be good for nothing.
    let mut other = Phone::new(Method::Aka, "ap2003");
    other.peer.has_seen(1000);
    let document = other.by_card(&world, &[]).await.json();
    assert_eq!((&document["ap2003"]["OperationResult"], &document["Token"]), (&"103".into(), &Value::Null));
    // Of the targets of a temporary token, those that can be granted are.
    let pass = [("operation", "AcquireTemporaryToken"), ("operation_targets", "Foo,ManageSubscription,ManageService")];
    let section = phone.ask(&world, &pass).await;
    assert_eq!(
        (&section["OperationResult"], &section["OperationTargets"]),
        (&"1".into(), &"ManageSubscription".into())
    );
    for none in ["Foo", "ManageService", ","] {
        let pass = [("operation", "AcquireTemporaryToken"), ("operation_targets", none)];
        assert_eq!(phone.ask(&world, &pass).await["OperationResult"], "102", "{none}");
    }
}

#[tokio::test]
async fn the_number_moves_to_a_new_phone() {
    let place = Place::sqlite();
    let mut world = World::with(&place, |settings| settings.contract = false).await;
    let mut old = primary();
    assert_eq!(old.ask(&world, CONFIGURATION).await["PrimaryConfiguration"]["ServiceStatus"], "1");
    // The new phone has no card: it shows the code that the old one got.
    let mut new = Phone { terminal_id: NEW_PHONE.into(), ..primary() };
    let transfer = [TRANSFER, &[("terminal_eid", EID), ("old_terminal_iccid", ICCID)]].concat();
    let reply = new.request(&world, &[("msisdn", &format!("+{MSISDN}"))], &transfer).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    let code = world.code(IMSI).await;
    let reply = new.get(&world, &[("OTP", &code)]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let section = reply.json()["ap2009"].take();
    assert_eq!(section["SubscriptionResult"], "2", "{section}");
    let iccid = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
    // What was proved for one eUICC is good for no other.
    let other = [TRANSFER, &[("terminal_eid", OTHER_EID)]].concat();
    assert_eq!(new.by_token(&world, &other).await.status, 403);
    let other = [SUBSCRIBE, &[("target_terminal_eid", OTHER_EID)]].concat();
    assert_eq!(new.by_token(&world, &other).await.status, 403);
    let another = [
        &[("operation", "ManageSubscription"), ("operation_type", "2")],
        &[("target_terminal_iccid", OTHER_ICCID)][..],
    ]
    .concat();
    assert_eq!(new.by_token(&world, &another).await.status, 403);
    let passed_on = [("operation", "AcquireTemporaryToken"), ("operation_targets", "ManageSubscription")];
    assert_eq!(new.by_token(&world, &passed_on).await.status, 403);
    // Installed is not enabled: the old phone goes on.
    assert_eq!(new.ask(&world, &[UPDATE, &[("terminal_eid", EID)]].concat()).await["SubscriptionResult"], "3");
    assert_eq!(world.rings(MSISDN).await, [IMSI]);
    assert_eq!(old.ask(&world, CONFIGURATION).await["PrimaryConfiguration"]["ServiceStatus"], "1");
    world.installed_and_enabled(&iccid, EID).await;
    let moved = world.subscription(&iccid).await;
    assert_eq!(world.rings(MSISDN).await, [moved.imsi.to_string()]);
    assert_eq!(world.outbox.recv().await.unwrap(), (IMSI.to_owned(), "-aescfg,ap2009".to_owned()));
    // The new phone sees that it is done; the old one that its card is of no more use, and gets nothing else.
    let done = new.ask(&world, &[CONFIGURATION, &[("terminal_eid", EID)]].concat()).await;
    assert_eq!(
        (&done["PrimaryConfiguration"]["ICCID"], &done["PrimaryConfiguration"]["ServiceStatus"]),
        (&iccid.as_str().into(), &"1".into())
    );
    let gone = old.ask(&world, CONFIGURATION).await["PrimaryConfiguration"].take();
    assert_eq!((&gone["ICCID"], &gone["ServiceStatus"]), (&ICCID.into(), &"4".into()));
    assert_eq!(old.by_token(&world, ELIGIBILITY).await.status, 403);
    assert_eq!(old.by_card(&world, ELIGIBILITY).await.status, 403, "the card is barred");
    // A phone that has lost its token learns the same by its card, and nothing else; a stranger learns nothing.
    let told = old.by_card(&world, CONFIGURATION).await.json();
    assert_eq!(told["ap2009"]["PrimaryConfiguration"], gone, "{told}");
    assert!(told["Token"].is_null(), "{told}");
    assert_eq!(old.by_card(&world, &[CONFIGURATION, &[("terminal_eid", EID)]].concat()).await.json(), told);
    assert_eq!(old.by_card(&world, UPDATE).await.status, 403);
    let mut of_companions = companion();
    assert_eq!(of_companions.by_card(&world, CONFIGURATION).await.status, 403);
    let mut stranger = primary();
    stranger.peer = Peer::with_key(Method::Aka, &[1; 16]);
    assert_eq!(stranger.by_card(&world, CONFIGURATION).await.status, 403);
    // The new card proves itself, and reports once more.
    let mut card = primary();
    card.terminal_id = NEW_PHONE.into();
    card.peer.permanent = format!("0{}@nai.epc.mnc001.mcc001.3gppnetwork.org", moved.imsi).into_bytes();
    assert_eq!(card.ask(&world, UPDATE).await["SubscriptionResult"], "3");
    assert_eq!(card.ask(&world, CONFIGURATION).await["PrimaryConfiguration"]["ServiceStatus"], "1");
}

/// A device that has lost its memory takes its own number over, with the code that comes to it: nothing is ordered or
/// charged, and it is told what it has.
#[tokio::test]
async fn a_number_does_not_move_to_where_it_is() {
    let place = Place::sqlite();
    let mut world = World::with(&place, |settings| settings.contract = false).await;
    let transfer = [TRANSFER, &[("terminal_eid", EID)]].concat();
    let mut new = Phone { terminal_id: NEW_PHONE.into(), ..primary() };
    assert_eq!(new.request(&world, &[("msisdn", MSISDN)], &transfer).await.status, 200);
    let code = world.code(IMSI).await;
    let section = new.get(&world, &[("OTP", &code)]).await.json()["ap2009"].take();
    let iccid = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
    world.installed_and_enabled(&iccid, EID).await;
    let moved = world.subscription(&iccid).await.imsi.to_string();
    // The old phone is asked to look at its configuration.
    assert_eq!(world.outbox.recv().await.unwrap().0, IMSI);
    let made =
        async |world: &World| (world.rows("boss_order", "id").await, world.rows("boss_charge", "order_id").await);
    let before = made(&world).await;
    assert_eq!((before.0.len(), before.1.len()), (1, 1));

    let mut again = Phone { terminal_id: NEW_PHONE.into(), ..primary() };
    assert_eq!(again.request(&world, &[("msisdn", MSISDN)], &transfer).await.status, 200);
    let code = world.code(&moved).await;
    let section = again.get(&world, &[("OTP", &code)]).await.json()["ap2009"].take();
    assert_eq!((&section["OperationResult"], &section["SubscriptionResult"]), (&"1".into(), &"3".into()), "{section}");
    assert!(section["DownloadInfo"].is_null(), "{section}");
    let told = again.ask(&world, &[CONFIGURATION, &[("terminal_eid", EID)]].concat()).await;
    let told = &told["PrimaryConfiguration"];
    assert_eq!((&told["ICCID"], &told["ServiceStatus"]), (&iccid.as_str().into(), &"1".into()), "{told}");
    let update = [UPDATE, &[("terminal_eid", EID), ("terminal_iccid", &iccid)]].concat();
    assert_eq!(again.ask(&world, &update).await["SubscriptionResult"], "3");
    assert_eq!(made(&world).await, before);
    assert_eq!(world.rings(MSISDN).await, [moved]);
    // To another eUICC it does move.
    let mut other = Phone { terminal_id: PHONE.into(), ..primary() };
    let elsewhere = [TRANSFER, &[("terminal_eid", OTHER_EID)]].concat();
    assert_eq!(other.request(&world, &[("msisdn", MSISDN)], &elsewhere).await.status, 200);
    let code = world.code(&world.rings(MSISDN).await[0]).await;
    let section = other.get(&world, &[("OTP", &code)]).await.json()["ap2009"].take();
    assert_eq!(section["SubscriptionResult"], "2", "{section}");
}

/// A disclosed code authorizes one eUICC, and discloses no other.
#[tokio::test]
async fn a_code_is_for_one_euicc() {
    let place = Place::sqlite();
    let mut world = World::with(&place, |settings| settings.contract = false).await;
    // The subscriber has a companion already.
    let mut card = companion();
    let ordered = card.ask(&world, &[SUBSCRIBE, THE_WATCH, ITS_EID].concat()).await;
    assert_eq!(ordered["SubscriptionResult"], "2", "{ordered}");
    let unsubscribe = [("operation", "ManageSubscription"), ("operation_type", "1")];
    let other_eid = [("companion_terminal_id", NEW_PHONE), ("companion_terminal_eid", OTHER_EID)];
    for named_at_once in [true, false] {
        let mut phone = Phone { terminal_id: NEW_PHONE.into(), ..companion() };
        let request = if named_at_once { [SUBSCRIBE, &other_eid].concat() } else { CONFIGURATION.to_vec() };
        assert_eq!(phone.request(&world, &[("msisdn", MSISDN)], &request).await.status, 200);
        let code = world.code(IMSI).await;
        assert_eq!(phone.get(&world, &[("OTP", &code)]).await.status, 200);
        let first = phone.token.clone().unwrap();
        // Or else it is for the first that is named.
        assert_eq!(phone.ask(&world, &[SUBSCRIBE, &other_eid].concat()).await["SubscriptionResult"], "2");
        for token in [first, phone.token.clone().unwrap()] {
            let with = [("token", token.as_str())];
            for refused in [
                [SUBSCRIBE, THE_WATCH, ITS_EID].concat(),
                [SUBSCRIBE, THE_WATCH, &[("target_terminal_eid", EID)]].concat(),
                [ON, &[("companion_terminal_iccid", OTHER_ICCID)]].concat(),
                [ON, &[("companion_terminal_iccid", "8981100000000009995")]].concat(),
            ] {
                assert_eq!(phone.request(&world, &with, &refused).await.status, 403, "{refused:?}");
            }
        }
        // What others there are cannot be seen, nor ended by their device's name.
        let section = phone.ask(&world, CONFIGURATION).await;
        let configurations = section["CompanionConfigurations"].as_array().unwrap();
        assert_eq!(configurations.len(), 1, "{section}");
        assert_eq!(
            configurations[0]["CompanionConfiguration"]["CompanionTerminalId"].as_str().unwrap_or(NEW_PHONE),
            NEW_PHONE
        );
        assert_eq!(phone.ask(&world, &[&unsubscribe[..], THE_WATCH].concat()).await["OperationResult"], "102");
        assert_eq!(card.ask(&world, &[SUBSCRIBE, THE_WATCH, ITS_EID].concat()).await, ordered, "untouched");
        let passed_on = [("operation", "AcquireTemporaryToken"), ("operation_targets", "ManageSubscription")];
        assert_eq!(phone.by_token(&world, &passed_on).await.status, 403);
    }
    let two = [SUBSCRIBE, THE_WATCH, ITS_EID, &[("terminal_eid", OTHER_EID)]].concat();
    assert_eq!(companion().request(&world, &[("msisdn", MSISDN)], &two).await.status, 400);
}

/// What was ordered without a share in the number may have one afterwards, by asking for it like the first time.
#[tokio::test]
async fn a_share_asked_for_later() {
    for in_use_before in [false, true] {
        let place = Place::sqlite();
        let world = World::with(&place, |settings| settings.contract = false).await;
        let mut phone = companion();
        let request = [SUBSCRIBE, THE_WATCH, ITS_EID].concat();
        let shared =
            [&request[..], &[("companion_terminal_service", "SharedNumber"), ("x_call_delivery", "MAH")]].concat();
        let section = phone.ask(&world, &request).await;
        let iccid = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
        if !in_use_before {
            assert_eq!(phone.ask(&world, &shared).await, section, "the same order");
        }
        world.installed_and_enabled(&iccid, EID).await;
        assert_eq!(world.rings(MSISDN).await.len(), if in_use_before { 1 } else { 2 });
        assert_eq!(phone.ask(&world, &shared).await["SubscriptionResult"], "3");
        assert_eq!(world.rings(MSISDN).await.len(), 2);
        let configuration = phone.ask(&world, CONFIGURATION).await["CompanionConfigurations"][0].take();
        assert_eq!(configuration["CompanionConfiguration"]["ServiceStatus"], "1");
    }
}
