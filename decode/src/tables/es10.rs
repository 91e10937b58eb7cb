//! Messages of ES10 and ES8+. SGP.22 §5.5, §5.7. The names of codes and bits are those of `rsp`.

use rsp::es8::RemoteOpId;
use rsp::es10a::SetDefaultDpAddressResult;
use rsp::es10b::{
    AuthenticateErrorCode, CancelSessionReason, CancelSessionResponseError, DeleteNotificationStatus,
    DownloadErrorCode, LoadCrlResponseError, NotificationsListResultError,
};
use rsp::es10c::{
    DeleteProfileResult, DisableProfileResult, EnableProfileResult, ProfileInfoListError, ResetOptions, ResetResult,
    SetNicknameResult,
};
use rsp::euicc_info::{EuiccCategory, RspCapability, UiccCapability};
use rsp::metadata::{IconType, NotificationEvent, PprIds, ProfileClass, ProfileState};
use rsp::notification::{BppCommandId, ErrorReason};
use rsp::rat::PprFlags;

use crate::schema::{
    Form::{
        Aid, Bits, Certificate, Codes, Digits, DigitsInOrder, Flag, Inside, Number, Octets, Oid, Plmn, Secret,
        SimaResponse, Tags, Text, Version,
    },
    Node, nodes,
};

/// What a message carries, by its tag.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Tag of request and response.
    pub tag: u32,
    /// Elements of the request.
    pub request: &'static [Node],
    /// Elements of the response.
    pub response: &'static [Node],
}

const fn message(tag: u32, request: &'static [Node], response: &'static [Node]) -> Message {
    Message { tag, request, response }
}

/// Every message that is sent in one TLV; the function it asks for has its name in `rsp::es10::FUNCTIONS`.
pub static MESSAGES: &[Message] = &[
    message(0xBF20, &[], EUICC_INFO),
    message(0xBF21, PREPARE_DOWNLOAD, PREPARE_DOWNLOAD_RESPONSE),
    message(0xBF22, &[], EUICC_INFO),
    message(0xBF28, LIST_NOTIFICATION, LIST_NOTIFICATION_RESPONSE),
    message(0xBF29, SET_NICKNAME, SET_NICKNAME_RESPONSE),
    message(0xBF2B, RETRIEVE_NOTIFICATIONS, RETRIEVE_NOTIFICATIONS_RESPONSE),
    message(0xBF2D, GET_PROFILES_INFO, GET_PROFILES_INFO_RESPONSE),
    message(0xBF2E, &[], GET_CHALLENGE_RESPONSE),
    message(0xBF30, REMOVE_NOTIFICATION, REMOVE_NOTIFICATION_RESPONSE),
    message(0xBF31, CHANGE_PROFILE, ENABLE_RESPONSE),
    message(0xBF32, CHANGE_PROFILE, DISABLE_RESPONSE),
    message(0xBF33, PROFILE_IDENTIFIER, DELETE_RESPONSE),
    message(0xBF34, MEMORY_RESET, MEMORY_RESET_RESPONSE),
    message(0xBF35, LOAD_CRL, LOAD_CRL_RESPONSE),
    message(0xBF36, BOUND_PROFILE_PACKAGE, &[]),
    message(0xBF37, &[], PROFILE_INSTALLATION_RESULT),
    message(0xBF38, AUTHENTICATE_SERVER, AUTHENTICATE_SERVER_RESPONSE),
    message(0xBF3C, &[], CONFIGURED_ADDRESSES),
    message(0xBF3E, GET_EUICC_DATA, GET_EUICC_DATA_RESPONSE),
    message(0xBF3F, SET_DEFAULT_DP_ADDRESS, SET_DEFAULT_DP_ADDRESS_RESPONSE),
    message(0xBF41, CANCEL_SESSION, CANCEL_SESSION_RESPONSE),
    message(0xBF43, &[], GET_RAT_RESPONSE),
];

