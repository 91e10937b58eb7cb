//! `vuicc demo FLOW`: the exchange between a phone, a watch and an operator, reported step by step, every outcome
//! checked.

mod check;
mod companion;
mod device;
mod one_device;
mod takeover;
mod then;
mod trace;
mod two_uicc;
mod unbind;
mod user;
mod world;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ::device::entitlement::{CallDelivery, Identifier};
use ::device::flow::{Companion, Sharing};
use ::device::primary::Acquisition;
use clap::{Args, ValueEnum};
use hlr::{Credentials, Mode, Subscription};
use identities::{Eid, Imsi};
use saip::builder::Subscriber;

use crate::Run;
use crate::narrator::{Narrator, Told};
use crate::stage::{Inserted, Workshop};
use console::Output;
use console::file::{Readers, put};
use console::{Exit, Failure};
pub use device::Proof;
use device::{Host, Numbers, Pairing, TIMEOUT, Way};
pub use then::VARIABLES;
use trace::Trace;
use world::{Policy, World};

/// Makes a subscription of a subscriber.
pub type Provision = fn(&Subscriber, hlr::Status) -> Result<(Subscription, Credentials), Failure>;

/// What the program around the demo provides for the flows.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// The actor in the operator's audit log.
    pub actor: &'static str,
    /// Files of the operator's database and its master key, in the directory.
    pub operator_files: (&'static str, &'static str),
    /// A new subscriber of the test network; with a profile type one for the stock of the SM-DP+.
    pub invent: fn(Option<&str>) -> Result<Subscriber, Failure>,
    /// The subscription of a subscriber with a USIM, and its keys in the register.
    pub subscription: Provision,
    /// Draws a text as a QR code into a picture, and reads the picture.
    pub scanned: fn(&str, &Path) -> Result<Vec<String>, Failure>,
}

/// The flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flow {
    /// A phone gets a profile for the watch it is paired with; then both share the number
    CompanionDownload,
    /// The same in one request: the number is shared as soon as the profile is enabled
    CompanionCombined,
    /// There is no contract yet: the operator's page, accepted or declined
    CompanionContract,
    /// Two devices with cards of their own share a number; nothing is downloaded
    BindTwoUicc,
    /// The sharing ends, and optionally the watch's profile is removed
    Unbind,
    /// UICC and eUICC in one phone: the UICC authenticates, the eUICC gets the profile
    OneDevice,
    /// A new phone with an eUICC takes over the number of an old one with a UICC
    UpgradeToEuicc,
    /// The same from eUICC to eUICC
    EuiccMigration,
}

impl Flow {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn about(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Names of primary and secondary in its chart.
    const fn parties(self) -> [&'static str; 2] {
        match self {
            Self::UpgradeToEuicc | Self::EuiccMigration => ["New phone", "Old phone"],
            _ => ["Phone", "Watch"],
        }
    }
}

/// When the phone authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Authenticate {
    /// Before pairing
    Before,
    /// Afterwards, with its first request
    After,
}

/// The user's answers on the operator's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Decide {
    /// Accepts all
    Accept,
    /// Declines the first
    Decline,
    /// Accepts the first, declines the one about sharing
    DeclineSharing,
}

/// A kind of identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// ICCID of the card or profile
    Iccid,
    /// The phone number
    Msisdn,
    /// IMSI of the subscription
    Imsi,
    /// EID of the eUICC
    Eid,
}

/// How a shared number rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Delivery {
    /// All at once (flexible alerting)
    Fa,
    /// The watch first, then the phone (mobile access hunting)
    Mah,
}

