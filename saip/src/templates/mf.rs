//! Annex A.1 and A.2: files at the level of the MF, DF.CD.

use super::{Template, VAR, df, linear, mf, transparent};
use crate::files::FileElementKind;

/// 2.23.143.1.2.1 `FilesAtMF`.
pub static MF: Template = Template {
    number: 1,
    version: 1,
    element: FileElementKind::Mf,
    created_by_default: true,
    base: None,
    rows: &[
        mf(0xA2),
        transparent(0xA3, 0x2F05, "EF.PL", 2).arr(1).sfi(0x05),
        transparent(0xA4, 0x2FE2, "EF.ICCID", 10).arr(11).required(),
        linear(0xA5, 0x2F00, "EF.DIR", VAR, VAR).arr(10).sfi(0x1E).required(),
        linear(0xA6, 0x2F06, "EF.ARR", VAR, VAR).arr(10).required(),
        transparent(0xA7, 0x2F08, "EF.UMPC", 5).arr(10).sfi(0x08),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.2 `FilesCD`.
pub static CD: Template = Template {
    number: 2,
    version: 1,
    element: FileElementKind::Cd,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x7F11, "DF.CD"),
        transparent(0xA3, 0x6F01, "EF.LAUNCHPAD", VAR).arr(2).required(),
        transparent(0xA4, 0x6F40, "EF.ICON", VAR).arr(2).required(),
    ],
    borrowed: &[],
};
