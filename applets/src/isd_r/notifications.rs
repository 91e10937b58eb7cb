//! Notifications: made when a profile changes state, kept until an LPA has delivered them. SGP.22 §3.5, §5.7.9 to 11.

use super::kept::{self, Kept};
use super::profiles::Profile;
use super::{IsdR, item, keys};
use apdu::StatusWord;
use card_os::Context;
use identities::Iccid;
use rsp::Raw;
use rsp::es10b::{
    DeleteNotificationStatus, ListNotificationRequest, ListNotificationResponse, NotificationSearchCriteria,
    NotificationSentRequest, NotificationSentResponse, RetrieveNotificationsListRequest,
    RetrieveNotificationsListResponse,
};
use rsp::metadata::NotificationEvent;
use rsp::notification::NotificationMetadata;

/// The metadata of a new notification, with the next sequence number.
///
/// The number counts up for the life of the eUICC. It is drawn in the transaction that changes the state, so a cut
/// leaves neither or both.
pub(super) fn metadata(
    cx: &mut Context<'_, '_>,
    event: NotificationEvent,
    address: &str,
    iccid: Option<Iccid>,
) -> NotificationMetadata {
    let seq_number = next_sequence_number(cx);
    cx.put(item::NEXT_SEQUENCE_NUMBER, (seq_number + 1).to_be_bytes());
    NotificationMetadata {
        seq_number,
        profile_management_operation: event,
        notification_address: address.into(),
        iccid,
    }
}

/// Sequence number of the first notification, where the card was not made with another.
pub(super) const FIRST: u64 = 1;

fn next_sequence_number(cx: &Context<'_, '_>) -> u64 {
    let stored = cx.get(item::NEXT_SEQUENCE_NUMBER).and_then(|bytes| bytes.try_into().ok());
    stored.map_or(FIRST, u64::from_be_bytes)
}

/// Tells every recipient that a profile's metadata names for `event`, but for `except`, which knows already.
pub(super) fn notify(
    cx: &mut Context<'_, '_>,
    profile: &Profile,
    event: NotificationEvent,
    except: Option<&str>,
) -> Result<(), StatusWord> {
    let Some(recipients) = &profile.metadata.notification_configuration_info else { return Ok(()) };
    let certifications = keys::certifications(cx);
    // A profile that was there from the start may name a CI this eUICC has no key under.
    let certification = certifications.iter().find(|(_, own)| own.ci == profile.record.ci).or(certifications.first());
    for recipient in recipients {
        let address: &str = &recipient.notification_address;
        if !recipient.profile_management_operation.contains(event) || except == Some(address) {
            continue;
        }
        let metadata = metadata(cx, event, address, Some(profile.metadata.iccid.clone()));
        let (number, certification) = certification.ok_or(StatusWord::TECHNICAL_PROBLEM)?;
        let tbs = Raw::encode(&metadata).map_err(|_| StatusWord::TECHNICAL_PROBLEM)?;
        let signature = certification.sign(tbs.octets());
        kept::keep(cx, metadata.seq_number, &tbs, &signature, *number);
    }
    Ok(())
}

impl IsdR {
    /// ES10b.ListNotification, SGP.22 §5.7.9.
    pub(super) fn list_notification(
        &mut self,
        request: &ListNotificationRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<ListNotificationResponse, StatusWord> {
        let wanted = |metadata: &NotificationMetadata| {
            request
                .profile_management_operation
                .is_none_or(|events| events.intersects(metadata.profile_management_operation))
        };
        let list = kept::all(cx).into_iter().map(|kept| kept.metadata).filter(wanted).collect();
        Ok(ListNotificationResponse::NotificationMetadataList(list))
    }

    /// ES10b.RetrieveNotificationsList, SGP.22 §5.7.10.
    pub(super) fn retrieve_notifications_list(
        &mut self,
        request: &RetrieveNotificationsListRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<RetrieveNotificationsListResponse, StatusWord> {
        let wanted = |kept: &Kept| match &request.search_criteria {
            None => true,
            Some(NotificationSearchCriteria::SeqNumber(number)) => kept.metadata.seq_number == *number,
            Some(NotificationSearchCriteria::ProfileManagementOperation(events)) => {
                events.intersects(kept.metadata.profile_management_operation)
            }
        };
        let wanted: Vec<Kept> = kept::all(cx).into_iter().filter(wanted).collect();
        Ok(RetrieveNotificationsListResponse::NotificationList(kept::whole(cx, &wanted)))
    }

    /// ES10b.RemoveNotificationFromList, SGP.22 §5.7.11.
    pub(super) fn remove_notification_from_list(
        &mut self,
        request: &NotificationSentRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<NotificationSentResponse, StatusWord> {
        let found = kept::all(cx).into_iter().find(|kept| kept.metadata.seq_number == request.seq_number);
        let delete_notification_status = match found {
            Some(kept) => {
                cx.remove(kept.item);
                DeleteNotificationStatus::OK
            }
            None => DeleteNotificationStatus::NOTHING_TO_DELETE,
        };
        Ok(NotificationSentResponse { delete_notification_status })
    }
}
