//! Domains: compartments with files, PINs and applications of their own.

use crate::bytes::Bytes;
use crate::fs::{File, FileKind, FileNumber, FileTree, PathError, PinConfiguration, Structure, with_reserve};
use crate::id::{ApplicationId, ApplicationKind, DomainId};
use crate::load_file::LoadFile;
use crate::nvm::{Key, Partition, Transaction, data_index, registry, system};
use apdu::Aid;
use std::collections::BTreeMap;
use zeroize::{Zeroize, Zeroizing};

/// What an application may do beyond its own data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges(pub u8);

impl Privileges {
    /// No privileges.
    pub const NONE: Self = Self(0);
    /// May install, activate and delete domains. Effective in the platform domain only.
    pub const MANAGE_DOMAINS: Self = Self(1);
    /// May add, remove and lock applications of its own domain.
    pub const MANAGE_APPLICATIONS: Self = Self(2);
    /// Is the card issuer's security domain, which an empty name selects. GlobalPlatform §6.4.2.
    pub const ISSUER: Self = Self(4);

    pub(crate) const fn may_manage_domains(self) -> bool {
        self.contains(Self::MANAGE_DOMAINS)
    }

    pub(crate) const fn may_manage_applications(self) -> bool {
        self.contains(Self::MANAGE_APPLICATIONS)
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are among these.
    pub const fn contains(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }
}

/// An application's entry in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationRecord {
    /// The name it is selected by.
    pub aid: Aid,
    /// What it is; the composition root knows how to build it.
    pub kind: ApplicationKind,
    /// Its directory, for an application that has files.
    pub adf: Option<FileNumber>,
    /// GlobalPlatform life cycle state, `07` selectable.
    pub life_cycle: u8,
    /// What it may do beyond its own data.
    pub privileges: Privileges,
}

impl ApplicationRecord {
    /// Whether it is a card issuer's security domain in which the card has been locked or terminated, so that no other
    /// application may be selected. GlobalPlatform §5.1.1.
    pub(crate) const fn locks_card(&self) -> bool {
        self.privileges.contains(Privileges::ISSUER) && matches!(self.life_cycle, CARD_LOCKED | TERMINATED)
    }

    /// Whether a host may select it: installed for selection and not locked. GlobalPlatform §5.3.1.
    pub(crate) const fn is_selectable(&self) -> bool {
        const SELECTABLE: u8 = 0x04;
        const LOCKED: u8 = 0x80;
        self.life_cycle & (SELECTABLE | LOCKED) == SELECTABLE
    }

    pub(crate) fn to_bytes(&self, parameters: &[u8]) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.kind.0.to_be_bytes());
        bytes.extend(self.adf.map_or(NO_ADF, |adf| adf.0).to_be_bytes());
        bytes.extend([self.life_cycle, self.privileges.0]);
        bytes.push(u8::try_from(self.aid.len()).unwrap_or_default());
        bytes.extend_from_slice(&self.aid);
        bytes.extend_from_slice(parameters);
        bytes
    }

    /// The entry, and the install parameters behind it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut at = Bytes(bytes);
        if at.u8()? != FORMAT {
            return None;
        }
        let (kind, adf) = (ApplicationKind(at.u16()?), at.u16()?);
        let (life_cycle, privileges) = (at.u8()?, Privileges(at.u8()?));
        let aid = Aid::new(at.counted()?).ok()?;
        let adf = (adf != NO_ADF).then_some(FileNumber(adf));
        Some((Self { aid, kind, adf, life_cycle, privileges }, at.0))
    }
}

/// Life cycle states of a card issuer's security domain in which the card serves nobody else. GlobalPlatform §11.1.1.
pub(crate) const CARD_LOCKED: u8 = 0x7F;
const TERMINATED: u8 = 0xFF;

/// First byte of a stored entry; changes with its layout.
const FORMAT: u8 = 1;
const NO_ADF: u16 = 0xFFFF;

/// An application to be installed with its domain.
#[derive(Clone)]
pub struct NewApplication {
    /// Its registry entry.
    pub record: ApplicationRecord,
    /// Install parameters, in the application's own format; it reads them with `Context::parameters`.
    pub parameters: Vec<u8>,
    /// Initial data under the application's own numbers.
    pub data: Vec<(u16, Vec<u8>)>,
}

