//! The power goes at every single step of writing: the image holds what was before the interrupted transaction, or what
//! is after it.

use super::file::tests::{Dice, manufacture, transaction};
use super::file::{FileNvm, create};
use card_os::nvm::{MemoryNvm, Nvm};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex};

/// A disk with a cache. What was not synchronised when the power goes may or may not have reached the plates, in parts.
#[derive(Debug)]
pub(super) struct Disk {
    /// What the process sees.
    pub(super) seen: Vec<u8>,
    /// What is safe.
    safe: Vec<u8>,
    /// Written since the last synchronisation.
    pending: Vec<Operation>,
    /// Steps until the power goes.
    pub(super) steps: usize,
}

#[derive(Clone, Debug)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLength(usize),
}

impl Operation {
    fn carry_out(&self, octets: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                octets.resize(octets.len().max(at + data.len()), 0);
                octets[*at..at + data.len()].copy_from_slice(data);
            }
            Self::SetLength(length) => octets.resize(*length, 0),
        }
    }
}

impl Disk {
    pub(super) fn new(octets: Vec<u8>, steps: usize) -> Self {
        Self { seen: octets.clone(), safe: octets, pending: Vec::new(), steps }
    }

    fn step(&mut self) -> io::Result<()> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| io::Error::other("the power is gone"))?;
        Ok(())
    }

    fn perform(&mut self, operation: Operation) -> io::Result<()> {
        let outcome = self.step();
        if outcome.is_ok() {
            operation.carry_out(&mut self.seen);
        }
        // The write that the cut hits may have come through.
        self.pending.push(operation);
        outcome
    }

    /// What is on the plates afterwards: of the pending writes some, of some of these the first sectors.
    pub(super) fn after_the_cut(&self, dice: &mut Dice) -> Vec<u8> {
        const SECTOR: usize = 512;
        let mut octets = self.safe.clone();
        let luck = dice.roll(3);
        for operation in &self.pending {
            match operation {
                Operation::Write(at, data) => match (luck, dice.roll(3)) {
                    (0, _) | (1, 0) => operation.carry_out(&mut octets),
                    (1, 1) => {
                        let part = (dice.roll(data.len() + 1) / SECTOR * SECTOR).min(data.len());
                        Operation::Write(*at, data[..part].to_vec()).carry_out(&mut octets);
                    }
                    _ => {}
                },
                // A file system keeps its own records in order.
                Operation::SetLength(_) => operation.carry_out(&mut octets),
            }
        }
        octets
    }
}

#[derive(Clone, Debug)]
pub(super) struct Storage(pub(super) Arc<Mutex<Disk>>);

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (disk, at) = (self.0.lock().unwrap(), usize::try_from(offset).unwrap());
        out.copy_from_slice(disk.seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().perform(Operation::SetLength(usize::try_from(length).unwrap()))
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.step()?;
        disk.pending.clear();
        disk.safe = disk.seen.clone();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().perform(Operation::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

#[test]
fn leaves_the_state_before_or_after() {
    const FOREVER: usize = usize::MAX;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("card.img");
    create(&path, &manufacture(), &MemoryNvm::default()).unwrap();
    let new = std::fs::read(&path).unwrap();

    let mut dice = Dice(2);
    let transactions: Vec<_> = (0..12).map(|_| transaction(&mut dice)).collect();
    let mut states = vec![MemoryNvm::default()];
    for updates in &transactions {
        let mut state = states.last().unwrap().clone();
        state.apply(updates.clone()).unwrap();
        states.push(state);
    }

    // Opens the card, makes the transactions until the power goes; how many were confirmed?
    let run = |steps| {
        let disk = Arc::new(Mutex::new(Disk::new(new.clone(), steps)));
        let mut confirmed = 0;
        if let Ok(mut nvm) = FileNvm::open_on(&path, Storage(disk.clone())) {
            confirmed = transactions.iter().take_while(|updates| nvm.apply((*updates).clone()).is_ok()).count();
            if confirmed < transactions.len() {
                assert!(nvm.apply(transactions[0].clone()).is_err(), "no write succeeds once one has failed");
                assert_eq!(nvm.memory(), &states[confirmed]);
            }
        }
        (confirmed, disk)
    };

    let (confirmed, disk) = run(FOREVER);
    assert_eq!(confirmed, transactions.len());
    let steps = FOREVER - disk.lock().unwrap().steps;
    assert!(steps > 5 * transactions.len(), "{steps} steps");
    let (mut before, mut after) = (0, 0);
    for cut in 0..steps {
        let (confirmed, disk) = run(cut);
        for _ in 0..4 {
            let octets = disk.lock().unwrap().after_the_cut(&mut dice);
            let survivor = Storage(Arc::new(Mutex::new(Disk::new(octets, FOREVER))));
            let nvm = FileNvm::open_on(&path, survivor).unwrap();
            assert_eq!(nvm.manufacture(), &manufacture());
            if nvm.memory() == &states[confirmed] {
                before += 1;
            } else {
                assert_eq!(Some(nvm.memory()), states.get(confirmed + 1), "cut at {cut}, {confirmed} confirmed");
                after += 1;
            }
        }
    }
    assert!(before > 100 && after > 0, "{before} before, {after} after");
}

/// Space runs out at every single step of a write, and comes back: whatever of it had reached the disk, the card holds
/// what it did before, and goes on.
#[test]
fn goes_on_when_there_is_space_again() {
    const FOREVER: usize = usize::MAX;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("card.img");
    create(&path, &manufacture(), &MemoryNvm::default()).unwrap();
    let new = std::fs::read(&path).unwrap();
    let mut dice = Dice(6);
    let [made, lost, made_up] = core::array::from_fn(|_| transaction(&mut dice));
    let open = |octets| FileNvm::open_on(&path, Storage(Arc::new(Mutex::new(Disk::new(octets, FOREVER))))).unwrap();
    let (mut before, mut after) = (0, 0);
    for steps in 0.. {
        let disk = Arc::new(Mutex::new(Disk::new(new.clone(), FOREVER)));
        let mut nvm = FileNvm::open_on(&path, Storage(disk.clone())).unwrap();
        nvm.apply(made.clone()).unwrap();
        let confirmed = nvm.memory().clone();
        disk.lock().unwrap().steps = steps;
        if nvm.apply(lost.clone()).is_ok() {
            break;
        }
        let octets = disk.lock().unwrap().seen.clone();
        if open(octets).memory() == &confirmed {
            before += 1;
        } else {
            after += 1;
        }
        disk.lock().unwrap().steps = FOREVER;
        nvm.apply(made_up.clone()).unwrap();
        let mut expected = confirmed;
        expected.apply(made_up.clone()).unwrap();
        assert_eq!(nvm.memory(), &expected);
        drop(nvm);
        let octets = disk.lock().unwrap().seen.clone();
        assert_eq!(open(octets).memory(), &expected, "space ran out at {steps}");
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}
