//! Who may ask.

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::{Inspector, refuse};

/// The page loads its own files, and asks its own server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Around every request: it has to be meant for this address, and must not be another site's.
pub(super) async fn this_machine(State(inspector): State<Inspector>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&inspector, request.headers()) {
        Some((status, why)) => refuse(status, why),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refusal(inspector: &Inspector, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    if !inspector.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "this is not the address of the page"));
    }
    let is_own = |origin: &HeaderValue| {
        let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    let site = headers.get(HeaderName::from_static("sec-fetch-site"));
    let is_foreign = headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin))
        || site.is_some_and(|site| site != "same-origin" && site != "none");
    is_foreign.then_some((StatusCode::FORBIDDEN, "another site has sent this request"))
}

/// Around every question: it has to have the token.
pub(super) async fn token(State(inspector): State<Inspector>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if bool::from(shown.as_bytes().ct_eq(inspector.token.as_bytes())) {
        return next.run(request).await;
    }
    refuse(StatusCode::UNAUTHORIZED, "the token is missing or wrong; open the address that was printed")
}
