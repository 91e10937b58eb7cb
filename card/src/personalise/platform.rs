//! The platform's files: what is there while no profile is enabled. TS 102 221 §13, SGP.22 §2.4.

use card_os::DomainImage;
use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, Structure};

/// EF.UMPC: 60 mA, 60 s for the operator's timeout, no need for idle current, can be suspended. TS 102 221 §13.6.
const UMPC: [u8; 5] = [0x3C, 0x3C, 0x02, 0x00, 0x00];
const EF_UMPC: FileId = FileId(0x2F08);
const UMPC_SHORT_ID: u8 = 0x08;

/// Record of EF.ARR: read always, the rest ADM1, of which the platform has none.
const READ_ONLY: u8 = 10;
/// Record of EF.ARR for a DF: everything ADM1.
const CLOSED_DIRECTORY: u8 = 14;

/// MF, EF.ARR, EF.UMPC.
pub(super) fn files() -> DomainImage {
    let rule = |record| AccessReference { arr: FileId::MF_ARR, record };
    let arr = Structure::LinearFixed {
        record_length: u8::try_from(saip::access_rules::RECORD_LENGTH).unwrap_or(u8::MAX),
        records: u8::try_from(saip::access_rules::RECORDS.len()).unwrap_or(u8::MAX),
    };
    let umpc = Structure::Transparent { size: UMPC.len().try_into().unwrap_or(u32::MAX) };
    let mf = FileNumber::MF;
    let files = [
        (File::new(FileId::MF, mf, FileKind::Mf, rule(CLOSED_DIRECTORY)), Vec::new()),
        (
            File::new(FileId::MF_ARR, mf, FileKind::Ef(arr), rule(READ_ONLY)),
            saip::access_rules::ef_arr(saip::access_rules::RECORD_LENGTH),
        ),
        (
            File { sfi: Some(UMPC_SHORT_ID), ..File::new(EF_UMPC, mf, FileKind::Ef(umpc), rule(READ_ONLY)) },
            UMPC.to_vec(),
        ),
    ];
    let mut image = DomainImage::new();
    for (file, content) in files {
        // Three different names below one root: there is nothing to refuse.
        let added = image.add_file(file, content);
        debug_assert!(added.is_ok(), "{added:?}");
    }
    image
}
