//! A subscriber of a network that exists in tests only: its profile package, and its authentication centre.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crypto::aka::{Aka, Amf, Rand, Sqn, kc, sres};
use crypto::milenage::Milenage;
use hex_literal::hex;
use saip::builder::{Key, Subscriber, build};

use crate::vector;

/// K of TS 35.208, test set 1.
pub const K: [u8; 16] = hex!("465b5ce8b199b49faa5f0a2ee238a6bc");
/// OPc of TS 35.208, test set 1.
pub const OPC: [u8; 16] = hex!("cd63cb71954a9f4e48a5994e37a02baf");
/// IMSI of the test network, MCC 001, MNC 01.
pub const IMSI: &str = "001010000000001";

/// A subscriber with an ICCID of its own per `number`, and [`IMSI`], [`K`] and [`OPC`].
pub fn subscriber(number: u32) -> Subscriber {
    Subscriber::new(&iccid(number), IMSI, Key::new(&K), Key::new(&OPC))
}

/// An ICCID of 20 digits, the last one a Luhn digit.
pub fn iccid(number: u32) -> String {
    let digits = format!("8988211{number:012}");
    let check = luhn(&digits);
    digits + &check.to_string()
}

/// The digit that follows `digits`. ISO/IEC 7812-1 annex B.
fn luhn(digits: &str) -> u32 {
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(at, digit)| if at % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    (10 - sum % 10) % 10
}

/// Writes a subscriber's profile package to a file in `folder`.
///
/// # Panics
/// If there can be no such profile.
pub fn package(folder: &Path, subscriber: &Subscriber) -> PathBuf {
    let elements = build(subscriber).expect("a profile can be made for this subscriber");
    let path = folder.join(format!("{}.der", subscriber.iccid));
    fs::write(&path, saip::encode_package(&elements)).expect("a file in the test's folder");
    path
}

/// Writes the GSMA's generic test profile, TS.48 v7, to a file in `folder`; `None` where it is not at hand.
///
/// `number`, 0 to 99, becomes digits 17 and 18 of its ICCID ([`ts48_iccid`]), so that several lie beside each other on
/// one card. [`TS48_AS_PUBLISHED`] changes nothing.
///
/// # Panics
/// If the file is not that profile.
pub fn ts48(folder: &Path, number: u8) -> Option<PathBuf> {
    // The ICCID as the header has it, digit by digit, and as EF.ICCID has it, nibbles swapped.
    const PUBLISHED: [[u8; 10]; 2] = [hex!("89000123456789012341"), hex!("98001032547698103214")];
    let mut package = fs::read(vector("ts48/TS48_v7.0_SAIP2.3_BERTLV_SUCI.der")?).expect("a readable file");
    let digits = ((number / 10) << 4) | (number % 10);
    for (iccid, byte) in PUBLISHED.iter().zip([digits, digits.rotate_left(4)]) {
        let at = package.windows(iccid.len()).position(|window| window == iccid);
        package[at.expect("the profile's ICCID stands in its header and in EF.ICCID") + 8] = byte;
    }
    let path = folder.join(format!("ts48-{number}.der"));
    fs::write(&path, package).expect("a file in the test's folder");
    Some(path)
}

/// The number with which [`ts48`] gives the profile as it was published.
pub const TS48_AS_PUBLISHED: u8 = 23;

/// The ICCID of the profile [`ts48`] gives for `number`.
pub fn ts48_iccid(number: u8) -> String {
    format!("8900012345678901{number:02}41")
}

/// The network's side of authentication: keys and sequence numbers by IMSI. TS 33.102 §6.3.
#[derive(Default)]
pub struct AuthenticationCentre {
    subscribers: HashMap<String, (Milenage, u64)>,
    challenges: u8,
}

impl AuthenticationCentre {
    /// AMF with the separation bit, as EAP-AKA' wants it.
    const AMF: Amf = [0x80, 0x00];

    /// Adds a subscriber whose next challenge has the sequence number after `seq`.
    pub fn add(&mut self, imsi: &str, k: &[u8; 16], opc: &[u8; 16], seq: u64) {
        self.subscribers.insert(imsi.to_owned(), (Milenage::new(k, opc), seq));
    }

    /// RAND, AUTN, IK, CK, RES.
    pub fn quintet(&mut self, imsi: &str) -> Option<[Vec<u8>; 5]> {
        let rand = self.rand();
        let (milenage, seq) = self.subscribers.get_mut(imsi)?;
        *seq += 1;
        let vector = milenage.generate_vector(&rand, Sqn::new(*seq, 0), Self::AMF);
        Some([rand.to_vec(), vector.autn, vector.ik.to_vec(), vector.ck.to_vec(), vector.xres.to_vec()])
    }

    /// Kc, SRES, RAND.
    pub fn triplet(&mut self, imsi: &str) -> Option<[Vec<u8>; 3]> {
        let rand = self.rand();
        let (milenage, _) = self.subscribers.get(imsi)?;
        let answer = milenage.f2345(&rand);
        Some([kc(&answer.ck, &answer.ik).to_vec(), sres(&answer.res).to_vec(), rand.to_vec()])
    }

    /// Goes on where the card is; `false` if AUTS is not the card's.
    pub fn resynchronise(&mut self, imsi: &str, rand: &Rand, auts: &[u8]) -> bool {
        let Some((milenage, seq)) = self.subscribers.get_mut(imsi) else { return false };
        let sqn_ms = milenage.resynchronise(rand, auts);
        *seq = sqn_ms.map_or(*seq, Sqn::seq);
        sqn_ms.is_some()
    }

    /// A challenge nobody has seen: chance is no matter here, difference is.
    fn rand(&mut self) -> Rand {
        self.challenges = self.challenges.wrapping_add(1);
        [self.challenges; 16]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iccids_end_in_a_luhn_digit() {
        assert_eq!((luhn("7992739871"), luhn("0")), (3, 0));
        assert_eq!((iccid(1).len(), &iccid(1)[..19]), (20, "8988211000000000001"));
    }

    #[test]
    fn a_published_profile_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = ts48(folder.path(), TS48_AS_PUBLISHED) else { return };
        let original = fs::read(vector("ts48/TS48_v7.0_SAIP2.3_BERTLV_SUCI.der").unwrap()).unwrap();
        assert!(fs::read(path).unwrap() == original);
        let other = fs::read(ts48(folder.path(), 7).unwrap()).unwrap();
        assert_eq!(other.iter().zip(&original).filter(|(a, b)| a != b).count(), 2);
        assert_eq!(ts48_iccid(7), "89000123456789010741");
    }

    #[test]
    fn the_centre_follows_the_card() {
        let mut centre = AuthenticationCentre::default();
        centre.add(IMSI, &K, &OPC, 5);
        let milenage = Milenage::new(&K, &OPC);
        let auts = milenage.auts(&[9; 16], Sqn::new(1000, 3));
        assert!(!centre.resynchronise(IMSI, &[8; 16], &auts));
        assert!(centre.resynchronise(IMSI, &[9; 16], &auts));
        let [rand, token, ..] = centre.quintet(IMSI).unwrap();
        let opened = milenage.open_autn(&rand.try_into().unwrap(), &token).unwrap();
        assert_eq!(opened.sqn.seq(), 1001);
    }
}
