//! Status words: one table, from number to name and sentence.

use core::fmt;

/// The two bytes that end every response. TS 102 221 §10.2.
///
/// A newtype rather than an enum: `61XX`, `63CX`, `6CXX` and `91XX` carry a number, and a status word nobody has
/// named yet survives the way through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatusWord(pub u16);

macro_rules! status_words {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl StatusWord {
            $(#[doc = concat!("`", stringify!($value), "`: ", $text, ".")] pub const $name: Self = Self($value);)*

            /// The constant's name and its sentence, where the specification gives the number one.
            const fn entry(self) -> Option<(&'static str, &'static str)> {
                match self.0 { $($value => Some((stringify!($name), $text)),)* _ => None }
            }
        }
    };
}

status_words! {
    OK = 0x9000, "normal ending of the command";
    BUSY = 0x9300, "SIM application toolkit is busy, command cannot be executed at present";

    WARNING_UNCHANGED = 0x6200, "no information given, state of non-volatile memory unchanged";
    CORRUPTED_DATA = 0x6281, "part of returned data may be corrupted";
    END_OF_FILE = 0x6282, "end of file or record reached before reading Le bytes, or unsuccessful search";
    FILE_DEACTIVATED = 0x6283, "selected file invalidated";
    FILE_TERMINATED = 0x6285, "selected file in termination state";
    MORE_DATA = 0x62F1, "more data available";
    MORE_DATA_PROACTIVE = 0x62F2, "more data available and proactive command pending";
    RESPONSE_DATA = 0x62F3, "response data available";
    AUTHENTICATION_FAILED = 0x6300, "authentication of host cryptogram failed";
    RULE_EXISTS = 0x6381, "rule stored, though one for the same reference is there, GPD_SPE_013";
    UNKNOWN_OBJECT_DISCARDED = 0x6382, "rule stored without a data object that is unknown, GPD_SPE_013";
    MORE_DATA_EXPECTED = 0x63F1, "more data expected";
    MORE_DATA_EXPECTED_PROACTIVE = 0x63F2, "more data expected and proactive command pending";
    MORE_TO_LIST = 0x6310, "more data available, GlobalPlatform GET STATUS";

    EXECUTION_ERROR = 0x6400, "no information given, state of non-volatile memory unchanged";
    EXECUTION_ERROR_CHANGED = 0x6500, "no information given, state of non-volatile memory changed";
    MEMORY_PROBLEM = 0x6581, "memory problem";

    WRONG_LENGTH = 0x6700, "wrong length";
    FUNCTION_NOT_SUPPORTED_BY_CLASS = 0x6800, "no information given, function in CLA not supported";
    LOGICAL_CHANNEL_NOT_SUPPORTED = 0x6881, "logical channel not supported or not open";
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882, "secure messaging not supported";
    LAST_COMMAND_EXPECTED = 0x6883, "last command of the chain expected";
    COMMAND_CHAINING_NOT_SUPPORTED = 0x6884, "command chaining not supported";
    COMMAND_NOT_ALLOWED = 0x6900, "no information given, command not allowed";
    INCOMPATIBLE_FILE_STRUCTURE = 0x6981, "command incompatible with file structure";
    SECURITY_STATUS_NOT_SATISFIED = 0x6982, "security status not satisfied";
    AUTHENTICATION_METHOD_BLOCKED = 0x6983, "authentication or PIN method blocked";
    REFERENCED_DATA_INVALIDATED = 0x6984, "referenced data invalidated";
    CONDITIONS_NOT_SATISFIED = 0x6985, "conditions of use not satisfied";
    NO_CURRENT_EF = 0x6986, "command not allowed, no EF selected";
    NOT_ALLOWED_SECURE_CHANNEL = 0x6989, "command not allowed, secure channel, security not satisfied";
    WRONG_DATA = 0x6A80, "incorrect parameters in the data field";
    FUNCTION_NOT_SUPPORTED = 0x6A81, "function not supported";
    FILE_NOT_FOUND = 0x6A82, "file or application not found";
    RECORD_NOT_FOUND = 0x6A83, "record not found";
    NOT_ENOUGH_MEMORY = 0x6A84, "not enough memory space";
    LC_INCONSISTENT_WITH_TLV = 0x6A85, "Lc inconsistent with TLV structure";
    WRONG_P1_P2 = 0x6A86, "incorrect parameters P1 to P2";
    LC_INCONSISTENT_WITH_P1_P2 = 0x6A87, "Lc inconsistent with P1 to P2";
    REFERENCED_DATA_NOT_FOUND = 0x6A88, "referenced data not found";
    FILE_ALREADY_EXISTS = 0x6A89, "file ID already exists";
    DF_NAME_ALREADY_EXISTS = 0x6A8A, "DF name already exists";
    WRONG_OFFSET = 0x6B00, "wrong parameters P1 to P2, offset outside the file";
    INS_NOT_SUPPORTED = 0x6D00, "instruction code not supported or invalid";
    CLA_NOT_SUPPORTED = 0x6E00, "class not supported";
    TECHNICAL_PROBLEM = 0x6F00, "technical problem, no precise diagnosis";

    ALGORITHM_NOT_SUPPORTED = 0x9484, "algorithm not supported, GlobalPlatform PUT KEY";
    INVALID_KEY_CHECK_VALUE = 0x9485, "invalid key check value, GlobalPlatform PUT KEY";

    GSM_MEMORY_PROBLEM = 0x9240, "memory problem, TS 51.011";
    GSM_NO_EF_SELECTED = 0x9400, "no EF selected, TS 51.011";
    GSM_OUT_OF_RANGE = 0x9402, "out of range, invalid address, TS 51.011";
    GSM_FILE_NOT_FOUND = 0x9404, "file identifier or pattern not found, TS 51.011";
    GSM_FILE_INCONSISTENT = 0x9408, "file inconsistent with the command, TS 51.011";
    GSM_NO_CHV = 0x9802, "no CHV initialised, TS 51.011";
    GSM_ACCESS_NOT_FULFILLED = 0x9804, "access condition not fulfilled, or a wrong CHV with tries left, TS 51.011";
    GSM_CHV_STATUS = 0x9808, "in contradiction with the status of the CHV, TS 51.011";
    GSM_INVALIDATION_STATUS = 0x9810, "in contradiction with the invalidation status, TS 51.011";
    GSM_CHV_BLOCKED = 0x9840, "CHV blocked, no tries left, TS 51.011";
    INCREASE_CANNOT_BE_PERFORMED = 0x9850, "INCREASE cannot be performed, maximum value reached";
    AUTHENTICATION_ERROR = 0x9862, "authentication error, incorrect MAC";
    SECURITY_SESSION_EXPIRED = 0x9863, "authentication error, security session or association expired";
    SECURITY_CONTEXT_NOT_SUPPORTED = 0x9864, "authentication error, security context not supported";
    KEY_FRESHNESS_FAILURE = 0x9865, "key freshness failure";
    NO_MEMORY_AVAILABLE = 0x9866, "authentication error, no memory space available";
    NO_MEMORY_AVAILABLE_IN_MUK = 0x9867, "authentication error, no memory space available in EF_MUK";
}

