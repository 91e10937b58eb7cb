//! Sessions: how many there may be, in which order their steps come, and how they end.

use crate::bench::{Bench, package, refused};
use crate::client::{call, post, post_over, post_with};
use crypto::ec::{Curve, PrivateKey};
use rsp::es9::{
    CancelSessionRequest, Function, GetBoundProfilePackageRequest, InitiateAuthenticationRequest,
    InitiateAuthenticationResponse, status,
};
use rsp::es10b::{CancelSessionReason, CancelSessionResponse, CancelSessionResponseError, EuiccSigned2};
use rsp::notification::ErrorReason;
use rsp::{Oid, OneTimePublicKey, Raw, TransactionId};
use smdp::profile::ProfileState;
use smdp::status::{EUICC_ERROR, TOO_MANY_SESSIONS};

#[tokio::test]
async fn sessions_begun_by_anybody_are_limited() {
    let bench = Bench::start_with(|config| config.settings.sessions.waiting = 3).await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let mut euicc = bench.euicc();
    let initiate = euicc.initiate(bench.server.address());
    let first = call(bench.at(), &initiate).await.unwrap();
    for _ in 0..2 {
        call(bench.at(), &initiate).await.unwrap();
    }
    for _ in 0..2 {
        let refusal = call(bench.at(), &initiate).await.unwrap_err();
        assert_eq!(refusal, TOO_MANY_SESSIONS.into());
    }
    // Whose eUICC shows itself makes room, and has lost nothing.
    let (session, request) = euicc.authenticate(&first, Some(&matching_id), |_| {});
    let answer = call(bench.at(), &request).await.unwrap();
    call(bench.at(), &initiate).await.unwrap();
    call(bench.at(), &euicc.prepare(&session, &answer, None, None).request).await.unwrap();
    assert_eq!(call(bench.at(), &initiate).await.unwrap_err(), TOO_MANY_SESSIONS.into());
}

#[tokio::test]
async fn sessions_of_one_source_do_not_use_up_the_quota() {
    let bench = Bench::start_with(|config| config.settings.sessions.waiting_of_one = 2).await;
    let initiate = bench.euicc().initiate(bench.server.address());
    for _ in 0..2 {
        call(bench.at(), &initiate).await.unwrap();
    }
    assert_eq!(call(bench.at(), &initiate).await.unwrap_err(), TOO_MANY_SESSIONS.into());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(bench.at()).await.unwrap();
    let path = InitiateAuthenticationRequest::PATH;
    let answer = post_over(stream, path, rsp::es9::request(&initiate).as_bytes()).await;
    rsp::es9::read_response::<InitiateAuthenticationResponse>(&answer.body).expect("there is room for others");
}

