//! Files of TS 31.102 that no template of TCA has. A profile creates them with `PE-GenericFileManagement`; tags here only tell the
//! rows apart.

use hex_literal::hex;

use super::Content::{Fill, Repeat};
use super::{Template, VAR, df, linear, transparent};
use crate::files::FileElementKind;

/// Files of ADF.USIM outside the templates: TS 31.102 §4.2.71, §4.4.5 (WLAN), §4.4.6 (HNB), §4.4.8 (ProSe), §4.4.14 (5MBS).
pub static USIM_FURTHER: Template = Template {
    number: 0,
    version: 1,
    element: FileElementKind::Usim,
    created_by_default: false,
    base: None,
    rows: &[
        transparent(0xA2, 0x6F65, "EF.RPLMNAcTD", 4).arr(5).default(Fill(&hex!("00"))),
        df(0xA3, 0x5F40, "DF.WLAN").any(&[59, 60, 61, 62, 63, 66, 81, 82, 83, 84, 88]),
        transparent(0xA4, 0x4F41, "EF.Pseudo", 34).arr(5).sfi(0x01).within(0xA3).any(&[59]),
        transparent(0xA5, 0x4F42, "EF.UPLMNWLAN", 30).arr(5).sfi(0x02).within(0xA3).any(&[60]),
        transparent(0xA6, 0x4F43, "EF.OPLMNWLAN", 30).arr(2).sfi(0x03).within(0xA3).any(&[61]),
        linear(0xA7, 0x4F44, "EF.UWSIDL", 5, 33).arr(5).sfi(0x04).default(Fill(&hex!("00FF"))).within(0xA3).any(&[62]),
        linear(0xA8, 0x4F45, "EF.OWSIDL", 5, 33).arr(2).sfi(0x05).default(Fill(&hex!("00FF"))).within(0xA3).any(&[63]),
        transparent(0xA9, 0x4F46, "EF.WRI", 80).arr(5).sfi(0x06).within(0xA3).any(&[66]),
        linear(0xAA, 0x4F47, "EF.HWSIDL", 5, 33).arr(2).sfi(0x07).default(Fill(&hex!("00FF"))).within(0xA3).any(&[81]),
        transparent(0xAB, 0x4F48, "EF.WEHPLMNPI", 1)
            .arr(2)
            .sfi(0x08)
            .default(Fill(&hex!("00")))
            .within(0xA3)
            .any(&[82]),
        transparent(0xAC, 0x4F49, "EF.WHPI", 1).arr(2).sfi(0x09).default(Fill(&hex!("00"))).within(0xA3).any(&[83]),
        transparent(0xAD, 0x4F4A, "EF.WLRPLMN", 3).arr(5).sfi(0x0A).within(0xA3).any(&[84]),
        transparent(0xAE, 0x4F4B, "EF.HPLMNDAI", 1).arr(2).sfi(0x0B).default(Fill(&hex!("00"))).within(0xA3).any(&[88]),
        df(0xAF, 0x5F50, "DF.HNB").any(&[86, 90]),
        linear(0xB0, 0x4F81, "EF.ACSGL", 5, 50).arr(5).sfi(0x01).within(0xAF).any(&[86]),
        linear(0xB1, 0x4F82, "EF.CSGT", 5, 30).arr(5).sfi(0x02).within(0xAF).any(&[86]),
        linear(0xB2, 0x4F83, "EF.HNBN", 5, 30).arr(5).sfi(0x03).within(0xAF).any(&[86]),
        linear(0xB3, 0x4F84, "EF.OCSGL", 5, 50).arr(2).sfi(0x04).within(0xAF).any(&[90]),
        linear(0xB4, 0x4F85, "EF.OCSGT", 5, 30).arr(2).sfi(0x05).within(0xAF).any(&[90]),
        linear(0xB5, 0x4F86, "EF.OHNBN", 5, 30).arr(2).sfi(0x06).within(0xAF).any(&[90]),
        df(0xB6, 0x5F90, "DF.ProSe").any(&[101]),
        linear(0xB7, 0x4F01, "EF.PROSE_MON", 2, 40).arr(2).sfi(0x01).within(0xB6).any(&[101]),
        linear(0xB8, 0x4F02, "EF.PROSE_ANN", 2, 40).arr(2).sfi(0x02).within(0xB6).any(&[101]),
        linear(0xB9, 0x4F03, "EF.PROSEFUNC", 1, 60).arr(2).sfi(0x03).within(0xB6).any(&[101]),
        transparent(0xBA, 0x4F04, "EF.PROSE_RADIO_COM", 60).arr(2).sfi(0x04).within(0xB6).any(&[101]),
        transparent(0xBB, 0x4F05, "EF.PROSE_RADIO_MON", 60).arr(2).sfi(0x05).within(0xB6).any(&[101]),
        transparent(0xBC, 0x4F06, "EF.PROSE_RADIO_ANN", 60).arr(2).sfi(0x06).within(0xB6).any(&[101]),
        linear(0xBD, 0x4F07, "EF.PROSE_POLICY", 2, 60).arr(2).sfi(0x07).within(0xB6).any(&[101]),
        linear(0xBE, 0x4F08, "EF.PROSE_PLMN", 2, 20).arr(2).sfi(0x08).within(0xB6).any(&[101]),
        transparent(0xBF1F, 0x4F09, "EF.PROSE_GC", 4)
            .arr(5)
            .sfi(0x09)
            .default(Fill(&hex!("00")))
            .within(0xB6)
            .any(&[101]),
        transparent(0xBF20, 0x4F10, "EF.PST", 2).arr(2).sfi(0x10).default(Repeat(&hex!("00"))).within(0xB6).any(&[101]),
        transparent(0xBF21, 0x4F11, "EF.UIRC", 60).arr(2).sfi(0x11).within(0xB6).any(&[101]),
        linear(0xBF22, 0x4F12, "EF.PROSE_GM_DISCOVERY", 2, 60).arr(2).sfi(0x12).within(0xB6).any(&[101]),
        linear(0xBF23, 0x4F13, "EF.PROSE_RELAY", 2, 60).arr(2).sfi(0x13).within(0xB6).any(&[101]),
        transparent(0xBF24, 0x4F14, "EF.PROSE_RELAY_DISCOVERY", 60).arr(2).sfi(0x14).within(0xB6).any(&[101]),
        df(0xBF25, 0x5FF1, "DF.5MBSUECONFIG").any(&[147]),
        transparent(0xBF26, 0x4F01, "EF.5MBSUECONFIG", VAR).arr(2).sfi(0x01).within(0xBF25).any(&[147]),
    ],
    borrowed: &[],
};
