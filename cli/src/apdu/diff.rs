//! `vuicc apdu diff`: one script, two cards, side by side; or two recorded sessions.

use std::fmt;
use std::path::PathBuf;

use apdu::counted;
use clap::Args;
use console::Exit;
use decode::{Decoded, Decoder, Differing, compare};
use reader_bridge::script::{Difference, Done, Outcome, Run, Variables, diff};
use reader_bridge::trace::describe_command;
use serde_json::json;

use super::report::NOTHING_SENT;
use super::sources::{Expect, Loaded, Scripts};
use super::{differing, sessions, step};
use crate::failure::Failure;
use crate::file::image;
use crate::output::Plain;
use crate::target::Target;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scripts: Scripts,
    /// Compare the card in this reader (number, name or part of the name). Name two cards, by --reader, by --card, or
    /// one by each; readers come first. Name the same reader twice to change the card in between
    #[arg(long = "reader", value_name = "NAME")]
    readers: Vec<String>,
    /// Compare the card in this image
    #[arg(long = "card", value_name = "PATH", value_parser = image)]
    cards: Vec<PathBuf>,
    /// Show equal steps too
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let readers = arguments.readers.iter().map(|name| Target::Reader(name));
    let targets: Vec<_> = readers.chain(arguments.cards.iter().map(|image| Target::Image(image))).collect();
    if let ([], [left, right]) = (targets.as_slice(), arguments.scripts.paths()) {
        return sessions::run([left, right], arguments.all, context);
    }
    let [left, right] = targets.as_slice() else {
        let named = match targets.len() {
            0 => "none is given".to_owned(),
            1 => "one is given".to_owned(),
            count => format!("{count} are given"),
        };
        return Err(Failure::because(format!(
            "apdu diff compares two cards, and {named}: use --reader NAME and --card PATH, or one of them twice; or give two \
             recorded sessions and no card"
        ))
        .with(Exit::Usage));
    };
    let scripts = arguments.scripts.load(Expect::None, context)?;
    let variables = arguments.scripts.checked(&scripts)?;
    let names = [named(*left), named(*right)];
    // Sequentially, so that both may be the same reader with the card changed in between.
    let left = play_all(*left, &scripts, &variables)?;
    let right = play_all(*right, &scripts, &variables)?;

    if !left.iter().chain(&right).flatten().any(Done::acts) {
        return Err(Failure::because(format!("nothing was compared: {NOTHING_SENT}")).with(Exit::Input));
    }
    let (mut steps, mut different, mut forbidden) = (0, 0, 0);
    let mut decoders = [Decoder::new(), Decoder::new()];
    for (left, right) in left.iter().zip(&right) {
        for row in diff(left, right) {
            steps += 1;
            different += usize::from(!row.equal);
            forbidden += usize::from(!row.equal && !row.allowed);
            let differing = fields(&row, &mut decoders);
            context.output.json(&json!({
                "script": &*row.location.file, "line": row.location.line, "equal": row.equal, "allowed": row.allowed,
                "left": row.left.as_ref().map(step::object), "right": row.right.as_ref().map(step::object),
                "differences": differing.iter().map(|one| differing::object(one, ["left", "right"])).collect::<Vec<_>>(),
            }))?;
            if arguments.all || !row.equal {
                context.output.block(Row(&row, &names))?;
                for one in &differing {
                    let [left, right] = &names;
                    context.output.text(format_args!("          {}", differing::line(one, [left, right])))?;
                }
            }
        }
    }
    context.output.summary([("steps", steps), ("different", different), ("not_allowed", forbidden)])?;
    context.output.text(summary(steps, different, forbidden))?;
    if forbidden == 0 { Ok(()) } else { Err(Failure::Told(Exit::Difference)) }
}

/// Fields of the two answers that differ. The decoders follow what each card was sent.
fn fields(row: &Difference, decoders: &mut [Decoder; 2]) -> Vec<Differing> {
    let [left, right] = decoders;
    let explained = [(left, &row.left), (right, &row.right)].map(|(decoder, done)| explain(decoder, done.as_ref()?));
    match explained {
        [Some(left), Some(right)] if !row.equal => compare(left.answer(), right.answer()),
        _ => Vec::new(),
    }
}

