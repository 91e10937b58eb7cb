//! The whole card under stress: more than 100,000 broken dialogues, and every ES10 request cut short. And whatever reads
//! octets from a network, at the operator and in a phone: nothing that is sent there makes it panic.
//!
//! No panic; every answer a status word the specifications know; a refusal leaves memory as it was; after a reset the
//! card serves again and its memory accounts are right; when everything is deleted, nothing is left over.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../src/wire.rs"]
mod wire;

use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{Card, DomainId};
use core::ops::RangeInclusive;
use hex_literal::hex;
use rsp::notification::{FinalResult, ProfileInstallationResult};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vuicc_tests::dialogues::{self, Dialogue};
use vuicc_tests::host::store_data;
use vuicc_tests::mutation::{Dice, Step, mutated, mutated_octets, mutated_whole};
use vuicc_tests::specimen::Specimen;

/// Broken dialogues, all in all.
const SEQUENCES: usize = 100_000;
/// Broken dialogues that one card endures, resets in between.
const PER_CARD: usize = 100;
/// Commands of a dialogue that are taken at once.
const LONGEST: usize = 8;
/// Broken commands to the access rule application and in class `A0`.
const COMMANDS: usize = 500_000;
/// Broken messages at each entrance.
const MESSAGES: usize = 2_000;

/// Memory that counts its changes.
struct Watched {
    memory: MemoryNvm,
    changes: Arc<AtomicUsize>,
}

impl Nvm for Watched {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.memory.get(key)
    }
    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        self.memory.keys(range)
    }
    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        self.changes.fetch_add(usize::from(!updates.is_empty()), Ordering::Relaxed);
        self.memory.apply(updates)
    }
    fn used(&self) -> usize {
        self.memory.used()
    }
}

/// A card, and how often its memory changed.
struct Victim {
    /// The seed of its sufferings.
    number: usize,
    card: Card,
    changes: Arc<AtomicUsize>,
    /// Commands carried out.
    obeyed: usize,
    /// Profiles installed.
    installed: usize,
}

impl Drop for Victim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was card {}; its number is the seed", self.number);
        }
    }
}

impl Victim {
    fn new(specimen: &Specimen, number: usize) -> Self {
        let changes = Arc::new(AtomicUsize::new(0));
        let nvm = Watched { memory: specimen.memory().clone(), changes: changes.clone() };
        let mut card = specimen.card_on(Box::new(nvm));
        card.reset();
        Self { number, card, changes, obeyed: 0, installed: 0 }
    }

    fn changes(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    fn endure(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Reset => drop(self.card.reset()),
                Step::Command(command) => {
                    let changes = self.changes();
                    let answer = self.card.transmit(command);
                    let (data, sw) = answer.split_last_chunk::<2>().expect("a status word");
                    assert!(data.len() <= 256 && is_known(*sw), "{command:02X?}: {answer:02X?}");
                    assert!(!is_refusal(*sw) || changes == self.changes(), "{command:02X?}: {sw:02X?} and a change");
                    self.obeyed += usize::from(matches!(sw[0], 0x61 | 0x90 | 0x91));
                    self.installed += usize::from(is_success(data));
                }
            }
        }
    }

    /// After whatever it was: a reset, and the card is a card.
    fn recover(&mut self) {
        let changes = self.changes();
        let used = self.card.nvm().used();
        assert_eq!(self.card.reset().first(), Some(&0x3B));
        assert_eq!(self.card.transmit(&hex!("00A4000C023F00")), hex!("9000"));
        assert_eq!(self.card.transmit(&select_isd_r()), hex!("9000"));
        let nvm = self.card.nvm();
        assert!(changes != self.changes() || used == nvm.used());
        let cost = |key: Key| nvm.get(key).map(|value| key.cost(value.len()));
        let sum: usize = all_keys(nvm).into_iter().filter_map(cost).sum();
        assert_eq!(sum, nvm.used(), "the accounts are right");
        assert!(nvm.used() <= self.card.profile().non_volatile_memory);
    }

    fn es10(&mut self, request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        for command in store_data(0x80, request, 255) {
            answer = self.card.transmit(&command);
        }
        let mut data = Vec::new();
        while let Some((part, [0x61, more])) = answer.split_last_chunk::<2>() {
            data.extend_from_slice(part);
            answer = self.card.transmit(&[0x80, 0xC0, 0, 0, *more]);
        }
        let (part, _) = answer.split_last_chunk::<2>().expect("a status word");
        [&data, part].concat()
    }

    /// Deletes all that an end user can delete; then only the platform is left, and no profile has left a trace.
    fn bury(&mut self) {
        self.recover();
        self.es10(&hex!("BF3404820205E0"));
        self.card.reset();
        self.card.transmit(&select_isd_r());
        assert_eq!(self.es10(&hex!("BF2D00")), hex!("BF2D02A000"), "no profile");
        let nvm = self.card.nvm();
        let left: Vec<Key> = all_keys(nvm).into_iter().filter(|key| key.domain() != DomainId::PLATFORM.0).collect();
        assert_eq!(left, [], "of deleted and never finished profiles");
    }
}

