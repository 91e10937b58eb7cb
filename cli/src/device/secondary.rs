//! `vuicc device secondary`: at the service of the primary it is paired with.

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use device::event::{Event, Party, What};
use device::pairing::{Carrier, PairingError, Place, Question, Tunnel};
use device::secondary::{Card, HttpsServers, Secondary};
use device::usim::Usim;
use lpa::{Euicc, LpaError, Options};
use reader_bridge::Transport;
use serde_json::json;

use super::memory::Memory;
use super::person::{EuiccOwner, Person};
use super::{DeviceArguments, teller};
use crate::Context;
use crate::failure::Failure;
use crate::lpa::ServerArguments;
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
  vuicc device secondary --card watch.img serve --pair --listen 127.0.0.1:7400
  vuicc device secondary --reader 1 serve --once
  vuicc device secondary --card watch.img serve --pair --bluetooth 127.0.0.1:9002

It can be found under its name: on the local network (mDNS, _esimpair._tcp), or, with --bluetooth, on the air (by its GATT
service). Never is its EID to be found there.")]
    Serve(Serve),
    /// The EID of the eUICC
    Eid,
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to wait on the local network; port 0 takes any
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:0", conflicts_with = "bluetooth")]
    listen: SocketAddr,
    /// Also take a primary that is not paired yet, after comparing digits
    #[arg(long)]
    pair: bool,
    /// End when the first primary is gone
    #[arg(long)]
    once: bool,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let mut memory = arguments.device.memory("secondary", context)?;
    match &arguments.command {
        Command::Serve(serve) => serve_primaries(arguments, serve, &mut memory, context),
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
    let mut card = open(arguments.target.connect()?, device)?;
    let (mut carrier, place): (Box<dyn Carrier>, Place) = if let Some(hci) = device.bluetooth {
        let eid = match &mut card {
            Card::Euicc(euicc) => Some(euicc.eid()?),
            Card::Uicc(_) => None,
        };
        let radio = DeviceArguments::radio(hci, memory, &terminal.name)?.with_eid(eid);
        let place = Place::Bluetooth(radio.address());
        (Box::new(radio), place)
    } else {
        let mut lan = device.lan(memory, &terminal.name)?;
        let address = lan.listen(serve.listen)?;
        lan.advertise()?;
        (Box::new(lan), Place::Lan(address))
    };
    context.output.json(&json!({ "event": "waiting", "name": terminal.name, "address": place.to_string() }))?;
    context.output.text(format_args!("“{}” waits at {place}", terminal.name))?;
    let person = Person::new(context.output, device.yes);
    let mut user = EuiccOwner::new(context.output, device.yes);
    let mut tell = teller(context);
    let mut pin = device.pin.clone();
    loop {
        let mut compare = |question: &Question| person.compare(question);
        let compare = serve.pair.then_some(&mut compare as &mut dyn FnMut(&Question) -> bool);
        let paired = match carrier.accept(compare, device.patience()) {
            Ok(paired) => paired,
            Err(error) => {
                if is_final(&error, serve.once) {
                    return Err(error.into());
                }
                if !matches!(error, PairingError::Patience(_)) {
                    eprintln!("vuicc: {error}");
                }
                continue;
            }
        };
        if paired.fresh {
            tell(Event::new(Party::Secondary, Party::Primary, What::Paired { name: paired.name.clone() }));
        }
        let mut tunnel = Tunnel::open(paired.channel)?;
        let mut servers = HttpsServers {
            trust: arguments.servers.trust(context)?,
            hosts: arguments.servers.hosts().to_vec(),
            tunnel: Some(tunnel.url()),
        };
        let mut secondary = Secondary {
            card,
            pin,
            terminal: terminal.clone(),
            servers: &mut servers,
            user: &mut user,
            memory: &mut *memory,
            primary: Some(paired.device),
            tell: &mut tell,
            party: Party::Secondary,
        };
        let outcome = secondary.serve(&mut tunnel, device.patience());
        if serve.once {
            return Ok(outcome?);
        }
        // A PIN that turned out to be wrong is not in it any more.
        (card, pin) = (secondary.card, secondary.pin);
        if let Err(error) = outcome {
            eprintln!("vuicc: {error}");
        }
    }
}

/// Whether waiting ends with this. What strangers do ends nothing.
const fn is_final(error: &PairingError, once: bool) -> bool {
    match error {
        PairingError::Network(_) | PairingError::Storage(_) => true,
        PairingError::Patience(_) | PairingError::Rejected | PairingError::RejectedByOther => once,
        _ => false,
    }
}

/// An eUICC if it is one, otherwise a card with a USIM.
fn open(card: Box<dyn Transport>, device: &DeviceArguments) -> Result<Card<Box<dyn Transport>>, Failure> {
    let mut card = card;
    match Euicc::open(&mut *card, Options::default()) {
        Ok(euicc) => {
            euicc.close();
            Ok(Card::Euicc(Box::new(Euicc::open(card, Options::default())?)))
        }
        Err(LpaError::Card(_)) => Ok(Card::Uicc(Usim::open(card, device.pin.as_ref())?)),
        Err(error) => Err(error.into()),
    }
}
