//! What a response says: its data by the command that asked for them, its status word in the context of the command.

use apdu::tlv::Tlv;
use apdu::{Ins, StatusWord, counted};

use crate::channel::Channel;
use crate::field::{Base, Field, Name, Value};
use crate::file::Content;
use crate::names;
use crate::schema::Walk;
use crate::secret::is_secret;
use crate::tables::ara;
use crate::tables::es10::{MESSAGES, PROFILE_INSTALLATION_RESULT};
use crate::tables::fcp::{Known, TEMPLATES};
use crate::tables::globalplatform::{DATA_OBJECTS, REGISTRY};

/// What the data of a response are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing is known of them.
    Data,
    /// Nothing is known of them, but they may be keys.
    Secret,
    /// FCP or FCI.
    Template,
    /// What SELECT and STATUS of a SIM answer.
    GsmHeader,
    /// Content of a file or record.
    Content(Content),
    /// Numbers of records.
    Records,
    /// None, but the status word tells of tries.
    Pin {
        /// Nothing was to be verified: that was the question.
        query: bool,
    },
    /// The number of a channel.
    Channel,
    /// Results of an authentication.
    Authenticate(Security),
    /// A random number.
    Challenge,
    /// SUPI, concealed.
    Identity,
    /// Duration and token.
    Suspend,
    /// A message of ES10.
    Es10 {
        /// Its tag.
        tag: u32,
        /// The function that was asked for.
        name: &'static str,
    },
    /// An object of GET DATA.
    Object(u32),
    /// Access rules, or what else that application says.
    AccessRules,
    /// Entries of GET STATUS.
    Registry,
    /// INITIALIZE UPDATE.
    InitializeUpdate,
    /// Key check values.
    Keys,
    /// A proactive command.
    Proactive,
    /// What an application answers to an envelope.
    Envelope,
}

/// How an authentication is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// SRES and Kc, each after its length.
    Gsm,
    /// SRES and Kc, without lengths.
    GsmAlgorithm,
    /// RES, CK, IK, perhaps Kc; or AUTS.
    ThreeG,
    /// Ks_ext_NAF.
    Naf,
    /// RES alone, or AUTS; what follows from them stays in the card.
    Bootstrapping,
    /// VSTK.
    Vgcs,
    /// BER-TLV: MBMS, local keys.
    Tlv,
}

impl Answer {
    /// Whether a part of it may be a key, whatever the other parts are.
    pub(crate) fn is_secret(&self) -> bool {
        match self {
            Self::Secret | Self::Authenticate(_) => true,
            Self::Content(content) => content.holds_keys(),
            _ => false,
        }
    }
}

/// Values that stand one after another, each behind its length.
pub(crate) fn length_values(names: &[Name], octets: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let (mut rest, mut at, mut fields) = (octets, 0, Vec::new());
    // Among keys, what does not fit may be a part of one.
    let walk = if names.iter().any(|name| is_secret(*name)) { walk.wary() } else { walk };
    for name in names {
        let Some((&length, after)) = rest.split_first() else { return fields };
        let Some((value, after)) = after.split_at_checked(usize::from(length)) else {
            fields.push(walk.malformed(rest, base.plus(at), format!("the length of {} exceeds the data", name.label)));
            return fields;
        };
        let field = match name.kind {
            _ if is_secret(*name) => walk.secret(*name, value),
            crate::field::Kind::Text => Field::text(*name, String::from_utf8_lossy(value)),
            _ => Field::octets(*name, value),
        };
        fields.push(field.at(base.plus(at + 1), value.len()));
        at += 1 + value.len();
        rest = after;
    }
    if !rest.is_empty() {
        let field = if walk.wary { walk.secret(names::DATA, rest) } else { Field::octets(names::DATA, rest) };
        fields.push(field.at(base.plus(at), rest.len()));
    }
    fields
}

