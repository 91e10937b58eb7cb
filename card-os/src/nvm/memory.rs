//! A memory that lives as long as its process.

use super::{Key, Nvm, NvmError, Update};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use zeroize::Zeroize;

/// Non-volatile memory in RAM: for cards that last as long as a test, and the cache of those that last longer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MemoryNvm {
    values: BTreeMap<Key, Vec<u8>>,
    used: usize,
}

impl MemoryNvm {
    fn set(&mut self, update: Update) {
        let key = update.key();
        let old = match update {
            Update::Insert(key, value) => {
                self.used += key.cost(value.len());
                self.values.insert(key, value)
            }
            Update::Remove(key) => self.values.remove(&key),
        };
        if let Some(mut old) = old {
            self.used -= key.cost(old.len());
            // Keys and PINs are among the values; what is replaced or removed does not linger.
            old.zeroize();
        }
    }

    /// All keys and values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &[u8])> {
        self.values.iter().map(|(key, value)| (*key, value.as_slice()))
    }
}

impl Nvm for MemoryNvm {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.values.get(&key).map(Vec::as_slice)
    }

    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        self.values.range(range).map(|(key, _)| *key).collect()
    }

    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        for update in updates {
            self.set(update);
        }
        Ok(())
    }

    fn used(&self) -> usize {
        self.used
    }
}

impl FromIterator<(Key, Vec<u8>)> for MemoryNvm {
    fn from_iter<I: IntoIterator<Item = (Key, Vec<u8>)>>(values: I) -> Self {
        let mut memory = Self::default();
        for (key, value) in values {
            memory.set(Update::Insert(key, value));
        }
        memory
    }
}

/// Counts, not contents: keys and PINs live in there.
impl core::fmt::Debug for MemoryNvm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MemoryNvm({} values, {} bytes)", self.values.len(), self.used)
    }
}
