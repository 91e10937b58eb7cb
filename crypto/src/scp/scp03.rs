//! SCP03: AES of all three key lengths. GlobalPlatform Card Specification Amendment D.

use super::cipher::{Cipher, Kind};
use super::{Level, Protected, ScpError, StaticKeys, is_same, mac_class, padded, unpad};
use zeroize::Zeroizing;

/// Octets of a block.
const BLOCK: usize = 16;

/// The option `i`: what the protocol is used with. Amendment D §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options(pub u8);

impl Options {
    /// Challenges, cryptograms and MACs of 16 octets instead of 8.
    pub const S16: u8 = 0x01;
    /// The card challenge follows from a sequence counter.
    pub const PSEUDO_RANDOM: u8 = 0x10;
    /// Answers may carry a MAC.
    pub const R_MAC: u8 = 0x20;
    /// Answers may be enciphered; only with a MAC.
    pub const R_ENCRYPTION: u8 = 0x40;

    /// Whether Amendment D has it.
    pub const fn is_known(self) -> bool {
        let known = Self::S16 | Self::PSEUDO_RANDOM | Self::R_MAC | Self::R_ENCRYPTION;
        self.0 & !known == 0 && (self.0 & Self::R_ENCRYPTION == 0 || self.0 & Self::R_MAC != 0)
    }

    /// Whether the card draws no challenge.
    pub const fn is_pseudo_random(self) -> bool {
        self.0 & Self::PSEUDO_RANDOM != 0
    }

    /// Octets of challenges, cryptograms and MACs.
    pub const fn size(self) -> usize {
        if self.0 & Self::S16 == 0 { 8 } else { 16 }
    }
}

/// What is derived. Amendment D table 4-1.
mod constant {
    pub(super) const CARD_CRYPTOGRAM: u8 = 0x00;
    pub(super) const HOST_CRYPTOGRAM: u8 = 0x01;
    pub(super) const CARD_CHALLENGE: u8 = 0x02;
    pub(super) const S_ENC: u8 = 0x04;
    pub(super) const S_MAC: u8 = 0x06;
    pub(super) const S_RMAC: u8 = 0x07;
}

/// Key derivation in counter mode with AES-CMAC, NIST SP 800-108. Amendment D §4.1.5.
fn derive(key: &Cipher, constant: u8, length: usize, context: &[u8]) -> Zeroizing<Vec<u8>> {
    let [high, low] = u16::try_from(length * 8).unwrap_or(u16::MAX).to_be_bytes();
    let mut derived = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(BLOCK)));
    for counter in 1..=u8::try_from(length.div_ceil(BLOCK)).unwrap_or(u8::MAX) {
        let mut label = [0; BLOCK];
        label[11] = constant;
        (label[13], label[14], label[15]) = (high, low, counter);
        derived.extend_from_slice(&key.cmac(&[&label, context]));
    }
    derived.truncate(length);
    derived
}

/// The card challenge of an option with [`Options::PSEUDO_RANDOM`]: it follows from Key-ENC, the sequence counter and the AID
/// of the security domain. Amendment D §6.2.2.1. `None`: the key is none of AES.
pub fn pseudo_random_challenge(
    keys: &StaticKeys,
    options: Options,
    sequence: [u8; 3],
    aid: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let key = Cipher::new(Kind::Aes, &keys.enc)?;
    Some(derive(&key, constant::CARD_CHALLENGE, options.size(), &[&sequence[..], aid].concat()))
}

/// What both know after INITIALIZE UPDATE. `None`: the keys are none of AES, or a challenge is of another length than the
/// options say.
pub fn handshake(
    keys: &StaticKeys,
    options: Options,
    host_challenge: &[u8],
    card_challenge: &[u8],
) -> Option<Handshake> {
    if host_challenge.len() != options.size() || card_challenge.len() != options.size() {
        return None;
    }
    let context = [host_challenge, card_challenge].concat();
    let (enc, mac) = (Cipher::new(Kind::Aes, &keys.enc)?, Cipher::new(Kind::Aes, &keys.mac)?);
    let session = |key, constant, length| Cipher::new(Kind::Aes, &derive(key, constant, length, &context));
    let mac_key = session(&mac, constant::S_MAC, keys.mac.len())?;
    let cryptogram = |constant| derive(&mac_key, constant, options.size(), &context);
    Some(Handshake {
        options,
        card_cryptogram: cryptogram(constant::CARD_CRYPTOGRAM),
        host_cryptogram: cryptogram(constant::HOST_CRYPTOGRAM),
        enc: session(&enc, constant::S_ENC, keys.enc.len())?,
        rmac: session(&mac, constant::S_RMAC, keys.mac.len())?,
        mac: mac_key,
        dek: Cipher::new(Kind::Aes, &keys.dek)?,
    })
}

