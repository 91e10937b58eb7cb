//! Mutual authentication of a server and an eUICC, sans IO (SGP.22 §3.1.2): the server answers InitiateAuthentication with
//! a signature under a CI that the eUICC knows, and verifies in AuthenticateClient what the eUICC signed. Where sessions
//! are kept between the two is for the caller.

use std::collections::BTreeSet;
use std::sync::Arc;

use crypto::ec::PublicKey;
use crypto::provider::Provider;
use identities::Eid;
use rsp::certificate::{Certificate, CertificateError};
use rsp::chain::{ChainError, EuiccChain, TrustAnchor, verify_euicc};
use rsp::es9::{InitiateAuthenticationRequest, InitiateAuthenticationResponse, Status, status};
use rsp::es10b::{
    AuthenticateServerResponse, CtxParams1, CtxParamsForCommonAuthentication, EuiccSigned1, ServerSigned1,
};
use rsp::euicc_info::EuiccInfo2;
use rsp::{CertificateDer, Raw, Signature, SubjectKeyIdentifier, TransactionId};

use crate::identity::ServerIdentity;
use crate::refusal::{EUICC_ERROR, EXECUTION_ERROR, MALFORMED_REQUEST, Refusal, RefuseWith};
use crate::session::{Session, UnixTime};

/// The major version of SGP.22 implemented here.
const MAJOR_SVN: u8 = 2;

/// A server as eUICCs see it: its addresses and identities, and the CIs whose eUICCs it serves.
#[derive(Debug)]
pub struct Authentication {
    addresses: BTreeSet<String>,
    identities: Vec<ServerIdentity>,
    trust: Vec<TrustAnchor>,
    provider: Arc<dyn Provider>,
}

/// A request for a session that can be answered.
#[derive(Clone, Debug)]
pub struct Initiation<'a> {
    identity: &'a ServerIdentity,
    euicc_ci: SubjectKeyIdentifier,
    euicc_challenge: [u8; 16],
    server_address: String,
}

/// What an eUICC has proved, and said, about itself.
#[derive(Debug)]
pub struct Authenticated<'a> {
    /// EID from its certificate.
    pub eid: Eid,
    /// Its certificate, chain verified.
    pub euicc_certificate: &'a CertificateDer,
    /// euiccSignature1, verified.
    pub euicc_signature1: &'a Signature,
    /// What it can do.
    pub euicc_info: EuiccInfo2,
    /// What its LPA asks for.
    pub context: CtxParamsForCommonAuthentication,
}

impl Authentication {
    /// A server with these addresses (FQDN, with `:port` unless that is 443) and identities, trusting these CIs, with
    /// this elliptic curve provider.
    pub fn new<'a>(
        addresses: impl IntoIterator<Item = &'a String>,
        identities: Vec<ServerIdentity>,
        trust: Vec<TrustAnchor>,
        provider: Arc<dyn Provider>,
    ) -> Self {
        let addresses = addresses.into_iter().map(|address| normalised(address)).collect();
        let identities = identities.into_iter().map(|identity| identity.signing_by(&*provider)).collect();
        Self { addresses, identities, trust, provider }
    }

    /// The elliptic curve provider.
    pub fn provider(&self) -> &dyn Provider {
        &*self.provider
    }

    /// Checks InitiateAuthentication, without cost: nothing is signed yet.
    pub fn initiation(&self, request: &InitiateAuthenticationRequest) -> Result<Initiation<'_>, Refusal> {
        let InitiateAuthenticationRequest { euicc_challenge, euicc_info1, smdp_address } = request;
        let euicc_challenge: [u8; 16] = euicc_challenge
            .0
            .as_slice()
            .try_into()
            .map_err(|_| MALFORMED_REQUEST.because("euiccChallenge has not 16 octets"))?;
        let euicc_info1 = euicc_info1.decode()?;
        if !self.addresses.contains(&normalised(smdp_address)) {
            return Err(status::SMDP_ADDRESS_REFUSED.because(format!("asked for `{smdp_address}`")));
        }
        let [major, ..] = euicc_info1.svn.octets();
        if major != MAJOR_SVN {
            return Err(status::SVN_NOT_SUPPORTED.because(euicc_info1.svn));
        }
        // The status for an eUICC that knows none of our CIs: that none is common. A missing certificate would be for
        // one whose signatures could be verified.
        let signing = &euicc_info1.euicc_ci_pk_id_list_for_signing;
        let euicc_ci = signing.iter().find(|ci| self.trusts(ci)).ok_or(status::CI_NOT_SUPPORTED)?;
        let known = &euicc_info1.euicc_ci_pk_id_list_for_verification;
        let identity = known.iter().find_map(|ci| self.identities.iter().find(|identity| identity.ci() == ci));
        Ok(Initiation {
            identity: identity.ok_or(status::NO_SERVER_CERTIFICATE)?,
            euicc_ci: euicc_ci.clone(),
            euicc_challenge,
            // The LPA compares this with the address it called, so it gets its own spelling back.
            server_address: smdp_address.trim().to_owned(),
        })
    }

    /// Verifies AuthenticateClient: the eUICC's chain, its signature, and that it signed what this session sent it.
    pub fn authenticate<'a, S>(
        &self,
        session: &Session<S>,
        response: &'a AuthenticateServerResponse,
        now: UnixTime,
    ) -> Result<Authenticated<'a>, Refusal> {
        let ok = match response {
            AuthenticateServerResponse::AuthenticateResponseOk(ok) => ok,
            AuthenticateServerResponse::AuthenticateResponseError(error) => {
                session.check_transaction(&error.transaction_id)?;
                return Err(EUICC_ERROR.because(error.authenticate_error_code.to_string()));
            }
        };
        let euicc = self.verify_euicc(&ok.euicc_certificate, &ok.eum_certificate, now)?;
        self.verify(&euicc.public_key, ok.euicc_signed1.octets(), &ok.euicc_signature1)?;
        let signed = ok.euicc_signed1.decode()?;
        check_signed(&signed, session)?;
        let euicc_info = signed.euicc_info2.decode()?;
        let CtxParams1::CtxParamsForCommonAuthentication(context) = signed.ctx_params1.decode()?;
        Ok(Authenticated {
            eid: euicc.eid,
            euicc_certificate: &ok.euicc_certificate,
            euicc_signature1: &ok.euicc_signature1,
            euicc_info,
            context,
        })
    }

    /// The identity of an eUICC whose certificates lead to a trusted CI.
    pub fn verify_euicc(
        &self,
        euicc: &CertificateDer,
        eum: &CertificateDer,
        now: UnixTime,
    ) -> Result<EuiccChain, Refusal> {
        verify_euicc(euicc.octets(), eum.octets(), &self.trust, now, &*self.provider)
            .map_err(|error: ChainError| of_chain(&error).because(error))
    }

    /// Verifies a signature of an eUICC.
    pub fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Refusal> {
        let verified = self.provider.verify(key, message, signature.octets());
        verified.map_err(|error| status::EUICC_SIGNATURE_INVALID.because(error))
    }

    fn trusts(&self, ci: &SubjectKeyIdentifier) -> bool {
        self.trust.iter().any(|anchor| anchor.subject_key_identifier == *ci)
    }
}

