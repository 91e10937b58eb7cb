//! ES2+ on the operator's side: orders to the SM-DP+, and the endpoint for its progress notifications. SGP.22 §5.3
//!
//! Both directions are HTTPS with a certificate on each side. Every call carries an identifier its caller chose; after a
//! crash, or when an answer was lost, the same call is made again under the same identifier, and nothing happens twice.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use https::{PeerCertificate, Whole, tls};
pub use https::{TlsError, TlsIdentity};
use identities::Discreet;
use network_base::BoxFuture;
use rsp::certificate::{Certificate, Role};
use rsp::es2plus::{Function, HandleDownloadProgressInfoRequest, Request, status};
use rsp::es9::{self, StatusCodeData};
use rsp_server::binding::{answer, bare};
use rsp_server::es2plus::{LARGEST_BODY, explained, read};
use rsp_server::{CallError, Client};
use system::unix_now;

use crate::server::{Answer, Call, ProfileServer, ServerError};
use crate::{Boss, BossError};

/// The SM-DP+, as its operator sees it.
#[derive(Clone, Debug)]
pub struct SmDp {
    client: Client,
}

impl SmDp {
    /// The SM-DP+ at `url` (`https://host[:port]`), trusted if its certificate leads to one of `roots` (DER). The
    /// operator calls itself `requester`, and shows `identity`.
    pub fn new(url: &str, requester: &str, roots: &[Vec<u8>], identity: &TlsIdentity) -> Result<Self, TlsError> {
        Ok(Self { client: Client::new(url, requester, roots, Some(identity))? })
    }

    async fn execute<F: Function>(&self, call: &str, function: &F) -> Result<F::Response, ServerError> {
        self.client.call(call, function).await.map_err(|error| {
            tracing::warn!(function = F::PATH, call, error = %Discreet(&error), "SM-DP+");
            match error {
                CallError::Refused { why, .. } => ServerError::Refused(why),
                other => ServerError::Unavailable(other.to_string()),
            }
        })
    }
}

impl ProfileServer for SmDp {
    fn call<'a>(&'a self, identifier: &'a str, call: &'a Call) -> BoxFuture<'a, Result<Answer, ServerError>> {
        Box::pin(async move {
            Ok(match call {
                Call::DownloadOrder(request) => Answer::DownloadOrder(self.execute(identifier, request).await?),
                Call::ConfirmOrder(request) => Answer::ConfirmOrder(self.execute(identifier, request).await?),
                Call::CancelOrder(request) => Answer::Done(self.execute(identifier, request).await?),
                Call::ReleaseProfile(request) => Answer::Done(self.execute(identifier, request).await?),
            })
        })
    }
}

/// Receives progress notifications.
pub trait ProgressHandler: Send + Sync {
    /// Handles one notification. It may come more than once; those of one profile come in the order of events.
    ///
    /// A notification that fails is sent again later; those of profiles unknown here are answered and dropped.
    fn handle(&self, request: Request<HandleDownloadProgressInfoRequest>) -> BoxFuture<'_, Result<(), NotHandled>>;
}

/// A notification that matches no order is answered with success, so that the SM-DP+ goes on to the next.
impl ProgressHandler for Boss {
    fn handle(&self, request: Request<HandleDownloadProgressInfoRequest>) -> BoxFuture<'_, Result<(), NotHandled>> {
        Box::pin(async move {
            let progress = request.body;
            match self.progress(&progress, unix_now()).await {
                Ok(_) => Ok(()),
                Err(error @ (BossError::UnknownProfile(_) | BossError::OtherEid | BossError::WrongState(_))) => {
                    tracing::warn!(iccid = ?progress.iccid, point = %progress.notification_point_id, error = %Discreet(&error), "progress notification matches no order");
                    Ok(())
                }
                Err(error) => Err(NotHandled(error.to_string())),
            }
        })
    }
}

/// A notification could not be handled, and has to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("progress notification not handled: {0}")]
pub struct NotHandled(pub String);

