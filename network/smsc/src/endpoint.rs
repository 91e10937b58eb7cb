//! The endpoint for phones without a radio: they attach with their card, fetch messages over HTTPS, and send some. See [`mt`].
//!
//! ```text
//! POST /mt/v1/attach  {"identity": NAI}                           → 200 {"session", "eap-relay-packet"}
//! POST /mt/v1/attach  {"session", "eap-relay-packet"}             → 200 the same again, or {"attachment": token}
//!                                                                   403 {"eap-relay-packet": EAP-Failure}
//! GET  /mt/v1/messages?wait=SECONDS    Authorization: Bearer      → 200 {"messages": [{"id", "smsc", "tpdu"}]}
//! POST /mt/v1/messages/ID {"delivered": true|false, "cause": …}   → 204
//! POST /mt/v1/memory-available                                    → 204
//! POST /mt/v1/submissions  {"tpdu"}                               → 200 {"id"}, 422 {"cause", "error"}
//! ```
//!
//! A message refused with cause 22, memory capacity exceeded, waits until the phone reports available
//! memory (RP-SMMA), or for an hour; it does not count as a failed attempt.
//!
//! A message is delivered until it is acknowledged. A phone waits once: a new request ends its earlier wait. A wait
//! holds a connection, so waits may use half of the connections of one network, and half of all. If a place is needed,
//! the longest wait is answered early; if none has lasted long, 503 says when to retry. All state of a phone is in the
//! database: any process can answer the next request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aaa::count_authentication;
use aaa::eap::{Server, Session, Settings, Step, StepInput};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use eap::packet as eap_packet;
use hlr::{AnySubscription, Hlr, HlrError, Lookup, Status};
use https::Whole;
use identities::Discreet;
use identities::Imsi;
use mt::cause::MEMORY_EXCEEDED;
use mt::{
    Acknowledgement, AttachAnswer, AttachRefusal, AttachRequest, Message, Messages, Packet, SubmitRefusal, Submitted,
    Wait, path,
};
use network_base::database::column::seconds;
use network_base::database::{Durability, change};
use network_base::source::{Quota, Source};
use network_base::{bearer, secret};
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, Row, query};
use system::{fill_random, unix_now};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

use super::message::SmscError;
use super::origination::rp_cause;
use super::store::{Event, Smsc};

/// Maximum size of a request; real ones are far smaller.
const LARGEST_BODY: usize = 8 * 1024;
/// How long a phone may wait for messages, in seconds.
const LONGEST_WAIT: u64 = 55;
/// How often the database is polled for a waiting phone: messages may have been submitted to another process.
const GLANCE: Duration = Duration::from_secs(1);
/// Timeout for the next packet of an EAP conversation, in seconds.
const CONVERSATION: u64 = 60;
/// Quota of EAP conversations.
const QUOTA: Quota = Quota { table: "mt_conversation", all: 10_000, each: 500 };
/// Maximum number of waiting phones: they leave half of the endpoint's connections to others,
const MOST_WAITING: usize = https::MOST_CONNECTIONS / 2;
/// and half of their network's to those that share it, for example behind a NAT.
const MOST_WAITING_OF_ONE: usize = https::MOST_OF_ONE / 2;
/// A phone waits this long before it makes room for another, so that too many phones do not displace each
/// other all the time.
const SHORTEST_WAIT: Duration = Duration::from_secs(10);
/// Validity of an attachment, in seconds.
const ATTACHMENT: u64 = 24 * 3600;

/// State of the endpoint besides messages.
pub(super) struct Endpoint {
    eap: Server<AnySubscription>,
    waits: Waits,
}

impl Endpoint {
    pub(super) fn new(hlr: Arc<Hlr>) -> Self {
        Self {
            eap: Server::new(Settings::relay(), AnySubscription(hlr)),
            waits: Waits::new(MOST_WAITING, MOST_WAITING_OF_ONE),
        }
    }
}

/// The waiting phones.
struct Waits {
    most: usize,
    most_of_one: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Number of the latest wait; earlier ones have lower numbers.
    number: u64,
    /// All waits that have not been told to end.
    waits: BTreeMap<u64, Held>,
}

struct Held {
    imsi: Imsi,
    source: Source,
    since: Instant,
    ended: Arc<Notify>,
}

