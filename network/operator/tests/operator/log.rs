//! What the operator's parts write to the log, filter or not: everything that happens, and nobody's whole identity.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use crate::peer::IMSI;
use crate::world::{
    EID, ICCID, MSISDN, NEW_PHONE, OTHER_EID, OTHER_ICCID, OTHER_IMSI, OTHER_MSISDN, Phone, WATCH, World,
};
use axum::body::Body;
use axum::http::Request;
use boss::es2plus::ProgressHandler;
use boss::{Answer, Boss, Call, Decision, Kind, ProfileServer, ServerError, Target};
use calendar::Timestamp;
use database::place::{Place, on_each_database};
use eap::Method;
use hlr::MasterKey;
use network_base::BoxFuture;
use network_base::language::Language;
use network_base::otp::{Addressee, OneTimeCodes, Purpose, SIGN_IN};
use network_base::sender::{Message, Receiver, SmsError, SmsSender};
use network_base::source::Source;
use rsp::es2plus::status::PROFILE_TYPE_UNAVAILABLE;
use rsp::es2plus::{HandleDownloadProgressInfoRequest, NotificationPointId, RequestHeader, read_request, request};
use rsp::es9::{FunctionExecutionStatus, StatusCodeData};
use smsc::{Client, Esme, EsmeSettings, Smsc, Timeouts};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Everything that is written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Nobody the operator knows of: in the register or not.
const UNKNOWN: [&str; 4] =
    ["001019999999999", "8981100000000009995", "81900000000", "89049032000001000000000099999993"];

/// An SM-DP+ and a service centre that talk too much.
struct Talkative;

impl ProfileServer for Talkative {
    fn call<'a>(&'a self, _: &'a str, call: &'a Call) -> BoxFuture<'a, Result<Answer, ServerError>> {
        let error = match call {
            Call::DownloadOrder(order) => {
                let eid = order.eid.map(|eid| eid.to_string()).unwrap_or_default();
                let message = format!("nothing for {eid} on {ICCID}");
                ServerError::Refused(StatusCodeData { message: Some(message), ..PROFILE_TYPE_UNAVAILABLE.into() })
            }
            _ => ServerError::Unavailable(ICCID.into()),
        };
        Box::pin(async { Err(error) })
    }
}

impl SmsSender for Talkative {
    fn send<'a>(&'a self, to: Receiver<'a>, _: Message<'a>) -> BoxFuture<'a, Result<(), SmsError>> {
        let to = match to {
            Receiver::Number(msisdn) => msisdn.to_string(),
            Receiver::Subscription(imsi) => imsi.to_string(),
        };
        Box::pin(async move { Err(SmsError::Refused(format!("{to} is not wanted"))) })
    }
}

/// A companion with its contract, a number that moves, and much that is refused on the way.
async fn devices(world: &mut World) -> String {
    let mut phone = Phone::new(Method::Aka, "ap2006");
    let subscribe = [("operation", "ManageSubscription"), ("operation_type", "0"), ("companion_terminal_id", WATCH)];
    let section = phone.ask(world, &[&subscribe[..], &[("companion_terminal_eid", EID)]].concat()).await;
    world.decide(section["SubscriptionServiceUserData"].as_str().unwrap(), Decision::Accept).await;
    let section = phone.ask(world, &[&subscribe[..], &[("companion_terminal_eid", EID)]].concat()).await;
    let iccid = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
    world.installed_and_enabled(&iccid, EID).await;
    let on = [("operation", "ManageService"), ("companion_terminal_service", "SharedNumber")];
    for (kind, value) in [
        ("iccid", iccid.as_str()),
        ("iccid", OTHER_ICCID),
        ("imsi", OTHER_IMSI),
        ("msisdn", OTHER_MSISDN),
        ("imsi", UNKNOWN[0]),
        ("iccid", UNKNOWN[1]),
        ("msisdn", UNKNOWN[2]),
        ("eid", UNKNOWN[3]),
        ("imsi", "440101234567890"),
    ] {
        for operation_type in ["10", "11"] {
            let of_one = [("operation_type", operation_type), ("x_secondary_id_type", kind), ("x_secondary_id", value)];
            phone.ask(world, &[&on[..], &of_one].concat()).await;
            let mine = [("operation_type", operation_type), ("x_primary_id_type", kind), ("x_primary_id", value)];
            phone.ask(world, &[&on[..], &mine, &[("companion_terminal_iccid", &iccid)]].concat()).await;
        }
    }
    let other = format!("0{OTHER_IMSI}@nai.epc.mnc001.mcc001.3gppnetwork.org");
    for identity in [&other, "0001019999999999@nai.epc", "alice@81901234567"] {
        let token = phone.token.clone().unwrap();
        phone.request(world, &[("token", &token), ("EAP_ID", identity)], &on).await;
        phone.request(world, &[("EAP_ID", identity)], &on).await;
    }
    let mut new = Phone { terminal_id: NEW_PHONE.into(), ..Phone::new(Method::Aka, "ap2009") };
    let transfer = [("operation", "ManageSubscription"), ("operation_type", "3"), ("terminal_eid", OTHER_EID)];
    assert_eq!(new.request(world, &[("msisdn", MSISDN)], &transfer).await.status, 200);
    let code = world.code(IMSI).await;
    new.get(world, &[("OTP", "000")]).await;
    assert_eq!(new.get(world, &[("OTP", &code)]).await.status, 200);
    iccid
}

