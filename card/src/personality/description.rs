//! The file that describes a card.

use super::field::{
    Accreditation, Address, AidOf, Atr, Category, Claim, FaultOf, Fci, Name, ProfilePackage, Rsp, Sgp22, Size, Sw,
    Text, Uicc, Version, Way,
};
use crate::personalise::Euicc;
use applets::ecasd::EidForm;
use applets::isd_r::{Refresh, Takes};
use card_os::CardProfile;
use rsp::euicc_info::{RspCapability, UiccCapability};
use saip::builder::KeySet;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::path::PathBuf;
use twin::Learned;

/// A card, as a TOML file describes it. What is left out is as on the standard card.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Description {
    /// What it is called.
    pub name: Option<Name>,
    /// What is special about it, in a sentence.
    pub about: Option<Text>,
    /// Where that is known from.
    pub sources: Vec<Text>,
    /// Answer to reset, memory, channels.
    pub card: CardPart,
    /// What ISD-R says and does.
    pub isd_r: IsdRPart,
    /// What ECASD says.
    pub ecasd: EcasdPart,
    /// Versions in EUICCInfo2.
    pub versions: Versions,
    /// Capabilities in EUICCInfo2.
    pub capabilities: Capabilities,
    /// Accreditation of the production site, `sasAcreditationNumber`.
    pub sas_accreditation_number: Option<Accreditation>,
    /// Default SM-DP+.
    pub default_smdp: Option<Address>,
    /// Root SM-DS.
    pub root_smds: Option<Address>,
    /// Folders of the PKIs whose CIs it trusts, preferred first; relative to the file.
    pub pkis: Vec<PathBuf>,
    /// What goes wrong from the start.
    pub faults: Vec<FaultOf>,
    /// What was learned of a card: a UICC is made of it.
    pub learned: Option<Learned>,
}

/// Answer to reset, memory, channels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CardPart {
    /// Answer to reset.
    pub atr: Option<Atr>,
    /// Non-volatile memory.
    pub memory: Option<Size>,
    /// Working memory that it says is free.
    pub volatile_memory: Option<Size>,
    /// Logical channels beside the basic one, 0 to 19.
    #[serde(deserialize_with = "channels")]
    pub logical_channels: Option<u8>,
    /// Whether it also is a SIM of TS 51.011, class `A0`.
    pub class_a0: Option<bool>,
}

/// What ISD-R says and does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IsdRPart {
    /// The names it is selected by, one at least; without: the standard one.
    #[serde(deserialize_with = "names")]
    pub aids: Option<Vec<AidOf>>,
    /// The answer to SELECT, whole.
    pub fci: Option<Fci>,
    /// What a request gets whose tag no function has.
    pub unknown_tag: Option<Sw>,
    /// Octets of the longest STORE DATA, 64 to 255.
    #[serde(deserialize_with = "block")]
    pub longest_block: Option<u8>,
    /// Octets of the longest segment of a bound profile package.
    #[serde(deserialize_with = "segment")]
    pub longest_segment: Option<u16>,
    /// Octets of the longest nickname, 0 to 64.
    #[serde(deserialize_with = "nickname")]
    pub longest_nickname: Option<u8>,
    /// Sequence number of the first notification.
    pub first_sequence_number: Option<u32>,
    /// Key sets by which a host opens a secure channel to it, each with `version`, `enc`, `mac` and `dek`.
    #[serde(deserialize_with = "key_sets")]
    pub keys: Vec<KeySet>,
    /// When REFRESH is sent.
    pub refresh: Option<RefreshWhen>,
    /// Whether every function of the ISD-R is refused with `6985` after a change of the enabled profile, until the next reset.
    pub reset_after_change: Option<bool>,
    /// How a profile may be named to be enabled.
    pub enables: Option<Vec<Way>>,
    /// How a profile may be named to be disabled.
    pub disables: Option<Vec<Way>>,
    /// Whether a primitive element of a request may come under the universal tag of its type.
    pub lenient: Option<bool>,
}

