//! Mutual authentication with nothing around it: a server that knows no profiles, and the eUICC of a test PKI.
//! SGP.22 §3.1.2, §5.6.1 and §5.6.3

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "some of it is for an SM-DP+")]
#[path = "../../smdp/tests/smdp/euicc.rs"]
mod euicc;

use std::sync::Arc;

use crypto::provider::Deterministic;
use euicc::Euicc;
use identities::Eid;
use rsp::certificate::Role;
use rsp::es9::{AuthenticateClientRequest, status};
use rsp::es10b::EuiccSigned1;
use rsp::{Oid, TransactionId, VersionType};
use rsp_server::refusal::MALFORMED_REQUEST;
use rsp_server::{Authentication, Refusal, ServerIdentity, Session};
use test_pki::{Parameters, Pki};

const ADDRESS: &str = "server.example";
const NOW: u64 = 1_790_000_000;

/// A state of sessions that only this server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Begun,
}

/// Octets that differ from draw to draw.
fn random(seed: u8) -> impl FnMut(&mut [u8]) {
    let mut count = 0_u64;
    move |octets: &mut [u8]| {
        for octet in octets {
            count += 1;
            *octet = count.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0] ^ seed;
        }
    }
}

fn mint(seed: u8) -> Pki {
    let eid: Eid = "89049032123451234512345678901235".parse().unwrap();
    Pki::mint(&Parameters::new(NOW - 60, eid), &mut random(seed)).unwrap()
}

fn euicc_of(pki: &Pki) -> Euicc {
    euicc_with(pki, 9)
}

/// One whose key is another for each seed.
fn euicc_with(pki: &Pki, seed: u8) -> Euicc {
    let eid = "89049032123451234512345678901235".parse().unwrap();
    Euicc::new(pki, &pki.issue_euicc(eid, NOW - 60, &mut random(seed)).unwrap())
}

fn server_of(pki: &Pki) -> Authentication {
    let ci = pki.trust_anchor().unwrap();
    let (certificate, key) = (pki.get(Role::DpAuth).unwrap().der(), pki.key(Role::DpAuth).unwrap().clone());
    let identity = ServerIdentity::new(&ci, Role::DpAuth, certificate, key).unwrap();
    Authentication::new([&ADDRESS.to_owned()], vec![identity], vec![ci], Arc::new(Deterministic))
}

/// InitiateAuthentication, and what the eUICC answers; `bend` may spoil it before it is signed.
fn begun(
    server: &Authentication,
    euicc: &Euicc,
    bend: impl FnOnce(&mut EuiccSigned1),
) -> (Session<State>, AuthenticateClientRequest) {
    let initiation = server.initiation(&euicc.initiate(ADDRESS)).unwrap();
    let session = initiation.open("192.0.2.1", NOW + 60, &mut random(1));
    let answer = initiation.answer(&session).unwrap();
    (session, euicc.authenticate(&answer, Some("EVENT-1"), bend).1)
}

fn refused(server: &Authentication, session: &Session<State>, request: &AuthenticateClientRequest) -> Refusal {
    let response = request.authenticate_server_response.decode().unwrap();
    server.authenticate(session, &response, NOW).unwrap_err()
}

#[test]
fn each_side_knows_the_other() {
    let pki = mint(1);
    let (server, euicc) = (server_of(&pki), euicc_of(&pki));
    // The eUICC verifies serverSignature1 there.
    let (session, request) = begun(&server, &euicc, |_| ());
    assert_eq!((session.state, session.expires_at, session.revision), (State::Begun, NOW + 60, 0));
    assert_eq!((session.server_address.as_str(), session.source.as_str()), (ADDRESS, "192.0.2.1"));
    assert_eq!(session.ci, pki.trust_anchor().unwrap().subject_key_identifier);
    let response = request.authenticate_server_response.decode().unwrap();
    let proved = server.authenticate(&session, &response, NOW).unwrap();
    assert_eq!((proved.eid, proved.euicc_info), (euicc.eid, euicc.info.clone()));
    assert_eq!(proved.context.matching_id.as_deref(), Some("EVENT-1"));
    assert_eq!(proved.euicc_certificate, &euicc.certificate);
}

