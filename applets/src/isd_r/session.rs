//! The RSP session: a chain of states, each owning what it knows. SGP.22 §3.1.2 to §3.1.3.
//!
//! A session belongs to no logical channel: LPAs open and close one for every command. It dies with a reset, a new
//! challenge, a cancellation, or its own end.

use super::Certification;
use super::bpp::Loading;
use crypto::ec::PublicKey;
use crypto::ecka::OneTimeKeyPair;
use crypto::provider::Signer;
use rsp::chain::TrustAnchor;
use rsp::{Oid, OneTimePublicKey, Signature, TransactionId};
use std::sync::Arc;

/// What may come next.
#[derive(Default)]
pub(super) enum Session {
    /// GetEuiccChallenge.
    #[default]
    Idle,
    /// AuthenticateServer, over this challenge.
    Challenged([u8; 16]),
    /// PrepareDownload.
    Authenticated(Box<Server>),
    /// LoadBoundProfilePackage, or PrepareDownload again.
    Prepared(Box<Server>, Box<Prepared>),
    /// The rest of the bound profile package.
    Loading(Box<Loading>),
}

/// A server that has proved who it is.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) transaction_id: TransactionId,
    /// OID in its certificate.
    pub(super) oid: Oid,
    /// FQDN, perhaps with a port, as it signed it.
    pub(super) address: String,
    /// The CI its certificate leads to: whatever it shows later in the session leads there as well. SGP.22 §5.7.5.
    pub(super) ci: TrustAnchor,
    /// What the eUICC shows and signs with in this session; the CI may be another one.
    pub(super) certification: Certification,
    /// Signs with its key.
    pub(super) signer: Arc<dyn Signer>,
    /// Whether its certificate is that of an SM-DP+; an SM-DS brings no profiles.
    pub(super) is_smdp: bool,
    /// What the eUICC signed for it; enters the server's next signature.
    pub(super) euicc_signature1: Signature,
}

/// An SM-DP+ about to bind a package to a one-time key.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) one_time_key: OneTimeKeyPair,
    /// otPK.EUICC.ECKA as sent.
    pub(super) otpk: OneTimePublicKey,
    /// PK.DPpb.ECDSA.
    pub(super) smdp_key: PublicKey,
    /// OID in CERT.DPpb.
    pub(super) smdp_oid: Oid,
}

impl Session {
    /// The server of this session, once it is authenticated.
    pub(super) fn server(&self) -> Option<&Server> {
        match self {
            Self::Idle | Self::Challenged(_) => None,
            Self::Authenticated(server) | Self::Prepared(server, _) => Some(&**server),
            Self::Loading(loading) => Some(loading.server()),
        }
    }

    /// Whether this session waits for a bound profile package, or the rest of it.
    pub(super) fn expects_package(&self) -> bool {
        matches!(self, Self::Prepared(..) | Self::Loading(_))
    }

    /// Whether the package has come as far as the middle of an element.
    pub(super) fn is_within_element(&self) -> bool {
        matches!(self, Self::Loading(loading) if loading.is_within_element())
    }
}
