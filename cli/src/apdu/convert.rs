//! `vuicc apdu convert`: a recorded session, or a file of scriptor, as a script.

use std::path::PathBuf;

use apdu::counted;
use clap::Args;
use console::Exit;
use reader_bridge::script::Mode;
use serde_json::json;

use super::sources::{Expect, Source, is_recorded, read, script_of};
use crate::Context;
use crate::failure::Failure;
use crate::file::{Readers, is_stdout, put};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The recording, or the file of scriptor; `-` is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the script expects of the responses that were recorded
    #[arg(long, value_name = "WHAT", default_value = "recorded")]
    expect: Expect,
    /// Keep GET RESPONSE and every status word as recorded, instead of whole responses
    #[arg(long)]
    raw: bool,
    /// Write to FILE; `-` is stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let mode = if arguments.raw { Mode::Raw } else { Mode::Auto };
    let (script, of) = match read(&arguments.file, context)? {
        Source::Scriptor(scriptor) => (scriptor.to_text(), "scriptor".to_owned()),
        Source::Session(session) => (script_of(&session, arguments.expect, mode), session.origin.to_string()),
        Source::Script(text) => {
            // A trace is a script already; what is asked for is another one.
            let Some(session) = capture::read(text.as_bytes()).ok().filter(is_recorded) else {
                let path = arguments.file.display();
                let cause =
                    format!("{path} is a script already, or no recorded session; `vuicc apdu run {path}` runs it");
                return Err(Failure::because(cause).with(Exit::Input));
            };
            (script_of(&session, arguments.expect, mode), session.origin.to_string())
        }
    };
    let commands = script.lines().filter(|line| line.starts_with('>')).count();
    if let Some(path) = arguments.out.as_deref().filter(|path| !is_stdout(path)) {
        // PINs are left out; the card's answers, CK and IK too, are not.
        put(path, script.as_bytes(), Readers::Owner, "the script")?;
        context.output.json(&json!({ "converted": path, "from": of, "commands": commands }))?;
        context.output.text(format_args!("{} of {of}: {}", counted(commands, "command"), path.display()))?;
    } else {
        context.output.json(&json!({ "script": script, "from": of, "commands": commands }))?;
        context.output.block(script.trim_end())?;
    }
    Ok(())
}
