//! ES2+ calls in either direction, over mutual TLS.

use core::error::Error;
use std::time::Duration;

use https::{TlsError, TlsIdentity};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect;
use rsp::es2plus::{self, Function, RequestHeader};
use rsp::es9::{self, ResponseError, StatusCodeData};
use tls::fault::{TRUNCATED, certificate, detail};
use tls::{Fault, Remedy, innermost};

use crate::binding::protocol_header;

/// Connection timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum size of an answer; none is this large.
const LARGEST_ANSWER: usize = 64 * 1024;

/// A client of one ES2+ peer. Connections are reused.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    requester: String,
}

/// Why a call failed, and whose fault that is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer. Whether the function was executed is unknown: repeating the call with the same identifier tells.
    #[error(
        "no answer from {url}: {cause}; look whether its server runs there (an SM-DP+ that listens for operators: `vuicc \
         smdp serve`; an operator: `vuicc operator serve`); the call can be made again, nothing is lost"
    )]
    Unreachable {
        /// The peer.
        url: String,
        /// The network's error.
        cause: String,
    },
    /// The peer's certificate is not trusted: the peer's fault, or the wrong CI is configured.
    #[error("certificate of {url} not trusted: {cause}; {way_out}")]
    Untrusted {
        /// The peer.
        url: String,
        /// What is wrong with the certificate.
        cause: String,
        /// What can be done.
        way_out: &'static str,
    },
    /// The peer does not accept our certificate: ours is wrong, or not registered there yet.
    #[error("{url} does not accept our certificate: {cause}; give one it trusts")]
    NotAccepted {
        /// The peer.
        url: String,
        /// The peer's message.
        cause: String,
    },
    /// The peer answers with an HTTP error: it is out of order, or another kind of server.
    #[error("{url} answers HTTP {status}; it may be no such server, or out of order")]
    Http {
        /// The peer.
        url: String,
        /// The status.
        status: u16,
    },
    /// The peer's answer is invalid: the peer's fault.
    #[error("the answer of {url} is not understood: {cause}")]
    Malformed {
        /// The peer.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The peer refused the function, with a reason: the call was wrong, or came at a wrong time.
    #[error("{url} refused: {why}")]
    Refused {
        /// The peer.
        url: String,
        /// Subject and reason.
        why: StatusCodeData,
    },
}

impl CallError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::NotAccepted { .. } => true,
            Self::Http { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            Self::Malformed { .. } | Self::Refused { .. } => false,
        }
    }

    /// Subject and reason, if the peer refused.
    pub fn refusal(&self) -> Option<&StatusCodeData> {
        match self {
            Self::Refused { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl Client {
    /// A client of the peer at `url` (`https://host[:port]`, optionally with a path before those of the functions),
    /// which trusts it if its certificate leads to one of `roots` (DER). Its functionRequesterIdentifier is
    /// `requester`, and it presents `identity`.
    ///
    /// An `http://` URL is called without TLS, for use inside one machine.
    pub fn new(
        url: &str,
        requester: &str,
        roots: &[Vec<u8>],
        identity: Option<&TlsIdentity>,
    ) -> Result<Self, TlsError> {
        Self::over(https::tls::client(roots, identity)?, url, requester)
    }

    /// The same, judging the peer's certificate by another clock.
    pub fn by(
        clock: https::tls::Clock,
        url: &str,
        requester: &str,
        roots: &[Vec<u8>],
        identity: Option<&TlsIdentity>,
    ) -> Result<Self, TlsError> {
        Self::over(https::tls::client_by(clock, roots, identity)?, url, requester)
    }

    fn over(tls: impl core::any::Any, url: &str, requester: &str) -> Result<Self, TlsError> {
        let headers = HeaderMap::from_iter([protocol_header()]);
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| TlsError::Identity(error.to_string()))?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), requester: requester.to_owned() })
    }

    /// The peer.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a function. `call` is the functionCallIdentifier: the same one again repeats the call, and returns the
    /// same answer without executing it twice.
    pub async fn call<F: Function>(&self, call: &str, function: &F) -> Result<F::Response, CallError> {
        let body = es2plus::request(&RequestHeader::new(&self.requester, call), function);
        let request = self.http.post(format!("{}{}", self.url, F::PATH)).header(CONTENT_TYPE, es9::CONTENT_TYPE);
        let mut answer = request.body(body).send().await.map_err(|error| self.explain(&error))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(CallError::Http { url: self.url.clone(), status: status.as_u16() });
        }
        let mut octets = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.explain(&error))? {
            if octets.len() + chunk.len() > LARGEST_ANSWER {
                return Err(self.malformed(&"it is too long"));
            }
            octets.extend_from_slice(&chunk);
        }
        es9::read_response(&octets).map_err(|error| match error {
            ResponseError::Refused(why) => CallError::Refused { url: self.url.clone(), why },
            other => self.malformed(&other),
        })
    }

    fn malformed(&self, cause: &dyn core::fmt::Display) -> CallError {
        CallError::Malformed { url: self.url.clone(), cause: cause.to_string() }
    }

    /// Whether the certificate or the network is at fault.
    fn explain(&self, error: &(dyn Error + 'static)) -> CallError {
        let url = self.url.clone();
        match Fault::of(error) {
            Some(Fault::Certificate(why)) => {
                let (cause, remedy) = certificate(why);
                let detail = detail(why).map(|detail| format!(" ({detail})")).unwrap_or_default();
                CallError::Untrusted { url, cause: format!("{cause}{detail}"), way_out: way_out(remedy) }
            }
            Some(Fault::Alert(alert)) => CallError::NotAccepted { url, cause: format!("{alert:?}") },
            Some(other) => CallError::Unreachable { url, cause: other.to_string() },
            None => CallError::Unreachable { url, cause: cause(error) },
        }
    }
}

/// What the one who calls can do about a peer's certificate.
const fn way_out(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Trust => "trust the CI that issued it",
        Remedy::Name => "use a host name it covers",
        Remedy::Clock => "check this machine's clock; if that is right, the peer has to renew it",
        Remedy::Replace => "the peer has to replace it",
        Remedy::None => "the peer is not to be called with it",
    }
}

/// Errors other than those of TLS.
fn cause(error: &(dyn Error + 'static)) -> String {
    let error = innermost(error);
    match error.downcast_ref::<std::io::Error>() {
        // rustls refers to a page of its documentation.
        Some(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => TRUNCATED.into(),
        _ => error.to_string(),
    }
}
