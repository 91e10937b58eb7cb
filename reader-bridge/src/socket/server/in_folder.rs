//! A socket in a folder: its owner's alone from its first moment, and one process's.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UnixListener;

use crate::socket::at_short_path;

/// So often another process may come before this one.
const TRIES: usize = 100;

/// A socket that listens, and is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    file: File,
}

/// Which file a name stands for.
type File = (u64, u64);

impl Socket {
    /// Makes it in a folder that nobody else may enter, closes it to others, and only then gives it its name: a name is given
    /// once, so of several processes one has it.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        Self::bind_by(path, |made, path| fs::hard_link(made, path))
    }

    fn bind_by(path: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<Self> {
        // Clients name it, so it is no longer than the system allows, whatever the room's is.
        let _ = SocketAddr::from_pathname(path)?;
        let room = Room::beside(path)?;
        let made = room.0.join("s");
        let listener = at_short_path(&room.0, "s", |made| UnixListener::bind(made))?;
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        let file = file_of(&made)?;
        for _ in 0..TRIES {
            match link(&made, path) {
                Ok(()) => return Ok(Self { listener, path: path.to_owned(), file }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_abandoned(path, &room)?,
                Err(error) if has_no_links(&error) => return Self::bind_in_place(path, &room),
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }

    /// Where a file has one name only: for a moment it is open to those whom the umask does not keep out.
    fn bind_in_place(path: &Path, room: &Room) -> io::Result<Self> {
        for _ in 0..TRIES {
            match UnixListener::bind(path) {
                Ok(listener) => {
                    fs::set_permissions(path, Permissions::from_mode(0o600))?;
                    return Ok(Self { listener, path: path.to_owned(), file: file_of(path)? });
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => remove_abandoned(path, room)?,
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }

    pub(super) const fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // If another process has the name by now, or the folder is gone, there is nothing to remove.
        if file_of(&self.path).is_ok_and(|there| there == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A folder for one moment, which only its owner may enter.
struct Room(PathBuf);

impl Room {
    fn beside(path: &Path) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let folder = path.parent().unwrap_or(Path::new(""));
        for _ in 0..TRIES {
            // Short: the system's names of sockets are.
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let room = folder.join(format!(".{:x}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&room) {
                Ok(()) => return Ok(Self(room)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a file system has no hard links, as those of other machines and of cameras: link(2).
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied)
}

fn file_of(path: &Path) -> io::Result<File> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Takes away a socket that nobody listens on.
fn remove_abandoned(path: &Path, room: &Room) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        // It was removed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        _ => return Err(ErrorKind::AddrInUse.into()),
    }
    remove(path, (found.dev(), found.ino()), room)
}

/// Removes `abandoned` from its name, and nothing else that another process may have put there since it was looked at.
fn remove(path: &Path, abandoned: File, room: &Room) -> io::Result<()> {
    let taken = room.0.join("old");
    match fs::rename(path, &taken) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    if file_of(&taken)? != abandoned {
        // If yet another one is there by now, that one has the name.
        match fs::hard_link(&taken, path) {
            Err(error) if has_no_links(&error) && !path.exists() => return fs::rename(&taken, path),
            _ => {}
        }
    }
    fs::remove_file(&taken)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as Abandoned;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn kind(outcome: io::Result<Socket>) -> ErrorKind {
        outcome.unwrap_err().kind()
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.sock");
        // Closed without being removed, as by a process that was killed.
        drop(Abandoned::bind(&path).unwrap());
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(kind(Socket::bind(&path)), ErrorKind::AddrInUse);
        assert_eq!(
            names(folder.path()),
            std::slice::from_ref(&path),
            "it is not taken from who has it, and nothing else is left"
        );
        drop(socket);
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert_eq!(kind(Socket::bind(&path)), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    /// A name may have as many octets as the system allows, though what is made beside it has more.
    #[tokio::test]
    async fn a_long_name_is_taken() {
        /// Of the address of a socket, less the 0 at its end.
        const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
        let folder = tempfile::tempdir().unwrap();
        let free = LONGEST - folder.path().as_os_str().len() - 2;
        let below = folder.path().join("f".repeat(free / 2));
        fs::create_dir(&below).unwrap();
        let path = below.join("s".repeat(free - free / 2));
        assert_eq!(path.as_os_str().len(), LONGEST);
        if cfg!(target_os = "linux") {
            let socket = Socket::bind(&path).unwrap();
            assert!(UnixStream::connect(&path).is_ok());
            assert_eq!(kind(Socket::bind(&path)), ErrorKind::AddrInUse);
            drop(socket);
        }
        assert_eq!(kind(Socket::bind(&path.with_extension("x"))), ErrorKind::InvalidInput, "no client could name it");
        assert!(names(&below).is_empty());
    }

    /// As on vfat, 9p and some others.
    #[tokio::test]
    async fn where_files_have_one_name_it_is_made_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.sock");
        for error in [ErrorKind::Unsupported, ErrorKind::PermissionDenied] {
            let bind = || Socket::bind_by(&path, |_, _| Err(error.into()));
            drop(Abandoned::bind(&path).unwrap());
            let socket = bind().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(UnixStream::connect(&path).is_ok());
            assert_eq!(kind(bind()), ErrorKind::AddrInUse);
            assert_eq!(names(folder.path()), std::slice::from_ref(&path));
            drop(socket);
            assert!(names(folder.path()).is_empty());
            fs::write(&path, "mine").unwrap();
            assert_eq!(kind(bind()), ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&path).unwrap(), b"mine");
            fs::remove_file(&path).unwrap();
        }
    }

    /// The name may be another process's by then.
    #[tokio::test]
    async fn only_its_own_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.sock");
        let first = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok(), "the second one's");
        drop(second);
        assert!(names(folder.path()).is_empty());
        // A live one that comes between look and removal is put back.
        drop(Abandoned::bind(&path).unwrap());
        let abandoned = file_of(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let third = Socket::bind(&path).unwrap();
        remove(&path, abandoned, &Room::beside(&path).unwrap()).unwrap();
        assert!(UnixStream::connect(&path).is_ok(), "the third one's");
        drop(third);
        assert!(names(folder.path()).is_empty());
    }

    /// However they meet, one has it, and who connects reaches that one.
    #[test]
    fn of_two_that_start_at_once_one_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.sock");
        for _ in 0..50 {
            drop(Abandoned::bind(&path).unwrap());
            let together = Barrier::new(2);
            let start = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let _here = runtime.enter();
                together.wait();
                let bound = Socket::bind(&path);
                let has_it = bound.is_ok();
                together.wait();
                if let Ok(socket) = &bound {
                    assert!(file_of(&path).unwrap() == socket.file && UnixStream::connect(&path).is_ok());
                }
                together.wait();
                has_it
            };
            let have = thread::scope(|scope| {
                let (one, other) = (scope.spawn(start), scope.spawn(start));
                [one.join().unwrap(), other.join().unwrap()]
            });
            assert_eq!(have.iter().filter(|has_it| **has_it).count(), 1, "{have:?}");
            assert!(!path.exists());
        }
    }
}
