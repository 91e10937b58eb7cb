//! Annex A.4 to A.7: ADF.USIM, its optional files, its phonebook, DF.GSM-ACCESS.

use hex_literal::hex;

use super::Content::{Exact, Fill, Padded, Repeat};
use super::{Template, VAR, adf, ber_tlv, cyclic, df, linear, transparent};
use crate::files::FileElementKind;

/// 2.23.143.1.2.4 `FilesUsimMandatory`.
pub static USIM: Template = Template {
    number: 4,
    version: 1,
    element: FileElementKind::Usim,
    created_by_default: true,
    base: None,
    rows: &[
        adf(0xA2, "ADF.USIM"),
        transparent(0xA3, 0x6F07, "EF.IMSI", 9).arr(2).sfi(0x07).required(),
        linear(0xA4, 0x6F06, "EF.ARR", VAR, VAR).arr(10).sfi(0x17).required(),
        transparent(0xA5, 0x6F08, "EF.Keys", 33).arr(5).sfi(0x08).default(Fill(&hex!("07FF"))).high_update(),
        transparent(0xA6, 0x6F09, "EF.KeysPS", 33).arr(5).sfi(0x09).default(Fill(&hex!("07FF"))).high_update(),
        transparent(0xA7, 0x6F31, "EF.HPPLMN", 1).arr(2).sfi(0x12).default(Fill(&hex!("0A"))),
        transparent(0xA8, 0x6F38, "EF.UST", 14).arr(2).sfi(0x04).required(),
        linear(0xA9, 0x6F3B, "EF.FDN", 20, 26).arr(8).any(&[2, 89]),
        linear(0xAA, 0x6F3C, "EF.SMS", 10, 176).arr(5).default(Fill(&hex!("00FF"))).any(&[10]),
        linear(0xAB, 0x6F42, "EF.SMSP", 1, 38).arr(5).any(&[12]),
        transparent(0xAC, 0x6F43, "EF.SMSS", 2).arr(5).any(&[10]),
        transparent(0xAD, 0x6F46, "EF.SPN", 17).arr(10).required().any(&[19]),
        transparent(0xAE, 0x6F56, "EF.EST", 1).arr(8).sfi(0x05).required().any(&[2, 6, 34, 35]),
        transparent(0xAF, 0x6F5B, "EF.START-HFN", 6)
            .arr(5)
            .sfi(0x0F)
            .default(Exact(&hex!("F00000F00000")))
            .high_update(),
        transparent(0xB0, 0x6F5C, "EF.THRESHOLD", 3).arr(2).sfi(0x10),
        transparent(0xB1, 0x6F73, "EF.PSLOCI", 14)
            .arr(5)
            .sfi(0x0C)
            .default(Exact(&hex!("FFFFFFFFFFFFFFFFFFFF0000FF01")))
            .high_update(),
        transparent(0xB2, 0x6F78, "EF.ACC", 2).arr(2).sfi(0x06).required(),
        transparent(0xB3, 0x6F7B, "EF.FPLMN", 12).arr(5).sfi(0x0D),
        transparent(0xB4, 0x6F7E, "EF.LOCI", 11)
            .arr(5)
            .sfi(0x0B)
            .default(Exact(&hex!("FFFFFFFFFFFFFF0000FF01")))
            .high_update(),
        transparent(0xB5, 0x6FAD, "EF.AD", 4).arr(10).sfi(0x03).default(Exact(&hex!("00000002"))),
        linear(0xB6, 0x6FB7, "EF.ECC", 1, 4).arr(10).sfi(0x01).required(),
        transparent(0xB7, 0x6FC4, "EF.NETPAR", 128).arr(5).high_update(),
        transparent(0xB8, 0x6FE3, "EF.EPSLOCI", 18)
            .arr(5)
            .sfi(0x1E)
            .default(Exact(&hex!("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFF000001")))
            .high_update()
            .any(&[85]),
        linear(0xB9, 0x6FE4, "EF.EPSNSC", 1, 80).arr(5).sfi(0x18).high_update().any(&[85]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.4.2 `FilesUsimMandatoryV2`.
pub static USIM_V2: Template = Template {
    number: 4,
    version: 2,
    element: FileElementKind::Usim,
    created_by_default: true,
    base: Some(&USIM),
    rows: &[transparent(0xA8, 0x6F38, "EF.UST", 17).arr(2).sfi(0x04).required()],
    borrowed: &[],
};

/// 2.23.143.1.2.5 `FilesUsimOptional`.
pub static OPT_USIM: Template = Template {
    number: 5,
    version: 1,
    element: FileElementKind::OptUsim,
    created_by_default: false,
    base: None,
    rows: &[
        transparent(0xA2, 0x6F05, "EF.LI", 6).arr(1).sfi(0x02),
        transparent(0xA3, 0x6F37, "EF.ACMmax", 3).arr(5).default(Fill(&hex!("00"))).any(&[13]),
        cyclic(0xA4, 0x6F39, "EF.ACM", 1, 3).arr(7).default(Fill(&hex!("00"))).high_update().any(&[13]),
        transparent(0xA5, 0x6F3E, "EF.GID1", 8).arr(2).required().any(&[17]),
        transparent(0xA6, 0x6F3F, "EF.GID2", 8).arr(2).required().any(&[18]),
        linear(0xA7, 0x6F40, "EF.MSISDN", 1, 24).arr(2).any(&[21]),
        transparent(0xA8, 0x6F41, "EF.PUCT", 5).arr(5).default(Exact(&hex!("FFFFFF0000"))).any(&[13]),
        transparent(0xA9, 0x6F45, "EF.CBMI", 10).arr(5).any(&[15]),
        transparent(0xAA, 0x6F48, "EF.CBMID", 10).arr(2).sfi(0x0E).any(&[29]),
        linear(0xAB, 0x6F49, "EF.SDN", 10, 24).arr(2).any(&[4, 89]),
        linear(0xAC, 0x6F4B, "EF.EXT2", 10, 13).arr(8).default(Fill(&hex!("00FF"))).any(&[3]),
        linear(0xAD, 0x6F4C, "EF.EXT3", 10, 13).arr(2).default(Fill(&hex!("00FF"))).any(&[5]),
        transparent(0xAE, 0x6F50, "EF.CBMIR", 20).arr(5).any(&[16]),
        transparent(0xAF, 0x6F60, "EF.PLMNwAcT", 40).arr(5).sfi(0x0A).default(Repeat(&hex!("FFFFFF0000"))).any(&[20]),
        transparent(0xB0, 0x6F61, "EF.OPLMNwAcT", 40).arr(2).sfi(0x11).default(Repeat(&hex!("FFFFFF0000"))).any(&[42]),
        transparent(0xB1, 0x6F62, "EF.HPLMNwAcT", 5).arr(2).sfi(0x13).default(Repeat(&hex!("FFFFFF0000"))).any(&[43]),
        transparent(0xB2, 0x6F2C, "EF.DCK", 16).arr(5).any(&[36]),
        transparent(0xB3, 0x6F32, "EF.CNL", 30).arr(2).any(&[37]),
        linear(0xB4, 0x6F47, "EF.SMSR", 10, 30).arr(5).default(Fill(&hex!("00FF"))).any(&[11]),
        linear(0xB5, 0x6F4D, "EF.BDN", 10, 25).arr(8).any(&[6]),
        linear(0xB6, 0x6F4E, "EF.EXT5", 10, 13).arr(5).default(Fill(&hex!("00FF"))).any(&[44]),
        linear(0xB7, 0x6F4F, "EF.CCP2", 5, 15).arr(5).sfi(0x16).any(&[14]),
        linear(0xB8, 0x6F55, "EF.EXT4", 10, 13).arr(8).default(Fill(&hex!("00FF"))).any(&[7]),
        transparent(0xB9, 0x6F57, "EF.ACL", 101).arr(8).default(Fill(&hex!("00FF"))).any(&[35]),
        linear(0xBA, 0x6F58, "EF.CMI", 10, 11).arr(2).any(&[6]),
        cyclic(0xBB, 0x6F80, "EF.ICI", 20, 38)
            .arr(5)
            .sfi(0x14)
            .default(Padded(&hex!("0000000001FFFF")))
            .high_update()
            .any(&[9]),
        cyclic(0xBC, 0x6F81, "EF.OCI", 20, 37)
            .arr(5)
            .sfi(0x15)
            .default(Padded(&hex!("00000001FFFF")))
            .high_update()
            .any(&[8]),
        cyclic(0xBD, 0x6F82, "EF.ICT", 1, 3).arr(7).default(Fill(&hex!("00"))).high_update().any(&[9]),
        cyclic(0xBE, 0x6F83, "EF.OCT", 1, 3).arr(7).default(Fill(&hex!("00"))).high_update().any(&[8]),
        transparent(0xBF1F, 0x6FB1, "EF.VGCS", 20).arr(2).required().any(&[57]),
        transparent(0xBF20, 0x6FB2, "EF.VGCSS", 7).arr(5).required().any(&[57]),
        transparent(0xBF21, 0x6FB3, "EF.VBS", 20).arr(2).required().any(&[58]),
        transparent(0xBF22, 0x6FB4, "EF.VBSS", 7).arr(5).required().any(&[58]),
        transparent(0xBF23, 0x6FB5, "EF.eMLPP", 2).arr(2).required().any(&[24]),
        transparent(0xBF24, 0x6FB6, "EF.AaeM", 1).arr(5).default(Fill(&hex!("00"))).any(&[25]),
        transparent(0xBF25, 0x6FC3, "EF.HiddenKey", 4).arr(5),
        linear(0xBF26, 0x6FC5, "EF.PNN", 10, 16).arr(10).sfi(0x19).required().any(&[45]),
        linear(0xBF27, 0x6FC6, "EF.OPL", 5, 8).arr(10).sfi(0x1A).required().any(&[46]),
        linear(0xBF28, 0x6FC7, "EF.MBDN", 3, 24).arr(5).required().any(&[47]),
        linear(0xBF29, 0x6FC8, "EF.EXT6", 10, 13).arr(5).default(Fill(&hex!("00FF"))).any(&[47]),
        linear(0xBF2A, 0x6FC9, "EF.MBI", 10, 5).arr(5).required().any(&[47]),
        linear(0xBF2B, 0x6FCA, "EF.MWIS", 10, 6).arr(5).default(Fill(&hex!("00"))).high_update().any(&[48]),
        linear(0xBF2C, 0x6FCB, "EF.CFIS", 10, 16).arr(5).default(Fill(&hex!("0100FF"))).any(&[49]),
        linear(0xBF2D, 0x6FCC, "EF.EXT7", 10, 13).arr(5).default(Fill(&hex!("00FF"))).any(&[49]),
        transparent(0xBF2E, 0x6FCD, "EF.SPDI", 17).arr(2).sfi(0x1B).required().any(&[51]),
        linear(0xBF2F, 0x6FCE, "EF.MMSN", 10, 6).arr(5).default(Fill(&hex!("000000FF"))).any(&[52]),
        linear(0xBF30, 0x6FCF, "EF.EXT8", 10, 13).arr(5).default(Fill(&hex!("00FF"))).any(&[53]),
        transparent(0xBF31, 0x6FD0, "EF.MMSICP", 100).arr(2).any(&[52]),
        linear(0xBF32, 0x6FD1, "EF.MMSUP", VAR, VAR).arr(5).any(&[52]),
        transparent(0xBF33, 0x6FD2, "EF.MMSUCP", 100).arr(5).all(&[52, 55]),
        linear(0xBF34, 0x6FD3, "EF.NIA", 5, 11).arr(2).any(&[56]),
        transparent(0xBF35, 0x6FD4, "EF.VGCSCA", VAR).arr(2).default(Fill(&hex!("00"))).any(&[64]),
        transparent(0xBF36, 0x6FD5, "EF.VBSCA", VAR).arr(2).default(Fill(&hex!("00"))).any(&[65]),
        transparent(0xBF37, 0x6FD6, "EF.GBABP", VAR).arr(5).any(&[68]),
        linear(0xBF38, 0x6FD7, "EF.MSK", VAR, VAR).arr(2).high_update().any(&[69]),
        linear(0xBF39, 0x6FD8, "EF.MUK", VAR, VAR).arr(2).any(&[69]),
        transparent(0xBF3A, 0x6FD9, "EF.EHPLMN", 15).arr(2).sfi(0x1D).any(&[71]),
        linear(0xBF3B, 0x6FDA, "EF.GBANL", VAR, VAR).arr(2).any(&[68]),
        transparent(0xBF3C, 0x6FDB, "EF.EHPLMNPI", 1).arr(2).default(Fill(&hex!("00"))).all(&[71, 73]),
        transparent(0xBF3D, 0x6FDC, "EF.LRPLMNSI", 1).arr(2).default(Fill(&hex!("00"))).any(&[74]),
        linear(0xBF3E, 0x6FDD, "EF.NAFKCA", VAR, VAR).arr(2).all(&[68, 76]),
        transparent(0xBF3F, 0x6FDE, "EF.SPNI", VAR).arr(10).default(Fill(&hex!("00FF"))).any(&[78]),
        linear(0xBF40, 0x6FDF, "EF.PNNI", VAR, VAR).arr(10).default(Fill(&hex!("00FF"))).any(&[79]),
        linear(0xBF41, 0x6FE2, "EF.NCP-IP", VAR, VAR).arr(2).required().any(&[80]),
        transparent(0xBF42, 0x6FE6, "EF.UFC", 30)
            .arr(10)
            .default(Exact(&hex!("801E60C01E900080040000000000000000F0000000004000000000000080"))),
        transparent(0xBF43, 0x6FE8, "EF.NASCONFIG", 18).arr(2).required().any(&[96]),
        linear(0xBF44, 0x6FE7, "EF.UICCIARI", VAR, VAR).arr(2).required().any(&[95]),
        transparent(0xBF45, 0x6FEC, "EF.PWS", VAR).arr(10).required().any(&[97]),
        linear(0xBF46, 0x6FED, "EF.FDNURI", VAR, VAR).arr(8).all(&[2, 99]),
        linear(0xBF47, 0x6FEE, "EF.BDNURI", VAR, VAR).arr(8).all(&[6, 99]),
        linear(0xBF48, 0x6FEF, "EF.SDNURI", VAR, VAR).arr(2).all(&[4, 99]),
        linear(0xBF49, 0x6FF0, "EF.IWL", VAR, VAR).arr(3).any(&[102]),
        cyclic(0xBF4A, 0x6FF1, "EF.IPS", VAR, 4).arr(10).high_update().any(&[102]),
        linear(0xBF4B, 0x6FF2, "EF.IPD", VAR, VAR).arr(3).high_update().any(&[102]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.5.2 `FilesUsimOptionalV2`.
pub static OPT_USIM_V2: Template = Template {
    number: 5,
    version: 2,
    element: FileElementKind::OptUsim,
    created_by_default: false,
    base: Some(&OPT_USIM),
    rows: &[
        transparent(0xBF4C, 0x6FF3, "EF.EPDGID", VAR).arr(2).required().all(&[106, 107]),
        transparent(0xBF4D, 0x6FF4, "EF.EPDGSELECTION", VAR).arr(2).required().all(&[106, 107]),
        transparent(0xBF4E, 0x6FF5, "EF.EPDGIDEM", VAR).arr(2).required().all(&[110, 111]),
        transparent(0xBF4F, 0x6FF6, "EF.EPDGIDEMSEL", VAR).arr(2).required().all(&[110, 111]),
        transparent(0xBF50, 0x6FF7, "EF.FromPreferred", 1).arr(2).default(Fill(&hex!("00"))).any(&[114]),
        ber_tlv(0xBF51, 0x6FF8, "EF.IMSConfigData", VAR).arr(2).required().any(&[115]),
        transparent(0xBF52, 0x6FF9, "EF.3GPPPSDataOff", 4).arr(2).required().any(&[117]),
        linear(0xBF53, 0x6FFA, "EF.3GPPPSDOSLIST", VAR, VAR).arr(2).required().any(&[118]),
        ber_tlv(0xBF54, 0x6FFC, "EF.XCAPConfigData", VAR).arr(2).required().any(&[120]),
        transparent(0xBF55, 0x6FFD, "EF.EARFCNLIST", VAR).arr(10).required().any(&[121]),
        ber_tlv(0xBF56, 0x6FFE, "EF.MudMidCfgdata", VAR).arr(2).required().any(&[134]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.5.3 `FilesUsimOptionalV3`.
pub static OPT_USIM_V3: Template = Template {
    number: 5,
    version: 3,
    element: FileElementKind::OptUsim,
    created_by_default: false,
    base: Some(&OPT_USIM_V2),
    rows: &[
        transparent(0xBF57, 0x6F01, "EF.eAKA", 1).arr(3).required(),
        transparent(0xBF58, 0x6F02, "EF.OCST", VAR).arr(2).any(&[148]),
        linear(0xBF59, 0x6F0A, "EF.AC_GBAUAPI", VAR, VAR).arr(2).any(&[68]),
        transparent(0xBF5A, 0x6F0B, "EF.IMSDCI", VAR).arr(2).any(&[150]),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.6 `FilesUsimDfPhonebook`.
pub static PHONEBOOK: Template = Template {
    number: 6,
    version: 1,
    element: FileElementKind::Phonebook,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x5F3A, "DF.PHONEBOOK").any(&[1]),
        linear(0xA3, 0x4F30, "EF.PBR", VAR, VAR).arr(2).required(),
        linear(0xA4, 0x4F38, "EF.EXT1", VAR, 13).arr(5).default(Fill(&hex!("00FF"))),
        linear(0xA5, 0x4F40, "EF.AAS", VAR, VAR).arr(5),
        linear(0xA6, 0x4F48, "EF.GAS", VAR, VAR).arr(5),
        transparent(0xA7, 0x4F22, "EF.PSC", 4).arr(5).default(Fill(&hex!("00"))),
        transparent(0xA8, 0x4F23, "EF.CC", 2).arr(5).default(Fill(&hex!("00"))).high_update(),
        transparent(0xA9, 0x4F24, "EF.PUID", 2).arr(5).default(Fill(&hex!("00"))).high_update(),
        linear(0xAA, 0x4F50, "EF.IAP", VAR, VAR).arr(5),
        linear(0xAB, 0x4F58, "EF.ADN", VAR, VAR).arr(5),
        // Its identifier follows its neighbours; profiles state it.
        linear(0xAC, 0x4F60, "EF.PBC", VAR, 2).arr(5).default(Fill(&hex!("00"))).high_update(),
        linear(0xAD, 0x4F68, "EF.ANR", VAR, VAR).arr(5),
        linear(0xAE, 0x4F70, "EF.PURI", VAR, VAR).arr(5).required(),
        linear(0xAF, 0x4F78, "EF.EMAIL", VAR, VAR).arr(5),
        linear(0xB0, 0x4F80, "EF.SNE", VAR, VAR).arr(5),
        linear(0xB1, 0x4F88, "EF.UID", VAR, 2).arr(5).default(Fill(&hex!("00"))),
        linear(0xB2, 0x4F90, "EF.GRP", VAR, VAR).arr(5).default(Fill(&hex!("00"))),
        linear(0xB3, 0x4F98, "EF.CCP1", VAR, VAR).arr(5),
    ],
    borrowed: &[],
};

/// 2.23.143.1.2.7 `FilesUsimDfGsmAccess`.
pub static GSM_ACCESS: Template = Template {
    number: 7,
    version: 1,
    element: FileElementKind::GsmAccess,
    created_by_default: false,
    base: None,
    rows: &[
        df(0xA2, 0x5F3B, "DF.GSM-ACCESS").any(&[27]),
        transparent(0xA3, 0x4F20, "EF.Kc", 9).arr(5).sfi(0x01).default(Padded(&hex!("07"))).high_update().any(&[27]),
        transparent(0xA4, 0x4F52, "EF.KcGPRS", 9)
            .arr(5)
            .sfi(0x02)
            .default(Padded(&hex!("07")))
            .high_update()
            .any(&[27]),
        transparent(0xA5, 0x4F63, "EF.CPBCCH", 10).arr(5).high_update().any(&[39]),
        transparent(0xA6, 0x4F64, "EF.InvScan", 1).arr(2).default(Fill(&hex!("00"))).any(&[40]),
    ],
    borrowed: &[],
};
