//! What the eUICC reports to servers: installation results and notifications. SGP.22 §2.5.6 and §3.5

use apdu::tlv::{Header, Tag, Writer};
use rasn::types::{OctetString, Utf8String};
use rasn::{AsnType, Decode, Decoder as _, Encode, Encoder as _};

use crate::code::integer_codes;
use crate::elements::{Element, Elements};
use crate::metadata::NotificationEvent;
use crate::raw::{CertificateDer, Raw};
use crate::{IsdpAid, Oid, Signature, TransactionId};
use identities::Iccid;

/// `NotificationMetadata ::= [47] SEQUENCE`, BF2F: which notification, for whom. Signed in `OtherSignedNotification`.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
#[rasn(tag(47))]
pub struct NotificationMetadata {
    /// Counts up over the whole life of the eUICC.
    #[rasn(tag(0))]
    pub seq_number: u64,
    /// What happened; one bit.
    #[rasn(tag(1))]
    pub profile_management_operation: NotificationEvent,
    /// FQDN of the recipient.
    pub notification_address: Utf8String,
    /// The profile; absent if an installation failed before it was known.
    pub iccid: Option<Iccid>,
}

/// [`NotificationMetadata`] as it is read element by element.
#[derive(AsnType, Decode, Debug, Clone, Default, PartialEq, Eq)]
#[rasn(tag(47))]
pub struct NotificationElements {
    /// Counts up over the whole life of the eUICC.
    #[rasn(tag(0))]
    pub seq_number: Option<u64>,
    /// What happened.
    #[rasn(tag(1))]
    pub profile_management_operation: Option<NotificationEvent>,
    /// The recipient.
    pub notification_address: Option<Utf8String>,
    /// The profile.
    pub iccid: Option<Iccid>,
}

impl From<NotificationMetadata> for NotificationElements {
    fn from(whole: NotificationMetadata) -> Self {
        let NotificationMetadata { seq_number, profile_management_operation, notification_address, iccid } = whole;
        Self {
            seq_number: Some(seq_number),
            profile_management_operation: Some(profile_management_operation),
            notification_address: Some(notification_address),
            iccid,
        }
    }
}

impl Elements for NotificationElements {
    const ELEMENTS: &'static [Element] = &[
        Element::mandatory(0x80, "seqNumber"),
        Element::mandatory(0x81, "profileManagementOperation"),
        Element::mandatory(0x0C, "notificationAddress"),
        Element::optional(0x5A, "iccid"),
    ];
}

/// `PendingNotification ::= CHOICE`: one entry of the list the LPA delivers.
///
/// It is delivered octet for octet, so lists hold [`Raw`] ones.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
#[rasn(choice)]
pub enum PendingNotification {
    /// BF37
    #[rasn(tag(55))]
    ProfileInstallationResult(ProfileInstallationResult),
    /// 30
    OtherSignedNotification(OtherSignedNotification),
}

impl PendingNotification {
    /// The notification whose outermost tag, BF37 or 30, encloses `contents`: some deployed LPAs send only these. Which tag it was
    /// follows from the first element. `None` if there is no such notification.
    pub fn enclosing(contents: &[u8]) -> Option<Raw<Self>> {
        const SEQUENCE: Tag = Tag(0x30);
        const PROFILE_INSTALLATION_RESULT: Tag = Tag(0xBF37);
        const PROFILE_INSTALLATION_RESULT_DATA: Tag = Tag(0xBF27);
        const NOTIFICATION_METADATA: Tag = Tag(0xBF2F);
        let tag = match Header::parse(contents).ok()??.tag {
            PROFILE_INSTALLATION_RESULT_DATA => PROFILE_INSTALLATION_RESULT,
            NOTIFICATION_METADATA => SEQUENCE,
            _ => return None,
        };
        let mut whole = Writer::new();
        whole.constructed(tag, |inside| {
            inside.raw(contents);
        });
        let whole = Raw::<Self>::from_octets(whole.into_bytes()).ok()?;
        whole.decode().is_ok().then_some(whole)
    }

    /// The metadata inside, whichever kind it is.
    pub fn metadata(&self) -> Result<NotificationMetadata, crate::DecodeError> {
        match self {
            Self::ProfileInstallationResult(result) => {
                result.profile_installation_result_data.decode()?.notification_metadata.decode()
            }
            Self::OtherSignedNotification(other) => other.tbs_other_notification.decode(),
        }
    }
}

/// `OtherSignedNotification ::= SEQUENCE`: a profile was installed, enabled, disabled or deleted.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
pub struct OtherSignedNotification {
    /// What is signed.
    pub tbs_other_notification: Raw<NotificationMetadata>,
    /// By SK.EUICC, over the octets of `tbs_other_notification`.
    pub euicc_notification_signature: Signature,
    /// CERT.EUICC.ECDSA
    pub euicc_certificate: CertificateDer,
    /// CERT.EUM.ECDSA
    pub eum_certificate: CertificateDer,
}

