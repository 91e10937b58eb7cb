//! `vuicc lpa notification`: an eUICC's pending notifications.

use apdu::Transport;
use clap::{Args, Subcommand};
use console::Exit;
use lpa::notification::{Outcome, Retry, Selection, process};
use lpa::{Euicc, es10};
use rsp::DecodeError;
use rsp::notification::NotificationElements;
use serde_json::{Value, json};

use super::user::Terminal;
use super::{Session, told_of};
use crate::failure::{Failure, line as line_of};
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List notifications pending on the eUICC
    #[command(after_help = "\
Examples:
  vuicc lpa notification list
  vuicc lpa notification list --json | jq .seq_number")]
    List,
    /// Deliver notifications to their recipients, and remove them from the eUICC
    #[command(after_help = "\
Examples:
  vuicc lpa notification process             all of them
  vuicc lpa notification process 4 7 --keep  these two, and leave them there

A notification leaves the eUICC only when its recipient has it. All of them together take --notification-timeout at most, \
and a recipient that is silent for --exchange-timeout is not asked again: what it has not got waits for the next time.")]
    Process(Process),
    /// Remove notifications from the eUICC without delivering them
    #[command(after_help = "\
Examples:
  vuicc lpa notification remove 4
  vuicc lpa notification remove --all

The operator never hears of what they report.")]
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(crate) struct Process {
    /// Numbers of notifications [default: all]
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Keep them on the eUICC
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Numbers of notifications
    #[arg(value_name = "NUMBER", required_unless_present = "all")]
    numbers: Vec<u64>,
    /// All of them
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<(), Failure> {
    let mut euicc = session.open()?;
    let done = match command {
        Command::List => list(&mut euicc, session.context.output),
        Command::Process(arguments) => deliver(arguments, &mut euicc, session),
        Command::Remove(arguments) => remove(arguments, &mut euicc, session.context.output),
    };
    match done {
        Ok(Done { faults, left }) => {
            euicc.close();
            left.map_or_else(|| told_of(session.context.output, "notification", &faults), Err)
        }
        Err(failure) => Err(failure),
    }
}

/// A command that has come to its end.
struct Done {
    /// List entries that are not understood.
    faults: Vec<DecodeError>,
    /// What it could not do.
    left: Option<Failure>,
}

fn list<T: Transport>(euicc: &mut Euicc<T>, output: Output) -> Result<Done, Failure> {
    let (notifications, faults) = euicc.notification_elements()?;
    for notification in &notifications {
        output.json(&object(notification, None))?;
        output.text(line(notification))?;
    }
    if notifications.is_empty() && faults.is_empty() {
        output.text("no notifications are pending")?;
    }
    Ok(Done { faults, left: None })
}

fn deliver<T: Transport>(arguments: &Process, euicc: &mut Euicc<T>, session: &Session<'_>) -> Result<Done, Failure> {
    let output = session.context.output;
    let selection = match arguments.numbers.as_slice() {
        [] => Selection::All,
        numbers => Selection::Numbers(numbers.to_vec()),
    };
    let (mut client, checks) = session.servers()?;
    let mut user = Terminal::new(output, false).waits_only();
    let retry = Retry { limit: checks.report_limit, ..Retry::default() };
    let (_, faults) = euicc.list_notifications()?;
    let deliveries = process(euicc, &mut client, &selection, !arguments.keep, retry, &mut user)?;
    if deliveries.is_empty() && faults.is_empty() {
        output.text("nothing to report")?;
    }
    let (all, mut undelivered) = (deliveries.len(), 0);
    for delivery in deliveries {
        let (outcome, told) = in_words(&delivery.outcome);
        undelivered += usize::from(matches!(delivery.outcome, Outcome::Failed(_) | Outcome::HeldBack));
        let metadata = NotificationElements::from(delivery.metadata);
        output.json(&object(&metadata, Some(outcome)))?;
        output.text(format_args!("{}  {told}", line(&metadata)))?;
    }
    output.summary([("delivered", all.saturating_sub(undelivered)), ("undelivered", undelivered)])?;
    let left = (undelivered > 0).then(|| Failure::because(staying(undelivered)).with(Exit::Network));
    Ok(Done { faults, left })
}

/// How many are left, and the ways out.
fn staying(undelivered: usize) -> String {
    let (what, them) = match undelivered {
        1 => ("1 notification stays".to_owned(), "it"),
        several => (format!("{several} notifications stay"), "them"),
    };
    format!(
        "{what} on the eUICC; process {them} again later. A server that is elsewhere now is reached with --connect \
         OLD=NEW:PORT; of one that is gone for good `vuicc lpa notification remove NUMBER` removes {them}"
    )
}

/// An outcome for programs, and for people.
fn in_words(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Removed => ("delivered", "delivered".to_owned()),
        Outcome::Kept => ("kept", "delivered, and kept".to_owned()),
        Outcome::Failed(error) => ("failed", format!("NOT DELIVERED: {}", line_of(error))),
        Outcome::HeldBack => ("held_back", "held back: an earlier one was not delivered".to_owned()),
    }
}

