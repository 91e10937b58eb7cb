//! ECDSA with SHA-256: raw `r ‖ s` as in SGP.22 (`5F37 40 …`), DER as in certificates. Signing is deterministic (RFC 6979).

use p256::ecdsa::signature::{Signer, Verifier};

use crate::ec::{PrivateKey, PrivateKeyOf, PublicKey, PublicKeyOf};

/// A raw signature: r then s, 32 octets each, big-endian.
pub type Signature = [u8; 64];

/// The signature is not one of this key over this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct InvalidSignature;

/// Signs `message`, giving `r ‖ s`.
pub fn sign(key: &PrivateKey, message: &[u8]) -> Signature {
    match &key.0 {
        PrivateKeyOf::P256(key) => {
            let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(key).sign(message);
            signature.to_bytes().into()
        }
    }
}

/// Signs `message`, giving the DER form `SEQUENCE { r, s }` that X.509 carries.
pub fn sign_der(key: &PrivateKey, message: &[u8]) -> Vec<u8> {
    match &key.0 {
        PrivateKeyOf::P256(key) => {
            let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(key).sign(message);
            signature.to_der().as_bytes().to_vec()
        }
    }
}

/// Verifies a raw signature, `r ‖ s` of 64 octets.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
    match &key.0 {
        PublicKeyOf::P256(key) => {
            let signature = p256::ecdsa::Signature::from_slice(signature).or(Err(InvalidSignature))?;
            p256::ecdsa::VerifyingKey::from(key).verify(message, &signature).or(Err(InvalidSignature))
        }
    }
}

/// Verifies a signature in DER form.
pub fn verify_der(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
    match &key.0 {
        PublicKeyOf::P256(key) => {
            let signature = p256::ecdsa::Signature::from_der(signature).or(Err(InvalidSignature))?;
            p256::ecdsa::VerifyingKey::from(key).verify(message, &signature).or(Err(InvalidSignature))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec::Curve;
    use hex_literal::hex;

    /// RFC 6979 annex A.2.5, P-256 with SHA-256.
    #[test]
    fn rfc6979() {
        let key = hex!("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
        let key = PrivateKey::from_bytes(Curve::P256, &key).unwrap();
        let sample = hex!(
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        );
        assert_eq!(sign(&key, b"sample"), sample);
        let test = hex!(
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"
        );
        assert_eq!(sign(&key, b"test"), test);
        assert_eq!(verify(&key.public_key(), b"sample", &sample), Ok(()));
        assert_eq!(verify(&key.public_key(), b"test", &sample), Err(InvalidSignature));
    }

    #[test]
    fn der_form() {
        let key = PrivateKey::from_bytes(Curve::P256, &[5; 32]).unwrap();
        let der = sign_der(&key, b"certificate");
        assert_eq!(der[0], 0x30);
        assert_eq!(verify_der(&key.public_key(), b"certificate", &der), Ok(()));
        assert!(verify_der(&key.public_key(), b"Certificate", &der).is_err());
        assert!(verify_der(&key.public_key(), b"certificate", &der[1..]).is_err());
    }

    #[test]
    fn malformed_signatures_are_refused() {
        let key = PrivateKey::from_bytes(Curve::P256, &[5; 32]).unwrap();
        let public = key.public_key();
        let good = sign(&key, b"message");
        for bit in (0..512).step_by(7) {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&public, b"message", &bad).is_err());
        }
        for bad in [&good[..63], &[0; 64], &[0xFF; 64], &[]] {
            assert!(verify(&public, b"message", bad).is_err());
        }
    }

    /// Every signature of a recorded download verifies with the key that made it.
    #[test]
    fn signatures_of_a_recorded_download() {
        let shelf = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/");
        let Ok(text) = std::fs::read_to_string(format!("{shelf}es9p-transcript/nist/signatures.json")) else {
            println!("skipped: no {shelf}");
            return;
        };
        let signatures: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert!(!signatures.is_empty());
        for signature in signatures {
            let file = match signature["key"].as_str().unwrap() {
                "DPauth" => "DPauth/SK_S_SM_DPauth_ECDSA_NIST.pem",
                "DPpb" => "DPpb/SK_S_SM_DPpb_ECDSA_NIST.pem",
                "eUICC" => "eUICC/SK_EUICC_ECDSA_NIST.pem",
                other => panic!("whose key is {other}?"),
            };
            let pem = std::fs::read_to_string(format!("{shelf}sgp26/{file}")).unwrap();
            let key = PrivateKey::from_pem(Curve::P256, &pem).unwrap();
            let octets = |name: &str| hex::decode(signature[name].as_str().unwrap()).unwrap();
            assert_eq!(
                verify(&key.public_key(), &octets("input"), &octets("signature")),
                Ok(()),
                "{}",
                signature["name"]
            );
        }
    }
}
