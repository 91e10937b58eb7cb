//! A whole test PKI in the shape of SGP.26: minted, loaded, written as files.
//!
//! Names, extensions, their order and criticality are those of the SGP.26 certificates (variant O), and so are folder
//! and file names: a folder written from [`Pki::files`] serves other tools that expect the SGP.26 files, and
//! [`Pki::load`] reads theirs.
//!
//! ```
//! use rsp::certificate::Role;
//! use rsp::pki::{Parameters, Pki};
//!
//! let eid = "89049032123451234512345678901235".parse()?;
//! let mut seed = 0_u8;
//! let mut fill = |octets: &mut [u8]| octets.iter_mut().for_each(|octet| { seed = seed.wrapping_mul(77).wrapping_add(41); *octet = seed; });
//! let pki = Pki::mint(&Parameters::new(1_767_225_600, eid), &mut fill)?;
//! assert_eq!(pki.get(Role::Euicc)?.certificate().eid()?, eid);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use std::collections::BTreeMap;

use apdu::tlv::{Tag, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto::ec::{Curve, PrivateKey, PublicKey};
use crypto::ecdsa;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError, Role, key_kind_within};
use crate::chain::TrustAnchor;
use crate::{Eid, Oid};

/// Random octets from the caller.
pub type FillRandom<'a> = dyn FnMut(&mut [u8]) + 'a;

/// One certificate, and its private key where it is known.
#[derive(Debug, Clone)]
pub struct Credential {
    certificate: Certificate,
    key: Option<PrivateKey>,
}

impl Credential {
    /// Joins a certificate and its key, which must belong together.
    pub fn new(certificate: Certificate, key: Option<PrivateKey>) -> Result<Self, PkiError> {
        let matches = |key: &PrivateKey| certificate.public_key().is_ok_and(|public| public == key.public_key());
        match &key {
            Some(key) if !matches(key) => Err(PkiError::KeyOfAnother(certificate.role())),
            _ => Ok(Self { certificate, key }),
        }
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        self.certificate.der().octets()
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.der()).to_string()
    }

    /// The private key, if it is known.
    pub fn key(&self) -> Option<&PrivateKey> {
        self.key.as_ref()
    }

    /// The private key, PKCS #8 in DER: what TLS libraries take.
    pub fn key_der(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.key.as_ref().map(pkcs8)
    }

    /// The private key in PEM, if it is known.
    pub fn key_pem(&self) -> Option<Zeroizing<String>> {
        self.key_der().map(|der| pem("PRIVATE KEY", &der))
    }
}

/// Certificates and keys of one CI, by role.
#[derive(Debug, Clone, Default)]
pub struct Pki {
    credentials: BTreeMap<Role, Credential>,
    /// In place of those that are not there: file and fault of one on another curve.
    others: BTreeMap<Role, (String, CertificateError)>,
}

/// One file of a PKI folder.
pub struct File {
    /// Path inside the folder, with `/`.
    pub path: String,
    /// Contents.
    pub contents: Zeroizing<Vec<u8>>,
    /// Whether it holds a private key and deserves narrow permissions.
    pub is_secret: bool,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("is_secret", &self.is_secret).finish_non_exhaustive()
    }
}

/// Why a PKI cannot be used, or not for this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// No certificate of this role is there.
    #[error("the PKI has no {0}; it belongs in {path}", path = Layout::of(*.0).map_or("no file".into(), Layout::certificate))]
    MissingCertificate(Role),
    /// There is one on a curve that is not supported, and none beside it.
    #[error(
        "the PKI has no {role} on P-256, only {path}: {cause}; the certificate on P-256 belongs in {wanted}",
        wanted = Layout::of(*.role).map_or("no file".into(), Layout::certificate)
    )]
    OtherCurve {
        /// The role.
        role: Role,
        /// What is there.
        path: String,
        /// What is wrong with it.
        cause: CertificateError,
    },
    /// The private key to a certificate is not there.
    #[error("the PKI has no private key for {0}; it belongs in {path}", path = Layout::of(*.0).map_or("no file".into(), Layout::key))]
    MissingKey(Role),
    /// A key file belongs to another certificate.
    #[error("the private key beside {} belongs to another certificate", .0.map_or("a certificate", Role::name))]
    KeyOfAnother(Option<Role>),
    /// A file holds no certificate, or not the one its name says.
    #[error("{path}: {cause}")]
    Certificate {
        /// Path inside the PKI folder.
        path: String,
        /// What is wrong.
        cause: CertificateError,
    },
    /// A file holds no private key on a supported curve.
    #[error("{path}: not a P-256 private key in PEM, but {found}")]
    Key {
        /// Path inside the PKI folder.
        path: String,
        /// What it is instead, in words.
        found: String,
    },
    /// The EUM may not certify this EID.
    #[error("the EUM certificate does not permit EID {0}; EIDs under it start with {1}")]
    NotPermitted(Eid, String),
    /// A TLS certificate needs a name.
    #[error("a TLS certificate needs at least one host name or address")]
    NoName,
}

/// Where the files of a role are in a PKI folder. Names are those of SGP.26; further ones are accepted.
struct Layout {
    role: Role,
    folder: &'static str,
    certificates: &'static [&'static str],
    keys: &'static [&'static str],
}

const LAYOUT: [Layout; 6] = [
    Layout {
        role: Role::Ci,
        folder: "CertificateIssuer",
        certificates: &["CERT_CI_ECDSA_NIST"],
        keys: &["SK_CI_ECDSA_NIST"],
    },
    Layout { role: Role::Eum, folder: "EUM", certificates: &["CERT_EUM_ECDSA_NIST"], keys: &["SK_EUM_ECDSA_NIST"] },
    Layout {
        role: Role::Euicc,
        folder: "eUICC",
        certificates: &["CERT_EUICC_ECDSA_NIST"],
        keys: &["SK_EUICC_ECDSA_NIST"],
    },
    Layout {
        role: Role::DpAuth,
        folder: "DPauth",
        certificates: &["CERT_S_SM_DPauth_ECDSA_NIST"],
        keys: &["SK_S_SM_DPauth_ECDSA_NIST"],
    },
    Layout {
        role: Role::DpPb,
        folder: "DPpb",
        certificates: &["CERT_S_SM_DPpb_ECDSA_NIST"],
        keys: &["SK_S_SM_DPpb_ECDSA_NIST"],
    },
    Layout {
        role: Role::DpTls,
        folder: "DPtls",
        certificates: &["CERT_S_SM_DP_TLS_NIST", "CERT_S_SM_DP_VARO_TLS_NIST"],
        keys: &["SK_S_SM_DP_TLS_NIST"],
    },
];

