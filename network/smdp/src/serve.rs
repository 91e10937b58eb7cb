//! The server: HTTPS around the functions, a listener for LPAs and one for operators, over TCP, with an orderly end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use crypto::provider::Provider;
use database::seal::MasterKey;
use https::{TlsError, TlsIdentity, tls};
use identities::Discreet;
use rsp::certificate::Role;
use rsp::chain::TrustAnchor;
use rsp_server::{Client, SignerError};
use system::{System, fill_random};
use test_pki::{Credential, Pki, PkiError, ServerName};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::es2plus::{self, Operator};
use crate::es9plus::{Settings, SmDp};
use crate::fault::{self, Faults, Layer};
use crate::http;
use crate::identity::{Identity, IdentityError};
use crate::profile::UnixTime;
use crate::progress;
use crate::sealed::OpenError;
use crate::sql::SqlStore;

/// How often expired sessions are deleted.
const SWEEP: Duration = Duration::from_mins(1);
/// How long the result of a download is awaited, in seconds: ninety days. The eUICC keeps it until an LPA is online.
const RESULT_AWAITED: UnixTime = 90 * 24 * 60 * 60;

/// How long an ES2+ call may be repeated, in seconds: thirty days.
const CALL_REPEATED: UnixTime = 30 * 24 * 60 * 60;

/// A server's configuration.
#[derive(Debug)]
pub struct Config {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The database: see [`SqlStore::open`]. Servers that share a PostgreSQL are one SM-DP+, under one address.
    pub database: String,
    /// The key that encrypts its secrets: the same each time, and on each server that shares it.
    pub master_key: Arc<MasterKey>,
    /// How long to wait for it if it does not accept connections yet.
    pub database_wait: Duration,
    /// Settings. An empty SM-DP+ address becomes the listening address.
    pub settings: Settings,
    /// CERT.DPauth and CERT.DPpb with their keys, one pair per CI.
    pub identities: Vec<Identity>,
    /// The CIs whose eUICCs are served.
    pub trust: Vec<TrustAnchor>,
    /// CERT.DP.TLS and its key; without it the server speaks plain HTTP, for use behind a proxy.
    pub tls: Option<TlsIdentity>,
    /// Proxies in front of ES9+ whose X-Forwarded-For is trusted.
    pub proxies: Vec<IpAddr>,
    /// The ES2+ listener for operators; without it, orders are placed by [`order`](crate::order) alone.
    pub es2plus: Option<Es2Plus>,
    /// The elliptic curve provider. To repeat a run it must draw no random numbers of its own.
    pub provider: Arc<dyn Provider>,
    /// The time and randomness.
    pub system: System,
    /// Faults to strike; a server without them has no layer for them either.
    pub faults: Option<Faults>,
}

/// Settings of the ES2+ listener.
#[derive(Clone, Debug)]
pub struct Es2Plus {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The server's TLS identity towards operators, as server and as client.
    pub tls: TlsIdentity,
    /// Issuers of operators' certificates, as clients here and as servers of progress notifications; DER.
    pub roots: Vec<Vec<u8>>,
    /// Operators that may order, and their URLs for progress notifications.
    pub operators: Vec<Operator>,
}

impl Config {
    /// A server on a free port of this machine, its data in memory, sealed with a fresh key; its signatures made with
    /// ring.
    pub fn new(identities: Vec<Identity>, trust: Vec<TrustAnchor>, tls: Option<TlsIdentity>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: ":memory:".to_owned(),
            master_key: Arc::new(fresh_key()),
            database_wait: Duration::ZERO,
            settings: Settings::default(),
            identities,
            trust,
            tls,
            proxies: Vec::new(),
            es2plus: None,
            provider: crypto_ring::provider(),
            system: System::default(),
            faults: None,
        }
    }

    /// The same, with everything from one PKI. Without a CERT.DPtls there it speaks plain HTTP.
    pub fn from_pki(pki: &Pki) -> Result<Self, IdentityError> {
        let tls = match pki.get(Role::DpTls) {
            Ok(credential) => Some(identity_of(credential)?),
            Err(_) => None,
        };
        Ok(Self::new(vec![Identity::from_pki(pki)?], vec![pki.trust_anchor()?], tls))
    }
}

