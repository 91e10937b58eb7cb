//! Cards of a bank, used from elsewhere: RSPRO, as the programs of osmo-remsim speak it.
//!
//! [`Bank`] is the end with the cards, [`serve`] lets clients use them, [`follow`] lets a server say which client gets which;
//! [`RemoteCard`] is the other end, a card of any such bank as a [`Transport`](apdu::Transport). The two ends share the messages of
//! [`rspro`] and nothing else.
//!
//! Nobody proves who they are, and nothing is encrypted: whatever reaches a bank can use its cards.

mod bank;
mod client;
mod server_link;
mod service;

pub use bank::{Bank, BankError, Mappings};
pub use client::{Lost, Place, RemoteCard, RemoteError};
pub use server_link::{Link, follow};
pub use service::{Told, serve};

use std::time::Duration;

use rspro::{ComponentType, Identity};

/// How long an answer may take, the rest of a frame, and until a frame is taken: timer T1 of osmo-remsim.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two looks whether the other end is there, as osmo-remsim has it.
const PING: Duration = Duration::from_secs(30);

/// What this program says it is.
fn identity(component: ComponentType, name: &str) -> Identity {
    let (software, version) = ("vuicc".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let plain = |letter: &char| letter.is_ascii_graphic();
    Identity { component, name: name.chars().filter(plain).collect(), software, version }
}
