//! Files that commands write: completely or not at all, over nothing that a [`guard`] keeps, readable by their owner only if
//! they contain secrets, and `-` for stdout where output may be piped.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::exit::Exit;
use crate::failure::{AtPath, Failure};

/// Whether a path on the command line means stdout.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// A path on the command line that cannot be stdout: a database, a card image, a folder.
pub fn not_stdout(text: &str) -> Result<PathBuf, String> {
    named(text).map(PathBuf::from)
}

/// A path on the command line of an existing card image: it is read and written, so it cannot be a stream.
pub fn image(text: &str) -> Result<PathBuf, String> {
    match text {
        "-" => Err(
            "a card image is read and written, and cannot be a stream; name a file (`./-` for one that is called `-`)"
                .to_owned(),
        ),
        _ => named(text).map(PathBuf::from),
    }
}

/// Like [`not_stdout`], for paths that may also be URLs.
pub fn named(text: &str) -> Result<String, String> {
    match text {
        "-" => Err("this cannot be written to stdout; name a file (`./-` for one that is called `-`)".to_owned()),
        "" => Err("this is not a file name".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner: it contains keys or codes.
    Owner,
    /// Everybody the system allows.
    Everybody,
}

impl Readers {
    /// The mode the file is created with.
    pub const fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        }
    }
}

/// Writes a new file. An existing one is kept; on a full disk nothing is left behind.
pub fn write_new(path: &Path, contents: &[u8], readers: Readers) -> io::Result<()> {
    beside(path, contents, readers)?.persist_noclobber(path).map(drop).map_err(|error| error.error)
}

/// Writes a file, replacing an existing one: the old one is kept until the new one is complete. A pipe or a device is written
/// to.
pub fn replace(path: &Path, contents: &[u8], readers: Readers) -> io::Result<()> {
    if is_stream(path) {
        return File::options().append(true).open(path)?.write_all(contents);
    }
    // What a link names is replaced, not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    beside(&path, contents, readers)?.persist(&path).map(drop).map_err(|error| error.error)
}

/// Whether this is written to rather than replaced: a pipe, a device, or by its name what this process has open, where a regular
/// file may be behind.
fn is_stream(path: &Path) -> bool {
    let is_open = ["/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name))
        || ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)));
    is_open || std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// What would be lost if a command wrote over a file, as in "is a card image"; `None` if nothing that matters.
pub type Guard = fn(&Path) -> Option<String>;

static GUARD: OnceLock<Guard> = OnceLock::new();

/// Sets what commands may not write over from here on. Only the first call counts.
pub fn guard(guard: Guard) {
    let _ = GUARD.set(guard);
}

/// Refuses to write `what` over a file that the [`guard`] keeps.
///
/// # Errors
/// If it keeps it; the exit code is that of a wrong command line.
pub fn spare(path: &Path, what: &str) -> Result<(), Failure> {
    let Some(kept) = GUARD.get().and_then(|guard| guard(path)) else { return Ok(()) };
    let path = path.display();
    Err(Failure::because(format!("{path} {kept}, which {what} would replace; name another file")).with(Exit::Usage))
}

/// [`replace`] for the file that a command was asked for, unless the [`guard`] keeps what is there. `what` it is appears in
/// the error.
///
/// # Errors
/// If the guard keeps what is there, or the file cannot be written; what is there stays then.
pub fn put(path: &Path, contents: &[u8], readers: Readers, what: &str) -> Result<(), Failure> {
    spare(path, what)?;
    replace(path, contents, readers).at(&format!("write {what} to"), path)
}

/// Begins a file that grows while a command runs, in place of an existing one unless the [`guard`] keeps that. Where there is no
/// room to begin, what is there stays.
///
/// # Errors
/// As for [`put`].
pub fn begin(path: &Path, readers: Readers, what: &str) -> Result<File, Failure> {
    spare(path, what)?;
    begun(path, readers).at(&format!("write {what} to"), path)
}

