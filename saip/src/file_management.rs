//! `Fcp`, what a profile says about one file, and `PE-GenericFileManagement`, files outside the templates.

use crate::codec::{Cursor, Item, Value, put, sequence};
use crate::{Error, PeHeader};

sequence! {
    /// `Fcp`: file control parameters. What is absent comes from the template.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Fcp {
        /// File descriptor, TS 102 221 §11.1.1.4.3, with the record length for files of records.
        0x82 file_descriptor: Option<Vec<u8>> [2..=4],
        /// File identifier; for an ADF a temporary one, good for paths within the package.
        0x83 file_id: Option<[u8; 2]>,
        /// AID of an ADF.
        0x84 df_name: Option<Vec<u8>> [5..=16],
        /// Life cycle status: 05 activated, 04 deactivated.
        0x8A lcsi: [u8; 1] = Self::ACTIVATED,
        /// Record in EF.ARR, with or without the identifier of that file before it.
        0x8B security_attributes_referenced: Option<Vec<u8>> [1..=3],
        /// Size in octets, no leading zeros needed.
        0x80 ef_file_size: Option<Vec<u8>>,
        /// Key references for the PIN status template of a DF, bare.
        0xC6 pin_status_template_do: Option<Vec<u8>>,
        /// Short file identifier in the five high bits; empty for none.
        0x88 short_ef_id: Option<Vec<u8>> [0..=1],
        /// Special information and patterns.
        0xA5 proprietary_ef_info: Option<ProprietaryInfo>,
        /// The file is a link to the one at this path from the MF; empty for no link.
        0xC7 link_path: Option<Vec<u8>> [0..=8],
    }
}

impl Fcp {
    /// Life cycle status of a file that is in use.
    pub const ACTIVATED: [u8; 1] = [0x05];
}

impl Default for Fcp {
    fn default() -> Self {
        Self {
            file_descriptor: None,
            file_id: None,
            df_name: None,
            lcsi: Self::ACTIVATED,
            security_attributes_referenced: None,
            ef_file_size: None,
            pin_status_template_do: None,
            short_ef_id: None,
            proprietary_ef_info: None,
            link_path: None,
        }
    }
}

sequence! {
    /// `ProprietaryInfo`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ProprietaryInfo {
        /// Special file information, TS 102 221 §11.1.1.4.6: 80 high update activity, 40 usable while deactivated.
        0xC0 special_file_information: [u8; 1] = [0],
        /// First content: these octets, then the last of them again and again.
        0xC1 fill_pattern: Option<Vec<u8>> [1..=200],
        /// First content: these octets again and again.
        0xC2 repeat_pattern: Option<Vec<u8>> [1..=200],
        /// Most octets that a BER-TLV file may come to hold.
        0x86 maximum_file_size: Option<Vec<u8>>,
        /// Coding of the tags of a BER-TLV file: 01 for DER.
        0x84 file_details: [u8; 1] = [1],
    }
}

impl Default for ProprietaryInfo {
    fn default() -> Self {
        Self {
            special_file_information: [0],
            fill_pattern: None,
            repeat_pattern: None,
            maximum_file_size: None,
            file_details: [1],
        }
    }
}

sequence! {
    /// `PE-GenericFileManagement`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct GenericFileManagement {
        /// The header.
        0xA0 header: PeHeader,
        /// Lists of steps; the MF is current at the start.
        0xA1 file_management_cmd: Vec<FileManagement> [1..=usize::MAX],
    }
}

/// `FileManagement`: steps in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileManagement(pub Vec<FileManagementStep>);

/// One step of [`FileManagement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileManagementStep {
    /// Select the file at this path from the MF; empty for the MF.
    FilePath(Vec<u8>),
    /// Create a file in the current DF.
    CreateFcp(Box<Fcp>),
    /// Pass over so many octets of the current EF.
    FillFileOffset(u16),
    /// Write these octets.
    FillFileContent(Vec<u8>),
}

const FILE_PATH: u32 = 0x80;
const CREATE_FCP: u32 = 0x62;
const STEP_OFFSET: u32 = 0x02;
const STEP_CONTENT: u32 = 0x81;

impl Value for FileManagement {
    fn try_decode(content: &[u8], _: &'static str) -> Result<Self, Error> {
        let mut cursor = Cursor::new(content);
        let mut steps = Vec::new();
        while let Some((tag, value)) = cursor.next()? {
            steps.push(match tag {
                FILE_PATH if value.len() <= 8 && value.len() % 2 == 0 => FileManagementStep::FilePath(value.to_vec()),
                FILE_PATH => return Err(Error::BadValue("filePath")),
                CREATE_FCP => FileManagementStep::CreateFcp(Box::new(Fcp::try_decode(value, "createFCP")?)),
                STEP_OFFSET => FileManagementStep::FillFileOffset(u16::try_decode(value, "fillFileOffset")?),
                STEP_CONTENT => FileManagementStep::FillFileContent(value.to_vec()),
                _ => continue,
            });
        }
        Ok(Self(steps))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        for step in &self.0 {
            match step {
                FileManagementStep::FilePath(path) => put(out, FILE_PATH, |out| path.encode(out)),
                FileManagementStep::CreateFcp(fcp) => put(out, CREATE_FCP, |out| fcp.encode(out)),
                FileManagementStep::FillFileOffset(offset) => put(out, STEP_OFFSET, |out| offset.encode(out)),
                FileManagementStep::FillFileContent(content) => put(out, STEP_CONTENT, |out| content.encode(out)),
            }
        }
    }
}

impl Item for FileManagement {
    const TAG: u32 = 0x30;
}
