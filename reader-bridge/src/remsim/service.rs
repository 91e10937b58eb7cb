//! Clients of a bank, each over its connection.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rspro::{ClientSlot, Frame, Frames, Message, Pdu, PduError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};

use super::ANSWER;
use super::bank::{Attendance, Bank, Outcome};
use crate::socket::{Connection, Listener};

/// How many clients may be connected.
const CONNECTIONS: usize = 64;
/// How long one that has said who it is may be silent: osmo-remsim's clients ping every half minute.
const IDLE: Duration = Duration::from_hours(1);

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Until a client has said who it is; for the rest of a frame; until it takes its answers.
    answer: Duration,
    /// Between two frames.
    idle: Duration,
    /// How many there may be.
    connections: usize,
}

const LIMITS: Limits = Limits { answer: ANSWER, idle: IDLE, connections: CONNECTIONS };

/// What happens between the bank and its clients.
#[derive(Debug)]
pub enum Told {
    /// A client has the card of this slot.
    Connected(ClientSlot, u16),
    /// A client, or what was none, is gone or was sent away: why.
    Gone(Option<ClientSlot>, io::Error),
    /// None can be accepted at the moment.
    Unaccepted(io::Error),
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(client, slot) => write!(f, "client {client} has the card of slot {slot}"),
            Self::Gone(Some(client), why) => write!(f, "client {client} is gone: {why}"),
            Self::Gone(None, why) => write!(f, "a connection has ended: {why}"),
            Self::Unaccepted(why) => write!(f, "no client can be accepted: {why}"),
        }
    }
}

/// Lets the clients of `listener` use the cards of `bank`, until `shutdown` completes.
///
/// 64 may be connected; one more is sent away, as is one that does not say who it is within 10 seconds, stops within a frame, does
/// not take its answers for so long, or is silent for an hour.
pub async fn serve(
    bank: Arc<Bank>,
    listener: &Listener,
    shutdown: impl Future<Output = ()>,
    told: impl Fn(Told) + 'static,
) {
    serve_within(LIMITS, bank, listener, shutdown, told).await;
}

async fn serve_within(
    limits: Limits,
    bank: Arc<Bank>,
    listener: &Listener,
    shutdown: impl Future<Output = ()>,
    told: impl Fn(Told) + 'static,
) {
    /// Before the next try, where no connection can be accepted: too many files are open.
    const PAUSE: Duration = Duration::from_millis(200);
    let (told, connected) = (Rc::new(told), Rc::new(Cell::new(0_usize)));
    let tasks = LocalSet::new();
    let accept = async {
        loop {
            match listener.connection().await {
                Ok(_) if connected.get() >= limits.connections => {
                    told(Told::Gone(None, refused(format!("{} clients are connected already", limits.connections))));
                }
                Ok(stream) => {
                    connected.set(connected.get() + 1);
                    let (bank, told, connected) = (Arc::clone(&bank), Rc::clone(&told), Rc::clone(&connected));
                    spawn_local(async move {
                        let mut client = Client { stream, frames: Frames::default(), limits };
                        let (who, why) = client.attend(bank, &*told).await;
                        connected.set(connected.get() - 1);
                        told(Told::Gone(who, why));
                    });
                }
                Err(error) => {
                    told(Told::Unaccepted(error));
                    sleep(PAUSE).await;
                }
            }
        }
    };
    tasks
        .run_until(async {
            tokio::select! {
                () = shutdown => {}
                () = accept => {}
            }
        })
        .await;
}

struct Client {
    stream: Box<dyn Connection>,
    frames: Frames,
    limits: Limits,
}

