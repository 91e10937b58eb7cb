//! A download from end to end inside one process, with real certificates, keys and MACs, and with every fault a server
//! or a line can have: each is refused with the specified result, and nothing of it stays on the card.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod claims;
mod metadata;
mod notifications;
mod repeated;
mod segments;
mod two_cis;

use applets::isd_r::{Certification, Personalisation};
use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, Structure};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{Card, CardProfile, DomainImage, Entropy};
use core::ops::RangeInclusive;
use crypto::bsp::{Protector, SegmentTag, SessionKeys};
use crypto::ec::{Curve, PublicKey};
use crypto::ecka::OneTimeKeyPair;
use identities::Eid;
use rsp::certificate::Role;
use rsp::es8::{
    BoundProfilePackage, ControlRefTemplate, InitialiseSecureChannelRequest, RemoteOpId, ReplaceSessionKeysRequest,
    StoreMetadataRequest,
};
use rsp::es10b::{
    AuthenticateErrorCode, AuthenticateResponseOk, AuthenticateServerRequest, AuthenticateServerResponse, CtxParams1,
    CtxParamsForCommonAuthentication, DeviceCapabilities, DeviceInfo, DownloadErrorCode, PrepareDownloadRequest,
    PrepareDownloadResponse, ServerSigned1, SmdpSigned2,
};
use rsp::es10c::ProfileInfoListResponse;
use rsp::euicc_info::{EuiccInfo2, RspCapability, UiccCapability};
use rsp::metadata::{NotificationConfigurationInformation, NotificationEvent, OperatorId, PprIds, ProfileClass};
use rsp::notification::{BppCommandId, ErrorReason, FinalResult, PendingNotification, ProfileInstallationResult};
use rsp::rat::GetRatResponse;
use rsp::{CertificateDer, OneTimePublicKey, Raw, Signature, TransactionId, VersionType};
use saip::builder::{Key as SubscriberKey, Subscriber};
use std::sync::{Arc, Mutex};
use test_pki::{Parameters, Pki};

const NOW: u64 = 1_780_000_000;
const EID: &str = "89049032123451234512345678901235";
const ADDRESS: &str = "smdp.example:8443";

/// Octets that look random and are the same in every run.
struct Seeded(u64);
impl Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}
impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        Self::fill(self, out);
    }
}

fn pki(seed: u64) -> Pki {
    let mut seeded = Seeded(seed);
    Pki::mint(&Parameters::new(NOW, EID.parse().unwrap()), &mut |out| seeded.fill(out)).unwrap()
}

fn info(pki: &Pki) -> EuiccInfo2 {
    let ci = vec![pki.trust_anchor().unwrap().subject_key_identifier];
    EuiccInfo2 {
        profile_version: VersionType::new(2, 3, 1),
        svn: VersionType::new(2, 5, 0),
        euicc_firmware_ver: VersionType::new(1, 0, 0),
        ext_card_resource: vec![].into(),
        uicc_capability: UiccCapability::USIM_SUPPORT.with(UiccCapability::AKA_MILENAGE),
        ts102241_version: None,
        globalplatform_version: None,
        rsp_capability: RspCapability::ADDITIONAL_PROFILE,
        euicc_ci_pk_id_list_for_verification: ci.clone(),
        euicc_ci_pk_id_list_for_signing: ci,
        euicc_category: None,
        forbidden_profile_policy_rules: Some(PprIds::PPR2),
        pp_version: VersionType::new(1, 0, 0),
        sas_acreditation_number: "XX-YY-UP-0000".into(),
        certification_data_object: None,
    }
}

fn personalised(pki: &Pki) -> MemoryNvm {
    personalised_with(&[pki], info(pki))
}

/// A card under these CIs, preferred first.
fn personalised_with(pkis: &[&Pki], info: EuiccInfo2) -> MemoryNvm {
    let eid: Eid = EID.parse().unwrap();
    let certification = |pki: &&Pki| {
        let anchor = pki.trust_anchor().unwrap();
        let certificate = |role| CertificateDer::from_octets(pki.get(role).unwrap().der()).unwrap();
        Certification {
            ci: anchor.subject_key_identifier,
            ci_public_key: anchor.public_key,
            euicc_certificate: certificate(Role::Euicc),
            eum_certificate: certificate(Role::Eum),
            private_key: pki.key(Role::Euicc).unwrap().clone(),
        }
    };
    let isd_r = Personalisation {
        aid: applets::isd_r::AID,
        first_sequence_number: 1,
        keys: Vec::new(),
        behaviour: applets::isd_r::Behaviour::default(),
        eid,
        info,
        rat: GetRatResponse::any_operator_with_consent(),
        root_ds_address: "ds.example".into(),
        default_dp_address: Some("smdp.example".into()),
        certifications: pkis.iter().map(certification).collect(),
        profiles: vec![],
    };
    let mut platform = DomainImage::new();
    let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
    let mf = platform.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule), vec![]).unwrap();
    let arr = FileKind::Ef(Structure::LinearFixed { record_length: 5, records: 1 });
    platform.add_file(File::new(FileId::MF_ARR, mf, arr, rule), vec![0x80, 1, 1, 0x90, 0]).unwrap();
    platform.add_application(isd_r.new_application().unwrap());
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, platform, vec![], None).unwrap();
    nvm
}

/// A card, and the LPA's side of it: STORE DATA in blocks, GET RESPONSE.
struct Device {
    card: Card,
    block: usize,
}

impl Device {
    fn new(nvm: Box<dyn Nvm>) -> Self {
        let mut device =
            Self { card: Card::new(CardProfile::default(), nvm, Box::new(Seeded(7)), applets::build), block: 120 };
        device.power_on();
        device
    }

