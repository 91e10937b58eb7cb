//! `PE-CDMAParameter`: secrets of a CSIM.

use crate::codec::sequence;
use crate::{PeHeader, Secret};

sequence! {
    /// `PE-CDMAParameter`, for the CSIM before it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct CdmaParameter {
        /// The header.
        0xA0 header: PeHeader,
        /// The A-key of CAVE.
        0x81 authentication_key: Secret [8..=8],
        /// Shared secret data A and B.
        0x82 ssd: Option<Secret> [16..=16],
        /// HRPD access authentication.
        0x83 hrpd_access_authentication_data: Option<Secret> [2..=32],
        /// Simple IP authentication.
        0x84 simple_ip_authentication_data: Option<Secret> [3..=483],
        /// Mobile IP authentication.
        0x85 mobile_ip_authentication_data: Option<Secret> [5..=957],
    }
}
