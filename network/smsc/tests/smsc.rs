//! The service centre from its three sides: an ESME, a phone, and an ESME that misbehaves.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../aaa/tests/aaa/peer.rs"]
mod peer;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use database::change;
use database::place::{Place, on_each_database};
use eap::Method;
use hlr::{Change, Credentials, Hlr, Lookup, MasterKey, Mode, Status as Subscribed, Subscription};
use identities::{Imsi, Msisdn};
use network_base::database::Database;
use network_base::secret;
use network_base::sender::{Message, Receiver, SmsError, SmsSender};
use peer::{K, OPC, Peer};
use serde_json::{Value, json};
use sms::{Deliver, StatusReport, Submit, UserData};
use smsc::smpp::body::{Address, Bind, Query, ShortMessage, read_submitted, tag};
use smsc::smpp::pdu::{Command, Pdu, Status};
use smsc::{
    Client, Esme, EsmeSettings, Receipt, Settings, Smsc, SmscError, State, Submission, Timeouts, give_up, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

on_each_database! {
    stored_and_forwarded,
    one_that_cannot_be_read_holds_up_no_other,
    time_is_up,
    a_phone_that_cannot_take_it,
    whom_a_number_reaches,
    what_waits_for_one_who_left_is_undeliverable,
    a_queue_has_an_end_and_a_message_a_successor,
    two_processes,
    from_phone_to_phone,
}

const MSISDN: &str = "81901234567";
const OLD: &str = "001010000000001";
const NEW: &str = "001010000000002";
/// Longer than a busy machine takes for what is asked in time, and not much longer.
const SHORT: Timeouts = {
    let short = Duration::from_secs(3);
    Timeouts { bind: short, frame: short, quiet: short, answer: short }
};
/// Any moment.
const NOW: u64 = 1_800_000_000;

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn imsi(digits: &str) -> Imsi {
    digits.parse().unwrap()
}

fn msisdn() -> Msisdn {
    MSISDN.parse().unwrap()
}

/// A service centre with two subscribers, the first of whom has the number.
async fn smsc_with(url: &str, timeouts: Timeouts) -> (Smsc, Arc<Hlr>) {
    let database = Database::open(url).await.unwrap();
    let hlr = Arc::new(Hlr::new(database.clone(), MasterKey::new([1; 32])).with_sim_for_usims(true));
    for (imsi, iccid, msisdn) in [(OLD, "89882110000000000015", Some(MSISDN)), (NEW, "89882110000000000023", None)] {
        let subscription = Subscription {
            imsi: imsi.parse().unwrap(),
            iccid: iccid.parse().unwrap(),
            msisdn: msisdn.map(|digits| digits.parse().unwrap()),
            eid: None,
            status: Subscribed::Active,
        };
        hlr.add(&subscription, &Credentials::milenage(K, OPC), &Change::by("test")).await.unwrap();
    }
    (another(database, &hlr, timeouts), hlr)
}

async fn smsc_at(place: &Place) -> (Smsc, Arc<Hlr>) {
    smsc_with(&place.url, Timeouts::default()).await
}

/// A process with this database.
fn another(database: Database, hlr: &Arc<Hlr>, timeouts: Timeouts) -> Smsc {
    let address = sms::Address::international("15550000000").unwrap();
    let clients = vec![Client::new("as", "secret"), Client::new("other", "word")];
    Smsc::new(database, Arc::clone(hlr), Settings { address, time_zone: 36, clients, timeouts })
}

fn submission(text: &str) -> Submission {
    Submission {
        client: "as".into(),
        service_type: String::new(),
        source: Address::international("1000"),
        destination: Address::international(MSISDN),
        data: UserData::text(text).unwrap(),
        protocol: 0,
        reply_path: false,
        not_before: None,
        expires_at: None,
        receipt: Receipt::Always,
        replace: false,
    }
}

fn text(tpdu: &[u8]) -> String {
    Deliver::decode(tpdu).unwrap().data.as_text().unwrap()
}

async fn one_that_cannot_be_read_holds_up_no_other(place: &Place) {
    let (smsc, _) = smsc_at(place).await;
    let mut ids = Vec::new();
    for text in ["one", "two"] {
        ids.push(smsc.submit(&submission(text), NOW).await.unwrap());
    }
    let database = Database::open(&place.url).await.unwrap();
    let damage = sqlx::query("UPDATE sms_message SET tpdu = '5A' WHERE id = $1").bind(&ids[0]);
    damage.execute(database.pool()).await.unwrap();
    for _ in 0..2 {
        let waiting = smsc.waiting(&imsi(OLD), NOW).await.unwrap();
        assert_eq!(waiting.iter().map(|message| text(&message.tpdu)).collect::<Vec<_>>(), ["two"]);
    }
    let fate = smsc.query("as", &ids[0], &Address::international("1000")).await.unwrap();
    assert_eq!((fate.state, fate.final_at), (State::Undeliverable, Some(NOW)));
}

async fn stored_and_forwarded(place: &Place) {
    let (smsc, _) = smsc_at(place).await;
    let ids =
        [smsc.submit(&submission("one"), NOW).await.unwrap(), smsc.submit(&submission("two"), NOW).await.unwrap()];
    assert!(smsc.waiting(&imsi(NEW), NOW).await.unwrap().is_empty());
    let waiting = smsc.waiting(&imsi(OLD), NOW).await.unwrap();
    assert_eq!(waiting.iter().map(|message| text(&message.tpdu)).collect::<Vec<_>>(), ["one", "two"]);
    let deliver = Deliver::decode(&waiting[0].tpdu).unwrap();
    assert_eq!(
        (deliver.from.to_string(), deliver.at.to_string()),
        ("+1000".into(), "2027-01-15T17:00:00+09:00".into())
    );
    // Until it is acknowledged, and then no more.
    assert_eq!(smsc.waiting(&imsi(OLD), NOW).await.unwrap().len(), 2);
    let wrong = smsc.acknowledge(&imsi(NEW), &ids[0], true, NOW).await;
    assert!(matches!(wrong, Err(SmscError::NoMessage)), "another phone's");
    for _ in 0..2 {
        smsc.acknowledge(&imsi(OLD), &ids[0], true, NOW + 5).await.unwrap();
    }
    assert_eq!(smsc.waiting(&imsi(OLD), NOW).await.unwrap().len(), 1);
    let source = Address::international("1000");
    let fate = smsc.query("as", &ids[0], &source).await.unwrap();
    assert_eq!((fate.state, fate.final_at), (State::Delivered, Some(NOW + 5)));
    assert!(smsc.query("other", &ids[0], &source).await.is_err(), "another client's");
    // Taken back.
    smsc.cancel("as", &ids[1], &source, NOW).await.unwrap();
    assert!(smsc.cancel("as", &ids[1], &source, NOW).await.is_err(), "once");
    assert!(smsc.waiting(&imsi(OLD), NOW).await.unwrap().is_empty());
    let outline = smsc.outline().await.unwrap();
    assert_eq!((outline.messages["delivered"], outline.messages["deleted"], outline.receipts_due), (1, 1, 2));
}

async fn time_is_up(place: &Place) {
    let (smsc, _) = smsc_at(place).await;
    let late = Submission { not_before: Some(NOW + 10), expires_at: Some(NOW + 20), ..submission("late") };
    let id = smsc.submit(&late, NOW).await.unwrap();
    for (now, there) in [(NOW, 0), (NOW + 10, 1), (NOW + 19, 1), (NOW + 20, 0)] {
        assert_eq!(smsc.waiting(&imsi(OLD), now).await.unwrap().len(), there, "{}", now - NOW);
    }
    smsc.tidy(NOW + 19).await.unwrap();
    assert_eq!(smsc.outline().await.unwrap().messages["enroute"], 1);
    smsc.tidy(NOW + 20).await.unwrap();
    assert_eq!(smsc.query("as", &id, &late.source).await.unwrap().state, State::Expired);
    // A phone that comes too late changes nothing.
    smsc.acknowledge(&imsi(OLD), &id, true, NOW + 21).await.unwrap();
    assert_eq!(smsc.query("as", &id, &late.source).await.unwrap().state, State::Expired);
    smsc.tidy(NOW + 30 * 86_400).await.unwrap();
    assert!(smsc.query("as", &id, &late.source).await.is_err(), "forgotten");
    // Nobody may fill the queue for ever.
    smsc.submit(&Submission { expires_at: Some(u64::MAX), ..submission("for ever") }, NOW).await.unwrap();
    smsc.tidy(NOW + 7 * 86_400).await.unwrap();
    assert_eq!(smsc.outline().await.unwrap().messages["expired"], 1);
}

async fn a_phone_that_cannot_take_it(place: &Place) {
    let (smsc, _) = smsc_at(place).await;
    let id = smsc.submit(&submission("full"), NOW).await.unwrap();
    let mut now = NOW;
    for attempt in 1..8 {
        assert_eq!(smsc.waiting(&imsi(OLD), now).await.unwrap().len(), 1, "{attempt}");
        smsc.acknowledge(&imsi(OLD), &id, false, now).await.unwrap();
        assert!(smsc.waiting(&imsi(OLD), now + 14).await.unwrap().is_empty(), "it gets a pause");
        now += 15 << attempt;
    }
    smsc.acknowledge(&imsi(OLD), &id, false, now).await.unwrap();
    assert_eq!(smsc.query("as", &id, &Address::international("1000")).await.unwrap().state, State::Undeliverable);
}

/// Who gets the IMSI of one who left is somebody else.
async fn what_waits_for_one_who_left_is_undeliverable(place: &Place) {
    let (smsc, hlr) = smsc_at(place).await;
    let by_imsi = Submission { destination: Address::imsi(NEW), ..submission("a secret") };
    let id = smsc.submit(&by_imsi, NOW).await.unwrap();
    let other = smsc.submit(&submission("to another"), NOW).await.unwrap();
    let left = hlr.lookup(Lookup::Imsi(&imsi(NEW))).await.unwrap().remove(0);
    let given_up: Result<(), sqlx::Error> = change!(hlr.database(), |tx| give_up(tx, &imsi(NEW), NOW + 1).await?);
    given_up.unwrap();
    hlr.remove(&imsi(NEW), &Change { by: "test".into(), at: NOW + 1 }).await.unwrap();
    hlr.add(&left, &Credentials::milenage([1; 16], [2; 16]), &Change::by("test")).await.unwrap();
    assert!(smsc.waiting(&imsi(NEW), NOW + 2).await.unwrap().is_empty());
    let fate = smsc.query("as", &id, &by_imsi.source).await.unwrap();
    assert_eq!((fate.state, fate.final_at), (State::Undeliverable, Some(NOW + 1)));
    assert_eq!(smsc.outline().await.unwrap().receipts_due, 1, "its client hears of it");
    assert_eq!(smsc.query("as", &other, &by_imsi.source).await.unwrap().state, State::Enroute);
}

async fn whom_a_number_reaches(place: &Place) {
    let (smsc, hlr) = smsc_at(place).await;
    let change = Change::by("test");
    let to = |destination| Submission { destination, ..submission("x") };
    let e212 = |digits: &str| Address::imsi(digits);
    // Addressed when submitted: what is on its way stays on its way when the number moves.
    smsc.submit(&submission("before"), NOW).await.unwrap();
    hlr.transfer(&msisdn(), &imsi(OLD), &imsi(NEW), &change).await.unwrap();
    smsc.submit(&submission("after"), NOW).await.unwrap();
    hlr.set_status(&imsi(OLD), Subscribed::Barred, &change).await.unwrap();
    smsc.submit(&Submission { destination: e212(OLD), ..submission("notice") }, NOW).await.unwrap();
    let texts = async |who| {
        let waiting = smsc.waiting(&imsi(who), NOW).await.unwrap();
        waiting.iter().map(|message| text(&message.tpdu)).collect::<Vec<_>>()
    };
    assert_eq!(texts(OLD).await, ["before", "notice"]);
    assert_eq!(texts(NEW).await, ["after"]);
    // A shared number reaches its first active member.
    hlr.set_status(&imsi(OLD), Subscribed::Active, &change).await.unwrap();
    let members = [(imsi(OLD), 3), (imsi(NEW), 3)];
    hlr.create_group(&msisdn(), Mode::FlexibleAlerting, &members, &change).await.unwrap();
    smsc.submit(&to(Address { ton: 0, npi: 1, digits: format!("+{MSISDN}") }), NOW).await.unwrap();
    assert_eq!(texts(OLD).await.len(), 3);
    hlr.set_status(&imsi(OLD), Subscribed::Barred, &change).await.unwrap();
    smsc.submit(&submission("second"), NOW).await.unwrap();
    assert_eq!(texts(NEW).await, ["after", "second"]);
    for nobody in
        [Address::international("81900000000"), e212("001010000000009"), e212("x"), Address::international("")]
    {
        assert!(matches!(smsc.submit(&to(nobody), NOW).await, Err(SmscError::Destination)));
    }
    let odd = Submission { source: Address { ton: 5, npi: 0, digits: "twelve signs".into() }, ..submission("x") };
    assert!(matches!(smsc.submit(&odd, NOW).await, Err(SmscError::Source)));
}

async fn a_queue_has_an_end_and_a_message_a_successor(place: &Place) {
    let (smsc, _) = smsc_at(place).await;
    let replacing = Submission { replace: true, ..submission("weather") };
    for _ in 0..3 {
        smsc.submit(&replacing, NOW).await.unwrap();
    }
    assert_eq!(smsc.waiting(&imsi(OLD), NOW).await.unwrap().len(), 1);
    for _ in 1..100 {
        smsc.submit(&submission("spam"), NOW).await.unwrap();
    }
    assert!(matches!(smsc.submit(&submission("spam"), NOW).await, Err(SmscError::QueueFull)));
    let elsewhere = Submission { destination: Address::imsi(NEW), ..submission("x") };
    smsc.submit(&elsewhere, NOW).await.unwrap();
}

/// What a message says lies open nowhere in the database, and nowhere at all once it has arrived.
#[tokio::test]
async fn the_text_is_nobodys_business() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("operator.db");
    let database = Database::open(path.to_str().unwrap()).await.unwrap();
    let hlr = Arc::new(Hlr::new(database.clone(), MasterKey::new([1; 32])).with_sim_for_usims(true));
    let subscription = Subscription {
        imsi: imsi(OLD),
        iccid: "89882110000000000015".parse().unwrap(),
        msisdn: Some(msisdn()),
        eid: None,
        status: Subscribed::Active,
    };
    hlr.add(&subscription, &Credentials::milenage(K, OPC), &Change::by("test")).await.unwrap();
    let smsc = another(database.clone(), &hlr, Timeouts::default());
    let submission = submission("Xq7Wz9");
    let tpdu = Deliver::new(
        sms::Address::international("1000").unwrap(),
        sms::Timestamp::new(NOW, 36),
        submission.data.clone(),
    );
    let said = submission.data.encode().unwrap();
    assert!(tpdu.encode().unwrap().ends_with(&said));
    smsc.submit(&submission, NOW).await.unwrap();
    database.close().await;
    // The database, and what SQLite keeps beside it.
    let files = std::fs::read_dir(folder.path()).unwrap();
    let stored: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(stored.windows(MSISDN.len()).any(|window| window == MSISDN.as_bytes()), "it is all in there");
    for open in [&b"Xq7Wz9"[..], &said, hex::encode(&said).as_bytes()] {
        assert!(!stored.windows(open.len()).any(|window| window == open));
    }
}

