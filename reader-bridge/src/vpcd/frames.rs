//! Messages of a length and a body on a stream: cut, answered by a card, sent.

use std::io;
use std::time::Duration;

use apdu::Icc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{GET_ATR, POWER_OFF, POWER_ON, RESET};

/// Carries one message to the card; `true` if what it appended to `answer` is to be sent.
pub(crate) fn respond<C: Icc + ?Sized>(card: &mut C, message: &[u8], answer: &mut Vec<u8>) -> bool {
    match message {
        [POWER_OFF] => {
            card.power_off();
            return false;
        }
        [POWER_ON] => {
            card.power_on();
            return false;
        }
        [RESET] => {
            card.warm_reset();
            return false;
        }
        [GET_ATR] => answer.extend(card.atr()),
        // No command is that short, and the reader waits for an answer.
        [] | [_] => answer.extend(apdu::StatusWord::WRONG_LENGTH.0.to_be_bytes()),
        command => card.transmit(command, answer),
    }
    true
}

/// Waits for as long as the card wants its response held back.
pub(crate) async fn hold_back<C: Icc + ?Sized>(card: &mut C) {
    let delay = card.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// Writes the length into the two bytes kept free at the front.
pub(crate) fn seal(answer: &mut Vec<u8>) {
    let mut length = answer.len().saturating_sub(2);
    if length > usize::from(u16::MAX) {
        // No response may be longer than 65,538 bytes, and a message holds three fewer.
        answer.truncate(2);
        answer.extend(apdu::StatusWord::TECHNICAL_PROBLEM.0.to_be_bytes());
        length = 2;
    }
    if let (Some(front), Ok(length)) = (answer.first_chunk_mut::<2>(), u16::try_from(length)) {
        *front = length.to_be_bytes();
    }
}

/// An idle connection is probed after a minute.
const KEEPALIVE: socket2::TcpKeepalive =
    socket2::TcpKeepalive::new().with_time(Duration::from_mins(1)).with_interval(Duration::from_secs(20));

/// Sends without the delays that are for large transfers; another end that has vanished without a word is noticed.
pub(crate) fn at_once(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE)
}

/// What messages travel on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The card's end of one connection: a stream and the bytes that arrived and are not used yet.
pub(crate) struct Frames {
    stream: Box<dyn Stream>,
    #[cfg(target_os = "linux")]
    quick: Option<std::net::TcpStream>,
    inbox: Inbox,
}

impl Frames {
    /// Over TCP, without the delays that are for large transfers. Another end that has vanished without a word is noticed.
    pub(crate) fn over_tcp(stream: TcpStream) -> io::Result<Self> {
        at_once(&stream)?;
        #[cfg(target_os = "linux")]
        {
            // A second handle on the same socket: the option is set through std, the data flows through tokio.
            let stream = stream.into_std()?;
            let quick = Some(stream.try_clone()?);
            let stream = Box::new(TcpStream::from_std(stream)?);
            Ok(Self { stream, quick, inbox: Inbox::new() })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Self { stream: Box::new(stream), inbox: Inbox::new() })
    }

    /// Over a stream that delays nothing.
    #[cfg(unix)]
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            #[cfg(target_os = "linux")]
            quick: None,
            inbox: Inbox::new(),
        }
    }

    /// Sends what [`seal`] has given its length.
    pub(crate) async fn send(&mut self, sealed: &[u8]) -> io::Result<()> {
        self.stream.write_all(sealed).await
    }

    /// The body of the next message.
    pub(crate) async fn receive(&mut self) -> io::Result<&[u8]> {
        self.arrival().await?;
        Ok(self.inbox.take())
    }

    /// Whether a message, or its beginning, is here.
    pub(crate) const fn has_begun(&self) -> bool {
        self.inbox.end > self.inbox.start
    }

    /// Waits for more of a message than is here. Nothing is lost if that is given up.
    pub(crate) async fn progress(&mut self) -> io::Result<()> {
        self.acknowledge_quickly();
        if self.stream.read(self.inbox.space()).await.map(|count| self.inbox.filled(count))? == 0 {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the other end closed the connection"));
        }
        Ok(())
    }

    /// Waits until a message is here. Nothing is lost if that is given up.
    pub(crate) async fn arrival(&mut self) -> io::Result<()> {
        while !self.inbox.holds_message() {
            self.progress().await?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn acknowledge_quickly(&self) {
        use std::os::linux::net::TcpStreamExt;
        // Without it the exchange is slow, not wrong.
        let _ = self.quick.as_ref().map(|quick| quick.set_quickack(true));
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "the option is Linux's own")]
    fn acknowledge_quickly(&self) {}
}

/// Bytes received, cut into messages. Large enough for the longest message, so any length is a good one.
struct Inbox {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Inbox {
    const CAPACITY: usize = 2 + u16::MAX as usize;

    fn new() -> Self {
        Self { bytes: vec![0; Self::CAPACITY].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Bytes of the message at the front, with its length field; `None` if that field is not there yet.
    fn front_length(&self) -> Option<usize> {
        let length = self.bytes.get(self.start..self.end)?.first_chunk::<2>()?;
        Some(2 + usize::from(u16::from_be_bytes(*length)))
    }

    fn holds_message(&self) -> bool {
        self.front_length().is_some_and(|length| self.end - self.start >= length)
    }

    /// Room behind what has arrived. Never empty while the message at the front is incomplete.
    fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Notes that `count` bytes of [`Inbox::space`] were filled.
    fn filled(&mut self, count: usize) -> usize {
        self.end = (self.end + count).min(Self::CAPACITY);
        count
    }

    /// Takes the message at the front, empty if it is incomplete.
    fn take(&mut self) -> &[u8] {
        let from = self.start + 2;
        let to = self.start + self.front_length().unwrap_or(2);
        self.start = to;
        self.bytes.get(from..to).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_wherever_the_network_cuts() {
        let stream = [0, 3, 1, 2, 3, 0, 0, 0, 1, 9];
        for cut in 1..stream.len() {
            let mut inbox = Inbox::new();
            let mut messages = Vec::new();
            for part in stream.chunks(cut) {
                inbox.space()[..part.len()].copy_from_slice(part);
                inbox.filled(part.len());
                while inbox.holds_message() {
                    messages.push(inbox.take().to_vec());
                }
            }
            assert_eq!(messages, [vec![1, 2, 3], vec![], vec![9]], "cut at {cut}");
        }
    }

    /// A host that lost its power holds no card.
    #[tokio::test]
    async fn a_vanished_end_is_looked_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!socket2::SockRef::from(&stream).keepalive().unwrap());
        let other = listener.accept().await.unwrap().0.into_std().unwrap();
        let _frames = Frames::over_tcp(TcpStream::from_std(other.try_clone().unwrap()).unwrap()).unwrap();
        assert!(socket2::SockRef::from(&other).keepalive().unwrap());
    }

    #[test]
    fn a_response_too_long_for_a_message_is_a_technical_problem() {
        let mut answer = vec![0; 2 + 65_536];
        seal(&mut answer);
        assert_eq!(answer, [0, 2, 0x6F, 0]);
    }
}
