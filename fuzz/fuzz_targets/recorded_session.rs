//! Recorded sessions with a card, in any format.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    (wire::RECORDED_SESSION.read)(octets);
});
