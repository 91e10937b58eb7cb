//! ES9+ and ES11: what LPA and server say over HTTPS, in the JSON binding. SGP.22 §5.6, 5.8 and 6.5
//!
//! Each function is a request type that knows its path and its response:
//!
//! ```
//! use rsp::es9::{self, Function, HandleNotificationRequest};
//!
//! assert_eq!(HandleNotificationRequest::PATH, "/gsma/rsp2/es9plus/handleNotification");
//! let answer = es9::failure(&es9::status::MATCHING_ID_REFUSED.into());
//! assert!(es9::read_response::<es9::AuthenticateClientResponse>(answer.as_bytes()).is_err());
//! ```
//!
//! TLVs travel whole, in base64; white space and missing padding in it are tolerated.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rasn::AsnType;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::es8::StoreMetadataRequest;
use crate::es10b::{
    AuthenticateServerResponse, CancelSessionResponse, PrepareDownloadResponse, ServerSigned1, SmdpSigned2,
};
use crate::euicc_info::EuiccInfo1;
use crate::notification::PendingNotification;
pub use crate::status::{Status, es9 as status};
use crate::{CertificateDer, Raw, Signature, SubjectKeyIdentifier, TransactionId};

/// Header that names the release spoken; its value is `gsma/rsp/v` and a version, as in [`admin_protocol`].
pub const ADMIN_PROTOCOL_HEADER: &str = "X-Admin-Protocol";

/// Value of `User-Agent` of an LPA in the device. SGP.22 §6.2
pub const USER_AGENT: &str = "gsma-rsp-lpad";

/// Value of `Content-Type` of requests and responses. SGP.22 §6.5.1
pub const CONTENT_TYPE: &str = "application/json";

/// Value of [`ADMIN_PROTOCOL_HEADER`] for one release: `gsma/rsp/v2.5.0`.
pub fn admin_protocol(version: crate::VersionType) -> String {
    format!("gsma/rsp/v{version}")
}

/// One function of ES9+ or ES11: a POST of the request to a path, answered with the response.
pub trait Function: Serialize + DeserializeOwned {
    /// Path on the server.
    const PATH: &'static str;
    /// The answer when the function was executed.
    type Response: Serialize + DeserializeOwned;
}

/// Octets carried as base64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        text.retain(|c| !c.is_ascii_whitespace());
        BASE64.decode(text).map(Self).map_err(D::Error::custom)
    }
}

impl<T> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.octets()))
    }
}

impl<'de, T: AsnType> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Base64::deserialize(deserializer).and_then(|octets| Self::from_octets(octets.0).map_err(D::Error::custom))
    }
}

impl Serialize for TransactionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TransactionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// ES9+.InitiateAuthentication. SGP.22 §5.6.1
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitiateAuthenticationRequest {
    /// Challenge of the eUICC, 16 octets.
    pub euicc_challenge: Base64,
    /// BF20
    pub euicc_info1: Raw<EuiccInfo1>,
    /// The server as the LPA addressed it.
    pub smdp_address: String,
}

/// Response of ES9+.InitiateAuthentication
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitiateAuthenticationResponse {
    /// The session from here on.
    pub transaction_id: TransactionId,
    /// What the server signed.
    pub server_signed1: Raw<ServerSigned1>,
    /// 5F37
    pub server_signature1: Raw<Signature>,
    /// 04
    #[serde(rename = "euiccCiPKIdToBeUsed")]
    pub euicc_ci_pk_id_to_be_used: Raw<SubjectKeyIdentifier>,
    /// CERT.DPauth.ECDSA or CERT.DSauth.ECDSA
    pub server_certificate: CertificateDer,
}

impl Function for InitiateAuthenticationRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/initiateAuthentication";
    type Response = InitiateAuthenticationResponse;
}

/// ES9+.AuthenticateClient. SGP.22 §5.6.3
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticateClientRequest {
    /// The session.
    pub transaction_id: TransactionId,
    /// BF38, also when it reports an error of the eUICC.
    pub authenticate_server_response: Raw<AuthenticateServerResponse>,
}