/// Variants of the flows.
#[derive(Debug, Args)]
#[command(next_help_heading = "Variants of the flows")]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
pub struct Options {
    /// How the phone authenticates to the operator [default: aka]
    #[arg(long, value_enum, requires = "flow")]
    proof: Option<Proof>,
    /// When the phone authenticates: before or after pairing [default: after]
    #[arg(long, value_enum, requires = "flow")]
    authenticate: Option<Authenticate>,
    /// How phone and watch are connected [default: lan]
    #[arg(long, value_enum, requires = "flow")]
    pairing: Option<Pairing>,
    /// Addresses of the HCI (H4) controllers, for --pairing bluetooth: first the phone's, then the watch's
    #[arg(long, value_name = "HOST:PORT", requires = "flow")]
    hci: Vec<SocketAddr>,
    /// The watch downloads through the phone's connection
    #[arg(long, requires = "flow")]
    through_primary: bool,
    /// Which identifier names the phone
    #[arg(long, value_enum, value_name = "KIND", requires = "flow")]
    primary_id: Option<Kind>,
    /// Which identifier names the other device
    #[arg(long, value_enum, value_name = "KIND", requires = "flow")]
    secondary_id: Option<Kind>,
    /// How a shared number rings [default: fa]
    #[arg(long, value_enum, requires = "flow")]
    delivery: Option<Delivery>,
    /// The user's answers on the operator's pages [default: accept]
    #[arg(long, value_enum, requires = "flow")]
    decide: Option<Decide>,
    /// Sharing needs a contract of its own
    #[arg(long, requires = "flow")]
    second_contract: bool,
    /// The watch proves possession by a code
    #[arg(long, requires = "flow")]
    sms_check: bool,
    /// The new phone scans the code from the old phone's QR code, instead of having it typed in
    #[arg(long, requires = "flow")]
    scan: bool,
    /// Remove the profile as well: the watch's (unbind), the old phone's (euicc-migration)
    #[arg(long, requires = "flow")]
    remove_profile: bool,
    /// Let both cards of the phone share the number
    #[arg(long, requires = "flow")]
    share: bool,
    /// The phone gets a second watch as well; with a reader this needs a third slot: scripts/private-pcscd -r 2
    #[arg(long, requires = "flow")]
    second_watch: bool,
    /// Write the run's sequence chart to this file, in Mermaid
    #[arg(long, value_name = "FILE", value_parser = console::file::not_stdout, requires = "flow")]
    chart: Option<PathBuf>,
    /// Write the transcript to this file, with names in place of generated numbers, and without times
    #[arg(long, value_name = "FILE", value_parser = console::file::not_stdout, requires = "flow")]
    transcript: Option<PathBuf>,
    /// Run this command in a shell at the end of the flow, while everything still runs; it has to succeed
    #[arg(long, value_name = "COMMAND", requires = "flow")]
    then: Option<String>,
}

impl Options {
    /// Refuses variants the flow does not have.
    fn check(&self, flow: Flow) -> Result<(), Failure> {
        use Flow::{
            BindTwoUicc, CompanionCombined, CompanionContract, CompanionDownload, EuiccMigration, OneDevice, Unbind,
            UpgradeToEuicc,
        };
        let companions = [CompanionDownload, CompanionCombined, CompanionContract];
        let paired = [&companions[..], &[BindTwoUicc, Unbind]].concat();
        let sharing = [&paired[..], &[OneDevice]].concat();
        let variants: [(&str, bool, &[Flow]); 14] = [
            ("--proof", self.proof.is_some(), &sharing),
            ("--authenticate", self.authenticate.is_some(), &companions),
            ("--pairing", self.pairing.is_some(), &paired),
            ("--through-primary", self.through_primary, &companions),
            ("--primary-id", self.primary_id.is_some(), &sharing),
            ("--secondary-id", self.secondary_id.is_some(), &[CompanionDownload, BindTwoUicc, Unbind]),
            ("--delivery", self.delivery.is_some(), &sharing),
            ("--decide", self.decide.is_some(), &[CompanionContract]),
            ("--second-contract", self.second_contract, &[CompanionContract]),
            ("--sms-check", self.sms_check, &[CompanionContract]),
            ("--scan", self.scan, &[UpgradeToEuicc, EuiccMigration]),
            ("--remove-profile", self.remove_profile, &[Unbind, EuiccMigration]),
            ("--share", self.share, &[OneDevice]),
            ("--second-watch", self.second_watch, &[CompanionDownload, CompanionCombined, BindTwoUicc, Unbind]),
        ];
        for (option, given, flows) in variants {
            if given && !flows.contains(&flow) {
                let flows: Vec<_> = flows.iter().map(|flow| flow.name()).collect();
                return Err(Failure::because(format!("{option} is only for {}", flows.join(", "))).with(Exit::Usage));
            }
        }
        let controllers = if self.pairing == Some(Pairing::Bluetooth) { 2 } else { 0 };
        if self.hci.len() != controllers {
            return Err(Failure::because(
                "--pairing bluetooth needs two controllers, the phone's and the watch's: --hci HOST:PORT --hci HOST:PORT",
            ).with(Exit::Usage));
        }
        if self.primary_id == Some(Kind::Eid) {
            return Err(Failure::because("--primary-id: the phone has a UICC, which has no EID").with(Exit::Usage));
        }
        if self.secondary_id == Some(Kind::Eid) && flow == BindTwoUicc {
            return Err(
                Failure::because("--secondary-id: the watch has a UICC here, which has no EID").with(Exit::Usage)
            );
        }
        if self.decide == Some(Decide::DeclineSharing) && !self.second_contract {
            return Err(Failure::because("--decide decline-sharing needs --second-contract").with(Exit::Usage));
        }
        Ok(())
    }