impl Layout {
    fn of(role: Role) -> Option<&'static Self> {
        LAYOUT.iter().find(|layout| layout.role == role)
    }

    fn certificate(&self) -> String {
        format!("{}/{}.der", self.folder, self.certificates.first().unwrap_or(&""))
    }

    fn key(&self) -> String {
        format!("{}/{}.pem", self.folder, self.keys.first().unwrap_or(&""))
    }
}

/// What a file is that holds no private key on a supported curve.
fn in_place_of_a_key(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    // OpenSSL puts the parameters of the curve before the key.
    let mut sections = text.split("-----BEGIN ").skip(1).filter_map(|section| section.split_once("-----"));
    let Some((label, rest)) = sections.clone().find(|(label, _)| label.contains("KEY")).or_else(|| sections.next())
    else {
        return "no PEM".to_owned();
    };
    // An encrypted one names its cipher only, or does so in a header above its octets.
    if label.contains("ENCRYPTED") || rest.contains("ENCRYPTED") {
        return "an encrypted one; take the password off with `openssl pkey -in FILE -out FILE`".to_owned();
    }
    let body: String = rest.split("-----").next().unwrap_or_default().split_whitespace().collect();
    let der = Zeroizing::new(STANDARD.decode(body).unwrap_or_default());
    match key_kind_within(&der) {
        _ if !label.ends_with("PRIVATE KEY") => format!("a {}", label.to_ascii_lowercase()),
        Some(kind) if kind != "P-256" => format!("one on {kind}"),
        None if label.starts_with("RSA") => "one on RSA".to_owned(),
        _ => "damaged".to_owned(),
    }
}

impl Pki {
    /// The credential of a role.
    pub fn get(&self, role: Role) -> Result<&Credential, PkiError> {
        self.credentials.get(&role).ok_or_else(|| match self.others.get(&role).cloned() {
            Some((path, cause)) => PkiError::OtherCurve { role, path, cause },
            None => PkiError::MissingCertificate(role),
        })
    }

    /// The private key of a role.
    pub fn key(&self, role: Role) -> Result<&PrivateKey, PkiError> {
        self.get(role)?.key().ok_or(PkiError::MissingKey(role))
    }

    /// Adds or replaces the credential of its certificate's role.
    pub fn insert(&mut self, role: Role, credential: Credential) {
        self.credentials.insert(role, credential);
    }

    /// The CI as card and server trust it.
    pub fn trust_anchor(&self) -> Result<TrustAnchor, PkiError> {
        TrustAnchor::from_certificate(self.get(Role::Ci)?.certificate()).map_err(|cause| PkiError::Certificate {
            path: Layout::of(Role::Ci).map(Layout::certificate).unwrap_or_default(),
            cause,
        })
    }

    /// Reads a PKI folder: `read` gives the contents of a path inside it, `None` if there is no such file.
    ///
    /// What is absent stays absent until it is asked for. Certificates are DER or PEM, keys PEM (PKCS #8 or SEC 1).
    pub fn load(mut read: impl FnMut(&str) -> Option<Vec<u8>>) -> Result<Self, PkiError> {
        let mut pki = Self::default();
        for layout in &LAYOUT {
            let mut first = |names: Vec<String>| {
                let paths = names
                    .into_iter()
                    .flat_map(|name| ["der", "pem"].map(|kind| format!("{}/{name}.{kind}", layout.folder)));
                paths.into_iter().find_map(|path| read(&path).map(|octets| (path, octets)))
            };
            let parse = |octets: &[u8]| {
                let certificate = Certificate::parse(&unarmoured(octets))?;
                certificate.verify_role(layout.role)?;
                certificate.public_key().map(|_| certificate)
            };
            let named = layout.certificates.iter().map(|name| (*name).to_owned()).collect();
            let Some((path, octets)) = first(named) else {
                let other = layout.certificates.iter().map(|name| name.replace("NIST", "BRP")).collect();
                if let Some((path, octets)) = first(other)
                    && let Err(cause) = parse(&octets)
                {
                    pki.others.insert(layout.role, (path, cause));
                }
                continue;
            };
            let certificate = parse(&octets).map_err(|cause| PkiError::Certificate { path, cause })?;
            let paths = layout.keys.iter().map(|name| format!("{}/{name}.pem", layout.folder));
            let key = paths.into_iter().find_map(|path| read(&path).map(|octets| (path, Zeroizing::new(octets))));
            let key = match key {
                None => None,
                Some((path, octets)) => Some(
                    core::str::from_utf8(&octets)
                        .ok()
                        .and_then(|text| PrivateKey::from_pem(Curve::P256, text).ok())
                        .ok_or_else(|| PkiError::Key { path, found: in_place_of_a_key(&octets) })?,
                ),
            };
            pki.insert(layout.role, Credential::new(certificate, key)?);
        }
        Ok(pki)
    }

    /// The files of a PKI folder: each certificate as DER and PEM, each key as PEM (PKCS #8).
    pub fn files(&self) -> Vec<File> {
        let mut files = Vec::new();
        for layout in &LAYOUT {
            let (Some(credential), Some(certificate), Some(key)) =
                (self.credentials.get(&layout.role), layout.certificates.first(), layout.keys.first())
            else {
                continue;
            };
            let mut add = |name: &str, extension: &str, contents: Zeroizing<Vec<u8>>, is_secret: bool| {
                files.push(File { path: format!("{}/{name}.{extension}", layout.folder), contents, is_secret });
            };
            add(certificate, "der", Zeroizing::new(credential.der().to_vec()), false);
            add(certificate, "pem", Zeroizing::new(credential.pem().into_bytes()), false);
            if let Some(pem) = credential.key_pem() {
                add(key, "pem", Zeroizing::new(pem.as_bytes().to_vec()), true);
            }
        }
        files
    }

