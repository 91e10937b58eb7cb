//! VSCard, the messages between QEMU's `ccid-card-passthru` and what holds the card, as libcacard has them.
//!
//! Each begins with three numbers of four octets, big-endian: type, number of the reader, length of what follows.
//!
//! | type | message | direction | what follows |
//! |---|---|---|---|
//! | 1 | Init | both, first | magic `VSCD`, version, words of capabilities |
//! | 2 | Error | from QEMU | a code: 0 is success, and answers ReaderAdd, ATR and CardRemove |
//! | 3 | ReaderAdd | to QEMU | a name |
//! | 4 | ReaderRemove | to QEMU | – |
//! | 5 | ATR | to QEMU: a card is in | the answer to reset |
//! | 6 | CardRemove | to QEMU | – |
//! | 7 | APDU | both | a command, its response |
//! | 8, 9 | Flush, FlushComplete | both | – |
//!
//! QEMU answers the resets of its guest itself, with the ATR that it was told: no guest can reset the card. What has to
//! be reset is taken out and put in again ([`Session::remove`], [`Session::insert`]).

use std::collections::VecDeque;

use apdu::Icc;

use crate::Fault;
use crate::inbox::{Inbox, length, on_wire, u32_at};
use crate::tpdu;

/// Octets before what a message says.
const HEADER: usize = 12;
/// The longest message that is taken: QEMU's own limit.
const LONGEST: u32 = 64 * 1024;
/// The longest answer to reset that QEMU takes.
const LONGEST_ATR: usize = 40;
/// The first octets of Init.
const MAGIC: [u8; 4] = *b"VSCD";
/// Version 0.2 of the protocol.
const VERSION: u32 = 2;
/// The reader of a message that is for none in particular.
const NO_READER: u32 = 0xFFFF_FFFF;

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first one, from either end.
    Init {
        /// Version of the protocol.
        version: u32,
    },
    /// What became of a request: 0 is success.
    Error(u32),
    /// There is a reader of this name.
    ReaderAdd(Vec<u8>),
    /// It is gone.
    ReaderRemove,
    /// There is a card in it, with this answer to reset.
    Atr(Vec<u8>),
    /// It was taken out.
    CardRemove,
    /// A command or a response.
    Apdu(Vec<u8>),
    /// What was sent before is to be dealt with.
    Flush,
    /// It was.
    FlushComplete,
}

/// A message, and which reader it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the reader.
    pub reader: u32,
    /// What is said.
    pub message: Message,
}

impl Frame {
    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let number;
        let init;
        let (kind, body): (u32, &[u8]) = match &self.message {
            Message::Init { version } => {
                init = [MAGIC, version.to_be_bytes(), [0; 4]].concat();
                (1, &init)
            }
            Message::Error(code) => {
                number = code.to_be_bytes();
                (2, &number)
            }
            Message::ReaderAdd(name) => (3, name),
            Message::ReaderRemove => (4, &[]),
            Message::Atr(atr) => (5, atr),
            Message::CardRemove => (6, &[]),
            Message::Apdu(apdu) => (7, apdu),
            Message::Flush => (8, &[]),
            Message::FlushComplete => (9, &[]),
        };
        out.extend(kind.to_be_bytes());
        out.extend(self.reader.to_be_bytes());
        out.extend(on_wire(body.len()).to_be_bytes());
        out.extend(body);
    }

    /// Reads the one at the front, and how many octets it has; `None` if it is not whole yet.
    ///
    /// # Errors
    /// If there is no such message, or it is longer than any is.
    pub fn read(octets: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        const WHAT: Fault = Fault::Foreign("VSCard message");
        // A foreigner is known by its first words.
        if octets.first().is_some_and(|first| *first != 0) {
            return Err(WHAT);
        }
        let (Some(kind), Some(reader), Some(size)) = (u32_at(octets, 0), u32_at(octets, 4), u32_at(octets, 8)) else {
            return Ok(None);
        };
        if !(1..=9).contains(&kind) {
            return Err(WHAT);
        }
        if size > LONGEST {
            return Err(Fault::TooLong { length: size, most: LONGEST });
        }
        let whole = HEADER + length(size);
        let Some(body) = octets.get(HEADER..whole) else { return Ok(None) };
        let message = match (kind, body) {
            (1, [b'V', b'S', b'C', b'D', rest @ ..]) => Message::Init { version: u32_at(rest, 0).ok_or(WHAT)? },
            (2, _) => Message::Error(u32_at(body, 0).ok_or(WHAT)?),
            (3, name) => Message::ReaderAdd(name.to_vec()),
            (4, _) => Message::ReaderRemove,
            (5, atr) => Message::Atr(atr.to_vec()),
            (6, _) => Message::CardRemove,
            (7, apdu) => Message::Apdu(apdu.to_vec()),
            (8, _) => Message::Flush,
            (9, _) => Message::FlushComplete,
            _ => return Err(WHAT),
        };
        Ok(Some((Self { reader, message }, whole)))
    }
}

