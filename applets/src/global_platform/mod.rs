//! What security domains of all kinds do alike: secure channels, keys, and the data objects they tell. GlobalPlatform Card
//! Specification §7, §10, §11.

pub(crate) mod data;
pub(crate) mod key_commands;
pub(crate) mod keys;
pub(crate) mod privilege;
pub(crate) mod secure_channel;

pub use keys::{open_a_channel, values_of};

use crate::kind;
use apdu::{Aid, Command, Ins, SecureMessaging, StatusWord};
use card_os::Context;
use crypto::scp::{scp02, scp03};
use saip::security_domain;
use secure_channel::{Offers, SecureChannels};

/// Whether security domains of all kinds have this command: administration in the clear, or anything that is protected. STORE DATA
/// in the clear is each one's own.
pub(crate) fn is_of_security_domains(command: &Command<'_>) -> bool {
    if SecureChannels::is_protected(command.class) {
        return true;
    }
    let is_administration = command.class.is_proprietary()
        && matches!(
            command.ins,
            Ins::INITIALIZE_UPDATE
                | Ins::EXTERNAL_AUTHENTICATE
                | Ins::PUT_KEY
                | Ins::SET_STATUS
                | Ins::DELETE_FILE
                | Ins::TERMINATE_DF
                | Ins::TERMINATE_EF
        );
    // GET STATUS names what to list in the upper half of P1; STATUS, by which a terminal polls, has nothing there.
    let get_status = command.class.is_proprietary() && command.ins == Ins::STATUS && command.p1 & 0xF0 != 0;
    (is_administration || get_status || command.ins == Ins::GET_DATA)
        && command.class.secure_messaging() == SecureMessaging::None
}

/// The install parameters of a security domain of a profile.
pub(crate) fn parameters(cx: &Context<'_, '_>) -> Result<security_domain::SecurityDomain, StatusWord> {
    security_domain::SecurityDomain::from_der(cx.parameters()).map_err(|_| StatusWord::TECHNICAL_PROBLEM)
}

/// The issuer's security domain.
pub(crate) fn issuer(cx: &Context<'_, '_>) -> Option<Aid> {
    cx.applications().into_iter().find(|application| keys::is_issuer(application.privileges)).map(|issuer| issuer.aid)
}

/// The options that the install parameters name: tag `81` with the number of a protocol and its option. UICC Configuration §10.
pub(crate) fn offers(cx: &Context<'_, '_>) -> Result<Offers, StatusWord> {
    let mut offers = Offers::default();
    if cx.record().kind != kind::SECURITY_DOMAIN {
        return Ok(offers);
    }
    let parameters = parameters(cx)?.instance.application_specific_parameters;
    let mut rest = parameters.as_slice();
    while let [tag, length, behind @ ..] = rest {
        let Some((value, behind)) = behind.split_at_checked(usize::from(*length)) else { break };
        match (*tag, value) {
            (0x81, [0x02, option]) if scp02::Options(*option).is_known() => offers.scp02 = scp02::Options(*option),
            (0x81, [0x03, option]) if scp03::Options(*option).is_known() => offers.scp03 = scp03::Options(*option),
            _ => {}
        }
        rest = behind;
    }
    Ok(offers)
}
