//! Fair measurement: candidates take turns, and the median of each counts.

use std::error::Error;
use std::time::{Duration, Instant};

/// One way of doing something; gives what it measured.
pub(crate) type Candidate<'a> = &'a mut dyn FnMut() -> Result<f64, Box<dyn Error>>;

/// Runs each candidate `rounds` times, in turn, so that whatever else the machine does strikes all alike; the median of
/// each. A first round, to get warm, does not count.
pub(crate) fn medians<const N: usize>(
    rounds: usize,
    mut candidates: [Candidate<'_>; N],
) -> Result<[f64; N], Box<dyn Error>> {
    let mut results = [const { Vec::new() }; N];
    for round in 0..=rounds {
        for (candidate, results) in candidates.iter_mut().zip(&mut results) {
            let value = candidate()?;
            if round > 0 {
                results.push(value);
            }
        }
    }
    Ok(results.map(median))
}

/// How often per second `step` was done, `times` in a row.
pub(crate) fn per_second(times: u32, mut step: impl FnMut()) -> f64 {
    f64::from(times) / took(|| (0..times).for_each(|_| step())).0.as_secs_f64()
}

/// How long `work` took, and what it gave.
pub(crate) fn took<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_rounds_that_count() {
        let mut values = [900.0, 3.0, 1.0, 2.0].into_iter();
        let medians = medians(3, [&mut || Ok(values.next().unwrap()), &mut || Ok(7.0)]).unwrap();
        assert_eq!(medians.map(|median| median.to_string()), ["2", "7"]);
    }
}
