//! The toolkit by AT commands: a program shows menus and texts of the card. TS 27.007 §12.

use crate::call::{Call, Form};
use crate::card::TERMINAL_PROFILE;
use crate::modem::Modem;
use crate::port::Port;
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Fault};

type Outcome = Result<(), Fault>;

/// The most octets of a TERMINAL PROFILE.
const LONGEST_PROFILE: usize = 64;

/// `+CUSATR`: TERMINAL PROFILE of the program, of the modem, and of both as the card gets it. §12.2.1.
pub(super) fn read_profile(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let wanted = match &call.form {
        Form::Execute => None,
        Form::Set(arguments) => Some(arguments.needed_number::<usize>(0).map_err(|_| Cme::INCORRECT_PARAMETERS)?),
        _ => return Err(Fault::Error),
    };
    let profiles = [modem.card.programs.profile.clone(), TERMINAL_PROFILE.to_vec(), modem.card.terminal_profile()];
    if wanted.is_some_and(|wanted| wanted >= profiles.len()) {
        return Err(Cme::INCORRECT_PARAMETERS.into());
    }
    for (number, profile) in profiles.iter().enumerate() {
        if wanted.is_none_or(|wanted| wanted == number) {
            reply.add("+CUSATR", &[Value::Number(number), Value::Octets(profile)]);
        }
    }
    Ok(())
}

/// `+CUSATW`: TERMINAL PROFILE of the program, until it takes part and later. §12.2.2.
pub(super) fn write_profile(modem: &mut Modem, _: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(2)?;
    if arguments.number::<u8>(0)?.unwrap_or(0) != 0 {
        return Err(Cme::OPERATION_NOT_SUPPORTED.into());
    }
    let profile = arguments.octets(1)?;
    if profile.len() > LONGEST_PROFILE {
        return Err(Cme::INCORRECT_PARAMETERS.into());
    }
    modem.card.programs.profile = profile;
    Ok(())
}

/// `+CUSATD`: whether the card gets the profile after each reset, or only by `+CUSATA`. §12.2.3.
pub(super) fn download(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => {
            reply.add("+CUSATD", &[Value::Number(modem.card.programs.halts.into()), Value::Number(0)]);
            Ok(())
        }
        Form::Set(arguments) => {
            arguments.at_most(2)?;
            let download = arguments.number::<u8>(0)?.unwrap_or(0);
            // Its progress is not told.
            if arguments.number::<u8>(1)?.unwrap_or(0) != 0 {
                return Err(Cme::OPERATION_NOT_SUPPORTED.into());
            }
            modem.card.programs.halts = match download {
                0 => false,
                1 => true,
                _ => return Err(Cme::INCORRECT_PARAMETERS.into()),
            };
            Ok(())
        }
        _ => Err(Fault::Error),
    }
}

/// `+CUSATA`: the program takes part from now on, or no more. §12.2.4.
pub(super) fn activate(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let is_active = match &call.form {
        Form::Read => {
            reply.add("+CUSATA", &[Value::Number(modem.card.programs.is_active.into())]);
            return Ok(());
        }
        Form::Execute => true,
        Form::Set(arguments) => match arguments.needed_number::<u8>(0)? {
            0 => false,
            1 => true,
            _ => return Err(Cme::INCORRECT_PARAMETERS.into()),
        },
        Form::Test => return Err(Fault::Error),
    };
    let card = modem.card()?;
    // Says so if there is none.
    card.atr()?;
    card.programs.is_active = is_active;
    card.send_profile();
    Ok(())
}

/// `+CUSATT`: TERMINAL RESPONSE. §12.3.2.
pub(super) fn respond(modem: &mut Modem, _: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(1)?;
    let response = octets(arguments.octets(0)?)?;
    let told = modem.card()?.respond_for_program(&response)?;
    if let Some(told) = told {
        modem.tell_toolkit(&told);
    }
    Ok(())
}

/// `+CUSATE`: ENVELOPE, with what the card says to it. §12.3.3.
pub(super) fn envelope(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    const BUSY: u8 = 0x93;
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(1)?;
    let envelope = octets(arguments.octets(0)?)?;
    let response = modem.card()?.envelope(&envelope)?;
    let name = modem.quirks.toolkit.envelope_answer.clone();
    let is_busy = response.sw.sw1() == BUSY;
    reply.add(
        &name,
        &[
            Value::PlainOctets(&response.data),
            Value::Number(is_busy.into()),
            Value::Number(response.sw.sw1().into()),
            Value::Number(response.sw.sw2().into()),
        ],
    );
    Ok(())
}

/// What fits one command.
fn octets(octets: Vec<u8>) -> Result<Vec<u8>, Fault> {
    if octets.is_empty() || octets.len() > 255 { Err(Cme::INCORRECT_PARAMETERS.into()) } else { Ok(octets) }
}
