//! The description of a subscriber, as a person writes it down.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::access_rules::AccessRules;
use super::secure_channels::SecureChannels;
use super::usim_fields::{Contact, EmergencyNumber, UsimFields, Wanted};
use crate::Secret;

/// Everything a profile needs to know about its subscriber.
///
/// What is left out takes a default that suits a test network; what contradicts itself is refused by [`build`](super::build)
/// with the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// ICCID, 18 to 20 digits beginning with 89. Read with or without the F that fills it to 20.
    #[serde(deserialize_with = "without_filling")]
    pub iccid: String,
    /// IMSI, 14 or 15 digits.
    pub imsi: String,
    /// Digits of the MNC in the IMSI: 2 or 3.
    #[serde(default = "default_mnc_length")]
    pub mnc_length: u8,
    /// Name of the profile type in the header.
    #[serde(default)]
    pub profile_name: Option<String>,
    /// Own number, with or without `+`.
    #[serde(default)]
    pub msisdn: Option<String>,
    /// Service provider name, at most 16 characters (7 outside the GSM alphabet).
    #[serde(default)]
    pub spn: Option<String>,
    /// Authentication algorithm.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// K: 16 octets; with TUAK 16 or 32.
    pub key: Key,
    /// OP (Milenage, 16 octets) or TOP (TUAK, 32): OPc is computed. Either this or `opc`, or both if they agree.
    #[serde(default)]
    pub op: Option<Key>,
    /// OPc or TOPc.
    #[serde(default)]
    pub opc: Option<Key>,
    /// Octets of RES: Milenage 8; XOR 4, 8 or 16; TUAK 4, 8, 16 or 32.
    #[serde(default)]
    pub res_length: Option<u8>,
    /// PINs, PUKs, ADM1.
    #[serde(default)]
    pub codes: Codes,
    /// Short message service centre, with or without `+`.
    #[serde(default)]
    pub smsc: Option<String>,
    /// Languages by their two letters, the preferred one first; at most three.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Emergency call numbers.
    #[serde(default = "default_emergency_numbers")]
    pub emergency_numbers: Vec<EmergencyNumber>,
    /// Further networks that count as home: MCC and MNC, `00101` or `310410`.
    #[serde(default)]
    pub ehplmns: Vec<String>,
    /// Networks the user prefers.
    #[serde(default)]
    pub user_plmns: Vec<String>,
    /// Networks the operator prefers.
    #[serde(default)]
    pub operator_plmns: Vec<String>,
    /// Entries of the phonebook, at most 254; 0 for none.
    #[serde(default = "default_phonebook_entries")]
    pub phonebook_entries: u8,
    /// What is in the phonebook, from its first entry on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phonebook: Vec<Contact>,
    /// The USIM beyond numbers and keys.
    #[serde(default)]
    pub usim: UsimFields,
    /// GSM: Kc, DF.GSM-ACCESS, the GSM security context.
    #[serde(default = "yes")]
    pub gsm_access: bool,
    /// An ISIM.
    #[serde(default)]
    pub ims: Option<Ims>,
    /// Concealment of the IMSI in 5G.
    #[serde(default)]
    pub suci: Option<Suci>,
    /// Keys for remote file and application management over SMS.
    #[serde(default)]
    pub ota: Option<OtaKeys>,
    /// Who may use the applications of the card; left out: nothing is said.
    #[serde(default)]
    pub access_rules: Option<AccessRules>,
    /// Secure channels to the operator's security domain.
    #[serde(default)]
    pub gp: Option<SecureChannels>,
}

impl Subscriber {
    /// A Milenage subscriber with defaults for everything else.
    pub fn new(iccid: &str, imsi: &str, key: Key, opc: Key) -> Self {
        Self {
            iccid: unfilled(iccid).to_owned(),
            imsi: imsi.to_owned(),
            mnc_length: default_mnc_length(),
            profile_name: None,
            msisdn: None,
            spn: None,
            algorithm: Algorithm::Milenage,
            key,
            op: None,
            opc: Some(opc),
            res_length: None,
            codes: Codes::default(),
            smsc: None,
            languages: Vec::new(),
            emergency_numbers: default_emergency_numbers(),
            ehplmns: Vec::new(),
            user_plmns: Vec::new(),
            operator_plmns: Vec::new(),
            phonebook_entries: default_phonebook_entries(),
            phonebook: Vec::new(),
            usim: UsimFields::default(),
            gsm_access: true,
            ims: None,
            suci: None,
            ota: None,
            access_rules: None,
            gp: None,
        }
    }

    /// MCC and MNC of the home network, as the IMSI has them.
    pub fn home_network(&self) -> (&str, &str) {
        let (mcc, rest) = self.imsi.split_at_checked(3).unwrap_or_default();
        (mcc, rest.get(..usize::from(self.mnc_length)).unwrap_or_default())
    }
}

/// Digits without the F behind them.
fn without_filling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| unfilled(&text).to_owned())
}

fn unfilled(iccid: &str) -> &str {
    if iccid.len() == 20 { iccid.trim_end_matches(['F', 'f']) } else { iccid }
}

fn default_mnc_length() -> u8 {
    2
}

fn default_emergency_numbers() -> Vec<EmergencyNumber> {
    ["112", "911"].map(EmergencyNumber::from).to_vec()
}

fn default_phonebook_entries() -> u8 {
    50
}

fn yes() -> bool {
    true
}

