//! What the examples share: a card to try things on. The examples themselves are the files beside `Cargo.toml`.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use card::entropy::ChaCha;
use card::personalise::{self, Euicc, ProfileToLoad};
use card_os::Card;
use saip::builder::{Key, Subscriber, build};
use test_pki::Pki;

/// What an example may fail with.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A test PKI in the shape of SGP.26: a CI, an EUM and an SM-DP+, made on the spot.
pub fn pki() -> Outcome<Pki> {
    Ok(personalise::mint_pki(None, now(), &mut ChaCha::from_operating_system()?)?)
}

/// A profile package for a subscriber with this ICCID, unprotected, as an operator gives it to its SM-DP+.
pub fn profile(iccid: &str) -> Outcome<Vec<u8>> {
    let (k, opc): (Key, Key) =
        ("465B5CE8B199B49FAA5F0A2EE238A6BC".parse()?, "CD63CB71954A9F4E48A5994E37A02BAF".parse()?);
    Ok(saip::encode_package(&build(&Subscriber::new(iccid, "001010000000001", k, opc))?))
}

/// An eUICC that trusts this PKI, with these profiles on it, all in memory.
pub fn euicc(pki: Pki, profiles: &[Vec<u8>]) -> Outcome<Card> {
    let mut entropy = ChaCha::from_operating_system()?;
    let mut description = Euicc::new(pki, now());
    description.profiles = profiles.iter().cloned().map(ProfileToLoad::from).collect();
    Ok(personalise::euicc(&description, &mut entropy)?.insert(Box::new(entropy)))
}

/// The READMEs of the rooms: their examples are compiled and run.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../../apdu/README.md")]
    struct Apdu;
    #[doc = include_str!("../../calendar/README.md")]
    struct Calendar;
    #[doc = include_str!("../../identities/README.md")]
    struct Identities;
    #[doc = include_str!("../../crypto/README.md")]
    struct Crypto;
    #[doc = include_str!("../../rsp/README.md")]
    struct Rsp;
    #[doc = include_str!("../../x509/README.md")]
    struct X509;
    #[doc = include_str!("../../test-pki/README.md")]
    struct TestPki;
    #[doc = include_str!("../../saip/README.md")]
    struct Saip;
    #[doc = include_str!("../../sms/README.md")]
    struct Sms;
    #[doc = include_str!("../../wire/eap/README.md")]
    struct Eap;
    #[doc = include_str!("../../wire/mt/README.md")]
    struct Mt;
    #[doc = include_str!("../../wire/ts43/README.md")]
    struct Ts43;
    #[doc = include_str!("../../capture/README.md")]
    struct Capture;
    #[doc = include_str!("../../decode/README.md")]
    struct Decode;
    #[doc = include_str!("../../card/README.md")]
    struct CardRoom;
    #[doc = include_str!("../../reader-bridge/README.md")]
    struct ReaderBridge;
    #[doc = include_str!("../../terminal/pairing/README.md")]
    struct Pairing;
    #[doc = include_str!("../../terminal/es10/README.md")]
    struct Es10;
    #[doc = include_str!("../../terminal/lpa/README.md")]
    struct Lpa;
    #[doc = include_str!("../../network/smdp/README.md")]
    struct Smdp;
}
