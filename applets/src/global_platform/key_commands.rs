//! PUT KEY, and DELETE of keys. GlobalPlatform §11.8, §11.2.

use super::keys;
use super::secure_channel::SecureChannels;
use apdu::tlv::{Reader, Tag};
use apdu::{Command, Response, StatusWord};
use card_os::Context;
use crypto::scp::{Cipher, Session};
use saip::Secret;
use saip::security_domain::{KeyComponent, KeyObject};
use zeroize::Zeroizing;

/// P2: several keys follow, with identifiers one behind the other.
const SEVERAL: u8 = 0x80;
/// A pre-shared key of TLS, for HTTPS. §11.1.8.
const PSK_TLS: u8 = 0x85;
/// Octets of a key check value.
const CHECK_VALUE: usize = 3;

/// What a key is used for, by its place in the set: ciphering, integrity, keys. §11.1.9, TS 102 225 annex A.
const fn usage(version: u8, identifier: u8) -> u8 {
    match (version, identifier) {
        (0x01..=0x0F, 0x01) => 0x18,
        (0x01..=0x0F, 0x02) => 0x14,
        (0x01..=0x0F, _) => 0x48,
        (_, 0x01) => 0x38,
        (_, 0x02) => 0x34,
        _ => 0xC8,
    }
}

/// PUT KEY: adds keys, or replaces those of a version. Nothing is written before all of them are good.
pub(crate) fn put(
    command: &Command<'_>,
    channels: &mut SecureChannels,
    cx: &mut Context<'_, '_>,
) -> Result<Response, StatusWord> {
    let session = channels.session(command.class.channel()).ok_or(StatusWord::SECURITY_STATUS_NOT_SATISFIED)?;
    let (replaced, first) = (command.p1, command.p2 & !SEVERAL);
    if replaced > 0x7F {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let (version, mut data) = command.data.split_first().ok_or(StatusWord::WRONG_DATA)?;
    if !(1..=0x7F).contains(version) {
        return Err(StatusWord::WRONG_DATA);
    }
    let mut identifier = first;
    let mut keys = Vec::new();
    let mut answer = vec![*version];
    while !data.is_empty() {
        if identifier > 0x7F || !keys.is_empty() && command.p2 & SEVERAL == 0 {
            return Err(StatusWord::WRONG_DATA);
        }
        let (key, check_value, rest) = read(data, *version, identifier, session)?;
        answer.extend_from_slice(check_value);
        keys.push(key);
        data = rest;
        identifier += 1;
    }
    if keys.is_empty() {
        return Err(StatusWord::WRONG_DATA);
    }
    let size: usize = keys.iter().map(|key| key.to_der().len()).sum();
    if size > cx.memory().free_non_volatile {
        return Err(StatusWord::NOT_ENOUGH_MEMORY);
    }
    for key in &keys {
        let [identifier] = key.key_identifier;
        let stands_in_the_way = replaced != *version && keys::exists(cx, *version, identifier);
        if replaced != 0 && !keys::exists(cx, replaced, identifier) {
            return Err(StatusWord::REFERENCED_DATA_NOT_FOUND);
        }
        if stands_in_the_way {
            return Err(StatusWord::WRONG_DATA);
        }
    }
    if replaced != 0 && replaced != *version {
        for key in &keys {
            keys::remove(cx, replaced, key.key_identifier[0])?;
        }
    }
    keys::put(cx, keys::Holder::Own, keys)?;
    channels.end_others(command.class.channel(), &[replaced, *version]);
    Ok(Response::ok(answer))
}

/// One key of the command: type, enciphered value, check value; and what is behind it. Tables 11-68 to 11-71.
fn read<'a>(
    data: &'a [u8],
    version: u8,
    identifier: u8,
    session: &Session,
) -> Result<(KeyObject, &'a [u8], &'a [u8]), StatusWord> {
    let counted = |data: &'a [u8]| {
        let (length, rest) = data.split_first().ok_or(StatusWord::WRONG_DATA)?;
        rest.split_at_checked(usize::from(*length)).ok_or(StatusWord::WRONG_DATA)
    };
    let (key_type, rest) = data.split_first().ok_or(StatusWord::WRONG_DATA)?;
    let kind = keys::kind_of(*key_type);
    if kind.is_none() && *key_type != PSK_TLS {
        return Err(StatusWord::ALGORITHM_NOT_SUPPORTED);
    }
    let (block, rest) = counted(rest)?;
    let (check_value, rest) = counted(rest)?;
    let value = decipher(block, session)?;
    match kind.map(|kind| Cipher::new(kind, &value)) {
        Some(Some(cipher)) => {
            let is_missing = check_value.is_empty();
            if !is_missing && (check_value.len() != CHECK_VALUE || cipher.check_value() != *check_value) {
                return Err(StatusWord::INVALID_KEY_CHECK_VALUE);
            }
        }
        Some(None) => return Err(StatusWord::WRONG_DATA),
        None if value.is_empty() => return Err(StatusWord::WRONG_DATA),
        // What the check value of such a key would be is not specified.
        None => {}
    }
    let key = KeyObject {
        key_usage_qualifier: vec![usage(version, identifier)],
        key_access: [0],
        key_identifier: [identifier],
        key_version_number: [version],
        key_counter_value: None,
        key_components: vec![KeyComponent { key_type: vec![*key_type], key_data: Secret::new(&value), mac_length: 8 }],
    };
    Ok((key, check_value, rest))
}

