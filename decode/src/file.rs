//! Contents of elementary files, by their names. TS 31.102 §4, TS 31.103 §4, TS 102 221 §13.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::channel::{Directory, File};
use crate::digits;
use crate::field::{Base, Field, hex};
use crate::names;
use crate::schema::Walk;
use crate::secret;
use crate::services::{EST, IST, UST};
use crate::tables::fcp::{ACCESS_RULE, APPLICATION_TEMPLATE};

/// What content is read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) directory: Directory,
    pub(crate) file: File,
    /// From which octet.
    pub(crate) offset: usize,
    /// Of which record; none of a transparent file.
    pub(crate) record: Option<u8>,
}

impl Content {
    /// Whether the file holds keys.
    pub(crate) fn holds_keys(&self) -> bool {
        secret::is_key_file(&self.directory, &self.file)
    }
}

/// The content as fields, inside one for the whole.
pub(crate) fn fields(content: &Content, data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    if content.holds_keys() && !walk.secrets {
        return key_file(content, data, base, walk);
    }
    let octets = Field::octets(names::DATA, data).at(base, data.len());
    let reading = content.file.name.filter(|_| content.offset == 0).map(|name| read(name, data, base, walk));
    match reading {
        Some(fields) if !fields.is_empty() => {
            let name = content.file.name.unwrap_or_default();
            vec![octets, Field::group(names::CONTENT, fields).meaning(name).at(base, data.len())]
        }
        _ => vec![octets],
    }
}

/// The content of a file of keys without them. Where there are none yet, it says so.
fn key_file(content: &Content, data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let from = secret::keys_from(content.file.name, content.offset).min(data.len());
    let (open, keys) = data.split_at(from);
    let hidden = walk.secret(names::DATA, keys).at(base.plus(from), keys.len());
    let read = match open {
        [identifier] => vec![key_set(*identifier, base)],
        _ => Vec::new(),
    };
    if read.is_empty() {
        return vec![hidden];
    }
    let group = Field::group(names::CONTENT, read).meaning(content.file.name.unwrap_or_default());
    vec![hidden, group.at(base, data.len())]
}

/// What an EF of this name holds; nothing if its coding is not known here.
fn read(name: &str, data: &[u8], base: Base, walk: Walk) -> Vec<Field> {
    let whole = |field: Field| vec![field.at(base, data.len())];
    if !data.is_empty() && data.iter().all(|octet| *octet == 0xFF) {
        return whole(Field::new(names::FREE, crate::field::Value::Flag(true)));
    }
    match name {
        "EF.ICCID" => whole(digit_field(names::ICCID, digits::swapped(data))),
        "EF.IMSI" => whole(digit_field(names::IMSI, imsi(data))),
        "EF.AD" => administrative_data(data, base),
        "EF.SPN" => service_provider_name(data, base),
        "EF.UST" => services(data, base, UST),
        "EF.IST" => services(data, base, IST),
        "EF.EST" => services(data, base, EST),
        "EF.MSISDN" | "EF.ADN" | "EF.FDN" | "EF.SDN" | "EF.BDN" | "EF.LND" | "EF.MBDN" => dialling_number(data, base),
        "EF.PLMNwAcT" | "EF.OPLMNwAcT" | "EF.HPLMNwAcT" => plmns_with_technology(data, base),
        "EF.FPLMN" | "EF.EHPLMN" | "EF.PLMNsel" => plmns(data, base),
        "EF.SMSP" => message_parameters(data, base),
        "EF.SMS" => crate::sms::record(data, base, walk),
        "EF.DIR" => Walk::new(false).fields(APPLICATION_TEMPLATE, objects(data), base),
        "EF.ARR" => Walk::new(false).fields(ACCESS_RULE, objects(data), base),
        "EF.LI" | "EF.PL" => languages(data, base),
        "EF.ACC" => access_classes(data, base),
        "EF.HPPLMN" => period(data, base),
        "EF.LOCI" => location(&LOCI, data, base),
        "EF.PSLOCI" | "EF.LOCIGPRS" => location(&PSLOCI, data, base),
        "EF.EPSLOCI" => location(&EPSLOCI, data, base),
        "EF.5GS3GPPLOCI" | "EF.5GSN3GPPLOCI" => location(&FIVE_GS_LOCI, data, base),
        "EF.SST" => crate::gsm::services(data, base),
        "EF.ECC (SIM)" => crate::gsm::emergency(data, base),
        "EF.Phase" => crate::gsm::phase(data, base),
        "EF.Keys" | "EF.KeysPS" => keys(data, base),
        "EF.GID1" | "EF.GID2" => whole(Field::octets(names::DATA, data)),
        "EF.PNN" => network_name(data, base),
        "EF.IMPI" | "EF.IMPU" | "EF.DOMAIN" | "EF.Domain" => uri(data, base, false),
        "EF.PCSCF" | "EF.P-CSCF" => uri(data, base, true),
        "EF.ECC" => emergency(data, base),
        "EF.Routing_Indicator" => routing_indicator(data, base),
        other => crate::usim_file::read(other, data, base),
    }
}