    fn proof(&self) -> Proof {
        self.proof.unwrap_or(Proof::Aka)
    }

    fn pairing(&self) -> Way {
        match (self.pairing, &self.hci[..]) {
            (Some(Pairing::Bluetooth), &[phone, watch]) => Way::Bluetooth([phone, watch]),
            (Some(Pairing::InProcess), _) => Way::InProcess,
            _ => Way::Lan,
        }
    }

    /// How a profile for the watch is acquired.
    fn acquisition(&self) -> Acquisition {
        Acquisition { sharing: None, through_primary: self.through_primary, timeout: TIMEOUT }
    }

    fn mode(&self) -> Mode {
        match self.delivery {
            Some(Delivery::Mah) => Mode::MobileAccessHunting,
            Some(Delivery::Fa) | None => Mode::FlexibleAlerting,
        }
    }

    /// How the number is to be shared between these two, besides `others` that share it already; the watch may have no
    /// identifiers yet.
    fn sharing(&self, own: &Numbers, other: Option<&Companion>, others: &[&Imsi]) -> Result<Sharing, Failure> {
        let missing = |kind: Kind| Failure::because(format!("the device has no {kind:?}"));
        let primary = self.primary_id.map(|kind| match kind {
            Kind::Iccid => Ok(Identifier::Iccid(own.iccid.clone())),
            Kind::Imsi => Ok(Identifier::Imsi(own.imsi.clone())),
            Kind::Msisdn => own.number().map(|number| Identifier::Msisdn(number.clone())),
            Kind::Eid => Err(missing(kind)),
        });
        let secondary = self.secondary_id.zip(other).map(|(kind, other)| {
            let identifier = match kind {
                Kind::Iccid => other.iccid.clone().map(Identifier::Iccid),
                Kind::Imsi => other.imsi.clone().map(Identifier::Imsi),
                Kind::Msisdn => other.msisdn.clone().map(Identifier::Msisdn),
                Kind::Eid => other.eid.map(Identifier::Eid),
            };
            identifier.ok_or_else(|| missing(kind))
        });
        let hunting = self.mode() == Mode::MobileAccessHunting;
        let delivery = if hunting { CallDelivery::MobileAccessHunting } else { CallDelivery::FlexibleAlerting };
        let order = match other.and_then(|other| other.imsi.as_ref()) {
            // The newest rings first, the phone last.
            Some(imsi) if hunting => {
                [imsi].into_iter().chain(others.iter().rev().copied()).chain([&own.imsi]).map(Imsi::to_string).collect()
            }
            _ => Vec::new(),
        };
        Ok(Sharing {
            primary: primary.transpose()?,
            secondary: secondary.transpose()?,
            delivery: Some(delivery),
            order,
        })
    }
}

/// The narrator, and the cards in their slots.
struct Play {
    narrator: Narrator,
    trace: Trace,
    /// Names of primary and secondary.
    parties: [&'static str; 2],
    reader: Option<Slots>,
    /// The cards, each in its slot of the reader.
    inserted: Vec<Option<Inserted>>,
    /// Numbers of this run, and their names in the chart.
    names: Vec<(String, String)>,
}

/// The virtual reader's slots, from the first port on.
struct Slots {
    first: String,
    port: u16,
}

impl Play {
    /// One step, with its report.
    fn step<T>(&mut self, title: &str, act: impl FnOnce(&mut Told) -> Result<T, Failure>) -> Result<T, Failure> {
        let (trace, parties) = (self.trace.clone(), self.parties);
        self.narrator.step(title, |told| {
            let (mark, mut checked) = (trace.len(), Told::default());
            let outcome = act(&mut checked);
            trace.settle();
            trace.lines_after(mark, parties).into_iter().for_each(|line| told.say(line));
            told.append(checked);
            outcome
        })
    }

    /// Powers a card up, in the first free slot of the reader or in this process.
    fn insert(&mut self, title: &str, image: &Path) -> Result<Host, Failure> {
        let place = self.inserted.iter().position(Option::is_none).unwrap_or(self.inserted.len());
        let slot = self.reader.as_ref().map(|slots| {
            let number = u16::try_from(place).unwrap_or_default();
            format!("{}:{}", slots.first, slots.port.saturating_add(number))
        });
        let (inserted, host) = self.narrator.step(title, |told| match &slot {
            None => Inserted::in_process(image, told),
            Some(slot) => Inserted::in_reader(image, slot, told),
        })?;
        match self.inserted.get_mut(place) {
            Some(free) => *free = Some(inserted),
            None => self.inserted.push(Some(inserted)),
        }
        Ok(self.narrator.count(host))
    }

