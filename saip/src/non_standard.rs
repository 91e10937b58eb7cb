//! `PE-NonStandard`: what only its issuer understands.

use crate::codec::sequence;
use crate::{Oid, PeHeader};

sequence! {
    /// `PE-NonStandard`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NonStandard {
        /// The header.
        0xA0 header: PeHeader,
        /// Whose format it is.
        0x81 issuer_id: Oid,
        /// The content.
        0x82 content: Vec<u8>,
    }
}
