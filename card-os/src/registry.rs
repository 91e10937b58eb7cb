//! The applications of a domain one by one, and what was loaded into it. GlobalPlatform Card Specification §5, §6.4.

use crate::card_profile::CardProfile;
use crate::domain::{self, ApplicationRecord, NewApplication};
use crate::id::{ApplicationId, DomainId};
use crate::kernel::{Change, Kernel};
use crate::load_file::{LoadFile, Origin};
use crate::nvm::{Key, Partition, Transaction, data_index, registry};
use apdu::{Aid, StatusWord};

/// Why the registry is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// There is not enough non-volatile memory, or no number left.
    OutOfMemory,
    /// The name is taken.
    Exists,
    /// Nothing has this name.
    NotFound,
    /// It is selected, others are made from it, or it is the one that asks.
    InUse,
    /// It has files, which come and go with their domain, or privileges that the requesting application does not have.
    NotAllowed,
}

impl From<RegistryError> for StatusWord {
    /// As INSTALL and DELETE say it. GlobalPlatform §11.2.3.2, §11.5.3.2.
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::OutOfMemory => Self::NOT_ENOUGH_MEMORY,
            RegistryError::Exists => Self::WRONG_DATA,
            RegistryError::NotFound => Self::REFERENCED_DATA_NOT_FOUND,
            RegistryError::InUse | RegistryError::NotAllowed => Self::CONDITIONS_NOT_SATISFIED,
        }
    }
}

/// The registry of an application's own domain, for one with the privilege to manage it. All of it is part of the
/// command's transaction; applications come and go when that is committed, before the answer leaves the card, and no
/// other application is built anew.
pub struct Registry<'a, 'n> {
    pub(crate) nvm: &'a mut Transaction<'n>,
    pub(crate) kernel: &'a mut Kernel,
    pub(crate) profile: &'a CardProfile,
    pub(crate) domain: DomainId,
    /// The application that asks.
    pub(crate) own: &'a ApplicationRecord,
}

impl Registry<'_, '_> {
    /// The applications, in the order of their installation.
    pub fn applications(&self) -> Vec<ApplicationRecord> {
        domain::load_applications(self.nvm, self.domain).into_iter().map(|(_, record)| record).collect()
    }

    /// What an application was made from; `None` for one that came with the domain.
    pub fn origin(&self, aid: &Aid) -> Option<Origin> {
        let (id, _) = self.find(aid).ok()?;
        Origin::from_bytes(self.nvm.get(self.key(registry::origin(id.number)))?)
    }

    /// Adds an application. It is started when the command is committed.
    pub fn add(&mut self, application: &NewApplication, origin: Option<&Origin>) -> Result<(), RegistryError> {
        let NewApplication { record, parameters, data } = application;
        if record.adf.is_some() || !self.own.privileges.contains(record.privileges) {
            return Err(RegistryError::NotAllowed);
        }
        self.ensure_free(&record.aid)?;
        if let Some(origin) = origin {
            let (_, load_file) = self.find_load_file(&origin.load_file)?;
            if !load_file.modules.contains(&origin.module) {
                return Err(RegistryError::NotFound);
            }
        }
        let number = self.next_application()?;
        let mut entries = vec![
            (self.application_key(number), record.to_bytes(parameters)),
            (self.key(registry::NEXT_APPLICATION), number.saturating_add(1).to_be_bytes().to_vec()),
        ];
        entries.extend(origin.map(|origin| (self.key(registry::origin(number)), origin.to_bytes())));
        entries.extend(data.iter().map(|(item, value)| {
            (Key::new(Partition::ApplicationData, self.domain.0, data_index(number, *item)), value.clone())
        }));
        self.insert_all(entries)?;
        self.kernel.changes.push((ApplicationId { domain: self.domain, number }, Change::Added));
        Ok(())
    }

    /// Removes an application with all it keeps. One whose session is open, on whatever channel, stays.
    pub fn remove(&mut self, aid: &Aid) -> Result<(), RegistryError> {
        let (id, record) = self.find(aid)?;
        if record.adf.is_some() {
            return Err(RegistryError::NotAllowed);
        }
        if record.aid == self.own.aid || self.kernel.is_selected(id) {
            return Err(RegistryError::InUse);
        }
        // Its number is not given out again: others may still know it by that.
        let next = self.next_application()?.max(id.number.saturating_add(1));
        self.nvm.insert(self.key(registry::NEXT_APPLICATION), next.to_be_bytes());
        self.nvm.remove(self.application_key(id.number));
        self.nvm.remove(self.key(registry::origin(id.number)));
        self.nvm.remove(self.key(registry::association(id.number)));
        let data = |item| Key::new(Partition::ApplicationData, self.domain.0, data_index(id.number, item));
        self.nvm.remove_all(data(0)..=data(u16::MAX));
        self.kernel.changes.push((id, Change::Removed));
        Ok(())
    }

