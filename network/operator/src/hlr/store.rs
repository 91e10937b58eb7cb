//! The register in SQLite.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crypto::aka::Sqn;
use rsp::{Eid, Iccid};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteRow};
use sqlx::{Row, Sqlite, SqlitePool, Transaction, query};

use super::seal::{MasterKey, SealBroken};
use super::{AlgorithmSet, Credentials, Group, Member, Mode, Status, Subscription};
use crate::{Imsi, Msisdn};

/// How a change begins: with the right to write, so that what was read stays true. (PostgreSQL: `BEGIN ISOLATION LEVEL
/// SERIALIZABLE`.)
const BEGIN: &str = "BEGIN IMMEDIATE";

/// The register.
pub struct Hlr {
    pool: SqlitePool,
    key: MasterKey,
}

/// What a subscription is looked up by.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'a> {
    /// The IMSI: one at most.
    Imsi(&'a Imsi),
    /// The ICCID: one at most.
    Iccid(&'a Iccid),
    /// The MSISDN: all it reaches, active or not, in order.
    Msisdn(&'a Msisdn),
    /// The EID: all profiles on that eUICC.
    Eid(&'a Eid),
}

/// Who changes something, and when.
#[derive(Clone, Debug)]
pub struct Change {
    /// Who.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Change {
    /// Someone, now.
    pub fn by(who: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { by: who.to_owned(), at: now.as_secs() }
    }
}

/// One line of the register's diary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, from 1.
    pub number: u64,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To whom: an IMSI or an MSISDN.
    pub subject: String,
    /// The rest. Never a key.
    pub detail: String,
}

/// Why the register refuses.
#[derive(Debug, thiserror::Error)]
pub enum HlrError {
    /// Nobody and nothing of that number.
    #[error("{0} is not in the register")]
    NotFound(String),
    /// A number is taken.
    #[error("{0} is in the register already")]
    Taken(String),
    /// A subscription would be in two groups.
    #[error("IMSI {0} is in a group already: take it out first")]
    InGroup(Imsi),
    /// An active MSISDN would reach nobody.
    #[error("MSISDN {0} would reach no active subscription: dissolve the group, or add an active member first")]
    WouldStrand(Msisdn),
    /// K or OPc do not have the lengths of the algorithm set.
    #[error("K or OPc do not have the length the algorithm needs")]
    KeyLength,
    /// The order of members names others than the members.
    #[error("the new order has to name each member once")]
    Order,
    /// A key does not open.
    #[error(transparent)]
    Seal(#[from] SealBroken),
    /// The database does not work.
    #[error("the register's database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database cannot be brought up to date.
    #[error("the register's database cannot be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The operating system gives no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// What the database says makes no sense.
    #[error("the register's database has a bad {0}")]
    Corrupt(&'static str),
}

type Changing = Transaction<'static, Sqlite>;

const SUBSCRIPTION: &str = "s.imsi, s.iccid, s.msisdn, s.eid, s.status FROM subscription s";

impl Hlr {
    /// Opens the database named by `url` and brings it up to date: a path, `sqlite:PATH`, or `:memory:`.
    /// A file that is not there is made.
    pub async fn open(url: &str, key: MasterKey) -> Result<Self, HlrError> {
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
        let pool = SqlitePoolOptions::new();
        let (options, pool) = if path == ":memory:" {
            // A database in memory lives exactly as long as its one connection.
            let pool = pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
            (SqliteConnectOptions::from_str("sqlite::memory:")?, pool)
        } else {
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .busy_timeout(Duration::from_secs(5));
            (options, pool.max_connections(8))
        };
        let pool = pool.connect_with(options.foreign_keys(true)).await?;
        sqlx::migrate!().run(&pool).await?;
        Ok(Self { pool, key })
    }

    /// Closes all connections, the database file being whole afterwards.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The subscriptions that answer to this number.
    pub async fn lookup(&self, by: Lookup<'_>) -> Result<Vec<Subscription>, HlrError> {
        let (condition, value) = match by {
            Lookup::Imsi(imsi) => ("WHERE s.imsi = $1", imsi.to_string()),
            Lookup::Iccid(iccid) => ("WHERE s.iccid = $1", iccid.to_string()),
            Lookup::Eid(eid) => ("WHERE s.eid = $1 ORDER BY s.imsi", eid.to_string()),
            // A group's number reaches its members; any other its one subscription.
            Lookup::Msisdn(msisdn) => (
                "LEFT JOIN group_member m ON m.imsi = s.imsi WHERE m.msisdn = $1 OR (s.msisdn = $1 \
                 AND NOT EXISTS (SELECT 1 FROM msisdn_group g WHERE g.msisdn = $1)) ORDER BY m.position",
                msisdn.to_string(),
            ),
        };
        let sql = format!("SELECT {SUBSCRIPTION} {condition}");
        query(&sql).bind(value).fetch_all(&self.pool).await?.iter().map(subscription).collect()
    }

    /// All subscriptions.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, HlrError> {
        let sql = format!("SELECT {SUBSCRIPTION} ORDER BY s.imsi");
        query(&sql).fetch_all(&self.pool).await?.iter().map(subscription).collect()
    }

    /// Adds a subscription.
    pub async fn add(
        &self,
        subscription: &Subscription,
        credentials: &Credentials,
        change: &Change,
    ) -> Result<(), HlrError> {
        credentials.functions().ok_or(HlrError::KeyLength)?;
        let Subscription { imsi, iccid, msisdn, eid, status } = subscription;
        let mut tx = self.begin().await?;
        for (what, taken) in [
            (imsi.to_string(), exists(&mut tx, "SELECT 1 FROM subscription WHERE imsi = $1", imsi.as_str()).await?),
            (
                iccid.to_string(),
                exists(&mut tx, "SELECT 1 FROM subscription WHERE iccid = $1", &iccid.to_string()).await?,
            ),
        ] {
            if taken {
                return Err(HlrError::Taken(what));
            }
        }
        if let Some(msisdn) = msisdn {
            free(&mut tx, msisdn).await?;
        }
        let sql = "INSERT INTO subscription (imsi, iccid, msisdn, eid, status, algorithm, iterations, k, opc, amf, sqn) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        query(sql)
            .bind(imsi.as_str())
            .bind(iccid.to_string())
            .bind(msisdn.as_ref().map(Msisdn::as_str))
            .bind(eid.map(|eid| eid.to_string()))
            .bind(status.name())
            .bind(credentials.algorithm.name())
            .bind(i64::from(credentials.algorithm.iterations()))
            .bind(self.seal("k", imsi, &credentials.k)?)
            .bind(self.seal("opc", imsi, &credentials.opc)?)
            .bind(hex::encode(credentials.amf))
            .bind(column(credentials.sqn))
            .execute(&mut *tx)
            .await?;
        note(&mut tx, change, "add", imsi.as_str(), &format!("ICCID {iccid}, {}", status.name())).await?;
        Ok(tx.commit().await?)
    }

    /// Takes a subscription out of the register, and out of its group.
    pub async fn remove(&self, imsi: &Imsi, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        known(&mut tx, imsi).await?;
        if let Some(group) = group_of(&mut tx, imsi).await? {
            query("DELETE FROM group_member WHERE imsi = $1").bind(imsi.as_str()).execute(&mut *tx).await?;
            stays_reachable(&mut tx, &group).await?;
            note(&mut tx, change, "unbind", group.as_str(), imsi.as_str()).await?;
        }
        query("DELETE FROM subscription WHERE imsi = $1").bind(imsi.as_str()).execute(&mut *tx).await?;
        note(&mut tx, change, "remove", imsi.as_str(), "").await?;
        Ok(tx.commit().await?)
    }

    /// Activates, bars, or takes back to provisioned. A group whose last active member goes is inactive until one is
    /// back.
    pub async fn set_status(&self, imsi: &Imsi, status: Status, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        known(&mut tx, imsi).await?;
        let sql = "UPDATE subscription SET status = $1 WHERE imsi = $2";
        query(sql).bind(status.name()).bind(imsi.as_str()).execute(&mut *tx).await?;
        note(&mut tx, change, "status", imsi.as_str(), status.name()).await?;
        if let Some(msisdn) = group_of(&mut tx, imsi).await? {
            let reachable = active_members(&mut tx, &msisdn).await? > 0;
            let sql = "UPDATE msisdn_group SET active = $1 WHERE msisdn = $2 AND active <> $1";
            let update = query(sql).bind(i64::from(reachable)).bind(msisdn.as_str());
            if update.execute(&mut *tx).await?.rows_affected() > 0 {
                let state = if reachable { "active" } else { "inactive" };
                note(&mut tx, change, "group", msisdn.as_str(), state).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Gives a subscription a number of its own, or takes it away.
    pub async fn set_msisdn(&self, imsi: &Imsi, msisdn: Option<&Msisdn>, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        known(&mut tx, imsi).await?;
        if let Some(msisdn) = msisdn {
            free(&mut tx, msisdn).await?;
        }
        let digits = msisdn.map(Msisdn::as_str);
        query("UPDATE subscription SET msisdn = $1 WHERE imsi = $2")
            .bind(digits)
            .bind(imsi.as_str())
            .execute(&mut *tx)
            .await?;
        note(&mut tx, change, "msisdn", imsi.as_str(), digits.unwrap_or("none")).await?;
        Ok(tx.commit().await?)
    }

    /// Says which eUICC a profile is on.
    pub async fn set_eid(&self, imsi: &Imsi, eid: Option<&Eid>, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        known(&mut tx, imsi).await?;
        let digits = eid.map(Eid::to_string);
        query("UPDATE subscription SET eid = $1 WHERE imsi = $2")
            .bind(&digits)
            .bind(imsi.as_str())
            .execute(&mut *tx)
            .await?;
        note(&mut tx, change, "eid", imsi.as_str(), digits.as_deref().unwrap_or("none")).await?;
        Ok(tx.commit().await?)
    }

    /// Makes a number shared. Its owner, if a subscription has it as its own, has to be among the members; one member at
    /// least has to be active.
    pub async fn create_group(
        &self,
        msisdn: &Msisdn,
        mode: Mode,
        members: &[(Imsi, u32)],
        change: &Change,
    ) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        if exists(&mut tx, "SELECT 1 FROM msisdn_group WHERE msisdn = $1", msisdn.as_str()).await? {
            return Err(HlrError::Taken(msisdn.to_string()));
        }
        let owner = query("SELECT imsi FROM subscription WHERE msisdn = $1").bind(msisdn.as_str());
        if let Some(owner) = owner.fetch_optional(&mut *tx).await? {
            let owner: String = owner.try_get(0)?;
            if !members.iter().any(|(imsi, _)| imsi.as_str() == owner) {
                return Err(HlrError::Taken(msisdn.to_string()));
            }
        }
        let sql = "INSERT INTO msisdn_group (msisdn, mode, active) VALUES ($1, $2, 1)";
        query(sql).bind(msisdn.as_str()).bind(mode.name()).execute(&mut *tx).await?;
        note(&mut tx, change, "group", msisdn.as_str(), mode.name()).await?;
        for (imsi, ring_seconds) in members {
            bind(&mut tx, msisdn, imsi, *ring_seconds, change).await?;
        }
        stays_reachable(&mut tx, msisdn).await?;
        Ok(tx.commit().await?)
    }

    /// Adds a member at the end.
    pub async fn bind(&self, msisdn: &Msisdn, imsi: &Imsi, ring_seconds: u32, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        known_group(&mut tx, msisdn).await?;
        bind(&mut tx, msisdn, imsi, ring_seconds, change).await?;
        if active_members(&mut tx, msisdn).await? > 0 {
            query("UPDATE msisdn_group SET active = 1 WHERE msisdn = $1")
                .bind(msisdn.as_str())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Takes a member out.
    pub async fn unbind(&self, msisdn: &Msisdn, imsi: &Imsi, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        if own_msisdn(&mut tx, imsi).await?.as_ref() == Some(msisdn) {
            // The number is the member's own: it would be reached by it outside of the group.
            return Err(HlrError::Taken(msisdn.to_string()));
        }
        let sql = "DELETE FROM group_member WHERE imsi = $1 AND msisdn = $2";
        let gone = query(sql).bind(imsi.as_str()).bind(msisdn.as_str()).execute(&mut *tx).await?;
        if gone.rows_affected() == 0 {
            return Err(HlrError::NotFound(format!("member {imsi}")));
        }
        stays_reachable(&mut tx, msisdn).await?;
        note(&mut tx, change, "unbind", msisdn.as_str(), imsi.as_str()).await?;
        Ok(tx.commit().await?)
    }

    /// How the members are called.
    pub async fn set_mode(&self, msisdn: &Msisdn, mode: Mode, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        known_group(&mut tx, msisdn).await?;
        let sql = "UPDATE msisdn_group SET mode = $1 WHERE msisdn = $2";
        query(sql).bind(mode.name()).bind(msisdn.as_str()).execute(&mut *tx).await?;
        note(&mut tx, change, "mode", msisdn.as_str(), mode.name()).await?;
        Ok(tx.commit().await?)
    }

    /// The order of the members, and how long each rings.
    pub async fn set_order(&self, msisdn: &Msisdn, members: &[(Imsi, u32)], change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        let mut now: Vec<Imsi> = members_of(&mut tx, msisdn).await?.into_iter().map(|member| member.imsi).collect();
        let mut wanted: Vec<Imsi> = members.iter().map(|(imsi, _)| imsi.clone()).collect();
        now.sort_unstable();
        wanted.sort_unstable();
        if now.is_empty() || now != wanted {
            return Err(HlrError::Order);
        }
        let sql = "UPDATE group_member SET position = $1, ring_seconds = $2 WHERE imsi = $3";
        for ((imsi, ring_seconds), position) in members.iter().zip(1i64..) {
            query(sql).bind(position).bind(i64::from(*ring_seconds)).bind(imsi.as_str()).execute(&mut *tx).await?;
        }
        note(&mut tx, change, "order", msisdn.as_str(), &list(members)).await?;
        Ok(tx.commit().await?)
    }

    /// Ends a group. The number is its owner's again, if it has one.
    pub async fn dissolve_group(&self, msisdn: &Msisdn, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        known_group(&mut tx, msisdn).await?;
        for sql in ["DELETE FROM group_member WHERE msisdn = $1", "DELETE FROM msisdn_group WHERE msisdn = $1"] {
            query(sql).bind(msisdn.as_str()).execute(&mut *tx).await?;
        }
        note(&mut tx, change, "dissolve", msisdn.as_str(), "").await?;
        Ok(tx.commit().await?)
    }

    /// Moves a number, and the place in its group, from one subscription to another.
    pub async fn transfer(&self, msisdn: &Msisdn, from: &Imsi, to: &Imsi, change: &Change) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        let status = known(&mut tx, from).await?;
        let new_status = known(&mut tx, to).await?;
        let (owned, bound) = (
            own_msisdn(&mut tx, from).await?.as_ref() == Some(msisdn),
            group_of(&mut tx, from).await?.as_ref() == Some(msisdn),
        );
        if !owned && !bound {
            return Err(HlrError::NotFound(format!("{msisdn} of {from}")));
        }
        if owned {
            if let Some(other) = own_msisdn(&mut tx, to).await? {
                return Err(HlrError::Taken(other.to_string()));
            }
            let sql = "UPDATE subscription SET msisdn = $1 WHERE imsi = $2";
            query(sql).bind(None::<&str>).bind(from.as_str()).execute(&mut *tx).await?;
            query(sql).bind(msisdn.as_str()).bind(to.as_str()).execute(&mut *tx).await?;
        }
        if bound {
            if group_of(&mut tx, to).await?.is_some() {
                return Err(HlrError::InGroup(to.clone()));
            }
            let sql = "UPDATE group_member SET imsi = $1 WHERE imsi = $2";
            query(sql).bind(to.as_str()).bind(from.as_str()).execute(&mut *tx).await?;
            stays_reachable(&mut tx, msisdn).await?;
        } else if status == Status::Active && new_status != Status::Active {
            return Err(HlrError::WouldStrand(msisdn.clone()));
        }
        note(&mut tx, change, "transfer", msisdn.as_str(), &format!("{from} to {to}")).await?;
        Ok(tx.commit().await?)
    }

    /// A group, if this number is shared.
    pub async fn group(&self, msisdn: &Msisdn) -> Result<Option<Group>, HlrError> {
        let mut connection = self.pool.acquire().await?;
        let row = query("SELECT mode, active FROM msisdn_group WHERE msisdn = $1").bind(msisdn.as_str());
        let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
        let (name, active): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let mode = Mode::ALL.into_iter().find(|mode| mode.name() == name).ok_or(HlrError::Corrupt("mode"))?;
        let members = members_of(&mut connection, msisdn).await?;
        Ok(Some(Group { msisdn: msisdn.clone(), mode, active: active != 0, members }))
    }

    /// Whom a call to this number reaches, and how: active subscriptions only. `None` if nobody.
    pub async fn resolve(&self, msisdn: &Msisdn) -> Result<Option<(Mode, Vec<Member>)>, HlrError> {
        let (mode, mut members) = if let Some(group) = self.group(msisdn).await? {
            (group.mode, group.members)
        } else {
            let one = |found: Subscription| Member {
                imsi: found.imsi,
                ring_seconds: Member::RING_SECONDS,
                status: found.status,
            };
            let found = self.lookup(Lookup::Msisdn(msisdn)).await?;
            (Mode::MobileAccessHunting, found.into_iter().map(one).collect())
        };
        members.retain(|member| member.status == Status::Active);
        Ok((!members.is_empty()).then_some((mode, members)))
    }

    /// The number a subscription's calls and messages show: its group's, or its own.
    pub async fn presented_msisdn(&self, imsi: &Imsi) -> Result<Option<Msisdn>, HlrError> {
        let mut connection = self.pool.acquire().await?;
        match group_of(&mut connection, imsi).await? {
            Some(shared) => Ok(Some(shared)),
            None => own_msisdn(&mut connection, imsi).await,
        }
    }

    /// The diary after entry number `after`, at most `limit` entries.
    pub async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEntry>, HlrError> {
        let sql =
            "SELECT number, at, actor, action, subject, detail FROM audit WHERE number > $1 ORDER BY number LIMIT $2";
        let rows = query(sql).bind(i64::try_from(after).unwrap_or(i64::MAX)).bind(i64::from(limit));
        let entry = |row: &SqliteRow| {
            Ok(AuditEntry {
                number: unsigned(row.try_get("number")?),
                at: unsigned(row.try_get("at")?),
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                detail: row.try_get("detail")?,
            })
        };
        rows.fetch_all(&self.pool).await?.iter().map(entry).collect()
    }

    /// Writes a line into the diary.
    pub(super) async fn note(
        &self,
        change: &Change,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), HlrError> {
        let mut tx = self.begin().await?;
        note(&mut tx, change, action, subject, detail).await?;
        Ok(tx.commit().await?)
    }

    /// The keys of a subscription, and its last sequence number.
    pub(super) async fn credentials(&self, imsi: &Imsi) -> Result<Credentials, HlrError> {
        let sql = "SELECT algorithm, iterations, k, opc, amf, sqn FROM subscription WHERE imsi = $1";
        let row = query(sql).bind(imsi.as_str()).fetch_optional(&self.pool).await?;
        let row = row.ok_or_else(|| HlrError::NotFound(imsi.to_string()))?;
        let (name, iterations): (String, i64) = (row.try_get("algorithm")?, row.try_get("iterations")?);
        let algorithm = u8::try_from(iterations).ok().and_then(|n| AlgorithmSet::from_columns(&name, n));
        let amf: String = row.try_get("amf")?;
        let amf = hex::decode(amf).ok().and_then(|amf| amf.try_into().ok()).ok_or(HlrError::Corrupt("AMF"))?;
        let sqn = unsigned(row.try_get("sqn")?).to_be_bytes();
        let [_, _, sqn @ ..] = sqn;
        Ok(Credentials {
            algorithm: algorithm.ok_or(HlrError::Corrupt("algorithm"))?,
            k: self.unseal("k", imsi, &row)?,
            opc: self.unseal("opc", imsi, &row)?,
            amf,
            sqn: Sqn::from(sqn),
        })
    }

    /// Moves the sequence number on, if it still is what the caller thinks.
    pub(super) async fn advance_sqn(&self, imsi: &Imsi, from: Sqn, to: Sqn) -> Result<bool, HlrError> {
        let sql = "UPDATE subscription SET sqn = $1 WHERE imsi = $2 AND sqn = $3";
        let update = query(sql).bind(column(to)).bind(imsi.as_str()).bind(column(from));
        Ok(update.execute(&self.pool).await?.rows_affected() == 1)
    }

    async fn begin(&self) -> Result<Changing, HlrError> {
        Ok(self.pool.begin_with(BEGIN).await?)
    }

    fn seal(&self, what: &str, imsi: &Imsi, secret: &[u8]) -> Result<String, HlrError> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce)?;
        Ok(hex::encode(self.key.seal(&format!("{what}/{imsi}"), secret, nonce)?))
    }

    fn unseal(&self, what: &str, imsi: &Imsi, row: &SqliteRow) -> Result<zeroize::Zeroizing<Vec<u8>>, HlrError> {
        let sealed: String = row.try_get(what)?;
        let sealed = hex::decode(sealed).map_err(|_| HlrError::Corrupt("sealed key"))?;
        Ok(self.key.open(&format!("{what}/{imsi}"), &sealed)?)
    }
}

/// SQN as a column; 48 bits fit.
fn column(sqn: Sqn) -> i64 {
    i64::try_from(u64::from(sqn)).unwrap_or(i64::MAX)
}

fn unsigned(column: i64) -> u64 {
    u64::try_from(column).unwrap_or_default()
}

fn subscription(row: &SqliteRow) -> Result<Subscription, HlrError> {
    let (imsi, iccid, status): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(4)?);
    let (msisdn, eid): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Subscription {
        imsi: imsi.parse().map_err(|_| HlrError::Corrupt("IMSI"))?,
        iccid: iccid.parse().map_err(|_| HlrError::Corrupt("ICCID"))?,
        msisdn: msisdn.map(|digits| digits.parse()).transpose().map_err(|_| HlrError::Corrupt("MSISDN"))?,
        eid: eid.map(|digits| Eid::from_digits(&digits).ok_or(HlrError::Corrupt("EID"))).transpose()?,
        status: status_named(&status)?,
    })
}

fn status_named(name: &str) -> Result<Status, HlrError> {
    Status::ALL.into_iter().find(|status| status.name() == name).ok_or(HlrError::Corrupt("status"))
}

async fn exists(connection: &mut SqliteConnection, sql: &str, value: &str) -> Result<bool, HlrError> {
    Ok(query(sql).bind(value).fetch_optional(connection).await?.is_some())
}

/// The status of a subscription that has to be there.
async fn known(connection: &mut SqliteConnection, imsi: &Imsi) -> Result<Status, HlrError> {
    let row = query("SELECT status FROM subscription WHERE imsi = $1").bind(imsi.as_str());
    let row = row.fetch_optional(connection).await?.ok_or_else(|| HlrError::NotFound(imsi.to_string()))?;
    status_named(row.try_get(0)?)
}

async fn known_group(connection: &mut SqliteConnection, msisdn: &Msisdn) -> Result<(), HlrError> {
    let there = exists(connection, "SELECT 1 FROM msisdn_group WHERE msisdn = $1", msisdn.as_str()).await?;
    if there { Ok(()) } else { Err(HlrError::NotFound(format!("group {msisdn}"))) }
}

/// An MSISDN that is nobody's own and no group's.
async fn free(connection: &mut SqliteConnection, msisdn: &Msisdn) -> Result<(), HlrError> {
    for sql in ["SELECT 1 FROM subscription WHERE msisdn = $1", "SELECT 1 FROM msisdn_group WHERE msisdn = $1"] {
        if exists(connection, sql, msisdn.as_str()).await? {
            return Err(HlrError::Taken(msisdn.to_string()));
        }
    }
    Ok(())
}

async fn own_msisdn(connection: &mut SqliteConnection, imsi: &Imsi) -> Result<Option<Msisdn>, HlrError> {
    msisdn_in(connection, "SELECT msisdn FROM subscription WHERE imsi = $1", imsi).await
}

async fn group_of(connection: &mut SqliteConnection, imsi: &Imsi) -> Result<Option<Msisdn>, HlrError> {
    msisdn_in(connection, "SELECT msisdn FROM group_member WHERE imsi = $1", imsi).await
}

async fn msisdn_in(connection: &mut SqliteConnection, sql: &str, imsi: &Imsi) -> Result<Option<Msisdn>, HlrError> {
    let Some(row) = query(sql).bind(imsi.as_str()).fetch_optional(connection).await? else { return Ok(None) };
    let digits: Option<String> = row.try_get(0)?;
    digits.map(|digits| digits.parse()).transpose().map_err(|_| HlrError::Corrupt("MSISDN"))
}

async fn members_of(connection: &mut SqliteConnection, msisdn: &Msisdn) -> Result<Vec<Member>, HlrError> {
    let sql = "SELECT m.imsi, m.ring_seconds, s.status FROM group_member m JOIN subscription s ON s.imsi = m.imsi \
               WHERE m.msisdn = $1 ORDER BY m.position";
    let member = |row: &SqliteRow| {
        let (imsi, ring_seconds): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Member {
            imsi: imsi.parse().map_err(|_| HlrError::Corrupt("IMSI"))?,
            ring_seconds: u32::try_from(ring_seconds).map_err(|_| HlrError::Corrupt("ring time"))?,
            status: status_named(row.try_get(2)?)?,
        })
    };
    query(sql).bind(msisdn.as_str()).fetch_all(connection).await?.iter().map(member).collect()
}

async fn active_members(connection: &mut SqliteConnection, msisdn: &Msisdn) -> Result<usize, HlrError> {
    let members = members_of(connection, msisdn).await?;
    Ok(members.iter().filter(|member| member.status == Status::Active).count())
}

/// The register's first promise, checked before a change is committed: an active MSISDN reaches someone.
async fn stays_reachable(connection: &mut SqliteConnection, msisdn: &Msisdn) -> Result<(), HlrError> {
    let sql = "SELECT 1 FROM msisdn_group WHERE msisdn = $1 AND active = 1";
    let active = exists(connection, sql, msisdn.as_str()).await?;
    if active && active_members(connection, msisdn).await? == 0 {
        return Err(HlrError::WouldStrand(msisdn.clone()));
    }
    Ok(())
}

async fn bind(
    connection: &mut SqliteConnection,
    msisdn: &Msisdn,
    imsi: &Imsi,
    ring_seconds: u32,
    change: &Change,
) -> Result<(), HlrError> {
    known(connection, imsi).await?;
    if group_of(connection, imsi).await?.is_some() {
        return Err(HlrError::InGroup(imsi.clone()));
    }
    let sql = "INSERT INTO group_member (imsi, msisdn, position, ring_seconds) \
               SELECT $1, $2, COALESCE(MAX(position), 0) + 1, $3 FROM group_member WHERE msisdn = $2";
    let insert = query(sql).bind(imsi.as_str()).bind(msisdn.as_str()).bind(i64::from(ring_seconds));
    insert.execute(&mut *connection).await?;
    note(connection, change, "bind", msisdn.as_str(), imsi.as_str()).await
}

async fn note(
    connection: &mut SqliteConnection,
    change: &Change,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), HlrError> {
    let sql = "INSERT INTO audit (number, at, actor, action, subject, detail) \
               SELECT COALESCE(MAX(number), 0) + 1, $1, $2, $3, $4, $5 FROM audit";
    let at = i64::try_from(change.at).unwrap_or(i64::MAX);
    query(sql).bind(at).bind(&change.by).bind(action).bind(subject).bind(detail).execute(connection).await?;
    Ok(())
}

fn list(members: &[(Imsi, u32)]) -> String {
    members.iter().map(|(imsi, seconds)| format!("{imsi} {seconds} s")).collect::<Vec<_>>().join(", ")
}
