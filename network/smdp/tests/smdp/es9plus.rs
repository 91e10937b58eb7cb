//! Every function of ES9+ over HTTP, driven by a software eUICC: what has to work, and what has to be refused.

use crate::bench::{Bench, OPERATOR, fill_random, iccid, metadata, mint, now, package, refused};
use crate::client::{call, post, post_over};
use crate::euicc::{Euicc, Session};
use crate::log;
use crypto::ec::{Curve, PrivateKey};
use database::place::{Place, on_each_database};
use identities::Iccid;
use rsp::certificate::Role;
use rsp::es2plus::NotificationPointId;
use rsp::es9::{
    AuthenticateClientRequest, Base64, CancelSessionRequest, Function, GetBoundProfilePackageRequest,
    HandleNotificationRequest, InitiateAuthenticationRequest, Status, status,
};
use rsp::es10b::{
    AuthenticateErrorCode, AuthenticateResponseError, AuthenticateServerResponse, CancelSessionReason,
    DownloadErrorCode, EuiccSigned1, EuiccSigned2, PrepareDownloadResponse, PrepareDownloadResponseError,
};
use rsp::euicc_info::{ExtCardResource, RspCapability, UiccCapability};
use rsp::metadata::{NotificationEvent, PprIds, ProfileClass};
use rsp::notification::ErrorReason;
use rsp::{CertificateDer, OneTimePublicKey, Raw, TransactionId, VersionType};
use smdp::bind::ProfileProtection;
use smdp::order::{self, MatchingId, OrderRequest, ProfileSelector};
use smdp::profile::ProfileState;
use smdp::status::{EUICC_ERROR, MALFORMED_REQUEST};
use smdp::store::Notification;
use smdp::{Config, MasterKey, serve};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use test_pki::Pki;

on_each_database!(a_download_alternates_between_two_servers, a_package_asked_for_at_once, guesses_at_once_all_count);

#[tokio::test]
async fn a_profile_is_downloaded_and_installed() {
    for protection in [ProfileProtection::RandomKeys, ProfileProtection::SessionKeys] {
        let bench = Bench::start_with(|config| config.settings.protection = protection).await;
        let (iccid, matching_id) = bench.order(1, |_| {}).await;
        let mut euicc = bench.euicc();
        assert_eq!(bench.state(&iccid).await, ProfileState::Released);

        let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
        assert_eq!(answer.profile_metadata.decode().unwrap(), metadata(1));
        assert!(!answer.smdp_signed2.decode().unwrap().cc_required_flag);
        let prepared = euicc.prepare(&session, &answer, None, None);
        let answer = call(bench.at(), &prepared.request).await.unwrap();
        let installed = euicc.load(&session, &prepared, &answer.bound_profile_package.0);
        assert_eq!(installed.metadata, metadata(1));
        assert_eq!(installed.package, package(1));
        assert_eq!(installed.replaced_keys, protection == ProfileProtection::RandomKeys);
        assert!(installed.segments >= 8, "{}", installed.segments);
        assert_eq!(bench.state(&iccid).await, ProfileState::Downloaded);

        let result = euicc.installation_result(&session, &iccid, None);
        call(bench.at(), &result).await.unwrap();
        assert_eq!(bench.state(&iccid).await, ProfileState::Installed);
        call(bench.at(), &result).await.unwrap();
        for event in [NotificationEvent::INSTALL, NotificationEvent::ENABLE, NotificationEvent::DELETE] {
            call(bench.at(), &euicc.notification(event, &iccid)).await.unwrap();
        }
        let notifications = bench.server.store().notifications().await.unwrap();
        assert_eq!(notifications.len(), 4, "the second copy of the result is not kept");
        assert!(notifications.iter().all(|notification| {
            notification.distrusted.is_none()
                && notification.eid == Some(euicc.eid)
                && notification.iccid.as_ref() == Some(&iccid)
        }));
        assert_eq!(notifications[0].result.as_deref(), Some("success"));
        assert_eq!(notifications[3].event, NotificationEvent::DELETE);

        refused(bench.authenticate(&euicc, &matching_id).await, status::MATCHING_ID_REFUSED);
        refused(call(bench.at(), &prepared.request).await, status::TRANSACTION_UNKNOWN);
        bench.server.shutdown().await;
    }
}

#[tokio::test]
async fn keys_differ_from_download_to_download() {
    let bench = Bench::start().await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let mut euicc = bench.euicc();
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let prepared = euicc.prepare(&session, &answer, None, None);
    let first = call(bench.at(), &prepared.request).await.unwrap();
    let second = call(bench.at(), &prepared.request).await.unwrap();
    let tail = |package: &[u8]| package[package.len() - 500..].to_vec();
    assert_ne!(tail(&first.bound_profile_package.0), tail(&second.bound_profile_package.0));
    for package in [first, second] {
        assert_eq!(euicc.load(&session, &prepared, &package.bound_profile_package.0).package, self::package(1));
    }
}

#[tokio::test]
async fn the_server_answers_to_its_addresses() {
    let bench = Bench::start_with(|config| {
        config.settings.address = "smdp.example.com".into();
        config.settings.aliases.push("rsp.example.net:8443".into());
    })
    .await;
    let euicc = bench.euicc();
    let port = bench.at().port();
    for address in [
        "smdp.example.com".to_owned(),
        "SMDP.Example.COM".to_owned(),
        "smdp.example.com:443".to_owned(),
        "rsp.example.net:8443".to_owned(),
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
    ] {
        let answer = call(bench.at(), &euicc.initiate(&address)).await.unwrap();
        assert_eq!(answer.server_signed1.decode().unwrap().server_address, address);
    }
    for address in ["example.com", "smdp.example.com:8443", "rsp.example.net", "localhost", ""] {
        refused(call(bench.at(), &euicc.initiate(address)).await, status::SMDP_ADDRESS_REFUSED);
    }
}

