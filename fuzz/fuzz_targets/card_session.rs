//! Commands in a row to a card with two profiles; an empty one is a reset.

#![no_main]

mod check;
#[allow(dead_code)]
#[path = "../../tests/src/host.rs"]
mod host;
#[allow(dead_code)]
#[path = "../../tests/src/specimen.rs"]
mod specimen;

use specimen::Specimen;
use std::sync::LazyLock;

static SPECIMEN: LazyLock<Specimen> = LazyLock::new(Specimen::new);

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let mut card = SPECIMEN.card();
    card.reset();
    for command in host::unpack(octets) {
        if command.is_empty() {
            card.reset();
        } else {
            check::answer(&mut card, command);
        }
    }
    check::recovers(card);
});
