//! `vuicc card new`: what an EUM does before a card leaves the factory.

use std::fmt;
use std::path::PathBuf;

use card::entropy::ChaCha;
use card::personalise::{
    CLAIMABLE, Euicc, NewCard, PersonalisationError, ProfileToLoad, Twin, Uicc, euicc, twin, uicc,
};
use card_os::CardProfile;
use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use console::Exit;
use identities::Eid;
use rsp::metadata::ProfileClass;
use saip::header::Service;
use serde::Serialize;
use test_pki::Pki;
use twin::Learned;

use card::personality::size;

use super::personality::{self, Like};
use crate::failure::{Failure, line};
use crate::file::not_stdout;
use crate::output::tell;
use crate::package::{Class, SAY_CLASS};
use crate::pki::PkiArguments;
use crate::repeatable::{ClockArguments, SeedArguments};
use crate::server_address::server_address;
use crate::subscriber::file::describes_subscriber;
use crate::{Context, package, pki, subscriber};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The image to write; it must not exist yet
    #[arg(value_parser = not_stdout)]
    path: PathBuf,
    /// What kind of card
    #[arg(long = "type", id = "type", value_enum, default_value_t = CardType::Euicc)]
    kind: CardType,
    /// Make it like a card in the field: the name of a personality, or a file that describes one in TOML; with --type uicc the
    /// name of a programmable card; other options take precedence
    #[arg(long, value_name = "NAME|FILE")]
    like: Option<String>,
    /// EID, 32 digits [default: a fresh one that the PKI may certify]
    #[arg(long, value_name = "DIGITS")]
    eid: Option<Eid>,
    #[command(flatten)]
    pki: PkiArguments,
    /// Folder of the PKI of a further CI: the eUICC trusts that CI too, and has a certificate under it; repeat for
    /// more, most preferred first
    #[arg(long, value_name = "DIR")]
    also_pki: Vec<PathBuf>,
    #[command(flatten)]
    profiles: FromTheStart,
    /// Name of a profile, as the user sees it; repeat for the next ones, in their order [default: a subscriber's
    /// profile_name, or the type in a package's header]
    #[arg(long = "name", value_name = "TEXT")]
    names: Vec<String>,
    /// Class of the packages [default: test if one requires the test algorithm, else operational]
    #[arg(long, value_enum)]
    class: Option<Class>,
    /// Leave all profiles disabled; otherwise the first one is enabled
    #[arg(long)]
    disabled: bool,
    /// The default SM-DP+
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server_address)]
    default_smdp: Option<String>,
    /// Non-volatile memory, in bytes or with a unit: 65536, 64k, 1M [default: 512k]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<usize>,
    /// Make it no SIM of TS 51.011 beside: it refuses class A0 (6E00)
    #[arg(long)]
    no_class_a0: bool,
    /// Claim a service the card does not have, so that packages which only require it install; repeat for more
    #[arg(long = "claim", value_name = "SERVICE", value_parser = claimable())]
    claims: Vec<String>,
    #[command(flatten)]
    seed: SeedArguments,
    #[command(flatten)]
    clock: ClockArguments,
}

fn claimable() -> PossibleValuesParser {
    PossibleValuesParser::new(CLAIMABLE.iter().filter_map(|service| service.name()))
}

/// Preinstalled profiles, in the order of the command line.
#[derive(Debug)]
struct FromTheStart(Vec<FromAFile>);

#[derive(Debug)]
enum FromAFile {
    Subscriber(PathBuf),
    Profile(PathBuf),
}

/// The values of both options. clap keeps them apart; their positions on the command line give the common order.
#[derive(Debug, Args)]
struct Apart {
    /// A subscriber, in .toml or .json, whose profile is preinstalled; repeat for more on an eUICC
    #[arg(long = "subscriber", value_name = "FILE")]
    subscribers: Vec<PathBuf>,
    /// A profile package in DER (or a subscriber) to preinstall; repeat for more on an eUICC
    #[arg(long = "profile", value_name = "FILE")]
    profiles: Vec<PathBuf>,
}

