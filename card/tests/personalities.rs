//! Cards like those in the field, and cards with faults, at their contacts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use apdu::Icc;
use card::entropy::ChaCha;
use card::image::Manufacture;
use card::personalise::{self, Euicc, NewCard};
use card::personality::{Description, shipped};
use card::{assemble, fault};
use card_os::Card;
use hex_literal::hex;
use saip::builder::{Key, Subscriber, build};
use std::sync::Arc;

const NOW: u64 = 1_767_225_600;
const ICCIDS: [&str; 2] = ["89000000000000000012", "89000000000000000020"];

fn made(text: &str) -> NewCard {
    let mut entropy = ChaCha::from_number(1);
    let pki = personalise::mint_pki(None, NOW, &mut entropy).unwrap();
    let package = |iccid: &&str| {
        let subscriber = Subscriber {
            profile_name: Some("A profile".into()),
            ..Subscriber::new(iccid, "001010123456789", Key::new(&[1; 16]), Key::new(&[2; 16]))
        };
        saip::encode_package(&build(&subscriber).unwrap()).into()
    };
    let mut euicc = Euicc { profiles: ICCIDS.iter().map(package).collect(), ..Euicc::new(pki, NOW) };
    let description: Description = toml::from_str(text).unwrap();
    euicc.make_like(&description);
    personalise::euicc(&euicc, &mut entropy).unwrap()
}

fn like(name: &str) -> Card {
    powered(made(shipped(name).unwrap().text))
}

fn powered(new: NewCard) -> Card {
    let mut card = new.insert(Box::new(ChaCha::from_number(2)));
    card.reset();
    card
}

/// A command, and its answer with what GET RESPONSE fetches.
fn send(card: &mut Card, command: &[u8]) -> Vec<u8> {
    let (mut data, mut answer) = (Vec::new(), card.transmit(command));
    while let Some((part, &[0x61, more])) = answer.split_last_chunk::<2>() {
        data.extend_from_slice(part);
        answer = card.transmit(&[command[0], 0xC0, 0, 0, more]);
    }
    data.extend(answer);
    data
}

fn select(card: &mut Card, aid: &[u8]) -> Vec<u8> {
    send(card, &[&[0x00, 0xA4, 0x04, 0x0C, u8::try_from(aid.len()).unwrap()], aid].concat())
}

fn es10(card: &mut Card, request: &[u8]) -> Vec<u8> {
    send(card, &[&[0x80, 0xE2, 0x91, 0x00, u8::try_from(request.len()).unwrap()], request].concat())
}

fn enable_by_iccid(card: &mut Card, refresh: u8) -> Vec<u8> {
    es10(card, &[&hex!("BF3111 A00C 5A0A 98000000000000000021 8101")[..], &[refresh]].concat())
}

const ISD_R: [u8; 16] = hex!("A0000005591010FFFFFFFF8900000100");
const EID: [u8; 6] = hex!("BF3E035C015A");
const OK: [u8; 2] = [0x90, 0x00];

#[test]
fn an_isd_r_under_a_vendors_name() {
    let mut card = like("5ber");
    assert_eq!(select(&mut card, &ISD_R), [0x6A, 0x82]);
    assert_eq!(select(&mut card, &hex!("A0000005591010FFFFFFFF8900050500")), OK);
    assert!(es10(&mut card, &EID).ends_with(&OK));
    // Not with refreshFlag: undefinedError.
    assert_eq!(enable_by_iccid(&mut card, 0xFF), hex!("BF3103 80017F 9000"));
}

#[test]
fn several_names_lead_to_one_isd_r() {
    let both = r#"isd_r.aids = ["A0000005591010FFFFFFFF8900050500", "A0000005591010FFFFFFFF8900000100"]"#;
    let mut card = powered(made(both));
    assert_eq!(select(&mut card, &ISD_R), OK);
    let challenge = es10(&mut card, &hex!("BF2E00"));
    assert_eq!(challenge.len(), 3 + 18 + 2);
    assert_eq!(select(&mut card, &hex!("A0000005591010FFFFFFFF8900050500")), OK);
    assert!(es10(&mut card, &EID).ends_with(&OK));
}

#[test]
fn a_card_without_logical_channels() {
    let mut card = like("basic-channel");
    assert_eq!(card.atr(), hex!("3B9F96801FC78031E073FE211B57AA866016010001BA"));
    assert_eq!(card.transmit(&hex!("0070000001")), [0x68, 0x81]);
    assert_eq!(card.transmit(&hex!("01A4040010A0000005591010FFFFFFFF8900000100")), [0x68, 0x81]);
    let fci = send(&mut card, &hex!("00A4040010A0000005591010FFFFFFFF8900000100"));
    assert_eq!(fci, hex!("6F1F8410A0000005591010FFFFFFFF8900000100A5049F6501FFE0058203020202 9000"));
}

/// REFRESH to a terminal that announced nothing, and `6985` until the reset that it asks for.
#[test]
fn a_card_that_wants_a_reset() {
    let mut card = like("refresh-then-reset");
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert_eq!(enable_by_iccid(&mut card, 0xFF), hex!("BF3103 800100 910B"));
    assert_eq!(card.transmit(&hex!("801200000B")), hex!("D009810301010482028182 9000"));
    assert_eq!(es10(&mut card, &EID), [0x69, 0x85]);
    card.reset();
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert!(es10(&mut card, &EID).ends_with(&OK));
}

