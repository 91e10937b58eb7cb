//! What an LPA sees: ES10 over a copy of the card.

use super::{InspectionError, hexadecimal};
use crate::image::Manufacture;
use apdu::{Aid, Announced};
use card_os::Card;
use card_os::nvm::MemoryNvm;
use rasn::{Decode, Encode};
use rsp::es10::Es10Function;
use rsp::es10a::EuiccConfiguredAddressesRequest;
use rsp::es10b::{ListNotificationRequest, ListNotificationResponse};
use rsp::es10c::{GetEuiccDataRequest, ProfileInfoListRequest, ProfileInfoListResponse};
use rsp::euicc_info::GetEuiccInfo2Request;
use rsp::metadata::{ProfileClass, ProfileInfo, ProfileState};
use rsp::notification::NotificationMetadata;
use serde::Serialize;

/// The eUICC as its LPA sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Euicc {
    /// EID, 32 digits.
    pub eid: String,
    /// The names that ISD-R is selected by.
    pub isd_r: Vec<String>,
    /// Release of SGP.22.
    pub svn: String,
    /// Release of the profile package specification.
    pub profile_version: String,
    /// Version of the card's own software.
    pub firmware_version: String,
    /// Services that it claims without having them.
    pub claims: Vec<String>,
    /// Key identifiers of the CIs it is certified under, preferred first.
    pub cis: Vec<String>,
    /// Default SM-DP+.
    pub default_dp_address: Option<String>,
    /// Root SM-DS.
    pub root_ds_address: String,
    /// Its profiles.
    pub profiles: Vec<Profile>,
    /// Notifications not delivered yet.
    pub notifications: Vec<Notification>,
}

/// One profile.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// ICCID, digits as printed.
    pub iccid: String,
    /// AID of its ISD-P.
    pub isdp_aid: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// `operational`, `test` or `provisioning`.
    pub class: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub service_provider: String,
    /// What the end user calls it.
    pub nickname: Option<String>,
    /// Its policy rules.
    pub policy_rules: Vec<String>,
}

/// One notification.
#[derive(Clone, Debug, Serialize)]
pub struct Notification {
    /// Its number.
    pub sequence_number: u64,
    /// What happened to the profile.
    pub operation: String,
    /// The server it goes to.
    pub address: String,
    /// Which profile.
    pub iccid: Option<String>,
}

/// Asks ISD-R.
///
/// A copy of the card is powered for it, so that a change of profile which only waits for the next reset shows as done.
pub(super) fn ask(manufacture: &Manufacture, memory: &MemoryNvm) -> Result<Euicc, InspectionError> {
    let mut names: Vec<Aid> = card_os::DomainView::all(memory)
        .iter()
        .flat_map(|domain| &domain.applications)
        .filter(|application| application.record.kind == applets::kind::ISD_R)
        .map(|application| application.record.aid)
        .collect();
    let registered = names.first().copied().unwrap_or(applets::isd_r::AID);
    let further = manufacture.profile.further_names.iter().filter(|(_, aid)| *aid == registered);
    names.extend(further.map(|(further, _)| *further));
    let mut isd_r = IsdR::select(&registered, manufacture, memory)?;
    let eid = isd_r.call(&GetEuiccDataRequest::eid())?;
    let info = isd_r.call(&GetEuiccInfo2Request::default())?;
    let addresses = isd_r.call(&EuiccConfiguredAddressesRequest::default())?;
    let everything = ProfileInfoListRequest {
        tag_list: Some(ProfileInfoListRequest::ALL_TAGS.to_vec().into()),
        ..Default::default()
    };
    let profiles = match isd_r.call(&everything)? {
        ProfileInfoListResponse::ProfileInfoListOk(list) => list,
        ProfileInfoListResponse::ProfileInfoListError(error) => {
            return Err(no_answer(ProfileInfoListRequest::NAME, &error));
        }
    };
    let notifications = match isd_r.call(&ListNotificationRequest::default())? {
        ListNotificationResponse::NotificationMetadataList(list) => list,
        ListNotificationResponse::ListNotificationsResultError(error) => {
            return Err(no_answer(ListNotificationRequest::NAME, &error));
        }
    };
    Ok(Euicc {
        eid: eid.eid_value.to_string(),
        isd_r: names.iter().map(|aid| hexadecimal(aid)).collect(),
        svn: info.svn.to_string(),
        profile_version: info.profile_version.to_string(),
        firmware_version: info.euicc_firmware_ver.to_string(),
        claims: applets::profile::claimed(info.uicc_capability).map(|service| service.to_string()).collect(),
        cis: info.euicc_ci_pk_id_list_for_signing.iter().map(ToString::to_string).collect(),
        default_dp_address: addresses.default_dp_address,
        root_ds_address: addresses.root_ds_address,
        profiles: profiles.into_iter().map(Profile::from).collect(),
        notifications: notifications.into_iter().map(Notification::from).collect(),
    })
}