/// Session keys and cryptograms.
#[derive(Clone)]
pub struct Handshake {
    options: Options,
    card_cryptogram: Zeroizing<Vec<u8>>,
    host_cryptogram: Zeroizing<Vec<u8>>,
    enc: Cipher,
    mac: Cipher,
    rmac: Cipher,
    dek: Cipher,
}

impl core::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Handshake(SCP03, i={:02X}, secret)", self.options.0)
    }
}

impl Handshake {
    pub(super) fn card_cryptogram(&self) -> &[u8] {
        &self.card_cryptogram
    }

    pub(super) fn host_cryptogram(&self) -> &[u8] {
        &self.host_cryptogram
    }

    pub(super) const fn offers(&self, level: Level) -> bool {
        match level.0 {
            0x00 | 0x01 | 0x03 => true,
            0x11 | 0x13 => self.options.0 & Options::R_MAC != 0,
            0x33 => self.options.0 & Options::R_ENCRYPTION != 0,
            _ => false,
        }
    }

    pub(super) fn session(self, level: Level) -> Session {
        let Self { options, enc, mac, rmac, dek, .. } = self;
        Session { size: options.size(), level, enc, mac, rmac, dek, chain: [0; BLOCK], counter: 0 }
    }
}

/// What both ends keep.
#[derive(Clone)]
pub struct Session {
    size: usize,
    level: Level,
    enc: Cipher,
    mac: Cipher,
    rmac: Cipher,
    dek: Cipher,
    chain: [u8; BLOCK],
    /// Of the commands: what makes the chaining vectors of encryption differ.
    counter: u128,
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Session(SCP03, level {:02X})", self.level.0)
    }
}

impl Session {
    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// A MAC, and a block of padding at most.
    pub(super) const fn answer_overhead(&self) -> usize {
        let mac = if self.level.has(Level::R_MAC) { self.size } else { 0 };
        mac + if self.level.has(Level::R_ENCRYPTION) { BLOCK } else { 0 }
    }

    /// The chaining vector for this command's data, or its answer's. Amendment D §6.2.6, §6.2.7.
    fn icv(&self, is_answer: bool) -> [u8; BLOCK] {
        let mut icv = self.counter.to_be_bytes();
        if is_answer {
            icv[0] = 0x80;
        }
        self.enc.encrypt_block(&mut icv);
        icv
    }

    /// The MAC that comes next; the data is enciphered already. Amendment D §6.2.4.
    fn mac(&mut self, [class, ins, p1, p2]: [u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len() + self.size).unwrap_or(u8::MAX);
        self.chain = self.mac.cmac(&[&self.chain, &[mac_class(class), ins, p1, p2, length], data]);
        self.chain.iter().take(self.size).copied().collect()
    }

    pub(super) fn authentication_mac(&mut self, header: [u8; 4], data: &[u8]) -> Vec<u8> {
        self.mac(header, data)
    }

    pub(super) fn wrap(&mut self, header: [u8; 4], data: &[u8]) -> Protected {
        self.counter = self.counter.wrapping_add(1);
        let mut body = data.to_vec();
        if self.level.has(Level::C_MAC) {
            if self.level.has(Level::C_DECRYPTION) && !data.is_empty() {
                let mut enciphered = padded(data, BLOCK);
                self.enc.encrypt_cbc(&self.icv(false), &mut enciphered);
                body = enciphered.to_vec();
            }
            let mac = self.mac(header, &body);
            body.extend(mac);
        }
        Protected { header, data: body }
    }

