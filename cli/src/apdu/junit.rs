//! The result of a run as JUnit XML, as Jenkins and GitLab read it: a suite for each script, a case for each step.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use apdu::counted as number_of;
use console::Exit;

use super::report::{Case, Suite, Verdict};
use crate::asynchronous::Stoppable;
use crate::failure::Failure;
use crate::file::{Readers, put};
use crate::output::tell;

/// So many cases a report has; those that passed or were skipped behind them are counted only.
const MOST_CASES: usize = 50_000;

/// The report of a run. It is written at the end of the run, however that comes: also by a signal.
pub(crate) struct Report {
    path: Option<PathBuf>,
    suites: Arc<Mutex<Vec<Suite>>>,
    kept: usize,
}

impl Report {
    /// A report to `path`, if there is one; from now on it is written if the run is ended by a signal.
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let suites = Arc::new(Mutex::new(Vec::new()));
        if let Some(path) = path {
            let stoppable = Stoppable::begin()?;
            let (suites, path) = (Arc::clone(&suites), path.to_owned());
            thread::spawn(move || {
                let heard = stoppable.run(async |signals| {
                    signals.received().await;
                    Ok(())
                });
                if heard.is_err() {
                    return;
                }
                // Held to the end, so that no step is added any more.
                let mut suites = locked(&suites);
                if let Some(suite) = suites.last_mut() {
                    let case = suite.add_broken("the run was ended by a signal");
                    suite.cases.push(case);
                }
                match write(&path, &suites) {
                    Ok(()) => tell(&format!("vuicc: ended by a signal; what was played is in {}", path.display())),
                    Err(_) => tell(&format!("vuicc: ended by a signal, and {} cannot be written", path.display())),
                }
                std::process::exit(Exit::Failed.row().code.into());
            });
        }
        Ok(Self { path: path.map(Path::to_owned), suites, kept: 0 })
    }

    /// The next script.
    pub(crate) fn begin(&self, suite: Suite) {
        locked(&self.suites).push(suite);
    }

    /// Adds what `step` makes of the script that is played, if it is a case.
    pub(crate) fn case(&mut self, step: impl FnOnce(&mut Suite) -> Option<Case>) -> Option<Case> {
        let mut suites = locked(&self.suites);
        let suite = suites.last_mut()?;
        let case = step(suite)?;
        if self.path.is_some() {
            let is_telling = matches!(case.verdict, Verdict::Failed(_) | Verdict::Broken(_));
            if self.kept < MOST_CASES || is_telling && self.kept < 2 * MOST_CASES {
                self.kept += 1;
                suite.cases.push(case.clone());
            } else {
                suite.uncounted += 1;
            }
        }
        Some(case)
    }

    pub(super) fn suites(&self) -> MutexGuard<'_, Vec<Suite>> {
        locked(&self.suites)
    }

    /// Writes what was played so far.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        self.path.as_deref().map_or(Ok(()), |path| write(path, &self.suites()))
    }
}

fn locked(suites: &Mutex<Vec<Suite>>) -> MutexGuard<'_, Vec<Suite>> {
    suites.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(path: &Path, suites: &[Suite]) -> Result<(), Failure> {
    // Responses of a card are in it, and who reads them next is the user's decision.
    put(path, document(suites).as_bytes(), Readers::Owner, "the report")
}

/// The document.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let count = |which: fn(&Verdict) -> bool| suites.iter().map(|suite| counted(suite, which)).sum::<usize>();
    let took = suites.iter().map(|suite| suite.took.as_secs_f64()).sum::<f64>();
    let _ = writeln!(
        document,
        "<testsuites name=\"vuicc apdu run\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{took:.3}\">",
        count(|_| true),
        count(is_failed),
        count(is_broken),
    );
    for suite in suites {
        let _ = writeln!(
            document,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
            escaped(&suite.script),
            suite.cases.len(),
            counted(suite, is_failed),
            counted(suite, is_broken),
            counted(suite, is_skipped),
            suite.took.as_secs_f64(),
        );
        let mut named: HashMap<&str, usize> = HashMap::new();
        for case in &suite.cases {
            // Cases of one name are one case for GitLab, and equal values of a loop have one.
            let count = named.entry(&case.name).or_default();
            *count += 1;
            let again = if *count == 1 { String::new() } else { format!(" ({count})") };
            document.push_str(&element(&suite.script, case, &again));
        }
        if suite.uncounted > 0 {
            let more = format!("{} more, not listed", number_of(suite.uncounted, "case"));
            let _ = writeln!(document, "    <system-out>{more}</system-out>");
        }
        document.push_str("  </testsuite>\n");
    }
    document + "</testsuites>\n"
}

