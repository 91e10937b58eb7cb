//! Files of secrets: PINs and keys that scripts name and do not contain.

use std::path::Path;

use console::Exit;
use reader_bridge::script::{SHORTEST_SECRET, Variables};
use zeroize::Zeroizing;

use crate::failure::{AtPath, Failure};
use crate::hexadecimal;

/// Digits of a PIN or PUK. TS 102 221 §9.5.1
const PIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=8;
/// Bytes of one in a command.
const PIN_BYTES: usize = 8;

/// What the file looks like; for messages.
const KNOWN: &str = "a file of secrets has `[pins]` with digits and `[keys]` with hexadecimal, all as `name = \"…\"`";

/// Reads a file of secrets into variables that are not shown.
pub(crate) fn read(path: &Path, variables: &mut Variables) -> Result<(), Failure> {
    let text = Zeroizing::new(std::fs::read_to_string(path).at("read the secrets", path)?);
    // The words of the parser quote what it has read, and with it secrets.
    let read = toml::from_str::<toml::Table>(&text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        format!("line {} is not TOML; {KNOWN}", before.matches('\n').count() + 1)
    });
    let filled = read.and_then(|tables| fill(tables, variables));
    filled.map_err(|problem| Failure::because(format!("{}: {problem}", path.display())).with(Exit::Input))
}

fn fill(tables: toml::Table, variables: &mut Variables) -> Result<(), String> {
    for (table, values) in tables {
        let (toml::Value::Table(values), Some(kind)) = (values, Kind::named(&table)) else {
            return Err(format!("`{table}` is no part of it; {KNOWN}"));
        };
        for (name, value) in values {
            let toml::Value::String(value) = value else {
                return Err(format!("`{name}` in [{table}] is no string; {KNOWN}"));
            };
            let value = Zeroizing::new(value);
            if variables.get(&name).is_some() {
                return Err(format!("`{name}` is in [pins] and in [keys]; scripts could not tell which is meant"));
            }
            variables.set_secret(&name, kind.bytes(&value).ok_or_else(|| kind.rule(&name))?);
        }
    }
    Ok(())
}

/// What a secret is.
#[derive(Clone, Copy)]
enum Kind {
    /// Digits: sent in ASCII, padded with `FF`.
    Pin,
    /// Bytes in hexadecimal.
    Key,
}

impl Kind {
    fn named(table: &str) -> Option<Self> {
        match table {
            "pins" => Some(Self::Pin),
            "keys" => Some(Self::Key),
            _ => None,
        }
    }

    fn bytes(self, value: &str) -> Option<Vec<u8>> {
        match self {
            Self::Pin => {
                let digits = PIN_DIGITS.contains(&value.len()) && value.bytes().all(|digit| digit.is_ascii_digit());
                let mut pin = value.as_bytes().to_vec();
                pin.resize(PIN_BYTES, 0xFF);
                digits.then_some(pin)
            }
            Self::Key => hexadecimal::parse(value).ok().filter(|key| key.len() >= SHORTEST_SECRET),
        }
    }

    fn rule(self, name: &str) -> String {
        match self {
            Self::Pin => format!("the PIN `{name}` has to have four to eight digits; a key belongs into [keys]"),
            Self::Key => {
                format!("the key `{name}` has to be hexadecimal, two digits per byte, at least {SHORTEST_SECRET} bytes")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Variables, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        let mut variables = Variables::new();
        match read(&path, &mut variables) {
            Ok(()) => Ok(variables),
            Err(Failure::Because(text)) => Err(text.to_string()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn pins_are_digits_and_keys_are_bytes() {
        let secrets = parse("[pins]\npin1 = \"1234\"\n[keys]\nadm = \"00 11 22 33\"\n").unwrap();
        assert_eq!(&secrets["pin1"], b"1234\xFF\xFF\xFF\xFF");
        assert_eq!(&secrets["adm"], [0x00, 0x11, 0x22, 0x33]);
        assert!(secrets.is_secret("pin1") && secrets.is_secret("adm"));
    }

    #[test]
    fn problems_do_not_tell_secrets() {
        for wrong in [
            "[pins]\npin1 = 91823\n",
            "pin1 = \"91823\"\n",
            "[pins]\npin1 = \"91823x\"\n",
            "[keys]\nk = \"918239182391823\"\n",
            "[keys]\nk = \"9182\"\n",
            "[keys]\nk = \"91829182\n",
            "[pins]\nx = \"91823\"\n[keys]\nx = \"9182391823918239\"\n",
        ] {
            let told = parse(wrong).unwrap_err();
            assert!(!told.contains("9182") && told.contains("s.toml: "), "{told}");
        }
    }
}
