//! Contracts, orders and shared numbers, against a database and an SM-DP+.

use crate::server::{ADDRESS, Profile, Trouble};
use crate::world::{WAY, World, all_the_way, eid, iccid, imsi, msisdn, other_eid, passed, request, target, third_eid};
use boss::{
    self, BindRequest, Boss, BossError, Decided, Decision, Filter, Identifier, Kind, Need, Proof, Request,
    ServiceState, Settings, State, Subject, Target, UnbindRequest,
};
use database::place::{Place, on_each_database};
use hlr::{Change, Credentials, Lookup, Mode, Status, Subscription};
use identities::{Eid, Imsi};
use network_base::database::Database;
use rsp::es2plus::{HandleDownloadProgressInfoRequest, NotificationPointId};
use std::slice;
use std::sync::Arc;

on_each_database! {
    a_companion_gets_a_profile,
    the_terms_come_first,
    a_contract_page_opens_for_a_while,
    a_combined_order_shares_when_enabled,
    a_profile_beside_the_uicc,
    a_number_moves_when_the_new_profile_is_enabled,
    a_number_moves_on_with_what_belongs_to_it,
    two_cards_share_a_number,
    sharing_may_need_terms_of_its_own,
    identifiers_have_to_agree,
    calls_ring_as_the_owner_says,
    sharing_ends,
    nothing_is_left_of_one_who_left,
    orders_of_one_who_left_are_nobodys,
    a_profile_nobody_knows_is_named_with_a_way_out,
    a_profile_goes_with_the_sharing,
    progress_fits_in_iccid_and_eid,
    requests_have_limits,
    two_replicas_take_turns,
    the_same_request_at_once,
}

async fn a_companion_gets_a_profile(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let order = boss.request(&request(Kind::Companion), 100).await.unwrap();
    assert_eq!(order.state, State::Released);
    assert_eq!(order.activation_code.as_ref().unwrap().to_string(), format!("LPA:1${ADDRESS}$M-{}", iccid(11)));
    assert_eq!((order.iccid.clone(), order.imsi.clone()), (Some(iccid(11)), Some(imsi(11))));
    let again = boss.request(&request(Kind::Companion), 101).await.unwrap();
    assert_eq!(again, order);
    assert_eq!(boss.find(&imsi(1), &target()).await.unwrap(), Some(order.clone()));
    for (point, state) in [
        (NotificationPointId::ELIGIBILITY_AND_RETRY_LIMIT_CHECK, State::Downloading),
        (NotificationPointId::BPP_DOWNLOAD, State::Downloading),
        (NotificationPointId::BPP_INSTALLATION, State::Installed),
        (NotificationPointId::ENABLE, State::Enabled),
    ] {
        assert_eq!(boss.progress(&passed(&order, point), 102).await.unwrap().state, state);
        assert_eq!(boss.progress(&passed(&order, point), 102).await.unwrap().state, state, "twice");
    }
    let line = world.hlr.lookup(Lookup::Imsi(&imsi(11))).await.unwrap().pop().unwrap();
    assert_eq!((line.status, line.eid), (Status::Active, Some(eid())));
    assert_eq!(world.server.executed(), ["DownloadOrder", "ConfirmOrder"]);
    let events: Vec<_> = boss.history(&order.id).await.unwrap().into_iter().map(|entry| entry.event).collect();
    assert_eq!(events[..6], ["request", "DownloadOrder", "ordered", "ConfirmOrder", "confirmed", "released"]);
}

