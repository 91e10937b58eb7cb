//! Element by element from a package to a staged domain.

use apdu::Aid;
use apdu::tlv::Header;
use card_os::fs::{
    AccessReference, File, FileId, FileKind, FileNumber, KeyReference, LifeCycle, Pin, PinAttributes, PinConfiguration,
    Puk, Security, Structure,
};
use card_os::{ApplicationKind, ApplicationRecord, DomainImage, NewApplication, Privileges};
use rsp::notification::ErrorReason;
use saip::aka::{AkaParameter, AlgoConfiguration, AlgoParameter};
use saip::files::{FileElement, FileElementKind};
use saip::header::ProfileHeader;
use saip::pin::{PinCodes, PinConfig, PukCodes};
use saip::rfm::Rfm;
use saip::security_domain::SecurityDomain;
use saip::{
    AccessRuleReference, EuiccResponse, FileChange, FilePath, FileResolver, PeHeader, PeStatus, ProfileElement,
    ResolvedFile, Splitter, Status,
};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::{Failure, Limits, Profile, access_rules, naa_keys, services};
use crate::global_platform::keys;
use crate::kind;
use crate::naa::aka;
use crate::security_domain;

/// No element of a profile package is larger.
const LONGEST_ELEMENT: usize = 256 * 1024;
/// Elements passed over at most: their statuses are kept until the end.
const MOST_SKIPPED: usize = 256;

/// Interprets a profile package that arrives in pieces.
///
/// What is complete of it is staged at once, so that a fault is known with the piece that has it. After a failure the
/// interpreter is of no further use. What is staged is never copied: an element that is passed over is undone by what it
/// has changed.
pub struct Interpreter {
    limits: Limits,
    splitter: Splitter,
    staged: Staged,
    header: Option<Box<ProfileHeader>>,
    ended: bool,
    /// Elements that were passed over, and why.
    skipped: Vec<PeStatus>,
}

/// Tag of the profile header.
const HEADER: u32 = 0xA0;
/// Tag of an application in byte code.
const APPLICATION: u32 = 0xA8;

/// What elements make: undone as a whole where one fails that need not succeed.
#[derive(Default)]
struct Staged {
    files: FileResolver,
    image: DomainImage,
    /// BER-TLV structure EFs, how much of each is filled, and the element that did it.
    filled: BTreeMap<FileNumber, (usize, Option<PeHeader>)>,
    /// The element under way.
    element: Option<PeHeader>,
}

/// What is staged before an element that may be undone.
struct Before {
    files: saip::Mark,
    filled: BTreeMap<FileNumber, (usize, Option<PeHeader>)>,
}

/// Why an element cannot be processed.
#[derive(Clone)]
struct Fault {
    status: Status,
    reason: ErrorReason,
    /// What is wrong, where the status alone does not say it.
    words: Option<String>,
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let reason = match status {
            Status::NOT_ENOUGH_MEMORY | Status::MEMORY_FAILURE => ErrorReason::INSUFFICIENT_MEMORY_FOR_PROFILE,
            _ => ErrorReason::PE_PROCESSING_ERROR,
        };
        Self { status, reason, words: None }
    }
}

impl Fault {
    fn saying((status, words): (Status, &str)) -> Self {
        Self { words: Some(words.to_owned()), ..status.into() }
    }
}

impl From<saip::Error> for Fault {
    fn from(error: saip::Error) -> Self {
        Self { words: Some(error.to_string()), ..error.status().into() }
    }
}

