//! Short messages to this device: without a radio they arrive over the operator's HTTPS, for a device whose card has
//! authenticated. A message is handled by its class and protocol identifier ([`sms::handling`]): most go into EF.SMS,
//! as on any phone, or into the device's own memory ([`crate::inbox`]), and stay unread there until the user has seen
//! them, whatever happens to the device meanwhile.
//!
//! A message that does not fit is refused (RP-ERROR, cause 22) and kept by the operator until the device reports
//! available memory (RP-SMMA).
//!
//! A message to the TS.43 port is not for the user: it asks the device to refresh its configuration.

mod long;
#[cfg(test)]
mod tests;

use std::time::Duration;

use identities::Imsi;
use mt::{
    Acknowledgement, AttachAnswer, AttachRequest, Message, Messages, Packet, Submission, SubmitRefusal, cause, path,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sms::handling::{Place as Preference, Waiting as MessageWaiting, protocol};
use sms::{Address, Deliver, Handling, Reassembly, Record, Status, StatusReport, UserData};
use ts43::notice;

use crate::eap::{self, EapError, Method, Peer, Reply};
use crate::entitlement::{App, Token};
use crate::event::{Event, Party, What};
use crate::http::{Http, HttpAnswer, HttpMethod, HttpRequest, authority};
use crate::inbox::{Inbox, InboxError, Place};
use crate::store::{Store, Volatile};
use crate::usim::{Authenticator, Usim, UsimError};
use apdu::Transport;

/// Maximum number of packets of one authentication.
const MAX_PACKETS: usize = 10;

/// Why no messages are received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MtError {
    /// The operator could not be reached, or is not trusted.
    #[error(transparent)]
    Server(#[from] lpa::ServerError),
    /// The card could not answer.
    #[error(transparent)]
    Eap(#[from] EapError),
    /// The card could not store a message.
    #[error(transparent)]
    Usim(#[from] UsimError),
    /// A received message could not be stored.
    #[error(transparent)]
    Inbox(InboxError),
    /// The operator rejects the card.
    #[error(
        "the operator gives this card no messages: it is barred or not in service yet, or not in the register, or has other \
         keys there; `vuicc device primary status` tells more, and at the operator `vuicc operator subscriber show`"
    )]
    NotAuthenticated,
    /// The attachment has ended.
    #[error("the attachment has ended; attach again")]
    Detached,
    /// An unexpected answer.
    #[error("the operator's message endpoint answers HTTP {status}; is {address} the right address?")]
    Unexpected {
        /// The server.
        address: String,
        /// HTTP status.
        status: u16,
    },
}

/// A credential for one subscription's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment(Token);

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// RP-ACK: the operator has it.
    Accepted,
    /// RP-ERROR, with its [cause].
    Refused(u8),
}

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// For the user; it is stored.
    Sms {
        /// Where.
        place: Place,
        /// All parts of the now complete message, to be marked as read once the user has seen it; none while parts of a
        /// long one are missing.
        whole: Vec<Place>,
        /// The sender.
        from: String,
        /// Its text; `None` while parts of a long one are missing, or if it is not text.
        text: Option<String>,
        /// Its other properties.
        about: About,
    },
    /// For immediate display; it is not stored.
    Shown {
        /// The sender.
        from: String,
        /// Its text; `None` if it is not text, in which case it is displayed all the same.
        text: Option<String>,
        /// Its other properties.
        about: About,
    },
    /// A part of a long message that is displayed when it is complete, or [given up](MtClient::given_up).
    Part,
    /// The operator asks the device to refresh the configuration of these entitlements. TS.43 §2.6
    ConfigurationWanted(Vec<App>),
    /// It is stored already, and the user has read it: only its acknowledgement was lost.
    Read(Place),
    /// For the card itself, which accepted it.
    ForCard,
    /// Acknowledged without any other action: short message type 0, or what became of a message that this card sent from
    /// elsewhere.
    Discarded,
    /// Memory is full; the operator keeps it.
    NoRoom {
        /// The sender.
        from: String,
    },
    /// For the card itself, which rejected it.
    RefusedByCard,
    /// Not a message; it was acknowledged as not delivered.
    Unreadable,
}

