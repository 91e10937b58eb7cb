//! A bank at its server, which says which client gets which card.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rspro::{ComponentType, Frame, Frames, Message, Pdu, ResultCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::bank::Bank;
use super::{ANSWER, PING};

/// Between two tries to reach the server.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];

/// What happens between a bank and its server.
#[derive(Debug)]
pub enum Link {
    /// The server knows the bank.
    Registered,
    /// It asked for something, in words.
    Asked(String),
    /// It is gone, or refuses the bank: why. It is tried again; clients keep their cards.
    Lost(io::Error),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered => f.write_str("the server knows the bank"),
            Self::Asked(what) => f.write_str(what),
            Self::Lost(why) => write!(f, "no server: {why}"),
        }
    }
}

/// Does what the server at `address` (`HOST:PORT`) says, for as long as this is polled; connects anew whenever that ends.
pub async fn follow(bank: Arc<Bank>, address: String, mut told: impl FnMut(Link)) {
    let mut tries = 0_usize;
    loop {
        let mut is_registered = false;
        let end = session(&bank, &address, |link| {
            is_registered |= matches!(link, Link::Registered);
            told(link);
        })
        .await;
        if is_registered {
            tries = 0;
        }
        // The same refusal again and again is told once.
        if tries == 0 {
            told(Link::Lost(end));
        }
        sleep(PAUSES.get(tries).copied().unwrap_or(Duration::from_secs(10))).await;
        tries = (tries + 1).min(PAUSES.len());
    }
}

/// One connection, until it ends: why.
async fn session(bank: &Bank, address: &str, told: impl FnMut(Link)) -> io::Error {
    exchange(bank, address, told).await.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn exchange(bank: &Bank, address: &str, mut told: impl FnMut(Link)) -> io::Result<()> {
    let late = |what: &str| io::Error::new(io::ErrorKind::TimedOut, format!("{address} {what}"));
    let refused = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let connect = timeout(ANSWER, TcpStream::connect(address)).await.map_err(|_| late("does not answer"))?;
    let mut stream = connect.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
    stream.set_nodelay(true)?;
    let (identity, number, slots) = (bank.identity().clone(), bank.number(), bank.slots());
    send(&mut stream, Message::ConnectBankReq { identity, bank: number, slots }).await?;
    let (mut frames, mut buffer) = (Frames::default(), [0; 1024]);
    let mut is_registered = false;
    let mut deadline = Instant::now() + ANSWER;
    let mut is_pinged = false;
    loop {
        while let Some(frame) = frames.next().map_err(|error| refused(format!("{address} sent {error}")))? {
            let octets = match frame {
                Frame::Ping => {
                    write(&mut stream, &Frame::Pong.octets()).await?;
                    continue;
                }
                Frame::Pong | Frame::Control(_) => continue,
                Frame::Rspro(octets) => octets,
            };
            let pdu = Pdu::decode(&octets).map_err(|error| refused(format!("{address} sent {error}")))?;
            match pdu.message {
                Message::ConnectBankRes { identity, .. } if identity.component != ComponentType::SERVER => {
                    return Err(refused(format!("{address} is no server: it says it is {}", identity.component)));
                }
                Message::ConnectBankRes { result: ResultCode::OK, .. } => {
                    is_registered = true;
                    told(Link::Registered);
                }
                Message::ConnectBankRes { result, .. } => {
                    return Err(refused(format!("{address} refuses bank {number}: {result}")));
                }
                message => {
                    if let Some(answer) = bank.obey(&message) {
                        told(Link::Asked(asked(&message, &answer)));
                        write(&mut stream, &Pdu { tag: pdu.tag, message: answer }.to_frame()).await?;
                    }
                }
            }
        }
        match timeout_at(deadline, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => return Err(refused(format!("{address} has closed the connection"))),
            Ok(read) => {
                frames.push(buffer.get(..read?).unwrap_or_default());
                if is_registered {
                    (deadline, is_pinged) = (Instant::now() + PING, false);
                }
            }
            Err(_) if !is_registered => return Err(late("does not answer")),
            Err(_) if is_pinged => return Err(late("does not answer any more")),
            Err(_) => {
                write(&mut stream, &Frame::Ping.octets()).await?;
                (deadline, is_pinged) = (Instant::now() + ANSWER, true);
            }
        }
    }
}

fn asked(request: &Message, answer: &Message) -> String {
    let what = match request {
        Message::CreateMappingReq { client, bank } => format!("slot {bank} is for client {client}"),
        Message::RemoveMappingReq { client, bank } => format!("slot {bank} is not for client {client} any more"),
        _ => "no slot is for any client".to_owned(),
    };
    match answer {
        Message::CreateMappingRes(ResultCode::OK)
        | Message::RemoveMappingRes(ResultCode::OK)
        | Message::ResetStateRes(ResultCode::OK) => what,
        Message::CreateMappingRes(code) | Message::RemoveMappingRes(code) => format!("refused that {what}: {code}"),
        _ => what,
    }
}

async fn send(stream: &mut TcpStream, message: Message) -> io::Result<()> {
    write(stream, &Pdu::new(message).to_frame()).await
}

async fn write(stream: &mut TcpStream, octets: &[u8]) -> io::Result<()> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the server does not take its answers");
    timeout(ANSWER, stream.write_all(octets)).await.map_err(|_| late())?
}
