//! Foreign programs: found, or missed aloud.
//!
//! The variable `VUICC_PEERS` says whose absence is a failure:
//!
//! ```text
//! not set     nobody's; it is said what was skipped, and why
//! packaged    of those that Debian or a package index has
//! required    of all, also of those that have to be fetched and named by a variable
//! ```

use std::env;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;

use crate::process::run;

/// Says something that is seen also when the test passes.
pub fn say(what: &str) {
    // The test harness captures what `eprintln!` prints, not what is written here.
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Variables that name programs which neither Debian nor a package index has.
const FETCHED: [&str; 8] =
    ["LPAC", "ONOMONDO_UICC", "OPENPILOT_LPA", "PYSIM", "PYSIM_PYTHON", "REMSIM", "SIM_READER", "SRSRAN"];

/// Says that a test cannot be done here, and why.
///
/// # Panics
/// If `VUICC_PEERS` is set.
pub fn skip(test: &str, why: &str) {
    skip_unless(test, why, false);
}

/// Does a test of a program whose own time limits cannot be set: a busy machine exceeds them now and then. The test is done anew,
/// with nothing left of the try before, up to three times.
///
/// # Panics
/// If it fails three times.
pub fn up_to_three_times(test: impl Fn()) {
    for tried in ["once", "twice"] {
        if catch_unwind(AssertUnwindSafe(&test)).is_ok() {
            return;
        }
        say(&format!("... failed {tried}, and is tried again"));
    }
    test();
}

/// The same for lack of something that goes with a program which has to be fetched.
///
/// # Panics
/// If `VUICC_PEERS` is `required`.
pub fn skip_fetched(test: &str, why: &str) {
    skip_unless(test, why, true);
}

/// The same for lack of what the kernel gives or does not give: that is no program somebody has forgotten, so it never is a
/// failure.
pub fn skip_without_kernel(test: &str, why: &str) {
    say(&format!("{test} ... skipped: {why}"));
}

/// `unshare`, which runs its program with mounts of its own, or `None`, said aloud, where the kernel gives none.
///
/// # Panics
/// If `unshare` is missing, or a temporary folder cannot be made.
pub fn own_mounts(test: &str) -> Option<Command> {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount"]);
        unshare
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let probe = run(unshare().args(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path()));
    if probe.code() != Some(0) {
        skip_without_kernel(test, &format!("no user namespace with mounts: {}", probe.stderr.trim()));
        return None;
    }
    Some(unshare())
}

fn skip_unless(test: &str, why: &str, fetched: bool) {
    let peers = env::var("VUICC_PEERS").ok();
    assert!(!must_be_there(peers.as_deref(), fetched), "{test}: {why}, and VUICC_PEERS says it must be there");
    say(&format!("{test} ... skipped: {why}"));
}

/// Whether the absence of a program is a failure where `VUICC_PEERS` is this.
fn must_be_there(peers: Option<&str>, fetched: bool) -> bool {
    match peers {
        None | Some("") => false,
        Some("packaged") => !fetched,
        Some("required") => true,
        Some(other) => panic!("VUICC_PEERS is {other:?}; it may be packaged or required"),
    }
}

/// Where a program of the machine is; system folders count, whatever PATH says.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), "/usr/bin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where a program of a Debian package is, or `None`, said aloud.
pub fn debian(name: &str, package: &str) -> Option<PathBuf> {
    let found = program(name);
    if found.is_none() {
        skip(name, &format!("not installed; apt install {package}"));
    }
    found
}

/// What an environment variable names, or `None`, said aloud.
///
/// # Panics
/// If it names something that is not there, or nothing that has to be there.
pub fn named_by(variable: &str, what: &str) -> Option<PathBuf> {
    let Some(path) = env::var_os(variable).map(PathBuf::from) else {
        skip_unless(what, &format!("{variable} does not say where it is"), FETCHED.contains(&variable));
        return None;
    };
    assert!(path.exists(), "{variable} names {}, which is not there", path.display());
    // Links stay: a Python environment is known by the name of its interpreter.
    std::path::absolute(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_a_failure_where_that_is_asked_for() {
        for (peers, packaged, fetched) in [
            (None, false, false),
            (Some(""), false, false),
            (Some("packaged"), true, false),
            (Some("required"), true, true),
        ] {
            assert_eq!([must_be_there(peers, false), must_be_there(peers, true)], [packaged, fetched], "{peers:?}");
        }
        assert!(std::panic::catch_unwind(|| must_be_there(Some("requird"), true)).is_err());
    }
}
