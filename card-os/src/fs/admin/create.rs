//! CREATE FILE. TS 102 222 §6.3.

use super::Parameters;
use super::memory::reserve;
use super::parameters::{Descriptor, Form, Proprietary, ShortId};
use crate::domain::{self, ApplicationRecord, Privileges};
use crate::fs::{File, FileId, FileKind, FileNumber, FileSession, Operation, Place, Structure, TreeEdit};
use crate::id::{ApplicationId, ApplicationKind, DomainId};
use crate::kernel::Change;
use crate::nvm::{Key, Partition, registry};
use apdu::{Aid, Command, Response, StatusWord};

impl FileSession<'_, '_> {
    /// CREATE FILE: a file below the current directory. It is current afterwards.
    pub(in crate::fs) fn create_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let parameters = Parameters::parse(command.data)?;
        let Descriptor { form, .. } = parameters.descriptor.ok_or(StatusWord::WRONG_DATA)?;
        let around = Place::from(self.channel()?.route.clone());
        let operation = if form == Form::Directory { Operation::CreateDf } else { Operation::CreateEf };
        let file = self.described(&parameters, &around)?;
        self.permitted(&around, operation)?;
        self.has_free_names(&file, &around, parameters.short_id)?;
        let file = self.with_short_id(file, parameters.short_id);
        let filling = parameters.proprietary.as_ref().map(|info| info.filling).unwrap_or_default();
        let number = self.allocate_file()?;
        let taken = match file.kind {
            FileKind::Ef(structure) => structure.size(),
            _ => file.total_size.unwrap_or_default(),
        };
        self.draw(file.parent, 0, taken as usize)?;
        let content = match file.kind {
            FileKind::Ef(structure) => filling.content(structure),
            _ => reserve(taken as usize),
        };
        self.keep_content(number, content);
        if let FileKind::Adf(aid) = file.kind {
            self.register(number, aid)?;
        }
        self.write_descriptor(number, &file);
        self.fits_into_memory()?;
        if let FileKind::Ef(Structure::Cyclic { .. }) = file.kind {
            // The record created last.
            self.effects.record = Some(1);
        }
        let route = if file.kind.is_df() { around.route.down_to_new(number) } else { around.route };
        self.effects.current = Some(Place { route, file: number });
        self.effects.tree = Some(TreeEdit::Created(number, Box::new(file)));
        Ok(Response::done())
    }

    /// The file that the parameters describe.
    fn described(&self, parameters: &Parameters<'_>, around: &Place) -> Result<File, StatusWord> {
        let missing = StatusWord::WRONG_DATA;
        let Descriptor { form, shareable } = parameters.descriptor.ok_or(missing)?;
        let fid = parameters.fid.filter(|fid| !is_reserved(*fid)).ok_or(missing)?;
        let info = parameters.proprietary.as_ref();
        let kind = if form == Form::Directory {
            if parameters.size.is_some()
                || parameters.short_id.is_some()
                || info.is_some_and(Proprietary::is_of_ef)
                || parameters.total_size == Some(0)
            {
                return Err(StatusWord::WRONG_DATA);
            }
            match parameters.name {
                Some(name) => FileKind::Adf(Aid::new(name).map_err(|_| StatusWord::WRONG_DATA)?),
                None => FileKind::Df,
            }
        } else {
            if parameters.name.is_some() || parameters.pins.is_some() {
                return Err(StatusWord::WRONG_DATA);
            }
            FileKind::Ef(parameters.structure(form)?)
        };
        let security = parameters.security.clone().ok_or(missing)?;
        Ok(File {
            life_cycle: parameters.life_cycle.ok_or(missing)?,
            special: info.and_then(|info| info.special).unwrap_or_default(),
            shareable,
            pin_status: parameters.pins.clone().unwrap_or_default(),
            total_size: parameters.total_size.filter(|_| form == Form::Directory),
            proprietary: info.map(|info| info.other.clone()).unwrap_or_default(),
            ..File::new(fid, self.tree.body(around.file), kind, security)
        })
    }

    /// Whether nothing else has a name of this file. No directory is called like one around it. TS 102 221 §8.6.
    fn has_free_names(&self, file: &File, around: &Place, short_id: Option<ShortId>) -> Result<(), StatusWord> {
        let df = file.parent;
        if let FileKind::Adf(aid) = file.kind {
            if df != FileNumber::MF {
                return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
            }
            if self.is_registered(&aid) || self.tree.adf(&aid).is_some() {
                return Err(StatusWord::DF_NAME_ALREADY_EXISTS);
            }
        }
        let is_called = |number: FileNumber| {
            let called = |at: &File| at.fid == file.fid && !matches!(at.kind, FileKind::Adf(_));
            self.tree.get(number).is_some_and(called)
        };
        let taken = self.tree.child(df, file.fid).is_some()
            || around.route.upwards(self.tree).any(is_called)
            || (matches!(file.kind, FileKind::Adf(_)) && self.adf_called(file.fid).is_some());
        let short_id_taken =
            matches!(short_id, Some(ShortId::Given(short_id)) if self.tree.by_sfi(df, short_id).is_some());
        if taken || short_id_taken { Err(StatusWord::FILE_ALREADY_EXISTS) } else { Ok(()) }
    }

    /// The file with its short file identifier: the one given, or the low five bits of the identifier where none is and no other
    /// file has that. TS 102 222 table 4.
    fn with_short_id(&self, file: File, short_id: Option<ShortId>) -> File {
        let low = (file.fid.0 & 0x1F).to_be_bytes()[1];
        let implied = || (1..=30).contains(&low) && self.tree.by_sfi(file.parent, low).is_none();
        let sfi = match short_id {
            _ if file.kind.is_df() => None,
            Some(ShortId::None) => None,
            Some(ShortId::Given(short_id)) => Some(short_id),
            None => implied().then_some(low),
        };
        File { sfi, ..file }
    }

    /// Whether an application that can be selected beside these files has this name.
    fn is_registered(&self, aid: &Aid) -> bool {
        let domains = [self.domain, DomainId::PLATFORM].into_iter();
        let mut records = domains.flat_map(|domain| domain::load_applications(self.nvm, domain));
        records.any(|(_, record)| record.aid == *aid)
    }

    /// Makes a directory with a name one that can be selected by it.
    fn register(&mut self, adf: FileNumber, aid: Aid) -> Result<(), StatusWord> {
        const SELECTABLE: u8 = 0x07;
        let full = StatusWord::NOT_ENOUGH_MEMORY;
        let last = domain::load_applications(self.nvm, self.domain).last().map(|(id, _)| id.number);
        let next = last.map_or(Some(0), |last| last.checked_add(1)).ok_or(full)?;
        let number = next.max(self.stored_number(registry::NEXT_APPLICATION));
        let after = number.checked_add(1).ok_or(full)?;
        let record = ApplicationRecord {
            aid,
            kind: ApplicationKind::FILES_ONLY,
            adf: Some(adf),
            life_cycle: SELECTABLE,
            privileges: Privileges::NONE,
        };
        self.nvm.insert(Key::new(Partition::Application, self.domain.0, u32::from(number)), record.to_bytes(&[]));
        self.nvm.insert(self.registry_key(registry::NEXT_APPLICATION), after.to_be_bytes());
        self.effects.application = Some((ApplicationId { domain: self.domain, number }, Change::Added));
        Ok(())
    }
}

/// Identifiers that mean something else. ISO/IEC 7816-4 §8.2.1.1, TS 102 221 §8.6.
const fn is_reserved(fid: FileId) -> bool {
    const NONE: u16 = 0x0000;
    const CURRENT_DF: u16 = 0x3FFF;
    const FUTURE: u16 = 0xFFFF;
    matches!(fid.0, NONE | CURRENT_DF | FUTURE) || matches!(fid, FileId::MF | FileId::CURRENT_ADF)
}
