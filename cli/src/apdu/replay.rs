//! `vuicc apdu replay`: a recorded session, played again.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use apdu::StatusWord;
use capture::Session;
use clap::Args;
use console::Exit;
use reader_bridge::replay::Options;

use super::place::PlaceArguments;
use super::recorded_card;
use crate::failure::{AtPath, Failure};
use crate::trace::TraceArguments;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A recorded session: a trace as text or JSON lines, packets of GSMTAP, a log of lpac or pySim; `-` is stdin
    #[arg(value_name = "SESSION")]
    session: PathBuf,
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// Answer to reset [default: the recorded one]
    #[arg(long, value_name = "HEX", value_parser = hexadecimal::parse)]
    atr: Option<Octets>,
    /// Status word for commands that are not recorded
    #[arg(long, value_name = "SW", default_value = "6F00", value_parser = status_word)]
    unknown: StatusWord,
    /// End, successfully, when each recorded command was asked and no other one follows
    #[arg(long)]
    pub(super) until_asked: bool,
    /// Fail with exit code 3 if a recorded command was not asked, too
    #[arg(long)]
    pub(super) complete: bool,
    /// Show every command, not only those that are not recorded
    #[arg(long)]
    pub(super) show: bool,
    #[command(flatten)]
    pub(super) trace: TraceArguments,
}

/// So that clap takes it for one value.
type Octets = Vec<u8>;

fn status_word(text: &str) -> Result<StatusWord, String> {
    match hexadecimal::parse(text)?.as_slice() {
        [sw1 @ (0x60..=0x6F | 0x90..=0x9F), sw2] => Ok(StatusWord::from([*sw1, *sw2])),
        _ => Err("two octets, of which the first is 6X or 9X, as in 6D00".into()),
    }
}

impl Arguments {
    pub(super) fn options(&self) -> Options {
        Options { atr: self.atr.clone(), unknown: self.unknown }
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.session == Path::new("-") && arguments.place.stay.detaches() {
        let told = "what runs in the background has no stdin to read a recording from; name a file";
        return Err(Failure::because(told).with(Exit::Usage));
    }
    let recorded = session(&arguments.session)?;
    let name = arguments.session.file_name().unwrap_or("replay".as_ref());
    arguments.place.stay.run(name, context, |parent| {
        recorded_card::run(arguments, &arguments.session, &recorded.events, context, parent)
    })
}

/// Reads a recorded session.
fn session(path: &Path) -> Result<Session, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(path).at("read the recording", path)?;
    }
    if crate::package::is_card_image(path) {
        return Err(
            Failure::because(format!("{} is a card image, not a recorded session", path.display())).with(Exit::Input)
        );
    }
    capture::read(&bytes)
        .map_err(|error| Failure::because(format!("cannot read {}: {error}", path.display())).with(Exit::Input))
}
