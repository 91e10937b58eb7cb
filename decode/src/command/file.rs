//! Selection, files and records. TS 102 221 §11.1, §11.3; TS 102 222.

use apdu::{Command, Ins};

use super::{Read, data, name};
use crate::answer::Answer;
use crate::channel::{Channel, Directory, Effect, File, MF};
use crate::field::{Base, Field, hex};
use crate::names;
use crate::schema::Walk;
use crate::secret;
use crate::session::Topic;

/// What stands for the ADF of the current application in a path. TS 102 221 §8.4.2
const CURRENT_ADF: u16 = 0x7FFF;

pub(super) fn select(channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let by = match command.p1 {
        0x00 => "by file identifier",
        0x01 => "child DF",
        0x03 => "parent DF",
        0x04 => "by AID",
        0x08 => "by path from the MF",
        0x09 => "by path from the current DF",
        _ => "reserved",
    };
    let wanted = match command.p2 & 0x1C {
        0x00 if command.p1 == 0x04 => "FCI",
        0x04 => "FCP",
        0x08 => "FMD",
        0x0C => "no data",
        0x00 => "FCI or FCP",
        _ => "reserved",
    };
    let mut fields = vec![Field::text(names::SELECT_BY, by).at(Base::new(base.source, 2), 1)];
    let mut returns = Field::text(names::SELECT_RETURN, wanted).at(Base::new(base.source, 3), 1);
    if command.p1 == 0x04 {
        let occurrence = ["", "last occurrence", "next occurrence", "previous occurrence"];
        let occurrence = occurrence.get(usize::from(command.p2 & 0x03)).copied().unwrap_or_default();
        let termination = if command.p2 & 0x60 == 0x40 { "termination of the application" } else { "" };
        let words: Vec<&str> = [occurrence, termination].into_iter().filter(|words| !words.is_empty()).collect();
        returns = returns.meaning_if(Some(words.join(", ")).filter(|words| !words.is_empty()));
    }
    fields.push(returns);
    let (summary, effect) = match command.p1 {
        0x04 => {
            let name = crate::application::name(command.data);
            fields.push(Field::octets(names::SELECT_AID, command.data).meaning_if(name).at(base, command.data.len()));
            let shown = name.map_or_else(|| hex(command.data), str::to_owned);
            (format!("SELECT {shown}"), Effect::Application(command.data.to_vec()))
        }
        0x03 => {
            let top = || if channel.directory.is_known { Directory::mf() } else { Directory::default() };
            let above = channel.directory.above().unwrap_or_else(top);
            (format!("SELECT parent DF {}", above.shown()), Effect::Directory(above))
        }
        _ => path(channel, command, base, &mut fields),
    };
    Read::new(summary, Topic::File).with(fields).answered(template(command)).has(effect)
}

/// What SELECT and STATUS answer under this class.
const fn template(command: &Command<'_>) -> Answer {
    if command.class.is_gsm() { Answer::GsmHeader } else { Answer::Template }
}

/// SELECT by identifiers, one or several.
fn path(channel: &Channel, command: &Command<'_>, base: Base, fields: &mut Vec<Field>) -> (String, Effect) {
    let ids: Vec<u16> =
        command.data.chunks_exact(2).map(|id| id.iter().fold(0, |id, octet| id << 8 | u16::from(*octet))).collect();
    if ids.is_empty() || !command.data.len().is_multiple_of(2) {
        if command.data.is_empty() {
            return ("SELECT MF".into(), Effect::Directory(Directory::mf()));
        }
        fields.push(Field::malformed(command.data, base, "file identifiers have two octets"));
        return ("SELECT".into(), Effect::None);
    }
    let mut place = Place { directory: channel.directory.clone(), file: None };
    if command.p1 == 0x08 {
        place.directory = Directory::mf();
    }
    for id in &ids {
        place = place.step(*id, channel, ids.len() > 1 || command.p1 != 0x00);
    }
    let shown = match &place.file {
        Some((id, name)) => File::new(Some(*id), *name).shown(),
        None => place.directory.shown().rsplit('/').next().unwrap_or_default().to_owned(),
    };
    fields.push(Field::octets(names::FILE_ID, command.data).meaning(shown.clone()).at(base, command.data.len()));
    let mut whole = place.directory.shown();
    if place.file.is_some() {
        whole = format!("{whole}/{shown}");
    }
    fields.push(Field::text(names::SELECT_PATH, whole));
    let effect = match place.file {
        Some((id, name)) => Effect::File(place.directory, Some(id), name),
        None => Effect::Directory(place.directory),
    };
    (format!("SELECT {shown}"), effect)
}