fn no_answer(function: &'static str, answer: &dyn core::fmt::Display) -> InspectionError {
    InspectionError::NoAnswer { function, answer: answer.to_string() }
}

impl From<ProfileInfo> for Profile {
    fn from(info: ProfileInfo) -> Self {
        let text = |value: Option<String>| value.unwrap_or_default();
        let class = info.profile_class.unwrap_or(ProfileClass::OPERATIONAL);
        Self {
            iccid: text(info.iccid.map(|iccid| iccid.to_string())),
            isdp_aid: text(info.isdp_aid.map(|aid| aid.to_string())),
            enabled: info.profile_state == Some(ProfileState::ENABLED),
            class: class.name().map_or_else(|| class.to_string(), ToOwned::to_owned),
            name: text(info.profile_name),
            service_provider: text(info.service_provider_name),
            nickname: info.profile_nickname,
            policy_rules: info
                .profile_policy_rules
                .map(|rules| rules.iter().map(|rule| rule.to_string()).collect())
                .unwrap_or_default(),
        }
    }
}

impl From<NotificationMetadata> for Notification {
    fn from(metadata: NotificationMetadata) -> Self {
        Self {
            sequence_number: metadata.seq_number,
            operation: metadata.profile_management_operation.to_string(),
            address: metadata.notification_address,
            iccid: metadata.iccid.map(|iccid| iccid.to_string()),
        }
    }
}

/// A copy of the card with ISD-R selected.
struct IsdR {
    card: Card,
    /// Behind a command that is answered with data: nothing in T=0, where that is announced; Le in T=1.
    le: &'static [u8],
}

impl IsdR {
    const LONGEST_BLOCK: usize = 255;

    fn select(aid: &Aid, manufacture: &Manufacture, memory: &MemoryNvm) -> Result<Self, InspectionError> {
        let mut card = super::copy(manufacture, memory);
        card.reset();
        let le: &[u8] = if Announced::of(&manufacture.profile.atr).protocol == Announced::T1 { &[0x00] } else { &[] };
        let answer =
            card.transmit(&[&[0x00, 0xA4, 0x04, 0x0C, u8::try_from(aid.len()).unwrap_or_default()], &aid[..]].concat());
        if answer == [0x90, 0x00] {
            Ok(Self { card, le })
        } else {
            Err(no_answer("SELECT ISD-R", &hexadecimal(&answer)))
        }
    }

    fn call<F: Es10Function<Response: Decode> + Encode>(
        &mut self,
        request: &F,
    ) -> Result<F::Response, InspectionError> {
        let function = F::NAME;
        let request = rsp::encode(request).map_err(|error| no_answer(function, &error))?;
        let blocks = request.chunks(Self::LONGEST_BLOCK);
        let last = blocks.len().saturating_sub(1);
        let mut answer = Vec::new();
        for (number, block) in blocks.enumerate() {
            let p1 = if number == last { 0x91 } else { 0x11 };
            let (number, length) = (u8::try_from(number), u8::try_from(block.len()));
            let header = [0x80, 0xE2, p1, number.unwrap_or(u8::MAX), length.unwrap_or(u8::MAX)];
            answer = self.card.transmit(&[&header[..], block, self.le].concat());
        }
        let mut data = Vec::new();
        loop {
            match answer.split_last_chunk() {
                Some((part, [0x61, more])) => {
                    data.extend_from_slice(part);
                    answer = self.card.transmit(&[0x80, 0xC0, 0x00, 0x00, *more]);
                }
                Some((part, [0x90, 0x00])) => {
                    data.extend_from_slice(part);
                    return rsp::decode(&data).map_err(|error| no_answer(function, &error));
                }
                _ => return Err(no_answer(function, &hexadecimal(&answer))),
            }
        }
    }
}
