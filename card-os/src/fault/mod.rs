//! Faults on order: what is to go wrong with a card, where, and how often.
//!
//! A card in the field loses its power, falls silent, refuses, or answers with a code that no test of an LPA has seen. Here each
//! of these can be ordered. What is ordered lies in non-volatile memory and is counted down there, so that it outlives a loss
//! of power; what is cleared does not strike any more. The operating system knows places and effects; which function of an
//! application a point stands for, and what its codes mean, the application knows.

mod disturbed;
mod memory;
mod row;

pub(crate) use memory::FaultyNvm;

use crate::nvm::{Key, Nvm, NvmError, Partition, Update};
use apdu::{Ins, StatusWord};
use core::cell::Cell;
use core::time::Duration;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a command APDU: of this instruction, or any.
    Command(Option<Ins>),
    /// Where a transaction is written to non-volatile memory.
    Write,
    /// Where the card asks how much non-volatile memory is free: once for a command that does.
    Memory,
    /// At a point that an application [asks about](crate::Context::fault), under a number of its own.
    Application(u32),
}

/// On which side of the place it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before what is done there: it is not done.
    Before,
    /// After it: it is done, and does not look so.
    After,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The power fails: the card is silent until its reader applies power again.
    CutPower,
    /// The response is lost; card and power are well.
    DropResponse,
    /// The card falls silent until the next reset, without losing its power.
    Mute,
    /// This bit of the command is flipped on its way, counted from the first octet's most significant one, modulo its length.
    FlipCommandBit(u32),
    /// This bit of the response is flipped on its way, counted likewise.
    FlipResponseBit(u32),
    /// The answer is this status word, without data.
    Status(StatusWord),
    /// The response comes so much later. The operating system knows no clock: who drives the card waits, see
    /// [`Icc::delay`](apdu::Icc::delay).
    Delay(Duration),
    /// Non-volatile memory does not take the write.
    RefuseWrite,
    /// No non-volatile memory is free.
    MemoryFull,
    /// The application answers with this code of its own.
    Code(i64),
}

/// A fault, as it is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// On which side.
    pub when: When,
    /// What.
    pub effect: Effect,
    /// From which time on that the place is met, counted from 1 when it is ordered.
    pub from: u32,
    /// How often; `None`: always.
    pub times: Option<u32>,
}

impl Fault {
    /// A fault that strikes once, the next time.
    pub const fn once(place: Place, when: When, effect: Effect) -> Self {
        Self { place, when, effect, from: 1, times: Some(1) }
    }

    /// The same, from the `from`th time on.
    #[must_use]
    pub const fn from(self, from: u32) -> Self {
        Self { from, ..self }
    }

    /// The same, so often; `None`: always.
    #[must_use]
    pub const fn times(self, times: Option<u32>) -> Self {
        Self { times, ..self }
    }

    /// Whether it can strike at all: the place knows the effect, on this side of it, and a number of times is not none.
    pub const fn can_strike(&self) -> bool {
        let fits = match self.place {
            Place::Command(_) => match self.effect {
                Effect::CutPower | Effect::Status(_) => true,
                Effect::Mute | Effect::FlipCommandBit(_) => matches!(self.when, When::Before),
                Effect::DropResponse | Effect::FlipResponseBit(_) | Effect::Delay(_) => {
                    matches!(self.when, When::After)
                }
                _ => false,
            },
            Place::Write => match self.effect {
                Effect::CutPower => true,
                Effect::RefuseWrite => matches!(self.when, When::Before),
                _ => false,
            },
            Place::Memory => matches!((self.effect, self.when), (Effect::MemoryFull, When::Before)),
            Place::Application(_) => match self.effect {
                Effect::CutPower | Effect::Status(_) | Effect::Code(_) => true,
                Effect::Mute => matches!(self.when, When::Before),
                Effect::DropResponse | Effect::Delay(_) => matches!(self.when, When::After),
                _ => false,
            },
        };
        fits && self.from > 0 && !matches!(self.times, Some(0))
    }
}

