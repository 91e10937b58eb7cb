//! PINs. TS 27.007 §7.4, §7.5, §8.3, §8.65.

use apdu::Ins;

use crate::call::{Call, Form};
use crate::card::{Card, File, Key, PIN1, PIN2, PinState, failure};
use crate::modem::Modem;
use crate::port::Port;
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Fault};

type Outcome = Result<(), Fault>;
/// Asks the card for a counter.
type Ask = fn(&mut Card, Key) -> Result<Option<u8>, Cme>;

/// `+CPIN`: which PIN is asked for; verifies it, or unblocks it.
pub(super) fn pin(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let card = modem.card()?;
    match &call.form {
        Form::Read => {
            let state = match card.pin_state()? {
                PinState::Ready => "READY",
                PinState::Needed => "SIM PIN",
                PinState::Blocked => "SIM PUK",
                PinState::Lost => return Err(Cme::SIM_FAILURE.into()),
            };
            reply.add("+CPIN", &[Value::Plain(state)]);
            Ok(())
        }
        Form::Set(arguments) => {
            arguments.at_most(2)?;
            let first = arguments.needed(0)?;
            let outcome = match (card.pin_state()?, arguments.text(1)) {
                (PinState::Needed, None) => card.present(Ins::VERIFY_PIN, PIN1, &[first]),
                (PinState::Blocked, Some(new)) => card.present(Ins::UNBLOCK_PIN, PIN1, &[first, new]),
                (PinState::Blocked, None) => Err(Cme::SIM_PUK_REQUIRED),
                (PinState::Lost, _) => Err(Cme::SIM_FAILURE),
                (PinState::Ready, _) | (PinState::Needed, Some(_)) => Err(Cme::OPERATION_NOT_ALLOWED),
            };
            Ok(outcome?)
        }
        _ => Err(Fault::Error),
    }
}

/// `+CPINR`: how many tries are left.
pub(super) fn tries(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let wanted = match &call.form {
        Form::Execute => None,
        Form::Set(arguments) => Some(arguments.needed(0)?),
        _ => return Err(Fault::Error),
    };
    let all: [(&str, Ask, Key); 4] = [
        ("SIM PIN", Card::tries, PIN1),
        ("SIM PUK", Card::unblock_tries, PIN1),
        ("SIM PIN2", Card::tries, PIN2),
        ("SIM PUK2", Card::unblock_tries, PIN2),
    ];
    let card = modem.card()?;
    // PIN2 is the USIM's own.
    card.select_usim()?;
    for (name, ask, key) in all {
        let is_wanted = |wanted: &str| match wanted.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == wanted,
        };
        if !wanted.is_none_or(is_wanted) {
            continue;
        }
        if let Some(left) = ask(card, key)? {
            reply.add("+CPINR", &[Value::Plain(name), Value::Number(left.into())]);
        }
    }
    Ok(())
}

/// `+CLCK`: whether the PIN is asked for, or numbers are restricted. TS 27.007 §7.4.
pub(super) fn lock(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(4)?;
    let (facility, mode) = (arguments.needed(0)?.to_ascii_uppercase(), arguments.needed_number::<u8>(1)?);
    let card = modem.card()?;
    match (facility.as_str(), mode) {
        ("SC", 2) => {
            let enabled = card.is_pin_enabled()?;
            reply.add("+CLCK", &[Value::Number(enabled.into())]);
            Ok(())
        }
        ("SC", 0 | 1) => {
            let pin = arguments.text(2).ok_or(Cme::INCORRECT_PARAMETERS)?;
            if card.is_pin_enabled()? == (mode == 1) {
                return Err(Cme::OPERATION_NOT_ALLOWED.into());
            }
            let ins = if mode == 1 { Ins::ENABLE_PIN } else { Ins::DISABLE_PIN };
            Ok(card.present(ins, PIN1, &[pin])?)
        }
        ("FD", 2) => {
            let enabled = match card.read(&File::of_usim(File::EST), 1) {
                Ok(services) => services.first().is_some_and(|services| services & FIXED_DIALLING == FIXED_DIALLING),
                // The USIM has no such service.
                Err(Cme::NOT_FOUND) => false,
                Err(error) => return Err(error.into()),
            };
            reply.add("+CLCK", &[Value::Number(enabled.into())]);
            Ok(())
        }
        ("FD", 0 | 1) => restrict_numbers(card, arguments.text(2).ok_or(Cme::INCORRECT_PARAMETERS)?, mode == 1),
        // Locks of the modem to a card or network: it has none.
        ("PS" | "PF" | "PN" | "PU" | "PP" | "PC", 2) => {
            reply.add("+CLCK", &[Value::Number(0)]);
            Ok(())
        }
        (_, 0..=2) => Err(Cme::OPERATION_NOT_SUPPORTED.into()),
        _ => Err(Cme::INCORRECT_PARAMETERS.into()),
    }
}

/// In EF.EST: numbers are restricted to those of EF.FDN. TS 31.102 §4.2.47.
const FIXED_DIALLING: u8 = 1;

/// Writes EF.EST, which PIN2 lets do. TS 31.102 §5.3.2.
fn restrict_numbers(card: &mut Card, pin2: &str, is_wanted: bool) -> Outcome {
    let file = File::of_usim(File::EST);
    let services = card.read(&file, 1).map_err(|error| match error {
        Cme::NOT_FOUND => Cme::OPERATION_NOT_SUPPORTED,
        error => error,
    })?;
    let services = *services.first().ok_or(Cme::SIM_FAILURE)?;
    // The PIN counts also where nothing is to be changed.
    card.present(Ins::VERIFY_PIN, PIN2, &[pin2])?;
    let changed = if is_wanted { services | FIXED_DIALLING } else { services & !FIXED_DIALLING };
    if changed != services {
        let selected = card.select(&file)?.sw;
        if !selected.is_ok() {
            return Err(failure(selected).into());
        }
        card.update_binary(&[changed])?;
    }
    Ok(())
}

/// `+CPWD`: another PIN. TS 27.007 §7.5.
pub(super) fn password(modem: &mut Modem, _: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    arguments.at_most(3)?;
    let key = match arguments.needed(0)?.to_ascii_uppercase().as_str() {
        "SC" => PIN1,
        "P2" => PIN2,
        _ => return Err(Cme::OPERATION_NOT_SUPPORTED.into()),
    };
    let (old, new) = (arguments.needed(1)?, arguments.needed(2)?);
    Ok(modem.card()?.present(Ins::CHANGE_PIN, key, &[old, new])?)
}
