//! Notifications in memory: small, octet for octet what was signed, and never in the way. SGP.22 §3.5, §5.7.9 to 11.

use super::*;
use rsp::notification::{NotificationMetadata, OtherSignedNotification};

/// ISD-R's values by their numbers, found by the EID it keeps under 1.
fn key(nvm: &MemoryNvm, item: u16) -> Key {
    let all = Key::from_u64(0)..=Key::from_u64(u64::MAX);
    let eid: Eid = EID.parse().unwrap();
    let number_1 = nvm
        .keys(all)
        .into_iter()
        .filter(|key| nvm.get(*key) == Some(eid.octets()))
        .find(|key| key.index() & 0xFFFF == 1)
        .expect("the EID");
    Key::from_u64(number_1.to_u64() - 1 + u64::from(item))
}

const NEXT_SEQUENCE_NUMBER: u16 = 0x0100;
const NOTIFICATIONS: u16 = 0x2000;

/// A notification as the first release kept it: whole, with both certificates.
fn whole(pki: &Pki, seq_number: u64) -> Vec<u8> {
    let metadata = NotificationMetadata {
        seq_number,
        profile_management_operation: NotificationEvent::ENABLE,
        notification_address: ADDRESS.into(),
        iccid: Some("8900000000000000011".parse().unwrap()),
    };
    let tbs = Raw::encode(&metadata).unwrap();
    let certificate = |role| CertificateDer::from_octets(pki.get(role).unwrap().der()).unwrap();
    rsp::encode(&OtherSignedNotification {
        euicc_notification_signature: crypto::ecdsa::sign(pki.key(Role::Euicc).unwrap(), tbs.octets()).into(),
        tbs_other_notification: tbs,
        euicc_certificate: certificate(Role::Euicc),
        eum_certificate: certificate(Role::Eum),
    })
    .unwrap()
}

/// A card as the first release left it, with so many notifications.
fn first_release(pki: &Pki, notifications: u16) -> (MemoryNvm, Vec<Vec<u8>>) {
    let mut nvm = personalised(pki);
    let kept: Vec<Vec<u8>> = (1..=u64::from(notifications)).map(|number| whole(pki, number)).collect();
    let mut updates =
        vec![Update::Insert(key(&nvm, NEXT_SEQUENCE_NUMBER), (u64::from(notifications) + 1).to_be_bytes().to_vec())];
    for (number, notification) in (1..).zip(&kept) {
        updates.push(Update::Insert(key(&nvm, NOTIFICATIONS + number), notification.clone()));
    }
    nvm.apply(updates).unwrap();
    (nvm, kept)
}

/// What a card with so much memory makes of an image.
fn device(nvm: MemoryNvm, non_volatile_memory: usize) -> Device {
    let profile = CardProfile { non_volatile_memory, ..CardProfile::default() };
    let mut device =
        Device { card: Card::new(profile, Box::new(nvm), Box::new(Seeded(7)), applets::build), block: 255 };
    device.power_on();
    device
}

fn octets(notifications: &[Raw<PendingNotification>]) -> Vec<Vec<u8>> {
    notifications.iter().map(|notification| notification.octets().to_vec()).collect()
}

/// What lies in memory: the same metadata and signature, without what all of them share.
fn kept(device: &Device) -> Vec<Vec<u8>> {
    let tags = [&[0xBF, 0x37][..], &[0x30], &[0xA0]];
    let is_notification = |value: &[u8]| {
        tags.iter().any(|tag| value.starts_with(tag)) && value.windows(2).take(40).any(|two| two == [0xBF, 0x2F])
    };
    dump(device).into_iter().map(|(_, value)| value).filter(|value| is_notification(value)).collect()
}

