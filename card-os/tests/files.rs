//! Files in dialogue: who may have a file current, what a refused command leaves, links, sessions of applications.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use apdu::{Aid, Command, Ins, Response, StatusWord};
use card_os::fs::{
    AccessDomain, AccessReference, Authority, File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes,
    PinConfiguration, Structure,
};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
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
const HIDDEN_AID: [u8; 7] = hex!("A0000000870000");

/// An application that works on its files: `E2` carries out a script of commands with full access (P1 = 00) or with PIN1
/// (P1 = 01), `E4` writes into EF.ARR of its ADF and then succeeds or fails, `CA` counts in the session and in memory, and
/// then succeeds or fails.
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
        self.before = self.counted;
        match command.ins {
            Ins::GET_DATA => {
                self.counted += 1;
                let kept = cx.get(1).and_then(|value| value.first().copied()).unwrap_or_default() + 1;
                cx.put(1, [kept]);
                if command.p1 == 0 {
                    Ok(Response::ok([self.counted, kept, self.interrupted]))
                } else {
                    Err(StatusWord::CONDITIONS_NOT_SATISFIED)
                }
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
        replaced: false,
        attributes: PinAttributes(7),
        tries: 3,
        maximum_tries: 3,
        unblocking: None,
    }
}

/// MF; DF 7F10 with EFs of every structure, two of them not shareable, DF 5F3A, DF 5F60 and EF 6F75 that are links; DFs for
/// links and for sharing; an ADF.
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
    ef(0x6F72, 8, Structure::BerTlv { reserved: 0, maximum: 700 }, true, 1, &hex!("8001AA"));
    ef(0x6F82, 9, Structure::Cyclic { record_length: 2, records: 3 }, false, 1, &[0; 6]);
    ef(0x6F76, 10, Structure::BerTlv { reserved: 0, maximum: 700 }, false, 1, &hex!("8001AA"));
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
    // DF 5F70 below DF 5F3A; DF 7F20 with DF 5F61, another link to DF 5F3A, and a local PIN; DF 7F40, not shareable.
    image.add_file(File::new(FileId(0x5F70), phonebook, FileKind::Df, rule(1)), vec![]).unwrap();
    let gsm = image.add_file(File::new(FileId(0x7F20), mf, FileKind::Df, rule(1)), vec![]).unwrap();
    let link = File { link: Some(phonebook), ..File::new(FileId(0x5F61), gsm, FileKind::Df, rule(1)) };
    image.add_file(link, vec![]).unwrap();
    image.add_pin(gsm, PinConfiguration::Pin(KeyReference(0x81), pin(*b"8181\xFF\xFF\xFF\xFF")));
    let alone = File { shareable: false, ..File::new(FileId(0x7F40), mf, FileKind::Df, rule(1)) };
    let alone = image.add_file(alone, vec![]).unwrap();
    image.add_file(File { sfi: Some(1), ..File::new(FileId(0x6F41), alone, inner, rule(1)) }, vec![9]).unwrap();
    image.add_file(File::new(FileId(0x5F41), alone, FileKind::Df, rule(1)), vec![]).unwrap();
    let link = File { link: Some(alone), ..File::new(FileId(0x7F41), mf, FileKind::Df, rule(1)) };
    image.add_file(link, vec![]).unwrap();
    let adf = FileKind::Adf(Aid::new(&LAB_AID).unwrap());
    let adf = image.add_file(File::new(FileId(0x7FD0), mf, adf, rule(1)), vec![]).unwrap();
    let rules = |record| AccessReference { arr: FileId::DF_ARR, record };
    image.add_file(File::new(FileId::DF_ARR, adf, records, rule(1)), arr).unwrap();
    image.add_file(File::new(FileId(0x6F07), adf, inner, rules(1)), vec![5]).unwrap();
    image.add_pin(mf, PinConfiguration::Pin(KeyReference(1), pin(*b"0000\xFF\xFF\xFF\xFF")));
    let aid = Aid::new(&LAB_AID).unwrap();
    let record = ApplicationRecord { aid, kind: LAB, adf: Some(adf), life_cycle: 7, privileges: Privileges::NONE };
    // An application without files and commands, as remote file management; its AID is the first to match A000000087.
    let hidden = ApplicationRecord {
        aid: Aid::new(&HIDDEN_AID).unwrap(),
        kind: ApplicationKind(77),
        adf: None,
        life_cycle: 7,
        privileges: Privileges::NONE,
    };
    for record in [hidden, record] {
        image.add_application(NewApplication { record, parameters: vec![], data: vec![] });
    }
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