/// Without the FF that fills up a record, or a text.
fn trimmed(data: &[u8]) -> &[u8] {
    let end = data.iter().rposition(|octet| *octet != 0xFF).map_or(0, |last| last + 1);
    data.get(..end).unwrap_or(data)
}

/// The TLVs at the start of a record, without what fills it up: FF, or 00 on some cards.
fn objects(data: &[u8]) -> &[u8] {
    let mut reader = apdu::tlv::Reader::new(data);
    while !matches!(reader.rest().first(), None | Some(0x00 | 0xFF)) {
        if !matches!(reader.next(), Ok(Some(_))) {
            return data;
        }
    }
    let filling = reader.rest();
    let fills = filling.iter().all(|octet| Some(octet) == filling.first());
    if fills { data.get(..data.len() - filling.len()).unwrap_or(data) } else { data }
}

/// MCC and MNC. TS 24.008 §10.5.1.3
pub(crate) fn plmn(octets: [u8; 3]) -> String {
    let [a, b, c] = octets;
    let third = if b >> 4 == 0xF { String::new() } else { format!("{:X}", b >> 4) };
    format!("{:X}{:X}{:X}-{:X}{:X}{third}", a & 0xF, a >> 4, b & 0xF, c & 0xF, c >> 4)
}

/// TS 31.102 §4.2.2: after a length, a half octet of parity, then digits.
fn imsi(data: &[u8]) -> String {
    let length = usize::from(data.first().copied().unwrap_or_default());
    let digits =
        digits::swapped(data.get(1..).and_then(|digits| digits.get(..length).or(Some(digits))).unwrap_or_default());
    digits.get(1..).unwrap_or_default().to_owned()
}

fn digit_field(name: crate::field::Name, digits: String) -> Field {
    let meaning = digits::strange(&digits);
    Field::text(name, digits).meaning_if(meaning)
}

/// A number behind its type: `+` if it is international. TS 24.008 §10.5.4.7
pub(crate) fn dialled(kind: u8, digits: &[u8]) -> String {
    let plus = if kind & 0x70 == 0x10 { "+" } else { "" };
    let number: String = digits::swapped(digits)
        .chars()
        .map(|digit| match digit {
            'A' => '*',
            'B' => '#',
            'C' => 'p',
            other => other,
        })
        .collect();
    format!("{plus}{number}")
}

/// TS 31.102 §4.2.18.
fn administrative_data(data: &[u8], base: Base) -> Vec<Field> {
    let Some(&mode) = data.first() else { return Vec::new() };
    let words = match mode {
        0x00 => "normal operation",
        0x01 => "normal operation and specific facilities",
        0x02 => "maintenance (off line)",
        0x04 => "cell test operation",
        0x80 => "type approval operations",
        0x81 => "type approval operations and specific facilities",
        _ => "reserved",
    };
    let mut fields = vec![Field::number(names::AD_MODE, mode).meaning(words).at(base, 1)];
    fields.extend(data.get(3).map(|length| Field::number(names::MNC_LENGTH, length & 0x0F).at(base.plus(3), 1)));
    fields
}

/// TS 31.102 §4.2.12.
fn service_provider_name(data: &[u8], base: Base) -> Vec<Field> {
    let Some((condition, name)) = data.split_first() else { return Vec::new() };
    vec![
        Field::number(names::SPN_CONDITION, *condition).at(base, 1),
        Field::text(names::NAME, sms::alpha::decode(name)).at(base.plus(1), name.len()),
    ]
}

