//! `vuicc device primary messages`: receives, lists and deletes short messages.

use std::time::{Duration, Instant};

use device::entitlement::App;
use device::event::{Event, Party};
use device::inbox::{Inbox, Place as MessagePlace};
use device::mt::{About, Attachment, MtClient, Received};
use device::primary::SubscriptionState;
use serde_json::json;
use sms::{Deliver, Record, Status as SmsStatus};

use super::{Arguments, Deleted, Messages, Numbers, Phone, http, obey, take_out_of_use};
use crate::Context;
use crate::device::memory::Memory;
use crate::device::teller;
use crate::failure::Failure;
use crate::output::{self, Plain};
use crate::random;

/// Receives messages onto the card, and obeys the operator's requests in them.
pub(super) fn take_messages(
    arguments: &Arguments,
    messages: &Messages,
    numbers: &Numbers,
    mut usim: Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    messages.show.check(numbers.msisdn.as_ref())?;
    let (mut told, mut is_silent) = (teller(context), true);
    // Messages received before an interruption and not shown yet: nobody retransmits them.
    with_messages(arguments, memory, context, |client| {
        let unread = client.unread(&mut usim)?;
        is_silent &= unread.is_empty();
        show(unread, messages, numbers, client, &mut usim, &mut told, context)
    })?;
    // A device that was off may have missed the message that its number moved away; an answer now also brings a token,
    // which authenticates it when that happens later.
    match obey(arguments, numbers, &mut usim, memory, context) {
        Ok(SubscriptionState::Ended) => {
            return take_out_of_use(arguments, &messages.retirement, numbers, usim, context);
        }
        Ok(_) => {}
        Err(Failure::Because(cause)) => output::tell(&format!("vuicc: {cause}")),
        Err(told @ Failure::Told(_)) => return Err(told),
    }
    let asked = receive_messages(arguments, messages, numbers, &mut usim, memory, &mut is_silent, context)?;
    if is_silent {
        context.output.text("no message received")?;
    }
    if asked && obey(arguments, numbers, &mut usim, memory, context)? == SubscriptionState::Ended {
        return take_out_of_use(arguments, &messages.retirement, numbers, usim, context);
    }
    Ok(())
}

/// Receives messages for as long as was asked for; returns whether the operator asks to refresh the configuration.
fn receive_messages(
    arguments: &Arguments,
    messages: &Messages,
    numbers: &Numbers,
    usim: &mut Phone,
    memory: &mut Memory,
    is_silent: &mut bool,
    context: &Context,
) -> Result<bool, Failure> {
    let mut told = teller(context);
    let end = Instant::now() + Duration::from_secs(messages.wait);
    if messages.wait > 0 {
        let seconds = messages.wait;
        context.output.json(&json!({ "event": "waiting", "for": "messages", "seconds": seconds }))?;
        output::tell(&format!(
            "vuicc: waiting for messages from the operator's service centre, for {seconds} s; Ctrl-C ends it. No other \
             command can use the card meanwhile"
        ));
    }
    with_messages(arguments, memory, context, |client| {
        // Complete messages were shown above; of the incomplete ones the received parts are known now, and the rest may
        // follow.
        drop(client.unread(usim)?);
        let attachment = client.attach(usim)?;
        let asked = loop {
            let left = end.saturating_duration_since(Instant::now()).min(Duration::from_secs(25));
            let shown = client.receive(&attachment, left, usim).map_err(Failure::from).and_then(|received| {
                *is_silent &= received.is_empty();
                show(received, messages, numbers, client, usim, &mut told, context)
            });
            match shown {
                Ok(false) if Instant::now() < end => {}
                last => break last,
            }
        };
        // Also after an error: nobody retransmits that.
        let given_up = client.given_up();
        *is_silent &= given_up.is_empty();
        show(given_up, messages, numbers, client, usim, &mut told, context)?;
        let asked = asked?;
        announced(client, &attachment, usim).map(|()| asked)
    })
}

