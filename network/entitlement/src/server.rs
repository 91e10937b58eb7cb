//! The server: authentication, authorization, then the operation.
//!
//! ```text
//! begin ─┬─ token ─────────────► redeem ──────────────────────┐
//!        ├─ EAP_ID ─► EAP packet ─► cookie ─► eap_packet ─────┤
//!        ├─ msisdn ─► SMS ────────► cookie ─► one_time_code ──┼─► document: token, one section per application
//!        ├─ temporary token ─────► redeem ────────────────────┘
//!        └─ nothing ─► 511
//! ```

use std::sync::Arc;

use aaa::count_authentication;
use aaa::eap::{self, Reason, Step, StepInput};
use boss::Boss;
use hlr::{AnySubscription, Hlr, HlrError, Lookup, MasterKey, Status, Subscription};
use identities::Discreet;
use identities::{Eid, Imsi, Msisdn};
use network_base::database::{Database, is_away};
use network_base::language::Language;
use network_base::otp::{Addressee, OneTimeCodes, OtpError, Purpose, SIGN_IN};
use network_base::source::Source;
use system::{Clock, fill_random};
use ts43::{AppId, Operation, OperationType};

use super::document::{Characteristic, Document, Format};
use super::operation::{AuthenticatedRequest, not_served, success};
use super::relay::ResultCode;
use super::request::{Call, OdsaError, Parameters, Request, RequestError};
use super::session::{self, Awaiting, Session, SessionError, Sessions};
use super::token::{Bearer, Holder, TokenError, Tokens};

/// Settings of an operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The portal's address for devices: `https://host`, without a slash at the end.
    pub portal: String,
    /// Validity of a token, in seconds.
    pub token_validity: u64,
    /// Validity of a temporary token, in seconds.
    pub temporary_token_validity: u64,
    /// Validity of a configuration, in seconds.
    pub configuration_validity: u64,
    /// Polling interval of devices, in seconds.
    pub polling_interval: u64,
}

impl Settings {
    /// Usual settings: tokens for thirty days, temporary ones for ten minutes.
    pub fn new(portal: &str) -> Self {
        Self {
            portal: portal.trim_end_matches('/').to_owned(),
            token_validity: 30 * 24 * 3600,
            temporary_token_validity: 10 * 60,
            configuration_validity: 2 * 24 * 3600,
            polling_interval: 1,
        }
    }
}

/// The authorization server. Clones are the same; so are those of other processes with the same database and key.
#[derive(Clone)]
pub struct Entitlement {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) boss: Boss,
    pub(super) hlr: Arc<Hlr>,
    pub(super) codes: OneTimeCodes,
    pub(super) tokens: Tokens,
    sessions: Sessions,
    eap: eap::Server<AnySubscription>,
    pub(super) clock: Clock,
}

/// Properties of a call besides its parameters.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// The session's cookie.
    pub cookie: Option<String>,
    /// Format of the document.
    pub format: Option<Format>,
    /// The user's language, if the call says so.
    pub language: Option<Language>,
    /// The network the call comes from.
    pub source: Source,
}

impl Envelope {
    /// Completed by an earlier call of the session.
    fn after(&self, format: Format, language: Option<Language>) -> Self {
        Self { format: self.format.or(Some(format)), language: self.language.or(language), ..self.clone() }
    }
}

/// The answer for a device.
#[derive(Debug)]
pub enum Answer {
    /// An EAP packet to be answered.
    Packet {
        /// The packet.
        packet: Vec<u8>,
        /// A cookie, if the session is new.
        cookie: Option<String>,
    },
    /// Nothing: a code was sent.
    CodeSent {
        /// The cookie to send it back with.
        cookie: String,
    },
    /// The document.
    Document {
        /// The document.
        document: Document,
        /// How it is written.
        format: Format,
        /// The language of the texts in it.
        language: Language,
    },
}

