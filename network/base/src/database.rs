//! The one database all parts of the operator meet in.
//!
//! Its tables are what both SQLite and PostgreSQL understand: `TEXT` and `BIGINT`, octets in hexadecimal, identifiers made
//! by us. Each table is written by its own room. What a change in another room's table means for it is a trigger, in the
//! words of each database.

pub use database::{Changing, DatabaseError, Durability};
use database::{Kind, Schema};
pub use database::{change, column, columns, is_away, met_another, queue};
use sqlx::migrate::Migrator;

/// The operator's database.
pub type Database = database::Database<Tables>;

/// The operator's tables.
#[derive(Clone, Copy, Debug)]
pub struct Tables;

impl Schema for Tables {
    const SEAL: &str = "SELECT sealed FROM master_key";

    fn migrations(kind: Kind) -> Migrator {
        database::migrations::joined(&Self::of_both(), &Self::of(kind))
    }
}

impl Tables {
    /// What both databases understand.
    fn of_both() -> Migrator {
        database::migrations! { "migrations":
            "0001_initial"
            "0010_boss"
            "0020_entitlement"
            "0021_entitlement_download"
            "0022_entitlement_expiry"
            "0023_one_time_code_message"
            "0030_messages"
            "0031_contacts"
            "0040_portal"
            "0050_source"
            "0051_code_tokens"
            "0052_code_messages"
            "0053_master_key"
            "0057_known_sources"
            "0060_download_repeated"
            "0061_office"
            "0062_memory_exceeded"
            "0070_wrong_keys"
            "0075_removed_subscribers"
            "0080_claims"
            "0095_phone_messages"
        }
    }

    /// What each has its own words for.
    fn of(kind: Kind) -> Migrator {
        match kind {
            Kind::Sqlite => database::migrations! { "migrations/sqlite": "0090_signed_out" },
            Kind::PostgreSql => database::migrations! { "migrations/postgresql": "0090_signed_out" },
        }
    }
}

#[cfg(test)]
mod tests {
    use database::place::{Place, on_each_database};
    use sqlx::any::{AnyPoolOptions, install_default_drivers};
    use sqlx::{AssertSqlSafe, query_scalar};

    use super::*;

