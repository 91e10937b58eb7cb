//! Status words of TS 51.011 §9.4.

use apdu::{Ins, StatusWord};

/// `9FXX`: that many octets are to be fetched.
const TO_BE_FETCHED: u16 = 0x9F00;
/// `63C0`: no tries left.
const NO_TRIES_LEFT: StatusWord = StatusWord(0x63C0);

/// The status word by which TS 51.011 says the same after this command. Where it has none, there is a problem without a
/// diagnosis: a terminal of that time knows no other words.
pub(super) fn in_gsm(ins: Ins, sw: StatusWord) -> StatusWord {
    let [sw1, low] = sw.0.to_be_bytes();
    let of_chv =
        matches!(ins, Ins::VERIFY_PIN | Ins::CHANGE_PIN | Ins::DISABLE_PIN | Ins::ENABLE_PIN | Ins::UNBLOCK_PIN);
    let of_file = matches!(
        ins,
        Ins::READ_BINARY
            | Ins::UPDATE_BINARY
            | Ins::READ_RECORD
            | Ins::UPDATE_RECORD
            | Ins::SEARCH_RECORD
            | Ins::INCREASE
            | Ins::DEACTIVATE_FILE
            | Ins::ACTIVATE_FILE
    );
    match sw {
        StatusWord::FILE_NOT_FOUND => StatusWord::GSM_FILE_NOT_FOUND,
        StatusWord::NO_CURRENT_EF => StatusWord::GSM_NO_EF_SELECTED,
        StatusWord::INCOMPATIBLE_FILE_STRUCTURE => StatusWord::GSM_FILE_INCONSISTENT,
        StatusWord::SECURITY_STATUS_NOT_SATISFIED => StatusWord::GSM_ACCESS_NOT_FULFILLED,
        StatusWord::AUTHENTICATION_METHOD_BLOCKED | NO_TRIES_LEFT => StatusWord::GSM_CHV_BLOCKED,
        StatusWord::REFERENCED_DATA_NOT_FOUND if of_chv => StatusWord::GSM_NO_CHV,
        StatusWord::REFERENCED_DATA_INVALIDATED | StatusWord::CONDITIONS_NOT_SATISFIED if of_chv => {
            StatusWord::GSM_CHV_STATUS
        }
        StatusWord::REFERENCED_DATA_INVALIDATED | StatusWord::CONDITIONS_NOT_SATISFIED if of_file => {
            StatusWord::GSM_INVALIDATION_STATUS
        }
        // Whether a record is there, or a pattern.
        StatusWord::RECORD_NOT_FOUND if ins == Ins::SEARCH_RECORD => StatusWord::GSM_FILE_NOT_FOUND,
        StatusWord::RECORD_NOT_FOUND | StatusWord::WRONG_OFFSET => StatusWord::GSM_OUT_OF_RANGE,
        StatusWord::MEMORY_PROBLEM | StatusWord::NOT_ENOUGH_MEMORY => StatusWord::GSM_MEMORY_PROBLEM,
        // Wrong parameters P1 or P2 have the word that in TS 102 221 is for an offset.
        StatusWord::WRONG_P1_P2 => StatusWord::WRONG_OFFSET,
        StatusWord::LC_INCONSISTENT_WITH_P1_P2 => StatusWord::WRONG_LENGTH,
        _ if sw1 == 0x63 => StatusWord::GSM_ACCESS_NOT_FULFILLED,
        _ if sw1 == StatusWord::bytes_available(0).sw1() => StatusWord(TO_BE_FETCHED | u16::from(low)),
        _ if sw1 == StatusWord::exact_length(0).sw1() => StatusWord(StatusWord::WRONG_LENGTH.0 | u16::from(low)),
        _ if sw1 >= 0x90 || matches!(sw1, 0x67 | 0x6D | 0x6E) => sw,
        _ => StatusWord::TECHNICAL_PROBLEM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left after the translation are words that TS 51.011 §9.4 has, whatever comes.
    #[test]
    fn every_word_is_one_of_a_sim() {
        for ins in 0..=0xFF {
            for sw in 0x6000..=0x9FFF {
                let [sw1, sw2] = in_gsm(Ins(ins), StatusWord(sw)).0.to_be_bytes();
                assert!(
                    matches!(sw1, 0x67 | 0x6D..=0x6F | 0x90..=0x9F) || (sw1, sw2) == (0x6B, 0),
                    "{sw:04X} after {ins:02X} is {sw1:02X}{sw2:02X}"
                );
            }
        }
    }
}
