//! ACTIVATE and DEACTIVATE FILE, TERMINATE EF, DF and CARD USAGE. TS 102 221 §11.1.14, §11.1.15; TS 102 222 §6.7 to §6.9.

use super::{named, out_of_use};
use crate::fs::navigate::Navigator;
use crate::fs::{File, FileNumber, FileSession, LifeCycle, Operation, Place, Route, TreeEdit, by};
use apdu::{Command, Response, StatusWord};

impl FileSession<'_, '_> {
    /// DEACTIVATE FILE: the file stays selectable, its content is out of reach; of a directory, all that lies below it.
    pub(in crate::fs) fn deactivate_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let place = self.addressed(command)?;
        self.change_life_cycle(&place, Operation::Deactivate, LifeCycle::DEACTIVATED)
    }

    /// ACTIVATE FILE: what was deactivated, or is in the state of creation or initialisation.
    pub(in crate::fs) fn activate_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let place = self.addressed(command)?;
        self.change_life_cycle(&place, Operation::Activate, LifeCycle::ACTIVATED)
    }

    /// TERMINATE EF: for good. Only DELETE FILE is left.
    pub(in crate::fs) fn terminate_ef(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let place = match named(command)? {
            Some(fid) => self.within_current_df(fid)?,
            None => self.target(None)?,
        };
        if self.tree.is_df(place.file) {
            return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
        }
        self.change_life_cycle(&place, Operation::Terminate, LifeCycle::TERMINATED)
    }

    /// TERMINATE DF: for good, with all that lies below it. Only DELETE FILE is left. The MF ends with the card.
    pub(in crate::fs) fn terminate_df(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let place = match named(command)? {
            Some(fid) => self.within_current_df(fid)?,
            None => self.channel()?.route.clone().into(),
        };
        if !self.tree.is_df(place.file) {
            return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
        }
        self.change_life_cycle(&place, Operation::Terminate, LifeCycle::TERMINATED)
    }

    /// TERMINATE CARD USAGE: by the rules of the MF. From then on the card refuses what has to do with its files; see
    /// `Card::is_left_after_termination`.
    pub(in crate::fs) fn terminate_card_usage(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p1_p2() != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let place = Place::from(Route::MF);
        if !self.allows(&place, Operation::Terminate) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        self.set_life_cycle(FileNumber::MF, LifeCycle::TERMINATED)
    }

    fn change_life_cycle(
        &mut self,
        place: &Place,
        operation: Operation,
        life_cycle: LifeCycle,
    ) -> Result<Response, StatusWord> {
        let number = place.file;
        if number == FileNumber::MF {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        self.make_current(place.clone())?;
        self.directory_is_in_use(place)?;
        let current = self.tree.get(number).ok_or(StatusWord::FILE_NOT_FOUND)?.life_cycle;
        let not_yet_in_use = operation == Operation::Deactivate && !current.is_operational();
        if current.is_terminated() || not_yet_in_use {
            return Err(out_of_use(LifeCycle::TERMINATED));
        }
        if !self.allows(place, operation) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        self.set_life_cycle(number, life_cycle)
    }

    fn set_life_cycle(&mut self, number: FileNumber, life_cycle: LifeCycle) -> Result<Response, StatusWord> {
        let file = self.tree.get(number).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let changed = File { life_cycle, ..file.clone() };
        self.write_descriptor(number, &changed);
        self.effects.tree = Some(TreeEdit::LifeCycle(number, life_cycle));
        Ok(Response::done())
    }

    /// The file that P1 and the data name: by identifier, by path from the MF or the current DF, or the current EF.
    fn addressed(&self, command: &Command<'_>) -> Result<Place, StatusWord> {
        if command.p2 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if (command.p1, command.data) == (by::FILE_ID, &[]) {
            return self.target(None);
        }
        if !command.data.len().is_multiple_of(2) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let navigator = Navigator {
            tree: self.tree,
            route: &self.channel()?.route,
            adf: self.adf,
            habits: self.habits,
            as_sim: self.as_sim,
        };
        match command.p1 {
            by::FILE_ID | by::PATH_FROM_MF | by::PATH_FROM_CURRENT_DF => navigator.find(command.p1, command.data),
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }
}
