//! The store in a database: SQLite, in a file or in memory, or PostgreSQL, which several servers may share.

mod answer;
mod aside;
mod notification;
mod profile;
mod progress;
mod rows;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use database::seal::MasterKey;
use database::{Database, Kind, Schema, change};
use sqlx::any::AnyArguments;
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyPool};

pub(crate) use progress::Leased;

use crate::sealed::{self, CallKey, OpenError, Rotation};
use crate::store::{Changes, Damaged, StoreError};

/// Profiles, sessions and notifications, persistently stored: see the modules of this one for each kind of record.
///
/// Updates are optimistic: a record is written only if it is unchanged since it was read, and the result says so.
#[derive(Clone, Debug)]
pub struct SqlStore {
    database: Database<Tables>,
    key: Arc<MasterKey>,
    call_key: Arc<CallKey>,
}

/// The SM-DP+'s tables.
#[derive(Clone, Copy, Debug)]
struct Tables;

impl Schema for Tables {
    // Deleting a profile deletes its keys.
    const PRAGMAS: &[&str] = &["secure_delete = ON"];
    const SEAL: &str = "SELECT encode(sealed, 'hex') FROM master_key";

    fn migrations(kind: Kind) -> Migrator {
        match kind {
            Kind::Sqlite => database::migrations! { "migrations/sqlite":
                "0001_initial"
                "0002_orders_of_sessions"
                "0003_operators"
                "0004_waiting"
                "0005_source"
                "0006_sealed"
                "0007_call_key"
                "0008_oid_of_session"
                "0009_claims"
                "0010_reusable"
            },
            Kind::PostgreSql => database::migrations! { "migrations/postgresql":
                "0001_initial"
                "0002_source"
                "0003_sealed"
                "0004_call_key"
                "0005_oid_of_session"
                "0006_claims"
                "0007_reusable"
            },
        }
    }
}

impl SqlStore {
    /// Opens the database named by `url` and migrates it: a path, `sqlite:PATH`, `:memory:`, or `postgres://…`. A
    /// missing file is created, readable by its owner only. Its secrets are sealed with `key`; those of an older
    /// database are sealed now.
    pub async fn open(url: &str, key: impl Into<Arc<MasterKey>>) -> Result<Self, OpenError> {
        Self::open_within(url, key, Duration::ZERO).await
    }

    /// The same, waiting this long for a PostgreSQL that does not accept connections yet.
    pub async fn open_within(url: &str, key: impl Into<Arc<MasterKey>>, timeout: Duration) -> Result<Self, OpenError> {
        Self::with(Database::open_within(url, timeout).await?, key.into()).await
    }

    /// The same with exclusive access, to change its key: no other process can open the database meanwhile.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::InUse`](database::DatabaseError::InUse) if another process has it open.
    pub async fn open_alone(url: &str, key: impl Into<Arc<MasterKey>>) -> Result<Self, OpenError> {
        Self::with(Database::open_alone(url).await?, key.into()).await
    }

    async fn with(database: Database<Tables>, key: Arc<MasterKey>) -> Result<Self, OpenError> {
        match sealed::check(&database, &key).await {
            Ok(call_key) => Ok(Self { database, key, call_key: call_key.into() }),
            Err(error) => {
                // Another key may be tried with exclusive access.
                database.close().await;
                Err(error)
            }
        }
    }

    /// Whether the database named by `url` is sealed already: a key made now could not open it. Waits for it like
    /// [`open_within`](Self::open_within).
    pub async fn is_sealed(url: &str, timeout: Duration) -> Result<bool, OpenError> {
        let database = Database::<Tables>::open_within(url, timeout).await?;
        let is_sealed = sealed::is_sealed(&database).await;
        database.close().await;
        Ok(is_sealed?)
    }

    /// Re-encrypts everything with another key; returns what was, and what could not be, because it cannot be
    /// decrypted. The database has to be opened exclusively: other processes would continue with the previous key.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotAlone`]; and if the database fails. Nothing has changed then.
    pub async fn rotate(&mut self, key: impl Into<Arc<MasterKey>>) -> Result<Rotation, StoreError> {
        if !self.database.is_alone() {
            return Err(StoreError::NotAlone);
        }
        let key = key.into();
        let rotation = sealed::rotate(&self.database, (&self.key, &key), &self.call_key).await?;
        self.key = key;
        Ok(rotation)
    }

    /// Closes all connections, leaving a consistent file.
    pub async fn close(&self) {
        self.database.close().await;
    }

    fn pool(&self) -> &AnyPool {
        self.database.pool()
    }

    /// Writes the changes of one step: all of them, or none.
    ///
    /// Profile and session are written unless they have changed since they were read ([`StoreError::Conflict`]).
    pub async fn apply(&self, changes: &Changes<'_>) -> Result<(), StoreError> {
        change!(self.database, changes.durability(), |tx| -> StoreError {
            if let Some(profile) = changes.profile {
                profile::update(&mut *tx, &self.key, profile).await?;
            }
            if let Some(session) = changes.session {
                session::update(&mut *tx, session).await?;
            }
            if let Some(notification) = changes.notification {
                notification::add(&mut *tx, notification).await?;
            }
            if let Some(answered) = changes.answered {
                answer::add(&mut *tx, &self.call_key, answered).await?;
            }
            if let Some(progress) = changes.progress {
                progress::add(&mut *tx, progress).await?;
            }
        })
    }

    /// Records that exist but cannot be read.
    pub async fn damaged(&self) -> Result<Vec<Damaged>, StoreError> {
        let mut damaged = self.damaged_profiles().await?;
        damaged.extend(self.damaged_notifications().await?);
        Ok(damaged)
    }
}

type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

fn unique<T>(result: Result<T, sqlx::Error>, what: &'static str) -> Result<T, StoreError> {
    result.map_err(|error| match error {
        sqlx::Error::Database(database) if database.is_unique_violation() => StoreError::Exists(what),
        other => other.into(),
    })
}
