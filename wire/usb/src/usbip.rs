//! The server's side of USB/IP, as Linux and Windows clients have it: a [`ccid::Reader`](crate::ccid::Reader) that a host elsewhere
//! plugs in over TCP. Big-endian.
//!
//! A connection begins with one request. `0111 8005` lists the devices and is over then; `0111 8003` imports one by its bus
//! ID, and from then on carries its transfers, each with a header of 48 octets: submit (1), answered by 3, and unlink (2), answered by
//! 4. What waits for the reader (its answers, a change of the slot) is held until there is something, or it is unlinked.

use std::collections::VecDeque;

use apdu::Icc;

use crate::Fault;
use crate::ccid::{ANSWERS, CHANGES, COMMANDS, Exchange, Reader, Setup, Stall};
use crate::inbox::{Inbox, length, on_wire, u32_at};

/// The port that clients connect to.
pub const PORT: u16 = 3240;
/// What clients call the reader.
pub const BUS_ID: &str = "1-1";

const VERSION: u16 = 0x0111;
const DEVICE_LIST: u16 = 0x8005;
const IMPORT: u16 = 0x8003;
/// Octets of a request: version, code, status; and of the bus ID behind it.
const REQUEST: usize = 8;
const BUS_ID_LENGTH: usize = 32;
const PATH_LENGTH: usize = 256;
/// Octets of a transfer's header.
const HEADER: usize = 48;
const SUBMIT: u32 = 1;
const UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
/// The number of the bus and that of the device, as transfers name it.
const BUS: u32 = 1;
const DEVICE: u32 = 2;
const DEVICE_ID: u32 = BUS << 16 | DEVICE;
/// USB_SPEED_HIGH.
const HIGH_SPEED: u32 = 3;
/// The most that a host sends in one transfer.
const LONGEST: u32 = 64 * 1024;
/// How many transfers may wait for the reader. Hosts have two or three.
const HELD: usize = 32;

/// What an import comes to. Linux, usbip_network.h.
const ST_OK: u32 = 0;
const ST_BUSY: u32 = 2;
const ST_NO_DEVICE: u32 = 4;
/// What a transfer comes to: errno of Linux, negative.
const EPIPE: i32 = -32;
const ECONNRESET: i32 = -104;

/// What has come of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client knows now which devices there are: the connection is over.
    Listed,
    /// It asked for a device that is not there, or that another one has: the connection is over.
    NotImported,
    /// The client has the reader.
    Imported,
    /// A message for the reader was taken: what is written says so. The next step carries it out.
    Taken,
    /// A command went to the card. Its answer is held back until it is [released](Session::release).
    Exchanged(Exchange),
    /// Nothing that matters.
    Other,
}

/// A transfer that waits for the reader.
#[derive(Clone, Copy, Debug)]
struct Held {
    sequence: u32,
    endpoint: u8,
    most: usize,
}

/// A connection.
#[derive(Debug, Default)]
pub struct Session {
    inbox: Inbox,
    is_imported: bool,
    held: VecDeque<Held>,
}

impl Session {
    /// Takes what the client sent.
    pub fn receive(&mut self, octets: &[u8]) {
        self.inbox.receive(octets);
    }

    /// Whether the client has the reader.
    pub const fn is_imported(&self) -> bool {
        self.is_imported
    }

    /// Whether the request of a connection is here, which has to be answered, or what is none.
    pub fn has_request(&self) -> bool {
        !matches!(request(self.inbox.octets()), Ok(None))
    }

