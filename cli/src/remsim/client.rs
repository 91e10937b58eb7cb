//! `vuicc remsim client`: a card of a bank, in the virtual reader or behind a socket.

use std::path::Path;
use std::time::Duration;

use apdu::TransportError;
use clap::Args;
use console::Exit;
use reader_bridge::proxy::Proxy;
use reader_bridge::remsim::{Lost, Place, RemoteCard};
use rspro::{BankSlot, ClientSlot};
use tokio::sync::watch;

use super::{bank, server};
use crate::Context;
use crate::apdu::PlaceArguments;
use crate::card::detach::Parent;
use crate::failure::Failure;
use crate::trace::TraceArguments;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["bankd", "server"])))]
pub(crate) struct Arguments {
    /// The bank with the card, HOST or HOST:PORT [default port: 9999]
    #[arg(long, value_name = "HOST", value_parser = bank)]
    bankd: Option<String>,
    /// The number of the bank, and which of its cards
    #[arg(long, value_name = "BANK:SLOT", default_value = "1:0", conflicts_with = "server")]
    bank_slot: BankSlot,
    /// The osmo-remsim-server that says which card it is, HOST or HOST:PORT [default port: 9998]
    #[arg(long, value_name = "HOST", value_parser = server)]
    server: Option<String>,
    /// The number of this client, and of its slot
    #[arg(long, value_name = "CLIENT:SLOT", default_value = "0:0")]
    client: ClientSlot,
    /// How long the server may take until it has a card for this client
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "server")]
    wait: u64,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    trace: TraceArguments,
}

/// Between two looks whether the card is still there.
const LOOK: Duration = Duration::from_millis(500);

impl Arguments {
    fn from(&self) -> Place {
        match (&self.bankd, &self.server) {
            (Some(bank), _) => Place::Bank(bank.clone(), self.bank_slot),
            (None, server) => Place::Server(server.clone().unwrap_or_default()),
        }
    }
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    arguments.place.stay.run("remsim".as_ref(), context, |parent| work(arguments, context, parent))
}

fn work(arguments: &Arguments, context: &Context, parent: Option<&mut Parent>) -> Result<(), Failure> {
    arguments.place.check()?;
    let place = arguments.from();
    let card = RemoteCard::connect(&place, arguments.client, Duration::from_secs(arguments.wait))?;
    let name = match &place {
        Place::Bank(address, _) => format!("card {} of {address}", card.bank()),
        Place::Server(address) => format!("card {} by {address}", card.bank()),
    };
    let taken = arguments.place.take(context)?;
    let watcher = arguments.trace.observers(&[&name])?.pop();
    let lost = card.lost();
    let (gone, notice) = watch::channel(None);
    let proxy = Proxy::new(card, move |why: &TransportError| {
        gone.send_replace(Some(why.to_string()));
    });
    let ended = async {
        let why = tokio::select! {
            why = told(notice) => why,
            why = missed(lost) => why,
        };
        Err(Failure::because(format!("{name} is gone: {why}")).with(Exit::Card))
    };
    taken.serve(proxy, Path::new(&name), watcher, context, parent, ended)
}

/// Why a command had no answer.
async fn told(mut lost: watch::Receiver<Option<String>>) -> String {
    match lost.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        // The card is gone with its thread, which says why.
        Err(_) => std::future::pending().await,
    }
}

/// Looks every now and then: while nobody sends a command, nothing else tells.
async fn missed(lost: Lost) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(why) = lost.why() {
            return why;
        }
    }
}
