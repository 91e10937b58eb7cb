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

/// Services a card can be made to claim in EUICCInfo2 without having them: a profile that only demands one of them, as
/// operators' packages do with Java Card out of habit, installs; what it would do with it does not work.
pub const CLAIMABLE: &[Service] = &[
    Service::CONTACTLESS,
    Service::CAVE,
    Service::GBA_USIM,
    Service::GBA_ISIM,
    Service::MBMS,
    Service::EAP,
    Service::JAVACARD,
    Service::MULTOS,
    Service::CAT_TP,
    Service::SUCI_CALCULATOR_API,
];

/// The services that a card with this `uiccCapability` claims without having them.
pub fn claimed(capability: UiccCapability) -> impl Iterator<Item = Service> {
    let announces = move |service: &Service| {
        service.uicc_capability_bit().is_some_and(|bit| capability.contains(UiccCapability::bit(bit)))
    };
    CLAIMABLE.iter().copied().filter(announces)
}

/// The bits of `uiccCapability` that claim these services.
pub fn claim(services: impl IntoIterator<Item = Service>) -> UiccCapability {
    let bits = services.into_iter().filter_map(Service::uicc_capability_bit);
    bits.fold(UiccCapability::EMPTY, |all, bit| all.with(UiccCapability::bit(bit)))
}

/// Whether a service is a runtime environment for applications.
pub(super) fn is_runtime(service: Service) -> bool {
    matches!(service, Service::JAVACARD | Service::MULTOS)
}

/// The `uiccCapability` of EUICCInfo2: the bits that announce the services offered. SGP.22 §5.7.8.
pub fn uicc_capability() -> UiccCapability {
    claim(OFFERED.iter().copied())
}

/// Major versions of the profile package format that are understood.
const VERSIONS: core::ops::RangeInclusive<u8> = 1..=3;

/// Whether the card has, or claims, what a profile demands; else the status, and what is missing. TCA §8.2.
pub(super) fn check(header: &ProfileHeader, capability: UiccCapability) -> Result<(), (Status, String)> {
    if !VERSIONS.contains(&header.major_version) {
        let version = format!("version {}.{}", header.major_version, header.minor_version);
        return Err((Status::UNSUPPORTED_PROFILE_VERSION, version));
    }
    for service in header.mandatory_services.iter() {
        // A card may look like one that has less.
        let announced = service.uicc_capability_bit().is_none_or(|bit| capability.contains(UiccCapability::bit(bit)));
        let has = OFFERED.contains(&service) && announced;
        if !has && !claimed(capability).any(|claimed| claimed == service) {
            let status =
                if is_runtime(service) { Status::RUNTIME_NOT_SUPPORTED } else { Status::FEATURE_NOT_SUPPORTED };
            return Err((status, format!("mandatory service {service}")));
        }
    }
    if let Some(id) = header.mandatory_templates.iter().find(|id| templates::find(id).is_none()) {
        return Err((Status::TEMPLATE_NOT_SUPPORTED, format!("mandatory template {id}")));
    }
    // No packages are on the card that an application could be loaded against.
    if header.mandatory_aids.as_ref().is_some_and(|aids| !aids.is_empty()) {
        return Err((Status::LIB_NOT_SUPPORTED, "mandatory AIDs".into()));
    }
    Ok(())
}
