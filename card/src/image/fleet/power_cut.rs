//! The power goes, or space runs out, at every single step of writing for several cards: each holds what it did before, or
//! what is after.

use super::super::ImageError;
use super::super::file::tests::{Dice, manufacture, transaction};
use super::super::locked::Locked;
use super::super::power_cut::{Disk, Storage};
use super::member::tests::member;
use super::store::{Fleet, Maker, MemberNvm, Opened, open_database};
use super::writer::{self, Asked, State};
use card_os::nvm::{LayeredNvm, MemoryNvm, Nvm, Update};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

const FOREVER: usize = usize::MAX;
const CARDS: usize = 3;

fn new_fleet(path: &Path) -> Vec<u8> {
    let mut maker = Maker::begin(path, &manufacture(), MemoryNvm::default()).unwrap();
    for number in 0..3 {
        maker.add(member(number), &MemoryNvm::default()).unwrap();
    }
    maker.finish().unwrap();
    std::fs::read(path).unwrap()
}

fn disk(octets: Vec<u8>, steps: usize) -> Arc<Mutex<Disk>> {
    Arc::new(Mutex::new(Disk::new(octets, steps)))
}

fn cards(path: &Path, disk: &Arc<Mutex<Disk>>) -> Option<Vec<MemberNvm>> {
    let fleet = Fleet::open_on(path, Storage(Arc::clone(disk))).ok()?;
    Some(fleet.cards.into_iter().map(|(_, memory)| memory).collect())
}

fn memories(cards: &[MemberNvm]) -> Vec<MemoryNvm> {
    cards.iter().map(|card| card.memory().to_memory()).collect()
}

/// Which card writes what.
fn writes(dice: &mut Dice, count: usize) -> Vec<(usize, Vec<Update>)> {
    (0..count).map(|number| (number % CARDS, transaction(dice))).collect()
}

#[test]
fn leaves_each_card_before_or_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cards");
    let new = new_fleet(&path);
    let mut dice = Dice(3);
    let writes = writes(&mut dice, 9);
    let mut states = vec![vec![MemoryNvm::default(); CARDS]];
    for (card, updates) in &writes {
        let mut state = states.last().unwrap().clone();
        state[*card].apply(updates.clone()).unwrap();
        states.push(state);
    }
    // Opens the fleet, writes until the power goes; how many writes were confirmed?
    let run = |steps| {
        let disk = disk(new.clone(), steps);
        let mut confirmed = 0;
        if let Some(mut cards) = cards(&path, &disk) {
            confirmed = writes.iter().take_while(|(card, updates)| cards[*card].apply(updates.clone()).is_ok()).count();
            assert_eq!(memories(&cards), states[confirmed]);
        }
        (confirmed, disk)
    };
    let (confirmed, whole) = run(FOREVER);
    assert_eq!(confirmed, writes.len());
    let steps = FOREVER - whole.lock().unwrap().steps;
    let (mut before, mut after) = (0, 0);
    for cut in 0..steps {
        let (confirmed, cut_off) = run(cut);
        for _ in 0..3 {
            let octets = cut_off.lock().unwrap().after_the_cut(&mut dice);
            let found = memories(&cards(&path, &disk(octets, FOREVER)).unwrap());
            if found == states[confirmed] {
                before += 1;
            } else {
                assert_eq!(Some(&found), states.get(confirmed + 1), "cut at {cut}, {confirmed} confirmed");
                after += 1;
            }
        }
    }
    assert!(before > 50 && after > 0, "{before} before, {after} after");
}