/// A TLS certificate for `host` and others: a fresh one if the key of the CI is available, otherwise the one in the
/// folder.
pub fn tls_identity(pki: &Pki, host: &str, others: &[ServerName]) -> Result<TlsIdentity, IdentityError> {
    tls_identity_by(&System::default(), pki, host, others)
}

/// The same with another time and randomness.
pub fn tls_identity_by(
    system: &System,
    pki: &Pki,
    host: &str,
    others: &[ServerName],
) -> Result<TlsIdentity, IdentityError> {
    let tls = if pki.key(Role::Ci).is_ok() {
        let mut names = vec![host.parse::<ServerName>().unwrap_or_else(|never| match never {})];
        for other in others {
            if !names.contains(other) {
                names.push(other.clone());
            }
        }
        let oid = pki.get(Role::DpAuth)?.certificate().oid();
        let oid = oid.map_err(|error| SignerError::Certificate(Role::DpAuth, error))?.clone();
        pki.issue_tls(&names, &oid, system.now(), &mut |octets: &mut [u8]| system.fill_random(octets))?
    } else {
        pki.get(Role::DpTls)?.clone()
    };
    Ok(identity_of(&tls)?)
}

/// CERT.DPtls with its key.
fn identity_of(credential: &Credential) -> Result<TlsIdentity, PkiError> {
    rsp_server::tls_identity(credential).map_err(|_| PkiError::MissingKey(Role::DpTls))
}

fn fresh_key() -> MasterKey {
    let mut octets = Zeroizing::new([0; 32]);
    fill_random(&mut *octets);
    MasterKey::new(*octets)
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Progress notifications to an operator are impossible.
    #[error("operator {operator}: {cause}")]
    Operator {
        /// functionRequesterIdentifier.
        operator: String,
        /// What is wrong.
        cause: TlsError,
    },
    /// The address is taken, or not of this machine: choose another, or port 0.
    #[error(
        "cannot listen for {listener} at {at}: {cause}; end what is there already, or choose another address, port 0 for any \
         free one"
    )]
    Listen {
        /// The listener's name: [`PHONES`] or [`OPERATORS`].
        listener: &'static str,
        /// The address that was asked for.
        at: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Certificate and key do not fit, or one cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no signing identity.
    #[error("no certificates: give at least one pair of CERT.DPauth and CERT.DPpb")]
    NoIdentity,
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
}

/// A running server. Dropping it stops it at once; [`Server::shutdown`] lets requests finish.
#[derive(Debug)]
pub struct Server {
    listening_at: SocketAddr,
    es2plus_at: Option<SocketAddr>,
    smdp: Arc<SmDp>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

impl Server {
    /// The address it is bound to.
    pub fn listening_at(&self) -> SocketAddr {
        self.listening_at
    }

    /// The address of the ES2+ listener.
    pub fn es2plus_at(&self) -> Option<SocketAddr> {
        self.es2plus_at
    }

    /// The SM-DP+ address for activation codes.
    pub fn address(&self) -> &str {
        &self.smdp.settings().address
    }

    /// Its store, for the operator's side.
    pub fn store(&self) -> &SqlStore {
        self.smdp.store()
    }

    /// Accepts no more connections, lets requests in progress finish, closes the database.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for task in &mut self.listeners {
            // A task that panicked has nothing left to close.
            let _ = task.await;
        }
        self.background.iter().for_each(JoinHandle::abort);
        self.smdp.store().close().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listeners.iter().chain(&self.background).for_each(JoinHandle::abort);
    }
}

