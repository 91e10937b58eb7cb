//! `vuicc card fault`: orders what is to go wrong with a card, lists and clears it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use card::fault::{clear, is_of_an_euicc, order};
use card::image::{self, CardType, FileNvm, ImageError};
use card::inspect::{Fault, faults};
use card::{OpenError, fault};
use clap::{Args, Subcommand};
use console::Exit;
use serde::Serialize;

use crate::Context;
use crate::failure::Failure;
use crate::file::image;
use crate::target::once_free;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Order faults: what goes wrong, where, from which time on, how often
    #[command(after_help = after_help())]
    Add(Add),
    /// List the faults that are ordered, and what has become of them
    #[command(after_help = "\
Examples:
  vuicc card fault list my.img
  vuicc card fault list my.img --json | jq .left

A card that is in a reader just now may be looked at as well.")]
    List(List),
    /// Clear faults: they do not strike any more
    #[command(after_help = "\
Examples:
  vuicc card fault clear my.img
      all of them
  vuicc card fault clear my.img 2 3
      those of these numbers, as listed")]
    Clear(Clear),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The card image
    #[arg(value_name = "PATH", value_parser = image)]
    image: PathBuf,
    /// What is to go wrong
    #[arg(value_name = "FAULT", required = true, value_parser = parse)]
    faults: Vec<fault::Fault>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The card image
    #[arg(value_name = "PATH", value_parser = image)]
    image: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Clear {
    /// The card image
    #[arg(value_name = "PATH", value_parser = image)]
    image: PathBuf,
    /// Their numbers [default: all]
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u16>,
}

fn parse(text: &str) -> Result<fault::Fault, String> {
    fault::parse(text).map_err(|error| error.to_string())
}

/// What the table of faults says.
fn after_help() -> String {
    let kinds: Vec<String> =
        fault::KINDS.iter().map(|kind| format!("  {}\n{}", kind.form(), indented(kind.meaning))).collect();
    let kinds = kinds.concat();
    format!(
        "\
A fault is written WHAT[@PLACE][,before|,after][,from=N][,times=N|,always]. Without more it strikes once, the next time.

WHAT:
  FUNCTION=CODE
      an ES10 function answers with this result code, by name or number,
      instead of being carried out; with `after` it is carried out
  COMMAND=REASON
      a command within a bound profile package fails with this errorReason
{kinds}
PLACE: an instruction by name or two digits, an ES10 function (LoadBoundProfilePackage at each piece an LPA sends), or for \
`cut` also `write`: where non-volatile memory is written. Without it, any command.

Examples:
  vuicc card fault add my.img EnableProfile=catBusy,times=2
  vuicc card fault add my.img loadProfileElements=scp03tSecurityError,always
  vuicc card fault add my.img cut@LoadBoundProfilePackage,from=12
  vuicc card fault add my.img slow=3s@CancelSession status=6F00@SELECT,from=2

A fault lies in the image, is counted down there, and strikes in whatever the card is in: a reader, a socket, a command with \
--card. docs/faults.md says which to order to test what."
    )
}

/// A text in lines of at most 80 columns, below what it explains.
fn indented(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 80;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column + 1 + length > 80 {
            lines.push_str(if lines.is_empty() { "      " } else { "\n      " });
            column = 6;
        } else {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Add(Add { image, faults }) => {
            let mut nvm = open(image)?;
            let is_euicc = nvm.manufacture().card_type == CardType::Euicc;
            if let Some(never) = faults.iter().find(|fault| is_of_an_euicc(fault) && !is_euicc) {
                let text = fault::text(never);
                return Err(Failure::because(format!(
                    "{text} can never strike: {} is a UICC, which has no ES10; order it for an eUICC",
                    image.display()
                ))
                .with(Exit::Usage));
            }
            let numbers = order(&mut nvm, faults).map_err(|_| not_written(image))?;
            tell(image, &nvm, context, |fault| numbers.contains(&fault.number))
        }
        Command::List(List { image }) => {
            let (_, memory) = image::read(image)?;
            let listed = faults(&memory);
            if listed.is_empty() {
                context.output.text(format_args!("{}: no faults", image.display()))?;
            }
            listed.into_iter().try_for_each(|fault| Ok(context.output.put(&Listed { image, fault })?))
        }
        Command::Clear(Clear { image, numbers }) => {
            let mut nvm = open(image)?;
            let wanted = (!numbers.is_empty()).then_some(numbers.as_slice());
            let there = faults(nvm.memory());
            let is_there = |number: &u16| there.iter().any(|fault| fault.number == *number);
            if let Some(missing) = numbers.iter().find(|number| !is_there(number)) {
                let told = format!("{}: there is no fault {missing}", image.display());
                return Err(Failure::because(format!("{told}; `vuicc card fault list` lists them")).with(Exit::Usage));
            }
            let cleared = clear(&mut nvm, wanted).map_err(|_| not_written(image))?;
            context.output.json(&serde_json::json!({ "image": image, "cleared": cleared }))?;
            Ok(context.output.text(format_args!("{}: {} cleared", image.display(), cleared.len()))?)
        }
    }
}

/// The image, to be changed. A card that runs keeps it for as long as it runs.
fn open(image: &Path) -> Result<FileNvm, Failure> {
    const A_COMMAND: Duration = Duration::from_secs(2);
    once_free(|| Ok(FileNvm::open(image)?), A_COMMAND).map_err(|error| match error {
        OpenError::Image(ImageError::InUse { path, holder }) => Failure::because(format!(
            "{} is in use by {holder}; take the card out first (vuicc card eject), order or clear its faults, and run it again",
            path.display()
        ))
        .with(Exit::Card),
        other => other.into(),
    })
}

fn not_written(image: &Path) -> Failure {
    Failure::because(format!("{} could not be written; nothing has changed in it", image.display()))
}

fn tell(image: &Path, nvm: &FileNvm, context: &Context, is_told: impl Fn(&Fault) -> bool) -> Result<(), Failure> {
    let told = faults(nvm.memory()).into_iter().filter(is_told);
    for fault in told {
        context.output.put(&Listed { image, fault })?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Listed<'a> {
    image: &'a Path,
    #[serde(flatten)]
    fault: Fault,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)
    }
}
