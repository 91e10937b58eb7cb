//! Store and forward: messages are in the database until their phone fetches them or they expire.

use core::fmt::Write;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hlr::{Hlr, HlrError, Lookup};
use identities::{Imsi, Msisdn};
use network_base::database::column::{seconds, unsigned};
use network_base::database::columns::Columns;
use network_base::database::queue::{Claim, Limit, Queue, Retry, Token};
use network_base::database::{Database, Durability, change};
use sms::{Deliver, Timestamp};
use sqlx::{AnyConnection, AssertSqlSafe, Row, query};
use tokio::sync::broadcast;

use super::message::{Receipt, SmscError, State, Submission};
use super::origination::Sender;
use super::smpp::body::Address;

/// Default validity of a message, in seconds.
pub(super) const VALIDITY: u64 = 3 * 86_400;
/// Maximum validity of a message, in seconds.
const LONGEST_VALIDITY: u64 = 7 * 86_400;
/// Maximum number of pending messages per phone.
const QUEUE: i64 = 100;
/// Maximum number of messages per delivery.
const HANDFUL: i64 = 10;
/// When a phone is offered a message again that it could not take.
const OFFERS: Retry = Retry { first: 15, longest: 15 << 6, limit: Limit::Attempts(8) };
/// Retry interval for a phone without memory, unless it reports available memory earlier, in seconds.
const MEMORY_PAUSE: u64 = 3600;
/// Seconds for which the state of a finished message can be queried.
const REMEMBERED: u64 = 7 * 86_400;
/// Receipts that are due. A client has until the end of the lease to acknowledge one; then another session of its is
/// given it.
pub(super) const RECEIPTS: Queue = Queue {
    table: "sms_message",
    key: "id",
    due: "receipt_after",
    claim: "claim",
    attempts: None,
    among: Some("receipt = 'due'"),
    partition: Some("client"),
    line: None,
    order: "id",
    lease: 30,
};
/// Maximum number of buffered events; a subscriber that misses some polls the database anyway.
const EVENTS: usize = 1024;

/// The service centre. Clones share everything; several processes may share the database.
#[derive(Clone)]
pub struct Smsc {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) database: Database,
    pub(super) hlr: Arc<Hlr>,
    pub(super) settings: Settings,
    pub(super) endpoint: super::endpoint::Endpoint,
    events: broadcast::Sender<Event>,
    counter: AtomicU32,
}

/// Settings of a service centre.
#[derive(Debug)]
pub struct Settings {
    /// Its address, as shown to phones.
    pub address: sms::Address,
    /// Time zone of timestamps, in quarters of an hour from UTC.
    pub time_zone: i8,
    /// Who may submit.
    pub clients: Vec<super::Client>,
    /// Timeouts of their connections.
    pub timeouts: super::Timeouts,
}

/// An event of this process.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A message for this subscription.
    Message(Imsi),
    /// Receipts are due.
    Receipts,
}

/// A message for a phone.
pub struct Waiting {
    /// Its name.
    pub id: String,
    /// SMS-DELIVER.
    pub tpdu: Vec<u8>,
}

/// The state of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Its state.
    pub state: State,
    /// When it became final, in seconds since 1970.
    pub final_at: Option<u64>,
}

/// A receipt that is due.
#[derive(Debug)]
pub(super) struct DueReceipt {
    pub(super) claim: Claim<String>,
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) state: State,
    pub(super) submitted_at: u64,
    pub(super) final_at: u64,
}

/// How many messages and receipts the service centre keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Messages of the last days by state.
    pub messages: BTreeMap<&'static str, u64>,
    /// Receipts their clients have not fetched yet.
    pub receipts_due: u64,
    /// Attached phones.
    pub attached: u64,
}

impl Smsc {
    /// A service centre with its messages in this database, its subscribers in that register.
    pub fn new(database: Database, hlr: Arc<Hlr>, settings: Settings) -> Self {
        let endpoint = super::endpoint::Endpoint::new(Arc::clone(&hlr));
        let (events, _) = broadcast::channel(EVENTS);
        let counter = AtomicU32::default();
        Self { inner: Arc::new(Inner { database, hlr, settings, endpoint, events, counter }) }
    }

