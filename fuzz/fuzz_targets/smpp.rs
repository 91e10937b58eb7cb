//! SMPP frames, and what is in them.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    (wire::SMPP.read)(octets);
});
