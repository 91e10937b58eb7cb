//! The GSMA TS.48 generic test profile, version 7.0, from the reference shelf.

use saip::{ProfileElement, Splitter, decode_package, encode_package};

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
    for element in decode_package(&package).unwrap() {
        let mut der = encode_package([&element]);
        for at in 0..der.len() {
            let octet = der[at];
            for change in [0x01, 0x20, 0x80, 0xFF] {
                der[at] = octet ^ change;
                refused += usize::from(decode_package(&der).is_err());
            }
            der[at] = octet;
            assert!(ProfileElement::decode(&der[..at]).is_err());
        }
    }
    assert!(refused > 0);
}
