//! How the register is asked and changed, and why it refuses.

use identities::{Eid, Iccid, Imsi, Msisdn};
use network_base::database::DatabaseError;
use system::unix_now;

use super::seal::SealBroken;

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

/// The author and time of a change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The actor: a user, a key's name or a part of the operator.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Change {
    /// Someone, now.
    pub fn by(who: &str) -> Self {
        Self { by: who.to_owned(), at: unix_now() }
    }
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, from 1.
    pub number: u64,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The actor, as in [`Change::by`].
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To whom: an IMSI or an MSISDN.
    pub subject: String,
    /// The rest. Never a key.
    pub detail: String,
}

/// Errors of the register.
#[derive(Debug, thiserror::Error)]
pub enum HlrError {
    /// No subscription has this identity.
    #[error("{0} is not in the register")]
    NotFound(String),
    /// A number is taken.
    #[error(
        "{0} is in the register already; `vuicc operator subscriber show {0}` tells whose it is, `vuicc operator \
         subscriber remove {0}` takes that subscription out"
    )]
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
    /// The database belongs to another master key.
    #[error("this is not the master key that the operator's database is sealed with")]
    OtherKey,
    /// Others have the database open, and would use the old master key.
    #[error("the master key can be changed only while no other process has the database open")]
    NotAlone,
    /// A key cannot be unsealed.
    #[error(transparent)]
    Seal(#[from] SealBroken),
    /// The database fails.
    #[error("the register's database: {}", ::database::told(.0))]
    Database(#[from] sqlx::Error),
    /// The database cannot be opened.
    #[error("the register: {0}")]
    NoDatabase(#[from] DatabaseError),
    /// The operating system provides no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database contains an invalid value.
    #[error("the register's database has a bad {0}")]
    Corrupt(&'static str),
}
