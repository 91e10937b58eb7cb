//! Reports a sequence of steps: what each does, its results, how many APDUs and how much time it took.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apdu::Transport;
use reader_bridge::trace::{Event, Tracer};
use serde::Serialize;

use console::Failure;
use console::output::{Output, Plain};

/// The narrator.
pub(super) struct Narrator {
    output: Output,
    apdus: Arc<AtomicU64>,
    steps: usize,
    began: Instant,
    /// The report so far, without times and APDU counts.
    told: String,
}

/// The report of one step.
#[derive(Default)]
pub(super) struct Told(Vec<String>);

impl Told {
    /// Adds a line.
    pub(super) fn say(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    /// Adds lines that were reported elsewhere.
    #[cfg(feature = "operator")]
    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// A check: fails with the actual value.
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::because(otherwise())) }
}

impl Narrator {
    pub(super) fn new(output: Output) -> Self {
        Self { output, apdus: Arc::default(), steps: 0, began: Instant::now(), told: String::new() }
    }

    /// Counts what goes to this card from now on.
    pub(super) fn count(&self, card: Box<dyn Transport>) -> Box<dyn Transport> {
        let apdus = Arc::clone(&self.apdus);
        Box::new(Tracer::new(card, move |event: Event<'_>| {
            if let Event::Exchange { .. } | Event::Failed { .. } = event {
                apdus.fetch_add(1, Ordering::Relaxed);
            }
        }))
    }

    /// Runs one step and reports it. A failure names the step.
    pub(super) fn step<T>(
        &mut self,
        title: &str,
        act: impl FnOnce(&mut Told) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.steps += 1;
        let (apdus, began) = (self.apdus.load(Ordering::Relaxed), Instant::now());
        self.output.text(format_args!("{:>2}  {title}", self.steps))?;
        let mut told = Told::default();
        let outcome = act(&mut told);
        // Writing to a String does not fail.
        let _ = writeln!(self.told, "{:>2}  {title}", self.steps);
        for line in &told.0 {
            let _ = writeln!(self.told, "      {line}");
        }
        let step = Step {
            number: self.steps,
            title,
            told: told.0,
            apdus: self.apdus.load(Ordering::Relaxed) - apdus,
            millis: millis(began.elapsed()),
            ok: outcome.is_ok(),
        };
        self.output.put_block(&step)?;
        outcome.map_err(|failure| failure.while_doing(&format!("step {}, {title}", self.steps)))
    }

    /// The report so far, without durations.
    #[cfg(feature = "operator")]
    pub(super) fn told(&self) -> &str {
        &self.told
    }

    /// Ends a run in which every step succeeded.
    pub(super) fn end(self) -> Result<(), Failure> {
        let summary = Summary {
            steps: self.steps,
            apdus: self.apdus.load(Ordering::Relaxed),
            millis: millis(self.began.elapsed()),
        };
        Ok(self.output.put_block(&summary)?)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct Step<'a> {
    #[serde(rename = "step")]
    number: usize,
    title: &'a str,
    told: Vec<String>,
    apdus: u64,
    millis: u64,
    ok: bool,
}

/// The report at the end of a step; its title was printed at the start.
impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.told {
            writeln!(f, "      {}", Plain(line))?;
        }
        let verdict = if self.ok { "" } else { "FAILED after " };
        match self.apdus {
            0 => write!(f, "      {verdict}{} ms", self.millis),
            apdus => write!(f, "      {verdict}{apdus} APDUs, {} ms", self.millis),
        }
    }
}

#[derive(Serialize)]
struct Summary {
    steps: usize,
    apdus: u64,
    millis: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\nAll {} steps succeeded: {} APDUs, {} ms", self.steps, self.apdus, self.millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_step() {
        let mut narrator = Narrator::new(Output::new(true));
        narrator.step("Do one thing", |_| Ok(())).unwrap();
        let outcome = narrator.step("Do another", |_| ensure(1 > 2, || "one is not more than two".into()));
        let Err(Failure::Because(text)) = outcome else { panic!() };
        assert_eq!(text, "step 2, Do another: one is not more than two");
    }
}
