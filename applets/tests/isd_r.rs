//! ES10 in dialogue: what an LPA sends, what ISD-R answers, and what it remembers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use applets::isd_r::{Personalisation, Preloaded};
use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, Structure};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{Card, CardProfile, DomainImage, Entropy};
use core::ops::RangeInclusive;
use hex_literal::hex;
use identities::Eid;
use rsp::VersionType;
use rsp::euicc_info::{EuiccInfo2, RspCapability, UiccCapability};
use rsp::rat::GetRatResponse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

struct Counting(u8);
impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

fn files(iccid: Option<[u8; 10]>) -> DomainImage {
    let mut image = DomainImage::new();
    let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
    let mf = image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule), vec![]).unwrap();
    let arr = FileKind::Ef(Structure::LinearFixed { record_length: 5, records: 1 });
    image.add_file(File::new(FileId::MF_ARR, mf, arr, rule), hex!("8001019000").to_vec()).unwrap();
    if let Some(iccid) = iccid {
        let ef = FileKind::Ef(Structure::Transparent { size: 10 });
        image.add_file(File::new(FileId::ICCID, mf, ef, rule), iccid.to_vec()).unwrap();
    }
    image
}

const FIRST: [u8; 10] = hex!("98001032547698103214");
const SECOND: [u8; 10] = hex!("98001032547698103224");

/// An eUICC with two profiles, neither enabled, the second with PPR1.
fn nvm() -> MemoryNvm {
    personalised(&[], &hex!("99020640"))
}

/// An eUICC whose two profiles have these extra objects in their metadata.
fn personalised(first: &[u8], second: &[u8]) -> MemoryNvm {
    nvm_with(&[(FIRST, first), (SECOND, second)])
}

/// An eUICC with these profiles, none enabled: ICCID, and what the metadata says beside the names. Notifications need
/// certificates and are not configured.
fn nvm_with(profiles: &[([u8; 10], &[u8])]) -> MemoryNvm {
    let eid: Eid = "89049032123451234512345678901235".parse().unwrap();
    let info = EuiccInfo2 {
        profile_version: VersionType::new(2, 3, 1),
        svn: VersionType::new(2, 5, 0),
        euicc_firmware_ver: VersionType::new(1, 0, 0),
        ext_card_resource: vec![].into(),
        uicc_capability: UiccCapability::USIM_SUPPORT,
        ts102241_version: None,
        globalplatform_version: None,
        rsp_capability: RspCapability::ADDITIONAL_PROFILE,
        euicc_ci_pk_id_list_for_verification: vec![],
        euicc_ci_pk_id_list_for_signing: vec![],
        euicc_category: None,
        forbidden_profile_policy_rules: None,
        pp_version: VersionType::new(1, 0, 0),
        sas_acreditation_number: "XX-YY-UP-0000".into(),
        certification_data_object: None,
    };
    let preloaded = |iccid: &[u8], extra: &[u8]| {
        let body = [&hex!("5A0A")[..], iccid, &hex!("91035350 4E 92025031"), extra].concat();
        let metadata = [&[0xBF, 0x25, u8::try_from(body.len()).unwrap()][..], &body].concat();
        Preloaded { metadata, ci: [1; 20].into() }
    };
    let isd_r = Personalisation {
        aid: applets::isd_r::AID,
        first_sequence_number: 1,
        keys: Vec::new(),
        behaviour: applets::isd_r::Behaviour::default(),
        eid,
        info,
        rat: GetRatResponse::default(),
        root_ds_address: "ds.example".into(),
        default_dp_address: None,
        certifications: vec![],
        profiles: profiles.iter().map(|(iccid, more)| preloaded(iccid, more)).collect(),
    };
    let mut platform = files(None);
    platform.add_application(isd_r.new_application().unwrap());
    platform.add_application(applets::ecasd::new_application(&eid, applets::ecasd::EidForm::Object));
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, platform, profiles.iter().map(|(iccid, _)| files(Some(*iccid))).collect(), None).unwrap();
    nvm
}

fn card_on(nvm: impl Nvm + 'static) -> Card {
    let mut card = Card::new(CardProfile::default(), Box::new(nvm), Box::new(Counting(0)), applets::build);
    card.reset();
    card
}

/// Lines of `command > response`, in hexadecimal, spaces free.
fn dialogue(card: &mut Card, lines: &str) {
    let bytes = |text: &str| {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect::<Vec<u8>>()
    };
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once('>').expect("command > response");
        let answer = card.transmit(&bytes(command));
        assert_eq!(format!("{answer:02X?}"), format!("{:02X?}", bytes(expected)), "{line}");
    }
}

/// One ES10 command on channel 1: its response, over STORE DATA and GET RESPONSE.
fn es10(card: &mut Card, request: &[u8]) -> Vec<u8> {
    let command = [&[0x81, 0xE2, 0x91, 0x00, u8::try_from(request.len()).unwrap()][..], request].concat();
    let mut answer = card.transmit(&command);
    let mut data = Vec::new();
    while answer[answer.len() - 2] == 0x61 {
        data.extend_from_slice(&answer[..answer.len() - 2]);
        answer = card.transmit(&[0x81, 0xC0, 0, 0, answer[answer.len() - 1]]);
    }
    data.extend(answer);
    data
}

fn open(card: &mut Card) {
    dialogue(
        card,
        "0070000001 > 01 9000
         01A40400 10 A0000005591010FFFFFFFF8900000100 > 6121",
    );
}