impl Interpreter {
    /// Ready for the first piece.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            splitter: Splitter::new(limits.memory.min(LONGEST_ELEMENT)),
            staged: Staged::default(),
            header: None,
            ended: false,
            skipped: Vec::new(),
        }
    }

    /// Takes a piece of the package, of any size.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.ended {
            // Nothing follows the end; what is there all the same has no meaning.
            return Ok(());
        }
        self.splitter.push(piece);
        loop {
            let element = match self.splitter.next_element() {
                Ok(Some(element)) => Zeroizing::new(element.to_vec()),
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.give_up(None, None, error.into())),
            };
            self.element(&element)?;
            if self.ended {
                return Ok(());
            }
        }
    }

    /// The package is complete.
    pub fn finish(mut self) -> Result<Profile, Failure> {
        if let Err((element, fault)) = self.staged.objects() {
            return Err(self.give_up(element, None, fault));
        }
        let Some(header) = self.header.as_ref().filter(|_| self.ended) else {
            let fault = Status::INVALID_REQUEST_FORMAT.into();
            return Err(self.give_up(
                None,
                None,
                Fault { words: Some("the package ends before its end".into()), ..fault },
            ));
        };
        let mut statuses = self.skipped;
        statuses.push(PeStatus::OK);
        Ok(Profile {
            iccid: header.ef_iccid().into(),
            image: self.staged.image,
            response: EuiccResponse::new(statuses, false),
        })
    }

    fn element(&mut self, der: &[u8]) -> Result<(), Failure> {
        let tag = Header::parse(der).ok().flatten().map(|header| header.tag.0);
        let (header, outcome) = match ProfileElement::decode(der) {
            Ok(ProfileElement::Header(header)) => return self.profile_header(header),
            Ok(ref element @ ProfileElement::Application(ref application)) if access_rules::is_meant(application) => {
                (element.header(), self.process(element))
            }
            // The card claims a runtime environment: an application that was to run in it is not left out in silence.
            _ if tag == Some(APPLICATION) && self.demands_a_runtime() => {
                (ProfileElement::header_of(der), Err(Status::RUNTIME_NOT_SUPPORTED.into()))
            }
            Ok(element) => (element.header(), self.process(&element)),
            Err(error) => (ProfileElement::header_of(der), Err(error.into())),
        };
        match (outcome, header) {
            (Ok(()), _) => Ok(()),
            (Err(fault), header) if self.skipped.len() >= MOST_SKIPPED => Err(self.give_up(header, tag, fault)),
            // What the element asks for may be missing; memory, the rule for test keys, and an application that the
            // profile cannot do without are not its choice.
            (Err(fault), Some(PeHeader { mandated: false, identification }))
                if fault.reason == ErrorReason::PE_PROCESSING_ERROR
                    && fault.status != Status::RUNTIME_NOT_SUPPORTED =>
            {
                self.skipped.push(PeStatus::new(fault.status, Some(identification)));
                Ok(())
            }
            // Without a header nothing makes the element mandatory.
            (Err(Fault { status: Status::PE_NOT_SUPPORTED, .. }), None) => {
                self.skipped.push(PeStatus::new(Status::PE_NOT_SUPPORTED, None));
                Ok(())
            }
            (Err(fault), header) => Err(self.give_up(header, tag, fault)),
        }
    }

    fn profile_header(&mut self, header: Box<ProfileHeader>) -> Result<(), Failure> {
        let outcome = match self.header {
            Some(_) => Err((Status::INVALID_REQUEST_FORMAT, "a second one".to_owned())),
            None => services::check(&header, self.limits.capability),
        };
        outcome.map_err(|(status, words)| {
            self.give_up(None, Some(HEADER), Fault { words: Some(words), ..status.into() })
        })?;
        self.header = Some(header);
        Ok(())
    }

    fn demands_a_runtime(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.mandatory_services.iter().any(services::is_runtime))
    }

    fn process(&mut self, element: &ProfileElement) -> Result<(), Fault> {
        let has_mf = !self.staged.image.tree().numbers().is_empty();
        let makes_mf = matches!(
            element,
            ProfileElement::Files(FileElement { kind: FileElementKind::Mf | FileElementKind::Iot, .. })
        );
        let needs_mf = !makes_mf && !matches!(element, ProfileElement::Unknown { .. });
        if self.header.is_none() || (needs_mf && !has_mf) || (makes_mf && has_mf) {
            return Err(Status::INVALID_REQUEST_FORMAT.into());
        }
        if matches!(element, ProfileElement::End(_)) {
            self.ended = true;
            return Ok(());
        }
        let optional = element.header().is_some_and(|header| !header.mandated);
        let before = optional.then(|| self.staged.begin());
        let mut outcome = self.staged.process(element, self.limits);
        if outcome.is_ok() && self.staged.image.size() > self.limits.memory {
            outcome = Err(Status::NOT_ENOUGH_MEMORY.into());
        }
        match (&outcome, before) {
            (Err(_), Some(before)) => self.staged.undo(before),
            _ => self.staged.image.keep(),
        }
        outcome
    }

    /// What the card has to say: the number of the element if it has one, its name by the tag, and the cause.
    fn give_up(&self, header: Option<PeHeader>, tag: Option<u32>, fault: Fault) -> Failure {
        let mut statuses = self.skipped.clone();
        statuses.push(PeStatus::new(fault.status, header.map(|header| header.identification)));
        let name = tag.and_then(ProfileElement::name_of).map(str::to_owned).or(tag.map(|tag| format!("tag {tag:X}")));
        let message: Vec<String> = [name, fault.words].into_iter().flatten().collect();
        let response = EuiccResponse::new(statuses, true).with_message(&message.join(": "));
        Failure { reason: fault.reason, response: Some(response) }
    }
}

