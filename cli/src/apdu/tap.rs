//! The result of a run as TAP, the Test Anything Protocol, version 13.

use std::fmt::Write as _;

use super::report::{Case, Verdict};
use crate::output::within_a_line;

/// What stands at the top.
pub(super) const HEADER: &str = "TAP version 13";

/// The lines about one case, the `number`th of the run.
pub(super) fn lines(script: &str, case: &Case, number: usize) -> String {
    let not = if matches!(case.verdict, Verdict::Failed(_) | Verdict::Broken(_)) { "not " } else { "" };
    let mut lines = format!("{not}ok {number} - {}", escaped(&format!("{script} {}", case.name)));
    match &case.verdict {
        Verdict::Passed => {}
        Verdict::Skipped(why) => {
            let _ = write!(lines, " # SKIP {}", escaped(why));
        }
        Verdict::Failed(failing) => {
            let _ = write!(lines, "\n  ---\n  type: {}\n  message: {}", failing.kind, quoted(&failing.message));
            for (name, value) in &failing.details {
                let _ = write!(lines, "\n  {name}: {}", quoted(value));
            }
            lines.push_str("\n  ...");
        }
        Verdict::Broken(problem) => {
            let _ = write!(lines, "\n  ---\n  message: {}\n  ...", quoted(problem));
        }
    }
    if let Some(remark) = &case.remark {
        let _ = write!(lines, "\n# {}", within_a_line(remark));
    }
    lines
}

/// What stands at the bottom.
pub(super) fn plan(cases: usize) -> String {
    format!("1..{cases}")
}

/// Ends the whole run for its reader: there is no card any more.
pub(super) fn bail_out(cause: &str) -> String {
    format!("Bail out! {}", within_a_line(cause))
}

/// Text in a description, in which `#` would begin a directive.
fn escaped(text: &str) -> String {
    within_a_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

/// A string of YAML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", within_a_line(text).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::apdu::report::Failing;

    #[test]
    fn cases_are_lines() {
        let case = |verdict| Case { name: "line 3: SELECT #1".into(), took: Duration::ZERO, verdict, remark: None };
        assert_eq!(lines("a.apdu", &case(Verdict::Passed), 1), "ok 1 - a.apdu line 3: SELECT \\#1");
        let skipped = lines("a.apdu", &case(Verdict::Skipped("2 steps".into())), 2);
        assert_eq!(skipped, "ok 2 - a.apdu line 3: SELECT \\#1 # SKIP 2 steps");
        let failing =
            Failing { kind: "difference", message: "a \"b\"".into(), details: vec![("received", "6A82".into())] };
        let failed = Case { remark: Some("late".into()), ..case(Verdict::Failed(failing)) };
        assert_eq!(
            lines("a.apdu", &failed, 3),
            "not ok 3 - a.apdu line 3: SELECT \\#1\n  ---\n  type: difference\n  message: \"a \\\"b\\\"\"\n  \
             received: \"6A82\"\n  ...\n# late"
        );
    }
}
