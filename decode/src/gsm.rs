//! What SELECT and STATUS of a SIM answer, under class A0. TS 51.011 §9.2.1

use crate::channel::Channel;
use crate::field::{Base, Field, Value, hex};
use crate::names;

const MF: u8 = 0x01;
const DF: u8 = 0x02;
const EF: u8 = 0x04;

/// Types of files. §9.3
fn kind(kind: u8) -> &'static str {
    match kind {
        MF => "MF",
        DF => "DF",
        EF => "EF",
        _ => "reserved",
    }
}

/// A nibble of the access conditions. §9.3
fn condition(nibble: u8) -> &'static str {
    match nibble {
        0x0 => "always",
        0x1 => "CHV1",
        0x2 => "CHV2",
        0x4..=0xE => "ADM",
        0xF => "never",
        _ => "reserved",
    }
}

/// The header of a file.
pub(crate) fn header(channel: &mut Channel, data: &[u8], base: Base) -> Vec<Field> {
    let &[_, _, size_high, size_low, id_high, id_low, what, ..] = data else {
        return vec![Field::octets(names::DATA, data).at(base, data.len())];
    };
    let size = u16::from_be_bytes([size_high, size_low]);
    let is_directory = matches!(what, MF | DF);
    let name = if is_directory { names::GSM_FREE_MEMORY } else { names::GSM_FILE_SIZE };
    let mut fields = vec![
        Field::number(name, size).at(base.plus(2), 2),
        Field::octets(names::GSM_FILE_ID, &[id_high, id_low]).at(base.plus(4), 2),
        Field::number(names::GSM_FILE_TYPE, what).meaning(kind(what)).at(base.plus(6), 1),
    ];
    if is_directory {
        fields.extend(directory(data, base));
    } else {
        if let Some(file) = channel.file.as_mut() {
            file.size = (data.get(13) == Some(&0x00)).then_some(size.into());
        }
        fields.extend(file(data, base));
    }
    fields
}

/// What is special to an EF.
fn file(data: &[u8], base: Base) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(&[read_update, increase, rehabilitate_invalidate]) = data.get(8..11) {
        let access = [
            ("read", read_update >> 4),
            ("update", read_update & 0x0F),
            ("increase", increase >> 4),
            ("rehabilitate", rehabilitate_invalidate >> 4),
            ("invalidate", rehabilitate_invalidate & 0x0F),
        ];
        let words: Vec<String> = access.map(|(what, nibble)| format!("{what} {}", condition(nibble))).into();
        let octets = [read_update, increase, rehabilitate_invalidate];
        fields.push(Field::octets(names::GSM_ACCESS, &octets).meaning(words.join(", ")).at(base.plus(8), 3));
    }
    if let Some(&status) = data.get(11) {
        let words = if status & 0x01 == 0 { "invalidated" } else { "not invalidated" };
        let also = if status & 0x04 == 0 { "" } else { ", readable and updatable when invalidated" };
        fields.push(Field::number(names::GSM_STATUS, status).meaning(format!("{words}{also}")).at(base.plus(11), 1));
    }
    if let Some(&structure) = data.get(13) {
        let words = match structure {
            0x00 => "transparent",
            0x01 => "linear fixed",
            0x03 => "cyclic",
            _ => "reserved",
        };
        fields.push(Field::number(names::GSM_STRUCTURE, structure).meaning(words).at(base.plus(13), 1));
        let record = data.get(14).filter(|_| matches!(structure, 0x01 | 0x03));
        fields.extend(record.map(|length| Field::number(names::GSM_RECORD_LENGTH, *length).at(base.plus(14), 1)));
    }
    fields
}

/// What is special to the MF or a DF.
fn directory(data: &[u8], base: Base) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(&characteristics) = data.get(13) {
        let chv1 = if characteristics & 0x80 == 0 { "CHV1 enabled" } else { "CHV1 disabled" };
        let supply = match characteristics >> 4 & 0x07 {
            0b000 => "5 V",
            0b001 => "3 V",
            0b011 => "1.8 V",
            _ => "a reserved supply voltage",
        };
        let field = Field::number(names::GSM_CHARACTERISTICS, characteristics);
        fields.push(field.meaning(format!("{chv1}, {supply}")).at(base.plus(13), 1));
    }
    for (at, name) in [(14, names::GSM_DFS), (15, names::GSM_EFS), (16, names::GSM_CODES)] {
        fields.extend(data.get(at).map(|count| Field::number(name, *count).at(base.plus(at), 1)));
    }
    let codes = ["CHV1", "UNBLOCK CHV1", "CHV2", "UNBLOCK CHV2"];
    for (at, code) in (18..).zip(codes) {
        let Some(&status) = data.get(at) else { break };
        let set = if status & 0x80 == 0 { "not initialised, " } else { "" };
        let tries = format!("{} left", apdu::counted(status & 0x0F, "try"));
        fields.push(Field::text(names::GSM_CODE, format!("{code}: {set}{tries}")).at(base.plus(at), 1));
    }
    fields
}

/// EF.SST: two bits a service, allocated and activated. §10.3.7
pub(crate) fn services(data: &[u8], base: Base) -> Vec<Field> {
    let service = |number: usize| {
        let octet = data.get((number - 1) / 4).copied().unwrap_or_default();
        octet >> (2 * ((number - 1) % 4)) & 0b11
    };
    let words = |state| match state {
        0b01 => Some("allocated, not activated"),
        0b11 => Some("allocated and activated"),
        0b10 => Some("activated, not allocated"),
        _ => None,
    };
    (1..=4 * data.len())
        .filter_map(|number| {
            let state = words(service(number))?;
            Some(Field::text(names::SERVICE, format!("{number}: {state}")).at(base.plus((number - 1) / 4), 1))
        })
        .collect()
}

/// EF.ECC of a SIM: codes of three octets each. §10.3.27
pub(crate) fn emergency(data: &[u8], base: Base) -> Vec<Field> {
    let codes = data.chunks_exact(3).enumerate().filter(|(_, code)| **code != [0xFF; 3]);
    codes.map(|(at, code)| Field::text(names::NUMBER, crate::file::dialled(0, code)).at(base.plus(3 * at), 3)).collect()
}

/// EF.Phase. §10.3.16
pub(crate) fn phase(data: &[u8], base: Base) -> Vec<Field> {
    let words = match data {
        [0x00] => "phase 1",
        [0x02] => "phase 2",
        [0x03] => "phase 2, and TERMINAL PROFILE is wanted",
        _ => "reserved",
    };
    let value = data.first().map_or_else(|| Value::Text(hex(data)), |phase| Value::Text(phase.to_string()));
    vec![Field::new(names::PHASE, value).meaning(words).at(base, data.len())]
}
