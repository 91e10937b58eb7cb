//! Chance that can be repeated: drawn from a seed that is printed; `VUICC_SEED` repeats a run's draw.

use std::env;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use card::entropy::ChaCha;
use card_os::Entropy;

/// Dice that several threads may throw.
#[derive(Debug)]
pub struct Dice(Mutex<ChaCha>);

impl Dice {
    /// Dice for `what`, which is printed with the seed.
    pub fn new(what: &str) -> Self {
        let seed = env::var("VUICC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            u64::from(process::id()) ^ (now << 20)
        });
        println!("VUICC_SEED={seed} repeats the moments of {what}");
        Self(Mutex::new(ChaCha::from_number(seed)))
    }

    /// A number below `limit`.
    pub fn below(&self, limit: u64) -> u64 {
        let mut octets = [0; 8];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut octets);
        u64::from_le_bytes(octets) % limit
    }
}
