//! A host's side: a card behind a socket as a [`Transport`].

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apdu::{Transport, TransportError};

use super::fleet::{SELECT, SELECTED, Unselected};
use super::{Address, CardAddress};
use crate::reader_error::ReaderError;
use crate::vpcd::{GET_ATR, POWER_OFF, POWER_ON, RESET};

/// How long a client waits.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For the connection, and after it until the card is free for this client.
    connect: Duration,
    /// For a response: a card may compute keys of several thousand bits, or install a profile of many files.
    answer: Duration,
}

const LIMITS: Limits = Limits { connect: Duration::from_secs(10), answer: Duration::from_mins(2) };

/// A card behind a socket, this program's alone until it is dropped. It loses power then.
///
/// A response that does not come in time, or not whole, ends the connection: what came later would be taken for the answer to
/// the next command. The card is gone from then on, until [`reset`](Transport::reset) connects anew.
pub struct SocketCard {
    /// `None` once it has failed.
    stream: Option<Box<dyn Stream>>,
    address: CardAddress,
    limits: Limits,
    atr: Vec<u8>,
    /// For those who look whether it is there.
    watched: Watched,
}

/// A second handle on the connection that is in use now, if one is.
#[cfg(unix)]
type Watched = Arc<Mutex<Option<OwnedFd>>>;
#[cfg(not(unix))]
type Watched = Arc<Mutex<Option<()>>>;

trait Stream: Read + Write + Send {
    fn set_limit(&self, limit: Duration) -> io::Result<()>;

    /// Ends the connection, though others have a handle on it.
    fn end(&self);

    #[cfg(unix)]
    fn watched(&self) -> io::Result<OwnedFd>;
}

/// Looks whether the card behind a [`SocketCard`] is still there, without asking it anything.
#[derive(Debug)]
pub struct Lookout {
    /// None while this end has left: that says nothing of the other one.
    watched: Watched,
}

