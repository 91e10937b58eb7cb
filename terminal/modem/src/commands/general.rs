//! Settings and identification. V.250 §6, TS 27.007 §5, §8.2, §9.1.

use super::ROWS;
use crate::call::{Arguments, Call, Form};
use crate::modem::{Function, Modem};
use crate::port::{CharacterSet, Errors, Port, Settings};
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Fault};

type Outcome = Result<(), Fault>;

/// The number behind a basic command; 0 if there is none.
fn number(call: &Call) -> Result<u8, Fault> {
    match &call.form {
        Form::Execute => Ok(0),
        Form::Set(arguments) => arguments.needed_number(0).map_err(|_| Fault::Error),
        Form::Read | Form::Test => Err(Fault::Error),
    }
}

fn switch(call: &Call) -> Result<bool, Fault> {
    match number(call)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::Error),
    }
}

/// Settings of lines and calls that this modem does not have.
pub(super) fn accept(_: &mut Modem, _: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    number(call).map(drop)
}

pub(super) fn echo(_: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    port.settings.echo = switch(call)?;
    Ok(())
}

pub(super) fn quiet(_: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    port.settings.quiet = switch(call)?;
    Ok(())
}

pub(super) fn verbose(_: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    port.settings.verbose = switch(call)?;
    Ok(())
}

/// ATZ, AT&F: the card does not notice.
pub(super) fn defaults(modem: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    number(call)?;
    port.settings = Settings::default();
    modem.incoming.release(port.number);
    Ok(())
}

pub(super) fn parameter(_: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let number: usize = call.name.get(1..).and_then(|number| number.parse().ok()).ok_or(Fault::Error)?;
    let parameter = port.settings.parameters.get_mut(number).ok_or(Fault::Error)?;
    match &call.form {
        Form::Read => reply.bare(format!("{parameter:03}")),
        Form::Set(arguments) => *parameter = arguments.number(0).map_err(|_| Fault::Error)?.unwrap_or(0),
        _ => return Err(Fault::Error),
    }
    Ok(())
}

pub(super) fn no_carrier(_: &mut Modem, _: &mut Port, _: &Call, _: &mut Reply) -> Outcome {
    Err(Fault::NoCarrier)
}

/// Nobody is at the other end, neither for data nor, with `;`, for speech.
pub(super) fn dial(_: &mut Modem, _: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    match &call.form {
        Form::Set(arguments) if arguments.text(0).is_some() => Err(Fault::NoCarrier),
        _ => Err(Fault::Error),
    }
}

/// Data, no fax. V.250 §6.1.9, T.31.
pub(super) fn class(_: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => reply.bare("0"),
        Form::Set(arguments) if arguments.needed_number::<u8>(0)? == 0 => {}
        _ => return Err(Fault::Error),
    }
    Ok(())
}

pub(super) fn capabilities(_: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    reply.add(&call.name, &[Value::Plain("+CGSM")]);
    Ok(())
}

fn execute(call: &Call) -> Outcome {
    if call.form == Form::Execute { Ok(()) } else { Err(Fault::Error) }
}

pub(super) fn information(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    number(call)?;
    let identity = &modem.identity;
    for line in [&identity.manufacturer, &identity.model, &identity.revision] {
        reply.bare(line);
    }
    Ok(())
}

pub(super) fn manufacturer(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    reply.bare(&modem.identity.manufacturer);
    Ok(())
}

pub(super) fn model(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    reply.bare(&modem.identity.model);
    Ok(())
}

pub(super) fn revision(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    reply.bare(&modem.identity.revision);
    Ok(())
}

/// `+CGSN`: bare; `+CGSN=1`: the IMEI, with its name. TS 27.007 §5.4.
pub(super) fn serial_number(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let kind = match &call.form {
        Form::Execute => 0,
        Form::Set(arguments) => arguments.needed_number::<u8>(0)?,
        _ => return Err(Fault::Error),
    };
    match kind {
        0 => reply.bare(&modem.identity.imei),
        1 => reply.add("+CGSN", &[Value::Text(&modem.identity.imei)]),
        _ => return Err(Cme::OPERATION_NOT_SUPPORTED.into()),
    }
    Ok(())
}

pub(super) fn commands(_: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    for row in ROWS {
        reply.bare(format!("AT{}", row.name));
    }
    Ok(())
}

/// Settings without an effect: of calls, which there are none, and of lines, which are none.
pub(super) fn keep(_: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => {
            let kept = port.settings.others.get(&call.name).map_or("0", String::as_str);
            reply.add(&call.name, &[Value::Plain(kept)]);
        }
        Form::Execute => {
            port.settings.others.remove(&call.name);
        }
        Form::Set(arguments) => {
            let kept = arguments.numbers()?;
            port.settings.others.insert(call.name.clone(), kept);
        }
        Form::Test => return Err(Fault::Error),
    }
    Ok(())
}

/// What says that nothing is going on: no call, no activity.
pub(super) fn nothing(_: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    if call.name == "+CPAS" {
        reply.add("+CPAS", &[Value::Number(0)]);
    }
    Ok(())
}

pub(super) fn character_set(_: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => reply.add("+CSCS", &[Value::Text(port.settings.characters.name())]),
        Form::Set(arguments) => {
            let name = arguments.needed(0)?;
            let known = CharacterSet::ALL.into_iter().find(|set| set.name().eq_ignore_ascii_case(name));
            port.settings.characters = known.ok_or(Cme::OPERATION_NOT_SUPPORTED)?;
        }
        _ => return Err(Fault::Error),
    }
    Ok(())
}

pub(super) fn errors(_: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => reply.add("+CMEE", &[Value::Number(port.settings.errors as usize)]),
        Form::Set(arguments) => {
            port.settings.errors = match arguments.needed_number::<u8>(0)? {
                0 => Errors::Hidden,
                1 => Errors::Number,
                2 => Errors::Words,
                _ => return Err(Cme::INCORRECT_PARAMETERS.into()),
            }
        }
        _ => return Err(Fault::Error),
    }
    Ok(())
}

/// `+CFUN`: 0 takes the card's power away, 1 from there resets it, `1,1` restarts the modem. TS 27.007 §8.2.
pub(super) fn functionality(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => {
            reply.add("+CFUN", &[Value::Number(modem.function as usize)]);
            Ok(())
        }
        Form::Set(arguments) => set_functionality(modem, arguments),
        _ => Err(Fault::Error),
    }
}

fn set_functionality(modem: &mut Modem, arguments: &Arguments) -> Outcome {
    arguments.at_most(2)?;
    let function = match arguments.needed_number::<u8>(0)? {
        0 => Function::Minimum,
        1 => Function::Full,
        4 => Function::NoRadio,
        _ => return Err(Cme::OPERATION_NOT_SUPPORTED.into()),
    };
    match (arguments.number::<u8>(1)?.unwrap_or(0), function) {
        (1, _) => modem.restart(),
        (0, Function::Minimum) => modem.card.switch_off(),
        (0, _) => modem.card.switch_on(),
        _ => return Err(Cme::INCORRECT_PARAMETERS.into()),
    }
    modem.function = function;
    if function == Function::Minimum {
        modem.card.switch_off();
    }
    Ok(())
}