    /// Makes a PKI from nothing: CI, EUM, one eUICC and one SM-DP+, with fresh keys.
    pub fn mint(parameters: &Parameters, fill_random: &mut FillRandom<'_>) -> Result<Self, PkiError> {
        let mut pki = Self::default();
        let ci_key = PrivateKey::generate(Curve::P256, &mut *fill_random);
        let ci_name = [
            Attribute::utf8(COMMON_NAME, "Test CI"),
            Attribute::utf8(ORGANIZATIONAL_UNIT, "TESTCERT"),
            Attribute::utf8(ORGANIZATION, "RSPTEST"),
            Attribute::printable(COUNTRY, "IT"),
        ];
        let ci_extensions = [
            subject_key_identifier(&ci_key.public_key()),
            basic_constraints(None),
            policy(Role::Ci, true),
            key_usage(&[0x01, 0x06]),
            alternative_names(&[], Some(&OID_CI.into())),
            crl_distribution_points(&["CRL-A", "CRL-B"]),
        ];
        let ci = ToBeSigned {
            serial: serial(fill_random),
            issuer: name(&ci_name),
            validity: Validity::starting(parameters.now, CI_LIFETIME),
            subject: name(&ci_name),
            key: &ci_key.public_key(),
            extensions: &ci_extensions,
        };
        let ci = ci.sign(&ci_key)?;
        pki.insert(Role::Ci, Credential::new(ci, Some(ci_key))?);

        let eum_key = PrivateKey::generate(Curve::P256, &mut *fill_random);
        let ein = parameters.eid.ein();
        let eum_extensions = [
            pki.authority_key_identifier(Role::Ci)?,
            subject_key_identifier(&eum_key.public_key()),
            key_usage(&[0x02, 0x04]),
            policy(Role::Eum, true),
            alternative_names(&[], Some(&OID_EUM.into())),
            basic_constraints(Some(0)),
            crl_distribution_points(&["CRL-B"]),
            permitted_subject(EUM_ORGANIZATION, &ein),
        ];
        let eum = ToBeSigned {
            serial: serial(fill_random),
            issuer: pki.get(Role::Ci)?.certificate().subject().to_vec(),
            validity: Validity::starting(parameters.now, EUM_LIFETIME),
            subject: name(&[
                Attribute::printable(COUNTRY, EUM_COUNTRY),
                Attribute::utf8(ORGANIZATION, EUM_ORGANIZATION),
                Attribute::utf8(COMMON_NAME, "EUM Test"),
            ]),
            key: &eum_key.public_key(),
            extensions: &eum_extensions,
        };
        let eum = eum.sign(pki.key(Role::Ci)?)?;
        pki.insert(Role::Eum, Credential::new(eum, Some(eum_key))?);

        pki.insert(Role::Euicc, pki.issue_euicc(parameters.eid, parameters.now, fill_random)?);
        for role in [Role::DpAuth, Role::DpPb] {
            pki.insert(role, pki.issue_server(role, &parameters.smdp_oid, parameters.now, fill_random)?);
        }
        let tls = pki.issue_tls(&parameters.tls_names, &parameters.smdp_oid, parameters.now, fill_random)?;
        pki.insert(Role::DpTls, tls);
        Ok(pki)
    }

    /// Certifies one more eUICC under this EUM, with a fresh key. The EID must be one the EUM may certify.
    ///
    /// As in SGP.26, the serial number has nine octets and the validity ends 2,000,000 days after `now`.
    pub fn issue_euicc(&self, eid: Eid, now: u64, fill_random: &mut FillRandom<'_>) -> Result<Credential, PkiError> {
        let eum = self.get(Role::Eum)?.certificate();
        let permitted = eum.permitted_subjects();
        let own = permitted.iter().find(|permitted| permitted.permits(&eid, permitted.organization.as_deref()));
        let Some(own) = own else {
            let eins: Vec<&str> = permitted.iter().filter_map(|permitted| permitted.ein.as_deref()).collect();
            return Err(PkiError::NotPermitted(eid, eins.join(" or ")));
        };
        let key = PrivateKey::generate(Curve::P256, &mut *fill_random);
        let mut subject = vec![Attribute::printable(COUNTRY, EUM_COUNTRY)];
        subject.extend(own.organization.as_deref().map(|organization| Attribute::utf8(ORGANIZATION, organization)));
        subject.push(Attribute::printable(SERIAL_NUMBER, &eid.to_string()));
        subject.push(Attribute::utf8(COMMON_NAME, "Test eUICC"));
        let mut nine_octets = vec![0x02];
        nine_octets.extend(serial(fill_random));
        let certificate = ToBeSigned {
            serial: nine_octets,
            issuer: eum.subject().to_vec(),
            validity: Validity::starting(now, EUICC_LIFETIME),
            subject: name(&subject),
            key: &key.public_key(),
            extensions: &[
                self.authority_key_identifier(Role::Eum)?,
                subject_key_identifier(&key.public_key()),
                key_usage(&[0x07, 0x80]),
                policy(Role::Euicc, true),
            ],
        };
        Credential::new(certificate.sign(self.key(Role::Eum)?)?, Some(key))
    }

    /// Certifies a server towards eUICCs: CERT.DPauth, CERT.DPpb or CERT.DSauth, with a fresh key.
    pub fn issue_server(
        &self,
        role: Role,
        oid: &Oid,
        now: u64,
        fill_random: &mut FillRandom<'_>,
    ) -> Result<Credential, PkiError> {
        let key = PrivateKey::generate(Curve::P256, &mut *fill_random);
        let certificate = ToBeSigned {
            serial: serial(fill_random),
            issuer: self.get(Role::Ci)?.certificate().subject().to_vec(),
            validity: Validity::starting(now, SERVER_LIFETIME),
            subject: name(&[Attribute::utf8(ORGANIZATION, "ACME"), Attribute::utf8(COMMON_NAME, "TEST SM-DP+")]),
            key: &key.public_key(),
            extensions: &[
                self.authority_key_identifier(Role::Ci)?,
                subject_key_identifier(&key.public_key()),
                alternative_names(&[], Some(oid)),
                key_usage(&[0x07, 0x80]),
                policy(role, true),
                crl_distribution_points(&["CRL-A", "CRL-B"]),
            ],
        };
        Credential::new(certificate.sign(self.key(Role::Ci)?)?, Some(key))
    }

