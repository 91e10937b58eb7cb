//! `vuicc fleet run`: all cards of a fleet, behind one socket.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use reader_bridge::socket::{Address, Client, Listener, fleet};
use serde_json::json;

use super::shelf::{Shelf, open, wake};
use super::{Folder, files};
use crate::Context;
use crate::asynchronous::Stoppable;
use crate::card::detach::{Parent, Word};
use crate::card::ready::{Ready, ReadyCard, ReadyFile, Recorded};
use crate::card::run::StayArguments;
use crate::exposure::ExposureArguments;
use crate::failure::{AtPath as _, Failure};
use crate::output::{Output, beside, tell};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// Where clients come: HOST:PORT (port 0 takes a free one), or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7816")]
    listen: Address,
    #[command(flatten)]
    exposure: ExposureArguments,
    /// How many clients there may be at a time
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
    #[command(flatten)]
    stay: StayArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    arguments.stay.run(arguments.folder.name(), context, |parent| serve(arguments, context, parent))
}

const FILES_OF_A_CLIENT: u64 = 2;
/// Those of the process itself.
const OWN_FILES: u64 = 256;

fn serve(arguments: &Arguments, context: &Context, parent: Option<&mut Parent>) -> Result<(), Failure> {
    let begun = Instant::now();
    arguments.exposure.check(&arguments.listen, arguments.listen.is_local(), "the messages have")?;
    let most = usize::try_from(arguments.connections).unwrap_or(usize::MAX);
    // Where the system gives no more, clients that are too many are told so.
    files::allow(u64::from(arguments.connections) * FILES_OF_A_CLIENT + OWN_FILES);
    let output = context.output;
    // Until here and while cards are opened a signal ends the process; nothing is left behind yet.
    let (atr, cards) = open(&arguments.folder)?;
    let cards = wake(cards)?;
    let count = cards.len();
    let shelf = Arc::new(Shelf::of(cards));
    let file = arguments.folder.file();
    let file = std::path::absolute(&file).at("look into", &file)?;
    Stoppable::begin()?.run(async |signals| {
        let listener = bind(&arguments.listen).await?;
        let address = listener.address().to_string();
        let mut seen = ReadyCard::named(file, &atr);
        seen.socket = Some(address.clone());
        // The last, so that nothing else that is wrong costs an earlier one.
        let mut ready_file = ReadyFile::at(arguments.stay.ready_file.as_deref(), &context.state)?;
        let ready = Ready::new(vec![seen]);
        let _recorded = Recorded::needed(&ready, ready_file.path(), &context.state, parent.is_some())?;
        ready_file.write(&ready)?;
        let seconds = begun.elapsed().as_secs_f64();
        beside(output.json(&json!({ "event": "ready", "ready": ready, "cards": count, "seconds": seconds })));
        let folder = arguments.folder.path().display();
        beside(output.text(format_args!(
            "{folder}: {count} cards have answered, after {seconds:.1} s; clients come to {address}/EID (process {})",
            ready.pid
        )));
        if let Some(parent) = parent {
            parent.tell(&Word::Ready(ready));
        }
        let told = told_by(output, address);
        fleet::serve(Arc::clone(&shelf), &listener, most, signals.received(), told).await;
        ready_file.remove();
        Ok(())
    })?;
    let used = shelf.given_out();
    beside(output.json(&json!({ "event": "ended", "given_out": used })));
    beside(output.text(format_args!("ended; cards were given to clients {used} times")));
    Ok(())
}

async fn bind(address: &Address) -> Result<Listener, Failure> {
    let listener = Listener::bind(address).await.map_err(|error| crate::card::run::unbound(address, &error))?;
    if !address.is_local() {
        tell(&format!("vuicc: whatever reaches {} can use the cards, without any authentication", listener.address()));
    }
    Ok(listener)
}

/// What is told of clients: those that were sent away, and that none can come. The others are too many.
fn told_by(output: Output, socket: String) -> impl Fn(Client<'_>) + Clone + Send + Sync + 'static {
    move |client| {
        let (event, cause) = match &client {
            Client::Connected => return,
            Client::Gone(cause) if cause.kind() == std::io::ErrorKind::ConnectionReset => return,
            Client::Gone(cause) => ("sent_away", cause),
            Client::Unaccepted(cause) => ("unaccepted", cause),
        };
        beside(output.json(&json!({ "socket": socket, "event": event, "cause": cause.to_string() })));
        beside(output.text(format_args!("{socket}: {client}")));
    }
}
