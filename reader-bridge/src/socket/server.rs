//! The card's side: it listens, and serves one client after the other.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use apdu::Icc;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use super::Address;
use crate::vpcd::frames::{Frames, hold_back, respond, seal};
use crate::vpcd::{GET_ATR, POWER_OFF, POWER_ON, RESET};

/// How long a message may take once it has begun, and an answer until it is taken.
const MESSAGE: Duration = Duration::from_secs(10);
/// How long a client that was accepted may take until it gives the card power: others wait.
const GREETING: Duration = Duration::from_secs(10);

/// A socket that clients of a card connect to.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Listens. Port 0 takes a free one, which [`Listener::address`] tells. A socket in a folder that a process left behind
    /// is replaced; one that is in use, or another file, is not.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(at) => {
                let socket = TcpListener::bind(at).await?;
                let address = Address::Tcp(socket.local_addr()?.to_string());
                Ok(Self { socket: Socket::Tcp(socket), address })
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                remove_abandoned(path).await?;
                let socket = UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
                Ok(Self { socket: Socket::Unix(socket), address: address.clone() })
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets")),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    async fn accept(&self) -> io::Result<Frames> {
        match &self.socket {
            Socket::Tcp(listener) => Frames::over_tcp(listener.accept().await?.0),
            #[cfg(unix)]
            Socket::Unix(listener) => Ok(Frames::over(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            // Who has removed the folder wanted that.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket that nobody listens on.
#[cfg(unix)]
async fn remove_abandoned(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// What happens between the card and its clients.
#[derive(Debug)]
pub enum Client<'a> {
    /// One has given the card power.
    Connected,
    /// It is gone, or was sent away.
    Gone(&'a io::Error),
    /// None can be accepted at the moment.
    Unaccepted(&'a io::Error),
}

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("client connected"),
            Self::Gone(cause) => write!(f, "client gone: {cause}"),
            Self::Unaccepted(cause) => write!(f, "no client can be accepted: {cause}"),
        }
    }
}

/// Serves `card` to the clients of `listener`, one at a time, until `shutdown` completes; others wait until it is their turn.
///
/// A client has to begin with a control, as [the module](super) says; what is no such client, a web browser for example, is
/// sent away, and so is a client that stops within a message or does not take its answers.
pub async fn serve<C, S>(card: &mut C, listener: &Listener, shutdown: S, mut on_client: impl FnMut(Client<'_>))
where
    C: Icc + ?Sized,
    S: Future<Output = ()>,
{
    /// Before the next try, where no connection can be accepted: too many files are open.
    const PAUSE: Duration = Duration::from_millis(200);
    let attend = async {
        loop {
            match listener.accept().await {
                Ok(mut client) => {
                    let mut is_connected = false;
                    let end = attend(card, &mut client, &mut is_connected, &mut on_client).await;
                    card.power_off();
                    on_client(Client::Gone(&end));
                }
                Err(cause) => {
                    on_client(Client::Unaccepted(&cause));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown => {}
        () = attend => {}
    }
    card.power_off();
}

/// Answers one client until it is gone, and returns why.
async fn attend<C: Icc + ?Sized>(
    card: &mut C,
    client: &mut Frames,
    is_powered: &mut bool,
    on_client: &mut impl FnMut(Client<'_>),
) -> io::Error {
    let mut answer = Vec::with_capacity(512);
    let outcome: io::Result<()> = async {
        within(GREETING, client.arrival(), "it sent no message").await?;
        let mut is_known = false;
        loop {
            whole_message(client).await?;
            let message = client.receive().await?;
            match message {
                [POWER_ON | RESET] if !*is_powered => {
                    *is_powered = true;
                    on_client(Client::Connected);
                }
                [POWER_OFF] => *is_powered = false,
                [GET_ATR | RESET | POWER_ON] => {}
                _ if !is_known => return Err(refused("it does not begin with a control of one byte")),
                _ if !*is_powered => return Err(refused("it sent a command without giving the card power (0001 01)")),
                _ => {}
            }
            is_known = true;
            answer.clear();
            answer.extend([0, 0]);
            if respond(card, message, &mut answer) {
                seal(&mut answer);
                hold_back(card).await;
                within(MESSAGE, client.send(&answer), "it does not take its answers").await?;
            }
        }
    }
    .await;
    outcome.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Waits for a message as long as it likes to begin, and not so long for the rest of it.
async fn whole_message(client: &mut Frames) -> io::Result<()> {
    if !client.has_begun() {
        client.progress().await?;
    }
    within(MESSAGE, client.arrival(), "it stopped within a message").await
}

async fn within<T>(limit: Duration, task: impl Future<Output = io::Result<T>>, what: &str) -> io::Result<T> {
    tokio::time::timeout(limit, task)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, what.to_owned())))
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
