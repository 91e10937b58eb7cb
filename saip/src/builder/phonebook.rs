//! The phonebook: EF.PBR and the files that it refers to. TS 31.102 §4.4.2.

use apdu::tlv::{Tag, Writer};

use super::file::{change, linear_fixed, records, with_pins};
use super::name::{alpha, filled_alpha};
use super::number::{Dialled, Extensions, number, record};
use super::selection::Selection;
use super::subscriber::{Subscriber, SubscriberError};
use super::usim_fields::Contact;
use crate::files::File;

/// Octets of records.
const ADN: usize = 28;
const ANR: usize = 15;
const SNE: usize = 16;
const EMAIL: usize = 40;
const GAS: usize = 16;
/// Groups an entry may be in.
const GRP: usize = 3;
/// Addresses for mail and groups there is room for, unless there are more.
const EMAILS: usize = 20;
const GROUPS: usize = 10;
/// Records of extensions there is room for, unless there are more.
const EXTENSIONS: usize = 10;

/// File identifiers, and short ones.
const EXT1: (u16, u8) = (0x4F38, 0x03);
const UID: (u16, u8) = (0x4F88, 0x06);
const GRP_FILE: (u16, u8) = (0x4F90, 0x07);
const SNE_FILE: (u16, u8) = (0x4F80, 0x08);
const IAP: (u16, u8) = (0x4F50, 0x09);
const ADN_FILE: (u16, u8) = (0x4F58, 0x0A);
const ANR_FILE: (u16, u8) = (0x4F68, 0x0B);
const EMAIL_FILE: (u16, u8) = (0x4F78, 0x0C);
const GAS_FILE: (u16, u8) = (0x4F48, 0x04);

/// Files that an entry may have a part in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    OtherNumber,
    SecondName,
    Email,
    Group,
}

/// Records of two files that belong together.
type Pair = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// The files of DF.PHONEBOOK; none if there is none.
pub(super) fn files(
    subscriber: &Subscriber,
    selection: &Selection,
    pins: &[u8],
) -> Result<Vec<(&'static str, File)>, SubscriberError> {
    let entries = usize::from(subscriber.phonebook_entries);
    let contacts = &subscriber.phonebook;
    if contacts.len() > entries {
        let reason = format!("is {entries}, and phonebook has {} entries", contacts.len());
        return Err(SubscriberError::new("phonebook_entries", reason));
    }
    let has = |name: &str| selection.further.contains(name);
    if entries == 0 {
        if let Some(name) = ["EF.ANR", "EF.SNE", "EF.EMAIL", "EF.GRP", "EF.GAS"].into_iter().find(|name| has(name)) {
            return Err(SubscriberError::new("phonebook_entries", format!("is 0, and {name} is asked for")));
        }
        return Ok(Vec::new());
    }
    let any = |given: fn(&Contact) -> bool| contacts.iter().any(given);
    let columns: Vec<Column> = [
        (Column::OtherNumber, has("EF.ANR") || any(|contact| contact.other_number.is_some())),
        (Column::SecondName, has("EF.SNE") || any(|contact| contact.second_name.is_some())),
        (Column::Email, has("EF.EMAIL") || any(|contact| contact.email.is_some())),
        (Column::Group, has("EF.GRP") || has("EF.GAS") || any(|contact| contact.group.is_some())),
    ]
    .into_iter()
    .filter(|(_, wanted)| *wanted)
    .map(|(column, _)| column)
    .collect();
    let mut extensions = Extensions::default();
    let mut files = vec![("DF.PHONEBOOK", with_pins(pins)), ("EF.PBR", records(&[reference(&columns)]))];
    files.push(("EF.ADN", table(ADN_FILE.1, ADN, entries, &names(contacts, &mut extensions)?)));
    if columns.contains(&Column::OtherNumber) {
        files.push(("EF.ANR", table(ANR_FILE.1, ANR, entries, &other_numbers(contacts, &mut extensions)?)));
    }
    if columns.contains(&Column::SecondName) {
        files.push(("EF.SNE", table(SNE_FILE.1, SNE, entries, &second_names(contacts)?)));
    }
    if columns.contains(&Column::Email) {
        let (addresses, pointers) = emails(contacts)?;
        let room = addresses.len().max(EMAILS.min(entries));
        files.push(("EF.EMAIL", table(EMAIL_FILE.1, EMAIL + 2, room, &addresses)));
        files.push(("EF.IAP", table(IAP.1, 1, entries, &pointers)));
    }
    if columns.contains(&Column::Group) {
        let (groups, members) = groups(contacts)?;
        files.push(("EF.GAS", table(GAS_FILE.1, GAS, groups.len().max(GROUPS), &groups)));
        files.push(("EF.GRP", table(GRP_FILE.1, GRP, entries, &members)));
    }
    let identifiers: Vec<Vec<u8>> =
        (1u16..).zip(contacts).map(|(identifier, _)| identifier.to_be_bytes().to_vec()).collect();
    // The last identifier that was given.
    let mut last = change(|fcp| fcp.short_ef_id = Some(vec![0x0F << 3]));
    if let Some(identifier) = identifiers.last() {
        last = last.filled(identifier.clone());
    }
    let room = extensions.records().len().max(EXTENSIONS);
    files.extend([
        ("EF.EXT1", table(EXT1.1, Extensions::RECORD, room, extensions.records())),
        ("EF.UID", table(UID.1, 2, entries, &identifiers)),
        ("EF.PSC", change(|fcp| fcp.short_ef_id = Some(vec![0x0D << 3]))),
        ("EF.CC", change(|fcp| fcp.short_ef_id = Some(vec![0x0E << 3]))),
        ("EF.PUID", last),
    ]);
    Ok(files)
}

