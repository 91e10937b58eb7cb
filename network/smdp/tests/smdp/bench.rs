//! A server, the PKI it lives in, and profiles to order from it.

use crate::client::call;
use crate::euicc::{Euicc, Installed, Prepared, Session};
use database::place::Place;
use identities::{Eid, Iccid};
use rsp::certificate::Role;
use rsp::es8::StoreMetadataRequest;
use rsp::es9::{AuthenticateClientResponse, Status, StatusCodeData};
use rsp::metadata::{
    IconType, NotificationConfigurationInformation, NotificationEvent, OperatorId, PprIds, ProfileClass,
};
use saip::header::{ProfileHeader, Service, ServicesList};
use saip::{PeHeader, ProfileElement};
use smdp::order::{self, Confirmation, OrderRequest, ProfileSelector};
use smdp::profile::{Profile, ProfileState};
use smdp::{Config, MasterKey, Server, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use test_pki::{Parameters, Pki};

pub(crate) const OPERATOR: &str = "operator.example";

/// A running server and the PKI it lives in; perhaps with another one that shares its database.
pub(crate) struct Bench {
    pub(crate) pki: Pki,
    pub(crate) server: Server,
    pub(crate) other: Option<Server>,
    pub(crate) calls: AtomicUsize,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(bend: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(mint(now()), bend).await
    }

    /// In plain HTTP unless `bend` says otherwise.
    pub(crate) async fn start_in(pki: Pki, bend: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { tls: None, ..Config::from_pki(&pki).unwrap() };
        bend(&mut config);
        Self { server: serve(config).await.unwrap(), pki, other: None, calls: AtomicUsize::new(0) }
    }

    /// Two servers that are one SM-DP+, and are called in turn.
    pub(crate) async fn start_twice(place: &Place) -> Self {
        Self::start_twice_with(place, |_| {}).await
    }

    pub(crate) async fn start_twice_with(place: &Place, and: impl Fn(&mut Config)) -> Self {
        let bend = |config: &mut Config| {
            and(config);
            config.database.clone_from(&place.url);
            config.master_key = Arc::new(MasterKey::new([7; 32]));
            config.settings.address = "smdp.example.com".into();
        };
        let one = Self::start_with(bend).await;
        let other = Self::start_in(one.pki.clone(), bend).await.server;
        Self { other: Some(other), ..one }
    }

    /// The eUICC of the PKI.
    pub(crate) fn euicc(&self) -> Euicc {
        Euicc::new(&self.pki, self.pki.get(Role::Euicc).unwrap())
    }

    /// Another eUICC of the same maker.
    pub(crate) fn other_euicc(&self) -> Euicc {
        let eid = Eid::with_check_digits("890490321234512345123456789099").unwrap();
        Euicc::new(&self.pki, &self.pki.issue_euicc(eid, now(), &mut fill_random).unwrap())
    }

    /// Whom to call.
    pub(crate) fn at(&self) -> SocketAddr {
        match &self.other {
            Some(other) if self.calls.fetch_add(1, Ordering::Relaxed) % 2 == 1 => other.listening_at(),
            _ => self.server.listening_at(),
        }
    }

    pub(crate) async fn add(&self, number: u32) -> Iccid {
        let (metadata, package) = (metadata(number), package(number));
        let profile = order::add_profile(self.server.store(), metadata, &package, 0).await.unwrap();
        profile.iccid().clone()
    }

    /// Adds and orders a profile; returns its ICCID and matchingId.
    pub(crate) async fn order(&self, number: u32, bend: impl FnOnce(&mut OrderRequest)) -> (Iccid, String) {
        let iccid = self.add(number).await;
        let mut request = OrderRequest::new(ProfileSelector::Iccid(iccid.clone()));
        bend(&mut request);
        let profile = order::order(self.server.store(), request, &mut fill_random, 0).await.unwrap();
        (iccid, profile.order.matching_id.unwrap_or_default())
    }

    /// The same for an operator, which is to hear of it.
    pub(crate) async fn order_for_operator(
        &self,
        number: u32,
        bend: impl FnOnce(&mut Confirmation),
    ) -> (Iccid, String) {
        let iccid = self.add(number).await;
        let mut profile = self.profile(&iccid).await;
        let mut confirmation = Confirmation::default();
        bend(&mut confirmation);
        profile.reserve(Some(OPERATOR.into()), None, 0).unwrap();
        profile.confirm(confirmation, &mut fill_random, 0).unwrap();
        profile.release(0).unwrap();
        self.server.store().update_profile(&profile).await.unwrap();
        (iccid, profile.order.matching_id.unwrap_or_default())
    }

    pub(crate) async fn profile(&self, iccid: &Iccid) -> Profile {
        self.server.store().profile(iccid).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, iccid: &Iccid) -> ProfileState {
        self.profile(iccid).await.state
    }

    pub(crate) async fn authenticate(
        &self,
        euicc: &Euicc,
        matching_id: &str,
    ) -> Result<(Session, AuthenticateClientResponse), StatusCodeData> {
        let answer = call(self.at(), &euicc.initiate(self.server.address())).await?;
        let (session, request) = euicc.authenticate(&answer, Some(matching_id), |_| {});
        Ok((session, call(self.at(), &request).await?))
    }

    /// Up to and including the package; the installation result is left to the caller.
    pub(crate) async fn download(
        &self,
        euicc: &mut Euicc,
        matching_id: &str,
        confirmation_code: Option<&str>,
    ) -> Result<(Session, Prepared, Installed), StatusCodeData> {
        let (session, answer) = self.authenticate(euicc, matching_id).await?;
        let prepared = euicc.prepare(&session, &answer, confirmation_code, None);
        let answer = call(self.at(), &prepared.request).await?;
        let installed = euicc.load(&session, &prepared, &answer.bound_profile_package.0);
        Ok((session, prepared, installed))
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn fill_random(octets: &mut [u8]) {
    getrandom::fill(octets).unwrap();
}

pub(crate) fn mint(now: u64) -> Pki {
    let eid = "89049032123451234512345678901235".parse().unwrap();
    Pki::mint(&Parameters::new(now, eid), &mut fill_random).unwrap()
}

/// Metadata with every field in use.
pub(crate) fn metadata(number: u32) -> StoreMetadataRequest {
    let recipient = |operation| NotificationConfigurationInformation {
        profile_management_operation: operation,
        notification_address: "smdp.example.com".into(),
    };
    StoreMetadataRequest {
        iccid: iccid(number),
        service_provider_name: "Example Telecom".into(),
        profile_name: "Reise – Tarif".into(),
        icon_type: Some(IconType::PNG),
        icon: Some(vec![0x89; 1024].into()),
        profile_class: ProfileClass::OPERATIONAL,
        notification_configuration_info: Some(vec![
            recipient(NotificationEvent::ENABLE | NotificationEvent::DISABLE),
            recipient(NotificationEvent::DELETE),
        ]),
        profile_owner: OperatorId::new("001", "01"),
        profile_policy_rules: Some(PprIds::PPR2),
    }
}

pub(crate) fn iccid(number: u32) -> Iccid {
    Iccid::with_check_digit(&format!("8944{number:014}")).unwrap()
}

/// A profile package of several segments: a header, something large, an end.
pub(crate) fn package(number: u32) -> Vec<u8> {
    let iccid = iccid(number).to_array().unwrap().map(|octet| octet.rotate_left(4));
    let header = ProfileHeader {
        major_version: 2,
        minor_version: 3,
        profile_type: Some("Test Type".into()),
        iccid,
        pol: None,
        mandatory_services: ServicesList::new([Service::USIM, Service::CSIM]),
        mandatory_templates: Vec::new(),
        connectivity_parameters: None,
        mandatory_aids: None,
        iot_options: None,
    };
    let filler = ProfileElement::Unknown {
        tag: 0xBF40,
        header: None,
        content: [&[0x80, 0x82, 0x0F, 0xA0][..], &[7; 4000]].concat(),
    };
    let end = ProfileElement::End(saip::End { header: PeHeader::mandated(2) });
    saip::encode_package(&[ProfileElement::Header(Box::new(header)), filler, end])
}

#[track_caller]
pub(crate) fn refused<T: core::fmt::Debug>(answer: Result<T, StatusCodeData>, status: Status) {
    match answer {
        Err(data) => assert!(data.is(status), "{data} instead of {status:?}"),
        Ok(answer) => panic!("{answer:?} instead of {status:?}"),
    }
}