/// Why there is no document. TS.43 §2.10.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Invalid request: 400, 405 or 406.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The temporary token is invalid or expired: 401.
    #[error("invalid or expired temporary token")]
    TemporaryToken,
    /// The subscriber or device is not authorized: 403.
    #[error("not allowed: {0}")]
    Forbidden(&'static str),
    /// The card was not authenticated: 403.
    #[error("card authentication failed: {reason}")]
    Rejected {
        /// EAP-Failure.
        packet: Vec<u8>,
        /// The cause, for the log.
        reason: Reason,
    },
    /// Transfer of a companion's subscription is not supported: 406.
    #[error("a companion's subscription cannot be transferred")]
    CompanionTransfer,
    /// The device has to authenticate, by a method it has not tried yet: 511.
    #[error("authentication is required: {0}")]
    AuthenticationRequired(&'static str),
    /// Too many codes for this number, known or not: 503.
    #[error("too many codes; another one in {retry_after} s")]
    TooManyCodes {
        /// When to try again, in seconds from now.
        retry_after: u64,
    },
    /// Temporarily unavailable: 503.
    #[error("temporarily unavailable, retry in {retry_after} s: {because}")]
    Unavailable {
        /// When to try again, in seconds from now.
        retry_after: u64,
        /// The cause.
        because: &'static str,
    },
    /// Internal error: 500.
    #[error("{0}")]
    Internal(String),
}

impl Refusal {
    /// Retry-After while the database is unavailable, in seconds.
    const DATABASE_AWAY: u64 = 2;

    /// A temporary internal error.
    pub(super) fn trouble(error: &(dyn std::error::Error + 'static)) -> Self {
        if is_away(error) {
            return Self::Unavailable { retry_after: Self::DATABASE_AWAY, because: "the database is away" };
        }
        Self::Internal(error.to_string())
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Full => Self::Unavailable { retry_after: 30, because: "too many have not proved themselves" },
            other => Self::trouble(&other),
        }
    }
}

impl From<HlrError> for Refusal {
    fn from(error: HlrError) -> Self {
        Self::trouble(&error)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::trouble(&error)
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Unknown => Self::AuthenticationRequired("invalid or expired token"),
            TokenError::NotYours => Self::AuthenticationRequired("the token is another device's"),
            TokenError::OtherEid => Self::Forbidden(OTHER_EUICC),
            TokenError::NotForThis => Self::Forbidden("the token is for other operations"),
            other => Self::trouble(&other),
        }
    }
}

impl Entitlement {
    /// A server. `key` seals the state between two packets; `database` is the operator's.
    pub fn new(
        database: Database,
        key: Arc<MasterKey>,
        hlr: Arc<Hlr>,
        boss: Boss,
        codes: OneTimeCodes,
        settings: Settings,
        clock: Clock,
    ) -> Self {
        let eap = eap::Server::new(eap::Settings::relay(), AnySubscription(Arc::clone(&hlr)));
        let sessions = Sessions::new(database.clone(), Arc::clone(&key));
        let tokens = Tokens::new(database, key);
        Self { inner: Arc::new(Inner { settings, boss, hlr, codes, tokens, sessions, eap, clock }) }
    }

    /// Answers one call.
    pub async fn call(&self, parameters: Parameters, envelope: &Envelope, now: u64) -> Result<Answer, Refusal> {
        match Call::read(parameters)? {
            Call::Begin(request) => self.begin(&request, envelope, now).await,
            Call::EapPacket(packet) => self.eap_packet(&packet, envelope, now).await,
            Call::OneTimeCode(code) => self.one_time_code(&code, envelope, now).await,
        }
    }

    async fn begin(&self, request: &Request, envelope: &Envelope, now: u64) -> Result<Answer, Refusal> {
        let credentials = &request.credentials;
        let bearer =
            Bearer { terminal_id: &request.terminal.id, apps: &request.apps, app_name: request.app_name.as_deref() };
        if let Some(token) = &credentials.token {
            match self.inner.tokens.redeem(token, &bearer, now).await {
                Ok(mut holder) => {
                    agrees(credentials.eap_id.as_deref(), &holder)?;
                    if holder.by_code && holder.eid.is_none() {
                        holder.eid = request.eid()?;
                        if let Some(eid) = &holder.eid {
                            self.inner.tokens.settle_eid(token, &holder, eid).await?;
                        }
                    }
                    return self.document(&holder, request, envelope, Proved::Token, now).await;
                }
                // The card can authenticate again.
                Err(TokenError::Unknown | TokenError::NotYours) if credentials.eap_id.is_some() => {}
                Err(error) => {
                    tracing::info!(error = %Discreet(&error), "token refused");
                    return Err(error.into());
                }
            }
        }
        if let Some(token) = &credentials.temporary_token {
            let operation = request.odsa().ok().map(|odsa| odsa.operation);
            let holder = self.inner.tokens.redeem_temporary(token, &bearer, operation, now).await;
            let holder = holder.map_err(|error| match error {
                TokenError::Unknown => Refusal::TemporaryToken,
                TokenError::NotYours => Refusal::Forbidden("the temporary token is another device's"),
                other => other.into(),
            })?;
            agrees(credentials.eap_id.as_deref(), &holder)?;
            return self.document(&holder, request, envelope, Proved::TemporaryToken, now).await;
        }
        if let Some(identity) = &credentials.eap_id {
            return self.begin_eap(identity, request, envelope, now).await;
        }
        if let Some(msisdn) = &credentials.msisdn {
            return self.send_code(msisdn, request, envelope, now).await;
        }
        Err(Refusal::AuthenticationRequired("nothing proves who it is"))
    }