/// TC_eUICC_ATR_And_ISDR_Selection (SGP.23 4.2.1), TC_eUICC_ES10c.GetEID (4.2.25).
#[test]
fn selection_and_identity() {
    let mut card = card_on(nvm());
    open(&mut card);
    dialogue(
        &mut card,
        "01C0000021 > 6F1F 8410 A0000005591010FFFFFFFF8900000100 A504 9F6501FF E005 8203 020500 9000
         81E2910006 BF3E035C015A > 6115
         81C0000015 > BF3E125A10 89049032123451234512345678901235 9000
         # in two blocks, and on the basic channel too
         81E2110002 BF3E > 9000
         81E2910104 035C015A > 6115
         00A40400 10 A0000005591010FFFFFFFF8900000100 > 6121
         80E2910006 BF3E035C015A > 6115
         # malformed and unknown
         81E2910003 BF3E00 > 6A80
         81E2910006 BF3E035C015B > 6A80
         81E2910002 BF3E > 6A80
         81E2910003 BF5600 > 6A88
         81E2910000 > 6A80
         81E2910003 BF2401 > 6A88
         81E2910003 880100 > 6985
         81E2920006 BF3E035C015A > 6A86
         # what a secure channel would protect is not taken in the clear
         85E2910006 BF3E035C015A > 6882
         81E2110002 BF3E > 9000
         01A4000C023F00 > 9000
         81E2910104 035C015A > 6A86
         # ECASD
         01A40400 10 A0000005591010FFFFFFFF8900000200 > 611A
         # the data object: recordings of cards show it with and without header, clients need it
         01CA005A12 > 5A1089049032123451234512345678901235 9000
         01CA005A10 > 6C12
         81E2910006 BF3E035C015A > 6982",
    );
}

/// TC_eUICC_ES10a.GetEuiccConfiguredAddresses (4.2.8), SetDefaultDpAddress (4.2.9), ES10b.GetEUICCChallenge (4.2.12),
/// GetEUICCInfo (4.2.13), ListNotification (4.2.14), GetRAT (4.2.27); ES10c.eUICCMemoryReset of the address (4.2.24).
#[test]
fn addresses_and_information() {
    let mut card = card_on(nvm());
    open(&mut card);
    assert_eq!(es10(&mut card, &hex!("BF3C00")), hex!("BF3C0C 810A 64732E6578616D706C65 9000"));
    assert_eq!(es10(&mut card, &hex!("BF3F058003612E62")), hex!("BF3F03800100 9000"));
    card.reset();
    open(&mut card);
    assert_eq!(es10(&mut card, &hex!("BF3C00")), hex!("BF3C11 8003612E62 810A 64732E6578616D706C65 9000"));
    assert_eq!(es10(&mut card, &hex!("BF3404820205 20")), hex!("BF3403800100 9000"), "back to what it was made with");
    assert_eq!(es10(&mut card, &hex!("BF3C00")), hex!("BF3C0C 810A 64732E6578616D706C65 9000"));
    assert_eq!(es10(&mut card, &hex!("BF340482020520")), hex!("BF3403800101 9000"));
    let too_long = [&hex!("BF3F82010A8082 0106")[..], &[b'a'; 262]].concat();
    dialogue(&mut card, &format!("81E2110078 {} > 9000", hex::encode(&too_long[..120])));
    dialogue(&mut card, &format!("81E2910197 {} > 6106", hex::encode(&too_long[120..])));
    dialogue(&mut card, "81C0000006 > BF3F0380017F 9000");
    assert_eq!(es10(&mut card, &hex!("BF4300")), hex!("BF4302A000 9000"));
    assert_eq!(es10(&mut card, &hex!("BF2000")), hex!("BF2009 8203020500 A900 AA00 9000"));
    assert_eq!(es10(&mut card, &hex!("BF2800")), hex!("BF2802A000 9000"));
    assert_eq!(es10(&mut card, &hex!("BF2B00")), hex!("BF2B02A000 9000"));
    assert_eq!(es10(&mut card, &hex!("BF3003800107")), hex!("BF3003800101 9000"));
    let first = es10(&mut card, &hex!("BF2E00"));
    let second = es10(&mut card, &hex!("BF2E00"));
    assert!(first[..5] == hex!("BF2E128010") && first != second);
    assert_eq!(es10(&mut card, &hex!("BF4106800101 810100")), hex!("BF4103810105 9000"));
}

/// TC_eUICC_ES10c.EnableProfile (4.2.21), DisableProfile (4.2.22), DeleteProfile (4.2.23), eUICCMemoryReset (4.2.24).
#[test]
fn profiles_change_state() {
    let mut card = card_on(nvm());
    open(&mut card);
    let by_iccid = |tag: u8, iccid: [u8; 10], refresh: u8| {
        [&[0xBF, tag, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], &iccid, &[0x81, 0x01, refresh]].concat()
    };
    let state = |card: &mut Card| {
        let list = es10(card, &hex!("BF2D045C029F70"));
        list.windows(4).filter(|w| w[..3] == hex!("9F7001")).map(|w| w[3]).collect::<Vec<_>>()
    };
    assert_eq!(state(&mut card), [0, 0]);
    dialogue(&mut card, "00A4000C022FE2 > 6A82");
    // Without a toolkit the change is immediate, refreshFlag or not.
    assert_eq!(es10(&mut card, &by_iccid(0x31, FIRST, 0xFF)), hex!("BF3103800100 9000"));
    assert_eq!(state(&mut card), [1, 0]);
    dialogue(
        &mut card,
        "00A4000C022FE2 > 9000
         00B000000A > 98001032547698103214 9000",
    );
    assert_eq!(es10(&mut card, &by_iccid(0x31, FIRST, 0)), hex!("BF3103800102 9000"));
    assert_eq!(es10(&mut card, &by_iccid(0x31, [0x99; 10], 0)), hex!("BF3103800101 9000"));
    assert_eq!(es10(&mut card, &hex!("BF3110A00B5A099800103254769810328101 00")), hex!("BF3103800101 9000"));
    assert_eq!(es10(&mut card, &hex!("BF330C5A0A98001032547698103214")), hex!("BF3303800102 9000"));
    card.reset();
    open(&mut card);
    assert_eq!(state(&mut card), [1, 0], "it lasts");
    // By AID, with a toolkit: the terminal starts over first.
    dialogue(&mut card, "8010000003FFFFFF > 9000");
    let by_aid = hex!("BF3117A0124F10A0000005591010FFFFFFFF89000011008101FF");
    assert_eq!(es10(&mut card, &by_aid), hex!("BF3103800100 910B"));
    assert_eq!(state(&mut card), [1, 0]);
    assert_eq!(es10(&mut card, &by_aid), hex!("BF3103800105 910B"), "catBusy");
    dialogue(
        &mut card,
        "801200000B > D009 8103010104 82028182 9000
         801400000C 8103010104 82028281 830100 > 9000",
    );
    assert_eq!(state(&mut card), [0, 1]);
    // PPR1 keeps the second profile enabled.
    assert_eq!(es10(&mut card, &by_iccid(0x32, SECOND, 0)), hex!("BF3203800103 9000"));
    assert_eq!(es10(&mut card, &by_iccid(0x31, FIRST, 0)), hex!("BF3103800103 9000"));
    assert_eq!(es10(&mut card, &by_iccid(0x32, FIRST, 0)), hex!("BF3203800102 9000"));
    assert_eq!(es10(&mut card, &hex!("BF330C5A0A98001032547698103214")), hex!("BF3303800100 9000"));
    assert_eq!(es10(&mut card, &hex!("BF330C5A0A98001032547698103214")), hex!("BF3303800101 9000"));
    assert_eq!(state(&mut card), [1]);
    // Memory reset does not ask PPR1.
    assert_eq!(es10(&mut card, &hex!("BF34048202 0780")), hex!("BF3403800100 910B"));
    assert_eq!(es10(&mut card, &hex!("BF2D00")), hex!("BF2D02A000 910B"));
    dialogue(&mut card, "00A4000C022FE2 > 6A82");
}

