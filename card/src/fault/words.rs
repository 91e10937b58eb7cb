//! The words for what goes wrong, in one table.

use super::{duration, number, status};
use card_os::fault::{Effect, Place};

/// One kind of fault beside result codes.
pub struct Kind {
    /// How it is written.
    pub word: &'static str,
    /// What follows `=`, if anything does.
    pub value: Option<&'static str>,
    /// The only place it has.
    pub own_place: Option<Place>,
    /// What it does.
    pub meaning: &'static str,
    pub(super) effect: fn(&str) -> Option<Effect>,
}

impl Kind {
    /// How it is written, with its value.
    pub fn form(&self) -> String {
        self.value.map_or_else(|| self.word.to_owned(), |value| format!("{}={value}", self.word))
    }
}

/// Every kind of fault but `FUNCTION=CODE` and `COMMAND=REASON`.
pub const KINDS: &[Kind] = &[
    Kind {
        word: "cut",
        value: None,
        own_place: None,
        meaning: "the power fails before the command, or with `after` when it has been carried out; the card is silent until its \
                  reader resets it or powers it on",
        effect: |_| Some(Effect::CutPower),
    },
    Kind {
        word: "drop",
        value: None,
        own_place: None,
        meaning: "the command is carried out and its response lost",
        effect: |_| Some(Effect::DropResponse),
    },
    Kind {
        word: "mute",
        value: None,
        own_place: None,
        meaning: "the card falls silent before the command, until the next reset",
        effect: |_| Some(Effect::Mute),
    },
    Kind {
        word: "slow",
        value: Some("TIME, as 2s or 500ms"),
        own_place: None,
        meaning: "the response comes so much later",
        effect: |value| duration(value).map(Effect::Delay),
    },
    Kind {
        word: "status",
        value: Some("SW, four digits from 6100 to 6FFF or 9000 to 9FFF"),
        own_place: None,
        meaning: "the answer is this status word; the command is not carried out, or with `after` it is",
        effect: |value| status(value).map(Effect::Status),
    },
    Kind {
        word: "flip-command",
        value: Some("BIT, counted from 0"),
        own_place: None,
        meaning: "this bit of the command is flipped on its way, counted from the first octet's most significant one, modulo its \
                  length",
        effect: |value| number(value).map(Effect::FlipCommandBit),
    },
    Kind {
        word: "flip-response",
        value: Some("BIT, counted from 0"),
        own_place: None,
        meaning: "this bit of the response, its status word included, is flipped on its way; counted likewise, modulo its length",
        effect: |value| number(value).map(Effect::FlipResponseBit),
    },
    Kind {
        word: "memory-full",
        value: None,
        own_place: Some(Place::Memory),
        meaning: "no non-volatile memory is free; counted are the commands that ask for it",
        effect: |_| Some(Effect::MemoryFull),
    },
    Kind {
        word: "write-error",
        value: None,
        own_place: Some(Place::Write),
        meaning: "non-volatile memory does not take a write: `6581`, and nothing has changed",
        effect: |_| Some(Effect::RefuseWrite),
    },
];

/// What goes wrong, as [`KINDS`] writes it.
pub(super) fn what(effect: Effect) -> String {
    match effect {
        Effect::CutPower => "cut".to_owned(),
        Effect::DropResponse => "drop".to_owned(),
        Effect::Mute => "mute".to_owned(),
        Effect::Delay(longer) if longer.subsec_millis() == 0 => format!("slow={}s", longer.as_secs()),
        Effect::Delay(longer) => format!("slow={}ms", longer.as_millis()),
        Effect::Status(sw) => format!("status={:04X}", sw.0),
        Effect::FlipCommandBit(bit) => format!("flip-command={bit}"),
        Effect::FlipResponseBit(bit) => format!("flip-response={bit}"),
        Effect::MemoryFull => "memory-full".to_owned(),
        Effect::RefuseWrite => "write-error".to_owned(),
        Effect::Code(code) => format!("code={code}"),
    }
}
