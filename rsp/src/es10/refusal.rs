//! Which result codes each function of ES10 has, and how a response with one of them is written.

use apdu::tlv::Tag;

use super::Es10Function;
use crate::es8::BoundProfilePackage;
use crate::es10a::{SetDefaultDpAddressRequest, SetDefaultDpAddressResponse, SetDefaultDpAddressResult};
use crate::es10b::{
    AuthenticateErrorCode, AuthenticateResponseError, AuthenticateServerRequest, AuthenticateServerResponse,
    CancelSessionRequest, CancelSessionResponse, CancelSessionResponseError, DeleteNotificationStatus,
    DownloadErrorCode, ListNotificationRequest, ListNotificationResponse, NotificationSentRequest,
    NotificationSentResponse, NotificationsListResultError, PrepareDownloadRequest, PrepareDownloadResponse,
    PrepareDownloadResponseError, RetrieveNotificationsListRequest, RetrieveNotificationsListResponse, ServerSigned1,
    SmdpSigned2,
};
use crate::es10c::{
    DeleteProfileRequest, DeleteProfileResponse, DeleteProfileResult, DisableProfileRequest, DisableProfileResponse,
    DisableProfileResult, EnableProfileRequest, EnableProfileResponse, EnableProfileResult, EuiccMemoryResetRequest,
    EuiccMemoryResetResponse, ProfileInfoListError, ProfileInfoListRequest, ProfileInfoListResponse, ResetResult,
    SetNicknameRequest, SetNicknameResponse, SetNicknameResult,
};

/// The result codes of one function.
#[derive(Clone, Copy)]
pub struct ResultCodes {
    /// Tag of the request.
    pub tag: Tag,
    /// Value and ASN.1 name of each code.
    pub codes: &'static [(i64, &'static str)],
    respond: fn(i64, &[u8]) -> Option<Vec<u8>>,
}

impl core::fmt::Debug for ResultCodes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ResultCodes").field("tag", &self.tag).field("codes", &self.codes).finish_non_exhaustive()
    }
}

impl ResultCodes {
    /// The codes of the function with this tag; `None`: it has none, or is no function. Those of LoadBoundProfilePackage are in
    /// the signed result.
    pub fn of(tag: Tag) -> Option<&'static Self> {
        RESULT_CODES.iter().find(|row| row.tag == tag)
    }

    /// The response to `request` with this code; `None`: the request does not say whose session it is about.
    pub fn response(&self, code: i64, request: &[u8]) -> Option<Vec<u8>> {
        (self.respond)(code, request)
    }

    /// The code of this name or number, if the function has it.
    pub fn code(&self, text: &str) -> Option<i64> {
        let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
        let numbered = |code| is_number && text.parse() == Ok(code);
        let named = |(code, name): &&(i64, &str)| name.eq_ignore_ascii_case(text) || numbered(*code);
        self.codes.iter().find(named).map(|(code, _)| *code)
    }
}

/// Rows of: the request, the type of its codes, and the response that a code makes.
macro_rules! result_codes {
    ($($request:ty, $code:ident $(without $absent:ident)? => |$value:ident, $octets:ident| $response:expr;)+) => {
        /// The functions that have result codes. LoadBoundProfilePackage has `bppCommandId` and `errorReason` instead.
        pub const RESULT_CODES: &[ResultCodes] = &[$(ResultCodes {
            tag: <$request>::TAG,
            codes: result_codes!(@names $code $(without $absent)?),
            respond: |$value, $octets| {
                let $value = $code($value);
                crate::encode(&$response).ok()
            },
        },)+];
    };
    (@names $code:ident) => { $code::NAMES };
    // The first name of the type is none of this function's.
    (@names $code:ident without $absent:ident) => {{
        assert!($code::NAMES[0].0 == $code::$absent.0);
        $code::NAMES.split_at(1).1
    }};
}