    /// Certifies an SM-DP+ towards TLS clients (CERT.DPtls), with a fresh key, for these names and addresses.
    pub fn issue_tls(
        &self,
        names: &[ServerName],
        oid: &Oid,
        now: u64,
        fill_random: &mut FillRandom<'_>,
    ) -> Result<Credential, PkiError> {
        let common_name = names.first().ok_or(PkiError::NoName)?.to_string();
        let key = PrivateKey::generate(Curve::P256, &mut *fill_random);
        let certificate = ToBeSigned {
            serial: serial(fill_random),
            issuer: self.get(Role::Ci)?.certificate().subject().to_vec(),
            validity: Validity::starting(now, TLS_LIFETIME),
            subject: name(&[Attribute::utf8(ORGANIZATION, "ACME"), Attribute::utf8(COMMON_NAME, &common_name)]),
            key: &key.public_key(),
            extensions: &[
                key_usage(&[0x07, 0x80]),
                extended_key_usage(),
                policy(Role::DpTls, false),
                subject_key_identifier(&key.public_key()),
                self.authority_key_identifier(Role::Ci)?,
                alternative_names(names, Some(oid)),
                crl_distribution_points(&["CRL-1", "CRL-2"]),
            ],
        };
        Credential::new(certificate.sign(self.key(Role::Ci)?)?, Some(key))
    }

    /// Certifies an operator towards TLS peers, with a fresh key: as client on ES2+, and as server where it is told of
    /// progress. The first name is the one it is known by, its functionRequesterIdentifier.
    pub fn issue_operator(
        &self,
        names: &[ServerName],
        now: u64,
        fill_random: &mut FillRandom<'_>,
    ) -> Result<Credential, PkiError> {
        let common_name = names.first().ok_or(PkiError::NoName)?.to_string();
        let key = PrivateKey::generate(Curve::P256, &mut *fill_random);
        let certificate = ToBeSigned {
            serial: serial(fill_random),
            issuer: self.get(Role::Ci)?.certificate().subject().to_vec(),
            validity: Validity::starting(now, TLS_LIFETIME),
            subject: name(&[
                Attribute::utf8(ORGANIZATION, "Test Operator"),
                Attribute::utf8(COMMON_NAME, &common_name),
            ]),
            key: &key.public_key(),
            extensions: &[
                key_usage(&[0x07, 0x80]),
                extended_key_usage(),
                subject_key_identifier(&key.public_key()),
                self.authority_key_identifier(Role::Ci)?,
                alternative_names(names, None),
            ],
        };
        Credential::new(certificate.sign(self.key(Role::Ci)?)?, Some(key))
    }

    fn authority_key_identifier(&self, issuer: Role) -> Result<Vec<u8>, PkiError> {
        let certificate = self.get(issuer)?.certificate();
        let id = certificate.subject_key_identifier().map_err(|cause| PkiError::Certificate {
            path: Layout::of(issuer).map(Layout::certificate).unwrap_or_default(),
            cause,
        })?;
        Ok(extension(
            &[0x55, 0x1D, 0x23],
            false,
            &sequence(|value| {
                value.primitive(Tag(0x80), id.octets());
            }),
        ))
    }
}

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;
/// The CI lives 35 years.
const CI_LIFETIME: u64 = 12_783 * DAY;
/// The EUM lives a little shorter than the CI.
const EUM_LIFETIME: u64 = 12_410 * DAY;
/// An eUICC lives longer than anyone.
const EUICC_LIFETIME: u64 = 2_000_000 * DAY;
/// CERT.DPauth and CERT.DPpb live ten years.
const SERVER_LIFETIME: u64 = 3_650 * DAY;
/// TLS clients refuse certificates that live longer than 398 days.
const TLS_LIFETIME: u64 = 397 * DAY;

/// 2.999.1, 2.999.5 and 2.999.10: registered for examples, and used by SGP.26.
const OID_CI: [u8; 3] = [0x88, 0x37, 1];
const OID_EUM: [u8; 3] = [0x88, 0x37, 5];
const OID_SMDP: [u8; 3] = [0x88, 0x37, 10];

const EUM_COUNTRY: &str = "ES";
const EUM_ORGANIZATION: &str = "RSP Test EUM";

/// What a minted PKI is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Start of all validities, seconds since 1970.
    pub now: u64,
    /// EID of the eUICC; its first eight digits become the EUM's EIN.
    pub eid: Eid,
    /// Names and addresses of the SM-DP+ towards TLS clients; the first one becomes the common name.
    pub tls_names: Vec<ServerName>,
    /// OID of the SM-DP+.
    pub smdp_oid: Oid,
}

impl Parameters {
    /// For an SM-DP+ on this machine, `localhost` and the loopback addresses, with the OID of SGP.26, 2.999.10.
    pub fn new(now: u64, eid: Eid) -> Self {
        Self { now, eid, tls_names: ServerName::loopback(), smdp_oid: OID_SMDP.into() }
    }
}

/// A name by which TLS clients reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// Host name.
    Dns(String),
    /// Address.
    Ip(IpAddr),
}

impl ServerName {
    /// `localhost`, 127.0.0.1 and ::1.
    pub fn loopback() -> Vec<Self> {
        use core::net::{Ipv4Addr, Ipv6Addr};
        vec![Self::Dns("localhost".into()), Self::Ip(Ipv4Addr::LOCALHOST.into()), Self::Ip(Ipv6Addr::LOCALHOST.into())]
    }
}

impl FromStr for ServerName {
    type Err = core::convert::Infallible;

    /// An address if it reads as one, a host name otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Dns(text.into()), Self::Ip))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// The part of a certificate the issuer decides on. RFC 5280 section 4.1
struct ToBeSigned<'a> {
    serial: Vec<u8>,
    issuer: Vec<u8>,
    validity: Validity,
    subject: Vec<u8>,
    key: &'a PublicKey,
    extensions: &'a [Vec<u8>],
}

