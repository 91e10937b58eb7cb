//! What a load comes to: counts, times, errors by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::work::Done;
use crate::output::printable;

/// What is done so far.
pub(super) struct Tally {
    kind: &'static str,
    of: usize,
    begun: Instant,
    /// Milliseconds of those that succeeded.
    took: Vec<f64>,
    errors: BTreeMap<String, ErrorKind>,
    /// How many ended in each second, well and badly.
    seconds: Vec<[usize; 2]>,
}

/// Errors of one kind.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ErrorKind {
    pub(super) kind: String,
    pub(super) count: usize,
    /// The first one in full.
    pub(super) example: String,
}

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) event: &'static str,
    /// `download` or `authenticate`.
    pub(super) kind: &'static str,
    /// How many there were to be.
    pub(super) of: usize,
    pub(super) done: usize,
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    /// Whether the user has ended it early.
    pub(super) interrupted: bool,
    pub(super) seconds: f64,
    /// Those that succeeded, in a second.
    pub(super) per_second: f64,
    /// Of those that succeeded; `None` if none has.
    pub(super) milliseconds: Option<Percentiles>,
    pub(super) errors: Vec<ErrorKind>,
    pub(super) histogram: Vec<Bin>,
    /// In each second, how many succeeded and failed.
    pub(super) timeline: Vec<[usize; 2]>,
}

/// Times of which so many of a hundred are not longer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// How many took so long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Bin {
    /// From this many milliseconds,
    pub(super) from: f64,
    /// up to this many.
    pub(super) to: f64,
    pub(super) count: usize,
}

impl Tally {
    pub(super) fn new(kind: &'static str, of: usize) -> Self {
        let (took, errors, seconds) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { kind, of, begun: Instant::now(), took, errors, seconds }
    }

    pub(super) fn take(&mut self, Done { at, took, error, .. }: Done) {
        let second = (at + took).saturating_duration_since(self.begun).as_secs();
        let second = usize::try_from(second).unwrap_or(usize::MAX).min(MOST_SECONDS - 1);
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, [0; 2]);
        }
        let has_failed = error.is_some();
        if let Some(counts) = self.seconds.get_mut(second)
            && let Some(count) = counts.get_mut(usize::from(has_failed))
        {
            *count += 1;
        }
        match error {
            None => self.took.push(took.as_secs_f64() * 1e3),
            Some(error) => {
                let kind = || ErrorKind { kind: printable(&error.kind), count: 0, example: printable(&error.line) };
                self.errors.entry(error.kind.clone()).or_insert_with(kind).count += 1;
            }
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.errors.values().map(|error| error.count).sum()
    }

    pub(super) fn done(&self) -> usize {
        self.took.len() + self.failed()
    }

    pub(super) const fn of(&self) -> usize {
        self.of
    }

    /// One line for a terminal.
    pub(super) fn progress(&self, elapsed: Duration) -> String {
        let (done, of, failed) = (self.done(), self.of, self.failed());
        let rate = per_second(self.took.len(), elapsed);
        format!("{done} of {of}, failed: {failed}, {rate:.1}/s, {:.0} s", elapsed.as_secs_f64())
    }

    pub(super) fn report(mut self, elapsed: Duration, interrupted: bool) -> Report {
        self.took.sort_by(f64::total_cmp);
        let (done, failed) = (self.done(), self.failed());
        let mut errors: Vec<_> = self.errors.into_values().collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        Report {
            event: "report",
            kind: self.kind,
            of: self.of,
            done,
            succeeded: self.took.len(),
            failed,
            interrupted,
            seconds: elapsed.as_secs_f64(),
            per_second: per_second(self.took.len(), elapsed),
            milliseconds: Percentiles::of(&self.took),
            errors,
            histogram: histogram(&self.took),
            timeline: self.seconds,
        }
    }
}

/// Seconds that are told apart: a day and more.
const MOST_SECONDS: usize = 100_000;

