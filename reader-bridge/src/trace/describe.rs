//! APDUs in words: names of instructions, status words and tags, and which bytes are secret.

use std::fmt::Write as _;

use apdu::{Class, Ins, StatusWord, tlv};
use iso7816_tlv::ber::{Tlv, Value};

/// Levels of nesting a pretty-printed response may have. A bound profile package has eight.
const DEPTH: usize = 16;

/// Names of tags that mean the same everywhere: templates, identifiers, the ES10 functions. GlobalPlatform §11.9,
/// SGP.22 §5.7.
const TAGS: &[(u32, &str)] = &[
    (0x4F, "AID"),
    (0x50, "application label"),
    (0x5A, "ICCID or EID"),
    (0x5C, "tag list"),
    (0x61, "application template"),
    (0x62, "FCP"),
    (0x6F, "FCI"),
    (0x84, "DF name"),
    (0xE0, "ISD-R proprietary template"),
    (0xE3, "profile or registry entry"),
    (0x5F37, "signature"),
    (0x7F21, "certificate"),
    (0x9F65, "maximum command data length"),
    (0x9F70, "profile state"),
    (0xBF20, "EuiccInfo1"),
    (0xBF21, "PrepareDownload"),
    (0xBF22, "EuiccInfo2"),
    (0xBF23, "InitialiseSecureChannel"),
    (0xBF25, "StoreMetadata"),
    (0xBF28, "ListNotification"),
    (0xBF29, "SetNickname"),
    (0xBF2A, "UpdateMetadata"),
    (0xBF2B, "RetrieveNotificationsList"),
    (0xBF2D, "GetProfilesInfo"),
    (0xBF2E, "GetEuiccChallenge"),
    (0xBF2F, "NotificationMetadata"),
    (0xBF30, "RemoveNotificationFromList"),
    (0xBF31, "EnableProfile"),
    (0xBF32, "DisableProfile"),
    (0xBF33, "DeleteProfile"),
    (0xBF34, "EuiccMemoryReset"),
    (0xBF35, "LoadCRL"),
    (0xBF36, "BoundProfilePackage"),
    (0xBF37, "ProfileInstallationResult"),
    (0xBF38, "AuthenticateServer"),
    (0xBF3C, "GetEuiccConfiguredAddresses"),
    (0xBF3E, "GetEuiccData"),
    (0xBF3F, "SetDefaultDpAddress"),
    (0xBF41, "CancelSession"),
    (0xBF43, "GetRAT"),
];

/// Names of tags inside an FCP. TS 102 221 §11.1.1.3.
const TAGS_IN_FCP: &[(u32, &str)] = &[
    (0x80, "file size"),
    (0x81, "total file size"),
    (0x82, "file descriptor"),
    (0x83, "file identifier"),
    (0x88, "SFI"),
    (0x8A, "life cycle status"),
    (0x8B, "security attributes, referenced"),
    (0x8C, "security attributes, compact"),
    (0xA5, "proprietary information"),
    (0xAB, "security attributes, expanded"),
    (0xC6, "PIN status"),
];

/// The FCP template.
const FCP: u32 = 0x62;

/// Instructions that mean something else under a proprietary class. GlobalPlatform §11.
const PROPRIETARY: &[(Ins, &str)] = &[(Ins(0xE4), "DELETE"), (Ins(0xE6), "INSTALL"), (Ins(0xE8), "LOAD")];