/// A service centre at work, until it is dropped.
struct Centre {
    smsc: Smsc,
    address: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Centre {
    async fn open() -> Self {
        Self::open_with(Timeouts::default()).await
    }

    async fn open_with(timeouts: Timeouts) -> Self {
        let (smsc, _) = smsc_with(":memory:", timeouts).await;
        Self::at(smsc, "127.0.0.1:0").await
    }

    async fn at(smsc: Smsc, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(smsc.clone(), listener, async { drop(stopped.await) }));
        Self { smsc, address, stop: Some(stop), task }
    }

    async fn close(mut self) {
        self.stop.take();
        self.task.await.unwrap().unwrap();
    }

    async fn client(&self) -> Raw {
        Raw(TcpStream::connect(&self.address).await.unwrap(), Vec::new())
    }

    async fn bound(&self, command: Command) -> Raw {
        let mut raw = self.client().await;
        assert_eq!(raw.ask(&bind(command, "as", "secret")).await.status, Status::OK);
        raw
    }

    fn esme(&self) -> Esme {
        Esme::start(EsmeSettings {
            address: self.address.clone(),
            system_id: "as".into(),
            password: "secret".to_owned().into(),
            source: Address::international("1000"),
            timeouts: Timeouts::default(),
        })
    }
}

/// An ESME by hand.
struct Raw(TcpStream, Vec<u8>);

