//! A peer's response, at each point of a conversation with the EAP server.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    (wire::EAP_SERVER.read)(octets);
});
