//! `vuicc apdu run`: runs scripts step by step until they end or a response differs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use apdu::{Transport, counted};
use clap::Args;
use console::Exit;
use reader_bridge::script::{Done, Run, RunError, Variables};

use super::junit::Report;
use super::report::{Case, Rules, Suite, Sum, Verdict, table};
use super::sources::{Expect, Loaded, Scripts, wrong_run};
use super::step::{Told, object};
use super::tap;
use crate::Context;
use crate::failure::{Failure, line};
use crate::file::not_stdout;
use crate::target::TargetArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    reports: Reports,
    /// Start at this line: after a card was lost, where the run says
    #[arg(long, value_name = "FILE:LINE", value_parser = start)]
    from: Option<Start>,
    /// A response that comes later than its `within` counts as a difference
    #[arg(long)]
    strict_timing: bool,
    /// What is expected of a recorded session's responses
    #[arg(long, value_name = "WHAT", default_value = "recorded")]
    expect: Expect,
}

/// How the result is told.
#[derive(Debug, Args)]
struct Reports {
    /// Continue after a mismatch; a table at the end shows every script
    #[arg(long)]
    keep_going: bool,
    /// Show commands and responses in full, TLVs as trees
    #[arg(long)]
    show: bool,
    /// Write the result to FILE as JUnit XML: a suite for each script, a case for each step
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    junit: Option<PathBuf>,
    /// Print the result as TAP instead, for prove and others
    #[arg(long)]
    tap: bool,
}

/// A line of a script.
#[derive(Clone, Debug)]
struct Start {
    script: String,
    line: usize,
}

fn start(text: &str) -> Result<Start, String> {
    let (script, line) = text.rsplit_once(':').ok_or("FILE:LINE, as in scripts/apdu/pin.apdu:12")?;
    let line = line.parse().ok().filter(|line| *line > 0).ok_or("a line is a number from 1")?;
    Ok(Start { script: script.to_owned(), line })
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.reports.tap && context.output.is_json() {
        return Err(Failure::because("--tap and --json both want stdout; use one of them").with(Exit::Usage));
    }
    let scripts = arguments.scripts.load(arguments.expect, context)?;
    let variables = arguments.scripts.variables(&scripts)?;
    let first = first_of(&scripts, arguments.from.as_ref(), &variables)?;
    let mut card = arguments.target.connect_hiding(&variables)?;
    let report = Report::new(arguments.reports.junit.as_deref())?;
    let mut player = Player { arguments, context, variables, report, cases: 0 };
    let ended = player.play_all(&scripts, first, &mut card).and_then(|stopped| player.conclude(stopped));
    // What was played before the output was closed, say, is in the report.
    player.report.write().and(ended)
}

/// The script to start with.
fn first_of(scripts: &[Loaded], from: Option<&Start>, variables: &Variables) -> Result<usize, Failure> {
    let check = |loaded: &Loaded| Run::new(&loaded.script, variables.clone()).check().map_err(wrong_run);
    let Some(from) = from else { return scripts.iter().try_for_each(check).map(|()| 0) };
    let is_it = |loaded: &Loaded| Path::new(&loaded.name) == Path::new(&from.script);
    let first = scripts.iter().position(is_it).ok_or_else(|| {
        let names = scripts.iter().map(|loaded| loaded.name.as_str()).collect::<Vec<_>>().join(", ");
        Failure::because(format!("--from {}: it is none of the scripts of this run ({names})", from.script))
            .with(Exit::Usage)
    })?;
    if let Some(loaded) = scripts.get(first) {
        let mut trial = Run::new(&loaded.script, variables.clone());
        let refused = |error| Failure::because(format!("--from {}: {error}", from.script)).with(Exit::Usage);
        trial.start_at(from.line).map_err(refused)?;
        trial.check().map_err(wrong_run)?;
    }
    scripts.iter().skip(first + 1).try_for_each(check)?;
    Ok(first)
}

/// Why a run stopped, and where it goes on.
struct Stopped {
    error: RunError,
    resume: String,
}

struct Player<'a> {
    arguments: &'a Arguments,
    context: &'a Context,
    variables: Variables,
    report: Report,
    /// Cases told so far.
    cases: usize,
}

