//! Non-volatile memory: a map from keys to bytes with atomic transactions.

mod keys;
mod layered;
mod memory;

pub use keys::{Key, Partition};
pub(crate) use keys::{data_index, pin_index, registry, system};
pub use layered::{LayeredNvm, Own};
pub use memory::MemoryNvm;

use crate::fault::Faults;
use core::ops::RangeInclusive;
use std::collections::BTreeMap;

/// One change to the memory.
#[derive(Clone, PartialEq, Eq)]
pub enum Update {
    /// Writes a value, replacing what was there.
    Insert(Key, Vec<u8>),
    /// Removes a value. Removing what is not there is no error.
    Remove(Key),
}

impl Update {
    /// The key it changes.
    pub const fn key(&self) -> Key {
        match self {
            Self::Insert(key, _) | Self::Remove(key) => *key,
        }
    }
}

/// Which value and how long, not what it is: keys and PINs are among them.
impl core::fmt::Debug for Update {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Insert(key, value) => write!(f, "Insert({key:?}, {} bytes)", value.len()),
            Self::Remove(key) => write!(f, "Remove({key:?})"),
        }
    }
}

/// The memory did not take the updates; none of them happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvmError;

impl core::fmt::Display for NvmError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("non-volatile memory did not take the update")
    }
}

impl core::error::Error for NvmError {}

/// What the operating system needs of a memory.
///
/// All of the updates of one [`apply`](Self::apply) happen, or none does, also when the power goes in the middle.
/// When `apply` has returned `Ok` they have happened for good.
pub trait Nvm: Send {
    /// The value at `key`.
    fn get(&self, key: Key) -> Option<&[u8]>;

    /// The keys within `range` that have a value, ascending.
    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key>;

    /// Makes all `updates`, in order, or none.
    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError>;

    /// Bytes in use, keys and values; without what is ordered to go wrong.
    fn used(&self) -> usize;

    /// The faults ordered for the card, where this memory lets them strike; a plain memory does not.
    fn faults(&mut self) -> Option<&mut Faults> {
        None
    }
}

/// Reads that see the writes made so far, and writes that happen together or not at all.
pub struct Transaction<'a> {
    nvm: &'a mut dyn Nvm,
    pending: Vec<Update>,
    /// How often what was pending was made permanent before the end.
    checkpoints: usize,
}

/// A point in a transaction to which it can [go back](Transaction::rollback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint {
    pending: usize,
    checkpoints: usize,
}

impl<'a> Transaction<'a> {
    /// A transaction with nothing written yet.
    pub fn new(nvm: &'a mut dyn Nvm) -> Self {
        Self { nvm, pending: Vec::new(), checkpoints: 0 }
    }

    /// The value at `key`, as this transaction would leave it.
    pub fn get(&self, key: Key) -> Option<&[u8]> {
        for update in self.pending.iter().rev() {
            match update {
                Update::Insert(k, value) if *k == key => return Some(value),
                Update::Remove(k) if *k == key => return None,
                _ => {}
            }
        }
        self.nvm.get(key)
    }

