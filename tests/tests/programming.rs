//! Subscribers are written to cards like those that are sold: what was written is what the card then authenticates with, whatever
//! happens in between.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use apdu::{InProcess, Transport, TransportError};
use card::Card;
use card::entropy::ChaCha;
use card::personalise::{ProfileToLoad, Uicc, uicc};
use card::programmable::{TYPES, named};
use crypto::aka::{Aka, Sqn};
use crypto::aka::{kc, sres};
use crypto::milenage::Milenage;
use hex_literal::hex;
use programmer::{Adm, Cause, Order, Plan, Proof, Report, State, Stopped, Tries, identify};
use saip::builder::{Algorithm, Ims, Key, Subscriber, build};
use vuicc_tests::process::{Finished, run};
use vuicc_tests::vuicc::{command, json_lines};

const NOW: u64 = 1_767_225_600;
const RAND: [u8; 16] = hex!("23553cbe9637a89d218ae64dae47bf35");
const OLD: &str = "8988211000000000011";
const NEW: &str = "8988211000000000029";
const K: [u8; 16] = hex!("00112233445566778899aabbccddeeff");
const OPC: [u8; 16] = hex!("ffeeddccbbaa99887766554433221100");
const TRIES: Tries = Tries { least_left: 2, uncounted: None };

fn adm() -> Adm {
    "88888888".parse().unwrap()
}

fn subscriber(iccid: &str, imsi: &str, key: [u8; 16], opc: [u8; 16]) -> Subscriber {
    Subscriber {
        spn: Some("Example".into()),
        msisdn: Some("+15551234567".into()),
        smsc: Some("+15550000000".into()),
        ims: Some(Ims::default()),
        ..Subscriber::new(iccid, imsi, Key::new(&key), Key::new(&opc))
    }
}

/// A card of this type as it comes from the shop.
fn card_of(name: &str, old: &Subscriber) -> InProcess<Card> {
    let package: Vec<u8> = saip::encode_package(&build(old).unwrap());
    let mut new = Uicc::new(ProfileToLoad::from(package), NOW);
    new.make_like(named(name).unwrap());
    InProcess::connect(uicc(&new).unwrap().insert(Box::new(ChaCha::from_number(1))))
}

fn shop(name: &str) -> InProcess<Card> {
    card_of(name, &subscriber(OLD, "001010000000001", [1; 16], [2; 16]))
}

/// The subscriber of a card keeps its number where that cannot be written.
fn order(name: &str) -> Order {
    let iccid = if programmer::named(name).unwrap().iccid { NEW } else { OLD };
    Order::new(subscriber(iccid, "001010000000077", K, OPC), Some(0x0200), &["26201".into()]).unwrap()
}

fn program(card: &mut impl Transport, order: &Order, adm: &Adm) -> Result<Report, Stopped> {
    let found = identify(card).unwrap();
    Plan::make(card, &found, None, order, false)?.carry_out(card, Some(adm), TRIES, &RAND, &mut |_| {})
}

#[test]
fn each_type_authenticates_with_what_was_written() {
    for kind in TYPES {
        let (mut card, order) = (shop(kind.name), order(kind.name));
        let found = identify(&mut card).unwrap();
        assert_eq!(found.kind.unwrap().name, kind.name);
        let plan = Plan::make(&mut card, &found, None, &order, false).unwrap();
        let imsi = plan.planned().find(|planned| planned.what == "IMSI").unwrap();
        assert_eq!((imsi.state, imsi.octets), (State::Differs, 9), "{}", kind.name);
        let report = plan.carry_out(&mut card, Some(&adm()), TRIES, &RAND, &mut |_| {}).unwrap();
        let expected = if kind.name == "Wavemobile-SIM" {
            Proof::Open(programmer::Open::NoKeys)
        } else {
            Proof::Proven { sqn: Some(0), gsm: true }
        };
        assert_eq!(report.proof, expected, "{}", kind.name);
        assert!(report.written.iter().any(|planned| planned.what == "IMSI"));
        // The same again writes what cannot be read, and nothing else.
        let again = program(&mut card, &order, &adm()).unwrap();
        assert!(again.written.iter().all(|planned| planned.state == State::Unreadable), "{again:?}");
        assert_eq!(identify(&mut card).unwrap().iccid.to_string(), order.subscriber().iccid);
    }
}

