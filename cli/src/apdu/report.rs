//! What a run of scripts led to: a case for each step, a row for each script, and their sum.

use std::fmt::Write as _;
use std::time::Duration;

use apdu::{Ins, counted};
use reader_bridge::script::{Done, Mismatch, Outcome};
use serde_json::{Value, json};

use super::step::{self, time};
use crate::hexadecimal;
use crate::output::Plain;

/// Why a script that was played to its end has not passed.
pub(super) const NOTHING_SENT: &str =
    "no command or reset was sent to the card, because no condition on the way to one was met";

/// How steps are judged and told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// One that is late has failed.
    pub(super) strict: bool,
    /// Keys that a card gives are told, too.
    pub(super) whole: bool,
}

/// A step, as test reports have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Its line and what it did; unlike the names of all other cases of its script.
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) verdict: Verdict,
    /// What is to be said besides.
    pub(crate) remark: Option<String>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// The card did something else.
    Failed(Failing),
    /// It could not be played.
    Broken(String),
    /// It was left out, and why.
    Skipped(String),
}

/// How a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failing {
    /// `difference` or `late`.
    pub(crate) kind: &'static str,
    /// One line.
    pub(crate) message: String,
    /// Names and values: what was sent, expected, received.
    pub(crate) details: Vec<(&'static str, String)>,
}

/// A script that was played, or was to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suite {
    pub(super) script: String,
    pub(super) cases: Vec<Case>,
    /// Cases that a report has no room for.
    pub(super) uncounted: usize,
    pub(super) steps: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) late: usize,
    pub(super) took: Duration,
    /// Whether the card got a command or a reset.
    pub(super) acted: bool,
    /// Where and how it first differed.
    pub(super) first: Option<First>,
    /// Why it was not played to its end, if no difference is the reason.
    pub(super) broken: Option<String>,
    /// Whether none of it was played.
    pub(super) is_left_out: bool,
    /// Whether the last response has what AUTHENTICATE gives, and whether a variable may.
    keys: (bool, bool),
}

/// The first difference of a script.
#[derive(Clone, Debug)]
pub(super) struct First {
    place: String,
    message: String,
}

impl Suite {
    pub(crate) fn new(script: impl Into<String>) -> Self {
        Self { script: script.into(), ..Self::default() }
    }

    /// Counts a step.
    pub(super) fn add(&mut self, done: &Done, rules: Rules) -> Case {
        self.follow(done);
        let case = Case {
            name: self.named(done),
            took: done.took.unwrap_or_default(),
            verdict: self.verdict(done, rules),
            remark: step::late(done),
        };
        match &done.outcome {
            Outcome::Skipped(count) | Outcome::NoValues(count) | Outcome::NotTaken(count) => self.skipped += count,
            _ => self.steps += 1,
        }
        self.acted |= done.acts();
        self.late += usize::from(done.is_late());
        self.took += case.took;
        if let Verdict::Failed(failing) = &case.verdict {
            self.failed += 1;
            let first = || First { place: done.location.to_string(), message: failing.message.clone() };
            self.first.get_or_insert_with(first);
        }
        case
    }

    /// A step that could not be played.
    pub(super) fn add_broken(&mut self, cause: &str) -> Case {
        self.broken = Some(cause.to_owned());
        let name = if self.acted { "the step that could not be played" } else { "all of it" }.to_owned();
        Case { name, took: Duration::ZERO, verdict: Verdict::Broken(cause.to_owned()), remark: None }
    }

    /// A script that was played to its end and sent nothing has not passed.
    pub(super) fn end(&mut self) -> Option<Case> {
        (!self.acted && self.broken.is_none() && self.failed == 0).then(|| self.add_broken(NOTHING_SENT))
    }

    /// None of it is played.
    pub(super) fn leave_out(&mut self, why: &str) -> Case {
        self.is_left_out = true;
        let verdict = Verdict::Skipped(why.to_owned());
        Case { name: "all of it".into(), took: Duration::ZERO, verdict, remark: None }
    }

    /// Notes whether what the card gave has keys: RES, CK, IK and Kc. TS 31.102 §7.1.2.
    fn follow(&mut self, done: &Done) {
        let Some(ins) = done.command.get(1).map(|ins| Ins(*ins)) else { return };
        let (was, ever) = self.keys;
        let has = matches!(ins, Ins::AUTHENTICATE | Ins::AUTHENTICATE_ODD) || was && ins == Ins::GET_RESPONSE;
        self.keys = (has, ever || has);
    }

    fn hides(&self, mismatch: &Mismatch, rules: Rules) -> bool {
        let (response, variable) = self.keys;
        !rules.whole && if mismatch.meaning().is_some() { response && mismatch.received.len() > 2 } else { variable }
    }

    /// What came; without keys, unless they are asked for.
    fn received(&self, mismatch: &Mismatch, rules: Rules) -> String {
        if !self.hides(mismatch, rules) {
            return mismatch.shown();
        }
        let sw = mismatch.received.last_chunk::<2>().filter(|_| mismatch.meaning().is_some());
        let left_out = counted(mismatch.received.len() - sw.map_or(0, |sw| sw.len()), "byte");
        format!("({left_out} left out){}", sw.map(|sw| format!(" {}", hexadecimal::whole(sw))).unwrap_or_default())
    }