    pub(super) fn unwrap(&mut self, header: [u8; 4], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, ScpError> {
        self.counter = self.counter.wrapping_add(1);
        if !self.level.has(Level::C_MAC) {
            return Ok(Zeroizing::new(data.to_vec()));
        }
        let length = data.len().checked_sub(self.size).ok_or(ScpError::Mac)?;
        let (data, received) = data.split_at(length);
        if !is_same(received, &self.mac(header, data)) {
            return Err(ScpError::Mac);
        }
        let mut data = Zeroizing::new(data.to_vec());
        if self.level.has(Level::C_DECRYPTION) && !data.is_empty() {
            if data.len() % BLOCK != 0 {
                return Err(ScpError::Padding);
            }
            self.enc.decrypt_cbc(&self.icv(false), &mut data);
            unpad(&mut data, BLOCK)?;
        }
        Ok(data)
    }

    pub(super) fn wrap_response(&self, data: &[u8], sw: [u8; 2]) -> Vec<u8> {
        let mut body = data.to_vec();
        if !self.level.has(Level::R_MAC) || !is_protected(sw) {
            return body;
        }
        if self.level.has(Level::R_ENCRYPTION) && !data.is_empty() {
            let mut enciphered = padded(data, BLOCK);
            self.enc.encrypt_cbc(&self.icv(true), &mut enciphered);
            body = enciphered.to_vec();
        }
        let mac = self.rmac.cmac(&[&self.chain, &body, &sw]);
        body.extend(mac.into_iter().take(self.size));
        body
    }

    pub(super) fn unwrap_response(&self, data: &[u8], sw: [u8; 2]) -> Result<Zeroizing<Vec<u8>>, ScpError> {
        if !self.level.has(Level::R_MAC) || !is_protected(sw) {
            return Ok(Zeroizing::new(data.to_vec()));
        }
        let length = data.len().checked_sub(self.size).ok_or(ScpError::Mac)?;
        let (body, received) = data.split_at(length);
        let mac = self.rmac.cmac(&[&self.chain, body, &sw]);
        if !is_same(received, mac.get(..self.size).unwrap_or_default()) {
            return Err(ScpError::Mac);
        }
        let mut body = Zeroizing::new(body.to_vec());
        if self.level.has(Level::R_ENCRYPTION) && !body.is_empty() {
            if body.len() % BLOCK != 0 {
                return Err(ScpError::Padding);
            }
            self.enc.decrypt_cbc(&self.icv(true), &mut body);
            unpad(&mut body, BLOCK)?;
        }
        Ok(body)
    }

    /// Under the static Key-DEK, chained from zeros. Amendment D §6.2.8.
    pub(super) fn encrypt_key(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut own = key.to_vec();
        (!key.is_empty() && key.len().is_multiple_of(BLOCK)).then(|| {
            self.dek.encrypt_cbc(&[0; BLOCK], &mut own);
            own
        })
    }

    pub(super) fn decrypt_key(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut own = Zeroizing::new(key.to_vec());
        (!key.is_empty() && key.len().is_multiple_of(BLOCK)).then(|| {
            self.dek.decrypt_cbc(&[0; BLOCK], &mut own);
            own
        })
    }
}

/// Answers without an error are protected: `9000` and warnings. Amendment D §6.2.5.
const fn is_protected(sw: [u8; 2]) -> bool {
    matches!(sw, [0x90, 0x00] | [0x62 | 0x63, _])
}

#[cfg(test)]
mod tests {
    use super::super::{Handshake, Session};
    use super::*;
    use hex_literal::hex;

    /// As the recorded card has them: 16 octets, and their start again.
    fn keys(length: usize) -> StaticKeys {
        let key = |first: u8| (0..length).map(|at| first + u8::try_from(at % 16).unwrap()).collect::<Vec<_>>();
        StaticKeys::new(&key(0x00), &key(0x10), &key(0x20))
    }

    /// A recorded session with an ISD-R.
    struct Recorded {
        level: u8,
        key_length: usize,
        host: &'static str,
        answer: &'static str,
        authenticate: &'static str,
        /// Data of the wrapped commands, those of `PLAIN`.
        commands: [&'static str; 5],
        /// The protected answer to the first.
        eid: &'static str,
    }

    const AID: [u8; 16] = hex!("A0000005591010FFFFFFFF8900000100");

    /// Header and data: GET EID, GET STATUS, GET DATA, GET STATUS twice.
    const PLAIN: [([u8; 4], &str); 5] = [
        ([0x84, 0xE2, 0x91, 0x00], "bf3e035c015a"),
        ([0x84, 0xF2, 0x20, 0x02], ""),
        ([0x84, 0xCA, 0x00, 0x66], ""),
        ([0x84, 0xF2, 0x20, 0x02], "4f0212345c054f9f70c5"),
        ([0x84, 0xF2, 0x80, 0x02], "4f00"),
    ];

