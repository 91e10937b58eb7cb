//! `vuicc card learn`: a description of a card from what it says and does, for `card new --like`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use apdu::{InProcess, Transport, counted};
use card::entropy::ChaCha;
use card::image::Manufacture;
use card::personalise::{NewCard, PersonalisationError, Twin, dialect, twin};
use card_os::CardProfile;
use card_os::dialect::{Habits, Rule};
use card_os::nvm::MemoryNvm;
use clap::Args;
use console::Exit;
use reader_bridge::script::Variables;
use serde::Serialize;
use twin::{BuildTwin, Learned, LearnedFile, Outside, Progress, Settings, Stopped, Unlocking};
use zeroize::Zeroizing;

use super::personality;
use crate::apdu::secrets;
use crate::failure::{Failure, line};
use crate::file::{Readers, make, not_stdout};
use crate::output::{count, tell, tell_over};
use crate::target::TargetArguments;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The description to write, in TOML; it must not exist yet
    #[arg(long, short, value_name = "FILE", value_parser = not_stdout)]
    out: PathBuf,
    /// Go on with this description, of a card that was lost in the middle
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// What the card is called [default: the name of the file]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Try every file identifier in every directory: minutes, and on a card of plastic hours
    #[arg(long)]
    thorough: bool,
    /// PINs to verify, each once, so that what they open is read: a file with pin1, pin2, adm1 to adm5,
    /// or ref_XX by its key reference, under pins, or in hexadecimal under keys. Without it no PIN is sent
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArguments,
}

/// A description as it is written: as `card new --like` reads it.
#[derive(Debug, Serialize)]
struct Written<'a> {
    name: &'a str,
    about: &'a str,
    sources: Vec<String>,
    card: WrittenCard,
    learned: &'a Learned,
}

#[derive(Debug, Serialize)]
struct WrittenCard {
    atr: String,
    logical_channels: u8,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if !arguments.target.is_given() {
        return Err(
            Failure::because("which card? name its reader with --reader, or its image with --card").with(Exit::Usage)
        );
    }
    let pins = arguments.secrets.as_deref().map(unlocking).transpose()?.unwrap_or_default();
    let mut learned = arguments.begun()?;
    let mut card = arguments.target.connect()?;
    arguments.goes_on_with(&mut *card, &learned)?;
    let begun = Instant::now();
    let learning = learn(&mut *card, &mut learned, arguments, begun);
    let outside = match learning {
        Ok(outside) => outside,
        Err(stopped) => return Err(arguments.keep(&learned, card.atr(), &stopped)),
    };
    if !pins.is_empty() {
        match twin::unlock(&mut *card, &mut learned, &pins) {
            Ok(refused) => refused.iter().for_each(|refused| tell(&format!("vuicc: {refused}"))),
            Err(error) => return Err(arguments.keep(&learned, card.atr(), &error.into())),
        }
    }
    let description = arguments.written(&learned, &outside)?;
    make(&arguments.out, description.as_bytes(), Readers::Owner, "the description")?;
    let made = Made::of(arguments, &learned, &outside);
    Ok(context.output.put_block(&made)?)
}

impl Arguments {
    fn name(&self) -> String {
        let stem = || self.out.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.name.clone().or_else(stem).unwrap_or_else(|| "learned".to_owned())
    }

    /// What was learned before.
    fn begun(&self) -> Result<Learned, Failure> {
        if self.out.exists() {
            let path = self.out.display();
            let cause =
                format!("{path} already exists and is not overwritten: name another file; --resume goes on with one");
            return Err(Failure::because(cause).with(Exit::Usage));
        }
        let Some(resumed) = &self.resume else { return Ok(Learned::default()) };
        personality::read_file(resumed)?.description.learned.ok_or_else(|| {
            Failure::because(format!("{}: nothing was learned in it; leave out --resume", resumed.display()))
                .with(Exit::Input)
        })
    }

    /// Refuses another card than the one that a description was begun with.
    fn goes_on_with(&self, card: &mut dyn Transport, learned: &Learned) -> Result<(), Failure> {
        let Some(resumed) = &self.resume else { return Ok(()) };
        let atr = personality::read_file(resumed)?.description.card.atr.map(|atr| atr.0).unwrap_or_default();
        match twin::another_card(card, learned, &atr)? {
            None => Ok(()),
            Some(why) => {
                let cause = format!("{} was begun with another card: {why}; leave out --resume", resumed.display());
                Err(Failure::because(cause).with(Exit::Input))
            }
        }
    }

