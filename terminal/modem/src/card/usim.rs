//! The USIM of the card, for what a phone does with it by itself. TS 31.102.

use apdu::{Transport, TransportError};
use usim::{Usim, UsimError};

use super::{Card, File};
use crate::result_code::Cme;

/// The card, as the modem's own commands reach it: what they come to is noted.
pub(crate) struct Through<'a>(&'a mut Card);

impl Transport for Through<'_> {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.0.transport.reset()
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.0.transport.warm_reset()
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let response = self.0.transport.transmit(command);
        match &response {
            Ok(response) => {
                if let Some(status) = response.last_chunk() {
                    self.0.observe(command, apdu::StatusWord::from(*status));
                }
            }
            Err(error) => {
                self.0.note(error);
            }
        }
        response
    }

    fn atr(&self) -> &[u8] {
        self.0.transport.atr()
    }
}

impl Card {
    /// Its USIM, selected on the basic channel. Its PIN is not asked for, or was verified.
    pub(crate) fn usim(&mut self) -> Result<Usim<Through<'_>>, Cme> {
        self.attend()?;
        Usim::open_unlocked(Through(self)).map_err(|error| meaning(&error))
    }

    /// EF.SPN: what the card calls its network. TS 31.102 §4.2.12.
    pub(crate) fn service_provider(&mut self) -> Option<String> {
        const LENGTH: u8 = 17;
        let octets = self.read(&File::of_usim(File::SPN), LENGTH).ok()?;
        let name = super::files::alpha(octets.get(1..)?);
        (!name.is_empty()).then_some(name)
    }
}

/// What a failure of the USIM means to programs.
pub(crate) const fn meaning(error: &UsimError) -> Cme {
    match error {
        UsimError::Transport(TransportError::CardRemoved | TransportError::Connection(_)) => Cme::SIM_NOT_INSERTED,
        UsimError::PinNeeded(_) | UsimError::WrongPin(_) => Cme::SIM_PIN_REQUIRED,
        UsimError::PinBlocked => Cme::SIM_PUK_REQUIRED,
        UsimError::NoUsim(_) | UsimError::Transport(_) | UsimError::Refused { .. } | UsimError::Damaged(_) => {
            Cme::SIM_FAILURE
        }
    }
}
