//! All parts of the operator in one process, or some of them.
//!
//! The parts meet in the database and, over their protocols, with whatever counterpart the configuration names: another
//! process of the same, or somebody else's. Several processes may run the same part on one PostgreSQL.
//!
//! | part | listener |
//! |---|---|
//! | [`Part::Entitlement`] | TS.43 at `/`, HTTPS; for a browser, a page that says so |
//! | [`Part::Portal`] | `/portal/…`, `/care/…`, HTTPS; `/office/…`, HTTPS, at a listener of its own |
//! | [`Part::Boss`] | ES2+ progress, HTTPS with certificates on both sides; a worker for unfinished orders |
//! | [`Part::Smsc`] | SMPP; `/mt/v1/…` over HTTPS for phones |
//! | [`Part::Hlr`] | `/hlr/…` over plain HTTP, for the operator's own network |
//! | [`Part::Radius`] | RADIUS, UDP |
//! | [`Part::EapSimDb`] | unix datagram socket |
//! | always | `/healthz`, `/readyz`, `/metrics` over plain HTTP, for the operator's own network |
//!
//! Listeners without TLS check which host name was called, and the internal one refuses requests of web pages: [`Hosts`](network_base::hosts::Hosts).

mod assembly;
mod config;
pub mod listeners;
mod watched;

use core::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use boss::Boss;
use hlr::Hlr;
use https::TlsError;
use identities::Discreet;
use network_base::BoxFuture;
use network_base::database::Database;
use network_base::otp::OneTimeCodes;
use network_base::sender::{Message, Receiver, SmsError, SmsSender};
use serde::Serialize;
use smsc::{Esme, EsmeSettings};
use system::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

pub use config::{Config, Listen, Part, ProgressListener, SmsClient, UnknownPart};

use crate::health::Health;
use assembly::{Assembly, PARTS};

/// Shutdown timeout: parts get this long to finish running work.
const GRACE: Duration = Duration::from_secs(10);

/// Why an operator does not start, or ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken, or not of this machine.
    #[error(
        "cannot listen for {name} at {at}: {cause}; end what is there already, or choose {}",
        listeners::elsewhere(name)
    )]
    Listen {
        /// The listener's name: one of [`listeners`].
        name: &'static str,
        /// The address or path that was configured.
        at: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Certificate and key do not fit, or one cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A part failed while it ran.
    #[error("{part} has ended: {cause}")]
    Ended {
        /// The part's name.
        part: &'static str,
        /// The error it ended with.
        cause: String,
    },
}

/// An open listener. In JSON its name is `listener`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// What is spoken there.
    #[serde(rename = "listener")]
    pub name: &'static str,
    /// `HOST:PORT`, or a path.
    pub at: String,
}

/// A running operator. Dropping it stops it at once; [`Operator::shutdown`] lets it finish what it is at.
pub struct Operator {
    listening: Vec<Listening>,
    base_url: String,
    database: Database,
    hlr: Arc<Hlr>,
    boss: Boss,
    health: Health,
    stop: watch::Sender<bool>,
    tasks: JoinSet<(&'static str, io::Result<()>)>,
}

/// Starts an operator, and returns once all its listeners are open. It runs until told to stop.
pub async fn serve(config: Config) -> Result<Operator, ServeError> {
    let mut assembly = Assembly::new(config).await?;
    for (part, start) in PARTS {
        if assembly.runs(part) {
            start(&mut assembly);
        }
    }
    Ok(assembly.finish())
}

/// A client of the service centre at this address; without one, nothing can be sent.
fn sender(client: &SmsClient, address: Option<String>) -> Arc<dyn SmsSender> {
    let Some(address) = address else { return Arc::new(NoServiceCentre) };
    let SmsClient { system_id, password, source, .. } = client.clone();
    Arc::new(Esme::start(EsmeSettings { address, system_id, password, source, timeouts: smsc::Timeouts::default() }))
}

/// In place of a service centre where nobody has named one.
struct NoServiceCentre;

impl SmsSender for NoServiceCentre {
    fn send<'a>(&'a self, _: Receiver<'a>, _: Message<'a>) -> BoxFuture<'a, Result<(), SmsError>> {
        Box::pin(async { Err(SmsError::Unavailable("none is run here, and none elsewhere is named".into())) })
    }
}

