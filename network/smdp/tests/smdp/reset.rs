//! Orders that are ended by decree, profiles that are removed, and orders that may be downloaded any number of times.

use database::place::{Place, on_each_database};
use identities::{Eid, Iccid};
use rsp::es2plus::NotificationPointId;
use rsp::es9::status;
use rsp::es10b::CancelSessionReason;
use rsp::metadata::NotificationEvent;
use rsp::notification::ErrorReason;
use smdp::SqlStore;
use smdp::order::{self, Confirmation, MatchingId, OrderError, OrderRequest, ProfileSelector, Reset};
use smdp::profile::ProfileState;
use smdp::store::StoreError;

use crate::bench::{Bench, OPERATOR, fill_random, refused};
use crate::client::call;

on_each_database!(a_profile_whose_euicc_is_gone_is_ordered_again, a_reusable_order_is_downloaded_again_and_again);

/// As it is now.
async fn reset_profile(store: &SqlStore, iccid: &Iccid, now: u64) -> Result<Reset, OrderError> {
    let profile = store.profile(iccid).await?.ok_or_else(|| OrderError::UnknownProfile(iccid.clone()))?;
    order::reset_profile(store, &profile, now).await
}

/// As it is now.
async fn remove_profile(store: &SqlStore, iccid: &Iccid, now: u64) -> Result<Reset, OrderError> {
    let profile = store.profile(iccid).await?.ok_or_else(|| OrderError::UnknownProfile(iccid.clone()))?;
    order::remove_profile(store, profile, now).await
}

/// Who wants it reset or removed has seen its state: it is done in that one, or not at all.
#[tokio::test]
async fn a_profile_that_has_changed_meanwhile_is_left_alone() {
    let bench = Bench::start().await;
    let store = bench.server.store();
    let (iccid, _) = bench.order(1, |_| {}).await;
    let seen = store.profile(&iccid).await.unwrap().unwrap();
    order::cancel_order(store, &iccid, order::FinalProfileStatus::Available, 2).await.unwrap();
    order::download_order(store, ProfileSelector::Iccid(iccid.clone()), None, 3).await.unwrap();
    let now = store.profile(&iccid).await.unwrap();
    let conflict = |outcome: Result<Reset, OrderError>| {
        assert!(matches!(outcome, Err(OrderError::Store(StoreError::Conflict(_)))), "{outcome:?}");
    };
    conflict(order::reset_profile(store, &seen, 4).await);
    conflict(order::remove_profile(store, seen, 4).await);
    assert_eq!(store.profile(&iccid).await.unwrap(), now);
}

async fn a_profile_whose_euicc_is_gone_is_ordered_again(place: &Place) {
    let bench = Bench::start_twice(place).await;
    let store = bench.server.store();
    let mut lost = bench.euicc();
    let (iccid, matching_id) = bench.order(1, |_| {}).await;
    let (session, _, _) = bench.download(&mut lost, &matching_id, None).await.unwrap();
    call(bench.at(), &lost.installation_result(&session, &iccid, None)).await.unwrap();
    call(bench.at(), &lost.notification(NotificationEvent::ENABLE, &iccid)).await.unwrap();
    let reset = reset_profile(store, &iccid, 20).await.unwrap();
    assert_eq!((reset.was, reset.told), (ProfileState::Enabled, None));
    assert_eq!(reset.profile, bench.profile(&iccid).await);
    assert_eq!((reset.profile.state, reset.profile.changed_at), (ProfileState::Available, 20));

    // What the one that had it reports from now on is stored, and is about nothing.
    call(bench.at(), &lost.notification(NotificationEvent::DISABLE, &iccid)).await.unwrap();
    call(bench.at(), &lost.installation_result(&session, &iccid, None)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Available);
    let distrusted = store.notifications().await.unwrap().pop().unwrap().distrusted.unwrap();
    assert!(distrusted.starts_with("8.10.1/3.9"), "{distrusted}");

    // Ordered anew for a card with the same EID, which counts its notifications from the beginning.
    let request = OrderRequest::new(ProfileSelector::Iccid(iccid.clone()));
    let matching_id = order::order(store, request, &mut fill_random, 21).await.unwrap().order.matching_id.unwrap();
    let mut anew = bench.euicc();
    let (session, _, _) = bench.download(&mut anew, &matching_id, None).await.unwrap();
    call(bench.at(), &anew.installation_result(&session, &iccid, None)).await.unwrap();
    call(bench.at(), &anew.notification(NotificationEvent::ENABLE, &iccid)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Enabled);
}

