//! A modem with a network: registration, messages both ways, the toolkit. The network is the test, the card a few files.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use apdu::{Transport, TransportError};
use modem::network::{Event, Request, What};
use modem::{Coverage, Identity, Modem, Port, Quirks};
use sms::{Address, DataCoding, Deliver, StatusReport, Submit, Timestamp, UserData};

/// A card with some files of a USIM, by their identifier.
#[derive(Default)]
struct Files {
    transparent: BTreeMap<u16, Vec<u8>>,
    /// EF.SMS.
    records: Vec<Vec<u8>>,
    selected: u16,
    /// Whether PIN1, which is 1234, is asked for.
    is_locked: bool,
    /// What the card asks its terminal for.
    waiting: Vec<Vec<u8>>,
    /// What it was told.
    told: Vec<String>,
    /// Whether responses to SELECT are to be fetched, and the one that is.
    announces: bool,
    response: Option<Vec<u8>>,
}

const SMS: u16 = 0x6F3C;
const SMSS: u16 = 0x6F43;
const RECORD: usize = 176;

#[derive(Clone, Default)]
struct Card(Arc<Mutex<Files>>);

impl Card {
    /// Of 001010000000001, with `records` records for messages.
    fn new(records: usize) -> Self {
        let card = Self::default();
        {
            let mut inside = card.inside();
            let centre = format!("FD{}07915155000000F0{}", "FF".repeat(12), "FF".repeat(7));
            for (id, octets) in [
                (0x6F07, "080910100000000010"),
                (0x6FAD, "00000002"),
                (0x6F46, "017675696363FFFFFFFFFFFFFFFFFFFFFF"),
                (0x6F42, &centre),
                (SMSS, "07FF"),
                (0x6F38, "00000000"),
            ] {
                inside.transparent.insert(id, hex::decode(octets).unwrap());
            }
            inside.records = vec![[&[0][..], &[0xFF; RECORD - 1]].concat(); records];
        }
        card
    }

    fn inside(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap()
    }
}

impl Files {
    fn select(&mut self, p1: u8, data: &[u8]) -> Vec<u8> {
        if p1 == 4 {
            return if data.starts_with(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x02]) { self.status() } else { not_found() };
        }
        let id = u16::from_be_bytes(*data.last_chunk().unwrap());
        self.selected = id;
        match id {
            0x3F00 => self.status(),
            SMS => hex::decode(format!("62078205422100B0{:02X}9000", self.records.len())).unwrap(),
            0x6F42 => hex::decode("620782054221001C019000").unwrap(),
            _ if self.transparent.contains_key(&id) => vec![0x62, 0, 0x90, 0],
            _ => not_found(),
        }
    }

    /// PIN1 in the file control parameters.
    fn status(&self) -> Vec<u8> {
        let bits = if self.is_locked { "C0" } else { "40" };
        hex::decode(format!("620BC6099001{bits}83010183010A9000")).unwrap()
    }

    fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let [_, ins, p1, p2, rest @ ..] = command else { panic!("{command:02X?}") };
        let data = rest.split_first().map_or(&[][..], |(length, data)| &data[..data.len().min((*length).into())]);
        let ok = || vec![0x90, 0];
        let response = self.response.take();
        match ins {
            0xA4 if self.announces => {
                let response = self.select(*p1, data);
                let length = u8::try_from(response.len() - 2).unwrap();
                if length == 0 {
                    return response;
                }
                self.response = Some(response);
                vec![0x61, length]
            }
            0xC0 => response.unwrap_or_else(|| vec![0x69, 0x85]),
            0xA4 => self.select(*p1, data),
            0xB0 => match self.transparent.get(&self.selected) {
                Some(octets) => [&octets[..octets.len().min(rest[0].into())], &[0x90, 0]].concat(),
                None => not_found(),
            },
            0xB2 if self.selected == SMS => [&self.records[usize::from(*p1) - 1][..], &[0x90, 0]].concat(),
            0xB2 => [&self.transparent[&self.selected][..], &[0x90, 0]].concat(),
            0xD6 => {
                let at = usize::from(*p2);
                let octets = self.transparent.get_mut(&self.selected).unwrap();
                octets[at..at + data.len()].copy_from_slice(data);
                ok()
            }
            0xDC if self.selected != SMS => {
                self.transparent.insert(self.selected, data.to_vec());
                ok()
            }
            0xDC => {
                self.records[usize::from(*p1) - 1] = data.to_vec();
                ok()
            }
            // Also when it was verified.
            0x20 if data.is_empty() => vec![0x63, 0xC3],
            0x20 if data.starts_with(b"1234") => ok(),
            0x20 => vec![0x63, 0xC2],
            0x88 => {
                let keys = [&[0xDB, 8][..], &[7; 8], &[16], &[8; 16], &[16], &[9; 16], &[0x90, 0]].concat();
                if data[1] == 0 { vec![0x98, 0x62] } else { keys }
            }
            0x12 => [&self.waiting.remove(0)[..], &[0x90, 0]].concat(),
            0x10 | 0x14 | 0xC2 => {
                self.told.push(hex::encode_upper(&command[1..]));
                match self.waiting.first() {
                    Some(next) => vec![0x91, u8::try_from(next.len()).unwrap()],
                    None => ok(),
                }
            }
            _ => vec![0x6D, 0],
        }
    }
}

