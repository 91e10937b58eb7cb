//! The other end: a card of a bank, as a [`Transport`].

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use apdu::{Transport, TransportError};
use rspro::{BankSlot, ClientSlot, ComponentType, Frame, Frames, Message, Pdu, ResultCode, SlotStatus, TpduFlags};

use super::{ANSWER, PING, identity};

/// For a response: a card may compute keys of several thousand bits, or install a profile of many files.
const RESPONSE: Duration = Duration::from_mins(2);

/// Where a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this slot of the bank at this address, `HOST:PORT`.
    Bank(String, BankSlot),
    /// Where the server at this address says.
    Server(String),
}

/// Why a card cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Nothing listens there.
    #[error("no {what} at {address}: {cause}; start it, or name another address")]
    NobodyListens {
        /// A bank or a server.
        what: &'static str,
        /// Where.
        address: String,
        /// What the system says.
        cause: String,
    },
    /// What listens there does not speak RSPRO, or ends the connection.
    #[error("{address}: {cause}")]
    Exchange {
        /// Where.
        address: String,
        /// What is wrong.
        cause: String,
    },
    /// It refuses the client.
    #[error("{address} refuses client {client}: {result}{}", advice(*.result))]
    Refused {
        /// Where.
        address: String,
        /// Which client.
        client: ClientSlot,
        /// Why.
        result: ResultCode,
    },
    /// The server gives the client no card.
    #[error("the server at {address} has no card for client {client} within {seconds} s; map one to it there")]
    NotMapped {
        /// Where.
        address: String,
        /// Which client.
        client: ClientSlot,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// What can be done about a refusal.
const fn advice(result: ResultCode) -> &'static str {
    match result {
        ResultCode::CARD_NOT_PRESENT => "; the bank has no mapping for it, or no card in its slot",
        ResultCode::IDENTITY_IN_USE => "; another client has that number, or the card: end it, or take another",
        _ => "",
    }
}

/// Why the card of a [`RemoteCard`] is gone, once it is; for others, while nobody sends a command.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<Mutex<Option<String>>>);

impl Lost {
    /// Why it is gone; `None` while it is there as far as is known.
    pub fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first cause counts.
    fn tell(&self, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.into());
    }
}

/// A connection that one thread reads and several write to.
#[derive(Debug)]
struct Line {
    reader: TcpStream,
    writer: Arc<Mutex<TcpStream>>,
    frames: Frames,
    address: String,
}

impl Line {
    fn connect(what: &'static str, address: &str, limit: Duration) -> Result<Self, RemoteError> {
        let absent =
            |cause: io::Error| RemoteError::NobodyListens { what, address: address.to_owned(), cause: said(&cause) };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for socket in address.to_socket_addrs().map_err(absent)? {
            match TcpStream::connect_timeout(&socket, limit.max(Duration::from_millis(1))) {
                Ok(stream) => return Self::over(stream, address).map_err(absent),
                Err(cause) => last = cause,
            }
        }
        Err(absent(last))
    }

