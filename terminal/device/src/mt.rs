//! Short messages to this device: where there is no radio they come over the operator's HTTPS, to a device that proved
//! by its card whose messages it may have. What comes goes into EF.SMS, as on any phone, and is unread there until the
//! person has seen it, whatever happens to the device meanwhile.
//!
//! A message to the port of TS.43 is none for the person: it asks the device to look at its configuration.

use std::time::Duration;

use rsp::Imsi;
use serde::Deserialize;
use sms::{Address, Deliver, Reassembly, Record, Status};

use crate::eap::{self, EapError, Method, Peer, Reply};
use crate::entitlement::exchange::{relay, relayed};
use crate::entitlement::{App, Token};
use crate::event::{Event, Party, What};
use crate::http::{Http, HttpAnswer, HttpMethod, HttpRequest, authority};
use crate::usim::{Authenticator, Usim, UsimError};
use reader_bridge::Transport;

/// The port a network-initiated request is sent to. TS.43 section 2.6
pub const CONFIGURATION_PORT: u16 = 8095;

/// Most packets of one authentication.
const MAX_PACKETS: usize = 10;

/// Why no messages come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MtError {
    /// The operator could not be reached, or is not trusted.
    #[error(transparent)]
    Server(#[from] lpa::ServerError),
    /// The card could not answer.
    #[error(transparent)]
    Eap(#[from] EapError),
    /// The card could not take a message.
    #[error(transparent)]
    Usim(#[from] UsimError),
    /// The operator does not believe the card.
    #[error("the operator does not believe the card; is it one of its own, and in use?")]
    NotAuthenticated,
    /// The attachment has ended.
    #[error("the attachment has ended; attach again")]
    Detached,
    /// Another answer than agreed.
    #[error("the operator's door for messages answers HTTP {status}; is {address} the right address?")]
    Unexpected {
        /// Who.
        address: String,
        /// HTTP status.
        status: u16,
    },
}

/// What entitles a device to one subscription's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment(Token);

/// A message as the operator hands it out.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Waiting {
    /// Its name, for the acknowledgement.
    pub id: String,
    /// Number of the service centre.
    pub smsc: String,
    /// SMS-DELIVER, hexadecimal.
    pub tpdu: String,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// For the person; it lies in EF.SMS.
    Sms {
        /// In which record.
        record: u8,
        /// All records of the message that is whole now, to be marked as read once the person has seen it; none while
        /// parts of a long one are missing.
        whole: Vec<u8>,
        /// Who sent it.
        from: String,
        /// Its text; `None` while parts of a long one are missing, or for one that is no text.
        text: Option<String>,
    },
    /// The operator asks the device to look at the configuration of these entitlements. TS.43 section 2.6
    ConfigurationWanted(Vec<App>),
    /// It lies in EF.SMS, in this record, and the person has read it: only its acknowledgement had got lost.
    Read(u8),
    /// No message; it was acknowledged as not delivered.
    Unreadable,
}

/// The device's side of the operator's door for messages.
pub struct MtClient<'a> {
    /// The way there.
    pub http: &'a mut dyn Http,
    /// `https://…` of the operator.
    pub base: String,
    /// Fills octets nobody can guess.
    pub random: &'a mut dyn FnMut(&mut [u8]),
    /// Who is told what happens.
    pub tell: &'a mut dyn FnMut(Event),
    /// Which device this is, for [`Event`]s.
    pub party: Party,
    /// Parts of long messages.
    pub parts: Reassembly,
    /// Where those parts lie, and what they are part of.
    unfinished: Vec<(Long, u8)>,
}

