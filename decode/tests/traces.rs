//! Recordings of real clients, explained from start to end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use decode::{Decoded, Decoder, Text, Value};

/// Whether octets are what the card and the server of these recordings sent in place of what they could not make: signatures,
/// certificates, segments.
fn is_filler(value: &Value) -> bool {
    let Value::Octets(octets) = value else { return false };
    let empty_report = [0x30, 0x00];
    octets.iter().all(|octet| Some(octet) == octets.first()) || *octets == empty_report
}

/// A recording of the shelf; nothing if there is no shelf.
#[expect(clippy::disallowed_methods, reason = "tests read vectors from files")]
fn recording(path: &str) -> Option<Vec<Decoded>> {
    let path = format!("{}/../../shared/vectors/apdu-traces/{path}", env!("CARGO_MANIFEST_DIR"));
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: no {path}");
        return None;
    };
    let session = capture::read(&bytes).unwrap();
    let mut decoder = Decoder::new();
    Some(session.events.iter().map(|event| decoder.recorded(&event.what)).collect())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests read vectors from files")]
fn nothing_that_clients_send_stays_unknown() {
    let shelf = format!("{}/../../shared/vectors/apdu-traces", env!("CARGO_MANIFEST_DIR"));
    let mut recordings = 0;
    for client in ["lpac", "pysim", "eapol_test"] {
        let Ok(files) = std::fs::read_dir(format!("{shelf}/{client}")) else {
            println!("skipped: no {shelf}/{client}");
            continue;
        };
        for file in files.map(|file| file.unwrap().file_name().into_string().unwrap()) {
            if file.rsplit_once('.').is_none_or(|(_, kind)| kind != "apdu") {
                continue;
            }
            recordings += 1;
            for decoded in recording(&format!("{client}/{file}")).unwrap() {
                for field in decoded.all().filter(|field| ["unknown", "malformed"].contains(&field.name.name)) {
                    let text = Text { brief: true, whole: false }.write(&decoded);
                    assert!(
                        is_filler(&field.value),
                        "{client}/{file}: {} in {text}",
                        field.shown().unwrap_or_default()
                    );
                }
            }
        }
    }
    println!("{recordings} recordings");
}