/// What QEMU owes an answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Reader,
    Insertion,
    Removal,
}

/// What has come of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// QEMU has a reader for the card: it can be put in.
    Attached,
    /// The card is in: the guest can use it.
    Inserted,
    /// The card is out.
    Removed,
    /// A command went to the card, and its response is written.
    Exchanged {
        /// As the host sent it.
        command: Vec<u8>,
        /// As the card gave it.
        response: Vec<u8>,
    },
    /// The card does not answer a command. QEMU waits for that, and its guest: the card has to be taken out.
    Mute,
    /// Nothing that matters.
    Other,
}

/// The card's end of one connection to QEMU.
#[derive(Debug)]
pub struct Session {
    inbox: Inbox,
    name: String,
    /// Whether QEMU has said its first word.
    is_greeted: bool,
    /// The number that QEMU has given the reader.
    reader: Option<u32>,
    /// Whether a card is in, as QEMU was told.
    has_card: bool,
    asked: VecDeque<Asked>,
}

impl Session {
    /// For a reader of this name, which nobody is shown.
    pub fn new(name: &str) -> Self {
        let (inbox, asked) = (Inbox::default(), VecDeque::new());
        Self { inbox, name: name.to_owned(), is_greeted: false, reader: None, has_card: false, asked }
    }

    /// Writes the first word of a connection.
    pub fn greet(&self, out: &mut Vec<u8>) {
        Frame { reader: 0, message: Message::Init { version: VERSION } }.write(out);
    }

