//! Cards whose keys are content of files, which can be written with the ADM: which files, and how they are read.
//!
//! The layouts are those of programmable cards as they are sold. Numbers are part of card images: one that is retired is never
//! given out again.

use card_os::Context;
use card_os::fs::FileId;
use crypto::algorithm::Algorithm;
use crypto::milenage::{Constants, Milenage};
use crypto::tuak::{Parameters, Tuak};
use crypto::xor::Xor;

use super::aka::{Numbers, Sres, Subscription};

/// First octet of the install parameters of an application whose keys are in files; those of others are DER.
const IN_FILES: u8 = 0x00;

/// What a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// UMTS AKA.
    ThreeG,
    /// GSM authentication.
    Gsm,
}

/// Where keys lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout(&'static Row);

#[derive(Debug, PartialEq, Eq)]
struct Row {
    number: u8,
    form: Form,
}

/// How a layout's files are read.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// One file says everything: configuration, key, OP or OPc. Numbers accepted are in a file too.
    Configured { three_g: &'static [FileId], gsm: &'static [FileId], sqn: &'static [FileId] },
    /// A file with the key, and one with OPc or OP behind an octet that says which.
    Typed { key: &'static [FileId], operator: &'static [FileId] },
    /// A file with the key, and one with OPc.
    Bare { key: &'static [FileId], operator: &'static [FileId] },
}

const GSM: FileId = FileId(0x7F20);

impl Layout {
    /// sysmocom's ISIM cards: `AF20`, `AF22` and `AF30` in each application, the configuration of Milenage in `A515`.
    pub const SYSMO_ISIM: Self = Self(&Row {
        number: 1,
        form: Form::Configured { three_g: &[FileId(0xAF20)], gsm: &[FileId(0xAF22)], sqn: &[FileId(0xAF30)] },
    });
    /// sysmocom's sysmoUSIM-SJS1: `7F20/00FF`, `7F20/00F7`.
    pub const SYSMO_USIM: Self = Self(&Row {
        number: 2,
        form: Form::Typed { key: &[FileId::MF, GSM, FileId(0x00FF)], operator: &[FileId::MF, GSM, FileId(0x00F7)] },
    });
    /// Fairwaves: `7F20/FF02`, `7F20/FF01`.
    pub const FAIRWAVES: Self = Self(&Row {
        number: 3,
        form: Form::Typed { key: &[FileId::MF, GSM, FileId(0xFF02)], operator: &[FileId::MF, GSM, FileId(0xFF01)] },
    });
    /// Open Cells: `7FF0/FF02`, `7FF0/FF01`.
    pub const OPEN_CELLS: Self = Self(&Row {
        number: 4,
        form: Form::Bare {
            key: &[FileId::MF, FileId(0x7FF0), FileId(0xFF02)],
            operator: &[FileId::MF, FileId(0x7FF0), FileId(0xFF01)],
        },
    });
    /// gialersim: `0001`, `6002` in the MF.
    pub const GIALER: Self = Self(&Row {
        number: 5,
        form: Form::Typed { key: &[FileId::MF, FileId(0x0001)], operator: &[FileId::MF, FileId(0x6002)] },
    });

    const ALL: [Self; 5] = [Self::SYSMO_ISIM, Self::SYSMO_USIM, Self::FAIRWAVES, Self::OPEN_CELLS, Self::GIALER];

    /// Install parameters of an application whose keys lie so.
    pub fn parameters(self) -> Vec<u8> {
        vec![IN_FILES, self.0.number]
    }

    /// The layout that install parameters name.
    pub(crate) fn of(parameters: &[u8]) -> Option<Self> {
        let [IN_FILES, number] = parameters else { return None };
        Self::ALL.into_iter().find(|layout| layout.0.number == *number)
    }

