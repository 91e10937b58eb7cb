//! The file itself: made at once, opened by one, read by anyone.

use super::locked::Locked;
use super::manufacture::{Entries, name, number};
use super::{FORMAT, ImageError, Manufacture};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Partition, Update};
use core::fmt;
use core::ops::RangeInclusive;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What the card was made as, by name.
const CARD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("vuicc card");
/// The operating system's memory.
const MEMORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("memory");
/// Bytes of the file the database keeps in working memory; reads are served from the copy.
const CACHE: usize = 256 * 1024;

/// A card's memory in an image.
///
/// Reads come from a copy in working memory. Each [`apply`](Nvm::apply) is one transaction on the file, and has
/// reached the disk when it returns. The file is locked until this is dropped, also while it cannot be written to.
///
/// A write that fails (no space, a broken disk) has not happened: the next one opens the database anew, sees to it that
/// it holds what it did before, and goes on from there. So a card is whole again as soon as there is space again. What a
/// program that minds no locks has written there in between is not overwritten: then this writes no more.
pub struct FileNvm {
    path: PathBuf,
    storage: Locked,
    writing: Writing,
    copy: MemoryNvm,
    manufacture: Manufacture,
    /// Number of its layout: raised with the first file descriptor that is written.
    format: u32,
}

/// What is known of the file.
enum Writing {
    /// It holds the copy.
    Open(Box<Database>),
    /// A write failed: it holds the copy, or the copy with these updates, which the card has said it does not have.
    Failed(Vec<Update>),
    /// It holds something else.
    Stopped,
}

/// Makes a card image: the file appears whole, or not at all, whenever this is interrupted. An existing file stays.
pub fn create(path: &Path, manufacture: &Manufacture, memory: &MemoryNvm) -> Result<(), ImageError> {
    let io = |cause| ImageError::io(path, cause);
    if path.symlink_metadata().is_ok() {
        return Err(ImageError::Exists(path.to_owned()));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".card-").suffix(".new").tempfile_in(directory);
    let file = file.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => ImageError::NoFolder { path: path.to_owned(), folder: directory.to_owned() },
        _ => io(cause),
    })?;
    let database = builder()
        .create_with_backend(backend(path, file.reopen().map_err(io)?)?)
        .map_err(|error| ImageError::database(path, error))?;
    write(&database, |transaction| {
        {
            let mut table = transaction.open_table(CARD)?;
            for (name, value) in &manufacture.to_entries() {
                table.insert(name.as_str(), value.as_slice())?;
            }
            let mut table = transaction.open_table(MEMORY)?;
            for (key, value) in memory.iter() {
                table.insert(key.to_u64(), value)?;
            }
        }
        Ok(())
    })
    .map_err(|error| ImageError::database(path, error))?;
    drop(database);
    file.as_file().sync_all().map_err(io)?;
    file.persist_noclobber(path).map_err(|error| io(error.error))?;
    // The new name has to reach the disk as well.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

/// Reads a card image without touching or locking it: also that of a card at work, as it was at some moment of the
/// reading.
pub fn read(path: &Path) -> Result<(Manufacture, MemoryNvm), ImageError> {
    // A card at work may write between two reads of the file; checksums tell, and it is read again.
    const ATTEMPTS: usize = 5;
    let mut outcome = read_once(path);
    for _ in 1..ATTEMPTS {
        match outcome {
            Err(ImageError::Damaged { .. }) => outcome = read_once(path),
            _ => break,
        }
    }
    outcome
}

fn read_once(path: &Path) -> Result<(Manufacture, MemoryNvm), ImageError> {
    let io = |cause| ImageError::io(path, cause);
    let octets = fs::read(path).map_err(io)?;
    let snapshot = InMemoryBackend::new();
    snapshot.set_len(octets.len() as u64).map_err(io)?;
    snapshot.write(0, &octets).map_err(io)?;
    drop(octets);
    let FileNvm { copy, manufacture, .. } = FileNvm::open_on(path, snapshot)?;
    Ok((manufacture, copy))
}

