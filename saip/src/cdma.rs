//! `PE-CDMAParameter`: secrets of a CSIM.

use crate::codec::{Value, sequence};
use crate::{Error, PeHeader, Secret};

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

impl CdmaParameter {
    /// As the DER content of the element, without its outer tag: what an application is given as its install parameter.
    pub fn to_der(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Value::encode(self, &mut out);
        out
    }

    /// Back from [`CdmaParameter::to_der`].
    pub fn from_der(content: &[u8]) -> Result<Self, Error> {
        Self::try_decode(content, "PE-CDMAParameter")
    }
}
