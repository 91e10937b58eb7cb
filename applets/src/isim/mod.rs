//! ISIM: TS 31.103. Its files are the operating system's; what is its own is AUTHENTICATE.

use apdu::{Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::{Application, Context};

use crate::naa::aka::Keys;
use crate::naa::require_pin;

/// P2 of AUTHENTICATE, TS 31.103 §7.1.2.
mod context {
    pub(super) const IMS_AKA: u8 = 0x81;
    pub(super) const HTTP_DIGEST: u8 = 0x82;
    pub(super) const GBA: u8 = 0x84;
    pub(super) const LOCAL_KEY: u8 = 0x86;
}

/// The subscriber's application in the IP multimedia subsystem.
#[derive(Default)]
pub struct Isim {
    keys: Option<Keys>,
}

impl Application for Isim {
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        self.keys = Keys::load(cx.parameters());
        Ok(())
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        !command.class.is_proprietary()
            && matches!(command.ins, Ins::AUTHENTICATE | Ins::AUTHENTICATE_ODD)
            && command.class.secure_messaging() == SecureMessaging::None
    }

    /// AUTHENTICATE, TS 31.103 §7.1.
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        match (command.ins, command.p1, command.p2) {
            (Ins::AUTHENTICATE, 0, context::IMS_AKA) => {}
            (Ins::AUTHENTICATE, 0, context::HTTP_DIGEST | context::GBA)
            | (Ins::AUTHENTICATE_ODD, 0, context::LOCAL_KEY) => {
                return Err(StatusWord::SECURITY_CONTEXT_NOT_SUPPORTED);
            }
            _ => return Err(StatusWord::WRONG_P1_P2),
        }
        require_pin(command, cx)?;
        let keys = self.keys.as_ref().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        Ok(Response::ok(keys.challenge(command.data, cx)?.to_bytes(false)))
    }
}