/// The eUICC was not gone: it deletes the profile, gets it again, and reports both in one go.
#[tokio::test]
async fn a_late_report_of_the_installation_before_is_told_from_this_one() {
    let bench = Bench::start().await;
    let store = bench.server.store();
    let mut euicc = bench.euicc();
    let (iccid, matching_id) = bench.order(1, |_| {}).await;
    let (session, _, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
    call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
    reset_profile(store, &iccid, 20).await.unwrap();
    let deleted = euicc.notification(NotificationEvent::DELETE, &iccid);
    let request = OrderRequest::new(ProfileSelector::Iccid(iccid.clone()));
    let matching_id = order::order(store, request, &mut fill_random, 21).await.unwrap().order.matching_id.unwrap();
    let (session, _, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
    let installed = euicc.installation_result(&session, &iccid, None);
    call(bench.at(), &deleted).await.unwrap();
    call(bench.at(), &installed).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Installed);
}

/// In the middle of a download, found by the EID, so that the next order looks the same.
#[tokio::test]
async fn a_download_in_progress_ends_with_a_reset() {
    let bench = Bench::start().await;
    let store = bench.server.store();
    let mut euicc = bench.euicc();
    let iccid = bench.add(1).await;
    let by_eid = |eid: Eid| OrderRequest {
        eid: Some(eid),
        matching_id: MatchingId::ByEid,
        ..OrderRequest::new(ProfileSelector::Iccid(iccid.clone()))
    };
    order::order(store, by_eid(euicc.eid), &mut fill_random, 1).await.unwrap();
    let (session, answer) = bench.authenticate(&euicc, "").await.unwrap();
    let prepared = euicc.prepare(&session, &answer, None, None);
    let (delivered, _, _) = bench.download(&mut euicc, "", None).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Downloaded);

    assert_eq!(reset_profile(store, &iccid, 2).await.unwrap().was, ProfileState::Downloaded);
    order::order(store, by_eid(euicc.eid), &mut fill_random, 3).await.unwrap();
    refused(call(bench.at(), &prepared.request).await, status::TRANSACTION_UNKNOWN);
    call(bench.at(), &euicc.installation_result(&delivered, &iccid, None)).await.unwrap();
    assert_eq!(bench.state(&iccid).await, ProfileState::Released, "the result is of the order before");
}

#[tokio::test]
async fn states_that_cannot_be_reset_are_named() {
    let bench = Bench::start().await;
    let store = bench.server.store();
    let iccid = bench.add(1).await;
    let reset = async || reset_profile(store, &iccid, 1).await;
    assert_eq!(reset().await.unwrap_err().to_string(), format!("profile {iccid} is Available"));
    order::download_order(store, ProfileSelector::Iccid(iccid.clone()), None, 1).await.unwrap();
    assert_eq!(reset().await.unwrap().was, ProfileState::Allocated);
    order::download_order(store, ProfileSelector::Iccid(iccid.clone()), None, 1).await.unwrap();
    order::cancel_order(store, &iccid, order::FinalProfileStatus::Unavailable, 2).await.unwrap();
    assert_eq!(reset().await.unwrap_err().to_string(), format!("profile {iccid} is Unavailable"));
    assert_eq!(remove_profile(store, &iccid, 3).await.unwrap().was, ProfileState::Unavailable);
    assert!(matches!(reset().await, Err(OrderError::UnknownProfile(_))));
    assert!(store.package(&iccid).await.unwrap().is_none());
    bench.add(1).await;
}

/// What is queued for the operator is still delivered, in order; one to whom the profile is installed hears that it no
/// longer is, also if it is removed.
#[tokio::test]
async fn the_operator_hears_of_an_installed_profile_that_is_given_up() {
    let bench = Bench::start().await;
    let store = bench.server.store();
    let mut euicc = bench.euicc();
    let eid = euicc.eid;
    let points = async |iccid: &Iccid| -> Vec<_> {
        let queued = store.undelivered_progress().await.unwrap().into_iter().map(|one| one.progress);
        queued.filter(|one| one.info.iccid == *iccid).collect()
    };
    for (number, is_removed) in [(1, false), (2, true)] {
        let (iccid, matching_id) = bench.order_for_operator(number, |_| {}).await;
        let (session, _, _) = bench.download(&mut euicc, &matching_id, None).await.unwrap();
        call(bench.at(), &euicc.installation_result(&session, &iccid, None)).await.unwrap();
        let before = points(&iccid).await;
        let told = if is_removed {
            remove_profile(store, &iccid, 5).await.unwrap().told
        } else {
            reset_profile(store, &iccid, 5).await.unwrap().told
        };
        assert_eq!(told.as_deref(), Some(OPERATOR));
        let after = points(&iccid).await;
        assert_eq!(after[..before.len()], before);
        let [last] = &after[before.len()..] else { panic!("{after:?}") };
        assert_eq!((last.info.notification_point_id, last.info.eid), (NotificationPointId::DELETE, Some(eid)));
        assert!(last.info.notification_point_status.is_success());
        assert!(before.iter().all(|one| one.call != last.call));
    }
    // An open order: the operator's own next call is refused.
    let (iccid, _) = bench.order_for_operator(3, |_| {}).await;
    assert_eq!(reset_profile(store, &iccid, 5).await.unwrap().told, None);
    assert!(points(&iccid).await.is_empty());
}

