//! Waiting for a server that was just started, so that a script can continue once it accepts connections.

use std::fmt::Display;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::Args;
use console::Exit;
use serde_json::json;

use crate::Context;
use crate::failure::Failure;
use crate::server_address::host_and_port;

/// Interval between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// The timeout, and the server's address.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The server's address
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    at: Option<String>,
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
}

/// Waits until `server` accepts connections: at the address in the options, or else at `usual`, which may change.
pub(crate) fn until_reachable(
    server: &str,
    arguments: &Arguments,
    context: &Context,
    usual: impl Fn() -> Result<String, Failure>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    loop {
        let address = arguments.at.clone().map_or_else(&usual, Ok)?;
        let cause: &dyn Display = match connect(&address) {
            Ok(()) => {
                context.output.json(&json!({ "reachable": address }))?;
                return Ok(context.output.text(format_args!("{server} accepts connections at {address}"))?);
            }
            Err(ref error) => &error.to_string(),
        };
        if Instant::now() >= deadline {
            let seconds = arguments.timeout;
            return Err(Failure::because(format!(
                "{server} does not accept connections at {address} after {seconds} s: {cause}; is it running? Use --at for another \
                 address{}",
                elsewhere(std::env::var_os(PRIVATE_NETWORK).is_some())
            )).with(Exit::TimedOut));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Set by `scripts/private-pcscd -n` for programs in its network.
const PRIVATE_NETWORK: &str = "VUICC_PRIVATE_NETWORK";

/// Why it may be running and unreachable.
const fn elsewhere(in_private: bool) -> &'static str {
    if in_private {
        "; this terminal is in the network of a scripts/private-pcscd -n, which reaches nothing outside: start it here"
    } else {
        "; if it runs in the network of a scripts/private-pcscd -n, only scripts/private-pcscd -j reaches it"
    }
}

fn connect(address: &str) -> std::io::Result<()> {
    let mut outcome = Err(std::io::Error::other("it has no address"));
    for address in address.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, Duration::from_secs(1)).map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// The option for how long a server waits for its database.
#[derive(Clone, Debug, Args)]
pub(crate) struct DatabaseWait {
    /// How long to wait for a PostgreSQL that does not accept connections yet, or for a database in exclusive use by
    /// another command, which is waited for a few seconds in any case; 0: do not wait longer
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    database_wait: u32,
}

impl DatabaseWait {
    /// The timeout.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.database_wait.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_its_own_is_named() {
        assert!(elsewhere(true).contains("start it here") && elsewhere(false).contains("private-pcscd -j"));
    }
}
