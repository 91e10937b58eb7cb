//! Sessions with our card, explained; and downloads, opened with the key logs of both ends.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crypto::key_log::KeyLog;
use crypto::provider::{Deterministic, KeyLogging};
use decode::{Decoded, Decoder, Text};
use serde_json::Value;
use vuicc_tests::dialogues;
use vuicc_tests::process::{Finished, run};
use vuicc_tests::specimen::Specimen;
use vuicc_tests::subscriber::{self, K, subscriber};
use vuicc_tests::vuicc::{SmDp, command, json_lines};

/// Every dialogue of the specimen but that which asks for what does not exist.
fn sessions(specimen: &Specimen, keys: &KeyLog, secrets: bool) -> Vec<(&'static str, Vec<Decoded>)> {
    let mut sessions = Vec::new();
    for dialogue in dialogues::all(specimen) {
        if dialogue.name == "ES10 unknown" {
            continue;
        }
        let mut card = specimen.card();
        let mut session = Decoder::new().with_keys(keys.clone()).with_secrets(secrets);
        card.reset();
        let decoded = dialogue.commands.iter().map(|command| session.exchange(command, &card.transmit(command)));
        sessions.push((dialogue.name, decoded.collect()));
    }
    sessions
}

/// The keys that a card of the specimen agrees on: the same each time.
fn key_log(specimen: &Specimen) -> KeyLog {
    let written = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&written);
    let provider = Arc::new(KeyLogging::new(Arc::new(Deterministic), move |lines| log.lock().unwrap().push_str(lines)));
    for dialogue in dialogues::all(specimen).iter().filter(|dialogue| dialogue.name == "download") {
        let mut card = specimen.card_by(provider.clone());
        card.reset();
        for command in &dialogue.commands {
            card.transmit(command);
        }
    }
    let text = written.lock().unwrap();
    KeyLog::parse(&text).unwrap()
}

#[test]
fn nothing_our_card_says_stays_unknown() {
    let specimen = Specimen::new();
    for (name, session) in sessions(&specimen, &KeyLog::default(), false) {
        for decoded in session.iter().filter(|decoded| !decoded.failed) {
            let lost = decoded.all().find(|field| ["unknown", "malformed"].contains(&field.name.name));
            assert!(lost.is_none(), "{name}: {lost:?} in\n{}", Text::default().write(decoded));
        }
    }
}

/// With the keys, a package is the profile in it; keys of the profile itself are shown only on request.
#[test]
fn a_download_is_opened() {
    let specimen = Specimen::new();
    let keys = key_log(&specimen);
    let all = |keys: &KeyLog, secrets| -> String {
        let sessions = sessions(&specimen, keys, secrets);
        let downloads = sessions.iter().filter(|(name, _)| *name == "download").flat_map(|(_, session)| session);
        downloads.map(|decoded| Text { brief: false, whole: true }.write(decoded)).collect()
    };
    let opened = all(&keys, false);
    for expected in [
        "ConfigureISDP",
        "StoreMetadata",
        "ReplaceSessionKeys",
        "profile element: header",
        "algorithmID: Milenage",
        "file: EF.IMSI",
        "profile element: end",
        "key: (16 octets, secret)",
    ] {
        assert!(opened.contains(expected), "no {expected} in\n{opened}");
    }
    assert!(!opened.contains("not opened") && !opened.contains("not decoded"), "{opened}");
    assert!(!opened.to_lowercase().contains(&hex::encode(K)));
    assert!(all(&keys, true).to_lowercase().contains(&hex::encode(K)));
    let closed = all(&KeyLog::default(), false);
    assert!(closed.contains("not opened: there is no key log") && closed.contains("StoreMetadata"), "{closed}");
}

fn vuicc(folder: &Path, arguments: &[&str]) -> Finished {
    run(command(&folder.join("state"), []).current_dir(folder).args(arguments))
}

/// Card and SM-DP+ write the same keys, for their owner only, and say so; the program opens the download with either.
#[test]
fn both_ends_log_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _ = vuicc(folder, &["card", "new", "card.img"]).success();
    let of_server = folder.join("smdp.keys");
    let smdp = SmDp::serve_with(folder, &["--keylog", of_server.to_str().unwrap()]);
    smdp.offer(&subscriber::package(folder, &subscriber(1)), &["--matching-id", "ONE"]);
    let lpa = ["lpa", "--card", "card.img", "--keylog", "card.keys", "--trace", "trace.pcapng"];
    let order = ["--smdp", smdp.address(), "--matching-id", "ONE", "--yes"];
    let told = vuicc(folder, &[&lpa[..], &["profile", "download"], &order].concat()).success();
    assert!(told.stderr.contains("session keys go to card.keys"), "{told:#?}");
    let sorted = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let of_card = folder.join("card.keys");
    assert_eq!(sorted(&of_card), sorted(&of_server));
    assert_eq!(sorted(&of_card).len(), 6);
    #[cfg(unix)]
    for path in [&of_card, &of_server] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let opened = vuicc(folder, &["--json", "apdu", "decode", "trace.pcapng", "--keylog", "smdp.keys"]).success();
    let names = |value: &Value| value.to_string();
    let lines: String = json_lines(&opened).iter().map(names).collect();
    assert!(lines.contains("\"name\":\"pe.algorithm\"") && lines.contains("\"name\":\"es10.success_result\""));
    assert!(!lines.contains("\"name\":\"unknown\"") && !lines.contains("\"name\":\"malformed\""));
    let failed = vuicc(folder, &["apdu", "decode", "trace.pcapng", "--only", "es10", "--failed"]).success();
    assert_eq!(failed.stdout, "");
}

