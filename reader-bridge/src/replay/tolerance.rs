//! Which parts of a command may differ from the recorded one: what a host draws or chooses anew each time.

use apdu::tlv::Reader;
use apdu::{Ins, SecureMessaging};

use super::recording::{Key, Selected};

/// What may differ in the data of an ES10 command.
enum Free {
    /// All of it.
    Whole,
    /// Elements with these tags.
    Elements(&'static [u32]),
}

/// ES10 and ES8+ commands with parts that change from session to session, by the first tag of their data. SGP.22 §5.5, §5.7.
const FREE: &[(u32, Free)] = &[
    // AuthenticateServer: challenges, transactionId, signature, what the device says of itself.
    (0xBF38, Free::Whole),
    // PrepareDownload: transactionId, signature, hashed confirmation code.
    (0xBF21, Free::Whole),
    // CancelSession: transactionId, not the reason.
    (0xBF41, Free::Elements(&[0x80])),
    // Segments of a bound profile package: one-time keys, and what is encrypted with them.
    (0xBF36, Free::Whole),
    (0xA0, Free::Whole),
    (0xA1, Free::Whole),
    (0xA2, Free::Whole),
    (0xA3, Free::Whole),
    (0x86, Free::Whole),
    (0x87, Free::Whole),
    (0x88, Free::Whole),
];

/// Instructions whose data, of one length, a host draws: RAND and AUTN, challenges, what a terminal can do.
const FREE_DATA: &[Ins] = &[
    Ins::AUTHENTICATE,
    Ins::INITIALIZE_UPDATE,
    Ins::EXTERNAL_AUTHENTICATE,
    Ins::TERMINAL_PROFILE,
    Ins::TERMINAL_CAPABILITY,
];

/// ES10 commands that only ask. §5.7
const READING: &[u32] = &[0xBF20, 0xBF22, 0xBF28, 0xBF2B, 0xBF2D, 0xBF2E, 0xBF3C, 0xBF3E, 0xBF43];

/// Instructions that leave the card's memory as it is, but for counters.
const READING_INS: &[Ins] = &[
    Ins::SELECT,
    Ins::READ_BINARY,
    Ins::READ_RECORD,
    Ins::SEARCH_RECORD,
    Ins::GET_RESPONSE,
    Ins::STATUS,
    Ins::GET_DATA,
    Ins::GET_CHALLENGE,
    Ins::MANAGE_CHANNEL,
    Ins::AUTHENTICATE,
    Ins::TERMINAL_PROFILE,
    Ins::TERMINAL_CAPABILITY,
    Ins::VERIFY_PIN,
];

/// Instructions that mean what is selected.
const ON_SELECTED: &[Ins] = &[
    Ins::READ_BINARY,
    Ins::READ_RECORD,
    Ins::SEARCH_RECORD,
    Ins::UPDATE_BINARY,
    Ins::UPDATE_RECORD,
    Ins::INCREASE,
    Ins::STATUS,
];

/// How alike two commands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alike {
    /// They are the same, on whatever channel.
    Same,
    /// They differ in the length asked for.
    OtherLe,
    /// They differ in what changes from session to session.
    Tolerated,
}

/// How alike these commands are; `None` if they are different ones.
pub(super) fn alike(recorded: &Key, asked: &Key) -> Option<Alike> {
    let is_close = |key: &Key| key.ins == Ins::MANAGE_CHANNEL && key.p1 == 0x80;
    if is_close(recorded) && is_close(asked) {
        return Some(if recorded.p2 == asked.p2 { Alike::Same } else { Alike::Tolerated });
    }
    if recorded.header() != asked.header() {
        return None;
    }
    if recorded.data == asked.data {
        return Some(if recorded.ne == asked.ne { Alike::Same } else { Alike::OtherLe });
    }
    if recorded.is_alike_but_for_secrets(&asked.data) {
        return Some(Alike::Tolerated);
    }
    let is_drawn = FREE_DATA.contains(&asked.ins) || asked.protection == SecureMessaging::Proprietary;
    if is_drawn && recorded.data.len() == asked.data.len() {
        return Some(Alike::Tolerated);
    }
    (asked.ins == Ins::STORE_DATA && differs_where_free(&recorded.data, &asked.data)).then_some(Alike::Tolerated)
}

