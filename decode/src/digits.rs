//! Decimal digits in half octets: ICCID, IMSI, EID, IMEI.

/// Digits, the first in the low half of each octet, without what fills them up at their end. TS 102 221 §13.2
pub(crate) fn swapped(octets: &[u8]) -> String {
    digits(octets.iter().flat_map(|octet| [octet & 0x0F, octet >> 4]))
}

/// Digits in order, without what fills them up at their end.
pub(crate) fn straight(octets: &[u8]) -> String {
    digits(octets.iter().flat_map(|octet| [octet >> 4, octet & 0x0F]))
}

/// A fill digit with others behind it stays: what is behind it is part of the value.
fn digits(halves: impl Iterator<Item = u8>) -> String {
    let digits: String = halves.filter_map(|half| char::from_digit(half.into(), 16)).collect();
    digits.to_ascii_uppercase().trim_end_matches('F').to_owned()
}

/// What is said of digits that are not all decimal.
pub(crate) fn strange(digits: &str) -> Option<&'static str> {
    (!digits.bytes().all(|digit| digit.is_ascii_digit())).then_some("not all of it decimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_behind_a_fill_digit_is_lost() {
        assert_eq!(swapped(&[0x98, 0x00, 0x10, 0xF2]), "8900012");
        assert_eq!(straight(&[0x89, 0x04, 0x1F, 0xFF]), "89041");
        assert_eq!(swapped(&[0x98, 0x10, 0x3F, 0x14]), "8901F341");
        assert_eq!((strange("8901F341"), strange("8901")), (Some("not all of it decimal digits"), None));
        assert_eq!(swapped(&[0xFF; 3]), "");
    }
}
