//! SUCI: concealment of the subscription permanent identifier with ECIES (TS 33.501 annex C).

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ec::{Curve, PrivateKey, PublicKey};
use crate::ecka::{agree, x963_kdf};

/// How the identifier is concealed; the discriminant is the protection scheme identifier of annex C.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ProtectionScheme {
    /// Null scheme: the scheme output is the scheme input.
    Null = 0,
    /// ECIES with X25519.
    ProfileA = 1,
    /// ECIES with P-256, points compressed.
    ProfileB = 2,
}

impl ProtectionScheme {
    /// The scheme an identifier names, if it is one of the standardised three.
    pub fn from_identifier(identifier: u8) -> Option<Self> {
        [Self::Null, Self::ProfileA, Self::ProfileB].into_iter().find(|scheme| *scheme as u8 == identifier)
    }

    /// Octets of the ephemeral public key at the head of the scheme output.
    pub const fn public_key_length(self) -> usize {
        match self {
            Self::Null => 0,
            Self::ProfileA => 32,
            Self::ProfileB => 33,
        }
    }
}

/// Octets of the MAC tag at the end of the scheme output.
pub const MAC_LENGTH: usize = 8;

/// Why nothing could be concealed or revealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuciError {
    /// The home network's key is not one of the scheme's curve.
    #[error("home network key does not belong to the protection scheme")]
    HomeNetworkKey,
    /// The scheme output is too short or starts with no public key.
    #[error("scheme output is malformed")]
    Malformed,
    /// The MAC tag is wrong: concealed for another key, or changed on the way.
    #[error("MAC tag of the scheme output is wrong")]
    Mac,
}

/// Conceals `scheme_input` (packed BCD of the MSIN, or a network access identifier's user part) for the home network.
///
/// `home_network_key` is its public key: 32 octets for profile A; a point, compressed or not, for profile B.
/// `fill_random` provides the ephemeral key. Returns the scheme output: ephemeral public key, ciphertext, MAC tag.
pub fn conceal(
    scheme: ProtectionScheme,
    home_network_key: &[u8],
    scheme_input: &[u8],
    mut fill_random: impl FnMut(&mut [u8]),
) -> Result<Vec<u8>, SuciError> {
    let (mut output, keys) = match scheme {
        ProtectionScheme::Null => return Ok(scheme_input.to_vec()),
        ProtectionScheme::ProfileA => {
            let theirs = home_network_key.try_into().or(Err(SuciError::HomeNetworkKey))?;
            let mut ephemeral = Zeroizing::new([0; 32]);
            fill_random(ephemeral.as_mut_slice());
            let public = x25519(*ephemeral, X25519_BASEPOINT_BYTES);
            let shared = contributory(x25519(*ephemeral, theirs)).ok_or(SuciError::HomeNetworkKey)?;
            (public.to_vec(), EciesKeys::derive(shared.as_slice(), &public))
        }
        ProtectionScheme::ProfileB => {
            let theirs = PublicKey::from_sec1(Curve::P256, home_network_key).or(Err(SuciError::HomeNetworkKey))?;
            let ephemeral = PrivateKey::generate(Curve::P256, fill_random);
            let public = ephemeral.public_key().to_compressed();
            (public.to_vec(), EciesKeys::derive(agree(&ephemeral, &theirs).as_bytes(), &public))
        }
    };
    let mut ciphertext = scheme_input.to_vec();
    keys.apply_keystream(&mut ciphertext);
    output.extend_from_slice(&ciphertext);
    output.extend_from_slice(&keys.mac(&ciphertext));
    Ok(output)
}