fn not_found() -> Vec<u8> {
    vec![0x6A, 0x82]
}

impl Transport for Card {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(vec![0x3B])
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.reset()
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        Ok(self.inside().transmit(command))
    }

    fn atr(&self) -> &[u8] {
        &[0x3B]
    }
}

/// A modem and one program at it.
struct Desk {
    card: Card,
    modem: Modem,
    port: Port,
    now: Duration,
    attempt: u64,
}

impl Desk {
    fn new(card: &Card, coverage: Coverage) -> Self {
        Self::with(card, coverage, Quirks::default())
    }

    fn with(card: &Card, coverage: Coverage, quirks: Quirks) -> Self {
        let identity = Identity {
            manufacturer: String::new(),
            model: String::new(),
            revision: String::new(),
            imei: String::new(),
        };
        let modem = Modem::new(Box::new(card.clone()), identity, quirks).with_coverage(coverage);
        let mut desk = Self { card: card.clone(), modem, port: Port::new(), now: Duration::ZERO, attempt: 0 };
        assert_eq!(desk.ask("ATE0\rAT+CMEE=1"), ["ATE0", "OK", "OK"]);
        desk
    }

    /// Registered.
    fn registered(records: usize) -> Self {
        let mut desk = Self::new(&Card::new(records), Coverage::Real);
        desk.attach();
        desk
    }

    /// The network lets it in.
    fn attach(&mut self) {
        let asked = self.modem.requests();
        let Some(Request::Attach { attempt, imsi, mnc_length }) = asked.last() else { panic!("{asked:?}") };
        assert_eq!((imsi.as_str(), *mnc_length), ("001010000000001", 2));
        self.attempt = *attempt;
        self.hear(What::Challenge { rand: [1; 16], autn: [2; 16] });
        let asked = self.modem.requests();
        assert!(matches!(asked.as_slice(), [Request::Answer(Some(usim::UmtsAnswer::Keys { .. }))]), "{asked:?}");
        self.hear(What::Attached);
    }

    fn hear(&mut self, what: What) {
        self.modem.hear(Event { attempt: self.attempt, what }, self.now);
    }

