//! A command and a response in a line each, without knowing what was before: for traces and mismatches.

use std::fmt::Write as _;

use apdu::{Class, Ins, StatusWord, counted, tlv};

use crate::field::{Base, Field, Source, Value};
use crate::names;
use crate::schema::Walk;
use crate::tables::{es10, fcp};

/// Levels of nesting a tree may have. A bound profile package has eight.
const DEPTH: usize = 16;

/// Instructions that mean something else under a proprietary class. GlobalPlatform §11.
const PROPRIETARY: &[(Ins, &str)] = &[(Ins(0xE4), "DELETE"), (Ins(0xE6), "INSTALL"), (Ins(0xE8), "LOAD")];

/// Instructions that mean something else under an interindustry class, or have no meaning there. ISO/IEC 7816-4 §5.4.2, TS 102 221
/// table 10.5
const INTERINDUSTRY: &[(Ins, Option<&str>)] = &[
    (Ins::TERMINAL_PROFILE, None),
    (Ins::FETCH, None),
    (Ins::TERMINAL_RESPONSE, None),
    (Ins::INCREASE, None),
    (Ins::INITIALIZE_UPDATE, None),
    (Ins::SUSPEND_UICC, None),
    (Ins::GET_IDENTITY, None),
    (Ins::EXCHANGE_CAPABILITIES, None),
    (Ins::TERMINAL_CAPABILITY, None),
    (Ins::RETRIEVE_DATA, Some("GET DATA")),
    (Ins::RESIZE_FILE, None),
    (Ins::PUT_KEY, None),
    (Ins::SET_DATA, Some("PUT DATA")),
    (Ins::STORE_DATA, Some("APPEND RECORD")),
    (Ins::SET_STATUS, None),
    (Ins::STATUS, None),
];

/// What instructions are called under the class of TS 51.011 §9.2.
const SIM: &[(Ins, &str)] = &[
    (Ins::DEACTIVATE_FILE, "INVALIDATE"),
    (Ins::VERIFY_PIN, "VERIFY CHV"),
    (Ins::CHANGE_PIN, "CHANGE CHV"),
    (Ins::DISABLE_PIN, "DISABLE CHV"),
    (Ins::ENABLE_PIN, "ENABLE CHV"),
    (Ins::UNBLOCK_PIN, "UNBLOCK CHV"),
    (Ins::ACTIVATE_FILE, "REHABILITATE"),
    (Ins::AUTHENTICATE, "RUN GSM ALGORITHM"),
    (Ins::SEARCH_RECORD, "SEEK"),
];

/// Whether an instruction has its name under another class than this one.
pub(crate) fn is_of_another_class(class: Class, ins: Ins) -> bool {
    !class.is_proprietary() && INTERINDUSTRY.iter().any(|(other, _)| *other == ins)
        || class.is_gsm() && ins == Ins::STORE_DATA
}

/// The name of an instruction under a class, with blanks; `INS FB` if it has none.
pub fn instruction(class: u8, ins: Ins) -> String {
    let parsed = Class::parse(class);
    let proprietary = parsed.is_some_and(|class| class.is_proprietary() && !class.is_gsm());
    if let Some(class) = parsed.filter(|class| is_of_another_class(*class, ins)) {
        let name = INTERINDUSTRY.iter().find(|(other, _)| *other == ins && !class.is_gsm()).and_then(|(_, name)| *name);
        return name.map_or_else(|| format!("INS {:02X}", ins.0), str::to_owned);
    }
    if let Some((_, name)) = SIM.iter().find(|(number, _)| parsed.is_some_and(Class::is_gsm) && *number == ins) {
        return (*name).to_owned();
    }
    let renamed = PROPRIETARY.iter().find(|(number, _)| proprietary && *number == ins).map(|(_, name)| *name);
    let name = renamed.or_else(|| ins.name()).map(|name| name.strip_suffix("_ODD").unwrap_or(name).replace('_', " "));
    name.unwrap_or_else(|| format!("{ins:?}"))
}

/// One line about a command: its name, P1 and P2, its channel, the function inside a STORE DATA.
pub fn describe_command(command: &[u8]) -> String {
    let [cla, ins, p1, p2, body @ ..] = command else { return "no command: fewer than four bytes".into() };
    let ins = Ins(*ins);
    let mut line = instruction(*cla, ins);
    let _ = write!(line, " {p1:02X} {p2:02X}");
    match Class::parse(*cla) {
        None => line.push_str(", reserved class"),
        Some(class) if class.channel() > 0 => {
            let _ = write!(line, ", channel {}", class.channel());
        }
        Some(_) => {}
    }
    if ins == Ins::STORE_DATA
        && Class::parse(*cla).is_some_and(|class| !is_of_another_class(class, ins))
        && let Some((_, data)) = body.split_first()
        && let Ok(Some(header)) = tlv::Header::parse(data)
        && let Some(function) = rsp::es10::FUNCTIONS.iter().find(|function| function.tag == header.tag)
    {
        let _ = write!(line, ", {}", function.name);
    }
    line
}

/// One line about a response: how many bytes, and what the status word says.
pub fn describe_response(response: &[u8]) -> String {
    match response {
        [] => "no answer".into(),
        [_] => "no response: a single byte".into(),
        [data @ .., sw1, sw2] => {
            let meaning = StatusWord::from([*sw1, *sw2]).description();
            match data.len() {
                0 => meaning.into(),
                length => format!("{}, {meaning}", counted(length, "byte")),
            }
        }
    }
}

