//! Playing a script, one step at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use apdu::transport::exchange;
use apdu::{Transport, TransportError};
use zeroize::Zeroizing;

use super::check::Check;
use super::condition::Seen;
use super::pattern::Mismatch;
use super::template::{Filled, Unfilled};
use super::variables::{Places, Variables, masked, named, ranges};
use super::{Action, Condition, Expectation, List, Location, Mode, Script, Step, Subject, Template};

/// Steps one run plays at most, all turns of all loops counted, unless [`Run::at_most`] says otherwise.
const MOST_STEPS: usize = 10_000_000;

/// What a step led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The card was reset; this is its answer.
    Reset {
        /// Answer to reset.
        atr: Vec<u8>,
    },
    /// The response is what the script expects.
    AsExpected,
    /// The script expects nothing in particular.
    Unchecked,
    /// The response is another.
    Differs(Mismatch),
    /// A guard did not hold: so many steps are left out.
    Skipped(usize),
    /// A loop has no values: so many steps are left out.
    NoValues(usize),
    /// No condition of an `if` held: so many steps are left out.
    NotTaken(usize),
}

/// A step that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its index in the script.
    pub step: usize,
    /// Where it is written.
    pub location: Location,
    /// The comment at the end of its line.
    pub note: Option<String>,
    /// The variables of the loops around it, from the outermost: as `fid=2F00`.
    pub turns: Vec<String>,
    /// The condition, or the path of tags, that was looked for; `None` for a command, a reset and a loop.
    pub condition: Option<String>,
    /// The command sent, empty for a reset and a condition.
    pub command: Zeroizing<Vec<u8>>,
    /// The response, empty for a reset; the one a condition looked at, empty if that is about a variable. In [`Mode::Auto`] all
    /// data and the last status word.
    pub response: Vec<u8>,
    /// What it led to.
    pub outcome: Outcome,
    /// The time it took, if the run has a clock.
    pub took: Option<Duration>,
    /// The time it should take at most.
    pub within: Option<Duration>,
    /// Loops and their turns around it, and its index: in the order of play.
    pub(super) position: Vec<usize>,
    secrets_sent: Places,
    secrets_received: Vec<Range<usize>>,
}

impl Done {
    /// The command in hexadecimal, with `${name}` in place of what is secret.
    pub fn shown_command(&self) -> String {
        named(&self.command, &self.secrets_sent)
    }

    /// The response in hexadecimal, with asterisks in place of what is secret.
    pub fn shown_response(&self) -> String {
        masked(&self.response, &self.secrets_received)
    }

    /// Whether a part of the response is secret.
    pub const fn hides_response(&self) -> bool {
        !self.secrets_received.is_empty()
    }

    /// Whether it took longer than it should.
    pub fn is_late(&self) -> bool {
        self.took.zip(self.within).is_some_and(|(took, within)| took > within)
    }

    /// Whether the card took part: it got a command or was reset.
    pub fn acts(&self) -> bool {
        !self.command.is_empty() || matches!(self.outcome, Outcome::Reset { .. })
    }

    /// Whether the card did something else than the script expects.
    pub const fn differs(&self) -> bool {
        matches!(self.outcome, Outcome::Differs(_))
    }
}

/// Why a run cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The script is at fault.
    #[error("{0}: {1}")]
    Script(Location, Unfilled),
    /// The script does not come to its end.
    #[error("{0}: so many steps are played, and the script is not at its end; shorten its loops")]
    Endless(Location),
    /// The card, or the way to it, is.
    #[error("{0}: {1}")]
    Transport(Location, TransportError),
}

/// Why a run cannot start at a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStart {
    /// The line is behind the last step.
    #[error("there is no step in line {line} or below; the last one is in line {last}")]
    Behind {
        /// The line asked for.
        line: usize,
        /// The line of the last step.
        last: usize,
    },
    /// The line is inside an `if` or a `for`.
    #[error("line {line} is inside what begins in line {outer}; start there")]
    Inside {
        /// The line asked for.
        line: usize,
        /// The line of the outermost `if` or `for` around it.
        outer: usize,
    },
}

