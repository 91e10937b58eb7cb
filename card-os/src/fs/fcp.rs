//! File control parameters, the answer to SELECT. TS 102 221 §11.1.1.3.

use super::{File, FileKind, FileNumber, FileTree, KeyReference, Structure};
use apdu::tlv::{Tag, Tlv, Writer};

pub(super) const FCP_TEMPLATE: Tag = Tag(0x62);
pub(super) const FILE_SIZE: Tag = Tag(0x80);
pub(super) const TOTAL_FILE_SIZE: Tag = Tag(0x81);
pub(super) const FILE_DESCRIPTOR: Tag = Tag(0x82);
pub(super) const FILE_IDENTIFIER: Tag = Tag(0x83);
pub(super) const DF_NAME: Tag = Tag(0x84);
pub(super) const SHORT_FILE_IDENTIFIER: Tag = Tag(0x88);
pub(super) const LIFE_CYCLE_STATUS: Tag = Tag(0x8A);
pub(super) const PROPRIETARY: Tag = Tag(0xA5);
pub(super) const UICC_CHARACTERISTICS: Tag = Tag(0x80);
pub(super) const AVAILABLE_MEMORY: Tag = Tag(0x83);
pub(super) const FILE_DETAILS: Tag = Tag(0x84);
pub(super) const RESERVED_FILE_SIZE: Tag = Tag(0x85);
pub(super) const MAXIMUM_FILE_SIZE: Tag = Tag(0x86);
pub(super) const SUPPORTED_SYSTEM_COMMANDS: Tag = Tag(0x87);
pub(super) const SPECIAL_FILE_INFORMATION: Tag = Tag(0xC0);
pub(super) const PIN_STATUS: Tag = Tag(0xC6);
pub(super) const PS_DO: Tag = Tag(0x90);
pub(super) const USAGE_QUALIFIER: Tag = Tag(0x95);
pub(super) const KEY_REFERENCE: Tag = Tag(0x83);

/// File descriptor byte of a DF or ADF, but for bit 7.
pub(super) const DIRECTORY: u8 = 0x38;
/// Data coding byte: write-once memory, one byte as data unit.
const DATA_CODING: u8 = 0x21;
/// Clock stop allowed in either state, no clock speed wanted. TS 102 221 table 11.5.
const CHARACTERISTICS: u8 = 0x71;
/// TERMINAL CAPABILITY is supported. TS 102 221 §11.1.1.4.6.9.
const TERMINAL_CAPABILITY: u8 = 0x01;

/// Objects may be in DER. TS 102 221 §11.1.1.4.6.5 asks for it where a file is BER-TLV; the sysmoISIM-SJA5 answers it.
const DER: u8 = 0x01;
/// Usage qualifier of the universal PIN: verify it, or do not. TS 102 221 §9.5.2.
const USE_UNIVERSAL_PIN: u8 = 0x08;
const DO_NOT_USE_UNIVERSAL_PIN: u8 = 0x00;