/// Properties of a message besides its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its class, 0 to 3.
    pub class: Option<u8>,
    /// The sender asks for a return call.
    pub wants_call: bool,
    /// Message waiting indications.
    pub waiting: Vec<MessageWaiting>,
    /// To be deleted once it was read.
    pub deleted_when_read: bool,
    /// Parts of it are missing.
    pub is_incomplete: bool,
}

impl About {
    fn of(message: &Deliver) -> Self {
        Self { wants_call: message.protocol == protocol::RETURN_CALL, ..Self::by(&message.data) }
    }

    /// Of a message that its part `last` completes.
    fn of_whole(last: &Deliver, whole: &UserData) -> Self {
        Self { waiting: MessageWaiting::told_by(whole), ..Self::of(last) }
    }

    fn by(data: &UserData) -> Self {
        Self {
            class: data.coding.class(),
            wants_call: false,
            waiting: MessageWaiting::told_by(data),
            deleted_when_read: data.coding.is_deleted_when_read(),
            is_incomplete: false,
        }
    }
}

/// RP-ACK.
const TAKEN: Acknowledgement = Acknowledgement { delivered: true, cause: None };

/// RP-ERROR, with a cause if there is a specific one.
const fn refused(cause: Option<u8>) -> Acknowledgement {
    Acknowledgement { delivered: false, cause }
}

/// The device's side of the operator's message endpoint.
pub struct MtClient<'a> {
    /// The transport.
    pub http: &'a mut dyn Http,
    /// `https://…` of the operator.
    pub base: String,
    /// Fills octets unpredictably.
    pub random: &'a mut dyn FnMut(&mut [u8]),
    /// Receives events.
    pub tell: &'a mut dyn FnMut(Event),
    /// This device's party, for [`Event`]s.
    pub party: Party,
    /// Parts of long messages.
    pub parts: Reassembly,
    /// Parts of long messages that are not stored, and with them the stored ones of the same message.
    shown: Reassembly,
    /// Messages given up because others took their place.
    displaced: Vec<Received>,
    /// Errors after messages that were received: those are returned first.
    failed: Option<MtError>,
    /// Where those parts are, and what they belong to.
    unfinished: Vec<(Long, Place)>,
    /// The device's own memory; by default, one that is gone with the client.
    memory: Option<&'a mut dyn Store>,
    volatile: Volatile,
}

/// Maximum number of incomplete long messages on a card and in the device: more than there is memory for parts.
const MOST_KEPT_LONG: usize = 512;

/// A long message: its sender, its reference, and the number of its parts.
type Long = (Address, u16, u8);