/// Network side: reveals the scheme input with the home network's private key of 32 octets.
pub fn reveal(
    scheme: ProtectionScheme,
    home_network_key: &[u8],
    scheme_output: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SuciError> {
    let (public, rest) = scheme_output.split_at_checked(scheme.public_key_length()).ok_or(SuciError::Malformed)?;
    let keys = match scheme {
        ProtectionScheme::Null => return Ok(rest.to_vec().into()),
        ProtectionScheme::ProfileA => {
            let private = Zeroizing::new(home_network_key.try_into().or(Err(SuciError::HomeNetworkKey))?);
            let theirs = public.try_into().or(Err(SuciError::Malformed))?;
            let shared = contributory(x25519(*private, theirs)).ok_or(SuciError::Malformed)?;
            EciesKeys::derive(shared.as_slice(), public)
        }
        ProtectionScheme::ProfileB => {
            let private = PrivateKey::from_bytes(Curve::P256, home_network_key).or(Err(SuciError::HomeNetworkKey))?;
            let theirs = PublicKey::from_sec1(Curve::P256, public).or(Err(SuciError::Malformed))?;
            EciesKeys::derive(agree(&private, &theirs).as_bytes(), public)
        }
    };
    let (ciphertext, tag) = rest.split_last_chunk::<MAC_LENGTH>().ok_or(SuciError::Malformed)?;
    if !bool::from(keys.mac(ciphertext).ct_eq(tag)) {
        return Err(SuciError::Mac);
    }
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    keys.apply_keystream(&mut plaintext);
    Ok(plaintext)
}

/// X25519 with a point of small order gives zero whatever the private key: no secret at all.
fn contributory(shared: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    (shared != [0; 32]).then(|| Zeroizing::new(shared))
}

/// What the shared secret yields (annexes C.3.2 and C.3.3): encryption key, initial counter block, MAC key.
#[derive(Zeroize, ZeroizeOnDrop)]
struct EciesKeys {
    encryption: [u8; 16],
    counter: [u8; 16],
    mac: [[u8; 16]; 2],
}

impl EciesKeys {
    fn derive(shared: &[u8], ephemeral_public: &[u8]) -> Self {
        let mut keys = Zeroizing::new([[0; 16]; 4]);
        x963_kdf(shared, ephemeral_public, keys.as_flattened_mut());
        let [encryption, counter, mac @ ..] = *keys;
        Self { encryption, counter, mac }
    }

    fn apply_keystream(&self, octets: &mut [u8]) {
        Ctr128BE::<Aes128>::new(&self.encryption.into(), &self.counter.into()).apply_keystream(octets);
    }

    fn mac(&self, ciphertext: &[u8]) -> [u8; MAC_LENGTH] {
        // HMAC fills a short key up with zeros to the hash's block of 64 octets.
        let mut key = Zeroizing::new([0; 64]);
        key.iter_mut().zip(self.mac.as_flattened()).for_each(|(to, from)| *to = *from);
        let tag: [u8; 32] =
            <Hmac<Sha256> as KeyInit>::new((&*key).into()).chain_update(ciphertext).finalize().into_bytes().into();
        let mut truncated = [0; MAC_LENGTH];
        truncated.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
        truncated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    // TS 33.501 annex C.4: MSIN 001208 0866 in packed BCD.
    const PLAINTEXT: [u8; 5] = hex!("00012080F6");

    #[test]
    fn profile_a() {
        let private = hex!("c53c22208b61860b06c62e5406a7b330c2b577aa5558981510d128247d38bd1d");
        let public = hex!("5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650");
        let ephemeral = hex!("c80949f13ebe61af4ebdbd293ea4f942696b9e815d7e8f0096bbf6ed7de62256");
        let output =
            conceal(ProtectionScheme::ProfileA, &public, &PLAINTEXT, |out| out.copy_from_slice(&ephemeral)).unwrap();
        assert_eq!(
            output,
            hex!("b2e92f836055a255837debf850b528997ce0201cb82adfe4be1f587d07d8457dcb02352410cddd9e730ef3fa87")
        );
        assert_eq!(**reveal(ProtectionScheme::ProfileA, &private, &output).unwrap(), PLAINTEXT);
    }

    #[test]
    fn profile_b() {
        let private = hex!("F1AB1074477EBCC7F554EA1C5FC368B1616730155E0041AC447D6301975FECDA");
        let public = hex!("0272DA71976234CE833A6907425867B82E074D44EF907DFB4B3E21C1C2256EBCD1");
        let ephemeral = hex!("99798858A1DC6A2C68637149A4B1DBFD1FDFF5ADDD62A2142F06699ED7602529");
        let output =
            conceal(ProtectionScheme::ProfileB, &public, &PLAINTEXT, |out| out.copy_from_slice(&ephemeral)).unwrap();
        assert_eq!(
            output,
            hex!("039AAB8376597021E855679A9778EA0B67396E68C66DF32C0F41E9ACCA2DA9B9D146A33FC2716AC7DAE96AA30A4D")
        );
        assert_eq!(**reveal(ProtectionScheme::ProfileB, &private, &output).unwrap(), PLAINTEXT);
    }

    #[test]
    fn null_scheme() {
        let output = conceal(ProtectionScheme::Null, &[], &PLAINTEXT, |_| panic!("needs no randomness")).unwrap();
        assert_eq!(output, PLAINTEXT);
        assert_eq!(**reveal(ProtectionScheme::Null, &[], &output).unwrap(), PLAINTEXT);
    }

    #[test]
    fn tampering_is_noticed() {
        for (scheme, public) in [
            (ProtectionScheme::ProfileA, x25519([7; 32], X25519_BASEPOINT_BYTES).to_vec()),
            (
                ProtectionScheme::ProfileB,
                PrivateKey::from_bytes(Curve::P256, &[7; 32]).unwrap().public_key().to_compressed().to_vec(),
            ),
        ] {
            let output = conceal(scheme, &public, &PLAINTEXT, |out| out.fill(9)).unwrap();
            assert!(reveal(scheme, &[7; 32], &output).is_ok());
            for at in 0..output.len() {
                let mut changed = output.clone();
                changed[at] ^= 1;
                assert!(reveal(scheme, &[7; 32], &changed).is_err());
                assert!(reveal(scheme, &[7; 32], &output[..at]).is_err());
            }
            assert_eq!(reveal(scheme, &[8; 32], &output), Err(SuciError::Mac));
            assert_eq!(reveal(scheme, &[8; 31], &output), Err(SuciError::HomeNetworkKey));
            assert_eq!(conceal(scheme, &[], &PLAINTEXT, |out| out.fill(9)), Err(SuciError::HomeNetworkKey));
        }
        let small_order = [0; 32];
        assert_eq!(
            conceal(ProtectionScheme::ProfileA, &small_order, &PLAINTEXT, |out| out.fill(9)),
            Err(SuciError::HomeNetworkKey)
        );
    }

    #[test]
    fn identifiers() {
        assert_eq!(ProtectionScheme::from_identifier(1), Some(ProtectionScheme::ProfileA));
        assert_eq!(ProtectionScheme::from_identifier(3), None);
    }
}