    fn over(stream: TcpStream, address: &str) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER))?;
        let writer = Arc::new(Mutex::new(stream.try_clone()?));
        Ok(Self { reader: stream, writer, frames: Frames::default(), address: address.to_owned() })
    }

    fn failed(&self, cause: impl Into<String>) -> RemoteError {
        RemoteError::Exchange { address: self.address.clone(), cause: cause.into() }
    }

    fn send(&self, message: Message) -> Result<(), RemoteError> {
        write(&self.writer, &Pdu::new(message).to_frame()).map_err(|error| self.failed(said(&error)))
    }

    /// The next message; pings are answered meanwhile. `None` if none comes until `deadline`.
    fn message(&mut self, deadline: Instant) -> Result<Option<Message>, RemoteError> {
        let mut buffer = [0; 1024];
        loop {
            while let Some(frame) = self.frames.next().map_err(|error| self.failed(format!("it sent {error}")))? {
                match frame {
                    Frame::Rspro(octets) => {
                        let pdu = Pdu::decode(&octets).map_err(|error| self.failed(format!("it sent {error}")))?;
                        return Ok(Some(pdu.message));
                    }
                    Frame::Ping => {
                        write(&self.writer, &Frame::Pong.octets()).map_err(|error| self.failed(said(&error)))?;
                    }
                    Frame::Pong | Frame::Control(_) => {}
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let read = self.reader.set_read_timeout(Some(left)).and_then(|()| self.reader.read(&mut buffer));
            match read {
                Ok(0) => return Err(self.failed("it has closed the connection")),
                Ok(read) => self.frames.push(buffer.get(..read).unwrap_or_default()),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(said(&error))),
            }
        }
    }

    /// Says who this is; `component` is who answers.
    fn introduce(&mut self, client: ClientSlot, component: ComponentType) -> Result<(), RemoteError> {
        self.send(Message::ConnectClientReq {
            identity: identity(ComponentType::CLIENT, "client"),
            client: Some(client),
        })?;
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.message(deadline)? {
                None => return Err(self.failed("it does not answer; does it speak RSPRO?")),
                Some(Message::ConnectClientRes { identity, .. }) if identity.component != component => {
                    return Err(self.failed(format!("it says that it is {}, not {component}", identity.component)));
                }
                Some(Message::ConnectClientRes { result: ResultCode::OK, .. }) => return Ok(()),
                Some(Message::ConnectClientRes { result, .. }) => {
                    return Err(RemoteError::Refused { address: self.address.clone(), client, result });
                }
                Some(_) => {}
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A thread that writes pings has a handle of its own; one that is broken has ended.
        let _ = self.reader.shutdown(Shutdown::Both);
    }
}

fn write(writer: &Mutex<TcpStream>, octets: &[u8]) -> io::Result<()> {
    writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(octets)
}

/// The cause without the number of the operating system's error.
fn said(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
}

/// A card of a bank, this client's alone until it is dropped.
///
/// A response that does not come in time, or anything that is no RSPRO, ends the connection: what came later would be taken for the
/// answer to the next command.
#[derive(Debug)]
pub struct RemoteCard {
    line: Line,
    client: ClientSlot,
    bank: BankSlot,
    atr: Vec<u8>,
    lost: Lost,
    /// The server that has named the bank ends what it is used for when this goes.
    _server: Option<ServerHandle>,
}

/// Ends the connection to a server.
#[derive(Debug)]
struct ServerHandle(TcpStream);

impl Drop for ServerHandle {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl RemoteCard {
    /// Connects as this client, and gives the card power. `limit` is how long a server may take until it has a card for the client.
    ///
    /// # Errors
    /// A [`RemoteError`], if there is no such card for this client.
    pub fn connect(place: &Place, client: ClientSlot, limit: Duration) -> Result<Self, RemoteError> {
        match place {
            Place::Bank(address, bank) => Self::at_bank(address, *bank, client, Lost::default(), None),
            Place::Server(address) => Self::by_server(address, client, limit),
        }
    }

    fn by_server(address: &str, client: ClientSlot, limit: Duration) -> Result<Self, RemoteError> {
        let mut server = Line::connect("server", address, ANSWER)?;
        server.introduce(client, ComponentType::SERVER)?;
        let deadline = Instant::now() + limit;
        let mut client = client;
        let (bank, at) = loop {
            match server.message(deadline)? {
                None => {
                    let (address, seconds) = (address.to_owned(), limit.as_secs());
                    return Err(RemoteError::NotMapped { address, client, seconds });
                }
                Some(Message::ConfigClientIdReq(given)) => {
                    client = given;
                    server.send(Message::ConfigClientIdRes(ResultCode::OK))?;
                }
                Some(Message::ConfigClientBankReq { bank, at }) => {
                    server.send(Message::ConfigClientBankRes(ResultCode::OK))?;
                    if at.0.port() != 0 {
                        break (bank, at.0);
                    }
                }
                Some(Message::ResetStateReq) => server.send(Message::ResetStateRes(ResultCode::OK))?,
                Some(_) => {}
            }
        };
        let lost = Lost::default();
        let handle = server.reader.try_clone().map(ServerHandle).map_err(|error| server.failed(said(&error)))?;
        let card = Self::at_bank(&at.to_string(), bank, client, lost.clone(), Some(handle))?;
        let reader = card.line.reader.try_clone().map_err(|error| card.line.failed(said(&error)))?;
        let mut told = Follower { server, bank, at, lost, card: reader };
        thread::Builder::new()
            .name("remsim server".to_owned())
            .spawn(move || told.follow())
            .map_err(|error| card.line.failed(said(&error)))?;
        Ok(card)
    }

    fn at_bank(
        address: &str,
        bank: BankSlot,
        client: ClientSlot,
        lost: Lost,
        server: Option<ServerHandle>,
    ) -> Result<Self, RemoteError> {
        let mut line = Line::connect("bank", address, ANSWER)?;
        line.introduce(client, ComponentType::BANK)?;
        let mut card = Self { line, client, bank, atr: Vec::new(), lost, _server: server };
        let deadline = Instant::now() + ANSWER;
        while card.atr.is_empty() {
            match card.line.message(deadline)? {
                None => return Err(card.line.failed("the bank does not give the answer to reset of the card")),
                Some(message) => card.note(message)?,
            }
        }
        ping(&card.line.writer, card.lost.clone()).map_err(|error| card.line.failed(format!("no thread: {error}")))?;
        Ok(card)
    }

    /// Which card of which bank it is.
    pub const fn bank(&self) -> BankSlot {
        self.bank
    }

    /// For a program that looks whether the card is still there while nobody sends a command.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// What a bank says besides responses.
    fn note(&mut self, message: Message) -> Result<(), RemoteError> {
        match message {
            Message::SetAtrReq { slot, atr } if slot == self.client => {
                self.atr = atr;
                self.line.send(Message::SetAtrRes(ResultCode::OK))
            }
            Message::BankSlotStatusInd { status, .. } if status.card == Some(false) => {
                Err(self.line.failed("the card was taken out of the bank"))
            }
            Message::ErrorInd { code, text, .. } => {
                Err(self.line.failed(format!("the bank reports {code}: {}", text.unwrap_or_default())))
            }
            _ => Ok(()),
        }
    }

    /// Tells the bank of an edge of the contacts, and of the one back.
    fn contacts(&mut self, power: bool) -> Result<Vec<u8>, TransportError> {
        for status in [
            SlotStatus { reset: true, power: Some(power), clock: Some(power), card: Some(true) },
            SlotStatus { reset: false, power: Some(true), clock: Some(true), card: Some(true) },
        ] {
            let (from, to) = (self.client, self.bank);
            self.with_line(|card| card.line.send(Message::ClientSlotStatusInd { from, to, status }))?;
        }
        Ok(self.atr.clone())
    }

    /// Uses the connection, and leaves it at the first failure.
    fn with_line<T>(&mut self, task: impl FnOnce(&mut Self) -> Result<T, RemoteError>) -> Result<T, TransportError> {
        if let Some(why) = self.lost.why() {
            return Err(TransportError::Connection(why));
        }
        task(self).map_err(|error| {
            self.lost.tell(error.to_string());
            let _ = self.line.reader.shutdown(Shutdown::Both);
            // A server may have taken the card away, which is why the connection has ended.
            TransportError::Connection(self.lost.why().unwrap_or_default())
        })
    }

    fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>, RemoteError> {
        let (from, to) = (self.client, self.bank);
        let message = Message::TpduModemToCard { from, to, flags: TpduFlags::default(), data: command.to_vec() };
        self.line.send(message)?;
        let deadline = Instant::now() + RESPONSE;
        loop {
            match self.line.message(deadline)? {
                None => return Err(self.line.failed("the card did not answer a command")),
                Some(Message::TpduCardToModem { from, to, data, .. }) => {
                    if (from, to) != (self.bank, self.client) {
                        return Err(self.line.failed(format!("the bank sent a response of {from} for client {to}")));
                    }
                    return Ok(data);
                }
                Some(other) => self.note(other)?,
            }
        }
    }
}

impl Transport for RemoteCard {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.contacts(false)
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.contacts(true)
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        /// Header, Lc and data, Le: no TPDU is longer.
        const LONGEST_COMMAND: usize = 261;
        if command.len() > LONGEST_COMMAND {
            return Err(TransportError::CommandTooLong(command.len()));
        }
        let response = self.with_line(|card| card.exchange(command))?;
        if response.len() < 2 { Err(TransportError::ShortResponse(response.len())) } else { Ok(response) }
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }
}

/// Pings a bank as long as the connection is there, so that one that has vanished is noticed though nobody sends a command.
fn ping(writer: &Arc<Mutex<TcpStream>>, lost: Lost) -> io::Result<()> {
    /// A dropped connection is noticed so soon.
    const GLANCE: Duration = Duration::from_millis(500);
    let writer = Arc::downgrade(writer);
    thread::Builder::new().name("remsim ping".to_owned()).spawn(move || {
        let mut next = Instant::now() + PING;
        while lost.why().is_none() {
            thread::sleep(GLANCE);
            let Some(writer) = writer.upgrade() else { return };
            if is_closed(&writer) {
                return lost.tell("the bank has closed the connection");
            }
            if Instant::now() >= next {
                next = Instant::now() + PING;
                if let Err(error) = write(&writer, &Frame::Ping.octets()) {
                    return lost.tell(format!("the bank is gone: {}", said(&error)));
                }
            }
        }
    })?;
    Ok(())
}

/// Whether the other end has closed the connection, or broken it.
#[cfg(unix)]
fn is_closed(stream: &Mutex<TcpStream>) -> bool {
    use rustix::net::{RecvFlags, recv};
    let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    match recv(&*stream, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, read)) => read == 0,
        Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
    }
}

