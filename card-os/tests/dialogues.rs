//! The operating system in dialogue: files, PINs, channels, resets and power cuts, on a small tree of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use apdu::{Aid, Command, Ins, Response, StatusWord};
use card_os::fs::{
    AccessReference, File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes, PinConfiguration, Puk,
    Security, Structure,
};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{
    Application, ApplicationKind, ApplicationRecord, Card, CardProfile, Context, DomainId, DomainImage, DomainView,
    Entropy, NewApplication, Privileges, ProactiveCommand, TerminalResponse,
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

/// An application that keeps a number and can ask for a REFRESH.
struct Echo;
const ECHO: ApplicationKind = ApplicationKind(1);
const ECHO_AID: [u8; 8] = hex!("A000000151000000");
const USIM_AID: [u8; 12] = hex!("A0000000871002FF49FF0589");

impl Application for Echo {
    fn select(&mut self, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        Ok([&[0x6F, 10, 0x84, 8][..], cx.record().aid.as_ref()].concat())
    }
    fn claims(&self, command: &Command<'_>) -> bool {
        command.class.is_proprietary() && matches!(command.ins, Ins::STORE_DATA | Ins::GET_DATA)
    }
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        match command.data {
            [] => cx.get(1).map(Response::ok).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND),
            [0xFF, ..] => {
                cx.put(1, [0xFF]);
                Err(StatusWord::WRONG_DATA)
            }
            [0xFD] => {
                cx.put(1, [0xFD]);
                let _ = cx.proactive(ProactiveCommand::refresh(ProactiveCommand::UICC_RESET));
                Ok(Response::done())
            }
            [0xFE] => {
                let _ = cx.proactive(ProactiveCommand::refresh(ProactiveCommand::UICC_RESET));
                Ok(Response::done())
            }
            data => {
                cx.put(1, data);
                Ok(Response::ok(data))
            }
        }
    }
    fn terminal_response(
        &mut self,
        _: &ProactiveCommand,
        response: TerminalResponse<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<(), StatusWord> {
        cx.put(1, [response.result]);
        Ok(())
    }
}

fn rule(arr: FileId, record: u8) -> AccessReference {
    AccessReference { arr, record }
}

/// ARR records: 1 always/ADM1, 2 PIN1/ADM1, 3 PIN1/PIN1 and INCREASE, 4 PIN1/PIN2.
fn arr_records() -> Vec<u8> {
    let records: [&[u8]; 4] = [
        &hex!("8001019000 80015AA40683010A950108"),
        &hex!("800101A406830101950108 80015AA40683010A950108"),
        &hex!("800103A406830101950108 800158A40683010A950108 840132A406830101950108"),
        &hex!("800101A406830101950108 800102A406830181950108"),
    ];
    records.iter().flat_map(|r| r.iter().copied().chain(core::iter::repeat(0xFF)).take(40)).collect()
}

fn pin(value: [u8; 8], attributes: u8, unblocking: u8) -> Pin {
    Pin {
        value: value.into(),
        enabled: attributes & 1 != 0,
        replaced: false,
        attributes: PinAttributes(attributes),
        tries: 3,
        maximum_tries: 3,
        unblocking: Some(KeyReference(unblocking)),
    }
}

