//! STORE DATA: data objects, and keys that come by another security domain's channel. GlobalPlatform §11.11, Amendment A §4.10.

use super::SecurityDomain;
use crate::global_platform::data::{group, item_of};
use crate::global_platform::keys::{self, Holder};
use apdu::tlv::{Reader, Tag};
use apdu::{Command, Response, StatusWord};
use card_os::Context;
use crypto::scp::Cipher;
use saip::Secret;
use saip::security_domain::{KeyComponent, KeyObject};
use zeroize::Zeroizing;

/// Blocks of STORE DATA that wait for the last one.
#[derive(Clone)]
pub(super) struct Transfer {
    channel: u8,
    structure: u8,
    next_block: u8,
    data: Zeroizing<Vec<u8>>,
}

/// STORE DATA, P1. §11.11.2.1.
mod store {
    pub(super) const LAST_BLOCK: u8 = 0x80;
    pub(super) const ENCRYPTION: u8 = 0x60;
    pub(super) const ENCRYPTED: u8 = 0x60;
    pub(super) const STRUCTURE: u8 = 0x18;
    pub(super) const GROUPS: u8 = 0x08;
    pub(super) const RESERVED: u8 = 0x06;
    /// Octets of all blocks together.
    pub(super) const LONGEST: usize = 4096;
}

/// Data groups with keys: what they are, and their values. Amendment A §4.10.
mod group_of {
    pub(super) const KEY_INFORMATION: u16 = 0x00B9;
    pub(super) const KEY_VALUES: u16 = 0x8F01;
    pub(super) const SECURITY_DOMAIN: u16 = 0x0070;
}

