//! Annex A.12: DF.EAP.

use hex_literal::hex;

use super::Content::Fill;
use super::{Template, VAR, df, transparent};
use crate::files::FileElementKind;

/// 2.23.143.1.2.12 `FilesEap`.
pub static EAP: Template = Template {
    number: 12,
    version: 1,
    element: FileElementKind::Eap,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, VAR, "DF.EAP"),
        transparent(0xA3, 0x4F01, "EF.EAPKEYS", VAR).arr(2).required().high_update(),
        transparent(0xA4, 0x4F02, "EF.EAPSTATUS", 1).arr(2).default(Fill(&hex!("00"))).high_update(),
        transparent(0xA5, 0x4F03, "EF.PUId", VAR).arr(2).required(),
        transparent(0xA6, 0x4F04, "EF.Ps", VAR).arr(5).high_update(),
        transparent(0xA7, 0x4F20, "EF.CurID", VAR).arr(5).high_update(),
        transparent(0xA8, 0x4F21, "EF.RelID", VAR).arr(5).required(),
        transparent(0xA9, 0x4F22, "EF.Realm", VAR).arr(5).required(),
    ],
    borrowed: &[],
};
