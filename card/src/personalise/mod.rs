//! A new card, from a description of it: what an EUM does before a card leaves the factory.
//!
//! ```
//! use card::entropy::ChaCha;
//! use card::personalise::{self, Euicc};
//!
//! let mut entropy = ChaCha::from_number(1);
//! let now = 1_767_225_600;
//! let pki = personalise::mint_pki(None, now, &mut entropy)?;
//! let card = personalise::euicc(&Euicc::new(pki, now), &mut entropy)?;
//! assert!(card.eid.to_string().starts_with("89049032"));
//! let mut card = card.insert(Box::new(entropy));
//! assert_eq!(card.reset()[0], 0x3B);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod identity;
mod platform;

pub use identity::{invent_eid, load_pki, mint_pki};

use crate::image::{self, CardType, ImageError, Manufacture};
use applets::isd_r::{Certification, Personalisation};
use card_os::nvm::{MemoryNvm, NvmError};
use card_os::{Card, CardProfile, Entropy};
use rsp::certificate::Role;
use rsp::chain::{ChainError, verify_euicc};
use rsp::euicc_info::{EuiccCategory, EuiccInfo2, RspCapability, UiccCapability};
use rsp::metadata::PprIds;
use rsp::pki::{Pki, PkiError};
use rsp::rat::GetRatResponse;
use rsp::{Eid, EncodeError, VersionType};
use std::path::{Path, PathBuf};

/// An eUICC to be made.
#[derive(Clone, Debug)]
pub struct Euicc {
    /// Its EID; `None`: one is invented within the EUM's EIN, or, where the EUM's key is not there to certify it, that
    /// of the PKI's own eUICC.
    pub eid: Option<Eid>,
    /// Whom it believes and who vouches for it, one PKI per CI, preferred first; 1 to 16.
    pub pkis: Vec<Pki>,
    /// Default SM-DP+.
    pub default_dp_address: Option<String>,
    /// Root SM-DS.
    pub root_ds_address: String,
    /// Which operators may set which profile policy rules.
    pub rat: GetRatResponse,
    /// Profile policy rules no profile may have on this card.
    pub forbidden_profile_policy_rules: PprIds,
    /// Release of SGP.22.
    pub svn: VersionType,
    /// Release of the profile package specification.
    pub profile_version: VersionType,
    /// Version of the card's own software.
    pub firmware_version: VersionType,
    /// Answer to reset and memory sizes.
    pub card: CardProfile,
    /// Seconds since 1970.
    pub now: u64,
}

impl Euicc {
    /// The usual eUICC under this PKI, without profiles.
    pub fn new(pki: Pki, now: u64) -> Self {
        Self {
            eid: None,
            pkis: vec![pki],
            default_dp_address: None,
            root_ds_address: ROOT_DS_ADDRESS.into(),
            rat: GetRatResponse::any_operator_with_consent(),
            forbidden_profile_policy_rules: PprIds::default(),
            svn: VersionType::new(2, 5, 0),
            profile_version: VersionType::new(2, 3, 1),
            firmware_version: own_version(),
            card: CardProfile::default(),
            now,
        }
    }
}

/// Root SM-DS of the test world. SGP.23.
const ROOT_DS_ADDRESS: &str = "testrootsmds.gsma.com";

/// The version of this crate: what a card says its firmware is.
fn own_version() -> VersionType {
    let mut numbers = env!("CARGO_PKG_VERSION").split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    VersionType::new(next(), next(), next())
}

/// A card that has been made, not inserted anywhere yet.
pub struct NewCard {
    /// What it was made as.
    pub manufacture: Manufacture,
    /// Everything it remembers.
    pub memory: MemoryNvm,
    /// Its EID.
    pub eid: Eid,
}

impl NewCard {
    /// Writes the card's image; see [`image::create`].
    pub fn save(&self, path: &Path) -> Result<(), ImageError> {
        image::create(path, &self.manufacture, &self.memory)
    }

    /// The card, without power, on a memory that lasts as long as it does.
    pub fn insert(self, entropy: Box<dyn Entropy>) -> Card {
        crate::assemble::card(&self.manufacture, Box::new(self.memory), entropy)
    }
}