/// Services that are set, from the lowest bit of the first octet on.
fn services(data: &[u8], base: Base, table: &[(usize, &str)]) -> Vec<Field> {
    let set = (0..data.len() * 8).filter(|bit| data.get(bit / 8).is_some_and(|octet| octet >> (bit % 8) & 1 == 1));
    set.map(|bit| {
        let name = table.iter().find(|(number, _)| *number == bit + 1).map(|(_, name)| *name);
        let name = name.map_or_else(|| "without a name here".to_owned(), str::to_owned);
        Field::text(names::SERVICE, format!("{}: {name}", bit + 1)).at(base.plus(bit / 8), 1)
    })
    .collect()
}

/// TS 31.102 §4.4.2.3: alpha identifier, and fourteen octets.
fn dialling_number(data: &[u8], base: Base) -> Vec<Field> {
    const FOOTER: usize = 14;
    let Some((name, footer)) = data.len().checked_sub(FOOTER).and_then(|at| data.split_at_checked(at)) else {
        return vec![Field::malformed(data, base, "shorter than the fourteen octets of a number")];
    };
    let mut fields = vec![Field::text(names::NAME, sms::alpha::decode(name)).at(base, name.len())];
    let length = usize::from(footer.first().copied().unwrap_or_default());
    if let Some(([kind], digits)) = footer.get(1..(1 + length).min(11)).and_then(|number| number.split_first_chunk()) {
        fields.push(Field::text(names::NUMBER, dialled(*kind, digits)).at(base.plus(name.len() + 1), 1 + digits.len()));
    }
    fields
}

/// TS 31.102 §4.2.5: PLMN and two octets of access technologies.
fn plmns_with_technology(data: &[u8], base: Base) -> Vec<Field> {
    let entries = data.chunks_exact(5).enumerate().filter(|(_, entry)| !entry.starts_with(&[0xFF, 0xFF, 0xFF]));
    entries
        .filter_map(|(at, entry)| {
            let (operator, technologies) = entry.split_first_chunk::<3>()?;
            let bits = technologies.iter().fold(0, |bits, octet| bits << 8 | u16::from(*octet));
            Some(Field::text(names::PLMN, plmn(*operator)).meaning(technologies_of(bits)).at(base.plus(5 * at), 5))
        })
        .collect()
}

/// Tables 4.2.5.1 and 4.2.5.2: E-UTRAN and GSM have bits that narrow them down.
fn technologies_of(bits: u16) -> String {
    const TECHNOLOGIES: [(u16, u16, &str); 12] = [
        (0x8000, 0x8000, "UTRAN"),
        (0x7000, 0x4000, "E-UTRAN"),
        (0x7000, 0x7000, "E-UTRAN"),
        (0x7000, 0x6000, "E-UTRAN WB-S1"),
        (0x7000, 0x5000, "E-UTRAN NB-S1"),
        (0x0800, 0x0800, "NG-RAN"),
        (0x0400, 0x0400, "satellite NG-RAN"),
        (0x0080, 0x0080, "GSM"),
        (0x0008, 0x0008, "EC-GSM-IoT"),
        (0x0040, 0x0040, "GSM COMPACT"),
        (0x0020, 0x0020, "cdma2000 HRPD"),
        (0x0010, 0x0010, "cdma2000 1xRTT"),
    ];
    // EC-GSM-IoT alone has bit 8 as well.
    let only_iot = bits & 0x008C == 0x0088;
    let set = TECHNOLOGIES.iter().filter(|(mask, value, _)| bits & mask == *value && !(only_iot && *value == 0x0080));
    let words: Vec<&str> = set.map(|(.., name)| *name).collect();
    if words.is_empty() { "no technology".to_owned() } else { words.join(", ") }
}

fn plmns(data: &[u8], base: Base) -> Vec<Field> {
    let entries = data.chunks_exact(3).enumerate().filter_map(|(at, entry)| Some((at, entry.first_chunk::<3>()?)));
    let used = entries.filter(|(_, entry)| **entry != [0xFF; 3]);
    used.map(|(at, entry)| Field::text(names::PLMN, plmn(*entry)).at(base.plus(3 * at), 3)).collect()
}