    fn written(&self, learned: &Learned, outside: &Outside) -> Result<String, Failure> {
        let source = self.target.reader().map_or_else(
            || self.target.image().map(|path| path.display().to_string()).unwrap_or_default(),
            str::to_owned,
        );
        let name = self.name();
        let written = Written {
            name: &name,
            about: "Learned by vuicc card learn; keys and codes are not in it",
            sources: vec![format!("the card in {source}")],
            card: WrittenCard {
                atr: hexadecimal::whole(&outside.atr).replace(' ', ""),
                logical_channels: outside.channels,
            },
            learned,
        };
        toml::to_string(&written)
            .map_err(|error| Failure::because(format!("the description cannot be written: {error}")))
    }

    /// Keeps what was learned of a card that was lost or makes no emulated one, and says how to go on.
    fn keep(&self, learned: &Learned, atr: &[u8], stopped: &Stopped) -> Failure {
        let (cause, exit) = match stopped {
            Stopped::Card(error) => (line(error), Exit::Card),
            Stopped::Twin(cause) => (format!("no card can be made of what was learned: {cause}"), Exit::Failed),
            Stopped::Endless(_) => (stopped.to_string(), Exit::Failed),
        };
        let at = learned.searched.last().map_or_else(String::new, |path| format!(" up to {path}"));
        let outside = Outside { atr: atr.to_vec(), channels: 0 };
        let kept = self.written(learned, &outside);
        let kept = kept.and_then(|text| make(&self.out, text.as_bytes(), Readers::Owner, "the description"));
        let out = self.out.display();
        let so_far = match kept {
            Ok(()) => format!("what was learned{at} is in {out}; --resume {out} with another --out goes on from there"),
            Err(_) => format!("{out} cannot be written, so that nothing is kept"),
        };
        Failure::because(format!("{cause}; {so_far}")).with(exit)
    }
}

/// The PINs in a file of secrets, by their key references.
fn unlocking(path: &Path) -> Result<Vec<Unlocking>, Failure> {
    const NAMES: [(&str, u8); 8] = [
        ("pin1", 0x01),
        ("pin2", 0x81),
        ("adm1", 0x0A),
        ("adm2", 0x0B),
        ("adm3", 0x0C),
        ("adm4", 0x0D),
        ("adm5", 0x0E),
        ("universal", 0x11),
    ];
    let mut variables = Variables::new();
    secrets::read(path, &mut variables)?;
    let mut pins = Vec::new();
    let mut names = BTreeMap::new();
    for name in variables.names() {
        let Some(value) = variables.get(name) else { continue };
        let by_reference = || u8::from_str_radix(name.strip_prefix("ref_")?, 16).ok();
        let reference =
            NAMES.iter().find(|(known, _)| *known == name).map(|(_, reference)| *reference).or_else(by_reference);
        let Some(reference) = reference else {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            let cause =
                format!("{}: there is no PIN `{name}`; known are {}, and ref_XX", path.display(), names.join(", "));
            return Err(Failure::because(cause).with(Exit::Input));
        };
        if let Some(other) = names.insert(reference, name) {
            let cause = format!(
                "{}: `{other}` and `{name}` are one PIN, reference {reference:02X}, which is sent once; leave one of them",
                path.display()
            );
            return Err(Failure::because(cause).with(Exit::Input));
        }
        pins.push(Unlocking { reference, value: Zeroizing::new(value.to_vec()) });
    }
    pins.sort_by_key(|pin| pin.reference);
    Ok(pins)
}

fn learn(
    card: &mut dyn Transport,
    learned: &mut Learned,
    arguments: &Arguments,
    begun: Instant,
) -> Result<Outside, Stopped> {
    let habits: Vec<&str> = Habits::NAMES.iter().map(|(_, name)| *name).collect();
    let weight = |rule: &str| rule.parse::<Rule>().map(|rule| rule.when.weight()).map_err(|error| error.to_string());
    let mut emulator = Emulator::default();
    let mut build =
        |learned: &Learned, outside: &Outside| emulator.card(learned, outside).map_err(|error| error.to_string());
    let mut twin = BuildTwin { habits: &habits, build: &mut build, weight: &weight };
    let settings = Settings { thorough: arguments.thorough };
    let mut clock = move || begun.elapsed();
    let mut shown = false;
    let outcome = twin::learn(card, learned, &settings, &mut clock, &mut twin, &mut |progress| {
        if std::io::stderr().is_terminal() {
            shown = true;
            count(&format!("{:60}", told(&progress)));
        }
    });
    if shown {
        tell_over(&format!("{:60}", "learned"));
    }
    outcome
}