fn image() -> DomainImage {
    let mut image = DomainImage::new();
    let mf_rule = |record| rule(FileId::MF_ARR, record);
    let ef = |size| FileKind::Ef(Structure::Transparent { size });
    let arr = FileKind::Ef(Structure::LinearFixed { record_length: 40, records: 4 });
    let mf = File { pin_status: vec![1, 0x0A], ..File::new(FileId::MF, FileNumber::MF, FileKind::Mf, mf_rule(1)) };
    let mf = image.add_file(mf, vec![]).unwrap();
    image.add_file(File::new(FileId::MF_ARR, mf, arr, mf_rule(1)), arr_records()).unwrap();
    let iccid = File { sfi: Some(2), ..File::new(FileId::ICCID, mf, ef(10), mf_rule(1)) };
    image.add_file(iccid, hex!("98001032547698103214").to_vec()).unwrap();
    let adf = FileKind::Adf(Aid::new(&USIM_AID).unwrap());
    let adf = File { pin_status: vec![1, 0x81], ..File::new(FileId(0x7FD0), mf, adf, mf_rule(1)) };
    let adf = image.add_file(adf, vec![]).unwrap();
    let df_rule = |record| rule(FileId::DF_ARR, record);
    image.add_file(File::new(FileId::DF_ARR, adf, arr, df_rule(1)), arr_records()).unwrap();
    let imsi = File { sfi: Some(7), ..File::new(FileId(0x6F07), adf, ef(9), df_rule(2)) };
    image.add_file(imsi, hex!("080910101032547698").to_vec()).unwrap();
    let fdn = FileKind::Ef(Structure::LinearFixed { record_length: 4, records: 3 });
    image.add_file(File { sfi: Some(9), ..File::new(FileId(0x6F3B), adf, fdn, df_rule(4)) }, vec![0xFF; 12]).unwrap();
    let acm = FileKind::Ef(Structure::Cyclic { record_length: 3, records: 3 });
    image.add_file(File::new(FileId(0x6F39), adf, acm, df_rule(3)), vec![0; 9]).unwrap();
    let config = FileKind::Ef(Structure::BerTlv { reserved: 0, maximum: 600 });
    image.add_file(File::new(FileId(0x6FF8), adf, config, df_rule(3)), hex!("8003010203").to_vec()).unwrap();
    let df = image.add_file(File::new(FileId(0x5F3B), adf, FileKind::Df, df_rule(1)), vec![]).unwrap();
    image.add_file(File::new(FileId(0x4F20), df, ef(9), df_rule(3)), vec![7; 9]).unwrap();

    let puk = Puk { value: (*b"11111111").into(), tries: 10, maximum_tries: 10 };
    image.add_pin(mf, PinConfiguration::Puk(KeyReference(0x01), puk.clone()));
    image.add_pin(mf, PinConfiguration::Puk(KeyReference(0x81), puk));
    image.add_pin(mf, PinConfiguration::Pin(KeyReference(0x01), pin(*b"0000\xFF\xFF\xFF\xFF", 7, 1)));
    image.add_pin(mf, PinConfiguration::Pin(KeyReference(0x0A), pin(*b"55555555", 3, 0x0A)));
    image.add_pin(adf, PinConfiguration::Pin(KeyReference(0x81), pin(*b"9999\xFF\xFF\xFF\xFF", 3, 0x81)));
    let application = |aid: &[u8], kind, adf| NewApplication {
        record: ApplicationRecord {
            aid: Aid::new(aid).unwrap(),
            kind,
            adf,
            life_cycle: 7,
            privileges: Privileges::NONE,
        },
        parameters: vec![],
        data: vec![(1, vec![0x2A])],
    };
    image.add_application(application(&USIM_AID, ApplicationKind(9), Some(adf)));
    image.add_application(application(&ECHO_AID, ECHO, None));
    image
}

fn factory(kind: ApplicationKind) -> Option<Box<dyn Application>> {
    (kind == ECHO).then(|| Box::new(Echo) as Box<dyn Application>)
}

fn card_on(nvm: Box<dyn Nvm>) -> Card {
    let mut card = Card::new(CardProfile::default(), nvm, Box::new(Counting(0)), factory);
    card.reset();
    card
}

fn formatted() -> MemoryNvm {
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image(), vec![], None).unwrap();
    nvm
}

fn card() -> Card {
    card_on(Box::new(formatted()))
}

/// Lines of `command > response`, in hexadecimal, spaces free.
fn dialogue(card: &mut Card, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once('>').expect("command > response");
        let bytes = |text: &str| {
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
            digits
                .chunks(2)
                .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect::<Vec<u8>>()
        };
        let answer = card.transmit(&bytes(command));
        assert_eq!(format!("{answer:02X?}"), format!("{:02X?}", bytes(expected)), "{line}");
    }
}