#[tokio::test]
async fn phones_behind_a_proxy_are_not_one_source() {
    let bench = Bench::start_with(|config| {
        config.settings.sessions.waiting_of_one = 1;
        config.proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let initiate = rsp::es9::request(&bench.euicc().initiate(bench.server.address()));
    for (phone, is_served) in [("203.0.113.1", true), ("203.0.113.2", true), ("203.0.113.1", false)] {
        let stream = tokio::net::TcpStream::connect(bench.at()).await.unwrap();
        let headers = format!("gsma/rsp/v2.2.2\r\nX-Forwarded-For: {phone}");
        let answer = post_with(stream, InitiateAuthenticationRequest::PATH, &headers, initiate.as_bytes()).await;
        let answer = rsp::es9::read_response::<InitiateAuthenticationResponse>(&answer.body);
        assert_eq!(answer.is_ok(), is_served, "{phone}");
    }
}

#[tokio::test]
async fn an_interrupted_download_is_tried_again() {
    let bench = Bench::start_with(|config| config.settings.download_tries = 3).await;
    let (iccid, matching_id) = bench.order(1, |_| {}).await;
    let mut euicc = bench.euicc();
    let (session, prepared, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
    let interrupted = euicc.installation_result(&session, &iccid, Some(ErrorReason::INTERRUPTION));
    call(bench.at(), &interrupted).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Released);

    // The eUICC still has the one-time key it is offered.
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    assert_eq!(answer.smdp_signed2.decode().unwrap().bpp_euicc_otpk, Some(prepared.otpk.clone()));
    let again = euicc.prepare(&session, &answer, None, Some(&prepared.one_time_keys));
    assert_eq!(again.otpk, prepared.otpk);
    let answer = call(bench.at(), &again.request).await.unwrap();
    assert_eq!(euicc.load(&session, &again, &answer.bound_profile_package.0).package, package(1));

    // Or it has not, and makes another. No result came of the time before.
    let (session, _, installed) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
    assert_eq!(installed.package, package(1));
    refused(bench.authenticate(&euicc, &matching_id).await, status::DOWNLOAD_RETRIES_EXCEEDED);
    // Given up here, but the third try did succeed.
    assert_eq!(bench.state(&iccid).await, ProfileState::Error);
    call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Installed);

    // Some failures are for good.
    let (iccid, matching_id) = bench.order(2, |_| {}).await;
    let (session, _, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
    let failed = euicc.installation_result(&session, &iccid, Some(ErrorReason::PE_PROCESSING_ERROR));
    call(bench.at(), &failed).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Error);
    let notifications = bench.server.store().notifications().await.unwrap();
    let result = notifications.last().unwrap().result.clone().unwrap();
    assert_eq!(result, "loadProfileElements(5): installFailedDueToPEProcessingError(12)");
}

#[tokio::test]
async fn a_cancelled_session_leaves_the_order_open_if_another_try_can_help() {
    let bench = Bench::start_with(|config| config.settings.rejection_is_final = false).await;
    let mut euicc = bench.euicc();
    let (iccid, matching_id) = bench.order(1, |request| request.confirmation_code = Some("4711".into())).await;
    // A mistyped confirmation code, after which widespread LPAs have the user reject the profile.
    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let wrong = euicc.prepare(&session, &answer, Some("4712"), None).request;
    refused(call(bench.at(), &wrong).await, status::CONFIRMATION_CODE_REFUSED);
    let rejection = euicc.cancel(&session, &session.server_oid, CancelSessionReason::END_USER_REJECTION);
    call(bench.at(), &rejection).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Released);
    // The package did not get through, for one reason or the other.
    for reason in [CancelSessionReason::LOAD_BPP_EXECUTION_ERROR, CancelSessionReason::UNDEFINED_REASON] {
        let (session, _, _) = bench.download(&mut euicc, &matching_id, Some("4711")).await.unwrap();
        call(bench.at(), &euicc.cancel(&session, &session.server_oid, reason)).await.unwrap();
        assert_eq!(bench.state(&iccid).await, ProfileState::Released);
    }
    // The profile is there already, until the user deletes it.
    let (session, _, _) = bench.download(&mut euicc, &matching_id, Some("4711")).await.unwrap();
    let twice = euicc.installation_result(&session, &iccid, Some(ErrorReason::ICCID_ALREADY_EXISTS_ON_EUICC));
    call(bench.at(), &twice).await.unwrap();
    let (session, _, _) = bench.download(&mut euicc, &matching_id, Some("4711")).await.unwrap();
    call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Installed);

    // What no other try can cure.
    for (number, reason) in [(2, CancelSessionReason::PPR_NOT_ALLOWED), (3, CancelSessionReason::METADATA_MISMATCH)] {
        let (iccid, matching_id) = bench.order(number, |_| {}).await;
        let (session, _) = bench.authenticate(&euicc, &matching_id).await.unwrap();
        call(bench.at(), &euicc.cancel(&session, &session.server_oid, reason)).await.unwrap();
        assert_eq!(bench.state(&iccid).await, ProfileState::Error);
    }
}

