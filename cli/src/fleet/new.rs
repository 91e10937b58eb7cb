//! `vuicc fleet new`: prepares the cards of a fleet.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;

use card::Entropy as _;
use card::entropy::ChaCha;
use card::image::fleet::{MOST, Maker, Member, Subscription};
use card::personalise::{Euicc, NewCard, ProfileToLoad, euicc, invent_eid};
use clap::Args;
use console::Exit;
use identities::{Eid, Iccid, Imsi};
use rsp::metadata::ProfileClass;
use saip::ProfileElement;
use saip::aka::{AlgoConfiguration, AlgoParameter};
use saip::builder::{Individual, Key, Subscriber, build, individualise};
use serde::Serialize;
use test_pki::Pki;
use zeroize::Zeroizing;

use super::Folder;
use crate::Context;
use crate::asynchronous::{Signals, Stoppable};
use crate::card::personality;
use crate::failure::{AtPath as _, Failure};
use crate::file::create_private;
use crate::output::{Output, count};
use crate::package::{self, Class};
use crate::pki::PkiArguments;
use crate::repeatable::{ClockArguments, SeedArguments};
use crate::server_address::server_address;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// How many cards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    count: u32,
    /// The profile package in DER that each card gets, with an ICCID, IMSI and K of its own [default: one as `vuicc subscriber
    /// new` makes it]
    #[arg(long, value_name = "FILE", conflicts_with = "no_profile")]
    profile: Option<PathBuf>,
    /// No profile
    #[arg(long)]
    no_profile: bool,
    /// Class of the profile
    #[arg(long, value_enum, default_value = "operational")]
    class: Class,
    /// Leave the profile disabled
    #[arg(long)]
    disabled: bool,
    /// First digits of the IMSIs: MCC and MNC
    #[arg(long, value_name = "DIGITS", default_value = "00101", value_parser = network)]
    network: String,
    /// First digits of the ICCIDs
    #[arg(long, value_name = "DIGITS", default_value = "8988211", value_parser = issuer)]
    iccid_prefix: String,
    /// Make them like a card in the field: the name of a personality, or a file that describes one in TOML
    #[arg(long, value_name = "NAME|FILE")]
    like: Option<String>,
    /// The default SM-DP+
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server_address)]
    default_smdp: Option<String>,
    #[command(flatten)]
    pki: PkiArguments,
    #[command(flatten)]
    seed: SeedArguments,
    #[command(flatten)]
    clock: ClockArguments,
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Result<String, String> {
    let fits = lengths.contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    let (least, most) = (lengths.start(), lengths.end());
    if fits { Ok(text.to_owned()) } else { Err(format!("{least} to {most} digits")) }
}

fn network(text: &str) -> Result<String, String> {
    digits(text, 5..=6)
}

/// At least ten million cards.
fn issuer(text: &str) -> Result<String, String> {
    if text.starts_with("89") {
        digits(text, 2..=11)
    } else {
        Err("they begin with 89 in telecommunication".to_owned())
    }
}

/// Cards that are made before they are written.
const AT_ONCE: u32 = 64;

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    arguments.seed.warn();
    let series = Series::new(arguments, context)?;
    let (folder, file) = (arguments.folder.path(), arguments.folder.file());
    create_private(folder)?;
    if file.symlink_metadata().is_ok() {
        return Err(Failure::because(format!("{} has a fleet already; choose another folder", folder.display()))
            .with(Exit::Usage));
    }
    let made = Stoppable::begin()?.run(async |signals| {
        let progress = Progress { output: context.output, of: arguments.count };
        make(arguments, &series, &file, &progress, signals).await
    });
    if let Err(failure) = made {
        // Not if anything is in it.
        let _ = std::fs::remove_dir(folder);
        return Err(failure);
    }
    let octets = std::fs::metadata(&file).at("look at", &file)?.len();
    let made = Made {
        fleet: folder.display().to_string(),
        cards: arguments.count,
        first_eid: series.eid(0)?.to_string(),
        last_eid: series.eid(arguments.count - 1)?.to_string(),
        octets,
    };
    Ok(context.output.put(&made)?)
}

