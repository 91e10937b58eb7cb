//! `PE-End`: nothing follows it.

use crate::PeHeader;
use crate::codec::sequence;

sequence! {
    /// `PE-End`, the last element.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct End {
        /// The header.
        0xA0 header: PeHeader,
    }
}
