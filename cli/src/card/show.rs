//! `vuicc card show`: inspects a card image without a reader and without changing it.

use std::fmt;
use std::path::PathBuf;

use card::inspect::{self, Inspection};
use clap::Args;
use serde::Serialize;

use crate::Context;
use crate::failure::Failure;
use crate::file::image;
use crate::output::within_a_line;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The card image
    #[arg(value_name = "PATH", value_parser = image)]
    image: PathBuf,
    /// Omit the file trees
    #[arg(long)]
    brief: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    show(&arguments.image, inspect::image(&arguments.image)?, arguments.brief, context)
}

/// Prints what was found on the card `image`.
pub(crate) fn show(image: &PathBuf, mut inspection: Inspection, brief: bool, context: &Context) -> Result<(), Failure> {
    if brief {
        for domain in &mut inspection.domains {
            domain.files.clear();
        }
    }
    if !context.output.is_json() {
        stay_in_their_lines(&mut inspection);
    }
    Ok(context.output.put_block(&Shown { image, inspection })?)
}

/// Names chosen by operators, servers and users, escaped for multi-line text.
fn stay_in_their_lines(inspection: &mut Inspection) {
    let plain = |text: &mut String| *text = within_a_line(text);
    plain(&mut inspection.made_by);
    let Some(euicc) = &mut inspection.euicc else { return };
    plain(&mut euicc.root_ds_address);
    euicc.default_dp_address.iter_mut().for_each(plain);
    for profile in &mut euicc.profiles {
        plain(&mut profile.name);
        plain(&mut profile.service_provider);
        profile.nickname.iter_mut().for_each(plain);
    }
    euicc.notifications.iter_mut().for_each(|notification| plain(&mut notification.address));
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
