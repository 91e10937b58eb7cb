//! Sockets that authenticate nobody listen on this machine's own addresses, unless `--expose` allows others.

use std::fmt;

use console::Exit;

use crate::failure::Failure;

/// Refuses an address that other machines reach, unless that is wanted. `what` has no authentication, as in "AT commands have".
pub(crate) fn check(address: impl fmt::Display, is_local: bool, is_exposed: bool, what: &str) -> Result<(), Failure> {
    if is_local || is_exposed {
        return Ok(());
    }
    Err(Failure::because(format!(
        "{address} is reached from other machines, and {what} no authentication: whatever reaches it can use the card; \
         --expose allows that, or listen at 127.0.0.1"
    ))
    .with(Exit::Usage))
}
