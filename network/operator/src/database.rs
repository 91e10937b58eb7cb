//! The one database all parts of the operator meet in.
//!
//! Its tables are what both SQLite and PostgreSQL understand: `TEXT` and `BIGINT`, octets in hexadecimal, identifiers made
//! by us.

pub use database::{Changing, DatabaseError};
use database::{Kind, Schema};
pub(crate) use database::{change, is_away, met_another};
use sqlx::migrate::Migrator;

/// The operator's database.
pub type Database = database::Database<Tables>;

/// The operator's tables.
#[derive(Clone, Copy, Debug)]
pub struct Tables;

impl Schema for Tables {
    fn migrations(_: Kind) -> Migrator {
        sqlx::migrate!()
    }
}