#[test]
fn a_notification_is_small_and_comes_back_as_it_was_signed() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let result = device.load_pieces(&pieces(&server.package(&otpk, &contents()))).unwrap();
    let enable = [&[0xBF, 0x31, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], metadata().iccid.octets(), &[0x81, 1, 0]].concat();
    assert_eq!(device.es10(&enable), [0xBF, 0x31, 3, 0x80, 1, 0]);
    let notifications = device.notifications();
    assert_eq!(notifications.len(), 4);
    assert_eq!(notifications[0].octets(), result);
    let euicc_key = pki.get(Role::Euicc).unwrap().certificate().public_key().unwrap();
    for notification in &notifications[1..] {
        let PendingNotification::OtherSignedNotification(other) = notification.decode().unwrap() else {
            panic!("a second result")
        };
        let signature = other.euicc_notification_signature.octets();
        crypto::ecdsa::verify(&euicc_key, other.tbs_other_notification.octets(), signature).unwrap();
        assert_eq!(rsp::encode(&other).unwrap(), notification.octets(), "the encoding is DER");
        assert_eq!(other.euicc_certificate.octets(), pki.get(Role::Euicc).unwrap().der());
        assert_eq!(other.eum_certificate.octets(), pki.get(Role::Eum).unwrap().der());
    }
    let sizes: Vec<usize> = kept(&device).iter().map(Vec::len).collect();
    assert!(sizes.len() == 4 && sizes.iter().all(|size| *size < 200), "{sizes:?}");
    assert!(sizes.iter().filter(|size| **size <= 150).count() >= 3, "{sizes:?}");
    // Every time the same, also by its number, and gone once it is removed.
    device.power_on();
    assert_eq!(device.notifications(), notifications);
    let one = device.es10(&[0xBF, 0x2B, 5, 0xA0, 3, 0x80, 1, 2]);
    assert!(one.ends_with(notifications[1].octets()));
    assert_eq!(device.es10(&[0xBF, 0x30, 3, 0x80, 1, 2]), [0xBF, 0x30, 3, 0x80, 1, 0]);
    assert_eq!(octets(&device.notifications()).len(), 3);
}

#[test]
fn what_the_first_release_kept_is_carried_over() {
    let (pki, foreign) = (pki(1), pki(2));
    let (mut nvm, mut before) = first_release(&pki, 20);
    // One under a certificate that is not this card's, as no card should have: it stays as it is.
    let stranger = whole(&foreign, 21);
    nvm.apply(vec![
        Update::Insert(key(&nvm, NOTIFICATIONS + 21), stranger.clone()),
        Update::Insert(key(&nvm, NEXT_SEQUENCE_NUMBER), 22_u64.to_be_bytes().to_vec()),
    ])
    .unwrap();
    before.push(stranger.clone());
    let used = nvm.used();
    let mut device = Device::new(Box::new(nvm));
    assert_eq!(octets(&device.notifications()), before);
    let saved = used - device.card.nvm().used();
    assert!(saved > 20 * 800, "{saved}");
    let kept = kept(&device);
    assert!(kept.contains(&stranger) && kept.iter().filter(|value| value.len() <= 150).count() == 20);
    // And once more: nothing is left to do.
    device.power_on();
    assert_eq!(octets(&device.notifications()), before);
}

/// 256 old notifications and hardly any memory beside them: the oldest give way, the installation does not fail.
#[test]
fn an_installation_does_not_fail_for_old_notifications() {
    let pki = pki(1);
    let (nvm, _) = first_release(&pki, 256);
    let mut roomy = device(nvm, usize::MAX);
    let with_old_ones = roomy.card.nvm().used();
    let (server, otpk) = ready(&mut roomy, &pki);
    assert!(matches!(roomy.load(&server.package(&otpk, &contents())), FinalResult::SuccessResult(_)));
    let profile = roomy.card.nvm().used() - with_old_ones;

    for free in [300, 2_000, profile / 2, profile, profile + 4_000, profile + 8_000] {
        let (nvm, before) = first_release(&pki, 256);
        let mut device = device(nvm, with_old_ones + free);
        assert_eq!(device.card.nvm().used(), with_old_ones);
        let (server, otpk) = ready(&mut device, &pki);
        let pieces = pieces(&server.package(&otpk, &contents()));
        let result = device.load_pieces(&pieces).expect("a result");
        assert!(matches!(final_result(&result), FinalResult::SuccessResult(_)), "{free}: {:?}", final_result(&result));
        let left = octets(&device.notifications());
        let (own, old) = left.split_last_chunk::<2>().map(|(old, own)| (own, old)).unwrap();
        assert_eq!(own[0], result, "{free}");
        assert!(own[1].starts_with(&[0x30]), "{free}");
        // Those that are left are the youngest.
        assert_eq!(old, &before[before.len() - old.len()..], "{free}");
        assert!(device.card.nvm().used() <= with_old_ones + free, "{free}");
        assert!(free < profile + 8_000 || old.len() >= 254, "{free}: {}", old.len());
    }
}

