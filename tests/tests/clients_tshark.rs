//! tshark, Wireshark without its windows: what it shows of recorded and of live sessions, with the dissector of `docs/wireshark`,
//! field by field what the decoder says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use capture::{Encoder, Format, Origin};
use hex_literal::hex;
use serde_json::Value;
use vuicc_tests::network::free_port;
use vuicc_tests::process::{Process, run};
use vuicc_tests::reader::beside_private_reader;
use vuicc_tests::subscriber::{package, subscriber};
use vuicc_tests::vuicc::{Card, SmDp};
use vuicc_tests::{peer, repository, vector, vuicc};

/// A field of the dissector or the decoder, and its value: numbers in decimal, octets as digits.
type Named = (String, String);

/// Starts of names that the dissector leaves out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("certificate.", "Wireshark has X.509 of its own"),
    ("malformed", "inside of what is left out"),
    ("bpp.", "the parts of a bound profile package are opened with keys"),
    ("es10.sima", "the card's report on a package is a profile's matter"),
    ("pe.", "the card's report on a package is a profile's matter"),
    ("cat.", "etsi_cat shows proactive commands"),
    ("sms.", "they are in what etsi_cat shows"),
    ("secured.", "they are in what etsi_cat shows"),
    ("terminal_profile.bit", "the octets are there"),
    ("ef.", "contents of files need the place of the file"),
    ("content", "contents of files need the place of the file"),
    ("data", "octets that nobody names; of files, whole ones are not put together"),
    ("file", "the place of the file"),
    ("directory", "the place of the file"),
    ("select.path", "the place of the file"),
    ("sfi", "the place of the file"),
    ("offset", "the place of the file"),
    ("record", "the place of the file"),
    ("pattern", "the place of the file"),
    ("application", "it is in the packet that selects it"),
    ("repeats", "Wireshark numbers packets, not commands"),
    ("continues", "Wireshark numbers packets, not commands"),
    ("arr.", "rules in the expanded format are octets"),
    ("dir.", "contents of files need the place of the file"),
    ("fcp.record", "it is in the file descriptor"),
    ("fcp.arr_", "it is in the security attributes"),
    ("atr.", "Wireshark has iso7816.atr"),
    ("identity.", "not read"),
    ("suspend.", "not read"),
    ("secure_messaging", "it is in the class"),
    ("chained", "it is in the class"),
    ("protected", "it is in the data"),
    ("gp.card_", "not read"),
    ("gp.diversification_data", "not read"),
    ("gp.sequence_counter", "not read"),
    ("gp.secure_channel_protocol", "not read"),
];

fn is_compared(name: &str) -> bool {
    // `file_id` is no part of the place of the file.
    name == "file_id" || name == "atr.octets" || !LEFT_OUT.iter().any(|(start, _)| name.starts_with(start))
}

fn dissector() -> PathBuf {
    repository().join("docs/wireshark/vuicc.lua")
}

fn tshark(program: &Path, capture: &Path, form: &str) -> String {
    let mut script = std::ffi::OsString::from("lua_script:");
    script.push(dissector());
    let mut tshark = Command::new(program);
    tshark.arg("-X").arg(script).args(["-T", form, "-r"]).arg(capture).stdin(Stdio::null());
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The dissector's fields of each packet.
fn shown(pdml: &str) -> Vec<Vec<Named>> {
    let document = roxmltree::Document::parse(pdml).unwrap();
    let packets = document.descendants().filter(|node| node.has_tag_name("packet"));
    packets
        .map(|packet| {
            let fields = packet.descendants().filter(|node| node.has_tag_name("field"));
            fields
                .filter(|field| field.attribute("hide") != Some("yes"))
                .filter_map(|field| {
                    let name = field.attribute("name")?.strip_prefix("vuicc.")?;
                    let value = field.attribute("show").unwrap_or_default();
                    Some((name.to_owned(), plain(value)))
                })
                .filter(|(name, _)| is_compared(name))
                .collect()
        })
        .collect()
}

/// tshark writes octets with colons and some numbers in hexadecimal.
fn plain(value: &str) -> String {
    let is_octets = value.split(':').all(|octet| octet.len() == 2 && octet.bytes().all(|c| c.is_ascii_hexdigit()));
    match value {
        // Flags, in newer versions.
        "True" => return "1".into(),
        "False" => return "0".into(),
        _ => {}
    }
    match value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(number) => number.to_string(),
        None if is_octets => value.replace(':', "").to_uppercase(),
        None => value.to_owned(),
    }
}

