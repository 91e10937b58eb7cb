//! `vuicc device primary`: authenticates to the operator with its card, and passes results on to the secondary.

mod messages;

use std::path::PathBuf;
use std::time::Duration;

use apdu::Transport;
use clap::{Args, Subcommand};
use console::Exit;
use demo::flow::Proof;
use device::eap;
use device::entitlement::{App, CallDelivery, Client, Configuration, Identifier, ServiceStatus, Settings, Subscriber};
use device::event::{Event, Party, What};
use device::flow::{Awaited, FlowError, Pace, Sharing};
use device::http::HttpsClient;
use device::inbox::Place as MessagePlace;
use device::primary::{Acquisition, Primary, SubscriptionState};
use device::secondary::{Card, HttpsServers, Secondary, is_euicc};
use device::store::{DisabledCard, Store, Volatile};
use device::usim::{Authenticator, Usim, UsimError};
use identities::{Iccid, Imsi, Msisdn};
use lpa::{Elsewhere, Euicc, Options};
use pairing::{Carrier, Compare, Gateway, IsWanted, Paired, Place, Question, meet};
use serde_json::json;

use super::code::{Scanning, ShowArguments};
use super::memory::Memory;
use super::person::{EuiccOwner, Person};
use super::{DeviceArguments, OperatorTrust, bonds, teller};
use crate::Context;
use crate::failure::{Failure, line};
use crate::lpa::ServerArguments;
use crate::output::{self, beside};
use crate::random;
use crate::target::{Target, TargetArguments};
use crate::way_out;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    operator: OperatorArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(subcommand)]
    command: Command,
}

/// The operator, and how to authenticate to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Operator")]
struct OperatorArguments {
    /// The operator's entitlement server
    #[arg(long, global = true, value_name = "URL", default_value = "https://127.0.0.1:9443/")]
    entitlement: String,
    #[command(flatten)]
    trust: OperatorTrust,
    /// How to authenticate
    #[arg(long, global = true, value_enum, default_value_t = Proof::Aka)]
    proof: Proof,
    /// Your number, for a code [default: the number on the card]
    #[arg(long, global = true, value_name = "DIGITS")]
    msisdn: Option<Msisdn>,
    /// How long to wait for the operator to have a profile ready, or to put one into service
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 90)]
    operator_wait: u64,
    /// The preferred language, as in Accept-Language
    #[arg(long, global = true, value_name = "TAG", default_value = "en")]
    language: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pair with a secondary: both users compare six digits
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img pair
      with the secondary that is found; it runs `secondary serve --pair`
  vuicc device primary --card phone.img pair --to 192.0.2.7:7400
      with the one there
  vuicc device primary --card phone.img --bluetooth 127.0.0.1:9001 pair
      over Bluetooth LE")]
    Pair(ToArguments),
    /// List paired devices; --forget removes one
    #[command(after_help = bonds::EXAMPLES)]
    Bonds(bonds::Arguments),
    /// Authenticate to the operator, before there is a secondary
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img authenticate
      by the card: EAP-AKA
  vuicc device primary --card phone.img --proof sim authenticate
      the same by EAP-SIM")]
    Authenticate,
    /// Get a profile for the secondary's eUICC; it is downloaded, enabled and reported
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img acquire
      a profile of its own
  vuicc device primary --card phone.img acquire --share --delivery FA
      and one number for both, which ring at once")]
    Acquire(Acquire),
    /// Share the number with a secondary that already has a profile
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img activate
  vuicc device primary --card phone.img activate --delivery MAH
      first one rings, then the other")]
    Activate(Share),
    /// Share the number with a secondary that has a card of its own
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img bind
  vuicc device primary --card phone.img bind --secondary-id imsi:001010000000002
      named by its IMSI")]
    Bind(Share),
    /// End the sharing, and optionally remove the secondary's profile
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img unbind
  vuicc device primary --card phone.img unbind --remove-profile
      and the profile is deleted")]
    Unbind(Unbind),
    /// Get a profile for this device's own eUICC, which is in another reader
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img one-device --euicc-card chip.img
  vuicc device primary --card phone.img one-device --euicc-reader 1 --share
      the number rings on both cards")]
    OneDevice(OneDevice),
    /// Take over the number of an old device: for a new device, with an eUICC and no state at the operator
    #[command(visible_alias = "migrate")]
    #[command(after_help = "\
