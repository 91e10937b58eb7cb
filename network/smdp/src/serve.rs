//! The server: HTTPS around the five functions, over TCP, with an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rsp::certificate::Role;
use rsp::chain::TrustAnchor;
use rsp::pki::{Pki, PkiError};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer as TlsCertificate, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::es9plus::{Settings, SmDp};
use crate::http;
use crate::identity::{Identity, IdentityError};
use crate::profile::UnixTime;
use crate::sqlite::SqliteStore;
use crate::store::{Store, StoreError};

/// A client has this long for its TLS handshake, again for the head of each request, and again for the body.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Open connections get this long when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How often expired sessions are swept out.
const SWEEP: Duration = Duration::from_mins(1);
/// How long the result of a download is waited for, in seconds: ninety days. The eUICC keeps it until an LPA is online.
const RESULT_AWAITED: UnixTime = 90 * 24 * 60 * 60;
/// Connections served at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 512;

/// All a server needs.
#[derive(Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The database: a path, or `:memory:`.
    pub database: String,
    /// Behaviour. An empty SM-DP+ address becomes the one listened at.
    pub settings: Settings,
    /// CERT.DPauth and CERT.DPpb with their keys, one pair per CI.
    pub identities: Vec<Identity>,
    /// The CIs whose eUICCs are served.
    pub trust: Vec<TrustAnchor>,
    /// CERT.DP.TLS and its key; without it the server speaks plain HTTP, for use behind a proxy.
    pub tls: Option<TlsIdentity>,
}

impl Config {
    /// A server on a free port of this machine, its data in memory.
    pub fn new(identities: Vec<Identity>, trust: Vec<TrustAnchor>, tls: Option<TlsIdentity>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: ":memory:".to_owned(),
            settings: Settings::default(),
            identities,
            trust,
            tls,
        }
    }

    /// The same, with everything out of one PKI. Without a CERT.DPtls there it speaks plain HTTP.
    pub fn from_pki(pki: &Pki) -> Result<Self, IdentityError> {
        let tls = match pki.get(Role::DpTls) {
            Ok(credential) => Some(TlsIdentity {
                certificates: vec![credential.der().to_vec()],
                private_key: credential.key_der().ok_or(PkiError::MissingKey(Role::DpTls))?,
            }),
            Err(_) => None,
        };
        Ok(Self::new(vec![Identity::from_pki(pki)?], vec![pki.trust_anchor()?], tls))
    }
}

/// A TLS certificate with its key.
pub struct TlsIdentity {
    /// DER, the server's own certificate first.
    pub certificates: Vec<Vec<u8>>,
    /// DER, PKCS #8 or SEC 1.
    pub private_key: zeroize::Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TlsIdentity({} certificates, key secret)", self.certificates.len())
    }
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not of this machine: choose another, or port 0.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Certificate and key do not fit, or one cannot be read.
    #[error("the TLS certificate or its key cannot be used: {0}")]
    Tls(String),
    /// There is nothing to sign with.
    #[error("no certificates: give at least one pair of CERT.DPauth and CERT.DPpb")]
    NoIdentity,
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A running server. Dropping it stops it at once; [`Server::shutdown`] lets requests finish.
#[derive(Debug)]
pub struct Server {
    listening_at: SocketAddr,
    smdp: Arc<SmDp<SqliteStore>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// The address it is bound to.
    pub fn listening_at(&self) -> SocketAddr {
        self.listening_at
    }

    /// The SM-DP+ address for activation codes.
    pub fn address(&self) -> &str {
        &self.smdp.settings().address
    }

    /// Its store, for the operator's side.
    pub fn store(&self) -> &SqliteStore {
        self.smdp.store()
    }

    /// Takes no more connections, lets requests under way finish, closes the database.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // A task that panicked has nothing left to close.
        let _ = (&mut self.task).await;
        self.smdp.store().close().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server and returns once it accepts connections. It runs until told to stop.
pub async fn serve(config: Config) -> Result<Server, ServeError> {
    if config.identities.is_empty() {
        return Err(ServeError::NoIdentity);
    }
    let acceptor = config.tls.map(tls_acceptor).transpose()?;
    let store = SqliteStore::open(&config.database).await?;
    let refused = |error| ServeError::Listen(config.listen, error);
    let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
    let listening_at = listener.local_addr().map_err(refused)?;

    let mut settings = config.settings;
    if settings.address.is_empty() {
        settings.address = listening_at.to_string();
    }
    if listening_at.ip().is_loopback() {
        settings.aliases.push(listening_at.to_string());
        settings.aliases.push(format!("localhost:{}", listening_at.port()));
    }
    let smdp = Arc::new(SmDp::new(store, settings, config.identities, config.trust));
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(run(listener, acceptor, Arc::clone(&smdp), stopped));
    tracing::info!(at = %listening_at, address = smdp.settings().address, "SM-DP+ listening");
    Ok(Server { listening_at, smdp, stop, task })
}

async fn run(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    smdp: Arc<SmDp<SqliteStore>>,
    mut stopped: watch::Receiver<bool>,
) {
    let router = http::router(Arc::clone(&smdp));
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let (stream, place) = tokio::select! {
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, from, place)) => {
                    tracing::debug!(%from, "connection");
                    (stream, place)
                }
                Err(error) => {
                    // Too many open files, most likely: the next one may fare better.
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = sweep.tick() => {
                let now = unix_now();
                if let Err(error) = smdp.store().forget_sessions(now, now.saturating_sub(RESULT_AWAITED)).await {
                    tracing::warn!(%error, "sweeping sessions");
                }
                continue;
            }
            () = told_to_stop(&mut stopped) => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let watcher = connections.watcher();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(stream, acceptor, service, watcher).await {
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

/// Also when nobody is left who could tell.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    service: TowerToHyperService<axum::Router>,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut http = http1::Builder::new();
    // Title case, because clients have been seen that do not find headers in lower case.
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).title_case_headers(true);
    match acceptor {
        Some(acceptor) => {
            let stream = timeout(PATIENCE, acceptor.accept(stream)).await??;
            watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await?;
        }
        None => watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await?,
    }
    Ok(())
}

fn tls_acceptor(identity: TlsIdentity) -> Result<TlsAcceptor, ServeError> {
    let unusable = |error: &dyn core::fmt::Display| ServeError::Tls(error.to_string());
    let key = PrivateKeyDer::try_from(identity.private_key.to_vec()).map_err(|error| unusable(&error))?;
    let certificates = identity.certificates.into_iter().map(TlsCertificate::from).collect();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The time, as the functions of ES9+ want it.
pub(crate) fn unix_now() -> UnixTime {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
