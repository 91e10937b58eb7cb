//! Access rules in dialogue: where they stand, what they name, and the universal PIN in place of an application's.
//! TS 102 221 §9.2, §9.4, §9.5, §11.1.11.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use card_os::fs::{
    AccessReference, File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes, PinConfiguration, Puk,
    Security, Structure,
};
use card_os::nvm::MemoryNvm;
use card_os::{Card, CardProfile, DomainImage, Entropy};
use hex_literal::hex;

struct Zero;
impl Entropy for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

const PIN1: KeyReference = KeyReference::PIN_APPL_1;
const UNIVERSAL: KeyReference = KeyReference::UNIVERSAL_PIN;

/// Records of EF.ARR: 1 always, 2 PIN1, 3 the universal PIN, 4 one of them, 5 both, 6 by instruction, 7 by header.
fn arr_records() -> Vec<u8> {
    let rules: [&[u8]; 7] = [
        &hex!("8001139000"),
        &hex!("800113 A406830101950108"),
        &hex!("800113 A406830111950108"),
        &hex!("800113 A010 A406830101950108 A406830111950108"),
        &hex!("800113 A406830101950108 A406830111950108"),
        // READ BINARY always, UPDATE BINARY PIN1, DEACTIVATE always, ACTIVATE PIN1, the rest never.
        &hex!("8402 B004 9000  8402 D644 A406830101950108 80017F9700"),
        // READ BINARY of offset 1, UPDATE BINARY of offset 1 with CLA 00, READ RECORD by absolute number.
        &hex!("8703 B00001 9000 8F04 00D60001 9000 8502 B204 9000"),
    ];
    rules.iter().flat_map(|rule| rule.iter().copied().chain(core::iter::repeat(0xFF)).take(30)).collect()
}

fn pin(value: [u8; 8]) -> Pin {
    Pin {
        value: value.into(),
        enabled: true,
        replaced: false,
        attributes: PinAttributes(7),
        tries: 3,
        maximum_tries: 3,
        unblocking: Some(KeyReference(1)),
    }
}

/// EFs 6F01 to 6F07 under the MF with the records of their number; 6F11 PIN1 in SE 01 and the universal PIN in SE 00, 6F12
/// always in SE 00 only, 6F13 with rules of its own in expanded and 6F14 in compact format, 6F15 of records with rule 7.
fn image(with_universal_pin: bool) -> DomainImage {
    let record = |record| Security::from(AccessReference { arr: FileId::MF_ARR, record });
    let by_se = |records: &[(u8, u8)]| Security::ArrBySe { arr: FileId::MF_ARR, records: records.to_vec() };
    let mut image = DomainImage::new();
    let mf = FileNumber::MF;
    let shown = vec![PIN1.0, UNIVERSAL.0];
    image.add_file(File { pin_status: shown, ..File::new(FileId::MF, mf, FileKind::Mf, record(1)) }, vec![]).unwrap();
    let arr = FileKind::Ef(Structure::LinearFixed { record_length: 30, records: 7 });
    image.add_file(File::new(FileId::MF_ARR, mf, arr, record(1)), arr_records()).unwrap();
    let two = FileKind::Ef(Structure::Transparent { size: 2 });
    let mut ef = |fid, security| image.add_file(File::new(FileId(fid), mf, two, security), vec![1, 2]).unwrap();
    for number in 1..=7_u8 {
        ef(0x6F00 | u16::from(number), record(number));
    }
    ef(0x6F11, by_se(&[(0x01, 2), (0x00, 3)]));
    ef(0x6F12, by_se(&[(0x00, 1)]));
    ef(0x6F13, Security::Expanded(hex!("800101 A406830101950108 A406830111950108").to_vec()));
    ef(0x6F14, Security::Compact(hex!("03 10 00").to_vec()));
    let records = FileKind::Ef(Structure::LinearFixed { record_length: 1, records: 2 });
    image.add_file(File::new(FileId(0x6F15), mf, records, record(7)), vec![1, 2]).unwrap();
    let puk = Puk { value: (*b"11111111").into(), tries: 10, maximum_tries: 10 };
    image.add_pin(mf, PinConfiguration::Puk(PIN1, puk));
    image.add_pin(mf, PinConfiguration::Pin(PIN1, pin(*b"0000\xFF\xFF\xFF\xFF")));
    image.add_pin(mf, PinConfiguration::Pin(KeyReference::ADM1, pin(*b"55555555")));
    if with_universal_pin {
        image.add_pin(mf, PinConfiguration::Pin(UNIVERSAL, pin(*b"1111\xFF\xFF\xFF\xFF")));
    }
    image
}

fn card(image: DomainImage) -> Card {
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image, vec![], None).unwrap();
    let mut card = Card::new(CardProfile::default(), Box::new(nvm), Box::new(Zero), |_| None);
    card.reset();
    card
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Lines of `command > response`, in hexadecimal, spaces free.
fn dialogue(card: &mut Card, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once('>').expect("command > response");
        let answer = card.transmit(&bytes(command));
        assert_eq!(format!("{answer:02X?}"), format!("{:02X?}", bytes(expected)), "{line}");
    }
}

