//! `vuicc card`: create, insert and inspect cards.

mod conformance;
pub(crate) mod control;
pub(crate) mod detach;
pub(crate) mod eject;
mod fault;
mod learn;
mod new;
pub(crate) mod personality;
mod program;
pub(crate) mod ready;
pub(crate) mod run;
pub(crate) mod shared;
pub(crate) mod show;
mod twin_check;

use clap::Subcommand;
pub(crate) use run::first_port;

use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Personalise a card: write a new card image
    #[command(after_help = "\
Examples:
  vuicc card new my.img
      an eUICC with an EID of its own and no profile
  vuicc card new my.img --profile test.der
      with a profile, enabled
  vuicc card new my.img --claim javacard
      takes operators' packages that demand Java Card and bring no applications
  vuicc card new my.img --like 5ber
      with the quirks of a product: vuicc card personalities
  vuicc card new my.img --like my-card.toml
      as a file describes it: docs/personalities.md
  vuicc card new my.img --subscriber anna.toml
      with one made for a subscriber: docs/subscribers.md
  vuicc card new my.img --pki sgp26 --eid 89049032123451234512345678901235
  vuicc card new sim.img --type uicc --subscriber anna.toml
      a plain SIM: one subscription for good
  vuicc card new sim.img --type uicc --like gialersim --subscriber anna.toml
      a programmable card, for `vuicc card program` and pySim

The image holds everything the card remembers, its keys too. A card trusts the certificate issuers of the PKI it was \
made under; without --pki that is a test PKI minted in the state directory, which `vuicc smdp serve` uses as well.")]
    New(new::Arguments),
    /// Insert cards into the virtual reader, or listen on a socket, until interrupted
    #[command(after_help = "\
Examples:
  vuicc card run my.img
      into the first slot of the virtual reader
  vuicc card run one.img two.img
      into both slots
  vuicc card run my.img --detach
      in the background: any program can use the card when that returns
  vuicc card run my.img --ready-file card.json --timeout 30
      writes card.json when the card can be used, gives up after 30 seconds
  vuicc card run my.img --reader 192.0.2.7:35963 --trace -
      into a reader elsewhere, every APDU shown
  vuicc card run my.img --listen 127.0.0.1:0
      without any reader: clients connect to a port, which is shown

A socket takes one client at a time, in the messages of vpcd: a length of two octets and a command APDU, answered alike; \
the single octets 01, 02, 00 are power on, reset, power off, and 04 asks for the ATR. A client begins with 01; one \
that says nothing for ten seconds when its turn has come, or stops within a message, is sent away. Commands of vuicc \
reach it by --reader tcp:HOST:PORT or --reader unix:PATH.

The virtual reader is vpcd of vsmartcard, a driver of pcscd (Debian: apt install pcscd vsmartcard-vpcd). When pcscd \
restarts the card is inserted again; Ctrl-C, SIGTERM or closing the terminal ejects it, and the reader is empty then.")]
    Run(run::Arguments),
    /// End cards that run, and wait until their readers are empty
    #[command(after_help = "\
Examples:
  vuicc card eject
      the only card that runs
  vuicc card eject my.img
  vuicc card eject --all

Found are cards that were started with the same state directory, in the background or not. A process that runs several \
cards ends with all of them.")]
    Eject(eject::Arguments),
    /// Show what a card is and holds: EID, profiles, applications, counters, file tree
    #[command(after_help = "\
Examples:
  vuicc card show my.img
  vuicc card show my.img --brief  without the file trees
  vuicc card show my.img --json | jq .euicc.profiles

A card that is in a reader just now may be looked at as well.")]
    Show(show::Arguments),
    /// List cards as they are met in the field, for `card new --like`
    #[command(after_help = "\
Examples:
  vuicc card personalities
  vuicc card personalities standard > my-card.toml
      every field, to begin a description with
  vuicc card personalities 5ber --json | jq .sources
      where its quirks are known from")]
    Personalities(personality::Arguments),
    /// Write a subscriber to a programmable card: numbers, names, keys
    #[command(after_help = "\