#[tokio::test]
async fn the_ci_and_the_release_have_to_suit_both() {
    let bench = Bench::start().await;
    let foreign = vec![[9; 20].into()];
    // Too low and too high are one: SGP.23 case 5 of InitiateAuthentication has 8.8.3/3.1 for both, and a card of
    // version 3 that can talk to a server of version 2 says so in the svn it gives here.
    for (svn, is_spoken) in [
        (VersionType::new(1, 1, 0), false),
        (VersionType::new(2, 0, 0), true),
        (VersionType::new(2, 255, 255), true),
        (VersionType::new(3, 0, 0), false),
        (VersionType::new(255, 0, 0), false),
    ] {
        let mut euicc = bench.euicc();
        euicc.info.svn = svn;
        let answer = call(bench.at(), &euicc.initiate(bench.server.address())).await;
        if is_spoken { drop(answer.unwrap()) } else { refused(answer, status::SVN_NOT_SUPPORTED) }
    }
    // Case 6, 8.8.4/3.7, is about a certificate that the server lacks for an eUICC it could otherwise serve; where no CI
    // is common at all it is case 4, 8.8.2/3.1.
    let mut euicc = bench.euicc();
    euicc.info.euicc_ci_pk_id_list_for_verification = foreign.clone();
    refused(call(bench.at(), &euicc.initiate(bench.server.address())).await, status::NO_SERVER_CERTIFICATE);
    euicc.info.euicc_ci_pk_id_list_for_signing = foreign.clone();
    refused(call(bench.at(), &euicc.initiate(bench.server.address())).await, status::CI_NOT_SUPPORTED);
    let mut euicc = bench.euicc();
    euicc.info.euicc_ci_pk_id_list_for_signing = foreign;
    refused(call(bench.at(), &euicc.initiate(bench.server.address())).await, status::CI_NOT_SUPPORTED);
    euicc.info.euicc_ci_pk_id_list_for_signing = Vec::new();
    euicc.info.euicc_ci_pk_id_list_for_verification = Vec::new();
    refused(call(bench.at(), &euicc.initiate(bench.server.address())).await, status::CI_NOT_SUPPORTED);
    let mut request = bench.euicc().initiate(bench.server.address());
    request.euicc_challenge = Base64(vec![1; 15]);
    refused(call(bench.at(), &request).await, MALFORMED_REQUEST);
}

/// How a test spoils what the eUICC signs.
type Bend = fn(&mut EuiccSigned1);

#[tokio::test]
async fn what_the_euicc_signs_has_to_be_right() {
    let bench = Bench::start().await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let euicc = bench.euicc();
    // A foreign transactionId is one in the signed object too: SGP.23 case 10 of AuthenticateClient.
    let bends: [(Bend, Status); 3] = [
        (|signed| signed.server_challenge = [0; 16].into(), status::EUICC_SIGNATURE_INVALID),
        (|signed| signed.transaction_id = TransactionId::from([0; 16]), status::TRANSACTION_UNKNOWN),
        (|signed| signed.server_address = "other.example.com".into(), status::EUICC_SIGNATURE_INVALID),
    ];
    for (bend, status) in bends {
        let answer = call(bench.at(), &euicc.initiate(bench.server.address())).await.unwrap();
        let (_, request) = euicc.authenticate(&answer, Some(&matching_id), bend);
        refused(call(bench.at(), &request).await, status);
        refused(call(bench.at(), &request).await, status::TRANSACTION_UNKNOWN);
    }
    // Signed by another key than the certificate's.
    let mut forger = bench.euicc();
    forger.key = PrivateKey::from_bytes(Curve::P256, &[0x55; 32]).unwrap();
    refused(bench.authenticate(&forger, &matching_id).await, status::EUICC_SIGNATURE_INVALID);

    // The second signature, and what it covers.
    let mut euicc = bench.euicc();
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let prepared = euicc.prepare(&session, &answer, None, None);
    let signature2 = answer.smdp_signature2.decode().unwrap();
    let signed = |transaction_id: TransactionId, otpk: OneTimePublicKey| EuiccSigned2 {
        transaction_id,
        euicc_otpk: otpk,
        hash_cc: None,
    };
    let other = TransactionId::from([0; 16]);
    let right = signed(session.transaction_id.clone(), prepared.otpk.clone());
    refused(call(bench.at(), &forger.sign2(&right, &signature2)).await, status::EUICC_SIGNATURE_INVALID);
    refused(call(bench.at(), &euicc.sign2(&right, &[1; 64].into())).await, status::EUICC_SIGNATURE_INVALID);
    let mut request = euicc.sign2(&signed(other, prepared.otpk.clone()), &signature2);
    request.transaction_id = session.transaction_id.clone();
    refused(call(bench.at(), &request).await, status::TRANSACTION_UNKNOWN);
    let mut beside = prepared.otpk.octets().to_vec();
    beside[64] ^= 1;
    let request = euicc.sign2(&signed(session.transaction_id.clone(), beside.into()), &signature2);
    refused(call(bench.at(), &request).await, status::EUICC_SIGNATURE_INVALID);
    // After all that the right answer still counts.
    call(bench.at(), &prepared.request).await.unwrap();
}

