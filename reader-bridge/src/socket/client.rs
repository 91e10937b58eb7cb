//! A host's side: a card behind a socket as a [`Transport`].

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::Duration;

use apdu::{Transport, TransportError};

use super::Address;
use crate::reader_error::ReaderError;
use crate::vpcd::{GET_ATR, POWER_OFF, POWER_ON, RESET};

/// How long the connection may take, and after it the card until it is this client's turn.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a card may compute: keys of several thousand bits, a profile of many files.
const ANSWER: Duration = Duration::from_mins(2);

/// A card behind a socket, this program's alone until it is dropped. It loses power then.
pub struct SocketCard {
    stream: Box<dyn Stream>,
    address: Address,
    atr: Vec<u8>,
}

trait Stream: Read + Write + Send {
    fn set_limit(&self, limit: Duration) -> io::Result<()>;

    #[cfg(unix)]
    fn watched(&self) -> io::Result<OwnedFd>;
}

/// Looks whether the card behind a [`SocketCard`] is still there, without asking it anything.
#[derive(Debug)]
pub struct Lookout {
    #[cfg(unix)]
    socket: OwnedFd,
}

impl Lookout {
    /// Whether the other end has closed the connection, or broken it.
    #[cfg(unix)]
    pub fn is_gone(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        match recv(&self.socket, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, read)) => read == 0,
            Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
        }
    }

    /// Whether the other end has closed the connection: this system does not tell.
    #[cfg(not(unix))]
    pub const fn is_gone(&self) -> bool {
        false
    }
}

impl Stream for TcpStream {
    fn set_limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }

    #[cfg(unix)]
    fn watched(&self) -> io::Result<OwnedFd> {
        self.try_clone().map(OwnedFd::from)
    }
}

#[cfg(unix)]
impl Stream for std::os::unix::net::UnixStream {
    fn set_limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }

    #[cfg(unix)]
    fn watched(&self) -> io::Result<OwnedFd> {
        self.try_clone().map(OwnedFd::from)
    }
}

impl SocketCard {
    /// Connects, and gives the card power.
    ///
    /// While another client has the card this waits for ten seconds.
    pub fn connect(address: &Address) -> Result<Self, ReaderError> {
        let absent =
            |cause: io::Error| ReaderError::NobodyListens { address: address.to_string(), cause: said(&cause) };
        let stream = open(address).map_err(absent)?;
        stream.set_limit(CONNECT).map_err(absent)?;
        let mut card = Self { stream, address: address.clone(), atr: Vec::new() };
        card.power(&[POWER_ON]).map_err(|error| match error {
            TransportError::Mute => ReaderError::Busy { reader: address.to_string() },
            other => ReaderError::Card(other),
        })?;
        card.stream.set_limit(ANSWER).map_err(absent)?;
        Ok(card)
    }

    /// Somebody who looks whether the card is still there while this is used.
    pub fn lookout(&self) -> io::Result<Lookout> {
        Ok(Lookout {
            #[cfg(unix)]
            socket: self.stream.watched()?,
        })
    }

    fn power(&mut self, controls: &[u8]) -> Result<Vec<u8>, TransportError> {
        for control in controls {
            self.send(&[*control])?;
        }
        self.send(&[GET_ATR])?;
        self.atr = self.receive()?;
        Ok(self.atr.clone())
    }

    fn send(&mut self, body: &[u8]) -> Result<(), TransportError> {
        let length = u16::try_from(body.len()).map_err(|_| TransportError::CommandTooLong(body.len()))?;
        // In one piece: two would be slow.
        let message = [&length.to_be_bytes()[..], body].concat();
        self.stream.write_all(&message).map_err(|cause| lost(&cause))
    }

    fn receive(&mut self) -> Result<Vec<u8>, TransportError> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length).map_err(|cause| lost(&cause))?;
        let mut body = vec![0; u16::from_be_bytes(length).into()];
        self.stream.read_exact(&mut body).map_err(|cause| lost(&cause))?;
        Ok(body)
    }
}

fn open(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(at) => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for socket in at.to_socket_addrs()? {
                match TcpStream::connect_timeout(&socket, CONNECT) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(Box::new(stream));
                    }
                    Err(cause) => last = cause,
                }
            }
            Err(last)
        }
        #[cfg(unix)]
        Address::Unix(path) => Ok(Box::new(std::os::unix::net::UnixStream::connect(path)?)),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets")),
    }
}

fn lost(cause: &io::Error) -> TransportError {
    match cause.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => TransportError::Mute,
        _ => TransportError::CardRemoved,
    }
}

/// The cause without the number of the operating system's error.
fn said(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
}

impl Transport for SocketCard {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        if let Ok(atr) = self.power(&[POWER_OFF, POWER_ON]) {
            return Ok(atr);
        }
        // The card was taken away, and may be back.
        *self = Self::connect(&self.address)?;
        Ok(self.atr.clone())
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.power(&[RESET])
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        if command.len() < 2 {
            // It would be a control.
            return Ok(apdu::StatusWord::WRONG_LENGTH.0.to_be_bytes().to_vec());
        }
        self.send(command)?;
        let response = self.receive()?;
        match response.len() {
            0 => Err(TransportError::Mute),
            1 => Err(TransportError::ShortResponse(1)),
            _ => Ok(response),
        }
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }
}

impl fmt::Debug for SocketCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketCard").field("address", &self.address).finish_non_exhaustive()
    }
}