/// The FCP of an EF; empty for a DF.
pub(crate) fn of_ef(tree: &FileTree, number: FileNumber) -> Vec<u8> {
    let (Some(file), Some(body)) = (tree.get(number), tree.get(tree.body(number))) else { return Vec::new() };
    let FileKind::Ef(structure) = body.kind else { return Vec::new() };
    if !file.template.is_empty() {
        return kept_up(file, |_| false);
    }
    let mut fcp = Writer::new();
    fcp.constructed(FCP_TEMPLATE, |fcp| {
        let (kind, record) = match structure {
            Structure::Transparent { .. } => (0x01, None),
            Structure::LinearFixed { record_length, records } => (0x02, Some([0, record_length, records])),
            Structure::Cyclic { record_length, records } => (0x06, Some([0, record_length, records])),
            Structure::BerTlv { .. } => (0x39, None),
        };
        let mut descriptor = vec![shareable(file) | kind, DATA_CODING];
        descriptor.extend(record.into_iter().flatten());
        fcp.primitive(FILE_DESCRIPTOR, &descriptor);
        fcp.primitive(FILE_IDENTIFIER, &file.fid.0.to_be_bytes());
        let (file_size, grows) = match structure {
            Structure::BerTlv { reserved, maximum } => (maximum, Some((reserved, maximum))),
            _ => (structure.size(), None),
        };
        if file.special != 0 || grows.is_some() || !file.proprietary.is_empty() {
            fcp.constructed(PROPRIETARY, |info| {
                if let Some((reserved, maximum)) = grows {
                    info.primitive(FILE_DETAILS, &[DER]);
                    // Bytes that no other file can take. TS 102 221 §11.1.1.4.6.6.
                    info.primitive(RESERVED_FILE_SIZE, &size(reserved));
                    info.primitive(MAXIMUM_FILE_SIZE, &size(maximum));
                }
                if file.special != 0 {
                    info.primitive(SPECIAL_FILE_INFORMATION, &[file.special]);
                }
                info.raw(&file.proprietary);
            });
        }
        life_cycle_and_security(fcp, file);
        fcp.primitive(FILE_SIZE, &size(file_size));
        match file.sfi {
            Some(sfi) => fcp.primitive(SHORT_FILE_IDENTIFIER, &[sfi << 3]),
            None => fcp.primitive(SHORT_FILE_IDENTIFIER, &[]),
        };
    });
    fcp.into_bytes()
}

/// The FCP of the MF, a DF or an ADF. `enabled` tells whether a PIN is, `universal_pin` whether the universal PIN is the one to
/// verify; `free` is the memory left for files in it, in bytes.
pub(crate) fn of_df(
    tree: &FileTree,
    number: FileNumber,
    enabled: impl Fn(u8) -> bool,
    universal_pin: bool,
    free: usize,
) -> Vec<u8> {
    let Some(file) = tree.get(number) else { return Vec::new() };
    if !file.template.is_empty() {
        return kept_up(file, enabled);
    }
    let mut fcp = Writer::new();
    fcp.constructed(FCP_TEMPLATE, |fcp| {
        fcp.primitive(FILE_DESCRIPTOR, &[shareable(file) | DIRECTORY, DATA_CODING]);
        match file.kind {
            FileKind::Adf(aid) => fcp.primitive(DF_NAME, &aid),
            _ => fcp.primitive(FILE_IDENTIFIER, &file.fid.0.to_be_bytes()),
        };
        if let Some(name) = &file.df_name {
            fcp.primitive(DF_NAME, name);
        }
        fcp.constructed(PROPRIETARY, |info| {
            info.primitive(UICC_CHARACTERISTICS, &[CHARACTERISTICS]);
            info.primitive(AVAILABLE_MEMORY, &u32::try_from(free).unwrap_or(u32::MAX).to_be_bytes());
            if matches!(file.kind, FileKind::Mf) {
                info.primitive(SUPPORTED_SYSTEM_COMMANDS, &[TERMINAL_CAPABILITY]);
            }
            info.raw(&file.proprietary);
        });
        life_cycle_and_security(fcp, file);
        fcp.constructed(PIN_STATUS, |status| {
            // One bit map for all keys, of one byte at least. TS 102 221 §9.5.2.
            let mut bitmap = vec![0; file.pin_status.len().div_ceil(8).max(1)];
            for (byte, references) in bitmap.iter_mut().zip(file.pin_status.chunks(8)) {
                let bits = references.iter().zip(0..8);
                *byte = bits.filter(|(reference, _)| enabled(**reference)).fold(0, |bits, (_, at)| bits | 0x80 >> at);
            }
            status.primitive(PS_DO, &bitmap);
            for reference in &file.pin_status {
                if *reference == KeyReference::UNIVERSAL_PIN.0 {
                    let usage = if universal_pin { USE_UNIVERSAL_PIN } else { DO_NOT_USE_UNIVERSAL_PIN };
                    status.primitive(USAGE_QUALIFIER, &[usage]);
                }
                status.primitive(KEY_REFERENCE, &[*reference]);
            }
        });
        if let Some(total_size) = file.total_size {
            fcp.primitive(TOTAL_FILE_SIZE, &size(total_size));
        }
    });
    fcp.into_bytes()
}

