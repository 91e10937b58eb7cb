//! What is wrong with a run can be known before its first command is sent.

use std::collections::{BTreeMap, BTreeSet};

use capture::{SOME_SECRET, is_masked, secret_part};

use super::condition::Source;
use super::run::RunError;
use super::template::Unfilled;
use super::{Action, Expectation, Item, List, Script, Step, Template, Variables};

/// What of a script to check, and with which values.
pub(super) struct Check<'a> {
    script: &'a Script,
    /// The step it begins with.
    start: usize,
    /// What has a value whatever the script does.
    given: BTreeSet<&'a str>,
    /// What is known of the values.
    values: Variables,
    /// The first step that may give a variable a value, seen from inside of its loops.
    assigned: BTreeMap<&'a str, usize>,
}

impl<'a> Check<'a> {
    pub(super) fn new(script: &'a Script, start: usize, variables: &'a Variables) -> Self {
        let given: BTreeSet<&str> = variables.names().collect();
        let mut check = Self { script, start, given, values: variables.clone(), assigned: BTreeMap::new() };
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        // Where the outermost loop begins that a step is in: in its next turn what is set behind is set before.
        let (mut begin, mut end) = (0, None);
        for (index, step) in script.steps().iter().enumerate().skip(start) {
            let is_inside = end.is_some_and(|end| index <= end);
            if !is_inside {
                begin = index;
            }
            if let Action::For { end: last, .. } = &step.action
                && !is_inside
            {
                end = Some(*last);
            }
            for name in assigned_by(step) {
                *times.entry(name).or_default() += 1;
                check.assigned.entry(name).or_insert(begin);
            }
        }
        for step in script.steps().iter().skip(start) {
            // A value that is set once, from what is known, is that wherever it is used.
            if let Action::Set { name, value } = &step.action
                && times.get(name.as_str()) == Some(&1)
                && !check.given.contains(name.as_str())
                && let Ok(value) = value.filled(&check.values)
            {
                check.values.set_filled(name.clone(), value);
            }
        }
        check
    }

    /// Looks at every step.
    pub(super) fn run(&self) -> Result<(), RunError> {
        let mut reference = None;
        for (index, step) in self.script.steps().iter().enumerate().skip(self.start) {
            let at = |unfilled| RunError::Script(step.location.clone(), unfilled);
            self.step(index, step).map_err(at)?;
            if let Some(here) = self.left_out(step) {
                let before = *reference.get_or_insert(here);
                if before != here {
                    return Err(at(Unfilled::OneForSeveral { before, here }));
                }
            }
        }
        Ok(())
    }

    /// The key reference (P2) of a PIN that was left out, if the caller gives a value for such ones.
    fn left_out(&self, step: &Step) -> Option<u8> {
        let Action::Send { command, .. } = &step.action else { return None };
        if !self.given.contains(SOME_SECRET) || !command.variables().contains(&SOME_SECRET) {
            return None;
        }
        let command = command.shortest(&self.values).ok()?;
        secret_part(&command.bytes)?;
        command.bytes.get(3).copied()
    }

    fn step(&self, index: usize, step: &Step) -> Result<(), Unfilled> {
        match &step.action {
            Action::Secret { name } if !self.given.contains(name.as_str()) => Err(Unfilled::Secret(name.clone())),
            Action::Set { name, .. } | Action::Take { name, .. } | Action::For { name, .. }
                if self.given.contains(name.as_str()) =>
            {
                Ok(())
            }
            Action::Send { command, expected, .. } => {
                self.template(index, command)?;
                if is_masked(&command.shortest(&self.values)?.bytes) {
                    return Err(Unfilled::Masked);
                }
                expected.iter().flat_map(Expectation::needed).try_for_each(|name| self.variable(index, name))
            }
            Action::Set { value, .. } => self.template(index, value),
            Action::Take { source, .. } | Action::For { list: List::Found(source), .. } => self.source(index, source),
            Action::For { list: List::Items(items), .. } => items.iter().try_for_each(|item| match item {
                Item::One(template) => self.template(index, template),
                Item::Range { .. } => Ok(()),
            }),
            Action::Expect { condition } | Action::If { condition, .. } => {
                let patterns = condition.expectation().into_iter().flat_map(Expectation::needed);
                condition.subject.variable().into_iter().chain(patterns).try_for_each(|name| self.variable(index, name))
            }
            Action::SkipUnless { expected, .. } => expected.needed().try_for_each(|name| self.variable(index, name)),
            Action::Reset { .. }
            | Action::Mode(_)
            | Action::Secret { .. }
            | Action::Jump { .. }
            | Action::Next { .. } => Ok(()),
        }
    }

    fn source(&self, index: usize, source: &Source) -> Result<(), Unfilled> {
        source.subject.variable().into_iter().try_for_each(|name| self.variable(index, name))
    }