Examples:
  vuicc device primary --card new.img upgrade --old-number 15551234
      asks for the code that the old device gets
  vuicc device primary --card new.img upgrade --old-number 15551234 --scan c.png
      takes it from a picture of the old device")]
    Upgrade(Upgrade),
    /// Receive short messages onto the card, and do what the operator asks for in them
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img messages
      those that wait
  vuicc device primary --card phone.img messages --wait 60 --qr
      for a minute; codes as QR codes too
  vuicc device primary --card phone.img messages --list
      all that are kept, on the card and in the device
  vuicc device primary --card phone.img messages --delete 3,d7
      these two; read for those that were read, all for all")]
    Messages(Messages),
    /// Show the subscription's state at the operator; a card whose number has moved to another device is taken out of
    /// use
    #[command(after_help = "\
Examples:
  vuicc device primary --card phone.img status
  vuicc device primary --card phone.img --json status | jq .")]
    Status(Status),
}

/// How to find the secondary.
#[derive(Debug, Args)]
struct ToArguments {
    /// The secondary's address: HOST:PORT, or with --bluetooth like C0:12:34:56:78:9A [default: discovery; to pair, the
    /// only device found, otherwise the only paired one found; several are listed]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Place>,
}

/// How a number is shared.
#[derive(Debug, Args)]
struct SharingArguments {
    /// Identifier of this device: iccid:…, msisdn:… or imsi:…
    #[arg(long, value_name = "KIND:DIGITS")]
    primary_id: Option<Identifier>,
    /// Identifier of the secondary: eid:…, iccid:…, msisdn:… or imsi:…
    #[arg(long, value_name = "KIND:DIGITS")]
    secondary_id: Option<Identifier>,
    /// How they ring: FA all at once, MAH one after another
    #[arg(long, value_name = "FA|MAH")]
    delivery: Option<CallDelivery>,
    /// The ring order: IMSIs or ICCIDs, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    order: Vec<String>,
}

impl SharingArguments {
    fn sharing(&self) -> Sharing {
        Sharing {
            primary: self.primary_id.clone(),
            secondary: self.secondary_id.clone(),
            delivery: self.delivery,
            order: self.order.clone(),
        }
    }
}

#[derive(Debug, Args)]
struct Acquire {
    #[command(flatten)]
    to: ToArguments,
    /// Share the number at once, in the same request
    #[arg(long)]
    share: bool,
    #[command(flatten)]
    sharing: SharingArguments,
    /// Let the secondary download through this device's connection
    #[arg(long)]
    through_primary: bool,
}

#[derive(Debug, Args)]
struct Share {
    #[command(flatten)]
    to: ToArguments,
    #[command(flatten)]
    sharing: SharingArguments,
}

#[derive(Debug, Args)]
struct Unbind {
    #[command(flatten)]
    to: ToArguments,
    #[command(flatten)]
    sharing: SharingArguments,
    /// Remove the secondary's profile, at the SM-DP+ and from its eUICC
    #[arg(long)]
    remove_profile: bool,
}

/// How to find this device's own eUICC.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("euicc").required(true).args(["euicc_reader", "euicc_card"])))]
struct OneDevice {
    /// The eUICC in this reader
    #[arg(long, value_name = "NAME")]
    euicc_reader: Option<String>,
    /// The eUICC in this image
    #[arg(long, value_name = "PATH", value_parser = crate::file::image)]
    euicc_card: Option<PathBuf>,
    /// Let both cards share the number
    #[arg(long)]
    share: bool,
    #[command(flatten)]
    sharing: SharingArguments,
}

