//! `vuicc card run`: cards in the slots of the virtual reader, or behind sockets.

mod cards;
mod coordinator;
mod neighbours;
mod stay;
mod usb_links;

use std::path::PathBuf;

use clap::Args;
use console::Exit;
use reader_bridge::socket::Address;
use reader_bridge::vpcd;

pub(crate) use cards::Place;
pub(crate) use coordinator::{Running, bind, listen, placed, unbound};
pub(crate) use stay::StayArguments;

use crate::Context;
use crate::exposure::ExposureArguments;
use crate::failure::Failure;
use crate::file::image;
use crate::key_log::KeyLogArguments;
use crate::repeatable::SeedArguments;
use crate::trace::TraceArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Card images, one per slot
    #[arg(value_name = "PATH", required = true, value_parser = image)]
    images: Vec<PathBuf>,
    /// Address of a slot, in the order of the images [default: this machine, ports 35963, 35964 …]
    #[arg(long = "reader", alias = "slot", value_name = "HOST:PORT")]
    readers: Vec<String>,
    /// Listen for clients here instead of going into a reader, in the order of the images: HOST:PORT (port 0 takes a free
    /// one), or unix:PATH
    #[arg(long = "listen", value_name = "ADDRESS", id = "listen", conflicts_with = "readers")]
    listeners: Vec<Address>,
    #[command(flatten)]
    exposure: ExposureArguments,
    #[command(flatten)]
    stay: StayArguments,
    #[command(flatten)]
    key_log: KeyLogArguments,
    #[command(flatten)]
    trace: TraceArguments,
    #[command(flatten)]
    seed: SeedArguments,
}

impl Arguments {
    /// The address for each card.
    fn slots(&self) -> Result<Vec<String>, Failure> {
        if self.readers.len() > self.images.len() {
            return Err(Failure::because(format!(
                "{} readers for {} cards; give one reader for each image",
                self.readers.len(),
                self.images.len()
            ))
            .with(Exit::Usage));
        }
        let first_port = first_port()?;
        let default = |slot: usize| u16::try_from(slot).ok().and_then(|slot| first_port.checked_add(slot));
        (0..self.images.len())
            .map(|slot| match (self.readers.get(slot), default(slot)) {
                (Some(reader), _) if is_no_host(reader) => Err(Failure::because(format!(
                    "`{reader}` is not the address of a slot (HOST:PORT): the first slot of the virtual reader \
                     is 127.0.0.1:{first_port}, the second has the next port. Numbers and names of readers are for the \
                     programs that use the card"
                ))
                .with(Exit::Usage)),
                (Some(reader), _) if reader.contains(':') => Ok(reader.clone()),
                (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
                (None, Some(port)) => Ok(format!("127.0.0.1:{port}")),
                (_, None) => Err(Failure::because("there are more cards than ports; use --reader HOST:PORT for each")
                    .with(Exit::Usage)),
            })
            .collect()
    }
}

/// What passes over a socket of a card.
pub(crate) const APDUS_HAVE: &str = "APDUs have";

/// Whether this looks like a reader's number or name rather than a host with or without port.
fn is_no_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_number = host.chars().all(|digit| digit.is_ascii_digit());
    host.is_empty()
        || is_number
        || host.contains(char::is_whitespace)
        || port.is_some_and(|port| port.parse::<u16>().is_err())
}

/// The port of the virtual reader's first slot: `VPCD_PORT` from the environment, or the default.
pub(crate) fn first_port() -> Result<u16, Failure> {
    match std::env::var("VPCD_PORT") {
        Ok(port) => port
            .parse()
            .map_err(|_| Failure::because(format!("VPCD_PORT is `{port}`, not a port number")).with(Exit::Usage)),
        Err(_) => Ok(vpcd::DEFAULT_PORT),
    }
}

/// Refuses what is named twice: the second would wait for the first.
fn once<T: PartialEq>(what: &str, named: &[T], told: impl Fn(&T) -> String) -> Result<(), Failure> {
    for (index, one) in named.iter().enumerate() {
        if named.iter().skip(index + 1).any(|other| other == one) {
            return Err(
                Failure::because(format!("{} is named twice; give each {what} once", told(one))).with(Exit::Usage)
            );
        }
    }
    Ok(())
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    // One that is not there is told of later.
    let found: Vec<_> =
        arguments.images.iter().map(|image| image.canonicalize().unwrap_or_else(|_| image.clone())).collect();
    for address in &arguments.listeners {
        arguments.exposure.check(address, address.is_local(), APDUS_HAVE)?;
    }
    once("card", &found, |image| image.display().to_string())?;
    if arguments.listeners.is_empty() {
        once("slot", &arguments.slots()?, Clone::clone)?;
    }
    let name = arguments.images.first().and_then(|image| image.file_name()).unwrap_or_default();
    arguments.stay.run(name, context, |parent| coordinator::run(arguments, context, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An invalid address is refused; it would be retried for ever.
    #[test]
    fn places_of_slots() {
        let slots = |readers: &[&str]| {
            let readers = readers.iter().map(|reader| (*reader).to_owned()).collect();
            let images = vec!["a.img".into(), "b.img".into()];
            Arguments {
                images,
                readers,
                listeners: Vec::new(),
                exposure: ExposureArguments::default(),
                stay: StayArguments::default(),
                key_log: KeyLogArguments::default(),
                trace: TraceArguments::none(),
                seed: SeedArguments::default(),
            }
            .slots()
        };
        for wrong in ["1", "0", "Virtual PCD 00 01", "127.0.0.1:", "host:x", ":35963", "7:35963", "host:70000", ""] {
            let Err(Failure::Because(cause)) = slots(&[wrong]) else { panic!("{wrong}") };
            assert!(cause.contains("HOST:PORT") && cause.contains("127.0.0.1:"), "{cause}");
        }
        let first = first_port().unwrap();
        let second = first + 1;
        for (named, expected) in [
            (&[][..], [format!("127.0.0.1:{first}"), format!("127.0.0.1:{second}")]),
            (&["other", "10.0.0.1:7"], [format!("other:{first}"), "10.0.0.1:7".into()]),
            (&["[::1]:35963"], ["[::1]:35963".into(), format!("127.0.0.1:{second}")]),
        ] {
            assert_eq!(slots(named).unwrap(), expected);
        }
    }
}
