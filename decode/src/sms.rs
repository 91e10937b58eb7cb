//! Short messages, and commands over the air in them. TS 23.040, TS 31.115 (formerly 03.48), TS 102 225.

use sms::{Deliver, Element, Submit, UserData};

use crate::field::{Base, Field, hex};
use crate::names;
use crate::schema::number;

/// An SMS TPDU as the card gets it or sends it.
pub(crate) fn tpdu(octets: &[u8], base: Base) -> Vec<Field> {
    let mut fields = match octets.first().map(|first| first & 0b11) {
        Some(0b00) => match Deliver::decode(octets) {
            Ok(message) => deliver(&message),
            Err(error) => vec![Field::malformed(octets, base, error.to_string())],
        },
        Some(0b01) => match Submit::decode(octets) {
            Ok(message) => submit(&message),
            Err(error) => vec![Field::malformed(octets, base, error.to_string())],
        },
        Some(0b10) => vec![
            Field::text(names::SMS_TYPE, "SMS-STATUS-REPORT or SMS-COMMAND"),
            Field::octets(names::SMS_DATA, octets),
        ],
        _ => vec![Field::malformed(octets, base, "no message")],
    };
    if let Some(first) = fields.first_mut().filter(|first| first.place.is_none()) {
        first.place = Some(base.place(octets.len()));
    }
    fields
}

fn deliver(message: &Deliver) -> Vec<Field> {
    let mut fields = vec![
        Field::text(names::SMS_TYPE, "SMS-DELIVER"),
        Field::text(names::SMS_FROM, message.from.to_string()),
        Field::number(names::SMS_PROTOCOL, message.protocol),
        Field::number(names::SMS_CODING, message.data.coding.0),
        Field::text(names::SMS_AT, message.at.to_string()),
    ];
    fields.extend(user_data(&message.data, message.protocol));
    fields
}

fn submit(message: &Submit) -> Vec<Field> {
    let mut fields = vec![
        Field::text(names::SMS_TYPE, "SMS-SUBMIT"),
        Field::text(names::SMS_TO, message.to.to_string()),
        Field::number(names::SMS_REFERENCE, message.reference),
        Field::number(names::SMS_PROTOCOL, message.protocol),
        Field::number(names::SMS_CODING, message.data.coding.0),
    ];
    fields.extend(user_data(&message.data, message.protocol));
    fields
}

/// Identifiers of header elements that mark a command packet and a response packet. TS 31.115 §4.
const COMMAND_PACKET: u8 = 0x70;
const RESPONSE_PACKET: u8 = 0x71;

fn user_data(data: &UserData, protocol: u8) -> Vec<Field> {
    let mut fields: Vec<Field> = data.header.iter().map(element).collect();
    let packet = data.header.iter().find_map(|element| match element {
        Element::Other(kind @ (COMMAND_PACKET | RESPONSE_PACKET), _) => Some(*kind),
        _ => None,
    });
    // Without a header, the protocol identifier (U)SIM data download says that it is for the card.
    match (packet, data.as_text()) {
        (Some(RESPONSE_PACKET), _) => fields.push(response_packet(&data.content)),
        (Some(_), _) => fields.push(command_packet(&data.content)),
        (None, Some(text)) if protocol != 0x7F => fields.push(Field::text(names::SMS_TEXT, text)),
        (None, _) => fields.push(Field::octets(names::SMS_DATA, &data.content)),
    }
    fields
}

fn element(element: &Element) -> Field {
    match element {
        Element::Concatenation(part) => {
            let text = format!("{} of {}, reference {}", part.sequence, part.total, part.reference);
            Field::text(names::SMS_PART, text)
        }
        Element::Ports(ports) => {
            Field::text(names::SMS_PORTS, format!("to {}, from {}", ports.destination, ports.source))
        }
        Element::Indication(indication) => {
            Field::octets(names::SMS_HEADER_ELEMENT, &[indication.kind_and_storage, indication.count])
                .meaning("messages waiting")
        }
        Element::Other(kind, data) => {
            let what = match *kind {
                COMMAND_PACKET => "command packet for the card".to_owned(),
                RESPONSE_PACKET => "response packet of the card".to_owned(),
                kind => format!("element {kind:02X}"),
            };
            Field::octets(names::SMS_HEADER_ELEMENT, data).meaning(what)
        }
    }
}

