//! Delivering notifications to their recipients, and taking them off the eUICC. SGP.22 section 3.5

use std::thread;
use std::time::Duration;

use reader_bridge::Transport;
use rsp::Raw;
use rsp::es9::HandleNotificationRequest;
use rsp::notification::{NotificationMetadata, PendingNotification};

use crate::error::{CardError, LpaError, ServerError};
use crate::euicc::Euicc;
use crate::server::{Es9Client, call};
use crate::user::{Progress, User};

/// How often delivery is tried while the network or the server is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, at least one.
    pub attempts: u32,
    /// Pause before the second try; doubled before each further one.
    pub pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, pause: Duration::from_secs(1) }
    }
}

/// Which notifications to process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Those with these numbers.
    Numbers(Vec<u64>),
}

/// What became of one notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Which one.
    pub metadata: NotificationMetadata,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Delivered and removed from the eUICC.
    Removed,
    /// Delivered, and kept on the eUICC as was asked.
    Kept,
    /// Not delivered; it stays on the eUICC.
    Failed(LpaError),
    /// Not tried, because an earlier one for the same recipient failed and order matters.
    HeldBack,
}

/// Delivers notifications in the order of their numbers, and removes those delivered, if `remove`.
///
/// A notification leaves the eUICC only after its recipient answered with HTTP 2xx. A failure concerns its recipient
/// alone: the others are served. A number that does not exist is an error.
pub fn process<T: Transport>(
    euicc: &mut Euicc<T>,
    server: &mut dyn Es9Client,
    selection: &Selection,
    remove: bool,
    retry: Retry,
    user: &mut dyn User,
) -> Result<Vec<Delivery>, LpaError> {
    user.progress(Progress::Card("ListNotification"), euicc.apdus());
    // One that is not understood keeps no other from its way.
    let (listed, _) = euicc.list_notifications()?;
    if let Selection::Numbers(numbers) = selection
        && let Some(missing) = numbers.iter().find(|number| !listed.iter().any(|listed| listed.seq_number == **number))
    {
        return Err(LpaError::NoNotification(*missing));
    }
    let mut deliveries: Vec<Delivery> = Vec::new();
    for metadata in listed {
        if matches!(selection, Selection::Numbers(numbers) if !numbers.contains(&metadata.seq_number)) {
            continue;
        }
        let is_blocked = deliveries.iter().any(|earlier| {
            matches!(earlier.outcome, Outcome::Failed(_))
                && earlier.metadata.notification_address == metadata.notification_address
        });
        let outcome = if is_blocked {
            Outcome::HeldBack
        } else {
            match process_one(euicc, server, &metadata, remove, retry) {
                Ok(outcome) => outcome,
                // Without a card there is nothing left to process.
                Err(error @ LpaError::Transport(_)) => return Err(error),
                Err(error) => Outcome::Failed(error),
            }
        };
        report(euicc, user, &metadata, &outcome);
        deliveries.push(Delivery { metadata, outcome });
    }
    Ok(deliveries)
}

fn process_one<T: Transport>(
    euicc: &mut Euicc<T>,
    server: &mut dyn Es9Client,
    metadata: &NotificationMetadata,
    remove: bool,
    retry: Retry,
) -> Result<Outcome, LpaError> {
    let pending = euicc.notification(metadata.seq_number)?.ok_or(LpaError::NoNotification(metadata.seq_number))?;
    verify(&pending, metadata)?;
    deliver(server, metadata, &pending, retry)?;
    if !remove {
        return Ok(Outcome::Kept);
    }
    euicc.remove_notification(metadata.seq_number)?;
    Ok(Outcome::Removed)
}

/// The notification is the one that was listed: another one would be delivered in its place, and this one removed.
fn verify(pending: &Raw<PendingNotification>, listed: &NotificationMetadata) -> Result<(), LpaError> {
    let decode = |cause| CardError::Response { function: "RetrieveNotificationsList", cause };
    let inside = pending.decode().and_then(|pending| pending.metadata()).map_err(decode)?;
    let is_the_same = inside.seq_number == listed.seq_number
        && inside.profile_management_operation == listed.profile_management_operation
        && inside.notification_address == listed.notification_address
        && (inside.iccid == listed.iccid || inside.iccid.is_none() || listed.iccid.is_none());
    if is_the_same { Ok(()) } else { Err(LpaError::Foreign("it gave another notification than the one it listed")) }
}