    fn write(&mut self, octets: &[u8]) -> Vec<String> {
        let answers = self.modem.receive(&mut self.port, octets, self.now).concat();
        let answers = String::from_utf8(answers).unwrap();
        answers.split(['\r', '\n']).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    fn ask(&mut self, line: &str) -> Vec<String> {
        self.write(format!("{line}\r").as_bytes())
    }

    /// What it is told without having asked.
    fn told(&mut self) -> Vec<String> {
        self.write(b"")
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.modem.tick(self.now);
    }

    /// A message comes; what the network is told of it.
    fn arrives(&mut self, id: &str, tpdu: &[u8]) -> Vec<Request> {
        let (id, centre) = (id.to_owned(), "+15550000000".to_owned());
        self.hear(What::Message { id, centre, tpdu: tpdu.to_vec() });
        self.modem.requests()
    }

    /// The message that the network has been given.
    fn submitted(&mut self) -> (u64, Submit) {
        let asked = self.modem.requests();
        let [Request::Submit { number, tpdu }] = asked.as_slice() else { panic!("{asked:?}") };
        (*number, Submit::decode(tpdu).unwrap())
    }
}

fn acknowledged(id: &str, cause: Option<u8>) -> Vec<Request> {
    vec![Request::Report { id: id.to_owned(), cause }]
}

fn message_with(text: &str, change: impl Fn(&mut Deliver)) -> Vec<u8> {
    let from = Address::international("27838890001").unwrap();
    let mut deliver = Deliver::new(from, Timestamp::new(1_767_225_600, 0), UserData::text(text).unwrap());
    change(&mut deliver);
    deliver.encode().unwrap()
}

fn message(text: &str) -> Vec<u8> {
    message_with(text, |_| {})
}

fn of_class(coding: u8) -> Vec<u8> {
    message_with("hello", |deliver| deliver.data.coding = DataCoding(coding))
}

#[test]
fn without_a_network_nothing_is_registered_or_sent() {
    let mut desk = Desk::new(&Card::new(2), Coverage::None);
    assert_eq!(desk.ask("AT+CREG?;+CGATT?;+CSQ"), ["+CREG: 0,0", "+CGATT: 0", "+CSQ: 99,99", "OK"]);
    assert_eq!(desk.ask("AT+COPS?"), ["+COPS: 0", "OK"]);
    assert_eq!(desk.ask("AT+CGATT=1"), ["+CME ERROR: 30"]);
    assert_eq!(desk.ask("AT+CMGS=22"), ["> "]);
    assert_eq!(desk.write(b"0001000B917238880900F100000AE8329BFD4697D9EC37\x1a"), ["+CMS ERROR: 331"]);
    assert_eq!(desk.modem.requests(), []);
}

#[test]
fn a_card_is_registered_when_the_network_has_authenticated_it() {
    let card = Card::new(2);
    card.inside().is_locked = true;
    let mut desk = Desk::new(&card, Coverage::Real);
    desk.ask("AT+CREG=2;+CEREG=1");
    assert_eq!(desk.ask("AT+CREG?"), ["+CREG: 2,0", "OK"]);
    assert_eq!(desk.modem.requests(), [], "its PIN is asked for");
    assert_eq!(desk.ask("AT+CPIN=1234"), ["OK", "+CREG: 2", "+CEREG: 2"]);
    desk.attach();
    assert_eq!(desk.told(), ["+CREG: 1,\"0001\",\"00000001\",7", "+CEREG: 1"]);
    assert_eq!(desk.ask("AT+COPS?"), ["+COPS: 0,0,\"vuicc\",7", "OK"]);
    assert_eq!(desk.ask("AT+COPS=3,2;+COPS?"), ["+COPS: 0,2,\"00101\",7", "OK"]);
    assert_eq!(desk.ask("AT+COPS=1,2,\"00101\";+COPS?"), ["+COPS: 1,2,\"00101\",7", "OK"]);
    assert_eq!(desk.ask("AT+COPS=?"), ["+COPS: (2,\"vuicc\",\"vuicc\",\"00101\",7),,(0,1,2,3,4),(0,1,2)", "OK"]);
    assert_eq!(desk.ask("AT+CREG?;+CSQ"), ["+CREG: 2,1,\"0001\",\"00000001\",7", "+CSQ: 31,99", "OK"]);
    // It goes by itself, and comes back.
    assert_eq!(desk.ask("AT+COPS=2"), ["OK", "+CREG: 0", "+CEREG: 0"]);
    assert_eq!(desk.ask("AT+COPS?;+COPS=?"), ["+COPS: 2", "+COPS: ,,(0,1,2,3,4),(0,1,2)", "OK"]);
    assert_eq!(desk.modem.requests(), [Request::Detach]);
    assert_eq!(desk.ask("AT+COPS=1,2,\"26201\""), ["+CME ERROR: 30"]);
    desk.ask("AT+COPS=0");
    desk.attach();
    // The network is gone: it is tried again, later and later; what belongs to an earlier try counts no more.
    desk.hear(What::Lost);
    assert_eq!(desk.ask("AT+CREG?").first().unwrap(), "+CREG: 2,2");
    let mut waited = Vec::new();
    for _ in 0..4 {
        let mut seconds = 0;
        while desk.modem.requests().is_empty() {
            desk.pass(1);
            seconds += 1;
        }
        waited.push(seconds);
        desk.hear(What::Attached);
        assert_ne!(desk.ask("AT+CREG?").first().unwrap(), "+CREG: 2,1", "an event of an earlier try");
        desk.attempt += 1;
        desk.hear(What::Lost);
    }
    assert_eq!(waited, [2, 4, 8, 16]);
    desk.pass(60);
    desk.attach();
    // Refused, and no more than once a minute asked again.
    desk.hear(What::Refused);
    desk.told();
    assert_eq!(desk.ask("AT+CREG?;+CMGF?"), ["+CREG: 2,3", "+CMGF: 0", "OK"]);
    desk.pass(59);
    assert_eq!(desk.modem.requests(), []);
    desk.pass(1);
    assert_eq!(desk.ask("AT+CREG?").first().unwrap(), "+CREG: 2,3", "until it is let in");
    desk.attach();
    assert_eq!(desk.told(), ["+CREG: 1,\"0001\",\"00000001\",7", "+CEREG: 1"]);
    // Refused again and again.
    for _ in 0..3 {
        desk.hear(What::Refused);
        desk.pass(60);
        let asked = desk.modem.requests();
        let [Request::Attach { attempt, .. }] = asked.as_slice() else { panic!("{asked:?}") };
        desk.attempt = *attempt;
    }
}

#[test]
fn without_power_there_is_no_registration() {
    for (off, on) in [("AT+CFUN=4", "AT+CFUN=1"), ("AT+CFUN=0", "AT+CFUN=1"), ("AT", "AT+CFUN=1,1\rATE0")] {
        let mut desk = Desk::registered(2);
        desk.ask(off);
        if off != "AT" {
            assert_eq!(desk.modem.requests(), [Request::Detach], "{off}");
            assert_eq!(desk.ask("AT+CREG?").first().unwrap(), "+CREG: 0,0");
        }
        desk.ask(on);
        desk.attach();
        assert_eq!(desk.ask("AT+CREG?").first().unwrap(), "+CREG: 0,1", "{on}");
    }
}

#[test]
fn a_simulated_network_authenticates_nobody_and_carries_nothing() {
    let mut desk = Desk::new(&Card::new(2), Coverage::Simulated);
    assert_eq!(desk.ask("AT+CREG?;+COPS?"), ["+CREG: 0,1", "+COPS: 0,0,\"vuicc\",7", "OK"]);
    desk.ask("AT+CMGF=1");
    assert_eq!(desk.ask("AT+CMGS=\"+4915112345678\""), ["> "]);
    assert_eq!(desk.write(b"hello\x1a"), ["+CMS ERROR: 69"]);
    assert_eq!(desk.modem.requests(), []);
}

/// A restart leaves neither the settings of before nor what another program had begun.
#[test]
fn after_a_restart_all_is_as_at_the_start() {
    let mut desk = Desk::new(&Card::new(2), Coverage::Simulated);
    assert_eq!(desk.ask("AT+CREG=2"), ["OK"]);
    let mut other = Port::new();
    let mut written = |desk: &mut Desk, octets: &[u8]| {
        String::from_utf8(desk.modem.receive(&mut other, octets, Duration::ZERO).concat()).unwrap()
    };
    assert_eq!(written(&mut desk, b"ATE0\rAT+CMGS=5\r"), "ATE0\r\r\nOK\r\n\r\n> ");
    assert_eq!(desk.ask("AT+CFUN=1,1"), ["OK"], "nobody has asked for +CREG");
    assert_eq!(desk.told(), Vec::<String>::new());
    assert_eq!(written(&mut desk, b"AT\r"), "AT\r\r\nOK\r\n", "no message is written any more");
    assert_eq!(desk.ask("AT+CREG?"), ["AT+CREG?", "+CREG: 0,1", "OK"]);
}

/// A part that is left out has its comma.
#[test]
fn networks_are_listed_also_if_there_are_none() {
    let mut desk = Desk::new(&Card::new(2), Coverage::None);
    assert_eq!(desk.ask("AT+COPS=?"), ["+COPS: ,,(0,1,2,3,4),(0,1,2)", "OK"]);
    let mut desk = Desk::new(&Card::new(2), Coverage::Simulated);
    let network = "+COPS: (2,\"vuicc\",\"vuicc\",\"00101\",7),,(0,1,2,3,4),(0,1,2)";
    assert_eq!(desk.ask("AT+COPS=?"), [network, "OK"]);
}

#[test]
fn messages_are_sent_as_octets_and_as_text() {
    let mut desk = Desk::registered(2);
    assert_eq!(desk.ask("AT+CMGS=22"), ["> "]);
    assert_eq!(desk.write(b"0001000B917238880900F100000AE8329BFD4697D9EC37\x1aAT+CREG?\r"), Vec::<String>::new());
    let (number, submit) = desk.submitted();
    assert_eq!((submit.reference, submit.to.to_string().as_str()), (8, "+27838890001"), "one after EF.SMSS");
    assert_eq!(desk.card.inside().transparent[&SMSS], [8, 0xFF]);
    assert_eq!(desk.told(), Vec::<String>::new(), "the network has it");
    desk.hear(What::Submitted { number, refusal: None });
    assert_eq!(desk.told(), ["+CMGS: 8", "OK", "+CREG: 0,1", "OK"], "and what was written meanwhile");
    // A text of several lines, with a report, and what the network says against it.
    desk.ask("AT+CMGF=1;+CSMP=49,0,0,0");
    assert_eq!(desk.ask("AT+CMGS=\"+27838890001\",145"), ["> "]);
    assert_eq!(desk.write(b"one\rtwX\x08o\x1a"), ["> "]);
    let (number, submit) = desk.submitted();
    assert_eq!((submit.report, submit.data.as_text().as_deref()), (true, Some("one\ntwo")));
    desk.hear(What::Submitted { number, refusal: Some(1) });
    assert_eq!(desk.told(), ["+CMS ERROR: 1"]);
    // In UCS2.
    desk.ask("AT+CSCS=\"UCS2\";+CSMP=17,167,0,8");
    assert_eq!(desk.ask("AT+CMGS=\"002B0034003900310035\""), ["> "]);
    desk.write(b"65E5672C\x1a");
    let (number, submit) = desk.submitted();
    assert_eq!((submit.to.to_string().as_str(), submit.data.as_text().as_deref()), ("+4915", Some("日本")));
    // Lost meanwhile: the program is told.
    desk.hear(What::Lost);
    assert_eq!(desk.told(), ["+CMS ERROR: 38"]);
    desk.hear(What::Submitted { number, refusal: None });
    assert_eq!(desk.told(), Vec::<String>::new());
}

#[test]
fn what_is_no_message_is_refused() {
    let mut desk = Desk::registered(2);
    let good = "0001000B917238880900F100000AE8329BFD4697D9EC37";
    for (length, octets) in
        [("23", good), ("22", "00"), ("22", ""), ("22", "zz"), ("255", good), ("3", "FF010203"), ("1", "0002")]
    {
        assert_eq!(desk.ask(&format!("AT+CMGS={length}")), ["> "], "{length}");
        assert_eq!(desk.write(format!("{octets}\x1a").as_bytes()), ["+CMS ERROR: 304"], "{length} {octets}");
    }
    for line in ["AT+CMGS=", "AT+CMGS=x", "AT+CMGS=99999"] {
        assert_eq!(desk.ask(line), ["+CMS ERROR: 304"], "{line}");
    }
    assert_eq!(desk.ask("AT+CMGS=22"), ["> "]);
    assert_eq!(desk.write(b"00\x1b"), ["OK"], "given up");
    // Never ended: nothing is answered, and no more is kept than a message has.
    assert_eq!(desk.ask("AT+CMGS=22"), ["> "]);
    assert_eq!(desk.write(&b"0".repeat(1_000_000)), Vec::<String>::new());
    let mut other = Port::new();
    assert!(desk.modem.receive(&mut other, b"AT+CREG?\r", desk.now).concat().ends_with(b"OK\r\n"));
    assert_eq!(desk.write(b"\x1a"), ["+CMS ERROR: 304"]);
    desk.ask("AT+CMGF=1");
    for line in ["AT+CMGS", "AT+CMGS=\"\"", "AT+CMGS=\"Anna\"", "AT+CMGS=\"+49\",x"] {
        assert!(desk.ask(line)[0].contains("ERROR"), "{line}");
    }
    assert_eq!(desk.ask("AT+CMGS=\"+4915\""), ["> "]);
    assert_eq!(desk.write(&[&b"x".repeat(161)[..], b"\x1a"].concat()), ["+CMS ERROR: 305"], "more than a message");
    desk.card.inside().transparent.insert(0x6F42, vec![0xFF; 28]);
    desk.ask("AT+CMGS=\"+4915\"");
    assert_eq!(desk.write(b"x\x1a"), ["+CMS ERROR: 330"], "no service centre is known");
    assert_eq!(desk.modem.requests(), []);
    // A program that goes amid a message leaves nothing behind.
    assert_eq!(desk.ask("AT+CMGS=\"+4915\""), ["> "]);
    desk.write(b"half a ");
    desk.port.hang_up();
    assert_eq!(desk.ask("AT"), ["OK"]);
}

#[test]
fn messages_of_the_card_are_written_and_sent() {
    let mut desk = Desk::registered(2);
    desk.ask("AT+CMGF=1");
    assert_eq!(desk.ask("AT+CMGW=\"+27838890001\""), ["> "]);
    assert_eq!(desk.write(b"later\x1a"), ["+CMGW: 1", "OK"]);
    desk.ask("AT+CSDH=1");
    let listed = desk.ask("AT+CMGR=1");
    assert_eq!(listed, ["+CMGR: \"STO UNSENT\",\"+27838890001\",,145,17,0,0,167,\"\",129,5", "later", "OK"]);
    assert_eq!(desk.ask("AT+CMSS=1"), Vec::<String>::new());
    let (number, submit) = desk.submitted();
    assert_eq!(submit.data.as_text().unwrap(), "later");
    desk.hear(What::Submitted { number, refusal: None });
    assert_eq!(desk.told(), ["+CMSS: 8", "OK"]);
    assert_eq!(desk.ask("AT+CMGL=\"STO SENT\"").len(), 3, "it is marked");
    assert_eq!(desk.ask("AT+CMSS=1,\"+4915\""), Vec::<String>::new(), "to somebody else");
    let (number, submit) = desk.submitted();
    assert_eq!(submit.to.to_string(), "+4915");
    desk.hear(What::Submitted { number, refusal: Some(42) });
    assert_eq!(desk.told(), ["+CMS ERROR: 42"]);
    assert_eq!(desk.ask("AT+CMSS=2"), ["+CMS ERROR: 321"]);
    for (octets, outcome) in [
        ("00040B917238880900F1000099309251619580021234", "+CMGW: 2"),
        ("00040B917238880900F1000099309251619580021234", "+CMS ERROR: 322"),
    ] {
        desk.ask("AT+CMGF=0");
        desk.ask("AT+CMGW=21");
        assert_eq!(desk.write(format!("{octets}\x1a").as_bytes())[0], outcome);
    }
    assert_eq!(desk.ask("AT+CMSS=2"), ["+CMS ERROR: 302"], "it came from the network");
}

#[test]
fn a_text_is_told_with_its_quotation_marks_and_lines() {
    let mut desk = Desk::registered(2);
    desk.ask("AT+CMGF=1");
    desk.ask("AT+CMGW=\"+27838890001\"");
    assert_eq!(desk.write(b"say \"hi\"\rsecond line\x1a"), ["> ", "+CMGW: 1", "OK"]);
    let answers = desk.modem.receive(&mut desk.port, b"AT+CMGR=1\r", desk.now).concat();
    let answers = String::from_utf8(answers).unwrap();
    assert!(answers.ends_with("\r\nsay \"hi\"\r\nsecond line\r\n\r\nOK\r\n"), "{answers:?}");
    desk.ask("AT+CNMI=2,2");
    desk.arrives("a", &message("G-1\n\"2\""));
    assert_eq!(desk.told()[1..], ["G-1", "\"2\""]);
}

#[test]
fn a_service_centre_is_named_in_the_characters_of_the_program() {
    let mut desk = Desk::registered(2);
    desk.ask("AT+CSCS=\"UCS2\"");
    let written = |desk: &Desk| hex::encode_upper(&desk.card.inside().transparent[&0x6F42][13..21]);
    for (text, kind, octets) in [
        ("002B0031003400310035003500300030003000300031", "", "06914151050010FF"),
        ("0031003200330034", ",129", "03812143FFFFFFFF"),
        ("0031003200330034", ",145", "03912143FFFFFFFF"),
    ] {
        assert_eq!(desk.ask(&format!("AT+CSCA=\"{text}\"{kind}")), ["OK"]);
        assert_eq!(written(&desk), octets);
    }
    assert_eq!(desk.ask("AT+CSCA?"), ["+CSCA: \"002B0031003200330034\",145", "OK"]);
}

#[test]
fn a_prompt_that_a_program_left_open_is_given_up() {
    let mut desk = Desk::registered(2);
    assert_eq!(desk.ask("AT+CMGS=5"), ["> "]);
    desk.pass(59);
    assert_eq!(desk.write(b"00"), Vec::<String>::new());
    desk.pass(59);
    assert_eq!(desk.ask("AT"), Vec::<String>::new(), "it is a part of the message");
    desk.pass(60);
    assert_eq!(desk.ask("AT"), ["OK"]);
}

/// What the network has been told was delivered is not lost.
#[test]
fn a_busy_program_loses_no_message() {
    let mut desk = Desk::registered(2);
    desk.ask("AT+CNMI=2,2;+CREG=1");
    for (begin, end) in [("AT+CMGS=5", "\x1b"), ("AT+CNMI=0,2", "AT+CNMI=2,2,0,0,0\r")] {
        desk.card.inside().records[0][0] = 0;
        desk.ask(begin);
        for number in 0..64 {
            assert_eq!(desk.arrives("a", &message(&number.to_string())), acknowledged("a", None));
        }
        assert_eq!(desk.card.inside().records[0][0], 0);
        assert_eq!(desk.arrives("b", &message("one more")), acknowledged("b", None));
        assert_eq!(desk.card.inside().records[0][0], 3, "onto the card");
        for _ in 0..40 {
            desk.hear(What::Lost);
            desk.pass(2);
            desk.attach();
            if begin.ends_with('5') {
                desk.write(b"0");
            }
        }
        let told = desk.write(end.as_bytes());
        assert!(told.contains(&"OK".to_owned()));
        assert_eq!(told.iter().filter(|line| line.starts_with("+CMT: ")).count(), 64);
        assert!(told.iter().filter(|line| line.starts_with("+CREG: ")).count() <= 80);
        desk.told();
    }
    // So it is with reports, for which there is no other place.
    desk.ask("AT+CNMI=2,0,0,1");
    desk.ask("AT+CMGS=5");
    let at = Timestamp::new(1_767_225_600, 0);
    let to = Address::international("27838890001").unwrap();
    let report = StatusReport { reference: 8, to, submitted: at, at, status: 0 }.encode();
    for number in 0..65 {
        let cause = (number == 64).then_some(22);
        assert_eq!(desk.arrives("c", &report), acknowledged("c", cause), "{number}");
    }
}

/// What the network sends does not take a response away from a program that is about to fetch it.
#[test]
fn the_network_waits_for_a_response_to_be_fetched() {
    let mut desk = Desk::registered(2);
    desk.card.inside().announces = true;
    let select = "AT+CSIM=18,\"00A40804047FFF6F07\"";
    assert_eq!(desk.ask(select), ["+CSIM: 4,\"6102\"", "OK"]);
    assert_eq!(desk.arrives("a", &message("one")), []);
    assert_eq!(desk.ask("AT+CSIM=10,\"00C0000002\""), ["+CSIM: 8,\"62009000\"", "OK"]);
    assert_eq!(desk.modem.requests(), acknowledged("a", None));
    // But not for ever.
    desk.ask(select);
    assert_eq!(desk.arrives("b", &message("two")), []);
    desk.pass(4);
    assert_eq!(desk.modem.requests(), []);
    desk.pass(1);
    assert_eq!(desk.modem.requests(), acknowledged("b", None));
}

#[test]
fn messages_come_onto_the_card() {
    let mut desk = Desk::registered(2);
    assert_eq!(desk.ask("AT+CNMI=2,1,0,1"), ["OK"]);
    assert_eq!(desk.arrives("a", &message("hello")), acknowledged("a", None));
    assert_eq!(desk.told(), ["+CMTI: \"SM\",1"]);
    assert_eq!(desk.arrives("a", &message("hello")), acknowledged("a", None), "the acknowledgement was lost");
    assert_eq!(desk.told(), Vec::<String>::new());
    // While a line is being written nothing comes between.
    assert_eq!(desk.write(b"AT+CM"), Vec::<String>::new());
    assert_eq!(desk.arrives("b", &message("two")), acknowledged("b", None));
    assert_eq!(desk.told(), Vec::<String>::new());
    assert_eq!(desk.write(b"GF?\r"), ["+CMGF: 0", "OK", "+CMTI: \"SM\",2"]);
    // There is no room: the network keeps it, and hears when there is some.
    assert_eq!(desk.arrives("c", &message("three")), acknowledged("c", Some(22)));
    assert_eq!(desk.card.inside().transparent[&SMSS][1] & 1, 0);
    assert_eq!(desk.ask("AT+CMGD=1"), ["OK"]);
    assert_eq!(desk.modem.requests(), [Request::MemoryAvailable]);
    assert_eq!(desk.card.inside().transparent[&SMSS][1] & 1, 1);
    assert_eq!(desk.arrives("c", &message("three")), acknowledged("c", None));
    // One replaces another of its kind.
    desk.ask("AT+CMGD=1,4");
    let replacing = |text: &str| message_with(text, |deliver| deliver.protocol = 0x41);
    desk.arrives("d", &replacing("first"));
    desk.arrives("e", &replacing("second"));
    desk.told();
    assert_eq!(desk.ask("AT+CMGF=1"), ["OK"]);
    let listed = desk.ask("AT+CMGL=\"ALL\"");
    assert_eq!((listed.len(), listed[1].as_str()), (3, "second"));
    assert_eq!(desk.arrives("f", &[0xFF]), acknowledged("f", Some(111)), "no message");
    let silent = message_with("x", |deliver| deliver.protocol = 0x40);
    assert_eq!(desk.arrives("g", &silent), acknowledged("g", None));
    assert_eq!(desk.told(), Vec::<String>::new());
}

#[test]
fn messages_come_to_the_program() {
    let mut desk = Desk::registered(2);
    desk.ask("AT+CNMI=2,2,0,1,0");
    let tpdu = message("hello");
    assert_eq!(desk.arrives("a", &tpdu), acknowledged("a", None));
    let pdu = format!("07915155000000F0{}", hex::encode_upper(&tpdu));
    assert_eq!(desk.told(), [format!("+CMT: ,{}", tpdu.len()), pdu]);
    assert!(desk.card.inside().records.iter().all(|record| record[0] == 0));
    // Class 2 belongs onto the card.
    desk.arrives("b", &of_class(0xF2));
    assert_eq!(desk.told(), ["+CMTI: \"SM\",1"]);
    // A report, in octets and in text.
    let report = StatusReport {
        reference: 8,
        to: Address::international("27838890001").unwrap(),
        submitted: Timestamp::new(1_767_225_600, 0),
        at: Timestamp::new(1_767_225_601, 0),
        status: 0,
    };
    desk.arrives("c", &report.encode());
    assert_eq!(desk.told()[0], "+CDS: 25");
    desk.ask("AT+CMGF=1;+CSDH=1");
    desk.arrives("d", &report.encode());
    assert_eq!(desk.told(), ["+CDS: 6,8,\"+27838890001\",145,\"26/01/01,00:00:00+00\",\"26/01/01,00:00:01+00\",0"]);
    desk.arrives("e", &tpdu);
    assert_eq!(
        desk.told(),
        ["+CMT: \"+27838890001\",,\"26/01/01,00:00:00+00\",145,4,0,0,\"+15550000000\",145,5", "hello"]
    );
    // Another program is told nothing; when this one goes, messages go onto the card.
    let mut other = Port::new();
    desk.modem.receive(&mut other, b"AT\r", desk.now);
    desk.arrives("f", &tpdu);
    assert_eq!(desk.modem.receive(&mut other, b"", desk.now), Vec::<Vec<u8>>::new());
    desk.modem.release(&desk.port);
    desk.arrives("g", &tpdu);
    assert_eq!(desk.card.inside().records[1][0], 3);
}

/// Class 0 is shown, and kept nowhere; without anybody to show it, it is as any message. TS 23.038 §4.
#[test]
fn a_message_of_class_0_is_shown() {
    let mut desk = Desk::registered(1);
    desk.ask("AT+CMGF=1;+CNMI=1,1");
    for (coding, told) in [(0xF0, "+CMT: "), (0x10, "+CMT: "), (0xF1, "+CMTI: ")] {
        assert_eq!(desk.arrives("a", &of_class(coding)), acknowledged("a", None), "{coding:02X}");
        assert!(desk.told()[0].starts_with(told), "{coding:02X}");
        assert_eq!(desk.card.inside().records[0][0] == 0, told == "+CMT: ", "{coding:02X}");
    }
    desk.ask("AT+CMGD=1");
    desk.ask("AT+CNMI=1,0");
    desk.arrives("b", &of_class(0xF0));
    assert_eq!((desk.told(), desk.card.inside().records[0][0]), (vec![], 3));
    // Class 3 alone.
    desk.ask("AT+CMGD=1;+CNMI=1,3");
    desk.arrives("c", &of_class(0xF3));
    desk.arrives("d", &of_class(0xF1));
    assert!(desk.told()[0].starts_with("+CMT: "));
    assert_eq!(desk.card.inside().records[0][0], 3);
}

#[test]
fn a_program_acknowledges_what_it_is_given() {
    let mut desk = Desk::registered(2);
    assert_eq!(desk.ask("AT+CSMS=1"), ["+CSMS: 1,1,0", "OK"]);
    desk.ask("AT+CNMI=2,2,0,1");
    assert_eq!(desk.ask("AT+CNMA"), ["+CMS ERROR: 340"]);
    assert_eq!(desk.arrives("a", &message("one")), []);
    assert_eq!(desk.arrives("b", &message("two")), [], "after the first");
    assert_eq!(desk.told().len(), 2);
    assert_eq!(desk.ask("AT+CNMA").len(), 3, "OK, and the second");
    assert_eq!(desk.modem.requests(), acknowledged("a", None));
    assert_eq!(desk.ask("AT+CNMA=1,2"), ["> "], "as oFono does");
    assert_eq!(desk.write(b"0000\x1a"), ["OK"]);
    assert_eq!(desk.modem.requests(), acknowledged("b", None));
    desk.arrives("c", &message("three"));
    desk.told();
    desk.ask("AT+CNMA=2");
    assert_eq!(desk.modem.requests(), acknowledged("c", Some(111)));
    // One that says nothing is given no more.
    desk.arrives("d", &message("four"));
    desk.told();
    desk.pass(29);
    assert_eq!(desk.modem.requests(), []);
    desk.pass(1);
    assert_eq!(desk.modem.requests(), acknowledged("d", Some(111)));
    assert_eq!(desk.ask("AT+CNMI?"), ["+CNMI: 2,0,0,0,0", "OK"]);
    desk.arrives("e", &message("five"));
    assert_eq!((desk.told(), desk.card.inside().records[0][0]), (vec![], 3));
    // Settings of the start are those without.
    desk.ask("ATZE0");
    assert_eq!(desk.ask("AT+CNMI?;+CSMS?"), ["+CNMI: 0,0,0,0,0", "+CSMS: 0,1,1,0", "OK"]);
}

#[test]
fn result_codes_are_kept_back_until_they_are_wanted() {
    let mut desk = Desk::registered(2);
    desk.ask("AT+CNMI=0,1");
    desk.arrives("a", &message("one"));
    assert_eq!(desk.told(), Vec::<String>::new());
    assert_eq!(desk.ask("AT+CNMI=1,1,0,0,0"), ["OK", "+CMTI: \"SM\",1"]);
    desk.ask("AT+CNMI=0,1");
    desk.arrives("b", &message("two"));
    assert_eq!(desk.ask("AT+CNMI=1,1,0,0,1"), ["OK"], "forgotten");
    assert_eq!(desk.ask("AT+CNMI=4"), ["+CMS ERROR: 303"]);
}

/// A proactive command: DISPLAY TEXT.
const DISPLAY: &str = "D00D8103012180820281028D020448";
const DONE: &str = "810301218082028281830100";

#[test]
fn a_program_takes_part_in_the_toolkit() {
    let card = Card::new(1);
    let mut desk = Desk::new(&card, Coverage::None);
    let display = hex::decode(DISPLAY).unwrap();
    // Not asked for: it is beyond this terminal.
    card.inside().waiting.push(display.clone());
    assert_eq!(desk.ask("AT+CUSATE=\"D30782020181900102\""), ["+CUSATE: ,0,145,15", "OK"]);
    assert_eq!(card.inside().told.pop().unwrap(), "1400000C810301218082028281830130");
    assert_eq!(desk.ask("AT+CUSATT=\"00\""), ["+CME ERROR: 3"], "nothing was asked");
    assert_eq!(desk.ask("AT+CUSATR=1"), ["+CUSATR: 1,\"010080\"", "OK"]);
    assert_eq!(desk.ask("AT+CUSATW=0,\"FF000001\";+CUSATR=2"), ["+CUSATR: 2,\"010080\"", "OK"]);
    card.inside().waiting.push(display.clone());
    assert_eq!(desk.ask("AT+CUSATA=1"), ["OK", &format!("+CUSATP: {DISPLAY}")]);
    assert_eq!(card.inside().told.pop().unwrap(), "10000004FF008001");
    assert_eq!(desk.ask(&format!("AT+CUSATT={DONE}")), ["OK", "+CUSATEND"], "without quotes, as oFono has it");
    assert_eq!(card.inside().told.pop().unwrap(), format!("1400000C{DONE}"));
    // A program that says nothing: the card hears so.
    card.inside().waiting.push(display);
    desk.ask("AT+CUSATE=D30782020181900102");
    desk.pass(61);
    assert_eq!(card.inside().told.pop().unwrap(), "1400000C810301218082028281830112");
    assert_eq!(desk.ask("AT+CUSATA=0;+CUSATA?"), ["+CUSATA: 0", "OK"]);
    assert_eq!(card.inside().told.pop().unwrap(), "10000003010080");
}

/// The same in other words, with a program that takes part from the start.
#[test]
fn the_toolkit_in_words_of_the_field() {
    for (name, command, end, response, envelope, answer) in [
        ("phonesim", format!("+CUSATP: {DISPLAY}"), "+CUSATEND", "AT+CUSATT", "AT+CUSATE", "+CUSATER: ,0,144,0"),
        ("simcom-stk", format!("+STKPCI: 0,\"{DISPLAY}\""), "+STKPCI: 2", "AT+STKTR", "AT+STKENV", "+STKENV: ,0,144,0"),
    ] {
        let card = Card::new(1);
        let mut desk = Desk::with(&card, Coverage::None, Quirks::named(name).unwrap());
        assert!(card.inside().told[0].starts_with("10000013FFFFFFFF"), "{name}");
        desk.ask("AT+CFUN=0");
        card.inside().waiting.push(hex::decode(DISPLAY).unwrap());
        assert_eq!(desk.ask("AT+CFUN=1"), ["OK", &command], "{name}");
        assert_eq!(desk.ask(&format!("{response}=\"{DONE}\"")), ["OK", end], "{name}");
        assert_eq!(desk.ask(&format!("{envelope}=\"D30782020181900102\"")), [answer, "OK"], "{name}");
    }
}