/// When REFRESH is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefreshWhen {
    /// If the terminal announced it.
    Announced,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// What ECASD says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EcasdPart {
    /// In which form GET DATA answers the EID.
    pub eid: Option<EidAs>,
}

/// In which form ECASD answers the EID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EidAs {
    /// As data object `5A`.
    Object,
    /// The 16 octets bare.
    Bare,
}

/// Versions in EUICCInfo2.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Versions {
    /// Release of SGP.22, `svn`.
    pub sgp22: Option<Sgp22>,
    /// Release of the profile package specification, `profileVersion`.
    pub profile_package: Option<ProfilePackage>,
    /// The card's own software, `euiccFirmwareVer`.
    pub firmware: Option<Version>,
    /// TS 102 241, `ts102241Version`.
    pub ts102241: Option<Version>,
    /// GlobalPlatform Card, `globalplatformVersion`.
    pub globalplatform: Option<Version>,
    /// Protection profile, `ppVersion`.
    pub protection_profile: Option<Version>,
}

/// Capabilities in EUICCInfo2.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// `uiccCapability`, of what the card has.
    pub uicc: Option<Vec<Uicc>>,
    /// `rspCapability`, of what the card has.
    pub rsp: Option<Vec<Rsp>>,
    /// `euiccCategory`.
    pub category: Option<Category>,
    /// Services it claims without having them.
    pub claims: Vec<Claim>,
}

fn within<'de, D: Deserializer<'de>>(deserializer: D, from: u16, to: u16) -> Result<Option<u16>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let number = u16::try_from(number).ok().filter(|number| (from..=to).contains(number));
    number.map(Some).ok_or_else(|| D::Error::custom(format!("wants a number from {from} to {to}")))
}

fn octet<'de, D: Deserializer<'de>>(deserializer: D, from: u16, to: u16) -> Result<Option<u8>, D::Error> {
    Ok(within(deserializer, from, to)?.and_then(|number| u8::try_from(number).ok()))
}

fn channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    octet(deserializer, 0, 19)
}

fn block<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    octet(deserializer, 64, 255)
}

fn segment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    within(deserializer, 256, 4096)
}

fn nickname<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    octet(deserializer, 0, 64)
}

