//! `vuicc card show`: what a card is and holds, without a reader and without disturbing it.

use std::fmt;
use std::path::PathBuf;

use card::inspect::{self, Inspection};
use clap::Args;
use serde::Serialize;

use crate::Context;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The card image
    #[arg(value_name = "PATH")]
    image: PathBuf,
    /// Leave out the file trees
    #[arg(long)]
    brief: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let mut inspection = inspect::image(&arguments.image)?;
    if arguments.brief {
        for domain in &mut inspection.domains {
            domain.files.clear();
        }
    }
    Ok(context.output.put(&Shown { image: &arguments.image, inspection })?)
}

#[derive(Serialize)]
struct Shown<'a> {
    image: &'a PathBuf,
    #[serde(flatten)]
    inspection: Inspection,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.image.display(), self.inspection.to_string().trim_end())
    }
}
