//! The card application toolkit: what the card wants of the terminal, and what the terminal tells the card.
//! TS 102 221 §11.2, TS 102 223.

mod command;
mod event;
mod profile;
mod registration;
mod session;

pub use command::{Device, MalformedCommand, Outcome, ProactiveCommand, TerminalResponse};
pub use event::{Event, EventKind, Tar};
pub use profile::TerminalProfile;
pub use registration::{Conflict, MenuItem, Registered, Registration};
pub use session::NotQueued;

pub(crate) use registration::Registrations;
pub(crate) use session::Toolkit;
