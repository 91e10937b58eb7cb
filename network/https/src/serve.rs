//! A router behind a listener: TLS handshakes, HTTP/1.1, as many connections as there are places, an orderly end.

use core::future::Future;
use core::pin::pin;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
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

/// Extension of each request: the certificate (DER) the client showed, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// Extension of each request: where its connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Serves until `stop` is done; then requests under way may finish, for a few seconds. Without TLS it speaks plain HTTP.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, stop: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
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
        let (router, watcher, tls) = (router.clone(), connections.watcher(), tls.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, PeerAddress(from), tls, router, watcher).await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
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

type Error = Box<dyn core::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    from: PeerAddress,
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
    (address, certificate): (PeerAddress, Option<PeerCertificate>),
    watcher: Watcher,
) -> Result<(), Error> {
    let service = WithPeer { inner: TowerToHyperService::new(router), address, certificate };
    let mut http = http1::Builder::new();
    // Title case, because clients have been seen that do not find headers in lower case.
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).title_case_headers(true);
    Ok(watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await?)
}

/// Tells each request who is at the other end of its connection.
struct WithPeer {
    inner: TowerToHyperService<Router>,
    address: PeerAddress,
    certificate: Option<PeerCertificate>,
}

impl Service<hyper::Request<Incoming>> for WithPeer {
    type Response = Response;
    type Error = core::convert::Infallible;
    type Future = TowerToHyperServiceFuture<Router, Request<Incoming>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.address);
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
