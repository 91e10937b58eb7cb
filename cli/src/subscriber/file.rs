//! Subscriber files: TOML or JSON, the same fields, validated.

use std::path::Path;

use console::Exit;
use saip::builder::Subscriber;
use zeroize::Zeroizing;

use crate::failure::{AtPath, Failure};
use crate::fields::{IS_JSON, from_json, from_toml};

/// The format of a subscriber file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

/// Whether a file of this name describes a subscriber, or is a profile package.
pub(crate) fn describes_subscriber(path: &Path) -> bool {
    format(path).is_some()
}

/// The format that a file's name implies.
pub(crate) fn format(path: &Path) -> Option<Format> {
    match path.extension()?.to_ascii_lowercase().to_str()? {
        "toml" => Some(Format::Toml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// The subscriber in a file. Missing, mistyped or contradictory fields are refused by name.
pub(crate) fn read(path: &Path) -> Result<Subscriber, Failure> {
    let contents = Zeroizing::new(std::fs::read(path).at("read the subscriber", path)?);
    let text = str::from_utf8(&contents).map_err(|_| "it is not text in UTF-8".to_owned());
    let subscriber = text.and_then(|text| match format(path) {
        Some(Format::Json) => from_json(text),
        _ => from_toml(text).map_err(|cause| cause.replace(IS_JSON, "this is JSON: name the file .json")),
    });
    let subscriber = subscriber.and_then(|subscriber: Subscriber| match subscriber.check() {
        Ok(()) => Ok(subscriber),
        Err(error) => Err(error.to_string()),
    });
    let advice = "docs/subscribers.md lists the fields";
    subscriber.map_err(|cause| Failure::because(format!("{}: {cause}; {advice}", path.display())).with(Exit::Input))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        iccid = "8988211000000000011"
        imsi = "001010000000001"
        key = "465b5ce8b199b49faa5f0a2ee238a6bc"
        opc = "cd63cb71954a9f4e48a5994e37a02baf"
    "#;

    fn refusal(name: &str, text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let Err(Failure::Because(text)) = read(&path) else { panic!("{text} was accepted") };
        assert!(text.contains(name), "{text}");
        let cause = text.rsplit(&format!("{name}: ")).next().unwrap().split(';').next().unwrap();
        // The position comes before the error.
        let place =
            cause.split_once(": ").filter(|(place, _)| place.starts_with("line ") && place.contains(", column "));
        place.map_or(cause, |(_, cause)| cause).to_owned()
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        let with = |line: &str| refusal("one.toml", &format!("{GOOD}\n{line}"));
        assert_eq!(
            refusal("one.toml", &GOOD.replace("imsi", "ismi")).split(',').next(),
            Some("ismi: there is no such field")
        );
        assert!(refusal("one.json", r#"{ "iccid": "89" }"#).starts_with("missing field `imsi`"));
        let json = refusal("one.toml", r#"{ "iccid": "89" }"#);
        assert_eq!(json, "this is JSON: name the file .json");
        assert_eq!(with("[codes]\npin1 = 1234"), "codes.pin1: is written in quotes");
        assert_eq!(with("[codes]\npin1 = '12'"), "codes.pin1: has 2 digits, and wants 4 to 8");
        assert_eq!(with("mnc_length = 'two'"), "mnc_length: wants a number from 0 to 255");
        assert_eq!(with("algorithm = 'comp128'"), "algorithm: wants `milenage`, `tuak`, `xor`");
        assert_eq!(
            with("[[suci.keys]]\nid = 300\nprofile = 'A'\nkey = ''").split(',').next(),
            Some("suci.keys[0].id: wants a number from 0 to 255")
        );
        assert_eq!(
            with("op = 'cdc202d5123e20f62b6d676ac72cb317'").split(',').next(),
            Some("opc: is not what follows from op and key")
        );
        let unterminated = with("spn = \"465b5ce8");
        assert!(!unterminated.contains("465b"), "{unterminated}");
        let wrong_key = refusal("one.toml", &GOOD.replace("a6bc", "a6bx"));
        assert_eq!(wrong_key, "key: wants hexadecimal digits, two for each octet");
        for digits in ["zz", "4", "465b5"] {
            let opc = GOOD.replace("cd63cb71954a9f4e48a5994e37a02baf", digits);
            assert_eq!(refusal("one.toml", &opc), "opc: wants hexadecimal digits, two for each octet");
        }
        assert_eq!(refusal("one.json", r#"{ "key": "zz" }"#), "key: wants hexadecimal digits, two for each octet");
    }

    #[test]
    fn where_it_is_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let Err(Failure::Because(text)) = read(&path) else { panic!("{text} was accepted") };
            text
        };
        for (line, place) in [
            ("spn = \"465b5ce8", "line 7, column "),
            ("mnc_length = 'two'", "line 7, column 14: mnc_length: "),
            ("[codes]\npin1 = 1234", "line 8, column 8: codes.pin1: "),
        ] {
            let told = told("one.toml", &format!("{GOOD}\n{line}"));
            assert!(told.contains(place), "{told}");
        }
        let told = told("one.json", "{ \"iccid\": \"89\",\n  \"imsi\" 1 }");
        assert!(told.contains("line 2, column 10"), "{told}");
    }

    #[test]
    fn a_byte_order_mark_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.toml");
        std::fs::write(&path, format!("\u{FEFF}{GOOD}")).unwrap();
        assert_eq!(read(&path).unwrap().imsi, "001010000000001");
    }
}
