//! Random bytes and the time, from the operating system: what the libraries below take as arguments.

use std::time::{SystemTime, UNIX_EPOCH};

/// Fills `octets`.
///
/// # Panics
/// If the operating system has no randomness to give: no key made after that would be a secret.
#[expect(clippy::expect_used, reason = "going on without randomness would be worse")]
pub(crate) fn fill(octets: &mut [u8]) {
    getrandom::fill(octets).expect("the operating system provides randomness");
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    // A clock before 1970 is a clock that was never set.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
