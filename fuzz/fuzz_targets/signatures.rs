//! Signatures and agreements: what one provider accepts the other accepts, whatever comes in the place of a signature.

#![no_main]

use std::sync::Arc;
use std::sync::LazyLock;

use crypto::ec::{Curve, PrivateKey, PublicKey};
use crypto::ecdsa;
use crypto::provider::{Deterministic, KeyAgreement as _, Provider, Verification as _};

/// ring, and what remembers before it.
static PROVIDERS: LazyLock<[Arc<dyn Provider>; 2]> =
    LazyLock::new(|| [Arc::new(crypto_ring::Ring::default()), crypto_ring::provider()]);

fn compare(key: &PublicKey, message: &[u8], signature: &[u8]) {
    let (raw, der) = (Deterministic.verify(key, message, signature), Deterministic.verify_der(key, message, signature));
    for provider in &*PROVIDERS {
        assert_eq!(provider.verify(key, message, signature), raw, "{signature:02x?}");
        assert_eq!(provider.verify_der(key, message, signature), der, "{signature:02x?}");
    }
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    // Two octets of key, one of where to change the signature, one of how, one of what the message is; then the rest.
    let Some((&[high, low, at, change, length], rest)) = octets.split_first_chunk() else { return };
    let mut scalar = [low; 32];
    scalar[0] = high;
    let Ok(key) = PrivateKey::from_bytes(Curve::P256, &scalar) else { return };
    let public = key.public_key();
    let (message, signature) = rest.split_at(usize::from(length).min(rest.len()));

    // What comes is a signature.
    compare(&public, message, signature);
    // A right one, changed.
    for right in [ecdsa::sign(&key, message).to_vec(), ecdsa::sign_der(&key, message)] {
        compare(&public, message, &right);
        let mut changed = right;
        let at = usize::from(at) % changed.len();
        changed[at] ^= change;
        compare(&public, message, &changed);
        changed.extend_from_slice(signature);
        compare(&public, message, &changed);
        changed.truncate(at);
        compare(&public, message, &changed);
    }
    // What ring signs.
    let theirs = PROVIDERS[0].signer(&key, &public).sign(message);
    assert_eq!(Deterministic.verify(&public, message, &theirs), Ok(()));
    compare(&public, message, &theirs);
    // Whatever comes as a point is one to both or to none, and both sides have the same secret.
    if let Ok(point) = PublicKey::from_sec1(Curve::P256, rest) {
        assert!(PROVIDERS[0].agree(&key, &point) == Deterministic.agree(&key, &point));
    }
    let (once, secret) = PROVIDERS[0].agree_once(&public, &mut |octets| octets.fill(high));
    assert!(Deterministic.agree(&key, &once) == secret);
});
