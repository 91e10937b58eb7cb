//! What a BER-TLV structure EF may hold from the start. TS 102 221 §11.3.

use std::collections::BTreeSet;

use apdu::tlv::{Reader, Tag};

/// The data objects that a file is filled with.
///
/// A file holds what SET DATA could have put there: whole objects, each tag once, and none with a tag that means something
/// else. Octets `00` and `FF` behind the last one only fill the file up. An object without a value says that there is none:
/// SET DATA with no value is how an object is removed. Neither is among what is given back.
///
/// # Errors
///
/// What is wrong with the first object that is not one of these.
pub fn objects(content: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (mut reader, mut tags, mut objects) = (Reader::new(content), BTreeSet::new(), Vec::new());
    while reader.rest().iter().any(|octet| !matches!(octet, 0x00 | 0xFF)) {
        let rest = reader.rest();
        let tag = Tag::of_object(rest).ok_or("its content has a tag that no data object may have")?;
        match reader.next() {
            Ok(Some(tlv)) if tlv.value.is_empty() => {}
            Ok(Some(_)) if !tags.insert(tag) => return Err("its content has two data objects of one tag"),
            Ok(Some(_)) => objects.extend(rest.iter().take(rest.len() - reader.rest().len())),
            Ok(None) | Err(_) => return Err("its content has a data object that is cut off"),
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn objects_of_a_file() {
        let good: [&[u8]; 6] = [
            &[],
            &hex!("8001AA"),
            &hex!("8001AA 8101BB A003800105"),
            &hex!("9F1F0105 9F81010106 BF5F0105"),
            &hex!("80810105"),
            &hex!("8001AA 9F1F0105 9F200105"),
        ];
        for content in good {
            assert_eq!(objects(content).as_deref(), Ok(content), "{content:02X?}");
        }
        let refused: [(&[u8], &str); 14] = [
            (&hex!("5C0180"), "tag"),
            (&hex!("8001AA 5C0180"), "tag"),
            (&hex!("FF0180"), "tag"),
            (&hex!("8001AA FFFF01"), "tag"),
            (&hex!("0001AA"), "tag"),
            (&hex!("9F1E0105"), "tag"),
            (&hex!("9F80010105"), "tag"),
            (&hex!("9F"), "tag"),
            (&hex!("8001AA 8001BB"), "one tag"),
            (&hex!("8001AA 8101AA 8001AA"), "one tag"),
            (&hex!("8002AA"), "cut off"),
            (&hex!("80"), "cut off"),
            (&hex!("8001AA 8182"), "cut off"),
            (&hex!("8001AA 00 8101BB"), "tag"),
        ];
        for (content, reason) in refused {
            let error = objects(content).unwrap_err();
            assert!(error.contains(reason), "{content:02X?} {error}");
        }
        let dropped: [(&[u8], &[u8]); 9] = [
            (&hex!("8001AA 000000"), &hex!("8001AA")),
            (&hex!("8001AA FFFFFF"), &hex!("8001AA")),
            (&hex!("8001AA 00FF"), &hex!("8001AA")),
            (&hex!("800200FF FFFF"), &hex!("800200FF")),
            (&hex!("00"), &[]),
            (&hex!("FFFF"), &[]),
            (&hex!("8000"), &[]),
            (&hex!("8000 8101BB 8000 8001AA"), &hex!("8101BB 8001AA")),
            (&hex!("8001AA 8100 FF"), &hex!("8001AA")),
        ];
        for (content, expected) in dropped {
            assert_eq!(objects(content).as_deref(), Ok(expected), "{content:02X?}");
        }
    }
}