/// A key out of its block: whole cipher blocks, or the key's length before them if it was padded. §11.8.2.3.1.
fn decipher(block: &[u8], session: &Session) -> Result<Zeroizing<Vec<u8>>, StatusWord> {
    if let Some(value) = session.decrypt_key(block) {
        return Ok(value);
    }
    let (length, enciphered) = block.split_first().ok_or(StatusWord::WRONG_DATA)?;
    let mut value = session.decrypt_key(enciphered).ok_or(StatusWord::WRONG_DATA)?;
    if usize::from(*length) > value.len() {
        return Err(StatusWord::WRONG_DATA);
    }
    value.truncate(usize::from(*length));
    Ok(value)
}

/// DELETE of keys, by their identifier, their version or both. Those of the open session stay.
pub(crate) fn delete(
    command: &Command<'_>,
    channels: &mut SecureChannels,
    cx: &mut Context<'_, '_>,
) -> Result<Response, StatusWord> {
    let (data, channel) = (command.data, command.class.channel());
    let octet = |tag| match Reader::new(data).find(Tag(tag)).map_err(|_| StatusWord::WRONG_DATA)? {
        None => Ok(None),
        Some(object) => match object.value {
            [octet] => Ok(Some(*octet)),
            _ => Err(StatusWord::WRONG_DATA),
        },
    };
    let (identifier, version) = (octet(0xD0)?, octet(0xD2)?);
    if identifier.is_none() && version.is_none() {
        return Err(StatusWord::WRONG_DATA);
    }
    let found: Vec<(u8, u8)> = keys::all(cx)?
        .iter()
        .map(|key| (key.key_version_number[0], key.key_identifier[0]))
        .filter(|(own, _)| version.is_none_or(|version| version == *own))
        .filter(|(_, own)| identifier.is_none_or(|identifier| identifier == *own))
        .collect();
    if found.is_empty() {
        return Err(StatusWord::REFERENCED_DATA_NOT_FOUND);
    }
    if found.iter().any(|(version, _)| Some(*version) == channels.version(channel)) {
        return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
    }
    for (version, identifier) in found {
        keys::remove(cx, version, identifier)?;
        channels.end_others(channel, &[version]);
    }
    Ok(Response::ok([0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::scp::Kind;

    #[test]
    fn a_key_is_used_as_its_place_says() {
        assert_eq!([1, 2, 3].map(|identifier| usage(0x01, identifier)), [0x18, 0x14, 0x48]);
        assert_eq!([1, 2, 3].map(|identifier| usage(0x30, identifier)), [0x38, 0x34, 0xC8]);
        assert_eq!(keys::kind_of(0x88), Some(Kind::Aes));
        assert_eq!(keys::kind_of(0xA1), None);
    }
}