/// A script being played.
#[derive(Debug)]
pub struct Run<'a> {
    script: &'a Script,
    next: usize,
    played: usize,
    most: usize,
    mode: Mode,
    variables: Variables,
    given: BTreeSet<String>,
    /// `None` before the first one, and after a reset.
    last_response: Option<Vec<u8>>,
    loops: Vec<Turns>,
    clock: Option<Clock<'a>>,
}

/// A loop that is being played.
#[derive(Debug)]
struct Turns {
    start: usize,
    end: usize,
    name: String,
    values: Vec<Filled>,
    turn: usize,
}

/// Tells the time.
struct Clock<'a>(Box<dyn FnMut() -> Duration + 'a>);

impl fmt::Debug for Clock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What a step told.
struct Told {
    command: Zeroizing<Vec<u8>>,
    response: Vec<u8>,
    outcome: Outcome,
    took: Option<Duration>,
    within: Option<Duration>,
}

impl Told {
    fn quiet(response: &[u8], outcome: Outcome) -> Self {
        Self { command: Zeroizing::default(), response: response.to_vec(), outcome, took: None, within: None }
    }
}

impl<'a> Run<'a> {
    /// Stands before the first step. `variables` have their values already; lines of the script that set the same
    /// names give way to them, and a loop over one of them has this value alone.
    pub fn new(script: &'a Script, variables: Variables) -> Self {
        let given = variables.names().map(str::to_owned).collect();
        let (mode, last_response, loops) = (Mode::Auto, None, Vec::new());
        Self { script, next: 0, played: 0, most: MOST_STEPS, mode, variables, given, last_response, loops, clock: None }
    }

    /// The same with a clock: what it tells before and after a command is how long that took.
    #[must_use]
    pub fn timed(mut self, clock: impl FnMut() -> Duration + 'a) -> Self {
        self.clock = Some(Clock(Box::new(clock)));
        self
    }

    /// The same for at most so many steps, those counted that are not worth telling; ten million without this.
    #[must_use]
    pub const fn at_most(mut self, steps: usize) -> Self {
        self.most = steps;
        self
    }

    /// What was set and captured so far.
    pub const fn variables(&self) -> &Variables {
        &self.variables
    }

    /// Starts at a line of the script, or the first step below it. What the steps before it set and which mode they chose
    /// holds, unless that is in an `if` or a `for`, which may not have been played; what they would have captured has no value.
    ///
    /// # Errors
    /// [`NoStart`] if there is no step from that line on, or if it is within an `if` or a `for`.
    pub fn start_at(&mut self, line: usize) -> Result<(), NoStart> {
        let steps = self.script.steps();
        let Some(first) = steps.first() else { return Ok(()) };
        let inside =
            |step: &&Step| step.location.file == first.location.file && step.location.line >= line && step.outer < line;
        if let Some(step) = steps.iter().find(inside) {
            return Err(NoStart::Inside { line, outer: step.outer });
        }
        let Some(start) = steps.iter().position(|step| step.outer >= line) else {
            return Err(NoStart::Behind { line, last: steps.last().map_or(0, |step| step.outer) });
        };
        for step in steps.get(..start).unwrap_or_default().iter().filter(|step| step.blocks == 0) {
            match &step.action {
                Action::Mode(mode) => self.mode = *mode,
                Action::Set { name, value } if !self.given.contains(name) => {
                    if let Ok(value) = value.filled(&self.variables) {
                        self.variables.set_filled(name.clone(), value);
                    }
                }
                Action::Secret { name } => {
                    self.variables.keep_secret(name);
                }
                _ => {}
            }
        }
        self.next = start;
        Ok(())
    }

    /// Looks for what can be known to be wrong before the first command is sent: secrets and variables that no line before their use
    /// gives a value, and commands that are too long.
    ///
    /// # Errors
    /// [`RunError::Script`] with the first such line.
    pub fn check(&self) -> Result<(), RunError> {
        Check::new(self.script, self.next, &self.variables).run()
    }

