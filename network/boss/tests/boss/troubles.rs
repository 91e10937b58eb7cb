//! Orders that fail, are called off, or are interrupted anywhere: nothing is lost, used twice or charged for nothing.

use crate::server::{Profile, Trouble};
use crate::world::{DAY, World, all_the_way, dropped_after, iccid, imsi, msisdn, other_eid, passed, request, target};
use boss::{self, BossError, Kind, Order, Request, ServiceState, Settings, State, Target};
use database::place::{Place, on_each_database};
use hlr::{Change, Mode, Status};
use rsp::es2plus::{HandleDownloadProgressInfoRequest, NotificationPointId};
use rsp::es9::{FunctionExecutionStatus, StatusCodeData};
use sqlx::Row;

on_each_database! {
    failures_on_the_way,
    a_deleted_profile_is_of_no_use,
    what_the_server_refuses_is_undone,
    what_is_not_given_back_is_not_used_again,
    what_is_installed_meanwhile_is_not_used_again,
    what_was_confirmed_unheard_is_given_back,
    what_was_called_off_by_name_unheard_is_given_back,
    what_waits_too_long_is_called_off,
    troubles_with_the_server,
    callers_that_die,
    a_profile_given_back_goes_to_the_next,
    interrupted_requests,
    interrupted_moves,
}

async fn failures_on_the_way(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let failure = |order: &Order, point, subject: &str, reason: &str| {
        let why = StatusCodeData {
            subject_code: subject.into(),
            reason_code: reason.into(),
            subject_identifier: None,
            message: None,
        };
        let notification_point_status = FunctionExecutionStatus::failed(why);
        HandleDownloadProgressInfoRequest { notification_point_status, ..passed(order, point) }
    };
    // Tried in vain, but not for the last time.
    let order = boss.request(&request(Kind::Companion), 100).await.unwrap();
    let eligibility = NotificationPointId::ELIGIBILITY_AND_RETRY_LIMIT_CHECK;
    let order = boss.progress(&failure(&order, eligibility, "8.1.1", "3.8"), 101).await.unwrap();
    assert_eq!(order.state, State::Released);
    assert!(order.error.as_ref().unwrap().contains("8.1.1/3.8"));
    // For the last time.
    let order = boss.progress(&failure(&order, eligibility, "8.8.5", "6.4"), 102).await.unwrap();
    assert_eq!((order.state, world.server.available()), (State::Failed, 4));
    // Installation is not tried again.
    let order = boss.request(&request(Kind::Companion), 103).await.unwrap();
    boss.progress(&passed(&order, NotificationPointId::BPP_DOWNLOAD), 104).await.unwrap();
    let order =
        boss.progress(&failure(&order, NotificationPointId::BPP_INSTALLATION, "8.1", "4.8"), 105).await.unwrap();
    assert_eq!((order.state, world.server.available()), (State::Failed, 4));
    assert_eq!((world.status(11).await, world.subscription(11).await.eid), (Status::Provisioned, None));
    world.holds(&boss, &[1, 2, 3]).await;
}

async fn a_deleted_profile_is_of_no_use(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    // A companion leaves its line.
    let watch = Request { share: Some(Mode::FlexibleAlerting), ..request(Kind::Companion) };
    let watch = all_the_way(&boss, &watch, 100).await;
    boss.progress(&passed(&watch, NotificationPointId::DELETE), 101).await.unwrap();
    assert_eq!((world.reached(1).await, world.status(11).await), (vec![imsi(1)], Status::Barred));
    assert_eq!(boss.service(&imsi(1), &imsi(11)).await.unwrap().state, ServiceState::Deactivated);
    assert_eq!(world.hlr.group(&msisdn(1)).await.unwrap(), None);
    // A number whose only profile goes rests, and stays its owner's.
    let phone = all_the_way(&boss, &request(Kind::Transfer), 102).await;
    boss.progress(&passed(&phone, NotificationPointId::DELETE), 103).await.unwrap();
    assert_eq!((world.reached(1).await, world.status(12).await), (vec![], Status::Barred));
    assert_eq!(world.subscription(12).await.msisdn, Some(msisdn(1)));
}

