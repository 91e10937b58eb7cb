//! Where scripts come from: files in our language, files of scriptor, recorded sessions.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use apdu::{Class, counted};
pub(super) use capture::SOME_SECRET;
use capture::{Origin, Session, What};
use clap::{Args, ValueEnum};
use console::Exit;
use reader_bridge::script::{
    Included, Mode, Recorder, Run, RunError, SHORTEST_SECRET, Script, ScriptError, Scriptor, Variables, is_scriptor,
};
use reader_bridge::trace::{Event, Observer};

use super::secrets;
use crate::failure::{AtPath, Failure};
use crate::output::tell;
use crate::{Context, hexadecimal};

/// Scripts and their variables.
#[derive(Debug, Args)]
pub(super) struct Scripts {
    /// Scripts to run, in this order; `-` is stdin. Files of scriptor and recorded sessions (traces, APDU logs of lpac and
    /// pySim, pcap with GSMTAP) are scripts too
    #[arg(value_name = "SCRIPT", required = true)]
    paths: Vec<PathBuf>,
    /// Set a variable; overrides the script's own `set`
    #[arg(long = "set", value_name = "NAME=HEX", value_parser = assignment)]
    variables: Vec<(String, Vec<u8>)>,
    /// PINs and keys that the scripts use, in TOML: `[pins]` with digits, `[keys]` with hexadecimal. They are not shown,
    /// recorded or traced
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

/// What becomes of the responses in a recorded session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Expect {
    /// The card has to give the same
    #[default]
    Recorded,
    /// They are shown only
    None,
}

/// A script and its name.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) script: Script,
}

impl Scripts {
    /// The files.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads them all, before any is played.
    pub(super) fn load(&self, expect: Expect, context: &Context) -> Result<Vec<Loaded>, Failure> {
        let scripts = self.paths.iter().map(|path| load(path, expect, context)).collect::<Result<Vec<_>, _>>()?;
        for (index, path) in self.paths.iter().enumerate() {
            if path == Path::new("-") && self.paths.iter().skip(index + 1).any(|other| other == path) {
                return Err(Failure::because("stdin is named twice (`-`), and can be read once").with(Exit::Usage));
            }
        }
        crate::spared::check_again()?;
        Ok(scripts)
    }

    /// The variables as the user gives them, with those that `scripts` keep secret.
    pub(super) fn variables(&self, scripts: &[Loaded]) -> Result<Variables, Failure> {
        let mut variables = Variables::new();
        if let Some(path) = &self.secrets {
            secrets::read(path, &mut variables)?;
        }
        variables.extend(self.variables.iter().cloned());
        let declared = scripts.iter().flat_map(|loaded| loaded.script.secrets());
        for name in declared.chain([SOME_SECRET]) {
            if let Some(value) = variables.get(name).filter(|value| value.len() < SHORTEST_SECRET) {
                let cause = format!(
                    "the secret `{name}` has {}, and needs {SHORTEST_SECRET}: a shorter one cannot be found to be hidden",
                    counted(value.len(), "byte")
                );
                return Err(Failure::because(cause).with(Exit::Usage));
            }
            variables.keep_secret(name);
        }
        Ok(variables)
    }

    /// The same, and every script has what it needs: nothing is sent to a card before.
    pub(super) fn checked(&self, scripts: &[Loaded]) -> Result<Variables, Failure> {
        let variables = self.variables(scripts)?;
        for loaded in scripts {
            Run::new(&loaded.script, variables.clone()).check().map_err(wrong_run)?;
        }
        Ok(variables)
    }
}

/// A script that lacks something.
pub(super) fn wrong_run(error: RunError) -> Failure {
    Failure::from(error).with(Exit::Input)
}

pub(crate) fn assignment(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=HEX, as in pin=31323334FFFFFFFF")?;
    Ok((name.to_owned(), hexadecimal::parse(value)?))
}

/// What a file holds.
pub(super) enum Source {
    Script(String),
    Scriptor(Scriptor),
    Session(Session),
}

/// Reads a file and finds out what it is.
pub(super) fn read(path: &Path, context: &Context) -> Result<Source, Failure> {
    let mut octets = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut octets).map(drop)
    } else {
        std::fs::read(path).map(|read| octets = read)
    }
    .map_err(|error| unreadable(error, path))?;
    let Ok(text) = String::from_utf8(octets.clone()) else { return session(&octets, path) };
    let is_named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("scriptor"));
    if is_named || is_scriptor(&text) {
        let scriptor = Scriptor::parse(&path.to_string_lossy(), &text).map_err(|error| wrong(error, context))?;
        return Ok(Source::Scriptor(scriptor));
    }
    if is_log(&text) { session(&octets, path) } else { Ok(Source::Script(text)) }
}