impl Lookout {
    /// Whether the other end has closed the connection, or broken it.
    #[cfg(unix)]
    pub fn is_gone(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(socket) = &*watched else { return false };
        match recv(socket, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
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

    fn end(&self) {
        // One that is broken has ended.
        let _ = self.shutdown(Shutdown::Both);
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

    fn end(&self) {
        // One that is broken has ended.
        let _ = self.shutdown(Shutdown::Both);
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
    ///
    /// # Errors
    /// [`ReaderError::NobodyListens`] if there is no card at the address, [`ReaderError::Busy`] if another client keeps it,
    /// [`ReaderError::Card`] if it goes before it has given its answer to reset; of a card named by its EID,
    /// [`ReaderError::NoSuchCard`] if it is not there, and [`ReaderError::TooManyClients`]; of none that is named where many are,
    /// [`ReaderError::NoneNamed`].
    pub fn connect(address: &CardAddress) -> Result<Self, ReaderError> {
        Self::connect_within(address, LIMITS.connect)
    }

    /// The same, waiting for `limit` while another client has the card.
    ///
    /// # Errors
    /// As for [`SocketCard::connect`].
    pub fn connect_within(address: &CardAddress, limit: Duration) -> Result<Self, ReaderError> {
        Self::connect_by(address, Limits { connect: limit, ..LIMITS })
    }

    fn connect_by(address: &CardAddress, limits: Limits) -> Result<Self, ReaderError> {
        // None at all would be no limit.
        let limits = Limits { connect: limits.connect.max(Duration::from_millis(1)), ..limits };
        let absent =
            |cause: io::Error| ReaderError::NobodyListens { address: address.to_string(), cause: said(&cause) };
        let stream = open(&address.socket, limits.connect).map_err(absent)?;
        stream.set_limit(limits.connect).map_err(absent)?;
        let watched = Watched::default();
        let mut card = Self { stream: Some(stream), address: address.clone(), limits, atr: Vec::new(), watched };
        card.watch(Watched::default()).map_err(absent)?;
        card.select()?;
        card.power(&[POWER_ON]).map_err(|error| match error {
            TransportError::Mute => ReaderError::Busy { reader: address.to_string() },
            other => ReaderError::Card(other),
        })?;
        // Of a fleet, of which no card was named; no answer to reset is as short.
        match card.atr.as_slice() {
            [answer] if *answer == Unselected::NoneSelected as u8 => {
                return Err(ReaderError::NoneNamed { address: address.to_string() });
            }
            [answer] if *answer == Unselected::TooManyClients as u8 => {
                return Err(ReaderError::TooManyClients { address: address.to_string() });
            }
            _ => {}
        }
        if let Some(stream) = &card.stream {
            stream.set_limit(limits.answer).map_err(absent)?;
        }
        Ok(card)
    }

    /// Somebody who looks whether the card is still there while this is used.
    ///
    /// # Errors
    /// If it is gone already, or the system gives no second handle on the connection.
    pub fn lookout(&self) -> io::Result<Lookout> {
        match &self.stream {
            None => Err(io::ErrorKind::NotConnected.into()),
            Some(_) => Ok(Lookout { watched: Arc::clone(&self.watched) }),
        }
    }

    /// Has lookouts watch the connection that is in use from here on.
    #[cfg(unix)]
    fn watch(&mut self, watched: Watched) -> io::Result<()> {
        let handle = self.stream.as_ref().map(|stream| stream.watched()).transpose()?;
        *watched.lock().unwrap_or_else(PoisonError::into_inner) = handle;
        self.watched = watched;
        Ok(())
    }

    #[cfg(not(unix))]
    fn watch(&mut self, watched: Watched) -> io::Result<()> {
        self.watched = watched;
        Ok(())
    }

    /// Says which card is meant, where there are several. One that another client has is asked for again and again.
    fn select(&mut self) -> Result<(), ReaderError> {
        const AGAIN: Duration = Duration::from_millis(50);
        let Some(eid) = self.address.eid else { return Ok(()) };
        let deadline = Instant::now() + self.limits.connect;
        let reader = self.address.to_string();
        loop {
            let answered = self.send(&[&[SELECT][..], &eid].concat()).and_then(|()| self.receive());
            match answered.as_deref() {
                Ok([SELECTED]) => return Ok(()),
                Ok([answer]) if *answer == Unselected::InUse as u8 => {
                    if Instant::now() >= deadline {
                        return Err(ReaderError::Busy { reader });
                    }
                    std::thread::sleep(AGAIN);
                }
                Ok([answer]) if *answer == Unselected::TooManyClients as u8 => {
                    return Err(ReaderError::TooManyClients { address: reader });
                }
                // A single card takes this for a command, and leaves.
                Ok(_) | Err(TransportError::CardRemoved) => return Err(ReaderError::NoSuchCard { address: reader }),
                Err(TransportError::Mute) => return Err(ReaderError::Busy { reader }),
                Err(error) => return Err((*error).clone().into()),
            }
        }
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
        self.with_stream(|stream| stream.write_all(&message))
    }

    fn receive(&mut self) -> Result<Vec<u8>, TransportError> {
        self.with_stream(|stream| {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut body = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut body)?;
            Ok(body)
        })
    }

    /// Uses the stream, and leaves it at the first failure: nobody knows how much of a message has passed.
    fn with_stream<T>(&mut self, task: impl FnOnce(&mut dyn Stream) -> io::Result<T>) -> Result<T, TransportError> {
        let stream = self.stream.as_deref_mut().ok_or(TransportError::CardRemoved)?;
        let done = task(stream).map_err(|cause| lost(&cause));
        if done.is_err() {
            self.leave();
        }
        done
    }

    fn leave(&mut self) {
        if let Some(stream) = self.stream.take() {
            *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = None;
            stream.end();
        }
    }
}

/// Whether something listens at an address.
pub fn is_listening(address: &Address, limit: Duration) -> bool {
    open(address, limit.max(Duration::from_millis(1))).is_ok()
}

fn open(address: &Address, limit: Duration) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(at) => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for socket in at.to_socket_addrs()? {
                match TcpStream::connect_timeout(&socket, limit) {
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
        // The card was taken away, and may be back. The old connection must not keep it from the new one.
        self.leave();
        let watched = Arc::clone(&self.watched);
        *self = Self::connect_by(&self.address, self.limits)?;
        self.watch(watched).map_err(|cause| lost(&cause))?;
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    const ATR: [u8; 2] = [0x3B, 0x00];

    /// The card's end of the next connection, once the client has its answer to reset.
    fn powered(listener: &TcpListener) -> TcpStream {
        let mut stream = listener.accept().unwrap().0;
        assert_eq!(told(&mut stream), [POWER_ON]);
        assert_eq!(told(&mut stream), [GET_ATR]);
        stream.write_all(&[0, 2, ATR[0], ATR[1]]).unwrap();
        stream
    }

    fn told(stream: &mut TcpStream) -> Vec<u8> {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut body = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut body).unwrap();
        body
    }

    /// A response that comes late, in part or not at all answers nothing else.
    #[test]
    fn a_late_answer_answers_no_other_command() {
        for (soon, late) in
            [(&[][..], &[0, 2, 0x62, 0x00][..]), (&[0], &[2, 0x62, 0x00]), (&[0, 4, 1, 2], &[0x62, 0x00])]
        {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::Tcp(listener.local_addr().unwrap().to_string()).into();
            let (timed_out, has_timed_out) = channel();
            let card = thread::spawn(move || {
                let mut first = powered(&listener);
                assert_eq!(told(&mut first), [0, 0xA4, 0, 4]);
                first.write_all(soon).unwrap();
                has_timed_out.recv().unwrap();
                // The client may be gone.
                let _ = first.write_all(late);
                let mut second = powered(&listener);
                assert_eq!(told(&mut second), [0, 0xB0, 0, 0]);
                second.write_all(&[0, 2, 0x90, 0x00]).unwrap();
            });
            let limits = Limits { answer: Duration::from_millis(100), ..LIMITS };
            let mut client = SocketCard::connect_by(&address, limits).unwrap();
            // A second handle keeps no connection.
            let lookout = client.lookout().unwrap();
            assert!(!lookout.is_gone());
            assert_eq!(client.transmit(&[0, 0xA4, 0, 4]), Err(TransportError::Mute));
            timed_out.send(()).unwrap();
            assert_eq!(client.transmit(&[0, 0xB0, 0, 0]), Err(TransportError::CardRemoved), "{soon:02X?}");
            assert_eq!(client.warm_reset(), Err(TransportError::CardRemoved));
            // It is this end that has left.
            assert!(client.lookout().is_err() && !lookout.is_gone());
            assert_eq!(client.reset(), Ok(ATR.to_vec()));
            // Only this one has to come in time.
            client.stream.as_ref().unwrap().set_limit(LIMITS.answer).unwrap();
            assert_eq!(client.transmit(&[0, 0xB0, 0, 0]), Ok(vec![0x90, 0x00]));
            card.join().unwrap();
            // Now it is the card that has left, and a lookout from before the reset sees it.
            assert!(cfg!(not(unix)) || lookout.is_gone());
        }
    }
}
