//! What SELECT and STATUS answer: FCP, FCI. TS 102 221 §11.1.1.3, GlobalPlatform §11.9.3.

use crate::field::{Base, Field, Kind, Value};
use crate::names;
use crate::schema::{
    Form::{Aid, Inside, Null, Number, Octets, Own},
    Node, Reading, nodes,
};
use crate::tables::es10::ISDR_TEMPLATE;

const fn by(read: fn(&[u8], Base) -> Reading) -> crate::schema::Own {
    crate::schema::Own(read)
}

/// The templates that an answer may be.
pub(crate) static TEMPLATES: &[Node] = nodes!("fcp":
    0x62 template "FCP" Inside(FCP);
    0x6F fci "FCI" Inside(FCI);
);

static FCP: &[Node] = nodes!("fcp":
    0x80 file_size "file size" Number;
    0x81 total_file_size "total file size" Number;
    0x82 file_descriptor "file descriptor" Own(Kind::Octets, by(descriptor));
    0x83 file_id "file identifier" Octets;
    0x84 df_name "DF name" Aid;
    0x88 sfi "short file identifier" Own(Kind::Number, by(short_file_id));
    0x8A life_cycle "life cycle status" Own(Kind::Number, by(life_cycle));
    0x8B security_referenced "security attributes, referenced" Own(Kind::Octets, by(referenced));
    0x8C security_compact "security attributes, compact" Octets;
    0xA5 proprietary "proprietary information" Inside(PROPRIETARY);
    0xAB security_expanded "security attributes, expanded" Own(Kind::Group, by(access_rules));
    0xC6 pin_status "PIN status" Inside(PIN_STATUS);
);

static PROPRIETARY: &[Node] = nodes!("fcp":
    0x80 uicc_characteristics "UICC characteristics" Octets;
    0x81 power_consumption "application power consumption" Octets;
    0x82 minimum_clock "minimum application clock frequency" Number;
    0x83 available_memory "available memory" Number;
    0x84 file_details "file details" Octets;
    0x85 reserved_file_size "reserved file size" Number;
    0x86 maximum_file_size "maximum file size" Number;
    0x87 system_commands "supported system commands" Own(Kind::Octets, by(system_commands));
    0x88 uicc_environment "specific UICC environmental conditions" Octets;
    0x89 platform_secured_apdu "platform to platform CAT secured APDU" Octets;
    0x91 sim_file_information "special file information (proprietary)" Octets;
    0x9B linked_file "path of the file it is a link to (proprietary)" Octets;
    0xC0 special_file_information "special file information" Octets;
    0xC1 filling_pattern "filling pattern" Octets;
    0xC2 repeat_pattern "repeat pattern" Octets;
    0xD2 toolkit_access "toolkit access conditions (proprietary)" Octets;
);

static PIN_STATUS: &[Node] = nodes!("fcp":
    0x90 pin_enabled "PIN status DO" Octets;
    0x95 usage_qualifier "usage qualifier" Own(Kind::Number, by(usage_qualifier));
    0x83 key_reference "key reference" Own(Kind::Number, by(key_reference_reading));
);

static FCI: &[Node] = nodes!("fcp":
    0x84 df_name "DF name" Aid;
    0xA5 fci_proprietary "proprietary data" Inside(FCI_PROPRIETARY);
    0xE0 isdr_template "ISDRProprietaryApplicationTemplate" Inside(ISDR_TEMPLATE);
);

static FCI_PROPRIETARY: &[Node] = nodes!("fcp":
    0x73 security_domain_data "security domain management data" Octets;
    0x9F6E production_life_cycle "application production life cycle data" Octets;
    0x9F65 maximum_command_data "maximum length of command data" Number;
    0xE0 isdr_template "ISDRProprietaryApplicationTemplate" Inside(ISDR_TEMPLATE);
);