    fn verdict(&self, done: &Done, rules: Rules) -> Verdict {
        match &done.outcome {
            Outcome::Skipped(_) | Outcome::NoValues(_) | Outcome::NotTaken(_) => {
                Verdict::Skipped(step::skipped(done).unwrap_or_default())
            }
            Outcome::Differs(mismatch) => {
                let mut details =
                    vec![("expected", mismatch.expected.clone()), ("received", self.received(mismatch, rules))];
                details.extend(mismatch.meaning().map(|meaning| ("meaning", meaning.to_owned())));
                if !done.command.is_empty() {
                    details.insert(0, ("sent", sent(done)));
                }
                let message =
                    if self.hides(mismatch, rules) { format!("{} expected", mismatch.wanted) } else { mismatch.line() };
                Verdict::Failed(Failing { kind: "difference", message, details })
            }
            _ => match step::late(done).filter(|_| rules.strict) {
                Some(message) => {
                    let details = vec![("sent", sent(done))];
                    Verdict::Failed(Failing { kind: "late", message, details })
                }
                None => Verdict::Passed,
            },
        }
    }

    /// Line, turns of loops, what was done.
    fn named(&self, done: &Done) -> String {
        let place = if *done.location.file == *self.script {
            format!("line {}", done.location.line)
        } else {
            done.location.to_string()
        };
        let turns = if done.turns.is_empty() { String::new() } else { format!(" [{}]", done.turns.join(" ")) };
        format!("{place}{turns}: {}", step::what(done))
    }

    /// What it came to, in a word.
    const fn outcome(&self) -> &'static str {
        match (self.is_left_out, &self.broken, self.failed) {
            (true, ..) => "left_out",
            (_, Some(_), _) => "broken",
            (.., 0) => "passed",
            _ => "failed",
        }
    }

    fn object(&self) -> Value {
        let first = self.first.as_ref().map(|first| json!({ "place": first.place, "difference": first.message }));
        json!({
            "script": self.script, "outcome": self.outcome(), "steps": self.steps, "failed": self.failed,
            "skipped": self.skipped, "late": self.late, "micros": micros(self.took), "first_difference": first,
            "cause": self.broken,
        })
    }
}

