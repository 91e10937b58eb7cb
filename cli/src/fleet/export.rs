//! `vuicc fleet export`: a card of a fleet as an image.

use std::fmt;
use std::path::PathBuf;

use card::image::create;
use clap::Args;
use identities::Eid;
use serde::Serialize;

use super::Folder;
use crate::Context;
use crate::failure::Failure;
use crate::file::not_stdout;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// Which card
    #[arg(value_name = "EID")]
    eid: Eid,
    /// The image to write; it must not exist yet
    #[arg(value_name = "PATH", value_parser = not_stdout)]
    image: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let (fleet, member, memory) = arguments.folder.read_one(&arguments.eid)?;
    create(&arguments.image, &fleet.manufacture, &memory.to_memory())?;
    let exported = Exported { image: arguments.image.display().to_string(), eid: member.eid.to_string() };
    Ok(context.output.put(&exported)?)
}

#[derive(Serialize)]
struct Exported {
    image: String,
    eid: String,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: a copy of eUICC {}; use one of them", self.image, self.eid)
    }
}
