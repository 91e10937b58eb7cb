//! Readers keep the writer of a fleet from beginning transactions while they copy its file.
//!
//! The gate is an advisory lock on the folder that has the file. A reader holds it for the time of one copy; the writer passes
//! through before each transaction. So at most one transaction goes on beside a copy, and a database leaves what its last
//! transaction holds in place while it makes the next: the copy is whole.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Where a folder can be locked; elsewhere, and on file systems without locks, it is open to everybody.
#[derive(Debug)]
pub(super) struct Gate {
    folder: Option<File>,
    /// The last reader has not come to an end: it is not waited for again.
    is_ignored: bool,
}

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _folder: File,
}

/// Between two glances at a gate that somebody holds.
const GLANCE: Duration = Duration::from_millis(1);
/// Glances until a reader that does not let go, as one that was stopped, is waited for no longer.
const GLANCES: u32 = 5_000;

fn folder(of: &Path) -> Option<File> {
    let folder = of.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).ok()
}

impl Gate {
    /// The one of a fleet's file.
    pub(super) fn of(path: &Path) -> Self {
        Self { folder: folder(path), is_ignored: false }
    }

    /// Waits until no reader holds it.
    pub(super) fn pass(&mut self) {
        self.pass_within(GLANCES);
    }

    fn pass_within(&mut self, glances: u32) {
        let Some(folder) = &self.folder else { return };
        let glances = if self.is_ignored { 1 } else { glances };
        for glance in 0..glances {
            match folder.try_lock_shared() {
                Err(TryLockError::WouldBlock) => {
                    if glance + 1 < glances {
                        sleep(GLANCE);
                    }
                }
                Ok(()) => {
                    // Closed with the file at the latest.
                    let _ = folder.unlock();
                    self.is_ignored = false;
                    return;
                }
                Err(TryLockError::Error(_)) => return,
            }
        }
        self.is_ignored = true;
    }
}

/// Holds the gate of a fleet's file, as soon as other readers have let it go; `None` where nothing can be held.
pub(super) fn hold(path: &Path) -> Option<Held> {
    let folder = folder(path)?;
    for _ in 0..GLANCES {
        match folder.try_lock() {
            Ok(()) => return Some(Held { _folder: folder }),
            Err(TryLockError::WouldBlock) => sleep(GLANCE),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_passed_when_it_is_let_go_and_a_reader_that_stays_is_ignored() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("cards");
        let mut gate = Gate::of(&path);
        gate.pass();
        let held = hold(&path).unwrap();
        gate.pass_within(3);
        assert!(gate.is_ignored);
        gate.pass();
        drop(held);
        gate.pass();
        assert!(!gate.is_ignored);
        let nowhere = parent.path().join("none").join("cards");
        Gate::of(&nowhere).pass();
        assert!(hold(&nowhere).is_none());
    }
}
