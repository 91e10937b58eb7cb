//! A card as a SIM of TS 51.011: the files of the default profile, on a UICC and in a profile of an eUICC.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use card::entropy::ChaCha;
use card::personalise::{self, Euicc, ProfileToLoad, Uicc};
use card_os::Card;
use crypto::aka::{Aka, kc, sres};
use crypto::milenage::Milenage;
use hex_literal::hex;
use saip::builder::{Key, Subscriber};

const NOW: u64 = 1_767_225_600;
const RAND: [u8; 16] = hex!("23553cbe9637a89d218ae64dae47bf35");
const KEY: [u8; 16] = hex!("465b5ce8b199b49faa5f0a2ee238a6bc");
const OPC: [u8; 16] = hex!("cd63cb71954a9f4e48a5994e37a02baf");

fn subscriber() -> Subscriber {
    let mut subscriber = Subscriber::new("8988211000000000011", "001010000000001", Key::new(&KEY), Key::new(&OPC));
    subscriber.msisdn = Some("+15551234567".into());
    subscriber.smsc = Some("+15550000000".into());
    subscriber.spn = Some("Blue".into());
    subscriber.languages = vec!["de".into(), "en".into()];
    subscriber.user_plmns = vec!["00102".into()];
    subscriber
}

fn package(subscriber: &Subscriber) -> ProfileToLoad {
    saip::encode_package(&saip::builder::build(subscriber).unwrap()).into()
}

fn uicc(subscriber: &Subscriber) -> Card {
    let mut card =
        personalise::uicc(&Uicc::new(package(subscriber), NOW)).unwrap().insert(Box::new(ChaCha::from_number(1)));
    card.reset();
    card
}

fn euicc(subscriber: &Subscriber) -> Card {
    let mut entropy = ChaCha::from_number(1);
    let pki = personalise::mint_pki(None, NOW, &mut entropy).unwrap();
    let mut description = Euicc::new(pki, NOW);
    description.profiles.push(package(subscriber));
    description.enable_first = true;
    let mut card = personalise::euicc(&description, &mut entropy).unwrap().insert(Box::new(entropy));
    card.reset();
    card
}

/// Data and status word of a command, what is to be fetched fetched.
fn ask(card: &mut Card, command: &[u8]) -> (Vec<u8>, [u8; 2]) {
    let mut answer = card.transmit(command);
    if let [0x9F, length] = answer[..] {
        answer = card.transmit(&[0xA0, 0xC0, 0, 0, length]);
    }
    let (data, sw) = answer.split_last_chunk::<2>().unwrap();
    (data.to_vec(), *sw)
}

fn select(card: &mut Card, path: &[u16]) -> Vec<u8> {
    let mut described = Vec::new();
    for fid in path {
        let (data, sw) = ask(card, &[&hex!("A0A4000002")[..], &fid.to_be_bytes()].concat());
        assert_eq!(sw, hex!("9000"), "{fid:04X} of {path:04X?}");
        described = data;
    }
    described
}

fn read(card: &mut Card, path: &[u16]) -> Vec<u8> {
    let described = select(card, path);
    let (data, sw) = ask(card, &[0xA0, 0xB0, 0, 0, described[3]]);
    assert_eq!(sw, hex!("9000"), "{path:04X?}");
    data
}