/// TC_eUICC_ES10c.EnableProfile with refreshFlag: reset instead of, and failure in, TERMINAL RESPONSE (4.2.21).
#[test]
fn a_reset_completes_what_a_refresh_announced() {
    let mut card = card_on(nvm());
    open(&mut card);
    dialogue(&mut card, "8010000003FFFFFF > 9000");
    let enable = hex!("BF3111A00C5A0A980010325476981032148101FF");
    assert_eq!(es10(&mut card, &enable), hex!("BF3103800100 910B"));
    dialogue(&mut card, "00A4000C022FE2 > 6A82");
    card.reset();
    dialogue(&mut card, "00A4000C022FE2 > 9000");
    // The terminal refuses: nothing changes, and the next try is not busy.
    open(&mut card);
    dialogue(&mut card, "8010000003FFFFFF > 9000");
    let disable = hex!("BF3211A00C5A0A980010325476981032148101FF");
    assert_eq!(es10(&mut card, &disable), hex!("BF3203800100 910B"));
    dialogue(
        &mut card,
        "801200000B > D009 8103010104 82028182 9000
         801400000C 8103010104 82028281 830120 > 9000
         00A4000C022FE2 > 9000",
    );
    assert_eq!(es10(&mut card, &hex!("BF3211A00C5A0A98001032547698103214810100")), hex!("BF3203800100 9000"));
    dialogue(&mut card, "00A4000C022FE2 > 6A82");
}

/// TC_eUICC_ES10c.EnableProfile with refreshFlag (4.2.21): a TERMINAL PROFILE between REFRESH and its answer does not lose the change,
/// and nothing else begins while it waits.
#[test]
fn a_terminal_that_starts_over_is_offered_the_refresh_again() {
    let mut card = card_on(nvm());
    open(&mut card);
    dialogue(&mut card, "8010000003FFFFFF > 9000");
    let enable = hex!("BF3111A00C5A0A980010325476981032148101FF");
    assert_eq!(es10(&mut card, &enable), hex!("BF3103800100 910B"));
    assert_eq!(
        es10(&mut card, &hex!("BF330C5A0A98001032547698103214")),
        hex!("BF3303800102 910B"),
        "about to be enabled"
    );
    assert_eq!(es10(&mut card, &hex!("BF34048202 0780")), hex!("BF3403800105 910B"), "catBusy");
    dialogue(
        &mut card,
        "801200000B > D009 8103010104 82028182 9000
         8010000003FFFFFF > 910B
         801200000B > D009 8103020104 82028182 9000
         801400000C 8103020104 82028281 830100 > 9000
         00A4000C022FE2 > 9000",
    );
}

/// TC_eUICC_ES10c.EnableProfile, DisableProfile with a test profile (4.2.21, 4.2.22): the operational profile that it
/// displaced comes back.
#[test]
fn a_test_profile_gives_way_to_what_it_displaced() {
    let mut card = card_on(personalised(&[], &hex!("950100")));
    open(&mut card);
    let enable = |iccid: [u8; 10]| [&hex!("BF3111A00C5A0A")[..], &iccid, &hex!("810100")].concat();
    let disable = |iccid: [u8; 10]| [&hex!("BF3211A00C5A0A")[..], &iccid, &hex!("810100")].concat();
    let iccid = |card: &mut Card| {
        dialogue(card, "00A4000C022FE2 > 9000");
        card.transmit(&hex!("00B000000A"))[..10].to_vec()
    };
    assert_eq!(es10(&mut card, &enable(FIRST)), hex!("BF3103800100 9000"));
    assert_eq!(es10(&mut card, &enable(SECOND)), hex!("BF3103800100 9000"));
    assert_eq!(iccid(&mut card), SECOND);
    assert_eq!(es10(&mut card, &disable(SECOND)), hex!("BF3203800100 9000"));
    assert_eq!(iccid(&mut card), FIRST);
    assert_eq!(es10(&mut card, &disable(FIRST)), hex!("BF3203800100 9000"));
    dialogue(&mut card, "00A4000C022FE2 > 6A82");
}

