//! Playing a row.

use apdu::Transport;
use reader_bridge::script::{Mismatch, Outcome, Run, RunError, Variables};

use crate::sheet::Row;

/// What came of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Result {
    /// The card does what the clause says.
    Passed,
    /// It does something else.
    Failed(Difference),
    /// A `skip unless` did not hold: the card is another, or lacks what the row is about.
    Skipped,
}

/// Where a card did something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line in the sheet.
    pub line: usize,
    /// The command, in hexadecimal; secrets by their names. Empty for a condition.
    pub command: String,
    /// What was expected and what came.
    pub mismatch: Mismatch,
}

/// A row that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// What came of it.
    pub result: Result,
    /// Commands that were sent.
    pub commands: usize,
}

/// Plays a row on a card, up to its first difference. `variables` take precedence over the values in the sheet.
///
/// # Errors
/// [`RunError`]: a variable has no value, or the card is gone.
pub fn play<T: Transport + ?Sized>(
    row: &Row,
    variables: &Variables,
    card: &mut T,
) -> core::result::Result<Played, RunError> {
    let mut run = Run::new(&row.script, variables.clone());
    run.check()?;
    let (mut commands, mut is_skipped) = (0, false);
    while let Some(done) = run.step(card)? {
        commands += usize::from(!done.command.is_empty());
        match &done.outcome {
            Outcome::Differs(mismatch) => {
                let (line, command) = (done.location.line, done.shown_command());
                let result = Result::Failed(Difference { line, command, mismatch: mismatch.clone() });
                return Ok(Played { result, commands });
            }
            Outcome::Skipped(_) => is_skipped = true,
            _ => {}
        }
    }
    Ok(Played { result: if is_skipped { Result::Skipped } else { Result::Passed }, commands })
}
