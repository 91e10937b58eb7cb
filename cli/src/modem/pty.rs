//! A pseudo-terminal, which programs take for a modem's serial line.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

use crate::failure::{AtPath as _, Failure};

/// A pseudo-terminal, the modem's end of it.
pub(super) struct Pty {
    // Octets come and go as in pipes, which is all that is asked of it.
    from_programs: pipe::Receiver,
    to_programs: pipe::Sender,
    /// Open as long as the modem runs: without it the modem's end fails whenever no program has the line open.
    _other_end: OwnedFd,
    path: PathBuf,
    link: Option<Link>,
}

impl Pty {
    /// Opens one, raw and without echo, under `link` too.
    pub(super) fn open(link: Option<&Path>) -> Result<Self, Failure> {
        let refused = |error: io::Error| Failure::because(format!("the system gives no pseudo-terminal: {error}"));
        let (modem, other_end, path) = open().map_err(refused)?;
        let link = link.map(|link| Link::make(link, &path)).transpose()?;
        let to_programs = pipe::Sender::from_owned_fd_unchecked(modem.try_clone()?)?;
        let from_programs = pipe::Receiver::from_owned_fd_unchecked(modem)?;
        Ok(Self { from_programs, to_programs, _other_end: other_end, path, link })
    }

    /// What programs open.
    pub(super) fn path(&self) -> &Path {
        self.link.as_ref().map_or(&self.path, |link| &link.path)
    }

    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from_programs.read(buffer).await
    }

    pub(super) async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        self.to_programs.write_all(octets).await
    }
}

fn open() -> io::Result<(OwnedFd, OwnedFd, PathBuf)> {
    let modem = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&modem)?;
    unlockpt(&modem)?;
    let path = PathBuf::from(ptsname(&modem, Vec::new())?.to_string_lossy().into_owned());
    let line = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut settings = tcgetattr(line.as_fd())?;
    settings.make_raw();
    tcsetattr(line.as_fd(), OptionalActions::Now, &settings)?;
    fcntl_setfl(&modem, fcntl_getfl(&modem)? | OFlags::NONBLOCK)?;
    Ok((modem, line, path))
}

/// A symbolic link that is removed at the end.
struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Makes it. One that a modem left behind, whose terminal is gone or another one's now, is replaced; another file is not.
    fn make(path: &Path, target: &Path) -> Result<Self, Failure> {
        if let Ok(there) = std::fs::read_link(path)
            && there.starts_with("/dev/pts")
        {
            std::fs::remove_file(path).at("replace the link", path)?;
        }
        std::os::unix::fs::symlink(target, path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::because(format!("{} is there and no link to a terminal; name another path", path.display()))
                    .with(console::Exit::Usage)
            }
            _ => Failure::because(format!("cannot make the link {}: {error}", path.display())),
        })?;
        // Who reads of it may be elsewhere.
        let path = std::path::absolute(path).at("look into", path)?;
        Ok(Self { path, target: target.to_owned() })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Another modem may have taken it over.
        if std::fs::read_link(&self.path).is_ok_and(|there| there == self.target) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
