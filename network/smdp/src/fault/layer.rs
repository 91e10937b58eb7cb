//! The layer around the functions that lets faults strike.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use https::{hang_up, torn};
use rsp::es9::{self, AuthenticateClientResponse, StatusCodeData};
use rsp_server::binding;
use rsp_server::es9::LARGEST_BODY;

use super::answer::made_wrong;
use super::kind::{At, Kind};
use super::order::{Given, When};
use super::{Armed, Faults};
use crate::es9plus::SmDp;
use crate::store::SessionState;

/// Lets the faults strike that are due at this call.
pub(crate) async fn strike(State(layer): State<Arc<Layer>>, request: Request, next: Next) -> Response {
    let Layer { faults, smdp } = &*layer;
    let Some(at) = At::of_path(request.uri().path()) else { return next.run(request).await };
    let due: Vec<&Armed> = faults.ordered.iter().filter(|armed| armed.fault.at == at && armed.is_due()).collect();
    if due.is_empty() {
        return next.run(request).await;
    }
    for armed in &due {
        if armed.fault.row.kind == Kind::Slow && armed.strikes() {
            tokio::time::sleep(Duration::from_secs(armed.number().into())).await;
        }
    }
    let instead = due.iter().find(|armed| armed.fault.row.kind.comes_before() && armed.strikes());
    if let Some(armed) = instead {
        return armed.instead();
    }
    let (head, body) = request.into_parts();
    // A body that is too large, or does not come, is the function's to refuse, as one that is too large.
    let Ok(asked) = to_bytes(body, LARGEST_BODY).await else {
        return next.run(Request::from_parts(head, Body::from(vec![b' '; LARGEST_BODY + 1]))).await;
    };
    let mut answer = next.run(Request::from_parts(head, Body::from(asked.clone()))).await;
    for armed in due.iter().filter(|armed| armed.fault.row.kind != Kind::Slow && !armed.fault.row.kind.comes_before()) {
        answer = armed.after((faults, smdp), &asked, answer).await;
    }
    answer
}

/// The faults of a server, and the server.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) faults: Faults,
    pub(crate) smdp: Arc<SmDp>,
}

impl Armed {
    /// Whether this is the call; it counts it.
    fn is_due(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        match self.fault.when {
            When::Always => true,
            When::Once => !self.has_struck.load(Ordering::Relaxed),
            When::Nth(number) => call == number,
        }
    }

    /// It strikes, unless another call was first.
    fn strikes(&self) -> bool {
        let is_first = !self.has_struck.swap(true, Ordering::Relaxed);
        let strikes = self.fault.when != When::Once || is_first;
        if strikes {
            tracing::warn!(fault = %self.fault, "fault strikes");
        }
        strikes
    }

    fn number(&self) -> u32 {
        match self.fault.value {
            Given::Number(number) => number,
            _ => 0,
        }
    }

    /// The answer of a function that is not executed.
    fn instead(&self) -> Response {
        match &self.fault.value {
            Given::Status(subject, reason) => {
                let refused = StatusCodeData {
                    subject_code: subject.clone(),
                    reason_code: reason.clone(),
                    subject_identifier: None,
                    message: Some("a fault that was ordered".to_owned()),
                };
                binding::answer(es9::failure(&refused))
            }
            Given::Number(number) => {
                let status = u16::try_from(*number).ok().and_then(|code| StatusCode::from_u16(code).ok());
                binding::bare(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Given::Nothing => hang_up(),
        }
    }

    /// The answer of a function that was executed, made wrong.
    async fn after(&self, (faults, smdp): (&Faults, &SmDp), asked: &Bytes, answer: Response) -> Response {
        match self.fault.row.kind {
            Kind::Lost if self.strikes() => return hang_up(),
            Kind::Empty if self.strikes() => return binding::bare(StatusCode::OK),
            Kind::NoJson if self.strikes() => return Html("<html><body>It works!</body></html>\n").into_response(),
            Kind::Lost | Kind::Empty | Kind::NoJson => return answer,
            _ => {}
        }
        let (mut head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        if self.fault.row.kind == Kind::Torn {
            if body.is_empty() || !self.strikes() {
                return Response::from_parts(head, Body::from(body));
            }
            head.headers.remove(header::CONTENT_LENGTH);
            return Response::from_parts(head, torn(&body));
        }
        match made_wrong(self.fault.row.kind, self.number(), &faults.keys, asked, &body) {
            Ok(wrong) if self.strikes() => {
                if self.fault.at == At::AuthenticateClient {
                    signed_again(smdp, &wrong).await;
                }
                head.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(head, Body::from(wrong))
            }
            Ok(_) => Response::from_parts(head, Body::from(body)),
            Err(why) => {
                tracing::warn!(fault = %self.fault, why, "fault cannot strike at this answer");
                Response::from_parts(head, Body::from(body))
            }
        }
    }
}

/// The eUICC signs over smdpSignature2: what it got is what the session goes on with.
async fn signed_again(smdp: &SmDp, answer: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<AuthenticateClientResponse>(answer) else { return };
    let Ok(signature) = answer.smdp_signature2.decode() else { return };
    let Ok(Some(mut session)) = smdp.store().session(&answer.transaction_id).await else { return };
    if let SessionState::Authenticated(peer) = &mut session.state
        && peer.smdp_signature2 != signature
    {
        peer.smdp_signature2 = signature;
        if let Err(error) = smdp.store().update_session(&session).await {
            tracing::warn!(%error, "the session goes on with the right signature");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::DefaultBodyLimit;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use crypto::provider::Deterministic;
    use hyper_util::service::TowerToHyperService;
    use identities::Eid;
    use rsp::es9::{Function as _, InitiateAuthenticationRequest};
    use system::System;
    use test_pki::{Parameters, Pki};

    use super::super::Listeners;
    use super::*;
    use crate::es9plus::Settings;
    use crate::{MasterKey, SqlStore};

    /// What the layer cannot read is not another request.
    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_as_without_faults() {
        let mut drawn = 0;
        let mut fill = |octets: &mut [u8]| {
            drawn += 1;
            octets.fill(drawn);
        };
        let pki = Pki::mint(&Parameters::new(0, Eid::from_octets([0x89; 16])), &mut fill).unwrap();
        let listeners = Listeners { has_tls: false, has_es2plus: false };
        let ordered = vec!["initiateAuthentication=unknown-field".parse().unwrap()];
        let faults = Faults::new(ordered, listeners, &pki, &System::default()).unwrap();
        let store = SqlStore::open(":memory:", MasterKey::new([7; 32])).await.unwrap();
        let (provider, system) = (Arc::new(Deterministic), System::default());
        let smdp = Arc::new(SmDp::new(store, Settings::default(), Vec::new(), Vec::new(), provider, system));
        let length = |body: Bytes| async move { body.len().to_string() };
        let right = Router::new()
            .route(InitiateAuthenticationRequest::PATH, post(length))
            .layer(DefaultBodyLimit::max(LARGEST_BODY));
        let disturbed = right.clone().layer(from_fn_with_state(Arc::new(Layer { faults, smdp }), strike));
        for (router, length) in
            [(&right, 10), (&disturbed, 10), (&right, LARGEST_BODY + 1), (&disturbed, LARGEST_BODY + 1)]
        {
            let request =
                Request::post(InitiateAuthenticationRequest::PATH).body(Body::from(vec![b'x'; length])).unwrap();
            let service = TowerToHyperService::new(router.clone());
            let answer = hyper::service::Service::call(&service, request).await.unwrap();
            let expected = if length > LARGEST_BODY { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::OK };
            assert_eq!(answer.status(), expected, "{length}");
        }
    }
}