/// One line about a command: its name, P1 and P2, its channel, the function inside a STORE DATA.
pub fn describe_command(command: &[u8]) -> String {
    let [cla, ins, p1, p2, body @ ..] = command else { return "no command: fewer than four bytes".into() };
    let class = Class::parse(*cla);
    let proprietary = class.is_some_and(Class::is_proprietary);
    let ins = Ins(*ins);
    let renamed = PROPRIETARY.iter().find(|(number, _)| proprietary && *number == ins).map(|(_, name)| *name);
    let mut line = renamed.or_else(|| ins.name()).map_or_else(|| format!("{ins:?}"), |name| name.replace('_', " "));
    let _ = write!(line, " {p1:02X} {p2:02X}");
    match class {
        None => line.push_str(", reserved class"),
        Some(class) if class.channel() > 0 => {
            let _ = write!(line, ", channel {}", class.channel());
        }
        Some(_) => {}
    }
    if ins == Ins::STORE_DATA
        && let Some((_, data)) = body.split_first()
        && let Ok(Some(header)) = tlv::Header::parse(data)
        && let Some(name) = tag_name(None, header.tag.0)
    {
        let _ = write!(line, ", {name}");
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
                length => format!("{length} bytes, {meaning}"),
            }
        }
    }
}

/// Response data as an indented tree, one TLV per line; `None` if it is no BER-TLV.
pub fn pretty_tlv(data: &[u8]) -> Option<Vec<String>> {
    if data.is_empty() || tlv::check_depth(data, DEPTH).is_err() {
        return None;
    }
    let trees = Tlv::parse_all(data);
    // The parser gives up without a word on what it does not like; a tree that lost bytes would mislead.
    let known: usize = trees.iter().map(|tlv| tlv.to_vec().len()).sum();
    if known != data.len() {
        return None;
    }
    let mut lines = Vec::new();
    for tree in &trees {
        print(tree, None, 0, &mut lines);
    }
    Some(lines)
}

fn print(tlv: &Tlv, parent: Option<u32>, level: usize, lines: &mut Vec<String>) {
    let tag = tlv.tag().to_bytes();
    let number = tag.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let mut line = format!("{:1$}{2}", "", 2 * level, hex(tag));
    if let Value::Primitive(value) = tlv.value() {
        let _ = write!(line, " {}", hex(value));
    }
    if let Some(name) = tag_name(parent, number) {
        let _ = write!(line, "  {name}");
    }
    lines.push(line);
    if let Value::Constructed(children) = tlv.value() {
        for child in children {
            print(child, Some(number), level + 1, lines);
        }
    }
}

/// The name of a tag, which may depend on the template it is in.
fn tag_name(parent: Option<u32>, tag: u32) -> Option<&'static str> {
    let in_fcp: &[_] = if parent == Some(FCP) { TAGS_IN_FCP } else { &[] };
    in_fcp.iter().chain(TAGS).find(|(number, _)| *number == tag).map(|(_, name)| *name)
}

/// Upper-case hexadecimal without blanks.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
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
        assert_eq!(describe_command(&hex!("FFA40000")), "SELECT 00 00, reserved class");
        assert_eq!(describe_command(&[0]), "no command: fewer than four bytes");
    }

    #[test]
    fn responses_have_sentences() {
        assert_eq!(describe_response(&hex!("6A82")), "file or application not found");
        assert_eq!(describe_response(&hex!("01029000")), "2 bytes, normal ending of the command");
        assert_eq!(describe_response(&[]), "no answer");
    }

    #[test]
    fn trees_are_printed_and_noise_is_not() {
        let fcp = hex!("6217 8202 4121 8302 2FE2 8A01 05 8B03 2F0602 8002 000A 8801 10");
        let lines = pretty_tlv(&fcp).unwrap();
        assert_eq!(lines[..3], ["62  FCP", "  82 4121  file descriptor", "  83 2FE2  file identifier"]);
        let nested = pretty_tlv(&hex!("6206 A504 8302 1234")).unwrap();
        assert_eq!(
            nested[1..],
            ["  A5  proprietary information", "    83 1234"],
            "83 is a file identifier in the FCP alone"
        );
        assert_eq!(pretty_tlv(&hex!("984944999999990910F9")), None);
        assert_eq!(pretty_tlv(&[]), None);
        let deep: Vec<u8> = (0..40_u8).rev().flat_map(|below| [0x30, below * 2]).collect();
        assert_eq!(pretty_tlv(&deep), None);
    }
}