#[tokio::test]
async fn only_certified_euiccs_are_served() {
    let bench = Bench::start().await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let foreign = mint(now());
    let mut euicc = Euicc::new(&foreign, foreign.get(Role::Euicc).unwrap());
    euicc.info = bench.euicc().info;
    refused(bench.authenticate(&euicc, &matching_id).await, status::CI_UNKNOWN);

    // The certificate of one maker under another one of the same CI, and no certificate at all.
    let mut euicc = bench.euicc();
    euicc.certificate = foreign.get(Role::Euicc).unwrap().certificate().der().clone();
    refused(bench.authenticate(&euicc, &matching_id).await, status::EUICC_CERTIFICATE_INVALID);
    euicc.certificate = CertificateDer::from_octets([0x30, 0]).unwrap();
    refused(bench.authenticate(&euicc, &matching_id).await, status::EUICC_CERTIFICATE_INVALID);
    let mut euicc = bench.euicc();
    euicc.eum_certificate = bench.pki.get(Role::DpAuth).unwrap().certificate().der().clone();
    refused(bench.authenticate(&euicc, &matching_id).await, status::EUM_CERTIFICATE_INVALID);

    // Of long ago: the EUM's certificate has expired.
    let old = Bench::start_in(mint(0), |_| {}).await;
    let (_, matching_id) = old.order(1, |_| {}).await;
    refused(old.authenticate(&old.euicc(), &matching_id).await, status::EUM_CERTIFICATE_EXPIRED);
    // Of the future: not valid yet.
    let new = Bench::start_in(mint(now() + 1_000_000), |_| {}).await;
    let (_, matching_id) = new.order(1, |_| {}).await;
    refused(new.authenticate(&new.euicc(), &matching_id).await, status::EUM_CERTIFICATE_INVALID);
}

/// The certificates of SGP.26, and those made to be refused.
#[tokio::test]
async fn the_certificates_of_sgp26() {
    let shelf = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sgp26");
    let file = |name: &str| std::fs::read(format!("{shelf}/{name}")).ok();
    let pki = Pki::load(file).unwrap();
    if pki.get(Role::Euicc).is_err() {
        println!("skipped: no {shelf}");
        return;
    }
    let bench = Bench::start_in(pki, |_| {}).await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    bench.authenticate(&bench.euicc(), &matching_id).await.unwrap();
    let invalid =
        |name: &str| CertificateDer::from_octets(file(&format!("InvalidTestCases/CERT_{name}.der")).unwrap()).unwrap();
    for (certificate, expected) in [
        ("EUICC_ECDSA_NIST_EXPIRED", status::EUICC_CERTIFICATE_EXPIRED),
        ("EUICC_ECDSA_NIST_INVALID", status::EUICC_CERTIFICATE_INVALID),
        ("EUICC_ECDSA_NIST_INVALID_EID", status::EUICC_CERTIFICATE_INVALID),
    ] {
        let mut euicc = bench.euicc();
        euicc.certificate = invalid(certificate);
        refused(bench.authenticate(&euicc, &matching_id).await, expected);
    }
    for (certificate, expected) in [
        ("EUM_ECDSA_NIST_EXPIRED", status::EUM_CERTIFICATE_EXPIRED),
        ("EUM_ECDSA_NIST_INVALID", status::EUM_CERTIFICATE_INVALID),
        ("EUM_ECDSA_NIST_UNKNOWN_CI", status::CI_UNKNOWN),
    ] {
        let mut euicc = bench.euicc();
        euicc.eum_certificate = invalid(certificate);
        refused(bench.authenticate(&euicc, &matching_id).await, expected);
    }
    // Permitted by its maker, but not the one ordered for.
    let euicc = bench.euicc();
    let (_, reserved) = bench.order(2, |request| request.eid = Some(euicc.eid)).await;
    let mut unmatched = euicc.clone();
    unmatched.certificate = invalid("EUICC_ECDSA_NIST_UNMATCHED_EID");
    refused(bench.authenticate(&unmatched, &reserved).await, status::EID_REFUSED);
    bench.authenticate(&euicc, &reserved).await.unwrap();
}

