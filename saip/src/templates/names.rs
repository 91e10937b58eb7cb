//! What files are called, by where they lie: the templates read the other way round.

use std::sync::LazyLock;

use super::{Row, RowKind, Template};

/// Templates of what lies below the MF.
const UICC: &[&Template] = &[&super::MF, &super::CD, &super::TELECOM_V2, &super::PHONEBOOK];
/// Templates of what lies below an ADF, by the start of its AID. TS 101 220 annex E, 3GPP2 C.S0065.
const APPLICATIONS: &[(&[u8], &[&Template])] = &[
    (
        &[0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02],
        &[
            &super::USIM_V2,
            &super::OPT_USIM_V3,
            &super::PHONEBOOK,
            &super::GSM_ACCESS,
            &super::DF_5GS_V4,
            &super::DF_SAIP,
            &super::DF_SNPN,
            &super::DF_5G_PROSE,
            &super::USIM_FURTHER,
        ],
    ),
    (&[0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x04], &[&super::ISIM, &super::OPT_ISIM_V2]),
    (&[0xA0, 0x00, 0x00, 0x03, 0x43, 0x10, 0x02], &[&super::CSIM, &super::OPT_CSIM]),
];

/// A file and its name, in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedFile {
    /// Start of the AID of the application it belongs to; none below the MF.
    pub application: Option<&'static [u8]>,
    /// Identifier of the DF it lies in; none directly in the MF or ADF.
    pub within: Option<u16>,
    /// It may lie in another DF as well, as a phonebook does.
    pub elsewhere: bool,
    /// File identifier; 0 for an ADF, which is known by its AID.
    pub file_id: u16,
    /// Name, with `EF.`, `DF.` or `ADF.` before it.
    pub name: &'static str,
    /// Kind and size.
    pub kind: RowKind,
    /// Short file identifier, unless a profile says otherwise.
    pub sfi: Option<u8>,
}

impl NamedFile {
    /// Whether files may lie in it.
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, RowKind::Mf | RowKind::Df | RowKind::Adf)
    }

    /// Whether it lies below the ADF with this AID (none: below the MF), and in this DF.
    fn is_at(&self, application: Option<&[u8]>, within: Option<u16>) -> bool {
        let below = match (self.application, application) {
            (None, None) => true,
            (Some(start), Some(aid)) => aid.starts_with(start),
            _ => false,
        };
        below && (self.elsewhere || self.within == within)
    }
}

/// Every file that the newest templates name.
pub fn named_files() -> &'static [NamedFile] {
    static FILES: LazyLock<Vec<NamedFile>> = LazyLock::new(|| {
        let below_mf = UICC.iter().flat_map(|template| of_template(None, template));
        let below_adfs = APPLICATIONS
            .iter()
            .flat_map(|(start, family)| family.iter().flat_map(move |template| of_template(Some(start), template)));
        below_mf.chain(below_adfs).collect()
    });
    &FILES
}

/// The file with this identifier, in the DF `within` (none: directly in the ADF or MF) below the ADF of `application` (none: the
/// MF).
pub fn named(application: Option<&[u8]>, within: Option<u16>, file_id: u16) -> Option<&'static NamedFile> {
    named_files().iter().find(|file| file.file_id == file_id && file_id != 0 && file.is_at(application, within))
}

/// The ADF of the application with this AID.
pub fn named_adf(aid: &[u8]) -> Option<&'static NamedFile> {
    named_files().iter().find(|file| file.kind == RowKind::Adf && file.is_at(Some(aid), None))
}

/// The EF with this short identifier, unless a profile says otherwise.
pub fn named_by_sfi(application: Option<&[u8]>, within: Option<u16>, sfi: u8) -> Option<&'static NamedFile> {
    named_files().iter().find(|file| file.sfi == Some(sfi) && file.is_at(application, within))
}

fn of_template(application: Option<&'static [u8]>, template: &'static Template) -> Vec<NamedFile> {
    let rows = template.rows();
    let is_directory = |row: &Row| matches!(row.kind, RowKind::Mf | RowKind::Df | RowKind::Adf);
    // The first directory of a template is what it is about, unless the template only adds to another.
    let base = rows.first().filter(|first| is_directory(first)).copied();
    let placed = |row: &Row| {
        let holder = match row.within {
            Some(tag) => template.row(tag),
            None => base.filter(|base| base.tag != row.tag),
        };
        let within = holder.filter(|holder| holder.kind == RowKind::Df).map(|holder| holder.file_id);
        NamedFile {
            application,
            within,
            // A phonebook may lie in DF.TELECOM or in the ADF.
            elsewhere: base.is_some_and(|base| base.tag == row.tag && base.kind == RowKind::Df),
            file_id: row.file_id,
            name: row.name,
            kind: row.kind,
            sfi: row.sfi,
        }
    };
    rows.iter().map(placed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USIM: Option<&[u8]> = Some(&[0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02, 0xFF]);
    const ISIM: Option<&[u8]> = Some(&[0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x04]);

    #[test]
    fn names_depend_on_the_directory() {
        for (application, within, file_id, name) in [
            (None, None, 0x3F00, "MF"),
            (None, None, 0x2FE2, "EF.ICCID"),
            (None, None, 0x2F06, "EF.ARR"),
            (None, None, 0x7F10, "DF.TELECOM"),
            (USIM, None, 0x6F07, "EF.IMSI"),
            (USIM, None, 0x6F06, "EF.ARR"),
            (ISIM, None, 0x6F07, "EF.IST"),
            (USIM, Some(0x5FC0), 0x4F07, "EF.SUCI_Calc_Info"),
            (USIM, Some(0x5F3B), 0x4F20, "EF.Kc"),
            (None, Some(0x5F3A), 0x4F30, "EF.PBR"),
            (None, Some(0x7F10), 0x6F53, "EF.RMA"),
            (None, Some(0x7F10), 0x5F3A, "DF.PHONEBOOK"),
            (USIM, None, 0x5F3A, "DF.PHONEBOOK"),
            (USIM, Some(0x5F40), 0x4F41, "EF.Pseudo"),
            (USIM, Some(0x5F50), 0x4F83, "EF.HNBN"),
            (USIM, Some(0x5F90), 0x4F10, "EF.PST"),
            (USIM, Some(0x5FF0), 0x4F01, "EF.5G_PROSE_ST"),
            (USIM, None, 0x6F65, "EF.RPLMNAcTD"),
            (USIM, None, 0x5F40, "DF.WLAN"),
            (USIM, Some(0x5FF1), 0x4F01, "EF.5MBSUECONFIG"),
        ] {
            assert_eq!(named(application, within, file_id).map(|file| file.name), Some(name), "{file_id:04X}");
        }
        assert_eq!(named(None, None, 0x6F07), None);
        assert_eq!(named_adf(ISIM.unwrap()).map(|file| file.name), Some("ADF.ISIM"));
        assert_eq!(named_by_sfi(USIM, None, 0x07).map(|file| file.name), Some("EF.IMSI"));
    }
}
