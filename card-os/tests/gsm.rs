//! Class A0 by dialogue: every command of TS 51.011 §9.2 with its status words of §9.4.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use apdu::{Aid, Command, Ins, Response, StatusWord};
use card_os::fs::{
    File, FileId, FileKind, FileNumber, KeyReference, Pin, PinAttributes, PinConfiguration, Puk, Security, Structure,
};
use card_os::nvm::MemoryNvm;
use card_os::{
    Application, ApplicationKind, ApplicationRecord, Card, CardProfile, Context, DomainImage, Entropy, NewApplication,
    Privileges,
};
use hex_literal::hex;
use zeroize::Zeroizing;

struct Zero;
impl Entropy for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// Answers RUN GSM ALGORITHM with its challenge, if PIN1 lets it.
struct Echo;
impl Application for Echo {
    fn claims(&self, _: &Command<'_>) -> bool {
        false
    }
    fn claims_unselected(&self, command: &Command<'_>) -> bool {
        command.class.is_gsm() && command.ins == Ins::AUTHENTICATE
    }
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if !cx.key_satisfied(KeyReference::PIN_APPL_1) {
            return Err(StatusWord::SECURITY_STATUS_NOT_SATISFIED);
        }
        Ok(Response::ok(&command.data[..12]))
    }
}

/// Rules in expanded format: read ALW or PIN1; update and increase PIN1; deactivate and activate PIN1.
const BY_PIN1: &[u8] = &hex!("80011B A406830101950108 840132 A406830101950108");
const READ_ALWAYS: &[u8] = &hex!("800101 9000 800102 A406830181950108 800118 A40683010A950108");
const NEVER: &[u8] = &hex!("800101 9700");

fn pin(value: [u8; 8], puk: Option<u8>, enabled: bool) -> Pin {
    Pin {
        value: Zeroizing::new(value),
        enabled,
        replaced: false,
        attributes: PinAttributes(PinAttributes::CHANGEABLE | PinAttributes::DISABLEABLE),
        tries: 3,
        maximum_tries: 3,
        unblocking: puk.map(KeyReference),
    }
}

fn puk(value: [u8; 8]) -> Puk {
    Puk { value: Zeroizing::new(value), tries: 10, maximum_tries: 10 }
}

fn image() -> DomainImage {
    let mut image = DomainImage::new();
    let rules = |rules: &[u8]| Security::Expanded(rules.to_vec());
    let mf = image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rules(BY_PIN1)), vec![]).unwrap();
    let df = |image: &mut DomainImage, fid| {
        image.add_file(File::new(FileId(fid), mf, FileKind::Df, rules(BY_PIN1)), vec![]).unwrap()
    };
    let telecom = df(&mut image, 0x7F10);
    let gsm = df(&mut image, 0x7F20);
    let adf = FileKind::Adf(Aid::new(&hex!("A0000000871002")).unwrap());
    let adf = image.add_file(File::new(FileId(0x7FD0), mf, adf, rules(BY_PIN1)), vec![]).unwrap();
    let mut ef = |df, fid, structure, access: &[u8], content: Vec<u8>| {
        let file = File::new(FileId(fid), df, FileKind::Ef(structure), rules(access));
        image.add_file(file, content).unwrap();
    };
    let transparent = |size| Structure::Transparent { size };
    ef(mf, 0x2FE2, transparent(10), READ_ALWAYS, hex!("98882100000000000010").to_vec());
    ef(gsm, 0x6F07, transparent(9), BY_PIN1, hex!("080910101032547698").to_vec());
    ef(gsm, 0x6FAE, transparent(1), NEVER, vec![3]);
    let cyclic = Structure::Cyclic { record_length: 3, records: 2 };
    ef(gsm, 0x6F39, cyclic, BY_PIN1, hex!("0000FE FFFFFF").to_vec());
    let linear = Structure::LinearFixed { record_length: 4, records: 3 };
    ef(telecom, 0x6F3A, linear, BY_PIN1, hex!("41414101 42424202 41414103").to_vec());
    ef(telecom, 0x6F3B, transparent(2), READ_ALWAYS, vec![0; 2]);
    ef(telecom, 0x6F99, Structure::BerTlv { reserved: 0, maximum: 100 }, BY_PIN1, Vec::new());
    for (context, entry) in [
        (mf, PinConfiguration::Puk(KeyReference(0x01), puk(*b"87654321"))),
        (mf, PinConfiguration::Puk(KeyReference(0x81), puk(*b"12345678"))),
        (mf, PinConfiguration::Pin(KeyReference::ADM1, pin(*b"88888888", None, true))),
        (mf, PinConfiguration::Pin(KeyReference::PIN_APPL_1, pin(*b"1234\xFF\xFF\xFF\xFF", Some(0x01), true))),
        (adf, PinConfiguration::Pin(KeyReference::SECOND_PIN_APPL_1, pin(*b"5678\xFF\xFF\xFF\xFF", Some(0x81), true))),
        (telecom, PinConfiguration::SharedWith(adf)),
        (gsm, PinConfiguration::SharedWith(adf)),
    ] {
        image.add_pin(context, entry);
    }
    let record = ApplicationRecord {
        aid: Aid::new(&hex!("A0000000871002")).unwrap(),
        kind: ApplicationKind(1),
        adf: Some(adf),
        life_cycle: 7,
        privileges: Privileges::NONE,
    };
    image.add_application(NewApplication { record, parameters: Vec::new(), data: Vec::new() });
    image
}

