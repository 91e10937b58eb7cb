//! What a command asks for: by instruction, with the words of its specification.

mod admin;
mod file;
mod globalplatform;
mod security;
mod store_data;
mod toolkit;

pub(crate) use security::duration;

use apdu::{Command, Ins, SecureMessaging};
use crypto::key_log::KeyLog;

use crate::answer::Answer;
use crate::channel::{Channel, Effect};
use crate::field::{Base, Field};
use crate::names;
use crate::schema::Walk;
use crate::session::Topic;

/// What a command was found to be.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) summary: String,
    pub(crate) topic: Topic,
    pub(crate) fields: Vec<Field>,
    pub(crate) answer: Answer,
    pub(crate) effect: Effect,
}

impl Read {
    fn new(summary: impl Into<String>, topic: Topic) -> Self {
        Self { summary: summary.into(), topic, fields: Vec::new(), answer: Answer::Data, effect: Effect::None }
    }

    fn answered(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    fn has(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    fn with(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.fields.extend(fields);
        self
    }
}

/// What does not depend on the channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) walk: Walk,
    pub(crate) keys: &'a KeyLog,
}

/// What is asked for; `base` is where the command's data stand.
pub(crate) fn read(context: &Context<'_>, channel: &mut Channel, command: &Command<'_>, base: Base) -> Read {
    let proprietary = command.class.is_proprietary() && !command.class.is_gsm();
    if crate::line::is_of_another_class(command.class, command.ins) {
        return match command.ins {
            Ins::STORE_DATA => file::append(context.walk, channel, command, base),
            _ => globalplatform::other(context, channel, command, base),
        };
    }
    match command.ins {
        Ins::SELECT => file::select(channel, command, base),
        Ins::STATUS if proprietary && command.p1 & 0xF0 != 0 => globalplatform::get_status(context, command, base),
        Ins::STATUS => file::status(channel, command),
        Ins::READ_BINARY | Ins::UPDATE_BINARY => file::binary(context.walk, channel, command, base),
        Ins::READ_RECORD | Ins::UPDATE_RECORD => file::record(context.walk, channel, command, base),
        Ins::SEARCH_RECORD => file::search(context.walk, channel, command, base),
        Ins::INCREASE => file::increase(context.walk, channel, command, base),
        Ins::RETRIEVE_DATA | Ins::SET_DATA => file::ber_tlv(context.walk, channel, command, base),
        Ins::CREATE_FILE | Ins::RESIZE_FILE if !command.class.is_gsm() && admin::is_template(command.data) => {
            admin::described(context, channel, command, base)
        }
        Ins::DELETE_FILE | Ins::TERMINATE_DF | Ins::TERMINATE_EF if !proprietary && !command.class.is_gsm() => {
            admin::named(channel, command, base)
        }
        Ins::TERMINATE_CARD_USAGE => Read::new(name(command), Topic::Card).with(data(command, base)),
        Ins::EXCHANGE_CAPABILITIES => security::capabilities(context, command, base),
        Ins::ACTIVATE_FILE | Ins::DEACTIVATE_FILE => file::activation(channel, command, base),
        Ins::VERIFY_PIN
        | Ins::VERIFY_ODD
        | Ins::CHANGE_PIN
        | Ins::CHANGE_REFERENCE_DATA_ODD
        | Ins::DISABLE_PIN
        | Ins::ENABLE_PIN
        | Ins::UNBLOCK_PIN
        | Ins::RESET_RETRY_COUNTER_ODD => security::pin(context, command, base),
        Ins::AUTHENTICATE | Ins::AUTHENTICATE_ODD => security::authenticate(context, command, base),
        Ins::GET_CHALLENGE => Read::new("GET CHALLENGE", Topic::Authentication).answered(Answer::Challenge),
        Ins::MANAGE_CHANNEL => security::manage_channel(command, base),
        Ins::TERMINAL_CAPABILITY => security::terminal_capability(context, command, base),
        Ins::SUSPEND_UICC => security::suspend(command, base),
        Ins::GET_IDENTITY => security::identity(command),
        Ins::TERMINAL_PROFILE => toolkit::terminal_profile(command, base),
        Ins::FETCH => Read::new("FETCH", Topic::Toolkit).answered(Answer::Proactive),
        Ins::TERMINAL_RESPONSE => toolkit::terminal_response(context, command, base),
        Ins::ENVELOPE => toolkit::envelope(context, command, base),
        Ins::STORE_DATA => store_data::read(context, channel, command, base),
        _ => globalplatform::read(context, channel, command, base),
    }
}

/// The name of an instruction, with blanks.
fn name(command: &Command<'_>) -> String {
    crate::line::instruction(command.class.to_byte(), command.ins)
}

/// The command data as octets, if there are any.
fn data(command: &Command<'_>, base: Base) -> Option<Field> {
    (!command.data.is_empty()).then(|| Field::octets(names::DATA, command.data).at(base, command.data.len()))
}

/// The data without the MAC that secure messaging put behind it, and the MAC. Commands of GlobalPlatform's secure channels.
fn unprotected<'a>(command: &Command<'a>, base: Base) -> (&'a [u8], Option<Field>) {
    const MAC: usize = 8;
    let protected = command.class.secure_messaging() == SecureMessaging::Proprietary;
    match command.data.split_at_checked(command.data.len().saturating_sub(MAC)) {
        Some((plain, mac)) if protected && mac.len() == MAC => {
            (plain, Some(Field::octets(names::MAC, mac).at(base.plus(plain.len()), MAC)))
        }
        _ => (command.data, None),
    }
}
