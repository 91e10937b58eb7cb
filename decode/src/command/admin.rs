//! File administration. TS 102 222.

use apdu::tlv::{Reader, Tag, Tlv};
use apdu::{Command, Ins};

use super::{Context, Read, data, name};
use crate::channel::{Channel, Directory, Effect, File};
use crate::field::{Base, Field};
use crate::names;
use crate::session::Topic;
use crate::tables::fcp::TEMPLATES;

const FILE_DESCRIPTOR: Tag = Tag(0x82);
const FILE_IDENTIFIER: Tag = Tag(0x83);
/// File descriptor byte of a directory, but for the bit that says whether it is shareable.
const DIRECTORY: u8 = 0x38;

/// CREATE FILE and RESIZE FILE: file control parameters, as SELECT answers them.
pub(super) fn described(context: &Context<'_>, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let template = Tlv::parse(command.data).ok();
    let object = |tag| template.as_ref().and_then(|template| template.children().find(tag).ok().flatten());
    let id = object(FILE_IDENTIFIER).and_then(|object| <[u8; 2]>::try_from(object.value).ok()).map(u16::from_be_bytes);
    let is_directory = object(FILE_DESCRIPTOR)
        .and_then(|object| object.value.first().copied())
        .is_some_and(|descriptor| descriptor & 0x3F == DIRECTORY);
    let fields = context.walk.fields(TEMPLATES, command.data, base);
    let (shown, effect) = match id {
        Some(id) => (shown(channel, id), becomes_current(channel, id, is_directory)),
        None => (String::new(), Effect::None),
    };
    let summary = format!("{} {shown}", name(command)).trim_end().to_owned();
    Read::new(summary, Topic::File)
        .with(Some(Field::text(names::DIRECTORY, channel.directory.shown())))
        .with(fields)
        .has(effect)
}

/// DELETE FILE, TERMINATE EF and DF: a file by its identifier, or what is current.
pub(super) fn named(channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let summary = |shown: String| format!("{} {shown}", name(command));
    let directory = Field::text(names::DIRECTORY, channel.directory.shown());
    let Ok(id) = <[u8; 2]>::try_from(command.data).map(u16::from_be_bytes) else {
        let shown = if channel.file.is_some() && command.ins != Ins::TERMINATE_DF {
            channel.target(None).shown()
        } else {
            channel.directory.shown()
        };
        return Read::new(summary(shown), Topic::File).with([directory]).with(data(command, base));
    };
    let shown = shown(channel, id);
    let effect = match channel.directory.dfs.last() {
        _ if command.ins != Ins::DELETE_FILE => becomes_current(channel, id, command.ins == Ins::TERMINATE_DF),
        Some(current) if *current == id => Effect::Directory(channel.directory.above().unwrap_or_else(Directory::mf)),
        _ => Effect::Directory(channel.directory.clone()),
    };
    let id = Field::octets(names::FILE_ID, command.data).meaning(shown.clone()).at(base, command.data.len());
    Read::new(summary(shown), Topic::File).with([id, directory]).has(effect)
}

/// What a file of the current directory is called.
fn shown(channel: &Channel, id: u16) -> String {
    File::new(Some(id), channel.directory.name_of(id)).shown()
}

fn becomes_current(channel: &Channel, id: u16, is_directory: bool) -> Effect {
    let directory = channel.directory.clone();
    if !is_directory {
        let name = directory.name_of(id);
        return Effect::File(directory, Some(id), name);
    }
    let is_itself = directory.dfs.last() == Some(&id);
    Effect::Directory(if is_itself { directory } else { directory.below(id) })
}

/// Whether data is a template of file control parameters: some cards have other commands of these instructions.
pub(super) fn is_template(data: &[u8]) -> bool {
    const TEMPLATE: Tag = Tag(0x62);
    matches!(Reader::new(data).next(), Ok(Some(template)) if template.tag == TEMPLATE)
}
