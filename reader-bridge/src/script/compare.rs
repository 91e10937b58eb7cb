//! Two runs of one script, side by side.

use super::Location;
use super::run::{Done, Outcome};

/// How two runs compare at one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The step's index in the script.
    pub step: usize,
    /// Where it is written.
    pub location: Location,
    /// What the first target did; `None` if it did not get there.
    pub left: Option<Done>,
    /// What the second target did; `None` if it did not get there.
    pub right: Option<Done>,
    /// Whether both did the same: equal commands, equal responses (or answers to reset).
    pub equal: bool,
    /// Whether both did what the script expects, be it the same or not.
    pub allowed: bool,
}

/// Lays two runs of the same script side by side, step by step in the script's order.
pub fn diff(left: &[Done], right: &[Done]) -> Vec<Difference> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut rows = Vec::new();
    loop {
        let next = match (left.peek(), right.peek()) {
            (None, None) => return rows,
            (Some(one), None) | (None, Some(one)) => one.position.clone(),
            (Some(one), Some(other)) => one.position.clone().min(other.position.clone()),
        };
        let left = left.next_if(|done| done.position == next);
        let right = right.next_if(|done| done.position == next);
        let Some((step, location)) = left.or(right).map(|done| (done.step, done.location.clone())) else { return rows };
        let equal = left.zip(right).is_some_and(|(left, right)| {
            let same_outcome = match (&left.outcome, &right.outcome) {
                (Outcome::Reset { atr }, Outcome::Reset { atr: other }) => atr == other,
                _ => true,
            };
            same_outcome && (&left.command, &left.response) == (&right.command, &right.response)
        });
        let fine = |done: Option<&Done>| done.is_some_and(|done| !matches!(done.outcome, Outcome::Differs(_)));
        rows.push(Difference {
            step,
            location,
            left: left.cloned(),
            right: right.cloned(),
            equal,
            allowed: fine(left) && fine(right),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Run, Script, Variables};

    #[test]
    fn rows_pair_by_step() {
        let text = "reset\n> 00A40000\n< .. 9000 | 6A82\n> 00A40001\n< 9000\nskip unless 9000\n> 00A40002\n< 9000";
        let script = Script::parse("test.apdu", text, &mut |_, _| Err(String::new())).unwrap();
        let play =
            |dialogue| Run::new(&script, Variables::new()).finish(&mut crate::testing::dialogue(dialogue)).unwrap();
        let left = play(&[("00A40000", "6A82"), ("00A40001", "9000"), ("00A40002", "9000")]);
        let right = play(&[("00A40000", "9000"), ("00A40001", "6A86")]);
        let rows = diff(&left, &right);
        let summary: Vec<_> = rows.iter().map(|row| (row.step, row.equal, row.allowed)).collect();
        assert_eq!(
            summary,
            [
                (0, true, true),
                (1, false, true),  // both allowed by the script
                (2, false, false), // the right one is not
                (3, false, false), // only the right one skips
                (4, false, false), // and so does not get here
            ]
        );
        assert!(rows[3].left.is_none() && rows[4].right.is_none());
        assert!(diff(&left, &left).iter().all(|row| row.equal));
    }
}
