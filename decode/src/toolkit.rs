//! Proactive commands and what belongs to them: COMPREHENSION-TLV objects. TS 102 223 §8.

use apdu::counted;
use apdu::tlv::{Tlv, comprehension};

use crate::digits;
use crate::field::{Base, Field, Hidden, Name, Value, hex};
use crate::names;
use crate::schema::Walk;
use crate::secret;
use crate::tables::toolkit::{COMMANDS, EVENTS, Form, OBJECTS, QUALIFIERS, RESULTS, device, name};

/// What FETCH brings.
pub(crate) fn proactive(data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let template = match Tlv::parse(data) {
        Ok(template) if template.tag.0 == 0xD0 => template,
        Ok(_) => return vec![Field::malformed(data, base, "no proactive command: another tag than D0")],
        Err(error) => return vec![Field::malformed(data, base, error.to_string())],
    };
    let fields = objects(template.value, base.plus(data.len() - template.value.len()), walk);
    let name = command_name(&fields).unwrap_or_else(|| "of a reserved type".into());
    vec![Field::text(names::CAT_COMMAND, name).with(fields).at(base, data.len())]
}

/// `REFRESH, UICC reset`, from the command details among these objects.
pub(crate) fn command_name(fields: &[Field]) -> Option<String> {
    let details = fields.iter().find(|field| field.name.name == "cat.command_details")?;
    let kind = details.find(names::CAT_TYPE.name)?.meaning.clone()?;
    let qualifier = details.find(names::CAT_QUALIFIER.name).and_then(|qualifier| qualifier.meaning.clone());
    Some(qualifier.map_or(kind.clone(), |qualifier| format!("{kind}, {qualifier}")))
}

/// Every object in `octets` as a field.
pub(crate) fn objects(octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let mut fields = all_objects(octets, base, walk);
    if !walk.secrets {
        conceal(&mut fields);
    }
    fields
}

/// Leaves out what a user typed into a hidden input, and the password of a data connection. TS 102 223 §6.4.3, §6.6.3, §6.4.27
fn conceal(fields: &mut [Field]) {
    const GET_INPUT: u64 = 0x23;
    const NOT_REVEALED: u64 = 0x04;
    const OPEN_CHANNEL: u64 = 0x40;
    let number = |name: Name| {
        let found = fields.iter().find_map(|field| field.find(name.name))?;
        if let Value::Number(number) = found.value { Some(number) } else { None }
    };
    let answered = fields.iter().any(|field| field.name.name == "cat.result");
    let first = match (number(names::CAT_TYPE), number(names::CAT_QUALIFIER)) {
        (Some(GET_INPUT), Some(qualifier)) if answered && qualifier & NOT_REVEALED != 0 => 0,
        // The login is before it.
        (Some(OPEN_CHANNEL), _) => 1,
        _ => return,
    };
    let is_text = |field: &&mut Field| field.name.name == "cat.text_string" || field.name == names::MALFORMED;
    for field in fields.iter_mut().filter(is_text).skip(first) {
        let length = field.place.as_ref().map_or(0, |place| place.octets.len());
        field.value = Value::Hidden(Hidden::of_value(&field.value, length));
    }
}

fn all_objects(octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let (mut at, mut fields) = (0, Vec::new());
    while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
        let mut reader = comprehension::Reader::new(rest);
        let object = match reader.next() {
            Ok(Some(object)) => object,
            Ok(None) => break,
            Err(error) => {
                fields.push(Field::malformed(rest, base.plus(at), error.to_string()));
                break;
            }
        };
        let header = header_length(rest);
        let inside = base.plus(at + header);
        let whole = header + object.value.len();
        let field = match OBJECTS.iter().find(|known| known.tag == object.tag) {
            Some(known) => {
                let (value, meaning, fields) = read(known.form, object.value, inside, walk);
                Field::new(known.name, value).meaning_if(meaning).with(fields)
            }
            None => Field::octets(names::UNKNOWN, object.value).meaning(format!("object {:02X}", object.tag)),
        };
        fields.push(field.at(base.plus(at), whole));
        at += whole;
    }
    fields
}

/// Octets of tag and length.
fn header_length(object: &[u8]) -> usize {
    let tag = if object.first() == Some(&0x7F) { 3 } else { 1 };
    let length = match object.get(tag) {
        Some(long @ 0x81..=0x83) => 1 + usize::from(long & 0x0F),
        _ => 1,
    };
    tag + length
}

type Reading = (Value, Option<String>, Vec<Field>);

