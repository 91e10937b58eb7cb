//! What an answer to reset announces, the card does, and nothing of it else: T=1, extended lengths, command chaining.
//! ISO/IEC 7816-3 §12, ISO/IEC 7816-4 §5.3.3.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, Structure};
use card_os::nvm::MemoryNvm;
use card_os::{Card, CardProfile, DomainId, DomainImage, Entropy};
use hex_literal::hex;

struct Zero;
impl Entropy for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

const PLAIN: &[u8] = &hex!("3B9E96803FC7828031E073FE211F565655494343313D");
const CHAINING: &[u8] = &hex!("3B9E96803FC7828031E073FE219F56565549434331BD");
const EXTENDED: &[u8] = &hex!("3B9E96803FC7828031E073FE215F565655494343317D");
const T1: &[u8] = &hex!("3B9E9681B1FE453FC7828031E073FE21DF56565549434331F6");

/// EF 2F01 of 600 octets, each the low one of its place; EF 2F02 with two records of 5.
fn card(atr: &[u8]) -> Card {
    let rule = |record| AccessReference { arr: FileId::MF_ARR, record };
    let mf = FileNumber::MF;
    let mut image = DomainImage::new();
    image.add_file(File::new(FileId::MF, mf, FileKind::Mf, rule(1)), vec![]).unwrap();
    let records = FileKind::Ef(Structure::LinearFixed { record_length: 5, records: 1 });
    image.add_file(File::new(FileId::MF_ARR, mf, records, rule(1)), hex!("80017F 9000").to_vec()).unwrap();
    let long = FileKind::Ef(Structure::Transparent { size: 600 });
    let content = (0..600_u16).map(|at| at.to_be_bytes()[1]).collect();
    image.add_file(File::new(FileId(0x2F01), mf, long, rule(1)), content).unwrap();
    let records = FileKind::Ef(Structure::LinearFixed { record_length: 5, records: 2 });
    image.add_file(File::new(FileId(0x2F02), mf, records, rule(1)), vec![7; 10]).unwrap();
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, DomainImage::new(), vec![image], Some(DomainId(1))).unwrap();
    let profile = CardProfile { atr: atr.to_vec(), ..CardProfile::default() };
    let mut card = Card::new(profile, Box::new(memory), Box::new(Zero), |_| None);
    card.reset();
    card
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn dialogue(card: &mut Card, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once('>').expect("command > response");
        let answer = card.transmit(&bytes(command));
        assert_eq!(format!("{answer:02X?}"), format!("{:02X?}", bytes(expected)), "{line}");
    }
}

/// UPDATE BINARY of the first `length` octets, with an extended Lc.
fn update(length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    [&[0x00, 0xD6, 0, 0, 0, high, low], &vec![0xAB; length][..]].concat()
}

#[test]
fn what_is_not_announced_is_refused() {
    let mut plain = card(PLAIN);
    dialogue(
        &mut plain,
        "00A4000C02 2F01 > 9000
         10D6000001 01 > 6884
         00B00000000003 > 6700
         00D60000000001AB > 6700
         00B0000003 > 000102 9000",
    );
    assert_eq!(plain.transmit(&update(300)), hex!("6700"));
    dialogue(&mut card(CHAINING), "00A4000C02 2F01 > 9000\n 00B00000000003 > 6700\n 10D6000001 01 > 9000");
    dialogue(&mut card(EXTENDED), "00A4000C02 2F01 > 9000\n 10D6000001 01 > 6884\n 00B00000000003 > 000102 9000");
}

#[test]
fn a_chain_is_one_command() {
    let mut card = card(CHAINING);
    dialogue(
        &mut card,
        "00A4000C02 2F01 > 9000
         0070000001 > 01 9000
         10D6000002 AAAA > 9000
         # a piece without data, and one with an Le that no piece has use for
         10D60000 > 9000
         10D6000001 BB 00 > 9000
         # nothing has been written yet, on another channel nothing is under way
         01A4000C02 2F01 > 9000
         01B0000003 > 000102 9000
         00D6000001 CC > 9000
         00B0000005 > AAAABBCC04 9000
         # another header breaks it off, before or at its end; what comes then is a command of its own
         10D6000001 11 > 9000
         00B0000001 > 6883
         00B0000001 > AA 9000
         10D6000001 11 > 9000
         10D6000101 11 > 6883
         00D6000101 DD > 9000
         00B0000002 > AADD 9000
         # SELECT in pieces, with its answer fetched on request
         10A4000401 2F > 9000
         00A4000401 02 > 611B
         # a piece drops what waited
         10A4000C01 2F > 9000
         00C000001B > 6883
         00C000001B > 6985
         # protected pieces are nothing to join
         14D6000001 11 > 6884
         # only interindustry classes have chains
         90F2000C > 6E00
         # the last command alone is a command
         00A4000C02 2F01 > 9000
         00D6000001 EE > 9000
         50D6000001 EE > 6881",
    );
    // A reset ends it as well.
    dialogue(&mut card, "10A4000C01 2F > 9000");
    card.reset();
    dialogue(&mut card, "00A4000C02 2F01 > 9000\n 00B0000001 > EE 9000");
}

