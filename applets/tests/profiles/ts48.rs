//! The GSMA TS.48 generic test profile, version 7.0, installed unchanged and seen through APDUs.

use apdu::StatusWord;
use apdu::tlv::{Tag, Tlv};
use applets::profile::{Interpreter, Limits, interpret};
use hex_literal::hex;
use rsp::notification::ErrorReason;

use crate::card::{Terminal, card, limits};
use crate::normative::{self, Kind};

const PACKAGE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/ts48/TS48_v7.0_SAIP2.3_BERTLV_SUCI.der");
const USIM: [u8; 12] = hex!("A0000000871002FF49FF0589");
const ISIM: [u8; 12] = hex!("A0000000871004FF49FF0589");
const CSIM: [u8; 16] = hex!("A0000003431002F310FFFF89020000FF");
const MNO_SD: [u8; 8] = hex!("A000000151000000");
const ADM1: (u8, &[u8]) = (0x0A, b"55555555");

/// The package, or nothing, said aloud, on a machine without it.
fn package() -> Option<Vec<u8>> {
    let package = std::fs::read(PACKAGE).ok();
    if package.is_none() {
        println!("skipped: no {PACKAGE}");
    }
    package
}

/// Selects a file of the workbook by its path and gives the FCP.
fn select(terminal: &mut Terminal, path: &str) -> apdu::Response {
    let applications: [(&str, &[u8]); 3] = [("USIM", &USIM), ("ISIM", &ISIM), ("CSIM", &CSIM)];
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let octets = hex::decode(rest.replace('/', "")).unwrap();
    match applications.iter().find(|(name, _)| *name == first) {
        Some((_, aid)) if rest.is_empty() => terminal.select_application(aid),
        Some((_, aid)) => {
            assert_eq!(terminal.select_application(aid).sw, StatusWord::OK);
            terminal.command([0x00, 0xA4, 0x08, 0x04], &[&[0x7F, 0xFF], octets.as_slice()].concat())
        }
        None if rest.is_empty() => terminal.command([0x00, 0xA4, 0x00, 0x04], &[0x3F, 0x00]),
        None => terminal.command([0x00, 0xA4, 0x08, 0x04], &octets),
    }
}

fn object(fcp: &[u8], tag: u32) -> Option<Vec<u8>> {
    let template = Tlv::parse(fcp).unwrap();
    assert_eq!(template.tag, Tag(0x62));
    template.children().find(Tag(tag)).unwrap().map(|object| object.value.to_vec())
}

/// Reads the whole of the current EF.
fn read(terminal: &mut Terminal, kind: Kind, size: usize) -> Result<Vec<u8>, StatusWord> {
    let mut content = Vec::new();
    match kind {
        Kind::Transparent => {
            while content.len() < size {
                let [.., high, low] = content.len().to_be_bytes();
                let piece = u8::try_from((size - content.len()).min(200)).unwrap();
                let response = terminal.send(&[0x00, 0xB0, high, low, piece]);
                if response.sw != StatusWord::OK {
                    return Err(response.sw);
                }
                content.extend(response.data);
            }
        }
        Kind::Linear { record_length } | Kind::Cyclic { record_length } => {
            for record in 1..=u8::try_from(size / record_length).unwrap() {
                let response = terminal.send(&[0x00, 0xB2, record, 0x04, u8::try_from(record_length).unwrap()]);
                if response.sw != StatusWord::OK {
                    return Err(response.sw);
                }
                content.extend(response.data);
            }
        }
        Kind::BerTlv => {
            let response = terminal.command([0x80, 0xCB, 0x00, 0x80], &[0x5C]);
            if response.sw != StatusWord::OK {
                return Err(response.sw);
            }
            // The list of tags, without its own tag and length: empty.
            content.extend_from_slice(Tlv::parse(&response.data).unwrap().value);
        }
        Kind::Df => {}
    }
    Ok(content)
}

/// Writes the first octets or the last record of the current EF as they are.
fn rewrite(terminal: &mut Terminal, kind: Kind, content: &[u8]) -> StatusWord {
    match kind {
        Kind::Transparent => terminal.command([0x00, 0xD6, 0x00, 0x00], &content[..1]).sw,
        Kind::Linear { record_length } => terminal.command([0x00, 0xDC, 0x01, 0x04], &content[..record_length]).sw,
        Kind::Cyclic { record_length } => {
            terminal.command([0x00, 0xDC, 0x00, 0x03], &content[content.len() - record_length..]).sw
        }
        Kind::BerTlv | Kind::Df => StatusWord::OK,
    }
}

