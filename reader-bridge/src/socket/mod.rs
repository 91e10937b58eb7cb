//! A card behind a socket: no PC/SC service, no driver, one client at a time.
//!
//! The messages are those of [`vpcd`](crate::vpcd), and here the card listens: a length of two bytes, big-endian, and a
//! body; a body of one byte is a control, any other one a command APDU, which its response APDU answers. A client gives the
//! card power before anything else ([`POWER_ON`], no answer), may ask for the answer to reset ([`GET_ATR`]), and sends
//! commands. When it closes the connection the card loses power, and the next client finds a fresh one. One client has the card at a
//! time, the others wait; one that says nothing for ten seconds after its turn has come, stops within a message or does not take its
//! answers is sent away.
//!
//! | client sends | card answers |
//! |---|---|
//! | `0001 01` power on | – |
//! | `0001 04` answer to reset | `0015 3B9F…` |
//! | `0007 00A40004023F00` | `0002 612A` |
//! | `0001 02` warm reset, `0001 00` power off | – |
//!
//! Behind the socket of a [`fleet`] are many cards, each of which a client may have; it says first which one it means.
//!
//! [`Listener`] is the card's side, [`SocketCard`] a host's. Nobody is authenticated: the address is this machine's own
//! unless another one is asked for, and a socket in a folder belongs to its owner alone.

mod address;
mod client;
mod connect;
pub mod fleet;
mod server;
#[cfg(unix)]
mod short_path;

pub use address::{Address, CardAddress, NotAnAddress};
pub use client::{Lookout, SocketCard, is_listening};
pub use connect::connect;
pub use server::{Client, Connection, Listener, serve};
#[cfg(unix)]
pub use short_path::at_short_path;

#[cfg(doc)]
use crate::vpcd::{GET_ATR, POWER_ON};
