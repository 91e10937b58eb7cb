//! The file: made at once, opened by one, read by anyone.

use super::super::file::{backend, builder, write};
use super::super::holder;
use super::super::locked::Locked;
use super::super::manufacture::{Entries, number};
use super::super::{ImageError, Manufacture};
use super::gate;
use super::member::Member;
use super::writer::{Storage, Writer, count, from_stored};
use super::{FORMAT, FleetError};
use card_os::nvm::{Key, LayeredNvm, MemoryNvm, Nvm, NvmError, Own, Update};
use core::fmt;
use core::ops::RangeInclusive;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tempfile::NamedTempFile;

/// What the cards were made as, by name.
pub(super) const FLEET: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("vuicc fleet");
/// Who they are, by their number.
const MEMBERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("members");
/// What all of them remember.
const COMMON: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("common memory");
/// What each remembers instead, by its number: a value, or that it has none there.
pub(super) const OWN: TableDefinition<'_, (u32, u64), Option<&[u8]>> = TableDefinition::new("own memory");

/// Names of entries that a card image does not have.
pub(super) mod name {
    /// Number of the layout of the fleet.
    pub(super) const FORMAT: &str = "fleet format";
    /// How many transactions there were.
    pub(in super::super) const WRITES: &str = "writes";
}

/// Makes a fleet. The file appears when it is [finished](Self::finish); given up, nothing is left.
pub struct Maker {
    path: PathBuf,
    file: NamedTempFile,
    database: Database,
    common: Arc<MemoryNvm>,
    made: u32,
    /// Not written yet.
    waiting: Vec<(Member, LayeredNvm)>,
}

/// Cards that are written at a time.
const AT_ONCE: usize = 256;

impl Maker {
    /// Begins a file of cards that were all made like this, the first one with the memory `common`.
    ///
    /// # Errors
    /// [`ImageError::Exists`] if there is something.
    pub fn begin(path: &Path, manufacture: &Manufacture, common: MemoryNvm) -> Result<Self, FleetError> {
        let io = |cause| ImageError::io(path, cause);
        if path.symlink_metadata().is_ok() {
            return Err(ImageError::Exists(path.to_owned()).into());
        }
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".fleet-").suffix(".new").tempfile_in(folder).map_err(io)?;
        let failed = |error: redb::Error| ImageError::database(path, error);
        let database = builder().create_with_backend(backend(path, file.reopen().map_err(io)?)?);
        let database = database.map_err(|error| failed(error.into()))?;
        write(&database, |transaction| {
            count(transaction, 0)?;
            let mut table = transaction.open_table(FLEET)?;
            table.insert(name::FORMAT, u64::from(FORMAT).to_be_bytes().as_slice())?;
            for (name, value) in &manufacture.to_entries() {
                table.insert(name.as_str(), value.as_slice())?;
            }
            let mut table = transaction.open_table(COMMON)?;
            for (key, value) in common.iter() {
                table.insert(key.to_u64(), value)?;
            }
            transaction.open_table(MEMBERS)?;
            transaction.open_table(OWN)?;
            Ok(())
        })
        .map_err(failed)?;
        let (common, waiting) = (Arc::new(common), Vec::new());
        Ok(Self { path: path.to_owned(), file, database, common, made: 0, waiting })
    }

    /// Adds a card with this memory.
    pub fn add(&mut self, member: Member, memory: &MemoryNvm) -> Result<(), FleetError> {
        let mut layered = LayeredNvm::new(Arc::clone(&self.common), []);
        let gone = self.common.iter().filter(|(key, _)| memory.get(*key).is_none()).map(|(key, _)| Update::Remove(key));
        let there = memory.iter().map(|(key, value)| Update::Insert(key, value.to_vec()));
        let effects: Vec<_> = gone.chain(there).map(|update| layered.effect(&update)).collect();
        layered.set_all(effects);
        self.waiting.push((member, layered));
        if self.waiting.len() < AT_ONCE { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), FleetError> {
        let Self { database, made, waiting, .. } = self;
        write(database, |transaction| {
            let mut members = transaction.open_table(MEMBERS)?;
            let mut own = transaction.open_table(OWN)?;
            for (number, (member, memory)) in (*made..).zip(waiting.iter()) {
                members.insert(number, member.to_bytes().as_slice())?;
                for (key, value) in memory.own() {
                    let value = match value {
                        Own::Value(value) => Some(&**value),
                        Own::Removed => None,
                    };
                    own.insert((number, key.to_u64()), value)?;
                }
            }
            Ok(())
        })
        .map_err(|error| ImageError::database(&self.path, error))?;
        self.made += u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.waiting.clear();
        Ok(())
    }

    /// Has the file appear.
    pub fn finish(mut self) -> Result<(), FleetError> {
        self.write()?;
        let io = |cause| ImageError::io(&self.path, cause);
        drop(self.database);
        self.file.as_file().sync_all().map_err(io)?;
        self.file.persist_noclobber(&self.path).map_err(|error| io(error.error))?;
        // The new name has to reach the disk as well.
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?)
    }
}