/// TS 31.102 §4.2.27: alpha identifier, and 28 octets with the service centre at the fourteenth.
fn message_parameters(data: &[u8], base: Base) -> Vec<Field> {
    const FOOTER: usize = 28;
    let Some((name, footer)) = data.len().checked_sub(FOOTER).and_then(|at| data.split_at_checked(at)) else {
        return vec![Field::malformed(data, base, "shorter than the 28 octets of parameters")];
    };
    let mut fields = vec![Field::text(names::NAME, sms::alpha::decode(name)).at(base, name.len())];
    // The destination has its digits counted, as in a TPDU; of the service centre the octets are, as in an RP address.
    let number = |at: usize, octets: fn(usize) -> usize| {
        let length = usize::from(*footer.get(at)?);
        let ([kind], digits) = footer.get(at + 1..at + 1 + octets(length).min(11))?.split_first_chunk()?;
        (length != 0xFF).then(|| dialled(*kind, digits))
    };
    let place = |at| base.plus(name.len() + at);
    fields.extend(
        number(1, |digits| 1 + digits.div_ceil(2))
            .filter(|_| footer.first().is_some_and(|present| present & 0x01 == 0))
            .map(|to| Field::text(names::NUMBER, to).at(place(1), 12)),
    );
    fields.extend(number(13, |octets| octets).map(|centre| Field::text(names::SMS_CENTRE, centre).at(place(13), 12)));
    fields
}

/// TS 102 221 §13.3, TS 31.102 §4.2.1: two letters each.
fn languages(data: &[u8], base: Base) -> Vec<Field> {
    let entries = data.chunks_exact(2).enumerate().filter(|(_, entry)| **entry != [0xFF, 0xFF]);
    entries
        .map(|(at, entry)| Field::text(names::LANGUAGE, String::from_utf8_lossy(entry)).at(base.plus(2 * at), 2))
        .collect()
}

/// TS 31.102 §4.2.15.
fn access_classes(data: &[u8], base: Base) -> Vec<Field> {
    let bits = data.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
    let classes: Vec<String> = (0..16).filter(|class| bits >> class & 1 == 1).map(|class| class.to_string()).collect();
    vec![Field::text(names::ACCESS_CLASSES, classes.join(", ")).at(base, data.len())]
}

/// TS 31.102 §4.2.6: in steps of six minutes.
fn period(data: &[u8], base: Base) -> Vec<Field> {
    let [interval] = data else { return Vec::new() };
    let words = if *interval == 0 { "no search".to_owned() } else { format!("{} min", u16::from(*interval) * 6) };
    vec![Field::text(names::PERIOD, words).at(base, 1)]
}

/// EF.LOCI and its relatives: identities, an area, what is between that and the update status at the end.
struct Location {
    identities: &'static [(crate::field::Name, usize)],
    area: usize,
    statuses: &'static [&'static str],
}

/// TS 31.102 §4.2.17: TMSI, LAI, an octet that is reserved.
const LOCI: Location = Location {
    identities: &[(names::TMSI, 4)],
    area: 5,
    statuses: &["updated", "not updated", "PLMN not allowed", "location area not allowed"],
};
/// §4.2.23: P-TMSI and its signature, RAI.
const PSLOCI: Location = Location {
    identities: &[(names::TMSI, 4), (names::SIGNATURE, 3)],
    area: 6,
    statuses: &["updated", "not updated", "PLMN not allowed", "routing area not allowed"],
};
/// §4.2.91: GUTI, last visited TAI.
const EPSLOCI: Location = Location {
    identities: &[(names::GUTI, 12)],
    area: 5,
    statuses: &["updated", "not updated", "roaming not allowed"],
};
/// §4.4.11.2: 5G-GUTI, last visited TAI with three octets of TAC.
const FIVE_GS_LOCI: Location = Location {
    identities: &[(names::GUTI, 13)],
    area: 6,
    statuses: &["updated", "not updated", "roaming not allowed"],
};

