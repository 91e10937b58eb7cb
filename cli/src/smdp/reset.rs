//! `vuicc smdp profile reset` and `remove`: for profiles whose card is gone, and orders that lead nowhere.

use clap::Args;
use console::Exit;
use identities::Iccid;
use serde_json::json;
use smdp::order::{self, OrderError, Reset};
use smdp::profile::{Profile, ProfileState};
use smdp::store::StoreError;

use super::DatabaseArguments;
use super::profile::{unknown, with_way_out};
use crate::failure::Failure;
use crate::output::{Plain, tell};
use crate::question::{ask, is_at_a_terminal, is_yes};
use crate::{Context, random};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// ICCID of the profile
    iccid: Iccid,
    /// Do not ask; needed if nobody is there to answer
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    database: DatabaseArguments,
}

/// So often a profile may change before it is left as it is.
const TRIES: usize = 10;

/// What is to become of the profile.
#[derive(Clone, Copy)]
enum Becomes {
    Available,
    Removed,
}

impl Becomes {
    const fn question(self) -> &'static str {
        match self {
            Self::Available => "End its order and make it available again?",
            Self::Removed => "Remove it and its package for good?",
        }
    }
}

pub(super) async fn reset(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let Arguments { iccid, yes, database } = arguments;
    let store = database.open_existing(context).await?;
    let reset = while_it_changes(iccid, async || {
        let profile = store.profile(iccid).await?.ok_or_else(|| with_way_out(unknown(iccid)))?;
        can_be_reset(&profile)?;
        confirmed(&profile, Becomes::Available, *yes)?;
        Ok(order::reset_profile(&store, &profile, random::now()).await)
    })
    .await?;
    let Reset { was, told, .. } = &reset;
    context.output.json(&json!({
        "reset": iccid.to_string(), "was": was.name(), "state": reset.profile.state.name(), "operator_notified": told,
    }))?;
    context.output.text(format_args!("{iccid}: was {was}, now {}", reset.profile.state))?;
    tell_consequences(&reset);
    Ok(())
}

/// Does something with the profile as the user has confirmed it. If it is in another state by then they see that one, and are
/// asked again.
async fn while_it_changes<T>(
    iccid: &Iccid,
    mut once: impl AsyncFnMut() -> Result<Result<T, OrderError>, Failure>,
) -> Result<T, Failure> {
    for _ in 0..TRIES {
        match once().await? {
            Err(OrderError::Store(StoreError::Conflict(_))) => {
                tell(&format!("vuicc: profile {iccid} has changed meanwhile"));
            }
            outcome => return outcome.map_err(with_way_out),
        }
    }
    Err(Failure::because(format!(
        "profile {iccid} is left as it is: it has changed {TRIES} times meanwhile; try again once nothing else works on it"
    )))
}

fn can_be_reset(profile: &Profile) -> Result<(), Failure> {
    let iccid = profile.iccid();
    let way_out = match profile.state {
        ProfileState::Available => format!("there is nothing to reset: `vuicc smdp profile order {iccid}` orders it"),
        ProfileState::Unavailable => {
            format!("it was withdrawn for good: `vuicc smdp profile remove {iccid}` removes it, `add` adds it anew")
        }
        _ => String::new(),
    };
    if !way_out.is_empty() {
        return Err(Failure::because(format!("profile {iccid} is {}; {way_out}", profile.state)));
    }
    Ok(())
}

pub(super) async fn remove(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let Arguments { iccid, yes, database } = arguments;
    let store = database.open_existing(context).await?;
    let removed = while_it_changes(iccid, async || {
        let profile = store.profile(iccid).await?.ok_or_else(|| with_way_out(unknown(iccid)))?;
        confirmed(&profile, Becomes::Removed, *yes)?;
        Ok(order::remove_profile(&store, profile, random::now()).await)
    })
    .await?;
    let Reset { was, told, .. } = &removed;
    context.output.json(&json!({ "removed": iccid.to_string(), "was": was.name(), "operator_notified": told }))?;
    context.output.text(format_args!("{iccid}: removed, was {was}"))?;
    tell_consequences(&removed);
    Ok(())
}

/// The user wants it, knowing what the profile's state is.
fn confirmed(profile: &Profile, becomes: Becomes, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let (iccid, state) = (profile.iccid(), profile.state);
    let by = match (&profile.order.eid, &profile.order.operator) {
        (Some(eid), _) if state.may_be_on_euicc() => format!(", on EID {eid}"),
        (_, Some(operator)) => format!(", ordered by {}", Plain(operator)),
        _ => String::new(),
    };
    let risk = if state.may_be_on_euicc() {
        " If that eUICC still has it, it and the next one have the same subscription."
    } else {
        ""
    };
    if !is_at_a_terminal() {
        return Err(Failure::because(format!(
            "profile {iccid} is {state}{by}, and nobody is there to confirm.{risk} --yes goes ahead"
        ))
        .with(Exit::Usage));
    }
    let question = format!("Profile {iccid} is {state}{by}.{risk} {} [y/N]", becomes.question());
    if is_yes(ask(&question).as_deref()) {
        return Ok(());
    }
    Err(Failure::because(format!("profile {iccid} is left as it was, {state}")))
}

fn tell_consequences(Reset { profile, was, told }: &Reset) {
    let iccid = profile.iccid();
    if was.may_be_on_euicc() {
        tell(&format!(
            "vuicc: what an eUICC that still has profile {iccid} reports about it changes nothing any more; delete it there, if \
             it is there"
        ));
    }
    if let Some(operator) = told {
        tell(&format!("vuicc: {} is notified that it was deleted from the eUICC", Plain(operator)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_changes_all_the_time_is_left() {
        let iccid: Iccid = "8988211000000000011".parse().unwrap();
        let mut tries = 0;
        let left = while_it_changes::<()>(&iccid, async || {
            tries += 1;
            Ok(Err(OrderError::Store(StoreError::Conflict("profile"))))
        });
        let Err(Failure::Because(cause)) = left.await else { panic!() };
        assert!(cause.starts_with("profile 8988211000000000011 is left as it is"), "{}", &*cause);
        assert_eq!(tries, TRIES);
        let mut changes = [true, true, false].into_iter();
        let done = while_it_changes(&iccid, async || match changes.next() {
            Some(true) => Ok(Err(OrderError::Store(StoreError::Conflict("profile")))),
            _ => Ok(Ok(7)),
        });
        assert_eq!(done.await.ok(), Some(7));
    }
}
