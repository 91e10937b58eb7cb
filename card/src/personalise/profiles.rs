//! Profiles that are on the card from the start.

use super::PersonalisationError;
use apdu::tlv::{Tag, Tlv, Writer};
use applets::ara_m;
use applets::isd_r::Preloaded;
use applets::profile::{Failure, Limits, Seen, add_sim, interpret};
use card_os::DomainImage;
use card_os::fs::FileId;
use rsp::es8::StoreMetadataRequest;
use rsp::metadata::ProfileClass;
use rsp::notification::ErrorReason;
use rsp::{SubjectKeyIdentifier, Text};
use saip::access_control::{Access, Device, Reference, Rule};
use saip::header::{ProfileHeader, Service};
use saip::{ProfileElement, Splitter};

/// A profile to be put on the card.
#[derive(Clone)]
pub struct ProfileToLoad {
    /// Unprotected profile package, as a file from an SM-DP+ or a test suite.
    pub package: Vec<u8>,
    /// What an LPA is told of it; `None`: what can be read from the package, and what stands below.
    pub metadata: Option<StoreMetadataRequest>,
    /// Its name, in the place of the type in the header. Up to 64 octets.
    pub name: Option<String>,
    /// Its class, in the place of [what follows from the header](class_of).
    pub class: Option<ProfileClass>,
}

/// Its size, not its content: network keys are in there.
impl core::fmt::Debug for ProfileToLoad {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProfileToLoad")
            .field("package", &format_args!("{} bytes", self.package.len()))
            .field("metadata", &self.metadata)
            .field("name", &self.name)
            .field("class", &self.class)
            .finish()
    }
}

impl From<Vec<u8>> for ProfileToLoad {
    fn from(package: Vec<u8>) -> Self {
        Self { package, metadata: None, name: None, class: None }
    }
}

/// The class that follows from a header, which has no field for it: a test profile demands the test algorithm, as GSMA's
/// TS.48 does. Nothing where one calls itself a test profile and does not: a card would take it only if everybody knows
/// its keys. SGP.22 §5.5.4
pub fn class_of(header: &ProfileHeader) -> Option<ProfileClass> {
    if header.mandatory_services.contains(Service::USIM_TEST_ALGORITHM) {
        return Some(ProfileClass::TEST);
    }
    let name = header.profile_type.as_deref().unwrap_or_default();
    let says_test = name.split(|letter: char| !letter.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("test"));
    (!says_test).then_some(ProfileClass::OPERATIONAL)
}

/// Interprets the packages in turn, each in what memory the others left. `is_also_a_sim`: with the files of TS 51.011.
pub(super) fn load(
    profiles: &[ProfileToLoad],
    ci: &SubjectKeyIdentifier,
    limits: Limits,
    is_also_a_sim: bool,
) -> Result<(Vec<DomainImage>, Vec<Preloaded>), PersonalisationError> {
    let (mut free, mut images, mut preloaded, mut iccids) = (limits.memory, Vec::new(), Vec::new(), Vec::new());
    for (number, profile) in (1..).zip(profiles) {
        let class = profile.class(number)?;
        let test_profile = class == ProfileClass::TEST;
        let is_said = profile.metadata.is_some() || profile.class.is_some();
        let (mut image, header_iccid) =
            install(number, &profile.package, Limits { memory: free, test_profile, ..limits }, is_said)?;
        if is_also_a_sim {
            add_sim(&mut image, Seen::AsSim);
        }
        free = free.saturating_sub(image.size());
        let metadata = match &profile.metadata {
            Some(metadata) => metadata.clone(),
            None => profile.metadata_from_package(number, class, header_iccid.clone(), &image)?,
        };
        if metadata.iccid != header_iccid {
            return Err(PersonalisationError::OtherIccid { number, package: header_iccid, metadata: metadata.iccid });
        }
        if iccids.contains(&header_iccid) {
            return Err(PersonalisationError::SameIccid { number, iccid: header_iccid });
        }
        iccids.push(header_iccid);
        let metadata = with_privileges(rsp::encode(&metadata)?, &ara_m::rules_of(&image));
        preloaded.push(Preloaded { metadata, ci: ci.clone() });
        images.push(image);
    }
    Ok((images, preloaded))
}