    /// The keys within `range` that have a value, as this transaction would leave them.
    pub fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        let mut keys = self.nvm.keys(range.clone());
        for update in self.pending.iter().filter(|update| range.contains(&update.key())) {
            match (update, keys.binary_search(&update.key())) {
                (Update::Insert(key, _), Err(at)) => keys.insert(at, *key),
                (Update::Remove(_), Ok(at)) => drop(keys.remove(at)),
                _ => {}
            }
        }
        keys
    }

    /// Writes a value.
    pub fn insert(&mut self, key: Key, value: impl Into<Vec<u8>>) {
        self.pending.push(Update::Insert(key, value.into()));
    }

    /// Removes a value.
    pub fn remove(&mut self, key: Key) {
        self.pending.push(Update::Remove(key));
    }

    /// Removes every value within `range`.
    pub fn remove_all(&mut self, range: RangeInclusive<Key>) {
        for key in self.keys(range) {
            self.remove(key);
        }
    }

    /// Makes the writes so far permanent at once: a PIN's counter falls before the PIN is compared.
    pub fn checkpoint(&mut self) -> Result<(), NvmError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.checkpoints += 1;
        self.nvm.apply(core::mem::take(&mut self.pending))
    }

    /// The point reached: what is written from here on can be dropped alone, as when one command of several fails.
    pub const fn savepoint(&self) -> Savepoint {
        Savepoint { pending: self.pending.len(), checkpoints: self.checkpoints }
    }

    /// Drops what was written since a savepoint, except what a checkpoint has made permanent.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        // After a checkpoint nothing from before the savepoint is pending any more.
        let keep = if savepoint.checkpoints == self.checkpoints { savepoint.pending } else { 0 };
        self.pending.truncate(keep);
    }

    pub(crate) fn faults(&mut self) -> Option<&mut Faults> {
        self.nvm.faults()
    }

    /// Makes all writes permanent.
    pub fn commit(mut self) -> Result<(), NvmError> {
        self.checkpoint()
    }

    /// Bytes in use, once this transaction is committed.
    pub fn used(&self) -> usize {
        // Only the last write to a key counts.
        let last: BTreeMap<Key, &Update> = self.pending.iter().map(|update| (update.key(), update)).collect();
        last.into_iter().fold(self.nvm.used(), |used, (key, update)| {
            let freed = self.nvm.get(key).map_or(0, |old| key.cost(old.len()));
            let taken = match update {
                Update::Insert(_, value) => key.cost(value.len()),
                Update::Remove(_) => 0,
            };
            (used + taken).saturating_sub(freed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new(Partition::ApplicationData, 1, 7);
    const OTHER: Key = Key::new(Partition::ApplicationData, 1, 8);

    #[test]
    fn reads_see_writes_and_a_dropped_transaction_leaves_no_trace() {
        let mut nvm = MemoryNvm::default();
        nvm.apply(vec![Update::Insert(KEY, vec![1])]).unwrap();
        let before = nvm.clone();
        let mut transaction = Transaction::new(&mut nvm);
        transaction.insert(OTHER, [2, 2]);
        transaction.remove(KEY);
        assert_eq!((transaction.get(KEY), transaction.get(OTHER)), (None, Some(&[2, 2][..])));
        assert_eq!(transaction.keys(KEY..=OTHER), [OTHER]);
        assert_eq!(transaction.used(), Key::SIZE + 2);
        drop(transaction);
        assert_eq!(nvm, before);
    }

    #[test]
    fn a_checkpoint_stays_whatever_follows() {
        let mut nvm = MemoryNvm::default();
        let mut transaction = Transaction::new(&mut nvm);
        transaction.insert(KEY, [1]);
        transaction.checkpoint().unwrap();
        transaction.insert(KEY, [2]);
        drop(transaction);
        assert_eq!(nvm.get(KEY), Some(&[1][..]));
    }

    #[test]
    fn a_savepoint_is_gone_back_to() {
        let mut nvm = MemoryNvm::default();
        let mut transaction = Transaction::new(&mut nvm);
        transaction.insert(KEY, [1]);
        let savepoint = transaction.savepoint();
        transaction.insert(KEY, [2]);
        transaction.remove(OTHER);
        transaction.rollback(savepoint);
        assert_eq!(transaction.get(KEY), Some(&[1][..]));
        // What a checkpoint made permanent stays, what came after it does not.
        let savepoint = transaction.savepoint();
        transaction.insert(OTHER, [3]);
        transaction.checkpoint().unwrap();
        transaction.insert(KEY, [4]);
        transaction.rollback(savepoint);
        assert_eq!((transaction.get(KEY), transaction.get(OTHER)), (Some(&[1][..]), Some(&[3][..])));
        transaction.commit().unwrap();
        assert_eq!((nvm.get(KEY), nvm.get(OTHER)), (Some(&[1][..]), Some(&[3][..])));
    }

    #[test]
    fn an_update_does_not_show_its_value() {
        let shown = format!("{:?}", Update::Insert(KEY, vec![0xAB; 3]));
        assert!(shown.contains("3 bytes") && !shown.contains("171"), "{shown}");
    }
}