    /// The first packet: a challenge, or in EAP-SIM what precedes it. TS.43 §2.8.1.
    async fn begin_eap(
        &self,
        identity: &str,
        request: &Request,
        envelope: &Envelope,
        now: u64,
    ) -> Result<Answer, Refusal> {
        let imsi = permanent(identity)?;
        if request.imsi.as_ref().is_some_and(|other| *other != imsi) {
            return Err(Refusal::Forbidden("EAP_ID and IMSI contradict each other"));
        }
        // A vector is used only if the session can be kept.
        self.inner.sessions.may_begin(&envelope.source, now).await?;
        let mut identifier = [0];
        fill_random(&mut identifier);
        let [identifier] = identifier;
        let mut given = StepInput { random: &mut fill_random, now };
        let step = self.inner.eap.start(Some(identity.as_bytes()), identifier, &mut given).await;
        count_authentication("ts43", &step);
        match step {
            Step::Request { packet, session } => {
                let session = Session {
                    parameters: request.parameters().clone(),
                    format: envelope.format.unwrap_or(Format::Xml),
                    language: envelope.language,
                    awaiting: Awaiting::Eap(session),
                };
                let cookie = self.inner.sessions.begin(&session, &envelope.source, now).await?.to_string();
                Ok(Answer::Packet { packet, cookie: Some(cookie) })
            }
            Step::Failure { packet, reason } => Err(failed(packet, reason, request)),
            Step::Success(_) | Step::Ignored(_) => Err(Refusal::Internal("EAP ended before it began".into())),
        }
    }

    /// The answer to a packet.
    async fn eap_packet(&self, packet: &[u8], envelope: &Envelope, now: u64) -> Result<Answer, Refusal> {
        let claimed = match &envelope.cookie {
            Some(cookie) => self.inner.sessions.claim(cookie, now).await?,
            None => None,
        };
        let claimed = claimed.ok_or(Refusal::AuthenticationRequired("there is no such session"))?;
        let Session { parameters, format, language, awaiting } = claimed.session;
        let Awaiting::Eap(session) = awaiting else {
            return Err(RequestError::Malformed("an EAP packet where a code is awaited").into());
        };
        let request = Request::read(parameters)?;
        let mut given = StepInput { random: &mut fill_random, now };
        let step = self.inner.eap.respond(session, packet, &mut given).await;
        count_authentication("ts43", &step);
        match step {
            Step::Request { packet, session } => {
                let parameters = request.parameters().clone();
                let session = Session { parameters, format, language, awaiting: Awaiting::Eap(session) };
                self.inner.sessions.keep(&claimed.id, &session).await?;
                Ok(Answer::Packet { packet, cookie: None })
            }
            // The session in the database is unchanged.
            Step::Ignored(_) => Err(RequestError::Malformed("not the answer to the last EAP packet").into()),
            Step::Failure { packet, reason } => {
                self.inner.sessions.end(&claimed.id).await?;
                Err(failed(packet, reason, &request))
            }
            Step::Success(success) => {
                if !self.inner.sessions.end(&claimed.id).await? {
                    return Err(Refusal::AuthenticationRequired("the session has ended"));
                }
                let holder = holder(success.imsi, &request, false, None);
                let envelope = envelope.after(format, language);
                self.document(&holder, &request, &envelope, Proved::Card, now).await
            }
        }
    }

