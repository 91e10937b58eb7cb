//! Secure channels of GlobalPlatform: who holds the static keys of a security domain may give it commands, protected against
//! change and, if wanted, readers.
//!
//! Both ends are here. [`Handshake`] is what both know after INITIALIZE UPDATE, [`Session`] what they keep after EXTERNAL
//! AUTHENTICATE. [`scp02`] uses triple DES (GlobalPlatform Card Specification annex E), [`scp03`] AES (Amendment D).
//!
//! ```
//! use crypto::scp::{Handshake, Level, StaticKeys, scp03};
//!
//! let keys = StaticKeys::same(&[0x40; 16]);
//! let options = scp03::Options(0x70);
//! let (host, card) = ([1; 8], [2; 8]);
//! let start = || scp03::handshake(&keys, options, &host, &card).map(Handshake::Scp03);
//! let (mut host_end, command) = start().unwrap().external_authenticate(Level(0x33));
//! let mut card_end = start().unwrap().authenticate(command.header, &command.data).unwrap();
//! let wrapped = host_end.wrap([0x80, 0xF2, 0x80, 0x02], &[0x4F, 0x00]);
//! assert_eq!(card_end.unwrap(wrapped.header, &wrapped.data).unwrap().as_slice(), [0x4F, 0x00]);
//! let answer = card_end.wrap_response(&[0xE3], [0x90, 0x00]);
//! assert_eq!(host_end.unwrap_response(&answer, [0x90, 0x00]).unwrap().as_slice(), [0xE3]);
//! ```

mod cipher;
pub mod scp02;
pub mod scp03;

pub use cipher::{Cipher, Kind};

use zeroize::Zeroizing;

/// Why a command, or an answer, does not count. The end that receives it ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScpError {
    /// The cryptogram of EXTERNAL AUTHENTICATE is not the one that the keys give.
    #[error("the host cryptogram is wrong")]
    Cryptogram,
    /// The MAC is not there, or another one.
    #[error("the MAC is missing or wrong")]
    Mac,
    /// The deciphered data does not end in padding.
    #[error("the enciphered data has no padding")]
    Padding,
    /// A security level that the options do not offer.
    #[error("the security level is not offered")]
    Level,
}

/// Security level: what protects commands and answers. GlobalPlatform §10.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level(pub u8);

impl Level {
    /// Commands carry a MAC.
    pub const C_MAC: u8 = 0x01;
    /// Data of commands is enciphered.
    pub const C_DECRYPTION: u8 = 0x02;
    /// Answers carry a MAC.
    pub const R_MAC: u8 = 0x10;
    /// Data of answers is enciphered.
    pub const R_ENCRYPTION: u8 = 0x20;

    /// Whether it contains one of the constants.
    pub const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// The three keys of a set: encryption, MAC, and encryption of keys.
#[derive(Clone)]
pub struct StaticKeys {
    /// Key-ENC, identifier 1.
    pub enc: Zeroizing<Vec<u8>>,
    /// Key-MAC, identifier 2.
    pub mac: Zeroizing<Vec<u8>>,
    /// Key-DEK, identifier 3.
    pub dek: Zeroizing<Vec<u8>>,
}

impl StaticKeys {
    /// Whether another set has the same keys.
    pub fn is_same(&self, other: &Self) -> bool {
        let pairs = [(&self.enc, &other.enc), (&self.mac, &other.mac), (&self.dek, &other.dek)];
        pairs.into_iter().fold(true, |same, (one, other)| same & is_same(one, other))
    }

    /// A set from its keys.
    pub fn new(enc: &[u8], mac: &[u8], dek: &[u8]) -> Self {
        let own = |key: &[u8]| Zeroizing::new(key.to_vec());
        Self { enc: own(enc), mac: own(mac), dek: own(dek) }
    }

    /// The same key three times, as test cards have it.
    pub fn same(key: &[u8]) -> Self {
        Self::new(key, key, key)
    }
}

impl core::fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StaticKeys(secret)")
    }
}

/// A command under protection: what goes over the wire besides its Le.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// CLA, INS, P1, P2, with the class of the plain command.
    pub header: [u8; 4],
    /// Data and MAC.
    pub data: Vec<u8>,
}

/// After INITIALIZE UPDATE: session keys and cryptograms.
#[derive(Clone, Debug)]
pub enum Handshake {
    /// Triple DES.
    Scp02(scp02::Handshake),
    /// AES.
    Scp03(scp03::Handshake),
}

/// After EXTERNAL AUTHENTICATE: what both ends keep.
#[derive(Clone, Debug)]
pub enum Session {
    /// Triple DES.
    Scp02(scp02::Session),
    /// AES.
    Scp03(scp03::Session),
}

/// The same call for both protocols.
macro_rules! either {
    ($kind:ident, $self:expr, $own:ident => $call:expr) => {
        match $self {
            $kind::Scp02($own) => $call,
            $kind::Scp03($own) => $call,
        }
    };
}

impl Handshake {
    /// The card's proof that it has the keys.
    pub fn card_cryptogram(&self) -> &[u8] {
        either!(Self, self, own => own.card_cryptogram())
    }

