//! Downloading a profile. SGP.22 §3.0.1 and §3.1.3
//!
//! The LPA's own checks: the server answers for the address used, its OID is that of the activation code, its answers
//! belong to the session, the policy rules are allowed here and agreed to, the package contains the agreed profile,
//! certificates are valid (the eUICC has no clock), the download ends in time, and every answer of eUICC and server
//! names this session and this profile. A failure after the eUICC has a session cancels it, with the reason, on both
//! sides.

use core::fmt;

use apdu::Transport;
use crypto::confirmation::hash_cc;
use es10::segmentation::segments;
use es10::{CardError, Es10Function, Euicc};
use identities::Iccid;
use rasn::types::FixedOctetString;
use rsp::activation_code::{ActivationCode, is_server_address};
use rsp::certificate::{Certificate, Role};
use rsp::es8::{BoundProfilePackage, InitialiseSecureChannelRequest, StoreMetadataRequest};
use rsp::es9::{
    AuthenticateClientRequest, AuthenticateClientResponse, Base64, EventEntry, Function, GetBoundProfilePackageRequest,
    InitiateAuthenticationRequest, InitiateAuthenticationResponse,
};
use rsp::es10a::EuiccConfiguredAddressesResponse;
use rsp::es10b::{
    AuthenticateServerRequest, AuthenticateServerResponse, CtxParams1, CtxParamsForCommonAuthentication,
    DeviceCapabilities, DeviceInfo, GetEuiccChallengeRequest, PrepareDownloadRequest, PrepareDownloadResponse,
    ServerSigned1,
};
use rsp::euicc_info::GetEuiccInfo1Request;
use rsp::metadata::{NotificationEvent, PprIds, ProfileClass, access_rules};
use rsp::notification::{
    ErrorResult, FinalResult, NotificationMetadata, PendingNotification, ProfileInstallationResult,
    ProfileInstallationResultData,
};
use rsp::rat::Authorisation;
use rsp::{DecodeError, IsdpAid, Oid, Raw, TransactionId, es9};
use zeroize::Zeroizing;

use crate::checks::{Checks, Deadline, verify_signer, verify_tls};
use crate::error::{LpaError, ServerError};
use crate::notification::{Retry, deliver};
use crate::server::{Es9Client, call, name};
use crate::user::{Decision, Offer, Progress, User};

/// What the subscriber gets from the operator besides the activation code. Not printed, zeroized when dropped.
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

/// Which profile to download, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Host name of the SM-DP+, optionally with a port.
    pub smdp_address: String,
    /// Which profile; absent if the SM-DP+ identifies the eUICC.
    pub matching_id: Option<String>,
    /// The OID of the SM-DP+ that must answer.
    pub smdp_oid: Option<Oid>,
    /// Given in advance, so that the user need not be asked.
    pub confirmation_code: Option<ConfirmationCode>,
    /// The device the LPA runs on.
    pub device: DeviceInfo,
}

impl Order {
    /// As a default or discovered server is contacted.
    pub fn new(smdp_address: &str, matching_id: Option<String>) -> Self {
        let smdp_address = smdp_address.into();
        Self { smdp_address, matching_id, smdp_oid: None, confirmation_code: None, device: this_device() }
    }

    /// The profile that the eUICC's default SM-DP+ has for it.
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

/// An installed profile, disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its ICCID.
    pub iccid: Iccid,
    /// AID of the ISD-P that holds it.
    pub isdp_aid: IsdpAid,
    /// The server's metadata.
    pub metadata: StoreMetadataRequest,
    /// Number of the notification that reports it.
    pub seq_number: u64,
    /// Whether the server has that notification; otherwise it is pending on the eUICC.
    pub is_reported: bool,
    /// `EUICCResponse` of the profile interpreter, DER: skipped elements, if any.
    pub sima_response: Vec<u8>,
}

/// Downloads and installs a profile, and reports it to the server.
pub fn download<T: Transport>(
    euicc: &mut Euicc<T>,
    server: &mut dyn Es9Client,
    order: &Order,
    checks: &Checks,
    user: &mut dyn User,
) -> Result<Installed, LpaError> {
    let deadline = Deadline::start(checks.limit);
    deadline.tell(server);
    let session = match authenticate(euicc, server, order, checks, Role::DpAuth, user) {
        Ok(session) => session,
        Err(error) => {
            server.until(None);
            return Err(error);
        }
    };
    let mut procedure = Procedure { euicc, server, order, checks, user, session, deadline };
    let (metadata, package) = match procedure.fetch() {
        Ok(fetched) => fetched,
        Err(error) => return Err(procedure.cancel(error)),
    };
    let result = match procedure.load(&package) {
        Ok(result) => result,
        Err(error) => return Err(procedure.cancel(error)),
    };
    let installed = procedure.conclude(metadata, result);
    procedure.server.until(None);
    installed
}

