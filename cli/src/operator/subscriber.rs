//! `vuicc operator subscriber`: the subscriptions in the register.

use std::fmt;
use std::path::PathBuf;
use std::slice;

use boss::{BossError, Identifier, Subject};
use clap::{Args, Subcommand, ValueEnum};
use console::Exit;
use hlr::{Change, Damaged, Hlr, HlrError, Lookup, Status, Subscription};
use identities::{Eid, Iccid, Imsi, Msisdn};
use serde::Serialize;

use super::parts;
use super::provision::{self, ACTOR, Provisioned};
use super::settings::{Settings, SettingsArguments};
use super::state::DatabaseArguments;
use crate::failure::Failure;
use crate::output::tell;
use crate::subscriber::file;
use crate::{Context, random};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add subscribers to the register, from the descriptions that cards and profiles are made from
    #[command(after_help = "\
Examples:
  vuicc operator subscriber add anna.toml
      in service at once
  vuicc operator subscriber add anna.toml --contract
      and has accepted the terms of all contracts
  vuicc operator subscriber add stock-*.toml --status provisioned
      active once the profile is downloaded

All of them or none: what is wrong with one keeps the others out as well. One that is there already, with these numbers \
and keys, stays as it is; terms are accepted afterwards by: vuicc operator subscriber contract")]
    Add(Add),
    /// Accept the current terms for a subscriber, of all contracts, as on paper or in a shop
    #[command(after_help = "\
Examples:
  vuicc operator subscriber contract +15551234567
      what waits for the contract goes on when the device asks again")]
    Contract(Contract),
    /// List subscriptions
    #[command(after_help = "\
Examples:
  vuicc operator subscriber list
  vuicc operator subscriber list --status barred --json | jq -r .imsi")]
    List(List),
    /// Show subscriptions by any of their numbers
    #[command(after_help = "\
Examples:
  vuicc operator subscriber show 001010000000001  by IMSI
  vuicc operator subscriber show +15551234567     by number: all that it reaches
  vuicc operator subscriber show 89049032…        by ICCID or EID")]
    Show(Named),
    /// Bar a subscription: no authentication, no calls
    #[command(after_help = "\
Examples:
  vuicc operator subscriber bar 001010000000001")]
    Bar(Named),
    /// Put a subscription into service
    #[command(after_help = "\
Examples:
  vuicc operator subscriber activate 001010000000001")]
    Activate(Named),
    /// Remove a subscription from the register, with its keys
    #[command(after_help = "\
Examples:
  vuicc operator subscriber remove 001010000000001")]
    Remove(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Descriptions of subscribers, in TOML or JSON: docs/subscribers.md
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The initial status
    #[arg(long, value_enum, default_value_t = NewStatus::Active)]
    status: NewStatus,
    /// Their cards are SIMs (2G), which authenticate by EAP-SIM only; A3 and A8 are based on Milenage (TS 55.205)
    #[arg(long)]
    sim: bool,
    /// They have accepted the current terms, of all contracts
    #[arg(long)]
    contract: bool,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    database: DatabaseArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NewStatus {
    /// In service
    Active,
    /// Known, its service has not begun
    Provisioned,
}

#[derive(Debug, Args)]
pub(crate) struct Contract {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this status
    #[arg(long, value_enum)]
    status: Option<AnyStatus>,
    #[command(flatten)]
    database: DatabaseArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AnyStatus {
    /// In service
    Active,
    /// Known, its service has not begun
    Provisioned,
    /// Barred
    Barred,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// IMSI, ICCID, EID or number (with + if in doubt)
    who: Number,
    #[command(flatten)]
    database: DatabaseArguments,
}

/// Any identifier of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// 14 or 15 digits.
    Imsi(Imsi),
    /// 18 to 20 digits that begin with 89.
    Iccid(Iccid),
    /// 32 digits.
    Eid(Eid),
    /// `+` and digits, or a number of digits that no other identifier has.
    Msisdn(Msisdn),
}

impl core::str::FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |error: &dyn fmt::Display| format!("{text}: {error}");
        if let Some(number) = text.strip_prefix('+') {
            return number.parse().map(Self::Msisdn).map_err(|error| refused(&error));
        }
        match text.len() {
            14 | 15 => text.parse().map(Self::Imsi).map_err(|error| refused(&error)),
            18..=20 => text.parse().map(Self::Iccid).map_err(|error| refused(&error)),
            32 => text.parse().map(Self::Eid).map_err(|error| refused(&error)),
            _ => text.parse().map(Self::Msisdn).map_err(|error| refused(&error)),
        }
    }
}

impl Number {
    /// Its name in the business support system.
    pub(crate) fn identifier(&self) -> Identifier {
        match self.clone() {
            Self::Imsi(imsi) => Identifier::Imsi(imsi),
            Self::Iccid(iccid) => Identifier::Iccid(iccid),
            Self::Eid(eid) => Identifier::Eid(eid),
            Self::Msisdn(msisdn) => Identifier::Msisdn(msisdn),
        }
    }