/// Makes the cards and their file, which appears whole or not at all.
async fn make(
    arguments: &Arguments,
    series: &Series<'_>,
    file: &Path,
    progress: &Progress,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let mut maker: Option<Maker> = None;
    let mut next = 0;
    while next < arguments.count {
        let end = next.saturating_add(AT_ONCE).min(arguments.count);
        for (card, member) in series.cards(next..end)? {
            let maker = match &mut maker {
                Some(maker) => maker,
                None => maker.insert(Maker::begin(file, &card.manufacture, card.memory.clone())?),
            };
            maker.add(member, &card.memory)?;
        }
        next = end;
        progress.tell(next);
        let is_interrupted = tokio::select! {
            biased;
            () = signals.received() => true,
            () = std::future::ready(()) => false,
        };
        if is_interrupted {
            progress.end();
            return Err(Failure::because("interrupted: nothing was made"));
        }
    }
    progress.end();
    match maker {
        Some(maker) => Ok(maker.finish()?),
        None => Ok(()),
    }
}

/// What the cards have in common, and the numbers they get.
struct Series<'a> {
    arguments: &'a Arguments,
    description: Euicc,
    /// The package that is individualised.
    template: Option<Vec<ProfileElement>>,
    class: ProfileClass,
    /// Digits before the number of a card.
    eids: String,
    imsis: (String, u64),
    iccids: (String, u64),
}

/// Digits of a card's number within its EID.
const EID_NUMBER: usize = 8;

impl<'a> Series<'a> {
    fn new(arguments: &'a Arguments, context: &Context) -> Result<Self, Failure> {
        let mut entropy = arguments.seed.entropy("new fleet")?;
        let pki = arguments.pki.open_at(context, &arguments.seed, &arguments.clock)?;
        let eids = first_eid(&pki, &mut entropy)?;
        let now = arguments.clock.now();
        let mut description = match &arguments.like {
            None => Euicc::new(pki, now),
            Some(like) => {
                let mut description = Euicc::new(pki, now);
                description.make_like(&personality::read(like)?.description);
                description
            }
        };
        description.enable_first = !arguments.disabled && !arguments.no_profile;
        description.default_dp_address.clone_from(&arguments.default_smdp);
        let mut first = |prefix: &str, length: usize| {
            let free = 10_u64.pow(u32::try_from(length.saturating_sub(prefix.len())).unwrap_or_default());
            let mut octets = [0; 8];
            entropy.fill(&mut octets);
            (prefix.to_owned(), u64::from_be_bytes(octets) % free.saturating_sub(arguments.count.into()).max(1))
        };
        let (imsis, iccids) = (first(&arguments.network, 15), first(&arguments.iccid_prefix, 18));
        let mut series =
            Self { arguments, description, template: None, class: arguments.class.into(), eids, imsis, iccids };
        if !arguments.no_profile {
            series.template = Some(series.template()?);
        }
        Ok(series)
    }

    fn template(&self) -> Result<Vec<ProfileElement>, Failure> {
        if let Some(path) = &self.arguments.profile {
            let elements = saip::decode_package(&package::read(path)?)?;
            // What does not fit is said before anything is made.
            individualise(&mut elements.clone(), &self.individual(0, &elements, &mut ChaCha::from_number(0))?)
                .map_err(|error| Failure::from(error).while_doing(&path.display().to_string()).with(Exit::Input))?;
            return Ok(elements);
        }
        let key = || Key::new(&[0; 16]);
        let mut subscriber = Subscriber::new(&self.iccid(0)?.to_string(), &self.imsi(0), key(), key());
        subscriber.mnc_length = self.mnc_length();
        subscriber.spn = Some("vuicc".to_owned());
        Ok(build(&subscriber)?)
    }

    fn eid(&self, number: u32) -> Result<Eid, Failure> {
        Ok(Eid::with_check_digits(&format!("{}{number:0EID_NUMBER$}", self.eids))?)
    }

    fn imsi(&self, number: u32) -> String {
        let (prefix, first) = &self.imsis;
        format!("{prefix}{:0width$}", first + u64::from(number), width = 15 - prefix.len())
    }

    /// As --network has it.
    fn mnc_length(&self) -> u8 {
        u8::try_from(self.arguments.network.len().saturating_sub(3)).unwrap_or_default()
    }

