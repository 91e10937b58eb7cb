//! What commands do not write over: what they read, and files that nothing brings back. The one place that knows which options
//! name files to write.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::{Arg, ArgMatches, Command};
use console::Exit;

use crate::failure::Failure;
use crate::subscriber::file::describes_subscriber;
use crate::{package, subscriber};

/// Options that name a file to write. Those of `vuicc apdu decode` name what is read.
pub(crate) const OUTPUTS: [&str; 10] =
    ["trace", "out", "junit", "log-file", "ready-file", "keylog", "chart", "transcript", "qr-file", "batch-log"];
/// The command all of whose files are read.
const READER: [&str; 2] = ["apdu", "decode"];

/// A file as the system knows it, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// One that is there.
    #[cfg(unix)]
    There { device: u64, number: u64 },
    /// One that is to be made, or any on systems that number none.
    Named(PathBuf),
}

impl Identity {
    /// `None` of what is no file: a folder, a device, a pipe.
    fn of(path: &Path) -> Option<Self> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => Some(Self::of_file(path, &found)),
            Ok(_) => None,
            Err(_) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Some(Self::Named(folder.canonicalize().ok()?.join(path.file_name()?)))
            }
        }
    }

    #[cfg(unix)]
    fn of_file(_: &Path, found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self::There { device: found.dev(), number: found.ino() }
    }

    #[cfg(not(unix))]
    fn of_file(path: &Path, _: &Metadata) -> Self {
        Self::Named(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    }
}

/// What this command reads, each with what names it.
static INPUTS: Mutex<Vec<(Identity, String)>> = Mutex::new(Vec::new());

/// Notes that this command reads a file that no argument names: one that a script includes.
pub(crate) fn is_read(path: &Path, what: &str) {
    if let Some(identity) = Identity::of(path) {
        INPUTS.lock().unwrap_or_else(PoisonError::into_inner).push((identity, what.to_owned()));
    }
}

/// What this command was asked to write, each with its option.
static WRITTEN: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());

/// Checks the files that this command writes once more, now that all it reads is known.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_again() -> Result<(), Failure> {
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    written.iter().try_for_each(|(option, path)| console::file::spare(path, option))
}

/// What would be lost if a command wrote over this file: for [`console::file::guard`].
pub(crate) fn kept(path: &Path) -> Option<String> {
    let identity = Identity::of(path)?;
    let inputs = INPUTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, what)) = inputs.iter().find(|(input, _)| *input == identity) {
        return Some(format!("is what this command reads ({what})"));
    }
    drop(inputs);
    of_lasting_value(path).map(|kind| format!("is {kind}"))
}

/// What a file is that people make once, and nothing makes again.
fn of_lasting_value(path: &Path) -> Option<&'static str> {
    /// Descriptions and packages are smaller.
    const LARGEST: u64 = 1 << 20;
    const DATABASE: &[u8] = b"SQLite format 3\0";
    if package::is_card_image(path) {
        return Some("a card image");
    }
    let length = std::fs::metadata(path).ok()?.len();
    let beginning = beginning(path, DATABASE.len())?;
    if beginning == DATABASE {
        return Some("a database");
    }
    if beginning.starts_with(b"-----BEGIN ") {
        return Some("a key or a certificate");
    }
    if length > LARGEST {
        return None;
    }
    let octets = zeroize::Zeroizing::new(std::fs::read(path).ok()?);
    let Ok(text) = str::from_utf8(&octets) else {
        return package::check(&octets).is_ok().then_some("a profile package");
    };
    if describes_subscriber(path) && subscriber::file::read(path).is_ok() {
        return Some("a subscriber");
    }
    if text.trim().len() == 64 && text.trim().bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Some("a master key");
    }
    // Descriptions of subscribers, cards and servers, secrets of scripts: also where they have a mistake or another name.
    let described: Result<toml::Table, _> = toml::from_str(text);
    described.is_ok_and(|table| !table.is_empty()).then_some("a description in TOML")
}

fn beginning(path: &Path, length: usize) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut octets = Vec::new();
    std::fs::File::open(path).ok()?.take(u64::try_from(length).ok()?).read_to_end(&mut octets).ok()?;
    Some(octets)
}

const STDOUT: &str = "stdout";

