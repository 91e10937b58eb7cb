//! The short message service centre.
//!
//! ```text
//!  ecs, boss ── SmsSender ── Esme ──┐                           ┌── GET /mt/v1/messages ── phone ── EF.SMS
//!                                   ├── SMPP ── Smsc ─ endpoint ┤
//!  any other ESME ──────────────────┘          database         └── POST …/messages/ID ──► receipt to the ESME
//! ```
//!
//! | module | what | specification |
//! |---|---|---|
//! | [`smpp`] | the service centre's end of SMPP, and a client's | SMPP 3.4 |
//! | [`message`] | a message and its state | – |
//! | [`store`] | store and forward, in the database | – |
//! | [`endpoint`] | where phones fetch their messages, and send some | – |
//! | `origination` | messages from phones, and their status reports | TS 23.040 |
//!
//! A message is addressed when it is submitted: to the subscription its number reaches then, or to an IMSI
//! (numbering plan 6). Its contents are sealed in the database, erased after delivery, and never logged.

pub mod endpoint;
pub mod message;
mod origination;
pub mod smpp;
pub mod store;

pub use endpoint::router;
pub use message::{Receipt, SmscError, State, Submission};
pub use smpp::body::Address;
pub use smpp::esme::{Esme, EsmeSettings};
pub use smpp::link::Timeouts;
pub use smpp::server::{Client, serve};
pub use store::{Fate, Outline, Settings, Smsc, give_up};