fn key_sets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeySet>, D::Error> {
    let sets = Vec::<KeySet>::deserialize(deserializer)?;
    for (number, set) in sets.iter().enumerate() {
        set.key_objects().map_err(D::Error::custom)?;
        if sets.iter().take(number).any(|before| before.version == set.version) {
            return Err(D::Error::custom(format!("has version {:#04X} twice", set.version)));
        }
    }
    Ok(sets)
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<AidOf>>, D::Error> {
    /// As many as a registry is asked for.
    const MOST: usize = 16;
    let names = Vec::<AidOf>::deserialize(deserializer)?;
    if names.is_empty() {
        return Err(D::Error::custom("wants one AID at least; leave it out for the standard one"));
    }
    if names.len() > MOST {
        return Err(D::Error::custom(format!("wants {MOST} AIDs at most")));
    }
    match names.iter().enumerate().find(|(number, name)| names.iter().take(*number).any(|before| before == *name)) {
        Some((number, _)) => Err(D::Error::custom(format!("names AID {} twice", number + 1))),
        None => Ok(Some(names)),
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

impl Description {
    pub(super) fn apply(&self, euicc: &mut Euicc) {
        let versions = &self.versions;
        set(&mut euicc.svn, versions.sgp22.as_ref().map(|version| version.0));
        set(&mut euicc.profile_version, versions.profile_package.as_ref().map(|version| version.0));
        set(&mut euicc.firmware_version, versions.firmware.as_ref().map(|version| version.0));
        set(&mut euicc.root_ds_address, self.root_smds.as_ref().map(|address| address.0.clone()));
        if let Some(address) = &self.default_smdp {
            euicc.default_dp_address = Some(address.0.clone());
        }
        euicc.claims.extend(self.capabilities.claims.iter().map(|claim| claim.0));
        self.apply_to_profile(&mut euicc.card);
        self.apply_to_isd_r(euicc);
        let own = &mut euicc.personality;
        let name = self.name.as_ref().map(|name| name.0.clone());
        own.name = name.filter(|name| name != super::SHIPPED.first().map_or("", |standard| standard.name));
        set(
            &mut own.eid_form,
            self.ecasd.eid.map(|form| match form {
                EidAs::Object => EidForm::Object,
                EidAs::Bare => EidForm::Bare,
            }),
        );
        if let Some(version) = &versions.ts102241 {
            own.ts102241_version = Some(version.0);
        }
        if let Some(version) = &versions.globalplatform {
            own.globalplatform_version = Some(version.0);
        }
        set(&mut own.protection_profile_version, versions.protection_profile.as_ref().map(|version| version.0));
        set(&mut own.sas_accreditation_number, self.sas_accreditation_number.as_ref().map(|number| number.0.clone()));
        let capabilities = &self.capabilities;
        let uicc = |bits: &Vec<Uicc>| bits.iter().fold(UiccCapability::EMPTY, |all, bit| all.with(bit.0));
        set(&mut own.uicc_capability, capabilities.uicc.as_ref().map(uicc));
        let rsp = |bits: &Vec<Rsp>| bits.iter().fold(RspCapability::EMPTY, |all, bit| all.with(bit.0));
        set(&mut own.rsp_capability, capabilities.rsp.as_ref().map(rsp));
        if let Some(category) = &capabilities.category {
            own.category = Some(category.0);
        }
        own.faults.extend(self.faults.iter().map(|fault| fault.0));
    }

    /// Answer to reset, memory and channels, where they are described.
    pub fn apply_to_profile(&self, card: &mut CardProfile) {
        set(&mut card.atr, self.card.atr.as_ref().map(|atr| atr.0.clone()));
        set(&mut card.non_volatile_memory, self.card.memory.map(|size| size.0));
        set(&mut card.volatile_memory, self.card.volatile_memory.map(|size| size.0));
        set(&mut card.gsm, self.card.class_a0);
        set(&mut card.channels, self.card.logical_channels.map(|further| further + 1));
    }

    fn apply_to_isd_r(&self, euicc: &mut Euicc) {
        let (own, isd_r) = (&mut euicc.personality, &self.isd_r);
        set(&mut own.isd_r_aids, isd_r.aids.as_ref().map(|names| names.iter().map(|aid| aid.0).collect()));
        set(&mut own.first_sequence_number, isd_r.first_sequence_number.map(u64::from));
        own.isd_r_keys.extend(isd_r.keys.iter().flat_map(|set| set.key_objects().unwrap_or_default()));
        let behaviour = &mut own.behaviour;
        if let Some(fci) = &isd_r.fci {
            behaviour.fci = Some(fci.0.clone());
        }
        set(&mut behaviour.unknown_tag, isd_r.unknown_tag.as_ref().map(|sw| sw.0));
        set(&mut behaviour.longest_block, isd_r.longest_block);
        set(&mut behaviour.longest_segment, isd_r.longest_segment.map(usize::from));
        set(&mut behaviour.longest_nickname, isd_r.longest_nickname.map(usize::from));
        set(&mut behaviour.reset_after_change, isd_r.reset_after_change);
        set(&mut behaviour.lenient, isd_r.lenient);
        set(
            &mut behaviour.refresh,
            isd_r.refresh.map(|when| match when {
                RefreshWhen::Announced => Refresh::Announced,
                RefreshWhen::Never => Refresh::Never,
                RefreshWhen::Always => Refresh::Always,
            }),
        );
        let ways = |ways: &Vec<Way>| ways.iter().fold(Takes::NONE, |all, way| all.and(way.0));
        set(&mut behaviour.enables, isd_r.enables.as_ref().map(ways));
        set(&mut behaviour.disables, isd_r.disables.as_ref().map(ways));
    }
}
