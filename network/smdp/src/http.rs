//! ES9+ over HTTP: JSON in, the function, JSON out (SGP.22 sections 6.2 and 6.5).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rsp::VersionType;
use rsp::es9::{
    self, AuthenticateClientRequest, CancelSessionRequest, Function, GetBoundProfilePackageRequest,
    HandleNotificationRequest, InitiateAuthenticationRequest,
};
use tokio::time::timeout;

use crate::es9plus::SmDp;
use crate::serve::{PATIENCE, unix_now};
use crate::status::{Because, EXECUTION_ERROR, MALFORMED_REQUEST, Refusal, UNSUPPORTED_PROTOCOL};
use crate::store::Store;

/// The release of SGP.22 this server speaks.
const PROTOCOL: (u8, u8, u8) = (2, 5, 0);
/// No message of ES9+ comes near this; a larger body is refused unread.
const LARGEST_BODY: usize = 256 * 1024;

type Shared<S> = State<Arc<SmDp<S>>>;

/// The functions of ES9+ under their paths.
pub fn router<S: Store + 'static>(smdp: Arc<SmDp<S>>) -> Router {
    Router::new()
        .route(InitiateAuthenticationRequest::PATH, post(initiate_authentication))
        .route(AuthenticateClientRequest::PATH, post(authenticate_client))
        .route(GetBoundProfilePackageRequest::PATH, post(get_bound_profile_package))
        .route(CancelSessionRequest::PATH, post(cancel_session))
        .route(HandleNotificationRequest::PATH, post(handle_notification))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(smdp)
}

async fn initiate_authentication<S: Store>(State(smdp): Shared<S>, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read::<InitiateAuthenticationRequest>(&headers, &body)?;
        smdp.initiate_authentication(&request, &mut fill_random, unix_now()).await
    };
    written::<InitiateAuthenticationRequest>(answer.await)
}

async fn authenticate_client<S: Store>(State(smdp): Shared<S>, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read::<AuthenticateClientRequest>(&headers, &body)?;
        smdp.authenticate_client(&request, unix_now()).await
    };
    written::<AuthenticateClientRequest>(answer.await)
}

async fn get_bound_profile_package<S: Store>(
    State(smdp): Shared<S>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let answer = async {
        let request = read::<GetBoundProfilePackageRequest>(&headers, &body)?;
        smdp.get_bound_profile_package(&request, &mut fill_random, unix_now()).await
    };
    written::<GetBoundProfilePackageRequest>(answer.await)
}

async fn cancel_session<S: Store>(State(smdp): Shared<S>, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read::<CancelSessionRequest>(&headers, &body)?;
        smdp.cancel_session(&request, unix_now()).await
    };
    written::<CancelSessionRequest>(answer.await)
}

/// A notification that could be read is answered with 204, whatever became of it: the LPA has done its part.
async fn handle_notification<S: Store>(State(smdp): Shared<S>, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read::<HandleNotificationRequest>(&headers, &body)?;
        smdp.handle_notification(&request, unix_now()).await
    };
    match answer.await {
        Ok(_) => (StatusCode::NO_CONTENT, [protocol_header()]).into_response(),
        // Any success makes the LPA forget the notification: this one has to come again.
        Err(refusal) if refusal.status == EXECUTION_ERROR => {
            tracing::warn!(%refusal, "notification not taken");
            (StatusCode::SERVICE_UNAVAILABLE, [protocol_header()]).into_response()
        }
        Err(refusal) => refused::<HandleNotificationRequest>(&refusal),
    }
}

/// A body that arrived whole, and in time.
struct Whole(Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        match timeout(PATIENCE, Bytes::from_request(request, state)).await {
            Ok(Ok(body)) => Ok(Self(body)),
            Ok(Err(rejection)) => Err(rejection.into_response()),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
        }
    }
}

/// The request, if the protocol is one we speak and the body what it should be.
fn read<F: Function>(headers: &HeaderMap, body: &[u8]) -> Result<F, Refusal> {
    if let Some(protocol) = headers.get(es9::ADMIN_PROTOCOL_HEADER) {
        let version = protocol.to_str().ok().and_then(|text| text.trim().strip_prefix("gsma/rsp/v"));
        let major = version.and_then(|version| version.split('.').next()?.parse::<u8>().ok());
        // A later LPA can go on in the release that our answer names.
        if major.is_none_or(|major| major < PROTOCOL.0) {
            return Err(UNSUPPORTED_PROTOCOL.because(format!("{protocol:?}")));
        }
    }
    serde_json::from_slice(body).map_err(|error| MALFORMED_REQUEST.because(error))
}

fn written<F: Function>(answer: Result<F::Response, Refusal>) -> Response {
    match answer {
        Ok(response) => {
            tracing::debug!(path = F::PATH, "executed");
            json(es9::success(&response))
        }
        Err(refusal) => refused::<F>(&refusal),
    }
}

fn refused<F: Function>(refusal: &Refusal) -> Response {
    tracing::info!(path = F::PATH, %refusal, "refused");
    json(es9::failure(&refusal.status_code_data()))
}

fn json(body: String) -> Response {
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    (StatusCode::OK, [content_type, protocol_header()], body).into_response()
}

fn protocol_header() -> (HeaderName, HeaderValue) {
    let (major, minor, revision) = PROTOCOL;
    let value = es9::admin_protocol(VersionType::new(major, minor, revision));
    let value = HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("gsma/rsp/v2.5.0"));
    (HeaderName::from_static("x-admin-protocol"), value)
}

#[expect(clippy::expect_used, reason = "a server that cannot draw challenges and keys must not answer")]
fn fill_random(octets: &mut [u8]) {
    getrandom::fill(octets).expect("the operating system provides randomness");
}

#[cfg(test)]
mod tests {
    use core::pin::Pin;
    use core::task::{Context, Poll};

    use axum::body::Body;
    use hyper::body::Frame;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::es9plus::Settings;
    use crate::sqlite::SqliteStore;

    /// A body that never comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_not_waited_for() {
        let store = SqliteStore::open(":memory:").await.unwrap();
        let smdp = Arc::new(SmDp::new(store, Settings::default(), Vec::new(), Vec::new()));
        let service = TowerToHyperService::new(router(smdp));
        tokio::time::pause();
        for path in [InitiateAuthenticationRequest::PATH, HandleNotificationRequest::PATH] {
            let request = Request::post(path).body(Body::new(Never)).unwrap();
            assert_eq!(service.call(request).await.unwrap().status(), StatusCode::REQUEST_TIMEOUT, "{path}");
        }
    }
}
