//! The same for errors of the operator's devices.

use std::error::Error;

use console::Exit;
use device::entitlement::EntitlementError;
use device::flow::FlowError;
use device::mt::MtError;
use pairing::PairingError;

use super::{of_lpa, of_server, of_usim};

/// The exit code of this error; `None` if it has none of its own.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Exit> {
    let device = error.downcast_ref().and_then(of_flow);
    let far = || error.downcast_ref().and_then(of_messages).or_else(|| error.downcast_ref().and_then(of_entitlement));
    device.or_else(far).or_else(|| error.downcast_ref().and_then(of_pairing))
}

const fn of_flow(error: &FlowError) -> Option<Exit> {
    match error {
        FlowError::StillWaiting { .. } => Some(Exit::TimedOut),
        FlowError::Pairing(error) => of_pairing(error),
        FlowError::Usim(error) => of_usim(error),
        FlowError::Lpa(error) => of_lpa(error),
        FlowError::Mt(error) => of_messages(error),
        FlowError::Entitlement(error) => of_entitlement(error),
        _ => None,
    }
}

const fn of_messages(error: &MtError) -> Option<Exit> {
    match error {
        MtError::Server(error) => Some(of_server(error)),
        MtError::Usim(error) => of_usim(error),
        _ => None,
    }
}

const fn of_entitlement(error: &EntitlementError) -> Option<Exit> {
    match error {
        EntitlementError::Server(error) => Some(of_server(error)),
        EntitlementError::Refused { .. } => Some(Exit::Network),
        _ => None,
    }
}

const fn of_pairing(error: &PairingError) -> Option<Exit> {
    match error {
        PairingError::Timeout(_) => Some(Exit::TimedOut),
        PairingError::Closed
        | PairingError::NotFound
        | PairingError::Strangers(_)
        | PairingError::Tls(_)
        | PairingError::Network(_)
        | PairingError::Bluetooth(_) => Some(Exit::Network),
        _ => None,
    }
}