Examples:
  vuicc card program --subscriber anna.toml --adm-file adm.txt
      shows what would be written to the card, and in which order
  vuicc card program --subscriber anna.toml --adm-file adm.txt --yes
      writes it, reads it back, and has the card authenticate
  vuicc card program --csv batch.csv --batch-log batch.log --yes
      one card after the other; the same again goes on where it ended
  vuicc card program --types
      which cards, and how their administrative keys are called

A wrong ADM costs a card one of a few tries, and with the last one the card is lost. So the card is asked first how many \
are left, and the ADM is tried once or not at all. docs/real-cards.md tells more.")]
    Program(program::Arguments),
    /// Learn a card in a reader: write a description that an emulated card is made from
    #[command(after_help = "\
Examples:
  vuicc card learn --reader ACS -o my-card.toml
  vuicc card new twin.img --like my-card.toml
      an emulated card that says and does the same
  vuicc card new twin.img --like my-card.toml --subscriber anna.toml
      with the network key and the codes of a subscriber
  vuicc card twin-check my-card.toml --reader ACS --card twin.img
      whether it does
  vuicc card learn --reader ACS -o my-card.toml --secrets codes.toml
      also what PIN and ADM open, each sent once

Learning only reads. It sends no command that writes, tries no PIN that was not given, and leaves every retry counter as it is: \
how many tries are left it asks with empty commands. Keys are in no file and cannot be learned; what else was not learned is said \
at the end and stands in the description. If the card is lost in the middle, what was learned is kept in the file, and --resume FILE goes on with it.")]
    Learn(Box<learn::Arguments>),
    /// Compare a card with its learned description, or two cards, on probes from a seed
    #[command(after_help = "\
Examples:
  vuicc card twin-check my-card.toml --reader ACS
      the card, and the emulated one that the description makes
  vuicc card twin-check my-card.toml --reader ACS --card twin.img
      the card, and one in an image
  vuicc card twin-check my-card.toml --reader 0 --reader 1 --seed again
  vuicc card twin-check my-card.toml --reader ACS --junit twin.xml

Every probe brings a card into a situation and sends a command that only reads; both cards get the same. Compared are all \
responses, with what GET RESPONSE brings; what differs is shown by the names of its fields. At least half of the probes are such that \
learning did not send them. Succeeds if as many are equal as --at-least says, if answer to reset and contents are the same, and if the \
first card has at least 50 % of what the description says: what refuses everything proves nothing. The exit code is 3 if not, and 4 if \
a card is lost.")]
    TwinCheck(twin_check::Arguments),
    /// Play the conformance scoreboard: dialogues from the specifications, on emulated cards or any card
    #[command(after_help = "\
Examples:
  vuicc card conformance
      all rows, each on an emulated card made for it
  vuicc card conformance --only select --only verify-pin/blocked --all
  vuicc card conformance --reader ACS --as uicc --secrets codes.toml
      on a card of plastic; what would leave it changed is skipped
  vuicc card conformance my-rows.apdu --json

Each row cites the clause that it rests on. On emulated cards a row that is known to fail may fail, and is told if it passes; on a card in \
a reader a failure is one. The exit code is 3 if anything fails, or passes unnoticed. docs/conformance.md lists all rows and says how to \
add some.")]
    Conformance(conformance::Arguments),
    /// Order what is to go wrong with a card, list and clear it
    #[command(subcommand)]
    Fault(fault::Command),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => new::run(arguments, context),
        Command::Run(arguments) => run::run(arguments, context),
        Command::Eject(arguments) => eject::run(arguments, context),
        Command::Show(arguments) => show::run(arguments, context),
        Command::Personalities(arguments) => personality::run(arguments, context),
        Command::Program(arguments) => program::run(arguments, context),
        Command::Learn(arguments) => learn::run(arguments, context),
        Command::TwinCheck(arguments) => twin_check::run(arguments, context),
        Command::Conformance(arguments) => conformance::run(arguments, context),
        Command::Fault(command) => fault::run(command, context),
    }
}
