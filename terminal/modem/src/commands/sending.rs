//! Messages from the program: to the network, and to the card. TS 27.005 §3.3.2, §3.5, §4.3 to §4.6.

use sms::{Address, Alphabet, DataCoding, Deliver, Status, StatusReport, Submit, UserData, Validity};

use super::messages::{self, Kept, of_card, structure};
use crate::call::{Arguments, Call, Form};
use crate::card::{Card, File};
use crate::modem::Modem;
use crate::network::{Coverage, Request, cause};
use crate::port::{CharacterSet, Messages, Port, TextParameters, Waiting};
use crate::prompt::{Head, Prompt, Purpose};
use crate::reply::{Reply, Value};
use crate::result_code::{Cms, Fault};

type Outcome = Result<(), Fault>;

/// `+CMGS`: a message is sent. §3.5.1, §4.3.
pub(super) fn send(modem: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    let head = match port.settings.messages {
        Messages::Octets => Head::Octets(length(arguments)?),
        Messages::Text => {
            Head::Text(Some(address(arguments, 0, port.settings.characters)?.ok_or(Cms::INVALID_TEXT_PARAMETER)?))
        }
    };
    // Without a card, or before its PIN, nothing is asked for.
    modem.card().map_err(of_card)?.select_usim().map_err(of_card)?;
    port.prompt = Some(Prompt::new(Purpose::Send(head)));
    Ok(())
}

/// `+CMGW`: a message is written to the card. §3.5.3, §4.4.
pub(super) fn write(modem: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let (head, state) = match (&call.form, port.settings.messages) {
        (Form::Set(arguments), Messages::Octets) => (Head::Octets(length(arguments)?), arguments.text(1)),
        (Form::Set(arguments), Messages::Text) => {
            (Head::Text(address(arguments, 0, port.settings.characters)?), arguments.text(2))
        }
        (Form::Execute, Messages::Text) => (Head::Text(None), None),
        _ => return Err(Fault::Error),
    };
    let status = match state {
        None => None,
        Some("0" | "REC UNREAD") => Some(Status::Unread),
        Some("1" | "REC READ") => Some(Status::Read),
        Some("2" | "STO UNSENT") => Some(Status::ToBeSent),
        Some("3" | "STO SENT") => Some(Status::Sent),
        Some(_) => return Err(Cms::INVALID_PDU_PARAMETER.into()),
    };
    structure(modem.card().map_err(of_card)?)?;
    port.prompt = Some(Prompt::new(Purpose::Write(head, status)));
    Ok(())
}

fn length(arguments: &Arguments) -> Result<usize, Fault> {
    arguments.needed_number::<u16>(0).map(usize::from).map_err(|_| Cms::INVALID_PDU_PARAMETER.into())
}

/// A number and its type.
pub(super) fn address(arguments: &Arguments, at: usize, characters: CharacterSet) -> Result<Option<Address>, Fault> {
    let Some(text) = arguments.text(at).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = match characters {
        // Some programs write numbers as they are.
        CharacterSet::Ucs2 => characters.read(text.as_bytes()).unwrap_or_else(|| text.to_owned()),
        CharacterSet::Ira | CharacterSet::Gsm => text.to_owned(),
    };
    let kind = arguments.number::<u8>(at + 1).map_err(|_| Cms::INVALID_TEXT_PARAMETER)?;
    let address = match kind {
        Some(kind) => Address::with_kind(kind, text.trim_start_matches('+')),
        None => Address::parse(&text),
    };
    address.filter(|address| !address.is_name()).map(Some).ok_or(Cms::INVALID_TEXT_PARAMETER.into())
}

/// What was written behind `> `.
pub(crate) fn written(
    modem: &mut Modem,
    port: &mut Port,
    purpose: &Purpose,
    message: &[u8],
    reply: &mut Reply,
) -> Outcome {
    match purpose {
        Purpose::Send(head) => {
            let (centre, tpdu) = match head {
                Head::Octets(length) => octets(*length, message)?,
                Head::Text(to) => {
                    let to = to.clone().ok_or(Cms::INVALID_TEXT_PARAMETER)?;
                    (vec![0], submit(to, message, port)?.encode().ok_or(Cms::INVALID_TEXT_PARAMETER)?)
                }
            };
            hand_over(modem, port, "+CMGS", &centre, tpdu, None)
        }
        Purpose::Write(head, status) => {
            let (centre, tpdu) = match head {
                Head::Octets(length) => octets(*length, message)?,
                Head::Text(to) => (vec![0], unsent(to.clone(), message, port)?),
            };
            let usual = if Submit::decode(&tpdu).is_ok() { Status::ToBeSent } else { Status::Unread };
            let number = keep(modem.card().map_err(of_card)?, status.unwrap_or(usual), &centre, &tpdu)?;
            reply.add("+CMGW", &[Value::Number(number.into())]);
            Ok(())
        }
        Purpose::Acknowledge { is_taken } => {
            if modem.acknowledge(*is_taken) {
                Ok(())
            } else {
                Err(Cms::NO_ACKNOWLEDGEMENT_EXPECTED.into())
            }
        }
    }
}

