//! The card in the modem: its power, and the sessions of programs with its applications.

pub(crate) mod files;
mod pin;
mod toolkit;
mod usim;

use std::collections::BTreeSet;

use apdu::transport::{exchange, get_response};
use apdu::{Class, CommandBuf, Ins, Response, StatusWord, Transport, TransportError};

use crate::result_code::Cme;

pub(crate) use files::{File, Records};
use toolkit::Toolkit;
pub(crate) use toolkit::{Asked, Programs, TERMINAL_PROFILE};

pub(crate) use pin::{Key, PIN1, PIN2, PinState};

/// The card's state, as the modem sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// Switched off by the program.
    Off,
    /// It was taken away, or its reader was.
    Gone,
}

/// A program's session with an application. TS 27.007 §8.45.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Counts the sessions since the modem's start.
    pub(crate) number: u32,
    pub(crate) channel: u8,
}

pub(crate) struct Card {
    transport: Box<dyn Transport>,
    power: Power,
    sessions: Vec<Session>,
    opened: u32,
    /// The PINs that were verified since the last reset.
    verified: BTreeSet<Key>,
    toolkit: Toolkit,
    /// A program has been told of a response that it has not fetched: another command would take it away.
    is_response_waiting: bool,
    /// Others who use it have reset it: it does not know any more what this terminal does.
    is_unaware: bool,
    pub(crate) programs: Programs,
    /// Counts what may have changed the subscription: resets, power, REFRESH.
    generation: u64,
}

impl Card {
    /// A card that has power.
    pub(crate) fn new(transport: Box<dyn Transport>, programs: Programs) -> Self {
        let mut card = Self {
            transport,
            power: Power::On,
            sessions: Vec::new(),
            opened: 0,
            verified: BTreeSet::new(),
            toolkit: Toolkit::default(),
            is_response_waiting: false,
            is_unaware: false,
            programs,
            generation: 0,
        };
        card.announce();
        card
    }

    /// Whether it has power.
    pub(crate) fn is_on(&self) -> bool {
        self.power == Power::On
    }