fn unreadable(error: std::io::Error, path: &Path) -> Failure {
    if error.kind() != ErrorKind::NotFound {
        return Err::<(), _>(error).at("read the script", path).err().unwrap_or(Failure::Told(Exit::Input));
    }
    let shipped = "those that come with vuicc are in scripts/apdu of its source";
    Failure::because(format!("cannot read the script {}: {error}; give the path to one ({shipped})", path.display()))
        .with(Exit::Input)
}

/// Whether a text is the log of a program rather than a script: capture reads it, and its first line begins as none of a
/// script does.
fn is_log(text: &str) -> bool {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let begins = |line: &str| line.starts_with(['{', '[', '-', '<']);
    let mut lines = lines.take(100);
    let first = lines.next().is_some_and(begins);
    (first || !text.lines().any(|line| line.trim_start().starts_with('>'))) && capture::read(text.as_bytes()).is_ok()
}

fn session(octets: &[u8], path: &Path) -> Result<Source, Failure> {
    if crate::package::is_card_image(path) {
        let path = path.display();
        let cause = format!("{path} is a card image, not a script; give the script, and the image with --card {path}");
        return Err(Failure::because(cause).with(Exit::Input));
    }
    let read = capture::read(octets).map(Source::Session);
    read.map_err(|error| {
        let cause = format!("{} is no script (docs/apdu-scripts.md) and no recorded session: {error}", path.display());
        Failure::because(cause).with(Exit::Input)
    })
}

/// A script that is wrong: for people with its line and a mark under the place.
fn wrong(error: ScriptError, context: &Context) -> Failure {
    let Some(excerpt) = error.excerpt().filter(|_| !context.output.is_json()) else { return error.into() };
    tell(&format!("vuicc: {error}"));
    for line in excerpt {
        tell(&format!("    {line}"));
    }
    Failure::Told(Exit::Input)
}

fn load(path: &Path, expect: Expect, context: &Context) -> Result<Loaded, Failure> {
    let name = path.to_string_lossy().into_owned();
    let text = match read(path, context)? {
        Source::Scriptor(scriptor) => {
            return Ok(Loaded { script: scriptor.script().map_err(|error| wrong(error, context))?, name });
        }
        Source::Script(text) => text,
        Source::Session(session) => script_of(&session, expect, Mode::Auto),
    };
    let mut include = |from: &str, included: &str| {
        let path = Path::new(from).parent().unwrap_or(Path::new("")).join(included);
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        crate::spared::is_read(&path, included);
        Ok(Included { name: path.to_string_lossy().into_owned(), text })
    };
    let script = Script::parse(&name, &text, &mut include).map_err(|error| wrong(error, context))?;
    Ok(Loaded { name, script })
}

/// The script that sends what was sent in a session.
pub(super) fn script_of(session: &Session, expect: Expect, mode: Mode) -> String {
    let mut recorder = Recorder::new(mode);
    if expect == Expect::None {
        recorder = recorder.showing();
    }
    if !matches!(session.events.first().map(|event| &event.what), Some(What::Reset { .. })) {
        // What came before is not known; every run of the script begins alike.
        recorder.observe(Event::PowerOn { atr: &[] });
    }
    for event in &session.events {
        recorder.observe(Event::of(event));
    }
    let script = recorder.into_script();
    match channel_of_lpac(session) {
        Some(channel) => opening(&script, channel),
        None => script,
    }
}

/// Whether anything in it shows that a card was there: a script without expectations has commands, too.
pub(super) fn is_recorded(session: &Session) -> bool {
    let shows = |what: &What| match what {
        What::Reset { atr, .. } => !atr.is_empty(),
        What::PowerOff | What::Failed { .. } => true,
        What::Exchange { response, .. } => !response.is_empty(),
    };
    session.events.iter().any(|event| shows(&event.what))
}

/// The channel that the log of lpac uses and does not open: it has the commands to the ISD-R alone.
pub(super) fn channel_of_lpac(session: &Session) -> Option<u8> {
    let first = session.events.iter().find_map(|event| match &event.what {
        What::Exchange { command, .. } => command.first(),
        _ => None,
    })?;
    let channel = Class::parse(*first)?.channel();
    (session.origin == Origin::LpacLog && channel > 0).then_some(channel)
}

/// `script` with what lpac sends before its log begins, behind the first reset.
fn opening(script: &str, channel: u8) -> String {
    let mut text = String::new();
    let mut is_open = false;
    for line in script.lines() {
        text.push_str(line);
        text.push('\n');
        if !is_open && line.starts_with("reset") {
            is_open = true;
            text.push_str("# What lpac sends before its log begins: it opens a channel and selects the ISD-R there.\n");
            for number in 1..=channel {
                // Writing to a string does not fail.
                let _ = writeln!(text, "> 0070000001\n< {number:02X} 9000");
            }
            let _ = writeln!(text, "> {channel:02X}A40400 #(A0000005591010FFFFFFFF8900000100) 00\n< .. 9000 | 61??");
        }
    }
    text
}