/// The template of a file, with its life cycle and the states of its PINs as they are now. What is no template of data objects is
/// answered as it stands.
fn kept_up(file: &File, enabled: impl Fn(u8) -> bool) -> Vec<u8> {
    let Ok(template) = Tlv::parse(&file.template) else { return file.template.clone() };
    let mut fcp = Writer::new();
    let mut inside = template.children();
    fcp.constructed(template.tag, |fcp| {
        while let Ok(Some(object)) = inside.next() {
            match (object.tag, object.value) {
                (LIFE_CYCLE_STATUS, [_]) => fcp.primitive(LIFE_CYCLE_STATUS, &[file.life_cycle.0]),
                (PIN_STATUS, _) => fcp.constructed(PIN_STATUS, |status| pin_states(status, &object, &enabled)),
                (tag, value) => fcp.primitive(tag, value),
            };
        }
        fcp.raw(inside.rest());
    });
    fcp.into_bytes()
}

/// A PIN status template with the bits of its PS_DO anew; the keys stand in the order that the card gave.
fn pin_states(status: &mut Writer, template: &Tlv<'_>, enabled: &impl Fn(u8) -> bool) {
    let mut keys = Vec::new();
    let mut objects = template.children();
    while let Ok(Some(object)) = objects.next() {
        if let (KEY_REFERENCE, [reference]) = (object.tag, object.value) {
            keys.push(*reference);
        }
    }
    let mut objects = template.children();
    while let Ok(Some(object)) = objects.next() {
        if object.tag != PS_DO {
            status.primitive(object.tag, object.value);
            continue;
        }
        let mut bitmap = object.value.to_vec();
        for (byte, references) in bitmap.iter_mut().zip(keys.chunks(8)) {
            let bits = references.iter().zip(0..8);
            let (known, set) = bits.fold((0, 0), |(known, set), (reference, at)| {
                let bit = 0x80_u8 >> at;
                (known | bit, if enabled(*reference) { set | bit } else { set })
            });
            *byte = *byte & !known | set;
        }
        status.primitive(PS_DO, &bitmap);
    }
}

/// Bit 7 of the file descriptor byte. TS 102 221 table 11.5.
const fn shareable(file: &File) -> u8 {
    if file.is_shareable() { 0x40 } else { 0x00 }
}