async fn the_terms_come_first(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(Settings { contract: true, ..World::settings() });
    let order = boss.request(&request(Kind::Companion), 100).await.unwrap();
    assert_eq!((order.state, world.server.executed().len()), (State::ContractPending, 0));
    let ticket = order.contract.unwrap();
    let contract = boss.contract(&ticket, 101).await.unwrap();
    assert_eq!((contract.subject, contract.sharing, contract.decision), (Subject::Companion, false, None));
    assert_eq!((contract.msisdn, contract.target), (Some(msisdn(1)), Some(target())));
    // Not accepted: it ends, and nothing was ordered.
    let Decided::Order(declined) = boss.decide(&ticket, Decision::Decline, 102).await.unwrap() else { panic!() };
    assert_eq!((declined.state, declined.id.clone()), (State::Declined, order.id));
    assert!(matches!(boss.decide(&ticket, Decision::Accept, 103).await, Err(BossError::Decided)), "one decision");
    let again = boss.request(&request(Kind::Companion), 104).await.unwrap();
    assert_ne!(again.id, declined.id);
    let ticket = again.contract.unwrap();
    let Decided::Order(order) = boss.decide(&ticket, Decision::Accept, 105).await.unwrap() else { panic!() };
    assert_eq!((order.state, &order.id), (State::Released, &again.id));
    let Decided::Order(same) = boss.decide(&ticket, Decision::Accept, 106).await.unwrap() else { panic!() };
    assert_eq!(same, order, "the same decision twice");
    // It is signed now, until the terms change.
    let other = Target { eid: Some(other_eid()), ..target() };
    let other = Request { target: other, ..request(Kind::Companion) };
    assert_eq!(boss.request(&other, 107).await.unwrap().state, State::Released);
    assert_eq!(boss.request(&request(Kind::Primary), 108).await.unwrap().state, State::ContractPending);
    let stricter = world.boss(Settings { contract: true, terms: "2".into(), ..World::settings() });
    let third = Request { subscriber: imsi(1), target: Target { eid: Some(third_eid()), ..target() }, ..other };
    assert_eq!(stricter.request(&third, 109).await.unwrap().state, State::ContractPending);
    // What was signed on paper counts.
    stricter.sign(&imsi(1), Subject::Companion, 110).await.unwrap();
    assert_eq!(stricter.request(&third, 111).await.unwrap().state, State::Released);
}

async fn a_contract_page_opens_for_a_while(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(Settings { contract: true, ..World::settings() });
    let first = boss.request(&request(Kind::Companion), 100).await.unwrap();
    let second = boss.request(&request(Kind::Companion), 400).await.unwrap();
    assert_eq!(first.id, second.id);
    let (first, second) = (first.contract.unwrap(), second.contract.unwrap());
    assert_ne!(first, second, "a page of its own each time");
    assert!(boss.contract(&first, 999).await.is_ok());
    assert!(matches!(boss.contract(&first, 1000).await, Err(BossError::Expired)));
    assert!(matches!(boss.decide(&first, Decision::Accept, 1000).await, Err(BossError::Expired)));
    assert!(boss.contract(&second, 1000).await.is_ok());
    assert!(
        boss.order(&boss.orders(&Filter::default()).await.unwrap()[0].id).await.unwrap().unwrap().contract.is_none()
    );
    // Nobody decides: the order is called off.
    assert!(boss.advance(1299).await.unwrap() == 0);
    assert!(boss.advance(1300).await.unwrap() > 0);
    let order = boss.find(&imsi(1), &target()).await.unwrap().unwrap();
    assert_eq!((order.state, world.server.executed().len()), (State::Cancelled, 0));
    let unknown = "a".repeat(43).parse().unwrap();
    assert!(matches!(boss.contract(&unknown, 0).await, Err(BossError::UnknownTicket)));
    assert!("a".repeat(42).parse::<boss::Ticket>().is_err());
}

async fn a_combined_order_shares_when_enabled(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(Settings { contract: true, second_contract: true, ..World::settings() });
    let request = Request { share: Some(Mode::MobileAccessHunting), ..request(Kind::Companion) };
    let ticket = boss.request(&request, 100).await.unwrap().contract.unwrap();
    assert!(boss.contract(&ticket, 100).await.unwrap().sharing, "one contract for both");
    boss.decide(&ticket, Decision::Accept, 100).await.unwrap();
    let mut order = boss.request(&request, 101).await.unwrap();
    for point in &WAY[..3] {
        order = boss.progress(&passed(&order, *point), 102).await.unwrap();
        assert_eq!(world.reached(1).await, [imsi(1)]);
    }
    assert_eq!(order.state, State::Installed);
    let order = boss.progress(&passed(&order, WAY[3]), 103).await.unwrap();
    assert_eq!(order.state, State::Bound);
    assert_eq!(world.reached(1).await, [imsi(1), imsi(11)]);
    let service = boss.service(&imsi(1), &imsi(11)).await.unwrap();
    assert_eq!((service.state, service.msisdn), (ServiceState::Active, Some(msisdn(1))));
    let line = boss.line(&imsi(1)).await.unwrap();
    assert_eq!((line.mode, line.devices.len()), (Some(Mode::MobileAccessHunting), 2));
    assert_eq!(line.devices[1].name.as_deref(), Some("My watch"));
    assert_eq!((line.devices[0].owner, line.devices[1].owner), (true, false));
    world.holds(&boss, &[1, 2, 3, 11]).await;
}