#[test]
fn select_answers_like_t0() {
    let mut card = card();
    // The MF's FCP shows the memory left, so it is looked at apart from that.
    dialogue(&mut card, "00A40004023F00 > 612B");
    let fcp = card.transmit(&hex!("00C000002B"));
    assert_eq!(fcp[..17], hex!("62298202782183023F00A50C8001718304"));
    assert_eq!(fcp[21..], hex!("8701018A01058B032F0601C6099001C083010183010A9000"));
    dialogue(
        &mut card,
        "00A40004022FE2 > 6119
         00C00000FF > 6C19
         00C0000010 > 6217 8202 4121 8302 2FE2 8A01 05 8B03 2F 6109
         80C0000009 > 0601 8002 000A 880110 9000
         00C0000001 > 6985
         00A4000C022FE2 > 9000
         00B0000000 > 6C0A
         00B000000A > 98001032547698103214 9000
         00B0000802 > 3214 9000
         00B0000A01 > 6B00
         00B0820003 > 980010 9000
         00B09F0001 > 6A86
         00A4000002FFFF > 6A82
         00B000000A > 98001032547698103214 9000
         00A40400 0C A0000000871002FF49FF0589 > 6132
         00A40400 07 A0000000871002 > 6132
         00A40400 07 A0000000871004 > 6A82
         00A4080C 04 7FFF6F07 > 9000
         00A4080C 04 7FD06F07 > 6A82
         00A4000C 02 5F3B > 9000
         00A4000C 02 4F20 > 9000
         00A4000C 02 6F07 > 6A82
         00A40300 > 6132
         00A4000C 02 7FFF > 9000
         00A4090C 04 5F3B4F20 > 9000
         00A4010C 02 5F3B > 6A82
         00A4000C 03 3F0000 > 6A87
         00A4020C 02 3F00 > 6A86
         00A4001C 02 3F00 > 6A86
         80F2000C > 9000
         80F20001 0E > 840C A0000000871002FF49FF0589 9000
         80F2000010 > 6C22
         80F20300 > 6A86",
    );
}

#[test]
fn access_rules_and_pins() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4040C 07 A0000000871002 > 9000
         00B0870009 > 6982
         00200001 > 63C3
         0020000108 31323334FFFFFFFF > 63C2
         00200001 > 63C2
         0020000107 31323334FFFFFF > 6700
         0020000208 30303030FFFFFFFF > 6A88
         0020010108 30303030FFFFFFFF > 6A86
         0020000108 30303030FFFFFFFF > 9000
         00200001 > 63C3
         00B0870009 > 080910101032547698 9000
         00D6870001 55 > 6982
         0020000A08 3535353535353535 > 9000
         00D6870001 55 > 9000
         00B0870001 > 55 9000
         # PIN2 is the ADF's: it cannot be disabled, and it is unknown at the MF
         0026008108 39393939FFFFFFFF > 6985
         00DC014C04 01020304 > 6982
         0020008108 39393939FFFFFFFF > 9000
         00DC014C04 01020304 > 9000
         00A4000C 02 3F00 > 9000
         0020008108 39393939FFFFFFFF > 6A88",
    );
    // A reset forgets what was verified and keeps what was written.
    card.reset();
    dialogue(
        &mut card,
        "00A4040C 07 A0000000871002 > 9000
         00B0870001 > 6982
         # disable, enable, change
         0026000108 30303030FFFFFFFF > 9000
         00B0870001 > 55 9000
         0020000108 30303030FFFFFFFF > 6984
         0026000108 30303030FFFFFFFF > 6984
         0028000108 31313131FFFFFFFF > 63C2
         0028000108 30303030FFFFFFFF > 9000
         0024000110 30303030FFFFFFFF31323334FFFFFFFF > 9000
         0020000108 30303030FFFFFFFF > 63C2
         00B0870001 > 6982
         0020000108 30303030FFFFFFFF > 63C1
         0020000108 30303030FFFFFFFF > 63C0
         0020000108 31323334FFFFFFFF > 6983
         00200001 > 6983
         002C0001 > 63CA
         002C000110 3232323232323232 34343434FFFFFFFF > 63C9
         002C000110 3131313131313131 34343434FFFFFFFF > 9000
         00B0870001 > 55 9000
         002C0001 > 63CA",
    );
    card.reset();
    dialogue(&mut card, "0020000108 34343434FFFFFFFF > 9000");
}