/// The same of a directory that is not shareable (file descriptor `38`): it is current on one channel, itself or with an EF
/// in it, by whatever name. The directories around what is current are not, so that they stay free.
///
/// TS 102 221 §8.8 speaks of files, and a directory is one; real cards have theirs shareable, so that nobody is shut out of
/// more than a profile asks for. The MF is always shareable, whatever its descriptor says: every channel begins there.
#[test]
fn a_directory_that_is_not_shareable_is_one_channels() {
    let mut card = card();
    dialogue(
        &mut card,
        "0070000001 > 01 9000
         00A4080C02 7F40 > 9000
         01A4000C02 7F40 > 6985
         01A4010C02 7F40 > 6985
         01A4080C02 7F40 > 6985
         01A4090C02 7F40 > 6985
         01A4080C04 7F406F41 > 6985
         0104080004 7F406F41 > 6985
         # a link to it is the same directory
         01A4000C02 7F41 > 6985
         01A4080C04 7F416F41 > 6985
         # through it, but not in it
         01A4080C04 7F405F41 > 9000
         01A4030C > 6985
         01A4000C02 7F40 > 6985
         # the channel itself may name it again
         00A4000C02 7F40 > 9000
         00A4000C02 6F41 > 9000
         00B0810001 > 09 9000
         01A4080C02 7F40 > 6985
         # gone from there, it is free
         00A4080C04 7F405F41 > 9000
         01A4080C02 7F40 > 9000
         00A4030C > 6985
         # a channel opened from where it is current would have it current as well
         0170000001 > 6985
         0170000200 > 6985
         0070000001 > 02 9000
         02A4000C02 7F40 > 6985
         00708001 > 9000
         02A4000C02 7F40 > 9000",
    );
    let fcp = card.transmit(&hex!("82F2000022"));
    assert_eq!(fcp[..6], hex!("6220 8202 3821"), "its descriptor says so");
}

/// The MF is shared by all by whatever name: a link to it that is not shareable shuts nobody out.
#[test]
fn a_link_to_the_mf_is_the_mf() {
    let mut image = image();
    let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
    let link = File {
        link: Some(FileNumber::MF),
        shareable: false,
        ..File::new(FileId(0x7F42), FileNumber::MF, FileKind::Df, rule)
    };
    image.add_file(link, vec![]).unwrap();
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image, vec![], None).unwrap();
    let mut card = card_on(Box::new(nvm));
    dialogue(
        &mut card,
        "0070000001 > 01 9000
         00A4000C02 7F42 > 9000
         01A4000C02 3F00 > 9000
         01A4000C02 7F42 > 9000
         00A4000C02 7F42 > 9000
         0070000001 > 02 9000
         0170000001 > 03 9000",
    );
}

/// An application works on its own files where the terminal has it selected, with its ADF current that is not shareable.
#[test]
fn a_session_of_the_application_that_is_selected() {
    let mut image = image();
    let adf = image.tree().adf(&LAB_AID).unwrap();
    image.file_mut(adf).unwrap().shareable = false;
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image, vec![], None).unwrap();
    let mut card = card_on(Box::new(nvm));
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         80E200000E 07 00A4000C026F07 05 00B0000001 > 6105
         00C0000005 > 9000 05 9000 9000",
    );
}

/// ISO/IEC 7816-3 §10.3.3: a command answered `6CXX` was not carried out, whether it is repeated or not.
#[test]
fn a_wrong_le_changes_nothing() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4080C04 7F105F3A > 9000
         00A4030401 > 6C22
         00A4000C02 4F30 > 9000
         00A4030401 > 6C22
         00B0000001 > 07 9000
         00A4030401 > 6C22
         00A4030C > 9000
         # SELECT of the MF, by an empty name too
         00A4000401 > 6C25
         00A4040401 > 6C25
         80F2000000 > 6C22
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

/// A command of an application that came to nothing, by its own refusal or by memory's, can follow again: it finds the
/// session as it was.
#[test]
fn an_application_puts_back_what_came_to_nothing() {
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
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, image(), vec![], None).unwrap();
    let mut card = card_on(Box::new(Failing(nvm, 2)));
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         80CA000003 > 010100 9000
         80CA010003 > 6985
         80CA000003 > 020200 9000
         80CA000003 > 6581
         80CA000003 > 030300 9000",
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
        let fcp = card.transmit(&hex!("80F2000022"));
        assert_eq!(fcp[..10], hex!("6220 8202 7821 8302 5F60"), "{select}");
        dialogue(
            &mut card,
            "00B0810001 > 07 9000
             00A4000C02 4F30 > 9000
             00B0000001 > 07 9000
             00A4030C > 9000",
        );
        assert_eq!(card.transmit(&hex!("80F2000022"))[8..10], hex!("7F10"), "{select}");
    }
}

