//! The columns selected from each table, and how they are read.

use crypto::confirmation::ConfirmationCodeHash;
pub(super) use database::column::bits as integer;
use database::column::from_bits;
use database::seal::{MasterKey, OVERHEAD};
use identities::{Eid, Iccid};
use rsp::es8::StoreMetadataRequest;
use rsp::euicc_info::UiccCapability;
use rsp::metadata::NotificationEvent;
use rsp::{CertificateDer, Oid, Signature, SubjectKeyIdentifier, TransactionId};
use sqlx::Row;
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use crate::profile::{ConfirmationCode, Order, Profile, Requirements, UnixTime};
use crate::sealed;
use crate::store::{Notification, Peer, Progress, Session, SessionState, StoreError, Undelivered};

pub(super) const PROFILE: &str = "iccid, profile_type, metadata, CAST(length(package) AS BIGINT) AS sealed_size, required_capability, operator, state, \
    ordered_by, names_eid, notified_by, notification_number, matching_id, eid, confirmation_code_hash, confirmation_code_failures, expires_at, reusable, downloads, euicc_otpk, \
    added_at, changed_at, revision FROM profile";
pub(super) const SESSION: &str = "transaction_id, state, expires_at, server_address, server_challenge, ci, \
    eid, iccid, matching_id, euicc_certificate, smdp_signature2, source, smdp_oid, revision FROM session";
pub(super) const NOTIFICATION: &str = "id, received_at, event, seq_number, address, iccid, eid, transaction_id, result, verified, \
    remark, der FROM notification";
pub(super) const PROGRESS: &str = "id, operator, call, info, since, attempts, due_at FROM progress";

/// States of sessions, by their names.
pub(super) const INITIATED: &str = "Initiated";
pub(super) const AUTHENTICATED: &str = "Authenticated";
pub(super) const DELIVERED: &str = "Delivered";
pub(super) const ENDED: &str = "Ended";

/// A profile whose package can be read.
pub(super) fn whole_profile(row: &AnyRow, key: &MasterKey) -> Result<Profile, StoreError> {
    let profile = profile(row, key)?;
    open_package(row, key, profile.iccid())?;
    Ok(profile)
}

pub(super) fn open_package(row: &AnyRow, key: &MasterKey, iccid: &Iccid) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let opened = sealed::open_package(key, iccid, row.try_get("package")?);
    opened.map_err(|error| StoreError::DamagedProfile { iccid: iccid.clone(), why: format!("package: {error}") })
}

pub(super) fn profile(row: &AnyRow, key: &MasterKey) -> Result<Profile, StoreError> {
    let metadata = rsp::decode(row.try_get("metadata")?).map_err(|error| StoreError::DamagedProfile {
        iccid: Iccid::from(row.try_get::<Vec<u8>, _>("iccid").unwrap_or_default().as_slice()),
        why: format!("metadata: {error}"),
    })?;
    profile_with(row, key, metadata)
}

/// A profile with metadata from another source.
pub(super) fn profile_with(
    row: &AnyRow,
    key: &MasterKey,
    metadata: StoreMetadataRequest,
) -> Result<Profile, StoreError> {
    let iccid = Iccid::from(row.try_get::<Vec<u8>, _>("iccid")?.as_slice());
    let because = |why: String| StoreError::DamagedProfile { iccid: iccid.clone(), why };
    let damaged = |what: &str| because(format!("bad {what}"));
    let confirmation_code = match row.try_get::<Option<Vec<u8>>, _>("confirmation_code_hash")? {
        Some(code) => Some(ConfirmationCode {
            hash: ConfirmationCodeHash::new(
                sealed::open_code(key, &iccid, &code)
                    .map_err(|error| because(format!("confirmation code: {error}")))?,
            ),
            failures: count(row, "confirmation_code_failures")?,
        }),
        None => None,
    };
    let package_size = count(row, "sealed_size")?.saturating_sub(u32::try_from(OVERHEAD).unwrap_or_default());
    Ok(Profile {
        metadata,
        profile_type: row.try_get("profile_type")?,
        operator: row.try_get("operator")?,
        requirements: Requirements {
            uicc_capability: UiccCapability::from_bits(number(row, "required_capability")?),
            package_size,
        },
        state: row.try_get::<&str, _>("state")?.parse().map_err(|_| damaged("state"))?,
        last_notification: match row.try_get::<Option<Vec<u8>>, _>("notified_by")? {
            Some(eid) => {
                let eid = Eid::from_octets(eid.try_into().map_err(|_| damaged("EID"))?);
                Some((eid, number(row, "notification_number")?))
            }
            None => None,
        },
        order: Order {
            operator: row.try_get("ordered_by")?,
            matching_id: row.try_get("matching_id")?,
            eid: eid(row)?,
            names_eid: row.try_get::<i64, _>("names_eid")? != 0,
            confirmation_code,
            expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(from_bits),
            reusable: row.try_get::<i64, _>("reusable")? != 0,
            downloads: count(row, "downloads")?,
            euicc_otpk: row.try_get::<Option<Vec<u8>>, _>("euicc_otpk")?.map(Into::into),
        },
        added_at: number(row, "added_at")?,
        changed_at: number(row, "changed_at")?,
        revision: row.try_get("revision")?,
    })
}

