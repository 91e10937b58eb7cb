//! Progress notifications to operators: written with the change they are about, and delivered afterwards, in order,
//! until they are accepted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use database::queue::Lost;
use identities::Discreet;
use rsp_server::Client;
use system::System;
use tokio::task::{self, JoinSet};

use crate::es9plus::SmDp;
use crate::sql::{Leased, SqlStore};
use crate::store::{Progress, StoreError};

/// Maximum number of concurrent calls to one operator, from here.
const AT_ONCE: usize = 16;
/// Polling interval, besides wake-ups after a write.
const LOOK: Duration = Duration::from_secs(1);

/// Delivers progress to operators, by their functionRequesterIdentifiers, as long as it is polled.
///
/// A slow operator blocks nobody else: each has a limited number of calls in progress, and each profile one. Several servers may
/// share the work, and its database.
pub(crate) async fn deliver(smdp: Arc<SmDp>, operators: HashMap<String, Client>) {
    let mut calls = JoinSet::new();
    let mut under_way: HashMap<task::Id, String> = HashMap::new();
    loop {
        let mut due = Vec::new();
        if let Err(error) = claim_due(&smdp, &under_way, &mut due).await {
            tracing::warn!(error = %Discreet(&error), "cannot read pending progress notifications");
        }
        for one in due {
            let operator = one.progress.operator.clone();
            let (smdp, client) = (Arc::clone(&smdp), operators.get(&operator).cloned());
            let call = calls.spawn(async move {
                if let Err(error) = tell(&smdp, client.as_ref(), one).await {
                    tracing::warn!(error = %Discreet(&error), "progress notification stays queued");
                    tokio::time::sleep(LOOK).await;
                }
            });
            under_way.insert(call.id(), operator);
        }
        tokio::select! {
            Some(ended) = calls.join_next_with_id(), if !calls.is_empty() => {
                let id = ended.map_or_else(|panicked| panicked.id(), |(id, ())| id);
                under_way.remove(&id);
            }
            () = smdp.progress_written().notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Leases the notifications that each operator is to get now, as far as its call limit allows.
async fn claim_due(
    smdp: &SmDp,
    under_way: &HashMap<task::Id, String>,
    due: &mut Vec<Leased>,
) -> Result<(), StoreError> {
    let (store, now) = (smdp.store(), smdp.system().now());
    for operator in store.operators_to_tell(now).await? {
        let its_calls = under_way.values().filter(|other| **other == operator).count();
        let left = u32::try_from(AT_ONCE.saturating_sub(its_calls)).unwrap_or_default();
        if left > 0 {
            store.lease_progress(&operator, now, left, due).await?;
        }
    }
    Ok(())
}

/// Sends an operator all pending notifications about a profile.
async fn tell(smdp: &SmDp, client: Option<&Client>, one: Leased) -> Result<(), StoreError> {
    let mut next = Some(one);
    while let Some(one) = next {
        next = try_once(smdp.store(), smdp.system(), client, one).await?;
    }
    Ok(())
}

/// Tries to send a notification; returns the next one if it was accepted.
async fn try_once(
    store: &SqlStore,
    system: &System,
    client: Option<&Client>,
    one: Leased,
) -> Result<Option<Leased>, StoreError> {
    let Progress { operator, call, info } = &one.progress;
    let (iccid, point) = (&info.iccid, info.notification_point_id);
    let Some(client) = client else {
        // Another server may know its address; that this one does not was logged at startup.
        tracing::debug!(operator, ?iccid, %point, "no ES2+ address of the operator: progress notification stays queued");
        store.progress_failed(&one, system.now()).await?;
        return Ok(None);
    };
    let answer = store.hold_progress(&one, || system.now(), client.call(call, info)).await;
    let Err(error) = answer.map_err(|Lost| StoreError::Conflict("progress"))? else {
        tracing::info!(operator, ?iccid, %point, "progress notification delivered");
        return store.next_progress(&one, system.now()).await;
    };
    let failed = Discreet(error);
    if let Some(pause) = store.progress_failed(&one, system.now()).await? {
        tracing::warn!(operator, ?iccid, %point, %failed, pause, "progress notification not delivered, to be retried");
    } else {
        tracing::error!(operator, ?iccid, %point, %failed, "progress notification given up");
    }
    Ok(None)
}