async fn what_the_server_refuses_is_undone(place: &Place) {
    let world = World::new(place).await;
    for release_at_once in [true, false] {
        let boss = world.boss(Settings { release_at_once, ..World::settings() });
        let functions = ["DownloadOrder", "ConfirmOrder", "ReleaseProfile"];
        for function in &functions[..if release_at_once { 2 } else { 3 }] {
            world.server.trouble(function, Trouble::Refuse);
            let order = boss.request(&request(Kind::Companion), 100).await.unwrap();
            assert_eq!(order.state, State::Failed, "{function}");
            assert!(order.error.unwrap().contains("8.2.1/1.2"));
            assert_eq!((world.server.available(), world.subscription(11).await.eid), (4, None));
            world.holds(&boss, &[1, 2, 3]).await;
        }
        let order = boss.request(&request(Kind::Companion), 101).await.unwrap();
        assert_eq!((order.state, order.iccid.clone()), (State::Released, Some(iccid(11))));
        let order = boss.cancel(&order.id, true, 102).await.unwrap();
        assert_eq!((order.state, world.server.available()), (State::Cancelled, 4));
        assert_eq!(boss.cancel(&order.id, true, 103).await.unwrap().state, State::Cancelled);
    }
    // A profile without a subscription that waits for use is given back.
    let by = Change { by: "test".into(), at: 0 };
    world.hlr.set_status(&imsi(11), Status::Barred, &by).await.unwrap();
    let boss = world.boss(World::settings());
    let order = boss.request(&request(Kind::Companion), 104).await.unwrap();
    assert_eq!((order.state, world.server.available()), (State::Failed, 4));
}

/// What an SM-DP+ means that refuses to take a profile back.
async fn what_is_not_given_back_is_not_used_again(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let ordered = async |now| boss.request(&request(Kind::Companion), now).await.unwrap();
    // It may be on an eUICC: not available again, but withdrawn.
    let order = ordered(100).await;
    world.server.trouble("CancelOrder", Trouble::RefuseFor("8.2.1", "3.5"));
    let order = boss.cancel(&order.id, true, 101).await.unwrap();
    assert_eq!((order.state, order.not_given_back), (State::Cancelled, false));
    assert_eq!(world.server.profile(&iccid(11)), Some(Profile::Unavailable));
    assert_eq!(world.status(11).await, Status::Barred);
    // It is in use, or not this order's: nothing is given back, and that can be seen.
    for (number, subject, reason, calls) in [(12, "8.2.1", "3.3", 2), (13, "8.2.6", "3.10", 1), (14, "8.2.1", "3.9", 1)]
    {
        let now = 200 + 10 * number;
        let order = ordered(now).await;
        assert_eq!(order.imsi, Some(imsi(number)));
        for _ in 0..calls {
            world.server.trouble("CancelOrder", Trouble::RefuseFor(subject, reason));
        }
        let order = boss.cancel(&order.id, true, now + 1).await.unwrap();
        assert_eq!((order.state, order.not_given_back), (State::Cancelled, true), "{subject}/{reason}");
        assert!(order.error.unwrap().contains(&format!("{subject}/{reason}")));
        assert!(world.server.is_taken(&iccid(number)), "untouched");
        assert_eq!((world.status(number).await, world.subscription(number).await.eid), (Status::Barred, None));
        let events: Vec<_> = boss.history(&order.id).await.unwrap().into_iter().map(|entry| entry.event).collect();
        assert!(!events.contains(&"let go".to_owned()) && events.contains(&"not given back".to_owned()), "{events:?}");
        // Nothing goes on by itself; asked once more, it may be withdrawn after all.
        assert_eq!(boss.advance(now + 2).await.unwrap(), 0);
        let order = boss.cancel(&order.id, true, now + 3).await.unwrap();
        assert_eq!((order.state, order.not_given_back), (State::Cancelled, false));
        assert_eq!(world.server.profile(&iccid(number)), Some(Profile::Unavailable));
        assert_eq!(world.status(number).await, Status::Barred);
    }
    // Who may not call has to be let in by somebody first.
    let elsewhere = Place::sqlite();
    let world = World::with_stock(&elsewhere, 1).await;
    let boss = world.boss(World::settings());
    let order = boss.request(&request(Kind::Companion), 100).await.unwrap();
    world.server.trouble("CancelOrder", Trouble::RefuseFor("1.1", "1.2"));
    let order = boss.cancel(&order.id, true, 101).await.unwrap();
    assert!(order.state == State::Released && order.error.unwrap().contains("1.1/1.2"));
    assert_eq!((boss.advance(102).await.unwrap(), world.server.available()), (0, 0));
    boss.advance(1000).await.unwrap();
    assert_eq!(boss.order(&order.id).await.unwrap().unwrap().state, State::Cancelled);
    assert_eq!((world.server.available(), world.status(11).await), (1, Status::Provisioned));
}

