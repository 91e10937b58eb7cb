//! What the user of `vuicc` can do about an error of a library. The libraries know causes, and no options; `tests` holds
//! them to that. Commands of `vuicc` are named by servers and cards, whose users have no other program for that.

use std::error::Error;

use card::OpenError;
use card::image::ImageError;
use card::personalise::{OWN_KEYS, PersonalisationError};
use device::entitlement::EntitlementError;
use device::flow::{Awaited, FlowError};
use device::mt::MtError;
use device::one_time_code::OneTimeCodeError;
use device::usim::UsimError;
use lpa::https::{CLOCK, NOBODY_LISTENS, ROLE, TRUST, WANTS_CERTIFICATE};
use lpa::{CardError, LpaError, ServerError, TimeLimit, es10};
use operator::serve::listeners;
use pairing::{NetworkError, PairingError};
use reader_bridge::ReaderError;
use reader_bridge::script::{RunError, Unfilled};
use rsp::es9::{Status, status};

/// What follows the words of this error; `None` if they say it all.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let pairing_error = error.downcast_ref().and_then(of_pairing);
    let device = || error.downcast_ref().and_then(of_flow).or_else(|| error.downcast_ref().and_then(of_messages));
    let card = || error.downcast_ref().and_then(of_usim).or_else(|| error.downcast_ref().and_then(of_image));
    let made = || error.downcast_ref().and_then(of_personalisation);
    let reader = || error.downcast_ref().and_then(of_reader).or_else(|| error.downcast_ref().and_then(of_open));
    let server = || error.downcast_ref().and_then(of_lpa).or_else(|| error.downcast_ref().and_then(of_server));
    let script = || error.downcast_ref().and_then(of_script);
    let listening = || {
        let operator = || error.downcast_ref().and_then(of_operator);
        error.downcast_ref().and_then(of_smdp).or_else(operator)
    };
    let code = || error.downcast_ref().and_then(of_code).or_else(|| error.downcast_ref().and_then(of_es10));
    pairing_error
        .or_else(device)
        .or_else(card)
        .or_else(made)
        .or_else(reader)
        .or_else(server)
        .or_else(code)
        .or_else(script)
        .or_else(listening)
}

fn of_pairing(error: &PairingError) -> Option<&'static str> {
    Some(match error {
        PairingError::NotFound => "; is it waiting? (`vuicc device secondary … serve`; to pair, with --pair)",
        PairingError::Strangers(_) => "; pair first, or choose one with --to ADDRESS",
        PairingError::Several(_) => "; choose one with --to ADDRESS",
        PairingError::Network(NetworkError::IsBluetooth(_)) => "; use --bluetooth too",
        _ => return None,
    })
}

/// Errors that pass on those of others say what the others say.
fn of_flow(error: &FlowError) -> Option<&'static str> {
    match error {
        FlowError::StillWaiting { awaited, .. } => Some(of_waiting(*awaited)),
        FlowError::Pairing(error) => of_pairing(error),
        FlowError::Usim(error) => of_usim(error),
        FlowError::Lpa(error) => of_lpa(error),
        FlowError::Mt(error) => of_messages(error),
        FlowError::Entitlement(EntitlementError::Server(error)) => of_server(error),
        FlowError::Entitlement(EntitlementError::Refused { code, .. }) if *code == GENERAL_ERROR => {
            Some(" At the operator `vuicc operator order list` names the cause of an order that failed.")
        }
        _ => None,
    }
}

/// The OperationResult for what went wrong at the operator, an order for example. GSMA TS.43
const GENERAL_ERROR: u32 = 100;

/// Where to look when an operator makes a device wait.
pub(crate) const fn of_waiting(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Profile => {
            "; check the order at the operator (`vuicc operator order list`), and whether the SM-DP+ it orders from runs \
             (`vuicc smdp wait`; `vuicc smdp serve --es2-listen 127.0.0.1:8444` starts one) and has profiles left \
             (`vuicc smdp profile list --only Available`)"
        }
        Awaited::Enabled => {
            "; check what the SM-DP+ has yet to tell the operator (`vuicc smdp profile show ICCID`), and whether it is told \
             where the operator is (`vuicc smdp serve --operator NAME=URL`)"
        }
        Awaited::Service => "; check the line at the operator (`vuicc operator line show`)",
    }
}

fn of_messages(error: &MtError) -> Option<&'static str> {
    match error {
        MtError::Server(error) => of_server(error),
        MtError::Usim(error) => of_usim(error),
        _ => None,
    }
}

fn of_usim(error: &UsimError) -> Option<&'static str> {
    matches!(error, UsimError::PinNeeded(_)).then_some("; give it with --pin")
}

fn of_code(error: &OneTimeCodeError) -> Option<&'static str> {
    matches!(error, OneTimeCodeError::Foreign).then_some(": vuicc device primary messages --qr")
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
    matches!(error, ImageError::InUse { .. }).then_some(
        ". If it is `vuicc card run`, the card is in a reader: name that instead of the image (--reader, `vuicc reader list`)",
    )
}

