//! Master keys in files: created once, readable by their owner only, and changed so that at any moment one of them
//! fits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use console::Exit;
use database::seal::MasterKey;
use zeroize::Zeroizing;

use crate::failure::{AtPath, Failure};
use crate::{file, random};

/// Octets of a master key.
const KEY_LENGTH: usize = 32;

/// A file with a master key: 64 hexadecimal digits.
#[derive(Debug)]
pub(crate) struct KeyFile(PathBuf);

impl KeyFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The key. If the file does not exist, it is created.
    pub(crate) fn key(&self) -> Result<MasterKey, Failure> {
        if !self.0.exists() {
            make_key(&self.0)?;
        }
        read_key(&self.0)
    }

    /// A new key, to follow this one, in a file next to it.
    pub(crate) fn make_next(&self) -> Result<MasterKey, Failure> {
        let next = self.next_path();
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", &next),
            _ => {}
        }
        make_key(&next)?;
        read_key(&next)
    }

    /// The next key, if a key change was interrupted.
    pub(crate) fn next(&self) -> Result<Option<MasterKey>, Failure> {
        let next = self.next_path();
        match fs::read(&next) {
            // Perhaps another process has just put it in place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => key_in(&next, &Zeroizing::new(read.at("read the master key", &next)?)).map(Some),
        }
    }

    /// Puts the next key in place of this one, which is kept next to it: another database or a copy may be encrypted
    /// with it. Returns its path. Of two concurrent changes, both find it done.
    pub(crate) fn adopt_next(&self) -> Result<PathBuf, Failure> {
        let mut number = 0_u32;
        let old = loop {
            number += 1;
            let old = self.with(&format!(".old-{number}"));
            match fs::hard_link(&self.0, &old) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => break linked.map(|()| old).at("keep the old master key next to", &self.0)?,
            }
        };
        match fs::rename(self.next_path(), &self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Another process has kept the old key too, and this may be the new one already.
                fs::remove_file(&old).at("remove", &old)?;
                return Ok(self.with(&format!(".old-{}", number.saturating_sub(1).max(1))));
            }
            renamed => renamed.at("put the new master key in", &self.0)?,
        }
        // The rename has to survive a power cut.
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).at("write", folder)?;
        Ok(old)
    }

    fn next_path(&self) -> PathBuf {
        self.with(".next")
    }

    fn with(&self, ending: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(ending);
        name.into()
    }
}

fn read_key(path: &Path) -> Result<MasterKey, Failure> {
    key_in(path, &Zeroizing::new(fs::read(path).at("read the master key", path)?))
}

fn key_in(path: &Path, text: &[u8]) -> Result<MasterKey, Failure> {
    let mut octets = Zeroizing::new([0; KEY_LENGTH]);
    hex::decode_to_slice(text.trim_ascii(), &mut *octets).map_err(|_| {
        let path = path.display();
        Failure::because(format!("{path} is not a master key: {} hexadecimal digits expected", 2 * KEY_LENGTH))
            .with(Exit::Input)
    })?;
    Ok(MasterKey::new(*octets))
}

fn make_key(path: &Path) -> Result<(), Failure> {
    make_private(path, &Zeroizing::new(hex::encode(*Zeroizing::new(random::bytes::<KEY_LENGTH>()))))
}

/// There is never half a secret, and of two processes one wins.
pub(crate) fn make_private(path: &Path, text: &str) -> Result<(), Failure> {
    match file::write_new(path, text.as_bytes(), file::Readers::Owner) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written.at("make a secret in", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_key_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator-master.key");
        let file = KeyFile::new(path.clone());
        let sealed = file.key().unwrap().seal("k", b"secret", [1; 12]).unwrap();
        assert_eq!(*file.key().unwrap().open("k", &sealed).unwrap(), b"secret");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(&path, [0xFF; 32]).unwrap();
        let Err(Failure::Because(text)) = file.key().map(drop) else { panic!() };
        assert!(text.contains("64 hexadecimal digits"), "{text}");
        fs::write(&path, "too short").unwrap();
        let Err(Failure::Because(text)) = file.key().map(drop) else { panic!() };
        assert!(text.contains("64 hexadecimal digits") && !text.contains("too short"), "{text}");
    }

    /// Whenever it is interrupted, one of the two files contains the previous key or the next one.
    #[test]
    fn a_key_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("smdp-master.key"));
        let of_before = file.key().unwrap().seal("k", b"before", [1; 12]).unwrap();
        assert!(file.next().unwrap().is_none());
        let given_up = file.make_next().unwrap().seal("k", b"never", [1; 12]).unwrap();
        let next = file.make_next().unwrap().seal("k", b"next", [1; 12]).unwrap();
        assert_eq!(*file.key().unwrap().open("k", &of_before).unwrap(), b"before");
        assert_eq!(*file.next().unwrap().unwrap().open("k", &next).unwrap(), b"next");
        assert!(file.next().unwrap().unwrap().open("k", &given_up).is_err());
        let old = file.adopt_next().unwrap();
        assert_eq!(*file.key().unwrap().open("k", &next).unwrap(), b"next");
        assert_eq!(*KeyFile::new(old.clone()).key().unwrap().open("k", &of_before).unwrap(), b"before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // Another process was faster.
        assert!(file.next().unwrap().is_none());
        assert_eq!(file.adopt_next().unwrap(), old);
        assert_eq!(*file.key().unwrap().open("k", &next).unwrap(), b"next");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        file.make_next().unwrap();
        assert_ne!(file.adopt_next().unwrap(), old, "of before, too, each is kept");
    }
}
