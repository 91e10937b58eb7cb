//! `vuicc apdu diff`: one script, two cards, side by side.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use reader_bridge::script::{Difference, Done, Outcome, Run, Script, Variables, diff};
use reader_bridge::trace::describe_command;
use serde_json::json;

use super::{Scripts, play};
use crate::failure::Failure;
use crate::file::image;
use crate::target::Target;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scripts: Scripts,
    /// One of the two cards is the one in this reader
    #[arg(long = "reader", value_name = "NAME")]
    readers: Vec<String>,
    /// One of the two cards is the one in this image
    #[arg(long = "card", value_name = "PATH", value_parser = image)]
    cards: Vec<PathBuf>,
    /// Show the steps that are equal as well
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let readers = arguments.readers.iter().map(|name| Target::Reader(name));
    let targets: Vec<_> = readers.chain(arguments.cards.iter().map(|image| Target::Image(image))).collect();
    let [left, right] = targets.as_slice() else {
        return Err(Failure::because(format!(
            "two cards are compared, not {}; say --reader and --card",
            targets.len()
        )));
    };
    let scripts = arguments.scripts.load()?;
    let variables = arguments.scripts.variables();
    // One after the other, so that both may be the same reader with a card changed in between.
    let left = play_all(*left, &scripts, &variables)?;
    let right = play_all(*right, &scripts, &variables)?;

    let (mut steps, mut different, mut forbidden) = (0, 0, 0);
    for (left, right) in left.iter().zip(&right) {
        for row in diff(left, right) {
            steps += 1;
            different += usize::from(!row.equal);
            forbidden += usize::from(!row.equal && !row.allowed);
            context.output.json(&json!({
                "script": &*row.location.file, "line": row.location.line, "equal": row.equal, "allowed": row.allowed,
                "left": row.left.as_ref().map(play::object), "right": row.right.as_ref().map(play::object),
            }))?;
            if arguments.all || !row.equal {
                context.output.block(Row(&row))?;
            }
        }
    }
    let summary = format!("{steps} steps, {different} different, {forbidden} of them beyond what the script allows");
    context.output.text(summary)?;
    if forbidden == 0 { Ok(()) } else { Err(Failure::Told) }
}

fn play_all(target: Target<'_>, scripts: &[Script], variables: &Variables) -> Result<Vec<Vec<Done>>, Failure> {
    let mut card = target.connect()?;
    let play = |script| Ok(Run::new(script, variables.clone()).finish(&mut card)?);
    scripts.iter().map(play).collect()
}

struct Row<'a>(&'a Difference);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { location, left, right, equal, allowed, .. } = self.0;
        let mark = match (equal, allowed) {
            (true, _) => "same   ",
            (false, true) => "allowed",
            (false, false) => "DIFFERS",
        };
        let command = left.as_ref().or(right.as_ref()).map(|done| done.command.as_slice()).unwrap_or_default();
        let what = if command.is_empty() { "reset or guard".into() } else { describe_command(command) };
        write!(f, "{mark} {location}  {what}")?;
        let (left, right) = (shown(left.as_ref()), shown(right.as_ref()));
        if *equal {
            return write!(f, ": {left}");
        }
        write!(f, "\n          left   {left}\n          right  {right}")?;
        if let Some(at) = left.chars().zip(right.chars()).position(|(left, right)| left != right) {
            write!(f, "\n                 {:at$}^", "")?;
        }
        Ok(())
    }
}

fn shown(done: Option<&Done>) -> String {
    match done.map(|done| (&done.outcome, &done.response)) {
        None => "(not reached)".into(),
        Some((Outcome::Reset { atr }, _)) => format!("ATR {}", hexadecimal::whole(atr)),
        Some((Outcome::Skipped(count), _)) => format!("({count} steps left out)"),
        Some((_, response)) => hexadecimal::whole(response),
    }
}
