//! One file: what its descriptor says.

use crate::bytes::Bytes;
use apdu::Aid;
use apdu::tlv::{Reader, Writer};
use core::fmt;

/// File identifier. TS 102 221 §8.3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u16);

impl FileId {
    /// The root.
    pub const MF: Self = Self(0x3F00);
    /// The ADF of the application active on a channel.
    pub const CURRENT_ADF: Self = Self(0x7FFF);
    /// EF.ARR directly under the MF.
    pub const MF_ARR: Self = Self(0x2F06);
    /// EF.ARR elsewhere.
    pub const DF_ARR: Self = Self(0x6F06);
    /// EF.DIR.
    pub const DIR: Self = Self(0x2F00);
    /// EF.ICCID.
    pub const ICCID: Self = Self(0x2FE2);
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A file's number within its domain: its address in non-volatile memory. The MF is number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileNumber(pub u16);

impl FileNumber {
    /// The root of every tree.
    pub const MF: Self = Self(0);
}

/// How an EF's content is organised. TS 102 221 §8.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// A sequence of bytes.
    Transparent {
        /// Its length in bytes.
        size: u32,
    },
    /// Records of one length, addressed by number.
    LinearFixed {
        /// Bytes of a record.
        record_length: u8,
        /// Number of records, 1 to 254.
        records: u8,
    },
    /// Records of one length in a ring; record 1 is the one written last.
    Cyclic {
        /// Bytes of a record.
        record_length: u8,
        /// Number of records, 1 to 254.
        records: u8,
    },
    /// Data objects under BER tags.
    BerTlv {
        /// Bytes reserved for the content.
        reserved: u32,
        /// Bytes the content may take at most.
        maximum: u32,
    },
}

impl Structure {
    /// Bytes of content when the file is created; of a BER-TLV structure, those set aside.
    pub const fn size(self) -> u32 {
        match self {
            Self::Transparent { size } => size,
            Self::LinearFixed { record_length, records } | Self::Cyclic { record_length, records } => {
                record_length as u32 * records as u32
            }
            Self::BerTlv { reserved, .. } => reserved,
        }
    }
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The root.
    Mf,
    /// A directory.
    Df,
    /// An application's directory. Its file identifier is internal: hosts select it by AID or `7FFF`.
    Adf(Aid),
    /// An elementary file.
    Ef(Structure),
}

impl FileKind {
    /// Whether the file holds other files.
    pub const fn is_df(&self) -> bool {
        !matches!(self, Self::Ef(_))
    }
}

/// Life cycle status, tag `8A` of the FCP. ISO/IEC 7816-4 table 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifeCycle(pub u8);

impl LifeCycle {
    /// Operational state, activated.
    pub const ACTIVATED: Self = Self(0x05);
    /// Operational state, deactivated.
    pub const DEACTIVATED: Self = Self(0x04);
    /// Termination state.
    pub const TERMINATED: Self = Self(0x0C);

    /// Operational and activated, or not yet operational (creation, initialisation).
    pub const fn is_activated(self) -> bool {
        matches!(self.0, 0x01 | 0x03 | 0x05 | 0x07)
    }

    /// Operational, activated or not.
    pub const fn is_operational(self) -> bool {
        matches!(self.0, 0x04..=0x07)
    }

    /// Termination state.
    pub const fn is_terminated(self) -> bool {
        matches!(self.0, 0x0C..=0x0F)
    }
}

/// Where a file's access rules stand: an EF.ARR and a record of it. TS 102 221 §9.2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessReference {
    /// The EF.ARR, looked for in the file's DF and then upwards.
    pub arr: FileId,
    /// Record number, from 1.
    pub record: u8,
}

/// The security attributes of a file: its access rules, or where they stand. TS 102 221 §9.2, §11.1.1.4.7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Tag `8B`: one record of an EF.ARR, whatever the security environment.
    Arr(AccessReference),
    /// Tag `8B`: a record of an EF.ARR for each security environment. In one that is not named nothing is allowed.
    ArrBySe {
        /// The EF.ARR, looked for in the file's DF and then upwards.
        arr: FileId,
        /// Security environment identifier and record number.
        records: Vec<(u8, u8)>,
    },
    /// Tag `AB`: rules in expanded format.
    Expanded(Vec<u8>),
    /// Tag `8C`: rules in compact format.
    Compact(Vec<u8>),
}