impl ToBeSigned<'_> {
    fn sign(&self, issuer: &PrivateKey) -> Result<Certificate, PkiError> {
        let algorithm = sequence(|algorithm| {
            algorithm.primitive(OBJECT_IDENTIFIER, ECDSA_WITH_SHA256);
        });
        let to_be_signed = sequence(|tbs| {
            tbs.constructed(Tag(0xA0), |version| {
                version.primitive(INTEGER, &[2]);
            });
            tbs.primitive(INTEGER, &self.serial).raw(&algorithm).raw(&self.issuer);
            tbs.constructed(SEQUENCE, |validity| {
                for time in [self.validity.not_before, self.validity.not_after] {
                    write_time(validity, time);
                }
            });
            tbs.raw(&self.subject);
            tbs.constructed(SEQUENCE, |key| {
                key.constructed(SEQUENCE, |algorithm| {
                    algorithm.primitive(OBJECT_IDENTIFIER, EC_PUBLIC_KEY);
                    algorithm.primitive(OBJECT_IDENTIFIER, self.key.curve().oid());
                });
                key.primitive(BIT_STRING, &without_unused_bits(&self.key.to_uncompressed()));
            });
            tbs.constructed(Tag(0xA3), |outer| {
                outer.constructed(SEQUENCE, |extensions| {
                    for extension in self.extensions {
                        extensions.raw(extension);
                    }
                });
            });
        });
        let signature = ecdsa::sign_der(issuer, &to_be_signed);
        let certificate = sequence(|certificate| {
            certificate.raw(&to_be_signed).raw(&algorithm).primitive(BIT_STRING, &without_unused_bits(&signature));
        });
        Certificate::parse(&certificate)
            .map_err(|cause| PkiError::Certificate { path: "new certificate".into(), cause })
    }
}

#[derive(Clone, Copy)]
struct Validity {
    not_before: u64,
    not_after: u64,
}

impl Validity {
    fn starting(now: u64, lifetime: u64) -> Self {
        Self { not_before: now, not_after: now.saturating_add(lifetime) }
    }
}

const SEQUENCE: Tag = Tag(0x30);
const SET: Tag = Tag(0x31);
const BOOLEAN: Tag = Tag(0x01);
const INTEGER: Tag = Tag(0x02);
const BIT_STRING: Tag = Tag(0x03);
const OCTET_STRING: Tag = Tag(0x04);
const OBJECT_IDENTIFIER: Tag = Tag(0x06);
const UTF8_STRING: Tag = Tag(0x0C);
const PRINTABLE_STRING: Tag = Tag(0x13);
const UTC_TIME: Tag = Tag(0x17);
const GENERALIZED_TIME: Tag = Tag(0x18);

/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];

const COMMON_NAME: u8 = 3;
const SERIAL_NUMBER: u8 = 5;
const COUNTRY: u8 = 6;
const ORGANIZATION: u8 = 10;
const ORGANIZATIONAL_UNIT: u8 = 11;

/// One attribute of a name, 2.5.4.n.
struct Attribute {
    kind: u8,
    string: Tag,
    value: String,
}

impl Attribute {
    fn utf8(kind: u8, value: &str) -> Self {
        Self { kind, string: UTF8_STRING, value: value.into() }
    }

    fn printable(kind: u8, value: &str) -> Self {
        Self { kind, string: PRINTABLE_STRING, value: value.into() }
    }
}

fn name(attributes: &[Attribute]) -> Vec<u8> {
    sequence(|name| {
        for Attribute { kind, string, value } in attributes {
            name.constructed(SET, |relative| {
                relative.constructed(SEQUENCE, |attribute| {
                    attribute.primitive(OBJECT_IDENTIFIER, &[0x55, 0x04, *kind]).primitive(*string, value.as_bytes());
                });
            });
        }
    })
}

fn sequence(inside: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.constructed(SEQUENCE, inside);
    writer.into_bytes()
}

/// The contents of a BIT STRING of whole octets.
fn without_unused_bits(octets: &[u8]) -> Vec<u8> {
    core::iter::once(0).chain(octets.iter().copied()).collect()
}

/// Eight octets, positive and without leading zeros.
fn serial(fill_random: &mut FillRandom<'_>) -> Vec<u8> {
    let mut octets = [0; 8];
    fill_random(&mut octets);
    octets[0] = octets[0] & 0x3F | 0x40;
    octets.to_vec()
}

/// `Extension`: critical is written only when true.
fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    sequence(|extension| {
        extension.primitive(OBJECT_IDENTIFIER, oid);
        if critical {
            extension.primitive(BOOLEAN, &[0xFF]);
        }
        extension.primitive(OCTET_STRING, value);
    })
}

/// The first 160 bits of the SHA-256 of the point. RFC 7093 section 2, method 1
fn subject_key_identifier(key: &PublicKey) -> Vec<u8> {
    let hash = Sha256::digest(key.to_uncompressed());
    let mut value = Writer::new();
    value.primitive(OCTET_STRING, hash.get(..20).unwrap_or_default());
    extension(&[0x55, 0x1D, 0x0E], false, value.as_bytes())
}

fn basic_constraints(path_length: Option<u8>) -> Vec<u8> {
    let value = sequence(|value| {
        value.primitive(BOOLEAN, &[0xFF]);
        if let Some(length) = path_length {
            value.primitive(INTEGER, &[length]);
        }
    });
    extension(&[0x55, 0x1D, 0x13], true, &value)
}

/// `bits` are the contents of the BIT STRING, number of unused bits first.
fn key_usage(bits: &[u8]) -> Vec<u8> {
    let mut value = Writer::new();
    value.primitive(BIT_STRING, bits);
    extension(&[0x55, 0x1D, 0x0F], true, value.as_bytes())
}

/// TLS server and client authentication, critical.
fn extended_key_usage() -> Vec<u8> {
    let value = sequence(|purposes| {
        for purpose in [1, 2] {
            purposes.primitive(OBJECT_IDENTIFIER, &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, purpose]);
        }
    });
    extension(&[0x55, 0x1D, 0x25], true, &value)
}