/// EUICCInfo1 and EUICCInfo2. §4.3, §5.7.8
static EUICC_INFO: &[Node] = nodes!("es10":
    0x81 profile_version "profileVersion" Version;
    0x82 svn "svn" Version;
    0x83 euicc_firmware_ver "euiccFirmwareVer" Version;
    0x84 ext_card_resource "extCardResource" Inside(EXT_CARD_RESOURCE);
    0x85 uicc_capability "uiccCapability" Bits(UiccCapability::NAMES);
    0x86 ts102241_version "ts102241Version" Version;
    0x87 globalplatform_version "globalplatformVersion" Version;
    0x88 rsp_capability "rspCapability" Bits(RspCapability::NAMES);
    0xA9 euicc_ci_pk_id_list_for_verification "euiccCiPKIdListForVerification" Inside(CI_PK_ID);
    0xAA euicc_ci_pk_id_list_for_signing "euiccCiPKIdListForSigning" Inside(CI_PK_ID);
    0x8B euicc_category "euiccCategory" Codes(EuiccCategory::NAMES);
    0x99 forbidden_profile_policy_rules "forbiddenProfilePolicyRules" Bits(PprIds::NAMES);
    0x04 pp_version "ppVersion" Version;
    0x0C sas_acreditation_number "sasAcreditationNumber" Text;
    0xAC certification_data_object "certificationDataObject" Inside(CERTIFICATION_DATA_OBJECT);
);
static EXT_CARD_RESOURCE: &[Node] = nodes!("es10":
    0x81 installed_applications "installedApplications" Number;
    0x82 free_non_volatile_memory "freeNonVolatileMemory" Number;
    0x83 free_volatile_memory "freeVolatileMemory" Number;
);
static CI_PK_ID: &[Node] = nodes!("es10": 0x04 subject_key_identifier "SubjectKeyIdentifier" Octets;);
static CERTIFICATION_DATA_OBJECT: &[Node] = nodes!("es10":
    0x80 platform_label "platformLabel" Text;
    0x81 discovery_base_url "discoveryBaseURL" Text;
);

/// ISD-R's own template in its FCI. §5.7.1
pub(crate) static ISDR_TEMPLATE: &[Node] = nodes!("es10":
    0x82 svn "svn" Version;
    0x03 lpae_support "lpaeSupport" Bits(rsp::euicc_info::LpaeSupport::NAMES);
    0x83 lpae_support "lpaeSupport" Bits(rsp::euicc_info::LpaeSupport::NAMES);
);

static GET_CHALLENGE_RESPONSE: &[Node] = nodes!("es10": 0x80 euicc_challenge "euiccChallenge" Octets;);

