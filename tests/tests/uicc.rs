//! A UICC made from the description of a subscriber: the file alone says what the card holds and how it authenticates.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use apdu::StatusWord;
use apdu::{InProcess, Transport};
use crypto::aka::{Aka, Sqn, kc, sres};
use crypto::milenage::Milenage;
use hex_literal::hex;
use saip::builder::Subscriber;
use vuicc_tests::process::run;
use vuicc_tests::vuicc::{command, json_lines};

const RAND: [u8; 16] = hex!("23553cbe9637a89d218ae64dae47bf35");

/// A card out of an invented subscriber, and what the description says.
fn card(folder: &Path, options: &[&str]) -> (Box<dyn Transport>, Subscriber) {
    let (description, image) = (folder.join("anna.toml"), folder.join("sim.img"));
    let _ = run(command(folder, ["subscriber", "new"]).args(options).arg(&description)).success();
    let mut new = command(folder, ["--json", "card", "new", "--type", "uicc", "--subscriber"]);
    let made = json_lines(&run(new.arg(&description).arg(&image)).success());
    assert!(made.first().expect("a line")["eid"].is_null());
    assert!(!folder.join("pki").exists(), "a UICC needs no certificates");
    let subscriber = std::fs::read_to_string(description).expect("the description");
    let card = InProcess::connect(card::open(&image).expect("a card"));
    (Box::new(card), toml::from_str(&subscriber).expect("a subscriber"))
}

fn milenage(subscriber: &Subscriber) -> Milenage {
    let octets = |octets: &[u8]| <[u8; 16]>::try_from(octets).expect("16 octets");
    let opc = subscriber.operator_variant().expect("OPc");
    Milenage::new(&octets(subscriber.key.expose()), &octets(opc.expose()))
}

/// The data of an answer that must be `9000`, fetched with GET RESPONSE where T=0 asks for it.
fn ask(card: &mut dyn Transport, command: &[u8]) -> Vec<u8> {
    let mut answer = card.transmit(command).expect("an answer");
    if let [.., 0x61, length] = answer[..] {
        answer = card.transmit(&[0x00, 0xC0, 0x00, 0x00, length]).expect("an answer");
    }
    let (data, sw) = answer.split_last_chunk::<2>().expect("a status word");
    assert_eq!(StatusWord(u16::from_be_bytes(*sw)), StatusWord::OK, "{}", hex::encode_upper(command));
    data.to_vec()
}

fn select_usim(card: &mut dyn Transport) {
    ask(card, &hex!("00A4040C07A0000000871002"));
}

/// AUTHENTICATE in this context, TS 31.102 §7.1.2.
fn authenticate(card: &mut dyn Transport, context: u8, challenge: &[&[u8]]) -> Vec<u8> {
    let counted = |value: &&[u8]| [&[u8::try_from(value.len()).expect("short")], *value].concat();
    let data: Vec<u8> = challenge.iter().flat_map(counted).collect();
    ask(card, &[&[0x00, 0x88, 0x00, context, u8::try_from(data.len()).expect("short")], &data[..]].concat())
}

#[test]
fn authenticates_in_the_umts_context() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut card, subscriber) = card(folder.path(), &[]);
    let network = milenage(&subscriber);
    select_usim(&mut *card);
    let vector = network.generate_vector(&RAND, Sqn::new(1, 1), [0x80, 0]);
    let answer = authenticate(&mut *card, 0x81, &[&RAND, &vector.autn]);
    let mut expected = vec![0xDB];
    for value in [&vector.xres[..], &vector.ck, &vector.ik, &kc(&vector.ck, &vector.ik)] {
        expected.push(u8::try_from(value.len()).expect("short"));
        expected.extend(value);
    }
    assert_eq!(hex::encode(&answer), hex::encode(expected));
    // The same challenge again: out of step, and AUTS says where the card is.
    let auts = authenticate(&mut *card, 0x81, &[&RAND, &vector.autn]);
    assert_eq!(auts.get(..2), Some(&[0xDC, 14][..]));
    let sqn_ms = network.resynchronise(&RAND, auts.get(2..).unwrap_or_default()).expect("its own AUTS");
    assert_eq!(sqn_ms.seq(), 1);
}