impl Staged {
    /// From here on what is done can be undone.
    fn begin(&mut self) -> Before {
        self.image.begin();
        Before { files: self.files.mark(), filled: self.filled.clone() }
    }

    fn undo(&mut self, before: Before) {
        self.image.undo();
        self.files.back_to(before.files);
        self.filled = before.filled;
    }

    /// All elements have come: what BER-TLV structure EFs were filled with are data objects now, or never. Else the element
    /// that filled one last.
    fn objects(&mut self) -> Result<(), (Option<PeHeader>, Fault)> {
        for (file, (length, element)) in core::mem::take(&mut self.filled) {
            let filled = self.image.content(file).and_then(|content| content.get(..length)).unwrap_or_default();
            let objects = saip::ber_tlv::objects(filled).map_err(|reason| (element, not_objects(reason)))?;
            self.image.set_objects(file, objects);
        }
        Ok(())
    }

    fn process(&mut self, element: &ProfileElement, limits: Limits) -> Result<(), Fault> {
        self.element = element.header();
        match element {
            ProfileElement::Files(element) => self.template(element),
            ProfileElement::GenericFileManagement(element) => {
                for change in self.files.generic(element)? {
                    match change {
                        FileChange::Create(file) => drop(self.create(file)?),
                        FileChange::Write { path, offset, content } => {
                            let number = self.image.tree().body(self.find(&path)?);
                            self.write(number, offset, &content)?;
                            self.fill(number, offset.saturating_add(content.len()));
                        }
                    }
                }
                Ok(())
            }
            ProfileElement::PukCodes(element) => self.puk_codes(element),
            ProfileElement::PinCodes(element) => self.pin_codes(element),
            ProfileElement::AkaParameter(element) => self.aka_parameter(element, limits),
            ProfileElement::CdmaParameter(element) => {
                self.naa(&[kind::CSIM])?.parameters = element.to_der();
                Ok(())
            }
            ProfileElement::SecurityDomain(element) => self.security_domain(element),
            ProfileElement::Rfm(element) => self.rfm(element),
            ProfileElement::Application(element) if access_rules::is_meant(element) => {
                for application in access_rules::of(element).map_err(Fault::saying)? {
                    if self.image.applications().iter().any(|known| known.record.aid == application.record.aid) {
                        return Err(Status::BAD_VALUES.into());
                    }
                    self.image.add_application(application);
                }
                Ok(())
            }
            // Applications in Java Card byte code, proprietary elements, elements of later releases.
            _ => Err(Status::PE_NOT_SUPPORTED.into()),
        }
    }

    fn template(&mut self, element: &FileElement) -> Result<(), Fault> {
        for file in self.files.template(element)? {
            let number = self.create(file)?;
            let Some(FileKind::Adf(aid)) = self.image.tree().get(number).map(|file| file.kind) else { continue };
            let kind = match element.kind {
                FileElementKind::Usim | FileElementKind::Iot => kind::USIM,
                FileElementKind::Isim => kind::ISIM,
                FileElementKind::Csim => kind::CSIM,
                _ => return Err(Status::PE_NOT_SUPPORTED.into()),
            };
            self.add_application(aid, kind, Some(number), SELECTABLE, Vec::new())?;
        }
        Ok(())
    }

