//! Generic and logical channel access to the card. TS 27.007 §8.17, §8.43, §8.45, §8.46.

use apdu::{Aid, Class, SecureMessaging};

use crate::call::{Call, Form};
use crate::card::Session;
use crate::modem::Modem;
use crate::port::Port;
use crate::quirks::SessionForm;
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Fault};

type Outcome = Result<(), Fault>;

/// A handle, less the number of its session.
const HANDLE: u64 = 0x038A_A32E;

/// `+CSIM`: a command as it is, and its response as it is.
pub(super) fn generic(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(2)?;
    let command = counted(arguments.needed_number(0)?, &arguments.octets(1)?)?;
    if let Some(number) = modem.quirks.csim_channels
        && command.first().and_then(|class| Class::parse(*class)).is_some_and(|class| class.channel() > 0)
    {
        return Err(Cme(number).into());
    }
    let response = carry(modem, &command)?;
    reply.add("+CSIM", &[Value::Number(response.len() * 2), Value::Octets(&response)]);
    Ok(())
}

/// A command APDU of so many hexadecimal digits.
fn counted(digits: usize, command: &[u8]) -> Result<Vec<u8>, Cme> {
    if command.len() * 2 != digits || command.len() < 4 {
        return Err(Cme::INCORRECT_PARAMETERS);
    }
    Ok(command.to_vec())
}

fn carry(modem: &mut Modem, command: &[u8]) -> Result<Vec<u8>, Cme> {
    let gets_response = modem.quirks.get_response;
    let card = modem.card()?;
    if gets_response { card.transmit_and_fetch(command) } else { card.transmit(command) }
}

/// `+CCHO`: a channel, and an application on it.
pub(super) fn open(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(1)?;
    let aid = arguments.octets(0)?;
    Aid::new(&aid).map_err(|_| Cme::INCORRECT_PARAMETERS)?;
    let session = modem.card()?.open_session(&aid)?;
    reply.add("+CCHO", &[Value::Plain(&name_of(session, modem.quirks.sessions))]);
    Ok(())
}

fn name_of(session: Session, form: SessionForm) -> String {
    match form {
        SessionForm::Channel => session.channel.to_string(),
        SessionForm::Handle => format!("{:016x}", HANDLE + u64::from(session.number)),
    }
}

/// The session that a program means.
pub(super) fn session(modem: &mut Modem, named: &str) -> Result<Session, Cme> {
    let form = modem.quirks.sessions;
    let named = named.trim_start_matches('0');
    let is_it = |session: &Session| name_of(*session, form).trim_start_matches('0').eq_ignore_ascii_case(named);
    modem.card()?.session(is_it).ok_or(Cme::INCORRECT_PARAMETERS)
}

/// `+CGLA`: a command in a session: the modem puts its channel into the class, whatever it says.
pub(super) fn transmit(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(3)?;
    let session = session(modem, arguments.needed(0)?)?;
    let mut command = counted(arguments.needed_number(1)?, &arguments.octets(2)?)?;
    if let Some(class) = command.first_mut() {
        *class = on_channel(*class, session.channel).ok_or(Cme::INCORRECT_PARAMETERS)?;
    }
    let response = carry(modem, &command)?;
    reply.add("+CGLA", &[Value::Number(response.len() * 2), Value::Octets(&response)]);
    Ok(())
}

/// The same class on another channel: what it says of coding, chaining and protection stays. TS 102 221 §10.1.1.
fn on_channel(class: u8, channel: u8) -> Option<u8> {
    const CHAINING: u8 = 0x10;
    const PROTECTED_FURTHER: u8 = 0x20;
    const PROTECTED: u8 = 0x08;
    let old = Class::parse(class)?;
    let new = Class::on_channel(old.is_proprietary(), channel)?.to_byte();
    let is_further = |class: u8| class & 0x40 != 0;
    let protection = match (is_further(class), is_further(new)) {
        (false, false) => class & 0x0C,
        (true, true) => class & PROTECTED_FURTHER,
        _ if old.secure_messaging() == SecureMessaging::None => 0,
        (false, true) => PROTECTED_FURTHER,
        (true, false) => PROTECTED,
    };
    let chaining = if old.is_chained() { CHAINING } else { 0 };
    Some(new | protection | chaining)
}

/// `+CCHC`: the end of a session.
pub(super) fn close(modem: &mut Modem, _: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(1)?;
    let session = session(modem, arguments.needed(0)?)?;
    Ok(modem.card()?.close_session(session)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_move_to_the_channel_of_the_session() {
        for (class, channel, moved) in [
            (0x80, 1, 0x81),
            (0x81, 1, 0x81),
            (0x81, 2, 0x82),
            (0x00, 3, 0x03),
            (0x00, 4, 0x40),
            (0x81, 19, 0xCF),
            (0x84, 1, 0x85),
            (0x84, 5, 0xE1),
            (0x0C, 4, 0x60),
            (0x60, 1, 0x09),
            (0x10, 2, 0x12),
            (0xC1, 7, 0xC3),
        ] {
            assert_eq!(on_channel(class, channel), Some(moved), "{class:02X} to {channel}");
        }
        assert_eq!((on_channel(0xFF, 1), on_channel(0x00, 20)), (None, None));
    }

    #[test]
    fn handles_have_sixteen_digits() {
        let session = Session { number: 1, channel: 2 };
        assert_eq!(name_of(session, SessionForm::Channel), "2");
        assert_eq!(name_of(session, SessionForm::Handle), "00000000038aa32f");
    }
}