    fn power_on(&mut self) {
        self.card.reset();
        let select = [&[0, 0xA4, 4, 0x0C, 16][..], &rsp::ids::AID_ISD_R].concat();
        assert_eq!(self.card.transmit(&select), [0x90, 0]);
    }

    fn es10(&mut self, request: &[u8]) -> Vec<u8> {
        let (data, sw) = self.try_es10(request);
        assert_eq!(sw, [0x90, 0], "{request:02X?}");
        data
    }

    fn try_es10(&mut self, request: &[u8]) -> (Vec<u8>, [u8; 2]) {
        let blocks = request.chunks(self.block).count();
        let mut answer = Vec::new();
        for (number, block) in request.chunks(self.block).enumerate() {
            let p1 = if number + 1 == blocks { 0x91 } else { 0x11 };
            let header = [0x80, 0xE2, p1, u8::try_from(number).unwrap(), u8::try_from(block.len()).unwrap()];
            answer = self.card.transmit(&[&header[..], block].concat());
        }
        self.fetch(answer)
    }

    /// An answer with all that has to be fetched of it.
    fn fetch(&mut self, mut answer: Vec<u8>) -> (Vec<u8>, [u8; 2]) {
        let mut data = Vec::new();
        loop {
            let (part, sw) = answer.split_last_chunk::<2>().unwrap();
            data.extend_from_slice(part);
            if sw[0] != 0x61 {
                return (data, *sw);
            }
            answer = self.card.transmit(&[0x80, 0xC0, 0, 0, sw[1]]);
        }
    }

    fn challenge(&mut self) -> [u8; 16] {
        self.es10(&[0xBF, 0x2E, 0])[5..].try_into().unwrap()
    }

    fn authenticate(
        &mut self,
        request: &AuthenticateServerRequest,
    ) -> Result<AuthenticateResponseOk, AuthenticateErrorCode> {
        let response = self.es10(&rsp::encode(request).unwrap());
        match rsp::decode(&response).unwrap() {
            AuthenticateServerResponse::AuthenticateResponseOk(ok) => Ok(ok),
            AuthenticateServerResponse::AuthenticateResponseError(error) => Err(error.authenticate_error_code),
        }
    }

    fn prepare(&mut self, request: &PrepareDownloadRequest) -> Result<OneTimePublicKey, DownloadErrorCode> {
        let response = self.es10(&rsp::encode(request).unwrap());
        match rsp::decode(&response).unwrap() {
            PrepareDownloadResponse::DownloadResponseOk(ok) => Ok(ok.euicc_signed2.decode().unwrap().euicc_otpk),
            PrepareDownloadResponse::DownloadResponseError(error) => Err(error.download_error_code),
        }
    }

    /// Sends a package as LPAs do, until the card says something.
    fn load(&mut self, package: &[u8]) -> FinalResult {
        final_result(&self.load_pieces(&pieces(package)).expect("a result"))
    }

    fn load_pieces(&mut self, pieces: &[Vec<u8>]) -> Option<Vec<u8>> {
        pieces.iter().map(|piece| self.es10(piece)).find(|answer| !answer.is_empty())
    }

    fn profiles(&mut self) -> usize {
        match rsp::decode(&self.es10(&[0xBF, 0x2D, 0])).unwrap() {
            ProfileInfoListResponse::ProfileInfoListOk(list) => list.len(),
            ProfileInfoListResponse::ProfileInfoListError(error) => panic!("{error}"),
        }
    }

    fn notifications(&mut self) -> Vec<Raw<PendingNotification>> {
        match rsp::decode(&self.es10(&[0xBF, 0x2B, 0])).unwrap() {
            rsp::es10b::RetrieveNotificationsListResponse::NotificationList(list) => list,
            rsp::es10b::RetrieveNotificationsListResponse::NotificationsListResultError(error) => panic!("{error}"),
        }
    }
}

/// What an installation result says.
fn final_result(response: &[u8]) -> FinalResult {
    let result: ProfileInstallationResult = rsp::decode(response).unwrap();
    result.profile_installation_result_data.decode().unwrap().final_result
}

/// The cuts of SGP.22 §2.5.5: package header with BF23, A0 whole, A1 header, each 88, A2 whole, A3 header, each 86.
fn pieces(package: &[u8]) -> Vec<Vec<u8>> {
    let parts = BoundProfilePackage::parse(package).unwrap();
    let mut pieces = vec![[parts.header, parts.initialise_secure_channel_request].concat()];
    pieces.push(parts.first_sequence_of_87.octets.to_vec());
    pieces.push(parts.sequence_of_88.header.to_vec());
    pieces.extend(parts.sequence_of_88.segments.iter().map(|segment| segment.to_vec()));
    pieces.extend(parts.second_sequence_of_87.iter().map(|part| part.octets.to_vec()));
    pieces.push(parts.sequence_of_86.header.to_vec());
    pieces.extend(parts.sequence_of_86.segments.iter().map(|segment| segment.to_vec()));
    pieces
}

/// An SM-DP+ that does as it is told.
struct Server<'a> {
    pki: &'a Pki,
    transaction_id: TransactionId,
    one_time_key: OneTimeKeyPair,
}

impl<'a> Server<'a> {
    fn new(pki: &'a Pki) -> Self {
        let mut seeded = Seeded(99);
        Self {
            pki,
            transaction_id: vec![0xAB; 16].into(),
            one_time_key: OneTimeKeyPair::generate(Curve::P256, |out| seeded.fill(out)),
        }
    }

    fn sign(&self, role: Role, input: &[u8]) -> Signature {
        crypto::ecdsa::sign(self.pki.key(role).unwrap(), input).into()
    }

