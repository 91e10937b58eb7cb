//! Where a card's random bytes come from: ChaCha20, seeded by the operating system, by a text or by a number.

use core::str::FromStr;

use card_os::Entropy;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// Random bytes for a card.
///
/// Seeded from the operating system they are unpredictable. Seeded with a number they are the same every time, so
/// that a run can be replayed; such a card's challenges and one-time keys are no secret.
pub struct ChaCha(ChaCha20Rng);

/// The operating system has no random bytes to give.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random numbers: {0}")]
pub struct NoRandomness(getrandom::Error);

impl ChaCha {
    /// Seeded by the operating system.
    pub fn from_operating_system() -> Result<Self, NoRandomness> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(NoRandomness)?;
        Ok(Self(ChaCha20Rng::from_seed(seed)))
    }

    /// Seeded with a text, for this purpose: the same bytes in every run, on every machine, and others for every other
    /// purpose.
    pub fn from_seed(seed: &Seed, purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.0.as_bytes());
        // No seed contains it: no two pairs are the same octets.
        hash.update([0]);
        hash.update(purpose);
        Self(ChaCha20Rng::from_seed(hash.finalize().into()))
    }

    /// Seeded with a number: the same bytes in every run, on every machine.
    pub fn from_number(number: u64) -> Self {
        let mut seed = [0; 32];
        for (octet, value) in seed.iter_mut().zip(number.to_le_bytes()) {
            *octet = value;
        }
        Self(ChaCha20Rng::from_seed(seed))
    }
}

/// A seed, from which everything that is random in a run follows: a text of at least [`SHORTEST_SEED`] octets.
///
/// Anybody who knows it knows all keys that are drawn: for tests only.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(String);

/// Octets that a seed has at least, so that two tests do not meet by chance.
pub const SHORTEST_SEED: usize = 8;

/// The text is no seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSeed {
    /// It is too short.
    #[error(
        "a seed has at least {SHORTEST_SEED} characters, this one {0}; any text will do, such as the name of a test"
    )]
    TooShort(usize),
    /// It contains a zero octet.
    #[error("a seed is text without zero octets")]
    Zero,
}

impl FromStr for Seed {
    type Err = InvalidSeed;

    fn from_str(text: &str) -> Result<Self, InvalidSeed> {
        match text.len() {
            0..SHORTEST_SEED => Err(InvalidSeed::TooShort(text.chars().count())),
            _ if text.contains('\0') => Err(InvalidSeed::Zero),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed")
    }
}

impl Entropy for ChaCha {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

impl core::fmt::Debug for ChaCha {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ChaCha")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn a_number_gives_the_same_bytes_for_ever() {
        // Key stream of ChaCha20 for the all-zero key and nonce.
        let mut bytes = [0; 16];
        ChaCha::from_number(0).fill(&mut bytes);
        assert_eq!(bytes, hex!("76b8e0ada0f13d90405d6ae55386bd28"));
        let mut others = [0; 16];
        ChaCha::from_number(1).fill(&mut others);
        assert_ne!(bytes, others);
    }

    /// SHA-256 of `a test of mine`, a zero octet and the purpose is the key.
    #[test]
    fn a_seed_gives_each_purpose_bytes_of_its_own() {
        let bytes = |seed: &str, purpose: &str| {
            let mut bytes = [0; 16];
            ChaCha::from_seed(&seed.parse().unwrap(), purpose).fill(&mut bytes);
            bytes
        };
        let first = bytes("a test of mine", "card");
        assert_eq!(first, bytes("a test of mine", "card"));
        assert_ne!(first, bytes("a test of mine", "server"));
        assert_ne!(first, bytes("a test of yours", "card"));
        assert_eq!("1234567".parse::<Seed>(), Err(InvalidSeed::TooShort(7)));
        assert_eq!("12345678\0".parse::<Seed>(), Err(InvalidSeed::Zero));
    }

    #[test]
    fn the_operating_system_gives_other_bytes_every_time() {
        let (mut one, mut other) = ([0; 16], [0; 16]);
        ChaCha::from_operating_system().unwrap().fill(&mut one);
        ChaCha::from_operating_system().unwrap().fill(&mut other);
        assert_ne!(one, other);
    }
}
