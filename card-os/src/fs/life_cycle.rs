//! DEACTIVATE FILE and ACTIVATE FILE. TS 102 221 §11.1.14, §11.1.15.

use super::{FileId, FileNumber, FileSession, LifeCycle, Operation};
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
        let number = self.addressed_ef(command)?;
        let file = self.tree.get(number).ok_or(StatusWord::FILE_NOT_FOUND)?;
        if file.life_cycle.is_terminated() {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        if !self.allows(number, operation) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        self.tree.set_life_cycle(number, life_cycle);
        self.write_descriptor(number);
        self.channel.select_ef(number);
        Ok(Response::done())
    }

    /// The EF that P1 and the data name: by identifier, by path from the MF or the current DF, or the current one.
    fn addressed_ef(&self, command: &Command<'_>) -> Result<FileNumber, StatusWord> {
        if command.p2 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !command.data.len().is_multiple_of(2) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let path: Vec<FileId> = command
            .data
            .chunks_exact(2)
            .filter_map(|pair| Some(FileId(u16::from_be_bytes(pair.try_into().ok()?))))
            .collect();
        let from = |start: FileNumber| path.iter().try_fold(start, |df, fid| self.tree.child(df, *fid));
        let number = match (command.p1, path.as_slice()) {
            (0x00, []) => return self.channel.current_ef.ok_or(StatusWord::NO_CURRENT_EF),
            (0x00, [_]) | (0x09, [_, ..]) => from(self.channel.current_df),
            (0x08, [_, ..]) => from(FileNumber::MF),
            (0x00 | 0x08 | 0x09, _) => return Err(StatusWord::LC_INCONSISTENT_WITH_P1_P2),
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        number.filter(|number| !self.tree.is_df(*number)).ok_or(StatusWord::FILE_NOT_FOUND)
    }
}
