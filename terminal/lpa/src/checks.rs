//! What the LPA checks of servers for the eUICC, which has no clock, and for the person, who does not wait for ever.

use std::time::{Duration, Instant};

use rsp::certificate::{Certificate, Role};

use crate::error::{LpaError, TimeLimit};
use crate::server::Es9Client;

/// Longest time a download may take, unless told otherwise. What a person takes to answer is not counted.
pub const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);
/// Longest time to report: what a download has to, or all notifications that are processed together, unless told otherwise.
/// What is not delivered by then stays on the eUICC.
pub const REPORT_LIMIT: Duration = Duration::from_mins(1);
/// How long, when the time is over, the server is told so.
const FAREWELL: Duration = Duration::from_secs(10);

/// By what servers are judged, and how long that may take.
#[derive(Debug, Clone)]
pub struct Checks {
    /// What time it is, in seconds since 1970; `None` does not look whether certificates are valid.
    pub now: Option<u64>,
    /// CI certificates that are known, for the end of each chain. One that is missing here is for the eUICC to judge alone.
    pub cis: Vec<Certificate>,
    /// Longest time for a procedure as a whole.
    pub limit: Duration,
    /// Longest time to report its outcome.
    pub report_limit: Duration,
}

impl Checks {
    /// At this time, in seconds since 1970.
    pub const fn at(now: u64) -> Self {
        Self { now: Some(now), cis: Vec::new(), limit: DOWNLOAD_LIMIT, report_limit: REPORT_LIMIT }
    }

    /// With these CI certificates (DER); what is none is left out.
    #[must_use]
    pub fn knowing<'a>(self, cis: impl IntoIterator<Item = &'a Vec<u8>>) -> Self {
        Self { cis: cis.into_iter().filter_map(|der| Certificate::parse(der).ok()).collect(), ..self }
    }

    /// A server certificate and the CI that issued it are valid now.
    pub(crate) fn verify_validity(&self, certificate: &Certificate) -> Result<(), LpaError> {
        let Some(now) = self.now else { return Ok(()) };
        let of = match certificate.role() {
            Some(Role::DpPb) => "the server's certificate for binding profiles (CERT.DPpb)",
            Some(Role::DsAuth) => "the server's certificate (CERT.DSauth)",
            _ => "the server's certificate (CERT.DPauth)",
        };
        certificate.verify_time(now).map_err(|cause| LpaError::Validity { of, cause })?;
        let issuer = certificate.authority_key_identifier().ok();
        // A CI may have been certified anew under its key: one valid certificate of it is enough.
        let cis = self.cis.iter().filter(|ci| ci.subject_key_identifier().ok() == issuer && issuer.is_some());
        let mut outcome = Ok(());
        for ci in cis {
            match ci.verify_time(now) {
                Ok(()) => return Ok(()),
                Err(cause) => {
                    let of = "the certificate of the server's CI (CERT.CI)";
                    outcome = Err(LpaError::Validity { of, cause });
                }
            }
        }
        outcome
    }
}

/// What a server's certificate is for, by its policies: one role of those `wanted`, of version 2 or of the tree of version 3.
pub(crate) fn server_role(certificate: &Certificate, wanted: &[Role]) -> Option<Role> {
    /// Arcs behind 2.23.146.1.2.1 in the tree of version 3. SGP.22 version 3 Annex K
    const OF_VERSION_3: [(&[u8], Role); 5] = [
        (&[0, 0, 1, 0], Role::DpTls),
        (&[0, 0, 1, 1], Role::DpAuth),
        (&[0, 0, 1, 2], Role::DpPb),
        (&[0, 0, 2, 0], Role::DsTls),
        (&[0, 0, 2, 1], Role::DsAuth),
    ];
    /// Contents octets of 2.23.146.1.2.1.
    const ARC: [u8; 6] = [0x67, 0x81, 0x12, 0x01, 0x02, 0x01];
    let of_version_3 = || {
        let role = |policy: &rsp::Oid| {
            let arcs = policy.octets().strip_prefix(&ARC)?;
            OF_VERSION_3.iter().find(|(known, _)| *known == arcs).map(|(_, role)| *role)
        };
        certificate.policies().iter().filter_map(role).find(|role| wanted.contains(role))
    };
    certificate.role().filter(|role| wanted.contains(role)).or_else(of_version_3)
}

/// The role of a TLS server: [`Role::DpTls`] or [`Role::DsTls`].
pub(crate) fn tls_role(certificate: &Certificate) -> Option<Role> {
    server_role(certificate, &[Role::DpTls, Role::DsTls])
}

/// What a server signs with is made for that: [`Role::DpAuth`], [`Role::DsAuth`] or [`Role::DpPb`]. An eUICC cannot tell
/// whether an SM-DP+ or an SM-DS was asked; the LPA can. SGP.22 section 4.5.2.1
pub(crate) fn verify_signer(certificate: &Certificate, expected: Role) -> Result<(), LpaError> {
    if server_role(certificate, &[expected]).is_some() {
        return Ok(());
    }
    let found = certificate.role().or_else(|| server_role(certificate, &Role::ALL));
    Err(LpaError::SignerRole { expected, found })
}