impl<'a> MtClient<'a> {
    /// A client of the operator at `base`.
    pub fn new(
        http: &'a mut dyn Http,
        base: &str,
        random: &'a mut dyn FnMut(&mut [u8]),
        tell: &'a mut dyn FnMut(Event),
        party: Party,
    ) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self {
            http,
            base,
            random,
            tell,
            party,
            parts: Reassembly::of_most(MOST_KEPT_LONG),
            shown: Reassembly::default(),
            displaced: Vec::new(),
            failed: None,
            unfinished: Vec::new(),
            memory: None,
            volatile: Volatile::default(),
        }
    }

    /// The same, with the device's own memory for what does not go onto the card.
    #[must_use]
    pub fn with_memory(self, memory: &'a mut dyn Store) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The stored messages: on this card, and in the device.
    pub fn inbox<'b, T: Transport>(&'b mut self, usim: &'b mut Usim<T>) -> Inbox<'b, T> {
        Inbox { usim, store: self.store() }
    }

    fn store(&mut self) -> &mut dyn Store {
        match &mut self.memory {
            Some(memory) => &mut **memory,
            None => &mut self.volatile,
        }
    }

    /// Authenticates by EAP-AKA.
    pub fn attach<T: Transport>(&mut self, usim: &mut Usim<T>) -> Result<Attachment, MtError> {
        let (imsi, mnc_length) = (usim.imsi()?, usim.mnc_length()?);
        self.attach_as(&imsi, mnc_length, usim)
    }

    /// Like [`MtClient::attach`], with the given identity.
    pub fn attach_as(
        &mut self,
        imsi: &Imsi,
        mnc_length: usize,
        card: &mut dyn Authenticator,
    ) -> Result<Attachment, MtError> {
        let identity = eap::identity(Method::Aka, imsi, mnc_length);
        let mut peer = Peer::new(&identity)?;
        let mut request = AttachRequest::First { identity };
        for _ in 0..MAX_PACKETS {
            let answer = self.post(path::ATTACH, &json(&request), None)?;
            let (session, packet) = match answer.status {
                200 => match read_json(&answer).ok_or_else(|| self.unexpected(&answer))? {
                    AttachAnswer::Attached { attachment } => {
                        self.tell(What::Attached, true);
                        return Ok(Attachment(Token::new(&attachment, None)));
                    }
                    AttachAnswer::Challenge { session, packet } => (session, packet),
                },
                401 | 403 | 511 => return Err(MtError::NotAuthenticated),
                _ => return Err(self.unexpected(&answer)),
            };
            let packet = packet.octets().ok_or_else(|| self.unexpected(&answer))?;
            let Reply::Send(response) = peer.handle(&packet, card, self.random)? else {
                return Err(MtError::NotAuthenticated);
            };
            request = AttachRequest::Next { session, packet: Packet::of(&response) };
        }
        Err(MtError::NotAuthenticated)
    }

    /// The pending messages; waits for one no longer than `timeout`, rounded up to whole seconds.
    pub fn messages(&mut self, attachment: &Attachment, timeout: Duration) -> Result<Vec<Message>, MtError> {
        // Rounded down, the last part of a second would be requested again and again.
        let seconds = timeout.as_millis().div_ceil(1000);
        let url = format!("{}{}?wait={seconds}", self.base, path::MESSAGES);
        let headers = vec![bearer(attachment)];
        let answer = self.http.send(&HttpRequest { method: HttpMethod::Get, url, headers, body: String::new() })?;
        match answer.status {
            200 => {
                let read: Option<Messages> = read_json(&answer);
                read.map(|answer| answer.messages).ok_or_else(|| self.unexpected(&answer))
            }
            401 | 403 => Err(MtError::Detached),
            _ => Err(self.unexpected(&answer)),
        }
    }

    /// Acknowledges a message; until then it is delivered again.
    pub fn acknowledge(&mut self, attachment: &Attachment, id: &str, delivered: bool) -> Result<(), MtError> {
        self.report(attachment, id, if delivered { TAKEN } else { refused(None) })
    }

    /// RP-ACK or RP-ERROR for a message.
    pub fn report(&mut self, attachment: &Attachment, id: &str, report: Acknowledgement) -> Result<(), MtError> {
        let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let answer = self.post(&format!("{}/{id}", path::MESSAGES), &json(&report), Some(attachment))?;
        match answer.status {
            // Not found: acknowledged before, and that answer was lost.
            200 | 204 | 404 | 410 => Ok(()),
            401 | 403 => Err(MtError::Detached),
            _ => Err(self.unexpected(&answer)),
        }
    }

    /// If a message was refused for lack of memory and would fit now, tells the operator: RP-SMMA. Returns whether it
    /// did.
    pub fn announce_room<T: Transport>(
        &mut self,
        attachment: &Attachment,
        usim: &mut Usim<T>,
    ) -> Result<bool, MtError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if !usim.is_memory_exceeded()? || !self.inbox(usim).has_room()? || !self.memory_available(attachment)? {
            return Ok(false);
        }
        // Noted once the network knows, not before. TS 31.102 §4.2.9
        usim.note_memory_exceeded(false)?;
        Ok(true)
    }

    /// Tells the operator that there is memory again: RP-SMMA. Whether it listens to that.
    pub fn memory_available(&mut self, attachment: &Attachment) -> Result<bool, MtError> {
        let answer = self.post(path::MEMORY_AVAILABLE, "{}", Some(attachment))?;
        match answer.status {
            200 | 204 => Ok(true),
            401 | 403 => Err(MtError::Detached),
            // An operator that does not accept it retries by itself.
            404 | 405 => Ok(false),
            _ => Err(self.unexpected(&answer)),
        }
    }

    /// Sends a message, an SMS-SUBMIT. TS 23.040 §9.2.2.2. It is sent once: whether an answer that is lost was RP-ACK is not
    /// known.
    pub fn submit(&mut self, attachment: &Attachment, tpdu: &[u8]) -> Result<Sent, MtError> {
        let submission = json(&Submission { tpdu: hex::encode(tpdu) });
        let answer = self.post(path::SUBMISSIONS, &submission, Some(attachment))?;
        match answer.status {
            200 => Ok(Sent::Accepted),
            400 => Ok(Sent::Refused(cause::SEMANTICALLY_INCORRECT)),
            401 | 403 => Err(MtError::Detached),
            // An operator of before messages were sent this way.
            404 | 405 => Ok(Sent::Refused(cause::NOT_IMPLEMENTED)),
            422 => {
                let refusal: SubmitRefusal = read_json(&answer).ok_or_else(|| self.unexpected(&answer))?;
                Ok(Sent::Refused(refusal.cause))
            }
            _ => Err(self.unexpected(&answer)),
        }
    }

    /// Receives the pending messages, stores or delivers each, and acknowledges them. Messages that do not fit stay at
    /// the operator.
    ///
    /// An error after messages that were acknowledged, some of them stored nowhere else, is returned by the next call
    /// to this or to [`announce_room`](Self::announce_room).
    pub fn receive<T: Transport>(
        &mut self,
        attachment: &Attachment,
        timeout: Duration,
        usim: &mut Usim<T>,
    ) -> Result<Vec<Received>, MtError> {
        self.announce_room(attachment, usim)?;
        let mut received = Vec::new();
        for waiting in self.messages(attachment, timeout)? {
            match self.take_one(attachment, &waiting, usim) {
                Ok(one) => {
                    received.push(one);
                    received.append(&mut self.displaced);
                }
                Err(error) if received.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(received)
    }

    fn take_one<T: Transport>(
        &mut self,
        attachment: &Attachment,
        waiting: &Message,
        usim: &mut Usim<T>,
    ) -> Result<Received, MtError> {
        match self.take(waiting, usim) {
            Ok((one, report)) => self.report(attachment, &waiting.id, report).map(|()| one),
            Err(error) => {
                self.acknowledge(attachment, &waiting.id, false)?;
                Err(error)
            }
        }
    }

    /// Stored messages that are unread: those a device had received when it was interrupted before it displayed them.
    pub fn unread<T: Transport>(&mut self, usim: &mut Usim<T>) -> Result<Vec<Received>, MtError> {
        let mut unread = Vec::new();
        for (place, record) in self.inbox(usim).messages()? {
            if record.status == Status::Unread
                && let Ok(deliver) = Deliver::decode(&record.tpdu)
            {
                unread.push(self.stored(place, &deliver));
            }
        }
        Ok(unread)
    }

    /// The received parts of long messages that are not stored and whose other parts have not arrived: they were
    /// acknowledged, so nobody retransmits them, and the user might wait for the rest in vain. Gaps are ellipses. If
    /// the rest arrives, also at a later client, all of it is displayed.
    pub fn given_up(&mut self) -> Vec<Received> {
        let mut given_up = std::mem::take(&mut self.displaced);
        given_up.extend(self.shown.give_up().map(long::incomplete));
        given_up
    }

    fn take<T: Transport>(
        &mut self,
        waiting: &Message,
        usim: &mut Usim<T>,
    ) -> Result<(Received, Acknowledgement), MtError> {
        const UNREADABLE: (Received, Acknowledgement) = (Received::Unreadable, refused(None));
        if is_report(waiting) {
            return Ok((Received::Discarded, TAKEN));
        }
        let Some((centre, tpdu, deliver)) = read(waiting) else { return Ok(UNREADABLE) };
        let handling = Handling::of(&deliver);
        // This comes first, whatever else there is: the user must not notice it.
        if handling == Handling::Discard {
            return Ok((Received::Discarded, TAKEN));
        }
        if handling != Handling::ToCard && deliver.data.ports().is_some_and(|to| to.destination == notice::PORT) {
            self.tell(What::Sms { record: None }, false);
            let Some(apps) = configuration_wanted(&deliver.data.content) else { return Ok(UNREADABLE) };
            self.tell(What::ConfigurationWanted, false);
            return Ok((Received::ConfigurationWanted(apps), TAKEN));
        }
        let (preference, replaces) = match handling {
            Handling::Show => {
                self.tell(What::Sms { record: None }, false);
                return Ok((self.shown_only(&tpdu, &deliver)?, TAKEN));
            }
            Handling::ToCard if usim.takes_sms_downloads()? => {
                self.tell(What::Sms { record: None }, false);
                return Ok(if usim.download_sms(Some(&centre), &tpdu)? {
                    (Received::ForCard, TAKEN)
                } else {
                    (Received::RefusedByCard, refused(Some(cause::PROTOCOL_ERROR)))
                });
            }
            Handling::ToCard | Handling::Discard => (Preference::Card, false),
            Handling::Keep { place, replaces } => (place, replaces),
        };
        let from = deliver.from.value().to_owned();
        match self.inbox(usim).keep(&Record::unread(centre, tpdu), preference, replaces) {
            Ok((place, status)) => {
                let record = if let Place::Card(record) = place { Some(record) } else { None };
                self.tell(What::Sms { record }, false);
                let unread = status == Status::Unread;
                let received = if unread { self.stored(place, &deliver) } else { Received::Read(place) };
                Ok((received, TAKEN))
            }
            Err(InboxError::Full) => {
                usim.note_memory_exceeded(true)?;
                Ok((Received::NoRoom { from }, refused(Some(cause::MEMORY_EXCEEDED))))
            }
            // TS 23.038 §4: for the card only, and there is memory elsewhere.
            Err(InboxError::CardFull) => Ok((Received::NoRoom { from }, refused(Some(cause::PROTOCOL_ERROR)))),
            Err(error) => Err(error.into()),
        }
    }

    fn post(&mut self, path: &str, body: &str, attachment: Option<&Attachment>) -> Result<HttpAnswer, MtError> {
        let mut headers = vec![("Content-Type", "application/json".to_owned())];
        headers.extend(attachment.map(bearer));
        let url = format!("{}{path}", self.base);
        Ok(self.http.send(&HttpRequest { method: HttpMethod::Post, url, headers, body: body.into() })?)
    }

    fn unexpected(&self, answer: &HttpAnswer) -> MtError {
        let address = authority(&self.base).unwrap_or(&self.base).to_owned();
        MtError::Unexpected { address, status: answer.status }
    }

    fn tell(&mut self, what: What, outward: bool) {
        let (from, to) = (self.party, Party::MessageCentre);
        (self.tell)(if outward { Event::new(from, to, what) } else { Event::new(to, from, what) });
    }
}

impl From<InboxError> for MtError {
    fn from(error: InboxError) -> Self {
        match error {
            InboxError::Usim(error) => Self::Usim(error),
            other => Self::Inbox(other),
        }
    }
}

fn json(value: &impl Serialize) -> String {
    // Strings, numbers and booleans: all of it can be written.
    serde_json::to_string(value).unwrap_or_default()
}

fn read_json<T: DeserializeOwned>(answer: &HttpAnswer) -> Option<T> {
    serde_json::from_str(&answer.body).ok()
}

fn bearer(attachment: &Attachment) -> (&'static str, String) {
    ("Authorization", format!("Bearer {}", attachment.0.reveal()))
}

fn read(waiting: &Message) -> Option<(Address, Vec<u8>, Deliver)> {
    let tpdu = hex::decode(&waiting.tpdu).ok()?;
    let deliver = Deliver::decode(&tpdu).ok()?;
    Some((Address::parse(&waiting.smsc)?, tpdu, deliver))
}

/// What became of a message that the same card sent from elsewhere: this device asks for no reports.
fn is_report(waiting: &Message) -> bool {
    hex::decode(&waiting.tpdu).is_ok_and(|tpdu| StatusReport::decode(&tpdu).is_ok())
}

/// `<user-id>-aescfg,<app>[,<app>]`: the entitlements among them that this device knows. TS.43 §2.6
fn configuration_wanted(content: &[u8]) -> Option<Vec<App>> {
    let text = std::str::from_utf8(content).ok()?;
    let (_, apps) = text.trim_end_matches('\0').rsplit_once(notice::MARK)?;
    let mut apps = apps.split(',');
    // Nothing may be between the marker and the first comma.
    apps.next().filter(|between| between.is_empty())?;
    Some(apps.filter_map(App::of).collect())
}
