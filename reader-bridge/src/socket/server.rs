//! The card's side: it listens, and serves one client after the other.

#[cfg(unix)]
mod in_folder;

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use apdu::Icc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::Address;
use crate::vpcd::frames::{Frames, at_once, hold_back, respond, seal};
use crate::vpcd::{GET_ATR, POWER_OFF, POWER_ON, RESET};

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until the first message of a client that was accepted: others wait.
    pub(super) greeting: Duration,
    /// For the rest of a message that has begun, and until an answer is taken.
    pub(super) message: Duration,
}

pub(super) const LIMITS: Limits = Limits { greeting: Duration::from_secs(10), message: Duration::from_secs(10) };

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
    Unix(in_folder::Socket),
}

impl Listener {
    /// Listens. Port 0 takes a free one, which [`Listener::address`] tells. A socket in a folder that a process left behind
    /// is replaced; one that is in use, or another file, is not. From its first moment it is for this user's processes alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if another process listens there, [`io::ErrorKind::AlreadyExists`] if there is a file that is
    /// no socket; else what the system says.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(at) => {
                let socket = TcpListener::bind(at).await?;
                let address = Address::Tcp(socket.local_addr()?.to_string());
                Ok(Self { socket: Socket::Tcp(socket), address })
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let socket = Socket::Unix(in_folder::Socket::bind(path)?);
                Ok(Self { socket, address: address.clone() })
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets")),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Frames> {
        match &self.socket {
            Socket::Tcp(listener) => Frames::over_tcp(listener.accept().await?.0),
            #[cfg(unix)]
            Socket::Unix(socket) => Ok(Frames::over(socket.listener().accept().await?.0)),
        }
    }
}

/// A connection as it is.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