/// Service centre and message of octets that are written as digits; the length is that of the message alone.
fn octets(length: usize, digits: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let digits: Vec<u8> = digits.iter().copied().filter(|digit| *digit != b' ').collect();
    let octets = hex::decode(digits).map_err(|_| Cms::INVALID_PDU_PARAMETER)?;
    let first = octets.first().copied().ok_or(Cms::INVALID_PDU_PARAMETER)?;
    let (centre, tpdu) = octets.split_at_checked(usize::from(first) + 1).ok_or(Cms::INVALID_PDU_PARAMETER)?;
    let is_message =
        Submit::decode(tpdu).is_ok() || Deliver::decode(tpdu).is_ok() || StatusReport::decode(tpdu).is_ok();
    if tpdu.len() != length || !is_message {
        return Err(Cms::INVALID_PDU_PARAMETER.into());
    }
    Ok((centre.to_vec(), tpdu.to_vec()))
}

/// SMS-SUBMIT of a text. A text that is too long for one message is refused: programs write its parts as octets.
fn submit(to: Address, message: &[u8], port: &Port) -> Result<Submit, Fault> {
    let TextParameters { first, validity, protocol, coding, .. } = port.settings.text;
    let coding = DataCoding(coding);
    let characters = port.settings.characters;
    let content = match coding.alphabet() {
        Alphabet::Gsm7 => {
            let text = characters.read(message).ok_or(Cms::INVALID_TEXT_PARAMETER)?;
            sms::alphabet::encode(&text).ok_or(Cms::INVALID_TEXT_PARAMETER)?
        }
        Alphabet::Data | Alphabet::Ucs2 => {
            let digits: Vec<u8> = message.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
            hex::decode(digits).map_err(|_| Cms::INVALID_TEXT_PARAMETER)?
        }
    };
    let data = UserData { coding, header: Vec::new(), content };
    // Only the relative period is kept.
    let validity = (first & 0x18 == 0x10).then_some(Validity::Relative(validity));
    let (report, reject_duplicates, reply_path) = (first & 0x20 != 0, first & 0x04 != 0, first & 0x80 != 0);
    Ok(Submit { protocol, validity, report, reject_duplicates, reply_path, ..Submit::new(to, 0, data) })
}

/// The same for the card, where a message may lack its receiver.
fn unsent(to: Option<Address>, message: &[u8], port: &Port) -> Result<Vec<u8>, Fault> {
    /// First octet, reference, length of the address.
    const LENGTH: usize = 2;
    let missing = to.is_none();
    let to = to.or_else(|| Address::number("0")).ok_or(Cms::INVALID_TEXT_PARAMETER)?;
    let written = to.encode().len();
    let mut tpdu = submit(to, message, port)?.encode().ok_or(Cms::INVALID_TEXT_PARAMETER)?;
    if missing {
        // No digits, of unknown type.
        tpdu.splice(LENGTH..LENGTH + written, [0, 0x81]);
    }
    Ok(tpdu)
}

/// Writes a message to a free record.
fn keep(card: &mut Card, status: Status, centre: &[u8], tpdu: &[u8]) -> Result<u8, Fault> {
    let records = structure(card)?;
    let mut record = [&[status.octet()][..], centre, tpdu].concat();
    if record.len() > records.length.into() {
        return Err(Cms::INVALID_PDU_PARAMETER.into());
    }
    record.resize(records.length.into(), 0xFF);
    for number in 1..=records.count {
        if Kept::read(card, number, records)?.is_none() {
            card.update_record(number, &record).map_err(of_card)?;
            return Ok(number);
        }
    }
    Err(Cms::MEMORY_FULL.into())
}

