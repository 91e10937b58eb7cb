//! What the user of `vuicc` can do about an error of a library. The libraries know causes, and no options; `tests` holds
//! them to that. Commands of `vuicc` are named by servers and cards, whose users have no other program for that.

#[cfg(feature = "operator")]
mod operator;

use std::error::Error;

use card::OpenError;
use card::image::ImageError;
use card::image::fleet::FleetError;
use card::personalise::{OWN_KEYS, PersonalisationError};
use lpa::https::{CLOCK, NOBODY_LISTENS, ROLE, TRUST, WANTS_CERTIFICATE};
use lpa::{CardError, LpaError, ServerError, TimeLimit, es10};
use reader_bridge::ReaderError;
use reader_bridge::script::{RunError, Unfilled};
use rsp::certificate::CertificateError;
use rsp::chain::ChainError;
use rsp::es9::{Status, status};
use usim::UsimError;

#[cfg(feature = "operator")]
pub(crate) use operator::of_waiting;

/// What follows the words of this error; `None` if they say it all.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let card = || error.downcast_ref().and_then(of_usim).or_else(|| error.downcast_ref().and_then(of_image));
    let fleet = || error.downcast_ref().and_then(of_fleet);
    let made = || error.downcast_ref().and_then(of_personalisation);
    let reader = || error.downcast_ref().and_then(of_reader).or_else(|| error.downcast_ref().and_then(of_open));
    let server = || error.downcast_ref().and_then(of_lpa).or_else(|| error.downcast_ref().and_then(of_server));
    let script = || error.downcast_ref().and_then(of_script);
    let listening = || error.downcast_ref().and_then(of_smdp);
    let code = || error.downcast_ref().and_then(of_es10);
    let known = card()
        .or_else(fleet)
        .or_else(made)
        .or_else(reader)
        .or_else(server)
        .or_else(code)
        .or_else(script)
        .or_else(listening);
    #[cfg(feature = "operator")]
    let known = known.or_else(|| operator::of(error));
    known
}

fn of_usim(error: &UsimError) -> Option<&'static str> {
    matches!(error, UsimError::PinNeeded(_)).then_some("; give it with --pin")
}

fn of_lpa(error: &LpaError) -> Option<&'static str> {
    Some(match error {
        LpaError::Server(error) => return of_server(error),
        LpaError::Card(error) => return of_card(error),
        LpaError::TlsOid { .. } => ", or use --any-tls-certificate",
        LpaError::TlsRole { .. } => ", or let it pass with --any-tls-certificate",
        LpaError::Validity { .. } => ", until then use --ignore-validity",
        LpaError::TooLong(_) => " (--download-timeout)",
        _ => return None,
    })
}

fn of_es10(error: &es10::Error) -> Option<&'static str> {
    if let es10::Error::Card(error) = error { of_card(error) } else { None }
}

fn of_card(error: &CardError) -> Option<&'static str> {
    Some(match error {
        CardError::NoIsdR(_) => {
            " (--aid); name one that is an eUICC: in a reader with --reader (`vuicc reader list`), in an image with --card \
             (`vuicc card show IMAGE` tells what it is)"
        }
        CardError::Unannounced(_) => " (no --shared)",
        _ => return None,
    })
}

/// How a server says that it and the eUICC have no CI in common.
const OTHER_CI: [Status; 3] = [status::CI_NOT_SUPPORTED, status::NO_SERVER_CERTIFICATE, status::CI_UNKNOWN];

fn of_server(error: &ServerError) -> Option<&'static str> {
    Some(match error {
        ServerError::TooSlow { limit: TimeLimit::Exchange(_), .. } => ", or allow more time with --exchange-timeout",
        ServerError::TooSlow { limit: TimeLimit::Procedure, .. } => ", or allow more time with --download-timeout",
        ServerError::TooSlow { limit: TimeLimit::Report { .. }, .. } => {
            ", or allow more time with --notification-timeout"
        }
        ServerError::Unreachable { cause, .. } if cause == WANTS_CERTIFICATE => {
            "; `vuicc smdp serve` has phones at --listen, operators at --es2-listen"
        }
        ServerError::Unreachable { address, cause } if cause == NOBODY_LISTENS && is_loopback(address) => {
            "; on this machine `vuicc smdp serve` and `vuicc operator serve` start one"
        }
        ServerError::Refused(data) if OTHER_CI.iter().any(|status| data.is(*status)) => {
            "; of cards and servers made here each state directory has its own CI: --state, --pki"
        }
        ServerError::Untrusted { way_out: CLOCK, .. } => ", until then use --ignore-validity",
        ServerError::Untrusted { way_out: ROLE, .. } => ", until then use --any-tls-certificate",
        ServerError::Untrusted { way_out: TRUST, .. } => {
            " (a PKI folder holds the certificate; of servers and cards made here each state directory has its own: \
             --state, --pki)"
        }
        _ => return None,
    })
}