#[test]
fn records_of_both_kinds() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4040C 07 A0000000871002 > 9000
         0020000108 30303030FFFFFFFF > 9000
         0020008108 39393939FFFFFFFF > 9000
         00A4000C 02 6F3B > 9000
         00B2000404 > 6A83
         00DC010404 01010101 > 9000
         00DC020404 02020202 > 9000
         00DC040404 02020202 > 6A83
         00DC010403 020202 > 6700
         00B2010405 > 6C04
         00B2010404 > 01010101 9000
         00B2000204 > 01010101 9000
         00B2000204 > 02020202 9000
         00B2000404 > 02020202 9000
         00B2000304 > 01010101 9000
         00B2000304 > 6A83
         00B2000104 > 6A86
         00A2010402 0202 > 6101
         00C0000001 > 02 9000
         00A2030502 0101 > 6101
         00A2010402 0909 > 6282
         00A2010605 0400020202 > 6101
         # by short file identifier
         00B2014C04 > 01010101 9000
         00B2FF4C04 > 6A83
         00B0000001 > 6981
         # a ring: record 1 is the newest
         00A4000C 02 6F39 > 9000
         00DC000303 000001 > 9000
         00DC000303 000002 > 9000
         00DC010403 000003 > 6981
         00B2010403 > 000002 9000
         00B2020403 > 000001 9000
         00B2000203 > 000001 9000
         8032000003 000005 > 6106
         00C0000006 > 000007 000005 9000
         00B2010403 > 000007 9000
         8032000003 FFFFFF > 9850
         00B2010403 > 000007 9000",
    );
}

#[test]
fn ber_tlv_objects() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4040C 07 A0000000871002 > 9000
         0020000108 30303030FFFFFFFF > 9000
         00A4000C 02 6FF8 > 9000
         80CB008001 80 > 6105
         00C0000005 > 8003010203 9000
         80CB008001 5C > 6103
         00C0000003 > 5C0180 9000
         80CB008001 81 > 6A88
         80DB008004 81020708 > 9000
         80CB008001 5C > 6104
         80DB008004 82040102 > 63F1
         80DB000002 0304 > 9000
         80CB008001 82 > 6106
         80DB008002 8100 > 9000
         80CB008001 81 > 6A88
         80DB008004 83820400 > 6A84
         80DB000001 00 > 6985
         80CB000000 > 6985",
    );
}

/// A block of SET DATA that is refused ends the transfer, so that what comes next is a first block: the card does not join
/// the rest of one object to the beginning of another. What is no block ends nothing, nor does `6CXX`.
///
/// The object that was there stays until its successor is complete. TS 102 221 annex L.1.2 tells of an implementation that
/// removes it; here a command leaves the state before or the one after, and a transfer that fails is not the wish to delete.
#[test]
fn a_refused_block_ends_the_transfer() {
    const OPEN: &str = "80DB008004 80020506 > 9000\n80DB008003 800407 > 63F1";
    for (refused, status) in [
        ("80DB000004 08090A0B", "6A80"), // more than the object
        ("80DB008004 83820400", "6A84"), // more than the file
        ("80DB008002 5C00", "6A80"),     // no tag
        ("80DB009E03 830101", "6A82"),   // in another file, which is not there
    ] {
        let mut card = card();
        dialogue(
            &mut card,
            "00A4040C 07 A0000000871002 > 9000\n0020000108 30303030FFFFFFFF > 9000\n00A4000C 02 6FF8 > 9000",
        );
        dialogue(&mut card, OPEN);
        dialogue(&mut card, &format!("{refused} > {status}"));
        dialogue(
            &mut card,
            "80DB000001 AA > 6985
             80DB000003 08090A > 6985
             80CB008001 80 > 6104
             00C0000004 > 80020506 9000",
        );
        // Nor is what waits to be fetched lost.
        dialogue(&mut card, &format!("{OPEN}\n80DB0000 > 6700\n80DB004001 00 > 6A86\n80DB000003 08090A > 9000"));
    }
    // The last block, for which there is no room any more.
    let nvm = formatted();
    let profile = CardProfile { non_volatile_memory: nvm.used() + 4, ..CardProfile::default() };
    let mut card = Card::new(profile, Box::new(nvm), Box::new(Counting(0)), factory);
    card.reset();
    dialogue(
        &mut card,
        "00A4040C 07 A0000000871002 > 9000
         0020000108 30303030FFFFFFFF > 9000
         00A4000C 02 6FF8 > 9000
         80DB008004 81060102 > 63F1
         80DB000003 030405 > 63F1
         80DB000001 06 > 6A84
         80DB000001 AA > 6985
         80DB008004 81020708 > 9000",
    );
}

