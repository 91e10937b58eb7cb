//! `vuicc inspect`: a card laid open in a browser of this machine.

mod handle;
mod serve;

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use console::Exit;

use crate::Context;
use crate::card::run::StayArguments;
use crate::failure::Failure;
use crate::file::image;

/// What follows the options.
pub(crate) const HELP: &str = "\
Examples:
  vuicc inspect my.img
      the card runs in this process, for the page alone
  vuicc card run my.img --detach
  vuicc inspect my.img
      the card stays in its reader: what its host sends is seen as it passes
  vuicc inspect --reader ACS
      a card of plastic, which is only read
  vuicc inspect my.img --json
      the address of the page, for programs

The address that is printed has a token behind `#`: who has it can read and change the card. The page is for browsers of this \
machine; from elsewhere it is reached through a tunnel, as `ssh -L 8080:127.0.0.1:8080` with --listen 127.0.0.1:8080. It needs no \
network. docs/inspect.md shows what is on it.";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct Arguments {
    /// The image of the card, which may be one that `vuicc card run` runs
    #[arg(value_name = "CARD", group = "which", value_parser = image)]
    image: Option<PathBuf>,
    /// The card in this reader: its number, its name or a part of it; or behind a socket, tcp:HOST:PORT or unix:PATH
    #[arg(long, value_name = "NAME", group = "which")]
    reader: Option<String>,
    /// Let the page write to the card in a reader, and change its profiles
    #[arg(long)]
    write: bool,
    /// Where the page is: an address of this machine alone, without one 127.0.0.1; port 0 takes a free one
    #[arg(long, value_name = "[ADDRESS:]PORT", default_value = "127.0.0.1:0", value_parser = place)]
    listen: SocketAddr,
    #[command(flatten)]
    stay: StayArguments,
}

/// An address with its port, or a port alone.
fn place(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().map_err(|_| "wants an address and a port, as 127.0.0.1:8080, or a port".to_owned()),
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if !arguments.listen.ip().is_loopback() {
        return Err(Failure::because(format!(
            "{} is reached from other machines; the page is for this one alone: 127.0.0.1 or [::1]; from elsewhere it is \
             reached through a tunnel, as ssh -L",
            arguments.listen
        ))
        .with(Exit::Usage));
    }
    if arguments.write && arguments.reader.is_none() {
        return Err(Failure::because(
            "--write is for a card in a reader (--reader NAME); one in an image may be written to",
        )
        .with(Exit::Usage));
    }
    let name = arguments.image.as_deref().and_then(|image| image.file_name()).unwrap_or_else(|| OsStr::new("inspect"));
    arguments.stay.run(name, context, |parent| serve::serve(arguments, context, parent))
}
