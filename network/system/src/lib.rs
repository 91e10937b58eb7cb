//! What a server asks of its operating system: the time, and octets that nobody can guess.

use core::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time, in seconds since 1970. Tests hand in one of their own.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Fills octets with randomness.
pub type Randomness = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The time and the randomness of a server: by default the operating system's. With others a run can be repeated, and
/// what expires be seen; anybody who knows them knows all keys and challenges that the server draws.
#[derive(Clone)]
pub struct System {
    /// The time.
    pub clock: Clock,
    /// The randomness.
    pub randomness: Randomness,
}

impl Default for System {
    fn default() -> Self {
        Self { clock: Arc::new(unix_now), randomness: Arc::new(fill_random) }
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System")
    }
}

impl System {
    /// The time, in seconds since 1970.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Fills `octets` with randomness.
    pub fn fill_random(&self, octets: &mut [u8]) {
        (self.randomness)(octets);
    }
}

/// The time, in seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Fills `octets` with randomness from the operating system.
///
/// # Panics
///
/// If there is none. A server that cannot draw challenges, keys and names must not answer.
#[expect(clippy::expect_used, reason = "a server that cannot draw challenges must not answer")]
pub fn fill_random(octets: &mut [u8]) {
    getrandom::fill(octets).expect("the operating system provides randomness");
}
