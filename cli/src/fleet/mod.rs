//! `vuicc fleet`: many eUICCs in one process, and load for servers.

mod export;
mod files;
mod list;
mod load;
mod new;
mod run;
mod shelf;
mod show;

use std::path::{Path, PathBuf};

use card::image::fleet::{Fleet, LayeredNvm, Member, MemberNvm, read};
use clap::{Args, Subcommand};
use console::Exit;
use identities::Eid;

use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prepare a fleet: eUICCs with an EID, keys, a certificate and a subscription each
    #[command(after_help = "\
Examples:
  vuicc fleet new cards --count 100
      each with a profile of its own, as `vuicc subscriber new` makes them
  vuicc fleet new cards --count 10000 --profile TS48.der
      with the GSMA's test profile, each of its own ICCID, IMSI and K
  vuicc fleet new cards --count 100 --no-profile --default-smdp smdp.example.com
      empty, for downloads

The folder has one file, in which what all cards have in common is kept once. ICCIDs, IMSIs and EIDs are consecutive; \
they begin at random, so that two fleets are two.")]
    New(new::Arguments),
    /// Run all cards of a fleet in one process, for clients at a socket
    #[command(after_help = "\
Examples:
  vuicc fleet run cards
      ready as soon as every card has answered GetEID
  vuicc fleet run cards --listen 127.0.0.1:0 --detach --ready-file cards.json
      in the background, at a port that cards.json tells

Elsewhere, by the EIDs of `vuicc fleet list cards`:
  vuicc lpa --reader tcp:127.0.0.1:7816/8904… chip info
  vuicc modem run --reader tcp:127.0.0.1:7816/8904…
      a card of the fleet in a modem
  vuicc apdu proxy --reader tcp:127.0.0.1:7816/8904… --out session.txt
      and in the virtual reader, for any PC/SC program

`vuicc card eject` ends one in the background. A client has the card that it names alone. The messages are those of `vuicc card run --listen`, after one that selects \
the card: docs/fleet.md.")]
    Run(run::Arguments),
    /// List the cards of a fleet: EID, ICCID, IMSI
    #[command(after_help = "\
Examples:
  vuicc fleet list cards
  vuicc fleet list cards --secrets --json > subscribers.jsonl
      with K and OPc, for the network's side

A fleet that runs may be looked at as well.")]
    List(list::Arguments),
    /// Show a fleet, or one of its cards as `vuicc card show` does
    #[command(after_help = "\
Examples:
  vuicc fleet show cards
  vuicc fleet show cards 89049032… --brief
      a card of a fleet that runs may be looked at as well")]
    Show(show::Arguments),
    /// Copy a card of a fleet into a card image
    #[command(after_help = "\
Examples:
  vuicc fleet export cards 89049032… one.img
      the same card, keys and EID: not to be used beside the one in the fleet")]
    Export(export::Arguments),
    /// Put load on an SM-DP+, or on the cards: downloads, authentications; and report
    #[command(after_help = "\
Examples:
  vuicc fleet load cards --smdp 127.0.0.1:8443 --matching-id MANY
      one download by each card, of an order that may be downloaded any number
      of times: vuicc smdp profile order ICCID --reusable --matching-id MANY
  vuicc fleet load cards --codes codes.csv --at-once 64 --rate 50
      the activation codes of a file, one each; 50 a second at most
  vuicc fleet load cards --authenticate --rounds 10
      ten AUTHENTICATEs on each card, checked with its own K
  vuicc fleet load cards --smdp smdp.example.com --chart load.html
      a download by EID each; the report as one page with plots

Ctrl-C ends it with a report of what was done until then; a second one ends it at once. Cards keep what was installed: \
the next run goes on with them.")]
    Load(Box<load::Arguments>),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => new::run(arguments, context),
        Command::Run(arguments) => run::run(arguments, context),
        Command::List(arguments) => list::run(arguments, context),
        Command::Show(arguments) => show::run(arguments, context),
        Command::Export(arguments) => export::run(arguments, context),
        Command::Load(arguments) => load::run(arguments, context),
    }
}

/// The option that names a fleet.
#[derive(Clone, Debug, Args)]
pub(crate) struct Folder {
    /// The fleet's folder
    #[arg(value_name = "DIR", value_parser = crate::file::not_stdout)]
    folder: PathBuf,
}

/// The file in the folder.
pub(crate) const FILE: &str = "cards.fleet";

impl Folder {
    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn path(&self) -> &Path {
        &self.folder
    }

    /// The name of the log of a process in the background.
    fn name(&self) -> &std::ffi::OsStr {
        self.folder.file_name().unwrap_or_else(|| "fleet".as_ref())
    }

    /// Opens the fleet, for this process alone.
    fn open(&self) -> Result<Fleet<MemberNvm>, Failure> {
        Ok(Fleet::open(&self.file())?)
    }

    /// A copy of the fleet, to look at.
    fn read(&self) -> Result<Fleet<LayeredNvm>, Failure> {
        Ok(read(&self.file())?)
    }

    /// A copy of one of its cards, to look at.
    fn read_one(&self, eid: &Eid) -> Result<(Fleet<LayeredNvm>, Member, LayeredNvm), Failure> {
        let mut fleet = self.read()?;
        let at = fleet.cards.iter().position(|(member, _)| member.eid == *eid).ok_or_else(|| {
            let folder = self.folder.display();
            Failure::because(format!("{folder} has no card {eid}; `vuicc fleet list {folder}` lists them"))
                .with(Exit::Card)
        })?;
        let (member, memory) = fleet.cards.swap_remove(at);
        Ok((fleet, member, memory))
    }
}
