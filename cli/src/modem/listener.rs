//! Where programs connect to a modem besides its pseudo-terminal.

use std::fmt;
use std::io;
use std::str::FromStr;

use reader_bridge::socket::{Address, Connection, Listener};

use crate::failure::Failure;

/// Where a modem listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `HOST:PORT`, or a socket in a folder.
    Address(Address),
    /// A socket of Linux that has no file. Its name is the whole text, as ModemManager's tests take it.
    Abstract(String),
}

const ABSTRACT: &str = "abstract:";

impl Endpoint {
    /// Whether only this machine reaches it.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Address(address) => address.is_local(),
            Self::Abstract(_) => true,
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(ABSTRACT) {
            // The name of a socket has 108 octets, of which the first is 0.
            return if name.is_empty() || text.len() > 107 {
                Err(format!("`{text}` is not the name of a socket: {ABSTRACT}NAME, at most 107 octets"))
            } else {
                Ok(Self::Abstract(text.to_owned()))
            };
        }
        text.parse().map(Self::Address).map_err(|error: reader_bridge::socket::NotAnAddress| error.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Abstract(name) => f.write_str(name),
        }
    }
}

/// A socket that programs connect to.
pub(super) enum Socket {
    Listener(Listener),
    #[cfg(target_os = "linux")]
    Abstract(tokio::net::UnixListener, String),
}

impl Socket {
    /// Where it listens.
    pub(super) fn address(&self) -> Endpoint {
        match self {
            Self::Listener(listener) => Endpoint::Address(listener.address().clone()),
            #[cfg(target_os = "linux")]
            Self::Abstract(_, name) => Endpoint::Abstract(name.clone()),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Listener(listener) => listener.connection().await,
            #[cfg(target_os = "linux")]
            Self::Abstract(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Listens.
pub(super) async fn bind(endpoint: &Endpoint) -> Result<Socket, Failure> {
    let bound = match endpoint {
        Endpoint::Address(address) => Listener::bind(address).await.map(Socket::Listener),
        Endpoint::Abstract(name) => bind_abstract(name),
    };
    bound.map_err(|error| {
        let way_out = match error.kind() {
            io::ErrorKind::AddrInUse if matches!(endpoint, Endpoint::Address(Address::Tcp(_))) => {
                "; take another port, or 0 for a free one"
            }
            io::ErrorKind::AddrInUse => ": a process listens there; take another name",
            io::ErrorKind::AlreadyExists => "; take another path",
            _ => "",
        };
        Failure::because(format!("cannot listen at {endpoint}: {error}{way_out}"))
    })
}

#[cfg(target_os = "linux")]
fn bind_abstract(name: &str) -> io::Result<Socket> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    Ok(Socket::Abstract(tokio::net::UnixListener::from_std(listener)?, name.to_owned()))
}

#[cfg(not(target_os = "linux"))]
fn bind_abstract(_: &str) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has sockets without a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for (text, written, is_local) in [
            ("7", "tcp:127.0.0.1:7", true),
            ("0.0.0.0:7", "tcp:0.0.0.0:7", false),
            ("unix:at", "unix:at", true),
            ("abstract:vuicc0", "abstract:vuicc0", true),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.to_string().as_str(), endpoint.is_local()), (written, is_local));
        }
        for wrong in ["abstract:", &format!("abstract:{}", "x".repeat(100)), "nothing", ""] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