fn life_cycle_and_security(fcp: &mut Writer, file: &File) {
    fcp.primitive(LIFE_CYCLE_STATUS, &[file.life_cycle.0]);
    let (tag, rules) = file.access.to_object();
    fcp.primitive(Tag(tag.into()), &rules);
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
    use super::super::{AccessReference, FileId, Security};
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

    /// A template is answered in its own order, with what has changed since.
    #[test]
    fn a_template_is_kept_up_to_date() {
        let mut tree = tree();
        let template =
            hex!("6229 82027821 83023F00 A509 8001F1 870100 880100 8A0105 8B032F060F C60C 900120 830101 830181 83010A");
        tree.get_mut(FileNumber::MF).unwrap().template = template.to_vec();
        let fcp = |tree: &FileTree, key| of_df(tree, FileNumber::MF, |reference| reference == key, false, 7);
        assert_eq!(fcp(&tree, 0x0A), template);
        tree.get_mut(FileNumber::MF).unwrap().life_cycle = super::super::LifeCycle::DEACTIVATED;
        let changed =
            hex!("6229 82027821 83023F00 A509 8001F1 870100 880100 8A0104 8B032F060F C60C 900180 830101 830181 83010A");
        assert_eq!(fcp(&tree, 0x01), changed);
        let ef = tree.get_mut(FileNumber(1)).unwrap();
        ef.template = hex!("6207 8A0105 8102 0000").to_vec();
        assert_eq!(of_ef(&tree, FileNumber(1)), hex!("6207 8A0105 8102 0000"));
        let stored = tree.get(FileNumber(1)).unwrap();
        assert_eq!(File::from_bytes(&stored.to_bytes()).as_ref(), Some(stored));
    }

    #[test]
    fn records_and_a_missing_sfi() {
        assert_eq!(of_ef(&tree(), FileNumber(2)), hex!("621982054221002104 83022F00 8A0105 8B032F0602 80020084 8800"));
    }

    #[test]
    fn mf_shows_pin_states_and_memory() {
        let fcp = of_df(&tree(), FileNumber::MF, |reference| reference == 0x0A, false, 0x0004_0B98);
        assert_eq!(
            fcp,
            hex!("62298202782183023F00A50C8001718304 00040B98 8701018A01058B032F0606C60990014083010183010A")
        );
    }

    /// TS 102 221 §9.5.2: one bit map whatever the number of keys, in their order; the universal PIN with its usage qualifier.
    #[test]
    fn pin_status_template() {
        let status = |keys: &[u8], universal_pin| {
            let mut tree = tree();
            tree.get_mut(FileNumber::MF).unwrap().pin_status = keys.to_vec();
            let fcp = of_df(&tree, FileNumber::MF, |reference| reference % 2 == 1, universal_pin, 0);
            let from = fcp.windows(4).position(|bytes| bytes == hex!("8B032F06")).unwrap() + 5;
            fcp[from..].to_vec()
        };
        assert_eq!(status(&[], false), hex!("C603 900100"));
        assert_eq!(status(&[0x01], false), hex!("C606 900180 830101"));
        assert_eq!(status(&[0x01, 0x11], false), hex!("C60C 9001C0 830101 950100 830111"));
        assert_eq!(status(&[0x11, 0x81], true), hex!("C60C 9001C0 950108 830111 830181"));
        assert_eq!(
            status(&[0x01, 0x02, 0x03, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x81], false),
            hex!("C61F 9002AA80 830101 830102 830103 83010A 83010B 83010C 83010D 83010E 830181")
        );
    }

    /// TS 102 221 §11.1.1.4.6: file details, reserved and maximum size of a BER-TLV structure EF. Reserved is what its maker
    /// has set aside, as the sysmoISIM-SJA5 answers it, and is really there for it: see the test of a full card.
    #[test]
    fn ber_tlv_structure() {
        let mut tree = tree();
        let rule = AccessReference { arr: FileId::MF_ARR, record: 2 };
        let kind = FileKind::Ef(Structure::BerTlv { reserved: 300, maximum: 512 });
        let number =
            tree.insert(File { special: 0x40, ..File::new(FileId(0x2F77), FileNumber::MF, kind, rule) }).unwrap();
        assert_eq!(
            of_ef(&tree, number),
            hex!("6226 82027921 83022F77 A50E 840101 8502012C 86020200 C00140 8A0105 8B032F0602 80020200 8800")
        );
    }

    /// TS 102 221 §11.1.1.4.7: referenced by environment, expanded, compact.
    #[test]
    fn security_attributes() {
        let attributes = |security: Security| {
            let mut tree = tree();
            let kind = FileKind::Ef(Structure::Transparent { size: 1 });
            let number = tree.insert(File::new(FileId(0x2F77), FileNumber::MF, kind, security)).unwrap();
            let fcp = of_ef(&tree, number);
            fcp[13..fcp.len() - 6].to_vec()
        };
        let by_se = Security::ArrBySe { arr: FileId::MF_ARR, records: vec![(1, 2), (0, 11)] };
        assert_eq!(attributes(by_se), hex!("8B06 2F06 0102 000B"));
        assert_eq!(attributes(Security::Expanded(hex!("8001019000").to_vec())), hex!("AB05 8001019000"));
        assert_eq!(attributes(Security::Compact(hex!("0100").to_vec())), hex!("8C02 0100"));
    }
}
