//! The file templates of Annex A: what every file is unless a profile says otherwise.
//!
//! One [`Row`] is one file: which field of the element stands for it, identifier, kind, size, short identifier, access rule,
//! first content, and the services that it is there for. A later version of a template names only what it adds or changes. Row numbers of EF.ARR are those of
//! [`access_rules`](crate::access_rules).

mod csim;
mod eap;
mod five_gs;
mod further;
mod iot;
mod isim;
mod mf;
mod names;
mod telecom;
mod usim;

pub use csim::{CSIM, OPT_CSIM};
pub use eap::EAP;
pub use five_gs::{DF_5G_PROSE, DF_5GS, DF_5GS_V2, DF_5GS_V3, DF_5GS_V4, DF_SAIP, DF_SNPN};
pub use further::USIM_FURTHER;
pub use iot::{IOT, OPT_IOT};
pub use isim::{ISIM, OPT_ISIM, OPT_ISIM_V2};
pub use mf::{CD, MF};
pub use names::{NamedFile, named, named_adf, named_by_sfi, named_files};
pub use telecom::{TELECOM, TELECOM_V2};
pub use usim::{GSM_ACCESS, OPT_USIM, OPT_USIM_V2, OPT_USIM_V3, PHONEBOOK, USIM, USIM_V2};

use crate::files::FileElementKind;
use apdu::Oid;

/// Every template in every version.
pub static ALL: &[&Template] = &[
    &MF,
    &CD,
    &TELECOM,
    &TELECOM_V2,
    &USIM,
    &USIM_V2,
    &OPT_USIM,
    &OPT_USIM_V2,
    &OPT_USIM_V3,
    &PHONEBOOK,
    &GSM_ACCESS,
    &ISIM,
    &OPT_ISIM,
    &OPT_ISIM_V2,
    &CSIM,
    &OPT_CSIM,
    &EAP,
    &DF_5GS,
    &DF_5GS_V2,
    &DF_5GS_V3,
    &DF_5GS_V4,
    &DF_SAIP,
    &DF_SNPN,
    &DF_5G_PROSE,
    &IOT,
    &OPT_IOT,
];

/// The template with this identifier.
pub fn find(id: &Oid) -> Option<&'static Template> {
    ALL.iter().copied().find(|template| template.oid() == *id)
}

/// One template in one version.
#[derive(Debug)]
pub struct Template {
    /// The number after 2.23.143.1.2.
    pub number: u8,
    /// The version; from the second on it follows the number.
    pub version: u8,
    /// The element that uses it.
    pub element: FileElementKind,
    /// A file that the element does not mention is created all the same.
    pub created_by_default: bool,
    /// The version before, whose rows hold where this one has none.
    base: Option<&'static Template>,
    rows: &'static [Row],
    borrowed: &'static [Borrowed],
}

/// A row of another template, under a field of this one.
#[derive(Debug)]
struct Borrowed {
    tag: u32,
    within: Option<u32>,
    from: &'static Template,
    row: u32,
}

impl Template {
    /// The identifier: 2.23.143.1.2.number, followed by the version unless it is the first. Annex A
    pub fn oid(&self) -> Oid {
        let oid = Oid::below(&[0x67, 0x81, 0x0F, 0x01, 0x02], self.number.into());
        if self.version > 1 { Oid::below(oid.as_bytes(), self.version.into()) } else { oid }
    }

    /// The row of a field.
    pub fn row(&self, tag: u32) -> Option<Row> {
        self.rows
            .iter()
            .find(|row| row.tag == tag)
            .copied()
            .or_else(|| {
                let borrowed = self.borrowed.iter().find(|borrowed| borrowed.tag == tag)?;
                Some(Row { tag, within: borrowed.within, ..borrowed.from.row(borrowed.row)? })
            })
            .or_else(|| self.base?.row(tag))
    }

    /// The row of a field, also one that only a later version of the template has.
    pub fn row_of_any_version(&self, tag: u32) -> Option<Row> {
        self.row(tag)
            .or_else(|| ALL.iter().rev().filter(|other| other.number == self.number).find_map(|other| other.row(tag)))
    }

    /// The row of the file with this name, `EF.IMSI`.
    pub fn row_named(&self, name: &str) -> Option<Row> {
        self.rows().into_iter().find(|row| row.name == name)
    }

    /// Every row, in the order of fields.
    pub fn rows(&self) -> Vec<Row> {
        let mut tags: Vec<u32> = Vec::new();
        let mut template = Some(self);
        while let Some(version) = template {
            tags.extend(version.rows.iter().map(|row| row.tag));
            tags.extend(version.borrowed.iter().map(|borrowed| borrowed.tag));
            template = version.base;
        }
        tags.sort_unstable();
        tags.dedup();
        tags.into_iter().filter_map(|tag| self.row(tag)).collect()
    }
}