#[tokio::test]
async fn identities_are_shortened_in_the_log() {
    let _ = crate::log::text();
    let bench = Bench::start().await;
    let (mut euicc, other) = (bench.euicc(), bench.other_euicc());
    let (iccid, reserved) = bench.order(1, |request| request.eid = Some(euicc.eid)).await;
    refused(bench.authenticate(&other, &reserved).await, status::EID_REFUSED);
    let (session, ..) = bench.download(&mut euicc, &reserved, None).await.unwrap();
    call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    call(bench.at(), &euicc.notification(NotificationEvent::ENABLE, &iccid)).await.unwrap();
    let log = crate::log::text();
    for said in ["8.1.1/3.8 the profile is reserved for another eUICC: 89049…", "Eid(89049…)", "Iccid(89440…)"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    for identity in [euicc.eid.to_string(), other.eid.to_string(), iccid.to_string()] {
        let line = log.lines().find(|line| line.contains(&identity));
        assert_eq!(line, None, "{identity}");
    }
}

#[tokio::test]
async fn activation_codes_match_only_their_orders() {
    let bench = Bench::start().await;
    let mut euicc = bench.euicc();
    for unknown in ["NO-SUCH-ORDER", "", "../../etc/passwd", "' OR 1=1 --"] {
        refused(bench.authenticate(&euicc, unknown).await, status::MATCHING_ID_REFUSED);
    }

    // Not released yet.
    let iccid = bench.add(1).await;
    order::download_order(bench.server.store(), ProfileSelector::Type("Test Type".into()), None, 0).await.unwrap();
    let confirmation = order::Confirmation { matching_id: MatchingId::Given("EARLY".into()), ..Default::default() };
    let store = bench.server.store();
    order::confirm_order(store, &iccid, confirmation, &mut fill_random, 0).await.unwrap();
    refused(bench.authenticate(&euicc, "EARLY").await, status::PROFILE_NOT_RELEASED);
    order::release_profile(store, &iccid, 0).await.unwrap();
    bench.authenticate(&euicc, "EARLY").await.unwrap();

    // For another eUICC.
    let other = bench.other_euicc();
    let (_, reserved) = bench.order(2, |request| request.eid = Some(euicc.eid)).await;
    refused(bench.authenticate(&other, &reserved).await, status::EID_REFUSED);
    bench.authenticate(&euicc, &reserved).await.unwrap();

    // First come, first served.
    let (_, first_come) = bench.order(3, |_| {}).await;
    bench.authenticate(&other, &first_come).await.unwrap();
    bench.download(&mut euicc, &first_come, None).await.unwrap();
    refused(bench.authenticate(&other, &first_come).await, status::EID_REFUSED);

    // Default SM-DP+: no matchingId, the EID decides.
    let (by_eid, _) = bench
        .order(4, |request| {
            request.eid = Some(euicc.eid);
            request.matching_id = MatchingId::ByEid;
        })
        .await;
    refused(bench.authenticate(&other, "").await, status::MATCHING_ID_REFUSED);
    let (_, answer) = bench.authenticate(&euicc, "").await.unwrap();
    assert_eq!(answer.profile_metadata.decode().unwrap().iccid, by_eid);
    let answer = call(bench.at(), &euicc.initiate(bench.server.address())).await.unwrap();
    let (_, request) = euicc.authenticate(&answer, None, |_| {});
    call(bench.at(), &request).await.unwrap();

    // Too late.
    let (late, expired) = bench.order(5, |request| request.expires_at = Some(1)).await;
    refused(bench.authenticate(&euicc, &expired).await, status::DOWNLOAD_ORDER_EXPIRED);
    assert_eq!(bench.state(&late).await, ProfileState::Error);
    refused(bench.authenticate(&euicc, &expired).await, status::MATCHING_ID_REFUSED);

    // Cancelled and ordered anew for somebody else between the steps: the session is about the order it began with.
    let (moved, matching_id) = bench.order(7, |_| {}).await;
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    order::cancel_order(bench.server.store(), &moved, order::FinalProfileStatus::Available, 0).await.unwrap();
    order::order(bench.server.store(), OrderRequest::new(ProfileSelector::Iccid(moved.clone())), &mut fill_random, 0)
        .await
        .unwrap();
    let prepared = euicc.prepare(&session, &answer, None, None);
    refused(call(bench.at(), &prepared.request).await, status::PROFILE_NOT_REBINDABLE);
    let cancel = euicc.cancel(&session, &session.server_oid, CancelSessionReason::PPR_NOT_ALLOWED);
    call(bench.at(), &cancel).await.unwrap();
    assert_eq!(bench.state(&moved).await, ProfileState::Released);

    // Cancelled between the steps.
    let (gone, matching_id) = bench.order(6, |_| {}).await;
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    order::cancel_order(bench.server.store(), &gone, order::FinalProfileStatus::Available, 0).await.unwrap();
    let prepared = euicc.prepare(&session, &answer, None, None);
    refused(call(bench.at(), &prepared.request).await, status::PROFILE_NOT_REBINDABLE);
    assert_eq!(bench.state(&gone).await, ProfileState::Available);
}

#[tokio::test]
async fn the_confirmation_code_is_asked_for_and_counted() {
    let bench = Bench::start().await;
    let (iccid, matching_id) = bench.order(1, |request| request.confirmation_code = Some("4711".into())).await;
    let mut euicc = bench.euicc();
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    assert!(answer.smdp_signed2.decode().unwrap().cc_required_flag);
    let missing = euicc.prepare(&session, &answer, None, None).request;
    let wrong = euicc.prepare(&session, &answer, Some("4712"), None).request;
    let right = euicc.prepare(&session, &answer, Some("4711"), None).request;
    refused(call(bench.at(), &missing).await, status::CONFIRMATION_CODE_MISSING);
    refused(call(bench.at(), &wrong).await, status::CONFIRMATION_CODE_REFUSED);
    refused(call(bench.at(), &wrong).await, status::CONFIRMATION_CODE_REFUSED);
    call(bench.at(), &right).await.unwrap();
    // A right one clears the count; then a new session guesses until the order is lost.
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let wrong = euicc.prepare(&session, &answer, Some("0000"), None).request;
    let right = euicc.prepare(&session, &answer, Some("4711"), None).request;
    refused(call(bench.at(), &wrong).await, status::CONFIRMATION_CODE_REFUSED);
    refused(call(bench.at(), &wrong).await, status::CONFIRMATION_CODE_REFUSED);
    refused(call(bench.at(), &wrong).await, status::CONFIRMATION_CODE_RETRIES_EXCEEDED);
    refused(call(bench.at(), &right).await, status::PROFILE_NOT_REBINDABLE);
    assert_eq!(bench.state(&iccid).await, ProfileState::Error);
    refused(bench.authenticate(&euicc, &matching_id).await, status::MATCHING_ID_REFUSED);
}

async fn a_download_alternates_between_two_servers(place: &Place) {
    let bench = Bench::start_twice(place).await;
    let (iccid, matching_id) = bench.order(1, |request| request.confirmation_code = Some("4711".into())).await;
    let mut euicc = bench.euicc();
    // An odd number of calls before each of these, so that every function has met a session begun elsewhere.
    for state in [ProfileState::Downloaded, ProfileState::Installed] {
        let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
        let wrong = euicc.prepare(&session, &answer, Some("4712"), None);
        refused(call(bench.at(), &wrong.request).await, status::CONFIRMATION_CODE_REFUSED);
        let prepared = euicc.prepare(&session, &answer, Some("4711"), None);
        let answer = call(bench.at(), &prepared.request).await.unwrap();
        assert_eq!(euicc.load(&session, &prepared, &answer.bound_profile_package.0).package, package(1));
        if state == ProfileState::Installed {
            call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
        }
        assert_eq!(bench.state(&iccid).await, state);
    }
    for (event, state) in [
        (NotificationEvent::ENABLE, ProfileState::Enabled),
        (NotificationEvent::DISABLE, ProfileState::Disabled),
        (NotificationEvent::DELETE, ProfileState::Deleted),
    ] {
        call(bench.at(), &euicc.notification(event, &iccid)).await.unwrap();
        assert_eq!(bench.state(&iccid).await, state);
    }
    let seen = bench.other.as_ref().unwrap().store();
    let notifications = seen.notifications().await.unwrap();
    assert_eq!(notifications.len(), 4);
    assert!(notifications.iter().all(|notification| notification.distrusted.is_none()));
    assert_eq!(seen.profiles().await.unwrap(), bench.server.store().profiles().await.unwrap());
}

/// An LPA that asks again before it has the answer gets one to each.
async fn a_package_asked_for_at_once(place: &Place) {
    let bench = Bench::start_twice(place).await;
    let (iccid, matching_id) = bench.order(1, |_| {}).await;
    let mut euicc = bench.euicc();
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let prepared = euicc.prepare(&session, &answer, None, None);
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let (at, request) = (bench.at(), prepared.request.clone());
            tokio::spawn(async move { call(at, &request).await.unwrap() })
        })
        .collect();
    for answer in calls {
        let bound = answer.await.unwrap().bound_profile_package.0;
        assert_eq!(euicc.load(&session, &prepared, &bound).package, package(1));
    }
    assert_eq!(bench.state(&iccid).await, ProfileState::Downloaded);
}

