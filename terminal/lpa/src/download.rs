//! Downloading a profile. SGP.22 sections 3.0.1 and 3.1.3
//!
//! The checks that are the LPA's own business: the server speaks for the address asked, its OID is the one of the
//! activation code, its answers belong to the session, the policy rules are allowed here and agreed to, the package
//! holds the profile agreed to. Whatever fails once the eUICC has a session cancels it, with the reason, on both sides.

use core::fmt;

use crypto::confirmation::hash_cc;
use rasn::types::FixedOctetString;
use reader_bridge::Transport;
use rsp::activation_code::{ActivationCode, is_server_address};
use rsp::certificate::Certificate;
use rsp::es8::{BoundProfilePackage, StoreMetadataRequest};
use rsp::es9::{
    AuthenticateClientRequest, AuthenticateClientResponse, Base64, EventEntry, Function, GetBoundProfilePackageRequest,
    InitiateAuthenticationRequest,
};
use rsp::es10a::EuiccConfiguredAddressesResponse;
use rsp::es10b::{
    AuthenticateServerRequest, AuthenticateServerResponse, CtxParams1, CtxParamsForCommonAuthentication,
    DeviceCapabilities, DeviceInfo, PrepareDownloadRequest,
};
use rsp::metadata::{PprIds, ProfileClass};
use rsp::notification::{ErrorResult, FinalResult, PendingNotification, ProfileInstallationResult};
use rsp::rat::Authorisation;
use rsp::{Aid, Iccid, Oid, Raw, TransactionId, es9};
use zeroize::Zeroizing;

use crate::error::{CardError, LpaError, ServerError};
use crate::euicc::{Es10Function, Euicc, metadata_in};
use crate::notification::{Retry, deliver};
use crate::server::{Es9Client, call, name};
use crate::user::{Decision, Offer, Progress, User};

/// What the operator tells the subscriber besides the activation code. Not printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfirmationCode(Zeroizing<String>);

impl From<String> for ConfirmationCode {
    fn from(code: String) -> Self {
        Self(code.into())
    }
}

impl fmt::Debug for ConfirmationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfirmationCode(secret)")
    }
}

/// Which profile to download from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Host name of the SM-DP+, perhaps with a port.
    pub smdp_address: String,
    /// Which profile; absent where the SM-DP+ knows the eUICC.
    pub matching_id: Option<String>,
    /// The SM-DP+ that must answer.
    pub smdp_oid: Option<Oid>,
    /// Given in advance, so that the user need not be asked.
    pub confirmation_code: Option<ConfirmationCode>,
    /// The device the LPA runs on.
    pub device: DeviceInfo,
}

impl Order {
    /// As a default or discovered server is asked.
    pub fn new(smdp_address: &str, matching_id: Option<String>) -> Self {
        let smdp_address = smdp_address.into();
        Self { smdp_address, matching_id, smdp_oid: None, confirmation_code: None, device: this_device() }
    }

    /// What the eUICC's default SM-DP+ has for it.
    pub fn of_default_smdp(addresses: &EuiccConfiguredAddressesResponse) -> Result<Self, LpaError> {
        match addresses.default_dp_address.as_deref() {
            None | Some("") => Err(LpaError::NoServerAddress),
            Some(address) => Ok(Self::new(address, None)),
        }
    }
}

impl From<&ActivationCode> for Order {
    fn from(code: &ActivationCode) -> Self {
        let order = Self::new(&code.smdp_address, Some(code.matching_id.clone()));
        Self { smdp_oid: code.smdp_oid.clone(), ..order }
    }
}

impl From<&EventEntry> for Order {
    fn from(event: &EventEntry) -> Self {
        Self::new(&event.rsp_server_address, Some(event.event_id.clone()))
    }
}

/// A device without a radio of its own: the type allocation code of test equipment, no capabilities, no IMEI.
pub fn this_device() -> DeviceInfo {
    DeviceInfo {
        tac: FixedOctetString::new([0x35, 0x29, 0x06, 0x11]),
        device_capabilities: DeviceCapabilities::default(),
        imei: None,
    }
}

/// A profile that was installed, disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its ICCID.
    pub iccid: Iccid,
    /// AID of the ISD-P that holds it.
    pub isdp_aid: Aid,
    /// What the server said of it.
    pub metadata: StoreMetadataRequest,
    /// Number of the notification that reports it.
    pub seq_number: u64,
    /// Whether the server has that notification; otherwise it waits on the eUICC.
    pub is_reported: bool,
    /// `EUICCResponse` of the profile interpreter, DER: elements it passed over, if any.
    pub sima_response: Vec<u8>,
}

/// Downloads and installs a profile, and reports it to the server.
pub fn download<T: Transport>(
    euicc: &mut Euicc<T>,
    server: &mut dyn Es9Client,
    order: &Order,
    user: &mut dyn User,
) -> Result<Installed, LpaError> {
    let session = authenticate(euicc, server, order, user)?;
    let mut procedure = Procedure { euicc, server, order, user, session };
    let (metadata, package) = match procedure.fetch() {
        Ok(fetched) => fetched,
        Err(error) => return Err(procedure.cancel(error)),
    };
    let result = match procedure.load(&package) {
        Ok(result) => result,
        Err(error) => return Err(procedure.cancel(error)),
    };
    procedure.conclude(metadata, result)
}

/// A session in which eUICC and server know each other.
pub(crate) struct Session {
    pub(crate) transaction_id: TransactionId,
    /// For the server's AuthenticateClient.
    pub(crate) authenticate_server_response: Raw<AuthenticateServerResponse>,
    server_oid: Option<Oid>,
}