/// Response of ES9+.AuthenticateClient
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticateClientResponse {
    /// The session.
    pub transaction_id: TransactionId,
    /// BF25: what the eUICC will be given, for the LPA to show and check.
    pub profile_metadata: Raw<StoreMetadataRequest>,
    /// What the SM-DP+ signed.
    pub smdp_signed2: Raw<SmdpSigned2>,
    /// 5F37
    pub smdp_signature2: Raw<Signature>,
    /// CERT.DPpb.ECDSA
    pub smdp_certificate: CertificateDer,
}

impl Function for AuthenticateClientRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/authenticateClient";
    type Response = AuthenticateClientResponse;
}

/// ES9+.GetBoundProfilePackage. SGP.22 §5.6.2
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetBoundProfilePackageRequest {
    /// The session.
    pub transaction_id: TransactionId,
    /// BF21, also when it reports an error of the eUICC.
    pub prepare_download_response: Raw<PrepareDownloadResponse>,
}

/// Response of ES9+.GetBoundProfilePackage
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetBoundProfilePackageResponse {
    /// The session.
    pub transaction_id: TransactionId,
    /// BF36; [`BoundProfilePackage::parse`](crate::es8::BoundProfilePackage::parse) cuts it.
    pub bound_profile_package: Base64,
}

impl Function for GetBoundProfilePackageRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/getBoundProfilePackage";
    type Response = GetBoundProfilePackageResponse;
}

/// ES9+.HandleNotification. SGP.22 §5.6.4
///
/// Answered with HTTP 204 and no body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandleNotificationRequest {
    /// As the eUICC gave it.
    pub pending_notification: Raw<PendingNotification>,
}

/// [`HandleNotificationRequest`] of which nothing is known but that it has octets: for servers that take also what
/// [lacks its outermost tag](PendingNotification::enclosing).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnyNotificationRequest {
    /// Whatever it is.
    pub pending_notification: Base64,
}

impl Function for HandleNotificationRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/handleNotification";
    type Response = Empty;
}

/// ES9+.CancelSession. SGP.22 §5.6.5
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelSessionRequest {
    /// The session.
    pub transaction_id: TransactionId,
    /// BF41
    pub cancel_session_response: Raw<CancelSessionResponse>,
}

impl Function for CancelSessionRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/cancelSession";
    type Response = Empty;
}

/// A response with nothing but a header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// ES11.InitiateAuthentication: ES9+'s, asked of an SM-DS. SGP.22 §5.8.1
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Es11InitiateAuthenticationRequest(pub InitiateAuthenticationRequest);

impl Function for Es11InitiateAuthenticationRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/initiateAuthentication";
    type Response = InitiateAuthenticationResponse;
}

/// ES11.AuthenticateClient: asked of an SM-DS, it yields events. SGP.22 §5.8.2
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Es11AuthenticateClientRequest(pub AuthenticateClientRequest);

/// Response of ES11.AuthenticateClient
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Es11AuthenticateClientResponse {
    /// The session.
    pub transaction_id: TransactionId,
    /// Profiles waiting, perhaps none.
    pub event_entries: Vec<EventEntry>,
}

/// `EventEntries`: a profile waits at a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventEntry {
    /// Goes into the download as matching identifier.
    pub event_id: String,
    /// FQDN of the SM-DP+, or of another SM-DS.
    pub rsp_server_address: String,
}

impl Function for Es11AuthenticateClientRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/authenticateClient";
    type Response = Es11AuthenticateClientResponse;
}

/// Why a function was not executed. SGP.22 §6.5.1.4
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{subject_code}/{reason_code}{}", self.text().map(|text| format!(" {text}")).unwrap_or_default())]
pub struct StatusCodeData {
    /// What the trouble is about, like `8.2.6`.
    pub subject_code: String,
    /// What is wrong with it, like `3.8`.
    pub reason_code: String,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_identifier: Option<String>,
    /// The server's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl StatusCodeData {
    /// Whether this is `status`.
    pub fn is(&self, status: Status) -> bool {
        self.subject_code == status.subject && self.reason_code == status.reason
    }