/// Which of these files READ BINARY opens.
fn readable(card: &mut Card, files: &[u16]) -> Vec<u16> {
    let mut opens = |fid: &u16| {
        let select = [&hex!("00A4000C02")[..], &fid.to_be_bytes()].concat();
        assert_eq!(card.transmit(&select), hex!("9000"));
        let answer = card.transmit(&hex!("00B0000001"));
        let opened = answer.ends_with(&hex!("9000"));
        assert!(opened || answer == hex!("6982"), "{answer:02X?}");
        opened
    };
    files.iter().copied().filter(|fid| opens(fid)).collect()
}

const ALL: [u16; 9] = [0x6F01, 0x6F02, 0x6F03, 0x6F04, 0x6F05, 0x6F11, 0x6F12, 0x6F13, 0x6F14];
const VERIFY_PIN1: &str = "0020000108 30303030FFFFFFFF > 9000";
const VERIFY_UNIVERSAL: &str = "0020001108 31313131FFFFFFFF > 9000";

/// The table of TS 102 221 §9.2.7 and §9.5.1: which PIN is asked for, in which security environment, and what the PIN status
/// template says.
#[test]
fn the_universal_pin_replaces_an_applications() {
    let mut card = card(image(true));
    let status = |card: &mut Card| {
        let fcp = card.transmit(&[&hex!("80F20000")[..], &[0x2E]].concat());
        bytes(&format!("{fcp:02X?}")).windows(3).position(|tag| tag == hex!("C60C90")).map(|at| {
            let fcp = &fcp[at..];
            (fcp[4], fcp[10])
        })
    };
    // Enabled: SE 01.
    assert_eq!(readable(&mut card, &ALL), [0x6F01, 0x6F14]);
    dialogue(&mut card, VERIFY_PIN1);
    assert_eq!(readable(&mut card, &ALL), [0x6F01, 0x6F02, 0x6F04, 0x6F11, 0x6F14]);
    dialogue(&mut card, VERIFY_UNIVERSAL);
    assert_eq!(readable(&mut card, &ALL), [0x6F01, 0x6F02, 0x6F03, 0x6F04, 0x6F05, 0x6F11, 0x6F13, 0x6F14]);
    dialogue(&mut card, "00A4000C > 9000");
    assert_eq!(status(&mut card), Some((0xC0, 0x00)));

    // Replaced: SE 00, also after a reset; what named PIN1 asks for the universal PIN.
    dialogue(&mut card, "0026910108 30303030FFFFFFFF > 9000");
    card.reset();
    assert_eq!(readable(&mut card, &ALL), [0x6F01, 0x6F12, 0x6F14]);
    dialogue(
        &mut card,
        "0020000108 30303030FFFFFFFF > 6984
         002400011030303030FFFFFFFF 32323232FFFFFFFF > 6984
         0026910108 30303030FFFFFFFF > 6984",
    );
    dialogue(&mut card, VERIFY_UNIVERSAL);
    assert_eq!(readable(&mut card, &ALL), ALL);
    dialogue(&mut card, "00A4000C > 9000");
    assert_eq!(status(&mut card), Some((0x40, 0x08)));

    // Enabled again.
    dialogue(&mut card, "0028000108 30303030FFFFFFFF > 9000");
    card.reset();
    dialogue(&mut card, VERIFY_UNIVERSAL);
    assert_eq!(readable(&mut card, &ALL), [0x6F01, 0x6F03, 0x6F04, 0x6F14]);
    assert_eq!(status(&mut card), Some((0xC0, 0x00)));

    // Disabled, the universal PIN enabled but not used: SE 01, nothing is asked for PIN1.
    dialogue(&mut card, "0026000108 30303030FFFFFFFF > 9000");
    card.reset();
    assert_eq!(readable(&mut card, &ALL), [0x6F01, 0x6F02, 0x6F04, 0x6F11, 0x6F14]);
    assert_eq!(status(&mut card), Some((0x40, 0x00)));

    // Both disabled: SE 00.
    dialogue(&mut card, "0026001108 31313131FFFFFFFF > 9000");
    card.reset();
    assert_eq!(readable(&mut card, &ALL), ALL);
    assert_eq!(status(&mut card), Some((0x00, 0x00)));
}