    const RECORDED: [Recorded; 9] = [
        Recorded {
            level: 0x11,
            key_length: 16,
            host: "b13e5f938fc108c4",
            answer: "000000000000000000003003703eb51047495b249f66c484c1d2ef1948000002",
            authenticate: "7d5f5826a993ebc89eea24957fa0b3ce",
            commands: [
                "bf3e035c015a558d036518a28297",
                "63a63f8959827fb2",
                "a0c6a4a74166f7ce",
                "4f0212345c054f9f70c52249b50272656536",
                "4f00e91443f6dce6b8ed",
            ],
            eid: "bf3e125a1089882119900000000000000000000005971be68992dbbdfa",
        },
        Recorded {
            level: 0x03,
            key_length: 16,
            host: "8e1552d0513c60f3",
            answer: "0000000000000000000030037030760cd2c47c1dd395065fe5ead8a9d7000001",
            authenticate: "fd4721a14d9b07003c451d2f8ae6bb21",
            commands: [
                "ca9c00f6713d79bc8baa642bdff51c3f6a4082d3bd9ad26c",
                "c9811b11f1264cf1",
                "e10ab60b30547988",
                "4e2908bdb48b2315a55482e9e936ca122d6ecfae7d17416e",
                "0dd10a6b6193e5340b9e77d32d5a179cd710ac2773aefb28",
            ],
            eid: "bf3e125a1089882119900000000000000000000005",
        },
        Recorded {
            level: 0x33,
            key_length: 16,
            host: "fdf38259a1e0de44",
            answer: "000000000000000000003003703b1aca81e821f219081cdc01c26b372d000003",
            authenticate: "8c36f96bcc00724a4e13ad591d7da3f0",
            commands: [
                "267a85dfe4a98fca6fb0527e0dfecce4914e40401433c87f",
                "ac6a59024bed84cc",
                "409912ad8fb7aed0",
                "5f3dafc3ac14c381536a488bf44e06d056df9d74dbd21e5a",
                "65165105be3373347d0424d4400af2ac393f569ec779389e",
            ],
            eid: "f3ba2b1013aa6224f5e1c138d71805c569e5439b47576260b75fc021b25097cb2e68f8a0144975b9",
        },
        Recorded {
            level: 0x11,
            key_length: 24,
            host: "7396430b768b085b",
            answer: "000000000000000000003103708cfc23522ffdbf1e5df5542cac8fd866000003",
            authenticate: "2145ed30b146f5db252fb7e624cec244",
            commands: [
                "bf3e035c015aff42cf801d143944",
                "4584e4f6784811ee",
                "937776ebe190fa30",
                "4f0212345c054f9f70c59a52bddf3040368c",
                "4f009804b11411f7393d",
            ],
            eid: "bf3e125a1089882119900000000000000000000005162fbd33e04940a9",
        },
        Recorded {
            level: 0x03,
            key_length: 24,
            host: "69c65da8202bf19f",
            answer: "00000000000000000000310370b570a67be38446717729d6dd3d2ec5b1000001",
            authenticate: "65df4f1a356a887905466516d9e5b7c1",
            commands: [
                "d2c6fb477c5d4afe4fd4d21f17eff10d3578ec1774a12a2d",
                "964e188f0b1bb697",
                "f0820035a41d3e18",
                "06b076ed452cd1fa84f77f5c08a146aa77a9286757dea791",
                "d06527e39222dce091fabdb8e9b898417a67a6852d3577db",
            ],
            eid: "bf3e125a1089882119900000000000000000000005",
        },
        Recorded {
            level: 0x33,
            key_length: 24,
            host: "9b3f2eef0e8c9374",
            answer: "00000000000000000000310370f6bb305a15bae1a68f79fb08212fbed7000002",
            authenticate: "9100bc22d58b45b86a26365ce39ff3cf",
            commands: [
                "8f7f946c84f70d17994bc6e8791251bb1bb1bf02cf8de589",
                "d5d97754b6b3d2ba",
                "516c82b8e30adbeb",
                "cc247f4761e6944277a4e0d6e32e44025b1e31537e2fc668",
                "ba22b63d509bef5d093b43e5eaed03ed23144ab2d9cb51de",
            ],
            eid: "c05176c1b6f72aae50c32cbee63b0e95998928fd4dfb2be9f27ffde8c8476f5909b4805cc4039599",
        },
        Recorded {
            level: 0x11,
            key_length: 32,
            host: "11666d57866c6f54",
            answer: "0000000000000000000032037053ea8847efa7674e41498a4d66cf0dee000003",
            authenticate: "2f2ad190eff2fafc4908996d1cebd310",
            commands: [
                "bf3e035c015af4b680372542b59d",
                "d618b7da68d5fe52",
                "8f3e055db23ad5e5",
                "4f0212345c054f9f70c5b6e15cc42404915e",
                "4f00aa124aa74afe7f75",
            ],
            eid: "bf3e125a10898821199000000000000000000000058012dd7f01f1c4c1",
        },
        Recorded {
            level: 0x03,
            key_length: 32,
            host: "c6066990fc426e1d",
            answer: "000000000000000000003203708682cd81bbd8919f2de3f2664581f118000001",
            authenticate: "77c493b632edadaf865a1e64acc07ce9",
            commands: [
                "3ddaa60594963befaada3525b492ede23c2ab2c1ce3afe44",
                "480ddc8e419da38d",
                "3e9d6a6c0b2d7320",
                "3ebfef2da8b04af2a85f491f299b76973df76ff08a4031be",
                "783fff80990f5585b1055010ea95094a26e4a8f1ef4b18e1",
            ],
            eid: "bf3e125a1089882119900000000000000000000005",
        },
        Recorded {
            level: 0x33,
            key_length: 32,
            host: "97b2055fe58599fd",
            answer: "00000000000000000000320370a8439a22cedf045fa9f1903b2834f26e000002",
            authenticate: "508a0fd959d2e547c6b33154a6be2057",
            commands: [
                "7a5ef717eaf1e135ae92fe54429d0e465decda65f5fe5aea",
                "bcc5c17275545d93",
                "04806aba9d543bb6",
                "717222491556ec81a45f49ce48be33320024801a1c4cb0e0",
                "561f105bccd3a1642904b251ccc1228beb80a82370a86370",
            ],
            eid: "ea90dbfa648a67c5eb6abc57f8530b97d0cd5647c5e8732016b55203b078dd2ace7f8bc5d1c1cd99",
        },
    ];

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn recorded_sessions_of_all_key_lengths_and_levels() {
        for Recorded { level, key_length, host, answer, authenticate, commands, eid } in RECORDED {
            let (host, answer, authenticate) = (bytes(host), bytes(answer), bytes(authenticate));
            let keys = keys(key_length);
            let (options, challenge) = (Options(answer[12]), &answer[13..21]);
            let sequence = answer[29..].try_into().unwrap();
            assert_eq!(pseudo_random_challenge(&keys, options, sequence, &AID).unwrap().as_slice(), challenge);
            let handshake = Handshake::Scp03(handshake(&keys, options, &host, challenge).unwrap());
            assert_eq!(handshake.card_cryptogram(), &answer[21..29]);
            let (mut host, command) = handshake.clone().external_authenticate(Level(level));
            assert_eq!(command.data, authenticate);
            let mut card = handshake.authenticate(command.header, &authenticate).unwrap();
            for (number, ((header, plain), wrapped)) in PLAIN.into_iter().zip(commands).enumerate() {
                let (plain, wrapped) = (bytes(plain), bytes(wrapped));
                assert_eq!(host.wrap(header, &plain).data, wrapped, "{level:02X} {key_length} {number}");
                assert_eq!(card.unwrap(header, &wrapped).unwrap().as_slice(), plain);
                if number == 0 {
                    let plain = hex!("BF3E125A1089882119900000000000000000000005");
                    assert_eq!(card.wrap_response(&plain, [0x90, 0]), bytes(eid));
                    assert_eq!(host.unwrap_response(&bytes(eid), [0x90, 0]).unwrap().as_slice(), plain);
                }
            }
        }
    }

