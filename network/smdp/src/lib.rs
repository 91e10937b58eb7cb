//! The SM-DP+: the server that stores an operator's profiles and delivers each to the eUICC it was ordered for
//! (SGP.22).
//!
//! Its core is [`SmDp`], the functions of ES9+ and ES2+ without any input or output but the database's ([`sql`]). Mutual
//! authentication, sessions and the JSON binding are [`rsp_server`]'s; around it is HTTPS ([`serve()`]):
//!
//! | module | what |
//! |---|---|
//! | [`es9plus`], [`notification`] | the functions an LPA calls |
//! | [`es2plus`] | the functions the operator calls, over mutual TLS |
//! | `point` | which notification points an operator gets |
//! | `progress` | how they are delivered |
//! | [`order`] | the steps of an order |
//! | [`profile`] | a profile: state, order, demands |
//! | [`eligibility`] | whether a profile fits an eUICC |
//! | [`bind`] | a profile package made for one eUICC |
//! | [`identity`] | our certificates and keys, and whose certificates we trust |
//! | [`status`] | refusals |
//! | [`store`], [`sql`] | what is remembered, and where: SQLite or PostgreSQL |
//! | `sealed` | what of that is secret, and the key it is sealed with |
//! | [`http`], [`mod@serve`] | HTTPS |
//! | [`fault`] | faults to order, for trying LPAs |

pub mod bind;
pub mod eligibility;
pub mod es2plus;
pub mod es9plus;
pub mod fault;
pub mod http;
pub mod identity;
pub mod notification;
pub mod order;
mod point;
pub mod profile;
mod progress;
mod sealed;
pub mod serve;
pub mod sql;
pub mod status;
pub mod store;

pub use database::seal::MasterKey;
pub use es2plus::Operator;
pub use es9plus::{Settings, SmDp};
pub use fault::{Fault, Faults};
pub use https::TlsIdentity;
pub use sealed::{OpenError, Rotation};
pub use serve::{Config, Es2Plus, ServeError, Server, serve, tls_identity, tls_identity_by};
pub use sql::SqlStore;
pub use system::{Randomness, System};