/// What an access rule answers to someone who has verified these keys. PIN1 is disabled in the profile.
fn answer(condition: &str, verified: &[&str]) -> StatusWord {
    match condition {
        "ALWAYS" | "PIN" => StatusWord::OK,
        "NEVER" => StatusWord::SECURITY_STATUS_NOT_SATISFIED,
        key if verified.contains(&key) => StatusWord::OK,
        _ => StatusWord::SECURITY_STATUS_NOT_SATISFIED,
    }
}

/// Where rule and conditions of the workbook contradict each other: the record it refers to is a rule for DFs, or empty. The
/// record counts, and nobody may read.
const UNREADABLE: [&str; 2] = ["3F00/7F10/6F54", "ISIM/6FFE"];

/// Every file of the workbook: selectable, with its size, structure, short identifier and rule; readable and writable by
/// whom the workbook says, with the content it says.
#[test]
fn every_file_is_as_the_workbook_says() {
    let (Some(package), Some(expected)) = (package(), normative::files()) else { return };
    let mut faults = Vec::new();
    for verified in [&[][..], &["ADM"], &["ADM", "PIN2"]] {
        let mut terminal = card(&package);
        for expected in &expected {
            let mut check = |what: &str, is: String, should: String| {
                if is != should {
                    faults.push(format!("{} {}: {what} is {is}, should be {should}", expected.name, expected.path));
                }
            };
            let response = select(&mut terminal, &expected.path);
            check("SELECT", response.sw.to_string(), StatusWord::OK.to_string());
            if response.sw != StatusWord::OK {
                continue;
            }
            let fcp = response.data;
            let descriptor = object(&fcp, 0x82).unwrap();
            let size =
                object(&fcp, 0x80).map_or(0, |size| size.iter().fold(0, |size, octet| size << 8 | usize::from(*octet)));
            let kind = match (descriptor[0] & 0x3F, descriptor.get(3)) {
                (0x38, _) => Kind::Df,
                (0x39, _) => Kind::BerTlv,
                (0x01, _) => Kind::Transparent,
                (0x02, Some(length)) => Kind::Linear { record_length: usize::from(*length) },
                (0x06, Some(length)) => Kind::Cyclic { record_length: usize::from(*length) },
                _ => panic!("{descriptor:02X?}"),
            };
            check("access rule", object(&fcp, 0x8B).unwrap()[2].to_string(), expected.arr_record.to_string());
            if expected.kind == Kind::Df {
                check("kind", format!("{kind:?}"), format!("{:?}", expected.kind));
                continue;
            }
            let sfi = object(&fcp, 0x88).and_then(|sfi| sfi.first().map(|sfi| sfi >> 3));
            check("short identifier", format!("{sfi:02X?}"), format!("{:02X?}", expected.sfi));
            if !expected.shared {
                check("kind", format!("{kind:?}"), format!("{:?}", expected.kind));
                check("size", size.to_string(), expected.size.to_string());
            }
            if verified.contains(&"ADM") {
                assert_eq!(terminal.verify(ADM1.0, ADM1.1), StatusWord::OK);
            }
            if verified.contains(&"PIN2")
                && !expected.path.starts_with("3F00/7F66")
                && expected.path.matches('/').count() > 0
            {
                // Where no PIN2 is in reach its rule is not in use either.
                let sw = terminal.verify(0x81, b"9999\xFF\xFF\xFF\xFF");
                assert!(
                    matches!(sw, StatusWord::OK | StatusWord::REFERENCED_DATA_NOT_FOUND),
                    "{}: {sw}",
                    expected.path
                );
            }
            let content = read(&mut terminal, kind, size);
            let sw = content.as_ref().map_or_else(|sw| *sw, |_| StatusWord::OK);
            let condition = if UNREADABLE.contains(&expected.path.as_str()) { "NEVER" } else { &expected.read };
            check("READ", sw.to_string(), answer(condition, verified).to_string());
            let Ok(content) = content else { continue };
            if let Some(expected) = &expected.content {
                check("content", hex::encode(&content), hex::encode(expected));
            }
            if kind != Kind::BerTlv {
                let sw = rewrite(&mut terminal, kind, &content);
                // Either PIN, the workbook says for all of these; record 9 says the second.
                let either = expected.update == "PIN/PIN2" && expected.arr_record != 9;
                let condition = if either { "PIN" } else { expected.update.trim_start_matches("PIN/") };
                check("UPDATE", sw.to_string(), answer(condition, verified).to_string());
            }
        }
    }
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn installs_without_complaint_in_any_pieces() {
    let Some(package) = package() else { return };
    let whole = interpret(&package, limits()).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(hex::encode(whole.response.encode()), "3007a0053003800100");
    assert_eq!(whole.iccid.octets(), hex!("98001032547698103214"));
    let names: Vec<String> = whole.image.applications().iter().map(|known| known.record.aid.to_string()).collect();
    assert_eq!(names.len(), 8);
    for segment in [1, 7, 1007] {
        let mut interpreter = Interpreter::new(Limits { test_profile: true, ..limits() });
        for piece in package.chunks(segment) {
            interpreter.push(piece).unwrap();
        }
        let profile = interpreter.finish().unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(profile.image.size(), whole.image.size());
    }
}

#[test]
fn a_package_cut_short_or_too_large_is_refused() {
    let Some(package) = package() else { return };
    for end in [0, 1, 100, 5000, package.len() - 9, package.len() - 1] {
        assert!(interpret(&package[..end], limits()).is_err(), "{end}");
    }
    let small = interpret(&package, Limits { memory: 10_000, ..limits() }).err().unwrap();
    assert_eq!(small.reason, ErrorReason::INSUFFICIENT_MEMORY_FOR_PROFILE);
    assert!(small.response.unwrap().profile_installation_aborted);
}

/// Octets changed here and there: refused or another profile, no panic.
#[test]
fn mutations_do_not_panic() {
    let Some(package) = package() else { return };
    let mut refused = 0;
    for at in (0..package.len()).step_by(11) {
        let mut mutated = package.clone();
        mutated[at] ^= 1 << (at % 8);
        if let Err(failure) = interpret(&mutated, limits()) {
            assert!(failure.response.is_some_and(|response| response.profile_installation_aborted));
            refused += 1;
        }
    }
    assert!(refused > 100);
}

/// TS 34.108 §8.1.2 with the key of TS.48; the second set is computed by the same rule.
#[test]
fn usim_and_isim_authenticate_with_the_test_algorithm() {
    let Some(package) = package() else { return };
    let mut terminal = card(&package);
    let rand = hex!("23553cbe9637a89d218ae64dae47bf35");
    let autn = hex!("bd9232ae9a08800023543ebd92132e9a");
    let answer = hex!(
        "DB 10 23543ebd9232ae9a2983ec46a24ab13a 10 543ebd9232ae9a2983ec46a24ab13a23 10 3ebd9232ae9a2983ec46a24ab13a2354"
    );
    let kc = hex!("08 0529CB4867BFAADD");
    assert_eq!(terminal.select_application(&USIM).sw, StatusWord::OK);
    let response = terminal.authenticate(&rand, &autn);
    assert_eq!((hex::encode(response.data), response.sw), (hex::encode([&answer[..], &kc].concat()), StatusWord::OK));
    let gsm = terminal.command([0x00, 0x88, 0x00, 0x80], &[&[0x10], &rand[..]].concat());
    assert_eq!(hex::encode(gsm.data), "043aafcd5b080529cb4867bfaadd");

    assert_eq!(terminal.select_application(&ISIM).sw, StatusWord::OK);
    let response = terminal.authenticate(&rand, &autn);
    assert_eq!((hex::encode(response.data), response.sw), (hex::encode(answer), StatusWord::OK));

    // AMF_RESYNCH asks for AUTS: MAC = XDOUT xor (SQN || FFFF).
    let resynch = hex!("bd9232ae9a08ffff23543ebd92135165");
    let response = terminal.authenticate(&rand, &resynch);
    assert_eq!((response.data[..2].to_vec(), response.data.len()), (hex!("DC0E").to_vec(), 16));
}

#[test]
fn authenticate_refuses_what_it_should() {
    let Some(package) = package() else { return };
    let mut terminal = card(&package);
    terminal.select_application(&USIM);
    let (rand, autn) = ([0x34; 16], hex!("37303132333d8000343536373030b234"));
    assert_eq!(terminal.authenticate(&rand, &autn).sw, StatusWord::AUTHENTICATION_ERROR);
    assert_eq!(terminal.authenticate(&rand, &autn[..15]).sw, StatusWord::WRONG_DATA);
    assert_eq!(terminal.authenticate(&rand[..15], &autn).sw, StatusWord::WRONG_DATA);
    assert_eq!(terminal.command([0x00, 0x88, 0x00, 0x81], &[0x10, 0x00]).sw, StatusWord::WRONG_LENGTH);
    assert_eq!(terminal.command([0x00, 0x88, 0x00, 0x81], &[]).sw, StatusWord::WRONG_LENGTH);
    assert_eq!(terminal.command([0x00, 0x88, 0x01, 0x81], &[0]).sw, StatusWord::WRONG_P1_P2);
    assert_eq!(terminal.command([0x00, 0x88, 0x00, 0x87], &[0]).sw, StatusWord::WRONG_P1_P2);
    for context in [0x82, 0x84] {
        let sw = terminal.command([0x00, 0x88, 0x00, context], &[0]).sw;
        assert_eq!(sw, StatusWord::SECURITY_CONTEXT_NOT_SUPPORTED);
    }
    // PIN1 enabled and, after a reset, not verified.
    assert_eq!(terminal.command([0x00, 0x28, 0x00, 0x01], b"0000\xFF\xFF\xFF\xFF").sw, StatusWord::OK);
    terminal.0.reset();
    terminal.select_application(&USIM);
    let good = hex!("37303132333d8000343536373030b233");
    assert_eq!(terminal.authenticate(&rand, &good).sw, StatusWord::SECURITY_STATUS_NOT_SATISFIED);
    assert_eq!(terminal.verify(0x01, b"0000\xFF\xFF\xFF\xFF"), StatusWord::OK);
    assert_eq!(terminal.authenticate(&rand, &good).sw, StatusWord::OK);

    terminal.select_application(&CSIM);
    assert_eq!(terminal.authenticate(&rand, &good).sw, StatusWord::INS_NOT_SUPPORTED);
}

/// The key list of TS.48 is empty: null scheme, the MSIN in the clear.
#[test]
fn get_identity_without_keys() {
    let Some(package) = package() else { return };
    let mut terminal = card(&package);
    terminal.select_application(&USIM);
    for p2 in [0x81, 0x01] {
        let response = terminal.send(&[0x80, 0x78, 0x00, p2, 0x00]);
        assert_eq!(
            (hex::encode(response.data), response.sw),
            ("a10d0100f110f0ff00001032547698".to_owned(), StatusWord::OK)
        );
    }
    assert_eq!(terminal.send(&[0x80, 0x78, 0x00, 0x85, 0x00]).sw, StatusWord::WRONG_P1_P2);
}

#[test]
fn the_security_domain_answers_questions_and_keeps_its_keys() {
    let Some(package) = package() else { return };
    let mut terminal = card(&package);
    let fci = terminal.select_application(&MNO_SD);
    assert_eq!(hex::encode(fci.data), "6f108408a000000151000000a5049f6501ff");
    let card_data = terminal.send(&[0x80, 0xCA, 0x00, 0x66, 0x00]);
    assert!(hex::encode(card_data.data).starts_with("6630732e06072a864886fc6b01"));
    let keys = terminal.send(&[0x80, 0xCA, 0x00, 0xE0, 0x00]);
    assert_eq!(hex::encode(keys.data), "e024c00401018010c00402018010c00403018010c00401028810c00402028810c00403028810");
    assert!(terminal.send(&[0x80, 0xCA, 0x9F, 0x7F, 0x00]).data.starts_with(&hex!("9F7F2A")));
    assert_eq!(terminal.send(&[0x80, 0xCA, 0x5F, 0x50, 0x00]).sw, StatusWord::REFERENCED_DATA_NOT_FOUND);
    for (ins, p1) in [(0xE2, 0x80), (0xD8, 0x00), (0xE6, 0x0C), (0xE4, 0x00), (0xF0, 0x80)] {
        let sw = terminal.command([0x80, ins, p1, 0x00], &[0]).sw;
        assert_eq!(sw, StatusWord::SECURITY_STATUS_NOT_SATISFIED, "{ins:02X}");
    }
    // A terminal's STATUS is no GET STATUS.
    assert_eq!(terminal.send(&[0x80, 0xF2, 0x00, 0x0C]).sw, StatusWord::OK);
    let own = terminal.command([0x80, 0xF2, 0x80, 0x02], &[0x4F, 0x00]);
    assert_eq!(hex::encode(own.data), "e3134f08a0000001510000009f70010fc50382dc00");
    let mut others = terminal.command([0x80, 0xF2, 0x40, 0x02], &[0x4F, 0x00]);
    while others.sw == StatusWord::MORE_TO_LIST {
        let more = terminal.command([0x80, 0xF2, 0x40, 0x03], &[0x4F, 0x00]);
        others.data.extend(more.data);
        others.sw = more.sw;
    }
    assert_eq!(others.sw, StatusWord::OK);
    let all = hex::encode_upper(&others.data);
    assert!(["A0000000871002FF49FF0589", "A00000055910100004"].iter().all(|aid| all.contains(aid)), "{all}");
    let none = terminal.command([0x80, 0xF2, 0x20, 0x02], &[0x4F, 0x00]);
    assert_eq!(none.sw, StatusWord::REFERENCED_DATA_NOT_FOUND);
}
