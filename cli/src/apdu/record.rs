//! `vuicc apdu record`: turns the commands of a script into a script that expects this card's responses.

use std::path::PathBuf;

use apdu::Transport;
use clap::Args;
use reader_bridge::script::{Mode, Recorder, Run, Script, Variables};
use reader_bridge::trace::Tracer;
use serde_json::json;

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
    let variables = arguments.scripts.variables(&scripts)?;
    let mode = if arguments.raw { Mode::Raw } else { Mode::Auto };
    let observer = Recorder::new(mode).hiding(variables.clone());
    let mut card = Tracer::new(arguments.target.connect_hiding(&variables)?, observer);
    let mut commands = 0;
    for loaded in &scripts {
        commands += play(&loaded.script, &variables, &mut card)?;
    }
    let recorded = card.into_parts().1.into_script();
    if let Some(path) = arguments.out.as_deref().filter(|path| !is_stdout(path)) {
        // PINs are left out; the card's answers, CK and IK too, are not.
        put(path, recorded.as_bytes(), Readers::Owner, "the script")?;
        context.output.json(&json!({ "recorded": path, "commands": commands }))?;
        context.output.text(format_args!("{commands} commands recorded in {}", path.display()))?;
    } else {
        context.output.json(&json!({ "script": recorded, "commands": commands }))?;
        context.output.block(recorded.trim_end())?;
    }
    Ok(())
}

fn play(script: &Script, variables: &Variables, card: &mut impl Transport) -> Result<usize, Failure> {
    let done = Run::new(script, variables.clone()).finish(card)?;
    Ok(done.iter().filter(|done| !done.command.is_empty()).count())
}
