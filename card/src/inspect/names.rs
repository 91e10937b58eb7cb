//! What files are called, from the templates of profile packages.

use card_os::fs::{FileKind, FileNumber, FileTree};
use saip::templates::{self, Row, RowKind, Template};

/// Templates of what lies below the MF.
const UICC: &[&Template] = &[&templates::MF, &templates::CD, &templates::TELECOM_V2, &templates::PHONEBOOK];
/// Templates of what lies below an ADF, by the start of its AID.
const APPLICATIONS: &[(&[u8], &[&Template])] = &[
    (
        &[0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02],
        &[
            &templates::USIM_V2,
            &templates::OPT_USIM_V3,
            &templates::PHONEBOOK,
            &templates::GSM_ACCESS,
            &templates::DF_5GS_V4,
            &templates::DF_SAIP,
            &templates::DF_SNPN,
            &templates::DF_5G_PROSE,
        ],
    ),
    (&[0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x04], &[&templates::ISIM, &templates::OPT_ISIM_V2]),
    (&[0xA0, 0x00, 0x00, 0x03, 0x43, 0x10, 0x02], &[&templates::CSIM, &templates::OPT_CSIM]),
];

/// The name of a file, with `EF.`, `DF.` or `ADF.` before it.
pub(super) fn of(tree: &FileTree, number: FileNumber) -> Option<&'static str> {
    let file = tree.get(number)?;
    let family = family(tree, number);
    match file.kind {
        FileKind::Mf => return Some("MF"),
        FileKind::Adf(_) => {
            let rows = family.iter().flat_map(|template| template.rows());
            return rows.into_iter().find(|row| row.kind == RowKind::Adf).map(|row| row.name);
        }
        _ => {}
    }
    let parent = tree.get(file.parent)?;
    // What directly belongs to the MF or ADF has no identifier to be found by.
    let within = (parent.kind == FileKind::Df).then_some(parent.fid.0);
    let named = |template: &&Template| {
        let rows = template.rows();
        let row = rows.iter().find(|row| row.file_id == file.fid.0 && is_within(template, &rows, row, within))?;
        Some(row.name)
    };
    family.iter().find_map(named)
}

/// The templates that the MF or ADF above a file takes its files from.
fn family(tree: &FileTree, number: FileNumber) -> &'static [&'static Template] {
    let mut at = number;
    while let Some(file) = tree.get(at) {
        if let FileKind::Adf(aid) = file.kind {
            let found = APPLICATIONS.iter().find(|(start, _)| aid.starts_with(start));
            return found.map_or(&[], |(_, family)| family);
        }
        if file.parent == at {
            break;
        }
        at = file.parent;
    }
    UICC
}

/// Whether a row's file lies in the DF with this identifier; `None`: in the MF or ADF itself.
fn is_within(template: &Template, rows: &[Row], row: &Row, df: Option<u16>) -> bool {
    let is_directory = |row: &Row| matches!(row.kind, RowKind::Mf | RowKind::Df | RowKind::Adf);
    // The first directory of a template is what it is about, unless the template only adds to another.
    let base = rows.first().filter(|first| is_directory(first));
    let holder = match row.within {
        Some(tag) => template.row(tag),
        None => base.copied().filter(|base| base.tag != row.tag),
    };
    let holder = holder.filter(|holder| holder.kind == RowKind::Df).map(|holder| holder.file_id);
    // A phonebook may lie in DF.TELECOM or in the ADF.
    let is_base_elsewhere = base.is_some_and(|base| base.tag == row.tag);
    holder == df || is_base_elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;
    use card_os::fs::{AccessReference, File, FileId, Structure};

    #[test]
    fn names_depend_on_the_directory() {
        let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
        let ef = FileKind::Ef(Structure::Transparent { size: 1 });
        let mut tree = FileTree::default();
        let mf = tree.insert(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule)).unwrap();
        let adf = |pix: u8| FileKind::Adf(apdu::Aid::new(&[0xA0, 0, 0, 0, 0x87, 0x10, pix]).unwrap());
        let usim = tree.insert(File::new(FileId(0x7FF0), mf, adf(0x02), rule)).unwrap();
        let isim = tree.insert(File::new(FileId(0x7FF1), mf, adf(0x04), rule)).unwrap();
        let telecom = tree.insert(File::new(FileId(0x7F10), mf, FileKind::Df, rule)).unwrap();
        let phonebook = tree.insert(File::new(FileId(0x5F3A), telecom, FileKind::Df, rule)).unwrap();
        let five_gs = tree.insert(File::new(FileId(0x5FC0), usim, FileKind::Df, rule)).unwrap();
        let gsm = tree.insert(File::new(FileId(0x5F3B), usim, FileKind::Df, rule)).unwrap();
        let multimedia = tree.insert(File::new(FileId(0x5F3B), telecom, FileKind::Df, rule)).unwrap();
        for (df, fid, name) in [
            (mf, 0x2FE2, "EF.ICCID"),
            (mf, 0x2F06, "EF.ARR"),
            (usim, 0x6F07, "EF.IMSI"),
            (usim, 0x6F06, "EF.ARR"),
            (isim, 0x6F07, "EF.IST"),
            (five_gs, 0x4F07, "EF.SUCI_Calc_Info"),
            (gsm, 0x4F20, "EF.Kc"),
            (phonebook, 0x4F30, "EF.PBR"),
            (telecom, 0x6F53, "EF.RMA"),
        ] {
            let number = tree.insert(File::new(FileId(fid), df, ef, rule)).unwrap();
            assert_eq!(of(&tree, number), Some(name));
        }
        let directories = [mf, usim, isim, telecom, phonebook, five_gs, gsm, multimedia].map(|df| of(&tree, df));
        let names =
            ["MF", "ADF.USIM", "ADF.ISIM", "DF.TELECOM", "DF.PHONEBOOK", "DF.5GS", "DF.GSM-ACCESS", "DF.MULTIMEDIA"];
        assert_eq!(directories, names.map(Some));
        let stranger = tree.insert(File::new(FileId(0x6FEE), mf, ef, rule)).unwrap();
        assert_eq!(of(&tree, stranger), None);
    }
}
