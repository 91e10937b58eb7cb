//! Messages of SGP.22, from anywhere.

#![no_main]

use rasn::{Decode, Encode};
use rsp::{es8, es10a, es10b, es10c, euicc_info, metadata, notification, rat};

/// What decodes encodes, and that decodes to the same value.
fn both_ways<T: Decode + Encode + PartialEq + core::fmt::Debug>(octets: &[u8]) {
    let Ok(value) = rsp::decode::<T>(octets) else { return };
    // Limits hold in both directions, so that what was read can be written.
    let Ok(written) = rsp::encode(&value) else { return };
    assert_eq!(rsp::decode::<T>(&written).as_ref(), Ok(&value), "{written:02X?}");
}

macro_rules! both_ways {
    ($octets:expr; $($type:ty,)+) => { $(both_ways::<$type>($octets);)+ };
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    both_ways!(octets;
        es10a::EuiccConfiguredAddressesRequest, es10a::EuiccConfiguredAddressesResponse,
        es10a::SetDefaultDpAddressRequest, es10a::SetDefaultDpAddressResponse,
        es10b::GetEuiccChallengeRequest, es10b::GetEuiccChallengeResponse,
        es10b::AuthenticateServerRequest, es10b::AuthenticateServerResponse, es10b::ServerSigned1, es10b::EuiccSigned1,
        es10b::PrepareDownloadRequest, es10b::PrepareDownloadResponse, es10b::SmdpSigned2, es10b::EuiccSigned2,
        es10b::CancelSessionRequest, es10b::CancelSessionResponse,
        es10b::ListNotificationRequest, es10b::ListNotificationResponse,
        es10b::RetrieveNotificationsListRequest, es10b::RetrieveNotificationsListResponse,
        es10b::NotificationSentRequest, es10b::NotificationSentResponse,
        es10c::ProfileInfoListRequest, es10c::ProfileInfoListResponse,
        es10c::EnableProfileRequest, es10c::DisableProfileRequest, es10c::DeleteProfileRequest,
        es10c::EuiccMemoryResetRequest, es10c::GetEuiccDataRequest, es10c::SetNicknameRequest,
        euicc_info::EuiccInfo1, euicc_info::EuiccInfo2,
        metadata::ProfileInfo, notification::PendingNotification, notification::ProfileInstallationResult,
        rat::GetRatResponse,
        es8::InitialiseSecureChannelRequest, es8::ConfigureIsdpRequest, es8::StoreMetadataRequest,
        es8::UpdateMetadataRequest,
    );
    // The package is cut, not decoded.
    if let Ok(parts) = es8::BoundProfilePackage::parse(octets) {
        assert!(parts.initialise_secure_channel_request.len() <= octets.len());
    }
    if let Ok(certificate) = rsp::certificate::Certificate::parse(octets) {
        let _ = (certificate.public_key(), certificate.eid(), certificate.permitted_subjects());
    }
});
