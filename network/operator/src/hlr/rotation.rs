//! Another master key: everything that is sealed is sealed with it, from one moment to the next.

use sqlx::{AnyConnection, AssertSqlSafe, Row, query};

use super::seal::MasterKey;
use super::{Hlr, HlrError};
use crate::database::change;

/// What is sealed: table, the column that names a row, the sealed column, and what stands before the name in its label.
const SEALED: [(&str, &str, &str, &str); 7] = [
    ("subscription", "imsi", "k", "k"),
    ("subscription", "imsi", "opc", "opc"),
    ("sms_message", "id", "tpdu", "sms"),
    ("mt_conversation", "session", "state", "mt"),
    ("one_time_code", "id", "code", "one-time-code"),
    ("one_time_code_message", "id", "message", "one-time-code-message"),
    ("entitlement_session", "id", "state", "entitlement-session"),
];
/// The tables of these, and that of the known text.
const TABLES: &[&str] = &[
    "subscription",
    "sms_message",
    "mt_conversation",
    "one_time_code",
    "one_time_code_message",
    "entitlement_session",
    "master_key",
];

impl Hlr {
    /// The register with everything sealed with `new`, and how many secrets that were. Others who have the database open
    /// have to open it anew.
    ///
    /// # Errors
    /// [`HlrError::Seal`] if a secret does not open, and if the database does not work; then nothing has changed.
    pub async fn rotate(self, new: MasterKey) -> Result<(Self, u64), HlrError> {
        let new = Self::new(self.database.clone(), new);
        let known = new.known_text()?;
        let sealed = change!(self.database, |tx| -> HlrError {
            let mut sealed = 0;
            for column in SEALED {
                sealed += self.reseal(&new, &mut *tx, column).await?;
            }
            query("DELETE FROM master_key").execute(&mut *tx).await?;
            query("INSERT INTO master_key (id, sealed) VALUES (1, $1)").bind(&known).execute(&mut *tx).await?;
            sealed
        })?;
        match self.database.purge(TABLES).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("others have the database open: what the old key opens may be left in its log"),
            // A full disk, for one: the key has changed all the same.
            Err(error) => tracing::warn!(%error, "what the old key opens is left in the database's file"),
        }
        Ok((new, sealed))
    }

    async fn reseal(
        &self,
        new: &Self,
        tx: &mut AnyConnection,
        (table, name, column, label): (&str, &str, &str, &str),
    ) -> Result<u64, HlrError> {
        let rows = format!("SELECT {name}, {column} FROM {table} WHERE {column} <> ''");
        let update = format!("UPDATE {table} SET {column} = $1 WHERE {name} = $2");
        let mut sealed = 0;
        for row in query(AssertSqlSafe(rows)).fetch_all(&mut *tx).await? {
            let (name, secret): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let label = format!("{label}/{name}");
            let secret = new.seal(&label, &self.unseal(&label, &secret)?)?;
            query(AssertSqlSafe(&*update)).bind(secret).bind(name).execute(&mut *tx).await?;
            sealed += 1;
        }
        Ok(sealed)
    }
}

#[cfg(test)]
mod tests {
    use database::place::{Place, on_each_database};

    use super::*;
    use crate::database::Database;

    on_each_database!(everything_sealed_is_sealed_anew);

    async fn everything_sealed_is_sealed_anew(place: &Place) {
        let database = Database::open(&place.url).await.unwrap();
        let hlr = Hlr::new(database.clone(), MasterKey::new([1; 32]));
        hlr.check_key().await.unwrap();
        let rows = [
            "INSERT INTO subscription (imsi, iccid, eid, msisdn, status, algorithm, iterations, k, opc, amf, sqn) \
             VALUES ('n', '1', NULL, NULL, 'active', 'milenage', 1, $1, $2, '8000', 32)",
            "INSERT INTO sms_message (id, client, service_type, source, destination, imsi, tpdu, state, submitted_at, \
             not_before, expires_at, attempts, receipt, receipt_after) VALUES ('n', '', '', '', '', '1', $1, $2, 1, 1, 1, 0, 'never', 0)",
            "INSERT INTO mt_conversation (session, state, expires_at, source) VALUES ('n', $1, 2, $2)",
            "INSERT INTO one_time_code (id, code, tries, expires_at, source) VALUES ('n', $1, 0, 2, $2)",
            "INSERT INTO one_time_code_message (id, number, message, due, expires_at) VALUES ('n', $2, $1, 1, 2)",
            "INSERT INTO entitlement_session (id, state, step, expires_at, source) VALUES ('n', $1, 0, 2, $2)",
        ];
        let labels = SEALED.iter().map(|(_, _, _, label)| *label).filter(|label| *label != "opc");
        for (sql, label) in rows.into_iter().zip(labels) {
            let first = hlr.seal(&format!("{label}/n"), b"a secret").unwrap();
            let second = hlr.seal("opc/n", b"a secret").unwrap();
            query(sql).bind(first).bind(second).execute(database.pool()).await.unwrap();
        }
        let (hlr, sealed) = hlr.rotate(MasterKey::new([2; 32])).await.unwrap();
        assert_eq!(sealed, SEALED.len() as u64);
        hlr.check_key().await.unwrap();
        for (table, _, column, label) in SEALED {
            let row = query(AssertSqlSafe(format!("SELECT {column} FROM {table}")));
            let row = row.fetch_one(database.pool()).await.unwrap();
            assert_eq!(*hlr.unseal(&format!("{label}/n"), row.try_get(0).unwrap()).unwrap(), b"a secret", "{table}");
        }
        let old = Hlr::new(database, MasterKey::new([1; 32]));
        assert!(matches!(old.check_key().await, Err(HlrError::OtherKey)));
        // One that does not open keeps all as they were.
        assert!(old.rotate(MasterKey::new([3; 32])).await.is_err());
        hlr.check_key().await.unwrap();
    }
}
