//! IMSI: the number by which a network knows a subscriber. TS 23.003 section 2.2.

use core::fmt;
use core::str::FromStr;

/// International Mobile Subscriber Identity: country code, network code and subscriber, 6 to 15 digits together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Imsi(String);

impl Imsi {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// This is no IMSI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an IMSI has 6 to 15 digits")]
pub struct InvalidImsi;

impl FromStr for Imsi {
    type Err = InvalidImsi;

    fn from_str(text: &str) -> Result<Self, InvalidImsi> {
        let valid = (6..=15).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidImsi) }
    }
}

impl fmt::Display for Imsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Country and network only: logs are read by more people than need to know who a subscriber is.
impl fmt::Debug for Imsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imsi({}…)", self.0.get(..5).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_nothing_else() {
        let imsi: Imsi = "001010000000001".parse().unwrap();
        assert_eq!((imsi.to_string(), format!("{imsi:?}")), ("001010000000001".into(), "Imsi(00101…)".into()));
        for wrong in ["", "00101", "0010100000000012", "00101000000000a", "٠٠١٠١٠٠"] {
            assert_eq!(wrong.parse::<Imsi>(), Err(InvalidImsi), "{wrong}");
        }
    }
}
