//! Instruction bytes: one table, from number to name.

use core::fmt;

/// Instruction byte INS. TS 102 221 table 10.5, GlobalPlatform Card Specification §11.
///
/// Some numbers mean different commands under an interindustry and a proprietary class (`F2` is STATUS and GET
/// STATUS, `E2` APPEND RECORD and STORE DATA); each reading has a constant of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ins(pub u8);

macro_rules! instructions {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Ins { $(#[doc = $text] pub const $name: Self = Self($value);)* }
        const NAMES: &[(u8, &str)] = &[$(($value, stringify!($name)),)*];
    };
}

instructions! {
    DEACTIVATE_FILE = 0x04, "DEACTIVATE FILE, TS 102 221 §11.1.14.";
    TERMINAL_PROFILE = 0x10, "TERMINAL PROFILE, TS 102 221 §11.2.1.";
    FETCH = 0x12, "FETCH, TS 102 221 §11.2.3.";
    TERMINAL_RESPONSE = 0x14, "TERMINAL RESPONSE, TS 102 221 §11.2.4.";
    VERIFY_PIN = 0x20, "VERIFY PIN, TS 102 221 §11.1.9.";
    VERIFY_ODD = 0x21, "VERIFY with BER-TLV data, ISO/IEC 7816-4 §11.5.6.";
    CHANGE_PIN = 0x24, "CHANGE PIN, TS 102 221 §11.1.10.";
    CHANGE_REFERENCE_DATA_ODD = 0x25, "CHANGE REFERENCE DATA with BER-TLV data, ISO/IEC 7816-4 §11.5.7.";
    DISABLE_PIN = 0x26, "DISABLE PIN, TS 102 221 §11.1.11.";
    ENABLE_PIN = 0x28, "ENABLE PIN, TS 102 221 §11.1.12.";
    UNBLOCK_PIN = 0x2C, "UNBLOCK PIN, TS 102 221 §11.1.13.";
    RESET_RETRY_COUNTER_ODD = 0x2D, "RESET RETRY COUNTER with BER-TLV data, ISO/IEC 7816-4 §11.5.10.";
    INCREASE = 0x32, "INCREASE, TS 102 221 §11.1.8.";
    ACTIVATE_FILE = 0x44, "ACTIVATE FILE, TS 102 221 §11.1.15.";
    INITIALIZE_UPDATE = 0x50, "INITIALIZE UPDATE, GlobalPlatform §D.4.1, Amendment D §7.1.1.";
    MANAGE_CHANNEL = 0x70, "MANAGE CHANNEL, TS 102 221 §11.1.17.";
    MANAGE_SECURE_CHANNEL = 0x73, "MANAGE SECURE CHANNEL, TS 102 221 §11.1.20.";
    TRANSACT_DATA = 0x75, "TRANSACT DATA, TS 102 221 §11.1.21.";
    SUSPEND_UICC = 0x76, "SUSPEND UICC, TS 102 221 §11.1.22.";
    GET_IDENTITY = 0x78, "GET IDENTITY, TS 102 221 §11.1.23, TS 31.102 §7.5.";
    EXCHANGE_CAPABILITIES = 0x7A, "EXCHANGE CAPABILITIES, TS 102 221 §11.1.24.";
    EXTERNAL_AUTHENTICATE = 0x82, "EXTERNAL AUTHENTICATE, GlobalPlatform §D.4.2.";
    GET_CHALLENGE = 0x84, "GET CHALLENGE, TS 102 221 §11.1.18.";
    AUTHENTICATE = 0x88, "AUTHENTICATE, even INS, TS 102 221 §11.1.16, TS 31.102 §7.1.";
    AUTHENTICATE_ODD = 0x89, "AUTHENTICATE, odd INS with BER-TLV data, TS 102 221 §11.1.16.";
    SEARCH_RECORD = 0xA2, "SEARCH RECORD, TS 102 221 §11.1.7.";
    SELECT = 0xA4, "SELECT, TS 102 221 §11.1.1.";
    TERMINAL_CAPABILITY = 0xAA, "TERMINAL CAPABILITY, TS 102 221 §11.1.19.";
    READ_BINARY = 0xB0, "READ BINARY, TS 102 221 §11.1.3.";
    READ_RECORD = 0xB2, "READ RECORD, TS 102 221 §11.1.5.";
    GET_RESPONSE = 0xC0, "GET RESPONSE, TS 102 221 §11.3.1.";
    ENVELOPE = 0xC2, "ENVELOPE, TS 102 221 §11.2.2.";
    GET_DATA = 0xCA, "GET DATA, GlobalPlatform §11.3.";
    RETRIEVE_DATA = 0xCB, "RETRIEVE DATA, TS 102 221 §11.3.1.";
    RESIZE_FILE = 0xD4, "RESIZE FILE, TS 102 222 §6.10.";
    UPDATE_BINARY = 0xD6, "UPDATE BINARY, TS 102 221 §11.1.4.";
    PUT_KEY = 0xD8, "PUT KEY, GlobalPlatform §11.8.";
    SET_DATA = 0xDB, "SET DATA, TS 102 221 §11.3.2.";
    UPDATE_RECORD = 0xDC, "UPDATE RECORD, TS 102 221 §11.1.6.";
    CREATE_FILE = 0xE0, "CREATE FILE, TS 102 222 §6.3.";
    STORE_DATA = 0xE2, "STORE DATA, GlobalPlatform §11.11.";
    DELETE_FILE = 0xE4, "DELETE FILE, TS 102 222 §6.4; GlobalPlatform DELETE under a proprietary class.";
    TERMINATE_DF = 0xE6, "TERMINATE DF, TS 102 222 §6.7; GlobalPlatform INSTALL under a proprietary class.";
    TERMINATE_EF = 0xE8, "TERMINATE EF, TS 102 222 §6.8; GlobalPlatform LOAD under a proprietary class.";
    SET_STATUS = 0xF0, "SET STATUS, GlobalPlatform §11.10.";
    STATUS = 0xF2, "STATUS, TS 102 221 §11.1.2; GlobalPlatform GET STATUS for a security domain.";
    SLEEP = 0xFA, "SLEEP, TS 51.011 §9.2.17.";
    TERMINATE_CARD_USAGE = 0xFE, "TERMINATE CARD USAGE, TS 102 222 §6.9.";
}

impl Ins {
    /// Whether ISO/IEC 7816-3 reserves the value: a high nibble of 6 or 9 would read as a procedure byte.
    pub const fn is_invalid(self) -> bool {
        matches!(self.0 & 0xF0, 0x60 | 0x90)
    }

    /// The names in the table, in the order of their numbers.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }

    /// The instruction of this name, in letters of any case, with underscores or spaces.
    pub fn named(name: &str) -> Option<Self> {
        let plain = name.replace(' ', "_");
        NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(&plain)).map(|(value, _)| Self(*value))
    }

    /// The command's name, if the table has one.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(value, _)| *value == self.0).map(|(_, name)| *name)
    }
}

impl fmt::Debug for Ins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "INS {:02X}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_listed_once() {
        let mut numbers: Vec<u8> = NAMES.iter().map(|(value, _)| *value).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), NAMES.len());
        assert!(NAMES.iter().all(|(value, _)| !Ins(*value).is_invalid()));
    }
}