/// A file that the command line names.
struct Named {
    /// The option or the argument, as users know it.
    option: String,
    path: PathBuf,
    is_written: bool,
}

/// Refuses a command line that writes to where something is that it reads or that lasts, twice to one file, or to where no file
/// can be; before anything is done.
///
/// # Errors
/// What is wrong, with the exit code of a wrong command line.
pub(crate) fn check(command: &Command, matches: &ArgMatches) -> Result<(), Failure> {
    let (written, read): (Vec<_>, Vec<_>) = named(command, matches).into_iter().partition(|file| file.is_written);
    for file in read {
        if file.path.is_file() {
            is_read(&file.path, &file.option);
        }
    }
    // Of streams only those that are files.
    is_read(Path::new("/dev/stdin"), "stdin");
    let mut before: Vec<(Identity, &str)> = Vec::new();
    before.extend(Identity::of(Path::new("/dev/stdout")).map(|stdout| (stdout, STDOUT)));
    for Named { option, path, .. } in &written {
        possible(option, path)?;
        console::file::spare(path, option)?;
        let Some(identity) = Identity::of(path) else { continue };
        // What is printed goes there.
        let is_log = option == "--log-file";
        if let Some((_, other)) = before.iter().find(|(other, name)| *other == identity && !(is_log && *name == STDOUT))
        {
            let told = format!("{option} and {other} both write to {}; name two files", path.display());
            return Err(Failure::because(told).with(Exit::Usage));
        }
        before.push((identity, option));
    }
    let written = written.iter().map(|file| (file.option.clone(), file.path.clone()));
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).extend(written);
    Ok(())
}

/// Refuses a folder, and a file in a folder that is not there.
fn possible(option: &str, path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    let told = match folder {
        _ if path.is_dir() => format!("{option}: {} is a folder; name a file", path.display()),
        Some(folder) => {
            format!("{option}: cannot write {}: there is no folder {}: make it first", path.display(), folder.display())
        }
        None => return Ok(()),
    };
    Err(Failure::because(told).with(Exit::Usage))
}

/// All values on the command line that may name files.
fn named(command: &Command, matches: &ArgMatches) -> Vec<Named> {
    let mut levels = vec![(command, matches)];
    let mut names = Vec::new();
    let (mut command, mut matches) = (command, matches);
    while let Some((name, below)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else { break };
        (command, matches) = (found, below);
        names.push(name);
        levels.push((command, matches));
    }
    let files = |(command, own): (&Command, &ArgMatches)| {
        let of = |argument: &Arg| {
            // What every command takes stands with the last one.
            let given = if argument.is_global_set() { matches } else { own };
            let values = given.try_get_raw(argument.get_id().as_str()).ok().flatten();
            let is_written = is_output(&names, argument);
            let file = |value: &std::ffi::OsStr| Named { option: told(argument), path: value.into(), is_written };
            // A stream is no file, nor is an address.
            let is_file = |value: &&std::ffi::OsStr| *value != "-" && !value.is_empty() && !is_address(value);
            values.into_iter().flatten().filter(is_file).map(file).collect::<Vec<_>>()
        };
        command.get_arguments().flat_map(of).collect::<Vec<_>>()
    };
    levels.into_iter().flat_map(files).collect()
}

fn is_address(value: &std::ffi::OsStr) -> bool {
    value.to_string_lossy().starts_with(crate::trace::GSMTAP)
}

fn is_output(command: &[&str], argument: &Arg) -> bool {
    command != READER && argument.get_long().is_some_and(|long| OUTPUTS.contains(&long))
}