/// Guessing a code in many sessions at once, at both servers, gives no more tries than in sequence.
async fn guesses_at_once_all_count(place: &Place) {
    let bench = Bench::start_twice(place).await;
    let (iccid, matching_id) = bench.order(1, |request| request.confirmation_code = Some("4711".into())).await;
    let mut euicc = bench.euicc();
    let mut guesses = Vec::new();
    for _ in 0..8 {
        let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
        guesses.push(euicc.prepare(&session, &answer, Some("0000"), None).request);
    }
    let guesses: Vec<_> = guesses
        .into_iter()
        .map(|guess| {
            let at = bench.at();
            tokio::spawn(async move { call(at, &guess).await.unwrap_err().status() })
        })
        .collect();
    let mut answers = Vec::new();
    for guess in guesses {
        answers.push(guess.await.unwrap());
    }
    let count = |status| answers.iter().filter(|answer| **answer == Some(status)).count();
    assert_eq!(count(status::CONFIRMATION_CODE_REFUSED), 2, "{answers:?}");
    assert_eq!(count(status::CONFIRMATION_CODE_RETRIES_EXCEEDED), 1, "{answers:?}");
    assert_eq!(count(status::PROFILE_NOT_REBINDABLE), 5, "{answers:?}");
    assert_eq!(bench.state(&iccid).await, ProfileState::Error);
}

/// The eUICC will not prepare for a download.
fn download_error(session: &Session) -> GetBoundProfilePackageRequest {
    let error = PrepareDownloadResponse::DownloadResponseError(PrepareDownloadResponseError {
        transaction_id: session.transaction_id.clone(),
        download_error_code: DownloadErrorCode::UNSUPPORTED_CURVE,
    });
    GetBoundProfilePackageRequest {
        transaction_id: session.transaction_id.clone(),
        prepare_download_response: Raw::encode(&error).unwrap(),
    }
}

#[tokio::test]
async fn errors_of_the_euicc_are_passed_on() {
    let bench = Bench::start().await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let euicc = bench.euicc();
    let answer = call(bench.at(), &euicc.initiate(bench.server.address())).await.unwrap();
    let error = AuthenticateServerResponse::AuthenticateResponseError(AuthenticateResponseError {
        transaction_id: answer.transaction_id.clone(),
        authenticate_error_code: AuthenticateErrorCode::INVALID_CERTIFICATE,
    });
    let request = AuthenticateClientRequest {
        transaction_id: answer.transaction_id,
        authenticate_server_response: Raw::encode(&error).unwrap(),
    };
    refused(call(bench.at(), &request).await, EUICC_ERROR);
    refused(call(bench.at(), &request).await, status::TRANSACTION_UNKNOWN);

    let answer = call(bench.at(), &euicc.initiate(bench.server.address())).await.unwrap();
    let of_another = AuthenticateClientRequest { transaction_id: answer.transaction_id, ..request };
    refused(call(bench.at(), &of_another).await, status::TRANSACTION_UNKNOWN);

    let (session, _) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let mut of_another = session.clone();
    of_another.transaction_id = TransactionId::from([0; 16]);
    let of_another =
        GetBoundProfilePackageRequest { transaction_id: session.transaction_id.clone(), ..download_error(&of_another) };
    refused(call(bench.at(), &of_another).await, status::TRANSACTION_UNKNOWN);
    let request = download_error(&session);
    refused(call(bench.at(), &request).await, EUICC_ERROR);
    refused(call(bench.at(), &request).await, status::TRANSACTION_UNKNOWN);
}

