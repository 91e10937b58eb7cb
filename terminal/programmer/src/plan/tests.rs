//! What opens a card, in APDUs.

use apdu::transport::Dialogue;

use super::*;
use crate::kind::named;

const TRIES: Tries = Tries { least_left: 2, uncounted: None };
const RAND: [u8; 16] = [0; 16];

/// A plan for a card of this type that writes nothing.
fn opening(kind: &str) -> Plan {
    let (kind, iccid) = (named(kind).unwrap(), Iccid::from([0x98; 10]));
    let functions = Err(Open::OwnAlgorithm);
    Plan { kind, iccid, adm: None, by_makers_key: None, steps: Vec::new(), functions }
}

/// What comes of it with the ADM `88888888`, at a card of these commands and responses.
fn opened(plan: Plan, tries: Tries, steps: &[(&str, &str)]) -> Result<bool, Cause> {
    let octets = |text: &str| hex::decode(text.replace(' ', "")).unwrap();
    let mut card = Dialogue::new(steps.iter().map(|(command, response)| (octets(command), octets(response))));
    let adm: Adm = "88888888".parse().unwrap();
    let mut is_opened = false;
    let told = &mut |progress: Progress<'_>| is_opened |= progress == Progress::Opened;
    let outcome = plan.carry_out(&mut card, Some(&adm), tries, &RAND, told);
    assert!(card.is_finished(), "{outcome:?}");
    assert_eq!(is_opened, outcome.is_ok());
    outcome.map(|_| is_opened).map_err(|stopped| stopped.cause)
}

const ASK: &str = "00 20 00 0A";
const VERIFY: &str = "00 20 00 0A 08 38 38 38 38 38 38 38 38";

#[test]
fn whatever_is_not_9000_after_a_key_refuses_it() {
    for (sw, left) in [
        ("63C1", Some(1)),
        ("63C0", Some(0)),
        ("6983", Some(0)),
        ("9840", Some(0)),
        ("9804", None),
        ("9802", None),
        ("6300", None),
        ("6982", None),
        ("6985", None),
        ("6F00", None),
    ] {
        let cause = opened(opening("sysmoISIM-SJA2"), TRIES, &[(ASK, "63C3"), (VERIFY, sw)]).unwrap_err();
        let sw = StatusWord(u16::from_str_radix(sw, 16).unwrap());
        assert_eq!(cause, Cause::WrongAdm { left, sw });
    }
    assert_eq!(opened(opening("sysmoISIM-SJA2"), TRIES, &[(ASK, "63C3"), (VERIFY, "9000")]), Ok(true));
    // A card that is gone before it answers may have counted.
    let cause = opened(opening("sysmoISIM-SJA2"), TRIES, &[(ASK, "63C3")]).unwrap_err();
    assert!(matches!(cause, Cause::AdmUnanswered(_)), "{cause:?}");
}

/// A card that does not count has a limit, too.
#[test]
fn a_card_that_does_not_tell_is_taken_to_have_few_tries() {
    let open = |uncounted, steps: &[_]| opened(opening("sysmoISIM-SJA2"), Tries { least_left: 2, uncounted }, steps);
    assert_eq!(open(None, &[(ASK, "6E00")]), Err(Cause::Uncounted));
    assert_eq!(open(Some(2), &[(ASK, "6E00")]), Err(Cause::TooFewAssumed { left: 2, least: 2 }));
    assert_eq!(open(Some(3), &[(ASK, "6E00"), (VERIFY, "9000")]), Ok(true));
    let none_left = Tries { least_left: 0, uncounted: Some(0) };
    let refused = opened(opening("sysmoISIM-SJA2"), none_left, &[(ASK, "6E00")]);
    assert_eq!(refused, Err(Cause::TooFewAssumed { left: 0, least: 0 }));
}

const ASK_MAKERS: &str = "00 20 00 0B";
const VERIFY_MAKERS: &str = "A0 20 00 0B 08 38 38 38 38 38 38 38 38";
const SET_ADM: &str = "A0 D4 3A 05 08 38 38 38 38 38 38 38 38";
const ASK_SET: &str = "00 20 00 05";
const VERIFY_SET: &str = "A0 20 00 05 08 38 38 38 38 38 38 38 38";

/// The maker's key is the one thing that is the same on many cards. It is not tried unasked, nor past its counter.
#[test]
fn the_makers_key_is_used_when_it_is_asked_for() {
    let plain = || opening("sysmoSIM-GR2");
    assert_eq!(opened(plain(), TRIES, &[(ASK_SET, "63C3"), (VERIFY_SET, "9000")]), Ok(true));
    let makers = || plain().by_makers_key().unwrap();
    let planned: Vec<_> = makers().planned().map(|planned| (planned.what, planned.place.clone())).collect();
    assert_eq!(planned, [("ADM", "command A0 D4 3A 05".to_owned())]);
    let steps = [(ASK_MAKERS, "63C3"), (VERIFY_MAKERS, "9000"), (SET_ADM, "9000"), (VERIFY_SET, "9000")];
    assert_eq!(opened(makers(), TRIES, &steps), Ok(true));
    let refused = opened(makers(), TRIES, &[(ASK_MAKERS, "63C3"), (VERIFY_MAKERS, "9804")]);
    let sw = StatusWord::GSM_ACCESS_NOT_FULFILLED;
    assert_eq!(refused, Err(Cause::WrongMakersKey { reference: 0x0B, left: None, sw }));
    let few = opened(makers(), TRIES, &[(ASK_MAKERS, "63C2")]);
    assert_eq!(few, Err(Cause::TooFewTries { left: 2, least: 2 }));
    assert_eq!(opened(makers(), TRIES, &[(ASK_MAKERS, "6E00")]), Err(Cause::Uncounted));
    let stopped = opening("sysmoISIM-SJA2").by_makers_key().unwrap_err();
    assert_eq!(stopped.cause, Cause::NoMakersKey("sysmoISIM-SJA2"));
}
