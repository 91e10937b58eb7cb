//! File administration in dialogue: TS 102 222. What is created, deleted, resized, terminated; what is refused and leaves no
//! trace; power cuts; what other channels have current. And SUSPEND UICC, TS 102 221 §11.1.22.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod creation;
mod durability;
mod suspension;

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
