//! What a description says of the USIM beyond numbers and keys: names, lists, and files by their name.

use std::collections::BTreeMap;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::{Name, NameCoding};
use super::number::Dialled;
use super::subscriber::Code;

/// The table `usim`. What is left out is as on an operator's card; see [`build`](super::build).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the description")]
pub struct UsimFields {
    /// How `spn` is written in EF.SPN.
    pub spn_coding: Option<NameCoding>,
    /// At home the phone shows the service provider's name alone. TS 31.102 §4.2.12, bit 1.
    pub spn_alone: bool,
    /// Abroad the phone does not show the service provider's name. Bit 2.
    pub spn_home_only: bool,
    /// Name beside the own number, in EF.MSISDN.
    pub msisdn_name: Option<Name>,
    /// Names of networks: EF.PNN, a record each.
    pub pnn: Vec<NetworkName>,
    /// Which networks have which of these names: EF.OPL.
    pub opl: Vec<OperatorNetwork>,
    /// Further networks where the service provider's name is shown as at home: EF.SPDI.
    pub spdi: Vec<String>,
    /// EF.GID1, hexadecimal.
    pub gid1: Option<String>,
    /// EF.GID2, hexadecimal.
    pub gid2: Option<String>,
    /// Numbers of mailboxes: EF.MBDN and EF.MBI.
    pub mailbox: Mailboxes,
    /// Fixed dialling numbers: EF.FDN.
    pub fdn: Vec<Dialled>,
    /// No others can be dialled: EF.EST.
    pub fdn_enabled: bool,
    /// Barred dialling numbers: EF.BDN.
    pub bdn: Vec<Dialled>,
    /// They are barred: EF.EST.
    pub bdn_enabled: bool,
    /// Service dialling numbers: EF.SDN.
    pub sdn: Vec<Dialled>,
    /// Emergency calls of a vehicle.
    pub ecall: Option<ECall>,
    /// EF.CBMI, EF.CBMIR and EF.CBMID.
    pub cell_broadcast: CellBroadcast,
    /// EF.ACMmax and EF.PUCT.
    pub charge: Charge,
    /// Where public warnings are not shown: EF.PWS.
    pub warnings_ignored: Vec<WarningArea>,
    /// EF.UAC_AIC.
    pub access_identities: Vec<AccessIdentity>,
    /// Access classes beside that of the IMSI, 11 to 15: EF.ACC.
    pub access_classes: Vec<u8>,
    /// Minutes between searches for the home network: EF.HPPLMN.
    pub search_period: Option<u16>,
    /// EF.FPLMN.
    pub forbidden_plmns: Vec<String>,
    /// Switched on, the phone registers at home, not where it was last: EF.LRPLMNSI.
    pub home_first: bool,
    /// Hides entries of the phonebook, 4 to 8 digits: EF.HiddenKey.
    pub hidden_key: Option<Code>,
    /// The phonebook is in ADF.USIM, not in DF.TELECOM.
    pub local_phonebook: bool,
    /// Further services, by their number in EF.UST; their files come with them.
    pub services: Vec<u16>,
    /// Services that are not there, and so their files.
    pub without_services: Vec<u16>,
    /// Files by their name.
    pub files: BTreeMap<String, Wanted>,
}

/// Whether a file is wanted, or its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `true` or `false`.
    Is(bool),
    /// Hexadecimal: the content, or a record each.
    Content(Vec<String>),
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Is(wanted) => serializer.serialize_bool(*wanted),
            Self::Content(content) if content.len() == 1 => content.first().serialize(serializer),
            Self::Content(records) => records.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Wanted;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false, the content in hexadecimal, or a list of records")
            }
            fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<Wanted, E> {
                Ok(Wanted::Is(wanted))
            }
            fn visit_str<E: de::Error>(self, content: &str) -> Result<Wanted, E> {
                Ok(Wanted::Content(vec![content.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, records: A) -> Result<Wanted, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(records)).map(Wanted::Content)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A record of EF.PNN, TS 31.102 §4.2.58.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkName {
    /// The full name.
    pub full: Name,
    /// The short name.
    #[serde(default)]
    pub short: Option<Name>,
    /// The phone puts the initials of the country before them.
    #[serde(default)]
    pub country_initials: bool,
}

/// A record of EF.OPL, TS 31.102 §4.2.59.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorNetwork {
    /// MCC and MNC; `d` stands for any digit.
    pub plmn: String,
    /// The first location or tracking area code, four hexadecimal digits.
    #[serde(default = "first_area")]
    pub from: String,
    /// The last one. From `0000` to `fffe` are all.
    #[serde(default = "last_area")]
    pub to: String,
    /// The name: a record of EF.PNN, from 1; 0 for the network's own.
    pub name: u8,
}

fn first_area() -> String {
    "0000".to_owned()
}

fn last_area() -> String {
    "fffe".to_owned()
}

/// Mailboxes by their kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mailboxes {
    /// Voice mail.
    pub voice: Option<Dialled>,
    /// Fax.
    pub fax: Option<Dialled>,
    /// Mail.
    pub email: Option<Dialled>,
    /// Something else.
    pub other: Option<Dialled>,
    /// Video mail.
    pub video: Option<Dialled>,
}

