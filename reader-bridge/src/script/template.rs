//! What a script sends: bytes, variables, and lengths that count themselves.

use capture::SOME_SECRET;
use zeroize::Zeroizing;

use super::variables::{Places, Variables};

/// Bytes to be, once the variables have values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `00A4`.
    Bytes(Vec<u8>),
    /// `${name}`.
    Variable(String),
    /// `#( … )`: the length of what is inside, then what is inside.
    Counted(Template),
}

/// Why a template has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// A variable that was neither set nor captured.
    #[error("the variable `{0}` has no value; set it before this line, or hand it to the script")]
    Variable(String),
    /// A secret that the caller did not give.
    #[error(
        "the secret `{0}` is not given; write it into a file of secrets, under [pins] or [keys], as `{0} = \"…\"`, or hand it to the script"
    )]
    Secret(String),
    /// A PIN or a key that was left out when the session was recorded.
    #[error(
        "`${{{0}}}` stands for a PIN or a key that was left out when this was recorded, and has no value; hand it to the script"
    )]
    LeftOut(String),
    /// The mask of a PIN in its place.
    #[error(
        "its PIN was left out when this was recorded, each octet is 2A; write `${{{SOME_SECRET}}}` there, and hand its value to the script"
    )]
    Masked,
    /// One value for PINs of several key references (P2), which were left out when the session was recorded.
    #[error(
        "`${{{SOME_SECRET}}}` stands for what was left out, here for the PIN of key reference {here:02X} and before for that of {before:02X}; one value for both would use up tries: give one of them a name of its own"
    )]
    OneForSeveral {
        /// The key reference of the first command.
        before: u8,
        /// The other one.
        here: u8,
    },
    /// `response`, and none has come.
    #[error("there is no response to look at: no command was sent since the beginning, or since the last reset")]
    NoResponse,
    /// A `#( … )` longer than two length bytes can say.
    #[error("the contents of #( … ) have {0} bytes, more than a command carries")]
    TooLong(usize),
    /// More than the longest command.
    #[error("it has more than {MOST_OCTETS} bytes, more than any command; does a loop set a variable to itself again?")]
    Endless,
}

impl Unfilled {
    /// A variable without a value.
    pub(super) fn missing(name: &str) -> Self {
        if name == SOME_SECRET { Self::LeftOut(name.into()) } else { Self::Variable(name.into()) }
    }
}

/// The longest command of ISO 7816-4 §5.1: a header, Lc and Le of three and two octets, 65,535 octets of data.
pub(super) const MOST_OCTETS: usize = 4 + 3 + 65_535 + 2;

impl Template {
    /// The bytes.
    ///
    /// An outermost `#( … )` counts as Lc does: one byte, or `00` and two above 255. One within another counts as BER
    /// does: one byte up to 127, then `81` or `82` and the length.
    ///
    /// # Errors
    /// [`Unfilled`] if a variable has no value, or if there are more bytes than any command has.
    pub fn fill(&self, variables: &Variables) -> Result<Vec<u8>, Unfilled> {
        Ok(std::mem::take(&mut *self.filled(variables)?.bytes))
    }

    /// The bytes, and which of them are secret.
    pub(super) fn filled(&self, variables: &Variables) -> Result<Filled, Unfilled> {
        self.fill_at(&Values::Needed(variables), 0)
    }

    /// The bytes that there are at least, where variables without a value have none.
    pub(super) fn shortest(&self, variables: &Variables) -> Result<Filled, Unfilled> {
        self.fill_at(&Values::Known(variables), 0)
    }

    /// The variables in it.
    pub(super) fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in &self.parts {
            match part {
                Part::Bytes(_) => {}
                Part::Variable(name) => names.push(name.as_str()),
                Part::Counted(inner) => names.extend(inner.variables()),
            }
        }
        names
    }

    fn fill_at(&self, values: &Values<'_>, depth: usize) -> Result<Filled, Unfilled> {
        let mut filled = Filled::default();
        for part in &self.parts {
            if filled.bytes.len() > MOST_OCTETS {
                return Err(Unfilled::Endless);
            }
            match part {
                Part::Bytes(bytes) => filled.bytes.extend(bytes),
                Part::Variable(name) => filled.append(values.of(name)?),
                Part::Counted(inner) => {
                    let inner = inner.fill_at(values, depth + 1)?;
                    let length = u16::try_from(inner.bytes.len()).map_err(|_| Unfilled::TooLong(inner.bytes.len()))?;
                    let [high, low] = length.to_be_bytes();
                    match (depth, length) {
                        (0, ..=255) | (_, ..=127) => filled.bytes.push(low),
                        (0, _) => filled.bytes.extend([0, high, low]),
                        (_, ..=255) => filled.bytes.extend([0x81, low]),
                        _ => filled.bytes.extend([0x82, high, low]),
                    }
                    filled.append(inner);
                }
            }
        }
        if filled.bytes.len() > MOST_OCTETS {
            return Err(Unfilled::Endless);
        }
        Ok(filled)
    }
}

/// Where the values of variables come from.
enum Values<'a> {
    /// Each has one.
    Needed(&'a Variables),
    /// Those that have none yet are empty.
    Known(&'a Variables),
}

impl Values<'_> {
    fn of(&self, name: &str) -> Result<Filled, Unfilled> {
        let (Self::Needed(variables) | Self::Known(variables)) = self;
        match (variables.get(name), self) {
            (Some(value), _) => Ok(Filled { bytes: value.to_vec().into(), places: variables.places_of(name) }),
            (None, Self::Known(_)) => Ok(Filled::default()),
            (None, Self::Needed(_)) => Err(Unfilled::missing(name)),
        }
    }
}

/// Bytes of which some may be secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) places: Places,
}

impl Filled {
    fn append(&mut self, other: Self) {
        let before = self.bytes.len();
        self.bytes.extend(other.bytes.iter());
        let shifted =
            |(range, name): (std::ops::Range<usize>, String)| (range.start + before..range.end + before, name);
        self.places.extend(other.places.into_iter().map(shifted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Template {
        Template { parts: vec![Part::Bytes(vec![0xAA; length])] }
    }

    fn counted(inner: Template) -> Template {
        Template { parts: vec![Part::Counted(inner)] }
    }

    #[test]
    fn lengths_count_themselves() {
        let none = Variables::new();
        let front = |template: &Template| template.fill(&none).unwrap()[..4].to_vec();
        assert_eq!(front(&counted(bytes(3))), [3, 0xAA, 0xAA, 0xAA]);
        assert_eq!(front(&counted(bytes(200)))[0], 200);
        assert_eq!(front(&counted(bytes(300))), [0, 1, 44, 0xAA]);
        assert_eq!(front(&counted(counted(bytes(3)))), [4, 3, 0xAA, 0xAA]);
        assert_eq!(front(&counted(counted(bytes(200)))), [202, 0x81, 200, 0xAA]);
        assert_eq!(front(&counted(counted(bytes(300))))[3..], [0x82]);
        assert_eq!(counted(bytes(65_536)).fill(&none), Err(Unfilled::TooLong(65_536)));
        assert_eq!(counted(bytes(70_000)).fill(&none), Err(Unfilled::Endless));
    }

    #[test]
    fn variables_need_values() {
        let template = Template { parts: vec![Part::Variable("pin".into())] };
        let error = template.fill(&Variables::new()).unwrap_err();
        assert!(error.to_string().contains("`pin` has no value"));
        assert_eq!(template.fill(&Variables::from([("pin".into(), vec![1, 2])])), Ok(vec![1, 2]));
    }
}