async fn a_profile_beside_the_uicc(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let order = all_the_way(&boss, &request(Kind::Primary), 100).await;
    assert_eq!((order.state, world.reached(1).await), (State::Enabled, vec![imsi(1)]));
    // Both may share the number, then or later.
    let binding = BindRequest {
        primary: vec![Identifier::Imsi(imsi(1))],
        secondary: vec![Identifier::Eid(eid())],
        ..BindRequest::default()
    };
    assert_eq!(boss.bind(&binding, 101).await.unwrap().state, ServiceState::Active);
    assert_eq!(boss.order(&order.id).await.unwrap().unwrap().state, State::Bound);
    assert_eq!(world.reached(1).await, [imsi(1), imsi(11)]);
    world.holds(&boss, &[1, 2, 3, 11]).await;
}

async fn a_number_moves_when_the_new_profile_is_enabled(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let mut order = boss.request(&request(Kind::Transfer), 100).await.unwrap();
    for point in &WAY[..3] {
        order = boss.progress(&passed(&order, *point), 101).await.unwrap();
    }
    // That it is installed, the device may say too; that it is enabled, it may not.
    order = boss.confirm_installed(&order.id, &iccid(11), 102).await.unwrap();
    assert_eq!(order.state, State::Installed);
    assert!(matches!(boss.confirm_installed(&order.id, &iccid(12), 102).await, Err(BossError::OtherProfile)));
    assert_eq!((world.reached(1).await, world.status(1).await), (vec![imsi(1)], Status::Active));
    boss.advance(103).await.unwrap();
    assert!(world.sent.messages.lock().unwrap().is_empty());
    for _ in 0..2 {
        order = boss.progress(&passed(&order, NotificationPointId::ENABLE), 104).await.unwrap();
        assert_eq!(order.state, State::Enabled);
    }
    assert_eq!((world.reached(1).await, world.status(1).await), (vec![imsi(11)], Status::Barred));
    assert_eq!(world.subscription(11).await.msisdn, Some(msisdn(1)));
    boss.advance(105).await.unwrap();
    boss.advance(106).await.unwrap();
    let told = world.sent.messages.lock().unwrap().clone();
    assert_eq!(told, [(imsi(1), ts43::notice::PORT, b"-aescfg,ap2009".to_vec())], "the old device, once");
    assert!(matches!(boss.request(&request(Kind::Transfer), 107).await, Err(BossError::NotActive(_))));
    world.holds(&boss, &[2, 3, 11]).await;
}

/// From a UICC to an eUICC, and on to another; with a watch.
async fn a_number_moves_on_with_what_belongs_to_it(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(Settings { contract: true, ..World::settings() });
    for subject in [Subject::Companion, Subject::Transfer] {
        boss.sign(&imsi(1), subject, 99).await.unwrap();
    }
    let watch = Target { eid: Some(other_eid()), friendly_name: Some("Watch".into()), ..target() };
    let watch = Request { target: watch, share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) };
    let watch = all_the_way(&boss, &watch, 100).await;
    let first = all_the_way(&boss, &request(Kind::Transfer), 101).await;
    assert_eq!(world.reached(1).await, [imsi(12), imsi(11)]);
    let next = Target { eid: Some(third_eid()), ..target() };
    let next = Request { subscriber: imsi(12), target: next, ..request(Kind::Transfer) };
    let second = all_the_way(&boss, &next, 102).await;
    assert_eq!(second.state, State::Enabled);
    assert_eq!(world.reached(1).await, [imsi(13), imsi(11)]);
    let watch = boss.order(&watch.id).await.unwrap().unwrap();
    assert_eq!((watch.subscriber, watch.state), (imsi(13), State::Bound));
    let first = boss.order(&first.id).await.unwrap().unwrap();
    assert_eq!((first.state, first.remove_profile), (State::Unbound, true), "its deletion is offered");
    assert_eq!(boss.service(&imsi(13), &imsi(11)).await.unwrap().state, ServiceState::Active);
    let names: Vec<_> = boss.line(&imsi(13)).await.unwrap().devices.into_iter().map(|device| device.name).collect();
    assert_eq!(names, [Some("My watch".to_owned()), Some("Watch".to_owned())]);
    // The old profile is disabled and deleted: nothing else changes.
    for point in [NotificationPointId::DISABLE, NotificationPointId::DELETE] {
        boss.progress(&passed(&first, point), 103).await.unwrap();
    }
    assert_eq!(boss.order(&first.id).await.unwrap().unwrap().state, State::Deleted);
    assert_eq!(world.reached(1).await, [imsi(13), imsi(11)]);
}