impl FromArgMatches for FromTheStart {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let places = |option: &str| matches.indices_of(option).into_iter().flatten();
        let Apart { subscribers, profiles } = Apart::from_arg_matches(matches)?;
        let subscribers = places("subscribers").zip(subscribers.into_iter().map(FromAFile::Subscriber));
        let profiles = places("profiles").zip(profiles.into_iter().map(FromAFile::Profile));
        let mut all: Vec<_> = subscribers.chain(profiles).collect();
        all.sort_by_key(|(place, _)| *place);
        Ok(Self(all.into_iter().map(|(_, file)| file).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for FromTheStart {
    fn augment_args(command: Command) -> Command {
        Apart::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Apart::augment_args_for_update(command)
    }
}

impl FromAFile {
    /// The profile; `class` is the packages' class.
    fn profile(&self, class: Option<Class>) -> Result<ProfileToLoad, Failure> {
        let (package, class) = match self {
            Self::Profile(path) if !describes_subscriber(path) => (package::read(path)?, class.map(ProfileClass::from)),
            Self::Subscriber(path) | Self::Profile(path) => {
                (package::of_subscriber(path)?, Some(ProfileClass::OPERATIONAL))
            }
        };
        Ok(ProfileToLoad { class, ..ProfileToLoad::from(package) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CardType {
    /// Profiles can be added and removed
    Euicc,
    /// A plain SIM: one fixed subscription
    Uicc,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let files = &arguments.profiles.0;
    let mut profiles = files.iter().map(|file| file.profile(arguments.class)).collect::<Result<Vec<_>, _>>()?;
    let count = profiles.len();
    if arguments.names.len() > count {
        let names = arguments.names.len();
        return Err(Failure::because(format!("--name is given {names} times, but there are {count} profiles"))
            .with(Exit::Usage));
    }
    for (profile, name) in profiles.iter_mut().zip(&arguments.names) {
        profile.name = Some(name.clone());
    }
    let demands: Vec<Vec<Service>> =
        profiles.iter().map(|profile| package::uncommon_demands(&profile.package)).collect();
    let mut claims: Vec<Service> = arguments.claims.iter().filter_map(|name| Service::named(name)).collect();
    arguments.seed.warn();
    let mut entropy = arguments.seed.entropy("new card")?;
    let like =
        arguments.like.as_deref().filter(|_| arguments.kind == CardType::Euicc).map(personality::read).transpose()?;
    let learned = like.as_ref().and_then(|like| Some((like, like.description.learned.as_ref()?)));
    let new = if let Some((like, learned)) = learned {
        of_learned(arguments, like, learned, &mut entropy)?
    } else if arguments.kind == CardType::Uicc {
        if let Some(option) = only_for_an_euicc(arguments) {
            return Err(Failure::because(format!("{option} is for eUICCs; a UICC has exactly one subscription"))
                .with(Exit::Usage));
        }
        let (Some(profile), true) = (profiles.pop(), profiles.is_empty()) else {
            return Err(
                Failure::because("a UICC has exactly one subscription; use --subscriber FILE once").with(Exit::Usage)
            );
        };
        let mut description = Uicc::new(profile, arguments.clock.now());
        description.claims.clone_from(&claims);
        if let Some(like) = &arguments.like {
            description.make_like(personality::programmable(like)?);
        }
        description.card.non_volatile_memory = arguments.memory.unwrap_or(description.card.non_volatile_memory);
        description.card.gsm &= !arguments.no_class_a0;
        uicc(&description).map_err(|error| refused(error, &demands, &claims))?
    } else {
        let like = like.unwrap_or_default();
        let pkis = pkis(arguments, &like, context)?;
        // Later than the creation of the PKI, which may be just now.
        let mut description = Euicc::under(pkis, arguments.clock.now());
        description.make_like(&like.description);
        claims.extend(description.claims.iter().copied());
        description.eid = arguments.eid;
        description.profiles = profiles;
        description.enable_first = !arguments.disabled;
        description.claims.clone_from(&claims);
        if arguments.default_smdp.is_some() {
            description.default_dp_address.clone_from(&arguments.default_smdp);
        }
        description.card.non_volatile_memory = arguments.memory.unwrap_or(description.card.non_volatile_memory);
        description.card.gsm &= !arguments.no_class_a0;
        euicc(&description, &mut entropy).map_err(|error| match error {
            PersonalisationError::TooSmall { .. }
                if arguments.memory.is_none() && like.description.card.memory.is_some() =>
            {
                like.refuse(&["card", "memory"], &line(&error))
            }
            PersonalisationError::Faults(_) => like.refuse(&["faults"], &line(&error)),
            error => refused(error, &demands, &claims),
        })?
    };
    new.save(&arguments.path)?;
    let claims: Vec<String> = claims.iter().filter_map(|service| service.name()).map(str::to_owned).collect();
    if !claims.is_empty() {
        let claims = claims.join(", ");
        tell(&format!(
            "vuicc: the card claims {claims} without having it: profiles that only require it install, but what they do \
             with it does not work, and profiles that contain applications are refused"
        ));
    }
    let eid = new.eid.map(|eid| eid.to_string());
    let made = Made { image: &arguments.path, eid, profiles: count, claims: &claims };
    Ok(context.output.put(&made)?)
}

/// A UICC as another card was learned.
fn of_learned(arguments: &Arguments, like: &Like, learned: &Learned, entropy: &mut ChaCha) -> Result<NewCard, Failure> {
    if let Some(option) = only_for_an_euicc(arguments) {
        return Err(
            Failure::because(format!("{option} is for eUICCs; what was learned makes a UICC")).with(Exit::Usage)
        );
    }
    let subscriber = match arguments.profiles.0.as_slice() {
        [] => None,
        [FromAFile::Subscriber(path)] => Some(subscriber::file::read(path)?),
        _ => {
            let cause = "what was learned is the profile; its keys and codes come from --subscriber FILE, once";
            return Err(Failure::because(cause).with(Exit::Usage));
        }
    };
    if !learned.complete {
        tell("vuicc: not all of the card was learned: what is missing is not on the card that is made of it");
    }
    let mut card = CardProfile::default();
    like.description.apply_to_profile(&mut card);
    card.non_volatile_memory = arguments.memory.unwrap_or(card.non_volatile_memory);
    if subscriber.is_none() && !learned.pins.is_empty() {
        tell("vuicc: nobody has told the codes of the card: PINs and keys are random; --subscriber FILE supplies them");
    }
    let name = like.description.name.as_ref().map(|name| name.0.clone());
    let description = Twin { learned, card, subscriber: subscriber.as_ref(), name, now: arguments.clock.now() };
    twin(&description, entropy).map_err(|error| match error {
        PersonalisationError::Learned(unlearnable) => like.refuse(&["learned"], &line(&unlearnable)),
        error => error.into(),
    })
}

/// The PKIs whose CIs the card trusts.
fn pkis(arguments: &Arguments, like: &Like, context: &Context) -> Result<Vec<Pki>, Failure> {
    let described = &like.description.pkis;
    let mut pkis = Vec::new();
    if arguments.pki.is_given() || described.is_empty() {
        pkis.push(arguments.pki.open_at(context, &arguments.seed, &arguments.clock)?);
    } else {
        for (number, folder) in described.iter().enumerate() {
            let pki = pki::load(&like.folder(folder));
            pkis.push(pki.map_err(|failure| match failure {
                Failure::Because(cause) => like.refuse(&["pkis", &number.to_string()], &cause),
                told @ Failure::Told(_) => told,
            })?);
        }
    }
    for directory in &arguments.also_pki {
        pkis.push(pki::load(directory)?);
    }
    Ok(pkis)
}

/// Why the card was not made; if claiming a service would help, the error says so.
fn refused(error: PersonalisationError, demands: &[Vec<Service>], claims: &[Service]) -> Failure {
    let number = match &error {
        PersonalisationError::Profile { number, .. } => *number,
        PersonalisationError::Class { .. } => return Failure::because(format!("{error}; {SAY_CLASS}")),
        PersonalisationError::TooLong { .. } => {
            return Failure::because(format!("{error}; use --name to give it another"));
        }
        PersonalisationError::TooSmall { .. } => {
            return Failure::because(format!("{error}; --memory SIZE says how much it has")).with(Exit::Usage);
        }
        _ => return error.into(),
    };
    let demanded = number.checked_sub(1).and_then(|index| demands.get(index)).into_iter().flatten();
    let options: Vec<String> =
        demanded.filter(|demand| !claims.contains(demand)).map(|demand| format!("--claim {demand}")).collect();
    if options.is_empty() {
        return error.into();
    }
    Failure::because(format!(
        "{}; with {} the card accepts a package that only requires it",
        line(&error),
        options.join(" ")
    ))
}

/// An option that makes no sense for a UICC.
fn only_for_an_euicc(arguments: &Arguments) -> Option<&'static str> {
    let given = [
        ("--eid", arguments.eid.is_some()),
        ("--pki", arguments.pki.is_given()),
        ("--also-pki", !arguments.also_pki.is_empty()),
        ("--name", !arguments.names.is_empty()),
        ("--class", arguments.class.is_some()),
        ("--disabled", arguments.disabled),
        ("--default-smdp", arguments.default_smdp.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}

#[derive(Serialize)]
struct Made<'a> {
    image: &'a PathBuf,
    eid: Option<String>,
    profiles: usize,
    /// Services claimed but not present.
    claims: &'a [String],
}

impl fmt::Display for Made<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.image.display();
        match &self.eid {
            Some(eid) => write!(f, "{image}: eUICC with EID {eid}, profiles: {}", self.profiles),
            None => write!(f, "{image}: UICC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// The first profile is enabled, so the order matters, also between the two options.
    #[test]
    fn profiles_are_in_the_order_of_the_command_line() {
        let order = |line: &str| {
            let parsed = Line::try_parse_from(line.split(' ')).unwrap();
            let name = |file: &FromAFile| match file {
                FromAFile::Subscriber(path) => format!("s:{}", path.display()),
                FromAFile::Profile(path) => format!("p:{}", path.display()),
            };
            parsed.arguments.profiles.0.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order("new card --profile a --subscriber b"), "p:a s:b");
        assert_eq!(order("new card --subscriber b --profile a"), "s:b p:a");
        assert_eq!(order("new --profile=a --subscriber b card --profile c --subscriber=d"), "p:a s:b p:c s:d");
        assert_eq!(order("new card"), "");
    }

    #[test]
    fn what_can_be_claimed() {
        assert!(Line::try_parse_from(["new", "card", "--claim", "javacard", "--claim", "eap"]).is_ok());
        let refused = Line::try_parse_from(["new", "card", "--claim", "java"]).unwrap_err().to_string();
        assert!(refused.contains("javacard"), "{refused}");
        // Present anyway.
        assert!(Line::try_parse_from(["new", "card", "--claim", "usim"]).is_err());
    }

    /// Same rule as in `smdp profile add`: the class follows from the header, or has to be given.
    #[test]
    fn classes_and_names_are_those_of_the_file_or_of_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let state = |line: &[&str]| {
            let parsed = Line::try_parse_from(line).unwrap().arguments;
            let profiles =
                parsed.profiles.0.iter().map(|file| file.profile(parsed.class)).collect::<Result<Vec<_>, _>>();
            profiles.unwrap().into_iter().map(|profile| profile.class).collect::<Vec<_>>()
        };
        let key = saip::builder::Key::new(&[1; 16]);
        let subscriber = saip::builder::Subscriber::new("8988211000000000011", "001010000000001", key.clone(), key);
        let package = saip::encode_package(&saip::builder::build(&subscriber).unwrap());
        let (der, toml) = (folder.path().join("one.der"), folder.path().join("one.toml"));
        std::fs::write(&der, package).unwrap();
        let text = "iccid = \"8988211000000000011\"\nimsi = \"001010000000001\"\n\
                    key = \"465b5ce8b199b49faa5f0a2ee238a6bc\"\nopc = \"cd63cb71954a9f4e48a5994e37a02baf\"\n";
        std::fs::write(&toml, text).unwrap();
        let (der, toml) = (der.to_str().unwrap(), toml.to_str().unwrap());
        assert_eq!(state(&["new", "card", "--profile", der]), [None], "the header tells");
        let both = ["new", "card", "--profile", der, "--subscriber", toml, "--profile", toml, "--class", "test"];
        let operational = Some(ProfileClass::OPERATIONAL);
        assert_eq!(state(&both), [Some(ProfileClass::TEST), operational, operational]);
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("65536", 65_536), ("64k", 65_536), ("64 KiB", 65_536), ("1M", 1 << 20), ("2mb", 2 << 20)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "k", "64g", "6x4", "-1", "0.5M", "99999999999999999999", "99999999999999M"] {
            assert!(size(wrong).unwrap_err().contains("64k"), "{wrong}");
        }
    }
}
