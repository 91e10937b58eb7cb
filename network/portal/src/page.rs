//! What all pages have in common, and what is said when a request is refused.

use askama::Template;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use boss::BossError;
use hlr::HlrError;
use identities::Discreet;
use network_base::language::{Language, Text};
use network_base::otp::OtpError;
use network_base::secret::fresh;
use serde_json::json;

use super::session::{Area, Cookie, SessionError, form_token};
use super::{Portal, text};

/// Characters of a visit: those of a fresh secret.
const VISIT: usize = 43;

/// The client of a request.
#[derive(Clone)]
pub(super) struct Visitor {
    /// The language they are spoken to in.
    pub(super) language: Language,
    /// The browser's cookie.
    pub(super) visit: String,
    /// The token their forms have.
    pub(super) form: String,
    /// Where the page is found in another language: path and query, ready for one more parameter.
    here: String,
    /// A program, not a person, reads the answer: it wants JSON.
    pub(super) wants_json: bool,
    nonce: String,
}

impl Visitor {
    /// The same, whose page is found at this path by GET: a path with `?`, and parameters with `&` behind them.
    pub(super) fn at(self, here: String) -> Self {
        Self { here, ..self }
    }
}

impl FromRequestParts<Portal> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Portal) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or(Refusal::Malformed)
    }
}

/// Around every request: finds out who asks, and says what must be said with every answer.
pub(super) async fn frame(State(portal): State<Portal>, mut request: Request, next: Next) -> Response {
    let cookie = Cookie::Visit.read(request.headers()).filter(|visit| visit.len() == VISIT).map(str::to_owned);
    let (Ok(fresh), Ok(nonce)) = (fresh(), fresh()) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let chosen = chosen_language(request.uri().query());
    let visit = cookie.clone().unwrap_or_else(|| fresh.to_string());
    let visitor = Visitor {
        language: chosen.unwrap_or_else(|| language(request.headers())),
        form: form_token(&visit),
        here: here(request.method(), request.uri()),
        wants_json: wants_json(request.headers()),
        nonce: nonce.to_string(),
        visit,
    };
    request.extensions_mut().insert(visitor.clone());
    let mut response = next.run(request).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        response = refusal.answer(&portal, &visitor);
    }
    let headers = response.headers_mut();
    if headers.contains_key(CACHE_CONTROL) {
        // A file, the same for everyone.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        return response;
    }
    guard(headers, visitor.language, Some(&visitor.nonce));
    if cookie.is_none() {
        let (name, value) = Cookie::Visit.set(&visitor.visit);
        headers.append(name, value);
    }
    remember(headers, chosen);
    response
}

/// What browsers are told about a page: where it may load from, and the `nonce` of its script, if it has one; and that
/// nobody keeps it.
pub(super) fn guard(headers: &mut HeaderMap, language: Language, nonce: Option<&str>) {
    let script = nonce.map_or_else(|| "'none'".to_owned(), |nonce| format!("'nonce-{nonce}'"));
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src {script}; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not no-referrer: browsers would send the origin of our own forms as null.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    );
}

/// Has the browser remember a language that was chosen.
pub(super) fn remember(headers: &mut HeaderMap, chosen: Option<Language>) {
    if let Some(language) = chosen {
        let (name, value) = Cookie::Language.set(language.tag());
        headers.append(name, value);
    }
}

/// The parameter that chooses a language.
pub(super) const LANGUAGE: &str = "lang";

/// The language a query chooses.
pub(super) fn chosen_language(query: Option<&str>) -> Option<Language> {
    let mut fields = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    fields.find(|(name, _)| name == LANGUAGE).and_then(|(_, tag)| Language::of_tag(&tag))
}

/// The language a browser prefers.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let accepted = || headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Cookie::Language.read(headers).and_then(Language::of_tag).unwrap_or_else(|| Language::accepted(accepted()))
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

fn here(method: &Method, uri: &Uri) -> String {
    if !matches!(*method, Method::GET | Method::HEAD) {
        // What answers a form is found nowhere; its area is.
        let area = uri.path().split('/').nth(1).unwrap_or_default();
        return format!("/{area}/?");
    }
    here_at(uri)
}

/// Where the page of a GET is found in another language.
pub(super) fn here_at(uri: &Uri) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let fields = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    for (name, value) in fields.filter(|(name, _)| name != LANGUAGE) {
        query.append_pair(&name, &value);
    }
    match query.finish().as_str() {
        "" => format!("{}?", uri.path()),
        query => format!("{}?{query}&", uri.path()),
    }
}