fn read(form: Form, value: &[u8], base: Base, walk: Walk) -> Reading {
    let octets = || Value::Octets(value.to_vec());
    let text = |text: String| (Value::Text(text), None, Vec::new());
    match form {
        Form::CommandApdu if !walk.secrets && secret::of_apdu(value) => {
            (Value::Hidden(Hidden::new(value)), None, Vec::new())
        }
        Form::ResponseApdu if !walk.secrets && looks_like_keys(value) => {
            (Value::Hidden(Hidden::new(value)), None, Vec::new())
        }
        Form::Octets | Form::CommandApdu | Form::ResponseApdu => (octets(), None, Vec::new()),
        Form::Moment => (octets(), Some(crate::sms::moment(value)), Vec::new()),
        Form::Codes(codes) => match crate::schema::number(value) {
            Some(number) => {
                let words = u8::try_from(number).ok().and_then(|code| name(codes, code)).unwrap_or("reserved");
                (Value::Number(number), Some(words.to_owned()), Vec::new())
            }
            None => (octets(), None, Vec::new()),
        },
        Form::Number => match crate::schema::number(value) {
            Some(number) => (Value::Number(number), None, Vec::new()),
            None => (octets(), None, Vec::new()),
        },
        Form::CommandDetails => command_details(value, base),
        Form::Devices => {
            let named = |name, octet: &u8, at| Field::number(name, *octet).meaning(device(*octet)).at(base.plus(at), 1);
            let fields = match value {
                [from, to] => vec![named(names::CAT_SOURCE, from, 0), named(names::CAT_DESTINATION, to, 1)],
                _ => vec![Field::malformed(value, base, "device identities are two octets")],
            };
            (Value::None, None, fields)
        }
        Form::Result => {
            let words = value.first().map(|code| name(RESULTS, *code).unwrap_or("reserved").to_owned());
            (octets(), words, Vec::new())
        }
        Form::Duration => match *value {
            [unit, count] => {
                let unit =
                    ["min", "s", "tenths of a second"].get(usize::from(unit)).copied().unwrap_or("of a reserved unit");
                text(format!("{count} {unit}"))
            }
            _ => text(hex(value)),
        },
        Form::Alpha => text(sms::alpha::decode(value)),
        Form::CodedText => text(coded(value)),
        Form::Item => match value.split_first() {
            Some((number, label)) => text(format!("{number}: {}", sms::alpha::decode(label))),
            None => text("none".into()),
        },
        Form::Address => match value.split_first() {
            Some((kind, digits)) => text(crate::file::dialled(*kind, digits)),
            None => text(String::new()),
        },
        Form::Tpdu => (Value::None, None, crate::sms::tpdu(value, base, walk)),
        Form::Events => {
            let events: Vec<&str> = value.iter().map(|code| name(EVENTS, *code).unwrap_or("reserved")).collect();
            (octets(), Some(events.join(", ")), Vec::new())
        }
        Form::Identity => text(digits::swapped(value).chars().skip(1).collect()),
        Form::Aid => (octets(), crate::application::name(value).map(str::to_owned), Vec::new()),
        Form::Ascii => text(String::from_utf8_lossy(value).into_owned()),
        Form::Timer => {
            let parts: Vec<String> = value.iter().map(|octet| format!("{:02X}", octet.rotate_left(4))).collect();
            text(parts.join(":"))
        }
        Form::Files => (octets(), value.first().map(|count| counted(*count, "file")), Vec::new()),
        Form::Location => match value.split_first_chunk() {
            Some((plmn, rest)) => text(format!("{}, {}", crate::file::plmn(*plmn), hex(rest))),
            None => text(hex(value)),
        },
    }
}

/// Whether the response of another card looks like keys before its status word.
fn looks_like_keys(response: &[u8]) -> bool {
    secret::looks_like_keys(response.get(..response.len().saturating_sub(2)).unwrap_or_default())
}

fn command_details(value: &[u8], base: Base) -> Reading {
    let &[number, kind, qualifier] = value else {
        return (Value::None, None, vec![Field::malformed(value, base, "command details are three octets")]);
    };
    let words = QUALIFIERS.iter().find(|(of, code, _)| (*of, *code) == (kind, qualifier)).map(|(.., words)| *words);
    let fields = vec![
        Field::number(names::CAT_NUMBER, number).at(base, 1),
        Field::number(names::CAT_TYPE, kind).meaning(name(COMMANDS, kind).unwrap_or("reserved")).at(base.plus(1), 1),
        Field::number(names::CAT_QUALIFIER, qualifier).meaning_if(words).at(base.plus(2), 1),
    ];
    (Value::None, None, fields)
}

/// Text behind its data coding scheme.
fn coded(value: &[u8]) -> String {
    use sms::{Alphabet, DataCoding};
    let Some((&coding, text)) = value.split_first() else { return String::new() };
    match DataCoding(coding).alphabet() {
        Alphabet::Gsm7 => {
            let count = text.len() * 8 / 7;
            let text = sms::alphabet::decode(&sms::alphabet::unpack(text, 0, count));
            text.trim_end_matches('@').to_owned()
        }
        Alphabet::Ucs2 => sms::coding::decode_ucs2(text),
        // Eight bits to a character of the default alphabet.
        Alphabet::Data => sms::alphabet::decode(text),
    }
}
