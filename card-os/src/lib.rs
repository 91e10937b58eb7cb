//! The kernel of the emulated card: a UICC operating system that knows no USIM and no eUICC.
//!
//! ```text
//! bytes ─► Card::transmit ─► channel ─► GET RESPONSE, MANAGE CHANNEL, SELECT          card.rs, select.rs
//!                              │
//!                              ├─► the selected application, if it claims the command  application.rs
//!                              └─► files, PINs, toolkit                                fs/, toolkit.rs, cat/
//!                                       │
//!                          one transaction on non-volatile memory: commit on Ok, drop on Err   nvm/
//! ```
//!
//! * [`Card`] is the machine. One way in: [`Card::transmit`]. **Answered means committed**: a handler's `Ok` commits
//!   its transaction whatever the status word, its `Err` drops it; the power may go at any point.
//! * [`Application`] is what runs on it. Applications never meet each other; they meet what [`Context`] offers.
//! * A [`DomainId`] is a compartment with a file tree, PINs and applications of its own. Domain 0, the platform, is
//!   always there; at most one other is *active*, and its tree is what the channels see.
//!   [`DomainImage`] is a domain before it is installed: staged in memory, visible in one commit.
//! * [`nvm`] is everything that survives. `Card::power_on` rebuilds all else from it, so that a cold reset, a warm
//!   reset and a change of the active domain are one path.
//!
//! No sockets, files, clocks, threads, and no randomness but what [`Entropy`] brings in.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read vectors from files"))]

mod application;
mod bytes;
mod card;
mod card_profile;
mod cat;
mod chaining;
mod channel;
pub mod dialect;
mod domain;
pub mod fault;
pub mod fs;
mod gsm;
mod id;
mod kernel;
mod load_file;
pub mod nvm;
mod owner;
mod registry;
mod remote;
mod runtime;
mod select;
mod suspension;
mod termination;
mod toolkit;
mod view;

pub use application::{Application, Context, Factory, NoSuchPort, Platform};
pub use card::Card;
pub use card_profile::CardProfile;
pub use cat::{
    Conflict, Device, Event, EventKind, MalformedCommand, MenuItem, NotQueued, Outcome, ProactiveCommand, Registered,
    Registration, Tar, TerminalProfile, TerminalResponse,
};
pub use domain::{ApplicationRecord, DomainImage, Memory, NewApplication, OutOfMemory, Port, Privileges};
pub use id::{ApplicationKind, DomainId};
pub use load_file::{LoadFile, Origin};
pub use owner::NotWritten;
pub use registry::{Registry, RegistryError};
pub use remote::{Opened, Remote, Undone, Unsecured};
pub use runtime::{Runtime, RuntimeFactory};
pub use select::names_issuer;
pub use view::{ApplicationView, DomainView};

/// Where a card's random bytes come from. Tests pass a seeded source, so that every run can be replayed.
pub trait Entropy: Send {
    /// Fills `out` with random bytes.
    fn fill(&mut self, out: &mut [u8]);
}