#[test]
fn the_files_of_the_profile_are_those_of_a_sim() {
    for mut card in [uicc(&subscriber()), euicc(&subscriber())] {
        assert_eq!(hex::encode(read(&mut card, &[0x3F00, 0x2FE2])), "988812010000000010f1");
        assert_eq!(hex::encode(read(&mut card, &[0x7F20, 0x6F07])), "080910100000000010");
        assert_eq!(read(&mut card, &[0x6F46])[1..5], *b"Blue");
        assert_eq!(read(&mut card, &[0x6FAE]), [3]);
        assert_eq!(read(&mut card, &[0x6F05]), [0, 1], "German and English, as cell broadcast has them");
        assert_eq!(hex::encode(&read(&mut card, &[0x6F30])[..6]), "00f120ffffff");
        assert_eq!(hex::encode(&read(&mut card, &[0x6FB7])[..6]), "11f2ff19f1ff");
        assert_eq!(read(&mut card, &[0x6F20]), [&[0xFF; 8][..], &[7]].concat());
        let table = read(&mut card, &[0x6F38]);
        let service = |number: usize| table[(number - 1) / 4] >> ((number - 1) % 4 * 2) & 3;
        for (number, path) in
            [(2, 0x6F3A), (3, 0x6F3B), (4, 0x6F3C), (9, 0x6F40), (12, 0x6F42), (13, 0x6F44), (18, 0x6F49)]
        {
            let (_, sw) = (
                select(&mut card, &[0x3F00, 0x7F10]),
                ask(&mut card, &[&hex!("A0A4000002")[..], &u16::to_be_bytes(path)].concat()).1,
            );
            assert_eq!(service(number), if sw == hex!("9000") { 3 } else { 0 }, "service {number}, {path:04X}");
        }
        assert_eq!((service(2), service(10)), (3, 3), "the phonebook and its extensions");
        let msisdn = select(&mut card, &[0x3F00, 0x7F10, 0x6F40]);
        let (record, sw) = ask(&mut card, &[0xA0, 0xB2, 1, 4, msisdn[14]]);
        assert_eq!((sw, &record[record.len() - 14..record.len() - 6]), (hex!("9000"), &hex!("07915155214365F7")[..]));
        // What is written in one class is there in the other.
        assert_eq!(ask(&mut card, &hex!("A0A40000027F20")).1, hex!("9000"));
        select(&mut card, &[0x6F7E]);
        assert_eq!(card.transmit(&hex!("A0D6000004 01020304")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00A4040C07A0000000871002")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00A4000C026F7E")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00B0000004")), hex!("010203049000"));
    }
}

#[test]
fn it_authenticates_as_a_sim() {
    let expected = Milenage::new(&KEY, &OPC).f2345(&RAND);
    let expected = [&sres(&expected.res)[..], &kc(&expected.ck, &expected.ik)].concat();
    for mut card in [uicc(&subscriber()), euicc(&subscriber())] {
        select(&mut card, &[0x3F00, 0x7F20]);
        let (answer, sw) = ask(&mut card, &[&hex!("A088000010")[..], &RAND].concat());
        assert_eq!((hex::encode(answer), sw), (hex::encode(&expected), hex!("9000")));
    }
    let mut xor = subscriber();
    (xor.algorithm, xor.opc) = (saip::builder::Algorithm::Xor, None);
    let mut card = uicc(&xor);
    select(&mut card, &[0x7F20]);
    let (answer, sw) = ask(&mut card, &[&hex!("A088000010")[..], &RAND].concat());
    // TS 34.108 §8.1.2: XRES is K and RAND by exclusive or, CK and IK are that rotated; then c2 and c3.
    let x: Vec<u8> = KEY.iter().zip(RAND).map(|(key, rand)| key ^ rand).collect();
    let rotated = |by: usize| [&x[by..], &x[..by]].concat();
    let fold = |octets: &[u8], part: usize| {
        let mut all = vec![0; part];
        octets.iter().enumerate().for_each(|(at, octet)| all[at % part] ^= octet);
        all
    };
    let expected = [fold(&x, 4), fold(&[rotated(1), rotated(2)].concat(), 8)].concat();
    assert_eq!((hex::encode(answer), sw), (hex::encode(expected), hex!("9000")));
    let mut without = subscriber();
    without.gsm_access = false;
    let mut card = uicc(&without);
    select(&mut card, &[0x7F20]);
    assert_eq!(ask(&mut card, &[&hex!("A088000010")[..], &RAND].concat()).1, hex!("6D00"));
}

/// CHV2 is the USIM's PIN2, in every directory.
#[test]
fn codes_are_those_of_the_usim() {
    let mut locked = subscriber();
    locked.codes.pin1_enabled = true;
    for mut card in [uicc(&locked), euicc(&locked)] {
        select(&mut card, &[0x7F20, 0x6F07]);
        assert_eq!(ask(&mut card, &hex!("A0B0000009")).1, hex!("9804"));
        assert_eq!(ask(&mut card, &[&hex!("A088000010")[..], &RAND].concat()).1, hex!("9804"));
        assert_eq!(ask(&mut card, &hex!("A020000108 31313131FFFFFFFF")).1, hex!("9804"));
        assert_eq!(ask(&mut card, &hex!("A020000108 30303030FFFFFFFF")).1, hex!("9000"));
        assert_eq!(ask(&mut card, &hex!("A0B0000009")).1, hex!("9000"));
        assert_eq!(ask(&mut card, &hex!("A020000208 30303030FFFFFFFF")).1, hex!("9000"));
        select(&mut card, &[0x3F00]);
        assert_eq!(ask(&mut card, &hex!("A020000208 31313131FFFFFFFF")).1, hex!("9804"));
        let described = select(&mut card, &[0x3F00]);
        assert_eq!(described[18..22], hex!("838A 828A"));
        assert_eq!(card.transmit(&hex!("00A4040C07A0000000871002")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00200081")), hex!("63C2"), "the same counter");
    }
}

#[test]
fn a_switch_turns_it_off() {
    let mut description = Uicc::new(package(&subscriber()), NOW);
    description.card.gsm = false;
    let mut card = personalise::uicc(&description).unwrap().insert(Box::new(ChaCha::from_number(1)));
    card.reset();
    assert_eq!(card.transmit(&hex!("A0A40000023F00")), hex!("6E00"));
    assert_eq!(card.transmit(&hex!("00A4000C027F20")), hex!("6A82"), "nor are there files of a SIM");
}

/// Under other classes a profile of an eUICC has the files of its package, and no others.
#[test]
fn a_profile_shows_the_files_of_a_sim_to_a_sim_only() {
    let mut card = euicc(&subscriber());
    select(&mut card, &[0x3F00, 0x7F20, 0x6F07]);
    assert_eq!(card.transmit(&hex!("00B0000001")), hex!("089000"), "what is current is current");
    assert_eq!(card.transmit(&hex!("00A4000C023F00")), hex!("9000"));
    assert_eq!(card.transmit(&hex!("00A4000C027F20")), hex!("6A82"));
    assert_eq!(card.transmit(&hex!("00A4080C027F20")), hex!("6A82"));
    assert_eq!(card.transmit(&hex!("00A4000C027F10")), hex!("9000"), "the phonebook's directory is the package's");
    assert_eq!(card.transmit(&hex!("00A4000C026F40")), hex!("6A82"));
    select(&mut card, &[0x6F40]);
    let mut card = uicc(&subscriber());
    assert_eq!(card.transmit(&hex!("00A4080C047F206F07")), hex!("9000"));
}

/// A directory has a name where its description gives it one: whole, or the beginning of it.
#[test]
fn directories_are_selected_by_name() {
    use saip::builder::{AccessRule, AccessRules, Apdu, Ever};
    let mut named = subscriber();
    let rule = AccessRule { aid: Some("all".into()), apdu: Some(Apdu::Ever(Ever::Always)), ..AccessRule::default() };
    named.access_rules = Some(AccessRules { pkcs15: true, rules: vec![rule], ..AccessRules::default() });
    for mut card in [uicc(&named), euicc(&named)] {
        assert_eq!(card.transmit(&hex!("00A4040C0CA000000063504B43532D3135")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00A4000C025031")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00B0000008")), hex!("A706300404025207 9000"));
        assert_eq!(card.transmit(&hex!("00A4000C024310")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00B0000002")), hex!("3000 9000"), "every application");
        assert_eq!(card.transmit(&hex!("00D6000001 30")), hex!("6982"));
        assert_eq!(card.transmit(&hex!("80F20001 0E")), hex!("840CA000000063504B43532D3135 9000"));
        // By the beginning, beside an application of another name; the next one is none.
        assert_eq!(card.transmit(&hex!("00A4040C07A0000000871002")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00A4040C05A000000063")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00A4000C024300")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00A4040E05A000000063")), hex!("6A82"));
        assert_eq!(card.transmit(&hex!("00A4044C05A000000063")), hex!("6985"), "no session to end");
        assert_eq!(card.transmit(&hex!("00A4040C0DA000000063504B43532D313500")), hex!("6A82"));
        // FCP with both, and EF.DIR leads there.
        let answer = card.transmit(&hex!("00A404040CA000000063504B43532D3135"));
        let [0x61, length] = answer[..] else { panic!("{answer:02X?}") };
        let fcp = card.transmit(&[0x00, 0xC0, 0, 0, length]);
        let has = |part: &[u8]| fcp.windows(part.len()).any(|window| window == part);
        assert!(has(&hex!("83027F50")) && has(&hex!("840CA000000063504B43532D3135")));
        assert_eq!(card.transmit(&hex!("00A4080C022F00")), hex!("9000"));
        let record = card.transmit(&hex!("00B2020400"));
        let [0x6C, length] = record[..] else { panic!("{record:02X?}") };
        let record = card.transmit(&[0x00, 0xB2, 2, 4, length]);
        assert!(record.starts_with(&hex!("611C4F0CA000000063504B43532D3135")), "{record:02X?}");
    }
}

/// Android asks an LPA which of its applications are as good as the operator's, also of a profile that is not enabled.
#[test]
fn privileges_are_in_the_metadata_too() {
    use saip::builder::{AccessRule, AccessRules};
    let mut with_rules = subscriber();
    let rule = AccessRule {
        certificate: Some("abcd92cbb156b280fa4e1429a6eceeb6e5c1bfe4".into()),
        package: Some("com.google.android.apps.myapp".into()),
        permissions: Some("0000000000000001".into()),
        ..AccessRule::default()
    };
    with_rules.access_rules = Some(AccessRules { rules: vec![rule], ..AccessRules::default() });
    let mut card = euicc(&with_rules);
    assert_eq!(card.transmit(&hex!("00A4040C10A0000005591010FFFFFFFF8900000100")), hex!("9000"));
    let answer = card.transmit(&hex!("80E2910007BF2D045C02BF76"));
    let [0x61, length] = answer[..] else { panic!("{answer:02X?}") };
    let info = card.transmit(&[0x80, 0xC0, 0, 0, length]);
    // As a phone of today finds them.
    let rules = hex!(
        "BF7645E243E135C114ABCD92CBB156B280FA4E1429A6ECEEB6E5C1BFE4CA1D636F6D2E676F6F676C652E616E64726F69642E617070732E6D79617070E30ADB080000000000000001"
    );
    assert!(info.windows(rules.len()).any(|window| window == rules), "{}", hex::encode(info));
    assert_eq!(card.transmit(&hex!("00A4040009A00000015141434C00")), hex!("9000"));
    let answer = card.transmit(&hex!("80CAFF4048"));
    assert_eq!(answer[3..72], rules[3..], "the application says the same");
}