#[test]
fn what_else_differs() {
    let mut bare = like("ecasd-bare");
    assert_eq!(select(&mut bare, &hex!("A0000005591010FFFFFFFF8900000200")), OK);
    let eid = send(&mut bare, &hex!("00CA005A10"));
    assert_eq!((eid.len(), &eid[..2]), (18, &hex!("8904")[..]));
    let mut odd = powered(made("[isd_r]\nunknown_tag = \"9000\"\nlongest_block = 64\nlongest_nickname = 3"));
    assert_eq!(select(&mut odd, &ISD_R), OK);
    assert_eq!(es10(&mut odd, &hex!("BF7F00")), OK);
    assert_eq!(odd.transmit(&[&hex!("80E2110041")[..], &[0; 0x41]].concat()), [0x67, 0x00]);
    assert_eq!(es10(&mut odd, &hex!("BF2912 5A0A 98000000000000000021 9004 61626364")), hex!("BF2903 80017F 9000"));
    assert_eq!(es10(&mut odd, &hex!("BF2911 5A0A 98000000000000000021 9003 616263")), hex!("BF2903 800100 9000"));
}

/// The same card in the reader again.
fn again(manufacture: &Manufacture, card: Card) -> Card {
    let entropy = Box::new(ChaCha::from_number(3));
    let mut card = assemble::card(manufacture, card.into_nvm(), entropy, Arc::new(crypto::provider::Deterministic));
    card.reset();
    card
}

#[test]
fn a_fault_survives_a_restart_and_is_counted_down() {
    let new = made("faults = [\"status=6F00@GetEID,from=2,times=2\"]");
    let manufacture = new.manufacture.clone();
    let mut card = powered(new);
    let mut answers = Vec::new();
    for _ in 0..5 {
        assert_eq!(select(&mut card, &ISD_R), OK);
        answers.push(es10(&mut card, &EID).ends_with(&OK));
        card = again(&manufacture, card);
    }
    assert_eq!(answers, [true, false, false, true, true]);
    assert_eq!(fault::state(&card.faults()[0]), "spent, struck 2 times");
}

#[test]
fn what_is_cleared_does_not_strike() {
    let mut card = powered(made("faults = [\"mute,always\", \"status=6F00@GetEID,always\"]"));
    assert!(card.transmit(&hex!("00A40004023F00")).is_empty());
    card.clear_faults(Some(&[1])).unwrap();
    assert!(card.transmit(&hex!("00A40004023F00")).is_empty(), "silent until the next reset");
    card.reset();
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert_eq!(es10(&mut card, &EID), [0x6F, 0x00]);
    card.clear_faults(None).unwrap();
    assert!(es10(&mut card, &EID).ends_with(&OK));
}

/// The state is the one before or the one after, never one between.
#[test]
fn the_power_fails_before_or_behind_a_write() {
    for (text, done) in [("cut@write", false), ("cut@write,after", true), ("write-error", false)] {
        let mut card = powered(made(""));
        assert_eq!(select(&mut card, &ISD_R), OK);
        card.order_faults(&[fault::parse(text).unwrap()]).unwrap();
        let rename = hex!("BF2911 5A0A 98000000000000000021 9003 616263");
        let answer = es10(&mut card, &rename);
        assert_eq!(answer, if text == "write-error" { vec![0x65, 0x81] } else { vec![] }, "{text}");
        if text != "write-error" {
            assert!(card.transmit(&hex!("00A40004023F00")).is_empty(), "without power");
        }
        card.reset();
        assert_eq!(select(&mut card, &ISD_R), OK);
        let named = es10(&mut card, &hex!("BF2D045C025A90"));
        assert_eq!(named.windows(5).any(|octets| octets == hex!("9003616263")), done, "{text}");
    }
}

#[test]
fn each_fault_does_what_it_says() {
    for (text, command, answer) in [
        ("status=6A82@SELECT", &hex!("00A40004023F00")[..], Some(&hex!("6A82")[..])),
        ("mute@SELECT", &hex!("00A40004023F00"), None),
        ("cut", &hex!("00A40004023F00"), None),
        ("drop@SELECT", &hex!("00A40004023F00"), None),
        ("flip-command=0", &hex!("00A4000C023F00"), Some(&hex!("6E00"))),
        ("flip-response=3", &hex!("00A4000C023F00"), Some(&hex!("8000"))),
        ("status=6A80@SELECT,after", &hex!("00A4000C023F00"), Some(&hex!("6A80"))),
    ] {
        let mut card = powered(made(""));
        card.order_faults(&[fault::parse(text).unwrap()]).unwrap();
        let answered = card.transmit(command);
        assert_eq!(answered, answer.unwrap_or_default(), "{text}");
        card.reset();
        assert_eq!(card.transmit(&hex!("00A4000C023F00")), OK, "{text}");
    }
    let mut card = powered(made(""));
    card.order_faults(&[fault::parse("slow=2500ms@SELECT").unwrap()]).unwrap();
    assert_eq!(card.transmit(&hex!("00A4000C023F00")), OK);
    assert_eq!(Icc::delay(&mut card).as_millis(), 2500);
    assert_eq!(Icc::delay(&mut card).as_millis(), 0);
}

#[test]
fn a_full_card_says_so() {
    let mut card = powered(made("faults = [\"memory-full\"]"));
    assert_eq!(select(&mut card, &ISD_R), OK);
    let free = |info: &[u8]| {
        let at = info.windows(2).position(|octets| octets == hex!("8204")).unwrap();
        u32::from_be_bytes(info[at + 2..at + 6].try_into().unwrap())
    };
    let info = es10(&mut card, &hex!("BF2200"));
    assert!(free(&info) == 0 || card.faults()[0].is_spent());
    assert!(free(&es10(&mut card, &hex!("BF2200"))) > 100_000);
}
