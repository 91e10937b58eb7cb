//! Whether octets are an answer to reset that a reader of UICCs takes. ISO/IEC 7816-3 §8.2.

/// What is wrong with an answer to reset, and what would be right.
pub(super) fn check(atr: &[u8]) -> Result<(), String> {
    /// Behind TS. ISO/IEC 7816-3 §8.2.
    const LONGEST: usize = 32;
    let cut_off = || "is cut off: interface octets or historical octets are missing".to_owned();
    let (Some(&ts), Some(&t0)) = (atr.first(), atr.get(1)) else { return Err(cut_off()) };
    if !matches!(ts, 0x3B | 0x3F) {
        return Err("begins with 3B or 3F".to_owned());
    }
    if atr.len() > 1 + LONGEST {
        return Err(format!("has {} octets behind the first, and may have {LONGEST}", atr.len() - 1));
    }
    let (mut at, mut indicator, mut protocols) = (2, t0, Vec::new());
    loop {
        at += (indicator >> 4 & 0x07).count_ones() as usize;
        if indicator & 0x80 == 0 {
            break;
        }
        indicator = *atr.get(at).ok_or_else(cut_off)?;
        protocols.push(indicator & 0x0F);
        at += 1;
    }
    if protocols.first().is_some_and(|first| !matches!(first, 0 | 1 | 15)) {
        return Err("offers another protocol than T=0 or T=1 first, which this card does not speak".to_owned());
    }
    at += usize::from(t0 & 0x0F);
    let has_check = protocols.iter().any(|protocol| *protocol != 0);
    match (atr.len().checked_sub(at), has_check) {
        (Some(0), false) => Ok(()),
        (Some(1), true) => {
            let right = atr.iter().take(at).skip(1).fold(0, |sum, octet| sum ^ octet);
            if atr.last() == Some(&right) {
                Ok(())
            } else {
                Err(format!("ends with a wrong check octet; {right:02X} is right"))
            }
        }
        (None, _) | (Some(0), true) => Err(cut_off()),
        _ => Err("is longer than it says".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn what_a_reader_takes_is_taken() {
        assert_eq!(check(&hex!("3B021450")), Ok(()));
        assert_eq!(check(&hex!("3B9F96801FC78031E073FE211B57AA866016010001BA")), Ok(()));
        assert_eq!(check(&hex!("3B80 81 01 00")), Ok(()));
        assert_eq!(check(&card_os::CardProfile::default().atr), Ok(()));
        for (atr, told) in [
            (&hex!("3B9F96801FC78031E073FE211B57AA866016010001BB")[..], "BA is right"),
            (&hex!("3B9F96801FC78031E073FE211B57AA8660160100")[..], "cut off"),
            (&hex!("3B02145000")[..], "longer than it says"),
            (&hex!("3B81028002")[..], "T=0 or T=1"),
            (&hex!("000102")[..], "3B or 3F"),
            (&hex!("3B")[..], "cut off"),
            // T0, 17 interface octets and 15 historical ones make 33 behind TS.
            (
                &hex!("3BFF 960000F0 000000F0 000000F0 00000010 40 000102030405060708090A0B0C0D0E")[..],
                "has 33 octets behind the first, and may have 32",
            ),
        ] {
            assert!(check(atr).unwrap_err().contains(told), "{atr:02X?}");
        }
    }
}
