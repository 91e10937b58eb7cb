//! Annex A.13 to A.16: DF.5GS in its versions, DF.SAIP, DF.SNPN, DF.5G_ProSe.

use hex_literal::hex;

use super::Content::{Exact, Fill};
use super::{Template, VAR, ber_tlv, df, linear, transparent};
use crate::files::FileElementKind;

/// 2.23.143.1.2.13 `FilesUsimDf5GS`.
pub static DF_5GS: Template = Template {
    number: 13,
    version: 1,
    element: FileElementKind::Df5gs,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x5FC0, "DF.5GS").any(&[122, 123, 124, 126, 127, 129, 130]),
        transparent(0xA3, 0x4F01, "EF.5GS3GPPLOCI", 20)
            .arr(5)
            .sfi(0x01)
            .default(Exact(&hex!("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000001")))
            .high_update()
            .any(&[122]),
        transparent(0xA4, 0x4F02, "EF.5GSN3GPPLOCI", 20)
            .arr(5)
            .sfi(0x02)
            .default(Exact(&hex!("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000001")))
            .high_update()
            .any(&[122]),
        linear(0xA5, 0x4F03, "EF.5GS3GPPNSC", 1, 57).arr(5).sfi(0x03).high_update().any(&[122]),
        linear(0xA6, 0x4F04, "EF.5GSN3GPPNSC", 1, 57).arr(5).sfi(0x04).high_update().any(&[122]),
        transparent(0xA7, 0x4F05, "EF.5GAUTHKEYS", 110).arr(5).sfi(0x05).required().high_update().any(&[123]),
        transparent(0xA8, 0x4F06, "EF.UAC_AIC", 4).arr(2).sfi(0x06).required().any(&[126]),
        transparent(0xA9, 0x4F07, "EF.SUCI_Calc_Info", VAR).arr(2).sfi(0x07).but(124, 125),
        linear(0xAA, 0x4F08, "EF.OPL5G", VAR, 10).arr(10).sfi(0x08).any(&[129]),
        transparent(0xAB, 0x4F09, "EF.SUPI_NAI", VAR).arr(2).sfi(0x09).required().any(&[130]),
        transparent(0xAC, 0x4F0A, "EF.Routing_Indicator", 4)
            .arr(2)
            .sfi(0x0A)
            .default(Exact(&hex!("F0FFFFFF")))
            .any(&[124]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.13.2 `FilesUsimDf5GSv2`.
pub static DF_5GS_V2: Template = Template {
    number: 13,
    version: 2,
    element: FileElementKind::Df5gs,
    created_by_default: false,
    base: Some(&DF_5GS),
    rows: &[
        ber_tlv(0xAD, 0x4F0B, "EF.URSP", VAR).arr(2).any(&[132]),
        transparent(0xAE, 0x4F0C, "EF.TN3GPPSNN", 1).arr(2).sfi(0x0C).default(Fill(&hex!("00"))).any(&[135]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.13.3 `FilesUsimDf5GSv3`.
pub static DF_5GS_V3: Template = Template {
    number: 13,
    version: 3,
    element: FileElementKind::Df5gs,
    created_by_default: false,
    base: Some(&DF_5GS_V2),
    rows: &[
        linear(0xA5, 0x4F03, "EF.5GS3GPPNSC", 2, 62).arr(5).sfi(0x03).high_update().any(&[122]),
        linear(0xA6, 0x4F04, "EF.5GSN3GPPNSC", 2, 62).arr(5).sfi(0x04).high_update().any(&[122]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.13.4 `FilesUsimDf5GSv4`.
pub static DF_5GS_V4: Template = Template {
    number: 13,
    version: 4,
    element: FileElementKind::Df5gs,
    created_by_default: false,
    base: Some(&DF_5GS_V3),
    rows: &[
        transparent(0xAC, 0x4F0A, "EF.Routing_Indicator", 4)
            .arr(2)
            .sfi(0x0A)
            .default(Exact(&hex!("F0FF0000")))
            .any(&[124]),
        transparent(0xAF, 0x4F0D, "EF.CAG", 2).arr(2).sfi(0x0D).required().any(&[137]),
        transparent(0xB0, 0x4F0E, "EF.SOR_CMCI", VAR).arr(2).sfi(0x0E).required().any(&[138]),
        transparent(0xB1, 0x4F0F, "EF.DRI", 7).arr(2).sfi(0x0F).required().any(&[140]),
        transparent(0xB2, 0x4F10, "EF.5GSEDRX", 2).arr(2).sfi(0x10).required().any(&[141]),
        transparent(0xB3, 0x4F11, "EF.5GNSWO_CONF", 1).arr(2).sfi(0x11).required().any(&[142]),
        transparent(0xB4, 0x4F15, "EF.MCHPPLMN", 1).arr(2).sfi(0x15).required().any(&[144]),
        transparent(0xB5, 0x4F16, "EF.KAUSF_DERIVATION", 1).arr(2).sfi(0x16).required().any(&[145]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.14 `FilesUsimDfSaip`.
pub static DF_SAIP: Template = Template {
    number: 14,
    version: 1,
    element: FileElementKind::DfSaip,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x5FD0, "DF.SAIP").all(&[124, 125]),
        transparent(0xA3, 0x4F01, "EF.SUCICalcInfo", VAR).arr(3).all(&[124, 125]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.15 `FilesDfSnpn`.
pub static DF_SNPN: Template = Template {
    number: 15,
    version: 1,
    element: FileElementKind::DfSnpn,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x5FE0, "DF.SNPN").any(&[143, 146]),
        transparent(0xA3, 0x4F01, "EF.PWS_SNPN", 1).arr(10).required().any(&[143]),
        linear(0xA4, 0x4F02, "EF.NID", VAR, 6).arr(2).sfi(0x02).any(&[146]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.16 `FilesDf5GProSe`.
pub static DF_5G_PROSE: Template = Template {
    number: 16,
    version: 1,
    element: FileElementKind::Df5gProse,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x5FF0, "DF.5G_ProSe").any(&[139]),
        transparent(0xA3, 0x4F01, "EF.5G_PROSE_ST", 1).arr(2).sfi(0x01).required().any(&[139]),
        transparent(0xA4, 0x4F02, "EF.5G_PROSE_DD", 26).arr(2).sfi(0x02).required().any(&[139]),
        transparent(0xA5, 0x4F03, "EF.5G_PROSE_DC", 12).arr(2).sfi(0x03).required().any(&[139]),
        transparent(0xA6, 0x4F04, "EF.5G_PROSE_U2NRU", 32).arr(2).sfi(0x04).required().any(&[139]),
        transparent(0xA7, 0x4F05, "EF.5G_PROSE_RU", 29).arr(2).sfi(0x05).required().any(&[139]),
        transparent(0xA8, 0x4F06, "EF.5G_PROSE_UIR", 32).arr(2).sfi(0x06).required().any(&[139]),
        transparent(0xA9, 0x4F07, "EF.5G_PROSE_U2URU", VAR).arr(2).sfi(0x07).any(&[139]),
        transparent(0xAA, 0x4F08, "EF.5G_PROSE_EU", VAR).arr(2).sfi(0x08).any(&[139]),
    ],
    borrowed: &[],
};