impl Raw {
    async fn send(&mut self, octets: &[u8]) {
        self.0.write_all(octets).await.unwrap();
    }

    /// The next frame; `None` if there will be none.
    async fn next(&mut self) -> Option<Pdu> {
        loop {
            if let Some(pdu) = Pdu::take(&mut self.1).unwrap() {
                return Some(pdu);
            }
            let mut octets = [0; 1024];
            match self.0.read(&mut octets).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.1.extend_from_slice(&octets[..read]),
            }
        }
    }

    async fn ask(&mut self, pdu: &Pdu) -> Pdu {
        self.send(&pdu.encode()).await;
        let answer = self.next().await.unwrap();
        assert_eq!(answer.sequence, pdu.sequence);
        answer
    }

    async fn submit(&mut self, message: &ShortMessage) -> Pdu {
        self.ask(&Pdu::request(Command::SUBMIT_SM, 77, message.encode())).await
    }
}

fn bind(command: Command, system_id: &str, password: &str) -> Pdu {
    let (system_id, password) = (system_id.to_owned(), password.to_owned().into());
    Pdu::request(command, 1, Bind { system_id, password, system_type: "test".into(), version: 0x34 }.encode())
}

fn message(contents: &[u8]) -> ShortMessage {
    ShortMessage::new(Address::international("1000"), Address::international(MSISDN), 0, contents.to_vec())
}