static AUTHENTICATE_SERVER: &[Node] = nodes!("es10":
    0x30 server_signed1 "serverSigned1" Inside(SERVER_SIGNED1);
    0x5F37 server_signature1 "serverSignature1" Octets;
    0x04 euicc_ci_pk_id_to_be_used "euiccCiPKIdToBeUsed" Octets;
    0x30 server_certificate "serverCertificate" Certificate;
    0xA0 ctx_params1 "ctxParams1" Inside(CTX_PARAMS1);
);
static SERVER_SIGNED1: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x81 euicc_challenge "euiccChallenge" Octets;
    0x83 server_address "serverAddress" Text;
    0x84 server_challenge "serverChallenge" Octets;
);
static CTX_PARAMS1: &[Node] = nodes!("es10":
    0x80 matching_id "matchingId" Text;
    0xA1 device_info "deviceInfo" Inside(DEVICE_INFO);
);
static DEVICE_INFO: &[Node] = nodes!("es10":
    0x80 tac "tac" Digits;
    0xA1 device_capabilities "deviceCapabilities" Inside(DEVICE_CAPABILITIES);
    0x82 imei "imei" Digits;
);
static DEVICE_CAPABILITIES: &[Node] = nodes!("es10":
    0x80 gsm_supported_release "gsmSupportedRelease" Version;
    0x81 utran_supported_release "utranSupportedRelease" Version;
    0x82 cdma2000onex_supported_release "cdma2000onexSupportedRelease" Version;
    0x83 cdma2000hrpd_supported_release "cdma2000hrpdSupportedRelease" Version;
    0x84 cdma2000ehrpd_supported_release "cdma2000ehrpdSupportedRelease" Version;
    0x85 eutran_epc_supported_release "eutranEpcSupportedRelease" Version;
    0x86 contactless_supported_release "contactlessSupportedRelease" Version;
    0x87 rsp_crl_supported_version "rspCrlSupportedVersion" Version;
    0x88 nr_epc_supported_release "nrEpcSupportedRelease" Version;
    0x89 nr5gc_supported_release "nr5gcSupportedRelease" Version;
    0x8A eutran5gc_supported_release "eutran5gcSupportedRelease" Version;
    0x8B lpa_svn "lpaSvn" Version;
);
static AUTHENTICATE_SERVER_RESPONSE: &[Node] = nodes!("es10":
    0xA0 authenticate_response_ok "authenticateResponseOk" Inside(AUTHENTICATE_RESPONSE_OK);
    0xA1 authenticate_response_error "authenticateResponseError" Inside(AUTHENTICATE_RESPONSE_ERROR);
);
static AUTHENTICATE_RESPONSE_OK: &[Node] = nodes!("es10":
    0x30 euicc_signed1 "euiccSigned1" Inside(EUICC_SIGNED1);
    0x5F37 euicc_signature1 "euiccSignature1" Octets;
    0x30 euicc_certificate "euiccCertificate" Certificate;
    0x30 eum_certificate "eumCertificate" Certificate;
);
static EUICC_SIGNED1: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x83 server_address "serverAddress" Text;
    0x84 server_challenge "serverChallenge" Octets;
    0xBF22 euicc_info2 "euiccInfo2" Inside(EUICC_INFO);
    0xA0 ctx_params1 "ctxParams1" Inside(CTX_PARAMS1);
);
static AUTHENTICATE_RESPONSE_ERROR: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x02 authenticate_error_code "authenticateErrorCode" Codes(AuthenticateErrorCode::NAMES);
);

static PREPARE_DOWNLOAD: &[Node] = nodes!("es10":
    0x30 smdp_signed2 "smdpSigned2" Inside(SMDP_SIGNED2);
    0x5F37 smdp_signature2 "smdpSignature2" Octets;
    0x04 hash_cc "hashCc" Octets;
    0x30 smdp_certificate "smdpCertificate" Certificate;
);
static SMDP_SIGNED2: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x01 cc_required_flag "ccRequiredFlag" Flag;
    0x5F49 bpp_euicc_otpk "bppEuiccOtpk" Octets;
);
static PREPARE_DOWNLOAD_RESPONSE: &[Node] = nodes!("es10":
    0xA0 download_response_ok "downloadResponseOk" Inside(DOWNLOAD_RESPONSE_OK);
    0xA1 download_response_error "downloadResponseError" Inside(DOWNLOAD_RESPONSE_ERROR);
);
static DOWNLOAD_RESPONSE_OK: &[Node] = nodes!("es10":
    0x30 euicc_signed2 "euiccSigned2" Inside(EUICC_SIGNED2);
    0x5F37 euicc_signature2 "euiccSignature2" Octets;
);
static EUICC_SIGNED2: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x5F49 euicc_otpk "euiccOtpk" Octets;
    0x04 hash_cc "hashCc" Octets;
);
static DOWNLOAD_RESPONSE_ERROR: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x02 download_error_code "downloadErrorCode" Codes(DownloadErrorCode::NAMES);
);