async fn a_reusable_order_is_downloaded_again_and_again(place: &Place) {
    let bench = Bench::start_twice_with(place, |config| config.settings.download_tries = 1).await;
    let (mut one, mut other) = (bench.euicc(), bench.other_euicc());
    let (iccid, matching_id) = bench.order(1, |request| request.reusable = true).await;
    let is_released = async || {
        let profile = bench.profile(&iccid).await;
        assert_eq!((profile.state, profile.order.eid, profile.order.reusable), (ProfileState::Released, None, true));
        profile.order.downloads
    };
    // At the same time on two eUICCs, and once more on the first.
    let (first, _, _) = bench.download(&mut one, &matching_id, None).await.unwrap();
    let (second, _, _) = bench.download(&mut other, &matching_id, None).await.unwrap();
    call(bench.at(), &one.installation_result(&first, &iccid, None)).await.unwrap();
    assert_eq!(is_released().await, 2);
    call(bench.at(), &other.installation_result(&second, &iccid, None)).await.unwrap();
    call(bench.at(), &one.notification(NotificationEvent::DELETE, &iccid)).await.unwrap();
    let (third, _, _) = bench.download(&mut one, &matching_id, None).await.unwrap();
    call(bench.at(), &one.installation_result(&third, &iccid, None)).await.unwrap();
    assert_eq!(is_released().await, 3);

    // Whatever becomes of one download, the order stays.
    let (failed, _, _) = bench.download(&mut one, &matching_id, None).await.unwrap();
    let error = Some(ErrorReason::PE_PROCESSING_ERROR);
    call(bench.at(), &one.installation_result(&failed, &iccid, error)).await.unwrap();
    assert_eq!(is_released().await, 4);
    for reason in [CancelSessionReason::END_USER_REJECTION, CancelSessionReason::PPR_NOT_ALLOWED] {
        let (session, _) = bench.authenticate(&one, &matching_id).await.unwrap();
        call(bench.at(), &one.cancel(&session, &session.server_oid, reason)).await.unwrap();
        assert_eq!(is_released().await, 4);
    }
    // Nor do several that are given up at the same time refuse each other.
    for _ in 0..4 {
        let mut given_up = Vec::new();
        for _ in 0..4 {
            let (session, _, _) = bench.download(&mut one, &matching_id, None).await.unwrap();
            given_up.push(one.cancel(&session, &session.server_oid, CancelSessionReason::END_USER_REJECTION));
        }
        let cancel = |number: usize| call(bench.at(), &given_up[number]);
        let ended = tokio::join!(cancel(0), cancel(1), cancel(2), cancel(3));
        for ended in [ended.0, ended.1, ended.2, ended.3] {
            ended.unwrap();
        }
        is_released().await;
    }
    // It ends when it is cancelled, in the middle of a download too.
    bench.download(&mut other, &matching_id, None).await.unwrap();
    let cancelled =
        order::cancel_order(bench.server.store(), &iccid, order::FinalProfileStatus::Available, 9).await.unwrap();
    assert_eq!((cancelled.state, cancelled.order.reusable), (ProfileState::Available, false));
}

/// With an EID it is for that eUICC, it expires like others, and wrong codes end it.
#[tokio::test]
async fn a_reusable_order_has_its_conditions() {
    let bench = Bench::start().await;
    let mut euicc = bench.euicc();
    let (iccid, matching_id) = bench
        .order(1, |request| {
            request.eid = Some(euicc.eid);
            request.confirmation_code = Some("4711".into());
            request.reusable = true;
        })
        .await;
    refused(bench.authenticate(&bench.other_euicc(), &matching_id).await, status::EID_REFUSED);
    for expected in [
        status::CONFIRMATION_CODE_REFUSED,
        status::CONFIRMATION_CODE_REFUSED,
        status::CONFIRMATION_CODE_RETRIES_EXCEEDED,
    ] {
        let (session, answer) = bench.authenticate(&euicc, &matching_id).await.unwrap();
        refused(call(bench.at(), &euicc.prepare(&session, &answer, Some("1"), None).request).await, expected);
    }
    assert_eq!(bench.state(&iccid).await, ProfileState::Error);
    let (_, matching_id) = bench
        .order(2, |request| {
            request.expires_at = Some(1);
            request.reusable = true;
        })
        .await;
    refused(bench.authenticate(&euicc, &matching_id).await, status::DOWNLOAD_ORDER_EXPIRED);
}

/// An operator expects one installation of each profile.
#[tokio::test]
async fn an_operators_order_is_not_reusable() {
    let bench = Bench::start().await;
    let iccid = bench.add(1).await;
    let mut profile = bench.profile(&iccid).await;
    profile.reserve(Some(OPERATOR.into()), None, 0).unwrap();
    let confirmation = Confirmation { reusable: true, ..Confirmation::default() };
    let refused = profile.confirm(confirmation, &mut fill_random, 0).unwrap_err().to_string();
    assert!(refused.contains(OPERATOR) && refused.contains("over ES2+"), "{refused}");
    assert_eq!(profile.state, ProfileState::Allocated);
}
