//! Answers to reset. ISO/IEC 7816-3 §8, ISO/IEC 7816-4 §8.1.1, TS 102 221 §6.3.

use crate::field::{Base, Field, Source, Value, hex};
use crate::names;

/// Clock rate conversion and baud rate adjustment, by the halves of TA1. ISO/IEC 7816-3 tables 7 and 8
const FI: [u16; 16] = [372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048, 0, 0];
const DI: [u8; 16] = [0, 1, 2, 4, 8, 16, 32, 64, 12, 20, 0, 0, 0, 0, 0, 0];

/// What an ATR says.
pub(crate) fn fields(atr: &[u8]) -> Vec<Field> {
    let base = Base::new(Source::Response, 0);
    let whole = Field::octets(names::ATR, atr).at(base, atr.len());
    let &[ts, t0, ..] = atr else {
        return vec![whole.with(vec![Field::malformed(atr, base, "shorter than TS and T0")])];
    };
    let convention = match ts {
        0x3B => "direct",
        0x3F => "inverse",
        _ => "none: TS is neither 3B nor 3F",
    };
    let mut fields = vec![Field::text(names::ATR_CONVENTION, convention).at(base, 1)];
    let (mut at, mut next, mut level, mut check) = (2, Some(t0), 1, false);
    // Of the third interface bytes on, TDi before them says for which protocol they are.
    let mut protocol = None;
    while let Some(indicator) = next.take() {
        if level > 1 {
            protocol = Some(indicator & 0x0F);
        }
        for (bit, letter) in [(0x10, 'A'), (0x20, 'B'), (0x40, 'C'), (0x80, 'D')] {
            if indicator & bit == 0 {
                continue;
            }
            let Some(&byte) = atr.get(at) else {
                fields.push(Field::malformed(&[], base.plus(at), "the ATR ends within its interface bytes"));
                return vec![whole.with(fields)];
            };
            let mut field = Field::number(names::ATR_INTERFACE, byte).meaning(meaning(letter, level, protocol, byte));
            field.fields = inside(letter, level, protocol, byte);
            if letter == 'D' {
                check |= byte & 0x0F != 0;
                next = Some(byte);
            }
            fields.push(field.at(base.plus(at), 1));
            at += 1;
        }
        level += 1;
    }
    historical(atr, at, usize::from(t0 & 0x0F), check, &mut fields);
    vec![whole.with(fields)]
}

/// Stands for global interface bytes.
const GLOBAL: u8 = 15;

/// `TB3`, and what it is about.
fn meaning(letter: char, level: u8, protocol: Option<u8>, byte: u8) -> String {
    let words = match (letter, level, protocol) {
        ('A', 1, _) => "clock rate and baud rate",
        ('B', 1 | 2, _) => "programming voltage, deprecated",
        ('C', 1, _) => "extra guard time",
        ('A', 2, _) => "specific mode",
        ('C', 2, _) => "waiting time of T=0",
        ('A', _, Some(1)) => "information field size of T=1",
        ('B', _, Some(1)) => "waiting times of T=1",
        ('C', _, Some(1)) => "error detection of T=1",
        ('A', _, Some(GLOBAL)) => "clock stop, classes",
        ('B', _, Some(GLOBAL)) => uicc(byte),
        ('D', ..) => "next protocol",
        _ => return format!("T{letter}{level}"),
    };
    format!("T{letter}{level}, {words}")
}

/// What TB behind T=15 says as a whole. TS 102 221 §6.3.3
const fn uicc(byte: u8) -> &'static str {
    match byte & 0x82 {
        0x82 => "UICC; eUICC-related functions are supported",
        0x80 => "UICC; eUICC-related functions are not supported",
        // Without bit 8 the others mean nothing.
        _ => "nothing beyond the minimum of a UICC",
    }
}

