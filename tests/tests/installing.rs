//! What is said where something that installing needs is missing, and that what is installed beside the program is there.

use std::fs;
use std::process::Command;

use vuicc_tests::process::run;
use vuicc_tests::repository;
use vuicc_tests::vuicc::command;

/// One line each, with the way out, before anything is built.
#[test]
fn dist_names_what_is_missing() {
    for (arguments, expected) in [
        (&["--glibc"][..], "dist: --glibc which?"),
        (
            &["--target", "sparc64-unknown-netbsd"],
            "dist: Rust's library for sparc64-unknown-netbsd is missing: rustup target",
        ),
        (&["--glibc", "2.31", "--target", "x86_64-unknown-linux-musl"], "dist: x86_64-unknown-linux-musl has no glibc"),
        (&["--rpm"], "dist: unknown option --rpm; see scripts/dist --help"),
    ] {
        let refused = run(Command::new(repository().join("scripts/dist")).args(arguments));
        assert_ne!(refused.code(), Some(0), "{arguments:?}");
        assert!(refused.stderr.starts_with(expected), "{arguments:?}: {}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
    let help = run(Command::new(repository().join("scripts/dist")).arg("--help")).success().stdout;
    assert!(help.contains("--glibc 2.31") && !help.contains("set -eu"), "{help}");
}

/// So do those that make a wheel and a container.
#[test]
fn wheel_and_container_name_what_is_wrong() {
    for (script, arguments, expected) in [
        ("wheel", &["--glibc"][..], "wheel: --glibc which?"),
        ("wheel", &["--fast"], "wheel: unknown option --fast; see scripts/wheel --help"),
        ("container", &["--suite"], "container: --suite which?"),
        ("container", &["--program", "/nowhere/vuicc"], "container: there is no program /nowhere/vuicc"),
        ("container", &["--push"], "container: unknown option --push; see scripts/container --help"),
    ] {
        let refused = run(Command::new(repository().join("scripts").join(script)).args(arguments));
        assert_ne!(refused.code(), Some(0), "{script} {arguments:?}");
        assert!(refused.stderr.starts_with(expected), "{script} {arguments:?}: {}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
        let help = run(Command::new(repository().join("scripts").join(script)).arg("--help")).success().stdout;
        assert!(help.contains(&format!("scripts/{script} --")) && !help.contains("set -eu"), "{help}");
    }
}

/// As a package is made: pages into a folder, a completion script to stdout, both by the program itself.
#[test]
fn pages_and_completions_come_from_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let (state, pages) = (folder.path().join("state"), folder.path().join("share/man/man1"));
    assert_eq!(run(command(&state, ["generate", "man"]).arg(&pages)).code(), Some(0));
    let page = fs::read_to_string(pages.join("vuicc-lpa-profile-download.1")).unwrap();
    assert!(page.contains("vuicc-lpa-profile-download"), "{page}");
    let script = run(&mut command(&state, ["generate", "completions", "zsh"])).success().stdout;
    assert!(script.starts_with("#compdef vuicc"), "{script}");
    assert!(!state.exists(), "nothing is kept for that");
}

/// The version as bug reports tell it.
#[test]
fn the_version_is_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let told = run(&mut command(folder.path(), ["--version"])).success().stdout;
    let version = told.trim_end().strip_prefix("vuicc ").and_then(|rest| rest.split(' ').next());
    assert_eq!(version, Some(env!("CARGO_PKG_VERSION")), "{told}");
}