/// The data of a whole response.
pub(crate) fn fields(answer: &Answer, channel: &mut Channel, data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let octets = |name| vec![Field::octets(name, data).at(base, data.len())];
    match answer {
        Answer::Template if data.first().is_some_and(|tag| matches!(tag, 0x62 | 0x6F)) => {
            channel.learn(&Known::read(data));
            let mut fields = walk.fields(TEMPLATES, data, base);
            fields.iter_mut().for_each(crate::tables::fcp::explain_pin_status);
            fields
        }
        Answer::Data | Answer::Template | Answer::Pin { .. } => octets(names::DATA),
        Answer::Secret => vec![walk.secret(names::DATA, data).at(base, data.len())],
        Answer::GsmHeader => crate::gsm::header(channel, data, base),
        Answer::Content(content) => content_fields(content, channel, data, base, walk),
        Answer::Records => octets(names::RECORD_NUMBERS),
        Answer::Channel => match data {
            [number] => vec![Field::number(names::CHANNEL_NUMBER, *number).at(base, 1)],
            _ => octets(names::DATA),
        },
        Answer::Authenticate(security) => authentication(*security, data, base, walk),
        Answer::Challenge => octets(names::CHALLENGE),
        Answer::Suspend => match data.split_at_checked(2) {
            Some((duration, token)) => vec![
                Field::text(names::SUSPEND_MAXIMUM, crate::command_duration(duration)).at(base, 2),
                Field::octets(names::RESUME_TOKEN, token).at(base.plus(2), token.len()),
            ],
            None => octets(names::DATA),
        },
        Answer::Es10 { tag, .. } => es10(*tag, data, base, walk),
        Answer::Object(_) | Answer::Identity => match apdu::tlv::check_depth(data, 8) {
            Ok(()) => walk.fields(DATA_OBJECTS, data, base),
            Err(_) => octets(names::DATA),
        },
        Answer::AccessRules => match apdu::tlv::check_depth(data, 8) {
            Ok(()) => walk.fields(ara::OBJECTS, data, base),
            // The rest comes with the next answer.
            Err(_) => octets(names::DATA),
        },
        Answer::Registry => walk.fields(REGISTRY, data, base),
        Answer::InitializeUpdate => initialize_update(data, base),
        Answer::Keys => octets(names::GP_KEY_CHECK),
        Answer::Proactive => crate::toolkit::proactive(data, base, walk),
        Answer::Envelope => crate::sms::answer(data, base),
    }
}

/// Content, put together with what was read before.
fn content_fields(content: &Content, channel: &mut Channel, data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let Some(file) = channel.file.as_mut().filter(|file| content.record.is_none() && file.id == content.file.id) else {
        return crate::file::fields(content, data, base, walk);
    };
    let whole = content.offset == 0 && file.size.is_none_or(|size| data.len() >= size);
    if whole || content.offset != file.read.len() {
        file.read.clear();
        return crate::file::fields(content, data, base, walk);
    }
    file.read.extend_from_slice(data);
    let part = if content.holds_keys() { walk.secret(names::DATA, data) } else { Field::octets(names::DATA, data) };
    let part = part.at(base, data.len());
    if file.size.is_some_and(|size| file.read.len() < size) {
        return vec![part];
    }
    let read = core::mem::take(&mut file.read);
    let whole = Content { offset: 0, ..content.clone() };
    let mut fields = vec![part];
    fields.extend(crate::file::fields(&whole, &read, Base::new(crate::field::Source::Answer, 0), walk));
    fields
}

/// TS 31.102 §7.1.2.
fn authentication(security: Security, data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    const SUCCESS: u8 = 0xDB;
    const SYNCHRONISATION_FAILURE: u8 = 0xDC;
    let values = |names: &[Name], values| length_values(names, values, base.plus(1), walk);
    match (security, data.split_first()) {
        (Security::GsmAlgorithm, _) => match data.split_at_checked(4) {
            Some((sres, kc)) => {
                vec![walk.secret(names::SRES, sres).at(base, 4), walk.secret(names::KC, kc).at(base.plus(4), kc.len())]
            }
            None => vec![walk.wary().malformed(data, base, "shorter than SRES")],
        },
        (Security::Gsm, _) => length_values(&[names::SRES, names::KC], data, base, walk),
        (Security::ThreeG, Some((&SUCCESS, rest))) => values(&[names::RES, names::CK, names::IK, names::KC], rest),
        (Security::Bootstrapping, Some((&SUCCESS, rest))) => values(&[names::RES], rest),
        (Security::Naf, Some((&SUCCESS, rest))) => values(&[names::KS_EXT_NAF], rest),
        (Security::Vgcs, Some((&SUCCESS, rest))) => values(&[names::VSTK], rest),
        (Security::ThreeG | Security::Bootstrapping, Some((&SYNCHRONISATION_FAILURE, rest))) => {
            let mut fields = values(&[names::AUTS], rest);
            for field in fields.iter_mut().filter(|field| field.name == names::AUTS) {
                field.meaning = Some("synchronisation failure".into());
            }
            fields
        }
        _ => vec![walk.secret(names::DATA, data).at(base, data.len())],
    }
}

