//! How a command fails: one line on stderr with cause and way out, and a nonzero exit code.

use std::error::Error;
use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::iter;
use std::ops::Deref;
use std::process::ExitCode;
use std::sync::OnceLock;

use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Output, tell};

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// Cause and way out, to be printed.
    Because(Cause),
    /// Everything has been printed already; what the exit code says.
    Told(Exit),
}

/// Cause and way out of a failure: one line, which it derefs to, and for programs what the line is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    line: String,
    message: String,
    causes: Vec<String>,
    help: Option<String>,
    exit: Exit,
}

impl Cause {
    fn new(message: String, causes: Vec<String>, help: Option<&str>, exit: Exit) -> Self {
        let mut line = message.clone();
        for cause in causes.iter().filter(|cause| !message.contains(*cause)) {
            // Writing to a string does not fail.
            let _ = write!(line, ": {cause}");
        }
        line.push_str(help.unwrap_or_default());
        let help = help.map(|help| help.trim_start_matches([';', ',', ':', '.', ' ']).to_owned());
        Self { line, message, causes, help, exit }
    }

    /// What the exit code says.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The same cause in the words of `line`.
    #[must_use]
    pub fn reworded(self, line: String) -> Self {
        Self { message: line.clone(), line, ..self }
    }
}

impl From<String> for Cause {
    fn from(line: String) -> Self {
        Self::new(line, Vec::new(), None, Exit::Failed)
    }
}

impl From<Cause> for String {
    fn from(cause: Cause) -> Self {
        cause.line
    }
}

impl Deref for Cause {
    type Target = str;

    fn deref(&self) -> &str {
        &self.line
    }
}

impl PartialEq<str> for Cause {
    fn eq(&self, line: &str) -> bool {
        self.line == line
    }
}

impl PartialEq<&str> for Cause {
    fn eq(&self, line: &&str) -> bool {
        self.line == *line
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// A failure as JSON: `{"error": {…}}`.
#[derive(Clone, Debug, Serialize)]
struct Report<'a> {
    error: Reported<'a>,
}

#[derive(Clone, Debug, Serialize)]
struct Reported<'a> {
    code: &'static str,
    exit_code: u8,
    message: &'a str,
    causes: &'a [String],
    help: Option<&'a str>,
}

/// Prints that a command failed, for programs: an object of its own, the last line on stdout.
fn print(output: Output, exit: Exit, message: &str, causes: &[String], help: Option<&str>) {
    let row = exit.row();
    let error = Reported { code: row.name, exit_code: row.code, message, causes, help };
    // There is nowhere to report that this failed: the exit code and stderr tell as well.
    let _ = output.json(&Report { error });
}

impl Failure {
    /// A failure with this cause and way out. Its exit code is 1 unless [`Failure::with`] sets another one.
    pub fn because(text: impl Into<String>) -> Self {
        Self::Because(Cause::from(text.into()))
    }

    /// What the exit code says.
    #[must_use]
    pub fn with(self, exit: Exit) -> Self {
        match self {
            Self::Because(cause) => Self::Because(Cause { exit, ..cause }),
            Self::Told(_) => Self::Told(exit),
        }
    }

    /// What the exit code says.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Because(cause) => cause.exit,
            Self::Told(exit) => *exit,
        }
    }

    /// Prefixes the cause with the operation.
    #[must_use]
    pub fn while_doing(self, what: &str) -> Self {
        match self {
            Self::Because(cause) => Self::Because(Cause {
                line: format!("{what}: {}", cause.line),
                message: format!("{what}: {}", cause.message),
                ..cause
            }),
            Self::Told(exit) => Self::Told(exit),
        }
    }

    /// Tells people on stderr of a failure that does not end the command.
    pub fn tell(&self) {
        if let Self::Because(cause) = self {
            tell(&format!("vuicc: {cause}"));
        }
    }

    /// Prints the failure, on stderr for people and with JSON on stdout for programs, and returns the exit code.
    pub fn report(&self, output: Output) -> ExitCode {
        self.tell();
        match self {
            Self::Because(cause) => print(output, cause.exit, &cause.message, &cause.causes, cause.help.as_deref()),
            Self::Told(exit) => print(output, *exit, &format!("the command {}", exit.row().meaning), &[], None),
        }
        self.exit().into()
    }
}

/// Prints for programs that an output was lost, of which people were told at once, and returns the exit code.
pub fn report_lost(output: Output, cause: &str) -> ExitCode {
    print(output, Exit::Failed, cause, &[], None);
    Exit::Failed.into()
}