struct Sim(Card);

impl Sim {
    fn new() -> Self {
        Self::with(CardProfile { gsm: true, ..CardProfile::default() })
    }

    fn with(profile: CardProfile) -> Self {
        let mut memory = MemoryNvm::default();
        Card::format(&mut memory, image(), Vec::new(), None).unwrap();
        let factory = |_| Some(Box::new(Echo) as Box<dyn Application>);
        let mut card = Card::new(profile, Box::new(memory), Box::new(Zero), factory);
        card.reset();
        Self(card)
    }

    fn send(&mut self, command: &[u8]) -> String {
        hex::encode_upper(self.0.transmit(command))
    }

    /// The commands one after another, each with its answer in hexadecimal behind an arrow.
    fn dialogue(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, answer) = line.split_once("->").unwrap();
            let plain = |text: &str| text.split('#').next().unwrap().replace(' ', "");
            let said = self.send(&hex::decode(plain(command)).unwrap());
            assert_eq!(said, plain(answer), "{line}");
        }
    }
}

#[test]
fn select_and_its_answer() {
    Sim::new().dialogue(
        "
        A0A40000023F00 -> 9F17
        A0C0000017     -> 0000FFFF3F00010000000000 0A310201040083 8A838A00 9000 # CHV1 and 2: three tries, ten to unblock
        A0A4000002 7F20 -> 9F17
        A0C0000017     -> 0000FFFF7F20020000000000 0A310003040083 8A838A00 9000
        A0A4000002 6F07 -> 9F0F
        A0C000000F     -> 00000009 6F07 04 00 11 F0 11 01 02 00 00 9000
        A0A4000002 6F39 -> 9F0F
        A0C000000F     -> 00000006 6F39 04 40 11 10 11 01 02 03 03 9000
        A0A4000002 6FAE -> 9F0F
        A0C000000F     -> 00000001 6FAE 04 00 FF F0 FF 01 02 00 00 9000
        A0A4000002 7F10 -> 9F17 # beside the current one
        A0A4000002 6F3A -> 9F0F
        A0C000000F     -> 0000000C 6F3A 04 00 11 F0 11 01 02 01 04 9000
        A0A4000002 6F3B -> 9F0F
        A0C000000F     -> 00000002 6F3B 04 00 02 F0 44 01 02 00 00 9000
        A0A4000002 7F10 -> 9F17 # itself
        A0A4000002 3F00 -> 9F17
        A0A4000002 2FE2 00 -> 9F0F # with Le, as some readers send it
        A0A4000002 6F07 -> 9404
        A0A4000002 7FFF -> 9404
        A0A4000002 7FD0 -> 9404
        A0A4000001 3F   -> 6702
        A0A4040002 3F00 -> 6B00
        A0A4000C02 3F00 -> 6B00
        A0B000000A     -> 98882100000000000010 9000 # what failed has changed nothing
        A0A4000002 7F10 -> 9F17
        A0A4000002 6F99 -> 9408 # no file of a SIM
        A0F2000000     -> 6717
        ",
    );
}