impl SecurityDomain {
    /// STORE DATA: blocks are joined, and what they hold is written with the last one.
    pub(super) fn store_data(
        &mut self,
        command: &Command<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let structure = command.p1 & (store::ENCRYPTION | store::STRUCTURE);
        if command.p1 & store::RESERVED != 0 || structure & store::STRUCTURE == store::STRUCTURE {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if !matches!(structure & store::ENCRYPTION, 0 | store::ENCRYPTED) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if command.data.is_empty() {
            return Err(StatusWord::WRONG_DATA);
        }
        let channel = command.class.channel();
        let under_way = self.pending.transfer.take().filter(|transfer| transfer.channel == channel && command.p2 != 0);
        let fresh = || Transfer { channel, structure, next_block: 0, data: Zeroizing::default() };
        let mut transfer = under_way.unwrap_or_else(fresh);
        if transfer.next_block != command.p2 || transfer.structure != structure {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if transfer.data.len() + command.data.len() > store::LONGEST {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        transfer.data.extend_from_slice(command.data);
        if command.p1 & store::LAST_BLOCK == 0 {
            transfer.next_block = command.p2.checked_add(1).ok_or(StatusWord::WRONG_P1_P2)?;
            self.pending.transfer = Some(transfer);
            return Ok(Response::done());
        }
        let personalised = self.pending.personalised.filter(|(on, aid)| *on == channel && *aid != cx.aid());
        let holder = personalised.map_or(Holder::Own, |(_, aid)| Holder::Other(aid));
        let Stored { values, keys } = self.read_stored(channel, structure, &transfer.data)?;
        let of_keys = keys.iter().map(|key| key.to_der().len());
        if values.iter().map(|(_, value)| value.len()).chain(of_keys).sum::<usize>() > cx.memory().free_non_volatile {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        for (item, value) in values {
            holder.set(cx, item, Some(value))?;
        }
        if matches!(holder, Holder::Own) {
            let versions: Vec<u8> = keys.iter().map(|key| key.key_version_number[0]).collect();
            self.channels.end_others(channel, &versions);
        }
        keys::put(cx, holder, keys)?;
        Ok(Response::done())
    }

    /// What a whole STORE DATA writes.
    fn read_stored(&self, channel: u8, structure: u8, data: &[u8]) -> Result<Stored, StatusWord> {
        let session = self.channels.session(channel).ok_or(StatusWord::SECURITY_STATUS_NOT_SATISFIED)?;
        let clear = |data: &[u8]| {
            if structure & store::ENCRYPTION == 0 {
                return Ok(Zeroizing::new(data.to_vec()));
            }
            session.decrypt_key(data).ok_or(StatusWord::WRONG_DATA)
        };
        if structure & store::STRUCTURE != store::GROUPS {
            return Ok(Stored { values: objects(&clear(data)?)?, keys: Vec::new() });
        }
        let mut stored = Stored::default();
        let mut announced = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let (identifier, value, behind) = group(rest).ok_or(StatusWord::WRONG_DATA)?;
            match identifier {
                group_of::SECURITY_DOMAIN => stored.values.extend(objects(&clear(value)?)?),
                group_of::KEY_INFORMATION => announced = announced_keys(&clear(value)?)?,
                // Always enciphered, whatever P1 says of the others.
                group_of::KEY_VALUES => {
                    let values = session.decrypt_key(value).ok_or(StatusWord::WRONG_DATA)?;
                    stored.keys.extend(key_values(&announced, &values)?);
                }
                tag => {
                    let item = item_of(tag).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
                    let value = clear(value)?;
                    // The value, or the data object whole.
                    let whole = Reader::new(&value).find(Tag(tag.into())).ok().flatten();
                    let own = whole.filter(|object| object.raw.len() == value.len());
                    stored.values.push((item, own.map_or_else(|| value.to_vec(), |object| object.value.to_vec())));
                }
            }
            rest = behind;
        }
        if stored.values.is_empty() && stored.keys.is_empty() { Err(StatusWord::WRONG_DATA) } else { Ok(stored) }
    }
}

/// What STORE DATA writes: data objects by their numbers, and keys.
#[derive(Default)]
struct Stored {
    values: Vec<(u16, Vec<u8>)>,
    keys: Vec<KeyObject>,
}

/// Data objects one behind the other, all of which the security domain keeps.
fn objects(data: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, StatusWord> {
    let mut writes = Vec::new();
    let mut reader = Reader::new(data);
    while let Some(object) = reader.next().map_err(|_| StatusWord::WRONG_DATA)? {
        let tag = u16::try_from(object.tag.0).map_err(|_| StatusWord::REFERENCED_DATA_NOT_FOUND)?;
        writes.push((item_of(tag).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?, object.value.to_vec()));
    }
    if writes.is_empty() { Err(StatusWord::WRONG_DATA) } else { Ok(writes) }
}

/// A key whose value is to come.
struct Announced {
    usage: Vec<u8>,
    key_type: u8,
    length: usize,
    identifier: u8,
    version: u8,
}

/// Control reference templates `B9`: usage, type, length, identifier and version of each key. Amendment A §4.10.2.
fn announced_keys(data: &[u8]) -> Result<Vec<Announced>, StatusWord> {
    let wrong = |_| StatusWord::WRONG_DATA;
    let mut announced = Vec::new();
    let mut reader = Reader::new(data);
    while let Some(template) = reader.next().map_err(wrong)? {
        let field = |tag| Reader::new(template.value).find(Tag(tag)).map_err(wrong);
        let octet = |tag| {
            let object = field(tag)?.ok_or(StatusWord::WRONG_DATA)?;
            object.value.first().copied().ok_or(StatusWord::WRONG_DATA)
        };
        announced.push(Announced {
            usage: field(0x95)?.map_or_else(|| vec![0x38], |usage| usage.value.to_vec()),
            key_type: octet(0x80)?,
            length: octet(0x81)?.into(),
            identifier: octet(0x82)?,
            version: octet(0x83)?,
        });
    }
    Ok(announced)
}

/// The announced keys with their values, which stand one behind the other.
fn key_values(announced: &[Announced], mut values: &[u8]) -> Result<Vec<KeyObject>, StatusWord> {
    let mut keys = Vec::new();
    for Announced { usage, key_type, length, identifier, version } in announced {
        let (value, rest) = values.split_at_checked(*length).ok_or(StatusWord::WRONG_DATA)?;
        let kind = keys::kind_of(*key_type).ok_or(StatusWord::ALGORITHM_NOT_SUPPORTED)?;
        Cipher::new(kind, value).ok_or(StatusWord::WRONG_DATA)?;
        if !(1..=0x7F).contains(version) || !(1..=2).contains(&usage.len()) {
            return Err(StatusWord::WRONG_DATA);
        }
        keys.push(KeyObject {
            key_usage_qualifier: usage.clone(),
            key_access: [0],
            key_identifier: [*identifier],
            key_version_number: [*version],
            key_counter_value: None,
            key_components: vec![KeyComponent {
                key_type: vec![*key_type],
                key_data: Secret::new(value),
                mac_length: 8,
            }],
        });
        values = rest;
    }
    // What is left is padding of a block.
    if keys.is_empty() || values.len() >= 16 { Err(StatusWord::WRONG_DATA) } else { Ok(keys) }
}