#[test]
fn a_chain_is_longer_than_one_command_and_ends_at_the_longest() {
    let mut card = card(CHAINING);
    dialogue(&mut card, "00A4000C02 2F01 > 9000");
    let piece = |last: bool, length: u8| {
        [&[if last { 0 } else { 0x10 }, 0xD6, 0, 0, length], &vec![0xCD; length.into()][..]].concat()
    };
    assert_eq!(card.transmit(&piece(false, 255)), hex!("9000"));
    assert_eq!(card.transmit(&piece(false, 255)), hex!("9000"));
    assert_eq!(card.transmit(&piece(true, 90)), hex!("9000"));
    dialogue(&mut card, "00B0025702 > 6C01\n 00B0025701 > CD 9000");
    // One octet more than the file has: nothing is written.
    for length in [255, 255] {
        assert_eq!(card.transmit(&piece(false, length)), hex!("9000"));
    }
    let refused = card.transmit(&piece(true, 91));
    assert_ne!(refused, hex!("9000"));
    // 257 pieces of 255 octets are as long as any command; one octet more is too long, and the chain is gone.
    for _ in 0..257 {
        assert_eq!(card.transmit(&piece(false, 255)), hex!("9000"));
    }
    assert_eq!(card.transmit(&piece(false, 1)), hex!("6700"));
    assert_eq!(card.transmit(&piece(true, 1)), hex!("9000"));
}

/// T=0 with extended lengths: Le counts as it does in ISO/IEC 7816-3 §12.1; a short Le is that of T=0 still.
#[test]
fn extended_lengths_carry_a_file_in_one_command() {
    let mut card = card(EXTENDED);
    dialogue(&mut card, "00A4000C02 2F01 > 9000\n 00B0000003 > 000102 9000\n 00B0024000 > 6C18");
    let whole = card.transmit(&hex!("00B00000000000"));
    assert_eq!((whole.len(), &whole[..3], &whole[600..]), (602, &hex!("000102")[..], &hex!("9000")[..]));
    let part = card.transmit(&hex!("00B0000000012C"));
    assert_eq!(part.len(), 302);
    assert_eq!(card.transmit(&update(600)), hex!("9000"));
    dialogue(&mut card, "00B0025701 > AB 9000");
    let selected = card.transmit(&hex!("00A40004000002 2F01 0000"));
    assert_eq!((selected[0], &selected[selected.len() - 2..]), (0x62, &hex!("9000")[..]));
    assert_ne!(card.transmit(&update(601)), hex!("9000"));
    // Lc and data that disagree.
    for command in [&hex!("00D60000000002AB")[..], &hex!("00D60000000001ABAB"), &hex!("00D6000000000100")[..7]] {
        let refused = card.transmit(command);
        assert_eq!(refused.len(), 2, "{command:02X?}");
        assert_ne!(refused, hex!("9000"), "{command:02X?}");
    }
}

/// A response comes with its command; none is fetched, and none comes unasked.
#[test]
fn responses_of_t1_come_with_their_commands() {
    let mut card = card(T1);
    let fcp = card.transmit(&hex!("00A40004 02 2F01 00"));
    assert_eq!((fcp[0], &fcp[fcp.len() - 2..]), (0x62, &hex!("9000")[..]));
    dialogue(
        &mut card,
        "# Le 00 is what there is, without 6CXX
         00B0025500 > 555657 9000
         00B0025503 > 555657 9000
         # a count that there is not
         00B0025504 > 6C03
         # without Le nothing is wanted
         00A4000402 2F01 > 9000
         00C0000000 > 6985
         00A4000C02 2F02 > 9000
         00B2010400 > 0707070707 9000
         00B2010404 > 6C05
         00B201040000000000 > 6700
         0070000000 > 01 9000
         00B20104000000 > 0707070707 9000",
    );
    // Le that is too short for an answer with data: the rest is announced.
    let mut short = card.transmit(&hex!("00A40004 02 2F01 05"));
    let sw = short.split_off(short.len() - 2);
    assert_eq!((short.len(), sw[0]), (0, 0x61));
    let fetched = card.transmit(&[0, 0xC0, 0, 0, sw[1]]);
    assert_eq!(fetched[..fetched.len() - 2], fcp[..fcp.len() - 2]);
}

/// Whatever comes, the answer has a status word, and the card goes on.
#[test]
fn mutated_commands_are_answered() {
    let seeds: [&[u8]; 7] = [
        &hex!("00A4000402 2F01 00"),
        &hex!("10D6000002 AAAA"),
        &hex!("00D6000002 AAAA"),
        &hex!("00D60000000003 AAAAAA"),
        &hex!("00B00000000000"),
        &hex!("00B2010400"),
        &hex!("00C0000000"),
    ];
    for atr in [CHAINING, EXTENDED, T1] {
        let mut card = card(atr);
        let mut state = 0x2545_F491_u32;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        for _ in 0..30_000 {
            let mut command = seeds[next() as usize % seeds.len()].to_vec();
            for _ in 0..next() % 3 {
                let at = next() as usize % command.len();
                command[at] = next().to_be_bytes()[0];
            }
            if next() % 8 == 0 {
                command.truncate(next() as usize % (command.len() + 1));
            }
            assert!(card.transmit(&command).len() >= 2, "{command:02X?}");
        }
        card.reset();
        assert_eq!(card.transmit(&hex!("00A4000C02 2F01")).len(), 2);
    }
}
