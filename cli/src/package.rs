//! Profile packages out of files: as they are, or made from the description of a subscriber.

use std::path::Path;

use saip::builder::{Subscriber, build};

use crate::failure::{AtPath, Failure};

/// The unprotected profile package in a file.
///
/// A file named `.toml` or `.json` describes a subscriber (`docs/subscribers.md`); any other one is a package in DER.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let contents = std::fs::read(path).at("read the profile", path)?;
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let subscriber = match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("toml") => toml::from_slice::<Subscriber>(&contents).map_err(|error| error.message().to_owned()),
        Some("json") => serde_json::from_slice(&contents).map_err(|error| error.to_string()),
        _ => return Ok(contents),
    };
    let named = |failure: Failure| failure.while_doing(&path.display().to_string());
    let subscriber = subscriber.map_err(|cause| {
        named(Failure::because(format!("this describes no subscriber: {cause}; docs/subscribers.md lists the fields")))
    })?;
    Ok(saip::encode_package(&build(&subscriber).map_err(|error| named(error.into()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_becomes_a_package() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let subscriber = write(
            "one.json",
            r#"{ "iccid": "8988211000000000017", "imsi": "001010000000001",
                 "key": "465b5ce8b199b49faa5f0a2ee238a6bc", "opc": "cd63cb71954a9f4e48a5994e37a02baf" }"#,
        );
        let package = read(&subscriber).unwrap();
        assert_eq!(saip::decode_package(&package).unwrap().len(), 13);
        let same = write(
            "one.toml",
            r#"
                iccid = "8988211000000000017"
                imsi = "001010000000001"
                key = "465b5ce8b199b49faa5f0a2ee238a6bc"
                opc = "cd63cb71954a9f4e48a5994e37a02baf"
            "#,
        );
        assert_eq!(read(&same).unwrap(), package);
        assert_eq!(read(&write("one.der", "as it is")).unwrap(), b"as it is");
        let Err(Failure::Because(text)) = read(&write("two.json", r#"{ "iccid": "89" }"#)) else { panic!() };
        assert!(text.contains("two.json") && text.contains("imsi"), "{text}");
        let Err(Failure::Because(text)) = read(&write("two.toml", "iccid = 89")) else { panic!() };
        assert!(text.contains("two.toml") && text.contains("string"), "{text}");
    }

    #[test]
    fn the_example_of_the_documentation_is_right() {
        let text = include_str!("../../docs/subscribers.md");
        let example = text.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let subscriber: Subscriber = toml::from_str(example).unwrap();
        build(&subscriber).unwrap();
    }
}