fn told(progress: &Progress) -> String {
    match progress {
        Progress::Searching(path, done, of) => format!("{path}: {done} of {of} identifiers tried"),
        Progress::Reading(done, of) => format!("reading file {done} of {of}"),
        Progress::States => "asking for PINs and channels".to_owned(),
        Progress::Calibrating(done, of) => format!("asking {done} of {of} questions"),
        Progress::Fitting(left) => format!("fitting the dialect, {} differ still", counted(*left, "answer")),
    }
}

/// The emulated card of a description, with power, in this process.
pub(crate) fn emulated(learned: &Learned, outside: &Outside) -> Result<Box<dyn Transport>, PersonalisationError> {
    Emulator::default().card(learned, outside)
}

/// Makes the emulated card, anew only where more than its dialect has changed.
#[derive(Default)]
struct Emulator {
    made: Option<(Vec<LearnedFile>, Manufacture, MemoryNvm)>,
}

impl Emulator {
    fn card(&mut self, learned: &Learned, outside: &Outside) -> Result<Box<dyn Transport>, PersonalisationError> {
        /// Codes that nobody knows may be the same each time.
        const SEED: u64 = 1;
        let mut entropy = ChaCha::from_number(SEED);
        let made = self.made.take().filter(|(files, ..)| *files == learned.files);
        let (files, manufacture, memory) = if let Some(made) = made {
            made
        } else {
            let card =
                CardProfile { atr: outside.atr.clone(), channels: outside.channels + 1, ..CardProfile::default() };
            let new = twin(&Twin { learned, card, subscriber: None, name: None, now: 0 }, &mut entropy)?;
            (learned.files.clone(), new.manufacture, new.memory)
        };
        let mut new = NewCard { manufacture: manufacture.clone(), memory: memory.clone(), eid: None };
        new.manufacture.profile.dialect = dialect(learned)?;
        self.made = Some((files, manufacture, memory));
        Ok(Box::new(InProcess::connect(new.insert(Box::new(entropy)))))
    }
}

/// What was learned, in numbers and words.
#[derive(Debug, Serialize)]
struct Made<'a> {
    description: &'a Path,
    atr: String,
    applications: Vec<String>,
    /// Files, directories among them.
    files: usize,
    /// Of which so many could not be read.
    unread: usize,
    pins: usize,
    logical_channels: u8,
    /// Rows in which it differs from the standard card.
    dialect: usize,
    /// What the emulated card still answers otherwise.
    differences: Vec<&'a twin::Difference>,
    missing: &'a [twin::Missing],
}

impl<'a> Made<'a> {
    fn of(arguments: &'a Arguments, learned: &'a Learned, outside: &Outside) -> Self {
        let unread = |file: &&LearnedFile| file.unread.is_some() && file.content.is_none() && file.records.is_none();
        Self {
            description: &arguments.out,
            atr: hexadecimal::whole(&outside.atr).replace(' ', ""),
            applications: learned.applications.iter().map(|application| format!("{:?}", application.aid)).collect(),
            files: learned.files.len(),
            unread: learned.files.iter().filter(unread).count(),
            pins: learned.pins.len(),
            logical_channels: outside.channels,
            dialect: learned.dialect.habits.len() + learned.dialect.rules.len(),
            differences: learned.differences.iter().collect(),
            missing: &learned.missing,
        }
    }
}

impl fmt::Display for Made<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// So many are listed; the description has all.
        const LISTED: usize = 12;
        writeln!(
            f,
            "{}: {}, {}",
            self.description.display(),
            counted(self.files, "file"),
            counted(self.applications.len(), "application")
        )?;
        writeln!(f, "  unread files      {}", self.unread)?;
        writeln!(f, "  PINs and keys     {}", self.pins)?;
        writeln!(f, "  logical channels  {}", self.logical_channels)?;
        writeln!(f, "  rows of dialect   {}", self.dialect)?;
        writeln!(f, "  differences left  {}", self.differences.len())?;
        write!(f, "Not learned:")?;
        for missing in self.missing.iter().take(LISTED) {
            write!(f, "\n  {}; supplied by {}", missing.what, missing.supply)?;
        }
        if let Some(more) = self.missing.len().checked_sub(LISTED).filter(|more| *more > 0) {
            write!(f, "\n  and {more} more, in the description")?;
        }
        Ok(())
    }
}
