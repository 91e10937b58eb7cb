//! Bound profile packages on their way to the eUICC, segment by segment, and the profile elements in them. SGP.22 §2.5, §5.7.6

use apdu::tlv::{Header, Tlv};
use crypto::bsp::{SessionKeys, Unprotector};
use crypto::key_log::{KeyLog, KeySet};
use saip::aka::{AlgoConfiguration, AlgorithmId};
use saip::file_management::{FileManagementStep, GenericFileManagement};
use saip::files::{FileElement, FileStep};
use saip::header::ProfileHeader;
use saip::pin::{PinConfig, PinConfiguration};
use saip::security_domain::SecurityDomain;
use saip::{EuiccResponse, ProfileElement, Secret, Splitter};

use crate::channel::MF;
use crate::field::{Base, Field, Name, Source, Value, hex};
use crate::names;
use crate::schema::{Form, Node, Walk};
use crate::secret;
use crate::tables::{es10, profile as pe};

/// Longest profile element that is waited for.
const LONGEST_ELEMENT: usize = 1 << 20;
/// Longest segment that is waited for.
const LONGEST_SEGMENT: usize = 1 << 16;

/// A package that is being loaded.
#[derive(Debug)]
pub(crate) struct Package {
    /// Octets of the package that did not come yet.
    remaining: usize,
    /// Start of a segment whose rest did not come yet.
    held: Vec<u8>,
    transaction_id: Vec<u8>,
    opener: Opener,
    elements: Splitter2,
    segments: u64,
}

/// A splitter that can be shown.
struct Splitter2(Splitter);

impl core::fmt::Debug for Splitter2 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Splitter")
    }
}

enum Opener {
    /// Why segments stay closed.
    Closed(&'static str),
    Open(Box<Unprotector>),
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if matches!(self, Self::Open(_)) { "Open" } else { "Closed" })
    }
}

const PACKAGE: u32 = 0xBF36;
const INITIALISE: u32 = 0xBF23;
const SEQUENCE_OF_86: u32 = 0xA3;
const NO_KEYS: &str = "the key log has no keys of this session";

impl Package {
    /// The package that begins with these octets, if one does.
    pub(crate) fn starting(data: &[u8]) -> Option<Self> {
        let header = Header::parse(data).ok().flatten().filter(|header| header.tag.0 == PACKAGE)?;
        Some(Self { remaining: header.total_length(), ..Self::empty() })
    }

    /// A package of which these octets are a whole part, if they can be.
    pub(crate) fn resumed(data: &[u8]) -> Option<Self> {
        const WITHIN: &str = "its beginning was not recorded";
        let header = Header::parse(data).ok().flatten()?;
        let is_part = matches!(header.tag.0, 0x86..=0x88) && header.total_length() == data.len();
        is_part.then(|| Self { remaining: usize::MAX, opener: Opener::Closed(WITHIN), ..Self::empty() })
    }

    fn empty() -> Self {
        Self {
            remaining: 0,
            held: Vec::new(),
            transaction_id: Vec::new(),
            opener: Opener::Closed(NO_KEYS),
            elements: Splitter2(Splitter::new(LONGEST_ELEMENT)),
            segments: 0,
        }
    }

    /// Whether these octets can go on with the package.
    pub(crate) fn continues(&self, data: &[u8]) -> bool {
        if self.remaining == 0 {
            return false;
        }
        !self.held.is_empty()
            || matches!(data.first(), Some(0x86..=0x88 | 0xA0..=0xA3))
            || data.starts_with(&[0xBF, 0x23])
    }

