//! File control parameters, the answer to SELECT. TS 102 221 §11.1.1.3.

use super::{File, FileKind, FileNumber, FileTree, Structure};
use apdu::tlv::{Tag, Writer};

const FCP_TEMPLATE: Tag = Tag(0x62);
const FILE_SIZE: Tag = Tag(0x80);
const FILE_DESCRIPTOR: Tag = Tag(0x82);
const FILE_IDENTIFIER: Tag = Tag(0x83);
const DF_NAME: Tag = Tag(0x84);
const SHORT_FILE_IDENTIFIER: Tag = Tag(0x88);
const LIFE_CYCLE_STATUS: Tag = Tag(0x8A);
const SECURITY_ATTRIBUTES: Tag = Tag(0x8B);
const PROPRIETARY: Tag = Tag(0xA5);
const UICC_CHARACTERISTICS: Tag = Tag(0x80);
const AVAILABLE_MEMORY: Tag = Tag(0x83);
const MAXIMUM_FILE_SIZE: Tag = Tag(0x86);
const SUPPORTED_SYSTEM_COMMANDS: Tag = Tag(0x87);
const SPECIAL_FILE_INFORMATION: Tag = Tag(0xC0);
const PIN_STATUS: Tag = Tag(0xC6);
const PS_DO: Tag = Tag(0x90);
const KEY_REFERENCE: Tag = Tag(0x83);

/// Data coding byte: write-once memory, one byte as data unit.
const DATA_CODING: u8 = 0x21;
/// Clock stop allowed in either state, no clock speed wanted. TS 102 221 table 11.5.
const CHARACTERISTICS: u8 = 0x71;
/// TERMINAL CAPABILITY is supported. TS 102 221 §11.1.1.4.6.9.
const TERMINAL_CAPABILITY: u8 = 0x01;

/// The FCP of an EF; empty for a DF.
pub(crate) fn of_ef(tree: &FileTree, number: FileNumber) -> Vec<u8> {
    let (Some(file), Some(body)) = (tree.get(number), tree.get(tree.body(number))) else { return Vec::new() };
    let FileKind::Ef(structure) = body.kind else { return Vec::new() };
    let mut fcp = Writer::new();
    fcp.constructed(FCP_TEMPLATE, |fcp| {
        let (kind, record) = match structure {
            Structure::Transparent { .. } => (0x01, None),
            Structure::LinearFixed { record_length, records } => (0x02, Some([0, record_length, records])),
            Structure::Cyclic { record_length, records } => (0x06, Some([0, record_length, records])),
            Structure::BerTlv { .. } => (0x39, None),
        };
        let shareable = if file.shareable { 0x40 } else { 0x00 };
        let mut descriptor = vec![shareable | kind, DATA_CODING];
        descriptor.extend(record.into_iter().flatten());
        fcp.primitive(FILE_DESCRIPTOR, &descriptor);
        fcp.primitive(FILE_IDENTIFIER, &file.fid.0.to_be_bytes());
        let maximum = match structure {
            Structure::BerTlv { maximum } => Some(maximum),
            _ => None,
        };
        if file.special != 0 || maximum.is_some() {
            fcp.constructed(PROPRIETARY, |info| {
                if let Some(maximum) = maximum {
                    info.primitive(MAXIMUM_FILE_SIZE, &size(maximum));
                }
                if file.special != 0 {
                    info.primitive(SPECIAL_FILE_INFORMATION, &[file.special]);
                }
            });
        }
        life_cycle_and_security(fcp, file);
        fcp.primitive(FILE_SIZE, &size(maximum.unwrap_or(structure.size())));
        match file.sfi {
            Some(sfi) => fcp.primitive(SHORT_FILE_IDENTIFIER, &[sfi << 3]),
            None => fcp.primitive(SHORT_FILE_IDENTIFIER, &[]),
        };
    });
    fcp.into_bytes()
}

