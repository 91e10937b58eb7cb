//! Which exit code an error of a library has. What a code says is in [`console::exit`].

#[cfg(feature = "operator")]
mod devices;

use std::error::Error;

use apdu::TransportError;
use card::OpenError;
use card::image::ImageError;
use card::image::fleet::FleetError;
use card::inspect::InspectionError;
use console::Exit;
use lpa::{CardError, LpaError, ServerError, es10};
use reader_bridge::ReaderError;
use reader_bridge::remsim::{BankError, RemoteError};
use reader_bridge::script::{RunError, ScriptError};
use reader_bridge::socket::NotAnAddress;
use usim::UsimError;

/// The exit code of this error; `None` if it has none of its own, and those below it are asked.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Exit> {
    let card = || error.downcast_ref().map(of_transport).or_else(|| error.downcast_ref().and_then(of_image));
    let reader = || error.downcast_ref().map(of_reader).or_else(|| error.downcast_ref().and_then(of_open));
    let script = || error.downcast_ref().map(of_run).or_else(|| error.is::<ScriptError>().then_some(Exit::Input));
    let lpa = || error.downcast_ref().and_then(of_lpa).or_else(|| error.downcast_ref().map(of_server));
    let es10 = || error.downcast_ref().and_then(of_es10).or_else(|| error.downcast_ref().and_then(of_card));
    let usim = || error.downcast_ref().and_then(of_usim);
    let fleet = || error.downcast_ref().and_then(of_fleet);
    let looked_into = || error.downcast_ref().and_then(of_inspection);
    let address = || error.is::<NotAnAddress>().then_some(Exit::Usage);
    let remsim = || error.downcast_ref().map(of_remote).or_else(|| error.is::<BankError>().then_some(Exit::Usage));
    let known = card()
        .or_else(looked_into)
        .or_else(fleet)
        .or_else(address)
        .or_else(reader)
        .or_else(remsim)
        .or_else(script)
        .or_else(lpa)
        .or_else(es10)
        .or_else(usim);
    #[cfg(feature = "operator")]
    let known = known.or_else(|| devices::of(error));
    known
}

const fn of_transport(_: &TransportError) -> Exit {
    Exit::Card
}

const fn of_reader(_: &ReaderError) -> Exit {
    Exit::Card
}

const fn of_remote(_: &RemoteError) -> Exit {
    Exit::Card
}

const fn of_open(error: &OpenError) -> Option<Exit> {
    if let OpenError::Image(error) = error { of_image(error) } else { None }
}

const fn of_inspection(error: &InspectionError) -> Option<Exit> {
    match error {
        InspectionError::Image(error) => of_image(error),
        InspectionError::NoAnswer { .. } => Some(Exit::Input),
    }
}

const fn of_image(error: &ImageError) -> Option<Exit> {
    match error {
        ImageError::NotFound(_) | ImageError::InUse { .. } | ImageError::Changed(_) => Some(Exit::Card),
        ImageError::NotACardImage(_) | ImageError::NewerFormat { .. } | ImageError::Damaged { .. } => Some(Exit::Input),
        _ => None,
    }
}

const fn of_fleet(error: &FleetError) -> Option<Exit> {
    match error {
        FleetError::NotFound(_) | FleetError::BeingWritten { .. } => Some(Exit::Card),
        FleetError::NotAFleet(_) | FleetError::NewerFormat { .. } => Some(Exit::Input),
        FleetError::Image(error) => of_image(error),
    }
}

const fn of_run(error: &RunError) -> Exit {
    match error {
        RunError::Script(..) | RunError::Endless(_) => Exit::Input,
        RunError::Transport(..) => Exit::Card,
    }
}

const fn of_lpa(error: &LpaError) -> Option<Exit> {
    match error {
        LpaError::Transport(error) => Some(of_transport(error)),
        LpaError::Card(error) | LpaError::Loading(error) => of_card(error),
        LpaError::Server(error) => Some(of_server(error)),
        LpaError::TooLong(_) | LpaError::TimedOut => Some(Exit::TimedOut),
        LpaError::ServerAddress { .. }
        | LpaError::ServerOid { .. }
        | LpaError::TlsOid { .. }
        | LpaError::TlsRole { .. }
        | LpaError::SignerRole { .. }
        | LpaError::Validity { .. }
        | LpaError::Inconsistent(_)
        | LpaError::MetadataMismatch
        | LpaError::Package(_) => Some(Exit::Network),
        _ => None,
    }
}

const fn of_server(error: &ServerError) -> Exit {
    match error {
        ServerError::TooSlow { .. } => Exit::TimedOut,
        _ => Exit::Network,
    }
}

const fn of_es10(error: &es10::Error) -> Option<Exit> {
    match error {
        es10::Error::Card(error) => of_card(error),
        es10::Error::Transport(error) => Some(of_transport(error)),
        _ => None,
    }
}

const fn of_card(error: &CardError) -> Option<Exit> {
    match error {
        CardError::NoIsdR(_) => Some(Exit::Card),
        _ => None,
    }
}

const fn of_usim(error: &UsimError) -> Option<Exit> {
    match error {
        UsimError::Transport(error) => Some(of_transport(error)),
        _ => None,
    }
}