#[cfg(not(unix))]
const fn is_closed(_: &Mutex<TcpStream>) -> bool {
    false
}

/// Hears what a server says while its card is used: it may take it away.
struct Follower {
    server: Line,
    bank: BankSlot,
    at: SocketAddr,
    lost: Lost,
    /// The connection to the bank.
    card: TcpStream,
}

impl Follower {
    fn follow(&mut self) {
        let mut is_pinged = false;
        while self.lost.why().is_none() {
            let limit = if is_pinged { ANSWER } else { PING };
            let told = match self.server.message(Instant::now() + limit) {
                // The bank is used without the server as well.
                Err(_) => return,
                Ok(None) if is_pinged => return,
                Ok(None) => {
                    is_pinged = write(&self.server.writer, &Frame::Ping.octets()).is_ok();
                    continue;
                }
                Ok(Some(message)) => message,
            };
            is_pinged = false;
            let answered = match told {
                Message::ConfigClientBankReq { bank, at } => {
                    if (bank, at.0) != (self.bank, self.at) {
                        self.take_away(if at.0.port() == 0 {
                            "the server has taken the card away".to_owned()
                        } else {
                            format!("the server has given this client another card, {bank} at {}", at.0)
                        });
                    }
                    self.server.send(Message::ConfigClientBankRes(ResultCode::OK))
                }
                Message::ResetStateReq => {
                    self.take_away("the server has reset all mappings".to_owned());
                    self.server.send(Message::ResetStateRes(ResultCode::OK))
                }
                _ => Ok(()),
            };
            if answered.is_err() {
                return;
            }
        }
    }

    fn take_away(&self, why: String) {
        self.lost.tell(why);
        let _ = self.card.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests;