/// Periodically resumes unfinished work: orders, notices and codes independently, as each waits for a peer that may be
/// slow.
async fn work(
    boss: Boss,
    codes: OneTimeCodes,
    clock: Clock,
    round: Duration,
    stopped: impl Future<Output = ()>,
) -> io::Result<()> {
    let orders = rounds(&clock, round, "orders", |now| {
        let boss = boss.clone();
        async move { boss.advance_orders(now).await }
    });
    let notices = rounds(&clock, round, "notices", |now| {
        let boss = boss.clone();
        async move { boss.send_notices(now).await }
    });
    let codes = rounds(&clock, round, "codes", |now| {
        let codes = codes.clone();
        async move { codes.send_waiting(now).await }
    });
    tokio::select! {
        () = stopped => Ok(()),
        (never, ..) = async { tokio::join!(orders, notices, codes) } => match never {},
    }
}

/// One kind of work, round by round.
async fn rounds<E: core::fmt::Display, W: Future<Output = Result<usize, E>>>(
    clock: &Clock,
    round: Duration,
    kind: &'static str,
    work: impl Fn(u64) -> W,
) -> Infallible {
    let mut rounds = interval(round);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match work(clock()).await {
            Ok(0) => {}
            Ok(done) => tracing::debug!(kind, done, "unfinished work"),
            Err(error) => tracing::warn!(kind, error = %Discreet(&error), "unfinished work"),
        }
    }
}

impl Operator {
    /// The open listeners.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Address or path of the listener of this name.
    pub fn listening_at(&self, name: &str) -> Option<&str> {
        self.listening.iter().find(|listening| listening.name == name).map(|listening| listening.at.as_str())
    }

    /// Where phones and browsers reach it.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The business support system.
    pub fn boss(&self) -> &Boss {
        &self.boss
    }

    /// The register.
    pub fn hlr(&self) -> &Arc<Hlr> {
        &self.hlr
    }

    /// Waits until a part ends by itself, which none should.
    pub async fn ended(&mut self) -> ServeError {
        match self.tasks.join_next().await {
            Some(Ok((part, outcome))) => {
                let cause = outcome.err().map_or_else(|| "nobody told it to".to_owned(), |error| error.to_string());
                ServeError::Ended { part, cause }
            }
            Some(Err(error)) => ServeError::Ended { part: "a part", cause: error.to_string() },
            None => core::future::pending().await,
        }
    }

