//! An operator in one process: register, business support system, authorization server behind real sockets; an SM-DP+
//! made of a list of profiles; and a phone that speaks TS.43 over HTTP/1.1 by hand.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use boss::{Answer, Boss, Call, Decision, ProfileServer, ServerError};
use calendar::Timestamp;
use database::place::Place;
use eap::Method;
use entitlement::{self, Entitlement};
use hlr::{Change, Credentials, Hlr, Lookup, MasterKey, Status, Subscription};
use identities::Iccid;
use network_base::BoxFuture;
use network_base::database::Database;
use network_base::otp::OneTimeCodes;
use network_base::sender::{Message, Receiver, SmsError, SmsSender};
use rsp::es2plus::{
    ConfirmOrderResponse, DownloadOrderResponse, HandleDownloadProgressInfoRequest, NotificationPointId,
};
use rsp::es9::{Empty, FunctionExecutionStatus};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::peer::{IMSI, K, OPC, Peer};

/// The phone's number.
pub(crate) const MSISDN: &str = "81901234567";
/// The phone's UICC.
pub(crate) const ICCID: &str = "8981100000000000010";
/// A second phone with a UICC of its own.
pub(crate) const OTHER_IMSI: &str = "001010000000002";
pub(crate) const OTHER_MSISDN: &str = "81907654321";
pub(crate) const OTHER_ICCID: &str = "8981100000000000028";
/// Two eUICCs.
pub(crate) const EID: &str = "89049032000001000000000012345652";
pub(crate) const OTHER_EID: &str = "89049032123451234512345678901235";
/// IMEIs of phone, watch, and a new phone.
pub(crate) const PHONE: &str = "356938035643809";
pub(crate) const WATCH: &str = "356938035643817";
pub(crate) const NEW_PHONE: &str = "356938035643825";
/// Where the SM-DP+ is.
pub(crate) const SMDP: &str = "smdp.example.com";
/// When the tests begin.
pub(crate) const BEGINNING: u64 = 1_790_000_000;

/// The operator.
pub(crate) struct World {
    pub(crate) hlr: Arc<Hlr>,
    pub(crate) boss: Boss,
    pub(crate) outbox: mpsc::UnboundedReceiver<(String, String)>,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) listeners: Vec<SocketAddr>,
    pub(crate) database: Database,
}

/// An SM-DP+ with some profiles, which does what it is told.
pub(crate) struct Shelf {
    profiles: Mutex<Vec<Iccid>>,
}

impl ProfileServer for Shelf {
    fn call<'a>(&'a self, _: &'a str, call: &'a Call) -> BoxFuture<'a, Result<Answer, ServerError>> {
        let answer = match call {
            Call::DownloadOrder(_) => match self.profiles.lock().unwrap().pop() {
                Some(iccid) => Ok(Answer::DownloadOrder(DownloadOrderResponse { iccid })),
                None => Err(ServerError::Unavailable("no profiles left".into())),
            },
            Call::ConfirmOrder(order) => {
                let matching_id = format!("MID-{}", order.iccid);
                Ok(Answer::ConfirmOrder(ConfirmOrderResponse { eid: None, matching_id, smdp_address: None }))
            }
            Call::ReleaseProfile(_) => Ok(Answer::Done(Empty {})),
            Call::CancelOrder(order) => {
                self.profiles.lock().unwrap().push(order.iccid.clone());
                Ok(Answer::Done(Empty {}))
            }
        };
        Box::pin(async { answer })
    }
}

struct Outbox(mpsc::UnboundedSender<(String, String)>);

impl SmsSender for Outbox {
    fn send<'a>(&'a self, to: Receiver<'a>, message: Message<'a>) -> BoxFuture<'a, Result<(), SmsError>> {
        let to = match to {
            Receiver::Number(msisdn) => msisdn.to_string(),
            Receiver::Subscription(imsi) => imsi.to_string(),
        };
        let said = match message {
            Message::Text(text) => text.to_owned(),
            Message::Data { octets, .. } => String::from_utf8_lossy(octets).into_owned(),
        };
        let _ = self.0.send((to, said));
        Box::pin(async { Ok(()) })
    }
}

impl World {
    /// An operator with usual settings, and two listeners: two authorization servers that share nothing but the
    /// database.
    pub(crate) async fn new(place: &Place) -> Self {
        Self::with(place, |_| {}).await
    }