/// So many records of this length, of which the first are these.
fn table(sfi: u8, length: usize, count: usize, first: &[Vec<u8>]) -> File {
    let file = change(|fcp| {
        linear_fixed(fcp, length, count);
        fcp.short_ef_id = Some(vec![sfi << 3]);
    });
    if first.is_empty() { file } else { file.filled(first.concat()) }
}

/// EF.PBR: files with a record for each entry (A8), files that EF.IAP points into (A9), files that records name (AA).
fn reference(columns: &[Column]) -> Vec<u8> {
    let mut record = Writer::new();
    let file = |list: &mut Writer, tag: u32, (id, sfi): (u16, u8)| {
        let [high, low] = id.to_be_bytes();
        list.primitive(Tag(tag), &[high, low, sfi]);
    };
    record.constructed(Tag(0xA8), |list| {
        file(list, 0xC0, ADN_FILE);
        if columns.contains(&Column::Email) {
            file(list, 0xC1, IAP);
        }
        if columns.contains(&Column::SecondName) {
            file(list, 0xC3, SNE_FILE);
        }
        if columns.contains(&Column::OtherNumber) {
            file(list, 0xC4, ANR_FILE);
        }
        if columns.contains(&Column::Group) {
            file(list, 0xC6, GRP_FILE);
        }
        file(list, 0xC9, UID);
    });
    if columns.contains(&Column::Email) {
        record.constructed(Tag(0xA9), |list| file(list, 0xCA, EMAIL_FILE));
    }
    record.constructed(Tag(0xAA), |list| {
        file(list, 0xC2, EXT1);
        if columns.contains(&Column::Group) {
            file(list, 0xC8, GAS_FILE);
        }
    });
    record.into_bytes()
}

fn wrong(at: usize, field: &'static str) -> impl FnOnce(String) -> SubscriberError {
    move |reason| SubscriberError::new("phonebook", reason).entry(at).within(field)
}

fn names(contacts: &[Contact], extensions: &mut Extensions) -> Result<Vec<Vec<u8>>, SubscriberError> {
    let entry = |(at, contact): (usize, &Contact)| {
        let dialled = Dialled { name: Some(contact.name.clone()), number: contact.number.clone() };
        record(&dialled, ADN, extensions).map_err(|(field, reason)| wrong(at, field)(reason))
    };
    contacts.iter().enumerate().map(entry).collect()
}

/// EF.ANR: no additional text, the number, no capabilities, the extension. TS 31.102 §4.4.2.9.
fn other_numbers(contacts: &[Contact], extensions: &mut Extensions) -> Result<Vec<Vec<u8>>, SubscriberError> {
    let entry = |(at, contact): (usize, &Contact)| {
        let Some(other) = &contact.other_number else { return Ok(vec![0xFF; ANR]) };
        let (digits, extension) = number(other, extensions).map_err(wrong(at, "other_number"))?;
        Ok([&[0x00][..], &digits, &[0xFF, extension]].concat())
    };
    contacts.iter().enumerate().map(entry).collect()
}

fn second_names(contacts: &[Contact]) -> Result<Vec<Vec<u8>>, SubscriberError> {
    let entry = |(at, contact): (usize, &Contact)| match &contact.second_name {
        Some(name) => filled_alpha(name, SNE).map_err(wrong(at, "second_name")),
        None => Ok(vec![0xFF; SNE]),
    };
    contacts.iter().enumerate().map(entry).collect()
}

/// EF.EMAIL, whose records name the entry they belong to, and EF.IAP, whose records name those.
fn emails(contacts: &[Contact]) -> Result<Pair, SubscriberError> {
    let (mut addresses, mut pointers) = (Vec::new(), Vec::new());
    for (at, contact) in contacts.iter().enumerate() {
        let Some(email) = &contact.email else {
            pointers.push(vec![0xFF]);
            continue;
        };
        if !email.contains('@') {
            return Err(wrong(at, "email")("has no @ in it".to_owned()));
        }
        let mut address = alpha(&email.as_str().into(), EMAIL).map_err(wrong(at, "email"))?;
        address.resize(EMAIL, 0xFF);
        address.extend([ADN_FILE.1, u8::try_from(at + 1).unwrap_or(0xFF)]);
        addresses.push(address);
        pointers.push(vec![u8::try_from(addresses.len()).unwrap_or(0xFF)]);
    }
    Ok((addresses, pointers))
}

/// EF.GAS, names of groups, and EF.GRP, their numbers for each entry.
fn groups(contacts: &[Contact]) -> Result<Pair, SubscriberError> {
    let (mut groups, mut members): Pair = (Vec::new(), Vec::new());
    for (at, contact) in contacts.iter().enumerate() {
        let mut member = vec![0; GRP];
        if let Some(group) = &contact.group {
            let name = filled_alpha(group, GAS).map_err(wrong(at, "group"))?;
            let number = groups.iter().position(|known| *known == name).unwrap_or_else(|| {
                groups.push(name);
                groups.len() - 1
            });
            if let Some(first) = member.first_mut() {
                *first = u8::try_from(number + 1).unwrap_or(0);
            }
        }
        members.push(member);
    }
    Ok((groups, members))
}