/// The cards of a file.
#[derive(Debug)]
pub struct Fleet<M = MemberNvm> {
    /// What they were made as.
    pub manufacture: Manufacture,
    /// Who they are, and what they remember, in the order they were made.
    pub cards: Vec<(Member, M)>,
}

/// Reads a fleet without touching its file: also one at work, as it was at some moment of the reading. Its writes wait while
/// the file is copied.
pub fn read(path: &Path) -> Result<Fleet<LayeredNvm>, FleetError> {
    // A transaction that had begun before may have been in the copy in parts: checksums tell. None begins while a copy is
    // waited for, and this gives it time to end.
    const WAITS: [u64; 6] = [0, 10, 50, 200, 500, 1_000];
    let mut outcome = read_once(path, Duration::ZERO);
    for wait in WAITS {
        if !matches!(outcome, Err(FleetError::Image(ImageError::Damaged { .. }))) || !is_in_use(path) {
            return outcome;
        }
        outcome = read_once(path, Duration::from_millis(wait));
    }
    match outcome {
        Err(FleetError::Image(ImageError::Damaged { .. })) => {
            Err(FleetError::BeingWritten { path: path.to_owned(), holder: holder::of(path) })
        }
        outcome => outcome,
    }
}

/// Whether a process has the fleet open.
fn is_in_use(path: &Path) -> bool {
    holder::process(path).is_some()
        || File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn read_once(path: &Path, wait: Duration) -> Result<Fleet<LayeredNvm>, FleetError> {
    let io = |cause| ImageError::io(path, cause);
    let held = gate::hold(path);
    thread::sleep(wait);
    let octets = fs::read(path).map_err(io)?;
    drop(held);
    let snapshot = InMemoryBackend::new();
    snapshot.set_len(octets.len() as u64).map_err(io)?;
    snapshot.write(0, &octets).map_err(io)?;
    drop(octets);
    let storage = Storage { path: path.to_owned(), locked: Locked::new(snapshot) };
    open_database(&storage).map(|opened| opened.fleet).map_err(|error| match error {
        // All of the copy can be read: what is not there was cut off.
        FleetError::Image(ImageError::Io { path, .. }) => {
            ImageError::Damaged { path, reason: "it ends too early".into() }.into()
        }
        error => error,
    })
}

impl Fleet {
    /// Opens a fleet, and keeps other processes from opening it as long as one of its cards is there.
    pub fn open(path: &Path) -> Result<Self, FleetError> {
        let file = File::options().read(true).write(true).open(path).map_err(|cause| ImageError::io(path, cause))?;
        Self::open_on(path, backend(path, file)?)
    }

    pub(super) fn open_on(path: &Path, storage: impl StorageBackend) -> Result<Self, FleetError> {
        let storage = Storage { path: path.to_owned(), locked: Locked::new(storage) };
        let Opened { database, writes, fleet } = open_database(&storage)?;
        let writer = Writer::start(storage, database, writes).map_err(|cause| ImageError::io(path, cause))?;
        let writer = Arc::new(writer);
        let cards = (0..)
            .zip(fleet.cards)
            .map(|(number, (member, memory))| (member, MemberNvm { number, memory, writer: Arc::clone(&writer) }));
        Ok(Self { manufacture: fleet.manufacture, cards: cards.collect() })
    }
}

/// The memory of a card in a fleet. Each [`apply`](Nvm::apply) has reached the disk when it returns.
///
/// A write that fails (no space, a broken disk) has not happened; it is the same as with a [card
/// image](super::super::FileNvm), for all cards whose writes were one transaction.
pub struct MemberNvm {
    number: u32,
    memory: LayeredNvm,
    writer: Arc<Writer>,
}

impl MemberNvm {
    /// Everything the card remembers.
    pub const fn memory(&self) -> &LayeredNvm {
        &self.memory
    }
}

impl Nvm for MemberNvm {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.memory.get(key)
    }

    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        self.memory.keys(range)
    }

    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        if updates.is_empty() {
            return Ok(());
        }
        let effects: Vec<_> = updates.iter().map(|update| self.memory.effect(update)).collect();
        // The card can only say that its memory fails; the writer says why.
        self.writer.write(self.number, effects.clone()).map_err(|_| NvmError)?;
        self.memory.set_all(effects);
        Ok(())
    }

    fn used(&self) -> usize {
        self.memory.used()
    }
}