impl Effect {
    /// Whether both can be seen of one command. Flipped bits and delays go beside an answer, not beside silence; of two that
    /// decide the answer only one is seen.
    const fn goes_with(self, other: Self) -> bool {
        match (self.rank(), other.rank()) {
            (Rank::OfResponse, Rank::OfResponse) | (Rank::OfCommand, Rank::OfCommand) => !self.is_same_bit(other),
            (Rank::OfResponse, Rank::Silence) | (Rank::Silence, Rank::OfResponse) => false,
            (Rank::Beside | Rank::OfResponse, _) | (_, Rank::Beside | Rank::OfResponse) => true,
            _ => false,
        }
    }

    const fn rank(self) -> Rank {
        match self {
            Self::MemoryFull => Rank::Beside,
            Self::Delay(_) | Self::FlipResponseBit(_) => Rank::OfResponse,
            Self::FlipCommandBit(_) => Rank::OfCommand,
            Self::CutPower | Self::DropResponse | Self::Mute => Rank::Silence,
            Self::Status(_) | Self::RefuseWrite | Self::Code(_) => Rank::Answer,
        }
    }

    /// Flipped twice a bit is as it was.
    const fn is_same_bit(self, other: Self) -> bool {
        match (self, other) {
            (Self::FlipCommandBit(one), Self::FlipCommandBit(other))
            | (Self::FlipResponseBit(one), Self::FlipResponseBit(other)) => one == other,
            _ => false,
        }
    }

    /// Whether nothing else that decides the answer is seen beside it.
    const fn decides(self) -> bool {
        matches!(self.rank(), Rank::Silence | Rank::Answer)
    }
}

/// What an effect is seen by.
#[derive(Clone, Copy)]
enum Rank {
    /// By what the card says is free.
    Beside,
    /// By the response, which stays what it is otherwise.
    OfResponse,
    /// By what becomes of another command than was sent.
    OfCommand,
    /// By the answer.
    Answer,
    /// By there being none.
    Silence,
}

/// Why faults cannot be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// This one can never strike: its place does not know its effect on this side, or a number in it is none.
    Never(Fault),
    /// Memory does not take them.
    Memory(NvmError),
}

impl From<NvmError> for OrderError {
    fn from(error: NvmError) -> Self {
        Self::Memory(error)
    }
}

impl core::fmt::Display for OrderError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Never(_) => f.write_str("a fault can never strike"),
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OrderError {}

/// A fault that was ordered, and what has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Its number on this card.
    pub number: u16,
    /// What was ordered.
    pub fault: Fault,
    /// How often its place was met since; counted up to the first strike of a fault that strikes always.
    pub met: u32,
    /// How often it struck; of a fault that strikes always, whether it has.
    pub struck: u32,
}

impl Ordered {
    /// Whether it will not strike any more.
    pub fn is_spent(&self) -> bool {
        self.left() == Some(0)
    }

    /// How often it will still strike; `None`: always.
    pub fn left(&self) -> Option<u32> {
        self.fault.times.map(|times| times.saturating_sub(self.struck))
    }

    /// The place is met, where the effect could be seen or not: whether it strikes, and whether that changes what is to be kept.
    fn meet(&mut self, is_seen: bool) -> (bool, bool) {
        let before = *self;
        self.met = self.met.saturating_add(1).min(self.fault.from);
        let strikes = is_seen && self.met >= self.fault.from;
        if strikes {
            let most = self.fault.times.unwrap_or(1);
            self.struck = self.struck.saturating_add(1).min(most);
        }
        (strikes, *self != before)
    }
}

/// The faults ordered for the card in this memory, by their numbers.
pub fn ordered(nvm: &dyn Nvm) -> Vec<Ordered> {
    let keys = nvm.keys(Key::all(Partition::Fault, 0));
    keys.into_iter().filter_map(|key| row::decode(key, nvm.get(key)?)).collect()
}

