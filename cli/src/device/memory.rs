//! A device's persistent state, in a folder that only its owner can read. Several commands may run for one device: each
//! change is applied, under the lock, to the folder's current contents.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use device::store::{DeviceState, Store, StoreError};
use pairing::bluetooth::Keyring;
use pairing::file::Lock;
use pairing::{Bonds, Identity, PairingError};

use crate::failure::{AtPath, Failure};
use crate::state::create_private;

/// The folder, and the state read from it.
#[derive(Debug)]
pub(super) struct Memory {
    directory: PathBuf,
    state: DeviceState,
}

impl Memory {
    /// Opens the folder; creates it if it does not exist.
    pub(super) fn open(directory: PathBuf) -> Result<Self, Failure> {
        create_private(&directory)?;
        let state = read(&directory.join(STATE))?;
        Ok(Self { directory, state })
    }

    /// The key by which other devices know this one.
    pub(super) fn identity(&self) -> Result<Identity, PairingError> {
        Identity::open(&self.directory.join("identity.pem"))
    }

    /// Devices paired over the local network.
    pub(super) fn bonds(&self) -> Result<Bonds, PairingError> {
        Bonds::open(&self.directory.join("bonds.json"))
    }

    /// Keys of devices paired over Bluetooth.
    pub(super) fn keyring(&self) -> Result<Keyring, PairingError> {
        Keyring::open(&self.directory.join("bluetooth-keys.json"))
    }
}

const STATE: &str = "device.json";

impl Store for Memory {
    fn state(&self) -> &DeviceState {
        &self.state
    }

    fn update(&mut self, change: &mut dyn FnMut(&mut DeviceState)) -> Result<(), StoreError> {
        let path = self.directory.join(STATE);
        let named = |error: &dyn std::fmt::Display| StoreError(format!("{}: {error}", path.display()));
        let lock = Lock::of(&self.directory).map_err(|error| named(&error))?;
        let mut state = read(&path).map_err(|failure| match failure {
            Failure::Because(cause) => StoreError(cause.into()),
            Failure::Told(_) => StoreError(path.display().to_string()),
        })?;
        change(&mut state);
        let json = serde_json::to_vec_pretty(&state).map_err(|error| named(&error))?;
        lock.write(&path, &json).map_err(|error| named(&error))?;
        self.state = state;
        Ok(())
    }
}

/// The state in this file; empty if there is no such file.
fn read(path: &Path) -> Result<DeviceState, Failure> {
    match std::fs::read(path) {
        Ok(json) => serde_json::from_slice(&json)
            .map_err(|error| Failure::because(format!("{}: {error}; move it away to start afresh", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(DeviceState::default()),
        Err(error) => Err(error).at("read", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_updated_is_there_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("phone");
        let mut memory = Memory::open(folder.clone()).unwrap();
        memory.update(&mut |state| state.terminal_id = Some("1".into())).unwrap();
        let memory = Memory::open(folder.clone()).unwrap();
        assert_eq!(memory.state().terminal_id.as_deref(), Some("1"));
        let mut left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["device.json", "lock"], "nothing is left beside it");
        std::fs::write(folder.join(STATE), "{").unwrap();
        assert!(Memory::open(folder).is_err());
    }

    /// Each has its own copy, and each adds to what the others have written.
    #[test]
    fn commands_at_work_at_once_lose_nothing() {
        const ADDED: u32 = 20;
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("phone");
        let added = |by: u32| (0..ADDED).map(move |number| format!("898110{by:03}{number:09}"));
        std::thread::scope(|scope| {
            for by in 0..4 {
                let mut memory = Memory::open(folder.clone()).unwrap();
                scope.spawn(move || {
                    for iccid in added(by) {
                        let iccid = iccid.parse().unwrap();
                        memory.update(&mut |state| state.disable(&iccid, "a test")).unwrap();
                        assert!(memory.state().disabled(&iccid).is_some());
                    }
                });
            }
        });
        let memory = Memory::open(folder).unwrap();
        assert_eq!(memory.state().disabled.len(), 4 * ADDED as usize);
    }
}
