//! The card's side of vsmartcard's virtual reader: a card in a PC/SC reader made of software.
//!
//! The reader (`vpcd`, a driver inside pcscd) listens on TCP, 35963 for its first slot and 35964 for its second; a card
//! is a client that connects. Every message is a length, two bytes big-endian, and a body. From the reader a body of
//! one byte is a control: [`POWER_OFF`], [`POWER_ON`], [`RESET`] (no answer), [`GET_ATR`] (answered by the answer to
//! reset). Any other body is a command APDU, answered by its response APDU.
//!
//! A command of one byte from a host looks like a control. What is no control is answered as a command too short; what is
//! one leaves the reader waiting for an answer that a control does not have, and with it every program that uses the reader.
//! The reader of pcscd looks at its card every 0.4 s; when it does not, after a control, the card is taken out and put in
//! again, which ends that wait.
//!
//! The reader looks only whether *a* card is there. If a command finds the connection gone, and another one is made
//! before the next look, it takes the card for the one before: it gives it no power, and its hosts see no change.
//! A card that is used or looked at without ever having been given power stays away long enough to be missed.
//!
//! The reader sends length and body in two writes. Its kernel holds the second back until the first is acknowledged,
//! and ours delays that acknowledgement by 40 ms to save a packet. Asking for quick acknowledgements
//! (`TCP_QUICKACK`), which the kernel forgets again and again, before *every* read lifts this from 20 commands a second
//! to thousands.

pub(crate) mod frames;

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use apdu::Icc;
use frames::{Frames, hold_back, respond, seal};
use tokio::net::TcpStream;

/// The port of the reader's first slot; the second slot has the next one.
pub const DEFAULT_PORT: u16 = 35963;

/// The reader takes the power away.
pub const POWER_OFF: u8 = 0;
/// The reader gives power: a cold reset.
pub const POWER_ON: u8 = 1;
/// The reader resets the card warm.
pub const RESET: u8 = 2;
/// The reader asks for the answer to reset.
pub const GET_ATR: u8 = 4;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a reader that was reached may be silent: it looks at a new card at once.
const SILENCE: Duration = Duration::from_secs(3);
/// How long a card stays away that is to be missed: three looks of pcscd.
const ABSENCE: Duration = Duration::from_millis(1200);
/// So many looks at a card without giving it power: the reader takes it for one that has it.
const LOOKS: u8 = 3;

/// Why a card was taken out of a reader that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The reader uses the card and never gave it power: it takes it for the one before.
    Unpowered,
    /// The reader looks at the card again and again, and does not any more since a control: a host sent the control as a
    /// command, and the reader waits for its answer.
    Stuck,
    /// The card did not answer a command. The reader would wait for it without end, and its host too.
    Silent,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpowered => "the reader did not notice that the card was changed",
            Self::Stuck => "the reader waits for the answer to a command of one octet that is none",
            Self::Silent => "the card did not answer a command, and its reader has no time limit",
        })
    }
}

/// What happens to the connection between card and reader.
#[derive(Debug)]
pub enum Link<'a> {
    /// The card is in the slot: the reader has turned to it.
    Inserted,
    /// The reader has given the card power and has its answer to reset: hosts can use it.
    Powered,
    /// The reader was reached and says nothing. It does when another card is in the slot, and turns to this one when that
    /// is taken out.
    Unanswered,
    /// The reader is not there (yet, or any more); the card tries again after `pause`.
    Waiting {
        /// What went wrong.
        cause: &'a io::Error,
        /// Time until the next try.
        pause: Duration,
    },
    /// The reader was wrong about the card, which is out for a moment so that it is noticed.
    Reinserting {
        /// What was wrong.
        why: Lost,
        /// Time until it is in again.
        pause: Duration,
    },
    /// The card was taken out of the slot.
    Ejected,
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inserted => f.write_str("card inserted"),
            Self::Powered => f.write_str("card powered"),
            Self::Unanswered => f.write_str(
                "the reader does not answer; if another card is in this slot, take it out or choose another slot",
            ),
            Self::Waiting { cause, .. } => write!(f, "{}; the card tries again", no_reader(cause)),
            Self::Reinserting { why, pause } => {
                write!(f, "{why}; the card is taken out for {pause:?} and inserted anew")
            }
            Self::Ejected => f.write_str("card ejected"),
        }
    }
}