#[tokio::test]
async fn sessions_are_cancelled_by_the_euicc_only() {
    let bench = Bench::start().await;
    let mut euicc = bench.euicc();
    let (iccid, matching_id) = bench.order(1, |_| {}).await;

    let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let own = session.server_oid.clone();
    let wrong_oid: Oid = "2.5.29.17".parse().unwrap();
    let rejection = CancelSessionReason::END_USER_REJECTION;
    refused(call(bench.at(), &euicc.cancel(&session, &wrong_oid, rejection)).await, status::SMDP_OID_INVALID);
    let mut forger = euicc.clone();
    forger.key = PrivateKey::from_bytes(Curve::P256, &[0x55; 32]).unwrap();
    refused(call(bench.at(), &forger.cancel(&session, &own, rejection)).await, status::EUICC_SIGNATURE_INVALID);
    let error = CancelSessionResponse::CancelSessionResponseError(CancelSessionResponseError::INVALID_TRANSACTION_ID);
    let request = CancelSessionRequest {
        transaction_id: session.transaction_id.clone(),
        cancel_session_response: Raw::encode(&error).unwrap(),
    };
    refused(call(bench.at(), &request).await, EUICC_ERROR);
    assert_eq!(bench.state(&iccid).await, ProfileState::Released);

    call(bench.at(), &euicc.cancel(&session, &own, CancelSessionReason::POSTPONED)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Released);
    refused(call(bench.at(), &euicc.cancel(&session, &own, rejection)).await, status::TRANSACTION_UNKNOWN);
    let prepared = euicc.prepare(&session, &answer, None, None);
    refused(call(bench.at(), &prepared.request).await, status::TRANSACTION_UNKNOWN);

    let (session, _) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    call(bench.at(), &euicc.cancel(&session, &own, rejection)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Error);
    refused(bench.authenticate(&euicc, &matching_id).await, status::MATCHING_ID_REFUSED);

    // Cancelled before the eUICC has shown itself: nobody can tell who it was.
    let answer = call(bench.at(), &euicc.initiate(bench.server.address())).await.unwrap();
    let (session, _) = euicc.authenticate(&answer, None, |_| {});
    refused(call(bench.at(), &euicc.cancel(&session, &own, rejection)).await, status::TRANSACTION_UNKNOWN);
}

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let bench = Bench::start().await;
    let mut euicc = bench.euicc();
    let (_, matching_id) = bench.order(1, |_| {}).await;
    let initiated = call(bench.at(), &euicc.initiate(bench.server.address())).await.unwrap();
    let (session, request) = euicc.authenticate(&initiated, Some(&matching_id), |_| {});
    // The package before the authentication.
    let early = EuiccSigned2 {
        transaction_id: session.transaction_id.clone(),
        euicc_otpk: OneTimePublicKey::from(euicc.key.public_key().to_uncompressed()),
        hash_cc: None,
    };
    refused(call(bench.at(), &euicc.sign2(&early, &[1; 64].into())).await, status::TRANSACTION_UNKNOWN);
    // A replay.
    let answer = call(bench.at(), &request).await.unwrap();
    refused(call(bench.at(), &request).await, status::TRANSACTION_UNKNOWN);
    // A session of another server.
    let mut foreign = request.clone();
    foreign.transaction_id = TransactionId::from([7; 16]);
    refused(call(bench.at(), &foreign).await, status::TRANSACTION_UNKNOWN);
    // One session's answer in another session.
    let (_, other) = bench.authenticate(&euicc, &matching_id).await.unwrap();
    let prepared = euicc.prepare(&session, &answer, None, None);
    let mut swapped = prepared.request.clone();
    swapped.transaction_id = other.transaction_id;
    refused(call(bench.at(), &swapped).await, status::EUICC_SIGNATURE_INVALID);
    // Lower case is as good as upper case.
    let text = rsp::es9::request(&prepared.request)
        .replace(&session.transaction_id.to_string(), &session.transaction_id.to_string().to_lowercase());
    let answer = post(bench.at(), GetBoundProfilePackageRequest::PATH, text.as_bytes()).await;
    assert!(String::from_utf8(answer.body).unwrap().contains("Executed-Success"));
}

#[tokio::test]
async fn sessions_expire() {
    let bench = Bench::start_with(|config| config.settings.sessions.lifetime = 0).await;
    let (_, matching_id) = bench.order(1, |_| {}).await;
    refused(bench.authenticate(&bench.euicc(), &matching_id).await, status::TRANSACTION_UNKNOWN);
}
