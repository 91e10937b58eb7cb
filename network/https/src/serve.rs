//! A router behind a listener: TLS handshakes, HTTP/1.1, as many connections as there are places, an orderly end.

use core::cmp;
use core::convert::Infallible;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::broken::HangUp;
use crate::host;
use crate::pace::{Paced, SEND_BUFFER};
use crate::places::{Full, Place, Places, Whose};

/// A client has this long for its TLS handshake, again for the head of each request, and again for the body.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Shutdown timeout: open connections get this long.
const GRACE: Duration = Duration::from_secs(5);
/// Requests of one connection; with the answer to the last of them it is closed, and the client may open another.
const MOST_REQUESTS: u32 = 1000;
/// Octets of requests that are read ahead of being answered.
const READ_AHEAD: usize = 64 * 1024;

/// Extension of each request: the certificate (DER) the client showed, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// Extension of each request: where it comes from: its connection, or as a trusted proxy says, then without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

impl PeerAddress {
    /// Whether it is a trusted proxy that says so.
    pub fn is_as_told(self) -> bool {
        self.0.port() == 0
    }

    /// What tells one host from others: its address; of IPv6 its network, as it has as many addresses there as it likes.
    pub fn network(self) -> IpAddr {
        network_of(self.0.ip())
    }
}

/// The same of an address.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

/// Serves until `stop` is done; then requests under way may finish, for a few seconds. Without TLS it speaks plain HTTP.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, stop: impl Future<Output = ()>) {
    serve_behind(Arc::default(), listener, tls, router, stop).await;
}

/// The same behind proxies: X-Forwarded-For from these addresses is trusted, and they may have all connections.
pub async fn serve_behind(
    proxies: Arc<[IpAddr]>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    serve_on(Places::default(), proxies, listener, tls, router, stop).await;
}

async fn serve_on(
    places: Places,
    proxies: Arc<[IpAddr]>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    // Its connections inherit it.
    if let Err(error) = SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER) {
        tracing::warn!(%error, "slow clients may be taken for ones that do not read");
    }
    let connections = GracefulShutdown::new();
    let strangers = Arc::new(Strangers::default());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, most likely: the next one may fare better.
                tracing::warn!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let taken = tokio::select! {
            taken = place(&places, &proxies, PeerAddress(from)) => taken,
            () = &mut stop => break,
        };
        let Some(place) = taken else {
            tracing::debug!(%from, "closed: too many connections from there");
            continue;
        };
        tracing::debug!(%from, "connection");
        let from = Origin { connection: PeerAddress(from), proxies: Arc::clone(&proxies) };
        let (router, watcher, tls) = (router.clone(), connections.watcher(), tls.clone());
        let strangers = Arc::clone(&strangers);
        tokio::spawn(async move {
            let (given_up, place) = (place.given_up(), Arc::new(place));
            tokio::select! {
                ended = connection(stream, from, tls.map(|tls| (tls, strangers)), router, (watcher, place)) => if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                },
                () = given_up.notified() => tracing::debug!("closed: evicted for another client"),
            }
        });
    }
    drop(listener);
    if timeout(GRACE, connections.shutdown()).await.is_err() {
        tracing::warn!("aborting open connections");
    }
}

/// A place, once there is one; nothing if this network has its share, and is being answered on all of it.
async fn place(places: &Places, proxies: &[IpAddr], from: PeerAddress) -> Option<Place> {
    let address = from.0.ip().to_canonical();
    let whose = if proxies.contains(&address) { Whose::Proxy(address) } else { Whose::Network(from.network()) };
    loop {
        match places.take(whose) {
            Ok(place) => return Some(place),
            Err(Full::Share) => return None,
            Err(Full::All) => places.freed().await,
        }
    }
}

type Error = Box<dyn core::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    from: Origin,
    tls: Option<(TlsAcceptor, Arc<Strangers>)>,
    router: Router,
    (watcher, place): (Watcher, Arc<Place>),
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let stream = Paced::new(stream);
    let requests = AtomicU32::new(0);
    let Some((acceptor, strangers)) = tls else {
        let peer = Peer { origin: from, certificate: None, is_tls: false, place, requests };
        return http(stream, router, peer, watcher).await;
    };
    let stream = match timeout(TIMEOUT, acceptor.accept(stream)).await? {
        Ok(stream) => stream,
        Err(error) => {
            strangers.refused(from.connection, &error);
            return Err(error.into());
        }
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(|shown| shown.first());
    let certificate = shown.map(|certificate| PeerCertificate(certificate.as_ref().into()));
    http(stream, router, Peer { origin: from, certificate, is_tls: true, place, requests }, watcher).await
}