#[derive(Debug, Args)]
struct Upgrade {
    /// The number of the old device; a code is sent to it
    #[arg(long, value_name = "DIGITS")]
    old_number: Msisdn,
    /// ICCID of the old card or profile, if known
    #[arg(long, value_name = "DIGITS")]
    old_iccid: Option<Iccid>,
    /// Scan the code from the QR code the old device shows, instead of typing it in: a picture (PNG or JPEG), polled
    /// until the code is in it, or - for one on standard input; repeat for several
    #[arg(long, value_name = "FILE|-")]
    scan: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Messages {
    /// How long to wait for more, in seconds; the card is in use meanwhile
    #[arg(long, value_name = "SECONDS", default_value_t = 0, conflicts_with_all = ["list", "delete"])]
    wait: u64,
    /// List stored messages, and receive none
    #[arg(long)]
    list: bool,
    /// Delete messages, by their names in the list, separated by commas; or all read ones; or all
    #[arg(long, value_name = "NAMES|read|all", value_delimiter = ',')]
    delete: Vec<Deleted>,
    #[command(flatten)]
    show: ShowArguments,
    #[command(flatten)]
    retirement: Retirement,
}

/// Which messages to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deleted {
    One(MessagePlace),
    Read,
    All,
}

impl std::str::FromStr for Deleted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "read" => Ok(Self::Read),
            "all" => Ok(Self::All),
            one => one.parse().map(Self::One),
        }
    }
}

#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    retirement: Retirement,
}

/// What to do with a profile that is out of use, besides disabling it.
#[derive(Debug, Args)]
struct Retirement {
    /// If this device's profile is out of use, delete it without asking
    #[arg(long)]
    remove_profile: bool,
}

impl Command {
    /// What to do with a profile found to be out of use; `None` for commands that cannot find out.
    fn retirement(&self) -> Option<&Retirement> {
        match self {
            Self::Messages(Messages { retirement, .. }) | Self::Status(Status { retirement }) => Some(retirement),
            _ => None,
        }
    }
}

/// A card, opened.
type Phone = Usim<Box<dyn Transport>>;

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let mut memory = arguments.device.memory("primary", context)?;
    if let Command::Pair(to) = &arguments.command {
        let Together { paired, .. } = &connect(arguments, to, true, &memory, context)?;
        context.output.json(&json!({ "event": "paired", "name": paired.name, "device": paired.device.to_string() }))?;
        return Ok(context.output.text(format_args!("paired with “{}”", paired.name))?);
    }
    if let Command::Bonds(bonds) = &arguments.command {
        return bonds::run(bonds, &memory, context);
    }
    if let Command::Upgrade(upgrade) = &arguments.command {
        return take_over(arguments, upgrade, &mut memory, context);
    }
    let mut usim = match Usim::open(arguments.target.connect()?, arguments.device.pin.as_ref()) {
        Err(UsimError::NoUsim(_)) if let Some(disabled) = go_on_retiring(arguments, &memory, context)? => {
            return Err(FlowError::Disabled(disabled.iccid, disabled.reason).into());
        }
        opened => opened?,
    };
    let numbers = Numbers::read(&mut usim, arguments)?;
    if let Some(disabled) = memory.state().disabled(&numbers.iccid).cloned() {
        // The profile could be opened, so it is still enabled: the device was interrupted.
        if let Some(retirement) = arguments.command.retirement() {
            take_out_of_use(arguments, retirement, &numbers, usim, context)?;
        }
        return Err(FlowError::Disabled(disabled.iccid, disabled.reason).into());
    }
    match &arguments.command {
        Command::Pair(_) | Command::Bonds(_) | Command::Upgrade(_) => Ok(()),
        Command::Authenticate => with_primary(arguments, &numbers, Some(&mut usim), &mut memory, context, |primary| {
            primary.check_eligibility(App::Companion, None)?;
            Ok(())
        }),
        Command::Acquire(acquire) => get(arguments, acquire, &numbers, &mut usim, &mut memory, context),
        Command::Activate(share) => self::share(arguments, share, false, &numbers, &mut usim, &mut memory, context),
        Command::Bind(share) => self::share(arguments, share, true, &numbers, &mut usim, &mut memory, context),
        Command::Unbind(unbind) => end_sharing(arguments, unbind, &numbers, &mut usim, &mut memory, context),
        Command::OneDevice(one) => own_euicc(arguments, one, &numbers, &mut usim, &mut memory, context),
        Command::Messages(asked) if asked.list || !asked.delete.is_empty() => {
            messages::kept_messages(arguments, asked, usim, &mut memory, context)
        }
        Command::Messages(asked) => messages::take_messages(arguments, asked, &numbers, usim, &mut memory, context),
        Command::Status(status) => tell_status(arguments, status, &numbers, usim, &mut memory, context),
    }
}

