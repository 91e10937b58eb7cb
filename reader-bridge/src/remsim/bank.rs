//! The end with the cards: who may use which, and what a client's messages do to its card. No sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apdu::{Icc, StatusWord};
use rspro::{
    BankSlot, ClientSlot, ComponentType, ErrorCode, Identity, Message, ResultCode, Severity, SlotStatus, TpduFlags,
    VERSION,
};
use tokio::sync::watch;

use super::{ANSWER, identity};

/// A card that any thread may use.
type AnyCard = Box<dyn Icc + Send>;

/// How long a client waits for a card that another one still has: its connection may have ended while the card computes. Half of what a
/// client waits for its answer.
const HANDOVER: Duration = Duration::from_secs(ANSWER.as_secs() / 2);

/// Octets of the shortest command.
const SHORTEST_COMMAND: usize = 4;

/// Which client may use which card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mappings {
    /// Slot 0 of any client the first card, slot 1 the second: who comes first has it until they go.
    ByNumber,
    /// The client of each slot that has one.
    Listed(BTreeMap<u16, ClientSlot>),
}

impl Mappings {
    /// The slot whose card this client may use.
    fn slot_of(&self, client: ClientSlot) -> Option<u16> {
        match self {
            Self::ByNumber => Some(client.slot),
            Self::Listed(list) => list.iter().find_map(|(slot, theirs)| (*theirs == client).then_some(*slot)),
        }
    }
}

/// Why there is no such bank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BankError {
    /// It has no card, or more than the protocol has numbers for.
    #[error("a bank has 1 to 1023 cards, not {0}")]
    Cards(usize),
    /// A mapping names a slot without a card.
    #[error("there is no card in slot {0}; the last one is in slot {1}")]
    NoSuchSlot(u16, u16),
    /// Its number is none.
    #[error("a bank has a number from 0 to 1023, not {0}")]
    Number(u16),
}

struct Slot {
    card: Mutex<AnyCard>,
    is_taken: Mutex<bool>,
    /// Wakes those that wait for the card.
    is_free: Condvar,
}

impl Slot {
    /// Takes the card, once the client that has it lets it go; whether that was within `limit`.
    fn take(&self, limit: Duration) -> bool {
        let taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.is_free.wait_timeout_while(taken, limit, |taken| *taken);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut *taken, true)
    }

    fn let_go(&self) {
        *self.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.is_free.notify_one();
    }
}

/// Cards, each in a slot, numbered from 0.
pub struct Bank {
    number: u16,
    slots: Vec<Slot>,
    identity: Identity,
    mappings: watch::Sender<Mappings>,
    handover: Duration,
}

impl Bank {
    /// A bank of these cards, under this number.
    ///
    /// # Errors
    /// A [`BankError`] if the protocol has no numbers for them.
    pub fn new(number: u16, cards: Vec<AnyCard>, mappings: Mappings) -> Result<Self, BankError> {
        const LARGEST: u16 = 1023;
        let count = u16::try_from(cards.len()).ok().filter(|count| (1..=LARGEST).contains(count));
        let count = count.ok_or(BankError::Cards(cards.len()))?;
        if number > LARGEST {
            return Err(BankError::Number(number));
        }
        if let Mappings::Listed(list) = &mappings
            && let Some(slot) = list.keys().find(|slot| **slot >= count)
        {
            return Err(BankError::NoSuchSlot(*slot, count - 1));
        }
        let slot = |card| Slot { card: Mutex::new(card), is_taken: Mutex::new(false), is_free: Condvar::new() };
        Ok(Self {
            number,
            slots: cards.into_iter().map(slot).collect(),
            identity: identity(ComponentType::BANK, "bank"),
            mappings: watch::Sender::new(mappings),
            handover: HANDOVER,
        })
    }

