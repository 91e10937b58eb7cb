//! File administration in dialogue: TS 102 222. What is created, deleted, resized, terminated; what is refused and leaves no
//! trace; power cuts; what other channels have current. And SUSPEND UICC, TS 102 221 §11.1.22.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use apdu::Aid;
use card_os::fs::{
    AccessReference, File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes, PinConfiguration, Structure,
};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{
    ApplicationKind, ApplicationRecord, Card, CardProfile, DomainId, DomainImage, Entropy, NewApplication, Privileges,
};
use hex_literal::hex;
use std::sync::{Arc, Mutex};

struct Counting(u8);
impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

const MEMORY: usize = 8_000;

/// MF, where everyone may do everything; DF 7F10, where ADM1 creates and deletes and nobody deletes the DF; in it EF 6F01, whose
/// rule says nothing of DELETE, EF 6F02, which ADM1 deletes, and EF 6F03, which nobody does; EF.UMPC; an ADF.
fn image() -> DomainImage {
    let rule = |record| AccessReference { arr: FileId::MF_ARR, record };
    let arr: Vec<u8> = [
        &hex!("80017F 9000 8401D4 9000 8401FE 9000")[..],
        &hex!("80013F A40683010A950108 800140 9700 8401D4 A40683010A950108"),
        &hex!("800103 9000"),
        &hex!("800103 9000 800178 A40683010A950108 8401D4 A40683010A950108"),
        &hex!("800103 9000 800178 9700"),
    ]
    .iter()
    .flat_map(|rule| rule.iter().copied().chain(core::iter::repeat(0xFF)).take(40))
    .collect();
    let mut image = DomainImage::new();
    let mf = FileNumber::MF;
    image.add_file(File::new(FileId::MF, mf, FileKind::Mf, rule(1)), vec![]).unwrap();
    let records = FileKind::Ef(Structure::LinearFixed { record_length: 40, records: 5 });
    image.add_file(File::new(FileId::MF_ARR, mf, records, rule(1)), arr).unwrap();
    let telecom = image.add_file(File::new(FileId(0x7F10), mf, FileKind::Df, rule(2)), vec![]).unwrap();
    let two = FileKind::Ef(Structure::Transparent { size: 2 });
    for (fid, record) in [(0x6F01, 3), (0x6F02, 4), (0x6F03, 5)] {
        image.add_file(File::new(FileId(fid), telecom, two, rule(record)), vec![1, 2]).unwrap();
    }
    let umpc = FileKind::Ef(Structure::Transparent { size: 5 });
    let umpc = File { sfi: Some(8), ..File::new(FileId(0x2F08), mf, umpc, rule(1)) };
    image.add_file(umpc, hex!("3C3C020000").to_vec()).unwrap();
    let aid = Aid::new(&hex!("A0000000871002")).unwrap();
    let adf = File { pin_status: vec![1], ..File::new(FileId(0x7FD0), mf, FileKind::Adf(aid), rule(1)) };
    let adf = image.add_file(adf, vec![]).unwrap();
    image.add_file(File { sfi: Some(7), ..File::new(FileId(0x6F07), adf, two, rule(1)) }, vec![7, 7]).unwrap();
    let record = ApplicationRecord {
        aid,
        kind: ApplicationKind(0x10),
        adf: Some(adf),
        life_cycle: 7,
        privileges: Privileges::NONE,
    };
    image.add_application(NewApplication { record, parameters: vec![], data: vec![] });
    let pin = |value: [u8; 8]| Pin {
        value: value.into(),
        enabled: true,
        replaced: false,
        attributes: PinAttributes(7),
        tries: 3,
        maximum_tries: 3,
        unblocking: None,
    };
    image.add_pin(mf, PinConfiguration::Pin(KeyReference(1), pin(hex!("31323334FFFFFFFF"))));
    image.add_pin(mf, PinConfiguration::Pin(KeyReference::ADM1, pin(hex!("3838383838383838"))));
    image
}

const VERIFY_ADM1: &str = "0020000A08 3838383838383838 > 9000";

fn formatted() -> MemoryNvm {
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, DomainImage::new(), vec![image()], Some(DomainId(1))).unwrap();
    memory
}

fn card_on(nvm: Box<dyn Nvm>) -> Card {
    let profile = CardProfile { non_volatile_memory: MEMORY, ..CardProfile::default() };
    let mut card = Card::new(profile, nvm, Box::new(Counting(0)), |_| None);
    card.reset();
    card
}

fn card() -> Card {
    card_on(Box::new(formatted()))
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn digits(bytes: &[u8]) -> String {
    format!("{bytes:02X?}").replace(['[', ']', ',', ' '], "")
}

fn dialogue(card: &mut Card, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once('>').expect("command > response");
        let answer = card.transmit(&bytes(command));
        assert_eq!(format!("{answer:02X?}"), format!("{:02X?}", bytes(expected)), "{line}");
    }
}

/// All that lies in a memory.
fn contents(nvm: &dyn Nvm) -> Vec<(Key, Vec<u8>)> {
    let all = nvm.keys(Key::from_u64(0)..=Key::from_u64(u64::MAX));
    all.into_iter().map(|key| (key, nvm.get(key).unwrap().to_vec())).collect()
}

/// CREATE FILE with these objects in the template.
fn create(objects: &str) -> Vec<u8> {
    with_template(&hex!("00E00000"), objects)
}

fn resize(p1: u8, objects: &str) -> Vec<u8> {
    with_template(&[0x80, 0xD4, p1, 0], objects)
}

fn with_template(header: &[u8], objects: &str) -> Vec<u8> {
    let objects = bytes(objects);
    let length = u8::try_from(objects.len()).unwrap();
    let template = if length < 0x80 { vec![0x62, length] } else { vec![0x62, 0x81, length] };
    let data = [template, objects].concat();
    [header, &[u8::try_from(data.len()).unwrap()], &data].concat()
}

/// The FCP that SELECT answers for a file below the current directory.
fn fcp(card: &mut Card, fid: u16) -> String {
    let [high, low] = fid.to_be_bytes();
    let announced = card.transmit(&[0x00, 0xA4, 0x00, 0x04, 0x02, high, low]);
    assert!(matches!(announced[0], 0x61 | 0x62), "{announced:02X?}");
    // A warning comes first, and does not say how much there is.
    let length = card.transmit(&hex!("00C0000000"))[1];
    let answer = card.transmit(&[0x00, 0xC0, 0, 0, length]);
    digits(&answer)
}

