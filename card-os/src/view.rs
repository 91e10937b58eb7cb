//! A card's memory, to look at: what its domains hold, without running it.

use crate::domain::{self, ApplicationRecord, Port};
use crate::fs::{FileNumber, FileTree, KeyReference, PinConfiguration, fcp};
use crate::id::DomainId;
use crate::load_file::LoadFile;
use crate::nvm::{Key, MemoryNvm, Partition, Transaction};
use crate::registry;
use std::collections::BTreeMap;

/// A domain as it lies in memory.
pub struct DomainView {
    /// Its number.
    pub id: DomainId,
    /// Whether the channels see its files and applications, beside those of the platform.
    pub active: bool,
    /// The port on which it is active.
    pub port: Option<Port>,
    /// Its files, with access rules worked out.
    pub tree: FileTree,
    /// PINs and PUKs, each with the DF that defines it.
    pub pins: Vec<(FileNumber, PinConfiguration)>,
    /// Its applications.
    pub applications: Vec<ApplicationView>,
    /// What was loaded into it.
    pub load_files: Vec<LoadFile>,
    /// Bytes it takes.
    pub used: usize,
    contents: BTreeMap<FileNumber, Vec<u8>>,
}

/// An application as it lies in memory.
pub struct ApplicationView {
    /// Its number in the domain.
    pub number: u16,
    /// Its registry entry.
    pub record: ApplicationRecord,
    /// The parameters it was installed with.
    pub parameters: Vec<u8>,
    /// What it keeps, under its own numbers.
    pub data: BTreeMap<u16, Vec<u8>>,
}

/// What it consists of, not the contents of files: keys are among them.
impl core::fmt::Debug for DomainView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DomainView")
            .field("id", &self.id)
            .field("active", &self.active)
            .field("files", &self.tree.numbers().len())
            .field("pins", &self.pins)
            .field("applications", &self.applications)
            .field("load_files", &self.load_files)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// What it is and how many values it keeps, not the values: keys are among them.
impl core::fmt::Debug for ApplicationView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ApplicationView({:?}, {} values)", self.record, self.data.len())
    }
}

impl DomainView {
    /// All domains of a memory, the platform first.
    pub fn all(memory: &MemoryNvm) -> Vec<Self> {
        let mut domains: Vec<DomainId> = memory.iter().map(|(key, _)| DomainId(key.domain())).collect();
        domains.sort_unstable();
        domains.dedup();
        domains.into_iter().map(|domain| Self::of(memory, domain)).collect()
    }

    fn of(memory: &MemoryNvm, id: DomainId) -> Self {
        let mut copy = memory.clone();
        let nvm = Transaction::new(&mut copy);
        let within = |partition| {
            let keys = Key::all(partition, id.0);
            memory.iter().filter(move |(key, _)| keys.contains(key)).map(|(key, value)| (key.index(), value))
        };
        let value = |index: u32, value: &[u8]| Some((FileNumber(u16::try_from(index).ok()?), value.to_vec()));
        let applications = within(Partition::Application).filter_map(|(number, entry)| {
            let (record, parameters) = ApplicationRecord::from_bytes(entry)?;
            let data = within(Partition::ApplicationData).filter(|(index, _)| index >> 16 == number);
            Some(ApplicationView {
                number: u16::try_from(number).ok()?,
                record,
                parameters: parameters.to_vec(),
                data: data.map(|(index, value)| ((index & 0xFFFF) as u16, value.to_vec())).collect(),
            })
        });
        let port = domain::ports(&nvm).into_iter().find(|(_, domain)| *domain == id).map(|(port, _)| port);
        Self {
            id,
            active: port.is_some(),
            port,
            tree: domain::load_tree(&nvm, id),
            pins: within(Partition::Pin)
                .filter_map(|(index, entry)| PinConfiguration::from_stored(index, entry))
                .collect(),
            applications: applications.collect(),
            load_files: registry::load_files(&nvm, id).into_iter().map(|(_, load_file)| load_file).collect(),
            used: memory.iter().filter(|(key, _)| key.domain() == id.0).map(|(key, value)| key.cost(value.len())).sum(),
            contents: within(Partition::Content).filter_map(|(index, content)| value(index, content)).collect(),
        }
    }

    /// The file control parameters that SELECT answers for a file, with `free` octets of memory left; nothing if there is no such
    /// file.
    pub fn fcp(&self, number: FileNumber, free: usize) -> Vec<u8> {
        if !self.tree.is_df(number) {
            return fcp::of_ef(&self.tree, number);
        }
        let enabled = |reference: u8| {
            self.pins.iter().any(|(_, entry)| {
                matches!(entry, PinConfiguration::Pin(KeyReference(own), pin) if *own == reference && pin.enabled)
            })
        };
        fcp::of_df(&self.tree, number, enabled, false, free)
    }

    /// A file's content; that of the file it links to, for a link.
    pub fn content(&self, number: FileNumber) -> Option<&[u8]> {
        self.contents.get(&self.tree.body(number)).map(Vec::as_slice)
    }
}
