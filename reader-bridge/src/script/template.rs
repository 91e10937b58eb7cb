//! What a script sends: bytes, variables, and lengths that count themselves.

use zeroize::Zeroizing;

use super::variables::Variables;

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
    #[error("the secret `{0}` is not given; write it into a file of secrets, under [pins] or [keys], as `{0} = \"…\"`")]
    Secret(String),
    /// A `#( … )` longer than two length bytes can say.
    #[error("the contents of #( … ) have {0} bytes, more than a command carries")]
    TooLong(usize),
    /// More than the longest command.
    #[error("it has more than {MOST_OCTETS} bytes, more than any command; does a loop set a variable to itself again?")]
    Endless,
}

/// The longest command of ISO 7816-4 §5.1: a header, Lc and Le of three and two octets, 65,535 octets of data.
pub(super) const MOST_OCTETS: usize = 4 + 3 + 65_535 + 2;

impl Template {
    /// The bytes.
    ///
    /// An outermost `#( … )` counts as Lc does: one byte, or `00` and two above 255. One within another counts as BER
    /// does: one byte up to 127, then `81` or `82` and the length.
    pub fn fill(&self, variables: &Variables) -> Result<Vec<u8>, Unfilled> {
        Ok(std::mem::take(&mut *self.fill_at(variables, 0)?))
    }

    fn fill_at(&self, variables: &Variables, depth: usize) -> Result<Zeroizing<Vec<u8>>, Unfilled> {
        let mut filled = Zeroizing::new(Vec::new());
        for part in &self.parts {
            if filled.len() > MOST_OCTETS {
                return Err(Unfilled::Endless);
            }
            match part {
                Part::Bytes(bytes) => filled.extend(bytes),
                Part::Variable(name) => {
                    filled.extend(variables.get(name).ok_or_else(|| Unfilled::Variable(name.clone()))?);
                }
                Part::Counted(inner) => {
                    let inner = inner.fill_at(variables, depth + 1)?;
                    let length = u16::try_from(inner.len()).map_err(|_| Unfilled::TooLong(inner.len()))?;
                    let [high, low] = length.to_be_bytes();
                    match (depth, length) {
                        (0, ..=255) | (_, ..=127) => filled.push(low),
                        (0, _) => filled.extend([0, high, low]),
                        (_, ..=255) => filled.extend([0x81, low]),
                        _ => filled.extend([0x82, high, low]),
                    }
                    filled.extend(inner.iter());
                }
            }
        }
        if filled.len() > MOST_OCTETS {
            return Err(Unfilled::Endless);
        }
        Ok(filled)
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