/// Mutual authentication of eUICC and server. SGP.22 section 3.0.1
pub(crate) fn authenticate<T: Transport>(
    euicc: &mut Euicc<T>,
    server: &mut dyn Es9Client,
    order: &Order,
    user: &mut dyn User,
) -> Result<Session, LpaError> {
    let address = order.smdp_address.as_str();
    if !is_server_address(address) {
        return Err(ServerError::Address(address.into()).into());
    }
    user.progress(Progress::Card("GetEUICCInfo"), euicc.apdus());
    let euicc_info1 = euicc.info1()?;
    user.progress(Progress::Card("GetEUICCChallenge"), euicc.apdus());
    let challenge = euicc.challenge()?;
    let request = InitiateAuthenticationRequest {
        euicc_challenge: Base64(challenge.to_vec()),
        euicc_info1,
        smdp_address: address.into(),
    };
    ask::<InitiateAuthenticationRequest, T>(euicc, user, address);
    let answer = call(server, address, &request)?;

    let malformed = |cause: String| ServerError::Malformed { address: address.into(), cause };
    let signed = answer.server_signed1.decode().map_err(|error| malformed(error.to_string()))?;
    let certificate =
        Certificate::parse(answer.server_certificate.octets()).map_err(|error| malformed(error.to_string()))?;
    let server_oid = certificate.oid().ok().cloned();
    if signed.transaction_id != answer.transaction_id {
        return Err(LpaError::Inconsistent("it signed another transactionId than it announced"));
    }
    if signed.euicc_challenge != challenge {
        return Err(LpaError::Inconsistent("it signed another challenge than the eUICC's"));
    }
    if !signed.server_address.eq_ignore_ascii_case(address) {
        return Err(LpaError::ServerAddress { asked: address.into(), answered: signed.server_address });
    }
    if let Some(expected) = &order.smdp_oid
        && server_oid.as_ref() != Some(expected)
    {
        let dotted = |oid: Option<&Oid>| oid.and_then(Oid::dotted).unwrap_or_else(|| "none".into());
        let (expected, answered) = (dotted(Some(expected)), dotted(server_oid.as_ref()));
        return Err(LpaError::ServerOid { expected, answered });
    }

    let ctx_params1 = CtxParams1::CtxParamsForCommonAuthentication(CtxParamsForCommonAuthentication {
        matching_id: order.matching_id.clone(),
        device_info: order.device.clone(),
    });
    let decode = |error: rsp::DecodeError| malformed(error.to_string());
    let request = AuthenticateServerRequest {
        server_signature1: answer.server_signature1.decode().map_err(decode)?,
        euicc_ci_pk_id_to_be_used: answer.euicc_ci_pk_id_to_be_used.decode().map_err(decode)?,
        server_signed1: answer.server_signed1,
        server_certificate: answer.server_certificate,
        ctx_params1: Raw::encode(&ctx_params1)?,
    };
    user.progress(Progress::Card(AuthenticateServerRequest::NAME), euicc.apdus());
    let (response, outcome) = euicc.authenticate_server(&request)?;
    let session = Session { transaction_id: answer.transaction_id, authenticate_server_response: response, server_oid };
    if let Err(refusal) = outcome {
        // The eUICC has no session to cancel; its error, passed on, ends the server's.
        let _ = call(server, address, &session.authenticate_client());
        return Err(refusal);
    }
    Ok(session)
}

impl Session {
    pub(crate) fn authenticate_client(&self) -> AuthenticateClientRequest {
        AuthenticateClientRequest {
            transaction_id: self.transaction_id.clone(),
            authenticate_server_response: self.authenticate_server_response.clone(),
        }
    }
}

/// Tells the user that a server is being asked.
pub(crate) fn ask<F: Function, T: Transport>(euicc: &Euicc<T>, user: &mut dyn User, address: &str) {
    user.progress(Progress::Server { function: name::<F>(), address }, euicc.apdus());
}

/// A download whose parties know each other.
struct Procedure<'a, T> {
    euicc: &'a mut Euicc<T>,
    server: &'a mut dyn Es9Client,
    order: &'a Order,
    user: &'a mut dyn User,
    session: Session,
}