/// A long message: who sent it, its reference, and how many parts it has.
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
        Self { http, base, random, tell, party, parts: Reassembly::default(), unfinished: Vec::new() }
    }

    /// Proves by EAP-AKA whose messages these are.
    pub fn attach<T: Transport>(&mut self, usim: &mut Usim<T>) -> Result<Attachment, MtError> {
        let (imsi, mnc_length) = (usim.imsi()?, usim.mnc_length()?);
        self.attach_as(&imsi, mnc_length, usim)
    }

    /// As [`MtClient::attach`], with the identity given.
    pub fn attach_as(
        &mut self,
        imsi: &Imsi,
        mnc_length: usize,
        card: &mut dyn Authenticator,
    ) -> Result<Attachment, MtError> {
        #[derive(Deserialize)]
        struct Answer {
            session: Option<String>,
            attachment: Option<String>,
        }
        let identity = eap::identity(Method::Aka, imsi, mnc_length);
        let mut peer = Peer::new(&identity)?;
        let mut body = serde_json::json!({ "identity": identity }).to_string();
        for _ in 0..MAX_PACKETS {
            let answer = self.post("/mt/v1/attach", &body, None)?;
            if matches!(answer.status, 401 | 403 | 511) {
                return Err(MtError::NotAuthenticated);
            }
            let read = if answer.status == 200 { serde_json::from_str::<Answer>(&answer.body).ok() } else { None };
            let read = read.ok_or_else(|| self.unexpected(&answer))?;
            if let Some(token) = read.attachment {
                self.tell(What::Attached, true);
                return Ok(Attachment(Token::new(&token, None)));
            }
            let (Some(session), Some(packet)) = (read.session, relayed(&answer.body)) else {
                return Err(self.unexpected(&answer));
            };
            let Reply::Send(response) = peer.handle(&packet, card, self.random)? else {
                return Err(MtError::NotAuthenticated);
            };
            let mut object = relay(&response);
            object.insert("session".into(), session.into());
            body = serde_json::Value::Object(object).to_string();
        }
        Err(MtError::NotAuthenticated)
    }

    /// The messages that wait; waits for one no longer than `patience`, in whole seconds, the last of them begun.
    pub fn messages(&mut self, attachment: &Attachment, patience: Duration) -> Result<Vec<Waiting>, MtError> {
        #[derive(Deserialize)]
        struct Answer {
            messages: Vec<Waiting>,
        }
        // Rounded down, the last part of a second would be asked about again and again.
        let seconds = patience.as_millis().div_ceil(1000);
        let url = format!("{}/mt/v1/messages?wait={seconds}", self.base);
        let headers = vec![bearer(attachment)];
        let answer = self.http.send(&HttpRequest { method: HttpMethod::Get, url, headers, body: String::new() })?;
        match answer.status {
            200 => {
                let read = serde_json::from_str::<Answer>(&answer.body);
                read.map(|answer| answer.messages).map_err(|_| self.unexpected(&answer))
            }
            401 | 403 => Err(MtError::Detached),
            _ => Err(self.unexpected(&answer)),
        }
    }

    /// Says what became of a message; until then it is handed out again.
    pub fn acknowledge(&mut self, attachment: &Attachment, id: &str, delivered: bool) -> Result<(), MtError> {
        let body = serde_json::json!({ "delivered": delivered }).to_string();
        let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let answer = self.post(&format!("/mt/v1/messages/{id}"), &body, Some(attachment))?;
        match answer.status {
            // Not found: acknowledged before, and that answer got lost.
            200 | 204 | 404 | 410 => Ok(()),
            401 | 403 => Err(MtError::Detached),
            _ => Err(self.unexpected(&answer)),
        }
    }

    /// Takes the messages that wait: into EF.SMS, then acknowledged. A full card leaves them at the operator.
    pub fn receive<T: Transport>(
        &mut self,
        attachment: &Attachment,
        patience: Duration,
        usim: &mut Usim<T>,
    ) -> Result<Vec<Received>, MtError> {
        let mut received = Vec::new();
        for waiting in self.messages(attachment, patience)? {
            match self.take(&waiting, usim) {
                Ok(one) => {
                    self.acknowledge(attachment, &waiting.id, one != Received::Unreadable)?;
                    received.push(one);
                }
                Err(error) => {
                    self.acknowledge(attachment, &waiting.id, false)?;
                    return Err(error);
                }
            }
        }
        Ok(received)
    }

    /// The messages in EF.SMS that nobody has read yet: those a device had taken that was cut off before it showed them.
    pub fn unread<T: Transport>(&mut self, usim: &mut Usim<T>) -> Result<Vec<Received>, UsimError> {
        let mut unread = Vec::new();
        for (number, record) in usim.messages()? {
            if record.status == Status::Unread
                && let Ok(deliver) = Deliver::decode(&record.tpdu)
            {
                unread.push(self.stored(number, deliver));
            }
        }
        Ok(unread)
    }

    fn take<T: Transport>(&mut self, waiting: &Waiting, usim: &mut Usim<T>) -> Result<Received, MtError> {
        let Some((centre, tpdu, deliver)) = read(waiting) else { return Ok(Received::Unreadable) };
        if deliver.data.ports().is_some_and(|ports| ports.destination == CONFIGURATION_PORT) {
            self.tell(What::Sms { record: None }, false);
            let Some(apps) = configuration_wanted(&deliver.data.content) else { return Ok(Received::Unreadable) };
            self.tell(What::ConfigurationWanted, false);
            return Ok(Received::ConfigurationWanted(apps));
        }
        let (record, status) = usim.write_sms(&Record::unread(centre, tpdu))?;
        self.tell(What::Sms { record: Some(record) }, false);
        Ok(if status == Status::Unread { self.stored(record, deliver) } else { Received::Read(record) })
    }

    /// A message that lies in EF.SMS.
    fn stored(&mut self, record: u8, deliver: Deliver) -> Received {
        let Deliver { from, data, .. } = deliver;
        let long = data.concatenation().map(|part| (from.clone(), part.reference, part.total));
        if let Some(long) = &long
            && !self.unfinished.iter().any(|(_, part)| *part == record)
        {
            self.unfinished.push((long.clone(), record));
        }
        let (mut whole, mut text) = (Vec::new(), None);
        if let Some(message) = self.parts.add(&from, data) {
            text = message.as_text();
            whole.push(record);
            self.unfinished.retain(|(of, part)| {
                let is_part = Some(of) == long.as_ref();
                if is_part && *part != record {
                    whole.push(*part);
                }
                !is_part
            });
        }
        Received::Sms { record, whole, from: from.value().to_owned(), text }
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

fn bearer(attachment: &Attachment) -> (&'static str, String) {
    ("Authorization", format!("Bearer {}", attachment.0.reveal()))
}

fn read(waiting: &Waiting) -> Option<(Address, Vec<u8>, Deliver)> {
    let tpdu = hex::decode(&waiting.tpdu).ok()?;
    let deliver = Deliver::decode(&tpdu).ok()?;
    Some((Address::parse(&waiting.smsc)?, tpdu, deliver))
}

/// `<user-id>-aescfg,<app>[,<app>]`: the entitlements among them that this device knows. TS.43 section 2.6
fn configuration_wanted(content: &[u8]) -> Option<Vec<App>> {
    const MARK: &str = "-aescfg";
    let text = std::str::from_utf8(content).ok()?;
    let (_, apps) = text.trim_end_matches('\0').rsplit_once(MARK)?;
    let mut apps = apps.split(',');
    // Nothing stands between the mark and the first comma.
    apps.next().filter(|between| between.is_empty())?;
    Some(apps.filter_map(App::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpRequest;
    use crate::testing::{Dialogue, FakeServer, answer};
    use crate::usim::{GsmAnswer, UmtsAnswer};
    use hex_literal::hex;
    use sms::{Timestamp, UserData};

    const JSON: &str = "application/json";
    const REQUEST: &str =
        "AQEARBcBAAABBQAAI1U8vpY3qJ0hiuZNrke/NQIFAACqaJxkg1GAAEHtZirox07NCwUAAHxkRxjsnwEaRxfBioYQY/c=";
    const RESPONSE: &str = "AgEAKBcBAAADAwBApUIR1eO6UL8LBQAA+ZNo8Erza2B+vRs2qxj6wQ==";

    struct Card;

    impl Authenticator for Card {
        fn umts(&mut self, _: &[u8; 16], _: &[u8; 16]) -> Result<UmtsAnswer, UsimError> {
            Ok(UmtsAnswer::Keys {
                res: hex!("a54211d5e3ba50bf").to_vec(),
                ck: hex!("b40ba9a3c58b2a05bbf0d987b21bf8cb"),
                ik: hex!("f769bcd751044604127672711c6d3441"),
            })
        }
        fn gsm(&mut self, _: &[u8; 16]) -> Result<GsmAnswer, UsimError> {
            Err(UsimError::Damaged("nothing"))
        }
    }

    fn with_client<R>(
        answers: Vec<HttpAnswer>,
        act: impl FnOnce(&mut MtClient<'_>) -> R,
    ) -> (R, Vec<HttpRequest>, Vec<String>) {
        let (mut server, mut events) = (FakeServer::script(answers), Vec::new());
        let mut random = |octets: &mut [u8]| octets.fill(1);
        let mut tell = |event: Event| events.push(event.to_string());
        let outcome =
            act(&mut MtClient::new(&mut server, "https://operator.example/", &mut random, &mut tell, Party::Primary));
        (outcome, server.requests, events)
    }

    #[test]
    fn attaching_by_the_card() {
        let imsi: Imsi = "001010000000001".parse().unwrap();
        let relay = |packet: &str| answer(200, JSON, &format!(r#"{{"session":"s1","eap-relay-packet":"{packet}"}}"#));
        let answers = vec![relay(REQUEST), answer(200, JSON, r#"{"attachment":"a1"}"#)];
        let (attachment, requests, events) = with_client(answers, |client| client.attach_as(&imsi, 2, &mut Card));
        assert_eq!(attachment, Ok(Attachment(Token::new("a1", None))));
        assert_eq!(requests[0].url, "https://operator.example/mt/v1/attach");
        let identity = "0001010000000001@nai.epc.mnc001.mcc001.3gppnetwork.org";
        assert_eq!(requests[0].parameter("identity").as_deref(), Some(identity));
        assert_eq!(requests[1].parameter("session").as_deref(), Some("s1"));
        assert_eq!(requests[1].parameter("eap-relay-packet").as_deref(), Some(RESPONSE));
        assert_eq!(events, ["Primary → SMSC: attached"]);
        for refusal in [answer(403, JSON, r#"{"eap-relay-packet":"BAAABA=="}"#), relay("BAAABA==")] {
            let (outcome, ..) =
                with_client(vec![relay(REQUEST), refusal], |client| client.attach_as(&imsi, 2, &mut Card));
            assert_eq!(outcome, Err(MtError::NotAuthenticated));
        }
        let (outcome, ..) = with_client(vec![answer(404, "", "")], |client| client.attach_as(&imsi, 2, &mut Card));
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "the operator's door for messages answers HTTP 404; is operator.example the right address?"
        );
    }

    fn tpdu_of(data: UserData) -> String {
        let at = Timestamp::new(1_767_225_600, 0);
        hex::encode(Deliver::new(Address::international("81901234567").unwrap(), at, data).encode().unwrap())
    }

    fn waiting(id: &str, data: UserData) -> (String, Vec<u8>) {
        let tpdu = tpdu_of(data);
        (format!(r#"{{"id":"{id}","smsc":"15550000000","tpdu":"{tpdu}"}}"#), hex::decode(tpdu).unwrap())
    }

    #[test]
    fn messages_go_into_the_card_and_are_acknowledged() {
        let (one, tpdu) = waiting("m/1", UserData::text("Your code: 123456").unwrap());
        let (two, _) =
            waiting("m2", UserData::to_port(CONFIGURATION_PORT, 0, b"001010000000001-aescfg,ap2009,ap9999").unwrap());
        let three = r#"{"id":"m3","smsc":"15550000000","tpdu":"00"}"#;
        let done = || answer(204, "", "");
        let messages = answer(200, JSON, &format!(r#"{{"messages":[{one},{two},{three}]}}"#));
        let record = Record::unread(Address::parse("15550000000").unwrap(), tpdu).encode().unwrap();
        let update = format!("00DC0104B0{}", hex::encode_upper(record));
        let free = format!("00{}9000", "FF".repeat(175));
        let mut card = Dialogue::new(&[
            ("00A4040407A000000087100200", "9000"),
            ("00A40004026F3C00", "6207820542210 0B0019000".replace(' ', "").as_str()),
            ("00B20104B0", &free),
            (&update, "9000"),
        ]);
        let attachment = Attachment(Token::new("a1", None));
        let mut usim = Usim::open(&mut card, None).unwrap();
        let (received, requests, events) = with_client(vec![messages, done(), done(), done()], |client| {
            client.receive(&attachment, Duration::from_secs(25), &mut usim)
        });
        let text = Some("Your code: 123456".to_owned());
        assert_eq!(
            received.unwrap(),
            [
                Received::Sms { record: 1, whole: vec![1], from: "81901234567".into(), text },
                Received::ConfigurationWanted(vec![App::Primary]),
                Received::Unreadable,
            ]
        );
        assert_eq!(requests[0].url, "https://operator.example/mt/v1/messages?wait=25");
        assert!(requests.iter().all(|request| request.header("Authorization") == Some("Bearer a1")));
        assert_eq!(requests[1].url, "https://operator.example/mt/v1/messages/m%2F1");
        let bodies: Vec<_> = requests[1..].iter().map(|request| request.body.as_str()).collect();
        assert_eq!(bodies, [r#"{"delivered":true}"#, r#"{"delivered":true}"#, r#"{"delivered":false}"#]);
        assert_eq!(events[0], "SMSC → Primary: short message, in record 1");
        assert!(card.is_finished());
        let (outcome, ..) =
            with_client(vec![answer(401, "", "")], |client| client.messages(&attachment, Duration::ZERO));
        assert!(matches!(outcome, Err(MtError::Detached)));
    }

    /// A device was cut off when it had two parts of a long message, and one it had not shown, in the card.
    #[test]
    fn what_nobody_has_read_is_there_after_a_restart() {
        let part = |sequence| sms::split(&"0123456789".repeat(17), 7).unwrap().swap_remove(sequence);
        let record = |data: UserData| {
            let tpdu = hex::decode(tpdu_of(data)).unwrap();
            Record::unread(Address::parse("15550000000").unwrap(), tpdu)
        };
        let text = |text: &str| UserData::text(text).unwrap();
        let answer_of = |record: &Record| hex::encode_upper(record.encode().unwrap()) + "9000";
        let seen = Record { status: Status::Read, ..record(text("seen")) };
        let [seen, first, code] = [seen, record(part(0)), record(text("Your code: 123456"))].map(|one| answer_of(&one));
        let (last, free) = (record(part(1)), format!("00{}9000", "FF".repeat(175)));
        let select = ("00A40004026F3C00", "62078205422100B0049000");
        let update = format!("00DC0404B0{}", hex::encode_upper(last.encode().unwrap()));
        let reading = [("00B20104B0", &*seen), ("00B20204B0", &first), ("00B20304B0", &code), ("00B20404B0", &free)];
        // Read once for what is unread, and once for each message that comes: the last part, and one that was read.
        let opened = ("00A4040407A000000087100200", "9000");
        let steps = [&[opened, select][..], &reading, &[select], &reading, &[(&update, "9000"), select], &reading[..1]]
            .concat();
        let mut card = Dialogue::new(&steps);
        let mut usim = Usim::open(&mut card, None).unwrap();
        let [(two, _), (one, _)] = [waiting("m2", part(1)), waiting("m1", text("seen"))];
        let messages = answer(200, JSON, &format!(r#"{{"messages":[{two},{one}]}}"#));
        let attachment = Attachment(Token::new("a1", None));
        let ((unread, received), ..) =
            with_client(vec![messages, answer(204, "", ""), answer(204, "", "")], |client| {
                let unread = client.unread(&mut usim).unwrap();
                (unread, client.receive(&attachment, Duration::ZERO, &mut usim).unwrap())
            });
        let sms = |record, whole: &[u8], text: Option<&str>| Received::Sms {
            record,
            whole: whole.to_vec(),
            from: "81901234567".into(),
            text: text.map(str::to_owned),
        };
        assert_eq!(unread, [sms(2, &[], None), sms(3, &[3], Some("Your code: 123456"))]);
        assert_eq!(received, [sms(4, &[4, 2], Some(&"0123456789".repeat(17))), Received::Read(1)]);
        assert!(card.is_finished());
    }

    #[test]
    fn what_is_left_of_a_second_is_waited_for_in_one_question() {
        let attachment = Attachment(Token::new("a1", None));
        for (left, asked) in [(0, "0"), (300, "1"), (1000, "1"), (24_001, "25")] {
            let none = answer(200, JSON, r#"{"messages":[]}"#);
            let (_, requests, _) =
                with_client(vec![none], |client| client.messages(&attachment, Duration::from_millis(left)));
            assert_eq!(requests[0].url, format!("https://operator.example/mt/v1/messages?wait={asked}"));
        }
    }

    #[test]
    fn requests_to_look_at_the_configuration() {
        assert_eq!(configuration_wanted(b"x-aescfg,ap2006,ap2009"), Some(vec![App::Companion, App::Primary]));
        assert_eq!(configuration_wanted(b"x-aescfg"), Some(vec![]));
        for wrong in [&b"x-aescfgap2009"[..], b"hello", b"", b"\xFF-aescfg,ap2009"] {
            assert_eq!(configuration_wanted(wrong), None);
        }
    }
}