/// A size, number of records or identifier that the profile has to state.
pub const VAR: u16 = 0;

/// One file of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Tag of the field in the element.
    pub tag: u32,
    /// File identifier; [`VAR`] for an ADF.
    pub file_id: u16,
    /// Name, with `EF.`, `DF.` or `ADF.` before it.
    pub name: &'static str,
    /// Kind and size.
    pub kind: RowKind,
    /// Short file identifier.
    pub sfi: Option<u8>,
    /// Record of EF.ARR.
    pub arr: u8,
    /// First content.
    pub default: Content,
    /// The profile has to give the content.
    pub required: bool,
    /// Field of the DF that holds the file; if none, it is directly in what the element is about.
    pub within: Option<u32>,
    /// Written often.
    pub high_update: bool,
    /// The services of the application's service table that it is there for.
    pub when: When,
}

/// For which services a file is there: numbers in EF.UST, of an ISIM in EF.IST. TS 31.102 §4.2.8, TS 31.103 §4.2.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// None: it is mandatory, or whether it is there shows in no table.
    Unsaid,
    /// If one of these is available.
    Any(&'static [u16]),
    /// If all of these are.
    All(&'static [u16]),
    /// If the first is, and the second is not.
    But(u16, u16),
}

impl When {
    /// Whether the file is there, where these services are available; nothing if no service says so.
    pub fn holds(self, available: impl Fn(u16) -> bool) -> Option<bool> {
        match self {
            Self::Unsaid => None,
            Self::Any(services) => Some(services.iter().any(|service| available(*service))),
            Self::All(services) => Some(services.iter().all(|service| available(*service))),
            Self::But(service, other) => Some(available(service) && !available(other)),
        }
    }

    /// The fewest services that bring the file.
    pub fn least(self) -> Vec<u16> {
        match self {
            Self::Unsaid => Vec::new(),
            Self::Any(services) => services.first().copied().into_iter().collect(),
            Self::All(services) => services.to_vec(),
            Self::But(service, _) => vec![service],
        }
    }
}

/// Kind of a file, with sizes in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RowKind {
    Mf,
    Df,
    Adf,
    Transparent { size: u16 },
    LinearFixed { records: u16, record_length: u16 },
    Cyclic { records: u16, record_length: u16 },
    BerTlv { size: u16 },
}