    /// Its variables have values by then, and it does not become too long.
    fn template(&self, index: usize, template: &Template) -> Result<(), Unfilled> {
        template.variables().into_iter().try_for_each(|name| self.variable(index, name))?;
        template.shortest(&self.values).map(drop)
    }

    fn variable(&self, index: usize, name: &str) -> Result<(), Unfilled> {
        let is_set = self.assigned.get(name).is_some_and(|first| *first < index);
        if self.given.contains(name) || is_set { Ok(()) } else { Err(Unfilled::missing(name)) }
    }
}

/// The variables that a step may give a value.
fn assigned_by(step: &Step) -> Vec<&str> {
    match &step.action {
        Action::Set { name, .. } | Action::Take { name, .. } | Action::For { name, .. } => vec![name],
        Action::Send { expected: Some(expected), .. } | Action::SkipUnless { expected, .. } => {
            expected.captured().collect()
        }
        Action::Expect { condition } | Action::If { condition, .. } => {
            condition.expectation().into_iter().flat_map(Expectation::captured).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::script::{Run, Script, Variables};

    fn check(text: &str, variables: Variables) -> Result<(), String> {
        let script = Script::parse("a.apdu", text, &mut |_, _| Err(String::new())).unwrap();
        Run::new(&script, variables).check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_known_before() {
        let wrong = |text: &str| check(text, Variables::new()).unwrap_err();
        assert!(wrong("> 00\n> 01 ${x}").starts_with("a.apdu:2: the variable `x` has no value"));
        assert!(wrong("> 00\n< ${x}\nset x 01").starts_with("a.apdu:1: the variable `x`"), "only set later");
        assert!(wrong("> 00\nif response is 9000\n > ${x}\nend").starts_with("a.apdu:3: the variable `x`"));
        assert!(wrong("> 00\nset y from x 80").contains("`x` has no value"));
        assert!(wrong("> 00\nfor y in 01, ${x}\nend").contains("`x` has no value"));
        assert!(wrong("> 00\nexpect x is 01").contains("`x` has no value"));
        assert!(wrong("> 00\nskip unless ${x}").contains("`x` has no value"));
        assert!(wrong("> 00\nsecret adm").starts_with("a.apdu:2: the secret `adm` is not given"));
        assert!(
            wrong("> 0020000108 ${secret}")
                .starts_with("a.apdu:1: `${secret}` stands for a PIN or a key that was left out")
        );
        assert!(wrong("> 00\n> 0020000108 2A2A2A2A 2A2A2A2A").starts_with("a.apdu:2: its PIN was left out when"));
        let long = format!("> 00\nset x {}\nset y ${{x}}${{x}}\n> 00D60000 #( ${{y}} ${{y}} )", "00".repeat(20_000));
        assert!(wrong(&long).starts_with("a.apdu:4: "), "{}", wrong(&long));
        assert!(wrong(&long).contains("more than any command"));
    }

    /// A wrong value uses up tries of a PIN: it is not sent to see whether it fits.
    #[test]
    fn one_value_does_not_stand_for_several_pins() {
        let given = || Variables::from([("secret".to_owned(), vec![0x31; 8])]);
        let recorded = "> 0020000108 ${secret}\n> 002C000110 ${secret} 3131313131313131\n> 00A40004023F00";
        assert_eq!(check(recorded, given()), Ok(()));
        let wrong = check(&format!("{recorded}\n> 0020000A08 ${{secret}}"), given()).unwrap_err();
        assert!(wrong.starts_with("a.apdu:4: `${secret}` stands for what was left out"), "{wrong}");
        assert!(wrong.contains("key reference 0A and before for that of 01"), "{wrong}");
        let named = format!("secret adm\n{recorded}\n> 0020000A08 ${{adm}}");
        let mut both = given();
        both.set_secret("adm", vec![0x32; 8]);
        assert_eq!(check(&named, both), Ok(()));
    }

    #[test]
    fn what_may_have_a_value_passes() {
        let fine = |text: &str| check(text, Variables::new());
        assert_eq!(fine("> 00\n< {x:2} 9000\n> 01 ${x}"), Ok(()));
        assert_eq!(fine("> 00\nif response is {x} 9000\n set y 01\nend\n> ${x} ${y}"), Ok(()));
        assert_eq!(
            fine("for x in 01, 02\n for y in 03\n  if x is 02\n   > ${z}\n  end\n end\n set z ${x}\nend"),
            Ok(())
        );
        assert_eq!(fine("for x in 01\n > ${x}\nend\n> ${x}"), Ok(()));
        let given = Variables::from([("x".to_owned(), vec![1])]);
        assert_eq!(
            check("secret x\n> ${x}\nset x ${never}\nfor x in ${never}\n > 00\nend", given),
            Ok(()),
            "gives way"
        );
    }
}