impl Client {
    /// Answers it until it is gone; who it was, and why it went.
    async fn attend(&mut self, bank: Arc<Bank>, told: &impl Fn(Told)) -> (Option<ClientSlot>, io::Error) {
        let mut mappings = bank.mappings();
        let mut attendance = Attendance::new(bank);
        let mut had = None;
        loop {
            let next = tokio::select! {
                next = self.next(attendance.client().is_some()) => next,
                // The bank outlives its clients.
                _ = mappings.changed() => Ok(Next::Remapped),
            };
            let next = match next {
                Ok(Next::Pings(count)) => match self.send(&Frame::Pong.octets().repeat(count)).await {
                    Ok(()) => continue,
                    Err(why) => return (attendance.client(), why),
                },
                Ok(Next::Unsupported(version)) => {
                    // Whether it hears that or not, it goes.
                    let _ = self.send(&Pdu::new(attendance.unsupported()).to_frame()).await;
                    return (attendance.client(), refused(PduError::Version(version).to_string()));
                }
                Ok(next) => next,
                Err(why) => return (attendance.client(), why),
            };
            // A card computes as long as it likes; others are served meanwhile.
            let done = spawn_blocking(move || {
                let outcome = match &next {
                    Next::Message(message) => attendance.take(message),
                    Next::Remapped | Next::Pings(_) | Next::Unsupported(_) => attendance.remapped(),
                };
                let delay = attendance.delay();
                (attendance, outcome, delay)
            });
            let Ok((same, Outcome { answers, end }, delay)) = done.await else {
                return (None, io::Error::other("its card stopped unexpectedly"));
            };
            attendance = same;
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if let (Some(client), Some(slot), None) = (attendance.client(), attendance.slot(), had) {
                had = Some(slot);
                told(Told::Connected(client, slot));
            }
            for answer in answers {
                if let Err(why) = self.send(&Pdu::new(answer).to_frame()).await {
                    return (attendance.client(), why);
                }
            }
            if let Some(why) = end {
                return (attendance.client(), refused(why));
            }
        }
    }

    /// What comes next. Nothing is lost if that is given up: what has arrived is kept, and nothing is sent.
    async fn next(&mut self, is_known: bool) -> io::Result<Next> {
        let mut buffer = [0; 1024];
        let answer = self.limits.answer;
        loop {
            while let Some(frame) = self.frames.next().map_err(|error| refused(error.to_string()))? {
                match frame {
                    Frame::Rspro(octets) => {
                        return match Pdu::decode(&octets) {
                            Ok(pdu) => Ok(Next::Message(Box::new(pdu.message))),
                            Err(PduError::Version(version)) => Ok(Next::Unsupported(version)),
                            Err(error) => Err(refused(error.to_string())),
                        };
                    }
                    Frame::Ping => return Ok(Next::Pings(1)),
                    Frame::Pong | Frame::Control(_) => {}
                }
            }
            let (limit, late) = if self.frames.is_within_frame() {
                (answer, "it stopped within a frame")
            } else if is_known {
                (self.limits.idle, "it was silent for too long")
            } else {
                (answer, "it did not say which client it is")
            };
            let read = timeout(limit, self.stream.read(&mut buffer)).await.map_err(|_| timed_out(late))??;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.frames.push(buffer.get(..read).unwrap_or_default());
        }
    }

    async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let sent = timeout(self.limits.answer, self.stream.write_all(octets)).await;
        sent.map_err(|_| timed_out("it does not take its answers"))?
    }
}

/// What a client's task has to do next.
enum Next {
    Message(Box<Message>),
    /// A message of another version than RSPRO's.
    Unsupported(u32),
    /// So many pings are to be answered.
    Pings(usize),
    /// The mappings have changed.
    Remapped,
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use rspro::{BankSlot, ComponentType, ErrorCode, ResultCode, TpduFlags};
    use tokio::net::TcpStream;

    use super::super::{Mappings, identity};
    use super::*;
    use crate::socket::Address;
    use crate::testing::FakeCard;

    /// Where a limit has to pass. A thread that gets no time for as long may miss another one: see [`told_in_time`].
    const QUICK: Limits = Limits { answer: Duration::from_millis(500), idle: IDLE, connections: 64 };
    const CLIENT: ClientSlot = ClientSlot { client: 7, slot: 0 };