#[tokio::test]
async fn bind_and_unbind() {
    let centre = Centre::open().await;
    for (system_id, password) in [("as", "guess"), ("nobody", "secret"), ("as", ""), ("other", "secret")] {
        let mut raw = centre.client().await;
        let answer = raw.ask(&bind(Command::BIND_TRANSCEIVER, system_id, password)).await;
        assert_eq!((answer.command, answer.status), (Command::BIND_TRANSCEIVER.answer(), Status::INVALID_PASSWORD));
        assert_eq!(raw.next().await, None, "one guess per connection");
    }
    let mut raw = centre.client().await;
    let enquire_link = Pdu::request(Command::ENQUIRE_LINK, 9, Vec::new());
    assert_eq!(raw.ask(&enquire_link).await.status, Status::OK);
    assert_eq!(raw.submit(&message(b"x")).await.status, Status::INVALID_BIND_STATE);
    let unbind = Pdu::request(Command::UNBIND, 5, Vec::new());
    assert_eq!(raw.ask(&unbind).await.status, Status::INVALID_BIND_STATE);
    let answer = raw.ask(&bind(Command::BIND_RECEIVER, "as", "secret")).await;
    assert_eq!((answer.status, &answer.body[..]), (Status::OK, &b"vuicc\0\x02\x10\0\x01\x34"[..]));
    assert_eq!(raw.ask(&bind(Command::BIND_RECEIVER, "as", "secret")).await.status, Status::ALREADY_BOUND);
    assert_eq!(raw.submit(&message(b"x")).await.status, Status::INVALID_BIND_STATE, "a receiver");
    assert_eq!(raw.ask(&unbind).await.status, Status::OK);
    assert_eq!(raw.next().await, None);
}

#[tokio::test]
async fn what_is_refused_and_how() {
    let centre = Centre::open().await;
    let mut raw = centre.bound(Command::BIND_TRANSMITTER).await;
    let good = message(b"hello");
    let to = |digits: &str| ShortMessage { destination: Address::international(digits), ..good.clone() };
    for (what, message, status) in [
        ("as it should be", good.clone(), Status::OK),
        ("nobody", to("81900000000"), Status::INVALID_DESTINATION),
        ("no number", to("hello"), Status::INVALID_DESTINATION),
        (
            "no source",
            ShortMessage { source: Address { ton: 1, npi: 1, digits: "x".into() }, ..good.clone() },
            Status::INVALID_SOURCE,
        ),
        ("a receipt", ShortMessage { esm_class: 0x04, ..good.clone() }, Status::INVALID_ESM_CLASS),
        ("datagram mode", ShortMessage { esm_class: 0x01, ..good.clone() }, Status::INVALID_ESM_CLASS),
        ("store and forward", ShortMessage { esm_class: 0x03, ..good.clone() }, Status::OK),
        ("header cut", ShortMessage { esm_class: 0x40, ..good.clone() }, Status::SUBMIT_FAILED),
        ("coding", ShortMessage { data_coding: 0x07, ..good.clone() }, Status::SUBMIT_FAILED),
        ("too long", message_of(161), Status::INVALID_MESSAGE_LENGTH),
        ("expired", ShortMessage { validity: "000101000000000+".into(), ..good.clone() }, Status::INVALID_EXPIRY),
        ("no time", ShortMessage { validity: "tomorrow".into(), ..good.clone() }, Status::INVALID_EXPIRY),
        ("schedule", ShortMessage { schedule: "tomorrow".into(), ..good.clone() }, Status::INVALID_SCHEDULE),
        ("replace", ShortMessage { replace_if_present: 2, ..good.clone() }, Status::INVALID_REPLACE_FLAG),
        ("receipts", ShortMessage { registered_delivery: 3, ..good.clone() }, Status::INVALID_REGISTERED_DELIVERY),
        ("predefined", ShortMessage { default_message: 1, ..good.clone() }, Status::INVALID_DEFAULT_MESSAGE),
        ("in an hour", ShortMessage { schedule: "000000010000000R".into(), ..good.clone() }, Status::OK),
    ] {
        let answer = raw.submit(&message).await;
        assert_eq!((answer.command, answer.status), (Command::SUBMIT_SM.answer(), status), "{what}");
        assert_eq!(answer.body.is_empty(), status != Status::OK, "{what}");
    }
    for (command, answer, status) in [
        (Command::SUBMIT_MULTI, Command::SUBMIT_MULTI.answer(), Status::INVALID_COMMAND),
        (Command::DATA_SM, Command::DATA_SM.answer(), Status::INVALID_COMMAND),
        (Command::REPLACE_SM, Command::REPLACE_SM.answer(), Status::REPLACE_FAILED),
        (Command::DELIVER_SM, Command::GENERIC_NACK, Status::INVALID_COMMAND),
        (Command(0x1234), Command::GENERIC_NACK, Status::INVALID_COMMAND),
        (Command::SUBMIT_SM, Command::SUBMIT_SM.answer(), Status::INVALID_COMMAND_LENGTH),
        (Command::QUERY_SM, Command::QUERY_SM.answer(), Status::INVALID_COMMAND_LENGTH),
    ] {
        let got = raw.ask(&Pdu::request(command, 3, Vec::new())).await;
        assert_eq!((got.command, got.status), (answer, status), "{command}");
    }
    // Answers nobody asked for are nobody's.
    raw.send(&Pdu::nack(Status::SYSTEM_ERROR, 99).encode()).await;
    assert_eq!(raw.submit(&good).await.status, Status::OK, "still there");
}

fn message_of(length: usize) -> ShortMessage {
    message(&vec![0x41; length])
}

#[tokio::test]
async fn what_is_no_frame_ends_the_session() {
    let centre = Centre::open().await;
    for length in [0u32, 15, 5000, u32::MAX] {
        let mut raw = centre.bound(Command::BIND_TRANSCEIVER).await;
        let mut octets = Pdu::request(Command::ENQUIRE_LINK, 4, Vec::new()).encode();
        octets[..4].copy_from_slice(&length.to_be_bytes());
        raw.send(&octets).await;
        let nack = raw.next().await.unwrap();
        assert_eq!((nack.command, nack.status), (Command::GENERIC_NACK, Status::INVALID_COMMAND_LENGTH));
        assert_eq!(raw.next().await, None);
    }
    let mut raw = centre.bound(Command::BIND_TRANSCEIVER).await;
    assert_eq!(raw.submit(&message(b"x")).await.status, Status::OK, "others do not notice");
}