    fn certificate(&self, role: Role) -> CertificateDer {
        CertificateDer::from_octets(self.pki.get(role).unwrap().der()).unwrap()
    }

    fn authentication(&self, challenge: [u8; 16]) -> AuthenticateServerRequest {
        let signed = ServerSigned1 {
            transaction_id: self.transaction_id.clone(),
            euicc_challenge: rsp::es10b::Octet16::new(challenge),
            server_address: ADDRESS.into(),
            server_challenge: rsp::es10b::Octet16::new([0x5C; 16]),
        };
        let signed = Raw::encode(&signed).unwrap();
        let device_info = DeviceInfo {
            tac: [0x35, 0x29, 0x06, 0x11].into(),
            device_capabilities: DeviceCapabilities::default(),
            imei: None,
        };
        let parameters = CtxParams1::CtxParamsForCommonAuthentication(CtxParamsForCommonAuthentication {
            matching_id: None,
            device_info,
        });
        AuthenticateServerRequest {
            server_signature1: self.sign(Role::DpAuth, signed.octets()),
            server_signed1: signed,
            euicc_ci_pk_id_to_be_used: self.pki.trust_anchor().unwrap().subject_key_identifier,
            server_certificate: self.certificate(Role::DpAuth),
            ctx_params1: Raw::encode(&parameters).unwrap(),
        }
    }

    fn preparation(&self, euicc_signature1: &Signature, bound_to: Option<OneTimePublicKey>) -> PrepareDownloadRequest {
        let signed = SmdpSigned2 {
            transaction_id: self.transaction_id.clone(),
            cc_required_flag: false,
            bpp_euicc_otpk: bound_to,
        };
        let signed = Raw::encode(&signed).unwrap();
        PrepareDownloadRequest {
            smdp_signature2: self.sign(Role::DpPb, &[signed.octets(), &euicc_signature1.tlv()].concat()),
            smdp_signed2: signed,
            hash_cc: None,
            smdp_certificate: self.certificate(Role::DpPb),
        }
    }

    fn channel(
        &self,
        otpk: &OneTimePublicKey,
        change: impl FnOnce(&mut InitialiseSecureChannelRequest),
    ) -> Raw<InitialiseSecureChannelRequest> {
        let mut request = InitialiseSecureChannelRequest {
            remote_op_id: RemoteOpId::INSTALL_BOUND_PROFILE_PACKAGE,
            transaction_id: self.transaction_id.clone(),
            control_ref_template: ControlRefTemplate::aes_128(b"host"),
            smdp_otpk: self.one_time_key.public_key().to_uncompressed().into(),
            smdp_sign: [0; 64].into(),
        };
        change(&mut request);
        let input = InitialiseSecureChannelRequest::smdp_sign_input(&Raw::encode(&request).unwrap(), otpk).unwrap();
        request.smdp_sign = self.sign(Role::DpPb, &input);
        Raw::encode(&request).unwrap()
    }

    fn protector(&self, otpk: &OneTimePublicKey) -> Protector {
        let theirs = PublicKey::from_sec1(Curve::P256, otpk.octets()).unwrap();
        let template = ControlRefTemplate::aes_128(b"host");
        let eid = EID.parse().unwrap();
        Protector::new(&SessionKeys::derive(&self.one_time_key.agree(&theirs), &template.shared_info(&eid)))
    }

    /// A package with the parts of `contents`.
    fn package(&self, otpk: &OneTimePublicKey, contents: &Contents) -> Vec<u8> {
        let request = self.channel(otpk, |_| {});
        let mut protector = self.protector(otpk);
        let segments = |protector: &mut Protector, tag: SegmentTag, data: &[u8], length: usize| {
            data.chunks(length).map(|data| protector.segment(tag, data)).collect::<Vec<_>>()
        };
        let configure = segments(&mut protector, SegmentTag::Tag87, &contents.configure, 1007);
        let metadata = segments(&mut protector, SegmentTag::Tag88, &contents.metadata, 40);
        let mut replace = Vec::new();
        if let Some(keys) = &contents.keys {
            let request = rsp::encode(keys).unwrap();
            replace = segments(&mut protector, SegmentTag::Tag87, &request, 1007);
            let key = |octets: &[u8]| <[u8; 16]>::try_from(octets);
            if let (Ok(mcv), Ok(enc), Ok(mac)) =
                (key(&keys.initial_mac_chaining_value), key(&keys.ppk_enc), key(&keys.ppk_cmac))
            {
                protector.replace_session_keys(&SessionKeys::new(mcv, enc, mac));
            }
        }
        let profile = segments(&mut protector, SegmentTag::Tag86, &contents.profile, 1007);
        BoundProfilePackage::assemble(&request, &configure, &metadata, &replace, &profile)
    }
}

struct Contents {
    configure: Vec<u8>,
    metadata: Vec<u8>,
    keys: Option<ReplaceSessionKeysRequest>,
    profile: Vec<u8>,
}

fn metadata() -> StoreMetadataRequest {
    StoreMetadataRequest {
        iccid: "8900000000000000003".parse().unwrap(),
        service_provider_name: "Operator".into(),
        profile_name: "Data and voice".into(),
        icon_type: None,
        icon: None,
        profile_class: ProfileClass::OPERATIONAL,
        notification_configuration_info: Some(vec![
            NotificationConfigurationInformation {
                profile_management_operation: NotificationEvent::INSTALL
                    | NotificationEvent::ENABLE
                    | NotificationEvent::DISABLE
                    | NotificationEvent::DELETE,
                notification_address: ADDRESS.into(),
            },
            NotificationConfigurationInformation {
                profile_management_operation: NotificationEvent::INSTALL | NotificationEvent::ENABLE,
                notification_address: "other.example".into(),
            },
        ]),
        profile_owner: Some(OperatorId::new("001", "01").unwrap()),
        profile_policy_rules: None,
    }
}