/// A phone of any age is answered with the new keys.
#[test]
fn a_sim_of_class_a0_is_in_the_same_card() {
    let mut card = shop("sysmoISIM-SJA2");
    program(&mut card, &order("sysmoISIM-SJA2"), &adm()).unwrap();
    card.reset().unwrap();
    let mut ask = |command: &[u8]| card.transmit(command).unwrap();
    assert_eq!(ask(&hex!("A0A40000027F20")), hex!("9F17"));
    let described = ask(&hex!("A0C0000017"));
    assert_eq!(described.get(4..7), Some(&hex!("7F2002")[..]));
    assert_eq!(ask(&hex!("A0A40000026F07")), hex!("9F0F"));
    assert_eq!(ask(&hex!("A0C000000F")), hex!("000000096F07040014F04401020000 9000"));
    assert_eq!(ask(&hex!("A0B0000009")), hex!("080910100000000077 9000"));
    assert_eq!(ask(&hex!("A0D600000108")), hex!("9804"), "without the ADM");
    assert_eq!(ask(&hex!("A0A40000026FFF")), hex!("9404"));
    assert_eq!(ask(&hex!("A020000A08 3030303030303030")), hex!("9804"));
    assert_eq!(ask(&hex!("A0CA000000")), hex!("6D00"));
    let response = Milenage::new(&K, &OPC).f2345(&RAND);
    let expected = [&sres(&response.res)[..], &kc(&response.ck, &response.ik), &hex!("9000")].concat();
    assert_eq!(ask(&[&hex!("A088000010")[..], &RAND].concat()), hex!("9F0C"));
    assert_eq!(ask(&hex!("A0C000000C")), expected);
    // Others know no such class where they are told so.
    let profile =
        ProfileToLoad::from(saip::encode_package(&build(&subscriber(OLD, "001010000000001", K, OPC)).unwrap()));
    let mut plain = Uicc::new(profile, NOW);
    plain.card.gsm = false;
    let plain = uicc(&plain).unwrap();
    let mut plain = InProcess::connect(plain.insert(Box::new(ChaCha::from_number(1))));
    assert_eq!(plain.transmit(&hex!("A0A40000027F20")).unwrap(), hex!("6E00"));
}

/// The numbers accepted are in a file, and survive as the keys do.
#[test]
fn a_card_counts_on_after_it_was_written_to() {
    let mut card = shop("sysmoISIM-SJA5");
    let order = order("sysmoISIM-SJA5");
    program(&mut card, &order, &adm()).unwrap();
    card.reset().unwrap();
    let vector = Milenage::new(&K, &OPC).generate_vector(&RAND, Sqn::new(5, 3), [0x80, 0]);
    card.transmit(&hex!("00A4040C07A0000000871002")).unwrap();
    let challenge = [&hex!("0088008122 10")[..], &RAND, &[0x10], &vector.autn].concat();
    assert_eq!(card.transmit(&challenge).unwrap().first(), Some(&0x61));
    let again = program(&mut card, &order, &adm()).unwrap();
    assert_eq!(again.proof, Proof::Proven { sqn: Some(Sqn::new(5, 3).into()), gsm: true });
}