impl Drop for NewApplication {
    /// Keys are among both.
    fn drop(&mut self) {
        self.parameters.zeroize();
        self.data.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

/// A domain that is not installed yet: staged in working memory, written in one transaction.
///
/// Nothing of it is on the card before `Platform::install`, so whatever interrupts its making leaves no trace.
#[derive(Clone, Default)]
pub struct DomainImage {
    tree: FileTree,
    contents: Vec<(FileNumber, Vec<u8>)>,
    pins: Vec<(FileNumber, PinConfiguration)>,
    applications: Vec<NewApplication>,
    load_files: Vec<(LoadFile, Vec<u8>)>,
    /// Bytes the files will take.
    size: usize,
    /// How to undo, last change first, what was done since [`DomainImage::begin`]; `None`: it is not to be undone.
    journal: Option<Vec<Undo>>,
}

/// How one change of an image is undone.
#[derive(Clone)]
enum Undo {
    /// The last file goes, with its content if it has one; the size was this.
    File { has_content: bool, size: usize },
    /// A file's descriptor was this.
    Descriptor(FileNumber, File),
    /// Octets of a file's content were these.
    Content { file: FileNumber, offset: usize, octets: Zeroizing<Vec<u8>> },
    /// The last PIN goes; the one that it replaced was at this place.
    Pin(Option<(usize, (FileNumber, PinConfiguration))>),
    /// The last application goes.
    ApplicationAdded,
    /// An application was this.
    Application(usize, NewApplication),
    /// The last load file goes.
    LoadFile,
}

impl DomainImage {
    /// An image with nothing in it, not even an MF.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files so far.
    pub const fn tree(&self) -> &FileTree {
        &self.tree
    }

    /// Adds a file with its content, which must be as long as its structure says (BER-TLV: objects, at most
    /// the maximum; a DF or a link: empty). The first file must be the MF.
    pub fn add_file(&mut self, file: File, content: Vec<u8>) -> Result<FileNumber, PathError> {
        let descriptor = Key::SIZE + file.to_bytes().len();
        let content = match file.kind {
            FileKind::Ef(Structure::BerTlv { reserved, .. }) if file.link.is_none() => {
                with_reserve(content, reserved as usize)
            }
            _ => content,
        };
        let number = self.tree.insert(file)?;
        let undo = Undo::File { has_content: !content.is_empty(), size: self.size };
        self.note(|_| Some(undo));
        self.size += descriptor;
        if !content.is_empty() {
            self.size += Key::SIZE + content.len();
            self.contents.push((number, content));
        }
        Ok(number)
    }

    /// A file's content.
    pub fn content(&self, number: FileNumber) -> Option<&[u8]> {
        self.contents.iter().find(|(file, _)| *file == number).map(|(_, content)| content.as_slice())
    }

    /// Writes over a part of a file's content; `None` where the content does not reach.
    pub fn write_content(&mut self, number: FileNumber, offset: usize, octets: &[u8]) -> Option<()> {
        let (_, content) = self.contents.iter_mut().find(|(file, _)| *file == number)?;
        let part = content.get_mut(offset..offset.checked_add(octets.len())?)?;
        if let Some(journal) = &mut self.journal {
            journal.push(Undo::Content { file: number, offset, octets: Zeroizing::new(part.to_vec()) });
        }
        part.copy_from_slice(octets);
        Some(())
    }

    /// Gives a BER-TLV structure EF the data objects that it starts with; what is set aside for it stays so.
    pub fn set_objects(&mut self, number: FileNumber, objects: Vec<u8>) {
        let kind = self.tree.get(number).map(|file| file.kind);
        let Some(FileKind::Ef(Structure::BerTlv { reserved, .. })) = kind else { return };
        if let Some((_, content)) = self.contents.iter_mut().find(|(file, _)| *file == number) {
            let before = core::mem::replace(content, with_reserve(objects, reserved as usize));
            self.size = (self.size + content.len()).saturating_sub(before.len());
        }
    }

    /// From here on every change can be [undone](Self::undo), until [`keep`](Self::keep). It costs what is changed, not
    /// what is there.
    pub fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// The changes since [`begin`](Self::begin) stay.
    pub fn keep(&mut self) {
        self.journal = None;
    }

    /// The image is again as it was at [`begin`](Self::begin).
    pub fn undo(&mut self) {
        for undo in self.journal.take().into_iter().flatten().rev() {
            match undo {
                Undo::File { has_content, size } => {
                    self.tree.remove_last();
                    if has_content {
                        self.contents.pop();
                    }
                    self.size = size;
                }
                Undo::Descriptor(number, before) => {
                    if let Some(file) = self.tree.get_mut(number) {
                        *file = before;
                    }
                }
                Undo::Content { file, offset, octets } => {
                    self.write_content(file, offset, &octets);
                }
                Undo::Pin(replaced) => {
                    self.pins.pop();
                    if let Some((at, pin)) = replaced {
                        self.pins.insert(at, pin);
                    }
                }
                Undo::ApplicationAdded => drop(self.applications.pop()),
                Undo::Application(at, before) => {
                    if let Some(application) = self.applications.get_mut(at) {
                        *application = before;
                    }
                }
                Undo::LoadFile => drop(self.load_files.pop()),
            }
        }
    }

    /// Octets kept to undo what was changed: none of what was added.
    pub fn kept_to_undo(&self) -> usize {
        let octets = |undo: &Undo| match undo {
            Undo::Content { octets, .. } => octets.len(),
            Undo::Application(_, before) => {
                before.parameters.len() + before.data.iter().map(|(_, value)| value.len()).sum::<usize>()
            }
            _ => 0,
        };
        self.journal.iter().flatten().map(octets).sum()
    }

    /// Takes note of how a change is undone, if that may be asked for.
    fn note(&mut self, undo: impl FnOnce(&Self) -> Option<Undo>) {
        if self.journal.is_some()
            && let Some(undo) = undo(self)
            && let Some(journal) = &mut self.journal
        {
            journal.push(undo);
        }
    }

    /// A file's descriptor, to be changed in place.
    pub fn file_mut(&mut self, number: FileNumber) -> Option<&mut File> {
        self.note(|image| Some(Undo::Descriptor(number, image.tree.get(number)?.clone())));
        self.tree.get_mut(number)
    }

    /// Adds a PIN, a PUK, or the sharing of another DF's PINs, to the DF `context`. A later entry replaces an
    /// earlier one of the same kind and reference.
    pub fn add_pin(&mut self, context: FileNumber, pin: PinConfiguration) {
        let same =
            |(file, old): &(FileNumber, PinConfiguration)| *file == context && old.index(context) == pin.index(context);
        let replaced = self.pins.iter().position(same).map(|at| (at, self.pins.remove(at)));
        self.note(|_| Some(Undo::Pin(replaced)));
        self.pins.push((context, pin));
    }

    /// Whether a PIN or PUK with this entry's kind and reference is defined for `context`.
    pub fn has_pin(&self, context: FileNumber, unblocking: bool, reference: crate::fs::KeyReference) -> bool {
        self.pins.iter().any(|(file, pin)| {
            *file == context
                && match pin {
                    PinConfiguration::Pin(r, _) => !unblocking && *r == reference,
                    PinConfiguration::Puk(r, _) => unblocking && *r == reference,
                    PinConfiguration::SharedWith(_) => false,
                }
        })
    }

    /// A PIN that the DF `context` defines.
    pub fn pin(&self, context: FileNumber, reference: crate::fs::KeyReference) -> Option<&crate::fs::Pin> {
        self.pins.iter().find_map(|(file, pin)| match pin {
            PinConfiguration::Pin(own, pin) if *file == context && *own == reference => Some(pin),
            _ => None,
        })
    }

    /// Adds an application.
    pub fn add_application(&mut self, application: NewApplication) {
        self.note(|_| Some(Undo::ApplicationAdded));
        self.applications.push(application);
    }

    /// The applications so far.
    pub fn applications(&self) -> &[NewApplication] {
        &self.applications
    }

    /// An application by its place among [those so far](Self::applications), to be changed in place.
    pub fn application_mut(&mut self, at: usize) -> Option<&mut NewApplication> {
        self.note(|image| Some(Undo::Application(at, image.applications.get(at)?.clone())));
        self.applications.get_mut(at)
    }

    /// Adds a load file with its code.
    pub fn add_load_file(&mut self, load_file: LoadFile, code: Vec<u8>) {
        self.note(|_| Some(Undo::LoadFile));
        self.load_files.push((load_file, code));
    }

    /// Bytes of non-volatile memory the domain will take.
    pub fn size(&self) -> usize {
        let pins = self.pins.iter().map(|(_, pin)| Key::SIZE + pin.to_bytes().len());
        let applications = self.applications.iter().map(|application| {
            let entry = Key::SIZE + application.record.to_bytes(&application.parameters).len();
            entry + application.data.iter().map(|(_, value)| Key::SIZE + value.len()).sum::<usize>()
        });
        let load_files =
            self.load_files.iter().map(|(entry, code)| 2 * Key::SIZE + entry.to_bytes().len() + code.len());
        self.size + pins.chain(applications).chain(load_files).sum::<usize>()
    }

    /// Writes the domain into a transaction.
    pub(crate) fn write(self, domain: DomainId, nvm: &mut Transaction<'_>) {
        let key = |partition, index| Key::new(partition, domain.0, index);
        for number in self.tree.numbers() {
            if let Some(file) = self.tree.get(number) {
                nvm.insert(key(Partition::File, u32::from(number.0)), file.to_bytes());
            }
        }
        for (number, content) in self.contents {
            nvm.insert(key(Partition::Content, u32::from(number.0)), content);
        }
        for (context, pin) in &self.pins {
            nvm.insert(key(Partition::Pin, pin.index(*context)), pin.to_bytes());
        }
        for (number, mut application) in (0_u16..).zip(self.applications) {
            let record = application.record.to_bytes(&application.parameters);
            nvm.insert(key(Partition::Application, u32::from(number)), record);
            for (item, value) in core::mem::take(&mut application.data) {
                nvm.insert(key(Partition::ApplicationData, data_index(number, item)), value);
            }
        }
        for (number, (load_file, code)) in (0_u16..).zip(self.load_files) {
            nvm.insert(key(Partition::Registry, registry::load_file(number)), load_file.to_bytes());
            nvm.insert(key(Partition::LoadFile, u32::from(number)), code);
        }
    }
}

/// There is not enough non-volatile memory for the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// The card's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Non-volatile bytes free.
    pub free_non_volatile: usize,
    /// Working memory bytes free.
    pub free_volatile: usize,
    /// Applications installed, the platform's included.
    pub applications: usize,
}

/// One of the ways by which a terminal sees a card as if it had one of its own: an eSIM port. SGP.22 v3 §2.12,
/// TS 102 221 §7.4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(pub u8);

impl Port {
    /// The one port every card has.
    pub const FIRST: Self = Self(0);
    /// How many this card has.
    pub(crate) const COUNT: u8 = 1;
}

/// The domain whose files and applications the channels of a port see.
pub(crate) fn active(nvm: &Transaction<'_>, port: Port) -> Option<DomainId> {
    match nvm.get(system::active_domain(port.0)) {
        Some([high, low]) => Some(DomainId(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Which domain is active on which port.
pub(crate) fn ports(nvm: &Transaction<'_>) -> BTreeMap<Port, DomainId> {
    (0..Port::COUNT).map(Port).filter_map(|port| Some((port, active(nvm, port)?))).collect()
}

/// Changes the active domain of a port.
pub(crate) fn set_active(nvm: &mut Transaction<'_>, port: Port, domain: Option<DomainId>) {
    match domain {
        Some(domain) => nvm.insert(system::active_domain(port.0), domain.0.to_be_bytes()),
        None => nvm.remove(system::active_domain(port.0)),
    }
}

/// A number for a new domain.
pub(crate) fn allocate(nvm: &mut Transaction<'_>) -> DomainId {
    let mut next = match nvm.get(system::NEXT_DOMAIN) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 1,
    };
    // After 65,535 installations the numbers start over; those still in use are passed by.
    while next == DomainId::PLATFORM.0 || !nvm.keys(Key::all(Partition::File, next)).is_empty() {
        next = next.wrapping_add(1);
    }
    nvm.insert(system::NEXT_DOMAIN, next.wrapping_add(1).to_be_bytes());
    DomainId(next)
}

/// Removes everything a domain has.
pub(crate) fn erase(nvm: &mut Transaction<'_>, domain: DomainId) {
    for partition in [
        Partition::File,
        Partition::Content,
        Partition::Pin,
        Partition::Application,
        Partition::ApplicationData,
        Partition::Registry,
        Partition::LoadFile,
        Partition::Heap,
    ] {
        nvm.remove_all(Key::all(partition, domain.0));
    }
}

/// The file tree of a domain, with access rules worked out.
pub(crate) fn load_tree(nvm: &Transaction<'_>, domain: DomainId) -> FileTree {
    let files = nvm.keys(Key::all(Partition::File, domain.0)).into_iter().filter_map(|key| {
        let number = FileNumber(u16::try_from(key.index()).ok()?);
        Some((number, File::from_bytes(nvm.get(key)?)?))
    });
    let mut tree = FileTree::from_stored(files);
    tree.link_up(|number| {
        nvm.get(Key::new(Partition::Content, domain.0, u32::from(number.0))).unwrap_or_default().to_vec()
    });
    tree
}

/// The applications of a domain.
pub(crate) fn load_applications(nvm: &Transaction<'_>, domain: DomainId) -> Vec<(ApplicationId, ApplicationRecord)> {
    nvm.keys(Key::all(Partition::Application, domain.0))
        .into_iter()
        .filter_map(|key| {
            let number = u16::try_from(key.index()).ok()?;
            let (record, _) = ApplicationRecord::from_bytes(nvm.get(key)?)?;
            Some((ApplicationId { domain, number }, record))
        })
        .collect()
}