/// What pySim, the API tests of ETSI and SIMple-ID send, and what is on the card afterwards.
#[test]
fn files_as_clients_create_them() {
    for (objects, fcp_then) in [
        ("82023821 83021234 8A0105 8B032F0601", None),
        (
            "82050221000A0A 83024321 8A0105 8B032F0601 80020064 8800",
            Some("621982050221000A0A830243218A01058B032F06018002006488009000"),
        ),
        (
            "82020121 83025678 8A0105 8B032F0601 80020017 8800",
            Some("62168202012183025678 8A01058B032F0601 80020017 88009000"),
        ),
        (
            "82024121 83026F29 8A0105 8B032F0601 80020010 8800",
            Some("6216820241218302 6F29 8A01058B032F0601 80020010 88009000"),
        ),
        (
            "820442210001 83026F2A 8A0105 8B032F0601 80020001 8800",
            Some("6219 82054221000101 83026F2A 8A0105 8B032F0601 80020001 8800 9000"),
        ),
        (
            "820446210003 83026F2B 8A0105 8B032F0601 80020003 8800",
            Some("6219 82054621000301 83026F2B 8A0105 8B032F0601 80020003 8800 9000"),
        ),
        (
            "82044621007F 83022C7F 8A0105 8B032F0601 8002007F 8800",
            Some("6219 82054621007F01 83022C7F 8A0105 8B032F0601 8002007F 8800 9000"),
        ),
        (
            "820442210 00A 83024F20 8A0105 8B032F0602 80020028 8800",
            Some("6219 82054221000A04 83024F20 8A0105 8B032F0602 80020028 8800 9000"),
        ),
        (
            "82054221001C02 83026F40 8A0105 8B036F0604 80020038 880158",
            Some("621A 82054221001C02 83026F40 8A0105 8B036F0604 80020038 880158 9000"),
        ),
    ] {
        let mut card = card();
        let command = create(objects);
        assert_eq!(card.transmit(&command), hex!("9000"), "{objects}");
        let at = command.windows(2).position(|object| object == hex!("8302")).unwrap() + 2;
        let fid = u16::from_be_bytes([command[at], command[at + 1]]);
        let selected = if fcp_then.is_some() { fcp(&mut card, fid) } else { String::new() };
        assert_eq!(selected, fcp_then.unwrap_or_default().replace(' ', ""), "{objects}");
        assert_eq!(card.transmit(&command), hex!("6A89"), "there already: {objects}");
        // And after a reset.
        card.reset();
        let [high, low] = fid.to_be_bytes();
        assert_eq!(card.transmit(&[0, 0xA4, 0, 0x0C, 2, high, low]), hex!("9000"), "{objects}");
    }
}

/// The new file is current: an EF in its directory, a DF itself; its content is `FF`, or the pattern.
#[test]
fn what_is_created_is_current_and_filled() {
    let mut card = card();
    dialogue(
        &mut card,
        "00E0000018 6216 82024121 83026F29 8A0105 8B032F0601 80020003 8800 > 9000
         00B0000003 > FFFFFF 9000
         00D6000003 010203 > 9000
         00B0000003 > 010203 9000
         # A record that is the last one created.
         00E000001A 6218 820446210002 83026F2B 8A0105 8B032F0601 80020006 8800 > 9000
         00B2000402 > FFFF 9000
         00E000001A 6218 820442210002 83026F2C 8A0105 8B032F0601 80020006 8800 > 9000
         00B2000402 > 6A83
         00B2000202 > FFFF 9000
         # Into a new directory.
         00E0000012 6210 82027821 83025F01 8A0105 8B032F0601 > 9000
         00E0000018 6216 82024121 83024F01 8A0105 8B032F0601 80020001 8800 > 9000
         00B0000001 > FF 9000
         00A4080C04 5F014F01 > 9000
         00A4080C06 5F014F014F01 > 6A82",
    );
    for (structure, info, content) in [
        ("82024121 8001 05", "C103 010203", "0102030303"),
        ("82024121 8001 05", "C203 010203", "0102030102"),
        ("82024121 8001 02", "C103 010203", "0102"),
        ("820442210003 8001 06", "C102 0102", "010202010202"),
        ("820442210003 8001 06", "C202 0102", "010201010201"),
        ("820446210002 8001 04", "C101 00", "00000000"),
    ] {
        let mut card = self::card();
        let info = bytes(info);
        let objects = format!("{structure} 83026F30 8A0105 8B032F0601 A5{:02X}{}", info.len(), digits(&info));
        assert_eq!(card.transmit(&create(&objects)), hex!("9000"), "{objects}");
        let held = contents(card.nvm());
        assert!(held.iter().any(|(_, value)| *value == bytes(content)), "{objects}");
    }
}