    /// The line to start at after the card was lost: that of the last reset before it, or of the first step.
    pub fn resume_at(&self) -> usize {
        let played = self.script.steps().get(..self.next).unwrap_or_default();
        let reset = played.iter().rfind(|step| matches!(step.action, Action::Reset { .. }));
        reset.or(self.script.steps().first()).map_or(1, |step| step.outer)
    }

    /// Plays on up to and including the next step worth telling; `None` at the end.
    ///
    /// A mismatch does not end the run: whether to go on is the caller's decision.
    ///
    /// # Errors
    /// [`RunError`] with the line: a variable or secret has no value, a condition looks at a response before there is one, the run
    /// is too long, or the card or the way to it is gone.
    pub fn step<T: Transport + ?Sized>(&mut self, card: &mut T) -> Result<Option<Done>, RunError> {
        let script = self.script;
        while let Some(step) = script.steps().get(self.next) {
            let index = self.next;
            if self.played >= self.most {
                return Err(RunError::Endless(step.location.clone()));
            }
            self.played += 1;
            self.next += 1;
            // Some steps change where in which loop the run is, and those that only do that are not told.
            let (position, turns) =
                if step.action.is_quiet() { Default::default() } else { (self.position(index), self.turns()) };
            if let Some(Told { command, response, outcome, took, within }) = self.play(index, step, card)? {
                let (location, note) = (step.location.clone(), step.note.clone());
                let condition = match &step.action {
                    Action::Expect { condition } | Action::If { condition, .. } => Some(condition.source.clone()),
                    Action::Take { source, .. } => Some(source.path.to_string()),
                    _ => None,
                };
                let secrets_sent = self.variables.of_command(&command, &[]);
                let mut secrets_received = ranges(&self.variables.of_response(&response, &[]));
                if let Outcome::Differs(mismatch) = &outcome
                    && mismatch.received == response
                {
                    secrets_received.extend_from_slice(mismatch.secret());
                }
                return Ok(Some(Done {
                    step: index,
                    location,
                    note,
                    turns,
                    condition,
                    command,
                    response,
                    outcome,
                    took,
                    within,
                    position,
                    secrets_sent,
                    secrets_received,
                }));
            }
        }
        Ok(None)
    }

    /// Plays to the end, mismatches or not.
    ///
    /// # Errors
    /// [`RunError`] as of [`Run::step`]; what was played before is not told.
    pub fn finish<T: Transport + ?Sized>(mut self, card: &mut T) -> Result<Vec<Done>, RunError> {
        let mut done = Vec::new();
        while let Some(step) = self.step(card)? {
            done.push(step);
        }
        Ok(done)
    }

    fn position(&self, index: usize) -> Vec<usize> {
        self.loops.iter().flat_map(|turns| [turns.start, turns.turn]).chain([index]).collect()
    }

    fn turns(&self) -> Vec<String> {
        let value = |turns: &Turns| turns.values.get(turns.turn).map(|value| self.variables.shown_value(value));
        self.loops.iter().map(|turns| format!("{}={}", turns.name, value(turns).unwrap_or_default())).collect()
    }