    /// A code by SMS. TS.43 §8.3.
    async fn send_code(
        &self,
        msisdn: &Msisdn,
        request: &Request,
        envelope: &Envelope,
        now: u64,
    ) -> Result<Answer, Refusal> {
        let eid = request.eid()?;
        let subscriber = self.inner.hlr.pilot(msisdn).await?;
        let subscriber = subscriber.filter(|found| found.status == Status::Active).map(|found| found.imsi);
        let session = Session {
            parameters: request.parameters().clone(),
            format: envelope.format.unwrap_or(Format::Xml),
            language: envelope.language,
            awaiting: Awaiting::Code { msisdn: msisdn.clone(), eid, subscriber: subscriber.clone() },
        };
        let cookie = self.inner.sessions.begin(&session, &envelope.source, now).await?;
        let id = session::id(&cookie);
        let digits = eid.as_ref().map(Eid::to_string).unwrap_or_default();
        let purpose = [SIGN_IN_PURPOSE, id.as_str(), msisdn.as_str(), &digits];
        let message = (&SIGN_IN, envelope.language.unwrap_or_default());
        let to = Addressee { called: msisdn.as_str(), subscription: subscriber.as_ref(), source: &envelope.source };
        match self.inner.codes.send(Purpose(&purpose), to, message, now).await {
            Ok(()) => Ok(Answer::CodeSent { cookie: cookie.to_string() }),
            Err(OtpError::TooMany { after }) => {
                self.inner.sessions.end(&id).await?;
                Err(Refusal::TooManyCodes { retry_after: after })
            }
            Err(error) => Err(Refusal::trouble(&error)),
        }
    }

    /// The code from the SMS.
    async fn one_time_code(&self, code: &str, envelope: &Envelope, now: u64) -> Result<Answer, Refusal> {
        let claimed = match &envelope.cookie {
            Some(cookie) => self.inner.sessions.claim(cookie, now).await?,
            None => None,
        };
        let claimed = claimed.ok_or(Refusal::AuthenticationRequired("there is no such session"))?;
        let Session { parameters, format, language, awaiting } = claimed.session;
        let Awaiting::Code { msisdn, eid, subscriber } = awaiting else {
            return Err(RequestError::Malformed("a code where an EAP packet is awaited").into());
        };
        let digits = eid.as_ref().map(Eid::to_string).unwrap_or_default();
        let purpose = [SIGN_IN_PURPOSE, claimed.id.as_str(), msisdn.as_str(), &digits];
        match self.inner.codes.verify(Purpose(&purpose), code, now).await {
            Ok(()) => {}
            Err(OtpError::Wrong { left: 1.. }) => return Err(Refusal::AuthenticationRequired("the code is wrong")),
            Err(OtpError::Wrong { .. } | OtpError::Gone | OtpError::TooMany { .. }) => {
                self.inner.sessions.end(&claimed.id).await?;
                return Err(Refusal::AuthenticationRequired("the code is wrong, for the last time"));
            }
            Err(error) => return Err(Refusal::trouble(&error)),
        }
        let ended = self.inner.sessions.end(&claimed.id).await?;
        let subscriber = subscriber.filter(|_| ended);
        let subscriber = subscriber.ok_or(Refusal::AuthenticationRequired("the session has ended"))?;
        let request = Request::read(parameters)?;
        let holder = holder(subscriber, &request, true, eid);
        let envelope = envelope.after(format, language);
        self.document(&holder, &request, &envelope, Proved::Code, now).await
    }