impl FileNvm {
    /// Opens a card image, and keeps other processes from opening it.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let file = File::options().read(true).write(true).open(path).map_err(|cause| ImageError::io(path, cause))?;
        Self::open_on(path, backend(path, file)?)
    }

    pub(super) fn open_on(path: &Path, storage: impl StorageBackend) -> Result<Self, ImageError> {
        let storage = Locked::new(storage);
        let (database, (manufacture, format), copy) = open_database(path, storage.clone())?;
        let writing = Writing::Open(Box::new(database));
        Ok(Self { path: path.to_owned(), storage, writing, copy, manufacture, format })
    }

    /// What the card was made as.
    pub const fn manufacture(&self) -> &Manufacture {
        &self.manufacture
    }

    /// Everything the card remembers.
    pub const fn memory(&self) -> &MemoryNvm {
        &self.copy
    }

    /// Writes to the file, all or nothing.
    fn write(&mut self, updates: &[Update]) -> Result<(), ImageError> {
        if let Writing::Failed(failed) = &self.writing {
            match self.open_again(failed) {
                Ok(database) => self.writing = Writing::Open(Box::new(database)),
                Err(error) => {
                    if matches!(error, ImageError::Changed(_)) {
                        self.writing = Writing::Stopped;
                    }
                    return Err(error);
                }
            }
        }
        let Writing::Open(database) = &self.writing else { return Err(ImageError::Changed(self.path.clone())) };
        let raises = self.format < FORMAT && updates.iter().any(is_file_descriptor);
        commit(database, updates, raises).map_err(|error| {
            // The database answers to nothing any more.
            self.writing = Writing::Failed(updates.to_vec());
            ImageError::database(&self.path, error)
        })?;
        if raises {
            self.format = FORMAT;
        }
        Ok(())
    }

    /// Opens the database anew, and makes it hold the copy.
    fn open_again(&self, failed: &[Update]) -> Result<Database, ImageError> {
        let (database, (manufacture, _), found) = open_database(&self.path, self.storage.clone())?;
        // The write that failed may have reached the disk all the same.
        let mut written = self.copy.clone();
        let written = written.apply(failed.to_vec()).map(|()| written);
        if manufacture != self.manufacture || (found != self.copy && Ok(&found) != written.as_ref()) {
            return Err(ImageError::Changed(self.path.clone()));
        }
        let back = difference(&found, &self.copy);
        if !back.is_empty() {
            commit(&database, &back, false).map_err(|error| ImageError::database(&self.path, error))?;
        }
        tracing::info!("{}: the card can be written to again", self.path.display());
        Ok(database)
    }
}

/// What makes `copy` of `found`.
fn difference(found: &MemoryNvm, copy: &MemoryNvm) -> Vec<Update> {
    let gone = found.iter().filter(|(key, _)| copy.get(*key).is_none()).map(|(key, _)| Update::Remove(key));
    let other = copy.iter().filter(|(key, value)| found.get(*key) != Some(value));
    gone.chain(other.map(|(key, value)| Update::Insert(key, value.to_vec()))).collect()
}

/// Whether an update writes a file descriptor, whose layout is younger than an image may be.
fn is_file_descriptor(update: &Update) -> bool {
    matches!(update, Update::Insert(key, _) if Key::all(Partition::File, key.domain()).contains(key))
}

/// Puts updates into the card's memory, all or none; `raises`: with them the layout becomes that of this release, so that an
/// older one leaves the image alone instead of losing what it does not know.
fn commit(database: &Database, updates: &[Update], raises: bool) -> Result<(), redb::Error> {
    write(database, |transaction| {
        if raises {
            transaction.open_table(CARD)?.insert(name::FORMAT, &u64::from(FORMAT).to_be_bytes()[..])?;
        }
        let mut table = transaction.open_table(MEMORY)?;
        for update in updates {
            match update {
                Update::Insert(key, value) => drop(table.insert(key.to_u64(), value.as_slice())?),
                Update::Remove(key) => drop(table.remove(key.to_u64())?),
            }
        }
        Ok(())
    })
}

impl Nvm for FileNvm {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.copy.get(key)
    }

    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        self.copy.keys(range)
    }

    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        if updates.is_empty() {
            return Ok(());
        }
        if let Err(cause) = self.write(&updates) {
            // The card can only say that its memory fails; this is for its operator.
            tracing::error!("the card could not write to its image: {cause}");
            return Err(NvmError);
        }
        self.copy.apply(updates)
    }

    fn used(&self) -> usize {
        self.copy.used()
    }
}

/// The path and counts, not contents: keys and PINs live in there.
impl fmt::Debug for FileNvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileNvm").field("path", &self.path).field("copy", &self.copy).finish_non_exhaustive()
    }
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // Every page's checksum is verified before any is trusted.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

pub(super) fn backend(path: &Path, file: File) -> Result<FileBackend, ImageError> {
    FileBackend::new(file).map_err(|error| ImageError::database(path, error))
}

/// One transaction, on the disk when this returns.
pub(super) fn write(
    database: &Database,
    code: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    code(&transaction)?;
    Ok(transaction.commit()?)
}