/// The decoder's fields of each event, as `apdu decode --json` prints them.
fn decoded(capture: &Path) -> Vec<Vec<Named>> {
    let folder = capture.parent().unwrap();
    let explained = run(vuicc::command(folder, ["--json", "apdu", "decode"]).arg(capture)).success();
    let events = vuicc::json_lines(&explained).into_iter();
    events
        .map(|event| {
            let mut fields = Vec::new();
            collect(&event["fields"], &mut fields);
            fields
        })
        .collect()
}

fn collect(list: &Value, fields: &mut Vec<Named>) {
    for field in list.as_array().into_iter().flatten() {
        let name = field["name"].as_str().unwrap();
        let value = match &field["value"] {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => u8::from(*flag).to_string(),
            Value::Null => String::new(),
            number => number.to_string(),
        };
        if is_compared(name) && field["secret_bytes"].is_null() {
            fields.push((name.to_owned(), value));
        }
        collect(&field["fields"], fields);
    }
}

/// Both name the same fields with the same values, and nothing is strange to tshark. Returns how many were compared.
fn compare(program: &Path, capture: &Path, what: &str) -> usize {
    let text = tshark(program, capture, "text");
    assert!(!text.is_empty(), "{what}");
    let whole = Command::new(program)
        .arg("-X")
        .arg(format!("lua_script:{}", dissector().display()))
        .args(["-V", "-r"])
        .arg(capture)
        .output()
        .unwrap();
    let whole = String::from_utf8_lossy(&whole.stdout);
    for strange in ["Unknown", "Malformed", "Lua Error"] {
        let lines: Vec<&str> = whole.lines().filter(|line| line.contains(strange)).take(5).collect();
        assert!(lines.is_empty(), "{what}: {lines:#?}");
    }
    let (shown, decoded) = (shown(&tshark(program, capture, "pdml")), decoded(capture));
    assert_eq!(shown.len(), decoded.len(), "{what}: packets, events");
    let (mut compared, mut different) = (0, Vec::new());
    for (number, (shown, decoded)) in shown.into_iter().zip(decoded).enumerate() {
        let (shown, mut decoded) = (even(shown), even(decoded));
        for field in shown {
            match decoded.iter().position(|other| *other == field) {
                Some(at) => {
                    decoded.swap_remove(at);
                    compared += 1;
                }
                None => different.push(format!("packet {}: tshark alone has {field:?}", number + 1)),
            }
        }
        different.extend(decoded.iter().map(|field| format!("packet {}: the decoder alone has {field:?}", number + 1)));
    }
    different.truncate(60);
    assert!(different.is_empty(), "{what}: {different:#?}");
    compared
}

/// What both write in the same way.
fn even(mut fields: Vec<Named>) -> Vec<Named> {
    for (_, value) in &mut fields {
        *value = plain(value);
    }
    // A group has no value but its place; what is of the recording, or says that something is left out, is tshark's alone.
    fields.retain(|(name, value)| {
        let is_of_tshark = ["command", "response", "secret", "reset.warm", "not_decoded"].contains(&name.as_str());
        !is_of_tshark && !name.starts_with("gsmtap.") && !value.is_empty()
    });
    fields
}

#[test]
fn recorded_sessions_have_the_fields_of_the_decoder() {
    let Some(program) = peer::debian("tshark", "tshark") else { return };
    let folder = tempfile::tempdir().unwrap();
    let tour = folder.path().join("tour.pcapng");
    let _ = run(vuicc::command(folder.path(), ["demo", "--in-process", "--trace"]).arg(&tour)).success();
    assert!(compare(&program, &tour, "the tour") > 500);
    let traces = [
        ("apdu-traces/lpac/download.apdu", 200),
        ("apdu-traces/lpac/profile_list.apdu", 10),
        ("apdu-traces/pysim/shell-export-ts48v7.apdu", 1000),
        ("apdu-traces/eapol_test/aka.apdu", 50),
        ("apdu-traces/eapol_test/sim.apdu", 50),
    ];
    for (name, least) in traces {
        let Some(trace) = vector(name) else { continue };
        let session = capture::read(&fs::read(trace).unwrap()).unwrap();
        let packets = folder.path().join("trace.pcapng");
        fs::write(&packets, capture::write(Format::PcapNg, &session.events)).unwrap();
        let compared = compare(&program, &packets, name);
        assert!(compared > least, "{name}: {compared}");
    }
}