/// What the layout of every page needs.
pub(super) struct Page {
    pub(super) language: Language,
    pub(super) title: String,
    pub(super) operator: String,
    pub(super) support: String,
    pub(super) form: String,
    pub(super) nonce: String,
    pub(super) style: &'static str,
    here: String,
}

/// A language the page can be had in.
pub(super) struct Choice {
    pub(super) language: Language,
    pub(super) href: String,
    pub(super) current: bool,
}

impl Page {
    pub(super) fn new(portal: &Portal, visitor: &Visitor, title: impl Into<String>) -> Self {
        let settings = portal.settings();
        Self {
            language: visitor.language,
            title: title.into(),
            operator: settings.operator.clone(),
            support: settings.support.clone(),
            form: visitor.form.clone(),
            nonce: visitor.nonce.clone(),
            style: "",
            here: visitor.here.clone(),
        }
    }

    /// A page without forms and scripts, of an operator of this name, with this support; `here` as a visitor has it.
    pub(super) fn of_nobody(
        language: Language,
        title: String,
        (operator, support): (&str, &str),
        here: String,
    ) -> Self {
        let (operator, support) = (operator.to_owned(), support.to_owned());
        Self { language, title, operator, support, form: String::new(), nonce: String::new(), style: "", here }
    }

    /// The same, as wide as a table needs.
    pub(super) fn wide(self) -> Self {
        Self { style: "wide", ..self }
    }

    pub(super) fn say(&self, text: &Text) -> &'static str {
        text.get(self.language)
    }

    pub(super) fn languages(&self) -> Vec<Choice> {
        let choice = |&language: &Language| Choice {
            language,
            href: format!("{}{LANGUAGE}={}", self.here, language.tag()),
            current: language == self.language,
        };
        Language::ALL.iter().map(choice).collect()
    }

    /// The one script.
    #[expect(clippy::unused_self, reason = "templates call it as the page's")]
    pub(super) fn bridge(&self) -> &'static str {
        include_str!("bridge.js")
    }
}

/// A name and a value, in a list of facts.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// The answer with this page. What steers how a text is read stands in it as escapes, wherever it comes from: names of
/// devices are chosen by the subscriber, and read by others.
pub(super) fn html(status: StatusCode, template: &impl Template) -> Result<Response, Refusal> {
    let page = template.render().map_err(|error| {
        tracing::error!(error = %Discreet(&error), "cannot render a page");
        Refusal::Busy
    })?;
    let page = printable::escaped(&page).into_owned();
    Ok((status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response())
}

/// Sends the browser on with a GET.
pub(super) fn see_other(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// Why a request does not get what it asks for. [`frame`] makes a page of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TicketExpired,
    TicketUnknown,
    TicketUsed,
    Forged,
    Malformed,
    TooLarge,
    TooOften { after: u64 },
    NotFound,
    Method,
    Impossible(Text),
    Busy,
    SignIn(Area),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::TicketExpired | Self::TicketUsed => StatusCode::GONE,
            Self::TicketUnknown | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forged => StatusCode::FORBIDDEN,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Impossible(_) => StatusCode::CONFLICT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::SignIn(_) => StatusCode::SEE_OTHER,
        }
    }

    /// For programs.
    const fn name(&self) -> &'static str {
        match self {
            Self::TicketExpired => "expired",
            Self::TicketUnknown => "unknown",
            Self::TicketUsed => "used",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::TooOften { .. } => "too-often",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Impossible(_) => "impossible",
            Self::Busy => "busy",
            Self::SignIn(_) => "sign-in",
        }
    }

    const fn words(&self) -> (Text, Text) {
        match self {
            Self::TicketExpired => (text::TICKET_EXPIRED, text::TICKET_EXPIRED_LEAD),
            Self::TicketUnknown => (text::TICKET_UNKNOWN, text::TICKET_UNKNOWN_LEAD),
            Self::TicketUsed => (text::TICKET_USED, text::TICKET_USED_LEAD),
            Self::Forged => (text::FORGED, text::FORGED_LEAD),
            Self::Malformed => (text::MALFORMED, text::MALFORMED_LEAD),
            Self::TooLarge => (text::TOO_LARGE, text::TOO_LARGE_LEAD),
            Self::TooOften { .. } => (text::TOO_OFTEN, text::TOO_OFTEN_LEAD),
            Self::NotFound | Self::Method => (text::NOT_FOUND, text::NOT_FOUND_LEAD),
            Self::Impossible(why) => (text::REFUSED, *why),
            Self::Busy | Self::SignIn(_) => (text::BUSY, text::BUSY_LEAD),
        }
    }

    fn answer(&self, portal: &Portal, visitor: &Visitor) -> Response {
        if let Self::SignIn(area) = self {
            return see_other(area.sign_in());
        }
        let (title, lead) = self.words();
        let (title, lead) = (title.get(visitor.language), lead.get(visitor.language));
        tracing::info!(refused = self.name(), status = self.status().as_u16(), "portal request refused");
        let body = if visitor.wants_json {
            let body = json!({ "result": "refused", "error": self.name(), "title": title, "text": lead });
            (self.status(), axum::Json(body)).into_response()
        } else {
            let area = visitor.here.split('/').nth(1).unwrap_or_default();
            let message = Message {
                page: Page::new(portal, visitor, title),
                lead,
                back: matches!(area, "care" | "office").then(|| format!("/{area}/")),
                result: (area == "portal").then_some("refused"),
            };
            html(self.status(), &message).unwrap_or_else(|_| self.status().into_response())
        };
        match self {
            Self::TooOften { after } => ([(RETRY_AFTER, after.to_string())], body).into_response(),
            Self::Busy => ([(RETRY_AFTER, "5")], body).into_response(),
            _ => body,
        }
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    page: Page,
    lead: &'static str,
    back: Option<String>,
    result: Option<&'static str>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BossError> for Refusal {
    fn from(error: BossError) -> Self {
        match error {
            BossError::Expired => Self::TicketExpired,
            BossError::UnknownTicket => Self::TicketUnknown,
            BossError::Decided => Self::TicketUsed,
            BossError::UnknownOrder(_) => Self::NotFound,
            BossError::Hlr(error) => error.into(),
            BossError::Database(error) => error.into(),
            BossError::Randomness(_) | BossError::Corrupt(_) => {
                tracing::error!(error = %Discreet(&error), "portal request failed");
                Self::Busy
            }
            other => Self::Impossible(text::impossible(&other)),
        }
    }
}