/// Opens the database on the file: what the card was made as, and all it remembers.
fn open_database(
    path: &Path,
    storage: impl StorageBackend,
) -> Result<(Database, (Manufacture, u32), MemoryNvm), ImageError> {
    // An empty file is an empty database to redb; here it is nothing.
    if storage.len().map_err(|cause| ImageError::io(path, cause))? == 0 {
        return Err(ImageError::NotACardImage(path.to_owned()));
    }
    let database = builder().create_with_backend(storage).map_err(|error| ImageError::database(path, error))?;
    let (entries, memory) = load(&database).map_err(|error| ImageError::database(path, error))?;
    let incomplete = |name| ImageError::damaged(path, &format_args!("its entry \"{name}\" is missing or wrong"));
    let found = number(&entries, name::FORMAT).map_err(incomplete)?;
    let format = match u32::try_from(found).unwrap_or(u32::MAX) {
        0 => return Err(incomplete(name::FORMAT)),
        format @ 1..=FORMAT => format,
        found => return Err(ImageError::NewerFormat { path: path.to_owned(), found }),
    };
    let manufacture = Manufacture::from_entries(&entries).map_err(incomplete)?;
    Ok((database, (manufacture, format), memory))
}

fn load(database: &Database) -> Result<(Entries, MemoryNvm), redb::Error> {
    let transaction = database.begin_read()?;
    let mut entries = Entries::new();
    for entry in transaction.open_table(CARD)?.iter()? {
        let (name, value) = entry?;
        entries.insert(name.value().to_owned(), value.value().to_vec());
    }
    let mut memory = Vec::new();
    for entry in transaction.open_table(MEMORY)?.iter()? {
        let (key, value) = entry?;
        memory.push((Key::from_u64(key.value()), value.value().to_vec()));
    }
    Ok((entries, memory.into_iter().collect()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use card_os::CardProfile;
    use core::ops::Bound;
    use redb::BackendError;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Numbers that look random and are the same in every run (SplitMix64).
    pub(in super::super) struct Dice(pub(in super::super) u64);

    impl Dice {
        pub(in super::super) fn roll(&mut self, below: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
        }
    }

    pub(in super::super) fn manufacture() -> Manufacture {
        Manufacture::new(super::super::CardType::Euicc, CardProfile::default(), 1_767_225_600)
    }

    /// A transaction such as a card makes: a few values of very different sizes, some removed.
    pub(in super::super) fn transaction(dice: &mut Dice) -> Vec<Update> {
        let partitions = [Partition::System, Partition::File, Partition::Content, Partition::ApplicationData];
        (0..=dice.roll(6))
            .map(|_| {
                let domain = u16::try_from(dice.roll(3)).unwrap();
                let key = Key::new(partitions[dice.roll(4)], domain, u32::try_from(dice.roll(12)).unwrap());
                let size = [0, 1, 10, 300, 9_000][dice.roll(5)];
                if dice.roll(4) == 0 {
                    Update::Remove(key)
                } else {
                    Update::Insert(key, (0..size).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect())
                }
            })
            .collect()
    }

    fn image(directory: &tempfile::TempDir) -> PathBuf {
        let path = directory.path().join("card.img");
        create(&path, &manufacture(), &MemoryNvm::default()).unwrap();
        path
    }

    #[test]
    fn behaves_like_a_memory_that_forgets_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = image(&directory);
        let (mut dice, mut model) = (Dice(1), MemoryNvm::default());
        for _ in 0..12 {
            let mut nvm = FileNvm::open(&path).unwrap();
            assert_eq!(nvm.manufacture(), &manufacture());
            assert_eq!(nvm.copy, model);
            for _ in 0..10 {
                let updates = transaction(&mut dice);
                model.apply(updates.clone()).unwrap();
                nvm.apply(updates).unwrap();
                assert_eq!(nvm.used(), model.used());
            }
            let everything = Key::from_u64(0)..=Key::from_u64(u64::MAX);
            assert_eq!(nvm.keys(everything.clone()), model.keys(everything.clone()));
            assert!(nvm.keys(everything).into_iter().all(|key| nvm.get(key) == model.get(key)));
        }
        assert_eq!(read(&path).unwrap(), (manufacture(), model));
    }

    #[test]
    fn is_made_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let mut memory = MemoryNvm::default();
        memory.apply(transaction(&mut Dice(7))).unwrap();
        let path = directory.path().join("new.img");
        create(&path, &manufacture(), &memory).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(before.len() < 256 * 1024, "{} bytes for an almost empty card", before.len());
        assert!(matches!(create(&path, &manufacture(), &MemoryNvm::default()), Err(ImageError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
        let nowhere = directory.path().join("no such directory").join("new.img");
        assert!(matches!(create(&nowhere, &manufacture(), &memory), Err(ImageError::NoFolder { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing but the image is left");
    }

    #[cfg(unix)]
    #[test]
    fn is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(fs::metadata(image(&directory)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn is_opened_by_one_and_read_by_anyone() {
        let directory = tempfile::tempdir().unwrap();
        let path = image(&directory);
        let mut nvm = FileNvm::open(&path).unwrap();
        let refusal = FileNvm::open(&path).unwrap_err();
        assert!(matches!(refusal, ImageError::InUse { .. }), "{refusal:?}");
        // On some file systems the kernel lists another device than it tells of the file.
        let (told, own) = (refusal.to_string(), format!("in use by process {} (", std::process::id()));
        assert!(told.contains(&own) || told.contains("in use by another process"), "{told}");
        assert_eq!(refusal.to_string().lines().count(), 1);
        nvm.apply(transaction(&mut Dice(3))).unwrap();
        assert_eq!(read(&path).unwrap().1, nvm.copy);
        drop(nvm);
        FileNvm::open(&path).unwrap();
    }

    #[test]
    fn says_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("card.img");
        let refusal = || (FileNvm::open(&path).map(drop).unwrap_err(), read(&path).map(drop).unwrap_err());
        assert!(matches!(refusal(), (ImageError::NotFound(_), ImageError::NotFound(_))));
        for content in [&b""[..], b"PNG", &[0x30; 5_000]] {
            fs::write(&path, content).unwrap();
            assert!(matches!(refusal(), (ImageError::NotACardImage(_), ImageError::NotACardImage(_))));
        }
        fs::remove_file(&path).unwrap();
        Database::create(&path).unwrap();
        assert!(matches!(refusal(), (ImageError::NotACardImage(_), ImageError::NotACardImage(_))));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(refusal(), (ImageError::NotACardImage(_), ImageError::NotACardImage(_))));
    }

    #[test]
    fn of_a_newer_layout_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = image(&directory);
        let set = |format: u64| {
            let database = Database::open(&path).unwrap();
            write(&database, |transaction| {
                transaction.open_table(CARD)?.insert(name::FORMAT, &format.to_be_bytes()[..])?;
                Ok(())
            })
            .unwrap();
        };
        set(u64::from(FORMAT) + 1);
        assert!(matches!(FileNvm::open(&path), Err(ImageError::NewerFormat { found: 3, .. })));
        set(0);
        assert!(matches!(FileNvm::open(&path), Err(ImageError::Damaged { .. })));
    }

    /// An image of version 0.1.0 stays one that it can read until a file descriptor is written.
    #[test]
    fn the_layout_is_raised_with_the_first_file_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let path = image(&directory);
        let layout = |set: Option<u64>| {
            let database = Database::open(&path).unwrap();
            write(&database, |transaction| {
                let mut table = transaction.open_table(CARD)?;
                if let Some(format) = set {
                    table.insert(name::FORMAT, &format.to_be_bytes()[..])?;
                }
                Ok(())
            })
            .unwrap();
            number(&load(&database).unwrap().0, name::FORMAT).unwrap()
        };
        assert_eq!(layout(None), u64::from(FORMAT));
        assert_eq!(layout(Some(1)), 1);
        let mut nvm = FileNvm::open(&path).unwrap();
        nvm.apply(vec![Update::Insert(Key::new(Partition::Content, 1, 7), vec![1])]).unwrap();
        nvm.apply(vec![Update::Remove(Key::new(Partition::File, 1, 7))]).unwrap();
        drop(nvm);
        assert_eq!(layout(None), 1);
        let mut nvm = FileNvm::open(&path).unwrap();
        nvm.apply(vec![Update::Insert(Key::new(Partition::File, 1, 7), vec![1])]).unwrap();
        drop(nvm);
        assert_eq!(layout(None), u64::from(FORMAT));
    }

    #[test]
    fn damage_is_an_error_or_does_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        let path = image(&directory);
        let (mut dice, mut nvm) = (Dice(5), FileNvm::open(&path).unwrap());
        for _ in 0..20 {
            nvm.apply(transaction(&mut dice)).unwrap();
        }
        let whole = (manufacture(), nvm.copy.clone());
        drop(nvm);
        let octets = fs::read(&path).unwrap();
        let (mut refused, damaged) = (0, directory.path().join("damaged.img"));
        for _ in 0..200 {
            let mut octets = octets.clone();
            let at = dice.roll(octets.len());
            match dice.roll(5) {
                0 => octets.truncate(at),
                1 => octets[at] ^= 1 << dice.roll(8),
                // The database's own header.
                2 => octets[dice.roll(320)] ^= 1 << dice.roll(8),
                3 => {
                    let page = at / 4096 * 4096;
                    octets[page..page + 4096].fill(u8::try_from(dice.roll(2) * 255).unwrap());
                }
                _ => {
                    octets
                        .iter_mut()
                        .skip(at)
                        .take(64)
                        .for_each(|octet| *octet = u8::try_from(dice.roll(256)).unwrap());
                }
            }
            fs::write(&damaged, octets).unwrap();
            match (read(&damaged), FileNvm::open(&damaged)) {
                (Ok(read), Ok(opened)) => {
                    assert_eq!(read, whole);
                    assert_eq!((opened.manufacture, opened.copy), whole);
                }
                (Err(_), Err(_)) => refused += 1,
                (read, opened) => panic!("{read:?} {opened:?}"),
            }
        }
        assert!(refused > 50, "{refused} of 200");
    }

    /// A disk that is full at times.
    #[derive(Debug)]
    struct Disk {
        file: FileBackend,
        full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> io::Result<()> {
            if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }
        fn set_len(&self, length: u64) -> io::Result<()> {
            self.room().and_then(|()| self.file.set_len(length))
        }
        fn sync_data(&self) -> io::Result<()> {
            self.room().and_then(|()| self.file.sync_data())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room().and_then(|()| self.file.write(offset, data))
        }
        fn close(&self) -> io::Result<()> {
            self.file.close()
        }
        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.try_lock_range(start, end)
        }
        fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.file.unlock_range(start, end)
        }
        fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.query_lock_range(start, end)
        }
    }

    /// A card on a disk that can be made full.
    fn on_a_disk(path: &Path) -> (FileNvm, Arc<AtomicBool>) {
        let full = Arc::new(AtomicBool::new(false));
        let file = backend(path, File::options().read(true).write(true).open(path).unwrap()).unwrap();
        (FileNvm::open_on(path, Disk { file, full: full.clone() }).unwrap(), full)
    }

    #[test]
    fn is_locked_also_while_it_cannot_be_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = image(&directory);
        let (mut dice, (mut nvm, full)) = (Dice(11), on_a_disk(&path));
        let in_use = || matches!(FileNvm::open(&path), Err(ImageError::InUse { .. }));
        nvm.apply(transaction(&mut dice)).unwrap();
        let before = nvm.copy.clone();
        full.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            nvm.apply(transaction(&mut dice)).unwrap_err();
            assert!(in_use() && nvm.copy == before);
        }
        full.store(false, Ordering::Relaxed);
        nvm.apply(transaction(&mut dice)).unwrap();
        assert!(in_use() && nvm.copy != before);
        let after = nvm.copy.clone();
        drop(nvm);
        assert_eq!(FileNvm::open(&path).unwrap().copy, after);
    }

    /// A program that minds no locks, as one that copies a backup over the file.
    #[test]
    fn what_another_program_wrote_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = image(&directory);
        let others = {
            let other = directory.path().join("other.img");
            create(&other, &manufacture(), &MemoryNvm::default()).unwrap();
            FileNvm::open(&other).unwrap().apply(transaction(&mut Dice(12))).unwrap();
            fs::read(&other).unwrap()
        };
        let (mut dice, (mut nvm, full)) = (Dice(13), on_a_disk(&path));
        nvm.apply(transaction(&mut dice)).unwrap();
        full.store(true, Ordering::Relaxed);
        nvm.apply(transaction(&mut dice)).unwrap_err();
        fs::write(&path, &others).unwrap();
        full.store(false, Ordering::Relaxed);
        let Writing::Failed(failed) = &nvm.writing else { panic!("a write failed") };
        let refusal = nvm.open_again(failed).map(drop).unwrap_err();
        assert!(matches!(refusal, ImageError::Changed(_)), "{refusal:?}");
        for _ in 0..3 {
            nvm.apply(transaction(&mut dice)).unwrap_err();
            assert_eq!(read(&path).unwrap(), read(&directory.path().join("other.img")).unwrap());
        }
        // Nor does the card go on as soon as its own contents are there again: what it has said since is not in them.
        assert!(matches!(nvm.writing, Writing::Stopped));
        drop(nvm);
        FileNvm::open(&path).unwrap().apply(transaction(&mut dice)).unwrap();
    }
}
