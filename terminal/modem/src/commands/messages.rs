//! Short messages that the card keeps. TS 27.005 §3, TS 31.102 §4.2.25, §4.2.27.

use sms::{Address, Deliver, Record, Status, Submit, UserData, Validity};

use super::sending;
use crate::call::{Arguments, Call, Form};
use crate::card::{Card, File, Records};
use crate::modem::Modem;
use crate::port::{CharacterSet, Messages, Port};
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Cms, Fault};

type Outcome = Result<(), Fault>;

/// The only memory: the card.
const MEMORY: &str = "SM";

pub(super) fn of_card(error: Cme) -> Fault {
    Cms::of_card(error).into()
}

/// `+CMGF`: octets or text. §3.2.3.
pub(super) fn format(_: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => reply.add("+CMGF", &[Value::Number(port.settings.messages as usize)]),
        Form::Set(arguments) => {
            port.settings.messages = match arguments.needed_number::<u8>(0).map_err(|_| Cms::OPERATION_NOT_ALLOWED)? {
                0 => Messages::Octets,
                1 => Messages::Text,
                _ => return Err(Cms::OPERATION_NOT_SUPPORTED.into()),
            }
        }
        _ => return Err(Fault::Error),
    }
    Ok(())
}

/// `+CSDH`: whether headers of texts are shown. §3.3.3.
pub(super) fn show_headers(_: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    match &call.form {
        Form::Read => reply.add("+CSDH", &[Value::Number(port.settings.text.shows_headers.into())]),
        Form::Execute => port.settings.text.shows_headers = false,
        Form::Set(arguments) => {
            port.settings.text.shows_headers =
                match arguments.number::<u8>(0).map_err(|_| Cms::OPERATION_NOT_ALLOWED)? {
                    None | Some(0) => false,
                    Some(1) => true,
                    Some(_) => return Err(Cms::OPERATION_NOT_SUPPORTED.into()),
                }
        }
        Form::Test => return Err(Fault::Error),
    }
    Ok(())
}

/// `+CPMS`: the memories, all of which are the card. §3.2.2.
pub(super) fn storage(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let is_set = match &call.form {
        Form::Read => false,
        Form::Set(arguments) => {
            let is_other = |at| arguments.text(at).is_some_and(|memory| memory != MEMORY);
            if arguments.text(0).is_none() || (0..3).any(is_other) {
                return Err(Cms::OPERATION_NOT_SUPPORTED.into());
            }
            true
        }
        _ => return Err(Fault::Error),
    };
    let card = modem.card().map_err(of_card)?;
    let records = structure(card)?;
    let mut used = 0;
    for number in 1..=records.count {
        let is_free =
            card.read_record(number, records.length).map_err(of_card)?.first().is_none_or(|status| status & 1 == 0);
        used += usize::from(!is_free);
    }
    let counts = [Value::Number(used), Value::Number(records.count.into())];
    let one = if is_set { counts.to_vec() } else { [&[Value::Text(MEMORY)][..], &counts].concat() };
    reply.add("+CPMS", &one.repeat(3));
    Ok(())
}

pub(super) fn structure(card: &mut Card) -> Result<Records, Fault> {
    // A card without this file keeps no messages.
    card.records(File::SMS).map_err(of_card)?.ok_or(Cms::OPERATION_NOT_SUPPORTED.into())
}

/// A message in its record.
pub(super) struct Kept {
    number: u8,
    status: Status,
    octets: Vec<u8>,
}

impl Kept {
    pub(super) fn read(card: &mut Card, number: u8, records: Records) -> Result<Option<Self>, Fault> {
        let octets = card.read_record(number, records.length).map_err(of_card)?;
        let status = octets.first().map_or(Status::Free, |status| Status::of(*status));
        Ok((status != Status::Free).then_some(Self { number, status, octets }))
    }