/// A wrong Le is answered with the right one, and no piece is lost over it.
#[test]
fn a_long_object_comes_in_pieces() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4040C 07 A0000000871002 > 9000
         0020000108 30303030FFFFFFFF > 9000
         00A4000C 02 6FF8 > 9000",
    );
    let object: Vec<u8> = [0x84, 0x82, 0x01, 0x10].into_iter().chain((0..=255).cycle().take(0x110)).collect();
    assert_eq!(card.transmit(&[&hex!("80DB0080FF")[..], &object[..255]].concat()), hex!("63F1"));
    assert_eq!(card.transmit(&[&hex!("80DB000015")[..], &object[255..]].concat()), hex!("9000"));
    dialogue(&mut card, "80CB008001 84 > 6100");
    assert_eq!(card.transmit(&hex!("00C0000000")), [&object[..256], &hex!("62F1")].concat());
    dialogue(&mut card, "80CB000000 > 6C14");
    assert_eq!(card.transmit(&hex!("80CB000014")), [&object[256..], &hex!("9000")].concat());
    dialogue(&mut card, "80CB004005 > 6C14");
}

fn written(image: DomainImage) -> Vec<(Key, Vec<u8>)> {
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image, vec![], None).unwrap();
    let keys = nvm.keys(Key::from_u64(0)..=Key::from_u64(u64::MAX));
    keys.into_iter().map(|key| (key, nvm.get(key).unwrap().to_vec())).collect()
}

/// Whatever is done to an image can be undone, at the cost of what was changed: what is there is not copied.
#[test]
fn changes_of_an_image_are_undone() {
    let mut image = image();
    let large = FileKind::Ef(Structure::Transparent { size: 100_000 });
    let rule = rule(FileId::MF_ARR, 1);
    let file = image.add_file(File::new(FileId(0x2F10), FileNumber::MF, large, rule), vec![7; 100_000]).unwrap();
    let (before, size) = (written(image.clone()), image.size());

    image.begin();
    image.write_content(file, 10, &[1, 2, 3]).unwrap();
    image.write_content(file, 11, &[4]).unwrap();
    assert_eq!(image.write_content(file, 99_999, &[1, 2]), None);
    assert_eq!(image.write_content(file, usize::MAX, &[1]), None);
    let df = image.add_file(File::new(FileId(0x5F10), FileNumber::MF, FileKind::Df, rule), vec![]).unwrap();
    let small = FileKind::Ef(Structure::Transparent { size: 50_000 });
    let below = image.add_file(File::new(FileId(0x4F01), df, small, rule), vec![9; 50_000]).unwrap();
    let adf = FileKind::Adf(Aid::new(&[0xA0; 7]).unwrap());
    image.add_file(File::new(FileId(0x7FD9), FileNumber::MF, adf, rule), vec![]).unwrap();
    image.write_content(below, 0, &[1]).unwrap();
    image.file_mut(FileNumber::MF).unwrap().pin_status = vec![0x0A];
    for reference in [0x01, 0x0B, 0x0B] {
        let pin = PinConfiguration::Pin(KeyReference(reference), pin(*b"77777777", 3, 0x0A));
        image.add_pin(FileNumber::MF, pin);
    }
    image.application_mut(0).unwrap().parameters = vec![7; 300];
    let added = image.applications()[1].clone();
    image.add_application(added);
    image.application_mut(2).unwrap().data.clear();
    // Three octets and one, one, and the value of the application that was just added.
    assert_eq!(image.kept_to_undo(), 3 + 1 + 1 + 1 + 1);
    assert_ne!(written(image.clone()), before);
    image.undo();
    assert_eq!((written(image.clone()), image.size()), (before.clone(), size));
    assert_eq!(image.tree().by_path(&[FileId(0x5F10)]), None);

    image.begin();
    image.write_content(file, 0, &[1]).unwrap();
    image.keep();
    assert_eq!(image.kept_to_undo(), 0);
    image.undo();
    assert_ne!(written(image), before);
}

/// What an image says it takes is what it takes, also when an application got its parameters later.
#[test]
fn an_image_knows_its_size() {
    let mut image = image();
    image.add_pin(FileNumber::MF, PinConfiguration::Pin(KeyReference(0x0A), pin(*b"66666666", 3, 0x0A)));
    for at in 0..image.applications().len() {
        let application = image.application_mut(at).unwrap();
        application.parameters = vec![7; 300];
        application.data.push((2, vec![8; 192]));
    }
    let size = image.size();
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image, vec![], None).unwrap();
    assert_eq!(nvm.used(), size);
}