async fn two_cards_share_a_number(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let all_primary = [Identifier::Imsi(imsi(1)), Identifier::Iccid(iccid(1)), Identifier::Msisdn(msisdn(1))];
    let all_secondary = [Identifier::Imsi(imsi(2)), Identifier::Iccid(iccid(2)), Identifier::Msisdn(msisdn(2))];
    for (primary, secondary) in all_primary.iter().flat_map(|one| all_secondary.iter().map(move |other| (one, other))) {
        let primary = vec![primary.clone(), Identifier::Imsi(imsi(1))];
        let secondary = vec![secondary.clone()];
        let binding = BindRequest {
            primary: primary.clone(),
            secondary: secondary.clone(),
            mode: Some(Mode::MobileAccessHunting),
            order: vec![Identifier::Iccid(iccid(2))],
            ..BindRequest::default()
        };
        // A stranger's card: its holder has to agree.
        let service = boss.bind(&binding, 100).await.unwrap();
        assert_eq!((service.state, &service.needs[..]), (ServiceState::Activating, &[Need::Proof][..]));
        assert_eq!((service.secondary, world.reached(1).await), (None, vec![imsi(1)]));
        assert_eq!(boss.line(&imsi(1)).await.unwrap().devices.len(), 1, "nobody's business yet");
        let service = boss.bind(&BindRequest { proven: true, ..binding }, 101).await.unwrap();
        assert_eq!(service.state, ServiceState::Active);
        assert_eq!(world.reached(1).await, [imsi(2), imsi(1)], "in the order that was wished");
        assert_eq!(world.hlr.presented_msisdn(&imsi(2)).await.unwrap(), Some(msisdn(1)));
        let unbinding = UnbindRequest { primary, secondary, remove_profile: false };
        assert_eq!(boss.unbind(&unbinding, 102).await.unwrap().state, ServiceState::Deactivated);
        assert_eq!((world.reached(1).await, world.reached(2).await), (vec![imsi(1)], vec![imsi(2)]));
        assert_eq!(world.hlr.group(&msisdn(1)).await.unwrap(), None);
    }
    // The same as an order without a download, the code asked for in between.
    let card = Target { terminal_id: "phone 2".into(), iccid: Some(iccid(2)), ..Target::default() };
    let request = Request { target: card, share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) };
    let order = boss.request(&request, 103).await.unwrap();
    assert_eq!((order.state, order.imsi, order.error), (State::Enabled, Some(imsi(2)), None));
    assert_eq!(boss.service(&imsi(1), &imsi(2)).await.unwrap().needs, [Need::Proof]);
    let proven = BindRequest {
        primary: vec![Identifier::Imsi(imsi(1))],
        secondary: vec![Identifier::Imsi(imsi(2))],
        proven: true,
        ..BindRequest::default()
    };
    boss.bind(&proven, 104).await.unwrap();
    assert_eq!(boss.request(&request, 105).await.unwrap().state, State::Bound);
    assert_eq!(world.reached(1).await, [imsi(1), imsi(2)]);
    assert_eq!(world.server.executed().len(), 0);
    world.holds(&boss, &[1, 2, 3]).await;
}

async fn sharing_may_need_terms_of_its_own(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(Settings { second_contract: true, proof: Proof::Never, ..World::settings() });
    let binding = BindRequest {
        primary: vec![Identifier::Imsi(imsi(1))],
        secondary: vec![Identifier::Imsi(imsi(2))],
        ..BindRequest::default()
    };
    let ticket = |needs: Vec<Need>| match needs.into_iter().next() {
        Some(Need::Contract(ticket)) => ticket,
        other => panic!("{other:?}"),
    };
    let declined = ticket(boss.bind(&binding, 100).await.unwrap().needs);
    let Decided::Service(service) = boss.decide(&declined, Decision::Decline, 101).await.unwrap() else { panic!() };
    assert_eq!((service.state, world.reached(1).await), (ServiceState::Deactivated, vec![imsi(1)]));
    let accepted = ticket(boss.bind(&binding, 102).await.unwrap().needs);
    assert_eq!(boss.contract(&accepted, 102).await.unwrap().subject, Subject::Sharing);
    let Decided::Service(service) = boss.decide(&accepted, Decision::Accept, 103).await.unwrap() else { panic!() };
    assert_eq!((service.state, world.reached(1).await), (ServiceState::Active, vec![imsi(1), imsi(2)]));
}

