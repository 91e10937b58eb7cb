//! Subscriber files: TOML or JSON, the same fields, validated.

use std::path::Path;

use console::Exit;
use saip::builder::{Subscriber, SubscriberError};
use zeroize::Zeroizing;

use crate::failure::{AtPath, Failure};
use crate::fields::{IS_JSON, from_json, from_toml, place_in_json, place_in_toml};

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
    let form = format(path).unwrap_or(Format::Toml);
    let subscriber = text.and_then(|text| {
        let subscriber: Subscriber = match form {
            Format::Json => from_json(text)?,
            Format::Toml => {
                from_toml(text).map_err(|cause| cause.replace(IS_JSON, "this is JSON: name the file .json"))?
            }
        };
        subscriber.check().map_err(|error| format!("{}{error}", place(text, form, &error)))?;
        Ok(subscriber)
    });
    let advice = "docs/subscribers.md lists the fields";
    subscriber.map_err(|cause| Failure::because(format!("{}: {cause}; {advice}", path.display())).with(Exit::Input))
}

/// Where the value stands that is wrong, or what is next to it: a value that is missing has no place.
fn place(text: &str, form: Format, error: &SubscriberError) -> String {
    let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let found = (1..=path.len()).rev().find_map(|length| {
        let path = path.get(..length)?;
        match form {
            Format::Toml => place_in_toml(text, path),
            Format::Json => place_in_json(text, path),
        }
    });
    found.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default()
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
            // What parses, and is wrong.
            ("[codes]\npin1 = '12'", "line 8, column 8: codes.pin1: has 2 digits"),
            ("spn = 'Seventeen letters'", "line 7, column 7: spn: takes 17 octets"),
            ("ehplmns = ['00102',\n'001']", "line 8, column 1: ehplmns[1]: has 3 digits"),
            ("[[usim.pnn]]\nfull = 'A'\n[[usim.pnn]]\nfull = ''", "line 10, column 8: usim.pnn[1].full: is empty"),
            ("[[usim.pnn]]\nshort = 'A'", "missing field `full`"),
            ("[[usim.opl]]\nplmn = '0010x'\nname = 0", "line 8, column 8: usim.opl[0].plmn: wants 5 or 6 digits"),
            ("[usim]\nfdn = [{ number = 'x' }]", "line 8, column 19: usim.fdn[0].number: wants digits"),
            ("[usim]\nsearch_period = 7", "line 8, column 17: usim.search_period: is 0"),
            ("[usim.files]\n'EF.ACM' = '0'", "line 8, column 12: usim.files.EF.ACM: wants hexadecimal digits"),
            ("[usim.files]\nnone = true", "line 8, column 8: usim.files.none: there is no such file"),
            ("[usim.mailbox]\nvoice = { number = '' }", "line 8, column 20: usim.mailbox.voice.number: has no digits"),
            ("[usim]\nservices = [8, 999]", "line 8, column 16: usim.services[1]: 999 is no service"),
            ("[usim]\nspn_coding = '83'", "line 8, column 14: usim.spn_coding: wants `gsm`, `80`, `81`, `82`"),
            ("[usim]\nmsisdn_name = 5", "line 8, column 15: usim.msisdn_name: wants a name in quotes"),
            ("[usim.ecall]\ntest = '1'\nreconfiguration = 'x'", "line 9, column 19: usim.ecall.reconfiguration: "),
            ("[[phonebook]]\nname = 'A'\nnumber = '1'\nemail = 'x'", "line 10, column 9: phonebook[0].email: "),
            ("emergency_numbers = ['112', { number = '9', name = '' }]", "emergency_numbers[1].name: is empty"),
        ] {
            let told = told("one.toml", &format!("{GOOD}\n{line}"));
            assert!(told.contains(place), "{told}");
        }
        let syntax = told("one.json", "{ \"iccid\": \"89\",\n  \"imsi\" 1 }");
        assert!(syntax.contains("line 2, column 10"), "{syntax}");
        let json = r#"{ "iccid": "8988211000000000011", "imsi": "001010000000001",
            "key": "465b5ce8b199b49faa5f0a2ee238a6bc", "opc": "cd63cb71954a9f4e48a5994e37a02baf",
            "usim": { "fdn": [ { "number": "1" },
                               { "number": "x" } ] } }"#;
        let told = told("one.json", json);
        assert!(told.contains("line 4, column 46: usim.fdn[1].number: wants digits"), "{told}");
    }

    #[test]
    fn a_byte_order_mark_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.toml");
        std::fs::write(&path, format!("\u{FEFF}{GOOD}")).unwrap();
        assert_eq!(read(&path).unwrap().imsi, "001010000000001");
    }
}