/// An access rule in expanded format, and what of it EF.ARR has. TS 102 221 §9.2.4.
pub(crate) static ACCESS_RULE: &[Node] = nodes!("arr":
    0x80 access_mode "access mode" Own(Kind::Number, by(access_mode));
    0x81 access_p2 "access mode, P2" Octets;
    0x82 access_p1 "access mode, P1" Octets;
    0x83 access_p1_p2 "access mode, P1 P2" Octets;
    0x84 access_instruction "access mode, instruction" Octets;
    0x85 access_instruction_p2 "access mode, instruction and P2" Octets;
    0x86 access_instruction_p1 "access mode, instruction and P1" Octets;
    0x87 access_instruction_p1_p2 "access mode, instruction, P1 P2" Octets;
    0x88 access_class "access mode, class" Octets;
    0x89 access_class_p2 "access mode, class and P2" Octets;
    0x8A access_class_p1 "access mode, class and P1" Octets;
    0x8B access_class_p1_p2 "access mode, class, P1 P2" Octets;
    0x8C access_class_instruction "access mode, class and instruction" Octets;
    0x8D access_class_instruction_p2 "access mode, class, instruction, P2" Octets;
    0x8E access_class_instruction_p1 "access mode, class, instruction, P1" Octets;
    0x8F access_header "access mode, header of the command" Octets;
    0x9E security_condition "security condition" Octets;
    0x90 always "always" Null;
    0x97 never "never" Null;
    0xA4 control_reference "control reference" Inside(CONTROL_REFERENCE);
    0xA0 any_of "any of" Inside(CONDITIONS);
    0xA7 none_of "not" Inside(CONDITIONS);
    0xAF all_of "all of" Inside(CONDITIONS);
);
static CONDITIONS: &[Node] = nodes!("arr":
    0x90 always "always" Null;
    0x97 never "never" Null;
    0xA4 control_reference "control reference" Inside(CONTROL_REFERENCE);
    0xA0 any_of "any of" Inside(NESTED_CONDITIONS);
    0xAF all_of "all of" Inside(NESTED_CONDITIONS);
);
static NESTED_CONDITIONS: &[Node] = nodes!("arr":
    0x90 always "always" Null;
    0x97 never "never" Null;
    0xA4 control_reference "control reference" Inside(CONTROL_REFERENCE);
);
static CONTROL_REFERENCE: &[Node] = nodes!("arr":
    0x83 key_reference "key reference" Own(Kind::Number, by(key_reference_reading));
    0x95 usage_qualifier "usage qualifier" Own(Kind::Number, by(usage_qualifier));
);

/// Entries of EF.DIR. TS 102 221 §13.1.
pub(crate) static APPLICATION_TEMPLATE: &[Node] = nodes!("dir":
    0x61 application "application template" Inside(APPLICATION);
);
static APPLICATION: &[Node] = nodes!("dir":
    0x4F aid "AID" Aid;
    0x50 label "label" Own(Kind::Text, by(label));
    0x73 discretionary "discretionary template" Octets;
);

/// TERMINAL CAPABILITY. TS 102 221 §11.1.19.2.
pub(crate) static TERMINAL_CAPABILITY: &[Node] = nodes!("terminal_capability":
    0xA9 template "terminal capability template" Inside(CAPABILITIES);
);
static CAPABILITIES: &[Node] = nodes!("terminal_capability":
    0x80 power_supply "terminal power supply" Octets;
    0x81 extended_logical_channels "extended logical channels" Octets;
    0x82 additional_interfaces "additional interfaces support" Own(Kind::Number, by(interfaces));
    0x83 euicc "eUICC-related capabilities" Own(Kind::Number, by(euicc_capabilities));
    0x84 euicc_m2m "eUICC-related capabilities of IoT" Octets;
    0x85 multiple_profiles "multiple enabled profiles" Octets;
);

/// EXCHANGE CAPABILITIES. TS 102 221 §11.1.24.
pub(crate) static EXCHANGED_CAPABILITIES: &[Node] = nodes!("exchange_capabilities":
    0x80 terminal "terminal capabilities" Octets;
    0x81 uicc "UICC capabilities" Octets;
);

/// Structures of EFs, by the last three bits of the file descriptor.
const STRUCTURES: &[(u8, &str)] = &[(0, "no structure"), (1, "transparent"), (2, "linear fixed"), (6, "cyclic")];

/// TS 102 221 §11.1.1.4.3.
fn descriptor(value: &[u8], base: Base) -> Reading {
    let Some(&first) = value.first() else { return Reading::default() };
    let structure = match first & 0x3F {
        0x38 => "DF or ADF",
        0x39 => "BER-TLV structure EF",
        kind => match (kind & 0x38, kind & 0x07) {
            (0x08, _) => "internal EF",
            (_, structure) => {
                STRUCTURES.iter().find(|(code, _)| *code == structure).map_or("reserved", |(_, name)| name)
            }
        },
    };
    let shareable = if first & 0x40 == 0 { ", not shareable" } else { ", shareable" };
    let mut fields = Vec::new();
    // Where a file is created their number may be left out. TS 102 222 §6.3.2.2.1
    if let Some((length, records)) = value.get(2..).and_then(<[u8]>::split_first_chunk) {
        fields.push(Field::number(names::FCP_RECORD_LENGTH, u16::from_be_bytes(*length)).at(base.plus(2), 2));
        fields.extend(records.first().map(|records| Field::number(names::FCP_RECORDS, *records).at(base.plus(4), 1)));
    }
    Reading { value: Some(octets(value)), meaning: Some(format!("{structure}{shareable}")), fields }
}