async fn identifiers_have_to_agree(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    all_the_way(&boss, &request(Kind::Companion), 99).await;
    let bind = async |primary: &[Identifier], secondary: &[Identifier]| {
        let request = BindRequest {
            primary: primary.to_vec(),
            secondary: secondary.to_vec(),
            proven: true,
            ..BindRequest::default()
        };
        boss.bind(&request, 100).await
    };
    let me = [Identifier::Imsi(imsi(1))];
    let foreign: Imsi = "440101234567890".parse().unwrap();
    let wrong = Eid::from_digits("89049032123451234512345678901234").unwrap();
    let two = Identifier::Imsi(imsi(2));
    assert!(matches!(bind(&me, &[]).await, Err(BossError::Missing("secondary"))));
    assert!(matches!(bind(&me, &[Identifier::Imsi(foreign)]).await, Err(BossError::Foreign(_))));
    assert!(matches!(bind(&me, &[Identifier::Imsi(imsi(9))]).await, Err(BossError::Unknown(_))));
    assert!(matches!(bind(&me, &[Identifier::Eid(wrong)]).await, Err(BossError::EidCheckDigits)));
    assert!(matches!(bind(&me, &me).await, Err(BossError::SameSubscription)));
    let contradiction = [two.clone(), Identifier::Iccid(iccid(3))];
    assert!(matches!(bind(&me, &contradiction).await, Err(BossError::Contradiction("secondary"))));
    let contradiction = [two.clone(), Identifier::Eid(eid())];
    assert!(matches!(bind(&me, &contradiction).await, Err(BossError::Contradiction("secondary"))));
    let contradiction = [me[0].clone(), Identifier::Msisdn(msisdn(2))];
    assert!(matches!(bind(&contradiction, slice::from_ref(&two)).await, Err(BossError::Contradiction("primary"))));
    assert!(matches!(bind(&me, &[Identifier::Imsi(imsi(14))]).await, Err(BossError::NotActive(_))), "in stock");
    assert_eq!(world.reached(1).await, [imsi(1)], "nothing has changed");
    // Any identifiers that agree will do.
    let watch = [Identifier::Eid(eid()), Identifier::Iccid(iccid(11)), Identifier::Imsi(imsi(11))];
    assert_eq!(bind(&me, &watch).await.unwrap().state, ServiceState::Active);
    // The number as the name of the line means whose it is.
    let number = [Identifier::Msisdn(msisdn(1))];
    assert_eq!(bind(&number, slice::from_ref(&two)).await.unwrap().state, ServiceState::Active);
    assert!(matches!(bind(&watch, &[Identifier::Imsi(imsi(3))]).await, Err(BossError::NotOwner)));
    assert!(matches!(bind(&[Identifier::Imsi(imsi(3))], &[two]).await, Err(BossError::SharesAnother)));
    assert_eq!(boss.resolve(&watch).await.unwrap().imsi, imsi(11));
}

async fn calls_ring_as_the_owner_says(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    assert!(matches!(boss.set_mode(&imsi(1), Mode::FlexibleAlerting, 99).await, Err(BossError::NotShared)));
    let request = Request { share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) };
    all_the_way(&boss, &request, 100).await;
    boss.set_mode(&imsi(1), Mode::MobileAccessHunting, 101).await.unwrap();
    boss.set_order(&imsi(1), &[(imsi(11), 7), (imsi(1), 20)], 102).await.unwrap();
    let line = boss.line(&imsi(11)).await.unwrap();
    assert_eq!((line.msisdn, line.mode), (Some(msisdn(1)), Some(Mode::MobileAccessHunting)));
    let devices: Vec<_> =
        line.devices.into_iter().map(|device| (device.imsi, device.position, device.ring_seconds)).collect();
    assert_eq!(devices, [(imsi(11), 1, 7), (imsi(1), 2, 20)]);
    assert!(matches!(boss.set_mode(&imsi(11), Mode::FlexibleAlerting, 103).await, Err(BossError::NotOwner)));
    for wrong in [vec![(imsi(1), 7)], vec![(imsi(1), 7), (imsi(2), 7)], vec![(imsi(1), 7), (imsi(1), 7)]] {
        assert!(matches!(boss.set_order(&imsi(1), &wrong, 103).await, Err(BossError::RingOrder)));
    }
}

/// Who gets the IMSI of one who left is somebody else, with no share in a number, no notice and no terms accepted.
async fn nothing_is_left_of_one_who_left(place: &Place) {
    let world = World::new(place).await;
    for sql in [
        "INSERT INTO boss_service (primary_imsi, secondary_imsi, state, ring_order, proven, language, changed_at) \
         VALUES ($1, 'x', 'active', '', 1, 'en', 1)",
        "INSERT INTO boss_service (primary_imsi, secondary_imsi, state, ring_order, proven, language, changed_at) \
         VALUES ('x', $1, 'active', '', 1, 'en', 1)",
        "INSERT INTO boss_notice (id, imsi, application, created_at, attempts, due) VALUES ('n', $1, 'ap2009', 1, 0, 1)",
        "INSERT INTO boss_signature (subscriber, subject, terms, signed_at) VALUES ($1, 'companion', 't', 1)",
    ] {
        sqlx::query(sql).bind(imsi(3).to_string()).execute(world.database.pool()).await.unwrap();
    }
    boss::remove(&world.hlr, &imsi(3), &Change { by: "test".into(), at: 2 }).await.unwrap();
    for table in ["boss_service", "boss_notice", "boss_signature"] {
        let left = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT 1 FROM {table}")));
        assert!(left.fetch_all(world.database.pool()).await.unwrap().is_empty(), "{table}");
    }
}

