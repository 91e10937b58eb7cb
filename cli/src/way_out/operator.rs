//! The same for errors of the operator and its devices.

use std::error::Error;

use ::operator::serve::{ServeError, listeners};
use device::entitlement::EntitlementError;
use device::flow::{Awaited, FlowError};
use device::mt::MtError;
use device::one_time_code::OneTimeCodeError;
use pairing::{NetworkError, PairingError};

use super::{of_lpa, of_server, of_usim};

/// What follows the words of this error; `None` if they say it all.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let device = || error.downcast_ref().and_then(of_flow).or_else(|| error.downcast_ref().and_then(of_messages));
    let pairing = error.downcast_ref().and_then(of_pairing);
    pairing
        .or_else(device)
        .or_else(|| error.downcast_ref().and_then(of_code))
        .or_else(|| error.downcast_ref().and_then(of_operator))
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

fn of_code(error: &OneTimeCodeError) -> Option<&'static str> {
    matches!(error, OneTimeCodeError::Foreign).then_some(": vuicc device primary messages --qr")
}

/// The option, and the setting.
fn of_operator(error: &ServeError) -> Option<&'static str> {
    let ServeError::Listen { name, .. } = error else { return None };
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

#[cfg(test)]
mod tests {
    use super::super::{of, *};
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
