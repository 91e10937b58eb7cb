//! `vuicc remsim`: cards of a bank, used from elsewhere, as osmo-remsim does it (`docs/remsim.md`).

mod bankd;
mod client;
mod events;

use clap::Subcommand;
use rspro::{BANK_PORT, SERVER_PORT};

use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A bank of cards, which clients of osmo-remsim use, until interrupted
    #[command(after_help = "\
Examples:
  vuicc remsim bankd one.img two.img --detach
      any client's slot 0 is the first card, slot 1 the second
  vuicc remsim bankd one.img two.img --map 7:0=1
      slot 0 of client 7 is the card of slot 1; nobody gets the other one
  vuicc remsim bankd one.img --server 127.0.0.1
      osmo-remsim-server says which client gets which card
  vuicc remsim bankd --reader ACS --reader Omnikey
      cards of plastic

RSPRO has no authentication and no encryption, so a bank listens on this machine's own addresses; --expose takes others.")]
    Bankd(Box<bankd::Arguments>),
    /// Use a card of a bank: in the virtual reader, or behind a socket
    #[command(after_help = "\
Examples:
  vuicc remsim client --bankd 127.0.0.1 --bank-slot 1:0
      in the virtual reader, for any PC/SC program
  vuicc remsim client --server 127.0.0.1 --client 7:0
      osmo-remsim-server says which card of which bank it is
  vuicc remsim client --bankd 127.0.0.1 --listen unix:card --detach
  vuicc lpa --reader unix:card chip info
      behind a socket, for commands of this program")]
    Client(Box<client::Arguments>),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Bankd(arguments) => bankd::run(arguments, context),
        Command::Client(arguments) => client::run(arguments, context),
    }
}

/// `HOST`, with this port unless it has one.
fn host_and_port(text: &str, port: u16) -> Result<String, String> {
    let refused = || "the address of a host: HOST or HOST:PORT, as in 127.0.0.1".to_owned();
    let is_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let whole = match text.rsplit_once(':') {
        _ if is_v6 => format!("[{text}]:{port}"),
        Some((host, after)) if !text.ends_with(']') => {
            if host.is_empty() || after.parse::<u16>().is_err() {
                return Err(refused());
            }
            text.to_owned()
        }
        _ => format!("{text}:{port}"),
    };
    if text.is_empty() || whole.contains(char::is_whitespace) { Err(refused()) } else { Ok(whole) }
}

fn server(text: &str) -> Result<String, String> {
    host_and_port(text, SERVER_PORT)
}

fn bank(text: &str) -> Result<String, String> {
    host_and_port(text, BANK_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_port() {
        for (text, whole) in [
            ("127.0.0.1", "127.0.0.1:9998"),
            ("bank.example:7", "bank.example:7"),
            ("::1", "[::1]:9998"),
            ("[::1]", "[::1]:9998"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(server(text).as_deref(), Ok(whole));
        }
        for wrong in ["", ":7", "a:b", "a:70000", "a b"] {
            assert!(bank(wrong).is_err(), "{wrong}");
        }
    }
}