fn upp() -> Vec<u8> {
    let key = SubscriberKey::new(&[0x46; 16]);
    let opc = SubscriberKey::new(&[0xCD; 16]);
    let subscriber = Subscriber::new("8900000000000000003", "001010000000001", key, opc);
    saip::encode_package(&saip::builder::build(&subscriber).unwrap())
}

fn contents() -> Contents {
    let octets = |byte: u8| vec![byte; 16].into();
    Contents {
        configure: vec![0xBF, 0x24, 0],
        metadata: rsp::encode(&metadata()).unwrap(),
        keys: Some(ReplaceSessionKeysRequest {
            initial_mac_chaining_value: octets(1),
            ppk_enc: octets(2),
            ppk_cmac: octets(3),
        }),
        profile: upp(),
    }
}

/// Up to the one-time key: what a package is bound to.
fn ready<'a>(device: &mut Device, pki: &'a Pki) -> (Server<'a>, OneTimePublicKey) {
    let server = Server::new(pki);
    let challenge = device.challenge();
    let authenticated = device.authenticate(&server.authentication(challenge)).unwrap();
    let otpk = device.prepare(&server.preparation(&authenticated.euicc_signature1, None)).unwrap();
    (server, otpk)
}

fn error(result: &FinalResult) -> (BppCommandId, ErrorReason) {
    match result {
        FinalResult::ErrorResult(error) => (error.bpp_command_id, error.error_reason),
        FinalResult::SuccessResult(_) => panic!("installed"),
    }
}

/// TC_eUICC_ES10b.LoadBoundProfilePackage (SGP.23 4.2.11), RetrieveNotificationsList (4.2.15).
#[test]
fn a_profile_is_installed_reported_and_usable() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let FinalResult::SuccessResult(success) = device.load(&server.package(&otpk, &contents())) else {
        panic!("not installed")
    };
    assert_eq!(success.sima_response.as_ref(), [0x30, 7, 0xA0, 5, 0x30, 3, 0x80, 1, 0]);
    assert_eq!(device.profiles(), 1);
    // The result, and one more recipient who wants to know of installations.
    let notifications = device.notifications();
    assert_eq!(notifications.len(), 2);
    let euicc_key = pki.get(Role::Euicc).unwrap().certificate().public_key().unwrap();
    for notification in &notifications {
        let (input, signature) = match notification.decode().unwrap() {
            PendingNotification::ProfileInstallationResult(result) => {
                (result.profile_installation_result_data.into_octets(), result.euicc_sign_pir)
            }
            PendingNotification::OtherSignedNotification(other) => {
                (other.tbs_other_notification.into_octets(), other.euicc_notification_signature)
            }
        };
        crypto::ecdsa::verify(&euicc_key, &input, signature.octets()).unwrap();
    }
    // Everything survives the loss of power.
    device.power_on();
    assert_eq!(device.notifications(), notifications);
    let enable = [&[0xBF, 0x31, 0x11, 0xA0, 0x0C, 0x5A, 0x0A][..], metadata().iccid.octets(), &[0x81, 1, 0]].concat();
    assert_eq!(device.es10(&enable), [0xBF, 0x31, 3, 0x80, 1, 0]);
    assert_eq!(device.notifications().len(), 4);
    assert_eq!(device.card.transmit(&[0, 0xA4, 0, 0x0C, 2, 0x2F, 0xE2]), [0x90, 0]);
    assert_eq!(device.card.transmit(&[0, 0xB0, 0, 0, 10])[..10], *metadata().iccid.octets());
}

/// TC_eUICC_ES10b.AuthenticateServer, error cases (4.2.18).
#[test]
fn a_forged_or_foreign_server_is_refused() {
    let (pki, foreign) = (pki(1), pki(2));
    let mut device = Device::new(Box::new(personalised(&pki)));
    let before = dump(&device);
    let mut refused = |change: &dyn Fn(&mut AuthenticateServerRequest, &Server<'_>)| {
        let server = Server::new(&pki);
        let challenge = device.challenge();
        let mut request = server.authentication(challenge);
        change(&mut request, &server);
        let refusal = device.authenticate(&request).unwrap_err();
        // The challenge is used up: not even the right request is accepted now.
        let right = server.authentication(challenge);
        assert_eq!(device.authenticate(&right).unwrap_err(), AuthenticateErrorCode::NO_SESSION_CONTEXT);
        refusal
    };
    let resign = |request: &mut AuthenticateServerRequest, server: &Server<'_>, role| {
        request.server_certificate = server.certificate(role);
        request.server_signature1 = server.sign(role, request.server_signed1.octets());
    };
    // Another CI, named as ours.
    assert_eq!(
        refused(&|request, _| {
            let other = Server::new(&foreign);
            request.server_certificate = other.certificate(Role::DpAuth);
            request.server_signature1 = other.sign(Role::DpAuth, request.server_signed1.octets());
        }),
        AuthenticateErrorCode::CI_PK_UNKNOWN
    );
    assert_eq!(
        refused(&|request, _| {
            request.euicc_ci_pk_id_to_be_used = foreign.trust_anchor().unwrap().subject_key_identifier;
        }),
        AuthenticateErrorCode::CI_PK_UNKNOWN
    );
    // Right issuer, wrong role.
    for role in [Role::DpPb, Role::DpTls] {
        assert_eq!(refused(&|request, server| resign(request, server, role)), AuthenticateErrorCode::INVALID_OID);
    }
    assert_eq!(
        refused(&|request, server| resign(request, server, Role::Euicc)),
        AuthenticateErrorCode::CI_PK_UNKNOWN,
        "issued by the EUM"
    );
    // One bit of the certificate's signature, of the key, of the signed data, of the signature.
    assert_eq!(
        refused(&|request, _| {
            let mut octets = request.server_certificate.octets().to_vec();
            *octets.last_mut().unwrap() ^= 1;
            request.server_certificate = CertificateDer::from_octets(octets).unwrap();
        }),
        AuthenticateErrorCode::INVALID_CERTIFICATE
    );
    assert_eq!(
        refused(&|request, _| {
            let mut signature = request.server_signature1.octets().to_vec();
            signature[20] ^= 0x10;
            request.server_signature1 = signature.into();
        }),
        AuthenticateErrorCode::INVALID_SIGNATURE
    );
    assert_eq!(
        refused(&|request, _| {
            let mut octets = request.server_signed1.octets().to_vec();
            *octets.last_mut().unwrap() ^= 1;
            request.server_signed1 = Raw::from_octets(octets).unwrap();
        }),
        AuthenticateErrorCode::INVALID_SIGNATURE
    );
    // Another challenge, rightly signed.
    assert_eq!(
        refused(&|request, server| *request = server.authentication([0; 16])),
        AuthenticateErrorCode::EUICC_CHALLENGE_MISMATCH
    );
    assert_eq!(dump(&device), before, "nothing is left behind");
}