impl From<AccessReference> for Security {
    fn from(reference: AccessReference) -> Self {
        Self::Arr(reference)
    }
}

impl Security {
    const REFERENCED: u8 = 0x8B;
    const EXPANDED: u8 = 0xAB;
    const COMPACT: u8 = 0x8C;

    /// The EF.ARR it refers to.
    pub const fn arr(&self) -> Option<FileId> {
        match self {
            Self::Arr(AccessReference { arr, .. }) | Self::ArrBySe { arr, .. } => Some(*arr),
            Self::Expanded(_) | Self::Compact(_) => None,
        }
    }

    /// Tag and value of the data object in the FCP.
    pub fn to_object(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Arr(AccessReference { arr: FileId(fid), record }) => {
                (Self::REFERENCED, [&fid.to_be_bytes()[..], &[*record]].concat())
            }
            Self::ArrBySe { arr: FileId(fid), records } => {
                let pairs = records.iter().flat_map(|(environment, record)| [*environment, *record]);
                (Self::REFERENCED, fid.to_be_bytes().into_iter().chain(pairs).collect())
            }
            Self::Expanded(rules) => (Self::EXPANDED, rules.clone()),
            Self::Compact(rules) => (Self::COMPACT, rules.clone()),
        }
    }

    /// Reads the data object of an FCP; `None` for another tag, or a reference that names no EF.ARR.
    pub fn from_object(tag: u8, value: &[u8]) -> Option<Self> {
        match (tag, value) {
            (Self::REFERENCED, [high, low, record]) => {
                Some(Self::Arr(AccessReference { arr: FileId(u16::from_be_bytes([*high, *low])), record: *record }))
            }
            (Self::REFERENCED, [high, low, pairs @ ..]) => {
                let (pairs, []) = pairs.as_chunks::<2>() else { return None };
                let records: Vec<(u8, u8)> =
                    pairs.iter().map(|[environment, record]| (*environment, *record)).collect();
                let arr = FileId(u16::from_be_bytes([*high, *low]));
                (!records.is_empty()).then_some(Self::ArrBySe { arr, records })
            }
            (Self::EXPANDED, rules) => Some(Self::Expanded(rules.to_vec())),
            (Self::COMPACT, rules) => Some(Self::Compact(rules.to_vec())),
            _ => None,
        }
    }
}

/// A file's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// File identifier; of an ADF, the profile's internal one.
    pub fid: FileId,
    /// The DF it lies in; the MF's own number for the MF.
    pub parent: FileNumber,
    /// What kind it is.
    pub kind: FileKind,
    /// Short file identifier, 1 to 30.
    pub sfi: Option<u8>,
    /// Life cycle status.
    pub life_cycle: LifeCycle,
    /// Access rules.
    pub access: Security,
    /// Special file information, tag `C0`: bit 8 for a high update activity, bit 7 for a file that may be read and updated while it
    /// is deactivated. TS 102 222 §6.3.2.2.2.
    pub special: u8,
    /// Whether several channels may have it current at once, as its descriptor says; see [`is_shareable`](Self::is_shareable).
    pub shareable: bool,
    /// Key references whose status the FCP of a DF shows, tag `C6`.
    pub pin_status: Vec<u8>,
    /// The file whose content (or children) this one shows instead of its own.
    pub link: Option<FileNumber>,
    /// File control parameters as another card gave them, template `62` and all; empty: they are made of the fields above. Of
    /// a template life cycle and PIN states are kept up to date, the rest is answered as it is.
    pub template: Vec<u8>,
    /// Of a directory, bytes set aside for the content of the files below it, tag `81`; `None`: they take theirs from where the
    /// directory around takes its own. TS 102 222 §6.3.2.2.1.
    pub total_size: Option<u32>,
    /// Further data objects of the proprietary information, tag `A5`, as they were given when the file was created.
    pub proprietary: Vec<u8>,
    /// Of a directory that is no application's, a name by which it is selected as well. TS 102 221 §8.4.1.
    pub df_name: Option<Aid>,
    /// Whether only a SIM has it: under other classes than `A0` nothing selects it.
    pub sim_only: bool,
}

