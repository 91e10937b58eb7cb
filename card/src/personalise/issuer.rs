//! The issuer's security domain of a UICC: what it may do with the card, and keys that a host opens a secure channel with.

use super::PersonalisationError;
use applets::global_platform::{open_a_channel, values_of};
use card_os::DomainImage;
use saip::builder::{Key, KeySet, Protocol};
use saip::security_domain::SecurityDomain;

/// The key of test cards, three times in each set: everybody knows it. GlobalPlatform cards come with it from the factory.
pub const TEST_KEY: [u8; 16] = *b"@ABCDEFGHIJKLMNO";
/// Versions of the key sets that a UICC has whose description names none: for SCP02, and for SCP03.
pub const TEST_KEY_VERSIONS: [u8; 2] = [0x20, 0x30];

/// Card lock, card terminate and card reset, in the first octet of privileges: of a card with one issuer. §11.1.2.
const OF_THE_CARD: u8 = 0x1C;

/// Gives the issuer's security domain, if there is one, the privileges of a card that has one issuer; and the test keys, if it
/// has no keys for a secure channel.
pub(super) fn equip(files: &mut DomainImage) -> Result<(), PersonalisationError> {
    let applications = files.applications().iter();
    let Some(at) = applications.clone().position(|known| known.record.kind == applets::kind::SECURITY_DOMAIN) else {
        return Ok(());
    };
    let unreadable = |_| PersonalisationError::Profile { number: 1, reason: "PE-SecurityDomain".to_owned() };
    let Some(issuer) = files.application_mut(at) else { return Ok(()) };
    let mut element = SecurityDomain::from_der(&issuer.parameters).map_err(unreadable)?;
    if let Some(first) = element.instance.application_privileges.first_mut() {
        *first |= OF_THE_CARD;
    }
    issuer.parameters = element.to_der();
    if open_a_channel(&issuer.data) {
        return Ok(());
    }
    let key = || Key::new(&TEST_KEY);
    for (version, protocol) in TEST_KEY_VERSIONS.into_iter().zip([Protocol::Scp02, Protocol::Scp03]) {
        let set = KeySet { version, protocol: Some(protocol), enc: key(), mac: key(), dek: key() };
        for object in set.key_objects().into_iter().flatten() {
            issuer.data.extend(values_of(object).into_iter().flatten());
        }
    }
    Ok(())
}
