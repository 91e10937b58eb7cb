//! Contents of files of a USIM that lists, numbers and bits make up. Sections are of TS 31.102.

use apdu::tlv::Reader;

use crate::field::{Base, Field, hex};
use crate::file::{dialled, plmn};
use crate::names;

/// What an EF of this name holds; nothing if its coding is not known here.
pub(crate) fn read(name: &str, data: &[u8], base: Base) -> Vec<Field> {
    match name {
        "EF.OPL" => operator_networks(data, base, 2),
        "EF.OPL5G" => operator_networks(data, base, 3),
        "EF.SPDI" => display_networks(data, base),
        "EF.MBI" => mailboxes(data, base),
        "EF.MWIS" => waiting(data, base),
        "EF.CFIS" => forwarding(data, base),
        "EF.ACM" | "EF.ACMmax" | "EF.ICT" | "EF.OCT" => units(data, base),
        "EF.PUCT" => price(data, base),
        "EF.CBMI" | "EF.CBMID" => messages(data, base),
        "EF.CBMIR" => ranges(data, base),
        "EF.PWS" | "EF.PWS_SNPN" => bits(data, base, &["ignored at home", "ignored in visited networks"]),
        "EF.UAC_AIC" => bits(data, base, &["multimedia priority service", "mission critical services"]),
        "EF.LRPLMNSI" => choice(data, base, &["last registered network", "home network, or the last registered one"]),
        "EF.EHPLMNPI" => choice(data, base, &["no indication", "only the highest EHPLMN shown", "all EHPLMNs shown"]),
        "EF.FromPreferred" => choice(data, base, &["not preferred", "preferred"]),
        "EF.GAS" | "EF.SNE" | "EF.AAS" => vec![Field::text(names::NAME, sms::alpha::decode(data)).at(base, data.len())],
        "EF.ANR" => other_number(data, base),
        "EF.EMAIL" => email(data, base),
        "EF.GBABP" => bootstrapping(data, base),
        _ if name.starts_with("EF.EXT") => extension(data, base),
        _ => Vec::new(),
    }
}

/// §4.2.59, §4.4.11.9: network, first and last area, record of EF.PNN.
fn operator_networks(data: &[u8], base: Base, area: usize) -> Vec<Field> {
    let Some((network, rest)) = data.split_first_chunk::<3>() else {
        return vec![Field::malformed(data, base, "shorter than a network")];
    };
    let (Some(first), Some(last), Some(record)) = (rest.get(..area), rest.get(area..2 * area), rest.get(2 * area))
    else {
        return vec![Field::malformed(data, base, "shorter than a network, two areas and the number of a record")];
    };
    vec![
        Field::text(names::PLMN, plmn(*network)).at(base, 3),
        Field::octets(names::FIRST_AREA, first).at(base.plus(3), area),
        Field::octets(names::LAST_AREA, last).at(base.plus(3 + area), area),
        Field::number(names::PNN_RECORD, *record).at(base.plus(3 + 2 * area), 1),
    ]
}

/// §4.2.66: networks in A3, 80.
fn display_networks(data: &[u8], base: Base) -> Vec<Field> {
    let Ok(Some(outer)) = Reader::new(data).next() else { return Vec::new() };
    let Ok(Some(list)) = Reader::new(outer.value).next() else { return Vec::new() };
    let start = outer.raw.len() - outer.value.len() + list.raw.len() - list.value.len();
    let used = list.value.chunks_exact(3).enumerate().filter_map(|(at, entry)| Some((at, entry.first_chunk::<3>()?)));
    used.filter(|(_, entry)| **entry != [0xFF; 3])
        .map(|(at, entry)| Field::text(names::PLMN, plmn(*entry)).at(base.plus(start + 3 * at), 3))
        .collect()
}

/// Kinds of messages in EF.MBI and EF.MWIS.
const KINDS: [&str; 5] = ["voice mail", "fax", "electronic mail", "other", "video mail"];