    /// The register's query.
    pub(crate) const fn lookup(&self) -> Lookup<'_> {
        match self {
            Self::Imsi(imsi) => Lookup::Imsi(imsi),
            Self::Iccid(iccid) => Lookup::Iccid(iccid),
            Self::Eid(eid) => Lookup::Eid(eid),
            Self::Msisdn(msisdn) => Lookup::Msisdn(msisdn),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imsi(imsi) => write!(f, "IMSI {imsi}"),
            Self::Iccid(iccid) => write!(f, "ICCID {iccid}"),
            Self::Eid(eid) => write!(f, "EID {eid}"),
            Self::Msisdn(msisdn) => write!(f, "number {msisdn}"),
        }
    }
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Add(arguments) => add(arguments, context).await,
        Command::Contract(Contract { named, settings }) => {
            let settings = settings.read(context)?;
            let hlr = named.database.existing_register(context).await?;
            let subscription = one(&hlr, &named.who).await?;
            sign(&named.database, &settings, slice::from_ref(&subscription), context).await?;
            context.output.json(&serde_json::json!({
                "imsi": subscription.imsi.as_str(), "accepted": settings.contract.terms,
            }))?;
            Ok(context.output.text(format_args!(
                "IMSI {} has accepted terms {} of all contracts",
                subscription.imsi, settings.contract.terms
            ))?)
        }
        Command::List(arguments) => list(arguments, context).await,
        Command::Show(named) => {
            let hlr = named.database.existing_register(context).await?;
            for subscription in found(&hlr, &named.who).await? {
                put(&hlr, &subscription, context).await?;
            }
            Ok(())
        }
        Command::Bar(named) => set_status(named, Status::Barred, context).await,
        Command::Activate(named) => set_status(named, Status::Active, context).await,
        Command::Remove(named) => {
            let hlr = named.database.existing_register(context).await?;
            // An unreadable one is removed by its IMSI.
            let imsi = match &named.who {
                Number::Imsi(imsi) => imsi.clone(),
                other => one(&hlr, other).await?.imsi,
            };
            boss::remove(&hlr, &imsi, &Change::by(ACTOR)).await.map_err(|error| match error {
                BossError::Hlr(HlrError::NotFound(_)) => nobody(&Number::Imsi(imsi.clone())),
                other => other.into(),
            })?;
            context.output.json(&serde_json::json!({ "removed": imsi.as_str() }))?;
            Ok(context.output.text(format_args!("IMSI {imsi} has been removed from the register"))?)
        }
    }
}

async fn list(arguments: &List, context: &Context) -> Result<(), Failure> {
    let hlr = arguments.database.existing_register(context).await?;
    let wanted = arguments.status.map(|status| match status {
        AnyStatus::Active => Status::Active,
        AnyStatus::Provisioned => Status::Provisioned,
        AnyStatus::Barred => Status::Barred,
    });
    let mut subscriptions = hlr.subscriptions().await?;
    subscriptions.retain(|subscription| wanted.is_none_or(|wanted| wanted == subscription.status));
    if subscriptions.is_empty() {
        context.output.text("no subscriptions")?;
    }
    for subscription in &subscriptions {
        put(&hlr, subscription, context).await?;
    }
    for Damaged { what, name, why } in hlr.damaged().await? {
        tell(&format!(
            "vuicc: {what} of {name} cannot be read: {why}; a subscription that is removed, by its IMSI, and added again works"
        ));
    }
    Ok(())
}

async fn add(arguments: &Add, context: &Context) -> Result<(), Failure> {
    let settings = arguments.settings.read(context)?;
    let own = (settings.network.mcc.as_str(), settings.network.mnc.as_str());
    let status = match arguments.status {
        NewStatus::Active => Status::Active,
        NewStatus::Provisioned => Status::Provisioned,
    };
    let named = |path: &PathBuf, failure: Failure| failure.while_doing(&path.display().to_string());
    let mut subscribers = Vec::new();
    for path in &arguments.files {
        let subscriber = file::read(path)?;
        let home = subscriber.home_network();
        if home != own {
            let cause = format!("imsi: is of network {} {}, and this operator is {} {}", home.0, home.1, own.0, own.1);
            return Err(named(path, Failure::because(cause).with(Exit::Input)));
        }
        provision::subscription(&subscriber, status, arguments.sim).map_err(|failure| named(path, failure))?;
        subscribers.push((path, subscriber));
    }
    let hlr = arguments.database.register(context).await?;
    let (mut all, mut added): (Vec<Subscription>, Vec<Imsi>) = (Vec::new(), Vec::new());
    for (path, subscriber) in &subscribers {
        match provision::add(&hlr, subscriber, status, arguments.sim).await {
            Ok(Provisioned::Added(subscription)) => {
                added.push(subscription.imsi.clone());
                all.push(subscription);
            }
            Ok(Provisioned::There(subscription)) => {
                tell(&format!("vuicc: {}: already in the register, unchanged", path.display()));
                all.push(subscription);
            }
            Err(failure) => {
                for imsi in &added {
                    boss::remove(&hlr, imsi, &Change::by(ACTOR)).await?;
                }
                let others = if subscribers.len() > 1 { "; none was added" } else { "" };
                return Err(match named(path, failure) {
                    Failure::Because(cause) => {
                        let line = format!("{cause}{others}");
                        Failure::Because(cause.reworded(line))
                    }
                    told @ Failure::Told(_) => told,
                });
            }
        }
    }
    if arguments.contract {
        sign(&arguments.database, &settings, &all, context).await?;
    }
    for subscription in &all {
        put(&hlr, subscription, context).await?;
    }
    if all.len() > 1 {
        let unchanged = all.len().saturating_sub(added.len());
        context.output.summary([("added", added.len()), ("unchanged", unchanged)])?;
    }
    if settings.contract.required
        && !arguments.contract
        && all.iter().any(|one| added.contains(&one.imsi) && one.status == Status::Active)
    {
        tell(
            "vuicc: terms are accepted on the portal before a first order, or now: vuicc operator subscriber contract, or add \
             with --contract",
        );
    }
    Ok(())
}

