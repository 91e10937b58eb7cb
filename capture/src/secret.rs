//! What of a command must not be shown or kept.

use std::ops::Range;

use apdu::Ins;

/// Instructions whose data is a PIN or a PUK, those with odd numbers in a BER-TLV. TS 102 221 §11.1.9 to §11.1.13, ISO/IEC 7816-4
/// §11.5
const SECRET: &[Ins] = &[
    Ins::VERIFY_PIN,
    Ins::VERIFY_ODD,
    Ins::CHANGE_PIN,
    Ins::CHANGE_REFERENCE_DATA_ODD,
    Ins::DISABLE_PIN,
    Ins::ENABLE_PIN,
    Ins::UNBLOCK_PIN,
    Ins::RESET_RETRY_COUNTER_ODD,
];

/// Stands for each octet of a PIN or PUK that was left out: `*`, which no PIN contains.
pub const MASK: u8 = b'*';

/// The part of a command that is a PIN or a PUK and must not be shown or kept.
pub fn secret_part(command: &[u8]) -> Option<Range<usize>> {
    let ins = Ins(*command.get(1)?);
    (SECRET.contains(&ins) && command.len() > 5).then_some(5..command.len())
}

/// Whether a PIN or PUK was left out of this command when it was recorded: it cannot be sent as it is.
pub fn is_masked(command: &[u8]) -> bool {
    let secret = secret_part(command).and_then(|secret| command.get(secret));
    secret.is_some_and(|secret| secret.iter().all(|octet| *octet == MASK))
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn pins_are_secret_and_their_queries_are_not() {
        assert_eq!(secret_part(&hex!("0020000108 31323334FFFFFFFF")), Some(5..13));
        assert_eq!(secret_part(&hex!("002C000110 31313131313131313030303030303030")), Some(5..21));
        assert_eq!(secret_part(&hex!("0021000106 530431323334")), Some(5..11));
        assert_eq!(secret_part(&hex!("00200001")), None);
        assert_eq!(secret_part(&hex!("00A40004023F00")), None);
    }

    #[test]
    fn what_was_left_out_is_known() {
        let command = hex!("0020000108 31323334FFFFFFFF");
        assert!(is_masked(b"\x00\x20\x00\x01\x08********") && !is_masked(&command) && !is_masked(&command[..5]));
    }
}