/// The SM-DP+ confirms, its answer is lost, and the order is called off: the matchingId, without which the SM-DP+ takes
/// nothing back, is asked for once more.
async fn what_was_confirmed_unheard_is_given_back(place: &Place) {
    let world = World::new(place).await;
    for (now, trouble, executed) in
        [(100, Trouble::AnswerLost, "ConfirmOrder"), (300, Trouble::Unavailable, "DownloadOrder")]
    {
        let boss = world.boss(World::settings());
        world.server.trouble("ConfirmOrder", trouble);
        let order = boss.request(&request(Kind::Companion), now).await.unwrap();
        assert_eq!((order.state, world.server.executed().last()), (State::Ordered, Some(&executed)));
        let order = boss.cancel(&order.id, true, now + 1).await.unwrap();
        boss.advance(now + 100).await.unwrap();
        let order = boss.order(&order.id).await.unwrap().unwrap();
        assert_eq!((order.state, order.not_given_back), (State::Cancelled, false), "{:?}", order.error);
        assert_eq!((world.server.available(), world.status(11).await), (4, Status::Provisioned));
    }
}

/// The same, and then the answer is lost to the CancelOrder that names the matchingId, or the caller dies before it is there:
/// it is the same call that is made again.
async fn what_was_called_off_by_name_unheard_is_given_back(place: &Place) {
    let world = World::new(place).await;
    for (now, trouble) in
        [(100, Trouble::AnswerLost), (300, Trouble::CallerDiesAfter), (500, Trouble::CallerDiesBefore)]
    {
        let boss = world.boss(World::settings());
        world.server.trouble("ConfirmOrder", Trouble::AnswerLost);
        let order = boss.request(&request(Kind::Companion), now).await.unwrap();
        assert_eq!((order.state, world.server.executed().last()), (State::Ordered, Some(&"ConfirmOrder")));
        world.server.trouble("CancelOrder", Trouble::Later);
        world.server.trouble("CancelOrder", trouble);
        world.or_death(boss.cancel(&order.id, true, now + 1)).await;
        boss.advance(now + 100).await.unwrap();
        let order = boss.order(&order.id).await.unwrap().unwrap();
        assert_eq!((order.state, order.not_given_back), (State::Cancelled, false), "{:?}", order.error);
        assert_eq!((world.server.available(), world.status(11).await), (4, Status::Provisioned));
    }
}

/// The order is called off, but the eUICC is faster than the SM-DP+ hears of it.
async fn what_is_installed_meanwhile_is_not_used_again(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let order = boss.request(&request(Kind::Companion), 100).await.unwrap();
    world.server.trouble("CancelOrder", Trouble::Unavailable);
    boss.cancel(&order.id, true, 101).await.unwrap();
    let installed = boss.progress(&passed(&order, NotificationPointId::BPP_INSTALLATION), 102).await.unwrap();
    assert_eq!((installed.state, world.status(11).await), (State::Cancelled, Status::Barred));
    let enabled = boss.progress(&passed(&order, NotificationPointId::ENABLE), 103).await;
    assert!(matches!(enabled, Err(BossError::UnknownProfile(_))) && world.status(11).await == Status::Barred);
}

