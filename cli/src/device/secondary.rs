//! `vuicc device secondary`: serves the primary it is paired with.

use std::net::SocketAddr;

use apdu::Transport;
use clap::{Args, Subcommand};
use device::entitlement::Terminal;
use device::event::{Event, Party, What};
use device::flow::FlowError;
use device::secondary::{Card, HttpsServers, Secondary};
use device::usim::{Pin, UsimError};
use lpa::{Euicc, LpaError, Options};
use pairing::{Carrier, Channel, Compare, IsWanted, Message, Paired, PairingError, Place, Question, Tunnel};
use serde_json::json;

use super::memory::Memory;
use super::person::{EuiccOwner, Person};
use super::{DeviceArguments, bonds, teller};
use crate::Context;
use crate::failure::{Failure, line};
use crate::lpa::ServerArguments;
use crate::output;
use crate::random;
use crate::target::TargetArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    servers: ServerArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Wait for the primary, and do what it asks
    #[command(after_help = "\
Examples:
  vuicc device secondary --card watch.img serve --pair
      for a phone on this machine
  vuicc device secondary --card watch.img serve --pair --listen 0.0.0.0:0
      and for one on the local network
  vuicc device secondary --reader 1 serve --once
  vuicc device secondary --card watch.img serve --bluetooth 127.0.0.1:9002
      over Bluetooth LE instead of the local network

It can be found under its name: on this machine or the local network (mDNS, _esimpair._tcp), or, with --bluetooth, on \
the air (by its GATT service). Never is its EID to be found there.")]
    Serve(Serve),
    /// List paired devices; --forget removes one
    #[command(after_help = bonds::EXAMPLES)]
    Bonds(bonds::Arguments),
    /// The EID of the eUICC
    #[command(after_help = "\
Examples:
  vuicc device secondary --card watch.img eid")]
    Eid,
}

#[derive(Debug, Args)]
struct Serve {
    /// Address to listen on; port 0 picks a free one. Without this option only primaries on this machine can connect;
    /// `0.0.0.0:0` makes the device discoverable and reachable on the local network
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", conflicts_with = "bluetooth")]
    listen: SocketAddr,
    /// Also accept an unpaired primary, after comparing digits
    #[arg(long)]
    pair: bool,
    /// Exit when the first primary has disconnected
    #[arg(long)]
    once: bool,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let mut memory = arguments.device.memory("secondary", context)?;
    match &arguments.command {
        Command::Serve(serve) => serve_primaries(arguments, serve, &mut memory, context),
        Command::Bonds(bonds) => bonds::run(bonds, &memory, context),
        Command::Eid => {
            let eid = Euicc::open(arguments.target.connect()?, Options::default())?.eid()?;
            context.output.json(&json!({ "eid": eid.to_string() }))?;
            Ok(context.output.text(eid)?)
        }
    }
}

