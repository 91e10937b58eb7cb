//! Splits a BER TLV from the front of a slice: definite lengths, no recursion.

/// One TLV, borrowed from its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    /// Identifier octets, right-aligned: `0x5A`, `0xBF36`.
    pub(crate) tag: u32,
    /// Identifier and length octets as received.
    pub(crate) header: &'a [u8],
    /// Contents octets.
    pub(crate) value: &'a [u8],
    /// The whole: header and value.
    pub(crate) octets: &'a [u8],
}

/// The first TLV of `input` and what follows it; `None` if it is cut short, indefinite, or its tag exceeds four octets.
pub(crate) fn split(input: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&first, mut rest) = input.split_first()?;
    let mut tag = u32::from(first);
    if first & 0x1F == 0x1F {
        for count in 2.. {
            let (&octet, after) = rest.split_first()?;
            rest = after;
            tag = tag << 8 | u32::from(octet);
            if octet & 0x80 == 0 {
                break;
            }
            if count == 4 {
                return None;
            }
        }
    }
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7F);
        if count == 0 {
            return None;
        }
        length = 0;
        for _ in 0..count {
            let (&octet, after) = rest.split_first()?;
            rest = after;
            length = length.checked_mul(0x100)? + usize::from(octet);
        }
    }
    let (value, after) = rest.split_at_checked(length)?;
    let header = input.get(..input.len() - rest.len())?;
    let octets = input.get(..input.len() - after.len())?;
    Some((Tlv { tag, header, value, octets }, after))
}

/// All TLVs of `input` in order; `None` if one of them is cut short.
pub(crate) fn split_all(mut input: &[u8]) -> Option<Vec<Tlv<'_>>> {
    let mut all = Vec::new();
    while !input.is_empty() {
        let (tlv, rest) = split(input)?;
        all.push(tlv);
        input = rest;
    }
    Some(all)
}

/// Identifier octets of `tag` and the shortest length octets for `length`.
pub(crate) fn header(tag: u32, length: usize) -> Vec<u8> {
    let mut out: Vec<u8> = tag.to_be_bytes().into_iter().skip_while(|&octet| octet == 0).collect();
    let length = length.to_be_bytes();
    let significant: &[u8] = &length[length.iter().take_while(|&&octet| octet == 0).count()..];
    match significant {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_tags() {
        let (tlv, rest) = split(&[0xBF, 0x36, 0x81, 0x02, 1, 2, 3]).unwrap();
        assert_eq!((tlv.tag, tlv.header, tlv.value, rest), (0xBF36, &[0xBF, 0x36, 0x81, 2][..], &[1, 2][..], &[3][..]));
        for cut in [&[][..], &[0x5A], &[0xBF], &[0x5A, 2, 0], &[0x30, 0x80, 0, 0], &[0x5A, 0x81]] {
            assert_eq!(split(cut), None, "{cut:02X?}");
        }
        assert_eq!(split(&[0x5A, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(header(0xBF36, 0), [0xBF, 0x36, 0]);
        assert_eq!(header(0x86, 127), [0x86, 0x7F]);
        assert_eq!(header(0x86, 128), [0x86, 0x81, 0x80]);
        assert_eq!(header(0x86, 1016), [0x86, 0x82, 3, 0xF8]);
    }
}