fn begun(path: &Path, readers: Readers) -> io::Result<File> {
    /// As much as file systems give at once.
    const ROOM: [u8; 4096] = [0; 4096];
    if is_stream(path) {
        return File::options().append(true).open(path);
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let new = match beside(&path, &ROOM, readers) {
        Ok(new) => new,
        // A file that may be written, in a folder that may not.
        Err(error) if is_closed(&error) && path.exists() => {
            let file = File::options().write(true).truncate(true).open(&path)?;
            only_for(&file, readers)?;
            return Ok(file);
        }
        Err(error) => return Err(error),
    };
    new.as_file().set_len(0)?;
    let mut file = new.persist(&path).map_err(|error| error.error)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Opens a file that is appended to, unless the [`guard`] keeps what is there. Those who could read it before and
/// are none of `readers` cannot any more.
///
/// # Errors
/// As for [`put`].
pub fn append(path: &Path, readers: Readers, what: &str) -> Result<File, Failure> {
    spare(path, what)?;
    let mut options = File::options();
    options.create(true).append(true).read(!is_stream(path));
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, readers.mode());
    let file = options.open(path).at(&format!("write {what} to"), path)?;
    only_for(&file, readers).at("keep others from reading", path)?;
    Ok(file)
}

/// Takes a file that is there from those who are none of `readers`.
fn only_for(file: &File, readers: Readers) -> io::Result<()> {
    #[cfg(unix)]
    if readers == Readers::Owner && file.metadata()?.is_file() {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(readers.mode()))?;
    }
    Ok(())
}

/// [`write_new`] for the file that a command is asked to create. `what` it is appears in the error.
pub fn make(path: &Path, contents: &[u8], readers: Readers, what: &str) -> Result<(), Failure> {
    let made = write_new(path, contents, readers);
    if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
        let path = path.display();
        let cause = format!("{path} already exists and is not overwritten: use it, remove it, or name another file");
        return Err(Failure::because(cause));
    }
    made.at(&format!("write {what} to"), path)
}

/// Refuses a file in place of a folder, or on the path to one. `what` names the option.
pub fn is_no_file(directory: &Path, what: &str) -> Result<(), Failure> {
    let file = directory.ancestors().find(|above| above.exists()).filter(|above| !above.is_dir());
    file.map_or(Ok(()), |file| {
        Err(Failure::because(format!(
            "{} is a file, but {what} has to be a folder, which is created if it does not exist",
            file.display()
        )))
    })
}

/// Creates a directory that only its owner can read; an existing one is left as it is.
pub fn create_private(directory: &Path) -> Result<(), Failure> {
    is_no_file(directory, "this")?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).at("make the directory", directory)
}

/// A temporary file next to `path` with these contents, on the disk; deleted unless it is moved there.
fn beside(path: &Path, contents: &[u8], readers: Readers) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".new");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(readers.mode()));
    let mut file = builder.tempfile_in(folder).map_err(without_path)?;
    file.as_file_mut().write_all(contents)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The cause alone: the path in it is that of a temporary file the user does not know.
