//! Memory of files: what a directory was given for those below it.
//!
//! A directory with a total file size has that much memory to itself. What of it no file has taken yet lies in memory as its
//! content, so that it counts as used and nothing else takes it. TS 102 222 §6.3.1.

use crate::fs::{FileKind, FileNumber, FileSession};
use crate::nvm::{Key, Partition};
use apdu::StatusWord;
use core::iter::successors;

/// What memory set aside for a directory is filled with.
const RESERVE: u8 = 0x00;

impl FileSession<'_, '_> {
    /// Bytes left for the content of files below a directory.
    pub(in crate::fs) fn free_below(&self, df: FileNumber) -> usize {
        self.purse(df).map_or_else(|| self.free(), |purse| self.reserve(purse))
    }

    /// The nearest directory, this one or around it, that has memory of its own.
    fn purse(&self, df: FileNumber) -> Option<FileNumber> {
        let mut upwards = successors(Some(self.tree.body(df)), |at| self.tree.parent(*at));
        upwards.find(|at| self.tree.get(*at).is_some_and(|file| file.total_size.is_some()))
    }

    fn reserve(&self, purse: FileNumber) -> usize {
        self.nvm.get(self.own_content_key(purse)).map_or(0, <[u8]>::len)
    }

    /// Writes what lies in memory for a file: its content, or what is set aside for the files below a directory.
    pub(super) fn keep_content(&mut self, number: FileNumber, content: Vec<u8>) {
        let key = self.own_content_key(number);
        if !content.is_empty() {
            self.nvm.insert(key, content);
        } else if self.nvm.get(key).is_some() {
            self.nvm.remove(key);
        }
    }

    /// Changes what a file below `df` has taken, from one number of bytes to another.
    pub(super) fn draw(&mut self, df: FileNumber, before: usize, after: usize) -> Result<(), StatusWord> {
        if after.saturating_sub(before) > self.free_below(df) {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        if let Some(purse) = self.purse(df) {
            let left = (self.reserve(purse) + before).saturating_sub(after);
            self.keep_content(purse, reserve(left));
        }
        Ok(())
    }

    /// What a file has taken from the directory around: its content, or what was set aside for those below it.
    pub(super) fn taken(&self, number: FileNumber) -> usize {
        let Some(file) = self.tree.get(number) else { return 0 };
        match (file.kind, file.total_size) {
            _ if file.link.is_some() => 0,
            (FileKind::Ef(structure), _) => structure.size() as usize,
            (_, Some(total_size)) => total_size as usize,
            (_, None) => self.taken_below(number),
        }
    }

    /// What the files directly below a directory have taken.
    pub(super) fn taken_below(&self, df: FileNumber) -> usize {
        let below = self.tree.subtree(df).into_iter().filter(|file| *file != df && self.tree.parent(*file) == Some(df));
        below.map(|file| self.taken(file)).sum()
    }

    /// Refuses what the card as a whole has no memory for.
    pub(super) fn fits_into_memory(&self) -> Result<(), StatusWord> {
        if self.nvm.used() > self.memory { Err(StatusWord::NOT_ENOUGH_MEMORY) } else { Ok(()) }
    }

    const fn own_content_key(&self, number: FileNumber) -> Key {
        Key::new(Partition::Content, self.domain.0, number.0 as u32)
    }
}

/// This much memory set aside.
pub(super) fn reserve(bytes: usize) -> Vec<u8> {
    vec![RESERVE; bytes]
}