/// Whether this is a ProfileInstallationResult that ends well. SGP.22 §2.5.6.
fn is_success(data: &[u8]) -> bool {
    let result = rsp::decode::<ProfileInstallationResult>(data).ok();
    let result = result.and_then(|result| result.profile_installation_result_data.decode().ok());
    result.is_some_and(|data| matches!(data.final_result, FinalResult::SuccessResult(_)))
}

fn select_isd_r() -> Vec<u8> {
    [&hex!("00A4040C10")[..], &rsp::ids::AID_ISD_R].concat()
}

fn all_keys(nvm: &dyn Nvm) -> Vec<Key> {
    nvm.keys(Key::from_u64(0)..=Key::from_u64(u64::MAX))
}

/// Status words of TS 102 221 §10.2, TS 31.102 §7.3, TS 51.011 §9.4, GPD_SPE_013, GlobalPlatform and ISO/IEC 7816-4 where they
/// are silent.
const fn is_known(sw: [u8; 2]) -> bool {
    match sw {
        [0x61 | 0x67 | 0x6C | 0x91 | 0x92 | 0x9F, _] => true,
        [0x62, sw2] => matches!(sw2, 0x00 | 0x81..=0x83 | 0x85 | 0xF1..=0xF3),
        [0x63, sw2] => matches!(sw2, 0x00 | 0xC0..=0xCF | 0xF1 | 0xF2 | 0x10 | 0x81 | 0x82),
        [0x65, sw2] => matches!(sw2, 0x00 | 0x81),
        [0x68, sw2] => matches!(sw2, 0x00 | 0x81..=0x84),
        [0x69, sw2] => matches!(sw2, 0x00 | 0x81..=0x89),
        [0x6A, sw2] => matches!(sw2, 0x80..=0x8A),
        [0x64 | 0x6B | 0x6D | 0x6E | 0x6F | 0x90 | 0x93, sw2] => sw2 == 0,
        [0x94, sw2] => matches!(sw2, 0x00 | 0x02 | 0x04 | 0x08 | 0x84 | 0x85),
        [0x98, sw2] => matches!(sw2, 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x50 | 0x62..=0x67),
        _ => false,
    }
}

/// Whether nothing may have happened. `98XX` and `63CX` are answers that cost something.
const fn is_refusal(sw: [u8; 2]) -> bool {
    matches!(sw[0], 0x64 | 0x67..=0x6F)
}

/// The parts that the processors of this machine are worth.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