    /// Submits a message for the subscription its destination reaches now; returns its name.
    pub async fn submit(&self, submission: &Submission, now: u64) -> Result<String, SmscError> {
        self.put(submission, None, now).await
    }

    pub(super) async fn put(
        &self,
        submission: &Submission,
        sender: Option<Sender<'_>>,
        now: u64,
    ) -> Result<String, SmscError> {
        let Submission { client, service_type, source, destination, data, .. } = submission;
        let from = self.originator(source)?;
        let imsi = self.receiver(destination).await?;
        let tpdu = Deliver {
            protocol: submission.protocol,
            reply_path: submission.reply_path,
            report: submission.receipt == Receipt::Always,
            ..Deliver::new(from, Timestamp::new(now, self.inner.settings.time_zone), data.clone())
        };
        let tpdu = tpdu.encode().ok_or(SmscError::Contents)?;
        let id = self.fresh_id(now)?;
        let tpdu = self.inner.hlr.seal(&label(&id), &tpdu)?;
        let not_before = submission.not_before.unwrap_or(now);
        let latest = now.saturating_add(LONGEST_VALIDITY);
        let expires_at = submission.expires_at.unwrap_or(now.saturating_add(VALIDITY)).min(latest);
        let taken: Result<(), SmscError> = change!(self.inner.database, |tx| {
            if submission.replace {
                let sql = "UPDATE sms_message SET state = $1, final_at = $2, tpdu = '', receipt = 'never' \
                           WHERE state = $3 AND client = $4 AND service_type = $5 AND source = $6 AND destination = $7";
                let replaced = query(sql).bind(State::Deleted.name()).bind(seconds(now)).bind(State::Enroute.name());
                let replaced =
                    replaced.bind(client).bind(service_type).bind(written(source)).bind(written(destination));
                replaced.execute(&mut *tx).await?;
            }
            let sql = "SELECT COUNT(*) FROM sms_message WHERE imsi = $1 AND state = $2";
            let waiting = query(sql).bind(imsi.as_str()).bind(State::Enroute.name()).fetch_one(&mut *tx).await?;
            if waiting.try_get::<i64, _>(0)? >= QUEUE {
                return Err(SmscError::QueueFull);
            }
            let row = Columns::new()
                .set("id", &id)
                .set("client", client)
                .set("service_type", service_type)
                .set("source", written(source))
                .set("destination", written(destination))
                .set("imsi", imsi.as_str())
                .set("tpdu", &tpdu)
                .set("state", State::Enroute.name())
                .set("submitted_at", seconds(now))
                .set("not_before", seconds(not_before))
                .set("expires_at", seconds(expires_at))
                .set("attempts", 0_i64)
                .set("receipt", submission.receipt.name())
                .set("receipt_after", 0_i64)
                .set("sender", sender.map(|sender| sender.imsi.as_str().to_owned()))
                .set("reference", sender.map(|sender| i64::from(sender.reference)));
            row.insert("sms_message").execute(&mut *tx).await?;
        });
        taken?;
        self.tell(Event::Message(imsi));
        Ok(id)
    }

    /// The state of a message of this client, from this source.
    pub async fn query(&self, client: &str, id: &str, source: &Address) -> Result<Fate, SmscError> {
        let sql = "SELECT state, final_at FROM sms_message WHERE id = $1 AND client = $2 AND source = $3";
        let row = query(sql).bind(id).bind(client).bind(written(source)).fetch_optional(self.inner.database.pool());
        let row = row.await?.ok_or(SmscError::NoMessage)?;
        let final_at: Option<i64> = row.try_get(1)?;
        Ok(Fate { state: state(row.try_get(0)?)?, final_at: final_at.map(unsigned) })
    }

    /// Cancels a pending message of this client.
    pub async fn cancel(&self, client: &str, id: &str, source: &Address, now: u64) -> Result<(), SmscError> {
        let mine = "AND client = $5 AND source = $6";
        let update = bind_final(final_sql(mine), State::Deleted, now, id).bind(client).bind(written(source));
        let done = self.inner.database.write(update, Durability::Disk).await?.rows_affected() == 1;
        self.tell(Event::Receipts);
        if done { Ok(()) } else { Err(SmscError::NoMessage) }
    }