    fn create(&mut self, file: ResolvedFile) -> Result<FileNumber, Fault> {
        let tree = self.image.tree();
        let parent = match file.kind {
            saip::FileKind::Mf => FileNumber::MF,
            // What is created below a link lies in the directory that it leads to.
            _ => tree.body(self.find(&file.parent)?),
        };
        let link = match &file.link {
            Some(path) => {
                let target = tree.body(self.find(path)?);
                if tree.is_df(target) != file.is_df() {
                    return Err(Status::BAD_VALUES.into());
                }
                Some(target)
            }
            None => None,
        };
        let linked_kind = link.and_then(|target| tree.get(target)).map(|target| target.kind);
        let kind = match (linked_kind, file.kind) {
            // A link looks like what it leads to, whatever its own descriptor says.
            (Some(kind @ FileKind::Ef(_)), _) => kind,
            (_, saip::FileKind::Mf) => FileKind::Mf,
            (_, saip::FileKind::Df) => FileKind::Df,
            (_, saip::FileKind::Adf) => FileKind::Adf(aid(file.df_name.as_deref().unwrap_or_default())?),
            (_, _) => FileKind::Ef(structure(&file)?),
        };
        let df_name = match (&kind, file.df_name.as_deref()) {
            (FileKind::Df, Some(name)) => Some(self.free_name(aid(name)?)?),
            (FileKind::Mf | FileKind::Ef(_), Some(_)) => return Err(Status::BAD_VALUES.into()),
            _ => None,
        };
        let descriptor = File {
            fid: FileId(file.file_id),
            parent,
            kind,
            sfi: file.sfi,
            life_cycle: LifeCycle(file.lcsi),
            access: security(&file.access_rule),
            special: file.special_file_information,
            shareable: file.shareable,
            pin_status: file.pin_status,
            link,
            template: Vec::new(),
            total_size: None,
            proprietary: Vec::new(),
            df_name,
            sim_only: false,
        };
        let (is_link, filled) = (link.is_some(), file.content.len());
        let number = self.image.add_file(descriptor, file.content).map_err(|_| Status::BAD_VALUES)?;
        if !is_link {
            self.fill(number, filled);
        }
        Ok(number)
    }

    /// A name, if neither an application nor a directory has it.
    fn free_name(&self, name: Aid) -> Result<Aid, Fault> {
        let tree = self.image.tree();
        let is_taken = self.image.applications().iter().any(|known| known.record.aid == name)
            || tree.named_dfs().any(|(known, _)| known == name);
        if is_taken { Err(Fault::saying((Status::BAD_VALUES, "dfName is taken"))) } else { Ok(name) }
    }

    fn find(&self, path: &FilePath) -> Result<FileNumber, Fault> {
        let path: Vec<FileId> = path.0.iter().copied().map(FileId).collect();
        Ok(self.image.tree().by_path(&path).ok_or(Status::BAD_VALUES)?)
    }

    /// Writes into a file that an earlier element created.
    fn write(&mut self, file: FileNumber, offset: usize, octets: &[u8]) -> Result<(), Fault> {
        Ok(self.image.write_content(file, offset, octets).ok_or(Status::BAD_VALUES)?)
    }

    /// Takes note of how much of a file is filled, if it is to hold data objects, and by which element.
    fn fill(&mut self, file: FileNumber, length: usize) {
        let kind = self.image.tree().get(file).map(|file| file.kind);
        if matches!(kind, Some(FileKind::Ef(Structure::BerTlv { .. }))) {
            let before = self.filled.get(&file).map_or(0, |(length, _)| *length);
            self.filled.insert(file, (before.max(length), self.element));
        }
    }

