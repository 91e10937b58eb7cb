//! One's own TLS identity, and the trusted peers.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// A TLS certificate with its key.
#[derive(Clone)]
pub struct TlsIdentity {
    /// DER, one's own certificate first.
    pub certificates: Vec<Vec<u8>>,
    /// DER, PKCS #8 or SEC 1.
    pub private_key: Zeroizing<Vec<u8>>,
}

/// TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Certificate and key do not fit, or one cannot be read.
    #[error("the TLS certificate or its key cannot be used: {0}")]
    Identity(String),
    /// There is a certificate without its key.
    #[error("the private key of the TLS certificate is missing")]
    NoKey,
    /// A certificate cannot be a root of trust.
    #[error("a certificate cannot be trusted: {0}; give certificates of issuers")]
    Root(String),
    /// A file of certificates has none.
    #[error("no certificate; a file of certificates has lines that say BEGIN CERTIFICATE")]
    NoCertificate,
}

impl TlsIdentity {
    /// Certificates and their key from PEM, in one text or in two put together.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::NoKey)?;
        Ok(Self { certificates: certificates_from_pem(pem)?, private_key: Zeroizing::new(key.secret_der().to_vec()) })
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.iter().cloned().map(CertificateDer::from).collect()
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::try_from(self.private_key.to_vec()).map_err(unusable)
    }
}

impl core::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TlsIdentity({} certificates, key secret)", self.certificates.len())
    }
}

/// The certificates in a PEM text, in DER; at least one.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| TlsError::Root(error.to_string()))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    Ok(certificates.iter().map(|certificate| certificate.to_vec()).collect())
}

/// A server that shows `identity`, and asks for no client certificate.
pub fn server(identity: &TlsIdentity) -> Result<TlsAcceptor, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config(builder.map_err(unusable)?.with_no_client_auth(), identity)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Tells by which time peers' certificates are judged, in seconds since 1970, where that is not the system's.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

struct Time(Clock);

impl core::fmt::Debug for Time {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs((self.0)())))
    }
}

/// A server that shows `identity`, and requires a client certificate that leads to one of `roots` (DER).
pub fn mutual_server(identity: &TlsIdentity, roots: &[Vec<u8>]) -> Result<TlsAcceptor, TlsError> {
    let config = mutual_config(identity, roots)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The same by another clock.
pub fn mutual_server_by(clock: Clock, identity: &TlsIdentity, roots: &[Vec<u8>]) -> Result<TlsAcceptor, TlsError> {
    let mut config = mutual_config(identity, roots)?;
    config.time_provider = Arc::new(Time(clock));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn mutual_config(identity: &TlsIdentity, roots: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(root_store(roots)?), provider())
        .build()
        .map_err(|error| TlsError::Root(error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    config(builder.map_err(unusable)?.with_client_cert_verifier(verifier), identity)
}

fn config(
    builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    identity: &TlsIdentity,
) -> Result<ServerConfig, TlsError> {
    let mut config = builder.with_single_cert(identity.certificates(), identity.private_key()?).map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A client that trusts servers whose certificate leads to one of `roots` (DER), and shows `identity` if it has one.
pub fn client(roots: &[Vec<u8>], identity: Option<&TlsIdentity>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(root_store(roots)?);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            builder.with_client_auth_cert(identity.certificates(), identity.private_key()?).map_err(unusable)
        }
    }
}

/// The same by another clock.
pub fn client_by(clock: Clock, roots: &[Vec<u8>], identity: Option<&TlsIdentity>) -> Result<ClientConfig, TlsError> {
    let mut config = client(roots, identity)?;
    config.time_provider = Arc::new(Time(clock));
    Ok(config)
}

/// Whether a certificate (DER) names `name`, a host name or address.
pub fn is_named(certificate: &[u8], name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    let certificate = CertificateDer::from(certificate);
    ParsedCertificate::try_from(&certificate).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

fn root_store(roots: &[Vec<u8>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from(root.clone())).map_err(|error| TlsError::Root(error.to_string()))?;
    }
    Ok(store)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unusable(error: impl core::fmt::Display) -> TlsError {
    TlsError::Identity(error.to_string())
}