fn policy(role: Role, critical: bool) -> Vec<u8> {
    let value = sequence(|policies| {
        policies.constructed(SEQUENCE, |policy| {
            policy.primitive(OBJECT_IDENTIFIER, role.policy().octets());
        });
    });
    extension(&[0x55, 0x1D, 0x20], critical, &value)
}

fn alternative_names(names: &[ServerName], registered_id: Option<&Oid>) -> Vec<u8> {
    let value = sequence(|value| {
        for name in names {
            match name {
                ServerName::Dns(name) => value.primitive(Tag(0x82), name.as_bytes()),
                ServerName::Ip(IpAddr::V4(address)) => value.primitive(Tag(0x87), &address.octets()),
                ServerName::Ip(IpAddr::V6(address)) => value.primitive(Tag(0x87), &address.octets()),
            };
        }
        if let Some(oid) = registered_id {
            value.primitive(Tag(0x88), oid.octets());
        }
    });
    extension(&[0x55, 0x1D, 0x11], false, &value)
}

fn crl_distribution_points(lists: &[&str]) -> Vec<u8> {
    let value = sequence(|points| {
        for list in lists {
            points.constructed(SEQUENCE, |point| {
                point.constructed(Tag(0xA0), |name| {
                    name.constructed(Tag(0xA0), |full_name| {
                        let url = format!("http://ci.test.example.com/{list}.crl");
                        full_name.primitive(Tag(0x86), url.as_bytes());
                    });
                });
            });
        }
    });
    extension(&[0x55, 0x1D, 0x1F], false, &value)
}

/// Name constraints: the one organisation and EIN permitted.
fn permitted_subject(organization: &str, ein: &str) -> Vec<u8> {
    let subject = name(&[Attribute::utf8(ORGANIZATION, organization), Attribute::printable(SERIAL_NUMBER, ein)]);
    let value = sequence(|value| {
        value.constructed(Tag(0xA0), |permitted| {
            permitted.constructed(SEQUENCE, |subtree| {
                subtree.constructed(Tag(0xA4), |directory_name| {
                    directory_name.raw(&subject);
                });
            });
        });
    });
    extension(&[0x55, 0x1D, 0x1E], true, &value)
}

/// UTCTime up to 2049, GeneralizedTime after. RFC 5280 section 4.1.2.5
fn write_time(writer: &mut Writer, seconds: u64) {
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if year < 2050 {
        writer.primitive(UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes());
    } else {
        writer.primitive(GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes());
    }
}

/// Year, month and day, `days` after 1 January 1970, in the Gregorian calendar.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // Whole cycles of 400 years first: they all have the same length.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