/// Orders faults for the card in this memory; all of them, or none. They are there from the next reset on.
///
/// # Errors
/// One of them can never strike, or the memory does not take them.
pub fn order(nvm: &mut dyn Nvm, faults: &[Fault]) -> Result<Vec<u16>, OrderError> {
    let last = nvm.keys(Key::all(Partition::Fault, 0)).last().map_or(0, |key| key.index());
    let mut numbers = (last + 1..=u32::from(u16::MAX)).filter_map(|number| u16::try_from(number).ok());
    let mut new = Vec::new();
    for fault in faults {
        if !fault.can_strike() {
            return Err(OrderError::Never(*fault));
        }
        let number = numbers.next().ok_or(NvmError)?;
        new.push(Ordered { number, fault: *fault, met: 0, struck: 0 });
    }
    if !new.is_empty() {
        nvm.apply(new.iter().map(row::update).collect())?;
    }
    Ok(new.iter().map(|ordered| ordered.number).collect())
}

/// Clears the faults of these numbers, or all. Returns those that were there.
///
/// # Errors
/// The memory does not take it.
pub fn clear(nvm: &mut dyn Nvm, numbers: Option<&[u16]>) -> Result<Vec<u16>, NvmError> {
    let there = nvm.keys(Key::all(Partition::Fault, 0)).into_iter().filter_map(|key| u16::try_from(key.index()).ok());
    let gone: Vec<u16> = there.filter(|number| numbers.is_none_or(|numbers| numbers.contains(number))).collect();
    if !gone.is_empty() {
        nvm.apply(gone.iter().map(|number| Update::Remove(row::key(*number))).collect())?;
    }
    Ok(gone)
}

/// What is ordered for the card at work, and what of it is under way.
#[derive(Debug, Default)]
pub struct Faults {
    ordered: Vec<Ordered>,
    /// Whether each of them differs from what memory holds.
    changed: Vec<bool>,
    /// The card is silent until the next reset.
    silent: bool,
    /// The power has failed in the middle of a command: nothing is written any more.
    lost: bool,
    /// The response under way does not arrive, and this is what follows.
    ending: Option<Effect>,
    /// How much later the response comes.
    delay: Duration,
    /// What has struck in the command under way.
    struck: Vec<Effect>,
    /// Whether the command under way has asked for free memory.
    memory_asked: Cell<bool>,
}

impl Faults {
    fn load(nvm: &dyn Nvm) -> Self {
        let ordered = ordered(nvm);
        Self { changed: vec![false; ordered.len()], ordered, ..Self::default() }
    }

    /// Whether there is nothing that could strike, and nothing under way.
    fn is_idle(&self) -> bool {
        !self.silent && !self.lost && self.ordered.iter().all(Ordered::is_spent)
    }

    /// A place is met: what strikes there, on this side of it. What could not be seen beside what has struck in this command
    /// waits for the next time, and so does what is not `possible`, which does not even count as met.
    fn meet(
        &mut self,
        when: When,
        is_there: impl Fn(Place) -> bool,
        is_possible: impl Fn(Effect) -> bool,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (ordered, is_changed) in self.ordered.iter_mut().zip(&mut self.changed) {
            let Fault { place, when: side, effect, .. } = ordered.fault;
            if ordered.is_spent() || side != when || !is_there(place) || !is_possible(effect) {
                continue;
            }
            let is_seen = self.struck.iter().all(|other| effect.goes_with(*other));
            let (strikes, changes) = ordered.meet(is_seen);
            *is_changed |= changes;
            if strikes {
                self.struck.push(effect);
                effects.push(effect);
            }
        }
        effects
    }

    /// A command begins.
    fn begin(&mut self) {
        self.struck.clear();
        self.memory_asked.set(false);
        self.delay = Duration::ZERO;
    }

    /// An application is at a point of its own; `answers` tells whether it can answer with a code there.
    pub(crate) fn at(
        &mut self,
        point: u32,
        when: When,
        answers: &dyn Fn(i64) -> bool,
    ) -> Result<Option<i64>, StatusWord> {
        let mut outcome = Ok(None);
        let is_possible = |effect| !matches!(effect, Effect::Code(code) if !answers(code));
        for effect in self.meet(when, |place| place == Place::Application(point), is_possible) {
            match effect {
                Effect::Code(own) => outcome = Ok(Some(own)),
                Effect::Status(sw) => outcome = Err(sw),
                Effect::Delay(longer) => self.delay += longer,
                ending => {
                    self.ending = Some(ending);
                    outcome = Err(StatusWord::TECHNICAL_PROBLEM);
                }
            }
        }
        outcome
    }