/// Nor with an order, whether it is called off in time, or its profile is on an eUICC already.
async fn orders_of_one_who_left_are_nobodys(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let leaves = async |at| {
        let of_before = world.subscription(1).await;
        boss::remove(&world.hlr, &imsi(1), &Change { by: "test".into(), at }).await.unwrap();
        let another = Subscription { iccid: iccid(at), ..of_before };
        let credentials = Credentials::milenage([3; 16], [4; 16]);
        world.hlr.add(&another, &credentials, &Change { by: "test".into(), at }).await.unwrap();
    };
    let order = boss.request(&Request { share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) }, 100).await;
    let order = order.unwrap();
    leaves(101).await;
    assert_eq!(boss.find(&imsi(1), &target()).await.unwrap(), None);
    boss.advance(102).await.unwrap();
    let called_off = boss.order(&order.id).await.unwrap().unwrap();
    assert_eq!((called_off.state, called_off.error.as_deref()), (State::Cancelled, Some("its subscriber was removed")));
    assert!(!world.server.is_taken(&iccid(11)));

    let own = boss.request(&Request { share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) }, 103).await;
    let own = own.unwrap();
    assert_ne!(own.id, order.id);
    for point in WAY.into_iter().take(3) {
        boss.progress(&passed(&own, point), 103).await.unwrap();
    }
    leaves(104).await;
    assert_eq!(boss.find(&imsi(1), &target()).await.unwrap(), None);
    let filter = Filter { subscriber: Some(imsi(1)), of_present: true, ..Filter::default() };
    assert_eq!(boss.orders(&filter).await.unwrap(), []);
    let enabled = boss.progress(&passed(&own, NotificationPointId::ENABLE), 105).await.unwrap();
    assert_eq!(enabled.error.as_deref(), Some("the profile was enabled after its subscriber was removed"));
    let line = world.subscription(11).await;
    assert_eq!(line.status, Status::Provisioned);
    assert_eq!(world.reached(1).await, [imsi(1)], "it shares nothing");

    // The profile's own subscription has left as well, and its IMSI is another's.
    boss::remove(&world.hlr, &imsi(11), &Change { by: "test".into(), at: 106 }).await.unwrap();
    let another = Subscription { iccid: iccid(106), eid: None, status: Status::Active, ..line };
    let credentials = Credentials::milenage([3; 16], [4; 16]);
    world.hlr.add(&another, &credentials, &Change { by: "test".into(), at: 106 }).await.unwrap();
    boss.progress(&passed(&own, NotificationPointId::DELETE), 107).await.unwrap();
    assert_eq!(world.hlr.lookup(Lookup::Imsi(&imsi(11))).await.unwrap(), [another]);
}

/// A profile of the stock that the operator has no subscription for: what puts it in is said, and the profile given back.
async fn a_profile_nobody_knows_is_named_with_a_way_out(place: &Place) {
    let world = World::new(place).await;
    boss::remove(&world.hlr, &imsi(11), &Change { by: "test".into(), at: 2 }).await.unwrap();
    let order = world.boss(World::settings()).request(&request(Kind::Companion), 100).await.unwrap();
    let error = order.error.unwrap();
    assert_eq!(order.state, State::Failed);
    assert!(error.contains(&iccid(11).to_string()) && error.contains("`vuicc operator subscriber add FILE"), "{error}");
    assert!(!world.server.is_taken(&iccid(11)));
}

