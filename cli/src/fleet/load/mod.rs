//! `vuicc fleet load`: the cards of a fleet put load on a server, or are put under load themselves.

mod centre;
mod chart;
mod codes;
mod report;
mod work;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use console::Exit;
use identities::Eid;
use lpa::Order;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::shelf::{FleetCard, open};
use super::{Folder, files};
use crate::Context;
use crate::asynchronous::{Signals, Stoppable};
use crate::failure::Failure;
use crate::file::{Readers, not_stdout, put};
use crate::lpa::ServerArguments;
use crate::output::{Output, beside, count, tell, tell_over};
use crate::server_address::server_address;
use report::{Report, Tally};
use work::{Done, Force, Job, Servers, Started, Task};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// Download from this SM-DP+, one profile by each card
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server_address, required_unless_present_any = ["codes", "authenticate"])]
    smdp: Option<String>,
    /// The matchingId of an order that any card may download [default: the server knows the cards by their EIDs]
    #[arg(long, value_name = "TEXT", requires = "smdp")]
    matching_id: Option<String>,
    /// Download by the activation codes in this file, one a line, in turn by each card; before a code and a comma may stand the
    /// EID of the card that is to download it
    #[arg(long, value_name = "FILE", conflicts_with = "smdp")]
    codes: Option<PathBuf>,
    /// No download: AUTHENTICATE, challenged and checked by each card's own K
    #[arg(long, conflicts_with_all = ["smdp", "codes"])]
    authenticate: bool,
    /// How many authentications by each card
    #[arg(long, value_name = "N", requires = "authenticate", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only so many of the cards, the first ones [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cards: Option<u32>,
    /// How many at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=2048))]
    at_once: u16,
    /// How many may begin in a second [default: as many as can]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Tell each one, as it ends
    #[arg(long)]
    each: bool,
    /// Write the report as a page with plots, in HTML
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    chart: Option<PathBuf>,
    #[command(flatten)]
    servers: ServerArguments,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("a number of 0.001 to 1000000 a second".to_owned()),
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let codes = arguments.codes.as_deref().map(codes::read).transpose()?;
    let servers = if arguments.authenticate { None } else { Some(arguments.servers(context)?) };
    let (_, mut cards) = open(&arguments.folder)?;
    if let Some(most) = arguments.cards {
        cards.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    let jobs = arguments.jobs(codes, &cards)?;
    let at_once = usize::from(arguments.at_once).min(jobs.len());
    if !arguments.authenticate {
        allow_files(at_once)?;
    }
    let total = jobs.iter().map(Job::operations).sum();
    let force = Force { cards, jobs, servers, rate: arguments.rate };
    let begun = Instant::now();
    let mut tally = Tally::new(if arguments.authenticate { "authenticate" } else { "download" }, total);
    let was_interrupted = Stoppable::begin()?.run(async |signals| {
        let Started { work, done, threads } = force.start(at_once)?;
        if threads < at_once {
            tell(&format!("vuicc: the system gives no more than {threads} threads, so that it is so many at a time"));
        }
        let watch = Watch { output: context.output, each: arguments.each, begun };
        let was_interrupted = watch.until_done(&mut tally, done, signals, || work.stop()).await;
        Ok(was_interrupted)
    })?;
    let report = tally.report(begun.elapsed(), was_interrupted);
    if let Some(chart) = &arguments.chart {
        put(chart, chart::page(&report).as_bytes(), Readers::Everybody, "the chart")?;
    }
    context.output.put_block(&report)?;
    let exit = if arguments.authenticate { Exit::Card } else { Exit::Network };
    outcome(&report, exit)
}

/// Has the system allow the files of so many downloads at a time; they would fail, and the server be blamed.
fn allow_files(at_once: usize) -> Result<(), Failure> {
    /// A connection, and what resolves a name or waits beside it.
    const OF_A_DOWNLOAD: u64 = 4;
    /// Those of the process itself.
    const OWN: u64 = 64;
    let wanted = u64::try_from(at_once).unwrap_or(u64::MAX).saturating_mul(OF_A_DOWNLOAD).saturating_add(OWN);
    let allowed = files::allow(wanted);
    if allowed >= wanted {
        return Ok(());
    }
    let fitting = match allowed.saturating_sub(OWN) / OF_A_DOWNLOAD {
        0 => String::new(),
        fitting => format!("; --at-once {fitting} fits"),
    };
    let way_out = if fitting.is_empty() { ";" } else { ", or" };
    Err(Failure::because(format!(
        "{at_once} downloads at a time need {wanted} open files, and this process may have {allowed}{fitting}{way_out} raise the \
         limit: `ulimit -n`"
    ))
    .with(Exit::Usage))
}

/// Whether all was done, and well. What an interruption left undone is not a failure: it was wanted.
fn outcome(report: &Report, exit: Exit) -> Result<(), Failure> {
    let undone = if report.interrupted { 0 } else { report.of.saturating_sub(report.done) };
    let text = match (report.failed, undone) {
        (0, 0) => return Ok(()),
        (0, undone) => format!("{undone} of {} were not done", report.of),
        (failed, 0) => format!("{failed} of {} failed; the report above says why", report.done),
        (failed, undone) => {
            format!("{failed} of {} failed, {undone} more were not done; the report above says why", report.done)
        }
    };
    Err(Failure::because(text).with(exit))
}