    /// What is told of clients while `client` runs.
    async fn told_while<F: Future<Output = ()>>(limits: Limits, client: impl FnOnce(String) -> F) -> Vec<String> {
        let listener = Listener::bind(&"0".parse().unwrap()).await.unwrap();
        let Address::Tcp(address) = listener.address().clone() else { panic!() };
        let bank = Arc::new(Bank::new(1, vec![Box::<FakeCard>::default()], Mappings::ByNumber).unwrap());
        let lines = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&lines);
        let told = move |what: Told| told.borrow_mut().push(what.to_string());
        serve_within(limits, bank, &listener, client(address), told).await;
        lines.take()
    }

    /// What is told of clients that run into a limit: again from the start while the limit struck elsewhere, because this thread got no
    /// time meanwhile. Where a limit does not work it never strikes.
    async fn told_in_time(
        client: impl AsyncFn(String) -> io::Result<()>,
        is_right: impl Fn(&[String]) -> bool,
    ) -> Vec<String> {
        const TRIES: usize = 20;
        let mut told = Vec::new();
        for _ in 0..TRIES {
            let was_served = Cell::new(false);
            told = told_while(QUICK, async |address| was_served.set(client(address).await.is_ok())).await;
            if was_served.get() && is_right(&told) {
                break;
            }
        }
        told
    }

    async fn send(stream: &mut TcpStream, message: Message) -> io::Result<()> {
        stream.write_all(&Pdu::new(message).to_frame()).await
    }

    async fn receive(stream: &mut TcpStream) -> io::Result<Frame> {
        let mut frames = Frames::default();
        loop {
            if let Some(frame) = frames.next().unwrap() {
                return Ok(frame);
            }
            frames.push(&[stream.read_u8().await?]);
        }
    }

    async fn message(stream: &mut TcpStream) -> io::Result<Message> {
        match receive(stream).await? {
            Frame::Rspro(octets) => Ok(Pdu::decode(&octets).unwrap().message),
            other => panic!("{other:?}"),
        }
    }

    fn hello() -> Message {
        Message::ConnectClientReq { identity: identity(ComponentType::CLIENT, "test"), client: Some(CLIENT) }
    }

    async fn connected(address: &str) -> io::Result<TcpStream> {
        welcomed(TcpStream::connect(address).await?).await
    }

    /// The same, with little room for what is not read.
    async fn narrow(address: &str) -> io::Result<TcpStream> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        welcomed(socket.connect(address.parse().unwrap()).await?).await
    }

    async fn welcomed(mut stream: TcpStream) -> io::Result<TcpStream> {
        send(&mut stream, hello()).await?;
        assert!(matches!(message(&mut stream).await?, Message::ConnectClientRes { result: ResultCode::OK, .. }));
        assert!(matches!(message(&mut stream).await?, Message::SetAtrReq { .. }));
        Ok(stream)
    }

    fn read_binary() -> Message {
        let to = BankSlot { bank: 1, slot: 0 };
        Message::TpduModemToCard { from: CLIENT, to, flags: TpduFlags::default(), data: vec![0, 0xB0, 0, 0, 2] }
    }

    #[tokio::test]
    async fn a_client_is_served_and_pinged() {
        let told = told_while(LIMITS, async |address: String| {
            let mut stream = connected(&address).await.unwrap();
            stream.write_all(&Frame::Ping.octets()).await.unwrap();
            assert_eq!(receive(&mut stream).await.unwrap(), Frame::Pong);
            send(&mut stream, read_binary()).await.unwrap();
            let answer = message(&mut stream).await.unwrap();
            assert!(matches!(answer, Message::TpduCardToModem { data, .. } if data == [0, 1, 0x90, 0]));
        })
        .await;
        assert_eq!(told[0], "client 7:0 has the card of slot 0");
    }

    /// A client of another release is told why it is sent away, before it was let in and afterwards.
    #[tokio::test]
    async fn another_version_is_told_of() {
        let mut other = Pdu::new(hello()).to_frame();
        // Behind the frame and the tag of the whole: 80 01 02.
        assert_eq!(other[6..9], [0x80, 1, 2]);
        other[8] = 3;
        let told = told_while(LIMITS, async |address: String| {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(&other).await.unwrap();
            let Message::ConnectClientRes { result, .. } = message(&mut stream).await.unwrap() else { panic!() };
            assert_eq!(result, ResultCode::UNSUPPORTED_PROTOCOL_VERSION);
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
            let mut stream = connected(&address).await.unwrap();
            stream.write_all(&other).await.unwrap();
            let Message::ErrorInd { sender, code, .. } = message(&mut stream).await.unwrap() else { panic!() };
            assert_eq!((sender, code), (ComponentType::BANK, ErrorCode::UNEXPECTED_PROTOCOL_VERSION));
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        })
        .await;
        let why = |line: &&String| line.contains("a message of version 3; this is version 2");
        assert_eq!(told.iter().filter(why).count(), 2, "{told:?}");
    }

    /// None of these keeps a place or a card for long, and the next client is served.
    #[tokio::test]
    async fn what_is_no_client_is_sent_away() {
        let half = &Pdu::new(hello()).to_frame()[..9];
        for (sent, why) in [
            (&b""[..], "did not say which client"),
            (b"GET / HTTP/1.1\r\n\r\n", "a frame of 18245 octets"),
            (&[0xFF, 0xFF, 0xEE], "a frame of 65535 octets"),
            (&[0, 2, 0xEE, 5, 5], "not RSPRO"),
            (&[0, 3, 0xEE, 7, 0x30, 0], "without its version"),
            (&[0, 3, 0xEE, 7, 0x30, 5], "not BER"),
            (half, "stopped within a frame"),
        ] {
            let client = async |address: String| {
                let mut hostile = TcpStream::connect(&address).await?;
                hostile.write_all(sent).await?;
                let mut rest = Vec::new();
                let _ = hostile.read_to_end(&mut rest).await;
                connected(&address).await.map(drop)
            };
            let is_told = |told: &[String]| {
                let is_served = told.iter().any(|line| line == "client 7:0 has the card of slot 0");
                is_served && told.iter().any(|line| line.contains(why))
            };
            let told = told_in_time(client, is_told).await;
            assert!(is_told(&told), "{sent:02X?}: {told:?}");
        }
    }

    #[tokio::test]
    async fn who_never_reads_goes() {
        let client = async |address: String| {
            let mut greedy = narrow(&address).await?;
            let many = Pdu::new(read_binary()).to_frame().repeat(1_000);
            while greedy.write_all(&many).await.is_ok() {}
            let mut pinging = narrow(&address).await?;
            let many = Frame::Ping.octets().repeat(10_000);
            while pinging.write_all(&many).await.is_ok() {}
            Ok(())
        };
        let gone = |told: &[String]| told.iter().filter(|line| line.contains("does not take its answers")).count();
        let told = told_in_time(client, |told| gone(told) == 2).await;
        assert_eq!(gone(&told), 2, "{told:?}");
    }

    #[tokio::test]
    async fn there_are_not_too_many() {
        let told = told_while(Limits { connections: 2, ..LIMITS }, async |address: String| {
            let mut first = connected(&address).await.unwrap();
            let _second = TcpStream::connect(&address).await.unwrap();
            let mut third = TcpStream::connect(&address).await.unwrap();
            assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
            send(&mut first, read_binary()).await.unwrap();
            message(&mut first).await.unwrap();
        })
        .await;
        assert!(told.iter().any(|line| line.contains("2 clients are connected already")), "{told:?}");
    }
}