    /// Executes the request, and answers with a document.
    async fn document(
        &self,
        holder: &Holder,
        request: &Request,
        envelope: &Envelope,
        proved: Proved,
        now: u64,
    ) -> Result<Answer, Refusal> {
        if request.imsi.as_ref().is_some_and(|imsi| *imsi != holder.imsi) {
            return Err(Refusal::Forbidden("the IMSI is not the one that was proved"));
        }
        let subscription = self.inner.hlr.lookup(Lookup::Imsi(&holder.imsi)).await?.pop();
        let subscription = subscription.ok_or(Refusal::Forbidden("there is no such subscription any more"))?;
        if subscription.status != Status::Active && !may_out_of_service(request, proved) {
            return Err(Refusal::Forbidden("the subscription is not active"));
        }
        let mut applications = Vec::with_capacity(request.apps.len());
        for app in &request.apps {
            let section = self.section(*app, holder, &subscription, request, envelope, proved, now).await?;
            applications.push((app.as_str().to_owned(), section));
        }
        let language = envelope.language.unwrap_or_default();
        for app in &request.not_served {
            tracing::info!(imsi = ?holder.imsi, app, "not served");
            applications.push((app.clone(), not_served(language)));
        }
        let Settings { token_validity, configuration_validity, .. } = self.inner.settings;
        let tokens = &self.inner.tokens;
        let token = match (proved, &request.credentials.token) {
            (Proved::TemporaryToken, _) => None,
            // It could not be used.
            _ if request.apps.is_empty() => None,
            // A card out of service learns its status, and is authorized for nothing else.
            (Proved::Card, _) if subscription.status != Status::Active => None,
            (Proved::Token, Some(shown)) => Some(tokens.renew(shown, holder, token_validity, now).await?),
            _ => tokens.issue(holder, token_validity, now).await?,
        };
        let document = Document { version: 1, validity: configuration_validity, token, applications };
        let format = envelope.format.unwrap_or(Format::Xml);
        Ok(Answer::Document { document, format, language })
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of a request comes together here")]
    async fn section(
        &self,
        app: AppId,
        holder: &Holder,
        subscription: &Subscription,
        request: &Request,
        envelope: &Envelope,
        proved: Proved,
        now: u64,
    ) -> Result<Characteristic, Refusal> {
        let language = envelope.language.unwrap_or_default();
        let odsa = request.odsa();
        let result = match &odsa {
            Err(_) if request.is_authentication_only() => Ok(success()),
            // Changes are requested for one application.
            Ok(odsa) if request.apps.len() > 1 && !odsa.only_looks() => {
                Err(OdsaError::Invalid(ts43::parameter::APP).into())
            }
            Ok(odsa) => {
                let (server, source) = (&*self.inner, &envelope.source);
                let asking =
                    AuthenticatedRequest { server, app, holder, subscription, odsa, language, proved, source, now };
                asking.answer().await
            }
            Err(error) => Err((*error).into()),
        };
        let section = match result {
            Ok(section) => section,
            Err(failure) => failure.section(language)?,
        };
        let operation = odsa.as_ref().map_or("none", |odsa| odsa.operation.as_str());
        let result = section.value(ts43::answer::OPERATION_RESULT).unwrap_or_default();
        tracing::info!(imsi = ?holder.imsi, app = app.as_str(), operation, result, "entitlement");
        Ok(section)
    }
}

/// Whether this is permitted to a subscription out of service: a device whose number has moved may ask for the result,
/// as far as it was authorized before; one that authenticated only by its card, for its status.
fn may_out_of_service(request: &Request, proved: Proved) -> bool {
    let Ok(odsa) = request.odsa() else { return false };
    let looks = odsa.operation == Operation::AcquireConfiguration;
    match (proved, &request.apps[..]) {
        (_, []) => false,
        (Proved::Card, apps) => looks && !apps.contains(&AppId::Companion),
        (Proved::Code | Proved::Token | Proved::TemporaryToken, apps) => {
            looks || apps.len() == 1 && odsa.operation_type == Some(OperationType::Update)
        }
    }
}

/// The holder of a token after this request, `by_code` or by the card.
fn holder(imsi: Imsi, request: &Request, by_code: bool, eid: Option<Eid>) -> Holder {
    let Request { terminal, apps, app_name, .. } = request;
    Holder { imsi, terminal_id: terminal.id.clone(), apps: apps.clone(), app_name: app_name.clone(), by_code, eid }
}

/// The IMSI of a permanent identity. This server assigns no pseudonyms.
fn permanent(identity: &str) -> Result<Imsi, RequestError> {
    let imsi = ::eap::Identity::parse(identity.as_bytes()).and_then(|identity| identity.imsi()?.parse().ok());
    imsi.ok_or(RequestError::Invalid(ts43::parameter::EAP_ID))
}

/// Refuses the identity of one card beside the token of another.
fn agrees(eap_id: Option<&str>, holder: &Holder) -> Result<(), Refusal> {
    match eap_id.map(permanent).transpose()? {
        Some(imsi) if imsi != holder.imsi => Err(Refusal::Forbidden("EAP_ID and token contradict each other")),
        _ => Ok(()),
    }
}

/// How the device was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proved {
    Card,
    Code,
    Token,
    TemporaryToken,
}

pub(super) const OTHER_EUICC: &str = "the code was for another eUICC";
const SIGN_IN_PURPOSE: &str = "sign in";

/// What a failed authentication means. TS.43 §2.10.
fn failed(packet: Vec<u8>, reason: Reason, request: &Request) -> Refusal {
    let code = ResultCode::of(&reason);
    tracing::info!(reason = %Discreet(&reason), code = code as u16, "authentication failed");
    if code.is_final() {
        Refusal::Rejected { packet, reason }
    } else if request.credentials.token.is_none() {
        // A code by SMS is an alternative.
        Refusal::AuthenticationRequired("the card cannot be asked")
    } else {
        Refusal::Unavailable { retry_after: 30, because: "the card cannot be asked" }
    }
}