#[test]
fn get_response_and_status() {
    Sim::new().dialogue(
        "
        A0C000000F     -> 6F00 # nothing to fetch
        A0A4000002 2FE2 -> 9F0F
        A0C0000010     -> 670F # longer than there is
        A0C0010002     -> 6B00
        A0C0000002     -> 0000 9000 # the rest is lost
        A0C0000002     -> 6F00
        A0A4000002 2FE2 -> 9F0F
        A0F2000016     -> 0000FFFF3F00010000000000 0A310201040083 8A838A 9000
        A0C000000F     -> 6F00 # another command came between
        A0F2000018     -> 6717
        A0F2010016     -> 6B00
        A0F2000001     -> 00 9000
        A0FA000000     -> 9000
        A0FA0000       -> 9000
        A0FA000001 00  -> 6700
        A0FA0100       -> 6B00
        ",
    );
}

#[test]
fn binary_and_records() {
    Sim::new().dialogue(
        "
        A0B0000001     -> 9400
        A0B2010404     -> 9400
        A0A4000002 2FE2 -> 9F0F
        A0B0000004     -> 98882100 9000
        A0B000000B     -> 670A
        A0B0000A01     -> 9402
        A0B0820001     -> 9402 # no short identifiers
        A0B2010404     -> 9408
        A0A4000002 7F20 -> 9F17
        A0A4000002 6F07 -> 9F0F
        A0B0000009     -> 9804
        A0D6000001 08  -> 9804
        A0200001 08 31323334FFFFFFFF -> 9000
        A0B0000009     -> 080910101032547698 9000
        A0D6000802 0101 -> 6700
        A0D6000901 01  -> 9402
        A0D6000801 01  -> 9000
        A0B0000801     -> 01 9000
        A0A4000002 7F10 -> 9F17
        A0A4000002 6F3A -> 9F0F
        A0B0000001     -> 9408
        A0B2000404     -> 9402 # no record is current
        A0B2000204     -> 41414101 9000 # next, previous, absolute, current
        A0B2000204     -> 42424202 9000
        A0B2000404     -> 42424202 9000
        A0B2000304     -> 41414101 9000
        A0B2000304     -> 9402
        A0B2030404     -> 41414103 9000
        A0B2040404     -> 9402
        A0B2010403     -> 6704
        A0B20104 05    -> 6704
        A0B2010604     -> 6B00
        A0B2010C04     -> 6B00 # no short identifiers
        A0B2010204     -> 6B00
        A0DC030404 51515103 -> 9000
        A0B2030404     -> 51515103 9000
        A0DC000204 61616102 -> 9000 # the next
        A0B2020404     -> 61616102 9000
        A0DC010403 515151 -> 6700
        A0DC040404 51515103 -> 9402
        ",
    );
}

#[test]
fn seek() {
    Sim::new().dialogue(
        "
        A0200001 08 31323334FFFFFFFF -> 9000
        A0A2000001 41  -> 9400
        A0A4000002 7F10 -> 9F17
        A0A4000002 6F3A -> 9F0F
        A0A2000002 4141 -> 9000 # type 1: from the beginning
        A0B2000404     -> 41414101 9000
        A0A2000202 4141 -> 9000 # from the next
        A0B2000404     -> 41414103 9000
        A0A2000202 4141 -> 9404
        A0B2000404     -> 41414103 9000 # the pointer stays
        A0A2001302 4242 -> 9F01 # type 2: from the previous, backward
        A0C0000001     -> 02 9000
        A0A2001102 4141 -> 9F01 # from the end
        A0C0000001     -> 03 9000
        A0A2001004 41414101 -> 9F01
        A0C0000001     -> 01 9000
        A0A2000302 4141 -> 9404
        A0A2000001 01  -> 9404 # a record begins with the pattern
        A0A2000005 4141410100 -> 6700
        A0A2000000     -> 6700
        A0A2000401 41  -> 6B00
        A0A2002001 41  -> 6B00
        A0A2010001 41  -> 6B00
        A0A4000002 7F20 -> 9F17
        A0A4000002 6F39 -> 9F0F
        A0A2000001 00  -> 9408 # not in a cyclic file
        A0A4000002 6F07 -> 9F0F
        A0A2000001 00  -> 9408
        ",
    );
}

