//! Card images that earlier releases left behind, and what is known of the cards in them.

use card::inspect::Inspection;
use serde_json::{Value, json};

/// What must not change when a later release opens an image.
///
/// # Panics
/// If it is no eUICC.
pub fn facts(inspection: &Inspection) -> Value {
    let euicc = inspection.euicc.as_ref().expect("an eUICC");
    let profiles = euicc.profiles.iter().map(|profile| {
        json!({ "iccid": profile.iccid, "enabled": profile.enabled, "name": profile.name, "nickname": profile.nickname })
    });
    let enabled = inspection.domains.iter().filter(|domain| domain.active);
    let pins = enabled.clone().flat_map(|domain| &domain.pins);
    let sqns = enabled.flat_map(|domain| &domain.applications).filter_map(|application| application.sqn_ms);
    json!({
        "eid": euicc.eid,
        "profiles": profiles.collect::<Vec<_>>(),
        "notifications": euicc.notifications.iter().map(|notification| &notification.address).collect::<Vec<_>>(),
        "pins": pins.map(|pin| json!([pin.name, pin.enabled, pin.tries])).collect::<Vec<_>>(),
        "sqn_ms": sqns.collect::<Vec<_>>(),
    })
}
