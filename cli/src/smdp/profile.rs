//! `vuicc smdp profile`: add, order, confirm, release and list profiles.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use calendar::Timestamp;
use clap::{Args, Subcommand};
use identities::{Eid, Iccid};
use rsp::metadata::ProfileClass;
use serde::Serialize;
use serde_json::json;
use smdp::SqlStore;
use smdp::order::{self, Confirmation, FinalProfileStatus, MatchingId, OrderError, OrderRequest, ProfileSelector};
use smdp::profile::{Offered, Profile, ProfileState, UnixTime};
use smdp::store::{Column, Damaged, StoreError, Unreadable};

use super::{DatabaseArguments, last_address, notification, reset, served_since};
use crate::failure::{AtPath, Failure};
use crate::file::{Readers, make, not_stdout};
use crate::output::{Plain, tell};
use crate::package::confirmation_code;
use crate::package::{self, Class, Offer, SAY_CLASS};
use crate::server_address::server_address;
use crate::{Context, random};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add profiles
    #[command(after_help = "\
Examples:
  vuicc smdp profile add test-profile.der
  vuicc smdp profile add travel.der --name \"Travel 5 GB\" --provider Example
  vuicc smdp profile add anna.toml
      one made for a subscriber: docs/subscribers.md
  vuicc smdp profile add stock-*.toml --type Companion
      for an operator that orders by type

A package is the unprotected profile package of TCA (\"SAIP\"), in DER. Its header tells the ICCID, the type and name, \
and whether it is for tests. All \
of them or none: what is wrong with one keeps the others out as well.")]
    Add(Add),
    /// Order a profile and release it for download; prints the activation code
    #[command(after_help = "\
Examples:
  vuicc smdp profile order 8988211000000000011
  vuicc smdp profile order --type \"Travel 5 GB\" --confirmation-code 1234
  vuicc smdp profile order 8988211000000000011 --eid 89049032… --by-eid
      for the default SM-DP+ case
  vuicc smdp profile order 8988211000000000011 --reserve
      confirm and release come later
  vuicc smdp profile order 8988211000000000011 --reusable --matching-id TEST
      the same code for every run of a test")]
    Order(OrderArguments),
    /// Confirm a reserved order: decide how its download is identified
    #[command(after_help = "\
Examples:
  vuicc smdp profile confirm 8988211000000000011 --matching-id GIFT-2024")]
    Confirm(Confirm),
    /// Release a confirmed order for download; prints the activation code
    #[command(after_help = "\
Examples:
  vuicc smdp profile release 8988211000000000011")]
    Release(Named),
    /// Cancel an order; the profile may be ordered again
    #[command(after_help = "\
Examples:
  vuicc smdp profile cancel 8988211000000000011
  vuicc smdp profile cancel 8988211000000000011 --withdraw
      nobody is to have it any more")]
    Cancel(Cancel),
    /// Remove a profile that cannot be read, and save what is left of it to a file
    #[command(after_help = "\
Examples:
  vuicc smdp profile set-aside 8988211000000000011
      makes 8988211000000000011.set-aside.json

For one that `vuicc smdp profile list` says cannot be read, and that `vuicc smdp profile add` does not replace because it \
may be on an eUICC. The file has all that is kept of it; what was sealed still is, for the master key of the database. \
Until it is deleted on that eUICC, putting the same profile in again may bring it to a second one.")]
    SetAside(SetAside),
    /// End the order of a profile whose eUICC is gone, or that leads nowhere: it may be ordered again
    #[command(after_help = "\
Examples:
  vuicc smdp profile reset 8988211000000000011
  vuicc smdp profile reset 8988211000000000011 --yes
      in a script

For a profile in any state, also on an eUICC that no longer exists and so never reports that it was deleted there. A \
download in progress ends (8.10.1/3.9), and what that eUICC reports later changes nothing. Pending progress notifications \
are still delivered; an operator to whom the profile is installed is notified that it was deleted. An order that can be \
cancelled is better cancelled: vuicc smdp profile cancel")]
    Reset(reset::Arguments),
    /// Remove a profile with its package
    #[command(after_help = "\
