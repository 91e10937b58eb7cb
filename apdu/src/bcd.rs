//! Decimal digits in half bytes, as ICCID, IMSI, MSISDN and IMEI travel, and the check digit of some of them.

/// Packs decimal digits two to a byte, first digit in the low nibble, padded with `F`. TS 102 221 §13.2.
///
/// `None` if `digits` holds anything but `0`-`9`.
pub fn pack_swapped(digits: &str) -> Option<Vec<u8>> {
    pack(digits, |first, second| second << 4 | first)
}

/// Packs decimal digits two to a byte, first digit in the high nibble, padded with `F`: the EID's form.
///
/// `None` if `digits` holds anything but `0`-`9`.
pub fn pack_straight(digits: &str) -> Option<Vec<u8>> {
    pack(digits, |first, second| first << 4 | second)
}

/// Reads swapped digits up to the first `F`; other half bytes above 9 print as `A` to `E`.
pub fn unpack_swapped(bytes: &[u8]) -> String {
    unpack(bytes, |byte| [byte & 0x0F, byte >> 4])
}

/// Reads straight digits up to the first `F`.
pub fn unpack_straight(bytes: &[u8]) -> String {
    unpack(bytes, |byte| [byte >> 4, byte & 0x0F])
}

/// The check digit that belongs behind these decimal digits, as in ICCID and IMEI. ISO/IEC 7812-1 Annex B ("Luhn").
///
/// `None` if `digits` holds anything but `0`-`9`.
pub fn luhn(digits: &str) -> Option<char> {
    let mut sum = 0;
    for (place, digit) in digits.chars().rev().enumerate() {
        let digit = digit.to_digit(10)?;
        sum = (sum + if place % 2 == 1 { digit } else { digit * 2 / 10 + digit * 2 % 10 }) % 10;
    }
    char::from_digit((10 - sum) % 10, 10)
}

fn pack(digits: &str, join: impl Fn(u8, u8) -> u8) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> =
        digits.bytes().map(|digit| digit.is_ascii_digit().then(|| digit - b'0')).collect::<Option<_>>()?;
    Some(
        nibbles
            .chunks(2)
            .map(|pair| join(pair.first().copied().unwrap_or(0xF), pair.get(1).copied().unwrap_or(0xF)))
            .collect(),
    )
}

fn unpack(bytes: &[u8], split: impl Fn(u8) -> [u8; 2]) -> String {
    bytes
        .iter()
        .flat_map(|byte| split(*byte))
        .take_while(|nibble| *nibble != 0xF)
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .map(|digit| digit.to_ascii_uppercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders() {
        assert_eq!(pack_swapped("8900012").unwrap(), [0x98, 0x00, 0x10, 0xF2]);
        assert_eq!(pack_straight("8904").unwrap(), [0x89, 0x04]);
        assert_eq!(unpack_swapped(&[0x98, 0x00, 0x10, 0xF2]), "8900012");
        assert_eq!(unpack_straight(&[0x89, 0x04, 0x1F]), "89041");
        assert_eq!(pack_swapped("89x"), None);
    }

    /// The example of the standard, an ICCID of SGP.26's kind, and an IMEI of TS 23.003's form.
    #[test]
    fn check_digits() {
        assert_eq!(luhn("7992739871"), Some('3'));
        assert_eq!(luhn("894944999999999016"), Some('3'));
        assert_eq!(luhn("35693803564380"), Some('9'));
        assert_eq!(luhn("0"), Some('0'));
        assert_eq!(luhn("35x"), None);
    }
}
