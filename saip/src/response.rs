//! What the card says about a profile package: `EUICCResponse` and its `PEStatus`es.

use crate::Error;
use crate::codec::{Cursor, Value, put, sequence};

/// Result of one profile element; `PEStatus.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// Done.
    pub const OK: Self = Self(0);
    /// The card does not know this kind of element.
    pub const PE_NOT_SUPPORTED: Self = Self(1);
    /// Memory could not be written.
    pub const MEMORY_FAILURE: Self = Self(2);
    /// A value is outside its definition or contradicts another.
    pub const BAD_VALUES: Self = Self(3);
    /// No room.
    pub const NOT_ENOUGH_MEMORY: Self = Self(4);
    /// Not the ASN.1 it should be.
    pub const INVALID_REQUEST_FORMAT: Self = Self(5);
    /// A parameter of an application is wrong.
    pub const INVALID_PARAMETER: Self = Self(6);
    /// The runtime environment (Java Card, MULTOS) is not there.
    pub const RUNTIME_NOT_SUPPORTED: Self = Self(7);
    /// A mandatory library is not there, or too old.
    pub const LIB_NOT_SUPPORTED: Self = Self(8);
    /// The file template is not known.
    pub const TEMPLATE_NOT_SUPPORTED: Self = Self(9);
    /// A mandatory service is not offered.
    pub const FEATURE_NOT_SUPPORTED: Self = Self(10);
    /// An access rule names a PIN that the profile does not define.
    pub const PIN_CODE_MISSING: Self = Self(11);
    /// The package is of a version that the card does not know.
    pub const UNSUPPORTED_PROFILE_VERSION: Self = Self(31);

    /// A status word that an application answered, such as `6A80`.
    pub const fn from_status_word(sw: u16) -> Self {
        Self(sw)
    }
}

impl Value for Status {
    fn try_decode(content: &[u8], name: &'static str) -> Result<Self, Error> {
        u16::try_decode(content, name).map(Self)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

sequence! {
    /// `PEStatus`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PeStatus {
        /// The result.
        0x80 status: Status,
        /// Identification of the element, as in its header.
        0x81 identification: Option<u16>,
        /// More about it; depends on the status.
        0x82 additional_information: Option<u8>,
        /// Octet of the element at which it failed.
        0x83 offset: Option<u32>,
    }
}

impl PeStatus {
    /// The plain success: status ok without identification.
    pub const OK: Self = Self { status: Status::OK, identification: None, additional_information: None, offset: None };

    /// A status for the element with this identification.
    pub fn new(status: Status, identification: Option<u16>) -> Self {
        Self { status, identification, ..Self::OK }
    }
}

sequence! {
    /// `EUICCResponse`, carried as `simaResponse` of the profile installation result (SGP.22 §2.5.6).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct EuiccResponse {
        /// The results, element by element.
        0xA0 pe_status: Vec<PeStatus>,
        /// The rest of the package was not processed.
        0x81 profile_installation_aborted: bool,
        /// In words.
        0x82 status_message: Option<String> [2..=64],
    }
}

impl EuiccResponse {
    /// All went well.
    pub fn ok() -> Self {
        Self::new(vec![PeStatus::OK], false)
    }

    /// These results; `aborted` if the rest of the package was not processed.
    pub fn new(pe_status: Vec<PeStatus>, aborted: bool) -> Self {
        Self { pe_status, profile_installation_aborted: aborted, status_message: None }
    }

    /// As DER.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 0x30, |out| Value::encode(self, out));
        out
    }

    /// From DER; several responses may stand one after another, so what follows is given back.
    pub fn decode(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let mut cursor = Cursor::new(input);
        match cursor.next()? {
            Some((0x30, content)) => Ok((Self::try_decode(content, "EUICCResponse")?, cursor.rest())),
            Some((tag, _)) => Err(Error::Unexpected { within: "EUICCResponse", tag }),
            None => Err(Error::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        assert_eq!(hex::encode(EuiccResponse::ok().encode()), "3007a0053003800100");
        let aborted = EuiccResponse::new(vec![PeStatus::OK, PeStatus::new(Status::BAD_VALUES, Some(8))], true);
        assert_eq!(hex::encode(aborted.encode()), "3011a00d3003800100300680010381010881 00".replace(' ', ""));
        let sw = EuiccResponse::new(vec![PeStatus::new(Status::from_status_word(0x9862), None)], false);
        assert_eq!(hex::encode(sw.encode()), "3009a00730058003009862");
        for response in [EuiccResponse::ok(), aborted, sw] {
            let der = response.encode();
            assert_eq!(EuiccResponse::decode(&der).unwrap(), (response, &[][..]));
        }
    }
}