fn element(script: &str, case: &Case, again: &str) -> String {
    let name = escaped(&format!("{}{again}", case.name));
    let mut inside = String::new();
    match &case.verdict {
        Verdict::Passed => {}
        Verdict::Failed(failing) => {
            let mut details = String::new();
            for (name, value) in &failing.details {
                let _ = writeln!(details, "{name:<10}{value}");
            }
            let _ = writeln!(
                inside,
                "      <failure type=\"{}\" message=\"{}\">{}</failure>",
                failing.kind,
                escaped(&failing.message),
                escaped(&details)
            );
        }
        Verdict::Broken(problem) => {
            let _ = writeln!(inside, "      <error type=\"broken\" message=\"{}\"/>", escaped(problem));
        }
        Verdict::Skipped(why) => {
            let _ = writeln!(inside, "      <skipped message=\"{}\"/>", escaped(why));
        }
    }
    if let Some(remark) = &case.remark {
        let _ = writeln!(inside, "      <system-out>{}</system-out>", escaped(remark));
    }
    let (class, time) = (escaped(script), case.took.as_secs_f64());
    let start = format!("    <testcase classname=\"{class}\" name=\"{name}\" time=\"{time:.3}\"");
    if inside.is_empty() { format!("{start}/>\n") } else { format!("{start}>\n{inside}    </testcase>\n") }
}

fn counted(suite: &Suite, which: fn(&Verdict) -> bool) -> usize {
    suite.cases.iter().filter(|case| which(&case.verdict)).count()
}

const fn is_failed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Failed(_))
}

const fn is_broken(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Broken(_))
}

const fn is_skipped(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Skipped(_))
}

/// Text within an element or an attribute. What XML 1.0 has no place for is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{0}'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{FFFE}' | '\u{FFFF}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::apdu::report::Failing;

    #[test]
    fn a_document_counts_names_and_escapes() {
        let case =
            |name: &str, verdict| Case { name: name.into(), took: Duration::from_millis(7), verdict, remark: None };
        let failing = Failing {
            kind: "difference",
            message: "a < b & \"c\"".into(),
            details: vec![("received", "6A82\u{1}".into())],
        };
        let mut suite = Suite::new("a&b.apdu");
        suite.cases = vec![
            case("line 1: reset", Verdict::Passed),
            case("line 1: reset", Verdict::Failed(failing)),
            Case { remark: Some("late".into()), ..case("line 2", Verdict::Passed) },
            case("line 3", Verdict::Skipped("no".into())),
            case("line 4", Verdict::Broken("gone".into())),
        ];
        let text = document(&[suite]);
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"vuicc apdu run\" tests=\"5\" failures=\"1\" errors=\"1\" time=\"0.000\">
  <testsuite name=\"a&amp;b.apdu\" tests=\"5\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"0.000\">
    <testcase classname=\"a&amp;b.apdu\" name=\"line 1: reset\" time=\"0.007\"/>
    <testcase classname=\"a&amp;b.apdu\" name=\"line 1: reset (2)\" time=\"0.007\">
      <failure type=\"difference\" message=\"a &lt; b &amp; &quot;c&quot;\">received  6A82
</failure>
    </testcase>
    <testcase classname=\"a&amp;b.apdu\" name=\"line 2\" time=\"0.007\">
      <system-out>late</system-out>
    </testcase>
    <testcase classname=\"a&amp;b.apdu\" name=\"line 3\" time=\"0.007\">
      <skipped message=\"no\"/>
    </testcase>
    <testcase classname=\"a&amp;b.apdu\" name=\"line 4\" time=\"0.007\">
      <error type=\"broken\" message=\"gone\"/>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(text, expected);
    }
}
