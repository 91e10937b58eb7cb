//! The card application toolkit. TS 102 221 §11.2, TS 102 223.

use apdu::Command;
use apdu::tlv::Tlv;

use super::{Context, Read};
use crate::answer::Answer;
use crate::field::{Base, Field};
use crate::names;
use crate::session::Topic;
use crate::tables::terminal_profile::{BITS, NUMBERS};
use crate::tables::toolkit::{ENVELOPES, name};
use crate::toolkit::{command_name, objects};

pub(super) fn terminal_profile(command: &Command<'_>, base: Base) -> Read {
    let bits = BITS.iter().filter_map(|(octet, bit, name)| {
        let set = command.data.get(octet - 1).is_some_and(|value| value >> (bit - 1) & 1 == 1);
        set.then(|| Field::text(names::PROFILE_BITS, *name).at(base.plus(octet - 1), 1))
    });
    let numbers = NUMBERS.iter().filter_map(|(octet, shift, mask, name)| {
        let number = command.data.get(octet - 1)? >> shift & mask;
        (number != 0).then(|| Field::number(*name, number).at(base.plus(octet - 1), 1))
    });
    let field = Field::octets(names::PROFILE_OCTETS, command.data).at(base, command.data.len());
    Read::new("TERMINAL PROFILE", Topic::Toolkit).with([field.with(bits.chain(numbers).collect())])
}

pub(super) fn terminal_response(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let fields = objects(command.data, base, context.walk);
    let summary = match command_name(&fields) {
        Some(name) => format!("TERMINAL RESPONSE to {name}"),
        None => "TERMINAL RESPONSE".into(),
    };
    Read::new(summary, Topic::Toolkit).with(fields)
}

pub(super) fn envelope(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let template = match Tlv::parse(command.data) {
        Ok(template) => template,
        Err(error) => {
            // Commands for the card may be in it.
            let field = context.walk.wary().malformed(command.data, base, error.to_string());
            return Read::new("ENVELOPE", Topic::Toolkit).with([field]);
        }
    };
    let kind = u8::try_from(template.tag.0).ok();
    let name = kind.and_then(|kind| name(ENVELOPES, kind)).unwrap_or("of a reserved kind");
    let inside = base.plus(command.data.len() - template.value.len());
    let field = Field::text(names::CAT_ENVELOPE, name).at(base, command.data.len());
    Read::new(format!("ENVELOPE, {name}"), Topic::Toolkit)
        .with([field.with(objects(template.value, inside, context.walk))])
        .answered(Answer::Envelope)
}