/// What a tap on the contacts sees: answer to reset, PPS, and TPDUs in parts.
#[test]
fn parts_of_tpdus_are_put_together() {
    let Some(program) = peer::debian("tshark", "tshark") else { return };
    let packets: [(u8, &[u8], &str); 14] = [
        (1, &hex!("3B9F96801FC78031E073FE211B63E203008301900F28"), "reset"),
        (2, &hex!("FF109679"), "PPS request  FF109679"),
        (3, &hex!("FF109679"), "PPS response  FF109679"),
        (4, &hex!("00A4000402"), "SELECT  header"),
        (5, &hex!("3F00"), "TPDU command data  2 octets"),
        (7, &hex!("6108"), "SELECT MF  6108"),
        (4, &hex!("00C0000008"), "GET RESPONSE  header"),
        (6, &hex!("6206"), "TPDU response data  2 octets"),
        (6, &hex!("820278218300"), "TPDU response data  6 octets"),
        (7, &hex!("9000"), "GET RESPONSE to SELECT MF  9000"),
        (0, &hex!("0088008103 020102 6106"), "AUTHENTICATE, 3G  6106"),
        (0, &hex!("00C0000006 DC0401020304 9000"), "GET RESPONSE to AUTHENTICATE, 3G  9000"),
        (0, &hex!("80E6040009 00000107A000000151 00 9000"), "INSTALL for install  9000"),
        (0, &hex!("80F2400002 4F00 6A88"), "GET STATUS  6A88"),
    ];
    let mut encoder = Encoder::new(Format::PcapNg);
    let mut octets = encoder.header();
    for (sub_type, payload, _) in packets {
        let header = [2, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, sub_type, 0, 0, 0];
        octets.extend(encoder.datagram(Duration::from_secs(1), &[&header[..], payload].concat()));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tap.pcapng");
    fs::write(&file, &octets).unwrap();
    let lines = tshark(&program, &file, "text");
    for ((.., expected), line) in packets.iter().zip(lines.lines()) {
        assert!(line.contains(expected), "{expected}: {line}");
    }
    let exchanges = shown(&tshark(&program, &file, "pdml"));
    let exchanges = exchanges.into_iter().filter(|fields| fields.iter().any(|(name, _)| name == "status_word"));
    let decoded = decoded(&file).into_iter().filter(|fields| fields.iter().any(|(name, _)| name == "status_word"));
    let mut both = 0;
    for (shown, decoded) in exchanges.zip(decoded) {
        let (mut shown, mut decoded) = (even(shown), even(decoded));
        shown.sort();
        decoded.sort();
        assert_eq!(shown, decoded);
        both += 1;
    }
    assert_eq!(both, 6);
}

/// Keys are shown nowhere: in files of keys, in what may be one where a tap began in the middle, in data before their exchange is whole.
#[test]
fn keys_on_a_tap_are_left_out() {
    const KEY: [u8; 16] = hex!("5EC2E7A1B3D4F60718293A4B5C6D7E8F");
    let Some(program) = peer::debian("tshark", "tshark") else { return };
    let with = |before: &[u8], after: &[u8]| [before, &KEY, after].concat();
    let sessions: [Vec<(u8, Vec<u8>)>; 9] = [
        vec![(0, with(&hex!("00B0880011 00"), &hex!("9000")))],
        vec![(0, hex!("00B0880001 00 9000").into()), (0, with(&hex!("00B0000110"), &hex!("9000")))],
        vec![(0, with(&hex!("00B0000010"), &hex!("9000")))],
        vec![(4, hex!("00D6880011").into()), (5, with(&[0], &[])), (7, hex!("9000").into())],
        vec![(4, hex!("00B2010410").into()), (6, with(&[], &[])), (7, hex!("9000").into())],
        vec![
            (1, hex!("3B00").into()),
            (0, hex!("00A4040C07A0000000871002 9000").into()),
            (0, hex!("00A4000C02AF20 9000").into()),
            (4, hex!("00D6000111").into()),
            (5, with(&[0x14], &[])),
            (7, hex!("9000").into()),
        ],
        vec![(4, hex!("80E2800012").into()), (5, with(&hex!("8F10"), &[])), (7, hex!("9000").into())],
        vec![(0, with(&hex!("80D4020010"), &hex!("9000")))],
        vec![(0, with(&hex!("0099000010"), &hex!("9000")))],
    ];
    let folder = tempfile::tempdir().unwrap();
    for (number, session) in sessions.iter().enumerate() {
        let mut encoder = Encoder::new(Format::PcapNg);
        let mut octets = encoder.header();
        for (sub_type, payload) in session {
            let header = [2, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, *sub_type, 0, 0, 0];
            octets.extend(encoder.datagram(Duration::from_secs(1), &[&header[..], payload].concat()));
        }
        let file = folder.path().join(format!("{number}.pcapng"));
        fs::write(&file, &octets).unwrap();
        // tshark shows the octets of a packet whatever a dissector leaves out; these are what the dissector names.
        let shown: Vec<Vec<Named>> = shown(&tshark(&program, &file, "pdml"));
        let values = shown.iter().flatten().map(|(name, value)| format!("{name} {value}\n"));
        let text = values.collect::<String>();
        assert!(text.contains("status_word") && !text.contains("B3D4F607"), "{number}: {text}");
    }
}

#[test]
fn a_download_by_lpac_has_nothing_strange() {
    let Some(program) = peer::debian("tshark", "tshark") else { return };
    let Some(lpac) = peer::named_by("LPAC", "lpac") else { return };
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("lpac.pcapng");
        let card = Card::new(folder.path(), &[]);
        let inserted = card.insert_with(reader, 0, &["--trace", trace.to_str().unwrap()]);
        let smdp = SmDp::serve_with(folder.path(), &[]);
        let matching = smdp.offer(&package(folder.path(), &subscriber(1)), &[]);
        let mut download = Command::new(lpac);
        download.args(["profile", "download", "-s", smdp.address(), "-m", &matching]);
        download.env("LPAC_APDU", "pcsc").env("LPAC_HTTP", "curl").env("LPAC_APDU_PCSC_DRV_IFID", "0");
        let told = run(download.env("LPAC_APDU_DEBUG", "1")).success().stderr;
        inserted.stop();
        // What lpac says of its commands is what the card saw.
        let (told, seen) =
            (capture::read(told.as_bytes()).unwrap(), capture::read(&fs::read(&trace).unwrap()).unwrap());
        let mut seen = seen.events.into_iter();
        assert!(told.origin == Origin::LpacLog && told.events.len() > 20, "{told:?}");
        for event in told.events {
            assert!(seen.any(|other| other.what == event.what), "the card did not see {event:02X?}");
        }
        let compared = compare(&program, &trace, "lpac's download");
        assert!(compared > 200, "{compared}");
    });
}