    /// The host's proof.
    pub fn host_cryptogram(&self) -> &[u8] {
        either!(Self, self, own => own.host_cryptogram())
    }

    /// The host's end: EXTERNAL AUTHENTICATE, and the session behind it.
    pub fn external_authenticate(self, level: Level) -> (Session, Protected) {
        let header = [0x84, 0x82, level.0, 0x00];
        let data = self.host_cryptogram().to_vec();
        let mut session = self.session(level);
        let mac = session.authentication_mac(header, &data);
        (session, Protected { header, data: [data, mac].concat() })
    }

    /// The card's end: takes an EXTERNAL AUTHENTICATE with the security level in its P1.
    ///
    /// # Errors
    /// The level is not offered, the cryptogram is wrong, or the MAC.
    pub fn authenticate(self, header: [u8; 4], data: &[u8]) -> Result<Session, ScpError> {
        let level = Level(header[2]);
        if !self.offers(level) {
            return Err(ScpError::Level);
        }
        let (cryptogram, mac) = data.split_at_checked(self.host_cryptogram().len()).ok_or(ScpError::Cryptogram)?;
        if !is_same(cryptogram, self.host_cryptogram()) {
            return Err(ScpError::Cryptogram);
        }
        let mut session = self.session(level);
        if is_same(mac, &session.authentication_mac(header, cryptogram)) { Ok(session) } else { Err(ScpError::Mac) }
    }

    /// Whether a session may have this level.
    pub fn offers(&self, level: Level) -> bool {
        either!(Self, self, own => own.offers(level))
    }

    fn session(self, level: Level) -> Session {
        match self {
            Self::Scp02(own) => Session::Scp02(own.session(level)),
            Self::Scp03(own) => Session::Scp03(own.session(level)),
        }
    }
}

impl Session {
    /// What protects commands and answers.
    pub fn level(&self) -> Level {
        either!(Self, self, own => own.level())
    }

    /// Octets by which an answer may become longer.
    pub fn answer_overhead(&self) -> usize {
        either!(Self, self, own => own.answer_overhead())
    }

    fn authentication_mac(&mut self, header: [u8; 4], data: &[u8]) -> Vec<u8> {
        either!(Self, self, own => own.authentication_mac(header, data))
    }

    /// The host's end: protects a command, whose class says nothing of protection yet.
    pub fn wrap(&mut self, header: [u8; 4], data: &[u8]) -> Protected {
        either!(Self, self, own => own.wrap(header, data))
    }

    /// The card's end: the data of a command.
    ///
    /// # Errors
    /// MAC or padding is wrong; the session cannot go on.
    pub fn unwrap(&mut self, header: [u8; 4], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, ScpError> {
        either!(Self, self, own => own.unwrap(header, data))
    }

    /// The card's end: protects an answer with this status word. One with an error goes out as it is.
    pub fn wrap_response(&mut self, data: &[u8], sw: [u8; 2]) -> Vec<u8> {
        match self {
            Self::Scp02(_) => data.to_vec(),
            Self::Scp03(own) => own.wrap_response(data, sw),
        }
    }

    /// The host's end: the data of an answer.
    ///
    /// # Errors
    /// MAC or padding is wrong.
    pub fn unwrap_response(&mut self, data: &[u8], sw: [u8; 2]) -> Result<Zeroizing<Vec<u8>>, ScpError> {
        match self {
            Self::Scp02(_) => Ok(Zeroizing::new(data.to_vec())),
            Self::Scp03(own) => own.unwrap_response(data, sw),
        }
    }

    /// Enciphers a key, or other secret data in whole blocks, for the other end. `None`: not whole blocks.
    pub fn encrypt_key(&self, key: &[u8]) -> Option<Vec<u8>> {
        either!(Self, self, own => own.encrypt_key(key))
    }

    /// Back from [`encrypt_key`](Self::encrypt_key).
    pub fn decrypt_key(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        either!(Self, self, own => own.decrypt_key(key))
    }
}

/// The class byte that a MAC covers: the basic channel's, with the bit for this protection. GlobalPlatform §E.4.4.
const fn mac_class(class: u8) -> u8 {
    class & 0x80 | 0x04
}

/// Compares in constant time; lengths are no secret.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(one, other).into()
}

/// With `80 00 …` behind it, to whole blocks. GlobalPlatform §B.2.3.
fn padded(data: &[u8], block: usize) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(Vec::with_capacity(data.len() + block));
    padded.extend_from_slice(data);
    padded.push(0x80);
    let length = padded.len().next_multiple_of(block);
    padded.resize(length, 0);
    padded
}

/// Takes the padding off again.
fn unpad(data: &mut Zeroizing<Vec<u8>>, block: usize) -> Result<(), ScpError> {
    let mark = data.iter().rposition(|octet| *octet != 0).ok_or(ScpError::Padding)?;
    if data.get(mark) != Some(&0x80) || data.len() - mark > block {
        return Err(ScpError::Padding);
    }
    data.truncate(mark);
    Ok(())
}
