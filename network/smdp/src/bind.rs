//! Binding: a profile package made for one eUICC and one session (SGP.22 §2.5 and §3.1.3.2).

use crypto::bsp::{Protector, SegmentTag, SessionKeys};
use crypto::ec::{Curve, InvalidKey, PublicKey};
use crypto::key_log::KeySet;
use crypto::provider::KeyAgreement;
use identities::Eid;
use rsp::es8::{
    BoundProfilePackage, ConfigureIsdpRequest, ControlRefTemplate, InitialiseSecureChannelRequest, RemoteOpId,
    ReplaceSessionKeysRequest, StoreMetadataRequest,
};
use rsp::{DecodeError, EncodeError, OneTimePublicKey, Raw, Signature, TransactionId};

use crate::identity::Signer;

/// The keys that encrypt the profile itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProfileProtection {
    /// Fresh random keys per download, sent to the eUICC in ReplaceSessionKeys.
    #[default]
    RandomKeys,
    /// The session keys, without ReplaceSessionKeys.
    SessionKeys,
}

/// The package and its recipient.
#[derive(Debug)]
pub struct Binding<'a> {
    /// The session.
    pub transaction_id: &'a TransactionId,
    /// The eUICC.
    pub eid: &'a Eid,
    /// Its one-time public key.
    pub euicc_otpk: &'a OneTimePublicKey,
    /// Name of this server in the key derivation, 1 to 16 octets.
    pub host_id: &'a [u8],
    /// The metadata the eUICC stores with the profile.
    pub metadata: &'a StoreMetadataRequest,
    /// The unprotected profile package.
    pub package: &'a [u8],
    /// How the package is protected.
    pub protection: ProfileProtection,
}

/// Binding failed.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The eUICC's one-time public key is not a point of the curve: the eUICC's fault.
    #[error("otPK.EUICC: {0}")]
    OneTimeKey(#[from] InvalidKey),
    /// A part cannot be encoded: the profile's metadata exceed a limit.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A part just encoded cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Binding<'_> {
    /// The BoundProfilePackage, signed by `dp_pb`. Every segment has at most 1020 octets.
    pub fn bind(
        &self,
        dp_pb: &Signer,
        agreement: &dyn KeyAgreement,
        fill_random: &mut impl FnMut(&mut [u8]),
    ) -> Result<Vec<u8>, BindError> {
        let theirs = PublicKey::from_sec1(Curve::P256, self.euicc_otpk.octets())?;
        let (ours, secret) = agreement.agree_once(&theirs, fill_random);
        let template = ControlRefTemplate::aes_128(self.host_id);
        let session_keys = SessionKeys::derive(&secret, &template.shared_info(self.eid));

        agreement.protecting(self.transaction_id.octets(), KeySet::Session, &session_keys);
        let mut protector = Protector::new(&session_keys);
        let configure_isdp = rsp::encode(&ConfigureIsdpRequest::default())?;
        let configure_isdp = protector.segments(SegmentTag::Tag87, &configure_isdp);
        let store_metadata = protector.segments(SegmentTag::Tag88, &rsp::encode(self.metadata)?);
        let replace_session_keys = match self.protection {
            ProfileProtection::RandomKeys => {
                let mut random = || {
                    let mut octets = [0; 16];
                    fill_random(&mut octets);
                    octets
                };
                let keys = SessionKeys::new(random(), random(), random());
                let request = zeroize::Zeroizing::new(rsp::encode(&ReplaceSessionKeysRequest {
                    initial_mac_chaining_value: keys.initial_mac_chaining_value().as_slice().into(),
                    ppk_enc: keys.enc().as_slice().into(),
                    ppk_cmac: keys.mac().as_slice().into(),
                })?);
                let segments = protector.segments(SegmentTag::Tag87, &request);
                agreement.protecting(self.transaction_id.octets(), KeySet::ProfileProtection, &keys);
                protector.replace_session_keys(&keys);
                segments
            }
            ProfileProtection::SessionKeys => Vec::new(),
        };
        let package = protector.segments(SegmentTag::Tag86, self.package);

        let request = self.initialise_secure_channel(template, &ours, dp_pb)?;
        Ok(BoundProfilePackage::assemble(&request, &configure_isdp, &store_metadata, &replace_session_keys, &package))
    }

    fn initialise_secure_channel(
        &self,
        control_ref_template: ControlRefTemplate,
        ours: &PublicKey,
        dp_pb: &Signer,
    ) -> Result<Raw<InitialiseSecureChannelRequest>, BindError> {
        let mut request = InitialiseSecureChannelRequest {
            remote_op_id: RemoteOpId::INSTALL_BOUND_PROFILE_PACKAGE,
            transaction_id: self.transaction_id.clone(),
            control_ref_template,
            smdp_otpk: OneTimePublicKey::from(ours.to_uncompressed()),
            smdp_sign: Signature::from([0; 64]),
        };
        let unsigned = Raw::encode(&request)?;
        let input = InitialiseSecureChannelRequest::smdp_sign_input(&unsigned, self.euicc_otpk)?;
        request.smdp_sign = dp_pb.sign(&input);
        Ok(Raw::encode(&request)?)
    }
}
