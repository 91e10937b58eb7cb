//! Explaining recorded sessions.

use std::error::Error;
use std::hint::black_box;

use decode::Decoder;
use vuicc_tests::dialogues;
use vuicc_tests::specimen::Specimen;

use crate::figure::{Figure, Target};
use crate::rounds::{medians, took};

/// So many APDUs.
const APDUS: usize = 10_000;

/// Milliseconds for ten thousand APDUs of all kinds: files, toolkit, ES10, whole downloads.
pub(crate) fn apdus() -> Result<Vec<Figure>, Box<dyn Error>> {
    let specimen = Specimen::new();
    let sessions: Vec<Vec<(Vec<u8>, Vec<u8>)>> = dialogues::all(&specimen)
        .into_iter()
        .map(|dialogue| {
            let mut card = specimen.card();
            card.reset();
            dialogue
                .commands
                .into_iter()
                .map(|command| {
                    let response = card.transmit(&command);
                    (command, response)
                })
                .collect()
        })
        .collect();
    let mut round = || {
        let (time, ()) = took(|| {
            let mut left = APDUS;
            while left > 0 {
                for session in &sessions {
                    let mut decoder = Decoder::new();
                    for (command, response) in session.iter().take(left) {
                        black_box(decoder.exchange(black_box(command), black_box(response)));
                    }
                    left = left.saturating_sub(session.len());
                }
            }
        });
        Ok(time.as_secs_f64() * 1000.0)
    };
    let [millis] = medians(5, [&mut round])?;
    Ok(vec![Figure::new("decode.apdus", millis, "ms for 10,000 APDUs").target(Target::Below(500.0))])
}