    /// The parameters that an application was installed with.
    pub fn parameters(&self, aid: &Aid) -> Option<&[u8]> {
        let (id, _) = self.find(aid).ok()?;
        ApplicationRecord::from_bytes(self.nvm.get(self.application_key(id.number))?).map(|(_, parameters)| parameters)
    }

    /// Gives an application other install parameters.
    pub fn set_parameters(&mut self, aid: &Aid, parameters: &[u8]) -> Result<(), RegistryError> {
        let (id, record) = self.find(aid)?;
        let key = self.application_key(id.number);
        self.insert_all(vec![(key, record.to_bytes(parameters))])?;
        self.kernel.changes.push((id, Change::Updated));
        Ok(())
    }

    /// A value that an application keeps.
    pub fn value(&self, aid: &Aid, item: u16) -> Option<&[u8]> {
        let (id, _) = self.find(aid).ok()?;
        self.nvm.get(self.data_key(id.number, item))
    }

    /// The numbers within `range` that have a value of an application, ascending.
    pub fn items(&self, aid: &Aid, range: core::ops::RangeInclusive<u16>) -> Vec<u16> {
        let Ok((id, _)) = self.find(aid) else { return Vec::new() };
        let keys = self.data_key(id.number, *range.start())..=self.data_key(id.number, *range.end());
        self.nvm.keys(keys).into_iter().filter_map(|key| u16::try_from(key.index() & 0xFFFF).ok()).collect()
    }

    /// Keeps a value for an application, or removes it.
    pub fn set_value(&mut self, aid: &Aid, item: u16, value: Option<Vec<u8>>) -> Result<(), RegistryError> {
        let (id, _) = self.find(aid)?;
        let key = self.data_key(id.number, item);
        let Some(value) = value else {
            self.nvm.remove(key);
            return Ok(());
        };
        self.insert_all(vec![(key, value)])
    }

    /// The security domain that an application was handed over to; `None`: it belongs to the one it was made under.
    pub fn association(&self, aid: &Aid) -> Option<Aid> {
        let (id, _) = self.find(aid).ok()?;
        Aid::new(self.nvm.get(self.key(registry::association(id.number)))?).ok()
    }

    /// Hands an application over to a security domain. GlobalPlatform §9.4.1.
    pub fn associate(&mut self, aid: &Aid, security_domain: &Aid) -> Result<(), RegistryError> {
        let (id, _) = self.find(aid)?;
        self.find(security_domain)?;
        self.insert_all(vec![(self.key(registry::association(id.number)), security_domain.to_vec())])
    }

    /// Changes an application's life cycle state, by which it is locked and unlocked too. A session that is open goes on.
    pub fn set_life_cycle(&mut self, aid: &Aid, life_cycle: u8) -> Result<(), RegistryError> {
        let (id, record) = self.find(aid)?;
        let key = self.application_key(id.number);
        let parameters = self.nvm.get(key).and_then(ApplicationRecord::from_bytes).map(|(_, rest)| rest.to_vec());
        let entry = ApplicationRecord { life_cycle, ..record }.to_bytes(&parameters.unwrap_or_default());
        self.nvm.insert(key, entry);
        self.kernel.changes.push((id, Change::Updated));
        Ok(())
    }

    /// The load files, in the order of their loading.
    pub fn load_files(&self) -> Vec<LoadFile> {
        load_files(self.nvm, self.domain).into_iter().map(|(_, load_file)| load_file).collect()
    }

    /// Adds a load file with its code.
    pub fn load(&mut self, load_file: &LoadFile, code: Vec<u8>) -> Result<(), RegistryError> {
        self.ensure_free(&load_file.aid)?;
        let known = load_files(self.nvm, self.domain);
        let next = known.last().map_or(Some(0), |(last, _)| last.checked_add(1));
        let stored = self.stored_number(registry::NEXT_LOAD_FILE);
        let number = next.ok_or(RegistryError::OutOfMemory)?.max(stored);
        let after = number.checked_add(1).ok_or(RegistryError::OutOfMemory)?;
        self.insert_all(vec![
            (self.key(registry::load_file(number)), load_file.to_bytes()),
            (Key::new(Partition::LoadFile, self.domain.0, u32::from(number)), code),
            (self.key(registry::NEXT_LOAD_FILE), after.to_be_bytes().to_vec()),
        ])
    }

