//! SCP02: triple DES. GlobalPlatform Card Specification annex E.
//!
//! Offered are the options with explicit initiation, three keys, a C-MAC over the modified command and its ICV enciphered:
//! `15`, and `55` with a card challenge that follows from the session keys.

use super::cipher::{Cipher, Kind};
use super::{Level, Protected, ScpError, StaticKeys, is_same, mac_class, padded, unpad};
use zeroize::Zeroizing;

/// Octets of a block, a cryptogram and a MAC.
const BLOCK: usize = 8;

/// The option `i`: what the protocol is used with. §E.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options(pub u8);

impl Options {
    /// Explicit initiation, C-MAC over the modified command, enciphered ICV, three keys.
    pub const BASE: u8 = 0x15;
    /// The card challenge follows from the session keys.
    pub const PSEUDO_RANDOM: u8 = 0x40;

    /// Whether it is one of those that are here: `15` and `55`.
    pub const fn is_known(self) -> bool {
        self.0 & !Self::PSEUDO_RANDOM == Self::BASE
    }

    /// Whether the card draws no challenge.
    pub const fn is_pseudo_random(self) -> bool {
        self.0 & Self::PSEUDO_RANDOM != 0
    }
}

/// What a session key is for. §E.4.1.
mod constant {
    pub(super) const C_MAC: [u8; 2] = [0x01, 0x01];
    pub(super) const ENC: [u8; 2] = [0x01, 0x82];
    pub(super) const DEK: [u8; 2] = [0x01, 0x81];
}

fn session_key(key: &[u8], constant: [u8; 2], sequence: u16) -> Option<Zeroizing<[u8; 16]>> {
    if key.len() != 16 {
        return None;
    }
    let mut derived = Zeroizing::new([0; 16]);
    let [high, low] = sequence.to_be_bytes();
    for (to, from) in derived.iter_mut().zip([constant[0], constant[1], high, low]) {
        *to = from;
    }
    Cipher::new(Kind::Des, key)?.encrypt_cbc(&[0; BLOCK], derived.as_mut_slice());
    Some(derived)
}

/// The keys of a session.
#[derive(Clone)]
struct Keys {
    enc: Cipher,
    /// The whole MAC key, and its first half.
    mac: Cipher,
    mac_first: Cipher,
    dek: Cipher,
}

impl Keys {
    fn derive(keys: &StaticKeys, sequence: u16) -> Option<Self> {
        let mac = session_key(&keys.mac, constant::C_MAC, sequence)?;
        Some(Self {
            enc: Cipher::new(Kind::Des, &*session_key(&keys.enc, constant::ENC, sequence)?)?,
            mac_first: Cipher::new(Kind::Des, mac.get(..BLOCK)?)?,
            mac: Cipher::new(Kind::Des, &*mac)?,
            dek: Cipher::new(Kind::Des, &*session_key(&keys.dek, constant::DEK, sequence)?)?,
        })
    }

    /// Single DES and a final triple DES: ISO/IEC 9797-1 MAC algorithm 3. §B.1.2.2.
    fn retail_mac(&self, icv: [u8; BLOCK], data: &[u8]) -> [u8; BLOCK] {
        let data = padded(data, BLOCK);
        let mut chain = icv;
        let mut blocks = data.chunks_exact(BLOCK).peekable();
        while let Some(block) = blocks.next() {
            chain.iter_mut().zip(block).for_each(|(octet, other)| *octet ^= other);
            let cipher = if blocks.peek().is_some() { &self.mac_first } else { &self.mac };
            cipher.encrypt_block(&mut chain);
        }
        chain
    }

    /// Triple DES all along. §B.1.2.1.
    fn cryptogram(&self, data: &[u8]) -> [u8; BLOCK] {
        let mut data = padded(data, BLOCK);
        self.enc.encrypt_cbc(&[0; BLOCK], &mut data);
        data.last_chunk().copied().unwrap_or_default()
    }
}