/// The usage qualifier tells whether the universal PIN is to be verified at all, so that it counts for every PIN that a
/// directory shows, not for the first alone: TS 102 221 §9.5.2 has one for the universal PIN, and the table of §9.2.7 wants it
/// `08` where it stands in for a PIN. Which environment is current goes by the application's PIN, the first, as before.
#[test]
fn the_usage_qualifier_is_of_all_pins_shown() {
    let shown = vec![0x01, 0x02, 0x03, 0x11];
    let mut image = image(true);
    image.file_mut(FileNumber::MF).unwrap().pin_status = shown;
    let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
    let only = File { pin_status: vec![0x01, 0x11], ..File::new(FileId(0x7F10), FileNumber::MF, FileKind::Df, rule) };
    image.add_file(only, vec![]).unwrap();
    for reference in [2, 3] {
        image.add_pin(FileNumber::MF, PinConfiguration::Pin(KeyReference(reference), pin(*b"0000\xFF\xFF\xFF\xFF")));
    }
    let mut card = card(image);
    let status = |card: &mut Card, select: &str| {
        dialogue(card, &format!("00A4000C02 {select} > 9000"));
        let length = card.transmit(&hex!("80F2000001"))[1];
        let fcp = card.transmit(&[0x80, 0xF2, 0, 0, length]);
        let at = fcp.windows(3).position(|tag| tag[0] == 0xC6 && tag[2] == 0x90).unwrap();
        fcp[at + 2..fcp.len() - 2].to_vec()
    };
    for second in [2_u8, 3] {
        assert_eq!(status(&mut card, "3F00"), hex!("9001F0 830101 830102 830103 950100 830111"));
        dialogue(&mut card, &format!("002691{second:02X}08 30303030FFFFFFFF > 9000"));
        let enabled = 0xF0 & !(0x80 >> (second - 1));
        assert_eq!(
            status(&mut card, "3F00"),
            [&[0x90, 0x01, enabled][..], &hex!("830101 830102 830103 950108 830111")].concat()
        );
        assert_eq!(status(&mut card, "7F10"), hex!("9001C0 830101 950100 830111"), "a PIN that it does not show");
        dialogue(&mut card, &format!("002800{second:02X}08 30303030FFFFFFFF > 9000"));
        // Disabled and not replaced.
        dialogue(&mut card, &format!("002600{second:02X}08 30303030FFFFFFFF > 9000"));
        assert_eq!(
            status(&mut card, "3F00"),
            [&[0x90, 0x01, enabled][..], &hex!("830101 830102 830103 950100 830111")].concat()
        );
        dialogue(&mut card, &format!("002800{second:02X}08 30303030FFFFFFFF > 9000"));
    }
}

/// P1 of DISABLE PIN, TS 102 221 §11.1.11.2.
#[test]
fn what_replaces_what() {
    let mut card = card(image(true));
    for p1 in (0..=0xFF_u8).filter(|p1| !matches!(p1, 0x00 | 0x91)) {
        let disable = [&[0x00, 0x26, p1, 0x01, 8][..], b"0000\xFF\xFF\xFF\xFF"].concat();
        assert_eq!(card.transmit(&disable), hex!("6A86"), "{p1:02X}");
    }
    dialogue(
        &mut card,
        "0026911108 31313131FFFFFFFF > 6A86
         0026910A08 3535353535353535 > 6A86
         0026910208 30303030FFFFFFFF > 6A88
         0028910108 30303030FFFFFFFF > 6A86
         00269101 > 6700
         0026910107 30303030FFFFFF > 6700
         0026910108 31303030FFFFFFFF > 63C2
         0026910108 30303030FFFFFFFF > 9000
         # a PIN unblocked is enabled and asked for itself
         002C000110 3131313131313131 33333333FFFFFFFF > 9000
         0020000108 33333333FFFFFFFF > 9000
         00A4000C02 6F11 > 9000
         00B0000001 > 01 9000",
    );
    dialogue(&mut self::card(image(false)), "0026910108 30303030FFFFFFFF > 6A88");
}

/// ISO/IEC 7816-4 §5.4.3.2: two conditions behind one access mode must both hold, wherever the rule stands.
#[test]
fn all_conditions_of_a_rule_must_hold() {
    for first in [VERIFY_PIN1, VERIFY_UNIVERSAL] {
        let mut card = card(image(true));
        dialogue(&mut card, first);
        assert_eq!(readable(&mut card, &[0x6F05, 0x6F13]), []);
        dialogue(&mut card, VERIFY_PIN1);
        dialogue(&mut card, VERIFY_UNIVERSAL);
        assert_eq!(readable(&mut card, &[0x6F05, 0x6F13]), [0x6F05, 0x6F13]);
    }
}

/// Access modes `81` to `8F` name commands by their header.
#[test]
fn rules_name_commands() {
    let mut card = card(image(true));
    dialogue(
        &mut card,
        "00A4000C02 6F06 > 9000
         00B0000001 > 01 9000
         00D6000001 05 > 6982
         00040000 > 9000
         00440000 > 6982
         0070000001 > 01 9000
         # the channel is no part of what is done
         0020000108 30303030FFFFFFFF > 9000
         00440000 > 9000
         01A4000C02 6F06 > 9000
         01D6000001 05 > 9000
         # with parameters
         00A4000C02 6F07 > 9000
         00B0000001 > 6982
         00B0000101 > 02 9000
         00D6000001 05 > 6982
         00D6000101 05 > 9000
         01A4000C02 6F07 > 9000
         01D6000101 06 > 9000
         00A4000C02 6F15 > 9000
         00B2010401 > 01 9000
         00B2020401 > 02 9000
         00B2000201 > 6982
         00A2010401 01 > 6982",
    );
}
