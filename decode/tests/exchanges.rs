//! One exchange of each kind, with what becomes of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use decode::{Decoded, Decoder, Text, Topic};
use hex_literal::hex;

/// The session after these exchanges, and the last of them explained.
fn after(exchanges: &[(&[u8], &[u8])]) -> Decoded {
    let mut decoder = Decoder::new();
    let all: Vec<Decoded> = exchanges.iter().map(|(command, response)| decoder.exchange(command, response)).collect();
    all.into_iter().next_back().unwrap()
}

fn one(command: &[u8], response: &[u8]) -> Decoded {
    after(&[(command, response)])
}

fn shown(decoded: &Decoded, name: &str) -> String {
    decoded
        .find(name)
        .unwrap_or_else(|| panic!("{name} in\n{}", Text::default().write(decoded)))
        .shown()
        .unwrap_or_default()
}

#[test]
fn selection_is_followed() {
    let mf = one(&hex!("00A40004023F00"), &hex!("612E"));
    assert_eq!((mf.summary.as_str(), mf.topic, mf.failed), ("SELECT MF", Topic::File, false));
    let usim: (&[u8], &[u8]) = (&hex!("00A4040407A0000000871002"), &hex!("6134"));
    let imsi = after(&[usim, (&hex!("00A40004026F07"), &hex!("611E"))]);
    assert_eq!(imsi.summary, "SELECT EF.IMSI");
    assert_eq!(shown(&imsi, "select.path"), "ADF.USIM/EF.IMSI");
    let read = after(&[
        usim,
        (&hex!("00A40004026F07"), &hex!("611E")),
        (&hex!("00B0000009"), &hex!("0809101010325476989000")),
    ]);
    assert_eq!((read.summary.as_str(), read.outcome.as_str()), ("READ BINARY EF.IMSI", "9000, IMSI 001010123456789"));
    let path = one(&hex!("00A40804047FFF6F07"), &hex!("6A82"));
    assert!(path.failed && path.outcome == "6A82, no such file or application", "{}", path.outcome);
    let short = after(&[usim, (&hex!("00B08700 09"), &hex!("0809101010325476989000"))]);
    assert_eq!(short.summary, "READ BINARY EF.IMSI");
    let five_gs = after(&[usim, (&hex!("00A40004025FC0"), &hex!("9000")), (&hex!("00A40004024F01"), &hex!("9000"))]);
    assert_eq!(shown(&five_gs, "select.path"), "ADF.USIM/DF.5GS/EF.5GS3GPPLOCI");
    let isd_r = one(&hex!("01A4040010A0000005591010FFFFFFFF8900000100"), &hex!("6121"));
    assert_eq!(isd_r.summary, "SELECT ISD-R, channel 1");
}

#[test]
fn a_response_belongs_to_its_command() {
    let fcp = hex!("6217 8202 4121 8302 2FE2 8A01 05 8B03 2F0602 8002 000A 8801 10 9000");
    let read = after(&[(&hex!("00A40004022FE2"), &hex!("6119")), (&hex!("00C0000019"), &fcp)]);
    assert_eq!(read.summary, "GET RESPONSE to SELECT EF.ICCID");
    assert_eq!(shown(&read, "continues"), "1  SELECT EF.ICCID");
    assert_eq!(shown(&read, "fcp.file_descriptor"), "4121  transparent, shareable");
    assert_eq!(shown(&read, "fcp.arr_record"), "2");
    assert_eq!(shown(&read, "fcp.sfi"), "2");
    let size = read.find("fcp.file_size").unwrap();
    assert_eq!(size.place.as_ref().unwrap().octets, 18..22);
    let repeated = after(&[(&hex!("00B2010400"), &hex!("6C26")), (&hex!("00B2010426"), &hex!("6A83"))]);
    assert_eq!(shown(&repeated, "repeats"), "1");
}