impl File {
    /// Bit 7 of [`special`](Self::special).
    const USABLE_WHEN_DEACTIVATED: u8 = 0x40;

    /// A file with the values most have: activated, shareable, no SFI, no link.
    pub fn new(fid: FileId, parent: FileNumber, kind: FileKind, access: impl Into<Security>) -> Self {
        Self {
            fid,
            parent,
            kind,
            sfi: None,
            life_cycle: LifeCycle::ACTIVATED,
            access: access.into(),
            special: 0,
            shareable: true,
            pin_status: Vec::new(),
            link: None,
            template: Vec::new(),
            total_size: None,
            proprietary: Vec::new(),
            df_name: None,
            sim_only: false,
        }
    }

    /// Whether it may be read and updated while it is deactivated.
    pub(crate) const fn is_usable_when_deactivated(&self) -> bool {
        self.special & Self::USABLE_WHEN_DEACTIVATED != 0
    }

    /// Whether several channels may have it current at once. The MF always is: every channel begins there. TS 102 221 §8.7,
    /// §8.8.
    pub const fn is_shareable(&self) -> bool {
        self.shareable || matches!(self.kind, FileKind::Mf)
    }

    /// The descriptor as it lies in non-volatile memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let more = self.more();
        let format = match (more.is_empty(), self.template.is_empty()) {
            (true, true) => FORMAT,
            (true, false) => FORMAT_WITH_TEMPLATE,
            (false, _) => FORMAT_WITH_MORE,
        };
        let mut bytes = vec![format];
        bytes.extend(self.fid.0.to_be_bytes());
        bytes.extend(self.parent.0.to_be_bytes());
        bytes.extend([self.sfi.unwrap_or(0), self.life_cycle.0]);
        let (tag, rules) = self.access.to_object();
        let length = u16::try_from(rules.len()).unwrap_or(u16::MAX);
        bytes.push(tag);
        bytes.extend(length.to_be_bytes());
        bytes.extend(rules.iter().take(length.into()));
        bytes.extend([self.special, u8::from(self.shareable)]);
        bytes.extend(self.link.map_or(NO_LINK, |link| link.0).to_be_bytes());
        let counted = |bytes: &mut Vec<u8>, value: &[u8]| {
            bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
            bytes.extend(value.iter().take(usize::from(u8::MAX)));
        };
        counted(&mut bytes, &self.pin_status);
        match &self.kind {
            FileKind::Mf => bytes.push(kind::MF),
            FileKind::Df => bytes.push(kind::DF),
            FileKind::Adf(aid) => {
                bytes.push(kind::ADF);
                counted(&mut bytes, aid);
            }
            FileKind::Ef(Structure::Transparent { size }) => {
                bytes.push(kind::TRANSPARENT);
                bytes.extend(size.to_be_bytes());
            }
            FileKind::Ef(Structure::LinearFixed { record_length, records }) => {
                bytes.extend([kind::LINEAR_FIXED, *record_length, *records]);
            }
            FileKind::Ef(Structure::Cyclic { record_length, records }) => {
                bytes.extend([kind::CYCLIC, *record_length, *records]);
            }
            FileKind::Ef(Structure::BerTlv { reserved, maximum }) => {
                bytes.push(kind::BER_TLV);
                bytes.extend(reserved.to_be_bytes());
                bytes.extend(maximum.to_be_bytes());
            }
        }
        if format == FORMAT_WITH_MORE {
            bytes.extend(u16::try_from(more.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(more);
        }
        bytes.extend(&self.template);
        bytes
    }

    /// What few files have, as data objects.
    fn more(&self) -> Vec<u8> {
        let mut more = Writer::new();
        if let Some(total_size) = self.total_size {
            more.primitive(more::TOTAL_SIZE, &total_size.to_be_bytes());
        }
        if !self.proprietary.is_empty() {
            more.primitive(more::PROPRIETARY, &self.proprietary);
        }
        if let Some(name) = &self.df_name {
            more.primitive(more::DF_NAME, name);
        }
        if self.sim_only {
            more.primitive(more::SIM_ONLY, &[]);
        }
        more.into_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut at = Bytes(bytes);
        let format = at.u8()?;
        let (fid, parent) = (FileId(at.u16()?), FileNumber(at.u16()?));
        let (sfi, life_cycle) = (at.u8()?, LifeCycle(at.u8()?));
        let access = match format {
            FORMAT_1 => Security::Arr(AccessReference { arr: FileId(at.u16()?), record: at.u8()? }),
            FORMAT | FORMAT_WITH_TEMPLATE | FORMAT_WITH_MORE => {
                let (tag, length) = (at.u8()?, at.u16()?);
                Security::from_object(tag, at.take(length.into())?)?
            }
            _ => return None,
        };
        let (special, shareable) = (at.u8()?, at.u8()? != 0);
        let link = at.u16()?;
        let pin_status = at.counted()?.to_vec();
        let kind = match at.u8()? {
            kind::MF => FileKind::Mf,
            kind::DF => FileKind::Df,
            kind::ADF => FileKind::Adf(Aid::new(at.counted()?).ok()?),
            kind::TRANSPARENT => FileKind::Ef(Structure::Transparent { size: at.u32()? }),
            kind::LINEAR_FIXED => FileKind::Ef(Structure::LinearFixed { record_length: at.u8()?, records: at.u8()? }),
            kind::CYCLIC => FileKind::Ef(Structure::Cyclic { record_length: at.u8()?, records: at.u8()? }),
            kind::BER_TLV_OF_0_1 => FileKind::Ef(Structure::BerTlv { reserved: 0, maximum: at.u32()? }),
            kind::BER_TLV => FileKind::Ef(Structure::BerTlv { reserved: at.u32()?, maximum: at.u32()? }),
            _ => return None,
        };
        let more = if format == FORMAT_WITH_MORE { at.u16()? } else { 0 };
        let more = Reader::new(at.take(more.into())?);
        let object = |tag| more.find(tag).ok().map(|found| found.map(|object| object.value));
        let total_size = match object(more::TOTAL_SIZE)? {
            Some(size) => Some(u32::from_be_bytes(size.try_into().ok()?)),
            None => None,
        };
        let proprietary = object(more::PROPRIETARY)?.unwrap_or_default().to_vec();
        let df_name = match object(more::DF_NAME)? {
            Some(name) => Some(Aid::new(name).ok()?),
            None => None,
        };
        let sim_only = object(more::SIM_ONLY)?.is_some();
        Some(Self {
            fid,
            parent,
            kind,
            sfi: (sfi != 0).then_some(sfi),
            life_cycle,
            access,
            special,
            shareable,
            pin_status,
            link: (link != NO_LINK).then_some(FileNumber(link)),
            template: if matches!(format, FORMAT_1 | FORMAT) { Vec::new() } else { at.0.to_vec() },
            total_size,
            proprietary,
            df_name,
            sim_only,
        })
    }
}

/// First byte of a stored descriptor; changes with its layout.
const FORMAT: u8 = 2;
/// The same with a template of file control parameters behind it, to the end.
const FORMAT_WITH_TEMPLATE: u8 = 3;
/// The same with a counted list of [data objects](more) before the template.
const FORMAT_WITH_MORE: u8 = 4;
/// The layout of version 0.1.0, whose rules always stood in one record of an EF.ARR.
const FORMAT_1: u8 = 1;
const NO_LINK: u16 = 0xFFFF;

/// Data objects of a stored descriptor.
mod more {
    use apdu::tlv::Tag;

