//! A reader of the CCID class with one slot, at TPDU level, for T=0: descriptors, control transfers, messages. CCID 1.1, USB 2.0 §9.
//!
//! Everything that a host may leave to its reader (voltage, clock, speed, parameters) is automatic; a host sends IccPowerOn,
//! XfrBlock, IccPowerOff and GetSlotStatus, and is told by interrupt when the card comes or goes.
//!
//! A command is taken, carried out and answered in steps of their own ([`Reader::take`], [`Reader::carry_out`],
//! [`Reader::release`]): its transfer is acknowledged before the card is asked, and an answer that is held back is announced by time
//! extensions.

mod descriptors;
mod message;

use std::collections::VecDeque;

use apdu::Icc;

pub use descriptors::Identity;
use message::{Answer, Error, Kind, Request};

use crate::tpdu;

/// Endpoints: commands to the reader, answers from it, and what it tells unasked.
pub const COMMANDS: u8 = 0x02;
/// Answers.
pub const ANSWERS: u8 = 0x82;
/// Slot changes.
pub const CHANGES: u8 = 0x83;

/// How many commands and answers may wait for a host that does not fetch them. A slot has one command at a time.
const WAITING: usize = 4;
/// RDR_to_PC_NotifySlotChange. CCID §6.3.1.
const NOTIFY_SLOT_CHANGE: u8 = 0x50;
/// Of slot 0: a card is there; that has changed.
const PRESENT: u8 = 0x01;
const CHANGED: u8 = 0x02;
/// What a card on T=0 is spoken to by: Fi and Di, convention, guard time, waiting integer, clock stop. CCID §6.2.3.
const PARAMETERS: [u8; 5] = [0x11, 0x00, 0x00, 0x0A, 0x00];
const T0: u8 = 0;
/// The request of the class that a host begins to give up with. CCID §5.3.1.
const ABORT: u8 = 1;
/// Features that can be set and cleared. USB 2.0 table 9-6.
const ENDPOINT_HALT: u16 = 0;
const REMOTE_WAKEUP: u16 = 1;

/// A reader refuses a transfer: the host gets a STALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall;

/// The eight octets at the beginning of a control transfer. USB 2.0 §9.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Direction, type, recipient.
    pub request_type: u8,
    /// Which request.
    pub request: u8,
    /// Its value.
    pub value: u16,
    /// Interface or endpoint.
    pub index: u16,
    /// How many octets follow, or are wanted.
    pub length: u16,
}

impl From<[u8; 8]> for Setup {
    fn from([request_type, request, v0, v1, i0, i1, l0, l1]: [u8; 8]) -> Self {
        let [value, index, length] = [[v0, v1], [i0, i1], [l0, l1]].map(u16::from_le_bytes);
        Self { request_type, request, value, index, length }
    }
}

/// Whether an endpoint is the one of control transfers, in either direction.
const fn is_control(endpoint: u16) -> bool {
    matches!(endpoint, 0x00 | 0x80)
}

/// What is in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Absent,
    /// A card without power.
    Inactive,
    Active,
}

/// A command that the card has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// As the host sent it.
    pub command: Vec<u8>,
    /// As the card gave it; nothing if it was silent.
    pub response: Vec<u8>,
}

/// The reader.
#[derive(Debug)]
pub struct Reader {
    identity: Identity,
    slot: Slot,
    configuration: u8,
    parameters: [u8; 5],
    /// Endpoints that the host has halted.
    halted: [bool; 3],
    /// Taken, and not carried out.
    commands: VecDeque<Vec<u8>>,
    /// The answer to the one that was carried out last, until it is released.
    withheld: Option<Vec<u8>>,
    answers: VecDeque<Vec<u8>>,
    aborting: Option<Aborting>,
    change: Option<u8>,
}

/// Half of what gives up the work of the slot: a control transfer and a message, which belong together by their bSeq. Until the other
/// half is there all other messages fail. CCID §5.3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Aborting {
    /// The control transfer has come, for a message with this bSeq.
    Asked(u8),
    /// The message has come.
    Message(Vec<u8>),
}

