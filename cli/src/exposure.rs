//! Sockets that authenticate nobody listen on this machine's own addresses, unless `--expose` allows others.

use std::fmt;

use clap::Args;
use console::Exit;

use crate::failure::Failure;

/// The option, where the address is that of `--listen`.
#[derive(Debug, Default, Args)]
pub(crate) struct ExposureArguments {
    /// Let --listen take an address that other machines reach: whatever reaches it can use the card
    #[arg(long, requires = "listen")]
    expose: bool,
}

impl ExposureArguments {
    /// As [`check`].
    pub(crate) fn check(&self, address: impl fmt::Display, is_local: bool, what: &str) -> Result<(), Failure> {
        check(address, is_local, self.expose, what)
    }
}

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