/// What is current is the path as it was named, for the parents too: a directory below a link lies in the link, if it was
/// reached through it, with the link's surroundings and the PINs found there. TS 102 221 §8.4 names a parent without saying
/// which; a terminal that went down through a name is not to come up elsewhere.
#[test]
fn a_directory_below_a_link_lies_in_the_link() {
    for (path, parent, around, elsewhere) in [
        ("7F105F605F70", "5F60", "7F10", "7F20"),
        ("7F105F3A5F70", "5F3A", "7F10", "7F20"),
        ("7F205F615F70", "5F61", "7F20", "7F10"),
    ] {
        let mut card = card();
        let fid = |name: &str| u16::from_str_radix(name, 16).unwrap().to_be_bytes();
        let up = |card: &mut Card, select: &str, expected: &str| {
            dialogue(card, &format!("00A4080C06 {path} > 9000\n{select} > 9000"));
            let fcp = card.transmit(&hex!("80F2000022"));
            assert_eq!(fcp[8..10], fid(expected), "{path} {select}");
        };
        up(&mut card, "00A4030C", parent);
        up(&mut card, &format!("00A4000C02 {parent}"), parent);
        up(&mut card, "00A4030C > 9000\n00A4030C", around);
        up(&mut card, &format!("00A4000C02 {parent} > 9000\n00A4000C02 {around}"), around);
        up(&mut card, "00A4000C02 5F70", "5F70");
        dialogue(&mut card, &format!("00A4030C > 9000\n00A4000C02 {elsewhere} > 6A82"));
        // A channel opened from there came the same way.
        dialogue(&mut card, &format!("0070000001 > 01 9000\n01A4080C06 {path} > 9000\n0170000001 > 02 9000"));
        dialogue(&mut card, "02A4030C > 9000");
        assert_eq!(card.transmit(&hex!("82F2000022"))[8..10], fid(parent), "{path}");
        // The local PIN of DF 7F20 is there for those who come through it.
        let local = if around == "7F20" { "63C3" } else { "6A88" };
        dialogue(&mut card, &format!("00A4080C06 {path} > 9000\n00200081 > {local}"));
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

/// What is reached by message only has no session: it is not found by name, nor in the way of others. TS 102 226 §8.2.
#[test]
fn remote_management_cannot_be_selected() {
    dialogue(
        &mut card(),
        "00A4040C07 A0000000870000 > 6A82
         00A4040C05 A000000087 > 9000
         80F2000109 > 8407A0000000871002 9000
         00A4040D05 A000000087 > 9000
         00A4040E05 A000000087 > 6A82
         00A4040F05 A000000087 > 6A82",
    );
}

/// TS 102 221 §11.3.0 and ISO/IEC 8825-1 §8.1.2: tags that no object can have are refused, and nothing is stored.
#[test]
fn tags_that_no_object_has() {
    let mut card = card();
    dialogue(&mut card, "00A4080C04 7F106F72 > 9000");
    let malformed = [
        "5C", "00", "FF", "1F", "9F", "BF", "1F00", "1F1E", "9F1E", "9F80", "BF8001", "9F8100FF", "9F8180", "DF818101",
        "1F818001",
    ];
    for tag in malformed {
        for value in ["0107", "00", "", "8107", "820107"] {
            let object = format!("{tag}{value}");
            let command = format!("80DB0080{:02X}{object} > 6A80", object.len() / 2);
            // A longer tag may begin like that.
            if !matches!((tag, value), ("1F" | "9F" | "BF", "8107" | "820107")) {
                dialogue(&mut card, &command);
            }
        }
        if tag != "5C" {
            dialogue(&mut card, &format!("80CB0080{:02X}{tag} > 6A80", tag.len() / 2));
        }
    }
    dialogue(
        &mut card,
        "80DB008001 9F > 6A80
         80DB008002 9F80 > 6A80
         80DB008003 9F8180 > 6A80
         # indefinite and reserved lengths
         80DB008004 81800000 > 6A80
         80DB008003 81FF00 > 6A80
         # more than the object
         80DB008004 81010203 > 6A80
         # a bare tag of any length removes
         80DB008001 81 > 6A88
         80DB008004 9F1F0105 > 9000
         80DB008005 9F81010106 > 9000
         80DB008005 BF5F020500 > 9000
         80CB008001 5C 00 > 5C08 80 9F1F 9F8101 BF5F 9000
         80CB008002 9F1F > 6104
         80CB008001 9F > 6A80
         80CB008003 9F1F01 > 6A80
         80DB008002 9F1F > 9000
         80DB008003 9F8101 > 9000
         80DB008003 BF5F00 > 9000
         80CB008001 5C 00 > 5C0180 9000",
    );
}

/// TS 102 221 §10.2.1.5: `6700` where the length is none the command can have, before anything is asked or done.
#[test]
fn lengths_that_a_command_cannot_have() {
    let mut card = card();
    dialogue(&mut card, "00A4080C04 7F106F81 > 9000");
    let increase = |length: u8| [&hex!("80320000")[..], &[length], &vec![0; length.into()]].concat();
    for length in [3, 127, 128, 255] {
        assert_eq!(card.transmit(&increase(length)), hex!("6700"), "{length}");
    }
    dialogue(
        &mut card,
        "80320000 > 6700
         8032000002 0001 > 6104
         00B2010401 01 > 6700
         00DC000301 01 > 6700
         00DC000303 010203 > 6700
         00DC0003 > 6700
         00A2010403 010203 > 6700
         00A20104 > 6700
         00A2010601 04 > 6700
         00A2010602 0400 > 6700
         00A2010603 000001 > 6A80
         00A2010603 F40001 > 6A80
         0020000108 30303030FFFFFFFF > 9000
         00A4000C02 6F71 > 9000
         00B0000002 0102 > 6700
         00D6000003 010203 > 6700
         00D60000 > 6700
         00D6000102 0102 > 6700
         00D6000201 01 > 6B00
         00A4000C02 6F72 > 9000
         80CB0080 > 6700
         80DB0080 > 6700
         80DB0000 > 6700
         80DB008003 810201 > 63F1
         80DB0000 > 6700
         80DB000001 02 > 9000
         80CB008001 81 > 6104
         80CB000001 81 > 6700
         80CB004001 81 > 6700
         0020000107 30303030FFFFFF > 6700
         0020000109 30303030FFFFFFFFFF > 6700
         0024000108 30303030FFFFFFFF > 6700
         0024000111 30303030FFFFFFFF 30303030FFFFFFFF FF > 6700
         00240001 > 6700
         00260001 > 6700
         0028000110 30303030FFFFFFFF 30303030FFFFFFFF > 6700
         80F2000001 00 > 6700
         80AA0000 > 6700
         0070000001 > 01 9000
         007000000101 > 6700
         0070000101 0000 > 6700
         007080010100 > 6700
         0084000001 0000 > 6700
         00C0000001 0000 > 6700
         8012000001 0000 > 6700
         0004000003 6F7100 > 6700
         # P1 and P2 come before the length
         00B0FF0001 01 > 6A86
         002001010 1 00 > 6A86
         # a length that SELECT's P1 cannot have
         00A4000C03 3F0000 > 6A87
         00A4010C00 > 6A87
         00A4030C02 3F00 > 6A87
         00A4080C00 > 6A87
         00A4080C03 7F106F > 6A87
         00A4090C00 > 6A87",
    );
}

/// An application administers files as a terminal does, all in its command's transaction; what a channel had current of them it
/// has no more, and a command that fails after all leaves none of it. TS 102 226 §8.2.
#[test]
fn an_application_administers_files() {
    const CREATE: [u8; 38] =
        hex!("00E0000021 621F 82024121 83026FF0 8A0105 AB0C 80017F9000 8401D49000 0000 80020002 8800");
    let script = |commands: &[&[u8]]| {
        let joined: Vec<u8> = commands
            .iter()
            .flat_map(|command| core::iter::once(u8::try_from(command.len()).unwrap()).chain(command.iter().copied()))
            .collect();
        [&hex!("80E20000")[..], &[u8::try_from(joined.len()).unwrap()], &joined].concat()
    };
    let mut card = card();
    dialogue(&mut card, "00A4040C07 A0000000871002 > 9000");
    let used = card.nvm().used();
    let made = script(&[&CREATE, &hex!("00D6000002 0102"), &hex!("80D400000A 6208 83026FF0 80020003"), &CREATE]);
    assert_eq!(card.transmit(&made), hex!("6108"));
    dialogue(
        &mut card,
        "00C0000008 > 9000 9000 9000 6A89 9000
         00A4000C02 6FF0 > 9000
         00B0000003 > 0102FF 9000",
    );
    assert!(card.nvm().used() > used);
    let deleted = script(&[&hex!("00E4000002 6FF0"), &hex!("00A4000C02 6FF0")]);
    assert_eq!(card.transmit(&deleted), hex!("6104"));
    dialogue(
        &mut card,
        "00C0000004 > 9000 6A82 9000
         00B0000003 > 6986
         00A4000C02 6FF0 > 6A82
         00A4000C02 6F07 > 9000",
    );
    assert_eq!(card.nvm().used(), used);
    card.reset();
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         00A4000C02 6FF0 > 6A82",
    );
}
