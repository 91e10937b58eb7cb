//! What files are called, from the templates of profile packages.

use card_os::fs::{FileKind, FileNumber, FileTree};
use saip::templates::{named, named_adf};

/// The name of a file, with `EF.`, `DF.` or `ADF.` before it.
pub fn of(tree: &FileTree, number: FileNumber) -> Option<&'static str> {
    let file = tree.get(number)?;
    let named = match file.kind {
        FileKind::Mf => return Some("MF"),
        FileKind::Adf(aid) => named_adf(&aid),
        _ => {
            let parent = tree.get(file.parent)?;
            // What directly belongs to the MF or ADF has no identifier to be found by.
            let within = (parent.kind == FileKind::Df).then_some(parent.fid.0);
            named(application(tree, number).as_deref(), within, file.fid.0)
        }
    };
    named.map(|file| file.name)
}

/// The AID of the ADF above a file; none below the MF.
pub fn application(tree: &FileTree, number: FileNumber) -> Option<apdu::Aid> {
    let mut at = number;
    while let Some(file) = tree.get(at) {
        if let FileKind::Adf(aid) = file.kind {
            return Some(aid);
        }
        if file.parent == at {
            break;
        }
        at = file.parent;
    }
    None
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