/// Bad input: one line with the way out.
#[test]
fn what_cannot_be_decoded_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("keys"), "BSP_S_ENC 01\n").unwrap();
    fs::write(folder.join("noise"), "hello\n").unwrap();
    for (arguments, code, cause) in [
        (&["apdu", "decode"][..], 2, "--apdu"),
        (&["apdu", "decode", "--apdu", "80"], 2, "four octets"),
        (&["apdu", "decode", "--apdu", "00A40000", "--apdu", "0020000104313233345"], 2, "--apdu 2:"),
        (&["apdu", "decode", "nothing"], 5, "nothing"),
        (&["apdu", "decode", "noise"], 5, "no recording of APDUs"),
        (&["apdu", "decode", "--apdu", "00A40004", "--keylog", "keys"], 5, "line 1 of the key log"),
        (&["lpa", "--keylog", "keys", "--reader", "tcp:127.0.0.1:1", "chip", "info"], 2, "vuicc card run --keylog"),
    ] {
        let refused = vuicc(folder, arguments);
        assert!(refused.code() == Some(code) && refused.stderr.contains(cause), "{arguments:?}: {refused:#?}");
        assert!(!refused.stderr.contains("31323334"), "a PIN is not quoted: {refused:#?}");
    }
    let one = vuicc(folder, &["apdu", "decode", "--brief", "--apdu", "80E2910006BF3E035C015A:6A88"]).success();
    assert_eq!(one.stdout, "   1  GetEID -> 6A88, the function is not known\n");
}

/// The fields of this name in what is decoded from a command and its response.
fn named(command: &[u8], response: &[u8], name: &str) -> Vec<String> {
    let decoded = Decoder::new().exchange(command, response);
    let fields = decoded.all().filter(|field| field.name.name == name);
    fields.map(|field| field.shown().unwrap_or_default()).collect()
}

/// A command with this header and data.
fn with_data(header: [u8; 4], data: &[u8]) -> Vec<u8> {
    [&header[..], &[u8::try_from(data.len()).unwrap()], data].concat()
}

/// What a card waits for before it sends a proactive command, and what the decoder says of the same bit and the same command: two
/// tables, of which one knows no words and the other no card.
#[test]
fn card_and_decoder_agree_about_the_toolkit() {
    use card_os::{Device, EventKind, ProactiveCommand, TerminalProfile};
    let mut compared = 0;
    for (kind, qualifier) in (0..0x80).flat_map(|kind| (0..0x10).map(move |qualifier| (kind, qualifier))) {
        let Ok(command) = ProactiveCommand::new(kind, qualifier, Device::TERMINAL, []) else { continue };
        let bits = (1..=36).flat_map(|octet| (1..=8).map(move |bit| (octet, bit)));
        let announcing: Vec<(usize, u8)> = bits
            .filter(|(octet, bit)| {
                let mut all = [0xFF; 36];
                all[octet - 1] &= !(1 << (bit - 1));
                let without = TerminalProfile::new(&all).supports(&command);
                !without && TerminalProfile::new(&[0xFF; 36]).supports(&command)
            })
            .collect();
        let fetched = [0xD0, 9, 0x81, 3, 1, kind, qualifier, 0x82, 2, 0x81, 0x82, 0x90, 0x00];
        let name = named(&[0x80, 0x12, 0x00, 0x00, 0x00], &fetched, "cat.command_type");
        let (_, name) = name[0].split_once("  ").unwrap();
        for (octet, bit) in announcing {
            let mut profile = [0; 36];
            profile[octet - 1] = 1 << (bit - 1);
            let bit = named(&with_data([0x80, 0x10, 0x00, 0x00], &profile), &[0x90, 0x00], "terminal_profile.bit");
            assert!(bit[0].starts_with(name), "{kind:02X} {qualifier:02X}: {name} is announced by {bit:?}");
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
    for (kind, words) in [
        (EventKind::SMS_PP_DOWNLOAD, "SMS-PP download"),
        (EventKind::CELL_BROADCAST_DOWNLOAD, "cell broadcast download"),
        (EventKind::MENU_SELECTION, "menu selection"),
        (EventKind::CALL_CONTROL, "call control"),
        (EventKind::MO_SHORT_MESSAGE_CONTROL, "MO short message control"),
        (EventKind::EVENT_DOWNLOAD, "event download"),
        (EventKind::TIMER_EXPIRATION, "timer expiration"),
    ] {
        let envelope = with_data([0x80, 0xC2, 0x00, 0x00], &[kind.0, 4, 0x82, 2, 0x82, 0x81]);
        assert_eq!(named(&envelope, &[0x90, 0x00], "cat.envelope"), [words]);
    }
}
