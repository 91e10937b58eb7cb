//! Faults to order: a server that refuses, is slow, breaks off or answers wrongly, so that it can be seen what an LPA
//! does then.
//!
//! | module | what |
//! |---|---|
//! | [`kind`] | the table of kinds: from it come the parser, the help and the catalogue |
//! | [`order`](mod@order) | one fault, as it is ordered: at which function, which kind, when |
//! | `answer` | how an answer is made wrong |
//! | `layer` | the layer around the functions, which only a server with faults has |

mod answer;
pub mod kind;
mod layer;
pub mod order;

use std::sync::atomic::{AtomicBool, AtomicU32};

use crypto::ec::PrivateKey;
use https::TlsIdentity;
use identities::Eid;
use rsp::Oid;
use rsp::certificate::Role;
use system::System;
use test_pki::{Credential, Parameters, Pki, PkiError, ServerName};

use crate::identity::IdentityError;
use crate::serve::tls_identity_by;
pub use kind::{At, Kind, ROWS, Row};
pub(crate) use layer::{Layer, strike};
pub use order::{Fault, FaultError, When};

/// Faults, ready to strike.
#[derive(Debug)]
pub struct Faults {
    ordered: Vec<Armed>,
    keys: Keys,
}

/// A fault, and how often it could have struck.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    calls: AtomicU32,
    has_struck: AtomicBool,
}

/// What wrong answers are signed with, and the certificates that go with them: all for the keys of the right ones, so that
/// nothing but the certificate is wrong.
struct Keys {
    auth: PrivateKey,
    pb: PrivateKey,
    wrong: Vec<(Role, Kind, Credential)>,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys(secret)")
    }
}

/// What a server is, as far as it decides whether a fault can strike.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
    /// Whether it speaks TLS.
    pub has_tls: bool,
    /// Whether operators can call.
    pub has_es2plus: bool,
}

/// Days by which a wrong certificate misses its time.
const DAY: u64 = calendar::DAY;
/// Longer than any certificate of a server lives.
const LONG_AGO: u64 = 4000 * DAY;
/// 2.999.99: nobody's.
const OTHER_OID: [u8; 3] = [0x88, 0x37, 99];
/// The host in a TLS certificate that is for another one.
const OTHER_HOST: &str = "another-host.example.com";

impl Faults {
    /// Readies what was ordered, with the keys of this PKI.
    ///
    /// # Errors
    ///
    /// [`FaultError`] names a fault that could never strike.
    pub fn new(ordered: Vec<Fault>, listeners: Listeners, pki: &Pki, system: &System) -> Result<Self, FaultError> {
        order::check(&ordered, listeners)?;
        let key = |role| pki.key(role).cloned().map_err(FaultError::Pki);
        let mut keys = Keys { auth: key(Role::DpAuth)?, pb: key(Role::DpPb)?, wrong: Vec::new() };
        for fault in &ordered {
            let role = match fault.at {
                At::InitiateAuthentication => Role::DpAuth,
                At::AuthenticateClient => Role::DpPb,
                _ => continue,
            };
            if fault.row.kind.is_of_certificate() {
                let wrong = wrong_certificate(pki, role, fault.row.kind, system).map_err(FaultError::Pki)?;
                keys.wrong.push((role, fault.row.kind, wrong));
            }
        }
        let arm = |fault| Armed { fault, calls: AtomicU32::new(0), has_struck: AtomicBool::new(false) };
        Ok(Self { ordered: ordered.into_iter().map(arm).collect(), keys })
    }

    /// The faults.
    pub fn ordered(&self) -> impl Iterator<Item = &Fault> {
        self.ordered.iter().map(|armed| &armed.fault)
    }

    /// The TLS identity of the server: a wrong one, if that was ordered.
    pub fn tls_identity(
        &self,
        system: &System,
        pki: &Pki,
        host: &str,
        others: &[ServerName],
    ) -> Result<TlsIdentity, IdentityError> {
        let Some(fault) = self.ordered().find(|fault| fault.at == At::Tls) else {
            return tls_identity_by(system, pki, host, others);
        };
        let names = |host: &str| [&[host.parse().unwrap_or_else(|never| match never {})], others].concat();
        let mut fill = |octets: &mut [u8]| system.fill_random(octets);
        let now = system.now();
        let oid = pki.get(Role::DpAuth)?.certificate().oid();
        let oid = oid.map_err(|error| rsp_server::SignerError::Certificate(Role::DpAuth, error))?.clone();
        let credential = match fault.row.kind {
            Kind::Expired => pki.issue_tls(&names(host), &oid, now.saturating_sub(LONG_AGO), &mut fill),
            Kind::NotYetValid => pki.issue_tls(&names(host), &oid, now + DAY, &mut fill),
            Kind::WrongOid => pki.issue_tls(&names(host), &Oid::from(OTHER_OID), now, &mut fill),
            Kind::WrongCi => other_ci(now, &mut fill)?.issue_tls(&names(host), &oid, now, &mut fill),
            Kind::WrongName => pki.issue_tls(&[ServerName::Dns(OTHER_HOST.to_owned())], &oid, now, &mut fill),
            _ => return tls_identity_by(system, pki, host, others),
        }?;
        Ok(rsp_server::tls_identity(&credential).map_err(|_| PkiError::MissingKey(Role::DpTls))?)
    }
}

/// A certificate for the same key that an eUICC, or an LPA, must not accept.
fn wrong_certificate(pki: &Pki, role: Role, kind: Kind, system: &System) -> Result<Credential, PkiError> {
    let key = pki.key(role)?;
    let mut fill = |octets: &mut [u8]| system.fill_random(octets);
    let now = system.now();
    let own = pki.get(role)?.certificate().oid().cloned();
    let own = own.unwrap_or_else(|_| Oid::from(OTHER_OID));
    match kind {
        Kind::Expired => pki.certify_server(role, &own, now.saturating_sub(LONG_AGO), key, &mut fill),
        Kind::NotYetValid => pki.certify_server(role, &own, now + DAY, key, &mut fill),
        Kind::WrongOid => pki.certify_server(role, &Oid::from(OTHER_OID), now, key, &mut fill),
        Kind::WrongCi => other_ci(now, &mut fill)?.certify_server(role, &own, now, key, &mut fill),
        _ => {
            let other = if role == Role::DpAuth { Role::DpPb } else { Role::DpAuth };
            pki.certify_server(other, &own, now, key, &mut fill)
        }
    }
}

/// A CI that nobody trusts.
fn other_ci(now: u64, fill_random: &mut impl FnMut(&mut [u8])) -> Result<Pki, PkiError> {
    Pki::mint(&Parameters::new(now, Eid::from_octets([0x89; 16])), fill_random)
}