/// TC_eUICC_ES10c.SetNickname (4.2.26), GetProfilesInfo (4.2.20).
#[test]
fn nicknames_and_tag_lists() {
    let mut card = card_on(nvm());
    open(&mut card);
    assert_eq!(es10(&mut card, &hex!("BF29125A0A980010325476981032149004576F726B")), hex!("BF2903800100 9000"));
    assert_eq!(es10(&mut card, &hex!("BF29125A0A990010325476981032149004576F726B")), hex!("BF2903800101 9000"));
    let too_long = [&hex!("BF294F5A0A980010325476981032149041")[..], &[b'x'; 65]].concat();
    assert_eq!(es10(&mut card, &too_long), hex!("6A80"));
    card.reset();
    open(&mut card);
    let named = hex!("BF2D14A00C5A0A980010325476981032145C045A909F70");
    assert_eq!(
        es10(&mut card, &named),
        hex!("BF2D1AA018E316 5A0A98001032547698103214 9F700100 9004576F726B 9000"),
        "in the order of the ASN.1 module"
    );
    assert_eq!(
        es10(&mut card, &hex!("BF2D14A00C5A0A980010325476981032245C045A909F70")),
        hex!("BF2D14A012E310 5A0A98001032547698103224 9F700100 9000")
    );
    assert_eq!(es10(&mut card, &hex!("BF2D05A003950100")), hex!("BF2D02A000 9000"));
    assert_eq!(es10(&mut card, &hex!("BF2D03 5C019F")), hex!("BF2D03810101 9000"));
}

/// SGP.22 §5.7.15: a criterion that no profile can meet is `incorrectInputValues`, one that none meets an empty list. An ICCID
/// of nine octets is looked for as by the other functions.
#[test]
fn criteria_that_make_no_sense_are_refused() {
    let mut card = card_on(nvm());
    open(&mut card);
    let mut search = |tag: u8, value: &[u8]| {
        let length = |more: usize| u8::try_from(value.len() + more).unwrap();
        es10(&mut card, &[&[0xBF, 0x2D, length(4), 0xA0, length(2), tag, length(0)][..], value].concat())
    };
    let (incorrect, empty) = (hex!("BF2D03810101 9000").to_vec(), hex!("BF2D02A000 9000").to_vec());
    for (tag, right) in [(0x5A, 9..=10), (0x4F, 1..=16)] {
        for length in 0..=20 {
            let expected = if right.contains(&length) { &empty } else { &incorrect };
            assert_eq!(&search(tag, &vec![0x11; length]), expected, "{tag:02X} of {length}");
        }
    }
    for class in 0..=5_u8 {
        let answer = search(0x95, &[class]);
        assert_eq!(answer == incorrect, class > 2, "{class}: {answer:02X?}");
        assert_eq!(answer == empty, class < 2, "{class}: {answer:02X?}");
    }
    assert_eq!(search(0x95, &[0xFF]), incorrect);
    assert_eq!(search(0x90, b"work"), hex!("6A80"), "no criterion");
}

/// SGP.22 §5.7: what has another length than its type in the ASN.1 is no request, `6A80`, whatever the function.
///
/// An ICCID of nine octets is the exception. LPAs in use make it of 18 digits, and retail cards answer it with
/// `iccidOrAidNotFound`.
#[test]
fn values_of_a_wrong_length_are_refused() {
    type Made<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    /// A function, what stands before the value, the value's tag, what stands behind it, and the lengths that are right.
    type Row<'a> = (u8, &'a [u8], u8, &'a [u8], core::ops::RangeInclusive<usize>);
    let mut card = card_on(nvm());
    open(&mut card);
    let tlv = |tag: &[u8], value: &[u8]| [tag, &[u8::try_from(value.len()).unwrap()][..], value].concat();
    let flagged = |tag: u8, identifier: Vec<u8>| {
        tlv(&[0xBF, tag], &[tlv(&[0xA0], &identifier), hex!("810100").to_vec()].concat())
    };
    let enable_iccid: Made<'_> = &|value| flagged(0x31, tlv(&[0x5A], value));
    let disable_iccid: Made<'_> = &|value| flagged(0x32, tlv(&[0x5A], value));
    let delete_iccid: Made<'_> = &|value| tlv(&[0xBF, 0x33], &tlv(&[0x5A], value));
    let nickname: Made<'_> = &|value| tlv(&[0xBF, 0x29], &[tlv(&[0x5A], value), hex!("900141").to_vec()].concat());
    let enable_aid: Made<'_> = &|value| flagged(0x31, tlv(&[0x4F], value));
    let disable_aid: Made<'_> = &|value| flagged(0x32, tlv(&[0x4F], value));
    let delete_aid: Made<'_> = &|value| tlv(&[0xBF, 0x33], &tlv(&[0x4F], value));
    let not_found = |function: u8| [0xBF, function, 3, 0x80, 1, 1, 0x90, 0].to_vec();
    let identifiers = [
        ("enable", 0x31, enable_iccid, vec![9, 10]),
        ("disable", 0x32, disable_iccid, vec![9, 10]),
        ("delete", 0x33, delete_iccid, vec![9, 10]),
        ("nickname", 0x29, nickname, vec![9, 10]),
        ("enable by AID", 0x31, enable_aid, (1..=16).collect()),
        ("disable by AID", 0x32, disable_aid, (1..=16).collect()),
        ("delete by AID", 0x33, delete_aid, (1..=16).collect()),
    ];
    for (name, function, request, right) in identifiers {
        for length in 0..=20 {
            let answer = es10(&mut card, &request(&vec![0x11; length]));
            let expected = if right.contains(&length) { not_found(function) } else { hex!("6A80").to_vec() };
            assert_eq!(answer, expected, "{name}, {length} octets");
        }
    }
    let identifier = hex!("A00C5A0A98001032547698103214");
    let (nothing, reason, transaction) = (&[][..], &hex!("810100")[..], &hex!("800101")[..]);
    let others: [Row<'_>; 9] = [
        (0x31, &identifier, 0x81, nothing, 1..=1),
        (0x32, &identifier, 0x81, nothing, 1..=1),
        (0x3E, nothing, 0x5C, nothing, 1..=1),
        // A sequence number of nine octets is none that a card gave.
        (0x30, nothing, 0x80, nothing, 1..=8),
        (0x41, nothing, 0x80, reason, 1..=16),
        (0x41, transaction, 0x81, nothing, 1..=8),
        // A BIT STRING has an octet for the number of unused bits.
        (0x34, nothing, 0x82, nothing, 1..=20),
        (0x28, nothing, 0x81, nothing, 1..=20),
        (0x3F, nothing, 0x80, nothing, 0..=20),
    ];
    for (function, before, tag, behind, right) in others {
        for length in 0..=20_usize {
            // A small number, the EID's tag, no bit, a host name: right but for its length.
            let fill = match function {
                0x3E => 0x5A,
                0x3F => b'a',
                0x28 | 0x34 => 0,
                _ => 1,
            };
            let value = tlv(&[tag], &vec![fill; length]);
            let answer = es10(&mut card, &tlv(&[0xBF, function], &[before, &value, behind].concat()));
            assert_eq!(answer != hex!("6A80"), right.contains(&length), "BF{function:02X} {tag:02X}, {length} octets");
        }
    }
    // Nicknames: up to 64 octets, whatever they spell.
    for (octets, right) in [(0, true), (64, true), (65, false)] {
        let named = [tlv(&[0x5A], &FIRST), tlv(&[0x90], &vec![b'n'; octets])].concat();
        assert_eq!(es10(&mut card, &tlv(&[0xBF, 0x29], &named)) != hex!("6A80"), right, "{octets}");
    }
}

