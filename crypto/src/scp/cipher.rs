//! The block ciphers that secure channels and stored keys use: triple DES and AES, by the length of the key.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use cmac::digest::InnerInit;
use cmac::digest::consts::U16;
use cmac::{Cmac, Mac};
use des::TdesEde3;
use zeroize::Zeroizing;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DES, with one, two or three keys: 8, 16 or 24 octets.
    Des,
    /// AES: 16, 24 or 32 octets.
    Aes,
}

/// A block cipher with its key.
#[derive(Clone)]
pub enum Cipher {
    /// DES and triple DES: with one key it is the same key three times.
    Des(Box<TdesEde3>),
    /// AES-128.
    Aes128(Box<Aes128>),
    /// AES-192.
    Aes192(Box<Aes192>),
    /// AES-256.
    Aes256(Box<Aes256>),
}

impl core::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cipher(secret)")
    }
}

/// The key with as many octets as triple DES wants.
fn three_keys(key: &[u8]) -> Option<Zeroizing<[u8; 24]>> {
    matches!(key.len(), 8 | 16 | 24).then(|| {
        let mut three = Zeroizing::new([0; 24]);
        three.iter_mut().zip(key.iter().cycle()).for_each(|(to, from)| *to = *from);
        three
    })
}

impl Cipher {
    /// A cipher; `None` for a key of a length that it does not have.
    pub fn new(kind: Kind, key: &[u8]) -> Option<Self> {
        match kind {
            Kind::Des => Some(Self::Des(Box::new(TdesEde3::new(&(*three_keys(key)?).into())))),
            Kind::Aes => match key.len() {
                16 => Some(Self::Aes128(Box::new(Aes128::new_from_slice(key).ok()?))),
                24 => Some(Self::Aes192(Box::new(Aes192::new_from_slice(key).ok()?))),
                32 => Some(Self::Aes256(Box::new(Aes256::new_from_slice(key).ok()?))),
                _ => None,
            },
        }
    }

    /// Octets of a block.
    pub const fn block(&self) -> usize {
        match self {
            Self::Des(_) => 8,
            _ => 16,
        }
    }

    /// Enciphers one block in place; what is no whole block stays as it is.
    pub fn encrypt_block(&self, block: &mut [u8]) {
        match self {
            Self::Des(own) => encrypt(&**own, block),
            Self::Aes128(own) => encrypt(&**own, block),
            Self::Aes192(own) => encrypt(&**own, block),
            Self::Aes256(own) => encrypt(&**own, block),
        }
    }

    /// Deciphers one block in place; what is no whole block stays as it is.
    pub fn decrypt_block(&self, block: &mut [u8]) {
        match self {
            Self::Des(own) => decrypt(&**own, block),
            Self::Aes128(own) => decrypt(&**own, block),
            Self::Aes192(own) => decrypt(&**own, block),
            Self::Aes256(own) => decrypt(&**own, block),
        }
    }

    /// Enciphers whole blocks in place, chained from `iv`.
    pub fn encrypt_cbc(&self, iv: &[u8], data: &mut [u8]) {
        let mut chain = iv.to_vec();
        for block in data.chunks_exact_mut(self.block()) {
            add(block, &chain);
            self.encrypt_block(block);
            chain.copy_from_slice(block);
        }
    }

    /// Deciphers whole blocks in place, chained from `iv`.
    pub fn decrypt_cbc(&self, iv: &[u8], data: &mut [u8]) {
        let mut chain = iv.to_vec();
        for block in data.chunks_exact_mut(self.block()) {
            let next = block.to_vec();
            self.decrypt_block(block);
            add(block, &chain);
            chain = next;
        }
    }

    /// The key check value: the first three octets of a known block under the key, eight times `00` for DES and sixteen times
    /// `01` for AES. GlobalPlatform §B.6.
    pub fn check_value(&self) -> [u8; 3] {
        let mut block = vec![u8::from(self.block() != 8); self.block()];
        self.encrypt_block(&mut block);
        block.first_chunk().copied().unwrap_or_default()
    }

    /// AES-CMAC over the parts one behind the other; nothing for DES, which has none here.
    pub(super) fn cmac(&self, parts: &[&[u8]]) -> [u8; 16] {
        match self {
            Self::Des(_) => [0; 16],
            Self::Aes128(own) => tag(Cmac::inner_init((**own).clone()), parts),
            Self::Aes192(own) => tag(Cmac::inner_init((**own).clone()), parts),
            Self::Aes256(own) => tag(Cmac::inner_init((**own).clone()), parts),
        }
    }
}

fn encrypt<C: BlockCipherEncrypt + BlockSizeUser>(cipher: &C, block: &mut [u8]) {
    if let Ok(block) = <&mut Array<u8, C::BlockSize>>::try_from(block) {
        cipher.encrypt_block(block);
    }
}

fn decrypt<C: BlockCipherDecrypt + BlockSizeUser>(cipher: &C, block: &mut [u8]) {
    if let Ok(block) = <&mut Array<u8, C::BlockSize>>::try_from(block) {
        cipher.decrypt_block(block);
    }
}

fn add(block: &mut [u8], other: &[u8]) {
    block.iter_mut().zip(other).for_each(|(octet, other)| *octet ^= other);
}

fn tag(mut mac: impl Mac<OutputSize = U16>, parts: &[&[u8]]) -> [u8; 16] {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
