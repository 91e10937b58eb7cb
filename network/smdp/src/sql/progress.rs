//! Progress notifications that operators have not accepted yet: a work queue, in which each profile is a line.

use database::columns::Columns;
use database::queue::{Claim, Limit, Lost, Queue, Retry, Token, is_ours};
use database::{Durability, change};
use rsp::es2plus::HandleDownloadProgressInfoRequest;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, query};

use super::SqlStore;
use super::rows::{PROGRESS, integer, progress, undelivered};
use crate::profile::UnixTime;
use crate::store::{Progress, StoreError, Undelivered};

/// A number alone does not identify a notification: SQLite reuses the last one once it is free. A claim does.
const QUEUE: Queue = Queue {
    table: "progress",
    key: "id",
    due: "due_at",
    claim: "claim",
    attempts: Some("attempts"),
    among: None,
    partition: Some("operator"),
    line: Some("iccid"),
    order: "id",
    lease: 10,
};
/// When a notification is sent again that was not accepted: for a week.
const RETRY: Retry = Retry { first: 1, longest: 300, limit: Limit::Age(7 * 24 * 60 * 60) };

/// What is read of a notification in the queue.
const COLUMNS: &str = "operator, call, info, since";

/// A notification that this server has leased.
#[derive(Debug)]
pub(crate) struct Leased {
    /// The lease.
    claim: Claim<i64>,
    /// The notification, and its recipient.
    pub(crate) progress: Progress,
    /// When it was queued.
    since: UnixTime,
}

impl Leased {
    fn of_row(claim: Claim<i64>, row: &AnyRow) -> Result<Self, (Claim<i64>, StoreError)> {
        match progress(row) {
            Ok((progress, since)) => Ok(Self { claim, progress, since }),
            Err(error) => Err((claim, error)),
        }
    }
}

impl SqlStore {
    /// Operators with notifications that are due.
    pub(crate) async fn operators_to_tell(&self, now: UnixTime) -> Result<Vec<String>, StoreError> {
        Ok(QUEUE.partitions(self.pool(), now).await?)
    }

    /// Leases notifications for `operator` that are due: only the oldest of each profile, to keep them in order. Those that
    /// are leased before something fails are in `leased` too: nobody else has them.
    pub(crate) async fn lease_progress(
        &self,
        operator: &str,
        now: UnixTime,
        most: u32,
        leased: &mut Vec<Leased>,
    ) -> Result<(), StoreError> {
        for due in QUEUE.due(self.pool(), Some(operator), now, most).await? {
            let claim = QUEUE.claim(&self.database, &due, COLUMNS, Token::fresh()?, now).await?;
            let Some((claim, row)) = claim else { continue };
            match Leased::of_row(claim, &row) {
                Ok(one) => leased.push(one),
                Err((claim, error)) => {
                    // It can never be delivered, and would block everything after it.
                    tracing::error!(operator, %error, "forgotten");
                    self.database.write(QUEUE.remove(&claim), Durability::Process).await?;
                }
            }
        }
        Ok(())
    }

    /// Renews the lease as long as `call` takes.
    ///
    /// # Errors
    ///
    /// [`Lost`] if another server took over.
    pub(crate) async fn hold_progress<T>(
        &self,
        one: &Leased,
        clock: impl Fn() -> UnixTime,
        call: impl Future<Output = T>,
    ) -> Result<T, Lost> {
        QUEUE.hold(&self.database, &one.claim, clock, call).await
    }

    /// All undelivered notifications, the oldest first.
    pub async fn undelivered_progress(&self) -> Result<Vec<Undelivered>, StoreError> {
        let sql = format!("SELECT {PROGRESS} ORDER BY id");
        let rows = query(AssertSqlSafe(sql)).fetch_all(self.pool()).await?;
        Ok(rows.iter().filter_map(|row| undelivered(row).ok()).collect())
    }

    /// The notification was delivered: the next one for the same profile and operator, if due, is leased. Nothing changes if
    /// another server has taken over: it will say so itself.
    pub(crate) async fn next_progress(&self, told: &Leased, now: UnixTime) -> Result<Option<Leased>, StoreError> {
        // Repeating a delivery after a power loss changes nothing there: it is the same call.
        change!(self.database, Durability::Process, |tx| -> StoreError {
            if !is_ours(&QUEUE.remove(&told.claim).execute(&mut *tx).await?) {
                return Ok(None);
            }
            let Progress { operator, info, .. } = &told.progress;
            let next = QUEUE.first_of(&mut *tx, COLUMNS, info.iccid.octets(), now).await?;
            // Unreadable ones are left to the query for everything due.
            match next.filter(|(_, row)| progress(row).is_ok_and(|(next, _)| next.operator == *operator)) {
                Some((due, row)) => {
                    let claim = QUEUE.claim_in(tx, &due, Token::fresh()?, now).await?;
                    claim.and_then(|claim| Leased::of_row(claim, &row).ok())
                }
                None => None,
            }
        })
    }

    /// The delivery failed: it is repeated after this many seconds, or given up.
    pub(crate) async fn progress_failed(&self, untold: &Leased, now: UnixTime) -> Result<Option<u64>, StoreError> {
        let Leased { claim, since, .. } = untold;
        let pause = RETRY.again(claim.attempts, now.saturating_sub(*since));
        let said = match pause {
            Some(pause) => QUEUE.postpone(claim, Some(now.saturating_add(pause)), ""),
            None => QUEUE.remove(claim),
        };
        self.database.write(said, Durability::Process).await?;
        Ok(pause)
    }
}

pub(super) async fn add(connection: &mut AnyConnection, progress: &Progress) -> Result<(), StoreError> {
    let since = integer(progress.info.timestamp.0);
    let info = serde_json::to_string(&progress.info).map_err(|_| StoreError::Damaged("progress"))?;
    if serde_json::from_str::<HandleDownloadProgressInfoRequest>(&info).is_err() {
        // A malformed ICCID does not fit the field of a notification.
        tracing::error!(operator = progress.operator, iccid = ?progress.info.iccid, "progress notification undeliverable: malformed ICCID");
        return Ok(());
    }
    let row = Columns::new()
        .set("operator", &progress.operator)
        .set("iccid", progress.info.iccid.octets())
        .set("call", &progress.call)
        .set("info", info)
        .set("since", since)
        .set("due_at", since);
    row.insert("progress").execute(connection).await?;
    Ok(())
}
