//! The functions of ES10, each declared once: card, host and this page take tag, name, request and response from here.
//!
//! A request [knows](Es10Function) what it asks for:
//!
//! ```
//! use apdu::tlv::Tag;
//! use rsp::es10::Es10Function;
//! use rsp::es10c::{GetEuiccDataRequest, GetEuiccDataResponse};
//!
//! fn answer_to<F: Es10Function>(_: &F, wire: &[u8]) -> Result<F::Response, rsp::DecodeError>
//! where
//!     F::Response: rasn::Decode,
//! {
//!     rsp::decode(wire)
//! }
//!
//! assert_eq!((GetEuiccDataRequest::NAME, GetEuiccDataRequest::TAG), ("GetEID", Tag(0xBF3E)));
//! let wire = [&[0xBF, 0x3E, 0x12, 0x5A, 0x10][..], &[0x89; 16]].concat();
//! let answer: GetEuiccDataResponse = answer_to(&GetEuiccDataRequest::eid(), &wire)?;
//! # Ok::<(), rsp::DecodeError>(())
//! ```
//!
//! All of them are in [`FUNCTIONS`].

pub(crate) mod function;
mod refusal;

pub use function::Es10Function;
pub use refusal::{LOAD_BOUND_PROFILE_PACKAGE, RESULT_CODES, ResultCodes};

use apdu::tlv::Tag;
use rasn::types::Class;

use crate::es8::BoundProfilePackage;
use crate::es10a::{
    EuiccConfiguredAddressesRequest, EuiccConfiguredAddressesResponse, SetDefaultDpAddressRequest,
    SetDefaultDpAddressResponse,
};
use crate::es10b::{
    AuthenticateServerRequest, AuthenticateServerResponse, CancelSessionRequest, CancelSessionResponse,
    GetEuiccChallengeRequest, GetEuiccChallengeResponse, ListNotificationRequest, ListNotificationResponse,
    LoadCrlRequest, LoadCrlResponse, NotificationSentRequest, NotificationSentResponse, PrepareDownloadRequest,
    PrepareDownloadResponse, RetrieveNotificationsListRequest, RetrieveNotificationsListResponse,
};
use crate::es10c::{
    DeleteProfileRequest, DeleteProfileResponse, DisableProfileRequest, DisableProfileResponse, EnableProfileRequest,
    EnableProfileResponse, EuiccMemoryResetRequest, EuiccMemoryResetResponse, GetEuiccDataRequest,
    GetEuiccDataResponse, ProfileInfoListRequest, ProfileInfoListResponse, SetNicknameRequest, SetNicknameResponse,
};
use crate::euicc_info::{EuiccInfo1, EuiccInfo2, GetEuiccInfo1Request, GetEuiccInfo2Request};
use crate::notification::ProfileInstallationResult;
use crate::rat::{GetRatRequest, GetRatResponse};

/// One row of [`FUNCTIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// `ES10a`, `ES10b` or `ES10c`.
    pub interface: &'static str,
    /// Name in SGP.22, without its interface.
    pub name: &'static str,
    /// Section of SGP.22.
    pub section: &'static str,
    /// Tag of the request.
    pub tag: Tag,
}

/// Rows of: interface, name, section, tag, request, response. What is `streamed` has no request that is encoded whole.
macro_rules! functions {
    ($($interface:literal $name:literal $section:literal $tag:literal: $request:ty => $response:ty $(, $streamed:ident)?;)+) => {
        $(
            impl Es10Function for $request {
                const NAME: &'static str = $name;
                const TAG: Tag = Tag($tag);
                type Response = $response;
            }
            verify!($name $tag: $request => $response $(, $streamed)?);
        )+

        /// Every function of ES10.
        ///
        /// | function | § | tag | request | response |
        /// |---|---|---|---|---|
        $(
            #[doc = concat!(
                "| ", $interface, ".", $name, " | ", $section, " | ", stringify!($tag), " | `", stringify!($request), "` | `",
                stringify!($response), "` |"
            )]
        )+
        pub const FUNCTIONS: &[Declared] = &[$(
            Declared { interface: $interface, name: $name, section: $section, tag: Tag($tag) },
        )+];
    };
}

/// The tag of a row is the one that request and response are encoded with.
macro_rules! verify {
    ($name:literal $tag:literal: $request:ty => $response:ty, streamed) => {};
    ($name:literal $tag:literal: $request:ty => $response:ty) => {
        const _: () = assert!(outer_tag::<$request>() == $tag, concat!($name, ": the request has another tag"));
        const _: () = assert!(outer_tag::<$response>() == $tag, concat!($name, ": the response has another tag"));
    };
}

/// The tag a message begins with, as BER has it: context class, constructed, in two octets.
const fn outer_tag<T: rasn::AsnType>() -> u32 {
    assert!(matches!(T::TAG.class, Class::Context) && T::TAG.value > 30 && T::TAG.value < 0x80);
    0xBF00 | T::TAG.value
}