fn location(layout: &Location, data: &[u8], base: Base) -> Vec<Field> {
    let Some((status, rest)) = data.split_last() else { return Vec::new() };
    let (mut at, mut fields) = (0, Vec::new());
    for (name, length) in layout.identities {
        let Some(identity) = rest.get(at..at + length) else {
            return vec![Field::malformed(data, base, format!("shorter than {} and what is behind it", name.label))];
        };
        fields.push(Field::octets(*name, identity).at(base.plus(at), *length));
        at += length;
    }
    let Some(area) = rest.get(at..at + layout.area) else {
        return vec![Field::malformed(data, base, "shorter than a location and its status")];
    };
    if let Some((operator, _)) = area.split_first_chunk::<3>().filter(|(operator, _)| **operator != [0xFF; 3]) {
        fields.push(Field::text(names::PLMN, plmn(*operator)).at(base.plus(at), 3));
    }
    fields.push(Field::octets(names::LOCATION, area).at(base.plus(at), layout.area));
    let words = layout.statuses.get(usize::from(status & 0x07)).copied().unwrap_or("reserved");
    fields.push(Field::number(names::UPDATE_STATUS, *status).meaning(words).at(base.plus(rest.len()), 1));
    fields
}

/// TS 31.102 §4.2.3.
fn key_set(identifier: u8, base: Base) -> Field {
    let words = (identifier & 0x07 == 0x07).then_some("no keys");
    Field::number(names::KSI, identifier).meaning_if(words).at(base, 1)
}

/// TS 31.102 §4.2.3: key set identifier, CK, IK.
fn keys(data: &[u8], base: Base) -> Vec<Field> {
    let Some((identifier, keys)) = data.split_first() else { return Vec::new() };
    vec![key_set(*identifier, base), Field::octets(names::KEY_BYTES, keys).at(base.plus(1), keys.len())]
}

/// TS 31.102 §4.2.58, TS 24.008 §10.5.3.5a.
fn network_name(data: &[u8], base: Base) -> Vec<Field> {
    let mut reader = apdu::tlv::Reader::new(trimmed(data));
    let mut fields = Vec::new();
    while let Ok(Some(tlv)) = reader.next() {
        let Some((coding, text)) = tlv.value.split_first() else { continue };
        let name = if coding & 0x70 == 0x10 {
            sms::coding::decode_ucs2(text)
        } else {
            let spare = usize::from(coding & 0x07);
            sms::alphabet::decode(&sms::alphabet::unpack(text, 0, (text.len() * 8).saturating_sub(spare) / 7))
        };
        fields.push(Field::text(names::NAME, name).at(base, data.len()));
    }
    fields
}

/// TS 31.103 §4.2.2 to §4.2.4, §4.2.8: text in a TLV with tag 80; of a P-CSCF behind an octet that says what kind of address it is.
fn uri(data: &[u8], base: Base, is_address: bool) -> Vec<Field> {
    match apdu::tlv::Reader::new(data).next() {
        Ok(Some(tlv)) if tlv.tag.0 == 0x80 => {
            let (kind, text) = match tlv.value.split_first() {
                Some((kind, address)) if is_address => (*kind, address),
                _ => (0x00, tlv.value),
            };
            let shown = address(kind, text).unwrap_or_else(|| String::from_utf8_lossy(text).into_owned());
            let place = base.plus(tlv.raw.len() - text.len());
            vec![Field::text(names::URI, shown).at(place, text.len())]
        }
        Ok(_) => Vec::new(),
        Err(error) => vec![Field::malformed(data, base, error.to_string())],
    }
}

/// An IP address; nothing of a name.
fn address(kind: u8, octets: &[u8]) -> Option<String> {
    match kind {
        0x01 => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        0x02 => <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).to_string()),
        _ => None,
    }
}

/// TS 31.102 §4.2.21.
fn emergency(data: &[u8], base: Base) -> Vec<Field> {
    let Some((number, rest)) = data.split_at_checked(3) else { return Vec::new() };
    let mut fields = vec![Field::text(names::NUMBER, dialled(0, number)).at(base, 3)];
    if let Some((_, name)) = rest.split_last() {
        fields.push(Field::text(names::NAME, sms::alpha::decode(name)).at(base.plus(3), name.len()));
    }
    fields
}

/// TS 31.102 §4.4.11.11.
fn routing_indicator(data: &[u8], base: Base) -> Vec<Field> {
    let digits = data.get(..2).unwrap_or_default();
    let field = digit_field(names::ROUTING, digits::swapped(digits)).at(base, 2.min(data.len()));
    vec![if digits.is_empty() { field.meaning(hex(data)) } else { field }]
}