#[test]
fn algorithms_are_those_the_type_has() {
    let xor = Subscriber { algorithm: Algorithm::Xor, opc: None, ..subscriber(OLD, "001010000000077", K, OPC) };
    let long = Key::new(&[7; 32]);
    let tuak = Subscriber {
        algorithm: Algorithm::Tuak,
        key: long.clone(),
        opc: Some(long),
        res_length: Some(16),
        ..subscriber(OLD, "001010000000077", K, OPC)
    };
    for (name, subscriber, proven) in [
        ("sysmoISIM-SJA2", &xor, true),
        ("sysmoISIM-SJA5", &xor, true),
        ("sysmoISIM-SJA5", &tuak, true),
        ("sysmoISIM-SJA2", &tuak, false),
        ("Fairwaves-SIM", &xor, false),
    ] {
        let order = Order::new(subscriber.clone(), None, &[]).unwrap();
        let outcome = program(&mut shop(name), &order, &adm());
        match outcome {
            Ok(report) if proven => assert!(matches!(report.proof, Proof::Proven { .. }), "{name}: {report:?}"),
            Err(stopped) if !proven => {
                assert!(matches!(stopped.cause, Cause::Unfit(_)) && stopped.written.is_empty(), "{name}: {stopped}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// What a file of the USIM or the ISIM has in it, or a record of it.
fn content(card: &mut impl Transport, application: u8, fid: [u8; 2], command: [u8; 5]) -> Vec<u8> {
    card.reset().unwrap();
    card.transmit(&[0x00, 0xA4, 0x04, 0x0C, 0x07, 0xA0, 0, 0, 0, 0x87, 0x10, application]).unwrap();
    card.transmit(&[&[0x00, 0xA4, 0x00, 0x0C, 0x02], &fid[..]].concat()).unwrap();
    let mut read = command;
    let mut response = card.transmit(&read).unwrap();
    if let [0x6C, length] = response[..] {
        read[4] = length;
        response = card.transmit(&read).unwrap();
    }
    let length = response.len() - 2;
    assert_eq!(response.split_off(length), [0x90, 0x00], "{fid:02X?}");
    response
}

const WHOLE: [u8; 5] = [0x00, 0xB0, 0x00, 0x00, 0x00];
const FIRST_RECORD: [u8; 5] = [0x00, 0xB2, 0x01, 0x04, 0x00];

/// A card that had a subscriber is not in part that one's afterwards.
#[test]
fn nothing_of_the_subscriber_before_stays() {
    let old = Subscriber {
        user_plmns: vec!["26202".into()],
        operator_plmns: vec!["26203".into()],
        ..subscriber(OLD, "262011234567890", [1; 16], [2; 16])
    };
    let mut card = card_of("sysmoISIM-SJA2", &old);
    let bare = Subscriber::new(OLD, "001010000000077", Key::new(&K), Key::new(&OPC));
    // A phone has been somewhere with it.
    card.reset().unwrap();
    card.transmit(&hex!("00A4040C07A0000000871002")).unwrap();
    card.transmit(&hex!("00A4000C026F7E")).unwrap();
    assert_eq!(card.transmit(&hex!("00D600000B 11223344 62F210 0001 FF 00")).unwrap(), hex!("9000"));
    let order = Order::new(bare, None, &[]).unwrap();
    program(&mut card, &order, &adm()).unwrap();
    for (fid, command) in [([0x6F, 0x40], FIRST_RECORD), ([0x6F, 0x42], FIRST_RECORD), ([0x6F, 0x46], WHOLE)] {
        let content = content(&mut card, 2, fid, command);
        assert!(content.iter().all(|octet| *octet == 0xFF), "{fid:02X?}: {content:02X?}");
    }
    for fid in [[0x6F, 0x60], [0x6F, 0x61]] {
        let networks = content(&mut card, 2, fid, WHOLE);
        assert!(networks.chunks(5).all(|network| network == hex!("FFFFFF0000")), "{fid:02X?}: {networks:02X?}");
    }
    assert_eq!(content(&mut card, 2, [0x6F, 0x7E], WHOLE), hex!("FFFFFFFF FFFFFF0000 FF 01"));
    let name = content(&mut card, 4, [0x6F, 0x02], WHOLE);
    let name = String::from_utf8_lossy(&name).into_owned();
    assert!(name.contains("001010000000077@ims.mnc001.mcc001.3gppnetwork.org"), "{name}");
}

/// What stands behind a PIN cannot be written: that is seen before anything is.
#[test]
fn a_card_with_its_pin_enabled_is_left_alone() {
    for name in ["sysmoISIM-SJA2", "Fairwaves-SIM"] {
        let mut old = subscriber(OLD, "001010000000001", [1; 16], [2; 16]);
        old.codes.pin1_enabled = true;
        let mut card = card_of(name, &old);
        let stopped = program(&mut card, &order(name), &adm()).unwrap_err();
        assert!(matches!(stopped.cause, Cause::PinEnabled(_)) && stopped.written.is_empty(), "{name}: {stopped}");
        card.reset().unwrap();
        assert_eq!(card.transmit(&hex!("002600010830303030FFFFFFFF")).unwrap(), hex!("9000"));
        program(&mut card, &order(name), &adm()).unwrap();
    }
}

/// Files that pySim writes to a card which is programmed as a SIM.
#[test]
fn networks_are_written_in_class_a0_too() {
    let mut card = shop("Fairwaves-SIM");
    program(&mut card, &order("Fairwaves-SIM"), &adm()).unwrap();
    assert_eq!(content(&mut card, 2, [0x6F, 0x62], WHOLE).get(..3), Some(&hex!("00F110")[..]));
    let three = Subscriber { mnc_length: 3, ..subscriber(OLD, "310410000000077", K, OPC) };
    program(&mut card, &Order::new(three, None, &[]).unwrap(), &adm()).unwrap();
    assert_eq!(content(&mut card, 2, [0x6F, 0xAD], WHOLE).get(3), Some(&3));
    assert_eq!(content(&mut card, 2, [0x6F, 0x62], WHOLE).get(..3), Some(&hex!("130014")[..]));
}

/// The configuration has a bit for four octets of RES; eight it does not have.
#[test]
fn the_length_of_res_is_written_or_refused() {
    for (length, octets) in [(None, Some(16)), (Some(16), Some(16)), (Some(4), Some(4)), (Some(8), None)] {
        let xor = Subscriber {
            algorithm: Algorithm::Xor,
            opc: None,
            res_length: length,
            ..subscriber(OLD, "001010000000077", K, OPC)
        };
        let mut card = shop("sysmoISIM-SJA2");
        let outcome = program(&mut card, &Order::new(xor, None, &[]).unwrap(), &adm());
        let Some(octets) = octets else {
            assert!(matches!(outcome.unwrap_err().cause, Cause::Unfit(_)));
            continue;
        };
        outcome.unwrap();
        card.reset().unwrap();
        card.transmit(&hex!("00A4040C07A0000000871002")).unwrap();
        let vector = crypto::xor::Xor::new(&K).generate_vector(&RAND, Sqn::new(5, 3), [0x80, 0]);
        let challenge = [&hex!("0088008122 10")[..], &RAND, &[0x10], &vector.autn].concat();
        let response = card.transmit(&challenge).unwrap();
        let [0x61, length] = response[..] else { panic!("{response:02X?}") };
        let answer = card.transmit(&[0x00, 0xC0, 0x00, 0x00, length]).unwrap();
        assert_eq!(answer.get(..2), Some(&[0xDB, octets][..]));
    }
}

/// One try, and never the last ones.
#[test]
fn a_wrong_adm_is_tried_once() {
    for name in ["sysmoISIM-SJA2", "gialersim", "Fairwaves-SIM"] {
        let (mut card, order) = (shop(name), order(name));
        let wrong: Adm = "12345678".parse().unwrap();
        let stopped = program(&mut card, &order, &wrong).unwrap_err();
        assert!(matches!(stopped.cause, Cause::WrongAdm { .. }), "{name}: {stopped}");
        assert!(stopped.to_string().ends_with("nothing was written"), "{stopped}");
        // Two are left: not even the right one is tried, for nobody knows that it is.
        for adm in [&wrong, &adm()] {
            let stopped = program(&mut card, &order, adm).unwrap_err();
            assert_eq!(stopped.cause, Cause::TooFewTries { left: 2, least: 2 }, "{name}");
        }
        let found = identify(&mut card).unwrap();
        let plan = Plan::make(&mut card, &found, None, &order, false).unwrap();
        let tries = Tries { least_left: 1, uncounted: None };
        plan.carry_out(&mut card, Some(&adm()), tries, &RAND, &mut |_| {}).unwrap();
        assert_eq!(identify(&mut card).unwrap().kind.unwrap().name, name);
    }
}

#[test]
fn a_card_that_is_another_is_left_alone() {
    let mut card = shop("sysmoISIM-SJA2");
    let found = identify(&mut card).unwrap();
    let other = programmer::named("gialersim");
    let stopped = Plan::make(&mut card, &found, other, &order("sysmoISIM-SJA2"), false).unwrap_err();
    assert_eq!(stopped.cause, Cause::OtherKind("gialersim", "sysmoISIM-SJA2"));
    let stranger = Order::new(subscriber(NEW, "001010000000077", K, OPC), None, &[]).unwrap();
    let stopped = Plan::make(&mut card, &found, None, &stranger, false).unwrap_err();
    assert!(matches!(stopped.cause, Cause::OtherIccid { .. }), "{stopped}");
    Plan::make(&mut card, &found, None, &stranger, true).unwrap();
    let profile =
        ProfileToLoad::from(saip::encode_package(&build(&subscriber(OLD, "001010000000001", K, OPC)).unwrap()));
    let mut plain = Uicc::new(profile, NOW);
    plain.card.gsm = false;
    let plain = uicc(&plain).unwrap();
    let mut plain = InProcess::connect(plain.insert(Box::new(ChaCha::from_number(1))));
    let found = identify(&mut plain).unwrap();
    for kind in [None, programmer::named("sysmoISIM-SJA2")] {
        let stopped = Plan::make(&mut plain, &found, kind, &stranger, true).unwrap_err();
        assert!(matches!(stopped.cause, Cause::UnknownKind(_)), "{stopped}");
    }
}

/// A card that is pulled when it was about to be written to for the n-th time: what it was told is done, the answer is lost.
struct Pulled<'a> {
    card: &'a mut InProcess<Card>,
    writes: usize,
}

impl Transport for Pulled<'_> {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.card.reset()
    }
    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.card.warm_reset()
    }
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let answer = self.card.transmit(command)?;
        if matches!(command.get(1), Some(0xD6 | 0xDC)) {
            self.writes = self.writes.checked_sub(1).ok_or(TransportError::CardRemoved)?;
        }
        Ok(answer)
    }
    fn atr(&self) -> &[u8] {
        self.card.atr()
    }
}

