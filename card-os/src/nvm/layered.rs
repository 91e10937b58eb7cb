//! A memory that shares most of its values with other cards of the same make.

use super::{Key, MemoryNvm, Nvm, NvmError, Update};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroize;

/// What a card keeps at one key instead of what all have there.
#[derive(Clone, PartialEq, Eq)]
pub enum Own {
    /// This value.
    Value(Box<[u8]>),
    /// Nothing, though the others have a value.
    Removed,
}

/// Whether there is a value, and how long it is: keys and PINs are among them.
impl core::fmt::Debug for Own {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Value(value) => write!(f, "Value({} bytes)", value.len()),
            Self::Removed => f.write_str("Removed"),
        }
    }
}

impl Zeroize for Own {
    fn zeroize(&mut self) {
        if let Self::Value(value) = self {
            value.zeroize();
        }
    }
}

/// A card's memory over a common one: what it does not change it does not have for itself. Behaves like a [`MemoryNvm`] of
/// the same values.
#[derive(Clone)]
pub struct LayeredNvm {
    common: Arc<MemoryNvm>,
    own: BTreeMap<Key, Own>,
    used: usize,
}

impl LayeredNvm {
    /// A memory of what all have and of what this one has for itself.
    pub fn new(common: Arc<MemoryNvm>, own: impl IntoIterator<Item = (Key, Own)>) -> Self {
        let mut memory = Self { used: common.used(), common, own: BTreeMap::new() };
        for (key, own) in own {
            memory.set(key, Some(own));
        }
        memory
    }

    /// What an update makes of its key: what this card has for itself then, or `None`: what all have.
    pub fn effect(&self, update: &Update) -> (Key, Option<Own>) {
        let key = update.key();
        let own = match (update, self.common.get(key)) {
            (Update::Insert(_, value), Some(common)) if value == common => None,
            (Update::Insert(_, value), _) => Some(Own::Value(value.as_slice().into())),
            (Update::Remove(_), Some(_)) => Some(Own::Removed),
            (Update::Remove(_), None) => None,
        };
        (key, own)
    }

    /// Brings about the [effects](Self::effect) of updates, in their order.
    pub fn set_all(&mut self, effects: impl IntoIterator<Item = (Key, Option<Own>)>) {
        for (key, own) in effects {
            self.set(key, own);
        }
    }

    /// What it has for itself, ascending.
    pub fn own(&self) -> impl Iterator<Item = (Key, &Own)> {
        self.own.iter().map(|(key, own)| (*key, own))
    }

    /// All keys and values, as a memory that shares nothing.
    pub fn to_memory(&self) -> MemoryNvm {
        let all = Key::from_u64(0)..=Key::from_u64(u64::MAX);
        self.keys(all).into_iter().filter_map(|key| Some((key, self.get(key)?.to_vec()))).collect()
    }

    fn set(&mut self, key: Key, own: Option<Own>) {
        let cost = |memory: &Self| memory.get(key).map_or(0, |value| key.cost(value.len()));
        self.used -= cost(self);
        let old = match own {
            Some(own) => self.own.insert(key, own),
            None => self.own.remove(&key),
        };
        // Keys and PINs are among the values; what is replaced or removed does not linger.
        if let Some(mut old) = old {
            old.zeroize();
        }
        self.used += cost(self);
    }
}

impl Nvm for LayeredNvm {
    fn get(&self, key: Key) -> Option<&[u8]> {
        match self.own.get(&key) {
            Some(Own::Value(value)) => Some(value),
            Some(Own::Removed) => None,
            None => self.common.get(key),
        }
    }

    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        let mut keys = self.common.keys(range.clone());
        for (key, own) in self.own.range(range) {
            match (own, keys.binary_search(key)) {
                (Own::Value(_), Err(at)) => keys.insert(at, *key),
                (Own::Removed, Ok(at)) => drop(keys.remove(at)),
                _ => {}
            }
        }
        keys
    }

    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        for update in &updates {
            let (key, own) = self.effect(update);
            self.set(key, own);
        }
        Ok(())
    }

    fn used(&self) -> usize {
        self.used
    }
}

/// Counts, not contents: keys and PINs live in there.
impl core::fmt::Debug for LayeredNvm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "LayeredNvm({} values of its own over {:?})", self.own.len(), self.common)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Partition;
    use super::*;

    fn key(index: u32) -> Key {
        Key::new(Partition::ApplicationData, 1, index)
    }

    /// Every short sequence of updates, on both kinds of memory.
    #[test]
    fn behaves_like_a_memory_of_its_own() {
        let common: MemoryNvm = (0..3).map(|index| (key(index), vec![7; 4])).collect();
        let mut updates = Vec::new();
        for index in 1..5 {
            updates.push(Update::Remove(key(index)));
            updates.push(Update::Insert(key(index), vec![7; 4]));
            updates.push(Update::Insert(key(index), vec![8, 9]));
        }
        let all = Key::from_u64(0)..=Key::from_u64(u64::MAX);
        for first in &updates {
            for second in &updates {
                for third in &updates {
                    let (mut plain, mut layered) = (common.clone(), LayeredNvm::new(Arc::new(common.clone()), []));
                    for update in [first, second, third] {
                        plain.apply(vec![update.clone()]).unwrap();
                        layered.apply(vec![update.clone()]).unwrap();
                        assert_eq!(layered.used(), plain.used(), "{first:?} {second:?} {third:?}");
                    }
                    assert_eq!(layered.keys(all.clone()), plain.keys(all.clone()));
                    assert_eq!(layered.keys(key(2)..=key(3)), plain.keys(key(2)..=key(3)));
                    assert_eq!(layered.to_memory(), plain);
                    let again = layered.own().map(|(key, own)| (key, own.clone()));
                    assert_eq!(LayeredNvm::new(Arc::clone(&layered.common), again).to_memory(), plain);
                }
            }
        }
    }

    #[test]
    fn what_is_as_with_the_others_takes_no_place() {
        let common: MemoryNvm = [(key(0), vec![7; 4])].into_iter().collect();
        let mut memory = LayeredNvm::new(Arc::new(common), []);
        memory.apply(vec![Update::Insert(key(0), vec![1]), Update::Insert(key(0), vec![7; 4])]).unwrap();
        memory.apply(vec![Update::Insert(key(1), vec![1]), Update::Remove(key(1))]).unwrap();
        assert_eq!(memory.own().count(), 0);
        memory.apply(vec![Update::Remove(key(0))]).unwrap();
        let shown = format!("{memory:?} {:?}", memory.own().collect::<Vec<_>>());
        assert!(shown.contains("1 values of its own") && shown.contains("Removed"), "{shown}");
    }
}