/// Why there is no reader for a card, and the way out.
pub fn no_reader(cause: &io::Error) -> String {
    // A reader that listens and accepts no connection has a card already.
    if cause.kind() == io::ErrorKind::TimedOut {
        return "the reader takes no card here; if another card is in this slot, take it out or choose another slot"
            .to_owned();
    }
    format!("no reader ({cause}); {}", crate::reader_error::find_slot())
}

/// Keeps `card` in the slot at `address` (`HOST:PORT`) until `shutdown` completes, then ejects it.
///
/// When the reader disconnects, as with a restart of pcscd, the card loses power and is inserted again as soon as the
/// reader is back. `on_link` is called at every insertion, wait and ejection; to see the commands, wrap the card in a
/// [`Tracer`](crate::trace::Tracer). One call serves one slot; several can run in one process.
pub async fn serve<C, S>(card: &mut C, address: &str, shutdown: S, mut on_link: impl FnMut(Link<'_>))
where
    C: Icc + ?Sized,
    S: Future<Output = ()>,
{
    let mut is_in = false;
    let stay = async {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let end = match connect(address).await {
                Ok(mut slot) => match greeted(&mut slot, &mut on_link).await {
                    Ok(()) => {
                        is_in = true;
                        on_link(Link::Inserted);
                        let end = attend(card, &mut slot, &mut on_link).await;
                        card.power_off();
                        is_in = false;
                        // A reader that has closed the connection looks for its card later, and would find the next one.
                        pause = ABSENCE;
                        end
                    }
                    Err(cause) => End::Gone(cause),
                },
                Err(cause) => End::Gone(cause),
            };
            match &end {
                End::Gone(cause) => on_link(Link::Waiting { cause, pause }),
                End::Lost(why) => on_link(Link::Reinserting { why: *why, pause }),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::select! {
        biased;
        () = shutdown => {}
        () = stay => {}
    }
    if is_in {
        card.power_off();
        on_link(Link::Ejected);
    }
}

async fn connect(address: &str) -> io::Result<Frames> {
    let unnamed = |_| io::Error::new(io::ErrorKind::NotFound, "the name of its host is not resolved");
    let found = tokio::time::timeout(LONGEST_PAUSE, tokio::net::lookup_host(address)).await.map_err(unnamed)??;
    let found: Vec<_> = found.collect();
    let stream = tokio::time::timeout(LONGEST_PAUSE, TcpStream::connect(found.as_slice())).await??;
    Frames::over_tcp(stream)
}

/// Waits for the reader's first word, however long that takes; tells if it is long in coming.
async fn greeted(slot: &mut Frames, on_link: &mut impl FnMut(Link<'_>)) -> io::Result<()> {
    if let Ok(arrived) = tokio::time::timeout(SILENCE, slot.arrival()).await {
        return arrived;
    }
    on_link(Link::Unanswered);
    slot.arrival().await
}

/// How a connection ended.
enum End {
    /// The reader is not there.
    Gone(io::Error),
    /// It is there, and wrong about the card.
    Lost(Lost),
}

impl From<io::Error> for End {
    fn from(cause: io::Error) -> Self {
        Self::Gone(cause)
    }
}

/// Answers the reader until it disconnects or has to be left, and returns why it ended.
async fn attend<C: Icc + ?Sized>(card: &mut C, slot: &mut Frames, on_link: &mut impl FnMut(Link<'_>)) -> End {
    let mut answer = Vec::with_capacity(512);
    let mut reader = Reader::default();
    let mut is_told = false;
    loop {
        match exchange(card, slot, &mut reader, &mut answer).await {
            Ok(()) => {}
            Err(end) => return end,
        }
        if reader.power == Power::Answered && !is_told {
            is_told = true;
            on_link(Link::Powered);
        }
    }
}

/// One message from the reader, and its answer.
async fn exchange<C: Icc + ?Sized>(
    card: &mut C,
    slot: &mut Frames,
    reader: &mut Reader,
    answer: &mut Vec<u8>,
) -> Result<(), End> {
    if reader.owes_a_look() {
        tokio::time::timeout(SILENCE, slot.arrival()).await.map_err(|_| End::Lost(Lost::Stuck))??;
    }
    let message = slot.receive().await?;
    reader.said(message).map_err(End::Lost)?;
    answer.clear();
    answer.extend([0, 0]);
    if respond(card, message, answer) {
        if answer.len() == 2 {
            return Err(End::Lost(Lost::Silent));
        }
        seal(answer);
        hold_back(card).await;
        slot.send(answer).await?;
    }
    Ok(())
}

/// How far a reader has got with a card that it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Power {
    /// It has not given it power yet.
    #[default]
    Never,
    /// It has.
    Given,
    /// And it has the answer to reset, or uses the card.
    Answered,
}

/// What the reader has shown of itself on one connection.
#[derive(Debug, Default)]
struct Reader {
    /// What it has given the card, and got.
    power: Power,
    /// Looks at the card before that.
    looks: u8,
    /// It looks at the card unasked, as pcscd's does, and will look again.
    polls: bool,
    /// Its last message was a control that has no answer.
    controlled: bool,
}

impl Reader {
    /// Whether something has to follow.
    const fn owes_a_look(&self) -> bool {
        self.controlled && self.polls
    }

    /// Takes notice of a message; fails if the reader has lost track of its card.
    fn said(&mut self, message: &[u8]) -> Result<(), Lost> {
        let controlled = std::mem::replace(&mut self.controlled, matches!(message, [POWER_OFF | POWER_ON | RESET]));
        match message {
            [POWER_ON | RESET] if self.power == Power::Never => self.power = Power::Given,
            [POWER_OFF | POWER_ON | RESET] => {}
            [GET_ATR] => {
                self.polls |= !controlled;
                self.looks = self.looks.saturating_add(u8::from(!controlled));
                match self.power {
                    Power::Never if !controlled && self.looks > LOOKS => return Err(Lost::Unpowered),
                    Power::Never => {}
                    Power::Given | Power::Answered => self.power = Power::Answered,
                }
            }
            _ if self.power == Power::Never => return Err(Lost::Unpowered),
            _ => self.power = Power::Answered,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::testing::FakeCard;

    async fn reader() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    async fn ask(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len()).unwrap();
        stream.write_all(&length.to_be_bytes()).await.unwrap();
        stream.write_all(message).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut body = vec![0; length.into()];
        stream.read_exact(&mut body).await.unwrap();
        body
    }

    #[tokio::test]
    async fn a_reader_is_served_until_shutdown() {
        let (listener, address) = reader().await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut card = FakeCard::default();
        let mut links = Vec::new();
        let reader = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[0, 1, POWER_ON, 0, 1, RESET]).await.unwrap();
            assert_eq!(ask(&mut stream, &[GET_ATR]).await, FakeCard::ATR);
            assert_eq!(ask(&mut stream, &[0, 0xB0, 0, 0, 2]).await, [0, 1, 0x90, 0]);
            assert_eq!(ask(&mut stream, &[0, 0xB0, 0, 0, 0]).await.len(), 258);
            assert_eq!(ask(&mut stream, &[]).await, [0x67, 0x00], "an empty message is answered");
            assert_eq!(ask(&mut stream, &vec![1; 65_535]).await, [0x90, 0], "the longest message");
            for octet in [3, 5, 0x80, 0xFF] {
                assert_eq!(ask(&mut stream, &[octet]).await, [0x67, 0x00], "{octet:02X} is no control");
            }
            stream.write_all(&[0, 1, POWER_OFF]).await.unwrap();
            assert_eq!(ask(&mut stream, &[GET_ATR]).await, FakeCard::ATR);
            stop.send(()).unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "ejected");
        };
        let card_side =
            serve(&mut card, &address, async { stopped.await.unwrap() }, |link| links.push(link.to_string()));
        tokio::join!(card_side, reader);
        assert_eq!(links, ["card inserted", "card powered", "card ejected"]);
        assert_eq!(card.log.first().map(String::as_str), Some("power on"));
        assert_eq!(card.log.get(1).map(String::as_str), Some("warm reset"));
        assert_eq!(card.log.iter().filter(|entry| *entry == "power off").count(), 2);
    }

    #[tokio::test]
    async fn a_slot_with_another_card_in_it_is_told() {
        let (listener, address) = reader().await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (waiting, waits) = tokio::sync::oneshot::channel::<()>();
        let (mut card, mut links, mut waiting) = (FakeCard::default(), Vec::new(), Some(waiting));
        let reader = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            waits.await.unwrap();
            stream.write_all(&[0, 1, POWER_ON]).await.unwrap();
            assert_eq!(ask(&mut stream, &[GET_ATR]).await, FakeCard::ATR, "the other card is gone");
            stop.send(()).unwrap();
        };
        let told = |link: Link<'_>| {
            if matches!(link, Link::Unanswered) {
                waiting.take().unwrap().send(()).unwrap();
            }
            links.push(format!("{link:?}"));
        };
        let card_side = serve(&mut card, &address, async { stopped.await.unwrap() }, told);
        tokio::join!(card_side, reader);
        assert_eq!(links, ["Unanswered", "Inserted", "Powered", "Ejected"]);
    }

    #[tokio::test]
    async fn the_card_comes_back_when_the_reader_does() {
        let (listener, address) = reader().await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut card = FakeCard::default();
        let mut links = Vec::new();
        let reader = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[0, 1, POWER_ON, 0]).await.unwrap();
            drop(stream);
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[0, 1, POWER_ON]).await.unwrap();
            assert_eq!(ask(&mut stream, &[0, 0xA4, 0, 4]).await, [0x90, 0]);
            stop.send(()).unwrap();
        };
        let card_side =
            serve(&mut card, &address, async { stopped.await.unwrap() }, |link| links.push(format!("{link:?}")));
        tokio::join!(card_side, reader);
        // The reader may have closed the connection for a command that did not get through; it has to miss the card.
        assert!(links.iter().any(|link| link.starts_with("Waiting") && link.contains("1.2s")), "{links:?}");
        assert!(card.log.contains(&"power off".to_owned()));
    }

    #[tokio::test]
    async fn two_cards_in_one_process() {
        let (first_slot, first_address) = reader().await;
        let (second_slot, second_address) = reader().await;
        let (mut first, mut second) = (FakeCard::default(), FakeCard::default());
        let (stop, stopped) = tokio::sync::watch::channel(());
        let wait = |mut stopped: tokio::sync::watch::Receiver<()>| async move {
            let _ = stopped.changed().await;
        };
        let readers = async {
            for (slot, command) in [(&first_slot, [0, 0xA4, 0, 1]), (&second_slot, [0, 0xA4, 0, 2])] {
                let (mut stream, _) = slot.accept().await.unwrap();
                stream.write_all(&[0, 1, POWER_ON]).await.unwrap();
                assert_eq!(ask(&mut stream, &command).await, [0x90, 0]);
            }
            stop.send(()).unwrap();
        };
        tokio::join!(
            serve(&mut first, &first_address, wait(stopped.clone()), |_| {}),
            serve(&mut second, &second_address, wait(stopped), |_| {}),
            readers
        );
        assert!(first.log.contains(&"00A40001".into()) && second.log.contains(&"00A40002".into()));
    }

    /// What a reader says first, and whether the card is missed then.
    #[tokio::test]
    async fn a_reader_that_takes_the_card_for_another_one_misses_it() {
        for first in [&[0, 5, 0, 0xA4, 0, 4, 0][..], &[0, 1, 0xFF], &[0, 0], &[0, 1, POWER_OFF, 0, 1, 0x80]] {
            let (listener, address) = reader().await;
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let (mut card, mut links) = (FakeCard::default(), Vec::new());
            let reader = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_eq!(ask(&mut stream, &[GET_ATR]).await, FakeCard::ATR, "a look");
                stream.write_all(first).await.unwrap();
                assert_eq!(stream.read(&mut [0]).await.unwrap_or_default(), 0, "no answer: {first:?}");
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(&[0, 1, POWER_ON]).await.unwrap();
                assert_eq!(ask(&mut stream, &[0, 0xA4, 0, 4]).await, [0x90, 0]);
                stop.send(()).unwrap();
            };
            let card_side =
                serve(&mut card, &address, async { stopped.await.unwrap() }, |link| links.push(format!("{link:?}")));
            tokio::join!(card_side, reader);
            assert_eq!(
                links,
                ["Inserted", "Reinserting { why: Unpowered, pause: 1.2s }", "Inserted", "Powered", "Ejected"],
                "{first:?}"
            );
            assert!(!card.log.contains(&"00A4000400".to_owned()), "no command without power");
        }
    }

    #[test]
    fn looks_without_power_are_counted_until_power_comes() {
        let mut reader = Reader::default();
        for _ in 0..LOOKS {
            assert_eq!(reader.said(&[GET_ATR]), Ok(()));
        }
        assert_eq!(reader.said(&[GET_ATR]), Err(Lost::Unpowered));
        // As pcscd inserts a card: a look, power, the answer to reset, looks for ever.
        let mut reader = Reader::default();
        for message in [GET_ATR, POWER_ON].into_iter().chain([GET_ATR; 20]) {
            assert_eq!(reader.said(&[message]), Ok(()));
        }
        assert_eq!(reader.said(&[0, 0xA4, 0, 4]), Ok(()));
        assert_eq!(reader.said(&[POWER_OFF]), Ok(()));
        assert!(reader.owes_a_look());
        assert_eq!(reader.said(&[GET_ATR]), Ok(()));
        assert!(!reader.owes_a_look());
    }

    /// A reader that does not look unasked may be silent as long as it likes.
    #[test]
    fn only_a_reader_that_looks_unasked_owes_a_look() {
        let mut reader = Reader::default();
        for message in [POWER_ON, GET_ATR, RESET, GET_ATR, POWER_OFF] {
            assert_eq!(reader.said(&[message]), Ok(()));
        }
        assert!(!reader.owes_a_look());
    }

    #[tokio::test]
    async fn a_reader_that_waits_for_the_answer_to_a_control_is_freed() {
        let freed = |control: u8| async move {
            let (mut near, far) = connected().await;
            let (mut card, mut slot) = (FakeCard::default(), Frames::over_tcp(far).unwrap());
            let reader = async {
                for message in [GET_ATR, POWER_ON, GET_ATR, control] {
                    near.write_all(&[0, 1, message]).await.unwrap();
                }
            };
            let mut untold = |_: Link<'_>| {};
            let (end, ()) = tokio::join!(attend(&mut card, &mut slot, &mut untold), reader);
            assert!(matches!(end, End::Lost(Lost::Stuck)), "{control}");
        };
        tokio::join!(freed(POWER_OFF), freed(POWER_ON), freed(RESET));
    }

    async fn connected() -> (TcpStream, TcpStream) {
        let (listener, address) = reader().await;
        let (near, far) = tokio::join!(TcpStream::connect(&address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }
}