/// Log lines within a minute about failed TLS handshakes: anybody can cause any number of them.
const STRANGERS_TOLD: u32 = 20;
/// So long those are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Failed TLS handshakes: clients without the certificate that is asked for, most of them, or with one of another issuer.
#[derive(Default)]
struct Strangers {
    /// Since when they are counted, and how many there were.
    counted: Mutex<Option<(Instant, u32)>>,
}

impl Strangers {
    /// Tells of one, if not too many came before.
    fn refused(&self, from: PeerAddress, error: &io::Error) {
        let from = from.0.ip().to_canonical();
        // A client that only probes the port and hangs up has not been refused.
        let has_left =
            matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        match if has_left { LogLine::No } else { self.count(Instant::now()) } {
            LogLine::No => tracing::debug!(%from, %error, "no TLS"),
            LogLine::One => tracing::info!(%from, %error, "TLS handshake failed"),
            LogLine::Last => {
                tracing::info!(%from, %error, "TLS handshake failed; further ones within a minute are logged at level debug");
            }
        }
    }

    fn count(&self, now: Instant) -> LogLine {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = counted.filter(|(since, _)| now.duration_since(*since) < MINUTE).unwrap_or((now, 0));
        *counted = Some((since, before.saturating_add(1)));
        match (before + 1).cmp(&STRANGERS_TOLD) {
            cmp::Ordering::Less => LogLine::One,
            cmp::Ordering::Equal => LogLine::Last,
            cmp::Ordering::Greater => LogLine::No,
        }
    }
}

/// Whether there is a line about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogLine {
    One,
    Last,
    No,
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    peer: Peer,
    watcher: Watcher,
) -> Result<(), Error> {
    let service = WithPeer { inner: TowerToHyperService::new(router), peer: Arc::new(peer) };
    let mut http = http1::Builder::new();
    // Title case, because clients have been seen that do not find headers in lower case.
    http.timer(TokioTimer::new()).header_read_timeout(TIMEOUT).max_buf_size(READ_AHEAD).title_case_headers(true);
    Ok(watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await?)
}

/// Tells each request who is at the other end of its connection.
struct WithPeer {
    inner: TowerToHyperService<Router>,
    peer: Arc<Peer>,
}

/// The peer of a connection, and how much it has used of it.
struct Peer {
    origin: Origin,
    certificate: Option<PeerCertificate>,
    is_tls: bool,
    place: Arc<Place>,
    requests: AtomicU32,
}

/// Where the requests of a connection come from.
struct Origin {
    connection: PeerAddress,
    proxies: Arc<[IpAddr]>,
}

impl Origin {
    /// Each proxy appends its peer; the last address that is no trusted proxy is the client's.
    fn of(&self, headers: &HeaderMap) -> PeerAddress {
        let is_proxy = |address: &IpAddr| self.proxies.contains(&address.to_canonical());
        if !is_proxy(&self.connection.0.ip()) {
            return self.connection;
        }
        let said = headers.get_all("x-forwarded-for").iter().rev();
        let said = said.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let heard = said.map(|text| text.trim().parse().ok()).find(|address| !address.as_ref().is_some_and(is_proxy));
        heard.flatten().map_or(self.connection, |address| PeerAddress(SocketAddr::new(address, 0)))
    }
}

impl Service<hyper::Request<Incoming>> for WithPeer {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        let peer = Arc::clone(&self.peer);
        let from = peer.origin.of(request.headers());
        request.extensions_mut().insert(from);
        if let Some(certificate) = &peer.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        let is_site = peer.is_tls && is_site(request.headers());
        let is_last = peer.requests.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_REQUESTS;
        // Until the request is here whole it is the client who is waited for.
        if request.body().is_end_stream() {
            peer.place.answers();
        } else {
            peer.place.waits();
        }
        let request = request.map(|inner| Body::new(Arriving { inner, place: Arc::clone(&peer.place) }));
        let answer = match host::called(&request) {
            Ok(_) => Ok(self.inner.call(request)),
            Err(error) => Err(error),
        };
        Box::pin(async move {
            let mut answer = match answer {
                Ok(answer) => answer.await?,
                Err(error) => {
                    tracing::info!(%error, "refused");
                    (StatusCode::BAD_REQUEST, [(header::CONNECTION, "close")], format!("{error}.\n")).into_response()
                }
            };
            if answer.extensions().get::<HangUp>().is_some() {
                peer.place.given_up().notify_one();
                return core::future::pending().await;
            }
            if is_last {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if is_site && is_page(answer.headers()) {
                answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ALWAYS_TLS));
            }
            peer.place.waits();
            Ok(answer)
        })
    }
}