    /// Its number.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// How many slots it has.
    pub fn slots(&self) -> u16 {
        // As `new` has made sure.
        u16::try_from(self.slots.len()).unwrap_or(u16::MAX)
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Wakes each client that waits for a change of the mappings.
    pub(super) fn mappings(&self) -> watch::Receiver<Mappings> {
        self.mappings.subscribe()
    }

    /// What the server asks of the bank, and its answer; `None` for what is no request to a bank.
    pub(super) fn obey(&self, message: &Message) -> Option<Message> {
        Some(match message {
            Message::CreateMappingReq { client, bank } => Message::CreateMappingRes(self.create(*client, *bank)),
            Message::RemoveMappingReq { client, bank } => Message::RemoveMappingRes(self.remove(*client, *bank)),
            Message::ResetStateReq => {
                self.mappings.send_replace(Mappings::Listed(BTreeMap::new()));
                Message::ResetStateRes(ResultCode::OK)
            }
            _ => return None,
        })
    }

    fn illegal(&self, bank: BankSlot) -> Option<ResultCode> {
        if bank.bank != self.number {
            Some(ResultCode::ILLEGAL_BANK_ID)
        } else if bank.slot >= self.slots() {
            Some(ResultCode::ILLEGAL_SLOT_ID)
        } else {
            None
        }
    }

    /// A client has one card, and a card one client: an earlier mapping of either gives way.
    fn create(&self, client: ClientSlot, bank: BankSlot) -> ResultCode {
        if let Some(illegal) = self.illegal(bank) {
            return illegal;
        }
        self.mappings.send_if_modified(|mappings| {
            let mut list = match mappings {
                Mappings::Listed(list) => list.clone(),
                Mappings::ByNumber => BTreeMap::new(),
            };
            list.retain(|slot, theirs| *slot != bank.slot && *theirs != client);
            list.insert(bank.slot, client);
            let changed = Mappings::Listed(list);
            let is_new = changed != *mappings;
            *mappings = changed;
            is_new
        });
        ResultCode::OK
    }

    fn remove(&self, client: ClientSlot, bank: BankSlot) -> ResultCode {
        if let Some(illegal) = self.illegal(bank) {
            return illegal;
        }
        let is_gone = self.mappings.send_if_modified(|mappings| match mappings {
            Mappings::Listed(list) if list.get(&bank.slot) == Some(&client) => list.remove(&bank.slot).is_some(),
            _ => false,
        });
        if is_gone { ResultCode::OK } else { ResultCode::UNKNOWN_SLOTMAP }
    }
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bank").field("number", &self.number).field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

/// A card that a client has, and nobody else; it loses its power when this is dropped.
struct Held {
    bank: Arc<Bank>,
    slot: u16,
}

impl Held {
    /// Waits for it, if another client has it, as long as that may take to let it go.
    fn take(bank: &Arc<Bank>, slot: u16) -> Result<Self, ResultCode> {
        let there = bank.slots.get(usize::from(slot)).ok_or(ResultCode::CARD_NOT_PRESENT)?;
        if !there.take(bank.handover) {
            return Err(ResultCode::IDENTITY_IN_USE);
        }
        Ok(Self { bank: Arc::clone(bank), slot })
    }

    fn with<T>(&self, task: impl FnOnce(&mut AnyCard) -> T) -> Option<T> {
        let slot = self.bank.slots.get(usize::from(self.slot))?;
        let mut card: MutexGuard<'_, AnyCard> = slot.card.lock().unwrap_or_else(PoisonError::into_inner);
        Some(task(&mut card))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.with(Icc::power_off);
        if let Some(slot) = self.bank.slots.get(usize::from(self.slot)) {
            slot.let_go();
        }
    }
}

/// One client, from its connection to the end of that.
pub(super) struct Attendance {
    bank: Arc<Bank>,
    client: Option<ClientSlot>,
    held: Option<Held>,
    atr: Vec<u8>,
    /// The contacts as the client said last.
    power: bool,
    reset: bool,
}

/// What a message comes to: the answers, and why the connection ends after them, if it does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) answers: Vec<Message>,
    pub(super) end: Option<String>,
}

impl Outcome {
    fn answers(answers: Vec<Message>) -> Self {
        Self { answers, end: None }
    }