Examples:
  vuicc smdp profile remove 8988211000000000011
  vuicc smdp profile list --json | jq -r .iccid |
      xargs -n 1 vuicc smdp profile remove --yes
      all of them

In any state, with the same consequences as vuicc smdp profile reset. Notifications that eUICCs sent about it stay. One that \
cannot be read is for vuicc smdp profile set-aside")]
    Remove(reset::Arguments),
    /// List profiles, their states and activation codes
    #[command(after_help = "\
Examples:
  vuicc smdp profile list
  vuicc smdp profile list --only Available --json | jq -r .iccid

Available > Allocated or Linked > Confirmed > Released > Downloaded > Installed > Enabled, Disabled, Deleted; or \
Error where another try is of no use, and Unavailable once withdrawn: docs/operator.md")]
    List(List),
    /// Show a profile, its eUICC's reports, and its pending progress notifications
    #[command(after_help = "\
Examples:
  vuicc smdp profile show 8988211000000000011")]
    Show(Named),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those in this state
    #[arg(long, value_name = "STATE")]
    only: Option<ProfileState>,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
pub(crate) struct Whose {
    #[command(flatten)]
    database: DatabaseArguments,
    /// The SM-DP+ address in activation codes [default: that of the server run last, or that a profile was added for since]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server_address)]
    address: Option<String>,
}

impl Whose {
    fn address(&self, context: &Context) -> Result<String, Failure> {
        self.address.clone().map_or_else(|| last_address(context), Ok)
    }