    /// Pending messages for this subscription, oldest first, up to a limit.
    pub async fn waiting(&self, imsi: &Imsi, now: u64) -> Result<Vec<Waiting>, SmscError> {
        let sql = "SELECT id, tpdu FROM sms_message \
                   WHERE imsi = $1 AND state = $2 AND not_before <= $3 AND expires_at > $3 ORDER BY id LIMIT $4";
        let rows = query(sql).bind(imsi.as_str()).bind(State::Enroute.name()).bind(seconds(now)).bind(HANDFUL);
        let mut waiting = Vec::new();
        for row in rows.fetch_all(self.inner.database.pool()).await? {
            let (id, sealed): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            match self.inner.hlr.unseal(&label(&id), &sealed) {
                Ok(tpdu) => waiting.push(Waiting { id, tpdu: tpdu.to_vec() }),
                Err(error) => {
                    // It would block those behind it forever.
                    tracing::error!(id, %error, "a message that cannot be read is undeliverable");
                    let update = bind_final(final_sql(""), State::Undeliverable, now, &id);
                    self.inner.database.write(update, Durability::Disk).await?;
                    self.tell(Event::Receipts);
                }
            }
        }
        Ok(waiting)
    }

    /// A phone's acknowledgement or refusal of a message. Repeating it has no effect.
    pub async fn acknowledge(&self, imsi: &Imsi, id: &str, delivered: bool, now: u64) -> Result<(), SmscError> {
        let noted: Result<(), SmscError> = change!(self.inner.database, |tx| {
            let sql = "SELECT state, attempts FROM sms_message WHERE id = $1 AND imsi = $2";
            let row = query(sql).bind(id).bind(imsi.as_str()).fetch_optional(&mut *tx).await?;
            let row = row.ok_or(SmscError::NoMessage)?;
            let attempts = u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u32::MAX).saturating_add(1);
            match (state(row.try_get(0)?)?, delivered) {
                (State::Enroute, true) => finish(tx, id, State::Delivered, now).await?,
                (State::Enroute, false) => match OFFERS.again(attempts, 0) {
                    None => finish(tx, id, State::Undeliverable, now).await?,
                    Some(pause) => {
                        let sql = "UPDATE sms_message SET attempts = $1, not_before = $2 WHERE id = $3";
                        let update = query(sql).bind(i64::from(attempts)).bind(seconds(now.saturating_add(pause)));
                        update.bind(id).execute(&mut *tx).await?;
                    }
                },
                _ => {}
            }
        });
        noted?;
        self.tell(Event::Receipts);
        self.report_to_phones(now).await
    }

    /// A phone has no memory for a message: it waits until there is some, or for a while. It does not count as an
    /// attempt.
    pub async fn memory_exceeded(&self, imsi: &Imsi, id: &str, now: u64) -> Result<(), SmscError> {
        let sql =
            "UPDATE sms_message SET waits_for_memory = 1, not_before = $1 WHERE id = $2 AND imsi = $3 AND state = $4";
        let update = query(sql).bind(seconds(now.saturating_add(MEMORY_PAUSE))).bind(id).bind(imsi.as_str());
        let update = self.inner.database.write(update.bind(State::Enroute.name()), Durability::Disk).await?;
        if update.rows_affected() == 1 {
            return Ok(());
        }
        let row = query("SELECT 1 FROM sms_message WHERE id = $1 AND imsi = $2").bind(id).bind(imsi.as_str());
        row.fetch_optional(self.inner.database.pool()).await?.map(drop).ok_or(SmscError::NoMessage)
    }

    /// A phone has memory again: messages that waited for it are due. Returns their number.
    pub async fn memory_available(&self, imsi: &Imsi, now: u64) -> Result<u64, SmscError> {
        let sql =
            "UPDATE sms_message SET waits_for_memory = 0, not_before = $1 WHERE imsi = $2 AND waits_for_memory = 1";
        let update = query(sql).bind(seconds(now)).bind(imsi.as_str());
        let update = self.inner.database.write(update, Durability::Disk).await?;
        self.tell(Event::Message(imsi.clone()));
        Ok(update.rows_affected())
    }

    /// Counts what is kept.
    pub async fn outline(&self) -> Result<Outline, SmscError> {
        let pool = self.inner.database.pool();
        let mut messages: BTreeMap<_, _> = State::ALL.into_iter().map(|state| (state.name(), 0)).collect();
        for row in query("SELECT state, COUNT(*) FROM sms_message GROUP BY state").fetch_all(pool).await? {
            messages.insert(state(row.try_get(0)?)?.name(), unsigned(row.try_get(1)?));
        }
        let due = query("SELECT COUNT(*) FROM sms_message WHERE receipt = 'due'").fetch_one(pool).await?;
        let attached = query("SELECT COUNT(*) FROM mt_attachment").fetch_one(pool).await?;
        let (receipts_due, attached) = (unsigned(due.try_get(0)?), unsigned(attached.try_get(0)?));
        Ok(Outline { messages, receipts_due, attached })
    }

    /// Expires messages, and deletes old final ones.
    pub async fn tidy(&self, now: u64) -> Result<(), SmscError> {
        let pool = self.inner.database.pool();
        let sql = "SELECT id FROM sms_message WHERE state = $1 AND expires_at <= $2";
        let late = query(sql).bind(State::Enroute.name()).bind(seconds(now)).fetch_all(pool).await?;
        for row in &late {
            let id: String = row.try_get(0)?;
            let update = bind_final(final_sql(""), State::Expired, now, &id);
            self.inner.database.write(update, Durability::Disk).await?;
        }
        for (sql, before) in [
            ("DELETE FROM sms_message WHERE final_at < $1", now.saturating_sub(REMEMBERED)),
            ("DELETE FROM mt_attachment WHERE expires_at < $1", now),
            ("DELETE FROM mt_conversation WHERE expires_at < $1", now),
        ] {
            self.inner.database.write(query(sql).bind(seconds(before)), Durability::Process).await?;
        }
        if !late.is_empty() {
            self.tell(Event::Receipts);
        }
        // Also what a process was about to write when it ended.
        self.report_to_phones(now).await
    }

    /// Up to `most` receipts for a client, leased to the caller.
    pub(super) async fn take_receipts(
        &self,
        client: &str,
        most: usize,
        now: u64,
    ) -> Result<Vec<DueReceipt>, SmscError> {
        let database = &self.inner.database;
        let columns = "source, destination, state, submitted_at, final_at";
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let mut receipts = Vec::new();
        for due in RECEIPTS.due(database.pool(), Some(client), now, most).await? {
            let token = Token::fresh().map_err(HlrError::from)?;
            let Some((claim, row)) = RECEIPTS.claim(database, &due, columns, token, now).await? else { continue };
            receipts.push(DueReceipt {
                claim,
                source: read(row.try_get("source")?)?,
                destination: read(row.try_get("destination")?)?,
                state: state(row.try_get("state")?)?,
                submitted_at: unsigned(row.try_get("submitted_at")?),
                final_at: unsigned(row.try_get::<Option<i64>, _>("final_at")?.unwrap_or_default()),
            });
        }
        Ok(receipts)
    }

    /// The client has a receipt. That counts late, too, unless another session of its has been given it since: then it
    /// is for that one to say.
    pub(super) async fn receipt_done(&self, claim: &Claim<String>) -> Result<(), SmscError> {
        let done = RECEIPTS.finish(claim, "receipt = 'done'");
        self.inner.database.write(done, Durability::Disk).await?;
        Ok(())
    }

    /// Events of this process from now on.
    pub(super) fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    pub(super) fn tell(&self, event: Event) {
        // There may be no subscriber.
        let _ = self.inner.events.send(event);
    }

    /// TP-Originating-Address.
    pub(super) fn originator(&self, source: &Address) -> Result<sms::Address, SmscError> {
        if source.digits.is_empty() {
            return Ok(self.inner.settings.address.clone());
        }
        // SMPP has type and plan as TS 23.040, in an octet each.
        let kind = (source.ton & 0b111) << 4 | source.npi & 0b1111;
        sms::Address::with_kind(kind, &source.digits).ok_or(SmscError::Source)
    }

    /// The subscription a destination reaches now; of several that share a number, the first active one.
    async fn receiver(&self, destination: &Address) -> Result<Imsi, SmscError> {
        let hlr = &self.inner.hlr;
        if destination.npi == Address::E212 {
            let imsi: Imsi = destination.digits.parse().map_err(|_| SmscError::Destination)?;
            let known = hlr.lookup(Lookup::Imsi(&imsi)).await?;
            return known.into_iter().next().map(|known| known.imsi).ok_or(SmscError::Destination);
        }
        let digits = destination.digits.strip_prefix('+').unwrap_or(&destination.digits);
        let msisdn: Msisdn = digits.parse().map_err(|_| SmscError::Destination)?;
        let (_, members) = hlr.resolve(&msisdn).await?.ok_or(SmscError::Destination)?;
        members.into_iter().next().map(|member| member.imsi).ok_or(SmscError::Destination)
    }

    /// An unpredictable name, greater than earlier ones: seconds, a counter, random octets.
    pub(super) fn fresh_id(&self, now: u64) -> Result<String, SmscError> {
        let mut chance = [0; 4];
        getrandom::fill(&mut chance).map_err(HlrError::from)?;
        let count = self.inner.counter.fetch_add(1, Ordering::Relaxed) & 0x00FF_FFFF;
        let mut id = format!("{now:010x}{count:06x}");
        let _ = write!(id, "{:08x}", u32::from_be_bytes(chance));
        Ok(id)
    }
}