impl StatusWord {
    /// `61XX`: `XX` further bytes wait for GET RESPONSE; `00` stands for 256 or more.
    pub const fn bytes_available(count: usize) -> Self {
        Self(0x6100 | if count > 0xFF { 0 } else { low_byte(count) })
    }

    /// `6CXX`: wrong Le; the exact length is `XX`, `00` stands for 256.
    pub const fn exact_length(count: usize) -> Self {
        Self(0x6C00 | if count > 0xFF { 0 } else { low_byte(count) })
    }

    /// `63CX`: verification failed or was asked about, `X` tries are left. More than 15 reads as 15.
    pub const fn tries_left(tries: u8) -> Self {
        Self(0x63C0 | if tries > 0x0F { 0x0F } else { tries as u16 })
    }

    /// `91XX`: normal ending, and a proactive command of `XX` bytes waits for FETCH. TS 102 223 §6.
    pub const fn proactive(length: usize) -> Self {
        Self(0x9100 | if length > 0xFF { 0 } else { low_byte(length) })
    }

    /// First byte, SW1.
    pub const fn sw1(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Second byte, SW2.
    pub const fn sw2(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// Whether the command was carried out without a warning: `9000`, `91XX` or `92XX`, but for the memory problem of TS 51.011.
    pub const fn is_ok(self) -> bool {
        self.0 == 0x9000 || matches!(self.sw1(), 0x91 | 0x92) && self.0 != Self::GSM_MEMORY_PROBLEM.0
    }

    /// Whether the command was carried out with a warning: `62XX` or `63XX`.
    pub const fn is_warning(self) -> bool {
        matches!(self.sw1(), 0x62 | 0x63)
    }

    /// The specification's sentence for this status word.
    pub const fn description(self) -> &'static str {
        match self.sw1() {
            0x61 => "response bytes available",
            0x63 if self.sw2() & 0xF0 == 0xC0 => "verification failed, tries left in the last digit",
            0x6C => "wrong Le, exact length in the second byte",
            0x91 => "normal ending, proactive command pending",
            _ => match self.entry() {
                Some((_, text)) => text,
                None => "unknown status word",
            },
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked")]
const fn low_byte(count: usize) -> u16 {
    (count & 0xFF) as u16
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry() {
            Some((name, _)) => write!(f, "{:04X} {name}", self.0),
            None => write!(f, "{:04X}", self.0),
        }
    }
}

impl From<[u8; 2]> for StatusWord {
    fn from(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_travel_in_the_second_byte() {
        assert_eq!(StatusWord::bytes_available(0x21).0, 0x6121);
        assert_eq!(StatusWord::bytes_available(256).0, 0x6100);
        assert_eq!(StatusWord::bytes_available(4000).0, 0x6100);
        assert_eq!(StatusWord::exact_length(10).0, 0x6C0A);
        assert_eq!(StatusWord::tries_left(2).0, 0x63C2);
        assert_eq!(StatusWord::proactive(0x0B).0, 0x910B);
    }

    #[test]
    fn known_ones_print_by_name_and_unknown_ones_survive() {
        assert_eq!(format!("{:?}", StatusWord(0x6A82)), "6A82 FILE_NOT_FOUND");
        assert_eq!(format!("{:?}", StatusWord(0x6ABC)), "6ABC");
        assert_eq!(StatusWord(0x63C1).description(), "verification failed, tries left in the last digit");
        assert!(StatusWord(0x910B).is_ok() && !StatusWord(0x6283).is_ok());
        assert!(StatusWord(0x9203).is_ok() && !StatusWord::GSM_MEMORY_PROBLEM.is_ok());
    }
}
