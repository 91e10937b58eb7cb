//! READ, UPDATE and SEARCH RECORD, INCREASE. TS 102 221 §11.1.5 to §11.1.8.

use super::{FileKind, FileSession, Operation, Place, Structure, sfi_in_p1};
use crate::dialect::Habits;
use apdu::{Command, Response, StatusWord};

/// Bytes that INCREASE adds at most. TS 102 221 §11.1.8.
const LONGEST_ADDEND: usize = 127;

/// A record file as a command finds it.
struct Records {
    place: Place,
    length: usize,
    count: u8,
    cyclic: bool,
}

impl Records {
    /// Where record `record`, from 1, lies in the content.
    fn span(&self, record: u8) -> core::ops::Range<usize> {
        let start = usize::from(record.saturating_sub(1)) * self.length;
        start..start + self.length
    }
}

/// How P1 and P2 name a record. TS 102 221 table 11.11.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Next,
    Previous,
    Absolute,
}

impl FileSession<'_, '_> {
    /// READ RECORD. Le must be the record length.
    pub(super) fn read_record(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (sfi, mode) = sfi_and_mode(command.p2)?;
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let records = self.records(sfi, Operation::Read)?;
        let is_all = self.direct && command.wants_all() && records.length <= command.ne;
        let is_wrong_length = command.ne != 0 && command.ne != records.length && !is_all;
        if is_wrong_length && self.habits.contains(Habits::LENGTH_BEFORE_RECORD) {
            return Err(StatusWord::exact_length(records.length));
        }
        let record = self.named_record(&records, sfi, mode, command.p1)?;
        if is_wrong_length {
            return Err(StatusWord::exact_length(records.length));
        }
        let data =
            self.content(records.place.file).get(records.span(record)).ok_or(StatusWord::MEMORY_PROBLEM)?.to_vec();
        self.accessed(sfi, records.place)?;
        if mode != Mode::Absolute || self.habits.contains(Habits::ABSOLUTE_MOVES_POINTER) {
            self.effects.record = Some(record);
        }
        Ok(Response::ok(data))
    }

