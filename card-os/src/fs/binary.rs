//! READ BINARY and UPDATE BINARY. TS 102 221 §11.1.3, §11.1.4.

use super::{FileKind, FileSession, Operation, Place, Structure, sfi_in_p1};
use crate::dialect::Habits;
use apdu::{Command, Response, StatusWord};

impl FileSession<'_, '_> {
    /// READ BINARY. More than the file holds from the offset on is `6CXX`.
    pub(super) fn read_binary(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let sfi = sfi_in_p1(command.p1)?;
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let (place, size) = self.transparent(sfi, Operation::Read)?;
        let offset = offset(command, sfi);
        let available = size.checked_sub(offset).ok_or(StatusWord::WRONG_OFFSET)?;
        if available == 0 && !self.habits.contains(Habits::END_IS_IN_FILE) {
            return Err(StatusWord::WRONG_OFFSET);
        }
        // With Le `00` what there is, which is nothing.
        let wanted = match command.ne {
            0 => available.min(256),
            256 if available == 0 => 0,
            _ if self.direct && command.wants_all() => available.min(command.ne),
            wanted => wanted,
        };
        if wanted > available {
            return Err(StatusWord::exact_length(available));
        }
        let data = self.content(place.file).get(offset..offset + wanted).ok_or(StatusWord::MEMORY_PROBLEM)?.to_vec();
        self.accessed(sfi, place)?;
        Ok(Response::ok(data))
    }

    /// UPDATE BINARY: all of the data within the file, or nothing.
    pub(super) fn update_binary(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let sfi = sfi_in_p1(command.p1)?;
        let (place, size) = self.transparent(sfi, Operation::Update)?;
        let offset = offset(command, sfi);
        if offset >= size {
            return Err(StatusWord::WRONG_OFFSET);
        }
        if command.data.is_empty() || offset + command.data.len() > size {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut content = self.content(place.file).to_vec();
        content
            .get_mut(offset..offset + command.data.len())
            .ok_or(StatusWord::MEMORY_PROBLEM)?
            .copy_from_slice(command.data);
        self.write_content(place.file, content);
        self.accessed(sfi, place)?;
        Ok(Response::done())
    }

    #[inline]
    fn transparent(&self, sfi: Option<u8>, operation: Operation) -> Result<(Place, usize), StatusWord> {
        let place = self.target(sfi)?;
        match self.tree.get(self.tree.body(place.file)).map(|file| file.kind) {
            Some(FileKind::Ef(Structure::Transparent { size })) => {
                self.permitted(&place, operation)?;
                Ok((place, size as usize))
            }
            _ => Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        }
    }
}

fn offset(command: &Command<'_>, sfi: Option<u8>) -> usize {
    if sfi.is_some() { usize::from(command.p2) } else { usize::from(command.p1_p2()) }
}
