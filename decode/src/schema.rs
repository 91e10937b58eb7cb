//! How the inside of a TLV looks, as tables: one [`Node`] for every tag that may stand in a place. One walk reads them all.

use apdu::Oid;
use apdu::tlv::{Header, Reader};

use crate::certificate;
use crate::digits;
use crate::field::{Base, Field, Hidden, Kind, Name, Value, hex};
use crate::names;

/// Levels of nesting that are followed. A bound profile package has eight.
pub(crate) const DEPTH: usize = 24;

/// A tag in its place.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Tag as it is written, `BF2F`.
    pub tag: u32,
    /// The field it becomes.
    pub name: Name,
    /// What its value looks like.
    pub form: Form,
}

/// What the value of a TLV looks like.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Octets without further meaning here.
    Octets,
    /// UTF-8.
    Text,
    /// Unsigned, most significant octet first.
    Number,
    /// A number with names.
    Codes(&'static [(i64, &'static str)]),
    /// A BIT STRING with names.
    Bits(&'static [(u8, &'static str)]),
    /// Decimal digits, first digit in the low half of each octet.
    Digits,
    /// Decimal digits in order.
    DigitsInOrder,
    /// An application identifier.
    Aid,
    /// An object identifier.
    Oid,
    /// Major, minor, revision.
    Version,
    /// BOOLEAN.
    Flag,
    /// Nothing: that it is there says it.
    Null,
    /// A list of tags, which are those of these elements.
    Tags(&'static [Node]),
    /// MCC and MNC.
    Plmn,
    /// Octets that are shown only on request.
    Secret,
    /// An X.509 certificate.
    Certificate,
    /// The card's report on a profile package.
    SimaResponse,
    /// Other TLVs.
    Inside(&'static [Node]),
    /// Read by a function of its own.
    Own(Kind, Own),
}

/// A function that reads a value.
#[derive(Clone, Copy, Debug)]
pub struct Own(pub(crate) fn(&[u8], Base) -> Reading);

/// What a function of its own makes of a value.
#[derive(Debug, Default)]
pub struct Reading {
    pub(crate) value: Option<Value>,
    pub(crate) meaning: Option<String>,
    pub(crate) fields: Vec<Field>,
}

impl Form {
    /// What the values of such a field are.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Number | Self::Codes(_) => Kind::Number,
            Self::Text
            | Self::Digits
            | Self::DigitsInOrder
            | Self::Oid
            | Self::Version
            | Self::Plmn
            | Self::Bits(_) => Kind::Text,
            Self::Flag => Kind::Flag,
            Self::Null | Self::Inside(_) | Self::Certificate | Self::SimaResponse => Kind::Group,
            Self::Octets | Self::Aid | Self::Tags(_) | Self::Secret => Kind::Octets,
            Self::Own(kind, _) => kind,
        }
    }
}

/// Rows of: tag, name, label, form. The name is put behind the group's.
macro_rules! nodes {
    ($group:literal: $($tag:literal $name:ident $label:literal $form:expr;)*) => {
        &[$($crate::schema::Node {
            tag: $tag,
            name: $crate::field::Name::new(concat!($group, ".", stringify!($name)), $label, $crate::schema::Form::kind($form)),
            form: $form,
        }),*]
    };
}
pub(crate) use nodes;

/// Whether what is secret is shown, and how deep a walk has got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub(crate) secrets: bool,
    /// What has no name in its place may be a secret.
    pub(crate) wary: bool,
    pub(crate) depth: usize,
}

impl Walk {
    pub(crate) const fn new(secrets: bool) -> Self {
        Self { secrets, wary: false, depth: DEPTH }
    }

    /// The same where what has no name may be a secret.
    pub(crate) const fn wary(self) -> Self {
        Self { wary: true, ..self }
    }

