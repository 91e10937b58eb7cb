//! Restricted access to files. TS 27.007 §8.18, §8.44.

use apdu::{Class, CommandBuf, Ins, Response};

use super::sessions::session;
use crate::call::{Arguments, Call, Form};
use crate::card::{Card, File};
use crate::modem::Modem;
use crate::port::Port;
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Fault};

type Outcome = Result<(), Fault>;

/// What is asked for, by its number in the command.
struct Request {
    ins: Ins,
    file: Option<u16>,
    p1: u8,
    p2: u8,
    p3: u8,
    data: Vec<u8>,
    path: Option<Vec<u8>>,
}

impl Request {
    /// The arguments from number `first` on.
    fn read(arguments: &Arguments, first: usize) -> Result<Self, Fault> {
        arguments.at_most(first + 7)?;
        let ins = Ins(arguments.needed_number(first)?);
        let known = [
            Ins::READ_BINARY,
            Ins::READ_RECORD,
            Ins::GET_RESPONSE,
            Ins::RETRIEVE_DATA,
            Ins::UPDATE_BINARY,
            Ins::SET_DATA,
            Ins::UPDATE_RECORD,
            Ins::STATUS,
        ];
        if !known.contains(&ins) {
            return Err(Cme::OPERATION_NOT_SUPPORTED.into());
        }
        // STATUS is of what is selected; programs that have to name a file there name none with 0.
        let file = arguments.number(first + 1)?.filter(|file| ins != Ins::STATUS || *file != 0);
        if file.is_none() && ins != Ins::STATUS {
            return Err(Cme::INCORRECT_PARAMETERS.into());
        }
        let parameter = |at: usize| Ok::<u8, Fault>(arguments.number(first + at)?.unwrap_or(0));
        let data = arguments.octets(first + 5)?;
        let path = arguments.octets(first + 6)?;
        let request = Self {
            ins,
            file,
            p1: parameter(2)?,
            p2: parameter(3)?,
            p3: parameter(4)?,
            data,
            path: (!path.is_empty()).then_some(path),
        };
        let is_counted = request.p3 == 0 || request.data.len() == usize::from(request.p3);
        if request.writes() && (request.data.is_empty() || !is_counted) {
            return Err(Cme::INCORRECT_PARAMETERS.into());
        }
        Ok(request)
    }

    fn writes(&self) -> bool {
        matches!(self.ins, Ins::UPDATE_BINARY | Ins::UPDATE_RECORD | Ins::SET_DATA)
    }

    /// Carries it out, once its file is selected, which `selected` is the card's answer to.
    fn carry_out(self, card: &mut Card, channel: u8, selected: Option<Response>) -> Result<Response, Cme> {
        if let Some(selected) = selected {
            // Of a file that is not there nothing is read: the one before it is selected still.
            if self.ins == Ins::GET_RESPONSE || !(selected.sw.is_ok() || selected.sw.is_warning()) {
                return Ok(selected);
            }
        }
        let is_proprietary = matches!(self.ins, Ins::STATUS | Ins::RETRIEVE_DATA | Ins::SET_DATA);
        let class = Class::on_channel(is_proprietary, channel).ok_or(Cme::SIM_FAILURE)?;
        let command = CommandBuf::new(class, self.ins, self.p1, self.p2);
        let command = match self.ins {
            _ if self.writes() => command.data(self.data),
            Ins::RETRIEVE_DATA if !self.data.is_empty() => command.data(self.data).le(self.p3),
            _ => command.le(self.p3),
        };
        card.send(&command)
    }
}

fn tell(name: &str, response: &Response, reply: &mut Reply) {
    let [sw1, sw2] = response.sw.0.to_be_bytes();
    let mut values = vec![Value::Number(sw1.into()), Value::Number(sw2.into())];
    if !response.data.is_empty() {
        values.push(Value::Octets(&response.data));
    }
    reply.add(name, &values);
}

/// `+CRSM`: on the basic channel, the file found by its identifier or its path.
pub(super) fn restricted(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    let request = Request::read(arguments, 0)?;
    let card = modem.card()?;
    let selected = match (request.file, &request.path) {
        (Some(id), Some(path)) => Some(card.select(&File::at(path, id).ok_or(Cme::INCORRECT_PARAMETERS)?)?),
        (Some(id), None) => Some(card.find(id)?),
        (None, _) => None,
    };
    let response = request.carry_out(card, 0, selected)?;
    tell("+CRSM", &response, reply);
    Ok(())
}

/// `+CRLA`: in a session, a file of its application.
pub(super) fn restricted_in_session(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    let channel = session(modem, arguments.needed(0)?)?.channel;
    let request = Request::read(arguments, 1)?;
    let class = Class::on_channel(false, channel).ok_or(Cme::SIM_FAILURE)?;
    let card = modem.card()?;
    let path = request.path.clone().unwrap_or_default();
    let selected = request.file.map(|id| card.select_on(class, &path, id)).transpose()?;
    let response = request.carry_out(card, channel, selected)?;
    tell("+CRLA", &response, reply);
    Ok(())
}
