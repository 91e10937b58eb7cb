//! ES9+.HandleNotification: what the eUICC reports, verified, kept, and drawn conclusions from (SGP.22 sections 3.5, 5.6.4).

use rsp::es9::{HandleNotificationRequest, status};
use rsp::notification::{
    ErrorReason, FinalResult, NotificationMetadata, OtherSignedNotification, PendingNotification,
    ProfileInstallationResult,
};

use crate::es9plus::{SmDp, public_key, verify};
use crate::profile::{ProfileState, UnixTime};
use crate::status::Refusal;
use crate::store::{Notification, Peer, Session, SessionState, Store, StoreError};

impl<S: Store> SmDp<S> {
    /// Takes a notification in. It is kept whether or not its signature is right, but only a right one has consequences.
    ///
    /// Refused is only what cannot be read; anything else the LPA may forget, be it old news or nonsense.
    pub async fn handle_notification(
        &self,
        request: &HandleNotificationRequest,
        now: UnixTime,
    ) -> Result<Notification, Refusal> {
        let pending = &request.pending_notification;
        let mut notification = match pending.decode()? {
            PendingNotification::ProfileInstallationResult(result) => self.installation_result(&result, now).await?,
            PendingNotification::OtherSignedNotification(other) => self.other_notification(&other, now)?,
        };
        notification.der = pending.octets().to_vec();
        let new = self.store().add_notification(&notification).await?;
        tracing::info!(
            new,
            event = %notification.event,
            number = notification.seq_number,
            iccid = notification.iccid.as_ref().map(tracing::field::display),
            eid = notification.eid.map(tracing::field::display),
            result = notification.result,
            distrusted = notification.distrusted,
            "notification"
        );
        Ok(notification)
    }

    /// A profile was installed, enabled, disabled or deleted: signed with the certificates it carries.
    fn other_notification(&self, other: &OtherSignedNotification, now: UnixTime) -> Result<Notification, Refusal> {
        let mut notification = without_judgement(other.tbs_other_notification.decode()?, now);
        let judged = self.verify_euicc(&other.euicc_certificate, &other.eum_certificate, now).and_then(|euicc| {
            verify(&euicc.public_key, other.tbs_other_notification.octets(), &other.euicc_notification_signature)?;
            Ok(euicc.eid)
        });
        match judged {
            Ok(eid) => notification.eid = Some(eid),
            Err(refusal) => notification.distrusted = Some(refusal.to_string()),
        }
        Ok(notification)
    }

    /// How a download ended: signed with the key of the session's eUICC, and without a certificate.
    async fn installation_result(
        &self,
        result: &ProfileInstallationResult,
        now: UnixTime,
    ) -> Result<Notification, Refusal> {
        let data = result.profile_installation_result_data.decode()?;
        let mut notification = without_judgement(data.notification_metadata.decode()?, now);
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
            return Ok(notification);
        };
        let judged = public_key(&peer)
            .and_then(|key| verify(&key, result.profile_installation_result_data.octets(), &result.euicc_sign_pir));
        if let Err(refusal) = judged {
            notification.distrusted = Some(refusal.to_string());
            return Ok(notification);
        }
        notification.eid = Some(peer.eid);

        self.conclude(&session, &peer, error, now).await?;
        if !matches!(session.state, SessionState::Ended(_)) {
            session.state = SessionState::Ended(Some(peer));
            match self.store().update_session(&session).await {
                // The same result delivered twice at once: the other one has ended the session.
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(notification)
    }

    /// Draws the consequence of an installation result for the profile.
    async fn conclude(
        &self,
        session: &Session,
        peer: &Peer,
        error: Option<ErrorReason>,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        for _ in 0..PERSISTENCE {
            let Some(mut profile) = self.store().profile(&peer.iccid).await? else { return Ok(()) };
            let ours = profile.order.eid == Some(peer.eid) && profile.order.matching_id == peer.matching_id;
            // A success counts whenever it comes; a failure only while nothing better is known.
            let matters = match (profile.state, error) {
                (ProfileState::Released | ProfileState::Downloaded | ProfileState::Error, None) => true,
                (ProfileState::Downloaded, Some(_)) => matches!(session.state, SessionState::Delivered(_)),
                _ => false,
            };
            if !ours || !matters {
                return Ok(());
            }
            profile.installation_ended(error, now);
            match self.store().update_profile(&profile).await {
                Err(StoreError::Conflict(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(StoreError::Conflict("the profile").into())
    }
}

/// Times to begin again when somebody else writes to the same profile.
const PERSISTENCE: u32 = 5;

fn without_judgement(metadata: NotificationMetadata, now: UnixTime) -> Notification {
    Notification {
        received_at: now,
        event: metadata.profile_management_operation,
        seq_number: metadata.seq_number,
        address: metadata.notification_address,
        iccid: metadata.iccid,
        eid: None,
        transaction_id: None,
        result: None,
        distrusted: None,
        der: Vec::new(),
    }
}