impl Initiation<'_> {
    /// Opens a session, begun from the network `source`. Nothing is signed before it is known that no other one has its
    /// transactionId.
    pub fn open<S: Default>(
        &self,
        source: &str,
        expires_at: UnixTime,
        fill_random: &mut impl FnMut(&mut [u8]),
    ) -> Session<S> {
        Session {
            transaction_id: TransactionId::from(random(fill_random)),
            server_challenge: random(fill_random),
            state: S::default(),
            expires_at,
            server_address: self.server_address.clone(),
            ci: self.identity.ci().clone(),
            server_oid: Some(self.identity.oid().clone()),
            source: source.to_owned(),
            revision: 0,
        }
    }

    /// Signs the answer that begins a session.
    pub fn answer<S>(self, session: &Session<S>) -> Result<InitiateAuthenticationResponse, Refusal> {
        let Self { identity, euicc_ci, euicc_challenge, server_address } = self;
        let server_signed1 = Raw::encode(&ServerSigned1 {
            transaction_id: session.transaction_id.clone(),
            euicc_challenge: euicc_challenge.into(),
            server_address,
            server_challenge: session.server_challenge.into(),
        })?;
        Ok(InitiateAuthenticationResponse {
            transaction_id: session.transaction_id.clone(),
            server_signature1: Raw::encode(&identity.auth().sign(server_signed1.octets()))?,
            server_signed1,
            euicc_ci_pk_id_to_be_used: Raw::encode(&euicc_ci)?,
            server_certificate: identity.auth().certificate().clone(),
        })
    }
}

/// What the client is told of a chain: where time is the cause and the code does not say so, the words do.
fn of_chain(error: &ChainError) -> Status {
    let text = match error {
        ChainError::Eum(CertificateError::NotYetValid) => {
            "the EUM certificate is not valid yet by the server's clock; one of the two clocks is wrong, or was set"
        }
        ChainError::Euicc(CertificateError::NotYetValid) => {
            "the eUICC certificate is not valid yet by the server's clock; one of the two clocks is wrong, or was set"
        }
        _ => return error.status(),
    };
    Status { text, ..error.status() }
}

/// The key of an eUICC whose chain was verified when its session began.
pub fn public_key(euicc: &CertificateDer) -> Result<PublicKey, Refusal> {
    Certificate::parse(euicc.octets())
        .and_then(|certificate| certificate.public_key())
        .map_err(|error| EXECUTION_ERROR.because(error))
}

fn check_signed<S>(signed: &EuiccSigned1, session: &Session<S>) -> Result<(), Refusal> {
    let mismatch = |what| Err(status::EUICC_SIGNATURE_INVALID.because(format!("the eUICC signed another {what}")));
    session.check_transaction(&signed.transaction_id)?;
    if *signed.server_challenge != session.server_challenge {
        return mismatch("serverChallenge");
    }
    if signed.server_address != session.server_address {
        return mismatch("serverAddress");
    }
    Ok(())
}

/// Host names ignore case, and the port of HTTPS may be left out.
fn normalised(address: &str) -> String {
    let address = address.trim().to_ascii_lowercase();
    address.strip_suffix(":443").map(str::to_owned).unwrap_or(address)
}

fn random(fill_random: &mut impl FnMut(&mut [u8])) -> [u8; 16] {
    let mut octets = [0; 16];
    fill_random(&mut octets);
    octets
}