    fn end(why: impl Into<String>) -> Self {
        Self { answers: Vec::new(), end: Some(why.into()) }
    }
}

impl Attendance {
    /// A client of which nothing is known yet. Its card has its power from the moment on that the client has it.
    pub(super) const fn new(bank: Arc<Bank>) -> Self {
        Self { bank, client: None, held: None, atr: Vec::new(), power: true, reset: false }
    }

    /// Who it is, once it has said so.
    pub(super) const fn client(&self) -> Option<ClientSlot> {
        self.client
    }

    /// The slot of the card that it has.
    pub(super) fn slot(&self) -> Option<u16> {
        self.held.as_ref().map(|held| held.slot)
    }

    /// What is said to a message of another version.
    pub(super) fn unsupported(&self) -> Message {
        match self.client {
            None => Message::ConnectClientRes {
                identity: self.bank.identity.clone(),
                result: ResultCode::UNSUPPORTED_PROTOCOL_VERSION,
            },
            Some(_) => Message::ErrorInd {
                sender: ComponentType::BANK,
                severity: Severity::FATAL,
                code: ErrorCode::UNEXPECTED_PROTOCOL_VERSION,
                bank: None,
                client: self.client,
                text: Some(format!("this bank has version {VERSION}")),
            },
        }
    }

    /// Does what a message says.
    pub(super) fn take(&mut self, message: &Message) -> Outcome {
        match message {
            Message::ConnectClientReq { identity, client } => self.connect(identity, *client),
            Message::TpduModemToCard { from, to, data, .. } => match self.check(*from, *to) {
                Ok(()) => self.transmit(data),
                Err(why) => Outcome::end(why),
            },
            Message::ClientSlotStatusInd { from, to, status } => match self.check(*from, *to) {
                Ok(()) => self.contacts(*status),
                Err(why) => Outcome::end(why),
            },
            Message::SetAtrRes(_) | Message::ErrorInd { .. } => Outcome::default(),
            _ => Outcome::end("it sent a message that no client sends to a bank"),
        }
    }

    fn connect(&mut self, identity: &Identity, client: Option<ClientSlot>) -> Outcome {
        let own = self.bank.identity.clone();
        let result = |result| Message::ConnectClientRes { identity: own.clone(), result };
        let illegal =
            |why: &str| Outcome { answers: vec![result(ResultCode::ILLEGAL_CLIENT_ID)], end: Some(why.to_owned()) };
        let Some(client) = client else { return illegal("it does not say which client it is") };
        if self.client.is_some() {
            return illegal("it said twice who it is");
        }
        if identity.component != ComponentType::CLIENT {
            return illegal("it says that it is no client");
        }
        let found = self.open(client);
        let first = result(found.as_ref().err().copied().unwrap_or(ResultCode::OK));
        self.client = Some(client);
        match found {
            Ok(atr) => Outcome::answers(vec![first, atr]),
            // It may wait for its mapping.
            Err(ResultCode::CARD_NOT_PRESENT) => Outcome::answers(vec![first]),
            Err(code) => Outcome { answers: vec![first], end: Some(format!("client {client} got no card: {code}")) },
        }
    }

    /// Takes the card that the client may use, and gives it its power.
    fn open(&mut self, client: ClientSlot) -> Result<Message, ResultCode> {
        let slot = self.bank.mappings.borrow().slot_of(client).ok_or(ResultCode::CARD_NOT_PRESENT)?;
        let held = Held::take(&self.bank, slot)?;
        self.atr = held.with(Icc::power_on).unwrap_or_default();
        if self.atr.is_empty() {
            return Err(ResultCode::CARD_UNRESPONSIVE);
        }
        self.held = Some(held);
        Ok(Message::SetAtrReq { slot: client, atr: self.atr.clone() })
    }

