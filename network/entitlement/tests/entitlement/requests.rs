//! What phones ask for, by its parameters.

use crate::world::{EID, Phone, SMDP, WATCH, World};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use boss::Decision;
use eap::message::Method;
use serde_json::Value;

pub(crate) const ELIGIBILITY: &[(&str, &str)] = &[("operation", "CheckEligibility")];

pub(crate) const CONFIGURATION: &[(&str, &str)] = &[("operation", "AcquireConfiguration")];

pub(crate) const SUBSCRIBE: &[(&str, &str)] = &[("operation", "ManageSubscription"), ("operation_type", "0")];

pub(crate) const UPDATE: &[(&str, &str)] = &[("operation", "ManageSubscription"), ("operation_type", "4")];

pub(crate) const TRANSFER: &[(&str, &str)] = &[("operation", "ManageSubscription"), ("operation_type", "3")];

pub(crate) const ON: &[(&str, &str)] =
    &[("operation", "ManageService"), ("operation_type", "10"), ("companion_terminal_service", "SharedNumber")];
pub(crate) const OFF: &[(&str, &str)] =
    &[("operation", "ManageService"), ("operation_type", "11"), ("companion_terminal_service", "SharedNumber")];
pub(crate) const THE_WATCH: &[(&str, &str)] = &[
    ("companion_terminal_id", WATCH),
    ("companion_terminal_vendor", "Acme"),
    ("companion_terminal_friendly_name", "時計"),
];

pub(crate) const ITS_EID: &[(&str, &str)] = &[("companion_terminal_eid", EID)];

pub(crate) fn companion() -> Phone {
    Phone::new(Method::Aka, "ap2006")
}

pub(crate) fn primary() -> Phone {
    Phone::new(Method::Aka, "ap2009")
}

/// The activation code in a DownloadInfo.
pub(crate) fn activation_code(section: &Value) -> String {
    let code = section["DownloadInfo"]["ProfileActivationCode"].as_str().unwrap_or_else(|| panic!("{section}"));
    String::from_utf8(STANDARD.decode(code).unwrap()).unwrap()
}

pub(crate) fn borrowed(request: &[(String, String)]) -> Vec<(&str, &str)> {
    request.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Has the watch's profile ordered, contract and all; its ICCID.
pub(crate) async fn ordered(world: &World, phone: &mut Phone, extra: &[(&str, &str)]) -> String {
    let request = [SUBSCRIBE, THE_WATCH, ITS_EID, extra].concat();
    let section = phone.ask(world, &request).await;
    assert_eq!(section["SubscriptionResult"], "1", "{section}");
    assert_eq!(section["SubscriptionServiceURL"], "https://op.example.com/portal/contract");
    world.decide(section["SubscriptionServiceUserData"].as_str().unwrap(), Decision::Accept).await;
    let section = phone.ask(world, &request).await;
    assert_eq!(section["SubscriptionResult"], "2", "{section}");
    let iccid = section["DownloadInfo"]["ProfileIccid"].as_str().unwrap().to_owned();
    assert_eq!(activation_code(&section), format!("LPA:1${SMDP}$MID-{iccid}"));
    assert_eq!(phone.ask(world, &request).await, section, "the same again");
    iccid
}
