//! `vuicc card new`: what an EUM does before a card leaves the factory.

use std::fmt;
use std::path::PathBuf;

use card::entropy::ChaCha;
use card::personalise::{Euicc, ProfileToLoad, Uicc, euicc, uicc};
use clap::Args;
use rsp::Eid;
use serde::Serialize;

use crate::failure::Failure;
use crate::pki::PkiArguments;
use crate::{Context, package, random};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The image to write; there must be no such file yet
    path: PathBuf,
    /// EID, 32 digits [default: a fresh one that the PKI may certify]
    #[arg(long, value_name = "DIGITS", conflicts_with = "uicc")]
    eid: Option<Eid>,
    #[command(flatten)]
    pki: PkiArguments,
    /// A profile that is there from the start: a profile package in DER, or a subscriber in .toml; repeat for more
    #[arg(long = "profile", value_name = "FILE")]
    profiles: Vec<PathBuf>,
    /// Leave all profiles disabled; otherwise the first one is enabled
    #[arg(long, requires = "profiles", conflicts_with = "uicc")]
    disabled: bool,
    /// The default SM-DP+
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "uicc")]
    default_smdp: Option<String>,
    /// A plain UICC with one profile for good, instead of an eUICC
    #[arg(long, requires = "profiles")]
    uicc: bool,
    /// Bytes of non-volatile memory
    #[arg(long, value_name = "BYTES")]
    memory: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let profiles = arguments.profiles.iter().map(|path| package::read(path));
    let mut profiles = profiles.map(|package| package.map(ProfileToLoad::from)).collect::<Result<Vec<_>, _>>()?;
    let mut entropy = ChaCha::from_operating_system()?;
    let new = if arguments.uicc {
        let (Some(profile), true) = (profiles.pop(), profiles.is_empty()) else {
            return Err(Failure::because("a plain UICC has exactly one profile; say --profile once"));
        };
        let mut description = Uicc::new(profile, random::now());
        description.card.non_volatile_memory = arguments.memory.unwrap_or(description.card.non_volatile_memory);
        uicc(&description)?
    } else {
        let pki = arguments.pki.open(context)?;
        // Later than the PKI was minted, which may be just now.
        let mut description = Euicc::new(pki, random::now());
        description.eid = arguments.eid;
        description.profiles = profiles;
        description.enable_first = !arguments.disabled;
        description.default_dp_address.clone_from(&arguments.default_smdp);
        description.card.non_volatile_memory = arguments.memory.unwrap_or(description.card.non_volatile_memory);
        euicc(&description, &mut entropy)?
    };
    new.save(&arguments.path)?;
    let made =
        Made { image: &arguments.path, eid: new.eid.map(|eid| eid.to_string()), profiles: arguments.profiles.len() };
    Ok(context.output.put(&made)?)
}

#[derive(Serialize)]
struct Made<'a> {
    image: &'a PathBuf,
    eid: Option<String>,
    profiles: usize,
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
