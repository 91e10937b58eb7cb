//! GlobalPlatform's commands, and what has no reading of its own. GlobalPlatform §11, Amendment D

use apdu::{Command, Ins};

use super::{Context, Read, data, name, unprotected};
use crate::answer::Answer;
use crate::channel::Channel;
use crate::field::{Base, Field, Source, Value, hex};
use crate::names;
use crate::secret;
use crate::session::Topic;
use crate::tables::ara;
use crate::tables::globalplatform::{DELETE, INSTALL_PARAMETERS, SEARCH};

pub(super) fn read(context: &Context<'_>, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let proprietary = command.class.is_proprietary() && !command.class.is_gsm();
    match command.ins {
        Ins::GET_DATA if channel.is_ara() => get_access_rules(context, command, base),
        Ins::GET_DATA => get_data(command),
        Ins::INITIALIZE_UPDATE if proprietary => initialize_update(command, base),
        Ins::EXTERNAL_AUTHENTICATE => external_authenticate(context, command, base),
        Ins::TERMINATE_DF if proprietary => install(context, command, base),
        Ins::TERMINATE_EF if proprietary => load(command, base),
        Ins::DELETE_FILE if proprietary => delete(context, command, base),
        Ins::PUT_KEY => put_key(context, channel, command, base),
        Ins::SET_STATUS if proprietary => set_status(command, base),
        _ => other(context, channel, command, base),
    }
}

/// A command without a reading of its own. One on a file of keys may carry them, or bring them.
pub(super) fn other(context: &Context<'_>, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let topic = match command.ins {
        Ins::CREATE_FILE | Ins::DELETE_FILE | Ins::RESIZE_FILE | Ins::TERMINATE_DF | Ins::TERMINATE_EF => Topic::File,
        _ => Topic::Other,
    };
    let application = channel.application.as_deref().map(|aid| {
        Field::text(names::APPLICATION, crate::application::name(aid).map_or_else(|| hex(aid), str::to_owned))
    });
    let read = Read::new(name(command), topic).with(application);
    let on_keys = channel.file.as_ref().is_some_and(|file| secret::is_key_file(&channel.directory, file));
    let begun = [0, command.ins.0, 0, 0, 0, command.data.first().copied().unwrap_or_default()];
    if on_keys || secret::may_hold_secret(&begun, None) {
        let data = context.walk.secret(names::DATA, command.data).at(base, command.data.len());
        let answer = if on_keys { Answer::Secret } else { Answer::Data };
        return read.with(Some(data).filter(|_| !command.data.is_empty())).answered(answer);
    }
    read.with(data(command, base))
}

/// GET DATA of the access rule application. GPD_SPE_013 §4.1
fn get_access_rules(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let asked = ara::ASKED.iter().find(|(tag, _)| *tag == command.p1_p2()).map(|(_, words)| *words);
    let octets = [command.p1, command.p2];
    let field = Field::octets(names::GP_TAG, &octets).meaning_if(asked).at(Base::new(Source::Command, 2), 2);
    let shown = asked.map_or_else(|| hex(&octets), str::to_owned);
    Read::new(format!("GET DATA, {shown}"), Topic::GlobalPlatform)
        .with([field])
        .with(context.walk.fields(ara::OBJECTS, command.data, base))
        .answered(Answer::AccessRules)
}

fn get_data(command: &Command<'_>) -> Read {
    let tag = u32::from(command.p1_p2());
    let node = crate::tables::globalplatform::DATA_OBJECTS.iter().find(|node| node.tag == tag);
    let label = node.map(|node| node.name.label);
    let [p1, p2] = [command.p1, command.p2];
    let octets: &[u8] = if p1 == 0 { &[p2] } else { &[p1, p2] };
    let field = Field::octets(names::GP_TAG, octets).meaning_if(label).at(Base::new(Source::Command, 2), 2);
    let shown = label.map_or_else(|| hex(octets), str::to_owned);
    Read::new(format!("GET DATA, {shown}"), Topic::GlobalPlatform).with([field]).answered(Answer::Object(tag))
}

fn initialize_update(command: &Command<'_>, base: Base) -> Read {
    let place = Base::new(Source::Command, 2);
    Read::new("INITIALIZE UPDATE", Topic::GlobalPlatform)
        .with([
            Field::number(names::GP_KEY_VERSION, command.p1).at(place, 1),
            Field::number(names::GP_KEY_ID, command.p2).at(place.plus(1), 1),
            Field::octets(names::GP_HOST_CHALLENGE, command.data).at(base, command.data.len()),
        ])
        .answered(Answer::InitializeUpdate)
}

fn external_authenticate(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    const LEVELS: [(u8, &str); 4] = [(0x01, "C-MAC"), (0x02, "C-DECRYPTION"), (0x10, "R-MAC"), (0x20, "R-ENCRYPTION")];
    let level: Vec<&str> = LEVELS.iter().filter(|(bit, _)| command.p1 & bit != 0).map(|(_, name)| *name).collect();
    let level = if level.is_empty() { "none".to_owned() } else { level.join(", ") };
    let (cryptogram, mac) = unprotected(command, base);
    Read::new("EXTERNAL AUTHENTICATE", Topic::GlobalPlatform)
        .with([
            Field::number(names::GP_SECURITY_LEVEL, command.p1).meaning(level).at(Base::new(Source::Command, 2), 1),
            context.walk.secret(names::GP_HOST_CRYPTOGRAM, cryptogram).at(base, cryptogram.len()),
        ])
        .with(mac)
}

