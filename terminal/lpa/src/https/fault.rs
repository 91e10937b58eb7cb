//! What went wrong on the way to a server, in plain words: the certificate, TLS, HTTP, or the network.

use std::error::Error;
use std::io::{self, ErrorKind};

use super::connect::ProxyError;
use super::verify::Unfit;
use crate::error::ServerError;

/// What a person can do about a certificate: with the CI, with the clock, with the operator.
const TRUST: &str = "trust its CI (a PKI folder holds the certificate), or do not use it";
const NAME: &str = "call it by the name it has, or do not use it";
const CLOCK: &str =
    "look at this machine's clock; the operator has to renew it, until then --ignore-validity lets it pass";
const ROLE: &str = "the operator has to mend that, until then --any-tls-certificate lets it pass";

/// Whether it is the certificate or the network, and what the innermost cause says.
pub fn fault(address: &str, error: &(dyn Error + 'static)) -> ServerError {
    let address = address.to_owned();
    match find::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let (cause, way_out) = certificate(why);
            ServerError::Untrusted { address, cause, way_out }
        }
        _ => ServerError::Unreachable { address, cause: cause(error) },
    }
}

fn certificate(fault: &rustls::CertificateError) -> (String, &'static str) {
    use rustls::CertificateError as Fault;
    match fault {
        Fault::Expired | Fault::ExpiredContext { .. } => ("its certificate has expired".into(), CLOCK),
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => ("its certificate is not valid yet".into(), CLOCK),
        Fault::UnknownIssuer => ("its certificate leads to no trusted CI".into(), TRUST),
        Fault::BadSignature => ("its certificate is signed by another CI of the same name".into(), TRUST),
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
            ("its certificate is for another name".into(), NAME)
        }
        Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. } => {
            ("its certificate is not made for a TLS server (extended key usage)".into(), TRUST)
        }
        Fault::Other(other) => match other.0.downcast_ref::<Unfit>() {
            Some(unfit @ Unfit::Ci(_)) => (unfit.to_string(), CLOCK),
            Some(unfit) => (unfit.to_string(), ROLE),
            None => (other.to_string(), TRUST),
        },
        other => (other.to_string(), TRUST),
    }
}

/// What went wrong, without the certificate.
fn cause(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = find::<rustls::Error>(error) {
        return match error {
            rustls::Error::AlertReceived(alert) => format!("it broke off the TLS handshake ({alert:?})"),
            rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS".into(),
            rustls::Error::PeerIncompatible(why) => format!("it speaks no TLS that is known here ({why:?})"),
            rustls::Error::PeerMisbehaved(why) => format!("it breaks the rules of TLS ({why:?})"),
            other => format!("TLS: {other}"),
        };
    }
    let of_proxy = if find::<ProxyError>(error).is_some() { "the proxy gives no way to it: " } else { "" };
    if let Some(error) = find::<hyper::Error>(error) {
        if error.is_incomplete_message() {
            return "it closed the connection before its answer was complete".into();
        }
        if error.is_parse() {
            return "what it answers is no HTTP".into();
        }
    }
    if is_of_dns(error) {
        return format!("its name is not known ({})", innermost(error));
    }
    let words = find::<io::Error>(error).map(io::Error::kind).and_then(of_kind);
    format!("{of_proxy}{}", words.map_or_else(|| innermost(error), Into::into))
}

fn of_kind(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::ConnectionRefused => "the connection was refused, nothing listens there",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            "it broke the connection off in the middle"
        }
        // Without the close of TLS an attacker on the way may have cut the answer short.
        ErrorKind::UnexpectedEof => "it closed the connection without ending TLS, so its answer may be cut short",
        ErrorKind::TimedOut => "there was no connection in time",
        ErrorKind::HostUnreachable => "there is no way to this machine",
        ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => "there is no way to its network",
        ErrorKind::AddrNotAvailable => "this is no address one can connect to",
        ErrorKind::PermissionDenied => "this machine does not let it be reached",
        _ => return None,
    })
}

/// The resolver's error has no type of its own.
fn is_of_dns(error: &(dyn Error + 'static)) -> bool {
    error.to_string().starts_with("dns error") || error.source().is_some_and(is_of_dns)
}

/// The error of this type among the causes of `error`. I/O errors hide it from [`Error::source`].
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    if let Some(error) = error.downcast_ref() {
        return Some(error);
    }
    let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match inside {
        Some(inside) => find(inside),
        None => error.source().and_then(find),
    }
}

/// The last of the causes.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