/// Whether a server's address, with or without a port, is this machine's own.
fn is_loopback(address: &str) -> bool {
    let host = crate::server_address::host_of(address);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn of_open(error: &OpenError) -> Option<&'static str> {
    if let OpenError::Image(error) = error { of_image(error) } else { None }
}

fn of_image(error: &ImageError) -> Option<&'static str> {
    let ImageError::InUse { holder, .. } = error else { return None };
    HOLDERS.iter().find(|(command, _)| holder.contains(command)).map(|(_, way_out)| *way_out)
}

fn of_fleet(error: &FleetError) -> Option<&'static str> {
    match error {
        FleetError::NotFound(_) => Some("; `vuicc fleet new DIR --count N` makes one"),
        FleetError::Image(error) => of_image(error),
        _ => None,
    }
}

/// What to do about a process that has a card image: a part of how it is told, and the way out.
const HOLDERS: &[(&str, &str)] = &[
    (
        " card run",
        ". That has the card in a reader or at a socket: name it by that (--reader, `vuicc reader list`), or take it out with \
         `vuicc card eject`",
    ),
    (
        " fleet run",
        ". That has the cards at a socket: name one by that (--reader tcp:HOST:PORT/EID), or end it with `vuicc card eject`",
    ),
    (
        " apdu proxy",
        ". That stands between the card and its users: use the card in the virtual reader or at the socket (--reader), or end \
         the recording with `vuicc card eject`",
    ),
    // Other commands are done with it soon.
    ("(vuicc ", ""),
    (
        "",
        ". If it is `vuicc card run`, the card is in a reader: name that instead of the image (--reader, `vuicc reader list`)",
    ),
];

fn of_script(error: &RunError) -> Option<&'static str> {
    match error {
        RunError::Script(_, Unfilled::Variable(_)) => Some(": --set NAME=HEX"),
        RunError::Script(_, Unfilled::Secret(_)) => Some(": --secrets FILE, or --set NAME=HEX"),
        RunError::Script(_, Unfilled::LeftOut(_)) => Some(": --set secret=HEX, or in the file of --secrets"),
        _ => None,
    }
}

fn of_reader(error: &ReaderError) -> Option<&'static str> {
    Some(match error {
        ReaderError::Busy { .. } => "; beside one that shares the card `vuicc lpa --shared` works",
        ReaderError::WithoutPcsc => ": --card IMAGE",
        ReaderError::NobodyListens { .. } => {
            ": `vuicc card run IMAGE --listen HOST:PORT`, or many with `vuicc fleet run DIR`"
        }
        ReaderError::NoSuchCard { .. } | ReaderError::NoneNamed { .. } => {
            ": `vuicc fleet list DIR` tells which there are"
        }
        ReaderError::TooManyClients { .. } => " with --connections",
        _ => return None,
    })
}

fn of_personalisation(error: &PersonalisationError) -> Option<&'static str> {
    if let PersonalisationError::Chain(
        ChainError::Eum(CertificateError::NotYetValid | CertificateError::Expired)
        | ChainError::Euicc(CertificateError::NotYetValid | CertificateError::Expired),
    ) = error
    {
        return Some(
            " by the clock: check that of this machine, or --clock; a PKI for another time is minted in a state directory of its \
             own (--state NEW)",
        );
    }
    let PersonalisationError::Profile { reason, .. } = error else { return None };
    reason.ends_with(OWN_KEYS).then_some(": --class operational")
}

fn of_smdp(error: &smdp::ServeError) -> Option<&'static str> {
    Some(match error {
        smdp::ServeError::Listen { listener: smdp::serve::PHONES, .. } => ": --listen HOST:PORT",
        smdp::ServeError::Listen { listener: smdp::serve::OPERATORS, .. } => ": --es2-listen HOST:PORT",
        _ => return None,
    })
}

/// An address of a virtual reader's other slots, for a card whose slot another one has.
pub(crate) const OTHER_SLOT: &str = " (--reader HOST:PORT)";
