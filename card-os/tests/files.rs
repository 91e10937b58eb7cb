//! Files in dialogue: who may have a file current, what a refused command leaves, links, sessions of applications.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use apdu::{Aid, Command, Ins, Response, StatusWord};
use card_os::fs::{
    AccessDomain, AccessReference, Authority, File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes,
    PinConfiguration, Structure,
};
use card_os::nvm::{MemoryNvm, Nvm};
use card_os::{
    Application, ApplicationKind, ApplicationRecord, Card, CardProfile, Context, DomainImage, Entropy, NewApplication,
    Privileges,
};
use hex_literal::hex;

struct Zero;
impl Entropy for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

const LAB: ApplicationKind = ApplicationKind(1);
const LAB_AID: [u8; 7] = hex!("A0000000871002");

/// An application that works on its files: `E2` carries out a script of commands with full access (P1 = 00) or with PIN1
/// (P1 = 01), `E4` writes into EF.ARR of its ADF and then succeeds or fails, `CA` counts in the session and in memory.
#[derive(Default)]
struct Lab {
    counted: u8,
    before: u8,
    interrupted: u8,
}

impl Application for Lab {
    fn claims(&self, command: &Command<'_>) -> bool {
        command.class.is_proprietary() && matches!(command.ins, Ins::STORE_DATA | Ins::DELETE_FILE | Ins::GET_DATA)
    }
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        match command.ins {
            Ins::GET_DATA => {
                self.before = self.counted;
                self.counted += 1;
                let kept = cx.get(1).and_then(|value| value.first().copied()).unwrap_or_default() + 1;
                cx.put(1, [kept]);
                Ok(Response::ok([self.counted, kept, self.interrupted]))
            }
            Ins::DELETE_FILE => {
                cx.write_file(&[FileId::DF_ARR], 0, &hex!("8001019000 8001029700 FFFFFFFFFFFFFFFFFFFFFFFF"))?;
                if command.p1 == 0 { Ok(Response::done()) } else { Err(StatusWord::WRONG_DATA) }
            }
            _ => {
                let domain = match command.p1 {
                    0 => AccessDomain::Full,
                    1 => AccessDomain::Keys(vec![KeyReference(1)]),
                    _ => AccessDomain::None,
                };
                let mut files = cx.files(Authority::Domain(domain)).unwrap();
                let (mut rest, mut answer) = (command.data, Vec::new());
                while let Some((length, tail)) = rest.split_first() {
                    let (script, tail) = tail.split_at(usize::from(*length));
                    rest = tail;
                    let outcome = files.process(&Command::parse(script).unwrap());
                    answer.extend(outcome.unwrap_or_else(Response::from).into_bytes());
                }
                Ok(Response::ok(answer))
            }
        }
    }
    fn undone(&mut self, _: u8) {
        self.counted = self.before;
    }
    fn interrupted(&mut self, _: u8) {
        self.interrupted += 1;
    }
}

fn pin(value: [u8; 8]) -> Pin {
    Pin {
        value: value.into(),
        enabled: true,
        attributes: PinAttributes(7),
        tries: 3,
        maximum_tries: 3,
        unblocking: None,
    }
}

