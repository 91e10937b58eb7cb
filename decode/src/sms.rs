//! Short messages, and commands over the air in them. TS 23.040, TS 31.115 (formerly 03.48), TS 102 225.

use core::fmt::Display;

use sms::{Deliver, Element, Submit, UserData};

use crate::field::{Base, Field, hex};
use crate::names;
use crate::schema::{Walk, number};
use crate::secret;

/// An SMS TPDU as the card gets it or sends it.
pub(crate) fn tpdu(octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    // One that cannot be read may hold commands for the card.
    let malformed = |error: &dyn Display| vec![walk.wary().malformed(octets, base, error.to_string())];
    let mut fields = match octets.first().map(|first| first & 0b11) {
        Some(0b00) => match Deliver::decode(octets) {
            Ok(message) => deliver(&message, octets, base, walk),
            Err(error) => malformed(&error),
        },
        Some(0b01) => match Submit::decode(octets) {
            Ok(message) => submit(&message, octets, base, walk),
            Err(error) => malformed(&error),
        },
        Some(0b10) => vec![
            Field::text(names::SMS_TYPE, "SMS-STATUS-REPORT or SMS-COMMAND"),
            Field::octets(names::SMS_DATA, octets),
        ],
        _ => malformed(&"no message"),
    };
    if let Some(first) = fields.first_mut().filter(|first| first.place.is_none()) {
        first.place = Some(base.place(1.min(octets.len())));
    }
    fields
}

fn deliver(message: &Deliver, octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let mut fields = vec![
        Field::text(names::SMS_TYPE, "SMS-DELIVER"),
        Field::text(names::SMS_FROM, message.from.to_string()),
        Field::number(names::SMS_PROTOCOL, message.protocol).meaning_if(protocol(message.protocol)),
        Field::number(names::SMS_CODING, message.data.coding.0),
        timestamp(message.at),
    ];
    fields.extend(user_data(&message.data, message.protocol, octets, base, walk));
    fields
}

fn submit(message: &Submit, octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let mut fields = vec![
        Field::text(names::SMS_TYPE, "SMS-SUBMIT"),
        Field::text(names::SMS_TO, message.to.to_string()),
        Field::number(names::SMS_REFERENCE, message.reference),
        Field::number(names::SMS_PROTOCOL, message.protocol).meaning_if(protocol(message.protocol)),
        Field::number(names::SMS_CODING, message.data.coding.0),
    ];
    fields.extend(user_data(&message.data, message.protocol, octets, base, walk));
    fields
}

/// TS 23.040 §9.2.3.9, those that matter to a card.
fn protocol(protocol: u8) -> Option<&'static str> {
    match protocol {
        0x00 => Some("short message"),
        SIM_DATA_DOWNLOAD => Some("(U)SIM data download"),
        _ => None,
    }
}

const SIM_DATA_DOWNLOAD: u8 = 0x7F;

fn timestamp(at: sms::Timestamp) -> Field {
    match at.unix().filter(|_| is_decimal(at)) {
        Some(_) => Field::text(names::SMS_AT, at.to_string()),
        None => Field::text(names::SMS_AT, hex(&at.0)).meaning("no date and time: a digit is out of range"),
    }
}

/// Whether every half octet is a digit; that of the time zone has its sign in bit 3. TS 23.040 §9.2.3.11
fn is_decimal(at: sms::Timestamp) -> bool {
    let [rest @ .., zone] = at.0;
    let digits = |octet: &u8| octet & 0x0F <= 9 && octet >> 4 <= 9;
    rest.iter().all(digits) && digits(&(zone & 0xF7))
}

/// Date, time and time zone as the toolkit has them. TS 102 223 §8.39: FF in place of a zone that is not known.
pub(crate) fn moment(octets: &[u8]) -> String {
    let Ok(octets) = <[u8; 7]>::try_from(octets) else { return "not seven octets".to_owned() };
    let [rest @ .., zone] = octets;
    let local = if zone == 0xFF { [&rest[..], &[0]].concat() } else { octets.to_vec() };
    let at = sms::Timestamp(<[u8; 7]>::try_from(local).unwrap_or(octets));
    match at.unix().filter(|_| is_decimal(at)) {
        Some(_) if zone == 0xFF => at.to_string().chars().take("2000-00-00T00:00:00".len()).collect(),
        Some(_) => at.to_string(),
        None => "no date and time: a digit is out of range".to_owned(),
    }
}

/// Identifiers of header elements that mark a command packet and a response packet. TS 31.115 §4.
const COMMAND_PACKET: u8 = 0x70;
const RESPONSE_PACKET: u8 = 0x71;