/// More recipients than there are places: the result of the installation stays, whatever else is to be reported.
#[test]
fn an_installation_does_not_push_out_its_own_result() {
    let pki = pki(1);
    let recipient = NotificationConfigurationInformation {
        profile_management_operation: NotificationEvent::INSTALL,
        notification_address: "a.b".into(),
    };
    let metadata =
        StoreMetadataRequest { notification_configuration_info: Some(vec![recipient; 300]), ..super::metadata() };
    let contents = Contents { metadata: rsp::encode(&metadata).unwrap(), ..contents() };
    let nvm = personalised(&pki);
    let used = nvm.used();
    for memory in [used + 400_000, used + 80_000] {
        let mut device = device(nvm.clone(), memory);
        let (server, otpk) = ready(&mut device, &pki);
        let result = device.load_pieces(&pieces(&server.package(&otpk, &contents))).expect("a result");
        assert!(matches!(final_result(&result), FinalResult::SuccessResult(_)), "{:?}", final_result(&result));
        let kept = octets(&device.notifications());
        assert_eq!(kept.len(), 256);
        assert_eq!(kept[0], result);
        assert!(device.card.nvm().used() <= memory);
    }
}

/// The numbers go on for the life of the eUICC, the places in memory do not: what lies there for long is not overwritten.
#[test]
fn a_notification_that_nobody_fetches_is_not_overwritten() {
    let pki = pki(1);
    let (mut nvm, before) = first_release(&pki, 3);
    // 4096 places further, and one more that the fourth would get.
    nvm.apply(vec![Update::Insert(key(&nvm, NEXT_SEQUENCE_NUMBER), (4096_u64 + 2).to_be_bytes().to_vec())]).unwrap();
    let mut device = device(nvm, usize::MAX);
    let (server, otpk) = ready(&mut device, &pki);
    let result = device.load_pieces(&pieces(&server.package(&otpk, &contents()))).expect("a result");
    let kept = octets(&device.notifications());
    assert_eq!(kept[..3], before);
    assert_eq!((kept.len(), &kept[3]), (5, &result));
    for number in [2_u16, 4098] {
        let [high, low] = number.to_be_bytes();
        assert_eq!(device.es10(&[0xBF, 0x30, 4, 0x80, 2, high, low]), [0xBF, 0x30, 3, 0x80, 1, 0]);
    }
    assert_eq!(octets(&device.notifications()).len(), 3);
}

/// All places taken: a result takes that of the oldest, and so does each later one.
#[test]
fn the_oldest_gives_way() {
    let pki = pki(1);
    let (nvm, before) = first_release(&pki, 256);
    let mut device = device(nvm, usize::MAX);
    for failures in 1..=3 {
        let (server, otpk) = ready(&mut device, &pki);
        let contents = Contents { configure: vec![0xBF, 0x25, 0], ..contents() };
        let result = device.load_pieces(&pieces(&server.package(&otpk, &contents))).expect("a result");
        let kept = octets(&device.notifications());
        assert_eq!(kept.len(), 256);
        assert_eq!(kept.last(), Some(&result));
        assert_eq!(kept[..256 - failures], before[failures..]);
    }
}

/// An SM-DP+ decides by the free memory whether a profile fits: old notifications do not lessen it.
#[test]
fn old_notifications_do_not_lessen_the_memory_for_profiles() {
    let pki = pki(1);
    let free = |device: &mut Device| {
        let info: EuiccInfo2 = rsp::decode(&device.es10(&[0xBF, 0x22, 0])).unwrap();
        rsp::euicc_info::ExtCardResource::parse(&info.ext_card_resource).unwrap().free_non_volatile_memory
    };
    let (nvm, _) = first_release(&pki, 0);
    let without = free(&mut device(nvm, 512 * 1024));
    let (nvm, _) = first_release(&pki, 200);
    assert_eq!(free(&mut device(nvm, 512 * 1024)), without);
}

