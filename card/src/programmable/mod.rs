//! Programmable cards as they are sold: UICCs whose keys are content of files that an administrative key opens.
//!
//! A card is made like one with the answer to reset, the key reference, the files and the layout of keys of its type, so that
//! programs which write to such cards write to this one; and what they have written is what it authenticates with. It also
//! answers the class `A0` of TS 51.011, which some of those programs use. What of such a card is not told publicly, as the
//! files in which its PINs show, it does not have.

mod files;

pub use files::Unfit;

use applets::Layout;
use hex_literal::hex;

/// A type of programmable card.
#[derive(Clone, Copy, Debug)]
pub struct Programmable {
    /// As pySim calls it.
    pub name: &'static str,
    /// What is special about it, in a sentence.
    pub about: &'static str,
    /// Where that is known from.
    pub sources: &'static [&'static str],
    /// Answer to reset.
    pub atr: &'static [u8],
    /// Key reference of the key that opens its files, ADM1 as TS 102 221 has it for most.
    adm: u8,
    /// A further one, of the same value.
    second_adm: Option<u8>,
    /// Whether EF.ICCID can be written.
    iccid: bool,
    /// Where its keys lie; `None`: that is not public.
    layout: Option<Layout>,
    /// The files of the layout.
    keys: &'static [KeyFile],
}

/// A file that has a key in it.
#[derive(Clone, Copy, Debug)]
struct KeyFile {
    /// The directory.
    within: Within,
    fid: u16,
    size: u32,
    holds: Holds,
}

/// Where a file of keys lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Mf,
    /// `7F20`, `7FF0` or `A515`.
    Df(u16),
    Usim,
    Isim,
}

/// What a file of keys has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// The key.
    Key,
    /// An octet that says which, then OPc.
    TypedOpc,
    /// OPc.
    Opc,
    /// Configuration, key, OPc.
    Configured,
    /// The same, of the key for GSM.
    ConfiguredForGsm,
    /// What the key for GSM in the USIM has.
    ForGsmInUsim,
    /// The numbers that were accepted.
    Numbers,
    /// Constants of Milenage.
    Constants,
}

const PYSIM: &str = "osmocom/pysim pySim/legacy/cards.py";
const SYSTEM: u16 = 0xA515;
const GSM: u16 = 0x7F20;

/// Files of sysmocom's ISIM cards, the longest key being of this size.
const fn sysmo_isim(size: u32) -> [KeyFile; 7] {
    const NUMBERS: u32 = 14 + 32 * 6;
    /// Configuration, key and OPc of Milenage.
    const KEY: u32 = 33;
    const fn file(within: Within, fid: u16, size: u32, holds: Holds) -> KeyFile {
        KeyFile { within, fid, size, holds }
    }
    [
        file(Within::Usim, 0xAF20, size, Holds::Configured),
        file(Within::Usim, 0xAF22, KEY, Holds::ConfiguredForGsm),
        file(Within::Usim, 0xAF30, NUMBERS, Holds::Numbers),
        file(Within::Isim, 0xAF20, size, Holds::Configured),
        file(Within::Isim, 0xAF30, NUMBERS, Holds::Numbers),
        file(Within::Df(SYSTEM), 0x6F20, KEY, Holds::ForGsmInUsim),
        file(Within::Df(SYSTEM), 0x6F21, 85, Holds::Constants),
    ]
}

const SJA2: &[KeyFile] = &sysmo_isim(33);
const SJA5: &[KeyFile] = &sysmo_isim(67);