impl Reader {
    /// A reader without a card.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            slot: Slot::Absent,
            configuration: 0,
            parameters: PARAMETERS,
            halted: [false; 3],
            commands: VecDeque::new(),
            withheld: None,
            answers: VecDeque::new(),
            aborting: None,
            change: None,
        }
    }

    /// What it says it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The configuration that the host has chosen, 0 if none.
    pub const fn configuration(&self) -> u8 {
        self.configuration
    }

    /// Whether a card is in.
    pub fn has_card(&self) -> bool {
        self.slot != Slot::Absent
    }

    /// Puts the card in. The host gives it power.
    pub fn insert(&mut self) {
        if self.slot == Slot::Absent {
            self.slot = Slot::Inactive;
            self.change = Some(PRESENT | CHANGED);
        }
    }

    /// Takes the card out. An answer of it that was held back never comes.
    pub fn remove<C: Icc + ?Sized>(&mut self, card: &mut C) {
        self.power_off(card);
        self.withheld = self.withheld.take().map(|answer| message::cut(&answer));
        self.release();
        if self.slot != Slot::Absent {
            self.slot = Slot::Absent;
            self.change = Some(CHANGED);
        }
    }

    /// The host is gone: the card loses power, and nothing waits any more.
    pub fn unplug<C: Icc + ?Sized>(&mut self, card: &mut C) {
        self.power_off(card);
        self.begin_anew();
        self.configuration = 0;
    }

    fn power_off<C: Icc + ?Sized>(&mut self, card: &mut C) {
        if self.slot == Slot::Active {
            card.power_off();
            self.slot = Slot::Inactive;
        }
    }

    fn begin_anew(&mut self) {
        (self.parameters, self.halted) = (PARAMETERS, [false; 3]);
        self.commands.clear();
        self.withheld = None;
        self.aborting = None;
        self.answers.clear();
        self.change = self.has_card().then_some(PRESENT | CHANGED);
    }

    /// A control transfer: what the host gets.
    ///
    /// # Errors
    /// If the reader has no such request.
    pub fn control(&mut self, setup: Setup, data: &[u8]) -> Result<Vec<u8>, Stall> {
        let mut answer = match (setup.request_type, setup.request) {
            (0x80, 0) => vec![0, 0],
            (0x81, 0) if setup.index == 0 => vec![0, 0],
            // Endpoint 0 is never halted.
            (0x82, 0) if is_control(setup.index) => vec![0, 0],
            (0x82, 0) => vec![u8::from(*self.halt(setup.index)?), 0],
            (0x80, 6) => descriptors::of(&self.identity, setup.value).ok_or(Stall)?,
            (0x80, 8) => vec![self.configuration],
            (0x81, 10) if setup.index == 0 => vec![0],
            (0x02, 1) if is_control(setup.index) && setup.value == ENDPOINT_HALT => Vec::new(),
            (0x02, 1 | 3) if setup.value == ENDPOINT_HALT => {
                *self.halt(setup.index)? = setup.request == 3;
                Vec::new()
            }
            (0x00, 1 | 3) if setup.value == REMOTE_WAKEUP => Vec::new(),
            (0x00, 9) => {
                self.configuration = setup.value.try_into().ok().filter(|value| *value <= 1).ok_or(Stall)?;
                self.begin_anew();
                Vec::new()
            }
            (0x01, 11) if setup.value == 0 && setup.index == 0 => Vec::new(),
            (0x21, ABORT) if setup.index == 0 && data.is_empty() => {
                let [sequence, slot] = setup.value.to_be_bytes();
                if slot != 0 {
                    return Err(Stall);
                }
                self.abort(sequence);
                Vec::new()
            }
            _ => return Err(Stall),
        };
        answer.truncate(setup.length.into());
        Ok(answer)
    }

    /// The card cannot be stopped: its answer is given up, and what waits for it fails.
    fn abort(&mut self, sequence: u8) {
        let is_its = |message: &[u8]| Request::read(message).is_some_and(|request| request.sequence == sequence);
        if let Some(Aborting::Message(message)) = self.aborting.replace(Aborting::Asked(sequence))
            && is_its(&message)
        {
            self.commands.push_front(message);
        }
        self.withheld = self.withheld.take().map(|answer| message::abort(&answer));
        self.release();
    }

    fn halt(&mut self, endpoint: u16) -> Result<&mut bool, Stall> {
        let all = [COMMANDS, ANSWERS, CHANGES];
        let at = all.iter().position(|number| u16::from(*number) == endpoint).ok_or(Stall)?;
        self.halted.get_mut(at).ok_or(Stall)
    }

    fn is_halted(&mut self, endpoint: u8) -> bool {
        self.halt(endpoint.into()).is_ok_and(|halted| *halted)
    }

    /// A transfer to [`COMMANDS`]: one message, whole. It is to be carried out next.
    ///
    /// # Errors
    /// If the endpoint is halted, the transfer holds no message that could be answered, or too many answers wait.
    pub fn take(&mut self, transfer: &[u8]) -> Result<(), Stall> {
        let waiting = self.commands.len() + usize::from(self.withheld.is_some()) + self.answers.len();
        if self.is_halted(COMMANDS) || self.configuration == 0 || waiting >= WAITING {
            return Err(Stall);
        }
        Request::read(transfer).ok_or(Stall)?;
        self.commands.push_back(transfer.to_vec());
        Ok(())
    }

    /// Whether a command can be carried out: one was taken, and no answer is held back.
    pub fn has_command(&self) -> bool {
        self.withheld.is_none() && !self.commands.is_empty()
    }

    /// Whether an answer of the card is held back.
    pub const fn is_withholding(&self) -> bool {
        self.withheld.is_some()
    }

    /// Carries out the next command that was taken. What the card answers is held back until it is [released](Self::release); other
    /// answers are not.
    pub fn carry_out<C: Icc + ?Sized>(&mut self, card: &mut C) -> Option<Exchange> {
        if self.withheld.is_some() {
            return None;
        }
        let transfer = self.commands.pop_front()?;
        let request = Request::read(&transfer)?;
        if self.waits_for_abort(&request) {
            self.aborting = Some(Aborting::Message(transfer));
            return None;
        }
        let mut exchange = None;
        let outcome = self.outcome(card, &request, &mut exchange);
        let answer = Answer { request: &request, icc_status: self.icc_status(&request), outcome };
        self.withheld = Some(answer.write());
        if exchange.is_none() {
            self.release();
        }
        exchange
    }

    /// Whether this message is one half of giving up, and the other one has not come.
    fn waits_for_abort(&self, request: &Request<'_>) -> bool {
        request.kind == Kind::Abort
            && request.is_whole()
            && request.slot == 0
            && self.aborting != Some(Aborting::Asked(request.sequence))
    }

    /// What was held back can be fetched now.
    pub fn release(&mut self) {
        self.answers.extend(self.withheld.take());
    }

    /// Tells the host of an answer that is held back to wait for longer: once for each time that it asks. CCID §6.2.6.
    pub fn extend_time(&mut self) {
        if self.answers.is_empty()
            && let Some(withheld) = &self.withheld
        {
            self.answers.push_back(message::time_extension(withheld));
        }
    }

    /// A transfer from [`ANSWERS`], of at most so many octets; `None` if there is nothing yet.
    ///
    /// # Errors
    /// If the endpoint is halted.
    pub fn answer(&mut self, most: usize) -> Result<Option<Vec<u8>>, Stall> {
        if self.is_halted(ANSWERS) {
            return Err(Stall);
        }
        let Some(mut answer) = self.answers.pop_front() else { return Ok(None) };
        if answer.len() > most {
            let rest = answer.split_off(most);
            self.answers.push_front(rest);
        }
        Ok(Some(answer))
    }

    /// A transfer from [`CHANGES`]; `None` if nothing has changed.
    ///
    /// # Errors
    /// If the endpoint is halted.
    pub fn change(&mut self, most: usize) -> Result<Option<Vec<u8>>, Stall> {
        if self.is_halted(CHANGES) {
            return Err(Stall);
        }
        let change = self.change.take_if(|_| self.configuration != 0);
        Ok(change.map(|change| [NOTIFY_SLOT_CHANGE, change].into_iter().take(most).collect()))
    }

    /// bmICCStatus. CCID §6.2.6.
    const fn icc_status(&self, request: &Request<'_>) -> u8 {
        match self.slot {
            _ if request.slot != 0 => 2,
            Slot::Active => 0,
            Slot::Inactive => 1,
            Slot::Absent => 2,
        }
    }

    /// What a message comes to: the data of its answer, or why there are none.
    fn outcome<C: Icc + ?Sized>(
        &mut self,
        card: &mut C,
        request: &Request<'_>,
        exchange: &mut Option<Exchange>,
    ) -> Result<Vec<u8>, Error> {
        if !request.is_whole() {
            return Err(Error::BAD_LENGTH);
        }
        if request.slot != 0 {
            return Err(Error::NO_SUCH_SLOT);
        }
        if request.kind == Kind::Abort {
            self.aborting = None;
        } else if self.aborting.is_some() {
            return Err(Error::ABORTED);
        }
        match request.kind {
            Kind::GetSlotStatus | Kind::Abort => Ok(Vec::new()),
            Kind::IccPowerOff => {
                self.power_off(card);
                Ok(Vec::new())
            }
            // Automatic, 5 V, 3 V, 1.8 V.
            Kind::IccPowerOn if request.choice > 3 => Err(Error::BAD_CHOICE),
            Kind::IccPowerOn => self.power_on(card),
            Kind::XfrBlock => self.exchange(card, request, exchange),
            Kind::GetParameters => Ok(self.parameters.to_vec()),
            Kind::ResetParameters => {
                self.parameters = PARAMETERS;
                Ok(self.parameters.to_vec())
            }
            Kind::SetParameters => self.set_parameters(request),
            Kind::Unsupported(_) => Err(Error::NOT_SUPPORTED),
        }
    }

    fn power_on<C: Icc + ?Sized>(&mut self, card: &mut C) -> Result<Vec<u8>, Error> {
        let atr = match self.slot {
            Slot::Absent => return Err(Error::MUTE),
            Slot::Inactive => card.power_on(),
            Slot::Active => card.warm_reset(),
        };
        self.slot = Slot::Active;
        self.parameters = PARAMETERS;
        if atr.is_empty() {
            self.power_off(card);
            return Err(Error::MUTE);
        }
        Ok(atr)
    }

    fn exchange<C: Icc + ?Sized>(
        &mut self,
        card: &mut C,
        request: &Request<'_>,
        exchange: &mut Option<Exchange>,
    ) -> Result<Vec<u8>, Error> {
        if self.slot != Slot::Active {
            return Err(Error::MUTE);
        }
        // wLevelParameter is for chains of extended APDUs.
        if request.level != 0 {
            return Err(Error::BAD_LEVEL);
        }
        if request.data.len() > tpdu::LONGEST_COMMAND {
            return Err(Error::BAD_LENGTH);
        }
        let mut response = Vec::with_capacity(tpdu::LONGEST_RESPONSE);
        let outcome = tpdu::exchange(card, request.data, &mut response);
        *exchange = Some(Exchange { command: request.data.to_vec(), response: response.clone() });
        outcome.map(|()| response).map_err(|tpdu::Mute| Error::MUTE)
    }

    fn set_parameters(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Error> {
        if request.choice != T0 {
            return Err(Error::BAD_CHOICE);
        }
        self.parameters = request.data.try_into().map_err(|_| Error::BAD_LENGTH)?;
        Ok(self.parameters.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::testing::FakeCard;

    fn setup(octets: [u8; 8]) -> Setup {
        octets.into()
    }

    fn configured() -> Reader {
        let mut reader = Reader::new(Identity::default());
        reader.insert();
        assert_eq!(reader.control(setup(hex!("0009 0100 0000 0000")), &[]), Ok(vec![]));
        reader
    }

    fn asked(reader: &mut Reader, card: &mut FakeCard, message: &[u8]) -> Vec<u8> {
        reader.take(message).unwrap();
        reader.carry_out(card);
        reader.release();
        reader.answer(1024).unwrap().unwrap()
    }

    #[test]
    fn golden_messages() {
        let (mut reader, mut card) = (configured(), FakeCard::default());
        for (message, answer) in [
            // GetSlotStatus: a card without power; XfrBlock, which that does not answer; IccPowerOn, again, which is a warm reset.
            (&hex!("65 00000000 00 01 000000")[..], &hex!("81 00000000 00 01 01 00 01")[..]),
            (&hex!("6F 05000000 00 02 00 0000 00B0000001"), &hex!("80 00000000 00 02 41 FE 00")),
            (&hex!("62 00000000 00 03 00 0000"), &hex!("80 04000000 00 03 00 00 00 3B021450")),
            (&hex!("62 00000000 00 04 01 0000"), &hex!("80 04000000 00 04 00 00 00 3B021450")),
            // Parameters: got, set, not for T=1, reset.
            (&hex!("6C 00000000 00 05 000000"), &hex!("82 05000000 00 05 00 00 00 11 00 00 0A 00")),
            (&hex!("61 05000000 00 06 00 0000 1800000A00"), &hex!("82 05000000 00 06 00 00 00 18 00 00 0A 00")),
            (&hex!("61 07000000 00 07 01 0000 11104D00004D00"), &hex!("82 00000000 00 07 40 07 00")),
            (&hex!("6D 00000000 00 08 000000"), &hex!("82 05000000 00 08 00 00 00 11 00 00 0A 00")),
            // XfrBlock: case 1 with P3, case 2, case 3; a level that is none; a command that stays unanswered.
            (&hex!("6F 05000000 00 09 00 0000 0044000000"), &hex!("80 02000000 00 09 00 00 00 9000")),
            (&hex!("6F 05000000 00 0A 00 0000 00B0000002"), &hex!("80 04000000 00 0A 00 00 00 AAAA9000")),
            (&hex!("6F 07000000 00 0B 00 0000 00A40004023F00"), &hex!("80 02000000 00 0B 00 00 00 9000")),
            (&hex!("6F 05000000 00 0C 00 0100 00B0000002"), &hex!("80 00000000 00 0C 40 08 00")),
            (&hex!("6F 04000000 00 0D 00 0000 00FE0000"), &hex!("80 00000000 00 0D 40 FE 00")),
            // Another slot; half a message; too much of one; what this reader cannot do; what no reader can.
            (&hex!("65 00000000 01 0E 000000"), &hex!("81 00000000 01 0E 42 05 01")),
            (&hex!("6F 05000000 00 0F 00 0000 00B0"), &hex!("80 00000000 00 0F 40 01 00")),
            (&hex!("6F FFFFFFFF 00 10 00 0000 00B0"), &hex!("80 00000000 00 10 40 01 00")),
            (&hex!("65 00000000 00 11 000000 00"), &hex!("81 00000000 00 11 40 01 00")),
            (&hex!("6B 01000000 00 12 000000 02"), &hex!("83 00000000 00 12 40 00 00")),
            (&hex!("73 08000000 00 13 000000 0000000000000000"), &hex!("84 00000000 00 13 40 00 00")),
            (&hex!("FF 00000000 00 14 000000"), &hex!("81 00000000 00 14 40 00 00")),
            // A voltage that there is not; IccPowerOff twice.
            (&hex!("62 00000000 00 15 04 0000"), &hex!("80 00000000 00 15 40 07 00")),
            (&hex!("65 00000000 00 16 000000"), &hex!("81 00000000 00 16 00 00 00")),
            (&hex!("63 00000000 00 17 000000"), &hex!("81 00000000 00 17 01 00 01")),
            (&hex!("63 00000000 00 18 000000"), &hex!("81 00000000 00 18 01 00 01")),
        ] {
            assert_eq!(asked(&mut reader, &mut card, message), answer, "{message:02X?}");
        }
        assert_eq!((card.has_power, card.resets), (false, 2));
        reader.remove(&mut card);
        for (message, answer) in [
            (&hex!("65 00000000 00 01 000000")[..], &hex!("81 00000000 00 01 02 00 01")[..]),
            (&hex!("62 00000000 00 02 000000"), &hex!("80 00000000 00 02 42 FE 00")),
            (&hex!("6F 05000000 00 03 00 0000 00B0000001"), &hex!("80 00000000 00 03 42 FE 00")),
        ] {
            assert_eq!(asked(&mut reader, &mut card, message), answer, "{message:02X?}");
        }
    }

    #[test]
    fn coming_and_going_is_told_once() {
        let (mut reader, mut card) = (configured(), FakeCard::default());
        assert_eq!(reader.change(8), Ok(Some(vec![0x50, 0x03])));
        assert_eq!(reader.change(8), Ok(None));
        reader.remove(&mut card);
        reader.remove(&mut card);
        assert_eq!(reader.change(8), Ok(Some(vec![0x50, 0x02])));
        reader.insert();
        reader.insert();
        assert_eq!([reader.change(8), reader.change(8)], [Ok(Some(vec![0x50, 0x03])), Ok(None)]);
        // The power is gone with the card, and with the host.
        asked(&mut reader, &mut card, &hex!("62 00000000 00 01 000000"));
        reader.unplug(&mut card);
        assert_eq!((card.has_power, reader.configuration(), reader.has_card()), (false, 0, true));
        assert_eq!(reader.change(8), Ok(None), "nobody has configured it");
    }

    #[test]
    fn control_transfers() {
        let mut reader = configured();
        for (request, answer) in [
            (hex!("80 06 0001 0000 1200"), Ok(hex!("12 01 0002 00 00 00 40 DA0B 6501 0001 01 02 03 01").to_vec())),
            (hex!("80 06 0001 0000 0800"), Ok(hex!("12 01 0002 00 00 00 40").to_vec())),
            (hex!("80 06 0002 0000 0900"), Ok(hex!("09 02 5D00 01 01 00 80 32").to_vec())),
            (hex!("80 06 0003 0000 FF00"), Ok(hex!("04 03 0904").to_vec())),
            (hex!("80 06 0103 0904 FF00"), Ok(hex!("0C 03 7600 7500 6900 6300 6300").to_vec())),
            // No string 9, no device qualifier.
            (hex!("80 06 0903 0904 FF00"), Err(Stall)),
            (hex!("80 06 0006 0000 0A00"), Err(Stall)),
            (hex!("80 00 0000 0000 0200"), Ok(vec![0, 0])),
            (hex!("82 00 0000 8200 0200"), Ok(vec![0, 0])),
            (hex!("82 00 0000 8700 0200"), Err(Stall)),
            // Endpoint 0 is there as well, and never halted. Features that there are, and some that there are not.
            (hex!("82 00 0000 0000 0200"), Ok(vec![0, 0])),
            (hex!("82 00 0000 8000 0200"), Ok(vec![0, 0])),
            (hex!("02 01 0000 0000 0000"), Ok(vec![])),
            (hex!("02 03 0000 0000 0000"), Err(Stall)),
            (hex!("02 03 0700 0200 0000"), Err(Stall)),
            (hex!("00 03 0100 0000 0000"), Ok(vec![])),
            (hex!("00 03 0200 0001 0000"), Err(Stall)),
            (hex!("01 0B 0000 0100 0000"), Err(Stall)),
            (hex!("80 08 0000 0000 0100"), Ok(vec![1])),
            (hex!("81 0A 0000 0000 0100"), Ok(vec![0])),
            (hex!("01 0B 0000 0000 0000"), Ok(vec![])),
            (hex!("01 0B 0100 0000 0000"), Err(Stall)),
            (hex!("00 09 0200 0000 0000"), Err(Stall)),
            (hex!("81 00 0000 0100 0200"), Err(Stall)),
            (hex!("81 0A 0000 0100 0100"), Err(Stall)),
            // ABORT, and for an interface and a slot that there are not.
            (hex!("21 01 0000 0000 0000"), Ok(vec![])),
            (hex!("21 01 0000 0100 0000"), Err(Stall)),
            (hex!("21 01 0105 0000 0000"), Err(Stall)),
            // GET_CLOCK_FREQUENCIES: there is one.
            (hex!("A1 02 0000 0000 0400"), Err(Stall)),
            (hex!("C0 FF 0000 0000 FFFF"), Err(Stall)),
        ] {
            assert_eq!(reader.control(setup(request), &[]), answer, "{request:02X?}");
        }
        let whole = reader.control(setup(hex!("80 06 0002 0000 FFFF")), &[]).unwrap();
        assert_eq!(
            whole,
            hex!(
                "09 02 5D00 01 01 00 80 32  09 04 00 00 03 0B 00 00 00
                 36 21 1001 00 07 01000000 A00F0000 A00F0000 00 002A0000 16400500 00 FE000000 00000000 00000000 FE000100
                 0F010000 FF FF 0000 00 01
                 07 05 02 02 0002 00  07 05 82 02 0002 00  07 05 83 03 0800 08"
            )
        );
    }

    /// READ BINARY, whose answer is held back.
    fn withholding(card: &mut FakeCard) -> Reader {
        let mut reader = configured();
        asked(&mut reader, card, &hex!("62 00000000 00 01 00 0000"));
        reader.take(&hex!("6F 05000000 00 02 00 0000 00B0000001")).unwrap();
        assert_eq!(card.commands.len(), 0, "taking is not carrying out");
        assert!(reader.has_command() && reader.carry_out(card).is_some() && reader.is_withholding());
        reader
    }

    #[test]
    fn time_is_extended() {
        let mut card = FakeCard::default();
        let mut reader = withholding(&mut card);
        reader.take(&hex!("65 00000000 00 03 000000")).unwrap();
        assert!(!reader.has_command() && reader.carry_out(&mut card).is_none(), "one at a time");
        assert_eq!(reader.answer(64), Ok(None));
        for _ in 0..3 {
            reader.extend_time();
            reader.extend_time();
            assert_eq!(reader.answer(64), Ok(Some(hex!("80 00000000 00 02 80 01 00").to_vec())));
            assert_eq!(reader.answer(64), Ok(None), "one for each question");
        }
        reader.release();
        reader.extend_time();
        assert_eq!(reader.answer(64), Ok(Some(hex!("80 03000000 00 02 00 00 00 AA9000").to_vec())));
        assert_eq!(reader.carry_out(&mut card), None);
        assert_eq!(reader.answer(64), Ok(Some(hex!("81 00000000 00 03 00 00 00").to_vec())));
        assert_eq!(card.commands.len(), 1);
    }

    /// ABORT of the control pipe for a message with this bSeq.
    fn abort(reader: &mut Reader, sequence: u8) {
        assert_eq!(reader.control(setup([0x21, 1, 0, sequence, 0, 0, 0, 0]), &[]), Ok(vec![]));
    }

    #[test]
    fn what_is_given_up_by_halves_fails() {
        let (mut reader, mut card) = (configured(), FakeCard::default());
        asked(&mut reader, &mut card, &hex!("62 00000000 00 01 00 0000"));
        abort(&mut reader, 9);
        for (message, answer) in [
            (&hex!("65 00000000 00 02 000000")[..], &hex!("81 00000000 00 02 40 FF 00")[..]),
            (&hex!("6F 05000000 00 03 00 0000 00B0000001"), &hex!("80 00000000 00 03 40 FF 00")),
            (&hex!("62 00000000 00 04 00 0000"), &hex!("80 00000000 00 04 40 FF 00")),
            (&hex!("72 00000000 00 09 000000"), &hex!("81 00000000 00 09 00 00 00")),
            (&hex!("65 00000000 00 0A 000000"), &hex!("81 00000000 00 0A 00 00 00")),
        ] {
            assert_eq!(asked(&mut reader, &mut card, message), answer, "{message:02X?}");
        }
        assert_eq!(card.commands.len(), 0, "nothing reached the card");
        // The message first: it waits for the transfer of its number, and so do others.
        reader.take(&hex!("72 00000000 00 0B 000000")).unwrap();
        assert_eq!((reader.carry_out(&mut card), reader.answer(64)), (None, Ok(None)));
        let status = hex!("65 00000000 00 0C 000000");
        assert_eq!(asked(&mut reader, &mut card, &status), hex!("81 00000000 00 0C 40 FF 00"));
        abort(&mut reader, 0x0B);
        assert!(reader.has_command());
        reader.carry_out(&mut card);
        assert_eq!(reader.answer(64), Ok(Some(hex!("81 00000000 00 0B 00 00 00").to_vec())));
        assert_eq!(asked(&mut reader, &mut card, &status), hex!("81 00000000 00 0C 00 00 00"));
        // A host that begins anew has given up nothing.
        abort(&mut reader, 1);
        assert_eq!(reader.control(setup(hex!("0009 0100 0000 0000")), &[]), Ok(vec![]));
        assert_eq!(asked(&mut reader, &mut card, &status), hex!("81 00000000 00 0C 00 00 00"));
    }

    #[test]
    fn an_answer_that_is_held_back_is_given_up() {
        let mut card = FakeCard::default();
        let mut reader = withholding(&mut card);
        reader.take(&hex!("72 00000000 00 03 000000")).unwrap();
        abort(&mut reader, 3);
        assert_eq!(reader.answer(64), Ok(Some(hex!("80 00000000 00 02 40 FF 00").to_vec())));
        assert_eq!(reader.carry_out(&mut card), None);
        assert_eq!(reader.answer(64), Ok(Some(hex!("81 00000000 00 03 00 00 00").to_vec())));
        reader.release();
        assert_eq!(reader.answer(64), Ok(None), "it does not come later");
    }

    #[test]
    fn a_card_that_is_pulled_does_not_answer_any_more() {
        let mut card = FakeCard::default();
        let mut reader = withholding(&mut card);
        reader.remove(&mut card);
        assert_eq!((reader.is_withholding(), card.has_power), (false, false));
        assert_eq!(reader.answer(64), Ok(Some(hex!("80 00000000 00 02 42 FE 00").to_vec())));
        // A host that is gone, or configures the reader anew, gets nothing of before.
        for anew in [
            |reader: &mut Reader, card: &mut FakeCard| reader.unplug(card),
            |reader: &mut Reader, _: &mut FakeCard| {
                assert_eq!(reader.control(setup(hex!("0009 0100 0000 0000")), &[]), Ok(vec![]));
            },
        ] {
            card.commands.clear();
            let mut reader = withholding(&mut card);
            reader.take(&hex!("6F 05000000 00 03 00 0000 00B0000001")).unwrap();
            anew(&mut reader, &mut card);
            reader.release();
            assert_eq!((reader.has_command(), reader.answer(64)), (false, Ok(None)));
        }
    }

    #[test]
    fn halted_and_flooded() {
        let (mut reader, mut card) = (configured(), FakeCard::default());
        assert_eq!(reader.control(setup(hex!("02 03 0000 0200 0000")), &[]), Ok(vec![]));
        assert_eq!(reader.control(setup(hex!("82 00 0000 0200 0200")), &[]), Ok(vec![1, 0]));
        let status = hex!("65 00000000 00 01 000000");
        assert_eq!(reader.take(&status), Err(Stall));
        assert_eq!(reader.control(setup(hex!("02 01 0000 0200 0000")), &[]), Ok(vec![]));
        for _ in 0..WAITING {
            assert_eq!(reader.take(&status), Ok(()));
        }
        assert_eq!(reader.take(&status), Err(Stall), "they have to be carried out");
        for _ in 0..WAITING {
            assert_eq!(reader.carry_out(&mut card), None);
        }
        assert_eq!(reader.take(&status), Err(Stall), "answers have to be fetched");
        assert_eq!(reader.answer(4), Ok(Some(hex!("81 000000").to_vec())), "a part");
        assert_eq!(reader.answer(64), Ok(Some(hex!("00 00 01 01 00 01").to_vec())), "and the rest");
        for half in [&hex!("65 00000000 00 01 0000")[..], &[]] {
            assert_eq!(reader.take(half), Err(Stall), "half a header");
        }
    }
}