    #[test]
    fn every_migration_is_named() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        database::migrations::assert_all_named(&folder, &Tables::of_both());
        for (kind, name) in [(Kind::Sqlite, "sqlite"), (Kind::PostgreSql, "postgresql")] {
            database::migrations::assert_all_named(&folder.join(name), &Tables::of(kind));
        }
    }

    on_each_database!(a_database_of_before, who_is_out_of_service_is_signed_out);

    /// By the database itself, whichever program changes the register.
    async fn who_is_out_of_service_is_signed_out(place: &Place) {
        let database = Database::open(&place.url).await.unwrap();
        let execute = async |sql: &'static str| {
            sqlx::query(sql).execute(database.pool()).await.unwrap();
        };
        for sql in [
            "INSERT INTO subscription (imsi, iccid, status, algorithm, iterations, k, opc, amf, sqn) \
             VALUES ('1', '1', 'active', 'milenage', 1, '', '', '', 0), ('2', '2', 'active', 'milenage', 1, '', '', '', 0)",
            "INSERT INTO portal_session (token, area, subject, expires_at) \
             VALUES ('1', 'care', '1', 9), ('2', 'care', '2', 9), ('3', 'office', '', 9)",
            "INSERT INTO entitlement_token (id, imsi, terminal_id, apps, app_name, eid, targets, issued_at, expires_at) \
             VALUES ('1', '1', '', '', '', '', '', 1, 9), ('2', '2', '', '', '', '', '', 1, 9)",
        ] {
            execute(sql).await;
        }
        let kept =
            async |sql: &'static str| -> Vec<String> { query_scalar(sql).fetch_all(database.pool()).await.unwrap() };
        let sessions = async || kept("SELECT token FROM portal_session ORDER BY token").await;
        let tokens = async || kept("SELECT id FROM entitlement_token ORDER BY id").await;
        execute("UPDATE subscription SET status = 'active', eid = '7' WHERE imsi = '1'").await;
        assert_eq!(sessions().await, ["1", "2", "3"]);
        execute("UPDATE subscription SET status = 'barred' WHERE imsi = '1'").await;
        assert_eq!((sessions().await, tokens().await), (vec!["2".into(), "3".into()], vec!["1".into(), "2".into()]));
        execute("INSERT INTO portal_session (token, area, subject, expires_at) VALUES ('1', 'care', '1', 9)").await;
        execute("DELETE FROM subscription WHERE imsi = '1'").await;
        assert_eq!((sessions().await, tokens().await), (vec!["2".into(), "3".into()], vec!["2".into()]));
    }

    /// What the operator kept before codes had a source, and tokens were said to be by one.
    async fn a_database_of_before(place: &Place) {
        install_default_drivers();
        let is_postgresql = place.url.starts_with("postgres");
        let url = if is_postgresql { place.url.clone() } else { format!("sqlite:{}?mode=rwc", place.url) };
        let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
        let kind = if is_postgresql { Kind::PostgreSql } else { Kind::Sqlite };
        let steps: Vec<_> = Tables::migrations(kind).iter().filter(|step| step.version < 50).cloned().collect();
        Migrator { migrations: steps.into(), ..Migrator::DEFAULT }.run(&pool).await.unwrap();
        for sql in [
            "INSERT INTO entitlement_token (id, imsi, terminal_id, apps, app_name, eid, targets, issued_at, expires_at) \
             VALUES ('card', '001010000000001', 'phone', 'ap2006', '', '', '', 1, 2), \
             ('code', '001010000000001', 'phone', 'ap2006', '', '89049032000001000000000012345652', '', 1, 2)",
            "INSERT INTO entitlement_session (id, state, step, expires_at) VALUES ('1', '00', 0, 2)",
            "INSERT INTO one_time_code (id, code, tries, expires_at) VALUES ('1', '00', 0, 2)",
            "INSERT INTO one_time_code_message (id, number, message, due, expires_at) VALUES ('1', '2', '00', 1, 2)",
            "INSERT INTO mt_conversation (session, state, expires_at) VALUES ('1', '00', 2)",
            "INSERT INTO boss_notice (id, imsi, application, created_at, attempts, due) \
             VALUES ('1', '001010000000001', 'ap2009', 1, 2, 11)",
            "INSERT INTO sms_message (id, client, service_type, source, destination, imsi, tpdu, state, submitted_at, \
             not_before, expires_at, attempts, receipt, receipt_after) \
             VALUES ('1', 'client', '', '1/1/1', '1/1/2', '001010000000001', '', 'delivered', 1, 1, 2, 0, 'due', 31)",
        ] {
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
        pool.close().await;

        let database = Database::open(&place.url).await.unwrap();
        let by_code: Vec<String> = query_scalar("SELECT id FROM entitlement_token WHERE by_code = 1")
            .fetch_all(database.pool())
            .await
            .unwrap();
        assert_eq!(by_code, ["code"]);
        // What a process was at is anybody's once its time is up.
        for (table, column, due) in [("boss_notice", "due", 11), ("sms_message", "receipt_after", 31)] {
            let sql = format!("SELECT {column} FROM {table} WHERE claim IS NULL");
            let kept: i64 = query_scalar(AssertSqlSafe(sql)).fetch_one(database.pool()).await.unwrap();
            assert_eq!(kept, due, "{table}");
        }
        for (table, rows) in
            [("entitlement_session", 1), ("one_time_code", 1), ("mt_conversation", 1), ("one_time_code_message", 0)]
        {
            let sql = format!("SELECT COUNT(*) FROM {table}");
            let kept: i64 = query_scalar(AssertSqlSafe(sql)).fetch_one(database.pool()).await.unwrap();
            assert_eq!(kept, rows, "{table}");
        }
        database.close().await;
        Database::open(&place.url).await.expect("once more");
    }
}