/// Authentication algorithm of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// TS 35.206.
    #[default]
    Milenage,
    /// TS 35.231.
    Tuak,
    /// The USIM test algorithm, TS 34.108 §8.1.2.
    Xor,
}

/// PINs and PUKs. The defaults are public: a profile for more than tests states its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Codes {
    /// PIN1, 4 to 8 digits; `0000`.
    pub pin1: Code,
    /// Whether PIN1 has to be entered; it need not.
    pub pin1_enabled: bool,
    /// PUK1, 8 digits; `12345678`.
    pub puk1: Code,
    /// PIN2, 4 to 8 digits; `0000`.
    pub pin2: Code,
    /// PUK2, 8 digits; `12345678`.
    pub puk2: Code,
    /// ADM1, 4 to 8 digits or 16 hexadecimal digits; `88888888`.
    pub adm1: Code,
}

impl Default for Codes {
    fn default() -> Self {
        Self {
            pin1: Code::new("0000"),
            pin1_enabled: false,
            puk1: Code::new("12345678"),
            pin2: Code::new("0000"),
            puk2: Code::new("12345678"),
            adm1: Code::new("88888888"),
        }
    }
}

/// IP multimedia subsystem. What is left out follows from the IMSI, TS 23.003 §13.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ims {
    /// Private identity, `user@realm`.
    pub impi: Option<String>,
    /// Public identities, SIP or tel URIs.
    pub impus: Vec<String>,
    /// Home network domain.
    pub domain: Option<String>,
    /// Proxies, by name or address.
    pub pcscfs: Vec<String>,
    /// Further services, by their number in EF.IST; their files come with them.
    pub services: Vec<u16>,
    /// Files by their name.
    pub files: BTreeMap<String, Wanted>,
}

/// Concealment of the IMSI, TS 33.501 §6.12.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suci {
    /// Whether the USIM or the ME conceals it.
    #[serde(default)]
    pub calculation: SuciCalculation,
    /// One to four digits.
    #[serde(default = "default_routing_indicator")]
    pub routing_indicator: String,
    /// Keys of the home network, the preferred one first. None: the null scheme.
    #[serde(default)]
    pub keys: Vec<HomeNetworkKey>,
}

fn default_routing_indicator() -> String {
    "0".to_owned()
}

/// Whether the USIM or the ME conceals the IMSI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuciCalculation {
    /// The USIM, with GET IDENTITY.
    #[default]
    Usim,
    /// The terminal, with EF.SUCI_Calc_Info.
    Me,
}

/// A public key of the home network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeNetworkKey {
    /// Its identifier, 0 to 255.
    pub id: u8,
    /// The protection scheme it is for.
    pub profile: SuciProfile,
    /// The key in hexadecimal: 32 octets for A; 33, or 65 uncompressed, for B.
    pub key: Key,
}

/// Protection scheme, TS 33.501 annex C.3.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuciProfile {
    /// X25519.
    A,
    /// P-256.
    B,
}

/// AES-128 keys of the operator's security domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtaKeys {
    /// Key version number, 1 to 15.
    #[serde(default = "default_key_version")]
    pub version: u8,
    /// KIc, ciphering.
    pub kic: Key,
    /// KID, integrity.
    pub kid: Key,
    /// KIK, encryption of keys.
    pub kik: Key,
}

fn default_key_version() -> u8 {
    1
}

/// A key is not written in hexadecimal. The text is not shown: most of it may be the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wants hexadecimal digits, two for each octet")]
pub struct NotHexadecimal;

/// A key, written in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Secret);

impl Key {
    /// From octets.
    pub fn new(octets: &[u8]) -> Self {
        Self(Secret::new(octets))
    }

    /// The octets.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

impl FromStr for Key {
    type Err = NotHexadecimal;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(|octets| Self(octets.into())).map_err(|_| NotHexadecimal)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.expose()))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A PIN or PUK, written as its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(Secret);

impl Code {
    /// From its digits.
    pub fn new(digits: &str) -> Self {
        Self(Secret::new(digits.as_bytes()))
    }

    /// The digits.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.expose()))
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|digits| Self::new(&digits))
    }
}

/// A subscriber that no profile can be made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberError {
    /// The field, as it is written: `codes.pin1`; of a list the list.
    pub field: &'static str,
    /// The way to the value: the names of the field, in a list the number of the entry from 0, names within it.
    pub path: Vec<String>,
    /// What is wrong with it, or how it contradicts another.
    pub reason: String,
}

impl SubscriberError {
    pub(super) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        let path = field.split('.').map(str::to_owned).collect();
        Self { field, path, reason: reason.into() }
    }

    /// The entry of the list with this number, from 0.
    pub(super) fn entry(self, number: usize) -> Self {
        self.within(number.to_string())
    }

    /// A field, or the key of a table, within what is named so far.
    pub(super) fn within(mut self, name: impl Into<String>) -> Self {
        self.path.push(name.into());
        self
    }
}

impl std::error::Error for SubscriberError {}

/// `usim.pnn[0].full: is empty`.
impl fmt::Display for SubscriberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.path.iter().enumerate() {
            match step.parse::<usize>() {
                Ok(number) => write!(f, "[{number}]")?,
                Err(_) if at == 0 => f.write_str(step)?,
                Err(_) => write!(f, ".{step}")?,
            }
        }
        write!(f, ": {}", self.reason)
    }
}