/// TS 102 221 §11.1.1.4.8.
fn short_file_id(value: &[u8], _: Base) -> Reading {
    match value {
        [] => Reading { meaning: Some("none".into()), ..Reading::default() },
        [sfi, ..] => Reading { value: Some(Value::Number((sfi >> 3).into())), ..Reading::default() },
    }
}

/// TS 102 221 §11.1.1.4.9.
fn life_cycle(value: &[u8], _: Base) -> Reading {
    let Some(&status) = value.first() else { return Reading::default() };
    let meaning = match status {
        0x00 => "no information",
        0x01 => "creation",
        0x03 => "initialisation",
        0x05 | 0x07 => "operational, activated",
        0x04 | 0x06 => "operational, deactivated",
        0x0C..=0x0F => "terminated",
        _ => "proprietary",
    };
    number(status, meaning)
}

/// TS 102 221 §11.1.1.4.7.1.
fn referenced(value: &[u8], base: Base) -> Reading {
    let mut fields = Vec::new();
    if let [high, low, rest @ ..] = value {
        fields.push(Field::octets(names::FCP_ARR_FILE, &[*high, *low]).at(base, 2));
        match rest {
            [record] => fields.push(Field::number(names::FCP_ARR_RECORD, *record).at(base.plus(2), 1)),
            pairs => {
                for (at, pair) in pairs.chunks_exact(2).enumerate() {
                    let [environment, record] = pair else { continue };
                    let field = Field::number(names::FCP_ARR_RECORD, *record);
                    let environment = format!("in security environment {environment:02X}");
                    fields.push(field.meaning(environment).at(base.plus(2 + 2 * at), 2));
                }
            }
        }
    }
    Reading { value: Some(octets(value)), meaning: None, fields }
}

fn access_rules(value: &[u8], base: Base) -> Reading {
    let fields = crate::schema::Walk::new(false).fields(ACCESS_RULE, value, base);
    Reading { fields, ..Reading::default() }
}

/// TS 102 221 §11.1.1.4.6.9.
fn system_commands(value: &[u8], _: Base) -> Reading {
    let terminal_capability = value.first().is_some_and(|first| first & 1 == 1);
    let meaning = terminal_capability.then(|| "TERMINAL CAPABILITY".to_owned());
    Reading { value: Some(octets(value)), meaning, fields: Vec::new() }
}

/// TS 102 221 §9.5.2.
fn usage_qualifier(value: &[u8], _: Base) -> Reading {
    let Some(&qualifier) = value.first() else { return Reading::default() };
    let meaning = if qualifier & 0x08 == 0 { "verification not required" } else { "verify the PIN" };
    number(qualifier, meaning)
}

/// TS 102 221 table 9.3.
fn key_reference_reading(value: &[u8], _: Base) -> Reading {
    let Some(&reference) = value.first() else { return Reading::default() };
    number(reference, &key_reference(reference))
}

/// The name of a key reference. TS 102 221 table 9.3.
pub(crate) fn key_reference(reference: u8) -> String {
    match reference {
        0x01..=0x08 => format!("PIN1 of application {reference}"),
        0x0A..=0x0E => format!("ADM{}", reference - 0x09),
        0x11 => "universal PIN".into(),
        0x81..=0x88 => format!("PIN2 of application {}", reference - 0x80),
        0x8A..=0x8E => format!("ADM{}", reference - 0x8A + 6),
        _ => "reserved".into(),
    }
}