async fn what_waits_too_long_is_called_off(place: &Place) {
    let world = World::new(place).await;
    let boss = world.boss(World::settings());
    let released = boss.request(&request(Kind::Companion), 100).await.unwrap();
    world.server.trouble("DownloadOrder", Trouble::Unavailable);
    let other = Request { target: Target { eid: Some(other_eid()), ..target() }, ..request(Kind::Companion) };
    let requested = boss.request(&other, 100).await.unwrap();
    assert_eq!((released.state, requested.state), (State::Released, State::Requested));
    // It is tried again by itself.
    boss.advance(100 + 600).await.unwrap();
    assert_eq!(boss.order(&requested.id).await.unwrap().unwrap().state, State::Released);
    boss.advance(99 + 7 * DAY).await.unwrap();
    assert_eq!(boss.order(&released.id).await.unwrap().unwrap().state, State::Released);
    boss.advance(700 + 7 * DAY).await.unwrap();
    for id in [released.id, requested.id] {
        assert_eq!(boss.order(&id).await.unwrap().unwrap().state, State::Cancelled);
    }
    assert_eq!(world.server.available(), 4);
    world.holds(&boss, &[1, 2, 3]).await;
}

/// Each call to the SM-DP+ goes wrong in each way, the process dies where it dies, and the next one goes on.
async fn troubles_with_the_server(place: &Place) {
    let world = World::new(place).await;
    let settings = || Settings { release_at_once: false, ..World::settings() };
    let troubles = [
        Trouble::Unavailable,
        Trouble::RefuseFor("8.8", "4.2"),
        Trouble::AnswerLost,
        Trouble::CallerDiesBefore,
        Trouble::CallerDiesAfter,
    ];
    let mut now = 1000;
    for kind in [Kind::Companion, Kind::Primary, Kind::Transfer] {
        for function in ["DownloadOrder", "ConfirmOrder", "ReleaseProfile", "CancelOrder"] {
            for trouble in troubles {
                now += 10_000;
                let done = world.server.executed().len();
                world.server.trouble(function, trouble);
                let boss = world.boss(settings());
                let request = request(kind);
                let _ = world.or_death(boss.request(&request, now)).await;
                drop(boss);
                // Every later worker sees the same order.
                let boss = world.boss(settings());
                boss.advance(now + 1000).await.unwrap();
                let order = boss.request(&request, now + 1001).await.unwrap();
                assert_eq!(order.state, State::Released, "{kind} {function} {trouble:?}");
                assert_eq!(world.server.available(), 3, "{kind} {function} {trouble:?}");
                world.holds(&boss, &[1, 2, 3]).await;
                let _ = world.or_death(boss.cancel(&order.id, true, now + 2000)).await;
                let boss = world.boss(settings());
                boss.advance(now + 3000).await.unwrap();
                let order = boss.order(&order.id).await.unwrap().unwrap();
                assert_eq!(order.state, State::Cancelled, "{kind} {function} {trouble:?}");
                assert_eq!(world.server.available(), 4);
                assert_eq!(world.server.executed().len() - done, 4, "each once");
                world.holds(&boss, &[1, 2, 3]).await;
            }
        }
    }
}

/// The worker that calls the SM-DP+ dies, again and again: another soon takes over each time, and no lease of the dead holds it up
/// longer for a server that is away for a moment.
async fn callers_that_die(place: &Place) {
    const SOON: u64 = 15;
    let world = World::new(place).await;
    let mut now = 1000;
    for death in 0..10 {
        world.server.trouble("DownloadOrder", Trouble::CallerDiesBefore);
        let boss = world.boss(World::settings());
        assert!(world.or_death(boss.request(&request(Kind::Companion), now)).await.is_none(), "{death}");
        now += SOON;
    }
    let boss = world.boss(World::settings());
    world.server.trouble("DownloadOrder", Trouble::Unavailable);
    assert_eq!(boss.request(&request(Kind::Companion), now).await.unwrap().state, State::Requested);
    boss.advance(now + SOON).await.unwrap();
    let order = boss.request(&request(Kind::Companion), now + SOON).await.unwrap();
    assert_eq!((order.state, world.server.available()), (State::Released, 3));
    world.holds(&boss, &[1, 2, 3]).await;
}

