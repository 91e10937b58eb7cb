//! Profiles that are on the card from the start.

use super::PersonalisationError;
use applets::isd_r::Preloaded;
use applets::profile::{Failure, Limits, interpret};
use card_os::DomainImage;
use card_os::fs::FileId;
use rsp::es8::StoreMetadataRequest;
use rsp::metadata::ProfileClass;
use rsp::{SubjectKeyIdentifier, Text};
use saip::{ProfileElement, Splitter};

/// A profile to be put on the card.
#[derive(Clone)]
pub struct ProfileToLoad {
    /// Unprotected profile package, as a file from an SM-DP+ or a test suite.
    pub package: Vec<u8>,
    /// What an LPA is told of it; `None`: what can be read from the package.
    pub metadata: Option<StoreMetadataRequest>,
}

/// Its size, not its content: network keys are in there.
impl core::fmt::Debug for ProfileToLoad {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProfileToLoad")
            .field("package", &format_args!("{} bytes", self.package.len()))
            .field("metadata", &self.metadata)
            .finish()
    }
}

impl From<Vec<u8>> for ProfileToLoad {
    fn from(package: Vec<u8>) -> Self {
        Self { package, metadata: None }
    }
}

/// Interprets the packages in turn, each in what memory the others left.
pub(super) fn load(
    profiles: &[ProfileToLoad],
    ci: &SubjectKeyIdentifier,
    limits: Limits,
) -> Result<(Vec<DomainImage>, Vec<Preloaded>), PersonalisationError> {
    let (mut free, mut images, mut preloaded, mut iccids) = (limits.memory, Vec::new(), Vec::new(), Vec::new());
    for (number, profile) in (1..).zip(profiles) {
        let test_profile =
            profile.metadata.as_ref().is_some_and(|metadata| metadata.profile_class == ProfileClass::TEST);
        let (image, header_iccid) = install(number, &profile.package, Limits { memory: free, test_profile, ..limits })?;
        free = free.saturating_sub(image.size());
        let metadata = match &profile.metadata {
            Some(metadata) => metadata.clone(),
            None => metadata(&profile.package, header_iccid.clone(), &image),
        };
        if metadata.iccid != header_iccid {
            return Err(PersonalisationError::OtherIccid { number, package: header_iccid, metadata: metadata.iccid });
        }
        if iccids.contains(&header_iccid) {
            return Err(PersonalisationError::SameIccid { number, iccid: header_iccid });
        }
        iccids.push(header_iccid);
        preloaded.push(Preloaded { metadata: rsp::encode(&metadata)?, ci: ci.clone() });
        images.push(image);
    }
    Ok((images, preloaded))
}

/// The domain a package describes, and its ICCID.
pub(super) fn install(
    number: usize,
    package: &[u8],
    limits: Limits,
) -> Result<(DomainImage, rsp::Iccid), PersonalisationError> {
    let profile = interpret(package, limits).map_err(|Failure { reason, response }| {
        let detail = response.map_or_else(String::new, |response| format!(": {response}"));
        PersonalisationError::Profile { number, reason: format!("{reason}{detail}") }
    })?;
    Ok((profile.image, profile.iccid))
}

/// What a package says of itself: the profile type in its header, and the service provider's name in EF.SPN.
fn metadata(package: &[u8], iccid: rsp::Iccid, image: &DomainImage) -> StoreMetadataRequest {
    let profile_name = profile_type(package).unwrap_or_else(|| "Profile".into());
    StoreMetadataRequest {
        iccid,
        service_provider_name: Text::shortened(service_provider_name(image).unwrap_or_default()),
        profile_name: Text::shortened(profile_name),
        icon_type: None,
        icon: None,
        profile_class: ProfileClass::OPERATIONAL,
        notification_configuration_info: None,
        profile_owner: None,
        profile_policy_rules: None,
    }
}

fn profile_type(package: &[u8]) -> Option<String> {
    let mut splitter = Splitter::new(package.len());
    splitter.push(package);
    match ProfileElement::decode(splitter.next_element().ok()??).ok()? {
        ProfileElement::Header(header) => header.profile_type,
        _ => None,
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
