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
//! assert!(card.eid.expect("an eUICC").to_string().starts_with("89049032"));
//! let mut card = card.insert(Box::new(entropy));
//! assert_eq!(card.reset()[0], 0x3B);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod identity;
mod issuer;
mod learned;
mod platform;
mod profiles;

pub use applets::profile::CLAIMABLE;
pub use identity::{invent_eid, load_pki, mint_pki};
pub use issuer::{TEST_KEY, TEST_KEY_VERSIONS};
pub use learned::{Twin, Unlearnable, dialect, twin};
pub use profiles::{OWN_KEYS, ProfileToLoad, class_of};

use crate::fault::{self, OrderError};
use crate::image::{self, CardType, ImageError, Manufacture};
use crate::personality::Personality;
use crate::programmable::{Programmable, Unfit};
use applets::isd_r::{Certification, Personalisation};
use applets::profile::{Limits, Seen, add_sim, claim, uicc_capability};
use card_os::nvm::{MemoryNvm, Nvm, NvmError};
use card_os::{Card, CardProfile, DomainId, DomainImage, Entropy};
use crypto::provider::{Deterministic, Provider};
use identities::{Eid, Iccid};
use rsp::activation_code::is_server_address;
use rsp::certificate::Role;
use rsp::chain::{ChainError, verify_euicc};
use rsp::euicc_info::{EuiccInfo2, UiccCapability};
use rsp::metadata::PprIds;
use rsp::rat::GetRatResponse;
use rsp::{EncodeError, VersionType};
use saip::header::Service;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use test_pki::{Pki, PkiError};

/// An eUICC to be made.
#[derive(Clone, Debug)]
pub struct Euicc {
    /// Its EID; `None`: one is invented within the EUM's EIN, or, where the EUM's key is not there to certify it, that
    /// of the PKI's own eUICC.
    pub eid: Option<Eid>,
    /// The trusted CIs and its own certificates, one PKI per CI, preferred first; 1 to 16.
    pub pkis: Vec<Pki>,
    /// Profiles that are there from the start, in the order they get their ISD-P.
    pub profiles: Vec<ProfileToLoad>,
    /// Whether the first of them is enabled; otherwise none is.
    pub enable_first: bool,
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
    /// Services it claims without having them, of [`CLAIMABLE`]: profiles that only demand one install.
    pub claims: Vec<Service>,
    /// Answer to reset, memory sizes, channels.
    pub card: CardProfile,
    /// What it says and does otherwise than the standard card.
    pub personality: Personality,
    /// Seconds since 1970.
    pub now: u64,
}

impl Euicc {
    /// The usual eUICC under this PKI, without profiles.
    pub fn new(pki: Pki, now: u64) -> Self {
        Self::under(vec![pki], now)
    }

