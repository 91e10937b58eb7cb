//! `vuicc modem`: an AT modem whose SIM is a card (`docs/modem.md`).

mod listener;
mod network;
#[cfg(feature = "operator")]
mod operator;
#[cfg(unix)]
mod pty;
mod quirks;
mod run;
mod serve;
mod thread;

use clap::Subcommand;

use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer AT commands for a card, on a pseudo-terminal or a socket, until interrupted
    #[command(after_help = "\
Examples:
  vuicc modem run my.img
      on a pseudo-terminal, whose path is shown
  vuicc modem run my.img --link /tmp/modem --detach
      in the background, under a path of its own; `vuicc card eject` ends it
  LPAC_APDU=at LPAC_APDU_AT_DEVICE=/tmp/modem LPAC_HTTP=curl lpac chip info
      an LPA that reaches its eUICC by AT commands
  vuicc modem run --reader ACS --link modem
      the modem is emulated, its SIM is a card of plastic
  vuicc modem run my.img --listen 127.0.0.1:12345
      on a port, where programs take a modem behind TCP
  vuicc modem run my.img --operator https://127.0.0.1:9443 --link modem
      registered with an operator (vuicc operator serve), which carries messages
  vuicc modem run my.img --quirks fibocom-fm350
      with what is known to be wrong with a modem: vuicc modem quirks

Every program that connects to a socket has settings of its own (echo, error codes); card and sessions are shared. AT commands \
have no authentication, so a socket listens on this machine's own addresses; --expose takes others. The commands are listed in \
docs/modem.md.")]
    Run(Box<run::Arguments>),
    /// List what modems in the field do otherwise, for `modem run --quirks`
    #[command(after_help = "\
Examples:
  vuicc modem quirks
  vuicc modem quirks sierra-mc7455 > mine.toml
      to begin a file with: vuicc modem run --quirks mine.toml
  vuicc modem quirks --json | jq .sources")]
    Quirks(quirks::Arguments),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments, context),
        Command::Quirks(arguments) => quirks::run(arguments, context),
    }
}