fn es10(tag: u32, data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let tlv = match Tlv::parse(data) {
        Ok(tlv) => tlv,
        Err(error) => return vec![Field::malformed(data, base, error.to_string())],
    };
    let inside = base.plus(data.len() - tlv.value.len());
    let group = |name, nodes| vec![Field::group(name, walk.fields(nodes, tlv.value, inside)).at(base, data.len())];
    let nodes = match tlv.tag.0 {
        0xBF37 => PROFILE_INSTALLATION_RESULT,
        answered => match MESSAGES.iter().find(|message| message.tag == answered) {
            Some(message) if answered == tag => message.response,
            _ => return walk.fields(&[], data, base),
        },
    };
    group(names::ES10_RESPONSE, nodes)
}

/// GlobalPlatform §E.5.1, Amendment D §7.1.1.
fn initialize_update(data: &[u8], base: Base) -> Vec<Field> {
    let (Some(diversification), Some(&version), Some(&protocol)) = (data.get(..10), data.get(10), data.get(11)) else {
        return vec![Field::malformed(data, base, "shorter than key diversification data and key information")];
    };
    let mut fields = vec![
        Field::octets(names::GP_DIVERSIFICATION, diversification).at(base, 10),
        Field::number(names::GP_KEY_VERSION, version).at(base.plus(10), 1),
        Field::text(names::GP_PROTOCOL, format!("SCP{protocol:02X}")).at(base.plus(11), 1),
    ];
    // SCP02 counts before its challenge of six octets, SCP03 has an octet of options, and counts at the end.
    let (at, counter) = if protocol == 3 { (13, data.get(29..32).map(|_| 29)) } else { (14, Some(12)) };
    let length = if protocol == 3 { 8 } else { 6 };
    let mut add = |name, from: usize, octets: usize| {
        if let Some(value) = data.get(from..from + octets) {
            fields.push(Field::octets(name, value).at(base.plus(from), octets));
        }
    };
    add(names::GP_CARD_CHALLENGE, at, length);
    add(names::GP_CARD_CRYPTOGRAM, at + length, 8);
    if let Some(from) = counter {
        let octets = if protocol == 3 { 3 } else { 2 };
        if let Some(number) = data.get(from..from + octets).and_then(crate::schema::number) {
            fields.push(Field::number(names::GP_SEQUENCE, number).at(base.plus(from), octets));
        }
    }
    fields
}

