//! The operator's side of a subscription.
//!
//! | module | what | specification |
//! |---|---|---|
//! | [`eap`] | an EAP server for SIM, AKA and AKA', without input or output | RFC 3748, 4186, 4187, 9048 |
//! | [`imsi`] | the name under which all of them know a subscriber | TS 23.003 section 2.2 |

pub mod eap;
pub mod imsi;

pub use imsi::Imsi;
