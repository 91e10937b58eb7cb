//! CSIM: 3GPP2 C.S0065. Its files are there and can be read and written; CAVE and what is built on it is not.

use apdu::{Command, Ins, Response, StatusWord};
use card_os::{Application, Context};

/// The subscriber's application in a cdma2000 network, for profiles that bring one.
#[derive(Debug)]
pub struct Csim;

impl Application for Csim {
    /// AUTHENTICATE: whatever the algorithm, this card has it not.
    fn claims(&self, command: &Command<'_>) -> bool {
        matches!(command.ins, Ins::AUTHENTICATE | Ins::AUTHENTICATE_ODD)
    }

    fn process(&mut self, _: &Command<'_>, _: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        Err(StatusWord::INS_NOT_SUPPORTED)
    }
}
