//! When a card has to be reset for its host's sake.
//!
//! In a phone REFRESH resets the card after a change of the enabled profile. A PC/SC host resets it itself; where its resets do not
//! reach the card, the reader has to know. It reads along, and changes nothing.

use apdu::tlv::{Tag, Tlv, comprehension};
use apdu::{Ins, StatusWord};

/// ES10c EnableProfile, DisableProfile, eUICCMemoryReset, each answering `ok`. SGP.22 §5.7.16, §5.7.17, §5.7.19.
const CHANGED: [[u8; 6]; 3] =
    [[0xBF, 0x31, 0x03, 0x80, 0x01, 0x00], [0xBF, 0x32, 0x03, 0x80, 0x01, 0x00], [0xBF, 0x34, 0x03, 0x80, 0x01, 0x00]];
/// A proactive command, its details within, and the result of one. TS 102 223 §9.1, §9.3.
const PROACTIVE_COMMAND: Tag = Tag(0xD0);
const COMMAND_DETAILS: u16 = 0x01;
const RESULT: u16 = 0x03;
const REFRESH: u8 = 0x01;
/// Qualifiers after which the card begins anew: UICC reset, and a change of the profile's state. TS 102 223 §8.6.
const RESETTING: [u8; 2] = [0x04, 0x09];

/// Reads along.
#[derive(Debug, Default)]
pub struct Watch {
    /// What the card asked for last, if that was a REFRESH which resets it: number and qualifier.
    asked: Option<[u8; 2]>,
}

impl Watch {
    /// Whether the card is to be reset after this exchange, as soon as the host has done what belongs to it.
    pub fn is_due(&mut self, command: &[u8], response: &[u8]) -> bool {
        let Some((data, status)) = response.split_last_chunk::<2>() else { return false };
        if CHANGED.iter().any(|changed| changed == data) {
            return true;
        }
        let ins = command.get(1).copied();
        if ins == Some(Ins::FETCH.0) {
            self.asked = asked(data);
            return false;
        }
        if ins != Some(Ins::TERMINAL_RESPONSE.0) {
            return false;
        }
        let is_taken = *status == StatusWord::OK.0.to_be_bytes() || matches!(status, [0x91, _]);
        let answered = command.get(5..).and_then(performed);
        is_taken && answered.is_some() && answered == self.asked.take()
    }
}

/// Number and qualifier of a REFRESH that resets the card.
fn asked(fetched: &[u8]) -> Option<[u8; 2]> {
    let outer = Tlv::parse(fetched).ok().filter(|outer| outer.tag == PROACTIVE_COMMAND)?;
    resetting(outer.value)
}

fn resetting(objects: &[u8]) -> Option<[u8; 2]> {
    match comprehension::Reader::new(objects).find(COMMAND_DETAILS).ok()??.value {
        [number, REFRESH, qualifier] if RESETTING.contains(qualifier) => Some([*number, *qualifier]),
        _ => None,
    }
}

/// The same of a TERMINAL RESPONSE that says it was performed.
fn performed(objects: &[u8]) -> Option<[u8; 2]> {
    let result = comprehension::Reader::new(objects).find(RESULT).ok()??;
    result.value.first().filter(|result| **result < 0x10)?;
    resetting(objects)
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn a_profile_was_enabled_disabled_or_deleted() {
        for (response, is_due) in [
            (&hex!("BF31038001009000")[..], true),
            (&hex!("BF3203800100910B"), true),
            (&hex!("BF34038001009000"), true),
            // It was not found; another function; nothing.
            (&hex!("BF31038001019000"), false),
            (&hex!("BF33038001009000"), false),
            (&hex!("6106"), false),
            (&[], false),
        ] {
            assert_eq!(Watch::default().is_due(&hex!("81C0000006"), response), is_due, "{response:02X?}");
        }
    }

    #[test]
    fn a_terminal_has_carried_out_refresh() {
        let fetch = hex!("801200000B");
        let response = |qualifier: u8, result: u8| {
            [&hex!("801400000C 810301 01")[..], &[qualifier], &hex!("8202 8281 8301"), &[result]].concat()
        };
        for (asked, answered, result, is_due) in
            [(4, 4, 0, true), (9, 9, 0, true), (4, 4, 0x20, false), (4, 9, 0, false), (0, 0, 0, false)]
        {
            let mut watch = Watch::default();
            let command = [&hex!("D009 8103 01 01")[..], &[asked], &hex!("8202 8182 9000")].concat();
            assert!(!watch.is_due(&fetch, &command));
            assert!(!watch.is_due(&hex!("00A40004"), &hex!("9000")), "something between");
            let response = response(answered, result);
            assert_eq!(watch.is_due(&response, &hex!("9000")), is_due, "{asked} {answered} {result}");
            assert!(!watch.is_due(&response, &hex!("9000")), "once");
        }
        // A response to nothing, and one that the card refuses.
        assert!(!Watch::default().is_due(&response(4, 0), &hex!("9000")));
    }
}
