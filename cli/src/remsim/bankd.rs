//! `vuicc remsim bankd`: a bank of cards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use apdu::{Icc, TransportError};
use clap::Args;
use console::Exit;
use reader_bridge::proxy::Proxy;
use reader_bridge::remsim::{Bank, Mappings, follow, serve};
use reader_bridge::socket::{Address, Listener};
use reader_bridge::trace::Tracer;
use rspro::{BankSlot, ClientSlot};
use serde_json::json;

use super::events::{tell_of_client, tell_of_server};
use super::server;
use crate::Context;
use crate::asynchronous::{Signals, Stoppable};
use crate::card::control::{Control, Seated};
use crate::card::detach::{Parent, Word};
use crate::card::ready::{Ready, ReadyCard, ReadyFile, Recorded};
use crate::card::run::{StayArguments, unbound};
use crate::card::shared::Shared;
use crate::exposure::ExposureArguments;
use crate::failure::Failure;
use crate::file::image;
use crate::key_log::KeyLogArguments;
use crate::output::{beside, tell};
use crate::repeatable::SeedArguments;
use crate::target::{IN_USE, Target, once_free};
use crate::trace::{TraceArguments, Watcher};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Card images, for slots 0, 1 …
    #[arg(value_name = "PATH", required_unless_present = "readers", value_parser = image)]
    images: Vec<PathBuf>,
    /// A card in this reader (its number, its name or a part of it; or behind a socket, tcp:HOST:PORT or unix:PATH), for the
    /// slot after the images; repeat for more
    #[arg(long = "reader", value_name = "NAME")]
    readers: Vec<String>,
    /// The number of the bank, 0 to 1023
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    bank: u16,
    /// Listen for clients: HOST:PORT (port 0 takes a free one), or unix:PATH. Clients of osmo-remsim-server look at port 9999
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9999")]
    listen: Address,
    #[command(flatten)]
    exposure: ExposureArguments,
    /// Let this osmo-remsim-server say which client gets which card, HOST or HOST:PORT [default port: 9998]
    #[arg(long, value_name = "HOST", value_parser = server)]
    server: Option<String>,
    /// The slot of this client gets the card of this slot, CLIENT:SLOT=SLOT; repeat for more [default: slot 0 of any client the card
    /// of slot 0, and so on]
    #[arg(long = "map", value_name = "CLIENT:SLOT=SLOT", value_parser = mapping, conflicts_with = "server")]
    maps: Vec<(ClientSlot, u16)>,
    #[command(flatten)]
    stay: StayArguments,
    #[command(flatten)]
    key_log: KeyLogArguments,
    #[command(flatten)]
    trace: TraceArguments,
    #[command(flatten)]
    seed: SeedArguments,
}

fn mapping(text: &str) -> Result<(ClientSlot, u16), String> {
    let (client, slot) = text.split_once('=').ok_or("CLIENT:SLOT=SLOT, as in 7:0=1")?;
    let slot = slot.parse().map_err(|_| format!("`{slot}` is not the number of a slot"))?;
    Ok((client.parse()?, slot))
}

impl Arguments {
    fn mappings(&self) -> Result<Mappings, Failure> {
        if self.server.is_none() && self.maps.is_empty() {
            return Ok(Mappings::ByNumber);
        }
        let mut list = BTreeMap::new();
        for (client, slot) in &self.maps {
            let is_known = list.values().any(|known| known == client);
            if is_known || list.insert(*slot, *client).is_some() {
                let what = if is_known { format!("client {client}") } else { format!("slot {slot}") };
                return Err(Failure::because(format!(
                    "{what} is mapped twice; a client has one card, and a card one client"
                ))
                .with(Exit::Usage));
            }
        }
        Ok(Mappings::Listed(list))
    }

    fn name(&self) -> &Path {
        self.images.first().and_then(|image| image.file_name()).map_or(Path::new("bankd"), Path::new)
    }
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.stay.limit().is_some() {
        return Err(Failure::because("the cards of a bank wait for no reader: leave --timeout out").with(Exit::Usage));
    }
    let name = arguments.name().as_os_str();
    arguments.stay.run(name, context, |parent| work(arguments, context, parent))
}

/// Cards that are open, and what is told of them.
struct Opened {
    cards: Vec<Box<dyn Icc + Send>>,
    /// Those in images, for orders of faults.
    seated: Vec<Seated>,
    seen: Vec<ReadyCard>,
}