/// TC_eUICC_ES10b.PrepareDownload, error cases and retry (4.2.10, 5.2.1).
#[test]
fn a_download_is_prepared_for_the_authenticated_server_only() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let server = Server::new(&pki);
    let challenge = device.challenge();
    let early = server.preparation(&[0; 64].into(), None);
    assert_eq!(device.prepare(&early).unwrap_err(), DownloadErrorCode::NO_SESSION_CONTEXT);
    let authenticated = device.authenticate(&server.authentication(challenge)).unwrap();
    let signature1 = &authenticated.euicc_signature1;
    let with = |certificate: CertificateDer, role| {
        let mut request = server.preparation(signature1, None);
        request.smdp_signature2 = server.sign(role, &[request.smdp_signed2.octets(), &signature1.tlv()].concat());
        request.smdp_certificate = certificate;
        request
    };
    let auth = with(server.certificate(Role::DpAuth), Role::DpAuth);
    assert_eq!(device.prepare(&auth).unwrap_err(), DownloadErrorCode::INVALID_CERTIFICATE);
    // A certificate of the same CI for another SM-DP+.
    let mut seeded = Seeded(5);
    let other = pki.issue_server(Role::DpPb, &"2.999.12".parse().unwrap(), NOW, &mut |out| seeded.fill(out)).unwrap();
    let other = CertificateDer::from_octets(other.der()).unwrap();
    assert_eq!(device.prepare(&with(other, Role::DpPb)).unwrap_err(), DownloadErrorCode::INVALID_CERTIFICATE);
    let unbound = server.preparation(&[1; 64].into(), None);
    assert_eq!(device.prepare(&unbound).unwrap_err(), DownloadErrorCode::INVALID_SIGNATURE);
    let mut stranger = Server::new(&pki);
    stranger.transaction_id = vec![1].into();
    let strange = stranger.preparation(signature1, None);
    assert_eq!(device.prepare(&strange).unwrap_err(), DownloadErrorCode::INVALID_TRANSACTION_ID);
    // After all these refusals the right one is still welcome, and again for another try.
    let first = device.prepare(&server.preparation(signature1, None)).unwrap();
    let second = device.prepare(&server.preparation(signature1, None)).unwrap();
    assert_ne!(first, second);
    // A package bound to the key the card still has is taken up again, even after a loss of power in the middle of it.
    let package = server.package(&second, &contents());
    let pieces = pieces(&package);
    let again = |device: &mut Device| {
        device.power_on();
        let challenge = device.challenge();
        let authenticated = device.authenticate(&server.authentication(challenge)).unwrap();
        device.prepare(&server.preparation(&authenticated.euicc_signature1, Some(second.clone()))).unwrap()
    };
    for came in [0, 1, pieces.len() - 1] {
        assert_eq!(again(&mut device), second);
        assert_eq!(device.load_pieces(&pieces[..came]), None, "{came} pieces");
    }
    assert_eq!(again(&mut device), second);
    assert!(matches!(device.load(&package), FinalResult::SuccessResult(_)));
    assert_ne!(again(&mut device), second, "it has served its purpose");
}

/// TC_eUICC_ES8+.InitialiseSecureChannel, error cases (4.2.3).
#[test]
fn a_secure_channel_with_a_fault_is_refused() {
    use BppCommandId as Command;
    type Change = fn(&mut InitialiseSecureChannelRequest);
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let faults: [(Change, ErrorReason); 5] = [
        (|request| request.transaction_id = vec![9; 4].into(), ErrorReason::INVALID_TRANSACTION_ID),
        (|request| request.control_ref_template.key_type = [0x80].into(), ErrorReason::UNSUPPORTED_CRT_VALUES),
        (|request| request.control_ref_template.key_len = [0x20].into(), ErrorReason::UNSUPPORTED_CRT_VALUES),
        (|request| request.remote_op_id = RemoteOpId(2), ErrorReason::UNSUPPORTED_REMOTE_OPERATION_TYPE),
        (|request| request.smdp_otpk = [4; 65].into(), ErrorReason::INCORRECT_INPUT_VALUES),
    ];
    for (change, reason) in faults {
        let (server, otpk) = ready(&mut device, &pki);
        let request = server.channel(&otpk, change);
        let package = BoundProfilePackage::assemble::<Vec<u8>>(&request, &[], &[], &[], &[]);
        assert_eq!(error(&device.load(&package)), (Command::INITIALISE_SECURE_CHANNEL, reason));
    }
    // Signed for another one-time key.
    let (server, _) = ready(&mut device, &pki);
    let request = server.channel(&[4; 65].into(), |_| {});
    let package = BoundProfilePackage::assemble::<Vec<u8>>(&request, &[], &[], &[], &[]);
    assert_eq!(error(&device.load(&package)), (Command::INITIALISE_SECURE_CHANNEL, ErrorReason::INVALID_SIGNATURE));
    assert_eq!(device.profiles(), 0);
    // The session is over: what follows finds none, cancelling included.
    assert_eq!(device.try_es10(&[0xA0, 2, 0x87, 0]).1, [0x69, 0x85]);
    assert_eq!(device.try_es10(&pieces(&package)[0]).1, [0x69, 0x85]);
}

