//! What USIM and ISIM have in common: the shape of AUTHENTICATE, service tables, the PIN in front, authentication.

pub(crate) mod aka;
pub(crate) mod key_files;

use apdu::{Command, StatusWord};
use card_os::Context;
use card_os::fs::{FileId, KeyReference};

/// Whether service `number` (from 1) of a service table is available.
pub(crate) fn service(cx: &Context<'_, '_>, table: FileId, number: usize) -> bool {
    let Some(at) = number.checked_sub(1) else { return false };
    cx.file(&[table]).and_then(|table| table.get(at / 8)).is_some_and(|octet| octet >> (at % 8) & 1 == 1)
}

/// The PIN of the application has to be verified, or disabled; unless the access rules of the ADF name the command and say
/// what has to be.
pub(crate) fn require_pin(command: &Command<'_>, cx: &Context<'_, '_>) -> Result<(), StatusWord> {
    let satisfied = cx.allows(command).unwrap_or_else(|| cx.key_satisfied(application_pin(cx)));
    satisfied.then_some(()).ok_or(StatusWord::SECURITY_STATUS_NOT_SATISFIED)
}

/// The PIN that stands in front of an application: the first its ADF shows, of those that are an application's or the
/// universal one. TS 102 221 §9.4.1.
fn application_pin(cx: &Context<'_, '_>) -> KeyReference {
    let is_pin = |reference: &u8| matches!(*reference, 0x01..=0x08) || *reference == KeyReference::UNIVERSAL_PIN.0;
    cx.pin_status().iter().copied().find(is_pin).map_or(KeyReference::PIN_APPL_1, KeyReference)
}

/// Splits a value with its length before it off `data`.
pub(crate) fn counted(data: &[u8]) -> Result<(&[u8], &[u8]), StatusWord> {
    let (length, rest) = data.split_first().ok_or(StatusWord::WRONG_LENGTH)?;
    rest.split_at_checked(usize::from(*length)).ok_or(StatusWord::WRONG_LENGTH)
}

/// Appends a value with its length before it.
pub(crate) fn push_counted(out: &mut Vec<u8>, value: &[u8]) {
    out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(value);
}
