//! A router behind a listener: TLS handshakes, HTTP/1.1, as many connections as there are places, an orderly end.

use core::future::Future;
use core::pin::pin;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// A client has this long for its TLS handshake, again for the head of each request, and again for the body.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Open connections get this long when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Connections served at once; further ones wait to be accepted.
pub const MOST_CONNECTIONS: usize = 512;
/// Those of one network; further ones are closed. Whoever opens all they can leaves room for others, though behind a proxy
/// there may be many.
const MOST_OF_ONE: usize = MOST_CONNECTIONS / 4 * 3;

/// Extension of each request: the certificate (DER) the client showed, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// Extension of each request: where it comes from: its connection, or as a trusted proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

impl PeerAddress {
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

/// The same behind proxies: what these addresses say in X-Forwarded-For is believed, and they may have all connections.
pub async fn serve_behind(
    proxies: Arc<[IpAddr]>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let shares = Shares::default();
    let mut stop = pin!(stop);
    loop {
        let (stream, from, place) = tokio::select! {
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, from, place)) => {
                    tracing::debug!(%from, "connection");
                    (stream, from, place)
                }
                Err(error) => {
                    // Too many open files, most likely: the next one may fare better.
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let is_proxy = proxies.contains(&from.ip().to_canonical());
        let most = if is_proxy { MOST_CONNECTIONS } else { MOST_OF_ONE };
        let Some(share) = shares.take(PeerAddress(from), most) else {
            tracing::debug!(%from, "closed: too many connections from there");
            continue;
        };
        let from = Origin { connection: PeerAddress(from), proxies: Arc::clone(&proxies) };
        let (router, watcher, tls) = (router.clone(), connections.watcher(), tls.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, from, tls, router, watcher).await {
                tracing::debug!(%error, "connection ended");
            }
            drop((place, share));
        });
    }
    drop(listener);
    if timeout(GRACE, connections.shutdown()).await.is_err() {
        tracing::warn!("connections still open are cut");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, place))
}

/// How many connections each network has.
#[derive(Clone, Default)]
struct Shares(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them, until dropped.
struct Share {
    network: IpAddr,
    shares: Shares,
}

impl Shares {
    /// One more, if there are not so many.
    fn take(&self, from: PeerAddress, most: usize) -> Option<Share> {
        let network = from.network();
        let mut counts = self.counts();
        let count = counts.get(&network).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        counts.insert(network, count + 1);
        Some(Share { network, shares: self.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.counts();
        match counts.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.network)),
        }
    }
}

type Error = Box<dyn core::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    from: Origin,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    match tls {
        Some(acceptor) => {
            let stream = timeout(PATIENCE, acceptor.accept(stream)).await??;
            let shown = stream.get_ref().1.peer_certificates().and_then(|shown| shown.first());
            let peer = shown.map(|certificate| PeerCertificate(certificate.as_ref().into()));
            http(stream, router, (from, peer), watcher).await
        }
        None => http(stream, router, (from, None), watcher).await,
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    (origin, certificate): (Origin, Option<PeerCertificate>),
    watcher: Watcher,
) -> Result<(), Error> {
    let service = WithPeer { inner: TowerToHyperService::new(router), origin, certificate };
    let mut http = http1::Builder::new();
    // Title case, because clients have been seen that do not find headers in lower case.
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).title_case_headers(true);
    Ok(watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await?)
}

/// Tells each request who is at the other end of its connection.
struct WithPeer {
    inner: TowerToHyperService<Router>,
    origin: Origin,
    certificate: Option<PeerCertificate>,
}

/// Where the requests of a connection come from.
struct Origin {
    connection: PeerAddress,
    proxies: Arc<[IpAddr]>,
}

impl Origin {
    /// Each proxy adds whom it heard; the last that is none of ours is whom the first of ours heard.
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
    type Error = core::convert::Infallible;
    type Future = TowerToHyperServiceFuture<Router, Request<Incoming>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        let from = self.origin.of(request.headers());
        request.extensions_mut().insert(from);
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::Whole;
    use axum::routing::post;
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
        assert_eq!(of("198.51.100.1", &["203.0.113.1"]), "198.51.100.1", "whoever is no proxy says nothing");
        assert_eq!(of("::ffff:192.0.2.1", &["203.0.113.9, 203.0.113.1"]), "203.0.113.1", "nor what was said before");
        assert_eq!(of("192.0.2.1", &["203.0.113.9", "203.0.113.1, 192.0.2.2"]), "203.0.113.1");
        assert_eq!(of("192.0.2.1", &["2001:db8::1"]), "2001:db8::1");
        for nothing in [&[][..], &["192.0.2.2"], &["203.0.113.1, unknown"], &[""]] {
            assert_eq!(of("192.0.2.1", nothing), "192.0.2.1", "{nothing:?}");
        }
    }

    /// Whoever opens all connections they can keeps nobody else out.
    #[tokio::test]
    async fn one_host_does_not_take_all_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(async |Whole(body): Whole| body.len().to_string()));
        tokio::spawn(serve(listener, None, router, core::future::pending()));
        let mut silent = Vec::new();
        for _ in 0..MOST_OF_ONE {
            silent.push(TcpStream::connect(at).await.unwrap());
        }
        let mut further = TcpStream::connect(at).await.unwrap();
        assert_eq!(further.read(&mut [0]).await.unwrap_or(0), 0, "closed");
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = socket.connect(at).await.unwrap();
        let whole = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull";
        other.write_all(whole.as_bytes()).await.unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\n4"), "{answer}");
    }

    /// It takes as long as the server is patient.
    #[tokio::test]
    async fn slow_clients_are_let_go_and_hold_up_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(async |Whole(body): Whole| body.len().to_string()));
        tokio::spawn(serve(listener, None, router, core::future::pending()));
        let slow = tokio::spawn(async move {
            tokio::join!(
                heard(at, "POST / HTTP/1.1\r\nHost: a"),
                heard(at, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf"),
                heard(at, ""),
            )
        });
        let whole = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull";
        assert!(heard(at, whole).await.ends_with("\r\n\r\n4"));
        assert!(!slow.is_finished());
        let (half_a_head, half_a_body, nothing) = slow.await.unwrap();
        assert!(half_a_head.is_empty() || half_a_head.starts_with("HTTP/1.1 408"), "{half_a_head}");
        assert!(half_a_body.starts_with("HTTP/1.1 408"), "{half_a_body}");
        assert!(nothing.is_empty() || nothing.starts_with("HTTP/1.1 408"), "{nothing}");
    }
}
