//! Which services a subscriber's applications have. Their files follow from that, so that service tables and files agree.

use std::collections::{BTreeMap, BTreeSet};

use super::subscriber::{Subscriber, SubscriberError, SuciCalculation};
use super::usim_fields::Wanted;
use crate::templates::{self, Row, RowKind, Template, When};
use crate::ust;

/// Templates that the files of an application are in, each in its versions; the newest is last.
pub(super) type Family = &'static [&'static [&'static Template]];

/// Those of the USIM, and of the MF's telecommunication directory, whose files go by its services.
pub(super) const USIM_FAMILY: Family = &[
    &[&templates::USIM],
    &[&templates::OPT_USIM, &templates::OPT_USIM_V2, &templates::OPT_USIM_V3],
    &[&templates::GSM_ACCESS],
    &[&templates::DF_5GS, &templates::DF_5GS_V2, &templates::DF_5GS_V3, &templates::DF_5GS_V4],
    &[&templates::DF_SAIP],
    &[&templates::DF_SNPN],
    &[&templates::DF_5G_PROSE],
    &[&templates::USIM_FURTHER],
    &[&templates::PHONEBOOK],
    &[&templates::TELECOM, &templates::TELECOM_V2],
];

/// Those of the ISIM.
pub(super) const ISIM_FAMILY: Family = &[&[&templates::ISIM], &[&templates::OPT_ISIM, &templates::OPT_ISIM_V2]];

/// Services of EF.UST that the card of an operator has for every subscriber.
const USUAL: &[u16] =
    &[2, 3, 4, 5, 10, 11, 12, 13, 15, 16, 17, 18, 20, 29, 42, 43, 47, 48, 49, 51, 71, 74, 85, 97, 102, 122, 123, 126];

/// Files that no service brings, and that the card of an operator has.
const USUAL_FILES: &[&str] = &["EF.HiddenKey"];

/// Files that other fields of the description, or nothing, decide on.
const OWN: &[&str] = &[
    "ADF.USIM",
    "EF.IMSI",
    "EF.ARR",
    "EF.UST",
    "EF.EST",
    "EF.ACC",
    "EF.AD",
    "ADF.ISIM",
    "EF.IMPI",
    "EF.IMPU",
    "EF.Domain",
    "EF.IST",
    "DF.TELECOM",
    "EF.LI",
    "EF.PBR",
    "EF.ADN",
    "EF.EXT1",
    "EF.UID",
    "EF.PSC",
    "EF.CC",
    "EF.PUID",
    "EF.IAP",
    "EF.AAS",
];

/// A service that wants another. TS 31.102 §4.2.8 and the files concerned.
const NEEDS: &[(u16, u16)] = &[
    (2, 34),
    (3, 2),
    (5, 4),
    (6, 34),
    (7, 6),
    (35, 34),
    (38, 27),
    (39, 27),
    (40, 27),
    (46, 45),
    (53, 52),
    (55, 52),
    (73, 71),
    (76, 68),
    (78, 19),
    (79, 45),
    (106, 107),
    (107, 106),
    (110, 111),
    (111, 110),
    (118, 117),
    (125, 124),
    (131, 117),
    (136, 122),
];

/// Of an ISIM. TS 31.103 §4.2.7.
const ISIM_NEEDS: &[(u16, u16)] = &[(4, 2)];

/// Services that have a field of their own in the description.
const BOUND: &[(u16, &str)] = &[
    (1, "usim.local_phonebook"),
    (19, "spn"),
    (21, "msisdn"),
    (27, "gsm_access"),
    (33, "nothing: it is always there"),
    (38, "gsm_access"),
    (89, "usim.ecall"),
    (124, "suci"),
    (125, "suci"),
];

/// Services that are not there beside an ISIM, which has them.
const NOT_BESIDE_ISIM: &[u16] = &[95, 99, 115];

/// Numbers that are no service.
const RESERVED: &[u16] = &[26, 50, 98];
/// The last one that is known.
const LAST: u16 = 150;
const LAST_OF_ISIM: u16 = 22;

/// What an application has.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Services that are available.
    pub(super) services: BTreeSet<u16>,
    /// Files beside those of the services.
    pub(super) further: BTreeSet<&'static str>,
    /// Contents in hexadecimal: octets, or records.
    pub(super) contents: BTreeMap<&'static str, Vec<Vec<u8>>>,
}