fn told(argument: &Arg) -> String {
    match (argument.get_long(), argument.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([name, ..])) => name.to_string(),
        _ => argument.get_id().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser as _};

    use super::*;
    use crate::Cli;

    #[test]
    fn what_nothing_brings_back_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str, octets: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, octets).unwrap();
            of_lasting_value(&path)
        };
        assert_eq!(kind("a.img", b"redb\x1A\x0A\xA9\x0D\x0A"), Some("a card image"));
        assert_eq!(kind("a.db", b"SQLite format 3\0\x10\x00"), Some("a database"));
        assert_eq!(kind("a.pem", b"-----BEGIN PRIVATE KEY-----\n"), Some("a key or a certificate"));
        assert_eq!(kind("a.key", &[b'0'; 64]), Some("a master key"));
        let key = saip::builder::Key::new(&[1; 16]);
        let subscriber = saip::builder::Subscriber::new("8988211000000000011", "001010000000001", key.clone(), key);
        let package = saip::encode_package(&saip::builder::build(&subscriber).unwrap());
        assert_eq!(kind("a.der", &package), Some("a profile package"));
        for toml in ["imsi = \"001010000000001\"", "[isd_r]\naids = []", "[pins]\npin1 = \"1234\""] {
            assert_eq!(kind("a.toml", toml.as_bytes()), Some("a description in TOML"), "{toml}");
        }
        let json = br#"{ "iccid": "8988211000000000011", "imsi": "001010000000001",
            "key": "465b5ce8b199b49faa5f0a2ee238a6bc", "opc": "cd63cb71954a9f4e48a5994e37a02baf" }"#;
        assert_eq!(kind("anna.json", json), Some("a subscriber"));
        // What commands write themselves, and write again.
        for ours in [
            &b""[..],
            b"> 00A40004023F00\n< 9000\n",
            br#"{"pid":1,"version":"0","cards":[]}"#,
            b"<?xml version=\"1.0\"?>\n<testsuites/>",
            b"\x0A\x0D\x0D\x0A\x1C\0\0\0",
            b"sequenceDiagram\n  a->>b: c\n",
            b"# session keys\nBSP 00 11\n",
            b"ready: a.img in Virtual PCD 00 00 (process 7)\n",
        ] {
            assert_eq!(kind("ours", ours), None, "{}", String::from_utf8_lossy(ours));
        }
    }

    fn checked(arguments: &str) -> Result<(), String> {
        let words = std::iter::once("vuicc").chain(arguments.split(' '));
        let matches = Cli::command().try_get_matches_from(words.clone()).unwrap();
        assert!(Cli::try_parse_from(words).is_ok(), "{arguments}");
        let files = named(&Cli::command(), &matches);
        let outcome = check(&Cli::command(), &matches);
        // Other tests have files of the same name.
        INPUTS.lock().unwrap().clear();
        WRITTEN.lock().unwrap().clear();
        let told = |failure: Failure| match failure {
            Failure::Because(cause) => {
                assert_eq!(cause.exit(), Exit::Usage);
                cause.to_string()
            }
            Failure::Told(_) => unreachable!(),
        };
        assert!(!files.is_empty());
        outcome.map_err(told)
    }

    #[test]
    fn a_command_line_does_not_write_over_what_it_reads() {
        console::file::guard(kept);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (script, link, new) = (at("a.apdu"), at("b.apdu"), at("new"));
        std::fs::write(&script, "reset\n> 00A40004023F00\n").unwrap();
        std::fs::hard_link(&script, &link).unwrap();
        for wrong in [
            format!("apdu run {script} --trace {script}"),
            format!("apdu run {script} --junit {link}"),
            format!("apdu record {script} -o {link}"),
            format!("apdu convert {script} --out {script}"),
            format!("apdu replay {script} --ready-file {script}"),
            format!("apdu replay {script} --log-file {script}"),
            format!("apdu proxy --card {script} --out {script}"),
        ] {
            let told = checked(&wrong).unwrap_err();
            assert!(told.contains("is what this command reads (") && told.contains("; name another file"), "{told}");
        }
        let twice = checked(&format!("apdu run {script} --trace {new} --junit {new}")).unwrap_err();
        assert!(twice.contains("both write to") && twice.contains("--junit") && twice.contains("--trace"), "{twice}");
        let nowhere = checked(&format!("apdu run {script} --junit {new}/x")).unwrap_err();
        assert!(nowhere.contains("there is no folder"), "{nowhere}");
        let a_folder = checked(&format!("apdu run {script} --junit {}", folder.path().display())).unwrap_err();
        assert!(a_folder.contains("is a folder"), "{a_folder}");
        for right in [
            format!("apdu run {script} --trace {new}"),
            format!("apdu run {script} --trace gsmtap:127.0.0.1 --junit {new}"),
            format!("apdu decode {script} --keylog {script}"),
            format!("apdu run {script} --trace /dev/null --junit /dev/null"),
        ] {
            assert_eq!(checked(&right), Ok(()), "{right}");
        }
    }
}