/// `ProfileInstallationResult ::= [55] SEQUENCE`, BF37: how a download ended.
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
#[rasn(tag(55))]
pub struct ProfileInstallationResult {
    /// What is signed.
    #[rasn(tag(39))]
    pub profile_installation_result_data: Raw<ProfileInstallationResultData>,
    /// By SK.EUICC, over the octets of `profile_installation_result_data`.
    pub euicc_sign_pir: Signature,
}

/// `ProfileInstallationResultData ::= [39] SEQUENCE`, BF27
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
#[rasn(tag(39))]
pub struct ProfileInstallationResultData {
    /// The session it belongs to.
    #[rasn(tag(0))]
    pub transaction_id: TransactionId,
    /// To whom and about what.
    #[rasn(tag(47))]
    pub notification_metadata: Raw<NotificationMetadata>,
    /// OID of the SM-DP+ (from CERT.DPpb).
    pub smdp_oid: Oid,
    /// How it ended.
    #[rasn(tag(explicit(2)))]
    pub final_result: FinalResult,
}

/// `finalResult`
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
#[rasn(choice)]
pub enum FinalResult {
    /// The profile is installed, disabled.
    #[rasn(tag(0))]
    SuccessResult(SuccessResult),
    /// Nothing of it is left.
    #[rasn(tag(1))]
    ErrorResult(ErrorResult),
}

/// `SuccessResult ::= SEQUENCE`
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
pub struct SuccessResult {
    /// AID of the ISD-P.
    #[rasn(tag(application, 15))]
    pub aid: IsdpAid,
    /// `EUICCResponse` of the profile package interpreter, DER.
    pub sima_response: OctetString,
}

/// `ErrorResult ::= SEQUENCE`
#[derive(AsnType, Decode, Encode, Debug, Clone, PartialEq, Eq)]
pub struct ErrorResult {
    /// Where it failed.
    #[rasn(tag(0))]
    pub bpp_command_id: BppCommandId,
    /// Why it failed there.
    #[rasn(tag(1))]
    pub error_reason: ErrorReason,
    /// `EUICCResponse` of the profile package interpreter, DER.
    #[rasn(tag(2))]
    pub sima_response: Option<OctetString>,
}

integer_codes! {
    /// `BppCommandId ::= INTEGER`: the part of a bound profile package that failed. SGP.22 §2.5.6
    pub struct BppCommandId {
        INITIALISE_SECURE_CHANNEL = 0 "initialiseSecureChannel",
        CONFIGURE_ISDP = 1 "configureISDP",
        STORE_METADATA = 2 "storeMetadata",
        STORE_METADATA2 = 3 "storeMetadata2",
        REPLACE_SESSION_KEYS = 4 "replaceSessionKeys",
        LOAD_PROFILE_ELEMENTS = 5 "loadProfileElements",
    }
}