    fn puk_codes(&mut self, element: &PukCodes) -> Result<(), Fault> {
        for puk in &element.puk_codes {
            let entry = Puk {
                value: code(puk.puk_value.expose())?,
                tries: puk.attempts_left(),
                maximum_tries: puk.max_attempts(),
            };
            self.image.add_pin(FileNumber::MF, PinConfiguration::Puk(KeyReference(puk.key_reference), entry));
        }
        Ok(())
    }

    fn pin_codes(&mut self, element: &PinCodes) -> Result<(), Fault> {
        let context = self.find(&self.files.context().clone())?;
        let pins = match &element.pin_codes {
            PinConfig::Own(pins) => pins,
            PinConfig::Shared(path) => {
                let with = self.find(&FilePath::from_bytes(path))?;
                self.image.add_pin(context, PinConfiguration::SharedWith(with));
                return Ok(());
            }
        };
        for pin in pins {
            let unblocking = pin.unblocking_pin_reference.map(KeyReference);
            if unblocking.is_some_and(|puk| !self.image.has_pin(FileNumber::MF, true, puk)) {
                return Err(Status::PIN_CODE_MISSING.into());
            }
            let reference = KeyReference(pin.key_reference);
            // A global PIN is the same everywhere, so it belongs to the MF wherever it is defined.
            let context = if reference.is_local() { context } else { FileNumber::MF };
            let entry = Pin {
                value: code(pin.pin_value.expose())?,
                enabled: pin.has(PinAttributes::ENABLED),
                replaced: false,
                attributes: PinAttributes(pin.pin_attributes),
                tries: pin.attempts_left(),
                maximum_tries: pin.max_attempts(),
                unblocking,
            };
            self.image.add_pin(context, PinConfiguration::Pin(reference, entry));
        }
        Ok(())
    }

    /// Gives key and sequence numbers to the USIM or ISIM before it.
    fn aka_parameter(&mut self, element: &AkaParameter, limits: Limits) -> Result<(), Fault> {
        if element.sqn_init.iter().any(|seq| seq[0] & 0xF8 != 0) {
            return Err(Status::BAD_VALUES.into());
        }
        let mut parameters = element.clone();
        match &element.algo_configuration {
            AlgoConfiguration::Algo(algo) => check_algo(algo, limits)?,
            AlgoConfiguration::Mapping(mapping) => {
                // The source's algorithm and key; sequence numbers are each application's own.
                let source =
                    self.image.applications().iter().find(|known| *known.record.aid == *mapping.mapping_source);
                let source = source.ok_or(Status::BAD_VALUES)?;
                parameters.algo_configuration = AkaParameter::from_der(&source.parameters)?.algo_configuration;
            }
        }
        let data = aka::initial_data(&parameters);
        let application = self.naa(&[kind::USIM, kind::ISIM])?;
        application.parameters = parameters.to_der();
        application.data = data;
        Ok(())
    }

    /// The application of the ADF created last, if it is of one of these kinds.
    fn naa(&mut self, kinds: &[ApplicationKind]) -> Result<&mut NewApplication, Fault> {
        let adf = self.files.application().cloned().ok_or(Status::BAD_VALUES)?;
        let adf = self.find(&adf)?;
        let mut applications = self.image.applications().iter();
        let at = applications.position(|known| known.record.adf == Some(adf) && kinds.contains(&known.record.kind));
        Ok(at.and_then(|at| self.image.application_mut(at)).ok_or(Status::BAD_VALUES)?)
    }

    fn security_domain(&mut self, element: &SecurityDomain) -> Result<(), Fault> {
        let [life_cycle] = element.instance.life_cycle_state;
        let aid = aid(&element.instance.instance_aid)?;
        let mut parameters = element.clone();
        let data = keys::take(&mut parameters);
        // The first one is the operator's, and stands for the card's issuer.
        let is_first = !self.image.applications().iter().any(|known| known.record.kind == kind::SECURITY_DOMAIN);
        self.add_application(aid, kind::SECURITY_DOMAIN, None, life_cycle, parameters.to_der())?;
        let added = self.image.applications().len().saturating_sub(1);
        if let Some(application) = self.image.application_mut(added) {
            application.record.privileges = security_domain::privileges(is_first);
            application.data = data;
        }
        Ok(())
    }

