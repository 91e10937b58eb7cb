//! PINs, authentication, channels, capabilities. TS 102 221 §11.1, TS 31.102 §7, TS 31.103 §7.

use apdu::{Command, Ins, counted};

use super::{Context, Read, data, name};
use crate::answer::{Answer, Security};
use crate::channel::Effect;
use crate::field::{Base, Field, Source};
use crate::names;
use crate::session::Topic;
use crate::tables::fcp::{TERMINAL_CAPABILITY, key_reference};

pub(super) fn pin(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let which = key_reference(command.p2);
    let place = Base::new(Source::Command, 3);
    let mut fields = vec![Field::number(names::PIN_REFERENCE, command.p2).meaning(which.clone()).at(place, 1)];
    let query = command.data.is_empty();
    if !query {
        fields.push(context.walk.secret(names::PIN_OCTETS, command.data).at(base, command.data.len()));
    }
    let name = match command.ins {
        Ins::DISABLE_PIN if command.p1 & 0x80 != 0 => "DISABLE PIN, replaced by the universal PIN".into(),
        _ => name(command),
    };
    let summary = if query { format!("{name}, {which}: tries left?") } else { format!("{name}, {which}") };
    Read::new(summary, Topic::Pin).with(fields).answered(Answer::Pin { query })
}

pub(super) fn authenticate(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    if command.class.is_gsm() {
        let rand = Field::octets(names::RAND, command.data).at(base, command.data.len());
        return Read::new("RUN GSM ALGORITHM", Topic::Authentication)
            .with([rand])
            .answered(Answer::Authenticate(Security::GsmAlgorithm));
    }
    if command.ins == Ins::AUTHENTICATE_ODD {
        let name = match command.p2 & 0x07 {
            0x05 => "MBMS",
            0x06 => "local key establishment",
            _ => "reserved",
        };
        return Read::new(format!("AUTHENTICATE, {name}"), Topic::Authentication)
            .with([Field::text(names::AUTHENTICATE_CONTEXT, name).at(Base::new(Source::Command, 3), 1)])
            .with(data(command, base))
            .answered(Answer::Authenticate(Security::Tlv));
    }
    let (name, security) = match command.p2 & 0x07 {
        0x00 => ("GSM", Security::Gsm),
        0x01 => ("3G", Security::ThreeG),
        0x02 => ("VGCS or VBS", Security::Vgcs),
        0x04 if command.data.first() == Some(&0xDE) => ("GBA, NAF derivation", Security::Naf),
        0x04 => ("GBA, bootstrapping", Security::Bootstrapping),
        0x05 => ("MBMS", Security::Tlv),
        0x06 => ("local key establishment", Security::Tlv),
        _ => ("reserved", Security::Tlv),
    };
    let mut fields = vec![Field::text(names::AUTHENTICATE_CONTEXT, name).at(Base::new(Source::Command, 3), 1)];
    let has_tag = matches!(command.data.first(), Some(0xDD | 0xDE)) && command.p2 & 0x07 == 0x04;
    let (values, base) =
        if has_tag { (command.data.get(1..).unwrap_or_default(), base.plus(1)) } else { (command.data, base) };
    let fields_of = match security {
        Security::Naf => &[names::NAF_ID, names::IMPI][..],
        Security::Gsm => &[names::RAND],
        Security::Vgcs => &[names::VSERVICE_ID, names::VK_ID, names::VSTK_RAND],
        _ => &[names::RAND, names::AUTN],
    };
    fields.extend(crate::answer::length_values(fields_of, values, base, context.walk));
    Read::new(format!("AUTHENTICATE, {name}"), Topic::Authentication)
        .with(fields)
        .answered(Answer::Authenticate(security))
}

pub(super) fn manage_channel(command: &Command<'_>, base: Base) -> Read {
    let place = Base::new(Source::Command, 2);
    let operation = |name: &str| Field::text(names::CHANNEL_OPERATION, name).at(place, 1);
    let number = Field::number(names::CHANNEL_NUMBER, command.p2).at(place.plus(1), 1);
    match (command.p1, command.p2) {
        (0x00, 0x00) => Read::new("MANAGE CHANNEL, open", Topic::Card)
            .with([operation("open")])
            .answered(Answer::Channel)
            .has(Effect::Open { number: None }),
        (0x00, number_wanted) => Read::new(format!("MANAGE CHANNEL, open {number_wanted}"), Topic::Card)
            .with([operation("open"), number])
            .has(Effect::Open { number: Some(number_wanted) }),
        (0x80, closed) => Read::new(format!("MANAGE CHANNEL, close {closed}"), Topic::Card)
            .with([operation("close"), number])
            .has(Effect::Close { number: closed }),
        _ => Read::new("MANAGE CHANNEL", Topic::Card).with([operation("reserved")]).with(data(command, base)),
    }
}

/// EXCHANGE CAPABILITIES: what the terminal says. TS 102 221 §11.1.24
pub(super) fn capabilities(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let fields = context.walk.fields(crate::tables::fcp::EXCHANGED_CAPABILITIES, command.data, base);
    Read::new("EXCHANGE CAPABILITIES", Topic::Card).with(fields)
}

pub(super) fn terminal_capability(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let fields = context.walk.fields(TERMINAL_CAPABILITY, command.data, base);
    Read::new("TERMINAL CAPABILITY", Topic::Card).with(fields)
}

/// TS 102 221 §11.1.22.
pub(super) fn suspend(command: &Command<'_>, base: Base) -> Read {
    let place = Base::new(Source::Command, 2);
    if command.p1 == 0x01 {
        return Read::new("SUSPEND UICC, resume", Topic::Card).with([
            Field::text(names::SUSPEND_OPERATION, "resume").at(place, 1),
            Field::octets(names::RESUME_TOKEN, command.data).at(base, command.data.len()),
        ]);
    }
    let mut fields = vec![Field::text(names::SUSPEND_OPERATION, "suspend").at(place, 1)];
    let durations = [names::SUSPEND_MINIMUM, names::SUSPEND_MAXIMUM];
    for (at, (name, value)) in durations.into_iter().zip(command.data.chunks_exact(2)).enumerate() {
        fields.push(Field::text(name, duration(value)).at(base.plus(2 * at), 2));
    }
    Read::new("SUSPEND UICC, suspend", Topic::Card).with(fields).answered(Answer::Suspend)
}

/// Unit and count. TS 102 221 §11.1.22.3.
pub(crate) fn duration(value: &[u8]) -> String {
    let &[unit, count] = value else { return String::new() };
    let unit = match unit {
        0 => "s",
        1 => "min",
        2 => "h",
        3 => return counted(count, "day"),
        4 => return format!("{} of ten days", counted(count, "period")),
        _ => "of a reserved unit",
    };
    format!("{count} {unit}")
}

/// TS 102 221 §11.1.23, TS 31.102 §7.5.
pub(super) fn identity(command: &Command<'_>) -> Read {
    let context = match command.p2 & 0x7F {
        0x01 => "SUCI",
        0x02 => "SUCI 5G NSWO",
        _ => "reserved",
    };
    let field = Field::text(names::IDENTITY, context).at(Base::new(Source::Command, 3), 1);
    Read::new(format!("GET IDENTITY, {context}"), Topic::Authentication).with([field]).answered(Answer::Identity)
}