/// Every object of the template. TS 102 222 tables 3 to 5.
#[test]
fn objects_of_the_template() {
    for (objects, shown) in [
        // Access rules in compact and expanded format, by security environment.
        ("82024121 83026F30 8A0105 8C020300 80020002 8800", None),
        (
            "82024121 83026F30 8A0105 8C03031000 80020002 8800",
            Some("82024121 83026F30 8A0105 8C03031000 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0105 AB058001039000 80020002 8800",
            Some("82024121 83026F30 8A0105 AB058001039000 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0105 8B062F0601010001 80020002 8800",
            Some("82024121 83026F30 8A0105 8B062F0601010001 80020002 8800 9000"),
        ),
        // Any order; sizes of one to four bytes; the short identifier given, implied, none.
        (
            "8800 80020002 8B032F0601 8A0105 83026F30 82024121",
            Some("82024121 83026F30 8A0105 8B032F0601 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0105 8B032F0601 80040000 0002 8800",
            Some("82024121 83026F30 8A0105 8B032F0601 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0105 8B032F0601 80020002",
            Some("82024121 83026F30 8A0105 8B032F0601 80020002 880180 9000"),
        ),
        (
            "82024121 83026F20 8A0105 8B032F0601 80020002",
            Some("82024121 83026F20 8A0105 8B032F0601 80020002 8800 9000"),
        ),
        (
            "82024121 83026F28 8A0105 8B032F0601 80020002",
            Some("82024121 83026F28 8A0105 8B032F0601 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0105 8B032F0601 80020002 8801F0",
            Some("82024121 83026F30 8A0105 8B032F0601 80020002 8801F0 9000"),
        ),
        // Life cycles.
        (
            "82024121 83026F30 8A0101 8B032F0601 80020002 8800",
            Some("82024121 83026F30 8A0101 8B032F0601 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0103 8B032F0601 80020002 8800",
            Some("82024121 83026F30 8A0103 8B032F0601 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0107 8B032F0601 80020002 8800",
            Some("82024121 83026F30 8A0107 8B032F0601 80020002 8800 9000"),
        ),
        (
            "82024121 83026F30 8A0104 8B032F0601 80020002 8800",
            Some("82024121 83026F30 8A0104 8B032F0601 80020002 8800 9000"),
        ),
        // Proprietary information: what the card keeps as it is, and what is its own to say.
        ("82024121 83026F30 A50F C00140 D2010F D00120 80018F 84010F 8A0105 8B032F0601 80020002 8800", None),
        (
            "82024121 83026F30 A509 C00140 D2010F D00120 8A0105 8B032F0601 80020002 8800",
            Some("82024121 83026F30 A509 C00140 D2010F D00120 8A0105 8B032F0601 80020002 8800 9000"),
        ),
        // BER-TLV: what is set aside, and what it may come to hold.
        (
            "82027921 83026F30 A508 85020010 86020040 8A0105 8B032F0601 8800",
            Some("82027921 83026F30 A50B 840101 85020010 86020040 8A0105 8B032F0601 80020040 8800 9000"),
        ),
        (
            "82023921 83026F30 8A0105 8B032F0601 80020040 8800",
            Some("82023921 83026F30 A50B 840101 85020040 86020040 8A0105 8B032F0601 80020040 8800 9000"),
        ),
        // Directories.
        (
            "82027821 83025F01 8A0105 8B036F0601 81020030 C606 900180 830101",
            Some("82027821 83025F01 A509 800171 830400000030 8A0105 8B036F0601 C606 900180 830101 81020030 9000"),
        ),
        ("82023821 83025F01 8A0105 AB058001FF9000 A503D20101", None),
    ] {
        let mut card = card();
        assert_eq!(card.transmit(&create(objects)), hex!("9000"), "{objects}");
        let Some(shown) = shown else { continue };
        let at = shown.find("8302").unwrap() + 4;
        let fid = u16::from_str_radix(&shown[at..at + 4], 16).unwrap();
        assert_eq!(fcp(&mut card, fid)[4..], shown.replace(' ', ""), "{objects}");
        card.reset();
        assert_eq!(fcp(&mut card, fid)[4..], shown.replace(' ', ""), "after a reset: {objects}");
    }
}

/// A refused CREATE leaves tree and memory as before, whatever was wrong with it.
#[test]
fn refused_creations() {
    const EF: &str = "82024121 83026F30 8A0105 8B032F0601 80020002 8800";
    let mut card = card();
    let before = contents(card.nvm());
    let mut refused = |command: Vec<u8>, sw: [u8; 2]| {
        assert_eq!(card.transmit(&command), sw, "{command:02X?}");
        assert_eq!(contents(card.nvm()), before, "{command:02X?}");
        assert_eq!(card.transmit(&hex!("00A4000C026F30")), hex!("6A82"), "{command:02X?}");
        assert_eq!(card.transmit(&hex!("80F2000C")), hex!("9000"));
    };
    for (header, sw) in
        [(hex!("00E00100"), hex!("6A86")), (hex!("00E00001"), hex!("6A86")), (hex!("80E00000"), hex!("6E00"))]
    {
        refused(with_template(&header, EF), sw);
    }
    refused(hex!("00E00000").to_vec(), hex!("6700"));
    refused(hex!("00E0000004 42424242").to_vec(), hex!("6A80"));
    refused(hex!("00E0000002 6200").to_vec(), hex!("6A80"));
    refused(hex!("00E0000003 620100").to_vec(), hex!("6A80"));
    refused(hex!("00E0000001 62").to_vec(), hex!("6A80"));
    // Too short, and more behind it.
    let mut long = create(EF);
    long[6] -= 1;
    refused(long.clone(), hex!("6A80"));
    long[6] += 2;
    refused(long, hex!("6A80"));
    for (objects, sw) in [
        // What is missing.
        ("83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83026F30 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601", hex!("6A80")),
        ("820442210002 83026F30 8A0105 8B032F0601", hex!("6A80")),
        ("82027921 83026F30 8A0105 8B032F0601", hex!("6A80")),
        // What is there twice, or not known.
        ("82024121 82024121 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 8C020300 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 9F010100", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 A506C10101C20101", hex!("6A80")),
        // Descriptors.
        ("820141 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("8200 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024021 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("8202C121 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024421 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024221 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("820441210002 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("8203422102 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("820442210000 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("820442210100 83026F30 8A0105 8B032F0601 80020100", hex!("6A80")),
        ("820442210004 83026F30 8A0105 8B032F0601 80020006", hex!("6A80")),
        ("82054221000203 83026F30 8A0105 8B032F0601 80020004", hex!("6A80")),
        ("820442210001 83026F30 8A0105 8B032F0601 800200FF", hex!("6A80")),
        // Sizes.
        ("82024121 83026F30 8A0105 8B032F0601 80020000", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 8000", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80050000000002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 8002FFFF", hex!("6A84")),
        ("82024121 83026F30 8A0105 8B032F0601 8004FFFFFFFF", hex!("6A84")),
        ("82027921 83026F30 A508 85020040 86020010 8A0105 8B032F0601", hex!("6A80")),
        ("82027921 83026F30 A508 85024000 86024000 8A0105 8B032F0601", hex!("6A84")),
        ("82024121 83026F30 A504 85020040 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82027821 83026F30 8A0105 8B032F0601 81024000", hex!("6A84")),
        ("82027821 83026F30 8A0105 8B032F0601 81020000", hex!("6A80")),
        // Names: taken, reserved, of no form.
        ("82024121 83022F06 8A0105 8B032F0601 80020002", hex!("6A89")),
        ("82024121 83027F10 8A0105 8B032F0601 80020002", hex!("6A89")),
        ("82027821 83022F06 8A0105 8B032F0601", hex!("6A89")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 880140", hex!("6A89")),
        ("82024121 83023F00 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83027FFF 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83023FFF 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 8302FFFF 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83020000 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83016F 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 880100", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 8801F8", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 880142", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 88024040", hex!("6A80")),
        // Life cycles and rules.
        ("82024121 83026F30 8A010C 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0100 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83026F30 8A020505 8B032F0601 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B022F06 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B052F06010100 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 8C00 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 AB00 80020002", hex!("6A80")),
        ("82024121 83026F30 8A0105 AB048001039F 80020002", hex!("6A80")),
        // What only the other kind of file has.
        ("82024121 83026F30 8A0105 8B032F0601 80020002 C603900100", hex!("6A80")),
        ("82024121 83026F30 8A0105 8B032F0601 80020002 8405A000000001", hex!("6A80")),
        ("82027821 83026F30 8A0105 8B032F0601 80020002", hex!("6A80")),
        ("82027821 83026F30 8A0105 8B032F0601 8800", hex!("6A80")),
        ("82027821 83026F30 8A0105 8B032F0601 A503C10100", hex!("6A80")),
        ("82027821 83026F30 8A0105 8B032F0601 C603830101", hex!("6A80")),
        ("82027821 83026F30 8A0105 8B032F0601 C60590018083 00", hex!("6A80")),
        ("82027821 83026F30 8A0105 8B032F0601 C6099001808301018301 01", hex!("6A80")),
        ("82027821 83026F30 8404A0000000 8A0105 8B032F0601", hex!("6A80")),
        ("82027821 83026F30 8407A0000000871002 8A0105 8B032F0601", hex!("6A8A")),
    ] {
        refused(create(objects), sw);
    }
    // No right to create; then with the right, a name from above.
    let mut card = self::card();
    dialogue(
        &mut card,
        "00A4000C02 7F10 > 9000
         00E0000018 6216 82024121 83026F30 8A0105 8B032F0601 80020002 8800 > 6982
         00E0000012 6210 82027821 83026F30 8A0105 8B032F0601 > 6982",
    );
    dialogue(
        &mut card,
        &format!(
            "{VERIFY_ADM1}
             00E0000012 6210 82027821 83027F10 8A0105 8B032F0601 > 6A89
             00E0000019 6217 82027821 83025F30 8405A000000001 8A0105 8B032F0601 > 6985
             00E0000012 6210 82027821 83025F30 8A0105 8B032F0601 > 9000
             00E0000012 6210 82027821 83027F10 8A0105 8B032F0601 > 6A89
             00E0000012 6210 82027821 83025F30 8A0105 8B032F0601 > 6A89
             00E0000012 6210 82027821 83025F31 8A0105 8B032F0601 > 9000"
        ),
    );
}

/// The rules of the file and of the directory around. TS 102 221 tables 9.4, 9.5.
#[test]
fn who_may_delete() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4000C02 7F10 > 9000
         00E4000002 6F01 > 6982
         00E4000002 6F02 > 6982
         00E4000002 6F03 > 6982",
    );
    dialogue(&mut card, VERIFY_ADM1);
    dialogue(
        &mut card,
        // Its own rule says nothing, the directory's lets ADM1; its own lets ADM1; its own says never.
        "00E4000002 6F01 > 9000
         00E4000002 6F02 > 9000
         00E4000002 6F03 > 6982
         00A4000C02 6F01 > 6A82
         00A4000C02 6F03 > 9000
         00E4000002 7F10 > 6982
         00E4000000 > 6982
         # Not from outside its directory, nor what lies around.
         00A4000C02 3F00 > 9000
         00E4000002 6F03 > 6A82
         00E4000002 3F00 > 6985
         00E4000002 7FFF > 6A82
         00E4000002 7F11 > 6A82
         00E4010002 6F03 > 6A86
         00E4000102 6F03 > 6A86
         00E4000001 6F > 6700
         00E4000004 7F106F03 > 6700
         80E4000002 6F03 > 6E00
         00E4000000 > 6985
         # The application of the ADF has its commands, the identifier is known to its maker only.
         00E4000002 7FD0 > 6985
         00A4040C07 A0000000871002 > 9000
         00E4000002 7FFF > 6985
         00E4000000 > 6985
         00A4000C02 6F07 > 9000
         00E4000000 > 9000
         00A4000C02 6F07 > 6A82
         00B0870002 > 6A82",
    );
}

/// A directory goes with all below it, and where it was current the one around is.
#[test]
fn a_directory_with_all_below_it() {
    const MADE: &str = "00E0000012 6210 82027821 83025F01 8A0105 8B032F0601 > 9000
         00E0000018 6216 82024121 83024F01 8A0105 8B032F0605 80020004 8800 > 9000
         00E0000012 6210 82027821 83025F02 8A0105 8B032F0601 > 9000
         00E0000018 6216 82024121 83024F01 8A0105 8B032F0605 80020004 8800 > 9000";
    let mut card = card();
    let before = card.nvm().used();
    dialogue(
        &mut card,
        &format!(
            "{MADE}
             00A4000C02 3F00 > 9000
             00E4000002 5F01 > 9000
             00A4080C02 5F01 > 6A82
             00A4080C04 5F014F01 > 6A82"
        ),
    );
    assert_eq!(card.nvm().used(), before, "all the memory is back");
    // From within: the one around is current.
    dialogue(
        &mut card,
        &format!(
            "{MADE}
             00E4000002 5F02 > 9000
             00A4000C02 4F01 > 9000
             00E4000000 > 6982
             00A4000C02 5F01 > 9000
             00E4000000 > 9000
             00A4000C02 7F10 > 9000"
        ),
    );
    assert_eq!(card.nvm().used(), before);
    let kept = contents(card.nvm());
    card.reset();
    assert_eq!(contents(card.nvm()), kept);
    // A number is not given out again.
    let file = |number: u32| Key::new(card_os::nvm::Partition::File, 1, number);
    let highest = (0..64).rev().find(|number| card.nvm().get(file(*number)).is_some()).unwrap();
    dialogue(&mut card, "00E0000012 6210 82027821 83025F01 8A0105 8B032F0601 > 9000");
    assert!(card.nvm().get(file(highest + 1)).is_none());
    assert!((highest + 2..64).any(|number| card.nvm().get(file(number)).is_some()));
}

/// What another channel has current: out of reach if it is not shareable, else that channel has the directory around.
#[test]
fn what_other_channels_have_current() {
    let mut card = card();
    dialogue(
        &mut card,
        "00E0000018 6216 82020121 83026F30 8A0105 8B032F0601 80020002 8800 > 9000
         00A4000C02 3F00 > 9000
         00E0000018 6216 82024121 83026F31 8A0105 8B032F0601 80020002 8800 > 9000
         00A4000C02 3F00 > 9000
         00E0000012 6210 82027821 83025F01 8A0105 8B032F0601 > 9000
         00E0000018 6216 82020121 83024F01 8A0105 8B032F0601 80020002 8800 > 9000
         00A4000C02 3F00 > 9000
         0070000001 > 01 9000
         01A4000C02 6F30 > 9000
         00E4000002 6F30 > 6985
         80D400000A 6208 83026F30 80020004 > 6985
         00E8000002 6F30 > 6985
         0004000002 6F30 > 6985
         01A4000C02 6F31 > 9000
         00E4000002 6F30 > 9000
         # Shareable: it is gone there too.
         80D400000A 6208 83026F31 80020004 > 9000
         01B0000004 > FFFFFFFF 9000
         00E4000002 6F31 > 9000
         01B0000001 > 6986
         # Somewhere below.
         01A4080C04 5F014F01 > 9000
         00E4000002 5F01 > 6985
         01A4000C02 5F01 > 9000
         00E4000002 5F01 > 9000
         01A4000C02 7F10 > 9000",
    );
}

/// RESIZE FILE. TS 102 222 §6.10.
#[test]
fn sizes_change() {
    let mut card = card();
    dialogue(
        &mut card,
        "00E0000018 6216 82024121 83026F30 8A0105 8B032F0601 80020003 8800 > 9000
         00D6000003 010203 > 9000
         00A4000C02 3F00 > 9000
         80D400000A 6208 83026F30 80020005 > 9000
         00B0000005 > 010203FFFF 9000
         80D400000A 6208 83026F30 80020002 > 9000
         00B0000002 > 0102 9000
         00A4000C02 3F00 > 9000
         80D400000F 620D 83026F30 80020006 A503C20155 > 9000
         00B0000006 > 010255555555 9000
         00A4000C02 3F00 > 9000
         # Records come and go at the end.
         00E000001A 6218 820442210002 83026F31 8A0105 8B032F0601 80020004 8800 > 9000
         00DC010402 AAAA > 9000
         00DC020402 BBBB > 9000
         00A4000C02 3F00 > 9000
         80D400000A 6208 83026F31 80020008 > 9000
         00B2020402 > BBBB 9000
         00B2040402 > FFFF 9000
         00B2050402 > 6A83
         00A4000C02 3F00 > 9000
         80D400000A 6208 83026F31 80020002 > 9000
         00B2010402 > AAAA 9000
         00B2020402 > 6A83
         00A4000C02 3F00 > 9000
         80D400000A 6208 83026F31 80020003 > 6A80
         80D400000A 6208 83026F31 80020200 > 6A80
         # A ring has its size for good.
         00E000001A 6218 820446210002 83026F32 8A0105 8B032F0601 80020004 8800 > 9000
         00A4000C02 3F00 > 9000
         80D400000A 6208 83026F32 80020008 > 6981
         # What is wrong with it.
         80D400000A 6208 83026FFF 80020008 > 6A82
         80D400000A 6208 83026F30 80020000 > 6A80
         80D4000006 6204 83026F30 > 6A80
         80D4000006 6204 80020008 > 6A80
         80D400000D 620B 83026F30 80020008 8A0105 > 6A80
         80D400000A 6208 83026F30 81020008 > 6A80
         80D400000E 620C 83026F30 A50686040000 0010 > 6A80
         80D401000A 6208 83026F30 80020008 > 6A86
         80D402000A 6208 83026F30 80020008 > 6A86
         80D400010A 6208 83026F30 80020008 > 6A86
         80D4000000 > 6700
         80D4000004 42424242 > 6A80
         00D400000A 6208 83026F30 80020008 > 6E00
         80D400000A 6208 83026F30 80027000 > 6A84
         80D400000A 6208 83023F00 81020008 > 6985",
    );
    // By its own instruction, and nothing else, in the rule.
    dialogue(
        &mut card,
        &format!(
            "00A4000C02 7F10 > 9000
             80D400000A 6208 83026F02 80020004 > 6982
             {VERIFY_ADM1}
             80D400000A 6208 83026F03 80020004 > 6982
             80D400000A 6208 83026F02 80020004 > 9000
             00B0000004 > 0102FFFF 9000
             0004000002 6F02 > 9000
             80D400000A 6208 83026F02 80020002 > 6984
             00E8000002 6F02 > 9000
             80D400000A 6208 83026F02 80020002 > 6985"
        ),
    );
    assert!(fcp(&mut card, 0x6F02).contains("80020004"));
}

/// A BER-TLV structure EF: what it may hold, and what becomes of what it holds.
#[test]
fn sizes_of_ber_tlv_files() {
    let mut card = card();
    let objects = "82027921 83026F30 A508 85020004 86020010 8A0105 8B032F0601 8800";
    assert_eq!(card.transmit(&create(objects)), hex!("9000"));
    dialogue(
        &mut card,
        "80DB008006 8004 01020304 > 9000
         00A4000C02 3F00 > 9000
         80D400000E 620C 83026F30 A506 860400000020 > 9000
         80DB00800A 8108 0102030405060708 > 9000
         00A4000C02 3F00 > 9000
         80D400000C 620A 83026F30 A504 86020008 > 6A84
         80CB0080 01 80 > 6986
         00A4000C02 6F30 > 9000
         80CB0080 01 81 > 610A
         00A4000C02 3F00 > 9000
         80D401000C 620A 83026F30 A504 86020008 > 9000
         80CB0080 01 81 > 6A88
         80DB00800A 8108 0102030405060708 > 6A84
         00A4000C02 3F00 > 9000
         80D4000010 620E 83026F30 A508 85020020 86020010 > 6A80
         80D400000A 6208 83026F30 80020020 > 9000",
    );
    assert!(fcp(&mut card, 0x6F30).contains("A50B8401018502000486020020"), "{}", fcp(&mut card, 0x6F30));
}

/// Memory: of the card, and of a directory that has its own.
#[test]
fn memory_is_counted() {
    let mut card = card();
    let free = |card: &Card| MEMORY - card.nvm().used();
    let at_first = free(&card);
    // The MF says what is left.
    assert!(fcp(&mut card, 0x3F00).contains(&format!("8304{at_first:08X}")));
    let most = u16::try_from(at_first).unwrap();
    let ef = |fid: u16, size: u16| create(&format!("82024121 8302{fid:04X} 8A0105 8B032F0601 8002{size:04X} 8800"));
    assert_eq!(card.transmit(&ef(0x6F30, most)), hex!("6A84"), "its descriptor takes some too");
    assert_eq!(free(&card), at_first);
    assert_eq!(card.transmit(&ef(0x6F30, most - 200)), hex!("9000"));
    assert!(free(&card) < 200);
    dialogue(&mut card, "00A4000C02 3F00 > 9000");
    assert_eq!(card.transmit(&ef(0x6F31, 190)), hex!("6A84"));
    assert_eq!(card.transmit(&resize(0, &format!("83026F30 8002{most:04X}"))), hex!("6A84"));
    dialogue(&mut card, "00E4000002 6F30 > 9000");
    assert_eq!(free(&card), at_first);
    // 256 bytes for the files of a directory, taken at once.
    dialogue(&mut card, "00E0000016 6214 82027821 83025F01 8A0105 8B032F0601 81020100 > 9000");
    assert!((at_first - 340..at_first - 256).contains(&free(&card)), "{}", free(&card));
    assert!(fcp(&mut card, 0x5F01).contains("830400000100"));
    let with_df = free(&card);
    assert_eq!(card.transmit(&ef(0x4F01, 0x0101)), hex!("6A84"));
    assert_eq!(card.transmit(&ef(0x4F01, 0x00F0)), hex!("9000"));
    assert!((with_df - 60..with_df).contains(&free(&card)), "only the descriptor is new: {}", free(&card));
    dialogue(&mut card, "00A4000C02 5F01 > 9000");
    assert!(fcp(&mut card, 0x5F01).contains("830400000010"));
    assert_eq!(card.transmit(&ef(0x4F02, 0x0011)), hex!("6A84"));
    // A directory in it takes of the same, and its files do.
    dialogue(
        &mut card,
        "00E0000012 6210 82027821 83025F02 8A0105 8B032F0601 > 9000
         00E0000018 6216 82024121 83024F03 8A0105 8B032F0601 80020010 8800 > 9000
         00A4000C02 5F01 > 9000
         80D400000A 6208 83024F01 800200F1 > 6A84
         80D400000A 6208 83024F01 800200E0 > 9000
         00A4000C02 5F01 > 9000
         00E0000018 6216 82024121 83024F02 8A0105 8B032F0601 80020011 8800 > 6A84
         00E0000016 6214 82027821 83025F03 8A0105 8B032F0601 81020010 > 9000
         00E0000018 6216 82024121 83024F02 8A0105 8B032F0601 80020010 8800 > 9000
         00A4000C02 5F01 > 9000
         00E4000002 5F02 > 9000",
    );
    assert!(fcp(&mut card, 0x5F01).contains("830400000010"));
    // The directory grows, and shrinks as far as what lies in it lets it.
    dialogue(
        &mut card,
        "00A4000C02 3F00 > 9000
         80D400000A 6208 83025F01 81020120 > 9000
         00A4000C02 3F00 > 9000
         80D400000A 6208 83025F01 810200F0 > 9000
         00A4000C02 3F00 > 9000
         80D400000A 6208 83025F01 810200EF > 6A84
         80D400000A 6208 83025F01 81027000 > 6A84
         80D400000A 6208 83025F01 800200F0 > 6A80",
    );
    assert!(fcp(&mut card, 0x5F01).contains("830400000000"));
    dialogue(&mut card, "00E4000000 > 9000");
    assert_eq!(free(&card), at_first, "a deleted directory gives all of it back");
}

/// Life cycles: what may be done in which, and below a directory that is out of use.
#[test]
fn life_cycles() {
    let mut card = card();
    dialogue(
        &mut card,
        "00E0000012 6210 82027821 83025F01 8A0105 8B032F0601 > 9000
         00E0000018 6216 82024121 83024F01 8A0103 8B032F0601 80020002 880108 > 6A80
         00E0000019 6217 82024121 83024F01 8A0103 8B032F0601 80020002 880108 > 9000
         # From initialisation to operational.
         00B0000002 > FFFF 9000
         0004000000 > 6985
         0044000000 > 9000
         0004000000 > 9000
         0004000000 > 9000
         00B0000002 > 6984
         00D6000001 00 > 6984
         0044000002 4F01 > 9000
         00B0000002 > FFFF 9000
         # A directory, and all below it.
         0004000002 5F01 > 9000
         00A4000C02 4F01 > 9000
         00B0000002 > 6984
         00B0810002 > 6984
         0044000002 4F01 > 6984
         00E8000002 4F01 > 6984
         00E4000002 4F01 > 6984
         00E0000018 6216 82024121 83024F02 8A0105 8B032F0601 80020002 8800 > 6984
         00A4000C02 5F01 > 6283
         0044000002 5F01 > 9000
         00B0810002 > FFFF 9000
         # For good.
         00E6000002 4F01 > 6981
         00E8000002 4F01 > 9000
         00E8000002 4F01 > 6985
         00A4000C02 4F01 > 6285
         00B0000002 > 6985
         0004000000 > 6985
         0044000000 > 6985
         00E8000002 5F01 > 6981
         00E4000000 > 9000
         00E0000018 6216 82024121 83024F02 8A0105 8B032F0601 80020002 8800 > 9000
         00E8000000 > 9000
         00E6000000 > 9000
         00A4000C02 5F01 > 6285
         00A4000C02 4F02 > 6285
         00E4000002 4F02 > 6985
         0044000002 5F01 > 6985
         00A4000C02 3F00 > 9000
         00E8000000 > 6986
         00E6000000 > 6985
         00E6000002 3F00 > 6985
         0004000002 3F00 > 6985
         00E6010002 5F01 > 6A86
         00E8000101 5F > 6A86
         00E4000002 5F01 > 9000
         00A4000C02 5F01 > 6A82",
    );
    // What may be used while it is deactivated. TS 102 222 table 4a.
    dialogue(
        &mut card,
        "00E000001D 621B 82024121 83026F30 A503C00140 8A0105 8B032F0601 80020002 8800 > 9000
         0004000000 > 9000
         00D6000002 0102 > 9000
         00B0000002 > 0102 9000
         00A4000C02 6F30 > 6283",
    );
    // By the rules of a file.
    dialogue(
        &mut card,
        &format!(
            "00A4000C02 7F10 > 9000
             00E8000002 6F02 > 6982
             00E6000002 7F10 > 6982
             0004000002 7F10 > 6982
             {VERIFY_ADM1}
             00E8000002 6F03 > 6982
             00E8000002 6F02 > 9000
             0004000002 7F10 > 9000
             00A4000C02 6F03 > 9000
             00B0000001 > 6984
             00E6000002 7F10 > 9000
             00A4000C02 6F03 > 9000
             00B0000001 > 6985"
        ),
    );
}

/// TERMINATE CARD USAGE: nothing is left of the card, not after a reset either.
#[test]
fn the_end_of_the_card() {
    let mut card = card();
    dialogue(
        &mut card,
        "00FE000100 > 6A86
         00FE000001 00 > 6700
         80FE000000 > 6E00
         00FE000000 > 9000",
    );
    for _ in 0..2 {
        dialogue(
            &mut card,
            "00A4000C02 3F00 > 6985
             00A4040C07 A0000000871002 > 6985
             80F2000000 > 6985
             0070000001 > 6985
             00FE000000 > 6985
             00C0000001 > 6985
             A0A4000002 3F00 > 6985",
        );
        card.reset();
    }
}

/// A directory with a name: it is selected by it, in this session and after a reset.
#[test]
fn a_directory_with_a_name() {
    const ADF: &str = "00E000001A 6218 82027821 83027FD1 8406A00000009901 8A0105 8B032F0601 > 9000";
    let mut card = card();
    dialogue(
        &mut card,
        &format!(
            "00A4040C06 A00000009901 > 6A82
             {ADF}
             00E0000018 6216 82024121 83026F30 8A0105 8B032F0601 80020002 8800 > 9000
             00A4040C06 A00000009901 > 9000
             00A4080C04 7FFF6F30 > 9000
             00A4000C02 3F00 > 9000
             00E000001A 6218 82027821 83027FD2 8406A00000009901 8A0105 8B032F0601 > 6A8A
             00E000001A 6218 82027821 83027FD1 8406A00000009902 8A0105 8B032F0601 > 6A89"
        ),
    );
    card.reset();
    dialogue(
        &mut card,
        "00A4040C05 A000000099 > 9000
         80F2000108 > 8406A00000009901 9000
         00A4000C02 6F30 > 9000
         0070000001 > 01 9000
         01E4000002 7FD1 > 6985
         0070800100 > 9000
         00A4000C02 3F00 > 9000
         00E4000002 7FD1 > 6985
         00A4040C07 A0000000871002 > 9000
         00A4000C02 3F00 > 9000
         00E4000002 7FD1 > 9000
         00A4040C06 A00000009901 > 6A82",
    );
    assert!(contents(card.nvm()).iter().all(|(_, value)| !value.windows(6).any(|name| name == hex!("A00000009901"))));
    dialogue(&mut card, ADF);
}

/// Cuts the power after the n-th update of memory, for every n: each command has happened, or has not.
#[test]
fn power_cuts() {
    struct Cut {
        memory: Arc<Mutex<MemoryNvm>>,
        snapshot: MemoryNvm,
        left: usize,
    }
    impl Nvm for Cut {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.snapshot.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.snapshot.keys(range)
        }
        fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
            self.left = self.left.checked_sub(1).ok_or(NvmError)?;
            self.memory.lock().unwrap().apply(updates.clone())?;
            self.snapshot.apply(updates)
        }
        fn used(&self) -> usize {
            self.snapshot.used()
        }
    }
    let session = [
        create("82027821 83025F01 8A0105 8B032F0601 81020100"),
        create("82024121 83024F01 8A0105 8B032F0601 80020010"),
        create("820446210004 83024F02 8A0103 8B032F0601 80020010"),
        resize(0, "83024F01 80020020"),
        hex!("0044000002 4F02").to_vec(),
        hex!("0004000002 5F01").to_vec(),
        hex!("0044000002 5F01").to_vec(),
        resize(0, "83025F01 81020080"),
        hex!("00E8000002 4F01").to_vec(),
        hex!("00E4000002 4F01").to_vec(),
        hex!("00E6000002 5F01").to_vec(),
        hex!("00E4000002 5F01").to_vec(),
        create("82027821 83027FD1 8406A00000009901 8A0105 8B032F0601"),
        hex!("00A4000C023F00").to_vec(),
        hex!("00E4000002 7FD1").to_vec(),
        hex!("00FE000000").to_vec(),
    ];
    // What lies in memory after each command of a session that nothing disturbs.
    let mut card = card_on(Box::new(formatted()));
    let states: Vec<_> = core::iter::once(contents(card.nvm()))
        .chain(session.iter().map(|command| {
            assert_eq!(card.transmit(command), hex!("9000"), "{command:02X?}");
            contents(card.nvm())
        }))
        .collect();
    for allowed in 0..=session.len() {
        let memory = Arc::new(Mutex::new(formatted()));
        let snapshot = memory.lock().unwrap().clone();
        let mut card = card_on(Box::new(Cut { memory: memory.clone(), snapshot, left: allowed }));
        let done = session.iter().take_while(|command| card.transmit(command) == hex!("9000")).count();
        let left = memory.lock().unwrap().clone();
        assert_eq!(contents(&left), states[done], "{allowed}: {done} commands");
        // A card that starts with it is that card.
        let mut after = card_on(Box::new(left));
        assert_eq!(contents(after.nvm()), states[done], "{allowed}");
        let selected = after.transmit(&hex!("00A4000C025F01"));
        let there = (1..12).contains(&done);
        let expected: &[u8] = match done {
            0 => &hex!("6A82"),
            6 => &hex!("6283"),
            11 => &hex!("6285"),
            _ if there => &hex!("9000"),
            16 => &hex!("6985"),
            _ => &hex!("6A82"),
        };
        assert_eq!(selected, expected, "{allowed}: {done}");
    }
}

/// Where memory does not take what a command writes, the tree is as before.
#[test]
fn a_memory_that_fails() {
    struct Failing(MemoryNvm);
    impl Nvm for Failing {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.0.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.0.keys(range)
        }
        fn apply(&mut self, _: Vec<Update>) -> Result<(), NvmError> {
            Err(NvmError)
        }
        fn used(&self) -> usize {
            self.0.used()
        }
    }
    let mut card = card_on(Box::new(Failing(formatted())));
    dialogue(
        &mut card,
        "00A4000C02 2F08 > 9000
         00E0000018 6216 82024121 83026F30 8A0105 8B032F0601 80020003 8800 > 6581
         00B0000005 > 3C3C020000 9000
         00A4000C02 6F30 > 6A82
         00A4000C02 2F08 > 9000
         00E4000000 > 6581
         00B0000005 > 3C3C020000 9000
         80D400000A 6208 83022F08 80020006 > 6581
         00B0000005 > 3C3C020000 9000
         00FE000000 > 6581
         00A4000C02 3F00 > 9000",
    );
}

/// SUSPEND UICC: what a reset loses comes back with the token. TS 102 221 §11.1.22.
#[test]
fn suspended_and_resumed() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         0020000A08 3838383838383838 > 9000
         0070000001 > 01 9000
         01A4080C02 7F10 > 9000
         # At least ten minutes, an hour at most.
         8076000004 010A 0201 > 610A
         00C000000A > 0201 0102030405060708 9000
         # It sleeps.
         00A4000C02 3F00 > 6985
         8076000004 010A 0201 > 6985",
    );
    card.power_off();
    card.reset();
    dialogue(
        &mut card,
        "8076010008 0102030405060708 > 9000
         80F2000109 > 8407A0000000871002 9000
         00A4000C02 6F07 > 9000
         01E4000002 6F02 > 9000
         # Once.
         8076010008 0102030405060708 > 6985",
    );
    // A wrong token, one of another length, or another command first: a new session, and the old one is gone.
    for first in ["8076010008 0102030405060709 > 6982", "8076010004 01020304 > 6700", "80F2000C > 9000"] {
        let mut card = self::card();
        dialogue(
            &mut card,
            "00A4040C07 A0000000871002 > 9000
             8076000004 0000 0301 0A > 03010102030405060708 9000",
        );
        card.power_off();
        card.reset();
        card.reset();
        dialogue(&mut card, first);
        dialogue(
            &mut card,
            "80F20001 > 6A88
             8076010008 0102030405060708 > 6985
             00A4000C02 7F10 > 9000",
        );
    }
    let mut card = self::card();
    dialogue(
        &mut card,
        "# Longer than ten days is not agreed to; at least that is refused.
         8076000004 0402 0403 > 9864
         8076000004 0301 0201 > 6A80
         8076000004 0501 0501 > 6A80
         8076000004 0000 0000 > 6A80
         8076000003 000003 > 6700
         8076000000 > 6700
         8076020004 0000 0301 > 6A86
         8076000104 0000 0301 > 6A86
         8076010007 01020304050607 > 6700
         0076000004 0000 0301 > 6E00
         0070000001 > 01 9000
         8176000004 0000 0301 > 6E00
         8076000004 0401 04FF 0A > 0401 0102030405060708 9000",
    );
    // Not announced in EF.UMPC: not known.
    let mut card = self::card();
    dialogue(
        &mut card,
        "00A4000C02 2F08 > 9000
         00D6000201 00 > 9000
         8076000004 0000 0301 > 6D00
         8076010008 0102030405060708 > 6D00",
    );
}

/// EXCHANGE CAPABILITIES, MANAGE SECURE CHANNEL, TRANSACT DATA: the first is answered, the others are not announced.
#[test]
fn what_the_card_can() {
    let mut card = card();
    dialogue(
        &mut card,
        "807A000003 800101 > 6103
         00C0000003 > 810100 9000
         807A000003 800201 > 6A80
         807A000000 > 6700
         807A010003 800101 > 6A86
         007A000003 800101 > 6E00
         0073000000 > 6D00
         0075000000 > 6D00
         807C000000 > 6D00
         0084000008 > 0102030405060708 9000
         0084000100 > 6A86",
    );
}

/// Half a million commands with faults in them: no panic, a status word each, a refusal leaves memory as it was, and what lies in
/// memory is the card that a reset finds.
#[test]
fn broken_commands_break_nothing() {
    const COMMANDS: usize = 500_000;
    const PER_CARD: usize = 500;
    struct Watched(MemoryNvm, Arc<Mutex<usize>>);
    impl Nvm for Watched {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.0.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.0.keys(range)
        }
        fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
            *self.1.lock().unwrap() += usize::from(!updates.is_empty());
            self.0.apply(updates)
        }
        fn used(&self) -> usize {
            self.0.used()
        }
    }
    let seeds = [
        create("82027821 83025F01 8A0105 8B032F0601 81020100 C606 900180 830101"),
        create("82024121 83024F01 8A0105 8B032F0601 80020010 880108"),
        create("82024121 83024F04 A50A C00140 C1020102 D20101 8A0105 AB0880017F90008401D4 9000 80020010 8800"),
        create("820446210004 83024F02 8A0103 8C03031000 80020010"),
        create("82054221000404 83024F05 8A0105 8B062F0601010002 80020010 8800"),
        create("82027921 83024F03 A508 85020010 86020040 8A0105 8B032F0601 8800"),
        create("82027821 83027FD1 8406A00000009901 8A0105 8B032F0601"),
        resize(0, "83024F01 80020020"),
        resize(0, "83024F05 80020020 A503C10155"),
        resize(1, "83024F03 A50486020080"),
        resize(0, "83025F01 81020080"),
        hex!("00E4000002 4F01").to_vec(),
        hex!("00E4000002 5F01").to_vec(),
        hex!("00E4000002 7FD1").to_vec(),
        hex!("00E4000000").to_vec(),
        hex!("00E8000002 4F02").to_vec(),
        hex!("00E6000002 5F01").to_vec(),
        hex!("0044000002 4F02").to_vec(),
        hex!("0004000002 4F04").to_vec(),
        hex!("00A4000C02 3F00").to_vec(),
        hex!("00A4000C02 5F01").to_vec(),
        hex!("00A4000402 4F01").to_vec(),
        hex!("00A4040406 A00000009901").to_vec(),
        hex!("0070000000").to_vec(),
        hex!("01A4000C02 5F01").to_vec(),
        hex!("01E4000002 4F01").to_vec(),
        hex!("00D6000002 0102").to_vec(),
        hex!("80DB008006 8004 01020304").to_vec(),
        hex!("8076000004 010A 0201").to_vec(),
        hex!("8076010008 0102030405060708").to_vec(),
        hex!("807A000003 800101").to_vec(),
    ];
    let mut random = 1_u64;
    let mut roll = |sides: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % sides.max(1) as u64).unwrap()
    };
    let mut carried_out = 0;
    for _ in 0..COMMANDS / PER_CARD {
        let changes = Arc::new(Mutex::new(0));
        let mut card = card_on(Box::new(Watched(formatted(), changes.clone())));
        for _ in 0..PER_CARD {
            let mut command = seeds[roll(seeds.len())].clone();
            for _ in 0..roll(3) {
                let at = roll(command.len());
                match roll(8) {
                    0 => command.truncate(at),
                    1 => command.insert(at, u8::try_from(roll(256)).unwrap()),
                    2 if at < command.len() => drop(command.remove(at)),
                    3 => command.extend_from_slice(&[0xFF; 3][..roll(4)]),
                    _ if at < command.len() => command[at] = u8::try_from(roll(256)).unwrap(),
                    _ => {}
                }
            }
            let before = *changes.lock().unwrap();
            let answer = card.transmit(&command);
            let sw1 = answer[answer.len() - 2];
            let is_refused = matches!(sw1, 0x64 | 0x67..=0x6F);
            assert!(matches!(sw1, 0x61..=0x6F | 0x90 | 0x91 | 0x98), "{command:02X?}: {answer:02X?}");
            assert!(!is_refused || *changes.lock().unwrap() == before, "{command:02X?}: {answer:02X?}");
            assert!(card.nvm().used() <= MEMORY, "{command:02X?}");
            carried_out += usize::from(!is_refused);
            let is_suspended = !is_refused && command.get(1) == Some(&0x76);
            if is_suspended || roll(60) == 0 {
                card.reset();
            }
        }
        let kept = contents(card.nvm());
        card.reset();
        assert_eq!(contents(card.nvm()), kept);
        let cost: usize = kept.iter().map(|(key, value)| key.cost(value.len())).sum();
        assert_eq!(cost, card.nvm().used());
    }
    assert!(carried_out > COMMANDS / 10, "{carried_out}");
}