/// Numbers of a vehicle's emergency calls that are none. TS 31.102 §5.3.40.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ECall {
    /// For a test call.
    pub test: String,
    /// For the reconfiguration of the vehicle's terminal.
    pub reconfiguration: String,
    /// The subscription is for emergency calls alone: these two are the fixed dialling numbers.
    #[serde(default)]
    pub only: bool,
}

/// Identifiers of cell broadcast messages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CellBroadcast {
    /// Those that are shown: EF.CBMI.
    pub messages: Vec<u16>,
    /// Ranges of them, first and last: EF.CBMIR.
    pub ranges: Vec<[u16; 2]>,
    /// Those that the card gets: EF.CBMID.
    pub download: Vec<u16>,
}

/// Advice of charge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Charge {
    /// The most units; 0 for no limit.
    pub maximum: u32,
    /// Three letters.
    pub currency: Option<String>,
    /// What a unit costs: `0.05`.
    pub unit_price: Option<String>,
}

/// Where warnings come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WarningArea {
    /// The home network and those equivalent to it.
    Home,
    /// Visited networks.
    Visited,
}

/// An access identity that is configured. TS 22.261 §6.22.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessIdentity {
    /// Multimedia priority service.
    Mps,
    /// Mission critical services.
    Mcs,
}

/// An entry of the phonebook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The name, EF.ADN.
    pub name: Name,
    /// The number.
    pub number: String,
    /// Another number, EF.ANR.
    #[serde(default)]
    pub other_number: Option<String>,
    /// A second name, EF.SNE.
    #[serde(default)]
    pub second_name: Option<Name>,
    /// An address for mail, EF.EMAIL.
    #[serde(default)]
    pub email: Option<String>,
    /// The name of a group, EF.GRP and EF.GAS.
    #[serde(default)]
    pub group: Option<Name>,
}

/// An emergency number: `"112"`, or `{ number = "911", name = "Police", services = ["police"] }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmergencyNumber {
    /// One to six digits.
    pub number: String,
    /// Its name.
    pub name: Option<Name>,
    /// For what; none: for any.
    pub services: Vec<EmergencyService>,
}

/// Services of EF.ECC. TS 31.102 §4.2.21, TS 24.008 §10.5.4.33.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum EmergencyService {
    Police,
    Ambulance,
    FireBrigade,
    MarineGuard,
    MountainRescue,
    ManualEcall,
    AutomaticEcall,
}

impl EmergencyService {
    /// Its bit in the category.
    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl From<&str> for EmergencyNumber {
    fn from(number: &str) -> Self {
        Self { number: number.to_owned(), name: None, services: Vec::new() }
    }
}

/// An emergency number with all its fields.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    number: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    services: Vec<EmergencyService>,
}

impl Serialize for EmergencyNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { number, name, services } = self.clone();
        if name.is_none() && services.is_empty() {
            return serializer.serialize_str(&number);
        }
        Written { number, name, services }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EmergencyNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = EmergencyNumber;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number in quotes, or a table with number, name and services")
            }
            fn visit_str<E: de::Error>(self, number: &str) -> Result<EmergencyNumber, E> {
                Ok(number.into())
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<EmergencyNumber, A::Error> {
                let Written { number, name, services } =
                    Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(EmergencyNumber { number, name, services })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