    /// Whether QEMU has a reader for the card.
    pub const fn is_attached(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether QEMU was told that a card is in.
    pub const fn has_card(&self) -> bool {
        self.has_card
    }

    /// Whether there is an answer to what was asked of QEMU: for its reader, an insertion or a removal.
    pub fn is_settled(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether a message has begun that is not whole.
    pub const fn is_within_message(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Takes what QEMU sent.
    pub fn receive(&mut self, octets: &[u8]) {
        self.inbox.receive(octets);
    }

    /// Puts the card in: gives it power, and tells QEMU its answer to reset.
    ///
    /// # Errors
    /// If QEMU cannot take this card: its answer to reset is longer than any is.
    pub fn insert<C: Icc + ?Sized>(&mut self, card: &mut C, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(reader) = self.reader else { return Ok(()) };
        let atr = card.power_on();
        if atr.is_empty() || atr.len() > LONGEST_ATR {
            card.power_off();
            return Err(Fault::Refused("the card gives no answer to reset that QEMU takes: 1 to 40 octets"));
        }
        self.has_card = true;
        self.asked.push_back(Asked::Insertion);
        Frame { reader, message: Message::Atr(atr) }.write(out);
        Ok(())
    }

    /// Takes the card out.
    pub fn remove<C: Icc + ?Sized>(&mut self, card: &mut C, out: &mut Vec<u8>) {
        card.power_off();
        let Some(reader) = self.reader else { return };
        if std::mem::replace(&mut self.has_card, false) {
            self.asked.push_back(Asked::Removal);
            Frame { reader, message: Message::CardRemove }.write(out);
        }
    }

    /// Deals with the message at the front, if there is one, and writes what answers it.
    ///
    /// # Errors
    /// If the connection cannot go on.
    pub fn step<C: Icc + ?Sized>(&mut self, card: &mut C, out: &mut Vec<u8>) -> Result<Option<Event>, Fault> {
        let Some((frame, taken)) = Frame::read(self.inbox.octets())? else { return Ok(None) };
        self.inbox.take(taken);
        if !self.is_greeted && !matches!(frame.message, Message::Init { .. }) {
            return Err(Fault::OutOfTurn("a message before its Init"));
        }
        let event = match frame.message {
            Message::Init { .. } => {
                // QEMU says it when it is connected to, and again when it is greeted.
                if !std::mem::replace(&mut self.is_greeted, true) {
                    self.asked.push_back(Asked::Reader);
                    let name = self.name.clone().into_bytes();
                    Frame { reader: NO_READER, message: Message::ReaderAdd(name) }.write(out);
                }
                Event::Other
            }
            Message::Error(code) => self.answered(frame.reader, code)?,
            Message::Apdu(command) => self.exchange(card, frame.reader, command, out),
            Message::Flush => {
                Frame { reader: frame.reader, message: Message::FlushComplete }.write(out);
                Event::Other
            }
            Message::FlushComplete => Event::Other,
            Message::ReaderAdd(_) | Message::ReaderRemove | Message::Atr(_) | Message::CardRemove => {
                return Err(Fault::OutOfTurn("what only a reader says"));
            }
        };
        Ok(Some(event))
    }

    /// QEMU says what became of something.
    fn answered(&mut self, reader: u32, code: u32) -> Result<Event, Fault> {
        let asked = self.asked.pop_front();
        match (asked, code) {
            (Some(Asked::Reader), 0) => {
                self.reader = Some(reader);
                Ok(Event::Attached)
            }
            (Some(Asked::Insertion), 0) => Ok(Event::Inserted),
            (Some(Asked::Reader), _) => Err(Fault::Refused("QEMU has no reader for this card: another one is in it")),
            (Some(Asked::Insertion), _) => Err(Fault::Refused("QEMU does not take the card in")),
            // It may have been out already.
            (Some(Asked::Removal), _) => Ok(Event::Removed),
            // A word nobody asked for.
            (None, _) => Ok(Event::Other),
        }
    }

    fn exchange<C: Icc + ?Sized>(&mut self, card: &mut C, reader: u32, command: Vec<u8>, out: &mut Vec<u8>) -> Event {
        // It was on its way when the card was taken out: QEMU has answered its guest.
        if !self.has_card || self.reader != Some(reader) {
            return Event::Other;
        }
        let mut response = Vec::with_capacity(tpdu::LONGEST_RESPONSE);
        if tpdu::exchange(card, &command, &mut response).is_err() {
            return Event::Mute;
        }
        Frame { reader, message: Message::Apdu(response.clone()) }.write(out);
        Event::Exchanged { command, response }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::testing::FakeCard;

    /// As QEMU 7.2 takes and sends them.
    #[test]
    fn golden_messages() {
        for (reader, message, octets) in [
            (0, Message::Init { version: 2 }, &hex!("00000001 00000000 0000000C 56534344 00000002 00000000")[..]),
            (NO_READER, Message::ReaderAdd(b"vuicc".to_vec()), &hex!("00000003 FFFFFFFF 00000005 7675696363")),
            (0, Message::Error(0), &hex!("00000002 00000000 00000004 00000000")),
            (0, Message::Atr(hex!("3B021450").to_vec()), &hex!("00000005 00000000 00000004 3B021450")),
            (0, Message::Apdu(hex!("00A40000023F00").to_vec()), &hex!("00000007 00000000 00000007 00A40000023F00")),
            (0, Message::CardRemove, &hex!("00000006 00000000 00000000")),
            (0, Message::ReaderRemove, &hex!("00000004 00000000 00000000")),
            (1, Message::Flush, &hex!("00000008 00000001 00000000")),
            (1, Message::FlushComplete, &hex!("00000009 00000001 00000000")),
        ] {
            let frame = Frame { reader, message };
            let mut written = Vec::new();
            frame.write(&mut written);
            assert_eq!(written, octets);
            for cut in 0..octets.len() {
                assert_eq!(Frame::read(&octets[..cut]), Ok(None), "cut at {cut}");
            }
            assert_eq!(Frame::read(octets), Ok(Some((frame, octets.len()))));
        }
        // QEMU's own first word has more capabilities in later versions.
        let read = Frame::read(&hex!("00000001 FFFFFFFF 00000010 56534344 00000003 00000001 00000000"));
        assert_eq!(read, Ok(Some((Frame { reader: NO_READER, message: Message::Init { version: 3 } }, 28))));
    }

    #[test]
    fn what_is_no_message_ends_the_connection() {
        let foreign = Err(Fault::Foreign("VSCard message"));
        for wrong in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &b"G"[..],
            &hex!("00000000 00000000 00000000"),
            &hex!("0000000A 00000000 00000000"),
            // No magic, no version, no code.
            &hex!("00000001 00000000 0000000C 00000000 00000002 00000000"),
            &hex!("00000001 00000000 00000004 56534344"),
            &hex!("00000002 00000000 00000000"),
        ] {
            assert_eq!(Frame::read(wrong), foreign, "{wrong:02X?}");
        }
        let lying = Frame::read(&hex!("00000007 00000000 FFFFFFFF"));
        assert_eq!(lying, Err(Fault::TooLong { length: u32::MAX, most: 65_536 }));
    }

    fn said(out: &mut Vec<u8>) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Ok(Some((frame, taken))) = Frame::read(out) {
            messages.push(frame.message);
            out.drain(..taken);
        }
        messages
    }

    fn events(session: &mut Session, card: &mut FakeCard, octets: &[u8], out: &mut Vec<u8>) -> Vec<Event> {
        session.receive(octets);
        std::iter::from_fn(|| session.step(card, out).unwrap()).collect()
    }

    #[test]
    fn a_card_in_qemu() {
        let (mut session, mut card, mut out) = (Session::new("vuicc"), FakeCard::default(), Vec::new());
        session.greet(&mut out);
        assert_eq!(said(&mut out), [Message::Init { version: 2 }]);
        let init = hex!("00000001 FFFFFFFF 0000000C 56534344 00000002 00000000");
        let done = hex!("00000002 00000000 00000004 00000000");
        // QEMU may say it twice; the reader is added once.
        assert_eq!(events(&mut session, &mut card, &[init, init].concat(), &mut out), [Event::Other, Event::Other]);
        assert_eq!(said(&mut out), [Message::ReaderAdd(b"vuicc".to_vec())]);
        assert!(!session.is_attached() && !session.is_settled());
        assert_eq!(events(&mut session, &mut card, &done, &mut out), [Event::Attached]);
        session.insert(&mut card, &mut out).unwrap();
        assert_eq!(said(&mut out), [Message::Atr(FakeCard::ATR.to_vec())]);
        assert_eq!(events(&mut session, &mut card, &done, &mut out), [Event::Inserted]);
        let command = hex!("00000007 00000000 00000005 00B0000001");
        let exchanged = Event::Exchanged { command: hex!("00B0000001").to_vec(), response: hex!("AA9000").to_vec() };
        assert_eq!(events(&mut session, &mut card, &command, &mut out), [exchanged]);
        assert_eq!(said(&mut out), [Message::Apdu(hex!("AA9000").to_vec())]);
        let silent = hex!("00000007 00000000 00000004 00FE0000");
        assert_eq!(events(&mut session, &mut card, &silent, &mut out), [Event::Mute]);
        session.remove(&mut card, &mut out);
        assert_eq!((said(&mut out), card.has_power), (vec![Message::CardRemove], false));
        // A command that was on its way, and the answer to the removal.
        let late = [&command[..], &done].concat();
        assert_eq!(events(&mut session, &mut card, &late, &mut out), [Event::Other, Event::Removed]);
        assert_eq!((said(&mut out), session.is_settled()), (vec![], true));
        session.insert(&mut card, &mut out).unwrap();
        assert_eq!((events(&mut session, &mut card, &done, &mut out), card.resets), (vec![Event::Inserted], 2));
    }

    #[test]
    fn refusals_and_words_out_of_turn() {
        let init = hex!("00000001 FFFFFFFF 0000000C 56534344 00000002 00000000");
        let refused = hex!("00000002 00000000 00000004 00000002");
        let (mut card, mut out) = (FakeCard::default(), Vec::new());
        let mut session = Session::new("vuicc");
        session.receive(&[&init[..], &refused].concat());
        assert_eq!(session.step(&mut card, &mut out), Ok(Some(Event::Other)));
        assert!(matches!(session.step(&mut card, &mut out), Err(Fault::Refused(_))));
        for (before, word) in [(false, &refused[..]), (true, &hex!("00000006 00000000 00000000"))] {
            let mut session = Session::new("vuicc");
            if before {
                session.receive(&init);
                session.step(&mut card, &mut out).unwrap();
            }
            session.receive(word);
            assert!(matches!(session.step(&mut card, &mut out), Err(Fault::OutOfTurn(_))), "{word:02X?}");
        }
    }
}