#[test]
fn a_card_pulled_at_any_write_is_finished_by_the_same_again() {
    for name in ["sysmoISIM-SJA2", "OpenCells-SIM", "Fairwaves-SIM"] {
        for writes in 0.. {
            let (mut card, order) = (shop(name), order(name));
            let outcome = program(&mut Pulled { card: &mut card, writes }, &order, &adm());
            let Err(stopped) = outcome else {
                assert!(writes > 5, "{name}");
                break;
            };
            assert_eq!(stopped.cause, Cause::Card(TransportError::CardRemoved.into()), "{name}: {stopped}");
            assert_eq!(stopped.written.len(), writes, "{name}: {stopped}");
            assert!(!stopped.left.is_empty() && stopped.left.iter().any(|left| left.what == "IMSI"), "{stopped}");
            let report = program(&mut card, &order, &adm()).unwrap();
            assert!(matches!(report.proof, Proof::Proven { .. }), "{name} after {writes}");
        }
    }
}

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(folder, ["card", "program"]).args(arguments).env_remove("VUICC_ADM").current_dir(folder))
}

fn image(folder: &Path, name: &str, iccid: &str) {
    let text = format!(
        "iccid = \"{iccid}\"\nimsi = \"001010000000001\"\nkey = \"{}\"\nopc = \"{}\"\n",
        hex::encode([1; 16]),
        hex::encode([2; 16])
    );
    fs::write(folder.join("old.toml"), text).unwrap();
    let new = ["card", "new", "--type", "uicc", "--like", name, "--subscriber", "old.toml"];
    let _ = run(command(folder, new).arg(format!("{iccid}.img")).current_dir(folder)).success();
}