/// MF; DF 7F10 with EFs of every structure, two of them not shareable, DF 5F3A, DF 5F60 and EF 6F75 that are links; an ADF.
/// Everything is readable; PIN1 updates 6F71, ADM1 activates.
fn image() -> DomainImage {
    let rule = |record| AccessReference { arr: FileId::MF_ARR, record };
    let arr: Vec<u8> = [
        &hex!("8001039000 840132 9000 800118 9000")[..],
        &hex!("8001019000 800102 A406830101950108"),
        &hex!("8001019000 800102 9700"),
    ]
    .iter()
    .flat_map(|rule| rule.iter().copied().chain(core::iter::repeat(0xFF)).take(22))
    .collect();
    let mut image = DomainImage::new();
    let mf = FileNumber::MF;
    image.add_file(File::new(FileId::MF, mf, FileKind::Mf, rule(1)), vec![]).unwrap();
    let records = FileKind::Ef(Structure::LinearFixed { record_length: 22, records: 3 });
    image.add_file(File::new(FileId::MF_ARR, mf, records, rule(1)), arr.clone()).unwrap();
    let telecom = image.add_file(File::new(FileId(0x7F10), mf, FileKind::Df, rule(1)), vec![]).unwrap();
    let mut ef = |fid, sfi, kind, shareable, record, content: &[u8]| {
        let file =
            File { sfi: Some(sfi), shareable, ..File::new(FileId(fid), telecom, FileKind::Ef(kind), rule(record)) };
        image.add_file(file, content.to_vec()).unwrap()
    };
    let not_shareable = ef(0x6F73, 4, Structure::Transparent { size: 2 }, false, 1, &[1, 2]);
    ef(0x6F71, 5, Structure::Transparent { size: 2 }, true, 2, &[3, 4]);
    ef(0x6F74, 6, Structure::LinearFixed { record_length: 2, records: 3 }, false, 1, &[1, 1, 2, 2, 3, 3]);
    ef(0x6F81, 7, Structure::Cyclic { record_length: 2, records: 3 }, true, 1, &[0; 6]);
    ef(0x6F72, 8, Structure::BerTlv { maximum: 700 }, true, 1, &hex!("8001AA"));
    ef(0x6F82, 9, Structure::Cyclic { record_length: 2, records: 3 }, false, 1, &[0; 6]);
    ef(0x6F76, 10, Structure::BerTlv { maximum: 700 }, false, 1, &hex!("8001AA"));
    let link = File {
        sfi: Some(11),
        link: Some(not_shareable),
        ..File::new(FileId(0x6F75), telecom, FileKind::Ef(Structure::Transparent { size: 2 }), rule(1))
    };
    image.add_file(link, vec![]).unwrap();
    let phonebook = image.add_file(File::new(FileId(0x5F3A), telecom, FileKind::Df, rule(1)), vec![]).unwrap();
    let inner = FileKind::Ef(Structure::Transparent { size: 1 });
    image.add_file(File { sfi: Some(1), ..File::new(FileId(0x4F30), phonebook, inner, rule(2)) }, vec![7]).unwrap();
    let link = File { link: Some(phonebook), ..File::new(FileId(0x5F60), telecom, FileKind::Df, rule(1)) };
    image.add_file(link, vec![]).unwrap();
    let adf = FileKind::Adf(Aid::new(&LAB_AID).unwrap());
    let adf = image.add_file(File::new(FileId(0x7FD0), mf, adf, rule(1)), vec![]).unwrap();
    let rules = |record| AccessReference { arr: FileId::DF_ARR, record };
    image.add_file(File::new(FileId::DF_ARR, adf, records, rule(1)), arr).unwrap();
    image.add_file(File::new(FileId(0x6F07), adf, inner, rules(1)), vec![5]).unwrap();
    image.add_pin(mf, PinConfiguration::Pin(KeyReference(1), pin(*b"0000\xFF\xFF\xFF\xFF")));
    let aid = Aid::new(&LAB_AID).unwrap();
    let record = ApplicationRecord { aid, kind: LAB, adf: Some(adf), life_cycle: 7, privileges: Privileges::NONE };
    image.add_application(NewApplication { record, parameters: vec![], data: vec![] });
    image
}

fn factory(kind: ApplicationKind) -> Option<Box<dyn Application>> {
    (kind == LAB).then(|| Box::<Lab>::default() as Box<dyn Application>)
}

fn card() -> Card {
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image(), vec![], None).unwrap();
    card_on(Box::new(nvm))
}