    /// One with other settings.
    pub(crate) async fn with(place: &Place, adjust: impl Fn(&mut boss::Settings)) -> Self {
        let (sender, outbox) = mpsc::unbounded_channel();
        let sender: Arc<dyn SmsSender> = Arc::new(Outbox(sender));
        let clock = Arc::new(AtomicU64::new(BEGINNING));
        let mut stock = Vec::new();
        let mut parts = Vec::new();
        let mut listeners = Vec::new();
        let shelf = Arc::new(Shelf { profiles: Mutex::default() });
        for _ in 0..2 {
            let database = Database::open(&place.url).await.unwrap();
            let key = || MasterKey::new([9; 32]);
            let hlr = Arc::new(Hlr::new(database.clone(), key()).with_sim_for_usims(true));
            let mut settings = boss::Settings::new("consumer", SMDP);
            adjust(&mut settings);
            let profiles: Arc<dyn ProfileServer> = Arc::clone(&shelf) as _;
            let boss = Boss::new(database.clone(), profiles, settings).with_sender(Arc::clone(&sender));
            let codes = OneTimeCodes::new(database.clone(), Arc::new(key()), Arc::clone(&sender));
            let time = Arc::clone(&clock);
            let entitlement = Entitlement::new(
                database.clone(),
                Arc::new(key()),
                Arc::clone(&hlr),
                boss.clone(),
                codes,
                entitlement::Settings::new("https://op.example.com/"),
                Arc::new(move || time.load(Ordering::SeqCst)),
            );
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listeners.push(listener.local_addr().unwrap());
            let router = entitlement::router(entitlement);
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
            parts.push((database, hlr, boss));
        }
        let (database, hlr, boss) = parts.swap_remove(0);
        let mut add = Vec::from([
            (IMSI.to_owned(), ICCID.parse().unwrap(), Some(MSISDN), Status::Active),
            (OTHER_IMSI.to_owned(), OTHER_ICCID.parse().unwrap(), Some(OTHER_MSISDN), Status::Active),
        ]);
        for n in 0..6 {
            let iccid = Iccid::with_check_digit(&format!("898110000000000{:03}", 100 + n)).unwrap();
            stock.push(iccid.clone());
            add.push((format!("001010000000{}", 100 + n), iccid, None, Status::Provisioned));
        }
        *shelf.profiles.lock().unwrap() = stock;
        let change = Change { by: "test".into(), at: BEGINNING };
        for (imsi, iccid, msisdn, status) in add {
            let msisdn = msisdn.map(|msisdn| msisdn.parse().unwrap());
            let subscription = Subscription { imsi: imsi.parse().unwrap(), iccid, msisdn, eid: None, status };
            hlr.add(&subscription, &Credentials::milenage(K, OPC), &change).await.unwrap();
        }
        Self { hlr, boss, outbox, clock, listeners, database }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The next code sent, which went to this number.
    pub(crate) async fn code(&mut self, to: &str) -> String {
        let (number, text) = self.outbox.recv().await.unwrap();
        assert_eq!(number, to);
        let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).take(6).collect();
        digits.into_iter().collect()
    }

    /// What the user does at the portal.
    pub(crate) async fn decide(&self, user_data: &str, decision: Decision) {
        let ticket = user_data.strip_prefix("ticket=").unwrap().parse().unwrap();
        self.boss.decide(&ticket, decision, self.now()).await.unwrap();
    }

    /// What the SM-DP+ tells: installed, and in use.
    pub(crate) async fn installed_and_enabled(&self, iccid: &str, eid: &str) {
        for point in
            [NotificationPointId::BPP_DOWNLOAD, NotificationPointId::BPP_INSTALLATION, NotificationPointId::ENABLE]
        {
            let progress = HandleDownloadProgressInfoRequest {
                eid: Some(eid.parse().unwrap()),
                iccid: iccid.parse().unwrap(),
                profile_type: String::new(),
                timestamp: Timestamp(self.now()),
                notification_point_id: point,
                notification_point_status: FunctionExecutionStatus::success(),
                result_data: None,
            };
            self.boss.progress(&progress, self.now()).await.unwrap();
        }
        // So that devices are told.
        self.boss.advance(self.now()).await.unwrap();
    }

    /// The IMSIs a call to a number rings.
    pub(crate) async fn rings(&self, msisdn: &str) -> Vec<String> {
        let found = self.hlr.resolve(&msisdn.parse().unwrap()).await.unwrap();
        found.map(|(_, members)| members.iter().map(|member| member.imsi.to_string()).collect()).unwrap_or_default()
    }

    pub(crate) async fn subscription(&self, iccid: &str) -> Subscription {
        let iccid = iccid.parse().unwrap();
        self.hlr.lookup(Lookup::Iccid(&iccid)).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn bar(&self, imsi: &str) {
        let change = Change { by: "test".into(), at: self.now() };
        self.hlr.set_status(&imsi.parse().unwrap(), Status::Barred, &change).await.unwrap();
    }

    /// Everything the database holds as text, for looking for what must not be there.
    pub(crate) async fn rows(&self, table: &str, column: &str) -> Vec<String> {
        let sql = format!("SELECT {column} FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(self.database.pool()).await.unwrap()
    }
}

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.head.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        STANDARD.decode(self.json()["eap-relay-packet"].as_str().unwrap()).unwrap()
    }
}

/// One exchange on a connection of its own, octets as given.
pub(crate) async fn exchange(server: SocketAddr, octets: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(server).await.unwrap();
    // A server that has seen enough may stop reading.
    let _ = stream.write_all(octets).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let head = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    Reply { status: status.unwrap_or_default(), head: head.collect(), body: body.to_owned() }
}

