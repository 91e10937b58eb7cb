//! Messages that come: to the program that asked for them, or onto the card. TS 27.005 §3.4, TS 23.038 §4, TS 23.040 §9.2.3.9.

use std::collections::VecDeque;
use std::time::Duration;

use sms::handling::{Handling, Place};
use sms::{Address, Deliver, Record, Status, StatusReport};

use crate::card::{Card, File};
use crate::modem::Modem;
use crate::network::{Request, cause};
use crate::result_code::Cme;
use crate::unsolicited::Unsolicited;

/// How long a program may take to acknowledge a message.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(30);

/// Which program is told of messages, and how: `+CNMI`. The program that set it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Indications {
    /// 0 keeps result codes back.
    pub(crate) mode: u8,
    /// SMS-DELIVER: 0 none, 1 stored and indicated, 2 given to the program unless of class 2, 3 those of class 3 are.
    pub(crate) deliver: u8,
    /// Cell broadcasts, of which there are none.
    pub(crate) broadcast: u8,
    /// SMS-STATUS-REPORT: 0 none, 1 given to the program.
    pub(crate) report: u8,
    /// What is done with those kept back when the mode changes: 0 told, 1 forgotten.
    pub(crate) buffer: u8,
}

/// A message from the network.
#[derive(Debug)]
struct Message {
    id: String,
    centre: Vec<u8>,
    tpdu: Vec<u8>,
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) indications: Indications,
    /// The port that set them.
    owner: Option<u64>,
    /// `+CSMS=1`: the program acknowledges what it is given.
    pub(crate) is_acknowledged: bool,
    /// The message that waits for that, and since when.
    unacknowledged: Option<(String, Duration)>,
    /// What came meanwhile.
    held: VecDeque<Message>,
    /// Result codes that mode 0 keeps back.
    kept_back: VecDeque<Unsolicited>,
}

/// The most result codes that are kept back.
const MOST: usize = 64;

impl Incoming {
    /// A program sets how it is told.
    pub(crate) fn set(&mut self, port: u64, indications: Indications) {
        (self.indications, self.owner) = (indications, Some(port));
    }

    /// A program is gone.
    pub(crate) fn release(&mut self, port: u64) {
        if self.owner == Some(port) {
            (self.indications, self.owner, self.is_acknowledged) = (Indications::default(), None, false);
            self.kept_back.clear();
        }
    }

    /// The network that the messages are of is gone.
    pub(crate) fn forget(&mut self) {
        self.unacknowledged = None;
        self.held.clear();
    }

    pub(crate) const fn is_awaited(&self) -> bool {
        self.unacknowledged.is_some()
    }
}

/// What is done with a message.
enum Way {
    /// Given to the program.
    ToProgram,
    /// Written to the card.
    OntoCard {
        replaces: bool,
    },
    ToCard,
    Nowhere,
}

impl Modem {
    /// A message comes.
    pub(crate) fn arrives(&mut self, id: String, centre: &str, tpdu: Vec<u8>) {
        let centre = Address::parse(centre).map_or_else(|| vec![0], |centre| centre.encode_service_centre());
        self.incoming.held.push_back(Message { id, centre, tpdu });
        self.take_messages();
    }

    /// Takes the messages that have come, unless one waits for its acknowledgement.
    fn take_messages(&mut self) {
        while self.incoming.unacknowledged.is_none() {
            let Some(message) = self.incoming.held.pop_front() else { return };
            self.take_one(message);
        }
    }

