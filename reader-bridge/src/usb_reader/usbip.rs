//! A card in a reader that hosts plug in by USB/IP.

use std::io;

use ::usb::ccid::{Identity, Reader};
use ::usb::usbip::{Event, Session};
use apdu::Icc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::hand::{Answer, Move, Moves, NotMoved};
use super::host::{Host, Limits, at, faulty, late};
use super::{Link, Reset};
use crate::socket::{Connection, Listener};

/// How many may be about to say what they want.
const NEWCOMERS: usize = 8;

/// A connection.
struct Client {
    host: Host,
    session: Session,
    /// Until when the rest of a message has to be here.
    limit: Option<Instant>,
    buffer: Box<[u8; 4096]>,
}

/// A client that has said what it wants, or why there is none.
type Newcomer = io::Result<Client>;

impl Client {
    /// Waits until a client has said what it wants.
    async fn introduced(stream: Box<dyn Connection>, limits: Limits) -> Newcomer {
        let (host, session) = (Host::new(stream, limits), Session::default());
        let limit = Some(Instant::now() + limits.greeting);
        let mut client = Self { host, session, limit, buffer: Box::new([0; 4096]) };
        while !client.session.has_request() {
            client.read("it sent no request").await?;
        }
        client.limit = None;
        Ok(client)
    }

    /// Waits for octets of who has the reader; never completes if nobody has.
    async fn read_attached(attached: &mut Option<Self>) -> io::Result<()> {
        match attached {
            Some(client) => client.read("it stopped within a message").await,
            None => std::future::pending().await,
        }
    }

    /// Waits for octets. Nothing is lost if that is given up.
    async fn read(&mut self, what_is_late: &str) -> io::Result<()> {
        let read = tokio::select! {
            // What is here was not late, even if it is only looked at now.
            biased;
            read = self.host.read(&mut *self.buffer) => read?,
            () = at(self.limit) => return Err(late(what_is_late)),
        };
        self.session.receive(self.buffer.get(..read).unwrap_or_default());
        Ok(())
    }
}

/// Serves `card` to clients, one at a time, for as long as it is polled. Others may list the reader meanwhile.
pub(super) async fn serve<C: Icc + ?Sized>(
    limits: Limits,
    card: &mut C,
    listener: &Listener,
    identity: Identity,
    moves: &mut Moves,
    on_link: &mut impl FnMut(Link<'_>),
) {
    let mut reader = Reader::new(identity);
    reader.insert();
    let mut desk = Desk { limits, card, reader, attached: None, held: None, returns: None, on_link };
    let mut newcomers = JoinSet::new();
    loop {
        let return_time = desk.returns.as_ref().map(|(time, _)| *time);
        let held_until = desk.held.as_ref().map(Held::next);
        let outcome = tokio::select! {
            read = Client::read_attached(&mut desk.attached) => match read {
                Ok(()) => desk.hear().await,
                Err(cause) => Err(cause),
            },
            () = at(held_until) => desk.goes_on().await,
            () = at(return_time) => desk.is_back().await,
            (wanted, answer) = moves.next() => desk.move_card(wanted, answer).await,
            Some(newcomer) = newcomers.join_next() => desk.receive(newcomer).await,
            accepted = listener.connection(), if newcomers.len() < NEWCOMERS => {
                match accepted {
                    Ok(stream) => {
                        newcomers.spawn(Client::introduced(stream, limits));
                    }
                    Err(cause) => {
                        (desk.on_link)(Link::Unaccepted(&cause));
                        sleep(limits.pause).await;
                    }
                }
                Ok(())
            }
        };
        if let Err(cause) = outcome {
            desk.leave(&cause);
        }
    }
}

/// The answer of a card that wants it held back.
struct Held {
    until: Instant,
    /// When the host is told to wait for longer.
    extension: Instant,
}

impl Held {
    fn next(&self) -> Instant {
        self.until.min(self.extension)
    }
}

/// The reader, its card, and who has it.
struct Desk<'a, C: ?Sized, F> {
    limits: Limits,
    card: &'a mut C,
    reader: Reader,
    attached: Option<Client>,
    held: Option<Held>,
    /// When a card that is reset is put in again, and who waits for that.
    returns: Option<(Instant, Answer)>,
    on_link: &'a mut F,
}