#[test]
fn increase_and_cyclic_files() {
    Sim::new().dialogue(
        "
        A0A4000002 7F20 -> 9F17
        A032000003 000001 -> 9400
        A0A4000002 6F39 -> 9F0F
        A032000003 000001 -> 9804
        A0200001 08 31323334FFFFFFFF -> 9000
        A032000003 000001 -> 9F06
        A0C0000006     -> 0000FF000001 9000
        A032000003 000001 00 -> 9F06 # with Le, as some readers send it
        A0C0000006     -> 000100000001 9000
        A032000003 FFFFFF -> 9850
        A032000002 0001 -> 6703
        A032010003 000001 -> 6B00
        A0B2010403     -> 000100 9000
        A0B2000203     -> 0000FF 9000
        A0B2000203     -> 000100 9000 # round
        A0DC000303 000007 -> 9000
        A0DC010403 000007 -> 9408
        A0B2010403     -> 000007 9000
        A0A4000002 6F07 -> 9F0F
        A032000003 000001 -> 9408
        ",
    );
}

#[test]
fn invalidate_and_rehabilitate() {
    Sim::new().dialogue(
        "
        A0040000       -> 9400
        A0A4000002 7F20 -> 9F17
        A0A4000002 6F07 -> 9F0F
        A0040000       -> 9804
        A0200001 08 31323334FFFFFFFF -> 9000
        A0440000       -> 9810 # it is valid
        A0040000       -> 9000
        A0040000       -> 9810
        A0B0000009     -> 9810
        A0D6000001 08  -> 9810
        A0A4000002 6F07 -> 9F0F
        A0C000000F     -> 00000009 6F07 04 00 11 F0 11 00 02 00 00 9000
        A0440100       -> 6B00
        A044000000     -> 9000
        A0B0000001     -> 08 9000
        ",
    );
}

#[test]
fn card_holder_verification() {
    Sim::new().dialogue(
        "
        A0200001 08 30303030FFFFFFFF -> 9804
        A0200001 07 30303030FFFFFF -> 6708
        A0200001 00    -> 6708
        A0200003 08 30303030FFFFFFFF -> 6B00
        A0200101 08 30303030FFFFFFFF -> 6B00
        A020000A 08 3838383838383839 -> 9804 # an administrative code, by its own number
        A020000A 08 3838383838383838 -> 9000
        A026000A 08 3838383838383838 -> 6B00
        A020000B 08 3838383838383838 -> 6B00
        A0F2000013     -> 0000FFFF3F00010000000000 0A310201040082 9000
        A0260001 08 31323334FFFFFFFF -> 9000 # DISABLE: it is verified with it
        A0260001 08 31323334FFFFFFFF -> 9808
        A0200001 08 31323334FFFFFFFF -> 9808
        A0240001 10 31323334FFFFFFFF 32333435FFFFFFFF -> 9808
        A0F200000E     -> 0000FFFF3F00010000000000 0AB1 9000 # disabled
        A0280001 08 31323334FFFFFFFF -> 9000
        A0280001 08 31323334FFFFFFFF -> 9808
        A0260002 08 35363738FFFFFFFF -> 6B00 # CHV1 only
        A0280002 08 35363738FFFFFFFF -> 6B00
        A0268101 08 31323334FFFFFFFF -> 6B00
        A0240001 10 31323334FFFFFFFF 32333435FFFFFFFF -> 9000
        A0240001 08 32333435FFFFFFFF -> 6710
        A0200001 08 31323334FFFFFFFF -> 9804
        A0200001 08 32333435FFFFFFFF -> 9000
        A0200002 08 35363738FFFFFFFF -> 9000 # CHV2, in the MF
        A0A4000002 7F10 -> 9F17
        A0A4000002 6F3B -> 9F0F
        A0D6000001 07  -> 9000 # which opens a file elsewhere
        A0240002 10 35363738FFFFFFFF 39393939FFFFFFFF -> 9000
        A0200002 08 35363738FFFFFFFF -> 9804
        A0D6000001 08  -> 9804
        A0200002 08 35363738FFFFFFFF -> 9804
        A0200002 08 35363738FFFFFFFF -> 9840
        A0200002 08 39393939FFFFFFFF -> 9840
        A0A4000002 3F00 -> 9F17
        A0C0000016     -> 0000FFFF3F00010000000000 0A310201040083 8A808A 9000
        A02C0001 10 3132333435363738 31313131FFFFFFFF -> 6B00
        A02C0002 08 3132333435363738 -> 6710
        A02C0002 10 3132333435363739 31313131FFFFFFFF -> 9804
        A02C0002 10 3132333435363738 31313131FFFFFFFF -> 9000
        A0200002 08 31313131FFFFFFFF -> 9000
        A02C0000 10 3837363534333231 34343434FFFFFFFF -> 9000
        A0200001 08 34343434FFFFFFFF -> 9000
        ",
    );
}