    fn play<T: Transport + ?Sized>(
        &mut self,
        index: usize,
        step: &Step,
        card: &mut T,
    ) -> Result<Option<Told>, RunError> {
        let unfilled = |error| RunError::Script(step.location.clone(), error);
        match &step.action {
            Action::Mode(mode) => self.mode = *mode,
            Action::Secret { name } => {
                if !self.variables.keep_secret(name) {
                    return Err(unfilled(Unfilled::Secret(name.clone())));
                }
            }
            Action::Set { name, .. } | Action::Take { name, .. } if self.given.contains(name) => {}
            Action::Set { name, value } => {
                let value = value.filled(&self.variables).map_err(unfilled)?;
                self.variables.set_filled(name.clone(), value);
            }
            Action::Take { name, source } => match source.first(self.seen(), &self.variables).map_err(unfilled)? {
                Ok(value) => self.variables.set_filled(name.clone(), value),
                Err(mismatch) => {
                    return Ok(Some(self.looked(Some(&source.subject), Outcome::Differs(mismatch))));
                }
            },
            Action::Reset { warm } => {
                let atr = if *warm { card.warm_reset() } else { card.reset() }
                    .map_err(|error| RunError::Transport(step.location.clone(), error))?;
                self.last_response = None;
                return Ok(Some(Told::quiet(&[], Outcome::Reset { atr })));
            }
            Action::Send { command, expected, within } => {
                let mut told = self.send(step, command, expected.as_ref(), card)?;
                told.within = *within;
                return Ok(Some(told));
            }
            Action::Expect { condition } => {
                let outcome = match self.holds(condition).map_err(unfilled)? {
                    Ok(()) => Outcome::AsExpected,
                    Err(mismatch) => Outcome::Differs(mismatch),
                };
                return Ok(Some(self.looked(Some(&condition.subject), outcome)));
            }
            Action::SkipUnless { expected, to } => {
                let response = self.last_response.clone().ok_or_else(|| unfilled(Unfilled::NoResponse))?;
                if expected.check(&response, &mut self.variables).is_err() {
                    return Ok(Some(self.skip_to(*to)));
                }
            }
            Action::If { condition, otherwise, left_out } => {
                if self.holds(condition).map_err(unfilled)?.is_err() {
                    self.next = *otherwise;
                    if let Some(left_out) = left_out {
                        return Ok(Some(self.looked(Some(&condition.subject), Outcome::NotTaken(*left_out))));
                    }
                }
            }
            Action::Jump { to } => self.next = *to,
            Action::For { name, list, end } => return self.begin(index, name, list, *end).map_err(unfilled),
            Action::Next { .. } => self.next_turn(),
        }
        Ok(None)
    }

    /// A condition is told with the response it looked at.
    fn looked(&self, subject: Option<&Subject>, outcome: Outcome) -> Told {
        let is_value = subject.is_some_and(|subject| subject.variable().is_some());
        Told::quiet(self.last_response.as_deref().filter(|_| !is_value).unwrap_or_default(), outcome)
    }