/// Starts a server and returns once it accepts connections. It runs until told to stop.
pub async fn serve(config: Config) -> Result<Server, ServeError> {
    if config.identities.is_empty() {
        return Err(ServeError::NoIdentity);
    }
    let acceptor = config.tls.as_ref().map(tls::server).transpose()?;
    let store = SqlStore::open_within(&config.database, config.master_key, config.database_wait).await?;
    let (listener, listening_at) = bind(config.listen, PHONES).await?;

    let mut settings = config.settings;
    if settings.address.is_empty() {
        settings.address = listening_at.to_string();
    }
    if listening_at.ip().is_loopback() {
        settings.aliases.push(listening_at.to_string());
        settings.aliases.push(format!("localhost:{}", listening_at.port()));
    }
    let smdp = Arc::new(SmDp::new(store, settings, config.identities, config.trust, config.provider, config.system));
    let (stop, stopped) = watch::channel(false);
    let mut background = vec![tokio::spawn(sweep(Arc::clone(&smdp)))];
    let faults = config.faults.map(|faults| Arc::new(Layer { faults, smdp: Arc::clone(&smdp) }));
    let layered = |router: Router| match &faults {
        Some(faults) => router.layer(from_fn_with_state(Arc::clone(faults), fault::strike)),
        None => router,
    };
    let (proxies, router) = (config.proxies.into(), layered(http::router(Arc::clone(&smdp))));
    let es9plus = https::serve_behind(proxies, listener, acceptor, router, told_to_stop(stopped.clone()));
    let mut listeners = vec![tokio::spawn(es9plus)];
    let mut es2plus_at = None;
    if let Some(Es2Plus { listen, tls, roots, operators }) = config.es2plus {
        let acceptor = tls::mutual_server_by(Arc::clone(&smdp.system().clock), &tls, &roots)?;
        for operator in operators.iter().filter(|operator| operator.progress_url.is_none()) {
            tracing::warn!(
                operator = operator.identifier,
                "no ES2+ address: this operator gets no progress notifications"
            );
        }
        let tellable = operators.iter().filter_map(|operator| {
            let clock = Arc::clone(&smdp.system().clock);
            let url = operator.progress_url.as_ref()?;
            let client = Client::by(clock, url, &smdp.settings().address, &roots, Some(&tls));
            let operator = operator.identifier.clone();
            Some(
                client
                    .map(|client| (operator.clone(), client))
                    .map_err(|cause| ServeError::Operator { operator, cause }),
            )
        });
        let tellable: HashMap<_, _> = tellable.collect::<Result<_, _>>()?;
        let (listener, at) = bind(listen, OPERATORS).await?;
        es2plus_at = Some(at);
        let router = layered(es2plus::router(Arc::clone(&smdp), operators));
        listeners.push(tokio::spawn(https::serve(listener, Some(acceptor), router, told_to_stop(stopped))));
        background.push(tokio::spawn(progress::deliver(Arc::clone(&smdp), tellable)));
        tracing::info!(%at, "SM-DP+ listening for operators");
    }
    tracing::info!(at = %listening_at, address = smdp.settings().address, "SM-DP+ listening");
    Ok(Server { listening_at, es2plus_at, smdp, stop, listeners, background })
}

/// The listener for phones, in [`ServeError::Listen`].
pub const PHONES: &str = "phones (ES9+)";
/// The listener for operators.
pub const OPERATORS: &str = "operators (ES2+)";

async fn bind(at: SocketAddr, listener: &'static str) -> Result<(TcpListener, SocketAddr), ServeError> {
    let refused = |cause| ServeError::Listen { listener, at, cause };
    let listener = TcpListener::bind(at).await.map_err(refused)?;
    let listening_at = listener.local_addr().map_err(refused)?;
    Ok((listener, listening_at))
}

/// Periodically deletes expired sessions and cached answers.
async fn sweep(smdp: Arc<SmDp>) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        sweep.tick().await;
        let now = smdp.system().now();
        if let Err(error) = smdp.store().forget_sessions(now, now.saturating_sub(RESULT_AWAITED)).await {
            tracing::warn!(error = %Discreet(&error), "cannot delete expired sessions");
        }
        if let Err(error) = smdp.store().forget_answers(now.saturating_sub(CALL_REPEATED)).await {
            tracing::warn!(error = %Discreet(&error), "cannot delete cached answers");
        }
        let Settings { notifications_kept, notifications_kept_for, .. } = smdp.settings();
        let since = now.saturating_sub(*notifications_kept_for);
        match smdp.store().forget_notifications(since, *notifications_kept).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old notifications deleted"),
            Err(error) => tracing::warn!(error = %Discreet(&error), "cannot delete old notifications"),
        }
    }
}

/// Also when no sender is left.
async fn told_to_stop(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