#[test]
fn what_the_euicc_signs_is_of_this_session() {
    let pki = mint(1);
    let (server, euicc) = (server_of(&pki), euicc_of(&pki));
    let refused = |bend: fn(&mut EuiccSigned1)| {
        let (session, request) = begun(&server, &euicc, bend);
        refused(&server, &session, &request).status
    };
    let challenge = refused(|signed| signed.server_challenge = [0; 16].into());
    let address = refused(|signed| signed.server_address = "other.example".into());
    let transaction = refused(|signed| signed.transaction_id = TransactionId::from([7; 16]));
    assert_eq!((challenge, address), (status::EUICC_SIGNATURE_INVALID, status::EUICC_SIGNATURE_INVALID));
    assert_eq!(transaction, status::TRANSACTION_UNKNOWN);
}

#[test]
fn an_euicc_of_another_ci_is_a_stranger() {
    let (pki, other) = (mint(1), mint(2));
    let (server, euicc, stranger) = (server_of(&pki), euicc_of(&pki), euicc_with(&other, 10));
    let none_in_common = server.initiation(&stranger.initiate(ADDRESS)).unwrap_err();
    assert_eq!(none_in_common.status, status::CI_NOT_SUPPORTED);
    // One that claims a CI in common, and shows certificates of its own.
    let impostor = Euicc { info: euicc.info.clone(), ..stranger.clone() };
    let (session, request) = begun(&server, &impostor, |_| ());
    assert_eq!(refused(&server, &session, &request).status, status::CI_UNKNOWN);
    // One with another's certificates, without their key.
    let thief = Euicc { key: stranger.key, ..euicc };
    let (session, request) = begun(&server, &thief, |_| ());
    assert_eq!(refused(&server, &session, &request).status, status::EUICC_SIGNATURE_INVALID);
}

#[test]
fn what_cannot_be_answered_is_refused_before_anything_is_signed() {
    let pki = mint(1);
    let (server, euicc) = (server_of(&pki), euicc_of(&pki));
    // Host names ignore case, and the port of HTTPS may be left out.
    for address in [ADDRESS, "Server.Example:443", " server.example "] {
        assert!(server.initiation(&euicc.initiate(address)).is_ok(), "{address}");
    }
    for address in ["", "other.example", "server.example:8443"] {
        assert_eq!(server.initiation(&euicc.initiate(address)).unwrap_err().status, status::SMDP_ADDRESS_REFUSED);
    }
    let mut short = euicc.initiate(ADDRESS);
    short.euicc_challenge.0.pop();
    assert_eq!(server.initiation(&short).unwrap_err().status, MALFORMED_REQUEST);
    let mut later = euicc.clone();
    later.info.svn = VersionType::new(3, 0, 0);
    assert_eq!(server.initiation(&later.initiate(ADDRESS)).unwrap_err().status, status::SVN_NOT_SUPPORTED);
    let nobody = Authentication::new(
        [&ADDRESS.to_owned()],
        Vec::new(),
        vec![pki.trust_anchor().unwrap()],
        Arc::new(Deterministic),
    );
    assert_eq!(nobody.initiation(&euicc.initiate(ADDRESS)).unwrap_err().status, status::NO_SERVER_CERTIFICATE);
}

#[test]
fn a_session_ends_and_belongs_to_one_server() {
    let pki = mint(1);
    let (session, _) = begun(&server_of(&pki), &euicc_of(&pki), |_| ());
    assert!(session.check_expiry(NOW + 59).is_ok());
    assert_eq!(session.check_expiry(NOW + 60).unwrap_err().status, status::TRANSACTION_UNKNOWN);
    let ours = pki.get(Role::DpAuth).unwrap().certificate().oid().unwrap().clone();
    let other: Oid = "2.999.77".parse().unwrap();
    assert!(session.check_server(&ours).is_ok());
    assert_eq!(session.check_server(&other).unwrap_err().status, status::SMDP_OID_INVALID);
    // One of an older server, which did not note it.
    let older = Session { server_oid: None, ..session };
    assert!(older.check_server(&other).is_ok());
}

#[test]
fn a_certificate_without_its_key_is_no_identity() {
    let (pki, other) = (mint(1), mint(2));
    let (ci, certificate) = (pki.trust_anchor().unwrap(), pki.get(Role::DpAuth).unwrap().der());
    let of = |role, key: &Pki| ServerIdentity::new(&ci, role, certificate, key.key(Role::DpAuth).unwrap().clone());
    assert!(of(Role::DpAuth, &pki).is_ok());
    let stolen = of(Role::DpAuth, &other).unwrap_err().to_string();
    assert!(stolen.contains("does not belong to"), "{stolen}");
    let of_another_role = of(Role::DpPb, &pki).unwrap_err().to_string();
    assert!(of_another_role.contains("cannot be used"), "{of_another_role}");
}