    /// A field of octets that are secret.
    pub(crate) fn secret(self, name: Name, octets: &[u8]) -> Field {
        let shown = self.secrets;
        Field::new(name, if shown { Value::Octets(octets.to_vec()) } else { Value::Hidden(Hidden::new(octets)) })
    }

    /// What could not be decoded, and why.
    pub(crate) fn malformed(self, octets: &[u8], base: Base, reason: impl Into<String>) -> Field {
        let field =
            if self.wary { self.secret(names::MALFORMED, octets) } else { Field::octets(names::MALFORMED, octets) };
        field.meaning(reason).at(base, octets.len())
    }

    /// Every TLV in `octets` as a field.
    ///
    /// Fields stand in the order of `nodes`, so that of two with the same tag the first is meant first; one that may come
    /// several times keeps its place.
    pub(crate) fn fields(self, nodes: &'static [Node], octets: &[u8], base: Base) -> Vec<Field> {
        let Some(depth) = self.depth.checked_sub(1) else {
            return vec![self.malformed(octets, base, "TLVs are nested too deeply")];
        };
        let walk = Self { depth, ..self };
        let (mut reader, mut fields, mut expected) = (Reader::new(octets), Vec::new(), 0);
        loop {
            let rest = reader.rest();
            let here = base.plus(octets.len() - rest.len());
            match reader.next() {
                Ok(None) => return fields,
                Err(error) => {
                    fields.push(self.malformed(rest, here, error.to_string()));
                    return fields;
                }
                Ok(Some(tlv)) => {
                    let later = nodes.iter().enumerate().skip(expected).find(|(_, node)| node.tag == tlv.tag.0);
                    let found = later.or_else(|| nodes.iter().enumerate().find(|(_, node)| node.tag == tlv.tag.0));
                    let inside = here.plus(tlv.raw.len() - tlv.value.len());
                    let field = match found {
                        Some((at, node)) => {
                            // The same tag further on is another field; without one, this field may come again.
                            let again = nodes.iter().skip(at + 1).any(|other| other.tag == tlv.tag.0);
                            expected = at + usize::from(again);
                            walk.field(node, tlv.value, inside)
                        }
                        None => walk.unknown(tlv.tag.0, tlv.value, inside),
                    };
                    fields.push(field.at(here, tlv.raw.len()));
                }
            }
        }
    }

    /// One TLV whose tag nothing is known of in its place.
    fn unknown(self, tag: u32, value: &[u8], inside: Base) -> Field {
        let meaning = format!("tag {tag:02X}");
        if self.wary {
            return self.secret(names::UNKNOWN, value).meaning(meaning).at(inside, value.len());
        }
        let field = Field::octets(names::UNKNOWN, value).meaning(meaning);
        if apdu::tlv::Tag(tag).is_constructed() && apdu::tlv::check_depth(value, self.depth.min(8)).is_ok() {
            return field.with(self.fields(&[], value, inside));
        }
        field
    }

    /// The value of one field.
    pub(crate) fn field(self, node: &'static Node, value: &[u8], inside: Base) -> Field {
        let read = read(node.form, value);
        match node.form {
            Form::Inside(nodes) => Field::group(node.name, self.fields(nodes, value, inside)),
            Form::Certificate => {
                // Its outer tag may be that of the field: what is inside is the same.
                Field::group(node.name, certificate::fields(value, inside))
            }
            Form::SimaResponse => Field::group(node.name, crate::profile::sima_response(value, inside)),
            Form::Own(_, Own(read)) => {
                let Reading { value: own, meaning, fields } = read(value, inside);
                Field::new(node.name, own.unwrap_or(Value::None)).meaning_if(meaning).with(fields)
            }
            Form::Secret if !self.secrets => Field::new(node.name, Value::Hidden(Hidden::new(value))),
            _ => match read {
                Some((value, meaning)) => Field::new(node.name, value).meaning_if(meaning),
                None => Field::new(node.name, Value::None).with(vec![self.malformed(
                    value,
                    inside,
                    "the value has another form than this field's",
                )]),
            },
        }
    }
}