    /// Whether a message has begun that is not whole.
    pub const fn is_within_message(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Carries out what was taken, or deals with the message at the front, if there is one, and writes what answers it. Another
    /// client may have the reader: then it `is_busy`. What is written has to be sent before the next step, which may take long.
    ///
    /// # Errors
    /// If the connection cannot go on.
    pub fn step<C: Icc + ?Sized>(
        &mut self,
        reader: &mut Reader,
        card: &mut C,
        is_busy: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Fault> {
        if !self.is_imported {
            return self.answer_request(reader, is_busy, out);
        }
        if !reader.has_command() {
            return self.transfer(reader, out);
        }
        let exchange = reader.carry_out(card);
        self.deliver(reader, out);
        Ok(Some(exchange.map_or(Event::Other, Event::Exchanged)))
    }

    /// Gives the client the answer that was held back.
    pub fn release(&mut self, reader: &mut Reader, out: &mut Vec<u8>) {
        reader.release();
        self.deliver(reader, out);
    }

    /// Tells a client that waits for the answer which is held back to wait for longer.
    pub fn extend_time(&mut self, reader: &mut Reader, out: &mut Vec<u8>) {
        if self.held.iter().any(|held| held.endpoint == ANSWERS & 0x0F) {
            reader.extend_time();
            self.deliver(reader, out);
        }
    }

    /// Answers what has waited for the reader: after a change of its slot.
    pub fn deliver(&mut self, reader: &mut Reader, out: &mut Vec<u8>) {
        self.held.retain(|held| {
            let came = if held.endpoint == 2 { reader.answer(held.most) } else { reader.change(held.most) };
            match came {
                Ok(None) => return true,
                Ok(Some(data)) => ret_submit(held.sequence, Ok((&data, data.len())), out),
                Err(Stall) => ret_submit(held.sequence, Err(Stall), out),
            }
            false
        });
    }

    fn answer_request(&mut self, reader: &Reader, is_busy: bool, out: &mut Vec<u8>) -> Result<Option<Event>, Fault> {
        let Some(request) = request(self.inbox.octets())? else { return Ok(None) };
        let Request::Import { is_it } = request else {
            self.inbox.take(REQUEST);
            reply(5, ST_OK, out);
            out.extend(1_u32.to_be_bytes());
            device(reader, out);
            // The one interface: CCID, and an octet to align it.
            out.extend([0x0B, 0, 0, 0]);
            return Ok(Some(Event::Listed));
        };
        self.inbox.take(REQUEST + BUS_ID_LENGTH);
        let status = match (is_it, is_busy) {
            (false, _) => ST_NO_DEVICE,
            (true, true) => ST_BUSY,
            (true, false) => ST_OK,
        };
        reply(3, status, out);
        if status != ST_OK {
            return Ok(Some(Event::NotImported));
        }
        device(reader, out);
        self.is_imported = true;
        Ok(Some(Event::Imported))
    }

    fn transfer(&mut self, reader: &mut Reader, out: &mut Vec<u8>) -> Result<Option<Event>, Fault> {
        let octets = self.inbox.octets();
        let Some(header) = octets.first_chunk::<HEADER>() else { return Ok(None) };
        let word = |at: usize| u32_at(header, at).unwrap_or_default();
        let (command, sequence, device_id, is_in) = (word(0), word(4), word(8), word(12) != 0);
        if device_id != DEVICE_ID {
            return Err(Fault::OutOfTurn("a transfer for a device that it has not imported"));
        }
        match command {
            UNLINK => {
                let unlinked = word(20);
                self.inbox.take(HEADER);
                self.unlink(sequence, unlinked, out);
                Ok(Some(Event::Other))
            }
            SUBMIT => {
                let (endpoint, size, packets) = (word(16), word(24), word(32));
                if packets != 0 && packets != u32::MAX {
                    return Err(Fault::OutOfTurn("an isochronous transfer, which no reader has"));
                }
                // In the other direction it is only the room that the host has: libccid's is 65,556 octets.
                if !is_in && size > LONGEST {
                    return Err(Fault::TooLong { length: size, most: LONGEST });
                }
                let follows = if is_in { 0 } else { length(size) };
                if octets.len() < HEADER + follows {
                    return Ok(None);
                }
                let setup = header.last_chunk::<8>().map_or([0; 8], |setup| *setup);
                let message = self.inbox.take(HEADER + follows);
                let data = message.get(HEADER..).unwrap_or_default();
                let most = length(size);
                self.submit(reader, &Submitted { sequence, endpoint, is_in, most, setup, data }, out).map(Some)
            }
            _ => Err(Fault::Foreign("USB/IP transfer")),
        }
    }

    fn unlink(&mut self, sequence: u32, unlinked: u32, out: &mut Vec<u8>) {
        let at = self.held.iter().position(|held| held.sequence == unlinked);
        // One that is not held has its answer already.
        let status = at.and_then(|at| self.held.remove(at)).map_or(0, |_| ECONNRESET);
        header(RET_UNLINK, sequence, status, 0, out);
    }

    fn submit(&mut self, reader: &mut Reader, submitted: &Submitted<'_>, out: &mut Vec<u8>) -> Result<Event, Fault> {
        let Submitted { sequence, endpoint, is_in, most, data, .. } = *submitted;
        let address = u8::try_from(endpoint).map_or(0xFF, |number| number | if is_in { 0x80 } else { 0 });
        let mut event = Event::Other;
        match address {
            0x00 | 0x80 => {
                let answer = reader.control(Setup::from(submitted.setup), data).map(|mut answer| {
                    answer.truncate(most);
                    answer
                });
                match answer {
                    Ok(answer) if is_in => ret_submit(sequence, Ok((&answer, answer.len())), out),
                    Ok(_) => ret_submit(sequence, Ok((&[], data.len())), out),
                    Err(Stall) => ret_submit(sequence, Err(Stall), out),
                }
            }
            COMMANDS => match reader.take(data) {
                Ok(()) => {
                    event = Event::Taken;
                    ret_submit(sequence, Ok((&[], data.len())), out);
                }
                Err(Stall) => ret_submit(sequence, Err(Stall), out),
            },
            ANSWERS | CHANGES => {
                if self.held.len() >= HELD {
                    return Err(Fault::TooManyTransfers(HELD));
                }
                self.held.push_back(Held { sequence, endpoint: address & 0x0F, most });
            }
            _ => ret_submit(sequence, Err(Stall), out),
        }
        // Also after a control transfer: a host that configures the reader is told of a card that is in.
        self.deliver(reader, out);
        Ok(event)
    }
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug)]
enum Request {
    List,
    Import { is_it: bool },
}

/// The request at the front, if it is whole.
fn request(octets: &[u8]) -> Result<Option<Request>, Fault> {
    const WHAT: Fault = Fault::Foreign("USB/IP request");
    let known = [VERSION.to_be_bytes(), [0x80, 0]].concat();
    // A foreigner is known by its first words.
    if octets.iter().zip(known).take(3).any(|(octet, known)| *octet != known) {
        return Err(WHAT);
    }
    let Some([_, _, c0, c1, _, _, _, _]) = octets.first_chunk::<REQUEST>() else { return Ok(None) };
    match u16::from_be_bytes([*c0, *c1]) {
        DEVICE_LIST => Ok(Some(Request::List)),
        IMPORT => {
            let Some(bus_id) = octets.get(REQUEST..REQUEST + BUS_ID_LENGTH) else { return Ok(None) };
            let is_it = bus_id.starts_with(BUS_ID.as_bytes()) && bus_id.get(BUS_ID.len()) == Some(&0);
            Ok(Some(Request::Import { is_it }))
        }
        _ => Err(WHAT),
    }
}

/// A transfer that a client wants done.
struct Submitted<'a> {
    sequence: u32,
    endpoint: u32,
    is_in: bool,
    /// The most that the host takes.
    most: usize,
    setup: [u8; 8],
    data: &'a [u8],
}

