//! Answers made wrong: one thing in each, and what is signed is signed again, so that nothing else is wrong.

use apdu::tlv::{Tlv, Writer};
use crypto::ec::PrivateKey;
use crypto::ecdsa;
use rsp::certificate::Role;
use rsp::es8::{BoundProfilePackage, InitialiseSecureChannelRequest};
use rsp::es9::{
    AuthenticateClientRequest, AuthenticateClientResponse, Base64, GetBoundProfilePackageResponse,
    InitiateAuthenticationResponse,
};
use rsp::es10b::{AuthenticateServerResponse, ServerSigned1, SmdpSigned2};
use rsp::{CertificateDer, Raw, Signature, SubjectKeyIdentifier, TransactionId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Keys;
use super::kind::Kind;

/// A tag of class private that SGP.22 does not use.
const UNKNOWN: &[u8] = &[0xDF, 0x7F, 0x02, 0xCA, 0xFE];

/// Why it cannot be made wrong.
type Impossible = String;

/// The answer with this fault in it. `number` is that of a segment; 0 is the last.
pub(super) fn made_wrong(
    kind: Kind,
    number: u32,
    keys: &Keys,
    asked: &[u8],
    answer: &[u8],
) -> Result<Vec<u8>, Impossible> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(answer).map_err(|_| "it is no JSON object".to_owned())?;
    if kind == Kind::UnknownField {
        fields.insert("unknownField".to_owned(), json!({ "of": "no release of SGP.22" }));
    } else if fields.contains_key("serverSigned1") {
        let mut answer: InitiateAuthenticationResponse = read(&fields)?;
        first(kind, keys, &mut answer)?;
        replace(&mut fields, &answer)?;
    } else if fields.contains_key("smdpSigned2") {
        let mut answer: AuthenticateClientResponse = read(&fields)?;
        second(kind, keys, asked, &mut answer)?;
        replace(&mut fields, &answer)?;
    } else if fields.contains_key("boundProfilePackage") {
        let mut answer: GetBoundProfilePackageResponse = read(&fields)?;
        if kind == Kind::WrongTransaction {
            answer.transaction_id = other(&answer.transaction_id);
        } else {
            answer.bound_profile_package = Base64(package(kind, number, &answer.bound_profile_package.0)?);
        }
        replace(&mut fields, &answer)?;
    } else {
        return Err("the function was refused".to_owned());
    }
    serde_json::to_vec(&fields).map_err(impossible)
}

/// InitiateAuthentication.
fn first(kind: Kind, keys: &Keys, answer: &mut InitiateAuthenticationResponse) -> Result<(), Impossible> {
    let mut signed: ServerSigned1 = answer.server_signed1.decode().map_err(impossible)?;
    match kind {
        Kind::WrongTransaction => answer.transaction_id = other(&answer.transaction_id),
        Kind::WrongSignature => answer.server_signature1 = flipped(&answer.server_signature1)?,
        Kind::UnknownCi => {
            answer.euicc_ci_pk_id_to_be_used =
                Raw::encode(&SubjectKeyIdentifier::from([0xEE; 20])).map_err(impossible)?;
        }
        Kind::SignedTransaction | Kind::WrongChallenge | Kind::WrongAddress => {
            match kind {
                Kind::SignedTransaction => signed.transaction_id = other(&signed.transaction_id),
                Kind::WrongChallenge => signed.euicc_challenge = [0xEE; 16].into(),
                _ => signed.server_address = "another-server.example.com".into(),
            }
            answer.server_signed1 = Raw::encode(&signed).map_err(impossible)?;
            answer.server_signature1 = sign(&keys.auth, answer.server_signed1.octets())?;
        }
        Kind::UnknownTlv => {
            answer.server_signed1 = with_unknown(&answer.server_signed1)?;
            answer.server_signature1 = sign(&keys.auth, answer.server_signed1.octets())?;
        }
        _ => answer.server_certificate = keys.wrong_certificate(Role::DpAuth, kind)?,
    }
    Ok(())
}

/// AuthenticateClient.
fn second(kind: Kind, keys: &Keys, asked: &[u8], answer: &mut AuthenticateClientResponse) -> Result<(), Impossible> {
    let resign = |answer: &mut AuthenticateClientResponse| -> Result<(), Impossible> {
        let asked: AuthenticateClientRequest = serde_json::from_slice(asked).map_err(impossible)?;
        let response = asked.authenticate_server_response.decode().map_err(impossible)?;
        let AuthenticateServerResponse::AuthenticateResponseOk(ok) = response else {
            return Err("the eUICC refused".to_owned());
        };
        let input = [answer.smdp_signed2.octets(), &ok.euicc_signature1.tlv()].concat();
        answer.smdp_signature2 = sign(&keys.pb, &input)?;
        Ok(())
    };
    let mut signed: SmdpSigned2 = answer.smdp_signed2.decode().map_err(impossible)?;
    match kind {
        Kind::WrongTransaction => answer.transaction_id = other(&answer.transaction_id),
        Kind::WrongSignature => answer.smdp_signature2 = flipped(&answer.smdp_signature2)?,
        Kind::SignedTransaction | Kind::CodeFlag => {
            if kind == Kind::CodeFlag {
                signed.cc_required_flag = !signed.cc_required_flag;
            } else {
                signed.transaction_id = other(&signed.transaction_id);
            }
            answer.smdp_signed2 = Raw::encode(&signed).map_err(impossible)?;
            resign(answer)?;
        }
        Kind::UnknownTlv => {
            answer.smdp_signed2 = with_unknown(&answer.smdp_signed2)?;
            resign(answer)?;
        }
        Kind::MetadataName | Kind::MetadataIccid => {
            let mut metadata = answer.profile_metadata.decode().map_err(impossible)?;
            if kind == Kind::MetadataName {
                metadata.profile_name = "Another name".into();
            } else {
                metadata.iccid = OTHER_ICCID.as_slice().into();
            }
            answer.profile_metadata = Raw::encode(&metadata).map_err(impossible)?;
        }
        _ => answer.smdp_certificate = keys.wrong_certificate(Role::DpPb, kind)?,
    }
    Ok(())
}

