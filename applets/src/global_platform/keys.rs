//! The keys of a security domain: each is a value of its own, so that it can be replaced and its counter move, apart
//! from the parameters the domain was installed with. GlobalPlatform Card Specification §7.5, TS 102 225 §5.

use apdu::{Aid, StatusWord};
use card_os::{Context, Privileges};
use crypto::scp::{Cipher, Kind, StaticKeys};
use saip::security_domain::{KeyObject, SecurityDomain};
use zeroize::Zeroizing;

/// Numbers of what a security domain keeps. They are part of card images.
pub(crate) mod item {
    use core::ops::RangeInclusive;

    /// Data objects that STORE DATA has written, in the order of their table.
    pub(crate) const DATA: u16 = 0x3000;
    /// The sequence counter of the key set with this version: two octets for SCP02, three for SCP03.
    const SEQUENCES: u16 = 0x3100;
    /// How often in a row the key set with this version has been presented wrongly, one octet.
    const FAILURES: u16 = 0x3200;
    /// One key each, `KeyObject` as DER without its counter: seven bits of the version, seven of the identifier.
    pub(crate) const KEYS: RangeInclusive<u16> = 0x4000..=0x7FFF;
    /// The counter beside a key, as long as it was given.
    const COUNTERS: u16 = 0x8000;

    /// The number of a key. GlobalPlatform §7.5.2 has versions `01` to `7F`, identifiers `00` to `7F`.
    pub(crate) const fn key(version: u8, identifier: u8) -> Option<u16> {
        match (version, identifier) {
            (0..=0x7F, 0..=0x7F) => Some(*KEYS.start() | (version as u16) << 7 | identifier as u16),
            _ => None,
        }
    }

    /// The number of the counter of a key with this number.
    pub(crate) const fn counter(key: u16) -> u16 {
        COUNTERS | key & !*KEYS.start()
    }

    pub(crate) const fn sequence(version: u8) -> u16 {
        SEQUENCES | version as u16
    }

    pub(crate) const fn failures(version: u8) -> u16 {
        FAILURES | version as u16
    }
}

/// Identifiers of the three keys of a set. GlobalPlatform §E.1.3.
pub(crate) const ENC: u8 = 0x01;
const MAC: u8 = 0x02;
const DEK: u8 = 0x03;
const SET: [u8; 3] = [ENC, MAC, DEK];

/// Key versions that belong to other uses than a secure channel between card and host: over the air, and over HTTPS.
/// TS 102 225 annex A, TS 102 226 §10.
const fn is_for_messages(version: u8) -> bool {
    matches!(version, 0x00..=0x0F | 0x40..=0x4F)
}

/// What a key type of GlobalPlatform is computed with; `None`: it is no key of a block cipher. §11.1.8.
pub(crate) const fn kind_of(key_type: u8) -> Option<Kind> {
    match key_type {
        0x80 | 0x82 | 0x83 => Some(Kind::Des),
        0x88 => Some(Kind::Aes),
        _ => None,
    }
}

/// The three keys of a set, for one protocol.
pub(crate) struct KeySet {
    pub(crate) version: u8,
    pub(crate) kind: Kind,
    pub(crate) keys: StaticKeys,
    pub(crate) holder: Holder,
}

impl KeySet {
    /// Whether these are still the keys of that version.
    pub(crate) fn is_current(&self, cx: &mut Context<'_, '_>) -> bool {
        let now = self.holder.set_of(cx, self.version);
        now.is_some_and(|now| now.kind == self.kind && now.keys.is_same(&self.keys))
    }
}

/// Who has the keys: a security domain without any of its own uses those of the issuer's. GlobalPlatform §7.5.
#[derive(Clone, Copy)]
pub(crate) enum Holder {
    Own,
    Other(Aid),
}

impl Holder {
    pub(crate) fn get(self, cx: &mut Context<'_, '_>, item: u16) -> Option<Zeroizing<Vec<u8>>> {
        let value = match self {
            Self::Own => cx.get(item).map(<[u8]>::to_vec),
            Self::Other(aid) => cx.registry()?.value(&aid, item).map(<[u8]>::to_vec),
        };
        value.map(Zeroizing::new)
    }