impl Listener {
    /// The next connection, for who has other messages than [the module](super) has. Another end that has vanished without a
    /// word is noticed.
    pub async fn connection(&self) -> io::Result<Box<dyn Connection>> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                at_once(&stream)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Socket::Unix(socket) => Ok(Box::new(socket.listener().accept().await?.0)),
        }
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
pub async fn serve<C, S>(card: &mut C, listener: &Listener, shutdown: S, on_client: impl FnMut(Client<'_>))
where
    C: Icc + ?Sized,
    S: Future<Output = ()>,
{
    serve_within(LIMITS, card, listener, shutdown, on_client).await;
}

async fn serve_within<C, S>(
    limits: Limits,
    card: &mut C,
    listener: &Listener,
    shutdown: S,
    mut on_client: impl FnMut(Client<'_>),
) where
    C: Icc + ?Sized,
    S: Future<Output = ()>,
{
    /// Before the next try, where no connection can be accepted: too many files are open.
    const PAUSE: Duration = Duration::from_millis(200);
    let attend = async {
        loop {
            match listener.accept().await {
                Ok(mut client) => {
                    let end = attend(limits, card, &mut client, &mut on_client).await;
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
    limits: Limits,
    card: &mut C,
    client: &mut Frames,
    on_client: &mut impl FnMut(Client<'_>),
) -> io::Error {
    let mut answer = Vec::with_capacity(512);
    let outcome: io::Result<()> = async {
        within(limits.greeting, client.arrival(), "it sent no message").await?;
        let (mut is_known, mut is_powered) = (false, false);
        loop {
            whole_message(limits, client).await?;
            let message = client.receive().await?;
            match message {
                [POWER_ON | RESET] if !is_powered => {
                    is_powered = true;
                    on_client(Client::Connected);
                }
                [POWER_OFF] => is_powered = false,
                [GET_ATR | RESET | POWER_ON] => {}
                _ if !is_known => return Err(refused("it does not begin with a control of one byte")),
                _ if !is_powered => return Err(refused("it sent a command without giving the card power (0001 01)")),
                _ => {}
            }
            is_known = true;
            answer.clear();
            answer.extend([0, 0]);
            if respond(card, message, &mut answer) {
                seal(&mut answer);
                hold_back(card).await;
                within(limits.message, client.send(&answer), "it does not take its answers").await?;
            }
        }
    }
    .await;
    outcome.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Waits for a message as long as it likes to begin, and not so long for the rest of it.
pub(super) async fn whole_message(limits: Limits, client: &mut Frames) -> io::Result<()> {
    if !client.has_begun() {
        client.progress().await?;
    }
    within(limits.message, client.arrival(), "it stopped within a message").await
}

pub(super) async fn within<T>(limit: Duration, task: impl Future<Output = io::Result<T>>, what: &str) -> io::Result<T> {
    tokio::time::timeout(limit, task)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, what.to_owned())))
}

pub(super) fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::testing::FakeCard;

    const QUICK: Limits = Limits { greeting: Duration::from_millis(50), message: Duration::from_millis(50) };

    /// What is told of clients while `client` runs, and what the card saw.
    async fn told_while<F: Future<Output = ()>>(client: impl FnOnce(String) -> F) -> (Vec<String>, Vec<String>) {
        let listener = Listener::bind(&"0".parse().unwrap()).await.unwrap();
        let Address::Tcp(address) = listener.address().clone() else { panic!() };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (mut card, mut told) = (FakeCard::default(), Vec::new());
        let stopped = async { stopped.await.unwrap() };
        let served = serve_within(QUICK, &mut card, &listener, stopped, |client| told.push(client.to_string()));
        let client = async {
            client(address).await;
            stop.send(()).unwrap();
        };
        tokio::join!(served, client);
        (told, card.log)
    }

    async fn ask(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
        stream.write_all(message).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut body = vec![0; length.into()];
        stream.read_exact(&mut body).await.unwrap();
        body
    }

    #[tokio::test]
    async fn clients_are_served_in_turn_and_find_a_fresh_card() {
        let (told, log) = told_while(async |address: String| {
            let mut first = TcpStream::connect(&address).await.unwrap();
            // In the queue until the first one is gone.
            let mut second = TcpStream::connect(&address).await.unwrap();
            first.write_all(&[0, 1, POWER_ON]).await.unwrap();
            assert_eq!(ask(&mut first, &[0, 1, GET_ATR]).await, FakeCard::ATR);
            assert_eq!(ask(&mut first, &[0, 5, 0, 0xB0, 0, 0, 2]).await, [0, 1, 0x90, 0]);
            assert_eq!(ask(&mut first, &[0, 0]).await, [0x67, 0x00], "an empty command");
            drop(first);
            second.write_all(&[0, 1, RESET]).await.unwrap();
            assert_eq!(ask(&mut second, &[0, 4, 0, 0xA4, 0, 4]).await, [0x90, 0]);
        })
        .await;
        assert_eq!(told[0], "client connected");
        assert!(told[1].starts_with("client gone: ") && told[2] == "client connected", "{told:?}");
        assert_eq!(log, ["power on", "00B0000002", "power off", "warm reset", "00A40004", "power off"]);
    }

    /// No command reaches the card, and the next client is served.
    #[tokio::test]
    async fn what_is_no_client_is_sent_away() {
        let longest = [&[0xFF, 0xFF][..], &vec![0; 65_535]].concat();
        for (sent, why) in [
            (&b""[..], "it sent no message"),
            (b"GET / HTTP/1.1\r\n\r\n", "it sent no message"),
            (&[0, 5, 0, 0xA4, 0, 4, 0], "it does not begin with a control"),
            (&[0, 0], "it does not begin with a control"),
            (&longest, "it does not begin with a control"),
            (&[0, 1, GET_ATR, 0, 5, 0, 0xA4, 0, 4, 0], "without giving the card power"),
            (&[0, 1, POWER_ON, 0, 1, POWER_OFF, 0, 4, 0, 0xA4, 0, 4], "without giving the card power"),
            (&[0, 1, POWER_ON, 0, 5, 0, 0xA4], "it stopped within a message"),
            (&[0, 1, POWER_ON, 0], "it stopped within a message"),
        ] {
            let (told, log) = told_while(async |address: String| {
                let mut hostile = TcpStream::connect(&address).await.unwrap();
                // The card may have closed the connection before all is sent.
                let _ = hostile.write_all(sent).await;
                let mut rest = Vec::new();
                let _ = hostile.read_to_end(&mut rest).await;
                let mut next = TcpStream::connect(&address).await.unwrap();
                next.write_all(&[0, 1, POWER_ON]).await.unwrap();
                assert_eq!(ask(&mut next, &[0, 1, GET_ATR]).await, FakeCard::ATR, "{sent:02X?}");
            })
            .await;
            assert!(told.iter().any(|line| line.contains(why)), "{sent:02X?}: {told:?}");
            assert!(!log.iter().any(|entry| entry.starts_with("00A4")), "{sent:02X?}: {log:?}");
        }
    }

    /// A client that sends commands and takes no answers does not keep the card.
    #[tokio::test]
    async fn answers_have_to_be_taken() {
        let (told, _) = told_while(async |address: String| {
            let mut greedy = TcpStream::connect(&address).await.unwrap();
            greedy.write_all(&[0, 1, POWER_ON]).await.unwrap();
            while greedy.write_all(&[0, 5, 0, 0xB0, 0, 0, 0].repeat(1_000)).await.is_ok() {}
        })
        .await;
        assert!(told.iter().any(|line| line.contains("it does not take its answers")), "{told:?}");
    }
}
