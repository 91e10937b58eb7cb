//! The power goes, or space runs out, at every single step of writing for several cards: each holds what it did before, or
//! what is after.

use super::super::file::tests::{Dice, manufacture, transaction};
use super::super::power_cut::{Disk, Storage};
use super::member::tests::member;
use super::store::{Fleet, Maker, MemberNvm};
use card_os::nvm::{MemoryNvm, Nvm, Update};
use std::path::Path;
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
