//! ES9+.HandleNotification: an eUICC's reports, verified, stored, and processed (SGP.22 §3.5, 5.6.4).

use identities::Discreet;
use identities::Iccid;
use rsp::es2plus::NotificationPointId;
use rsp::es9::{HandleNotificationRequest, status};
use rsp::notification::{
    ErrorReason, FinalResult, NotificationMetadata, OtherSignedNotification, PendingNotification,
    ProfileInstallationResult, ProfileInstallationResultData,
};
use rsp_server::authentication::public_key;

use crate::es9plus::{PERSISTENCE, SmDp};
use crate::point::{Point, point_of};
use crate::profile::{Profile, ProfileState, UnixTime};
use crate::status::{INSTALLATION_FAILED, OTHER_PROFILE, Refusal, RefuseWith as _};
use crate::store::{Changes, Notification, Peer, Progress, Session, SessionState, StoreError};

impl SmDp {
    /// Processes a notification. It is stored whether or not its signature is valid, but only a valid one has
    /// consequences.
    ///
    /// Only what cannot be parsed is refused; anything else the LPA may delete, whether outdated or invalid.
    pub async fn handle_notification(
        &self,
        request: &HandleNotificationRequest,
        now: UnixTime,
    ) -> Result<Notification, Refusal> {
        let pending = &request.pending_notification;
        let decoded = pending.decode()?;
        let mut turn = None;
        for _ in 0..PERSISTENCE {
            let verdict = match &decoded {
                PendingNotification::ProfileInstallationResult(result) => {
                    self.installation_result(result, pending.octets(), now).await?
                }
                PendingNotification::OtherSignedNotification(other) => {
                    self.other_notification(other, pending.octets(), now).await?
                }
            };
            let Verdict { notification, profile, session, progress } = verdict;
            let changes = Changes {
                profile: profile.as_ref(),
                session: session.as_ref(),
                notification: Some(&notification),
                progress: progress.as_ref(),
                ..Changes::default()
            };
            match self.apply(&changes).await {
                // A concurrent change of the same profile or session: process the notification again.
                Err(StoreError::Conflict(_)) => {
                    if turn.is_none() {
                        turn = Some(self.turn().await);
                    }
                    continue;
                }
                other => other?,
            }
            tracing::info!(
                event = %notification.event,
                number = notification.seq_number,
                iccid = notification.iccid.as_ref().map(tracing::field::debug),
                eid = notification.eid.map(tracing::field::debug),
                result = notification.result,
                distrusted = notification.distrusted.as_ref().map(Discreet).map(tracing::field::display),
                "notification"
            );
            return Ok(notification);
        }
        Err(StoreError::Conflict("the profile").into())
    }

    /// A profile was installed, enabled, disabled or deleted: signed with the certificates it carries.
    async fn other_notification(
        &self,
        other: &OtherSignedNotification,
        der: &[u8],
        now: UnixTime,
    ) -> Result<Verdict, Refusal> {
        let mut verdict = Verdict::without_judgement(other.tbs_other_notification.decode()?, der, now);
        let authentication = self.authentication();
        let judged =
            authentication.verify_euicc(&other.euicc_certificate, &other.eum_certificate, now).and_then(|euicc| {
                authentication.verify(
                    &euicc.public_key,
                    other.tbs_other_notification.octets(),
                    &other.euicc_notification_signature,
                )?;
                Ok(euicc.eid)
            });
        let eid = match judged {
            Ok(eid) => eid,
            Err(refusal) => {
                verdict.notification.distrusted = Some(refusal.to_string());
                return Ok(verdict);
            }
        };
        verdict.notification.eid = Some(eid);
        let Notification { event, seq_number, iccid, .. } = &verdict.notification;
        let (event, seq_number) = (*event, *seq_number);
        let (Some(iccid), Some(state)) = (iccid, Profile::state_after(event)) else { return Ok(verdict) };
        let Some(mut profile) = self.store().profile(iccid).await? else { return Ok(verdict) };
        // A profile in use has been installed, even if that notification is still in transit.
        let can_be = profile.state.may_be_on_euicc() && !profile.order.reusable;
        if profile.order.eid != Some(eid) || !can_be || !profile.is_newer(&eid, seq_number) {
            return Ok(verdict);
        }
        profile.enter(state, now);
        profile.last_notification = Some((eid, seq_number));
        if let Some(id) = point_of(event) {
            let occasion = format!("{eid}-{seq_number}");
            let point = Point { id, failure: None, eid: Some(eid), occasion, result_data: None };
            verdict.progress = point.told(&profile, now);
        }
        verdict.profile = Some(profile);
        Ok(verdict)
    }

