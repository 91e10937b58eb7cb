//! `vuicc apdu`: run, record and compare APDU scripts (`docs/apdu-scripts.md`), record sessions of other programs, explain what
//! was recorded (`docs/decode.md`).

mod convert;
mod decode;
mod diff;
pub(crate) mod differing;
pub(crate) mod junit;
mod place;
mod play;
pub(crate) mod proxy;
mod record;
mod recorded_card;
mod recorded_host;
mod replay;
pub(crate) mod report;
pub(crate) mod secrets;
mod sessions;
pub(crate) mod sources;
mod stdio;
mod step;
mod tap;

use clap::Subcommand;

pub(crate) use place::PlaceArguments;

use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scripts on a card; succeeds if every response is as expected
    #[command(after_help = "\
Examples:
  vuicc apdu run scripts/apdu/select-mf.apdu
      on the first card found
  vuicc apdu run scripts/apdu/select-mf.apdu --card my.img
      on an emulated card
  vuicc apdu run scripts/apdu/*.apdu --reader ACS
      all examples, on a card of plastic
  vuicc apdu run my.apdu --secrets my-card.toml --show
      with PINs and keys from a file, every byte shown
  vuicc apdu run scripts/apdu/*.apdu --keep-going --junit result.xml
      all of them, with a table and a report for CI
  prove --exec 'vuicc apdu run --tap' scripts/apdu/*.apdu
      as tests of Perl's prove
  echo '> 00A40004023F00' | vuicc apdu run -
      a script from a pipe

A script stops at its first mismatch, which is shown with its line and a mark under the half-byte that differs. If the \
card is lost the run ends and says where to go on: --from. Exit codes: 3 for a difference, 4 for a card that is not there \
or was lost, 5 for a script that is wrong. The format is described in docs/apdu-scripts.md.")]
    Run(play::Arguments),
    /// Run the commands of scripts and write a script that expects the received responses
    #[command(after_help = "\
Examples:
  vuicc apdu record scripts/apdu/pin.apdu --reader ACS --out pin-of-my-card.apdu
  vuicc apdu run pin-of-my-card.apdu  does another card do the same?

PINs and PUKs are not written down; ${secret} stands in their place.")]
    Record(record::Arguments),
    /// Record what any program and any card say to each other, from between them
    #[command(after_help = "\
Examples:
  vuicc apdu proxy --reader ACS --out session.apdu
      a virtual reader shows the card in ACS to programs, until interrupted
  vuicc apdu proxy --card my.img --out session.pcapng --detach
      for Wireshark; in the background, `vuicc card eject` ends it
  vuicc apdu proxy --reader 0 --slot 127.0.0.1:35964 --out session.json
      where the first slot of the virtual reader has another card
  vuicc apdu proxy --reader unix:card --listen 127.0.0.1:7001 --out session.apdu
      between two sockets, without any reader

Programs use the card in the virtual reader, and every reset and every command goes to the real one. If that is pulled, or its \
reader is, the virtual card goes as well, and what was recorded is whole. On a full disk the recording ends with its last whole \
event, the program keeps its card, and the command fails at its end. PINs and PUKs are not recorded.")]
    Proxy(proxy::Arguments),
    /// Write a script that sends what was sent in a recorded session, or in a file of scriptor
    #[command(after_help = "\
Examples:
  LPAC_APDU_DEBUG=1 lpac chip info 2>lpac.log
  vuicc apdu convert lpac.log --out chip-info.apdu
  vuicc apdu run chip-info.apdu
      does another card give the same responses?
  vuicc apdu convert phone.pcap --expect none
      GSMTAP: what a phone sent, responses in comments

Traces of vuicc (text and JSON), APDU logs of lpac and pySim, and pcap or pcapng with GSMTAP are read. PINs and PUKs are \
not written down; ${secret} stands in their place. `vuicc apdu run` runs all of these directly.")]
    Convert(convert::Arguments),
    /// Play a recorded session: the card's side to a program, or the host's side to a card
    #[command(after_help = "\
Examples:
  vuicc apdu replay session.apdu
      programs find the recorded card in the virtual reader, until interrupted
  vuicc apdu replay session.pcapng --listen 127.0.0.1:7000 --until-asked
      behind a socket; ends when all that is recorded was asked
  vuicc apdu replay session.json --unknown 6D00 --show
  vuicc apdu replay session.apdu --reader ACS
      sends what was sent to another card, and shows where it answers otherwise
  vuicc apdu replay session.apdu --card fresh.img --seed 'my test'
      to a card in an image that draws what the recorded one has drawn

To a program: each command is answered as it was recorded. What a program draws anew each time (challenges, transaction identifiers, \
signatures, one-time keys, PINs) may differ, and so may the channel, the cut of STORE DATA and of GET RESPONSE; what is read twice \
is answered twice. A command that was never recorded gets 6F00, or what --unknown says, and is shown with the nearest recorded \
one. At the end follow what was asked in which order and what was not asked. The exit code is 3 if a command was not recorded, \
or with --complete if a recorded one was not asked.

To a card (--reader, --card): what the recorded program took from answers is taken from this card's answers: numbers of channels \
and notifications, lengths, challenges, identifiers. Answers are compared field by field; random values may differ. What a \
server has signed for one session, and what else a card accepts once, cannot be repeated and is said to be that. Nothing is sent \
to what was not selected. The exit code is 3 if the card answers otherwise or a command was not sent, and 4 if the card is lost, \
with where to go on: --from.

Sessions are recorded by `vuicc apdu proxy`, by --trace of any command, by lpac and by pySim, or as packets of GSMTAP.")]
    Replay(replay::Arguments),
    /// Compare two cards by the same scripts, or two recorded sessions
    #[command(after_help = "\
Examples:
  vuicc apdu diff scripts/apdu/*.apdu --reader ACS --card my.img
      a card of plastic and an emulated one
  vuicc apdu diff scripts/apdu/pin.apdu --card old.img --card new.img
      two emulated ones
  vuicc apdu diff monday.apdu tuesday.pcapng
      two recorded sessions, without any card

Each step is `same`, `allowed` (they differ, and the script expects both) or `DIFFERS`; those that are the same are \
counted, and shown with --all. What differs is shown by the names of its fields. Steps of two sessions are laid side by side; those \
that differ only in random values or in numbers that a card assigns are counted apart. Succeeds if none DIFFERS.")]
    Diff(diff::Arguments),
    /// Explain a recorded session, or single APDUs, field by field
    #[command(after_help = "\
Examples:
  vuicc apdu decode session.trace
      what `--trace session.trace` of any command recorded
  LIBEUICC_DEBUG_APDU=1 lpac chip info 2>&1 | vuicc apdu decode - --brief
      what lpac sends, a line for each command
  vuicc apdu decode session.pcapng --only es10 --failed
      which functions of the eUICC failed, and why
  vuicc apdu decode session.trace --keylog keys.txt
      with the profile that was downloaded, element by element
  vuicc apdu decode --apdu 80E2910006BF3E035C015A
      a single command; its response behind a colon

Commands that follow each other on a channel are explained together: files by what is selected, functions of the eUICC \
with all their blocks, responses with the command that GET RESPONSE follows. PINs, and keys and codes in profiles, are \
shown with --secrets only. Fields, formats and the key log are described in docs/decode.md.")]
    Decode(decode::Arguments),
    /// Be the card of a program that asks for APDUs in lines of JSON, as lpac's driver `stdio` does
    #[command(after_help = "\
Examples:
  vuicc apdu stdio --card my.img -- lpac chip info
  vuicc apdu stdio --reader ACS -- lpac profile list
  vuicc apdu stdio --card my.img --trace - -- lpac notification list
      every APDU on stderr
  mkfifo ask; LPAC_APDU=stdio lpac chip info <ask | vuicc apdu stdio >ask
      without starting it: what is no request goes to stderr

lpac writes requests to its standard output and reads answers from its standard input. What else it writes, its results for one, is \
passed on. It reaches servers by itself (LPAC_HTTP=curl, unless another is set).")]
    Stdio(stdio::Arguments),
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => play::run(arguments, context),
        Command::Record(arguments) => record::run(arguments, context),
        Command::Proxy(arguments) => proxy::run(arguments, context),
        Command::Convert(arguments) => convert::run(arguments, context),
        Command::Replay(arguments) => replay::run(arguments, context),
        Command::Diff(arguments) => diff::run(arguments, context),
        Command::Decode(arguments) => decode::run(arguments, context),
        Command::Stdio(arguments) => stdio::run(arguments, context),
    }
}
