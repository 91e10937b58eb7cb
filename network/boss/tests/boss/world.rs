//! The operator of these tests, and what its customers ask for.

use crate::server::{ADDRESS, PROFILE_TYPE, TestServer};
use boss::{self, Boss, Filter, Kind, Order, Request, Settings, State, Target};
use calendar::Timestamp;
use database::place::Place;
use hlr::{Change, Credentials, Hlr, Lookup, MasterKey, Status, Subscription};
use identities::{Eid, Iccid, Imsi, Msisdn};
use network_base::BoxFuture;
use network_base::database::Database;
use network_base::language::Language;
use network_base::sender::{Message, Receiver, SmsError, SmsSender};
use rsp::es2plus::{HandleDownloadProgressInfoRequest, NotificationPointId};
use rsp::es9::FunctionExecutionStatus;
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use tokio::sync::Notify;

pub(crate) const EID: &str = "89049032123451234512345678901235";

pub(crate) const DAY: u64 = 24 * 3600;

/// The operator of these tests: subscribers 1 to 3 with a card and a number each, and profiles from 11 on in stock.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) hlr: Hlr,
    pub(crate) server: Arc<TestServer>,
    pub(crate) sent: Arc<Sent>,
}

impl World {
    pub(crate) async fn new(place: &Place) -> Self {
        Self::with_stock(place, 4).await
    }

    pub(crate) async fn with_stock(place: &Place, stock: u64) -> Self {
        let database = Database::open(&place.url).await.unwrap();
        let hlr = Hlr::new(database.clone(), MasterKey::new([7; 32]));
        let by = Change { by: "test".into(), at: 0 };
        for number in (1..=3).chain(11..11 + stock) {
            let in_stock = number > 10;
            let subscription = Subscription {
                imsi: imsi(number),
                iccid: iccid(number),
                msisdn: (!in_stock).then(|| msisdn(number)),
                eid: None,
                status: if in_stock { Status::Provisioned } else { Status::Active },
            };
            hlr.add(&subscription, &Credentials::milenage([1; 16], [2; 16]), &by).await.unwrap();
        }
        let stock: Vec<Iccid> = (11..11 + stock).map(iccid).collect();
        let server = Arc::new(TestServer::with(&stock));
        Self { database, hlr, server, sent: Arc::default() }
    }

    pub(crate) fn settings() -> Settings {
        Settings { networks: vec!["00101".into()], contract: false, ..Settings::new(PROFILE_TYPE, ADDRESS) }
    }

    pub(crate) fn boss(&self, settings: Settings) -> Boss {
        let server = Arc::clone(&self.server);
        Boss::new(self.database.clone(), server, settings).with_sender(Arc::clone(&self.sent) as Arc<dyn SmsSender>)
    }

    pub(crate) async fn subscription(&self, number: u64) -> Subscription {
        self.hlr.lookup(Lookup::Imsi(&imsi(number))).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn status(&self, number: u64) -> Status {
        self.subscription(number).await.status
    }

    /// Whom a call to a number reaches.
    pub(crate) async fn reached(&self, number: u64) -> Vec<Imsi> {
        let found = self.hlr.resolve(&msisdn(number)).await.unwrap();
        found.map(|(_, members)| members.into_iter().map(|member| member.imsi).collect()).unwrap_or_default()
    }

    pub(crate) async fn charges(&self) -> usize {
        sqlx::query("SELECT order_id FROM boss_charge").fetch_all(self.database.pool()).await.unwrap().len()
    }

    /// Does something until it is done, or until the SM-DP+ lets it die.
    pub(crate) async fn or_death<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.server.caller_dies() => None,
        }
    }

    /// What holds at any time. `working` are the cards and profiles that are in use.
    pub(crate) async fn holds(&self, boss: &Boss, working: &[u64]) {
        let subscriptions = self.hlr.subscriptions().await.unwrap();
        for Subscription { imsi: active, .. } in subscriptions.iter().filter(|one| one.status == Status::Active) {
            assert!(working.iter().any(|number| imsi(*number) == *active), "{active} is active without a card");
        }
        for number in subscriptions.iter().filter_map(|one| one.msisdn.clone()) {
            let active =
                subscriptions.iter().any(|one| one.msisdn.as_ref() == Some(&number) && one.status == Status::Active);
            assert_eq!(active, self.hlr.resolve(&number).await.unwrap().is_some(), "{number}");
        }
        assert!(!self.reached(1).await.is_empty(), "the number always reaches someone");
        // A profile is kept for one open order each, and for nobody else.
        let orders = boss.orders(&Filter::default()).await.unwrap();
        let mut taken = HashSet::new();
        for order in orders.iter().filter(|order| !State::ENDED.contains(&order.state)) {
            if let Some(iccid) = &order.iccid {
                assert!(taken.insert(iccid.clone()), "{iccid} is taken twice");
            }
        }
        let kept = subscriptions.iter().filter(|one| self.server.is_taken(&one.iccid)).count();
        assert!(kept <= taken.len(), "{kept} profiles are kept for {orders:#?}");
        let enabled = [State::Enabled, State::Bound, State::Unbound, State::Deleted];
        let in_use = orders.iter().filter(|order| enabled.contains(&order.state)).count();
        assert_eq!(self.charges().await, in_use, "each order is charged once, when it is in use");
    }
}