/// The SM-DP+s that may tell of progress, and how they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressSenders {
    /// Names in their certificates: host names or addresses.
    pub names: Vec<String>,
    /// What they may call themselves (functionRequesterIdentifier), besides names in the certificate they show.
    pub identifiers: Vec<String>,
    /// Whether theirs is to be a CERT.DP.TLS, by its policy: other servers have certificates of the same CI.
    /// SGP.22 §4.5.2.1.0.3
    pub policy: bool,
}

impl From<Vec<String>> for ProgressSenders {
    /// Those with these names in a CERT.DP.TLS.
    fn from(names: Vec<String>) -> Self {
        Self { names, identifiers: Vec::new(), policy: true }
    }
}

/// The endpoint for ES2+.HandleDownloadProgressInfo, to be served by [`https::serve()`] with [`https::tls::mutual_server`].
pub fn router(handler: Arc<dyn ProgressHandler>, senders: impl Into<ProgressSenders>) -> Router {
    Router::new()
        .route(HandleDownloadProgressInfoRequest::PATH, post(handle_download_progress_info))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(Arc::new(Endpoint { handler, senders: senders.into() }))
}

struct Endpoint {
    handler: Arc<dyn ProgressHandler>,
    senders: ProgressSenders,
}

impl Endpoint {
    /// Whether a certificate is that of an SM-DP+ that may tell of progress.
    fn admits(&self, peer: Option<&PeerCertificate>) -> Result<(), StatusCodeData> {
        let not_ours = || explained(status::REQUESTER_NOT_ALLOWED, "the certificate is of no SM-DP+ of ours");
        let peer = peer.ok_or_else(not_ours)?;
        let role = Certificate::parse(&peer.0).ok().and_then(|certificate| certificate.role());
        if self.senders.policy && role != Some(Role::DpTls) {
            let why = "the certificate has not the policy of a CERT.DP.TLS; an operator that takes another one says so: \
                       smdp.policy = false in operator.toml";
            return Err(explained(status::REQUESTER_NOT_ALLOWED, why));
        }
        if self.senders.names.iter().any(|name| tls::is_named(&peer.0, name)) { Ok(()) } else { Err(not_ours()) }
    }

    /// Whether it may call itself so: as the certificate it showed does, or as the operator expects.
    fn knows(&self, peer: Option<&PeerCertificate>, identifier: &str) -> Result<(), StatusCodeData> {
        let is_expected = self.senders.identifiers.iter().any(|expected| expected == identifier);
        let certified = |name: &str| peer.is_some_and(|peer| tls::is_named(&peer.0, name));
        if is_expected || certified(identifier) || certified(host_of(identifier)) {
            return Ok(());
        }
        let why = "functionRequesterIdentifier is not in the certificate; an operator that takes it says so: \
                   smdp.identifiers in operator.toml";
        Err(explained(status::REQUESTER_NOT_ALLOWED, why))
    }
}

/// The host of `HOST`, `HOST:PORT` and `[ADDRESS]:PORT`.
fn host_of(address: &str) -> &str {
    if let Some((host, _)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => address,
    }
}

async fn handle_download_progress_info(
    State(endpoint): State<Arc<Endpoint>>,
    peer: Option<Extension<PeerCertificate>>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let request = endpoint.admits(peer.as_deref()).and_then(|()| {
        let request = read::<HandleDownloadProgressInfoRequest>(&headers, &body)?;
        endpoint.knows(peer.as_deref(), &request.header.function_requester_identifier)?;
        Ok(request)
    });
    let request = match request {
        Ok(request) => request,
        Err(why) => return refused(&why),
    };
    let (iccid, point) = (request.body.iccid.clone(), request.body.notification_point_id);
    tracing::info!(?iccid, %point, success = request.body.notification_point_status.is_success(), "progress notification");
    match endpoint.handler.handle(request).await {
        Ok(()) => bare(StatusCode::NO_CONTENT),
        Err(error) => {
            tracing::warn!(?iccid, %point, error = %Discreet(&error), "progress notification deferred: to be sent again");
            bare(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn refused(why: &StatusCodeData) -> Response {
    tracing::info!(why = %Discreet(&why), "progress notification refused");
    answer(es9::failure(why))
}
