//! A device's request to the authorization server: the query of a GET, or the JSON of a POST.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    (wire::TS43_REQUEST.read)(octets);
});