    /// The mappings have changed: the client may have got its card, or lost it.
    pub(super) fn remapped(&mut self) -> Outcome {
        let Some(client) = self.client else { return Outcome::default() };
        let slot = self.bank.mappings.borrow().slot_of(client);
        match &self.held {
            Some(held) if slot == Some(held.slot) => Outcome::default(),
            Some(held) => Outcome::end(format!("slot {} is not mapped to client {client} any more", held.slot)),
            None if slot.is_none() => Outcome::default(),
            None => match self.open(client) {
                Ok(atr) => Outcome::answers(vec![atr]),
                Err(code) => Outcome::end(format!("client {client} got no card: {code}")),
            },
        }
    }

    /// Whether a message is from this client and for its card.
    fn check(&self, from: ClientSlot, to: BankSlot) -> Result<(), String> {
        let (Some(client), Some(held)) = (self.client, &self.held) else {
            return Err("it uses a card without having one".into());
        };
        let own = BankSlot { bank: self.bank.number, slot: held.slot };
        if from != client {
            return Err(format!("client {client} sent a message as client {from}"));
        }
        if to != own {
            return Err(format!("client {client} sent a message to slot {to}, and has {own}"));
        }
        Ok(())
    }

    fn transmit(&self, command: &[u8]) -> Outcome {
        let (Some(client), Some(held)) = (self.client, &self.held) else { return Outcome::default() };
        let mut data = Vec::with_capacity(260);
        if command.len() < SHORTEST_COMMAND {
            data.extend(StatusWord::WRONG_LENGTH.0.to_be_bytes());
        } else {
            held.with(|card| card.transmit(command, &mut data));
        }
        if data.is_empty() {
            return Outcome::end("its card did not answer a command");
        }
        let from = BankSlot { bank: self.bank.number, slot: held.slot };
        Outcome::answers(vec![Message::TpduCardToModem { from, to: client, flags: TpduFlags::default(), data }])
    }

    /// Follows the contacts: power that goes is a cold reset, and RST that becomes active under power a warm one.
    fn contacts(&mut self, status: SlotStatus) -> Outcome {
        let (power_was, reset_was) = (self.power, self.reset);
        self.power = status.power.unwrap_or(self.power);
        self.reset = status.reset;
        let (Some(client), Some(held)) = (self.client, &self.held) else { return Outcome::default() };
        let atr = match (status.power, power_was, status.reset, reset_was) {
            (Some(false), true, _, _) => held.with(Icc::power_on),
            (Some(true) | None, _, true, false) => held.with(Icc::warm_reset),
            _ => None,
        };
        match atr {
            Some(atr) if atr.is_empty() => Outcome::end("its card gave no answer to reset"),
            Some(atr) if atr != self.atr => {
                self.atr.clone_from(&atr);
                Outcome::answers(vec![Message::SetAtrReq { slot: client, atr }])
            }
            _ => Outcome::default(),
        }
    }

