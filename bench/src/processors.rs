//! On how many processors something is measured.

use std::error::Error;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::figure::Figure;
use crate::rounds::median;

/// Processors that everything of a measurement of many at once runs on together.
const PROCESSORS: usize = 2;

/// Measures on [`PROCESSORS`]: this thread, and those it starts, may run on as many until `measure` has ended.
pub(crate) fn on_two<T>(measure: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
    let before = sched_getaffinity(None)?;
    for processor in 0..CpuSet::MAX_CPU {
        let mut wider = sched_getaffinity(None)?;
        if wider.count() as usize >= PROCESSORS {
            break;
        }
        wider.set(processor);
        // Of those that are not there, or not for us, the kernel takes no notice.
        sched_setaffinity(None, &wider)?;
    }
    let measured = measure();
    sched_setaffinity(None, &before)?;
    measured
}

/// What many at once cost, round by round: both ends and the cards are in this process, so its processor time is all of it.
#[derive(Default)]
pub(crate) struct Effort {
    milliseconds_each: Vec<f64>,
    busy: Vec<f64>,
}

impl Effort {
    /// Lets `work` do something `times`, and gives how often a second it was done.
    pub(crate) fn rate<T>(
        &mut self,
        times: u32,
        work: impl FnOnce() -> Result<T, Box<dyn Error>>,
    ) -> Result<f64, Box<dyn Error>> {
        let (began, before) = (Instant::now(), processor_seconds());
        work()?;
        let (wall, processors) = (began.elapsed().as_secs_f64(), processor_seconds() - before);
        self.milliseconds_each.push(processors * 1e3 / f64::from(times));
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        self.busy.push(processors * 100.0 / wall / PROCESSORS as f64);
        Ok(f64::from(times) / wall)
    }

    /// The processor time of one, and how busy both processors were: the medians of all rounds but the first.
    pub(crate) fn figures(self, each: &'static str, busy: &'static str) -> [Figure; 2] {
        let counted = |values: Vec<f64>| median(values.into_iter().skip(1).collect());
        [Figure::new(each, counted(self.milliseconds_each), "ms"), Figure::new(busy, counted(self.busy), "%")]
    }
}

/// User and system time of all threads of this process so far.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}