/// Where a walk through identifiers has got.
struct Place {
    directory: Directory,
    file: Option<(u16, Option<&'static str>)>,
}

impl Place {
    /// To the file with this identifier: below, beside or above (TS 102 221 §8.4.1), only below within a path.
    fn step(self, id: u16, channel: &Channel, only_below: bool) -> Self {
        match id {
            MF => return Self { directory: Directory::mf(), file: None },
            CURRENT_ADF => {
                let adf = channel.application.as_deref().or(channel.directory.adf.as_deref());
                return Self { directory: adf.map_or_else(Directory::default, Directory::adf), file: None };
            }
            _ => {}
        }
        let here = self.directory;
        let above = here.above().filter(|_| !only_below);
        let candidates = [
            Some(here.clone()),
            above.clone(),
            above.and_then(|above| above.above()),
            Some(Directory::mf()).filter(|_| !only_below),
        ];
        for directory in candidates.into_iter().flatten() {
            if let Some(name) = directory.name_of(id) {
                return if is_directory(id, Some(name)) {
                    Self { directory: directory.below(id), file: None }
                } else {
                    Self { directory, file: Some((id, Some(name))) }
                };
            }
        }
        // Above: the current directory's own identifier, or its parent's.
        if let Some(at) = here.dfs.iter().position(|df| *df == id).filter(|_| !only_below) {
            let dfs = here.dfs.get(..=at).unwrap_or_default().to_vec();
            return Self { directory: Directory { dfs, ..here }, file: None };
        }
        if is_directory(id, None) {
            return Self { directory: here.below(id), file: None };
        }
        Self { directory: here, file: Some((id, None)) }
    }
}

/// By its name, else by the first octet that TS 102 221 §8.2 gives DFs.
fn is_directory(id: u16, name: Option<&str>) -> bool {
    name.map_or_else(|| matches!(id >> 8, 0x7F | 0x5F), |name| name.starts_with("DF.") || name.starts_with("ADF."))
}

pub(super) fn status(channel: &Channel, command: &Command<'_>) -> Read {
    let purpose = match command.p1 {
        0x00 => "no indication",
        0x01 => "the application is initialised in the terminal",
        0x02 => "the terminal will terminate the application",
        _ => "reserved",
    };
    let wanted = match command.p2 {
        0x00 => "FCP",
        0x01 => "DF name",
        0x0C => "no data",
        _ => "reserved",
    };
    let fields = [Field::text(names::STATUS_PURPOSE, purpose), Field::text(names::SELECT_RETURN, wanted)];
    let summary = format!("STATUS of {}", channel.directory.shown());
    Read::new(summary, Topic::File).with(fields).answered(template(command))
}

/// The file that a command is about, by its short identifier or because it is current; and its fields.
fn target(channel: &Channel, sfi: Option<u8>) -> (File, Vec<Field>) {
    let file = channel.target(sfi);
    let mut fields: Vec<Field> = sfi.map(|sfi| Field::number(names::SFI, sfi)).into_iter().collect();
    fields.push(Field::text(names::FILE, file.shown()));
    fields.push(Field::text(names::DIRECTORY, channel.directory.shown()));
    (file, fields)
}

pub(super) fn binary(walk: Walk, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let sfi = (command.p1 & 0x80 != 0).then_some(command.p1 & 0x1F);
    let offset = if sfi.is_some() { usize::from(command.p2) } else { usize::from(command.p1_p2()) };
    let (file, mut fields) = target(channel, sfi);
    fields.push(Field::number(names::OFFSET, offset as u64));
    let summary = format!("{} {}", name(command), file.shown());
    let content =
        crate::file::Content { directory: channel.directory.clone(), file: file.clone(), offset, record: None };
    let effect = sfi.map_or(Effect::None, Effect::Short);
    let read = Read::new(summary, Topic::File).has(effect);
    if command.ins == Ins::UPDATE_BINARY {
        fields.extend(crate::file::fields(&content, command.data, base, walk));
        return read.with(fields);
    }
    read.with(fields).answered(Answer::Content(content))
}

pub(super) fn record(walk: Walk, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let sfi = (command.p2 >> 3 != 0).then_some(command.p2 >> 3);
    let mode = match command.p2 & 0x07 {
        0x02 => "next",
        0x03 => "previous",
        0x04 if command.p1 == 0 => "current",
        0x04 => "absolute",
        _ => "reserved",
    };
    let (file, mut fields) = target(channel, sfi);
    fields.push(Field::number(names::RECORD, command.p1));
    fields.push(Field::text(names::RECORD_MODE, mode));
    let which = if mode == "absolute" { format!("record {}", command.p1) } else { format!("{mode} record") };
    let summary = format!("{} {}, {which}", name(command), file.shown());
    let directory = channel.directory.clone();
    let content = crate::file::Content { directory, file, offset: 0, record: Some(command.p1) };
    let read = Read::new(summary, Topic::File).has(sfi.map_or(Effect::None, Effect::Short));
    if command.ins == Ins::UPDATE_RECORD {
        fields.extend(crate::file::fields(&content, command.data, base, walk));
        return read.with(fields);
    }
    read.with(fields).answered(Answer::Content(content))
}

pub(super) fn search(walk: Walk, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let sfi = (command.p2 >> 3 != 0).then_some(command.p2 >> 3);
    let (file, mut fields) = target(channel, sfi);
    fields.push(Field::number(names::RECORD, command.p1));
    let mode = match command.p2 & 0x07 {
        0x04 => "forward from this record",
        0x05 => "backward from this record",
        0x06 => "enhanced search",
        _ => "reserved",
    };
    fields.push(Field::text(names::RECORD_MODE, mode));
    let pattern = if secret::is_key_file(&channel.directory, &file) {
        walk.secret(names::PATTERN, command.data)
    } else {
        Field::octets(names::PATTERN, command.data)
    };
    fields.push(pattern.at(base, command.data.len()));
    let summary = format!("SEARCH RECORD {}", file.shown());
    Read::new(summary, Topic::File).with(fields).answered(Answer::Records).has(sfi.map_or(Effect::None, Effect::Short))
}

/// APPEND RECORD. ISO/IEC 7816-4 §11.4.6
pub(super) fn append(walk: Walk, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let sfi = (command.p2 >> 3 != 0).then_some(command.p2 >> 3);
    let (file, mut fields) = target(channel, sfi);
    let summary = format!("APPEND RECORD, {}", file.shown());
    let directory = channel.directory.clone();
    let content = crate::file::Content { directory, file, offset: 0, record: Some(0) };
    fields.extend(crate::file::fields(&content, command.data, base, walk));
    Read::new(summary, Topic::File).with(fields).has(sfi.map_or(Effect::None, Effect::Short))
}

pub(super) fn increase(walk: Walk, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let sfi = (command.p1 & 0x80 != 0).then_some(command.p1 & 0x1F);
    on_file(walk, channel, command, base, sfi)
}

pub(super) fn ber_tlv(walk: Walk, channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    on_file(walk, channel, command, base, None)
}

/// A command on a file whose content has no reading here; of a file of keys neither is shown.
fn on_file(walk: Walk, channel: &Channel, command: &Command<'_>, base: Base, sfi: Option<u8>) -> Read {
    let (file, fields) = target(channel, sfi);
    let read = Read::new(format!("{} {}", name(command), file.shown()), Topic::File).with(fields);
    if secret::is_key_file(&channel.directory, &file) {
        let data = walk.secret(names::DATA, command.data).at(base, command.data.len());
        return read.with(Some(data).filter(|_| !command.data.is_empty())).answered(Answer::Secret);
    }
    read.with(data(command, base))
}

pub(super) fn activation(channel: &Channel, command: &Command<'_>, base: Base) -> Read {
    let mut named = Vec::new();
    if !command.data.is_empty() {
        let (shown, effect) = path(channel, command, base, &mut named);
        let shown = shown.strip_prefix("SELECT ").unwrap_or_default();
        let summary = format!("{} {shown}", name(command));
        return Read::new(summary.trim_end(), Topic::File).with(named).has(effect);
    }
    let (file, fields) = target(channel, None);
    Read::new(format!("{} {}", name(command), file.shown()), Topic::File).with(fields).with(data(command, base))
}