    /// How long the last response is to be held back.
    pub(super) fn delay(&self) -> std::time::Duration {
        self.held.as_ref().and_then(|held| held.with(Icc::delay)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::testing::FakeCard;

    const CLIENT: ClientSlot = ClientSlot { client: 7, slot: 0 };
    const BANK: BankSlot = BankSlot { bank: 1, slot: 0 };

    /// Whose cards nobody waits for.
    fn bank(mappings: Mappings) -> Arc<Bank> {
        let card = || Box::<FakeCard>::default() as AnyCard;
        let bank = Bank::new(1, vec![card(), card()], mappings).unwrap();
        Arc::new(Bank { handover: Duration::ZERO, ..bank })
    }

    fn request(client: Option<ClientSlot>) -> Message {
        Message::ConnectClientReq { identity: identity(ComponentType::CLIENT, "test"), client }
    }

    fn result(message: &Message) -> ResultCode {
        match message {
            Message::ConnectClientRes { result, .. } => *result,
            other => panic!("{other:?}"),
        }
    }

    fn command(from: ClientSlot, to: BankSlot, data: &[u8]) -> Message {
        Message::TpduModemToCard { from, to, flags: TpduFlags::default(), data: data.to_vec() }
    }

    fn contacts(reset: bool, power: Option<bool>) -> Message {
        let status = SlotStatus { reset, power, clock: power, card: Some(true) };
        Message::ClientSlotStatusInd { from: CLIENT, to: BANK, status }
    }

    #[test]
    fn a_client_uses_its_card() {
        let bank = bank(Mappings::ByNumber);
        let mut client = Attendance::new(Arc::clone(&bank));
        let outcome = client.take(&request(Some(CLIENT)));
        assert_eq!((result(&outcome.answers[0]), outcome.end), (ResultCode::OK, None));
        assert_eq!(outcome.answers[1], Message::SetAtrReq { slot: CLIENT, atr: FakeCard::ATR.to_vec() });
        assert_eq!(client.take(&Message::SetAtrRes(ResultCode::OK)), Outcome::default());
        let outcome = client.take(&command(CLIENT, BANK, &[0, 0xB0, 0, 0, 2]));
        let response =
            Message::TpduCardToModem { from: BANK, to: CLIENT, flags: TpduFlags::default(), data: vec![0, 1, 0x90, 0] };
        assert_eq!(outcome, Outcome::answers(vec![response]));
        let outcome = client.take(&command(CLIENT, BANK, &[0, 0xB0]));
        assert!(matches!(&outcome.answers[..], [Message::TpduCardToModem { data, .. }] if *data == [0x67, 0]));
        // Edges of the contacts, each once.
        for (reset, power) in [
            (true, Some(false)),
            (true, Some(false)),
            (false, Some(true)),
            (true, Some(true)),
            (true, None),
            (false, None),
            (true, None),
        ] {
            assert_eq!(client.take(&contacts(reset, power)), Outcome::default());
        }
        let mut other = Attendance::new(Arc::clone(&bank));
        let outcome = other.take(&request(Some(ClientSlot { client: 8, slot: 0 })));
        assert_eq!(result(&outcome.answers[0]), ResultCode::IDENTITY_IN_USE);
        assert!(outcome.end.is_some());
        drop(client);
        let mut other = Attendance::new(Arc::clone(&bank));
        assert_eq!(result(&other.take(&request(Some(CLIENT))).answers[0]), ResultCode::OK, "it is free again");
        assert_eq!((other.client(), other.slot()), (Some(CLIENT), Some(0)));
    }

    /// What each of these did to the card.
    #[test]
    fn contacts_reset_the_card() {
        #[derive(Default)]
        struct Counting(Arc<Mutex<Vec<&'static str>>>);
        impl Icc for Counting {
            fn power_on(&mut self) -> Vec<u8> {
                self.0.lock().unwrap().push("cold");
                let resets = self.0.lock().unwrap().len();
                // Another one after the second.
                vec![0x3B, u8::try_from(resets / 2).unwrap()]
            }
            fn warm_reset(&mut self) -> Vec<u8> {
                self.0.lock().unwrap().push("warm");
                vec![0x3B, 0]
            }
            fn power_off(&mut self) {
                self.0.lock().unwrap().push("off");
            }
            fn atr(&self) -> Vec<u8> {
                vec![0x3B, 0]
            }
            fn transmit(&mut self, _: &[u8], _: &mut Vec<u8>) {}
        }
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let cards: Vec<AnyCard> = vec![Box::new(Counting(Arc::clone(&seen)))];
        let bank = Arc::new(Bank::new(1, cards, Mappings::ByNumber).unwrap());
        let mut client = Attendance::new(bank);
        client.take(&request(Some(CLIENT)));
        let told = client.take(&contacts(true, Some(false)));
        assert_eq!(told.answers, [Message::SetAtrReq { slot: CLIENT, atr: vec![0x3B, 1] }], "a new one is told");
        client.take(&contacts(false, Some(true)));
        client.take(&contacts(true, Some(true)));
        assert!(client.take(&command(CLIENT, BANK, &[0, 0xA4, 0, 0])).end.unwrap().contains("did not answer"));
        drop(client);
        assert_eq!(*seen.lock().unwrap(), ["cold", "cold", "warm", "off"]);
    }

    /// A client that is gone, or whose mapping is, may have left its card amid a command: the next one has it after that.
    #[test]
    fn a_card_is_handed_over() {
        struct Slow(mpsc::Sender<()>, mpsc::Receiver<()>);
        impl Icc for Slow {
            fn power_on(&mut self) -> Vec<u8> {
                FakeCard::ATR.to_vec()
            }
            fn warm_reset(&mut self) -> Vec<u8> {
                self.power_on()
            }
            fn power_off(&mut self) {}
            fn atr(&self) -> Vec<u8> {
                FakeCard::ATR.to_vec()
            }
            fn transmit(&mut self, _: &[u8], out: &mut Vec<u8>) {
                self.0.send(()).unwrap();
                self.1.recv().unwrap();
                out.extend([0x90, 0]);
            }
        }
        const HOUR: Duration = Duration::from_hours(1);
        let other = ClientSlot { client: 8, slot: 0 };
        for is_remapped in [false, true] {
            let (computes, computing) = mpsc::channel();
            let (finish, finished) = mpsc::channel();
            let mappings = if is_remapped { Mappings::Listed([(0, CLIENT)].into()) } else { Mappings::ByNumber };
            let bank = Bank::new(1, vec![Box::new(Slow(computes, finished)) as AnyCard], mappings).unwrap();
            let bank = Arc::new(Bank { handover: HOUR, ..bank });
            let (mut first, mut second) = (Attendance::new(Arc::clone(&bank)), Attendance::new(Arc::clone(&bank)));
            assert_eq!(result(&first.take(&request(Some(CLIENT))).answers[0]), ResultCode::OK);
            let busy = thread::spawn(move || drop(first.take(&command(CLIENT, BANK, &[0, 0xA4, 0, 0]))));
            computing.recv().unwrap();
            let (tell, told) = mpsc::channel();
            if is_remapped {
                assert_eq!(result(&second.take(&request(Some(other))).answers[0]), ResultCode::CARD_NOT_PRESENT);
                bank.obey(&Message::CreateMappingReq { client: other, bank: BANK });
            }
            let waiting = thread::spawn(move || {
                let outcome = if is_remapped { second.remapped() } else { second.take(&request(Some(other))) };
                tell.send(outcome).unwrap();
            });
            // It has no card for as long as the other computes, however long that is looked at.
            assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
            finish.send(()).unwrap();
            let outcome = told.recv().unwrap();
            let atr = Message::SetAtrReq { slot: other, atr: FakeCard::ATR.to_vec() };
            assert_eq!((outcome.answers.last(), outcome.end), (Some(&atr), None));
            busy.join().unwrap();
            waiting.join().unwrap();
        }
    }

    #[test]
    fn what_does_not_belong_to_a_client_ends_its_connection() {
        let with_card = || {
            let mut client = Attendance::new(bank(Mappings::ByNumber));
            assert_eq!(client.take(&request(Some(CLIENT))).end, None);
            client
        };
        let (other, elsewhere) = (ClientSlot { client: 8, slot: 0 }, BankSlot { bank: 1, slot: 1 });
        for (message, why) in [
            (command(other, BANK, &[0, 0xB0, 0, 0, 2]), "as client 8:0"),
            (command(CLIENT, elsewhere, &[0, 0xB0, 0, 0, 2]), "to slot 1:1, and has 1:0"),
            (command(CLIENT, BANK, FakeCard::SILENT), "did not answer"),
            (request(Some(CLIENT)), "said twice"),
            (Message::ResetStateReq, "no client sends to a bank"),
        ] {
            let end = with_card().take(&message).end.unwrap_or_default();
            assert!(end.contains(why), "{message:?}: {end}");
        }
        let mut early = Attendance::new(bank(Mappings::ByNumber));
        assert!(early.take(&command(CLIENT, BANK, &[0, 0xB0, 0, 0, 2])).end.unwrap().contains("without having one"));
        let mut nobody = Attendance::new(bank(Mappings::ByNumber));
        assert_eq!(result(&nobody.take(&request(None)).answers[0]), ResultCode::ILLEGAL_CLIENT_ID);
        let mut server = Attendance::new(bank(Mappings::ByNumber));
        let identity = identity(ComponentType::SERVER, "x");
        let outcome = server.take(&Message::ConnectClientReq { identity, client: Some(CLIENT) });
        assert!(outcome.end.unwrap().contains("no client"));
    }

    #[test]
    fn a_server_maps_and_unmaps() {
        let bank = bank(Mappings::Listed(BTreeMap::new()));
        let create = |bank| Message::CreateMappingReq { client: CLIENT, bank };
        let mut client = Attendance::new(Arc::clone(&bank));
        assert_eq!(result(&client.take(&request(Some(CLIENT))).answers[0]), ResultCode::CARD_NOT_PRESENT);
        assert_eq!(client.remapped(), Outcome::default());
        for (elsewhere, result) in [
            (BankSlot { bank: 2, slot: 0 }, ResultCode::ILLEGAL_BANK_ID),
            (BankSlot { bank: 1, slot: 2 }, ResultCode::ILLEGAL_SLOT_ID),
        ] {
            assert_eq!(bank.obey(&create(elsewhere)), Some(Message::CreateMappingRes(result)));
            let remove = Message::RemoveMappingReq { client: CLIENT, bank: elsewhere };
            assert_eq!(bank.obey(&remove), Some(Message::RemoveMappingRes(result)));
        }
        assert_eq!(bank.obey(&create(BANK)), Some(Message::CreateMappingRes(ResultCode::OK)));
        assert!(matches!(&client.remapped().answers[..], [Message::SetAtrReq { .. }]));
        assert_eq!(bank.obey(&create(BANK)), Some(Message::CreateMappingRes(ResultCode::OK)));
        assert_eq!(client.remapped(), Outcome::default(), "the same again changes nothing");
        let other = Message::RemoveMappingReq { client: ClientSlot { client: 8, slot: 0 }, bank: BANK };
        assert_eq!(bank.obey(&other), Some(Message::RemoveMappingRes(ResultCode::UNKNOWN_SLOTMAP)));
        assert_eq!(client.remapped(), Outcome::default());
        assert_eq!(bank.obey(&Message::ResetStateReq), Some(Message::ResetStateRes(ResultCode::OK)));
        assert!(client.remapped().end.unwrap().contains("not mapped to client 7:0 any more"));
        assert_eq!(bank.obey(&Message::SetAtrRes(ResultCode::OK)), None);
    }

    #[test]
    fn banks_that_the_protocol_has_no_numbers_for() {
        let cards = |count: usize| (0..count).map(|_| Box::<FakeCard>::default() as AnyCard).collect::<Vec<_>>();
        let refused = |number, count, mappings| Bank::new(number, cards(count), mappings).unwrap_err();
        assert_eq!(refused(1, 0, Mappings::ByNumber), BankError::Cards(0));
        assert_eq!(refused(1, 1024, Mappings::ByNumber), BankError::Cards(1024));
        assert_eq!(refused(1024, 1, Mappings::ByNumber), BankError::Number(1024));
        let listed = Mappings::Listed([(2, CLIENT)].into());
        assert_eq!(refused(1, 2, listed), BankError::NoSuchSlot(2, 1));
    }
}
