//! Waiting for a server that was started just now: what follows it in a script goes on when it takes connections.

use std::fmt::Display;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::Context;
use crate::failure::Failure;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// How long, and for which server.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where it is
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<String>,
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
}

/// Waits until `server` takes connections: where the options say, or else where `usual` says by then.
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
                return Ok(context.output.text(format_args!("{server} takes connections at {address}"))?);
            }
            Err(ref error) => &error.to_string(),
        };
        if Instant::now() >= deadline {
            let seconds = arguments.timeout;
            return Err(Failure::because(format!(
                "{server} takes no connections at {address} after {seconds} s: {cause}; is it running? --at says where else \
                 it may be"
            )));
        }
        std::thread::sleep(PAUSE);
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
