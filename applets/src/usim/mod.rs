//! USIM: TS 31.102. Its files are the operating system's; what is its own are AUTHENTICATE and GET IDENTITY.

mod files;
mod identity;

use apdu::{Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::{Application, Context};
use saip::ust;

use crate::naa::aka::Keys;
use crate::naa::{push_counted, require_pin, service};

/// P2 of AUTHENTICATE, TS 31.102 §7.1.2: the security context. Bit 8 says that the key is the application's.
mod context {
    pub(super) const GSM: u8 = 0x80;
    pub(super) const THREE_G: u8 = 0x81;
    pub(super) const VGCS_VBS: u8 = 0x82;
    pub(super) const GBA: u8 = 0x84;
    pub(super) const MBMS: u8 = 0x85;
    pub(super) const LOCAL_KEY: u8 = 0x86;
}

/// The subscriber's application in a 3G, LTE or 5G network.
#[derive(Default)]
pub struct Usim {
    keys: Option<Keys>,
}

impl Application for Usim {
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        self.keys = Keys::load(cx.parameters());
        Ok(())
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        let own = if command.class.is_proprietary() {
            command.ins == Ins::GET_IDENTITY
        } else {
            matches!(command.ins, Ins::AUTHENTICATE | Ins::AUTHENTICATE_ODD)
        };
        own && command.class.secure_messaging() == SecureMessaging::None
    }

    fn claims_unselected(&self, command: &Command<'_>) -> bool {
        self.keys.is_some() && command.class.is_gsm() && command.ins == Ins::AUTHENTICATE
    }

    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if command.class.is_gsm() {
            return self.run_gsm_algorithm(command, cx);
        }
        match command.ins {
            Ins::GET_IDENTITY => identity::get_identity(command, cx),
            _ => self.authenticate(command, cx),
        }
    }
}

impl Usim {
    /// RUN GSM ALGORITHM, TS 51.011 §9.2.16: SRES and Kc, without lengths.
    fn run_gsm_algorithm(&self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if !service(cx, files::UST, ust::GSM_SECURITY_CONTEXT) {
            return Err(StatusWord::INS_NOT_SUPPORTED);
        }
        let rand: &[u8; 16] = command.data.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?;
        require_pin(command, cx)?;
        let keys = self.keys.as_ref().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        let mut counted = Vec::new();
        push_counted(&mut counted, rand);
        let (sres, kc) = keys.gsm(&counted, cx)?;
        Ok(Response::ok([&sres[..], &kc].concat()))
    }

    /// AUTHENTICATE, TS 31.102 §7.1.
    fn authenticate(&self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if command.p1 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        match (command.ins, command.p2) {
            (Ins::AUTHENTICATE, context::GSM) if !service(cx, files::UST, ust::GSM_SECURITY_CONTEXT) => {
                return Err(StatusWord::SECURITY_CONTEXT_NOT_SUPPORTED);
            }
            (Ins::AUTHENTICATE, context::GSM | context::THREE_G) => {}
            // Known contexts of services that no profile can have here.
            (Ins::AUTHENTICATE, context::VGCS_VBS | context::GBA)
            | (Ins::AUTHENTICATE_ODD, context::MBMS | context::LOCAL_KEY) => {
                return Err(StatusWord::SECURITY_CONTEXT_NOT_SUPPORTED);
            }
            _ => return Err(StatusWord::WRONG_P1_P2),
        }
        require_pin(command, cx)?;
        let keys = self.keys.as_ref().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
        if command.p2 == context::GSM {
            let (sres, kc) = keys.gsm(command.data, cx)?;
            let mut answer = Vec::new();
            push_counted(&mut answer, &sres);
            push_counted(&mut answer, &kc);
            return Ok(Response::ok(answer));
        }
        let answer = keys.challenge(command.data, cx)?;
        Ok(Response::ok(answer.to_bytes(service(cx, files::UST, ust::GSM_ACCESS))))
    }
}