functions! {
    "ES10a" "GetEuiccConfiguredAddresses" "5.7.3" 0xBF3C:
        EuiccConfiguredAddressesRequest => EuiccConfiguredAddressesResponse;
    "ES10a" "SetDefaultDpAddress" "5.7.4" 0xBF3F: SetDefaultDpAddressRequest => SetDefaultDpAddressResponse;
    "ES10b" "PrepareDownload" "5.7.5" 0xBF21: PrepareDownloadRequest => PrepareDownloadResponse;
    "ES10b" "LoadBoundProfilePackage" "5.7.6" 0xBF36: BoundProfilePackage<'_> => ProfileInstallationResult, streamed;
    "ES10b" "GetEUICCChallenge" "5.7.7" 0xBF2E: GetEuiccChallengeRequest => GetEuiccChallengeResponse;
    "ES10b" "GetEUICCInfo" "5.7.8" 0xBF20: GetEuiccInfo1Request => EuiccInfo1;
    "ES10b" "GetEUICCInfo" "5.7.8" 0xBF22: GetEuiccInfo2Request => EuiccInfo2;
    "ES10b" "ListNotification" "5.7.9" 0xBF28: ListNotificationRequest => ListNotificationResponse;
    "ES10b" "RetrieveNotificationsList" "5.7.10" 0xBF2B:
        RetrieveNotificationsListRequest => RetrieveNotificationsListResponse;
    "ES10b" "RemoveNotificationFromList" "5.7.11" 0xBF30: NotificationSentRequest => NotificationSentResponse;
    "ES10b" "LoadCRL" "5.7.12" 0xBF35: LoadCrlRequest => LoadCrlResponse;
    "ES10b" "AuthenticateServer" "5.7.13" 0xBF38: AuthenticateServerRequest => AuthenticateServerResponse;
    "ES10b" "CancelSession" "5.7.14" 0xBF41: CancelSessionRequest => CancelSessionResponse;
    "ES10c" "GetProfilesInfo" "5.7.15" 0xBF2D: ProfileInfoListRequest => ProfileInfoListResponse;
    "ES10c" "EnableProfile" "5.7.16" 0xBF31: EnableProfileRequest => EnableProfileResponse;
    "ES10c" "DisableProfile" "5.7.17" 0xBF32: DisableProfileRequest => DisableProfileResponse;
    "ES10c" "DeleteProfile" "5.7.18" 0xBF33: DeleteProfileRequest => DeleteProfileResponse;
    "ES10c" "eUICCMemoryReset" "5.7.19" 0xBF34: EuiccMemoryResetRequest => EuiccMemoryResetResponse;
    "ES10c" "GetEID" "5.7.20" 0xBF3E: GetEuiccDataRequest => GetEuiccDataResponse;
    "ES10c" "SetNickname" "5.7.21" 0xBF29: SetNicknameRequest => SetNicknameResponse;
    "ES10b" "GetRAT" "5.7.22" 0xBF43: GetRatRequest => GetRatResponse;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es10b::{CancelSessionReason, CancelSessionResponseError};
    use apdu::tlv::Header;

    /// The tag that what is encoded begins with.
    fn begins_with<T: rasn::Encode>(value: &T) -> Tag {
        let octets = crate::encode(value).unwrap();
        Header::parse(&octets).unwrap().unwrap().tag
    }

    /// That the declared tags are those of the types is checked when this crate is compiled; here, that those are what is
    /// sent.
    #[test]
    fn messages_begin_with_the_declared_tag() {
        assert_eq!(begins_with(&GetRatRequest {}), GetRatRequest::TAG);
        assert_eq!(begins_with(&GetEuiccDataRequest::eid()), GetEuiccDataRequest::TAG);
        let cancel = CancelSessionRequest { transaction_id: [1].into(), reason: CancelSessionReason::TIMEOUT };
        assert_eq!(begins_with(&cancel), CancelSessionRequest::TAG);
        let refused = CancelSessionResponse::CancelSessionResponseError(CancelSessionResponseError::UNDEFINED_ERROR);
        assert_eq!(begins_with(&refused), CancelSessionRequest::TAG);
        let of_a_profile = DeleteProfileRequest::IsdpAid(crate::ids::AID_ISD_P_FIRST.into());
        assert_eq!(begins_with(&of_a_profile), DeleteProfileRequest::TAG);
    }

    #[test]
    fn no_tag_is_declared_twice_and_sections_are_those_of_es10() {
        for (at, row) in FUNCTIONS.iter().enumerate() {
            assert!(FUNCTIONS.iter().skip(at + 1).all(|other| other.tag != row.tag), "{row:?}");
            let number: u32 = row.section.strip_prefix("5.7.").unwrap().parse().unwrap();
            assert!((3..=22).contains(&number), "{row:?}");
        }
        assert_eq!(FUNCTIONS.len(), 21);
    }
}
