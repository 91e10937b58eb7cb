//! One row: a command by its header, and what is said to it.

use apdu::StatusWord;
use core::fmt;
use core::str::FromStr;

/// A row of a dialect. Written `ins=A4 p1=01 -> 6A81`: conditions, then what happens.
///
/// | condition | of the command |
/// |---|---|
/// | `cla` `ins` `p1` `p2` | an octet: `A4`, a digit left open `8x`, or value and mask `04/0C` |
/// | `lc` | `0`: no data, `some`: data |
/// | `le` | `none`, `00`, `some` |
/// | `sw` | the status word that it got, digits may be left open: `6Cxx`. Without it the row is asked before the command |
///
/// | then | |
/// |---|---|
/// | `6A81` | this status word alone; if asked before, the command is not carried out |
/// | `silent` | carried out, and what it answers is kept back |
/// | `exact` | after `6CXX`: carried out with that length |
/// | `cla=0x`, `p1=..`, `p2=..` | carried out as if the octet were this; digits left open stay |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The conditions.
    pub when: When,
    /// What happens.
    pub then: Then,
}

/// An octet with bits left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Octet {
    /// The bits that are asked for.
    pub value: u8,
    /// Which bits are.
    pub mask: u8,
}

/// Conditions on a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Class.
    pub cla: Octet,
    /// Instruction.
    pub ins: Octet,
    /// First parameter.
    pub p1: Octet,
    /// Second parameter.
    pub p2: Octet,
    /// Whether there are data.
    pub data: Option<bool>,
    /// What is asked for.
    pub le: Option<Le>,
    /// The status word it got, and which of its bits are asked for.
    pub sw: Option<(u16, u16)>,
}

/// Le of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Le {
    /// Absent.
    None,
    /// `00`.
    Zero,
    /// Another one.
    Some,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// This status word is all that is said.
    Say(StatusWord),
    /// What it answers is kept back.
    Silent,
    /// After `6CXX`: the command is carried out with that length.
    Exact,
    /// The command is carried out with other octets in its header.
    Take {
        /// Class.
        cla: Octet,
        /// First parameter.
        p1: Octet,
        /// Second parameter.
        p2: Octet,
    },
}

/// A line is no row of a dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError(String);

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for RuleError {}

impl Octet {
    /// Any octet.
    pub const ANY: Self = Self { value: 0, mask: 0 };

    /// This octet.
    pub const fn exactly(value: u8) -> Self {
        Self { value, mask: 0xFF }
    }

    /// These bits of an octet.
    pub const fn masked(value: u8, mask: u8) -> Self {
        Self { value: value & mask, mask }
    }

    const fn fits(self, octet: u8) -> bool {
        octet & self.mask == self.value
    }

    const fn put(self, octet: &mut u8) {
        *octet = *octet & !self.mask | self.value;
    }

    fn parse(text: &str) -> Option<Self> {
        let octet = |text: &str| (text.len() == 2).then(|| u8::from_str_radix(text, 16).ok()).flatten();
        if let Some((value, mask)) = text.split_once('/') {
            let (value, mask) = (octet(value)?, octet(mask)?);
            return (value & !mask == 0).then_some(Self { value, mask });
        }
        let (value, mask) = open_digits(text)?;
        (text.len() == 2).then_some(())?;
        Some(Self { value: u8::try_from(value).ok()?, mask: u8::try_from(mask).ok()? })
    }
}

impl fmt::Display for Octet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            0xFF => write!(f, "{:02X}", self.value),
            0xF0 => write!(f, "{:X}x", self.value >> 4),
            0x0F => write!(f, "x{:X}", self.value),
            mask => write!(f, "{:02X}/{mask:02X}", self.value),
        }
    }
}

/// Hexadecimal digits, `x` for one that is left open: value and mask.
fn open_digits(text: &str) -> Option<(u16, u16)> {
    (text.len() <= 4).then_some(())?;
    text.chars().try_fold((0_u16, 0_u16), |(value, mask), digit| match digit {
        'x' => Some((value << 4, mask << 4)),
        _ => Some((value << 4 | u16::try_from(digit.to_digit(16)?).ok()?, mask << 4 | 0xF)),
    })
}