    /// Whether memory passes for full just now. The command that asks meets the place once, when it ends.
    fn is_full(&self) -> bool {
        let mut faults =
            self.ordered.iter().filter(|ordered| ordered.fault.place == Place::Memory && !ordered.is_spent());
        faults.any(|ordered| {
            self.memory_asked.set(true);
            ordered.met + 1 >= ordered.fault.from
        })
    }

    /// What has to be written so that memory holds the counters.
    fn counters(&self) -> Vec<Update> {
        self.ordered
            .iter()
            .zip(&self.changed)
            .filter(|(_, changed)| **changed)
            .map(|(one, _)| row::update(one))
            .collect()
    }

    fn counters_are_kept(&mut self) {
        self.changed.fill(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvm::MemoryNvm;

    #[test]
    fn what_is_ordered_is_listed_and_cleared() {
        let mut nvm = MemoryNvm::default();
        let (mute, slow) = (
            Fault::once(Place::Command(None), When::Before, Effect::Mute),
            Fault::once(Place::Command(Some(Ins::SELECT)), When::After, Effect::Delay(Duration::from_millis(1500))),
        );
        assert_eq!(order(&mut nvm, &[mute, slow.from(3).times(None)]), Ok(vec![1, 2]));
        assert_eq!(order(&mut nvm, &[mute]), Ok(vec![3]));
        // All of them, or none; and for the card it is as if there were none.
        assert_eq!(order(&mut nvm, &[mute, mute.times(Some(0))]), Err(OrderError::Never(mute.times(Some(0)))));
        assert_eq!((ordered(&nvm).len(), nvm.used()), (3, 0));
        let listed: Vec<_> = ordered(&nvm).into_iter().map(|one| (one.number, one.fault, one.left())).collect();
        assert_eq!(listed, [(1, mute, Some(1)), (2, slow.from(3).times(None), None), (3, mute, Some(1))]);
        assert_eq!(clear(&mut nvm, Some(&[1, 7])), Ok(vec![1]));
        assert_eq!(clear(&mut nvm, None), Ok(vec![2, 3]));
        assert_eq!((ordered(&nvm).len(), nvm.used()), (0, 0));
    }

    #[test]
    fn a_fault_counts_to_its_time_and_its_times() {
        let mut one = Ordered {
            number: 1,
            fault: Fault::once(Place::Write, When::Before, Effect::CutPower).from(3).times(Some(2)),
            met: 0,
            struck: 0,
        };
        let mut strikes = Vec::new();
        while !one.is_spent() {
            strikes.push(one.meet(true).0);
        }
        assert_eq!(strikes, [false, false, true, true]);
        // What is not seen has been met, and has not struck.
        let mut hidden = Ordered { met: 0, struck: 0, ..one };
        let met: Vec<_> = [false, false, false, true].into_iter().map(|is_seen| hidden.meet(is_seen).0).collect();
        assert_eq!((met, hidden.struck), (vec![false, false, false, true], 1));
        let mut always = Ordered { fault: one.fault.times(None), met: 0, struck: 0, ..one };
        let met: Vec<_> = (0..5).map(|_| always.meet(true)).collect();
        // It is written down until it strikes for the first time, and not at each command from then on.
        assert_eq!(met, [(false, true), (false, true), (true, true), (true, false), (true, false)]);
    }

    #[test]
    fn what_can_never_strike_is_told() {
        let at = |place, when, effect| Fault::once(place, when, effect).can_strike();
        assert!(at(Place::Write, When::After, Effect::CutPower));
        assert!(!at(Place::Write, When::Before, Effect::Mute));
        assert!(!at(Place::Command(None), When::Before, Effect::Code(5)));
        assert!(!at(Place::Command(None), When::After, Effect::FlipCommandBit(0)));
        let cut = Fault::once(Place::Command(None), When::Before, Effect::CutPower);
        assert!(cut.can_strike() && !cut.times(Some(0)).can_strike() && !cut.from(0).can_strike());
    }
}
