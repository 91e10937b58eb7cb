//! A session explained: commands and responses, one after the other.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/host.rs"]
mod host;

use decode::{Decoder, Source, Text};

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let mut session = Decoder::new().with_secrets(octets.len() % 2 == 0);
    let frames = host::unpack(octets);
    for exchange in frames.chunks(2) {
        let (command, response) = (exchange[0], exchange.get(1).copied().unwrap_or_default());
        let decoded = session.exchange(command, response);
        for field in decoded.all() {
            let Some(place) = &field.place else { continue };
            assert!(place.octets.start <= place.octets.end);
            match place.source {
                Source::Command => assert!(place.octets.end <= command.len(), "{field:?}"),
                Source::Response => assert!(place.octets.end <= response.len(), "{field:?}"),
                Source::Request | Source::Answer | Source::Opened => {}
            }
        }
        assert!(!Text { brief: false, whole: true }.write(&decoded).is_empty());
        assert!(decode::json::event(&decoded).is_object());
    }
    // An ATR may be anything as well.
    session.reset(octets.get(..33).unwrap_or(octets), false);
});