/// A command packet. TS 102 225 §5.1.
fn command_packet(packet: &[u8]) -> Field {
    let parts = (packet.get(3..5), packet.get(5), packet.get(6), packet.get(7..10), packet.get(10..15), packet.get(15));
    let (Some(spi), Some(kic), Some(kid), Some(tar), Some(counter), Some(padding)) = parts else {
        return Field::group(names::SECURED_PACKET, vec![Field::octets(names::SMS_DATA, packet)])
            .meaning("shorter than a command header");
    };
    let level = spi.first().copied().unwrap_or_default();
    let mut words = vec![match level & 0x03 {
        0 => "no integrity value",
        1 => "redundancy check",
        2 => "cryptographic checksum",
        _ => "digital signature",
    }];
    words.push(if level & 0x04 == 0 { "not ciphered" } else { "ciphered" });
    words.push(match level >> 3 & 0x03 {
        0 => "no counter",
        1 => "counter not checked",
        2 => "counter has to be higher",
        _ => "counter has to be one higher",
    });
    let mut fields = vec![
        Field::octets(names::SECURED_SPI, spi).meaning(words.join(", ")),
        Field::number(names::SECURED_KIC, *kic),
        Field::number(names::SECURED_KID, *kid),
        Field::octets(names::SECURED_TAR, tar),
    ];
    if level & 0x04 == 0 {
        fields.extend(number(counter).map(|counter| Field::number(names::SECURED_COUNTER, counter)));
        fields.push(Field::number(names::SECURED_PADDING, *padding));
        fields.push(Field::octets(names::SECURED_DATA, packet.get(16..).unwrap_or_default()));
    } else {
        fields.push(
            Field::octets(names::SECURED_DATA, packet.get(10..).unwrap_or_default()).meaning("ciphered, from CNTR on"),
        );
    }
    Field::group(names::SECURED_PACKET, fields).meaning("command packet")
}

/// A response packet. TS 102 225 §5.2.
fn response_packet(packet: &[u8]) -> Field {
    let parts = (packet.get(3..6), packet.get(6..11), packet.get(11), packet.get(12));
    let (Some(tar), Some(counter), Some(padding), Some(status)) = parts else {
        return Field::group(names::SECURED_PACKET, vec![Field::octets(names::SMS_DATA, packet)])
            .meaning("shorter than a response header");
    };
    let words = match status {
        0x00 => "PoR OK",
        0x01 => "RC/CC/DS failed",
        0x02 => "CNTR low",
        0x03 => "CNTR high",
        0x04 => "CNTR blocked",
        0x05 => "ciphering error",
        0x06 => "unidentified security error",
        0x07 => "insufficient memory",
        0x08 => "more time",
        0x09 => "TAR unknown",
        0x0A => "insufficient security level",
        0x0B => "actual response to be sent by SMS-SUBMIT",
        0x0C => "actual response to be sent by USSD",
        _ => "reserved",
    };
    let mut fields = vec![Field::octets(names::SECURED_TAR, tar)];
    fields.extend(number(counter).map(|counter| Field::number(names::SECURED_COUNTER, counter)));
    fields.push(Field::number(names::SECURED_PADDING, *padding));
    fields.push(Field::number(names::SECURED_STATUS, *status).meaning(words));
    fields.push(Field::octets(names::SECURED_DATA, packet.get(13..).unwrap_or_default()));
    Field::group(names::SECURED_PACKET, fields).meaning("response packet")
}

/// What an application answers to an envelope: a response packet behind its user data header, or octets of its own.
pub(crate) fn answer(data: &[u8], base: Base) -> Vec<Field> {
    if let Some(packet) = data.strip_prefix(&[0x02, RESPONSE_PACKET, 0x00]) {
        return vec![response_packet(packet).at(base, data.len())];
    }
    vec![Field::octets(names::DATA, data).meaning_if(data.is_empty().then(|| hex(data))).at(base, data.len())]
}

/// A record of EF.SMS. TS 31.102 §4.2.25.
pub(crate) fn record(octets: &[u8], base: Base) -> Vec<Field> {
    use sms::{Record, Status};
    match Record::decode(octets) {
        Ok(None) => vec![Field::text(names::SMS_STATUS, "free")],
        Ok(Some(record)) => {
            let status = match record.status {
                Status::Free => "free",
                Status::Read => "received, read",
                Status::Unread => "received, to be read",
                Status::Sent => "sent",
                Status::ToBeSent => "to be sent",
            };
            let mut fields = vec![Field::text(names::SMS_STATUS, status).at(base, 1)];
            fields.extend(record.service_centre.map(|centre| Field::text(names::SMS_CENTRE, centre.to_string())));
            let at = octets.len().saturating_sub(record.tpdu.len());
            fields.extend(tpdu(&record.tpdu, base.plus(at)));
            fields
        }
        Err(error) => vec![Field::malformed(octets, base, error.to_string())],
    }
}