/// A phone: asks, answers challenges, keeps its token.
pub(crate) struct Phone {
    pub(crate) terminal_id: String,
    pub(crate) app: &'static str,
    pub(crate) peer: Peer,
    pub(crate) token: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) accept: String,
    pub(crate) language: String,
    /// Which listener each call uses: the first, or one after another.
    pub(crate) alternates: bool,
    pub(crate) calls: usize,
}

impl Phone {
    pub(crate) fn new(method: Method, app: &'static str) -> Self {
        let mut peer = Peer::new(method);
        let first = if method == Method::Sim { '1' } else { '0' };
        peer.permanent = format!("{first}{IMSI}@nai.epc.mnc001.mcc001.3gppnetwork.org").into_bytes();
        Self {
            terminal_id: PHONE.into(),
            app,
            peer,
            token: None,
            cookie: None,
            accept: "application/json".into(),
            language: "en".into(),
            alternates: false,
            calls: 0,
        }
    }

    fn listener(&mut self, world: &World) -> SocketAddr {
        self.calls += 1;
        world.listeners[if self.alternates { self.calls % world.listeners.len() } else { 0 }]
    }

    fn head(&self) -> String {
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: session={cookie}\r\n")).unwrap_or_default();
        let language = Some(&self.language).filter(|language| !language.is_empty());
        let language = language.map(|language| format!("Accept-Language: {language}\r\n")).unwrap_or_default();
        format!(
            "Host: aes.mnc001.mcc001.pub.3gppnetwork.org\r\nConnection: close\r\nAccept: application/vnd.gsma.eap-relay.v1.0+json, {}\r\n\
             {language}{cookie}",
            self.accept
        )
    }

    /// A GET with these parameters and nothing more.
    pub(crate) async fn get(&mut self, world: &World, parameters: &[(&str, &str)]) -> Reply {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let request = format!("GET /?{} HTTP/1.1\r\n{}\r\n", query.finish(), self.head());
        let reply = exchange(self.listener(world), request.as_bytes()).await;
        self.learn(&reply);
        reply
    }

    /// A POST of this body.
    pub(crate) async fn post(&mut self, world: &World, kind: &str, body: &str) -> Reply {
        let length = body.len();
        let request =
            format!("POST / HTTP/1.1\r\n{}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}", self.head());
        let reply = exchange(self.listener(world), request.as_bytes()).await;
        self.learn(&reply);
        reply
    }

    fn learn(&mut self, reply: &Reply) {
        if let Some(cookie) = reply.header("set-cookie") {
            self.cookie = cookie.split(';').next().unwrap().split_once('=').map(|(_, value)| value.to_owned());
        }
        if let Ok(document) = serde_json::from_str::<Value>(&reply.body)
            && let Some(token) = document["Token"]["token"].as_str()
        {
            self.token = Some(token.to_owned());
        }
    }

    /// What every request of this phone has.
    pub(crate) fn common(&self) -> Vec<(&'static str, String)> {
        vec![
            ("app", self.app.to_owned()),
            ("terminal_id", self.terminal_id.clone()),
            ("terminal_vendor", "Acme".to_owned()),
            ("entitlement_version", "12.0".to_owned()),
            ("vers", "1".to_owned()),
        ]
    }

    /// A request with what is common, `proof`, and `parameters`.
    pub(crate) async fn request(
        &mut self,
        world: &World,
        proof: &[(&str, &str)],
        parameters: &[(&str, &str)],
    ) -> Reply {
        let common = self.common();
        let common: Vec<(&str, &str)> = common.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.get(world, &[&common, proof, parameters].concat()).await
    }

    /// Sends an EAP packet.
    pub(crate) async fn relay(&mut self, world: &World, packet: &[u8]) -> Reply {
        let body = format!("{{\"eap-relay-packet\":\"{}\"}}", STANDARD.encode(packet));
        self.post(world, "application/vnd.gsma.eap-relay.v1.0+json", &body).await
    }

    /// The answer to a request that the card proves: of whatever status.
    pub(crate) async fn by_card(&mut self, world: &World, parameters: &[(&str, &str)]) -> Reply {
        let identity = String::from_utf8(self.peer.begin()).unwrap();
        let mut reply = self.request(world, &[("EAP_ID", &identity)], parameters).await;
        for _ in 0..4 {
            let is_packet = reply.status == 200 && reply.body.contains("eap-relay-packet");
            if !is_packet {
                break;
            }
            let answer = self.peer.respond(&reply.packet());
            reply = self.relay(world, &answer).await;
        }
        reply
    }

    /// The answer to a request that the token proves.
    pub(crate) async fn by_token(&mut self, world: &World, parameters: &[(&str, &str)]) -> Reply {
        let token = self.token.clone().expect("a token");
        self.request(world, &[("token", &token)], parameters).await
    }

    /// The section of the document, by token if there is one, else by card; it has to be a document.
    pub(crate) async fn ask(&mut self, world: &World, parameters: &[(&str, &str)]) -> Value {
        let reply = match self.token {
            Some(_) => self.by_token(world, parameters).await,
            None => self.by_card(world, parameters).await,
        };
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()[self.app].take()
    }
}