    /// The recordings of other hosts and cards, with challenges and MACs of 16 octets among them.
    #[test]
    fn recorded_sessions_of_a_file() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/uicc/scp03.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            println!("skipped: {path} is not there");
            return;
        };
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut played = 0;
        for session in file["sessions"].as_array().unwrap() {
            let of = |name: &str| bytes(session[name].as_str().unwrap());
            let keys = StaticKeys::new(&of("key_enc"), &of("key_mac"), &of("key_enc"));
            let options = Options(of("i")[0]);
            let handshake = super::handshake(&keys, options, &of("host_challenge"), &of("card_challenge")).unwrap();
            assert_eq!(handshake.card_cryptogram(), of("card_cryptogram"));
            assert_eq!(handshake.host_cryptogram(), of("host_cryptogram"));
            let (level, authenticate) = (Level(of("level")[0]), of("external_authenticate"));
            let handshake = Handshake::Scp03(handshake);
            let (mut host, command) = handshake.clone().external_authenticate(level);
            assert_eq!(command.data, &authenticate[5..]);
            let mut card = handshake.authenticate(command.header, &command.data).unwrap();
            for exchange in session["exchange"].as_array().unwrap() {
                let of = |name: &str| exchange[name].as_str().map(bytes);
                let (plain, wrapped) = (of("plain").unwrap(), of("wrapped").unwrap());
                let data = |command: &[u8]| {
                    command.get(5..5 + usize::from(command.get(4).copied().unwrap_or(0))).unwrap_or_default().to_vec()
                };
                let header = [0x84, plain[1], plain[2], plain[3]];
                let host_end = host.wrap(header, &data(&plain));
                assert_eq!(host_end.data, data(&wrapped), "{session:#}");
                assert_eq!(card.unwrap(header, &host_end.data).unwrap().as_slice(), data(&plain));
                played += 1;
            }
        }
        assert!(played > 10, "{played}");
    }