#[tokio::test]
async fn who_dawdles_is_left() {
    let long = Duration::from_mins(10);
    let long = Timeouts { bind: long, frame: long, quiet: long, answer: long };
    // Says nothing.
    let centre = Centre::open_with(Timeouts { bind: SHORT.bind, ..long }).await;
    assert_eq!(centre.client().await.next().await, None);
    // Begins a frame and does not end it.
    let centre = Centre::open_with(Timeouts { frame: SHORT.frame, ..long }).await;
    let mut slow = centre.bound(Command::BIND_TRANSCEIVER).await;
    slow.send(&[0, 0, 0]).await;
    assert_eq!(slow.next().await, None);
    // Is bound, and does not answer.
    let centre = Centre::open_with(Timeouts { quiet: SHORT.quiet, answer: SHORT.answer, ..long }).await;
    let mut dead = centre.bound(Command::BIND_TRANSCEIVER).await;
    assert_eq!(dead.next().await.unwrap().command, Command::ENQUIRE_LINK);
    assert_eq!(dead.next().await, None);
}

#[tokio::test]
async fn a_receipt_and_its_acknowledgement() {
    let centre = Centre::open().await;
    let mut raw = centre.bound(Command::BIND_TRANSMITTER).await;
    let answer = raw.submit(&ShortMessage { registered_delivery: 1, ..message(b"hello") }).await;
    let id = read_submitted(&answer.body).unwrap();
    let query = Pdu::request(
        Command::QUERY_SM,
        2,
        Query { message_id: id.clone(), source: Address::international("1000") }.encode(),
    );
    let state = |answer: &Pdu| answer.body[answer.body.len() - 2];
    assert_eq!(state(&raw.ask(&query).await), State::Enroute.octet());
    let now = unix_now();
    centre.smsc.acknowledge(&imsi(OLD), &id, true, now).await.unwrap();
    assert_eq!(state(&raw.ask(&query).await), State::Delivered.octet());
    // Not to a transmitter, not to another client; to a receiver of the same client, also later.
    let mut other = centre.client().await;
    assert_eq!(other.ask(&bind(Command::BIND_TRANSCEIVER, "other", "word")).await.status, Status::OK);
    let mut receiver = centre.bound(Command::BIND_RECEIVER).await;
    let deliver = receiver.next().await.unwrap();
    let receipt = ShortMessage::decode(&deliver.body).unwrap();
    assert_eq!((deliver.command, receipt.esm_class), (Command::DELIVER_SM, 0x04));
    assert_eq!((&*receipt.source.digits, &*receipt.destination.digits), (MSISDN, "1000"));
    let said = String::from_utf8(receipt.short_message.clone()).unwrap();
    assert!(said.starts_with(&format!("id:{id} sub:001 dlvrd:001 submit date:")), "{said}");
    assert!(said.ends_with(" stat:DELIVRD err:000 text:"), "{said}");
    assert_eq!(receipt.parameter(tag::MESSAGE_STATE), Some(&[2][..]));
    assert_eq!(centre.smsc.outline().await.unwrap().receipts_due, 1, "until it is acknowledged");
    receiver.send(&deliver.answer(Status::OK, vec![0]).encode()).await;
    while centre.smsc.outline().await.unwrap().receipts_due > 0 {
        tokio::task::yield_now().await;
    }
    let cancel = [&b"\0"[..], id.as_bytes(), b"\0\x01\x011000\0\0\0\0"].concat();
    assert_eq!(raw.ask(&Pdu::request(Command::CANCEL_SM, 4, cancel)).await.status, Status::CANCEL_FAILED, "too late");
}

