//! Sockets in folders whose names are long.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Octets that any system takes as the address of a socket: Linux takes 107, others fewer.
const SHORT: usize = 100;

/// Calls `with` with a path of `folder`/`name` that fits into the address of a socket.
///
/// On Linux a folder that this process has open has a short path beside its own; elsewhere a path that is too long stays so.
///
/// # Errors
/// If the folder cannot be opened; else what `with` says.
pub fn at_short_path<T>(folder: &Path, name: &str, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let plain = folder.join(name);
    if plain.as_os_str().len() < SHORT || !cfg!(target_os = "linux") {
        return with(&plain);
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let open = File::open(folder)?;
    with(&Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(name))
}
