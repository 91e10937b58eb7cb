//! File administration: files come and go, change their size and their life cycle. TS 102 222, TS 102 221 §11.1.14, §11.1.15.
//!
//! A command is one transaction: its descriptor, its content, the memory it takes from the directory around, and for a directory
//! with a name the application's entry. What is refused has written nothing.
//!
//! Where TS 102 222 leaves a choice, it is made as follows.
//! * A file is named within the current directory, or is that directory. Without a name DELETE and TERMINATE mean what is current.
//! * A file that is shareable may be deleted though another channel has it current; there, the directory around it is current
//!   afterwards. One that is not shareable may not: `6985`. TS 102 222 §6.4.1.
//! * What other files link to stays as long as they do.
//! * DELETE asks the file's own rule; where that says nothing of it, the directory's rule for what lies in it.

mod create;
mod delete;
mod life_cycle;
mod memory;
mod parameters;
mod resize;

use super::{FileId, FileKind, FileNumber, FileSession, LifeCycle, Place, Route};
use crate::nvm::{Key, Partition, registry};
use apdu::{Command, StatusWord};
use parameters::Parameters;

/// The file that a command names by two bytes of data; `None`: without data it means what is current.
fn named(command: &Command<'_>) -> Result<Option<FileId>, StatusWord> {
    match (command.p1_p2(), command.data) {
        (1.., _) => Err(StatusWord::WRONG_P1_P2),
        (_, []) => Ok(None),
        (_, [high, low]) => Ok(Some(FileId(u16::from_be_bytes([*high, *low])))),
        _ => Err(StatusWord::WRONG_LENGTH),
    }
}

impl FileSession<'_, '_> {
    /// The file of this name that may be administered from here: one directly below the current directory, or that itself. From
    /// the MF, also an application's directory.
    fn within_current_df(&self, fid: FileId) -> Result<Place, StatusWord> {
        let route = &self.channel()?.route;
        let df = route.df();
        if let Some(file) = self.tree.child(df, fid) {
            let route = route.clone();
            let route = if self.tree.is_df(file) { route.down(self.tree, file) } else { route };
            return Ok(Place { route, file });
        }
        let is_adf = |file: FileNumber| matches!(self.tree.get(file).map(|file| file.kind), Some(FileKind::Adf(_)));
        match fid {
            FileId::CURRENT_ADF => self.adf.map(|adf| Route::of(adf).into()),
            FileId::MF => Some(Route::MF.into()),
            _ if !is_adf(df) && self.tree.get(df).is_some_and(|file| file.fid == fid) => Some(route.clone().into()),
            _ if df == FileNumber::MF => self.adf_called(fid).map(|adf| Route::of(adf).into()),
            _ => None,
        }
        .ok_or(StatusWord::FILE_NOT_FOUND)
    }

    /// The application's directory with this identifier, which only its creator knows.
    fn adf_called(&self, fid: FileId) -> Option<FileNumber> {
        let called = |number: &FileNumber| self.tree.get(*number).is_some_and(|file| file.fid == fid);
        self.tree.adfs().map(|(_, number)| number).find(called)
    }

    /// Refuses what lies below a directory that is deactivated or terminated.
    fn directory_is_in_use(&self, place: &Place) -> Result<(), StatusWord> {
        let around = self.tree.parent(place.file).and_then(|df| self.tree.state(df));
        around.filter(|state| !state.is_activated()).map_or(Ok(()), |state| Err(out_of_use(state)))
    }

    /// A number for a new file, which no other gets after it.
    fn allocate_file(&mut self) -> Result<FileNumber, StatusWord> {
        let next = self.tree.next_number().ok_or(StatusWord::NOT_ENOUGH_MEMORY)?;
        let number = next.max(FileNumber(self.stored_number(registry::NEXT_FILE)));
        self.note_highest(number)?;
        Ok(number)
    }

    /// Keeps in memory that numbers up to this one are given out.
    fn note_highest(&mut self, number: FileNumber) -> Result<(), StatusWord> {
        let after = number.0.checked_add(1).filter(|after| *after < u16::MAX).ok_or(StatusWord::NOT_ENOUGH_MEMORY)?;
        let after = after.max(self.stored_number(registry::NEXT_FILE));
        self.nvm.insert(self.registry_key(registry::NEXT_FILE), after.to_be_bytes());
        Ok(())
    }

    fn stored_number(&self, index: u32) -> u16 {
        match self.nvm.get(self.registry_key(index)) {
            Some([high, low]) => u16::from_be_bytes([*high, *low]),
            _ => 0,
        }
    }

    const fn registry_key(&self, index: u32) -> Key {
        Key::new(Partition::Registry, self.domain.0, index)
    }
}

/// The status word for a file that is deactivated or terminated.
const fn out_of_use(state: LifeCycle) -> StatusWord {
    if state.is_terminated() { StatusWord::CONDITIONS_NOT_SATISFIED } else { StatusWord::REFERENCED_DATA_INVALIDATED }
}