/// A session in which eUICC and server are mutually authenticated.
pub(crate) struct Session {
    pub(crate) transaction_id: TransactionId,
    /// For the server's AuthenticateClient.
    pub(crate) authenticate_server_response: Raw<AuthenticateServerResponse>,
    server_oid: Option<Oid>,
    server_signed: ServerSigned1,
    ctx_params1: CtxParams1,
}

/// Mutual authentication of eUICC and a server that signs as `kind`: [`Role::DpAuth`] or [`Role::DsAuth`]. SGP.22
/// §3.0.1
pub(crate) fn authenticate<T: Transport>(
    euicc: &mut Euicc<T>,
    server: &mut dyn Es9Client,
    order: &Order,
    checks: &Checks,
    kind: Role,
    user: &mut dyn User,
) -> Result<Session, LpaError> {
    let address = order.smdp_address.as_str();
    if !is_server_address(address) {
        return Err(ServerError::Address(address.into()).into());
    }
    user.progress(Progress::Card(GetEuiccInfo1Request::NAME), euicc.apdus());
    let euicc_info1 = euicc.info1()?;
    user.progress(Progress::Card(GetEuiccChallengeRequest::NAME), euicc.apdus());
    let challenge = euicc.challenge()?;
    let request = InitiateAuthenticationRequest {
        euicc_challenge: Base64(challenge.to_vec()),
        euicc_info1,
        smdp_address: address.into(),
    };
    ask::<InitiateAuthenticationRequest, T>(euicc, user, address);
    let answer = call(server, address, &request)?;

    let (signed, certificate) = verify_answer(&answer, &challenge, order, kind)?;
    verify_tls(server, &certificate, kind)?;
    checks.verify_validity(&certificate)?;

    let ctx_params1 = CtxParams1::CtxParamsForCommonAuthentication(CtxParamsForCommonAuthentication {
        matching_id: order.matching_id.clone(),
        device_info: order.device.clone(),
    });
    let decode = |error: DecodeError| malformed(address, &error);
    let request = AuthenticateServerRequest {
        server_signature1: answer.server_signature1.decode().map_err(decode)?,
        euicc_ci_pk_id_to_be_used: answer.euicc_ci_pk_id_to_be_used.decode().map_err(decode)?,
        server_signed1: answer.server_signed1,
        server_certificate: answer.server_certificate,
        ctx_params1: Raw::encode(&ctx_params1)?,
    };
    user.progress(Progress::Card(AuthenticateServerRequest::NAME), euicc.apdus());
    let (response, outcome) = euicc.authenticate_server(&request)?;
    let session = Session {
        transaction_id: answer.transaction_id,
        authenticate_server_response: response,
        server_oid: certificate.oid().ok().cloned(),
        server_signed: signed,
        ctx_params1,
    };
    if let Err(refusal) = outcome {
        // The eUICC has no session to cancel; its error, passed on, ends the server's.
        let _ = call(server, address, &session.authenticate_client());
        return Err(refusal.into());
    }
    Ok(session)
}

/// What the server signed is for this session, and it is the server that was asked for.
fn verify_answer(
    answer: &InitiateAuthenticationResponse,
    challenge: &FixedOctetString<16>,
    order: &Order,
    kind: Role,
) -> Result<(ServerSigned1, Certificate), LpaError> {
    let address = order.smdp_address.as_str();
    let signed = answer.server_signed1.decode().map_err(|error| malformed(address, &error))?;
    let certificate =
        Certificate::parse(answer.server_certificate.octets()).map_err(|error| malformed(address, &error))?;
    if signed.transaction_id != answer.transaction_id {
        return Err(LpaError::Inconsistent("it signed another transactionId than it announced"));
    }
    if signed.euicc_challenge != *challenge {
        return Err(LpaError::Inconsistent("it signed another challenge than the eUICC's"));
    }
    if !signed.server_address.eq_ignore_ascii_case(address) {
        return Err(LpaError::ServerAddress { asked: address.into(), answered: signed.server_address });
    }
    verify_signer(&certificate, kind)?;
    let server_oid = certificate.oid().ok();
    if let Some(expected) = &order.smdp_oid
        && server_oid != Some(expected)
    {
        let dotted = |oid: Option<&Oid>| oid.and_then(Oid::dotted).unwrap_or_else(|| "none".into());
        let (expected, answered) = (dotted(Some(expected)), dotted(server_oid));
        return Err(LpaError::ServerOid { expected, answered });
    }
    Ok((signed, certificate))
}