integer_codes! {
    /// `ErrorReason ::= INTEGER`: why a bound profile package failed. SGP.22 §2.5.6
    pub struct ErrorReason {
        INCORRECT_INPUT_VALUES = 1 "incorrectInputValues",
        INVALID_SIGNATURE = 2 "invalidSignature",
        INVALID_TRANSACTION_ID = 3 "invalidTransactionId",
        UNSUPPORTED_CRT_VALUES = 4 "unsupportedCrtValues",
        UNSUPPORTED_REMOTE_OPERATION_TYPE = 5 "unsupportedRemoteOperationType",
        UNSUPPORTED_PROFILE_CLASS = 6 "unsupportedProfileClass",
        SCP03T_STRUCTURE_ERROR = 7 "scp03tStructureError",
        SCP03T_SECURITY_ERROR = 8 "scp03tSecurityError",
        ICCID_ALREADY_EXISTS_ON_EUICC = 9 "installFailedDueToIccidAlreadyExistsOnEuicc",
        INSUFFICIENT_MEMORY_FOR_PROFILE = 10 "installFailedDueToInsufficientMemoryForProfile",
        INTERRUPTION = 11 "installFailedDueToInterruption",
        PE_PROCESSING_ERROR = 12 "installFailedDueToPEProcessingError",
        DATA_MISMATCH = 13 "installFailedDueToDataMismatch",
        TEST_PROFILE_INVALID_NAA_KEY = 14 "testProfileInstallFailedDueToInvalidNaaKey",
        PPR_NOT_ALLOWED = 15 "pprNotAllowed",
        UNKNOWN_ERROR = 127 "installFailedDueToUnknownError",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::both_ways;
    use hex_literal::hex;

    /// Metadata of the golden messages; also `tbsOtherNotification` by itself.
    pub(crate) fn metadata(seq_number: u64, event: NotificationEvent) -> NotificationMetadata {
        NotificationMetadata {
            seq_number,
            profile_management_operation: event,
            notification_address: "smdp.example".into(),
            iccid: Some("89000123456789012341".parse().unwrap()),
        }
    }

    fn result(final_result: FinalResult) -> ProfileInstallationResult {
        ProfileInstallationResult {
            profile_installation_result_data: Raw::encode(&ProfileInstallationResultData {
                transaction_id: hex!("0123456789ABCDEF").into(),
                notification_metadata: Raw::encode(&metadata(1, NotificationEvent::INSTALL)).unwrap(),
                smdp_oid: "2.999.10".parse().unwrap(),
                final_result,
            })
            .unwrap(),
            euicc_sign_pir: [0xAA; 64].into(),
        }
    }

    #[test]
    fn notification_metadata() {
        both_ways(
            "BF2F21800105810206400C0C736D64702E6578616D706C655A0A98001032547698103214",
            &metadata(5, NotificationEvent::ENABLE),
        );
    }

    #[test]
    fn profile_installation_result() {
        let success = result(FinalResult::SuccessResult(SuccessResult {
            aid: crate::ids::AID_ISD_P_FIRST.into(),
            sima_response: hex!("3007A0053003800100").as_slice().into(),
        }));
        let wire = format!(
            "BF37819ABF275480080123456789ABCDEFBF2F21800101810207800C0C736D64702E6578616D706C655A0A98001032547698103214\
             060388370AA21FA01D4F10A0000005591010FFFFFFFF890000100004093007A00530038001005F3740{}",
            "AA".repeat(64)
        );
        both_ways(&wire, &success);
        both_ways(&wire, &PendingNotification::ProfileInstallationResult(success));

        let error = result(FinalResult::ErrorResult(ErrorResult {
            bpp_command_id: BppCommandId::LOAD_PROFILE_ELEMENTS,
            error_reason: ErrorReason::PE_PROCESSING_ERROR,
            sima_response: Some(hex!("3007A0053003800103").as_slice().into()),
        }));
        both_ways(
            &format!(
                "BF37818EBF274880080123456789ABCDEFBF2F21800101810207800C0C736D64702E6578616D706C655A0A980010325476981032\
                 14060388370AA213A11180010581010C82093007A00530038001035F3740{}",
                "AA".repeat(64)
            ),
            &error,
        );
    }

    /// What stands in the outermost tag says which one that was; nothing else is a notification.
    #[test]
    fn an_outermost_tag_is_restored() {
        let installed = PendingNotification::ProfileInstallationResult(result(FinalResult::ErrorResult(ErrorResult {
            bpp_command_id: BppCommandId::LOAD_PROFILE_ELEMENTS,
            error_reason: ErrorReason::PE_PROCESSING_ERROR,
            sima_response: None,
        })));
        let other = PendingNotification::OtherSignedNotification(OtherSignedNotification {
            tbs_other_notification: Raw::encode(&metadata(5, NotificationEvent::ENABLE)).unwrap(),
            euicc_notification_signature: [0xBB; 64].into(),
            euicc_certificate: Raw::from_octets(hex!("3003020101")).unwrap(),
            eum_certificate: Raw::from_octets(hex!("3003020102")).unwrap(),
        });
        for whole in [&installed, &other].map(|pending| Raw::encode(pending).unwrap()) {
            assert_eq!(PendingNotification::enclosing(whole.contents()), Some(whole.clone()));
            assert_eq!(PendingNotification::enclosing(whole.octets()), None, "it has its tag");
            let cut = whole.contents().split_last().unwrap().1;
            assert_eq!(PendingNotification::enclosing(cut), None);
        }
        for none in [&[][..], &hex!("BF27"), &hex!("BF2700"), &hex!("BF2F00 5F3700"), &hex!("3000")] {
            assert_eq!(PendingNotification::enclosing(none), None, "{none:02X?}");
        }
    }

    #[test]
    fn other_signed_notification() {
        let other = OtherSignedNotification {
            tbs_other_notification: Raw::encode(&metadata(5, NotificationEvent::ENABLE)).unwrap(),
            euicc_notification_signature: [0xBB; 64].into(),
            euicc_certificate: Raw::from_octets(hex!("3003020101")).unwrap(),
            eum_certificate: Raw::from_octets(hex!("3003020102")).unwrap(),
        };
        let pending = PendingNotification::OtherSignedNotification(other);
        both_ways(
            &format!(
                "3071BF2F21800105810206400C0C736D64702E6578616D706C655A0A980010325476981032145F3740{}30030201013003020102",
                "BB".repeat(64)
            ),
            &pending,
        );
        assert_eq!(pending.metadata().unwrap().seq_number, 5);
    }
}
