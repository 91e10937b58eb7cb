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
use crate::tables::es10::{MESSAGES, Message};
use crate::tables::globalplatform::DATA_OBJECTS;

/// Bit 8 of P1: there are no more blocks.
const LAST: u8 = 0x80;
/// More octets than any message of ES10 has.
const LONGEST: usize = 1 << 20;

pub(super) fn read(context: &Context<'_>, channel: &mut Channel, command: &Command<'_>, base: Base) -> Read {
    let last = command.p1 & LAST != 0;
    let (plain, mac) = unprotected(command, base);
    if command.p2 == 0 {
        channel.chain.clear();
        channel.blocks = 0;
    }
    let place = Base::new(Source::Command, 2);
    let mut fields = vec![
        Field::number(names::STORE_DATA_BLOCK, command.p2).at(place.plus(1), 1),
        Field::new(names::STORE_DATA_LAST, Value::Flag(last)).at(place, 1),
    ];
    fields.extend(mac);
    let alone = channel.chain.is_empty() && last;
    if channel.chain.len() + plain.len() <= LONGEST {
        channel.chain.extend_from_slice(plain);
    }
    channel.blocks += 1;
    if !last {
        let tag = Header::parse(&channel.chain).ok().flatten().map(|header| header.tag.0);
        let function = function(channel, tag).map_or_else(String::new, |name| format!(" of {name}"));
        fields.push(Field::octets(names::DATA, plain).at(base, plain.len()));
        fields.push(Field::number(names::STORE_DATA_SO_FAR, channel.chain.len() as u64));
        let topic = if channel.may_be_isd_r() { Topic::Es10 } else { Topic::GlobalPlatform };
        return Read::new(format!("STORE DATA, block {}{function}", command.p2), topic).with(fields);
    }
    let request = core::mem::take(&mut channel.chain);
    let base = if alone { base } else { Base::new(Source::Request, 0) };
    whole(context, channel, &request, base).with_first(fields)
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
fn whole(context: &Context<'_>, channel: &mut Channel, request: &[u8], base: Base) -> Read {
    if channel.may_be_isd_r() {
        if let Some(package) = Package::starting(request) {
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
    let fields = context.walk.fields(DATA_OBJECTS, request, base);
    Read::new("STORE DATA", Topic::GlobalPlatform).with(fields)
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