/// TC_eUICC_ES8+.ConfigureISDP (4.2.4), StoreMetadata (4.2.5), ReplaceSessionKeys (4.2.6), LoadProfileElements (4.2.7),
/// error cases; RemoveNotificationFromList (4.2.16).
#[test]
fn faults_in_the_package_are_named_and_leave_nothing() {
    use BppCommandId as Command;
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let memory = |device: &Device| device.card.nvm().used();
    let used = memory(&device);
    let metadata_with = |change: &dyn Fn(&mut StoreMetadataRequest)| {
        let mut metadata = metadata();
        change(&mut metadata);
        Contents { metadata: rsp::encode(&metadata).unwrap(), ..contents() }
    };
    let keys = |length: usize| ReplaceSessionKeysRequest {
        initial_mac_chaining_value: vec![0; 16].into(),
        ppk_enc: vec![0; length].into(),
        ppk_cmac: vec![0; 16].into(),
    };
    let mut no_end = upp();
    no_end.truncate(no_end.len() - 9);
    let other_iccid = {
        let key = SubscriberKey::new(&[0x46; 16]);
        let subscriber = Subscriber::new("8900000000000000011", "001010000000001", key.clone(), key);
        saip::encode_package(&saip::builder::build(&subscriber).unwrap())
    };
    let mut damaged = upp();
    damaged[4] = 0x99;
    let faults: Vec<(Contents, Command, ErrorReason)> = vec![
        (
            Contents { configure: vec![0xBF, 0x24, 7, 0xB8, 5, 0x80, 3, 0x88, 0x37, 0x0B], ..contents() },
            Command::CONFIGURE_ISDP,
            ErrorReason::INCORRECT_INPUT_VALUES,
        ),
        (
            Contents { configure: vec![0xBF, 0x25, 0], ..contents() },
            Command::CONFIGURE_ISDP,
            ErrorReason::INCORRECT_INPUT_VALUES,
        ),
        (
            Contents { metadata: vec![0xBF, 0x25, 0], ..contents() },
            Command::STORE_METADATA,
            ErrorReason::INCORRECT_INPUT_VALUES,
        ),
        (
            metadata_with(&|metadata| metadata.icon = Some(vec![0; 4].into())),
            Command::STORE_METADATA,
            ErrorReason::INCORRECT_INPUT_VALUES,
        ),
        (
            metadata_with(&|metadata| metadata.profile_class = ProfileClass::TEST),
            Command::STORE_METADATA,
            ErrorReason::UNSUPPORTED_PROFILE_CLASS,
        ),
        (
            metadata_with(&|metadata| metadata.profile_policy_rules = Some(PprIds::PPR2)),
            Command::STORE_METADATA,
            ErrorReason::PPR_NOT_ALLOWED,
        ),
        (
            metadata_with(&|metadata| {
                metadata.profile_policy_rules = Some(PprIds::PPR1);
                metadata.profile_owner = None;
            }),
            Command::STORE_METADATA,
            ErrorReason::PPR_NOT_ALLOWED,
        ),
        (
            Contents { keys: Some(keys(15)), ..contents() },
            Command::REPLACE_SESSION_KEYS,
            ErrorReason::INCORRECT_INPUT_VALUES,
        ),
        (Contents { profile: no_end, ..contents() }, Command::LOAD_PROFILE_ELEMENTS, ErrorReason::PE_PROCESSING_ERROR),
        (Contents { profile: damaged, ..contents() }, Command::LOAD_PROFILE_ELEMENTS, ErrorReason::PE_PROCESSING_ERROR),
        (Contents { profile: other_iccid, ..contents() }, Command::LOAD_PROFILE_ELEMENTS, ErrorReason::DATA_MISMATCH),
    ];
    let count = faults.len();
    for (number, (contents, command, reason)) in faults.into_iter().enumerate() {
        let (server, otpk) = ready(&mut device, &pki);
        let result = device.load(&server.package(&otpk, &contents));
        assert_eq!(error(&result), (command, reason), "fault {number}");
        assert_eq!(device.profiles(), 0);
    }
    assert_eq!(device.notifications().len(), count, "every failure is reported");
    for number in 1..=u8::try_from(count).unwrap() {
        assert_eq!(device.es10(&[0xBF, 0x30, 3, 0x80, 1, number]), [0xBF, 0x30, 3, 0x80, 1, 0]);
    }
    // What remains is the sequence number.
    assert_eq!(memory(&device), used + Key::SIZE + 8);
}