#[test]
fn a_code_that_is_blocked_for_good() {
    let mut sim = Sim::new();
    for _ in 0..9 {
        assert_eq!(sim.send(&hex!("A02C000010 3030303030303030 30303030FFFFFFFF")), "9804");
    }
    assert_eq!(sim.send(&hex!("A02C000010 3030303030303030 30303030FFFFFFFF")), "9840");
    assert_eq!(sim.send(&hex!("A02C000010 3837363534333231 30303030FFFFFFFF")), "9840");
    sim.0.reset();
    assert_eq!(sim.send(&hex!("A0F2000014")), "0000FFFF3F000100000000000A310201040083809000");
}

#[test]
fn run_gsm_algorithm() {
    Sim::new().dialogue(
        "
        A088000010 000102030405060708090A0B0C0D0E0F -> 9804 # DF.GSM is not current
        A0A4000002 7F20 -> 9F17
        A088000010 000102030405060708090A0B0C0D0E0F -> 9804 # nor is CHV1 verified
        A0200001 08 31323334FFFFFFFF -> 9000
        A088000010 000102030405060708090A0B0C0D0E0F -> 9F0C
        A0C000000C     -> 000102030405060708090A0B 9000
        A088000010 000102030405060708090A0B0C0D0E0F 0C -> 9F0C
        A08800000F 000102030405060708090A0B0C0D0E -> 6710
        A088000110 000102030405060708090A0B0C0D0E0F -> 6B00
        A0A4000002 6F07 -> 9F0F
        A088000010 000102030405060708090A0B0C0D0E0F -> 9F0C
        A0A4000002 7F10 -> 9F17
        A088000010 000102030405060708090A0B0C0D0E0F -> 9804
        ",
    );
}

#[test]
fn toolkit_and_what_is_unknown() {
    Sim::new().dialogue(
        "
        A0100000 02 FFFF -> 9000
        A0100100 02 FFFF -> 6B00
        A0120000 0A    -> 6F00 # nothing to fetch
        A0140000 0C 8103010100820282818301 00 -> 6F00
        A0C20000 05 D103020283 -> 6F00 # nobody registered
        A0700000 01    -> 6D00
        A0CA00E0 00    -> 6D00
        A0E40000 02 6F07 -> 6D00
        A0500000 08 0001020304050607 -> 6D00
        A1A40000 02 3F00 -> 6E00
        A0A4000000 0002 3F00 -> 6700 # extended length
        ",
    );
}

/// The same files, PINs and pointers under either class.
#[test]
fn classes_may_be_mixed() {
    Sim::new().dialogue(
        "
        00A4000C 02 7F20 -> 9000
        A0A4000002 6F07 -> 9F0F
        00B0000009     -> 6982
        0020000108 31323334FFFFFFFF -> 9000
        A0B0000009     -> 080910101032547698 9000
        00A4040C07 A0000000871002 -> 9000
        A0F2000008     -> 0000FFFF7FD00200 9000
        A0A4000002 7F10 -> 9F17
        A0A4000002 6F3A -> 9F0F
        A0B2000204     -> 41414101 9000
        00B2000204     -> 42424202 9000
        80F2000C       -> 9000
        0070000001     -> 01 9000
        01A4000C 02 7F20 -> 9000
        A0B2000304     -> 41414101 9000 # the basic channel is as it was
        ",
    );
}

#[test]
fn a_switch_turns_it_off() {
    let mut card = Sim::with(CardProfile::default());
    for command in
        ["A0A40000023F00", "A0F2000016", "A0C000000F", "A088000010000102030405060708090A0B0C0D0E0F", "A0FF0000"]
    {
        assert_eq!(card.send(&hex::decode(command).unwrap()), "6E00", "{command}");
    }
    card.dialogue("00A4000C023F00 -> 9000");
}
