//! A host at the other end of a connection, and how long it may take.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use crate::socket::Connection;

/// How long hosts may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until one has shown what it is.
    pub(super) greeting: Duration,
    /// For the rest of a message that has begun.
    pub(super) message: Duration,
    /// Until an answer is taken.
    pub(super) taking: Duration,
    /// Until QEMU has answered an insertion or a removal.
    pub(super) reply: Duration,
    /// After a change of the enabled profile: without a command for so long, the host has done what belongs to it.
    pub(super) quiet: Duration,
    /// The same, whatever it does; within something that a reset would break, without a command for so long.
    pub(super) longest_quiet: Duration,
    /// Between two words to a host that waits for the answer of a slow card.
    pub(super) extension: Duration,
    /// How long a card that is reset stays out.
    pub(super) absence: Duration,
    /// Between two tries to connect or to accept.
    pub(super) pause: Duration,
}

pub(super) const LIMITS: Limits = Limits {
    greeting: Duration::from_secs(10),
    message: Duration::from_secs(10),
    taking: Duration::from_secs(10),
    reply: Duration::from_secs(10),
    quiet: Duration::from_secs(1),
    longest_quiet: Duration::from_secs(10),
    extension: Duration::from_secs(1),
    absence: super::ABSENCE,
    pause: Duration::from_millis(500),
};

/// A connection to one.
pub(super) struct Host {
    stream: Box<dyn Connection>,
    taking: Duration,
}

impl Host {
    pub(super) fn new(stream: Box<dyn Connection>, limits: Limits) -> Self {
        Self { stream, taking: limits.taking }
    }

    /// Waits for octets. Nothing is lost if that is given up.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection")),
            read => Ok(read),
        }
    }

    /// Sends what is in `out`, in one piece, and empties it.
    pub(super) async fn send(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let sent = timeout(self.taking, self.stream.write_all(out)).await;
        out.clear();
        sent.unwrap_or_else(|_| Err(late("it does not take its answers")))
    }
}

pub(super) fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what.to_owned())
}

pub(super) fn faulty(fault: usb::Fault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// Completes then; never if there is no such time.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