/// A phone that waits, until dropped.
struct Waiting<'a> {
    number: u64,
    /// Notified when it should be answered: the same phone waits anew, or another one needs the place.
    ended: Arc<Notify>,
    waits: &'a Waits,
}

impl Waits {
    fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, table: Mutex::default() }
    }

    /// Starts a wait, which replaces the phone's earlier one. `None` if all places are taken by others that have not
    /// waited long; its earlier wait continues then.
    fn begin(&self, imsi: &Imsi, source: &Source, now: Instant) -> Option<Waiting<'_>> {
        let mut table = self.table();
        let is_other = |wait: &Held| wait.imsi != *imsi;
        // Unknown if the listener does not tell.
        let is_neighbour = |wait: &Held| is_other(wait) && *source != Source::default() && wait.source == *source;
        if table.waits.values().filter(|wait| is_neighbour(wait)).count() >= self.most_of_one {
            table.make_room(is_neighbour, now)?;
        } else if table.waits.values().filter(|wait| is_other(wait)).count() >= self.most {
            table.make_room(is_other, now)?;
        }
        table.end(|wait| wait.imsi == *imsi);
        table.number += 1;
        let (number, ended) = (table.number, Arc::new(Notify::new()));
        let wait = Held { imsi: imsi.clone(), source: source.clone(), since: now, ended: Arc::clone(&ended) };
        table.waits.insert(number, wait);
        Some(Waiting { number, ended, waits: self })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends the first of these, if there is one.
    fn end(&mut self, which: impl Fn(&Held) -> bool) -> Option<()> {
        let number = self.waits.iter().find(|(_, wait)| which(wait)).map(|(number, _)| *number)?;
        self.waits.remove(&number)?.ended.notify_one();
        Some(())
    }

    /// Ends the first of these that has waited long enough.
    fn make_room(&mut self, of: impl Fn(&Held) -> bool, now: Instant) -> Option<()> {
        self.end(|wait| of(wait) && now.duration_since(wait.since) >= SHORTEST_WAIT)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waits.table().waits.remove(&self.number);
    }
}

/// The paths of this endpoint, below `/mt/v1`.
pub fn router(smsc: &Smsc) -> Router {
    Router::new()
        .route(path::ATTACH, post(attach))
        .route(path::MESSAGES, get(messages))
        .route(&format!("{}/{{id}}", path::MESSAGES), post(acknowledge))
        .route(path::MEMORY_AVAILABLE, post(memory_available))
        .route(path::SUBMISSIONS, post(submit))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(smsc.clone())
}

/// Why a request is refused.
enum Refusal {
    /// It is invalid.
    Malformed(&'static str),
    /// Its body is incomplete or too large.
    NoBody(Response),
    /// No token, or an invalid one.
    NotAttached,
    /// The card was not authenticated; EAP-Failure.
    Failure(Vec<u8>),
    /// No such message of this phone.
    NoMessage,
    /// RP-ERROR for a message from a phone.
    Unsent(SmscError),
    /// Too many phones are attaching or waiting.
    Busy,
    /// Internal error.
    Broken(SmscError),
}

impl<E: Into<SmscError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        match error.into() {
            SmscError::NoMessage => Self::NoMessage,
            other => Self::Broken(other),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let told = |status: StatusCode, why: &str| (status, Json(mt::Error { error: why.to_owned() })).into_response();
        match self {
            Self::Malformed(why) => told(StatusCode::BAD_REQUEST, why),
            Self::NoBody(answer) => answer,
            Self::NotAttached => {
                let answer = told(StatusCode::UNAUTHORIZED, "attach first");
                ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response()
            }
            Self::Failure(packet) => {
                (StatusCode::FORBIDDEN, Json(AttachRefusal { packet: Packet::of(&packet) })).into_response()
            }
            Self::NoMessage => told(StatusCode::NOT_FOUND, "no such message"),
            Self::Unsent(error) => {
                let refusal = SubmitRefusal { cause: rp_cause(&error), error: error.to_string() };
                (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response()
            }
            Self::Busy => ([(header::RETRY_AFTER, "5")], told(StatusCode::SERVICE_UNAVAILABLE, "busy")).into_response(),
            Self::Broken(error) => {
                tracing::error!(error = %Discreet(&error), "MT endpoint");
                let answer = told(StatusCode::SERVICE_UNAVAILABLE, "try again later");
                ([(header::RETRY_AFTER, "5")], answer).into_response()
            }
        }
    }
}

/// A JSON body that arrived completely and in time.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Whole(body) = Whole::from_request(request, state).await.map_err(Refusal::NoBody)?;
        serde_json::from_slice(&body).map(Body).map_err(|_| Refusal::Malformed("the body is not what it should be"))
    }
}