    /// Differs from an earlier one if the subscription may have changed since.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    fn change(&mut self) {
        self.generation += 1;
    }

    /// Whether it is in its reader, with power or without.
    pub(crate) fn is_there(&self) -> bool {
        self.power != Power::Gone
    }

    /// The answer to the last reset.
    pub(crate) fn atr(&mut self) -> Result<Vec<u8>, Cme> {
        self.attend()?;
        Ok(self.transport.atr().to_vec())
    }

    /// Takes the power away: what it keeps in working memory is forgotten.
    pub(crate) fn switch_off(&mut self) {
        self.power = Power::Off;
        self.forget();
    }

    /// Gives it power, if it has none.
    pub(crate) fn switch_on(&mut self) {
        if self.power != Power::On {
            // Without a card there is nothing to be switched on; the next command says so.
            let _ = self.reset();
        }
    }

    /// Resets it cold.
    pub(crate) fn reset(&mut self) -> Result<(), Cme> {
        self.forget();
        match self.transport.reset() {
            Ok(_) => {
                self.power = Power::On;
                self.announce();
                Ok(())
            }
            Err(error) => Err(self.note(&error)),
        }
    }

    fn forget(&mut self) {
        self.is_unaware = false;
        self.sessions.clear();
        self.verified.clear();
        self.is_response_waiting = false;
        self.change();
    }

    /// Makes sure that it has power; one that was gone may be back.
    fn attend(&mut self) -> Result<(), Cme> {
        match self.power {
            Power::On => {
                if std::mem::take(&mut self.is_unaware) {
                    self.announce();
                }
                Ok(())
            }
            Power::Off => Err(Cme::SIM_NOT_INSERTED),
            Power::Gone => self.reset(),
        }
    }

    /// What an error of the transport means to programs.
    fn note(&mut self, error: &TransportError) -> Cme {
        match error {
            TransportError::CardRemoved | TransportError::Connection(_) => {
                self.power = Power::Gone;
                self.forget();
                Cme::SIM_NOT_INSERTED
            }
            TransportError::CardReset => {
                self.forget();
                self.is_unaware = true;
                Cme::SIM_FAILURE
            }
            TransportError::CommandTooLong(_) => Cme::INCORRECT_PARAMETERS,
            TransportError::Mute | TransportError::ShortResponse(_) | TransportError::EndlessResponse(_) => {
                Cme::SIM_FAILURE
            }
        }
    }

    /// Carries a program's command to the card and its response back, as they are.
    pub(crate) fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, Cme> {
        self.attend()?;
        self.is_response_waiting = false;
        let response = self.transport.transmit(command).map_err(|error| self.note(&error))?;
        self.is_response_waiting = matches!(response.last_chunk(), Some([0x61, _]));
        if let Some(status) = response.last_chunk() {
            self.observe(command, StatusWord::from(*status));
            self.toolkit.take_over(command);
        }
        Ok(response)
    }

    /// Whether a program is about to fetch a response.
    pub(crate) const fn is_response_waiting(&self) -> bool {
        self.is_response_waiting
    }

    /// The same, with the data that `61XX` announces.
    pub(crate) fn transmit_and_fetch(&mut self, command: &[u8]) -> Result<Vec<u8>, Cme> {
        let mut whole = Vec::new();
        let mut response = self.transmit(command)?;
        // No response is longer than 64 KiB.
        for _ in 0..=0xFF_u16 {
            let Some((data, &[0x61, length])) = response.split_last_chunk() else { break };
            whole.extend(data);
            response = self.transmit(&get_response(command, length))?;
        }
        whole.extend(response);
        Ok(whole)
    }

    /// Sends a command of the modem's own, and gets all of its response.
    pub(crate) fn send(&mut self, command: &CommandBuf) -> Result<Response, Cme> {
        self.attend()?;
        let command = command.to_bytes();
        let response = exchange(&mut *self.transport, &command).map_err(|error| self.note(&error))?;
        self.observe(&command, response.sw);
        Ok(response)
    }

    /// Opens a channel and selects an application there. TS 102 221 §11.1.17, §11.1.1.
    pub(crate) fn open_session(&mut self, aid: &[u8]) -> Result<Session, Cme> {
        let opened = self.send(&CommandBuf::new(Class::BASIC, Ins::MANAGE_CHANNEL, 0, 0).le(1))?;
        let (true, &[channel]) = (opened.sw.is_ok(), opened.data.as_slice()) else {
            return Err(Cme::MEMORY_FULL);
        };
        let class = Class::on_channel(false, channel).ok_or(Cme::SIM_FAILURE)?;
        let selected = self.send(&CommandBuf::new(class, Ins::SELECT, 0x04, 0).data(aid).le(0));
        match selected {
            Ok(response) if response.sw.is_ok() || response.sw.is_warning() => {}
            refused => {
                self.close_channel(channel)?;
                return Err(refused.map_or_else(|error| error, |response| failure(response.sw)));
            }
        }
        self.opened += 1;
        let session = Session { number: self.opened, channel };
        self.sessions.push(session);
        Ok(session)
    }

    /// The session that `is` this one.
    pub(crate) fn session(&self, is: impl Fn(&Session) -> bool) -> Option<Session> {
        self.sessions.iter().copied().find(is)
    }

    /// Closes a session.
    pub(crate) fn close_session(&mut self, session: Session) -> Result<(), Cme> {
        self.sessions.retain(|one| *one != session);
        let sw = self.close_channel(session.channel)?;
        if sw.is_ok() { Ok(()) } else { Err(failure(sw)) }
    }

    fn close_channel(&mut self, channel: u8) -> Result<StatusWord, Cme> {
        Ok(self.send(&CommandBuf::new(Class::BASIC, Ins::MANAGE_CHANNEL, 0x80, channel))?.sw)
    }
}

/// What a refusal by the card means to programs that do not see its status word.
pub(crate) fn failure(sw: StatusWord) -> Cme {
    match sw {
        StatusWord::SECURITY_STATUS_NOT_SATISFIED => Cme::SIM_PIN_REQUIRED,
        StatusWord::AUTHENTICATION_METHOD_BLOCKED => Cme::SIM_PUK_REQUIRED,
        StatusWord::FILE_NOT_FOUND | StatusWord::RECORD_NOT_FOUND | StatusWord::REFERENCED_DATA_NOT_FOUND => {
            Cme::NOT_FOUND
        }
        StatusWord::NOT_ENOUGH_MEMORY => Cme::MEMORY_FULL,
        StatusWord::BUSY => Cme::SIM_BUSY,
        _ => Cme::SIM_FAILURE,
    }
}
