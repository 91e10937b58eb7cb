//! A card in QEMU's `ccid-card-passthru`.

use std::io;

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
        let found = loop {
            tokio::select! {
                found = way.next() => break found,
                (wanted, answer) = moves.next() => seat.move_without_host(wanted, answer, on_link),
                () = at(seat.returns) => seat.is_back(),
            }
        };
        match found {
            Ok(stream) => {
                let mut host = Host::new(stream, limits);
                let end = seat.attend(card, &mut host, moves, on_link).await;
                card.power_off();
                seat.due = None;
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
}

impl Seat {
    fn new(limits: Limits, keeps_card: bool) -> Self {
        let (returns, resetting, watch, due) = (None, None, Watch::default(), None);
        Self { limits, keeps_card, is_in: true, returns, resetting, watch, due }
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
        let mut owed_since = None;
        loop {
            if let Err(cause) = host.send(&mut out).await {
                return cause;
            }
            let owes = !session.is_settled() || session.is_within_message();
            owed_since = if owes { owed_since.or_else(|| Some(Instant::now())) } else { None };
            let too_late = match owed_since {
                _ if !session.is_attached() => Some(begun + self.limits.greeting),
                owed_since => owed_since.map(|since| since + self.limits.message),
            };
            let due = self.due.map(|(quiet, latest)| quiet.min(latest));
            let outcome = tokio::select! {
                read = host.read(&mut buffer) => match read {
                    Ok(read) => {
                        session.receive(buffer.get(..read).unwrap_or_default());
                        self.hear(card, &mut session, host, &mut out, on_link).await
                    }
                    Err(cause) => Err(cause),
                },
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
                () = at(due) => {
                    self.reset(card, &mut session, Reset::Refresh, &mut out, on_link);
                    Ok(())
                }
                () = at(too_late) => Err(late(if session.is_attached() {
                    "it stopped within a message, or does not answer"
                } else {
                    "it is no QEMU with ccid-card-passthru: it has not answered the greeting"
                })),
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
        if let Some((quiet, _)) = &mut self.due {
            *quiet = now + self.limits.quiet;
        }
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
                (self.is_in, self.due) = (false, None);
                session.remove(card, out);
                on_link(Link::Pulled);
            }
            Move::Insert => {
                self.is_in = true;
                session.insert(card, out).map_err(faulty)?;
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
        (self.is_in, self.due) = (false, None);
        self.returns = Some(Instant::now() + self.limits.absence);
        on_link(Link::Resetting(why));
    }
}
