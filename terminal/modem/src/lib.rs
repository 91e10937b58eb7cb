//! An AT modem whose SIM is a card behind a [`Transport`](apdu::Transport).
//!
//! | module | what | specification |
//! |---|---|---|
//! | `line` | octets to command lines: terminator, echo, editing, what is noise | V.250 §5.2 |
//! | `call` | a command line to commands: basic, S-parameters, extended, their arguments | V.250 §5.3, §5.4 |
//! | [`result_code`] | how commands end, and why | V.250 §5.7, TS 27.007 §9 |
//! | `commands` | what each command does | TS 27.007, TS 27.005 |
//! | `card` | the card's power, sessions, files and PINs; what it asks its terminal for | TS 102 221, TS 102 223 |
//! | [`network`] | what the modem asks of a network and hears from it | – |
//! | `registration` | whether a network has authenticated the card | TS 27.007 §7.2 |
//! | `incoming` | messages that come: to the program, or onto the card | TS 27.005 §3.4 |
//! | [`quirks`] | what modems in the field do otherwise, each with its source | – |
//!
//! A [`Modem`] has the card, and each program that is connected has a [`Port`] with its settings. Octets come in and go out, the
//! time is an argument.

mod call;
mod card;
mod commands;
mod incoming;
mod line;
mod modem;
pub mod network;
mod port;
mod prompt;
pub mod quirks;
mod registration;
mod reply;
pub mod result_code;
mod unsolicited;

pub use modem::{Identity, Modem};
pub use network::Coverage;
pub use port::Port;
pub use quirks::Quirks;
