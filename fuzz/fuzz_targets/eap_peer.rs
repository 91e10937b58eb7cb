//! A server's request, at each point of a conversation with the phone's EAP peer.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    (wire::EAP_PEER.read)(octets);
});
