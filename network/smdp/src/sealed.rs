//! What lies sealed in the database: profile packages, with K, OPc, PINs and all else that makes a subscription, and the
//! hashes of confirmation codes, which are short enough to be guessed from them.

use database::seal::MasterKey;
use database::{Database, DatabaseError, Schema, change};
use rsp::Iccid;
use sqlx::{AnyConnection, Row, query};
use zeroize::Zeroizing;

use crate::store::StoreError;

/// What shows whether a master key is the database's, and where it is sealed.
const KNOWN_TEXT: &[u8] = b"vuicc SM-DP+";
const KNOWN_LABEL: &str = "master-key";
/// Where secrets lay open before.
const TABLES: &[&str] = &["profile"];

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database belongs to another master key.
    #[error("this is not the master key that the SM-DP+'s database is sealed with")]
    OtherKey,
    /// It cannot be seen whether it does, or what lies open cannot be sealed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Seals a profile's package for its place.
pub(crate) fn seal_package(key: &MasterKey, iccid: &Iccid, package: &[u8]) -> Result<Vec<u8>, StoreError> {
    seal(key, &package_label(iccid), package)
}

/// Opens it.
pub(crate) fn open_package(key: &MasterKey, iccid: &Iccid, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    Ok(key.open(&package_label(iccid), sealed)?)
}

/// Seals the hash of the confirmation code of a profile's order.
pub(crate) fn seal_code(key: &MasterKey, iccid: &Iccid, hash: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
    seal(key, &code_label(iccid), hash)
}

/// Opens it.
pub(crate) fn open_code(key: &MasterKey, iccid: &Iccid, sealed: &[u8]) -> Result<[u8; 32], StoreError> {
    let opened = key.open(&code_label(iccid), sealed)?;
    opened.as_slice().try_into().map_err(|_| StoreError::Damaged("confirmation code"))
}

fn package_label(iccid: &Iccid) -> String {
    format!("package/{iccid}")
}

fn code_label(iccid: &Iccid) -> String {
    format!("code/{iccid}")
}

fn seal(key: &MasterKey, label: &str, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut nonce = [0; 12];
    getrandom::fill(&mut nonce)?;
    Ok(key.seal(label, secret, nonce)?)
}

/// Whether something in this database is sealed: a key made now could not open it.
pub(crate) async fn is_sealed<S: Schema>(database: &Database<S>) -> Result<bool, StoreError> {
    Ok(query("SELECT 1 FROM master_key").fetch_optional(database.pool()).await?.is_some())
}

/// Makes sure that the database is sealed with this key and no other. The first key that comes is the one; with it all is
/// sealed that lay open before, and what was open is taken from wherever it may still lie.
///
/// # Errors
/// [`OpenError::OtherKey`], and if the database does not work.
pub(crate) async fn check<S: Schema>(database: &Database<S>, key: &MasterKey) -> Result<(), OpenError> {
    const KNOWN: &str = "SELECT sealed, purged FROM master_key";
    let ours = |row: &sqlx::any::AnyRow| -> Result<bool, OpenError> {
        key.open(KNOWN_LABEL, row.try_get(0)?).map_err(|_| OpenError::OtherKey)?;
        Ok(row.try_get::<i64, _>(1)? != 0)
    };
    let known = query(KNOWN).fetch_optional(database.pool()).await?;
    let is_purged = if let Some(is_purged) = known.as_ref().map(ours).transpose()? {
        is_purged
    } else {
        change!(*database, |tx| -> OpenError {
            // Of two that open it together, one was faster.
            let known = query(KNOWN).fetch_optional(&mut *tx).await?;
            if let Some(is_purged) = known.as_ref().map(ours).transpose()? {
                is_purged
            } else {
                let lay_open = reseal(&mut *tx, None, key).await?;
                write_known(&mut *tx, key, lay_open == 0).await?;
                if lay_open > 0 {
                    tracing::warn!(profiles = lay_open, "keys that lay open in the database are sealed now");
                }
                lay_open == 0
            }
        })?
    };
    if !is_purged {
        purge_or_warn(database).await;
    }
    Ok(())
}

/// Everything is sealed; that old copies could not be taken from the file now, a full disk for one, keeps nobody from working
/// with it. It is tried again when the database is opened next.
async fn purge_or_warn<S: Schema>(database: &Database<S>) {
    if let Err(error) = purge(database).await {
        tracing::warn!(%error, "old copies of what is sealed now are left in the database's file");
    }
}

/// Seals everything with another key, from one moment to the next.
pub(crate) async fn rotate<S: Schema>(
    database: &Database<S>,
    old: &MasterKey,
    new: &MasterKey,
) -> Result<u64, StoreError> {
    let sealed = change!(*database, |tx| -> StoreError {
        let sealed = reseal(&mut *tx, Some(old), new).await?;
        query("DELETE FROM master_key").execute(&mut *tx).await?;
        write_known(&mut *tx, new, false).await?;
        sealed
    })?;
    purge_or_warn(database).await;
    Ok(sealed)
}

async fn write_known(tx: &mut AnyConnection, key: &MasterKey, is_purged: bool) -> Result<(), StoreError> {
    let known = seal(key, KNOWN_LABEL, KNOWN_TEXT)?;
    let insert = query("INSERT INTO master_key (id, sealed, purged) VALUES (1, $1, $2)");
    insert.bind(known).bind(i64::from(is_purged)).execute(tx).await?;
    Ok(())
}

/// Seals with `new` what lies open, or is sealed with `old`; how many profiles that were.
async fn reseal(tx: &mut AnyConnection, old: Option<&MasterKey>, new: &MasterKey) -> Result<u64, StoreError> {
    let mut sealed = 0;
    for row in query("SELECT iccid FROM profile ORDER BY iccid").fetch_all(&mut *tx).await? {
        let octets: Vec<u8> = row.try_get(0)?;
        let iccid = Iccid::from(octets.as_slice());
        let row = query("SELECT package, confirmation_code_hash FROM profile WHERE iccid = $1").bind(&octets);
        let row = row.fetch_one(&mut *tx).await?;
        let package = Zeroizing::new(row.try_get::<Vec<u8>, _>(0)?);
        let code = row.try_get::<Option<Vec<u8>>, _>(1)?;
        let opened = match old {
            None => Ok((package, code.map(Zeroizing::new))),
            Some(old) => open_package(old, &iccid, &package).and_then(|package| {
                let code = code.map(|code| key_open(old, &code_label(&iccid), &code)).transpose()?;
                Ok((package, code))
            }),
        };
        let (package, code) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // It did not open before, and will not afterwards; the others have to.
                tracing::error!(?iccid, %error, "left as it is");
                continue;
            }
        };
        let package = seal_package(new, &iccid, &package)?;
        let code = code.map(|code| seal(new, &code_label(&iccid), &code)).transpose()?;
        let update = query("UPDATE profile SET package = $1, confirmation_code_hash = $2 WHERE iccid = $3");
        update.bind(package).bind(code).bind(&octets).execute(&mut *tx).await?;
        sealed += 1;
    }
    Ok(sealed)
}

fn key_open(key: &MasterKey, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    Ok(key.open(label, sealed)?)
}

async fn purge<S: Schema>(database: &Database<S>) -> Result<(), StoreError> {
    if database.purge(TABLES).await? {
        query("UPDATE master_key SET purged = 1").execute(database.pool()).await?;
    } else {
        tracing::warn!("others have the database open: old copies may be left in its log until it is opened again");
    }
    Ok(())
}
