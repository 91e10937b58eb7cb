//! Types of programmable cards, a row each: where their keys lie, and what opens them.

use hex_literal::hex;

/// A type of programmable card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As pySim calls it.
    pub name: &'static str,
    /// Where what stands here is known from.
    pub sources: &'static [&'static str],
    /// Its answers to reset; without one the type has to be said.
    pub atrs: &'static [&'static [u8]],
    /// The class in which it is programmed.
    pub(crate) dialect: Dialect,
    /// The key reference of the key that opens its files.
    pub adm: Option<u8>,
    /// What precedes that key, once.
    pub(crate) before: Option<Before>,
    /// Whether its ICCID can be written.
    pub iccid: bool,
    /// Where its keys lie.
    pub(crate) keys: Keys,
    /// Files beside them.
    pub(crate) files: &'static [Item],
}

/// The class of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// TS 102 221, `00`.
    Uicc,
    /// TS 51.011, `A0`.
    Sim,
}

impl Dialect {
    /// Whether files of the USIM are reached.
    pub(crate) const fn has_applications(self) -> bool {
        matches!(self, Self::Uicc)
    }
}

/// A key of the maker that sets the card's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) reference: u8,
    pub(crate) value: [u8; 8],
}

/// Where keys lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// It is not public.
    Unknown,
    /// A file with the key, and one with OPc or OP behind an octet that says which.
    Typed { key: &'static [u16], operator: &'static [u16] },
    /// A file with the key, and one with OPc.
    Bare { key: &'static [u16], operator: &'static [u16] },
    /// A file in each application that says everything, and one for GSM; with TUAK if `tuak`.
    Configured { tuak: bool },
    /// A command, behind it the key. The algorithm is COMP128.
    Command { header: [u8; 4] },
    /// A command, behind it key, OPc, ICCID and IMSI: nothing else is written.
    All { header: [u8; 4] },
    /// A file with the algorithm and, from an offset on, the key. The algorithm is COMP128.
    Comp128 { file: &'static [u16], first: &'static [u8] },
    /// A record of everything.
    Record(Record),
}

/// Cards that hold several subscribers, a record each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// `7F4D/8F0C` and `8F0D`: names, and files by identifier. Where the key has no file it stands first.
    Magic { length: u8, key: Option<u16> },
    /// `000C`: name, ICCID, IMSI, key, service centre.
    Fake,
}

/// What is written beside keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Iccid,
    Spn,
    Acc,
    MncLength,
    /// PLMNsel, three octets a network.
    HomePlmnSel,
    UserPlmns,
    OperatorPlmns,
    HomePlmns,
    Ehplmn,
    Fplmn,
    Msisdn,
    Smsp,
    Ims,
    /// Where the last one was, and what was agreed on with a network.
    Location,
    Imsi,
}

const PYSIM: &str = "osmocom/pysim pySim/legacy/cards.py";
const SYSMO: &str = "osmocom/pysim pySim/sysmocom_sja2.py";
const MITSHELL: &str = "mitshell/card prog_sysmo";

/// In the order in which it is written: the card knows first whose it is, and answers for its subscriber last.
const UICC: &[Item] = &[
    Item::Iccid,
    Item::Spn,
    Item::Acc,
    Item::MncLength,
    Item::HomePlmnSel,
    Item::UserPlmns,
    Item::OperatorPlmns,
    Item::HomePlmns,
    Item::Ehplmn,
    Item::Fplmn,
    Item::Msisdn,
    Item::Smsp,
    Item::Ims,
    Item::Location,
    Item::Imsi,
];
/// A USIM that is programmed as a SIM: the lists of networks are in the directory of the SIM as well.
const USIM_AS_SIM: &[Item] = &[
    Item::Iccid,
    Item::Spn,
    Item::Acc,
    Item::MncLength,
    Item::HomePlmnSel,
    Item::UserPlmns,
    Item::OperatorPlmns,
    Item::HomePlmns,
    Item::Fplmn,
    Item::Msisdn,
    Item::Smsp,
    Item::Location,
    Item::Imsi,
];
const SIM: &[Item] = &[
    Item::Iccid,
    Item::Spn,
    Item::Acc,
    Item::HomePlmnSel,
    Item::Fplmn,
    Item::Msisdn,
    Item::Smsp,
    Item::Location,
    Item::Imsi,
];

