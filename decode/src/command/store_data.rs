//! STORE DATA: blocks put together to a function of ES10, or to data for a security domain. SGP.22 §5.7.2, GlobalPlatform §11.11

use apdu::Command;
use apdu::tlv::{Header, Tlv};
use rsp::es10::FUNCTIONS;

use super::{Context, Read, unprotected};
use crate::answer::Answer;
use crate::channel::Channel;
use crate::field::{Base, Field, Source, Value};
use crate::names;
use crate::profile::Package;
use crate::session::Topic;
use crate::tables::ara;
use crate::tables::es10::{MESSAGES, Message};
use crate::tables::globalplatform::DATA_OBJECTS;

/// Bit 8 of P1: there are no more blocks.
const LAST: u8 = 0x80;
/// Bits 7 and 6 of P1: the data are encrypted. GlobalPlatform §11.11.2.1
const ENCRYPTION: u8 = 0x60;
/// Bits 5 and 4: DGIs or BER-TLV.
const STRUCTURE: u8 = 0x18;
const DATA_GROUPINGS: u8 = 0x08;
/// More octets than any message of ES10 has.
const LONGEST: usize = 1 << 20;

pub(super) fn read(context: &Context<'_>, channel: &mut Channel, command: &Command<'_>, base: Base) -> Read {
    let last = command.p1 & LAST != 0;
    let (plain, mac) = unprotected(command, base);
    let missing = expect(channel, command.p2);
    let place = Base::new(Source::Command, 2);
    let mut fields = vec![
        Field::number(names::STORE_DATA_BLOCK, command.p2).at(place.plus(1), 1),
        Field::new(names::STORE_DATA_LAST, Value::Flag(last)).at(place, 1),
    ];
    fields.extend(missing.map(|missing| Field::text(names::STORE_DATA_MISSING, missing)));
    fields.extend(mac);
    let alone = channel.chain.is_empty() && last;
    if channel.chain.len() + plain.len() <= LONGEST {
        channel.chain.extend_from_slice(plain);
    }
    channel.blocks = u64::from(command.p2) + 1;
    if last && channel.missing.is_none() {
        let request = core::mem::take(&mut channel.chain);
        channel.blocks = 0;
        let base = if alone { base } else { Base::new(Source::Request, 0) };
        return whole(context, channel, command.p1, &request, base).with_first(fields);
    }
    let tag = Header::parse(&channel.chain).ok().flatten().map(|header| header.tag.0);
    let function = function(channel, tag).filter(|_| channel.missing.is_none());
    // What is not for ISD-R may be keys.
    let open = function.is_some() || channel.is_isd_r();
    let data = if open { Field::octets(names::DATA, plain) } else { context.walk.secret(names::DATA, plain) };
    fields.push(data.at(base, plain.len()));
    fields.push(Field::number(names::STORE_DATA_SO_FAR, channel.chain.len() as u64));
    let of = function.map_or_else(String::new, |name| format!(" of {name}"));
    let summary = match (&channel.missing, last) {
        (None, _) => format!("STORE DATA, block {}{of}", command.p2),
        (Some(_), false) => format!("STORE DATA, block {}, of an incomplete request", command.p2),
        (Some(_), true) => format!("STORE DATA, block {}, the last of an incomplete request", command.p2),
    };
    if last {
        channel.chain.clear();
        (channel.blocks, channel.missing) = (0, None);
    }
    let topic = if channel.may_be_isd_r() { Topic::Es10 } else { Topic::GlobalPlatform };
    Read::new(summary, topic).with(fields)
}

/// Begins anew with block 0; what is missing before another one than the next. SGP.22 §5.7.2, GlobalPlatform §11.11.2.2
fn expect(channel: &mut Channel, block: u8) -> Option<String> {
    if block == 0 {
        channel.chain.clear();
        (channel.blocks, channel.missing) = (0, None);
        return None;
    }
    let block = u64::from(block);
    let missing = match channel.blocks {
        next if next == block => None,
        next if next + 1 == block => Some(format!("block {next}")),
        next if next < block => Some(format!("blocks {next} to {}", block - 1)),
        next => Some(format!("block {next}: this one came before")),
    };
    if missing.is_some() {
        channel.missing.clone_from(&missing);
    }
    missing
}

impl Read {
    /// The same with these fields before its own.
    fn with_first(mut self, mut fields: Vec<Field>) -> Self {
        fields.append(&mut self.fields);
        self.fields = fields;
        self
    }
}

