//! Connections to a socket, for who has other messages than a card behind one.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Address, Connection};
use crate::vpcd::frames::at_once;

/// How long the other end may take to accept.
const LIMIT: Duration = Duration::from_secs(2);

/// Connects.
///
/// # Errors
/// What the system says; [`io::ErrorKind::TimedOut`] if the other end does not accept.
pub async fn connect(address: &Address) -> io::Result<Box<dyn Connection>> {
    match address {
        Address::Tcp(at) => {
            let stream = tokio::time::timeout(LIMIT, TcpStream::connect(at)).await??;
            at_once(&stream)?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            let (folder, name) = (path.parent(), path.file_name().and_then(std::ffi::OsStr::to_str));
            let stream = match (folder, name) {
                (Some(folder), Some(name)) => {
                    super::at_short_path(folder, name, |path| std::os::unix::net::UnixStream::connect(path))
                }
                _ => std::os::unix::net::UnixStream::connect(path),
            }?;
            stream.set_nonblocking(true)?;
            Ok(Box::new(tokio::net::UnixStream::from_std(stream)?))
        }
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets")),
    }
}