/// Gets a profile for the secondary's eUICC.
fn get(
    arguments: &Arguments,
    acquire: &Acquire,
    numbers: &Numbers,
    usim: &mut Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let Together { paired, carrier } = connect(arguments, &acquire.to, false, memory, context)?;
    let _after_the_gateway = carrier;
    let mut gateway = Gateway::new(paired.channel);
    let how = Acquisition {
        sharing: acquire.share.then(|| acquire.sharing.sharing()),
        through_primary: acquire.through_primary,
        timeout: arguments.device.timeout(),
    };
    with_primary(arguments, numbers, Some(usim), memory, context, |primary| {
        primary.acquire_through(&mut gateway, &how, |gateway, server| {
            let elsewhere = Elsewhere::of(arguments.servers.hosts(), server);
            gateway.allow(server, elsewhere.and_then(|elsewhere| elsewhere.socket_address().ok()));
        })?;
        Ok(())
    })
}

/// Shares the number with the secondary: with its profile, or with its `own_card`.
fn share(
    arguments: &Arguments,
    share: &Share,
    own_card: bool,
    numbers: &Numbers,
    usim: &mut Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let Together { paired, .. } = &mut connect(arguments, &share.to, false, memory, context)?;
    with_primary(arguments, numbers, Some(usim), memory, context, |primary| {
        let mut companion = primary.identify(&mut paired.channel, arguments.device.timeout())?;
        if own_card {
            companion.eid = None;
        }
        primary.bind(&mut paired.channel, &companion, &share.sharing.sharing())?;
        Ok(())
    })
}

fn end_sharing(
    arguments: &Arguments,
    unbind: &Unbind,
    numbers: &Numbers,
    usim: &mut Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let Together { paired, .. } = &mut connect(arguments, &unbind.to, false, memory, context)?;
    let timeout = arguments.device.timeout();
    with_primary(arguments, numbers, Some(usim), memory, context, |primary| {
        let companion = primary.identify(&mut paired.channel, timeout)?;
        let sharing = unbind.sharing.sharing();
        primary.unbind(&mut paired.channel, &companion, &sharing, unbind.remove_profile, timeout)?;
        Ok(())
    })
}

fn tell_status(
    arguments: &Arguments,
    status: &Status,
    numbers: &Numbers,
    mut usim: Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let subscription = obey(arguments, numbers, &mut usim, memory, context)?;
    if subscription == SubscriptionState::Ended {
        return take_out_of_use(arguments, &status.retirement, numbers, usim, context);
    }
    let mut companions = Vec::new();
    // A card out of service gets its own state, and nothing about others.
    if subscription != SubscriptionState::Suspended {
        with_primary(arguments, numbers, Some(&mut usim), memory, context, |primary| {
            companions = primary.configurations(App::Companion, None)?;
            Ok(())
        })?;
    }
    summarize(numbers, subscription, &companions, context)
}

/// The subscriber data on a card.
struct Numbers {
    iccid: Iccid,
    imsi: Imsi,
    mnc_length: usize,
    msisdn: Option<Msisdn>,
}

impl Numbers {
    fn read<T: Transport>(usim: &mut Usim<T>, arguments: &Arguments) -> Result<Self, Failure> {
        let msisdn = match &arguments.operator.msisdn {
            Some(msisdn) => Some(msisdn.clone()),
            None => usim.msisdn()?,
        };
        Ok(Self { iccid: usim.iccid()?, imsi: usim.imsi()?, mnc_length: usim.mnc_length()?, msisdn })
    }
}

