//! How many files this process may have open: each connection is one, at least.

/// Has the system allow so many, as far as it may; returns how many there may be now.
#[cfg(unix)]
pub(super) fn allow(wanted: u64) -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(now) = limit.current else { return u64::MAX };
    if now >= wanted {
        return now;
    }
    let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
    limit.current = Some(raised);
    if setrlimit(Resource::Nofile, limit).is_ok() { raised } else { now }
}

#[cfg(not(unix))]
pub(super) const fn allow(_: u64) -> u64 {
    u64::MAX
}