    fn take_one(&mut self, Message { id, centre, tpdu }: Message) {
        let indications = self.incoming.indications;
        if StatusReport::decode(&tpdu).is_ok() {
            if indications.report == 1 && !self.has_room() {
                return self.report(id, Some(cause::MEMORY_EXCEEDED));
            }
            if indications.report == 1 {
                return self.give(id, Unsolicited::Report(centre, tpdu));
            }
            return self.report(id, None);
        }
        let Ok(deliver) = Deliver::decode(&tpdu) else { return self.report(id, Some(cause::PROTOCOL_ERROR)) };
        match way(&deliver, indications) {
            // It has not read those before.
            Way::ToProgram if !self.has_room() => self.store(id, &centre, &tpdu, false),
            Way::ToProgram => self.give(id, Unsolicited::Message(centre, tpdu)),
            Way::Nowhere => self.report(id, None),
            Way::ToCard if self.card.takes_messages() => {
                let outcome = self.card.download(&centre, &tpdu);
                self.report(id, (outcome != Ok(true)).then_some(cause::PROTOCOL_ERROR));
            }
            Way::ToCard => self.store(id, &centre, &tpdu, false),
            Way::OntoCard { replaces } => self.store(id, &centre, &tpdu, replaces),
        }
    }

    /// Gives a message to the program.
    fn give(&mut self, id: String, what: Unsolicited) {
        if self.incoming.is_acknowledged {
            self.incoming.unacknowledged = Some((id, self.now));
        } else {
            self.report(id, None);
        }
        self.indicate(what);
    }

    /// Writes a message to the card.
    fn store(&mut self, id: String, centre: &[u8], tpdu: &[u8], replaces: bool) {
        match self.card.keep(centre, tpdu, replaces) {
            Ok(Kept::New(record)) => {
                self.report(id, None);
                if self.incoming.indications.deliver != 0 {
                    self.indicate(Unsolicited::Stored(record));
                }
            }
            Ok(Kept::Already) => self.report(id, None),
            Ok(Kept::Full) => {
                self.card.note_memory(true);
                self.report(id, Some(cause::MEMORY_EXCEEDED));
            }
            Err(_) => self.report(id, Some(cause::PROTOCOL_ERROR)),
        }
    }

    /// Whether the program can be told of another message. One that was acknowledged to the network is never given up.
    fn has_room(&self) -> bool {
        if self.incoming.indications.mode == 0 {
            self.incoming.kept_back.len() < MOST
        } else {
            self.unsolicited.has_room_for(self.incoming.owner)
        }
    }

    fn indicate(&mut self, what: Unsolicited) {
        if !self.has_room() {
            // The message itself is on the card.
        } else if self.incoming.indications.mode == 0 {
            self.incoming.kept_back.push_back(what);
        } else {
            self.unsolicited.put(self.incoming.owner, what);
        }
    }

    /// Tells what was kept back, or forgets it, after `+CNMI`.
    pub(crate) fn end_of_keeping_back(&mut self) {
        if self.incoming.indications.mode == 0 {
            return;
        }
        let kept_back = std::mem::take(&mut self.incoming.kept_back);
        if self.incoming.indications.buffer == 0 {
            for what in kept_back {
                self.unsolicited.put(self.incoming.owner, what);
            }
        }
    }

    fn report(&mut self, id: String, cause: Option<u8>) {
        self.requests.push(Request::Report { id, cause });
    }

    /// The program says whether it took the message; whether there was one.
    pub(crate) fn acknowledge(&mut self, is_taken: bool) -> bool {
        let Some((id, _)) = self.incoming.unacknowledged.take() else { return false };
        self.report(id, (!is_taken).then_some(cause::PROTOCOL_ERROR));
        self.take_messages();
        true
    }

    /// A program that does not acknowledge is given no more messages. TS 27.005 §3.4.4.
    pub(crate) fn attend_to_acknowledgement(&mut self) {
        let Some((_, since)) = &self.incoming.unacknowledged else { return };
        if self.now.saturating_sub(*since) < ACKNOWLEDGEMENT {
            return;
        }
        (self.incoming.indications.deliver, self.incoming.indications.report) = (0, 0);
        self.acknowledge(false);
    }

    /// After a message was deleted, or after attaching: what found no room may come.
    pub(crate) fn announce_memory(&mut self) {
        if self.registration.is_registered() && self.card.announces_memory() {
            self.requests.push(Request::MemoryAvailable);
        }
    }
}