/// Runs a primary with this card.
fn with_primary(
    arguments: &Arguments,
    numbers: &Numbers,
    usim: Option<&mut dyn Authenticator>,
    memory: &mut Memory,
    context: &Context,
    act: impl FnOnce(&mut Primary<'_, '_>) -> Result<(), FlowError>,
) -> Result<(), Failure> {
    let method = arguments.operator.proof.method();
    let subscriber = Subscriber {
        imsi: Some(numbers.imsi.clone()),
        identity: method.map(|method| eap::identity(method, &numbers.imsi, numbers.mnc_length)),
        card: usim,
        msisdn: numbers.msisdn.clone(),
        eid: None,
        temporary_token: None,
    };
    as_primary(arguments, subscriber, memory, context, act)
}

/// Runs a primary with this subscriber.
fn as_primary(
    arguments: &Arguments,
    subscriber: Subscriber<'_>,
    memory: &mut Memory,
    context: &Context,
    act: impl FnOnce(&mut Primary<'_, '_>) -> Result<(), FlowError>,
) -> Result<(), Failure> {
    let operator = &arguments.operator;
    let mut http = http(arguments, context)?;
    let pictures = if let Command::Upgrade(upgrade) = &arguments.command { &upgrade.scan[..] } else { &[] };
    let person = Person::new(context.output, arguments.device.yes);
    let mut person = Scanning::new(person, pictures, arguments.device.timeout());
    let terminal = arguments.device.terminal(memory, "Phone")?;
    let mut settings = Settings::new(&operator.entitlement, terminal);
    settings.language.clone_from(&operator.language);
    let mut tell = teller(context);
    let mut primary = Primary {
        client: Client {
            http: &mut http,
            store: memory,
            user: &mut person,
            settings,
            random: &mut random::fill,
            now: random::now(),
            tell: &mut tell,
        },
        subscriber,
        pace: Pace {
            attempts: usize::MAX,
            pause: Duration::from_secs(1),
            longest: Duration::from_secs(operator.operator_wait),
            begins: &mut |awaited| tell_awaited(awaited, operator.operator_wait, context),
            wait: &mut std::thread::sleep,
        },
    };
    Ok(act(&mut primary)?)
}

/// Says what is waited for, as soon as waiting begins.
fn tell_awaited(awaited: Awaited, seconds: u64, context: &Context) {
    beside(context.output.json(&json!({ "event": "waiting", "for": awaited.name(), "seconds": seconds })));
    let look = way_out::of_waiting(awaited);
    output::tell(&format!("vuicc: waiting for up to {seconds} s (--operator-wait): {awaited}{look}"));
}

fn http(arguments: &Arguments, context: &Context) -> Result<HttpsClient, Failure> {
    let trust = arguments.operator.trust.trust(&arguments.servers, context)?;
    Ok(HttpsClient::with(&arguments.servers.settings(trust))?)
}

/// The secondary, and its transport.
struct Together {
    // Dropped in this order: the transport waits for the end of the session.
    paired: Paired,
    carrier: Box<dyn Carrier>,
}

