//! What fields that are right by themselves say about each other.

use super::{Ims, Subscriber, SubscriberError, ims_domain};

/// Country codes whose networks all have MNCs of three digits: Canada, and the United States with their territories.
/// ITU-T E.212 annex A, and its list of codes.
const THREE_DIGIT_MNC: [&str; 8] = ["302", "310", "311", "312", "313", "314", "315", "316"];
/// The realm that operators' domains end in. TS 23.003 §13.2.
const THREE_GPP: &str = ".3gppnetwork.org";
/// As many records fit a linear fixed file. TS 102 221 §8.2.2.2.
const MOST_RECORDS: u8 = 254;

/// Whether all networks under this MCC have an MNC of three digits.
pub fn has_three_digit_mncs(mcc: &str) -> bool {
    THREE_DIGIT_MNC.contains(&mcc)
}

/// Refuses a subscriber whose fields contradict each other, by the name of the field that is easier to change.
pub(super) fn check_consistency(subscriber: &Subscriber) -> Result<(), SubscriberError> {
    let refuse = |field, reason: String| Err(SubscriberError::new(field, reason));
    let (mcc, mnc) = subscriber.home_network();
    if mnc.len() == 2 && has_three_digit_mncs(mcc) {
        return refuse("mnc_length", format!("with MCC {mcc}, as the IMSI has it, it is 3"));
    }
    let is_own = |number: &String| Some(number.trim_start_matches('+')) == own_number(subscriber);
    if subscriber.smsc.as_ref().is_some_and(is_own) {
        return refuse("smsc", "is the subscriber's own msisdn".to_owned());
    }
    if let Some(at) = subscriber.emergency_numbers.iter().position(|emergency| is_own(&emergency.number)) {
        return Err(SubscriberError::new("emergency_numbers", "is the subscriber's own msisdn").entry(at));
    }
    if subscriber.phonebook_entries > MOST_RECORDS {
        return refuse("phonebook_entries", format!("a file has at most {MOST_RECORDS} records"));
    }
    if let Some(suci) = &subscriber.suci {
        let twice = suci.keys.iter().enumerate().find(|(at, key)| {
            suci.keys.iter().take(*at).any(|other| (other.id, other.profile) == (key.id, key.profile))
        });
        if let Some((_, key)) = twice {
            return refuse("suci.keys", format!("identifier {} is there twice", key.id));
        }
    }
    subscriber.ims.as_ref().map_or(Ok(()), |ims| check_ims(subscriber, ims))
}

/// The digits of the own number, country code first.
fn own_number(subscriber: &Subscriber) -> Option<&str> {
    subscriber.msisdn.as_deref().map(|number| number.trim_start_matches('+'))
}

/// An ISIM is of the same subscriber as the USIM beside it: names that are derived from an IMSI are derived from this one.
fn check_ims(subscriber: &Subscriber, ims: &Ims) -> Result<(), SubscriberError> {
    let home = ims_domain(subscriber);
    let foreign = |domain: &str| domain.ends_with(THREE_GPP) && domain != home;
    if let Some(domain) = ims.domain.as_deref().filter(|domain| foreign(domain)) {
        return Err(SubscriberError::new("ims.domain", format!("{domain} is another network than the IMSI's, {home}")));
    }
    let identities = ims.impi.iter().map(|impi| ("ims.impi", impi.as_str()));
    let public = ims.impus.iter().filter_map(|impu| Some(("ims.impus", impu.split_once(':')?.1)));
    for (field, identity) in identities.chain(public) {
        let Some((user, realm)) = identity.split_once('@') else { continue };
        let realm = realm.split([';', ':']).next().unwrap_or_default();
        if foreign(realm) {
            return Err(SubscriberError::new(field, format!("{realm} is another network than the IMSI's, {home}")));
        }
        // In a home network's own realm, a user of digits only is an IMSI.
        let is_imsi =
            realm.ends_with(THREE_GPP) && user.len() >= 14 && user.bytes().all(|digit| digit.is_ascii_digit());
        if is_imsi && user != subscriber.imsi {
            return Err(SubscriberError::new(field, "names another IMSI than imsi"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{HomeNetworkKey, Key, Suci, SuciCalculation, SuciProfile};
    use super::*;

    fn refused(change: impl FnOnce(&mut Subscriber)) -> Option<&'static str> {
        let key = Key::new(&[1; 16]);
        let mut subscriber = Subscriber::new("8988211000000000011", "001010000000001", key.clone(), key);
        subscriber.msisdn = Some("+15551234567".to_owned());
        subscriber.ims = Some(Ims::default());
        change(&mut subscriber);
        subscriber.check().err().map(|error| error.field)
    }

    fn ims(subscriber: &mut Subscriber) -> &mut Ims {
        subscriber.ims.get_or_insert_default()
    }

    #[test]
    fn fields_that_agree_are_fine() {
        assert_eq!(refused(|_| ()), None);
        assert_eq!(refused(|s| (s.imsi, s.mnc_length) = ("310410123456789".into(), 3)), None);
        assert_eq!(refused(|s| s.smsc = Some("+15550000000".into())), None);
        assert_eq!(refused(|s| ims(s).domain = Some("ims.example".into())), None);
        assert_eq!(refused(|s| ims(s).impi = Some("anna@example.org".into())), None);
        assert_eq!(refused(|s| ims(s).impus = vec!["tel:+15551234567".into(), "sip:anna@example.org".into()]), None);
        assert_eq!(
            refused(|s| ims(s).impus = vec!["sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org;user=x".into()]),
            None
        );
    }

    #[test]
    fn fields_that_do_not_are_named() {
        assert_eq!(refused(|s| s.imsi = "310410123456789".into()), Some("mnc_length"));
        assert_eq!(refused(|s| s.iccid = "8988211000000000012".into()), Some("iccid"));
        assert_eq!(refused(|s| s.msisdn = Some("+0555123".into())), Some("msisdn"));
        assert_eq!(refused(|s| s.smsc = Some("15551234567".into())), Some("smsc"));
        assert_eq!(refused(|s| s.smsc = Some("sms".into())), Some("smsc"));
        assert_eq!(refused(|s| s.phonebook_entries = 255), Some("phonebook_entries"));
        let other_network = "ims.mnc002.mcc001.3gppnetwork.org";
        assert_eq!(refused(|s| ims(s).domain = Some(other_network.into())), Some("ims.domain"));
        assert_eq!(refused(|s| ims(s).impi = Some(format!("001010000000001@{other_network}"))), Some("ims.impi"));
        let other_imsi = "001010000000002@ims.mnc001.mcc001.3gppnetwork.org";
        assert_eq!(refused(|s| ims(s).impi = Some(other_imsi.into())), Some("ims.impi"));
        assert_eq!(refused(|s| ims(s).impus = vec![format!("sip:{other_imsi}")]), Some("ims.impus"));
        let key = HomeNetworkKey { id: 1, profile: SuciProfile::A, key: Key::new(&[9; 32]) };
        let keys = vec![key.clone(), key];
        let suci = Suci { calculation: SuciCalculation::Usim, routing_indicator: "0".into(), keys };
        assert_eq!(refused(|s| s.suci = Some(suci)), Some("suci.keys"));
    }
}