/// The server at the other end of TLS is the one that signs, and of the kind that is asked. One that is no server of
/// SGP.22 by its TLS certificate was admitted as it is; in version 3 the two have OIDs of their own.
pub(crate) fn verify_tls(server: &dyn Es9Client, signs_with: &Certificate, kind: Role) -> Result<(), LpaError> {
    let Some(Ok(tls)) = server.certificate().map(Certificate::parse) else { return Ok(()) };
    let Some(found) = tls_role(&tls) else { return Ok(()) };
    let expected = if kind == Role::DsAuth { Role::DsTls } else { Role::DpTls };
    if found != expected {
        return Err(LpaError::TlsRole { expected, found });
    }
    let is_of_version_2 = tls.role() == Some(found);
    if is_of_version_2 && tls.oid() != signs_with.oid() {
        let dotted = |certificate: &Certificate| {
            certificate.oid().ok().and_then(rsp::Oid::dotted).unwrap_or_else(|| "none".into())
        };
        return Err(LpaError::TlsOid { tls: dotted(&tls), answered: dotted(signs_with) });
    }
    Ok(())
}

/// When a procedure has to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    limit: Duration,
    /// How much of that this is for one.
    share: Duration,
}

impl Deadline {
    /// From now on. One too far away to be counted is none.
    pub(crate) fn start(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), limit, share: limit }
    }

    /// Tells the server how long it has.
    pub(crate) fn tell(self, server: &mut dyn Es9Client) {
        server.until(self.at);
    }

    /// Not over yet.
    pub(crate) fn verify(self) -> Result<(), LpaError> {
        match self.at {
            Some(at) if Instant::now() >= at => Err(LpaError::TooLong(self.limit.as_secs())),
            _ => Ok(()),
        }
    }

    /// What is left of it; `None` where it has no end.
    pub(crate) fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// The share of one in so many of what is left: an even one, but enough for a handshake as long as there is any.
    pub(crate) fn share(self, of: usize) -> Self {
        const LEAST: Duration = Duration::from_secs(10);
        let of = u32::try_from(of).unwrap_or(u32::MAX).max(1);
        let Some(left) = self.left() else { return self };
        let share = (left / of).max(LEAST).min(left);
        Self { at: Instant::now().checked_add(share), share, ..self }
    }

    /// As the limit of a report that it ends.
    pub(crate) fn of_report(self) -> TimeLimit {
        let seconds = |time: Duration| time.saturating_add(Duration::from_millis(500)).as_secs();
        TimeLimit::Report { share: seconds(self.share), whole: seconds(self.limit) }
    }

    /// What a person takes to answer is not counted.
    pub(crate) fn pausing<T>(&mut self, ask: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let answer = ask();
        self.at = self.at.and_then(|at| at.checked_add(begun.elapsed()));
        answer
    }

    /// Time for the last word, however late it is.
    pub(crate) fn farewell(self, server: &mut dyn Es9Client) {
        let least = Instant::now() + FAREWELL;
        server.until(self.at.map(|at| at.max(least)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each certificate of a server is taken for what it is and for nothing else, and the refusal names both.
    #[test]
    fn a_server_signs_with_what_was_issued_for_that() {
        let parameters = rsp::pki::Parameters::new(1_750_000_000, "89049032123451234512345678901235".parse().unwrap());
        let mut count = 0_u64;
        let mut fill = |octets: &mut [u8]| {
            octets.fill_with(|| {
                count += 1;
                count.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]
            });
        };
        let mut pki = rsp::pki::Pki::mint(&parameters, &mut fill).unwrap();
        for role in [Role::DsAuth, Role::DsTls] {
            pki.insert(role, pki.issue_server(role, &"2.999.15".parse().unwrap(), 1_750_000_000, &mut fill).unwrap());
        }
        for expected in [Role::DpAuth, Role::DpPb, Role::DsAuth] {
            for found in Role::ALL {
                let credential = pki.get(found).unwrap();
                let verified = verify_signer(&Certificate::parse(credential.der()).unwrap(), expected);
                if expected == found {
                    assert_eq!(verified, Ok(()));
                } else {
                    let refused = verified.unwrap_err();
                    assert_eq!(refused, LpaError::SignerRole { expected, found: Some(found) });
                    let text = refused.to_string();
                    assert!(text.contains(&format!("a {found} where a {expected} belongs")), "{text}");
                }
            }
        }
    }

    #[test]
    fn time_runs_but_for_the_person() {
        let mut deadline = Deadline::start(Duration::ZERO);
        assert_eq!(deadline.verify(), Err(LpaError::TooLong(0)));
        deadline.at = Some(Instant::now());
        let before = deadline.at;
        deadline.pausing(|| std::thread::sleep(Duration::from_millis(1)));
        assert!(deadline.at > before);
        assert_eq!(Deadline::start(Duration::MAX).verify(), Ok(()));
    }
}