    /// What the next octets of the package are.
    pub(crate) fn feed(&mut self, data: &[u8], base: Base, walk: Walk, keys: &KeyLog) -> Vec<Field> {
        self.remaining = self.remaining.saturating_sub(data.len());
        let before = self.held.len();
        let joined = [core::mem::take(&mut self.held), data.to_vec()].concat();
        let (mut at, mut fields) = (0, Vec::new());
        while let Some(rest) = joined.get(at..).filter(|rest| !rest.is_empty()) {
            let here = base.plus(at.saturating_sub(before));
            let Ok(header) = Header::parse(rest) else {
                fields.push(placed(Field::malformed(rest, here, "no TLV"), at < before));
                return fields;
            };
            let whole = header.and_then(|header| Some((header, rest.get(..header.total_length())?)));
            let (field, used) = match (header, whole) {
                (Some(header), _) if header.tag.0 == PACKAGE => {
                    let length = Field::number(names::BPP_LENGTH, header.value_length as u64);
                    (Field::group(names::BPP_PACKAGE, vec![length]), header.header_length)
                }
                (Some(header), _) if matches!(header.tag.0, 0xA0..=0xA3) => {
                    if header.tag.0 == SEQUENCE_OF_86 {
                        self.expect_profile_keys(keys);
                    }
                    (section(header), header.header_length)
                }
                (Some(_), Some((header, tlv))) => (self.whole(header, tlv, here, walk, keys), tlv.len()),
                (header, _) => {
                    let wanted = header.map_or(0, |header| header.total_length());
                    let field = if wanted > LONGEST_SEGMENT {
                        Field::malformed(rest, here, "a segment of such a length")
                    } else {
                        self.held = rest.to_vec();
                        let part = Field::number(names::BPP_PART, rest.len() as u64);
                        part.meaning(format!("of {wanted} octets")).at(here, rest.len())
                    };
                    fields.push(placed(field, at < before));
                    return fields;
                }
            };
            fields.push(placed(field.at(here, used), at < before));
            at += used;
        }
        fields
    }

    /// Without the session's keys, those of the profile may be known.
    fn expect_profile_keys(&mut self, keys: &KeyLog) {
        if let (Opener::Closed(_), Some(keys)) =
            (&self.opener, keys.keys(&self.transaction_id, KeySet::ProfileProtection))
        {
            self.opener = Opener::Open(Box::new(Unprotector::new(&keys)));
        }
    }

    /// One TLV that is there as a whole.
    fn whole(&mut self, header: Header, tlv: &[u8], here: Base, walk: Walk, keys: &KeyLog) -> Field {
        let value = tlv.get(header.header_length..).unwrap_or_default();
        let inside = here.plus(header.header_length);
        match header.tag.0 {
            INITIALISE => {
                let field = named(es10::BOUND_PROFILE_PACKAGE, INITIALISE).map_or_else(
                    || Field::group(names::BPP_PACKAGE, Vec::new()),
                    |node| walk.field(node, value, inside),
                );
                self.begin(value, keys);
                field
            }
            0x86..=0x88 => self.segment(header, tlv, walk),
            tag => Field::octets(names::UNKNOWN, value).meaning(format!("tag {tag:02X}")),
        }
    }

    /// InitialiseSecureChannel names the session.
    fn begin(&mut self, request: &[u8], keys: &KeyLog) {
        let id = apdu::tlv::Reader::new(request).find(apdu::tlv::Tag(0x80)).ok().flatten();
        self.transaction_id = id.map(|id| id.value.to_vec()).unwrap_or_default();
        self.opener = match keys.keys(&self.transaction_id, KeySet::Session) {
            Some(keys) => Opener::Open(Box::new(Unprotector::new(&keys))),
            None if keys.is_empty() => Opener::Closed("there is no key log"),
            None => Opener::Closed(NO_KEYS),
        };
    }