/// Each point of a profile's way, passed and missed: what the operator is told, and where the profile is then.
#[tokio::test]
async fn an_operator_is_told_of_each_point() {
    use NotificationPointId as Point;
    use ProfileState as State;

    let bench = Bench::start_with(|config| config.settings.download_tries = 2).await;
    let mut euicc = bench.euicc();
    let told = async |iccid: &Iccid, points: &[(Point, bool)], state: State| {
        let points_sent = bench.server.store().undelivered_progress().await.unwrap();
        let points_sent = points_sent.into_iter().map(|one| one.progress).filter(|one| one.info.iccid == *iccid);
        let points_sent: Vec<_> = points_sent
            .inspect(|one| assert_eq!((one.operator.as_str(), one.info.profile_type.as_str()), (OPERATOR, "Test Type")))
            .map(|one| (one.info.notification_point_id, one.info.notification_point_status.is_success()))
            .collect();
        assert_eq!(points_sent, points);
        assert_eq!(bench.state(iccid).await, state);
    };
    let (fits, package) = ((Point::ELIGIBILITY_AND_RETRY_LIMIT_CHECK, true), (Point::BPP_DOWNLOAD, true));

    let (iccid, code) = bench.order_for_operator(1, |_| {}).await;
    let (session, ..) = bench.download(&mut euicc, &code, None).await.unwrap();
    told(&iccid, &[fits, package], State::Downloaded).await;
    call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    let mut points = vec![fits, package, (Point::BPP_INSTALLATION, true)];
    told(&iccid, &points, State::Installed).await;
    for (event, point, state) in [
        (NotificationEvent::ENABLE, Point::ENABLE, State::Enabled),
        (NotificationEvent::DISABLE, Point::DISABLE, State::Disabled),
        (NotificationEvent::DELETE, Point::DELETE, State::Deleted),
    ] {
        call(bench.at(), &euicc.notification(event, &iccid)).await.unwrap();
        points.push((point, true));
        told(&iccid, &points, state).await;
    }

    // The eUICC is not fit for it; the order has expired; it was tried too often.
    let unfit = (Point::ELIGIBILITY_AND_RETRY_LIMIT_CHECK, false);
    let (iccid, code) = bench.order_for_operator(2, |_| {}).await;
    let mut poor = bench.euicc();
    poor.info.uicc_capability = UiccCapability::EMPTY;
    refused(bench.authenticate(&poor, &code).await, status::NO_ELIGIBLE_PROFILE);
    told(&iccid, &[unfit], State::Released).await;
    let (iccid, code) = bench.order_for_operator(3, |confirmation| confirmation.expires_at = Some(1)).await;
    refused(bench.authenticate(&euicc, &code).await, status::DOWNLOAD_ORDER_EXPIRED);
    told(&iccid, &[unfit], State::Error).await;
    let (iccid, code) = bench.order_for_operator(4, |_| {}).await;
    for _ in 0..2 {
        bench.download(&mut euicc, &code, None).await.unwrap();
    }
    refused(bench.authenticate(&euicc, &code).await, status::DOWNLOAD_RETRIES_EXCEEDED);
    told(&iccid, &[fits, package, fits, package, unfit], State::Error).await;

    // The code is mistyped, which is not reported until it was too often.
    let (iccid, code) =
        bench.order_for_operator(5, |confirmation| confirmation.confirmation_code = Some("4711".into())).await;
    let (session, answer) = bench.authenticate(&euicc, &code).await.unwrap();
    for _ in 0..3 {
        told(&iccid, &[fits], State::Released).await;
        call(bench.at(), &euicc.prepare(&session, &answer, Some("1"), None).request).await.unwrap_err();
    }
    told(&iccid, &[fits, (Point::CONFIRMATION_FAILURE, false)], State::Error).await;

    // The eUICC does not prepare for it; its user's LPA gives it up for good.
    let (iccid, code) = bench.order_for_operator(6, |_| {}).await;
    let (session, _) = bench.authenticate(&euicc, &code).await.unwrap();
    refused(call(bench.at(), &download_error(&session)).await, EUICC_ERROR);
    told(&iccid, &[fits, (Point::BPP_DOWNLOAD, false)], State::Released).await;
    let (iccid, code) = bench.order_for_operator(7, |_| {}).await;
    let (session, _) = bench.authenticate(&euicc, &code).await.unwrap();
    let given_up = euicc.cancel(&session, &session.server_oid, CancelSessionReason::PPR_NOT_ALLOWED);
    call(bench.at(), &given_up).await.unwrap();
    told(&iccid, &[fits, (Point::BPP_DOWNLOAD, false)], State::Error).await;

    // It is not installed, and may be another time or never.
    for (number, reason, state) in [
        (8, ErrorReason::INSUFFICIENT_MEMORY_FOR_PROFILE, State::Released),
        (9, ErrorReason::INCORRECT_INPUT_VALUES, State::Error),
    ] {
        let (iccid, code) = bench.order_for_operator(number, |_| {}).await;
        let (session, ..) = bench.download(&mut euicc, &code, None).await.unwrap();
        call(bench.at(), &euicc.installation_result(&session, &iccid, Some(reason))).await.unwrap();
        told(&iccid, &[fits, package, (Point::BPP_INSTALLATION, false)], state).await;
    }
}

