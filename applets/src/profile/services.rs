//! What this card offers to profiles: one table for the mandatory services of a profile and for EUICCInfo2.

use rsp::euicc_info::UiccCapability;
use saip::Status;
use saip::header::{ProfileHeader, Service};
use saip::templates;

/// Services offered, each with the bit of `uiccCapability` that announces it. TCA §4.1, SGP.22 §5.7.8.
pub const OFFERED: &[(Service, UiccCapability)] = &[
    (Service::USIM, UiccCapability::USIM_SUPPORT),
    (Service::ISIM, UiccCapability::ISIM_SUPPORT),
    (Service::CSIM, UiccCapability::CSIM_SUPPORT),
    (Service::MILENAGE, UiccCapability::AKA_MILENAGE),
    (Service::TUAK128, UiccCapability::AKA_TUAK128),
    (Service::TUAK256, UiccCapability::AKA_TUAK256),
    // Given its meaning, usimTestAlgorithm, after SGP.22 had reserved it.
    (Service::USIM_TEST_ALGORITHM, UiccCapability::RFU1),
    (Service::MULTIPLE_USIM, UiccCapability::MULTIPLE_USIM_SUPPORT),
    (Service::MULTIPLE_ISIM, UiccCapability::MULTIPLE_ISIM_SUPPORT),
    (Service::MULTIPLE_CSIM, UiccCapability::MULTIPLE_CSIM_SUPPORT),
    (Service::BER_TLV, UiccCapability::BER_TLV_FILE_SUPPORT),
    (Service::DF_LINK, UiccCapability::DF_LINK_SUPPORT),
    (Service::GET_IDENTITY, UiccCapability::GET_IDENTITY),
    (Service::PROFILE_A_X25519, UiccCapability::PROFILE_A_X25519),
    (Service::PROFILE_B_P256, UiccCapability::PROFILE_B_P256),
];

/// The `uiccCapability` of EUICCInfo2.
pub fn uicc_capability() -> UiccCapability {
    OFFERED.iter().fold(UiccCapability::EMPTY, |all, (_, capability)| all.with(*capability))
}

/// Major versions of the profile package format that are understood.
const VERSIONS: core::ops::RangeInclusive<u8> = 1..=3;

/// Whether the card has what a profile demands. TCA §8.2.
pub(super) fn check(header: &ProfileHeader) -> Result<(), Status> {
    if !VERSIONS.contains(&header.major_version) {
        return Err(Status::UNSUPPORTED_PROFILE_VERSION);
    }
    for service in header.mandatory_services.iter() {
        if OFFERED.iter().all(|(offered, _)| *offered != service) {
            return Err(match service {
                Service::JAVACARD | Service::MULTOS => Status::RUNTIME_NOT_SUPPORTED,
                _ => Status::FEATURE_NOT_SUPPORTED,
            });
        }
    }
    if header.mandatory_templates.iter().any(|id| templates::find(id).is_none()) {
        return Err(Status::TEMPLATE_NOT_SUPPORTED);
    }
    // No packages are on the card that an application could be loaded against.
    if header.mandatory_aids.as_ref().is_some_and(|aids| !aids.is_empty()) {
        return Err(Status::LIB_NOT_SUPPORTED);
    }
    Ok(())
}
