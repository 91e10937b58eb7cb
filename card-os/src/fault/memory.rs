//! Non-volatile memory, with the faults that are ordered.

use super::{Effect, Faults, Place, When};
use crate::nvm::{Key, Nvm, NvmError, Update};
use core::ops::RangeInclusive;

/// What [`Nvm::used`] is where memory passes for full: more than any card has, and far from overflow.
const FULL: usize = usize::MAX / 2;

/// The card's memory and what is to go wrong with the card: the faults strike here, and their counters are kept here.
pub(crate) struct FaultyNvm {
    inner: Box<dyn Nvm>,
    pub(super) faults: Faults,
}

impl FaultyNvm {
    pub(crate) fn new(inner: Box<dyn Nvm>) -> Self {
        let faults = Faults::load(&*inner);
        Self { inner, faults }
    }

    /// The memory itself.
    pub(crate) fn inner(&self) -> &dyn Nvm {
        &*self.inner
    }

    /// The memory itself, to be changed beside the card's own work.
    pub(crate) fn inner_mut(&mut self) -> &mut dyn Nvm {
        &mut *self.inner
    }

    pub(crate) fn into_inner(self) -> Box<dyn Nvm> {
        self.inner
    }

    /// The card starts over: what was under way is over, and what is ordered is read again.
    pub(crate) fn restart(&mut self) {
        self.settle();
        self.faults = Faults::load(&*self.inner);
    }

    /// Writes the counters down. Where memory does not take them, they are written with the next that it takes.
    pub(super) fn settle(&mut self) {
        let counters = self.faults.counters();
        if !counters.is_empty() && self.inner.apply(counters).is_ok() {
            self.faults.counters_are_kept();
        }
    }

    /// A place is met: what strikes there. It is written down before it takes effect.
    pub(super) fn meet(
        &mut self,
        when: When,
        is_there: impl Fn(Place) -> bool,
        is_possible: impl Fn(Effect) -> bool,
    ) -> Vec<Effect> {
        let effects = self.faults.meet(when, is_there, is_possible);
        self.settle();
        effects
    }

    /// A command has been carried out: where it has asked for free memory it has met that place, once.
    pub(super) fn memory_was_asked(&mut self) {
        if self.faults.memory_asked.take() {
            self.meet(When::Before, |place| place == Place::Memory, |_| true);
        }
    }
}

impl Nvm for FaultyNvm {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.inner.get(key)
    }

    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        self.inner.keys(range)
    }

    fn apply(&mut self, mut updates: Vec<Update>) -> Result<(), NvmError> {
        if self.faults.ordered.is_empty() {
            return self.inner.apply(updates);
        }
        if self.faults.lost {
            return Err(NvmError);
        }
        let before = self.faults.meet(When::Before, |place| place == Place::Write, |_| true);
        if !before.is_empty() {
            self.settle();
            self.faults.lost = before.contains(&Effect::CutPower);
            return Err(NvmError);
        }
        let after = self.faults.meet(When::After, |place| place == Place::Write, |_| true);
        // The counters and what they count, together.
        updates.extend(self.faults.counters());
        self.inner.apply(updates)?;
        self.faults.counters_are_kept();
        self.faults.lost = after.contains(&Effect::CutPower);
        Ok(())
    }

    fn used(&self) -> usize {
        if self.faults.is_full() { FULL } else { self.inner.used() }
    }

    fn faults(&mut self) -> Option<&mut Faults> {
        Some(&mut self.faults)
    }
}