/// 8988211999999999999 with its check digit, as in EF.ICCID.
const OTHER_ICCID: [u8; 10] = [0x98, 0x88, 0x12, 0x91, 0x99, 0x99, 0x99, 0x99, 0x99, 0x79];

/// The package of GetBoundProfilePackage.
fn package(kind: Kind, number: u32, octets: &[u8]) -> Result<Vec<u8>, Impossible> {
    let parsed = BoundProfilePackage::parse(octets).map_err(impossible)?;
    let mut request: Raw<InitialiseSecureChannelRequest> =
        Raw::from_octets(parsed.initialise_secure_channel_request).map_err(impossible)?;
    let second = parsed.second_sequence_of_87.as_ref().map(|part| part.segments.as_slice()).unwrap_or_default();
    let parts = [
        &parsed.first_sequence_of_87.segments,
        &parsed.sequence_of_88.segments,
        second,
        &parsed.sequence_of_86.segments,
    ];
    let mut parts = parts.map(|part| part.iter().map(|segment| segment.to_vec()).collect::<Vec<_>>());
    match kind {
        Kind::Truncated => return Ok(octets.get(..octets.len() / 2).unwrap_or_default().to_vec()),
        Kind::UnknownTlv => {
            let whole = Tlv::parse(octets).map_err(impossible)?;
            let mut longer = Writer::new();
            longer.constructed(whole.tag, |body| {
                body.raw(whole.value);
                body.raw(UNKNOWN);
            });
            return Ok(longer.into_bytes());
        }
        Kind::WrongSignature => {
            let mut wrong = request.decode().map_err(impossible)?;
            wrong.smdp_sign = Signature::from(flip_last(wrong.smdp_sign.octets().to_vec()));
            request = Raw::encode(&wrong).map_err(impossible)?;
        }
        _ => {
            let count: usize = parts.iter().map(Vec::len).sum();
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            let mut index =
                if number == 0 { count } else { number }.checked_sub(1).ok_or("the package has no segments")?;
            let part = parts.iter_mut().find(|part| {
                let is_here = index < part.len();
                index -= if is_here { 0 } else { part.len() };
                is_here
            });
            let part = part.ok_or_else(|| format!("the package has {count} segments"))?;
            if kind == Kind::SegmentMissing {
                part.remove(index);
            } else if let Some(segment) = part.get_mut(index) {
                *segment = flip_last(core::mem::take(segment));
            }
        }
    }
    let [first, metadata, second, profile] = &parts;
    Ok(BoundProfilePackage::assemble(&request, first, metadata, second, profile))
}

impl Keys {
    fn wrong_certificate(&self, role: Role, kind: Kind) -> Result<CertificateDer, Impossible> {
        let found = self.wrong.iter().find(|(of, which, _)| *of == role && *which == kind);
        let (_, _, credential) = found.ok_or_else(|| "there is nothing to make wrong in it".to_owned())?;
        Ok(credential.certificate().der().clone())
    }
}

fn read<T: DeserializeOwned>(fields: &Map<String, Value>) -> Result<T, Impossible> {
    serde_json::from_value(Value::Object(fields.clone())).map_err(impossible)
}

/// The header stays.
fn replace(fields: &mut Map<String, Value>, answer: &impl Serialize) -> Result<(), Impossible> {
    if let Value::Object(wrong) = serde_json::to_value(answer).map_err(impossible)? {
        fields.extend(wrong);
    }
    Ok(())
}

fn other(id: &TransactionId) -> TransactionId {
    TransactionId::from(flip_last(id.octets().to_vec()))
}

fn flip_last(mut octets: Vec<u8>) -> Vec<u8> {
    if let Some(last) = octets.last_mut() {
        *last ^= 1;
    }
    octets
}

fn flipped(signature: &Raw<Signature>) -> Result<Raw<Signature>, Impossible> {
    let signature = signature.decode().map_err(impossible)?;
    Raw::encode(&Signature::from(flip_last(signature.octets().to_vec()))).map_err(impossible)
}

fn sign(key: &PrivateKey, input: &[u8]) -> Result<Raw<Signature>, Impossible> {
    Raw::encode(&Signature::from(ecdsa::sign(key, input))).map_err(impossible)
}

/// The same with one more element at its end.
fn with_unknown<T: rasn::AsnType>(whole: &Raw<T>) -> Result<Raw<T>, Impossible> {
    let read = Tlv::parse(whole.octets()).map_err(impossible)?;
    let mut longer = Writer::new();
    longer.constructed(read.tag, |body| {
        body.raw(read.value);
        body.raw(UNKNOWN);
    });
    Raw::from_octets(longer.into_bytes()).map_err(impossible)
}

fn impossible(error: impl core::fmt::Display) -> Impossible {
    error.to_string()
}
