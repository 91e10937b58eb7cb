//! Where a card that is no image can be used: a slot of the virtual reader, or a socket.

use std::path::Path;

use apdu::Icc;
use clap::Args;
use console::Exit;
use reader_bridge::socket::Address;

use crate::Context;
use crate::asynchronous::Stoppable;
use crate::card::detach::Parent;
use crate::card::first_port;
use crate::card::ready::{ReadyCard, ReadyFile};
use crate::card::run::{APDUS_HAVE, Place, Running, StayArguments, listen, placed};
use crate::exposure::ExposureArguments;
use crate::failure::Failure;
use crate::trace::Watcher;

/// The options that choose the place.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    /// Put the card into this slot of the virtual reader, HOST:PORT [default: the first one, 127.0.0.1:35963]
    #[arg(long, value_name = "ADDRESS", value_parser = slot)]
    slot: Option<String>,
    /// Listen for clients here instead: HOST:PORT (port 0 takes a free one), or unix:PATH
    #[arg(long, value_name = "ADDRESS", conflicts_with = "slot")]
    listen: Option<Address>,
    #[command(flatten)]
    pub(crate) stay: StayArguments,
    #[command(flatten)]
    exposure: ExposureArguments,
}

fn slot(text: &str) -> Result<String, String> {
    match text.parse() {
        Ok(Address::Tcp(address)) => Ok(address),
        _ => Err("the address of a slot of the virtual reader: HOST:PORT, as in 127.0.0.1:35964".into()),
    }
}

/// A place that is taken, and the ready file of the card that comes there.
pub(crate) struct Taken {
    place: Place,
    ready_file: ReadyFile,
    limit: Option<u64>,
    stoppable: Stoppable,
}

impl PlaceArguments {
    /// The first option that is given, if one is.
    pub(super) fn given(&self) -> Option<&'static str> {
        let own = [(self.slot.is_some(), "--slot"), (self.listen.is_some(), "--listen")];
        own.into_iter().find_map(|(is_given, name)| is_given.then_some(name)).or_else(|| self.stay.given())
    }

    /// Refuses a place that is not to be.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match &self.listen {
            Some(address) => self.exposure.check(address, address.is_local(), APDUS_HAVE),
            None => Ok(()),
        }
    }

    /// Takes the place.
    pub(crate) fn take(&self, context: &Context) -> Result<Taken, Failure> {
        self.check()?;
        let stoppable = Stoppable::begin()?;
        let place = match (&self.listen, &self.slot) {
            (Some(address), _) => listen(address)?,
            (None, Some(slot)) => Place::Slot(slot.clone()),
            (None, None) => Place::Slot(format!("127.0.0.1:{}", first_port()?)),
        };
        let ready_file = ReadyFile::at(self.stay.ready_file.as_deref(), &context.state)?;
        Ok(Taken { place, ready_file, limit: self.stay.limit(), stoppable })
    }
}

impl Taken {
    /// Lets `card`, which is called `name`, be used there until that is interrupted, or `ended`.
    pub(crate) fn serve<C: Icc + Send>(
        self,
        card: C,
        name: &Path,
        tracer: Option<Watcher>,
        context: &Context,
        parent: Option<&mut Parent>,
        ended: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let atr = card.atr();
        if atr.is_empty() {
            return Err(
                Failure::because("the card gave no answer to reset, without which no reader takes it").with(Exit::Card)
            );
        }
        let places = vec![self.place];
        let seen = placed(vec![ReadyCard::named(name, &atr)], &places);
        Running {
            presences: Vec::new(),
            cards: vec![card],
            names: vec![name.to_owned()],
            seen,
            places,
            tracers: tracer.into_iter().collect(),
            ready_file: self.ready_file,
            limit: self.limit,
            stoppable: self.stoppable,
        }
        .serve(context, parent, ended)
    }
}