/// As Wireshark does it: the program is one of its external captures, packets come while they are sent.
#[test]
fn packets_are_captured_while_they_are_sent() {
    let Some(program) = peer::debian("tshark", "tshark") else { return };
    let folder = tempfile::tempdir().unwrap();
    let extcap = folder.path().join("extcap");
    fs::create_dir(&extcap).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), open).unwrap();
    // Not everybody may go where it was built.
    fs::copy(vuicc::program(), extcap.join("vuicc")).unwrap();
    let port = free_port();
    let gsmtap = format!("gsmtap:127.0.0.1:{port}");
    let mut capture = as_nobody(&program);
    capture.env("WIRESHARK_EXTCAP_DIR", &extcap).env("HOME", "/nonexistent").current_dir("/");
    capture.args([
        "-i",
        "vuicc",
        "-o",
        &format!("extcap.vuicc.port:{port}"),
        "-c",
        "5",
        "-T",
        "fields",
        "-e",
        "gsmtap.type",
    ]);
    let mut capture = Process::start(&mut capture, folder.path());
    // It listens at some time; what is sent before is lost, as on any network.
    capture.wait_until("five packets", |capture| {
        let sent =
            run(vuicc::command(folder.path(), ["demo", "--in-process", "--trace", &gsmtap]).stdin(Stdio::null()));
        let _ = sent.success();
        std::thread::sleep(Duration::from_millis(50));
        capture.log().contains("5 packets captured")
    });
    assert!(capture.wait_for_end().success(), "{}", capture.log());
}

/// tshark heeds `WIRESHARK_EXTCAP_DIR` only for users without privileges.
fn as_nobody(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}