fn user_data(data: &UserData, protocol: u8, octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let mut fields: Vec<Field> = data.header.iter().map(element).collect();
    let packet = data.header.iter().find_map(|element| match element {
        Element::Other(kind @ (COMMAND_PACKET | RESPONSE_PACKET), _) => Some(*kind),
        _ => None,
    });
    let in_parts = data.header.iter().any(|element| matches!(element, Element::Concatenation(_)));
    // At the end, but for what fills up a record.
    let content = data.content.as_slice();
    let at = octets.windows(content.len().max(1)).rposition(|octets| octets == content).unwrap_or_default();
    let here = base.plus(at);
    // Without a header, the protocol identifier (U)SIM data download says that it is for the card.
    match (packet, data.as_text()) {
        (Some(RESPONSE_PACKET), _) => fields.push(response_packet(&data.content, here)),
        (Some(_), _) => fields.push(command_packet(&data.content, here, walk)),
        (None, Some(text)) if protocol != SIM_DATA_DOWNLOAD => fields.push(Field::text(names::SMS_TEXT, text)),
        // A later part of commands for the card.
        (None, _) if in_parts && protocol == SIM_DATA_DOWNLOAD => {
            fields.push(walk.secret(names::SMS_DATA, &data.content).at(here, data.content.len()));
        }
        (None, _) => fields.push(Field::octets(names::SMS_DATA, &data.content).at(here, data.content.len())),
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

/// Octets of a command header from SPI to PCNTR, which CHL counts with the integrity value behind them.
const COMMAND_HEADER: usize = 13;

/// A command packet. TS 102 225 §5.1.
fn command_packet(packet: &[u8], base: Base, walk: Walk) -> Field {
    let parts = (packet.get(3..5), packet.get(5), packet.get(6), packet.get(7..10), packet.get(10..15), packet.get(15));
    let (Some(&[first, second]), Some(kic), Some(kid), Some(tar), Some(counter), Some(padding)) = parts else {
        return Field::group(names::SECURED_PACKET, vec![walk.secret(names::SMS_DATA, packet).at(base, packet.len())])
            .meaning("shorter than a command header");
    };
    let mut fields = vec![
        Field::octets(names::SECURED_SPI, &[first, second]).meaning(security_parameters(first)).at(base.plus(3), 2),
        Field::text(names::SECURED_POR, proof_of_receipt(second)).at(base.plus(4), 1),
        Field::number(names::SECURED_KIC, *kic).meaning(key(*kic, "cipher")).at(base.plus(5), 1),
        Field::number(names::SECURED_KID, *kid).meaning(integrity_key(first, *kid)).at(base.plus(6), 1),
        Field::octets(names::SECURED_TAR, tar).at(base.plus(7), 3),
    ];
    if first & CIPHERED != 0 {
        let data = packet.get(10..).unwrap_or_default();
        let data =
            Field::octets(names::SECURED_DATA, data).meaning("ciphered, from CNTR on").at(base.plus(10), data.len());
        fields.push(data);
        return Field::group(names::SECURED_PACKET, fields).meaning("command packet");
    }
    fields.extend(number(counter).map(|counter| Field::number(names::SECURED_COUNTER, counter).at(base.plus(10), 5)));
    fields.push(Field::number(names::SECURED_PADDING, *padding).at(base.plus(15), 1));
    let header = packet.get(2).map_or(0, |length| usize::from(*length));
    let rest = packet.get(16..).unwrap_or_default();
    let (integrity, data) = rest.split_at_checked(header.saturating_sub(COMMAND_HEADER)).unwrap_or((&[], rest));
    if !integrity.is_empty() {
        fields.push(Field::octets(names::SECURED_INTEGRITY, integrity).at(base.plus(16), integrity.len()));
    }
    // Of a packet in several messages the rest of the commands is still to come.
    let length = packet.first_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    let is_whole = length + 2 == packet.len();
    let commands = data.get(..data.len().saturating_sub(usize::from(*padding))).unwrap_or_default();
    let field = if is_whole && !secret::of_script(commands) {
        Field::octets(names::SECURED_DATA, data)
    } else {
        walk.secret(names::SECURED_DATA, data)
    };
    fields.push(field.at(base.plus(16 + integrity.len()), data.len()));
    Field::group(names::SECURED_PACKET, fields).meaning("command packet")
}

/// Bit 3 of the first octet of the SPI.
const CIPHERED: u8 = 0x04;

/// The first octet of the SPI. TS 102 225 §5.1.1
fn security_parameters(first: u8) -> String {
    let integrity = match first & 0x03 {
        0 => "no integrity value",
        1 => "redundancy check",
        2 => "cryptographic checksum",
        _ => "digital signature",
    };
    let cipher = if first & CIPHERED == 0 { "not ciphered" } else { "ciphered" };
    let counter = match first >> 3 & 0x03 {
        0 => "no counter",
        1 => "counter not checked",
        2 => "counter has to be higher",
        _ => "counter has to be one higher",
    };
    [integrity, cipher, counter].join(", ")
}

/// The second octet of the SPI. TS 102 225 §5.1.1
fn proof_of_receipt(second: u8) -> String {
    let wanted = match second & 0x03 {
        0 => return "none".to_owned(),
        1 => "always",
        2 => "on an error",
        _ => "reserved",
    };
    let integrity = match second >> 2 & 0x03 {
        0 => "no integrity value",
        1 => "redundancy check",
        2 => "cryptographic checksum",
        _ => "digital signature",
    };
    let cipher = if second & 0x10 == 0 { "not ciphered" } else { "ciphered" };
    let way = if second & 0x20 == 0 { "by SMS-DELIVER-REPORT" } else { "by SMS-SUBMIT" };
    [wanted, integrity, cipher, way].join(", ")
}

/// KIc, and KID of a cryptographic checksum: set of keys and algorithm. TS 102 225 §5.1.2, §5.1.3
fn key(octet: u8, what: &str) -> String {
    let algorithm = match octet & 0x0F {
        0x1 => "DES in CBC mode",
        0x5 => "triple DES in CBC mode with two keys",
        0x9 => "triple DES in CBC mode with three keys",
        0xD if what == "cipher" => "DES in ECB mode",
        0x2 => "AES",
        low => match low & 0x03 {
            0 => "an algorithm known to both ends",
            3 => "a proprietary algorithm",
            _ => "a reserved algorithm",
        },
    };
    format!("{algorithm}, key set {}", octet >> 4)
}

/// KID by what the SPI says of integrity.
fn integrity_key(spi: u8, kid: u8) -> String {
    match (spi & 0x03, kid & 0x0F) {
        (1, 0x1) => "CRC 16".to_owned(),
        (1, 0x5) => "CRC 32".to_owned(),
        (1, low) => match low & 0x03 {
            0 => "a redundancy check known to both ends".to_owned(),
            3 => "a proprietary redundancy check".to_owned(),
            _ => "reserved".to_owned(),
        },
        (0, _) => "not used".to_owned(),
        _ => key(kid, "checksum"),
    }
}

/// Response status codes. TS 102 225 §5.2.1
const RESPONSE_STATUSES: &[(u8, &str)] = &[
    (0x00, "PoR OK"),
    (0x01, "RC/CC/DS failed"),
    (0x02, "CNTR low"),
    (0x03, "CNTR high"),
    (0x04, "CNTR blocked"),
    (0x05, "ciphering error"),
    (0x06, "unidentified security error"),
    (0x07, "insufficient memory"),
    (0x08, "more time"),
    (0x09, "TAR unknown"),
    (0x0A, "insufficient security level"),
    (0x0B, "actual response to be sent by SMS-SUBMIT"),
    (0x0C, "actual response to be sent by USSD"),
];

/// Octets of a response header from TAR to the status.
const RESPONSE_HEADER: usize = 10;

/// A response packet. TS 102 225 §5.2.
fn response_packet(packet: &[u8], base: Base) -> Field {
    let parts = (packet.get(3..6), packet.get(6..11), packet.get(11), packet.get(12));
    let (Some(tar), Some(counter), Some(padding), Some(status)) = parts else {
        let whole = Field::octets(names::SMS_DATA, packet).at(base, packet.len());
        return Field::group(names::SECURED_PACKET, vec![whole]).meaning("shorter than a response header");
    };
    let mut fields = vec![Field::octets(names::SECURED_TAR, tar).at(base.plus(3), 3)];
    fields.extend(number(counter).map(|counter| Field::number(names::SECURED_COUNTER, counter).at(base.plus(6), 5)));
    fields.push(Field::number(names::SECURED_PADDING, *padding).at(base.plus(11), 1));
    let words = RESPONSE_STATUSES.iter().find(|(code, _)| code == status).map_or("reserved", |(_, words)| words);
    fields.push(Field::number(names::SECURED_STATUS, *status).meaning(words).at(base.plus(12), 1));
    let header = packet.get(2).map_or(0, |length| usize::from(*length));
    let rest = packet.get(13..).unwrap_or_default();
    let (integrity, data) = rest.split_at_checked(header.saturating_sub(RESPONSE_HEADER)).unwrap_or((&[], rest));
    if !integrity.is_empty() {
        fields.push(Field::octets(names::SECURED_INTEGRITY, integrity).at(base.plus(13), integrity.len()));
    }
    let data_at = base.plus(13 + integrity.len());
    fields.push(Field::octets(names::SECURED_DATA, data).at(data_at, data.len()));
    Field::group(names::SECURED_PACKET, fields).meaning("response packet")
}

/// What an application answers to an envelope: a response packet behind its user data header, or octets of its own.
pub(crate) fn answer(data: &[u8], base: Base) -> Vec<Field> {
    if let Some(packet) = data.strip_prefix(&[0x02, RESPONSE_PACKET, 0x00]) {
        return vec![response_packet(packet, base.plus(data.len() - packet.len())).at(base, data.len())];
    }
    vec![Field::octets(names::DATA, data).meaning_if(data.is_empty().then(|| hex(data))).at(base, data.len())]
}

/// A record of EF.SMS. TS 31.102 §4.2.25.
pub(crate) fn record(octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
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
            fields.extend(tpdu(&record.tpdu, base.plus(at), walk));
            fields
        }
        Err(error) => vec![Field::malformed(octets, base, error.to_string())],
    }
}
