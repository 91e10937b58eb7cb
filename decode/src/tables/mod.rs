//! The tables: what stands in which TLV.

pub(crate) mod es10;
pub(crate) mod fcp;
pub(crate) mod globalplatform;
pub(crate) mod profile;
pub(crate) mod terminal_profile;
pub(crate) mod toolkit;