    /// The address in the activation code of a profile: of the server that was started since it was added, or else the one
    /// it was added for.
    fn address_for(&self, profile: &Profile, context: &Context) -> Result<String, Failure> {
        if self.address.is_some() || served_since(profile.added_at, context)? {
            return self.address(context);
        }
        let recipients = profile.metadata.notification_configuration_info.as_deref().unwrap_or_default();
        let own = recipients.first().map(|first| first.notification_address.clone());
        own.map_or_else(|| self.address(context), Ok)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// ICCID of the profile
    iccid: Iccid,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
pub(crate) struct SetAside {
    /// ICCID of the profile
    iccid: Iccid,
    /// The file to create [default: ICCID.set-aside.json]
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    out: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Profile packages in DER, or subscribers in .toml
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Name of the profile, as the user sees it [default: a subscriber's profile_name, or the type in a package's header,
    /// else the name of the file]
    #[arg(long)]
    name: Option<String>,
    /// Name of the service provider, as the user sees it [default: a subscriber's spn, else vuicc]
    #[arg(long)]
    provider: Option<String>,
    /// Type of the profiles made for subscribers, by which they can be ordered [default: profile_name]
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Class of the profile [default: test if a package requires the test algorithm, else operational]
    #[arg(long, value_enum)]
    class: Option<Class>,
    /// Recipient of notifications about installation, enabling, disabling and deletion, besides this SM-DP+; repeat for
    /// more
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server_address)]
    notify: Vec<String>,
    /// The only operator that may order it over ES2+ [default: any]
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArguments {
    /// ICCID of the profile to order
    #[arg(required_unless_present = "kind", conflicts_with = "kind")]
    iccid: Option<Iccid>,
    /// Order any available profile of this type
    #[arg(long = "type", id = "kind", value_name = "TYPE")]
    kind: Option<String>,
    #[command(flatten)]
    details: Details,
    /// Reserve only; `confirm` and `release` follow
    #[arg(long, conflicts_with = "reusable")]
    reserve: bool,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
struct Details {
    /// The only eUICC that may download it
    #[arg(long)]
    eid: Option<Eid>,
    /// The matchingId in the activation code: capital letters, digits, hyphens [default: a fresh one, hard to guess]
    #[arg(long, value_name = "TEXT", conflicts_with = "by_eid", value_parser = matching_id)]
    matching_id: Option<String>,
    /// Without a matchingId: the eUICC is identified by its EID
    #[arg(long, requires = "eid")]
    by_eid: bool,
    /// A code that the user has to enter
    #[arg(long, value_name = "CODE", value_parser = confirmation_code)]
    confirmation_code: Option<String>,
    /// Hours until the order expires [default: never]
    #[arg(long, value_name = "HOURS")]
    expires_in: Option<u32>,
    /// The order may be downloaded any number of times, by any eUICC (with --eid, by that one): it stays Released. For tests, as
    /// all of them get the same subscription
    #[arg(long)]
    reusable: bool,
}

fn matching_id(text: &str) -> Result<String, String> {
    smdp::order::check_matching_id(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl Details {
    fn matching_id(&self) -> MatchingId {
        match &self.matching_id {
            _ if self.by_eid => MatchingId::ByEid,
            Some(text) => MatchingId::Given(text.clone()),
            None => MatchingId::Generate,
        }
    }

    fn expires_at(&self, now: UnixTime) -> Option<UnixTime> {
        self.expires_in.map(|hours| now + 3600 * UnixTime::from(hours))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Confirm {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    details: Details,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    named: Named,
    /// It must not be ordered again
    #[arg(long)]
    withdraw: bool,
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Add(arguments) => add(arguments, context).await,
        Command::Order(arguments) => {
            let store = arguments.whose.database.open_existing(context).await?;
            let profile = place(arguments, &store).await?;
            show(&profile, &arguments.whose, context)
        }
        Command::Confirm(Confirm { named, details }) => {
            let now = random::now();
            let confirmation = Confirmation {
                eid: details.eid,
                matching_id: details.matching_id(),
                confirmation_code: details.confirmation_code.clone(),
                expires_at: details.expires_at(now),
                reusable: details.reusable,
            };
            let store = named.whose.database.open_existing(context).await?;
            let profile = order::confirm_order(&store, &named.iccid, confirmation, &mut random::fill, now).await;
            let profile = profile.map_err(with_way_out)?;
            show(&profile, &named.whose, context)
        }
        Command::Release(named) => {
            let store = named.whose.database.open_existing(context).await?;
            let profile = order::release_profile(&store, &named.iccid, random::now()).await.map_err(with_way_out)?;
            show(&profile, &named.whose, context)
        }
        Command::Cancel(Cancel { named, withdraw }) => {
            let store = named.whose.database.open_existing(context).await?;
            let status = if *withdraw { FinalProfileStatus::Unavailable } else { FinalProfileStatus::Available };
            let profile =
                order::cancel_order(&store, &named.iccid, status, random::now()).await.map_err(with_way_out)?;
            show(&profile, &named.whose, context)
        }
        Command::List(List { only, whose }) => {
            let store = whose.database.open_existing(context).await?;
            let (mut profiles, damaged) = (store.profiles().await?, store.damaged_profiles().await?);
            let all = profiles.len();
            profiles.retain(|profile| only.is_none_or(|state| profile.state == state));
            let others = all - profiles.len();
            if profiles.is_empty() {
                context.output.text(match only {
                    Some(state) if others > 0 => format!("no profile is {state}; {others} are in other states"),
                    _ => "no profiles; see `vuicc smdp profile add`".to_owned(),
                })?;
            }
            for profile in &profiles {
                show(profile, whose, context)?;
            }
            tell_damaged(damaged);
            Ok(())
        }
        Command::Show(named) => show_history(named, context).await,
        Command::SetAside(arguments) => set_aside(arguments, context).await,
        Command::Reset(arguments) => reset::reset(arguments, context).await,
        Command::Remove(arguments) => reset::remove(arguments, context).await,
    }
}

async fn set_aside(SetAside { iccid, out, database }: &SetAside, context: &Context) -> Result<(), Failure> {
    let store = database.open_existing(context).await?;
    let Some(unreadable) = store.unreadable(iccid).await? else {
        store.profile(iccid).await?.ok_or_else(|| with_way_out(unknown(iccid)))?;
        let cause = format!(
            "profile {iccid} can be read, and is kept; `vuicc smdp profile cancel {iccid} --withdraw` keeps it from being ordered, \
             `vuicc smdp profile remove {iccid}` removes it"
        );
        return Err(Failure::because(cause));
    };
    let columns = unreadable.columns.iter().map(|(name, value)| {
        let value = match value {
            Some(Column::Number(number)) => json!(number),
            Some(Column::Text(text)) => json!(text),
            Some(Column::Octets(octets)) => json!({ "octets": hex::encode(octets) }),
            None => json!(null),
        };
        (name.clone(), value)
    });
    let columns: serde_json::Map<_, _> = columns.collect();
    let Unreadable { why, may_be_on_euicc, .. } = &unreadable;
    let iccid = iccid.to_string();
    let kept = json!({ "iccid": iccid, "why": why, "may_be_on_euicc": may_be_on_euicc, "columns": columns });
    let path = out.clone().unwrap_or_else(|| PathBuf::from(format!("{iccid}.set-aside.json")));
    // The file comes first: if interrupted in between, the profile exists twice and not nowhere.
    let contents = format!("{kept:#}\n");
    // What a run that was interrupted has left is the same.
    if !std::fs::read(&path).is_ok_and(|left| left == contents.as_bytes()) {
        make(&path, contents.as_bytes(), Readers::Owner, "the data of the profile")?;
    }
    if !store.set_aside(&unreadable).await? {
        std::fs::remove_file(&path).at("remove", &path)?;
        return Err(Failure::because(format!("profile {iccid} was changed meanwhile, and is kept; try again")));
    }
    context
        .output
        .json(&json!({ "set_aside": iccid, "file": path, "may_be_on_euicc": may_be_on_euicc, "why": why }))?;
    context.output.text(format_args!("{iccid}: set aside, its data is in {}", path.display()))?;
    if *may_be_on_euicc {
        tell(&format!(
            "vuicc: profile {iccid} may be on an eUICC: if it is added again before it is deleted there, a second one may get it"
        ));
    }
    Ok(())
}

pub(super) fn unknown(iccid: &Iccid) -> OrderError {
    OrderError::UnknownProfile(iccid.clone())
}

async fn add(arguments: &Add, context: &Context) -> Result<(), Failure> {
    let mut offers: Vec<(&PathBuf, Offer)> = Vec::new();
    for file in &arguments.files {
        offers.push((file, package::read_offer(file, arguments.kind.as_deref())?));
    }
    let of_file = |file: &PathBuf, failure: Failure| failure.while_doing(&file.display().to_string());
    let own = arguments.whose.address(context)?;
    let mut profiles = Vec::new();
    for (file, offer) in &offers {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let offered = Offered {
            name: arguments.name.as_deref().or(offer.name.as_deref()).unwrap_or(&stem),
            provider: arguments.provider.as_deref().or(offer.provider.as_deref()).unwrap_or("vuicc"),
            class: match (arguments.class, offer.class) {
                (Some(class), _) => class.into(),
                (None, Some(class)) => class,
                (None, None) => {
                    let name = offer.name.as_deref().unwrap_or_default();
                    let cause =
                        format!("its name is `{name}`, but it does not require the test algorithm; {SAY_CLASS}");
                    return Err(of_file(file, Failure::because(cause)));
                }
            },
        };
        let profile = offered.profile(&offer.package, &own, &arguments.notify, random::now());
        let mut profile = profile.map_err(|why| of_file(file, why.into()))?;
        profile.operator.clone_from(&arguments.operator);
        profiles.push((profile, offer.package.as_slice()));
    }
    let store = arguments.whose.database.open(context).await?;
    store.add_profiles(&profiles).await.map_err(|error| match error {
        StoreError::ProfileExists(iccid) => {
            let all = arguments.files.iter().zip(&profiles);
            let mut files = all.filter(|(_, (profile, _))| *profile.iccid() == iccid).map(|(file, _)| file);
            let there = format!("profile {iccid} already exists; see `vuicc smdp profile show {iccid}`");
            match (files.next(), files.next()) {
                (Some(first), Some(second)) => {
                    let cause = format!("profile {iccid} is in {} too; name one of them", first.display());
                    of_file(second, Failure::because(cause))
                }
                (Some(file), None) if profiles.len() > 1 => {
                    of_file(file, Failure::because(format!("{there}; none of the others was added")))
                }
                (Some(file), None) => of_file(file, Failure::because(there)),
                (None, _) => Failure::because(there),
            }
        }
        other => other.into(),
    })?;
    for (profile, package) in &profiles {
        // A profile that existed and whose package could not be read is replaced.
        let kept = store.profile(profile.iccid()).await?;
        show(kept.as_ref().unwrap_or(profile), &arguments.whose, context)?;
        for caveat in package::caveats(package) {
            tell(&format!("vuicc: {}: {caveat}", profile.iccid()));
        }
    }
    if profiles.len() > 1 {
        context.output.summary([("added", profiles.len())])?;
    }
    Ok(context.output.text(format_args!("eUICCs will report to {own} (an SM-DP+ elsewhere: --address)"))?)
}

async fn place(arguments: &OrderArguments, store: &SqlStore) -> Result<Profile, Failure> {
    let now = random::now();
    let details = &arguments.details;
    let selector = match (&arguments.iccid, &arguments.kind) {
        (Some(iccid), _) => ProfileSelector::Iccid(iccid.clone()),
        (None, kind) => ProfileSelector::Type(kind.clone().unwrap_or_default()),
    };
    if arguments.reserve {
        let reserved = order::download_order(store, selector, details.eid, now).await;
        return explained(reserved, store).await;
    }
    let request = OrderRequest {
        selector,
        eid: details.eid,
        matching_id: details.matching_id(),
        confirmation_code: details.confirmation_code.clone(),
        expires_at: details.expires_at(now),
        reusable: details.reusable,
    };
    let ordered = order::order(store, request, &mut random::fill, now).await;
    explained(ordered, store).await
}

/// A profile order; if there is no such profile, the error lists the existing ones.
async fn explained(outcome: Result<Profile, OrderError>, store: &SqlStore) -> Result<Profile, Failure> {
    let error = match outcome {
        Ok(profile) => return Ok(profile),
        Err(error) => error,
    };
    let profiles = match &error {
        OrderError::NoneOfType(_) => store.profiles().await?,
        _ => return Err(with_way_out(error)),
    };
    let mut types: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for profile in &profiles {
        if let Some(kind) = &profile.profile_type {
            let (available, all) = types.entry(kind).or_default();
            *all += 1;
            *available += usize::from(profile.state == ProfileState::Available);
        }
    }
    let there: Vec<_> =
        types.iter().map(|(kind, (available, all))| format!("`{kind}`, {available} of {all} available")).collect();
    let there =
        if there.is_empty() { "no profile has a type".to_owned() } else { format!("there are {}", there.join("; ")) };
    let cause =
        format!("{error}; {there}; `vuicc smdp profile add FILE --type TYPE` adds more (from a subscriber's file)");
    Err(Failure::because(cause))
}

/// Why an order is refused, and the way out.
pub(super) fn with_way_out(error: OrderError) -> Failure {
    let (iccid, state) = match &error {
        OrderError::WrongState { iccid, state } => (iccid, state),
        OrderError::UnknownProfile(_) => {
            return Failure::because(format!("{error}; see `vuicc smdp profile list`"));
        }
        _ => return error.into(),
    };
    let way_out = match state {
        ProfileState::Available => format!("order it first: `vuicc smdp profile order {iccid}`"),
        ProfileState::Allocated | ProfileState::Linked => {
            format!(
                "`vuicc smdp profile confirm {iccid}` continues, `vuicc smdp profile cancel {iccid}` ends the order"
            )
        }
        ProfileState::Confirmed | ProfileState::Released => format!(
            "`vuicc smdp profile show {iccid}` shows its activation code, `vuicc smdp profile cancel {iccid}` ends the order"
        ),
        ProfileState::Downloaded | ProfileState::Installed | ProfileState::Enabled | ProfileState::Disabled => {
            format!(
                "an eUICC has it; once it is deleted there and that is reported, `vuicc smdp profile cancel {iccid}` makes it \
                 available; if that eUICC is gone, `vuicc smdp profile reset {iccid}` does"
            )
        }
        ProfileState::Deleted | ProfileState::Error => {
            format!("`vuicc smdp profile cancel {iccid}` makes it available")
        }
        ProfileState::Unavailable => {
            format!("it was withdrawn permanently; `vuicc smdp profile remove {iccid}` removes it")
        }
    };
    Failure::because(format!("{error}; {way_out}"))
}

/// Reports, next to the list, what is not in it.
pub(super) fn tell_damaged(damaged: impl IntoIterator<Item = Damaged>) {
    for Damaged { what, name, why } in damaged {
        let way_out =
            if what == "profile" { "; `vuicc smdp profile add` adds its package again, or says why not" } else { "" };
        tell(&format!("vuicc: {what} {name} exists but cannot be read: {why}{way_out}"));
    }
}

fn show(profile: &Profile, whose: &Whose, context: &Context) -> Result<(), Failure> {
    Ok(context.output.put_block(&line(profile, whose, context)?)?)
}

async fn show_history(Named { iccid, whose }: &Named, context: &Context) -> Result<(), Failure> {
    let store = whose.database.open_existing(context).await?;
    let profile = store.profile(iccid).await?.ok_or_else(|| with_way_out(unknown(iccid)))?;
    let reported = store.notifications().await?.into_iter().filter(|one| one.iccid.as_ref() == Some(iccid));
    let untold = store.undelivered_progress().await?.into_iter().filter(|one| one.progress.info.iccid == *iccid);
    context.output.put_block(&History {
        line: line(&profile, whose, context)?,
        changed_at: profile.changed_at,
        expires_at: profile.order.expires_at,
        wrong_confirmation_codes: profile.order.confirmation_code.map(|code| code.failures),
        reported: reported.map(notification::Line::from).collect(),
        untold: untold
            .map(|one| Untold {
                since: one.since,
                operator: one.progress.operator,
                point: one.progress.info.notification_point_id.to_string(),
                success: one.progress.info.notification_point_status.is_success(),
                attempts: one.attempts,
            })
            .collect(),
    })?;
    if let Err(StoreError::DamagedProfile { iccid, why }) = store.package(iccid).await {
        tell_damaged([Damaged { what: "profile", name: iccid.to_string(), why }]);
    }
    Ok(())
}

fn line(profile: &Profile, whose: &Whose, context: &Context) -> Result<Line, Failure> {
    let address = whose.address_for(profile, context)?;
    let order = &profile.order;
    let findable = matches!(profile.state, ProfileState::Confirmed) || profile.state.is_downloadable();
    Ok(Line {
        iccid: profile.iccid().to_string(),
        state: profile.state.name(),
        name: profile.metadata.profile_name.clone().into(),
        provider: profile.metadata.service_provider_name.clone().into(),
        profile_type: profile.profile_type.clone(),
        class: class_name(profile.metadata.profile_class),
        operator: order.operator.clone().or_else(|| profile.operator.clone()),
        eid: order.eid.map(|eid| eid.to_string()),
        matching_id: order.matching_id.clone(),
        activation_code: findable.then(|| order::activation_code(profile, &address).to_string()),
        confirmation_code_required: order.confirmation_code.is_some(),
        reusable: order.reusable,
        downloads: order.downloads,
        address,
    })
}

const OPERATIONAL: &str = "operational";

/// The name of a class. SGP.22 §2.4a.1.3
const fn class_name(class: ProfileClass) -> &'static str {
    match class {
        ProfileClass::TEST => "test",
        ProfileClass::PROVISIONING => "provisioning",
        _ => OPERATIONAL,
    }
}

/// A profile, printed.
#[derive(Serialize)]
struct Line {
    iccid: String,
    state: &'static str,
    name: String,
    provider: String,
    profile_type: Option<String>,
    class: &'static str,
    operator: Option<String>,
    eid: Option<String>,
    matching_id: Option<String>,
    activation_code: Option<String>,
    confirmation_code_required: bool,
    reusable: bool,
    downloads: u32,
    /// The address of this SM-DP+.
    #[serde(skip)]
    address: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20}  {:<11}  {} ({})", self.iccid, self.state, Plain(&self.name), Plain(&self.provider))?;
        if self.class != OPERATIONAL {
            write!(f, ", class {}", self.class)?;
        }
        if let Some(operator) = &self.operator {
            write!(f, "\n  operator         {}", Plain(operator))?;
        }
        if let Some(eid) = &self.eid {
            write!(f, "\n  for EID          {eid}")?;
        }
        if let Some(code) = &self.activation_code {
            write!(f, "\n  activation code  {}", Plain(code))?;
        }
        if self.activation_code.is_some() && self.matching_id.is_none() {
            let address = Plain(&self.address);
            write!(
                f,
                "\n  found by EID     vuicc lpa profile download --smdp {address}; or by the eUICC's default SM-DP+:"
            )?;
            write!(f, "\n                   vuicc lpa chip default-smdp {address}, then vuicc lpa profile download")?;
        }
        if self.confirmation_code_required {
            write!(f, "\n  with a confirmation code")?;
        }
        if self.reusable {
            write!(f, "\n  for any number of downloads")?;
        }
        Ok(())
    }
}

/// A profile with everything known about it, printed.
#[derive(Serialize)]
struct History {
    #[serde(flatten)]
    line: Line,
    /// When its state last changed.
    changed_at: UnixTime,
    expires_at: Option<UnixTime>,
    wrong_confirmation_codes: Option<u32>,
    /// Reported by eUICCs, in order of arrival.
    reported: Vec<notification::Line>,
    /// Pending progress notifications to its operator.
    untold: Vec<Untold>,
}

/// A pending progress notification.
#[derive(Serialize)]
struct Untold {
    since: UnixTime,
    operator: String,
    point: String,
    success: bool,
    attempts: u32,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds| Timestamp(seconds).to_string();
        write!(f, "{}\n  since            {}", self.line, time(self.changed_at))?;
        if let Some(end) = self.expires_at {
            write!(f, "\n  expires          {}", time(end))?;
        }
        if self.line.downloads > 0 {
            write!(f, "\n  delivered        {}×", self.line.downloads)?;
        }
        if let Some(wrong @ 1..) = self.wrong_confirmation_codes {
            write!(f, "\n  wrong codes      {wrong}×")?;
        }
        for reported in &self.reported {
            write!(f, "\n  {}  {}", time(reported.received_at), Plain(reported))?;
        }
        for Untold { since, operator, point, success, attempts } in &self.untold {
            let outcome = if *success { "" } else { " failed" };
            let since = time(*since);
            let (operator, point) = (Plain(operator), Plain(point));
            write!(f, "\n  {since}  not yet delivered to {operator}: {point}{outcome} ({attempts} attempts)")?;
        }
        Ok(())
    }
}