/// First content of a file, or of each of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// These octets, then the last of them to the end: `00FF..FF`.
    Fill(&'static [u8]),
    /// These octets again and again.
    Repeat(&'static [u8]),
    /// FF, with these octets at the end: `FF..FF07`.
    Padded(&'static [u8]),
    /// These octets, then FF if there is more room.
    Exact(&'static [u8]),
}

impl Content {
    /// Writes the pattern over a file or record.
    pub fn fill(self, target: &mut [u8]) {
        match self {
            Self::Fill(pattern) => fill(target, pattern),
            Self::Repeat(pattern) => repeat(target, pattern),
            Self::Padded(tail) => {
                target.fill(0xFF);
                let start = target.len().saturating_sub(tail.len());
                target.iter_mut().skip(start).zip(tail).for_each(|(octet, value)| *octet = *value);
            }
            Self::Exact(octets) => {
                target.fill(0xFF);
                target.iter_mut().zip(octets).for_each(|(octet, value)| *octet = *value);
            }
        }
    }
}

/// `fillPattern`: the pattern, then its last octet.
pub(crate) fn fill(target: &mut [u8], pattern: &[u8]) {
    let last = pattern.last().into_iter().cycle();
    target.iter_mut().zip(pattern.iter().chain(last)).for_each(|(octet, value)| *octet = *value);
}

/// `repeatPattern`: the pattern again and again.
pub(crate) fn repeat(target: &mut [u8], pattern: &[u8]) {
    target.iter_mut().zip(pattern.iter().cycle()).for_each(|(octet, value)| *octet = *value);
}

const fn row(tag: u32, file_id: u16, name: &'static str, kind: RowKind) -> Row {
    Row {
        tag,
        file_id,
        name,
        kind,
        sfi: None,
        arr: 14,
        default: Content::Fill(&[0xFF]),
        required: false,
        within: None,
        high_update: false,
        when: When::Unsaid,
    }
}

const fn mf(tag: u32) -> Row {
    row(tag, 0x3F00, "MF", RowKind::Mf)
}

const fn df(tag: u32, file_id: u16, name: &'static str) -> Row {
    row(tag, file_id, name, RowKind::Df)
}

const fn adf(tag: u32, name: &'static str) -> Row {
    row(tag, VAR, name, RowKind::Adf)
}

const fn transparent(tag: u32, file_id: u16, name: &'static str, size: u16) -> Row {
    row(tag, file_id, name, RowKind::Transparent { size })
}

const fn linear(tag: u32, file_id: u16, name: &'static str, records: u16, record_length: u16) -> Row {
    row(tag, file_id, name, RowKind::LinearFixed { records, record_length })
}

const fn cyclic(tag: u32, file_id: u16, name: &'static str, records: u16, record_length: u16) -> Row {
    row(tag, file_id, name, RowKind::Cyclic { records, record_length })
}

const fn ber_tlv(tag: u32, file_id: u16, name: &'static str, size: u16) -> Row {
    row(tag, file_id, name, RowKind::BerTlv { size })
}

impl Row {
    const fn arr(mut self, record: u8) -> Self {
        self.arr = record;
        self
    }
    const fn sfi(mut self, sfi: u8) -> Self {
        self.sfi = Some(sfi);
        self
    }
    const fn default(mut self, content: Content) -> Self {
        self.default = content;
        self
    }
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    const fn high_update(mut self) -> Self {
        self.high_update = true;
        self
    }
    const fn within(mut self, df: u32) -> Self {
        self.within = Some(df);
        self
    }
    const fn any(mut self, services: &'static [u16]) -> Self {
        self.when = When::Any(services);
        self
    }
    const fn all(mut self, services: &'static [u16]) -> Self {
        self.when = When::All(services);
        self
    }
    const fn but(mut self, service: u16, other: u16) -> Self {
        self.when = When::But(service, other);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn identifiers_are_unique_and_found() {
        assert_eq!(DF_5GS_V3.oid().to_string(), "2.23.143.1.2.13.3");
        let ids: BTreeSet<Oid> = ALL.iter().map(|template| template.oid()).collect();
        assert_eq!(ids.len(), ALL.len());
        assert!(ALL.iter().all(|template| std::ptr::eq(find(&template.oid()).unwrap(), *template)));
    }

    /// Fields are named once, stand in their DF, and no two files of a DF share an identifier or a short one.
    #[test]
    fn rows_do_not_collide() {
        for template in ALL.iter().chain(&[&USIM_FURTHER]) {
            let rows = template.rows();
            let (mut ids, mut sfis) = (BTreeSet::new(), BTreeSet::new());
            for row in &rows {
                let what = format!("{} {}", template.oid(), row.name);
                assert!(matches!(row.tag, 0xA2..=0xBE | 0xBF1F..=0xBF7F), "{what}: tag");
                assert!((1..=14).contains(&row.arr), "{what}: access rule");
                if row.file_id != VAR {
                    assert!(ids.insert((row.within, row.file_id)), "{what}: identifier");
                }
                if let Some(sfi) = row.sfi {
                    assert!((1..=30).contains(&sfi), "{what}: short identifier");
                    assert!(sfis.insert((row.within, sfi)), "{what}: short identifier doubled");
                }
                if let Some(within) = row.within {
                    let df = template.row(within).unwrap();
                    assert!(matches!(df.kind, RowKind::Mf | RowKind::Df | RowKind::Adf), "{what}: within");
                }
            }
        }
    }

    #[test]
    fn later_versions_keep_the_rows_before() {
        let nsc = DF_5GS_V4.row_named("EF.5GS3GPPNSC").unwrap();
        assert_eq!(nsc.kind, RowKind::LinearFixed { records: 2, record_length: 62 });
        assert_eq!(DF_5GS_V4.rows().len(), 20);
        assert_eq!(DF_5GS.row(0xAD), None);
        assert_eq!(DF_5GS.row_of_any_version(0xAD).unwrap().name, "EF.URSP");
        assert_eq!(OPT_IOT.row_named("EF.URSP").unwrap().within, Some(0xAD));
    }

    #[test]
    fn contents() {
        let mut record = [0; 5];
        for (content, expected) in [
            (Content::Fill(&[0, 0xFF]), [0, 0xFF, 0xFF, 0xFF, 0xFF]),
            (Content::Repeat(&[1, 2]), [1, 2, 1, 2, 1]),
            (Content::Padded(&[7]), [0xFF, 0xFF, 0xFF, 0xFF, 7]),
            (Content::Exact(&[1, 2]), [1, 2, 0xFF, 0xFF, 0xFF]),
        ] {
            content.fill(&mut record);
            assert_eq!(record, expected);
        }
        fill(&mut record, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(record, [1, 2, 3, 4, 5]);
    }
}
