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

/// TS 102 222: what is created, resized, deleted, terminated, by name; and what is current then.
#[test]
fn files_are_administered() {
    let ok = &hex!("9000")[..];
    let usim: (&[u8], &[u8]) = (&hex!("00A4040407A0000000871002"), &hex!("6134"));
    let objects =
        hex!("00E0000027 6225 82054221001C02 83026F40 A509 C00140 C101FF D20101 8A0105 8B036F0604 80020038 880158");
    let created = after(&[usim, (&objects, ok)]);
    assert_eq!((created.summary.as_str(), created.topic), ("CREATE FILE EF.MSISDN", Topic::File));
    assert_eq!(shown(&created, "directory"), "ADF.USIM");
    assert_eq!(shown(&created, "fcp.file_size"), "56");
    assert_eq!(shown(&created, "fcp.filling_pattern"), "FF");
    assert_eq!(shown(&created, "fcp.toolkit_access"), "01");
    let read = after(&[usim, (&objects, ok), (&hex!("00B201041C"), &hex!("6A83"))]);
    assert_eq!(read.summary, "READ RECORD EF.MSISDN, record 1");
    let refused = after(&[usim, (&objects, &hex!("6A89"))]);
    assert!(refused.failed && refused.outcome.contains("exists"), "{}", refused.outcome);
    let directory = hex!("00E0000012 6210 82027821 83025F3A 8A0105 8B032F0601");
    assert_eq!(one(&directory, ok).summary, "CREATE FILE DF.PHONEBOOK");
    let resized = one(&hex!("80D400000A 6208 83022F05 800200C8"), ok);
    assert_eq!((resized.summary.as_str(), shown(&resized, "fcp.file_size").as_str()), ("RESIZE FILE EF.PL", "200"));
    let deleted = after(&[usim, (&hex!("00E4000002 6F07"), ok)]);
    assert_eq!(
        (deleted.summary.as_str(), shown(&deleted, "file_id").as_str()),
        ("DELETE FILE EF.IMSI", "6F07  EF.IMSI")
    );
    let current = after(&[usim, (&hex!("00A4000C026F07"), ok), (&hex!("00E8000000"), ok)]);
    assert_eq!(current.summary, "TERMINATE EF EF.IMSI");
    assert_eq!(one(&hex!("00E6000002 7F10"), ok).summary, "TERMINATE DF DF.TELECOM");
    assert_eq!(one(&hex!("00FE000000"), ok).summary, "TERMINATE CARD USAGE");
    assert_eq!(after(&[usim, (&hex!("0044000002 6F7E"), ok)]).summary, "ACTIVATE FILE EF.LOCI");
    assert_eq!(one(&hex!("00040800022FE2"), ok).summary, "DEACTIVATE FILE EF.ICCID");
    let exchanged = one(&hex!("807A000003 800101"), &hex!("810100 9000"));
    assert_eq!(shown(&exchanged, "exchange_capabilities.terminal"), "01");
    // Under a proprietary class they are GlobalPlatform's.
    assert_eq!(one(&hex!("80E4000002 4F00"), ok).topic, Topic::GlobalPlatform);
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

/// A command with data.
fn command(header: &[u8], data: &[u8]) -> Vec<u8> {
    [header, &[u8::try_from(data.len()).unwrap()], data].concat()
}

/// The same, with secrets.
fn openly(exchanges: &[(&[u8], &[u8])]) -> Decoded {
    let mut decoder = Decoder::new().with_secrets(true);
    exchanges.iter().map(|(command, response)| decoder.exchange(command, response)).next_back().unwrap()
}

#[test]
fn authentication_has_its_parts() {
    let challenge = hex!("10 000102030405060708090A0B0C0D0E0F 10 101112131415161718191A1B1C1D1E1F");
    let command = [&hex!("0088008122")[..], &challenge].concat();
    let answer =
        hex!("DB 08 A1A2A3A4A5A6A7A8 10 C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF 10 D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF 9000");
    let decoded = openly(&[(&command, &answer)]);
    assert_eq!(decoded.summary, "AUTHENTICATE, 3G");
    assert_eq!(shown(&decoded, "authenticate.autn"), "101112131415161718191A1B1C1D1E1F");
    assert_eq!(shown(&decoded, "authenticate.res"), "A1A2A3A4A5A6A7A8");
    assert_eq!(shown(&decoded, "authenticate.ik"), "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF");
    let resynchronise = one(&command, &hex!("DC 0E 000102030405060708090A0B0C0D 9000"));
    assert_eq!(resynchronise.outcome, "9000, AUTS 000102030405060708090A0B0C0D  synchronisation failure");
    assert!(resynchronise.failed, "a vector was refused");
    let gsm =
        openly(&[(&[&hex!("0088008011 10")[..], &[7; 16]].concat(), &hex!("04 01020304 08 0102030405060708 9000"))]);
    assert_eq!(shown(&gsm, "authenticate.kc"), "0102030405060708");
    // Voice group calls, and the bootstrapping of which RES alone leaves the card. TS 31.102 §7.1.2
    let group = hex!("00880082 10 0400010203 0110 08 2021222324252627");
    let vstk = hex!("DB10 B0B1B2B3B4B5B6B7B8B9BABBBCBDBEBF 9000");
    let group = openly(&[(&group, &vstk)]);
    assert_eq!(shown(&group, "authenticate.vservice_id"), "00010203");
    assert_eq!(shown(&group, "authenticate.vk_id"), "10");
    assert_eq!(shown(&group, "authenticate.vstk_rand"), "2021222324252627");
    assert_eq!(shown(&group, "authenticate.vstk"), "B0B1B2B3B4B5B6B7B8B9BABBBCBDBEBF");
    let bootstrapping = [&hex!("0088008423 DD")[..], &challenge].concat();
    let bootstrapping = openly(&[(&bootstrapping, &hex!("DB 08 A1A2A3A4A5A6A7A8 9000"))]);
    assert_eq!(bootstrapping.summary, "AUTHENTICATE, GBA, bootstrapping");
    assert_eq!(shown(&bootstrapping, "authenticate.res"), "A1A2A3A4A5A6A7A8");
}

/// Each kind of command and response that carries a PIN or a key, and what stands in it.
#[test]
fn secrets_are_shown_on_request_alone() {
    const KEY: [u8; 16] = hex!("5EC2E7A1B3D4F60718293A4B5C6D7E8F");
    let with = |before: &[u8], after: &[u8]| [before, &KEY, after].concat();
    let usim = (hex!("00A4040007A0000000871002").to_vec(), hex!("9000").to_vec());
    let isim = (hex!("00A4040007A0000000871004").to_vec(), hex!("9000").to_vec());
    let stranger = (hex!("00A4040006D27600012345").to_vec(), hex!("9000").to_vec());
    let domain = (hex!("00A4040008A000000151000000").to_vec(), hex!("9000").to_vec());
    let select = |id: [u8; 2]| (command(&hex!("00A40004"), &id), hex!("9000").to_vec());
    let ok = hex!("9000").to_vec();
    let challenge = command(&hex!("00880081"), &[&[0x10], &[1; 16][..], &[0x10], &[2; 16]].concat());
    let answer = [&hex!("DB0401020304 10")[..], &KEY, &hex!("10"), &[3; 16], &hex!("9000")].concat();
    let packet = with(&hex!("002A 0D 0001 15 15 B00010 0000000001 00 80D8018117 3088 10"), &hex!("03 010203"));
    assert_eq!(packet.len(), 2 + 0x2A);
    let tpdu = [&hex!("44 04 8121 43 7F F6 22101121436500 2F 027000")[..], &packet].concat();
    let objects = [&hex!("82028381 8B")[..], &[u8::try_from(tpdu.len()).unwrap()], &tpdu].concat();
    let envelope = [&[0xD1, u8::try_from(objects.len()).unwrap()][..], &objects].concat();
    let sessions: Vec<Vec<(Vec<u8>, Vec<u8>)>> = vec![
        vec![(command(&hex!("00210001"), &with(&hex!("5310"), &[])), ok.clone())],
        vec![(command(&hex!("002D0001"), &with(&hex!("5310"), &[])), ok.clone())],
        vec![(command(&hex!("80D80181"), &with(&hex!("308810"), &hex!("03010203"))), ok.clone())],
        vec![(command(&hex!("90D80181"), &[0x30, 0x88]), ok.clone()), (command(&hex!("80D80181"), &KEY), ok.clone())],
        vec![domain.clone(), (command(&hex!("84820100"), &KEY), ok.clone())],
        vec![domain.clone(), (command(&hex!("80E28800"), &with(&hex!("8F0110"), &[])), ok.clone())],
        vec![domain.clone(), (command(&hex!("80E29000"), &with(&hex!("00B910"), &[])), ok.clone())],
        vec![domain, (command(&hex!("80E20000"), &KEY), ok.clone()), (command(&hex!("80E28001"), &[0]), ok.clone())],
        vec![usim.clone(), select(hex!("6F08")), (command(&hex!("00D60000"), &with(&[0], &[4; 16])), ok.clone())],
        vec![usim.clone(), select(hex!("6F08")), (hex!("00B0000021").to_vec(), with(&[0], &with(&[], &ok)))],
        vec![usim.clone(), (command(&hex!("00D68800"), &with(&[0], &[])), ok.clone())],
        vec![usim.clone(), select(hex!("6FE4")), (hex!("00B2010436").to_vec(), with(&hex!("A0348101078120"), &ok))],
        vec![usim.clone(), (challenge.clone(), answer.clone())],
        vec![usim.clone(), (challenge, hex!("612B").to_vec()), (hex!("00C000002B").to_vec(), answer.clone())],
        vec![(hex!("00C000002B").to_vec(), answer)],
        vec![(command(&hex!("80C20000"), &envelope), ok.clone())],
        // Of cards that are sold to be programmed.
        vec![usim.clone(), select(hex!("AF20")), (command(&hex!("00D60000"), &with(&[0x14], &[3; 16])), ok.clone())],
        vec![isim, select(hex!("AF22")), (command(&hex!("00D60001"), &KEY), ok.clone())],
        vec![usim.clone(), select(hex!("AF31")), (hex!("00B0000010").to_vec(), with(&[], &ok))],
        vec![
            (command(&hex!("00A40804"), &hex!("7FFFAF33")), ok.clone()),
            (hex!("00B0000010").to_vec(), with(&[], &ok)),
        ],
        vec![
            select(hex!("3F00")),
            select(hex!("A515")),
            select(hex!("6F21")),
            (command(&hex!("00D60001"), &KEY), ok.clone()),
        ],
        vec![usim.clone(), select(hex!("A515")), select(hex!("6F21")), (command(&hex!("00D60001"), &KEY), ok.clone())],
        vec![select(hex!("7F20")), select(hex!("0001")), (command(&hex!("A0D60003"), &KEY), ok.clone())],
        vec![select(hex!("7F20")), select(hex!("00F7")), (command(&hex!("A0D60001"), &KEY), ok.clone())],
        vec![select(hex!("3F00")), select(hex!("0001")), (command(&hex!("00D60000"), &KEY), ok.clone())],
        vec![select(hex!("7FF0")), select(hex!("FF02")), (command(&hex!("00D60000"), &KEY), ok.clone())],
        vec![select(hex!("7F4D")), select(hex!("8F0D")), (command(&hex!("A0DC0104"), &KEY), ok.clone())],
        vec![(command(&hex!("80D40200"), &KEY), ok.clone())],
        vec![(command(&hex!("00990000"), &with(&[], &[4; 35])), ok.clone())],
        // Where it is not known what is selected.
        vec![(command(&hex!("00D68800"), &with(&[0], &[])), ok.clone())],
        vec![(hex!("00B0890011").to_vec(), with(&[0], &ok))],
        vec![(hex!("00B0890001").to_vec(), hex!("00 9000").to_vec()), (hex!("00B0000110").to_vec(), with(&[], &ok))],
        vec![(hex!("00B201C412").to_vec(), with(&hex!("A010"), &ok))],
        vec![(hex!("00B0850010").to_vec(), with(&[], &ok))],
        vec![(hex!("00B0000010").to_vec(), with(&[], &ok))],
        vec![(command(&hex!("00DC0104"), &KEY), ok.clone())],
        vec![stranger, (hex!("00B0880011").to_vec(), with(&[0], &ok))],
        vec![select(hex!("5FC0")), (hex!("00B0850010").to_vec(), with(&[], &ok))],
        vec![(command(&hex!("00A40804"), &hex!("7FFF")), ok.clone()), (hex!("00B0880011").to_vec(), with(&[0], &ok))],
        // Of the wrong length.
        vec![([&hex!("00D6880020 00")[..], &KEY].concat(), hex!("6700").to_vec())],
        vec![(with(&hex!("80D8018120 30 88 10"), &[]), hex!("6700").to_vec())],
        vec![(with(&hex!("00200001"), &[]), hex!("6700").to_vec())],
    ];
    for session in &sessions {
        let (mut closed, mut open) = (Decoder::new(), Decoder::new().with_secrets(true));
        let mut texts = (String::new(), String::new());
        for (command, response) in session {
            for (decoder, text) in [(&mut closed, &mut texts.0), (&mut open, &mut texts.1)] {
                let decoded = decoder.exchange(command, response);
                lies_within(&decoded);
                *text += &Text { brief: false, whole: true }.write(&decoded);
                *text += &decode::json::event(&decoded).to_string();
            }
        }
        // A length may be part of what is malformed.
        let key = decode::hex(&KEY[1..]);
        assert!(!texts.0.contains(&key), "{}", texts.0);
        assert!(texts.1.contains(&key), "{}", texts.1);
    }
    // Two answers with other keys are not the same, though neither is shown.
    let read = |key: &[u8]| {
        let response = [&[0][..], key, &hex!("9000")].concat();
        after(&[
            (&hex!("00A4040007A0000000871002"), &hex!("9000")),
            (&hex!("00A40004026F08"), &hex!("9000")),
            (&hex!("00B0000011"), &response),
        ])
    };
    let (one, other) = (read(&KEY), read(&[9; 16]));
    assert_eq!(one.response, other.response);
    assert_ne!(one.response_hidden, other.response_hidden);
    assert_eq!(decode::compare(one.answer(), other.answer()).len(), 1);
    let mut decoder = Decoder::new();
    let failed = decoder.failed(&command(&hex!("80D80181"), &KEY), "the card was removed");
    assert_eq!((failed.command, failed.hidden), (hex!("80D80181").to_vec(), 17));
}

/// Files that hold none, and the same where it is known what is selected.
#[test]
fn what_is_known_to_be_no_key_is_shown() {
    let shown = |after_reset: bool, exchanges: &[(&[u8], &[u8])]| {
        let mut decoder = Decoder::new();
        if after_reset {
            decoder.reset(&hex!("3B00"), false);
        }
        let (last, before) = exchanges.split_last().unwrap();
        for (command, response) in before {
            decoder.exchange(command, response);
        }
        let read = decoder.exchange(last.0, last.1);
        read.response_hidden == decode::Hidden::default() && read.hidden == 0
    };
    let ok: &[u8] = &hex!("9000");
    let short: (&[u8], &[u8]) = (&hex!("00B0880002"), &hex!("0102 9000"));
    let current: (&[u8], &[u8]) = (&hex!("00B0000002"), &hex!("0102 9000"));
    assert!(shown(true, &[short]) && !shown(false, &[short]));
    assert!(shown(false, &[(&hex!("00A40004023F00"), ok), short]));
    assert!(shown(false, &[(&hex!("00A40004022FE2"), ok), current]) && !shown(false, &[current]));
    assert!(shown(false, &[(&hex!("00A4040007A0000000871002"), ok), (&hex!("00A4000402AF30"), ok), current]));
    assert!(shown(false, &[(&hex!("00B0870002"), &hex!("0102 9000"))]), "EF.IMSI and others, none of keys");
    assert!(shown(false, &[(&hex!("80D40000046202C100"), ok)]), "RESIZE FILE");
}

/// DFs below the MF that a SIM has, selected from an application.
#[test]
fn directories_of_a_sim_are_below_the_mf() {
    let usim: (&[u8], &[u8]) = (&hex!("00A4040007A0000000871002"), &hex!("9000"));
    let path = |exchanges: &[(&[u8], &[u8])]| {
        after(exchanges).find("select.path").and_then(decode::Field::shown).unwrap_or_default()
    };
    assert_eq!(path(&[usim, (&hex!("00A40004027F20"), &hex!("9000"))]), "MF/DF.GSM");
    assert_eq!(path(&[usim, (&hex!("00A4000402A515"), &hex!("9000"))]), "MF/DF.SYSTEM");
    let within = [usim, (&hex!("00A40004027F20"), &hex!("9000")), (&hex!("00A40004026F20"), &hex!("9000"))];
    assert_eq!(path(&within), "MF/DF.GSM/EF.Kc");
}

/// What a user types into a hidden input, and commands for another card.
#[test]
fn secrets_of_the_toolkit_stay_out() {
    let shown = |command: &[u8], response: &[u8]| decode::json::event(&one(command, response)).to_string();
    let response = |objects: &[u8]| shown(&command(&hex!("80140000"), objects), &hex!("9000"));
    let input = response(&hex!("810301230482028281 830100 8D0904 3438313531363233"));
    assert!(!input.contains("48151623") && input.contains("secret_bytes"), "{input}");
    let visible = response(&hex!("810301230082028281 830100 8D0904 3438313531363233"));
    assert!(visible.contains("48151623"), "{visible}");
    // Too short by an octet: the last digit seems to be Le.
    let short = shown(&hex!("8014000016 810301230482028281 830100 8D0904 3438313531363233"), &hex!("9000"));
    assert!(!short.contains("34383135") && !short.contains("\"value\":51"), "{short}");
    let verify = hex!("D018 810301300082028110 A20D 0020000108 3438313531363233 9000");
    let verify = shown(&hex!("801200001A"), &verify);
    assert!(!verify.contains("3438313531363233"), "{verify}");
}

#[test]
fn functions_of_the_euicc_are_put_together() {
    let eid = after(&[
        (&hex!("81E2910006BF3E035C015A"), &hex!("6115")),
        (&hex!("81C0000015"), &hex!("BF3E125A10890490449000000000000000001023559000")),
    ]);
    assert_eq!(eid.summary, "GET RESPONSE to GetEID, channel 1");
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

/// Blocks that do not follow each other are no request, and an answer speaks for itself.
#[test]
fn missing_blocks_are_told() {
    let first: (&[u8], &[u8]) = (&hex!("80E2110006 BF3E035C015A"), &hex!("9000"));
    let gap = after(&[first, (&hex!("80E2910201 00"), &hex!("9000"))]);
    assert_eq!(gap.summary, "STORE DATA, block 2, the last of an incomplete request");
    assert_eq!(shown(&gap, "store_data.missing"), "block 1");
    assert!(gap.find("es10.function").is_none());
    let without = one(&hex!("80E2910306 BF3E035C015A"), &hex!("9000"));
    assert_eq!(shown(&without, "store_data.missing"), "blocks 0 to 2");
    assert!(without.find("es10.function").is_none());
    // A block that was refused is sent again.
    let again = after(&[
        (&hex!("80E2110002 BF3E"), &hex!("9000")),
        (&hex!("80E2110101 03"), &hex!("6985")),
        (&hex!("80E2110101 03"), &hex!("9000")),
        (&hex!("80E2910203 5C015A"), &hex!("6115")),
    ]);
    assert_eq!(again.summary, "GetEID");
    // The recording begins within a download.
    let end = one(&hex!("80E2910003 860100"), &hex!("BF370D BF270A 8001AA A205 A103800102 9000"));
    assert_eq!(end.topic, Topic::Es10);
    assert!(end.find("es10.transaction_id").is_some(), "{}", Text::default().write(&end));
}

/// A channel opened on another than the basic one begins where that one is. TS 102 221 §11.1.17
#[test]
fn channels_begin_where_they_are_opened() {
    let isim: (&[u8], &[u8]) = (&hex!("01A4040007A0000000871004"), &hex!("9000"));
    let opened = after(&[isim, (&hex!("0170000001"), &hex!("029000")), (&hex!("02A40004026F07"), &hex!("9000"))]);
    assert_eq!(shown(&opened, "select.path"), "ADF.ISIM/EF.IST");
    let basic = after(&[
        (&hex!("00A4040007A0000000871004"), &hex!("9000")),
        (&hex!("0070000001"), &hex!("029000")),
        (&hex!("02A40004026F07"), &hex!("9000")),
    ]);
    assert_eq!(shown(&basic, "select.path"), "MF/6F07");
}

/// TS 51.011: directories, file headers, status words.
#[test]
fn sims_are_read() {
    let gsm: (&[u8], &[u8]) = (&hex!("A0A40000027F20"), &hex!("9F16"));
    let header = hex!("000000007F20020000000000099100170400838A838A 9000");
    let directory = after(&[gsm, (&hex!("A0C0000016"), &header)]);
    assert_eq!(directory.summary, "GET RESPONSE to SELECT DF.GSM");
    assert_eq!(shown(&directory, "gsm.characteristics"), "145  CHV1 disabled, 3 V");
    assert_eq!(shown(&directory, "gsm.code"), "CHV1: 3 tries left");
    let imsi = after(&[
        gsm,
        (&hex!("A0A40000026F07"), &hex!("9F0F")),
        (&hex!("A0C000000F"), &hex!("000000096F07040015F015010200009000")),
    ]);
    assert_eq!(
        shown(&imsi, "gsm.access"),
        "15F015  read CHV1, update ADM, increase never, rehabilitate CHV1, invalidate ADM"
    );
    assert_eq!(shown(&imsi, "gsm.structure"), "0  transparent");
    let read =
        after(&[gsm, (&hex!("A0A40000026F07"), &hex!("9F0F")), (&hex!("A0B0000009"), &hex!("0809101010325476989000"))]);
    assert_eq!(shown(&read, "ef.imsi"), "001010123456789");
    let phone = after(&[
        (&hex!("A0A40000027F10"), &hex!("9F16")),
        (&hex!("A0A40000026F3A"), &hex!("9F0F")),
        (&hex!("A0B2010410"), &hex!("4142 03 81 2143 FFFFFFFFFFFFFFFF FF FF 9000")),
    ]);
    assert_eq!((shown(&phone, "ef.name"), shown(&phone, "ef.number")), ("AB".into(), "1234".into()));
    for (status, words) in [
        (hex!("9404"), "not found"),
        (hex!("9804"), "wrong CHV"),
        (hex!("9840"), "CHV blocked"),
        (hex!("9240"), "memory problem"),
    ] {
        let refused = one(&hex!("A0A40000027F20"), &status);
        assert!(refused.failed && refused.outcome.contains(words), "{}", refused.outcome);
    }
    assert!(!one(&hex!("A0D6000001 00"), &hex!("9202")).failed, "done after two tries");
}

/// GPD_SPE_013: what phones ask the access rule application, and what programs tell it.
#[test]
fn access_rules_are_read() {
    let select: (&[u8], &[u8]) = (&hex!("00A4040009A00000015141434C00"), &hex!("9000"));
    let rules = hex!(
        "FF4045E243E135C114ABCD92CBB156B280FA4E1429A6ECEEB6E5C1BFE4CA1D636F6D2E676F6F676C652E616E64726F69642E617070732E6D79617070E30ADB0800000000000000019000"
    );
    let all = after(&[select, (&hex!("80CAFF4000"), &rules)]);
    assert_eq!(all.summary, "GET DATA, all access rules");
    assert_eq!(shown(&all, "ara.package"), "com.google.android.apps.myapp");
    assert_eq!(shown(&all, "ara.permissions"), "0000000000000001");
    // A list in parts is no tree until the last has come.
    let part = after(&[select, (&hex!("80CAFF4000"), &hex!("FF4045E243E1359000"))]);
    assert_eq!(shown(&part, "data"), "FF4045E243E135");
    let tag = after(&[select, (&hex!("80CADF2000"), &hex!("DF200801020304050607089000"))]);
    assert_eq!(shown(&tag, "ara.refresh_tag"), "0102030405060708");
    let stored = after(&[select, (&hex!("80E2900012F010E20EE1044F00C100E306D00100D10101"), &hex!("6A89"))]);
    assert_eq!(stored.summary, "STORE DATA, store an access rule");
    assert_eq!(shown(&stored, "ara.nfc"), "1  always");
    let device = after(&[select, (&hex!("80CADF2107E405E60301010000"), &hex!("DF2107E505E6030101009000"))]);
    assert_eq!(device.summary, "GET DATA, configuration");
    assert_eq!(shown(&device, "ara.version"), "1.1.0");
}

/// An instruction has its name under its own class.
#[test]
fn classes_tell_instructions_apart() {
    for (command, summary) in [
        (&hex!("00E2000003 BF2D00")[..], "APPEND RECORD, a file"),
        (&hex!("00100000 01 FF"), "INS 10"),
        (&hex!("0012000010"), "INS 12"),
        (&hex!("00D8010001 30"), "INS D8"),
        (&hex!("A010000001 FF"), "TERMINAL PROFILE"),
        (&hex!("8010000001 FF"), "TERMINAL PROFILE"),
    ] {
        assert_eq!(one(command, &hex!("9000")).summary, summary);
    }
}

/// Contents of files, octet by octet.
#[test]
fn files_have_their_layout() {
    let read = |id: [u8; 2], content: &[u8]| {
        let select = [&hex!("00A4000402")[..], &id].concat();
        let response = [content, &hex!("9000")].concat();
        after(&[
            (&hex!("00A4040007A0000000871002"), &hex!("9000")),
            (&select, &hex!("9000")),
            (&hex!("00B0000000"), &response),
        ])
    };
    // TS 31.102 §4.2.17: an octet between the LAI and the status is reserved.
    let loci = read(hex!("6F7E"), &hex!("01020304 32F4510001 FF 02"));
    assert_eq!((shown(&loci, "ef.tmsi"), shown(&loci, "ef.location")), ("01020304".into(), "32F4510001".into()));
    assert_eq!(shown(&loci, "ef.update_status"), "2  PLMN not allowed");
    let psloci = read(hex!("6F73"), &hex!("01020304 050607 32F4510001 09 01"));
    assert_eq!(shown(&psloci, "ef.p_tmsi_signature"), "050607");
    assert_eq!(shown(&psloci, "ef.location"), "32F451000109");
    let epsloci = read(hex!("6FE3"), &hex!("0B F6 32F451 8001 02 03040506 32F4510007 00"));
    assert_eq!(shown(&epsloci, "ef.guti"), "0BF632F45180010203040506");
    assert_eq!((shown(&epsloci, "ef.location"), shown(&epsloci, "ef.plmn")), ("32F4510007".into(), "234-15".into()));
    let plmns = read(hex!("6F60"), &hex!("00F1106000 00F1100088 00F110008C 00F1107000"));
    let technologies =
        plmns.all().filter(|field| field.name.name == "ef.plmn").filter_map(|field| field.meaning.clone());
    assert_eq!(technologies.collect::<Vec<_>>(), ["E-UTRAN WB-S1", "EC-GSM-IoT", "GSM, EC-GSM-IoT", "E-UTRAN"]);
    let unused = read(hex!("6F07"), &[0xFF; 9]);
    assert_eq!(unused.find("ef.free").unwrap().value, decode::Value::Flag(true));
    let iccid: (&[u8], &[u8]) = (&hex!("00A40004022FE2"), &hex!("9000"));
    let iccid = after(&[iccid, (&hex!("00B000000A"), &hex!("98001032547698103F14 9000"))]);
    assert_eq!(shown(&iccid, "ef.iccid"), "8900012345678901F341  not all of it decimal digits");
}

/// TS 102 221 §9.5.2 and table 9.5.
#[test]
fn access_is_explained() {
    let fcp = hex!("6219 82027821 83023F00 8A0105 C60C 900140 830101 830181 83010A 9000");
    let fcp = one(&hex!("00A40004023F00"), &fcp);
    let enabled = "40  PIN1 of application 1 disabled, PIN2 of application 1 enabled, ADM1 disabled";
    assert_eq!(shown(&fcp, "fcp.pin_enabled"), enabled);
    let rule: (&[u8], &[u8]) = (&hex!("00A40004022F06"), &hex!("9000"));
    let rule = after(&[rule, (&hex!("00B2010407"), &hex!("800143 9000 FFFF 9000"))]);
    let words = "67  read, update (of a DF: delete child, create EF), delete";
    assert_eq!(shown(&rule, "arr.access_mode"), words);
}

/// A question about tries is no failure, and one is no plural.
#[test]
fn tries_are_counted() {
    let asked = one(&hex!("00200001"), &hex!("63C1"));
    assert!(!asked.failed);
    assert_eq!(asked.outcome, "63C1, 1 try left");
    let refused = one(&hex!("0020000108 31323334FFFFFFFF"), &hex!("63C1"));
    assert!(refused.failed);
    assert_eq!(refused.outcome, "63C1, not verified, 1 try left");
    assert_eq!(one(&hex!("0026000108 31323334FFFFFFFF"), &hex!("6984")).outcome, "6984, the PIN is disabled already");
    let list = one(&hex!("80E2910008 BF2D055C035A9F70"), &hex!("6110"));
    assert_eq!(shown(&list, "es10.tag_list"), "5A9F70  5A iccid, 9F70 profileState");
}

/// Objects with tags from 60 on, and the half octet before the digits of an IMEI. TS 101 220 §7.2, TS 24.008 §10.5.1.4
#[test]
fn objects_have_their_names() {
    let objects = hex!("990112 82028281 7D05 00F1100001 740109 75010B 7203010203");
    let rejection = one(&command(&hex!("80C20000"), &[&[0xD6, 25], &objects[..]].concat()), &hex!("9000"));
    assert_eq!(shown(&rejection, "cat.tracking_area"), "00F1100001");
    assert_eq!(
        (shown(&rejection, "cat.update_type"), shown(&rejection, "cat.rejection_cause")),
        ("9".into(), "11".into())
    );
    let imei = hex!("810301260182028281 830100 94081A32547698103254");
    let imei = one(&command(&hex!("80140000"), &imei), &hex!("9000"));
    assert_eq!(shown(&imei, "cat.imei"), "123456789012345");
}

/// The numbers in TERMINAL PROFILE, and a time stamp that is none.
#[test]
fn numbers_are_read() {
    let mut bits = [0; 34];
    (bits[12], bits[13], bits[14], bits[15], bits[33]) = (0xE0, 0x05, 0x50, 0x60, 0x20);
    let profile = one(&command(&hex!("80100000"), &bits), &hex!("9000"));
    assert_eq!(shown(&profile, "terminal_profile.channels"), "7");
    assert_eq!(shown(&profile, "terminal_profile.lines"), "5");
    assert_eq!(shown(&profile, "terminal_profile.columns"), "80");
    assert_eq!(shown(&profile, "terminal_profile.menu_width_reduction"), "3");
    let announced: Vec<_> = profile.all().filter(|field| field.name.name == "terminal_profile.bit").collect();
    assert!(announced.iter().any(|bit| bit.shown().unwrap() == "REFRESH, eUICC profile state change"));
    let envelope = hex!("D116 82028381 8B10 00 04 8121 43 00 00 12345678901234 01 41");
    let message = one(&command(&hex!("80C20000"), &envelope), &hex!("9000"));
    assert_eq!(shown(&message, "sms.at"), "12345678901234  no date and time: a digit is out of range");
}

#[test]
fn cards_introduce_themselves() {
    let mut decoder = Decoder::new();
    let reset = decoder.reset(&hex!("3B9F96801FC78031E073FE211B63E203008301900F28"), false);
    assert_eq!(reset.summary, "reset");
    assert_eq!(shown(&reset, "atr.convention"), "direct");
    assert_eq!(shown(&reset, "atr.clock_rate_factor"), "512");
    assert!(reset.find("malformed").is_none());
    let euicc = decoder.reset(&hex!("3B9F96803FC7828031E073FE211B5753494D4F53010008"), false);
    assert_eq!(shown(&euicc, "atr.clock_stop"), "in either state");
    assert_eq!(shown(&euicc, "atr.classes"), "A (5 V), B (3 V), C (1.8 V)");
    assert_eq!(shown(&euicc, "atr.euicc"), "yes");
    for (octet, is_euicc, supported) in [
        (0x80, "no", "no further interfaces"),
        (0x02, "no", "no further interfaces"),
        (0xA0, "no", "UICC-CLF interface (TS 102 613)"),
        (0xA2, "yes", "UICC-CLF interface (TS 102 613)"),
    ] {
        let reset = decoder.reset(&[0x3B, 0x80, 0x80, 0x2F, octet], false);
        assert_eq!((shown(&reset, "atr.euicc").as_str(), shown(&reset, "atr.uicc").as_str()), (is_euicc, supported));
    }
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
            decode::Source::Response => decoded.response.len() + decoded.response_hidden.len(),
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
            lies_within(&decoder.exchange(&[class, ins, 0x00, 0x00], &hex!("9000")));
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