    /// The row of [`status::ALL`] this is, or that of ES2+.
    pub fn status(&self) -> Option<Status> {
        status::ALL.iter().chain(crate::status::es2plus::ALL).copied().find(|status| self.is(*status))
    }

    /// The server's words, or else those of the specification.
    pub fn text(&self) -> Option<&str> {
        self.message.as_deref().or(self.status().map(|status| status.text))
    }
}

impl From<Status> for StatusCodeData {
    fn from(status: Status) -> Self {
        Self {
            subject_code: status.subject.into(),
            reason_code: status.reason.into(),
            subject_identifier: None,
            message: Some(status.text.into()),
        }
    }
}

/// `functionExecutionStatus.status`. SGP.22 §6.5.1.4
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionStatus {
    /// The function was executed.
    #[serde(rename = "Executed-Success")]
    ExecutedSuccess,
    /// The function was executed, and there is something to say about it.
    #[serde(rename = "Executed-WithWarning")]
    ExecutedWithWarning,
    /// The function was not executed.
    Failed,
    /// The function was not executed in time.
    Expired,
}

/// `functionExecutionStatus`: how a function ended. SGP.22 §6.5.1.4
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionExecutionStatus {
    /// Whether it was executed.
    pub status: ExecutionStatus,
    /// Why not, or with what warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code_data: Option<StatusCodeData>,
}

impl FunctionExecutionStatus {
    /// It was executed, and nothing is to be said about it.
    pub const fn success() -> Self {
        Self { status: ExecutionStatus::ExecutedSuccess, status_code_data: None }
    }

    /// It was not executed, because of this.
    pub const fn failed(why: StatusCodeData) -> Self {
        Self { status: ExecutionStatus::Failed, status_code_data: Some(why) }
    }

    /// Whether it was executed, perhaps with a warning.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, ExecutionStatus::ExecutedSuccess | ExecutionStatus::ExecutedWithWarning)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseHeader {
    function_execution_status: FunctionExecutionStatus,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeaderOnly {
    header: ResponseHeader,
}

#[derive(Serialize)]
struct WithHeader<'a, T> {
    header: ResponseHeader,
    #[serde(flatten)]
    body: &'a T,
}

/// A response that is not the function's result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// It is no JSON of the form agreed on: the server's fault, or it is no such server.
    #[error("the server's answer is not understood: {0}")]
    Malformed(String),
    /// The server says why it did not execute the function.
    #[error("the server refused: {0}")]
    Refused(StatusCodeData),
    /// The server says that it did not execute the function, without saying why.
    #[error("the server refused without a reason")]
    RefusedWithoutReason,
}

/// Reads the body of a response; one without content counts as empty.
pub fn read_response<R: DeserializeOwned>(body: &[u8]) -> Result<R, ResponseError> {
    let malformed = |error: serde_json::Error| ResponseError::Malformed(error.to_string());
    if body.is_empty() {
        return serde_json::from_slice(b"{}").map_err(malformed);
    }
    let HeaderOnly { header } = serde_json::from_slice(body).map_err(malformed)?;
    match header.function_execution_status {
        executed if executed.is_success() => serde_json::from_slice(body).map_err(malformed),
        FunctionExecutionStatus { status_code_data: Some(data), .. } => Err(ResponseError::Refused(data)),
        FunctionExecutionStatus { status_code_data: None, .. } => Err(ResponseError::RefusedWithoutReason),
    }
}

/// The body of a response that carries a result.
pub fn success<R: Serialize>(response: &R) -> String {
    let function_execution_status = FunctionExecutionStatus::success();
    write(&WithHeader { header: ResponseHeader { function_execution_status }, body: response })
}

/// The body of a response that refuses.
pub fn failure(status: &StatusCodeData) -> String {
    let function_execution_status = FunctionExecutionStatus::failed(status.clone());
    write(&HeaderOnly { header: ResponseHeader { function_execution_status } })
}

/// The body of a request.
pub fn request<F: Function>(request: &F) -> String {
    write(request)
}