/// The card challenge of option `55`: it follows from the session's MAC key and the AID of the security domain. §E.4.2.3.
pub fn pseudo_random_challenge(keys: &StaticKeys, sequence: u16, aid: &[u8]) -> Option<[u8; 6]> {
    let mac = Keys::derive(keys, sequence)?.retail_mac([0; BLOCK], aid);
    mac.first_chunk().copied()
}

/// What both know after INITIALIZE UPDATE. `None`: the keys are not of 16 octets.
pub fn handshake(
    keys: &StaticKeys,
    sequence: u16,
    host_challenge: &[u8; 8],
    card_challenge: &[u8; 6],
) -> Option<Handshake> {
    let keys = Keys::derive(keys, sequence)?;
    let card = [&sequence.to_be_bytes()[..], card_challenge].concat();
    let card_cryptogram = keys.cryptogram(&[host_challenge, &card[..]].concat());
    let host_cryptogram = keys.cryptogram(&[&card[..], host_challenge].concat());
    Some(Handshake { keys, card_cryptogram, host_cryptogram })
}

/// Session keys and cryptograms.
#[derive(Clone)]
pub struct Handshake {
    keys: Keys,
    card_cryptogram: [u8; BLOCK],
    host_cryptogram: [u8; BLOCK],
}

impl core::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Handshake(SCP02, secret)")
    }
}

impl Handshake {
    pub(super) const fn card_cryptogram(&self) -> &[u8] {
        &self.card_cryptogram
    }

    pub(super) const fn host_cryptogram(&self) -> &[u8] {
        &self.host_cryptogram
    }

    #[expect(clippy::unused_self, reason = "the other protocol asks its options")]
    pub(super) const fn offers(&self, level: Level) -> bool {
        matches!(level.0, 0x00 | 0x01 | 0x03)
    }

    pub(super) fn session(self, level: Level) -> Session {
        Session { keys: self.keys, level, last_mac: None }
    }
}

/// What both ends keep.
#[derive(Clone)]
pub struct Session {
    keys: Keys,
    level: Level,
    last_mac: Option<[u8; BLOCK]>,
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Session(SCP02, level {:02X})", self.level.0)
    }
}

impl Session {
    pub(super) const fn level(&self) -> Level {
        self.level
    }

    #[expect(clippy::unused_self, reason = "the other protocol has some")]
    pub(super) const fn answer_overhead(&self) -> usize {
        0
    }

    /// The MAC that comes next; what is enciphered, is so afterwards. §E.4.4.
    fn mac(&mut self, [class, ins, p1, p2]: [u8; 4], data: &[u8]) -> [u8; BLOCK] {
        let length = u8::try_from(data.len() + BLOCK).unwrap_or(u8::MAX);
        let mut icv = self.last_mac.unwrap_or_default();
        if self.last_mac.is_some() {
            self.keys.mac_first.encrypt_block(&mut icv);
        }
        let mac = self.keys.retail_mac(icv, &[&[mac_class(class), ins, p1, p2, length][..], data].concat());
        self.last_mac = Some(mac);
        mac
    }

    pub(super) fn authentication_mac(&mut self, header: [u8; 4], data: &[u8]) -> Vec<u8> {
        self.mac(header, data).to_vec()
    }

    pub(super) fn wrap(&mut self, header: [u8; 4], data: &[u8]) -> Protected {
        let mut body = data.to_vec();
        if self.level.has(Level::C_MAC) {
            let mac = self.mac(header, data);
            if self.level.has(Level::C_DECRYPTION) && !data.is_empty() {
                let mut enciphered = padded(data, BLOCK);
                self.keys.enc.encrypt_cbc(&[0; BLOCK], &mut enciphered);
                body = enciphered.to_vec();
            }
            body.extend(mac);
        }
        Protected { header, data: body }
    }