/// A body; its connection is being answered from the end of it on.
struct Arriving {
    inner: Incoming,
    place: Arc<Place>,
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        let is_last = matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream();
        if frame.is_ready() && is_last {
            self.place.answers();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// For a year browsers are to come with TLS, whatever a link says. RFC 6797
const ALWAYS_TLS: &str = "max-age=31536000";

/// Whether a browser came by a name that is ours for more than this: what it is told of the machine it runs on would
/// hold for every other server there.
fn is_site(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.').to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost");
    !is_local && !name.starts_with('[') && name.parse::<IpAddr>().is_err()
}

/// Whether an answer is one for browsers.
fn is_page(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Whole;
    use axum::routing::{get, post};
    use socket2::{Domain, Socket, Type};
    use std::io::{Read, Write};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Says something, and hears what the server says until it hangs up.
    async fn heard(at: SocketAddr, said: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn networks() {
        let of = |address: &str| network_of(address.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }

    #[test]
    fn what_proxies_say() {
        let proxies: Arc<[IpAddr]> = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap()).into();
        let of = |connection: &str, said: &[&'static str]| {
            let connection = PeerAddress(SocketAddr::new(connection.parse().unwrap(), 9));
            let headers = said.iter().map(|line| ("x-forwarded-for".parse().unwrap(), line.parse().unwrap())).collect();
            Origin { connection, proxies: Arc::clone(&proxies) }.of(&headers).0.ip().to_string()
        };
        assert_eq!(of("198.51.100.1", &["203.0.113.1"]), "198.51.100.1", "only proxies are trusted");
        assert_eq!(of("::ffff:192.0.2.1", &["203.0.113.9, 203.0.113.1"]), "203.0.113.1", "nor what was said before");
        assert_eq!(of("192.0.2.1", &["203.0.113.9", "203.0.113.1, 192.0.2.2"]), "203.0.113.1");
        assert_eq!(of("192.0.2.1", &["2001:db8::1"]), "2001:db8::1");
        for nothing in [&[][..], &["192.0.2.2"], &["203.0.113.1, unknown"], &[""]] {
            assert_eq!(of("192.0.2.1", nothing), "192.0.2.1", "{nothing:?}");
        }
    }

    /// Places of the server here, so that a few clients take them all.
    const MOST: usize = 32;
    const MOST_OF_ONE: usize = 8;
    const WHOLE: &str = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull";

    /// A server that tells how long a body was, and has something long to say.
    async fn started() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let length = async |Whole(body): Whole| body.len().to_string();
        let router = Router::new().route("/", post(length)).route("/long", get(async || "x".repeat(64 * 1024)));
        let places = Places::new(MOST, MOST_OF_ONE);
        tokio::spawn(serve_on(places, Arc::default(), listener, None, router, core::future::pending()));
        at
    }

    /// A connection from an address of this machine.
    async fn connected(from: &str, at: SocketAddr) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(at).await.unwrap()
    }

    async fn is_served(from: &str, at: SocketAddr) {
        let mut honest = connected(from, at).await;
        honest.write_all(WHOLE.as_bytes()).await.unwrap();
        let mut answer = String::new();
        honest.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\n4"), "{from}: {answer}");
    }

    /// Whatever others hold on to, and from however many addresses: silence, half a request, answers they do not take.
    #[tokio::test]
    async fn idle_connections_block_nobody() {
        let at = started().await;
        let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf".to_owned();
        let pipelined = "GET /long HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
        let mut held = Vec::new();
        for (number, said) in ["", "POST / HTTP/1.1\r\nHost", &half, &pipelined].into_iter().enumerate() {
            for _ in 0..2 * MOST_OF_ONE {
                let mut stream = connected(&format!("127.0.0.{}", number + 2), at).await;
                // One that was closed meanwhile has had its say.
                let _ = tokio::time::timeout(Duration::from_millis(20), stream.write_all(said.as_bytes())).await;
                held.push(stream);
            }
            is_served("127.0.0.100", at).await;
            // Nor those who share the address.
            is_served(&format!("127.0.0.{}", number + 2), at).await;
        }
        for number in 0..2 * MOST {
            held.push(connected(&format!("127.0.1.{}", 1 + number), at).await);
        }
        is_served("127.0.0.100", at).await;
        is_served("127.0.0.100", at).await;
    }

    /// It takes as long as a client is given to take what it asked for.
    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let at = started().await;
        let mut unresponsive = connected("127.0.0.1", at).await;
        unresponsive.write_all("GET /long HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100).as_bytes()).await.unwrap();
        let began = tokio::time::Instant::now();
        loop {
            // Whatever is said to one that is gone fails.
            tokio::time::sleep(Duration::from_millis(100)).await;
            if unresponsive.write_all(b"\r\n").await.is_err() {
                break;
            }
            assert!(began.elapsed() < 6 * TIMEOUT, "it is still there");
        }
    }

    /// At a kilobyte a second, whatever the operating system keeps of the answer meanwhile. The clock goes on by what was
    /// read, and stands still while a thread is at it.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_gets_everything() {
        const SIZE: usize = 256 * 1024;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "x".repeat(SIZE)));
        tokio::spawn(serve(listener, None, router, core::future::pending()));
        tokio::task::yield_now().await;
        // Segments as they are between machines; those of this one's own are larger than a client's buffer.
        let slow = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        slow.set_tcp_mss(1448).unwrap();
        slow.set_recv_buffer_size(4 * 1024).unwrap();
        slow.connect(&at.into()).unwrap();
        let mut slow = std::net::TcpStream::from(slow);
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let mut some = [0; 1024];
                let outcome = slow.read(&mut some).map(|taken| some[..taken].to_vec());
                std::thread::sleep(Duration::from_millis(1));
                (slow, outcome)
            });
            let (back, outcome) = read.await.unwrap();
            slow = back;
            match outcome {
                Ok(some) if some.is_empty() => break,
                Ok(some) => {
                    tokio::time::advance(Duration::from_millis(some.len() as u64 * 1000 / 1024)).await;
                    answer.extend(some);
                }
                Err(error) => panic!("cut after {} octets: {error}", answer.len()),
            }
        }
        assert!(answer.ends_with(&vec![b'x'; SIZE]), "{} octets came", answer.len());
    }

    /// A client without a certificate appears in the log and cannot flood it.
    #[test]
    fn tls_failures_in_the_log_are_limited_per_minute() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for _ in 1..STRANGERS_TOLD {
            assert_eq!(strangers.count(now), LogLine::One);
        }
        assert_eq!(strangers.count(now), LogLine::Last);
        for _ in 0..3 {
            assert_eq!(strangers.count(now + MINUTE / 2), LogLine::No);
        }
        assert_eq!(strangers.count(now + MINUTE), LogLine::One);
    }

    #[tokio::test]
    async fn a_connection_has_so_many_requests() {
        let at = started().await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        let one = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfull";
        let requests = one.repeat(MOST_REQUESTS as usize);
        let (mut from, mut to) = stream.split();
        let mut answers = String::new();
        let (said, heard) = tokio::join!(to.write_all(requests.as_bytes()), from.read_to_string(&mut answers));
        said.unwrap();
        heard.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), MOST_REQUESTS as usize);
        assert_eq!(answers.to_ascii_lowercase().matches("connection: close").count(), 1);
    }

    #[tokio::test]
    async fn ambiguous_hosts_are_refused() {
        let at = started().await;
        for (version, lines, status) in [
            ("1.1", "Host: a\r\n", 200),
            ("1.0", "", 200),
            ("1.1", "", 400),
            ("1.1", "Host: a\r\nHost: b\r\n", 400),
            ("1.1", "Host: [::1\r\n", 400),
            ("1.1", "Host: a:99999\r\n", 400),
        ] {
            let said = format!("POST / HTTP/{version}\r\n{lines}Connection: close\r\nContent-Length: 4\r\n\r\nfull");
            let answer = heard(at, &said).await;
            assert!(answer.starts_with(&format!("HTTP/{version} {status} ")), "{lines}: {answer}");
        }
    }

    #[test]
    fn browsers_come_back_with_tls_where_it_is_a_name() {
        let of = |host: &'static str| is_site(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]));
        assert!(of("portal.example") && of("Portal.Example:8443") && of("portal.example."));
        for local in
            ["localhost", "LOCALHOST:9443", "a.localhost:1", "127.0.0.1", "127.0.0.1:9443", "[::1]:9443", "192.0.2.1"]
        {
            assert!(!of(local), "{local}");
        }
        assert!(!is_site(&HeaderMap::new()));
        let kind = |kind: &'static str| {
            is_page(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]))
        };
        assert!(kind("text/html; charset=utf-8") && !kind("application/json"));
    }

    /// It takes as long as the server is patient.
    #[tokio::test]
    async fn slow_clients_are_disconnected_and_block_nobody() {
        let at = started().await;
        let slow = tokio::spawn(async move {
            tokio::join!(
                heard(at, "POST / HTTP/1.1\r\nHost: a"),
                heard(at, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf"),
                heard(at, ""),
            )
        });
        assert!(heard(at, WHOLE).await.ends_with("\r\n\r\n4"));
        assert!(!slow.is_finished());
        let (half_a_head, half_a_body, nothing) = slow.await.unwrap();
        assert!(half_a_head.is_empty() || half_a_head.starts_with("HTTP/1.1 408"), "{half_a_head}");
        assert!(half_a_body.starts_with("HTTP/1.1 408"), "{half_a_body}");
        assert!(nothing.is_empty() || nothing.starts_with("HTTP/1.1 408"), "{nothing}");
    }
}