fn malformed(address: &str, cause: &dyn fmt::Display) -> ServerError {
    ServerError::Malformed { address: address.into(), cause: cause.to_string() }
}

impl Session {
    pub(crate) fn authenticate_client(&self) -> AuthenticateClientRequest {
        AuthenticateClientRequest {
            transaction_id: self.transaction_id.clone(),
            authenticate_server_response: self.authenticate_server_response.clone(),
        }
    }

    /// The eUICC signed for this session and this server, with the given values.
    pub(crate) fn verify(&self) -> Result<(), LpaError> {
        let decode = |cause| CardError::Response { function: AuthenticateServerRequest::NAME, cause };
        let AuthenticateServerResponse::AuthenticateResponseOk(response) =
            self.authenticate_server_response.decode().map_err(decode)?
        else {
            return Ok(());
        };
        let signed = response.euicc_signed1.decode().map_err(decode)?;
        if signed.transaction_id != self.transaction_id {
            return Err(LpaError::Foreign("it signed another transactionId"));
        }
        if signed.server_challenge != self.server_signed.server_challenge {
            return Err(LpaError::Foreign("it signed another challenge than the server's"));
        }
        if !signed.server_address.eq_ignore_ascii_case(&self.server_signed.server_address) {
            return Err(LpaError::Foreign("it signed for another server"));
        }
        if signed.ctx_params1.decode().map_err(decode)? != self.ctx_params1 {
            return Err(LpaError::Foreign("it signed another matchingId or device than it was given"));
        }
        Ok(())
    }
}

/// Tells the user that a server is being contacted.
pub(crate) fn ask<F: Function, T: Transport>(euicc: &Euicc<T>, user: &mut dyn User, address: &str) {
    user.progress(Progress::Server { function: name::<F>(), address }, euicc.apdus());
}

/// A download after mutual authentication.
struct Procedure<'a, T> {
    euicc: &'a mut Euicc<T>,
    server: &'a mut dyn Es9Client,
    order: &'a Order,
    checks: &'a Checks,
    user: &'a mut dyn User,
    session: Session,
    deadline: Deadline,
}