#[tokio::test]
async fn a_profile_has_to_fit_the_euicc() {
    let bench = Bench::start().await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let mut euicc = bench.euicc();
    euicc.info.uicc_capability = UiccCapability::USIM_SUPPORT;
    refused(bench.authenticate(&euicc, &matching_id).await, status::NO_ELIGIBLE_PROFILE);
    let mut euicc = bench.euicc();
    euicc.info.forbidden_profile_policy_rules = Some(PprIds::PPR2);
    refused(bench.authenticate(&euicc, &matching_id).await, status::NO_ELIGIBLE_PROFILE);
    let mut euicc = bench.euicc();
    let full = ExtCardResource { installed_applications: 0, free_non_volatile_memory: 3000, free_volatile_memory: 0 };
    euicc.info.ext_card_resource = full.to_octets().into();
    refused(bench.authenticate(&euicc, &matching_id).await, status::EUICC_INSUFFICIENT_MEMORY);

    let mut test_profile = metadata(2);
    test_profile.profile_class = ProfileClass::TEST;
    let store = bench.server.store();
    order::add_profile(store, test_profile, &package(2), 0).await.unwrap();
    let mut request = OrderRequest::new(ProfileSelector::Iccid(iccid(2)));
    request.matching_id = MatchingId::Given("TEST".into());
    order::order(store, request, &mut fill_random, 0).await.unwrap();
    let mut euicc = bench.euicc();
    euicc.info.rsp_capability = RspCapability::ADDITIONAL_PROFILE;
    refused(bench.authenticate(&euicc, "TEST").await, status::NO_ELIGIBLE_PROFILE);
    bench.authenticate(&bench.euicc(), "TEST").await.unwrap();

    // The card's report can be read without verification.
    let lax = Bench::start_with(|config| config.settings.check_eligibility = false).await;
    let (_, matching_id) = lax.order(1, |_| {}).await;
    let mut euicc = lax.euicc();
    euicc.info.uicc_capability = UiccCapability::EMPTY;
    lax.authenticate(&euicc, &matching_id).await.unwrap();
}

#[tokio::test]
async fn notifications_are_kept_but_not_all_trusted() {
    let bench = Bench::start().await;
    let mut euicc = bench.euicc();
    let (iccid, matching_id) = bench.order(1, |_| {}).await;
    let (session, _, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
    let mut forger = euicc.clone();
    forger.key = PrivateKey::from_bytes(Curve::P256, &[0x55; 32]).unwrap();
    call(bench.at(), &forger.installation_result(&session, &iccid, None)).await.unwrap();
    call(bench.at(), &forger.notification(NotificationEvent::DELETE, &iccid)).await.unwrap();
    // Signed by the right eUICC, for the right session, and about something else: another profile, another server.
    let elsewhere = Session { server_oid: "2.999.77".parse().unwrap(), ..session.clone() };
    for error in [None, Some(ErrorReason::PE_PROCESSING_ERROR), Some(ErrorReason::INTERRUPTION)] {
        call(bench.at(), &euicc.installation_result(&session, &self::iccid(9), error)).await.unwrap();
        call(bench.at(), &euicc.installation_result(&elsewhere, &iccid, error)).await.unwrap();
    }
    assert_eq!(bench.state(&iccid).await, ProfileState::Downloaded);
    let about_others = bench.server.store().notifications().await.unwrap().split_off(2);
    assert_eq!(about_others.len(), 6);
    for notification in about_others {
        let why = notification.distrusted.unwrap();
        assert!(why.contains("8.2.1/3.10") || why.contains("8.8/3.10"), "{why}");
        assert_eq!(notification.eid, Some(euicc.eid), "by whom it was said is known");
    }
    let stranger = Session { transaction_id: TransactionId::from([7; 16]), ..session.clone() };
    call(bench.at(), &euicc.installation_result(&stranger, &iccid, None)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Downloaded);
    let notifications = bench.server.store().notifications().await.unwrap();
    assert_eq!(notifications.len(), 9);
    let trusted = |notification: &Notification| notification.distrusted.is_none();
    assert!(!notifications.iter().any(trusted));
    assert_eq!(notifications.iter().filter(|notification| notification.eid.is_none()).count(), 3);
    // The session still takes its own.
    call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Installed);
    assert!(bench.server.store().notifications().await.unwrap().last().is_some_and(trusted));
}