    /// What the files say now; `None` where they say nothing that this card can compute.
    pub(crate) fn subscription(self, purpose: Purpose, cx: &Context<'_, '_>) -> Option<Subscription> {
        match &self.0.form {
            Form::Configured { three_g, gsm, sqn } => {
                let file = match purpose {
                    Purpose::ThreeG => three_g,
                    Purpose::Gsm => gsm,
                };
                configured(cx.file(file)?, cx).map(|read| read.with_numbers(Numbers::InFile(sqn)))
            }
            Form::Typed { key, operator } => {
                /// OP, not OPc.
                const OP: u8 = 0x00;
                let (k, operator) = (cx.file(key)?, cx.file(operator)?);
                let (kind, value) = operator.split_first()?;
                milenage(k, value, *kind == OP, Constants::default()).map(Subscription::of)
            }
            Form::Bare { key, operator } => {
                milenage(cx.file(key)?, cx.file(operator)?, false, Constants::default()).map(Subscription::of)
            }
        }
    }
}

fn milenage(k: &[u8], operator: &[u8], is_op: bool, constants: Constants) -> Option<Algorithm> {
    let (k, operator) = (k.first_chunk::<16>()?, operator.first_chunk::<16>()?);
    let milenage = if is_op { Milenage::with_op(k, operator) } else { Milenage::new(k, operator) };
    Some(Algorithm::Milenage(milenage.with_constants(constants)))
}

/// A file that begins with an octet of configuration.
fn configured(file: &[u8], cx: &Context<'_, '_>) -> Option<Subscription> {
    /// The low nibble.
    const ALGORITHM: u8 = 0x0F;
    const MILENAGE: u8 = 4;
    const TUAK: u8 = 6;
    /// Of the key for GSM.
    const XOR_GSM: u8 = 14;
    const XOR: u8 = 15;
    /// RES of four octets. With TUAK: a key of 256 bits.
    const SHORT_RES: u8 = 0x40;
    const LONG_KEY: u8 = SHORT_RES;
    /// SRES is the beginning of RES, TS 55.205 §8.
    const SECOND_SRES: u8 = 0x20;
    const OPC: u8 = 0x10;
    let (configuration, rest) = file.split_first()?;
    let (key, operator) = rest.split_at_checked(16)?;
    let is_op = configuration & OPC == 0;
    let algorithm = match configuration & ALGORITHM {
        MILENAGE => milenage(key, operator, is_op, constants(cx)?)?,
        TUAK => tuak(rest, configuration & LONG_KEY != 0, is_op)?,
        XOR | XOR_GSM => Algorithm::Xor(Xor::new(key.first_chunk()?)),
        _ => return None,
    };
    let is_tuak = configuration & ALGORITHM == TUAK;
    let sres = if configuration & SECOND_SRES == 0 { Sres::Folded } else { Sres::Beginning };
    Some(Subscription::of(algorithm).with_answers(sres, !is_tuak && configuration & SHORT_RES != 0))
}

/// Behind the configuration of a TUAK key: lengths, iterations, TOP or TOPc, the key.
fn tuak(rest: &[u8], is_long: bool, is_top: bool) -> Option<Algorithm> {
    const LONG_CK_IK: u8 = 0x40;
    let ([lengths, iterations], rest) = rest.split_first_chunk()?;
    let (top, rest) = rest.split_first_chunk::<32>()?;
    let k = rest.get(..if is_long { 32 } else { 16 })?;
    let ck = if lengths & LONG_CK_IK == 0 { 16 } else { 32 };
    let mac = *[8, 16, 32].get(usize::from(lengths >> 3 & 0x07))?;
    let res = *[4, 8, 16, 32].get(usize::from(lengths & 0x07))?;
    let parameters = Parameters { mac, res, ck, ik: ck, iterations: *iterations };
    let tuak = if is_top { Tuak::with_top(k, top, parameters) } else { Tuak::new(k, top, parameters) };
    tuak.ok().map(Algorithm::Tuak)
}

/// EF.MILENAGE_CFG: rotations, then constants. Without the file, those of TS 35.206.
fn constants(cx: &Context<'_, '_>) -> Option<Constants> {
    const MILENAGE_CFG: [FileId; 3] = [FileId::MF, FileId(0xA515), FileId(0x6F21)];
    let mut constants = Constants::default();
    if let Some(file) = cx.file(&MILENAGE_CFG) {
        let (rotation, xoring) = file.split_first_chunk()?;
        constants.rotation = *rotation;
        for (constant, octets) in constants.xoring.iter_mut().zip(xoring.chunks_exact(16)) {
            constant.copy_from_slice(octets);
        }
    }
    constants.rotation.iter().all(|bits| *bits < 128).then_some(constants)
}
