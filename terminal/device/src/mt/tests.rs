//! Messages from the operator's endpoint into a scripted card.

use super::*;
use crate::http::HttpRequest;
use crate::inbox::KeptMessage;
use crate::testing::{Dialogue, FakeServer, answer};
use crate::usim::{GsmAnswer, UmtsAnswer};
use hex_literal::hex;
use sms::{DataCoding, Element, Indication, Timestamp};

const JSON: &str = "application/json";
const REQUEST: &str = "AQEARBcBAAABBQAAI1U8vpY3qJ0hiuZNrke/NQIFAACqaJxkg1GAAEHtZirox07NCwUAAHxkRxjsnwEaRxfBioYQY/c=";
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
        let (outcome, ..) = with_client(vec![relay(REQUEST), refusal], |client| client.attach_as(&imsi, 2, &mut Card));
        assert_eq!(outcome, Err(MtError::NotAuthenticated));
    }
    let (outcome, ..) = with_client(vec![answer(404, "", "")], |client| client.attach_as(&imsi, 2, &mut Card));
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the operator's message endpoint answers HTTP 404; is operator.example the right address?"
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
    let (two, _) = waiting("m2", UserData::to_port(notice::PORT, 0, b"001010000000001-aescfg,ap2009,ap9999").unwrap());
    let three = r#"{"id":"m3","smsc":"15550000000","tpdu":"00"}"#;
    let done = || answer(204, "", "");
    let messages = answer(200, JSON, &format!(r#"{{"messages":[{one},{two},{three}]}}"#));
    let record = Record::unread(Address::parse("15550000000").unwrap(), tpdu).encode().unwrap();
    let update = format!("00DC0104B0{}", hex::encode_upper(record));
    let free = format!("00{}9000", "FF".repeat(175));
    let select = ("00A40004026F3C00", "62078205422100B0019000");
    let mut card = Dialogue::new(&[
        ("00A4040407A000000087100200", "9000"),
        ("00A4000C026F43", "9000"),
        ("00B0000002", "FFFF9000"),
        // List, find free memory, and store.
        select,
        ("00B20104B0", &free),
        select,
        ("00B20104B0", &free),
        select,
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
            Received::Sms {
                place: Place::Card(1),
                whole: vec![Place::Card(1)],
                from: "81901234567".into(),
                text,
                about: About::default(),
            },
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
    let (outcome, ..) = with_client(vec![answer(401, "", "")], |client| client.messages(&attachment, Duration::ZERO));
    assert!(matches!(outcome, Err(MtError::Detached)));
}

/// A device was interrupted when it had two parts of a long message, and one not yet displayed, on the card.
#[test]
fn unread_messages_survive_a_restart() {
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
    let kept = answer_of(&last);
    let select = ("00A40004026F3C00", "62078205422100B0049000");
    let update = format!("00DC0404B0{}", hex::encode_upper(last.encode().unwrap()));
    let reading = [("00B20104B0", &*seen), ("00B20204B0", &first), ("00B20304B0", &code), ("00B20404B0", &free)];
    let full = [reading[0], reading[1], reading[2], ("00B20404B0", &*kept)];
    let opened = ("00A4040407A000000087100200", "9000");
    let status = [("00A4000C026F43", "9000"), ("00B0000002", "FFFF9000")];
    // Read unread messages; then, for each new message, list and find free memory.
    let steps = [
        &[opened, select][..],
        &reading,
        &status,
        &[select],
        &reading,
        &[select],
        &reading,
        &[select, (&update, "9000"), select],
        &full,
    ]
    .concat();
    let mut card = Dialogue::new(&steps);
    let mut usim = Usim::open(&mut card, None).unwrap();
    let [(two, _), (one, _)] = [waiting("m2", part(1)), waiting("m1", text("seen"))];
    let messages = answer(200, JSON, &format!(r#"{{"messages":[{two},{one}]}}"#));
    let attachment = Attachment(Token::new("a1", None));
    let ((unread, received), ..) = with_client(vec![messages, answer(204, "", ""), answer(204, "", "")], |client| {
        let unread = client.unread(&mut usim).unwrap();
        (unread, client.receive(&attachment, Duration::ZERO, &mut usim).unwrap())
    });
    let sms = |record, whole: &[u8], text: Option<&str>| Received::Sms {
        place: Place::Card(record),
        whole: whole.iter().copied().map(Place::Card).collect(),
        from: "81901234567".into(),
        text: text.map(str::to_owned),
        about: About::default(),
    };
    assert_eq!(unread, [sms(2, &[], None), sms(3, &[3], Some("Your code: 123456"))]);
    assert_eq!(received, [sms(4, &[4, 2], Some(&"0123456789".repeat(17))), Received::Read(Place::Card(1))]);
    assert!(card.is_finished());
}

/// TS 23.038 §4 and TS 23.040 §9.2.3.9: what is not stored takes no memory and touches no file of the card.
#[test]
fn what_is_not_kept() {
    let data = |coding, text: &str| UserData { coding: DataCoding(coding), ..UserData::text(text).unwrap() };
    let deliver = |protocol, data| {
        let from = Address::international("81901234567").unwrap();
        let deliver = Deliver { protocol, ..Deliver::new(from, Timestamp::new(1_767_225_600, 0), data) };
        let tpdu = hex::encode(deliver.encode().unwrap());
        format!(r#"{{"id":"m","smsc":"15550000000","tpdu":"{tpdu}"}}"#)
    };
    let shown = |text: &str, about| Received::Shown { from: "81901234567".into(), text: Some(text.into()), about };
    let class_0 = About { class: Some(0), ..About::default() };
    let kind = sms::handling::WaitingKind::Voicemail;
    let waiting = vec![sms::handling::Waiting { active: true, kind, count: None }];
    let counted = vec![sms::handling::Waiting { active: true, kind, count: Some(5) }];
    let header = vec![Element::Indication(Indication { kind_and_storage: 0x00, count: 5 })];
    let no_text = |class: u8| Received::Shown {
        from: "81901234567".into(),
        text: None,
        about: About { class: Some(class), ..About::default() },
    };
    let configuration = UserData::to_port(notice::PORT, 0, b"x-aescfg,ap2009").unwrap();
    for (message, expected) in [
        (deliver(0x00, data(0x10, "now")), shown("now", class_0.clone())),
        (deliver(0x41, data(0xF0, "now")), shown("now", class_0.clone())),
        // Octets, and compressed text: there is nothing to read, and the user is told.
        (deliver(0x00, data(0xF4, "now")), no_text(0)),
        (deliver(0x00, data(0x14, "now")), no_text(0)),
        (deliver(0x00, data(0x30, "now")), no_text(0)),
        (deliver(0x00, data(0x38, "now!")), no_text(0)),
        (deliver(0x00, data(0x10, "")), shown("", class_0)),
        // A voice mail indication in the header: reported, and not stored.
        (
            deliver(0x00, UserData { header: header.clone(), ..data(0x00, "5 new") }),
            shown("5 new", About { waiting: counted.clone(), ..About::default() }),
        ),
        (
            deliver(0x00, UserData { header, ..data(0xF5, "x") }),
            Received::Shown {
                from: "81901234567".into(),
                text: None,
                about: About { class: Some(1), waiting: counted, ..About::default() },
            },
        ),
        (deliver(0x40, data(0x00, "never")), Received::Discarded),
        (deliver(0x40, data(0x10, "never")), Received::Discarded),
        (deliver(0x40, configuration), Received::Discarded),
        (deliver(0x00, data(0xC8, "2 new")), shown("2 new", About { waiting, ..About::default() })),
    ] {
        let status = [("00A4000C026F43", "9000"), ("00B0000002", "FFFF9000")];
        let mut card = Dialogue::new(&[&[("00A4040407A000000087100200", "9000")][..], &status].concat());
        let mut usim = Usim::open(&mut card, None).unwrap();
        let messages = answer(200, JSON, &format!(r#"{{"messages":[{message}]}}"#));
        let (received, requests, _) = with_client(vec![messages, answer(204, "", "")], |client| {
            client.receive(&Attachment(Token::new("a1", None)), Duration::ZERO, &mut usim)
        });
        assert_eq!(received.unwrap(), [expected], "{message}");
        assert_eq!(requests[1].body, r#"{"delivered":true}"#);
        assert!(card.is_finished());
    }
}

/// A long message of class 0 is displayed when it is complete; an incomplete one, when the device stops waiting.
#[test]
fn long_messages_that_are_shown() {
    let part = |reference, sequence, coding| {
        let data = sms::split(&"0123456789".repeat(17), reference).unwrap().swap_remove(sequence);
        waiting("m", UserData { coding: DataCoding(coding), ..data }).0
    };
    let list = [part(7, 1, 0x10), part(8, 1, 0x10), part(9, 1, 0x14), part(7, 0, 0x10)].join(",");
    let mut card = Dialogue::new(&[
        ("00A4040407A000000087100200", "9000"),
        ("00A4000C026F43", "9000"),
        ("00B0000002", "FFFF9000"),
    ]);
    let mut usim = Usim::open(&mut card, None).unwrap();
    let done = || answer(204, "", "");
    let answers = vec![answer(200, JSON, &format!(r#"{{"messages":[{list}]}}"#)), done(), done(), done(), done()];
    let ((received, given_up, nothing), ..) = with_client(answers, |client| {
        let attachment = Attachment(Token::new("a1", None));
        let received = client.receive(&attachment, Duration::ZERO, &mut usim).unwrap();
        (received, client.given_up(), client.given_up())
    });
    let shown = |text: Option<&str>, is_incomplete| Received::Shown {
        from: "81901234567".into(),
        text: text.map(str::to_owned),
        about: About { class: Some(0), is_incomplete, ..About::default() },
    };
    let whole = "0123456789".repeat(17);
    assert_eq!(received, [Received::Part, Received::Part, Received::Part, shown(Some(&whole), false)]);
    let end = format!("…{}", &whole[153..]);
    assert_eq!(given_up, [shown(Some(&end), true), shown(None, true)]);
    assert_eq!(nothing, []);
    assert!(card.is_finished());
}

/// What was acknowledged and not stored is reported, even if the next message finds the card out of order; that
/// error is reported next.
#[test]
fn what_was_acknowledged_is_told_before_an_error() {
    let class_0 = waiting("m1", UserData { coding: DataCoding(0x10), ..UserData::text("now").unwrap() }).0;
    let other = waiting("m2", UserData::text("later").unwrap()).0;
    let mut card = Dialogue::new(&[
        ("00A4040407A000000087100200", "9000"),
        ("00A4000C026F43", "9000"),
        ("00B0000002", "FFFF9000"),
        ("00A40004026F3C00", "6F00"),
    ]);
    let mut usim = Usim::open(&mut card, None).unwrap();
    let done = || answer(204, "", "");
    let answers = vec![answer(200, JSON, &format!(r#"{{"messages":[{class_0},{other}]}}"#)), done(), done()];
    let ((received, then), requests, _) = with_client(answers, |client| {
        let attachment = Attachment(Token::new("a1", None));
        let received = client.receive(&attachment, Duration::ZERO, &mut usim);
        (received, client.announce_room(&attachment, &mut usim))
    });
    let about = About { class: Some(0), ..About::default() };
    let now = Received::Shown { from: "81901234567".into(), text: Some("now".into()), about };
    assert_eq!(received, Ok(vec![now]));
    assert!(matches!(then, Err(MtError::Usim(_))), "{then:?}");
    let bodies: Vec<_> = requests[1..].iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies, [r#"{"delivered":true}"#, r#"{"delivered":false}"#]);
}

/// A message for the card itself goes to it; if it accepts none, it is stored there.
#[test]
fn messages_for_the_card() {
    let data = UserData { coding: DataCoding(0xF6), ..UserData::to_port(1, 0, &[2, 0x70, 0]).unwrap() };
    let from = Address::international("81901234567").unwrap();
    let deliver = Deliver { protocol: 0x7F, ..Deliver::new(from, Timestamp::new(1_767_225_600, 0), data) };
    let tpdu = deliver.encode().unwrap();
    let message = format!(r#"{{"id":"m","smsc":"15550000000","tpdu":"{}"}}"#, hex::encode(&tpdu));
    let objects = format!("82028381 860781 5155000000F0 8B{:02X}{}", tpdu.len(), hex::encode_upper(&tpdu));
    let objects = objects.replace(' ', "");
    let envelope = format!("D1{:02X}{objects}", objects.len() / 2);
    let envelope = format!("80C20000{:02X}{envelope}", envelope.len() / 2);
    let status = [("00A4000C026F43", "9000"), ("00B0000002", "FFFF9000")];
    let opened = ("00A4040407A000000087100200", "9000");
    let ust = [("00A4000C026F38", "9000"), ("00B0000004", "000000089000")];
    for (answered, expected, said) in [
        ("9000", Received::ForCard, r#"{"delivered":true}"#),
        ("910F", Received::ForCard, r#"{"delivered":true}"#),
        ("6F00", Received::RefusedByCard, r#"{"cause":111,"delivered":false}"#),
    ] {
        let steps = [&[opened][..], &status, &ust, &[(&envelope, answered)]].concat();
        let mut card = Dialogue::new(&steps);
        let mut usim = Usim::open(&mut card, None).unwrap();
        let messages = answer(200, JSON, &format!(r#"{{"messages":[{message}]}}"#));
        let (received, requests, _) = with_client(vec![messages, answer(204, "", "")], |client| {
            client.receive(&Attachment(Token::new("a1", None)), Duration::ZERO, &mut usim)
        });
        assert_eq!(received.unwrap(), [expected], "{answered}");
        assert_eq!(requests[1].body, said);
        assert!(card.is_finished());
    }
}

/// Full of unread ones: refused with cause 22, noted on the card; and once memory is available, reported, and noted
/// again.
#[test]
fn memory_is_exceeded_and_there_again() {
    let unread = |text: &str| {
        let tpdu = hex::decode(tpdu_of(UserData::text(text).unwrap())).unwrap();
        Record::unread(Address::parse("15550000000").unwrap(), tpdu)
    };
    let there = hex::encode_upper(unread("there").encode().unwrap()) + "9000";
    let (message, _) = waiting("m1", UserData::text("new").unwrap());
    let select = ("00A40004026F3C00", "62078205422100B0019000");
    let opened = ("00A4040407A000000087100200", "9000");
    let (look, reading) = (("00A4000C026F43", "9000"), ("00B20104B0", &*there));
    let steps = [
        // No note. List, full, note.
        opened,
        look,
        ("00B0000002", "FFFF9000"),
        select,
        reading,
        select,
        reading,
        look,
        ("00B0000002", "FFFF9000"),
        ("00D6000101FE", "9000"),
        // Next time: still full.
        look,
        ("00B0000002", "FFFE9000"),
        select,
        reading,
        select,
        reading,
    ];
    let mut card = Dialogue::new(&steps);
    let mut usim = Usim::open(&mut card, None).unwrap();
    let attachment = Attachment(Token::new("a1", None));
    let messages = |list: &str| answer(200, JSON, &format!(r#"{{"messages":[{list}]}}"#));
    let full = || {
        let mut store = Volatile::default();
        let record = unread("kept").encode().unwrap().to_vec();
        store.0.messages = (1..=200).map(|number| KeptMessage { number, record: record.clone() }).collect();
        store
    };
    let answers = vec![messages(&message), answer(204, "", ""), messages("")];
    let (received, requests, _) = with_client(answers, |client| {
        client.volatile = full();
        let mut received = client.receive(&attachment, Duration::ZERO, &mut usim).unwrap();
        received.extend(client.receive(&attachment, Duration::ZERO, &mut usim).unwrap());
        received
    });
    assert_eq!(received, [Received::NoRoom { from: "81901234567".into() }]);
    assert_eq!(requests[1].body, r#"{"cause":22,"delivered":false}"#);
    assert!(card.is_finished());
    // Something was deleted in the device meanwhile.
    let steps = [opened, look, ("00B0000002", "FFFE9000"), look, ("00B0000002", "FFFE9000"), ("00D6000101FF", "9000")];
    let mut card = Dialogue::new(&steps);
    let mut usim = Usim::open(&mut card, None).unwrap();
    let (said, requests, _) = with_client(vec![answer(204, "", "")], |client| {
        client.volatile = full();
        client.volatile.0.messages.pop();
        client.announce_room(&attachment, &mut usim)
    });
    assert_eq!((said, &*requests[0].url), (Ok(true), "https://operator.example/mt/v1/memory-available"));
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
fn a_message_is_sent_once_and_refused_by_cause() {
    let attachment = Attachment(Token::new("a1", None));
    for (said, expected) in [
        (answer(200, JSON, r#"{"id":"m1"}"#), Ok(Sent::Accepted)),
        (answer(422, JSON, r#"{"cause":1,"error":"nobody"}"#), Ok(Sent::Refused(1))),
        (answer(400, JSON, r#"{"error":"no SMS-SUBMIT"}"#), Ok(Sent::Refused(95))),
        (answer(404, "", ""), Ok(Sent::Refused(69))),
        (answer(401, JSON, "{}"), Err(MtError::Detached)),
    ] {
        let (sent, requests, _) = with_client(vec![said], |client| client.submit(&attachment, &[0x01, 0x2A]));
        assert_eq!(sent, expected);
        assert_eq!(requests[0].url, "https://operator.example/mt/v1/submissions");
        assert_eq!(requests[0].body, r#"{"tpdu":"012a"}"#);
    }
    let (sent, ..) = with_client(vec![answer(503, "", "")], |client| client.submit(&attachment, &[1]));
    assert!(matches!(sent, Err(MtError::Unexpected { status: 503, .. })));
}

/// The card sent a message while it was in a modem.
#[test]
fn what_became_of_a_message_of_the_cards_own_is_acknowledged() {
    let report = r#"{"id":"m1","smsc":"15550000000","tpdu":"062a0b917238880900f1993092516195809930925171058000"}"#;
    let answers = vec![answer(200, JSON, &format!(r#"{{"messages":[{report}]}}"#)), answer(204, "", "")];
    let opened = ("00A4040407A000000087100200", "9000");
    let steps = [opened, ("00A4000C026F43", "6A82")];
    let mut card = Dialogue::new(&steps);
    let mut usim = Usim::open(&mut card, None).unwrap();
    let attachment = Attachment(Token::new("a1", None));
    let (received, requests, _) =
        with_client(answers, |client| client.receive(&attachment, Duration::ZERO, &mut usim).unwrap());
    assert_eq!(received, [Received::Discarded]);
    assert_eq!(requests[1].body, r#"{"delivered":true}"#);
}

#[test]
fn requests_to_look_at_the_configuration() {
    assert_eq!(configuration_wanted(b"x-aescfg,ap2006,ap2009"), Some(vec![App::Companion, App::Primary]));
    assert_eq!(configuration_wanted(b"x-aescfg"), Some(vec![]));
    for wrong in [&b"x-aescfgap2009"[..], b"hello", b"", b"\xFF-aescfg,ap2009"] {
        assert_eq!(configuration_wanted(wrong), None);
    }
}