impl Arguments {
    fn servers(&self, context: &Context) -> Result<Servers, Failure> {
        let settings = self.servers.settings(self.servers.trust(context)?);
        let checks = lpa::Checks { limit: self.servers.download_limit(), ..settings.checks(crate::random::now()) };
        Ok(Servers { settings, checks })
    }

    /// What is to be done, each by one of the cards.
    fn jobs(&self, codes: Option<Vec<codes::Line>>, cards: &[FleetCard]) -> Result<Vec<Job>, Failure> {
        let all = 0..cards.len();
        if self.authenticate {
            if let Some(one) = cards.iter().find(|card| card.member.subscription.is_none()) {
                return Err(Failure::because(format!(
                    "card {} was made without a profile, so that its K is not known; --authenticate is for fleets made with one",
                    one.member.eid
                ))
                .with(Exit::Usage));
            }
            let is_computed =
                |card: &FleetCard| card.member.subscription.as_ref().is_some_and(|known| known.algorithm().is_some());
            if let Some(one) = cards.iter().find(|card| !is_computed(card)) {
                return Err(Failure::because(format!(
                    "card {} has authentication parameters that no algorithm takes, so that nothing can be checked; \
                     --authenticate is for fleets whose profile has others",
                    one.member.eid
                ))
                .with(Exit::Usage));
            }
            return Ok(all.map(|card| Job { card, task: Task::Authenticate(self.rounds) }).collect());
        }
        let Some(codes) = codes else {
            let address = self.smdp.as_deref().unwrap_or_default();
            let order = Order::new(address, self.matching_id.clone());
            return Ok(all.map(|card| Job { card, task: Task::Download(order.clone()) }).collect());
        };
        let place = |eid: &Eid| cards.iter().position(|card| card.member.eid == *eid);
        let mut in_turn = all.cycle();
        let jobs = codes.into_iter().map(|codes::Line { number, eid, order }| {
            let card = match &eid {
                None => in_turn.next(),
                Some(eid) => Some(place(eid).ok_or_else(|| {
                    let file = self.codes.as_deref().unwrap_or_else(|| "".as_ref()).display();
                    Failure::because(format!("{file}: line {number}, column 1: the fleet has no card {eid}"))
                        .with(Exit::Input)
                })?),
            };
            Ok(Job { card: card.unwrap_or_default(), task: Task::Download(order) })
        });
        jobs.collect()
    }
}

/// Who watches while that is done.
struct Watch {
    output: Output,
    each: bool,
    begun: Instant,
}

impl Watch {
    /// Takes in what is done, until all of it is, or the user interrupts; the second time that does not wait for what has
    /// begun. Returns whether there was an interruption.
    async fn until_done(
        &self,
        tally: &mut Tally,
        mut done: UnboundedReceiver<Done>,
        signals: &mut Signals,
        stop: impl Fn(),
    ) -> bool {
        let is_seen = std::io::stderr().is_terminal();
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_interrupted = false;
        loop {
            tokio::select! {
                one = done.recv() => match one {
                    Some(one) => {
                        if self.each {
                            self.tell_of(&one);
                        }
                        tally.take(one);
                    }
                    None => break,
                },
                () = signals.received() => {
                    if std::mem::replace(&mut was_interrupted, true) {
                        break;
                    }
                    stop();
                    tell("vuicc: interrupted; what has begun is brought to its end, which Ctrl-C does not wait for");
                }
                _ = tick.tick() => {
                    let line = tally.progress(self.begun.elapsed());
                    if is_seen {
                        count(&line);
                    }
                    beside(self.output.json(&json!({
                        "event": "progress", "done": tally.done(), "failed": tally.failed(), "of": tally.of(),
                        "seconds": self.begun.elapsed().as_secs_f64(),
                    })));
                }
            }
        }
        if is_seen {
            tell_over(&tally.progress(self.begun.elapsed()));
        }
        was_interrupted
    }

    fn tell_of(&self, one: &Done) {
        let Done { eid, took, error, .. } = one;
        let milliseconds = took.as_secs_f64() * 1e3;
        let cause = error.as_ref().map(|error| error.line.as_str());
        beside(self.output.json(&json!({
            "event": "done", "eid": eid.to_string(), "milliseconds": milliseconds, "error": cause,
        })));
        let cause = cause.map_or_else(|| "done".to_owned(), |cause| format!("failed: {cause}"));
        beside(self.output.text(format_args!("{eid}: {cause} ({milliseconds:.1} ms)")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_is_a_failure() {
        let told = |failed, interrupted| outcome(&report::tests::report(failed, interrupted), Exit::Card);
        let text = |failed, interrupted| match told(failed, interrupted) {
            Err(Failure::Because(cause)) => cause.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(0, false), "100 of 200 were not done");
        assert_eq!(text(3, false), "3 of 103 failed, 97 more were not done; the report above says why");
        assert_eq!(text(100, false), "100 of 200 failed; the report above says why");
        assert_eq!(text(3, true), "3 of 103 failed; the report above says why");
        assert!(told(0, true).is_ok());
    }
}
