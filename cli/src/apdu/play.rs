//! `vuicc apdu run`: runs a script step by step until it ends or a response differs.

use std::fmt;

use clap::Args;
use console::Exit;
use reader_bridge::script::{Done, Outcome, Run};
use reader_bridge::trace::{describe_command, describe_response, pretty_tlv};
use serde_json::{Value, json};

use super::Scripts;
use crate::failure::Failure;
use crate::target::TargetArguments;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    target: TargetArguments,
    /// Continue after a mismatch
    #[arg(long)]
    keep_going: bool,
    /// Show commands and responses in full, TLVs as trees
    #[arg(long)]
    show: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let scripts = arguments.scripts.load()?;
    let mut card = arguments.target.connect()?;
    let (mut steps, mut differing, mut skipped) = (0, 0, 0);
    for script in &scripts {
        let mut run = Run::new(script, arguments.scripts.variables());
        while let Some(done) = run.step(&mut card)? {
            let differs = matches!(done.outcome, Outcome::Differs(_));
            context.output.json(&object(&done))?;
            context.output.block(Told { done: &done, whole: arguments.show })?;
            match done.outcome {
                Outcome::Skipped(count) => skipped += count,
                _ => steps += 1,
            }
            differing += usize::from(differs);
            if differs && !arguments.keep_going {
                break;
            }
        }
    }
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    context.output.text(format_args!("{steps} steps, {differing} not as expected{skipped}"))?;
    if differing == 0 { Ok(()) } else { Err(Failure::Told(Exit::Difference)) }
}

/// A step, as JSON.
pub(super) fn object(done: &Done) -> Value {
    let mut object = json!({ "script": &*done.location.file, "line": done.location.line, "note": done.note });
    let Some(fields) = object.as_object_mut() else { return object };
    let mut insert = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if !done.command.is_empty() {
        insert("command", done.shown_command().into());
        insert("name", describe_command(&done.command).into());
    }
    if !done.response.is_empty() {
        insert("response", done.shown_response().into());
    }
    insert("outcome", word(&done.outcome).into());
    match &done.outcome {
        Outcome::Reset { atr } => {
            insert("atr", hexadecimal::whole(atr).into());
        }
        Outcome::Skipped(count) => {
            insert("skipped", (*count).into());
        }
        Outcome::Differs(mismatch) => {
            insert("expected", mismatch.expected.as_str().into());
            insert("nibble", mismatch.nibble.into());
            insert("wanted", mismatch.wanted.as_str().into());
        }
        Outcome::AsExpected | Outcome::Unchecked => {}
    }
    object
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Reset { .. } => "reset",
        Outcome::AsExpected => "as_expected",
        Outcome::Unchecked => "unchecked",
        Outcome::Differs(_) => "differs",
        Outcome::Skipped(_) => "skipped",
    }
}

/// A step, as text.
struct Told<'a> {
    done: &'a Done,
    whole: bool,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { location, note, command, response, outcome, .. } = self.done;
        let note = note.as_ref().map(|note| format!("  # {note}")).unwrap_or_default();
        match outcome {
            Outcome::Reset { atr } => {
                return write!(f, "ok      {location}  reset, ATR {}{note}", hexadecimal::whole(atr));
            }
            Outcome::Skipped(count) => {
                let because = describe_response(response);
                return write!(f, "skip    {location}  {count} steps skipped: {because}{note}");
            }
            Outcome::Differs(mismatch) => {
                writeln!(f, "DIFFERS {location}  {}{note}", describe_command(command))?;
                write!(f, "          sent      {}", self.done.shown_command())?;
                for line in mismatch.to_string().lines() {
                    write!(f, "\n          {line}")?;
                }
                return Ok(());
            }
            Outcome::AsExpected => write!(f, "ok      ")?,
            Outcome::Unchecked => write!(f, "-       ")?,
        }
        write!(f, "{location}  {}", describe_command(command))?;
        if !self.whole {
            return write!(f, ": {}{note}", hexadecimal::short(response));
        }
        write!(f, "{note}\n          > {}", self.done.shown_command())?;
        write!(f, "\n          < {}  {}", hexadecimal::whole(response), describe_response(response))?;
        for line in
            pretty_tlv(response.get(..response.len().saturating_sub(2)).unwrap_or_default()).into_iter().flatten()
        {
            write!(f, "\n              {line}")?;
        }
        Ok(())
    }
}
