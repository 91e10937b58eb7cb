//! What the card says of itself and its subscriber. TS 27.007 §5.6, §7.1, §8; names of manufacturers for the ICCID.

use apdu::tlv::{Reader, Tag, Tlv};
use apdu::{Class, CommandBuf, Ins, bcd};

use crate::call::{Call, Form};
use crate::card::{File, files};
use crate::modem::Modem;
use crate::port::Port;
use crate::reply::{Reply, Value};
use crate::result_code::{Cme, Fault};

type Outcome = Result<(), Fault>;

/// AID of the ISD-R. SGP.22 §C.
const AID_ISD_R: [u8; 16] =
    [0xA0, 0x00, 0x00, 0x05, 0x59, 0x10, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x89, 0x00, 0x00, 0x01, 0x00];

fn execute(call: &Call) -> Outcome {
    if call.form == Form::Execute { Ok(()) } else { Err(Fault::Error) }
}

/// `+CIMI`: EF.IMSI. TS 31.102 §4.2.2.
pub(super) fn imsi(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    let octets = modem.card()?.read(&File::of_usim(File::IMSI), 9)?;
    let (length, rest) = octets.split_first().ok_or(Cme::SIM_FAILURE)?;
    let coded = rest.get(..usize::from(*length)).ok_or(Cme::SIM_WRONG)?;
    // The first half octet says whether the number of digits is odd.
    let digits: String = bcd::unpack_swapped(coded).chars().skip(1).collect();
    if digits.is_empty() {
        return Err(Cme::SIM_WRONG.into());
    }
    reply.bare(digits);
    Ok(())
}

/// `+CCID` and its kin: EF.ICCID. TS 102 221 §13.2.
pub(super) fn iccid(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    if !matches!(call.form, Form::Execute | Form::Read) {
        return Err(Fault::Error);
    }
    let octets = modem.card()?.read(&File::of_mf(File::ICCID), 10)?;
    let mut digits = bcd::unpack_swapped(&octets);
    if modem.quirks.iccid_filler && digits.len() % 2 == 1 {
        digits.push('F');
    }
    reply.add(&call.name, &[Value::Plain(&digits)]);
    Ok(())
}

/// `+CNUM`: the records of EF.MSISDN. TS 31.102 §4.2.26.
pub(super) fn numbers(modem: &mut Modem, port: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    /// The last octets of a record: length, type of number, ten octets of digits, two references.
    const NUMBER: usize = 14;
    execute(call)?;
    let card = modem.card()?;
    let Some(records) = card.records(File::MSISDN)? else { return Ok(()) };
    for number in 1..=records.count {
        let record = card.read_record(number, records.length)?;
        let start = record.len().checked_sub(NUMBER).ok_or(Cme::SIM_FAILURE)?;
        let (name, dialling) = record.split_at(start);
        let &[length @ 1..=11, kind, ref digits @ ..] = dialling else { continue };
        let coded = digits.get(..usize::from(length) - 1).unwrap_or_default();
        let digits = bcd::unpack_swapped(coded).replace('A', "*").replace('B', "#");
        let plus = if kind & 0x70 == 0x10 { "+" } else { "" };
        let name = port.settings.characters.write(&files::alpha(name));
        reply.add("+CNUM", &[Value::Text(&name), Value::Text(&format!("{plus}{digits}")), Value::Number(kind.into())]);
    }
    Ok(())
}

/// `+CATR`: the answer to reset. TS 27.007 §8.
pub(super) fn answer_to_reset(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    execute(call)?;
    let atr = modem.card()?.atr()?;
    reply.add("+CATR", &[Value::PlainOctets(&atr)]);
    Ok(())
}

/// `+CEID`: the EID of an eUICC, by GetEuiccData of its ISD-R. SGP.22 §5.7.20.
pub(super) fn eid(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    const GET_EUICC_DATA: [u8; 6] = [0xBF, 0x3E, 0x03, 0x5C, 0x01, 0x5A];
    execute(call)?;
    let card = modem.card()?;
    let session = card.open_session(&AID_ISD_R)?;
    let class = Class::on_channel(true, session.channel).ok_or(Cme::SIM_FAILURE)?;
    let answer = card.send(&CommandBuf::new(class, Ins::STORE_DATA, 0x91, 0).data(GET_EUICC_DATA).le(0));
    card.close_session(session)?;
    let answer = answer?.data;
    let eid = Tlv::parse(&answer).ok().filter(|outer| outer.tag == Tag(0xBF3E));
    let eid = eid.and_then(|outer| Reader::new(outer.value).find(Tag(0x5A)).ok().flatten());
    reply.add("+CEID", &[Value::PlainOctets(eid.ok_or(Cme::SIM_FAILURE)?.value)]);
    Ok(())
}

/// `+CUAD`: the applications in EF.DIR. TS 27.007 §8.56, TS 102 221 §13.1.
pub(super) fn applications(modem: &mut Modem, _: &mut Port, call: &Call, reply: &mut Reply) -> Outcome {
    if !matches!(call.form, Form::Execute | Form::Set(_)) {
        return Err(Fault::Error);
    }
    let card = modem.card()?;
    let records = card.records(File::DIR)?.ok_or(Cme::NOT_FOUND)?;
    let mut templates = Vec::new();
    for number in 1..=records.count {
        let record = card.read_record(number, records.length)?;
        if let Ok(Some(template)) = Reader::new(&record).next()
            && template.tag == Tag(0x61)
        {
            let length = apdu::tlv::Header::parse(&record).ok().flatten().map_or(0, |header| header.total_length());
            templates.extend(record.get(..length).unwrap_or_default());
        }
    }
    reply.add("+CUAD", &[Value::PlainOctets(&templates)]);
    Ok(())
}