async fn sharing_ends(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let order = Request { share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) };
    let order = all_the_way(&boss, &order, 100).await;
    let unbinding = UnbindRequest {
        primary: vec![Identifier::Imsi(imsi(1))],
        secondary: vec![Identifier::Eid(eid())],
        remove_profile: false,
    };
    let service = boss.unbind(&unbinding, 101).await.unwrap();
    assert_eq!((service.state, world.reached(1).await), (ServiceState::Deactivated, vec![imsi(1)]));
    assert_eq!(boss.order(&order.id).await.unwrap().unwrap().state, State::Unbound);
    assert_eq!(world.status(11).await, Status::Active, "the profile stays, and may share again");
    let other = UnbindRequest { secondary: vec![Identifier::Imsi(imsi(2))], ..unbinding.clone() };
    assert!(matches!(boss.unbind(&other, 101).await, Err(BossError::NotShared)));
    let binding = BindRequest { primary: unbinding.primary, secondary: unbinding.secondary, ..BindRequest::default() };
    assert_eq!(boss.bind(&binding, 102).await.unwrap().state, ServiceState::Active);
    assert_eq!(boss.order(&order.id).await.unwrap().unwrap().state, State::Bound);
    world.holds(&boss, &[1, 2, 3, 11]).await;
}

async fn a_profile_goes_with_the_sharing(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let unbinding = UnbindRequest {
        primary: vec![Identifier::Imsi(imsi(1))],
        secondary: vec![Identifier::Eid(eid())],
        remove_profile: true,
    };
    assert!(matches!(boss.unbind(&unbinding, 99).await, Err(BossError::Unknown(_))));
    // Before it is downloaded, the SM-DP+ gives it up.
    let request = Request { share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) };
    let first = boss.request(&request, 100).await.unwrap();
    let service = boss.unbind(&unbinding, 101).await.unwrap();
    assert_eq!(service.state, ServiceState::DeactivatedNoReuse);
    assert_eq!(boss.order(&first.id).await.unwrap().unwrap().state, State::Cancelled);
    assert_eq!(world.server.profile(&iccid(11)), Some(Profile::Unavailable));
    assert_eq!((world.status(11).await, world.subscription(11).await.eid), (Status::Barred, None));
    // Afterwards the device has to delete it.
    let order = all_the_way(&boss, &request, 102).await;
    assert_eq!((order.state, order.imsi.clone()), (State::Bound, Some(imsi(12))));
    boss.unbind(&unbinding, 103).await.unwrap();
    let unbound = boss.order(&order.id).await.unwrap().unwrap();
    assert_eq!((unbound.state, unbound.remove_profile), (State::Unbound, true));
    assert_eq!((world.status(12).await, world.reached(1).await), (Status::Barred, vec![imsi(1)]));
    let deleted = boss.progress(&passed(&order, NotificationPointId::DELETE), 104).await.unwrap();
    assert_eq!((deleted.state, world.subscription(12).await.eid), (State::Deleted, None));
    // Next time it is a new order.
    assert_ne!(boss.request(&request, 105).await.unwrap().id, order.id);
    // An order without a profile yet ends too.
    world.server.trouble("DownloadOrder", Trouble::Unavailable);
    let other = Request { target: Target { eid: Some(other_eid()), ..target() }, ..request };
    let other_order = boss.request(&other, 106).await.unwrap();
    assert_eq!(other_order.state, State::Requested);
    let unbinding = UnbindRequest { secondary: vec![Identifier::Eid(other_eid())], ..unbinding };
    boss.unbind(&unbinding, 200).await.unwrap();
    assert_eq!(boss.order(&other_order.id).await.unwrap().unwrap().state, State::Cancelled);
    world.holds(&boss, &[1, 2, 3]).await;
}

async fn progress_fits_in_iccid_and_eid(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let order = boss.request(&request(Kind::Transfer), 100).await.unwrap();
    for wrong in [Some(other_eid()), None] {
        let progress = HandleDownloadProgressInfoRequest { eid: wrong, ..passed(&order, NotificationPointId::ENABLE) };
        assert!(matches!(boss.progress(&progress, 101).await, Err(BossError::OtherEid)));
    }
    let unknown = HandleDownloadProgressInfoRequest { iccid: iccid(12), ..passed(&order, NotificationPointId::ENABLE) };
    assert!(matches!(boss.progress(&unknown, 101).await, Err(BossError::UnknownProfile(_))));
    assert_eq!(boss.order(&order.id).await.unwrap().unwrap(), order);
    // Enabled overtakes installed.
    let order = boss.progress(&passed(&order, NotificationPointId::ENABLE), 102).await.unwrap();
    assert_eq!((order.state, world.reached(1).await), (State::Enabled, vec![imsi(11)]));
    let order = boss.progress(&passed(&order, NotificationPointId::BPP_INSTALLATION), 103).await.unwrap();
    assert_eq!(order.state, State::Enabled);
    world.holds(&boss, &[2, 3, 11]).await;
}