impl<T: Transport> Procedure<'_, T> {
    /// From the offer of a profile to the package that holds it.
    fn fetch(&mut self) -> Result<(StoreMetadataRequest, Vec<u8>), LpaError> {
        let address = self.order.smdp_address.as_str();
        ask::<AuthenticateClientRequest, T>(self.euicc, self.user, address);
        let offer = call(self.server, address, &self.session.authenticate_client())?;
        let decode =
            |error: rsp::DecodeError| ServerError::Malformed { address: address.into(), cause: error.to_string() };
        let metadata = offer.profile_metadata.decode().map_err(decode)?;
        let signed = offer.smdp_signed2.decode().map_err(decode)?;
        if [&offer.transaction_id, &signed.transaction_id] != [&self.session.transaction_id; 2] {
            return Err(LpaError::Inconsistent("it signed the download for another transactionId"));
        }
        let certificate = Certificate::parse(offer.smdp_certificate.octets())
            .map_err(|error| ServerError::Malformed { address: address.into(), cause: error.to_string() })?;
        if certificate.oid().ok() != self.session.server_oid.as_ref() {
            return Err(LpaError::Inconsistent("its two certificates have different OIDs"));
        }
        self.user.progress(Progress::Metadata(&metadata), self.euicc.apdus());
        let rules_to_agree_to = self.rules_to_agree_to(&metadata)?;
        let confirmation_code_required = signed.cc_required_flag;
        match self.user.consent(Offer { metadata: &metadata, rules_to_agree_to, confirmation_code_required }) {
            Decision::Accept => {}
            Decision::Reject => return Err(LpaError::Rejected),
            Decision::Postpone => return Err(LpaError::Postponed),
            Decision::Timeout => return Err(LpaError::TimedOut),
        }
        let package = self.bound_profile_package(&offer, confirmation_code_required)?;
        verify_metadata(&package, &offer.profile_metadata, &metadata)?;
        Ok((metadata, package))
    }

    /// Checks the policy rules of a profile; those the user has to agree to. SGP.22 section 2.9.3
    fn rules_to_agree_to(&mut self, metadata: &StoreMetadataRequest) -> Result<PprIds, LpaError> {
        let rules = metadata.profile_policy_rules.unwrap_or_default().without(PprIds::UPDATE_CONTROL);
        if rules.is_empty() {
            return Ok(PprIds::EMPTY);
        }
        let forbidden = self.euicc.info2()?.forbidden_profile_policy_rules.unwrap_or_default();
        let authorisation = self.euicc.rat()?.authorise(rules, metadata.profile_owner.as_ref());
        if rules.intersects(forbidden) || authorisation == Authorisation::NotAllowed {
            return Err(LpaError::PolicyRules(rules));
        }
        if rules.contains(PprIds::PPR1) {
            let is_operational = |class: Option<ProfileClass>| class.unwrap_or_default() == ProfileClass::OPERATIONAL;
            if self.euicc.profiles()?.iter().any(|profile| is_operational(profile.profile_class)) {
                return Err(LpaError::NotTheOnlyProfile);
            }
        }
        Ok(if authorisation == Authorisation::AllowedWithConsent { rules } else { PprIds::EMPTY })
    }

    /// PrepareDownload and GetBoundProfilePackage; again as long as the user has other confirmation codes.
    fn bound_profile_package(
        &mut self,
        offer: &AuthenticateClientResponse,
        confirmation_code_required: bool,
    ) -> Result<Vec<u8>, LpaError> {
        let address = self.order.smdp_address.as_str();
        let mut given = self.order.confirmation_code.clone();
        let mut refusal = None;
        loop {
            let mut hash = None;
            if confirmation_code_required {
                let asked = || self.user.confirmation_code(refusal.is_some()).map(ConfirmationCode::from);
                let Some(code) = given.take().or_else(asked) else {
                    return Err(refusal.unwrap_or(LpaError::ConfirmationCodeMissing));
                };
                let octets = hash_cc(&code.0, self.session.transaction_id.octets());
                hash = Some(FixedOctetString::new(octets));
            }
            let smdp_signature2 = offer
                .smdp_signature2
                .decode()
                .map_err(|error| ServerError::Malformed { address: address.into(), cause: error.to_string() })?;
            let request = PrepareDownloadRequest {
                smdp_signed2: offer.smdp_signed2.clone(),
                smdp_signature2,
                hash_cc: hash,
                smdp_certificate: offer.smdp_certificate.clone(),
            };
            self.user.progress(Progress::Card(PrepareDownloadRequest::NAME), self.euicc.apdus());
            let request = GetBoundProfilePackageRequest {
                transaction_id: self.session.transaction_id.clone(),
                prepare_download_response: self.euicc.prepare_download(&request)?,
            };
            ask::<GetBoundProfilePackageRequest, T>(self.euicc, self.user, address);
            match call(self.server, address, &request) {
                Ok(answer) => return Ok(answer.bound_profile_package.0),
                Err(error) if confirmation_code_required && error.is_wrong_confirmation_code() => {
                    refusal = Some(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn load(&mut self, package: &[u8]) -> Result<Raw<ProfileInstallationResult>, LpaError> {
        self.user.progress(Progress::Card("LoadBoundProfilePackage"), self.euicc.apdus());
        let user = &mut *self.user;
        self.euicc
            .load_bound_profile_package(package, |piece, of, apdus| {
                user.progress(Progress::Loaded { piece, of }, apdus);
            })
            .map_err(|error| match error {
                // The package is halfway in: this is what the operator shall hear, not the bare status word.
                LpaError::Card(error) => LpaError::Loading(error),
                error => error,
            })
    }

    /// Cancels the session on the eUICC and on the server, as far as they still can; gives the cause back.
    fn cancel(&mut self, error: LpaError) -> LpaError {
        let reason = error.cancel_session_reason();
        self.user.progress(Progress::Cancel(reason), self.euicc.apdus());
        let transaction_id = self.session.transaction_id.clone();
        // The cause is worth more to the user than a second failure on the way out.
        if let Ok(response) = self.euicc.cancel_session(transaction_id.clone(), reason) {
            let request = es9::CancelSessionRequest { transaction_id, cancel_session_response: response };
            let _ = call(self.server, &self.order.smdp_address, &request);
        }
        error
    }

    /// Reads the eUICC's result and reports it to the server. The session is over on either side.
    fn conclude(
        &mut self,
        metadata: StoreMetadataRequest,
        result: Raw<ProfileInstallationResult>,
    ) -> Result<Installed, LpaError> {
        let decode = |cause| CardError::Response { function: "LoadBoundProfilePackage", cause };
        let data =
            result.decode().and_then(|result| result.profile_installation_result_data.decode()).map_err(decode)?;
        let notification = data.notification_metadata.decode().map_err(decode)?;
        let pending = Raw::<PendingNotification>::from_octets(result.into_octets()).map_err(decode)?;
        let delivery = deliver(self.server, &notification, &pending, Retry::default())
            .map_err(LpaError::from)
            .and_then(|()| self.euicc.remove_notification(notification.seq_number));
        let address = notification.notification_address.as_str();
        let seq_number = notification.seq_number;
        let is_reported = delivery.is_ok();
        match delivery {
            Ok(()) => {
                let event = notification.profile_management_operation;
                self.user.progress(Progress::NotificationSent { seq_number, event, address }, self.euicc.apdus());
            }
            Err(error) => {
                let cause = &error.to_string();
                self.user.progress(Progress::NotificationFailed { seq_number, address, cause }, self.euicc.apdus());
            }
        }
        match data.final_result {
            FinalResult::SuccessResult(success) => Ok(Installed {
                iccid: notification.iccid.unwrap_or_else(|| metadata.iccid.clone()),
                isdp_aid: success.aid,
                metadata,
                seq_number,
                is_reported,
                sima_response: success.sima_response.to_vec(),
            }),
            FinalResult::ErrorResult(ErrorResult { bpp_command_id, error_reason, sima_response }) => {
                Err(LpaError::Installation {
                    command: bpp_command_id,
                    reason: error_reason,
                    sima_response: sima_response.map(|response| response.to_vec()),
                })
            }
        }
    }
}

/// The package must hold the metadata the user saw. SGP.22 section 3.1.3.2
fn verify_metadata(
    package: &[u8],
    announced: &Raw<StoreMetadataRequest>,
    decoded: &StoreMetadataRequest,
) -> Result<(), LpaError> {
    let package = BoundProfilePackage::parse(package).map_err(LpaError::Package)?;
    let inside = metadata_in(&package).ok_or(LpaError::MetadataMismatch)?;
    // The same words may be written in another way.
    let is_the_same = inside == announced.octets()
        || rsp::decode::<StoreMetadataRequest>(&inside).is_ok_and(|inside| inside == *decoded);
    if is_the_same { Ok(()) } else { Err(LpaError::MetadataMismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::server::HttpResponse;
    use crate::testing::{FakeCard, FakeServer};
    use rsp::VersionType;
    use rsp::certificate::Role;
    use rsp::es8::{ControlRefTemplate, InitialiseSecureChannelRequest, RemoteOpId};
    use rsp::es9::{
        Es11AuthenticateClientResponse, GetBoundProfilePackageResponse, InitiateAuthenticationResponse, status,
    };
    use rsp::es10b::{
        AuthenticateResponseError, AuthenticateResponseOk, CancelSessionReason, CancelSessionRequest,
        CancelSessionResponse, CancelSessionResponseOk, EuiccCancelSessionSigned, GetEuiccChallengeResponse,
        PrepareDownloadResponse, PrepareDownloadResponseOk, ServerSigned1, SmdpSigned2,
    };
    use rsp::euicc_info::{EuiccInfo1, EuiccInfo2, RspCapability, UiccCapability};
    use rsp::metadata::{NotificationEvent, OperatorId, ProfileInfo};
    use rsp::notification::{
        BppCommandId, ErrorReason, NotificationMetadata, ProfileInstallationResultData, SuccessResult,
    };
    use rsp::pki::{Parameters, Pki};
    use rsp::rat::GetRatResponse;
    use std::sync::OnceLock;

    const ADDRESS: &str = "smdp.example:8443";
    const CHALLENGE: [u8; 16] = [0xC4; 16];

    fn transaction_id() -> TransactionId {
        [0xA5; 16].into()
    }

    fn pki() -> &'static Pki {
        static PKI: OnceLock<Pki> = OnceLock::new();
        PKI.get_or_init(|| {
            let mut count = 0_u64;
            let mut fill = |octets: &mut [u8]| {
                for octet in octets {
                    count += 1;
                    *octet = count.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0];
                }
            };
            let eid = "89049032123451234512345678901235".parse().unwrap();
            Pki::mint(&Parameters::new(1_767_225_600, eid), &mut fill).unwrap()
        })
    }

    fn certificate(role: Role) -> rsp::CertificateDer {
        pki().get(role).unwrap().certificate().der().clone()
    }

    fn encode<T: rasn::Encode>(value: &T) -> Vec<u8> {
        rsp::encode(value).unwrap()
    }

    fn metadata() -> StoreMetadataRequest {
        StoreMetadataRequest {
            iccid: "89000123456789012341".parse().unwrap(),
            service_provider_name: "SPN".into(),
            profile_name: "PN".into(),
            icon_type: None,
            icon: None,
            profile_class: ProfileClass::OPERATIONAL,
            notification_configuration_info: None,
            profile_owner: Some(OperatorId::new("001", "01").unwrap()),
            profile_policy_rules: None,
        }
    }

    /// A package whose StoreMetadata says `metadata`; the rest is filling.
    fn package(metadata: &StoreMetadataRequest) -> Vec<u8> {
        package_of(&encode(metadata))
    }

    fn package_of(metadata: &[u8]) -> Vec<u8> {
        let request = InitialiseSecureChannelRequest {
            remote_op_id: RemoteOpId::INSTALL_BOUND_PROFILE_PACKAGE,
            transaction_id: transaction_id(),
            control_ref_template: ControlRefTemplate::aes_128(b"host"),
            smdp_otpk: [4; 65].into(),
            smdp_sign: [0; 64].into(),
        };
        let segment = |tag: u32, contents: &[u8]| {
            apdu::tlv::Writer::new().primitive(apdu::tlv::Tag(tag), contents).as_bytes().to_vec()
        };
        let mac = [0x3A; 8];
        BoundProfilePackage::assemble(
            &Raw::encode(&request).unwrap(),
            &[segment(0x87, &[0; 24])],
            &[segment(0x88, &[metadata, &mac].concat())],
            &[],
            &[segment(0x86, &[0; 1016]), segment(0x86, &[0; 40])],
        )
    }

    fn info1() -> EuiccInfo1 {
        let ci = pki().trust_anchor().unwrap().subject_key_identifier;
        EuiccInfo1 {
            svn: VersionType::new(2, 5, 0),
            euicc_ci_pk_id_list_for_verification: vec![ci.clone()],
            euicc_ci_pk_id_list_for_signing: vec![ci],
        }
    }

    fn info2(forbidden: PprIds) -> EuiccInfo2 {
        let EuiccInfo1 { svn, euicc_ci_pk_id_list_for_verification, euicc_ci_pk_id_list_for_signing } = info1();
        EuiccInfo2 {
            profile_version: svn,
            svn,
            euicc_firmware_ver: svn,
            ext_card_resource: vec![].into(),
            uicc_capability: UiccCapability::EMPTY,
            ts102241_version: None,
            globalplatform_version: None,
            rsp_capability: RspCapability::EMPTY,
            euicc_ci_pk_id_list_for_verification,
            euicc_ci_pk_id_list_for_signing,
            euicc_category: None,
            forbidden_profile_policy_rules: Some(forbidden),
            pp_version: svn,
            sas_acreditation_number: String::new(),
            certification_data_object: None,
        }
    }

    /// How the fake eUICC differs from one with which all goes well.
    #[derive(Clone, Default)]
    struct Card {
        refuses_server: bool,
        forbidden: PprIds,
        rat: GetRatResponse,
        profiles: Vec<ProfileInfo>,
        fails_at_piece: Option<(usize, u16)>,
        installation: Option<(BppCommandId, ErrorReason)>,
    }

    impl Card {
        fn insert(self) -> Euicc<FakeCard> {
            let mut piece = 0;
            Euicc::open(FakeCard::new(move |message| self.answer(message, &mut piece)), Options::default()).unwrap()
        }

        fn answer(&self, message: &[u8], piece: &mut usize) -> (Vec<u8>, u16) {
            let signature = || rsp::Signature::from([0x51; 64]);
            let anything = || Raw::from_octets([0x30, 0x00]).unwrap();
            let answer = match message {
                [0xBF, 0x20, ..] => encode(&info1()),
                [0xBF, 0x22, ..] => encode(&info2(self.forbidden)),
                [0xBF, 0x2E, ..] => {
                    encode(&GetEuiccChallengeResponse { euicc_challenge: FixedOctetString::new(CHALLENGE) })
                }
                [0xBF, 0x43, ..] => encode(&self.rat),
                [0xBF, 0x2D, ..] => {
                    encode(&rsp::es10c::ProfileInfoListResponse::ProfileInfoListOk(self.profiles.clone()))
                }
                [0xBF, 0x38, ..] if self.refuses_server => {
                    encode(&AuthenticateServerResponse::AuthenticateResponseError(AuthenticateResponseError {
                        transaction_id: transaction_id(),
                        authenticate_error_code: rsp::es10b::AuthenticateErrorCode::CI_PK_UNKNOWN,
                    }))
                }
                [0xBF, 0x38, ..] => {
                    encode(&AuthenticateServerResponse::AuthenticateResponseOk(AuthenticateResponseOk {
                        euicc_signed1: Raw::from_octets([0x30, 0x00]).unwrap(),
                        euicc_signature1: signature(),
                        euicc_certificate: anything(),
                        eum_certificate: anything(),
                    }))
                }
                [0xBF, 0x21, ..] => encode(&PrepareDownloadResponse::DownloadResponseOk(PrepareDownloadResponseOk {
                    euicc_signed2: Raw::from_octets([0x30, 0x00]).unwrap(),
                    euicc_signature2: signature(),
                })),
                [0xBF, 0x41, ..] => {
                    let CancelSessionRequest { transaction_id, reason } = rsp::decode(message).unwrap();
                    let signed =
                        EuiccCancelSessionSigned { transaction_id, smdp_oid: [0x88, 0x37, 0x0A].into(), reason };
                    encode(&CancelSessionResponse::CancelSessionResponseOk(CancelSessionResponseOk {
                        euicc_cancel_session_signed: Raw::encode(&signed).unwrap(),
                        euicc_cancel_session_signature: signature(),
                    }))
                }
                [0xBF, 0x30, ..] => vec![0xBF, 0x30, 0x03, 0x80, 0x01, 0x00],
                [0xBF, 0x36, ..] | [0xA0 | 0xA1 | 0xA3 | 0x86 | 0x88, ..] => {
                    *piece += 1;
                    match self.fails_at_piece {
                        Some((at, sw)) if at == *piece => return (vec![], sw),
                        _ if *piece == 7 || self.installation.is_some() => self.result(),
                        _ => vec![],
                    }
                }
                other => panic!("{other:02X?}"),
            };
            (answer, 0x9000)
        }

        fn result(&self) -> Vec<u8> {
            let final_result = match self.installation {
                None => FinalResult::SuccessResult(SuccessResult {
                    aid: rsp::ids::AID_ISD_P_FIRST.into(),
                    sima_response: vec![].into(),
                }),
                Some((bpp_command_id, error_reason)) => {
                    FinalResult::ErrorResult(ErrorResult { bpp_command_id, error_reason, sima_response: None })
                }
            };
            let notification = NotificationMetadata {
                seq_number: 7,
                profile_management_operation: NotificationEvent::INSTALL,
                notification_address: ADDRESS.into(),
                iccid: Some(metadata().iccid),
            };
            let data = ProfileInstallationResultData {
                transaction_id: transaction_id(),
                notification_metadata: Raw::encode(&notification).unwrap(),
                smdp_oid: [0x88, 0x37, 0x0A].into(),
                final_result,
            };
            encode(&ProfileInstallationResult {
                profile_installation_result_data: Raw::encode(&data).unwrap(),
                euicc_sign_pir: [0; 64].into(),
            })
        }
    }

    /// How the fake server differs from one with which all goes well.
    #[derive(Clone)]
    struct Server {
        address: &'static str,
        challenge: [u8; 16],
        metadata: StoreMetadataRequest,
        packaged: StoreMetadataRequest,
        binds_with: Role,
        confirmation_code: Option<&'static str>,
        events: Option<Vec<EventEntry>>,
        refuses: Option<(&'static str, rsp::es9::Status)>,
        takes_notifications: bool,
    }

    impl Default for Server {
        fn default() -> Self {
            Self {
                address: ADDRESS,
                challenge: CHALLENGE,
                metadata: metadata(),
                packaged: metadata(),
                binds_with: Role::DpPb,
                confirmation_code: None,
                events: None,
                refuses: None,
                takes_notifications: true,
            }
        }
    }

    impl Server {
        fn start(self) -> FakeServer {
            FakeServer::new(move |path, body| self.answer(path, body))
        }

        fn answer(&self, path: &str, body: &str) -> HttpResponse {
            let ok = |body: String| HttpResponse { status: 200, body: body.into() };
            if let Some((function, status)) = self.refuses
                && path.ends_with(function)
            {
                return ok(rsp::es9::failure(&status.into()));
            }
            let signature = Raw::encode(&rsp::Signature::from([0x52; 64])).unwrap();
            let transaction_id = transaction_id();
            match path.rsplit('/').next().unwrap() {
                "initiateAuthentication" => {
                    let signed = ServerSigned1 {
                        transaction_id: transaction_id.clone(),
                        euicc_challenge: FixedOctetString::new(self.challenge),
                        server_address: self.address.into(),
                        server_challenge: FixedOctetString::new([1; 16]),
                    };
                    ok(rsp::es9::success(&InitiateAuthenticationResponse {
                        transaction_id,
                        server_signed1: Raw::encode(&signed).unwrap(),
                        server_signature1: signature,
                        euicc_ci_pk_id_to_be_used: Raw::encode(&pki().trust_anchor().unwrap().subject_key_identifier)
                            .unwrap(),
                        server_certificate: certificate(Role::DpAuth),
                    }))
                }
                "authenticateClient" if self.events.is_some() => {
                    let event_entries = self.events.clone().unwrap();
                    ok(rsp::es9::success(&Es11AuthenticateClientResponse { transaction_id, event_entries }))
                }
                "authenticateClient" => {
                    let signed = SmdpSigned2 {
                        transaction_id: transaction_id.clone(),
                        cc_required_flag: self.confirmation_code.is_some(),
                        bpp_euicc_otpk: None,
                    };
                    ok(rsp::es9::success(&AuthenticateClientResponse {
                        transaction_id,
                        profile_metadata: Raw::encode(&self.metadata).unwrap(),
                        smdp_signed2: Raw::encode(&signed).unwrap(),
                        smdp_signature2: signature,
                        smdp_certificate: certificate(self.binds_with),
                    }))
                }
                "getBoundProfilePackage" => ok(rsp::es9::success(&GetBoundProfilePackageResponse {
                    transaction_id,
                    bound_profile_package: Base64(package(&self.packaged)),
                })),
                "handleNotification" => {
                    assert!(body.contains("pendingNotification"));
                    HttpResponse { status: if self.takes_notifications { 204 } else { 404 }, body: vec![] }
                }
                "cancelSession" => ok(rsp::es9::success(&rsp::es9::Empty {})),
                other => panic!("{other}"),
            }
        }
    }

    /// A user with an answer and some confirmation codes, who notes what happens.
    struct Person {
        decision: Decision,
        codes: Vec<&'static str>,
        offered_rules: Option<PprIds>,
        cancelled: Option<CancelSessionReason>,
        pieces: usize,
        apdus: u64,
    }

    impl Default for Person {
        fn default() -> Self {
            let (codes, decision) = (vec![], Decision::Accept);
            Self { decision, codes, offered_rules: None, cancelled: None, pieces: 0, apdus: 0 }
        }
    }

    impl User for Person {
        fn progress(&mut self, event: Progress<'_>, apdus: u64) {
            assert!(apdus >= self.apdus, "the count only grows");
            self.apdus = apdus;
            match event {
                Progress::Cancel(reason) => self.cancelled = Some(reason),
                Progress::Loaded { piece, .. } => self.pieces = piece,
                _ => {}
            }
        }

        fn consent(&mut self, offer: Offer<'_>) -> Decision {
            self.offered_rules = Some(offer.rules_to_agree_to);
            self.decision
        }

        fn confirmation_code(&mut self, _: bool) -> Option<String> {
            self.codes.pop().map(Into::into)
        }
    }

    fn order() -> Order {
        Order::from(&"LPA:1$smdp.example:8443$MATCHING-ID$2.999.10".parse::<ActivationCode>().unwrap())
    }

    /// Runs a download; result, functions the server was asked, and the reason of the cancellation.
    fn run(card: Card, server: Server, person: &mut Person) -> (Result<Installed, LpaError>, Vec<String>) {
        run_order(card, server, person, &order())
    }

    fn run_order(
        card: Card,
        server: Server,
        person: &mut Person,
        order: &Order,
    ) -> (Result<Installed, LpaError>, Vec<String>) {
        let (mut euicc, mut server) = (card.insert(), server.start());
        let result = download(&mut euicc, &mut server, order, person);
        // What is cancelled on the eUICC is cancelled on the server.
        let cancelled = euicc.isd_r().transport().messages.iter().any(|message| message.starts_with(&[0xBF, 0x41]));
        assert_eq!(cancelled, person.cancelled.is_some());
        assert_eq!(cancelled, server.functions().contains(&"cancelSession"));
        (result, server.functions().into_iter().map(Into::into).collect())
    }

    const THREE: [&str; 3] = ["initiateAuthentication", "authenticateClient", "getBoundProfilePackage"];

    #[test]
    fn all_goes_well() {
        let mut person = Person::default();
        let (result, asked) = run(Card::default(), Server::default(), &mut person);
        let installed = result.unwrap();
        assert_eq!(installed.iccid.to_string(), "89000123456789012341");
        assert_eq!((installed.seq_number, installed.is_reported), (7, true));
        assert_eq!(asked, [&THREE[..], &["handleNotification"]].concat());
        assert_eq!((person.pieces, person.offered_rules), (7, Some(PprIds::EMPTY)));
    }

    #[test]
    fn an_unreported_installation_is_still_one() {
        let server = Server { takes_notifications: false, ..Server::default() };
        let (result, _) = run(Card::default(), server, &mut Person::default());
        assert!(!result.unwrap().is_reported);
    }

    /// Before the eUICC knows the server there is nothing to cancel.
    #[test]
    fn a_server_that_is_another() {
        let fails = |server: Server, order: &Order| {
            let (result, asked) = run_order(Card::default(), server, &mut Person::default(), order);
            assert_eq!(asked, ["initiateAuthentication"]);
            result.unwrap_err().to_string()
        };
        let server = Server { address: "other.example", ..Server::default() };
        assert!(fails(server, &order()).contains("smdp.example:8443 speaks for other.example"));
        let upper_case = Server { address: "SMDP.example:8443", ..Server::default() };
        assert!(run(Card::default(), upper_case, &mut Person::default()).0.is_ok());
        let server = Server { challenge: [0; 16], ..Server::default() };
        assert!(fails(server, &order()).contains("another challenge"));
        let order = Order { smdp_oid: Some("2.999.12".parse().unwrap()), ..order() };
        assert!(fails(Server::default(), &order).contains("OID 2.999.10, the activation code asks for 2.999.12"));
    }

    #[test]
    fn an_address_that_is_none() {
        let order = Order::new("https://smdp.example", None);
        let (result, asked) = run_order(Card::default(), Server::default(), &mut Person::default(), &order);
        assert!(matches!(result, Err(LpaError::Server(ServerError::Address(_)))));
        assert_eq!(asked, Vec::<String>::new());
    }

    /// The eUICC's refusal is passed on, and reported.
    #[test]
    fn a_card_that_refuses_the_server() {
        let card = Card { refuses_server: true, ..Card::default() };
        let (result, asked) = run(card, Server::default(), &mut Person::default());
        assert_eq!(
            result.unwrap_err().to_string(),
            "the server uses a CI this eUICC does not know; they do not fit together \
             (AuthenticateServer: ciPKUnknown(7))"
        );
        assert_eq!(asked, ["initiateAuthentication", "authenticateClient"]);
    }

    #[test]
    fn a_server_that_refuses_is_cancelled() {
        let server = Server { refuses: Some(("authenticateClient", status::MATCHING_ID_REFUSED)), ..Server::default() };
        let mut person = Person::default();
        let (result, asked) = run(Card::default(), server, &mut person);
        assert!(matches!(result, Err(LpaError::Server(ServerError::Refused(_)))));
        assert_eq!(person.cancelled, Some(CancelSessionReason::UNDEFINED_REASON));
        assert_eq!(asked, ["initiateAuthentication", "authenticateClient", "cancelSession"]);
    }

    #[test]
    fn the_user_decides() {
        for (decision, reason, error) in [
            (Decision::Reject, CancelSessionReason::END_USER_REJECTION, LpaError::Rejected),
            (Decision::Postpone, CancelSessionReason::POSTPONED, LpaError::Postponed),
            (Decision::Timeout, CancelSessionReason::TIMEOUT, LpaError::TimedOut),
        ] {
            let mut person = Person { decision, ..Person::default() };
            let (result, _) = run(Card::default(), Server::default(), &mut person);
            assert_eq!((result, person.cancelled), (Err(error), Some(reason)));
        }
    }

    #[test]
    fn policy_rules() {
        let with = |rules: PprIds| {
            let metadata = StoreMetadataRequest { profile_policy_rules: Some(rules), ..metadata() };
            Server { metadata: metadata.clone(), packaged: metadata, ..Server::default() }
        };
        let allows = Card { rat: GetRatResponse::any_operator_with_consent(), ..Card::default() };
        let mut person = Person::default();
        run(allows.clone(), with(PprIds::PPR1 | PprIds::UPDATE_CONTROL), &mut person).0.unwrap();
        assert_eq!(person.offered_rules, Some(PprIds::PPR1));

        let refused = |card: Card, rules: PprIds| {
            let mut person = Person::default();
            let (result, _) = run(card, with(rules), &mut person);
            assert_eq!(person.cancelled, Some(CancelSessionReason::PPR_NOT_ALLOWED));
            assert_eq!(person.offered_rules, None, "nobody was asked");
            result.unwrap_err()
        };
        assert_eq!(refused(Card::default(), PprIds::PPR2), LpaError::PolicyRules(PprIds::PPR2));
        let forbids = Card { forbidden: PprIds::PPR1, ..allows.clone() };
        assert_eq!(refused(forbids, PprIds::PPR1), LpaError::PolicyRules(PprIds::PPR1));
        let has_one = Card { profiles: vec![ProfileInfo::default()], ..allows };
        assert_eq!(refused(has_one, PprIds::PPR1), LpaError::NotTheOnlyProfile);
    }

    #[test]
    fn confirmation_codes() {
        let server = Server { confirmation_code: Some("1234"), ..Server::default() };
        let mut person = Person::default();
        let (result, _) = run(Card::default(), server.clone(), &mut person);
        assert_eq!(result, Err(LpaError::ConfirmationCodeMissing));
        assert_eq!(person.cancelled, Some(CancelSessionReason::POSTPONED));

        let order = Order { confirmation_code: Some(String::from("1234").into()), ..order() };
        assert!(!format!("{order:?}").contains("1234"));
        let (mut euicc, mut fake) = (Card::default().insert(), server.clone().start());
        download(&mut euicc, &mut fake, &order, &mut Person::default()).unwrap();
        let prepare = euicc.isd_r().transport().messages.iter().find(|message| message.starts_with(&[0xBF, 0x21]));
        let prepare: PrepareDownloadRequest = rsp::decode(prepare.unwrap()).unwrap();
        assert_eq!(*prepare.hash_cc.unwrap(), hash_cc("1234", transaction_id().octets()));

        // The server refuses every code; the user has two more.
        let refusing =
            Server { refuses: Some(("getBoundProfilePackage", status::CONFIRMATION_CODE_REFUSED)), ..server };
        let mut person = Person { codes: vec!["3", "2"], ..Person::default() };
        let (result, asked) = run_order(Card::default(), refusing, &mut person, &order);
        assert!(matches!(result, Err(LpaError::Server(ServerError::Refused(_)))));
        assert_eq!(asked.iter().filter(|function| *function == THREE[2]).count(), 3);
    }

    #[test]
    fn a_package_with_another_profile_is_not_loaded() {
        let packaged = StoreMetadataRequest { profile_name: "Another".into(), ..metadata() };
        let mut person = Person::default();
        let (result, _) = run(Card::default(), Server { packaged, ..Server::default() }, &mut person);
        assert_eq!(result, Err(LpaError::MetadataMismatch));
        assert_eq!((person.cancelled, person.pieces), (Some(CancelSessionReason::METADATA_MISMATCH), 0));
    }

    /// `profileClass` is DEFAULT operational: said or not said, in either place, is the same. X.690 section 11.5
    #[test]
    fn a_default_that_is_written_makes_no_other_profile() {
        let announced = Raw::encode(&metadata()).unwrap();
        let body = announced.contents();
        let (before_owner, owner) = body.split_at(body.len() - 7);
        assert_eq!(owner[0], 0xB7);
        let class = |code: u8| {
            let body = [before_owner, &[0x95, 1, code], owner].concat();
            apdu::tlv::Writer::new().primitive(apdu::tlv::Tag(0xBF25), &body).as_bytes().to_vec()
        };
        let said = Raw::<StoreMetadataRequest>::from_octets(class(2)).unwrap();
        assert_eq!(verify_metadata(&package_of(&class(2)), &announced, &metadata()), Ok(()));
        assert_eq!(verify_metadata(&package_of(announced.octets()), &said, &said.decode().unwrap()), Ok(()));
        let other = verify_metadata(&package_of(&class(0)), &announced, &metadata());
        assert_eq!(other, Err(LpaError::MetadataMismatch));
    }

    #[test]
    fn two_servers_in_one_session() {
        let server = Server { binds_with: Role::Eum, ..Server::default() };
        let (result, _) = run(Card::default(), server, &mut Person::default());
        assert_eq!(result, Err(LpaError::Inconsistent("its two certificates have different OIDs")));
    }

    #[test]
    fn a_piece_that_is_refused() {
        let card = Card { fails_at_piece: Some((3, 0x6985)), ..Card::default() };
        let mut person = Person::default();
        let (result, _) = run(card, Server::default(), &mut person);
        assert_eq!(
            result.unwrap_err().to_string(),
            "the download broke off: the eUICC refused LoadBoundProfilePackage: 6985, this is not possible now; reset \
             the card and start the procedure again"
        );
        assert_eq!(person.cancelled, Some(CancelSessionReason::LOAD_BPP_EXECUTION_ERROR));
        assert_eq!(person.pieces, 2);
    }

    /// An installation that failed has ended the session: nothing to cancel, but it is reported.
    #[test]
    fn an_installation_that_fails() {
        let failure = (BppCommandId::STORE_METADATA, ErrorReason::ICCID_ALREADY_EXISTS_ON_EUICC);
        let card = Card { installation: Some(failure), ..Card::default() };
        let mut person = Person::default();
        let (result, asked) = run(card, Server::default(), &mut person);
        assert!(result.unwrap_err().to_string().contains("a profile with this ICCID is installed already"));
        assert_eq!(person.cancelled, None);
        assert_eq!(asked, [&THREE[..], &["handleNotification"]].concat());
    }

    /// An event found at an SM-DS becomes the order of a download.
    #[test]
    fn events_of_an_sm_ds() {
        let event = EventEntry { event_id: "E-1".into(), rsp_server_address: ADDRESS.into() };
        let server = Server { events: Some(vec![event.clone()]), ..Server::default() };
        let mut euicc = Card::default().insert();
        let ds = Order::new(ADDRESS, None);
        let found = crate::discovery::discover(&mut euicc, &mut server.start(), &ds, &mut Person::default()).unwrap();
        assert_eq!(found, [event]);
        let (result, _) =
            run_order(Card::default(), Server::default(), &mut Person::default(), &Order::from(&found[0]));
        result.unwrap();
    }

    #[test]
    fn default_servers() {
        let addresses = |default: Option<&str>| EuiccConfiguredAddressesResponse {
            default_dp_address: default.map(Into::into),
            root_ds_address: "lpa.ds.gsma.com".into(),
        };
        assert_eq!(Order::of_default_smdp(&addresses(None)), Err(LpaError::NoServerAddress));
        assert_eq!(Order::of_default_smdp(&addresses(Some(""))), Err(LpaError::NoServerAddress));
        assert_eq!(Order::of_default_smdp(&addresses(Some("a.b"))).unwrap().matching_id, None);
    }
}