/// Nothing is written unasked, and no key is in a trace.
#[test]
fn the_command_shows_first_and_writes_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    image(folder, "sysmoISIM-SJA2", OLD);
    let (k, opc) = (hex::encode(K), hex::encode(OPC));
    let anna = format!("iccid = \"{OLD}\"\nimsi = \"001010000000077\"\nkey = \"{k}\"\nopc = \"{opc}\"\n");
    fs::write(folder.join("anna.toml"), anna).unwrap();
    fs::write(folder.join("adm.txt"), "88888888\n").unwrap();
    let (image, trace) = (format!("{OLD}.img"), "trace.apdu");
    let program = ["--card", &image, "--subscriber", "anna.toml"];
    let shown = vuicc(folder, &[&program[..], &["--json"]].concat()).success();
    assert!(shown.stderr.contains("nothing was written; --yes writes it"), "{}", shown.stderr);
    let plan = &json_lines(&shown)[0];
    assert_eq!((plan["type"].as_str(), plan["adm_tries_left"].as_u64()), (Some("sysmoISIM-SJA2"), Some(3)));
    let refused = vuicc(folder, &[&program[..], &["--yes"]].concat());
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains("the ADM is needed; nothing was written; --adm-file names"), "{}", refused.stderr);
    let told = ["--yes", "--adm-file", "adm.txt", "--json", "--trace", trace];
    let written = vuicc(folder, &[&program[..], &told].concat()).success();
    let outcome = &json_lines(&written)[1];
    assert_eq!((outcome["proven"].as_bool(), outcome["proven_for_gsm"].as_bool()), (Some(true), Some(true)));
    for secret in [&k, &opc, &hex::encode("88888888")] {
        let trace = fs::read_to_string(folder.join(trace)).unwrap().to_lowercase().replace(' ', "");
        assert!(!trace.contains(secret.as_str()), "{secret} in {trace}");
        assert!(!(written.stdout.clone() + &written.stderr).to_lowercase().contains(secret.as_str()));
    }
}

