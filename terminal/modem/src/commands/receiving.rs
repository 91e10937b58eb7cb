//! How programs are told of messages that come. TS 27.005 §3.2.1, §3.4.

use sms::{Deliver, StatusReport};

use super::messages::{self, message_time};
use crate::call::{Call, Form};
use crate::incoming::Indications;
use crate::modem::Modem;
use crate::port::{Messages, Port};
use crate::prompt::{Prompt, Purpose};
use crate::reply::{Reply, Value};
use crate::result_code::{Cms, Fault};
use crate::unsolicited::Unsolicited;

type Outcome = Result<(), Fault>;

/// `+CNMI`: which messages are told of, and how. §3.4.1.
pub(super) fn indications(modem: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let old = modem.incoming.indications;
    let new = match &call.form {
        Form::Read => {
            let Indications { mode, deliver, broadcast, report, buffer } = old;
            let values = [mode, deliver, broadcast, report, buffer].map(|value| Value::Number(value.into()));
            reply.add("+CNMI", &values);
            return Ok(());
        }
        // All of it is as after power on.
        Form::Execute => Indications::default(),
        Form::Set(arguments) => {
            let value = |at: usize, old: u8, most: &[u8]| match arguments.number::<u8>(at) {
                Ok(None) => Ok(old),
                Ok(Some(value)) if most.contains(&value) => Ok(value),
                _ => Err(Cms::OPERATION_NOT_SUPPORTED),
            };
            Indications {
                mode: value(0, old.mode, &[0, 1, 2, 3])?,
                deliver: value(1, old.deliver, &[0, 1, 2, 3])?,
                broadcast: value(2, old.broadcast, &[0, 2])?,
                report: value(3, old.report, &[0, 1])?,
                buffer: value(4, old.buffer, &[0, 1])?,
            }
        }
        Form::Test => return Err(Fault::Error),
    };
    modem.incoming.set(port.number, new);
    modem.end_of_keeping_back();
    Ok(())
}

/// `+CSMS`: whether the program acknowledges what it is given. §3.2.1.
pub(super) fn service(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let is_acknowledged = modem.incoming.is_acknowledged;
    // Messages to the program, from it; no cell broadcasts.
    let kinds = [Value::Number(1), Value::Number(1), Value::Number(0)];
    match &call.form {
        Form::Read => reply.add("+CSMS", &[&[Value::Number(is_acknowledged.into())][..], &kinds].concat()),
        Form::Set(arguments) => {
            modem.incoming.is_acknowledged =
                match arguments.needed_number::<u8>(0).map_err(|_| Cms::OPERATION_NOT_ALLOWED)? {
                    0 => false,
                    1 => true,
                    _ => return Err(Cms::OPERATION_NOT_SUPPORTED.into()),
                };
            reply.add("+CSMS", &kinds);
        }
        _ => return Err(Fault::Error),
    }
    Ok(())
}

/// `+CNMA`: the program has the message, or has not. §3.4.4.
pub(super) fn acknowledge(modem: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let (number, length) = match &call.form {
        Form::Execute => (0, None),
        Form::Set(arguments) if port.settings.messages == Messages::Octets => {
            let wrong = |_| Fault::from(Cms::INVALID_PDU_PARAMETER);
            (arguments.needed_number::<u8>(0).map_err(wrong)?, arguments.number::<u8>(1).map_err(wrong)?)
        }
        _ => return Err(Fault::Error),
    };
    let is_taken = match number {
        0 | 1 => true,
        2 => false,
        _ => return Err(Cms::INVALID_PDU_PARAMETER.into()),
    };
    if !modem.incoming.is_awaited() {
        return Err(Cms::NO_ACKNOWLEDGEMENT_EXPECTED.into());
    }
    if length.is_some_and(|length| length > 0) {
        port.prompt = Some(Prompt::new(Purpose::Acknowledge { is_taken }));
    } else {
        modem.acknowledge(is_taken);
    }
    Ok(())
}

impl Modem {
    /// An unsolicited result code, as a program reads it.
    pub(crate) fn word(&self, port: &Port, what: &Unsolicited, reply: &mut Reply) {
        match what {
            Unsolicited::Registration => self.word_registration(port, reply),
            Unsolicited::Stored(record) => {
                reply.add("+CMTI", &[Value::Text("SM"), Value::Number((*record).into())]);
            }
            Unsolicited::Toolkit(line) => reply.bare(line),
            Unsolicited::Message(centre, tpdu) | Unsolicited::Report(centre, tpdu)
                if port.settings.messages == Messages::Octets =>
            {
                let length = Value::Number(tpdu.len());
                match what {
                    Unsolicited::Report(..) => reply.add("+CDS", &[length]),
                    _ => reply.add("+CMT", &[Value::Plain(""), length]),
                }
                reply.beneath(&hex::encode_upper([&centre[..], tpdu].concat()));
            }
            Unsolicited::Message(centre, tpdu) => word_message(port, centre, tpdu, reply),
            Unsolicited::Report(_, tpdu) => word_report(port, tpdu, reply),
        }
    }

    fn word_registration(&self, port: &Port, reply: &mut Reply) {
        for (command, form) in ["+CREG", "+CGREG", "+CEREG"].into_iter().zip(port.settings.registration) {
            if form > 0 {
                let state = self.registration.state();
                super::registration::word(command, None, form, state, reply);
            }
        }
    }
}

/// `+CMT` of a text. §3.4.1.
fn word_message(port: &Port, centre: &[u8], tpdu: &[u8], reply: &mut Reply) {
    let Ok(deliver) = Deliver::decode(tpdu) else { return };
    let characters = port.settings.characters;
    let (from, time) = (characters.write(&deliver.from.to_string()), message_time(deliver.at.0));
    let mut values = vec![Value::Text(&from), Value::Plain(""), Value::Text(&time)];
    let centre = messages::centre(centre);
    let (centre_text, centre_kind) =
        centre.map_or((String::new(), 129), |centre| (characters.write(&centre.to_string()), centre.kind()));
    if port.settings.text.shows_headers {
        let first = tpdu.first().copied().unwrap_or_default();
        values.extend(
            [deliver.from.kind(), first, deliver.protocol, deliver.data.coding.0].map(|it| Value::Number(it.into())),
        );
        values.extend([Value::Text(&centre_text), Value::Number(centre_kind.into())]);
        values.push(Value::Number(messages::length(&deliver.data)));
    }
    reply.add("+CMT", &values);
    reply.beneath(&messages::text(&deliver.data, characters));
}

/// `+CDS` in text. §3.4.1.
fn word_report(port: &Port, tpdu: &[u8], reply: &mut Reply) {
    let Ok(report) = StatusReport::decode(tpdu) else { return };
    let to = port.settings.characters.write(&report.to.to_string());
    let (submitted, at) = (message_time(report.submitted.0), message_time(report.at.0));
    let first = tpdu.first().copied().unwrap_or_default();
    reply.add(
        "+CDS",
        &[
            Value::Number(first.into()),
            Value::Number(report.reference.into()),
            Value::Text(&to),
            Value::Number(report.to.kind().into()),
            Value::Text(&submitted),
            Value::Text(&at),
            Value::Number(report.status.into()),
        ],
    );
}
