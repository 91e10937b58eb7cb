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

/// The slip of an LPA in the field: what a lenient card takes, a strict one refuses, and nothing is changed.
#[test]
fn a_card_that_takes_the_tags_of_types() {
    let by_slip = hex!("BF3111 A00C 5A0A 98000000000000000021 010101");
    let disable_by_slip = hex!("BF3211 A00C 5A0A 98000000000000000021 010100");
    let states = |card: &mut Card| {
        let list = es10(card, &hex!("BF2D055C039F7000"));
        list.windows(4).filter(|tlv| tlv.starts_with(&[0x9F, 0x70, 0x01])).map(|tlv| tlv[3]).collect::<Vec<_>>()
    };
    let mut strict = like("standard");
    assert_eq!(select(&mut strict, &ISD_R), OK);
    for request in [&by_slip[..], &disable_by_slip, &hex!("BF3404030206C0"), &hex!("BF30030201 01")] {
        assert_eq!(es10(&mut strict, request), [0x6A, 0x80], "{request:02X?}");
    }
    let before = states(&mut strict);
    let mut lenient = like("lenient");
    assert_eq!(select(&mut lenient, &ISD_R), OK);
    assert_eq!(states(&mut lenient), before);
    assert_eq!(es10(&mut lenient, &by_slip), hex!("BF3103 800100 9000"));
    assert_ne!(states(&mut lenient), before);
    assert_eq!(es10(&mut lenient, &by_slip), hex!("BF3103 800102 9000"), "profileNotInDisabledState");
    assert_eq!(es10(&mut lenient, &disable_by_slip), hex!("BF3203 800100 9000"));
    assert_eq!(states(&mut lenient), before);
    // As SGP.22 has it, it is taken too; what is no flag is refused.
    assert_eq!(enable_by_iccid(&mut lenient, 0xFF), hex!("BF3103 800100 9000"));
    for request in [
        &hex!("BF3112 A00C 5A0A 98000000000000000021 01020101")[..],
        &hex!("BF3110 A00C 5A0A 98000000000000000021 0100"),
        &hex!("BF3111 A00C 5A0A 98000000000000000021 020101"),
        &hex!("BF310E A00C 5A0A 98000000000000000021"),
    ] {
        assert_eq!(es10(&mut lenient, request), [0x6A, 0x80], "{request:02X?}");
    }
    assert_eq!(es10(&mut lenient, &hex!("BF290F 5A0A 98000000000000000021 0C0141")), hex!("BF2903 800100 9000"));
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

/// What EUICCInfo2 says is free.
fn free(card: &mut Card) -> u32 {
    let info = es10(card, &hex!("BF2200"));
    let at = info.windows(2).position(|octets| octets == hex!("8204")).unwrap();
    u32::from_be_bytes(info[at + 2..at + 6].try_into().unwrap())
}

fn order(card: &mut Card, faults: &[&str]) {
    let faults: Vec<_> = faults.iter().map(|text| fault::parse(text).unwrap()).collect();
    card.order_faults(&faults).unwrap();
}

/// How often each has struck.
fn struck(card: &Card) -> Vec<u32> {
    card.faults().iter().map(|ordered| ordered.struck).collect()
}

#[test]
fn a_full_card_says_so_once() {
    let mut card = powered(made("faults = [\"memory-full\"]"));
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert_eq!(free(&mut card), 0);
    assert!(free(&mut card) > 100_000);
    assert_eq!(struck(&card), [1]);
}

/// Asked for is free memory where a command tells it or goes by it, and nowhere else.
#[test]
fn a_full_memory_is_counted_where_it_is_seen() {
    let mut card = powered(made(""));
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert_eq!(enable_by_iccid(&mut card, 0), hex!("BF3103800100 9000"));
    card.reset();
    order(&mut card, &["memory-full"]);
    for blind in [&hex!("00A4000C023F00")[..], &hex!("00A4000C022FE2"), &hex!("00B000000A")] {
        let answer = card.transmit(blind);
        assert!(answer.ends_with(&OK), "{answer:02X?}");
        assert_eq!(struck(&card), [0], "{blind:02X?}");
    }
    // Total file size, then available memory, in the template of the MF.
    let shown = send(&mut card, &hex!("00A40004023F00"));
    assert!(shown.windows(6).any(|octets| octets == hex!("830400000000")), "{shown:02X?}");
    assert_eq!(struck(&card), [1]);
    // It lasts for the whole command, whatever else strikes in it.
    order(&mut card, &["memory-full", "write-error"]);
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert_eq!(es10(&mut card, &hex!("BF2911 5A0A 98000000000000000021 9003 616263")), [0x65, 0x81]);
    assert_eq!(struck(&card), [1, 0, 1], "no memory was asked for");
}

/// For an LPA, and for profiles, the card is as without them.
#[test]
fn faults_take_no_memory() {
    let mut card = powered(made(""));
    assert_eq!(select(&mut card, &ISD_R), OK);
    let before = (free(&mut card), send(&mut card, &hex!("01A40004023F00")));
    let used = card.nvm().used();
    for _ in 0..50 {
        order(&mut card, &["status=6F00@FF", "EnableProfile=catBusy,always", "slow=1s@FF"]);
    }
    assert_eq!((free(&mut card), send(&mut card, &hex!("01A40004023F00"))), before);
    assert_eq!(card.nvm().used(), used);
    let mut small = made("");
    small.manufacture.profile.non_volatile_memory = used;
    let mut small = powered(small);
    order(&mut small, &["status=6F00@FF", "memory-full"]);
}

/// Of several that decide the answer one strikes in a command; the other is not counted, and strikes the next time.
#[test]
fn one_fault_follows_another() {
    let mf = hex!("00A4000C023F00");
    for (faults, answers, first) in [
        (&["status=6F00@SELECT", "status=6985@SELECT"][..], &[&hex!("6F00")[..], &hex!("6985"), &OK][..], &[1, 0][..]),
        (&["status=6F00", "status=6985@SELECT,from=2"], &[&hex!("6F00"), &hex!("6985"), &OK], &[1, 0]),
        (&["status=6F00@SELECT", "drop@SELECT"], &[&hex!("6F00"), &[], &OK], &[1, 0]),
        (&["drop@SELECT", "status=6F00@SELECT,after"], &[&[], &hex!("6F00"), &OK], &[1, 0]),
        (&["status=6F00@SELECT,after", "status=6985@SELECT"], &[&hex!("6985"), &hex!("6F00"), &OK], &[0, 1]),
        (&["flip-command=0@SELECT", "status=6985@SELECT"], &[&hex!("6E00"), &hex!("6985"), &OK], &[1, 0]),
        (&["flip-response=3", "flip-response=3"], &[&hex!("8000"), &hex!("8000"), &OK], &[1, 0]),
        // Both are seen.
        (&["status=6985@SELECT", "flip-response=3"], &[&hex!("7985"), &OK], &[1, 1]),
        (&["flip-response=3", "flip-response=2"], &[&hex!("A000"), &OK], &[1, 1]),
        (&["status=6985@SELECT", "slow=1s"], &[&hex!("6985"), &OK], &[1, 1]),
        (&["drop", "slow=1s"], &[&[], &OK, &OK], &[1, 0]),
    ] {
        let mut card = powered(made(""));
        order(&mut card, faults);
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(&card.transmit(&mf), answer, "{faults:?} {number}");
            if number == 0 {
                assert_eq!(struck(&card), first, "{faults:?}");
            }
        }
        assert!(card.faults().iter().all(|ordered| ordered.struck == 1), "{faults:?}");
    }
    // One that cuts the power, and one behind it.
    let mut card = powered(made(""));
    order(&mut card, &["cut@SELECT", "mute@SELECT"]);
    for struck_by_then in [[1, 0], [1, 1]] {
        assert!(card.transmit(&mf).is_empty());
        assert_eq!(struck(&card), struck_by_then);
        card.reset();
    }
    assert_eq!(card.transmit(&mf), OK);
}