impl Player<'_> {
    /// Plays the scripts from number `first` on; says why, if the run could not go on.
    fn play_all(
        &mut self,
        scripts: &[Loaded],
        first: usize,
        card: &mut impl Transport,
    ) -> Result<Option<Stopped>, Failure> {
        if self.arguments.reports.tap {
            self.context.output.text(tap::HEADER)?;
        }
        let mut stopped = None;
        for (index, loaded) in scripts.iter().enumerate() {
            if index < first {
                self.leave_out(loaded, "it comes before --from")?;
            } else if stopped.is_some() {
                self.leave_out(loaded, "the run was stopped before it")?;
            } else {
                let from = self.arguments.from.as_ref().filter(|_| index == first).map(|start| start.line);
                stopped = self.play(loaded, from, card)?;
            }
        }
        Ok(stopped)
    }

    /// Plays one script; says why, if the run cannot go on after it.
    fn play(
        &mut self,
        loaded: &Loaded,
        from: Option<usize>,
        card: &mut impl Transport,
    ) -> Result<Option<Stopped>, Failure> {
        self.report.begin(Suite::new(&loaded.name));
        let rules = Rules { strict: self.arguments.strict_timing, whole: self.arguments.reports.show };
        let begun = Instant::now();
        let mut run = Run::new(&loaded.script, self.variables.clone()).timed(move || begun.elapsed());
        if let Some(line) = from {
            run.start_at(line).map_err(Failure::from)?;
        }
        loop {
            match run.step(card) {
                Ok(None) => break,
                Ok(Some(done)) => {
                    let case = self.report.case(|suite| Some(suite.add(&done, rules)));
                    self.tell(&done)?;
                    self.tell_case(&loaded.name, case.as_ref())?;
                    let has_failed = case.is_some_and(|case| matches!(case.verdict, Verdict::Failed(_)));
                    if has_failed && !self.arguments.reports.keep_going {
                        break;
                    }
                }
                Err(error) => {
                    let case = self.report.case(|suite| Some(suite.add_broken(&line(&error))));
                    self.tell_case(&loaded.name, case.as_ref())?;
                    return Ok(Some(Stopped { error, resume: format!("{}:{}", loaded.name, run.resume_at()) }));
                }
            }
        }
        let nothing_sent = self.report.case(Suite::end);
        self.tell_case(&loaded.name, nothing_sent.as_ref())?;
        Ok(None)
    }

    fn leave_out(&mut self, loaded: &Loaded, why: &str) -> Result<(), Failure> {
        self.report.begin(Suite::new(&loaded.name));
        let case = self.report.case(|suite| Some(suite.leave_out(why)));
        self.tell_case(&loaded.name, case.as_ref())
    }

    fn tell(&self, done: &Done) -> Result<(), Failure> {
        self.context.output.json(&object(done))?;
        if !self.arguments.reports.tap {
            self.context.output.block(Told { done, whole: self.arguments.reports.show })?;
        }
        Ok(())
    }

    fn tell_case(&mut self, script: &str, case: Option<&Case>) -> Result<(), Failure> {
        let Some(case) = case else { return Ok(()) };
        self.cases += 1;
        if self.arguments.reports.tap {
            self.context.output.block(tap::lines(script, case, self.cases))?;
        }
        Ok(())
    }

    /// Reports, also of a run that was stopped.
    fn conclude(&self, stopped: Option<Stopped>) -> Result<(), Failure> {
        let output = self.context.output;
        // Not held while this waits for what reads the output: a signal ends the run then, too.
        let suites = self.report.suites().clone();
        let sum = Sum::of(&suites);
        let lost = stopped.as_ref().filter(|stopped| matches!(stopped.error, RunError::Transport(..)));
        output.json(&sum.object(&suites, lost.map(|lost| lost.resume.as_str())))?;
        if self.arguments.reports.tap {
            match lost {
                Some(lost) => output.text(tap::bail_out(&line(&lost.error)))?,
                None => output.text(tap::plan(self.cases))?,
            }
        } else {
            if self.arguments.reports.keep_going {
                output.block(table(&suites))?;
            }
            output.text(sum.line())?;
        }
        match stopped {
            Some(Stopped { error, resume }) if matches!(error, RunError::Transport(..)) => {
                let played = sum.steps;
                let cause = format!("{}; {} played, go on with --from {resume}", line(&error), counted(played, "step"));
                Err(Failure::because(cause).with(Exit::Card))
            }
            Some(Stopped { error, .. }) => Err(Failure::from(error).with(Exit::Input)),
            None if sum.failed > 0 => Err(Failure::Told(Exit::Difference)),
            None => match suites.iter().find_map(|suite| suite.broken.as_ref().map(|cause| (&suite.script, cause))) {
                Some((script, cause)) => Err(Failure::because(format!("{script}: {cause}")).with(Exit::Input)),
                None => Ok(()),
            },
        }
    }
}