/// Space runs out at every step of a write, and comes back: no card holds what it was told it does not.
#[test]
fn goes_on_when_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cards");
    let new = new_fleet(&path);
    let mut dice = Dice(4);
    let [made, lost, made_up] = core::array::from_fn(|_| transaction(&mut dice));
    let (mut before, mut after) = (0, 0);
    for steps in 0.. {
        let disk_here = disk(new.clone(), FOREVER);
        let mut at_work = cards(&path, &disk_here).unwrap();
        at_work[0].apply(made.clone()).unwrap();
        let confirmed = memories(&at_work);
        disk_here.lock().unwrap().steps = steps;
        if at_work[0].apply(lost.clone()).is_ok() {
            break;
        }
        assert_eq!(memories(&at_work), confirmed);
        let octets = disk_here.lock().unwrap().seen.clone();
        match cards(&path, &disk(octets, FOREVER)) {
            Some(found) if memories(&found) == confirmed => before += 1,
            _ => after += 1,
        }
        disk_here.lock().unwrap().steps = FOREVER;
        // Another card is the first to write again.
        at_work[1].apply(made_up.clone()).unwrap();
        let mut expected = confirmed;
        expected[1].apply(made_up.clone()).unwrap();
        assert_eq!(memories(&at_work), expected);
        drop(at_work);
        let octets = disk_here.lock().unwrap().seen.clone();
        assert_eq!(memories(&cards(&path, &disk(octets, FOREVER)).unwrap()), expected, "space ran out at {steps}");
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}

/// What another program has written in between is not overwritten.
#[test]
fn a_file_that_was_changed_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cards");
    let new = new_fleet(&path);
    let mut dice = Dice(5);
    let disk_here = disk(new.clone(), FOREVER);
    let mut at_work = cards(&path, &disk_here).unwrap();
    at_work[0].apply(transaction(&mut dice)).unwrap();
    disk_here.lock().unwrap().steps = 0;
    assert!(at_work[0].apply(transaction(&mut dice)).is_err());
    let elsewhere = {
        let elsewhere = disk(new, FOREVER);
        let mut others = cards(&path, &elsewhere).unwrap();
        for _ in 0..4 {
            others[2].apply(transaction(&mut dice)).unwrap();
        }
        drop(others);
        elsewhere.lock().unwrap().seen.clone()
    };
    {
        let mut disk = disk_here.lock().unwrap();
        disk.steps = FOREVER;
        disk.seen.clone_from(&elsewhere);
    }
    for card in &mut at_work {
        assert!(card.apply(transaction(&mut dice)).is_err());
    }
    let expected = memories(&cards(&path, &disk(elsewhere, FOREVER)).unwrap());
    let found = disk_here.lock().unwrap().seen.clone();
    assert_eq!(memories(&cards(&path, &disk(found, FOREVER)).unwrap()), expected);
}

/// The cards of a fleet without the thread: what is written for several of them is one transaction for certain.
struct Together {
    state: State,
    cards: Vec<LayeredNvm>,
}

/// Which cards write what in one transaction.
type Batch = Vec<(usize, Vec<Update>)>;

impl Together {
    fn open(path: &Path, disk: &Arc<Mutex<Disk>>) -> Option<Self> {
        let storage = writer::Storage { path: path.to_owned(), locked: Locked::new(Storage(Arc::clone(disk))) };
        let Opened { database, writes, fleet } = open_database(&storage).ok()?;
        let cards = fleet.cards.into_iter().map(|(_, memory)| memory).collect();
        Some(Self { state: State::new(storage, database, writes), cards })
    }

    /// What the cards are told: all of them the same.
    fn write(&mut self, batch: &Batch) -> Result<(), Arc<ImageError>> {
        let effects: Vec<_> = batch
            .iter()
            .map(|(card, updates)| updates.iter().map(|update| self.cards[*card].effect(update)).collect::<Vec<_>>())
            .collect();
        let (asked, told): (Vec<_>, Vec<_>) = batch
            .iter()
            .zip(&effects)
            .map(|((card, _), effects)| {
                let (waiting, told) = sync_channel(1);
                (Asked { card: u32::try_from(*card).unwrap(), effects: effects.clone(), waiting }, told)
            })
            .unzip();
        self.state.answer(asked);
        let told: Vec<_> = told.into_iter().map(|told| told.recv().unwrap()).collect();
        assert!(told.iter().all(Result::is_ok) || told.iter().all(Result::is_err), "{told:?}");
        if told[0].is_ok() {
            for ((card, _), effects) in batch.iter().zip(effects) {
                self.cards[*card].set_all(effects);
            }
        }
        told.into_iter().next().unwrap()
    }