async fn attach(
    State(smsc): State<Smsc>,
    source: Source,
    Body(request): Body<AttachRequest>,
) -> Result<Json<AttachAnswer>, Refusal> {
    let now = unix_now();
    let mut random = fill_random;
    let mut given = StepInput { random: &mut random, now };
    let eap = &smsc.inner.endpoint.eap;
    let step = match &request {
        AttachRequest::First { identity } => {
            // A vector is used only if the conversation can be kept.
            if !QUOTA.is_left(smsc.inner.database.pool(), &source, seconds(now)).await? {
                return Err(Refusal::Busy);
            }
            eap.start(Some(identity.as_bytes()), 0, &mut given).await
        }
        AttachRequest::Next { session, packet } => {
            let packet = packet.octets().ok_or(Refusal::Malformed("eap-relay-packet is not Base64"))?;
            let Some(state) = smsc.take_conversation(session, now).await? else {
                // EAP-Failure with its identifier.
                return Err(Refusal::Failure(eap_packet::failure(packet.get(1).copied().unwrap_or_default())));
            };
            eap.respond(state, &packet, &mut given).await
        }
    };
    count_authentication("mt", &step);
    match step {
        Step::Request { packet, session } => {
            let name = secret::fresh().map_err(HlrError::from)?;
            let begins = request.is_first();
            smsc.keep_conversation(&name, &session, &source, begins, now).await?;
            Ok(Json(AttachAnswer::Challenge { session: name.to_string(), packet: Packet::of(&packet) }))
        }
        Step::Success(success) => {
            // Disclosed only to the authenticated card.
            let found = smsc.inner.hlr.lookup(Lookup::Imsi(&success.imsi)).await?;
            if !found.iter().any(|subscription| subscription.status == Status::Active) {
                tracing::info!(imsi = ?success.imsi, "phone refused: the subscription is not active");
                let identifier = success.packet.get(1).copied().unwrap_or_default();
                return Err(Refusal::Failure(eap_packet::failure(identifier)));
            }
            let token = secret::fresh().map_err(HlrError::from)?;
            smsc.attach(&token, &success.imsi, now).await?;
            tracing::info!(imsi = ?success.imsi, method = ?success.method, "phone attached");
            Ok(Json(AttachAnswer::Attached { attachment: token.to_string() }))
        }
        Step::Failure { packet, reason } => {
            tracing::info!(reason = %Discreet(&reason), "phone refused");
            Err(Refusal::Failure(packet))
        }
        Step::Ignored(state) => {
            // Not the answer to the last packet: the right one may still arrive.
            if let AttachRequest::Next { session, .. } = &request {
                smsc.keep_conversation(session, &state, &source, false, now).await?;
            }
            Err(Refusal::Malformed("not the answer to the last EAP packet"))
        }
    }
}

async fn messages(
    State(smsc): State<Smsc>,
    Query(Wait { wait }): Query<Wait>,
    source: Source,
    headers: HeaderMap,
) -> Result<Json<Messages>, Refusal> {
    let imsi = smsc.attached(&headers).await?;
    let deadline = Instant::now() + Duration::from_secs(wait.min(LONGEST_WAIT));
    // Subscribe before looking, so that nothing is missed.
    let mut events = smsc.events();
    let mut place = None;
    let waiting = loop {
        let waiting = smsc.waiting(&imsi, unix_now()).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !waiting.is_empty() || left.is_zero() {
            break waiting;
        }
        let place = match &mut place {
            Some(place) => place,
            none => none.insert(smsc.inner.endpoint.waits.begin(&imsi, &source, Instant::now()).ok_or(Refusal::Busy)?),
        };
        let mine = async {
            loop {
                match events.recv().await {
                    Ok(Event::Message(to)) if to == imsi => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => core::future::pending().await,
                }
            }
        };
        tokio::select! {
            // The next look tells.
            _ = timeout(GLANCE.min(left), mine) => {}
            () = place.ended.notified() => break Vec::new(),
        }
    };
    let smsc = smsc.inner.settings.address.value();
    let messages = waiting.into_iter().map(|message| Message {
        id: message.id,
        smsc: smsc.to_owned(),
        tpdu: hex::encode(message.tpdu),
    });
    Ok(Json(Messages { messages: messages.collect() }))
}