/// Each card once, and on from where it ended.
#[test]
fn a_batch_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (k, opc) = (hex::encode(K), hex::encode(OPC));
    image(folder, "sysmoISIM-SJA2", OLD);
    image(folder, "sysmoISIM-SJA2", NEW);
    let rows = |second: &str| {
        format!(
            "iccid,imsi,ki,opc,adm\r\n{OLD},001010000000077,{k},{opc},88888888\r\n{NEW},001010000000078,{k},{opc},{second}\r\n"
        )
    };
    fs::write(folder.join("batch.csv"), rows("11111111")).unwrap();
    let batch = |iccid: &str, more: &[&str]| {
        let image = format!("{iccid}.img");
        let all = ["--csv", "batch.csv", "--batch-log", "batch.log", "--yes", "--card", &image];
        vuicc(folder, &[&all[..], more].concat())
    };
    assert!(batch(OLD, &[]).success().stdout.ends_with("1 written, 0 failed, 1 left of 2\n"));
    let twice = batch(OLD, &[]);
    assert!(twice.stderr.contains("has its subscriber already: row 2"), "{}", twice.stderr);
    let refused = batch(NEW, &[]);
    assert!(refused.stderr.contains("refused the ADM, tries left: 2; it was tried once"), "{}", refused.stderr);
    fs::write(folder.join("batch.csv"), rows("88888888")).unwrap();
    let before = batch(NEW, &[]);
    assert!(before.stderr.contains("row 3 before, and it is not tried again; --again does"), "{}", before.stderr);
    let few = batch(NEW, &["--again"]);
    assert!(few.stderr.contains("leaves 2 tries of its ADM"), "{}", few.stderr);
    assert!(
        batch(NEW, &["--again", "--adm-left", "1"]).success().stdout.ends_with("1 written, 0 failed, 0 left of 2\n")
    );
    let log = fs::read_to_string(folder.join("batch.log")).unwrap();
    assert!(!log.contains(&k) && !log.contains("88888888"), "{log}");
    let outcomes: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let words: Vec<_> = outcomes.iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    let expected = ["begun", "opened", "done", "begun", "adm-refused", "begun", "failed", "begun", "opened", "done"];
    assert_eq!(words, expected);
}

/// Rows for cards whose numbers are in none.
fn strangers(folder: &Path) -> impl Fn(&[&str]) -> Finished {
    let (k, opc) = (hex::encode(K), hex::encode(OPC));
    let row = |(iccid, imsi)| format!("{iccid},0010100000000{imsi},{k},{opc}");
    let rows = [(NEW, 77), ("8988211000000000037", 78), ("8988211000000000045", 79)].map(row);
    fs::write(folder.join("batch.csv"), format!("iccid,imsi,ki,opc\n{}\n", rows.join("\n"))).unwrap();
    let folder = folder.to_owned();
    move |more| {
        let image = format!("{OLD}.img");
        let all =
            ["--csv", "batch.csv", "--batch-log", "batch.log", "--yes", "--card", &image, "--adm-file", "adm.txt"];
        vuicc(&folder, &[&all[..], more].concat())
    }
}

/// As the card tells it; nothing is tried for that.
fn tries_left(folder: &Path) -> u64 {
    let (k, opc) = (hex::encode(K), hex::encode(OPC));
    let anna = format!("iccid = \"{OLD}\"\nimsi = \"001010000000077\"\nkey = \"{k}\"\nopc = \"{opc}\"\n");
    fs::write(folder.join("anna.toml"), anna).unwrap();
    let image = format!("{OLD}.img");
    let shown = vuicc(folder, &["--card", &image, "--subscriber", "anna.toml", "--json"]).success();
    json_lines(&shown)[0]["adm_tries_left"].as_u64().unwrap()
}