impl<T: Transport> Procedure<'_, T> {
    /// From the profile offer to the package.
    fn fetch(&mut self) -> Result<(StoreMetadataRequest, Vec<u8>), LpaError> {
        let address = self.order.smdp_address.as_str();
        self.session.verify()?;
        self.deadline.verify()?;
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
        verify_signer(&certificate, Role::DpPb)?;
        if certificate.oid().ok() != self.session.server_oid.as_ref() {
            return Err(LpaError::Inconsistent("its two certificates have different OIDs"));
        }
        verify_tls(self.server, &certificate, Role::DpAuth)?;
        self.checks.verify_validity(&certificate)?;
        self.user.progress(Progress::Metadata(&metadata), self.euicc.apdus());
        let rules_to_agree_to = self.rules_to_agree_to(&metadata)?;
        let confirmation_code_required = signed.cc_required_flag;
        let offered = Offer { metadata: &metadata, rules_to_agree_to, confirmation_code_required };
        let decision = self.deadline.pausing(|| self.user.consent(offered));
        self.deadline.tell(self.server);
        match decision {
            Decision::Accept => {}
            Decision::Reject => return Err(LpaError::Rejected),
            Decision::Postpone => return Err(LpaError::Postponed),
            Decision::Timeout => return Err(LpaError::TimedOut),
        }
        let package = self.bound_profile_package(&offer, confirmation_code_required)?;
        verify_package(&package, &self.session.transaction_id)?;
        verify_metadata(&package, &offer.profile_metadata, &metadata)?;
        Ok((metadata, package))
    }

    /// Checks the policy rules of a profile; returns those the user has to agree to. SGP.22 §2.9.3
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

    /// PrepareDownload and GetBoundProfilePackage; repeated as long as the user has other confirmation codes.
    fn bound_profile_package(
        &mut self,
        offer: &AuthenticateClientResponse,
        confirmation_code_required: bool,
    ) -> Result<Vec<u8>, LpaError> {
        let address = self.order.smdp_address.as_str();
        // One without a character is none.
        let mut given = self.order.confirmation_code.clone().filter(|code| !code.0.is_empty());
        let mut refusal = None;
        loop {
            let mut hash = None;
            if confirmation_code_required {
                let user = &mut *self.user;
                let asked = || {
                    let code = user.confirmation_code(refusal.is_some()).filter(|code| !code.is_empty());
                    code.map(ConfirmationCode::from)
                };
                let code = given.take().or_else(|| self.deadline.pausing(asked));
                self.deadline.tell(self.server);
                let Some(code) = code else {
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
            self.deadline.verify()?;
            self.user.progress(Progress::Card(PrepareDownloadRequest::NAME), self.euicc.apdus());
            let prepared = self.euicc.prepare_download(&request)?;
            verify_prepared(&prepared, &request, &self.session.transaction_id)?;
            let request = GetBoundProfilePackageRequest {
                transaction_id: self.session.transaction_id.clone(),
                prepare_download_response: prepared,
            };
            ask::<GetBoundProfilePackageRequest, T>(self.euicc, self.user, address);
            match call(self.server, address, &request) {
                Ok(answer) if answer.transaction_id != self.session.transaction_id => {
                    return Err(LpaError::Inconsistent("its package is announced for another transactionId"));
                }
                Ok(answer) => return Ok(answer.bound_profile_package.0),
                Err(error) if confirmation_code_required && error.is_wrong_confirmation_code() => {
                    refusal = Some(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn load(&mut self, package: &[u8]) -> Result<Raw<ProfileInstallationResult>, LpaError> {
        self.user.progress(Progress::Card(BoundProfilePackage::NAME), self.euicc.apdus());
        let (user, deadline) = (&mut *self.user, self.deadline);
        let result = self
            .euicc
            .load_bound_profile_package(&segments(package).map_err(LpaError::Package)?, |piece, of, apdus| {
                user.progress(Progress::Loaded { piece, of }, apdus);
                deadline.verify()
            })
            .map_err(|error| match error {
                // The package is partly loaded: the operator needs this result, not the bare status word.
                LpaError::Card(error) => LpaError::Loading(error),
                error => error,
            })?;
        result.ok_or(LpaError::NoResult)
    }

    /// Cancels the session on the eUICC and on the server, if possible; returns the cause.
    fn cancel(&mut self, error: LpaError) -> LpaError {
        let reason = error.cancel_session_reason();
        self.user.progress(Progress::Cancel(reason), self.euicc.apdus());
        let transaction_id = self.session.transaction_id.clone();
        self.deadline.farewell(self.server);
        // The cause matters more to the user than a second failure while cancelling.
        if let Ok(response) = self.euicc.cancel_session(transaction_id.clone(), reason) {
            let request = es9::CancelSessionRequest { transaction_id, cancel_session_response: response };
            let _ = call(self.server, &self.order.smdp_address, &request);
        }
        self.server.until(None);
        error
    }

    /// The result is of this session, of this server, and of the agreed profile.
    fn verify_result(
        &self,
        data: &ProfileInstallationResultData,
        notification: &NotificationMetadata,
        metadata: &StoreMetadataRequest,
    ) -> Result<(), LpaError> {
        if data.transaction_id != self.session.transaction_id {
            return Err(LpaError::Foreign("its result is of another transactionId"));
        }
        if self.session.server_oid.as_ref().is_some_and(|oid| *oid != data.smdp_oid) {
            return Err(LpaError::Foreign("its result is for the OID of another server"));
        }
        if notification.iccid.as_ref().is_some_and(|iccid| *iccid != metadata.iccid) {
            return Err(LpaError::Foreign("its result is of a profile with another ICCID"));
        }
        if notification.profile_management_operation != NotificationEvent::INSTALL {
            return Err(LpaError::Foreign("its result is of something else than an installation"));
        }
        Ok(())
    }

    /// Reads the eUICC's result and reports it to the server. The session is over on both sides.
    fn conclude(
        &mut self,
        metadata: StoreMetadataRequest,
        result: Raw<ProfileInstallationResult>,
    ) -> Result<Installed, LpaError> {
        let decode = |cause| CardError::Response { function: BoundProfilePackage::NAME, cause };
        let data =
            result.decode().and_then(|result| result.profile_installation_result_data.decode()).map_err(decode)?;
        let notification = data.notification_metadata.decode().map_err(decode)?;
        // A result of another session stays on the eUICC, for `notification process` and its server to judge.
        self.verify_result(&data, &notification, &metadata)?;
        let pending = Raw::<PendingNotification>::from_octets(result.into_octets()).map_err(decode)?;
        let (user, apdus) = (&mut *self.user, self.euicc.apdus());
        let (retry, deadline) = (Retry::default(), Deadline::start(self.checks.report_limit));
        let tell = &mut |event: Progress<'_>| user.progress(event, apdus);
        let delivery = deliver(self.server, &notification, &pending, retry, deadline, tell)
            .map_err(LpaError::from)
            .and_then(|()| Ok(self.euicc.remove_notification(notification.seq_number)?));
        let address = notification.notification_address.as_str();
        let seq_number = notification.seq_number;
        let is_reported = delivery.is_ok();
        match delivery {
            Ok(()) => {
                let event = notification.profile_management_operation;
                self.user.progress(Progress::NotificationSent { seq_number, event, address }, self.euicc.apdus());
            }
            Err(error) => {
                let event = Progress::NotificationFailed { seq_number, address, cause: &error };
                self.user.progress(event, self.euicc.apdus());
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

/// The eUICC prepared the requested download, with the given confirmation code.
fn verify_prepared(
    prepared: &Raw<PrepareDownloadResponse>,
    request: &PrepareDownloadRequest,
    transaction_id: &TransactionId,
) -> Result<(), LpaError> {
    let decode = |cause| CardError::Response { function: PrepareDownloadRequest::NAME, cause };
    let PrepareDownloadResponse::DownloadResponseOk(response) = prepared.decode().map_err(decode)? else {
        return Ok(());
    };
    let signed = response.euicc_signed2.decode().map_err(decode)?;
    if signed.transaction_id != *transaction_id {
        return Err(LpaError::Foreign("it prepared the download of another transactionId"));
    }
    if signed.hash_cc != request.hash_cc {
        return Err(LpaError::Foreign("it signed another confirmation code than it was given"));
    }
    Ok(())
}

/// The package must be bound to this session.
fn verify_package(package: &[u8], transaction_id: &TransactionId) -> Result<(), LpaError> {
    let package = BoundProfilePackage::parse(package).map_err(LpaError::Package)?;
    let request: InitialiseSecureChannelRequest =
        rsp::decode(package.initialise_secure_channel_request).map_err(LpaError::Package)?;
    if request.transaction_id == *transaction_id {
        Ok(())
    } else {
        Err(LpaError::Inconsistent("its package is bound to another transactionId"))
    }
}

/// The package must contain the metadata the user saw. SGP.22 §3.1.3.2
fn verify_metadata(
    package: &[u8],
    announced: &Raw<StoreMetadataRequest>,
    decoded: &StoreMetadataRequest,
) -> Result<(), LpaError> {
    let package = BoundProfilePackage::parse(package).map_err(LpaError::Package)?;
    let inside = metadata_in(&package).ok_or(LpaError::MetadataMismatch)?;
    // The same values may be encoded differently, except access rules, which are signed octet by octet.
    let same_words = || rsp::decode::<StoreMetadataRequest>(&inside).is_ok_and(|inside| inside == *decoded);
    let rules = |metadata: &[u8]| {
        let rules = access_rules(metadata).ok()?.unwrap_or_default();
        Some(rules.iter().flat_map(|rule| rule.octets().to_vec()).collect::<Vec<u8>>())
    };
    let same_rules = || rules(&inside).is_some_and(|inside| rules(announced.octets()) == Some(inside));
    let is_the_same = inside == announced.octets() || (same_words() && same_rules());
    if is_the_same { Ok(()) } else { Err(LpaError::MetadataMismatch) }
}

/// The metadata inside a bound profile package, as the eUICC will read it: the contents of its segments 88 without
/// their MACs.
fn metadata_in(package: &BoundProfilePackage<'_>) -> Option<Vec<u8>> {
    let mut metadata = Vec::new();
    for segment in &package.sequence_of_88.segments {
        let contents = apdu::tlv::Tlv::parse(segment).ok()?.value;
        let data = contents.len().checked_sub(crypto::bsp::MAC_LENGTH)?;
        metadata.extend_from_slice(contents.get(..data)?);
    }
    Some(metadata)
}

#[cfg(test)]
mod tests;