/// §4.2.62: for each kind a record of EF.MBDN; 0 for none.
fn mailboxes(data: &[u8], base: Base) -> Vec<Field> {
    let used = data.iter().zip(KINDS).enumerate().filter(|(_, (record, _))| **record != 0);
    let fields: Vec<_> = used
        .map(|(at, (record, kind))| Field::number(names::MAILBOX, *record).meaning(kind).at(base.plus(at), 1))
        .collect();
    if fields.is_empty() {
        vec![Field::number(names::MAILBOX, 0_u8).meaning("none").at(base, data.len())]
    } else {
        fields
    }
}

/// §4.2.63: which kinds wait, and how many of each.
fn waiting(data: &[u8], base: Base) -> Vec<Field> {
    let Some((status, counts)) = data.split_first() else { return Vec::new() };
    let waits = |at: usize| status >> at & 1 == 1;
    let mut fields: Vec<_> = counts
        .iter()
        .zip(KINDS)
        .enumerate()
        .filter(|(at, _)| waits(*at))
        .map(|(at, (count, kind))| Field::number(names::WAITING, *count).meaning(kind).at(base.plus(1 + at), 1))
        .collect();
    if fields.is_empty() {
        fields.push(Field::number(names::WAITING, 0_u8).meaning("none").at(base, data.len()));
    }
    fields
}

/// §4.2.64: multiple subscriber profile, what is forwarded, where to.
fn forwarding(data: &[u8], base: Base) -> Vec<Field> {
    const SERVICES: [&str; 5] = ["voice", "fax", "data", "SMS", "all bearer services"];
    let Some((_, [status, rest @ ..])) = data.split_first() else { return Vec::new() };
    let set: Vec<&str> =
        SERVICES.iter().enumerate().filter(|(at, _)| status >> at & 1 == 1).map(|(_, name)| *name).collect();
    let words = if set.is_empty() { "nothing".to_owned() } else { set.join(", ") };
    let mut fields = vec![Field::text(names::FORWARDED, words).at(base.plus(1), 1)];
    fields.extend(number(rest).map(|number| Field::text(names::NUMBER, number).at(base.plus(2), 12)));
    fields
}

/// A number behind its length; nothing if there is none.
fn number(octets: &[u8]) -> Option<String> {
    let (length, rest) = octets.split_first()?;
    let (kind, digits) = rest.get(..usize::from(*length).min(11))?.split_first()?;
    (*length != 0xFF).then(|| dialled(*kind, digits))
}

/// Three octets: units, or seconds.
fn units(data: &[u8], base: Base) -> Vec<Field> {
    let [high, middle, low] = data else { return Vec::new() };
    vec![Field::number(names::UNITS, u32::from_be_bytes([0, *high, *middle, *low])).at(base, 3)]
}

/// §4.2.14: currency, twelve bits, the power of ten.
fn price(data: &[u8], base: Base) -> Vec<Field> {
    let Some((currency, [high, low])) = data.split_first_chunk::<3>() else { return Vec::new() };
    let price = u16::from(*high) << 4 | u16::from(low & 0x0F);
    let sign = if low & 0x10 == 0 { "" } else { "-" };
    let words = format!("{price} times 10 to the power of {sign}{}", low >> 5);
    vec![
        Field::text(names::CURRENCY, sms::alpha::decode(currency)).at(base, 3),
        Field::text(names::PRICE, words).at(base.plus(3), 2),
    ]
}

fn messages(data: &[u8], base: Base) -> Vec<Field> {
    let pairs = data.chunks_exact(2).enumerate().filter(|(_, pair)| **pair != [0xFF, 0xFF]);
    let identifier = |pair: &[u8]| pair.iter().fold(0, |value: u16, octet| value << 8 | u16::from(*octet));
    pairs
        .map(|(at, pair)| Field::text(names::CELL_BROADCAST, identifier(pair).to_string()).at(base.plus(2 * at), 2))
        .collect()
}