/// Counts, not contents: keys and PINs live in there.
impl fmt::Debug for MemberNvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberNvm").field("number", &self.number).field("memory", &self.memory).finish_non_exhaustive()
    }
}

pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) writes: u64,
    pub(super) fleet: Fleet<LayeredNvm>,
}

pub(super) fn open_database(storage: &Storage) -> Result<Opened, FleetError> {
    let path = &storage.path;
    // An empty file is an empty database to redb; here it is nothing.
    if storage.locked.len().map_err(|cause| ImageError::io(path, cause))? == 0 {
        return Err(FleetError::NotAFleet(path.clone()));
    }
    let database = storage.open()?;
    let loaded = load(&database).map_err(|error| ImageError::database(path, error))?;
    let incomplete = |what: &str| ImageError::damaged(path, &format_args!("its entry \"{what}\" is missing or wrong"));
    let found = number(&loaded.entries, name::FORMAT).map_err(incomplete)?;
    match u32::try_from(found).unwrap_or(u32::MAX) {
        0 => return Err(incomplete(name::FORMAT).into()),
        1..=FORMAT => {}
        found => return Err(FleetError::NewerFormat { path: path.clone(), found }),
    }
    let writes = number(&loaded.entries, name::WRITES).map_err(incomplete)?;
    let manufacture = Manufacture::from_entries(&loaded.entries).map_err(incomplete)?;
    let common = Arc::new(loaded.common);
    let cards = loaded.cards.into_iter().enumerate().map(|(number, (member, own))| {
        let member = member.ok_or_else(|| incomplete(&format!("member {number}")))?;
        Ok((member, LayeredNvm::new(Arc::clone(&common), own)))
    });
    let cards = cards.collect::<Result<_, ImageError>>()?;
    Ok(Opened { database, writes, fleet: Fleet { manufacture, cards } })
}

struct Loaded {
    entries: Entries,
    common: MemoryNvm,
    cards: Vec<LoadedCard>,
}

/// Who it is, `None` where that is not known, and what it has for itself.
type LoadedCard = (Option<Member>, Vec<(Key, Own)>);

fn load(database: &Database) -> Result<Loaded, redb::Error> {
    let transaction = database.begin_read()?;
    let mut entries = Entries::new();
    for entry in transaction.open_table(FLEET)?.iter()? {
        let (name, value) = entry?;
        entries.insert(name.value().to_owned(), value.value().to_vec());
    }
    let mut common = Vec::new();
    for entry in transaction.open_table(COMMON)?.iter()? {
        let (key, value) = entry?;
        common.push((Key::from_u64(key.value()), value.value().to_vec()));
    }
    let mut cards = Vec::new();
    for entry in transaction.open_table(MEMBERS)?.iter()? {
        let (number, member) = entry?;
        let is_next = usize::try_from(number.value()) == Ok(cards.len());
        cards.push((Member::from_bytes(member.value()).filter(|_| is_next), Vec::new()));
    }
    for entry in transaction.open_table(OWN)?.iter()? {
        let (place, value) = entry?;
        let (number, key) = place.value();
        if let Some((_, own)) = usize::try_from(number).ok().and_then(|number| cards.get_mut(number)) {
            own.push((Key::from_u64(key), from_stored(value.value())));
        }
    }
    Ok(Loaded { entries, common: common.into_iter().collect(), cards })
}