/// PPR1 keeps its profile's place, also behind a provisioning profile. SGP.22 §2.9.2.4.
#[test]
fn a_provisioning_profile_is_no_way_around_ppr1() {
    let third = hex!("98001032547698103234");
    let mut card = card_on(nvm_with(&[(FIRST, &[]), (SECOND, &hex!("99020640")), (third, &hex!("950101"))]));
    open(&mut card);
    let command =
        |tag: u8, iccid: [u8; 10]| [&[0xBF, tag, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], &iccid, &[0x81, 0x01, 0]].concat();
    assert_eq!(es10(&mut card, &command(0x31, SECOND)), hex!("BF3103800100 9000"));
    assert_eq!(es10(&mut card, &command(0x31, FIRST)), hex!("BF3103800103 9000"));
    assert_eq!(es10(&mut card, &command(0x31, third)), hex!("BF3103800100 9000"), "for connectivity");
    assert_eq!(es10(&mut card, &command(0x31, FIRST)), hex!("BF3103800103 9000"));
    assert_eq!(es10(&mut card, &command(0x32, third)), hex!("BF3203800100 9000"), "the one it displaced is back");
    assert_eq!(es10(&mut card, &command(0x31, FIRST)), hex!("BF3103800103 9000"));
    assert_eq!(es10(&mut card, &command(0x31, SECOND)), hex!("BF3103800102 9000"));
}

/// `TERMINAL PROFILE` with these octets of 36 set.
fn terminal_profile(octets: &[(usize, u8)]) -> String {
    let mut profile = [0; 36];
    for (octet, value) in octets {
        profile[octet - 1] = *value;
    }
    format!("8010000024 {} > 9000", hex::encode(profile))
}

const ENABLE_FIRST: [u8; 20] = hex!("BF3111A00C5A0A980010325476981032148101FF");
const DISABLE_FIRST: [u8; 20] = hex!("BF3211A00C5A0A980010325476981032148101FF");
const REFRESH: (usize, u8) = (3, 0x80);
const PROFILE_STATE_CHANGE: (usize, u8) = (34, 0x20);

/// SGP.22 §5.7.16, §5.7.17 with TS 102 223 §5.2: a terminal that does not announce REFRESH is not asked for one, and the
/// change does not wait for what will never come.
#[test]
fn a_terminal_without_refresh_is_not_asked_for_one() {
    let all_but_refresh: Vec<(usize, u8)> =
        (1..=36).map(|octet| if octet == 3 { (3, 0x7F) } else { (octet, 0xFF) }).collect();
    for octets in [&[][..], &[(1, 0xFF), (2, 0xFF)], &[PROFILE_STATE_CHANGE], &all_but_refresh[..]] {
        let mut card = card_on(nvm());
        open(&mut card);
        dialogue(&mut card, &terminal_profile(octets));
        assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 9000"), "{octets:02X?}");
        dialogue(&mut card, "00A4000C022FE2 > 9000");
        assert_eq!(es10(&mut card, &DISABLE_FIRST), hex!("BF3203800100 9000"), "{octets:02X?}");
        dialogue(&mut card, "00A4000C022FE2 > 6A82");
        assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 9000"));
        assert_eq!(es10(&mut card, &hex!("BF34048202 0780")), hex!("BF3403800100 9000"), "{octets:02X?}");
        dialogue(&mut card, "80F2000C > 9000");
    }
}

/// TS 102 223 §6.4.7: the mode made for it where the terminal announces that, a reset else. SGP.22 §3.2.1.
#[test]
fn refresh_comes_in_the_mode_that_the_terminal_announces() {
    for (octets, mode) in
        [(&[REFRESH][..], "04"), (&[REFRESH, PROFILE_STATE_CHANGE], "09"), (&[REFRESH, (34, 0xDF)], "04")]
    {
        let mut card = card_on(nvm());
        open(&mut card);
        dialogue(&mut card, &terminal_profile(octets));
        assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"));
        dialogue(
            &mut card,
            &format!(
                "801200000B > D009 81030101{mode} 82028182 9000
                 801400000C 81030101{mode} 82028281 830100 > 9000
                 00A4000C022FE2 > 9000"
            ),
        );
    }
}