/// Metadata with the privileges that the profile's own rules give to applications of the device, for an LPA to read while the
/// profile is not enabled: `refArDo`, SGP.22 §5.7.15.
fn with_privileges(metadata: Vec<u8>, rules: &[Rule]) -> Vec<u8> {
    const METADATA: Tag = Tag(0xBF25);
    const REF_AR_DO: Tag = Tag(0xBF76);
    let privileges = rules.iter().filter_map(|rule| {
        // The list has no place for applications of the card, nor for what rules say of them.
        let device = rule.reference.device.clone().filter(|device| matches!(device, Device::Hash(_)))?;
        let reference = Reference { target: None, device: Some(device), package: rule.reference.package.clone() };
        let access = Access { permissions: Some(rule.access.permissions?), ..Access::default() };
        Some(Rule { reference, access }.to_bytes())
    });
    let privileges = privileges.collect::<Vec<_>>().concat();
    let Ok(fields) = Tlv::parse(&metadata) else { return metadata };
    if privileges.is_empty() {
        return metadata;
    }
    let mut out = Writer::new();
    out.constructed(METADATA, |out| {
        out.raw(fields.value).primitive(REF_AR_DO, &privileges);
    });
    out.into_bytes()
}

/// What ends the reason of a [`PersonalisationError::Profile`] whose class has to be said.
pub const OWN_KEYS: &str = "; it demands the test algorithm, so that it is taken for a test profile, whose keys are public: \
                            one with keys of its own is operational";

/// The domain a package describes, and its ICCID. `is_said`: its class is not only what follows from the
/// header.
pub(super) fn install(
    number: usize,
    package: &[u8],
    limits: Limits,
    is_said: bool,
) -> Result<(DomainImage, identities::Iccid), PersonalisationError> {
    let profile = interpret(package, limits).map_err(|Failure { reason, response }| {
        let detail = response.map_or_else(String::new, |response| format!(": {response}"));
        // A laboratory's own keys with the test algorithm.
        let advice = if reason == ErrorReason::TEST_PROFILE_INVALID_NAA_KEY && !is_said { OWN_KEYS } else { "" };
        PersonalisationError::Profile { number, reason: format!("{reason}{detail}{advice}") }
    })?;
    Ok((profile.image, profile.iccid))
}

impl ProfileToLoad {
    /// Its class, as far as anybody says.
    fn class(&self, number: usize) -> Result<ProfileClass, PersonalisationError> {
        let said = self.metadata.as_ref().map(|metadata| metadata.profile_class).or(self.class);
        match (said, self.header()) {
            (Some(class), _) => Ok(class),
            (None, Some(header)) => class_of(&header)
                .ok_or_else(|| PersonalisationError::Class { number, name: header.profile_type.unwrap_or_default() }),
            // No profile: the interpreter says so.
            (None, None) => Ok(ProfileClass::OPERATIONAL),
        }
    }

    /// What a package says of itself: the profile type in its header, and the service provider's name in EF.SPN.
    fn metadata_from_package(
        &self,
        number: usize,
        profile_class: ProfileClass,
        iccid: identities::Iccid,
        image: &DomainImage,
    ) -> Result<StoreMetadataRequest, PersonalisationError> {
        let name = self.name.clone().or_else(|| self.header()?.profile_type).unwrap_or_else(|| "Profile".into());
        Ok(StoreMetadataRequest {
            iccid,
            service_provider_name: fitting(number, "name of its service provider", service_provider_name(image))?,
            profile_name: fitting(number, "name", Some(name))?,
            icon_type: None,
            icon: None,
            profile_class,
            notification_configuration_info: None,
            profile_owner: None,
            profile_policy_rules: None,
        })
    }

    fn header(&self) -> Option<ProfileHeader> {
        let mut splitter = Splitter::new(self.package.len());
        splitter.push(&self.package);
        match ProfileElement::decode(splitter.next_element().ok()??).ok()? {
            ProfileElement::Header(header) => Some(*header),
            _ => None,
        }
    }
}

/// A text that the metadata has room for: a part of a name would be another name.
fn fitting<const MAX: usize>(
    number: usize,
    what: &'static str,
    text: Option<String>,
) -> Result<Text<MAX>, PersonalisationError> {
    let text = Text::from(text.unwrap_or_default());
    if text.fits() {
        Ok(text)
    } else {
        Err(PersonalisationError::TooLong { number, what, octets: text.len(), most: MAX })
    }
}

/// EF.SPN of the first USIM: display condition, then the name in the default alphabet, padded with FF. Names in UCS2 are
/// left to the operator's metadata. TS 31.102 §4.2.12.
fn service_provider_name(image: &DomainImage) -> Option<String> {
    const EF_SPN: FileId = FileId(0x6F46);
    let tree = image.tree();
    let spn = tree.adfs().find_map(|(_, adf)| tree.child(adf, EF_SPN))?;
    let (_, name) = image.content(tree.body(spn))?.split_first()?;
    let name: Vec<u8> = name.iter().copied().take_while(|octet| *octet != 0xFF).collect();
    // Of the default alphabet, letters, digits and the usual punctuation are what they are in ASCII.
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b" !\"#%&'()*+,-./:;<=>?".contains(octet);
    (!name.is_empty() && name.iter().all(plain)).then(|| String::from_utf8(name).ok()).flatten()
}