/// The FCP of the MF, a DF or an ADF. `enabled` tells whether a PIN is; `free` is the memory left, in bytes.
pub(crate) fn of_df(tree: &FileTree, number: FileNumber, enabled: impl Fn(u8) -> bool, free: usize) -> Vec<u8> {
    let Some(file) = tree.get(number) else { return Vec::new() };
    let mut fcp = Writer::new();
    fcp.constructed(FCP_TEMPLATE, |fcp| {
        fcp.primitive(FILE_DESCRIPTOR, &[0x78, DATA_CODING]);
        match file.kind {
            FileKind::Adf(aid) => fcp.primitive(DF_NAME, &aid),
            _ => fcp.primitive(FILE_IDENTIFIER, &file.fid.0.to_be_bytes()),
        };
        fcp.constructed(PROPRIETARY, |info| {
            info.primitive(UICC_CHARACTERISTICS, &[CHARACTERISTICS]);
            info.primitive(AVAILABLE_MEMORY, &u32::try_from(free).unwrap_or(u32::MAX).to_be_bytes());
            if matches!(file.kind, FileKind::Mf) {
                info.primitive(SUPPORTED_SYSTEM_COMMANDS, &[TERMINAL_CAPABILITY]);
            }
        });
        life_cycle_and_security(fcp, file);
        fcp.constructed(PIN_STATUS, |status| {
            for references in file.pin_status.chunks(8) {
                let bitmap = references
                    .iter()
                    .enumerate()
                    .fold(0, |bits: u8, (at, reference)| bits | if enabled(*reference) { 0x80 >> at } else { 0 });
                status.primitive(PS_DO, &[bitmap]);
                for reference in references {
                    status.primitive(KEY_REFERENCE, &[*reference]);
                }
            }
        });
    });
    fcp.into_bytes()
}

fn life_cycle_and_security(fcp: &mut Writer, file: &File) {
    fcp.primitive(LIFE_CYCLE_STATUS, &[file.life_cycle.0]);
    let [high, low] = file.access.arr.0.to_be_bytes();
    fcp.primitive(SECURITY_ATTRIBUTES, &[high, low, file.access.record]);
}

/// A size in at least two bytes.
fn size(size: u32) -> Vec<u8> {
    match u16::try_from(size) {
        Ok(size) => size.to_be_bytes().to_vec(),
        Err(_) => size.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AccessReference, FileId};
    use super::*;
    use hex_literal::hex;

    fn tree() -> FileTree {
        let rule = |record| AccessReference { arr: FileId::MF_ARR, record };
        let mut tree = FileTree::default();
        let mf = File { pin_status: vec![0x01, 0x0A], ..File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule(6)) };
        let mf = tree.insert(mf).unwrap();
        let iccid = FileKind::Ef(Structure::Transparent { size: 10 });
        tree.insert(File { sfi: Some(2), ..File::new(FileId::ICCID, mf, iccid, rule(2)) }).unwrap();
        let dir = FileKind::Ef(Structure::LinearFixed { record_length: 33, records: 4 });
        tree.insert(File::new(FileId::DIR, mf, dir, rule(2))).unwrap();
        tree
    }

    #[test]
    fn ef_iccid_as_real_cards_answer() {
        assert_eq!(of_ef(&tree(), FileNumber(1)), hex!("62178202412183022FE28A01058B032F06028002000A880110"));
    }

    #[test]
    fn records_and_a_missing_sfi() {
        assert_eq!(of_ef(&tree(), FileNumber(2)), hex!("621982054221002104 83022F00 8A0105 8B032F0602 80020084 8800"));
    }

    #[test]
    fn mf_shows_pin_states_and_memory() {
        let fcp = of_df(&tree(), FileNumber::MF, |reference| reference == 0x0A, 0x0004_0B98);
        assert_eq!(
            fcp,
            hex!("62298202782183023F00A50C8001718304 00040B98 8701018A01058B032F0606C60990014083010183010A")
        );
    }
}