    pub(super) const TOTAL_SIZE: Tag = Tag(0x81);
    pub(super) const DF_NAME: Tag = Tag(0x84);
    pub(super) const PROPRIETARY: Tag = Tag(0xA5);
    pub(super) const SIM_ONLY: Tag = Tag(0xC1);
}

mod kind {
    pub(super) const MF: u8 = 0;
    pub(super) const DF: u8 = 1;
    pub(super) const ADF: u8 = 2;
    pub(super) const TRANSPARENT: u8 = 3;
    pub(super) const LINEAR_FIXED: u8 = 4;
    pub(super) const CYCLIC: u8 = 5;
    /// With nothing set aside, as version 0.1.0 had it.
    pub(super) const BER_TLV_OF_0_1: u8 = 6;
    pub(super) const BER_TLV: u8 = 7;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_survive_storage() {
        let access = AccessReference { arr: FileId::DF_ARR, record: 3 };
        let kinds = [
            FileKind::Mf,
            FileKind::Df,
            FileKind::Adf(Aid::new(&[0xA0, 0, 0, 0, 0x87, 0x10, 2]).unwrap()),
            FileKind::Ef(Structure::Transparent { size: 70_000 }),
            FileKind::Ef(Structure::LinearFixed { record_length: 255, records: 254 }),
            FileKind::Ef(Structure::Cyclic { record_length: 3, records: 1 }),
            FileKind::Ef(Structure::BerTlv { reserved: 300, maximum: 4096 }),
        ];
        for kind in kinds {
            let file = File {
                sfi: Some(7),
                life_cycle: LifeCycle::DEACTIVATED,
                special: 0x40,
                shareable: false,
                pin_status: vec![1, 0x0A],
                link: Some(FileNumber(9)),
                ..File::new(FileId(0x6F07), FileNumber(4), kind, access)
            };
            let bytes = file.to_bytes();
            assert_eq!(File::from_bytes(&bytes), Some(file));
            for end in 0..bytes.len() {
                assert_eq!(File::from_bytes(&bytes[..end]), None);
            }
            let file = File::from_bytes(&bytes).unwrap();
            let more = File {
                total_size: Some(70_000),
                proprietary: vec![0xD2, 1, 0x0F],
                df_name: Aid::new(&[0xA0; 12]).ok(),
                sim_only: true,
                ..file
            };
            for file in [File { template: vec![0x62, 0], ..more.clone() }, more] {
                let bytes = file.to_bytes();
                assert_eq!(File::from_bytes(&bytes).as_ref(), Some(&file));
                for end in 0..bytes.len() - file.template.len() {
                    assert_eq!(File::from_bytes(&bytes[..end]), None);
                }
            }
        }
    }

