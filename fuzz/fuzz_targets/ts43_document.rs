//! The authorization server's document, as a device reads it: XML or JSON.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    (wire::TS43_DOCUMENT.read)(octets);
});