    fn memories(&self) -> Vec<MemoryNvm> {
        self.cards.iter().map(LayeredNvm::to_memory).collect()
    }
}

fn after(mut state: Vec<MemoryNvm>, batch: &Batch) -> Vec<MemoryNvm> {
    for (card, updates) in batch {
        state[*card].apply(updates.clone()).unwrap();
    }
    state
}

/// Two or three cards, each once.
fn batch(number: usize, dice: &mut Dice) -> Batch {
    let left_out = number % (CARDS + 1);
    (0..CARDS).rev().filter(|card| *card != left_out).map(|card| (card, transaction(dice))).collect()
}

#[test]
fn leaves_all_cards_of_a_transaction_before_or_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cards");
    let new = new_fleet(&path);
    let mut dice = Dice(6);
    let batches: Vec<_> = (0..5).map(|number| batch(number, &mut dice)).collect();
    let mut states = vec![vec![MemoryNvm::default(); CARDS]];
    for batch in &batches {
        states.push(after(states.last().unwrap().clone(), batch));
    }
    let run = |steps| {
        let disk = disk(new.clone(), steps);
        let mut confirmed = 0;
        if let Some(mut cards) = Together::open(&path, &disk) {
            confirmed = batches.iter().take_while(|batch| cards.write(batch).is_ok()).count();
            assert_eq!(cards.memories(), states[confirmed]);
        }
        (confirmed, disk)
    };
    let (confirmed, whole) = run(FOREVER);
    assert_eq!(confirmed, batches.len());
    let steps = FOREVER - whole.lock().unwrap().steps;
    let (mut before, mut behind) = (0, 0);
    for cut in 0..steps {
        let (confirmed, cut_off) = run(cut);
        for _ in 0..3 {
            let octets = cut_off.lock().unwrap().after_the_cut(&mut dice);
            let found = Together::open(&path, &disk(octets, FOREVER)).unwrap().memories();
            if found == states[confirmed] {
                before += 1;
            } else {
                assert_eq!(Some(&found), states.get(confirmed + 1), "cut at {cut}, {confirmed} confirmed");
                behind += 1;
            }
        }
    }
    assert!(before > 30 && behind > 0, "{before} before, {behind} after");
}

/// A transaction of all cards fails at every step, and none of its parts is there when there is space again: also where
/// all of it had reached the disk.
#[test]
fn takes_a_transaction_of_several_cards_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cards");
    let new = new_fleet(&path);
    let mut dice = Dice(7);
    let all = |dice: &mut Dice| (0..CARDS).map(|card| (card, transaction(dice))).collect::<Batch>();
    let (made, lost, made_up) = (all(&mut dice), all(&mut dice), vec![(1, transaction(&mut dice))]);
    let (mut before, mut behind) = (0, 0);
    for steps in 0.. {
        let disk_here = disk(new.clone(), FOREVER);
        let mut at_work = Together::open(&path, &disk_here).unwrap();
        at_work.write(&made).unwrap();
        let confirmed = at_work.memories();
        disk_here.lock().unwrap().steps = steps;
        if at_work.write(&lost).is_ok() {
            break;
        }
        assert_eq!(at_work.memories(), confirmed);
        let octets = disk_here.lock().unwrap().seen.clone();
        match Together::open(&path, &disk(octets, FOREVER)) {
            Some(found) if found.memories() == confirmed => before += 1,
            _ => behind += 1,
        }
        disk_here.lock().unwrap().steps = FOREVER;
        at_work.write(&made_up).unwrap();
        let expected = after(confirmed, &made_up);
        assert_eq!(at_work.memories(), expected);
        drop(at_work);
        let octets = disk_here.lock().unwrap().seen.clone();
        let found = Together::open(&path, &disk(octets, FOREVER)).unwrap().memories();
        assert_eq!(found, expected, "space ran out at {steps}");
    }
    assert!(before > 0 && behind > 0, "{before} before, {behind} after");
}
