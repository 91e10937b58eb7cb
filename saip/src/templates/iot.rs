//! Annex A.17 and A.18: the minimal IoT profile. Its files are those of other templates.

use super::{Borrowed, DF_5GS_V4, DF_SAIP, MF, OPT_USIM_V2, Template, USIM_V2};
use crate::files::FileElementKind;

const fn of(tag: u32, within: u32, from: &'static Template, row: u32) -> Borrowed {
    Borrowed { tag, within: Some(within), from, row }
}

const fn top(tag: u32, from: &'static Template, row: u32) -> Borrowed {
    Borrowed { tag, within: None, from, row }
}

/// 2.23.143.1.2.17: MF and ADF.USIM in one element.
pub static IOT: Template = Template {
    number: 17,
    version: 1,
    element: FileElementKind::Iot,
    created_by_default: true,
    base: None,
    rows: &[],
    borrowed: &[
        top(0xA2, &MF, 0xA2),
        of(0xA3, 0xA2, &MF, 0xA3),
        of(0xA4, 0xA2, &MF, 0xA4),
        of(0xA5, 0xA2, &MF, 0xA5),
        of(0xA6, 0xA2, &MF, 0xA6),
        of(0xA7, 0xA2, &MF, 0xA7),
        top(0xA8, &USIM_V2, 0xA2),
        of(0xA9, 0xA8, &USIM_V2, 0xA3),
        of(0xAA, 0xA8, &USIM_V2, 0xA4),
        of(0xAB, 0xA8, &USIM_V2, 0xA5),
        of(0xAC, 0xA8, &USIM_V2, 0xA6),
        of(0xAD, 0xA8, &USIM_V2, 0xA7),
        of(0xAE, 0xA8, &USIM_V2, 0xA8),
        of(0xAF, 0xA8, &USIM_V2, 0xAF),
        of(0xB0, 0xA8, &USIM_V2, 0xB0),
        of(0xB1, 0xA8, &USIM_V2, 0xB1),
        of(0xB2, 0xA8, &USIM_V2, 0xB2),
        of(0xB3, 0xA8, &USIM_V2, 0xB3),
        of(0xB4, 0xA8, &USIM_V2, 0xB4),
        of(0xB5, 0xA8, &USIM_V2, 0xB5),
        of(0xB6, 0xA8, &USIM_V2, 0xB6),
        of(0xB7, 0xA8, &USIM_V2, 0xB7),
    ],
};

/// 2.23.143.1.2.18: what else an IoT profile may have.
pub static OPT_IOT: Template = Template {
    number: 18,
    version: 1,
    element: FileElementKind::OptIot,
    created_by_default: false,
    base: None,
    rows: &[],
    borrowed: &[
        top(0xA2, &USIM_V2, 0xA9),
        top(0xA3, &USIM_V2, 0xAA),
        top(0xA4, &USIM_V2, 0xAB),
        top(0xA5, &USIM_V2, 0xAC),
        top(0xA6, &USIM_V2, 0xAD),
        top(0xA7, &USIM_V2, 0xAE),
        top(0xA8, &OPT_USIM_V2, 0xB0),
        top(0xA9, &OPT_USIM_V2, 0xB1),
        top(0xAA, &OPT_USIM_V2, 0xBF3A),
        top(0xAB, &USIM_V2, 0xB8),
        top(0xAC, &USIM_V2, 0xB9),
        top(0xAD, &DF_5GS_V4, 0xA2),
        of(0xAE, 0xAD, &DF_5GS_V4, 0xA3),
        of(0xAF, 0xAD, &DF_5GS_V4, 0xA4),
        of(0xB0, 0xAD, &DF_5GS_V4, 0xA5),
        of(0xB1, 0xAD, &DF_5GS_V4, 0xA6),
        of(0xB2, 0xAD, &DF_5GS_V4, 0xA7),
        of(0xB3, 0xAD, &DF_5GS_V4, 0xA8),
        of(0xB4, 0xAD, &DF_5GS_V4, 0xA9),
        of(0xB5, 0xAD, &DF_5GS_V4, 0xAA),
        of(0xB6, 0xAD, &DF_5GS_V4, 0xAB),
        of(0xB7, 0xAD, &DF_5GS_V4, 0xAC),
        of(0xB8, 0xAD, &DF_5GS_V4, 0xAD),
        of(0xB9, 0xAD, &DF_5GS_V4, 0xAE),
        top(0xBA, &DF_SAIP, 0xA2),
        of(0xBB, 0xBA, &DF_SAIP, 0xA3),
    ],
};