/// The last profile is given back, but nobody lives to hear so; someone else gets it.
async fn a_profile_given_back_goes_to_the_next(place: &Place) {
    let world = World::with_stock(place, 1).await;
    let boss = world.boss(World::settings());
    let first = boss.request(&request(Kind::Companion), 100).await.unwrap();
    world.server.trouble("CancelOrder", Trouble::CallerDiesAfter);
    assert!(world.or_death(boss.cancel(&first.id, true, 101)).await.is_none());
    let boss = world.boss(World::settings());
    let other = Target { eid: Some(other_eid()), ..target() };
    let other = Request { subscriber: imsi(2), target: other, ..request(Kind::Companion) };
    let second = boss.request(&other, 102).await.unwrap();
    assert_eq!((second.state, second.iccid.clone()), (State::Released, Some(iccid(11))));
    boss.advance(1000).await.unwrap();
    assert_eq!(boss.order(&first.id).await.unwrap().unwrap().state, State::Cancelled);
    assert_eq!(
        world.server.profile(&iccid(11)).unwrap(),
        Profile::Released(Some(other_eid()), format!("M-{}", iccid(11)))
    );
    assert_eq!(world.subscription(11).await.eid, Some(other_eid()));
    let second = boss.progress(&passed(&second, NotificationPointId::ENABLE), 1001).await.unwrap();
    assert_eq!(second.state, State::Enabled);
    world.holds(&boss, &[1, 2, 3, 11]).await;
}

/// A request dropped at each point where it waits for anything.
async fn interrupted_requests(place: &Place) {
    let world = World::new(place).await;
    let mut now = 1000;
    for polls in 0.. {
        now += 10_000;
        let boss = world.boss(World::settings());
        let whole = dropped_after(polls, boss.request(&request(Kind::Companion), now)).await.is_some();
        let boss = world.boss(World::settings());
        boss.advance(now + 1000).await.unwrap();
        let order = boss.request(&request(Kind::Companion), now + 1001).await.unwrap();
        assert_eq!((order.state, world.server.available()), (State::Released, 3), "after {polls}");
        world.holds(&boss, &[1, 2, 3]).await;
        dropped_after(polls, boss.cancel(&order.id, true, now + 2000)).await;
        let boss = world.boss(World::settings());
        boss.advance(now + 3000).await.unwrap();
        let order = boss.cancel(&order.id, true, now + 3001).await.unwrap();
        assert_eq!((order.state, world.server.available()), (State::Cancelled, 4), "after {polls}");
        world.holds(&boss, &[1, 2, 3]).await;
        if whole {
            break;
        }
    }
}

/// A number moves on and on, each time interrupted a little later.
async fn interrupted_moves(place: &Place) {
    const STOCK: u64 = 60;
    let world = World::with_stock(place, STOCK).await;
    let (mut from, mut now) = (1, 1000);
    for new in 11..11 + STOCK {
        now += 10_000;
        // A few at the beginning of the change, then further and further into it.
        let polls = usize::try_from((new - 11) * 3).unwrap();
        let boss = world.boss(World::settings());
        let request = Request { subscriber: imsi(from), ..request(Kind::Transfer) };
        let order = boss.request(&request, now).await.unwrap();
        assert_eq!(order.imsi, Some(imsi(new)));
        let enabled = passed(&order, NotificationPointId::ENABLE);
        let whole = dropped_after(polls, boss.progress(&enabled, now + 1)).await.is_some();
        // All of it or nothing. What was dropped may still be coming to its end, so all is seen at one moment.
        let sql = "SELECT o.state, old.status, new.msisdn FROM boss_order o, subscription old, subscription new \
                   WHERE o.id = $1 AND old.imsi = $2 AND new.imsi = $3";
        let seen = sqlx::query(sql).bind(order.id.as_str()).bind(imsi(from).to_string()).bind(imsi(new).to_string());
        let seen = seen.fetch_one(world.database.pool()).await.unwrap();
        let (state, status): (String, String) = (seen.get(0), seen.get(1));
        let moved = seen.get::<Option<String>, _>(2) == Some(msisdn(1).to_string());
        assert_eq!((moved, status == "barred"), (state == "enabled", moved));
        assert!(moved || !whole);
        // The SM-DP+ says so until it is heard.
        let boss = world.boss(World::settings());
        boss.progress(&enabled, now + 2).await.unwrap();
        assert_eq!((world.reached(1).await, world.status(from).await), (vec![imsi(new)], Status::Barred));
        world.holds(&boss, &[2, 3, new]).await;
        from = new;
    }
    let boss = world.boss(World::settings());
    while boss.advance(now + 3).await.unwrap() > 0 {}
    assert_eq!(world.sent.messages.lock().unwrap().len(), usize::try_from(STOCK).unwrap(), "each device once");
}