#[cfg(test)]
mod tests {
    use super::super::super::file::tests::{Dice, manufacture, transaction};
    use super::super::member::tests::member;
    use super::*;
    use card_os::nvm::Partition;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Three cards that differ in little.
    fn made(path: &Path) -> Vec<MemoryNvm> {
        let mut dice = Dice(1);
        let mut common = MemoryNvm::default();
        for _ in 0..4 {
            common.apply(transaction(&mut dice)).unwrap();
        }
        let mut maker = Maker::begin(path, &manufacture(), common.clone()).unwrap();
        let memories: Vec<_> = (0..3)
            .map(|number| {
                let mut memory = common.clone();
                if number > 0 {
                    memory.apply(transaction(&mut dice)).unwrap();
                }
                maker.add(member(number), &memory).unwrap();
                memory
            })
            .collect();
        maker.finish().unwrap();
        memories
    }

    #[test]
    fn each_card_behaves_like_a_memory_that_forgets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        let mut models = made(&path);
        let mut dice = Dice(2);
        for _ in 0..6 {
            let Fleet { manufacture: as_made, mut cards } = Fleet::open(&path).unwrap();
            assert_eq!(as_made, manufacture());
            let members: Vec<_> = cards.iter().map(|(member, _)| member.clone()).collect();
            assert_eq!(members, [member(0), member(1), member(2)]);
            for _ in 0..20 {
                let (at, updates) = (dice.roll(3), transaction(&mut dice));
                cards[at].1.apply(updates.clone()).unwrap();
                models[at].apply(updates).unwrap();
            }
            for ((_, card), model) in cards.iter().zip(&models) {
                assert_eq!((&card.memory().to_memory(), card.used()), (model, model.used()));
            }
        }
    }

    /// Every card in a thread of its own, all at a time.
    #[test]
    fn cards_write_beside_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        let mut models = made(&path);
        let cards = Fleet::open(&path).unwrap().cards;
        std::thread::scope(|scope| {
            for (seed, ((_, mut card), model)) in (10..).zip(cards.into_iter().zip(&mut models)) {
                scope.spawn(move || {
                    let mut dice = Dice(seed);
                    for _ in 0..50 {
                        let updates = transaction(&mut dice);
                        card.apply(updates.clone()).unwrap();
                        model.apply(updates).unwrap();
                    }
                });
            }
        });
        let found: Vec<_> = read(&path).unwrap().cards.iter().map(|(_, memory)| memory.to_memory()).collect();
        assert_eq!(found, models);
    }

    /// A counter, and the same again in another value: both of one transaction.
    fn counter(number: u64) -> Vec<Update> {
        (0..2).map(|at| Update::Insert(counter_key(at), number.to_be_bytes().to_vec())).collect()
    }

    fn counter_key(at: u32) -> Key {
        Key::new(Partition::ApplicationData, 9, at)
    }

    /// A file of many octets, written to by all of its cards without a pause: each look at it is whole, and not older than the
    /// one before.
    #[test]
    fn a_fleet_at_work_may_be_looked_at() {
        const CARDS: u32 = 16;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        let mut maker = Maker::begin(&path, &manufacture(), MemoryNvm::default()).unwrap();
        for number in 0..CARDS {
            let mut memory = MemoryNvm::default();
            let large = (0..100).map(|at| Update::Insert(Key::new(Partition::Content, 1, at), vec![1; 8_000]));
            memory.apply(large.chain(counter(0)).collect()).unwrap();
            maker.add(member(number), &memory).unwrap();
        }
        maker.finish().unwrap();
        assert!(fs::metadata(&path).unwrap().len() > 10_000_000);
        let cards = Fleet::open(&path).unwrap().cards;
        let (is_over, all_have_written) = (AtomicBool::new(false), Barrier::new(cards.len() + 1));
        thread::scope(|scope| {
            for (_, mut card) in cards {
                let (is_over, all_have_written) = (&is_over, &all_have_written);
                scope.spawn(move || {
                    for number in 1.. {
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        card.apply(counter(number)).unwrap();
                        if number == 1 {
                            all_have_written.wait();
                        }
                    }
                });
            }
            all_have_written.wait();
            // Whatever a look comes to, the writers are told to stop.
            let looks: Vec<_> = (0..4).map(|_| read(&path)).collect();
            is_over.store(true, Ordering::Relaxed);
            let mut before = [0; CARDS as usize];
            for look in looks {
                for ((_, memory), before) in look.unwrap().cards.iter().zip(&mut before) {
                    let [one, other] =
                        [0, 1].map(|at| u64::from_be_bytes(memory.get(counter_key(at)).unwrap().try_into().unwrap()));
                    assert!(one == other && one >= *before, "{one} and {other} after {before}");
                    *before = one;
                }
            }
            assert!(before.iter().all(|number| *number > 0), "{before:?}");
        });
    }

    /// While a reader copies, no transaction begins; then all of them are made.
    #[test]
    fn a_copy_keeps_transactions_from_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        made(&path);
        let cards = Fleet::open(&path).unwrap().cards;
        let held = gate::hold(&path).unwrap();
        let begin = fs::read(&path).unwrap();
        thread::scope(|scope| {
            for (_, mut card) in cards {
                scope.spawn(move || (1..=4).for_each(|number| card.apply(counter(number)).unwrap()));
            }
            thread::sleep(Duration::from_millis(100));
            let is_as_it_was = fs::read(&path).unwrap() == begin;
            drop(held);
            assert!(is_as_it_was);
        });
        let counted = |memory: &LayeredNvm| memory.get(counter_key(1)) == Some(&4_u64.to_be_bytes());
        assert!(read(&path).unwrap().cards.iter().all(|(_, memory)| counted(memory)));
    }

    /// What cannot be copied whole is not called damaged while a process has it.
    #[test]
    fn a_file_in_use_is_not_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        made(&path);
        let fleet = Fleet::open(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let refused = read(&path).unwrap_err();
        assert!(matches!(refused, FleetError::BeingWritten { .. }), "{refused}");
        assert!(refused.to_string().contains("try again") && !refused.to_string().contains("damaged"), "{refused}");
        drop(fleet);
        let refused = read(&path).unwrap_err();
        assert!(refused.to_string().contains("damaged"), "{refused}");
    }

    #[test]
    fn one_process_has_it_and_others_may_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        let models = made(&path);
        let mut cards = Fleet::open(&path).unwrap().cards;
        let last = cards.pop().unwrap();
        drop(cards);
        let refused = Fleet::open(&path).unwrap_err();
        assert!(matches!(refused, FleetError::Image(ImageError::InUse { .. })), "{refused}");
        assert_eq!(read(&path).unwrap().cards[1].1.to_memory(), models[1]);
        // With its last card it is free.
        drop(last);
        Fleet::open(&path).unwrap();
    }

    #[test]
    fn what_is_no_fleet_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        assert!(matches!(Fleet::open(&path), Err(FleetError::NotFound(_))));
        fs::write(&path, "").unwrap();
        assert!(matches!(Fleet::open(&path), Err(FleetError::NotAFleet(_))));
        assert!(matches!(
            Maker::begin(&path, &manufacture(), MemoryNvm::default()),
            Err(FleetError::Image(ImageError::Exists(_)))
        ));
        fs::write(&path, "something else").unwrap();
        assert!(matches!(Fleet::open(&path), Err(FleetError::NotAFleet(_))));
        fs::remove_file(&path).unwrap();
        super::super::super::create(&path, &manufacture(), &MemoryNvm::default()).unwrap();
        assert!(matches!(Fleet::open(&path), Err(FleetError::NotAFleet(_))), "a card image");
        fs::remove_file(&path).unwrap();
        made(&path);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(Fleet::open(&path).is_err());
    }

    #[test]
    fn given_up_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards");
        let mut maker = Maker::begin(&path, &manufacture(), MemoryNvm::default()).unwrap();
        maker.add(member(0), &MemoryNvm::default()).unwrap();
        drop(maker);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