    /// UPDATE RECORD. A cyclic file takes PREVIOUS only: the oldest record is overwritten and becomes record 1.
    pub(super) fn update_record(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (sfi, mode) = sfi_and_mode(command.p2)?;
        let records = self.records(sfi, Operation::Update)?;
        if command.data.len() != records.length {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut content = self.content(records.place.file).to_vec();
        let record = if records.cyclic {
            if mode != Mode::Previous || command.p1 != 0 {
                return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
            }
            rotate(&mut content, records.length);
            1
        } else {
            self.named_record(&records, sfi, mode, command.p1)?
        };
        content.get_mut(records.span(record)).ok_or(StatusWord::MEMORY_PROBLEM)?.copy_from_slice(command.data);
        self.write_content(records.place.file, content);
        self.accessed(sfi, records.place)?;
        if mode != Mode::Absolute {
            self.effects.record = Some(record);
        }
        Ok(Response::done())
    }

    /// SEARCH RECORD, simple (`04`, `05`) and enhanced (`06`). Answers the numbers of the records that match.
    pub(super) fn search_record(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const ENHANCED: u8 = 0x06;
        let sfi = sfi_of(command.p2)?;
        let (direction, place, pattern) = match command.p2 & 0x07 {
            simple @ (0x04 | 0x05) if self.habits.contains(Habits::SEARCH_AT_START) => {
                (simple, Where::Start, command.data)
            }
            simple @ (0x04 | 0x05) => (simple, Where::Anywhere, command.data),
            ENHANCED => match command.data {
                [] | [_] => return Err(StatusWord::WRONG_LENGTH),
                [indication, place, pattern @ ..] if indication & 0xF4 == 0x04 => (
                    indication & 0x07,
                    if indication & 0x08 == 0 { Where::Offset(*place) } else { Where::After(*place) },
                    pattern,
                ),
                _ => return Err(StatusWord::WRONG_DATA),
            },
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        let records = self.records(sfi, Operation::Read)?;
        if pattern.is_empty() || pattern.len() > records.length {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let current = self.record_pointer(sfi)?;
        let first = match (direction, command.p1) {
            (0x04 | 0x05, 0) => current.ok_or(StatusWord::RECORD_NOT_FOUND)?,
            (0x04 | 0x05, record) => record,
            (0x06, 0) => current.map_or(1, |record| record.saturating_add(1)),
            (0x07, 0) => current.map_or(records.count, |record| record - 1),
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        if first > records.count && direction != 0x06 {
            return Err(StatusWord::RECORD_NOT_FOUND);
        }
        let mut order: Vec<u8> = match direction {
            0x04 | 0x06 => (first..=records.count).collect(),
            _ => (1..=first).rev().collect(),
        };
        let content = self.content(records.place.file);
        order.retain(|record| content.get(records.span(*record)).is_some_and(|r| place.contains(r, pattern)));
        self.accessed(sfi, records.place)?;
        let Some(found) = order.first() else { return Ok(StatusWord::END_OF_FILE.into()) };
        if !self.habits.contains(Habits::SEARCH_KEEPS_POINTER) {
            self.effects.record = Some(*found);
        }
        Ok(Response::ok(order))
    }

    /// SEEK in a linear fixed file: the first record in this direction that begins with a pattern; it becomes current. From
    /// the beginning forward (0), from the end backward (1), from the next (2), from the previous one (3). TS 51.011 §8.8.
    ///
    /// # Errors
    /// `6A83` where none does.
    pub(crate) fn seek(&mut self, pattern: &[u8], mode: u8) -> Result<u8, StatusWord> {
        let records = self.records(None, Operation::Read)?;
        if records.cyclic {
            return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
        }
        if pattern.len() > records.length {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let current = self.record_pointer(None)?;
        let forward = |first: u8| (first..=records.count).collect::<Vec<u8>>();
        let backward = |first: u8| (1..=first).rev().collect::<Vec<u8>>();
        let order = match mode {
            0 => forward(1),
            1 => backward(records.count),
            2 => forward(current.map_or(1, |record| record.saturating_add(1))),
            _ => backward(current.map_or(records.count, |record| record.saturating_sub(1))),
        };
        let content = self.content(records.place.file);
        let begins = |record: &u8| content.get(records.span(*record)).is_some_and(|octets| octets.starts_with(pattern));
        let found = order.into_iter().find(begins).ok_or(StatusWord::RECORD_NOT_FOUND)?;
        self.effects.record = Some(found);
        Ok(found)
    }

    /// INCREASE: adds a number to record 1 of a cyclic file and writes the sum as the new record 1.
    pub(super) fn increase(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let sfi = sfi_in_p1(command.p1)?;
        if command.p2 != 0 || (sfi.is_none() && command.p1 != 0) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let records = self.records(sfi, Operation::Increase)?;
        if !records.cyclic {
            return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
        }
        if !(1..=LONGEST_ADDEND.min(records.length)).contains(&command.data.len()) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut content = self.content(records.place.file).to_vec();
        let mut sum = content.get(records.span(1)).ok_or(StatusWord::MEMORY_PROBLEM)?.to_vec();
        let mut carry = 0;
        let addends = command.data.iter().rev().chain(core::iter::repeat(&0));
        for (digit, addend) in sum.iter_mut().rev().zip(addends) {
            let total = u16::from(*digit) + u16::from(*addend) + carry;
            let [high, low] = total.to_be_bytes();
            (carry, *digit) = (u16::from(high), low);
        }
        if carry != 0 {
            return Err(StatusWord::INCREASE_CANNOT_BE_PERFORMED);
        }
        rotate(&mut content, records.length);
        content.get_mut(records.span(1)).ok_or(StatusWord::MEMORY_PROBLEM)?.copy_from_slice(&sum);
        self.write_content(records.place.file, content);
        self.accessed(sfi, records.place)?;
        self.effects.record = Some(1);
        sum.extend_from_slice(command.data);
        Ok(Response::ok(sum))
    }

    fn records(&self, sfi: Option<u8>, operation: Operation) -> Result<Records, StatusWord> {
        let place = self.target(sfi)?;
        let (length, count, cyclic) = match self.tree.get(self.tree.body(place.file)).map(|file| file.kind) {
            Some(FileKind::Ef(Structure::LinearFixed { record_length, records })) => (record_length, records, false),
            Some(FileKind::Ef(Structure::Cyclic { record_length, records })) => (record_length, records, true),
            _ => return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        };
        self.permitted(&place, operation)?;
        Ok(Records { place, length: usize::from(length), count, cyclic })
    }

    /// The record pointer that counts for a command. A short identifier selects the file, and the pointer starts anew, also
    /// where that file was current before. TS 102 221 §11.1.5.
    fn record_pointer(&self, sfi: Option<u8>) -> Result<Option<u8>, StatusWord> {
        Ok(if sfi.is_some() { None } else { self.channel()?.record })
    }

    /// The record a command means.
    fn named_record(&self, records: &Records, sfi: Option<u8>, mode: Mode, p1: u8) -> Result<u8, StatusWord> {
        let current = self.record_pointer(sfi)?;
        let record = match (mode, p1, current) {
            (Mode::Absolute, 0, None) => return Err(StatusWord::RECORD_NOT_FOUND),
            (Mode::Absolute, 0, Some(current)) => current,
            (Mode::Absolute, record, _) => record,
            (_, 1.., _) => return Err(StatusWord::WRONG_P1_P2),
            (Mode::Next, _, None) => 1,
            (Mode::Next, _, Some(current)) if current >= records.count && records.cyclic => 1,
            (Mode::Next, _, Some(current)) => current.saturating_add(1),
            (Mode::Previous, _, None) => records.count,
            (Mode::Previous, _, Some(1)) if records.cyclic => records.count,
            (Mode::Previous, _, Some(current)) => current.saturating_sub(1),
        };
        if (1..=records.count).contains(&record) { Ok(record) } else { Err(StatusWord::RECORD_NOT_FOUND) }
    }
}

/// Moves every record of a ring one further; the oldest becomes record 1.
fn rotate(content: &mut [u8], record_length: usize) {
    let by = record_length.min(content.len());
    content.rotate_right(by);
}

/// Where in a record a search looks.
enum Where {
    Anywhere,
    /// At its first byte.
    Start,
    /// From this byte on.
    Offset(u8),
    /// Behind the first byte with this value.
    After(u8),
}

impl Where {
    fn contains(&self, record: &[u8], pattern: &[u8]) -> bool {
        let part = match self {
            Self::Anywhere => Some(record),
            Self::Start => record.get(..pattern.len()),
            Self::Offset(offset) => record.get(usize::from(*offset)..),
            Self::After(value) => record.iter().position(|byte| byte == value).and_then(|at| record.get(at + 1..)),
        };
        part.is_some_and(|part| part.windows(pattern.len()).any(|window| window == pattern))
    }
}

fn sfi_of(p2: u8) -> Result<Option<u8>, StatusWord> {
    match p2 >> 3 {
        0 => Ok(None),
        0x1F => Err(StatusWord::WRONG_P1_P2),
        sfi => Ok(Some(sfi)),
    }
}

fn sfi_and_mode(p2: u8) -> Result<(Option<u8>, Mode), StatusWord> {
    let mode = match p2 & 0x07 {
        0x02 => Mode::Next,
        0x03 => Mode::Previous,
        0x04 => Mode::Absolute,
        _ => return Err(StatusWord::WRONG_P1_P2),
    };
    Ok((sfi_of(p2)?, mode))
}
