//! Making an ISD-R: what the EUM writes into an eUICC.

use super::profiles::ProfileRecord;
use super::{Behaviour, Certification, item, notifications};
use crate::global_platform::values_of;
use apdu::Aid;
use card_os::{ApplicationRecord, DomainId, NewApplication, Privileges};
use identities::Eid;
use rsp::euicc_info::EuiccInfo2;
use rsp::rat::GetRatResponse;
use rsp::{EncodeError, SubjectKeyIdentifier};
use saip::security_domain::KeyObject;

/// Identity and capabilities of an eUICC.
pub struct Personalisation {
    /// EID.
    pub eid: Eid,
    /// Capabilities and versions; `extCardResource` is worked out whenever it is asked for.
    pub info: EuiccInfo2,
    /// Which operators may set which profile policy rules.
    pub rat: GetRatResponse,
    /// Root SM-DS.
    pub root_ds_address: String,
    /// Default SM-DP+; memory reset goes back to it.
    pub default_dp_address: Option<String>,
    /// Keys and certificates, preferred CI first. At most 16.
    pub certifications: Vec<Certification>,
    /// The name it is selected by, the standard one unless the card is to look like one with another.
    pub aid: Aid,
    /// Sequence number of its first notification.
    pub first_sequence_number: u64,
    /// Where it differs from what SGP.22 asks for.
    pub behaviour: Behaviour,
    /// Keys by which the manufacturer opens a secure channel to it; without any there is none.
    pub keys: Vec<KeyObject>,
    /// Profiles that are there from the start: they become domains 1, 2, … in this order.
    pub profiles: Vec<Preloaded>,
}

/// What ISD-R knows of a profile that is there from the start.
pub struct Preloaded {
    /// `StoreMetadataRequest`, BF25, as an SM-DP+ would have sent it.
    pub metadata: Vec<u8>,
    /// The CI its notifications are signed under.
    pub ci: SubjectKeyIdentifier,
}

impl Personalisation {
    /// ISD-R, to be installed in the platform domain.
    pub fn new_application(&self) -> Result<NewApplication, EncodeError> {
        let mut data = vec![
            (item::EID, self.eid.octets().to_vec()),
            (item::EUICC_INFO2, rsp::encode(&self.info)?),
            (item::RAT, rsp::encode(&self.rat)?),
            (item::ROOT_DS_ADDRESS, self.root_ds_address.clone().into_bytes()),
        ];
        if self.first_sequence_number != notifications::FIRST {
            data.push((item::NEXT_SEQUENCE_NUMBER, self.first_sequence_number.to_be_bytes().to_vec()));
        }
        if let Some(address) = &self.default_dp_address {
            data.push((item::DEFAULT_DP_ADDRESS, address.clone().into_bytes()));
            data.push((item::FACTORY_DP_ADDRESS, address.clone().into_bytes()));
        }
        for (number, certification) in item::CERTIFICATIONS.zip(&self.certifications) {
            data.push((number, certification.to_bytes()));
        }
        data.extend(self.keys.iter().cloned().filter_map(|key| values_of(key).ok()).flatten());
        for ((number, domain), profile) in item::PROFILES.zip(1..).zip(&self.profiles) {
            let record = ProfileRecord {
                domain: DomainId(domain),
                isdp_aid: rsp::ids::isd_p_aid(domain - 1).into(),
                ci: profile.ci.clone(),
                nickname: String::new(),
                metadata: profile.metadata.clone(),
                dp_proprietary_data: None,
                preloaded: true,
            };
            data.push((number, record.to_bytes()));
        }
        let record = ApplicationRecord {
            aid: self.aid,
            kind: crate::kind::ISD_R,
            adf: None,
            life_cycle: 0x0F,
            privileges: Privileges::MANAGE_DOMAINS,
        };
        Ok(NewApplication { record, parameters: self.behaviour.to_bytes(), data })
    }
}