#[test]
fn a_structure_that_grows_ends_with_the_memory() {
    let nvm = formatted();
    let profile = CardProfile { non_volatile_memory: nvm.used() + 4, ..CardProfile::default() };
    let mut card = Card::new(profile, Box::new(nvm), Box::new(Counting(0)), factory);
    card.reset();
    dialogue(
        &mut card,
        "00A4040C 07 A0000000871002 > 9000
         0020000108 30303030FFFFFFFF > 9000
         00A4000C 02 6FF8 > 9000
         80DB008005 8103020708 > 6A84
         80DB008004 81020708 > 9000
         80DB008003 810107 > 9000",
    );
}

/// What is set aside for a file is there for it when the card is full, and for no other. TS 102 221 §11.1.1.4.6.6.
#[test]
fn reserved_memory_is_kept_free() {
    let mut image = image();
    let open = Security::Expanded(hex!("8001039000").to_vec());
    let kind = FileKind::Ef(Structure::BerTlv { reserved: 12, maximum: 16 });
    let file = File { sfi: Some(9), ..File::new(FileId(0x6F31), FileNumber::MF, kind, open) };
    let size = image.size();
    let descriptor = file.to_bytes().len();
    image.add_file(file, hex!("8001AA").to_vec()).unwrap();
    assert!(image.size() > size + descriptor + 12);
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image, vec![], None).unwrap();
    let profile = CardProfile { non_volatile_memory: nvm.used(), ..CardProfile::default() };
    let mut card = Card::new(profile, Box::new(nvm), Box::new(Counting(0)), factory);
    card.reset();
    dialogue(
        &mut card,
        "00A4000C 02 6F31 > 9000
         80CB008001 5C > 6103
         00C0000003 > 5C0180 9000
         80CB008001 81 > 6A88
         80DB008009 8107 01020304050607 > 9000
         80DB008003 820108 > 6A84
         80DB008002 8000 > 9000
         80DB008003 820108 > 9000
         80CB008001 5C > 6104
         00C0000004 > 5C028182 9000
         80DB008002 8100 > 9000
         80DB00800C 830A 0102030405060708090A > 6A84",
    );
}

/// Access rules stand in whatever file others refer to, and take effect when they are written.
#[test]
fn access_rules_may_stand_in_any_file() {
    let mut image = DomainImage::new();
    let by = |record| rule(FileId(0x2F77), record);
    let mf = image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, by(1)), vec![]).unwrap();
    let arr = FileKind::Ef(Structure::LinearFixed { record_length: 5, records: 2 });
    image.add_file(File::new(FileId(0x2F77), mf, arr, by(1)), hex!("8001039000 8001019700").to_vec()).unwrap();
    let ef = FileKind::Ef(Structure::Transparent { size: 1 });
    image.add_file(File::new(FileId(0x2F78), mf, ef, by(2)), vec![7]).unwrap();
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image, vec![], None).unwrap();
    dialogue(
        &mut card_on(Box::new(nvm)),
        "00A4000C 02 2F78 > 9000
         00B0000001 > 6982
         00A4000C 02 2F77 > 9000
         00DC020405 8001019000 > 9000
         00A4000C 02 2F78 > 9000
         00B0000001 > 07 9000",
    );
}

#[test]
fn life_cycle_of_files() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4000C 02 2FE2 > 9000
         0004000000 > 6982
         0020000A08 3535353535353535 > 9000
         0004000000 > 9000
         00B000000A > 6984
         00A40004 02 2FE2 > 6283
         00C0000000 > 6C19
         00C0000019 > 6217 8202 4121 8302 2FE2 8A01 04 8B03 2F0601 8002 000A 880110 9000
         00A40004 02 2FE2 00 > 6217 8202 4121 8302 2FE2 8A01 04 8B03 2F0601 8002 000A 880110 6283",
    );
    card.reset();
    dialogue(
        &mut card,
        "00A4000C 02 2FE2 > 6283
         0020000A08 3535353535353535 > 9000
         0044080002 2FE2 > 9000
         00B000000A > 98001032547698103214 9000",
    );
}