static CANCEL_SESSION: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x81 cancel_reason "reason" Codes(CancelSessionReason::NAMES);
);
static CANCEL_SESSION_RESPONSE: &[Node] = nodes!("es10":
    0xA0 cancel_session_response_ok "cancelSessionResponseOk" Inside(CANCEL_SESSION_OK);
    0x81 cancel_session_response_error "cancelSessionResponseError" Codes(CancelSessionResponseError::NAMES);
);
static CANCEL_SESSION_OK: &[Node] = nodes!("es10":
    0x30 euicc_cancel_session_signed "euiccCancelSessionSigned" Inside(CANCEL_SESSION_SIGNED);
    0x5F37 euicc_cancel_session_signature "euiccCancelSessionSignature" Octets;
);
static CANCEL_SESSION_SIGNED: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0x81 smdp_oid "smdpOid" Oid;
    0x82 cancel_reason "reason" Codes(CancelSessionReason::NAMES);
);

static LIST_NOTIFICATION: &[Node] = nodes!("es10":
    0x81 profile_management_operation "profileManagementOperation" Bits(NotificationEvent::NAMES);
);
static LIST_NOTIFICATION_RESPONSE: &[Node] = nodes!("es10":
    0xA0 notification_metadata_list "notificationMetadataList" Inside(NOTIFICATION_METADATA_LIST);
    0x81 list_notifications_result_error "listNotificationsResultError" Codes(NotificationsListResultError::NAMES);
);
static NOTIFICATION_METADATA_LIST: &[Node] = nodes!("es10":
    0xBF2F notification_metadata "notificationMetadata" Inside(NOTIFICATION_METADATA);
);
static NOTIFICATION_METADATA: &[Node] = nodes!("es10":
    0x80 seq_number "seqNumber" Number;
    0x81 profile_management_operation "profileManagementOperation" Bits(NotificationEvent::NAMES);
    0x0C notification_address "notificationAddress" Text;
    0x5A iccid "iccid" Digits;
);
static RETRIEVE_NOTIFICATIONS: &[Node] = nodes!("es10":
    0xA0 search_criteria "searchCriteria" Inside(NOTIFICATION_SEARCH);
);
static NOTIFICATION_SEARCH: &[Node] = nodes!("es10":
    0x80 seq_number "seqNumber" Number;
    0x81 profile_management_operation "profileManagementOperation" Bits(NotificationEvent::NAMES);
);
static RETRIEVE_NOTIFICATIONS_RESPONSE: &[Node] = nodes!("es10":
    0xA0 notification_list "notificationList" Inside(NOTIFICATION_LIST);
    0x81 notifications_list_result_error "notificationsListResultError" Codes(NotificationsListResultError::NAMES);
);
static NOTIFICATION_LIST: &[Node] = nodes!("es10":
    0xBF37 profile_installation_result "profileInstallationResult" Inside(PROFILE_INSTALLATION_RESULT);
    0x30 other_signed_notification "otherSignedNotification" Inside(OTHER_SIGNED_NOTIFICATION);
);
static OTHER_SIGNED_NOTIFICATION: &[Node] = nodes!("es10":
    0xBF2F tbs_other_notification "tbsOtherNotification" Inside(NOTIFICATION_METADATA);
    0x5F37 euicc_notification_signature "euiccNotificationSignature" Octets;
    0x30 euicc_certificate "euiccCertificate" Certificate;
    0x30 eum_certificate "eumCertificate" Certificate;
);
/// §2.5.6
pub(crate) static PROFILE_INSTALLATION_RESULT: &[Node] = nodes!("es10":
    0xBF27 profile_installation_result_data "profileInstallationResultData" Inside(PROFILE_INSTALLATION_RESULT_DATA);
    0x5F37 euicc_sign_pir "euiccSignPIR" Octets;
);
static PROFILE_INSTALLATION_RESULT_DATA: &[Node] = nodes!("es10":
    0x80 transaction_id "transactionId" Octets;
    0xBF2F notification_metadata "notificationMetadata" Inside(NOTIFICATION_METADATA);
    0x06 smdp_oid "smdpOid" Oid;
    0xA2 final_result "finalResult" Inside(FINAL_RESULT);
);
static FINAL_RESULT: &[Node] = nodes!("es10":
    0xA0 success_result "successResult" Inside(SUCCESS_RESULT);
    0xA1 error_result "errorResult" Inside(ERROR_RESULT);
);
static SUCCESS_RESULT: &[Node] = nodes!("es10":
    0x4F installed_aid "aid" Aid;
    0x04 sima_response "simaResponse" SimaResponse;
);
static ERROR_RESULT: &[Node] = nodes!("es10":
    0x80 bpp_command_id "bppCommandId" Codes(BppCommandId::NAMES);
    0x81 error_reason "errorReason" Codes(ErrorReason::NAMES);
    0x82 sima_response "simaResponse" SimaResponse;
);
static REMOVE_NOTIFICATION: &[Node] = nodes!("es10": 0x80 seq_number "seqNumber" Number;);
static REMOVE_NOTIFICATION_RESPONSE: &[Node] = nodes!("es10":
    0x80 delete_notification_status "deleteNotificationStatus" Codes(DeleteNotificationStatus::NAMES);
);