/// TS 102 221 tables 9.4 and 9.5: what an access mode allows. The lowest bits say another thing of a DF, and the rule does not say
/// whose it is.
fn access_mode(value: &[u8], _: Base) -> Reading {
    const OF_EF: [&str; 3] = ["read", "update", "write"];
    const OF_DF: [&str; 3] = ["delete child", "create EF", "create DF"];
    const OF_BOTH: [&str; 4] = ["deactivate", "activate", "terminate", "delete"];
    let Some(&mode) = value.first() else { return Reading::default() };
    let names = |names: &[&'static str], from: usize| {
        let set = names.iter().enumerate().filter(|(bit, _)| mode >> (from + bit) & 1 == 1);
        set.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    };
    let mut allowed = Vec::new();
    if mode & 0x07 != 0 {
        allowed.push(format!("{} (of a DF: {})", names(&OF_EF, 0), names(&OF_DF, 0)));
    }
    allowed.extend(Some(names(&OF_BOTH, 3)).filter(|names| !names.is_empty()));
    number(mode, &allowed.join(", "))
}

/// Which PINs of a PIN status template are enabled: the PIN status DO has a bit for each key reference behind it, from the highest
/// on. TS 102 221 §9.5.2
pub(crate) fn explain_pin_status(field: &mut Field) {
    if field.name.name == "fcp.pin_status" {
        let references = field.fields.iter().filter(|field| field.name.name == "fcp.key_reference");
        let references: Vec<String> = references.filter_map(|reference| reference.meaning.clone()).collect();
        let enabled = field.fields.iter_mut().find(|field| field.name.name == "fcp.pin_enabled");
        if let Some(enabled) = enabled
            && let Value::Octets(bits) = &enabled.value
        {
            let is_set = |at: usize| bits.get(at / 8).is_some_and(|octet| octet >> (7 - at % 8) & 1 == 1);
            let states = references
                .iter()
                .enumerate()
                .map(|(at, reference)| format!("{reference} {}", if is_set(at) { "enabled" } else { "disabled" }));
            enabled.meaning = Some(states.collect::<Vec<_>>().join(", ")).filter(|states| !states.is_empty());
        }
    }
    field.fields.iter_mut().for_each(explain_pin_status);
}

/// EF.DIR's label: text of the GSM alphabet, or UCS2, padded with FF.
fn label(value: &[u8], _: Base) -> Reading {
    Reading { value: Some(Value::Text(sms::alpha::decode(value))), ..Reading::default() }
}

/// TS 102 221 §11.1.19.2.3.
fn interfaces(value: &[u8], _: Base) -> Reading {
    let Some(&first) = value.first() else { return Reading::default() };
    number(first, if first & 1 == 1 { "UICC-CLF" } else { "none" })
}

/// TS 102 221 §11.1.19.2.4.
fn euicc_capabilities(value: &[u8], _: Base) -> Reading {
    const CAPABILITIES: [&str; 5] = [
        "local user interface in the device (LUId)",
        "local profile download in the device (LPDd)",
        "local discovery in the device (LDSd)",
        "local user interface in the eUICC (LUIe), by SCWS",
        "metadata update alerting",
    ];
    let Some(&first) = value.first() else { return Reading::default() };
    let set: Vec<&str> =
        CAPABILITIES.iter().enumerate().filter(|(bit, _)| first >> bit & 1 == 1).map(|(_, name)| *name).collect();
    number(first, &set.join(", "))
}

fn octets(value: &[u8]) -> Value {
    Value::Octets(value.to_vec())
}

fn number(value: u8, meaning: &str) -> Reading {
    let meaning = (!meaning.is_empty()).then(|| meaning.to_owned());
    Reading { value: Some(Value::Number(value.into())), meaning, fields: Vec::new() }
}

/// What an FCP says of a file that later commands depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) is_directory: bool,
    pub(crate) file_id: Option<u16>,
    pub(crate) df_name: Option<Vec<u8>>,
    pub(crate) sfi: Option<u8>,
    pub(crate) size: Option<usize>,
}

impl Known {
    /// Reads it from the data of an answer; nothing of what is no FCP or FCI.
    pub(crate) fn read(data: &[u8]) -> Self {
        let mut known = Self::default();
        let Ok(template) = apdu::tlv::Tlv::parse(data) else { return known };
        let mut children = template.children();
        while let Ok(Some(child)) = children.next() {
            match (child.tag.0, child.value) {
                (0x80, size) => known.size = crate::schema::number(size).and_then(|size| usize::try_from(size).ok()),
                (0x82, [first, ..]) => known.is_directory = first & 0x3F == 0x38,
                (0x83, &[high, low]) => known.file_id = Some(u16::from_be_bytes([high, low])),
                (0x84, name) => known.df_name = Some(name.to_vec()),
                (0x88, [sfi, ..]) => known.sfi = Some(sfi >> 3),
                _ => {}
            }
        }
        known
    }
}