fn without_path(error: io::Error) -> io::Error {
    let below = error.get_ref().and_then(|wrapped| wrapped.source());
    let code = below.and_then(|below| below.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
    match code {
        Some(code) => io::Error::from_raw_os_error(code),
        // It is at the end, as text only.
        None => match error.to_string().split_once(" at path ") {
            Some((cause, _)) => io::Error::new(error.kind(), cause.to_owned()),
            None => error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.pem");
        make(&path, b"one", Readers::Owner, "the key").unwrap();
        let Err(Failure::Because(text)) = make(&path, b"two", Readers::Owner, "the key") else { panic!() };
        assert!(text.contains("already exists"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", Readers::Owner).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        let nowhere = folder.path().join("nowhere/keys.pem");
        let Err(Failure::Because(text)) = make(&nowhere, b"", Readers::Owner, "the key") else { panic!() };
        assert!(text.starts_with("cannot write the key to ") && !text.contains(".new"), "{text}");
        assert!(text.contains("nowhere/keys.pem: No such file or directory"), "{text}");
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_grows_begins_anew_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("trace.apdu"), folder.path().join("link"));
        std::fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = begin(&link, Readers::Owner, "the trace").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        file.write_all(b"new").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o600));
        assert!(link.is_symlink(), "what it names is replaced");
        let log = folder.path().join("log");
        std::fs::write(&log, "one\n").unwrap();
        std::fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        append(&log, Readers::Owner, "the log").unwrap().write_all(b"two\n").unwrap();
        assert_eq!((std::fs::read(&log).unwrap(), mode(&log)), (b"one\ntwo\n".to_vec(), 0o600));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    /// Reports go where they are read.
    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_written_to() {
        replace(Path::new("/dev/null"), b"gone", Readers::Everybody).unwrap();
        begin(Path::new("/dev/null"), Readers::Owner, "the trace").unwrap().write_all(b"gone").unwrap();
        append(Path::new("/dev/null"), Readers::Owner, "the log").unwrap().write_all(b"gone").unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    /// Shared memory is a folder like any other, for all that it is below `/dev`.
    #[cfg(target_os = "linux")]
    #[test]
    fn shared_memory_has_files() {
        let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
            let _ = writeln!(io::stderr(), "files in shared memory ... skipped: no /dev/shm here");
            return;
        };
        let path = folder.path().join("ready.json");
        replace(&path, b"one", Readers::Owner).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        replace(&path, b"two", Readers::Owner).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        begin(&path, Readers::Owner, "the trace").unwrap().write_all(b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        let trace = folder.path().join("trace.apdu");
        begin(&trace, Readers::Owner, "the trace").unwrap().write_all(b"new").unwrap();
        assert_eq!((std::fs::read(&trace).unwrap(), mode(&trace)), (b"new".to_vec(), 0o600));
        let mut log = append(&folder.path().join("log"), Readers::Owner, "the log").unwrap();
        log.write_all(b"line").unwrap();
        log.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(io::read_to_string(log).unwrap(), "line");
    }

    /// What a shell has put there goes on behind what was written before, also where it is a regular file.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_open_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(&path, "before, ").unwrap();
        let open = File::options().append(true).open(&path).unwrap();
        for fds in ["/proc/self/fd", "/dev/fd"] {
            let named = Path::new(fds).join(std::os::fd::AsRawFd::as_raw_fd(&open).to_string());
            replace(&named, b"behind", Readers::Owner).unwrap();
            begin(&named, Readers::Owner, "the trace").unwrap().write_all(b", ").unwrap();
        }
        drop(open);
        assert_eq!(std::fs::read(&path).unwrap(), b"before, behind, behind, ");
    }

    #[test]
    fn what_is_kept_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        std::fs::write(&path, "a card").unwrap();
        // The guard is the process's: other tests name no such file.
        guard(|path| path.ends_with("kept").then(|| "is a card".to_owned()));
        let refused = [
            put(&path, b"", Readers::Everybody, "the report"),
            begin(&path, Readers::Owner, "the report").map(drop),
            append(&path, Readers::Owner, "the report").map(drop),
        ];
        for refused in refused {
            let Err(Failure::Because(cause)) = refused else { panic!() };
            let told = format!("{} is a card, which the report would replace; name another file", path.display());
            assert_eq!((cause.exit(), &*cause), (Exit::Usage, &*told));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"a card");
        put(&folder.path().join("new"), b"", Readers::Everybody, "the report").unwrap();
    }

    #[test]
    fn what_is_no_file_is_not_made_one() {
        assert!(not_stdout("-").is_err() && not_stdout("").is_err());
        assert_eq!(not_stdout("./-"), Ok(PathBuf::from("./-")));
    }
}
