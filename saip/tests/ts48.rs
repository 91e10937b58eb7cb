//! The GSMA TS.48 generic test profile, version 7.0, from the reference shelf.

#![allow(clippy::disallowed_methods, reason = "tests read vectors from files")]

mod normative;

use normative::Kind;
use saip::{
    FileChange, FileKind, FilePath, FileResolver, ProfileElement, ResolvedFile, Splitter, decode_package,
    encode_package,
};

const PACKAGE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/ts48/TS48_v7.0_SAIP2.3_BERTLV_SUCI.der");

/// The package, or nothing, said aloud, on a machine without it.
fn package() -> Option<Vec<u8>> {
    let package = std::fs::read(PACKAGE).ok();
    if package.is_none() {
        println!("skipped: no {PACKAGE}");
    }
    package
}

#[test]
fn thirty_elements_round_trip() {
    let Some(package) = package() else { return };
    let elements = decode_package(&package).unwrap();
    assert_eq!(elements.len(), 30);
    assert!(matches!(elements.first(), Some(ProfileElement::Header(header)) if header.major_version == 2));
    assert!(matches!(elements.last(), Some(ProfileElement::End(_))));
    assert!(elements.iter().skip(1).all(|element| element.header().is_some_and(|header| header.mandated)));
    assert_eq!(encode_package(&elements), package);
}

#[test]
fn splitter_gives_the_same_elements() {
    let Some(package) = package() else { return };
    let whole = decode_package(&package).unwrap();
    for segment in [1, 7, 255, 1008] {
        let mut splitter = Splitter::new(4096);
        let mut elements = Vec::new();
        for piece in package.chunks(segment) {
            splitter.push(piece);
            while let Some(element) = splitter.next_element().unwrap() {
                elements.push(ProfileElement::decode(element).unwrap());
            }
        }
        assert_eq!(elements, whole);
    }
}

/// Every octet of every element changed in several ways, and every element cut everywhere: an error or another element, no panic.
#[test]
fn mutations_do_not_panic() {
    let Some(package) = package() else { return };
    let mut refused = 0;
    let mut resolver = FileResolver::new();
    let resolve = |resolver: &mut FileResolver, element: &ProfileElement| match element {
        ProfileElement::Files(element) => resolver.template(element).is_ok(),
        ProfileElement::GenericFileManagement(element) => resolver.generic(element).is_ok(),
        _ => true,
    };
    for element in decode_package(&package).unwrap() {
        let mut der = encode_package([&element]);
        for at in 0..der.len() {
            let octet = der[at];
            for change in [0x01, 0x20, 0x80, 0xFF] {
                der[at] = octet ^ change;
                match ProfileElement::decode(&der) {
                    Ok(element) => drop(resolve(&mut resolver.clone(), &element)),
                    Err(_) => refused += 1,
                }
            }
            der[at] = octet;
            assert!(ProfileElement::decode(&der[..at]).is_err());
        }
        assert!(resolve(&mut resolver, &element));
    }
    assert!(refused > 0);
}

/// Every file as the normative workbook has it.
#[test]
fn every_file_is_as_the_workbook_says() {
    let (Some(package), Some(expected)) = (package(), normative::files()) else { return };
    let mut resolver = FileResolver::new();
    let mut files: Vec<ResolvedFile> = Vec::new();
    for element in decode_package(&package).unwrap() {
        match element {
            ProfileElement::Files(element) => files.extend(resolver.template(&element).unwrap()),
            ProfileElement::GenericFileManagement(element) => {
                for change in resolver.generic(&element).unwrap() {
                    match change {
                        FileChange::Create(file) => files.push(file),
                        FileChange::Write { .. } => panic!("no file of TS.48 is written twice"),
                    }
                }
            }
            _ => {}
        }
    }
    let find = |path: &FilePath| files.iter().find(|file| file.path() == *path);
    let mut faults = Vec::new();
    for expected in &expected {
        let path = ["USIM=3F00/7FD0", "ISIM=3F00/7FB0", "CSIM=3F00/7FC0"]
            .into_iter()
            .filter_map(|adf| adf.split_once('='))
            .find(|(name, _)| expected.path.starts_with(name))
            .map_or_else(|| expected.path.clone(), |(name, path)| expected.path.replacen(name, path, 1));
        let Some(file) = files.iter().find(|file| file.path().to_string() == path) else {
            faults.push(format!("{} {path} is not there", expected.name));
            continue;
        };
        let target = match &file.link {
            Some(link) => find(link).unwrap_or_else(|| panic!("{path} links to {link}, which is not there")),
            None => file,
        };
        let mut check = |what: &str, is: String, should: String| {
            if is != should {
                faults.push(format!("{} {path}: {what} is {is}, should be {should}", expected.name));
            }
        };
        let kind = match target.kind {
            FileKind::Mf | FileKind::Df | FileKind::Adf => Kind::Df,
            FileKind::Transparent => Kind::Transparent,
            FileKind::LinearFixed { record_length } => Kind::Linear { record_length },
            FileKind::Cyclic { record_length } => Kind::Cyclic { record_length },
            FileKind::BerTlv => Kind::BerTlv,
        };
        check("access rule", file.access_rule.record.to_string(), expected.arr_record.to_string());
        check("short identifier", format!("{:02X?}", file.sfi), format!("{:02X?}", expected.sfi));
        if expected.shared {
            check("link", file.link.is_some().to_string(), true.to_string());
        } else {
            check("kind", format!("{kind:?}"), format!("{:?}", expected.kind));
            check("size", target.size.to_string(), expected.size.to_string());
            if let Some(content) = &expected.content {
                check("content", hex::encode(&target.content), hex::encode(content));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(files.len(), expected.len());
}
