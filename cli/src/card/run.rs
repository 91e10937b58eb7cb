//! `vuicc card run`: cards in the slots of the virtual reader, or behind sockets.

mod cards;
mod coordinator;

use std::path::PathBuf;

use clap::Args;
use console::Exit;
use reader_bridge::socket::Address;
use reader_bridge::vpcd;

use super::detach::{self, Parent, Word};
use crate::Context;
use crate::failure::Failure;
use crate::file::{image, not_stdout};
use crate::key_log::KeyLogArguments;
use crate::repeatable::SeedArguments;
use crate::trace::TraceArguments;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Card images, one per slot
    #[arg(value_name = "PATH", required = true, value_parser = image)]
    pub(super) images: Vec<PathBuf>,
    /// Address of a slot, in the order of the images [default: this machine, ports 35963, 35964 …]
    #[arg(long = "reader", value_name = "HOST:PORT")]
    readers: Vec<String>,
    /// Listen for clients here instead of going into a reader, in the order of the images: HOST:PORT (port 0 takes a free
    /// one), or unix:PATH
    #[arg(long = "listen", value_name = "ADDRESS", conflicts_with = "readers")]
    listeners: Vec<Address>,
    /// Write FILE as soon as the cards can be used, as JSON: process, readers, sockets, EID, ATR. It is there as long as they
    /// can
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    ready_file: Option<PathBuf>,
    /// Run in the background, and return when the cards can be used; `vuicc card eject` ends that
    #[arg(long)]
    detach: bool,
    /// This is the process in the background
    #[arg(long, hide = true, conflicts_with = "detach")]
    detached: bool,
    /// Append what the process in the background prints to FILE [default: run/NAME.log in the state directory]
    #[arg(long, value_name = "FILE", value_parser = not_stdout)]
    pub(super) log_file: Option<PathBuf>,
    /// Give up when a card has been without a reader for so long [default: never; with --detach 30]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
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

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    if arguments.detach {
        return detach::start(arguments, context);
    }
    let mut parent = if arguments.detached { Some(Parent::take()?) } else { None };
    let outcome = coordinator::run(arguments, context, parent.as_mut());
    if let (Some(parent), Err(failure)) = (&mut parent, &outcome) {
        let row = failure.exit().row();
        let line = if let Failure::Because(cause) = failure {
            cause.to_string()
        } else {
            format!("the command {}", row.meaning)
        };
        parent.tell(&Word::Failed { exit_code: row.code, line });
    }
    outcome
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
                ready_file: None,
                detach: false,
                detached: false,
                log_file: None,
                timeout: None,
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