    pub(super) fn unwrap(&mut self, header: [u8; 4], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, ScpError> {
        if !self.level.has(Level::C_MAC) {
            return Ok(Zeroizing::new(data.to_vec()));
        }
        let (data, received) = data.split_last_chunk::<BLOCK>().ok_or(ScpError::Mac)?;
        let mut data = Zeroizing::new(data.to_vec());
        if self.level.has(Level::C_DECRYPTION) && !data.is_empty() {
            if data.len() % BLOCK != 0 {
                return Err(ScpError::Padding);
            }
            self.keys.enc.decrypt_cbc(&[0; BLOCK], &mut data);
            // Wrong padding is told like a wrong MAC: which of the two it was helps only who has no keys.
            unpad(&mut data, BLOCK).map_err(|_| ScpError::Mac)?;
        }
        if is_same(received, &self.mac(header, &data)) { Ok(data) } else { Err(ScpError::Mac) }
    }

    pub(super) fn encrypt_key(&self, key: &[u8]) -> Option<Vec<u8>> {
        let whole = !key.is_empty() && key.len().is_multiple_of(BLOCK);
        whole.then(|| {
            let mut key = key.to_vec();
            key.chunks_exact_mut(BLOCK).for_each(|block| self.keys.dek.encrypt_block(block));
            key
        })
    }

    pub(super) fn decrypt_key(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let whole = !key.is_empty() && key.len().is_multiple_of(BLOCK);
        whole.then(|| {
            let mut key = Zeroizing::new(key.to_vec());
            key.chunks_exact_mut(BLOCK).for_each(|block| self.keys.dek.decrypt_block(block));
            key
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Handshake, Session, StaticKeys};
    use super::*;
    use hex_literal::hex;

    const KEY: [u8; 16] = hex!("404142434445464748494A4B4C4D4E4F");

    /// The parts of the answer to INITIALIZE UPDATE.
    fn begin(keys: &StaticKeys, host: &[u8], answer: &[u8]) -> Handshake {
        let sequence = u16::from_be_bytes(*answer[12..].first_chunk().unwrap());
        let challenge = answer[14..].first_chunk().unwrap();
        let handshake = super::handshake(keys, sequence, host.try_into().unwrap(), challenge).unwrap();
        assert_eq!(handshake.card_cryptogram(), &answer[20..]);
        Handshake::Scp02(handshake)
    }

    /// Both ends say what was recorded.
    fn play(handshake: Handshake, level: u8, authenticate: &[u8], commands: &[(&[u8], &[u8])]) -> Session {
        let (mut host, command) = handshake.clone().external_authenticate(Level(level));
        assert_eq!(command.data, &authenticate[5..]);
        let mut card = handshake.authenticate(*authenticate.first_chunk().unwrap(), &authenticate[5..]).unwrap();
        for (plain, wrapped) in commands {
            let header = [0x84, wrapped[1], wrapped[2], wrapped[3]];
            let length = usize::from(wrapped[4]);
            let data = plain.get(5..).unwrap_or_default();
            let data = &data[..plain.get(4).map_or(0, |length| usize::from(*length).min(data.len()))];
            assert_eq!(host.wrap(header, data).data, &wrapped[5..5 + length], "{wrapped:02X?}");
            assert_eq!(card.unwrap(header, &wrapped[5..5 + length]).unwrap().as_slice(), data);
        }
        card
    }

    /// A card of the field, recorded.
    #[test]
    fn a_card_with_key_version_20() {
        let keys = StaticKeys::new(
            &hex!("100102030405060708090a0b0c0d0e0f"),
            &hex!("101102030405060708090a0b0c0d0e0f"),
            &hex!("102102030405060708090a0b0c0d0e0f"),
        );
        let answer = hex!("00000000000000000000700200016B4524ABEE7CF32EA3838BC148F3");
        play(
            begin(&keys, &hex!("40A62C37FA6304F8"), &answer),
            0x01,
            &hex!("8482010010BA6961667737C5BCEBECE14C7D6A4376"),
            &[
                (&hex!("80F22002"), &hex!("84F220020814DB34FA4341DCA8")),
                (&hex!("80CA006600"), &hex!("84CA00660855ED7C5FF069512B00")),
                (&hex!("80F220020A4F0212345C054F9F70C5"), &hex!("84F22002124F0212345C054F9F70C58FC1B380C4228AF8")),
                (&hex!("80F28002024F0000"), &hex!("84F280020A4F003B95F09317DE6A4E00")),
            ],
        );
    }

    #[test]
    fn recorded_sessions_at_both_levels() {
        let keys = StaticKeys::same(&KEY);
        let answer = hex!("000074746E6E6E6262620102069FAA2A0591E73367DD78794D04315E");
        play(
            begin(&keys, &hex!("D5AD539A60CA5E72"), &answer),
            0x01,
            &hex!("84820100107C799B3C771DBAE6BEF49310977617BA"),
            &[(&hex!("80F22002024F0000"), &hex!("84F220020A4F00BB6E71C0EFCFCF0D00"))],
        );
        let answer = hex!("000074746E6E6E626262010206A15086BBEE58F467149061DA4B6EAE");
        play(
            begin(&keys, &hex!("EBAA9E53C696281B"), &answer),
            0x03,
            &hex!("848203001005814C116071EB67D8BA9D9879454564"),
            &[
                (
                    &hex!("80E400800A4F08D0D1D2D3D4D5010100"),
                    &hex!("84E4008018BC146FA0403BE4BAD3BC089E4ABD8674DA7EFEA21047B85800"),
                ),
                (
                    &hex!("80E40080094F07D0D1D2D3D4D50100"),
                    &hex!("84E4008018C2748C1669FAFC0E20C5253680388A4A49C9A6038D77B45700"),
                ),
            ],
        );
    }

    #[test]
    fn keys_travel_under_the_session_s_dek() {
        let keys = StaticKeys::same(&KEY);
        let derived = Keys::derive(&keys, 0).unwrap();
        assert_eq!(derived.enc.check_value(), hex!("F2DCDD"));
        assert_eq!(derived.mac.check_value(), hex!("5FCC69"));
        assert_eq!(derived.dek.check_value(), hex!("85272E"));
        let session = Session::Scp02(super::handshake(&keys, 0, &[0; 8], &[0; 6]).unwrap().session(Level(1)));
        let enciphered = session.encrypt_key(&KEY).unwrap();
        assert_eq!(enciphered, hex!("EFBEE6C6D99D7B70BDE9D7E927F020AF"));
        assert_eq!(session.decrypt_key(&enciphered).unwrap().as_slice(), KEY);
        assert!(session.encrypt_key(&KEY[1..]).is_none() && session.decrypt_key(&[]).is_none());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let keys = StaticKeys::same(&KEY);
        let start = || Handshake::Scp02(super::handshake(&keys, 7, &[1; 8], &[2; 6]).unwrap());
        let (mut host, command) = start().external_authenticate(Level(3));
        for level in [0x02, 0x10, 0x11, 0x13, 0x33, 0x80] {
            assert_eq!(start().authenticate([0x84, 0x82, level, 0], &command.data).err(), Some(ScpError::Level));
        }
        let refused = |at: usize| {
            let mut data = command.data.clone();
            data[at] ^= 1;
            start().authenticate(command.header, &data).err()
        };
        assert_eq!((refused(0), refused(8)), (Some(ScpError::Cryptogram), Some(ScpError::Mac)));
        assert_eq!(start().authenticate(command.header, &[]).err(), Some(ScpError::Cryptogram));
        let card = start().authenticate(command.header, &command.data).unwrap();
        let wrapped = host.wrap([0x84, 0xD8, 0, 1], &[1, 2, 3]);
        for at in 0..wrapped.data.len() {
            let mut data = wrapped.data.clone();
            data[at] ^= 0x40;
            assert_eq!(card.clone().unwrap(wrapped.header, &data), Err(ScpError::Mac), "{at}");
        }
        for length in 0..8 {
            assert_eq!(card.clone().unwrap(wrapped.header, &wrapped.data[..length]), Err(ScpError::Mac));
        }
        assert_eq!(card.clone().unwrap([0x84, 0xD8, 0, 2], &wrapped.data), Err(ScpError::Mac));
        assert!(super::handshake(&StaticKeys::same(&[0; 24]), 0, &[0; 8], &[0; 6]).is_none());
    }
}