/// `PrivateKeyInfo` of a P-256 key with its public key. RFC 5958, RFC 5915
fn pkcs8(key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    const BEFORE_SCALAR: [u8; 36] = [
        0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
        0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x04, 0x6D, 0x30, 0x6B, 0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    const BEFORE_POINT: [u8; 5] = [0xA1, 0x44, 0x03, 0x42, 0x00];
    let point = key.public_key().to_uncompressed();
    let scalar = key.to_bytes();
    // The capacity is exact: growing would leave a copy of the scalar behind.
    let parts = [&BEFORE_SCALAR[..], scalar.as_slice(), &BEFORE_POINT, &point];
    let mut der = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}

/// RFC 7468 text encoding.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The DER inside the first PEM certificate of `octets`, or `octets` themselves.
pub fn unarmoured(octets: &[u8]) -> Vec<u8> {
    let inside = core::str::from_utf8(octets).ok().and_then(|text| {
        let (_, after) = text.split_once("-----BEGIN CERTIFICATE-----")?;
        let (body, _) = after.split_once("-----END CERTIFICATE-----")?;
        STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
    });
    inside.unwrap_or_else(|| octets.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{verify_euicc, verify_server};
    use crypto::provider::Deterministic;
    use hex_literal::hex;
    use std::collections::HashMap;
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;

    /// 1 January 2026.
    const NOW: u64 = 1_767_225_600;
    const TEST_EID: &str = "89049032123451234512345678901235";

    /// Octets from a seed, different at every call.
    fn random(seed: u64) -> impl FnMut(&mut [u8]) {
        let mut count = seed << 32;
        move |octets: &mut [u8]| {
            for chunk in octets.chunks_mut(32) {
                count += 1;
                chunk.copy_from_slice(&Sha256::digest(count.to_be_bytes())[..chunk.len()]);
            }
        }
    }

    fn minted(now: u64) -> Pki {
        Pki::mint(&Parameters::new(now, TEST_EID.parse().unwrap()), &mut random(1)).unwrap()
    }

    #[test]
    fn a_minted_pki_verifies() {
        let pki = minted(NOW);
        let ci = pki.trust_anchor().unwrap();
        let der = |role: Role| pki.get(role).unwrap().der();
        let chain =
            verify_euicc(der(Role::Euicc), der(Role::Eum), std::slice::from_ref(&ci), NOW + 1000, &Deterministic)
                .unwrap();
        assert_eq!(chain.eid.to_string(), TEST_EID);
        assert_eq!(chain.euicc.serial().len(), 9);
        let auth = verify_server(der(Role::DpAuth), &ci, Role::DpAuth, &Deterministic).unwrap();
        let pb = verify_server(der(Role::DpPb), &ci, Role::DpPb, &Deterministic).unwrap();
        assert_eq!(auth.oid().unwrap().dotted().as_deref(), Some("2.999.10"));
        assert_eq!(auth.oid(), pb.oid());
        verify_server(der(Role::DpTls), &ci, Role::DpTls, &Deterministic).unwrap();
        let again = minted(NOW);
        assert_eq!(again.get(Role::DpTls).unwrap().der(), der(Role::DpTls), "the same seed gives the same PKI");
    }

    /// Extensions, their order and criticality are those of the SGP.26 certificates.
    #[test]
    fn extensions_are_those_of_sgp26() {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let shape = |der: &[u8]| -> Vec<(String, bool, usize)> {
            let (_, certificate) = X509Certificate::from_der(der).unwrap();
            let shape = |extension: &x509_parser::extensions::X509Extension<'_>| {
                (extension.oid.to_id_string(), extension.critical, extension.value.len())
            };
            certificate.extensions().iter().map(shape).collect()
        };
        let mut parameters = Parameters::new(NOW, TEST_EID.parse().unwrap());
        parameters.tls_names = vec![ServerName::Dns("testsmdpplus1.example.com".into())];
        let pki = Pki::mint(&parameters, &mut random(2)).unwrap();
        for layout in &LAYOUT {
            let name = layout.certificates.last().unwrap();
            let Some(theirs) = crate::certificate::sgp26::file(&format!("{}/{name}.der", layout.folder)) else {
                return;
            };
            assert_eq!(shape(pki.get(layout.role).unwrap().der()), shape(&theirs), "{}", layout.role);
        }
    }

    #[test]
    fn files_are_written_and_read() {
        let pki = minted(NOW);
        let files: HashMap<String, Vec<u8>> =
            pki.files().into_iter().map(|file| (file.path, file.contents.to_vec())).collect();
        assert_eq!(files.len(), 18);
        let again = Pki::load(|path| files.get(path).cloned()).unwrap();
        for layout in &LAYOUT {
            let (before, after) = (pki.get(layout.role).unwrap(), again.get(layout.role).unwrap());
            assert_eq!(before.der(), after.der());
            assert_eq!(before.key().unwrap().to_bytes(), after.key().unwrap().to_bytes());
        }
        let only_pem = Pki::load(|path| files.get(path).filter(|_| path.ends_with("pem")).cloned()).unwrap();
        assert_eq!(only_pem.get(Role::Ci).unwrap().der(), pki.get(Role::Ci).unwrap().der());
        assert!(pki.files().iter().all(|file| file.is_secret == file.path.contains("/SK_")));
        assert!(!format!("{:?}", pki.files()).contains("contents"));
    }

    #[test]
    fn faults_of_a_folder_are_named() {
        let files: HashMap<String, Vec<u8>> =
            minted(NOW).files().into_iter().map(|file| (file.path, file.contents.to_vec())).collect();
        let swapped = |from: &str, to: &str| {
            Pki::load(|path| files.get(if path == from { to } else { path }).cloned()).unwrap_err().to_string()
        };
        assert_eq!(
            swapped("EUM/SK_EUM_ECDSA_NIST.pem", "CertificateIssuer/SK_CI_ECDSA_NIST.pem"),
            "the private key beside CERT.EUM belongs to another certificate"
        );
        assert_eq!(
            swapped("DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der", "DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der"),
            "DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der: the certificate is no CERT.DPpb but a CERT.DPauth"
        );
        assert_eq!(
            swapped("EUM/SK_EUM_ECDSA_NIST.pem", "EUM/CERT_EUM_ECDSA_NIST.pem"),
            "EUM/SK_EUM_ECDSA_NIST.pem: not a P-256 private key in PEM, but a certificate"
        );
        assert_eq!(
            Pki::default().get(Role::Eum).unwrap_err().to_string(),
            "the PKI has no CERT.EUM; it belongs in EUM/CERT_EUM_ECDSA_NIST.der"
        );
    }

    /// Keys made with OpenSSL, all worthless.
    #[test]
    fn what_is_no_key_on_p_256_is_named() {
        let pem = |label: &str, der: &[u8]| pem(label, der).as_bytes().to_vec();
        for (octets, expected) in [
            (b"no key".to_vec(), "no PEM"),
            (pem("ENCRYPTED PRIVATE KEY", &[0x30, 0]), "encrypted"),
            (b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n".to_vec(), "encrypted"),
            (pem("PUBLIC KEY", &[0x30, 0]), "a public key"),
            (pem("RSA PRIVATE KEY", &[0x30, 0]), "one on RSA"),
            (pem("PRIVATE KEY", &hex!("302e0201003005 06032b6570 04220420 0101010101010101")), "one on Ed25519"),
            (pem("EC PRIVATE KEY", &hex!("3077 020101 a00b 06092b2403030208010107")), "one on brainpoolP256r1"),
            (pem("EC PRIVATE KEY", &hex!("3077 020101 a00a 06082a8648ce3d030107")), "damaged"),
        ] {
            let found = in_place_of_a_key(&octets);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    /// SGP.26 has each certificate on two curves. A folder with the ones on the other curve is told by the curve.
    #[test]
    fn a_folder_of_another_curve_is_named() {
        let Some(_) = crate::certificate::sgp26::file("EUM/CERT_EUM_ECDSA_BRP.der") else { return };
        let folder = format!("{}/../../shared/vectors/sgp26", env!("CARGO_MANIFEST_DIR"));
        let load =
            |wanted: fn(&str) -> String| Pki::load(|path| std::fs::read(format!("{folder}/{}", wanted(path))).ok());
        let only = |path: &str| if path.contains("NIST") { "none".to_owned() } else { path.to_owned() };
        let refusal = load(only).unwrap().get(Role::Ci).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "the PKI has no CERT.CI on P-256, only CertificateIssuer/CERT_CI_ECDSA_BRP.der: the key of the certificate is on \
             an unsupported curve, brainpoolP256r1 (1.3.36.3.3.2.8.1.1.7); the certificate on P-256 belongs in \
             CertificateIssuer/CERT_CI_ECDSA_NIST.der"
        );
        let renamed = load(|path| path.replace("NIST", "BRP")).unwrap_err().to_string();
        assert!(
            renamed.starts_with("CertificateIssuer/CERT_CI_ECDSA_NIST.der: ") && renamed.contains("brainpool"),
            "{renamed}"
        );
        let keys = |path: &str| if path.contains("/SK_") { path.replace("NIST", "BRP") } else { path.to_owned() };
        let key = load(keys).unwrap_err().to_string();
        assert!(key.ends_with("but one on brainpoolP256r1"), "{key}");
    }

    #[test]
    fn further_euiccs() {
        let pki = minted(NOW);
        let eid = Eid::with_check_digits("890490320000000000000000000007").unwrap();
        let other = pki.issue_euicc(eid, NOW, &mut random(3)).unwrap();
        assert_eq!(other.certificate().eid(), Ok(eid));
        let foreign = Eid::with_check_digits("890440450000000000000000000007").unwrap();
        let refused = pki.issue_euicc(foreign, NOW, &mut random(3)).unwrap_err();
        assert_eq!(refused, PkiError::NotPermitted(foreign, "89049032".into()));
    }

    /// The published test PKI loads, with all keys, and certifies further eUICCs and TLS servers.
    #[test]
    fn sgp26_folder() {
        if crate::certificate::sgp26::file("EUM/CERT_EUM_ECDSA_NIST.der").is_none() {
            return;
        }
        let folder = format!("{}/../../shared/vectors/sgp26", env!("CARGO_MANIFEST_DIR"));
        let pki = Pki::load(|path| std::fs::read(format!("{folder}/{path}")).ok()).unwrap();
        for layout in &LAYOUT {
            pki.key(layout.role).unwrap();
        }
        let ci = pki.trust_anchor().unwrap();
        let eid = Eid::with_check_digits("890490320000000000000000000007").unwrap();
        let euicc = pki.issue_euicc(eid, NOW, &mut random(4)).unwrap();
        verify_euicc(euicc.der(), pki.get(Role::Eum).unwrap().der(), &[ci], NOW, &Deterministic).unwrap();
        pki.issue_tls(&ServerName::loopback(), &OID_SMDP.into(), NOW, &mut random(5)).unwrap();
    }

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_454, (2026, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
            (2_018_353, (7496, 1, 24)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    /// OpenSSL verifies every chain; of the eUICC's it says what it says of SGP.26's own: it reads name constraints as
    /// RFC 5280 does, where an EIN would have to be a whole serial number.
    #[test]
    fn openssl_agrees() {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: no openssl");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let pki = minted(NOW);
        for file in pki.files() {
            let path = folder.path().join(&file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &file.contents).unwrap();
        }
        let at = (NOW + 1000).to_string();
        let verify = |chain: &[&str]| {
            let mut command = Command::new("openssl");
            command.current_dir(folder.path()).args(["verify", "-x509_strict", "-attime", &at]);
            let output = command.args(["-CAfile", "CertificateIssuer/CERT_CI_ECDSA_NIST.pem"]).args(chain).output();
            let output = output.unwrap();
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let eum = "EUM/CERT_EUM_ECDSA_NIST.pem";
        for certificate in [
            eum,
            "DPauth/CERT_S_SM_DPauth_ECDSA_NIST.pem",
            "DPpb/CERT_S_SM_DPpb_ECDSA_NIST.pem",
            "DPtls/CERT_S_SM_DP_TLS_NIST.pem",
        ] {
            assert_eq!(verify(&[certificate]), format!("{certificate}: OK\n"));
        }
        let euicc = verify(&["-untrusted", eum, "eUICC/CERT_EUICC_ECDSA_NIST.pem"]);
        assert!(euicc.contains("permitted subtree violation") && euicc.matches("error").count() == 2, "{euicc}");
        assert!(openssl_reads_key(&folder.path().join("DPtls/SK_S_SM_DP_TLS_NIST.pem")));
    }

    fn openssl_reads_key(path: &Path) -> bool {
        Command::new("openssl").args(["pkey", "-check", "-noout", "-in"]).arg(path).status().unwrap().success()
    }

    /// rustls believes an operator on both sides of a connection, by its names.
    #[test]
    fn rustls_accepts_an_operator() {
        use rustls::RootCertStore;
        use rustls::client::verify_server_name;
        use rustls::pki_types::{CertificateDer, ServerName as TlsName, UnixTime};
        use rustls::server::{ParsedCertificate, WebPkiClientVerifier};

        let pki = minted(NOW);
        let names = ["operator.example".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let operator = pki.issue_operator(&names, NOW, &mut random(9)).unwrap();
        assert_eq!(operator.certificate().role(), None);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(pki.get(Role::Ci).unwrap().der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW + 1000));
        let der = CertificateDer::from(operator.der().to_vec());
        verifier.verify_client_cert(&der, &[], now).unwrap();
        let parsed = ParsedCertificate::try_from(&der).unwrap();
        for (name, is_its) in [("operator.example", true), ("127.0.0.1", true), ("other.example", false)] {
            assert_eq!(verify_server_name(&parsed, &TlsName::try_from(name).unwrap()).is_ok(), is_its, "{name}");
        }
        assert!(matches!(pki.issue_operator(&[], NOW, &mut random(9)), Err(PkiError::NoName)));
    }

    /// rustls serves with CERT.DPtls and its own client, trusting the CI alone, connects to both names.
    #[test]
    fn rustls_accepts_the_tls_certificate() {
        use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
        use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

        #[derive(Debug)]
        struct At(u64);
        impl rustls::time_provider::TimeProvider for At {
            fn current_time(&self) -> Option<UnixTime> {
                Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.0)))
            }
        }

        let pki = minted(NOW);
        let tls = pki.get(Role::DpTls).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(tls.key_der().unwrap().to_vec());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(tls.der().to_vec())], key.into())
            .unwrap();
        let server = Arc::new(server);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(pki.get(Role::Ci).unwrap().der().to_vec())).unwrap();
        let connect = |name: &'static str, now: u64| -> Result<(), rustls::Error> {
            let client = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(At(now)))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            let mut client = ClientConnection::new(Arc::new(client), name.try_into().unwrap())?;
            let mut server = ServerConnection::new(Arc::clone(&server))?;
            while client.is_handshaking() {
                let mut sent = Vec::new();
                client.write_tls(&mut sent).unwrap();
                server.read_tls(&mut sent.as_slice()).unwrap();
                server.process_new_packets()?;
                let mut sent = Vec::new();
                server.write_tls(&mut sent).unwrap();
                client.read_tls(&mut sent.as_slice()).unwrap();
                client.process_new_packets()?;
            }
            Ok(())
        };
        for name in ["localhost", "127.0.0.1", "::1"] {
            connect(name, NOW + 1000).unwrap();
        }
        assert!(connect("smdp.example", NOW + 1000).is_err(), "another name");
        assert!(connect("localhost", NOW + TLS_LIFETIME + 1000).is_err(), "expired");
    }
}
