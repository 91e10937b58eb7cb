//! Files as a profile package describes them: what differs from the template.

use crate::access_rules;
use crate::file_management::Fcp;
use crate::files::{File, FileStep};
use crate::templates::{Row, RowKind, VAR};

impl File {
    /// The same with its identifier stated, not implied: tools that personalise profiles look for it.
    pub(super) fn identified(mut self, row: &Row) -> Self {
        if matches!(self.0.first(), Some(FileStep::DoNotCreate)) {
            return self;
        }
        if !matches!(self.0.first(), Some(FileStep::FileDescriptor(_))) {
            self.0.insert(0, FileStep::FileDescriptor(Box::default()));
        }
        if let (Some(FileStep::FileDescriptor(fcp)), true) = (self.0.first_mut(), row.file_id != VAR) {
            fcp.file_id.get_or_insert(row.file_id.to_be_bytes());
        }
        self
    }

    /// The same with content from its start.
    pub(super) fn filled(mut self, content: Vec<u8>) -> Self {
        self.0.push(FileStep::FillFileContent(content));
        self
    }
}

/// The template's file with this content.
pub(super) fn filled(content: Vec<u8>) -> File {
    File::default().filled(content)
}

/// The template's file but for some parameters.
pub(super) fn change(change: impl FnOnce(&mut Fcp)) -> File {
    let mut fcp = Fcp::default();
    change(&mut fcp);
    File(vec![FileStep::FileDescriptor(Box::new(fcp))])
}

/// A file just as large as its content.
pub(super) fn sized(content: Vec<u8>) -> File {
    change(|fcp| fcp.ef_file_size = Some(size(content.len()))).filled(content)
}

/// A linear fixed file of these records, as long as the longest.
pub(super) fn records(records: &[Vec<u8>]) -> File {
    let length = records.iter().map(Vec::len).max().unwrap_or(1);
    let mut content = Vec::with_capacity(length * records.len());
    for (number, record) in (1..).zip(records) {
        content.extend_from_slice(record);
        content.resize(number * length, 0xFF);
    }
    change(|fcp| linear_fixed(fcp, length, records.len())).filled(content)
}

/// Makes a file one of so many records of this length.
pub(super) fn linear_fixed(fcp: &mut Fcp, length: usize, count: usize) {
    with_records(fcp, LINEAR_FIXED, length, count);
}

/// The same, linear fixed or cyclic as the row has it.
pub(super) fn of_records(fcp: &mut Fcp, row: &Row, length: usize, count: usize) {
    let is_cyclic = matches!(row.kind, RowKind::Cyclic { .. });
    with_records(fcp, if is_cyclic { CYCLIC } else { LINEAR_FIXED }, length, count);
}

/// Shareable files of records; data coding as usual.
const LINEAR_FIXED: [u8; 2] = [0x42, 0x21];
const CYCLIC: [u8; 2] = [0x46, 0x21];

fn with_records(fcp: &mut Fcp, descriptor: [u8; 2], length: usize, count: usize) {
    let [.., high, low] = length.to_be_bytes();
    fcp.file_descriptor = Some([&descriptor[..], &[high, low]].concat());
    fcp.ef_file_size = Some(size(length * count));
}

/// A size without leading zeros.
pub(super) fn size(octets: usize) -> Vec<u8> {
    octets.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect()
}

/// EF.ARR with the rules that the templates refer to.
pub(super) fn ef_arr(sfi: u8, record_length: usize) -> File {
    change(|fcp| {
        linear_fixed(fcp, record_length, access_rules::RECORDS.len());
        fcp.short_ef_id = Some(vec![sfi << 3]);
    })
    .filled(access_rules::ef_arr(record_length))
}

/// An MF or DF that shows these PINs.
pub(super) fn with_pins(pins: &[u8]) -> File {
    change(|fcp| fcp.pin_status_template_do = Some(pins.to_vec()))
}

/// An ADF with its temporary file identifier, its AID and what its PIN status shows.
pub(super) fn adf(file_id: u16, aid: &[u8], pins: &[u8]) -> File {
    change(|fcp| {
        fcp.file_id = Some(file_id.to_be_bytes());
        fcp.df_name = Some(aid.to_vec());
        fcp.pin_status_template_do = Some(pins.to_vec());
    })
}
