//! What the card asks its terminal for. TS 102 223.
//!
//! This terminal announces REFRESH alone, so that a card asks for nothing else: a change of the enabled profile takes effect as in
//! a phone. A program that sends TERMINAL PROFILE itself has the toolkit to itself, until the next reset.

use apdu::tlv::{Tag, Tlv, comprehension};
use apdu::{Class, CommandBuf, Ins};

use super::Card;

/// Octet 1: profile download; octet 3, bit 8: REFRESH. TS 102 223 §5.2.
const TERMINAL_PROFILE: [u8; 3] = [0x01, 0x00, 0x80];
/// A proactive command, and its details within. TS 102 223 §9.1, §9.3.
const PROACTIVE_COMMAND: Tag = Tag(0xD0);
const COMMAND_DETAILS: u16 = 0x01;
const REFRESH: u8 = 0x01;
/// REFRESH qualifier: UICC reset. TS 102 223 §8.6.
const UICC_RESET: u8 = 0x04;
/// How many commands a card may have waiting; a card that never ends is left alone.
const MOST: usize = 16;

/// Results of TERMINAL RESPONSE. TS 102 223 §8.12.
const PERFORMED: u8 = 0x00;
const BEYOND_CAPABILITIES: u8 = 0x30;

/// Whose the toolkit is, and whether the card waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Toolkit {
    /// A program has sent a TERMINAL PROFILE of its own.
    is_programs: bool,
    /// Octets of the proactive command that waits, as `91XX` says.
    waiting: Option<u8>,
}

impl Toolkit {
    /// Notes what a command of a program or of the modem came to.
    pub(super) fn observe(&mut self, command: &[u8], [sw1, sw2]: [u8; 2]) {
        self.waiting = (sw1 == 0x91).then_some(sw2).or(self.waiting.filter(|_| command.get(1) != Some(&Ins::FETCH.0)));
    }

    /// A program has taken it over.
    pub(super) fn take_over(&mut self, command: &[u8]) {
        self.is_programs |= command.get(1) == Some(&Ins::TERMINAL_PROFILE.0);
    }
}

impl Card {
    /// Says what this terminal does, after a reset.
    pub(super) fn announce(&mut self) {
        self.toolkit = Toolkit::default();
        let command = CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::TERMINAL_PROFILE, 0, 0).data(TERMINAL_PROFILE);
        // A card without a toolkit refuses it; one that is gone is missed at the next command.
        let _ = self.send(&command);
    }

    /// Carries out what the card asked for in the course of the last command.
    pub(crate) fn attend_to_requests(&mut self) {
        for _ in 0..MOST {
            if self.toolkit.is_programs || !self.is_on() {
                return;
            }
            let Some(length) = self.toolkit.waiting.take() else { return };
            let fetch = CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::FETCH, 0, 0).le(length);
            let Ok(fetched) = self.send(&fetch) else { return };
            let Some(details) = details(&fetched.data) else { return };
            let [_, kind, qualifier] = details;
            let result = if kind == REFRESH { PERFORMED } else { BEYOND_CAPABILITIES };
            let response = [&[0x81, 3][..], &details, &[0x82, 2, 0x82, 0x81, 0x83, 1, result]].concat();
            let response = CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::TERMINAL_RESPONSE, 0, 0).data(response);
            if self.send(&response).is_err() {
                return;
            }
            if (kind, qualifier) == (REFRESH, UICC_RESET) && self.reset().is_err() {
                return;
            }
        }
    }
}

/// Number, type and qualifier of a proactive command.
fn details(command: &[u8]) -> Option<[u8; 3]> {
    let outer = Tlv::parse(command).ok().filter(|outer| outer.tag == PROACTIVE_COMMAND)?;
    comprehension::Reader::new(outer.value).find(COMMAND_DETAILS).ok()??.value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_commands() {
        assert_eq!(details(&hex::decode("D00981030101048202 8182".replace(' ', "")).unwrap()), Some([1, 1, 4]));
        assert_eq!(details(&hex::decode("D0048202 8182".replace(' ', "")).unwrap()), None);
        assert_eq!(details(&[]), None);
    }

    #[test]
    fn a_command_waits_until_it_is_fetched() {
        let mut toolkit = Toolkit::default();
        toolkit.observe(&[0x81, 0xE2], [0x91, 0x0B]);
        toolkit.observe(&[0x00, 0xA4], [0x90, 0x00]);
        assert_eq!(toolkit.waiting, Some(0x0B));
        toolkit.observe(&[0x80, 0x12], [0x90, 0x00]);
        assert_eq!(toolkit.waiting, None);
    }
}