#[expect(clippy::expect_used, reason = "strings and lists of them; no map with other keys, no failing Serialize")]
pub(crate) fn write<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("messages of this module have string keys only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn refusals() {
        let body = failure(&status::MATCHING_ID_REFUSED.into());
        let error = read_response::<Empty>(body.as_bytes()).unwrap_err();
        let ResponseError::Refused(data) = &error else { panic!("{error}") };
        assert!(data.is(status::MATCHING_ID_REFUSED));
        assert_eq!(
            error.to_string(),
            "the server refused: 8.2.6/3.8 no profile is waiting under this matching identifier"
        );
        let bare = br#"{"header":{"functionExecutionStatus":{"status":"Failed","statusCodeData":{"subjectCode":"8.2.7","reasonCode":"3.8"}}}}"#;
        assert_eq!(
            read_response::<Empty>(bare).unwrap_err().to_string(),
            "the server refused: 8.2.7/3.8 the confirmation code is wrong"
        );
        let silent = br#"{"header":{"functionExecutionStatus":{"status":"Expired"}}}"#;
        assert_eq!(read_response::<Empty>(silent), Err(ResponseError::RefusedWithoutReason));
        assert!(matches!(read_response::<Empty>(b"<html>"), Err(ResponseError::Malformed(_))));
    }

    #[test]
    fn empty_answers() {
        assert_eq!(read_response::<Empty>(b""), Ok(Empty {}));
        assert_eq!(read_response::<Empty>(success(&Empty {}).as_bytes()), Ok(Empty {}));
        assert!(read_response::<AuthenticateClientResponse>(success(&Empty {}).as_bytes()).is_err());
    }

    #[test]
    fn base64_is_read_generously() {
        let read = |text: &str| serde_json::from_str::<Base64>(text).map(|octets| octets.0).ok();
        assert_eq!(read(r#""AQI=""#), Some(vec![1, 2]));
        assert_eq!(read(r#""AQI""#), Some(vec![1, 2]));
        assert_eq!(read(r#""A Q\nI=""#), Some(vec![1, 2]));
        assert_eq!(read(r#""A-I=""#), None);
        assert!(serde_json::from_str::<Raw<Signature>>(r#""AQI=""#).is_err());
    }

    #[test]
    fn status_codes_are_unique() {
        for (i, one) in status::ALL.iter().enumerate() {
            assert!(!status::ALL[..i].iter().any(|other| (other.subject, other.reason) == (one.subject, one.reason)));
        }
    }

    /// Every request and response of a recorded download is read and written back the same.
    #[test]
    fn recorded_download() {
        fn call<F: Function>(call: &Value) -> F::Response {
            assert!(call["url"].as_str().unwrap().ends_with(F::PATH));
            let sent: F = serde_json::from_value(call["request_body"].clone()).unwrap();
            assert_eq!(serde_json::to_value(&sent).unwrap(), call["request_body"]);
            if call["response_body"].is_null() {
                return read_response(b"").unwrap();
            }
            let answer = read_response(call["response_body"].to_string().as_bytes()).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&success(&answer)).unwrap(), call["response_body"]);
            answer
        }
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/es9p-transcript/nist/es9p-transcript.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            println!("skipped: no {path}");
            return;
        };
        let transcript: Value = serde_json::from_str(&text).unwrap();
        let calls = transcript["calls"].as_array().unwrap();
        let first = call::<InitiateAuthenticationRequest>(&calls[0]);
        assert_eq!(first.server_signed1.decode().unwrap().transaction_id, first.transaction_id);
        let second = call::<AuthenticateClientRequest>(&calls[1]);
        assert!(!second.smdp_signed2.decode().unwrap().cc_required_flag);
        assert_eq!(second.profile_metadata.decode().unwrap().service_provider_name, "OsmocomSPN");
        let third = call::<GetBoundProfilePackageRequest>(&calls[2]);
        crate::es8::BoundProfilePackage::parse(&third.bound_profile_package.0).unwrap();
        for notification in &calls[3..] {
            call::<HandleNotificationRequest>(notification);
        }
    }
}