/// Explains what a step did; nothing of what is kept secret.
fn explain(decoder: &mut Decoder, done: &Done) -> Option<Decoded> {
    if let Outcome::Reset { atr } = &done.outcome {
        return Some(decoder.reset(atr, false));
    }
    let is_condition = done.command.is_empty() || matches!(done.outcome, Outcome::Skipped(_) | Outcome::NoValues(_));
    let explained = (!is_condition).then(|| decoder.exchange(&done.command, &done.response))?;
    (!done.hides_response()).then_some(explained)
}

/// The result of the comparison.
fn summary(steps: usize, different: usize, forbidden: usize) -> String {
    let same = format!("{} of {} are the same on both cards", steps - different, counted(steps, "step"));
    match (different, different - forbidden) {
        (0, _) => same,
        (_, 0) => format!("{same}; {forbidden} differ"),
        (_, allowed) if forbidden == 0 => format!("{same}; {allowed} differ as the script allows"),
        (_, allowed) => format!("{same}; {forbidden} differ, and {allowed} as the script allows"),
    }
}

/// How a card is named in the output.
fn named(target: Target<'_>) -> String {
    match target {
        Target::First => "first".into(),
        Target::Reader(name) => name.into(),
        Target::Image(path) => path.display().to_string(),
    }
}

fn play_all(target: Target<'_>, scripts: &[Loaded], variables: &Variables) -> Result<Vec<Vec<Done>>, Failure> {
    let mut card = target.connect()?;
    let play = |loaded: &Loaded| Ok(Run::new(&loaded.script, variables.clone()).finish(&mut card)?);
    scripts.iter().map(play).collect()
}

/// A step on both cards, with the cards' names.
struct Row<'a>(&'a Difference, &'a [String; 2]);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { location, left, right, equal, allowed, .. } = self.0;
        let mark = match (equal, allowed) {
            (true, _) => "same   ",
            (false, true) => "allowed",
            (false, false) => "DIFFERS",
        };
        let command = left.as_ref().or(right.as_ref()).map(|done| done.command.as_slice()).unwrap_or_default();
        let what = match left.as_ref().or(right.as_ref()).map(|done| &done.outcome) {
            Some(Outcome::Reset { .. }) => "reset".into(),
            Some(Outcome::Skipped(_) | Outcome::NoValues(_) | Outcome::NotTaken(_)) => "condition".into(),
            _ if command.is_empty() => "condition".into(),
            _ => describe_command(command),
        };
        let turns = left.as_ref().or(right.as_ref()).map(|done| done.turns.join(" ")).unwrap_or_default();
        let turns = if turns.is_empty() { turns } else { format!(" [{turns}]") };
        write!(f, "{mark} {location}{turns}  {what}")?;
        let (left, right) = (shown(left.as_ref()), shown(right.as_ref()));
        if *equal {
            return write!(f, ": {left}");
        }
        let width = self.1.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for (name, answer) in self.1.iter().zip([&left, &right]) {
            write!(f, "\n          {:width$}  {answer}", Plain(name))?;
        }
        if let Some(at) = left.chars().zip(right.chars()).position(|(left, right)| left != right) {
            write!(f, "\n          {:width$}  {:at$}^", "", "")?;
        }
        Ok(())
    }
}

fn shown(done: Option<&Done>) -> String {
    match done.map(|done| (&done.outcome, &done.response)) {
        None => "(not reached)".into(),
        Some((Outcome::Reset { atr }, _)) => format!("ATR {}", hexadecimal::whole(atr)),
        Some((Outcome::Skipped(count) | Outcome::NotTaken(count), _)) => {
            format!("({} skipped: the script's condition is not met on this card)", counted(*count, "step"))
        }
        Some((Outcome::NoValues(count), _)) => {
            format!("({} skipped: the loop has no values on this card)", counted(*count, "step"))
        }
        Some(_) => done.map(Done::shown_response).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        assert_eq!(summary(9, 0, 0), "9 of 9 steps are the same on both cards");
        assert_eq!(summary(9, 2, 2), "7 of 9 steps are the same on both cards; 2 differ");
        let allowed = summary(9, 2, 0);
        assert_eq!(allowed, "7 of 9 steps are the same on both cards; 2 differ as the script allows");
        let both = summary(9, 3, 2);
        assert_eq!(both, "6 of 9 steps are the same on both cards; 2 differ, and 1 as the script allows");
    }
}
