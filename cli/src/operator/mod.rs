//! `vuicc operator`: the network around the cards, its register first.

mod line;
mod order;
pub(crate) mod parts;
pub(crate) mod provision;
mod serve;
pub(crate) mod settings;
mod state;
mod subscriber;

use clap::Subcommand;
pub(crate) use settings::{NAME, PROGRESS_PORT};
pub(crate) use state::{DatabaseArguments, DatabaseWait};

use crate::failure::Failure;
use crate::{Context, asynchronous};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the operator's servers until interrupted, all in one process or some of them
    #[command(after_help = "\
Examples:
  vuicc operator serve
      everything, on this machine
  vuicc operator serve --only radius,eap-sim-db
      two parts; others elsewhere, on the same database
  vuicc operator serve --database postgres://op@db/operator --log json
      several processes on one database, the log for machines

It prints where each door is. Settings, their defaults and how to point a part at somebody else's counterpart: \
docs/operator.md")]
    Serve(Box<serve::Arguments>),
    /// Subscriptions: the register (HLR) and the keys of its authentication centre
    #[command(subcommand)]
    Subscriber(subscriber::Command),
    /// Orders of profiles, and how far they are
    #[command(subcommand)]
    Order(order::Command),
    /// Lines: one number, and the devices that share it
    #[command(subcommand)]
    Line(line::Command),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    asynchronous::run(async {
        match command {
            Command::Serve(arguments) => serve::run(arguments, context).await,
            Command::Order(command) => order::run(command, context).await,
            Command::Line(command) => line::run(command, context).await,
            Command::Subscriber(command) => subscriber::run(command, context).await,
        }
    })
}
