//! What this card offers to profiles: one table for the mandatory services of a profile and for EUICCInfo2.

use rsp::euicc_info::UiccCapability;
use saip::Status;
use saip::header::{ProfileHeader, Service};
use saip::templates;

/// Services offered to profiles. TCA §4.1.
pub const OFFERED: &[Service] = &[
    Service::USIM,
    Service::ISIM,
    Service::CSIM,
    Service::MILENAGE,
    Service::TUAK128,
    Service::TUAK256,
    Service::USIM_TEST_ALGORITHM,
    Service::MULTIPLE_USIM,
    Service::MULTIPLE_ISIM,
    Service::MULTIPLE_CSIM,
    Service::BER_TLV,
    Service::DF_LINK,
    Service::GET_IDENTITY,
    Service::PROFILE_A_X25519,
    Service::PROFILE_B_P256,
];

/// The `uiccCapability` of EUICCInfo2: the bits that announce the services offered. SGP.22 §5.7.8.
pub fn uicc_capability() -> UiccCapability {
    let bits = OFFERED.iter().filter_map(|service| service.uicc_capability_bit());
    bits.fold(UiccCapability::EMPTY, |all, bit| all.with(UiccCapability::bit(bit)))
}

/// Major versions of the profile package format that are understood.
const VERSIONS: core::ops::RangeInclusive<u8> = 1..=3;

/// Whether the card has what a profile demands. TCA §8.2.
pub(super) fn check(header: &ProfileHeader) -> Result<(), Status> {
    if !VERSIONS.contains(&header.major_version) {
        return Err(Status::UNSUPPORTED_PROFILE_VERSION);
    }
    for service in header.mandatory_services.iter() {
        if !OFFERED.contains(&service) {
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