    /// The address of the service centre as it stands there, and the message without what fills up the record.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        let body = self.octets.get(1..).unwrap_or_default();
        let (centre, tpdu): (&[u8], _) = match body.split_first() {
            Some((0 | 0xFF, rest)) => (&[0], rest),
            Some((length, _)) => body.split_at_checked(usize::from(*length) + 1).unwrap_or((&[0], &[])),
            None => (&[0], &[]),
        };
        let deliver = || Deliver::decode(tpdu).ok()?.encode();
        let submit = || Submit::decode(tpdu).ok()?.encode();
        let known = deliver().or_else(submit).map(|octets| octets.len());
        let used = || tpdu.iter().rposition(|octet| *octet != 0xFF).map_or(0, |last| last + 1);
        (centre, tpdu.get(..known.unwrap_or_else(used)).unwrap_or(tpdu))
    }

    /// Notes that it was read.
    fn mark(&mut self, card: &mut Card) -> Outcome {
        if self.status == Status::Unread
            && let Some(status) = self.octets.first_mut()
        {
            *status = Status::Read.octet();
            card.update_record(self.number, &self.octets).map_err(of_card)?;
        }
        Ok(())
    }

    const fn state(&self) -> (usize, &'static str) {
        match self.status {
            Status::Unread => (0, "REC UNREAD"),
            Status::Free | Status::Read => (1, "REC READ"),
            Status::ToBeSent => (2, "STO UNSENT"),
            Status::Sent => (3, "STO SENT"),
        }
    }

    /// `+CMGL` with its number, `+CMGR` without.
    fn tell(&self, command: &str, with_number: bool, port: &Port, reply: &mut Reply) {
        let (state, name) = self.state();
        let (centre, tpdu) = self.parts();
        let mut values = Vec::new();
        if with_number {
            values.push(Value::Number(self.number.into()));
        }
        if port.settings.messages == Messages::Octets {
            values.extend([Value::Number(state), Value::Plain(""), Value::Number(tpdu.len())]);
            reply.add(command, &values);
            return reply.beneath(&hex::encode_upper([centre, tpdu].concat()));
        }
        let Texts { address, time, text } = texts(tpdu, port.settings.characters);
        values.extend([Value::Text(name), Value::Text(&address), Value::Plain("")]);
        match &time {
            Some(time) => values.push(Value::Text(time)),
            // A list has its place also where a message has none.
            None if with_number => values.push(Value::Plain("")),
            None => {}
        }
        let service = self::centre(centre);
        let service_text = service.as_ref().map_or_else(String::new, ToString::to_string);
        if port.settings.text.shows_headers {
            values.extend(headers(tpdu, with_number, &service_text, service.as_ref().map_or(129, Address::kind)));
        }
        reply.add(command, &values);
        reply.beneath(&text);
    }
}

/// What a program reads of a message; of what cannot be read, nothing.
#[derive(Default)]
struct Texts {
    address: String,
    /// Of a message from the network.
    time: Option<String>,
    text: String,
}

fn texts(tpdu: &[u8], characters: CharacterSet) -> Texts {
    if let Ok(deliver) = Deliver::decode(tpdu) {
        let address = characters.write(&deliver.from.to_string());
        return Texts { address, time: Some(message_time(deliver.at.0)), text: text(&deliver.data, characters) };
    }
    let Ok(submit) = Submit::decode(tpdu) else { return Texts::default() };
    let address = characters.write(&submit.to.to_string());
    Texts { address, time: None, text: text(&submit.data, characters) }
}

/// The text of a message; octets and UCS2 as digits, unless the program reads UCS2 as text. §3.1, `<data>`.
pub(super) fn text(data: &UserData, characters: CharacterSet) -> String {
    data.as_text().map_or_else(|| hex::encode_upper(&data.content), |text| characters.write_data(&text))
}

/// Characters of the default alphabet, or octets.
pub(super) fn length(data: &UserData) -> usize {
    data.content.len()
}

/// What `+CSDH=1` adds. §3.4.2, §3.4.3.
fn headers<'a>(tpdu: &[u8], is_list: bool, centre: &'a str, centre_kind: u8) -> Vec<Value<'a>> {
    let number = |octet: u8| Value::Number(octet.into());
    let first = tpdu.first().copied().unwrap_or_default();
    let mut values = Vec::new();
    let (kind, protocol, data, validity) = if let Ok(deliver) = Deliver::decode(tpdu) {
        (deliver.from.kind(), deliver.protocol, deliver.data, None)
    } else if let Ok(submit) = Submit::decode(tpdu) {
        if is_list {
            // The time, which it does not have.
            values.push(Value::Plain(""));
        }
        (submit.to.kind(), submit.protocol, submit.data, Some(submit.validity))
    } else {
        return values;
    };
    values.push(number(kind));
    if !is_list {
        values.extend([number(first), number(protocol), number(data.coding.0)]);
        match validity {
            Some(Some(Validity::Relative(octet))) => values.push(number(octet)),
            Some(_) => values.push(Value::Plain("")),
            None => {}
        }
        values.extend([Value::Text(centre), number(centre_kind)]);
    }
    values.push(Value::Number(length(&data)));
    values
}