fn differs_where_free(recorded: &[u8], asked: &[u8]) -> bool {
    let Some(tag) = first_tag(recorded).filter(|tag| first_tag(asked) == Some(*tag)) else { return false };
    match FREE.iter().find(|(free, _)| *free == tag) {
        None => false,
        Some((_, Free::Whole)) => true,
        Some((_, Free::Elements(tags))) => {
            rest_of(recorded, tags).is_some_and(|rest| rest_of(asked, tags) == Some(rest))
        }
    }
}

/// The elements of the first TLV without those that are free.
fn rest_of(data: &[u8], free: &[u32]) -> Option<Vec<Vec<u8>>> {
    let mut children = Reader::new(data).next().ok()??.children();
    let mut rest = Vec::new();
    while let Some(child) = children.next().ok()? {
        if !free.contains(&child.tag.0) {
            rest.push(child.raw.to_vec());
        }
    }
    Some(rest)
}

/// The tag that data begins with.
pub(super) fn first_tag(data: &[u8]) -> Option<u32> {
    apdu::tlv::Header::parse(data).ok().flatten().map(|header| header.tag.0)
}

/// Whether a command that the card has carried out changes what later ones are answered.
pub(super) fn changes(key: &Key) -> bool {
    if key.ins == Ins::STORE_DATA {
        return first_tag(&key.data).is_none_or(|tag| !READING.contains(&tag));
    }
    !READING_INS.contains(&key.ins)
}

/// Whether a command means the same after what was selected then and now.
pub(super) fn is_meant(key: &Key, then: &Selected, now: &Selected) -> bool {
    if key.ins == Ins::SELECT {
        return key.p1 != 0 || key.data == [0x3F, 0x00] || then.directory() == now.directory();
    }
    !ON_SELECTED.contains(&key.ins) || then == now
}

/// How near two commands are that are not alike; more is nearer.
pub(super) fn nearness(recorded: &Key, asked: &Key) -> usize {
    let same = |left: &[u8], right: &[u8]| left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let [class, ins, p1, p2] = recorded.header();
    let [asked_class, asked_ins, asked_p1, asked_p2] = asked.header();
    let header = [(ins == asked_ins, 1000), (class == asked_class, 100), (p1 == asked_p1, 50), (p2 == asked_p2, 50)];
    let header: usize = header.iter().filter_map(|(is_same, points)| is_same.then_some(points)).sum();
    header + 10 * same(&recorded.data, &asked.data) + usize::from(recorded.data.len() == asked.data.len())
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn key(command: &[u8]) -> Key {
        Key::of(command).unwrap().1
    }

    #[test]
    fn what_is_drawn_may_differ_and_what_is_chosen_may_not() {
        for (recorded, asked, expected) in [
            (&hex!("81E2910003 BF2E00")[..], &hex!("82E2910003 BF2E00")[..], Some(Alike::Same)),
            (&hex!("80E2910003 BF2E00"), &hex!("80E2910003 BF2E0000"), Some(Alike::OtherLe)),
            (&hex!("80E2910003 BF2E00"), &hex!("80E2910003 BF2000"), None),
            (&hex!("80E2910007 BF380480021122"), &hex!("80E2910007 BF380480023344"), Some(Alike::Tolerated)),
            (
                &hex!("80E291000A BF41078002112281 0101"),
                &hex!("80E291000A BF41078002334481 0101"),
                Some(Alike::Tolerated),
            ),
            (&hex!("80E291000A BF41078002112281 0101"), &hex!("80E291000A BF41078002112281 0102"), None),
            (&hex!("80E2910007 BF310480021122"), &hex!("80E2910007 BF310480023344"), None),
            (&hex!("00A40004023F00"), &hex!("00A40004022FE2"), None),
            (&hex!("00A40004023F00"), &hex!("00A4000C023F00"), None),
            (&hex!("0070800100"), &hex!("0070800200"), Some(Alike::Tolerated)),
            (b"\x00\x20\x00\x01\x08********", b"\x00\x20\x00\x01\x0812345678", Some(Alike::Tolerated)),
            (b"\x00\x20\x00\x01\x08********", b"\x00\x20\x00\x02\x0812345678", None),
        ] {
            assert_eq!(alike(&key(recorded), &key(asked)), expected, "{recorded:02X?} {asked:02X?}");
        }
    }

    #[test]
    fn what_changes_a_card_is_known() {
        assert!(changes(&key(&hex!("80E2910007 BF310480021122"))));
        assert!(changes(&key(&hex!("00D6000001FF"))));
        assert!(!changes(&key(&hex!("80E2910003 BF2D00"))));
        assert!(!changes(&key(&hex!("00B0000000"))));
    }
}
