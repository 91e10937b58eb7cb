//! The SM-DP+: the server that keeps an operator's profiles and hands each to the eUICC it was ordered for (SGP.22).
//!
//! Its heart is [`SmDp`], the five functions of ES9+ without any input or output. Around it stand HTTPS ([`serve()`])
//! and a database ([`sqlite`]):
//!
//! | module | what |
//! |---|---|
//! | [`es9plus`], [`notification`] | the functions an LPA calls |
//! | [`order`] | the functions the operator calls |
//! | [`profile`] | a profile: state, order, demands |
//! | [`eligibility`] | whether a profile fits an eUICC |
//! | [`bind`] | a profile package made for one eUICC |
//! | [`identity`] | our certificates and keys, and whose certificates we trust |
//! | [`status`] | refusals |
//! | [`store`], [`sqlite`] | what is remembered, and where |
//! | [`http`], [`mod@serve`] | HTTPS |

pub mod bind;
pub mod eligibility;
pub mod es9plus;
pub mod http;
pub mod identity;
pub mod notification;
pub mod order;
pub mod profile;
pub mod serve;
pub mod sqlite;
pub mod status;
pub mod store;

pub use es9plus::{Settings, SmDp};
pub use serve::{Config, ServeError, Server, TlsIdentity, serve};
pub use sqlite::SqliteStore;