async fn requests_have_limits(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(Settings { open_orders: 2, ..World::settings() });
    let to = |eid| Request { target: Target { eid: Some(eid), ..target() }, ..request(Kind::Companion) };
    let wrong = Eid::from_digits("89049032123451234512345678901234").unwrap();
    assert!(matches!(boss.request(&to(wrong), 100).await, Err(BossError::EidCheckDigits)));
    let nothing = Request { target: Target { eid: None, ..target() }, ..request(Kind::Companion) };
    assert!(matches!(boss.request(&nothing, 100).await, Err(BossError::Missing("secondary"))));
    let stranger = Request { subscriber: imsi(9), ..request(Kind::Companion) };
    assert!(matches!(boss.request(&stranger, 100).await, Err(BossError::Unknown(_))));
    let foreign = Request { subscriber: "440101234567890".parse().unwrap(), ..request(Kind::Companion) };
    assert!(matches!(boss.request(&foreign, 100).await, Err(BossError::Foreign(_))));
    boss.request(&to(eid()), 100).await.unwrap();
    boss.request(&to(other_eid()), 100).await.unwrap();
    assert!(matches!(boss.request(&to(third_eid()), 100).await, Err(BossError::TooMany)));
    // One move at a time: a later one takes the place of one that has not begun.
    let boss = world.boss(World::settings());
    let moving = |eid| Request { kind: Kind::Transfer, ..to(eid) };
    let first = boss.request(&moving(eid()), 101).await.unwrap();
    let second = boss.request(&moving(other_eid()), 102).await.unwrap();
    boss.advance(103).await.unwrap();
    assert_eq!(boss.order(&first.id).await.unwrap().unwrap().state, State::Cancelled);
    boss.progress(&passed(&second, NotificationPointId::BPP_DOWNLOAD), 104).await.unwrap();
    assert!(matches!(boss.request(&moving(third_eid()), 105).await, Err(BossError::Moving(id)) if id == second.id));
}

async fn two_replicas_take_turns(place: &Place) {
    let world = World::new(place).await;
    let settings = || Settings { contract: true, release_at_once: false, ..World::settings() };
    let elsewhere = Database::open(&place.url).await.unwrap();
    let server = Arc::clone(&world.server);
    let replicas = [world.boss(settings()), Boss::new(elsewhere, server, settings())];
    let [one, other] = &replicas;
    let request = Request { share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) };
    let ticket = one.request(&request, 100).await.unwrap().contract.unwrap();
    other.contract(&ticket, 101).await.unwrap();
    world.server.trouble("ConfirmOrder", Trouble::Unavailable);
    let Decided::Order(order) = other.decide(&ticket, Decision::Accept, 102).await.unwrap() else { panic!() };
    assert_eq!(order.state, State::Ordered);
    one.advance(200).await.unwrap();
    let mut order = other.request(&request, 201).await.unwrap();
    assert_eq!(order.state, State::Released);
    for (point, boss) in WAY.into_iter().zip(replicas.iter().cycle()) {
        order = boss.progress(&passed(&order, point), 202).await.unwrap();
    }
    assert_eq!((order.state, one.order(&order.id).await.unwrap().unwrap().state), (State::Bound, State::Bound));
    one.set_mode(&imsi(1), Mode::MobileAccessHunting, 203).await.unwrap();
    assert_eq!(other.line(&imsi(1)).await.unwrap().mode, Some(Mode::MobileAccessHunting));
    assert_eq!(world.server.executed(), ["DownloadOrder", "ConfirmOrder", "ReleaseProfile"]);
    world.holds(one, &[1, 2, 3, 11]).await;
}

/// Many times the same, from two processes: one order, and everybody hears of it.
async fn the_same_request_at_once(place: &Place) {
    let world = World::new(place).await;
    let elsewhere = Database::open(&place.url).await.unwrap();
    let replicas =
        [world.boss(World::settings()), Boss::new(elsewhere, Arc::clone(&world.server) as _, World::settings())];
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let boss = replicas[number % 2].clone();
            tokio::spawn(async move { boss.request(&request(Kind::Companion), 100).await.unwrap() })
        })
        .collect();
    let mut orders = Vec::new();
    for task in tasks {
        orders.push(task.await.unwrap());
    }
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
    assert_eq!((orders[0].state, world.server.available()), (State::Released, 3));
    let boss = &replicas[0];
    let tasks: Vec<_> = (0..4)
        .map(|number| {
            let (boss, order) = (replicas[number % 2].clone(), orders[0].clone());
            tokio::spawn(async move { boss.progress(&passed(&order, NotificationPointId::ENABLE), 101).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().state, State::Enabled);
    }
    world.holds(boss, &[1, 2, 3, 11]).await;
}