/// Where a message goes.
fn way(message: &Deliver, indications: Indications) -> Way {
    let class = message.data.coding.class();
    match Handling::of(message) {
        Handling::Discard => Way::Nowhere,
        Handling::ToCard => Way::ToCard,
        // Nobody shows it: it is as one without a class. TS 23.038 §4.
        Handling::Show if indications.deliver == 0 => Way::OntoCard { replaces: false },
        Handling::Show => Way::ToProgram,
        Handling::Keep { place: Place::Card, replaces } => Way::OntoCard { replaces },
        Handling::Keep { .. } if indications.deliver == 2 || (indications.deliver == 3 && class == Some(3)) => {
            Way::ToProgram
        }
        Handling::Keep { replaces, .. } => Way::OntoCard { replaces },
    }
}

/// What became of a message that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is in this record.
    New(u8),
    /// It was there: only its acknowledgement was lost.
    Already,
    /// There is no free record.
    Full,
}

impl Card {
    /// Writes a message that came to EF.SMS, in the place of an earlier one if it `replaces` that.
    fn keep(&mut self, centre: &[u8], tpdu: &[u8], replaces: bool) -> Result<Kept, Cme> {
        let Some(records) = self.records(File::SMS)? else { return Ok(Kept::Full) };
        let body = [centre, tpdu].concat();
        let sender = Deliver::decode(tpdu).map(|deliver| (deliver.from, deliver.protocol)).ok();
        let (mut free, mut earlier) = (None, None);
        for number in 1..=records.count {
            let there = self.read_record(number, records.length)?;
            let Some((status, there)) = there.split_first() else { continue };
            match Status::of(*status) {
                Status::Free => free = free.or(Some(number)),
                Status::Read | Status::Unread if there.starts_with(&body) => return Ok(Kept::Already),
                Status::Read | Status::Unread if replaces => {
                    let is_same = sender_of(*status, there) == sender;
                    earlier = earlier.or(is_same.then_some(number));
                }
                _ => {}
            }
        }
        let Some(number) = earlier.or(free) else { return Ok(Kept::Full) };
        let mut record = [&[Status::Unread.octet()][..], &body].concat();
        if record.len() > records.length.into() {
            return Ok(Kept::Full);
        }
        record.resize(records.length.into(), 0xFF);
        self.update_record(number, &record)?;
        Ok(Kept::New(number))
    }

    /// Whether the card takes messages that are for itself.
    fn takes_messages(&mut self) -> bool {
        self.usim().is_ok_and(|mut usim| usim.takes_sms_downloads().unwrap_or(false))
    }

    /// Gives the card a message that is for itself; whether it took it.
    fn download(&mut self, centre: &[u8], tpdu: &[u8]) -> Result<bool, Cme> {
        let record = [&[Status::Read.octet()][..], centre].concat();
        let centre = Record::decode(&record).ok().flatten().and_then(|record| record.service_centre);
        self.usim()?.download_sms(centre.as_ref(), tpdu).map_err(|_| Cme::SIM_FAILURE)
    }

    /// Notes whether a message found no room. TS 31.102 §4.2.9.
    fn note_memory(&mut self, is_exceeded: bool) {
        if let Ok(mut usim) = self.usim() {
            // A card that cannot note it is not asked later.
            let _ = usim.note_memory_exceeded(is_exceeded);
        }
    }

    /// Whether a message found no room, and there is some now. That is noted.
    fn announces_memory(&mut self) -> bool {
        let Ok(mut usim) = self.usim() else { return false };
        let is_due = usim.is_memory_exceeded().unwrap_or(false) && usim.free_record().is_ok_and(|free| free.is_some());
        if is_due {
            let _ = usim.note_memory_exceeded(false);
        }
        is_due
    }
}

/// Who sent the message in a record, and by which protocol.
fn sender_of(status: u8, record: &[u8]) -> Option<(Address, u8)> {
    let record = Record::decode(&[&[status][..], record].concat()).ok()??;
    Deliver::decode(&record.tpdu).ok().map(|deliver| (deliver.from, deliver.protocol))
}