impl Selection {
    /// Whether a file is there.
    pub(super) fn has(&self, row: &Row, is_mandatory: bool) -> bool {
        row.when.holds(|service| self.services.contains(&service)).unwrap_or(is_mandatory)
            || self.further.contains(row.name)
    }

    /// The service table, at least so many octets long.
    pub(super) fn table(&self, length: usize) -> Vec<u8> {
        let last = self.services.last().map_or(0, |last| usize::from(*last).div_ceil(8));
        let services: Vec<usize> = self.services.iter().map(|service| (*service).into()).collect();
        super::ef::service_table(&services, length.max(last))
    }

    /// The USIM of a subscriber. `asked` are the services that fields ask for, each with its field.
    pub(super) fn usim(subscriber: &Subscriber, asked: &[(u16, &'static str)]) -> Result<Self, SubscriberError> {
        let usim = &subscriber.usim;
        let mut wish = Wish::new("usim", USIM_FAMILY, NEEDS);
        wish.usual = USUAL.iter().copied().chain(of_fields(subscriber)).collect();
        wish.further.extend(USUAL_FILES);
        for (service, field) in asked {
            wish.asked.insert(*service, SubscriberError::new(field, ""));
        }
        wish.services(&usim.services, "usim.services", LAST)?;
        for (at, service) in usim.without_services.iter().enumerate() {
            let error = SubscriberError::new("usim.without_services", "").entry(at);
            check_number(*service, LAST, &error)?;
            wish.removed.insert(*service, error);
        }
        wish.files(&usim.files)?;
        let is_usual = wish.usual.clone();
        for (service, field) in BOUND {
            let has = is_usual.contains(service);
            let wrong = if has { wish.removed.get(service) } else { wish.asked.get(service) };
            if let Some(error) = wrong.filter(|error| error.field.starts_with("usim.") && error.field != *field) {
                let reason = format!("service {service} goes by {field}");
                return Err(SubscriberError { reason, ..error.clone() });
            }
        }
        if subscriber.ims.is_some()
            && let Some((service, error)) = wish.asked.iter().find(|(service, _)| NOT_BESIDE_ISIM.contains(service))
        {
            let reason = format!("service {service} is the ISIM's where there is one, and there is `ims`");
            return Err(SubscriberError { reason, ..error.clone() });
        }
        wish.granted()
    }

    /// The ISIM of a subscriber.
    pub(super) fn isim(subscriber: &Subscriber) -> Result<Self, SubscriberError> {
        let Some(ims) = &subscriber.ims else { return Ok(Self::default()) };
        let mut wish = Wish::new("ims", ISIM_FAMILY, ISIM_NEEDS);
        wish.usual.extend((!ims.pcscfs.is_empty()).then_some(1));
        wish.services(&ims.services, "ims.services", LAST_OF_ISIM)?;
        wish.files(&ims.files)?;
        for service in [1, 5] {
            if let Some(error) = wish.asked.get(&service).filter(|_| ims.pcscfs.is_empty()) {
                let reason = "the addresses of EF.P-CSCF are ims.pcscfs, and there are none";
                return Err(SubscriberError { reason: reason.to_owned(), ..error.clone() });
            }
        }
        wish.granted()
    }
}

/// Services that the fields of a description bring.
fn of_fields(subscriber: &Subscriber) -> impl Iterator<Item = u16> {
    let usim = &subscriber.usim;
    let by_usim = subscriber.suci.as_ref().is_some_and(|suci| suci.calculation == SuciCalculation::Usim);
    let named = subscriber.spn.is_some() || !usim.pnn.is_empty();
    let rows = [
        (ust::ALWAYS_SET, true),
        (ust::LOCAL_PHONE_BOOK, usim.local_phonebook && subscriber.phonebook_entries > 0),
        (ust::SPN, subscriber.spn.is_some()),
        (ust::MSISDN, subscriber.msisdn.is_some()),
        (ust::EXTENSION_5, subscriber.msisdn.is_some()),
        (ust::GSM_ACCESS, subscriber.gsm_access),
        (ust::GSM_SECURITY_CONTEXT, subscriber.gsm_access),
        (ust::DATA_DOWNLOAD_SMS_PP, subscriber.ota.is_some()),
        (ust::NETWORK_NAME, named),
        (ust::OPERATOR_PLMN_LIST, named),
        (ust::ECALL_DATA, usim.ecall.is_some()),
        (ust::SUBSCRIPTION_IDENTIFIER_PRIVACY, subscriber.suci.is_some()),
        (ust::SUCI_CALCULATION_BY_THE_USIM, by_usim),
    ];
    rows.into_iter().filter(|(_, has)| *has).filter_map(|(service, _)| u16::try_from(service).ok())
}

fn check_number(service: u16, last: u16, error: &SubscriberError) -> Result<(), SubscriberError> {
    if !(1..=last).contains(&service) || (last == LAST && RESERVED.contains(&service)) {
        let reason = format!("{service} is no service; they are 1 to {last}");
        return Err(SubscriberError { reason, ..error.clone() });
    }
    Ok(())
}

/// What is asked for and what is not wanted, each with where the description says so.
struct Wish {
    table: &'static str,
    family: Family,
    needs: &'static [(u16, u16)],
    usual: BTreeSet<u16>,
    asked: BTreeMap<u16, SubscriberError>,
    removed: BTreeMap<u16, SubscriberError>,
    further: BTreeSet<&'static str>,
    contents: BTreeMap<&'static str, Vec<Vec<u8>>>,
}

impl Wish {
    fn new(table: &'static str, family: Family, needs: &'static [(u16, u16)]) -> Self {
        Self {
            table,
            family,
            needs,
            usual: BTreeSet::new(),
            asked: BTreeMap::new(),
            removed: BTreeMap::new(),
            further: BTreeSet::new(),
            contents: BTreeMap::new(),
        }
    }

    fn services(&mut self, services: &[u16], field: &'static str, last: u16) -> Result<(), SubscriberError> {
        for (at, service) in services.iter().enumerate() {
            let error = SubscriberError::new(field, "").entry(at);
            check_number(*service, last, &error)?;
            self.asked.insert(*service, error);
        }
        Ok(())
    }

    /// Files that are asked for by their name.
    fn files(&mut self, files: &BTreeMap<String, Wanted>) -> Result<(), SubscriberError> {
        for (name, wanted) in files {
            let field = if self.table == "ims" { "ims.files" } else { "usim.files" };
            let error = |reason: &str| SubscriberError::new(field, reason).within(name.clone());
            let rows = self.rows_named(name);
            let Some(first) = rows.first() else { return Err(error("there is no such file")) };
            if OWN.contains(&first.name) {
                return Err(error("is made from the other fields"));
            }
            let mut services: BTreeSet<u16> = rows.iter().flat_map(|row| row.when.least()).collect();
            // Of a directory what other fields decide on stays with them.
            let is_bound = |service: &u16| self.table == "usim" && BOUND.iter().any(|(bound, _)| bound == service);
            if rows.len() > 1 && !services.iter().all(is_bound) {
                services.retain(|service| !is_bound(service));
            }
            match wanted {
                Wanted::Is(false) => {
                    let said = removal(&rows);
                    if said.is_empty() && !self.further.remove(first.name) {
                        return Err(error("is there in any case, or nothing asks for it"));
                    }
                    self.removed.extend(said.into_iter().map(|service| (service, error(""))));
                }
                Wanted::Is(true) => {}
                Wanted::Content(content) => {
                    if matches!(first.kind, RowKind::Df | RowKind::Mf | RowKind::Adf) {
                        return Err(error("is a directory, and has no content"));
                    }
                    self.contents.insert(first.name, octets(content, first).map_err(|reason| error(&reason))?);
                }
            }
            if *wanted != Wanted::Is(false) {
                let is_unsaid = |row: &&Row| row.when == When::Unsaid && !matches!(row.kind, RowKind::Df);
                self.further.extend(rows.iter().filter(is_unsaid).map(|row| row.name));
                self.asked.extend(services.into_iter().map(|service| (service, error(""))));
            }
        }
        Ok(())
    }

    /// The file with this name, however its letters are and without `EF.`; of a directory also what is in it.
    fn rows_named(&self, name: &str) -> Vec<Row> {
        let is_it = |known: &str| {
            known.eq_ignore_ascii_case(name)
                || known.split_once('.').is_some_and(|(_, bare)| bare.eq_ignore_ascii_case(name))
        };
        for versions in self.family {
            // A version may call a file otherwise.
            for template in versions.iter().rev() {
                let rows = template.rows();
                let Some(found) = rows.iter().find(|row| is_it(row.name)).copied() else { continue };
                let mut all = vec![found];
                if found.kind == RowKind::Df {
                    let is_base = rows.first().is_some_and(|first| first.tag == found.tag);
                    all.extend(rows.iter().filter(|row| {
                        row.within == Some(found.tag) || (is_base && row.within.is_none() && row.tag != found.tag)
                    }));
                }
                return all;
            }
        }
        Vec::new()
    }

    /// What is asked for and all it needs, and what is usual unless it is not wanted.
    fn granted(mut self) -> Result<Selection, SubscriberError> {
        let mut queue: Vec<u16> = self.asked.keys().copied().collect();
        while let Some(service) = queue.pop() {
            let Some(error) = self.asked.get(&service).cloned() else { continue };
            if self.removed.contains_key(&service) {
                let reason = format!("service {service} is asked for, and also not wanted");
                return Err(SubscriberError { reason, ..error });
            }
            for (_, needed) in self.needs.iter().filter(|(of, _)| *of == service) {
                if self.removed.contains_key(needed) {
                    let reason = format!("service {service} wants service {needed}, which is not wanted");
                    return Err(SubscriberError { reason, ..error });
                }
                if !self.asked.contains_key(needed) {
                    self.asked.insert(*needed, error.clone());
                    queue.push(*needed);
                }
            }
        }
        let mut services: BTreeSet<u16> =
            self.usual.iter().copied().filter(|usual| !self.removed.contains_key(usual)).collect();
        services.extend(self.asked.keys());
        // What is usual goes where something it needs is not wanted, and brings the rest.
        let mut gone: BTreeSet<u16> = self.removed.keys().copied().collect();
        loop {
            let unmet = self.needs.iter().find(|(of, needed)| services.contains(of) && !services.contains(needed));
            let Some((of, needed)) = unmet else { break };
            if gone.contains(needed) {
                services.remove(of);
                gone.insert(*of);
            } else {
                services.insert(*needed);
            }
        }
        Ok(Selection { services, further: self.further, contents: self.contents })
    }
}

/// Without which services none of these files is there.
fn removal(rows: &[Row]) -> BTreeSet<u16> {
    let of = |row: &Row| match row.when {
        When::Unsaid => Vec::new(),
        When::Any(services) => services.to_vec(),
        When::All(services) => services.last().copied().into_iter().collect(),
        When::But(service, _) => vec![service],
    };
    rows.iter().flat_map(of).collect()
}

/// Content in hexadecimal, as it fits the file.
fn octets(content: &[String], row: &Row) -> Result<Vec<Vec<u8>>, String> {
    const MOST_RECORDS: usize = 254;
    const LONGEST_RECORD: usize = 255;
    const MOST: usize = 0x7FFF;
    let records = content
        .iter()
        .map(|text| {
            hex::decode(text.replace(' ', "")).map_err(|_| "wants hexadecimal digits, two for each octet".to_owned())
        })
        .collect::<Result<Vec<_>, _>>()?;
    if records.iter().any(Vec::is_empty) || records.is_empty() {
        return Err("is empty".to_owned());
    }
    let has_records = matches!(row.kind, RowKind::LinearFixed { .. } | RowKind::Cyclic { .. });
    let longest = records.iter().map(Vec::len).max().unwrap_or_default();
    match (has_records, row.kind) {
        (true, _) if records.len() > MOST_RECORDS => Err(format!("a file has at most {MOST_RECORDS} records")),
        (true, RowKind::LinearFixed { record_length, .. } | RowKind::Cyclic { record_length, .. })
            if fixed(row) && longest > record_length.into() =>
        {
            Err(format!("a record has {record_length} octets"))
        }
        (true, _) if longest > LONGEST_RECORD => Err(format!("a record has at most {LONGEST_RECORD} octets")),
        (false, _) if records.len() > 1 => Err("has no records: its content is one text".to_owned()),
        (false, _) if longest > MOST => Err(format!("has at most {MOST} octets")),
        (false, RowKind::BerTlv { .. })
            if crate::ber_tlv::objects(records.first().map_or(&[], Vec::as_slice)).is_err() =>
        {
            Err("wants data objects: tag, length, value".to_owned())
        }
        _ => Ok(records),
    }
}

/// Whether the records of a file have one length by the specification.
fn fixed(row: &Row) -> bool {
    const FIXED: &[&str] =
        &["EF.ACM", "EF.ICT", "EF.OCT", "EF.OPL", "EF.OPL5G", "EF.IPS", "EF.NID", "EF.SMS", "EF.SMSR"];
    FIXED.contains(&row.name) || row.name.starts_with("EF.EXT")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::profile::tests::resolve;
    use super::super::{Ims, Key, build};
    use super::*;
    use crate::resolve::{FilePath, ResolvedFile};
    use crate::templates::Row;

    fn subscriber() -> Subscriber {
        let key = Key::new(&[1; 16]);
        Subscriber {
            msisdn: Some("+15551234567".into()),
            spn: Some("vuicc".into()),
            ..Subscriber::new("8988211000000000011", "001010000000001", key.clone(), key)
        }
    }

    fn files(subscriber: &Subscriber) -> Vec<ResolvedFile> {
        resolve(&build(subscriber).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Services that a table has.
    fn available(files: &[ResolvedFile], adf: u16, table: u16) -> BTreeSet<u16> {
        let path = FilePath::MF.join(adf);
        let table = files.iter().find(|file| file.parent == path && file.file_id == table).unwrap();
        let bits = (0..8 * u16::try_from(table.content.len()).unwrap())
            .filter(|bit| table.content[usize::from(bit / 8)] >> (bit % 8) & 1 == 1);
        bits.map(|bit| bit + 1).collect()
    }

    /// Each file that a service stands for is there if, and only if, its bits are set.
    fn check(files: &[ResolvedFile], adf: u16, family: Family, services: &BTreeSet<u16>, what: &str) {
        let own = FilePath::MF.join(adf);
        for template in family.iter().filter_map(|versions| versions.last()) {
            let rows = template.rows();
            let base = rows.first().filter(|row| row.kind == RowKind::Df).copied();
            let place = |row: &Row| {
                let root = if template.number == templates::TELECOM.number { FilePath::MF } else { own.clone() };
                let base = base.filter(|base| base.tag != row.tag);
                let root = base.map_or(root.clone(), |base| root.join(base.file_id));
                match row.within.and_then(|tag| template.row(tag)) {
                    Some(df) => root.join(df.file_id),
                    None => root,
                }
            };
            for row in rows.iter().filter(|row| row.kind != RowKind::Adf) {
                let Some(wanted) = row.when.holds(|service| services.contains(&service)) else { continue };
                let place = place(row);
                let is_there = files.iter().any(|file| file.parent == place && file.file_id == row.file_id);
                assert_eq!(is_there, wanted, "{what}: {} with services {services:?}", row.name);
            }
        }
    }

    fn check_usim(subscriber: &Subscriber, what: &str) -> BTreeSet<u16> {
        let files = files(subscriber);
        let services = available(&files, 0x7FD0, 0x6F38);
        check(&files, 0x7FD0, USIM_FAMILY, &services, what);
        for (service, needed) in NEEDS.iter().filter(|(service, _)| services.contains(service)) {
            assert!(services.contains(needed), "{what}: {service} without {needed}");
        }
        services
    }

    fn is_bound(service: u16) -> bool {
        BOUND.iter().any(|(bound, _)| *bound == service)
    }

    fn choosable() -> Vec<u16> {
        (1..=LAST).filter(|service| !is_bound(*service) && !RESERVED.contains(service)).collect()
    }

    #[test]
    fn an_operators_card_by_default() {
        let services = check_usim(&subscriber(), "default");
        let wanted: BTreeSet<u16> = USUAL.iter().copied().chain([19, 21, 27, 33, 34, 38, 44, 45, 46]).collect();
        assert_eq!(services, wanted);
        let files = files(&subscriber());
        for (name, id) in [
            ("PNN", 0x6FC5),
            ("OPL", 0x6FC6),
            ("SPDI", 0x6FCD),
            ("GID1", 0x6F3E),
            ("GID2", 0x6F3F),
            ("MBDN", 0x6FC7),
            ("MBI", 0x6FC9),
            ("MWIS", 0x6FCA),
            ("CFIS", 0x6FCB),
            ("EXT2", 0x6F4B),
            ("SMSR", 0x6F47),
            ("CBMI", 0x6F45),
            ("CBMID", 0x6F48),
            ("CBMIR", 0x6F50),
            ("ACM", 0x6F39),
            ("ACMmax", 0x6F37),
            ("PUCT", 0x6F41),
            ("PWS", 0x6FEC),
            ("IPS", 0x6FF1),
            ("LRPLMNSI", 0x6FDC),
            ("HiddenKey", 0x6FC3),
            ("SDN", 0x6F49),
            ("UAC_AIC", 0x4F06),
        ] {
            assert!(files.iter().any(|file| file.file_id == id), "{name}");
        }
    }

    #[test]
    fn each_service_brings_its_files_and_takes_them_away() {
        for service in choosable() {
            let mut with = subscriber();
            with.usim.services.push(service);
            assert!(check_usim(&with, "with one").contains(&service), "{service}");
            let mut without = subscriber();
            without.usim.without_services.push(service);
            assert!(!check_usim(&without, "without one").contains(&service), "{service}");
        }
    }

    /// Of all there are, as many as a test has time for: three kinds of draws, the same in each run.
    #[test]
    fn tables_and_files_agree_in_any_combination() {
        let mut state = 7_u64;
        let mut draw = |of: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % of
        };
        for round in 0..150_u64 {
            let mut subscriber = subscriber();
            let odds = 2 + round % 9;
            let mut drawn = |among: &[u16]| -> Vec<u16> { among.iter().copied().filter(|_| draw(odds) == 0).collect() };
            subscriber.usim.services = drawn(&choosable());
            subscriber.usim.without_services = drawn(USUAL);
            let asked = subscriber.usim.services.clone();
            subscriber.usim.without_services.retain(|service| !asked.contains(service));
            if round % 3 == 0 {
                subscriber.spn = None;
                subscriber.gsm_access = false;
                subscriber.usim.services.retain(|service| !matches!(service, 39 | 40 | 78));
            }
            if round % 5 == 0 {
                subscriber.usim.local_phonebook = true;
            }
            // What is asked for may want what is not wanted: that is refused, and says why.
            match build(&subscriber) {
                Ok(_) => drop(check_usim(&subscriber, &format!("round {round}"))),
                Err(error) => {
                    assert!(error.reason.contains("wants service") || error.reason.contains("not wanted"), "{error}");
                    subscriber.usim.without_services.clear();
                    check_usim(&subscriber, &format!("round {round}"));
                }
            }
        }
    }

    #[test]
    fn files_by_name_bring_their_services() {
        let rows = USIM_FAMILY.iter().filter_map(|versions| versions.last()).flat_map(|template| template.rows());
        let mut asked = 0;
        for row in rows.filter(|row| !OWN.contains(&row.name) && !is_phonebook(row.name)) {
            let mut with = subscriber();
            with.usim.files.insert(row.name.to_owned(), Wanted::Is(true));
            if row.when.least().into_iter().any(is_bound)
                && !matches!(row.name, "EF.SPN" | "EF.MSISDN" | "DF.GSM-ACCESS" | "EF.Kc" | "EF.KcGPRS")
            {
                assert!(build(&with).unwrap_err().reason.contains(" goes by "), "{}", row.name);
                continue;
            }
            check_usim(&with, row.name);
            assert!(files(&with).iter().any(|file| file.file_id == row.file_id), "{}", row.name);
            asked += 1;
        }
        assert!(asked > 150, "{asked}");
    }

    fn is_phonebook(name: &str) -> bool {
        templates::PHONEBOOK.row_named(name).is_some()
    }

    #[test]
    fn names_need_no_capitals_and_no_prefix() {
        let mut with = subscriber();
        for name in ["nasconfig", "ef.gbabp", "DF.WLAN", "MCS"] {
            with.usim.files.insert(name.to_owned(), Wanted::Is(true));
        }
        let services = check_usim(&with, "by name");
        for service in [96, 68, 59, 60, 88, 109] {
            assert!(services.contains(&service), "{service}");
        }
        let mut without = subscriber();
        for name in ["EF.ACM", "hiddenkey", "DF.5GS", "EF.FDN"] {
            without.usim.files.insert(name.to_owned(), Wanted::Is(false));
        }
        let services = check_usim(&without, "without");
        for service in [13, 122, 123, 126, 2, 3, 34] {
            assert!(!services.contains(&service), "{service}");
        }
        assert!(!files(&without).iter().any(|file| file.file_id == 0x6FC3));
    }

    #[test]
    fn contents_by_name() {
        let mut with = subscriber();
        let content = |records: &[&str]| Wanted::Content(records.iter().map(|record| (*record).to_owned()).collect());
        with.usim.files.insert("EF.NASCONFIG".into(), content(&["800101"]));
        with.usim.files.insert("EF.ACM".into(), content(&["000005"]));
        with.usim.files.insert("EF.UWSIDL".into(), content(&["03 414243", "0244 45"]));
        with.usim.files.insert("EF.MCSCONFIG".into(), content(&["80 02 3C61"]));
        with.usim.files.insert("EF.GBANL".into(), content(&["8001AA8101BB"]));
        let files = files(&with);
        let of = |id: u16| files.iter().find(|file| file.file_id == id).unwrap();
        assert_eq!(hex::encode(&of(0x6FE8).content)[..8], *"800101ff");
        assert_eq!(of(0x6FE8).content.len(), 18);
        assert_eq!(of(0x6F39).content, [0, 0, 5]);
        assert_eq!(of(0x4F44).records(), 5);
        assert!(hex::encode(&of(0x4F44).content).starts_with("03414243ffff"));
        assert_eq!(hex::encode(&of(0x4F44).content)[66..74], *"024445ff", "the second record");
        assert_eq!(of(0x6FDA).records(), 1);
        let mcs = files.iter().find(|file| file.file_id == 0x4F02 && file.parent.join(0).to_string().contains("5F3D"));
        assert_eq!(mcs.map(|file| hex::encode(&file.content)).as_deref(), Some("80023c61"));
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_is_said() {
        let told = |change: &dyn Fn(&mut Subscriber)| {
            let mut subscriber = subscriber();
            change(&mut subscriber);
            build(&subscriber).unwrap_err().to_string()
        };
        let file = |name: &'static str, wanted: Wanted| {
            told(&move |subscriber| drop(subscriber.usim.files.insert(name.into(), wanted.clone())))
        };
        let hexadecimal = |text: &str| Wanted::Content(vec![text.to_owned()]);
        assert_eq!(file("EF.XYZ", Wanted::Is(true)), "usim.files.EF.XYZ: there is no such file");
        assert_eq!(file("EF.IMSI", hexadecimal("08")), "usim.files.EF.IMSI: is made from the other fields");
        assert_eq!(
            file("EF.Keys", Wanted::Is(false)),
            "usim.files.EF.Keys: is there in any case, or nothing asks for it"
        );
        assert_eq!(
            file("EF.ACM", hexadecimal("0x")),
            "usim.files.EF.ACM: wants hexadecimal digits, two for each octet"
        );
        assert_eq!(file("EF.ACM", hexadecimal("00000001")), "usim.files.EF.ACM: a record has 3 octets");
        assert_eq!(file("EF.ACM", hexadecimal("")), "usim.files.EF.ACM: is empty");
        assert_eq!(file("EF.PNN", hexadecimal("43")), "usim.files.EF.PNN: is made from the other fields");
        assert_eq!(file("DF.WLAN", hexadecimal("43")), "usim.files.DF.WLAN: is a directory, and has no content");
        assert_eq!(file("EF.URSP", hexadecimal("8005")), "usim.files.EF.URSP: wants data objects: tag, length, value");
        assert_eq!(
            file("EF.PWS", Wanted::Content(vec!["00".into(), "01".into()])),
            "usim.files.EF.PWS: has no records: its content is one text"
        );
        assert_eq!(
            file("EF.SUCI_Calc_Info", Wanted::Is(true)),
            "usim.files.EF.SUCI_Calc_Info: service 124 goes by suci"
        );
        assert_eq!(told(&|s| s.usim.services = vec![5, 200]), "usim.services[1]: 200 is no service; they are 1 to 150");
        assert_eq!(told(&|s| s.usim.services = vec![0]), "usim.services[0]: 0 is no service; they are 1 to 150");
        assert_eq!(told(&|s| s.usim.services = vec![50]), "usim.services[0]: 50 is no service; they are 1 to 150");
        assert_eq!(
            told(&|s| s.usim.without_services = vec![33]),
            "usim.without_services[0]: service 33 goes by nothing: it is always there"
        );
        assert_eq!(told(&|s| s.usim.without_services = vec![19]), "usim.without_services[0]: service 19 goes by spn");
        let both = |s: &mut Subscriber| {
            s.usim.services = vec![13];
            s.usim.without_services = vec![13];
        };
        assert_eq!(told(&both), "usim.services[0]: service 13 is asked for, and also not wanted");
        let needed = |s: &mut Subscriber| {
            s.usim.services = vec![76];
            s.usim.without_services = vec![68];
        };
        assert_eq!(told(&needed), "usim.services[0]: service 76 wants service 68, which is not wanted");
        let beside = |s: &mut Subscriber| {
            s.ims = Some(Ims::default());
            s.usim.services = vec![95];
        };
        assert_eq!(told(&beside), "usim.services[0]: service 95 is the ISIM's where there is one, and there is `ims`");
        let no_proxy = |s: &mut Subscriber| s.ims = Some(Ims { services: vec![5], ..Ims::default() });
        assert_eq!(told(&no_proxy), "ims.services[0]: the addresses of EF.P-CSCF are ims.pcscfs, and there are none");
        let no_such = |s: &mut Subscriber| s.ims = Some(Ims { services: vec![23], ..Ims::default() });
        assert_eq!(told(&no_such), "ims.services[0]: 23 is no service; they are 1 to 22");
    }

    #[test]
    fn an_isim_in_each_combination_of_its_services() {
        let of = |services: Vec<u16>, pcscfs: &[&str]| {
            let ims =
                Ims { services, pcscfs: pcscfs.iter().map(|name| (*name).to_owned()).collect(), ..Ims::default() };
            let files = files(&Subscriber { ims: Some(ims), ..subscriber() });
            let services = available(&files, 0x7FB0, 0x6F07);
            check(&files, 0x7FB0, ISIM_FAMILY, &services, "ISIM");
            services
        };
        assert_eq!(of(Vec::new(), &[]), BTreeSet::new());
        assert_eq!(of(Vec::new(), &["pcscf.example.org"]), BTreeSet::from([1]));
        // Two to the power of nine of those that files stand behind.
        let driven = [2, 4, 6, 7, 8, 10, 17, 18, 20];
        for bits in 0_u16..1 << driven.len() {
            let services: Vec<u16> =
                driven.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, service)| *service).collect();
            let has = of(services.clone(), &[]);
            assert!(services.iter().all(|service| has.contains(service)));
        }
        let all: Vec<u16> = (1..=LAST_OF_ISIM).collect();
        assert_eq!(of(all, &["::1"]).len(), 22);
    }
}