#[expect(clippy::cast_precision_loss, reason = "counts of operations are small")]
fn per_second(count: usize, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl Percentiles {
    /// Of sorted times, by nearest rank.
    #[expect(clippy::cast_precision_loss, reason = "counts of operations are small")]
    fn of(sorted: &[f64]) -> Option<Self> {
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let rank = |of_a_hundred: usize| {
            let rank = (sorted.len() * of_a_hundred).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(max)
        };
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Some(Self { min, mean, p50: rank(50), p90: rank(90), p95: rank(95), p99: rank(99), max })
    }
}

/// Classes whose bounds are 1, 2 and 5 times the powers of ten, from the first that has any to the last.
fn histogram(sorted: &[f64]) -> Vec<Bin> {
    let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let mut bounds = vec![0.0];
    bounds.extend((-2..7).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power))));
    bounds.push(f64::MAX);
    let classes = bounds.iter().zip(bounds.iter().skip(1));
    classes
        .filter(|(from, to)| **to > *min && **from <= *max)
        .map(|(&from, &to)| Bin { from, to: to.min(max.max(from)), count: count_within(sorted, from, to) })
        .collect()
}

fn count_within(sorted: &[f64], from: f64, to: f64) -> usize {
    sorted.iter().filter(|took| (from..to).contains(*took)).count()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Characters of the longest bar.
        const WIDTH: usize = 40;
        let Self { kind, of, done, succeeded, failed, seconds, per_second, .. } = self;
        let partial = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "{kind}: {done} of {of}{partial}: {succeeded} succeeded, {failed} failed")?;
        write!(f, "  {seconds:.1} s, {per_second:.1} a second")?;
        if let Some(Percentiles { min, mean, p50, p90, p95, p99, max }) = self.milliseconds {
            write!(
                f,
                "\n  ms: min {min:.1}, mean {mean:.1}, p50 {p50:.1}, p90 {p90:.1}, p95 {p95:.1}, p99 {p99:.1}, max {max:.1}"
            )?;
        }
        let highest = self.histogram.iter().map(|bin| bin.count).max().unwrap_or_default().max(1);
        for Bin { from, to, count } in &self.histogram {
            let bar = "#".repeat((count * WIDTH).div_ceil(highest));
            write!(f, "\n  {from:>8.2} to {to:>8.2} ms  {count:>7}  {bar}")?;
        }
        for ErrorKind { kind, count, example } in &self.errors {
            write!(f, "\n  failed {count} times: {kind}")?;
            if example != kind {
                write!(f, "\n    {example}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::work::Fault;
    use super::*;

    pub(in super::super) fn report(failed: usize, interrupted: bool) -> Report {
        let mut tally = Tally::new("download", 200);
        let eid = identities::Eid::from_octets([0x89; 16]);
        let at = tally.begun;
        for milliseconds in 1..=100 {
            tally.take(Done { eid, at, took: Duration::from_millis(milliseconds), error: None });
        }
        for _ in 0..failed {
            let error = Some(Fault { kind: "refused <by> a\u{1b}[2J server".into(), line: "refused; ask it".into() });
            tally.take(Done { eid, at, took: Duration::from_millis(1_500), error });
        }
        tally.report(Duration::from_secs(4), interrupted)
    }

    #[test]
    fn times_are_told_by_percentiles() {
        let report = report(3, true);
        let told = report.milliseconds.unwrap();
        assert_eq!((told.min, told.p50, told.p90, told.p95, told.p99, told.max), (1.0, 50.0, 90.0, 95.0, 99.0, 100.0));
        assert!((told.mean - 50.5).abs() < 1e-9 && (report.per_second - 25.0).abs() < 1e-9);
        assert_eq!((report.done, report.succeeded, report.failed, report.of), (103, 100, 3, 200));
        assert_eq!(report.histogram.iter().map(|bin| bin.count).sum::<usize>(), 100);
        assert_eq!(report.timeline, [[100, 0], [0, 3]]);
        let text = report.to_string();
        for part in ["103 of 200, interrupted", "p99 99.0", "failed 3 times: refused <by>", "########"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn nothing_is_a_report_as_well() {
        let report = Tally::new("authenticate", 7).report(Duration::ZERO, true);
        assert_eq!((report.done, report.milliseconds), (0, None));
        assert!(report.to_string().starts_with("authenticate: 0 of 7, interrupted"));
        assert!(report.histogram.is_empty());
    }
}