/// A time stamp as `yy/MM/dd,hh:mm:ss±zz`, in quarters of an hour from UTC. TS 23.040 §9.2.3.11.
pub(super) fn message_time(stamp: [u8; 7]) -> String {
    let two = |octet: u8| u32::from(octet & 0x0F) * 10 + u32::from(octet >> 4);
    let [year, month, day, hour, minute, second, zone] = stamp;
    let (sign, zone) = if zone & 0x08 == 0 { ('+', zone) } else { ('-', zone & !0x08) };
    let [year, month, day, hour, minute, second, zone] = [year, month, day, hour, minute, second, zone].map(two);
    format!("{year:02}/{month:02}/{day:02},{hour:02}:{minute:02}:{second:02}{sign}{zone:02}")
}

/// The states of messages, and all. §3.1, `<stat>`.
const STATES: [&str; 5] = ["0", "1", "2", "3", "4"];
const TEXT_STATES: [&str; 5] = ["REC UNREAD", "REC READ", "STO UNSENT", "STO SENT", "ALL"];

/// `+CMGL`: the messages in a state. §3.4.2, §4.1.
pub(super) fn list(modem: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let is_text = port.settings.messages == Messages::Text;
    if call.form == Form::Test {
        let states = if is_text { TEXT_STATES.map(|state| format!("\"{state}\"")).join(",") } else { STATES.join(",") };
        reply.add("+CMGL", &[Value::Plain(&format!("({states})"))]);
        return Ok(());
    }
    let all = if is_text { "ALL" } else { "4" };
    let wanted = match &call.form {
        Form::Execute if is_text => "REC UNREAD",
        Form::Execute => "0",
        Form::Set(arguments) => arguments.text(0).ok_or(Cms::INVALID_PDU_PARAMETER)?,
        _ => return Err(Fault::Error),
    };
    let known: &[&str] = if is_text { &TEXT_STATES } else { &STATES };
    if !known.contains(&wanted) {
        return Err(if is_text { Cms::INVALID_TEXT_PARAMETER } else { Cms::INVALID_PDU_PARAMETER }.into());
    }
    let card = modem.card().map_err(of_card)?;
    let records = structure(card)?;
    for number in 1..=records.count {
        let Some(mut kept) = Kept::read(card, number, records)? else { continue };
        let (state, name) = kept.state();
        if wanted == all || wanted == name || wanted == state.to_string() {
            kept.tell("+CMGL", true, port, reply);
            kept.mark(card)?;
        }
    }
    Ok(())
}

/// The record that a program names.
pub(super) fn index(arguments: &Arguments, records: Records) -> Result<u8, Fault> {
    let number = arguments.needed_number::<u8>(0).map_err(|_| Cms::INVALID_INDEX)?;
    if (1..=records.count).contains(&number) { Ok(number) } else { Err(Cms::INVALID_INDEX.into()) }
}

/// `+CMGR`: one message; of an empty record nothing. §3.4.3.
pub(super) fn read(modem: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    let card = modem.card().map_err(of_card)?;
    let records = structure(card)?;
    if let Some(mut kept) = Kept::read(card, index(arguments, records)?, records)? {
        kept.tell("+CMGR", false, port, reply);
        kept.mark(card)?;
    }
    Ok(())
}

/// `+CMGD`: frees a record, or those in some states. §3.5.4.
pub(super) fn delete(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    if call.form == Form::Test {
        let count = structure(modem.card().map_err(of_card)?)?.count;
        reply.add("+CMGD", &[Value::Plain(&format!("(1-{count}),(0-4)"))]);
        return Ok(());
    }
    let Form::Set(arguments) = &call.form else { return Err(Fault::Error) };
    let states: &[usize] = match arguments.number::<u8>(1).map_err(|_| Cms::OPERATION_NOT_ALLOWED)?.unwrap_or(0) {
        0 => &[],
        1 => &[1],
        2 => &[1, 3],
        3 => &[1, 2, 3],
        4 => &[0, 1, 2, 3],
        _ => return Err(Cms::OPERATION_NOT_SUPPORTED.into()),
    };
    let card = modem.card().map_err(of_card)?;
    let records = structure(card)?;
    if states.is_empty() {
        free(card, index(arguments, records)?, records)?;
    }
    for number in (1..=records.count).filter(|_| !states.is_empty()) {
        if Kept::read(card, number, records)?.is_some_and(|kept| states.contains(&kept.state().0)) {
            free(card, number, records)?;
        }
    }
    modem.announce_memory();
    Ok(())
}