#[test]
fn channels_keep_apart() {
    let mut card = card();
    dialogue(
        &mut card,
        "0070000001 > 01 9000
         0070000000 > 6C01
         01A4040C 07 A0000000871002 > 9000
         80F2000101 > 6A88
         # opened from channel 1: its directory and application come along
         0170000001 > 02 9000
         82F200010E > 840C A0000000871002FF49FF0589 9000
         # explicit numbers, up to 19
         00700013 > 9000
         00700013 > 6881
         00700014 > 6A86
         4FA4000C 02 2FE2 > 9000
         4FB000000A > 98001032547698103214 9000
         CFF2000C > 9000
         00708013 > 9000
         4FB000000A > 6881
         00708000 > 6A86
         00708005 > 6881
         03A4000C 023F00 > 6881
         # a PIN verified on one channel holds on the other
         0020000108 30303030FFFFFFFF > 9000
         01B0870009 > 080910101032547698 9000",
    );
    for free in 3..20 {
        assert_eq!(card.transmit(&hex!("0070000001")), [free, 0x90, 0x00]);
    }
    dialogue(&mut card, "0070000001 > 6A81");
    card.reset();
    dialogue(&mut card, "01B0870009 > 6881");
}

#[test]
fn applications_and_the_toolkit() {
    let mut card = card();
    dialogue(
        &mut card,
        "80CA000000 > 6D00
         00A40400 08 A000000151000000 > 610C
         80CA000001 > 2A 9000
         80E2000001 33 > 6101
         00C0000001 > 33 9000
         # a refusal leaves memory as it was
         80E2000001 FF > 6A80
         80CA000001 > 33 9000
         # no TERMINAL PROFILE, no 91XX
         80E2000001 FE > 9000
         8010000003 FFFFFF > 9000
         80E2000001 FE > 910B
         80F2000C > 910B
         8012000005 > 6C0B
         801200000B > D009 8103010104 82028182 9000
         801200000B > 6F00
         80C2000003 D10100 > 9300
         801400000C 8103020104 82028281 830100 > 6A80
         801400000C 8103010104 82028281 830100 > 9000
         80CA000001 > 00 9000
         801400000C 8103010104 82028281 830100 > 6985
         81F2000C > 6881",
    );
    // A terminal that starts over is offered what it did not answer.
    dialogue(
        &mut card,
        "80E2000001 FE > 910B
         801200000B > D009 8103020104 82028182 9000
         80F2000C > 9000
         8010000003 FFFFFF > 910B
         801200000B > D009 8103030104 82028182 9000
         801400000C 8103030104 82028281 830100 > 9000",
    );
}

#[test]
fn malformed_commands() {
    dialogue(
        &mut card(),
        "00 > 6700
         00A4 > 6700
         00A4000C0A3F00 > 6700
         FFA4000C023F00 > 6E00
         A0A40000023F00 > 6E00
         10A4000C023F00 > 6884
         04A4000C023F00 > 6882
         80A4000C023F00 > 6E00
         00F2000C > 6E00
         00050000 > 6D00
         00600000 > 6D00
         00B000000000FF > 6700
         80AA000002 A900 > 9000
         80AA000002 A800 > 6A80
         80AA000003 A90381 > 6A80
         00C0000000 > 6985",
    );
}

#[test]
fn a_memory_can_be_looked_at() {
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, DomainImage::new(), vec![image(), image()], Some(DomainId(2))).unwrap();
    let domains = DomainView::all(&memory);
    assert_eq!(
        domains.iter().map(|domain| (domain.id.0, domain.active)).collect::<Vec<_>>(),
        [(0, false), (1, false), (2, true)]
    );
    assert_eq!(domains.iter().map(|domain| domain.used).sum::<usize>(), memory.used());
    for domain in &domains[1..] {
        let imsi = domain.tree.by_path(&[FileId::MF, FileId(0x7FD0), FileId(0x6F07)]).unwrap();
        assert_eq!(domain.content(imsi), Some(&hex!("080910101032547698")[..]));
        let adf = domain.tree.containing_df(imsi);
        assert_eq!(
            domain.pins.iter().map(|(df, pin)| (*df, format!("{pin:?}"))).collect::<Vec<_>>(),
            [
                (FileNumber::MF, "Pin(KeyReference(1))".into()),
                (FileNumber::MF, "Pin(KeyReference(10))".into()),
                (FileNumber::MF, "Puk(KeyReference(1))".into()),
                (FileNumber::MF, "Puk(KeyReference(129))".into()),
                (adf, "Pin(KeyReference(129))".into()),
            ]
        );
        let echo = domain.applications.iter().find(|application| application.record.kind == ECHO).unwrap();
        assert_eq!(echo.data.iter().collect::<Vec<_>>(), [(&1, &vec![0x2A])]);
        assert!(!format!("{domain:?}").contains("48, 48"), "no PIN or content is shown");
    }
    // The active domain is what a reset loads.
    let mut card = card_on(Box::new(memory));
    dialogue(&mut card, "00A4040C07A0000000871002 > 9000");
}