async fn acknowledge(
    State(smsc): State<Smsc>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(acknowledgement): Body<Acknowledgement>,
) -> Result<StatusCode, Refusal> {
    let Acknowledgement { delivered, cause } = acknowledgement;
    let imsi = smsc.attached(&headers).await?;
    if !delivered && cause == Some(MEMORY_EXCEEDED) {
        smsc.memory_exceeded(&imsi, &id, unix_now()).await?;
    } else {
        smsc.acknowledge(&imsi, &id, delivered, unix_now()).await?;
    }
    tracing::info!(imsi = ?imsi, id, delivered, cause, "message acknowledged");
    Ok(StatusCode::NO_CONTENT)
}

async fn memory_available(State(smsc): State<Smsc>, headers: HeaderMap) -> Result<StatusCode, Refusal> {
    let imsi = smsc.attached(&headers).await?;
    let messages = smsc.memory_available(&imsi, unix_now()).await?;
    tracing::info!(imsi = ?imsi, messages, "memory available again");
    Ok(StatusCode::NO_CONTENT)
}

async fn submit(
    State(smsc): State<Smsc>,
    headers: HeaderMap,
    Body(submission): Body<mt::Submission>,
) -> Result<Json<Submitted>, Refusal> {
    let imsi = smsc.attached(&headers).await?;
    let octets = hex::decode(&submission.tpdu).map_err(|_| Refusal::Malformed("tpdu is not hexadecimal"))?;
    let submit = sms::Submit::decode(&octets).map_err(|_| Refusal::Malformed("tpdu is no SMS-SUBMIT"))?;
    match smsc.submit_from_phone(&imsi, &submit, unix_now()).await {
        Ok(id) => Ok(Json(Submitted { id })),
        Err(error @ (SmscError::Register(_) | SmscError::Database(_) | SmscError::Corrupt(_))) => {
            Err(Refusal::Broken(error))
        }
        Err(error) => {
            tracing::info!(imsi = ?imsi, %error, "message from a phone refused");
            Err(Refusal::Unsent(error))
        }
    }
}

impl Smsc {
    /// The subscriber of a token.
    async fn attached(&self, headers: &HeaderMap) -> Result<Imsi, Refusal> {
        let token = bearer::token(headers).ok_or(Refusal::NotAttached)?;
        let sql = "SELECT imsi FROM mt_attachment WHERE token = $1 AND expires_at > $2";
        let row = query(sql).bind(secret::digest(&[token])).bind(seconds(unix_now()));
        let row = row.fetch_optional(self.inner.database.pool()).await?.ok_or(Refusal::NotAttached)?;
        let imsi: String = row.try_get(0)?;
        Ok(imsi.parse().map_err(|_| SmscError::Corrupt("IMSI"))?)
    }

    /// A card is in one phone: an attachment replaces the earlier one.
    async fn attach(&self, token: &str, imsi: &Imsi, now: u64) -> Result<(), SmscError> {
        change!(self.inner.database, |tx| {
            query("DELETE FROM mt_attachment WHERE imsi = $1").bind(imsi.as_str()).execute(&mut *tx).await?;
            let insert = query("INSERT INTO mt_attachment (token, imsi, expires_at) VALUES ($1, $2, $3)");
            let insert = insert.bind(secret::digest(&[token])).bind(imsi.as_str()).bind(seconds(now + ATTACHMENT));
            insert.execute(&mut *tx).await?;
        })
    }