/// Makes an eUICC.
pub fn euicc(description: &Euicc, entropy: &mut dyn Entropy) -> Result<NewCard, PersonalisationError> {
    let now = description.now;
    let (eid, credentials) = identity::certify(description.eid, &description.pkis, now, entropy)?;
    for address in description.default_dp_address.iter().chain([&description.root_ds_address]) {
        check_address(address)?;
    }
    let mut certifications = Vec::new();
    for (pki, euicc) in description.pkis.iter().zip(&credentials) {
        let (ci, eum) = (pki.trust_anchor()?, pki.get(Role::Eum)?);
        let chain = verify_euicc(euicc.der(), eum.der(), core::slice::from_ref(&ci), now)?;
        certifications.push(Certification {
            ci: ci.subject_key_identifier,
            ci_public_key: ci.public_key,
            euicc_certificate: chain.euicc.der().clone(),
            eum_certificate: chain.eum.der().clone(),
            private_key: euicc.key().ok_or(PkiError::MissingKey(Role::Euicc))?.clone(),
        });
    }
    let cis: Vec<_> = certifications.iter().map(|certification| certification.ci.clone()).collect();
    let isd_r = Personalisation {
        eid,
        info: EuiccInfo2 {
            profile_version: description.profile_version,
            svn: description.svn,
            euicc_firmware_ver: description.firmware_version,
            ext_card_resource: Vec::new().into(),
            uicc_capability: UICC_CAPABILITY,
            ts102241_version: None,
            globalplatform_version: Some(VersionType::new(2, 3, 0)),
            rsp_capability: RspCapability::ADDITIONAL_PROFILE
                | RspCapability::TEST_PROFILE_SUPPORT
                | RspCapability::DEVICE_INFO_EXTENSIBILITY_SUPPORT,
            euicc_ci_pk_id_list_for_verification: cis.clone(),
            euicc_ci_pk_id_list_for_signing: cis,
            euicc_category: Some(EuiccCategory::MEDIUM_EUICC),
            forbidden_profile_policy_rules: Some(description.forbidden_profile_policy_rules)
                .filter(|rules| *rules != PprIds::default()),
            pp_version: VersionType::new(1, 0, 0),
            sas_acreditation_number: SAS_ACCREDITATION_NUMBER.into(),
            certification_data_object: None,
        },
        rat: description.rat.clone(),
        root_ds_address: description.root_ds_address.clone(),
        default_dp_address: description.default_dp_address.clone(),
        certifications,
        profiles: Vec::new(),
    };
    let mut platform = platform::files();
    platform.add_application(isd_r.new_application()?);
    platform.add_application(applets::ecasd::new_application(&eid));
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, platform, Vec::new(), None)?;
    Ok(NewCard { manufacture: Manufacture::new(CardType::Euicc, description.card.clone(), now), memory, eid })
}

/// Capabilities that profiles may ask for.
const UICC_CAPABILITY: UiccCapability = UiccCapability::USIM_SUPPORT;
/// Nobody accredited the site this card is made at.
const SAS_ACCREDITATION_NUMBER: &str = "VU-IC-UP-0000";

/// An address an LPA can make a URL of: a host name, perhaps with a port.
fn check_address(address: &str) -> Result<(), PersonalisationError> {
    let fine = |character: char| character.is_ascii_alphanumeric() || "-.:[]".contains(character);
    let is_address = (1..=255).contains(&address.len()) && address.chars().all(fine);
    if is_address { Ok(()) } else { Err(PersonalisationError::Address(address.into())) }
}

/// A card cannot be made as described.
#[derive(Debug, thiserror::Error)]
pub enum PersonalisationError {
    /// No PKI, or too many.
    #[error("an eUICC is made under 1 to 16 CIs, not {0}")]
    Pkis(usize),
    /// A certificate or key is missing, or they do not belong together.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The PKI folder cannot be used.
    #[error("{folder}: {cause}", folder = .folder.display())]
    PkiFolder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The certificates do not lead from the CI to the eUICC.
    #[error("the certificates do not lead from the CI to the eUICC: {0}")]
    Chain(#[from] ChainError),
    /// Digits or check digits of the EID are wrong.
    #[error("{0} is no EID: its check digits are wrong")]
    Eid(Eid),
    /// The PKI has a certificate for another EID only, and nothing to make one with.
    #[error("the PKI has no certificate for EID {0} and no EUM key to issue one; take its own EID {1}, or add the key")]
    NotCertified(Eid, Eid),
    /// No EID can be invented.
    #[error("the EUM certificate permits no EIN to invent an EID within; give one")]
    NoEin,
    /// Not an address.
    #[error("{0:?} is no server address: a host name is, also with a port")]
    Address(String),
    /// Something is longer than its ASN.1 type allows.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The memory is too small for it all.
    #[error(transparent)]
    Memory(#[from] NvmError),
}
