//! ES10 requests to a card that waits for a bound profile package.

#![no_main]

mod check;
#[allow(dead_code)]
#[path = "../../tests/src/host.rs"]
mod host;
#[allow(dead_code)]
#[path = "../../tests/src/replaying.rs"]
mod replaying;
#[allow(dead_code)]
#[path = "../../tests/src/specimen.rs"]
mod specimen;

use replaying::Replaying;
use specimen::Specimen;
use std::sync::{Arc, LazyLock};

static SPECIMEN: LazyLock<Specimen> = LazyLock::new(Specimen::new);

/// The card is brought there for each input anew; its arithmetic is done once.
static REPLAYING: LazyLock<Arc<Replaying>> = LazyLock::new(Arc::default);

/// The dialogue that brings the card there.
static PREPARED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/prepared");
    std::fs::read(path).expect("the seeds are written first: cargo run -p vuicc-tests --example fuzz_seeds")
});

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let mut card = SPECIMEN.card_by(REPLAYING.clone());
    card.reset();
    let mut answer = Vec::new();
    for command in host::unpack(&PREPARED) {
        answer = check::answer(&mut card, command);
    }
    assert!(answer.ends_with(&[0x90, 0x00]), "the seeds are of another release, write them anew: {answer:02X?}");
    for request in host::unpack(octets).into_iter().filter(|request| request.len() < 60_000) {
        for command in host::store_data(0x81, request, 255) {
            check::answer(&mut card, &command);
        }
    }
    check::recovers(card);
});
