//! DELETE FILE. TS 102 222 §6.4.

use super::named;
use crate::domain;
use crate::fs::{Channel, FileKind, FileNumber, FileSession, Operation, Place, Route, TreeEdit};
use crate::id::{ApplicationId, ApplicationKind};
use crate::kernel::Change;
use crate::nvm::{Key, Partition, data_index, pin_index, registry};
use apdu::{Command, Response, StatusWord};

impl FileSession<'_, '_> {
    /// DELETE FILE: an EF, or a directory with all that lies below it, whatever the rules of that say. The directory around is
    /// current afterwards.
    pub(in crate::fs) fn delete_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let place = if let Some(fid) = named(command)? {
            self.within_current_df(fid)?
        } else {
            let Channel { route, current_ef, .. } = self.channel()?;
            Place { route: route.clone(), file: current_ef.unwrap_or(route.df()) }
        };
        if place.file == FileNumber::MF {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.directory_is_in_use(&place)?;
        let around = self.around(&place);
        let gone = self.tree.subtree(place.file);
        if !self.may_be_deleted(&place, &around) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        self.is_nowhere_in_use(&gone)?;
        if matches!(self.tree.get(place.file).map(|file| file.kind), Some(FileKind::Adf(_))) {
            self.unregister(place.file)?;
        }
        self.draw(around.df(), self.taken(place.file), 0)?;
        let highest = self.tree.next_number().and_then(|next| next.0.checked_sub(1)).map(FileNumber);
        self.note_highest(highest.ok_or(StatusWord::NOT_ENOUGH_MEMORY)?)?;
        for number in gone {
            self.forget_file(number);
        }
        self.effects.current = Some(self.after_deletion(&place, &around)?);
        self.effects.tree = Some(TreeEdit::Deleted(place.file));
        Ok(Response::done())
    }

    /// The directory around a file, as it was named.
    fn around(&self, place: &Place) -> Route {
        if place.file == place.route.df() {
            place.route.parent(self.tree).unwrap_or(Route::MF)
        } else {
            place.route.clone()
        }
    }

    /// The file's own rule for DELETE; else that of the directory for what lies in it. TS 102 221 tables 9.4, 9.5.
    fn may_be_deleted(&self, place: &Place, around: &Route) -> bool {
        let own = self.tree.rules_in(place.file, || self.pins().security_environment(&place.route));
        match own.named(Operation::Delete, self.header) {
            Some(condition) => self.fulfils(place, condition),
            None => self.allows(&around.clone().into(), Operation::DeleteChild),
        }
    }

    /// What is not shareable and current elsewhere stays, and so does what files link to that stay.
    fn is_nowhere_in_use(&self, gone: &[FileNumber]) -> Result<(), StatusWord> {
        for number in gone {
            self.admit(&Place { route: Route::of(self.tree.containing_df(*number)), file: *number })?;
        }
        let links_here = |number: &FileNumber| {
            let link = self.tree.get(*number).and_then(|file| file.link);
            link.is_some_and(|link| gone.contains(&link)) && !gone.contains(number)
        };
        if self.tree.numbers().iter().any(links_here) { Err(StatusWord::CONDITIONS_NOT_SATISFIED) } else { Ok(()) }
    }

    /// What is current when the file is gone: nothing of what went with it.
    fn after_deletion(&self, place: &Place, around: &Route) -> Result<Place, StatusWord> {
        let route = &self.channel()?.route;
        let was_within = route.upwards(self.tree).any(|directory| directory == place.file);
        Ok(if was_within { around.clone() } else { route.clone() }.into())
    }

    /// Erases a file: its descriptor, its content, the PINs of a directory.
    fn forget_file(&mut self, number: FileNumber) {
        let key = |partition, index| Key::new(partition, self.domain.0, index);
        let (file, content) = (key(Partition::File, u32::from(number.0)), key(Partition::Content, u32::from(number.0)));
        let pins =
            key(Partition::Pin, pin_index(number.0, false, 0))..=key(Partition::Pin, pin_index(number.0, true, 0xFF));
        self.nvm.remove(file);
        if self.nvm.get(content).is_some() {
            self.nvm.remove(content);
        }
        self.nvm.remove_all(pins);
    }

    /// Takes the entry of a directory with a name out of the registry. An application with commands of its own, or one whose
    /// session is open, stays.
    fn unregister(&mut self, adf: FileNumber) -> Result<(), StatusWord> {
        let mut applications = domain::load_applications(self.nvm, self.domain).into_iter();
        let Some((id, record)) = applications.find(|(_, record)| record.adf == Some(adf)) else { return Ok(()) };
        let is_open = |id: ApplicationId| self.channels.iter().any(|(_, channel)| channel.application == Some(id));
        if record.kind != ApplicationKind::FILES_ONLY || is_open(id) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let number = u32::from(id.number);
        self.nvm.remove(Key::new(Partition::Application, self.domain.0, number));
        let data = |item| Key::new(Partition::ApplicationData, self.domain.0, data_index(id.number, item));
        self.nvm.remove_all(data(0)..=data(u16::MAX));
        let after = id.number.saturating_add(1).max(self.stored_number(registry::NEXT_APPLICATION));
        self.nvm.insert(self.registry_key(registry::NEXT_APPLICATION), after.to_be_bytes());
        self.effects.application = Some((id, Change::Removed));
        Ok(())
    }
}
