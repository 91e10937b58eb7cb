//! A card in QEMU's `ccid-card-passthru`.

use std::io;
use std::pin::pin;

use ::usb::refresh::Watch;
use ::usb::vscard::{Event, Session};
use apdu::Icc;
use tokio::time::{Instant, sleep};

use super::hand::{Answer, Move, Moves, NotMoved};
use super::host::{Host, Limits, at, faulty, late};
use super::{Link, Reset};
use crate::socket::{Address, Connection, Listener, connect};
use crate::vpcd::frames::hold_back;

/// How card and QEMU find each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way<'a> {
    Accepting(&'a Listener),
    Connecting(&'a Address),
}

impl Way<'_> {
    async fn next(self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Accepting(listener) => listener.connection().await,
            Self::Connecting(address) => connect(address).await,
        }
    }
}

/// Serves `card` to one QEMU after the other, for as long as it is polled.
pub(super) async fn serve<C: Icc + ?Sized>(
    limits: Limits,
    card: &mut C,
    way: Way<'_>,
    moves: &mut Moves,
    keeps_card: bool,
    on_link: &mut impl FnMut(Link<'_>),
) {
    let mut seat = Seat::new(limits, keeps_card);
    loop {
        // One connection is tried for, whatever is done by hand meanwhile: none that is there is dropped.
        let mut finding = pin!(way.next());
        let found = loop {
            tokio::select! {
                found = &mut finding => break found,
                (wanted, answer) = moves.next() => seat.move_without_host(wanted, answer, on_link),
                () = at(seat.returns) => seat.is_back(),
            }
        };
        match found {
            Ok(stream) => {
                let mut host = Host::new(stream, limits);
                let end = seat.attend(card, &mut host, moves, on_link).await;
                card.power_off();
                seat.begins_anew();
                on_link(Link::Gone(&end));
            }
            Err(cause) => on_link(match way {
                Way::Accepting(_) => Link::Unaccepted(&cause),
                Way::Connecting(_) => Link::Waiting(&cause),
            }),
        }
        // A QEMU that listens and sends its caller away is not asked in a hurry; one that connects anew is not kept waiting.
        if matches!(way, Way::Connecting(_)) {
            sleep(limits.pause).await;
        }
    }
}

/// What of a card in a reader outlives a connection.
struct Seat {
    limits: Limits,
    keeps_card: bool,
    /// Whether the card belongs into the reader.
    is_in: bool,
    /// When a card that is reset is put in again, and who waits for that.
    returns: Option<Instant>,
    resetting: Option<Answer>,
    watch: Watch,
    /// When the card is to be reset: after a while without commands, and at the latest.
    due: Option<(Instant, Instant)>,
    clocks: Clocks,
}

/// Since when QEMU has owed something.
#[derive(Debug, Default)]
struct Clocks {
    /// The rest of the message that has begun.
    message: Option<Instant>,
    /// Its answer to the oldest insertion or removal.
    reply: Option<Instant>,
}

impl Clocks {
    fn look(&mut self, session: &Session) {
        let now = Instant::now();
        self.message = session.is_within_message().then(|| self.message.unwrap_or(now));
        self.reply = (!session.is_settled()).then(|| self.reply.unwrap_or(now));
    }

    /// A message has come: the next one has its own time.
    const fn restart(&mut self, event: &Event) {
        self.message = None;
        if matches!(event, Event::Attached | Event::Inserted | Event::Removed) {
            self.reply = None;
        }
    }
}

impl Seat {
    fn new(limits: Limits, keeps_card: bool) -> Self {
        let (watch, clocks) = (Watch::default(), Clocks::default());
        Self { limits, keeps_card, is_in: true, returns: None, resetting: None, watch, due: None, clocks }
    }

    /// The card has no power: what was read along is over.
    fn begins_anew(&mut self) {
        (self.watch, self.due) = (Watch::default(), None);
    }

    /// A card that nobody has: it gets no power before somebody does.
    fn move_without_host(&mut self, wanted: Move, answer: Answer, on_link: &mut impl FnMut(Link<'_>)) {
        let outcome = self.refusal(wanted).map_or(Ok(()), Err);
        if outcome.is_ok() {
            match wanted {
                Move::Pull => {
                    self.is_in = false;
                    on_link(Link::Pulled);
                }
                Move::Insert => self.is_in = true,
                Move::Reset => {}
            }
        }
        // Nobody may wait for it.
        let _ = answer.send(outcome);
    }

    fn refusal(&self, wanted: Move) -> Option<NotMoved> {
        match wanted {
            _ if self.returns.is_some() => Some(NotMoved::Resetting),
            Move::Insert => self.is_in.then_some(NotMoved::AlreadyIn),
            Move::Pull | Move::Reset => (!self.is_in).then_some(NotMoved::AlreadyOut),
        }
    }

    /// The card was out for long enough.
    fn is_back(&mut self) {
        (self.returns, self.is_in) = (None, true);
        if let Some(answer) = self.resetting.take() {
            let _ = answer.send(Ok(()));
        }
    }

    /// Answers one QEMU until it is gone, and returns why.
    async fn attend<C: Icc + ?Sized>(
        &mut self,
        card: &mut C,
        host: &mut Host,
        moves: &mut Moves,
        on_link: &mut impl FnMut(Link<'_>),
    ) -> io::Error {
        let (mut session, mut out, mut buffer) = (Session::new("vuicc"), Vec::new(), [0; 4096]);
        session.greet(&mut out);
        let begun = Instant::now();
        self.clocks = Clocks::default();
        loop {
            if let Err(cause) = host.send(&mut out).await {
                return cause;
            }
            self.clocks.look(&session);
            let (greeting, message, reply) = if session.is_attached() {
                let limits = self.limits;
                (
                    None,
                    self.clocks.message.map(|since| since + limits.message),
                    self.clocks.reply.map(|since| since + limits.reply),
                )
            } else {
                (Some(begun + self.limits.greeting), None, None)
            };
            let due = self.reset_time();
            let outcome = tokio::select! {
                // What was sent in time was not late, and nobody was quiet, even if it is only looked at now.
                biased;
                (wanted, answer) = moves.next() => {
                    if session.is_attached() {
                        self.carry_out(card, &mut session, (wanted, answer), &mut out, on_link)
                    } else {
                        self.move_without_host(wanted, answer, on_link);
                        Ok(())
                    }
                }
                () = at(self.returns) => {
                    self.is_back();
                    session.insert(card, &mut out).map_err(faulty)
                }
                () = at(greeting) => Err(late("it is no QEMU with ccid-card-passthru: it has not answered the greeting")),
                read = host.read(&mut buffer) => match read {
                    Ok(read) => {
                        session.receive(buffer.get(..read).unwrap_or_default());
                        self.hear(card, &mut session, host, &mut out, on_link).await
                    }
                    Err(cause) => Err(cause),
                },
                () = at(due) => {
                    self.reset(card, &mut session, Reset::Refresh, &mut out, on_link);
                    Ok(())
                }
                () = at(message) => Err(late("it stopped within a message")),
                () = at(reply) => Err(late("it does not answer what it was told of the card")),
            };
            if let Err(cause) = outcome {
                return cause;
            }
        }
    }

    /// Deals with all messages that are here.
    async fn hear<C: Icc + ?Sized>(
        &mut self,
        card: &mut C,
        session: &mut Session,
        host: &mut Host,
        out: &mut Vec<u8>,
        on_link: &mut impl FnMut(Link<'_>),
    ) -> io::Result<()> {
        while let Some(event) = session.step(card, out).map_err(faulty)? {
            self.clocks.restart(&event);
            match event {
                Event::Attached => {
                    on_link(Link::Attached);
                    if self.is_in {
                        session.insert(card, out).map_err(faulty)?;
                    }
                }
                Event::Inserted => on_link(Link::Inserted),
                Event::Exchanged { command, response } => {
                    self.read_along(&command, &response);
                    hold_back(card).await;
                    // QEMU sends one command at a time; of one that sends more each answer leaves at once.
                    host.send(out).await?;
                }
                Event::Mute => self.reset(card, session, Reset::Mute, out, on_link),
                Event::Removed | Event::Other => {}
            }
        }
        Ok(())
    }

    fn read_along(&mut self, command: &[u8], response: &[u8]) {
        let now = Instant::now();
        if self.watch.is_due(command, response) && !self.keeps_card {
            self.due.get_or_insert((now, now + self.limits.longest_quiet));
        }
        let quiet = if self.watch.is_under_way() { self.limits.longest_quiet } else { self.limits.quiet };
        if let Some((silent, _)) = &mut self.due {
            *silent = now + quiet;
        }
    }

    /// When the card is reset for its guest: never within something that this would break, unless the guest has left it.
    fn reset_time(&self) -> Option<Instant> {
        self.due.map(|(silent, latest)| if self.watch.is_under_way() { silent } else { silent.min(latest) })
    }

    fn carry_out<C: Icc + ?Sized>(
        &mut self,
        card: &mut C,
        session: &mut Session,
        (wanted, answer): (Move, Answer),
        out: &mut Vec<u8>,
        on_link: &mut impl FnMut(Link<'_>),
    ) -> io::Result<()> {
        if let Some(refusal) = self.refusal(wanted) {
            let _ = answer.send(Err(refusal));
            return Ok(());
        }
        match wanted {
            Move::Pull => {
                self.is_in = false;
                session.remove(card, out);
                self.begins_anew();
                on_link(Link::Pulled);
            }
            Move::Insert => {
                self.is_in = true;
                if let Err(fault) = session.insert(card, out) {
                    let _ = answer.send(Err(NotMoved::NotTaken));
                    return Err(faulty(fault));
                }
            }
            Move::Reset => {
                self.resetting = Some(answer);
                self.reset(card, session, Reset::ByHand, out, on_link);
                return Ok(());
            }
        }
        let _ = answer.send(Ok(()));
        Ok(())
    }

    fn reset<C: Icc + ?Sized>(
        &mut self,
        card: &mut C,
        session: &mut Session,
        why: Reset,
        out: &mut Vec<u8>,
        on_link: &mut impl FnMut(Link<'_>),
    ) {
        session.remove(card, out);
        self.begins_anew();
        self.is_in = false;
        self.returns = Some(Instant::now() + self.limits.absence);
        on_link(Link::Resetting(why));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hex_literal::hex;

    use super::*;
    use crate::testing::FakeCard;
    use crate::usb_reader::host::LIMITS;

    const ENABLE: [u8; 7] = hex!("81E2910002BF31");
    const ENABLED: [u8; 8] = hex!("BF31038001009000");

    /// A message restarts the clock of messages, and an answer that of answers; neither restarts the other.
    #[test]
    fn each_message_and_each_answer_has_its_own_time() {
        let (mut session, mut card, mut out) = (Session::new("vuicc"), FakeCard::default(), Vec::new());
        let mut clocks = Clocks::default();
        let mut hear = |octets: &[u8], session: &mut Session, clocks: &mut Clocks| {
            session.receive(octets);
            while let Some(event) = session.step(&mut card, &mut out).unwrap() {
                clocks.restart(&event);
                if event == Event::Attached {
                    session.insert(&mut card, &mut out).unwrap();
                }
            }
            clocks.look(session);
            (clocks.message, clocks.reply)
        };
        let done = hex!("00000002 00000000 00000004 00000000");
        hear(&hex!("00000001 FFFFFFFF 0000000C 56534344 00000002 00000000"), &mut session, &mut clocks);
        let (no_message, since) = hear(&done, &mut session, &mut clocks);
        assert!(no_message.is_none() && since.is_some(), "the insertion is not answered");
        let flush = hex!("00000008 00000000 00000000");
        let (begins, rest) = flush.split_at(5);
        let (first, reply) = hear(begins, &mut session, &mut clocks);
        let (second, reply_again) = hear(&[rest, begins].concat(), &mut session, &mut clocks);
        let (third, _) = hear(&rest[..1], &mut session, &mut clocks);
        assert!(first < second && second == third, "{first:?} {second:?} {third:?}");
        assert_eq!([reply, reply_again], [since, since]);
        hear(&rest[1..], &mut session, &mut clocks);
        assert_eq!(hear(&done, &mut session, &mut clocks), (None, None));
    }

    #[test]
    fn a_busy_guest_is_interrupted_in_time_but_not_within_a_chain() {
        const HOUR: Duration = Duration::from_hours(1);
        // The guest is never quiet.
        let mut seat = Seat::new(Limits { quiet: 2 * HOUR, longest_quiet: HOUR, ..LIMITS }, false);
        seat.read_along(&hex!("0070000001"), &hex!("019000"));
        assert_eq!(seat.reset_time(), None);
        seat.read_along(&ENABLE, &ENABLED);
        let latest = seat.reset_time().unwrap();
        seat.read_along(&hex!("80F2000000"), &hex!("9000"));
        assert_eq!(seat.reset_time(), Some(latest));
        for (command, response, is_within) in [
            (&hex!("81E2110003BF3100")[..], &hex!("9000")[..], true),
            (&hex!("80F2000000"), &hex!("9000"), true),
            (&hex!("81E2910103000000"), &hex!("6106"), true),
            (&hex!("81C0000006"), &ENABLED, false),
            (&hex!("81E2910003BF3800"), &hex!("6103"), true),
            (&hex!("81C0000003"), &hex!("BF38009000"), true),
            (&hex!("81E2910003BF3600"), &hex!("6103"), true),
            (&hex!("81C0000003"), &hex!("BF37009000"), false),
        ] {
            let now = Instant::now();
            seat.read_along(command, response);
            let reset = seat.reset_time().unwrap();
            if is_within {
                assert!(reset >= now + HOUR && reset > latest, "{command:02X?}");
            } else {
                assert_eq!(reset, latest, "{command:02X?}");
            }
        }
        seat.begins_anew();
        assert_eq!(seat.reset_time(), None);
    }
}
