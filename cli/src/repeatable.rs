//! `--seed` and `--clock`: runs that repeat bit by bit, and what happens when something has expired.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use calendar::{Clock, ClockSetting};
use card::entropy::{ChaCha, NoRandomness, Seed};
use card::{Card, Entropy as _, OpenError, open_from};
use clap::Args;
use crypto::provider::{Deterministic, Provider, Remembering};

use crate::output::tell;
use crate::random;

/// The option that makes randomness repeat.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SeedArguments {
    /// Draw everything random from this text, 8 characters or more, so that a run can be repeated; for tests only, as keys and
    /// challenges are no secret then
    #[arg(long, global = true, value_name = "TEXT")]
    seed: Option<Seed>,
}

/// The option that sets the clock.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClockArguments {
    /// Take it to be this moment, and stay there (2027-01-01T00:00:00Z, or with ,running after it go on from there), or so much later
    /// or earlier than it is (+90d, -2h; s, m, h, d, w, y) [default: the system's clock]
    #[arg(long, global = true, value_name = "MOMENT|±TIME", allow_hyphen_values = true, value_parser = setting)]
    clock: Option<ClockSetting>,
}

/// A setting that leads to a moment which certificates can name.
fn setting(text: &str) -> Result<ClockSetting, String> {
    /// 9999-12-31T00:00:00Z: what is made on the last day is valid for a day.
    const LAST: u64 = 253_402_214_400;
    let setting: ClockSetting = text.parse().map_err(|error: calendar::InvalidClock| error.to_string())?;
    let now = random::now();
    match setting.set(now).at(now) {
        ..LAST => Ok(setting),
        _ => Err("certificates name no moment after the year 9999; set the clock to an earlier one".to_owned()),
    }
}

impl SeedArguments {
    /// Whether there is one.
    pub(crate) const fn is_given(&self) -> bool {
        self.seed.is_some()
    }

    /// Randomness for this purpose.
    pub(crate) fn entropy(&self, purpose: &str) -> Result<ChaCha, NoRandomness> {
        match &self.seed {
            Some(seed) => Ok(ChaCha::from_seed(seed, purpose)),
            None => ChaCha::from_operating_system(),
        }
    }

    /// The card in an image, in this slot, which computes by `provider`.
    pub(crate) fn open(&self, image: &Path, slot: usize, provider: &Arc<dyn Provider>) -> Result<Card, OpenError> {
        open_from(image, self.entropy(&format!("card {slot}"))?, Arc::clone(provider))
    }

    /// The elliptic curve provider of a card or a server: with a seed, one that knows no randomness.
    pub(crate) fn provider(&self) -> Arc<dyn Provider> {
        if self.is_given() { Arc::new(Remembering::new(Arc::new(Deterministic))) } else { crypto_ring::provider() }
    }

    /// What a server draws its challenges and keys from, in the order of its calls.
    pub(crate) fn randomness(&self, purpose: &str) -> smdp::Randomness {
        let Some(seed) = &self.seed else { return Arc::new(random::fill) };
        let entropy = Mutex::new(ChaCha::from_seed(seed, purpose));
        Arc::new(move |octets: &mut [u8]| entropy.lock().unwrap_or_else(PoisonError::into_inner).fill(octets))
    }

    /// Warns that nothing is secret.
    pub(crate) fn warn(&self) {
        if self.is_given() {
            tell("vuicc: --seed: anybody who knows the seed knows every key and challenge drawn here; for tests only");
        }
    }
}

impl ClockArguments {
    /// The clock, set now.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.map_or(Clock::System, |setting| setting.set(random::now()))
    }

    /// What time it is by it.
    pub(crate) fn now(&self) -> u64 {
        self.clock().at(random::now())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        seed: SeedArguments,
        #[command(flatten)]
        clock: ClockArguments,
    }

    #[test]
    fn what_is_refused_comes_with_a_way_out() {
        let refused = |option: &str| Line::try_parse_from(["x", option]).unwrap_err().to_string();
        let short = refused("--seed=short");
        assert!(short.contains("at least 8 characters, this one 5") && short.contains("name of a test"), "{short}");
        for late in ["--clock=+8000y", "--clock=+99999999y", "--clock=9999-12-31T23:59:59Z"] {
            let late = refused(late);
            assert!(late.contains("--clock") && late.contains("no moment after the year 9999"), "{late}");
        }
        let unclear = refused("--clock=tomorrow");
        assert!(unclear.contains("2027-01-01T00:00:00Z") && unclear.contains("+90d"), "{unclear}");
        let line = Line::try_parse_from(["x", "--seed", "name of a test", "--clock", "-2h"]).unwrap();
        assert!(line.seed.is_given() && line.clock.now() < random::now());
    }

    #[test]
    fn a_seed_repeats_and_its_purposes_differ() {
        let SeedArguments { seed } = Line::try_parse_from(["x", "--seed", "name of a test"]).unwrap().seed;
        let arguments = SeedArguments { seed };
        let draw = |purpose: &str| {
            let (fill, mut octets) = (arguments.randomness(purpose), [0; 16]);
            fill(&mut octets);
            octets
        };
        assert_eq!(draw("SM-DP+"), draw("SM-DP+"));
        assert_ne!(draw("SM-DP+"), draw("TLS"));
    }
}