/// Prints for programs that the command line is wrong, and what may have been meant.
pub fn report_usage(output: Output, message: &str, meant: Option<&str>) {
    print(output, Exit::Usage, message, &[], Some(meant.unwrap_or("--help shows what there is")));
}

/// What the user of a program can do about an error of a library, which does not know the program's options: what
/// follows the words of the error, with the punctuation between them.
pub type Advice = fn(&(dyn Error + 'static)) -> Option<&'static str>;

/// What an error of a library is to a program: how it ends; `None` if that has no code of its own.
pub type Classes = fn(&(dyn Error + 'static)) -> Option<Exit>;

static ADVICE: OnceLock<Advice> = OnceLock::new();
static CLASSES: OnceLock<Classes> = OnceLock::new();

/// Sets what follows the words of errors from here on. Only the first call counts.
pub fn advise(advice: Advice) {
    let _ = ADVICE.set(advice);
}

/// Sets how a program ends for errors from here on. Only the first call counts.
pub fn classify(classes: Classes) {
    let _ = CLASSES.set(classes);
}

/// As [`line()`], with the exit code that [`classify`] knows.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        if let Some(error) = (&error as &dyn Error).downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // A closed pipe: the reader has seen enough.
            return Self::Told(Exit::Failed);
        }
        Self::Because(cause_of(&error))
    }
}

fn cause_of(error: &(dyn Error + 'static)) -> Cause {
    let chain = || iter::successors(Some(error), |&error| error.source());
    let mut causes: Vec<String> = Vec::new();
    let message = error.to_string();
    for below in chain().skip(1).map(ToString::to_string) {
        if below != message && !causes.contains(&below) {
            causes.push(below);
        }
    }
    let help = ADVICE.get().and_then(|advice| chain().find_map(advice));
    let exit = CLASSES.get().and_then(|classes| chain().find_map(classes)).unwrap_or(Exit::Failed);
    Cause::new(message, causes, help, exit)
}

/// The line for the user: the cause, those below it, and the way out. It is also what goes into results, progress and
/// messages to other devices, where no [`Failure`] carries the error.
pub fn line(error: &(dyn Error + 'static)) -> String {
    cause_of(error).line
}

/// Names the file in the failure of a file operation.
pub trait AtPath<T> {
    /// Prefixes the cause with the operation and the file.
    fn at(self, doing: &str, path: &std::path::Path) -> Result<T, Failure>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, doing: &str, path: &std::path::Path) -> Result<T, Failure> {
        self.map_err(|error| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
            let is_read = ["read", "look into", "open"].iter().any(|word| doing.starts_with(word));
            let way_out = match (error.kind(), folder) {
                (io::ErrorKind::NotFound, _) if is_read => "; give the path of one that is there".to_owned(),
                (io::ErrorKind::NotFound, Some(folder)) => {
                    format!("; there is no folder {}: make it first", folder.display())
                }
                (io::ErrorKind::ReadOnlyFilesystem, _) => "; choose a writable place".to_owned(),
                (io::ErrorKind::StorageFull, _) => "; free some space there".to_owned(),
                _ => String::new(),
            };
            let failure = Failure::because(format!("cannot {doing} {}: {error}{way_out}", path.display()));
            match (error.kind(), folder) {
                _ if is_read => failure.with(Exit::Input),
                // What is named cannot be a file.
                (io::ErrorKind::NotFound, Some(_)) | (io::ErrorKind::IsADirectory, _) => failure.with(Exit::Usage),
                _ => failure,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Above(io::Error);

    impl std::fmt::Display for Above {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the image cannot be read")
        }
    }

    impl Error for Above {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn causes_are_joined_once() {
        let failure = Failure::from(Above(io::Error::other("disk on fire"))).while_doing("card show");
        let Failure::Because(text) = failure else { panic!() };
        assert_eq!(text, "card show: the image cannot be read: disk on fire");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere/anna.toml");
        let refused = std::fs::write(&path, "").at("write the subscriber to", &path);
        let Err(Failure::Because(text)) = refused else { panic!() };
        assert!(
            text.ends_with(&format!("; there is no folder {}: make it first", path.parent().unwrap().display())),
            "{text}"
        );
        let read_only = Err::<(), _>(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)).at("write", &path);
        let Err(Failure::Because(text)) = read_only else { panic!() };
        assert!(text.ends_with("; choose a writable place"), "{text}");
        // What is read is not helped by an empty folder.
        let unread = std::fs::read(&path).at("read the script", &path);
        let Err(Failure::Because(text)) = unread else { panic!() };
        assert!(text.ends_with("; give the path of one that is there"), "{text}");
    }

    #[test]
    fn a_closed_pipe_is_not_reported() {
        assert!(matches!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)), Failure::Told(_)));
    }
}