impl<C: Icc + ?Sized, F: FnMut(Link<'_>)> Desk<'_, C, F> {
    /// Who has the reader is gone, or sent away: the card loses its power, and nothing of this session is left for the next.
    fn leave(&mut self, cause: &io::Error) {
        (self.attached, self.held) = (None, None);
        self.reader.unplug(self.card);
        (self.on_link)(Link::Gone(cause));
    }

    /// Reads what who has the reader sent before: one that has left it does not keep the next one from it.
    async fn catch_up(&mut self) {
        // One that has left has not sent more; one that sends more has not left.
        const READS: usize = 64;
        // For the runtime to learn of what has arrived.
        tokio::task::yield_now().await;
        for _ in 0..READS {
            let read = tokio::select! {
                biased;
                read = Client::read_attached(&mut self.attached) => read,
                () = std::future::ready(()) => return,
            };
            let outcome = match read {
                Ok(()) => self.hear().await,
                Err(cause) => Err(cause),
            };
            if let Err(cause) = outcome {
                self.leave(&cause);
            }
        }
    }

    /// Answers what a client wants. One that has the reader from now on is dealt with as such, whatever it has sent already.
    async fn receive(&mut self, newcomer: Result<Newcomer, tokio::task::JoinError>) -> io::Result<()> {
        // No task fails, or is given up.
        let Ok(newcomer) = newcomer else { return Ok(()) };
        match newcomer {
            Ok(mut client) => {
                self.catch_up().await;
                let mut out = Vec::new();
                let is_busy = self.attached.is_some();
                let event = client.session.step(&mut self.reader, self.card, is_busy, &mut out).map_err(faulty);
                let sent = match event {
                    Ok(event) => client.host.send(&mut out).await.map(|()| event),
                    Err(cause) => Err(cause),
                };
                match sent {
                    Ok(Some(Event::Imported)) => {
                        self.reader.unplug(self.card);
                        self.attached = Some(client);
                        (self.on_link)(Link::Attached);
                        return self.hear().await;
                    }
                    Ok(_) => {}
                    Err(cause) => (self.on_link)(Link::Gone(&cause)),
                }
            }
            Err(cause) => (self.on_link)(Link::Gone(&cause)),
        }
        Ok(())
    }

    /// Deals with all messages that are here of who has the reader.
    async fn hear(&mut self) -> io::Result<()> {
        let Some(client) = &mut self.attached else { return Ok(()) };
        let mut out = Vec::new();
        while let Some(event) = client.session.step(&mut self.reader, self.card, false, &mut out).map_err(faulty)? {
            // The time for a message begins with it.
            client.limit = None;
            if let Event::Exchanged(_) = event {
                let delay = self.card.delay();
                if delay.is_zero() {
                    client.session.release(&mut self.reader, &mut out);
                } else {
                    let now = Instant::now();
                    self.held = Some(Held { until: now + delay, extension: now + self.limits.extension });
                }
            }
            client.host.send(&mut out).await?;
        }
        // One that has the reader may be silent for as long as it likes, but not within a message.
        client.limit = client
            .session
            .is_within_message()
            .then(|| client.limit.unwrap_or_else(|| Instant::now() + self.limits.message));
        Ok(())
    }

    /// The time is over for which an answer is held back, or for which a host waits without a word.
    async fn goes_on(&mut self) -> io::Result<()> {
        let (Some(held), Some(client)) = (&mut self.held, &mut self.attached) else { return Ok(()) };
        let (mut out, now) = (Vec::new(), Instant::now());
        if self.reader.is_withholding() && now < held.until {
            held.extension = now + self.limits.extension;
            client.session.extend_time(&mut self.reader, &mut out);
            return client.host.send(&mut out).await;
        }
        self.held = None;
        client.session.release(&mut self.reader, &mut out);
        client.host.send(&mut out).await?;
        // What it sent meanwhile.
        self.hear().await
    }

    /// Moves the card, and tells who has the reader. A card that is pulled within a command does not answer it.
    async fn move_card(&mut self, wanted: Move, answer: Answer) -> io::Result<()> {
        if let Some(refusal) = self.refusal(wanted) {
            let _ = answer.send(Err(refusal));
            return Ok(());
        }
        match wanted {
            Move::Insert => {
                self.reader.insert();
                (self.on_link)(Link::Inserted);
                let _ = answer.send(Ok(()));
            }
            Move::Pull => {
                self.reader.remove(self.card);
                (self.on_link)(Link::Pulled);
                let _ = answer.send(Ok(()));
            }
            Move::Reset => {
                self.reader.remove(self.card);
                (self.on_link)(Link::Resetting(Reset::ByHand));
                self.returns = Some((Instant::now() + self.limits.absence, answer));
            }
        }
        self.tell_change().await
    }

    /// A card that is reset was out for long enough.
    async fn is_back(&mut self) -> io::Result<()> {
        self.reader.insert();
        (self.on_link)(Link::Inserted);
        if let Some((_, answer)) = self.returns.take() {
            let _ = answer.send(Ok(()));
        }
        self.tell_change().await
    }

    async fn tell_change(&mut self) -> io::Result<()> {
        let Some(client) = &mut self.attached else { return Ok(()) };
        let mut out = Vec::new();
        client.session.deliver(&mut self.reader, &mut out);
        client.host.send(&mut out).await?;
        // What waited for an answer that never comes.
        self.hear().await
    }

    fn refusal(&self, wanted: Move) -> Option<NotMoved> {
        match wanted {
            _ if self.returns.is_some() => Some(NotMoved::Resetting),
            Move::Insert => self.reader.has_card().then_some(NotMoved::AlreadyIn),
            Move::Pull | Move::Reset => (!self.reader.has_card()).then_some(NotMoved::AlreadyOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::testing::FakeCard;
    use crate::usb_reader::host::LIMITS;

    /// Of a transfer that is not there.
    const UNLINK: [u32; 12] = [2, 1, 0x0001_0002, 0, 0, 7, 0, 0, 0, 0, 0, 0];

    /// A client that has said this, and its own end.
    async fn client(said: &[u8]) -> (DuplexStream, Newcomer) {
        let (mut host, stream) = duplex(4096);
        host.write_all(said).await.unwrap();
        (host, Client::introduced(Box::new(stream), LIMITS).await)
    }

    fn import() -> Vec<u8> {
        let mut import = [&[0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0][..], b"1-1"].concat();
        import.resize(40, 0);
        import
    }

    fn desk<'a, F: FnMut(Link<'_>)>(card: &'a mut FakeCard, on_link: &'a mut F) -> Desk<'a, FakeCard, F> {
        let mut reader = Reader::new(Identity::default());
        reader.insert();
        Desk { limits: LIMITS, card, reader, attached: None, held: None, returns: None, on_link }
    }

    /// That the one before has left is known before the next one is answered, also behind more than one read of what it still sent.
    #[tokio::test]
    async fn who_has_left_does_not_keep_the_reader() {
        let (mut card, mut told) = (FakeCard::default(), Vec::new());
        let mut on_link = |link: Link<'_>| told.push(link.to_string());
        let mut desk = desk(&mut card, &mut on_link);
        let (mut first, newcomer) = client(&import()).await;
        desk.receive(Ok(newcomer)).await.unwrap();
        let (mut second, newcomer) = client(&import()).await;
        desk.receive(Ok(newcomer)).await.unwrap();
        let mut refusal = Vec::new();
        second.read_to_end(&mut refusal).await.unwrap();
        assert_eq!(refusal, [0x01, 0x11, 0, 3, 0, 0, 0, 2], "the first one is there");
        first.write_all(&UNLINK.map(u32::to_be_bytes).concat().repeat(80)).await.unwrap();
        drop(first);
        let (mut third, newcomer) = client(&import()).await;
        desk.receive(Ok(newcomer)).await.unwrap();
        let mut reply = [0; 320];
        third.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[..8], [0x01, 0x11, 0, 3, 0, 0, 0, 0]);
        assert!(desk.attached.is_some());
        assert_eq!(told.len(), 3, "{told:?}");
    }

    /// Each message has its own time: a host that goes on without an end is never late.
    #[tokio::test]
    async fn the_clock_begins_anew_with_each_message() {
        let (mut card, mut on_link) = (FakeCard::default(), |_: Link<'_>| {});
        let mut desk = desk(&mut card, &mut on_link);
        let (mut host, newcomer) = client(&import()).await;
        desk.receive(Ok(newcomer)).await.unwrap();
        // GET_STATUS of the device, and the beginning of the next one.
        let status =
            [1, 1, 0x0001_0002, 1, 0, 0, 2, 0, u32::MAX, 0, 0x8000_0000, 0x0000_0200].map(u32::to_be_bytes).concat();
        let (begins, rest) = status.split_at(20);
        host.write_all(begins).await.unwrap();
        let mut limits = Vec::new();
        for _ in 0..3 {
            Client::read_attached(&mut desk.attached).await.unwrap();
            desk.hear().await.unwrap();
            limits.push(desk.attached.as_ref().unwrap().limit.unwrap());
            host.write_all(&[rest, begins].concat()).await.unwrap();
        }
        assert!(limits.is_sorted_by(|one, next| one < next), "{limits:?}");
        // What is no message more does not stop the clock; the end of the last one does.
        Client::read_attached(&mut desk.attached).await.unwrap();
        desk.hear().await.unwrap();
        let limit = desk.attached.as_ref().unwrap().limit;
        for octet in rest {
            assert_eq!(desk.attached.as_ref().unwrap().limit, limit);
            host.write_all(&[*octet]).await.unwrap();
            Client::read_attached(&mut desk.attached).await.unwrap();
            desk.hear().await.unwrap();
        }
        assert_eq!(desk.attached.as_ref().unwrap().limit, None);
    }
}
