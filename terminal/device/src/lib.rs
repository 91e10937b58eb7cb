//! The phone and the watch: what a device does to get a subscription onto an eUICC, or a number onto two cards.
//!
//! | module | what | specification |
//! |---|---|---|
//! | [`usim`] | the USIM in a reader: identities, authentication, messages | TS 31.102 |
//! | [`eap`] | the peer of EAP-SIM, EAP-AKA and EAP-AKA', without input or output | RFC 4186, 4187, 9048 |
//! | [`entitlement`] | the client of an entitlement server | TS.43 |
//! | [`event`] | what happens between the parties, told as it happens | – |
//! | [`inbox`] | where they are kept: on the card, and in the device | TS 31.102 §4.2.25, TS 23.040 §3.3 |
//! | [`mt`] | short messages to this device | TS 23.040, TS.43 §2.6 |
//! | [`one_time_code`] | a code by SMS, from one device to the other in a QR code | – |
//! | [`own`] | a profile for the device's own eUICC, and its end | – |
//! | [`parts`] | parts of long messages that are kept nowhere, until all are there | TS 23.040 §9.2.3.24.1 |
//! | [`primary`], [`secondary`] | the flows, step by step, from either side | – |
//! | [`flow`] | what the steps have in common | – |
//! | [`http`] | HTTPS, and the seam below it | – |
//! | [`app`], [`token`] | which entitlement, and what authenticates to its server | TS.43 §2.3, §2.8.5 |
//! | [`store`] | what survives a restart | – |

pub mod app;
pub mod eap;
pub mod entitlement;
pub mod event;
pub mod flow;
pub mod http;
pub mod inbox;
pub mod mt;
pub mod one_time_code;
pub mod own;
pub mod parts;
pub mod primary;
pub mod secondary;
pub mod store;
pub mod token;

pub use usim;

#[cfg(test)]
mod testing;