fn report<T: Transport>(euicc: &Euicc<T>, user: &mut dyn User, metadata: &NotificationMetadata, outcome: &Outcome) {
    let (seq_number, address) = (metadata.seq_number, metadata.notification_address.as_str());
    match outcome {
        Outcome::Removed | Outcome::Kept => {
            let event = metadata.profile_management_operation;
            user.progress(Progress::NotificationSent { seq_number, event, address }, euicc.apdus());
        }
        Outcome::Failed(error) => {
            let cause = &error.to_string();
            user.progress(Progress::NotificationFailed { seq_number, address, cause }, euicc.apdus());
        }
        Outcome::HeldBack => {
            let cause = "an earlier one for the same server was not delivered";
            user.progress(Progress::NotificationFailed { seq_number, address, cause }, euicc.apdus());
        }
    }
}

/// Delivers one notification; again if the trouble may pass.
pub(crate) fn deliver(
    server: &mut dyn Es9Client,
    metadata: &NotificationMetadata,
    pending: &Raw<PendingNotification>,
    retry: Retry,
) -> Result<(), ServerError> {
    let request = HandleNotificationRequest { pending_notification: pending.clone() };
    let mut pause = retry.pause;
    let mut attempt = 1;
    loop {
        match call(server, &metadata.notification_address, &request) {
            // Any 2xx is delivery, whatever the body says.
            Ok(_) | Err(ServerError::Malformed { .. }) => return Ok(()),
            Err(error) if error.is_temporary() && attempt < retry.attempts => {
                thread::sleep(pause);
                pause *= 2;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::server::HttpResponse;
    use crate::testing::{FakeCard, FakeServer};
    use crate::user::Unattended;
    use rsp::es10b::{
        DeleteNotificationStatus, ListNotificationResponse, NotificationSentRequest, NotificationSentResponse,
        RetrieveNotificationsListRequest, RetrieveNotificationsListResponse,
    };
    use rsp::metadata::NotificationEvent;
    use rsp::notification::OtherSignedNotification;

    const AT_ONCE: Retry = Retry { attempts: 3, pause: Duration::ZERO };

    fn metadata(seq_number: u64, address: &str) -> NotificationMetadata {
        NotificationMetadata {
            seq_number,
            profile_management_operation: NotificationEvent::ENABLE,
            notification_address: address.into(),
            iccid: None,
        }
    }

    fn pending(metadata: &NotificationMetadata) -> Raw<PendingNotification> {
        let certificate = || Raw::from_octets([0x30, 0x00]).unwrap();
        Raw::encode(&PendingNotification::OtherSignedNotification(OtherSignedNotification {
            tbs_other_notification: Raw::encode(metadata).unwrap(),
            euicc_notification_signature: [0; 64].into(),
            euicc_certificate: certificate(),
            eum_certificate: certificate(),
        }))
        .unwrap()
    }

    /// An eUICC with these notifications.
    fn euicc(mut list: Vec<NotificationMetadata>) -> Euicc<FakeCard> {
        let card = FakeCard::new(move |message| {
            let answer = match message {
                [0xBF, 0x28, ..] => {
                    rsp::encode(&ListNotificationResponse::NotificationMetadataList(list.clone())).unwrap()
                }
                [0xBF, 0x2B, ..] => {
                    let request: RetrieveNotificationsListRequest = rsp::decode(message).unwrap();
                    let Some(rsp::es10b::NotificationSearchCriteria::SeqNumber(number)) = request.search_criteria
                    else {
                        panic!("by number")
                    };
                    let found = list.iter().filter(|entry| entry.seq_number == number).map(pending).collect();
                    rsp::encode(&RetrieveNotificationsListResponse::NotificationList(found)).unwrap()
                }
                [0xBF, 0x30, ..] => {
                    let request: NotificationSentRequest = rsp::decode(message).unwrap();
                    list.retain(|entry| entry.seq_number != request.seq_number);
                    let delete_notification_status = DeleteNotificationStatus::OK;
                    rsp::encode(&NotificationSentResponse { delete_notification_status }).unwrap()
                }
                other => panic!("{other:02X?}"),
            };
            (answer, 0x9000)
        });
        Euicc::open(card, Options::default()).unwrap()
    }

    fn outcomes(deliveries: &[Delivery]) -> Vec<(u64, &'static str)> {
        let name = |outcome: &Outcome| match outcome {
            Outcome::Removed => "removed",
            Outcome::Kept => "kept",
            Outcome::Failed(_) => "failed",
            Outcome::HeldBack => "held back",
        };
        deliveries.iter().map(|delivery| (delivery.metadata.seq_number, name(&delivery.outcome))).collect()
    }

    #[test]
    fn delivered_ones_are_removed_in_order() {
        let mut euicc = euicc(vec![metadata(200, "b.example"), metadata(0, "a.example")]);
        let mut server = FakeServer::new(|_, _| HttpResponse { status: 204, body: vec![] });
        let done = process(&mut euicc, &mut server, &Selection::All, true, AT_ONCE, &mut Unattended).unwrap();
        assert_eq!(outcomes(&done), [(0, "removed"), (200, "removed")]);
        assert_eq!(euicc.notifications().unwrap(), []);
    }

    #[test]
    fn without_2xx_nothing_is_removed() {
        let mut euicc = euicc(vec![metadata(1, "a.example"), metadata(2, "a.example"), metadata(3, "b.example")]);
        // Three tries for the first, none for the second, the third recipient is well.
        let mut count = 0;
        let mut server = FakeServer::new(move |_, _| {
            count += 1;
            HttpResponse { status: if count <= 3 { 503 } else { 204 }, body: vec![] }
        });
        let done = process(&mut euicc, &mut server, &Selection::All, true, AT_ONCE, &mut Unattended).unwrap();
        assert_eq!(outcomes(&done), [(1, "failed"), (2, "held back"), (3, "removed")]);
        assert_eq!(server.calls.len(), 4);
        assert_eq!(euicc.notifications().unwrap().len(), 2);
    }

    #[test]
    fn trouble_that_passes() {
        let mut euicc = euicc(vec![metadata(1, "a.example")]);
        let mut count = 0;
        let mut server = FakeServer::new(move |_, _| {
            count += 1;
            HttpResponse { status: if count == 1 { 503 } else { 200 }, body: b"thank you".into() }
        });
        let done = process(&mut euicc, &mut server, &Selection::All, false, AT_ONCE, &mut Unattended).unwrap();
        assert_eq!(outcomes(&done), [(1, "kept")]);
        assert_eq!(euicc.notifications().unwrap().len(), 1);
    }

    /// A card that answers with another notification than it was asked for: nobody hears of it, nothing is removed.
    #[test]
    fn another_notification_than_the_one_listed() {
        for (given, iccid) in [
            (metadata(2, "a.example"), None),
            (metadata(1, "b.example"), None),
            (
                NotificationMetadata {
                    profile_management_operation: NotificationEvent::DELETE,
                    ..metadata(1, "a.example")
                },
                None,
            ),
            (metadata(1, "a.example"), Some("89000123456789012341".parse().unwrap())),
        ] {
            let listed = NotificationMetadata { iccid: iccid.clone(), ..metadata(1, "a.example") };
            let given = NotificationMetadata {
                iccid: iccid.map(|_: rsp::Iccid| "89000123456789012358".parse().unwrap()),
                ..given
            };
            let card = FakeCard::new(move |message| {
                let answer = match message {
                    [0xBF, 0x28, ..] => {
                        rsp::encode(&ListNotificationResponse::NotificationMetadataList(vec![listed.clone()])).unwrap()
                    }
                    [0xBF, 0x2B, ..] => {
                        rsp::encode(&RetrieveNotificationsListResponse::NotificationList(vec![pending(&given)]))
                            .unwrap()
                    }
                    other => panic!("{other:02X?}"),
                };
                (answer, 0x9000)
            });
            let mut euicc = Euicc::open(card, Options::default()).unwrap();
            let mut server = FakeServer::new(|_, _| panic!("delivered"));
            let done = process(&mut euicc, &mut server, &Selection::All, true, AT_ONCE, &mut Unattended).unwrap();
            assert_eq!(outcomes(&done), [(1, "failed")]);
        }
    }

    #[test]
    fn a_refusal_is_not_repeated() {
        let mut euicc = euicc(vec![metadata(1, "a.example")]);
        let mut server = FakeServer::new(|_, _| HttpResponse { status: 404, body: vec![] });
        let done = process(&mut euicc, &mut server, &Selection::Numbers(vec![1]), true, AT_ONCE, &mut Unattended);
        assert_eq!(outcomes(&done.unwrap()), [(1, "failed")]);
        assert_eq!(server.calls.len(), 1);
        let missing = process(&mut euicc, &mut server, &Selection::Numbers(vec![9]), true, AT_ONCE, &mut Unattended);
        assert_eq!(
            missing.unwrap_err().to_string(),
            "there is no notification 9; `notification list` shows those there are"
        );
    }
}