const fn kind(name: &'static str, sources: &'static [&'static str], atrs: &'static [&'static [u8]]) -> Kind {
    Kind {
        name,
        sources,
        atrs,
        dialect: Dialect::Uicc,
        adm: Some(0x0A),
        before: None,
        iccid: false,
        keys: Keys::Unknown,
        files: UICC,
    }
}

const fn sim(name: &'static str, sources: &'static [&'static str], atrs: &'static [&'static [u8]]) -> Kind {
    Kind { dialect: Dialect::Sim, files: SIM, iccid: true, ..kind(name, sources, atrs) }
}

/// The types.
pub const KINDS: &[Kind] = &[
    Kind {
        keys: Keys::Configured { tuak: false },
        ..kind(
            "sysmoISIM-SJA2",
            &[PYSIM, SYSMO],
            &[
                &hex!("3B9F96801F878031E073FE211B674A4C753034054BA9"),
                &hex!("3B9F96801F878031E073FE211B674A4C7531330251B2"),
                &hex!("3B9F96801F878031E073FE211B674A4C5275310451D5"),
            ],
        )
    },
    Kind {
        keys: Keys::Configured { tuak: true },
        ..kind(
            "sysmoISIM-SJA5",
            &[PYSIM, SYSMO],
            &[
                &hex!("3B9F96801F878031E073FE211B674A357530350251CC"),
                &hex!("3B9F96801F878031E073FE211B674A357530350265F8"),
                &hex!("3B9F96801F878031E073FE211B674A357530350259C4"),
            ],
        )
    },
    Kind {
        iccid: true,
        keys: Keys::Typed { key: &[0x7F20, 0x00FF], operator: &[0x7F20, 0x00F7] },
        ..kind("sysmoUSIM-SJS1", &[PYSIM, MITSHELL], &[&hex!("3B9F96801FC78031A073BE21136743200718000001A5")])
    },
    Kind {
        adm: Some(0x11),
        iccid: false,
        files: USIM_AS_SIM,
        keys: Keys::Typed { key: &[0x7F20, 0xFF02], operator: &[0x7F20, 0xFF01] },
        ..sim("Fairwaves-SIM", &[PYSIM], &[&hex!("3B9F96801FC78031A073BE21136744220610000001A9")])
    },
    Kind {
        iccid: true,
        keys: Keys::Bare { key: &[0x7FF0, 0xFF02], operator: &[0x7FF0, 0xFF01] },
        ..kind("OpenCells-SIM", &[PYSIM], &[&hex!("3B9F95801FC38031E073FE21135786810286984418A8")])
    },
    kind("Wavemobile-SIM", &[PYSIM], &[&hex!("3B9F95801FC78031E073F62113674D4516004301008F")]),
    Kind {
        adm: Some(0x0C),
        iccid: true,
        keys: Keys::Typed { key: &[0x0001], operator: &[0x6002] },
        ..kind("gialersim", &[PYSIM], &[&hex!("3B9F95801FC78031A073B6A10067CF3215CA9CD70920")])
    },
    Kind {
        adm: Some(0x05),
        keys: Keys::Command { header: [0x80, 0xD4, 0x02, 0x00] },
        ..sim("sysmosim-gr1", &[PYSIM, MITSHELL], &[&hex!("3B991800118822334455667760")])
    },
    Kind {
        adm: Some(0x05),
        before: Some(Before { reference: 0x0B, value: [0x38; 8] }),
        keys: Keys::Comp128 { file: &[0x7F20, 0x0001], first: &hex!("001000") },
        ..sim("sysmoSIM-GR2", &[PYSIM, MITSHELL], &[&hex!("3B7D9400005555530A7486930B247C4D5468")])
    },
    Kind {
        keys: Keys::All { header: [0x00, 0x99, 0x00, 0x00] },
        files: &[],
        iccid: true,
        ..kind("sysmoUSIM-GR1", &[PYSIM], &[])
    },
    Kind {
        adm: None,
        keys: Keys::Record(Record::Magic { length: 74, key: None }),
        files: &[Item::HomePlmnSel],
        ..sim("supersim", &[PYSIM], &[])
    },
    Kind {
        adm: None,
        keys: Keys::Record(Record::Magic { length: 130, key: Some(0x6F1B) }),
        files: &[Item::HomePlmnSel],
        ..sim("magicsim", &[PYSIM], &[])
    },
    Kind {
        adm: None,
        keys: Keys::Record(Record::Fake),
        files: &[Item::HomePlmnSel],
        ..sim("fakemagicsim", &[PYSIM], &[])
    },
];

/// The type of this name.
pub fn named(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
}

/// The type that answers to reset so.
pub fn of_atr(atr: &[u8]) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.atrs.contains(&atr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart() {
        let atrs: Vec<_> = KINDS.iter().flat_map(|kind| kind.atrs).collect();
        for (at, atr) in atrs.iter().enumerate() {
            assert!(!atrs.get(..at).unwrap().contains(atr), "{atr:02X?}");
        }
        for kind in KINDS {
            assert_eq!(named(&kind.name.to_uppercase()), Some(kind));
            assert!(!kind.sources.is_empty());
        }
        assert_eq!(of_atr(&hex!("3B9F96801F878031E073FE211B674A357530350265F8")).unwrap().name, "sysmoISIM-SJA5");
        assert_eq!(of_atr(&hex!("3B00")), None);
    }
}
