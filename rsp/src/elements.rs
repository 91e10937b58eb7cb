//! Reading a SEQUENCE element by element, for people: one that is missing or malformed hides no other.
//!
//! What is carried out, verified or passed on is read as a whole, by [`decode`].

use apdu::tlv::{Reader, Tag, Tlv, Writer};

use crate::lenient::{DecodeError, decode};

/// An element of a SEQUENCE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Its tag.
    pub tag: Tag,
    /// Its name in the specification.
    pub name: &'static str,
    /// Whether it must be there.
    pub is_mandatory: bool,
}

impl Element {
    pub(crate) const fn mandatory(tag: u32, name: &'static str) -> Self {
        Self { tag: Tag(tag), name, is_mandatory: true }
    }

    pub(crate) const fn optional(tag: u32, name: &'static str) -> Self {
        Self { tag: Tag(tag), name, is_mandatory: false }
    }
}

/// A SEQUENCE as it is read element by element: each is an `Option` here, also those that must be there.
pub trait Elements: rasn::Decode {
    /// Its elements.
    const ELEMENTS: &'static [Element];
}

/// Reads what can be read of `input`, and tells what is wrong with the rest. An error if it is no such SEQUENCE at all.
pub fn decode_elements<T: Elements>(input: &[u8]) -> Result<(T, Vec<DecodeError>), DecodeError> {
    let whole = Tlv::parse(input).map_err(|error| DecodeError::new(error.to_string()))?;
    let of = |elements: &[&[u8]]| Writer::new().primitive(whole.tag, &elements.concat()).as_bytes().to_vec();
    // Whether it is one: without any element, of which none must be there.
    let mut value = decode(&of(&[]))?;
    let (mut good, mut seen, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = Reader::new(whole.value);
    loop {
        let element = match rest.next() {
            Ok(None) => break,
            Ok(Some(element)) => element,
            Err(error) => {
                faults.push(DecodeError::new(format!("what follows its elements: {error}")));
                break;
            }
        };
        seen.push(element.tag);
        good.push(element.raw);
        match decode(&of(&good)) {
            Ok(more) => value = more,
            Err(error) => {
                good.pop();
                faults.push(error.of(&name::<T>(element.tag)));
            }
        }
    }
    let missing = T::ELEMENTS.iter().filter(|element| element.is_mandatory && !seen.contains(&element.tag));
    faults.extend(missing.map(|element| DecodeError::new("it is missing").of(&name::<T>(element.tag))));
    Ok((value, faults))
}

fn name<T: Elements>(tag: Tag) -> String {
    match T::ELEMENTS.iter().find(|element| element.tag == tag) {
        Some(element) => format!("{} ({tag})", element.name),
        None => tag.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::euicc_info::EuiccInfo2Elements;
    use crate::metadata::{ProfileInfo, ProfileState};
    use crate::notification::NotificationElements;
    use hex_literal::hex;

    fn told(faults: &[DecodeError]) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_right_is_read_beside_what_is_not() {
        // An ICCID of 10 octets, a state without one, a name, a class of two octets too long for a number of 64 bits.
        let profile = hex!("E31F 5A0A98001032547698103214 9F7000 9203505234 9509010203040506070809");
        let (profile, faults) = decode_elements::<ProfileInfo>(&profile).unwrap();
        assert_eq!(profile.iccid.unwrap().to_string(), "89000123456789012341");
        assert_eq!((profile.profile_name.as_deref(), profile.profile_state), (Some("PR4"), None));
        let faults = told(&faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("profileState (9F70)") && faults[1].contains("profileClass (95)"), "{faults:?}");
    }

    #[test]
    fn what_is_missing_or_twice_or_cut_is_named() {
        let (notification, faults) = decode_elements::<NotificationElements>(&hex!("BF2F06 800107 810206")).unwrap();
        assert_eq!(notification.seq_number, Some(7));
        let faults = told(&faults);
        // The length of the second reaches beyond the end.
        assert!(faults[0].contains("what follows its elements"), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.contains("notificationAddress (0C): it is missing")), "{faults:?}");
        let (profile, faults) = decode_elements::<ProfileInfo>(&hex!("E308 9F700101 9F700100")).unwrap();
        assert_eq!((profile.profile_state, faults.len()), (Some(ProfileState::ENABLED), 1));
        // What a later release adds is no fault.
        let (_, faults) = decode_elements::<ProfileInfo>(&hex!("E308 9F700101 9B020102")).unwrap();
        assert_eq!(faults, []);
    }

    #[test]
    fn what_is_no_such_thing_is_refused() {
        for other in [&hex!("BF2200")[..], &hex!("E305 5A"), &[], &[0xFF; 4]] {
            assert!(decode_elements::<ProfileInfo>(other).is_err(), "{other:02X?}");
        }
        let (info, faults) = decode_elements::<EuiccInfo2Elements>(&hex!("BF2200")).unwrap();
        assert_eq!((info, faults.len()), (EuiccInfo2Elements::default(), 10));
    }
}