#[test]
fn authenticates_in_the_gsm_context() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut card, subscriber) = card(folder.path(), &["--mcc", "310", "--mnc", "410"]);
    select_usim(&mut *card);
    let expected = milenage(&subscriber).f2345(&RAND);
    let answer = authenticate(&mut *card, 0x80, &[&RAND]);
    let (sres, kc) = (sres(&expected.res), kc(&expected.ck, &expected.ik));
    assert_eq!(hex::encode(answer), hex::encode([&[4], &sres[..], &[8], &kc[..]].concat()));
}

#[test]
fn its_files_say_what_the_description_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut card, subscriber) = card(folder.path(), &["--mcc", "310", "--mnc", "410", "--spn", "Blue", "--ims"]);
    let iccid = {
        ask(&mut *card, &hex!("00A4000C022FE2"));
        ask(&mut *card, &hex!("00B000000A"))
    };
    assert_eq!(apdu::bcd::unpack_swapped(&iccid), subscriber.iccid);
    select_usim(&mut *card);
    let mut read = |file: [u8; 2], length: u8| {
        ask(&mut *card, &[&hex!("00A4000C02")[..], &file].concat());
        ask(&mut *card, &[0x00, 0xB0, 0x00, 0x00, length])
    };
    let imsi = read([0x6F, 0x07], 9);
    assert_eq!(apdu::bcd::unpack_swapped(imsi.get(1..).unwrap_or_default()).get(1..), Some(&subscriber.imsi[..]));
    assert_eq!(read([0x6F, 0xAD], 4).last(), Some(&3), "digits of the MNC");
    assert_eq!(read([0x6F, 0x46], 17).get(1..5), Some(&b"Blue"[..]));
    let mut record = |file: [u8; 2], length: u8| {
        ask(&mut *card, &[&hex!("00A4000C02")[..], &file].concat());
        ask(&mut *card, &[0x00, 0xB2, 0x01, 0x04, length])
    };
    let digits = |number: &[u8]| apdu::bcd::unpack_swapped(number).trim_end_matches('F').to_owned();
    let msisdn = record([0x6F, 0x40], 24);
    assert_eq!(Some(format!("+{}", digits(msisdn.get(12..18).unwrap_or_default()))), subscriber.msisdn);
    let smsp = record([0x6F, 0x42], 38);
    assert_eq!(Some(format!("+{}", digits(smsp.get(25..31).unwrap_or_default()))), subscriber.smsc);
    ask(&mut *card, &hex!("00A4040C07A0000000871004"));
}

#[test]
fn what_fits_an_euicc_only_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for name in ["one.toml", "two.toml"] {
        let _ = run(command(folder.path(), ["subscriber", "new"]).arg(path(name))).success();
    }
    let again = run(command(folder.path(), ["subscriber", "new"]).arg(path("one.toml")));
    assert!(!again.status.success(), "a subscriber is not written over");
    let refusal = |options: &[&str]| {
        let mut new = command(folder.path(), ["card", "new", "--type", "uicc"]);
        new.arg(path("sim.img")).arg("--subscriber").arg(path("one.toml")).args(options);
        let finished = run(&mut new);
        assert!(!finished.status.success() && !path("sim.img").exists(), "{options:?}");
        finished.stderr
    };
    assert!(refusal(&["--disabled"]).contains("--disabled"));
    assert!(refusal(&["--eid", "89049032123451234512345678901235"]).contains("--eid"));
    assert!(refusal(&["--subscriber", path("two.toml").to_str().expect("text")]).contains("exactly one"));
    let broken = std::fs::read_to_string(path("one.toml")).expect("text").replace("imsi = \"001", "imsi = \"X01");
    std::fs::write(path("two.toml"), broken).expect("a file");
    let said = refusal(&["--subscriber", path("two.toml").to_str().expect("text")]);
    assert!(said.contains("two.toml: line ") && said.contains(": imsi: wants 14 to 15 digits"), "{said}");
}