/// What memory does not take has not happened, in working memory either.
#[test]
fn a_memory_that_fails_changes_nothing() {
    /// Takes so many updates, fails once, then works again.
    struct Failing(MemoryNvm, usize);
    impl Nvm for Failing {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.0.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.0.keys(range)
        }
        fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
            let fails = self.1 == 0;
            self.1 = self.1.wrapping_sub(1);
            if fails { Err(NvmError) } else { self.0.apply(updates) }
        }
        fn used(&self) -> usize {
            self.0.used()
        }
    }
    let failing = |after| card_on(Box::new(Failing(formatted(), after)));
    // The try was used up and the value was right, but its success could not be kept.
    dialogue(
        &mut failing(1),
        "00A4040C 07 A0000000871002 > 9000
         0020000108 30303030FFFFFFFF > 6581
         00B0870009 > 6982
         0020000108 30303030FFFFFFFF > 9000",
    );
    dialogue(
        &mut failing(2),
        "0020000A08 3535353535353535 > 9000
         00A4000C 02 2FE2 > 9000
         0004000000 > 6581
         00B0000001 > 98 9000
         00A4000C 02 2FE2 > 9000",
    );
    dialogue(
        &mut failing(0),
        "8010000003 FFFFFF > 9000
         00A40400 08 A000000151000000 > 610C
         80E2000001 FD > 6581
         80F2000C > 9000",
    );
}

/// Cuts the power after the n-th update of memory, for every n: state is as before or as after, never between.
#[test]
fn power_cuts() {
    #[derive(Clone)]
    struct Cut {
        memory: Arc<Mutex<MemoryNvm>>,
        snapshot: MemoryNvm,
        left: Arc<Mutex<usize>>,
    }
    impl Nvm for Cut {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.snapshot.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.snapshot.keys(range)
        }
        fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
            let mut left = self.left.lock().unwrap();
            *left = left.checked_sub(1).ok_or(NvmError)?;
            self.memory.lock().unwrap().apply(updates.clone())?;
            self.snapshot.apply(updates)
        }
        fn used(&self) -> usize {
            self.snapshot.used()
        }
    }
    let session = [
        &hex!("00A4040C07A0000000871002")[..],
        &hex!("00200001083030303030303030"),
        &hex!("002000010830303030FFFFFFFF"),
        &hex!("002000810839393939FFFFFFFF"),
        &hex!("00DC014C0401020304"),
        &hex!("00240001 10 30303030FFFFFFFF 31323334FFFFFFFF"),
    ];
    for allowed in 0..12 {
        let memory = Arc::new(Mutex::new(formatted()));
        let nvm = Cut {
            memory: memory.clone(),
            snapshot: memory.lock().unwrap().clone(),
            left: Arc::new(Mutex::new(allowed)),
        };
        let mut card = card_on(Box::new(nvm));
        let answers: Vec<Vec<u8>> = session.iter().map(|command| card.transmit(command)).collect();
        let ok = |at: usize| answers[at].ends_with(&[0x90, 0x00]);
        let mut after = card_on(Box::new(memory.lock().unwrap().clone()));
        // What was answered is there; a wrong PIN that was answered has cost its try, and perhaps one that was not.
        let tries = after.transmit(&hex!("00200001"))[1] & 0x0F;
        if answers[1] == hex!("63C2") && !ok(2) {
            assert!(tries < 3, "{allowed}");
        }
        let value = if ok(5) { hex!("31323334FFFFFFFF") } else { hex!("30303030FFFFFFFF") };
        assert_eq!(after.transmit(&[&hex!("0020000108")[..], &value].concat()), [0x90, 0], "{allowed}");
        after.transmit(session[0]);
        let record = after.transmit(&hex!("00B2014C04"));
        assert_eq!(record[..4] == [1, 2, 3, 4], ok(4), "{allowed}");
    }
}