/// SGP.22 §5.7.16: whatever the terminal answers, nothing is left that would keep the next attempt from its turn.
///
/// What was carried out changes the profile's state at once. What was not leaves it until the next reset: the LPA has heard
/// `ok`, and the specification knows two moments for the change behind it, the answer that REFRESH was performed and the
/// reset. Which answers are none of the first it leaves open; here all from 10 up.
#[test]
fn every_answer_to_a_refresh_ends_it() {
    for result in 0..=0x3F_u8 {
        for asks_again in [true, false] {
            let mut card = card_on(nvm());
            open(&mut card);
            dialogue(&mut card, &terminal_profile(&[REFRESH]));
            assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"));
            dialogue(
                &mut card,
                &format!(
                    "801200000B > D009 8103010104 82028182 9000
                     # one that answers something else changes nothing
                     801400000C 8103020104 82028281 830100 > 6A80
                     8014000009 8103010104 82028281 > 6A80
                     801400000D 8103010104 82028281 8302{result:02X}00 > 9000
                     801400000C 8103010104 82028281 830100 > 6985
                     80F2000C > 9000"
                ),
            );
            if result < 0x10 {
                dialogue(&mut card, "00A4000C022FE2 > 9000");
                continue;
            }
            dialogue(&mut card, "00A4000C022FE2 > 6A82");
            assert_eq!(states(&mut card), [0, 0], "{result:02X}");
            if asks_again {
                assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"), "{result:02X}");
                dialogue(
                    &mut card,
                    "801200000B > D009 8103020104 82028182 9000
                     801400000C 8103020104 82028281 830100 > 9000",
                );
            } else {
                card.reset();
                open(&mut card);
            }
            dialogue(&mut card, "00A4000C022FE2 > 9000");
            assert_eq!(states(&mut card), [1, 0], "{result:02X}");
        }
    }
}

/// 9F70 of every profile in the list.
fn states(card: &mut Card) -> Vec<u8> {
    let list = es10(card, &hex!("BF2D045C029F70"));
    list.windows(4).filter(|window| window[..3] == hex!("9F7001")).map(|window| window[3]).collect()
}

/// SGP.22 §5.7.16: a terminal that starts over without REFRESH, while one waits for it or is with it, will not carry it
/// out. The change was answered `ok`: it comes with the next reset, or when the LPA asks again.
#[test]
fn a_refresh_that_is_not_announced_any_longer_waits_for_the_reset() {
    let all_but_refresh: Vec<(usize, u8)> =
        (1..=36).map(|octet| if octet == 3 { (3, 0x7F) } else { (octet, 0xFF) }).collect();
    for octets in [&[][..], &[(1, 0xFF)], &all_but_refresh[..]] {
        for is_fetched in [false, true] {
            for asks_again in [false, true] {
                let mut card = card_on(nvm());
                open(&mut card);
                dialogue(&mut card, &terminal_profile(&[REFRESH]));
                assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"));
                if is_fetched {
                    dialogue(&mut card, "801200000B > D009 8103010104 82028182 9000");
                }
                dialogue(&mut card, &terminal_profile(octets));
                dialogue(&mut card, "801200000B > 6F00\n 00A4000C022FE2 > 6A82");
                // Another start changes nothing, with REFRESH or without.
                dialogue(&mut card, &terminal_profile(&[REFRESH]));
                dialogue(&mut card, &terminal_profile(octets));
                assert_eq!(states(&mut card), [0, 0]);
                if asks_again {
                    assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 9000"));
                } else {
                    card.reset();
                    open(&mut card);
                }
                dialogue(&mut card, "00A4000C022FE2 > 9000");
                assert_eq!(states(&mut card), [1, 0]);
                // Done once.
                assert_eq!(es10(&mut card, &[&DISABLE_FIRST[..19], &[0]].concat()), hex!("BF3203800100 9000"));
                card.reset();
                open(&mut card);
                assert_eq!(states(&mut card), [0, 0]);
            }
        }
    }
}

/// TS 102 223 §6.4.7: a terminal that does not know the mode made for it, or does not announce it any longer, is asked for a
/// reset.
#[test]
fn a_mode_that_is_not_known_gives_way_to_a_reset() {
    for starts_over in [true, false] {
        let mut card = card_on(nvm());
        open(&mut card);
        dialogue(&mut card, &terminal_profile(&[REFRESH, PROFILE_STATE_CHANGE]));
        assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"));
        dialogue(&mut card, "801200000B > D009 8103010109 82028182 9000");
        if starts_over {
            dialogue(&mut card, &terminal_profile(&[REFRESH]).replace("> 9000", "> 910B"));
        } else {
            dialogue(&mut card, "801400000C 8103010109 82028281 830130 > 910B");
        }
        assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800105 910B"), "the change is under way");
        dialogue(
            &mut card,
            "801200000B > D009 8103020104 82028182 9000
             801400000C 8103020104 82028281 830100 > 9000
             00A4000C022FE2 > 9000",
        );
    }
}