fn open(arguments: &Arguments) -> Result<Opened, Failure> {
    let provider = arguments.key_log.before(arguments.seed.provider())?;
    arguments.seed.warn();
    let (mut cards, mut seated, mut seen) = (Vec::<Box<dyn Icc + Send>>::new(), Vec::new(), Vec::new());
    for (slot, image) in arguments.images.iter().enumerate() {
        let card = Shared::new(once_free(|| arguments.seed.open(image, slot, &provider), IN_USE)?);
        seated.push(Seated::from(card.clone()));
        cards.push(Box::new(card));
        seen.push(ReadyCard::of(image)?);
    }
    for name in &arguments.readers {
        let card = Target::Reader(name).connect()?;
        seen.push(ReadyCard::named(name, card.atr()));
        let named = name.clone();
        let lost = move |why: &TransportError| tell(&format!("vuicc: the card of {named} is gone: {why}"));
        cards.push(Box::new(Proxy::new(card, lost)));
    }
    Ok(Opened { cards, seated, seen })
}

/// Those cards, watched.
fn traced(cards: Vec<Box<dyn Icc + Send>>, watchers: Vec<Watcher>) -> Vec<Box<dyn Icc + Send>> {
    let mut watchers = watchers.into_iter();
    let watched = |card| match watchers.next() {
        Some(watcher) => Box::new(Tracer::new(card, watcher)) as Box<dyn Icc + Send>,
        None => card,
    };
    cards.into_iter().map(watched).collect()
}

fn work(arguments: &Arguments, context: &Context, parent: Option<&mut Parent>) -> Result<(), Failure> {
    let mappings = arguments.mappings()?;
    let listen = &arguments.listen;
    arguments.exposure.check(listen, listen.is_local(), "RSPRO has")?;
    let Opened { cards, seated, seen } = open(arguments)?;
    let labels: Vec<_> = (0..cards.len())
        .filter_map(|slot| u16::try_from(slot).ok())
        .map(|slot| format!("slot {}", BankSlot { bank: arguments.bank, slot }))
        .collect();
    Stoppable::begin()?.run(async |signals| {
        let listener = Listener::bind(listen).await.map_err(|error| unbound(listen, &error))?;
        let place = listener.address().to_string();
        let seen = seen.into_iter().map(|card| ReadyCard { socket: Some(place.clone()), ..card }).collect();
        // The last, so that nothing else that is wrong costs an earlier one.
        let ready_file = ReadyFile::at(arguments.stay.ready_file.as_deref(), &context.state)?;
        let watchers = arguments.trace.observers(&labels.iter().map(String::as_str).collect::<Vec<_>>())?;
        let bank = Arc::new(Bank::new(arguments.bank, traced(cards, watchers), mappings)?);
        // Without it the cards are used as well.
        let control = Control::of(seated, &context.state).map_err(|failure| failure.tell()).ok();
        let ready = Ready::new(seen);
        let serving = Serving { bank, listener, ready, ready_file, control, server: arguments.server.clone() };
        serving.run(context, parent, signals).await
    })
}

struct Serving {
    bank: Arc<Bank>,
    listener: Listener,
    ready: Ready,
    ready_file: ReadyFile,
    control: Option<Control>,
    server: Option<String>,
}

impl Serving {
    /// Serves clients until the user or the system interrupts.
    async fn run(self, context: &Context, parent: Option<&mut Parent>, signals: &mut Signals) -> Result<(), Failure> {
        let Self { bank, listener, ready, mut ready_file, control, server } = self;
        let output = context.output;
        let _recorded = Recorded::needed(&ready, ready_file.path(), &context.state, parent.is_some())?;
        ready_file.write(&ready)?;
        beside(output.json(&json!({ "event": "ready", "ready": ready })));
        beside(output.text(&ready));
        if let Some(parent) = parent {
            parent.tell(&Word::Ready(ready));
        }
        let orders = async {
            match control {
                Some(control) => control.serve().await,
                None => std::future::pending().await,
            }
        };
        let led = async {
            match server {
                Some(address) => {
                    let address = Rc::new(address);
                    let at = Rc::clone(&address);
                    follow(Arc::clone(&bank), address.to_string(), move |link| tell_of_server(output, &at, &link))
                        .await;
                }
                None => std::future::pending().await,
            }
        };
        let served = serve(Arc::clone(&bank), &listener, signals.received(), move |told| tell_of_client(output, &told));
        let outcome = tokio::select! {
            () = served => Ok(()),
            outcome = orders => outcome,
            () = led => Ok(()),
        };
        ready_file.remove();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read() {
        assert_eq!(mapping("7:0=1"), Ok((ClientSlot { client: 7, slot: 0 }, 1)));
        for wrong in ["", "7:0", "7=1", "7:0=x", "1024:0=0"] {
            assert!(mapping(wrong).is_err(), "{wrong}");
        }
    }
}