    pub(crate) fn set(self, cx: &mut Context<'_, '_>, item: u16, value: Option<Vec<u8>>) -> Result<(), StatusWord> {
        match (self, value) {
            (Self::Own, Some(value)) => cx.put(item, value),
            (Self::Own, None) if cx.get(item).is_none() => {}
            (Self::Own, None) => cx.remove(item),
            (Self::Other(aid), value) => {
                let mut registry = cx.registry().ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
                registry.set_value(&aid, item, value)?;
            }
        }
        Ok(())
    }

    fn versions(self, cx: &mut Context<'_, '_>) -> Vec<u8> {
        let items = match self {
            Self::Own => cx.items(item::KEYS),
            Self::Other(aid) => cx.registry().map(|registry| registry.items(&aid, item::KEYS)).unwrap_or_default(),
        };
        let mut versions: Vec<u8> =
            items.into_iter().filter_map(|number| u8::try_from((number & !*item::KEYS.start()) >> 7).ok()).collect();
        versions.dedup();
        versions
    }

    /// The key set of a version, if it has one for a secure channel.
    fn set_of(self, cx: &mut Context<'_, '_>, version: u8) -> Option<KeySet> {
        if is_for_messages(version) {
            return None;
        }
        let mut part = |identifier| {
            let der = self.get(cx, item::key(version, identifier)?)?;
            let key = KeyObject::from_der(&der).ok()?;
            let [component] = key.key_components.as_slice() else { return None };
            let kind = kind_of(*component.key_type.first()?)?;
            Cipher::new(kind, component.key_data.expose())?;
            Some((kind, Zeroizing::new(component.key_data.expose().to_vec())))
        };
        let [(kind, enc), (mac_kind, mac), (dek_kind, dek)] = [part(ENC)?, part(MAC)?, part(DEK)?];
        // SCP02 has keys of 16 octets only.
        let fits = kind == Kind::Aes || [&enc, &mac, &dek].iter().all(|key| key.len() == 16);
        (fits && kind == mac_kind && kind == dek_kind).then_some(KeySet {
            version,
            kind,
            keys: StaticKeys { enc, mac, dek },
            holder: self,
        })
    }

    fn find(self, cx: &mut Context<'_, '_>, version: u8) -> Option<KeySet> {
        if version != 0 {
            return self.set_of(cx, version);
        }
        self.versions(cx).into_iter().find_map(|version| self.set_of(cx, version))
    }
}

/// The key set of a version, or the first one for version 0: its own, or where it has none at all, the issuer's.
pub(crate) fn set(cx: &mut Context<'_, '_>, version: u8) -> Option<KeySet> {
    let own = Holder::Own.find(cx, version);
    if own.is_some() || Holder::Own.find(cx, 0).is_some() {
        return own;
    }
    let own = cx.aid();
    let issuer = super::issuer(cx).filter(|issuer| *issuer != own)?;
    Holder::Other(issuer).find(cx, version)
}

/// Whether a host can open a secure channel at all.
pub(crate) fn has_set(cx: &mut Context<'_, '_>) -> bool {
    set(cx, 0).is_some()
}

/// Keeps keys, each in the place of the one with its version and identifier, and without the counter of that one. Sequence and
/// failures of a set count on unless all three of its keys are new: with a key that stays, sessions could be played again.
pub(crate) fn put(cx: &mut Context<'_, '_>, holder: Holder, keys: Vec<KeyObject>) -> Result<(), StatusWord> {
    let names: Vec<(u8, u8)> = keys.iter().map(|key| (key.key_version_number[0], key.key_identifier[0])).collect();
    for (key, (version, identifier)) in keys.into_iter().zip(&names) {
        let number = item::key(*version, *identifier).ok_or(StatusWord::WRONG_DATA)?;
        holder.set(cx, number, Some(key.to_der()))?;
        holder.set(cx, item::counter(number), None)?;
    }
    for (version, _) in names.iter().filter(|(_, identifier)| *identifier == ENC) {
        if SET.iter().all(|identifier| names.contains(&(*version, *identifier))) {
            forget_counters(cx, holder, *version)?;
        }
    }
    Ok(())
}

/// Removes a key; whether there was one.
pub(crate) fn remove(cx: &mut Context<'_, '_>, version: u8, identifier: u8) -> Result<bool, StatusWord> {
    let Some(number) = item::key(version, identifier).filter(|number| cx.get(*number).is_some()) else {
        return Ok(false);
    };
    cx.remove(number);
    Holder::Own.set(cx, item::counter(number), None)?;
    if !SET.iter().any(|identifier| exists(cx, version, *identifier)) {
        forget_counters(cx, Holder::Own, version)?;
    }
    Ok(true)
}