impl From<HlrError> for Refusal {
    fn from(error: HlrError) -> Self {
        match error {
            HlrError::Database(error) => error.into(),
            HlrError::WouldStrand(_) => Self::Impossible(text::WOULD_STRAND),
            // Its message may name subscribers.
            _ => Self::Impossible(text::NOT_NOW),
        }
    }
}

impl From<OtpError> for Refusal {
    fn from(error: OtpError) -> Self {
        match error {
            OtpError::TooMany { after } => Self::TooOften { after },
            error => {
                tracing::error!(error = %Discreet(&error), "one-time codes unavailable");
                Self::Busy
            }
        }
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        tracing::error!(error = %Discreet(&error), "sessions unavailable");
        Self::Busy
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(error = %Discreet(&error), "the portal's database failed");
        Self::Busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(source = "<td title=\"{{ name }}\">{{ name }}</td>\n", ext = "html")]
    struct OneName<'a> {
        name: &'a str,
    }

    /// A name stands alone in its cell or line; what would reach beyond it, or is there unseen, is shown as what it is.
    #[tokio::test]
    async fn names_steer_no_page() {
        for (name, shown) in [
            ("A\u{202E}B", "A\\u{202e}B"),
            ("A\u{2028}B\u{2066}", "A\\u{2028}B\\u{2066}"),
            ("\u{FEFF}\u{200B}\u{AD}\u{180E}", "\\u{feff}\\u{200b}\\u{ad}\\u{180e}"),
            ("<b>\u{1B}[2J\r", "&#60;b&#62;\\u{1b}[2J\\r"),
            ("時計 👩\u{200D}👧 ❤\u{FE0F}", "時計 👩\u{200D}👧 ❤\u{FE0F}"),
        ] {
            let page = html(StatusCode::OK, &OneName { name }).unwrap();
            let body = axum::body::to_bytes(page.into_body(), 1000).await.unwrap();
            assert_eq!(core::str::from_utf8(&body).unwrap(), format!("<td title=\"{shown}\">{shown}</td>\n"));
        }
    }

    #[test]
    fn the_same_page_in_another_language() {
        let here = |uri: &'static str| here(&Method::GET, &Uri::from_static(uri));
        assert_eq!(here("/care/"), "/care/?");
        assert_eq!(here("/portal/contract?ticket=a%26b&lang=ja"), "/portal/contract?ticket=a%26b&");
        assert_eq!(super::here(&Method::POST, &Uri::from_static("/care/code")), "/care/?");
    }

    #[test]
    fn programs_ask_for_json() {
        let accept =
            |value: &'static str| wants_json(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]));
        assert!(accept("application/json"));
        assert!(!accept("text/html,application/json;q=0.9,*/*;q=0.8") && !accept("*/*"));
    }
}