impl Le {
    const NAMES: [(Self, &'static str); 3] = [(Self::None, "none"), (Self::Zero, "00"), (Self::Some, "some")];

    /// Of a command with a body, which begins behind the header.
    pub const fn of(body: &[u8]) -> Self {
        match body {
            [0] => Self::Zero,
            [_] => Self::Some,
            [lc, rest @ ..] if rest.len() == *lc as usize + 1 => match rest {
                [.., 0] => Self::Zero,
                _ => Self::Some,
            },
            _ => Self::None,
        }
    }
}

impl When {
    /// Whether a command, with the status word it got if it was carried out, meets the conditions.
    pub fn fits(&self, command: &[u8], sw: Option<StatusWord>) -> bool {
        let [cla, ins, p1, p2, body @ ..] = command else { return false };
        let header = [(self.cla, cla), (self.ins, ins), (self.p1, p1), (self.p2, p2)];
        header.into_iter().all(|(wanted, octet)| wanted.fits(*octet))
            && self.data.is_none_or(|data| data == (body.len() > 1))
            && self.le.is_none_or(|le| le == Le::of(body))
            && match (self.sw, sw) {
                (None, None) => true,
                (Some((value, mask)), Some(sw)) => sw.0 & mask == value,
                _ => false,
            }
    }

    /// How many bits it asks for: of two rows that fit, the one that asks for more is the closer one.
    pub fn weight(&self) -> u32 {
        let octets: u32 = [self.cla, self.ins, self.p1, self.p2].iter().map(|octet| octet.mask.count_ones()).sum();
        octets
            + 2 * u32::from(self.data.is_some())
            + 2 * u32::from(self.le.is_some())
            + self.sw.map_or(0, |(_, mask)| mask.count_ones())
    }
}

impl Then {
    pub(super) const fn rewrite(&self, command: &mut [u8]) {
        if let (Self::Take { cla, p1, p2 }, [class, _, first, second, ..]) = (self, command) {
            cla.put(class);
            p1.put(first);
            p2.put(second);
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let When { cla, ins, p1, p2, data, le, sw } = &self.when;
        for (name, octet) in [("cla", cla), ("ins", ins), ("p1", p1), ("p2", p2)] {
            if octet.mask != 0 {
                write!(f, "{name}={octet} ")?;
            }
        }
        if let Some(data) = data {
            write!(f, "lc={} ", if *data { "some" } else { "0" })?;
        }
        if let Some((_, name)) = Le::NAMES.iter().find(|(known, _)| Some(*known) == *le) {
            write!(f, "le={name} ")?;
        }
        if let Some((value, mask)) = sw {
            f.write_str("sw=")?;
            for shift in [12, 8, 4, 0] {
                if (mask >> shift).trailing_zeros() >= 4 {
                    f.write_str("x")?;
                } else {
                    write!(f, "{:X}", value >> shift & 0xF)?;
                }
            }
            f.write_str(" ")?;
        }
        f.write_str("->")?;
        match &self.then {
            Then::Say(sw) => write!(f, " {:04X}", sw.0),
            Then::Silent => f.write_str(" silent"),
            Then::Exact => f.write_str(" exact"),
            Then::Take { cla, p1, p2 } => {
                let octets = [("cla", cla), ("p1", p1), ("p2", p2)].into_iter().filter(|(_, octet)| octet.mask != 0);
                for (name, octet) in octets {
                    write!(f, " {name}={octet}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(line: &str) -> Result<Self, RuleError> {
        let wrong = |what: &str| RuleError(format!("{line:?}: {what}"));
        let (conditions, then) = line.split_once("->").ok_or_else(|| {
            wrong("wants conditions, -> and what happens, as `ins=A4 p1=01 -> 6A81`, or the name of a habit")
        })?;
        let mut when = When::default();
        for condition in conditions.split_whitespace() {
            let (name, value) = condition.split_once('=').ok_or_else(|| wrong("a condition is written NAME=VALUE"))?;
            let octet = || Octet::parse(value).ok_or_else(|| wrong("an octet is written A4, 8x or 04/0C"));
            match name {
                "cla" => when.cla = octet()?,
                "ins" => when.ins = octet()?,
                "p1" => when.p1 = octet()?,
                "p2" => when.p2 = octet()?,
                "lc" => {
                    when.data = Some(match value {
                        "0" => false,
                        "some" => true,
                        _ => return Err(wrong("lc is 0 or some")),
                    });
                }
                "le" => {
                    let named = Le::NAMES.iter().find(|(_, known)| *known == value);
                    when.le = Some(named.ok_or_else(|| wrong("le is none, 00 or some"))?.0);
                }
                "sw" => {
                    let sw = open_digits(value).filter(|_| value.len() == 4);
                    when.sw = Some(sw.ok_or_else(|| wrong("a status word is written 6A82, or 6Cxx"))?);
                }
                _ => return Err(wrong("the conditions are cla, ins, p1, p2, lc, le and sw")),
            }
        }
        Ok(Self { when, then: Then::parse(then.trim()).ok_or_else(|| wrong("what happens is none of the known"))? })
    }
}

impl Then {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "silent" => return Some(Self::Silent),
            "exact" => return Some(Self::Exact),
            _ => {}
        }
        if !text.contains('=') {
            let (sw, mask) = open_digits(text)?;
            // Data that are announced would have to be there.
            let stands_alone = sw == StatusWord::OK.0 || matches!(sw.to_be_bytes()[0], 0x62..=0x6F | 0x94 | 0x98);
            return (mask == 0xFFFF && stands_alone).then_some(Self::Say(StatusWord(sw)));
        }
        let (mut cla, mut p1, mut p2) = (Octet::ANY, Octet::ANY, Octet::ANY);
        for part in text.split_whitespace() {
            let (name, value) = part.split_once('=')?;
            let octet = Octet::parse(value)?;
            match name {
                "cla" => cla = octet,
                "p1" => p1 = octet,
                "p2" => p2 = octet,
                _ => return None,
            }
        }
        // What takes nothing could not be written down, and would do nothing.
        [cla, p1, p2].iter().any(|octet| octet.mask != 0).then_some(Self::Take { cla, p1, p2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn rows_are_written_as_they_are_read() {
        for row in [
            "ins=A4 p1=01 -> 6A81",
            "cla=8x ins=A4 -> cla=0x",
            "ins=A4 p2=00/0C -> p2=0C",
            "ins=B0 p1=80/80 sw=6A82 -> 6986",
            "ins=B0 lc=0 le=00 sw=6Cxx -> exact",
            "ins=A4 p2=x0 lc=some le=none -> silent",
            "-> 6E00",
        ] {
            assert_eq!(row.parse::<Rule>().unwrap().to_string(), row);
        }
        for wrong in [
            "",
            "ins=A4",
            "ins=A -> 6D00",
            "ins=A4 -> 61",
            "ins=A4 -> 6110",
            "sw=6A8 -> 6D00",
            "le=1 -> 6D00",
            "x=1 -> 6D00",
            "ins=04/03 -> 6D00",
            "ins=A4 -> ins=B0",
            "ins=A4 -> 6Axx",
            "lc=1 -> 6D00",
            "ins=A4 -> é00",
            "ins=A4 -> p1=xx",
            "ins=A4 -> cla=00/00 p1=xx",
            "ins=A4 ->",
        ] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }

    /// An image keeps a dialect as text: whatever is taken in has to come out of its text again.
    #[test]
    fn whatever_is_read_is_read_again() {
        const CONDITIONS: [&str; 9] =
            ["", "cla=xx", "cla=8x", "ins=00/00", "p1=x4", "p2=04/0C", "lc=some", "le=00", "sw=xxxx"];
        const THEN: [&str; 12] = [
            "6E00",
            "9000",
            "silent",
            "exact",
            "p1=xx",
            "p1=00/00 p2=xx",
            "cla=xx",
            "cla=0x p1=xx",
            "p2=0C",
            "p1=04/04",
            "p1=01 p1=xx",
            "",
        ];
        let mut taken = 0;
        for one in CONDITIONS {
            for other in CONDITIONS {
                for then in THEN {
                    let row = format!("{one} {other} -> {then}");
                    let Ok(rule) = row.parse::<Rule>() else { continue };
                    taken += 1;
                    assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule), "{row}");
                }
            }
        }
        assert!(taken > 400, "{taken}");
    }

    #[test]
    fn conditions() {
        let fits = |row: &str, command: &[u8], sw: Option<u16>| {
            row.parse::<Rule>().unwrap().when.fits(command, sw.map(StatusWord))
        };
        let select = hex!("00A4000C023F00");
        assert!(fits("ins=A4 p2=0C/0C lc=some le=none -> 6D00", &select, None));
        assert!(!fits("ins=A4 -> 6D00", &select, Some(0x9000)), "asked before only");
        assert!(!fits("ins=A4 sw=9000 -> 6D00", &select, None), "asked after only");
        assert!(fits("cla=0x sw=6Cxx -> exact", &hex!("00B0000000"), Some(0x6C0A)));
        assert!(
            fits("le=00 lc=0 -> 6D00", &hex!("00B0000000"), None)
                && fits("le=some -> 6D00", &hex!("00B00000023F0001"), None)
        );
        assert!(!fits("-> 6D00", &hex!("00B000"), None), "what has no header has no row");
    }
}
