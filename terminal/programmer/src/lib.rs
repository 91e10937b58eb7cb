//! Programmable SIM cards, from the side of the desk that writes to them.
//!
//! 1. [`identify`] says which [`Kind`] of card it is, by its answer to reset, and reads its ICCID.
//! 2. [`Plan::make`] looks at every file that would be written: whether it is there, how large it is, what is in it. Nothing has
//!    been written then, and no key was tried.
//! 3. [`Plan::carry_out`] verifies the administrative key, once and only if a wrong one would leave tries enough, writes what
//!    differs, reads it back, and has the card authenticate.
//!
//! Whatever interrupts the third step, [`Stopped`] says what was written, and the same three steps again write the rest.

mod host;
mod kind;
mod order;
mod plan;
mod proof;

pub use host::{AdmState, CardError, Found, identify};
pub use kind::{KINDS, Kind, named, of_atr};
pub use order::{Adm, NotAnAdm, Order, Unfit};
pub use plan::{Cause, Plan, Planned, Progress, Report, State, Stopped, Tries};
pub use proof::{Open, Proof};
