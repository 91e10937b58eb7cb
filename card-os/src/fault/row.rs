//! A fault as memory holds it.

use super::{Effect, Fault, Ordered, Place, When};
use crate::bytes::Bytes;
use crate::nvm::{Key, Partition, Update};
use apdu::{Ins, StatusWord};
use core::time::Duration;

/// First octet of a stored fault; changes with its layout.
const FORMAT: u8 = 1;
/// Number of times that stands for always.
const ALWAYS: u32 = 0;

pub(super) const fn key(number: u16) -> Key {
    Key::new(Partition::Fault, 0, number as u32)
}

pub(super) fn update(ordered: &Ordered) -> Update {
    let Fault { place, when, effect, from, times } = ordered.fault;
    let (place, at) = place_to_numbers(place);
    let (effect, value) = effect_to_numbers(effect);
    let mut row = vec![FORMAT, place];
    row.extend(at.to_be_bytes());
    row.extend([u8::from(when == When::After), effect]);
    row.extend(value.to_be_bytes());
    for number in [from, times.unwrap_or(ALWAYS), ordered.met, ordered.struck] {
        row.extend(number.to_be_bytes());
    }
    Update::Insert(key(ordered.number), row)
}

/// `None`: a later release wrote it.
pub(super) fn decode(key: Key, row: &[u8]) -> Option<Ordered> {
    let mut row = Bytes(row);
    if row.u8()? != FORMAT {
        return None;
    }
    let place = place_from_numbers(row.u8()?, row.u32()?)?;
    let when = if row.u8()? == 0 { When::Before } else { When::After };
    let effect = effect_from_numbers(row.u8()?, i64::from_be_bytes(row.array()?))?;
    let (from, times) = (row.u32()?, row.u32()?);
    let fault = Fault { place, when, effect, from, times: (times != ALWAYS).then_some(times) };
    Some(Ordered { number: u16::try_from(key.index()).ok()?, fault, met: row.u32()?, struck: row.u32()? })
}

/// Instruction number for any instruction.
const ANY: u32 = 0x100;

const fn place_to_numbers(place: Place) -> (u8, u32) {
    match place {
        Place::Command(None) => (1, ANY),
        Place::Command(Some(Ins(ins))) => (1, ins as u32),
        Place::Write => (2, 0),
        Place::Memory => (3, 0),
        Place::Application(point) => (4, point),
    }
}

fn place_from_numbers(place: u8, at: u32) -> Option<Place> {
    Some(match (place, at) {
        (1, ANY) => Place::Command(None),
        (1, ins) => Place::Command(Some(Ins(u8::try_from(ins).ok()?))),
        (2, _) => Place::Write,
        (3, _) => Place::Memory,
        (4, point) => Place::Application(point),
        _ => return None,
    })
}

fn effect_to_numbers(effect: Effect) -> (u8, i64) {
    match effect {
        Effect::CutPower => (1, 0),
        Effect::DropResponse => (2, 0),
        Effect::Mute => (3, 0),
        Effect::FlipCommandBit(bit) => (4, bit.into()),
        Effect::FlipResponseBit(bit) => (5, bit.into()),
        Effect::Status(StatusWord(sw)) => (6, sw.into()),
        Effect::Delay(longer) => (7, i64::try_from(longer.as_millis()).unwrap_or(i64::MAX)),
        Effect::RefuseWrite => (8, 0),
        Effect::MemoryFull => (9, 0),
        Effect::Code(code) => (10, code),
    }
}

fn effect_from_numbers(effect: u8, value: i64) -> Option<Effect> {
    Some(match effect {
        1 => Effect::CutPower,
        2 => Effect::DropResponse,
        3 => Effect::Mute,
        4 => Effect::FlipCommandBit(u32::try_from(value).ok()?),
        5 => Effect::FlipResponseBit(u32::try_from(value).ok()?),
        6 => Effect::Status(StatusWord(u16::try_from(value).ok()?)),
        7 => Effect::Delay(Duration::from_millis(u64::try_from(value).ok()?)),
        8 => Effect::RefuseWrite,
        9 => Effect::MemoryFull,
        10 => Effect::Code(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_kept_whole() {
        let places = [
            Place::Command(None),
            Place::Command(Some(Ins(0xFF))),
            Place::Command(Some(Ins(0))),
            Place::Write,
            Place::Memory,
            Place::Application(u32::MAX),
        ];
        let effects = [
            Effect::CutPower,
            Effect::DropResponse,
            Effect::Mute,
            Effect::FlipCommandBit(u32::MAX),
            Effect::FlipResponseBit(7),
            Effect::Status(StatusWord(0x6F00)),
            Effect::Delay(Duration::from_millis(2_500)),
            Effect::RefuseWrite,
            Effect::MemoryFull,
            Effect::Code(-1),
        ];
        for (place, effect) in places.iter().flat_map(|place| effects.iter().map(move |effect| (*place, *effect))) {
            for (when, times) in [(When::Before, None), (When::After, Some(3))] {
                let fault = Fault { place, when, effect, from: 2, times };
                let whole = Ordered { number: 9, fault, met: 5, struck: 1 };
                let Update::Insert(key, row) = update(&whole) else { panic!("an insertion") };
                assert_eq!(decode(key, &row), Some(whole));
                assert_eq!(decode(key, &row[..row.len() - 1]), None);
            }
        }
    }
}