/// TC_eUICC_ES8+.LoadProfileElements: MAC, structure, interruption (4.2.7).
#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let package = server.package(&otpk, &contents());
    let first_segments = package.len().min(700);
    // One bit in each octet region of the package: the channel request, the small parts, a few profile segments.
    let places: Vec<usize> =
        (8..first_segments).step_by(13).chain((first_segments..package.len()).step_by(701)).collect();
    for place in places {
        let (server, otpk) = ready(&mut device, &pki);
        let package = server.package(&otpk, &contents());
        let mut pieces = pieces(&package);
        let mut at = place;
        for piece in &mut pieces {
            if at < piece.len() {
                piece[at] ^= 0x04;
                break;
            }
            at -= piece.len();
        }
        let mut outcome = None;
        for piece in &pieces {
            let (data, sw) = device.try_es10(piece);
            if sw != [0x90, 0] || !data.is_empty() {
                outcome = Some((data, sw));
                break;
            }
        }
        if let Some((data, [0x90, 0])) = outcome {
            let result: ProfileInstallationResult = rsp::decode(&data).unwrap();
            let result = result.profile_installation_result_data.decode().unwrap();
            assert!(matches!(result.final_result, FinalResult::ErrorResult(_)), "octet {place}");
        }
        assert_eq!(device.profiles(), 0, "octet {place}");
    }
    // Cut off anywhere: nothing is there, and the next download works.
    for keep in [1, 2, 4, 6, 9] {
        let (server, otpk) = ready(&mut device, &pki);
        let pieces = pieces(&server.package(&otpk, &contents()));
        assert_eq!(device.load_pieces(&pieces[..keep]), None);
        device.power_on();
        assert_eq!(device.profiles(), 0);
    }
    let (server, otpk) = ready(&mut device, &pki);
    assert!(matches!(device.load(&server.package(&otpk, &contents())), FinalResult::SuccessResult(_)));
}

#[test]
fn a_package_is_good_for_one_card_once() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let package = server.package(&otpk, &contents());
    assert!(matches!(device.load(&package), FinalResult::SuccessResult(_)));
    // Replayed at once, and into a new session.
    assert_eq!(device.try_es10(&pieces(&package)[0]).1, [0x69, 0x85]);
    let (server, otpk) = ready(&mut device, &pki);
    let invalid = (BppCommandId::INITIALISE_SECURE_CHANNEL, ErrorReason::INVALID_SIGNATURE);
    assert_eq!(error(&device.load(&package)), invalid);
    assert_eq!(device.profiles(), 1);
    drop((server, otpk));
    // The same profile, freshly bound.
    let (server, otpk) = ready(&mut device, &pki);
    let exists = (BppCommandId::STORE_METADATA, ErrorReason::ICCID_ALREADY_EXISTS_ON_EUICC);
    assert_eq!(error(&device.load(&server.package(&otpk, &contents()))), exists);
    assert_eq!(device.profiles(), 1);
}

#[test]
fn session_keys_alone_and_several_elements_at_once_will_do() {
    let pki = pki(1);
    for together in [2, 3, 100] {
        let mut device = Device::new(Box::new(personalised(&pki)));
        device.block = 255;
        let (server, otpk) = ready(&mut device, &pki);
        let package = server.package(&otpk, &Contents { keys: None, ..contents() });
        let pieces: Vec<Vec<u8>> = pieces(&package).chunks(together).map(<[Vec<u8>]>::concat).collect();
        let response = device.load_pieces(&pieces).expect("a result");
        let result: ProfileInstallationResult = rsp::decode(&response).unwrap();
        let result = result.profile_installation_result_data.decode().unwrap().final_result;
        assert!(matches!(result, FinalResult::SuccessResult(_)), "{together}: {result:?}");
    }
}

/// TC_eUICC_ES8+.ConfigureISDP to LoadProfileElements, error cases (4.2.4 to 4.2.7): a piece that lost its end, a bit
/// that flipped, a package that ends early, each by its name; the card is then ready for whatever comes.
#[test]
fn each_part_of_a_package_names_its_fault() {
    use BppCommandId as Command;
    use ErrorReason as Reason;
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let mut outcome = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let (server, otpk) = ready(&mut device, &pki);
        let mut pieces = pieces(&server.package(&otpk, &contents()));
        change(&mut pieces);
        let response = device.load_pieces(&pieces).expect("a result");
        let result: ProfileInstallationResult = rsp::decode(&response).unwrap();
        let result = result.profile_installation_result_data.decode().unwrap().final_result;
        assert_eq!(device.profiles(), 0);
        error(&result)
    };
    let shorten = |piece: &mut Vec<u8>| piece.truncate(piece.len() - 1);
    let metadata_pieces = contents().metadata.len().div_ceil(40);
    let (channel, configure, metadata) = (0, 1, 3);
    let (keys, profile) = (metadata + metadata_pieces, metadata + metadata_pieces + 2);
    let parts = [
        (configure, Command::CONFIGURE_ISDP),
        (metadata, Command::STORE_METADATA),
        (metadata + 1, Command::STORE_METADATA2),
        (keys, Command::REPLACE_SESSION_KEYS),
        (profile, Command::LOAD_PROFILE_ELEMENTS),
        (profile + 1, Command::LOAD_PROFILE_ELEMENTS),
    ];
    for (piece, command) in parts {
        let cut = outcome(&|pieces| shorten(&mut pieces[piece]));
        assert_eq!(cut, (command, Reason::SCP03T_STRUCTURE_ERROR), "cut {piece}");
        let flipped = outcome(&|pieces| *pieces[piece].last_mut().unwrap() ^= 1);
        assert_eq!(flipped, (command, Reason::SCP03T_SECURITY_ERROR), "flipped {piece}");
    }
    let cut = outcome(&|pieces| shorten(&mut pieces[channel]));
    assert_eq!(cut, (Command::INITIALISE_SECURE_CHANNEL, Reason::INCORRECT_INPUT_VALUES));
    let flipped = outcome(&|pieces| *pieces[channel].last_mut().unwrap() ^= 1);
    assert_eq!(flipped, (Command::INITIALISE_SECURE_CHANNEL, Reason::INVALID_SIGNATURE));
    // The outer length says that the package is over behind the metadata.
    let early = outcome(&|pieces| {
        let behind_header: usize = pieces[..keys].iter().map(Vec::len).sum::<usize>() - 5;
        let length = u16::try_from(behind_header).unwrap().to_be_bytes();
        pieces[0][3..5].copy_from_slice(&length);
        pieces.truncate(keys);
    });
    assert_eq!(early, (Command::LOAD_PROFILE_ELEMENTS, Reason::SCP03T_STRUCTURE_ERROR));
}

