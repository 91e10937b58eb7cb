//! Two recorded sessions, side by side, without any card.

use std::fmt::{self, Write as _};
use std::path::Path;

use console::Exit;
use reader_bridge::replay::{Row, RowAlike, Side, side_by_side};
use serde_json::{Value, json};

use super::{differing, replay};
use crate::failure::Failure;
use crate::output::Plain;
use crate::{Context, hexadecimal};

/// Keys of the two sides in JSON.
const SIDES: [&str; 2] = ["left", "right"];

/// Compares the sessions in these files; `all`: shows what is the same, too.
pub(super) fn run(paths: [&Path; 2], all: bool, context: &Context) -> Result<(), Failure> {
    let [left, right] = [replay::session(paths[0])?, replay::session(paths[1])?];
    let names = paths.map(|path| path.display().to_string());
    let rows = side_by_side(&left.events, &right.events);
    for row in &rows {
        context.output.json(&object(row))?;
        if all || row.alike == RowAlike::Differs {
            context.output.block(Told(row, &names))?;
        }
    }
    let count = |alike| rows.iter().filter(|row| row.alike == alike).count();
    let (same, varying, differing) = (count(RowAlike::Same), count(RowAlike::Varies), count(RowAlike::Differs));
    let one_side = rows.iter().filter(|row| row.left.is_none() || row.right.is_none()).count();
    let counts = [("steps", rows.len()), ("same", same), ("varying", varying), ("different", differing)];
    let [steps, same_of, varying_of, different] = counts;
    context.output.summary([steps, same_of, varying_of, different, ("in_one_session", one_side)])?;
    let mut text = format!("{same} of {} steps are the same in both sessions", rows.len());
    if varying > 0 {
        // Writing to a string does not fail.
        let _ = write!(text, "; {varying} differ in random or assigned values");
    }
    if differing > 0 {
        let _ = write!(text, "; {differing} differ, {one_side} of which only one session has");
    }
    context.output.text(text)?;
    if differing == 0 { Ok(()) } else { Err(Failure::Told(Exit::Difference)) }
}

fn object(row: &Row) -> Value {
    let side = |side: Option<&Side>| {
        side.map(|side| {
            let Side { number, line, decoded } = side;
            json!({
                "number": number, "line": line, "name": decoded.summary, "outcome": decoded.outcome,
                "command": hexadecimal::whole(&decoded.command), "response": hexadecimal::whole(&decoded.response),
            })
        })
    };
    let list =
        |differing: &[decode::Differing]| differing.iter().map(|one| differing::object(one, SIDES)).collect::<Vec<_>>();
    json!({
        "alike": match row.alike {
            RowAlike::Same => "same",
            RowAlike::Varies => "varies",
            RowAlike::Differs => "differs",
        },
        "left": side(row.left.as_ref()), "right": side(row.right.as_ref()),
        "asked": list(&row.asked), "answered": list(&row.answered),
    })
}

/// A row as text, with the names of the sessions.
struct Told<'a>(&'a Row, &'a [String; 2]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(row, [left, right]) = self;
        let (one, other) = match (&row.left, &row.right) {
            (Some(one), Some(other)) => (one, other),
            (Some(one), None) => return write!(f, "only in {} {}  {}", Plain(left), one.number, only(one)),
            (None, Some(one)) => return write!(f, "only in {} {}  {}", Plain(right), one.number, only(one)),
            (None, None) => return Ok(()),
        };
        let mark = match row.alike {
            RowAlike::Same => "same   ",
            RowAlike::Varies => "varies ",
            RowAlike::Differs => "DIFFERS",
        };
        write!(f, "{mark} {} and {}  {}", one.number, other.number, one.decoded.summary)?;
        for differing in row.asked.iter().chain(&row.answered) {
            write!(f, "\n          {}", differing::line(differing, [left, right]))?;
        }
        if row.alike == RowAlike::Differs && row.asked.is_empty() && row.answered.is_empty() {
            for (name, side) in [(left, one), (right, other)] {
                write!(
                    f,
                    "\n          {}: {} {}",
                    Plain(name),
                    hexadecimal::short(&side.decoded.command),
                    hexadecimal::short(&side.decoded.response)
                )?;
            }
        }
        Ok(())
    }
}

fn only(side: &Side) -> String {
    let decoded = &side.decoded;
    if decoded.outcome.is_empty() {
        decoded.summary.clone()
    } else {
        format!("{}: {}", decoded.summary, decoded.outcome)
    }
}
