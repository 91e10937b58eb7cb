//! Fair measurement: candidates take turns, and the median of each counts.

use std::time::{Duration, Instant};

/// Runs each candidate `rounds` times, in turn, so that whatever else the machine does strikes all alike; the median of
/// each. A first round, to get warm, does not count.
pub(crate) fn medians<const N: usize>(rounds: usize, mut candidates: [&mut dyn FnMut() -> f64; N]) -> [f64; N] {
    let mut results = [const { Vec::new() }; N];
    for round in 0..=rounds {
        for (candidate, results) in candidates.iter_mut().zip(&mut results) {
            let value = candidate();
            if round > 0 {
                results.push(value);
            }
        }
    }
    results.map(median)
}

/// How often per second `step` was done, `times` in a row.
pub(crate) fn per_second(times: u32, mut step: impl FnMut()) -> f64 {
    f64::from(times) / took(|| (0..times).for_each(|_| step())).as_secs_f64()
}

/// How long `work` took.
pub(crate) fn took(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_rounds_that_count() {
        let mut values = [900.0, 3.0, 1.0, 2.0].into_iter();
        let mut other = || 7.0;
        let medians = medians(3, [&mut || values.next().unwrap(), &mut other]);
        assert_eq!(medians.map(|median| median.to_string()), ["2", "7"]);
    }
}
