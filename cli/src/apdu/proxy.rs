//! `vuicc apdu proxy`: records what any program and any card say to each other, from between them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apdu::TransportError;
use clap::Args;
use console::Exit;
use reader_bridge::pcsc_reader::{Reader, list_readers, wait_for_card};
use reader_bridge::proxy::Proxy;
use reader_bridge::socket::{CardAddress, Lookout};
use reader_bridge::trace::Event;
use serde_json::json;
use tokio::sync::watch;

use super::place::PlaceArguments;
use crate::Context;
use crate::card::detach::Parent;
use crate::failure::Failure;
use crate::output::beside;
use crate::target::TargetArguments;
use crate::trace::{Destination, Watcher, destination};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Write the session to FILE, readable by its owner only: text, JSON lines if its name ends in .json, packets for Wireshark
    /// if it ends in .pcapng or .pcap; `-` is stderr; gsmtap:HOST or gsmtap:HOST:PORT sends the packets there while they happen
    #[arg(short, long, value_name = "FILE", value_parser = destination)]
    out: Destination,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    target: TargetArguments,
}

/// Between two looks whether the card is still in its reader.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let name = arguments.out.path().and_then(Path::file_name).unwrap_or("proxy".as_ref());
    arguments.place.stay.run(name, context, |parent| record(arguments, context, parent))
}

fn record(arguments: &Arguments, context: &Context, parent: Option<&mut Parent>) -> Result<(), Failure> {
    let (card, lookout) = arguments.target.connect_watched()?;
    let reader = arguments.target.reader_of_service();
    let name = arguments.target.name(reader.as_ref());
    let taken = arguments.place.take(context)?;
    // The last, so that nothing else that is wrong costs an earlier recording.
    let (commands, watcher) = counted(&arguments.out)?;
    let (gone, notice) = watch::channel(None);
    let proxy = Proxy::new(card, |why: &TransportError| {
        gone.send_replace(Some(cause(why)));
    });
    let ended = async {
        let why = gone_from(reader, lookout, notice).await;
        Err(Failure::because(format!(
            "{name} is gone: {why}. The card that stood for it is gone too; {}",
            so_far(&commands, &arguments.out)
        ))
        .with(Exit::Card))
    };
    taken.serve(proxy, Path::new(&name), Some(watcher), context, parent, ended)?;
    let count = commands.load(Ordering::Relaxed);
    beside(context.output.json(&json!({ "recorded": arguments.out.to_string(), "commands": count })));
    beside(context.output.text(so_far(&commands, &arguments.out)));
    Ok(())
}

/// An observer that writes to `out`, and the number of commands that it has seen.
fn counted(out: &Destination) -> Result<(Arc<AtomicU64>, Watcher), Failure> {
    let commands = Arc::new(AtomicU64::new(0));
    let mut write = out.observers(&[""])?.pop();
    let count = Arc::clone(&commands);
    let mut is_off = false;
    let watcher = Box::new(move |event: Event<'_>| {
        // A reader that has none to take away says so again.
        let was_off = std::mem::replace(&mut is_off, event == Event::PowerOff);
        if is_off && was_off {
            return;
        }
        if matches!(event, Event::Exchange { .. }) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(write) = &mut write {
            write(event);
        }
    });
    Ok((commands, watcher))
}

fn so_far(commands: &AtomicU64, out: &Destination) -> String {
    let count = commands.load(Ordering::Relaxed);
    let commands = apdu::counted(count, "command");
    if crate::output::lost().is_some() {
        return format!("{commands} passed; not all of them are recorded: {out}");
    }
    format!("{commands} recorded: {out}")
}

/// Completes when a card that a proxy stands for is gone, and says why: it told that itself, or was missed.
pub(crate) async fn gone_from(
    reader: Option<Reader>,
    lookout: Option<Lookout>,
    notice: watch::Receiver<Option<String>>,
) -> String {
    tokio::select! {
        why = told(notice) => why,
        why = missed(reader) => why,
        why = closed(lookout) => why,
    }
}

/// What has happened to the card, without what to do about it: the recording is over.
pub(crate) fn cause(why: &TransportError) -> String {
    let told = why.to_string();
    told.split_once("; ").map_or(told.as_str(), |(cause, _)| cause).to_owned()
}

/// Why the card does not answer any more.
async fn told(mut lost: watch::Receiver<Option<String>>) -> String {
    match lost.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        // The card is gone with its thread, which says why.
        Err(_) => std::future::pending().await,
    }
}

/// Looks into the reader every now and then: while nobody sends a command, nothing else tells that the card was pulled.
async fn missed(reader: Option<Reader>) -> String {
    let Some(reader) = reader else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(Ok(readers)) = tokio::task::spawn_blocking(list_readers).await else {
            return "the PC/SC service is gone, or has no reader any more".into();
        };
        match readers.iter().find(|now| now.name == reader.name) {
            None => return "its reader was unplugged".into(),
            Some(now) if now.card.is_none() || now.events != reader.events => {
                return cause(&TransportError::CardRemoved);
            }
            Some(_) => {}
        }
    }
}

/// Looks every now and then whether the other end of a socket is there.
async fn closed(lookout: Option<Lookout>) -> String {
    let Some(lookout) = lookout else { return std::future::pending().await };
    while !lookout.is_gone() {
        tokio::time::sleep(LOOK).await;
    }
    cause(&TransportError::CardRemoved)
}

impl TargetArguments {
    /// The reader of the PC/SC service that the card is in, if it is in one.
    pub(crate) fn reader_of_service(&self) -> Option<Reader> {
        if self.image().is_some() || self.reader().is_some_and(|name| CardAddress::of_reader(name).is_some()) {
            return None;
        }
        wait_for_card(self.reader(), Duration::ZERO).ok()
    }

    /// What users call the card.
    pub(crate) fn name(&self, reader: Option<&Reader>) -> String {
        match (reader, self.image(), self.reader()) {
            (Some(reader), _, _) => reader.name.clone(),
            (None, Some(image), _) => image.display().to_string(),
            (None, None, name) => name.unwrap_or("the card").to_owned(),
        }
    }
}