/// At a function, at the command that brings it, and at the write within: the one met first decides.
#[test]
fn faults_at_different_places_of_one_command() {
    let rename = hex!("BF2911 5A0A 98000000000000000021 9003 616263");
    let (done, refused) = (hex!("BF29038001009000").to_vec(), hex!("BF290380010190 00").to_vec());
    for (faults, answers) in [
        (["SetNickname=iccidNotFound", "status=6F00@STORE_DATA,after"], [refused.clone(), vec![0x6F, 0x00]]),
        (["SetNickname=iccidNotFound", "write-error"], [refused.clone(), vec![0x65, 0x81]]),
        (["SetNickname=iccidNotFound,after", "write-error"], [refused.clone(), vec![0x65, 0x81]]),
        (["SetNickname=iccidNotFound", "SetNickname=iccidNotFound,after"], [refused.clone(), refused.clone()]),
        (["status=6F00@SetNickname", "write-error"], [vec![0x6F, 0x00], vec![0x65, 0x81]]),
        (["drop@SetNickname", "status=6F00@STORE_DATA,after"], [vec![], vec![0x6F, 0x00]]),
    ] {
        let mut card = powered(made(""));
        assert_eq!(select(&mut card, &ISD_R), OK);
        order(&mut card, &faults);
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(&es10(&mut card, &rename), answer, "{faults:?} {number}");
            assert_eq!(struck(&card), [1, u32::from(number == 1)], "{faults:?} {number}");
        }
        assert_eq!(es10(&mut card, &rename), done, "{faults:?}");
    }
}

