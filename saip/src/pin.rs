//! `PE-PINCodes` and `PE-PUKCodes`.

use crate::codec::{Cursor, Value, put, sequence};
use crate::{Error, PeHeader, Secret};

sequence! {
    /// `PE-PINCodes`: PINs of the DF or ADF created before it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PinCodes {
        /// The header.
        0xA0 header: PeHeader,
        /// PINs of its own, or those of another DF.
        0xA1 pin_codes: PinConfig,
    }
}

/// `pinCodes` of [`PinCodes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinConfig {
    /// PINs defined here.
    Own(Vec<PinConfiguration>),
    /// The PINs of the DF at this path are shared: two octets per level, from the MF, ADFs by their temporary identifier.
    Shared(Vec<u8>),
}

impl Value for PinConfig {
    fn try_decode(content: &[u8], _: &'static str) -> Result<Self, Error> {
        match Cursor::new(content).next()? {
            Some((0xA0, pins)) => {
                let pins = Vec::<PinConfiguration>::try_decode(pins, "pinconfig")?;
                if !(1..=26).contains(&pins.len()) {
                    return Err(Error::BadValue("pinconfig"));
                }
                Ok(Self::Own(pins))
            }
            Some((0x81, path)) if path.len() <= 8 && path.len() % 2 == 0 => Ok(Self::Shared(path.to_vec())),
            Some((0x81, _)) => Err(Error::BadValue("pinCodes.filePath")),
            Some((tag, _)) => Err(Error::Unexpected { within: "pinCodes", tag }),
            None => Err(Error::Missing("pinCodes")),
        }
    }
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Own(pins) => put(out, 0xA0, |out| pins.encode(out)),
            Self::Shared(path) => put(out, 0x81, |out| path.encode(out)),
        }
    }
}

/// Key reference of a PIN or PUK, TS 102 221 §9.5.1: 01 to 08 global PINs, 0A to 0E ADM1 to 5, 81 to 88 local PINs, 8A to 8E ADM6 to 10.
pub type KeyReference = u8;

/// What [`PinConfiguration::max_attempts_and_left`] is unless stated: three of three.
pub const PIN_ATTEMPTS: u8 = 0x33;
/// What [`PukConfiguration::max_attempts_and_left`] is unless stated: ten of ten.
pub const PUK_ATTEMPTS: u8 = 0xAA;

sequence! {
    /// `PINConfiguration`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PinConfiguration {
        /// Which PIN.
        0x80 key_reference: KeyReference,
        /// Its value, filled up with FF.
        0x81 pin_value: Secret [8..=8],
        /// The PUK that unblocks it; none if it can not be unblocked.
        0x82 unblocking_pin_reference: Option<KeyReference>,
        /// See [`PinConfiguration::ENABLED`] and its neighbours.
        0x83 pin_attributes: u8 = 7,
        /// Attempts allowed (high nibble) and left (low nibble).
        0x84 max_attempts_and_left: u8 = PIN_ATTEMPTS,
    }
}

impl PinConfiguration {
    /// Attribute: verification is required.
    pub const ENABLED: u8 = 0x01;
    /// Attribute: the value can be changed.
    pub const CHANGEABLE: u8 = 0x02;
    /// Attribute: the PIN can be enabled and disabled.
    pub const CAN_BE_DISABLED: u8 = 0x04;

    /// Attempts allowed.
    pub fn max_attempts(&self) -> u8 {
        self.max_attempts_and_left >> 4
    }
    /// Attempts left.
    pub fn attempts_left(&self) -> u8 {
        self.max_attempts_and_left & 0x0F
    }
    /// Whether it has this attribute.
    pub fn has(&self, attribute: u8) -> bool {
        self.pin_attributes & attribute != 0
    }
}

sequence! {
    /// `PE-PUKCodes`: every PUK of the profile, before the PINs that they unblock.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PukCodes {
        /// The header.
        0xA0 header: PeHeader,
        /// The PUKs.
        0xA1 puk_codes: Vec<PukConfiguration> [1..=16],
    }
}

sequence! {
    /// `PUKConfiguration`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PukConfiguration {
        /// Which PUK.
        0x80 key_reference: KeyReference,
        /// Its value.
        0x81 puk_value: Secret [8..=8],
        /// Attempts allowed (high nibble) and left (low nibble).
        0x82 max_attempts_and_left: u8 = PUK_ATTEMPTS,
    }
}

impl PukConfiguration {
    /// Attempts allowed.
    pub fn max_attempts(&self) -> u8 {
        self.max_attempts_and_left >> 4
    }
    /// Attempts left.
    pub fn attempts_left(&self) -> u8 {
        self.max_attempts_and_left & 0x0F
    }
}