/// A card with hardly any memory left says so (error 10), also of an element that need not succeed, and forgets old
/// notifications rather than new ones.
#[test]
fn memory_runs_out() {
    let pki = pki(1);
    let nvm = personalised(&pki);
    let profile = CardProfile { non_volatile_memory: nvm.used() + 12_000, ..CardProfile::default() };
    let card = Card::new(profile, Box::new(nvm), Box::new(Seeded(7)), applets::build);
    let mut device = Device { card, block: 255 };
    device.power_on();
    for _ in 0..100 {
        let (server, otpk) = ready(&mut device, &pki);
        let result = device.load(&server.package(&otpk, &contents()));
        let insufficient = (BppCommandId::LOAD_PROFILE_ELEMENTS, ErrorReason::INSUFFICIENT_MEMORY_FOR_PROFILE);
        assert_eq!(error(&result), insufficient);
        assert!(device.card.nvm().used() <= device.card.profile().non_volatile_memory);
    }
    let kept = device.notifications();
    assert!((2..100).contains(&kept.len()), "{}", kept.len());
}

/// TC_eUICC_ES10b.CancelSession (4.2.19).
#[test]
fn a_session_is_cancelled_with_proof() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let pieces = pieces(&server.package(&otpk, &contents()));
    assert_eq!(device.load_pieces(&pieces[..5]), None);
    let cancel = |id: &TransactionId| {
        let request = rsp::es10b::CancelSessionRequest {
            transaction_id: id.clone(),
            reason: rsp::es10b::CancelSessionReason::POSTPONED,
        };
        rsp::encode(&request).unwrap()
    };
    assert_eq!(device.es10(&cancel(&vec![1].into())), [0xBF, 0x41, 3, 0x81, 1, 5]);
    let response = device.es10(&cancel(&server.transaction_id));
    let rsp::es10b::CancelSessionResponse::CancelSessionResponseOk(ok) = rsp::decode(&response).unwrap() else {
        panic!("not cancelled")
    };
    let key = pki.get(Role::Euicc).unwrap().certificate().public_key().unwrap();
    let signed = &ok.euicc_cancel_session_signed;
    crypto::ecdsa::verify(&key, signed.octets(), ok.euicc_cancel_session_signature.octets()).unwrap();
    assert_eq!(signed.decode().unwrap().smdp_oid, "2.999.10".parse().unwrap());
    assert_eq!(device.es10(&cancel(&server.transaction_id)), [0xBF, 0x41, 3, 0x81, 1, 5]);
    assert_eq!(device.try_es10(&pieces[5]).1, [0x69, 0x85]);
    assert_eq!(device.profiles(), 0);
}

/// Cuts the power at every write of a download: the profile is there with its notification, or neither is.
#[test]
fn power_cuts_during_a_download() {
    struct Cut {
        memory: Arc<Mutex<MemoryNvm>>,
        snapshot: MemoryNvm,
        left: usize,
    }
    impl Nvm for Cut {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.snapshot.get(key)
        }
        fn keys(&self, range: RangeInclusive<Key>) -> Vec<Key> {
            self.snapshot.keys(range)
        }
        fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
            self.left = self.left.checked_sub(1).ok_or(NvmError)?;
            self.memory.lock().unwrap().apply(updates.clone())?;
            self.snapshot.apply(updates)
        }
        fn used(&self) -> usize {
            self.snapshot.used()
        }
    }
    let pki = pki(1);
    let mut installed = 0;
    for left in 0..6 {
        let memory = Arc::new(Mutex::new(personalised(&pki)));
        let snapshot = memory.lock().unwrap().clone();
        let mut device = Device::new(Box::new(Cut { memory: memory.clone(), snapshot, left }));
        let server = Server::new(&pki);
        let challenge = device.challenge();
        let answered = (|| {
            let authenticated = device.authenticate(&server.authentication(challenge)).ok()?;
            let request = rsp::encode(&server.preparation(&authenticated.euicc_signature1, None)).unwrap();
            let (response, _) = device.try_es10(&request);
            let PrepareDownloadResponse::DownloadResponseOk(ok) = rsp::decode(&response).ok()? else { return None };
            let otpk = ok.euicc_signed2.decode().unwrap().euicc_otpk;
            for piece in pieces(&server.package(&otpk, &contents())) {
                let (data, sw) = device.try_es10(&piece);
                if sw != [0x90, 0] {
                    return None;
                }
                if !data.is_empty() {
                    return Some(data);
                }
            }
            None
        })();
        let nvm = memory.lock().unwrap().clone();
        let mut after = Device::new(Box::new(nvm));
        let (profiles, notifications) = (after.profiles(), after.notifications().len());
        assert!((profiles, notifications) == (0, 0) || (profiles, notifications) == (1, 2), "{left}");
        assert!(answered.is_none() || profiles == 1, "answered means committed");
        installed += profiles;
    }
    assert!(installed > 0 && installed < 6);
}

fn dump(device: &Device) -> Vec<(Key, Vec<u8>)> {
    let nvm = device.card.nvm();
    let all = Key::from_u64(0)..=Key::from_u64(u64::MAX);
    nvm.keys(all).into_iter().map(|key| (key, nvm.get(key).unwrap().to_vec())).collect()
}