    /// The result of a download: signed with the key of the session's eUICC, without a certificate.
    async fn installation_result(
        &self,
        result: &ProfileInstallationResult,
        der: &[u8],
        now: UnixTime,
    ) -> Result<Verdict, Refusal> {
        let data = result.profile_installation_result_data.decode()?;
        let mut verdict = Verdict::without_judgement(data.notification_metadata.decode()?, der, now);
        let notification = &mut verdict.notification;
        notification.transaction_id = Some(data.transaction_id.clone());
        let error = match &data.final_result {
            FinalResult::SuccessResult(_) => {
                notification.result = Some("success".to_owned());
                None
            }
            FinalResult::ErrorResult(error) => {
                notification.result = Some(format!("{}: {}", error.bpp_command_id, error.error_reason));
                Some(error.error_reason)
            }
        };

        let session = self.store().session(&data.transaction_id).await?;
        let Some((mut session, peer)) = session.and_then(|session| {
            let peer = session.state.peer()?.clone();
            Some((session, peer))
        }) else {
            notification.distrusted = Some(Refusal::from(status::TRANSACTION_UNKNOWN).to_string());
            return Ok(verdict);
        };
        let judged = public_key(&peer.euicc_certificate).and_then(|key| {
            self.authentication().verify(&key, result.profile_installation_result_data.octets(), &result.euicc_sign_pir)
        });
        if let Err(refusal) = judged {
            notification.distrusted = Some(refusal.to_string());
            return Ok(verdict);
        }
        notification.eid = Some(peer.eid);
        if let Err(refusal) = is_about(&data, notification.iccid.as_ref(), &session, &peer) {
            notification.distrusted = Some(refusal.to_string());
            return Ok(verdict);
        }

        if let Some((profile, progress)) = self.conclude(&session, &peer, error, &verdict.notification, now).await? {
            verdict.profile = Some(profile);
            verdict.progress = progress;
        }
        if !matches!(session.state, SessionState::Ended(_)) {
            session.state = SessionState::Ended(Some(peer));
            verdict.session = Some(session);
        }
        Ok(verdict)
    }

    /// The consequence of an installation result for the profile, and the progress notification for its operator.
    async fn conclude(
        &self,
        session: &Session,
        peer: &Peer,
        error: Option<ErrorReason>,
        notification: &Notification,
        now: UnixTime,
    ) -> Result<Option<(Profile, Option<Progress>)>, Refusal> {
        let Some(mut profile) = self.store().profile(&peer.iccid).await? else { return Ok(None) };
        let is_its = profile.order.eid == Some(peer.eid) || profile.order.reusable && profile.order.eid.is_none();
        if !is_its || profile.order.matching_id != peer.matching_id {
            return Ok(None);
        }
        let is_open = !matches!(session.state, SessionState::Ended(_));
        let number = notification.seq_number;
        match (profile.state, error) {
            // A success counts whenever it arrives; a failure only while nothing better is known.
            (ProfileState::Released | ProfileState::Downloaded | ProfileState::Error, None) => {
                profile.installation_ended(None, now);
            }
            (ProfileState::Downloaded, Some(_)) if matches!(session.state, SessionState::Delivered(_)) => {
                profile.installation_ended(error, now);
            }
            // Operations on the profile were reported before its installation. Those that the eUICC carried out before it
            // were on an earlier installation, which was given up here.
            (state, None) if is_open && (state.is_on_euicc() || state == ProfileState::Deleted) => {
                if profile.is_newer(&peer.eid, number) {
                    profile.installation_ended(None, now);
                }
            }
            _ => return Ok(None),
        }
        if profile.is_newer(&peer.eid, number) {
            profile.last_notification = Some((peer.eid, number));
        }
        let failure = error.map(|reason| {
            let status = match reason {
                ErrorReason::INSUFFICIENT_MEMORY_FOR_PROFILE => status::EUICC_INSUFFICIENT_MEMORY,
                _ => INSTALLATION_FAILED,
            };
            (status, notification.result.clone().unwrap_or_default())
        });
        let point = Point {
            id: NotificationPointId::BPP_INSTALLATION,
            failure,
            eid: Some(peer.eid),
            occasion: session.transaction_id.to_string(),
            result_data: Some(&notification.der),
        };
        let progress = point.told(&profile, now);
        Ok(Some((profile, progress)))
    }
}

/// Whether an installation result belongs to its session: about the profile that was delivered in it, by this server as
/// it was then. The ICCID may be missing, if the eUICC did not get far enough to read it. SGP.22 §2.5.6
fn is_about(
    data: &ProfileInstallationResultData,
    iccid: Option<&Iccid>,
    session: &Session,
    peer: &Peer,
) -> Result<(), Refusal> {
    session.check_server(&data.smdp_oid)?;
    if iccid.is_some_and(|iccid| *iccid != peer.iccid) {
        return Err(OTHER_PROFILE.because(format!("{iccid:?}")));
    }
    Ok(())
}

/// A notification, and its consequences.
struct Verdict {
    notification: Notification,
    profile: Option<Profile>,
    session: Option<Session>,
    progress: Option<Progress>,
}

impl Verdict {
    fn without_judgement(metadata: NotificationMetadata, der: &[u8], now: UnixTime) -> Self {
        let notification = Notification {
            received_at: now,
            event: metadata.profile_management_operation,
            seq_number: metadata.seq_number,
            address: metadata.notification_address,
            iccid: metadata.iccid,
            eid: None,
            transaction_id: None,
            result: None,
            distrusted: None,
            der: der.to_vec(),
        };
        Self { notification, profile: None, session: None, progress: None }
    }
}