    fn iccid(&self, number: u32) -> Result<Iccid, Failure> {
        let (prefix, first) = &self.iccids;
        Ok(Iccid::with_check_digit(&format!(
            "{prefix}{:0width$}",
            first + u64::from(number),
            width = 18 - prefix.len()
        ))?)
    }

    fn individual(
        &self,
        number: u32,
        template: &[ProfileElement],
        entropy: &mut ChaCha,
    ) -> Result<Individual, Failure> {
        // As long as the package has them: those of TUAK may have 32 octets.
        let algo = template.iter().find_map(parameters);
        let (key_octets, opc_octets) = algo.map_or((16, 16), |algo| (algo.key.expose().len(), algo.opc.expose().len()));
        let mut key = |octets: usize| {
            let mut drawn = Zeroizing::new(vec![0; octets]);
            entropy.fill(&mut drawn);
            Key::new(&drawn)
        };
        let (iccid, imsi) = (self.iccid(number)?.to_string(), self.imsi(number));
        let mnc_length = self.mnc_length();
        Ok(Individual { iccid, imsi, mnc_length, key: key(key_octets), opc: Some(key(opc_octets)) })
    }

    /// Makes these cards, as many at a time as there are processors.
    fn cards(&self, numbers: std::ops::Range<u32>) -> Result<Vec<(NewCard, Member)>, Failure> {
        let numbers: Vec<_> = numbers.collect();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let share = numbers.len().div_ceil(processors).max(1);
        thread::scope(|scope| {
            let made: Vec<_> = numbers
                .chunks(share)
                .map(|numbers| {
                    scope.spawn(|| numbers.iter().map(|number| self.card(*number)).collect::<Result<Vec<_>, _>>())
                })
                .collect();
            let ended = || Failure::because("a thread stopped unexpectedly; run it with RUST_BACKTRACE=1");
            let mut cards = Vec::with_capacity(numbers.len());
            for share in made {
                cards.extend(share.join().map_err(|_| ended())??);
            }
            Ok(cards)
        })
    }

    fn card(&self, number: u32) -> Result<(NewCard, Member), Failure> {
        let mut entropy = self.arguments.seed.entropy(&format!("new card {number} of a fleet"))?;
        let mut description = self.description.clone();
        let eid = self.eid(number)?;
        description.eid = Some(eid);
        let mut subscription = None;
        if let Some(template) = &self.template {
            let own = self.individual(number, template, &mut entropy)?;
            let mut elements = template.clone();
            let aka = individualise(&mut elements, &own)?;
            let package = saip::encode_package(&elements);
            description.profiles = vec![ProfileToLoad { class: Some(self.class), ..package.into() }];
            let imsi: Imsi = own.imsi.parse()?;
            subscription = Some(Subscription { iccid: own.iccid.parse()?, imsi, aka });
        }
        Ok((euicc(&description, &mut entropy)?, Member { eid, subscription }))
    }
}

/// The authentication parameters in an element, if there are any of its own.
fn parameters(element: &ProfileElement) -> Option<&AlgoParameter> {
    let ProfileElement::AkaParameter(aka) = element else { return None };
    match &aka.algo_configuration {
        AlgoConfiguration::Algo(algo) => Some(algo),
        AlgoConfiguration::Mapping(_) => None,
    }
}

/// The digits of the fleet's EIDs before the numbers of its cards.
fn first_eid(pki: &Pki, entropy: &mut ChaCha) -> Result<String, Failure> {
    let invented = invent_eid(pki, entropy)?.to_string();
    let digits = invented.get(..30 - EID_NUMBER).unwrap_or_default();
    Ok(digits.to_owned())
}

struct Progress {
    output: Output,
    of: u32,
}

impl Progress {
    fn tell(&self, made: u32) {
        if self.output.is_on_a_screen() {
            count(&format!("{made} of {} cards", self.of));
        }
    }

    fn end(&self) {
        if self.output.is_on_a_screen() {
            crate::output::tell("");
        }
    }
}

#[derive(Serialize)]
struct Made {
    fleet: String,
    cards: u32,
    first_eid: String,
    last_eid: String,
    octets: u64,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fleet, cards, first_eid, last_eid, octets } = self;
        write!(f, "{fleet}: {cards} eUICCs with EIDs from {first_eid} to {last_eid}, {octets} octets")
    }
}