/// Commands, status words, and what these say there; without an instruction, what they say everywhere.
const IN_CONTEXT: &[(Option<Ins>, u16, &str)] = &[
    (Some(Ins::SELECT), 0x6A82, "no such file or application"),
    (Some(Ins::SELECT), 0x6985, "not allowed now; some eUICCs say it while a REFRESH is due"),
    (Some(Ins::SELECT), 0x6283, "selected, and the file is deactivated"),
    (Some(Ins::READ_RECORD), 0x6A83, "there is no such record"),
    (Some(Ins::READ_RECORD), 0x6981, "the file has no records"),
    (Some(Ins::READ_BINARY), 0x6981, "the file has records"),
    (Some(Ins::READ_BINARY), 0x6986, "no EF is selected"),
    (Some(Ins::READ_BINARY), 0x6B00, "the offset is behind the end of the file"),
    (Some(Ins::READ_BINARY), 0x6982, "a PIN or key has to be verified first"),
    (Some(Ins::READ_RECORD), 0x6982, "a PIN or key has to be verified first"),
    (Some(Ins::UPDATE_BINARY), 0x6982, "a PIN or key has to be verified first"),
    (Some(Ins::UPDATE_RECORD), 0x6982, "a PIN or key has to be verified first"),
    (Some(Ins::VERIFY_PIN), 0x6983, "the PIN is blocked"),
    (Some(Ins::VERIFY_PIN), 0x6984, "the PIN is disabled"),
    (Some(Ins::VERIFY_PIN), 0x6A88, "there is no such PIN"),
    (Some(Ins::CHANGE_PIN), 0x6983, "the PIN is blocked"),
    (Some(Ins::CHANGE_PIN), 0x6984, "the PIN is disabled"),
    (Some(Ins::CHANGE_PIN), 0x6A88, "there is no such PIN"),
    (Some(Ins::DISABLE_PIN), 0x6983, "the PIN is blocked"),
    (Some(Ins::DISABLE_PIN), 0x6984, "the PIN is disabled already"),
    (Some(Ins::DISABLE_PIN), 0x6A88, "there is no such PIN"),
    (Some(Ins::ENABLE_PIN), 0x6983, "the PIN is blocked"),
    (Some(Ins::ENABLE_PIN), 0x6984, "the PIN is enabled already"),
    (Some(Ins::ENABLE_PIN), 0x6A88, "there is no such PIN"),
    (Some(Ins::UNBLOCK_PIN), 0x6A88, "there is no such PIN"),
    (Some(Ins::UNBLOCK_PIN), 0x6983, "the PUK is blocked"),
    (Some(Ins::AUTHENTICATE), 0x9862, "the MAC in AUTN is wrong: another K or OPc, or a changed challenge"),
    (Some(Ins::AUTHENTICATE), 0x6982, "the PIN has to be verified first"),
    (Some(Ins::AUTHENTICATE), 0x6985, "the application is not ready for it"),
    (Some(Ins::AUTHENTICATE), 0x6A81, "this security context is not supported"),
    (Some(Ins::MANAGE_CHANNEL), 0x6A81, "no channel is left, or channels are not supported"),
    (Some(Ins::MANAGE_CHANNEL), 0x6881, "no channel is left, or channels are not supported"),
    (Some(Ins::STORE_DATA), 0x6A88, "the function is not known"),
    (Some(Ins::STORE_DATA), 0x6A80, "the request is malformed"),
    (Some(Ins::STORE_DATA), 0x6985, "not allowed now; some eUICCs say it while a REFRESH is due"),
    (Some(Ins::STORE_DATA), 0x6A82, "there is no such file or data; some eUICCs say it of unknown functions"),
    (Some(Ins::STORE_DATA), 0x6E00, "the class is not known: another application is selected"),
    (Some(Ins::ENVELOPE), 0x6A80, "no application accepted it"),
    (Some(Ins::ENVELOPE), 0x6F00, "no application accepted it"),
    (Some(Ins::GET_DATA), 0x6A88, "there is no such object"),
    (Some(Ins::EXTERNAL_AUTHENTICATE), 0x6300, "the host cryptogram is wrong: another key"),
    (Some(Ins::TERMINAL_RESPONSE), 0x6F00, "no proactive command is waiting for it"),
    (Some(Ins::FETCH), 0x6F00, "no proactive command is pending"),
];

/// The commands after which a status word means something of its own, for other programs' tables.
pub fn status_words_in_context() -> impl Iterator<Item = (Ins, StatusWord)> {
    IN_CONTEXT.iter().filter_map(|(ins, number, _)| Some(((*ins)?, StatusWord(*number))))
}

/// What a status word means after this command.
pub fn status_meaning(ins: Option<Ins>, status: StatusWord) -> String {
    let octets: u64 = if status.sw2() == 0 { 256 } else { status.sw2().into() };
    let contextual = IN_CONTEXT.iter().find(|(of, number, _)| *number == status.0 && (of.is_none() || *of == ins));
    match (status.sw1(), contextual) {
        (_, Some((.., words))) => (*words).to_owned(),
        (0x61 | 0x9F, _) => {
            let verb = if octets == 1 { "is" } else { "are" };
            format!("{} {verb} available, for GET RESPONSE", counted(octets, "octet"))
        }
        (0x9E, _) => format!("error in SIM data download, {} for GET RESPONSE", counted(octets, "octet")),
        (0x6C, _) => format!("Le has to be {octets}"),
        (0x91, _) => format!("done, and a proactive command of {} waits for FETCH", counted(octets, "octet")),
        (0x92, _) if status.sw2() & 0xF0 == 0 => {
            format!("done, after {}", counted(status.sw2(), "internal try"))
        }
        (0x63, _) if status.sw2() & 0xF0 == 0xC0 => format!("not verified, {}", tries(status)),
        _ => status.description().to_owned(),
    }
}

/// Of `63CX`.
fn tries(status: StatusWord) -> String {
    format!("{} left", counted(status.sw2() & 0x0F, "try"))
}