fn reply(code: u8, status: u32, out: &mut Vec<u8>) {
    out.extend(VERSION.to_be_bytes());
    out.extend([0, code]);
    out.extend(status.to_be_bytes());
}

/// What is said of the device: 312 octets.
fn device(reader: &Reader, out: &mut Vec<u8>) {
    let padded = |text: &str, length: usize| {
        let mut octets = text.as_bytes().to_vec();
        octets.resize(length, 0);
        octets
    };
    let identity = reader.identity();
    out.extend(padded("/sys/devices/vuicc/1-1", PATH_LENGTH));
    out.extend(padded(BUS_ID, BUS_ID_LENGTH));
    for number in [BUS, DEVICE, HIGH_SPEED] {
        out.extend(number.to_be_bytes());
    }
    for number in [identity.vendor, identity.product, identity.release] {
        out.extend(number.to_be_bytes());
    }
    // The class is the interface's; the configuration that is chosen, of one, with one interface.
    out.extend([0, 0, 0, reader.configuration(), 1, 1]);
}

/// The header of an answer: its last words are `status`, `count`, and nothing.
fn header(kind: u32, sequence: u32, status: i32, count: usize, out: &mut Vec<u8>) {
    out.extend(kind.to_be_bytes());
    out.extend(sequence.to_be_bytes());
    // Device, direction and endpoint are the client's to know.
    out.extend([0; 12]);
    out.extend(status.to_be_bytes());
    out.extend(on_wire(count).to_be_bytes());
    out.extend([0; 20]);
}