static LOAD_CRL: &[Node] = nodes!("es10": 0xA0 crl "crl" Octets;);
static LOAD_CRL_RESPONSE: &[Node] = nodes!("es10":
    0xA0 load_crl_response_ok "loadCRLResponseOk" Inside(LOAD_CRL_OK);
    0x81 load_crl_response_error "loadCRLResponseError" Codes(LoadCrlResponseError::NAMES);
);
static LOAD_CRL_OK: &[Node] = nodes!("es10": 0xA0 missing_parts "missingParts" Inside(MISSING_PARTS););
static MISSING_PARTS: &[Node] = nodes!("es10": 0x02 missing_part_number "number" Number;);

static GET_PROFILES_INFO: &[Node] = nodes!("es10":
    0xA0 search_criteria "searchCriteria" Inside(PROFILE_SEARCH);
    0x5C tag_list "tagList" Tags(PROFILE_INFO);
);
static PROFILE_SEARCH: &[Node] = nodes!("es10":
    0x4F isdp_aid "isdpAid" Aid;
    0x5A iccid "iccid" Digits;
    0x95 profile_class "profileClass" Codes(ProfileClass::NAMES);
);
static GET_PROFILES_INFO_RESPONSE: &[Node] = nodes!("es10":
    0xA0 profile_info_list_ok "profileInfoListOk" Inside(PROFILE_INFO_LIST);
    0x81 profile_info_list_error "profileInfoListError" Codes(ProfileInfoListError::NAMES);
);
static PROFILE_INFO_LIST: &[Node] = nodes!("es10": 0xE3 profile_info "ProfileInfo" Inside(PROFILE_INFO););
/// ProfileInfo, and StoreMetadata and UpdateMetadata, whose elements have the same tags. §5.7.15, §5.5.3
static PROFILE_INFO: &[Node] = nodes!("es10":
    0x5A iccid "iccid" Digits;
    0x4F isdp_aid "isdpAid" Aid;
    0x9F70 profile_state "profileState" Codes(ProfileState::NAMES);
    0x90 profile_nickname "profileNickname" Text;
    0x91 service_provider_name "serviceProviderName" Text;
    0x92 profile_name "profileName" Text;
    0x93 icon_type "iconType" Codes(IconType::NAMES);
    0x94 icon "icon" Octets;
    0x95 profile_class "profileClass" Codes(ProfileClass::NAMES);
    0xB6 notification_configuration_info "notificationConfigurationInfo" Inside(NOTIFICATION_CONFIGURATION_LIST);
    0xB7 profile_owner "profileOwner" Inside(OPERATOR_ID);
    0xB8 dp_proprietary_data "dpProprietaryData" Inside(DP_PROPRIETARY_DATA);
    0x99 profile_policy_rules "profilePolicyRules" Bits(PprIds::NAMES);
    0xBF76 ref_ar_do_list "refArDo" Inside(REF_AR_DO_LIST);
);
static NOTIFICATION_CONFIGURATION_LIST: &[Node] = nodes!("es10":
    0x30 notification_configuration_information "NotificationConfigurationInformation" Inside(NOTIFICATION_CONFIGURATION);
);
static NOTIFICATION_CONFIGURATION: &[Node] = nodes!("es10":
    0x80 profile_management_operation "profileManagementOperation" Bits(NotificationEvent::NAMES);
    0x81 notification_address "notificationAddress" Text;
);
static OPERATOR_ID: &[Node] = nodes!("es10":
    0x80 mcc_mnc "mccMnc" Plmn;
    0x81 gid1 "gid1" Octets;
    0x82 gid2 "gid2" Octets;
);
static DP_PROPRIETARY_DATA: &[Node] = nodes!("es10": 0x80 dp_oid "dpOid" Oid;);
static REF_AR_DO_LIST: &[Node] = nodes!("es10": 0xE2 ref_ar_do "RefArDo" Inside(REF_AR_DO););
static REF_AR_DO: &[Node] = nodes!("es10":
    0xE1 ref_do "refDo" Inside(REF_DO);
    0xE3 ar_do "arDo" Inside(AR_DO);
);
static REF_DO: &[Node] = nodes!("es10":
    0xC1 device_app_id_ref_do "deviceAppIdRefDo" Octets;
    0xCA pkg_ref_do "pkgRefDo" Text;
);
static AR_DO: &[Node] = nodes!("es10": 0xDB perm_ar_do "permArDo" Octets;);