/// Makes a pending message final; a receipt becomes due if requested. `$1` to `$4` are bound by [`bind_final`].
fn final_sql(also: &str) -> String {
    settled(&format!("id = $3 AND state = $4 {also}"))
}

/// Makes messages that meet a condition final; `$1` is their state, `$2` the time.
fn settled(condition: &str) -> String {
    format!(
        "UPDATE sms_message SET state = $1, final_at = $2, tpdu = '', \
         receipt = CASE WHEN receipt = 'always' OR (receipt = 'failure' AND $1 <> 'delivered') THEN 'due' ELSE 'never' END \
         WHERE {condition}"
    )
}

fn bind_final(
    sql: String,
    state: State,
    now: u64,
    id: &str,
) -> sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments> {
    query(AssertSqlSafe(sql)).bind(state.name()).bind(seconds(now)).bind(id).bind(State::Enroute.name())
}

/// Gives up pending messages of a removed subscription and detaches its phone: the next one with its IMSI is another
/// subscriber.
pub async fn give_up(tx: &mut AnyConnection, imsi: &Imsi, now: u64) -> Result<(), sqlx::Error> {
    let sql = settled("imsi = $3 AND state = $4");
    let update = query(AssertSqlSafe(sql)).bind(State::Undeliverable.name()).bind(seconds(now)).bind(imsi.as_str());
    update.bind(State::Enroute.name()).execute(&mut *tx).await?;
    // Nobody is left whom a status report would be for.
    let unreported = query("UPDATE sms_message SET receipt = 'never' WHERE sender = $1").bind(imsi.as_str());
    unreported.execute(&mut *tx).await?;
    query("DELETE FROM mt_attachment WHERE imsi = $1").bind(imsi.as_str()).execute(tx).await.map(drop)
}

async fn finish(tx: &mut AnyConnection, id: &str, state: State, now: u64) -> Result<(), SmscError> {
    bind_final(final_sql(""), state, now, id).execute(tx).await?;
    Ok(())
}

/// What a message is sealed for.
pub(super) fn label(id: &str) -> String {
    format!("sms/{id}")
}

fn written(address: &Address) -> String {
    format!("{}/{}/{}", address.ton, address.npi, address.digits)
}

pub(super) fn read(written: &str) -> Result<Address, SmscError> {
    let address = || {
        let (ton, rest) = written.split_once('/')?;
        let (npi, digits) = rest.split_once('/')?;
        Some(Address { ton: ton.parse().ok()?, npi: npi.parse().ok()?, digits: digits.to_owned() })
    };
    address().ok_or(SmscError::Corrupt("address"))
}

pub(super) fn state(name: &str) -> Result<State, SmscError> {
    State::named(name).ok_or(SmscError::Corrupt("state"))
}