/// A notification that would not fit even if all others gave way: none does, it is not kept, and the command succeeds.
#[test]
fn nothing_gives_way_for_nothing() {
    let pki = pki(1);
    let recipient = |event, address: &str| NotificationConfigurationInformation {
        profile_management_operation: event,
        notification_address: address.into(),
    };
    let long = format!("{}.example", "a".repeat(150));
    let metadata = StoreMetadataRequest {
        notification_configuration_info: Some(vec![
            recipient(NotificationEvent::ENABLE, "a.b"),
            recipient(NotificationEvent::DISABLE, &long),
        ]),
        ..super::metadata()
    };
    let contents = Contents { metadata: rsp::encode(&metadata).unwrap(), ..contents() };
    let by_iccid =
        |tag| [&[0xBF, tag, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], metadata.iccid.octets(), &[0x81, 1, 0]].concat();
    let enabled = |with_result: bool| {
        let mut roomy = device(personalised(&pki), usize::MAX);
        let (server, otpk) = ready(&mut roomy, &pki);
        assert!(matches!(roomy.load(&server.package(&otpk, &contents)), FinalResult::SuccessResult(_)));
        if !with_result {
            assert_eq!(roomy.es10(&[0xBF, 0x30, 3, 0x80, 1, 1]), [0xBF, 0x30, 3, 0x80, 1, 0]);
        }
        assert_eq!(roomy.es10(&by_iccid(0x31)), [0xBF, 0x31, 3, 0x80, 1, 0]);
        let notifications = octets(&roomy.notifications());
        let used = roomy.card.nvm().used();
        (roomy.card.into_nvm(), notifications, used)
    };
    for with_result in [false, true] {
        let mut outcomes = Vec::new();
        for free in [0, 20, 60, 100, 150, 200, 300, 400] {
            let (nvm, before, used) = enabled(with_result);
            assert_eq!(before.len(), 1 + usize::from(with_result));
            let profile = CardProfile { non_volatile_memory: used + free, ..CardProfile::default() };
            let mut device = Device { card: Card::new(profile, nvm, Box::new(Seeded(8)), applets::build), block: 255 };
            device.power_on();
            assert_eq!(device.es10(&by_iccid(0x32)), [0xBF, 0x32, 3, 0x80, 1, 0]);
            let after = octets(&device.notifications());
            let is_new = |notification: &Vec<u8>| !before.contains(notification);
            let lost = before.iter().filter(|notification| !after.contains(*notification)).count();
            // Gone only if the new one is there; the result of the installation not even then.
            assert_eq!(
                after.iter().filter(|notification| is_new(notification)).count() >= 1,
                lost > 0 || after.len() > before.len()
            );
            assert!(!with_result || after[0] == before[0], "{free}");
            outcomes.push((lost, after.len() - (before.len() - lost)));
            assert!(device.card.nvm().used() <= used + free, "{free}");
        }
        // Not kept; in the place of the other; beside it.
        assert_eq!((outcomes[0], outcomes[7]), ((0, 0), (0, 1)), "{outcomes:?}");
        assert!(outcomes.contains(&(1, 1)), "{outcomes:?}");
    }
}

/// An installation result likewise: all that is older gives way to it if that is of use, else nothing.
#[test]
fn a_result_that_does_not_fit_is_given_and_not_kept() {
    let pki = pki(1);
    let (nvm, _) = first_release(&pki, 1);
    let used = device(nvm.clone(), usize::MAX).card.nvm().used();
    let mut kept = Vec::new();
    for free in [0, 100, 200, 400] {
        let mut device = device(nvm.clone(), used + 150 + free);
        let before = octets(&device.notifications());
        let (server, otpk) = ready(&mut device, &pki);
        let contents = Contents { configure: vec![0xBF, 0x25, 0], ..contents() };
        let result = device.load_pieces(&pieces(&server.package(&otpk, &contents))).expect("a result");
        let after = octets(&device.notifications());
        kept.push(after.contains(&result));
        assert!(after.contains(&result) || after == before, "{free}");
        assert!(device.card.nvm().used() <= used + 150 + free, "{free}");
    }
    assert_eq!(kept.last(), Some(&true));
}
