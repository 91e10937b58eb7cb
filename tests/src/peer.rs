//! Foreign programs: found, or missed aloud.

use std::env;
use std::io::Write;
use std::path::PathBuf;

/// Says something that is seen also when the test passes.
pub fn say(what: &str) {
    // The test harness captures what `eprintln!` prints, not what is written here.
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Says that a test cannot be done here, and why.
///
/// # Panics
/// If `VUICC_PEERS` is `required`.
pub fn skip(test: &str, why: &str) {
    assert!(
        env::var("VUICC_PEERS").as_deref() != Ok("required"),
        "{test}: {why}, and VUICC_PEERS says it must be there"
    );
    say(&format!("{test} ... skipped: {why}"));
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
/// If it names something that is not there.
pub fn named_by(variable: &str, what: &str) -> Option<PathBuf> {
    let Some(path) = env::var_os(variable).map(PathBuf::from) else {
        say(&format!("{what} ... skipped: {variable} does not say where it is"));
        return None;
    };
    assert!(path.exists(), "{variable} names {}, which is not there", path.display());
    // Links stay: a Python environment is known by the name of its interpreter.
    std::path::absolute(path).ok()
}