    /// Takes nothing new, lets what is under way finish, closes the database.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let finish = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(GRACE, finish).await.is_err() {
            tracing::warn!("shutdown timeout: what is still running is aborted");
            self.tasks.shutdown().await;
        }
        self.database.close().await;
        tracing::info!("stopped");
    }

    /// Serves a router, and with it the parts of these names.
    fn run_https(
        &mut self,
        parts: &[&'static str],
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        proxies: Arc<[IpAddr]>,
        router: Router,
    ) {
        let mut parts = parts.iter().copied();
        let first = parts.next().unwrap_or_default();
        let others: Vec<_> = parts.map(|part| self.health.alive(part)).collect();
        let stopped = self.told_to_stop();
        self.run(first, async move {
            https::serve_behind(proxies, listener, tls, router, stopped).await;
            drop(others);
            Ok(())
        });
    }

    fn run(&mut self, part: &'static str, task: impl Future<Output = io::Result<()>> + Send + 'static) {
        let alive = self.health.alive(part);
        self.tasks.spawn(async move {
            let outcome = task.await;
            drop(alive);
            (part, outcome)
        });
    }

    /// Also when nobody is left who could tell.
    fn told_to_stop(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopped = self.stop.subscribe();
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use boss::{Answer, Call, NoProfileServer, ProfileServer, ServerError};
    use hlr::MasterKey;
    use network_base::BoxFuture;

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Semaphore;
    use zeroize::Zeroizing;

    async fn get(at: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn health_of(operator: &Operator) -> String {
        get(operator.listening_at("health and metrics").unwrap(), "/healthz").await
    }

    async fn config() -> Config {
        let sms = SmsClient {
            address: None,
            system_id: "operator".into(),
            password: Zeroizing::new("secret".into()),
            source: smsc::Address::international("15550000000"),
        };
        let centre = smsc::Settings {
            address: sms::Address::international("15550000000").unwrap(),
            time_zone: 0,
            clients: Vec::new(),
            timeouts: smsc::Timeouts::default(),
        };
        let database = Database::open(":memory:").await.unwrap();
        let boss = boss::Settings::new("Companion", "smdp.example");
        Config::new(database, MasterKey::new([1; 32]), Arc::new(NoProfileServer("nobody")), boss, centre, sms)
    }

    #[tokio::test]
    async fn health_and_metrics() {
        let operator = serve(config().await).await.unwrap();
        let at = operator.listening_at("health and metrics").unwrap().to_owned();
        let health = get(&at, "/healthz").await;
        assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""radius":"ok""#), "{health}");
        assert!(get(&at, "/healthz/radius").await.starts_with("HTTP/1.1 200"));
        assert!(get(&at, "/healthz/moon").await.starts_with("HTTP/1.1 404"));
        let metrics = get(&at, "/metrics").await;
        assert!(metrics.contains("vuicc_up{part=\"database\"} 1"), "{metrics}");
        assert!(
            metrics.contains("vuicc_http_requests_total{part=\"health\",method=\"GET\",status=\"4xx\"}"),
            "{metrics}"
        );
        operator.database.close().await;
        assert!(get(&at, "/healthz").await.starts_with("HTTP/1.1 503"));
        operator.shutdown().await;
        assert!(TcpStream::connect(&at).await.is_err());
    }

    /// A subscriber of the operator's.
    async fn subscribed(hlr: &Hlr) -> hlr::Subscription {
        let subscription = hlr::Subscription {
            imsi: "001010000000001".parse().unwrap(),
            iccid: "8981100000000000010".parse().unwrap(),
            msisdn: Some("81901234567".parse().unwrap()),
            eid: None,
            status: hlr::Status::Active,
        };
        let by = hlr::Change::by("test");
        let credentials = hlr::Credentials::milenage([1; 16], [2; 16]);
        hlr.add(&subscription, &credentials, &by).await.unwrap();
        subscription
    }

    /// What they order for this eUICC.
    fn order(subscription: &hlr::Subscription, eid: &str) -> boss::Request {
        boss::Request {
            kind: boss::Kind::Companion,
            subscriber: subscription.imsi.clone(),
            target: boss::Target { eid: Some(eid.parse().unwrap()), ..boss::Target::default() },
            share: None,
            language: network_base::language::Language::English,
        }
    }

    /// An unreachable SM-DP+ is reported, and no reason to restart the operator.
    #[tokio::test]
    async fn whether_the_smdp_answers_is_told() {
        let boss = boss::Settings { contract: false, ..boss::Settings::new("Companion", "smdp.example") };
        let operator = serve(Config { boss, clock: Arc::new(|| 1000), ..config().await }).await.unwrap();
        let at = operator.listening_at("health and metrics").unwrap().to_owned();
        let unknown = r#""counterparts":{"smdp":{"state":"unknown"}}"#;
        for path in ["/healthz", "/readyz", "/healthz/smdp"] {
            let told = get(&at, path).await;
            assert!(told.starts_with("HTTP/1.1 200") && told.contains(unknown), "{told}");
        }
        assert!(!get(&at, "/metrics").await.contains("counterpart"));
        let subscription = subscribed(operator.hlr()).await;
        let order = order(&subscription, "89049032000001000000000012345652");
        operator.boss().request(&order, 1000).await.unwrap();
        let down =
            r#""smdp":{"state":"down","since":"1970-01-01T00:16:40Z","last_call":"1970-01-01T00:16:40Z","cause":"#;
        for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/healthz/smdp", 503), ("/healthz/boss", 200)] {
            let told = get(&at, path).await;
            assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {told}");
            assert_eq!(told.contains(down), !path.ends_with("boss"), "{path}: {told}");
        }
        let metrics = get(&at, "/metrics").await;
        for line in [
            "vuicc_counterpart_up{counterpart=\"smdp\"} 0",
            "vuicc_counterpart_since_timestamp_seconds{counterpart=\"smdp\"} 1000",
            "vuicc_es2plus_calls_total{function=\"download_order\",outcome=\"failed\"}",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        operator.shutdown().await;
    }

    /// A device's requests are answered as before; a person's get a page, and the way to self-care where there is one.
    #[tokio::test]
    async fn a_browser_gets_a_page() {
        let care = r#"href="/care/""#;
        for (parts, portal_url, link) in [
            (&Part::ALL[..], None, Some(care)),
            (&[Part::Portal], None, Some(care)),
            (&[Part::Entitlement], Some("https://portal.example"), Some(r#"href="https://portal.example/care/""#)),
            (&[Part::Entitlement], None, None),
        ] {
            let parts = parts.iter().copied().collect();
            let config = Config { parts, portal_url: portal_url.map(str::to_owned), ..config().await };
            let operator = serve(config).await.unwrap();
            let at = operator.listening_at("HTTPS").unwrap().to_owned();
            let page = get(&at, "/").await;
            assert!(page.starts_with("HTTP/1.1 200") && page.contains("Content-Security-Policy: "), "{page}");
            assert!(page.contains("<h1>The eSIM service of vuicc mobile</h1>"), "{page}");
            assert_eq!(page.contains("/care/"), link.is_some(), "{page}");
            assert!(link.is_none_or(|link| page.contains(link)) && !page.contains("/office"), "{page}");
            let japanese = get(&at, "/?lang=ja").await;
            assert!(japanese.contains("<html lang=\"ja\">") && japanese.contains("ブラウザー"), "{japanese}");
            assert!(get(&at, "/portal/style.css").await.starts_with("HTTP/1.1 200"));
            if health_of(&operator).await.contains("entitlement") {
                let device = get(&at, "/?app=ap2006").await;
                assert!(device.starts_with("HTTP/1.1 400") && !device.contains("<h1>"), "{device}");
            }
            operator.shutdown().await;
        }
    }

    /// Only the office listener serves the operator's page; listeners without TLS check the host name.
    #[tokio::test]
    async fn each_listener_serves_its_own_callers() {
        let office = vec![portal::OfficeKey::new("correct horse battery staple").unwrap()];
        let portal = portal::Settings { office, ..portal::Settings::default() };
        let listen = Listen { names: vec!["metrics.example".to_owned()], ..Listen::default() };
        let base_url = Some("https://aes.example:9443".to_owned());
        let operator = serve(Config { listen, base_url, portal, ..config().await }).await.unwrap();
        let [https, internal, office] = ["HTTPS", "health and metrics", "operator's page"]
            .map(|listener| operator.listening_at(listener).unwrap().to_owned());
        assert!(get(&office, "/office/sign-in").await.starts_with("HTTP/1.1 200"));
        assert!(get(&office, "/").await.to_lowercase().contains("location: /office/"));
        assert!(get(&office, "/care/sign-in").await.starts_with("HTTP/1.1 404"));
        for path in ["/office", "/office/", "/office/sign-in", "/office/orders/x"] {
            let page = get(&https, path).await;
            assert!(page.starts_with("HTTP/1.1 404"), "{path}: {page}");
        }
        let called = async |at: &str, headers: &str| {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let path = if at == internal { "/hlr/contact" } else { "/care/sign-in" };
            let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer.split(' ').nth(1).unwrap().to_owned()
        };
        for (at, host, status) in [
            (&internal, "evil.example:9080", "421"),
            (&internal, "metrics.example", "405"),
            (&internal, "127.0.0.1:9080", "405"),
            (&https, "evil.example", "421"),
            (&https, "aes.example:9443", "200"),
            (&office, "evil.example", "421"),
        ] {
            assert_eq!(called(at, &format!("Host: {host}")).await, status, "{host}");
        }
        for (headers, status) in [
            ("Accept: */*", "400"),
            ("Host: 127.0.0.1\r\nHost: evil.example", "400"),
            ("Host: [::1", "400"),
            ("Host: 127.0.0.1:99999", "400"),
        ] {
            for at in [&internal, &https, &office] {
                assert_eq!(called(at, headers).await, status, "{headers}");
            }
        }
        assert_eq!(called(&internal, "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1").await, "403");
        operator.shutdown().await;
    }

    /// Beyond this machine a plain listener checks names where they were told, as any may be a proxy's.
    #[tokio::test]
    async fn a_plain_listener_beyond_this_machine() {
        for (names, status) in [(vec![], "404"), (vec!["proxy.example".to_owned()], "421")] {
            let listen = Listen { https: ([0, 0, 0, 0], 0).into(), names, ..Listen::default() };
            let base_url = Some("https://aes.example".to_owned());
            let operator = serve(Config { listen, base_url, ..config().await }).await.unwrap();
            let at = operator.listening_at("HTTPS").unwrap().replace("0.0.0.0", "127.0.0.1");
            for (host, status) in [("evil.example", status), ("proxy.example", "404"), ("aes.example", "404")] {
                let mut stream = TcpStream::connect(&at).await.unwrap();
                let request = format!("GET /nothing HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
            }
            operator.shutdown().await;
        }
    }

    #[tokio::test]
    async fn only_parts_that_order_need_the_smdp() {
        let operator = serve(Config { parts: [Part::Radius].into(), ..config().await }).await.unwrap();
        let at = operator.listening_at("health and metrics").unwrap().to_owned();
        let health = get(&at, "/healthz").await;
        assert!(!health.contains("counterparts"), "{health}");
        operator.shutdown().await;
    }

    #[tokio::test]
    async fn a_part_runs_alone_and_taken_addresses_are_named() {
        let one = serve(Config { parts: [Part::Radius].into(), ..config().await }).await.unwrap();
        assert_eq!(one.listening().len(), 2);
        let taken = one.listening_at("RADIUS").unwrap().parse().unwrap();
        let other = Config { listen: Listen { radius: taken, ..Listen::default() }, ..config().await };
        let Err(error) = serve(other).await else { panic!("two servers on one port") };
        assert!(error.to_string().starts_with(&format!("cannot listen for RADIUS at {taken}: ")), "{error}");
        one.shutdown().await;
    }

    /// An SM-DP+, or a service centre, that takes a call and never answers.
    struct Silent {
        called: Semaphore,
    }

    impl Silent {
        fn silence<T: Send + 'static>(&self) -> BoxFuture<'_, T> {
            self.called.add_permits(1);
            Box::pin(core::future::pending())
        }

        /// Waits for so many calls.
        async fn called(&self, times: u32) {
            self.called.acquire_many(times).await.unwrap().forget();
        }
    }

    impl ProfileServer for Silent {
        fn call<'a>(&'a self, _: &'a str, _: &'a Call) -> BoxFuture<'a, Result<Answer, ServerError>> {
            self.silence()
        }
    }

    impl SmsSender for Silent {
        fn send<'a>(&'a self, _: Receiver<'a>, _: Message<'a>) -> BoxFuture<'a, Result<(), SmsError>> {
            self.silence()
        }
    }

    /// Each counterpart is called, even if another does not answer.
    #[tokio::test]
    async fn one_that_is_slow_does_not_hold_up_the_others() {
        let database = Database::open(":memory:").await.unwrap();
        let key = || MasterKey::new([1; 32]);
        let hlr = Hlr::new(database.clone(), key());
        let subscription = subscribed(&hlr).await;
        let settings = boss::Settings { contract: false, ..boss::Settings::new("Companion", "smdp.example") };
        // What is left over: two orders, a notice, a code that did not get away.
        let absent = Boss::new(database.clone(), Arc::new(NoProfileServer("nobody")), settings.clone());
        for eid in ["89049032000001000000000012345652", "89049032123451234512345678901235"] {
            absent.request(&order(&subscription, eid), 1000).await.unwrap();
        }
        let notice = "INSERT INTO boss_notice (id, imsi, application, created_at, attempts, due) \
                      VALUES ('1', '001010000000001', 'ap2009', 1000, 0, 1000)";
        sqlx::query(notice).execute(database.pool()).await.unwrap();
        let [orders, notices, codes] = [(); 3].map(|()| Arc::new(Silent { called: Semaphore::new(0) }));
        let away = OneTimeCodes::new(database.clone(), Arc::new(key()), Arc::new(NoServiceCentre));
        let source = network_base::source::Source::default();
        let to = network_base::otp::Addressee {
            called: "81901234567",
            subscription: Some(&subscription.imsi),
            source: &source,
        };
        let message = (&network_base::otp::SIGN_IN, network_base::language::Language::English);
        away.send(network_base::otp::Purpose(&["test"]), to, message, 1000).await.unwrap();
        let boss =
            Boss::new(database.clone(), Arc::clone(&orders) as _, settings).with_sender(Arc::clone(&notices) as _);
        let waiting = OneTimeCodes::new(database, Arc::new(key()), Arc::clone(&codes) as _);
        let clock: Clock = Arc::new(|| 1100);
        let called = async {
            orders.called(2).await;
            notices.called(1).await;
            codes.called(1).await;
        };
        let round = Duration::from_millis(10);
        work(boss, waiting, clock, round, called).await.unwrap();
    }

    #[test]
    fn parts_have_names() {
        for part in Part::ALL {
            assert_eq!(part.name().parse(), Ok(part));
        }
        assert!("moon".parse::<Part>().unwrap_err().to_string().contains("eap-sim-db"));
    }
}
