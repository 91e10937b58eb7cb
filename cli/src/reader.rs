//! `vuicc reader`: which readers are there, and what is in them.

use std::fmt;

use clap::Subcommand;
use reader_bridge::TransportError;
use reader_bridge::pcsc_reader::{Reader, list_readers};
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

The number or any unmistakable part of the name is what --reader takes.")]
    List,
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    let Command::List = command;
    let readers = match list_readers() {
        // A service without readers is an answer, not a failure.
        Err(TransportError::NoReaders) => Vec::new(),
        outcome => outcome?,
    };
    if readers.is_empty() {
        context.output.text(TransportError::NoReaders)?;
    }
    for reader in readers {
        context.output.put(&Line::from(reader))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Line {
    index: usize,
    name: String,
    card: bool,
    atr: Option<String>,
    in_use: bool,
}

impl From<Reader> for Line {
    fn from(reader: Reader) -> Self {
        let atr = reader.card.as_deref().filter(|atr| !atr.is_empty()).map(hexadecimal::whole);
        Self { index: reader.index, name: reader.name, card: reader.card.is_some(), atr, in_use: reader.in_use }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let card = match (&self.atr, self.card) {
            (Some(atr), _) => atr,
            (None, true) => "a card that gives no answer to reset",
            (None, false) => "empty",
        };
        write!(f, "{:>2}  {}  {card}{}", self.index, self.name, if self.in_use { "  (in use)" } else { "" })
    }
}