/// A result may come when the server has other certificates: it is of the session as it was.
#[tokio::test]
async fn a_result_outlives_the_certificates_of_its_session() {
    let place = Place::sqlite();
    let bend = |config: &mut Config| {
        config.database.clone_from(&place.url);
        config.master_key = Arc::new(MasterKey::new([7; 32]));
    };
    let bench = Bench::start_with(bend).await;
    let mut euicc = bench.euicc();
    let (iccid, matching_id) = bench.order(1, |_| {}).await;
    let (session, _, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
    // Certificates of another CI: it has none for that of the sessions.
    let moved = Bench::start_in(mint(now() + 1), bend).await;
    let elsewhere = Session { server_oid: "2.999.77".parse().unwrap(), ..session.clone() };
    call(moved.at(), &euicc.installation_result(&elsewhere, &iccid, None)).await.unwrap();
    assert_eq!(moved.state(&iccid).await, ProfileState::Downloaded, "it was never that one");
    call(moved.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    assert_eq!(moved.state(&iccid).await, ProfileState::Installed);
}

/// What lacks its outermost tag is refused, and taken by a server that is lenient, with everything that follows from it.
#[tokio::test]
async fn a_lenient_server_restores_the_outermost_tag_of_a_notification() {
    log::text();
    let without_tag = |request: &HandleNotificationRequest| {
        let contents = Base64(request.pending_notification.contents().to_vec());
        serde_json::to_vec(&serde_json::json!({ "pendingNotification": contents })).unwrap()
    };
    for is_lenient in [false, true] {
        let bench = Bench::start_with(|config| {
            config.settings.lenient = is_lenient;
            config.settings.address = "smdp.example.com".into();
        })
        .await;
        let mut euicc = bench.euicc();
        let (iccid, matching_id) = bench.order(1, |_| {}).await;
        let (session, _, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
        let installed = euicc.installation_result(&session, &iccid, None);
        let enabled = euicc.notification(NotificationEvent::ENABLE, &iccid);
        for (told, state) in [(&installed, ProfileState::Installed), (&enabled, ProfileState::Enabled)] {
            let answer = post(bench.at(), HandleNotificationRequest::PATH, &without_tag(told)).await;
            assert_eq!(answer.status, if is_lenient { 204 } else { 200 }, "{answer:?}");
            let expected = if is_lenient { state } else { ProfileState::Downloaded };
            assert_eq!(bench.state(&iccid).await, expected);
        }
        let kept = bench.server.store().notifications().await.unwrap();
        assert_eq!(kept.len(), if is_lenient { 2 } else { 0 });
        for (kept, told) in kept.iter().zip([&installed, &enabled]) {
            assert_eq!(kept.der, told.pending_notification.octets(), "whole, with its tag");
        }
        for nonsense in [&b"{}"[..], b"{\"pendingNotification\":\"vyc=\"}", b"{\"pendingNotification\":\"vycA\"}"] {
            let answer = post(bench.at(), HandleNotificationRequest::PATH, nonsense).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    for outermost in ["BF37", "30"] {
        let line = format!("outermost=\"{outermost}\"");
        assert!(log::text().lines().any(|told| told.contains("WARN") && told.contains(&line)), "{}", log::text());
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_properly() {
    let bench = Bench::start().await;
    let paths = [
        InitiateAuthenticationRequest::PATH,
        AuthenticateClientRequest::PATH,
        GetBoundProfilePackageRequest::PATH,
        CancelSessionRequest::PATH,
        HandleNotificationRequest::PATH,
    ];
    let tid = "\"transactionId\":\"00112233445566778899AABBCCDDEEFF\"";
    let bodies = [
        String::new(),
        "{".into(),
        "[]".into(),
        "null".into(),
        "\u{0}\u{1}".into(),
        "{}".into(),
        format!("{{{tid}}}"),
        "{\"transactionId\":\"not hex\"}".into(),
        format!(
            "{{{tid},\"authenticateServerResponse\":\"*\",\"prepareDownloadResponse\":\"*\",\"cancelSessionResponse\":\"*\",\"pendingNotification\":\"*\"}}"
        ),
        // Base64 of a TLV cut short, and of a right tag with nonsense in it.
        format!(
            "{{{tid},\"authenticateServerResponse\":\"vzgF\",\"prepareDownloadResponse\":\"vyEF\",\"cancelSessionResponse\":\"v0EF\",\"pendingNotification\":\"vzcF\"}}"
        ),
        format!(
            "{{{tid},\"authenticateServerResponse\":\"vzgBAA==\",\"prepareDownloadResponse\":\"vyEBAA==\",\"cancelSessionResponse\":\"v0EBAA==\",\"pendingNotification\":\"vzcBAA==\"}}"
        ),
        "{\"smdpAddress\":\"x\",\"euiccChallenge\":\"AAECAwQFBgcICQoLDA0ODw==\",\"euiccInfo1\":\"AAAA\"}".into(),
    ];
    for path in paths {
        for body in &bodies {
            let answer = post(bench.at(), path, body.as_bytes()).await;
            assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
            let text = String::from_utf8(answer.body).unwrap();
            assert!(
                text.contains("\"Failed\"") && text.contains("\"1.3.1\"") && text.contains("\"2.1\""),
                "{path} {body}: {text}"
            );
        }
        assert_eq!(post(bench.at(), path, &vec![b' '; 300_000]).await.status, 413);
    }
    assert_eq!(post(bench.at(), "/gsma/rsp2/es9plus/noSuchFunction", b"{}").await.status, 404);
    assert_eq!(post(bench.at(), "/", b"{}").await.status, 405);
}

#[tokio::test]
async fn a_database_file_outlives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smdp.db").to_str().unwrap().to_owned();
    let pki = mint(now());
    let restart = || {
        Bench::start_in(pki.clone(), |config| {
            config.database.clone_from(&path);
            config.master_key = Arc::new(MasterKey::new([7; 32]));
            config.settings.address = "smdp.example.com".into();
        })
    };
    let bench = restart().await;
    let (iccid, matching_id) = bench.order(1, |_| {}).await;
    let mut euicc = bench.euicc();
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    bench.server.shutdown().await;

    // The session goes on where it stood.
    let bench = restart().await;
    let prepared = euicc.prepare(&session, &answer, None, None);
    let answer = call(bench.at(), &prepared.request).await.unwrap();
    euicc.load(&session, &prepared, &answer.bound_profile_package.0);
    bench.server.shutdown().await;

    let bench = restart().await;
    call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Installed);
    assert!(tokio::net::TcpStream::connect(bench.at()).await.is_ok());
    let at = bench.at();
    bench.server.shutdown().await;
    assert!(tokio::net::TcpStream::connect(at).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn https_with_the_certificate_of_the_pki() {
    let pki = mint(now());
    let server = serve(Config::from_pki(&pki).unwrap()).await.unwrap();
    let bench = Bench { pki, server, other: None, calls: AtomicUsize::new(0) };
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(bench.pki.get(Role::Ci).unwrap().der().to_vec().into()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let euicc = bench.euicc();
    let stream = tokio::net::TcpStream::connect(bench.at()).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let request = euicc.initiate(bench.server.address());
    let body = rsp::es9::request(&request);
    let answer = post_over(stream, InitiateAuthenticationRequest::PATH, body.as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("Content-Type: application/json"), "{}", answer.head);
    let answer = rsp::es9::read_response(&answer.body).unwrap();
    euicc.authenticate(&answer, Some(&matching_id), |_| {});

    // A client that does not speak TLS is disconnected, and affects nobody else.
    let mut stream = tokio::net::TcpStream::connect(bench.at()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    bench.server.shutdown().await;
}
