//! Annex A.8 and A.9: ADF.ISIM and its optional files.

use hex_literal::hex;

use super::Content::Fill;
use super::{Template, VAR, adf, ber_tlv, linear, transparent};
use crate::files::FileElementKind;

/// 2.23.143.1.2.8 `FilesIsimMandatory`.
pub static ISIM: Template = Template {
    number: 8,
    version: 1,
    element: FileElementKind::Isim,
    created_by_default: true,
    base: None,
    rows: &[
        adf(0xA2, "ADF.ISIM"),
        transparent(0xA3, 0x6F02, "EF.IMPI", VAR).arr(2).sfi(0x02).required(),
        linear(0xA4, 0x6F04, "EF.IMPU", 1, VAR).arr(2).sfi(0x04).required(),
        transparent(0xA5, 0x6F03, "EF.Domain", VAR).arr(2).sfi(0x05).required(),
        transparent(0xA6, 0x6F07, "EF.IST", 14).arr(2).sfi(0x07).required(),
        transparent(0xA7, 0x6FAD, "EF.AD", 3).arr(10).sfi(0x03).default(Fill(&hex!("00"))),
        linear(0xA8, 0x6F06, "EF.ARR", VAR, VAR).arr(10).sfi(0x06).required(),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.9 `FilesIsimOptional`.
pub static OPT_ISIM: Template = Template {
    number: 9,
    version: 1,
    element: FileElementKind::OptIsim,
    created_by_default: false,
    base: None,
    rows: &[
        linear(0xA2, 0x6F09, "EF.P-CSCF", 1, VAR).arr(2).required().any(&[1, 5]),
        linear(0xA3, 0x6F3C, "EF.SMS", 10, 176).arr(5).default(Fill(&hex!("00FF"))).any(&[6, 8]),
        linear(0xA4, 0x6F42, "EF.SMSP", 1, 38).arr(5).any(&[8]),
        transparent(0xA5, 0x6F43, "EF.SMSS", 2).arr(5).any(&[6, 8]),
        linear(0xA6, 0x6F47, "EF.SMSR", 10, 30).arr(5).default(Fill(&hex!("00FF"))).any(&[7, 8]),
        transparent(0xA7, 0x6FD5, "EF.GBABP", VAR).arr(5).any(&[2]),
        linear(0xA8, 0x6FD7, "EF.GBANL", VAR, VAR).arr(2).any(&[2]),
        linear(0xA9, 0x6FDD, "EF.NAFKCA", VAR, VAR).arr(2).all(&[2, 4]),
        linear(0xAA, 0x6FE7, "EF.UICCIARI", VAR, VAR).arr(2).required().any(&[10]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.9.2 `FilesIsimOptionalv2`.
pub static OPT_ISIM_V2: Template = Template {
    number: 9,
    version: 2,
    element: FileElementKind::OptIsim,
    created_by_default: false,
    base: Some(&OPT_ISIM),
    rows: &[
        linear(0xA2, 0x6F09, "EF.PCSCF", 1, VAR).arr(2).required().any(&[1, 5]),
        transparent(0xAB, 0x6FF7, "EF.FromPreferred", 1).arr(2).default(Fill(&hex!("00"))).any(&[17]),
        ber_tlv(0xAC, 0x6FF8, "EF.ImsConfigData", VAR).arr(2).required().any(&[18]),
        ber_tlv(0xAD, 0x6FFC, "EF.XcapconfigData", VAR).arr(2).required().any(&[19]),
        linear(0xAE, 0x6FFA, "EF.WebRTCURI", VAR, VAR).arr(2).required().any(&[20]),
        ber_tlv(0xAF, 0x6FFE, "EF.MudMidCfgData", VAR).arr(2).required().any(&[21]),
        linear(0xB0, 0x6F0A, "EF.AC_GBAUAPI", VAR, VAR).arr(2).any(&[2]),
        transparent(0xB1, 0x6F0B, "EF.IMSDCI", VAR).arr(2).any(&[22]),
    ],
    borrowed: &[],
};