    /// Takes a card out of its slot, for good.
    fn eject(&mut self, title: &str, place: usize) -> Result<(), Failure> {
        let inserted = self.inserted.get_mut(place).and_then(Option::take);
        self.narrator.step(title, |_| inserted.map_or(Ok(()), Inserted::eject))
    }

    /// Gives a number of this run a name in the chart.
    fn name(&mut self, number: &impl ToString, name: &str) {
        self.names.push((number.to_string(), name.to_owned()));
    }

    fn name_card(&mut self, numbers: &Numbers, whose: &str) {
        self.name(&numbers.iccid, &format!("ICCID ({whose})"));
        self.name(&numbers.imsi, &format!("IMSI ({whose})"));
        if let Some(msisdn) = &numbers.msisdn {
            self.name(msisdn, &format!("NUMBER ({whose})"));
        }
    }

    fn name_eid(&mut self, eid: &Eid, whose: &str) {
        self.name(eid, &format!("of the {whose}"));
    }
}

/// Lists the flows.
pub fn list(output: Output) -> Result<(), Failure> {
    for flow in Flow::value_variants() {
        output.json(&serde_json::json!({ "flow": flow.name(), "about": flow.about() }))?;
        output.text(format_args!("{:<20}  {}", flow.name(), flow.about()))?;
    }
    Ok(())
}

/// Runs one flow.
pub fn run(flow: Flow, options: &Options, run: Run<'_>) -> Result<(), Failure> {
    options.check(flow)?;
    let reader = if run.in_process { None } else { Some(run.slot()?) };
    let reader = reader.map(|(first, port)| Slots { first, port });
    let output = run.surroundings.output;
    let mut narrator = Narrator::new(output);
    let workshop = Workshop::open(run.keep, run.surroundings)?;
    let policy = Policy { second_contract: options.second_contract, sms_check: options.sms_check };
    let world = narrator.step("Mint a PKI, start the SM-DP+ and the operator, on loopback", |told| {
        let pki = workshop.mint(told)?;
        World::start(pki, &workshop, policy, told)
    })?;
    let trace = world.trace.clone();
    let mut play = Play { narrator, trace, parties: flow.parties(), reader, inserted: Vec::new(), names: Vec::new() };
    match flow {
        Flow::CompanionDownload => companion::download(&world, &mut play, options),
        Flow::CompanionCombined => companion::combined(&world, &mut play, options),
        Flow::CompanionContract => companion::contract(&world, &mut play, options),
        Flow::BindTwoUicc => two_uicc::bind(&world, &mut play, options),
        Flow::Unbind => unbind::unbind(&world, &mut play, options),
        Flow::OneDevice => one_device::one_device(&world, &mut play, options),
        Flow::UpgradeToEuicc => takeover::upgrade(&world, &mut play, options),
        Flow::EuiccMigration => takeover::migrate(&world, &mut play, options),
    }?;
    play.names.sort_by_key(|(number, _)| core::cmp::Reverse(number.len()));
    if let Some(path) = &options.chart {
        let chart = play.trace.chart(play.parties, &play.names);
        put(path, chart.as_bytes(), Readers::Everybody, "the chart")?;
    }
    if let Some(path) = &options.transcript {
        let transcript = trace::transcript(play.narrator.told(), &play.names);
        put(path, transcript.as_bytes(), Readers::Everybody, "the transcript")?;
    }
    let Play { mut narrator, inserted, .. } = play;
    if let Some(command) = &options.then {
        narrator.step("Run the command, with everything still running", |_| then::run(command, &world, output))?;
    }
    narrator.step("Take the cards out, stop the servers", |told| {
        inserted.into_iter().flatten().try_for_each(Inserted::eject)?;
        world.stop();
        workshop.close(told);
        Ok(())
    })?;
    narrator.end()
}

/// How an order was reported, in one line.
fn line(parts: &[(&str, &dyn core::fmt::Display)]) -> String {
    let mut text = String::new();
    for (index, (name, value)) in parts.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{name} {value}");
    }
    text
}

/// For flows without codes.
fn no_codes() -> Result<String, Failure> {
    Err(Failure::because("the operator unexpectedly asks for a code"))
}
