//! `PE-RFM`: an application for remote file management, TS 102 226.

use crate::codec::{Value, sequence};
use crate::{Error, PeHeader};

sequence! {
    /// `PE-RFM`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Rfm {
        /// The header.
        0xA0 header: PeHeader,
        /// The instance.
        0x4F instance_aid: Vec<u8> [5..=16],
        /// The security domain whose keys protect it; the operator's if absent.
        0x4F security_domain_aid: Option<Vec<u8>> [5..=16],
        /// Toolkit application references that address it.
        0xA0 tar_list: Option<Vec<[u8; 3]>> [1..=usize::MAX],
        /// Minimum security level, as SPI1 of TS 102 225.
        0x81 minimum_security_level: [u8; 1],
        /// What it may do to files of the UICC file system.
        0x04 uicc_access_domain: Vec<u8>,
        /// The same for creating, deleting and resizing.
        0x04 uicc_admin_access_domain: Vec<u8>,
        /// The ADF it starts in.
        0x30 adf_rfm_access: Option<AdfRfmAccess>,
    }
}

impl Rfm {
    /// As the DER content of the element, without its outer tag: what an application is given as its install parameter.
    pub fn to_der(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Value::encode(self, &mut out);
        out
    }

    /// Back from [`Rfm::to_der`].
    pub fn from_der(content: &[u8]) -> Result<Self, Error> {
        Self::try_decode(content, "PE-RFM")
    }
}

sequence! {
    /// `ADFRFMAccess`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AdfRfmAccess {
        /// The application of the ADF.
        0x80 adf_aid: Vec<u8> [5..=16],
        /// What may be done to its files.
        0x81 adf_access_domain: Vec<u8>,
        /// The same for creating, deleting and resizing.
        0x82 adf_admin_access_domain: Vec<u8>,
    }
}
