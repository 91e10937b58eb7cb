//! What the card asks its terminal for. TS 102 223.
//!
//! This terminal announces REFRESH alone, so that a card asks for nothing else: a change of the enabled profile takes effect as in
//! a phone. A program may add what it does itself (`+CUSATW`, `+CUSATA`): then it is told what the card asks for, except for
//! REFRESH. A program that sends TERMINAL PROFILE itself has the toolkit to itself, until the next reset.

use std::time::Duration;

use apdu::tlv::{Tag, Tlv, comprehension};
use apdu::{Class, CommandBuf, Ins, Response};

use super::Card;
use crate::result_code::Cme;

/// Octet 1: profile download; octet 3, bit 8: REFRESH. TS 102 223 §5.2.
pub(crate) const TERMINAL_PROFILE: [u8; 3] = [0x01, 0x00, 0x80];
/// A proactive command, and its details within. TS 102 223 §9.1, §9.3.
const PROACTIVE_COMMAND: Tag = Tag(0xD0);
const COMMAND_DETAILS: u16 = 0x01;
const REFRESH: u8 = 0x01;
/// REFRESH qualifier: UICC reset. TS 102 223 §8.6.
const UICC_RESET: u8 = 0x04;
/// How many commands a card may have waiting; a card that never ends is left alone.
const MOST: usize = 16;
/// How long a program may take to answer what the card asks for.
const ANSWER: Duration = Duration::from_mins(1);

/// Results of TERMINAL RESPONSE. TS 102 223 §8.12.
const PERFORMED: u8 = 0x00;
const NO_RESPONSE: u8 = 0x12;
const BEYOND_CAPABILITIES: u8 = 0x30;

/// Whose the toolkit is, and whether the card waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toolkit {
    /// A program has sent a TERMINAL PROFILE of its own.
    is_programs: bool,
    /// Octets of the proactive command that waits, as `91XX` says.
    waiting: Option<u8>,
    /// A program answers, and since when it is asked this: the details of a command.
    asked: Option<([u8; 3], Duration)>,
}

/// What a program does besides. It outlives resets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Programs {
    /// TERMINAL PROFILE of the program.
    pub(crate) profile: Vec<u8>,
    /// Whether it takes part.
    pub(crate) is_active: bool,
    /// The modem sends no TERMINAL PROFILE by itself.
    pub(crate) halts: bool,
}

/// What a program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A proactive command.
    Command(Vec<u8>),
    /// The card asks for nothing more.
    End,
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
    /// TERMINAL PROFILE of the modem, with what the program that takes part does.
    pub(crate) fn terminal_profile(&self) -> Vec<u8> {
        let mut profile = TERMINAL_PROFILE.to_vec();
        if self.programs.is_active {
            profile.resize(profile.len().max(self.programs.profile.len()), 0);
            profile.iter_mut().zip(&self.programs.profile).for_each(|(all, one)| *all |= one);
        }
        profile
    }

    /// Says what this terminal does, after a reset.
    pub(super) fn announce(&mut self) {
        self.toolkit = Toolkit::default();
        if !self.programs.halts {
            self.send_profile();
        }
    }

    /// Says what this terminal does.
    pub(crate) fn send_profile(&mut self) {
        let profile = self.terminal_profile();
        let command = CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::TERMINAL_PROFILE, 0, 0).data(profile);
        // A card without a toolkit refuses it; one that is gone is missed at the next command.
        let _ = self.send(&command);
    }

    /// Carries out what the card asked for in the course of the last command, and returns what a program is asked.
    pub(crate) fn attend_to_requests(&mut self, now: Duration) -> Vec<Asked> {
        if let Some((details, since)) = self.toolkit.asked {
            if now.saturating_sub(since) < ANSWER {
                return Vec::new();
            }
            self.toolkit.asked = None;
            if self.respond(details, NO_RESPONSE).is_err() {
                return Vec::new();
            }
        }
        for _ in 0..MOST {
            if self.toolkit.is_programs || !self.is_on() {
                return Vec::new();
            }
            let Some(length) = self.toolkit.waiting.take() else { return Vec::new() };
            let fetch = CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::FETCH, 0, 0).le(length);
            let Ok(fetched) = self.send(&fetch) else { return Vec::new() };
            let Some(details) = details(&fetched.data) else { return Vec::new() };
            let [_, kind, qualifier] = details;
            if kind != REFRESH && self.programs.is_active {
                self.toolkit.asked = Some((details, now));
                return vec![Asked::Command(fetched.data)];
            }
            let result = if kind == REFRESH { PERFORMED } else { BEYOND_CAPABILITIES };
            if self.respond(details, result).is_err() {
                return Vec::new();
            }
            if kind == REFRESH {
                self.change();
                if qualifier == UICC_RESET && self.reset().is_err() {
                    return Vec::new();
                }
            }
        }
        Vec::new()
    }

    fn respond(&mut self, details: [u8; 3], result: u8) -> Result<Response, Cme> {
        let response = [&[0x81, 3][..], &details, &[0x82, 2, 0x82, 0x81, 0x83, 1, result]].concat();
        self.send(&CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::TERMINAL_RESPONSE, 0, 0).data(response))
    }

    /// TERMINAL RESPONSE of a program. Returns what it is told then.
    pub(crate) fn respond_for_program(&mut self, response: &[u8]) -> Result<Option<Asked>, Cme> {
        if self.toolkit.asked.is_none() {
            return Err(Cme::OPERATION_NOT_ALLOWED);
        }
        let command = CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::TERMINAL_RESPONSE, 0, 0);
        let sw = self.send(&command.data(response))?.sw;
        if !sw.is_ok() && sw.sw1() != 0x91 {
            return Err(super::failure(sw));
        }
        self.toolkit.asked = None;
        Ok(self.toolkit.waiting.is_none().then_some(Asked::End))
    }

    /// ENVELOPE of a program.
    pub(crate) fn envelope(&mut self, envelope: &[u8]) -> Result<Response, Cme> {
        self.send(&CommandBuf::new(Class::BASIC_PROPRIETARY, Ins::ENVELOPE, 0, 0).data(envelope).le(0))
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
