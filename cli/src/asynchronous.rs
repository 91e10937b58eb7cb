//! Running asynchronous tasks: servers, virtual readers, downloads.

use std::future::Future;

use tokio::runtime::Runtime;

use crate::failure::Failure;

/// Runs a task to completion.
pub(crate) fn run<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(task)
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// A task that the user or the system may ask to stop, from the moment this is made: what is left behind has to be removed from
/// then on.
#[derive(Debug)]
pub(crate) struct Stoppable {
    runtime: Runtime,
    signals: Signals,
}

impl Stoppable {
    /// From here on signals do not end the process.
    pub(crate) fn begin() -> Result<Self, Failure> {
        Self::on(runtime()?)
    }

    /// The same, on this thread alone: for a task that waits for one thing after the other, which no second thread has to be woken
    /// for.
    pub(crate) fn begin_alone() -> Result<Self, Failure> {
        Self::on(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
    }

    fn on(runtime: Runtime) -> Result<Self, Failure> {
        let signals = {
            let _here = runtime.enter();
            Signals::caught()?
        };
        Ok(Self { runtime, signals })
    }

    /// Runs a task that is told of signals to completion.
    pub(crate) fn run<T>(mut self, task: impl AsyncFnOnce(&mut Signals) -> Result<T, Failure>) -> Result<T, Failure> {
        self.runtime.block_on(task(&mut self.signals))
    }
}

/// Completes when the user or the system asks the process to stop.
pub(crate) async fn interrupted() {
    match Signals::caught() {
        Ok(mut signals) => signals.received().await,
        // The system ends the process by itself.
        Err(_) => std::future::pending().await,
    }
}

/// Signals that ask a process to stop: Ctrl-C, SIGTERM, and SIGHUP when its terminal is closed.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    kinds: Vec<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn caught() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut kinds = vec![signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        // One that was started by nohup(1) outlives its terminal.
        if !is_hangup_ignored() {
            kinds.push(signal(SignalKind::hangup())?);
        }
        Ok(Self { kinds })
    }

    /// Completes with the first one, though it came before.
    pub(crate) async fn received(&mut self) {
        std::future::poll_fn(|context| {
            let is_there = self.kinds.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if is_there { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// Whether this process was told to ignore SIGHUP, where the system says so: proc_pid_status(5).
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

#[cfg(unix)]
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is number 1, the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
impl Signals {
    fn caught() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Completes with the first one.
    pub(crate) async fn received(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_does_is_seen() {
        assert!(ignores_hangup("Name:\tvuicc\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!ignores_hangup("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
