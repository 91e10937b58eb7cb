//! Who may ask.

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::{Inspector, LONGEST, refuse};

/// The page loads its own files, and asks its own server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Around every request: it has to be meant for this address, and must not be another site's.
pub(super) async fn this_machine(State(inspector): State<Inspector>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&inspector, request.uri(), request.headers()) {
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

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn refusal(inspector: &Inspector, target: &Uri, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let host = only(headers, HOST).unwrap_or_default();
    // The host of a target counts before `Host`. RFC 9112 §3.2.2.
    let named = target.authority().map_or(host, Authority::as_str);
    let is_known = |host: &str| inspector.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
    if !is_known(host) || !is_known(named) {
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
    let shown = only(request.headers(), AUTHORIZATION).and_then(|value| value.split_once(' '));
    // The scheme is written in capitals or not. RFC 9110 §11.1.
    let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    let shown = shown.map_or("", |(_, token)| token.trim_start_matches(' '));
    if bool::from(shown.as_bytes().ct_eq(inspector.token.as_bytes())) {
        // A body that is too long is not waited for.
        let length = only(request.headers(), CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        return match length {
            Some(length) if length > LONGEST as u64 => {
                refuse(StatusCode::PAYLOAD_TOO_LARGE, "a question is not as long as that")
            }
            _ => next.run(request).await,
        };
    }
    refuse(StatusCode::UNAUTHORIZED, "the token is missing or wrong; open the address that was printed")
}
