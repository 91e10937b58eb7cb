//! Cards as they are met in the field: a description of what one says and does otherwise than the standard card.
//!
//! A description is a TOML file; those of some products are [shipped](SHIPPED), each with the public thread that its quirks are
//! known from. What it leaves out is as on the standard card. It never makes a card have what this one has not: that only
//! `claims` can say.

mod atr;
mod description;
mod field;

pub use description::Description;
pub use field::{Name, Text, size};

use crate::personalise::Euicc;
use apdu::Aid;
use applets::ecasd::EidForm;
use applets::isd_r::Behaviour;
use applets::profile::uicc_capability;
use card_os::fault::Fault;
use rsp::VersionType;
use rsp::euicc_info::{EuiccCategory, RspCapability, UiccCapability};
use saip::security_domain::KeyObject;

/// A shipped description.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its name, for `--like`.
    pub name: &'static str,
    /// The TOML file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal,)+) => {
        /// The shipped descriptions, the standard card first.
        pub const SHIPPED: &[Shipped] = &[$(Shipped { name: $name, text: include_str!(concat!($name, ".toml")) },)+];
    };
}

shipped! {
    "standard",
    "5ber",
    "basic-channel",
    "cat-busy",
    "eastcompeace",
    "ecasd-bare",
    "esim-me-v2",
    "lenient",
    "refresh-then-reset",
    "reset-only",
    "sequence-zero",
    "sysmoeuicc1",
    "t1-extended",
    "thales-2.1",
}

/// The description of this name.
pub fn shipped(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name.eq_ignore_ascii_case(name))
}

/// What an eUICC says of itself and does, beside its identity and its profiles. The default is the standard card.
#[derive(Clone, Debug)]
pub struct Personality {
    /// What it is called, where it is not the standard one.
    pub name: Option<String>,
    /// The names that ISD-R is selected by, the one it is registered under first. One at least.
    pub isd_r_aids: Vec<Aid>,
    /// Sequence number of its first notification.
    pub first_sequence_number: u64,
    /// Keys by which a host opens a secure channel to its ISD-R.
    pub isd_r_keys: Vec<KeyObject>,
    /// How its ISD-R behaves.
    pub behaviour: Behaviour,
    /// In which form its ECASD answers the EID.
    pub eid_form: EidForm,
    /// Release of TS 102 241, the UICC API for Java Card: optional in EUICCInfo2, and says which release would apply, not that
    /// applications run; that is the `javacard` bit of `uiccCapability`.
    pub ts102241_version: Option<VersionType>,
    /// Release of GlobalPlatform Card.
    pub globalplatform_version: Option<VersionType>,
    /// Release of the protection profile.
    pub protection_profile_version: VersionType,
    /// Accreditation of the production site.
    pub sas_accreditation_number: String,
    /// What profiles may ask for: what this card has, or less.
    pub uicc_capability: UiccCapability,
    /// Optional parts of SGP.22: what this card has, or less.
    pub rsp_capability: RspCapability,
    /// How much it says it holds.
    pub category: Option<EuiccCategory>,
    /// What goes wrong from the start.
    pub faults: Vec<Fault>,
}

/// The optional parts of SGP.22 that this card has.
pub(crate) const RSP_CAPABILITY: RspCapability = RspCapability::ADDITIONAL_PROFILE
    .with(RspCapability::TEST_PROFILE_SUPPORT)
    .with(RspCapability::DEVICE_INFO_EXTENSIBILITY_SUPPORT);

/// Nobody accredited the site this card is made at.
const SAS_ACCREDITATION_NUMBER: &str = "VU-IC-UP-0000";

impl Default for Personality {
    fn default() -> Self {
        Self {
            name: None,
            isd_r_aids: vec![applets::isd_r::AID],
            first_sequence_number: 1,
            isd_r_keys: Vec::new(),
            behaviour: Behaviour::default(),
            eid_form: EidForm::Object,
            // The one real eUICCs name.
            ts102241_version: Some(VersionType::new(15, 1, 0)),
            globalplatform_version: Some(VersionType::new(2, 3, 0)),
            protection_profile_version: VersionType::new(1, 0, 0),
            sas_accreditation_number: SAS_ACCREDITATION_NUMBER.into(),
            uicc_capability: uicc_capability(),
            rsp_capability: RSP_CAPABILITY,
            category: Some(EuiccCategory::MEDIUM_EUICC),
            faults: Vec::new(),
        }
    }
}

impl Euicc {
    /// Makes it like a description; what that leaves out stays as it is.
    pub fn make_like(&mut self, description: &Description) {
        description.apply(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::ChaCha;
    use crate::personalise::{euicc, mint_pki};

    const NOW: u64 = 1_767_225_600;

    /// Each is read, names itself and its source, and makes a card that an LPA gets an answer from.
    #[test]
    fn shipped_descriptions_make_cards() {
        let mut entropy = ChaCha::from_number(1);
        let pki = mint_pki(None, NOW, &mut entropy).unwrap();
        for shipped in SHIPPED {
            let description: Description =
                toml::from_str(shipped.text).unwrap_or_else(|error| panic!("{}: {error}", shipped.name));
            assert_eq!(description.name.as_ref().map(|name| name.0.as_str()), Some(shipped.name));
            assert!(description.about.as_ref().is_some_and(|about| about.0.len() > 20), "{}", shipped.name);
            assert!(!description.sources.is_empty(), "{}: where is that known from?", shipped.name);
            let mut new = Euicc::new(pki.clone(), NOW);
            new.make_like(&description);
            let card = euicc(&new, &mut entropy).unwrap();
            let inspection = crate::inspect::card(&card.manufacture, &card.memory).unwrap();
            let told = inspection.euicc.unwrap();
            assert_eq!(told.svn, new.svn.to_string());
            if let Some(aids) = &description.isd_r.aids {
                assert!(aids.iter().map(|aid| hex::encode_upper(&*aid.0)).eq(told.isd_r));
            }
            assert_eq!(inspection.faults.len(), description.faults.len());
            let is_standard = shipped.name == "standard";
            assert_eq!(inspection.like.as_deref(), (!is_standard).then_some(shipped.name));
        }
        assert_eq!(shipped("5BER").unwrap().name, "5ber");
    }

    /// The file that shows every field says what the card is without it.
    #[test]
    fn the_standard_description_changes_nothing() {
        let pki = mint_pki(None, NOW, &mut ChaCha::from_number(1)).unwrap();
        let standard = Euicc::new(pki, NOW);
        let mut like = standard.clone();
        like.make_like(&toml::from_str(SHIPPED[0].text).unwrap());
        let told =
            |euicc: &Euicc| format!("{:?} {:?}", euicc.personality, (euicc.svn, euicc.profile_version, &euicc.card));
        assert_eq!(told(&like), told(&standard));
        assert_eq!((like.root_ds_address, like.claims), (standard.root_ds_address, standard.claims));
    }
}