/// A value without others inside, and what it means; nothing if it has another form.
fn read(form: Form, value: &[u8]) -> Option<(Value, Option<String>)> {
    let plain = |value| Some((value, None));
    match form {
        Form::Text => plain(Value::Text(core::str::from_utf8(value).ok()?.to_owned())),
        Form::Number => plain(number(value).map_or_else(|| Value::Octets(value.to_vec()), Value::Number)),
        Form::Codes(codes) => {
            let number = number(value)?;
            let name = codes.iter().find(|(code, _)| u64::try_from(*code) == Ok(number)).map(|(_, name)| *name);
            Some((Value::Number(number), Some(name.unwrap_or("a code without a name").to_owned())))
        }
        Form::Bits(names) => plain(Value::Text(bits(names, value)?)),
        Form::Digits => Some(decimal(digits::swapped(value))),
        Form::DigitsInOrder => Some(decimal(digits::straight(value))),
        Form::Aid => Some((Value::Octets(value.to_vec()), crate::application::name(value).map(str::to_owned))),
        Form::Oid => plain(Value::Text(Oid::new(value)?.dotted()?)),
        Form::Version => {
            let version: Vec<String> = value.iter().map(u8::to_string).collect();
            (!version.is_empty()).then(|| (Value::Text(version.join(".")), None))
        }
        Form::Flag => {
            let [flag] = value else { return None };
            plain(Value::Flag(*flag != 0))
        }
        Form::Null => value.is_empty().then_some((Value::None, None)),
        Form::Tags(nodes) => Some((Value::Octets(value.to_vec()), Some(tags(value, nodes)?))),
        Form::Plmn => plain(Value::Text(crate::file::plmn(*value.first_chunk()?))),
        _ => plain(Value::Octets(value.to_vec())),
    }
}

/// An unsigned number of up to eight octets.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    let value = value.iter().position(|octet| *octet != 0).map_or(&[][..], |first| value.get(first..).unwrap_or(&[]));
    (value.len() <= 8).then(|| value.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
}

/// Names of the bits that are set in a BIT STRING.
fn bits(names: &[(u8, &str)], value: &[u8]) -> Option<String> {
    let (&unused, octets) = value.split_first()?;
    let count = (octets.len() * 8).checked_sub(usize::from(unused))?;
    let set = (0..count).filter(|bit| octets.get(bit / 8).is_some_and(|octet| octet >> (7 - bit % 8) & 1 == 1));
    let set: Vec<String> = set
        .map(|bit| {
            let name = names.iter().find(|(number, _)| usize::from(*number) == bit).map(|(_, name)| (*name).to_owned());
            name.unwrap_or_else(|| format!("bit {bit}"))
        })
        .collect();
    Some(if set.is_empty() { "none".to_owned() } else { set.join(", ") })
}

/// Digits, with a word if they are none.
fn decimal(digits: String) -> (Value, Option<String>) {
    let meaning = digits::strange(&digits).map(str::to_owned);
    (Value::Text(digits), meaning)
}

/// The tags in a list of tags, apart from each other, with the names of their elements.
fn tags(value: &[u8], nodes: &[Node]) -> Option<String> {
    let (mut rest, mut tags) = (value, Vec::new());
    while !rest.is_empty() {
        // A length behind it makes it a header that can be read.
        let header = (1..=3.min(rest.len())).find_map(|octets| {
            let with_length = [rest.get(..octets)?, &[0]].concat();
            Header::parse(&with_length).ok().flatten().filter(|header| header.header_length == octets + 1)
        })?;
        let (tag, after) = rest.split_at_checked(header.header_length - 1)?;
        let number = tag.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
        let element = nodes.iter().find(|node| node.tag == number);
        tags.push(element.map_or_else(|| hex(tag), |node| format!("{} {}", hex(tag), node.name.label)));
        rest = after;
    }
    Some(tags.join(", "))
}
