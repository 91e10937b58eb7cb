//! The network, as programs ask for it. TS 27.007 §7.2, §7.3, §8.5, §8.69, §10.1.
//!
//! There is no radio: what only a radio knows is the same for all who are registered, and unknown for the others.

use crate::call::{Arguments, Call, Form};
use crate::modem::Modem;
use crate::network::Coverage;
use crate::port::Port;
use crate::registration::{Plmn, State};
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Fault};

type Outcome = Result<(), Fault>;

/// E-UTRAN. TS 27.007 §7.3.
const ACCESS: u8 = 7;
/// Area and cell of all who are registered.
const AREA: &str = "0001";
const CELL: &str = "00000001";

/// `+CREG`, `+CGREG`, `+CEREG`: whether the network has authenticated the card.
pub(super) fn state(modem: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let which = match call.name.as_str() {
        "+CREG" => 0,
        "+CGREG" => 1,
        _ => 2,
    };
    let form = port.settings.registration.get_mut(which).ok_or(Fault::Error)?;
    match &call.form {
        Form::Read => word(&call.name, Some(*form), *form, modem.registration.state(), reply),
        Form::Execute => *form = 0,
        Form::Set(arguments) => {
            arguments.at_most(1)?;
            *form = match arguments.number::<u8>(0)?.unwrap_or(0) {
                value @ 0..=2 => value,
                _ => return Err(Cme::INCORRECT_PARAMETERS.into()),
            }
        }
        Form::Test => return Err(Fault::Error),
    }
    Ok(())
}

/// The line of a state, with the setting in front where that was asked for.
pub(super) fn word(command: &str, setting: Option<u8>, form: u8, state: State, reply: &mut Reply) {
    let mut values: Vec<_> = setting.into_iter().map(|setting| Value::Number(setting.into())).collect();
    values.push(Value::Number(state as usize));
    if form == 2 && state == State::Home {
        values.extend([Value::Text(AREA), Value::Text(CELL), Value::Number(ACCESS.into())]);
    }
    reply.add(command, &values);
}

/// `+COPS`: the network by its name or number, and whether to register. §7.3.
pub(super) fn operator(modem: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => {
            let named = modem.registration.is_registered().then(|| modem.registration.plmn()).flatten();
            let mut values = vec![Value::Number(modem.registration.mode.into())];
            let name = named.map(|plmn| name(modem, &plmn, port.settings.operator));
            if let Some(name) = &name {
                let format = Value::Number(port.settings.operator.into());
                values.extend([format, Value::Text(name), Value::Number(ACCESS.into())]);
            }
            reply.add("+COPS", &values);
            Ok(())
        }
        Form::Test => {
            reply.add("+COPS", &[Value::Plain(&networks(modem))]);
            Ok(())
        }
        Form::Set(arguments) => select(modem, port, arguments),
        Form::Execute => Err(Fault::Error),
    }
}

/// Long, short or numeric.
fn name(modem: &Modem, Plmn(digits): &Plmn, format: u8) -> String {
    match format {
        2 => digits.clone(),
        _ => modem.registration.name().unwrap_or(digits).chars().filter(|character| *character != '"').collect(),
    }
}

/// The networks that are there: that of the card, if it answers.
fn networks(modem: &Modem) -> String {
    // Current, forbidden.
    let state = match modem.registration.state() {
        State::Home => 2,
        State::Denied => 3,
        State::None | State::Searching => 0,
    };
    let known = modem.registration.plmn().filter(|_| state > 0);
    let listed = known.map(|plmn| {
        let name = name(modem, &plmn, 0);
        format!("({state},\"{name}\",\"{name}\",\"{}\",{ACCESS})", plmn.0)
    });
    format!("{},,(0,1,2,3,4),(0,1,2)", listed.unwrap_or_default())
}

fn select(modem: &mut Modem, port: &mut Port, arguments: &Arguments) -> Outcome {
    arguments.at_most(4)?;
    let mode = arguments.needed_number::<u8>(0)?;
    let format = arguments.number::<u8>(1)?;
    if format.is_some_and(|format| format > 2) {
        return Err(Cme::INCORRECT_PARAMETERS.into());
    }
    match mode {
        1 | 4 => {
            let wanted = arguments.needed(2)?;
            // There is one network.
            let is_it = modem.registration.plmn().is_some_and(|plmn| {
                wanted == plmn.0 || modem.registration.name().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
            });
            if !is_it && mode == 1 {
                return Err(Cme::NO_NETWORK_SERVICE.into());
            }
        }
        0 | 2 | 3 => {}
        _ => return Err(Cme::INCORRECT_PARAMETERS.into()),
    }
    // 3 sets the format alone.
    if mode != 3 {
        modem.registration.mode = mode;
    }
    if let Some(format) = format {
        port.settings.operator = format;
    }
    Ok(())
}

/// `+CSQ`: the strongest signal, as nothing is between; none without a network. §8.5.
pub(super) fn signal(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let strength = if modem.registration.is_registered() { 31 } else { 99 };
    executed(call)?;
    reply.add("+CSQ", &[Value::Number(strength), Value::Number(99)]);
    Ok(())
}

/// `+CESQ`: the same for each kind of radio. §8.69.
pub(super) fn extended_signal(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    executed(call)?;
    let (quality, power) = if modem.registration.is_registered() { (34, 97) } else { (255, 255) };
    reply.add("+CESQ", &[99, 99, 255, 255, quality, power].map(Value::Number));
    Ok(())
}

fn executed(call: &Call) -> Outcome {
    if call.form == Form::Execute { Ok(()) } else { Err(Fault::Error) }
}

/// `+CGATT`: attached as long as registered. §10.1.9.
pub(super) fn attached(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let is_registered = modem.registration.is_registered();
    match &call.form {
        Form::Read => reply.add("+CGATT", &[Value::Number(is_registered.into())]),
        Form::Set(arguments) => match (arguments.needed_number::<u8>(0)?, is_registered) {
            (1, true) | (0, false) => {}
            (1, false) if modem.coverage != Coverage::None && !modem.registration.is_refrained() => {}
            (1, false) => return Err(Cme::NO_NETWORK_SERVICE.into()),
            // Registration is one for all domains here.
            (0, true) => return Err(Cme::OPERATION_NOT_ALLOWED.into()),
            _ => return Err(Cme::INCORRECT_PARAMETERS.into()),
        },
        _ => return Err(Fault::Error),
    }
    Ok(())
}

/// `+CIND`: indicators. §8.9.
pub(super) fn indicators(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => {
            let is_registered = modem.registration.is_registered();
            let signal = if is_registered { 5 } else { 0 };
            reply.add("+CIND", &[Value::Number(is_registered.into()), Value::Number(signal), Value::Number(0)]);
            Ok(())
        }
        _ => Err(Fault::Error),
    }
}