/// The secondary: at the given address, or discovered.
fn connect(
    arguments: &Arguments,
    to: &ToArguments,
    pairing: bool,
    memory: &Memory,
    context: &Context,
) -> Result<Together, Failure> {
    const LONGEST: Duration = Duration::from_secs(15);
    let device = &arguments.device;
    let name = device.name.as_deref().unwrap_or("Phone");
    let person = Person::new(context.output, device.yes).who_compares_nothing(device.digits_are_the_same);
    let mut compare = |question: &Question, wanted: IsWanted<'_>| person.compare(question, wanted);
    let compare = pairing.then_some(&mut compare as Compare<'_>);
    let mut carrier: Box<dyn Carrier> = match device.bluetooth {
        Some(hci) => Box::new(DeviceArguments::radio(hci, memory, name)?),
        None => Box::new(device.lan(memory, name, false)?),
    };
    if to.to.is_none() {
        // It takes as long as that if there is none.
        let looking = format!("looking for a watch, for up to {} s", LONGEST.as_secs());
        if context.output.is_json() {
            context.output.json(&json!({ "event": "looking", "seconds": LONGEST.as_secs() }))?;
        } else {
            output::tell(&looking);
        }
    }
    let paired = meet(&mut *carrier, to.to, compare, LONGEST)?;
    if paired.fresh {
        let what = What::Paired { name: paired.name.clone() };
        teller(context)(Event::new(Party::Primary, Party::Secondary, what));
    }
    Ok(Together { paired, carrier })
}

/// A profile for this device's own eUICC, authenticated by its UICC.
fn own_euicc(
    arguments: &Arguments,
    one: &OneDevice,
    numbers: &Numbers,
    usim: &mut Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let card = match (&one.euicc_card, &one.euicc_reader) {
        (Some(image), _) => Target::Image(image).connect()?,
        (None, Some(reader)) => Target::Reader(reader).connect()?,
        (None, None) => {
            return Err(Failure::because("which eUICC? name it with --euicc-reader or --euicc-card").with(Exit::Usage));
        }
    };
    let terminal_id = format!("{}-2", arguments.device.terminal(memory, "Phone")?.id);
    with_euicc(arguments, card, context, |own| {
        let eid = own.eid()?;
        with_primary(arguments, numbers, Some(usim), memory, context, |primary| {
            let sharing = one.share.then(|| one.sharing.sharing());
            primary.acquire_own(own, (terminal_id, eid), sharing.as_ref())
        })
    })
}

/// A new device takes over the number of an old one.
fn take_over(arguments: &Arguments, upgrade: &Upgrade, memory: &mut Memory, context: &Context) -> Result<(), Failure> {
    let card = arguments.target.connect()?;
    with_euicc(arguments, card, context, |own| {
        let eid = own.eid()?;
        let subscriber = Subscriber {
            imsi: None,
            identity: None,
            card: None,
            msisdn: Some(upgrade.old_number.clone()),
            eid: Some(eid),
            temporary_token: None,
        };
        as_primary(arguments, subscriber, memory, context, |primary| {
            primary.take_over(own, eid, upgrade.old_iccid.clone())
        })
    })
}

/// Runs a secondary on this device's own eUICC.
fn with_euicc(
    arguments: &Arguments,
    card: Box<dyn Transport>,
    context: &Context,
    act: impl FnOnce(&mut Secondary<'_, Box<dyn Transport>>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut servers = HttpsServers {
        settings: arguments.servers.settings(arguments.servers.trust(context)?),
        download_limit: arguments.servers.download_limit(),
        now: random::now,
        tunnel: None,
    };
    let mut user = EuiccOwner::new(context.output, arguments.device.yes);
    // A device's own eUICC needs no persistent state.
    let mut memory = Volatile::default();
    let mut tell = teller(context);
    let mut own = Secondary {
        card: Card::Euicc(Box::new(Euicc::open(card, Options::default())?)),
        pin: arguments.device.pin.clone(),
        terminal: device::entitlement::Terminal {
            id: String::new(),
            vendor: "vuicc".into(),
            model: "Phone".into(),
            software: env!("CARGO_PKG_VERSION").into(),
            name: "Phone".into(),
        },
        servers: &mut servers,
        user: &mut user,
        memory: &mut memory,
        primary: None,
        tell: &mut tell,
        explain: line,
        party: Party::Primary,
    };
    act(&mut own)
}

/// The result of `status`.
fn summarize(
    numbers: &Numbers,
    subscription: SubscriptionState,
    companions: &[Configuration],
    context: &Context,
) -> Result<(), Failure> {
    let in_service = subscription == SubscriptionState::Active;
    let shared = |one: &&Configuration| one.status == Some(ServiceStatus::Activated);
    let profiles: Vec<_> = companions.iter().filter(shared).filter_map(|one| one.iccid.as_ref()).collect();
    let profiles: Vec<_> = profiles.into_iter().map(ToString::to_string).collect();
    let number = numbers.msisdn.as_ref().map(ToString::to_string);
    context.output.json(&json!({
        "event": "status", "iccid": numbers.iccid.to_string(), "in_service": in_service, "msisdn": number,
        "companions": profiles,
    }))?;
    Ok(context.output.text(in_words(&numbers.iccid, subscription, numbers.msisdn.as_ref(), &profiles))?)
}

/// The same as text.
fn in_words(iccid: &Iccid, subscription: SubscriptionState, number: Option<&Msisdn>, beside: &[String]) -> String {
    let number = number.map_or("no number on the card".into(), |number| format!("number +{number}"));
    let state = match subscription {
        SubscriptionState::Active => "in service",
        SubscriptionState::Suspended => "not in service: the operator has barred it; ask there why",
        SubscriptionState::Unknown => "not in service",
        SubscriptionState::Ended => "out of use",
    };
    if subscription == SubscriptionState::Suspended {
        // Other profiles were not asked about.
        return format!("card {iccid} is {state}; {number}");
    }
    let others = if beside.is_empty() { "none".into() } else { beside.join(", ") };
    format!("card {iccid} is {state}; {number}; profiles beside it in service: {others}")
}

/// Asks the operator for the state of this card, and remembers if it is out of use.
fn obey(
    arguments: &Arguments,
    numbers: &Numbers,
    usim: &mut Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<SubscriptionState, Failure> {
    let mut subscription = SubscriptionState::Unknown;
    with_primary(arguments, numbers, Some(usim), memory, context, |primary| {
        subscription = primary.obey(&numbers.iccid)?;
        Ok(())
    })?;
    Ok(subscription)
}

/// An eUICC's profile is disabled, and deleted if the user wants that; a UICC is powered down and refused from now on.
fn take_out_of_use(
    arguments: &Arguments,
    retirement: &Retirement,
    numbers: &Numbers,
    usim: Phone,
    context: &Context,
) -> Result<(), Failure> {
    let mut card = usim.close();
    let iccid = &numbers.iccid;
    if !is_euicc(&mut *card)? {
        return Ok(context.output.text(format_args!("card {iccid} is out of use; take it out of the device"))?);
    }
    with_euicc(arguments, card, context, |own| retire(arguments, retirement, iccid, own, context))
}

/// Resumes taking a profile out of use if the device was interrupted between disabling and deleting it: only the eUICC
/// itself can be opened then. Returns which profile that was, if any.
fn go_on_retiring(arguments: &Arguments, memory: &Memory, context: &Context) -> Result<Option<DisabledCard>, Failure> {
    let (Some(retirement), disabled) = (arguments.command.retirement(), memory.state().disabled.clone()) else {
        return Ok(None);
    };
    if disabled.is_empty() || !is_euicc(&mut *arguments.target.connect()?)? {
        return Ok(None);
    }
    let person = Person::new(context.output, arguments.device.yes);
    let mut delete = |iccid: &Iccid| retirement.remove_profile || person.deletes(iccid);
    let mut last = None;
    with_euicc(arguments, arguments.target.connect()?, context, |own| {
        // Told at once: the next one may fail.
        let mut told = Ok(());
        let mut stays = |iccid: &Iccid| {
            if told.is_ok() {
                told = tell_that_it_stays(iccid, context);
            }
        };
        last = own.go_on_retiring(disabled, &mut delete, &mut stays)?;
        told
    })?;
    Ok(last)
}

fn retire(
    arguments: &Arguments,
    retirement: &Retirement,
    iccid: &Iccid,
    own: &mut Secondary<'_, Box<dyn Transport>>,
    context: &Context,
) -> Result<(), Failure> {
    let person = Person::new(context.output, arguments.device.yes);
    let mut delete = |iccid: &Iccid| retirement.remove_profile || person.deletes(iccid);
    if own.retire(iccid, &mut delete)? { Ok(()) } else { tell_that_it_stays(iccid, context) }
}

fn tell_that_it_stays(iccid: &Iccid, context: &Context) -> Result<(), Failure> {
    let later = format!("vuicc lpa profile delete {iccid}");
    Ok(context.output.text(format_args!("profile {iccid} stays, disabled; to delete it later: {later}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_in_words() {
        let iccid = "8981100000000000010".parse().unwrap();
        let number: Msisdn = "81901234567".parse().unwrap();
        let beside = ["8981100000000000028".to_owned()];
        assert_eq!(
            in_words(&iccid, SubscriptionState::Active, Some(&number), &beside),
            "card 8981100000000000010 is in service; number +81901234567; profiles beside it in service: 8981100000000000028"
        );
        let barred = in_words(&iccid, SubscriptionState::Suspended, None, &[]);
        assert!(barred.contains("barred") && barred.ends_with("; no number on the card"), "{barred}");
    }
}