/// The function that a request with this tag asks for, where one can be asked.
fn function(channel: &Channel, tag: Option<u32>) -> Option<&'static str> {
    if channel.package.as_ref().is_some_and(|_| matches!(tag, Some(0x86..=0x88 | 0xA0..=0xA3 | 0xBF23))) {
        return Some("LoadBoundProfilePackage");
    }
    FUNCTIONS
        .iter()
        .find(|function| channel.may_be_isd_r() && Some(function.tag.0) == tag)
        .map(|function| function.name)
}

/// A request whose last block has come.
fn whole(context: &Context<'_>, channel: &mut Channel, p1: u8, request: &[u8], base: Base) -> Read {
    if channel.may_be_isd_r() {
        if let Some(package) = Package::starting(request).or_else(|| {
            // A recording may begin within one.
            Package::resumed(request).filter(|_| channel.package.is_none() && p1 & ENCRYPTION == 0)
        }) {
            channel.package = Some(package);
        }
        if channel
            .package
            .as_ref()
            .is_some_and(|package| package.continues(request) || request.starts_with(&[0xBF, 0x36]))
        {
            return package(context, channel, request, base);
        }
        let tag = Header::parse(request).ok().flatten().map(|header| header.tag.0);
        if let Some(tag) = tag.filter(|tag| tag >> 8 == 0xBF) {
            return message(context, tag, request, base);
        }
    }
    let read = Read::new("STORE DATA", Topic::GlobalPlatform);
    if channel.is_ara() && p1 & ENCRYPTION == 0 {
        let asked = Header::parse(request).ok().flatten().and_then(|header| {
            ara::OBJECTS.iter().find(|object| object.tag == header.tag.0).map(|object| object.name.label)
        });
        let summary = asked.map_or_else(|| "STORE DATA".to_owned(), |asked| format!("STORE DATA, {asked}"));
        let fields = context.walk.fields(ara::OBJECTS, request, base);
        return Read::new(summary, Topic::GlobalPlatform).with(fields).answered(Answer::AccessRules);
    }
    if p1 & ENCRYPTION != 0 || p1 & STRUCTURE == DATA_GROUPINGS {
        return read.with([context.walk.secret(names::DATA, request).at(base, request.len())]);
    }
    // A security domain is given its keys like this as well.
    read.with(context.walk.wary().fields(DATA_OBJECTS, request, base))
}

fn package(context: &Context<'_>, channel: &mut Channel, request: &[u8], base: Base) -> Read {
    let Some(package) = channel.package.as_mut() else { return Read::new("STORE DATA", Topic::Es10) };
    let fields = package.feed(request, base, context.walk, context.keys);
    let part = fields.iter().find(|field| field.name != names::BPP_PACKAGE).map(|field| field.name.label);
    let summary = match part {
        Some(part) => format!("LoadBoundProfilePackage: {part}"),
        None => "LoadBoundProfilePackage".into(),
    };
    let function = Field::text(names::ES10_FUNCTION, "LoadBoundProfilePackage");
    Read::new(summary, Topic::Es10)
        .with([function, Field::group(names::ES10_REQUEST, fields).at(base, request.len())])
        .answered(Answer::Es10 { tag: 0xBF37, name: "ProfileInstallationResult" })
}

fn message(context: &Context<'_>, tag: u32, request: &[u8], base: Base) -> Read {
    let declared = FUNCTIONS.iter().find(|function| function.tag.0 == tag);
    let name = declared.map_or("unknown function", |function| function.name);
    let mut function = Field::text(names::ES10_FUNCTION, name);
    function = function.meaning(match declared {
        Some(declared) => format!("{}, SGP.22 §{}", declared.interface, declared.section),
        None => format!("tag {tag:04X}"),
    });
    let nodes = MESSAGES.iter().find(|message| message.tag == tag).map_or(&[][..], |message: &Message| message.request);
    let group = match Tlv::parse(request) {
        Ok(tlv) => {
            let inside = base.plus(request.len() - tlv.value.len());
            Field::group(names::ES10_REQUEST, context.walk.fields(nodes, tlv.value, inside))
        }
        Err(error) => Field::group(names::ES10_REQUEST, vec![Field::malformed(request, base, error.to_string())]),
    };
    Read::new(name, Topic::Es10).with([function, group.at(base, request.len())]).answered(Answer::Es10 { tag, name })
}
