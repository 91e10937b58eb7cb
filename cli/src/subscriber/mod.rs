//! `vuicc subscriber`: descriptions of subscribers, from which cards, profiles and entries in registers are made.

mod export;
pub(crate) mod file;
pub(crate) mod invent;
mod show;

use clap::Subcommand;

use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate a test subscriber: consistent numbers, fresh keys and codes
    #[command(after_help = "\
Examples:
  vuicc subscriber new anna.toml
  vuicc subscriber new --mcc 310 --mnc 410 --msisdn +15551234567 anna.toml
  vuicc subscriber new --count 20 --profile-name Companion stock.toml
      stock-01.toml to stock-20.toml
  vuicc subscriber new
      printed, not written

The same file makes a SIM (vuicc card new --type uicc --subscriber), a profile to download (vuicc smdp profile add) \
and a subscription in the operator's register (vuicc operator subscriber add). Keep it private: it contains the subscriber's keys.")]
    New(invent::Arguments),
    /// Check the description of a subscriber, and show derived values
    #[command(after_help = "\
Examples:
  vuicc subscriber show anna.toml
  vuicc subscriber show anna.toml --json | jq -r .nai

Keys and codes are not shown. docs/subscribers.md lists the fields.")]
    Show(show::Arguments),
    /// Write subscribers in the form that a core network reads
    #[command(after_help = "\
Examples:
  vuicc subscriber export --format srsepc --out user_db.csv anna.toml
  vuicc subscriber export --format open5gs anna.toml berta.toml > subs.json
  vuicc subscriber export --format ueransim --sst 1 --sd 000001 anna.toml

What is written contains the subscribers' keys. docs/subscribers.md says how each is read.")]
    Export(export::Arguments),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => invent::run(arguments, context),
        Command::Show(arguments) => show::run(arguments, context),
        Command::Export(arguments) => export::run(arguments, context),
    }
}
