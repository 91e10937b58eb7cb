//! Security domains: the card issuer's (ISD of a UICC, MNO-SD of a profile) first, supplementary ones beside it.
//! GlobalPlatform Card Specification §7, §10 and §11, SGP.22 §2.4.5.
//!
//! What may be asked without a secure channel is answered; what changes something is for holders of the keys, over a
//! secure channel. What other security domains of a card do alike is in [`global_platform`](crate::global_platform).

mod content;
mod status;
mod store_data;

use apdu::{Aid, Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::{Application, Context, Privileges};

use crate::fci::security_domain_fci;
use crate::global_platform::secure_channel::{Received, SecureChannels};
use crate::global_platform::{data, is_of_security_domains, key_commands, keys, offers, parameters, privilege};
use crate::kind;

/// What every security domain of a profile may do beyond its own data.
const PRIVILEGES: Privileges = Privileges::MANAGE_APPLICATIONS;

/// The same, where the first of a domain also stands for the card's issuer.
pub(crate) const fn privileges(is_first: bool) -> Privileges {
    if is_first { PRIVILEGES.and(Privileges::ISSUER) } else { PRIVILEGES }
}

/// Life cycle states of security domains; those of the issuer's are the card's. GlobalPlatform §11.1.1.
mod life_cycle {
    pub(super) const INSTALLED: u8 = 0x03;
    pub(super) const SELECTABLE: u8 = 0x07;
    pub(super) const PERSONALIZED: u8 = 0x0F;
    pub(super) const LOCKED: u8 = 0x80;
    pub(super) const OP_READY: u8 = 0x01;
    pub(super) const INITIALIZED: u8 = 0x07;
    pub(super) const SECURED: u8 = 0x0F;
    pub(super) const CARD_LOCKED: u8 = 0x7F;
    pub(super) const TERMINATED: u8 = 0xFF;
}

/// A security domain with its keys and its card recognition data.
#[derive(Default)]
pub struct SecurityDomain {
    channels: SecureChannels,
    pending: Pending,
    /// The same before the command under way, if that may be undone.
    before: Option<Pending>,
}

/// What commands leave for the next one.
#[derive(Clone, Default)]
struct Pending {
    /// Entries that GET STATUS left over.
    rest: Option<status::Rest>,
    /// Blocks of STORE DATA so far.
    transfer: Option<store_data::Transfer>,
    /// Whose STORE DATA commands are, on which channel, after INSTALL [for personalization].
    personalised: Option<(u8, Aid)>,
}

impl Application for SecurityDomain {
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        carry_over(cx)
    }

    fn select(&mut self, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        self.pending = Pending::default();
        self.channels.end(cx.channel());
        Ok(security_domain_fci(&cx.record().aid, &[]))
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        let is_store_data = command.class.is_proprietary() && command.ins == Ins::STORE_DATA;
        is_of_security_domains(command) || is_store_data && command.class.secure_messaging() == SecureMessaging::None
    }

    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        self.before = Some(self.pending.clone());
        match self.channels.receive(command, cx)? {
            Received::Answered(response) => Ok(response),
            Received::Clear => self.carry_out(command, false, cx),
            Received::Protected(class, data) => {
                let response = self.carry_out(&Command { class, data: &data, ..*command }, true, cx)?;
                Ok(self.channels.wrap(command.class.channel(), response))
            }
        }
    }

    /// The session goes on all the same: host and card have counted the command.
    fn undone(&mut self, _: u8) {
        self.channels.undone();
        if let Some(before) = self.before.take() {
            self.pending = before;
        }
    }

    fn committed(&mut self) {
        self.channels.committed();
        self.before = None;
    }

    fn interrupted(&mut self, _: u8) {
        self.pending.rest = None;
        self.pending.transfer = None;
    }

    fn deselect(&mut self, channel: u8) {
        self.pending = Pending::default();
        self.channels.end(channel);
    }
}

impl SecurityDomain {
    /// A command in the clear, or out of its protection.
    fn carry_out(
        &mut self,
        command: &Command<'_>,
        is_unwrapped: bool,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let channel = command.class.channel();
        let is_issuer = keys::is_issuer(cx.record().privileges);
        if is_issuer && cx.record().life_cycle == life_cycle::TERMINATED && command.ins != Ins::GET_DATA {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        match command.ins {
            Ins::GET_DATA => return data::get(command, &self.channels, cx).map(Response::ok),
            Ins::INITIALIZE_UPDATE if command.class.is_proprietary() => {
                let offers = offers(cx)?;
                return self.channels.initialize_update(command, offers, cx);
            }
            _ if !command.class.is_proprietary() => return Err(StatusWord::CLA_NOT_SUPPORTED),
            // Nobody could ever open a channel: what there is, is told. Otherwise it is for who has the keys.
            Ins::STATUS if command.p1 & 0xF0 != 0 && !keys::has_set(cx) => return self.get_status(command, cx),
            _ => {}
        }
        let is_known = matches!(
            command.ins,
            Ins::STATUS
                | Ins::STORE_DATA
                | Ins::PUT_KEY
                | Ins::SET_STATUS
                | Ins::DELETE_FILE
                | Ins::TERMINATE_DF
                | Ins::TERMINATE_EF
        );
        if !is_known {
            return Err(StatusWord::INS_NOT_SUPPORTED);
        }
        self.channels.authorise(channel, is_unwrapped)?;
        let locked = is_issuer && cx.record().life_cycle == life_cycle::CARD_LOCKED;
        match command.ins {
            Ins::STATUS => self.get_status(command, cx),
            Ins::SET_STATUS => status::set(command, cx),
            // A locked card waits to be unlocked, or terminated. §5.1.1.4.
            _ if locked => Err(StatusWord::CONDITIONS_NOT_SATISFIED),
            Ins::STORE_DATA => self.store_data(command, cx),
            Ins::PUT_KEY => key_commands::put(command, &mut self.channels, cx),
            Ins::DELETE_FILE => self.delete(command, cx),
            Ins::TERMINATE_DF => self.install(command, cx),
            // LOAD: no INSTALL [for load] was accepted before.
            _ => Err(StatusWord::CONDITIONS_NOT_SATISFIED),
        }
    }
}

/// Makes of a security domain that 0.1.0 installed one as it is installed today: its keys were in the install parameters,
/// and it had no privileges. The first of a domain is the issuer's.
fn carry_over(cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let moved = keys::out_of_parameters(cx)?;
    let first = cx.applications().into_iter().find(|application| application.kind == kind::SECURITY_DOMAIN);
    let wanted = privileges(first.is_some_and(|first| first.aid == cx.record().aid));
    if moved.is_none() && cx.record().privileges.contains(wanted) {
        return Ok(());
    }
    let parameters = moved.unwrap_or_else(|| cx.parameters().to_vec().into());
    cx.carry_over(wanted, &parameters);
    Ok(())
}

/// The privileges that GlobalPlatform knows of this security domain.
fn own_privileges(cx: &Context<'_, '_>) -> Result<privilege::Privileges, StatusWord> {
    let octets = parameters(cx)?.instance.application_privileges;
    privilege::Privileges::from_octets(&octets).ok_or(StatusWord::TECHNICAL_PROBLEM)
}
