//! On how many processors something is measured.

use std::error::Error;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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