/// Polls something so often, and then drops it.
pub(crate) async fn dropped_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Short messages that were sent.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) messages: Mutex<Vec<(Imsi, u16, Vec<u8>)>>,
    pub(crate) out_of_order: AtomicBool,
}

impl SmsSender for Sent {
    fn send<'a>(&'a self, to: Receiver<'a>, message: Message<'a>) -> BoxFuture<'a, Result<(), SmsError>> {
        let (Receiver::Subscription(to), Message::Data { port, octets }) = (to, message) else {
            return Box::pin(async { Err(SmsError::TooLong) });
        };
        let result = if self.out_of_order.load(Ordering::Relaxed) {
            Err(SmsError::Unavailable("out of order".into()))
        } else {
            self.messages.lock().unwrap().push((to.clone(), port, octets.to_vec()));
            Ok(())
        };
        Box::pin(async { result })
    }
}

/// A service centre that takes long to say that it is out of order.
#[derive(Default)]
pub(crate) struct Stalled {
    pub(crate) asked: Notify,
    pub(crate) answer: Notify,
}

impl SmsSender for Stalled {
    fn send<'a>(&'a self, _: Receiver<'a>, _: Message<'a>) -> BoxFuture<'a, Result<(), SmsError>> {
        Box::pin(async {
            self.asked.notify_one();
            self.answer.notified().await;
            Err(SmsError::Unavailable("out of order".into()))
        })
    }
}

pub(crate) fn imsi(number: u64) -> Imsi {
    format!("{:015}", 1_010_000_000_000 + number).parse().unwrap()
}

pub(crate) fn msisdn(number: u64) -> Msisdn {
    format!("{}", 81_901_234_560 + number).parse().unwrap()
}

pub(crate) fn iccid(number: u64) -> Iccid {
    Iccid::with_check_digit(&format!("8988211{number:012}")).unwrap()
}

pub(crate) fn eid() -> Eid {
    EID.parse().unwrap()
}

pub(crate) fn target() -> Target {
    Target {
        terminal_id: "355555555555555".into(),
        eid: Some(eid()),
        vendor: Some("Maker".into()),
        model: Some("Watch 1".into()),
        friendly_name: Some("My watch".into()),
        ..Target::default()
    }
}

pub(crate) fn request(kind: Kind) -> Request {
    Request { kind, subscriber: imsi(1), target: target(), share: None, language: Language::English }
}

/// The points from the first to the last.
pub(crate) const WAY: [NotificationPointId; 4] = [
    NotificationPointId::ELIGIBILITY_AND_RETRY_LIMIT_CHECK,
    NotificationPointId::BPP_DOWNLOAD,
    NotificationPointId::BPP_INSTALLATION,
    NotificationPointId::ENABLE,
];

/// All of the way, from the order to its use.
pub(crate) async fn all_the_way(boss: &Boss, request: &Request, now: u64) -> Order {
    let mut order = boss.request(request, now).await.unwrap();
    assert_eq!(order.state, State::Released);
    for point in WAY {
        order = boss.progress(&passed(&order, point), now).await.unwrap();
    }
    order
}

pub(crate) fn other_eid() -> Eid {
    Eid::with_check_digits("890490321234512345123456789013").unwrap()
}

pub(crate) fn third_eid() -> Eid {
    Eid::with_check_digits("890490321234512345123456789014").unwrap()
}

pub(crate) fn passed(order: &Order, point: NotificationPointId) -> HandleDownloadProgressInfoRequest {
    HandleDownloadProgressInfoRequest {
        eid: order.target.eid,
        iccid: order.iccid.clone().unwrap(),
        profile_type: PROFILE_TYPE.into(),
        timestamp: Timestamp(order.changed_at),
        notification_point_id: point,
        notification_point_status: FunctionExecutionStatus::success(),
        result_data: None,
    }
}