/// What became of a transfer: its data, and how many octets were transferred.
fn ret_submit(sequence: u32, outcome: Result<(&[u8], usize), Stall>, out: &mut Vec<u8>) {
    match outcome {
        Ok((data, count)) => {
            header(RET_SUBMIT, sequence, 0, count, out);
            out.extend(data);
        }
        Err(Stall) => header(RET_SUBMIT, sequence, EPIPE, 0, out),
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::ccid::Identity;
    use crate::testing::FakeCard;

    struct Desk {
        session: Session,
        reader: Reader,
        card: FakeCard,
    }

    impl Desk {
        fn new() -> Self {
            let mut reader = Reader::new(Identity::default());
            reader.insert();
            Self { session: Session::default(), reader, card: FakeCard::default() }
        }

        fn imported() -> Self {
            let mut desk = Self::new();
            let (events, out) = desk.say(&import("1-1")).unwrap();
            assert_eq!((events, out.len()), (vec![Event::Imported], 320));
            // SET_CONFIGURATION 1.
            let (_, out) = desk.say(&submit(1, 0, false, 0, hex!("0009 0100 0000 0000"), &[])).unwrap();
            assert_eq!(out, done(1, 0, 0));
            desk
        }

        fn say(&mut self, octets: &[u8]) -> Result<(Vec<Event>, Vec<u8>), Fault> {
            let (mut events, mut out) = (Vec::new(), Vec::new());
            self.session.receive(octets);
            while let Some(event) = self.session.step(&mut self.reader, &mut self.card, false, &mut out)? {
                if matches!(event, Event::Exchanged(_)) {
                    self.session.release(&mut self.reader, &mut out);
                }
                events.push(event);
                if !self.session.is_imported() {
                    break;
                }
            }
            Ok((events, out))
        }
    }

    fn import(bus_id: &str) -> Vec<u8> {
        let mut request = [&hex!("0111 8003 00000000")[..], bus_id.as_bytes()].concat();
        request.resize(40, 0);
        request
    }

    fn submit(sequence: u32, endpoint: u32, is_in: bool, length: u32, setup: [u8; 8], data: &[u8]) -> Vec<u8> {
        let words = [1, sequence, 0x0001_0002, u32::from(is_in), endpoint, 0, length, 0, u32::MAX, 0];
        [&words.map(u32::to_be_bytes).concat()[..], &setup, data].concat()
    }

    fn command(sequence: u32, message: &[u8]) -> Vec<u8> {
        submit(sequence, 2, false, u32::try_from(message.len()).unwrap(), [0; 8], message)
    }

    fn unlink(sequence: u32, unlinked: u32) -> Vec<u8> {
        [&[2, sequence, 0x0001_0002, 0, 0, unlinked].map(u32::to_be_bytes).concat()[..], &[0; 24]].concat()
    }

    fn done(sequence: u32, status: i32, length: u32) -> Vec<u8> {
        let mut octets = [3, sequence, 0, 0, 0].map(u32::to_be_bytes).concat();
        octets.extend(status.to_be_bytes());
        octets.extend(length.to_be_bytes());
        octets.resize(48, 0);
        octets
    }

    /// As usbip of Linux 6.1 asks, and takes it.
    #[test]
    fn golden_list() {
        let mut desk = Desk::new();
        for cut in 1..8 {
            let mut session = Session::default();
            session.receive(&hex!("0111 8005 00000000")[..cut]);
            assert_eq!(session.step(&mut desk.reader, &mut desk.card, false, &mut Vec::new()), Ok(None));
        }
        let (events, out) = desk.say(&hex!("0111 8005 00000000")).unwrap();
        assert_eq!((events, out.len()), (vec![Event::Listed], 8 + 4 + 312 + 4));
        assert_eq!(out[..12], hex!("0111 0005 00000000 00000001"));
        assert!(out[12..].starts_with(b"/sys/devices/vuicc/1-1\0") && out[12 + 256..].starts_with(b"1-1\0"));
        assert_eq!(out[12 + 288..], hex!("00000001 00000002 00000003 0BDA 0165 0100 00 00 00 00 01 01  0B 00 00 00"));
    }

    #[test]
    fn imports_are_refused_in_words() {
        for (bus_id, is_busy, status) in [("1-2", false, 4), ("1-11", false, 4), ("1-1", true, 2), ("", true, 4)] {
            let (mut desk, mut out) = (Desk::new(), Vec::new());
            desk.session.receive(&import(bus_id));
            let event = desk.session.step(&mut desk.reader, &mut desk.card, is_busy, &mut out);
            assert_eq!(event, Ok(Some(Event::NotImported)));
            assert_eq!(out, [&hex!("0111 0003 000000")[..], &[status]].concat(), "{bus_id}");
        }
    }

    #[test]
    fn transfers_are_answered_when_there_is_something() {
        let mut desk = Desk::imported();
        // Of a card that is in the host is told at once, of its answers when they are there, whichever is asked for first.
        let (_, out) = desk.say(&submit(2, 3, true, 8, [0; 8], &[])).unwrap();
        assert_eq!(out, [done(2, 0, 2), hex!("50 03").to_vec()].concat());
        let (_, out) =
            desk.say(&[submit(3, 3, true, 8, [0; 8], &[]), submit(4, 2, true, 271, [0; 8], &[])].concat()).unwrap();
        assert!(out.is_empty(), "both are held");
        let (_, out) = desk.say(&command(5, &hex!("62 00000000 00 01 00 0000"))).unwrap();
        let atr = hex!("80 04000000 00 01 00 00 00 3B021450");
        assert_eq!(out, [done(5, 0, 10), done(4, 0, 14), atr.to_vec()].concat());
        let (events, out) = desk.say(&command(6, &hex!("6F 05000000 00 02 00 0000 00B0000001"))).unwrap();
        let exchange = Exchange { command: hex!("00B0000001").to_vec(), response: hex!("AA9000").to_vec() };
        assert_eq!((events, out), (vec![Event::Taken, Event::Exchanged(exchange)], done(6, 0, 15)));
        // libccid has room for more than any message has.
        let (_, out) = desk.say(&submit(7, 2, true, 65_556, [0; 8], &[])).unwrap();
        assert_eq!(out, [done(7, 0, 13), hex!("80 03000000 00 02 00 00 00 AA9000").to_vec()].concat());
        // The card goes, and what is held for that is answered.
        let mut out = Vec::new();
        desk.reader.remove(&mut desk.card);
        desk.session.deliver(&mut desk.reader, &mut out);
        assert_eq!(out, [done(3, 0, 2), hex!("50 02").to_vec()].concat());
    }

    /// The transfer is acknowledged before the card is asked; while its answer is held back, the client can go on.
    #[test]
    fn a_slow_card_is_waited_for() {
        let mut desk = Desk::imported();
        desk.say(&command(2, &hex!("62 00000000 00 01 00 0000"))).unwrap();
        desk.say(&submit(3, 2, true, 271, [0; 8], &[])).unwrap();
        desk.session.receive(&command(4, &hex!("6F 05000000 00 02 00 0000 00B0000001")));
        let mut out = Vec::new();
        let step = |desk: &mut Desk, out: &mut Vec<u8>| {
            out.clear();
            desk.session.step(&mut desk.reader, &mut desk.card, false, out).unwrap()
        };
        assert_eq!(step(&mut desk, &mut out), Some(Event::Taken));
        assert_eq!((out.as_slice(), desk.card.commands.len()), (&*done(4, 0, 15), 0));
        assert!(matches!(step(&mut desk, &mut out), Some(Event::Exchanged(_))));
        assert!(out.is_empty());
        // Nobody asks for the answer yet; who does is told to wait, once each time.
        desk.session.extend_time(&mut desk.reader, &mut out);
        assert!(out.is_empty());
        let extension = hex!("80 00000000 00 02 80 01 00").to_vec();
        for sequence in [5, 6] {
            desk.session.receive(&submit(sequence, 2, true, 271, [0; 8], &[]));
            assert_eq!(step(&mut desk, &mut out), Some(Event::Other));
            assert!(out.is_empty());
            desk.session.extend_time(&mut desk.reader, &mut out);
            assert_eq!(out, [done(sequence, 0, 10), extension.clone()].concat());
        }
        desk.session.receive(&[submit(7, 2, true, 271, [0; 8], &[]), unlink(8, 7)].concat());
        step(&mut desk, &mut out);
        step(&mut desk, &mut out);
        assert_eq!(out[20..24], (-104_i32).to_be_bytes());
        desk.session.receive(&submit(9, 2, true, 271, [0; 8], &[]));
        step(&mut desk, &mut out);
        desk.session.release(&mut desk.reader, &mut out);
        assert_eq!(out, [done(9, 0, 13), hex!("80 03000000 00 02 00 00 00 AA9000").to_vec()].concat());
    }

    #[test]
    fn what_is_unlinked_is_not_answered() {
        let mut desk = Desk::imported();
        desk.say(&submit(2, 3, true, 8, [0; 8], &[])).unwrap();
        let (_, out) = desk.say(&[submit(3, 3, true, 8, [0; 8], &[]), unlink(4, 3), unlink(5, 3)].concat()).unwrap();
        let answer = |sequence: u32, status: i32| {
            let mut octets = [4, sequence, 0, 0, 0].map(u32::to_be_bytes).concat();
            octets.extend(status.to_be_bytes());
            octets.resize(48, 0);
            octets
        };
        assert_eq!(out, [answer(4, -104), answer(5, 0)].concat());
        desk.reader.remove(&mut desk.card);
        let mut out = Vec::new();
        desk.session.deliver(&mut desk.reader, &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn stalls_and_short_transfers() {
        let mut desk = Desk::imported();
        // Half a message's header, an endpoint that is not there, a request that is none.
        for transfer in [
            command(2, &hex!("6F 05000000 00 02")),
            submit(2, 1, true, 8, [0; 8], &[]),
            submit(2, 0x1_0002, true, 8, [0; 8], &[]),
            submit(2, 0, true, 8, hex!("C0 FF 0000 0000 0800"), &[]),
        ] {
            assert_eq!(desk.say(&transfer).unwrap().1, done(2, -32, 0));
        }
        let (_, out) = desk.say(&submit(3, 0, true, 4, hex!("80 06 0001 0000 1200"), &[])).unwrap();
        assert_eq!(out, [done(3, 0, 4), hex!("12 01 0002").to_vec()].concat(), "no more than the buffer takes");
    }

    #[test]
    fn what_does_not_keep_to_the_protocol() {
        let mut desk = Desk::new();
        for wrong in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"G", &hex!("0111 8004 00000000"), &hex!("0111 0005 00000000")] {
            desk.session = Session::default();
            assert_eq!(desk.say(wrong), Err(Fault::Foreign("USB/IP request")), "{wrong:02X?}");
        }
        let of_another = {
            let mut transfer = submit(2, 2, true, 8, [0; 8], &[]);
            transfer[8..12].copy_from_slice(&[0, 7, 0, 7]);
            transfer
        };
        let isochronous = {
            let mut transfer = submit(2, 3, true, 8, [0; 8], &[]);
            transfer[32..36].copy_from_slice(&[0, 0, 0, 1]);
            transfer
        };
        let mut unknown = submit(2, 2, true, 8, [0; 8], &[]);
        unknown[3] = 9;
        for (wrong, fault) in [
            (of_another, Fault::OutOfTurn("a transfer for a device that it has not imported")),
            (isochronous, Fault::OutOfTurn("an isochronous transfer, which no reader has")),
            (unknown, Fault::Foreign("USB/IP transfer")),
            (submit(2, 2, false, u32::MAX - 1, [0; 8], &[]), Fault::TooLong { length: u32::MAX - 1, most: 65_536 }),
            (submit(2, 3, true, 8, [0; 8], &[]).repeat(40), Fault::TooManyTransfers(32)),
        ] {
            assert_eq!(Desk::imported().say(&wrong), Err(fault));
        }
    }
}