    fn seen(&self) -> Seen<'_> {
        Seen { response: self.last_response.as_deref() }
    }

    fn holds(&mut self, condition: &Condition) -> Result<Result<(), Mismatch>, Unfilled> {
        condition.check(Seen { response: self.last_response.as_deref() }, &mut self.variables)
    }

    fn send<T: Transport + ?Sized>(
        &mut self,
        step: &Step,
        command: &Template,
        expected: Option<&Expectation>,
        card: &mut T,
    ) -> Result<Told, RunError> {
        let filled = command.filled(&self.variables);
        let Filled { bytes: command, places } =
            filled.map_err(|error| RunError::Script(step.location.clone(), error))?;
        self.variables.sends(&command, &places);
        let begun = self.now();
        let response = match self.mode {
            Mode::Auto => exchange(card, &command).map(apdu::Response::into_bytes),
            Mode::Raw => card.transmit(&command),
        }
        .map_err(|error| RunError::Transport(step.location.clone(), error))?;
        let took = self.now().zip(begun).map(|(ended, begun)| ended.saturating_sub(begun));
        let outcome = match expected.map(|expected| expected.check(&response, &mut self.variables)) {
            None => Outcome::Unchecked,
            Some(Ok(())) => Outcome::AsExpected,
            Some(Err(mismatch)) => Outcome::Differs(mismatch),
        };
        self.last_response = Some(response.clone());
        Ok(Told { command, response, outcome, took, within: None })
    }

    fn now(&mut self) -> Option<Duration> {
        self.clock.as_mut().map(|clock| (clock.0)())
    }

    /// Leaves out what comes before `to`, and the loops that end before it.
    fn skip_to(&mut self, to: usize) -> Told {
        let skipped = to.saturating_sub(self.next);
        self.next = to;
        self.loops.retain(|turns| to <= turns.end);
        self.looked(None, Outcome::Skipped(skipped))
    }

    /// The first turn of a loop; without values what is in it is left out.
    fn begin(&mut self, start: usize, name: &str, list: &List, end: usize) -> Result<Option<Told>, Unfilled> {
        let given = self.given.contains(name).then(|| self.variables.get(name)).flatten();
        let values = match given {
            Some(value) => vec![Filled { bytes: value.to_vec().into(), places: self.variables.places_of(name) }],
            None => list.values(self.seen(), &self.variables)?,
        };
        let Some(first) = values.first() else {
            self.next = end + 1;
            return Ok(Some(self.looked(None, Outcome::NoValues(end.saturating_sub(start + 1)))));
        };
        self.variables.set_filled(name, first.clone());
        self.loops.push(Turns { start, end, name: name.to_owned(), values, turn: 0 });
        Ok(None)
    }

    fn next_turn(&mut self) {
        let Some(turns) = self.loops.last_mut() else { return };
        turns.turn += 1;
        if let Some(value) = turns.values.get(turns.turn) {
            self.variables.set_filled(turns.name.clone(), value.clone());
            self.next = turns.start + 1;
        } else {
            self.loops.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::dialogue;

    fn script(text: &str) -> Script {
        Script::parse("test.apdu", text, &mut |_, _| Err("no".into())).unwrap()
    }

    fn play(text: &str, dialogue: &[(&str, &str)]) -> (Vec<Outcome>, Variables) {
        let script = script(text);
        let mut card = crate::testing::dialogue(dialogue);
        let mut run = Run::new(&script, Variables::new());
        let mut outcomes = Vec::new();
        while let Some(done) = run.step(&mut card).unwrap() {
            outcomes.push(done.outcome);
        }
        assert!(card.is_finished());
        (outcomes, run.variables().clone())
    }

    #[test]
    fn captured_bytes_come_back_in_commands() {
        let (outcomes, variables) = play(
            "reset\n> 00B000000A\n< {iccid:10} 9000\n> 81E29100 #( BF31 #( A0 #( 5A #( ${iccid} ) ) 8101FF ) )\n< .. 9000",
            &[
                ("00B000000A", "989449990000000000F19000"),
                ("81E2910014BF3111A00C5A0A989449990000000000F18101FF", "6106"),
                ("81C0000006", "BF31038001009000"),
            ],
        );
        assert_eq!(outcomes[1..], [Outcome::AsExpected, Outcome::AsExpected]);
        assert_eq!(variables["iccid"].len(), 10);
    }

    #[test]
    fn what_the_caller_gives_wins_over_the_script() {
        let script = script("set fid 3F00\nset p1 00\n> 00A4 ${p1} 04 #( ${fid} )");
        let given = Variables::from([("fid".to_owned(), vec![0x2F, 0xE2])]);
        let mut card = dialogue(&[("00A40004022FE2", "9000")]);
        Run::new(&script, given).finish(&mut card).unwrap();
        assert!(card.is_finished());
    }

    #[test]
    fn raw_mode_shows_every_status_word() {
        let (outcomes, _) = play(
            "raw\n> 00A40004023F00\n< 61??\n> 00C0000002\n< 6200 9000\nauto\n> 00B0000000\n< .. 9000",
            &[("00A40004023F00", "6102"), ("00C0000002", "62009000"), ("00B0000000", "6C01"), ("00B0000001", "AA9000")],
        );
        assert_eq!(outcomes, [Outcome::AsExpected, Outcome::AsExpected, Outcome::AsExpected]);
    }

    #[test]
    fn a_guard_skips_the_rest() {
        let (outcomes, _) =
            play("> 00A40000\n< .. 9000 | 6A82\nskip unless .. 9000\n> 00B0000000\nreset", &[("00A40000", "6A82")]);
        assert_eq!(outcomes, [Outcome::AsExpected, Outcome::Skipped(2)]);
    }

    #[test]
    fn a_mismatch_is_told_and_the_run_can_go_on() {
        let (outcomes, _) = play("> 00A40000\n< 9000\n> 00A40001", &[("00A40000", "6A82"), ("00A40001", "9000")]);
        assert!(matches!(&outcomes[0], Outcome::Differs(mismatch) if mismatch.nibble == 0));
        assert_eq!(outcomes[1], Outcome::Unchecked);
    }

    #[test]
    fn faults_name_the_line() {
        let script = script("reset\n> 0020000108 ${pin}");
        let error = Run::new(&script, Variables::new()).finish(&mut dialogue(&[])).unwrap_err();
        assert!(error.to_string().starts_with("test.apdu:2: the variable `pin` has no value"), "{error}");
    }

    /// Two profiles, the second enabled.
    const LIST: &str = "BF2D1AA018E30A5A04980000019F700100E30A5A04980000029F7001019000";

    #[test]
    fn loops_go_through_what_a_response_holds() {
        let text = "\
> 81E29100 #( BF2D #() ) 00
< BF2D .. 9000
set first from response BF2D/A0/E3/5A
for entry from response BF2D/A0/E3
    set iccid from entry 5A
    if entry has 9F70 = 01
        > 81E29100 #( BF32 #( A0 #( 5A #( ${iccid} ) ) ) ) 00
        < .. 9000
    else if entry has 9F70 = 00
        for p1 in 01..02
            > 00 ${p1} 0000
            < 6D00
            within 50 ms
        end
    else
        > 00FF0000
    end
end
> 00A40000
";
        let script = script(text);
        let mut card = dialogue(&[
            ("81E2910003BF2D0000", LIST),
            ("00010000", "6D00"),
            ("00020000", "6D00"),
            ("81E291000BBF3208A0065A049800000200", "9000"),
            ("00A40000", "9000"),
        ]);
        let mut time = 0;
        let clock = move || {
            time += 30;
            Duration::from_millis(time * time)
        };
        let done = Run::new(&script, Variables::new()).timed(clock).finish(&mut card).unwrap();
        assert!(card.is_finished());
        let told: Vec<_> = done.iter().map(|done| (done.location.line, done.turns.len(), done.is_late())).collect();
        assert_eq!(told, [(1, 0, false), (11, 2, true), (11, 2, true), (7, 1, false), (19, 0, false)]);
        assert_eq!(done[2].turns, ["entry=5A04980000019F700100", "p1=02"]);
        assert!(done.windows(2).all(|two| two[0].position < two[1].position), "in the order of play");
        assert!(done.iter().all(|done| done.took.is_some()));
    }

    #[test]
    fn a_guard_inside_an_included_script_stays_in_the_loop() {
        let script = Script::parse(
            "test.apdu",
            "for p1 in 01, 02\n  include one.apdu\n  > 00 FF 0000\nend\nskip unless 9000\n> 00EE0000",
            &mut |_, path| {
                let text = "> 00 ${p1} 0000\nfor p2 in 01..02\n skip unless 9000\n > 0000 ${p2} 00\nend\n".into();
                Ok(super::super::Included { name: path.into(), text })
            },
        )
        .unwrap();
        let mut card = dialogue(&[
            ("00010000", "9000"),
            ("00000100", "9000"),
            ("00000200", "6D00"),
            ("00FF0000", "9000"),
            ("00020000", "6D00"),
            ("00FF0000", "6D00"),
        ]);
        let done = Run::new(&script, Variables::new()).finish(&mut card).unwrap();
        assert!(card.is_finished());
        assert_eq!(done.last().unwrap().outcome, Outcome::Skipped(1));
        assert_eq!(done.iter().map(|done| done.turns.len()).collect::<Vec<_>>(), [1, 2, 2, 1, 1, 2, 1, 0]);
    }

    #[test]
    fn conditions_that_must_hold_and_paths_that_are_not_there() {
        let text = "> 00\nexpect response has BF2D/A0/E3/9F70 = 01\nexpect not response has 6F\n\
                    set x from response BF2D/E3\nfor y from response 6F\n  > 01\nend\n";
        let (outcomes, _) = play(text, &[("00", LIST)]);
        assert_eq!(outcomes[..3], [Outcome::Unchecked, Outcome::AsExpected, Outcome::AsExpected]);
        let Outcome::Differs(mismatch) = &outcomes[3] else { panic!("{outcomes:?}") };
        assert_eq!((mismatch.expected.as_str(), mismatch.wanted.as_str()), ("BF2D/E3", "tag E3 within BF2D"));
        assert_eq!(outcomes[4..], [Outcome::NoValues(1)]);
    }

    #[test]
    fn a_run_has_an_end() {
        let script = script("for x in 0000..FFFF\nfor y in 0000..FFFF\nset z 00\nend\nend\nreset");
        let error = Run::new(&script, Variables::new()).at_most(1000).step(&mut dialogue(&[])).unwrap_err();
        assert!(matches!(error, RunError::Endless(_)), "{error}");
    }

    #[test]
    fn a_given_value_is_the_only_turn() {
        let script = script("for fid in 2F00, 2FE2\n > 00A4000C #(${fid})\nend");
        let given = Variables::from([("fid".to_owned(), vec![0x3F, 0x00])]);
        let mut card = dialogue(&[("00A4000C023F00", "9000")]);
        Run::new(&script, given).finish(&mut card).unwrap();
        assert!(card.is_finished());
    }

    #[test]
    fn secrets_are_sent_and_not_shown() {
        let script = script("secret adm\nset again ${adm}\n> 00DA0000 #( ${again} )\n< ${adm} 9000");
        let missing = Run::new(&script, Variables::new()).finish(&mut dialogue(&[])).unwrap_err();
        assert!(missing.to_string().starts_with("test.apdu:1: the secret `adm` is not given"), "{missing}");
        let given = Variables::from([("adm".to_owned(), vec![1, 2, 3, 4])]);
        let mut card = dialogue(&[("00DA00000401020304", "01020305010203049000")]);
        let done = Run::new(&script, given).finish(&mut card).unwrap();
        assert_eq!(done[0].shown_command(), "00DA000004 ${adm}");
        assert_eq!(done[0].shown_response(), "****************9000", "nor how much of it another one has");
        let Outcome::Differs(mismatch) = &done[0].outcome else { panic!("{done:?}") };
        let told = mismatch.to_string();
        assert!(!told.contains("01") && told.contains("^ byte 0: ${adm} expected, another received"), "{told}");
    }

    /// What is taken from a secret, what it was before, and what is too short to be searched for.
    #[test]
    fn what_comes_of_a_secret_is_one() {
        let text = "secret keys\nset part from keys 80\n> 00DA0000 #( ${part} )\nfor key from keys 81\n  > 00DB0000 #( ${key} 77 )\n\
                    end\n> 00CA0000\n< {keys} 9000\n> 00DC0000 #( ${keys} )\n> 00CB0000\n< 01 {first:2} .. 9000\n> 00DD0000 #( ${first} )";
        let script = script(text);
        let mut given = Variables::from([("keys".to_owned(), crate::testing::octets("8004A1A2A3A48102B1B2"))]);
        given.keep_secret("keys");
        let dialogue = &[
            ("00DA000004A1A2A3A4", "9000"),
            ("00DB000003B1B277", "9000"),
            ("00CA0000", "C1C2C3C49000"),
            ("00DC000004C1C2C3C4", "A1A2A3A49000"),
            ("00CB0000", "01C1C2C3C49000"),
            ("00DD000002C1C2", "9000"),
        ];
        let mut seen = Vec::new();
        let watch = super::super::Hiding::new(
            |event: crate::trace::Event<'_>| {
                let event = event.recorded(None);
                seen.push(String::from_utf8(capture::write(capture::Format::Text, &[event])).unwrap());
            },
            given.clone(),
        );
        let mut card = crate::trace::Tracer::new(crate::testing::dialogue(dialogue), watch);
        let done = Run::new(&script, given).finish(&mut card).unwrap();
        drop(card);
        let shown: Vec<_> = done.iter().map(Done::shown_command).collect();
        let expected = [
            "00DA000004 ${part}",
            "00DB000003 ${key} 77",
            "00CA0000",
            "00DC000004 ${keys}",
            "00CB0000",
            "00DD000002 ${first}",
        ];
        assert_eq!(shown, expected);
        assert_eq!(done[3].shown_response(), "********9000", "the value before");
        assert_eq!(done[1].turns, ["key=****"]);
        for (index, (seen, shown)) in seen.iter().zip(shown).enumerate() {
            assert!(seen.contains(&format!("> {shown}")), "{seen}");
            // Which part of a response a script keeps is known when it is there.
            let is_new = index == 2;
            assert!(is_new || !["A1A2", "B1B2", "C1C2"].iter().any(|secret| seen.contains(secret)), "{seen}");
        }
    }

    #[test]
    fn a_branch_that_is_not_taken_is_told() {
        let text = "> 00A40000\nif response has 62\n > 01\nelse if response has 63\n > 02\n reset\nend\n\
                    if response has 62\n > 03\nelse\n > 04\nend";
        let script = script(text);
        let mut card = dialogue(&[("00A40000", "6A82"), ("04", "9000")]);
        let done = Run::new(&script, Variables::new()).finish(&mut card).unwrap();
        assert_eq!(done[1].outcome, Outcome::NotTaken(3));
        assert_eq!((done[1].location.line, done[1].condition.as_deref()), (4, Some("response has 63")));
        assert_eq!(done[2].command[..], [4], "an `else` is a branch that is always taken");
        assert!(done[0].acts() && !done[1].acts());
    }

    #[test]
    fn a_condition_needs_a_response() {
        for text in [
            "if response has 62\n > 01\nelse\n > 02\nend",
            "reset\nskip unless 9000\n> 01",
            "> 01\nreset\nexpect response is 9000",
        ] {
            let script = script(text);
            let mut card = dialogue(&[("01", "9000")]);
            let error = Run::new(&script, Variables::new()).finish(&mut card).unwrap_err();
            assert!(matches!(error, RunError::Script(_, Unfilled::NoResponse)), "{error}");
        }
    }

    #[test]
    fn a_condition_on_a_variable_is_not_about_the_response() {
        let script = script("> 00\nset a 8200\nexpect a is 82??83");
        let done = Run::new(&script, Variables::new()).finish(&mut dialogue(&[("00", "01029000")])).unwrap();
        assert!(done[1].response.is_empty());
        let Outcome::Differs(mismatch) = &done[1].outcome else { panic!("{done:?}") };
        assert_eq!((mismatch.shown().as_str(), mismatch.nibble, mismatch.meaning()), ("8200", 4, None));
    }

    #[test]
    fn what_may_not_have_been_played_sets_nothing() {
        let script = script("> 00\nset a 01\nif response is 9000\n set a 02\nend\nfor b in 03\n set c 03\nend\n> 04");
        let mut run = Run::new(&script, Variables::new());
        run.start_at(9).unwrap();
        assert_eq!((run.variables().get("a"), run.variables().get("c")), (Some(&[1][..]), None));
    }

    #[test]
    fn a_run_starts_again_where_it_stopped() {
        let text = "raw\nset fid 3F00\nreset\n> 00A4000C #(${fid})\nreset\nfor x in 01, 02\n  > 00B00000 ${x}\nend\n";
        let script = script(text);
        let mut run = Run::new(&script, Variables::new());
        let mut card = dialogue(&[("00A4000C023F00", "9000"), ("00B0000001", "6C02")]);
        while run.step(&mut card).is_ok() {}
        assert_eq!(run.resume_at(), 5);
        let mut again = Run::new(&script, Variables::new());
        again.start_at(4).unwrap();
        let done =
            again.finish(&mut dialogue(&[("00A4000C023F00", "9000"), ("00B0000001", "6C02"), ("00B0000002", "6C02")]));
        assert_eq!(done.unwrap().len(), 4, "raw and the variable hold");
        let refused = |line| Run::new(&script, Variables::new()).start_at(line).unwrap_err();
        assert_eq!(refused(7), NoStart::Inside { line: 7, outer: 6 });
        assert_eq!(refused(9), NoStart::Behind { line: 9, last: 6 });
    }
}