fn forget_counters(cx: &mut Context<'_, '_>, holder: Holder, version: u8) -> Result<(), StatusWord> {
    for item in [item::sequence(version), item::failures(version)] {
        holder.set(cx, item, None)?;
    }
    Ok(())
}

/// Whether there is a key.
pub(crate) fn exists(cx: &Context<'_, '_>, version: u8, identifier: u8) -> bool {
    item::key(version, identifier).is_some_and(|number| cx.get(number).is_some())
}

/// Takes the keys out of install parameters: the values by which the security domain keeps them.
///
/// A key whose version or identifier GlobalPlatform does not have stays where it is: it is reported, and cannot be used.
pub(crate) fn take(parameters: &mut SecurityDomain) -> Vec<(u16, Vec<u8>)> {
    let mut values = Vec::new();
    let mut rest = Vec::new();
    for key in parameters.key_list.take().into_iter().flatten() {
        match values_of(key) {
            Ok(own) => values.extend(own),
            Err(key) => rest.push(key),
        }
    }
    parameters.key_list = (!rest.is_empty()).then_some(rest);
    values
}

/// The values by which a security domain keeps a key, or the key again.
pub fn values_of(mut key: KeyObject) -> Result<Vec<(u16, Vec<u8>)>, KeyObject> {
    let ([version], [identifier]) = (key.key_version_number, key.key_identifier);
    let Some(number) = item::key(version, identifier) else { return Err(key) };
    let counter = key.key_counter_value.take();
    let mut values: Vec<_> = counter.map(|counter| (item::counter(number), counter)).into_iter().collect();
    values.push((number, key.to_der()));
    Ok(values)
}

/// Whether these values, as a security domain keeps them, have a key set for a secure channel.
pub fn open_a_channel(values: &[(u16, Vec<u8>)]) -> bool {
    let has = |version, identifier| {
        item::key(version, identifier).is_some_and(|number| values.iter().any(|(known, _)| *known == number))
    };
    (1..=0x7F)
        .filter(|version| !is_for_messages(*version))
        .any(|version| SET.into_iter().all(|identifier| has(version, identifier)))
}

/// Moves keys that an earlier release left in the install parameters to where they belong; what is left of the parameters,
/// if there were some.
pub(crate) fn out_of_parameters(cx: &mut Context<'_, '_>) -> Result<Option<Zeroizing<Vec<u8>>>, StatusWord> {
    let mut parameters = super::parameters(cx)?;
    let values = take(&mut parameters);
    if values.is_empty() {
        return Ok(None);
    }
    for (number, value) in values {
        cx.put(number, value);
    }
    Ok(Some(Zeroizing::new(parameters.to_der())))
}

/// All keys, by version and identifier.
pub(crate) fn all(cx: &Context<'_, '_>) -> Result<Vec<KeyObject>, StatusWord> {
    let numbers = cx.items(item::KEYS).into_iter();
    let mut keys = numbers
        .filter_map(|number| cx.get(number))
        .map(|der| KeyObject::from_der(der).map_err(|_| StatusWord::TECHNICAL_PROBLEM))
        .collect::<Result<Vec<_>, _>>()?;
    // What has no number there; an ISD-R has other parameters, and no such keys.
    if cx.record().kind == crate::kind::SECURITY_DOMAIN {
        keys.extend(super::parameters(cx)?.key_list.into_iter().flatten());
    }
    Ok(keys)
}

/// The privileges that an application has in the operating system, of those a security domain may have.
pub(crate) const fn is_issuer(privileges: Privileges) -> bool {
    privileges.contains(Privileges::ISSUER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_number_and_its_counter_another() {
        let mut numbers: Vec<u16> = (0..=0x7F)
            .flat_map(|version| (0..=0x7F).filter_map(move |identifier| item::key(version, identifier)))
            .flat_map(|key| [key, item::counter(key)])
            .chain((0..=0xFF).flat_map(|version| [item::sequence(version), item::failures(version)]))
            .chain(item::DATA..item::DATA + 0x100)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 2 * 128 * 128 + 3 * 256);
        assert_eq!((item::key(0x80, 1), item::key(1, 0x80)), (None, None));
        // What card images have.
        assert_eq!(item::key(0x01, 0x02), Some(0x4082));
        assert_eq!(item::counter(0x4082), 0x8082);
    }
}