result_codes! {
    SetDefaultDpAddressRequest, SetDefaultDpAddressResult => |set_default_dp_address_result, _request|
        SetDefaultDpAddressResponse { set_default_dp_address_result };
    PrepareDownloadRequest, DownloadErrorCode => |download_error_code, request| {
        let signed: SmdpSigned2 = crate::decode::<PrepareDownloadRequest>(request).ok()?.smdp_signed2.decode().ok()?;
        let error = PrepareDownloadResponseError { transaction_id: signed.transaction_id, download_error_code };
        PrepareDownloadResponse::DownloadResponseError(error)
    };
    ListNotificationRequest, NotificationsListResultError without NO_RESULT_AVAILABLE => |code, _request|
        ListNotificationResponse::ListNotificationsResultError(code);
    RetrieveNotificationsListRequest, NotificationsListResultError => |code, _request|
        RetrieveNotificationsListResponse::NotificationsListResultError(code);
    NotificationSentRequest, DeleteNotificationStatus => |delete_notification_status, _request|
        NotificationSentResponse { delete_notification_status };
    AuthenticateServerRequest, AuthenticateErrorCode => |authenticate_error_code, request| {
        let signed: ServerSigned1 = crate::decode::<AuthenticateServerRequest>(request).ok()?.server_signed1.decode().ok()?;
        let error = AuthenticateResponseError { transaction_id: signed.transaction_id, authenticate_error_code };
        AuthenticateServerResponse::AuthenticateResponseError(error)
    };
    CancelSessionRequest, CancelSessionResponseError => |code, _request|
        CancelSessionResponse::CancelSessionResponseError(code);
    ProfileInfoListRequest, ProfileInfoListError => |code, _request|
        ProfileInfoListResponse::ProfileInfoListError(code);
    EnableProfileRequest, EnableProfileResult => |enable_result, _request| EnableProfileResponse { enable_result };
    DisableProfileRequest, DisableProfileResult => |disable_result, _request| DisableProfileResponse { disable_result };
    DeleteProfileRequest, DeleteProfileResult => |delete_result, _request| DeleteProfileResponse { delete_result };
    EuiccMemoryResetRequest, ResetResult => |reset_result, _request| EuiccMemoryResetResponse { reset_result };
    SetNicknameRequest, SetNicknameResult => |set_nickname_result, _request| SetNicknameResponse { set_nickname_result };
}

/// Tag of the function whose codes are in a signed result.
pub const LOAD_BOUND_PROFILE_PACKAGE: Tag = BoundProfilePackage::TAG;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::es10::FUNCTIONS;
    use hex_literal::hex;

    #[test]
    fn a_code_makes_the_response_of_its_function() {
        let respond = |tag, code: &str| {
            let row = ResultCodes::of(Tag(tag)).unwrap();
            row.response(row.code(code).unwrap(), &[]).unwrap()
        };
        assert_eq!(respond(0xBF31, "catBusy"), hex!("BF3103 800105"));
        assert_eq!(respond(0xBF31, "5"), hex!("BF3103 800105"));
        assert_eq!(respond(0xBF33, "disallowedByPolicy"), hex!("BF3303 800103"));
        assert_eq!(respond(0xBF2D, "undefinedError"), hex!("BF2D03 81017F"));
        assert_eq!(respond(0xBF28, "undefinedError"), hex!("BF2803 81017F"));
        assert!(ResultCodes::of(Tag(0xBF28)).unwrap().code("noResultAvailable").is_none());
        assert!(ResultCodes::of(Tag(0xBF31)).unwrap().code("6").is_none());
        // Whose session it is, an empty request does not say.
        assert_eq!(ResultCodes::of(Tag(0xBF38)).unwrap().response(4, &[]), None);
    }

    #[test]
    fn every_row_is_of_a_function() {
        for row in RESULT_CODES {
            assert!(FUNCTIONS.iter().any(|function| function.tag == row.tag) && !row.codes.is_empty(), "{row:?}");
        }
    }
}