/// What an interface byte consists of. ISO/IEC 7816-3 §8.3, TS 102 221 §6.3.3
fn inside(letter: char, level: u8, protocol: Option<u8>, byte: u8) -> Vec<Field> {
    match (letter, level, protocol) {
        ('A', 1, _) => {
            let factor =
                |table: &[u64; 16], index: u8| table.get(usize::from(index & 0xF)).copied().unwrap_or_default();
            vec![
                Field::number(names::ATR_CLOCK, factor(&FI.map(u64::from), byte >> 4)),
                Field::number(names::ATR_BAUD, factor(&DI.map(u64::from), byte)),
            ]
        }
        ('D', ..) => vec![Field::text(names::ATR_PROTOCOL, format!("T={}", byte & 0x0F))],
        ('A', 3.., Some(GLOBAL)) => {
            let stop = match byte >> 6 {
                0b00 => "not supported",
                0b01 => "in the low state",
                0b10 => "in the high state",
                _ => "in either state",
            };
            let classes = [(0x01, "A (5 V)"), (0x02, "B (3 V)"), (0x04, "C (1.8 V)")];
            let classes: Vec<&str> =
                classes.iter().filter(|(bit, _)| byte & bit != 0).map(|(_, class)| *class).collect();
            let classes = if classes.is_empty() { "none".to_owned() } else { classes.join(", ") };
            vec![Field::text(names::ATR_CLOCK_STOP, stop), Field::text(names::ATR_CLASSES, classes)]
        }
        ('B', 3.., Some(GLOBAL)) => global(byte),
        _ => Vec::new(),
    }
}

/// TB behind T=15.
fn global(byte: u8) -> Vec<Field> {
    let mut supported = Vec::new();
    if byte & 0x80 != 0 {
        let features = [
            (0x40, "Inter-Chip USB (TS 102 600)"),
            (0x20, "UICC-CLF interface (TS 102 613)"),
            (0x10, "secure channel (TS 102 484)"),
            (0x01, "low impedance drivers on I/O"),
        ];
        supported.extend(features.iter().filter(|(bit, _)| byte & bit != 0).map(|(_, feature)| *feature));
        if byte & 0x18 == 0x18 {
            supported.push("secured APDUs from platform to platform required");
        }
    }
    let supported = if supported.is_empty() { "no further interfaces".to_owned() } else { supported.join(", ") };
    vec![Field::text(names::ATR_UICC, supported), Field::new(names::ATR_EUICC, Value::Flag(byte & 0x82 == 0x82))]
}

/// Historical bytes and the check byte behind them.
fn historical(atr: &[u8], at: usize, count: usize, check: bool, fields: &mut Vec<Field>) {
    let base = Base::new(Source::Response, 0);
    let Some(bytes) = atr.get(at..at + count) else {
        let rest = atr.get(at..).unwrap_or_default();
        fields.push(Field::malformed(rest, base.plus(at), "the ATR ends within its historical bytes"));
        return;
    };
    let mut field = Field::octets(names::ATR_HISTORICAL, bytes).at(base.plus(at), count);
    if let Some((0x80, objects)) = bytes.split_first() {
        field.fields = compact(objects, at + 1);
    }
    if count > 0 {
        fields.push(field);
    }
    if let Some(byte) = atr.get(at + count).filter(|_| check) {
        let sum = atr.get(1..=at + count).unwrap_or_default().iter().fold(0, |sum, byte| sum ^ byte);
        let words = if sum == 0 { "right" } else { "wrong" };
        fields.push(Field::number(names::ATR_CHECK, *byte).meaning(words).at(base.plus(at + count), 1));
    }
}

/// COMPACT-TLV objects. ISO/IEC 7816-4 §8.1.1.2
fn compact(mut rest: &[u8], mut at: usize) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some((header, after)) = rest.split_first() {
        let base = Base::new(Source::Response, at);
        let Some((value, after)) = after.split_at_checked(usize::from(header & 0x0F)) else {
            fields.push(Field::malformed(rest, base, "an object is longer than the historical bytes"));
            return fields;
        };
        let what = match header >> 4 {
            0x1 => "country code".to_owned(),
            0x2 => "issuer identification number".to_owned(),
            0x3 => "card service data".to_owned(),
            0x4 => "initial access data".to_owned(),
            0x5 => "card issuer's data".to_owned(),
            0x6 => "pre-issuing data".to_owned(),
            0x7 => "card capabilities".to_owned(),
            0x8 => "status indicator".to_owned(),
            0xF => "application identifier".to_owned(),
            tag => format!("object {}", hex(&[tag])),
        };
        fields.push(Field::octets(names::ATR_OBJECT, value).meaning(what).at(base, 1 + value.len()));
        at += 1 + value.len();
        rest = after;
    }
    fields
}