fn free(card: &mut Card, number: u8, records: Records) -> Outcome {
    let mut octets = Record::free().to_vec();
    octets.resize(records.length.into(), 0xFF);
    card.update_record(number, &octets).map_err(of_card)
}

/// The service centre that the card knows.
pub(super) fn kept_centre(card: &mut Card) -> Result<Option<Address>, Fault> {
    let Some((_, record)) = service_parameters(card)? else { return Ok(None) };
    Ok(known_centre(&record))
}

/// The last octets of a record of EF.SMSP: indicators, TP-Destination-Address, service centre, and three more.
const PARAMETERS: usize = 28;
const CENTRE: std::ops::Range<usize> = 13..25;
/// In the indicators: there is no service centre.
const ABSENT: u8 = 0x02;

/// The first record of EF.SMSP, and where the parameters begin in it.
fn service_parameters(card: &mut Card) -> Result<Option<(usize, Vec<u8>)>, Fault> {
    let Some(records) = card.records(File::SMSP).map_err(of_card)? else { return Ok(None) };
    let record = card.read_record(1, records.length).map_err(of_card)?;
    let start = record.len().checked_sub(PARAMETERS).ok_or(Cms::SIM_FAILURE)?;
    Ok(Some((start, record)))
}

fn known_centre(record: &[u8]) -> Option<Address> {
    let parameters = record.get(record.len().checked_sub(PARAMETERS)?..)?;
    let is_known = parameters.first().is_some_and(|indicators| indicators & ABSENT == 0);
    parameters.get(CENTRE).filter(|_| is_known).and_then(centre)
}

/// `+CSCA`: the service centre, of EF.SMSP. §3.3.1, TS 31.102 §4.2.27.
pub(super) fn service_centre(modem: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    let card = modem.card().map_err(of_card)?;
    let (start, mut record) = service_parameters(card)?.ok_or(Cms::OPERATION_NOT_SUPPORTED)?;
    match &call.form {
        Form::Read => {
            let (text, kind) =
                known_centre(&record).map_or((String::new(), 129), |centre| (centre.to_string(), centre.kind()));
            reply.add("+CSCA", &[Value::Text(&port.settings.characters.write(&text)), Value::Number(kind.into())]);
            Ok(())
        }
        Form::Set(arguments) => {
            let address = sending::address(arguments, 0, port.settings.characters).ok().flatten();
            let address = address.ok_or(Cms::ADDRESS_UNKNOWN)?;
            let mut octets = address.encode_service_centre();
            octets.resize(CENTRE.len(), 0xFF);
            let parameters = record.get_mut(start..).unwrap_or_default();
            let place = parameters.get_mut(CENTRE).ok_or(Cms::SIM_FAILURE)?;
            place.copy_from_slice(octets.get(..place.len()).unwrap_or_default());
            if let Some(indicators) = parameters.first_mut() {
                *indicators &= !ABSENT;
            }
            card.update_record(1, &record).map_err(of_card)
        }
        _ => Err(Fault::Error),
    }
}

/// Reads an address as EF.SMS has it, in front of a message.
pub(super) fn centre(octets: &[u8]) -> Option<Address> {
    let record = [&[Status::Read.octet()][..], octets].concat();
    Record::decode(&record).ok()??.service_centre
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_zone() {
        assert_eq!(message_time([0x99, 0x30, 0x92, 0x51, 0x61, 0x95, 0x80]), "99/03/29,15:16:59+08");
        assert_eq!(message_time([0x62, 0x11, 0x03, 0x00, 0x00, 0x00, 0x4A]), "26/11/30,00:00:00-24");
    }

    #[test]
    fn a_service_centre_is_read_as_it_is_written() {
        let octets = hex::decode("07914151550000F0FFFFFFFF").unwrap();
        assert_eq!(centre(&octets).unwrap().to_string(), "+14155500000");
        assert_eq!(centre(&[0xFF; 12]), None);
    }
}