/// The types.
pub const TYPES: &[Programmable] = &[
    Programmable {
        name: "sysmoISIM-SJA2",
        about: "sysmocom's ISIM card: keys in AF20 of each application and in A515/6F20, ADM1",
        sources: &[PYSIM, "osmocom/pysim pySim/sysmocom_sja2.py"],
        atr: &hex!("3B9F96801F878031E073FE211B674A4C753034054BA9"),
        adm: 0x0A,
        second_adm: None,
        iccid: false,
        layout: Some(Layout::SYSMO_ISIM),
        keys: SJA2,
    },
    Programmable {
        name: "sysmoISIM-SJA5",
        about: "its successor, which also has TUAK",
        sources: &[PYSIM, "osmocom/pysim pySim/sysmocom_sja2.py"],
        atr: &hex!("3B9F96801F878031E073FE211B674A357530350251CC"),
        adm: 0x0A,
        second_adm: None,
        iccid: false,
        layout: Some(Layout::SYSMO_ISIM),
        keys: SJA5,
    },
    Programmable {
        name: "sysmoUSIM-SJS1",
        about: "sysmocom's USIM card: Ki in 7F20/00FF, OPc in 7F20/00F7, ADM1; the ICCID can be written",
        sources: &[PYSIM, "mitshell/card card/utils prog_sysmo"],
        atr: &hex!("3B9F96801FC78031A073BE21136743200718000001A5"),
        adm: 0x0A,
        second_adm: None,
        iccid: true,
        layout: Some(Layout::SYSMO_USIM),
        keys: &[
            KeyFile { within: Within::Df(GSM), fid: 0x00FF, size: 16, holds: Holds::Key },
            KeyFile { within: Within::Df(GSM), fid: 0x00F7, size: 17, holds: Holds::TypedOpc },
        ],
    },
    Programmable {
        name: "Fairwaves-SIM",
        about: "Ki in 7F20/FF02, OP or OPc in 7F20/FF01; the key references of its ADMs are 11 and 12",
        sources: &[PYSIM],
        atr: &hex!("3B9F96801FC78031A073BE21136744220610000001A9"),
        adm: 0x11,
        second_adm: Some(0x12),
        iccid: false,
        layout: Some(Layout::FAIRWAVES),
        keys: &[
            KeyFile { within: Within::Df(GSM), fid: 0xFF02, size: 16, holds: Holds::Key },
            KeyFile { within: Within::Df(GSM), fid: 0xFF01, size: 17, holds: Holds::TypedOpc },
        ],
    },
    Programmable {
        name: "OpenCells-SIM",
        about: "Ki in 7FF0/FF02, OPc in 7FF0/FF01, ADM1; the ICCID can be written",
        sources: &[PYSIM],
        atr: &hex!("3B9F95801FC38031E073FE21135786810286984418A8"),
        adm: 0x0A,
        second_adm: None,
        iccid: true,
        layout: Some(Layout::OPEN_CELLS),
        keys: &[
            KeyFile { within: Within::Df(0x7FF0), fid: 0xFF02, size: 16, holds: Holds::Key },
            KeyFile { within: Within::Df(0x7FF0), fid: 0xFF01, size: 16, holds: Holds::Opc },
        ],
    },
    Programmable {
        name: "Wavemobile-SIM",
        about: "IMSI and names can be written with ADM1; where its keys lie is not public",
        sources: &[PYSIM],
        atr: &hex!("3B9F95801FC78031E073F62113674D4516004301008F"),
        adm: 0x0A,
        second_adm: None,
        iccid: false,
        layout: None,
        keys: &[],
    },
    Programmable {
        name: "gialersim",
        about: "Ki in 0001, OPc in 6002, both in the MF; the key reference of its ADM is 0C; the ICCID can be written",
        sources: &[PYSIM],
        atr: &hex!("3B9F95801FC78031A073B6A10067CF3215CA9CD70920"),
        adm: 0x0C,
        second_adm: None,
        iccid: true,
        layout: Some(Layout::GIALER),
        keys: &[
            KeyFile { within: Within::Mf, fid: 0x0001, size: 16, holds: Holds::Key },
            KeyFile { within: Within::Mf, fid: 0x6002, size: 17, holds: Holds::TypedOpc },
        ],
    },
];

/// The type of this name.
pub fn named(name: &str) -> Option<&'static Programmable> {
    TYPES.iter().find(|one| one.name.eq_ignore_ascii_case(name))
}
