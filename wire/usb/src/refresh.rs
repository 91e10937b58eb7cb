//! When a card has to be reset for its host's sake.
//!
//! In a phone REFRESH resets the card after a change of the enabled profile. A PC/SC host resets it itself; where its resets do not
//! reach the card, the reader has to know. It reads along, and changes nothing.

use apdu::tlv::{Tag, Tlv, comprehension};
use apdu::{Class, Ins, StatusWord};

/// ES10c EnableProfile, DisableProfile, eUICCMemoryReset, each answering `ok`. SGP.22 §5.7.16, §5.7.17, §5.7.19.
const CHANGED: [[u8; 6]; 3] =
    [[0xBF, 0x31, 0x03, 0x80, 0x01, 0x00], [0xBF, 0x32, 0x03, 0x80, 0x01, 0x00], [0xBF, 0x34, 0x03, 0x80, 0x01, 0x00]];
/// ES10b AuthenticateServer, with which a download begins, and what one ends with: ProfileInstallationResult, CancelSession.
/// SGP.22 §5.7.13, §5.7.6, §5.7.14.
const DOWNLOAD_BEGINS: [u8; 2] = [0xBF, 0x38];
const DOWNLOAD_ENDS: [[u8; 2]; 2] = [[0xBF, 0x37], [0xBF, 0x41]];
/// STORE DATA: P1 of the last block of a chain. GlobalPlatform §11.11.2.
const LAST_BLOCK: u8 = 0x80;
/// MANAGE CHANNEL: P1 that closes the channel P2. TS 102 221 §11.1.17.
const CLOSE: u8 = 0x80;
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
    /// The channels on which more of a command or of its response is to come: a bit each.
    chains: u32,
    /// The channel on which a download has begun.
    download: Option<u8>,
}

impl Watch {
    /// Whether the host is within something that a reset would break: commands or responses that are chained, a download.
    pub const fn is_under_way(&self) -> bool {
        self.chains != 0 || self.download.is_some()
    }

    /// Whether the card is to be reset after this exchange, as soon as the host has done what belongs to it.
    pub fn is_due(&mut self, command: &[u8], response: &[u8]) -> bool {
        self.follow(command, response);
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

impl Watch {
    fn follow(&mut self, command: &[u8], response: &[u8]) {
        let Some(([cla, ins, p1, p2], rest)) = command.split_first_chunk::<4>() else { return };
        let Some((answer, [sw1, _])) = response.split_last_chunk::<2>() else { return };
        let (class, ins) = (Class::parse(*cla), Ins(*ins));
        let channel = class.map_or(0, Class::channel);
        let has_more = matches!(sw1, 0x61 | 0x6C);
        let is_success = matches!(sw1, 0x90 | 0x91 | 0x61);
        let is_first_of_more = class.is_some_and(Class::is_chained) || ins == Ins::STORE_DATA && p1 & LAST_BLOCK == 0;
        let bit = 1 << channel;
        self.chains = if has_more || is_success && is_first_of_more { self.chains | bit } else { self.chains & !bit };
        if ins == Ins::MANAGE_CHANNEL && *p1 == CLOSE && is_success {
            self.chains &= !1_u32.checked_shl((*p2).into()).unwrap_or_default();
            self.download.take_if(|channel| channel == p2);
        }
        if ins == Ins::STORE_DATA
            && *p2 == 0
            && is_success
            && rest.get(1..).is_some_and(|data| data.starts_with(&DOWNLOAD_BEGINS))
        {
            self.download = Some(channel);
        }
        if DOWNLOAD_ENDS.iter().any(|end| answer.starts_with(end)) {
            self.download = None;
        }
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
    fn what_a_reset_would_break() {
        let mut watch = Watch::default();
        for (command, response, is_under_way) in [
            // A response that has to be fetched, a command to be sent again.
            (&hex!("00A40004023F00")[..], &hex!("6125")[..], true),
            (&hex!("00C0000025"), &hex!("62009000"), false),
            (&hex!("00B0000000"), &hex!("6C0A"), true),
            (&hex!("00B000000A"), &hex!("009000"), false),
            // Blocks of STORE DATA, with a command on another channel between them; the last one, and its response.
            (&hex!("81E2110003BF3100"), &hex!("9000"), true),
            (&hex!("80F2000000"), &hex!("9000"), true),
            (&hex!("81E2910103000000"), &hex!("6106"), true),
            (&hex!("81C0000006"), &hex!("BF31038001009000"), false),
            // A block that is refused ends its chain.
            (&hex!("81E2110003BF3100"), &hex!("9000"), true),
            (&hex!("81E2110103000000"), &hex!("6A80"), false),
            // Command chaining.
            (&hex!("1088000001 00"), &hex!("9000"), true),
            (&hex!("0088000001 00"), &hex!("9000"), false),
            // A download: from AuthenticateServer to the result, a cancellation, or the end of its channel.
            (&hex!("81E2910003BF3800"), &hex!("9000"), true),
            (&hex!("81E2910003BF2100"), &hex!("9000"), true),
            (&hex!("81E2910003BF3600"), &hex!("6103"), true),
            (&hex!("81C0000003"), &hex!("BF37009000"), false),
            (&hex!("81E2910003BF3800"), &hex!("9000"), true),
            (&hex!("81C0000003"), &hex!("BF41009000"), false),
            (&hex!("81E2910003BF3800"), &hex!("9000"), true),
            (&hex!("0070800200"), &hex!("9000"), true),
            (&hex!("0070800100"), &hex!("9000"), false),
            // A channel with a number that none has; a silent card.
            (&hex!("007080FF00"), &hex!("9000"), false),
            (&hex!("81E2110003BF3100"), &hex!(""), false),
        ] {
            watch.is_due(command, response);
            assert_eq!(watch.is_under_way(), is_under_way, "{command:02X?}");
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
