//! A pseudo-terminal, which programs take for a modem's serial line.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};
use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::failure::{AtPath as _, Failure};

/// A pseudo-terminal, the modem's end of it.
pub(super) struct Pty {
    modem: OwnedFd,
    /// What comes from programs, whose octets come as in pipes, which is all that is asked of it.
    from_programs: pipe::Receiver,
    /// Open until a program has written something, for without anybody the modem's end fails; and not longer, for so it fails
    /// when the last program has closed the line.
    other_end: Option<OwnedFd>,
    /// How each program finds the line, whatever the one before made of it.
    settings: Termios,
    target: PathBuf,
    link: Option<Link>,
}

impl Pty {
    /// Opens one, raw and without echo, under `link` too.
    pub(super) fn open(link: Option<&Path>) -> Result<Self, Failure> {
        let refused = |error: io::Error| Failure::because(format!("the system gives no pseudo-terminal: {error}"));
        let (modem, path) = open().map_err(refused)?;
        let other_end = open_line(&path).map_err(refused)?;
        let settings = raw(&other_end).map_err(refused)?;
        let link = link.map(|link| Link::make(link, &path)).transpose()?;
        let from_programs = hear(&modem)?;
        Ok(Self { modem, from_programs, other_end: Some(other_end), settings, target: path, link })
    }

    /// What programs open.
    pub(super) fn path(&self) -> &Path {
        self.link.as_ref().map_or(&self.target, |link| &link.path)
    }

    /// How many octets a program has written; none when the last one has closed the line.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Not simply read: once the end was seen, that would ask for octets without a pause where the next program has none.
            let ready = self.from_programs.ready(Interest::READABLE).await?;
            match self.from_programs.try_read(buffer) {
                Ok(read) if read > 0 => {
                    self.other_end = None;
                    if ready.is_read_closed() {
                        // Either it is seen again, or the next program wrote this.
                        self.from_programs = hear(&self.modem)?;
                    }
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
                _ => {
                    self.renew()?;
                    return Ok(0);
                }
            }
        }
    }

    /// Writes as much as a program takes; if it closes the line, the rest is lost.
    pub(super) async fn write_all(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            match rustix::io::write(&self.modem, octets) {
                Ok(written) => octets = octets.get(written..).unwrap_or_default(),
                Err(rustix::io::Errno::AGAIN) => {
                    // Only now: who waits for room all the time is woken by each answer that is read.
                    let to_programs = pipe::Sender::from_owned_fd_unchecked(self.modem.try_clone()?)?;
                    if to_programs.ready(Interest::WRITABLE).await?.is_write_closed() {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes the line ready for the next program: what the last one has not read is not for that one.
    fn renew(&mut self) -> io::Result<()> {
        let line = open_line(&self.target)?;
        tcsetattr(&line, OptionalActions::Now, &self.settings)?;
        tcflush(&line, QueueSelector::IFlush)?;
        self.other_end = Some(line);
        // What has once seen the end would see it for ever.
        self.from_programs = hear(&self.modem)?;
        Ok(())
    }
}

/// What programs write to the modem's end, from the first octet that is not read yet.
fn hear(modem: &OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd_unchecked(modem.try_clone()?)
}

/// Opens the programs' end.
fn open_line(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes a line raw and without echo.
fn raw(line: &OwnedFd) -> io::Result<Termios> {
    let mut settings = tcgetattr(line)?;
    settings.make_raw();
    tcsetattr(line, OptionalActions::Now, &settings)?;
    Ok(settings)
}

fn open() -> io::Result<(OwnedFd, PathBuf)> {
    let modem = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&modem)?;
    unlockpt(&modem)?;
    let path = PathBuf::from(ptsname(&modem, Vec::new())?.to_string_lossy().into_owned());
    fcntl_setfl(&modem, fcntl_getfl(&modem)? | OFlags::NONBLOCK)?;
    Ok((modem, path))
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
