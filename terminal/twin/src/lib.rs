//! A card's twin: what a card says and does, learned from outside, so that another one can say and do it too.
//!
//! ```text
//! a card ──► learn: files, applications, PINs, channels ──► description ──► an emulated card
//!    │                                                          ▲               │
//!    └──────► the same calibration probes to both ──► fit: rows of its dialect ◄┘
//! ```
//!
//! [`learn()`] only reads: it sends no command that writes, tries no PIN, and touches no retry counter. What it has found is a
//! [`Learned`], which the emulated card answers from by its files and rules; no response is kept for a command. [`probes()`] makes
//! commands from a seed, most of which learning did not send, and [`ask`] gets a card's answers to compare.

mod calibration;
mod compare;
mod description;
mod exchange;
mod fit;
mod learn;
mod probe;
mod scan;

pub use compare::{Identity, identity};
pub use description::{
    Application, Difference, KnownCode, Learned, LearnedDialect, LearnedFile, LearnedPin, Missing, Octets, Path,
    ReadAccess, Timing,
};
pub use exchange::{Answer, Probe, Weight, ask};
pub use fit::{Build, BuildTwin};
pub use learn::{Outside, Progress, Settings, Stopped, Unlocking, another_card, learn, unlock};
pub use probe::{KINDS, Kind, probes};
pub use scan::{Content, Shape};