    /// The same under several PKIs, preferred first.
    pub fn under(pkis: Vec<Pki>, now: u64) -> Self {
        Self {
            eid: None,
            pkis,
            profiles: Vec::new(),
            enable_first: false,
            default_dp_address: None,
            root_ds_address: ROOT_DS_ADDRESS.into(),
            rat: GetRatResponse::any_operator_with_consent(),
            forbidden_profile_policy_rules: PprIds::default(),
            svn: VersionType::new(2, 5, 0),
            profile_version: VersionType::new(2, 3, 1),
            firmware_version: own_version(),
            claims: Vec::new(),
            card: CardProfile { gsm: true, ..CardProfile::default() },
            personality: Personality::default(),
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
    /// Its EID, if it is an eUICC.
    pub eid: Option<Eid>,
}

impl NewCard {
    /// Writes the card's image; see [`image::create`].
    pub fn save(&self, path: &Path) -> Result<(), ImageError> {
        image::create(path, &self.manufacture, &self.memory)
    }

    /// The card, without power, on a memory that lasts as long as it does. With entropy that is, all of it is the same in
    /// each run.
    pub fn insert(self, entropy: Box<dyn Entropy>) -> Card {
        self.insert_with(entropy, Arc::new(Deterministic))
    }

    /// The same, computing on curves by `provider`.
    pub fn insert_with(self, entropy: Box<dyn Entropy>, provider: Arc<dyn Provider>) -> Card {
        crate::assemble::card(&self.manufacture, Box::new(self.memory), entropy, provider)
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
        let chain = verify_euicc(euicc.der(), eum.der(), core::slice::from_ref(&ci), now, &Deterministic)?;
        certifications.push(Certification {
            ci: ci.subject_key_identifier,
            ci_public_key: ci.public_key,
            euicc_certificate: chain.euicc.der().clone(),
            eum_certificate: chain.eum.der().clone(),
            private_key: euicc.key().ok_or(PkiError::MissingKey(Role::Euicc))?.clone(),
        });
    }
    let mut platform = platform::files();
    let own = &description.personality;
    platform.add_application(applets::ecasd::new_application(&eid, own.eid_form));
    let free = description.card.non_volatile_memory.saturating_sub(platform.size());
    let cis: Vec<_> = certifications.iter().map(|certification| certification.ci.clone()).collect();
    let preferred = cis.first().ok_or(PersonalisationError::Pkis(0))?;
    let capability = own.uicc_capability.with(claimed(&description.claims)?);
    let limits = Limits { memory: free, test_profile: false, capability };
    let (images, preloaded) = profiles::load(&description.profiles, preferred, limits, description.card.gsm)?;
    let enabled = (description.enable_first && !images.is_empty()).then_some(FIRST_PROFILE);
    let registered = own.isd_r_aids.first().copied().unwrap_or(applets::isd_r::AID);
    let isd_r = Personalisation {
        aid: registered,
        first_sequence_number: own.first_sequence_number,
        keys: own.isd_r_keys.clone(),
        behaviour: own.behaviour.clone(),
        eid,
        info: EuiccInfo2 {
            profile_version: description.profile_version,
            svn: description.svn,
            euicc_firmware_ver: description.firmware_version,
            ext_card_resource: Vec::new().into(),
            uicc_capability: capability,
            ts102241_version: own.ts102241_version,
            globalplatform_version: own.globalplatform_version,
            rsp_capability: own.rsp_capability,
            euicc_ci_pk_id_list_for_verification: cis.clone(),
            euicc_ci_pk_id_list_for_signing: cis,
            euicc_category: own.category,
            forbidden_profile_policy_rules: Some(description.forbidden_profile_policy_rules)
                .filter(|rules| *rules != PprIds::default()),
            pp_version: own.protection_profile_version,
            sas_acreditation_number: own.sas_accreditation_number.clone(),
            certification_data_object: None,
        },
        rat: description.rat.clone(),
        root_ds_address: description.root_ds_address.clone(),
        default_dp_address: description.default_dp_address.clone(),
        certifications,
        profiles: preloaded,
    };
    platform.add_application(isd_r.new_application()?);
    let mut profile = description.card.clone();
    profile.further_names.extend(own.isd_r_aids.iter().skip(1).map(|further| (*further, registered)));
    let mut card = finish(CardType::Euicc, &profile, now, Some(eid), (platform, images, enabled))?;
    card.manufacture.like.clone_from(&own.name);
    fault::order(&mut card.memory, &own.faults).map_err(PersonalisationError::Faults)?;
    Ok(card)
}

/// A UICC to be made: one fixed subscription, no ISD-R.
#[derive(Clone, Debug)]
pub struct Uicc {
    /// What is on it, as a profile package; its files are the card's.
    pub profile: ProfileToLoad,
    /// Services it passes for having, of [`CLAIMABLE`].
    pub claims: Vec<Service>,
    /// Answer to reset and memory sizes.
    pub card: CardProfile,
    /// The programmable card that it is like.
    pub like: Option<&'static Programmable>,
    /// Seconds since 1970.
    pub now: u64,
}

impl Uicc {
    /// The usual UICC with this profile.
    pub fn new(profile: ProfileToLoad, now: u64) -> Self {
        let card = CardProfile { gsm: true, ..CardProfile::default() };
        Self { profile, claims: Vec::new(), card: not_an_euicc(card), like: None, now }
    }

    /// Makes it like a programmable card.
    pub fn make_like(&mut self, programmable: &'static Programmable) {
        self.card.atr = programmable.atr.to_vec();
        self.card.gsm = true;
        self.like = Some(programmable);
    }
}

/// Makes a UICC.
pub fn uicc(description: &Uicc) -> Result<NewCard, PersonalisationError> {
    let capability = uicc_capability().with(claimed(&description.claims)?);
    let limits = Limits { memory: description.card.non_volatile_memory, test_profile: false, capability };
    let (mut files, _) = profiles::install(1, &description.profile.package, limits, true)?;
    issuer::equip(&mut files)?;
    // As on cards to be programmed, whose rules are written later.
    if let Some(access_rules) = applets::ara_m::new_application(&[], applets::ara_m::Writing::Open)
        && files.applications().iter().all(|known| known.record.aid != access_rules.record.aid)
    {
        files.add_application(access_rules);
    }
    if let Some(like) = description.like {
        like.equip(&mut files).map_err(|unfit| PersonalisationError::Unfit(like.name, unfit))?;
    } else if description.card.gsm {
        add_sim(&mut files, Seen::ByAll);
    }
    let mut card = finish(CardType::Uicc, &description.card, description.now, None, (files, Vec::new(), None))?;
    card.manufacture.like = description.like.map(|like| like.name.to_owned());
    Ok(card)
}

/// The bits of `uiccCapability` for services that are claimed.
fn claimed(claims: &[Service]) -> Result<UiccCapability, PersonalisationError> {
    match claims.iter().find(|claim| !CLAIMABLE.contains(claim)) {
        Some(&other) => Err(PersonalisationError::Claim(other)),
        None => Ok(claim(claims.iter().copied())),
    }
}

/// Domain of the first profile.
const FIRST_PROFILE: DomainId = DomainId(1);

/// Writes it all to a memory, if it fits.
fn finish(
    card_type: CardType,
    card: &CardProfile,
    now: u64,
    eid: Option<Eid>,
    (platform, profiles, enabled): (DomainImage, Vec<DomainImage>, Option<DomainId>),
) -> Result<NewCard, PersonalisationError> {
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, platform, profiles, enabled)?;
    if memory.used() > card.non_volatile_memory {
        return Err(PersonalisationError::TooSmall { needed: memory.used(), memory: card.non_volatile_memory });
    }
    Ok(NewCard { manufacture: Manufacture::new(card_type, card.clone(), now), memory, eid })
}

/// The answer to reset without the bit that promises eUICC functions: b2 of TB after T=15. TS 102 221 §6.3.3.
fn not_an_euicc(mut card: CardProfile) -> CardProfile {
    const FIRST_TB_FOR_T15: usize = 6;
    const EUICC_FUNCTIONS: u8 = 0x02;
    if let Some(tb) = card.atr.get_mut(FIRST_TB_FOR_T15).filter(|tb| **tb & EUICC_FUNCTIONS != 0) {
        *tb &= !EUICC_FUNCTIONS;
        if let Some(check) = card.atr.last_mut() {
            *check ^= EUICC_FUNCTIONS;
        }
    }
    card
}

/// An address an LPA can make a URL of: a host name, perhaps with a port.
fn check_address(address: &str) -> Result<(), PersonalisationError> {
    if is_server_address(address) { Ok(()) } else { Err(PersonalisationError::Address(address.into())) }
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
        /// The operating system's error.
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
    /// A service that is there anyway, or that EUICCInfo2 has no bit for.
    #[error("{0} cannot be claimed; these can: {names}", names = names(CLAIMABLE))]
    Claim(Service),
    /// What is to go wrong from the start cannot be ordered.
    #[error("what is to go wrong: {}", fault::why_not(.0))]
    Faults(OrderError),
    /// A programmable card cannot have the profile.
    #[error("{0}: {1}")]
    Unfit(&'static str, Unfit),
    /// What was learned of another card makes no card.
    #[error(transparent)]
    Learned(#[from] Unlearnable),
    /// Not an address.
    #[error("{0:?} is no server address: a host name is, also with a port")]
    Address(String),
    /// Something is longer than its ASN.1 type allows.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A profile package cannot be installed.
    #[error("profile {number} cannot be installed: {reason}")]
    Profile {
        /// Which one, from 1.
        number: usize,
        /// What the card would report to an SM-DP+.
        reason: String,
    },
    /// A profile calls itself a test profile, and may be none.
    #[error("profile {number} calls itself `{name}` and does not demand the test algorithm: its class has to be said")]
    Class {
        /// Which one, from 1.
        number: usize,
        /// The type in its header.
        name: String,
    },
    /// A name is longer than SGP.22 §5.5.3 lets it be.
    #[error("profile {number}: the {what} has {octets} octets, and may have {most}; a letter may take several")]
    TooLong {
        /// Which one, from 1.
        number: usize,
        /// Which name.
        what: &'static str,
        /// Its length.
        octets: usize,
        /// The longest there may be.
        most: usize,
    },
    /// Metadata of another profile.
    #[error("profile {number} has ICCID {package}, its metadata says {metadata}")]
    OtherIccid {
        /// Which one, from 1.
        number: usize,
        /// ICCID in the package.
        package: Iccid,
        /// ICCID in the metadata.
        metadata: Iccid,
    },
    /// The same profile twice.
    #[error("profile {number} has ICCID {iccid}, as one before it")]
    SameIccid {
        /// Which one, from 1.
        number: usize,
        /// Its ICCID.
        iccid: Iccid,
    },
    /// It does not fit.
    #[error("the card's memory of {memory} bytes is too small: {needed} are needed")]
    TooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes the card has.
        memory: usize,
    },
    /// The memory did not take it.
    #[error(transparent)]
    Memory(#[from] NvmError),
}

fn names(services: &[Service]) -> String {
    services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::ChaCha;
    use hex_literal::hex;
    use rsp::euicc_info::ExtCardResource;
    use saip::builder::{Key, Subscriber, build};

    const NOW: u64 = 1_767_225_600;
    const ICCIDS: [&str; 2] = ["89000000000000000012", "89000000000000000020"];

    fn package(iccid: &str) -> ProfileToLoad {
        let (key, opc) = (Key::new(&[1; 16]), Key::new(&[2; 16]));
        let subscriber = Subscriber {
            profile_name: Some("A first profile".into()),
            spn: Some("Example Mobile".into()),
            ..Subscriber::new(iccid, "001010123456789", key, opc)
        };
        saip::encode_package(&build(&subscriber).unwrap()).into()
    }

    fn describe(profiles: Vec<ProfileToLoad>) -> (Euicc, ChaCha) {
        let mut entropy = ChaCha::from_number(1);
        let pki = mint_pki(None, NOW, &mut entropy).unwrap();
        (Euicc { profiles, ..Euicc::new(pki, NOW) }, entropy)
    }

    /// What an LPA is told of the profiles: metadata as ISD-R has them.
    fn listed(card: NewCard) -> Vec<rsp::metadata::ProfileInfo> {
        let mut card = card.insert(Box::new(ChaCha::from_number(2)));
        card.reset();
        card.transmit(&hex!("00A4040C10A0000005591010FFFFFFFF8900000100"));
        let mut answer = card.transmit(&hex!("80E2910003BF2D00"));
        let mut data = Vec::new();
        while let Some((part, &[0x61, more])) = answer.split_last_chunk::<2>() {
            data.extend_from_slice(part);
            answer = card.transmit(&[0x80, 0xC0, 0, 0, more]);
        }
        data.extend_from_slice(&answer[..answer.len() - 2]);
        match rsp::decode(&data).unwrap() {
            rsp::es10c::ProfileInfoListResponse::ProfileInfoListOk(list) => list,
            rsp::es10c::ProfileInfoListResponse::ProfileInfoListError(error) => panic!("{error}"),
        }
    }

    /// A package with this type in its header, that demands the test algorithm or not; its keys are public.
    fn package_called(name: &str, demands_test_algorithm: bool) -> ProfileToLoad {
        let k = Key::new(&hex!("465b5ce8b199b49faa5f0a2ee238a6bc"));
        let opc = Key::new(&hex!("cd63cb71954a9f4e48a5994e37a02baf"));
        let subscriber =
            Subscriber { profile_name: Some(name.into()), ..Subscriber::new(ICCIDS[0], "001010123456789", k, opc) };
        let mut elements = build(&subscriber).unwrap();
        if let (true, Some(saip::ProfileElement::Header(header))) = (demands_test_algorithm, elements.first_mut()) {
            let services = header.mandatory_services.iter().chain([Service::USIM_TEST_ALGORITHM]).collect::<Vec<_>>();
            header.mandatory_services = saip::header::ServicesList::new(services);
        }
        saip::encode_package(&elements).into()
    }

    /// A laboratory's package with the test algorithm and keys of its own: the refusal says how it is taken, and so it is.
    #[test]
    fn own_keys_with_the_test_algorithm_are_operational_if_said_so() {
        let (k, opc) =
            (Key::new(&hex!("1F8E03A5D27746B9C05D6E9A3B7C8811")), Key::new(&hex!("92C4E7016BD83F5AA1776C0D4E9F2B38")));
        let mut elements = build(&Subscriber::new(ICCIDS[0], "001010123456789", k, opc)).unwrap();
        let Some(saip::ProfileElement::Header(header)) = elements.first_mut() else { panic!() };
        let services = header.mandatory_services.iter().chain([Service::USIM_TEST_ALGORITHM]).collect::<Vec<_>>();
        header.mandatory_services = saip::header::ServicesList::new(services);
        let package = ProfileToLoad::from(saip::encode_package(&elements));
        let (description, mut entropy) = describe(vec![package.clone()]);
        let refusal = euicc(&description, &mut entropy).map(|_| ()).unwrap_err().to_string();
        assert!(refusal.ends_with(OWN_KEYS), "{refusal}");
        let as_test = ProfileToLoad { class: Some(rsp::metadata::ProfileClass::TEST), ..package.clone() };
        let (description, mut entropy) = describe(vec![as_test]);
        let refusal = euicc(&description, &mut entropy).map(|_| ()).unwrap_err().to_string();
        assert!(!refusal.contains(OWN_KEYS), "it was said: {refusal}");
        let operational = ProfileToLoad { class: Some(rsp::metadata::ProfileClass::OPERATIONAL), ..package };
        let (description, mut entropy) = describe(vec![operational]);
        euicc(&description, &mut entropy).unwrap();
    }

    /// Name and class are those of the header, as at an SM-DP+, unless they are said. What a test profile is called is not
    /// enough to make it one, nor to make it none.
    #[test]
    fn class_and_name_come_from_the_header() {
        use rsp::metadata::ProfileClass;
        let made = |profile: ProfileToLoad| {
            let (description, mut entropy) = describe(vec![profile]);
            euicc(&description, &mut entropy).map(|card| {
                let profile = listed(card).remove(0);
                (profile.profile_name.unwrap(), profile.profile_class.unwrap())
            })
        };
        let is = |name: &str, class: ProfileClass| (name.to_owned(), class);
        let operational = ProfileClass::OPERATIONAL;
        assert_eq!(made(package_called("Contest", false)).unwrap(), is("Contest", operational));
        assert_eq!(
            made(package_called("TS48 Test Profile", true)).unwrap(),
            is("TS48 Test Profile", ProfileClass::TEST)
        );
        let unclear = made(package_called("A test profile", false)).unwrap_err();
        assert!(
            matches!(&unclear, PersonalisationError::Class { number: 1, name } if name == "A test profile"),
            "{unclear}"
        );
        let said = ProfileToLoad { class: Some(operational), ..package_called("A test profile", false) };
        assert_eq!(made(said).unwrap(), is("A test profile", operational));
        let renamed = ProfileToLoad { name: Some("Mine".into()), ..package_called("Contest", false) };
        assert_eq!(made(renamed).unwrap(), is("Mine", operational));
    }

    /// Sixty-four octets of a name fit, one more does not, nor does a letter of two: refused in words, never cut.
    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let made = |name: String| {
            let profile = ProfileToLoad { name: Some(name), ..package(ICCIDS[0]) };
            let (description, mut entropy) = describe(vec![profile]);
            euicc(&description, &mut entropy).map(|card| listed(card).remove(0).profile_name.unwrap())
        };
        assert_eq!(made("n".repeat(64)).unwrap(), "n".repeat(64));
        for (name, octets) in [("n".repeat(65), 65), ("é".repeat(33), 66)] {
            let refusal = made(name).unwrap_err();
            assert!(refusal.to_string().contains(&format!("{octets} octets, and may have 64")), "{refusal}");
        }
        let (description, mut entropy) = describe(vec![package_called(&"n".repeat(65), false)]);
        let refusal = euicc(&description, &mut entropy).map(|_| ()).unwrap_err();
        assert!(matches!(refusal, PersonalisationError::TooLong { number: 1, octets: 65, most: 64, .. }), "{refusal}");
    }

    /// What SELECT of EF.ICCID on a card fresh from the factory answers.
    fn select_iccid(card: NewCard) -> Vec<u8> {
        let mut card = card.insert(Box::new(ChaCha::from_number(2)));
        card.reset();
        card.transmit(&hex!("00A4000C022FE2"))
    }

    #[test]
    fn profiles_are_there_disabled_or_the_first_enabled() {
        let (description, mut entropy) = describe(ICCIDS.map(package).to_vec());
        let card = euicc(&description, &mut entropy).unwrap();
        assert_eq!(select_iccid(card), hex!("6A82"));
        let card = euicc(&Euicc { enable_first: true, ..description }, &mut entropy).unwrap();
        assert_eq!(select_iccid(card), hex!("9000"));
    }

    #[test]
    fn a_card_is_the_same_for_the_same_description_and_seed() {
        let (description, mut entropy) = describe(vec![package(ICCIDS[0])]);
        let (again, mut same_entropy) = describe(vec![package(ICCIDS[0])]);
        let (one, other) = (euicc(&description, &mut entropy).unwrap(), euicc(&again, &mut same_entropy).unwrap());
        assert!(one.memory == other.memory && one.manufacture == other.manufacture);
    }

    /// EUICCInfo2 as real eUICCs give it, the optional versions included: SGP.22 §5.7.8; TS 102 226 §8.2.1.7.2 for the
    /// resources, whose figures follow what is on the card. That ts102241Version stands there without Java Card is no
    /// contradiction: it names the release of the API, the bit of `uiccCapability` tells whether applications run.
    #[test]
    fn euicc_info_2_is_complete() {
        let info = |profiles: Vec<ProfileToLoad>, claims: Vec<Service>| {
            let (description, mut entropy) = describe(profiles);
            let mut card = euicc(&Euicc { claims, ..description }, &mut entropy).unwrap().insert(Box::new(entropy));
            card.reset();
            card.transmit(&hex!("00A4040C10A0000005591010FFFFFFFF8900000100"));
            let mut answer = card.transmit(&hex!("80E2910003BF2200"));
            let mut data = Vec::new();
            while let Some((part, &[0x61, more])) = answer.split_last_chunk::<2>() {
                data.extend_from_slice(part);
                answer = card.transmit(&[0x80, 0xC0, 0, 0, more]);
            }
            data.extend_from_slice(&answer[..answer.len() - 2]);
            rsp::decode::<EuiccInfo2>(&data).unwrap()
        };
        let empty = info(vec![], vec![]);
        assert_eq!(empty.ts102241_version, Some(VersionType::new(15, 1, 0)));
        assert_eq!(empty.globalplatform_version, Some(VersionType::new(2, 3, 0)));
        assert!(!empty.uicc_capability.contains(UiccCapability::JAVACARD));
        let one = info(vec![package(ICCIDS[0])], vec![Service::JAVACARD]);
        assert!(one.uicc_capability.contains(UiccCapability::JAVACARD.with(empty.uicc_capability)));
        let resources = |info: &EuiccInfo2| ExtCardResource::parse(&info.ext_card_resource).unwrap();
        let (before, after) = (resources(&empty), resources(&one));
        assert!(before.installed_applications >= 2 && before.free_volatile_memory > 0, "{before:?}");
        assert!(after.installed_applications > before.installed_applications, "{after:?}");
        assert!(after.free_non_volatile_memory < before.free_non_volatile_memory, "{after:?}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refusal = |change: &dyn Fn(&mut Euicc)| {
            let (mut description, mut entropy) = describe(vec![package(ICCIDS[0])]);
            change(&mut description);
            euicc(&description, &mut entropy).map(|_| ()).unwrap_err()
        };
        let same = refusal(&|description| description.profiles.push(package(ICCIDS[0])));
        assert!(matches!(same, PersonalisationError::SameIccid { number: 2, .. }), "{same}");
        let broken = refusal(&|description| description.profiles[0].package.truncate(500));
        assert!(matches!(broken, PersonalisationError::Profile { number: 1, .. }), "{broken}");
        let small = refusal(&|description| description.card.non_volatile_memory = 8_000);
        assert!(matches!(small, PersonalisationError::Profile { number: 1, .. }), "{small}");
        let claim = refusal(&|description| description.claims = vec![Service::USIM]);
        assert!(claim.to_string().contains("javacard"), "{claim}");
        let none = refusal(&|description| description.pkis.clear());
        assert!(matches!(none, PersonalisationError::Pkis(0)), "{none}");
        for address in ["", "http://smdp.example", "smdp.example/path", "a b"] {
            let refusal = refusal(&|description| description.default_dp_address = Some(address.into()));
            assert!(matches!(refusal, PersonalisationError::Address(_)), "{refusal}");
        }
    }

    #[test]
    fn a_uicc_has_its_files_and_no_isd_r() {
        let new = uicc(&Uicc::new(package(ICCIDS[0]), NOW)).unwrap();
        assert_eq!(new.eid, None);
        let mut card = new.insert(Box::new(ChaCha::from_number(3)));
        let atr = card.reset();
        assert_eq!(atr[6], 0x80, "no eUICC functions are promised");
        assert_eq!(atr[1..].iter().fold(0, |sum, octet| sum ^ octet), 0);
        assert_eq!(card.transmit(&hex!("00A4040C07A0000000871002")), hex!("9000"));
        assert_eq!(card.transmit(&hex!("00A4040C10A0000005591010FFFFFFFF8900000100")), hex!("6A82"));
    }
}
