//! `vuicc apdu`: run, record and compare APDU scripts (`docs/apdu-scripts.md`), record sessions of other programs, explain what
//! was recorded (`docs/decode.md`).

mod decode;
mod diff;
mod place;
mod play;
mod proxy;
mod record;

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use console::Exit;
use reader_bridge::script::{Included, Script, Variables};

use crate::failure::{AtPath, Failure};
use crate::{Context, hexadecimal};

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
  vuicc apdu run my.apdu --set secret=31323334FFFFFFFF --show
      with a PIN, every byte shown
  echo '> 00A40004023F00' | vuicc apdu run -
      a script from a pipe

A script stops at its first mismatch, which is shown with its line and a mark under the half-byte that differs. The \
format is described in docs/apdu-scripts.md.")]
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
      a virtual reader shows the card in the reader ACS to programs, until interrupted
  vuicc apdu proxy --card my.img --out session.pcapng --detach
      for Wireshark; in the background, `vuicc card eject` ends it
  vuicc apdu proxy --reader 0 --slot 127.0.0.1:35964 --out session.json
      where the first slot of the virtual reader has another card
  vuicc apdu proxy --reader tcp:127.0.0.1:7000 --listen 127.0.0.1:7001 --out session.apdu
      between two sockets, without any reader

Programs use the card in the virtual reader, and every reset and every command goes to the real one. If that is pulled, or its \
reader is, the virtual card goes as well, and what was recorded is whole. On a full disk the recording ends with its last whole \
event, the program keeps its card, and the command fails at its end. PINs and PUKs are not recorded.")]
    Proxy(proxy::Arguments),
    /// Run the same scripts on two cards and show where they differ
    #[command(after_help = "\
Examples:
  vuicc apdu diff scripts/apdu/*.apdu --reader ACS --card my.img
      a card of plastic and an emulated one
  vuicc apdu diff scripts/apdu/pin.apdu --card old.img --card new.img
      two emulated ones

Each step is `same`, `allowed` (they differ, and the script expects both) or `DIFFERS`; those that are the same are \
counted, and shown with --all. Succeeds if none DIFFERS.")]
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
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => play::run(arguments, context),
        Command::Record(arguments) => record::run(arguments, context),
        Command::Proxy(arguments) => proxy::run(arguments, context),
        Command::Diff(arguments) => diff::run(arguments, context),
        Command::Decode(arguments) => decode::run(arguments, context),
    }
}

/// Scripts and their variables.
#[derive(Debug, Args)]
struct Scripts {
    /// Scripts to run, in this order; `-` is stdin
    #[arg(value_name = "SCRIPT", required = true)]
    scripts: Vec<PathBuf>,
    /// Set a variable; overrides the script's own `set`
    #[arg(long = "set", value_name = "NAME=HEX", value_parser = assignment)]
    variables: Vec<(String, Vec<u8>)>,
}

impl Scripts {
    fn load(&self) -> Result<Vec<Script>, Failure> {
        self.scripts.iter().map(|path| load(path)).collect()
    }

    fn variables(&self) -> Variables {
        self.variables.iter().cloned().collect()
    }
}

fn assignment(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=HEX, as in pin=31323334FFFFFFFF")?;
    Ok((name.to_owned(), hexadecimal::parse(value)?))
}

fn load(path: &Path) -> Result<Script, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    }
    .map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::because(format!(
            "cannot read the script {}: {error}; give the path to one (those that come with vuicc are in scripts/apdu of \
             its source)",
            path.display()
        )).with(Exit::Input),
        ErrorKind::InvalidData if crate::package::is_card_image(path) => Failure::because(format!(
            "{} is a card image, not a script; give the script, and the image with --card {}",
            path.display(),
            path.display()
        )).with(Exit::Input),
        ErrorKind::InvalidData => {
            Failure::because(format!("{} is not a script: it is not text (docs/apdu-scripts.md)", path.display())).with(Exit::Input)
        }
        _ => Err::<(), _>(error).at("read the script", path).err().unwrap_or(Failure::Told(Exit::Input)),
    })?;
    let mut include = |from: &str, included: &str| {
        let path = Path::new(from).parent().unwrap_or(Path::new("")).join(included);
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        Ok(Included { name: path.to_string_lossy().into_owned(), text })
    };
    Ok(Script::parse(&path.to_string_lossy(), &text, &mut include)?)
}
