//! A card image as version 0.1.0 wrote it, with everything on it, opened by this one.
//!
//! `0.1.0.img`: an eUICC of 256 KB with the TS.48 profile downloaded, disabled, called “Vanha ✈”, and six notifications
//! kept with their certificates. `notifications.der`: what 0.1.0 gave an LPA for them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use applets::kind;
use card::entropy::ChaCha;
use card::image::FileNvm;
use card::{assemble, inspect};
use card_os::{Card, DomainView, Privileges};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/first_release").join(name)
}

/// One short ES10 command and all of its response.
fn es10(card: &mut Card, request: &[u8]) -> Vec<u8> {
    let command = [&[0x80, 0xE2, 0x91, 0x00, u8::try_from(request.len()).unwrap()], request].concat();
    let (mut answer, mut data) = (card.transmit(&command), Vec::new());
    loop {
        let (part, sw) = answer.split_last_chunk::<2>().unwrap();
        data.extend_from_slice(part);
        match *sw {
            [0x61, more] => answer = card.transmit(&[0x80, 0xC0, 0, 0, more]),
            sw => {
                assert_eq!(sw, [0x90, 0x00]);
                return data;
            }
        }
    }
}

fn power_on(card: &mut Card) {
    card.reset();
    let select = [&[0x00, 0xA4, 0x04, 0x0C, 0x10], &rsp::ids::AID_ISD_R[..]].concat();
    assert_eq!(card.transmit(&select), [0x90, 0x00]);
}

#[test]
fn a_card_of_the_first_release_is_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carried-over.img");
    std::fs::copy(fixture("0.1.0.img"), &path).unwrap();

    let before = inspect::image(&path).unwrap();
    let euicc = serde_json::to_value(&before).unwrap()["euicc"].clone();
    assert_eq!(euicc["profiles"][0]["iccid"], "89000123456789012341");
    assert_eq!(euicc["profiles"][0]["nickname"], "Vanha ✈");
    assert_eq!(euicc["notifications"].as_array().unwrap().len(), 6);

    let notifications = std::fs::read(fixture("notifications.der")).unwrap();
    for _ in 0..2 {
        let nvm = FileNvm::open(&path).unwrap();
        let manufacture = nvm.manufacture().clone();
        let mut card = assemble::card(
            &manufacture,
            Box::new(nvm),
            Box::new(ChaCha::from_number(1)),
            std::sync::Arc::new(crypto::provider::Deterministic),
        );
        power_on(&mut card);
        // Octet for octet what they were, though a tenth of the memory is enough now.
        let list = es10(&mut card, &[0xBF, 0x2B, 0x00]);
        assert!(list.windows(notifications.len()).any(|octets| octets == notifications));
        assert!(card.nvm().used() + 5 * 1000 < before.memory.used);
        // The profile is as usable as ever: enabled, and selected.
        let enable = [&[0xBF, 0x31, 0x11, 0xA0, 0x0C, 0x5A, 0x0A], &ICCID[..], &[0x81, 0x01, 0x00]].concat();
        assert_eq!(es10(&mut card, &enable)[..5], [0xBF, 0x31, 0x03, 0x80, 0x01]);
        assert_eq!(card.transmit(&[0x00, 0xA4, 0x04, 0x0C, 0x07, 0xA0, 0, 0, 0, 0x87, 0x10, 0x02]), [0x90, 0x00]);
    }
    // Its security domains may do what those of a profile downloaded today may.
    let domains = DomainView::all(&card::image::read(&path).unwrap().1);
    let applications = domains.iter().flat_map(|domain| &domain.applications);
    let mut security_domains = applications.filter(|application| application.record.kind == kind::SECURITY_DOMAIN);
    assert!(security_domains.clone().count() > 0);
    assert!(security_domains.all(|domain| domain.record.privileges.contains(Privileges::MANAGE_APPLICATIONS)));
    // The second time it was enabled already, and the one notification of that is there besides.
    let after = serde_json::to_value(inspect::image(&path).unwrap()).unwrap();
    assert_eq!(after["euicc"]["profiles"][0]["enabled"], true);
    assert_eq!(after["euicc"]["notifications"].as_array().unwrap().len(), 7);
}

/// ICCID of TS.48, as in EF.ICCID.
const ICCID: [u8; 10] = [0x98, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0x10, 0x32, 0x14];
