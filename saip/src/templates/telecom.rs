//! Annex A.3: DF.TELECOM with graphics, phonebook, multimedia, MMSS, and since its second version MCS and V2X.

use hex_literal::hex;

use super::Content::Fill;
use super::{Template, VAR, ber_tlv, df, linear, transparent};
use crate::files::FileElementKind;

/// 2.23.143.1.2.3 `FilesTelecom`.
pub static TELECOM: Template = Template {
    number: 3,
    version: 1,
    element: FileElementKind::Telecom,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x7F10, "DF.TELECOM"),
        linear(0xA3, 0x6F06, "EF.ARR", VAR, VAR).arr(10).required(),
        linear(0xA4, 0x6F53, "EF.RMA", VAR, VAR).arr(3).required(),
        transparent(0xA5, 0x6F54, "EF.SUME", 22).arr(3).required(),
        linear(0xA6, 0x6FE0, "EF.ICE_DN", 50, 24).arr(9),
        linear(0xA7, 0x6FE1, "EF.ICE_FF", VAR, VAR).arr(9),
        linear(0xA8, 0x6FE5, "EF.PSISMSC", VAR, VAR).arr(5).required().all(&[12, 91]),
        df(0xA9, 0x5F50, "DF.GRAPHICS"),
        linear(0xAA, 0x4F20, "EF.IMG", VAR, VAR).arr(2).default(Fill(&hex!("00FF"))).within(0xA9).any(&[22]),
        transparent(0xAB, 0x4F40, "EF.IIDF", VAR).arr(2).within(0xA9).any(&[22]),
        ber_tlv(0xAC, 0x4F21, "EF.ICE_GRAPHICS", VAR).arr(9).within(0xA9),
        transparent(0xAD, 0x4F01, "EF.LAUNCH_SCWS", VAR).arr(10).required().within(0xA9),
        transparent(0xAE, 0x4F80, "EF.ICON", VAR).arr(10).required().within(0xA9),
        df(0xAF, 0x5F3A, "DF.PHONEBOOK"),
        linear(0xB0, 0x4F30, "EF.PBR", VAR, VAR).arr(2).required().within(0xAF),
        linear(0xB1, 0x4F38, "EF.EXT1", VAR, 13).arr(5).default(Fill(&hex!("00FF"))).within(0xAF),
        linear(0xB2, 0x4F40, "EF.AAS", VAR, VAR).arr(5).within(0xAF),
        linear(0xB3, 0x4F48, "EF.GAS", VAR, VAR).arr(5).within(0xAF),
        transparent(0xB4, 0x4F22, "EF.PSC", 4).arr(5).default(Fill(&hex!("00"))).within(0xAF),
        transparent(0xB5, 0x4F23, "EF.CC", 2).arr(5).default(Fill(&hex!("00"))).high_update().within(0xAF),
        transparent(0xB6, 0x4F24, "EF.PUID", 2).arr(5).default(Fill(&hex!("00"))).high_update().within(0xAF),
        linear(0xB7, 0x4F50, "EF.IAP", VAR, VAR).arr(5).within(0xAF),
        linear(0xB8, 0x4F58, "EF.ADN", VAR, VAR).arr(5).within(0xAF),
        // Its identifier follows its neighbours; profiles state it.
        linear(0xB9, 0x4F60, "EF.PBC", VAR, 2).arr(5).default(Fill(&hex!("00"))).high_update().within(0xAF),
        linear(0xBA, 0x4F68, "EF.ANR", VAR, VAR).arr(5).within(0xAF),
        linear(0xBB, 0x4F70, "EF.PURI", VAR, VAR).arr(5).required().within(0xAF),
        linear(0xBC, 0x4F78, "EF.EMAIL", VAR, VAR).arr(5).within(0xAF),
        linear(0xBD, 0x4F80, "EF.SNE", VAR, VAR).arr(5).within(0xAF),
        linear(0xBE, 0x4F88, "EF.UID", VAR, 2).arr(5).default(Fill(&hex!("00"))).within(0xAF),
        linear(0xBF1F, 0x4F90, "EF.GRP", VAR, VAR).arr(5).default(Fill(&hex!("00"))).within(0xAF),
        linear(0xBF20, 0x4F98, "EF.CCP1", VAR, VAR).arr(5).within(0xAF),
        df(0xBF21, 0x5F3B, "DF.MULTIMEDIA").any(&[67]),
        ber_tlv(0xBF22, 0x4F47, "EF.MML", VAR).arr(5).within(0xBF21).any(&[67]),
        ber_tlv(0xBF23, 0x4F48, "EF.MMDF", VAR).arr(5).within(0xBF21).any(&[67]),
        df(0xBF24, 0x5F3C, "DF.MMSS"),
        transparent(0xBF25, 0x4F20, "EF.MLPL", VAR).arr(2).sfi(0x01).required().within(0xBF24),
        transparent(0xBF26, 0x4F21, "EF.MSPL", VAR).arr(2).sfi(0x02).required().within(0xBF24),
        transparent(0xBF27, 0x4F22, "EF.MMSSMODE", 1).arr(2).sfi(0x03).required().within(0xBF24),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.3.2 `FilesTelecomV2`.
pub static TELECOM_V2: Template = Template {
    number: 3,
    version: 2,
    element: FileElementKind::Telecom,
    created_by_default: false,
    base: Some(&TELECOM),
    rows: &[
        df(0xBF28, 0x5F3D, "DF.MCS").any(&[109]),
        transparent(0xBF29, 0x4F01, "EF.MST", VAR).arr(2).sfi(0x01).required().within(0xBF28).any(&[109]),
        ber_tlv(0xBF2A, 0x4F02, "EF.MCSCONFIG", VAR).arr(2).sfi(0x02).required().within(0xBF28).any(&[109]),
        df(0xBF2B, 0x5F3E, "DF.V2X").any(&[119]),
        transparent(0xBF2C, 0x4F01, "EF.VST", VAR).arr(2).sfi(0x01).required().within(0xBF2B).any(&[119]),
        ber_tlv(0xBF2D, 0x4F02, "EF.V2X_CONFIG", VAR).arr(2).sfi(0x02).required().within(0xBF2B).any(&[119]),
        transparent(0xBF2E, 0x4F03, "EF.V2XP_PC5", VAR).arr(2).required().within(0xBF2B).any(&[119]),
        transparent(0xBF2F, 0x4F04, "EF.V2XP_Uu", VAR).arr(2).required().within(0xBF2B).any(&[119]),
    ],
    borrowed: &[],
};