fn ranges(data: &[u8], base: Base) -> Vec<Field> {
    let used = data.chunks_exact(4).enumerate().filter_map(|(at, range)| Some((at, range.first_chunk::<4>()?)));
    used.filter(|(_, range)| **range != [0xFF; 4])
        .map(|(at, [a, b, c, d])| {
            let (first, last) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            Field::text(names::CELL_BROADCAST, format!("{first} to {last}")).at(base.plus(4 * at), 4)
        })
        .collect()
}

/// Bits of the first octet, from the lowest.
fn bits(data: &[u8], base: Base, words: &[&str]) -> Vec<Field> {
    let Some(bits) = data.first() else { return Vec::new() };
    let set: Vec<&str> =
        words.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, word)| *word).collect();
    let words = if set.is_empty() { "none".to_owned() } else { set.join(", ") };
    vec![Field::number(names::BITS, *bits).meaning(words).at(base, 1)]
}

/// One octet, a number of words.
fn choice(data: &[u8], base: Base, words: &[&str]) -> Vec<Field> {
    let Some(value) = data.first() else { return Vec::new() };
    let words = words.get(usize::from(*value)).copied().unwrap_or("reserved");
    vec![Field::number(names::BITS, *value).meaning(words).at(base, 1)]
}

/// §4.4.2.4: additional digits of a number, or a subaddress; the next record.
fn extension(data: &[u8], base: Base) -> Vec<Field> {
    let [kind, content @ .., next] = data else { return Vec::new() };
    let mut fields = Vec::new();
    match kind {
        0x02 => {
            let digits =
                content.split_first().map(|(length, digits)| digits.get(..usize::from(*length)).unwrap_or(digits));
            let text = dialled(0, digits.unwrap_or_default());
            fields.push(Field::text(names::NUMBER, text).meaning("additional digits").at(base.plus(1), content.len()));
        }
        0x01 => fields.push(
            Field::octets(names::SUBADDRESS, content)
                .meaning("called party subaddress")
                .at(base.plus(1), content.len()),
        ),
        _ => fields.push(Field::number(names::BITS, *kind).meaning("free").at(base, 1)),
    }
    if *next != 0xFF {
        fields.push(Field::number(names::NEXT_RECORD, *next).at(base.plus(data.len() - 1), 1));
    }
    fields
}

/// §4.4.2.9: additional text, number.
fn other_number(data: &[u8], base: Base) -> Vec<Field> {
    let rest = data.get(1..).unwrap_or_default();
    number(rest).map(|number| Field::text(names::NUMBER, number).at(base.plus(1), 12)).into_iter().collect()
}

/// §4.4.2.13: the address, and of a file that EF.IAP points into the entry that it belongs to.
fn email(data: &[u8], base: Base) -> Vec<Field> {
    let end = data.len().saturating_sub(2);
    let text = data.get(..end).unwrap_or(data);
    vec![Field::text(names::NAME, sms::alpha::decode(text)).at(base, text.len())]
}

/// §4.2.79: RAND, B-TID and lifetime, each behind its length.
fn bootstrapping(data: &[u8], base: Base) -> Vec<Field> {
    let (mut fields, mut at) = (Vec::new(), 0);
    for name in [names::GBA_RAND, names::GBA_IDENTIFIER, names::GBA_LIFETIME] {
        let length = data.get(at).copied().map_or(0, usize::from);
        let Some(value) = data.get(at + 1..at + 1 + length) else { break };
        if length > 0 {
            let text = core::str::from_utf8(value).ok().filter(|_| name.name == names::GBA_IDENTIFIER.name);
            let shown = text.map_or_else(|| hex(value), str::to_owned);
            fields.push(Field::text(name, shown).at(base.plus(at + 1), length));
        }
        at += 1 + length;
    }
    if fields.is_empty() {
        fields.push(Field::number(names::BITS, 0_u8).meaning("nothing is bootstrapped").at(base, data.len()));
    }
    fields
}