/// `+CMSS`: a message of the card is sent. §3.5.2, §4.7.
pub(super) fn send_kept(modem: &mut Modem, port: &mut Port, call: &Call, _: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    let to = address(arguments, 1, port.settings.characters)?;
    let card = modem.card().map_err(of_card)?;
    let records = structure(card)?;
    let number = messages::index(arguments, records)?;
    let kept = Kept::read(card, number, records)?.ok_or(Cms::INVALID_INDEX)?;
    let (centre, tpdu) = kept.parts();
    let (centre, mut submit) = (centre.to_vec(), Submit::decode(tpdu).map_err(|_| Cms::OPERATION_NOT_ALLOWED)?);
    if let Some(to) = to {
        submit.to = to;
    }
    if submit.to.value().is_empty() {
        return Err(Cms::INVALID_TEXT_PARAMETER.into());
    }
    let tpdu = submit.encode().ok_or(Cms::INVALID_PDU_PARAMETER)?;
    hand_over(modem, port, "+CMSS", &centre, tpdu, Some(number))
}

/// Gives the network a message; the command ends when it has said what becomes of it.
fn hand_over(
    modem: &mut Modem,
    port: &mut Port,
    command: &'static str,
    centre: &[u8],
    mut tpdu: Vec<u8>,
    record: Option<u8>,
) -> Outcome {
    if Submit::decode(&tpdu).is_err() {
        return Err(Cms::INVALID_PDU_PARAMETER.into());
    }
    // The network finds its service centre itself, but a phone sends to none that it does not know.
    if centre == [0] && messages::kept_centre(modem.card().map_err(of_card)?)?.is_none() {
        return Err(Cms::ADDRESS_UNKNOWN.into());
    }
    if !modem.registration.is_registered() {
        return Err(Cms::NO_NETWORK_SERVICE.into());
    }
    if modem.coverage == Coverage::Simulated {
        return Err(Cms(cause::NOT_IMPLEMENTED.into()).into());
    }
    let reference = next_reference(modem)?;
    if let Some(place) = tpdu.get_mut(1) {
        *place = reference;
    }
    let number = modem.next_submission();
    modem.submitted.insert(number);
    modem.requests.push(Request::Submit { number, tpdu });
    port.waiting = Some(Waiting { number, command, reference, record, since: modem.now });
    Ok(())
}

/// TP-Message-Reference, which EF.SMSS counts. TS 31.102 §4.2.9.
fn next_reference(modem: &mut Modem) -> Result<u8, Fault> {
    let card = modem.card().map_err(of_card)?;
    let last = card.read(&File::of_usim(File::SMSS), 1).ok().and_then(|octets| octets.first().copied());
    let next = last.map_or(modem.reference, |last| last).wrapping_add(1);
    if last.is_some() {
        // A card that does not let it be counted there is counted for here.
        let _ = modem.card.update_binary(&[next]);
    }
    modem.reference = next;
    Ok(next)
}

/// A message has been sent: that is noted where it is kept.
pub(crate) fn sent(modem: &mut Modem, waiting: &Waiting) {
    let Some(number) = waiting.record else { return };
    let Ok(Some(records)) = modem.card.records(File::SMS) else { return };
    if let Ok(mut record) = modem.card.read_record(number, records.length)
        && record.first().map(|status| Status::of(*status)) == Some(Status::ToBeSent)
        && let Some(status) = record.first_mut()
    {
        *status = Status::Sent.octet();
        let _ = modem.card.update_record(number, &record);
    }
}

/// `+CSMP`: what texts are sent with. §3.3.2.
pub(super) fn parameters(_: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => {
            let TextParameters { first, validity, protocol, coding, .. } = port.settings.text;
            let values = [first, validity, protocol, coding].map(|octet| Value::Number(octet.into()));
            reply.add("+CSMP", &values);
            Ok(())
        }
        Form::Set(arguments) => {
            let wrong = |_| Fault::from(Cms::INVALID_TEXT_PARAMETER);
            let old = port.settings.text;
            let first = arguments.number::<u8>(0).map_err(wrong)?.unwrap_or(old.first);
            // SMS-SUBMIT, without a period or with a relative one: others are written as octets.
            if first & 0x03 != 1 || first & 0x18 == 0x08 || first & 0x40 != 0 {
                return Err(Cms::INVALID_TEXT_PARAMETER.into());
            }
            if first & 0x18 == 0x18 {
                return Err(Cms::OPERATION_NOT_SUPPORTED.into());
            }
            port.settings.text = TextParameters {
                first,
                validity: arguments.number(1).map_err(wrong)?.unwrap_or(old.validity),
                protocol: arguments.number(2).map_err(wrong)?.unwrap_or(old.protocol),
                coding: arguments.number(3).map_err(wrong)?.unwrap_or(old.coding),
                ..old
            };
            Ok(())
        }
        _ => Err(Fault::Error),
    }
}
