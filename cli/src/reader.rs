//! `vuicc reader`: lists readers and their cards.

use std::fmt;
use std::time::Duration;

use clap::Subcommand;
use console::Exit;
use reader_bridge::ReaderError;
use reader_bridge::pcsc_reader::{Reader, list_readers, wait_for_card, wait_until_empty};
use serde::Serialize;

use crate::failure::Failure;
use crate::{Context, hexadecimal};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the readers of the PC/SC service, real and virtual
    #[command(after_help = "\
Examples:
  vuicc reader list
  vuicc reader list --json | jq -r 'select(.card) | .name'

The number or any unmistakable part of the name is what --reader takes. Which program uses a card, the PC/SC service does \
not tell; `lsof` shows who has opened its socket.")]
    List,
    /// Wait until a reader has a card that answers to reset, or holds none any more, and show that reader
    #[command(after_help = "\
Examples:
  vuicc card run my.img & vuicc reader wait
      goes on as soon as any PC/SC program can use the card
  vuicc reader wait --reader 'Virtual PCD 00 01' --timeout 60
  vuicc reader wait --gone
      until no reader holds a card any more

The PC/SC service looks for a card two or three times a second. Commands of vuicc that use a card wait two seconds for it by \
themselves; other programs do not.")]
    Wait {
        /// In this reader: its number, its name or a part of it [default: any]
        #[arg(long, value_name = "NAME")]
        reader: Option<String>,
        /// Until it is empty; without --reader, until all are
        #[arg(long)]
        gone: bool,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value_t = 10)]
        timeout: u64,
    },
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    if let Command::Wait { reader, gone, timeout } = command {
        return wait(reader.as_deref(), *gone, Duration::from_secs(*timeout), context);
    }
    let readers = match list_readers() {
        // A service without readers is an answer, not a failure.
        Err(ReaderError::NoReaders) => Vec::new(),
        outcome => outcome?,
    };
    if readers.is_empty() {
        context.output.text(ReaderError::NoReaders)?;
    }
    for reader in readers {
        context.output.put(&Line::from(reader))?;
    }
    Ok(())
}

fn wait(reader: Option<&str>, gone: bool, limit: Duration, context: &Context) -> Result<(), Failure> {
    let found =
        if gone { wait_until_empty(reader, limit) } else { wait_for_card(reader, limit).map(|reader| vec![reader]) };
    for reader in found.map_err(in_vain)? {
        context.output.put(&Line::from(reader))?;
    }
    Ok(())
}

/// Why nothing came of waiting: the time was over, or waiting does not help.
fn in_vain(error: ReaderError) -> Failure {
    let exit = match error {
        ReaderError::WithoutPcsc | ReaderError::AccessDenied { .. } => Exit::Card,
        ReaderError::ReaderAmbiguous { .. } => Exit::Usage,
        _ => Exit::TimedOut,
    };
    Failure::from(error).with(exit)
}

#[derive(Serialize)]
struct Line {
    index: usize,
    name: String,
    card: bool,
    atr: Option<String>,
    in_use: bool,
    exclusive: bool,
}

impl From<Reader> for Line {
    fn from(reader: Reader) -> Self {
        let atr = reader.card.as_deref().filter(|atr| !atr.is_empty()).map(hexadecimal::whole);
        let Reader { index, name, card, in_use, exclusive, events: _ } = reader;
        Self { index, name, card: card.is_some(), atr, in_use, exclusive }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let card = match (&self.atr, self.card) {
            (Some(atr), _) => atr,
            (None, true) => "a card that does not answer to reset",
            (None, false) => "empty",
        };
        let used = match (self.in_use, self.exclusive) {
            (_, true) => "  (in use, exclusively)",
            (true, false) => "  (in use, shared)",
            (false, false) => "",
        };
        write!(f, "{:>2}  {}  {card}{used}", self.index, self.name)
    }
}