fn card_on(nvm: Box<dyn Nvm>) -> Card {
    let mut card = Card::new(CardProfile::default(), nvm, Box::new(Zero), factory);
    card.reset();
    card
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

/// TS 102 221 §8.8: by whatever command and name, a file that is not shareable is one channel's alone.
#[test]
fn what_is_not_shareable_is_one_channels() {
    let mut card = card();
    dialogue(
        &mut card,
        "0070000001 > 01 9000
         00A4080C04 7F106F73 > 9000
         01A4080C02 7F10 > 9000
         01A4000C02 6F73 > 6985
         01A4080C04 7F106F73 > 6985
         01A4090C02 6F73 > 6985
         01B0840002 > 6985
         01D6840001 55 > 6985
         0104000002 6F73 > 6985
         0144080004 7F106F73 > 6985
         # a link to it is the same file
         01A4000C02 6F75 > 6985
         01B08B0002 > 6985
         01D68B0001 55 > 6985
         # the channel itself may name it again
         00B0840002 > 0102 9000
         00B0000002 > 0102 9000
         00A4000C02 6F73 > 9000
         # of records and of objects
         00A4000C02 6F74 > 9000
         01B0840002 > 0102 9000
         00A4000C02 6F73 > 6985
         01B2013402 > 6985
         01DC013402 0909 > 6985
         01A2013401 01 > 6985
         00A4000C02 6F82 > 9000
         01B2013402 > 0101 9000
         8132890001 01 > 6985
         01B2014C02 > 6985
         00A4000C02 6F76 > 9000
         81CB008A01 80 > 6985
         81DB008A03 800101 > 6985
         # gone from there, it is free
         00A4000C02 7F10 > 9000
         81CB008A01 80 > 6103
         01C0000003 > 8001AA 9000
         00A4000C02 6F76 > 6985
         00708001 > 9000
         00A4000C02 6F76 > 9000",
    );
}

/// ISO/IEC 7816-3 §10.3.3: a command answered `6CXX` was not carried out, whether it is repeated or not.
#[test]
fn a_wrong_le_changes_nothing() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4080C04 7F105F3A > 9000
         00A4030401 > 6C1F
         00A4000C02 4F30 > 9000
         00A4030401 > 6C1F
         00B0000001 > 07 9000
         00A4030401 > 6C1F
         00A4030C > 9000
         # SELECT of the MF, by an empty name too
         00A4000401 > 6C22
         00A4040401 > 6C22
         80F2000000 > 6C1F
         00A4000C02 6F74 > 9000
         # NEXT and PREVIOUS, by short file identifier too
         00B2000203 > 6C02
         00B2000202 > 0101 9000
         00B2000203 > 6C02
         00B2000202 > 0202 9000
         00B2000301 > 6C02
         00B2000302 > 0101 9000
         00B2003A01 > 6C02
         00B2000202 > 0202 9000
         00B0850001 > 03 9000
         00B2003201 > 6C02
         00B0000001 > 03 9000
         00B0840003 > 6C02
         00B0000001 > 03 9000
         # a channel is not opened
         0070000002 > 6C01
         01A4000C02 3F00 > 6881
         0070000001 > 01 9000
         00708001 > 9000
         # what waits for GET RESPONSE waits on
         00A4000402 6F71 > 6119
         00B2013401 > 6C02
         00C0000002 > 6217 6117",
    );
    // A piece of an object is not sent, and its file not current.
    let object: Vec<u8> = [0x81, 0x82, 0x01, 0x40].into_iter().chain([5; 0x140]).collect();
    assert_eq!(card.transmit(&[&hex!("80DB0088FF")[..], &object[..255]].concat()), hex!("63F1"));
    assert_eq!(card.transmit(&[&hex!("80DB000045")[..], &object[255..]].concat()), hex!("9000"));
    dialogue(&mut card, "80CB008801 81 > 6100");
    assert_eq!(card.transmit(&hex!("00C0000000"))[256..], hex!("62F1"));
    dialogue(
        &mut card,
        "80CB000001 > 6C44
         80CB000801 > 6C44",
    );
    assert_eq!(card.transmit(&hex!("80CB000044")), [&object[256..], &hex!("9000")].concat());
    dialogue(&mut card, "80CB000000 > 6985");
    // Nor has an application done anything, in memory or in its session, and what it was at goes on.
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         80CA000003 > 010100 9000
         80CA000001 > 6C03
         80CA000000 > 6C03
         80CA000003 > 020200 9000
         00A4000C02 6F07 > 9000
         80CA000003 > 030301 9000
         00B0000002 > 6C01
         80CA000003 > 040401 9000",
    );
    card.reset();
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         80CA000003 > 010500 9000",
    );
}

/// TS 102 221 §11.1.5 to §11.1.8: a short file identifier selects the file, and the record pointer starts anew.
#[test]
fn a_short_identifier_resets_the_record_pointer() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4080C02 7F10 > 9000
         00B2003202 > 0101 9000
         00B2003202 > 0101 9000
         00B2000202 > 0202 9000
         00B2003302 > 0303 9000
         00B2003302 > 0303 9000
         00B2000302 > 0202 9000
         00B2013402 > 0101 9000
         00B2003402 > 6A83
         00B2000402 > 6A83
         00B2000202 > 0101 9000
         00A2003402 0101 > 6A83
         00DC003202 0A0A > 9000
         00DC003202 0B0B > 9000
         00DC000202 0C0C > 9000
         00DC003302 0D0D > 9000
         00DC003302 0E0E > 9000
         00B2013402 > 0B0B 9000
         00B2023402 > 0C0C 9000
         00B2033402 > 0E0E 9000
         00A2013401 0C > 6101
         00B2000402 > 0C0C 9000
         00B2000202 > 0E0E 9000
         # after INCREASE record 1 is current
         80328700 02 0001 > 6104
         80328700 02 0002 > 6104
         00B2000402 > 0003 9000
         00B2003A02 > 0003 9000
         00B2003A02 > 0003 9000
         00B2000202 > 0001 9000",
    );
}