    fn rfm(&mut self, element: &Rfm) -> Result<(), Fault> {
        let known = |wanted: &[u8]| self.image.applications().iter().any(|known| *known.record.aid == *wanted);
        let has_domain = match &element.security_domain_aid {
            Some(aid) => known(aid),
            None => self.image.applications().iter().any(|known| known.record.kind == kind::SECURITY_DOMAIN),
        };
        if !has_domain || element.adf_rfm_access.as_ref().is_some_and(|access| !known(&access.adf_aid)) {
            return Err(Status::INVALID_PARAMETER.into());
        }
        self.add_application(aid(&element.instance_aid)?, kind::RFM, None, SELECTABLE, element.to_der())
    }

    fn add_application(
        &mut self,
        aid: Aid,
        kind: ApplicationKind,
        adf: Option<FileNumber>,
        life_cycle: u8,
        parameters: Vec<u8>,
    ) -> Result<(), Fault> {
        if self.image.applications().iter().any(|known| known.record.aid == aid) {
            return Err(Status::BAD_VALUES.into());
        }
        let record = ApplicationRecord { aid, kind, adf, life_cycle, privileges: Privileges::NONE };
        self.image.add_application(NewApplication { record, parameters, data: Vec::new() });
        Ok(())
    }
}

/// Life cycle state of an application that can be selected, GlobalPlatform §11.1.1.
const SELECTABLE: u8 = 0x07;

fn check_algo(algo: &AlgoParameter, limits: Limits) -> Result<(), Fault> {
    if aka::algorithm(algo).is_none() {
        return Err(Status::BAD_VALUES.into());
    }
    if limits.test_profile && !naa_keys::are_public(algo) {
        let reason = ErrorReason::TEST_PROFILE_INVALID_NAA_KEY;
        return Err(Fault { status: Status::BAD_VALUES, reason, words: Some("not a known test key".into()) });
    }
    Ok(())
}

fn aid(octets: &[u8]) -> Result<Aid, Fault> {
    Aid::new(octets).map_err(|_| Status::BAD_VALUES.into())
}

fn code(octets: &[u8]) -> Result<Zeroizing<[u8; 8]>, Fault> {
    octets.try_into().map(Zeroizing::new).map_err(|_| Status::BAD_VALUES.into())
}

/// A BER-TLV structure EF was filled with something else than data objects.
fn not_objects(reason: &'static str) -> Fault {
    saip::Error::Inconsistent { field: "fillFileContent".to_owned(), reason }.into()
}

/// The security attributes of a file.
fn security(rule: &AccessRuleReference) -> Security {
    let arr = FileId(rule.file_id);
    if rule.environments.is_empty() {
        Security::Arr(AccessReference { arr, record: rule.record })
    } else {
        Security::ArrBySe { arr, records: rule.environments.clone() }
    }
}

/// The structure of an EF, in the sizes that the operating system knows.
fn structure(file: &ResolvedFile) -> Result<Structure, Fault> {
    let size = u32::try_from(file.size).map_err(|_| Status::NOT_ENOUGH_MEMORY)?;
    let records = u8::try_from(file.records()).map_err(|_| Status::BAD_VALUES)?;
    let record_length = |length: usize| u8::try_from(length).map_err(|_| Status::BAD_VALUES);
    Ok(match file.kind {
        saip::FileKind::LinearFixed { record_length: length } => {
            Structure::LinearFixed { record_length: record_length(length)?, records }
        }
        saip::FileKind::Cyclic { record_length: length } => {
            Structure::Cyclic { record_length: record_length(length)?, records }
        }
        saip::FileKind::BerTlv => {
            let maximum = file.maximum_size.unwrap_or(0).max(file.size);
            let maximum = u32::try_from(maximum).map_err(|_| Status::NOT_ENOUGH_MEMORY)?;
            Structure::BerTlv { reserved: size, maximum }
        }
        _ => Structure::Transparent { size },
    })
}