/// Also where the command is none: another length than Lc says, a class that is reserved, a key cut off.
#[test]
fn secrets_stay_out_of_what_is_malformed() {
    let pin = hex!("3837363534");
    for command in [
        &hex!("0020000108 3837363534FFFF")[..],
        &hex!("0020000104 3837363534FFFFFF"),
        &hex!("FF20000108 3837363534FFFFFF"),
        &hex!("80D8008118 71 88 10 3837363534"),
        &hex!("80D8008108 71 88 05 3837363534"),
    ] {
        let explained = one(command, &hex!("6700"));
        assert!(!explained.command.windows(5).any(|some| some == pin), "{command:02X?}");
        let text = format!("{} {}", Text::default().write(&explained), decode::json::event(&explained));
        assert!(!text.to_uppercase().contains("3837363534"), "{text}");
        let mut decoder = Decoder::new().with_secrets(true);
        assert_eq!(decoder.exchange(command, &hex!("6700")).command, command);
    }
}

#[test]
fn pins_stay_out() {
    let verify = one(&hex!("0020000108 31323334FFFFFFFF"), &hex!("63C2"));
    assert_eq!(verify.summary, "VERIFY PIN, PIN1 of application 1");
    assert_eq!(verify.outcome, "63C2, not verified, 2 tries left");
    assert_eq!((shown(&verify, "pin.tries_left"), verify.hidden), ("2".into(), 8));
    let everything = format!("{}{}", Text { brief: false, whole: true }.write(&verify), decode::json::event(&verify));
    assert!(!everything.contains("31323334"), "{everything}");
    let mut decoder = Decoder::new().with_secrets(true);
    let verify = decoder.exchange(&hex!("0020000108 31323334FFFFFFFF"), &hex!("9000"));
    assert_eq!(shown(&verify, "pin.octets"), "31323334FFFFFFFF");
}

#[test]
fn authentication_has_its_parts() {
    let challenge = hex!("10 000102030405060708090A0B0C0D0E0F 10 101112131415161718191A1B1C1D1E1F");
    let command = [&hex!("0088008122")[..], &challenge].concat();
    let answer =
        hex!("DB 08 A1A2A3A4A5A6A7A8 10 C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF 10 D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF 9000");
    let decoded = one(&command, &answer);
    assert_eq!(decoded.summary, "AUTHENTICATE, 3G");
    assert_eq!(shown(&decoded, "authenticate.autn"), "101112131415161718191A1B1C1D1E1F");
    assert_eq!(shown(&decoded, "authenticate.res"), "A1A2A3A4A5A6A7A8");
    assert_eq!(shown(&decoded, "authenticate.ik"), "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF");
    let resynchronise = one(&command, &hex!("DC 0E 000102030405060708090A0B0C0D 9000"));
    assert_eq!(resynchronise.outcome, "9000, AUTS 000102030405060708090A0B0C0D");
    let gsm = one(&[&hex!("0088008011 10")[..], &[7; 16]].concat(), &hex!("04 01020304 08 0102030405060708 9000"));
    assert_eq!(shown(&gsm, "authenticate.kc"), "0102030405060708");
}

#[test]
fn functions_of_the_euicc_are_put_together() {
    let eid = after(&[
        (&hex!("81E2910006BF3E035C015A"), &hex!("6115")),
        (&hex!("81C0000015"), &hex!("BF3E125A10890490449000000000000000001023559000")),
    ]);
    assert_eq!(eid.summary, "GET RESPONSE to GetEID");
    assert_eq!(shown(&eid, "es10.eid"), "89049044900000000000000000102355");
    let blocks = after(&[
        (&[&hex!("81E2110008")[..], &hex!("BF3111A00C5A0A98")].concat(), &hex!("9000")),
        (&[&hex!("81E291010C")[..], &hex!("001032547698103214 8101FF")].concat(), &hex!("BF3103800102 9000")),
    ]);
    assert_eq!(blocks.summary, "EnableProfile, channel 1");
    assert_eq!(shown(&blocks, "es10.iccid"), "89000123456789012341");
    assert_eq!(blocks.find("es10.iccid").unwrap().place.as_ref().unwrap().source, decode::Source::Request);
    assert_eq!(shown(&blocks, "es10.enable_result"), "2  profileNotInDisabledState");
    assert!(blocks.failed && blocks.outcome == "9000, enableResult profileNotInDisabledState", "{}", blocks.outcome);
    let unknown = one(&hex!("80E2910003BF5600"), &hex!("6A88"));
    assert_eq!(unknown.outcome, "6A88, the function is not known");
}

