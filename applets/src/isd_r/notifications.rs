//! Notifications: made when a profile changes state, kept until an LPA has delivered them. SGP.22 §3.5, §5.7.9 to 11.

use super::profiles::Profile;
use super::{IsdR, item, keys};
use apdu::StatusWord;
use card_os::Context;
use rsp::es10b::{
    DeleteNotificationStatus, ListNotificationRequest, ListNotificationResponse, NotificationSearchCriteria,
    NotificationSentRequest, NotificationSentResponse, RetrieveNotificationsListRequest,
    RetrieveNotificationsListResponse,
};
use rsp::metadata::NotificationEvent;
use rsp::notification::{NotificationMetadata, OtherSignedNotification, PendingNotification};
use rsp::{Iccid, Raw};

/// Notifications kept at most, if memory lasts; the oldest gives way.
const CAPACITY: usize = 256;

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

fn next_sequence_number(cx: &Context<'_, '_>) -> u64 {
    const FIRST: u64 = 1;
    let stored = cx.get(item::NEXT_SEQUENCE_NUMBER).and_then(|bytes| bytes.try_into().ok());
    stored.map_or(FIRST, u64::from_be_bytes)
}

/// Keeps a signed notification, octet for octet.
pub(super) fn keep(cx: &mut Context<'_, '_>, seq_number: u64, notification: Vec<u8>) {
    let kept = all(cx);
    for (oldest, others) in kept.iter().zip((0..kept.len()).rev()) {
        let free = cx.platform().map_or(0, |platform| platform.memory().free_non_volatile);
        if others + 1 < CAPACITY && free >= notification.len() {
            break;
        }
        cx.remove(oldest.item);
    }
    let slots = u64::from(item::NOTIFICATIONS.end() - item::NOTIFICATIONS.start()) + 1;
    let slot = u16::try_from(seq_number % slots).unwrap_or_default();
    cx.put(item::NOTIFICATIONS.start() + slot, notification);
}

/// Tells every recipient that a profile's metadata names for `event`, but for `except`, which knows already.
pub(super) fn notify(
    cx: &mut Context<'_, '_>,
    profile: &Profile,
    event: NotificationEvent,
    except: Option<&str>,
) -> Result<(), StatusWord> {
    let Some(recipients) = &profile.metadata.notification_configuration_info else { return Ok(()) };
    for recipient in recipients {
        let address: &str = &recipient.notification_address;
        if !recipient.profile_management_operation.contains(event) || except == Some(address) {
            continue;
        }
        let metadata = metadata(cx, event, address, Some(profile.metadata.iccid.clone()));
        // A profile that was there from the start may name a CI this eUICC has no key under.
        let certification =
            keys::certification(cx, &profile.record.ci).or_else(|| keys::certifications(cx).into_iter().next());
        let certification = certification.ok_or(StatusWord::TECHNICAL_PROBLEM)?;
        let tbs = Raw::encode(&metadata).map_err(|_| StatusWord::TECHNICAL_PROBLEM)?;
        let signature = certification.sign(tbs.octets());
        let notification = PendingNotification::OtherSignedNotification(OtherSignedNotification {
            tbs_other_notification: tbs,
            euicc_notification_signature: signature,
            euicc_certificate: certification.euicc_certificate,
            eum_certificate: certification.eum_certificate,
        });
        let notification = rsp::encode(&notification).map_err(|_| StatusWord::TECHNICAL_PROBLEM)?;
        keep(cx, metadata.seq_number, notification);
    }
    Ok(())
}

/// A notification that is kept.
struct Kept {
    item: u16,
    metadata: NotificationMetadata,
    notification: Raw<PendingNotification>,
}

/// All notifications kept, oldest first.
fn all(cx: &Context<'_, '_>) -> Vec<Kept> {
    let mut kept: Vec<Kept> = cx
        .items(item::NOTIFICATIONS)
        .into_iter()
        .filter_map(|item| {
            let notification = Raw::<PendingNotification>::from_octets(cx.get(item)?).ok()?;
            let metadata = notification.decode().ok()?.metadata().ok()?;
            Some(Kept { item, metadata, notification })
        })
        .collect();
    kept.sort_by_key(|kept| kept.metadata.seq_number);
    kept
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
        let list = all(cx).into_iter().map(|kept| kept.metadata).filter(wanted).collect();
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
        let list = all(cx).into_iter().filter(wanted).map(|kept| kept.notification).collect();
        Ok(RetrieveNotificationsListResponse::NotificationList(list))
    }

    /// ES10b.RemoveNotificationFromList, SGP.22 §5.7.11.
    pub(super) fn remove_notification_from_list(
        &mut self,
        request: &NotificationSentRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<NotificationSentResponse, StatusWord> {
        let found = all(cx).into_iter().find(|kept| kept.metadata.seq_number == request.seq_number);
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