fn serve_primaries(
    arguments: &Arguments,
    serve: &Serve,
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let device = &arguments.device;
    let terminal = device.terminal(memory, "Watch")?;
    let mut card = arguments.target.connect()?;
    let mut pin = device.pin.clone();
    let (mut carrier, place) = open_carrier(arguments, serve, &terminal.name, &mut *card, memory)?;
    context.output.json(&json!({ "event": "waiting", "name": terminal.name, "address": place.to_string() }))?;
    context.output.text(format_args!("“{}” waits at {place}{}", terminal.name, reach(&place)))?;
    let person = Person::new(context.output, device.yes).who_compares_nothing(device.digits_are_the_same);
    loop {
        let mut compare = |question: &Question, wanted: IsWanted<'_>| person.compare(question, wanted);
        let compare = serve.pair.then_some(&mut compare as Compare<'_>);
        let served = match carrier.accept(compare, device.timeout()) {
            Ok(paired) => serve_one(arguments, &terminal, paired, (&mut *card, &mut pin), memory, context),
            Err(PairingError::Timeout(_)) if !serve.once => continue,
            Err(error) if is_final(&error, serve.once) => return Err(error.into()),
            Err(error) => {
                Failure::from(error).tell();
                continue;
            }
        };
        match served {
            Err(failure @ Failure::Told(_)) => return Err(failure),
            served if serve.once => return served,
            Err(Failure::Because(cause)) => output::tell(&format!("vuicc: {cause}")),
            Ok(()) => {}
        }
    }
}

/// How primaries find and reach the device, and where. Errors of the card are reported before the first one does.
fn open_carrier(
    arguments: &Arguments,
    serve: &Serve,
    name: &str,
    card: &mut dyn Transport,
    memory: &Memory,
) -> Result<(Box<dyn Carrier>, Place), Failure> {
    let device = &arguments.device;
    let mut opened = Card::open(card, device.pin.as_ref())?;
    let carrier: (Box<dyn Carrier>, Place) = if let Some(hci) = device.bluetooth {
        let eid = match &mut opened {
            Card::Euicc(euicc) => Some(euicc.eid()?),
            Card::Uicc(_) => None,
        };
        let radio = DeviceArguments::radio(hci, memory, name)?.with_eid(eid);
        let place = Place::Bluetooth(radio.address());
        (Box::new(radio), place)
    } else {
        let mut lan = device.lan(memory, name, serve.listen.ip().is_loopback())?;
        let address = lan.listen(serve.listen)?;
        lan.advertise()?;
        (Box::new(lan), Place::Lan(address))
    };
    opened.close();
    Ok(carrier)
}

/// Serves one primary, until it disconnects. A wrong PIN is discarded.
fn serve_one(
    arguments: &Arguments,
    terminal: &Terminal,
    mut paired: Paired,
    (card, pin): (&mut dyn Transport, &mut Option<Pin>),
    memory: &mut Memory,
    context: &Context,
) -> Result<(), Failure> {
    let mut tell = teller(context);
    if paired.fresh {
        tell(Event::new(Party::Secondary, Party::Primary, What::Paired { name: paired.name.clone() }));
    }
    // It may have been removed and inserted again since.
    let reset = card.reset().map_err(|error| FlowError::from(LpaError::from(error)));
    let opened = match reset.and_then(|_| Card::open(card, pin.as_ref())) {
        Ok(opened) => opened,
        Err(error) => {
            if matches!(error, FlowError::Usim(UsimError::WrongPin(_) | UsimError::PinBlocked)) {
                *pin = None;
            }
            // A primary that has disconnected does not need the answer.
            let _ = paired.channel.send(&Message::Failed { reason: line(&error) });
            return Err(error.into());
        }
    };
    // Read for each primary: a CI may have been added since.
    let trust = match arguments.servers.trust(context) {
        Ok(trust) => trust,
        Err(failure) => {
            if let Failure::Because(reason) = &failure {
                let _ = paired.channel.send(&Message::Failed { reason: reason.to_string() });
            }
            opened.close();
            return Err(failure);
        }
    };
    let mut tunnel = Tunnel::open(paired.channel)?;
    let (settings, download_limit) = (arguments.servers.settings(trust), arguments.servers.download_limit());
    let mut servers = HttpsServers { settings, download_limit, now: random::now, tunnel: Some(tunnel.url()) };
    let mut user = EuiccOwner::new(context.output, arguments.device.yes);
    let mut secondary = Secondary {
        card: opened,
        pin: pin.take(),
        terminal: terminal.clone(),
        servers: &mut servers,
        user: &mut user,
        memory,
        primary: Some(paired.device),
        tell: &mut tell,
        explain: line,
        party: Party::Secondary,
    };
    let outcome = secondary.serve(&mut tunnel, arguments.device.timeout());
    secondary.card.close();
    *pin = secondary.pin;
    Ok(outcome?)
}

/// Which primaries can connect, where that is not obvious.
fn reach(place: &Place) -> &'static str {
    match place {
        Place::Lan(address) if address.ip().is_loopback() => {
            ", reachable from this machine; --listen 0.0.0.0:0 opens it to the local network"
        }
        Place::Lan(_) => ", reachable from the local network",
        Place::Bluetooth(_) => "",
    }
}

/// Whether this error ends waiting. Errors caused by strangers do not.
const fn is_final(error: &PairingError, once: bool) -> bool {
    match error {
        PairingError::Network(_) | PairingError::Storage(_) => true,
        PairingError::Timeout(_) | PairingError::Rejected | PairingError::RejectedByOther => once,
        _ => false,
    }
}