#[test]
fn the_toolkit_speaks() {
    let refresh = one(&hex!("801200000B"), &hex!("D009810301010482028182 9000"));
    assert_eq!(shown(&refresh, "cat.command"), "REFRESH, UICC reset");
    assert_eq!(refresh.outcome, "9000, proactive command REFRESH, UICC reset");
    let response = one(&hex!("801400000C 810301010482028281830100"), &hex!("9000"));
    assert_eq!(response.summary, "TERMINAL RESPONSE to REFRESH, UICC reset");
    assert_eq!(shown(&response, "cat.result"), "00  command performed successfully");
    let profile = one(&hex!("8010000003 000080"), &hex!("910B"));
    assert_eq!(shown(&profile, "terminal_profile.bit"), "REFRESH");
    assert_eq!(profile.outcome, "910B, done, and a proactive command of 11 octets waits for FETCH");
    let text = one(&hex!("801200001C"), &hex!("D01A 8103012180 82028102 8D0F04546F6F6C6B697420546573742031 9000"));
    assert_eq!(shown(&text, "cat.text_string"), "Toolkit Test 1");
}

/// A command packet for the card in an envelope. TS 31.115 §4
#[test]
fn messages_for_the_card_are_opened() {
    let packet = hex!("02 7000 0018 0D 00 00 00 00 B00010 0000000001 00 A40004023F00");
    let tpdu = [&hex!("44 04 8121 43 7F F6 22 10 11 21 43 65 00")[..], &[u8::try_from(packet.len()).unwrap()], &packet]
        .concat();
    let objects = [&hex!("82028381 06 03 811234 8B")[..], &[u8::try_from(tpdu.len()).unwrap()], &tpdu].concat();
    let envelope = [&[0xD1, u8::try_from(objects.len()).unwrap()][..], &objects].concat();
    let command = [&hex!("80C20000")[..], &[u8::try_from(envelope.len()).unwrap()], &envelope].concat();
    let decoded = one(&command, &hex!("9000"));
    assert_eq!(decoded.summary, "ENVELOPE, SMS-PP download");
    assert_eq!(shown(&decoded, "sms.type"), "SMS-DELIVER");
    assert_eq!(shown(&decoded, "secured.tar"), "B00010");
    assert_eq!(shown(&decoded, "secured.counter"), "1");
}

#[test]
fn cards_introduce_themselves() {
    let mut decoder = Decoder::new();
    let reset = decoder.reset(&hex!("3B9F96801FC78031E073FE211B63E203008301900F28"), false);
    assert_eq!(reset.summary, "reset");
    assert_eq!(shown(&reset, "atr.convention"), "direct");
    assert_eq!(shown(&reset, "atr.clock_rate_factor"), "512");
    assert!(reset.find("malformed").is_none());
    for broken in [&hex!("3B")[..], &hex!("3B9F"), &hex!("3B10"), &hex!("3B0F0102"), &hex!("3F80 80 80")] {
        assert!(decoder.reset(broken, false).find("malformed").is_some(), "{broken:02X?}");
    }
}

#[test]
fn security_domains_are_managed() {
    let select: (&[u8], &[u8]) = (&hex!("00A4040008A000000151000000"), &hex!("9000"));
    let update = after(&[
        select,
        (
            &hex!("80503000080102030405060708"),
            &hex!("00000000000000000000 30 03 70 1112131415161718 2122232425262728 00000A 9000"),
        ),
    ]);
    assert_eq!(shown(&update, "gp.secure_channel_protocol"), "SCP03");
    assert_eq!(shown(&update, "gp.card_cryptogram"), "2122232425262728");
    assert_eq!(shown(&update, "gp.sequence_counter"), "10");
    let external = after(&[select, (&hex!("8482330010 0102030405060708 1112131415161718"), &hex!("9000"))]);
    assert_eq!(shown(&external, "gp.security_level"), "51  C-MAC, C-DECRYPTION, R-MAC, R-ENCRYPTION");
    assert_eq!(shown(&external, "mac"), "1112131415161718");
    let put = after(&[select, (&hex!("80D8000105 30 88 01 02 03"), &hex!("9000"))]);
    assert_eq!(shown(&put, "gp.keys"), "(4 octets, secret)");
    let status = after(&[select, (&hex!("80F24002024F00"), &hex!("E310 4F08A000000003000000 9F700107 C500 9000"))]);
    assert_eq!(shown(&status, "gp.aid"), "");
    assert_eq!(status.summary, "GET STATUS, applications and security domains");
    let install = after(&[
        select,
        (&hex!("80E60C0018 05 A000000001 05 A000000002 05 A000000003 01 00 02 C900 00"), &hex!("009000")),
    ]);
    assert_eq!(install.summary, "INSTALL for install and make selectable");
    assert_eq!(shown(&install, "gp.module_aid"), "A000000002");
}

