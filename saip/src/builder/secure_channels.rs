//! Keys and options of secure channels to the operator's security domain, as a subscriber's description has them.

use super::subscriber::Key;
use crate::Secret;
use crate::security_domain::{KeyComponent, KeyObject};
use serde::{Deserialize, Serialize};

/// How a host that has the keys opens a secure channel to the operator's security domain. GlobalPlatform Card Specification §10.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecureChannels {
    /// The key sets, each with a version of its own.
    pub keys: Vec<KeySet>,
    /// The option `i` of SCP02: 0x15, or 0x55 with a card challenge that is not random.
    #[serde(default = "default_scp02_option")]
    pub scp02_option: u8,
    /// The option `i` of SCP03, Amendment D §5.1: 0x00 to 0x71.
    #[serde(default = "default_scp03_option")]
    pub scp03_option: u8,
}

fn default_scp02_option() -> u8 {
    0x55
}

fn default_scp03_option() -> u8 {
    0x70
}

/// Three keys of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// Key version number: 0x20 to 0x2F are for SCP02, 0x30 to 0x3F for SCP03; others up to 0x7F need the protocol.
    pub version: u8,
    /// What they are for, where the version does not tell.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// Key-ENC.
    pub enc: Key,
    /// Key-MAC.
    pub mac: Key,
    /// Key-DEK.
    pub dek: Key,
}

/// A secure channel protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Triple DES, with keys of 16 octets.
    Scp02,
    /// AES, with keys of 16, 24 or 32 octets.
    Scp03,
}

impl KeySet {
    /// What they are for, as said or as the version tells. `None`: neither does.
    pub const fn protocol(&self) -> Option<Protocol> {
        match (self.protocol, self.version) {
            (Some(protocol), _) => Some(protocol),
            (None, 0x20..=0x2F) => Some(Protocol::Scp02),
            (None, 0x30..=0x3F) => Some(Protocol::Scp03),
            (None, _) => None,
        }
    }

    /// The keys as a security domain has them, with identifiers 1, 2, 3 and their usage. GlobalPlatform §11.1.9.
    ///
    /// # Errors
    /// Which of its fields is wrong, and why.
    pub fn key_objects(&self) -> Result<Vec<KeyObject>, String> {
        const TRIPLE_DES: u8 = 0x80;
        const AES: u8 = 0x88;
        if !(0x10..=0x7F).contains(&self.version) || (0x40..=0x4F).contains(&self.version) {
            return Err(format!(
                "version {:#04X} is for messages; for SCP02 it is 0x20 to 0x2F, for SCP03 0x30 to 0x3F",
                self.version
            ));
        }
        let Some(protocol) = self.protocol() else {
            return Err(format!("version {:#04X} wants protocol = \"scp02\" or \"scp03\" beside it", self.version));
        };
        [("enc", &self.enc, 1, 0x38), ("mac", &self.mac, 2, 0x34), ("dek", &self.dek, 3, 0xC8)]
            .into_iter()
            .map(|(field, key, identifier, usage)| {
                let length = key.expose().len();
                let (key_type, fits, wanted) = match protocol {
                    Protocol::Scp02 => (TRIPLE_DES, length == 16, "is 16 octets, for triple DES"),
                    Protocol::Scp03 => (AES, matches!(length, 16 | 24 | 32), "is 16, 24 or 32 octets, for AES"),
                };
                if !fits || length != self.enc.expose().len() {
                    let wanted = if fits { "is as long as enc" } else { wanted };
                    return Err(format!("version {:#04X}: {field} {wanted}", self.version));
                }
                Ok(KeyObject {
                    key_usage_qualifier: vec![usage],
                    key_access: [0],
                    key_identifier: [identifier],
                    key_version_number: [self.version],
                    key_counter_value: None,
                    key_components: vec![KeyComponent {
                        key_type: vec![key_type],
                        key_data: Secret::new(key.expose()),
                        mac_length: 8,
                    }],
                })
            })
            .collect()
    }
}