fn remove<T: Transport>(arguments: &Remove, euicc: &mut Euicc<T>, output: Output) -> Result<Done, Failure> {
    let (numbers, faults) = if arguments.all {
        let (list, faults) = euicc.notification_elements()?;
        (list.iter().filter_map(|notification| notification.seq_number).collect(), faults)
    } else {
        (arguments.numbers.clone(), Vec::new())
    };
    if numbers.is_empty() && faults.is_empty() {
        output.text("no notifications are pending, nothing to remove")?;
    }
    // A refused one does not keep the others.
    let (all, mut refused) = (numbers.len(), Vec::new());
    for number in numbers {
        match euicc.remove_notification(number) {
            Ok(()) => {
                output.json(&json!({ "removed": number }))?;
                output.text(format_args!("removed {number}"))?;
            }
            Err(error @ es10::Error::Transport(_)) => return Err(error.into()),
            Err(error) => {
                output.json(&json!({ "not_removed": number, "cause": line_of(&error) }))?;
                refused.push(format!("{number}: {}", line_of(&error)));
            }
        }
    }
    output.summary([("removed", all.saturating_sub(refused.len())), ("not_removed", refused.len())])?;
    let left = (!refused.is_empty()).then(|| Failure::because(format!("not removed: {}", refused.join("; "))));
    Ok(Done { faults, left })
}

fn object(notification: &NotificationElements, outcome: Option<&str>) -> Value {
    json!({
        "seq_number": notification.seq_number,
        "event": notification.profile_management_operation.map(|event| event.to_string()),
        "address": notification.notification_address,
        "iccid": notification.iccid.as_ref().map(ToString::to_string),
        "outcome": outcome,
    })
}

fn line(notification: &NotificationElements) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let number = or_dash(notification.seq_number.map(|number| number.to_string()));
    let event = or_dash(notification.profile_management_operation.map(|event| event.to_string()));
    let iccid = or_dash(notification.iccid.as_ref().map(ToString::to_string));
    format!("{number:>4}  {event:<20}  {iccid:<20}  {}", or_dash(notification.notification_address.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lpa::{ServerError, TimeLimit};

    #[test]
    fn an_undelivered_one_comes_with_the_way_out() {
        console::failure::advise(crate::way_out::of);
        let slow =
            ServerError::TooSlow { address: "op.example".into(), limit: TimeLimit::Report { share: 5, whole: 60 } };
        let (outcome, told) = in_words(&Outcome::Failed(slow.into()));
        assert!(outcome == "failed" && told.starts_with("NOT DELIVERED: "), "{told}");
        assert!(told.ends_with("--notification-timeout"), "{told}");
    }

    #[test]
    fn what_stays_is_counted_and_has_ways_out() {
        let (one, two) = (staying(1), staying(2));
        assert!(one.starts_with("1 notification stays on the eUICC; process it again later"), "{one}");
        assert!(two.starts_with("2 notifications stay on the eUICC; process them again later"), "{two}");
        assert!(one.contains("--connect") && one.contains("notification remove"), "{one}");
    }

    #[test]
    fn what_is_not_known_of_a_notification_is_a_dash() {
        let known = NotificationElements { seq_number: Some(7), ..NotificationElements::default() };
        assert_eq!(line(&known), "   7  -                     -                     -");
        let object = object(&known, None);
        assert_eq!((object["seq_number"].as_u64(), object["address"].is_null()), (Some(7), true));
    }
}