/// What the SM-DP+ tells, of an order and of none; and how it refuses.
async fn profiles(world: &World, iccid: &str) {
    for (iccid, eid) in [(iccid, OTHER_EID), (UNKNOWN[1], EID)] {
        let progress = HandleDownloadProgressInfoRequest {
            eid: Some(eid.parse().unwrap()),
            iccid: iccid.parse().unwrap(),
            profile_type: String::new(),
            timestamp: Timestamp(crate::world::BEGINNING),
            notification_point_id: NotificationPointId::ENABLE,
            notification_point_status: FunctionExecutionStatus::success(),
            result_data: None,
        };
        let progress = request(&RequestHeader::new("smdp", "1"), &progress);
        world.boss.handle(read_request(progress.as_bytes()).unwrap()).await.unwrap();
    }
    let settings = boss::Settings { contract: false, ..world.boss.settings().clone() };
    let boss = Boss::new(world.database.clone(), Arc::new(Talkative), settings).with_sender(Arc::new(Talkative));
    let order = boss::Request {
        kind: Kind::Primary,
        subscriber: IMSI.parse().unwrap(),
        target: Target { eid: Some(UNKNOWN[3].parse().unwrap()), ..Target::default() },
        share: None,
        language: Language::English,
    };
    boss.request(&order, world.now()).await.unwrap();
    let notice = format!(
        "INSERT INTO boss_notice (id, imsi, application, created_at, attempts, due) VALUES ('1', '{IMSI}', 'ap2009', 0, 0, 0)"
    );
    sqlx::query(sqlx::AssertSqlSafe(notice)).execute(world.database.pool()).await.unwrap();
    boss.advance(world.now()).await.unwrap();
    let codes = OneTimeCodes::new(world.database.clone(), Arc::new(MasterKey::new([9; 32])), Arc::new(Talkative));
    let (imsi, source) = (IMSI.parse().unwrap(), Source::default());
    let to = Addressee { called: MSISDN, subscription: Some(&imsi), source: &source };
    codes.send(Purpose(&["test"]), to, (&SIGN_IN, Language::English), world.now()).await.unwrap();
    codes.send_waiting(world.now() + 100).await.unwrap();
}

/// The service centre, and the portal.
async fn messages_and_pages(world: &World) {
    let settings = smsc::Settings {
        address: sms::Address::international("15550000000").unwrap(),
        time_zone: 0,
        clients: vec![Client::new("operator", "secret")],
        timeouts: Timeouts::default(),
    };
    let centre = Smsc::new(world.database.clone(), Arc::clone(&world.hlr), settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(smsc::serve(centre.clone(), listener, std::future::pending()));
    let esme = Esme::start(EsmeSettings {
        address,
        system_id: "operator".into(),
        password: zeroize::Zeroizing::new("secret".into()),
        source: smsc::Address::international("15550000000"),
        timeouts: Timeouts::default(),
    });
    esme.send(Receiver::Number(&MSISDN.parse().unwrap()), Message::Text("hello")).await.unwrap();
    esme.send(Receiver::Subscription(&OTHER_IMSI.parse().unwrap()), Message::Text("hello")).await.unwrap();
    esme.send(Receiver::Number(&UNKNOWN[2].parse().unwrap()), Message::Text("hello")).await.unwrap_err();
    let attach = |identity: &str| {
        let body = Body::from(format!("{{\"identity\":\"{identity}\"}}"));
        smsc::router(&centre).oneshot(Request::post("/mt/v1/attach").body(body).unwrap())
    };
    for identity in [format!("0{IMSI}@nai.epc"), format!("0{}@nai.epc", UNKNOWN[0])] {
        attach(&identity).await.unwrap();
    }
    let codes = OneTimeCodes::new(world.database.clone(), Arc::new(MasterKey::new([9; 32])), Arc::new(Talkative));
    let portal = portal::Portal::new(
        world.boss.clone(),
        Arc::clone(&world.hlr),
        world.database.clone(),
        codes,
        portal::Settings::default(),
    );
    for path in
        [format!("/care/?number={MSISDN}"), format!("/office/orders/{IMSI}"), format!("/portal/contract?ticket={IMSI}")]
    {
        portal::router(portal.clone()).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    }
}

/// One for all tests of this process.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let filter: Targets = "off,aaa=trace,boss=trace,database=trace,entitlement=trace,hlr=trace,https=trace,network_base=trace,operator=trace,\
         portal=trace,rsp_server=trace,smsc=trace".parse().unwrap();
    let all = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).with_writer(log.clone());
    all.finish().with(filter).init();
    log
});

on_each_database!(nobody_is_named_whole);

async fn nobody_is_named_whole(place: &Place) {
    let log = LOG.clone();
    let mut world = World::with(place, |settings| settings.networks = vec!["00101".into()]).await;
    let iccid = devices(&mut world).await;
    profiles(&world, &iccid).await;
    messages_and_pages(&world).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // It does say what happened, and to whom roughly.
    for said in [
        "entitlement",
        "nobody has the IMSI 00101…",
        "44010…",
        "progress notification matches no order",
        "nothing for 89049… on 89811…",
        "00101… is not wanted",
        "message accepted",
        "EAP_ID and token contradict each other",
    ] {
        assert!(log.contains(said), "{said}");
    }
    let known = [IMSI, ICCID, MSISDN, EID, OTHER_IMSI, OTHER_ICCID, OTHER_MSISDN, OTHER_EID, &iccid, "440101234567890"];
    for identity in known.iter().chain(&UNKNOWN) {
        let line = log.lines().find(|line| line.contains(identity));
        assert_eq!(line, None, "{identity}");
    }
}