/// Whatever row it would get next.
#[test]
fn a_card_that_refused_an_adm_is_not_given_it_with_the_next_row() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    image(folder, "gialersim", OLD);
    fs::write(folder.join("adm.txt"), "11111111\n").unwrap();
    let batch = strangers(folder);
    let refused = batch(&["--adm-left", "0"]);
    assert!(refused.stderr.contains("refused the ADM, tries left: 2; it was tried once"), "{}", refused.stderr);
    for _ in 0..2 {
        let again = batch(&["--adm-left", "0"]);
        let told = format!("card {OLD} has refused the ADM of row 2 before, and it is not tried again; --again does");
        assert!(again.stderr.contains(&told), "{}", again.stderr);
        assert_eq!((again.code(), tries_left(folder)), (Some(4), 2));
    }
    // A run that ended before the answer was in the log.
    let log = fs::read_to_string(folder.join("batch.log")).unwrap();
    let begun = log.lines().next().unwrap().to_owned();
    fs::write(folder.join("batch.log"), begun + "\n").unwrap();
    let again = batch(&["--adm-left", "0"]);
    let told = format!("a run ended when card {OLD} was given the ADM of row 2, which may have cost a try; --again");
    assert!(again.stderr.contains(&told), "{}", again.stderr);
    assert_eq!((again.code(), tries_left(folder)), (Some(4), 2));
    // The right one has the row that was begun.
    fs::write(folder.join("adm.txt"), "88888888\n").unwrap();
    let done = batch(&["--again", "--adm-left", "1"]).success();
    assert!(done.stdout.ends_with("1 written, 0 failed, 2 left of 3\n"), "{}", done.stdout);
    let log = fs::read_to_string(folder.join("batch.log")).unwrap();
    assert!(log.lines().last().unwrap().contains(NEW), "{log}");
}

/// A card that keeps its number is known by it.
#[test]
fn a_card_that_has_its_subscriber_gets_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    image(folder, "sysmoISIM-SJA2", OLD);
    fs::write(folder.join("adm.txt"), "88888888\n").unwrap();
    let batch = strangers(folder);
    let done = batch(&["--keep-iccid"]).success();
    assert!(done.stdout.ends_with("1 written, 0 failed, 2 left of 3\n"), "{}", done.stdout);
    let log = fs::read_to_string(folder.join("batch.log")).unwrap();
    let twice = batch(&["--keep-iccid"]);
    assert!(twice.stderr.contains(&format!("card {OLD} has its subscriber already: row 2")), "{}", twice.stderr);
    assert_eq!((twice.code(), fs::read_to_string(folder.join("batch.log")).unwrap()), (Some(4), log));
}

/// What was written, in part or whole, is on one card, and no second one gets it.
#[test]
fn a_row_that_may_be_on_a_card_goes_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    image(folder, "gialersim", OLD);
    fs::write(folder.join("adm.txt"), "88888888\n").unwrap();
    let batch = strangers(folder);
    let failed = |iccid: &str, imsi: u8, written: &str| {
        format!(
            "{{\"row\":9,\"iccid\":\"{iccid}\",\"imsi\":\"0010100000000{imsi}\",\"outcome\":\"failed\",\"written\":[{written}]}}\n"
        )
    };
    let (second, third) = ("8988211000000000037", "8988211000000000045");
    let all = "\"ICCID\",\"keys\",\"IMSI\"";
    let log = failed(NEW, 77, all) + &failed(second, 78, "\"ICCID\"") + &failed(third, 79, all);
    fs::write(folder.join("batch.log"), &log).unwrap();
    let none = batch(&[]);
    assert!(none.stderr.contains("another one may have that of line 2, 3, 4 in part"), "{}", none.stderr);
    assert_eq!((none.code(), fs::read_to_string(folder.join("batch.log")).unwrap()), (Some(4), log.clone()));
    // Of this one nothing is on any card.
    fs::write(folder.join("batch.log"), log.replace(&failed(second, 78, "\"ICCID\""), &failed(second, 78, "")))
        .unwrap();
    let done = batch(&[]).success();
    assert!(done.stdout.ends_with("1 written, 0 failed, 2 left of 3\n"), "{}", done.stdout);
    assert!(fs::read_to_string(folder.join("batch.log")).unwrap().lines().last().unwrap().contains(second));
}
