//! Who writes for all cards of a fleet: one thread, and what is asked of it at a time becomes one transaction.

use super::super::ImageError;
use super::super::file::{builder, write};
use super::super::locked::Locked;
use super::gate::Gate;
use super::store::{FLEET, OWN, name};
use card_os::nvm::{Key, Own};
use redb::{Database, ReadableDatabase, WriteTransaction};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use zeroize::Zeroizing;

/// What one card has for itself from now on.
pub(super) type Effects = Vec<(Key, Option<Own>)>;

/// The number of a card, and a key of its memory.
type Place = (u32, u64);

/// Cards that wait for one transaction, at most.
const BATCH: usize = 1_024;

/// A card's write.
pub(super) struct Asked {
    pub(super) card: u32,
    pub(super) effects: Effects,
    /// Gets why it failed, if it did.
    pub(super) waiting: SyncSender<Result<(), Arc<ImageError>>>,
}

/// Gives the thread its work. It ends with the last of these, and with it the lock on the file.
#[derive(Debug)]
pub(super) struct Writer {
    to_thread: Option<Sender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(storage: Storage, database: Database, writes: u64) -> std::io::Result<Self> {
        let (to_thread, asked) = channel();
        let mut state = State::new(storage, database, writes);
        let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(move || state.serve(&asked))?;
        Ok(Self { to_thread: Some(to_thread), thread: Some(thread) })
    }

    /// Writes what a card has for itself: it has reached the disk when this returns, or none of it has happened.
    pub(super) fn write(&self, card: u32, effects: Effects) -> Result<(), Arc<ImageError>> {
        let (waiting, done) = sync_channel(1);
        let ended = || {
            let cause = std::io::Error::other("the thread that writes for the fleet has ended");
            Arc::new(ImageError::Io { path: PathBuf::new(), cause })
        };
        let to_thread = self.to_thread.as_ref().ok_or_else(ended)?;
        to_thread.send(Asked { card, effects, waiting }).map_err(|_| ended())?;
        done.recv().map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.to_thread = None;
        if let Some(thread) = self.thread.take() {
            // It has said why.
            let _ = thread.join();
        }
    }
}

/// The file, and where a database on it comes from.
pub(super) struct Storage {
    pub(super) path: PathBuf,
    pub(super) locked: Locked,
}

impl Storage {
    /// Opens the database on it.
    pub(super) fn open(&self) -> Result<Database, ImageError> {
        builder().create_with_backend(self.locked.clone()).map_err(|error| ImageError::database(&self.path, error))
    }
}

pub(super) struct State {
    storage: Storage,
    gate: Gate,
    /// Counts the transactions that were made. The file has the same number.
    writes: u64,
    writing: Writing,
}

/// What is known of the file.
enum Writing {
    /// It holds what cards were told it does.
    Open(Box<Database>),
    /// A transaction failed: its cards were told that it did not happen. If it has reached the disk all the same, these are
    /// the values from before.
    Failed(Vec<(Place, Option<Own>)>),
    /// Another program has written there.
    Stopped,
}

impl State {
    pub(super) fn new(storage: Storage, database: Database, writes: u64) -> Self {
        let gate = Gate::of(&storage.path);
        Self { storage, gate, writes, writing: Writing::Open(Box::new(database)) }
    }

    fn serve(&mut self, asked: &Receiver<Asked>) {
        while let Ok(first) = asked.recv() {
            let mut batch = vec![first];
            batch.extend(asked.try_iter().take(BATCH - 1));
            self.answer(batch);
        }
    }

    /// Writes for all these cards, and tells each of them.
    pub(super) fn answer(&mut self, batch: Vec<Asked>) {
        let outcome = self.write(&batch).map_err(|error| {
            tracing::error!("the fleet could not write to its file: {error}");
            Arc::new(error)
        });
        for Asked { waiting, .. } in batch {
            // The card may be gone.
            let _ = waiting.send(outcome.clone());
        }
    }

    /// Writes for all these cards, all or nothing.
    fn write(&mut self, batch: &[Asked]) -> Result<(), ImageError> {
        self.gate.pass();
        if let Writing::Failed(before) = &self.writing {
            match self.open_again(before) {
                Ok(database) => self.writing = Writing::Open(Box::new(database)),
                Err(error) => {
                    if matches!(error, ImageError::Changed(_)) {
                        self.writing = Writing::Stopped;
                    }
                    return Err(error);
                }
            }
        }
        let Writing::Open(database) = &self.writing else { return Err(ImageError::Changed(self.storage.path.clone())) };
        let before = Mutex::new(Vec::new());
        let number = self.writes + 1;
        write(database, |transaction| {
            count(transaction, number)?;
            let mut table = transaction.open_table(OWN)?;
            let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
            for Asked { card, effects, .. } in batch {
                for (key, own) in effects {
                    let place = (*card, key.to_u64());
                    let old = put(&mut table, place, own.as_ref())?;
                    before.push((place, old));
                }
            }
            Ok(())
        })
        .map_err(|error| {
            // The database answers to nothing any more. The oldest value of a key is the one to go back to.
            let mut before = before.into_inner().unwrap_or_else(PoisonError::into_inner);
            before.reverse();
            self.writing = Writing::Failed(before);
            ImageError::database(&self.storage.path, error)
        })?;
        self.writes = number;
        Ok(())
    }

    /// Opens the database anew, and makes it hold what it did before the transaction that failed.
    fn open_again(&self, before: &[(Place, Option<Own>)]) -> Result<Database, ImageError> {
        let failed = |error: redb::Error| ImageError::database(&self.storage.path, error);
        let database = self.storage.open()?;
        let found = counted(&database).map_err(failed)?;
        if found == Some(self.writes + 1) {
            write(&database, |transaction| {
                count(transaction, self.writes)?;
                let mut table = transaction.open_table(OWN)?;
                for (place, own) in before {
                    put(&mut table, *place, own.as_ref())?;
                }
                Ok(())
            })
            .map_err(failed)?;
        } else if found != Some(self.writes) {
            return Err(ImageError::Changed(self.storage.path.clone()));
        }
        tracing::info!("{}: the fleet can be written to again", self.storage.path.display());
        Ok(database)
    }
}

/// Puts what a card has for itself at a key, and returns what it had.
fn put(
    table: &mut redb::Table<'_, (u32, u64), Option<&'static [u8]>>,
    place: Place,
    own: Option<&Own>,
) -> Result<Option<Own>, redb::Error> {
    let old = match own {
        Some(Own::Value(value)) => table.insert(place, Some(&**value))?,
        Some(Own::Removed) => table.insert(place, None)?,
        None => table.remove(place)?,
    };
    Ok(old.map(|old| from_stored(old.value())))
}

/// As it is stored.
pub(super) fn from_stored(value: Option<&[u8]>) -> Own {
    value.map_or(Own::Removed, |value| Own::Value(value.into()))
}

/// Says how many transactions there were.
pub(super) fn count(transaction: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    transaction.open_table(FLEET)?.insert(name::WRITES, number.to_be_bytes().as_slice())?;
    Ok(())
}

/// How many transactions there were.
fn counted(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(FLEET)?;
    let number = table.get(name::WRITES)?.map(|value| Zeroizing::new(value.value().to_vec()));
    Ok(number.and_then(|number| number.as_slice().try_into().ok()).map(u64::from_be_bytes))
}