/// A change that was put off gives way to what the LPA asks for next, and to nothing else. SGP.22 §5.7.16 to §5.7.19.
#[test]
fn what_is_asked_for_next_takes_the_place_of_a_change_put_off() {
    /// A request, how its answer begins, and the states of the profiles before and behind a reset.
    type Case<'a> = (Vec<u8>, &'a [u8], &'a [u8], &'a [u8]);
    let profiles = [(FIRST, &[][..]), (SECOND, &[][..])];
    let by_iccid = |tag: u8, iccid: [u8; 10], refresh: u8| {
        [&[0xBF, tag, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], &iccid, &[0x81, 0x01, refresh]].concat()
    };
    let put_off = || {
        let mut card = card_on(nvm_with(&profiles));
        open(&mut card);
        assert_eq!(es10(&mut card, &by_iccid(0x31, FIRST, 0)), hex!("BF3103800100 9000"));
        dialogue(&mut card, &terminal_profile(&[REFRESH]));
        assert_eq!(es10(&mut card, &by_iccid(0x31, SECOND, 1)), hex!("BF3103800100 910B"));
        dialogue(
            &mut card,
            "801200000B > D009 8103010104 82028182 9000
             801400000C 8103010104 82028281 830120 > 9000",
        );
        assert_eq!(states(&mut card), [1, 0]);
        card
    };
    let delete_second = [&hex!("BF330C5A0A")[..], &SECOND].concat();
    let memory_reset = hex!("BF34048202 0780").to_vec();
    let cases: [Case<'_>; 9] = [
        (hex!("BF2D00").to_vec(), &[], &[1, 0], &[0, 1]),
        (by_iccid(0x32, FIRST, 0), &hex!("BF3203800100"), &[0, 0], &[0, 0]),
        (by_iccid(0x31, SECOND, 0), &hex!("BF3103800100"), &[0, 1], &[0, 1]),
        // About to be enabled.
        (delete_second, &hex!("BF3303800102"), &[1, 0], &[0, 1]),
        // Called back: the other one was enabled as far as the LPA knows.
        (by_iccid(0x31, FIRST, 0), &hex!("BF3103800100"), &[1, 0], &[1, 0]),
        (by_iccid(0x31, FIRST, 1), &hex!("BF3103800100"), &[1, 0], &[1, 0]),
        // Called back as well: it is not to be enabled, and nothing was said of the one that is.
        (by_iccid(0x32, SECOND, 0), &hex!("BF3203800100"), &[1, 0], &[1, 0]),
        (by_iccid(0x32, SECOND, 1), &hex!("BF3203800100"), &[1, 0], &[1, 0]),
        (memory_reset, &hex!("BF3403800100"), &[], &[]),
    ];
    for (request, answer, before, behind) in cases {
        let mut card = put_off();
        assert!(es10(&mut card, &request).starts_with(answer), "{request:02X?}");
        assert_eq!(states(&mut card), before, "{request:02X?}");
        card.reset();
        open(&mut card);
        assert_eq!(states(&mut card), behind, "{request:02X?}");
    }
}

/// SGP.22 §5.7.17: an enabling that was put off can be called back by disabling the same profile, once, whatever its policy
/// rules (PPR1 forbids to disable it, and it was never enabled), also where none was enabled. While its REFRESH is under way
/// it cannot; and then the profile may be deleted. The specification says nothing of the time between.
#[test]
fn disabling_calls_back_an_enabling_that_was_put_off() {
    let disable = |refresh: u8| [&DISABLE_FIRST[..19], &[refresh]].concat();
    // 99: profilePolicyRules, PPR1.
    for rules in [&[][..], &hex!("99020640")] {
        for refresh in [0, 1] {
            let mut card = card_on(nvm_with(&[(FIRST, rules), (SECOND, &[])]));
            open(&mut card);
            dialogue(&mut card, &terminal_profile(&[REFRESH]));
            assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"));
            assert_eq!(es10(&mut card, &disable(refresh)), hex!("BF3203800105 910B"), "under way");
            dialogue(
                &mut card,
                "801200000B > D009 8103010104 82028182 9000
                 801400000C 8103010104 82028281 830120 > 9000",
            );
            assert_eq!(es10(&mut card, &disable(refresh)), hex!("BF3203800100 9000"));
            assert_eq!(es10(&mut card, &disable(refresh)), hex!("BF3203800102 9000"), "called back once");
            card.reset();
            open(&mut card);
            assert_eq!(states(&mut card), [0, 0]);
            let delete = [&hex!("BF330C5A0A")[..], &FIRST].concat();
            assert_eq!(es10(&mut card, &delete), hex!("BF3303800100 9000"));
        }
    }
}

/// SGP.22 §5.7.16, §5.7.17: while the REFRESH of a change is under way, `ok` was answered to it, so that neither the profile
/// that goes can be enabled nor the one that comes be disabled; one that has nothing to do with it is what it is.
#[test]
fn what_contradicts_a_change_under_way_has_to_wait() {
    let by_iccid = |tag: u8, iccid: [u8; 10]| {
        [&[0xBF, tag, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], &iccid, &[0x81, 0x01, 0x01]].concat()
    };
    let third = hex!("98000000000000000030");
    let mut card = card_on(nvm_with(&[(FIRST, &[]), (SECOND, &[]), (third, &[])]));
    open(&mut card);
    assert_eq!(es10(&mut card, &[&ENABLE_FIRST[..19], &[0]].concat()), hex!("BF3103800100 9000"));
    dialogue(&mut card, &terminal_profile(&[REFRESH]));
    assert_eq!(es10(&mut card, &by_iccid(0x31, SECOND)), hex!("BF3103800100 910B"));
    for (tag, iccid, result) in
        [(0x31, FIRST, 5), (0x32, FIRST, 5), (0x31, SECOND, 5), (0x32, SECOND, 5), (0x31, third, 5), (0x32, third, 2)]
    {
        let answer = [&[0xBF, tag, 3, 0x80, 1, result][..], &[0x91, 0x0B]].concat();
        assert_eq!(es10(&mut card, &by_iccid(tag, iccid)), answer, "{tag:02X} {iccid:02X?}");
    }
    dialogue(
        &mut card,
        "801200000B > D009 8103010104 82028182 9000
         801400000C 8103010104 82028281 830100 > 9000",
    );
    assert_eq!(states(&mut card), [0, 1, 0]);
}

/// A memory on a disk that is full at times.
struct Disk(MemoryNvm, Arc<AtomicBool>);

impl Nvm for Disk {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.0.get(key)
    }
    fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
        self.0.keys(range)
    }
    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        if self.1.load(Ordering::Relaxed) { Err(NvmError) } else { self.0.apply(updates) }
    }
    fn used(&self) -> usize {
        self.0.used()
    }
}