pub(super) fn get_status(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let scope = match command.p1 {
        0x80 => "issuer security domain",
        0x40 => "applications and security domains",
        0x20 => "executable load files",
        0x10 => "executable load files and modules",
        _ => "reserved",
    };
    let (plain, mac) = unprotected(command, base);
    Read::new(format!("GET STATUS, {scope}"), Topic::GlobalPlatform)
        .with([Field::text(names::GP_SCOPE, scope).at(Base::new(Source::Command, 2), 1)])
        .with(context.walk.fields(SEARCH, plain, base))
        .with(mac)
        .answered(Answer::Registry)
}

/// Fields of INSTALL, each after its length. §11.5.2.3
fn install(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    const PURPOSES: [(u8, &str); 7] = [
        (0x02, "load"),
        (0x04, "install"),
        (0x08, "make selectable"),
        (0x10, "extradition"),
        (0x20, "personalization"),
        (0x40, "registry update"),
        (0x80, "more INSTALL commands"),
    ];
    let purposes: Vec<&str> = PURPOSES.iter().filter(|(bit, _)| command.p1 & bit != 0).map(|(_, name)| *name).collect();
    let purpose = purposes.join(" and ");
    let (plain, mac) = unprotected(command, base);
    let parts: &[_] = if command.p1 & 0x02 != 0 {
        &[names::GP_LOAD_FILE, names::GP_SECURITY_DOMAIN, names::GP_HASH, names::GP_PARAMETERS, names::GP_TOKEN]
    } else if command.p1 & 0x10 != 0 {
        &[
            names::GP_SECURITY_DOMAIN,
            names::DATA,
            names::GP_INSTANCE,
            names::DATA,
            names::GP_PARAMETERS,
            names::GP_TOKEN,
        ]
    } else {
        &[
            names::GP_LOAD_FILE,
            names::GP_MODULE,
            names::GP_INSTANCE,
            names::GP_PRIVILEGES,
            names::GP_PARAMETERS,
            names::GP_TOKEN,
        ]
    };
    let mut fields = crate::answer::length_values(parts, plain, base, context.walk);
    for field in &mut fields {
        let (Value::Octets(octets), Some(place)) = (&field.value, &field.place) else { continue };
        if field.name == names::GP_PARAMETERS {
            let base = Base::new(place.source, place.octets.start);
            let inside = context.walk.fields(INSTALL_PARAMETERS, octets, base);
            (field.fields, field.value) = (inside, Value::None);
        } else if [names::GP_LOAD_FILE, names::GP_MODULE, names::GP_INSTANCE, names::GP_SECURITY_DOMAIN]
            .contains(&field.name)
        {
            field.meaning = crate::application::name(octets).map(str::to_owned);
        }
    }
    Read::new(format!("INSTALL for {purpose}"), Topic::GlobalPlatform)
        .with([Field::text(names::GP_PURPOSE, purpose).at(Base::new(Source::Command, 2), 1)])
        .with(fields)
        .with(mac)
}

fn load(command: &Command<'_>, base: Base) -> Read {
    let (plain, mac) = unprotected(command, base);
    Read::new(format!("LOAD, block {}", command.p2), Topic::GlobalPlatform)
        .with([
            Field::number(names::GP_BLOCK, command.p2).at(Base::new(Source::Command, 3), 1),
            Field::octets(names::DATA, plain).at(base, plain.len()),
        ])
        .with(mac)
}

fn delete(context: &Context<'_>, command: &Command<'_>, base: Base) -> Read {
    let (plain, mac) = unprotected(command, base);
    let related = if command.p2 & 0x80 == 0 { "" } else { " and what belongs to it" };
    Read::new(format!("DELETE{related}"), Topic::GlobalPlatform)
        .with(context.walk.fields(DELETE, plain, base))
        .with(mac)
}

fn put_key(context: &Context<'_>, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let (plain, mac) = unprotected(command, base);
    let place = Base::new(Source::Command, 2);
    let mut fields = vec![Field::number(names::GP_KEY_ID, command.p2 & 0x7F).at(place.plus(1), 1)];
    fields.push(Field::number(names::GP_KEY_VERSION, command.p1 & 0x7F).meaning("replaced").at(place, 1));
    // What continues a chain goes on within the keys.
    let continues = channel.chained == Some(Ins::PUT_KEY);
    if let Some((version, keys)) = plain.split_first().filter(|_| !continues) {
        fields.push(Field::number(names::GP_KEY_VERSION, *version).meaning("new").at(base, 1));
        fields.push(context.walk.secret(names::GP_KEYS, keys).at(base.plus(1), keys.len()));
    } else {
        fields.push(context.walk.secret(names::GP_KEYS, plain).at(base, plain.len()));
    }
    Read::new("PUT KEY", Topic::GlobalPlatform).with(fields).with(mac).answered(Answer::Keys)
}

fn set_status(command: &Command<'_>, base: Base) -> Read {
    let (plain, mac) = unprotected(command, base);
    Read::new("SET STATUS", Topic::GlobalPlatform)
        .with([
            Field::number(names::GP_STATE, command.p2).at(Base::new(Source::Command, 3), 1),
            Field::octets(names::GP_INSTANCE, plain).meaning_if(crate::application::name(plain)).at(base, plain.len()),
        ])
        .with(mac)
}
