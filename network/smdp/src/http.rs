//! ES9+ over HTTP: JSON in, the function, JSON out (SGP.22 §6.2 and §6.5).

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use https::{PeerAddress, Whole};
use rsp::es9::{
    AnyNotificationRequest, AuthenticateClientRequest, CancelSessionRequest, Function, GetBoundProfilePackageRequest,
    HandleNotificationRequest, InitiateAuthenticationRequest,
};
use rsp::notification::PendingNotification;
use rsp_server::binding::told_from;
use rsp_server::es9::{LARGEST_BODY, notified, read, written};
use rsp_server::refusal::{MALFORMED_REQUEST, Refusal};

use crate::es9plus::SmDp;

type Shared = State<Arc<SmDp>>;

/// Shown to a browser that opens the address.
const FRONT: &str = "\
This is an SM-DP+ (SGP.22): devices fetch their profiles here.
There is nothing to do in a browser; give the activation code to the device.
";

/// The functions of ES9+ under their paths.
pub fn router(smdp: Arc<SmDp>) -> Router {
    Router::new()
        .route("/", get(async || FRONT))
        .route(InitiateAuthenticationRequest::PATH, post(initiate_authentication))
        .route(AuthenticateClientRequest::PATH, post(authenticate_client))
        .route(GetBoundProfilePackageRequest::PATH, post(get_bound_profile_package))
        .route(CancelSessionRequest::PATH, post(cancel_session))
        .route(HandleNotificationRequest::PATH, post(handle_notification))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(told_from))
        .with_state(smdp)
}

async fn initiate_authentication(
    State(smdp): Shared,
    address: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let source = address.map(|Extension(address)| address.network().to_string()).unwrap_or_default();
    let answer = async {
        let request = read::<InitiateAuthenticationRequest>(&headers, &body)?;
        let system = smdp.system();
        smdp.initiate_authentication(
            &request,
            &source,
            &mut |octets: &mut [u8]| system.fill_random(octets),
            system.now(),
        )
        .await
    };
    written::<InitiateAuthenticationRequest>(answer.await)
}

async fn authenticate_client(State(smdp): Shared, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read::<AuthenticateClientRequest>(&headers, &body)?;
        smdp.authenticate_client(&request, smdp.system().now()).await
    };
    written::<AuthenticateClientRequest>(answer.await)
}

async fn get_bound_profile_package(State(smdp): Shared, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read::<GetBoundProfilePackageRequest>(&headers, &body)?;
        let system = smdp.system();
        smdp.get_bound_profile_package(&request, &mut |octets: &mut [u8]| system.fill_random(octets), system.now())
            .await
    };
    written::<GetBoundProfilePackageRequest>(answer.await)
}

async fn cancel_session(State(smdp): Shared, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read::<CancelSessionRequest>(&headers, &body)?;
        smdp.cancel_session(&request, smdp.system().now()).await
    };
    written::<CancelSessionRequest>(answer.await)
}

/// A readable notification is answered with 204, whatever its outcome: the LPA has done its part.
async fn handle_notification(State(smdp): Shared, headers: HeaderMap, Whole(body): Whole) -> Response {
    let answer = async {
        let request = read_notification(&headers, &body, smdp.settings().lenient)?;
        smdp.handle_notification(&request, smdp.system().now()).await
    };
    notified::<HandleNotificationRequest, _>(answer.await)
}

/// The request; where the server is lenient, also one whose notification lacks its outermost tag.
fn read_notification(headers: &HeaderMap, body: &[u8], is_lenient: bool) -> Result<HandleNotificationRequest, Refusal> {
    let refusal = match read::<HandleNotificationRequest>(headers, body) {
        Err(refusal) if is_lenient && refusal.status == MALFORMED_REQUEST => refusal,
        strict => return strict,
    };
    let any: Option<AnyNotificationRequest> = serde_json::from_slice(body).ok();
    let restored = any.and_then(|any| PendingNotification::enclosing(&any.pending_notification.0));
    let pending_notification = restored.ok_or(refusal)?;
    let outermost = match pending_notification.octets() {
        [0x30, ..] => "30",
        _ => "BF37",
    };
    tracing::warn!(outermost, "notification without its outermost tag, taken because this server is lenient");
    Ok(HandleNotificationRequest { pending_notification })
}

#[cfg(test)]
mod tests {
    use core::pin::Pin;
    use core::task::{Context, Poll};

    use axum::body::{Body, Bytes};
    use axum::extract::Request;
    use axum::http::StatusCode;
    use hyper::body::Frame;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::MasterKey;
    use crate::es9plus::Settings;
    use crate::sql::SqlStore;
    use crypto::provider::Deterministic;
    use system::System;

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

    /// An SM-DP+ without certificates.
    fn nobody(store: SqlStore) -> SmDp {
        SmDp::new(store, Settings::default(), Vec::new(), Vec::new(), Arc::new(Deterministic), System::default())
    }

    #[tokio::test]
    async fn a_browser_is_told_where_it_is() {
        let store = SqlStore::open(":memory:", MasterKey::new([7; 32])).await.unwrap();
        let smdp = Arc::new(nobody(store));
        let answer = TowerToHyperService::new(router(smdp)).call(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body = axum::body::to_bytes(answer.into_body(), LARGEST_BODY).await.unwrap();
        assert!(body.starts_with(b"This is an SM-DP+"));
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_not_waited_for() {
        let store = SqlStore::open(":memory:", MasterKey::new([7; 32])).await.unwrap();
        let smdp = Arc::new(nobody(store));
        let service = TowerToHyperService::new(router(smdp));
        tokio::time::pause();
        for path in [InitiateAuthenticationRequest::PATH, HandleNotificationRequest::PATH] {
            let request = Request::post(path).body(Body::new(Never)).unwrap();
            assert_eq!(service.call(request).await.unwrap().status(), StatusCode::REQUEST_TIMEOUT, "{path}");
        }
    }
}