    fn segment(&mut self, header: Header, tlv: &[u8], walk: Walk) -> Field {
        const MAC: usize = 8;
        self.segments += 1;
        let name = match header.tag.0 {
            0x86 => SEGMENT_86,
            0x87 => SEGMENT_87,
            _ => SEGMENT_88,
        };
        let value = tlv.get(header.header_length..).unwrap_or_default();
        let field = Field::octets(name, value);
        let number = Field::number(names::BPP_SEGMENT, self.segments);
        let opened = match &mut self.opener {
            Opener::Open(opener) => opener.open(tlv).map_err(|_| "its MAC fits another key"),
            Opener::Closed(why) => Err(*why),
        };
        let opened = match opened {
            Ok(opened) => Ok(opened.data.to_vec()),
            // What is only authenticated is readable without a key.
            Err(_) if header.tag.0 == 0x88 => {
                Ok(value.get(..value.len().saturating_sub(MAC)).unwrap_or_default().to_vec())
            }
            Err(why) => {
                self.opener = Opener::Closed(why);
                Err(why)
            }
        };
        let inside = match opened {
            Err(why) => Field::text(names::BPP_CLOSED, why),
            Ok(data) if header.tag.0 == 0x86 => Field::group(names::BPP_OPENED, self.profile(&data, walk)),
            Ok(data) => {
                if let Some(keys) = replaced(&data)
                    && let Opener::Open(opener) = &mut self.opener
                {
                    opener.replace_session_keys(&keys);
                }
                // What was encrypted may be a key.
                let walk = if header.tag.0 == 0x87 { walk.wary() } else { walk };
                Field::group(names::BPP_OPENED, walk.fields(es10::COMMANDS, &data, Base::new(Source::Opened, 0)))
            }
        };
        field.with(vec![number, inside])
    }

    /// The profile's next octets: elements that are complete with them.
    fn profile(&mut self, data: &[u8], walk: Walk) -> Vec<Field> {
        let mut fields = vec![Field::number(names::BPP_PROFILE, data.len() as u64)];
        self.elements.0.push(data);
        loop {
            match self.elements.0.next_element() {
                Ok(Some(der)) => fields.push(element(der, walk)),
                Ok(None) => return fields,
                Err(error) => {
                    fields.push(Field::new(names::MALFORMED, Value::None).meaning(error.to_string()));
                    return fields;
                }
            }
        }
    }
}

/// What began in an earlier command has no place in this one.
fn placed(field: Field, began_before: bool) -> Field {
    if began_before { field.nowhere() } else { field }
}

const SEGMENT_86: Name = Name::new("bpp.segment_86", "segment, encrypted, of the profile", Form::Octets.kind());
const SEGMENT_87: Name = Name::new("bpp.segment_87", "segment, encrypted", Form::Octets.kind());
const SEGMENT_88: Name = Name::new("bpp.segment_88", "segment with a MAC", Form::Octets.kind());

