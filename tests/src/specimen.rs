//! The card that is put under stress: personalised, with profiles, and the same in every run.
//!
//! `fuzz/` takes this file in as it is.

use std::sync::Arc;

use card::entropy::ChaCha;
use card::personalise::{Euicc, euicc, mint_pki};
use card_os::nvm::{MemoryNvm, Nvm};
use card_os::{Card, CardProfile};
use crypto::provider::Provider;
use hex_literal::hex;
use identities::Eid;
use saip::builder::{
    AccessRule, AccessRules, Apdu, Ever, HomeNetworkKey, Ims, Key, OtaKeys, Subscriber, Suci, SuciProfile, Writing,
    build,
};
use test_pki::Pki;

/// When it was made, seconds since 1970.
pub const NOW: u64 = 1_767_225_600;
/// K of the enabled profile's subscriber: TS 35.208, test set 1.
pub const K: [u8; 16] = hex!("465b5ce8b199b49faa5f0a2ee238a6bc");
/// OPc of the enabled profile's subscriber.
pub const OPC: [u8; 16] = hex!("cd63cb71954a9f4e48a5994e37a02baf");
/// ICCIDs of the enabled profile, the disabled one, and one that can be downloaded.
pub const ICCIDS: [&str; 3] = ["89882110000000000010", "89882110000000000028", "89882110000000000036"];

/// The description of a card, and what its memory holds when it leaves the factory.
pub struct Specimen {
    /// Keys and certificates of its world.
    pub pki: Pki,
    /// Its EID.
    pub eid: Eid,
    memory: MemoryNvm,
    profile: CardProfile,
}

impl Default for Specimen {
    fn default() -> Self {
        Self::new()
    }
}

impl Specimen {
    /// An eUICC with two profiles, the first one enabled.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Self {
        let mut entropy = ChaCha::from_number(0);
        let pki = mint_pki(None, NOW, &mut entropy).expect("a PKI");
        let profiles = ICCIDS.iter().take(2).map(|iccid| package(iccid).into()).collect();
        let description = Euicc { profiles, enable_first: true, ..Euicc::new(pki, NOW) };
        let card = euicc(&description, &mut entropy).expect("a card");
        let pki = description.pkis.into_iter().next().expect("the PKI");
        Self { pki, eid: card.eid.expect("an EID"), memory: card.memory, profile: card.manufacture.profile }
    }

    /// What the card remembers when it leaves the factory.
    pub const fn memory(&self) -> &MemoryNvm {
        &self.memory
    }

    /// The card, fresh from the factory, without power; its random bytes are the same every time.
    pub fn card(&self) -> Card {
        self.card_on(Box::new(self.memory.clone()))
    }

    /// The same, which computes on curves by `provider`.
    pub fn card_by(&self, provider: Arc<dyn Provider>) -> Card {
        let (memory, entropy) = (Box::new(self.memory.clone()), Box::new(ChaCha::from_number(1)));
        Card::new(self.profile.clone(), memory, entropy, applets::factory(provider))
    }

    /// The same on a memory of the caller's.
    pub fn card_on(&self, nvm: Box<dyn Nvm>) -> Card {
        Card::new(self.profile.clone(), nvm, Box::new(ChaCha::from_number(1)), applets::build)
    }
}

/// The package of a profile with all that the builder knows: USIM, ISIM, GSM, SUCI, operator's keys, access rules.
///
/// # Panics
/// If it cannot be built.
pub fn package(iccid: &str) -> Vec<u8> {
    let home_network_key = |id, profile, key: &[u8]| HomeNetworkKey { id, profile, key: Key::new(key) };
    let subscriber = Subscriber {
        profile_name: Some("Specimen".into()),
        spn: Some("vuicc".into()),
        ims: Some(Ims::default()),
        suci: Some(Suci {
            calculation: saip::builder::SuciCalculation::Usim,
            routing_indicator: "17".into(),
            // TS 33.501 annex C.4.
            keys: vec![
                home_network_key(
                    27,
                    SuciProfile::A,
                    &hex!("5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650"),
                ),
                home_network_key(
                    28,
                    SuciProfile::B,
                    &hex!("0272da71976234ce833a6907425867b82e074d44ef907dfb4b3e21c1c2256ebcd1"),
                ),
            ],
        }),
        ota: Some(OtaKeys {
            version: 1,
            kic: Key::new(&[0x11; 16]),
            kid: Key::new(&[0x22; 16]),
            kik: Key::new(&[0x33; 16]),
        }),
        access_rules: Some(AccessRules {
            writing: Writing::Open,
            pkcs15: true,
            rules: vec![AccessRule {
                aid: Some("all".into()),
                apdu: Some(Apdu::Ever(Ever::Always)),
                ..AccessRule::default()
            }],
        }),
        ..Subscriber::new(iccid, "001010000000001", Key::new(&K), Key::new(&OPC))
    };
    saip::encode_package(&build(&subscriber).expect("a profile"))
}