fn of_script(error: &RunError) -> Option<&'static str> {
    matches!(error, RunError::Script(_, Unfilled::Variable(_))).then_some(": --set NAME=HEX")
}

fn of_reader(error: &ReaderError) -> Option<&'static str> {
    Some(match error {
        ReaderError::Busy { .. } => "; beside one that shares the card `vuicc lpa --shared` works",
        ReaderError::WithoutPcsc => ": --card IMAGE",
        ReaderError::NobodyListens { .. } => ": `vuicc card run IMAGE --listen HOST:PORT`",
        _ => return None,
    })
}

fn of_personalisation(error: &PersonalisationError) -> Option<&'static str> {
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

/// The option, and the setting.
fn of_operator(error: &operator::serve::ServeError) -> Option<&'static str> {
    let operator::serve::ServeError::Listen { name, .. } = error else { return None };
    Some(match *name {
        listeners::OFFICE => ": --office-listen HOST:PORT (setting listen.office)",
        listeners::INTERNAL => ": --internal-listen HOST:PORT (setting listen.internal)",
        listeners::HTTPS => ": --https-listen HOST:PORT (setting listen.https)",
        listeners::PROGRESS => ": --progress-listen HOST:PORT (setting listen.progress)",
        listeners::SMPP => ": --smpp-listen HOST:PORT (setting listen.smpp)",
        listeners::RADIUS => ": --radius-listen HOST:PORT (setting listen.radius)",
        listeners::EAP_SIM_DB => ": --eap-sim-db PATH (setting listen.eap_sim_db)",
        _ => return None,
    })
}

/// An address of a virtual reader's other slots, for a card whose slot another one has.
pub(crate) const OTHER_SLOT: &str = " (--reader HOST:PORT)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, line};
    use rsp::es9::StatusCodeData;

    /// The cause is the library's, what to type is ours.
    #[test]
    fn causes_and_ways_out_are_one_line() {
        console::failure::advise(of);
        let said = |failure: Failure| {
            if let Failure::Because(text) = failure { text.to_string() } else { panic!("{failure:?}") }
        };
        assert_eq!(
            said(FlowError::Pairing(PairingError::NotFound).into()),
            "no secondary was found; is it waiting? (`vuicc device secondary … serve`; to pair, with --pair)"
        );
        assert_eq!(
            said(UsimError::PinNeeded(3).into()),
            "the card requires its PIN (tries left: 3); give it with --pin"
        );
        let in_use = ImageError::InUse { path: "a.img".into(), holder: "process 7".into() };
        let in_use = said(OpenError::Image(in_use).into());
        assert!(in_use.contains("process 7") && in_use.contains("--reader"), "{in_use}");
        let slow = ServerError::TooSlow { address: "a".into(), limit: TimeLimit::Exchange(60) };
        let slow = said(LpaError::from(slow).into());
        assert!(slow.ends_with(", or allow more time with --exchange-timeout"), "{slow}");
        let plain = said(PairingError::Rejected.into());
        assert_eq!(plain, PairingError::Rejected.to_string());
    }

    /// What goes to another device, into a result or into progress is no [`Failure`], and says the same.
    #[test]
    fn the_way_out_is_where_no_failure_is() {
        console::failure::advise(of);
        let untrusted =
            ServerError::Untrusted { address: "a".into(), cause: "its CI is not known".into(), way_out: TRUST };
        let told = line(&FlowError::from(LpaError::from(untrusted)));
        assert!(told.contains("--state, --pki"), "{told}");
        for (address, is_here) in
            [("127.0.0.1:8443", true), ("[::1]:8443", true), ("localhost", true), ("op.example", false)]
        {
            let away = ServerError::Unreachable { address: address.into(), cause: NOBODY_LISTENS.into() };
            assert_eq!(line(&away).contains("`vuicc operator serve`"), is_here, "{}", line(&away));
        }
        let refused = EntitlementError::Refused { code: GENERAL_ERROR, text: Some("Please ask your operator.".into()) };
        let told = line(&FlowError::from(refused));
        assert!(told.contains("operator. At the operator `vuicc operator order list`"), "{told}");
        let wants = ServerError::Unreachable { address: "a".into(), cause: WANTS_CERTIFICATE.into() };
        assert!(line(&wants).contains("--es2-listen"), "{}", line(&wants));
        let (subject_code, reason_code) = (status::CI_UNKNOWN.subject.into(), status::CI_UNKNOWN.reason.into());
        let refused = StatusCodeData { subject_code, reason_code, subject_identifier: None, message: None };
        let told = line(&LpaError::from(ServerError::Refused(refused)));
        assert!(told.ends_with("--state, --pki"), "{told}");
    }
}