fn named(nodes: &'static [Node], tag: u32) -> Option<&'static Node> {
    nodes.iter().find(|node| node.tag == tag)
}

/// The beginning of a sequence of segments.
fn section(header: Header) -> Field {
    let length = Field::number(names::BPP_LENGTH, header.value_length as u64);
    let name = named(es10::BOUND_PROFILE_PACKAGE, header.tag.0).map_or(names::BPP_PACKAGE, |node| node.name);
    Field::group(name, vec![length])
}

/// The keys in a ReplaceSessionKeys.
fn replaced(data: &[u8]) -> Option<SessionKeys> {
    let request = Tlv::parse(data).ok().filter(|request| request.tag.0 == 0xBF26)?;
    let key = |tag| {
        let found = request.children().find(apdu::tlv::Tag(tag)).ok()??;
        <[u8; 16]>::try_from(found.value).ok()
    };
    Some(SessionKeys::new(key(0x80)?, key(0x81)?, key(0x82)?))
}

/// The card's report on a package.
pub(crate) fn sima_response(value: &[u8], base: Base) -> Vec<Field> {
    let responses = match EuiccResponse::decode_all(value) {
        Ok(responses) => responses,
        Err(error) => return vec![Field::malformed(value, base, error.to_string())],
    };
    let mut fields = Vec::new();
    for response in responses {
        for status in &response.pe_status {
            let number = Field::number(pe::SIMA_STATUS, status.status.0);
            let name = status.status.name().map_or_else(String::new, |name| format!("{name}, "));
            let identification = status.identification.map(|number| Field::number(pe::SIMA_IDENTIFICATION, number));
            fields.push(number.meaning(name + status.status.meaning()).with(identification.into_iter().collect()));
        }
        fields.push(Field::new(pe::SIMA_ABORTED, Value::Flag(response.profile_installation_aborted)));
        fields.extend(response.status_message.map(|message| Field::text(pe::SIMA_MESSAGE, message)));
    }
    fields
}

/// One profile element.
pub(crate) fn element(der: &[u8], walk: Walk) -> Field {
    let tag = Header::parse(der).ok().flatten().map_or(0, |header| header.tag.0);
    let name = ProfileElement::name_of(tag).map_or_else(|| format!("element {tag:02X}"), str::to_owned);
    let mut fields = vec![Field::text(pe::KIND, name.clone())];
    if let Some(header) = ProfileElement::header_of(der) {
        fields.push(Field::new(pe::MANDATED, Value::Flag(header.mandated)));
        fields.push(Field::number(pe::IDENTIFICATION, header.identification));
    }
    match ProfileElement::decode(der) {
        Ok(element) => fields.extend(contents(element, walk)),
        Err(error) => fields.push(Field::new(names::MALFORMED, Value::None).meaning(error.to_string())),
    }
    Field::group(pe::ELEMENT, fields).meaning(format!("{name}, {} octets", der.len()))
}

fn contents(element: ProfileElement, walk: Walk) -> Vec<Field> {
    match element {
        ProfileElement::Header(header) => package_header(&header),
        ProfileElement::PinCodes(codes) => match codes.pin_codes {
            PinConfig::Own(pins) => {
                let pin =
                    |pin: &PinConfiguration| code(pin.key_reference, pe::PIN, &pin.pin_value, pin.max_attempts(), walk);
                pins.iter().map(pin).collect()
            }
            PinConfig::Shared(path) => vec![Field::octets(pe::FILE_PATH, &path)],
        },
        ProfileElement::PukCodes(codes) => {
            let puks = codes.puk_codes.iter();
            puks.map(|puk| code(puk.key_reference, pe::PUK, &puk.puk_value, puk.max_attempts(), walk)).collect()
        }
        ProfileElement::AkaParameter(aka) => match aka.algo_configuration {
            AlgoConfiguration::Algo(algo) => {
                let name = match algo.algorithm_id {
                    AlgorithmId::Milenage => "Milenage",
                    AlgorithmId::Tuak => "TUAK",
                    AlgorithmId::UsimTestAlgorithm => "USIM test algorithm",
                };
                vec![
                    Field::text(pe::ALGORITHM, name),
                    walk.secret(pe::KEY, algo.key.expose()),
                    walk.secret(pe::OPC, algo.opc.expose()),
                ]
            }
            AlgoConfiguration::Mapping(mapping) => vec![aid(&mapping.mapping_source)],
        },
        ProfileElement::CdmaParameter(cdma) => vec![walk.secret(pe::KEY, cdma.authentication_key.expose())],
        ProfileElement::SecurityDomain(domain) => security_domain(&domain, walk),
        ProfileElement::Rfm(rfm) => vec![aid(&rfm.instance_aid)],
        ProfileElement::Files(files) => template_files(&files, walk),
        ProfileElement::GenericFileManagement(management) => managed_files(&management, walk),
        ProfileElement::Unknown { content, .. } => vec![walk.secret(pe::CONTENT, &content)],
        _ => Vec::new(),
    }
}

fn package_header(header: &ProfileHeader) -> Vec<Field> {
    let mut fields = vec![Field::text(pe::VERSION, format!("{}.{}", header.major_version, header.minor_version))];
    fields.extend(header.profile_type.as_ref().map(|name| Field::text(pe::PROFILE_TYPE, name)));
    fields.push(Field::text(pe::ICCID, crate::digits::straight(&header.iccid)));
    fields.extend(header.mandatory_services.iter().map(|service| Field::text(pe::SERVICES, service.to_string())));
    fields.extend(header.mandatory_templates.iter().map(|oid| Field::text(pe::TEMPLATES, oid.to_string())));
    fields
}

/// A PIN or a PUK.
fn code(reference: u8, name: Name, value: &Secret, attempts: u8, walk: Walk) -> Field {
    key(reference).with(vec![walk.secret(name, value.expose()), Field::number(pe::ATTEMPTS, attempts)])
}

fn security_domain(domain: &SecurityDomain, walk: Walk) -> Vec<Field> {
    let mut fields = vec![aid(&domain.instance.instance_aid)];
    for object in domain.key_list.iter().flatten() {
        let [version] = object.key_version_number;
        let [identifier] = object.key_identifier;
        let data = object.key_components.iter().map(|part| walk.secret(pe::KEY_DATA, part.key_data.expose()));
        let version = Field::number(pe::KEY_VERSION, version);
        let inside = std::iter::once(version).chain(data).collect();
        fields.push(Field::number(pe::KEY_IDENTIFIER, identifier).with(inside));
    }
    fields
}

fn template_files(files: &FileElement, walk: Walk) -> Vec<Field> {
    let template = saip::templates::find(&files.template_id);
    let mut fields = vec![Field::text(pe::TEMPLATE, files.template_id.to_string())];
    for (tag, file) in &files.files {
        let name = template.and_then(|template| template.row_of_any_version(*tag)).map(|row| row.name);
        let is_secret = secret::holds_keys(name, None, None);
        let name = name.map_or_else(|| format!("field {tag:02X}"), str::to_owned);
        fields.push(Field::text(pe::FILE, name).with(file.0.iter().map(|part| step(part, is_secret, walk)).collect()));
    }
    fields
}

fn managed_files(management: &GenericFileManagement, walk: Walk) -> Vec<Field> {
    let (mut directory, mut is_secret) = (MF, false);
    let steps = management.file_management_cmd.iter().flat_map(|management| &management.0);
    let read = steps.map(|part| match part {
        FileManagementStep::FilePath(path) => {
            let mut ids = path.rchunks_exact(2).filter_map(|id| id.first_chunk()).map(|id| u16::from_be_bytes(*id));
            directory = ids.next().unwrap_or(MF);
            let above = ids.next().unwrap_or(MF);
            is_secret = [above, directory].iter().any(|df| secret::holds_keys(None, Some(directory), Some(*df)));
            Field::octets(pe::FILE_PATH, path).meaning(hex(path))
        }
        FileManagementStep::CreateFcp(fcp) => {
            is_secret = secret::holds_keys(None, fcp.file_id.map(u16::from_be_bytes), Some(directory));
            Field::octets(pe::FILE_ID, fcp.file_id.as_ref().map_or(&[], |id| id))
        }
        FileManagementStep::FillFileOffset(offset) => Field::number(pe::FILE_OFFSET, *offset),
        FileManagementStep::FillFileContent(content) => file_content(content, is_secret, walk),
    });
    read.collect()
}

fn file_content(content: &[u8], is_secret: bool, walk: Walk) -> Field {
    if is_secret { walk.secret(pe::FILE_CONTENT, content) } else { Field::octets(pe::FILE_CONTENT, content) }
}

fn aid(aid: &[u8]) -> Field {
    Field::octets(pe::INSTANCE_AID, aid).meaning_if(crate::application::name(aid))
}

fn key(reference: u8) -> Field {
    Field::number(pe::KEY_REFERENCE, reference).meaning(crate::tables::fcp::key_reference(reference))
}

fn step(step: &FileStep, is_secret: bool, walk: Walk) -> Field {
    match step {
        FileStep::DoNotCreate => Field::new(pe::FILE_CONTENT, Value::None).meaning("not created"),
        FileStep::FileDescriptor(fcp) => Field::octets(pe::FILE_ID, fcp.file_id.as_ref().map_or(&[], |id| id)),
        FileStep::FillFileOffset(offset) => Field::number(pe::FILE_OFFSET, *offset),
        FileStep::FillFileContent(content) => file_content(content, is_secret, walk),
    }
}