#[test]
fn broken_dialogues_break_nothing() {
    let specimen = Specimen::new();
    let dialogues = dialogues::all(&specimen);
    let downloads: Vec<&Dialogue> = dialogues.iter().filter(|dialogue| dialogue.name == "download").collect();
    let (next, obeyed, installed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| {
                // Each card has dice of its own, so that a failure is reproducible whichever thread gets the card.
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SEQUENCES.div_ceil(PER_CARD) {
                        break;
                    }
                    let mut dice = Dice(number as u64);
                    let mut victim = Victim::new(&specimen, number);
                    // A fresh card has the random bytes the downloads were recorded with.
                    let faults = dice.roll(4);
                    victim.endure(&mutated_whole(downloads[number % downloads.len()], faults, &mut dice));
                    victim.recover();
                    for _ in 1..PER_CARD {
                        victim.endure(&mutated(&dialogues, LONGEST, &mut dice));
                        victim.recover();
                    }
                    victim.bury();
                    obeyed.fetch_add(victim.obeyed, Ordering::Relaxed);
                    installed.fetch_add(victim.installed, Ordering::Relaxed);
                }
            });
        }
    });
    // The faults did not drown everything: the card was at work in between.
    let (obeyed, installed) = (obeyed.into_inner(), installed.into_inner());
    assert!(obeyed > SEQUENCES && installed > SEQUENCES / PER_CARD / 10, "{obeyed} obeyed, {installed} installed");
}

/// The dialogues with the access rule application and in class `A0` alone, until so many commands were sent.
#[test]
fn broken_rules_and_sims_break_nothing() {
    let specimen = Specimen::new();
    let mut dialogues = dialogues::all(&specimen);
    dialogues.retain(|dialogue| [dialogues::ACCESS_RULES, dialogues::SIM].contains(&dialogue.name));
    let (next, sent, obeyed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| {
                while sent.load(Ordering::Relaxed) < COMMANDS {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let mut dice = Dice(number as u64);
                    let mut victim = Victim::new(&specimen, number);
                    for _ in 0..PER_CARD {
                        let steps = mutated(&dialogues, 10 * LONGEST, &mut dice);
                        sent.fetch_add(steps.len(), Ordering::Relaxed);
                        victim.endure(&steps);
                    }
                    victim.recover();
                    victim.bury();
                    obeyed.fetch_add(victim.obeyed, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(obeyed.into_inner() > COMMANDS / 10);
}

#[test]
fn a_request_that_is_no_tlv_is_refused_and_changes_nothing() {
    let specimen = Specimen::new();
    let mut victim = Victim::new(&specimen, 0);
    victim.recover();
    let before: Vec<(Key, Vec<u8>)> = dump(&victim.card);
    for request in dialogues::es10_requests() {
        // Cut short: the length promises more than there is.
        for end in 1..request.len() {
            let cut = request.get(..end).unwrap_or_default();
            assert_eq!(refusal(&mut victim.card, cut), hex!("6A80"), "{cut:02X?}");
        }
        // More than the length says.
        let long = [&request[..], &[0]].concat();
        assert_eq!(refusal(&mut victim.card, &long), hex!("6A80"), "{long:02X?}");
        assert!(dump(&victim.card) == before, "{request:02X?}");
    }
    victim.recover();
}

/// The status word of the last block.
fn refusal(card: &mut Card, request: &[u8]) -> Vec<u8> {
    store_data(0x80, request, 7).iter().fold(Vec::new(), |_, command| card.transmit(command))
}

fn dump(card: &Card) -> Vec<(Key, Vec<u8>)> {
    let nvm = card.nvm();
    all_keys(nvm).into_iter().map(|key| (key, nvm.get(key).unwrap_or_default().to_vec())).collect()
}

#[test]
fn broken_messages_break_nothing() {
    for (number, wire::Entrance { name, read, seeds }) in wire::ENTRANCES.iter().enumerate() {
        let seeds = seeds();
        assert!(!seeds.is_empty(), "{name}");
        for seed in &seeds {
            assert!(read(seed), "{name} takes {seed:02X?}");
        }
        let mut dice = Dice(number as u64);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..MESSAGES {
            let octets = mutated_octets(&seeds, &mut dice);
            *if read(&octets) { &mut taken } else { &mut refused } += 1;
        }
        assert!(taken + refused == MESSAGES && refused > 0, "{name}: {taken} taken, {refused} refused");
    }
}