/// Whether it is a number of tries that was asked for.
fn is_answered_query(answer: &Answer, status: StatusWord) -> bool {
    *answer == Answer::Pin { query: true } && status.sw1() == 0x63 && status.sw2() & 0xF0 == 0xC0
}

fn meaning(ins: Option<Ins>, answer: &Answer, status: StatusWord) -> String {
    if is_answered_query(answer, status) { tries(status) } else { status_meaning(ins, status) }
}

pub(crate) fn status_field(ins: Option<Ins>, answer: &Answer, status: StatusWord) -> Field {
    let field =
        Field::number(names::STATUS_WORD, status.0).meaning(format!("{status} {}", meaning(ins, answer, status)));
    if matches!(answer, Answer::Pin { .. }) && status.sw1() == 0x63 && status.sw2() & 0xF0 == 0xC0 {
        return field.with(vec![Field::number(names::PIN_TRIES, status.sw2() & 0x0F)]);
    }
    field
}

/// The meaning for a line: nothing of what needs no words.
pub(crate) fn in_words(ins: Option<Ins>, answer: &Answer, status: StatusWord) -> Option<String> {
    let plain = status.0 == 0x9000 || matches!(status.sw1(), 0x61 | 0x9F);
    (!plain).then(|| meaning(ins, answer, status))
}

/// Whether the card did what was asked.
pub(crate) fn is_done(status: StatusWord) -> bool {
    status.is_ok() || matches!(status.sw1(), 0x61 | 0x62 | 0x9F)
}

/// Whether the card refused.
pub(crate) fn is_failure(answer: &Answer, status: StatusWord) -> bool {
    let goes_on = status.sw1() == 0x6C || status == StatusWord::MORE_TO_LIST || status.0 & 0xFFF0 == 0x63F0;
    !is_done(status) && !goes_on && !is_answered_query(answer, status)
}

/// Results of functions of ES10: zero is success.
fn is_result(name: &str) -> bool {
    name.starts_with("es10.") && (name.ends_with("_result") || name.ends_with("_status"))
}

/// Errors of functions of ES10.
fn is_error(name: &str) -> bool {
    name.starts_with("es10.")
        && (name.ends_with("_error") || name.ends_with("_error_code") || name.ends_with("error_reason"))
}

/// Whether an answer of ES10 says that it failed.
pub(crate) fn reports_failure(field: &Field) -> bool {
    let here = match field.value {
        _ if field.name == names::AUTS => true,
        Value::Number(number) => is_error(field.name.name) || is_result(field.name.name) && number != 0,
        _ => false,
    };
    here || field.fields.iter().any(reports_failure)
}

/// Fields that say in a line how it went.
const BRIEF: &[&str] = &[
    "manage_channel.channel",
    "es10.eid",
    "es10.seq_number",
    "ef.iccid",
    "ef.imsi",
    "ef.name",
    "ef.number",
    "ef.mnc_length",
    "authenticate.auts",
    "cat.command",
    "sms.text",
];

/// How it went, in a line: a result code by name, or what the answer is about.
pub(crate) fn result(fields: &[Field]) -> Option<String> {
    let codes = fields.iter().find_map(result_code);
    codes.or_else(|| {
        let received = fields.iter().filter(|field| field.name != names::CLASS && field.name != names::ES10_REQUEST);
        let found = { received }.find_map(|field| BRIEF.iter().find_map(|name| field.find(name)))?;
        let in_command = found.place.as_ref().is_some_and(|place| place.source == crate::field::Source::Command);
        let shown = found.shown().filter(|_| !in_command)?;
        Some(format!("{} {shown}", found.name.label))
    })
}

fn result_code(field: &Field) -> Option<String> {
    if (is_error(field.name.name) || is_result(field.name.name)) && matches!(field.value, Value::Number(_)) {
        return Some(format!("{} {}", field.name.label, field.meaning.clone().unwrap_or_default()));
    }
    if field.name.name == "es10.error_result" {
        let part = |name| field.find(name).and_then(|part| part.meaning.clone()).unwrap_or_default();
        return Some(format!("{}: {}", part("es10.bpp_command_id"), part("es10.error_reason")));
    }
    if field.name.name == "es10.success_result" {
        return Some("installed".to_owned());
    }
    field.fields.iter().find_map(result_code)
}
