//! What a BER-TLV structure EF may hold from the start. TS 102 221 §11.3.

use std::collections::BTreeSet;

use apdu::tlv::{Reader, Tag};

/// How many octets of `content` are data objects: all, or those before an octet `00`, which is no tag, so that memory set aside
/// for more may follow.
///
/// A file holds what SET DATA could have put there: whole objects, each tag once, and none with a tag that means something
/// else. Nor one without a value: SET DATA with no value is how an object is removed, so that none is in any file, and a
/// terminal that reads one would have to guess what it means.
///
/// # Errors
///
/// What is wrong with the first object that is not one of these.
pub fn objects(content: &[u8]) -> Result<usize, &'static str> {
    let (mut reader, mut tags) = (Reader::new(content), BTreeSet::new());
    while reader.rest().first().is_some_and(|first| *first != 0) {
        let tag = Tag::of_object(reader.rest()).ok_or("its content has a tag that no data object may have")?;
        match reader.next() {
            Ok(Some(tlv)) if tlv.value.is_empty() => return Err("its content has a data object without a value"),
            Ok(Some(_)) if !tags.insert(tag) => return Err("its content has two data objects of one tag"),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err("its content has a data object that is cut off"),
        }
    }
    Ok(content.len() - reader.rest().len())
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
            assert_eq!(objects(content), Ok(content.len()), "{content:02X?}");
        }
        let refused: [(&[u8], &str); 14] = [
            (&hex!("5C0180"), "tag"),
            (&hex!("8001AA 5C0180"), "tag"),
            (&hex!("FF0180"), "tag"),
            (&hex!("8001AA FFFFFF"), "tag"),
            (&hex!("9F1E0105"), "tag"),
            (&hex!("9F80010105"), "tag"),
            (&hex!("9F"), "tag"),
            (&hex!("8001AA 8001BB"), "one tag"),
            (&hex!("8001AA 8101AA 8001AA"), "one tag"),
            (&hex!("8002AA"), "cut off"),
            (&hex!("80"), "cut off"),
            (&hex!("8001AA 8182"), "cut off"),
            (&hex!("8000"), "without a value"),
            (&hex!("8001AA 8100"), "without a value"),
        ];
        for (content, reason) in refused {
            let error = objects(content).unwrap_err();
            assert!(error.contains(reason), "{content:02X?} {error}");
        }
        assert_eq!(objects(&hex!("8001AA 000000")), Ok(3));
        assert_eq!(objects(&hex!("0001AA")), Ok(0));
    }
}