    /// Keeps a conversation for its next packet. A new one counts against the quota.
    async fn keep_conversation(
        &self,
        name: &str,
        session: &Session,
        source: &Source,
        begins: bool,
        now: u64,
    ) -> Result<(), Refusal> {
        let name = secret::digest(&[name]);
        // Only an acknowledgement that nobody needs is outstanding.
        let Some(octets) = session.to_octets() else { return Ok(()) };
        let sealed = self.inner.hlr.seal(&label(&name), &octets)?;
        let quota = QUOTA.for_one("$4", "$5");
        let sql = format!(
            "INSERT INTO mt_conversation (session, state, expires_at, source) SELECT $1, $2, $3, $4 \
             WHERE $6 = 0 OR ({quota})"
        );
        let insert =
            query(AssertSqlSafe(sql)).bind(&name).bind(sealed).bind(seconds(now + CONVERSATION)).bind(source.as_str());
        let insert = insert.bind(seconds(now)).bind(i64::from(begins));
        let kept = self.inner.database.write(insert, Durability::Disk).await?.rows_affected();
        if kept == 1 { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// Takes a conversation, once.
    async fn take_conversation(&self, name: &str, now: u64) -> Result<Option<Session>, SmscError> {
        let name = secret::digest(&[name]);
        let pool = self.inner.database.pool();
        let row = query("SELECT state, expires_at FROM mt_conversation WHERE session = $1").bind(&name);
        let Some(row) = row.fetch_optional(pool).await? else { return Ok(None) };
        let delete = query("DELETE FROM mt_conversation WHERE session = $1").bind(&name);
        let taken = self.inner.database.write(delete, Durability::Disk).await?;
        if taken.rows_affected() != 1 || row.try_get::<i64, _>(1)? <= seconds(now) {
            return Ok(None);
        }
        let octets = self.inner.hlr.unseal(&label(&name), row.try_get(0)?)?;
        Ok(Session::from_octets(&octets))
    }
}

fn label(session: &str) -> String {
    format!("mt/{session}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(number: u32) -> Imsi {
        format!("0010100000{number:05}").parse().unwrap()
    }

    fn is_told(waiting: &Waiting<'_>) -> bool {
        core::pin::pin!(waiting.ended.notified()).as_mut().enable()
    }

    #[test]
    fn phones_wait_in_so_many_places_and_once_each() {
        let (waits, nowhere, now) = (Waits::new(2, 1), Source::default(), Instant::now());
        let one = waits.begin(&phone(1), &nowhere, now).unwrap();
        let again = waits.begin(&phone(1), &nowhere, now).unwrap();
        assert!(is_told(&one) && !is_told(&again));
        let other = waits.begin(&phone(2), &nowhere, now).unwrap();
        assert!(waits.begin(&phone(3), &nowhere, now).is_none(), "both are taken");
        drop(one);
        assert!(waits.begin(&phone(3), &nowhere, now).is_none(), "it had none any more");
        drop(other);
        let third = waits.begin(&phone(3), &nowhere, now).unwrap();
        // The longest wait is answered early, but none at once.
        let now = now + SHORTEST_WAIT;
        let fourth = waits.begin(&phone(4), &nowhere, now).unwrap();
        assert!(is_told(&again) && !is_told(&third));
        let fifth = waits.begin(&phone(5), &nowhere, now).unwrap();
        assert!(is_told(&third));
        assert!(waits.begin(&phone(6), &nowhere, now).is_none());
        drop((again, third, fourth, fifth));
        assert!(waits.table().waits.is_empty());
    }

    /// Waits of one network leave room there, and do not affect others.
    #[test]
    fn phones_of_one_network_wait_in_a_part_of_its_places() {
        let (waits, now) = (Waits::new(8, 2), Instant::now());
        let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|address| Source::of(address.parse().unwrap()));
        let first = waits.begin(&phone(1), &there, now).unwrap();
        let held: Vec<_> = [2, 3].map(|number| waits.begin(&phone(number), &here, now).unwrap()).into();
        assert!(waits.begin(&phone(4), &here, now).is_none());
        // A phone that waits elsewhere and finds no place here keeps waiting there.
        assert!(waits.begin(&phone(1), &here, now).is_none());
        assert!(!is_told(&first));
        let _second = waits.begin(&phone(5), &there, now).unwrap();
        let now = now + SHORTEST_WAIT;
        let _newest = waits.begin(&phone(4), &here, now).unwrap();
        assert!(is_told(&held[0]) && !is_told(&held[1]) && !is_told(&first));
    }
}