/// Response data as an indented tree, one TLV per line; `None` if it is no BER-TLV.
pub fn pretty_tlv(data: &[u8]) -> Option<Vec<String>> {
    if data.is_empty() || tlv::check_depth(data, DEPTH).is_err() {
        return None;
    }
    let base = Base::new(Source::Response, 0);
    let walk = Walk::new(false);
    let mut lines = Vec::new();
    print(data, &tree(data, walk, base), 0, &mut lines);
    Some(lines)
}

/// Data of a response whose command is not known, by its first tag.
fn tree(data: &[u8], walk: Walk, base: Base) -> Vec<Field> {
    let Ok(Some(header)) = tlv::Header::parse(data) else { return Vec::new() };
    let known = match header.tag.0 {
        0x62 | 0x6F => fcp::TEMPLATES,
        0x61 => fcp::APPLICATION_TEMPLATE,
        tag => match es10::MESSAGES.iter().find(|message| message.tag == tag) {
            Some(message) if header.total_length() == data.len() => {
                let value = data.get(header.header_length..).unwrap_or_default();
                let inside = walk.fields(message.response, value, base.plus(header.header_length));
                let name = rsp::es10::FUNCTIONS.iter().find(|function| function.tag.0 == tag);
                let group = Field::group(names::ES10_RESPONSE, inside).at(base, data.len());
                return vec![group.meaning_if(name.map(|function| function.name))];
            }
            _ => crate::tables::globalplatform::DATA_OBJECTS,
        },
    };
    walk.fields(known, data, base)
}

/// One TLV on each line: tag, value if it holds no others, name.
fn print(data: &[u8], fields: &[Field], level: usize, lines: &mut Vec<String>) {
    let mut reader = tlv::Reader::new(data);
    let mut fields = fields.iter();
    while let Ok(Some(tlv)) = reader.next() {
        let field = fields.next();
        let mut line = format!("{:1$}{2}", "", 2 * level, tlv.tag);
        if !tlv.tag.is_constructed() {
            let _ = write!(line, " {}", crate::hex(tlv.value));
        }
        if let Some(field) = field {
            let label = field.meaning.as_deref().filter(|_| field.name == names::ES10_RESPONSE);
            let label = label.or_else(|| (field.name != names::UNKNOWN).then_some(field.name.label));
            let words = field
                .meaning
                .as_deref()
                .filter(|_| !matches!(field.value, Value::None) && field.name != names::UNKNOWN);
            for part in label.into_iter().chain(words) {
                let _ = write!(line, "  {part}");
            }
        }
        lines.push(line);
        if tlv.tag.is_constructed() {
            print(tlv.value, field.map_or(&[], |field| &field.fields), level + 1, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn commands_have_names() {
        assert_eq!(describe_command(&hex!("00A40004023F00")), "SELECT 00 04");
        assert_eq!(describe_command(&hex!("81E2910003BF2D00")), "STORE DATA 91 00, channel 1, GetProfilesInfo");
        assert_eq!(describe_command(&hex!("80E60C0000")), "INSTALL 0C 00");
        assert_eq!(describe_command(&hex!("00FB0000")), "INS FB 00 00");
        assert_eq!(describe_command(&hex!("0021000100")), "VERIFY 00 01");
        assert_eq!(describe_command(&hex!("0010000001FF")), "INS 10 00 00");
        assert_eq!(describe_command(&hex!("A010000001FF")), "TERMINAL PROFILE 00 00");
        assert_eq!(describe_command(&hex!("00E2000003BF2D00")), "APPEND RECORD 00 00");
        assert_eq!(describe_command(&hex!("FFA40000")), "SELECT 00 00, reserved class");
        assert_eq!(describe_command(&[0]), "no command: fewer than four bytes");
    }

    #[test]
    fn responses_have_sentences() {
        assert_eq!(describe_response(&hex!("6A82")), "file or application not found");
        assert_eq!(describe_response(&hex!("01029000")), "2 bytes, normal ending of the command");
        assert_eq!(describe_response(&hex!("019000")), "1 byte, normal ending of the command");
        assert_eq!(describe_response(&[]), "no answer");
    }

    #[test]
    fn trees_are_printed_and_noise_is_not() {
        let fcp = hex!("6217 8202 4121 8302 2FE2 8A01 05 8B03 2F0602 8002 000A 8801 10");
        let lines = pretty_tlv(&fcp).unwrap();
        assert_eq!(
            lines[..3],
            ["62  FCP", "  82 4121  file descriptor  transparent, shareable", "  83 2FE2  file identifier"]
        );
        let nested = pretty_tlv(&hex!("6206 A504 8302 1234")).unwrap();
        assert_eq!(
            nested[1..],
            ["  A5  proprietary information", "    83 1234  available memory"],
            "83 is a file identifier in the FCP alone"
        );
        assert_eq!(pretty_tlv(&hex!("BF3E035C015A")).unwrap()[0], "BF3E  GetEID");
        assert_eq!(pretty_tlv(&hex!("984944999999990910F9")), None);
        assert_eq!(pretty_tlv(&[]), None);
        let deep: Vec<u8> = (0..40_u8).rev().flat_map(|below| [0x30, below * 2]).collect();
        assert_eq!(pretty_tlv(&deep), None);
    }
}
