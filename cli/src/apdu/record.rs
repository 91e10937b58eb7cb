//! `vuicc apdu record`: turns the commands of a script into a script that expects this card's responses.

use std::path::PathBuf;

use apdu::counted;
use clap::Args;
use console::Exit;
use reader_bridge::script::{Done, Mode, Recorder, Run};
use reader_bridge::trace::Tracer;
use serde_json::json;

use super::report::NOTHING_SENT;
use super::sources::{Expect, Scripts};
use crate::Context;
use crate::failure::Failure;
use crate::file::{Readers, is_stdout, put};
use crate::target::TargetArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    target: TargetArguments,
    /// Record every status word as received, instead of whole responses
    #[arg(long)]
    raw: bool,
    /// Write to FILE; `-` is stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let scripts = arguments.scripts.load(Expect::None, context)?;
    let variables = arguments.scripts.checked(&scripts)?;
    let mode = if arguments.raw { Mode::Raw } else { Mode::Auto };
    let observer = Recorder::new(mode).hiding(variables.clone());
    let mut card = Tracer::new(arguments.target.connect_hiding(&variables)?, observer);
    let (mut commands, mut acted) = (0, false);
    for loaded in &scripts {
        let done = Run::new(&loaded.script, variables.clone()).finish(&mut card)?;
        commands += done.iter().filter(|done| !done.command.is_empty()).count();
        acted |= done.iter().any(Done::acts);
    }
    if commands == 0 && !acted {
        return Err(Failure::because(format!("nothing was recorded: {NOTHING_SENT}")).with(Exit::Input));
    }
    let recorded = card.into_parts().1.into_script();
    if let Some(path) = arguments.out.as_deref().filter(|path| !is_stdout(path)) {
        // PINs are left out; the card's answers, CK and IK too, are not.
        put(path, recorded.as_bytes(), Readers::Owner, "the script")?;
        context.output.json(&json!({ "recorded": path, "commands": commands }))?;
        context.output.text(format_args!("{} recorded in {}", counted(commands, "command"), path.display()))?;
    } else {
        context.output.json(&json!({ "script": recorded, "commands": commands }))?;
        context.output.block(recorded.trim_end())?;
    }
    Ok(())
}
