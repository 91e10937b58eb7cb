//! A command APDU, from anywhere.

#![no_main]

use apdu::Command;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Ok(command) = Command::parse(octets) else { return };
    assert!(octets.windows(command.data.len().max(1)).any(|part| part == command.data) || command.data.is_empty());
    assert!(command.class.channel() < 20);
    assert!(command.data.len() <= octets.len().saturating_sub(5));
    assert!(command.extended || (command.data.len() <= 255 && command.ne <= 256));
});