    /// Removes a load file no application is made from.
    pub fn unload(&mut self, aid: &Aid) -> Result<(), RegistryError> {
        let (number, _) = self.find_load_file(aid)?;
        let used = self
            .nvm
            .keys(self.key(registry::origin(0))..=self.key(registry::origin(u16::MAX)))
            .into_iter()
            .filter_map(|key| Origin::from_bytes(self.nvm.get(key)?))
            .any(|origin| origin.load_file == *aid);
        if used {
            return Err(RegistryError::InUse);
        }
        self.nvm.remove(self.key(registry::load_file(number)));
        self.nvm.remove(Key::new(Partition::LoadFile, self.domain.0, u32::from(number)));
        Ok(())
    }

    fn find(&self, aid: &Aid) -> Result<(ApplicationId, ApplicationRecord), RegistryError> {
        let mut applications = domain::load_applications(self.nvm, self.domain).into_iter();
        applications.find(|(_, record)| record.aid == *aid).ok_or(RegistryError::NotFound)
    }

    fn find_load_file(&self, aid: &Aid) -> Result<(u16, LoadFile), RegistryError> {
        let mut load_files = load_files(self.nvm, self.domain).into_iter();
        load_files.find(|(_, load_file)| load_file.aid == *aid).ok_or(RegistryError::NotFound)
    }

    /// No application that could be selected beside it, and no load file, has this name.
    fn ensure_free(&self, aid: &Aid) -> Result<(), RegistryError> {
        let domains = [self.domain, DomainId::PLATFORM].into_iter();
        let applications = domains.flat_map(|domain| domain::load_applications(self.nvm, domain));
        let taken =
            applications.map(|(_, record)| record.aid).any(|other| other == *aid) || self.find_load_file(aid).is_ok();
        if taken { Err(RegistryError::Exists) } else { Ok(()) }
    }

    /// Writes all, or nothing where memory does not suffice.
    fn insert_all(&mut self, entries: Vec<(Key, Vec<u8>)>) -> Result<(), RegistryError> {
        let wanted: usize = entries.iter().map(|(_, value)| Key::SIZE + value.len()).sum();
        if wanted > self.profile.non_volatile_memory.saturating_sub(self.nvm.used()) {
            return Err(RegistryError::OutOfMemory);
        }
        for (key, value) in entries {
            self.nvm.insert(key, value);
        }
        Ok(())
    }

    fn next_application(&self) -> Result<u16, RegistryError> {
        let last = domain::load_applications(self.nvm, self.domain).last().map(|(id, _)| id.number);
        let next = last.map_or(Some(0), |last| last.checked_add(1)).ok_or(RegistryError::OutOfMemory)?;
        let next = next.max(self.stored_number(registry::NEXT_APPLICATION));
        if next == u16::MAX { Err(RegistryError::OutOfMemory) } else { Ok(next) }
    }

    fn stored_number(&self, index: u32) -> u16 {
        match self.nvm.get(self.key(index)) {
            Some([high, low]) => u16::from_be_bytes([*high, *low]),
            _ => 0,
        }
    }

    const fn data_key(&self, application: u16, item: u16) -> Key {
        Key::new(Partition::ApplicationData, self.domain.0, data_index(application, item))
    }

    const fn key(&self, index: u32) -> Key {
        Key::new(Partition::Registry, self.domain.0, index)
    }

    fn application_key(&self, number: u16) -> Key {
        Key::new(Partition::Application, self.domain.0, u32::from(number))
    }
}

/// The load files of a domain, with their numbers there.
pub(crate) fn load_files(nvm: &Transaction<'_>, domain: DomainId) -> Vec<(u16, LoadFile)> {
    let key = |index| Key::new(Partition::Registry, domain.0, index);
    nvm.keys(key(registry::load_file(0))..=key(registry::load_file(u16::MAX)))
        .into_iter()
        .filter_map(|key| {
            let number = u16::try_from(key.index() & 0xFFFF).ok()?;
            Some((number, LoadFile::from_bytes(nvm.get(key)?)?))
        })
        .collect()
}