/// A package whose keys are known for the profile alone, in a request that ends within a segment.
#[test]
fn a_profile_is_opened_by_its_own_keys() {
    use crypto::bsp::{Protector, SegmentTag, SessionKeys};
    use crypto::key_log::{KeyLog, KeySet, lines};
    let keys = SessionKeys::new([1; 16], [2; 16], [3; 16]);
    let end = hex!("AA07 A005 8000 81011F");
    let segment = Protector::new(&keys).segment(SegmentTag::Tag86, &end);
    let mut content = hex!("BF2303 800101 A000 A100 A200 A3").to_vec();
    content.push(u8::try_from(segment.len()).unwrap());
    content.extend(&segment);
    let package = [&hex!("BF36")[..], &[u8::try_from(content.len()).unwrap()], &content].concat();
    let (first, second) = package.split_at(package.len() - 4);
    let log = KeyLog::parse(&lines(&[1], KeySet::ProfileProtection, &keys)).unwrap();
    let mut decoder = Decoder::new().with_keys(log);
    let store = |data: &[u8]| [&hex!("80E29100")[..], &[u8::try_from(data.len()).unwrap()], data].concat();
    let begun = decoder.exchange(&store(first), &hex!("9000"));
    assert!(begun.find("bpp.part").is_some() && begun.find("bpp.initialise_secure_channel").is_some());
    lies_within(&begun);
    let ended = decoder.exchange(&store(second), &hex!("9000"));
    assert_eq!(shown(&ended, "pe.kind"), "end");
    lies_within(&ended);
}

/// Every field lies in the octets that it is said to be in.
fn lies_within(decoded: &Decoded) {
    for field in decoded.all() {
        let Some(place) = &field.place else { continue };
        let length = match place.source {
            decode::Source::Command => decoded.command.len() + decoded.hidden,
            decode::Source::Response => decoded.response.len(),
            _ => continue,
        };
        assert!(place.octets.end <= length, "{field:?} of {length} octets");
    }
}

/// Whatever comes, something is said of it.
#[test]
fn noise_is_no_trouble() {
    let mut decoder = Decoder::new();
    for command in
        [&hex!("")[..], &hex!("00"), &hex!("00A400"), &hex!("FFA40000"), &hex!("00A4000005"), &hex!("00900000")]
    {
        for response in [&hex!("")[..], &hex!("90"), &hex!("9000"), &hex!("6100"), &hex!("FF9000")] {
            let read = decoder.exchange(command, response);
            assert!(!Text::default().write(&read).is_empty() && decode::json::event(&read).is_object());
        }
    }
    // Every instruction, with data that fit none, on each answer.
    for ins in 0..=u8::MAX {
        for class in [0x00, 0x80, 0x84, 0xA0] {
            for data in [&hex!("")[..], &hex!("FF"), &hex!("BF36"), &hex!("62047F"), &hex!("D0FF8103"), &[0; 40]] {
                let length = u8::try_from(data.len()).unwrap();
                let command = [&[class, ins, 0x00, 0x00, length][..], data].concat();
                for sw in [hex!("9000"), hex!("6110"), hex!("6C10"), hex!("63C1")] {
                    let read = decoder.exchange(&command, &[data, &sw].concat());
                    lies_within(&read);
                    assert!(!Text { brief: false, whole: true }.write(&read).is_empty());
                }
            }
        }
    }
}