static CHANGE_PROFILE: &[Node] = nodes!("es10":
    0xA0 profile_identifier "profileIdentifier" Inside(PROFILE_IDENTIFIER);
    0x81 refresh_flag "refreshFlag" Flag;
);
static PROFILE_IDENTIFIER: &[Node] = nodes!("es10":
    0x4F isdp_aid "isdpAid" Aid;
    0x5A iccid "iccid" Digits;
);
static ENABLE_RESPONSE: &[Node] = nodes!("es10": 0x80 enable_result "enableResult" Codes(EnableProfileResult::NAMES););
static DISABLE_RESPONSE: &[Node] =
    nodes!("es10": 0x80 disable_result "disableResult" Codes(DisableProfileResult::NAMES););
static DELETE_RESPONSE: &[Node] = nodes!("es10": 0x80 delete_result "deleteResult" Codes(DeleteProfileResult::NAMES););
static MEMORY_RESET: &[Node] = nodes!("es10": 0x82 reset_options "resetOptions" Bits(ResetOptions::NAMES););
static MEMORY_RESET_RESPONSE: &[Node] = nodes!("es10": 0x80 reset_result "resetResult" Codes(ResetResult::NAMES););
static GET_EUICC_DATA: &[Node] = nodes!("es10": 0x5C tag_list "tagList" Tags(GET_EUICC_DATA_RESPONSE););
static GET_EUICC_DATA_RESPONSE: &[Node] = nodes!("es10": 0x5A eid "eidValue" DigitsInOrder;);
static SET_NICKNAME: &[Node] = nodes!("es10":
    0x5A iccid "iccid" Digits;
    0x90 profile_nickname "profileNickname" Text;
);
static SET_NICKNAME_RESPONSE: &[Node] = nodes!("es10":
    0x80 set_nickname_result "setNicknameResult" Codes(SetNicknameResult::NAMES);
);
static CONFIGURED_ADDRESSES: &[Node] = nodes!("es10":
    0x80 default_dp_address "defaultDpAddress" Text;
    0x81 root_ds_address "rootDsAddress" Text;
);
static SET_DEFAULT_DP_ADDRESS: &[Node] = nodes!("es10": 0x80 default_dp_address "defaultDpAddress" Text;);
static SET_DEFAULT_DP_ADDRESS_RESPONSE: &[Node] = nodes!("es10":
    0x80 set_default_dp_address_result "setDefaultDpAddressResult" Codes(SetDefaultDpAddressResult::NAMES);
);
static GET_RAT_RESPONSE: &[Node] = nodes!("es10": 0xA0 rat "rat" Inside(RAT););
static RAT: &[Node] =
    nodes!("es10": 0x30 profile_policy_authorisation_rule "ProfilePolicyAuthorisationRule" Inside(RAT_RULE););