/// Records the acceptance of all contracts.
async fn sign(
    database: &DatabaseArguments,
    settings: &Settings,
    subscriptions: &[Subscription],
    context: &Context,
) -> Result<(), Failure> {
    let boss = parts::offline_boss(database.open(context).await?, settings, context);
    for subscription in subscriptions {
        for subject in Subject::ALL {
            boss.sign(&subscription.imsi, *subject, random::now()).await?;
        }
    }
    Ok(())
}

async fn set_status(named: &Named, status: Status, context: &Context) -> Result<(), Failure> {
    let hlr = named.database.existing_register(context).await?;
    let subscription = one(&hlr, &named.who).await?;
    hlr.set_status(&subscription.imsi, status, &Change::by(ACTOR)).await?;
    put(&hlr, &Subscription { status, ..subscription }, context).await
}

/// All subscriptions that a number leads to, at least one.
async fn found(hlr: &Hlr, who: &Number) -> Result<Vec<Subscription>, Failure> {
    let found = hlr.lookup(who.lookup()).await?;
    if found.is_empty() { Err(nobody(who)) } else { Ok(found) }
}

/// No subscription has this number.
fn nobody(who: &Number) -> Failure {
    Failure::because(format!(
        "{}; see `vuicc operator subscriber list`, or add the subscriber with `vuicc operator subscriber add`",
        HlrError::NotFound(who.to_string())
    ))
}

/// The only one a number leads to.
pub(crate) async fn one(hlr: &Hlr, who: &Number) -> Result<Subscription, Failure> {
    let mut found = found(hlr, who).await?;
    match (found.pop(), found.len()) {
        (Some(subscription), 0) => Ok(subscription),
        (_, others) => {
            let cause = format!("{who} leads to {} subscriptions; name one by its IMSI or ICCID", others + 1);
            Err(Failure::because(cause))
        }
    }
}

async fn put(hlr: &Hlr, subscription: &Subscription, context: &Context) -> Result<(), Failure> {
    let Subscription { imsi, iccid, msisdn, eid, status } = subscription;
    let presented = hlr.presented_msisdn(imsi).await?;
    Ok(context.output.put_block(&Line {
        imsi: imsi.to_string(),
        iccid: iccid.to_string(),
        status: status.name(),
        shared: presented.filter(|number| Some(number) != msisdn.as_ref()).map(|number| number.to_string()),
        msisdn: msisdn.as_ref().map(ToString::to_string),
        eid: eid.map(|eid| eid.to_string()),
    })?)
}

/// A subscription, printed.
#[derive(Serialize)]
struct Line {
    imsi: String,
    iccid: String,
    status: &'static str,
    /// Its own number.
    msisdn: Option<String>,
    /// Another subscription's number that it shares.
    shared: Option<String>,
    eid: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { imsi, iccid, status, msisdn, shared, eid } = self;
        let number = match (msisdn, shared) {
            (_, Some(shared)) => format!("shares +{shared}"),
            (Some(msisdn), None) => format!("+{msisdn}"),
            (None, None) => "no number".into(),
        };
        write!(f, "{imsi:<15}  {iccid:<20}  {status:<11}  {number}")?;
        eid.as_ref().map_or(Ok(()), |eid| write!(f, "\n  on eUICC  {eid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_by_its_digits() {
        let kind =
            |text: &str| text.parse::<Number>().map(|number| number.to_string().split(' ').next().map(str::to_owned));
        let is = |text: &str, expected: &str| assert_eq!(kind(text), Ok(Some(expected.to_owned())), "{text}");
        is("001010000000001", "IMSI");
        is("8988211000000000011", "ICCID");
        is("89049032123451234512345678901235", "EID");
        is("+123456789012345", "number");
        is("15551234567", "number");
        assert!(kind("89049032123451234512345678901234").unwrap_err().contains("check digits"));
        assert!(kind("anna").is_err());
    }
}