    #[test]
    fn security_attributes_survive_storage() {
        use hex_literal::hex;
        let by_se = Security::ArrBySe { arr: FileId(0x6F06), records: vec![(0x01, 2), (0x00, 11)] };
        let object = (0x8B, hex!("6F06 0102 000B").to_vec());
        assert_eq!((by_se.to_object(), Security::from_object(object.0, &object.1)), (object, Some(by_se.clone())));
        let expanded = Security::Expanded(hex!("8001019000").repeat(60));
        for security in [by_se, expanded, Security::Compact(hex!("0100").to_vec())] {
            let file = File::new(FileId(0x6F07), FileNumber(4), FileKind::Df, security);
            assert_eq!(File::from_bytes(&file.to_bytes()), Some(file));
        }
        for refused in [&hex!("6F06")[..], &hex!("6F06 0102 00"), &hex!("06"), &[]] {
            assert_eq!(Security::from_object(0x8B, refused), None);
        }
        assert_eq!(Security::from_object(0x86, &hex!("00")), None);
    }

    /// What version 0.1.0 wrote: EF.IMSI with SFI 7, rule 2 of EF.ARR 6F06, a link.
    #[test]
    fn descriptors_of_the_first_version_are_read() {
        let stored = hex_literal::hex!("01 6F07 0004 07 05 6F06 02 40 01 0009 00 03 00000009");
        let access = AccessReference { arr: FileId::DF_ARR, record: 2 };
        let kind = FileKind::Ef(Structure::Transparent { size: 9 });
        let file = File {
            sfi: Some(7),
            special: 0x40,
            link: Some(FileNumber(9)),
            ..File::new(FileId(0x6F07), FileNumber(4), kind, access)
        };
        assert_eq!(File::from_bytes(&stored), Some(file.clone()));
        assert_eq!(File::from_bytes(&file.to_bytes()), Some(file));
        // A BER-TLV structure of at most 512 bytes, for which it set nothing aside.
        let stored = hex_literal::hex!("01 6F31 0000 11 05 2F06 02 00 01 FFFF 00 06 00000200");
        let kind = FileKind::Ef(Structure::BerTlv { reserved: 0, maximum: 512 });
        assert_eq!(File::from_bytes(&stored).map(|file| file.kind), Some(kind));
    }
}