impl SecureChannels {
    /// All keys, each set checked.
    ///
    /// # Errors
    /// The field that is wrong, below this table, and why.
    pub fn key_objects(&self) -> Result<Vec<KeyObject>, (&'static str, String)> {
        if crypto::scp::scp02::Options(self.scp02_option).is_known() {
            if !crypto::scp::scp03::Options(self.scp03_option).is_known() {
                return Err((
                    "gp.scp03_option",
                    "is 0x00, 0x10, 0x20, 0x30, 0x60 or 0x70, or one of them and 0x01".to_owned(),
                ));
            }
        } else {
            return Err(("gp.scp02_option", "is 0x15 or 0x55".to_owned()));
        }
        let mut objects = Vec::new();
        for (number, set) in self.keys.iter().enumerate() {
            if self.keys.iter().take(number).any(|before| before.version == set.version) {
                return Err(("gp.keys", format!("version {:#04X} is there twice", set.version)));
            }
            objects.extend(set.key_objects().map_err(|reason| ("gp.keys", reason))?);
        }
        Ok(objects)
    }

    /// The protocols that there are keys for, each with its option. GlobalPlatform §H.2.
    pub(super) fn protocols(&self) -> Vec<[u8; 2]> {
        let has = |protocol| self.keys.iter().any(|set| set.protocol() == Some(protocol));
        let known = [(Protocol::Scp02, [0x02, self.scp02_option]), (Protocol::Scp03, [0x03, self.scp03_option])];
        known.into_iter().filter(|(protocol, _)| has(*protocol)).map(|(_, row)| row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(version: u8, protocol: Option<Protocol>, length: usize) -> KeySet {
        let key = || Key::new(&vec![7; length]);
        KeySet { version, protocol, enc: key(), mac: key(), dek: key() }
    }

    #[test]
    fn a_set_is_for_one_protocol_and_fits_it() {
        for (version, protocol, length, key_type) in [
            (0x20, None, 16, 0x80),
            (0x30, None, 16, 0x88),
            (0x3F, None, 32, 0x88),
            (0x70, Some(Protocol::Scp02), 16, 0x80),
        ] {
            let keys = set(version, protocol, length).key_objects().unwrap();
            let told: Vec<_> = keys.iter().map(|key| (key.key_version_number[0], key.key_identifier[0])).collect();
            assert_eq!(told, [(version, 1), (version, 2), (version, 3)]);
            assert!(keys.iter().all(|key| key.key_components[0].key_type == [key_type]));
        }
        for (wrong, reason) in [
            (set(0x01, None, 16), "version 0x01 is for messages"),
            (set(0x41, None, 16), "version 0x41 is for messages"),
            (set(0x80, None, 16), "version 0x80 is for messages"),
            (set(0x70, None, 16), "version 0x70 wants protocol"),
            (set(0x20, None, 24), "version 0x20: enc is 16 octets"),
            (set(0x30, None, 17), "version 0x30: enc is 16, 24 or 32"),
            (KeySet { dek: Key::new(&[1; 24]), ..set(0x30, None, 16) }, "version 0x30: dek is as long as enc"),
        ] {
            let refusal = wrong.key_objects().unwrap_err();
            assert!(refusal.starts_with(reason), "{refusal}");
        }
    }

    #[test]
    fn options_and_versions_are_checked() {
        let with = |scp02_option, scp03_option, keys| SecureChannels { keys, scp02_option, scp03_option };
        let both = || vec![set(0x20, None, 16), set(0x30, None, 24)];
        let good = with(0x15, 0x71, both());
        assert_eq!(good.key_objects().unwrap().len(), 6);
        assert_eq!(good.protocols(), [[0x02, 0x15], [0x03, 0x71]]);
        assert_eq!(with(0x1A, 0x70, both()).key_objects().unwrap_err().0, "gp.scp02_option");
        assert_eq!(with(0x55, 0x40, both()).key_objects().unwrap_err().0, "gp.scp03_option");
        let twice = with(0x55, 0x70, vec![set(0x30, None, 16), set(0x30, None, 16)]);
        assert_eq!(twice.key_objects().unwrap_err(), ("gp.keys", "version 0x30 is there twice".to_owned()));
    }
}