/// A change that cannot be written when the card starts waits for the next start; ISD-R is there meanwhile.
#[test]
fn a_start_with_a_full_disk_takes_nothing_away() {
    let is_full = Arc::new(AtomicBool::new(false));
    let mut card = card_on(Disk(nvm(), Arc::clone(&is_full)));
    open(&mut card);
    dialogue(&mut card, &terminal_profile(&[REFRESH]));
    assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"));
    is_full.store(true, Ordering::Relaxed);
    card.reset();
    open(&mut card);
    assert_eq!(states(&mut card), [0, 0]);
    is_full.store(false, Ordering::Relaxed);
    assert_eq!(states(&mut card), [0, 0]);
    card.reset();
    open(&mut card);
    assert_eq!(states(&mut card), [1, 0]);
    dialogue(&mut card, "00A4000C022FE2 > 9000");
}

/// SGP.22 §5.7.19: a change that was put off does not outlive the profile it was about.
#[test]
fn a_memory_reset_settles_a_change_put_off() {
    let by_iccid = |tag: u8, iccid: [u8; 10], refresh: u8| {
        [&[0xBF, tag, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], &iccid, &[0x81, 0x01, refresh]].concat()
    };
    for (function, iccid) in [(0x31, SECOND), (0x32, FIRST)] {
        // The second is a test profile, which stays.
        let mut card = card_on(personalised(&[], &hex!("950100")));
        open(&mut card);
        assert_eq!(es10(&mut card, &by_iccid(0x31, FIRST, 0)), hex!("BF3103800100 9000"));
        dialogue(&mut card, &terminal_profile(&[REFRESH]));
        let answer = [&[0xBF, function, 3, 0x80, 1, 0][..], &[0x91, 0x0B]].concat();
        assert_eq!(es10(&mut card, &by_iccid(function, iccid, 1)), answer);
        dialogue(
            &mut card,
            "801200000B > D009 8103010104 82028182 9000
             801400000C 8103010104 82028281 830120 > 9000",
        );
        assert_eq!(es10(&mut card, &hex!("BF34048202 0780")), hex!("BF3403800100 910B"));
        assert_eq!(states(&mut card), [0]);
        let second = by_iccid(0x31, SECOND, 0);
        card.reset();
        open(&mut card);
        assert_eq!(states(&mut card), [0], "{function:02X}");
        assert_eq!(es10(&mut card, &second), hex!("BF3103800100 9000"));
        card.reset();
        open(&mut card);
        assert_eq!(states(&mut card), [1]);
    }
}

/// SGP.22 §5.7.16, §5.7.17: after a change without refreshFlag no proactive command comes before the next TERMINAL
/// PROFILE, whatever the LPA asks for meanwhile. After one with it the terminal knows.
#[test]
fn after_a_change_the_terminal_profile_comes_first() {
    let without = |request: [u8; 20]| [&request[..19], &[0]].concat();
    let mut card = card_on(nvm());
    open(&mut card);
    dialogue(&mut card, &terminal_profile(&[REFRESH]));
    assert_eq!(es10(&mut card, &without(ENABLE_FIRST)), hex!("BF3103800100 9000"));
    dialogue(&mut card, "80F2000C > 9000");
    assert_eq!(es10(&mut card, &DISABLE_FIRST), hex!("BF3203800100 9000"));
    dialogue(&mut card, "80F2000C > 9000\n 801200000B > 6F00\n 00A4000C022FE2 > 6A82");
    dialogue(&mut card, &terminal_profile(&[REFRESH]));
    assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 910B"));
    dialogue(
        &mut card,
        "801200000B > D009 8103010104 82028182 9000
         801400000C 8103010104 82028281 830100 > 9000",
    );
    assert_eq!(es10(&mut card, &DISABLE_FIRST), hex!("BF3203800100 910B"));
    assert_eq!(es10(&mut card, &hex!("BF34048202 0780")), hex!("BF3403800105 910B"), "the change waits");
}

/// SGP.22 §5.7.16: a proactive session that is under way is ended by a change without refreshFlag, and not waited for.
#[test]
fn a_change_without_refresh_ends_the_session() {
    let mut card = card_on(personalised(&[], &hex!("950100")));
    open(&mut card);
    assert_eq!(es10(&mut card, &ENABLE_FIRST), hex!("BF3103800100 9000"));
    dialogue(&mut card, &terminal_profile(&[REFRESH]));
    assert_eq!(es10(&mut card, &hex!("BF34048202 0780")), hex!("BF3403800100 910B"), "operational profiles only");
    dialogue(&mut card, "801200000B > D009 8103010104 82028182 9000");
    let second = hex!("BF3111A00C5A0A98001032547698103224810100");
    assert_eq!(es10(&mut card, &second), hex!("BF3103800100 9000"));
    dialogue(
        &mut card,
        "801400000C 8103010104 82028281 830100 > 6985
         80F2000C > 9000
         00A4000C022FE2 > 9000",
    );
}

/// Version 0.1.0 let access rules in unchecked. One that is none keeps a phone from reading any profile of the list, so a
/// profile that has it is shown without rules; the others with theirs.
#[test]
fn malformed_access_rules_of_old_profiles_are_not_shown() {
    let sound = hex!("BF7629 E227 E119 C114 ABABABABABABABABABABABABABABABABABABABAB CA0161 E30A DB080000000000000001");
    let mut card = card_on(personalised(&hex!("BF7610 E20E E100 E30A DB080000000000000001"), &sound));
    open(&mut card);
    let expected = [&hex!("BF2D32 A030 E300 E32C")[..], &sound, &hex!("9000")].concat();
    assert_eq!(es10(&mut card, &hex!("BF2D04 5C02BF76")), expected);
    let names = es10(&mut card, &hex!("BF2D03 5C0192"));
    assert_eq!(names, hex!("BF2D0E A00C E304 92025031 E304 92025031 9000"));
}