static RAT_RULE: &[Node] = nodes!("es10":
    0x80 ppr_ids "pprIds" Bits(PprIds::NAMES);
    0xA1 allowed_operators "allowedOperators" Inside(ALLOWED_OPERATORS);
    0x82 ppr_flags "pprFlags" Bits(PprFlags::NAMES);
);
static ALLOWED_OPERATORS: &[Node] = nodes!("es10": 0x30 operator_id "OperatorId" Inside(OPERATOR_ID););

/// What a bound profile package consists of, as long as it is not opened. §2.5.5
pub(crate) static BOUND_PROFILE_PACKAGE: &[Node] = nodes!("bpp":
    0xBF23 initialise_secure_channel "InitialiseSecureChannel" Inside(INITIALISE_SECURE_CHANNEL);
    0xA0 first_sequence_of_87 "firstSequenceOf87" Inside(SEGMENT_87);
    0xA1 sequence_of_88 "sequenceOf88" Inside(SEGMENT_88);
    0xA2 second_sequence_of_87 "secondSequenceOf87" Inside(SEGMENT_87);
    0xA3 sequence_of_86 "sequenceOf86" Inside(SEGMENT_86);
);
pub(crate) static INITIALISE_SECURE_CHANNEL: &[Node] = nodes!("es10":
    0x82 remote_op_id "remoteOpId" Codes(RemoteOpId::NAMES);
    0x80 transaction_id "transactionId" Octets;
    0xA6 control_ref_template "controlRefTemplate" Inside(CONTROL_REF_TEMPLATE);
    0x5F49 smdp_otpk "smdpOtpk" Octets;
    0x5F37 smdp_sign "smdpSign" Octets;
);
static CONTROL_REF_TEMPLATE: &[Node] = nodes!("es10":
    0x80 key_type "keyType" Codes(&[(0x88, "AES")]);
    0x81 key_len "keyLen" Number;
    0x84 host_id "hostId" Octets;
);
static SEGMENT_86: &[Node] = nodes!("bpp": 0x86 segment_86 "segment, encrypted, of the profile" Octets;);
static SEGMENT_87: &[Node] = nodes!("bpp": 0x87 segment_87 "segment, encrypted" Octets;);
static SEGMENT_88: &[Node] = nodes!("bpp": 0x88 segment_88 "segment with a MAC" Octets;);

/// What segments 87 and 88 carry. §5.5.2 to §5.5.4
pub(crate) static COMMANDS: &[Node] = nodes!("bpp":
    0xBF24 configure_isdp "ConfigureISDP" Inside(CONFIGURE_ISDP);
    0xBF25 store_metadata "StoreMetadata" Inside(PROFILE_INFO);
    0xBF26 replace_session_keys "ReplaceSessionKeys" Inside(REPLACE_SESSION_KEYS);
    0xBF2A update_metadata "UpdateMetadata" Inside(PROFILE_INFO);
);
static CONFIGURE_ISDP: &[Node] =
    nodes!("es10": 0xB8 dp_proprietary_data "dpProprietaryData" Inside(DP_PROPRIETARY_DATA););
static REPLACE_SESSION_KEYS: &[Node] = nodes!("es10":
    0x80 initial_mac_chaining_value "initialMacChainingValue" Secret;
    0x81 ppk_enc "ppkEnc" Secret;
    0x82 ppk_cmac "ppkCmac" Secret;
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_its_message() {
        for function in rsp::es10::FUNCTIONS {
            assert!(MESSAGES.iter().any(|message| message.tag == function.tag.0), "{}", function.name);
        }
    }
}