/// The command, without the keys that PUT KEY brings. GlobalPlatform §11.8.
fn sent(done: &Done) -> String {
    match done.command.get(..5) {
        Some(header) if header.get(1) == Some(&Ins::PUT_KEY.0) => {
            let left_out = done.command.len() - header.len();
            format!("{} ({} left out)", hexadecimal::whole(header), counted(left_out, "byte"))
        }
        _ => done.shown_command(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The sum of all scripts.
pub(super) struct Sum {
    pub(super) steps: usize,
    pub(super) failed: usize,
    skipped: usize,
    late: usize,
    took: Duration,
}

impl Sum {
    pub(super) fn of(suites: &[Suite]) -> Self {
        let sum = |field: fn(&Suite) -> usize| suites.iter().map(field).sum();
        Self {
            steps: sum(|suite| suite.steps),
            failed: sum(|suite| suite.failed),
            skipped: sum(|suite| suite.skipped),
            late: sum(|suite| suite.late),
            took: suites.iter().map(|suite| suite.took).sum(),
        }
    }

    /// One line.
    pub(super) fn line(&self) -> String {
        let mut line = format!("{}, {} not as expected", counted(self.steps, "step"), self.failed);
        for (count, what) in [(self.skipped, "skipped"), (self.late, "late")] {
            if count > 0 {
                let _ = write!(line, ", {count} {what}");
            }
        }
        line
    }

    /// The last object of a run. `resume` says where to go on.
    pub(super) fn object(&self, suites: &[Suite], resume: Option<&str>) -> Value {
        let scripts: Vec<_> = suites.iter().map(Suite::object).collect();
        json!({ "summary": {
            "scripts": scripts, "steps": self.steps, "failed": self.failed, "skipped": self.skipped, "late": self.late,
            "micros": micros(self.took), "resume": resume,
        }})
    }
}

/// A row for each script.
pub(super) fn table(suites: &[Suite]) -> String {
    let width = suites.iter().map(|suite| suite.script.chars().count()).max().unwrap_or_default().max("script".len());
    let mut table = format!("{:width$}  steps  failed       time  first difference", "script");
    for suite in suites {
        let first = match (&suite.broken, &suite.first) {
            (Some(cause), _) => cause.clone(),
            (None, Some(first)) => format!("{} {}", first.place, first.message),
            (None, None) if suite.is_left_out => "not played".into(),
            (None, None) => "-".into(),
        };
        let (script, took) = (Plain(&suite.script), time(suite.took));
        let _ =
            write!(table, "\n{script:width$}  {:>5}  {:>6}  {took:>9}  {}", suite.steps, suite.failed, Plain(&first));
    }
    table
}

#[cfg(test)]
mod tests {
    use apdu::transport::Dialogue;
    use reader_bridge::script::{Run, Script, Variables};

    use super::*;

    /// A script played on a card that answers as `dialogue` says and takes 80 ms for each command.
    fn played(text: &str, dialogue: &[(&str, &str)], strict: bool) -> (Suite, Vec<Case>) {
        let octets = |text: &str| hex::decode(text).unwrap();
        let mut card = Dialogue::new(dialogue.iter().map(|(command, response)| (octets(command), octets(response))));
        let script = Script::parse("a.apdu", text, &mut |_, _| Err(String::new())).unwrap();
        let mut time = Duration::ZERO;
        let mut run = Run::new(&script, Variables::new()).timed(move || {
            time += Duration::from_millis(80);
            time
        });
        let mut suite = Suite::new("a.apdu");
        let mut cases = Vec::new();
        while let Some(done) = run.step(&mut card).unwrap() {
            cases.push(suite.add(&done, Rules { strict, whole: false }));
        }
        (suite, cases)
    }

    /// A time that is exceeded is a remark, and a difference for those alone who ask for that.
    #[test]
    fn late_is_a_remark() {
        let text = "> 00\nwithin 50 ms\n> 01\n< 9000\nwithin 90 ms\n";
        let dialogue = &[("00", "9000"), ("01", "6A82")];
        let (suite, cases) = played(text, dialogue, false);
        assert_eq!((suite.steps, suite.failed, suite.late), (2, 1, 1));
        assert_eq!(cases[0].verdict, Verdict::Passed);
        assert_eq!(cases[0].remark.as_deref(), Some("late: 80 ms, to come within 50 ms"));
        assert_eq!(cases[1].remark, None);
        let (suite, cases) = played(text, dialogue, true);
        assert_eq!((suite.failed, suite.outcome()), (2, "failed"));
        assert!(matches!(&cases[0].verdict, Verdict::Failed(failing) if failing.kind == "late"), "{cases:?}");
    }

    /// What AUTHENTICATE gives is in no report, however it is fetched and looked at.
    #[test]
    fn keys_of_a_card_are_left_out() {
        let text = "raw\n> 0088008100\n< 6103\n> 00C0000003\n< {ck:2} 00 9000 | DC 9000\nexpect response is DC 9000\n\
                    set ck A1B2\nexpect ck is 00\n> 00B0000002\n< 0000 9000\n> 80D8810102AAAB\n< 9000";
        let dialogue = &[
            ("0088008100", "6103"),
            ("00C0000003", "A1B2C39000"),
            ("00B0000002", "F1F29000"),
            ("80D8810102AAAB", "6985"),
        ];
        let (_, cases) = played(text, dialogue, false);
        let told = format!("{cases:?}");
        assert!(!["A1", "B2", "C3", "AAAB"].iter().any(|key| told.contains(key)), "{told}");
        assert!(told.contains("(3 bytes left out) 9000") && told.contains("(2 bytes left out)"), "{told}");
        assert!(told.contains("F1F29000") && told.contains("80D8810102 (2 bytes left out)"), "{told}");
    }

    #[test]
    fn a_script_that_sends_nothing_has_not_passed() {
        let text = "set x 01\nif x is 02\n > 00\n > 01\nelse if x is 03\n > 02\nend";
        let (mut suite, cases) = played(text, &[], false);
        assert_eq!(cases[0].verdict, Verdict::Skipped("3 steps skipped: not so: x is 03".into()));
        assert!(matches!(suite.end().unwrap().verdict, Verdict::Broken(_)));
        assert_eq!((suite.outcome(), suite.skipped), ("broken", 3));
        assert_eq!(played("> 00", &[("00", "9000")], false).0.end(), None);
    }

    #[test]
    fn rows_and_sums() {
        let (mut failed, _) = played("> 00\n< 9000\nfor x from response 6F\n > 02\nend\n", &[("00", "6A82")], false);
        failed.script = "long-name.apdu".into();
        let (passed, cases) = played("for x in 01, 01\n > ${x}\nend", &[("01", "9000"), ("01", "9000")], false);
        assert_eq!(cases[0].name, "line 2 [x=01]: no command: fewer than four bytes");
        let mut left_out = Suite::new("c.apdu");
        let _ = left_out.leave_out("why");
        let suites = [failed, passed, left_out];
        assert_eq!(
            table(&suites),
            "\
script          steps  failed       time  first difference
long-name.apdu      1       1      80 ms  a.apdu:1 byte 0: 90 expected, 6A received
a.apdu              2       0     160 ms  -
c.apdu              0       0       0 µs  not played"
        );
        let sum = Sum::of(&suites);
        assert_eq!(sum.line(), "3 steps, 1 not as expected, 1 skipped");
        let object = sum.object(&suites, Some("a.apdu:3"));
        assert_eq!(object["summary"]["resume"], "a.apdu:3");
        assert_eq!(object["summary"]["scripts"][0]["first_difference"]["place"], "a.apdu:1");
        assert_eq!(object["summary"]["scripts"][2]["outcome"], "left_out");
    }
}