/// A result code is for a request that it answers: others do not spend it.
#[test]
fn what_cannot_be_answered_does_not_spend_a_code() {
    let mut card = powered(made(""));
    assert_eq!(select(&mut card, &ISD_R), OK);
    order(&mut card, &["EnableProfile=catBusy", "DisableProfile=catBusy,after", "AuthenticateServer=invalidOid"]);
    // Not decodable: nothing to answer to, nothing done.
    assert_eq!(es10(&mut card, &hex!("BF3205 3003020100")), [0x6A, 0x80]);
    assert_eq!(es10(&mut card, &hex!("BF3803 020100")), [0x6A, 0x80]);
    assert_eq!(struck(&card), [0, 0, 0]);
    assert_eq!(enable_by_iccid(&mut card, 0), hex!("BF31038001059000"));
    // What strikes whatever the answer is meets a status word as well.
    order(&mut card, &["status=6F00@DisableProfile,after"]);
    assert_eq!(es10(&mut card, &hex!("BF3205 3003020100")), [0x6F, 0x00]);
    assert_eq!(struck(&card), [1, 0, 0, 1]);
}

/// What could never strike is refused, and changes nothing, however it is ordered.
#[test]
fn never_is_not_always() {
    let mut card = powered(made(""));
    let fault = fault::parse("status=6F00@SELECT").unwrap();
    for never in [fault.times(Some(0)), fault.from(0)] {
        assert_eq!(card.order_faults(&[fault, never]), Err(fault::OrderError::Never(never)));
    }
    assert!(card.faults().is_empty());
}

/// As known of one in the field: its ISD-R wants the reset, its files do not.
#[test]
fn only_es10_waits_for_the_reset() {
    let mut card = like("reset-only");
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert_eq!(enable_by_iccid(&mut card, 0), hex!("BF3103800100 9000"));
    for request in [&EID[..], &hex!("BF2200"), &hex!("BF2D00"), &hex!("BF2800")] {
        assert_eq!(es10(&mut card, request), [0x69, 0x85], "{request:02X?}");
    }
    assert_eq!(card.transmit(&hex!("01A4000C023F00")), hex!("6881"), "no such channel is open");
    assert_eq!(card.transmit(&hex!("00A4000C023F00")), OK);
    card.reset();
    assert_eq!(select(&mut card, &ISD_R), OK);
    assert!(es10(&mut card, &EID).ends_with(&OK));
}