pub(super) fn session(row: &AnyRow) -> Result<Session, StoreError> {
    let damaged = || StoreError::Damaged("session");
    let signature: Option<Vec<u8>> = row.try_get("smdp_signature2")?;
    let certificate: Option<Vec<u8>> = row.try_get("euicc_certificate")?;
    let peer = match (eid(row)?, iccid(row)?, certificate, signature) {
        (Some(eid), Some(iccid), Some(certificate), Some(signature)) => Some(Peer {
            eid,
            euicc_certificate: CertificateDer::from_octets(certificate).map_err(|_| damaged())?,
            iccid,
            matching_id: row.try_get("matching_id")?,
            smdp_signature2: Signature::from(signature),
        }),
        _ => None,
    };
    let state = match (row.try_get("state")?, peer) {
        (INITIATED, None) => SessionState::Initiated,
        (AUTHENTICATED, Some(peer)) => SessionState::Authenticated(peer),
        (DELIVERED, Some(peer)) => SessionState::Delivered(peer),
        (ENDED, peer) => SessionState::Ended(peer),
        _ => return Err(damaged()),
    };
    let server_challenge: Vec<u8> = row.try_get("server_challenge")?;
    Ok(Session {
        transaction_id: TransactionId::from(row.try_get::<Vec<u8>, _>("transaction_id")?),
        state,
        expires_at: number(row, "expires_at")?,
        server_address: row.try_get("server_address")?,
        server_challenge: server_challenge.try_into().map_err(|_| damaged())?,
        ci: SubjectKeyIdentifier::from(row.try_get::<Vec<u8>, _>("ci")?),
        source: row.try_get("source")?,
        server_oid: row.try_get::<Option<Vec<u8>>, _>("smdp_oid")?.map(Oid::from),
        revision: row.try_get("revision")?,
    })
}

pub(super) fn notification(row: &AnyRow) -> Result<Notification, StoreError> {
    let verified: i64 = row.try_get("verified")?;
    let remark: String = row.try_get("remark")?;
    Ok(Notification {
        received_at: number(row, "received_at")?,
        event: NotificationEvent::from_bits(number(row, "event")?),
        seq_number: number(row, "seq_number")?,
        address: row.try_get("address")?,
        iccid: iccid(row)?,
        eid: eid(row)?,
        transaction_id: row.try_get::<Option<Vec<u8>>, _>("transaction_id")?.map(TransactionId::from),
        result: row.try_get("result")?,
        distrusted: (verified == 0).then_some(remark),
        der: row.try_get("der")?,
    })
}

/// A progress notification, and when it was queued.
pub(super) fn progress(row: &AnyRow) -> Result<(Progress, UnixTime), StoreError> {
    let info = serde_json::from_str(row.try_get("info")?).map_err(|_| StoreError::Damaged("progress"))?;
    let progress = Progress { operator: row.try_get("operator")?, call: row.try_get("call")?, info };
    Ok((progress, number(row, "since")?))
}

pub(super) fn undelivered(row: &AnyRow) -> Result<Undelivered, StoreError> {
    let (progress, since) = progress(row)?;
    Ok(Undelivered {
        id: row.try_get("id")?,
        progress,
        since,
        attempts: count(row, "attempts")?,
        due_at: number(row, "due_at")?,
    })
}

pub(super) fn eid(row: &AnyRow) -> Result<Option<Eid>, StoreError> {
    let Some(octets) = row.try_get::<Option<Vec<u8>>, _>("eid")? else { return Ok(None) };
    octets.try_into().map(|octets| Some(Eid::from_octets(octets))).map_err(|_| StoreError::Damaged("EID"))
}

pub(super) fn iccid(row: &AnyRow) -> Result<Option<Iccid>, StoreError> {
    Ok(row.try_get::<Option<Vec<u8>>, _>("iccid")?.map(|octets| Iccid::from(octets.as_slice())))
}

pub(super) fn number(row: &AnyRow, column: &str) -> Result<u64, StoreError> {
    Ok(from_bits(row.try_get(column)?))
}

pub(super) fn count(row: &AnyRow, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged(column))
}