    #[test]
    fn check_values_of_keys() {
        let value = |length: usize, first: u8| {
            let key: Vec<u8> = (0..length).map(|at| first + u8::try_from(at).unwrap()).collect();
            Cipher::new(Kind::Aes, &key).unwrap().check_value()
        };
        assert_eq!([value(16, 0), value(16, 0x10), value(16, 0x20)], [hex!("C35280"), hex!("013808"), hex!("840DE5")]);
        assert!(Cipher::new(Kind::Aes, &[0; 8]).is_none() && Cipher::new(Kind::Des, &[0; 32]).is_none());
    }

    #[test]
    fn what_is_wrong_is_refused_and_errors_go_unprotected() {
        let start =
            |options| Handshake::Scp03(super::handshake(&keys(16), Options(options), &[1; 8], &[2; 8]).unwrap());
        for (options, offered) in [(0x00, vec![0x00, 0x01, 0x03]), (0x30, vec![0x00, 0x01, 0x03, 0x11, 0x13])] {
            for level in 0..=0xFF {
                assert_eq!(start(options).offers(Level(level)), offered.contains(&level), "{options:02X} {level:02X}");
            }
        }
        let (mut host, command) = start(0x70).external_authenticate(Level(0x33));
        let mut card = start(0x70).authenticate(command.header, &command.data).unwrap();
        let wrapped = host.wrap([0x84, 0xD8, 0, 1], &[1, 2, 3]);
        for at in 0..wrapped.data.len() {
            let mut data = wrapped.data.clone();
            data[at] ^= 1;
            assert_eq!(card.clone().unwrap(wrapped.header, &data), Err(ScpError::Mac), "{at}");
        }
        assert_eq!(card.clone().unwrap(wrapped.header, &[]), Err(ScpError::Mac));
        card.unwrap(wrapped.header, &wrapped.data).unwrap();
        assert!(card.wrap_response(&[], [0x6A, 0x88]).is_empty());
        assert_eq!(card.wrap_response(&[], [0x63, 0x10]).len(), 8);
        let answer = card.wrap_response(&[7], [0x90, 0x00]);
        assert_eq!(host.unwrap_response(&answer, [0x63, 0x10]), Err(ScpError::Mac), "the status word is covered");
        assert_eq!(host.unwrap_response(&answer, [0x90, 0x00]).unwrap().as_slice(), [7]);
        assert_eq!(card.clone().unwrap(wrapped.header, &wrapped.data), Err(ScpError::Mac), "once only");
        let wrong = |options, host: &[u8], card: &[u8]| super::handshake(&keys(16), Options(options), host, card);
        assert!(wrong(0x70, &[0; 8], &[0; 16]).is_none() && wrong(0x71, &[0; 8], &[0; 8]).is_none());
        assert!(Options(0x50).is_known().eq(&false) && Options(0x71).is_known() && Session::level(&card).0 == 0x33);
    }
}
