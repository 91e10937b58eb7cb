//! DEACTIVATE FILE and ACTIVATE FILE. TS 102 221 §11.1.14, §11.1.15.

use super::navigate::Navigator;
use super::{File, FileSession, LifeCycle, Operation, Place, TreeEdit, by};
use apdu::{Command, Response, StatusWord};

impl FileSession<'_, '_> {
    /// DEACTIVATE FILE: the file stays selectable, its content is out of reach.
    pub(super) fn deactivate_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        self.change_life_cycle(command, Operation::Deactivate, LifeCycle::DEACTIVATED)
    }

    /// ACTIVATE FILE.
    pub(super) fn activate_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        self.change_life_cycle(command, Operation::Activate, LifeCycle::ACTIVATED)
    }

    fn change_life_cycle(
        &mut self,
        command: &Command<'_>,
        operation: Operation,
        life_cycle: LifeCycle,
    ) -> Result<Response, StatusWord> {
        let place = self.addressed_ef(command)?;
        self.make_current(place.clone())?;
        let file = self.tree.get(place.file).ok_or(StatusWord::FILE_NOT_FOUND)?;
        if file.life_cycle.is_terminated() {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if !self.allows(&place, operation) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        let changed = File { life_cycle, ..file.clone() };
        self.write_descriptor(place.file, &changed);
        self.effects.tree = Some(TreeEdit::LifeCycle(place.file, life_cycle));
        Ok(Response::done())
    }

    /// The EF that P1 and the data name: by identifier, by path from the MF or the current DF, or the current one.
    fn addressed_ef(&self, command: &Command<'_>) -> Result<Place, StatusWord> {
        if command.p2 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if (command.p1, command.data) == (by::FILE_ID, &[]) {
            return self.target(None);
        }
        if !command.data.len().is_multiple_of(2) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let navigator =
            Navigator { tree: self.tree, route: &self.channel()?.route, adf: self.adf, habits: self.habits };
        let place = match command.p1 {
            by::FILE_ID | by::PATH_FROM_MF | by::PATH_FROM_CURRENT_DF => navigator.find(command.p1, command.data)?,
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        if self.tree.is_df(place.file) { Err(StatusWord::FILE_NOT_FOUND) } else { Ok(place) }
    }
}