/// Runs the device's side of the message endpoint.
fn with_messages<R>(
    arguments: &Arguments,
    memory: &mut Memory,
    context: &Context,
    act: impl FnOnce(&mut MtClient<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let mut http = http(arguments, context)?;
    let (mut fill, mut tell) = (random::fill, teller(context));
    let client = MtClient::new(&mut http, &arguments.operator.entitlement, &mut fill, &mut tell, Party::Primary);
    act(&mut client.with_memory(memory))
}

/// Read messages are evicted; the operator is told if a message was refused for lack of memory before.
fn announced(client: &mut MtClient<'_>, attachment: &Attachment, usim: &mut Phone) -> Result<(), Failure> {
    client.announce_room(attachment, usim)?;
    Ok(())
}

/// Shows received messages, and marks them as read. Returns whether the operator asks to refresh the configuration.
fn show(
    received: Vec<Received>,
    messages: &Messages,
    numbers: &Numbers,
    client: &mut MtClient<'_>,
    usim: &mut Phone,
    told: &mut dyn FnMut(Event),
    context: &Context,
) -> Result<bool, Failure> {
    let mut asked = false;
    for received in received {
        match received {
            // A part of a long message waits for the others.
            Received::Sms { whole, .. } if whole.is_empty() => {}
            Received::Sms { place, whole, from, text, about } => {
                show_one(Some(place), &from, text.as_deref(), &about, context)?;
                messages.show.show(numbers.msisdn.as_ref(), text.as_deref().unwrap_or_default(), context, told)?;
                for place in whole {
                    let mut inbox = client.inbox(usim);
                    if about.deleted_when_read {
                        inbox.delete(place)?;
                    } else {
                        inbox.mark_read(place)?;
                    }
                }
            }
            Received::Part | Received::Read(_) | Received::ForCard | Received::Discarded | Received::Unreadable => {}
            Received::Shown { from, text, about } => {
                show_one(None, &from, text.as_deref(), &about, context)?;
                messages.show.show(numbers.msisdn.as_ref(), text.as_deref().unwrap_or_default(), context, told)?;
            }
            Received::ConfigurationWanted(apps) => asked |= apps.contains(&App::Primary),
            Received::NoRoom { from } => {
                context.output.json(&json!({ "event": "no_room", "from": from }))?;
                output::tell(&format!(
                    "vuicc: the message memory is full, and a message from {from} waits at the operator: all stored messages \
                     are unread, or it has to go onto the card; see messages --list, messages --delete NAMES"
                ));
            }
            Received::RefusedByCard => output::tell("vuicc: the card rejected a message addressed to it"),
        }
    }
    Ok(asked)
}

/// Placeholder for a message without readable text.
const NO_TEXT: &str = "(no text)";

fn show_one(
    place: Option<MessagePlace>,
    from: &str,
    text: Option<&str>,
    about: &About,
    context: &Context,
) -> Result<(), Failure> {
    let record = if let Some(MessagePlace::Card(record)) = place { Some(record) } else { None };
    let mut waiting = about
        .waiting
        .iter()
        .map(|waiting| json!({ "kind": waiting.kind.name(), "active": waiting.active, "count": waiting.count }));
    context.output.json(&json!({
        "event": "message", "record": record, "place": place.map(|place| place.to_string()), "from": from,
        "text": text.unwrap_or_default(), "class": about.class, "wants_call": about.wants_call,
        "waiting": waiting.next(), "also_waiting": waiting.collect::<Vec<_>>(), "complete": !about.is_incomplete,
    }))?;
    // Each of its lines is indented, so that it cannot be mistaken for another.
    let text = text.filter(|text| !text.is_empty()).unwrap_or(NO_TEXT).replace('\n', "\n  ");
    let shown_only = if place.is_none() { ", not stored" } else { "" };
    context.output.block(format_args!("from {}{shown_only}: {text}", Plain(from)))?;
    if about.wants_call {
        context.output.text(format_args!("  {from} asks for a return call"))?;
    }
    if about.is_incomplete {
        context.output.text("  some parts are missing")?;
    }
    for waiting in &about.waiting {
        let are = if waiting.active { "waits" } else { "waits no more" };
        let count = match waiting.count.filter(|_| waiting.active) {
            Some(u8::MAX) => ": 255 or more".to_owned(),
            Some(count) => format!(": {count}"),
            None => String::new(),
        };
        context.output.text(format_args!("  {} {are}{count}", waiting.kind.name()))?;
    }
    Ok(())
}

/// Lists stored messages, and deletes the named ones.
pub(super) fn kept_messages(
    arguments: &Arguments,
    messages: &Messages,
    mut usim: Phone,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let mut inbox = Inbox { usim: &mut usim, store: memory };
    let kept = inbox.messages()?;
    let named = |place: MessagePlace, status: SmsStatus| {
        messages.delete.iter().any(|deleted| match deleted {
            Deleted::One(one) => *one == place,
            Deleted::Read => status == SmsStatus::Read,
            Deleted::All => true,
        })
    };
    for deleted in &messages.delete {
        if let Deleted::One(place) = deleted
            && !kept.iter().any(|(there, _)| there == place)
        {
            return Err(Failure::because(format!("there is no message {place}; see messages --list")));
        }
    }
    for (place, record) in &kept {
        let is_deleted = named(*place, record.status);
        if is_deleted {
            inbox.delete(*place)?;
        }
        if messages.list || is_deleted {
            tell_kept(*place, record, is_deleted, context)?;
        }
    }
    if kept.is_empty() {
        context.output.text("no messages stored")?;
    }
    // A message that was refused for lack of memory arrives as soon as the operator knows.
    if !messages.delete.is_empty() && usim.is_memory_exceeded()? {
        let told = with_messages(arguments, memory, context, |client| {
            let attachment = client.attach(&mut usim)?;
            announced(client, &attachment, &mut usim)
        });
        if let Err(Failure::Because(cause)) = told {
            output::tell(&format!(
                "vuicc: the operator could not be told that memory is available, and is told the next time: {cause}"
            ));
        }
    }
    Ok(())
}

fn tell_kept(place: MessagePlace, record: &Record, deleted: bool, context: &Context) -> Result<(), Failure> {
    let status = match record.status {
        SmsStatus::Unread => "unread",
        SmsStatus::Sent => "sent",
        SmsStatus::ToBeSent => "to be sent",
        _ => "read",
    };
    let deliver = Deliver::decode(&record.tpdu).ok();
    let from = deliver.as_ref().map(|deliver| deliver.from.value().to_owned());
    let at = deliver.as_ref().and_then(|deliver| deliver.at.unix());
    let text = deliver.and_then(|deliver| deliver.data.as_text());
    context.output.json(&json!({
        "event": if deleted { "message_deleted" } else { "message_kept" }, "place": place.to_string(), "status": status,
        "from": from, "at": at, "text": text,
    }))?;
    let done = if deleted { "deleted: " } else { "" };
    let (from, text) = (
        from.unwrap_or_default(),
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| NO_TEXT.into()).replace('\n', "\n  "),
    );
    Ok(context.output.block(format_args!("{done}{place:>4}  {status:<10}  {}: {text}", Plain(from)))?)
}
