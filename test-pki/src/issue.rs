//! Certifying: a whole PKI at once, or one more eUICC, server or operator.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use calendar::DAY;
use crypto::ec::{Curve, PrivateKey};

use crate::folder::Layout;
use crate::{Credential, FillRandom, Pki, PkiError};
use identities::Eid;
use rsp::Oid;
use rsp::certificate::{Certificate, Role};
use x509::{
    AlternativeName, Attribute, COMMON_NAME, COUNTRY, ORGANIZATION, ORGANIZATIONAL_UNIT, SERIAL_NUMBER, ToBeSigned,
    Validity, basic_constraints, extended_key_usage, key_usage, name, permitted_subject, serial,
    subject_key_identifier,
};

impl Pki {
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
            alternative_names(&[], Some(&OID_CI)),
            crl_distribution_points(&["CRL-A", "CRL-B"]),
        ];
        let ci = ToBeSigned {
            serial: serial(&mut *fill_random),
            issuer: name(&ci_name),
            validity: Validity::starting(parameters.now, CI_LIFETIME),
            subject: name(&ci_name),
            key: &ci_key.public_key(),
            extensions: &ci_extensions,
        };
        let ci = signed(&ci, &ci_key)?;
        pki.insert(Role::Ci, Credential::new(ci, Some(ci_key))?);

        let eum_key = PrivateKey::generate(Curve::P256, &mut *fill_random);
        let ein = parameters.eid.ein();
        let eum_extensions = [
            pki.authority_key_identifier(Role::Ci)?,
            subject_key_identifier(&eum_key.public_key()),
            key_usage(&[0x02, 0x04]),
            policy(Role::Eum, true),
            alternative_names(&[], Some(&OID_EUM)),
            basic_constraints(Some(0)),
            crl_distribution_points(&["CRL-B"]),
            permitted_subject(EUM_ORGANIZATION, &ein),
        ];
        let eum = ToBeSigned {
            serial: serial(&mut *fill_random),
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
        let eum = signed(&eum, pki.key(Role::Ci)?)?;
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
        nine_octets.extend(serial(&mut *fill_random));
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
        Credential::new(signed(&certificate, self.key(Role::Eum)?)?, Some(key))
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
        self.certify_server(role, oid, now, &key, fill_random)
    }

    /// The same for a key that exists already.
    pub fn certify_server(
        &self,
        role: Role,
        oid: &Oid,
        now: u64,
        key: &PrivateKey,
        fill_random: &mut FillRandom<'_>,
    ) -> Result<Credential, PkiError> {
        let certificate = ToBeSigned {
            serial: serial(&mut *fill_random),
            issuer: self.get(Role::Ci)?.certificate().subject().to_vec(),
            validity: Validity::starting(now, SERVER_LIFETIME),
            subject: name(&[Attribute::utf8(ORGANIZATION, "ACME"), Attribute::utf8(COMMON_NAME, "TEST SM-DP+")]),
            key: &key.public_key(),
            extensions: &[
                self.authority_key_identifier(Role::Ci)?,
                subject_key_identifier(&key.public_key()),
                alternative_names(&[], Some(oid.octets())),
                key_usage(&[0x07, 0x80]),
                policy(role, true),
                crl_distribution_points(&["CRL-A", "CRL-B"]),
            ],
        };
        Credential::new(signed(&certificate, self.key(Role::Ci)?)?, Some(key.clone()))
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
            serial: serial(&mut *fill_random),
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
                alternative_names(names, Some(oid.octets())),
                crl_distribution_points(&["CRL-1", "CRL-2"]),
            ],
        };
        Credential::new(signed(&certificate, self.key(Role::Ci)?)?, Some(key))
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
            serial: serial(&mut *fill_random),
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
        Credential::new(signed(&certificate, self.key(Role::Ci)?)?, Some(key))
    }

    fn authority_key_identifier(&self, issuer: Role) -> Result<Vec<u8>, PkiError> {
        let certificate = self.get(issuer)?.certificate();
        let id = certificate.subject_key_identifier().map_err(|cause| PkiError::Certificate {
            path: Layout::of(issuer).map(Layout::certificate).unwrap_or_default(),
            cause,
        })?;
        Ok(x509::authority_key_identifier(id.octets()))
    }
}

fn signed(certificate: &ToBeSigned<'_>, issuer: &PrivateKey) -> Result<Certificate, PkiError> {
    Certificate::parse(&certificate.sign(issuer))
        .map_err(|cause| PkiError::Certificate { path: "new certificate".into(), cause })
}

fn policy(role: Role, critical: bool) -> Vec<u8> {
    x509::certificate_policy(role.policy().octets(), critical)
}

fn alternative_names(names: &[ServerName], registered_id: Option<&[u8]>) -> Vec<u8> {
    let names = names.iter().map(|name| match name {
        ServerName::Dns(name) => AlternativeName::Dns(name),
        ServerName::Ip(address) => AlternativeName::Ip(*address),
    });
    x509::alternative_names(&names.chain(registered_id.map(AlternativeName::RegisteredId)).collect::<Vec<_>>())
}

fn crl_distribution_points(lists: &[&str]) -> Vec<u8> {
    let urls: Vec<_> = lists.iter().map(|list| format!("http://ci.test.example.com/{list}.crl")).collect();
    x509::crl_distribution_points(&urls.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The CI lives 35 years.
const CI_LIFETIME: u64 = 12_783 * DAY;
/// The EUM lives a little shorter than the CI.
const EUM_LIFETIME: u64 = 12_410 * DAY;
/// An eUICC lives longer than anyone.
const EUICC_LIFETIME: u64 = 2_000_000 * DAY;
/// CERT.DPauth and CERT.DPpb live ten years.
const SERVER_LIFETIME: u64 = 3_650 * DAY;
/// TLS clients refuse certificates that live longer than 398 days.
pub(crate) const TLS_LIFETIME: u64 = 397 * DAY;

/// 2.999.1, 2.999.5 and 2.999.10: registered for examples, and used by SGP.26.
const OID_CI: [u8; 3] = [0x88, 0x37, 1];
const OID_EUM: [u8; 3] = [0x88, 0x37, 5];
pub(crate) const OID_SMDP: [u8; 3] = [0x88, 0x37, 10];

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
