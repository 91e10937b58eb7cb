//! RSPRO, the protocol of osmo-remsim: a bank has cards, a client has a place for one (a modem's slot, a reader), and a server says
//! which card is for which client.
//!
//! ```text
//! bank    → server   ConnectBankReq                  → ConnectBankRes
//! client  → server   ConnectClientReq                → ConnectClientRes
//! server  → bank     CreateMappingReq                → CreateMappingRes
//! server  → client   ConfigClientBankReq: where      → ConfigClientBankRes
//! client  → bank     ConnectClientReq                → ConnectClientRes, then SetAtrReq → SetAtrRes
//! client  → bank     TpduModemToCard                 → TpduCardToModem
//! client  → bank     ClientSlotStatusInd: reset, power; no answer
//! ```
//!
//! A message is a [`Pdu`] in a [`Frame`]; [`Frames`] cuts a stream into them. Nothing here is encrypted, and nobody proves who they
//! are: the protocol has neither.

#![doc = include_str!("../README.md")]

mod ber;
mod frame;
mod message;
mod parts;

pub use frame::{Frame, FrameError, Frames, LONGEST};
pub use message::{Message, Pdu, PduError, VERSION};
pub use parts::{
    BankSlot, ClientSlot, ComponentType, ErrorCode, Identity, IpPort, ResultCode, Severity, SlotStatus, TpduFlags,
};

/// Where a server listens for banks and clients.
pub const SERVER_PORT: u16 = 9998;
/// Where a bank listens for clients.
pub const BANK_PORT: u16 = 9999;