/// A directory that is a link is current as itself, however it was named; so its parent is its own.
#[test]
fn a_linked_directory_is_current_as_itself() {
    for select in ["00A4080C04 7F105F60", "00A4080C06 7F105F604F30", "00A4000C02 7F10 > 9000\n00A4000C02 5F60"] {
        let mut card = card();
        dialogue(&mut card, &format!("{select} > 9000"));
        let fcp = card.transmit(&hex!("80F200001F"));
        assert_eq!(fcp[..10], hex!("621D 8202 7821 8302 5F60"), "{select}");
        dialogue(
            &mut card,
            "00B0810001 > 07 9000
             00A4000C02 4F30 > 9000
             00B0000001 > 07 9000
             00A4030C > 9000",
        );
        assert_eq!(card.transmit(&hex!("80F200001F"))[8..10], hex!("7F10"), "{select}");
    }
}

/// DEACTIVATE and ACTIVATE FILE by path make the file current in its directory, as SELECT does.
#[test]
fn a_file_deactivated_by_path_is_current() {
    dialogue(
        &mut card(),
        "0004080004 7F106F73 > 9000
         00B0000001 > 6984
         00A4000C02 6F71 > 9000
         00A4000C02 3F00 > 9000
         0044090004 7F106F73 > 9000
         00B0000001 > 01 9000
         00A4030C > 9000",
    );
}

/// An application's session: its own current file, its own authority, its commands in one transaction; the channel that
/// called it stays where it was.
#[test]
fn applications_work_on_files() {
    let mut card = card();
    let script = |p1: u8, commands: &[&[u8]]| {
        let data: Vec<u8> = commands.iter().flat_map(|c| [&[u8::try_from(c.len()).unwrap()][..], c].concat()).collect();
        [&[0x80, 0xE2, p1, 0, u8::try_from(data.len()).unwrap()][..], &data, &[0]].concat()
    };
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         00A4000C02 6F07 > 9000",
    );
    let telecom = hex!("00A4080C047F106F71");
    let update = hex!("00D6000002 0909");
    let read = hex!("00B0000002");
    // Without the key the update is refused, with it or with full access not.
    let refused = card.transmit(&script(2, &[&telecom, &update, &read]));
    assert_eq!(refused, hex!("9000 6982 6982 9000"));
    let granted = card.transmit(&script(1, &[&telecom, &update, &read]));
    assert_eq!(granted, hex!("9000 9000 0909 9000 9000"));
    // One refused command does not undo those before it.
    let full = card.transmit(&script(
        0,
        &[&telecom, &hex!("00D6000002 0808"), &hex!("00D6000003 070707"), &read, &hex!("00A40004023F00")],
    ));
    assert_eq!(full[..8], hex!("9000 9000 6700 0808"));
    assert!(full.ends_with(&hex!("9000 9000")));
    // Never is never, and what a channel has current alone is out of reach.
    let hidden = card.transmit(&script(0, &[&hex!("00A4000C027FFF"), &hex!("00A4000C026F07"), &hex!("00B0000001")]));
    assert_eq!(hidden, hex!("9000 9000 05 9000 9000"));
    dialogue(
        &mut card,
        "00B0000001 > 05 9000
         0070000001 > 01 9000
         01A4080C04 7F106F73 > 9000",
    );
    let shared = card.transmit(&script(0, &[&hex!("00A4080C027F10"), &hex!("00B0840001"), &hex!("00B0850001")]));
    assert_eq!(shared, hex!("9000 6985 08 9000 9000"));
    // By name, and what is none of the file system's.
    let named =
        card.transmit(&script(0, &[&hex!("00A4040C07A0000000871002"), &hex!("00A4040C02A001"), &hex!("80F20000")]));
    assert_eq!(named, hex!("9000 6A82 6D00 9000"));
    card.reset();
    dialogue(&mut card, "00A4080C04 7F106F71 > 9000\n00B0000002 > 0808 9000");
}

/// Access rules that an application writes count at once; they are gone again where its command fails.
#[test]
fn a_dropped_transaction_takes_the_rules_with_it() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         80E40100 > 6A80
         00A4000C02 6F07 > 9000
         00D6000001 01 > 9000
         80E40000 > 9000
         00D6000001 02 > 6982",
    );
    card.reset();
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         00A4000C02 6F07 > 9000
         00D6000001 02 > 6982
         00B0000001 > 01 9000",
    );
}