#[tokio::test]
async fn our_own_client() {
    let centre = Centre::open().await;
    let esme: Arc<dyn SmsSender> = Arc::new(centre.esme());
    esme.send(Receiver::Number(&msisdn()), Message::Text("認証コードは 123456 です。")).await.unwrap();
    esme.send(Receiver::Number(&msisdn()), Message::Text(&"long ".repeat(50))).await.unwrap();
    esme.send(Receiver::Number(&msisdn()), Message::Data { port: ts43::notice::PORT, octets: b"u-aescfg,ap2009" })
        .await
        .unwrap();
    esme.send(
        Receiver::Subscription(&imsi(NEW)),
        Message::Data { port: ts43::notice::PORT, octets: b"u-aescfg,ap2006" },
    )
    .await
    .unwrap();
    assert_eq!(
        esme.send(Receiver::Number(&"819".repeat(3).parse().unwrap()), Message::Text("x")).await,
        Err(SmsError::UnknownReceiver)
    );
    assert_eq!(
        esme.send(Receiver::Number(&msisdn()), Message::Text(&"x".repeat(153 * 255 + 1))).await,
        Err(SmsError::TooLong)
    );
    let now = unix_now();
    let waiting = centre.smsc.waiting(&imsi(OLD), now + 1).await.unwrap();
    let data: Vec<_> = waiting.iter().map(|message| Deliver::decode(&message.tpdu).unwrap().data).collect();
    assert_eq!(data[0].as_text().unwrap(), "認証コードは 123456 です。");
    assert_eq!(data[1].as_text().unwrap() + &data[2].as_text().unwrap(), "long ".repeat(50));
    assert_eq!((data[3].ports().unwrap().destination, &data[3].content[..]), (8095, &b"u-aescfg,ap2009"[..]));
    assert_eq!(centre.smsc.waiting(&imsi(NEW), now + 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_hears_what_became_of_it() {
    let centre = Centre::open().await;
    let esme = centre.esme();
    let phone = async {
        loop {
            let now = unix_now();
            for message in centre.smsc.waiting(&imsi(OLD), now).await.unwrap() {
                centre.smsc.acknowledge(&imsi(OLD), &message.id, true, now).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let to = msisdn();
    let long = "0123456789 ".repeat(20);
    let sending = esme.send_and_await(&to, &long, Duration::from_secs(30));
    tokio::select! {
        outcome = sending => assert_eq!(outcome, Ok(State::Delivered)),
        () = phone => panic!("a phone goes on for ever"),
    }
    // Nobody fetches this one.
    let outcome = esme.send_and_await(&to, "x", Duration::from_secs(3)).await;
    assert_eq!(outcome, Ok(State::Enroute));
}

#[tokio::test]
async fn a_client_comes_back() {
    let centre = Centre::open().await;
    let (smsc, address) = (centre.smsc.clone(), centre.address.clone());
    let esme = centre.esme();
    esme.send(Receiver::Number(&msisdn()), Message::Text("before")).await.unwrap();
    centre.close().await;
    // While nobody is there, messages wait for the connection.
    let (sent, centre) =
        tokio::join!(async { esme.send(Receiver::Number(&msisdn()), Message::Text("meanwhile")).await }, async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Centre::at(smsc, &address).await
        });
    assert_eq!(sent, Ok(()));
    assert_eq!(centre.smsc.outline().await.unwrap().messages["enroute"], 2);
}

#[tokio::test]
async fn a_client_without_a_service_centre_says_so() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let esme = Esme::start(EsmeSettings {
        address: nobody,
        system_id: "as".into(),
        password: "secret".to_owned().into(),
        source: Address::international("1000"),
        timeouts: SHORT,
    });
    let refused = esme.send(Receiver::Number(&msisdn()), Message::Text("x")).await;
    assert!(matches!(refused, Err(SmsError::Unavailable(_))), "{refused:?}");
}

fn http_client() -> reqwest::Client {
    // It wants to know what TLS would be made of, even where there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A phone without a radio, at the endpoint of a service centre.
struct Phone {
    http: reqwest::Client,
    base: String,
    peer: Peer,
    token: String,
}

impl Phone {
    async fn new(smsc: &Smsc, peer: Peer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/mt/v1", listener.local_addr().unwrap());
        tokio::spawn(https::serve(listener, None, smsc::router(smsc), std::future::pending()));
        let http = http_client();
        Self { http, base, peer, token: String::new() }
    }

    /// The same phone at another process's endpoint.
    async fn moved_to(mut self, smsc: &Smsc) -> Self {
        let other = Self::new(smsc, Peer::new(Method::Aka)).await;
        self.base = other.base;
        self
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).body(body.to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    /// The first packet and the session.
    async fn begin(&mut self) -> (Vec<u8>, String) {
        let identity = String::from_utf8(self.peer.begin()).unwrap();
        let (status, answer) = self.post("/attach", &json!({ "identity": identity })).await;
        assert_eq!(status, 200, "{answer}");
        (packet(&answer), answer["session"].as_str().unwrap().to_owned())
    }

    async fn go_on(&self, session: &str, packet: &[u8]) -> (u16, Value) {
        let packet = BASE64.encode(packet);
        self.post("/attach", &json!({ "session": session, "eap-relay-packet": packet })).await
    }

    async fn attach(&mut self) {
        let (challenge, session) = self.begin().await;
        let answer = self.peer.respond(&challenge);
        let (status, answer) = self.go_on(&session, &answer).await;
        assert_eq!(status, 200, "{answer}");
        self.token = answer["attachment"].as_str().unwrap().into();
    }

    async fn messages(&self, wait: u64) -> (u16, Vec<Value>) {
        let request = self.http.get(format!("{}/messages?wait={wait}", self.base)).bearer_auth(&self.token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, body["messages"].as_array().cloned().unwrap_or_default())
    }
}

fn packet(answer: &Value) -> Vec<u8> {
    BASE64.decode(answer["eap-relay-packet"].as_str().unwrap()).unwrap()
}

/// As many phones of one address as may be connected want to wait: others that only ask are answered as before.
#[tokio::test]
async fn phones_that_wait_shut_nobody_out() {
    const MANY: usize = https::MOST_OF_ONE;
    let place = Place::sqlite();
    let (smsc, _) = smsc_at(&place).await;
    let database = Database::open(&place.url).await.unwrap();
    let mut phone = Phone::new(&smsc, Peer::new(Method::Aka)).await;
    phone.attach().await;
    for number in 0..MANY {
        let sql = "INSERT INTO mt_attachment (token, imsi, expires_at) VALUES ($1, $2, $3)";
        let insert =
            sqlx::query(sql).bind(secret::digest(&[&number.to_string()])).bind(format!("0010100001{number:05}"));
        insert.bind(i64::MAX).execute(database.pool()).await.unwrap();
    }
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..MANY {
        let request = phone.http.get(format!("{}/messages?wait=55", phone.base)).bearer_auth(number);
        waiting.spawn(async move {
            request.send().await.map(|answer| (answer.status().as_u16(), answer.headers().clone()))
        });
    }

    for _ in MANY / 2..MANY {
        let (status, headers) = waiting.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "5"));
    }
    assert_eq!(phone.messages(0).await, (200, vec![]));
    assert_eq!(waiting.len(), MANY / 2, "they wait");
}

#[tokio::test]
async fn a_phone_attaches_and_fetches() {
    let (smsc, _) = smsc_with(":memory:", Timeouts::default()).await;
    let mut phone = Phone::new(&smsc, Peer::new(Method::Aka)).await;
    assert_eq!(phone.messages(0).await.0, 401);
    phone.attach().await;
    assert_eq!(phone.messages(0).await, (200, vec![]));
    // It waits; a message wakes it.
    let (got, id) = tokio::join!(phone.messages(25), async {
        tokio::task::yield_now().await;
        smsc.submit(&submission("hello"), unix_now()).await.unwrap()
    });
    let message = &got.1[0];
    assert_eq!((message["id"].as_str(), message["smsc"].as_str()), (Some(&*id), Some("15550000000")));
    assert_eq!(text(&hex::decode(message["tpdu"].as_str().unwrap()).unwrap()), "hello");
    let path = format!("/messages/{id}");
    assert_eq!(phone.post(&path, &json!({})).await.0, 400);
    assert_eq!(phone.post(&path, &json!({"delivered": true})).await.0, 204);
    assert_eq!(phone.post(&path, &json!({"delivered": true})).await.0, 204, "said again");
    assert_eq!(phone.post("/messages/other", &json!({"delivered": true})).await.0, 404);
    assert_eq!(phone.messages(0).await, (200, vec![]));
    assert_eq!(smsc.outline().await.unwrap().attached, 1);
    // The card in another phone: this one hears no more.
    let old = phone.token.clone();
    phone.attach().await;
    phone.token = old;
    assert_eq!(phone.messages(0).await.0, 401);
}

/// A phone that waits twice takes one place only.
#[tokio::test]
async fn a_phone_waits_once() {
    let (smsc, _) = smsc_with(":memory:", Timeouts::default()).await;
    let mut phone = Phone::new(&smsc, Peer::new(Method::Aka)).await;
    phone.attach().await;
    let (mut one, mut other) = (std::pin::pin!(phone.messages(55)), std::pin::pin!(phone.messages(55)));
    // Whichever arrives second ends the first, with nothing.
    let ((status, messages), other_waits) = tokio::select! {
        ended = &mut one => (ended, true),
        ended = &mut other => (ended, false),
    };
    assert_eq!((status, messages.len()), (200, 0));
    smsc.submit(&submission("hello"), unix_now()).await.unwrap();
    let (status, messages) = if other_waits { other.await } else { one.await };
    assert_eq!((status, messages.len()), (200, 1), "the second has it");
}

/// Conversations nobody goes on with leave room for others, and for those under way.
#[tokio::test]
async fn a_place_full_of_beginnings() {
    let (smsc, _) = smsc_with(":memory:", Timeouts::default()).await;
    let mut phone = Phone::new(&smsc, Peer::new(Method::Sim)).await;
    let (start, session) = phone.begin().await;
    let identity = json!({ "identity": String::from_utf8(phone.peer.permanent.clone()).unwrap() });
    let mut begun = 1;
    while phone.post("/attach", &identity).await.0 == 200 {
        begun += 1;
    }
    assert_eq!(begun, 500);
    assert_eq!(phone.post("/attach", &identity).await.0, 503);
    let answer = phone.peer.respond(&start);
    let (status, answer) = phone.go_on(&session, &answer).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn each_method_attaches() {
    let (smsc, _) = smsc_with(":memory:", Timeouts::default()).await;
    for method in [Method::Aka, Method::Sim, Method::AkaPrime] {
        let mut phone = Phone::new(&smsc, Peer::new(method)).await;
        let (mut packet_in, mut session) = phone.begin().await;
        let token = loop {
            let answer = phone.peer.respond(&packet_in);
            let (status, answer) = phone.go_on(&session, &answer).await;
            assert_eq!(status, 200, "{method:?}: {answer}");
            if let Some(token) = answer["attachment"].as_str() {
                break token.to_owned();
            }
            (packet_in, session) = (packet(&answer), answer["session"].as_str().unwrap().to_owned());
        };
        phone.token = token;
        assert_eq!(phone.messages(0).await.0, 200);
    }
}

/// RP-ERROR with cause 22, and RP-SMMA: a message that finds no room waits until there is some, which is no failed
/// attempt.
#[tokio::test]
async fn a_phone_without_room() {
    let (smsc, _) = smsc_with(":memory:", Timeouts::default()).await;
    let mut phone = Phone::new(&smsc, Peer::new(Method::Aka)).await;
    phone.attach().await;
    smsc.submit(&submission("wait for me"), unix_now()).await.unwrap();
    let path = async |phone: &Phone| {
        let (_, messages) = phone.messages(0).await;
        format!("/messages/{}", messages[0]["id"].as_str().unwrap())
    };
    // Oftener than there are attempts.
    for _ in 0..20 {
        let message = path(&phone).await;
        assert_eq!(phone.post(&message, &json!({"delivered": false, "cause": 22})).await.0, 204);
        assert_eq!(phone.messages(0).await.1.len(), 0, "it waits");
        assert_eq!(phone.post("/memory-available", &json!({})).await.0, 204);
    }
    assert_eq!(smsc.outline().await.unwrap().messages["enroute"], 1);
    // Without its being said, after an hour.
    let message = path(&phone).await;
    assert_eq!(phone.post(&message, &json!({"delivered": false, "cause": 22})).await.0, 204);
    assert_eq!(smsc.waiting(&imsi(OLD), unix_now() + 3590).await.unwrap().len(), 0);
    assert_eq!(smsc.waiting(&imsi(OLD), unix_now() + 3601).await.unwrap().len(), 1);
    // Another cause is an attempt, and room is no cure for it.
    assert_eq!(phone.post("/memory-available", &json!({})).await.0, 204);
    let message = path(&phone).await;
    assert_eq!(phone.post(&message, &json!({"delivered": false, "cause": 111})).await.0, 204);
    assert_eq!(phone.post("/memory-available", &json!({})).await.0, 204);
    assert_eq!(phone.messages(0).await.1.len(), 0);
    assert_eq!(phone.post("/messages/none", &json!({"delivered": false, "cause": 22})).await.0, 404);
    phone.token = "nobody".to_owned();
    assert_eq!(phone.post("/memory-available", &json!({})).await.0, 401);
}

#[tokio::test]
async fn who_does_not_attach() {
    let (smsc, hlr) = smsc_with(":memory:", Timeouts::default()).await;
    let mut phone = Phone::new(&smsc, Peer::with_key(Method::Aka, &[9; 16])).await;
    let (challenge, session) = phone.begin().await;
    let reject = phone.peer.respond(&challenge);
    // Half an answer leaves the conversation as it was; the whole one ends it.
    assert_eq!(phone.go_on(&session, &reject[..3]).await.0, 400);
    let (status, answer) = phone.go_on(&session, &reject).await;
    assert_eq!((status, packet(&answer)[0]), (403, 4), "EAP-Failure");
    let (status, answer) = phone.go_on(&session, &reject).await;
    assert_eq!((status, packet(&answer)[0]), (403, 4), "once");
    // A good answer, heard and said again by somebody else.
    phone.peer = Peer::new(Method::Aka);
    let (challenge, session) = phone.begin().await;
    let good = phone.peer.respond(&challenge);
    assert_eq!(phone.go_on(&session, &good).await.0, 200);
    assert_eq!(phone.go_on(&session, &good).await.0, 403);
    for body in [json!({}), json!({"identity": 7}), json!({"session": "x", "eap-relay-packet": "?"}), json!([])] {
        assert_eq!(phone.post("/attach", &body).await.0, 400, "{body}");
    }
    let huge = json!({"identity": "0".repeat(100_000)});
    assert_eq!(phone.post("/attach", &huge).await.0, 413);
    // Nobody gets a challenge too; and who is barred learns that when the card has proved itself.
    phone.peer = Peer::with_key(Method::Aka, &[9; 16]);
    phone.peer.permanent = b"0001019999999999@nai.epc.mnc001.mcc001.3gppnetwork.org".to_vec();
    let (challenge, session) = phone.begin().await;
    let answer = phone.peer.respond(&challenge);
    assert_eq!(phone.go_on(&session, &answer).await.0, 403);
    let barred = hlr.set_status(&imsi(OLD), Subscribed::Barred, &Change::by("test")).await;
    barred.unwrap();
    phone.peer = Peer::new(Method::Aka);
    let (challenge, session) = phone.begin().await;
    let answer = phone.peer.respond(&challenge);
    let (status, answer) = phone.go_on(&session, &answer).await;
    assert_eq!((status, packet(&answer)[0]), (403, 4), "EAP-Failure");
}

/// A client at one, a phone that attaches at one and fetches at the other, a receipt that leaves from where the client
/// is bound.
async fn two_processes(place: &Place) {
    let (one, _) = smsc_at(place).await;
    let database = Database::open(&place.url).await.unwrap();
    let hlr = Arc::new(Hlr::new(database.clone(), MasterKey::new([1; 32])).with_sim_for_usims(true));
    let other = another(database, &hlr, Timeouts::default());
    let centre = Centre::at(one.clone(), "127.0.0.1:0").await;
    let mut phone = Phone::new(&one, Peer::new(Method::Aka)).await;
    let (challenge, session) = phone.begin().await;
    phone = phone.moved_to(&other).await;
    let answer = phone.peer.respond(&challenge);
    let (_, answer) = phone.go_on(&session, &answer).await;
    phone.token = answer["attachment"].as_str().unwrap().to_owned();
    let esme = centre.esme();
    let to = msisdn();
    let (outcome, ()) = tokio::join!(esme.send_and_await(&to, "over there", Duration::from_mins(1)), async {
        let (_, messages) = phone.messages(50).await;
        let tpdu = hex::decode(messages[0]["tpdu"].as_str().unwrap()).unwrap();
        assert_eq!(text(&tpdu), "over there");
        let path = format!("/messages/{}", messages[0]["id"].as_str().unwrap());
        assert_eq!(phone.post(&path, &json!({"delivered": true})).await.0, 204);
    });
    assert_eq!(outcome, Ok(State::Delivered));
}

/// A phone sends to itself; what became of it is reported to it.
async fn from_phone_to_phone(place: &Place) {
    let (smsc, hlr) = smsc_at(place).await;
    let mut phone = Phone::new(&smsc, Peer::new(Method::Aka)).await;
    let to = |digits: &str| sms::Address::international(digits).unwrap();
    let submit = Submit { report: true, ..Submit::new(to(MSISDN), 0x2A, UserData::text("to myself").unwrap()) };
    let tpdu = |submit: &Submit| json!({ "tpdu": hex::encode(submit.encode().unwrap()) });
    assert_eq!(phone.post("/submissions", &tpdu(&submit)).await.0, 401, "not attached");
    phone.attach().await;
    let (status, answer) = phone.post("/submissions", &tpdu(&submit)).await;
    assert_eq!(status, 200, "{answer}");
    let (_, messages) = phone.messages(0).await;
    assert_eq!(messages[0]["id"], answer["id"]);
    let deliver = Deliver::decode(&hex::decode(messages[0]["tpdu"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((deliver.from.to_string(), deliver.report), (format!("+{MSISDN}"), true));
    assert_eq!(deliver.data.as_text().unwrap(), "to myself");
    let path = format!("/messages/{}", answer["id"].as_str().unwrap());
    assert_eq!(phone.post(&path, &json!({"delivered": true})).await.0, 204);
    let (_, messages) = phone.messages(0).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    let report = StatusReport::decode(&hex::decode(messages[0]["tpdu"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((report.reference, report.to.to_string(), report.status), (0x2A, format!("+{MSISDN}"), 0));
    let path = format!("/messages/{}", messages[0]["id"].as_str().unwrap());
    assert_eq!(phone.post(&path, &json!({"delivered": true})).await.0, 204);
    assert_eq!(phone.messages(0).await.1.len(), 0, "nothing is reported of a report");
    // Not fetched in time, with a report; and without one.
    let late = Submit { validity: Some(sms::Validity::Relative(0)), ..submit.clone() };
    for submit in [&late, &Submit { report: false, ..late.clone() }] {
        assert_eq!(phone.post("/submissions", &tpdu(submit)).await.0, 200);
    }
    smsc.tidy(unix_now() + 301).await.unwrap();
    let waiting = smsc.waiting(&imsi(OLD), unix_now() + 302).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(StatusReport::decode(&waiting[0].tpdu).unwrap().status, 0x46);
    // What is refused, by RP-Cause.
    let named = Submit::new(sms::Address::name("Anna").unwrap(), 0, UserData::text("x").unwrap());
    for (submit, cause) in [(&Submit { to: to("4915112345678"), ..submit.clone() }, 1), (&named, 1)] {
        let (status, answer) = phone.post("/submissions", &tpdu(submit)).await;
        assert_eq!((status, answer["cause"].as_u64()), (422, Some(cause)), "{answer}");
    }
    for malformed in [json!({}), json!({"tpdu": "0"}), json!({"tpdu": ""}), json!({"tpdu": "04"}), json!({"tpdu": 7})] {
        assert_eq!(phone.post("/submissions", &malformed).await.0, 400, "{malformed}");
    }
    hlr.set_msisdn(&imsi(OLD), None, &Change::by("test")).await.unwrap();
    assert_eq!(phone.post("/submissions", &tpdu(&submit)).await.1["cause"], 50, "no number to be sent from");
    hlr.set_status(&imsi(OLD), Subscribed::Barred, &Change::by("test")).await.unwrap();
    assert_eq!(phone.post("/submissions", &tpdu(&submit)).await.1["cause"], 10);
    // Whose subscription is removed gets no report, nor does the next one with the IMSI.
    hlr.set_status(&imsi(OLD), Subscribed::Active, &Change::by("test")).await.unwrap();
    hlr.set_msisdn(&imsi(OLD), MSISDN.parse().ok().as_ref(), &Change::by("test")).await.unwrap();
    assert_eq!(phone.post("/submissions", &tpdu(&late)).await.0, 200);
    let given_up: Result<(), sqlx::Error> = change!(hlr.database(), |tx| give_up(tx, &imsi(OLD), unix_now()).await?);
    given_up.unwrap();
    smsc.tidy(unix_now() + 301).await.unwrap();
    assert_eq!(smsc.waiting(&imsi(OLD), unix_now() + 302).await.unwrap().len(), 0);
}
